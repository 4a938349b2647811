"""Signals ignored before us: what a terminal sends stays so, SIGTERM works, no child has them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from genvm_manager.workers.web.browser.browser import (
    Browser,
    BrowserUnavailable,
    find_browser,
    isolations,
)
from tests.support.service_manager import Listener
from tests.support.signals import TERMINALS, blocked, caught, ignored, ignoring
from tests.support.supervisor import PROJECT, RunningSupervisor, has_ended
from tests.support.waiting import TIMEOUT, wait_until

CARELESS = (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2)
"""What only a careless launcher has ignored."""

BLOCKING = [
    sys.executable,
    "-c",
    "import os, signal, sys\n"
    "signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())\n"
    "os.execvp(sys.argv[1], sys.argv[1:])",
]
"""Words before a command that is to find all signals blocked."""


def test_a_supervisor_does_not_hear_what_was_ignored_but_for_sigterm() -> None:
    with RunningSupervisor("drain_timeout: 0s\n", starts=False) as supervisor:
        supervisor.start(before=ignoring(*TERMINALS, *CARELESS))
        client = supervisor.client
        for pid in (supervisor.pid, supervisor.process.pid):
            assert set(TERMINALS) <= ignored(pid)
            assert not set(CARELESS) & ignored(pid) - {signal.SIGPIPE}
            # The shim takes blocked ones, which come though they are ignored.
            assert not set(TERMINALS) & blocked(pid)
            for number in (signal.SIGINT, signal.SIGHUP):
                os.kill(pid, number)
        assert client.run("crashes").exit.code == 7, "its end is heard of"
        run_id = client.start("slow")
        (running,) = [each.pid for each in client.status().executions if each.id == run_id]
        assert running is not None
        assert (ignored(running), blocked(running)) == (set(), set())
        assert client.status().accepting
        supervisor.process.send_signal(signal.SIGTERM)
        assert supervisor.process.wait(TIMEOUT) == 0
        assert "supervisor_stopped" in supervisor.log


def test_a_supervisor_hears_what_was_blocked() -> None:
    with RunningSupervisor(starts=False) as supervisor:
        supervisor.start(before=BLOCKING)
        assert blocked(supervisor.pid) == set()
        assert supervisor.client.run("crashes").exit.code == 7
        supervisor.process.send_signal(signal.SIGINT)
        assert supervisor.process.wait(TIMEOUT) == 0


@pytest.mark.parametrize("before", [ignoring(*TERMINALS, *CARELESS), BLOCKING])
def test_http_alone_reloads_and_stops(tmp_path: Path, before: list[str]) -> None:
    listener = Listener(tmp_path / "notify")
    (tmp_path / "config.yaml").write_text("http_workers: 1")
    command = [
        sys.executable,
        "-m",
        "genvm_manager.manager.server",
        "--state-dir",
        str(tmp_path),
    ]
    command += ["--config", str(tmp_path / "config.yaml"), "--bind", "127.0.0.1:0"]
    with subprocess.Popen([*before, *command], cwd=PROJECT, env=listener.environment) as master:
        try:
            listener.hear_until("READY", "1")
            (worker,) = psutil.Process(master.pid).children()
            for pid in (master.pid, worker.pid):
                stops = {signal.SIGINT, signal.SIGQUIT}
                assert stops <= (caught(pid) if before is BLOCKING else ignored(pid))
                assert {signal.SIGTERM, signal.SIGUSR2} <= caught(pid)
                assert blocked(pid) == set()
            if before is not BLOCKING:
                for pid in (master.pid, worker.pid):
                    os.kill(pid, signal.SIGINT)
                    os.kill(pid, signal.SIGQUIT)
            master.send_signal(signal.SIGHUP)
            wait_until(lambda: has_ended(worker), TIMEOUT)
            master.terminate()
            assert master.wait(TIMEOUT) == 0
        finally:
            master.kill()
            listener.close()


def test_a_browser_starts_with_all_signals_at_their_defaults() -> None:
    async def look() -> set[signal.Signals]:
        browser = await Browser.start(find_browser(None), isolations()[-1])
        try:
            return ignored(browser.pid) | blocked(browser.pid)
        finally:
            await browser.stop()

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        assert not asyncio.run(look()) & {signal.SIGHUP, signal.SIGUSR1}
    except BrowserUnavailable as error:
        pytest.skip(str(error))
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
