"""Rendering with a real Chromium: what comes out, and what a bad page costs.

Source: docs/spec/05-modules.md.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest

from genvm_manager.workers.web.faults import WebFault
from tests.support.png import read_png
from tests.support.waiting import TIMEOUT
from tests.support.web_browser import BROWSERS, browser_family, needs_browser
from tests.support.web_module import Client, with_module
from tests.support.web_world import Route, Site, site

pytestmark = needs_browser

RED, BLUE, BLACK = (255, 0, 0), (0, 0, 255), (0, 0, 0)

ROUTES: dict[str, Route] = {
    "/article": b"""<title>unread</title><style>p {color: red}</style><h1>Head\xc3\xa9r</h1>
        <p>one <b>bold</b></p><p style="display: none">hidden</p><ul><li>a<li>b</ul>
        <script>"unread"</script><noscript>unread</noscript>""",
    "/script": b"""<div id=x></div><script>x.textContent = "made by a script"</script>""",
    "/later": b"""<p id=x>early</p>
        <script>setTimeout(() => x.textContent = "late", 300)</script>""",
    "/box": b"""<body style="margin: 0; background: white">
        <div style="width: 200px; height: 100px; background: rgb(255, 0, 0)"></div>
        <div style="width: 50px; height: 50px; background: rgb(0, 0, 255)"></div>
        <p style="position: absolute; left: 400px; top: 300px; margin: 0; font: 40px serif">Il""",
    "/missing": (404, {}, b"<p>gone away"),
    "/broken": (500, {}, b"<p>oops"),
    "/moved": (302, {"location": "/article"}, b""),
    "/dialogs": b"<p>calm<script>alert(1); confirm(2); prompt(3); print()</script>",
    "/leaves": b"<p>stay<script>onbeforeunload = () => 'no'</script>",
    "/download": (200, {"content-disposition": "attachment"}, b"x" * 100),
    "/workers": b"""<p>busy<script>for (let i = 0; i < 4; i++)
        new Worker(URL.createObjectURL(new Blob(["for (;;);"])))</script>""",
    "/popups": b"<p>many<script>for (let i = 0; i < 20; i++) open('/article')</script>",
    "/endless": b"<p>never<script>for (;;);</script>",
    "/hungry": b"""<p>more<script>const all = [];
        for (;;) all.push(new Uint8Array(1 << 24).fill(1))</script>""",
    "/long": b"<p>" + b"word " * 50_000,
    "/remembers": b"""<p id=x></p><script>
        x.textContent = `${document.cookie}|${localStorage.length}`;
        document.cookie = "a=1"; localStorage.setItem("b", 2)</script>""",
    "/file-frame": b"""<p>frame<iframe src="file:///etc/passwd"></iframe>
        <script>location = "file:///etc/passwd"</script>""",
    "/json": (200, {"content-type": "application/json"}, b'{"a": 1}'),
    "/surrogate": b"<p><script>document.write('a\\ud800b')</script>",
}


@pytest.fixture(scope="module")
def world() -> Iterator[Site]:
    with site(ROUTES) as served:
        yield served


def with_browser(world: Site, work: Any, timeout: float = 90, **config: Any) -> Any:
    return with_module({"always_allow_hosts": [world.host], **config}, work, timeout)


def render(world: Site, path: str, mode: str = "text", **more: Any) -> Any:
    config = more.pop("config", {})
    return with_browser(
        world, lambda client: client.render(world.url(path), mode, **more), **config
    )


def memory() -> tuple[int, int]:
    """Bytes of this process and of the browser's, shared pages counted once."""
    browser = 0
    for process in browser_family(os.getpid()):
        with suppress(psutil.Error):
            browser += process.memory_full_info().pss
    return psutil.Process().memory_info().rss, browser


async def until(fact: Callable[[], bool], within: float) -> bool:
    """Whether the fact is one within so many seconds."""
    deadline = time.monotonic() + within
    while not (is_so := fact()) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return is_so


@pytest.mark.parametrize("browser", BROWSERS)
def test_what_comes_out(world: Site, browser: str) -> None:
    async def work(client: Client) -> None:
        assert await client.render(world.url("/article")) == "Head\u00e9r\n\none bold\n\na\nb"
        assert await client.render(world.url("/moved")) == "Head\u00e9r\n\none bold\n\na\nb"
        assert await client.render(world.url("/script")) == "made by a script"
        html = await client.render(world.url("/script"), "html")
        assert '<div id="x">made by a script</div>' in html
        assert "<body" not in html
        assert "<head" not in html
        assert await client.render(world.url("/json")) == '{"a": 1}'
        assert await client.render(world.url("/surrogate")) == "a\ufffdb"
        assert await client.render(world.url("/later"), wait_after_loaded="1s") == "late"
        assert await client.render(world.url("/long"), limit=300_000)
        assert read_png(await client.render(world.url("/box"), "screenshot")).count(RED) == 20_000

    with_browser(world, work, browser_path=browser)


def test_a_screenshot_shows_the_page(world: Site) -> None:
    image = read_png(render(world, "/box", "screenshot"))
    assert (image.width, image.height) == (1280, 1024)
    assert image.pixel(10, 10) == RED
    assert image.pixel(10, 110) == BLUE
    assert image.pixel(300, 10) == (255, 255, 255)
    assert image.count(RED) == 200 * 100
    assert image.count(BLUE) == 50 * 50
    ink = [
        (x, y)
        for y in range(image.height)
        if set(image.rows[y][300 * image.channels :]) != {255}
        for x in range(300, image.width)
        if image.pixel(x, y) == BLACK
    ]
    left, right = min(ink)[0], max(ink)[0]
    top, bottom = min(y for _, y in ink), max(y for _, y in ink)
    assert 400 <= left < right <= 400 + 40, "two narrow letters"
    assert 300 <= top < bottom <= 300 + 60
    assert bottom - top > 15, "of that height"


def test_what_does_not_come(world: Site) -> None:
    async def work(client: Client) -> None:
        fault = await client.refused(client.render(world.url("/missing")))
        assert fault.causes == ["WEBPAGE_LOAD_FAILED"]
        assert fault.context["url"] == world.url("/missing")
        assert (fault.context["status"], fault.context["body"]) == (404, "gone away")
        fault = await client.refused(client.render(world.url("/broken"), "screenshot"))
        assert fault.context["status"] == 500
        fault = await client.refused(client.render(world.url("/download")))
        assert fault.causes == ["WEBPAGE_LOAD_FAILED"]
        for mode in ("text", "html", "screenshot"):
            fault = await client.refused(client.render(world.url("/long"), mode, limit=1_000))
            assert fault.causes == ["BODY_TOO_LARGE"]
        for url, code in [
            ("file:///etc/passwd", "SCHEMA_FORBIDDEN"),
            ("data:text/html,x", "SCHEMA_FORBIDDEN"),
            ("javascript:1", "SCHEMA_FORBIDDEN"),
            ("http://localhost/", "TLD_FORBIDDEN"),
            ("http://127.0.0.1/", "TLD_FORBIDDEN"),
        ]:
            assert (await client.refused(client.render(url))).causes == [code]

    with_browser(world, work)


def test_pages_that_misbehave_cost_their_own_request(world: Site) -> None:
    async def work(client: Client) -> None:
        assert await client.render(world.url("/dialogs")) == "calm"
        assert await client.render(world.url("/leaves")) == "stay"
        assert await client.render(world.url("/popups")) == "many"
        assert await client.render(world.url("/workers")) == "busy"
        assert "root:" not in await client.render(world.url("/file-frame"), "html")
        fault = await client.refused(client.render(world.url("/endless")))
        assert fault.causes == ["TIMEOUT"]
        fault = await client.refused(client.render(world.url("/hungry")))
        assert fault.causes == ["WEBPAGE_CRASHED"]
        assert await client.render(world.url("/script")) == "made by a script"

    with_browser(world, work, render_timeout="6s", max_page_memory=400 << 20)


def test_nothing_is_remembered_between_pages(world: Site) -> None:
    async def work(client: Client) -> None:
        for _ in range(2):
            assert await client.render(world.url("/remembers")) == "|0"

    with_browser(world, work)


def test_twenty_pages_at_once(world: Site) -> None:
    async def work(client: Client) -> None:
        async def one(_: int) -> Any:
            other = Client(client.module, client.session)
            return await other.render(world.url("/script"))

        assert set(await asyncio.gather(*map(one, range(20)))) == {"made by a script"}

    with_browser(world, work, max_pages=4)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_stays_flat_over_200_pages(world: Site) -> None:
    async def work(client: Client) -> None:
        idle = len(browser_family(os.getpid()))

        async def many(count: int) -> None:
            limit = asyncio.Semaphore(4)

            async def one() -> None:
                async with limit:
                    await client.render(world.url("/article"))

            await asyncio.gather(*(one() for _ in range(count)))

        await many(40)
        # Processes of pages that are over take their time to end.
        await until(lambda: len(browser_family(os.getpid())) <= idle, 20)
        ours, browsers = memory()
        await many(160)
        assert await until(lambda: memory()[1] - browsers < 50 << 20, 30), "the browser's"
        assert memory()[0] - ours < 20 << 20, "the module's own"

    with_browser(world, work, timeout=400)


def test_a_browser_that_is_killed_comes_back(world: Site) -> None:
    async def work(client: Client) -> None:
        await client.render(world.url("/script"))
        rendering = asyncio.create_task(
            client.refused(client.render(world.url("/later"), wait_after_loaded="20s"))
        )
        while "/later" not in world.paths():
            await asyncio.sleep(0.02)
        browser_family(os.getpid())[0].kill()
        assert (await rendering).causes == ["WEBPAGE_CRASHED"]
        assert await client.render(world.url("/script")) == "made by a script"

    with_browser(world, work)


def test_all_processes_are_gone_after_the_end(world: Site) -> None:
    found: list[psutil.Process] = []

    async def work(client: Client) -> None:
        await client.render(world.url("/article"))
        found.extend(browser_family(os.getpid()))

    with_browser(world, work)
    assert found
    _, alive = psutil.wait_procs(found, timeout=TIMEOUT)
    assert not alive


def test_the_wait_is_capped(world: Site) -> None:
    text = render(world, "/later", wait_after_loaded="1h", config={"max_wait_after_loaded": "10ms"})
    assert text in ("early", "late")


def test_a_webdriver_service_instead(world: Site) -> None:
    def service(asked: Any) -> Any:
        if "missing" in asked.path:
            return 200, {"resulting-status": "404"}, b"gone"
        return 200, {"resulting-status": "200"}, asked.path.encode()

    with site({"/render": service}) as webdriver:
        config = {"webdriver_host": webdriver.url("")}
        answer = render(world, "/article", "html", wait_after_loaded="1500ms", config=config)
        assert "mode=html" in answer
        assert "waitAfterLoaded=1.5" in answer
        with pytest.raises(WebFault) as caught:
            render(world, "/missing", config=config)
        assert caught.value.context["status"] == 404
        with pytest.raises(WebFault) as caught:
            with_module(config, lambda client: client.render("http://127.0.0.1/"))
        assert caught.value.causes == ["TLD_FORBIDDEN"]
