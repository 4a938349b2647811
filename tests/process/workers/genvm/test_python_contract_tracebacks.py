"""What an author reads of an error that nobody caught: stderr, and one line beside the code.

Source: docs/contract-authors.md#read-an-error.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

import pytest

from tests.support.python_contracts import BOB, Chain, Contract, Outcome, running_chain

OURS = ("genlayer/", "/genvm", "/wlr", "boot.py", "runpy", "noqa", "frozen")

FAILING = """
import json
from genlayer import *


class Mine(Exception):
    pass


class Silent(Exception):
    def __str__(self):
        raise ValueError("no text")


class Loud(Exception):
    def __str__(self):
        return "loud " * 10_000_000


class Failing(gl.Contract):
    numbers: TreeMap[str, u8]

    @gl.public.write
    def outer(self):
        self._inner()

    def _inner(self):
        return {}["missing"]

    @gl.public.write
    def library(self):
        json.loads("{")

    @gl.public.write
    def field(self):
        self.numbers["a"] = 300

    @gl.public.write
    def chained(self):
        try:
            self._inner()
        except KeyError as error:
            raise Mine("chained") from error

    @gl.public.write
    def during(self):
        try:
            self._inner()
        finally:
            1 / 0

    @gl.public.write
    def group(self):
        errors = []
        for attempt in (self._inner, self.library):
            try:
                attempt()
            except Exception as error:
                errors.append(error)
        raise ExceptionGroup("both", errors)

    @gl.public.write
    def recurse(self, n: int = 0):
        self.recurse_back(n + 1)

    def recurse_back(self, n):
        self.recurse(n)

    @gl.public.write
    def lines(self):
        error = ValueError("first\\nsecond \\x1b[31m \\u202e\\ud800")
        error.add_note("a note")
        raise error

    @gl.public.write
    def words(self):
        raise ValueError("größer als 5 €: 値")

    @gl.public.write
    def long(self):
        raise ValueError("x" * 5_000_000)

    @gl.public.write
    def silent(self):
        raise Silent()

    @gl.public.write
    def loud(self):
        raise Loud()

    @gl.public.write
    def chain_of_many(self):
        error = ValueError("innermost")
        for n in range(20_000):
            outer = ValueError(n)
            outer.__context__ = error
            error = outer
        raise error

    @gl.public.write
    def circle(self):
        first, second = ValueError("first"), ValueError("second")
        first.__context__, second.__context__ = second, first
        raise first

    @gl.public.write
    def odd_names(self):
        exec("def f():\\n    1 / 0\\nf()", {"__name__": "x"})

    @gl.public.write
    def sandbox(self):
        result = gl.vm.spawn_sandbox(lambda: self._inner())
        print(type(result).__name__)

    @gl.public.write
    def block(self):
        def leader():
            return [1][7]

        return gl.vm.run_nondet_unsafe(leader, lambda _: True)
"""


CALLER = """
from genlayer import *


class Caller(gl.Contract):
    @gl.public.write
    def ask(self, address: Address, method: str):
        return getattr(gl.get_contract_at(address).view(), method)()
"""


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


@pytest.fixture(scope="module")
def failing(chain: Chain) -> Contract:
    return chain.deploy(FAILING)


def line_of(text: str, source: str = FAILING) -> int:
    """Return the number of the line that has `text`, with the header's line before the source."""
    return next(n for n, line in enumerate(source.splitlines(), 2) if text in line)


def cause_of(ended: Outcome) -> str:
    """Return the line that the executor logs; the code stays bare, and stderr is clean."""
    assert ended.vm_error() == "exit_code 1"
    found = [each["contract_error"] for each in ended.ended.log if "contract_error" in each]
    assert len(found) == 1 and isinstance(found[0], str), ended.ended.log
    assert not any(word in ended.stderr for word in OURS), ended.stderr
    assert len(ended.stderr) < 20_000
    return found[0]


def test_a_traceback_begins_at_the_contracts_own_frames(failing: Contract) -> None:
    ended = failing.calling("outer")
    call, place = line_of("        self._inner()"), line_of('{}["missing"]')
    assert cause_of(ended) == f"KeyError: 'missing' (contract.py:{place}, in _inner)"
    assert ended.stderr == (
        "Traceback (most recent call last):\n"
        f'  File "contract.py", line {call}, in outer\n'
        "    self._inner()\n"
        f'  File "contract.py", line {place}, in _inner\n'
        '    return {}["missing"]\n'
        "           ~~^^^^^^^^^^^\n"
        "KeyError: 'missing'\n"
    )


@pytest.mark.parametrize(
    ("method", "cause", "source"),
    [
        (
            "library",
            "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1) ({}, in library)",
            "json.loads",
        ),
        ("chained", "contract.Mine: chained ({}, in chained)", "raise Mine"),
        ("during", "ZeroDivisionError: division by zero ({}, in during)", "            1 / 0"),
        ("group", "ExceptionGroup: both (2 sub-exceptions) ({}, in group)", "raise ExceptionGroup"),
        ("words", "ValueError: größer als 5 €: 値 ({}, in words)", "größer"),
        ("silent", "contract.Silent: <exception str() failed> ({}, in silent)", "raise Silent"),
        ("circle", "ValueError: first ({}, in circle)", "raise first"),
        ("block", "IndexError: list index out of range ({}, in leader)", "[1][7]"),
        ("chain_of_many", "ValueError: 19999 ({}, in chain_of_many)", "        raise error"),
    ],
)
def test_one_line_says_what_and_where(
    failing: Contract, method: str, cause: str, source: str
) -> None:
    ended = failing.calling(method)
    numbers = [n for n, line in enumerate(FAILING.splitlines(), 2) if source in line]
    assert cause_of(ended) in [cause.format(f"contract.py:{n}") for n in numbers]
    assert 'File "contract.py", line' in ended.stderr


def test_an_error_of_the_library_is_shown_at_the_contracts_line(failing: Contract) -> None:
    ended = failing.calling("field")
    place = line_of('["a"] = 300')
    assert cause_of(ended).startswith("OverflowError: ")
    assert cause_of(ended).endswith(f"(contract.py:{place}, in field)")


def test_all_errors_of_a_chain_or_a_group_are_shown(failing: Contract) -> None:
    chained = failing.calling("chained").stderr
    assert chained.index("KeyError: 'missing'") < chained.index("contract.Mine: chained")
    assert "The above exception was the direct cause" in chained
    assert "During handling of the above" in failing.calling("during").stderr
    group = failing.calling("group").stderr
    assert "| KeyError: 'missing'\n" in group and "| json.decoder.JSONDecodeError: " in group
    assert f'|   File "contract.py", line {line_of("json.loads")}, in library\n' in group


def test_long_texts_are_shortened(failing: Contract) -> None:
    recursion = failing.calling("recurse")
    assert cause_of(recursion).startswith("RecursionError: maximum recursion depth exceeded")
    assert "left out" in recursion.stderr and recursion.stderr.count("in recurse_back") < 100
    long = cause_of(failing.calling("long"))
    place = line_of('"x" * 5')
    assert long.startswith("ValueError: xxx") and long.endswith(f"(contract.py:{place}, in long)")
    assert len(long) < 700
    assert len(cause_of(failing.calling("loud"))) < 700


def test_the_line_is_one_line(failing: Contract) -> None:
    ended = failing.calling("lines")
    assert "\nValueError: first\nsecond \x1b[31m \u202e\\ud800\na note\n" in ended.stderr
    assert cause_of(ended) == f"ValueError: first (contract.py:{line_of('raise error')}, in lines)"


def test_code_without_a_file_is_shown_as_python_does(failing: Contract) -> None:
    ended = failing.calling("odd_names")
    place = line_of("exec(")
    assert (
        cause_of(ended)
        == f"ZeroDivisionError: division by zero (contract.py:{place}, in odd_names)"
    )
    assert '  File "<string>", line 2, in f\n' in ended.stderr


def test_a_sandbox_shows_its_own_error_and_the_run_goes_on(failing: Contract) -> None:
    ended = failing.calling("sandbox")
    ended.returned()
    place = line_of('{}["missing"]')
    assert f'  File "contract.py", line {place}, in _inner\n' in ended.stderr
    assert ended.stderr.endswith("KeyError: 'missing'\n")
    assert not any("contract_error" in each for each in ended.ended.log)


@pytest.mark.parametrize(
    ("results", "code", "cause"),
    [
        ([b"\2exit_code 1"], "exit_code 1", "nondet block 0 of the leader ended so"),
        ([], "absent_leader_nondet_output", "nondet block 0 is not among the 0 results"),
        ([b"?"], "absent_leader_nondet_output malformed", "that of nondet block 0"),
    ],
)
def test_a_validator_that_ends_as_the_leader_says_so(
    failing: Contract, results: list[bytes], code: str, cause: str
) -> None:
    ended = failing.attempt({"method": "block"}, leader_results=results)
    assert (ended.vm_error(), ended.ended.log[-1]["contract_error"]) == (code, cause)


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        (
            "from genlayer import *\nx = missing\n",
            "NameError: name 'missing' is not defined (contract.py:3)",
        ),
        ("def f(:\n    pass\n", "SyntaxError: invalid syntax (contract.py:2)"),
        (
            "if True:\npass\n",
            "IndentationError: expected an indented block after 'if' statement "
            "on line 2 (contract.py:3)",
        ),
        (
            "import nothing_here\n",
            "ModuleNotFoundError: No module named 'nothing_here' (contract.py:2)",
        ),
    ],
)
def test_errors_at_the_import(chain: Chain, source: str, cause: str) -> None:
    ended = chain.deploying(source).last
    assert cause_of(ended) == cause
    assert 'File "contract.py", line' in ended.stderr


def test_a_syntax_error_has_its_line_and_caret(chain: Chain) -> None:
    ended = chain.deploying("x = 1\ny = (1 +\n").last
    assert ended.stderr == (
        '  File "contract.py", line 3\n'
        "    y = (1 +\n"
        "        ^\n"
        "SyntaxError: '(' was never closed\n"
    )


def test_an_error_without_a_frame_of_the_contract_has_its_message(chain: Chain) -> None:
    ended = chain.deploying("from genlayer import *\n").last
    assert cause_of(ended).startswith("TypeError: ")
    assert ended.stderr.count("\n") == 1, ended.stderr


def test_files_of_a_package_keep_their_paths(chain: Chain) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("runner.json", '{"Depends": "py-genlayer-multi:test"}')
        archive.writestr("contract/parts/__init__.py", "")
        archive.writestr("contract/parts/sums.py", "def divide(a, b):\n    return a // b\n")
        archive.writestr(
            "contract/__init__.py",
            "from genlayer import *\n"
            "from .parts.sums import divide\n"
            "class Several(gl.Contract):\n"
            "    def __init__(self):\n"
            "        divide(1, 0)\n",
        )
    ended = chain.deploying(packed.getvalue()).last
    assert cause_of(ended).endswith(" (contract/parts/sums.py:2, in divide)")
    assert '  File "contract/__init__.py", line 5, in __init__\n' in ended.stderr


def test_an_error_of_a_called_contract_names_that_contract(chain: Chain, failing: Contract) -> None:
    ended = chain.deploy(CALLER).calling("ask", failing.address, "outer")
    line = line_of("missing")
    place = f"{failing.address}/contract.py"
    assert cause_of(ended) == f"KeyError: 'missing' ({place}:{line}, in _inner)"
    assert f'  File "{place}", line {line}, in _inner\n' in ended.stderr
    assert ended.stderr.count("Traceback") == 1


def test_a_called_contract_that_cannot_be_started_is_named(chain: Chain) -> None:
    caller = chain.deploy(CALLER)
    ended = caller.calling("ask", BOB, "outer")
    assert ended.vm_error() == "invalid_contract"
    why = f"{BOB}: there is no contract at this address"
    assert ended.ended.log[-1]["contract_error"] == why


def test_all_frames_are_in_the_log_at_debug_level(failing: Contract) -> None:
    ended = failing.calling("library", extra_args=["--debug-mode"])
    (record,) = [each for each in ended.ended.log if each["message"] == "guest_failed"]
    assert record["level"] == "debug"
    for place in ("/genvm/boot.py:", "/contract.py:", "/json/decoder.py:"):
        assert place in record["why"]
    assert not any("why" in each for each in failing.calling("library").ended.log)


def test_an_unknown_runner_and_other_faults_of_the_code_are_told(chain: Chain) -> None:
    ended = chain.deploying(b'# { "Depends": "py-unheard-of:1" }\n').last
    assert ended.vm_error().startswith("invalid_contract")
    assert "py-unheard-of:1" in ended.ended.log[-1]["contract_error"]
    assert "py-unheard-of:1" in ended.ended.log[-1]["message"]


@pytest.mark.parametrize(
    ("statement", "code", "cause"),
    [
        ("sys.exit(3)", "exit_code 3", "SystemExit: 3 (contract.py:4)"),
        ("exit('no\\nmore')", "exit_code 1", "SystemExit: no (contract.py:4)"),
        ("raise SystemExit([1])", "exit_code 1", "SystemExit: list (contract.py:4)"),
    ],
)
def test_an_exit_says_where_it_was(chain: Chain, statement: str, code: str, cause: str) -> None:
    ended = chain.deploying(f"from genlayer import *\nimport sys\n{statement}\n").last
    assert ended.vm_error() == code
    assert ended.ended.log[-1]["contract_error"] == cause


def test_a_contracts_own_excepthook_is_left_alone(chain: Chain) -> None:
    ended = chain.deploying(
        "from genlayer import *\n"
        "import sys\n"
        "sys.excepthook = lambda *failure: print('mine')\n"
        "1 / 0\n"
    ).last
    assert (ended.vm_error(), ended.ended.stdout, ended.stderr) == ("exit_code 1", b"mine\n", "")
