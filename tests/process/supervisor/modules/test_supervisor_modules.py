"""Modules under a real supervisor: their states, their workers, and the runs that hold them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import psutil
import pytest

from genvm_manager.base.errors import (
    BadRequest,
    ModuleAlreadyRunning,
    ModulesNotRunning,
    RequestFailed,
    Unavailable,
)
from genvm_manager.protocol.ipc.commands import RestartModule, SetEnv, SetLogLevel, StartModule
from genvm_manager.protocol.ipc.modules import ModuleState
from genvm_manager.protocol.ipc.replies import Done
from genvm_manager.protocol.ipc.runs import Cause, Exit
from tests.support.module_runs import (
    ASKING,
    LLM,
    WEB,
    module,
    pids,
    restart,
    start,
    start_asking_run,
    start_both,
    stop,
)
from tests.support.studio import free_port
from tests.support.supervisor import Client, RunningSupervisor, has_ended
from tests.support.waiting import TIMEOUT, wait_until

R = TypeVar("R")
STOPPING = {ModuleState.STOPPING}
NO_KEYS = (
    "no usable LLM backend: set OPENAIKEY, ANTHROPICKEY, GEMINIKEY or OPENROUTERKEY "
    "(POST /env) and restart the module"
)


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningSupervisor]:
    with RunningSupervisor() as supervisor:
        yield supervisor


@pytest.fixture
def supervisor(shared: RunningSupervisor) -> Iterator[RunningSupervisor]:
    """One that others use too; the modules are stopped after each test."""
    yield shared
    for kind in (LLM, WEB):
        stop(shared.client, kind)


@pytest.fixture
def client(supervisor: RunningSupervisor) -> Client:
    return supervisor.client


def nested(depth: int) -> object:
    value: object = "deep"
    for _ in range(depth):
        value = [value]
    return value


def state(client: Client) -> ModuleState:
    return module(client, LLM).state


def is_refused_at(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def beside(supervisor: RunningSupervisor, ask: Callable[[Client], R]) -> Future[R]:
    """Ask on a connection of its own, and do not wait for the answer."""
    return ThreadPoolExecutor(1).submit(ask, supervisor.connect())


# ------------------------------------------------------------------------------- start and stop


def test_a_module_is_started_shown_and_stopped(client: Client) -> None:
    start(client, LLM, workers=2)
    status = module(client, LLM)
    assert (status.state, status.reason, status.retiring) == (ModuleState.RUNNING, None, 0)
    assert [each.sessions for each in status.workers] == [0, 0]
    wait_until(lambda: all(each.rss for each in module(client, LLM).workers))
    with pytest.raises(ModuleAlreadyRunning, match=r"^module_already_running$"):
        start(client, LLM)
    workers = [psutil.Process(pid) for pid in pids(client, LLM)]
    assert stop(client, LLM)
    assert all(has_ended(worker) for worker in workers)
    assert state(client) is ModuleState.STOPPED
    assert not stop(client, LLM)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"workers": 0}, "config: workers: expected 1 to 64, got 0"),
        ({"bind_address": "here"}, "config: bind_address: expected HOST:PORT, got 'here'"),
        ({"host": "localhost"}, "config: port: expected a port from 1 to 65535, got nothing"),
        ({"timeout": "soon"}, "timeout: "),
        ({"a": "x" * (5 << 20)}, "^config: longer than"),
        ({"deep": nested(40)}, "^config: deep: nests deeper than 32"),
        ({"a-b": nested(40)}, "^config: a-b: nests deeper than 32"),
    ],
)
def test_a_bad_configuration_starts_nothing(
    client: Client, config: dict[str, object], text: str
) -> None:
    with pytest.raises(BadRequest, match=text):
        start(client, LLM, **config)
    status = module(client, LLM)
    assert (status.state, status.workers) == (ModuleState.STOPPED, [])


@pytest.mark.parametrize(
    ("config", "fault", "text"),
    [
        (b'{"backends": {}}', RequestFailed, "backends: no usable LLM backend"),
        (b'{"workers": "two"}', BadRequest, "config: workers: expected 1 to 64"),
        (b'{"bind_address": "nowhere.invalid:80"}', BadRequest, "config: bind_address: clients"),
        (b'{"host": "0.0.0.0", "port": 80}', BadRequest, "config: host: clients may have"),
    ],
)
def test_a_start_that_fails_leaves_the_module_stopped_and_says_why(
    client: Client, config: bytes, fault: type[Exception], text: str
) -> None:
    for ask in (StartModule, RestartModule):
        with pytest.raises(fault, match=text):
            client.ask(ask(LLM, config))
        status = module(client, LLM)
        assert status.state is ModuleState.STOPPED
        assert (status.reason or "").startswith(text)
    start(client, LLM)
    assert module(client, LLM).reason is None


def test_a_module_starts_without_its_keys_and_says_which(client: Client) -> None:
    port = free_port()
    config = b'{"host": "localhost", "port": %d}' % port
    assert client.ask(StartModule(LLM, config)) == Done()
    status = module(client, LLM)
    assert status.state is ModuleState.RUNNING
    assert status.reason == NO_KEYS
    assert not is_refused_at(port)
    client.ask(SetEnv("GEMINIKEY", "sk-never-used"))
    assert client.ask(RestartModule(LLM, config)) == Done()
    assert module(client, LLM).reason is None
    client.ask(SetEnv("GEMINIKEY", ""))
    assert client.ask(RestartModule(LLM, None)) == Done()
    assert module(client, LLM).reason == NO_KEYS
    wait_until(lambda: is_refused_at(port))


def test_what_a_client_gives_is_laid_over_the_modules_file(supervisor: RunningSupervisor) -> None:
    root = supervisor.folder / "laid-over"
    (root / "config").mkdir(parents=True)
    file = root / "config" / "genvm-module-llm.yaml"
    mine = "{host: 'http://h', provider: openai-compatible, key: '${ENV[MY_KEY]}', models: {m: {}}}"
    port, other = free_port(), free_port()
    file.write_text(f"workers: 1\nbind_address: 127.0.0.1:{port}\nbackends: {{mine: {mine}}}")
    web = root / "config" / "genvm-module-web.yaml"
    web.write_text("workers: 1\nwebdriver_host: http://127.0.0.1:9\ntimeout: soon")
    with RunningSupervisor(f"root: {root}") as rooted:
        client = rooted.client
        client.ask(StartModule(LLM))
        status = module(client, LLM)
        assert (len(status.workers), is_refused_at(port)) == (1, False)
        text = "no usable LLM backend: set MY_KEY (POST /env) and restart the module"
        assert status.reason == text
        client.ask(RestartModule(LLM, b'{"host": "127.0.0.1", "port": %d, "workers": 2}' % other))
        wait_until(lambda: is_refused_at(port))
        assert (len(module(client, LLM).workers), is_refused_at(other)) == (2, False)
        with pytest.raises(BadRequest, match=r"^config: host: expected str beside port"):
            client.ask(RestartModule(LLM, b'{"port": 9}'))
        with pytest.raises(RequestFailed, match=r"llm\.yaml: backends\.mine\.host"):
            file.write_text("backends: {mine: {host: nowhere, provider: ollama}}")
            client.ask(RestartModule(LLM, b'{"workers": 1}'))
        with pytest.raises(RequestFailed, match="no usable LLM backend"):
            file.write_text("backends: {}")
            client.ask(RestartModule(LLM, b"{}"))
        with pytest.raises(RequestFailed, match=r"web\.yaml: config: timeout"):
            client.ask(StartModule(WEB, b'{"max_redirects": 3}'))
        client.ask(StartModule(WEB, b'{"timeout": "3s"}'))
        assert (len(module(client, WEB).workers), module(client, WEB).reason) == (1, None)


def test_a_fault_in_the_modules_own_file_is_not_the_clients(supervisor: RunningSupervisor) -> None:
    root = supervisor.folder / "root"
    (root / "config").mkdir(parents=True)
    file = root / "config" / "genvm-module-llm.yaml"
    file.write_text("workers: many")
    with RunningSupervisor(f"root: {root}") as rooted:
        with pytest.raises(RequestFailed, match=r"llm\.yaml: config: workers: expected"):
            rooted.client.ask(StartModule(LLM))
        file.write_text("timeout: later")
        with pytest.raises(RequestFailed, match=r"llm\.yaml: timeout: "):
            rooted.client.ask(StartModule(LLM))
        file.write_text("workers: 1\nbackends: {}")
        rooted.client.ask(StartModule(LLM, allow_empty_backends=True))
        assert len(pids(rooted.client, LLM)) == 1


def test_a_stop_calls_a_start_off(supervisor: RunningSupervisor) -> None:
    client = supervisor.client
    starting = beside(supervisor, lambda other: start(other, LLM, workers=8))
    wait_until(lambda: state(client) is ModuleState.STARTING)
    with pytest.raises(ModuleAlreadyRunning):
        start(client, LLM)
    with pytest.raises(RequestFailed, match="is starting"):
        restart(client, LLM)
    assert stop(client, LLM)
    with pytest.raises(RequestFailed, match="the llm module was stopped while it started"):
        starting.result(TIMEOUT)
    assert state(client) is ModuleState.STOPPED


def test_workers_that_keep_dying_fail_the_module(client: Client) -> None:
    start(client, LLM)
    killed: set[int] = set()
    while state(client) is ModuleState.RUNNING:
        for pid in set(pids(client, LLM)) - killed:
            psutil.Process(pid).kill()
            killed.add(pid)
        threading.Event().wait(0.05)
    status = module(client, LLM)
    assert (status.state, status.workers) == (ModuleState.FAILED, [])
    assert "was ended by SIGKILL" in (status.reason or "")
    restart(client, LLM)
    assert state(client) is ModuleState.RUNNING


# ------------------------------------------------------------------------------------------ runs


def test_a_run_holds_both_modules_until_its_end(supervisor: RunningSupervisor) -> None:
    client = supervisor.client
    start_both(client)
    run_id = start_asking_run(supervisor)
    wait_until(lambda: module(client, WEB).workers[0].sessions == 1)
    files = len(supervisor.open_files())
    client.cancel(run_id)
    run = client.finished(run_id)
    assert b"MODULE_USER_ERROR" in run.stdout
    wait_until(lambda: module(client, LLM).workers[0].sessions == 0)
    wait_until(lambda: module(client, WEB).workers[0].sessions == 0)
    assert len(supervisor.open_files()) < files
    assert client.status().permits.in_use == 0


def test_many_runs_leave_no_descriptor(supervisor: RunningSupervisor) -> None:
    client = supervisor.client
    start_both(client)
    client.run("quick", is_sync=False, modules=[LLM, WEB])
    files = sorted(supervisor.open_files())
    for _ in range(30):
        client.run("quick", is_sync=False, modules=[LLM, WEB])
    with pytest.raises(RequestFailed):
        client.start("quick", is_sync=False, modules=[LLM, WEB], timestamp=0.0)
    assert sorted(supervisor.open_files()) == files


def test_without_a_module_a_run_that_needs_it_is_refused(client: Client) -> None:
    text = r"^modules are required but not running \(is_sync=false with 'n' permission\): "
    both = text + "the llm module is stopped and the web module is stopped; start them by POST"
    with pytest.raises(ModulesNotRunning, match=both):
        client.start("quick", **ASKING)
    start(client, LLM)
    with pytest.raises(ModulesNotRunning, match=text + "the web module is stopped; start it by"):
        client.start("quick", **ASKING)
    start(client, WEB)
    assert client.run("quick", **ASKING).exit == Exit(code=0)


def test_a_run_needs_and_gets_the_modules_that_it_names(supervisor: RunningSupervisor) -> None:
    client = supervisor.client
    start(client, LLM)
    with pytest.raises(ModulesNotRunning):
        client.start("echoes", **(ASKING | {"modules": [WEB]}))
    run_id = client.start("echoes", **(ASKING | {"modules": [LLM]}))
    argv = client.finished(run_id).stdout
    assert (b"--module-llm=fd://" in argv, b"--module-web" in argv) == (True, False)
    starting = beside(supervisor, lambda other: start(other, WEB, workers=4))
    wait_until(lambda: module(client, WEB).state is ModuleState.STARTING)
    assert client.run("echoes", **(ASKING | {"modules": [LLM]})).exit == Exit(code=0)
    starting.result(TIMEOUT)
    assert client.status().permits.in_use == 0


def test_while_a_module_starts_a_run_that_needs_it_comes_again(
    supervisor: RunningSupervisor,
) -> None:
    client = supervisor.client
    start(client, WEB)
    starting = beside(supervisor, lambda other: start(other, LLM, workers=4))
    wait_until(lambda: state(client) is ModuleState.STARTING)
    with pytest.raises(Unavailable, match="the llm module is starting"):
        client.start("quick", **ASKING)
    starting.result(TIMEOUT)
    client.run("quick", **ASKING)


def test_a_queued_run_whose_module_is_stopped_meanwhile_does_not_start(
    supervisor: RunningSupervisor,
) -> None:
    client = supervisor.client
    start_both(client)
    client.set_permits(2)
    try:
        holder = client.start("slow")
        waiting = beside(supervisor, lambda other: other.start("quick", **ASKING))
        wait_until(lambda: client.status().permits.queued == 1)
        stop(client, WEB)
        client.cancel(holder)
        with pytest.raises(ModulesNotRunning):
            waiting.result(TIMEOUT)
        assert client.status().permits.in_use == 0
    finally:
        client.set_permits(8)


# ------------------------------------------------------------------------------ drain and restart


def test_a_stop_waits_for_runs_and_then_ends_their_connections() -> None:
    with RunningSupervisor("drain_timeout: 1s") as supervisor:
        client = supervisor.client
        start_both(client)
        run_id = start_asking_run(supervisor)
        stopping = beside(supervisor, lambda other: stop(other, LLM))
        wait_until(lambda: state(client) is ModuleState.STOPPING)
        with pytest.raises(RequestFailed, match="is stopping"):
            start(client, LLM)
        assert client.get(run_id) is None
        stopping.result(TIMEOUT)
        assert stop(client, WEB)
        assert (client.finished(run_id).cause, client.finished(run_id).exit) == (
            Cause.EXITED,
            Exit(code=5),
        )


def test_a_second_stop_waits_for_no_run(supervisor: RunningSupervisor) -> None:
    client = supervisor.client
    start_both(client)
    run_id = start_asking_run(supervisor)
    stopping = [beside(supervisor, lambda other: stop(other, LLM))]
    stopping += [beside(supervisor, lambda other: stop(other, WEB))]
    wait_until(lambda: {each.state for each in client.status().modules.values()} == STOPPING)
    assert client.get(run_id) is None
    assert stop(client, LLM) and stop(client, WEB)
    assert [each.result(TIMEOUT) for each in stopping] == [True, True]
    assert client.finished(run_id).exit == Exit(code=5)


def test_a_restart_replaces_the_workers_and_keeps_the_runs(supervisor: RunningSupervisor) -> None:
    client = supervisor.client
    start_both(client)
    before = pids(client, LLM)
    run_id = start_asking_run(supervisor)
    restart(client, LLM, workers=2)
    status = module(client, LLM)
    assert (status.state, status.retiring, len(status.workers)) == (ModuleState.RUNNING, 1, 2)
    assert set(before).isdisjoint(pids(client, LLM))
    other = start_asking_run(supervisor)
    assert client.get(run_id) is None
    for each in (run_id, other):
        client.cancel(each)
        assert b"MODULE_USER_ERROR" in client.finished(each).stdout
    wait_until(lambda: module(client, LLM).retiring == 0)
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in before))


def test_a_restart_that_fails_changes_nothing(client: Client) -> None:
    start(client, LLM)
    before = module(client, LLM)
    with pytest.raises(BadRequest, match="config: workers"):
        restart(client, LLM, workers="two")
    with pytest.raises(BadRequest, match="timeout"):
        restart(client, LLM, timeout="soon")
    after = module(client, LLM)
    assert (after.state, after.since) == (ModuleState.RUNNING, before.since)
    assert [each.pid for each in after.workers] == [each.pid for each in before.workers]


def test_a_stopped_module_is_restarted_by_starting_it(client: Client) -> None:
    restart(client, LLM)
    assert state(client) is ModuleState.RUNNING


# ------------------------------------------------------------------------------------- listeners


def test_the_listener_outlives_a_restart_at_the_same_address(client: Client) -> None:
    port = free_port()
    start(client, LLM, bind_address=f"127.0.0.1:{port}")
    refused = []
    ended = threading.Event()

    def knock() -> None:
        while not ended.wait(0.001):
            refused.append(is_refused_at(port))

    knocking = threading.Thread(target=knock)
    knocking.start()
    restart(client, LLM, host="127.0.0.1", port=port)
    ended.set()
    knocking.join()
    assert refused and not any(refused)
    restart(client, LLM)
    wait_until(lambda: is_refused_at(port))


def test_an_address_in_use_is_said(client: Client) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for config in ({"bind_address": f"127.0.0.1:{port}"}, {"host": "localhost", "port": port}):
            text = rf"^cannot listen at \S+:{port}: Address already in use; end what listens there"
            with pytest.raises(RequestFailed, match=text):
                start(client, LLM, **config)
            assert f":{port}: Address already in use" in (module(client, LLM).reason or "")


# ---------------------------------------------------------------------------------- the supervisor


def test_the_log_level_reaches_the_workers(supervisor: RunningSupervisor) -> None:
    client = supervisor.client
    config = b'{"workers": 1, "backends": {"a": {"provider": "ollama", "host": "http://a"}}}'

    def warnings() -> int:
        return supervisor.log.count("llm_backend_dropped backend=a")

    before = warnings()
    client.ask(SetLogLevel("error"))
    client.ask(StartModule(LLM, config, allow_empty_backends=True))
    stop(client, LLM)
    assert warnings() == before
    client.ask(SetLogLevel("info"))
    client.ask(StartModule(LLM, config, allow_empty_backends=True))
    wait_until(lambda: warnings() == before + 1)


def test_a_stopping_supervisor_ends_its_modules_last() -> None:
    with RunningSupervisor("drain_timeout: 1s") as supervisor:
        start_both(supervisor.client)
        run_id = start_asking_run(supervisor)
        supervisor.process.terminate()
        assert supervisor.process.wait(TIMEOUT) == 0
        run_ended = supervisor.log.index(f"run_finished run={run_id} ")
        for kind in (LLM, WEB):
            assert run_ended < supervisor.log.index(f"module_stopped module={kind} ")


def test_a_killed_supervisor_takes_its_workers_along() -> None:
    with RunningSupervisor() as supervisor:
        start_both(supervisor.client)
        workers = [
            psutil.Process(pid) for kind in (LLM, WEB) for pid in pids(supervisor.client, kind)
        ]
        supervisor.kill_with_shim()
        wait_until(lambda: all(has_ended(worker) for worker in workers))
        supervisor.start()
        assert state(supervisor.client) is ModuleState.STOPPED
