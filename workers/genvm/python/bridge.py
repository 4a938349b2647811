"""The operations as the Python guest reaches them: frames on a device file.

Source: docs/spec/06-contracts.md.

CPython for WASI has no extension of ours, so `guest/genlayer/_machine/host.py` opens `DEVICE` and
writes requests there: one byte for the operation, then its arguments, little-endian. What the
operation gives is then read from the same descriptor. Where it is refused, the guest's writing
fails with `EIO`, and one byte of `SdkError` is read; so nothing is read where nothing is given.
The answer to a `gl_call` can be had as a descriptor of its own as well: as the one that the guest
opens next.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.host.messages import BALANCE_SIZE
from genvm_manager.workers.genvm.calls.operations import Operations
from genvm_manager.workers.genvm.calls.sdk import OperationFailed, SdkError
from genvm_manager.workers.genvm.engine.endings import OUT_OF_MEMORY, CallEnded
from genvm_manager.workers.genvm.wasi.descriptors import Input
from genvm_manager.workers.genvm.wasi.errors import Errno

DEVICE = "/genvm/host"

NO_RESULT = 0xFFFFFFFF
"""The length of a `gl_call` answer without data."""

_RANGE = struct.Struct("<32sII")
_U32 = struct.Struct("<I")


class RequestHandler:
    """Answers one frame at a time."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._apart: Input | None = None
        self._handlers: dict[int, Callable[[memoryview], bytes]] = {
            0: self._storage_read,
            1: self._storage_write,
            2: self._get_balance,
            3: self._get_self_balance,
            4: self._gl_call,
            5: self._out_of_memory,
            6: self._report_failure,
            7: self._gl_call_apart,
            8: self._embed,
        }

    def __call__(self, request: memoryview) -> tuple[Errno, bytes]:
        """Return how writing one request frame ends, and its answer."""
        handler = self._handlers.get(request[0]) if request else None
        try:
            if handler is None:
                raise OperationFailed(SdkError.INVAL)
            return Errno.SUCCESS, handler(request[1:])
        except OperationFailed as failure:
            return Errno.IO, bytes([failure.code])
        except struct.error:
            return Errno.IO, bytes([SdkError.INVAL])

    def take_apart(self) -> Input | None:
        """Return the answer that is to be read from a descriptor of its own, if one waits."""
        waiting, self._apart = self._apart, None
        return waiting

    def _storage_read(self, arguments: memoryview) -> bytes:
        return self._operations.storage_read(*_RANGE.unpack(arguments))

    def _storage_write(self, arguments: memoryview) -> bytes:
        """Do any number of writes in order; the first one that is refused is the last."""
        while arguments:
            slot, index, length = _RANGE.unpack_from(arguments)
            end = _RANGE.size + length
            if end > len(arguments):
                raise OperationFailed(SdkError.INVAL)
            self._operations.storage_write(slot, index, arguments[_RANGE.size : end])
            arguments = arguments[end:]
        return b""

    def _get_balance(self, arguments: memoryview) -> bytes:
        if len(arguments) != Address.SIZE:
            raise OperationFailed(SdkError.INVAL)
        return self._operations.get_balance(bytes(arguments)).to_bytes(BALANCE_SIZE, "little")

    def _get_self_balance(self, _: memoryview) -> bytes:
        return self._operations.get_self_balance().to_bytes(BALANCE_SIZE, "little")

    def _gl_call(self, arguments: memoryview) -> bytes:
        result = self._operations.gl_call(arguments)
        if result is None:
            return _U32.pack(NO_RESULT)
        return _U32.pack(len(result)) + result

    def _report_failure(self, text: memoryview) -> bytes:
        self._operations.report_failure(text)
        return b""

    def _gl_call_apart(self, arguments: memoryview) -> bytes:
        result = self._operations.gl_call(arguments)
        if result is None:
            return b"\0"
        unread = self.take_apart()
        if unread is not None:
            unread.close()
        self._operations.hold(len(result))
        self._apart = Input(result, at_close=self._operations.release)
        return b"\1"

    def _embed(self, tokens: memoryview) -> bytes:
        if len(tokens) % 2:
            raise OperationFailed(SdkError.INVAL)
        return self._operations.embed(struct.unpack(f"<{len(tokens) // 2}H", tokens))

    def _out_of_memory(self, _: memoryview) -> bytes:
        raise CallEnded(OUT_OF_MEMORY)
