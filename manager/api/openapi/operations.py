"""Every operation of the API (docs/spec/01-http-api.md). A test compares it with the routes."""

from __future__ import annotations

from typing import Any

from genvm_manager.manager.api.operations.configuration import EnvBody, LogLevelBody
from genvm_manager.manager.api.operations.genvm import DEFAULT_GRACE_MS, MAX_GRACE_MS
from genvm_manager.manager.api.operations.llm import LlmCheckBody
from genvm_manager.manager.api.operations.modules import ModuleBody, ModuleStartBody
from genvm_manager.manager.api.operations.permits import PermitsBody
from genvm_manager.protocol import http_api as replies
from genvm_manager.protocol.ipc.runs import MAX_ARTIFACT_PART, Artifact
from genvm_manager.protocol.limits import MAX_RUN_ID, MAX_WAIT
from genvm_manager.protocol.llm_check import CheckRow
from genvm_manager.protocol.run_request import RunRequest

from . import examples
from .operation import BAD_BODY, BAD_REQUEST, BYTES, JSON, UNAVAILABLE, Body, Operation, Parameter

_ID = Parameter(
    "genvm_id", "path", "The run's id.", {"type": "integer", "minimum": 0}, 12_345, True
)
_TIME = Parameter(
    "Deployment-Timestamp",
    "header",
    "When the contract is deployed, RFC 3339.",
    {"type": "string", "format": "date-time"},
    examples.TIME,
    is_required=True,
)
_CODE = Body(BYTES, None, examples.CONTRACT, "The contract's code: Python, WebAssembly or ZIP.")


def _json(struct: type, example: Any) -> Body:
    return Body(JSON, struct, example)


_STATUS = (
    Operation(
        "GET",
        "/status",
        "Status",
        "Modules, permits and executions at a glance",
        _json(replies.StatusReply, examples.STATUS),
        UNAVAILABLE,
        "All runs under way and the newest hundred that are over; the rest is counted.",
    ),
    Operation(
        "GET",
        "/events",
        "Status",
        "The status as it changes",
        Body("text/event-stream", None, examples.EVENTS, "Server-sent events."),
        UNAVAILABLE,
        "The first event is `status`: `at`, the service's clock, and `status`, which is the reply "
        "of `/status`. A `change` is the same with only those executions that are new or changed; "
        "`gone` lists the ids of others that are shown no more. At most four a second. A `status` "
        "comes again when the client was too slow for all changes. A comment comes after 15 s of "
        "silence. The stream ends when the supervisor is lost or the service stops: come again.",
    ),
    Operation(
        "GET",
        "/healthz",
        "Status",
        "Whether the HTTP process lives",
        _json(replies.Health, {"status": "alive"}),
        description="Needs no token and no supervisor.",
        is_open=True,
    ),
    Operation(
        "GET",
        "/readyz",
        "Status",
        "Whether runs are taken and nothing is waited for",
        _json(replies.Health, {"status": "ready"}),
        UNAVAILABLE,
        "503 says why: the store or the state folder cannot be used, commands would not find the "
        "service, or the built-in executor is still being compiled (runs are taken meanwhile).",
    ),
    Operation(
        "GET",
        "/metrics",
        "Status",
        "Figures for Prometheus",
        Body("text/plain", None, examples.METRICS, "Prometheus' text format."),
        UNAVAILABLE,
        "What each means: the table in docs/operations/metrics-and-alerts.md.",
    ),
)

_RUNS = (
    Operation(
        "POST",
        "/genvm/run",
        "Runs",
        "Start a run",
        _json(replies.RunStarted, examples.STARTED),
        BAD_BODY | UNAVAILABLE | {500: "No such executor, it did not start, or a module is down."},
        "Answers when the executor has started; waits while permits are short. Unknown fields are "
        "ignored. A JSON body needs no `Content-Type`.",
        bodies=(
            Body(JSON, RunRequest, examples.RUN_REQUEST),
            Body(
                BYTES,
                None,
                None,
                "Calldata of the same map: bytes and addresses as such, not as text. The example "
                f"for JSON is, shown as base64: `{examples.RUN_REQUEST_AS_CALLDATA}`",
            ),
        ),
    ),
    Operation(
        "GET",
        "/genvm/{genvm_id}",
        "Runs",
        "Read a run, or wait for its end",
        _json(replies.RunReply, examples.FINISHED_RUN),
        BAD_REQUEST | UNAVAILABLE | {404: "What stands for the id is no whole number."},
        "`status` is null while the run is queued or under way, and for an unknown id. Reading "
        "takes nothing away: the same id gives the same answer until the run is pruned.",
        (
            _ID,
            Parameter(
                "wait",
                "query",
                f"Wait so long for the end: `250ms`, `30s`, `1m`; at most {MAX_WAIT:.0f} s.",
                {"type": "string", "pattern": r"^\d{1,6}(\.\d{1,3})?(ms|s|m|h)$"},
                "30s",
            ),
            Parameter(
                "bytes",
                "query",
                "How `consumed_result` is written.",
                {"type": "string", "enum": ["list", "base64"], "default": "list"},
                "list",
            ),
            Parameter(
                "outputs",
                "query",
                "`none`: `stdout`, `stderr`, `genvm_log` and `consumed_result` come empty, which "
                "may be large; they can be read in parts.",
                {"type": "string", "enum": ["all", "none"], "default": "all"},
                "all",
            ),
        ),
    ),
    Operation(
        "GET",
        "/genvm/{genvm_id}/artifact",
        "Runs",
        "Read a part of a run's output",
        _json(replies.ArtifactReply, examples.ARTIFACT),
        BAD_REQUEST | UNAVAILABLE | {404: "No such run."},
        "Also while the run is under way: what there is by now. `dropped_bytes` were written "
        "before the first byte that is kept: their sum with `offset` is a place in the whole "
        "output, and stays right while more is dropped.",
        parameters=(
            _ID,
            Parameter(
                "field",
                "query",
                "Which output.",
                {"type": "string", "enum": list(Artifact)},
                "stdout",
                is_required=True,
            ),
            Parameter(
                "offset",
                "query",
                "The first byte, of those that are kept.",
                {"type": "integer", "minimum": 0, "maximum": MAX_RUN_ID, "default": 0},
                0,
            ),
            Parameter(
                "max_len",
                "query",
                f"How many bytes at most; never more than {MAX_ARTIFACT_PART}.",
                {"type": "integer", "minimum": 0, "maximum": MAX_RUN_ID},
                MAX_ARTIFACT_PART,
            ),
        ),
    ),
    Operation(
        "DELETE",
        "/genvm/{genvm_id}",
        "Runs",
        "End a run",
        _json(replies.ShutdownCompleted, examples.ENDED),
        BAD_REQUEST | UNAVAILABLE | {404: "No such run.", 500: "It could not be ended in time."},
        "SIGTERM, then SIGKILL. A queued run is taken off the queue; one that is over stays so.",
        (
            _ID,
            Parameter(
                "wait_timeout_ms",
                "query",
                "Milliseconds between the two signals.",
                {
                    "type": "integer",
                    "minimum": 0,
                    "maximum": MAX_GRACE_MS,
                    "default": DEFAULT_GRACE_MS,
                },
                DEFAULT_GRACE_MS,
            ),
        ),
    ),
    Operation(
        "GET",
        "/vm-error/describe",
        "Runs",
        "What an error code means",
        _json(replies.VmErrorDescription, {"description": "The contract ran out of memory."}),
        BAD_REQUEST,
        parameters=(
            Parameter(
                "error", "query", "The code.", {"type": "string"}, "OOM storage", is_required=True
            ),
        ),
    ),
)

_READONLY = Operation(
    "POST",
    "/genvm/run/readonly",
    "Contracts",
    "A contract's schema",
    _json(replies.ContractSchema, {"schema": '{"methods": {}}'}),
    BAD_BODY | UNAVAILABLE | {500: "The contract failed, took too long or has no schema."},
    "Runs the contract's own `#get-schema`; it may do nothing but read. Takes a permit.",
    (_TIME,),
    (_CODE,),
)

_CONTRACTS = (
    _READONLY,
    Operation(
        "POST",
        "/contract/detect-version",
        "Contracts",
        "The major that a contract asks for",
        _json(replies.DetectedVersion, {"specified_major": 0}),
        BAD_BODY | UNAVAILABLE | {500: "The manifest offers nothing at that time."},
        parameters=(_TIME,),
        bodies=(_CODE,),
    ),
    Operation(
        "POST",
        "/contract/pre-deploy-writes",
        "Contracts",
        "What to write to storage before a deployment",
        _json(replies.PreDeployWrites, examples.WRITES),
        BAD_BODY | UNAVAILABLE | {500: "The manifest offers nothing at that time."},
        parameters=(_TIME,),
        bodies=(_CODE,),
    ),
)

_MODULES = (
    Operation(
        "POST",
        "/module/start",
        "Modules",
        "Start a module",
        _json(replies.ModuleStarted, {"result": "module_started"}),
        BAD_BODY | UNAVAILABLE | {500: "`module_already_running`, or why it does not start."},
        "Answers once the module serves. `config` is laid over its configuration file, key by key; "
        "an LLM module's that has `backends` stands alone. `${ENV[NAME]}` in any text is filled "
        "in. Where the keys of all backends of the file are missing, the module starts, and "
        "`/status` says in `reason` which variables to set before a restart. `user_error` has it "
        "answer every request with a user error.",
        bodies=(_json(ModuleStartBody, examples.MODULE_START),),
    ),
    Operation(
        "POST",
        "/module/stop",
        "Modules",
        "Stop a module",
        _json(replies.ModuleStopped, {"result": "module_stopped"}),
        BAD_BODY | UNAVAILABLE,
        "Waits up to `drain_timeout` for the runs that use it; a second request waits no longer. "
        "One that does not run is `module_not_running`.",
        bodies=(_json(ModuleBody, {"module_type": "web"}),),
    ),
    Operation(
        "POST",
        "/module/restart",
        "Modules",
        "Put another configuration of a module in force",
        _json(replies.ModuleRestarted, {"result": "module_restarted"}),
        BAD_BODY | UNAVAILABLE | {500: "The new one does not start; the old one goes on."},
        "The old one serves until the new one does, and the runs that it serves to their end.",
        bodies=(_json(ModuleStartBody, examples.MODULE_START),),
    ),
    Operation(
        "POST",
        "/llm/check",
        "Modules",
        "Whether LLM providers work",
        Body(JSON, CheckRow, examples.LLM_CHECKED, is_list=True),
        BAD_BODY | UNAVAILABLE | {500: "The providers could not be asked."},
        "One row for each configuration and prompt, in this order. Needs no module.",
        bodies=(_json(LlmCheckBody, examples.LLM_CHECK),),
    ),
)

_SETTINGS = (
    Operation(
        "GET",
        "/permits",
        "Configuration",
        "The concurrency budget",
        _json(replies.PermitsReply, examples.PERMITS),
        UNAVAILABLE,
    ),
    Operation(
        "POST",
        "/permits",
        "Configuration",
        "Change the concurrency budget",
        _json(replies.PermitsSet, {"permits": 8, "result": "permits_set"}),
        BAD_BODY | UNAVAILABLE,
        "Runs under way keep their permits when it shrinks; new ones wait.",
        bodies=(_json(PermitsBody, {"permits": 8}),),
    ),
)

_CONFIGURATION = (
    Operation(
        "POST",
        "/log/level",
        "Configuration",
        "Say more or less in the log",
        _json(replies.LogLevelSet, {"level": "debug", "result": "log_level_set"}),
        BAD_BODY | UNAVAILABLE,
        "In every process of the service.",
        bodies=(_json(LogLevelBody, {"level": "debug"}),),
    ),
    Operation(
        "POST",
        "/manifest/reload",
        "Configuration",
        "Read the manifest again",
        _json(replies.ManifestReloaded, {"result": "manifest_reloaded"}),
        UNAVAILABLE | {500: "The manifest is bad; the old one stays in force."},
        "Runs under way keep their version.",
    ),
    Operation(
        "POST",
        "/env",
        "Configuration",
        "Set a variable for modules that start later",
        _json(replies.EnvVarSet, {"key": "OPENAI_KEY", "result": "env_var_set"}),
        BAD_BODY | UNAVAILABLE,
        "Module settings refer to it as `${ENV[NAME]}`. Runs never see it.",
        bodies=(_json(EnvBody, {"key": "OPENAI_KEY", "value": "a secret"}),),
    ),
)

_DOCUMENTS = (
    Operation(
        "GET",
        "/",
        "Documentation",
        "A page that shows what goes on",
        Body("text/html", None, "<!doctype html>"),
        is_open=True,
    ),
    Operation(
        "GET",
        "/assets/{name}",
        "Documentation",
        "A part of that page",
        Body("text/css", None, "body { margin: 0 }"),
        {404: "No such part."},
        parameters=(Parameter("name", "path", "The file.", {"type": "string"}, "look.css", True),),
        is_open=True,
    ),
    Operation(
        "GET",
        "/openapi.json",
        "Documentation",
        "This document",
        Body(JSON, None, {"openapi": "3.1.0"}),
    ),
    Operation(
        "GET",
        "/docs",
        "Documentation",
        "A page to read",
        Body("text/html", None, "<!doctype html>"),
    ),
)

OPERATIONS = (*_STATUS, *_RUNS, *_MODULES, *_CONTRACTS, *_SETTINGS, *_CONFIGURATION, *_DOCUMENTS)
