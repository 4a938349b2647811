"""When a contract's time is over, it is: also between host calls, where no engine stops it."""

from __future__ import annotations

import time

import pytest

from protocol import calldata
from tests.support.calls import Chain, options
from tests.support.wat import Contract

SECONDS = 1.0
SOON = 25.0
"""Seconds in which a run ends whose time is over, on a busy machine; unstopped, these take more
than a minute."""


def four_sandboxes_in_each_other() -> bytes:
    contract = Contract()
    request = contract.gl_call({"Sandbox": {"data": b"", "allow_write_ops": True}})
    return contract.wasm(f"(drop {request})" * 4)


def calls_in_a_row(count: int) -> bytes:
    """Each costs milliseconds: a list is read, and refused as no request."""
    contract = Contract()
    request = contract.gl_call_bytes(calldata.encode([0] * 60_000))
    return contract.wasm(f"(drop {request})" * count)


@pytest.mark.parametrize("code", [four_sandboxes_in_each_other(), calls_in_a_row(20_000)])
def test_time_is_over_between_two_host_calls(chain: Chain, code: bytes) -> None:
    chain.result({}, code, options=options(seconds=0.1))
    began = time.monotonic()
    assert chain.outcome(code, options=options(seconds=SECONDS)) == ("VM_ERROR", "timeout")
    assert time.monotonic() - began < SOON
