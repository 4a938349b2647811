"""`genvm-manager schema` and `detect-version`, with the built-in executor."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.author import Author

RICH = """\
# { "Depends": "py-genlayer:test" }
from genlayer import *


class Rich(gl.Contract):
    def __init__(self, title: str, *, size: int = 3):
        pass

    @gl.public.view
    def every(self, a: list[int], b: dict[str, bool], c: Address | None) -> tuple[int, str]:
        return (1, "")

    @gl.public.write.payable
    def take(self):
        pass
"""


@pytest.fixture
def contract(tmp_path: Path) -> str:
    path = tmp_path / "contract.py"
    path.write_text(RICH)
    return str(path)


def test_a_schema_reads_like_code(author: Author, contract: str) -> None:
    assert author.types("schema", contract).stdout.splitlines() == [
        "deploy  __init__(title: string, *, size: int)",
        "view    every(a: list[int], b: dict[string, bool], c: address | null) -> "
        "tuple[int, string]",
        "payable take() -> any",
    ]
    schema = author.types("schema", contract, "--json").json
    assert schema["methods"]["every"]["readonly"] is True
    assert schema["ctor"]["kwparams"] == {"size": "int"}


def test_a_contract_without_a_schema(author: Author, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text('# { "Depends": "py-genlayer:test" }\n1 / 0\n')
    ended = author.types("schema", str(path))
    assert (ended.code, ended.stdout) == (1, "")
    # Before it: what a slow machine was waiting for.
    said = ended.stderr.splitlines()[-1]
    assert said.startswith(
        "Error: exit_code 1: ZeroDivisionError: division by zero (broken.py:2) (genvm-manager logs "
    )
    run_id = said.partition("genvm-manager logs ")[2].split()[0]
    assert "ZeroDivisionError" in author.types("logs", run_id).stdout


def test_a_byte_order_mark_is_said_and_changes_no_result(author: Author, tmp_path: Path) -> None:
    path = tmp_path / "contract.py"
    path.write_text(f"# v1.2.0\n{RICH}", encoding="utf-8-sig", newline="\r\n")
    note = (
        f"Note: {path}: the text begins with a byte order mark, not with its comment; save the "
        "file as UTF-8 without a byte order mark"
    )
    deployed = author.types("run", str(path), "--args", '["title"]', "--json")
    assert deployed.code == 2
    assert deployed.json["error"] == "invalid_contract absent_runner_comment"
    assert note in deployed.stderr.splitlines()
    assert note in author.types("schema", str(path)).stderr.splitlines()
    version = author.types("detect-version", str(path), "--json")
    assert (version.code, version.json) == (0, {"specified_major": 0})
    assert version.stderr.splitlines() == [note]


def test_the_version_of_a_contract(author: Author, contract: str) -> None:
    assert author.types("detect-version", contract).stdout == "major 0\n"
    assert author.types("detect-version", contract, "--json").json == {"specified_major": 0}
    ended = author.types("detect-version", contract, "--at", "2001-01-01T00:00:00Z")
    assert ended.code == 1
    assert "the manifest offers no executor at 2001-01-01" in ended.stderr
