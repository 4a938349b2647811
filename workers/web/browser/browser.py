"""A Chromium process: its start, its isolation, its end."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from genvm_manager.base.process.exhaustion import is_exhaustion
from genvm_manager.base.process.identity import ProcessIdentity
from genvm_manager.base.process.killing import ProcessGroup, kill_until_gone
from genvm_manager.base.process.signals import ALL_SIGNALS

from .devtools import BrowserGone, CommandRefused, DevTools
from .profile import make_profile, remove_profile, user_data

START_TIMEOUT = 30.0
"""Seconds within which a browser must answer; the first start on a machine reads it from disk."""

_END_TIMEOUT = 5.0
_USUAL_NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "chrome",
)
"""The first is Chromium without a user interface: a page takes a third of the time in it."""

_NOBODY = "nobody"
_TYPE = "--type="
_READS, _WRITES = 3, 4
"""The descriptors of `--remote-debugging-pipe`."""

_FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--hide-scrollbars",
    "--mute-audio",
    "--password-store=basic",
    # No requests but those of pages, and these unchanged.
    "--disable-background-networking",
    "--disable-domain-reliability",
    "--disable-quic",
    "--disable-sync",
    "--no-pings",
    "--disable-features=AutofillServerCommunication,HttpsUpgrades,MediaRouter,OptimizationHints,"
    "Translate,WebRtcHideLocalIpsWithMdns",
    # A page is one process with bounded memory: it opens no windows, and its frames, which have no
    # secrets from each other, run in the same process.
    "--block-new-web-contents",
    "--disable-site-isolation-trials",
    "--js-flags=--max-old-space-size=512",
    # All traffic goes through the proxy of a page: also to loopback, which Chromium would exempt;
    # nothing goes past it by UDP, and no name is looked up here.
    "--proxy-server=http://127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)


class BrowserUnavailable(Exception):
    """No browser can be started; the message says why and what to do.

    `is_exhaustion`: the system lacks a resource just now, which says nothing about the isolation.
    """

    def __init__(self, message: str, *, is_exhaustion: bool = False) -> None:
        super().__init__(message)
        self.is_exhaustion = is_exhaustion


@dataclass(frozen=True, slots=True)
class Isolation:
    """How a browser is isolated from the rest of the machine: by its user and by its sandbox."""

    user: str | None
    """The user that it runs as; None: the worker's own."""

    has_sandbox: bool

    def __str__(self) -> str:
        with_or_without = "with" if self.has_sandbox else "without"
        return f"user {self.user or os.geteuid()}, {with_or_without} Chromium's sandbox"


def isolations() -> Sequence[Isolation]:
    """Return the isolations to try, the strictest first. Only root may omit the sandbox."""
    if os.geteuid() != 0:
        return (Isolation(None, True),)
    if shutil.which("setpriv") is None:
        return (Isolation(None, False),)
    return (Isolation(_NOBODY, True), Isolation(_NOBODY, False), Isolation(None, False))


def find_browser(configured: str | None) -> str:
    """Return the path of the browser. Raises `BrowserUnavailable`."""
    for name in (configured,) if configured else _USUAL_NAMES:
        path = shutil.which(name)
        if path is not None:
            return path
    if configured:
        raise BrowserUnavailable(f"browser_path: {configured} is not a program")
    raise BrowserUnavailable(
        "no Chromium was found; install it (Debian: package chromium-headless-shell or chromium) "
        "or set browser_path"
    )


class Browser:
    """One running browser. `tools` is its debugging pipe."""

    def __init__(self, pid: int, profile: Path, tools: DevTools) -> None:
        self.pid = pid
        self.tools = tools
        self._profile = profile
        self._ending: asyncio.Future[None] | None = None

    @classmethod
    async def start(cls, path: str, isolation: Isolation) -> Browser:
        """Start a browser and wait until it answers. Raises `BrowserUnavailable`."""
        tools = DevTools()
        try:
            user = pwd.getpwnam(isolation.user) if isolation.user else None
            with make_profile(user) as profile:
                pid = await _spawn(_command(path, isolation, user, profile), profile, tools)
        except (OSError, KeyError) as error:
            raise BrowserUnavailable(
                f"{path} cannot be started: {error}", is_exhaustion=is_exhaustion(error)
            ) from None
        browser = cls(pid, profile, tools)
        try:
            await asyncio.wait_for(tools.send("Browser.getVersion"), START_TIMEOUT)
        except (TimeoutError, BrowserGone, CommandRefused) as error:
            await browser.stop()
            what = "did not answer" if isinstance(error, TimeoutError) else "ended at its start"
            raise BrowserUnavailable(f"{path} {what} ({isolation})") from None
        except BaseException:
            await browser.stop()
            raise
        return browser

    async def stop(self) -> None:
        """End all its processes and remove its files; may be called at any time, also twice."""
        self.tools.close()
        if self._ending is None:
            self._ending = asyncio.ensure_future(asyncio.to_thread(self._end))
        await asyncio.shield(self._ending)

    def kill_overgrown(self, limit: int) -> list[str]:
        """SIGKILL its processes above `limit` bytes of memory; return their types."""
        family = [(process, _kind(process)) for process in _family(self.pid)]
        return [kind for process, kind in family if _kill_overgrown(process, limit)]

    def _end(self) -> None:
        """Kill it at once, since it holds nothing to be saved."""
        family = _family(self.pid)
        leader = ProcessIdentity.of(self.pid)
        group = ProcessGroup(self.pid)

        def kill() -> bool:
            for process in family:
                with suppress(psutil.Error):
                    process.kill()
            # This reaps the browser itself. Zombies of others in its group are not waited for.
            group.kill()
            return ProcessIdentity.of(self.pid) == leader or not all(map(_is_gone, family))

        kill_until_gone(kill, _END_TIMEOUT)
        remove_profile(self._profile)


async def _spawn(command: list[str], profile: Path, tools: DevTools) -> int:
    """Start the process in its own session, attach its pipe, return its pid. Raises `OSError`."""
    with ExitStack() as undo:
        reads, to_browser = _pipe(undo)
        from_browser, writes = _pipe(undo)
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
            setsigmask=[],
            setsigdef=ALL_SIGNALS,
        )
        undo.pop_all()
    os.close(reads)
    os.close(writes)
    await tools.attach(to_browser, from_browser)
    return pid


def _pipe(undo: ExitStack) -> tuple[int, int]:
    """Return both ends of a pipe, closed by `undo`."""
    ends = os.pipe()
    for end in ends:
        undo.callback(os.close, end)
    return ends


def _command(
    path: str, isolation: Isolation, user: pwd.struct_passwd | None, profile: Path
) -> list[str]:
    command = [path, *_FLAGS, user_data(profile)]
    if not isolation.has_sandbox:
        command.append("--no-sandbox")
    if user is not None:
        as_user = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        command = ["setpriv", *as_user, "--", *command]
    return [*command, "about:blank"]


def _environment(profile: Path) -> dict[str, str]:
    """Return an environment without secrets, whose folders are all in the profile."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, "HOME": str(profile), "TMPDIR": str(profile)}


def _family(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants."""
    with suppress(psutil.Error):
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    return []


def _kind(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        for word in process.cmdline():
            if word.startswith(_TYPE):
                return word.removeprefix(_TYPE)
    return "browser"


def _kill_overgrown(process: psutil.Process, limit: int) -> bool:
    with suppress(psutil.Error):
        if process.memory_info().rss > limit:
            process.kill()
            return True
    return False


def _is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True
