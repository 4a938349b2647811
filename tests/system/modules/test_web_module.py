"""The web module in the whole service: contracts that fetch and render, and what deaths cost."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.pool import WebSocketExecutor
from tests.support.served_node import LLM, WEB, ServedContract, ServedNode, served_node
from tests.support.service import RunningService
from tests.support.studio import free_port
from tests.support.supervisor import has_ended
from tests.support.waiting import TIMEOUT, wait_until
from tests.support.web_browser import browser_family, needs_browser
from tests.support.web_world import Site, site

pytestmark = needs_browser

SOURCE = """# { "Depends": "py-genlayer:test" }
import typing
from genlayer import *

class Reader(gl.Contract):
    def __init__(self):
        pass

    @gl.public.write
    def read(self, url: str, mode: str, wait: str) -> typing.Any:
        def page():
            try:
                found = gl.nondet.web.render(url, mode=mode, wait_after_loaded=wait)
                return getattr(found, "raw", found)
            except gl.nondet.NondetException as error:
                return error.args[0]
        return gl.eq_principle.strict_eq(page)

    @gl.public.write
    def older(self, url: str) -> typing.Any:
        return gl.eq_principle_strict_eq(lambda: gl.get_webpage(url, mode="html"))

    @gl.public.write
    def ask(self, url: str) -> typing.Any:
        def answers():
            web = gl.nondet.web
            sent = [
                web.get(url, headers={"X-Bytes": b"\\xff"}),
                web.post(url, body=b"\\x00\\xff", headers={}),
                web.patch(url, body="text"),
                web.delete(url),
                web.head(url),
                web.request(url, method="OPTIONS"),
                web.request.lazy(url, method="PUT", body="later").get(),
            ]
            return [[one.status, one.headers["x-method"], one.body] for one in sent]
        return gl.eq_principle.strict_eq(answers)
"""
SLOW = "/slow"


@dataclass(frozen=True)
class Profiles:
    """The folders of browsers that there are in a folder for temporary files."""

    folder: Path

    def __len__(self) -> int:
        return len(list(self.folder.glob("genvm-browser-*")))


def echo(asked: Any) -> tuple[int, dict[str, str], bytes]:
    said = f"{asked.method} {asked.headers.get('x-bytes', '')}"
    return 201, {"x-method": said.strip()}, asked.body


@pytest.fixture(scope="module")
def world() -> Iterator[Site]:
    script = b"<p id=x>early</p><script>x.textContent = 'made by a script'</script>"
    with site({"/": script, SLOW: b"<p>slow", "/echo": echo}) as served:
        yield served


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def profiles() -> Iterator[Profiles]:
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Profiles(Path(folder))


@pytest.fixture(scope="module")
def node(world: Site, port: int, profiles: Profiles) -> Iterator[ServedNode]:
    with served_node("drain_timeout: 5s", TMPDIR=str(profiles.folder)) as node:
        node.start(LLM, {"backends": {}, "workers": 1}, allow_empty_backends=True)
        node.start(WEB, config(world, workers=2, bind_address=f"127.0.0.1:{port}"))
        yield node


@pytest.fixture(scope="module")
def reader(node: ServedNode) -> ServedContract:
    return node.deploy(SOURCE)


def config(world: Site, **more: Any) -> dict[str, Any]:
    return {"workers": 1, "always_allow_hosts": [world.host], **more}


def pids(node: ServedNode) -> list[int]:
    return [worker["pid"] for worker in node.workers(WEB) if worker["pid"] is not None]


def families(node: ServedNode) -> list[psutil.Process]:
    return [process for pid in pids(node) for process in browser_family(pid)]


def are_gone(processes: list[psutil.Process]) -> bool:
    return all(has_ended(process) for process in processes)


def causes(reader: ServedContract, url: str, wait: str = "0ms") -> Any:
    return reader.lead("read", url, "text", wait).returned()["causes"]


def during_a_page(node: ServedNode, reader: ServedContract, world: Site) -> int:
    """A run whose page is loaded, and stands for a while; its id."""
    before = world.paths().count(SLOW)
    run_id = reader.begin("read", world.url(SLOW), "text", "60s")
    wait_until(lambda: world.paths().count(SLOW) > before)
    return run_id


def busy_worker(node: ServedNode) -> int:
    busy = [worker["pid"] for worker in node.workers(WEB) if worker["sessions"]]
    assert len(busy) == 1, "another run is about"
    return int(busy[0])


# ----------------------------------------------------------------------------------- its work


def test_a_start_warms_the_browsers(node: ServedNode) -> None:
    assert node.status()["web_module"] == "running"
    assert len(pids(node)) == 2
    for pid in pids(node):
        assert browser_family(pid), "a browser of its own"
    wait_until(lambda: all((w["rss_bytes"] or 0) > 50 << 20 for w in node.workers(WEB)))


def test_contracts_fetch_and_render(node: ServedNode, reader: ServedContract, world: Site) -> None:
    url = world.url()
    assert reader.lead("read", url, "text", "0ms").returned() == "made by a script"
    shown = reader.lead("older", url).returned()
    assert shown.startswith('<p id="x">made by a script</p>')
    assert reader.lead("read", url, "screenshot", "0ms").returned()[1:4] == b"PNG"
    assert reader.lead("ask", world.url("/echo")).returned() == [
        [201, b"GET \xff", b""],
        [201, b"POST", b"\0\xff"],
        [201, b"PATCH", b"text"],
        [201, b"DELETE", b""],
        [201, b"HEAD", b""],
        [201, b"OPTIONS", b""],
        [201, b"PUT", b"later"],
    ]
    assert causes(reader, "http://127.0.0.1/") == ["TLD_FORBIDDEN"]


def test_twenty_pages_at_once(node: ServedNode, world: Site, port: int) -> None:
    """Of executors elsewhere, over WebSockets."""

    async def one() -> Any:
        executor = await WebSocketExecutor.at(port)
        await executor.hello()
        asked = {"mode": "text", "url": world.url(), "wait_after_loaded": "0ms"}
        try:
            return await executor.ask("Render", [asked, 1 << 20])
        finally:
            await executor.close()

    async def all_at_once() -> None:
        answers = await asyncio.gather(*(one() for _ in range(20)))
        assert answers == [{"text": "made by a script"}] * 20

    asyncio.run(asyncio.wait_for(all_at_once(), 100))


# ------------------------------------------------------------------------------------- deaths


def test_a_browser_that_is_killed_costs_its_pages(
    node: ServedNode, reader: ServedContract, world: Site, profiles: Profiles
) -> None:
    run_id = during_a_page(node, reader, world)
    browser_family(busy_worker(node))[0].kill()
    assert node.end(run_id).returned()["causes"] == ["WEBPAGE_CRASHED"]
    for _ in range(2):
        assert reader.lead("read", world.url(), "text", "0ms").returned() == "made by a script"
    wait_until(lambda: len(profiles) == 2)


def test_a_worker_that_is_killed_costs_its_runs(
    node: ServedNode, reader: ServedContract, world: Site, profiles: Profiles
) -> None:
    run_id = during_a_page(node, reader, world)
    worker = busy_worker(node)
    family = browser_family(worker)
    psutil.Process(worker).kill()
    assert "web" in node.end(run_id).internal_error()
    wait_until(lambda: are_gone(family))
    wait_until(lambda: len(pids(node)) == 2 and worker not in pids(node))
    for _ in range(2):
        assert reader.lead("read", world.url(), "text", "0ms").returned() == "made by a script"
    wait_until(lambda: len(profiles) == 2)


def test_a_killed_supervisor_takes_the_browsers_along(
    node: ServedNode, reader: ServedContract, world: Site, profiles: Profiles
) -> None:
    before, family = pids(node), families(node)
    node.service.half("supervisor").kill()
    wait_until(lambda: are_gone(family))
    wait_until(lambda: _runs_again(node))
    assert set(before).isdisjoint(pids(node))
    assert reader.lead("read", world.url(), "text", "0ms").returned() == "made by a script"
    wait_until(lambda: len(profiles) == 2)


def _runs_again(node: ServedNode) -> bool:
    answer = node.service.http.get("/status")
    return answer.is_success and answer.json()["web_module"] == "running"


# -------------------------------------------------------------------------------------- its end


def test_a_stop_leaves_nothing(
    node: ServedNode, reader: ServedContract, world: Site, profiles: Profiles
) -> None:
    family = families(node)
    with ThreadPoolExecutor(1) as threads:
        run_id = during_a_page(node, reader, world)
        stopping = threads.submit(node.stop, WEB)
        wait_until(lambda: node.status()["web_module"] == "stopping")
        assert node.stop(WEB) == "module_stopped"
        assert stopping.result(TIMEOUT) == "module_stopped"
    assert "web" in node.end(run_id).internal_error()
    assert are_gone(family)
    assert len(profiles) == 0


def test_without_a_browser_contracts_are_told_so_and_requests_work(
    node: ServedNode, reader: ServedContract, world: Site
) -> None:
    with node.operators_file(WEB, config(world, browser_path="/nowhere/chromium")):
        node.start(WEB, {})
    answer = reader.lead("read", world.url(), "text", "0ms").returned()
    assert answer["causes"] == ["BROWSER_UNAVAILABLE"]
    assert "/nowhere/chromium" in answer["ctx"]["reason"]
    assert reader.lead("ask", world.url("/echo")).returned()[0] == [201, b"GET \xff", b""]
    assert node.stop(WEB) == "module_stopped"


def test_when_everything_is_killed_at_once_the_browsers_end_by_themselves(
    world: Site, profiles: Profiles
) -> None:
    variables = {"TMPDIR": str(profiles.folder)}
    with RunningService("--no-precompile", environment=variables) as service:
        start = {"module_type": "web", "config": config(world)}
        assert service.http.post("/module/start", json=start, timeout=TIMEOUT).is_success
        everything = service.process.children(recursive=True)
        browsers = browser_family(service.process.pid)
        assert browsers and len(profiles) == 1
        ours = [process for process in everything if process not in browsers]
        for process in [service.process, *ours]:
            process.send_signal(signal.SIGSTOP)
        for process in [service.process, *ours]:
            process.kill()
        service.wait(TIMEOUT)
        wait_until(lambda: are_gone(browsers))
        service.start()
        assert service.http.post("/module/start", json=start, timeout=TIMEOUT).is_success
        assert len(profiles) == 1, "the dead one's folder went with the next start"
