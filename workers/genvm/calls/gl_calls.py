"""`gl_call`: the requests that take one calldata value (docs/spec/06-contracts.md#imports)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.host.messages import StorageType
from genvm_manager.protocol.permissions import CALL, NONDET, READ, SEND, WRITE
from genvm_manager.protocol.run_result import ResultCode
from genvm_manager.workers.genvm.engine.endings import CallEnded, Outcome, vm_error

from .context import MAX_DEPTH, CallContext, EntryKind
from .module_calls import ModuleCalls
from .request_fields import RequestParser
from .sdk import OperationFailed, SdkError, call_host, require_permission
from .shared_run import Run, own_balance

_MAX_NESTING = calldata.MAX_DEPTH - 4
"""So that what a request holds can still be encoded inside a result."""

MAX_REQUEST_VALUES = calldata.MAX_VALUES - 64
"""The same for how many they are."""

_COPIES = 3
"""Of the entry data of a call inside a call: in its request, by itself, in its start message."""

_MAX_TOPICS = 4
_STATES: dict[tuple[type, Any], StorageType] = {
    (type(state), state): kind for kind in StorageType for state in (int(kind), kind.name.lower())
}
"""The states by number and by name. Their types are in the keys, as True equals 1."""


class GlCalls:
    """Performs the requests of one call; `memory_size` tells the bytes its guest has now."""

    def __init__(self, run: Run, context: CallContext, memory_size: Callable[[], int]) -> None:
        self._run = run
        self._context = context
        self._memory_size = memory_size
        modules = ModuleCalls(run, context, memory_size)
        self._handlers: dict[str, Callable[[Any], bytes | None]] = {
            "Return": self._return,
            "UserError": self._user_error,
            "Rollback": self._user_error,
            "EthSend": self._eth_send,
            "EthCall": self._eth_call,
            "CallContract": self._call_contract,
            "PostMessage": self._post_message,
            "DeployContract": self._deploy_contract,
            "EmitEvent": self._emit_event,
            "RunNondet": self._run_nondet,
            "Sandbox": self._sandbox,
            "Trace": self._trace,
            "ExecPrompt": modules.exec_prompt,
            "ExecPromptTemplate": modules.exec_prompt_template,
            "WebRequest": modules.web_request,
            "WebRender": modules.web_render,
        }

    def perform(self, request: bytes) -> bytes | None:
        """Do what `request` asks for. Raises `OperationFailed`, and `CallEnded` for an end."""
        try:
            decoded = calldata.decode(
                request, max_depth=_MAX_NESTING, max_values=MAX_REQUEST_VALUES
            )
        except calldata.DecodeError:
            raise OperationFailed(SdkError.INVAL) from None
        if not isinstance(decoded, dict) or len(decoded) != 1:
            raise OperationFailed(SdkError.INVAL)
        ((name, value),) = decoded.items()
        handler = self._handlers.get(name)
        if handler is None:
            raise OperationFailed(SdkError.INVAL)
        if self._context.is_det and name in _NONDET_ONLY:
            raise OperationFailed(SdkError.FORBIDDEN)
        return handler(value)

    def _return(self, value: Any) -> NoReturn:
        raise CallEnded(Outcome(ResultCode.RETURN, value))

    def _user_error(self, reason: Any) -> NoReturn:
        if not isinstance(reason, str):
            raise OperationFailed(SdkError.INVAL)
        raise CallEnded(Outcome(ResultCode.USER_ERROR, reason))

    def _eth_send(self, request: Any) -> None:
        fields = RequestParser(request)
        emission = {
            "type": "EthSend",
            "address": fields.get("address", Address),
            "calldata": fields.get("calldata", bytes),
            "value": fields.u256("value"),
        }
        self._send(emission)

    def _post_message(self, request: Any) -> None:
        fields = RequestParser(request)
        emission = {
            "type": "PostMessage",
            "address": fields.get("address", Address),
            "calldata": fields.call(),
            "value": fields.u256("value"),
            "on": fields.on(),
        }
        self._send(emission)

    def _deploy_contract(self, request: Any) -> None:
        fields = RequestParser(request)
        emission = {
            "type": "DeployContract",
            "calldata": fields.call(),
            "code": fields.get("code", bytes),
            "value": fields.u256("value"),
            "on": fields.on(),
            "salt_nonce": fields.u256("salt_nonce"),
        }
        self._send(emission)

    def _send(self, emission: dict[str, Any]) -> None:
        require_permission(self._context, SEND)
        value = emission["value"]
        if value and value > own_balance(self._run, self._context):
            raise OperationFailed(SdkError.INBALANCE)
        self._context.effects.emit(emission, value)

    def _emit_event(self, request: Any) -> None:
        fields = RequestParser(request)
        topics = fields.get("topics", list)
        if len(topics) > _MAX_TOPICS or not all(_is_topic(topic) for topic in topics):
            raise OperationFailed(SdkError.INVAL)
        blob = fields.get("blob", dict)
        require_permission(self._context, SEND)
        self._context.effects.emit({"type": "EmitEvent", "topics": topics, "blob": blob})

    def _eth_call(self, request: Any) -> bytes:
        fields = RequestParser(request)
        address, call = fields.get("address", Address), fields.get("calldata", bytes)
        require_permission(self._context, CALL)
        return call_host(self._run.host.eth_call, address, call)

    def _call_contract(self, request: Any) -> bytes:
        fields = RequestParser(request)
        address, entry_data = fields.get("address", Address), fields.call()
        try:
            state = fields.any("state") if "state" in request else "default"
            storage_type = _STATES[type(state), state]
        except (KeyError, TypeError):
            raise OperationFailed(SdkError.INVAL) from None
        require_permission(self._context, CALL)
        context = self._context
        message = context.message._replace(contract_address=address, value=0, is_init=False)
        outcome = self._run_inside(
            context._replace(
                message=message,
                entry_kind=EntryKind.MAIN,
                entry_data=entry_data,
                entry_stage_data=None,
                permissions=context.permissions & {READ, CALL},
                effects=context.effects.apart(self._run.committed(address, storage_type)),
                stack=(*context.stack, context.message.contract_address),
                locked=frozenset(),
            )
        )
        if outcome.code is ResultCode.VM_ERROR:
            raise CallEnded(outcome)
        return outcome.encode()

    def _sandbox(self, request: Any) -> bytes:
        fields = RequestParser(request)
        entry_data = fields.get("data", bytes)
        allow_write = fields.get("allow_write_ops", bool, False)
        context = self._context
        effects = context.effects.fork()
        kept = {READ, WRITE, SEND} if allow_write else {READ}
        outcome = self._run_inside(
            context._replace(
                message=context.message._replace(is_init=False),
                entry_kind=EntryKind.SANDBOX,
                entry_data=entry_data,
                entry_stage_data=None,
                permissions=context.permissions & kept,
                effects=effects,
            )
        )
        if outcome.code is ResultCode.RETURN:
            context.effects.absorb(effects)
        return outcome.encode()

    def _run_inside(self, inner: CallContext) -> Outcome:
        """Run a call inside this one, in what this one leaves of its memory and depth."""
        if inner.depth >= MAX_DEPTH:
            return vm_error("depth_limit")
        left = inner.memory_limit - self._memory_size()
        with self._context.effects.holding(_COPIES * len(inner.entry_data)):
            return self._run.call(inner._replace(depth=inner.depth + 1, memory_limit=left))

    def _run_nondet(self, request: Any) -> bytes:
        fields = RequestParser(request)
        lead, validate = fields.get("data_leader", bytes), fields.get("data_validator", bytes)
        require_permission(self._context, NONDET)
        result = self._run.nondet.run(self._run_stage, lead, validate)
        self._context.effects.charge(len(result))
        return result

    def _run_stage(self, entry_data: bytes, stage_data: dict[str, Any] | None) -> Outcome:
        """Run a nondet block on this machine, and return how it ended.

        It sees the contract's storage as the call has left it, and changes nothing. What is for det
        mode only needs permissions that it lacks.
        """
        context = self._context
        return self._run_inside(
            context._replace(
                message=context.message._replace(is_init=False),
                entry_kind=EntryKind.CONSENSUS_STAGE,
                entry_data=entry_data,
                entry_stage_data=stage_data,
                permissions=context.permissions & {READ},
                effects=context.effects.fork(),
                is_det=False,
            )
        )

    def _trace(self, request: Any) -> bytes | None:
        if request in ("RuntimeMicroSec", {"RuntimeMicroSec": None}):
            return calldata.encode(0 if self._context.is_det else self._run.microseconds())
        self._run.trace(RequestParser(request).get("Message", str))
        return None


_NONDET_ONLY = ("ExecPrompt", "ExecPromptTemplate", "WebRequest", "WebRender")
"""What only a nondet block may ask for (docs/spec/06-contracts.md#imports)."""


def _is_topic(topic: Any) -> bool:
    return isinstance(topic, bytes) and len(topic) == 32
