"""A typed client of the HTTP API, over TCP or a Unix socket, with a method for each operation."""

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
from genvm_manager.protocol.http_requests import (
    EnvBody,
    LlmCheckBody,
    LogLevelBody,
    ModuleBody,
    ModuleStartBody,
    PermitsBody,
)
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.protocol.ipc.runs import MAX_ARTIFACT_PART, Artifact
from genvm_manager.protocol.limits import MODULE_TIMEOUT, QUEUE_TIMEOUT
from genvm_manager.protocol.llm_check import CheckConfig, CheckPrompt, CheckRow

T = TypeVar("T")

ANSWER_GRACE = 30.0
"""Seconds for an answer, beyond the time that the request itself may wait."""

MAX_RETRY_AFTER = 86_400
"""The longest `Retry-After` that is understood, in seconds."""


class Unreachable(Unavailable):
    """No service answers at the address."""


class TokenRefused(ManagerError):
    """The service requires a token, or another one than it got."""


_ERRORS: dict[int, type[ManagerError]] = {
    400: BadRequest,
    401: TokenRefused,
    403: BadRequest,
    404: RunNotFound,
    413: BadRequest,
    500: RequestFailed,
}


class ModuleStart(Struct, frozen=True):
    """The options for the start of a module (docs/spec/01-http-api.md#modules).

    `config` None: the module's configuration file. `repr` hides it, as it may hold keys.
    """

    config: dict[str, Any] | None = None
    allow_empty_backends: bool = False
    user_error: bool = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def body(self, kind: ModuleKind) -> ModuleStartBody:
        """Return the request's body for a module."""
        return ModuleStartBody(kind, self.config, self.allow_empty_backends, self.user_error)


class HttpClient:
    """The service at `url`: `http://HOST:PORT`, or `unix:PATH` for a Unix socket.

    Methods raise `Unreachable`, `TokenRefused`, and with the service's message `Unavailable`,
    `BadRequest`, `RunNotFound` or `RequestFailed`. Threads may share a client.
    """

    def __init__(
        self, url: str, token: str | None = None, *, timeout: float = ANSWER_GRACE
    ) -> None:
        """`token` is what the file of `serve --token-file` holds. `timeout`: seconds for an answer,
        beyond the time that a request itself may wait.
        """
        path = url.removeprefix("unix:").removeprefix("//") if url.startswith("unix:") else None
        self.url = url
        self._timeout = timeout
        transport = httpx.HTTPTransport(uds=path)
        # httpcore's own lock is a Python class. When a signal handler raises while it is taken, it
        # stays locked, and closing the client would then wait for ever. An RLock has no such gap.
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
        """Close all connections."""
        self._http.close()

    def start_run(self, request: bytes) -> int:
        """Start the run of `request`, calldata (docs/spec/03-run-request.md); return its id."""
        headers = {"Content-Type": "application/octet-stream"}
        return self._ask(
            RunStarted, "POST", "/genvm/run", QUEUE_TIMEOUT, content=request, headers=headers
        ).id

    def get_run(self, run_id: int, wait: float = 0.0, *, has_outputs: bool = True) -> RunReply:
        """Return the run; its status is None when it does not end within `wait` seconds, up to 120.

        `has_outputs` False: without the run's outputs, which may be large.
        """
        query = {"bytes": "base64", "wait": f"{round(wait * 1000)}ms"}
        query["outputs"] = "all" if has_outputs else "none"
        return self._ask(RunReply, "GET", f"/genvm/{run_id}", wait, params=query)

    def read_artifact(
        self, run_id: int, field: Artifact, offset: int = 0, max_len: int = MAX_ARTIFACT_PART
    ) -> ArtifactReply:
        """Return up to `max_len` bytes of a run's output, and at most 256 KiB."""
        query = {"field": str(field), "offset": str(offset), "max_len": str(max_len)}
        return self._ask(ArtifactReply, "GET", f"/genvm/{run_id}/artifact", params=query)

    def cancel(self, run_id: int, grace_ms: int = 30_000) -> None:
        """End the run, by SIGKILL after the grace; nothing happens to a run that has ended."""
        query = {"wait_timeout_ms": str(grace_ms)}
        self._ask(ShutdownCompleted, "DELETE", f"/genvm/{run_id}", grace_ms / 1000, params=query)

    def describe_vm_error(self, code: str) -> str | None:
        """Return what a VM error code means and what to do next; None for an unknown code."""
        query = {"error": code}
        path = "/vm-error/describe"
        return self._ask(VmErrorDescription, "GET", path, params=query).description

    def detect_version(self, code: bytes, deployed_at: datetime) -> int:
        """Return the major that code asks for, at most the newest that was offered at that time."""
        path = "/contract/detect-version"
        return self._send_code(DetectedVersion, path, code, deployed_at).specified_major

    def pre_deploy_writes(self, code: bytes, deployed_at: datetime) -> list[tuple[bytes, bytes]]:
        """Return what a node writes before it deploys the code: pairs of key and content.

        Source: docs/spec/01-http-api.md.
        """
        path = "/contract/pre-deploy-writes"
        return self._send_code(PreDeployWrites, path, code, deployed_at).writes

    def contract_schema(self, code: bytes, deployed_at: datetime) -> str:
        """Return the contract's schema, a JSON document, by a run that may only read.

        Raises `RequestFailed`, which says what the contract did instead.
        Source: docs/spec/06-contracts.md#schema.
        """
        path = "/genvm/run/readonly"
        return self._send_code(ContractSchema, path, code, deployed_at, QUEUE_TIMEOUT).schema

    def start_module(self, kind: ModuleKind, start: ModuleStart) -> None:
        """Start a module; return when it answers requests."""
        self._send(ModuleStarted, "/module/start", start.body(kind), MODULE_TIMEOUT)

    def restart_module(self, kind: ModuleKind, start: ModuleStart) -> None:
        """Replace a module; when the new one does not start, the present one stays."""
        self._send(ModuleRestarted, "/module/restart", start.body(kind), MODULE_TIMEOUT)

    def stop_module(self, kind: ModuleKind) -> bool:
        """Stop a module; return False when it did not run."""
        stopped = self._send(ModuleStopped, "/module/stop", ModuleBody(kind), MODULE_TIMEOUT)
        return stopped.result == "module_stopped"

    def check_llm(self, configs: list[CheckConfig], prompts: list[CheckPrompt]) -> list[CheckRow]:
        """Send each prompt to each provider; return a row for each pair, in this order."""
        body = LlmCheckBody(configs, prompts)
        return self._send(list[CheckRow], "/llm/check", body, MODULE_TIMEOUT)

    def set_log_level(self, level: Level) -> None:
        """Set the log level of every process of the service, until its supervisor restarts."""
        self._send(LogLevelSet, "/log/level", LogLevelBody(level))

    def reload_manifest(self) -> None:
        """Make the service read its manifest again; started runs keep their executor."""
        self._ask(ManifestReloaded, "POST", "/manifest/reload")

    def set_env(self, key: str, value: str) -> None:
        """Set what `${ENV[key]}` means to the service, until its supervisor restarts."""
        self._send(EnvVarSet, "/env", EnvBody(key, value))

    def status(self) -> StatusReply:
        """Return the state of the whole service."""
        return self._ask(StatusReply, "GET", "/status")

    def permits(self) -> PermitsReply:
        """Return the concurrency budget."""
        return self._ask(PermitsReply, "GET", "/permits")

    def set_permits(self, total: int) -> int:
        """Change the concurrency budget; return the total now in force."""
        return self._send(PermitsSet, "/permits", PermitsBody(total)).permits

    def answers(self, within: float = 2.0) -> bool:
        """Return whether the HTTP process answers, within so many seconds."""
        try:
            return self._http.get("/healthz", timeout=within).is_success
        except httpx.HTTPError:
            return False

    def is_ready(self, within: float = 2.0) -> bool:
        """Return whether the service answers within so many seconds and takes runs."""
        try:
            return self._http.get("/readyz", timeout=within).is_success
        except httpx.HTTPError:
            return False

    def refusal(self) -> str | None:
        """Return why the service takes no runs now; None when it does. Raises `Unreachable`."""
        try:
            self._ask(Health, "GET", "/readyz")
        except Unreachable:
            raise
        except Unavailable as error:
            return error.message
        return None

    def _send(self, kind: type[T], path: str, body: Struct, wait: float = 0.0) -> T:
        """Send a JSON body."""
        return self._ask(kind, "POST", path, wait, content=msgspec.json.encode(body))

    def _send_code(
        self,
        kind: type[T],
        path: str,
        code: bytes,
        deployed_at: datetime,
        wait: float = 0.0,
    ) -> T:
        """Send code; `deployed_at` must have a time zone, or the service refuses it."""
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
        """Send a request that may itself wait `wait` seconds; return the decoded reply."""
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
    """Return the seconds of `Retry-After`; 1 for a date, which is not understood."""
    with suppress(ValueError):
        return whole_number(response.headers.get("Retry-After", ""), MAX_RETRY_AFTER)
    return 1


def _reason(error: httpx.HTTPError) -> str:
    """Return the message without the system's error number."""
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
