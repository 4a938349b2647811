"""The machine's own functions, below all else of the SDK: `gl.wasi`.

Source: docs/spec/07-python-sdk.md#1-modules. What the machine refuses is `SystemError`, such as
`SystemError("6: forbidden")`.
"""

from __future__ import annotations

from genlayer._machine import host
from genlayer.py.storage.host_slots import HOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Buffer

__all__ = ("get_balance", "get_self_balance", "gl_call", "storage_read", "storage_write")


def storage_read(slot: Buffer, offset: int, buffer: Buffer, /) -> None:
    """Fill `buffer` with what stands in the slot with this 32-byte id from `offset` on."""
    target = memoryview(buffer).cast("B")
    target[:] = host.storage_read(bytes(slot), offset, len(target))


def storage_write(slot: Buffer, offset: int, data: Buffer, /) -> None:
    """Put all of `data` into the slot with this 32-byte id, from `offset` on."""
    HOST.do_write(bytes(slot), offset, bytes(data))  # which knows what is kept of the slot


def get_balance(address: Buffer, /) -> int:
    """Return the balance of the account with these 20 bytes before this run."""
    return host.get_balance(bytes(address))


def get_self_balance() -> int:
    """Return this contract's balance, less the value that its messages of this run send."""
    return host.get_self_balance()


def gl_call(request: Buffer, /) -> int:
    """Do what `request` says, which is calldata: a map with one key.

    Return a descriptor for `os.fdopen(…, "rb")`, from which the answer is read; 2^32 - 1 where
    there is none.
    """
    return host.gl_call_to_descriptor(bytes(request))
