"""SIGHUP to `serve` and to HTTP: no client notices but by what the settings changed."""

from __future__ import annotations

import fcntl
import os
import signal
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from genvm_manager.base.logging.shared_level import SharedLevel
from genvm_manager.manager.launcher.service_file import find_service_file
from genvm_manager.manager.server.gunicorn_master import MOST_RETIRED
from genvm_manager.protocol import calldata
from tests.support.service import RunningService, command_line, run_request
from tests.support.signals import blocked
from tests.support.supervisor import has_ended
from tests.support.waiting import TIMEOUT, wait_until

CONFIG = "{http_workers: 2, http_threads: 32, permits: {total: 4}, drain_timeout: 1s}"


@pytest.fixture
def service() -> Iterator[RunningService]:
    with RunningService(config=CONFIG) as running:
        yield running


class Client(threading.Thread):
    """Asks again and again until told to stop; keeps every answer that is not 200."""

    def __init__(self, service: RunningService, ask: Callable[[httpx.Client], httpx.Response]):
        super().__init__()
        self._http = httpx.Client(base_url=service.url, timeout=TIMEOUT, trust_env=False)
        self._ask = ask
        self._is_over = threading.Event()
        self.answers = 0
        self.failures: list[str] = []

    def __enter__(self) -> Client:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()
        self._http.close()

    def run(self) -> None:
        while not self._is_over.is_set():
            try:
                answer = self._ask(self._http)
                if answer.status_code != 200:
                    self.failures.append(f"{answer.status_code} {answer.text}")
            except httpx.HTTPError as error:
                self.failures.append(repr(error))
            self.answers += 1


def status(http: httpx.Client) -> httpx.Response:
    return http.get("/status")


def status_on_a_new_connection(http: httpx.Client) -> httpx.Response:
    return http.get("/status", headers={"Connection": "close"})


def whole_run(http: httpx.Client) -> httpx.Response:
    """Start a run, wait for its end; the answer to that."""
    orders = {"sleep_ms": 100, "exit": 3}
    started = http.post("/genvm/run", content=calldata.encode(run_request(orders)))
    if started.status_code != 200:
        return started
    ended = http.get(f"/genvm/{started.json()['id']}?wait=30s")
    assert ended.json()["status"]["exit_code"] == 3
    return ended


def workers(service: RunningService) -> set[psutil.Process]:
    return set(service.half("http").children())


def retires(worker: psutil.Process) -> bool:
    """Whether it has heard that its time is over, or has ended already."""
    with suppress(psutil.NoSuchProcess):
        return has_ended(worker) or "(retiring)" in " ".join(worker.cmdline())
    return True


def reload(service: RunningService) -> set[psutil.Process]:
    """Have the workers replaced; the ones that were there, some of which may still be."""
    before = workers(service)
    service.half("http").send_signal(signal.SIGHUP)
    wait_until(lambda: all(retires(worker) for worker in before))
    return before


def _have_answered_since(clients: list[Client], answered: list[int]) -> bool:
    return all(client.answers > n for client, n in zip(clients, answered, strict=True))


def test_workers_are_replaced_under_load_and_nobody_is_failed(service: RunningService) -> None:
    long_run = service.start_run({"sleep_ms": 600_000})
    http, supervisor = service.half("http"), service.half("supervisor")

    def long_wait(client: httpx.Client) -> httpx.Response:
        return client.get(f"/genvm/{long_run}?wait=1s")

    asks = [status, status_on_a_new_connection, whole_run, whole_run, *[long_wait] * 4]
    replaced: set[psutil.Process] = set()
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(service, ask)) for ask in asks]
        for _ in range(3):
            answered = [client.answers for client in clients]
            replaced |= reload(service)
            wait_until(partial(_have_answered_since, clients, answered))
    assert [client.failures for client in clients] == [[]] * len(clients)
    assert (service.half("http"), service.half("supervisor")) == (http, supervisor)
    assert len(replaced) == 6
    service.client.cancel(long_run, grace_ms=0)
    cancelled = service.client.get_run(long_run).status
    assert cancelled is not None
    assert cancelled.cause == "cancelled"
    service.client.close()
    wait_until(lambda: not replaced & workers(service))
    assert len(workers(service)) == 2


def _is_logged(service: RunningService, line: str) -> bool:
    return line in service.log


def configure(service: RunningService, config: str) -> None:
    (service.folder / "config.yaml").write_text(config)


class WaitingRequest(threading.Thread):
    """One request that has to wait; a worker has it once this is made."""

    def __init__(self, service: RunningService, method: str, path: str, **sent: Any) -> None:
        super().__init__()
        self._request = (method, f"{service.url}{path}", sent)
        self.answer: httpx.Response | None = None
        known = connections(service)
        self.start()
        wait_until(lambda: connections(service) - known)

    def run(self) -> None:
        method, url, sent = self._request
        self.answer = httpx.request(method, url, timeout=TIMEOUT, **sent)

    def answered(self) -> httpx.Response:
        self.join(TIMEOUT)
        assert self.answer is not None
        return self.answer


def connections(service: RunningService) -> set[int]:
    """The ports of the clients that the workers have taken in."""
    return {
        connection.raddr.port
        for worker in workers(service)
        for connection in worker.net_connections("tcp4")
        if connection.raddr
    }


def wait_for_end(service: RunningService, genvm_id: int) -> WaitingRequest:
    return WaitingRequest(service, "GET", f"/genvm/{genvm_id}?wait=60s")


def test_who_waits_gets_the_answer_from_a_worker_that_retires(service: RunningService) -> None:
    service.client.set_permits(2)
    running = [service.start_run({"sleep_ms": 600_000}) for _ in range(2)]
    end = wait_for_end(service, running[0])
    body = calldata.encode(run_request({"exit": 4}))
    start = WaitingRequest(service, "POST", "/genvm/run", content=body)
    wait_until(lambda: service.client.permits().queued == 1)
    before = reload(service)
    new = workers(service) - before
    # One that dies is replaced, however many retire.
    new.pop().kill()
    wait_until(lambda: len([w for w in workers(service) if not retires(w)]) == 2)
    assert any(not has_ended(worker) for worker in before)
    assert end.answer is None and start.answer is None
    service.client.cancel(running[0], grace_ms=0)
    assert end.answered().json()["status"]["cause"] == "cancelled"
    ended = service.client.get_run(start.answered().json()["id"], wait=TIMEOUT).status
    assert ended is not None and ended.exit_code == 4
    wait_until(lambda: not before & workers(service))
    service.client.cancel(running[1], grace_ms=0)


def test_workers_that_retire_are_bounded(service: RunningService) -> None:
    genvm_id = service.start_run({"sleep_ms": 600_000})
    waiting = wait_for_end(service, genvm_id)
    for _ in range(MOST_RETIRED):
        reload(service)
    assert waiting.answer is None
    reload(service)
    assert waiting.answered().status_code == 503
    assert int(waiting.answered().headers["Retry-After"]) >= 1
    # On a connection of its own: that of the client may be to the worker that ends.
    ended = httpx.delete(f"{service.url}/genvm/{genvm_id}?wait_timeout_ms=0", timeout=TIMEOUT)
    assert ended.is_success, ended.text


def test_a_stop_waits_for_no_worker_that_retires(service: RunningService) -> None:
    genvm_id = service.start_run({"sleep_ms": 600_000})
    waiting = wait_for_end(service, genvm_id)
    reload(service)
    assert waiting.answer is None
    http = service.half("http")
    http.terminate()
    # Told so, and not cut off.
    assert waiting.answered().status_code == 503
    wait_until(lambda: has_ended(http))
    wait_until(lambda: service.http.get("/readyz", timeout=TIMEOUT).is_success)


def test_who_waits_at_a_worker_that_retires_is_told_of_the_end_that_a_stop_brings(
    service: RunningService,
) -> None:
    genvm_id = service.start_run({"sleep_ms": 600_000})
    waiting = wait_for_end(service, genvm_id)
    reload(service)
    assert service.stop() == 0
    assert waiting.answered().json()["status"]["cause"] == "shutdown"


def test_a_reload_of_serve_takes_over_what_both_halves_use(service: RunningService) -> None:
    """Signalled to `serve`, which is what a sysadmin knows the pid of."""
    token = service.folder / "token"
    token.write_text("secret-of-the-first-day")
    token.chmod(0o600)
    supervisor = service.half("supervisor")
    configure(
        service,
        "{http_workers: 1, allowed_hosts: [genvm.example], log_level: debug, max_queued: 7,"
        " max_body: 1000000,"
        f" token_file: {token}}}",
    )
    service.process.send_signal(signal.SIGHUP)
    wait_until(lambda: service.http.get("/status").status_code == 401)
    assert service.http.get("/healthz", headers={"Host": "genvm.example"}).is_success
    bearer = {"Authorization": "Bearer secret-of-the-first-day"}
    assert service.http.get("/status", headers=bearer).is_success
    file = find_service_file(service.state)
    assert file is not None and file.token_file == str(token)
    for line in (
        "warn setting_waits_for_restart setting=max_queued process=supervisor",
        "warn setting_waits_for_restart setting=max_body process=http",
        "log_level_set to=debug process=supervisor",
        "info manifest_reloaded process=supervisor",
        "info supervisor_reloaded process=supervisor",
        f"log_level_set to=debug process=serve pid={service.process.pid}",
        f"log_level_set to=debug process=http pid={service.half('http').pid}",
    ):
        wait_until(partial(_is_logged, service, line))
    wait_until(lambda: len(workers(service)) == 1)

    token.write_text("secret-of-the-second-day")
    service.process.send_signal(signal.SIGHUP)
    wait_until(lambda: service.http.get("/status", headers=bearer).status_code == 401)
    bearer = {"Authorization": "Bearer secret-of-the-second-day"}
    assert service.http.get("/status", headers=bearer).is_success
    assert service.half("supervisor") == supervisor


def test_a_reload_waits_for_no_supervisor_and_tells_it_the_level_later(
    service: RunningService,
) -> None:
    supervisor = service.half("supervisor")
    supervisor.suspend()
    configure(service, "{http_workers: 2, log_level: debug}")
    replaced = reload(service)
    new = workers(service) - replaced
    new.pop().kill()
    wait_until(lambda: len(workers(service) - replaced) == 2)
    assert "log_level_set to=debug process=supervisor" not in service.log
    assert "log_level_not_offered" not in service.log
    supervisor.resume()
    wait_until(lambda: "log_level_set to=debug process=supervisor" in service.log)
    assert "to=info" not in service.log


@pytest.mark.parametrize("whom", ["serve", "http"])
def test_settings_that_cannot_be_used_change_nothing(service: RunningService, whom: str) -> None:
    before = workers(service)
    configure(service, "{http_workers: none}")
    if whom == "serve":
        service.process.send_signal(signal.SIGHUP)
        said = "warn not reloaded: "
    else:
        service.half("http").send_signal(signal.SIGHUP)
        said = "error reload_refused reason="
    wait_until(lambda: said in service.log)
    assert "http_workers: expected int, got str" in service.log
    assert workers(service) == before
    assert service.http.get("/readyz").is_success
    configure(service, CONFIG)
    assert reload(service) == before


def test_a_reload_of_http_alone_takes_the_log_level_to_every_process(
    service: RunningService,
) -> None:
    configure(service, "{http_workers: 2, log_level: debug}")
    service.half("http").send_signal(signal.SIGHUP)
    for process in (
        "supervisor",
        f"serve pid={service.process.pid}",
        f"http pid={service.half('http').pid}",
    ):
        wait_until(partial(_is_logged, service, f"log_level_set to=debug process={process}"))
    assert "supervisor_reloaded" not in service.log


def _reads(shared: SharedLevel, level: str) -> bool:
    return shared.read() == level


def test_of_two_reloads_in_a_row_the_level_of_the_last_one_stays(service: RunningService) -> None:
    shared = SharedLevel(service.state, "info")
    for level in ("warn", "debug", "error", "info") * 2:
        configure(service, f"{{http_workers: 2, log_level: {level}}}")
        service.half("http").send_signal(signal.SIGHUP)
        wait_until(partial(_reads, shared, level))
    configure(service, CONFIG)


def test_a_level_that_a_reload_brought_is_not_kept_for_the_next_supervisor(
    service: RunningService,
) -> None:
    shared = SharedLevel(service.state, "info")
    service.client.set_log_level("error")
    service.half("http").send_signal(signal.SIGHUP)
    wait_until(lambda: shared.read() == "info")
    configure(service, "{http_workers: 2, log_level: warn}")
    service.half("http").send_signal(signal.SIGHUP)
    wait_until(lambda: shared.read() == "warn")
    configure(service, CONFIG)
    service.half("supervisor").kill()
    wait_until(lambda: shared.read() == "info")


HALVES = {"genvm_manager.manager.server", "genvm_manager.supervisor"}


def _starting(service: RunningService) -> set[str]:
    """Return the halves that have been started and have no title yet.

    What a dead half left behind is a child of the service too, for a moment, but has a title.
    """
    return {
        module
        for child in service.process.children()
        for module in HALVES.intersection(command_line(child))
    }


def test_a_reload_ends_no_half_that_is_starting(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    slow = f"""
import os, sys, time
while {HALVES} & set(sys.orig_argv) and os.path.exists({str(hold)!r}):
    time.sleep(0.05)
"""
    with RunningService(config=CONFIG, customize=slow) as service:
        hold.touch()
        for half in (service.half("http"), service.half("shim")):
            half.kill()
        wait_until(lambda: _starting(service) == HALVES)
        service.process.send_signal(signal.SIGHUP)
        hold.unlink()
        wait_until(lambda: "info reloaded" in service.log)
        wait_until(lambda: "info supervisor_reloaded" in service.log)
        assert service.log.count("starting it again") == 2


def test_a_reload_does_not_end_serve_that_is_starting() -> None:
    service = RunningService(config=CONFIG)
    serve = service.launch(service.folder / "log")
    try:
        wait_until(lambda: signal.SIGHUP in blocked(serve.pid))
        serve.send_signal(signal.SIGHUP)
        wait_until(lambda: "info supervisor_reloaded" in service.log)
        wait_until(lambda: "info reloaded" in service.log)
        serve.terminate()
        assert serve.wait(TIMEOUT) == 0
    finally:
        serve.kill()
        service.discard()


def test_a_new_token_waits_for_settings_that_can_be_used() -> None:
    with RunningService(config=CONFIG) as service:
        token = service.folder / "token"
        token.write_text("secret-of-the-first-day")
        token.chmod(0o600)
        configure(service, f"{{http_workers: 2, token_file: {token}}}")
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: service.http.get("/status").status_code == 401)
        configure(service, f"{{http_workers: none, token_file: {token}}}")
        token.write_text("secret-of-the-second-day")
        service.half("http").send_signal(signal.SIGHUP)
        wait_until(lambda: "error reload_refused reason=" in service.log)
        old = {"Authorization": "Bearer secret-of-the-first-day"}
        assert service.http.get("/status", headers=old).is_success


def test_a_token_file_that_cannot_be_used_changes_nothing(service: RunningService) -> None:
    token = service.folder / "token"
    token.write_text("secret-of-the-first-day")
    token.chmod(0o644)
    configure(service, f"{{http_workers: 2, token_file: {token}}}")
    before = workers(service)
    service.process.send_signal(signal.SIGHUP)
    wait_until(lambda: f"warn not reloaded: token file {token}: others may read it" in service.log)
    # The supervisor has no use for it.
    wait_until(lambda: "info supervisor_reloaded" in service.log)
    service.half("http").send_signal(signal.SIGHUP)
    said = f"error reload_refused reason='token file {token}: others may read it"
    wait_until(lambda: said in service.log)
    assert workers(service) == before
    assert service.http.get("/status").is_success


def test_fewer_and_more_workers_are_had_by_signals(service: RunningService) -> None:
    """gunicorn's own way; who is too many retires as well."""
    http = service.half("http")
    http.send_signal(signal.SIGTTIN)
    wait_until(lambda: len(workers(service)) == 3)
    http.send_signal(signal.SIGTTOU)
    wait_until(lambda: len(workers(service)) == 2)
    assert service.http.get("/readyz").is_success


def test_no_signal_makes_a_second_master(service: RunningService) -> None:
    http, before = service.half("http"), workers(service)
    http.send_signal(signal.SIGUSR2)
    wait_until(lambda: "signal_ignored signal=SIGUSR2" in service.log)
    assert workers(service) == before
    assert service.http.get("/readyz").is_success


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """The two ends of a terminal that nobody has yet."""
    ours, theirs = os.openpty()
    yield ours, theirs
    for end in (ours, theirs):
        with suppress(OSError):
            os.close(end)


@pytest.mark.parametrize("is_nohup", [False, True])
def test_a_terminal_that_hangs_up_stops_what_it_has_started(
    terminal: tuple[int, int], is_nohup: bool
) -> None:
    ours, theirs = terminal

    def take_terminal() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        if is_nohup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    service = RunningService(config=CONFIG)
    try:
        service.start(start_new_session=True, preexec_fn=take_terminal)
        os.close(theirs)
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: service.log.count("info reloaded") == 1)
        os.close(ours)
        if is_nohup:
            wait_until(lambda: service.log.count("info reloaded") == 2)
            assert service.http.get("/readyz").is_success
            assert service.stop() == 0
        assert service.wait(TIMEOUT) == 0
        service.assert_nothing_left()
    finally:
        service.discard()


def test_the_http_side_alone_can_be_started_again(service: RunningService) -> None:
    """As a process manager does it: a planned stop of HTTP answers waiting requests with 503."""
    service.client.set_permits(2)
    running = [service.start_run({"sleep_ms": 600_000}) for _ in range(2)]
    body = calldata.encode(run_request({"exit": 4}, host_genvm_id="queued"))
    waiting = [
        wait_for_end(service, running[0]),
        WaitingRequest(service, "POST", "/genvm/run", content=body),
    ]
    wait_until(lambda: service.client.permits().queued == 1)
    before, pids = service.half("http"), executor_pids(service)
    before.terminate()
    for each in waiting:
        assert each.answered().status_code == 503
        assert int(each.answered().headers["Retry-After"]) >= 1
    wait_until(lambda: service.half("http") != before)
    wait_until(lambda: service.http.get("/readyz", timeout=TIMEOUT).is_success)
    assert executor_pids(service) == pids
    assert service.client.permits().queued == 1
    again = WaitingRequest(service, "POST", "/genvm/run", content=body)
    service.client.cancel(running[0], grace_ms=0)
    ended = service.client.get_run(again.answered().json()["id"], wait=TIMEOUT).status
    assert ended is not None and ended.exit_code == 4
    service.client.cancel(running[1], grace_ms=0)


def executor_pids(service: RunningService) -> dict[str, int | None]:
    executions = service.client.status().executions
    return {genvm_id: each.pid for genvm_id, each in executions.items()}
