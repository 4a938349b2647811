"""Python contracts in the real executor: deploy them, call them, look at what came out."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.executor import ExecutionData
from genvm_manager.protocol.run_result import ResultCode, RunResult

from .module_server import ModuleServer
from .node_host import Ended, NodeHost, run_executor

ALICE = Address(b"\xa1" * 20)
BOB = Address(b"\xb0" * 20)
CHAIN_ID = 61_999
HOST_DATA = '{"node_address": "0xabc", "tx_id": "0xdef"}'
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

    def run(self, call: Any, **options: Any) -> Outcome:
        """Return one run with `call` as its calldata; what it changes is kept."""
        self.keep(self.attempt(call, **options))
        return self.last

    def keep(self, ended: Outcome) -> None:
        """Apply what a run has changed, if it returned."""
        self.last = ended
        if ended.result.code is ResultCode.RETURN:
            self.chain.node.apply(self.address, ended.result.storage_changes)

    def attempt(
        self,
        call: Any,
        *,
        is_init: bool = False,
        sender: Address = ALICE,
        value: int = 0,
        leader_results: list[bytes] | None = None,
        **how: Any,
    ) -> Outcome:
        """Return one run that changes nothing yet. `how` as `run_executor` takes it."""
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
        encoded = calldata.encode(call)
        execution = ExecutionData(encoded, message, HOST_DATA, code, leader_results, {})
        return Outcome(run_executor(self.chain.address, execution, **how))


@dataclass
class Outcome:
    """How one run ended."""

    ended: Ended

    @property
    def result(self) -> RunResult:
        """The result that the run handed over."""
        assert self.ended.result is not None, self.ended
        return self.ended.result

    @property
    def stderr(self) -> str:
        """What the run wrote to stderr."""
        return self.ended.stderr.decode()

    def returned(self) -> Any:
        """Return the value; anything else fails the test with what the contract printed."""
        assert self.result.code is ResultCode.RETURN, (self.result, self.stderr)
        return self.result.data

    def user_error(self) -> Any:
        """Return the user error's value."""
        assert self.result.code is ResultCode.USER_ERROR, (self.result, self.stderr)
        return self.result.data

    def vm_error(self) -> str:
        """Return the VM error's code."""
        assert self.result.code is ResultCode.VM_ERROR, self.result
        assert isinstance(self.result.data, str)
        return self.result.data


class Agreement:
    """One call, run by the leader, and by validators with what the leader recorded.

    None of the runs changes the chain's state: `Contract.keep` does.
    """

    def __init__(self, contract: Contract, method: str, *args: Any) -> None:
        self._contract = contract
        self._call = {"method": method, "args": list(args)}

    def lead(self, *modules: ModuleServer) -> Outcome:
        """Return the run of the leader. `modules`: the LLM module, and the web module where it is
        another one; none where there is nothing to ask."""
        return self._run(None, modules)

    def validate(self, theirs: Outcome, *modules: ModuleServer) -> int | None:
        """Return the number of the block that is not accepted; the result is the leader's."""
        mine = self._run(theirs.result.nondet_results, modules)
        assert mine.result.execution_hash == theirs.result.execution_hash, mine.stderr
        disagreement = mine.result.nondet_disagreement
        told = [] if disagreement is None else [disagreement]
        assert self._contract.chain.node.disagreements == told
        return disagreement

    def _run(self, results: list[bytes] | None, modules: tuple[ModuleServer, ...]) -> Outcome:
        self._contract.chain.node.disagreements.clear()
        asked = (modules[0], modules[-1]) if modules else None
        ended = self._contract.attempt(self._call, leader_results=results, modules=asked)
        for module in modules:
            module.join()
            assert module.problems == []
        return ended


@contextlib.contextmanager
def running_chain() -> Iterator[Chain]:
    """Yield a chain without contracts."""
    node = NodeHost()
    with tempfile.TemporaryDirectory() as folder, node.listen(Path(folder) / "host") as address:
        yield Chain(node, address)
