"""What the fields of requests mean, for readers of the document.

Source: docs/spec/03-run-request.md#the-request.
"""

from __future__ import annotations

_PASSED_ON = "Passed to the executor untouched where its line knows it."

FIELD_NOTES: dict[str, dict[str, str]] = {
    "RunRequest": {
        "message": "Who calls which contract, with what value.",
        "calldata": "The call: calldata of a map with `method`, `args` and `kwargs`, as base64.",
        "timestamp": "The transaction's time, RFC 3339; versions are looked up by it.",
        "host": "Where the node's host loop is: `unix:///PATH` or `tcp://HOST:PORT`.",
        "major": "Public-ABI major; required unless `selector` is there.",
        "selector": "Newer form of `major`: by major, or one exact version.",
        "code": "Contract code of a deployment; null: the host's storage has it.",
        "host_data": "JSON text; with modules it must hold `node_address` and `tx_id`.",
        "is_sync": "Deterministic replay: no modules needed, cheaper permits.",
        "permissions": "Letters of r(ead) w(rite) s(end) c(all) n(ondet) u(register runners).",
        "no_modules": "Run without modules although `n` is granted.",
        "modules": "Those that a run with `n` needs and gets, of `llm` and `web`; null: both.",
        "leader_nondet_results": "Null: this run is the leader; else it validates against these.",
        "capture_output": "False: stdout and stderr go nowhere.",
        "debug_mode": "Instead of `capture_output`: `disabled`, `safe` or `safe-unbounded`.",
        "max_execution_minutes": "Minutes until the deadline; capped at a day.",
        "deadline": "Overrides it: `250ms`, `30s`, `10.5m`, `1h`.",
        "host_genvm_id": "Idempotency token: the same again gives the same id, starts nothing.",
        "extra_args": "Put into the executor's argv after `run`, where the settings allow it.",
        "storage_pages": _PASSED_ON,
        "bucket_totals": _PASSED_ON,
        "gas_data": _PASSED_ON,
        "message_fee_allocation": _PASSED_ON,
        "initial_time_units_allocation": _PASSED_ON,
        "record_actions": _PASSED_ON,
        "host_hello_data": _PASSED_ON,
        "unsafe_overrides": _PASSED_ON,
    },
    "Message": {
        "contract_address": "The contract that is called.",
        "sender_address": "Who calls it.",
        "origin_address": "Who sent the transaction.",
        "signer_address": "Who signed it, where that is another.",
        "chain_id": "A number, or text with a decimal or `0x` number.",
        "value": "What the sender pays, in the smallest unit; as `chain_id`.",
        "is_init": "Whether this is a deployment.",
        "datetime": "RFC 3339; default: `timestamp`.",
    },
    "RequestedSelector": {
        "kind": "Which of the other two counts.",
        "major": "Public-ABI major.",
        "version": "A version of the manifest, such as `v0.2.7`.",
    },
    "ModuleBody": {"module_type": "`llm` or `web`, in any letter case."},
    "ModuleStartBody": {
        "module_type": "`llm` or `web`, in any letter case.",
        "config": "Laid over its configuration file; one with `backends` stands alone.",
        "allow_empty_backends": "Start an LLM module whose `config` has no usable backend.",
        "user_error": "Answer every request with a user error.",
    },
    "LlmCheckBody": {
        "configs": "Whom to ask.",
        "test_prompts": "What to ask each of them.",
    },
    "CheckConfig": {
        "host": "`https://api.openai.com`, without the path of the interface itself.",
        "provider": "The form of its HTTP interface.",
        "model": "As the provider calls it.",
        "key": "Never logged or returned; `${ENV[NAME]}` is filled in.",
    },
    "CheckPrompt": {
        "system_message": "Null: none.",
        "user_message": "The question.",
        "temperature": "As providers take it.",
        "max_tokens": "Of the answer.",
        "images": "PNG or JPEG, as base64.",
        "use_max_completion_tokens": "Newer OpenAI models call `max_tokens` so.",
    },
    "LogLevelBody": {"level": "From what weight on something is logged."},
    "EnvBody": {
        "key": "Letters, digits and _; not one that changes how processes load code.",
        "value": "Never logged or returned.",
    },
    "PermitsBody": {"permits": "The new total; at least what the dearest run costs."},
}
