"""The operations as WebAssembly modules reach them: imports of `genlayer_sdk`.

Source: docs/spec/06-contracts.md.
"""

from __future__ import annotations

from collections.abc import Callable

from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.host.messages import BALANCE_SIZE, SLOT_SIZE
from genvm_manager.workers.genvm.engine.imports import Import
from genvm_manager.workers.genvm.engine.memory import Fault, Memory
from genvm_manager.workers.genvm.wasi.descriptors import Input
from genvm_manager.workers.genvm.wasi.errors import WasiError
from genvm_manager.workers.genvm.wasi.files import WasiFiles

from .operations import Operations
from .sdk import OperationFailed, SdkError

MODULE = "genlayer_sdk"

NO_DESCRIPTOR = 0xFFFFFFFF
"""The `result_fd` of a `gl_call` without data."""


def _answered(operation: Callable[..., None]) -> Callable[..., int]:
    """Return `operation` as an import: what it raises becomes the error code it returns."""

    def answered(*arguments: int) -> int:
        try:
            operation(*arguments)
        except OperationFailed as failure:
            return failure.code
        except Fault:
            return SdkError.FAULT
        return SdkError.SUCCESS

    return answered


class SdkImports:
    """Moves arguments and results through the guest's memory.

    A result that would not fit there is a fault before anything is done.
    """

    def __init__(self, memory: Memory, operations: Operations, files: WasiFiles) -> None:
        self._memory = memory
        self._operations = operations
        self._files = files

    def imports(self) -> dict[str, Import]:
        """Return the functions by name."""
        return {
            "storage_read": Import(_answered(self._storage_read), "iiii"),
            "storage_write": Import(_answered(self._storage_write), "iiii"),
            "get_balance": Import(_answered(self._get_balance), "ii"),
            "get_self_balance": Import(_answered(self._get_self_balance), "i"),
            "gl_call": Import(_answered(self._gl_call), "iii"),
        }

    def _storage_read(self, slot: int, index: int, buffer: int, size: int) -> None:
        target = self._memory.view(buffer, size)
        target[:] = self._operations.storage_read(self._memory.read(slot, SLOT_SIZE), index, size)

    def _storage_write(self, slot: int, index: int, buffer: int, size: int) -> None:
        content = self._memory.view(buffer, size)
        self._operations.storage_write(self._memory.read(slot, SLOT_SIZE), index, content)

    def _get_balance(self, address: int, result: int) -> None:
        target = self._memory.view(result, BALANCE_SIZE)
        balance = self._operations.get_balance(self._memory.read(address, Address.SIZE))
        target[:] = balance.to_bytes(BALANCE_SIZE, "little")

    def _get_self_balance(self, result: int) -> None:
        target = self._memory.view(result, BALANCE_SIZE)
        target[:] = self._operations.get_self_balance().to_bytes(BALANCE_SIZE, "little")

    def _gl_call(self, request: int, size: int, result_at: int) -> None:
        self._memory.view(result_at, 4)
        result = self._operations.gl_call(self._memory.view(request, size))
        number = NO_DESCRIPTOR
        if result is not None:
            number = self._new_descriptor(result)
        self._memory.write_u32(result_at, number)

    def _new_descriptor(self, content: bytes) -> int:
        operations = self._operations
        operations.hold(len(content))
        try:
            return self._files.add(Input(content, at_close=operations.release))
        except WasiError:
            operations.release(len(content))
            raise OperationFailed(SdkError.IO) from None
