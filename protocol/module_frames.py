"""What executors and module workers say to each other (docs/spec/05-modules.md#connections).

Each function turns one frame's body into a value or back; `framing.py` moves the frames. The
executor pays for this module's imports at each start, so it keeps to the light ones.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from . import calldata
from .errors import MalformedMessage

HttpMethod = Literal["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"]
"""The methods that a contract may use (docs/spec/05-modules.md#web-requests)."""


class UserFault(Exception):
    """The request failed in a way that the contract may catch.

    `causes` are error codes, the most general one first; `context` maps names to calldata values.
    """

    def __init__(self, causes: list[str], context: dict[str, Any] | None = None) -> None:
        super().__init__(", ".join(causes))
        self.causes = causes
        self.context = context or {}


class FatalFault(Exception):
    """The request failed in a way that ends the run as an internal error."""


class ModuleHello(NamedTuple):
    """The first frame: whose connection this is. `host_data` is what the node sent, parsed."""

    genvm_id: int
    host_data: dict[str, Any]


class ModuleRequest(NamedTuple):
    """One request: its name, such as `Prompt`, and what came with it."""

    name: str
    payload: Any


def encode_hello(hello: ModuleHello) -> bytes:
    """Return the body of the first frame."""
    return calldata.encode({"genvm_id": hello.genvm_id, "host_data": hello.host_data})


def decode_hello(body: bytes) -> ModuleHello:
    """Return the hello in a frame's body; unknown keys are ignored. Raises `MalformedMessage`."""
    value = _map(body)
    genvm_id, host_data = value.get("genvm_id"), value.get("host_data", {})
    if not isinstance(genvm_id, int) or isinstance(genvm_id, bool):
        raise MalformedMessage("hello: genvm_id: expected int")
    if not isinstance(host_data, dict):
        raise MalformedMessage("hello: host_data: expected a map")
    return ModuleHello(genvm_id, host_data)


def encode_request(request: ModuleRequest) -> bytes:
    """Return the body of a request's frame."""
    return calldata.encode({request.name: request.payload})


def decode_request(body: bytes) -> ModuleRequest:
    """Return the request in a frame's body: a map with one key. Raises `MalformedMessage`."""
    return ModuleRequest(*_only_entry(body, "request"))


def encode_answer(value: Any) -> bytes:
    """Return the body of the frame that answers with a value."""
    return calldata.encode({"Ok": value})


def encode_fault(fault: UserFault | FatalFault) -> bytes:
    """Return the body of the frame that answers with a failure."""
    if isinstance(fault, UserFault):
        return calldata.encode({"UserError": {"causes": fault.causes, "ctx": fault.context}})
    return calldata.encode({"FatalError": str(fault)})


def decode_answer(body: bytes) -> Any:
    """Return the value in an answer. Raises `UserFault`, `FatalFault` or `MalformedMessage`."""
    name, value = _only_entry(body, "answer")
    if name == "Ok":
        return value
    if name == "FatalError" and isinstance(value, str):
        raise FatalFault(value)
    if name == "UserError" and isinstance(value, dict):
        causes, context = value.get("causes"), value.get("ctx", {})
        if isinstance(causes, list) and isinstance(context, dict):
            raise UserFault([str(cause) for cause in causes], context)
    raise MalformedMessage(f"answer: {name} is not Ok, UserError or FatalError in its form")


def _only_entry(body: bytes, what: str) -> tuple[str, Any]:
    value = _map(body)
    if len(value) != 1:
        raise MalformedMessage(f"{what}: expected a map with one key, got {len(value)}")
    return next(iter(value.items()))


def _map(body: bytes) -> dict[str, Any]:
    try:
        value = calldata.decode(body)
    except calldata.DecodeError as error:
        raise MalformedMessage(f"not calldata: {error}") from None
    if not isinstance(value, dict):
        raise MalformedMessage(f"expected a map, got {type(value).__name__}")
    return value
