"""Runners that depend on each other, and an operator's archives of them.

Source: docs/spec/06-contracts.md#runners.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from genvm_manager.protocol.contract.code import parse
from genvm_manager.protocol.contract.errors import InvalidContract
from genvm_manager.workers.genvm.engine.endings import ExecutorFault
from genvm_manager.workers.genvm.run import runners
from genvm_manager.workers.genvm.run.programs import MAX_LINKED, Program, program_of
from genvm_manager.workers.genvm.run.runners import RunnerFolder, archives
from genvm_manager.workers.genvm.wasi.errors import WasiError
from genvm_manager.workers.genvm.wasi.filesystem import File, walk
from tests.support.archives import described, tar, zipped

PYTHON = {"Depends": "py-genlayer:test"}
START = {"StartWasm": "m.wasm"}


def add(name: str, value: str) -> dict[str, Any]:
    return {"AddEnv": {"name": name, "val": value}}


def mapped(file: str, to: str) -> dict[str, Any]:
    return {"MapFile": {"file": file, "to": to}}


class Operator:
    """A folder of runners, and what contracts make of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, description: Any, **files: bytes) -> None:
        """Add a runner; `name` ends with `.tar` or `.zip`."""
        self.write(name, (tar if name.endswith("tar") else zipped)(described(description, files)))

    def write(self, name: str, archive: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(archive)

    def program(self, *actions: Any, **files: bytes) -> Program:
        """Return the program of a ZIP with these actions and files, in det mode."""
        return self.program_in("det", *actions, **files)

    def program_in(self, mode: str, *actions: Any, **files: bytes) -> Program:
        code = parse(zipped(described({"Seq": list(actions)}, files)))
        return program_of(code, RunnerFolder(self.folder), is_det=mode == "det")

    def refusal(self, *actions: Any, **files: bytes) -> tuple[str, str]:
        with pytest.raises(InvalidContract) as raised:
            self.program(*actions, **files)
        return raised.value.code, str(raised.value)


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


def content(program: Program, path: str) -> bytes | None:
    try:
        node = walk(program.tree.root, path)
    except WasiError:
        return None
    assert isinstance(node, File)
    return bytes(node.content)


def test_what_was_done_before_a_python_runner_stays(operator: Operator) -> None:
    program = operator.program(
        mapped("data", "/data.txt"), add("A", "1"), PYTHON, add("B", "2"), data=b"d", file=b"code"
    )
    assert (content(program, "data.txt"), content(program, "contract.py")) == (b"d", b"code")
    assert program.module is None
    assert {"A": "1"}.items() <= program.variables.items()
    assert "B" not in program.variables


@pytest.mark.parametrize("action", [mapped("file", "/genvm/x"), mapped("file", "/genvm")])
def test_nothing_can_be_mapped_where_the_python_library_is(operator: Operator, action: Any) -> None:
    assert "/genvm" in operator.refusal(action, PYTHON, file=b"")[1]


def test_a_runner_sets_its_own_arguments_and_variables(operator: Operator) -> None:
    program = operator.program({"SetArgs": ["x"]}, add("PYTHONHASHSEED", "7"), PYTHON, file=b"")
    assert program.arguments[0] == "python"
    assert program.variables["PYTHONHASHSEED"] == "0"


@pytest.mark.parametrize(
    ("runner", "files", "expected"),
    [
        ("py-genlayer", {"file": b"f"}, ["contract.py"]),
        ("py-genlayer", {"contract/__init__.py": b"p"}, ["contract/__init__.py"]),
        ("py-genlayer", {"file": b"f", "contract/__init__.py": b"p"}, ["contract.py"]),
        ("py-genlayer-multi", {"file": b"f"}, ["contract.py"]),
        ("py-genlayer-multi", {"file": b"f", "contract/a.py": b"p"}, ["contract/a.py"]),
    ],
)
def test_a_zip_has_its_contract_as_file_or_as_folder(
    operator: Operator, runner: str, files: dict[str, bytes], expected: list[str]
) -> None:
    program = operator.program({"Depends": f"{runner}:1"}, **files)
    candidates = ("contract.py", "contract/__init__.py", "contract/a.py")
    assert [path for path in candidates if content(program, path) is not None] == expected


@pytest.mark.parametrize("suffix", ["tar", "zip"])
def test_a_runner_of_the_operator_is_performed_on_its_own_files(
    operator: Operator, suffix: str
) -> None:
    operator.put(
        f"lib/abc.{suffix}", {"Seq": [mapped("data", "/lib/data"), add("LIB", "yes")]}, data=b"lib"
    )
    program = operator.program({"Depends": "lib:abc"}, mapped("data", "/data"), START,
                               **{"m.wasm": b"m", "data": b"own"})  # fmt: skip
    assert (content(program, "lib/data"), content(program, "data")) == (b"lib", b"own")
    assert (program.variables, program.module) == ({"LIB": "yes"}, b"m")


def test_a_runner_of_the_operator_may_start_the_program(operator: Operator) -> None:
    operator.put("run/1.tar", {"Seq": [{"SetArgs": ["it"]}, START]}, **{"m.wasm": b"theirs"})
    program = operator.program({"Depends": "run:1"}, START, **{"m.wasm": b"ours"})
    assert (program.module, program.arguments) == (b"theirs", ["it"])


def test_runners_depend_on_runners_and_each_is_performed_once(operator: Operator) -> None:
    operator.put("base/1.tar", add("COUNT", "${COUNT}x"))
    operator.put("a/1.tar", {"Depends": "base:1"})
    operator.put("b/1.zip", {"Seq": [{"Depends": "base:1"}, {"Depends": "a:1"}]})
    both = [{"Depends": "a:1"}, {"Depends": "b:1"}, {"Depends": "base:1"}]
    program = operator.program(add("COUNT", ""), *both, START, **{"m.wasm": b""})
    assert program.variables == {"COUNT": "x"}


def test_runners_that_depend_on_each_other_in_a_circle_are_refused(operator: Operator) -> None:
    operator.put("a/1.tar", {"Depends": "b:1"})
    operator.put("b/1.tar", {"Depends": "a:1"})
    code, why = operator.refusal({"Depends": "a:1"}, START, **{"m.wasm": b""})
    assert code == "invalid_contract malformed_runner"
    assert "circle: a:1 > b:1" in why


def test_with_names_files_of_another_runner_whose_description_is_not_performed(
    operator: Operator,
) -> None:
    operator.put("lib/1.tar", add("LIB", "performed"), data=b"lib", **{"m.wasm": b"theirs"})
    action = {"Seq": [mapped("data", "/data"), START]}
    program = operator.program({"With": {"runner": "lib:1", "action": action}})
    assert (content(program, "data"), program.module) == (b"lib", b"theirs")
    assert program.variables == {}


def test_a_runner_reaches_the_files_of_the_contract(operator: Operator) -> None:
    take = {"With": {"runner": "<contract>", "action": mapped("file", "/main")}}
    operator.put("lang/1.tar", {"Seq": [take, START]}, **{"m.wasm": b"interpreter"})
    code = parse(b'# { "Depends": "lang:1" }\nprint')
    program = program_of(code, RunnerFolder(operator.folder), is_det=True)
    assert program.module == b"interpreter"
    assert (content(program, "main") or b"").endswith(b"print")


@pytest.mark.parametrize("mode", ["det", "nondet"])
def test_when_holds_in_runners_as_well(operator: Operator, mode: str) -> None:
    cases = [{"When": {"cond": cond, "action": add(cond, "")}} for cond in ("det", "nondet")]
    operator.put("a/1.tar", {"Seq": cases})
    program = operator.program_in(mode, {"Depends": "a:1"}, START, **{"m.wasm": b""})
    assert list(program.variables) == [mode]


def test_linked_modules_come_in_order_from_the_files_of_their_runner(operator: Operator) -> None:
    operator.put("math/1.tar", {"LinkWasm": "math.wasm"}, **{"math.wasm": b"math"})
    program = operator.program(
        {"LinkWasm": "own.wasm"}, {"Depends": "math:1"}, START, **{"own.wasm": b"o", "m.wasm": b""}
    )
    assert program.linked == {"own.wasm": b"o", "math.wasm": b"math"}


@pytest.mark.parametrize(
    "runner",
    ["rust:1", "lib:", "lib", "../lib:1", "lib:../1", "li/b:1", ".lib:1", "", "lib:1:2", "l\0:1"],
)
def test_an_unknown_runner_is_named_in_the_log_only(operator: Operator, runner: str) -> None:
    code, why = operator.refusal({"Depends": runner}, START, **{"m.wasm": b""})
    assert code == "invalid_contract"
    assert repr(runner) in why
    assert operator.refusal({"With": {"runner": runner, "action": {}}}) == (code, why)


@pytest.mark.parametrize(
    "action",
    [
        {"Nothing": 1},
        {"Seq": {}},
        {"Depends": 1},
        {"With": {"runner": "x:1"}},
        {"With": {"runner": 1, "action": {}}},
        {"When": {"cond": "other", "action": {}}},
        {"LinkWasm": "absent"},
        {"StartWasm": ["m.wasm"]},
        mapped("absent", "/a"),
        [],
        {"Seq": [], "Depends": "a"},
    ],
)
def test_what_cannot_be_performed_is_a_malformed_runner(operator: Operator, action: Any) -> None:
    assert operator.refusal(action)[0] == "invalid_contract malformed_runner"


def test_a_description_that_starts_nothing_is_malformed(operator: Operator) -> None:
    assert operator.refusal(add("A", ""))[0] == "invalid_contract malformed_runner"


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"\0" * 1024,
        b"junk" * 1000,
        b"PK\3\4junk",
        tar({"data": b""}),
        tar({"runner.json": b"{"}),
        zipped({"runner.json": b"[" * 100 + b"]" * 100}),
        zipped({"runner.json": b'{"Depends": 1}'}),
    ],
)
def test_a_damaged_archive_is_a_malformed_runner(operator: Operator, archive: bytes) -> None:
    operator.write("lib/1.tar", archive)
    assert operator.refusal({"Depends": "lib:1"})[0] == "invalid_contract malformed_runner"


def test_an_archive_that_cannot_be_read_is_a_fault_of_this_host(operator: Operator) -> None:
    (operator.folder / "lib").mkdir()
    os.mkfifo(operator.folder / "lib" / "1.tar")
    with pytest.raises(ExecutorFault, match=r"1\.tar is not a regular file"):
        operator.program({"Depends": "lib:1"})


def test_archives_of_one_run_have_a_bound_together(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "MAX_ARCHIVE", 15_000)
    operator.put("a/1.tar", {}, data=b"x" * 100)
    operator.put("b/1.zip", {}, data=b"x" * 5000)
    operator.program(*[{"Depends": "a:1"}] * 9, START, **{"m.wasm": b""})
    assert "more than 15000 bytes" in operator.refusal({"Depends": "a:1"}, {"Depends": "b:1"})[1]


def test_actions_of_all_runners_count_together(operator: Operator) -> None:
    for number in range(3):
        operator.put(f"a/{number}.tar", {"Seq": [{}] * 400})
    all_of_them = [{"Depends": f"a:{number}"} for number in range(3)]
    assert "more than 1000 actions" in operator.refusal(*all_of_them)[1]


def test_runners_and_linked_modules_have_bounds(operator: Operator) -> None:
    for number in range(20):
        operator.put(f"a/{number}.tar", {"Depends": f"a:{number + 1}"})
    assert "more than 16 runners" in operator.refusal({"Depends": "a:0"})[1]
    many = {f"{number}.wasm": b"" for number in range(MAX_LINKED + 1)}
    assert "more than 16 modules" in operator.refusal(*({"LinkWasm": n} for n in many), **many)[1]


def test_an_operator_is_told_which_archives_cannot_be_used(operator: Operator) -> None:
    operator.put("good/1.tar", {})
    operator.write("bad/1.zip", b"PK junk")
    operator.write("a b/1.tar", b"")
    operator.write("py-genlayer/1.tar", b"")
    operator.write("note/README.txt", b"")
    found = dict(archives(operator.folder))
    assert list(found) == ["a b:1", "bad:1", "good:1"]
    assert found["good:1"] is None
    assert "cannot be the name of a runner" in str(found["a b:1"])
    assert "the ZIP is damaged" in str(found["bad:1"])
