"""A container with a read-only root: a writable state folder is enough."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from genvm_manager.base.files.state_folder import temporary_files
from genvm_manager.manager.client.client import HttpClient
from genvm_manager.protocol import calldata
from tests.support.service import GENVM_MANAGER, OBEDIENT, PROJECT, run_request
from tests.support.waiting import wait_until

TIMEOUT = 60.0
SCRIPT = """
set -e
mount --make-rprivate /
if [ -n "$1" ]; then mount -t tmpfs -o size=64m,mode=700 tmpfs "$1"; fi
for each in $(cut -d' ' -f5 /proc/self/mountinfo | sort -u); do
    case $each in
        "$1"|/proc*|/sys*) ;;
        *) mount -o remount,ro,bind "$each" 2>/dev/null || true ;;
    esac
done
! touch /tmp/writable 2>/dev/null
shift
exec "$@"
"""
"""All but the first argument, if it is not empty, becomes read-only; then the others are run."""


class Machine:
    """A folder whose `state` is all that can be written to in a mount namespace."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        self.log_path = folder / "log"
        self.manifest = folder / "manifest.yaml"
        self.manifest.write_text(
            "executor_versions: {v0.2.7: {available_after: '2024-01-01T00:00:00Z', "
            f"command: ['{sys.executable}', '{OBEDIENT}']}}}}"
        )
        self._environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder),
            "PYTHONPATH": str(PROJECT),
        }

    def start(self, *command: str, writable: str) -> subprocess.Popen[bytes]:
        with self.log_path.open("w") as log:
            return subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", SCRIPT, "sh", writable, *command],
                cwd="/",
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def beside(
        self, process: subprocess.Popen[bytes], arguments: Sequence[str]
    ) -> subprocess.CompletedProcess[str]:
        """A command of ours in the namespace of that process."""
        enter = ("nsenter", "--target", str(process.pid), "--mount", "--wd=/")
        return subprocess.run(
            [*enter, GENVM_MANAGER, *arguments, "--state-dir", str(self.state)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    @property
    def log(self) -> str:
        return self.log_path.read_text()


@pytest.fixture
def machine() -> Iterator[Machine]:
    tried = subprocess.run(
        ["unshare", "--mount", "sh", "-c", SCRIPT, "sh", "", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        pytest.skip(f"no namespace can be had whose root is read-only: {tried.stderr.strip()}")
    with tempfile.TemporaryDirectory(prefix="genvm-ro-") as folder:
        yield Machine(Path(folder))


@pytest.fixture
def service(machine: Machine) -> Iterator[subprocess.Popen[bytes]]:
    arguments = ("serve", "--port", "0", "--no-precompile", "--manifest-path")
    process = machine.start(
        GENVM_MANAGER, *arguments, str(machine.manifest), "--state-dir", str(machine.state),
        writable=str(machine.state),
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(TIMEOUT)


def test_a_service_works_with_nothing_but_its_state_folder(
    machine: Machine, service: subprocess.Popen[bytes]
) -> None:
    def url() -> str | None:
        assert service.poll() is None, machine.log
        found = re.search(r"serves (http://\S+)", machine.log)
        return found and found[1]

    address = wait_until(url, within=TIMEOUT)
    with HttpClient(address) as client, httpx.Client(base_url=address, timeout=60) as http:
        run = client.start_run(calldata.encode(run_request()))
        assert http.get(f"/genvm/{run}?wait=30s").json()["status"]["cause"] == "exited"
        wanted = {"module_type": "llm", "config": {"backends": {}}, "allow_empty_backends": True}
        started = http.post("/module/start", json=wanted)
        assert started.is_success, started.text

    examined = machine.beside(service, ["doctor", "--quick", "--json"])
    results = json.loads(examined.stdout)["findings"]
    assert not [each for each in results if "the check failed" in each["says"]]
    says = f"temporary files go to {temporary_files(machine.state)}, as no other folder is writable"
    assert [each for each in results if each["says"].startswith(says)], results

    contract = PROJECT / "manager" / "local_node" / "demo_contract.py"
    deployed = machine.beside(service, ["run", str(contract)])
    assert deployed.returncode in (0, 1, 2, 3)
    assert "emporary" not in deployed.stdout + deployed.stderr

    service.terminate()
    assert service.wait(TIMEOUT) == 0, machine.log
    assert "Traceback" not in machine.log


@pytest.mark.parametrize(
    "command",
    [
        (GENVM_MANAGER, "serve", "--port", "0", "--state-dir"),
        (sys.executable, "-P", "-m", "genvm_manager.supervisor", "--state-dir"),
        (
            sys.executable,
            "-P",
            "-m",
            "genvm_manager.manager.server",
            "--bind",
            "127.0.0.1:0",
            "--state-dir",
        ),
        (GENVM_MANAGER, "run", "/dev/null", "--state-dir"),
    ],
    ids=["serve", "supervisor", "http", "run"],
)
def test_with_nothing_at_all_one_sentence_says_what_must_be_writable(
    machine: Machine, command: tuple[str, ...]
) -> None:
    process = machine.start(*command, str(machine.state), writable="")
    assert process.wait(TIMEOUT) in (1, 3)
    assert "Traceback" not in machine.log
    line = machine.log.strip().splitlines()[-1]
    tried = f"temporary files: /tmp, /var/tmp, /usr/tmp and {temporary_files(machine.state)}"
    assert f"{tried} cannot be written (Read-only file system); make one of them" in line
