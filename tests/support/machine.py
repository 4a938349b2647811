"""A machine of its own for tests: a systemd that has booted in namespaces, on this system's files.

Its disk is an overlay over `/`, in memory; it has a loopback and no other network. Nothing of it is
left when its owner is gone.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from .waiting import TIMEOUT, wait_until

SCRIPT = Path(__file__).with_name("machine.sh")
NEEDED = ("unshare", "nsenter", "pivot_root", "systemctl", "journalctl", "setpriv")
MORTAL = ("setpriv", "--pdeathsig=KILL")
"""The kernel kills with us what begins so."""

MASKED = (
    "systemd-journald-audit.socket",
    "systemd-logind.service",
    "systemd-modules-load.service",
    "systemd-timesyncd.service",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
)
"""Units that would manage hardware, which this machine shares with the one that it is on."""

_TARGET = """
[Unit]
Description=What a machine of the tests boots to
Requires=multi-user.target
After=multi-user.target
AllowIsolate=yes
"""


def why_not() -> str | None:
    """Return why such a machine is not possible here, or None."""
    if os.geteuid() != 0:
        return "booting a systemd in namespaces of its own needs root"
    if not Path("/lib/systemd/systemd").exists():
        return "systemd is not installed"
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        return f"these programs are not there: {', '.join(missing)}"
    return _namespaces_fail()


def _namespaces_fail() -> str | None:
    """Whether the kernel, or a container around us, forbids what a machine is made of."""
    with tempfile.TemporaryDirectory(prefix="genvm-machine-") as disk:
        script = (
            'mount -t tmpfs machine "$0" && mkdir "$0/u" "$0/w" "$0/r" && '
            'mount -t overlay -o "lowerdir=/,upperdir=$0/u,workdir=$0/w" machine "$0/r" && '
            'mount -t proc proc "$0/r/proc"'
        )
        namespaces = ["--fork", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--net"]
        tried = subprocess.run(
            ["unshare", *namespaces, "sh", "-c", script, disk],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    return tried.stderr.strip() or "namespaces cannot be had" if tried.returncode else None


class Machine:
    """Booted by `boot`; what it has written stays until it is left, the context that it is."""

    def __init__(self) -> None:
        self._disk = Path(tempfile.mkdtemp(prefix="genvm-machine-"))
        self._cgroups: list[Path] = []
        self._holder: subprocess.Popen[str]
        self._outside: subprocess.Popen[bytes] | None = None
        self._init = 0

    def __enter__(self) -> Machine:
        self._holder = subprocess.Popen(
            [*MORTAL, "unshare", "--mount", "sh", str(SCRIPT), "hold", str(self._disk)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        self._prepare()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut_power()
        self._holder.communicate()
        self._disk.rmdir()

    # --------------------------------------------------------------------------------------- power

    def boot(self) -> float:
        """Boot until all that starts by itself has started; return the seconds that it took."""
        begun = time.monotonic()
        self._cgroups = _new_cgroups(f"genvm-machine-{os.getpid()}-{time.monotonic_ns()}")
        entrances = [str(cgroup / "cgroup.procs") for cgroup in self._cgroups]
        inside = [*MORTAL, "nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt"]
        self._outside = subprocess.Popen(
            [*inside, "sh", str(SCRIPT), "boot", str(self._disk), *entrances],
            stdin=subprocess.DEVNULL,
        )
        self._init = wait_until(self._find_init, TIMEOUT)
        wait_until(self._is_up, TIMEOUT)
        return time.monotonic() - begun

    def shut_down(self) -> None:
        """Have systemd stop everything, and go."""
        assert self._outside is not None
        self.run("systemctl", "poweroff")
        self._outside.wait(TIMEOUT)
        self.cut_power()

    def cut_power(self) -> None:
        """End all of it at once."""
        if self._outside is None:
            return
        with suppress(ProcessLookupError):
            if self._init:
                os.kill(self._init, signal.SIGKILL)
        self._outside.kill()
        self._outside.wait(TIMEOUT)
        self._outside = None
        self._init = 0
        for cgroup in self._cgroups:
            wait_until(partial(_remove_cgroup, cgroup), TIMEOUT)

    # ------------------------------------------------------------------------------------- at work

    @property
    def disk(self) -> Path:
        """What it has written, as a folder."""
        return Path(f"/proc/{self._holder.pid}/root") / str(self._disk)[1:] / "upper"

    def path(self, path: str) -> Path:
        """Return where a file of the machine can be reached from here."""
        return Path(f"/proc/{self._init}/root") / path.removeprefix("/")

    def command(self, *arguments: str) -> list[str]:
        """Return the command line that runs a command inside as root."""
        environment = ["env", "-i", "HOME=/root", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/bin"]
        return ["nsenter", f"--target={self._init}", "--all", "--wdns=/", *environment, *arguments]

    def run(self, *arguments: str, within: float = TIMEOUT) -> str:
        """Run a command inside to its end and return what it printed. It must succeed."""
        done = self.try_(*arguments, within=within)
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def try_(self, *arguments: str, within: float = TIMEOUT) -> subprocess.CompletedProcess[str]:
        """Run a command inside to its end."""
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=within, check=False
        )

    def unit(self, name: str, field: str) -> str:
        """Return a property of a unit, as systemctl shows it."""
        return self.run("systemctl", "show", "--value", f"--property={field}", name).strip()

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """Return the journal's entries, the oldest first."""
        said = self.run("journalctl", "--quiet", "--no-pager", "--output=json", *matches)
        return [json.loads(line) for line in said.splitlines()]

    def processes(self) -> Iterator[psutil.Process]:
        """Yield all of its processes, init included."""
        init = psutil.Process(self._init)
        yield init
        yield from init.children(recursive=True)

    # --------------------------------------------------------------------------------------- making

    def _prepare(self) -> None:
        """Mount an own /etc/systemd/system: the units of this system must not start inside."""
        units = self.disk / "etc/systemd/system"
        units.mkdir(parents=True)
        os.setxattr(units, "trusted.overlay.opaque", b"y")
        for name in MASKED:
            (units / name).symlink_to("/dev/null")
        (units / "test.target").write_text(_TARGET)

    def _is_up(self) -> bool:
        said = self.try_("systemctl", "is-system-running", "--wait").stdout.strip()
        return said in ("running", "degraded")

    def _find_init(self) -> int:
        """Return systemd's pid outside, once it is systemd; 0 before."""
        assert self._outside is not None
        assert self._outside.poll() is None, "the machine did not boot"
        with suppress(psutil.Error):
            for child in psutil.Process(self._outside.pid).children():
                if child.name() == "systemd":
                    return child.pid
        return 0


def _new_cgroups(name: str) -> list[Path]:
    """Make a cgroup below the current one in each hierarchy of v1 and v2, for the machine."""
    made = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if (mount := _mount_of(controllers)) is not None:
            own = mount / path.removeprefix("/")
            (own / name).mkdir()
            # In a new cgroup of v1 there is no processor to run on.
            for knob in ("cpuset.cpus", "cpuset.mems"):
                if controllers == "cpuset":
                    (own / name / knob).write_text((own / knob).read_text())
            made.append(own / name)
    return made


def _mount_of(controllers: str) -> Path | None:
    """Return where a hierarchy is mounted; v2 has no controllers in its name."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        wanted = {"", *options.split(",")}.issuperset(controllers.split(","))
        if wanted and kind == ("cgroup" if controllers else "cgroup2"):
            return Path(left.split(" ")[4])
    return None


def _remove_cgroup(cgroup: Path) -> bool:
    """Whether it is gone, with all that is in it; not while a process is."""
    with suppress(OSError):
        for folder, _, _ in os.walk(cgroup, topdown=False):
            os.rmdir(folder)
    return not cgroup.exists()
