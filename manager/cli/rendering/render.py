"""Renders the result of a run: aligned lines for people, one JSON object for scripts."""

from __future__ import annotations

import json
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import click

from genvm_manager.base.text.printable import printable
from genvm_manager.manager.local_node.json_form import render
from genvm_manager.manager.local_node.node import Receipt
from genvm_manager.manager.local_node.transactions import Ending, ExecutedTransaction
from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.contract.storage_layout import ROOT_SLOT, indirection
from genvm_manager.protocol.contract.vm_errors import describe, with_cause
from genvm_manager.protocol.host.messages import SLOT_SIZE
from genvm_manager.protocol.run_result import ResultCode

from .formatting import count

EXIT_CODES = {
    ResultCode.RETURN: 0,
    ResultCode.USER_ERROR: 1,
    ResultCode.VM_ERROR: 2,
    ResultCode.INTERNAL_ERROR: 3,
}

_MAX_LINES = 40
_MAX_WIDTH = 88
_MAX_SLOTS = 6
_MAX_LINE = 2_000
_SLOT_NAMES = {
    indirection(ROOT_SLOT, offset): name
    for offset, name in enumerate(("instance", "code", "locked slots", "upgraders"))
}
"""The fields of the root slot (docs/spec/06-contracts.md#storage-layout-and-calls)."""

_COLOURS = {"return": "green", "user_error": "yellow"}


def exit_code(executed: ExecutedTransaction) -> int:
    """Return the exit code: 0 return, 1 user error, 2 VM error, 3 internal error."""
    return 0 if executed.ending is None else EXIT_CODES[executed.ending.code]


# ------------------------------------------------------------------------------------ for scripts


def receipt_as_json(receipt: Receipt) -> dict[str, Any]:
    """Return the first transaction, with those of the messages that followed from it."""
    first, *following = receipt.transactions
    return transaction_as_json(first) | {
        "messages": [transaction_as_json(executed) for executed in following],
        "undelivered": len(receipt.undelivered),
    }


def transaction_as_json(executed: ExecutedTransaction) -> dict[str, Any]:
    """Return one transaction: its call and its result. Values are in the form of `json_form`."""
    transaction, ending = executed.transaction, executed.ending
    shown: dict[str, Any] = {
        "kind": _kind(executed),
        "contract": str(executed.callee),
        "sender": str(transaction.sender),
        "value": transaction.value,
        "call": _readable_call(transaction.calldata),
        "result": "undelivered" if executed.problem else _result_name(executed.ending),
    }
    if executed.problem is not None:
        shown["error"] = executed.problem
    return shown if ending is None else shown | ending_as_json(ending)


def ending_as_json(ending: Ending) -> dict[str, Any]:
    """Return how a run ended and its result."""
    result = ending.result
    shown: dict[str, Any] = {
        "result": _result_name(ending),
        "run_id": ending.run_id,
        "wall_ms": ending.wall_ms,
        "cpu_seconds": ending.cpu_seconds,
        "stdout": ending.stdout,
        "stderr": ending.stderr,
    }
    if result is None:
        return shown | {"error": ending.reason}
    return shown | {
        "returned" if ending.is_return else "error": render(result.data),
        "contract_error": ending.contract_error,
        "execution_hash": "0x" + result.execution_hash.hex(),
        "storage_changes": [
            {"slot": "0x" + slot.hex(), "page": number, "content": "0x" + content.hex()}
            for slot, number, content in _pages(ending)
        ],
        "emissions": [_emission_as_json(emission) for emission in result.emissions],
    }


def _emission_as_json(emission: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {name: render(value) for name, value in emission.items()}
    if emission["type"] in ("PostMessage", "DeployContract"):
        shown["call"] = _readable_call(emission["calldata"])
    return shown


def _readable_call(call: bytes) -> Any:
    try:
        return render(calldata.decode(call))
    except calldata.DecodeError:
        return render(call)


def _kind(executed: ExecutedTransaction) -> str:
    if executed.transaction.target is None:
        return "deployment"
    return "transfer" if executed.ending is None and executed.problem is None else "call"


def _result_name(ending: Ending | None) -> str:
    return "return" if ending is None else ending.code.name.lower()


def _pages(ending: Ending) -> Iterator[tuple[bytes, int, bytes]]:
    if ending.result is None:
        return
    for key, content in ending.result.storage_changes:
        yield key[:SLOT_SIZE], int.from_bytes(key[SLOT_SIZE:], "big"), content


# ------------------------------------------------------------------------------------- for people


def receipt_as_text(receipt: Receipt) -> str:
    """Return several lines per transaction; those of messages are indented."""
    first, *following = receipt.transactions
    blocks = [transaction_as_text(first)]
    blocks += [textwrap.indent(transaction_as_text(executed), "  ") for executed in following]
    if receipt.undelivered:
        blocks.append(
            f"{len(receipt.undelivered)} more messages were not delivered, because one command "
            f"runs at most {len(receipt.transactions)} transactions. Their value was returned."
        )
    return "\n".join(blocks)


def transaction_as_text(executed: ExecutedTransaction) -> str:
    """Return the call, its result, its changes and its time."""
    result = "undelivered" if executed.problem else _result_name(executed.ending)
    head = _headline(f"{_kind(executed)} {executed.callee}", result, _vm_error(executed.ending))
    lines = [head, *_label("in", _call_notation(executed))]
    lines += _label("sender", str(executed.transaction.sender))
    if executed.transaction.value:
        lines += _label("value", str(executed.transaction.value))
    if executed.problem is not None:
        lines += _label("why", executed.problem)
    if executed.ending is not None:
        lines += _ending_lines(executed.ending)
    return "\n".join(lines)


def ending_as_text(ending: Ending) -> str:
    """Return the same for a run of which only its end is known."""
    head = _headline(f"run {ending.run_id}", _result_name(ending), _vm_error(ending))
    return "\n".join([head, *_ending_lines(ending)])


def _headline(what: str, result: str, vm_error: str) -> str:
    shown = f"{result.replace('vm_', 'VM_').replace('_', ' ')} {vm_error}".rstrip()
    return click.style(f"{what}: {shown}", fg=_COLOURS.get(result, "red"), bold=True)


def _vm_error(ending: Ending | None) -> str:
    """Return the code and the cause of a VM error; empty for any other ending."""
    if ending is None or ending.result is None or ending.code is not ResultCode.VM_ERROR:
        return ""
    return printable(with_cause(str(ending.result.data), ending.contract_error))


def _ending_lines(ending: Ending) -> Iterator[str]:
    if ending.result is None:
        yield from _label("why", str(ending.reason))
    elif ending.code is ResultCode.VM_ERROR:
        yield from _label("meaning", _meaning(str(ending.result.data)))
    else:
        label = "returned" if ending.is_return else "error"
        yield from _label(label, _in_full(ending.result.data))
    yield from _storage_lines(ending)
    yield from _emission_lines(ending)
    yield from _label("stdout", ending.stdout, shows_end=True)
    yield from _label("stderr", ending.stderr, shows_end=True)
    wall = "not started" if ending.wall_ms is None else f"{ending.wall_ms} ms"
    cpu = "" if ending.cpu_seconds is None else f", {ending.cpu_seconds * 1000:.0f} ms of CPU"
    yield from _label("time", f"{wall}{cpu} (run {ending.run_id})")


def _meaning(code: str) -> str:
    """Return what a VM error means for the contract's author; empty for an unknown one."""
    return textwrap.fill(describe(code) or "", _MAX_WIDTH)


def _storage_lines(ending: Ending) -> Iterator[str]:
    slots: dict[bytes, list[int]] = defaultdict(list)
    for slot, number, _ in _pages(ending):
        slots[slot].append(number)
    if not slots:
        return
    pages = sum(map(len, slots.values()))
    rows = [f"{count(pages, 'page')} written in {count(len(slots), 'slot')}"]
    for slot, numbers in list(slots.items())[:_MAX_SLOTS]:
        name = f" ({_SLOT_NAMES[slot]})" if slot in _SLOT_NAMES else ""
        rows.append(f"0x{slot.hex()[:16]}… {_ranges(sorted(numbers))}{name}")
    if len(slots) > _MAX_SLOTS:
        rows.append(f"and {len(slots) - _MAX_SLOTS} more; --json lists all")
    yield from _label("storage", "\n".join(rows))


def _emission_lines(ending: Ending) -> Iterator[str]:
    rows = []
    for emission in ending.result.emissions if ending.result else []:
        match emission:
            case {"type": "EmitEvent", "topics": topics, "blob": blob}:
                named = "".join(f" 0x{topic.hex()[:16]}…" for topic in topics)
                rows.append(f"event{named} {_brief(blob)}")
            case {"type": kind, "value": value}:
                target = f" to {emission['address']}" if "address" in emission else ""
                rows.append(f"{kind}{target}" + (f", value {value}" if value else ""))
    yield from _label("emitted", "\n".join(rows))


def _label(label: str, text: str, *, shows_end: bool = False) -> Iterator[str]:
    """Yield the text beside its label, further lines below; nothing for an empty text.

    Of very many lines the first are shown, or the last.
    """
    lines = [_cut(printable(line)) for line in _lines(text)]
    if (cut := len(lines) - _MAX_LINES) > 0:
        if shows_end:
            lines = [f"… {cut} lines before; --json shows all", *lines[cut:]]
        else:
            lines = [*lines[:_MAX_LINES], f"… {cut} more lines; --json shows all"]
    for index, line in enumerate(lines):
        shown = click.style(label.ljust(9), dim=True) if index == 0 else " " * 9
        yield f"  {shown}{line}"


def _lines(text: str) -> list[str]:
    """Split a text into lines as a terminal does."""
    return text.removesuffix("\n").replace("\r\n", "\n").split("\n") if text else []


def _call_notation(executed: ExecutedTransaction) -> str:
    """Return the call as the contract's author would write it: `sign("hello", times=2)`."""
    name = "__init__" if executed.transaction.target is None else ""
    try:
        call = calldata.decode(executed.transaction.calldata)
        name = call.get("method", call.get("", name))
        positional = [_brief(value) for value in call.get("args", [])]
        keyword = [f"{key}={_brief(value)}" for key, value in call.get("kwargs", {}).items()]
    except (calldata.DecodeError, AttributeError, TypeError):
        return "0x" + executed.transaction.calldata.hex()
    return f"{name}({', '.join(positional + keyword)})" if name else "transfer"


def _brief(value: Any) -> str:
    """Return the value as shortened JSON; an address without quotes."""
    if isinstance(value, Address):
        return str(value)
    return _cut(json.dumps(render(value), ensure_ascii=False))


def _cut(line: str) -> str:
    if len(line) <= _MAX_LINE:
        return line
    return f"{line[:_MAX_LINE]}… (of {len(line)} characters)"


def _in_full(value: Any) -> str:
    """Return the value on one line if it fits, else on several."""
    line = _brief(value)
    if len(line) <= _MAX_WIDTH:
        return line
    return json.dumps(render(value), ensure_ascii=False, indent=2)


def _ranges(numbers: list[int]) -> str:
    """Return `pages 0-3, 7` for 0, 1, 2, 3, 7."""
    starts = [numbers[0], *(b for a, b in pairwise(numbers) if b != a + 1)]
    ends = [*(a for a, b in pairwise(numbers) if b != a + 1), numbers[-1]]
    spans = [str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)]
    shown = ", ".join(spans[:8]) + (", …" if len(spans) > 8 else "")
    return f"{'page' if len(numbers) == 1 else 'pages'} {shown}"
