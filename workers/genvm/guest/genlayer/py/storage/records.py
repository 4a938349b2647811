"""Classes whose fields lie in storage: contracts, and what `@allow_storage` marks.

An instance is either bound to a place in a slot, and then each field is read and written there, or
free, and then its fields are ordinary attributes. Storing a free instance copies its fields in.
"""

from __future__ import annotations

from .layout import field_annotations, stored_type, type_name, type_variables
from .scalars import StoredType
from .slots import MemorySlot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .slots import Slot

_MISSING = object()
_PLACE = "_storage_place"


class Field:
    """The attribute of a class that reads and writes one storage field."""

    __slots__ = ("default", "name")

    def __init__(self, name: str, default: Any) -> None:
        self.name = name
        self.default = default

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            if self.default is not _MISSING:
                return self.default
            raise AttributeError(f"{owner.__name__}.{self.name} is a storage field of instances")
        held = instance.__dict__
        value = held.get(self.name, _MISSING)
        if value is not _MISSING:
            return value
        place = held.get(_PLACE)
        if place is None:
            return self._first_read(instance)
        slot, start, fields, _ = place
        kind, offset = fields[self.name]
        value = kind.read(slot, start + offset)
        if kind.view:
            held[self.name] = value
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        place = instance.__dict__.get(_PLACE)
        if place is None:
            instance.__dict__[self.name] = value
            return
        slot, start, fields, _ = place
        kind, offset = fields[self.name]
        try:
            kind.write(slot, start + offset, value)
        except (TypeError, ValueError, OverflowError) as error:
            error.add_note(f"while setting {type(instance).__name__}.{self.name}")
            raise

    def __delete__(self, instance: Any) -> None:
        raise AttributeError(f"{type(instance).__name__}.{self.name} cannot be deleted, only set")

    def _first_read(self, instance: Any) -> Any:
        """Return the default or the zero of a free instance's field, which was never set."""
        cls = type(instance)
        value = self.default
        if value is _MISSING:
            annotation = cls.__storage_fields__[self.name]
            value = stored_type(annotation).read(MemorySlot(), 0)
        instance.__dict__[self.name] = value
        return value


class RecordType(StoredType):
    """How the instances of one class lie in storage."""

    view = True

    def __init__(self, cls: type, bindings: dict[Any, Any] | None = None) -> None:
        self.cls = cls
        self.name = cls.__name__
        self.size = 0
        self.flat = True
        self.fields: dict[str, tuple[StoredType, int]] = {}
        for name, annotation in cls.__storage_fields__.items():
            try:
                kind = stored_type(annotation, bindings)
            except TypeError as error:
                raise TypeError(f"{self.name}.{name}: {error}") from None
            self.fields[name] = (kind, self.size)
            self.size += kind.size
            self.flat = self.flat and kind.flat

    def read(self, slot: Slot, offset: int) -> Any:
        """Return an instance whose fields lie at this place."""
        instance = self.cls.__new__(self.cls)
        instance.__dict__[_PLACE] = (slot, offset, self.fields, self)
        return instance

    def encode(self, slot: Slot, offset: int, value: Any) -> bytes:
        """Return the fields of `value` as they lie in place."""
        if not isinstance(value, self.cls):
            raise TypeError(f"{self.name} expected, got {type(value).__name__}")
        parts = []
        for name, (kind, at) in self.fields.items():
            try:
                parts.append(kind.encode(slot, offset + at, getattr(value, name)))
            except (TypeError, ValueError, OverflowError) as error:
                error.add_note(f"while storing {self.name}.{name}")
                raise
        return b"".join(parts)


class _Layouts(dict):
    """The `RecordType`s of one class, by the types that stand for its type variables.

    Each is made when it is first looked up.
    """

    def __init__(self, cls: type) -> None:
        self._cls = cls

    def __missing__(self, args: tuple[Any, ...]) -> RecordType:
        cls = self._cls
        variables = type_variables(cls)
        if len(variables) != len(args):
            names = ", ".join(type_name(variable) for variable in variables)
            raise TypeError(f"{cls.__name__} is generic: give its types, {cls.__name__}[{names}]")
        made = self[args] = RecordType(cls, dict(zip(variables, args, strict=True)))
        return made


def kind_of(instance: Any) -> RecordType:
    """Return how this instance is stored, or would be."""
    place = instance.__dict__.get(_PLACE)
    return place[3] if place else stored_type(type(instance))


def make_fields(cls: type) -> None:
    """Turn the annotated attributes of a class into storage fields."""
    annotations = field_annotations(cls)
    defaults = {name: cls.__dict__.get(name, _MISSING) for name in annotations}
    for name, default in defaults.items():
        kind = type(default).__name__
        if kind == "member_descriptor":
            raise TypeError(f"{cls.__name__}: a storage class has no __slots__")
        if kind == "Field" and not isinstance(default, Field):
            raise TypeError(f"{cls.__name__}: write @allow_storage above @dataclass")
        if not isinstance(default, Field):
            inherited = getattr_static(cls, name)
            keep = isinstance(inherited, Field) and default is _MISSING
            setattr(cls, name, inherited if keep else Field(name, default))
    cls.__storage_fields__ = annotations
    cls.__storage_layouts__ = _Layouts(cls)


def getattr_static(cls: type, name: str) -> Any:
    """Return the attribute as it stands in the class or a base, without asking descriptors."""
    return next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), None)


def field_defaults(cls: type) -> dict[str, Any]:
    """Return the storage fields that the class body gives a value: name -> value."""
    fields = {name: getattr_static(cls, name) for name in cls.__storage_fields__}
    return {name: field.default for name, field in fields.items() if field.default is not _MISSING}


def allow_storage(cls: type) -> type:
    """Class decorator: instances of `cls` may be stored.

    Its annotated attributes become storage fields. Works on dataclasses, on generic and on plain
    classes. `TypeError` names the class and the field whose type cannot be stored.
    """
    make_fields(cls)
    if not type_variables(cls):
        stored_type(cls)
    return cls


def bind(cls: type, slot: Slot, offset: int = 0) -> Any:
    """Return an instance of a class with storage fields whose fields lie at `offset` of `slot`."""
    return stored_type(cls).read(slot, offset)
