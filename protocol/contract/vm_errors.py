"""What VM error codes mean for the author of a contract (docs/spec/01-http-api.md#runs).

A code is words, the general one first: `invalid_contract not_utf8_text`. What an executor adds
behind the words known here (`exit_code 3`, `OOM storage`) refines them and changes nothing.
"""

from __future__ import annotations

_DESCRIPTIONS = {
    "wasm_trap": (
        "The contract did something that its WebAssembly machine forbids, such as dividing an "
        "integer by zero or reaching beyond its memory. The words behind wasm_trap name it: find "
        "the operation with the run's log and stderr, and prevent it."
    ),
    "wasm_trap unreachable": (
        "The contract reached an instruction that must never run: a panic, a failed assertion or "
        "an abort. stderr usually says which; handle that case, or end the call with a user error."
    ),
    "wasm_trap stack_overflow": (
        "Calls inside calls went deeper than the 1024 frames that a machine has, most often by "
        "recursion without an end. Bound the recursion or write it as a loop."
    ),
    "wasm_trap floating_point": (
        "The module ran an instruction of floating point in a deterministic machine, where none "
        "may run. Use integers or a library of decimals there, or do it in a non-deterministic "
        "block."
    ),
    "exit_code": (
        "The contract's program ended by itself with this exit code, without returning a result. "
        "In a Python contract 1 means an exception that nobody caught: read the traceback in "
        "stderr, fix its cause, or raise gl.vm.UserError where callers are to see the refusal."
    ),
    "invalid_contract": (
        "The code cannot be started: it is damaged, asks for a runner that does not exist, or "
        "there is no contract at the address. The error's own words, which the run's log has too, "
        "say which; correct the code or the address and deploy again."
    ),
    "invalid_contract not_utf8_text": (
        "The code is neither WebAssembly nor a ZIP, and as text it is not UTF-8. Save the source "
        "file as UTF-8, or check that the whole file was sent, and deploy again."
    ),
    "invalid_contract absent_runner_comment": (
        'Nothing says what runs the code: begin it with # { "Depends": "py-genlayer:test" }, or '
        "put a runner.json into a ZIP, and deploy again."
    ),
    "invalid_contract malformed_runner": (
        "The runner description, or an archive that it depends on, cannot be used: an action is "
        "unknown or names a file that is not there, or there is too much of something. The run's "
        "log says what; correct the description and deploy again."
    ),
    "invalid_contract wasm": (
        "A module of the contract cannot be started. The run's log says why; build the module "
        "again and deploy it."
    ),
    "invalid_contract wasm validating": (
        "A module of the contract is no valid WebAssembly, uses a proposal that the machine does "
        "not have, or is larger than a module may be. The run's log says where; build it with "
        "other options or in smaller parts, and deploy again."
    ),
    "invalid_contract wasm linking": (
        "A module imports what nobody offers, or something of another type. The run's log names "
        "it: import only genlayer_sdk, wasi_snapshot_preview1 and modules that LinkWasm has linked "
        "before, and deploy again."
    ),
    "invalid_contract wasm entrypoint": (
        "The module that is to be started exports no function _start without parameters and "
        "results. Build it as a program (a WASI command), not as a library, and deploy again."
    ),
    "OOM": (
        "The run needed more memory than one run may have. Keep less in memory at a time: read "
        "storage piece by piece, and split large work into several transactions."
    ),
    "OOM memory": (
        "The run's machines needed more memory than they may have together. Keep less in memory at "
        "a time: read storage piece by piece, and split large work into several transactions."
    ),
    "OOM table": (
        "A module wants larger tables than a machine may have. Build it with fewer functions whose "
        "address is taken, or without tables that grow."
    ),
    "OOM receipt": (
        "What the run returns, emits or hands to validators is more than one run may give. Return "
        "and emit less in one transaction."
    ),
    "OOM storage": (
        "The run wrote more storage than one run may change. Write less in one transaction, or "
        "spread the work over several."
    ),
    "timeout": (
        "The run exceeded its time. Look for a loop without an end, do less in one "
        "transaction, or ask for a longer deadline."
    ),
    "validator_disagrees": (
        "A validator did not accept what the leader computed in a non-deterministic block. Compare "
        "by meaning rather than by letter (gl.eq_principle.prompt_comparative), or make the block "
        "return only what is the same for everybody."
    ),
    "absent_leader_nondet_output": (
        "A validator came to a non-deterministic block of which the leader's results say nothing "
        "that can be read. Pass on the leader's nondet_results unchanged and all of them; if they "
        "were, the contract decides by something that differs between machines which blocks it "
        "runs."
    ),
    "version_too_big": (
        "The code asks for a newer version than there is at this time. Lower the version in its "
        "first line, or wait until that version is released."
    ),
}

_LONGEST_FIRST = sorted(_DESCRIPTIONS, key=len, reverse=True)


def with_cause(code: str, contract_error: str | None) -> str:
    """Return a code and what led to it: `exit_code 1: KeyError: 'missing' (contract.py:22)`."""
    return f"{code}: {contract_error}" if contract_error else code


def describe(code: str) -> str | None:
    """Return what happened and what to do next, by the longest known beginning of `code`.

    Beginnings are whole words: `OOM x` is an `OOM`, `OOMx` is unknown, which gives None.
    """
    for known in _LONGEST_FIRST:
        if code == known or code.startswith(known + " "):
            return _DESCRIPTIONS[known]
    return None
