"""A Chromium of our own: its process, its isolation, its end."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from .devtools import BrowserGone, CommandRefused, DevTools
from .profile import make_profile, remove_profile

START_PATIENCE = 30.0
"""Seconds within which a browser must answer; the first start on a machine reads it from disk."""

_STOP_PATIENCE = 2.0
_USUAL_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_NOBODY = "nobody"
_READS, _WRITES = 3, 4
"""The descriptors of `--remote-debugging-pipe`."""

_FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--hide-scrollbars",
    "--mute-audio",
    "--password-store=basic",
    "--js-flags=--max-old-space-size=512",
    # Nothing goes anywhere but through the proxy of a page: not to loopback, which Chromium would
    # exempt, not past it by UDP, and no name is looked up here.
    "--proxy-server=http://127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)


class BrowserUnavailable(Exception):
    """No browser can be started; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """How a browser is kept from the rest of the machine: by user, and by its own sandbox."""

    user: str | None
    """None: the worker's own."""

    has_sandbox: bool

    def __str__(self) -> str:
        user = self.user or pwd.getpwuid(os.geteuid()).pw_name
        return f"user {user}, {'with' if self.has_sandbox else 'without'} Chromium's sandbox"


def isolations() -> Sequence[Isolation]:
    """What to try, the strictest first. Only root may do without the sandbox."""
    if os.geteuid() != 0:
        return (Isolation(None, True),)
    if shutil.which("setpriv") is None:
        return (Isolation(None, False),)
    return (Isolation(_NOBODY, True), Isolation(_NOBODY, False), Isolation(None, False))


def find_browser(configured: str | None) -> str:
    """The path of the browser. Raises `BrowserUnavailable`."""
    for name in (configured,) if configured else _USUAL_NAMES:
        path = shutil.which(name)
        if path is not None:
            return path
    if configured:
        raise BrowserUnavailable(f"browser_path: {configured} is no program")
    raise BrowserUnavailable(
        "no Chromium was found; install it (Debian: package chromium) or set browser_path"
    )


class Browser:
    """One running browser. `tools` is its debugging pipe."""

    def __init__(self, pid: int, profile: Path, tools: DevTools) -> None:
        self.pid = pid
        self.tools = tools
        self._profile = profile

    @classmethod
    async def start(cls, path: str, isolation: Isolation) -> Browser:
        """Start one and wait until it answers. Raises `BrowserUnavailable`."""
        profile = make_profile()
        tools = DevTools()
        pid = await _spawn(path, isolation, profile, tools)
        browser = cls(pid, profile, tools)
        try:
            await asyncio.wait_for(tools.send("Browser.getVersion"), START_PATIENCE)
        except (TimeoutError, BrowserGone, CommandRefused) as error:
            await browser.stop()
            word = "did not answer" if isinstance(error, TimeoutError) else "ended at its start"
            raise BrowserUnavailable(f"{path} {word} ({isolation})") from None
        except BaseException:
            await browser.stop()
            raise
        return browser

    @property
    def is_alive(self) -> bool:
        return not self.tools.gone.done()

    async def stop(self) -> None:
        """End it with all its processes, and remove what it wrote."""
        self.tools.close()
        await asyncio.shield(asyncio.to_thread(self._end))

    def kill_pages(self, limit: int) -> int:
        """SIGKILL its page processes above `limit` bytes of memory; gives how many."""
        killed = 0
        for process in _descendants(self.pid):
            with suppress(psutil.Error):
                is_page = "--type=renderer" in process.cmdline()
                if is_page and process.memory_info().rss > limit:
                    process.kill()
                    killed += 1
        return killed

    def _end(self) -> None:
        """It ends by itself when its pipe does; if not, by force."""
        family = _descendants(self.pid)
        deadline = time.monotonic() + _STOP_PATIENCE
        while not _reaped(self.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        for process in family:
            with suppress(psutil.Error):
                process.kill()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        while not _reaped(self.pid):
            time.sleep(0.02)
        psutil.wait_procs(family, timeout=_STOP_PATIENCE)
        remove_profile(self._profile)


async def _spawn(path: str, isolation: Isolation, profile: Path, tools: DevTools) -> int:
    """Start the process and attach its pipe."""
    reads, to_browser = os.pipe()
    from_browser, writes = os.pipe()
    try:
        if isolation.user:
            user = pwd.getpwnam(isolation.user)
            os.chown(profile, user.pw_uid, user.pw_gid)
        command = _command(path, isolation, profile)
        pid = os.posix_spawnp(
            command[0],
            command,
            _environment(profile),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, reads, _READS),
                (os.POSIX_SPAWN_DUP2, writes, _WRITES),
            ],
            setsid=True,
        )
    except (OSError, KeyError) as error:
        os.close(to_browser)
        os.close(from_browser)
        remove_profile(profile)
        raise BrowserUnavailable(f"{path} cannot be started: {error}") from None
    finally:
        os.close(reads)
        os.close(writes)
    await tools.attach(to_browser, from_browser)
    return pid


def _command(path: str, isolation: Isolation, profile: Path) -> list[str]:
    command = [path, *_FLAGS, f"--user-data-dir={profile}"]
    if not isolation.has_sandbox:
        command.append("--no-sandbox")
    if isolation.user:
        as_user = [f"--reuid={isolation.user}", "--regid=nogroup", "--clear-groups"]
        command = ["setpriv", *as_user, "--", *command]
    return [*command, "about:blank"]


def _environment(profile: Path) -> dict[str, str]:
    """No secret of ours is in it, and what it writes stays in its folder."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, "HOME": str(profile), "TMPDIR": str(profile)}


def _descendants(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True
