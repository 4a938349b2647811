"""Faults of the executor itself: a result is handed over, and only the log says where it broke."""

from __future__ import annotations

import sys

import pytest

from genvm_manager.protocol.run_result import ResultCode
from tests.support.calls import Chain
from tests.support.wat import SCRATCH, Contract

SENTENCE = "an unforeseen fault of the executor; its log has the details"
PLACES = {
    "workers.genvm.run.run.decode_execution_data": "MemoryError",
    "workers.genvm.run.contract_run.decode_message": "KeyError(b'x')",
    "workers.genvm.run.contract_run.program_of": "RecursionError('too deep')",
    "workers.genvm.run.contract_run.run_guest": "OSError(24, 'Too many open files', '/etc')",
    "workers.genvm.calls.operations.own_balance": "RecursionError('too deep')",
    "workers.genvm.calls.storage.Storage.write": "MemoryError",
    "workers.genvm.calls.storage.Storage.changes": "MemoryError",
    "workers.genvm.wasi.wasi.Wasi._random_get": "OverflowError('int too big to convert')",
}


def broken(place: str, error: str) -> tuple[str, ...]:
    """Return an executor in which the function at `place` raises `error`."""
    module, _, name = f"genvm_manager.{place}".rpartition(".")
    owner, _, kind = module.rpartition(".")
    of_class = kind[0].isupper()
    program = f"""
import sys, importlib
def fault(*arguments, **named): raise {error}
module = importlib.import_module({(owner if of_class else module)!r})
setattr(getattr(module, {kind!r}) if {of_class} else module, {name!r}, fault)
from genvm_manager.workers.genvm.cli import main
sys.exit(main())
"""
    return sys.executable, "-c", program


@pytest.mark.parametrize(("place", "error"), PLACES.items())
def test_any_fault_anywhere_is_an_internal_error_with_a_result(
    chain: Chain, place: str, error: str
) -> None:
    wasm = Contract().wasm(
        f"(drop (call $random (i32.const {SCRATCH}) (i32.const 8)))"
        f"(drop (call $get_self_balance (i32.const {SCRATCH})))"
    )
    ended = chain.run({}, wasm, command=broken(place, error))
    assert (ended.exit_code, ended.stderr) == (0, b"")
    assert ended.result is not None
    assert (ended.result.code, ended.result.data) == (ResultCode.INTERNAL_ERROR, SENTENCE)
    (record,) = [each for each in ended.log if "unforeseen" in each["message"]]
    assert record["level"] == "error"
    assert error.partition("(")[0] in record["message"]
    assert record["message"].startswith("an unforeseen fault of the executor: ")
    # The supervisor takes it out of what clients can read; all else is shown to them.
    assert "in fault" in record.pop("traceback")
    assert "/" not in str(record)


def test_a_fault_while_the_result_is_handed_over_shows_nobody_our_paths(chain: Chain) -> None:
    ended = chain.run(
        {},
        Contract().wasm("nop"),
        command=broken("protocol.host.client.HostClient.consume_result", "KeyError"),
    )
    assert (ended.exit_code, ended.stderr) == (1, f"genvm: {SENTENCE}\n".encode())
    assert ended.result is None
    assert "traceback" in ended.log[0]
