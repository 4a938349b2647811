"""Raw WASM contracts with nondet blocks, and their runs as leader, validator and replay."""

from __future__ import annotations

from typing import Any

from genvm_manager.protocol import calldata
from genvm_manager.protocol.run_result import RunResult
from genvm_manager.workers.genvm.calls.context import Message

from .calls import MESSAGE, Chain
from .module_server import ModuleServer
from .node_host import Ended
from .wat import Contract, printed, staged

CALL = b"M"
LEAD, VALIDATE = b"L", b"V"
BLOCK = {"RunNondet": {"data_leader": LEAD, "data_validator": VALIDATE}}
HOST_DATA = '{"node_address": "0xabc", "tx_id": "0xdef", "studio_llm_id": "β", "share": 0.5}'


def blocks(
    contract: Contract,
    *,
    lead: str,
    validate: str = "nop",
    count: int = 1,
    ending: str = "",
    **more: str,
) -> bytes:
    """Return a contract with `count` blocks of these stages.

    It prints what each block gave, then does `ending`.

    `more`: further parts by the byte that stands for them, for sandboxes.
    """
    start = calldata.encode(
        Message(**MESSAGE)._asdict()
        | {"entry_data": CALL, "entry_kind": 0, "entry_stage_data": None, "stack": []}
    )
    main = printed(contract.gl_call(BLOCK)) * count + ending
    return staged(contract, start, main=main, L=lead, V=validate, **more)


def gives(contract: Contract, ending: str, value: Any) -> str:
    """Return WAT that ends a stage, by `Return` or `UserError`."""
    return f"(drop {contract.gl_call({ending: value})})"


def lead(chain: Chain, wasm: bytes, *modules: ModuleServer, **how: Any) -> Ended:
    """Return one run of `wasm` as the leader."""
    return run(chain, wasm, None, *modules, **how)


def run(
    chain: Chain, wasm: bytes, results: list[bytes] | None, *modules: ModuleServer, **how: Any
) -> Ended:
    """Run with these leader's results.

    `modules` are the LLM module and the web module, which is the same where only one is given.
    """
    if modules:
        how["modules"] = (modules[0], modules[-1])
    how.setdefault("host_data", HOST_DATA)
    ended = chain.run(CALL, wasm, message={"is_init": False}, leader_nondet_results=results, **how)
    for module in modules:
        module.join()
        assert module.problems == []
    return ended


def result(ended: Ended) -> RunResult:
    """Return the result of a run that has to hand one over."""
    assert ended.exit_code == 0, ended
    assert ended.result is not None, ended
    return ended.result


def returned(value: Any) -> bytes:
    """Return what a block gives that returned `value`."""
    return b"\0" + calldata.encode(value)
