"""The transactions of the local node, before and after they ran."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import Struct

from genvm_manager.base.errors import BadRequest
from genvm_manager.protocol import calldata
from genvm_manager.protocol.bodies import from_value
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.keccak import keccak256
from genvm_manager.protocol.run_result import ResultCode, RunResult

from .errors import LocalNodeFailed
from .file_names import with_file_name

CHAIN_ID = 61_999
"""The chain id of GenLayer's local networks."""

_DEPLOYED_BY_NONCE = b"\x00"


def address_by_nonce(sender: Address, nonce: int) -> Address:
    """Return the address of the contract of the sender's deployment number `nonce`.

    This is the local node's own rule: it differs from `protocol.addresses` in the first byte, so
    that the two kinds never collide.
    """
    numbers = nonce.to_bytes(32, "big") + CHAIN_ID.to_bytes(32, "big")
    return Address(keccak256(_DEPLOYED_BY_NONCE + bytes(sender) + numbers)[: Address.SIZE])


@dataclass(frozen=True)
class Transaction:
    """One call or deployment. `target` None: deploy `code` at an address that the node chooses.

    `value` is in the smallest unit. `salt_nonce`: see `protocol.addresses`; 0 means none.
    `file_name` is that of `code`, where it is known.
    """

    sender: Address
    origin: Address
    target: Address | None
    calldata: bytes
    value: int = 0
    code: bytes | None = None
    salt_nonce: int = 0
    file_name: str | None = None

    @property
    def names_method(self) -> bool:
        """False for a bare transfer, which an account without code can receive."""
        try:
            call = calldata.decode(self.calldata)
        except calldata.DecodeError:
            return True
        return not isinstance(call, dict) or "method" in call or "" in call


@dataclass(frozen=True)
class Ending:
    """How a run ended. `result` None: it has none, and `reason` tells why in one sentence.

    `major` is the public-ABI major that it ran with. `stdout` and `stderr` are the contract's own;
    of long ones only the end. `contract_error`: see `FinishedRunReply`.
    """

    run_id: int
    major: int
    result: RunResult | None
    reason: str | None
    stdout: str
    stderr: str
    wall_ms: int | None
    cpu_seconds: float | None
    contract_error: str | None = None

    @property
    def code(self) -> ResultCode:
        """The code of the result; an internal error without one."""
        return ResultCode.INTERNAL_ERROR if self.result is None else self.result.code

    @property
    def is_return(self) -> bool:
        """Whether the contract returned."""
        return self.code is ResultCode.RETURN

    def under_name(self, file_name: str | None) -> Ending:
        """Return the ending with the contract's file named as its author does."""
        why = self.contract_error
        return replace(
            self,
            stderr=with_file_name(self.stderr, file_name),
            contract_error=None if why is None else with_file_name(why, file_name),
        )


@dataclass(frozen=True)
class ExecutedTransaction:
    """A transaction after it ran. `ending` None: only value was transferred, no code was run.

    `problem`: why nothing was run or transferred, for messages that cannot be delivered. `sent`:
    the transactions of its messages.
    """

    transaction: Transaction
    callee: Address
    ending: Ending | None = None
    problem: str | None = None
    sent: list[Transaction] = field(default_factory=list)


class PostMessage(Struct, tag=True, frozen=True):
    """A message to another contract."""

    address: Address
    calldata: bytes
    value: int
    on: str


class DeployContract(Struct, tag=True, frozen=True):
    """A deployment of another contract."""

    calldata: bytes
    code: bytes
    value: int
    on: str
    salt_nonce: int


class EthSend(Struct, tag=True, frozen=True):
    """A message to another chain."""

    address: Address
    calldata: bytes
    value: int


class EmitEvent(Struct, tag=True, frozen=True):
    """An event."""

    topics: list[bytes]
    blob: dict[str, Any]


Emission = PostMessage | DeployContract | EthSend | EmitEvent


def emissions(result: RunResult) -> list[Emission]:
    """Return the result's emissions in order.

    Raises `LocalNodeFailed`, naming the field, for one that docs/spec/04-executor.md does not know.
    """
    found: list[Emission] = []
    for index, emission in enumerate(result.emissions):
        try:
            kind: Any = Emission
            found.append(from_value(emission, kind))
        except BadRequest as error:
            raise LocalNodeFailed(f"emissions[{index}].{error.message}") from None
    return found
