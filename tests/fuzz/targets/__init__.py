"""All targets by name, in the order in which they are fuzzed."""

from __future__ import annotations

from tests.fuzz.target import Target

from . import calldata, host_calls, http, ipc, module_frames, runner, settings, wasm, zips

TARGETS: dict[str, Target] = {
    module.TARGET.name: module.TARGET
    for module in (runner, zips, wasm, host_calls, http, ipc, calldata, module_frames, settings)
}
