"""Where a contract's own fields lie in its storage.

Source: docs/spec/06-contracts.md#storage-layout-and-calls.

The executor pays for this module's imports at each start, so it keeps to the light ones.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from genvm_manager.base.errors import BadRequest

ROOT_SLOT = bytes(32)
INSTANCE_FIELD, CODE_FIELD, LOCKED_SLOTS_FIELD, UPGRADERS_FIELD = range(4)


def indirection(slot: bytes, offset: int) -> bytes:
    """Return the slot that the field at `offset` of `slot` leads to."""
    return hashlib.sha3_256(slot + offset.to_bytes(4, "little")).digest()


CODE_SLOT = indirection(ROOT_SLOT, CODE_FIELD)
"""Holds what `stored_code` says."""

_CODE_OFFSET = 4


class StorageWrite(NamedTuple):
    """`content` to be put at byte `offset` of `slot`."""

    slot: bytes
    offset: int
    content: bytes

    @property
    def key(self) -> bytes:
        """Slot 32 bytes + offset u32 little-endian (docs/spec/01-http-api.md#contracts)."""
        return self.slot + self.offset.to_bytes(4, "little")


def stored_code(code: bytes) -> bytes:
    """Return the content of the code slot: the length as u32 little-endian, then the code."""
    return len(code).to_bytes(_CODE_OFFSET, "little") + code


def pre_deploy_writes(major: int, code: bytes) -> list[StorageWrite]:
    """Return what a node writes before it deploys `code` (docs/spec/01-http-api.md#contracts).

    Raises `BadRequest` that names a public-ABI major for which there is no rule.
    """
    if major != 0:
        raise BadRequest(
            f"the code asks for major {major}, of which no pre-deploy writes are known here; "
            "they are for major 0"
        )
    stored = stored_code(code)
    return [
        StorageWrite(CODE_SLOT, 0, stored[:_CODE_OFFSET]),
        StorageWrite(CODE_SLOT, _CODE_OFFSET, stored[_CODE_OFFSET:]),
    ]
