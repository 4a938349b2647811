"""`gl.Event`: events, by which programs outside the chain follow a contract.

    class Transfer(gl.Event):
        def __init__(self, source: Address, target: Address, /, **blob): ...

    Transfer(sender, receiver, amount=5).emit()

The positional parameters are indexed: an event can be found by them. Source:
docs/spec/07-python-sdk.md#8-events.
"""

from __future__ import annotations

from ..py.calldata import encode
from ..py.keccak import keccak256
from .advanced import emit_raw_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("Event",)

_TOPIC_SIZE = 32
_VARIADIC_POSITIONAL = 0x04  # CO_VARARGS


class Event:
    """The base of event classes; see this module.

    The values given by position belong to `indexed` in its order, which is that of the alphabet and
    not that of the declaration. Any keyword is taken; keywords and indexed values are the blob.
    """

    name: str
    """The event's name: the class's, unless the class says otherwise."""
    indexed: tuple[str, ...]
    """The names of the indexed values, sorted."""
    signature: str
    """`name(a,b)` with the names of the indexed values, sorted."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.indexed = tuple(sorted(_indexed_parameters(cls)))
        cls.name = cls.__dict__.get("name", cls.__name__)
        cls.signature = f"{cls.name}({','.join(cls.indexed)})"
        cls.__init__ = Event.__init__

    def __init__(self, /, *indexed: Any, **blob: Any) -> None:
        names = self.indexed
        if len(indexed) != len(names):
            listed = ", ".join(names) or "none"
            raise TypeError(f"{self.name} has the indexed values {listed}; got {len(indexed)}")
        for name, value in zip(names, indexed, strict=True):
            if name in blob:
                raise TypeError(f"{self.name}: {name} is given twice")
            blob[name] = value
        self._blob = blob

    def emit(self) -> None:
        """Emit the event: it leaves with the result, if the run returns.

        The first topic is the Keccak-256 of the signature; then one per indexed name: its calldata,
        filled up with zeros to 32 bytes, or the Keccak-256 of a longer one. An event of more than
        three indexed values is refused: `SystemError('2: inval')`.
        """
        topics = [keccak256(self.signature.encode())]
        topics += [_topic(self._blob[name]) for name in self.indexed]
        emit_raw_event(topics, self._blob)


def _indexed_parameters(cls: type) -> tuple[str, ...]:
    """Return the names of the positional-only parameters of the class's `__init__`, but `self`."""
    declared = cls.__dict__.get("__init__")
    if declared is None:
        raise AssertionError(
            f"{cls.__name__} needs def __init__(self, <indexed>, /, **blob): ... of its own"
        )
    code = declared.__code__
    if code.co_kwonlyargcount or code.co_flags & _VARIADIC_POSITIONAL:
        raise TypeError(f"{cls.__name__}: __init__ takes indexed parameters, `/` and **blob only")
    if code.co_argcount == 0 or code.co_varnames[0] != "self":
        raise TypeError(f"{cls.__name__}: the first parameter of __init__ is self")
    if code.co_argcount > max(code.co_posonlyargcount, 1):
        raise TypeError(
            f"{cls.__name__}: `/` ends the parameters of __init__, all of which are indexed; what "
            "is not indexed is no parameter: write **blob, and give it by name"
        )
    return code.co_varnames[1 : code.co_argcount]


def _topic(value: Any) -> bytes:
    raw = encode(value)
    return raw.ljust(_TOPIC_SIZE, b"\0") if len(raw) <= _TOPIC_SIZE else keccak256(raw)
