"""What requests and replies look like; the tests hold each against the struct that it shows."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

from genvm_manager.protocol import calldata
from genvm_manager.protocol.contract.storage_layout import pre_deploy_writes

CONTRACT = (
    '# { "Depends": "py-genlayer:test" }\n'
    "from genlayer import *\n\n\n"
    "class Hello(gl.Contract):\n"
    "    @gl.public.view\n"
    "    def greet(self) -> str:\n"
    '        return "hello"\n'
)
TIME = "2026-01-31T12:00:00Z"
_CONTRACT_ADDRESS = "0x" + "5f" * 20
_SENDER = "0x" + "10" * 20


def _base64(content: bytes) -> str:
    return b64encode(content).decode()


_SAMPLES: dict[str, Any] = {"cpu_seconds": 0.21, "peak_rss_bytes": 48_234_496}

RUN_REQUEST: dict[str, Any] = {
    "major": 0,
    "message": {
        "contract_address": _CONTRACT_ADDRESS,
        "sender_address": _SENDER,
        "origin_address": _SENDER,
        "chain_id": 61_999,
        "value": 0,
        "is_init": False,
    },
    "calldata": _base64(calldata.encode({"method": "greet"})),
    "timestamp": TIME,
    "host": "unix:///run/node/host.sock",
    "is_sync": True,
    "deadline": "30s",
}
STARTED = {"id": 12_345, "result": "started"}
FINISHED_RUN = {
    "genvm_id": 12_345,
    "status": {
        "stdout": "",
        "stderr": "",
        "genvm_log": [{"level": "info", "message": "start"}],
        "finished_at": 1_769_860_801_250,
        "consumed_result": list(b"\0" + calldata.encode({"data": "hello"})),
        "version_major": 0,
        "version_minor": 2,
        "metrics": {"queued_ms": 3, "wall_ms": 310, **_SAMPLES},
        "cause": "exited",
        "reason": None,
        "exit_code": 0,
        "signal": None,
        **_SAMPLES,
        "wall_ms": 310,
        "stdout_dropped_bytes": 0,
        "stderr_dropped_bytes": 0,
        "genvm_log_dropped_records": 0,
    },
}
ARTIFACT = {
    "genvm_id": 12_345,
    "field": "stdout",
    "state": "running",
    "dropped_bytes": 0,
    "total_len": 5,
    "data_base64": "aGVsbG8=",
}
ENDED = {"genvm_id": 12_345, "result": "shutdown_completed"}
STATUS = {
    "accepting": True,
    "llm_module": "stopped",
    "web_module": "running",
    "modules": {
        "llm": {
            "state": "stopped",
            "since": TIME,
            "reason": None,
            "workers": [],
            "retiring": 0,
        },
        "web": {
            "state": "running",
            "since": TIME,
            "reason": None,
            "workers": [
                {"pid": 4712, "sessions": 1, "rss_bytes": 548_234_496, "cpu_seconds": 3.02}
            ],
            "retiring": 0,
        },
    },
    "permits": {
        "current": 7,
        "max": 8,
        "in_use": 1,
        "queued": 0,
        "per_sync_run": 1,
        "per_nondet_run": 2,
    },
    "executions": {
        "12345": {
            "version": "v0.2.7",
            "state": "running",
            "cause": None,
            "accepted_at": TIME,
            "started_at": TIME,
            "strict_deadline": "2026-01-31T12:20:00Z",
            "result": None,
            "pid": 4711,
            "rss_bytes": 48_234_496,
            "cpu_seconds": 0.21,
        }
    },
    "executions_omitted": 0,
    "sampled_at": TIME,
    "audit": "ok",
}
MODULE_START = {
    "module_type": "llm",
    "config": {
        "backends": {
            "mine": {
                "provider": "ollama",
                "host": "http://127.0.0.1:11434",
                "models": {"llama3.1": {"supports_json": True}},
            }
        }
    },
    "allow_empty_backends": False,
    "user_error": False,
}
LLM_CHECK = {
    "configs": [
        {
            "host": "https://api.openai.com",
            "provider": "openai-compatible",
            "model": "gpt-4o",
            "key": "${ENV[OPENAIKEY]}",
        }
    ],
    "test_prompts": [
        {
            "system_message": None,
            "user_message": "Say hello.",
            "temperature": 0.5,
            "images": [],
            "max_tokens": 50,
            "use_max_completion_tokens": False,
        }
    ],
}
LLM_CHECKED = [
    {
        "config_index": 0,
        "prompt_index": 0,
        "available": True,
        "error": None,
        "response": "Hello!",
    }
]
EVENTS = f"""\
event: status
data: {json.dumps({"at": TIME, "status": STATUS, "gone": []})}

"""
METRICS = """\
# HELP genvm_permits_in_use Permits that runs hold.
# TYPE genvm_permits_in_use gauge
genvm_permits_in_use 1.0
"""
PERMITS = {"permits": 7, "max": 8, "in_use": 1, "queued": 0}
WRITES = {
    "writes": [
        [_base64(write.key), _base64(write.content)]
        for write in pre_deploy_writes(0, CONTRACT.encode())
    ]
}
ERROR = {"error": "permits: expected int, got str"}


def _run_request_as_calldata() -> str:
    """The other form of `RUN_REQUEST`; its bytes as base64."""
    fields = dict(RUN_REQUEST)
    fields["calldata"] = b64decode(fields["calldata"])
    message = dict(fields["message"])
    for name in ("contract_address", "sender_address", "origin_address"):
        message[name] = calldata.Address(message[name])
    return _base64(calldata.encode(fields | {"message": message}))


RUN_REQUEST_AS_CALLDATA = _run_request_as_calldata()
