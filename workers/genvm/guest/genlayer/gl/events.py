"""`gl.Event`: events, by which programs outside the chain follow a contract.

    class Transfer(gl.Event):
        def __init__(self, source: Address, target: Address, /, **blob): ...

    Transfer(sender, receiver, amount=5).emit()

The positional parameters are indexed: an event can be found by them. The first topic is the
Keccak-256 of the signature, `Transfer(source,target)` with the names sorted; then comes one topic
per indexed name in that order: its calldata, filled up with zeros to 32 bytes, or the Keccak-256 of
a longer one. The blob holds everything, the indexed values too.
"""

from __future__ import annotations

from .._machine.wire import to_plain
from ..py.calldata import encode
from ..py.keccak import keccak256
from .advanced import MAX_TOPICS, TOPIC_SIZE, emit_raw_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VARIADIC_POSITIONAL = 0x04


class Event:
    """The base of event classes; see this module."""

    name: str
    """The event's name: the class's, unless the class says otherwise."""
    indexed: tuple[str, ...]
    """The names of the indexed values, sorted."""
    signature: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" not in cls.__dict__:
            raise TypeError(f"{cls.__name__} needs def __init__(self, <indexed>, /, **blob): ...")
        cls._declared = _indexed_parameters(cls)
        cls.__init__ = Event.__init__
        cls.name = cls.__dict__.get("name", cls.__name__)
        cls.indexed = tuple(sorted(cls._declared))
        cls.signature = f"{cls.name}({','.join(cls.indexed)})"

    def __init__(self, *indexed: Any, **blob: Any) -> None:
        cls = type(self)
        if len(indexed) != len(cls._declared):
            names = ", ".join(cls._declared) or "none"
            raise TypeError(f"{cls.name} has the indexed values {names}; got {len(indexed)}")
        for name, value in zip(cls._declared, indexed, strict=True):
            if name in blob:
                raise TypeError(f"{cls.name}: {name} is given twice")
            blob[name] = value
        self._blob = blob

    def emit(self) -> None:
        """Emit the event: it leaves with the result, if the run returns."""
        topics = [keccak256(self.signature.encode())]
        topics += [_topic(self._blob[name]) for name in self.indexed]
        emit_raw_event(topics, self._blob)


def _indexed_parameters(cls: type) -> tuple[str, ...]:
    """Return the names of the positional-only parameters of the class's `__init__`, but `self`."""
    code = cls.__dict__["__init__"].__code__
    count = code.co_posonlyargcount
    if code.co_argcount > max(count, 1):
        raise TypeError(f"{cls.__name__}: write `/` after the indexed parameters of __init__")
    if code.co_kwonlyargcount or code.co_flags & _VARIADIC_POSITIONAL:
        raise TypeError(f"{cls.__name__}: __init__ takes indexed parameters, `/` and **blob only")
    if count > MAX_TOPICS:
        raise TypeError(f"{cls.__name__}: an event has at most {MAX_TOPICS - 1} indexed values")
    return code.co_varnames[1:count]


def _topic(value: Any) -> bytes:
    raw = encode(value, default=to_plain)
    return raw.ljust(TOPIC_SIZE, b"\0") if len(raw) <= TOPIC_SIZE else keccak256(raw)
