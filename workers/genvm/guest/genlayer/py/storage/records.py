"""Classes whose fields lie in storage: contracts, and what `@allow_storage` marks.

A class is laid out when a contract (or `inmem_allocate`) first uses it. From then on its fields are
attributes that read and write storage: of an instance that was read from somewhere at that place,
of any other one in a memory of its own (docs/spec/08-storage-layout.md#records).
"""

from __future__ import annotations

from .hints import field_annotations, type_variables
from .layout import MARK, stored_type
from .slots import memory_slot
from .stored_type import StoredType, joined, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .slots import Slot

_PLACE = "__gl_place__"
"""Where an instance keeps its slot, the offset of its first field, and its `RecordType`."""


class RecordType(StoredType):
    """How the instances of one class lie in storage, with `args` for its type variables."""

    def __init__(self, cls: type, args: tuple[Any, ...]) -> None:
        self.cls = cls
        self.name = cls.__name__
        self._args = args
        self.fields: dict[str, tuple[StoredType, int]] = {}
        self.size = 0
        bindings = dict(zip(type_variables(cls), args, strict=False))  # none for the bare class
        for name, annotation in field_annotations(cls, bindings).items():
            try:
                kind = stored_type(annotation)
            except TypeError as error:
                raise TypeError(f"{self.name}.{name}: {error}") from None
            self.fields[name] = (kind, self.size)
            self.size += kind.size
        self.steps = joined(kind for kind, _ in self.fields.values())
        self.is_movable = self.is_plain

    def read(self, slot: Slot, offset: int) -> Any:
        """Return an instance whose fields lie at this place."""
        instance = self.cls.__new__(self.cls)
        instance.__dict__[_PLACE] = (slot, offset, self)
        return instance

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Copy an instance of a class of the same fields. Raises `AssertionError` for others."""
        place = place_of(value)
        if place is None or not self.same_as(place[2]):
            raise AssertionError(f"{self.name} expected, got {shown(value)}")
        self.copy(place[0], place[1], slot, offset)

    def same_as(self, other: StoredType) -> bool:
        """Return whether names, types and offsets of the fields are the same."""
        if self is other:
            return True
        if not isinstance(other, RecordType) or list(self.fields) != list(other.fields):
            return False
        pairs = zip(self.fields.values(), other.fields.values(), strict=True)
        return all(mine[1] == their[1] and mine[0].same_as(their[0]) for mine, their in pairs)

    def __reduce__(self) -> tuple[Any, ...]:
        return record_type, (self.cls, self._args)


class Field:
    """The attribute of a class that reads and writes one of its fields."""

    __slots__ = ("name", "owner")

    def __init__(self, name: str, owner: type) -> None:
        self.name = name
        self.owner = owner

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        slot, start, record = instance.__dict__.get(_PLACE) or _allocate(instance, self.owner)
        kind, offset = record.fields[self.name]
        return kind.read(slot, start + offset)

    def __set__(self, instance: Any, value: Any) -> None:
        slot, start, record = instance.__dict__.get(_PLACE) or _allocate(instance, self.owner)
        kind, offset = record.fields[self.name]
        try:
            kind.write(slot, start + offset, value)
        except Exception as error:
            error.add_note(f"while setting {type(instance).__name__}.{self.name}")
            raise

    def __delete__(self, instance: Any) -> None:
        raise AttributeError(f"{type(instance).__name__}.{self.name} cannot be deleted, only set")


_LAYOUTS: dict[tuple[type, tuple[Any, ...]], RecordType] = {}


def record_type(cls: type, args: tuple[Any, ...] = ()) -> RecordType:
    """Return the layout of a class; its fields become `Field`s when it is first laid out.

    `args` stand for its type variables. Raises `TypeError` for a field that cannot be stored.
    """
    found = _LAYOUTS.get((cls, args))
    if found is None:
        found = RecordType(cls, args)
        for name in found.fields:
            _check_attribute(cls, name)
            setattr(cls, name, Field(name, cls))
        if cls.__setattr__ is object.__setattr__:
            cls.__setattr__ = _set_attribute
        _LAYOUTS[cls, args] = found
    return found


def _set_attribute(instance: Any, name: str, value: Any) -> None:
    """Set an attribute; warn of one that is no field, because its value will be gone."""
    object.__setattr__(instance, name, value)
    if name in instance.__dict__ and not name.startswith("__"):
        from ..._machine.undeclared import warn_of_attribute

        warn_of_attribute(type(instance), name)


def _check_attribute(cls: type, name: str) -> None:
    if type(cls.__dict__.get(name)).__name__ == "member_descriptor":
        raise TypeError(f"{cls.__name__}: a storage class has no __slots__")


def place_of(value: Any) -> tuple[Slot, int, RecordType] | None:
    """Return where the fields of an instance lie; None for any other value."""
    if isinstance(value, type) or not hasattr(value, "__dict__"):
        return None
    place = value.__dict__.get(_PLACE)
    if place is None:
        for base in type(value).__mro__:
            if (base, ()) in _LAYOUTS:
                return _allocate(value, base)
    return place


def _allocate(instance: Any, owner: type) -> tuple[Slot, int, RecordType]:
    """Give an instance a memory of its own, and put there what its fields held before.

    `owner` is the class that is laid out, its own or a base.
    """
    record = _LAYOUTS.get((type(instance), ())) or record_type(owner)
    held = instance.__dict__
    place = held[_PLACE] = (memory_slot(), 0, record)
    for name in record.fields:
        if name in held:
            Field(name, owner).__set__(instance, held.pop(name))
    return place


def allow_storage(cls: type) -> type:
    """Class decorator: instances of `cls` may be stored.

    Works on dataclasses, on generic and on plain classes. A field that cannot be stored is refused
    by the contract class that uses it.
    """
    setattr(cls, MARK, staticmethod(record_type))
    return cls


def instance_of(cls: type, slot: Slot) -> Any:
    """Return an instance of `cls`, such as the contract, whose fields lie in `slot`."""
    return record_type(cls).read(slot, 0)
