"""The service as scripts/install sets it up, under a real systemd: on a machine of its own.

They share the machine, as well as they can; each leaves it with the service up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from genvm_manager.protocol import __version__
from tests.support.installed import (
    KEY,
    KEY_MAJOR,
    MANAGER,
    SETTINGS,
    SOCKET,
    SUPERVISOR,
    TOKEN,
    WHEELS,
    InstalledService,
)
from tests.support.machine import Machine, why_not
from tests.support.supervisor import has_ended
from tests.support.waiting import TIMEOUT, wait_until
from tests.support.web_browser import BROWSERS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CONTRACT = """\
# { "Depends": "py-genlayer:test" }
from genlayer import *


class Hello(gl.Contract):
    greeting: str

    def __init__(self, greeting: str):
        self.greeting = greeting
"""
READ_CAUSE = """
import sqlite3, sys
runs = sqlite3.connect("/var/lib/genvm-manager/runs.db")
print(*runs.execute("SELECT cause FROM runs WHERE id = ?", sys.argv[1:]).fetchone())
"""
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534")


@pytest.fixture(scope="module")
def service() -> Iterator[InstalledService]:
    """Installed, and changed by its administrator: there is an executor that does as it is told."""
    if obstacle := why_not():
        pytest.skip(obstacle)
    if not WHEELS.is_dir():
        pytest.skip(
            f"there are no libraries in {WHEELS}: run scripts/test as root, which fetches them"
        )
    with Machine() as machine:
        machine.boot()
        service = InstalledService(machine)
        would = service.install("--dry-run").splitlines()
        assert not machine.path("/opt/genvm-manager").exists()
        done = service.install().splitlines()
        assert [line.removeprefix("would ") for line in would] == done[: len(would)]
        service.configure()
        yield service


@pytest.fixture(autouse=True)
def nothing_is_wrong(service: InstalledService) -> Iterator[None]:
    """Whatever a test does, the service is up again when it is over, if it is there at all."""
    yield
    if not service.machine.path(SETTINGS).exists():
        return
    for unit in (SUPERVISOR, MANAGER, SOCKET):
        assert service.machine.unit(unit, "ActiveState") == "active"
    for process in service.executors():
        process.kill()


def test_a_contract_runs_for_root_and_members_of_the_group(service: InstalledService) -> None:
    machine = service.machine
    machine.path("/tmp/hello.py").write_text(CONTRACT)
    group = machine.run("getent", "group", "genvm-manager").split(":")[2]
    member = (*AS_NOBODY, f"--groups={group}", "env", "HOME=/tmp/member")
    for who in ((), member):
        command = ["genvm-manager", "run", "/tmp/hello.py", "--args", '["Hello"]', "--json"]
        ended = json.loads(machine.run(*who, *command))
        assert ended["result"] == "return"
    assert len(service.status().executions) == 2
    outsider = machine.try_(*AS_NOBODY, "--clear-groups", "genvm-manager", "status")
    assert outsider.returncode == 77
    assert "usermod -aG genvm-manager nobody" in outsider.stderr


def test_secrets_are_for_those_who_need_them(service: InstalledService) -> None:
    machine = service.machine
    keys = "/etc/genvm-manager/environment"
    assert service.finished(service.start_run(KEY_MAJOR)).stdout.startswith(KEY)
    assert machine.unit(MANAGER, "EnvironmentFiles") == ""
    by_service = ("setpriv", "--reuid=genvm-manager", "--regid=genvm-manager", "--init-groups")
    by_anyone = (*AS_NOBODY, "--clear-groups")
    may = [machine.try_(*by, "cat", TOKEN).returncode == 0 for by in (by_service, by_anyone)]
    assert may == [True, False]
    may = [machine.try_(*by, "cat", keys).returncode == 0 for by in (by_service, by_anyone)]
    assert may == [False, False]
    assert machine.path("/run/genvm-manager/http.sock").stat().st_mode & 0o777 == 0o660


def test_a_killed_http_comes_back_and_no_run_notices(service: InstalledService) -> None:
    run_id = service.start_run(sleep_ms=600_000)
    kept = [*service.executors(), service.process("supervisor")]
    master = service.process("http master")
    gone = [master, *master.children()]
    with service.asked_again_and_again() as answers:
        master.kill()
        wait_until(lambda: service.process("http master") != master)
        wait_until(lambda: all(has_ended(process) for process in gone))
        service.wait_until_ready()
    assert "ConnectionRefusedError" not in answers.counts
    assert not any(has_ended(process) for process in kept)
    service.cancel(run_id)


@pytest.mark.parametrize(
    ("title", "causes"),
    [("shim", {"shutdown", "lost"}), ("supervisor", {"lost"})],
)
def test_a_killed_supervisor_comes_back_and_leaves_nothing(
    service: InstalledService, title: str, causes: set[str]
) -> None:
    run_id = service.start_run(sleep_ms=600_000)
    http = service.process("http master")
    gone = [service.process("shim"), service.process("supervisor"), *service.executors()]
    service.process(title).kill()
    wait_until(lambda: all(has_ended(process) for process in gone))
    assert service.cause_of(run_id) in causes
    assert service.process("http master") == http


def test_what_clients_have_changed_outlives_a_kill_and_no_restart(
    service: InstalledService,
) -> None:
    with service.client() as client:
        client.set_permits(7)
    before = service.process("shim")
    service.process("supervisor").kill()
    wait_until(lambda: service.process("shim") != before)
    service.wait_until_ready()
    assert service.status().permits.max == 7
    service.machine.run("systemctl", "restart", SUPERVISOR)
    assert service.status().permits.max == 4


def test_a_supervisor_that_hangs_is_ended_and_started_again(service: InstalledService) -> None:
    service.edit_unit(SUPERVISOR, "WatchdogSec=1")
    service.machine.run("systemctl", "restart", SUPERVISOR)
    run_id = service.start_run(sleep_ms=600_000)
    gone = [service.process("shim"), service.process("supervisor"), *service.executors()]
    service.process("supervisor").suspend()
    wait_until(lambda: all(has_ended(process) for process in gone))
    assert service.cause_of(run_id) == "lost"
    journal = service.machine.journal(f"--unit={SUPERVISOR}")
    said = " ".join(str(entry["MESSAGE"]) for entry in journal)
    assert "Watchdog timeout" in said
    assert "says that the supervisor hangs" in said
    service.edit_unit(SUPERVISOR)
    service.machine.run("systemctl", "restart", SUPERVISOR)


def test_http_that_hangs_is_ended_and_started_again(service: InstalledService) -> None:
    service.edit_unit(MANAGER, "WatchdogSec=3", "TimeoutAbortSec=1")
    service.machine.run("systemctl", "restart", MANAGER)
    master = service.process("http master")
    master.suspend()
    wait_until(lambda: has_ended(master))
    service.wait_until_ready()
    service.edit_unit(MANAGER)
    service.machine.run("systemctl", "restart", MANAGER)


def test_restarts_of_http_refuse_nobody_and_touch_no_run(service: InstalledService) -> None:
    run_id = service.start_run(sleep_ms=600_000)
    kept = [*service.executors(), service.process("supervisor")]
    with service.asked_again_and_again() as answers:
        for _ in range(3):
            service.machine.run("systemctl", "restart", MANAGER)
            service.wait_until_ready()
    assert set(answers.counts) <= {"200", "503 1"}
    assert "200" in answers.counts
    assert not any(has_ended(process) for process in kept)
    service.cancel(run_id)


def test_a_reload_of_http_is_noticed_by_nobody(service: InstalledService) -> None:
    token = service.machine.path(TOKEN)
    before = service.process("http master").children()
    with service.asked_again_and_again() as answers:
        service.machine.run("systemctl", "reload", MANAGER)
        wait_until(lambda: all(has_ended(process) for process in before))
    assert set(answers.counts) == {"200"}
    old = token.read_text()
    token.write_text("another-token-of-the-tests\n")
    service.machine.run("systemctl", "reload", MANAGER)
    wait_until(lambda: service.http.get("/status").is_success)
    token.write_text(old)
    service.machine.run("systemctl", "reload", MANAGER)
    wait_until(lambda: service.http.get("/status").is_success)


def _is_in_the_journal(machine: Machine, event: str) -> bool:
    found = machine.try_("journalctl", f"--unit={SUPERVISOR}", f"--grep={event}")
    return found.returncode == 0


def test_a_reload_of_the_supervisor_touches_no_run(service: InstalledService) -> None:
    settings = service.machine.path(SETTINGS)
    good = settings.read_text()
    run_id = service.start_run(sleep_ms=600_000)
    kept = [*service.executors(), *map(service.process, ("shim", "supervisor", "http master"))]
    for text, event in (
        (f"{good}max_queued: 7\n", "setting_waits_for_restart setting=max_queued"),
        ("http_workers: none\n", "settings_not_reloaded .*http_workers: expected int"),
        (good, "supervisor_reloaded"),
    ):
        settings.write_text(text)
        service.machine.run("systemctl", "reload", SUPERVISOR)
        wait_until(partial(_is_in_the_journal, service.machine, event))
    assert service.machine.unit(SUPERVISOR, "ActiveState") == "active"
    assert not any(has_ended(process) for process in kept)
    service.cancel(run_id)


def test_wrong_settings_are_not_tried_again_and_again(service: InstalledService) -> None:
    settings = service.machine.path(SETTINGS)
    good = settings.read_text()
    settings.write_text("http_workers: none\n")
    for unit in (SUPERVISOR, MANAGER):
        service.machine.try_("systemctl", "restart", unit)
        assert service.machine.unit(unit, "ActiveState") == "failed"
        assert service.machine.unit(unit, "ExecMainStatus") == "2"
        assert service.machine.unit(unit, "NRestarts") == "0"
        journal = service.machine.journal(f"--unit={unit}", "--grep=http_workers: expected int")
        assert journal
    settings.write_text(good)
    service.machine.run("systemctl", "restart", SUPERVISOR, MANAGER, SOCKET)
    service.wait_until_ready()


def test_a_restart_of_the_supervisor_lets_runs_finish(service: InstalledService) -> None:
    master = service.process("http master")
    run_id = service.start_run(sleep_ms=2_000)
    with service.asked_again_and_again() as answers:
        service.machine.run("systemctl", "restart", SUPERVISOR)
        service.wait_until_ready()
    assert service.cause_of(run_id) == "exited"
    assert service.process("http master") == master
    # While it drains it is still asked; between the two there is nobody to ask.
    assert set(answers.counts) == {"200", "503 1"}


def test_a_stop_may_take_as_long_as_the_settings_say(service: InstalledService) -> None:
    service.edit_unit(SUPERVISOR, "TimeoutStopSec=1")
    run_id = service.start_run(sleep_ms=4_000)
    service.machine.run("systemctl", "restart", SUPERVISOR)
    assert service.cause_of(run_id) == "exited"
    service.edit_unit(SUPERVISOR)


def test_runs_are_in_cgroups_of_their_own_below_the_supervisors(service: InstalledService) -> None:
    run_id = service.start_run(sleep_ms=600_000)
    (executor,) = service.executors()
    cgroups = Path(f"/proc/{executor.pid}/cgroup")
    wait_until(lambda: "/genvm-supervisor.service/runs" in cgroups.read_text())
    service.cancel(run_id)


def test_the_units_say_what_they_do(service: InstalledService) -> None:
    run_id = service.start_run(sleep_ms=600_000)
    status = "1 running, 0 waiting; 1 of 4 permits in use"
    wait_until(lambda: service.machine.unit(SUPERVISOR, "StatusText") == status)
    service.cancel(run_id)
    status = "on http://127.0.0.1:3999 and unix:/run/genvm-manager/http.sock"
    assert service.machine.unit(MANAGER, "StatusText") == status


def test_the_journal_has_priorities_and_with_json_fields(service: InstalledService) -> None:
    settings = service.machine.path(SETTINGS)
    text = settings.read_text()
    settings.write_text(f"{text}log_format: json\nlog_level: debug\n")
    service.machine.run("systemctl", "restart", SUPERVISOR, MANAGER)
    run_id = service.start_run(exit=7)
    assert service.cause_of(run_id) == "exited"
    service.process("http master").children()[0].kill()
    settings.write_text(text)
    service.machine.run("systemctl", "restart", SUPERVISOR, MANAGER)
    ended = [
        json.loads(entry["MESSAGE"])
        for entry in service.machine.journal(f"--unit={SUPERVISOR}", "--priority=info..info")
        if str(entry["MESSAGE"]).startswith('{"')
    ]
    (finished,) = [
        each for each in ended if (each.get("run"), each["event"]) == (run_id, "run_finished")
    ]
    assert finished["cause"] == "exited"
    worse = service.machine.journal(f"--unit={MANAGER}", "--priority=err")
    assert any("was sent SIGKILL" in str(entry["MESSAGE"]) for entry in worse)


def test_modules_run_behind_the_hardening(service: InstalledService) -> None:
    for kind in ("llm", "web"):
        reply = service.http.post("/module/start", json={"module_type": kind}, timeout=TIMEOUT)
        assert reply.is_success, reply.text
    # What clients have changed is there again.
    before = service.process("shim")
    service.process("supervisor").kill()
    wait_until(lambda: service.process("shim") != before)
    service.wait_until_ready()

    def are_running() -> bool:
        modules = service.http.get("/status").json()["modules"].values()
        return all(module["state"] == "running" for module in modules)

    wait_until(are_running)
    if BROWSERS:
        journal = service.machine.journal(f"--unit={SUPERVISOR}", "--grep=browser_started")
        assert all("with Chromium's sandbox" in str(entry["MESSAGE"]) for entry in journal)
        assert journal
    for kind in ("llm", "web"):
        assert service.http.post(
            "/module/stop", json={"module_type": kind}, timeout=TIMEOUT
        ).is_success


def test_a_second_installation_changes_nothing(service: InstalledService) -> None:
    processes = {service.process(title) for title in ("shim", "supervisor", "http master")}
    token = service.machine.path(TOKEN).read_text()
    assert service.install("--dry-run") == ""
    assert service.install().startswith("The service runs: http://127.0.0.1:3999")
    assert processes == {service.process(title) for title in ("shim", "supervisor", "http master")}
    assert service.machine.path(TOKEN).read_text() == token


def test_after_a_reboot_it_is_there_with_all_that_it_had(service: InstalledService) -> None:
    run_id = service.start_run(exit=7)
    assert service.cause_of(run_id) == "exited"
    under_way = service.start_run(sleep_ms=600_000)
    service.machine.cut_power()
    service.machine.boot()
    assert service.cause_of(run_id) == "exited"
    assert service.cause_of(under_way) == "lost"
    finishing = service.start_run(sleep_ms=1_500)
    assert finishing > under_way
    service.machine.shut_down()
    service.machine.boot()
    assert service.cause_of(finishing) == "exited"


def test_an_upgrade_keeps_settings_and_state_and_refuses_nobody(service: InstalledService) -> None:
    run_id = service.start_run(exit=7)
    assert service.cause_of(run_id) == "exited"
    settings = service.machine.path(SETTINGS).read_text()
    before = service.process("supervisor")
    package = service.machine.path("/root/genvm-manager/protocol/__init__.py")
    package.write_text(package.read_text().replace(__version__, f"{__version__}.post1"))
    with service.asked_again_and_again() as answers:
        service.install()
    assert set(answers.counts) <= {"200", "503 1"}
    assert has_ended(before)
    assert (
        service.machine.run("genvm-manager", "--version").strip().endswith(f"{__version__}.post1")
    )
    assert service.machine.path(SETTINGS).read_text() == settings
    assert service.cause_of(run_id) == "exited"
    assert len(list(service.machine.path("/opt/genvm-manager").glob(f"{__version__}*"))) == 1


def test_it_can_be_taken_away(service: InstalledService) -> None:
    machine = service.machine
    run_id = service.start_run(sleep_ms=4_000)
    left = [service.process("supervisor"), service.process("http master")]
    would = service.uninstall("--dry-run", "--purge").splitlines()
    assert "would stop genvm-supervisor.service" in would
    assert "would remove the user genvm-manager" in would
    assert not any(has_ended(process) for process in left)
    with ThreadPoolExecutor() as waiting:
        told = waiting.submit(service.cause_of, run_id)
        said = service.uninstall()
        assert told.result() == "exited"
    assert "--purge removes them" in said
    assert all(has_ended(process) for process in left)
    assert machine.run("/usr/bin/python3", "-c", READ_CAUSE, str(run_id)) == "exited\n"
    assert machine.path(TOKEN).exists()
    service.uninstall("--purge")
    assert machine.try_("getent", "passwd", "genvm-manager").returncode == 2
    assert machine.try_("getent", "group", "genvm-manager").returncode == 2
    places = [path.relative_to(machine.disk) for path in machine.disk.rglob("*genvm*")]
    assert {path.parts[0] for path in places if path.parts[:2] != ("var", "log")} == {"root"}
