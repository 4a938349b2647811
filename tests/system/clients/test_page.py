"""The page at `/` in a real Chromium, in front of a real service."""

from __future__ import annotations

import json
import signal
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from genvm_manager.base.text.printable import printable_lines
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.run_result import ResultCode, RunResult
from tests.support.browser_page import Chromium, Page
from tests.support.service import PROJECT, RunningService
from tests.support.waiting import TIMEOUT, wait_until
from tests.support.web_browser import needs_browser
from tests.support.web_world import site

pytestmark = needs_browser

CONFIG = "http_workers: 1, http_threads: 8, permits: {total: 3}, execution_retention: 10m"
TOKEN = "a-token+that/nobody=guesses"
SLEEPS = {"sleep_ms": 600_000}
EVIL = '<img src="x" onerror="window.harm = 1"><script>window.harm = 2</script>'
LONG = "0123456789" * 40
FOREIGN_SITE = "http://foreign.example/"
PHONE = (390, 844)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    chromium = Chromium()
    yield chromium
    chromium.close()


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with RunningService(config=f"{{{CONFIG}}}") as running:
        yield running


@pytest.fixture
def page(chromium: Chromium, service: RunningService) -> Iterator[Page]:
    """The page, live; at the end nothing may have gone wrong in it, and no run goes on."""
    with chromium.page() as page:
        page.go(service.url)
        page.wait_for("live", "#connection")
        yield page
        assert page.problems == []
        assert page.look("window.harm") is None
    for genvm_id, entry in service.http.get("/status").json()["executions"].items():
        if entry["state"] != "finished":
            service.client.cancel(int(genvm_id), grace_ms=0)


def result(code: ResultCode, data: Any, pages: int = 0) -> bytes:
    changes = [(bytes(36), bytes(32))] * pages
    return RunResult(code, data, bytes(32), changes, [], [], None, [], None).encode()


def finished(service: RunningService, orders: dict[str, Any], **fields: Any) -> int:
    genvm_id = service.start_run(orders, **fields)
    assert service.client.get_run(genvm_id, wait=TIMEOUT).status is not None
    return genvm_id


def section(name: str) -> str:
    return f'section[aria-label="{name}"]'


def row(table: str, genvm_id: int) -> str:
    return f'{section(table)} tr[data-id="{genvm_id}"]'


def see_run(page: Page, genvm_id: int) -> None:
    page.look(f"location.hash = '#/run/{genvm_id}'")
    page.wait_for(f"Run {genvm_id}", "h2")


def test_it_shows_what_there_is_and_fetches_nothing_from_elsewhere(
    page: Page, service: RunningService
) -> None:
    page.wait_for("of 3", section("At a glance"))
    assert "3 free" in page.text(section("At a glance"))
    for name in ("LLM", "Web"):
        page.wait_for("stopped", f'article[aria-label="{name} module"]')
    page.wait_for("Nothing runs now", section("Running"))
    fetched = page.look("performance.getEntriesByType('resource').map(each => each.name)")
    assert fetched
    assert all(url.startswith(service.url) for url in fetched)


def test_a_run_appears_when_it_starts_and_moves_when_it_ends(
    page: Page, service: RunningService
) -> None:
    genvm_id = service.start_run(SLEEPS)
    page.wait_for("MiB", row("Running", genvm_id))
    assert "%" in page.text(row("Running", genvm_id))
    assert page.look("document.title").startswith("1 running")
    assert page.look("document.querySelector('[role=meter]').ariaValueNow") == "1"
    age = page.text(row("Running", genvm_id) + " td")
    wait_until(lambda: page.text(row("Running", genvm_id) + " td") != age)
    service.client.cancel(genvm_id, grace_ms=0)
    page.wait_for("cancelled", row("Recent", genvm_id))
    assert not page.look(f"!!document.querySelector({json.dumps(row('Running', genvm_id))})")


def test_processor_time_is_shown_in_percent(page: Page, service: RunningService) -> None:
    genvm_id = service.start_run({"spin_ms": 600_000})
    percent = row("Running", genvm_id) + " td:nth-child(3)"
    page.wait_until(f"parseInt(document.querySelector({json.dumps(percent)})?.textContent) > 5")
    service.client.cancel(genvm_id, grace_ms=0)


def test_what_waits_for_permits_is_shown_and_can_be_called_off(
    page: Page, service: RunningService
) -> None:
    holders = [service.start_run(SLEEPS) for _ in range(3)]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(service.start_run, SLEEPS)
        genvm_id = holders[-1] + 1
        page.wait_for(str(genvm_id), row("Waiting for permits", genvm_id))
        page.click(row("Waiting for permits", genvm_id) + " button")
        page.click("dialog button.grave")
        page.wait_for("cancelled", row("Recent", genvm_id))
        assert "cancelled" in str(waiting.exception(TIMEOUT))


def test_a_run_is_cancelled_only_once_that_is_confirmed(
    page: Page, service: RunningService
) -> None:
    genvm_id = service.start_run(SLEEPS)
    page.click(row("Running", genvm_id) + " button")
    page.wait_for(f"Cancel run {genvm_id}?", "dialog")
    page.press("Escape")
    page.wait_until("document.querySelector('dialog') === null")
    assert service.client.get_run(genvm_id).status is None
    page.click(row("Running", genvm_id) + " button")
    page.click("dialog button.grave")
    run = service.client.get_run(genvm_id, wait=TIMEOUT).status
    assert run is not None
    assert run.cause == "cancelled"
    page.wait_for("cancelled", row("Recent", genvm_id))


def test_a_module_is_started_and_stopped(page: Page, service: RunningService) -> None:
    card = 'article[aria-label="LLM module"]'
    page.click(f'{card} button[aria-label="Start the LLM module"]')
    page.wait_for("running", card)
    page.wait_for("no usable LLM backend: set OPENAIKEY, ", card)
    service.http.post("/env", json={"key": "OPENAIKEY", "value": "sk-none"})
    page.click(f'{card} button[aria-label="Restart the LLM module"]')
    page.click("dialog button.grave")
    page.wait_until(f"!document.querySelector('{card}').innerText.includes('OPENAIKEY')")
    assert service.http.get("/status").json()["llm_module"] == "running"
    page.click(f'{card} button[aria-label="Stop the LLM module"]')
    page.click("dialog button.grave")
    page.wait_for("stopped", card)
    assert service.http.get("/status").json()["llm_module"] == "stopped"


def test_a_long_list_is_cut_until_all_of_it_is_wanted(page: Page) -> None:
    """A thousand runs: the page's own classes, fed as the stream feeds them."""
    shown = page.look(
        """(async () => {
        const { RunTable } = await import("/assets/run_table.js");
        const text = (run, now) => `${run.age + now}`;
        const columns = [{ label: "Run", sort: (run) => run.id },
                         { label: "Age", sort: (run) => run.age, text }];
        const runs = Array.from({ length: 1000 }, (_, id) => ({ id, age: (id * 7) % 1000 }));
        let draw = () => {};
        const table = new RunTable("test", columns, { column: 1, descending: true }, () => draw());
        draw = () => table.update(runs, 5);
        document.body.replaceChildren(table.node);
        const rows = () => [...table.node.querySelectorAll("tbody tr")];
        const ids = () => rows().map((row) => Number(row.dataset.id));
        draw();
        const first = ids();
        table.node.querySelector(".more").click();
        const begin = performance.now();
        for (let now = 0; now < 10; now += 1) table.update(runs, now);
        const took = (performance.now() - begin) / 10;
        return { cut: first.length, oldest: first[0], all: ids().length, sorted: ids()[1], took };
        })()"""
    )
    assert (shown["cut"], shown["oldest"], shown["all"]) == (50, 857, 1000)
    assert shown["sorted"] == 714
    assert shown["took"] < 250


def test_a_return_is_shown_with_its_times_and_its_value(
    page: Page, service: RunningService
) -> None:
    value = {"owner": Address(b"\x5f" * 20), "sums": [12345678901234567890, -5, None, True]}
    orders = {"print": "said", "result": result(ResultCode.RETURN, value, pages=2)}
    genvm_id = finished(service, orders)
    see_run(page, genvm_id)
    page.wait_for("Returned", ".result")
    shown = page.text(".result")
    assert '"owner": 0x' + "5f" * 20 in shown
    assert '"sums": [12345678901234567890, -5, null, true]' in shown
    assert "2 storage pages written" in shown
    page.wait_for("code 0", ".facts")
    times = page.text(section("Timeline"))
    assert times.index("Accepted") < times.index("Started") < times.index("Finished")
    assert "waited" in times
    assert "ran" in times
    page.wait_for("said", ".output")


@pytest.mark.parametrize(
    ("code", "data", "shown"),
    [
        (ResultCode.USER_ERROR, "too little", ["User error", "too little"]),
        (ResultCode.VM_ERROR, "OOM storage", ["VM error", "OOM storage", "wrote more storage"]),
        (ResultCode.INTERNAL_ERROR, "gone wrong", ["Internal error", "gone wrong"]),
    ],
)
def test_an_error_says_which_and_what_it_means(
    page: Page, service: RunningService, code: ResultCode, data: str, shown: list[str]
) -> None:
    see_run(page, finished(service, {"result": result(code, data), "exit": 1}))
    for word in shown:
        page.wait_for(word, ".result")
    page.wait_for("code 1", ".facts")


def test_a_vm_error_says_what_led_to_it(page: Page, service: RunningService) -> None:
    why = "KeyError: '<b>\u202ea' (contract.py:22, in _inner)"
    log = [{"level": "error", "message": "failed", "contract_error": why}]
    orders = {"log": log, "result": result(ResultCode.VM_ERROR, "exit_code 1")}
    see_run(page, finished(service, orders))
    page.wait_for(r"exit_code 1: KeyError: '<b>\u202ea' (contract.py:22, in _inner)", ".result")
    page.wait_for("read the traceback", ".result")


def test_a_run_that_was_killed_says_so(page: Page, service: RunningService) -> None:
    genvm_id = finished(service, SLEEPS, deadline="300ms")
    see_run(page, genvm_id)
    page.wait_for("deadline", ".facts")
    page.wait_for("signal 9", ".facts")
    page.wait_for("ran longer than 0.3 s", ".facts")
    page.wait_for("There is no result", ".result")


def test_a_run_is_followed_to_its_end(page: Page, service: RunningService) -> None:
    genvm_id = service.start_run({"print": "so far", **SLEEPS})
    see_run(page, genvm_id)
    page.wait_for("running", ".run > header")
    page.wait_for("so far", ".output")
    page.wait_for("MiB", ".facts")
    page.click(".run > header button")
    page.click("dialog button.grave")
    page.wait_for("finished", ".run > header")
    page.wait_for("cancelled", ".facts")
    page.wait_for(f"Run {genvm_id} is", "#said")
    assert "so far" in page.text(".output")


def test_output_is_shown_as_it_comes(page: Page, service: RunningService) -> None:
    orders = {"print": "begun ü", "sleep_ms": 4000, "print_after": " and done"}
    genvm_id = service.start_run(orders)
    see_run(page, genvm_id)
    page.wait_for("begun ü", ".output")
    page.wait_for("begun ü and done", ".output")
    page.wait_for("finished", ".run > header")
    assert page.look("document.querySelector('.output pre').textContent") == "begun ü and done"


def test_a_long_output_is_read_from_its_end(page: Page, service: RunningService) -> None:
    lines = [f"line {number:>6} ü" for number in range(20_000)]
    genvm_id = finished(service, {"print": "\n".join(lines)})
    see_run(page, genvm_id)
    page.wait_for("There is no result", ".result")
    page.wait_for(lines[-1], ".output")
    assert page.look("document.querySelector('.output pre').textContent.length") < 70_000
    before = page.look("document.querySelector('.output pre').textContent.length")
    page.click(".output > button")
    length = "document.querySelector('.output pre').textContent.length"
    page.wait_until(f"{length} > {before} + 50000")
    text = page.look("document.querySelector('.output pre').textContent")
    assert "\n".join(lines).endswith(text)


def test_a_log_is_shown_record_by_record(page: Page, service: RunningService) -> None:
    log = [
        {"level": "info", "message": "begins", "target": "vm"},
        {"level": "error", "message": EVIL, "where": {"line": 4}},
    ]
    see_run(page, finished(service, {"log": log}))
    page.wait_for("begins", ".log")
    shown = page.look("[...document.querySelectorAll('.log li')].map(each => each.textContent)")
    assert len(shown) == 2
    assert "target=vm" in shown[0]
    assert EVIL in shown[1]
    assert 'where={"line":4}' in shown[1]


def test_an_unknown_run_is_said_to_be_none(page: Page) -> None:
    see_run(page, 987_654)
    page.wait_for("There is no such run", "main")


def test_what_contracts_write_is_text(page: Page, service: RunningService) -> None:
    orders = {"print": EVIL, "result": result(ResultCode.USER_ERROR, EVIL)}
    see_run(page, finished(service, orders))
    page.wait_for(EVIL, ".output")
    page.wait_for(EVIL, ".result")
    assert (
        page.look("document.images.length + document.querySelectorAll('main script').length") == 0
    )
    # The browser itself refuses what makes HTML of text.
    refused = page.look(
        "(() => { try { document.body.innerHTML = '<b>x</b>' } catch { return true } })()"
    )
    assert refused
    page.problems.clear()


def test_nothing_that_contracts_write_hides_or_turns_letters(
    page: Page, service: RunningService
) -> None:
    steering = "a\u202eb\u2066\u200b\x1b[31m\x9b\u2028"
    shown = r"a\u202eb\u2066\u200b\x1b[31m\x9b\u2028"
    log = [{"level": "info", "message": f"{steering}\nforged", "more": steering}]
    orders = {"print": steering, "log": log, "result": result(ResultCode.USER_ERROR, steering)}
    see_run(page, finished(service, orders))
    page.wait_for(shown, ".output")
    page.wait_for(shown, ".result")
    page.look("document.getElementById('tab-genvm_log').click()")
    page.wait_for(rf"{shown}\x0aforged", ".log")


def test_the_page_escapes_what_the_command_line_does(page: Page) -> None:
    texts = [chr(code) for code in (*range(0x3000), 0x3164, 0xFEFF, 0xFFA0, 0xE0041, 0x1F642)]
    texts = [each for each in texts if unicodedata.category(each) != "Cn"]
    shown = page.look(
        f"""(async () => {{
        const {{ printable }} = await import("/assets/printable.js");
        return {json.dumps(texts)}.map(printable);
        }})()"""
    )
    assert shown == [printable_lines(each) for each in texts]


def test_values_are_read_as_the_published_vectors_say(page: Page) -> None:
    path = PROJECT / "tests" / "contract" / "calldata-vectors.json"
    vectors = json.loads(path.read_text(), object_hook=without_checksum)["valid"]
    encoded = json.dumps([each["hex"] for each in vectors])
    shown = page.look(
        f"""(async () => {{
        const {{ decode, hex, Address }} = await import("/assets/calldata.js");
        const plain = (value) => {{
          if (value === null || typeof value === "boolean") return value;
          if (typeof value === "bigint") return {{ int: String(value) }};
          if (typeof value === "string") return {{ str: value }};
          if (value instanceof Address) return {{ address: hex(value.raw) }};
          if (value instanceof Uint8Array) return {{ bytes: hex(value).slice(2) }};
          if (Array.isArray(value)) return {{ list: value.map(plain) }};
          return {{ map: Object.fromEntries([...value].map(([key, each]) => [key, plain(each)])) }};
        }};
        const bytes = (text) => text.match(/../g).map((digits) => parseInt(digits, 16));
        return {encoded}.map((text) => plain(decode(Uint8Array.from(bytes(text)))));
        }})()"""
    )
    for vector, value in zip(vectors, shown, strict=True):
        assert value == vector["value"], vector["hex"]


def without_checksum(written: dict[str, Any]) -> dict[str, Any]:
    """The page writes addresses in lower case."""
    return {"address": written["address"].lower()} if "address" in written else written


def test_a_lost_supervisor_is_told_and_its_return_needs_no_hand(
    page: Page, service: RunningService
) -> None:
    genvm_id = service.start_run(SLEEPS)
    page.wait_for("MiB", row("Running", genvm_id))
    with service.without_supervisor():
        page.wait_for("No updates since", "#banner")
        page.wait_for("the supervisor cannot be reached", "#banner")
        assert page.look("document.querySelector('main').classList.contains('stale')")
        assert page.look(f"!!document.querySelector({json.dumps(row('Running', genvm_id))})")
        age = page.text(row("Running", genvm_id) + " td")
        page.wait_until("document.querySelector('.module button').disabled")
        assert page.text(row("Running", genvm_id) + " td") == age
    page.wait_for("live", "#connection")
    page.wait_for("lost", row("Recent", genvm_id))
    assert page.text("#banner") == ""
    assert not page.look("document.querySelector('main').classList.contains('stale')")


def test_new_http_processes_are_found_again(page: Page, service: RunningService) -> None:
    master = service.half("http")
    workers = master.children()
    master.send_signal(signal.SIGKILL)
    assert not psutil.wait_procs(workers, timeout=TIMEOUT)[1]
    genvm_id = service.start_run(SLEEPS)
    page.wait_for(str(genvm_id), row("Running", genvm_id))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    path = tmp_path_factory.mktemp("secret") / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    with RunningService("--token-file", str(path), config=f"{{{CONFIG}}}") as running:
        yield running


def give(page: Page, token: str) -> None:
    page.wait_until("document.activeElement?.id === 'token'")
    page.type(token)
    page.press("Enter")


def test_the_token_is_asked_for_and_kept_in_the_tab(
    chromium: Chromium, guarded: RunningService
) -> None:
    with chromium.page() as page:
        page.go(guarded.url)
        page.wait_for("Token required", "dialog")
        assert "Permits" not in page.text("main")
        give(page, "wrong")
        page.wait_for("refused this token", "dialog")
        give(page, TOKEN)
        page.wait_for("live", "#connection")
        page.wait_for("of 3", section("At a glance"))
        page.go(guarded.url)
        page.wait_for("live", "#connection")
        assert TOKEN not in page.look("document.cookie + JSON.stringify(localStorage) + location")
        page.click("#forget-token")
        page.wait_for("Token required", "dialog")
    with chromium.page() as other:
        other.go(guarded.url)
        other.wait_for("Token required", "dialog")
        assert other.problems == []


def test_pages_of_other_sites_can_do_nothing(chromium: Chromium, service: RunningService) -> None:
    genvm_id = service.start_run(SLEEPS)
    frame = f'<title>foreign</title><iframe src="{service.url}"></iframe>'
    asked = {
        "POST": ("/permits", "/module/start", "/module/stop", "/env", "/genvm/run"),
        "GET": ("/events", "/status", "/assets/page.js", f"/genvm/{genvm_id}?wait=60s"),
    }
    with (
        site({FOREIGN_SITE: frame.encode()}) as world,
        chromium.page(proxy=world.url("")) as foreign,
    ):
        foreign.go(FOREIGN_SITE)
        wait_until(lambda: any("frame-ancestors" in each for each in foreign.problems))
        for method, paths in asked.items():
            body = ", body: '{\"permits\": 99}'" if method == "POST" else ""
            for path in paths:
                foreign.look(
                    f"fetch('{service.url}{path}', {{mode: 'no-cors', method: '{method}'{body}}})"
                    ".then(() => 0)"
                )
                assert foreign.statuses[service.url + path] == 403, path
        cancel = f"fetch('{service.url}/genvm/{genvm_id}', {{method: 'DELETE'}})"
        assert foreign.look(f"{cancel}.then(() => 'done', () => 'refused')") == "refused"
    assert service.http.get("/permits").json()["max"] == 3
    assert service.client.get_run(genvm_id).status is None
    service.client.cancel(genvm_id, grace_ms=0)


def test_nothing_is_wider_than_a_phone(chromium: Chromium, service: RunningService) -> None:
    genvm_id = service.start_run(SLEEPS)
    over = finished(
        service,
        {
            "print": LONG,
            "log": [{"level": "info", "message": LONG}],
            "result": result(ResultCode.RETURN, LONG),
        },
    )
    with chromium.page(*PHONE) as page:
        page.go(service.url)
        page.wait_for("MiB", row("Running", genvm_id))
        assert page.look("document.documentElement.scrollWidth") == PHONE[0]
        assert "Cancel" in page.text(row("Running", genvm_id))
        see_run(page, over)
        page.wait_for(LONG, ".result")
        page.wait_for(LONG, ".output")
        assert page.look("document.documentElement.scrollWidth") == PHONE[0]
        page.click("#tab-genvm_log")
        page.wait_for(LONG, ".log")
        assert page.look("document.documentElement.scrollWidth") == PHONE[0]
    service.client.cancel(genvm_id, grace_ms=0)


def test_it_can_be_worked_by_keyboard(page: Page, service: RunningService) -> None:
    genvm_id = service.start_run(SLEEPS)
    page.wait_for("MiB", row("Running", genvm_id))
    focused = "document.activeElement.textContent"
    for _ in range(30):
        page.press("Tab")
        if page.look(focused) == str(genvm_id):
            break
    assert page.look("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press("Enter")
    page.wait_for(f"Run {genvm_id}", "h2")
    page.wait_until(f"{focused} === 'Run {genvm_id}'")
    page.wait_until("!!document.querySelector('[role=tab]')")
    page.look("document.querySelector('[role=tab][aria-selected=true]').focus()")
    page.press("ArrowRight")
    assert page.look("document.activeElement.getAttribute('aria-selected')") == "true"
    assert page.look("document.querySelector('[role=tabpanel]:not([hidden])').id") == "panel-stderr"


def test_all_that_can_be_pressed_has_a_name(page: Page, service: RunningService) -> None:
    genvm_id = service.start_run(SLEEPS)
    page.wait_for("MiB", row("Running", genvm_id))
    names = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "link", "table", "region", "meter", "heading")
    found = [each for each in names if each.get("role", {}).get("value") in roles]
    assert len(found) > 15
    assert all(each["name"]["value"].strip() for each in found), found
    landmarks = page.look("['header', 'nav', 'main'].map(each => !!document.querySelector(each))")
    assert landmarks == [True, True, True]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(
    chromium: Chromium, service: RunningService, scheme: str
) -> None:
    """WCAG 2, contrast AA: 4.5 to 1."""
    with chromium.page(scheme=scheme) as page:
        page.go(service.url)
        page.wait_for("live", "#connection")
        colours = page.look(
            "Object.fromEntries(['ink', 'soft', 'link', 'good', 'warn', 'bad', 'paper', 'faint']"
            ".map(name => [name, getComputedStyle(document.documentElement)"
            ".getPropertyValue('--' + name).trim()]))"
        )
    for text in ("ink", "soft", "link", "good", "warn", "bad"):
        for behind in ("paper", "faint"):
            assert contrast(colours[text], colours[behind]) >= 4.5, (text, behind)


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
