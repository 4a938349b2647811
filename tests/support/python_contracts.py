"""Python contracts in the real executor: deploy them, call them, look at what came out."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol import calldata
from protocol.calldata import Address
from protocol.executor import ExecutionData
from protocol.run_result import ResultCode, RunResult
from tests.support.node_host import Ended, NodeHost, run_executor

ALICE = Address(b"\xa1" * 20)
BOB = Address(b"\xb0" * 20)
CHAIN_ID = 61_999
HEADER = '# { "Depends": "py-genlayer:test" }\n'


@dataclass
class Chain:
    """A node with its contracts, for runs one after another."""

    node: NodeHost
    address: str
    deployed: int = 0

    def deploy(self, source: str | Path | bytes, *args: Any, **options: Any) -> Contract:
        """Deploy a contract from its text, its file or its bytes; fails unless it returns."""
        contract = self.deploying(source, *args, **options)
        contract.last.returned()
        return contract

    def deploying(
        self, source: str | Path | bytes, *args: Any, kwargs: Any = None, **options: Any
    ) -> Contract:
        """Try to deploy a contract; how it ended is `last`."""
        self.deployed += 1
        address = Address(bytes(19) + bytes([self.deployed]))
        contract = Contract(self, address, _code(source))
        contract.run({"args": list(args), "kwargs": kwargs or {}}, is_init=True, **options)
        return contract


def _code(source: str | Path | bytes) -> bytes:
    if isinstance(source, Path):
        return source.read_bytes()
    return (HEADER + source).encode() if isinstance(source, str) else source


@dataclass
class Contract:
    """A contract of the chain; `last` is how its last run ended."""

    chain: Chain
    address: Address
    code: bytes
    last: Outcome = field(init=False)

    def call(self, method: str, *args: Any, kwargs: Any = None, **options: Any) -> Any:
        """Call a method; the value that it returns."""
        return self.calling(method, *args, kwargs=kwargs, **options).returned()

    def calling(self, method: str, *args: Any, kwargs: Any = None, **options: Any) -> Outcome:
        """Call a method; how it ends."""
        return self.run({"method": method, "args": list(args), "kwargs": kwargs or {}}, **options)

    def run(
        self,
        call: Any,
        *,
        is_init: bool = False,
        sender: Address = ALICE,
        value: int = 0,
        permissions: str = "rwscn",
    ) -> Outcome:
        """One run with `call` as its calldata; its storage changes are applied."""
        message = {
            "contract_address": self.address,
            "sender_address": sender,
            "origin_address": ALICE,
            "chain_id": CHAIN_ID,
            "value": value,
            "is_init": is_init,
            "datetime": "2026-01-02T03:04:05Z",
        }
        code = self.code if is_init else None
        execution = ExecutionData(calldata.encode(call), message, "", code, None, {})
        ended = run_executor(self.chain.address, execution, permissions=permissions)
        self.last = Outcome(ended)
        if self.last.result.code is ResultCode.RETURN:
            self.chain.node.apply(self.address, self.last.result.storage_changes)
        return self.last


@dataclass
class Outcome:
    """How one run ended."""

    ended: Ended

    @property
    def result(self) -> RunResult:
        assert self.ended.result is not None, self.ended
        return self.ended.result

    @property
    def stderr(self) -> str:
        return self.ended.stderr.decode()

    def returned(self) -> Any:
        """The returned value; anything else fails the test with what the contract printed."""
        assert self.result.code is ResultCode.RETURN, (self.result, self.stderr)
        return self.result.data

    def user_error(self) -> Any:
        """The user error's value."""
        assert self.result.code is ResultCode.USER_ERROR, (self.result, self.stderr)
        return self.result.data

    def vm_error(self) -> str:
        """The VM error's code."""
        assert self.result.code is ResultCode.VM_ERROR, self.result
        assert isinstance(self.result.data, str)
        return self.result.data


@contextlib.contextmanager
def running_chain() -> Iterator[Chain]:
    """A chain without contracts."""
    node = NodeHost()
    with tempfile.TemporaryDirectory() as folder, node.listen(Path(folder) / "host") as address:
        yield Chain(node, address)
