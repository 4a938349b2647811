"""What a contract may ask of its host: one object, whichever way the guest reaches it.

Source: docs/spec/06-contracts.md.

`sdk_imports` offers these operations to WebAssembly modules, `bridge` to the Python guest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.host.messages import MAX_BLOB
from genvm_manager.protocol.permissions import READ, WRITE
from genvm_manager.workers.genvm.engine.endings import OUT_OF_MEMORY, CallEnded

from .context import CallContext
from .gl_calls import GlCalls
from .sdk import OperationFailed, SdkError, call_host, require_permission
from .shared_run import Run, own_balance
from .storage import PAGE

MAX_LENGTH = MAX_BLOB - 2 * PAGE
"""The longest range of storage that one operation reads or writes."""

MAX_REQUEST = MAX_BLOB
"""Bytes of the longest `gl_call`; a longer one ends the call as out of memory."""

MAX_TOKENS = 512
"""Word pieces of the longest text of which a vector is made, its two ends included."""

VOCABULARY = 30522
"""The numbers of word pieces are below this one."""

MAX_FAILURE = 16 << 10
"""Bytes of what a guest says of its failure that are kept."""


class Operations:
    """The operations of one call. Each may raise `OperationFailed`; `gl_call` may end the call.

    `memory_size` tells how many bytes of memory the calling guest has now.
    """

    def __init__(self, run: Run, context: CallContext, memory_size: Callable[[], int]) -> None:
        self._run = run
        self._context = context
        self._gl_calls = GlCalls(run, context, memory_size)
        self.failure = ""
        """Why the guest is about to end: one line for its author, then all frames."""

    def storage_read(self, slot: bytes, index: int, length: int) -> bytes:
        """Return `length` bytes of the contract's storage, as this call has left them."""
        require_permission(self._context, READ)
        _check_range(index, length)
        return call_host(self._context.effects.storage.read, slot, index, length)

    def storage_write(self, slot: bytes, index: int, content: memoryview) -> None:
        """Put `content` into the contract's storage."""
        require_permission(self._context, WRITE)
        _check_range(index, len(content))
        if slot in self._context.locked:
            raise OperationFailed(SdkError.FORBIDDEN)
        call_host(self._context.effects.storage.write, slot, index, bytes(content))

    def get_balance(self, address: bytes) -> int:
        """Return the balance of any account before this run."""
        return call_host(self._run.host.get_balance, Address(address))

    def get_self_balance(self) -> int:
        """Return the contract's own balance, less the value that its messages of this run send.

        Only for det mode (docs/spec/07-python-sdk.md#11-glvm).
        """
        if not self._context.is_det:
            raise OperationFailed(SdkError.FORBIDDEN)
        return own_balance(self._run, self._context)

    def report_failure(self, text: memoryview) -> None:
        """Keep what the guest says of an error that nobody caught; it changes no result."""
        self.failure = bytes(text[:MAX_FAILURE]).decode("utf-8", "replace")

    def hold(self, size: int) -> None:
        """Count bytes of an answer that the guest has not read yet. Raises `CallEnded`."""
        self._context.effects.hold(size)

    def release(self, size: int) -> None:
        """Count bytes no more that were held."""
        self._context.effects.release(size)

    def embed(self, tokens: Sequence[int]) -> bytes:
        """Return the vector of a text; `tokens` are the numbers of its word pieces."""
        if not 0 < len(tokens) <= MAX_TOKENS or max(tokens) >= VOCABULARY:
            raise OperationFailed(SdkError.INVAL)
        return self._run.embed(tokens)

    def gl_call(self, request: memoryview) -> bytes | None:
        """Do what the calldata in `request` asks for; None where there is nothing to return."""
        if len(request) > MAX_REQUEST:
            raise CallEnded(OUT_OF_MEMORY)
        return self._gl_calls.perform(bytes(request))


def _check_range(index: int, length: int) -> None:
    if length > MAX_LENGTH or index + length > 1 << 32:
        raise OperationFailed(SdkError.OVERFLOW)
