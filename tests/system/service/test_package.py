"""The package as pip installs it: alone, beside PyPI's `supervisor`, and from every source."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from itertools import permutations
from pathlib import Path

import pytest

from tests.conftest import PROJECT

FETCHED = PROJECT / ".venv" / "packaging"
FOLDERS = ("base", "protocol", "manager", "supervisor", "workers")
OURS = "genvm-manager"
OTHER = "supervisor"

LOADS_OURS = """
from genvm_manager.protocol.calldata import decode, encode
from genvm_manager.supervisor.runs import rules_permits
assert decode(encode({"a": 1})) == {"a": 1}
"""
LOADS_OTHER = "import supervisor.options, supervisor.http; assert supervisor.options.VERSION"
LOADS = {OURS: LOADS_OURS, OTHER: LOADS_OTHER}


def pip(*arguments: str | Path, python: Path | None = None) -> None:
    """Run pip without a network, for another environment's `python` if given."""
    chosen: list[str | Path] = [] if python is None else ["--python", python]
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *chosen]
    ended = subprocess.run(
        [*command, *arguments], check=False, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr


def tracked_files() -> list[str]:
    """Every file that is part of the project's repository, or would be."""
    command = ["git", "-c", f"safe.directory={PROJECT}", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.splitlines() if (PROJECT / name).is_file()]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, as a build leaves folders behind."""
    if not FETCHED.is_dir():
        pytest.skip(f"scripts/test fetches {FETCHED.name}, which is not there")
    if not (PROJECT / ".git").exists():
        pytest.skip("it needs the project's repository")
    folder = tmp_path_factory.mktemp("checkout")
    for name in tracked_files():
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((PROJECT / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_wheel(checkout, tmp_path_factory.mktemp("wheel"))


def built_wheel(source: Path, folder: Path) -> Path:
    offline = ("--no-index", "--find-links", FETCHED)
    pip("wheel", "--no-deps", *offline, "--wheel-dir", folder, source)
    (found,) = folder.glob("genvm_manager-*.whl")
    return found


class Environment:
    """A virtual environment of its own, in which only the two packages are."""

    def __init__(self, folder: Path, wheels: dict[str, Path]) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.python = folder / "bin" / "python"
        self._wheels = wheels

    def install(self, name: str) -> None:
        pip("install", "--no-index", "--no-deps", self._wheels[name], python=self.python)

    def uninstall(self, name: str) -> None:
        pip("uninstall", "--yes", name, python=self.python)

    def works(self, name: str) -> bool:
        return self._runs(LOADS[name])

    def is_gone(self, name: str) -> bool:
        return not self._runs(
            {OURS: "import genvm_manager.protocol", OTHER: "import supervisor"}[name]
        )

    def _runs(self, program: str) -> bool:
        command: list[str | Path] = [self.python, "-I", "-c", program]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("removed", [OURS, OTHER])
@pytest.mark.parametrize("order", list(permutations([OURS, OTHER])), ids=" then ".join)
def test_the_project_and_supervisord_leave_each_other_alone(
    wheel: Path, tmp_path: Path, order: tuple[str, str], removed: str
) -> None:
    (other,) = FETCHED.glob("supervisor-*.whl")
    environment = Environment(tmp_path / "venv", {OURS: wheel, OTHER: other})
    for name in order:
        environment.install(name)
    assert environment.works(OURS)
    assert environment.works(OTHER)
    environment.uninstall(removed)
    (kept,) = {OURS, OTHER} - {removed}
    assert environment.works(kept)
    assert environment.is_gone(removed)


def test_the_wheel_has_one_top_level_name_and_every_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    inside = {name for name in names if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in inside} == {"genvm_manager"}
    product = {name for name in tracked_files() if name.partition("/")[0] in FOLDERS}
    for_developers = {name for name in product if name.endswith("ruff.toml")}
    assert inside == {f"genvm_manager/{name}" for name in product - for_developers}


def test_the_source_distribution_builds_the_same_wheel(
    checkout: Path, wheel: Path, tmp_path: Path
) -> None:
    (setuptools,) = FETCHED.glob("setuptools-*.whl")
    pip("install", "--no-index", "--no-deps", "--target", tmp_path / "tools", setuptools)
    build = "import sys; from setuptools.build_meta import build_sdist as b; b(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, tmp_path],
        check=True,
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "tools")},
        capture_output=True,
        timeout=300,
    )
    (packed,) = tmp_path.glob("genvm_manager-*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    assert contents(built_wheel(source, tmp_path / "wheel")) == contents(wheel)


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {
            name: archive.read(name) for name in archive.namelist() if not name.endswith("RECORD")
        }
