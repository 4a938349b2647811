"""A typed client of the HTTP API, over TCP or a Unix socket."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from genvm_manager.base.errors import (
    BadRequest,
    ManagerError,
    RequestFailed,
    RunNotFound,
    Unavailable,
)
from genvm_manager.base.logging.lines import Level
from genvm_manager.base.network._httpx import httpx
from genvm_manager.base.text.numbers import whole_number
from genvm_manager.base.validation import NOT_DECODED, json_decoder
from genvm_manager.protocol.http_api import (
    ArtifactReply,
    ContractSchema,
    DetectedVersion,
    EnvVarSet,
    ErrorReply,
    Health,
    LogLevelSet,
    ManifestReloaded,
    ModuleRestarted,
    ModuleStarted,
    ModuleStopped,
    PermitsReply,
    PermitsSet,
    PreDeployWrites,
    RunReply,
    RunStarted,
    ShutdownCompleted,
    StatusReply,
    VmErrorDescription,
)
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.protocol.ipc.runs import MAX_ARTIFACT_PART, Artifact
from genvm_manager.protocol.llm_check import CheckConfig, CheckPrompt, CheckRow

T = TypeVar("T")

ANSWER_GRACE = 30.0
"""Seconds that the service has for an answer beyond what the request itself may wait."""

MAX_RETRY_AFTER = 86_400
"""Seconds that a service may ask to be left alone for."""

QUEUE_TIMEOUT = 3600.0
"""Seconds that `start_run` waits while permits are short."""


class Unreachable(Unavailable):
    """Nobody answers there."""


class TokenRefused(ManagerError):
    """The service wants a token, or another one than it got."""


MODULE_TIMEOUT = 3600.0
"""Seconds for what the supervisor bounds: a module's start and stop, a check of providers."""

_ERRORS: dict[int, type[ManagerError]] = {
    400: BadRequest,
    401: TokenRefused,
    403: BadRequest,
    404: RunNotFound,
    413: BadRequest,
    500: RequestFailed,
}


class ModuleStart(Struct, frozen=True):
    """How a module is to be started (docs/spec/01-http-api.md#modules).

    `config` None: by its file. It may hold keys, so its `repr` hides it.
    """

    config: dict[str, Any] | None = None
    allow_empty_backends: bool = False
    user_error: bool = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def body(self, kind: ModuleKind) -> bytes:
        """The request's."""
        return msgspec.json.encode({"module_type": kind, **msgspec.structs.asdict(self)})


class HttpClient:
    """Talks to the service at `url`: `http://HOST:PORT`, or `unix:PATH` for a Unix socket.

    Methods raise `Unreachable`, `TokenRefused`, and with the service's own words `Unavailable`,
    `BadRequest`, `RunNotFound` or `RequestFailed`. Safe to share between threads.
    """

    def __init__(
        self, url: str, token: str | None = None, *, timeout: float = ANSWER_GRACE
    ) -> None:
        """`token`: what `serve --token-file` has made requests need. `timeout`: seconds for an
        answer beyond what a request itself may wait."""
        path = url.removeprefix("unix:").removeprefix("//") if url.startswith("unix:") else None
        self.url = url
        self._timeout = timeout
        transport = httpx.HTTPTransport(uds=path)
        # A signal that unwinds us while httpcore takes its own lock leaves that locked, since the
        # lock is a class in Python; closing the client, on the way out, would then wait for ever.
        transport._pool._optional_thread_lock = threading.RLock()  # type: ignore[assignment]
        self._http = httpx.Client(
            base_url="http://localhost" if path else url,
            transport=transport,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=timeout,
            trust_env=False,
        )

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def start_run(self, request: bytes) -> int:
        """Start the run of `request`, calldata (docs/spec/03-run-request.md); return its id."""
        kind = {"Content-Type": "application/octet-stream"}
        return self._ask(
            RunStarted, "POST", "/genvm/run", QUEUE_TIMEOUT, content=request, headers=kind
        ).id

    def get_run(self, run_id: int, wait: float = 0.0, *, has_outputs: bool = True) -> RunReply:
        """The run; its status is None when it did not end within `wait` seconds (at most 120).

        Without its outputs it is small, however much it wrote.
        """
        query = {"bytes": "base64", "wait": f"{round(wait * 1000)}ms"}
        query["outputs"] = "all" if has_outputs else "none"
        return self._ask(RunReply, "GET", f"/genvm/{run_id}", wait, params=query)

    def read_artifact(
        self, run_id: int, field: Artifact, offset: int = 0, max_len: int = MAX_ARTIFACT_PART
    ) -> ArtifactReply:
        """Part of a run's output, so far as it goes: up to `max_len` bytes, at most 256 KiB."""
        query = {"field": str(field), "offset": str(offset), "max_len": str(max_len)}
        return self._ask(ArtifactReply, "GET", f"/genvm/{run_id}/artifact", params=query)

    def cancel(self, run_id: int, grace_ms: int = 30_000) -> None:
        """End the run, by SIGKILL after the grace; nothing happens when it has ended."""
        query = {"wait_timeout_ms": str(grace_ms)}
        self._ask(ShutdownCompleted, "DELETE", f"/genvm/{run_id}", grace_ms / 1000, params=query)

    def describe_vm_error(self, code: str) -> str | None:
        """What a VM error code means and what to do next; None for an unknown one."""
        query = {"error": code}
        path = "/vm-error/describe"
        return self._ask(VmErrorDescription, "GET", path, params=query).description

    def detect_version(self, code: bytes, deployed_at: datetime) -> int:
        """The major that contract code asks for, at most the newest on offer at that time."""
        path = "/contract/detect-version"
        return self._send_code(DetectedVersion, path, code, deployed_at).specified_major

    def pre_deploy_writes(self, code: bytes, deployed_at: datetime) -> list[tuple[bytes, bytes]]:
        """What a node writes before it deploys the code: pairs of key and content.

        Source: docs/spec/01-http-api.md.
        """
        path = "/contract/pre-deploy-writes"
        return self._send_code(PreDeployWrites, path, code, deployed_at).writes

    def contract_schema(self, code: bytes, deployed_at: datetime) -> str:
        """Return the contract's schema, a JSON document, by a run that may only read.

        Source: docs/spec/06-contracts.md#schema.
        `RequestFailed` says what the contract did instead of telling it.
        """
        path = "/genvm/run/readonly"
        return self._send_code(ContractSchema, path, code, deployed_at, QUEUE_TIMEOUT).schema

    def start_module(self, kind: ModuleKind, start: ModuleStart) -> None:
        """Start a module; returns when it answers requests."""
        content = start.body(kind)
        self._ask(ModuleStarted, "POST", "/module/start", MODULE_TIMEOUT, content=content)

    def restart_module(self, kind: ModuleKind, start: ModuleStart) -> None:
        """Put a new one in its place; when it does not start, the old one goes on."""
        content = start.body(kind)
        self._ask(ModuleRestarted, "POST", "/module/restart", MODULE_TIMEOUT, content=content)

    def stop_module(self, kind: ModuleKind) -> bool:
        """Stop a module; False when it did not run."""
        content = msgspec.json.encode({"module_type": kind})
        stopped = self._ask(ModuleStopped, "POST", "/module/stop", MODULE_TIMEOUT, content=content)
        return stopped.result == "module_stopped"

    def check_llm(self, configs: list[CheckConfig], prompts: list[CheckPrompt]) -> list[CheckRow]:
        """Ask each provider each prompt; a row for each pair, in this order."""
        content = msgspec.json.encode({"configs": configs, "test_prompts": prompts})
        return self._ask(list[CheckRow], "POST", "/llm/check", MODULE_TIMEOUT, content=content)

    def set_log_level(self, level: Level) -> None:
        """How much every process of the service logs, until its supervisor starts again."""
        body = msgspec.json.encode({"level": level})
        self._ask(LogLevelSet, "POST", "/log/level", content=body)

    def reload_manifest(self) -> None:
        """Have the manifest read again; runs under way keep their executor."""
        self._ask(ManifestReloaded, "POST", "/manifest/reload")

    def set_env(self, key: str, value: str) -> None:
        """Set what `${ENV[key]}` means to the service, until its supervisor starts again."""
        body = msgspec.json.encode({"key": key, "value": value})
        self._ask(EnvVarSet, "POST", "/env", content=body)

    def status(self) -> StatusReply:
        return self._ask(StatusReply, "GET", "/status")

    def permits(self) -> PermitsReply:
        return self._ask(PermitsReply, "GET", "/permits")

    def set_permits(self, total: int) -> int:
        """Change the concurrency budget; the total now in force."""
        body = msgspec.json.encode({"permits": total})
        return self._ask(PermitsSet, "POST", "/permits", content=body).permits

    def answers(self, within: float = 2.0) -> bool:
        """Whether HTTP answers within so many seconds, whatever it says of the rest."""
        try:
            return self._http.get("/healthz", timeout=within).is_success
        except httpx.HTTPError:
            return False

    def is_ready(self, within: float = 2.0) -> bool:
        """Whether the service answers within so many seconds and takes runs."""
        try:
            return self._http.get("/readyz", timeout=within).is_success
        except httpx.HTTPError:
            return False

    def refusal(self) -> str | None:
        """Why the service takes no runs now; None when it does. Raises `Unreachable`."""
        try:
            self._ask(Health, "GET", "/readyz")
        except Unreachable:
            raise
        except Unavailable as error:
            return error.message
        return None

    def _send_code(
        self,
        kind: type[T],
        path: str,
        code: bytes,
        deployed_at: datetime,
        wait: float = 0.0,
    ) -> T:
        """`deployed_at` is aware; one without a time zone is refused by the service."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Deployment-Timestamp": deployed_at.isoformat(),
        }
        return self._ask(kind, "POST", path, wait, content=code, headers=headers)

    def _ask(
        self,
        kind: type[T],
        method: str,
        path: str,
        wait: float = 0.0,
        **sent: Any,
    ) -> T:
        """Ask for something that may wait so many seconds by itself."""
        timeout = wait + self._timeout
        try:
            response = self._http.request(method, path, timeout=timeout, **sent)
        except httpx.TimeoutException:
            raise Unavailable(f"{self.url} did not answer within {timeout:.0f} s") from None
        except httpx.HTTPError as error:
            raise Unreachable(f"{self.url} cannot be reached: {_reason(error)}") from None
        if not response.is_success:
            raise _error_of(response, f"{method} {path}")
        try:
            return json_decoder(kind).decode(response.content)
        except NOT_DECODED as error:
            raise ManagerError(f"{self.url} does not answer as a GenVM Manager: {error}") from None


def _retry_after(response: httpx.Response) -> int:
    """Seconds; a date is not understood."""
    with suppress(ValueError):
        return whole_number(response.headers.get("Retry-After", ""), MAX_RETRY_AFTER)
    return 1


def _reason(error: httpx.HTTPError) -> str:
    """Without the number that the system puts before it."""
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__


def _error_of(response: httpx.Response, what: str) -> ManagerError:
    try:
        reply = json_decoder(ErrorReply).decode(response.content)
        message = reply.error
        if response.status_code == 404 and reply.genvm_id is None:
            return ManagerError(f"the service does not know {what}: it may be older than this")
    except NOT_DECODED:
        message = f"HTTP status {response.status_code} {response.reason_phrase}"
    if response.status_code == 503:
        return Unavailable(message, _retry_after(response))
    return _ERRORS.get(response.status_code, ManagerError)(message)
