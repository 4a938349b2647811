"""`genvm-manager install-root`: what it lays down, and what it leaves alone."""

from __future__ import annotations

import os
import re
import resource
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from genvm_manager.base.settings.config import Config, PermitCosts, parse_config
from genvm_manager.manager.launcher.install_root import tree_files
from genvm_manager.supervisor.settings.rules_manifest import CommandContext, parse_manifest
from tests.support.archives import described, tar
from tests.support.measuring import not_while_measured
from tests.support.service import GENVM_MANAGER, PROJECT
from tests.support.waiting import TIMEOUT

SETTINGS = "config/genvm-manager.yaml"
PROGRAM = "bin/genvm-modules"
PLACEHOLDERS = {
    "eq_comparative": {"leader_answer", "validator_answer", "principle"},
    "eq_non_comparative_leader": {"task", "criteria", "input"},
    "eq_non_comparative_validator": {"task", "criteria", "input", "output"},
}


def install(root: Path, *options: str, **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GENVM_MANAGER, "install-root", str(root), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
        **how,
    )


def refusal(root: Path, *options: str, **how: Any) -> str:
    """What it says when it refuses."""
    ended = install(root, *options, **how)
    assert ended.returncode == 1, ended
    assert "Traceback" not in ended.stderr
    return ended.stderr


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of all files."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in files
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "deep" / "root"
    ended = install(root)
    assert ended.returncode == 0, ended
    return root


def pretend_older(root: Path, name: str) -> None:
    """Have the tree be one that an older version has laid down, whose file `name` was another."""
    record = root / "data" / "installed.json"
    recorded = msgspec.json.decode(record.read_bytes())
    older = b"# from an older version\n"
    (root / name).write_bytes(older)
    recorded[name] = sha256(older).hexdigest()
    record.write_bytes(msgspec.json.encode(recorded))


def test_the_tree_is_whole(root: Path) -> None:
    assert set(contents(root)) == {
        "bin/genvm-manager",
        "bin/genvm-modules",
        "config/genvm-manager.yaml",
        "config/genvm-module-llm.yaml",
        "config/genvm-module-web.yaml",
        "data/installed.json",
        "data/manifest.yaml",
        "executor/v0.2.0/bin/genvm",
        "runners/README.txt",
    }
    for program in ("bin/genvm-manager", "bin/genvm-modules", "executor/v0.2.0/bin/genvm"):
        assert os.access(root / program, os.X_OK)
    assert not os.access(root / "data" / "manifest.yaml", os.X_OK)


def test_the_manifest_offers_the_executor_that_the_package_has(root: Path) -> None:
    def offered(path: Path) -> list[Any]:
        context = CommandContext("python", str(root), {})
        return list(parse_manifest(path.read_text(), context).executors)

    (ours,) = offered(root / "data" / "manifest.yaml")
    (packaged,) = offered(PROJECT / "supervisor" / "settings" / "manifest.yaml")
    assert ours.command == (str(root / "executor" / ours.version / "bin" / "genvm"),)
    assert (ours.version, ours.available_after) == (packaged.version, packaged.available_after)


def test_programs_work_from_wherever_they_are_called(root: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(root)
    (tmp_path / "link").symlink_to(root / PROGRAM)
    executor = root / "executor" / "v0.2.0" / "bin" / "genvm"
    for program in (
        tmp_path / "current" / PROGRAM,
        tmp_path / "link",
        root / "bin" / "genvm-manager",
        executor,
    ):
        said = subprocess.check_output([program, "--help"], text=True, cwd="/", env={})
        assert said.startswith(("Usage: genvm-m", "usage: genvm "))


def test_the_executor_of_the_tree_finds_its_runners(root: Path) -> None:
    executor = root / "executor" / "v0.2.0" / "bin"
    for name, archive in {"good/1.tar": tar(described({})), "bad/1.zip": b"PK"}.items():
        (root / "runners" / name).parent.mkdir()
        (root / "runners" / name).write_bytes(archive)
    for program, folder in ((executor / "genvm", "/"), ("./genvm", executor)):
        said = subprocess.check_output([program, "check"], text=True, cwd=folder)
        assert f"runners  1 of your own in {root}/runners\n" in said
        assert "unusable the runner 'bad:1': the ZIP is damaged" in said
    checked = subprocess.run(
        [GENVM_MANAGER, "doctor", "--quick", "--json", "--root", str(root)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert "the runner 'bad:1': the ZIP is damaged" in checked.stdout


def test_serve_takes_the_tree_s_settings(root: Path) -> None:
    settings = root / SETTINGS
    settings.write_text("bind_address: nowhere\n")
    program = root / "bin" / "genvm-manager"
    command = [str(program), "serve", "--state-dir", str(root / "state")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert ended.returncode == 1
    assert "bind_address: expected HOST:PORT, got 'nowhere'" in ended.stderr


def test_a_second_time_changes_nothing(root: Path) -> None:
    before = contents(root)
    ended = install(root)
    assert ended.returncode == 0
    assert "wrote" not in ended.stdout
    assert contents(root) == before


def test_what_is_missing_or_no_program_any_more_is_made_good(root: Path) -> None:
    before = {name: content for name, (content, _) in contents(root).items()}
    (root / SETTINGS).unlink()
    (root / PROGRAM).chmod(0o644)
    said = install(root).stdout
    assert f"wrote     {SETTINGS}\n" in said
    assert f"wrote     {PROGRAM}\n" in said
    assert os.access(root / PROGRAM, os.X_OK)
    assert {name: content for name, (content, _) in contents(root).items()} == before


def test_a_changed_file_stays_when_ours_has_nothing_new(root: Path) -> None:
    (root / SETTINGS).write_text("http_workers: 3\n")
    before = contents(root)
    ended = install(root)
    assert ended.returncode == 0
    assert f"kept      {SETTINGS} (changed by you)" in ended.stdout
    assert contents(root) == before


def test_a_file_of_an_older_version_is_brought_up_to_date(root: Path) -> None:
    current = (root / SETTINGS).read_bytes()
    pretend_older(root, SETTINGS)
    assert f"wrote     {SETTINGS}\n" in install(root).stdout
    assert (root / SETTINGS).read_bytes() == current
    assert "wrote" not in install(root).stdout


def test_a_changed_file_is_not_overwritten_by_something_newer(root: Path) -> None:
    current = (root / SETTINGS).read_bytes()
    pretend_older(root, SETTINGS)
    pretend_older(root, PROGRAM)
    (root / SETTINGS).write_text("http_workers: 3\n")
    before = contents(root)
    said = refusal(root)
    assert SETTINGS in said
    assert PROGRAM not in said
    assert "--force" in said
    assert contents(root) == before
    ended = install(root, "--force")
    assert ended.returncode == 0
    assert f"{SETTINGS}.old" in ended.stdout
    assert (root / SETTINGS).read_bytes() == current
    assert (root / f"{SETTINGS}.old").read_text() == "http_workers: 3\n"


def test_files_that_were_there_before_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.yaml").write_text("executor_versions: {}\n")
    before = contents(tmp_path)
    assert "data/manifest.yaml" in refusal(tmp_path)
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    assert f"{file} is a file; name a folder" in refusal(file)
    assert "Nothing was changed" in refusal(file / "below")
    assert file.read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_said() -> None:
    assert "/sys/genvm: " in refusal(Path("/sys/genvm"))


@not_while_measured
def test_when_the_disk_is_full_nothing_is_left(tmp_path: Path) -> None:
    def allow_1000_bytes() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    said = refusal(tmp_path / "root", preexec_fn=allow_1000_bytes)
    assert "Nothing was changed" in said
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------ the settings


def template(name: str) -> str:
    return next(file.content.decode() for file in tree_files() if file.name == name)


def test_the_settings_name_every_key_with_its_default() -> None:
    """A line of a setting begins with # and no space after it."""
    text = re.sub(r"^#(?=[a-z]|  [a-z_]+: )", "", template(SETTINGS), flags=re.MULTILINE)
    named = yaml.safe_load(text)
    assert set(named) == set(Config.__struct_fields__)
    assert set(named["permits"]) == set(PermitCosts.__struct_fields__)
    assert parse_config(text) == (Config(), [])
    assert parse_config(template(SETTINGS)) == (Config(), [])


def test_the_prompt_templates_have_their_placeholders_and_say_what_to_answer() -> None:
    templates = yaml.safe_load(template("config/genvm-module-llm.yaml"))["prompt_templates"]
    assert set(templates) == set(PLACEHOLDERS)
    for name, wanted in PLACEHOLDERS.items():
        assert set(templates[name]) == {"system", "user"}
        text = templates[name]["system"] + templates[name]["user"]
        assert set(re.findall(r"#\{(\w+)\}", text)) == wanted | {"boundary"}
    for judge in ("eq_comparative", "eq_non_comparative_validator"):
        assert re.search(r'\{"reason": .*"result": ', templates[judge]["system"])
        assert "Judge only by the" in templates[judge]["system"]


def backends() -> list[dict[str, Any]]:
    return list(yaml.safe_load(template("config/genvm-module-llm.yaml"))["backends"].values())


@pytest.mark.parametrize("backend", backends(), ids=lambda backend: backend["host"])
def test_no_key_stands_in_the_llm_settings(backend: dict[str, Any]) -> None:
    is_variable: Callable[[str], Any] = re.compile(r"\$\{ENV\[[A-Z]+\]\}").fullmatch
    assert is_variable(backend["key"]) or backend["provider"] == "ollama"
    assert backend["provider"] in ("openai-compatible", "anthropic", "google", "ollama")
    assert backend["models"]
