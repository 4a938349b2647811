"""A contract's author: types commands, with a state folder and a contract of their own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genvm_manager.base.files.state_folder import local_node
from genvm_manager.manager.cli.node_session import open_node
from genvm_manager.manager.local_node.ledger import DEFAULT_SENDER, Ledger
from genvm_manager.manager.local_node.node import LocalNode
from genvm_manager.manager.local_node.transactions import Transaction
from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address

from .service import GENVM_MANAGER
from .waiting import TIMEOUT

DEADLINE = TIMEOUT

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

    @gl.public.write
    def wonder(self, prompt: str) -> str:
        def ask():
            return gl.nondet.exec_prompt(prompt) if prompt else ""

        self.word = gl.eq_principle.strict_eq(ask)
        return self.word

    @gl.public.view
    def ask(self, other: str) -> str:
        return gl.get_contract_at(Address(other)).view().read()
"""


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """Parse stdout as a JSON object."""
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

    @contextmanager
    def starts(
        self, command: str, *arguments: str, before: Sequence[str] = ()
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a command, preceded by the arguments `before`; kill it at the end if it runs."""
        with subprocess.Popen(
            [*before, GENVM_MANAGER, command, *self._where, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def types(self, command: str, *arguments: str) -> Ended:
        """Run a command and return how it ended."""
        with self.starts(command, *arguments) as process:
            stdout, stderr = process.communicate(timeout=DEADLINE)
        return Ended(process.returncode, stdout, stderr)

    def deploys(self, word: str = "hello") -> str:
        """Deploy a probe without a command, to save time, and return its address."""
        deployment = Transaction(
            sender=DEFAULT_SENDER,
            origin=DEFAULT_SENDER,
            target=None,
            calldata=calldata.encode({"args": [word]}),
            code=PROBE.encode(),
        )
        with self._node() as node:
            (executed,) = node.submit(deployment).transactions
        assert executed.ending is not None
        assert executed.ending.is_return, executed
        return str(executed.callee)

    def calls(self, address: str, method: str, *args: Any, options: tuple[str, ...] = ()) -> Ended:
        """Call a method of a contract."""
        given = json.dumps(list(args))
        return self.types("call", address, method, "--args", given, "--json", *options)

    def reads(self, address: str) -> Any:
        """Return the word of a probe, without a command."""
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
        """Return the balances of accounts."""
        ledger = Ledger(local_node(self.state_dir))
        with ledger.reading():
            found = [ledger.balance(Address(address)) for address in addresses]
        ledger.close()
        return found
