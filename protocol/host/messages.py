"""The requests of the host protocol, their codes, and how they lie in bytes.

Source: docs/spec/04-executor.md#host-protocol. Integers are little-endian.

The executor pays for this module's imports at each start, so it keeps to the light ones.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from genvm_manager.protocol.calldata import Address

MAX_BLOB = 64 << 20
"""The longest run of bytes, in either direction, that one message may carry."""

SLOT_SIZE = 32
"""Bytes that name a slot of storage."""

BALANCE_SIZE = 32
"""Bytes of a balance, little-endian."""


class Method(IntEnum):
    """The first byte of a request."""

    STORAGE_READ = 0
    CONSUME_FUEL = 1
    ETH_CALL = 2
    GET_BALANCE = 3
    REMAINING_FUEL_AS_GEN = 4
    NOTIFY_NONDET_DISAGREEMENT = 5
    CONSUME_RESULT = 6
    NOTIFY_FINISHED = 7


class StorageType(IntEnum):
    """Which state of a contract's storage a read sees."""

    DEFAULT = 0
    LATEST_FINAL = 1
    LATEST_NON_FINAL = 2


class HostErrorCode(IntEnum):
    """The error byte of an answer."""

    OK = 0
    ABSENT = 1
    FORBIDDEN = 2
    OUT_OF_STORAGE_GAS = 3


class HostRefusal(Exception):
    """A host answered a request with an error byte. Hosts raise it, clients get it."""

    def __init__(self, code: HostErrorCode) -> None:
        super().__init__(f"the host refused: {code.name.lower()}")
        self.code = code


class HostProtocolError(Exception):
    """The other side broke the protocol or went away; the connection is of no more use."""


class StorageRead(NamedTuple):
    """Read `length` bytes of a contract's storage from byte `offset` of `slot`."""

    storage_type: StorageType
    address: Address
    slot: bytes
    offset: int
    length: int


class ConsumeFuel(NamedTuple):
    """Take `amount` of the run's fuel. It has no answer."""

    amount: int


class EthCall(NamedTuple):
    """Call a contract of the Ethereum chain beneath."""

    address: Address
    calldata: bytes


class GetBalance(NamedTuple):
    """Read what an account owned before this run."""

    address: Address


class RemainingFuelAsGen(NamedTuple):
    """Read how much fuel the run has left."""


class NotifyNondetDisagreement(NamedTuple):
    """Report that a validator did not accept the leader's result of a nondet block."""

    call_number: int


class ConsumeResult(NamedTuple):
    """Hand over the encoded result of the run."""

    result: bytes


class NotifyFinished(NamedTuple):
    """End the connection: the executor asks for nothing more."""


Request = (
    StorageRead
    | ConsumeFuel
    | EthCall
    | GetBalance
    | RemainingFuelAsGen
    | NotifyNondetDisagreement
    | ConsumeResult
    | NotifyFinished
)

STORAGE_READ = struct.Struct("<B20s32sII")
U32 = struct.Struct("<I")
U64 = struct.Struct("<Q")
ETH_CALL = struct.Struct("<20sI")
