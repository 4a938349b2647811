"""When a contract's time is over, it is: also between host calls, where no engine stops it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from genvm_manager.protocol import calldata
from genvm_manager.protocol.host.messages import GetBalance, StorageRead
from tests.support.calls import Chain, options
from tests.support.node_host import BUILT_IN, NodeHost
from tests.support.wat import SCRATCH, SLOT, Contract

SECONDS = 1.0
SOON = 25.0
"""Seconds in which a run ends whose time is over, on a busy machine; unstopped, these take more
than a minute."""


def four_sandboxes_in_each_other() -> bytes:
    contract = Contract()
    request = contract.gl_call({"Sandbox": {"data": b"", "allow_write_ops": True}})
    return contract.wasm(f"(drop {request})" * 4)


def calls_in_a_row(count: int) -> bytes:
    """Return a call that costs milliseconds: a list is read, and refused as no request."""
    contract = Contract()
    request = contract.gl_call_bytes(calldata.encode([0] * 60_000))
    return contract.wasm(f"(drop {request})" * count)


@pytest.mark.parametrize("code", [four_sandboxes_in_each_other(), calls_in_a_row(20_000)])
def test_time_is_over_between_two_host_calls(chain: Chain, code: bytes) -> None:
    chain.result({}, code, options=options(seconds=0.1))
    began = time.monotonic()
    assert chain.outcome(code, options=options(seconds=SECONDS)) == ("VM_ERROR", "timeout")
    assert time.monotonic() - began < SOON


class SlowHost(NodeHost):
    """It takes `seconds` for each answer."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def storage_read(self, request: StorageRead) -> bytes:
        """Return stored bytes."""
        time.sleep(self.seconds)
        return super().storage_read(request)

    def get_balance(self, request: GetBalance) -> int:
        """Return a balance."""
        time.sleep(self.seconds)
        return super().get_balance(request)


@contextmanager
def chain_of(host: NodeHost) -> Iterator[Chain]:
    with (
        tempfile.TemporaryDirectory(prefix="genvm-") as folder,
        host.listen(Path(folder) / "host") as address,
    ):
        yield Chain(host, address)


def asking() -> str:
    """WAT that asks the host ten times: for storage, and for balances."""
    reads = "".join(
        f"(drop (call $storage_read (i32.const {SLOT}) (i32.const {4096 * number}) (i32.const 8)"
        f" (i32.const {SCRATCH})))"
        for number in range(1, 7)
    )
    balance = f"(drop (call $get_balance (i32.const {SLOT}) (i32.const {SCRATCH})))"
    return reads + balance * 4


def test_what_a_host_takes_for_its_answers_is_not_the_contracts_time() -> None:
    contract = Contract()
    code = contract.wasm(f"{asking()} (drop {contract.gl_call({'Return': 'done'})})")
    results = []
    for seconds in (0.0, 0.3):
        with chain_of(SlowHost(seconds)) as chain:
            results.append(chain.result({}, code, options=options(seconds=SECONDS)))
    assert results[0] == results[1]
    assert (results[0].code.name, results[0].data) == ("RETURN", "done")


def test_a_contract_without_end_is_over_though_its_host_is_slow() -> None:
    code = Contract().wasm(f"{asking()} (loop (br 0))")
    with chain_of(SlowHost(0.3)) as chain:
        assert chain.outcome(code, options=options(seconds=SECONDS)) == ("VM_ERROR", "timeout")


def test_how_fast_somebody_reads_what_it_prints_is_not_the_contracts_time(chain: Chain) -> None:
    size = 1 << 20
    contract = Contract(pages=size // 65_536 + 1)
    prints = (
        f"(i32.store (i32.const 200) (i32.const 0)) (i32.store (i32.const 204) (i32.const {size}))"
        "(drop (call $fd_write (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 208)))"
    )
    code = contract.wasm(f"{prints} (drop {contract.gl_call({'Return': 'done'})})")
    command = ("sh", "-c", '"$@" | (sleep 3; cat)', "sh", *BUILT_IN)
    ended = chain.run({}, code, options=options(seconds=SECONDS), command=command)
    assert len(ended.stdout) == size
    assert ended.result is not None
    assert (ended.result.code.name, ended.result.data) == ("RETURN", "done")
