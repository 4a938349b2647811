"""What a runner description sets up, and the bounds of it.

Source: docs/spec/06-contracts.md#contract-kinds-and-headers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from typing import Any

import pytest

from genvm_manager.protocol.contract.code import ContractCode, ContractKind
from genvm_manager.protocol.contract.errors import InvalidContract
from genvm_manager.workers.genvm.run.programs import Program, program_of
from genvm_manager.workers.genvm.run.runners import RunnerFolder
from genvm_manager.workers.genvm.wasi.filesystem import walk
from tests.conftest import PROJECT

START = {"StartWasm": "m.wasm"}


def setup(*actions: Any, files: dict[str, bytes] | None = None) -> Program:
    """Return the program of a ZIP whose description performs `actions` and then starts `m.wasm`."""
    code = ContractCode(
        ContractKind.ZIP, None, {"Seq": [*actions, START]}, {"m.wasm": b""} | (files or {})
    )
    return program_of(code, RunnerFolder(None), is_det=True)


def add(name: str, value: str) -> dict[str, Any]:
    return {"AddEnv": {"name": name, "val": value}}


def mapped(file: str, to: str) -> dict[str, Any]:
    return {"MapFile": {"file": file, "to": to}}


def test_variables_are_filled_in_once_with_those_before() -> None:
    program = setup(
        add("A", "x${B}${A"), add("B", "1"), add("C", "${A}${B}$${B}${D}"), add("A", "${A}!")
    )
    assert program.variables == {"A": "x${B}${A!", "B": "1", "C": "x${B}${A1$1${D}"}


def test_a_variable_that_doubles_is_refused_before_it_is_filled_in() -> None:
    """186 KB of such took 3.8 GB."""
    doubling = [add("A", "x" * 1000), *(add("A", "${A}" * 16_000) for _ in range(9))]
    tracemalloc.start()
    try:
        with pytest.raises(InvalidContract, match="AddEnv: 'A' has more than 65536 bytes"):
            setup(*doubling)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_all_variables_together_have_a_bound() -> None:
    many = [add("A", "x" * 60_000), *(add("B", "${A}") for _ in range(16))]
    with pytest.raises(InvalidContract, match="all values have more than 1048576 bytes"):
        setup(*many, add("C", "${A}"))
    assert setup(*many[:-1]).variables["B"] == "x" * 60_000


@pytest.mark.parametrize("text", ["${" * 30_000, "${" + "a" * 60_000, "${}" * 20_000, "$" * 60_000])
def test_variables_are_searched_in_linear_time(text: str) -> None:
    began = time.process_time()
    setup(add("A", "b"), add("B", text))
    assert time.process_time() - began < 1


@pytest.mark.parametrize(("count", "size"), [(1001, 1), (17, 65_536)])
def test_too_many_arguments_are_refused(count: int, size: int) -> None:
    with pytest.raises(InvalidContract, match="SetArgs: expected at most 1000 strings"):
        setup({"SetArgs": ["x" * size] * count})
    assert len(setup({"SetArgs": ["x"] * 1000}).arguments) == 1000


@pytest.mark.parametrize(
    "action",
    [
        {"SetArgs": ["a\0"]},
        add("A", "\0"),
        add("A\0", ""),
        mapped("m.wasm", "/a\0b"),
        mapped("m.wasm", "/" + "a" * 4096),
        mapped("m.wasm", "/" + "\u00e9" * 2048),
    ],
)
def test_text_that_no_guest_can_get_is_refused(action: Any) -> None:
    with pytest.raises(InvalidContract):
        setup(action)


def test_folders_are_mapped_by_their_prefix() -> None:
    files = {"a/b": b"1", "a/c/d": b"2", "ab": b"3", "a.b": b"4"}
    program = setup(mapped("a/", "/to"), files=files)
    root = program.tree.root
    assert set(root.entries) == {"to"}
    assert set(walk(root, "to").entries) == {"b", "c"}  # type: ignore[union-attr]


def test_a_folder_that_is_mapped_again_and_again_is_refused() -> None:
    """300 times 10,000 files took 122 s."""
    files = {f"a/{number:04}": b"" for number in range(9000)}
    began = time.process_time()
    with pytest.raises(InvalidContract, match="MapFile: more than 10000 files are mapped"):
        setup(*(mapped("a/", f"/{number}/") for number in range(300)), files=files)
    empty = [mapped("b/", f"/{number}/") for number in range(900)]
    setup(*empty, files=files)
    assert time.process_time() - began < 3


def test_folders_on_the_way_are_counted() -> None:
    deep = [mapped("m.wasm", f"/{n}" + "/a" * 2000) for n in range(20)]
    with pytest.raises(InvalidContract, match="more than 20000 files and folders"):
        setup(*deep)


def test_actions_have_a_bound() -> None:
    with pytest.raises(InvalidContract, match="more than 1000 actions"):
        setup(*[{}] * 1000)


OUTCOMES = """
import json, sys
sys.setrecursionlimit(int(sys.argv[1]))
from genvm_manager.protocol.contract.code import parse
from genvm_manager.protocol.contract.errors import InvalidContract
from genvm_manager.workers.genvm.run.programs import program_of
from genvm_manager.workers.genvm.run.runners import RunnerFolder

def outcome(text):
    try:
        return program_of(parse(text.encode()), RunnerFolder(None), is_det=True).arguments
    except InvalidContract as error:
        return [error.code, str(error)]

def seq(depth):
    return '# ' + '{"Seq": [' * depth + '{"StartWasm": "file"}' + ']}' * depth

def when(depth):
    return '# ' + '{"When": {"cond": "det", "action": ' * depth + '{}' + '}}' * depth

shapes = [shape(depth) for shape in (seq, when) for depth in (1, 31, 32, 33, 150, 300, 2000)]
shapes += ['# ' + '[' * depth for depth in (10, 64, 65, 500, 1000, 30000)]
print(json.dumps([outcome(text) for text in shapes]))
"""


def test_the_outcome_is_the_same_whatever_python_s_recursion_limit() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", OUTCOMES, str(limit)],
            cwd=PROJECT,
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for limit in (250, 1000, 100_000)
    ]
    assert len(set(told)) == 1
    outcomes = json.loads(told[0])
    assert outcomes[0] == ["contract"]
    too_deep = [
        "invalid_contract malformed_runner",
        "the runner description nests deeper than 64 levels",
    ]
    assert outcomes.count(too_deep) == 9
