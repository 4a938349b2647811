"""How commands find their service, and what they say when there is none or it wants a token."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from genvm_manager.manager.cli import COMMANDS, main
from tests.support.operator import Operator
from tests.support.service import GENVM_MANAGER, RunningService
from tests.support.waiting import TIMEOUT

TOKEN = "a-token-of-the-tests-0123456789"
ANYWHERE = ["status", "ps", "permits", "permits 4", "log-level info", "logs 1", "kill 1", "wait 1",
            "module status", "module start web", "module stop llm",
            "llm check --provider ollama --host http://127.0.0.1:9 --model m"]  # fmt: skip
"""One of each kind."""


@pytest.fixture(scope="module")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("token") / "token"
    path.touch(mode=0o600)
    path.write_text(TOKEN)
    return path


@pytest.fixture(scope="module")
def service(token_file: Path) -> Iterator[RunningService]:
    with RunningService("--token-file", str(token_file), config="{http_workers: 1}") as running:
        yield running


def run(service: RunningService, arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command that is told nothing but by its arguments and these variables."""
    return subprocess.run(
        [GENVM_MANAGER, *arguments.split()],
        capture_output=True,
        text=True,
        env=service.environment | more,
        timeout=TIMEOUT,
        check=False,
    )


def test_the_token_comes_from_the_service_file_an_option_or_the_environment(
    service: RunningService, token_file: Path
) -> None:
    assert Operator(service).types("permits").stdout.endswith("0 runs wait\n")
    elsewhere = f"permits --url {service.url}"
    assert run(service, f"{elsewhere} --token-file {token_file}").returncode == 0
    assert run(service, elsewhere, GENVM_MANAGER_TOKEN_FILE=str(token_file)).returncode == 0
    by_environment = {
        "GENVM_MANAGER_URL": service.url,
        "GENVM_MANAGER_TOKEN_FILE": str(token_file),
    }
    assert run(service, "permits", **by_environment).returncode == 0


def test_without_the_token_it_says_how_to_give_it(service: RunningService, tmp_path: Path) -> None:
    ended = run(service, f"permits --url {service.url}")
    assert (ended.returncode, ended.stdout) == (77, "")
    assert ended.stderr == (
        "Error: token required: name its file by --token-file or GENVM_MANAGER_TOKEN_FILE\n"
    )
    other = tmp_path / "token"
    other.touch(mode=0o600)
    other.write_text("another-token-of-the-tests")
    ended = run(service, f"permits --url {service.url} --token-file {other}")
    assert ended.returncode == 77
    assert "wrong token: name the file" in ended.stderr
    other.chmod(0o644)
    ended = run(service, f"permits --url {service.url} --token-file {other}")
    assert (ended.returncode, "others may read it" in ended.stderr) == (77, True)


def test_a_named_folder_goes_before_the_environment(service: RunningService) -> None:
    nobody = {"GENVM_MANAGER_URL": "http://127.0.0.1:9"}
    named = f"permits --state-dir {service.state}"
    assert run(service, named, **nobody).returncode == 0
    assert run(service, "permits", **nobody).returncode == 69
    ended = run(service, "permits", GENVM_MANAGER_URL="nonsense")
    assert (ended.returncode, "GENVM_MANAGER_URL: expected http" in ended.stderr) == (64, True)


# ------------------------------------------------------------------------------------ in process


@pytest.mark.parametrize("arguments", ANYWHERE)
def test_no_service_is_one_line_and_the_next_step(arguments: str, tmp_path: Path) -> None:
    ended = CliRunner().invoke(main, [*arguments.split(), "--state-dir", str(tmp_path)])
    assert ended.exit_code == 69
    assert (ended.stdout, ended.stderr) == (
        "",
        f"Error: no service runs on {tmp_path}; start one by genvm-manager serve --state-dir "
        f"{tmp_path}, or name another one by --url\n",
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("ps extra", "unexpected extra argument"),
        ("ps --nonsense", "No such option"),
        ("status --url ftp://x", "expected http://HOST:PORT or unix:PATH"),
        ("permits 0", "not in the range"),
        ("permits many", "expected a number in decimal digits"),
        ("log-level loud", "'loud' is not one of"),
        ("log-level", "Missing argument"),
        ("logs", "Missing argument 'ID'"),
        ("logs x", "expected a number in decimal digits"),
        ("logs 1 --only result", "'result' is not one of"),
        ("kill 0", "not in the range"),
        (f"kill {1 << 63}", "not in the range"),
        ("kill 1 --grace 2h", "at most 3600s"),
        ("kill 1 --grace soon", "expected a duration"),
        ("wait -- -1", "expected a number in decimal digits"),
        ("wait 1 --timeout 5", "expected a duration"),
        ("top --interval 0", "expected a duration"),
        ("schema", "Missing argument 'FILE'"),
        ("schema /nonexistent", "does not exist"),
        ("detect-version /", "is a directory"),
        ("detect-version /dev/null --at yesterday", "expected RFC 3339"),
        ("module", "Missing command"),
        ("module frobnicate", "No such command"),
        ("module start", "Missing argument 'llm|web'"),
        ("module start db", "'db' is not one of"),
        ("module start web --config /nonexistent", "does not exist"),
        ("llm check --provider ollama", "give --provider, --host and --model"),
        ("llm check --provider other", "'other' is not one of"),
        (
            "llm check --provider ollama --host http://h --model m --key-env sk-123",
            "expected the name of a variable",
        ),
        ("completion tcsh", "'tcsh' is not one of"),
        ("doctor --config /nonexistent", "does not exist"),
    ],
)
def test_wrong_usage_ends_with_64_and_names_what_is_wrong(arguments: str, reason: str) -> None:
    ended = CliRunner().invoke(main, arguments.split())
    assert (ended.exit_code, ended.stdout) == (64, ""), ended.output
    assert reason in ended.stderr
    assert "sk-123" not in ended.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_at_80_columns(command: str) -> None:
    loaded = main.get_command(click.Context(main), command)
    assert loaded is not None
    pages = [[command]]
    if isinstance(loaded, click.Group):
        pages += [[command, name] for name in loaded.commands]
    for page in pages:
        ended = CliRunner(env={"COLUMNS": "80"}).invoke(main, [*page, "--help"])
        assert ended.exit_code == 0
        assert max(map(len, ended.stdout.splitlines())) <= 80, ended.stdout
        is_leaf = not isinstance(loaded, click.Group) or len(page) == 2
        if is_leaf and command not in ("demo", "completion"):
            assert "Exit codes:" in ended.stdout


def test_what_completes_and_helps_imports_nothing_heavy() -> None:
    heavy = ("flask", "rich", "wasmtime", "httpx", "psutil", "yaml", "msgspec")
    script = (
        "import sys\nfrom genvm_manager.manager.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print(sorted(set({heavy!r}) & set(sys.modules)))"
    )
    ended = subprocess.run(
        [GENVM_MANAGER.replace("genvm-manager", "python"), "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines()[-1] == "[]"
