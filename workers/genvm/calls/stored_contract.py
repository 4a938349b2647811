"""What a contract's storage holds of the contract itself: its code, and who may change it.

Source: docs/spec/06-contracts.md#storage-layout-and-calls.
"""

from __future__ import annotations

import struct

from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.contract.errors import InvalidContract
from genvm_manager.protocol.contract.storage_layout import (
    CODE_SLOT,
    LOCKED_SLOTS_FIELD,
    ROOT_SLOT,
    UPGRADERS_FIELD,
    indirection,
    stored_code,
)
from genvm_manager.protocol.host.messages import HostRefusal

from .storage import Storage

_U32 = struct.Struct("<I")
_MAX_LIST = 1 << 16


def read_code(storage: Storage, max_size: int) -> bytes:
    """Return the contract's code. Raises `InvalidContract` where there is none, or too much."""
    size = _U32.unpack(_read(storage, CODE_SLOT, 0, 4))[0]
    if not size:
        raise InvalidContract("there is no contract at this address")
    if size > max_size:
        raise InvalidContract(f"the code has {size} bytes, the limit is {max_size}")
    return _read(storage, CODE_SLOT, 4, size)


def write_code(storage: Storage, code: bytes) -> None:
    """Put the code of a deployment where later calls find it."""
    storage.write(CODE_SLOT, 0, stored_code(code))


def locked_slots(storage: Storage, sender: Address) -> frozenset[bytes]:
    """Return the slots that `sender` may not write: the locked ones, unless it is an upgrader.

    Both lists are a u32 count, then the items
    (docs/spec/06-contracts.md#storage-layout-and-calls). Raises `InvalidContract`
    where the host does not say.
    """
    locked = _read_list(storage, LOCKED_SLOTS_FIELD, len(ROOT_SLOT))
    if not locked or bytes(sender) in _read_list(storage, UPGRADERS_FIELD, Address.SIZE):
        return frozenset()
    return locked


def _read_list(storage: Storage, field: int, item_size: int) -> frozenset[bytes]:
    slot = indirection(ROOT_SLOT, field)
    count = min(_U32.unpack(_read(storage, slot, 0, 4))[0], _MAX_LIST)
    items = _read(storage, slot, 4, count * item_size)
    return frozenset(items[at : at + item_size] for at in range(0, len(items), item_size))


def _read(storage: Storage, slot: bytes, offset: int, length: int) -> bytes:
    try:
        return storage.read(slot, offset, length)
    except HostRefusal as refusal:
        raise InvalidContract(f"its storage cannot be read: {refusal}") from None
