"""One run of a contract, from the start message to the result.

Source: docs/spec/07-python-sdk.md#5-the-contract-class-and-calls.
"""

from __future__ import annotations

import builtins
import gc
import posix
import sys

from ..py.calldata import decode
from . import host
from .contract import contract_class
from .message import message_raw, set_message
from .wire import UserError, end_run, sub_vm_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MAIN = 0


def main() -> None:
    """Run what the start message asks for. Returns only by an exception of the contract."""
    sys.excepthook = _report
    builtins.exit = builtins.quit = sys.exit  # as the `site` module does, which is left out
    set_message(decode(_read_stdin()))
    try:
        _serve()
    except SystemExit as error:
        from .tracebacks import report_exit

        report_exit(error)
        raise
    except MemoryError as error:
        if _was_raised(error):
            raise
        host.out_of_memory()


def _report(*failure: Any) -> None:
    """Show an error that nobody caught. What does so is loaded only now."""
    from .tracebacks import report

    report(*failure)


def _serve() -> None:
    """Run what is asked for, and end with what it returned, or with its user error.

    A user error that comes while the contract is loaded, or is no `str`, is an exception.
    """
    work = _loaded()
    gc.freeze()
    gc.enable()
    try:
        result = work()
    except UserError as error:
        if not isinstance(error.message, str):
            raise
        end_run({"UserError": error.message})
    else:
        end_run({"Return": result})


def _was_raised(error: MemoryError) -> bool:
    """Return whether a `raise` made the error, and not the interpreter for want of memory."""
    from opcode import opmap

    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] == opmap["RAISE_VARARGS"]


def _read_stdin() -> bytes:
    parts = []
    while part := posix.read(0, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _loaded() -> Callable[[], Any]:
    """Load the contract, or the function that another machine sent; return what is to be run."""
    if message_raw["entry_kind"] != _MAIN:
        from .shipping import load_shipped

        function, stage = load_shipped(message_raw["entry_data"]), message_raw["entry_stage_data"]
        if stage is None:
            return function
        leaders = sub_vm_result(stage["leaders_result"])
        return lambda: function(leaders)
    import contract  # noqa: F401 - its class is known from then on

    from .calling import perform

    cls = contract_class()
    call = decode(message_raw["entry_data"])
    if not isinstance(call, dict):
        raise TypeError(f"a call is a map of method, args and kwargs, got {type(call).__name__}")
    return lambda: perform(cls, call)
