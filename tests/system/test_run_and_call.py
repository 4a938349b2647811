"""`genvm-manager run` and `call` as a contract's author uses them, on a real service."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from manager.cli.node_session import open_node
from manager.http_client import HttpClient
from manager.local_node.ledger import DEFAULT_BALANCE, DEFAULT_SENDER, Ledger
from manager.local_node.node import LocalNode
from manager.local_node.transactions import Transaction
from manager.service import Service, private_service
from manager.service_note import ServiceNote
from protocol import calldata
from protocol.calldata import Address
from protocol.ipc import RunState
from protocol.state_folder import local_node, service_note
from tests.support.service import GENVM_MANAGER, processes_of, wait_until

ALICE = "0x2000000000000000000000000000000000000002"
NOBODY = "0x00000000000000000000000000000000000000ff"

PROBE = """\
# { "Depends": "py-genlayer:test" }

from genlayer import *


class Probe(gl.Contract):
    word: str

    def __init__(self, word: str):
        if word == "refuse":
            raise gl.vm.UserError("not with me")
        self.word = word

    @gl.public.view
    def read(self) -> str:
        return self.word

    @gl.public.view
    def write_in_a_view(self) -> None:
        self.word = "sneaked in"

    @gl.public.write
    def set(self, word: str) -> None:
        print("was", self.word)
        self.word = word

    @gl.public.write
    def echo(self, first, *, second=None):
        return [first, second]

    @gl.public.write
    def refuse(self) -> None:
        self.word = "changed"
        raise gl.vm.UserError("not today")

    @gl.public.write
    def crash(self) -> None:
        self.word = "changed"
        1 / 0

    @gl.public.write
    def hang(self) -> None:
        while True:
            pass

    @gl.public.write.payable
    def take(self) -> int:
        return self.balance

    @gl.public.write
    def tell(self, other: str, word: str) -> None:
        self.word = "told"
        gl.get_contract_at(Address(other)).emit().set(word)

    @gl.public.write
    def pay(self, to: str, amount: int) -> None:
        gl.get_contract_at(Address(to)).emit_transfer(value=u256(amount))

    @gl.public.view
    def ask(self, other: str) -> str:
        return gl.get_contract_at(Address(other)).view().read()
"""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with (
        tempfile.TemporaryDirectory(prefix="genvm-test-") as folder,
        private_service(Path(folder), quiet=False) as service,
    ):
        yield service


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        parsed = json.loads(self.stdout)
        assert isinstance(parsed, dict)
        return parsed


class Author:
    """Types commands, with a state folder and a contract of their own."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self._url = url
        self.state_dir = folder / "state"
        self.probe = folder / "probe.py"
        self.probe.write_text(PROBE)
        self._where = ["--state-dir", str(self.state_dir)]
        if url:
            self._where += ["--url", url]

    def start(self, command: str, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [GENVM_MANAGER, command, *self._where, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def types(self, *words: str) -> Ended:
        process = self.start(*words)
        stdout, stderr = process.communicate(timeout=60)
        return Ended(process.returncode, stdout, stderr)

    def deploys(self, word: str = "hello") -> str:
        """The address of a new probe. Not typed, to save the time of a command."""
        deployment = Transaction(
            sender=DEFAULT_SENDER,
            origin=DEFAULT_SENDER,
            target=None,
            calldata=calldata.encode({"args": [word]}),
            code=PROBE.encode(),
        )
        with self._node() as node:
            (outcome,) = node.submit(deployment).outcomes
        assert outcome.ending is not None
        assert outcome.ending.is_return, outcome
        return str(outcome.callee)

    def calls(self, address: str, method: str, *args: Any, options: tuple[str, ...] = ()) -> Ended:
        given = json.dumps(list(args))
        return self.types("call", address, method, "--args", given, "--json", *options)

    def reads(self, address: str) -> Any:
        """The word of a probe. Not typed either."""
        call = calldata.encode({"method": "read"})
        view = Transaction(DEFAULT_SENDER, DEFAULT_SENDER, Address(address), call)
        with self._node() as node:
            ending = node.view(view).ending
        assert ending is not None
        assert ending.result is not None
        return ending.result.data

    def _node(self) -> AbstractContextManager[LocalNode]:
        assert self._url is not None
        return open_node(self.state_dir, self._url, "30s")

    def balances(self, *addresses: str | Address) -> list[int]:
        ledger = Ledger(local_node(self.state_dir))
        with ledger.reading():
            found = [ledger.balance(Address(address)) for address in addresses]
        ledger.close()
        return found


@pytest.fixture
def author(tmp_path: Path, service: Service) -> Author:
    return Author(tmp_path, service.address)


# ------------------------------------------------------------------------------- what they print


def test_a_deployment_and_calls_as_people_see_them(author: Author) -> None:
    deployed = author.types("run", str(author.probe), "--args", '["hello"]')
    assert deployed.code == 0
    head, *rest = deployed.stdout.splitlines()
    assert head.startswith("deployment 0x")
    assert head.endswith(": return")
    body = "\n".join(rest)
    assert '  in       __init__("hello")' in body
    assert f"  sender   {DEFAULT_SENDER}" in body
    assert "  returned null" in body
    assert "(code)" in body
    assert "  time     " in body

    address = head.split()[1].rstrip(":")
    changed = author.types("call", address, "set", "--kwargs", '{"word": "new"}')
    assert changed.code == 0
    assert '  in       set(word="new")' in changed.stdout
    assert "  stdout   was hello" in changed.stdout
    assert "\x1b" not in changed.stdout, "no colours for a pipe"
    viewed = author.types("call", address, "read", "--view")
    assert '  returned "new"' in viewed.stdout
    assert "storage" not in viewed.stdout


def test_a_deployment_and_a_call_as_scripts_see_them(author: Author) -> None:
    args = ("--args", '["hello"]', "--json")
    deployed = author.types("run", str(author.probe), *args)
    assert deployed.stdout.count("\n") == 1
    shown = deployed.json
    assert shown["kind"] == "deployment"
    assert shown["result"] == "return"
    assert shown["returned"] is None
    assert shown["sender"] == str(DEFAULT_SENDER)
    assert shown["call"] == {"args": ["hello"]}
    assert shown["messages"] == []
    assert len(shown["execution_hash"]) == 66
    written = b"".join(bytes.fromhex(c["content"][2:]) for c in shown["storage_changes"])
    assert PROBE.encode()[:64] in written
    assert {"run_id", "wall_ms", "cpu_seconds", "stdout", "stderr"} <= shown.keys()
    changed = author.calls(shown["contract"], "set", "new").json
    assert changed["stdout"] == "was hello\n"
    assert len(changed["storage_changes"]) >= 1


def test_every_kind_of_value_goes_in_and_comes_out(author: Author) -> None:
    address = author.deploys()
    value = [
        None,
        True,
        -(2**300),
        "0x00 stays text",
        {"$address": ALICE},
        {"$bytes": "0x00ff"},
        {"b": [], "a": {"$map": {"$bytes": "1"}}},
    ]
    ended = author.calls(address, "echo", value, options=("--kwargs", '{"second": "naïve"}'))
    assert ended.json["returned"] == [value, "naïve"]


# ------------------------------------------------------------------------------------ exit codes


def test_a_user_error_is_1_and_changes_nothing(author: Author) -> None:
    address = author.deploys()
    ended = author.calls(address, "refuse")
    assert (ended.code, ended.json["result"]) == (1, "user_error")
    assert ended.json["error"] == "not today"
    assert author.reads(address) == "hello"
    refused = author.types("run", str(author.probe), "--args", '["refuse"]')
    assert refused.code == 1
    assert "user error" in refused.stdout
    assert '"not with me"' in refused.stdout


def test_a_vm_error_is_2_and_changes_nothing(author: Author) -> None:
    address = author.deploys()
    ended = author.calls(address, "crash")
    assert (ended.code, ended.json["result"]) == (2, "vm_error")
    assert ended.json["error"] == "exit_code 1"
    assert "ZeroDivisionError" in ended.json["stderr"]
    assert author.reads(address) == "hello"


def test_a_call_without_end_is_a_vm_error_at_its_deadline(author: Author) -> None:
    address = author.deploys()
    ended = author.calls(address, "hang", options=("--deadline", "1s"))
    assert (ended.code, ended.json["error"]) == (2, "timeout")


def test_a_view_that_writes_fails_and_changes_nothing(author: Author) -> None:
    address = author.deploys()
    for options in ((), ("--view",)):
        ended = author.calls(address, "write_in_a_view", options=options)
        assert ended.code in (1, 2)
        assert ended.json["storage_changes"] == []
    # A method that writes may not when it is called as a view.
    assert author.calls(address, "set", "x", options=("--view",)).code in (1, 2)
    assert author.reads(address) == "hello"


def test_what_is_no_contract_is_a_vm_error(author: Author) -> None:
    author.probe.write_bytes(b"\xff\xfe no text")
    ended = author.types("run", str(author.probe), "--json")
    assert ended.code == 2
    assert ended.json["error"].startswith("invalid_contract")


def test_a_service_that_is_not_there_is_3(tmp_path: Path) -> None:
    author = Author(tmp_path, "http://127.0.0.1:1")
    ended = author.types("run", str(author.probe), "--args", '["a"]')
    assert ended.code == 3
    assert "http://127.0.0.1:1 cannot be reached" in ended.stderr
    assert author.types("run", str(author.probe), "--json").json["result"] == "failed"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("run", "absent.py"), "absent.py"),
        (("run",), "CONTRACT"),
        (("run", "PROBE", "--args", "[1"), "not JSON"),
        (("run", "PROBE", "--args", '{"a": 1}'), "expected a JSON list"),
        (("run", "PROBE", "--args", "[1.5]"), "no floats"),
        (("run", "PROBE", "--kwargs", "[]"), "expected a JSON map"),
        (("run", "PROBE", "--sender", "0x12"), "20 bytes"),
        (("run", "PROBE", "--value", "-1"), "--value"),
        (("run", "PROBE", "--value", "1" + "0" * 25), "has 1000000000000000000000000, not"),
        (("run", "PROBE", "--value", "1", "--sender", ALICE), "has 0, not 1"),
        (("run", "PROBE", "--deadline", "soon"), "a duration such as"),
        (("run", "PROBE", "--url", "ftp://x"), "expected http://HOST:PORT"),
        (("run", "PROBE", "--nonsense"), "--nonsense"),
        (("call", NOBODY, "read"), "no contract at 0x"),
        (("call", NOBODY, "read", "--view"), "no contract at 0x"),
        (("call", "0xzz", "read"), "an address is 0x"),
        (("call", NOBODY, "--view"), "--view needs a METHOD"),
        (("call", NOBODY, "read", "--view", "--value", "1"), "takes no --value"),
    ],
)
def test_what_cannot_be_done_is_64_and_says_why(
    author: Author, words: tuple[str, ...], complaint: str
) -> None:
    ended = author.types(*(str(author.probe) if word == "PROBE" else word for word in words))
    assert ended.code == 64
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr


# -------------------------------------------------------------------------------------- the node


def test_contracts_stay_and_have_addresses_of_their_own(author: Author) -> None:
    first, second = author.deploys("one"), author.deploys("two")
    assert first != second
    assert author.calls(first, "set", "uno").code == 0
    assert (author.reads(first), author.reads(second)) == ("uno", "two")


def test_a_message_arrives_after_its_sender_has_returned(author: Author) -> None:
    teller, other = author.deploys("teller"), author.deploys("other")
    ended = author.calls(teller, "tell", other, "psst")
    assert ended.code == 0
    assert [emission["type"] for emission in ended.json["emissions"]] == ["PostMessage"]
    (message,) = ended.json["messages"]
    assert message["sender"] == teller
    assert message["contract"] == other
    assert message["result"] == "return"
    assert (author.reads(teller), author.reads(other)) == ("told", "psst")
    asked = author.calls(teller, "ask", other, options=("--view",))
    assert asked.json["returned"] == "psst"


def test_a_message_to_nowhere_is_shown_and_does_not_undo_its_sender(author: Author) -> None:
    teller = author.deploys("teller")
    ended = author.calls(teller, "tell", NOBODY, "psst")
    assert ended.code == 0
    assert ended.json["messages"][0]["result"] == "undelivered"
    assert author.reads(teller) == "told"


def test_value_goes_to_contracts_and_on(author: Author) -> None:
    address = author.deploys()
    taken = author.calls(address, "take", options=("--value", "10"))
    assert taken.json["returned"] == 10
    assert author.balances(DEFAULT_SENDER, address) == [DEFAULT_BALANCE - 10, 10]
    assert author.calls(address, "set", "x", options=("--value", "5")).code == 1, "not payable"
    assert author.calls(address, "pay", ALICE, 11).code != 0
    assert author.balances(DEFAULT_SENDER, address, ALICE) == [DEFAULT_BALANCE - 10, 10, 0]
    assert author.calls(address, "pay", ALICE, 4).code == 0
    assert author.balances(address, ALICE) == [6, 4]
    spent = author.calls(address, "take", options=("--value", "4", "--sender", ALICE))
    assert spent.json["returned"] == 10
    moved = author.types("call", ALICE, "--value", "7")
    assert moved.code == 0
    assert moved.stdout.startswith(f"transfer {ALICE}: return")
    assert author.balances(ALICE) == [7]


def test_commands_at_once_take_turns_and_lose_nothing(author: Author) -> None:
    address = author.deploys()
    with ThreadPoolExecutor(4) as pool:
        takes = [
            pool.submit(author.calls, address, "take", options=("--value", "1")) for _ in range(4)
        ]
        ended = [take.result() for take in takes]
    assert [one.code for one in ended] == [0, 0, 0, 0], ended
    assert sorted(one.json["returned"] for one in ended) == [1, 2, 3, 4]
    assert author.balances(address) == [4]


# ----------------------------------------------------------------------------------- the service


def test_the_service_of_the_state_folder_is_found(tmp_path: Path, service: Service) -> None:
    author = Author(tmp_path, None)
    author.state_dir.mkdir()
    own = psutil.Process()
    note = ServiceNote(service.url, None, own.pid, own.create_time())
    service_note(author.state_dir).write_bytes(msgspec.json.encode(note))
    ended = author.types("run", str(author.probe), "--args", '["a"]', "--json")
    assert "no service" not in ended.stderr
    with HttpClient(service.address) as client:
        assert client.get_run(ended.json["run_id"]).status is not None


def test_without_a_service_a_private_one_is_used_and_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = Author(tmp_path, None)
    # Sockets need a short path, which pytest's own folder does not give.
    with tempfile.TemporaryDirectory(prefix="genvm-test-") as scratch:
        monkeypatch.setenv("TMPDIR", scratch)
        ended = author.types("run", str(author.probe), "--args", '["a"]', "--json")
        assert ended.code == 0, ended
        assert "starting one for this command" in ended.stderr
        assert list(Path(scratch).iterdir()) == []
        assert all(path.name.startswith("local-node.db") for path in author.state_dir.iterdir())
        wait_until(lambda: not processes_of(Path(scratch)), within=5)


def test_a_temporary_folder_too_deep_for_sockets_is_3_and_says_so(
    author: Author, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    ended = author.types("run", str(author.probe), "--args", '["a"]')
    assert ended.code == 3
    assert "TMPDIR" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(deep.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_an_interrupted_command_ends_its_run_and_changes_nothing(
    author: Author, service: Service, number: signal.Signals, code: int
) -> None:
    address = author.deploys()
    with HttpClient(service.address) as client:

        def under_way() -> list[int]:
            executions = client.status().executions
            return [int(i) for i, one in executions.items() if one.state is RunState.RUNNING]

        command = author.start("call", address, "hang")
        (run_id,) = wait_until(under_way)
        command.send_signal(number)
        _, stderr = command.communicate(timeout=20)
        assert command.returncode == code
        assert "Traceback" not in stderr
        ended = client.get_run(run_id, wait=10).status
    assert ended is not None
    assert ended.cause == "cancelled"
    assert author.reads(address) == "hello"
