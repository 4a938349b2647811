"""SIGHUP to the shim or to the supervisor: all files are read again, and no run is touched."""

from __future__ import annotations

import fcntl
import os
import signal
import termios
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

import msgspec
import pytest

from genvm_manager.base.errors import BadRequest, RequestFailed
from genvm_manager.base.settings.config import Config
from genvm_manager.base.settings.reload import (
    HTTP_RELOADS,
    HTTP_RESTARTS,
    SUPERVISOR_RELOADS,
    SUPERVISOR_RESTARTS,
)
from genvm_manager.protocol.ipc.commands import SetLogLevel, StartModule
from genvm_manager.protocol.ipc.modules import ModuleKind
from tests.support.supervisor import RunningSupervisor, manifest_text
from tests.support.waiting import TIMEOUT, wait_until

WEB = ModuleKind.WEB
ALONE = "webdriver_host: http://127.0.0.1:9"


@pytest.fixture
def supervisor() -> Iterator[RunningSupervisor]:
    with RunningSupervisor("allowed_extra_args: []\n") as running:
        yield running


def configure(supervisor: RunningSupervisor, settings: str) -> None:
    (supervisor.folder / "config.yaml").write_text(f"permits: {{total: 8}}\n{settings}")


def reload(supervisor: RunningSupervisor, whom: Literal["shim", "supervisor"] = "shim") -> str:
    """Reload, and return what the log says of it."""
    since = len(supervisor.log)
    pid = supervisor.process.pid if whom == "shim" else supervisor.pid
    os.kill(pid, signal.SIGHUP)
    wait_until(lambda: "info supervisor_reloaded" in supervisor.log[since:])
    return supervisor.log[since:]


def web_workers(supervisor: RunningSupervisor) -> list[int | None]:
    return [worker.pid for worker in supervisor.client.status().modules[WEB].workers]


def write_web_file(supervisor: RunningSupervisor, text: str) -> None:
    (supervisor.folder / "genvm-module-web.yaml").write_text(f"{ALONE}\n{text}\n")


@pytest.mark.parametrize("whom", ["shim", "supervisor"])
def test_all_files_are_taken_over_and_runs_go_on(
    supervisor: RunningSupervisor, whom: Literal["shim", "supervisor"]
) -> None:
    client, pid = supervisor.client, supervisor.pid
    run_id = client.start("slow")
    with pytest.raises(BadRequest):
        client.start("quick", extra_args=["--debug-mode"])
    configure(supervisor, "log_level: debug\nmax_queued: 7\nallowed_extra_args: [--debug-mode]\n")
    (supervisor.folder / "manifest.yaml").write_text("executor_versions: {}\n")
    said = reload(supervisor, whom)
    for line in (
        "info log_level_set to=debug process=supervisor",
        "warn setting_waits_for_restart setting=max_queued process=supervisor",
        "info manifest_reloaded",
    ):
        assert line in said
    assert "setting=allowed_extra_args" not in said
    with pytest.raises(RequestFailed):
        client.start("quick", extra_args=["--debug-mode"])
    (supervisor.folder / "manifest.yaml").write_text(manifest_text())
    reload(supervisor, whom)
    assert client.finished(client.start("quick", extra_args=["--debug-mode"])).exit.code == 0
    assert [each.id for each in client.status().under_way] == [run_id]
    assert supervisor.connect().welcome.pid == pid  # type: ignore[union-attr]
    client.cancel(run_id)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.yaml", "max_queued: none", "config.yaml: max_queued: expected int, got str"),
        ("config.yaml", "a: [", "config.yaml: config: not YAML"),
        ("manifest.yaml", "executor_versions: {x: 1}", "manifest: executor_versions"),
        ("manifest.yaml", "a: [", "manifest: not YAML"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(
    supervisor: RunningSupervisor, name: str, text: str, message: str
) -> None:
    client = supervisor.client
    run_id = client.start("slow")
    (supervisor.folder / name).write_text(text)
    said = reload(supervisor)
    what = "settings" if name == "config.yaml" else "manifest"
    (line,) = [each for each in said.splitlines() if f"error {what}_not_reloaded reason=" in each]
    assert message in line
    # The other file was read all the same.
    assert ("manifest_reloaded" in said) == (what == "settings")
    assert client.run("quick").exit.code == 0
    client.cancel(run_id)


def test_a_level_of_the_settings_goes_before_the_one_that_a_client_has_set(
    supervisor: RunningSupervisor,
) -> None:
    supervisor.client.ask(SetLogLevel("debug"))
    assert "log_level_set to=info" in reload(supervisor), "also if the settings have not changed"
    assert "log_level_set" not in reload(supervisor)
    configure(supervisor, "log_level: warn\n")
    since = len(supervisor.log)
    supervisor.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "log_level_set to=warn" in supervisor.log[since:])
    # HTTP, which reloads too, says the same.
    supervisor.client.ask(SetLogLevel("warn", is_configured=True))
    assert supervisor.log[since:].count("log_level_set") == 1


def test_a_module_of_a_file_that_has_changed_is_restarted(supervisor: RunningSupervisor) -> None:
    write_web_file(supervisor, "workers: 1")
    supervisor.client.ask(StartModule(WEB))
    before = web_workers(supervisor)
    assert "module_restarted" not in reload(supervisor)
    assert web_workers(supervisor) == before
    write_web_file(supervisor, "workers: 2")
    assert "info module_restarted module=web workers=2" in reload(supervisor)
    after = web_workers(supervisor)
    assert len(after) == 2 and not set(before) & set(after)
    for text, message in (("workers: none", "workers: expected"), ("a: [", "not YAML")):
        write_web_file(supervisor, text)
        for _ in range(2):
            said = reload(supervisor)
            (line,) = [each for each in said.splitlines() if "error module_not_reloaded" in each]
            assert "genvm-module-web.yaml" in line and message in line
            assert web_workers(supervisor) == after


def test_a_module_with_the_configuration_of_a_client_stays(supervisor: RunningSupervisor) -> None:
    write_web_file(supervisor, "workers: 1")
    config = msgspec.json.encode({"workers": 2})
    supervisor.client.ask(StartModule(WEB, config))
    before = web_workers(supervisor)
    write_web_file(supervisor, "workers: 3")
    assert "module_restarted" not in reload(supervisor)
    assert web_workers(supervisor) == before


def test_many_requests_at_once_are_few_reloads(supervisor: RunningSupervisor) -> None:
    for _ in range(100):
        os.kill(supervisor.process.pid, signal.SIGHUP)
        os.kill(supervisor.pid, signal.SIGHUP)
    said = reload(supervisor)
    assert 1 <= said.count("info supervisor_reloaded") < 100
    assert supervisor.client.status().accepting


@pytest.mark.parametrize("hangs_up", [False, True])
def test_the_end_of_the_terminal_stops_it_and_another_hang_up_reloads(hangs_up: bool) -> None:
    ours, theirs = os.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    with RunningSupervisor(starts=False) as supervisor:
        try:
            supervisor.start(start_new_session=True, preexec_fn=take_terminal)
            reload(supervisor)
            if not hangs_up:
                supervisor.process.send_signal(signal.SIGTERM)
            else:
                os.close(theirs)
                os.close(ours)
            assert supervisor.process.wait(TIMEOUT) == 0
            assert "supervisor_stopped" in supervisor.log
        finally:
            for end in (ours, theirs):
                with suppress(OSError):
                    os.close(end)


def test_each_setting_is_taken_over_by_a_reload_or_waits_for_a_restart() -> None:
    names = frozenset(Config.__struct_fields__)
    parts = (HTTP_RELOADS, HTTP_RESTARTS, SUPERVISOR_RELOADS, SUPERVISOR_RESTARTS)
    assert frozenset().union(*parts) == names
    assert not (HTTP_RELOADS | SUPERVISOR_RELOADS) & (HTTP_RESTARTS | SUPERVISOR_RESTARTS)
    assert not HTTP_RELOADS & SUPERVISOR_RELOADS
