"""What every type of a storage field can do, and how values are copied."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .slots import Slot


class StoredType:
    """How values of one type lie in storage: `size` bytes at an offset of a slot.

    `steps` say how a value is copied: a number stands for as many plain bytes, a type for something
    that its `copy` has to do. `is_movable` types give back the bytes that were read when a value is
    read and written elsewhere.
    """

    name: str
    size: int
    steps: tuple[int | StoredType, ...]
    is_movable = False

    @property
    def is_plain(self) -> bool:
        """Whether a copy of a value is one write of its bytes."""
        return self.steps == (self.size,)

    def read(self, slot: Slot, offset: int) -> Any:
        """Return the value at this place, or a view of it."""
        raise NotImplementedError

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Put `value` at this place."""
        raise NotImplementedError

    def copy(self, source: Slot, start: int, target: Slot, to: int) -> None:
        """Copy the value at `start` of `source` to `to` of `target`."""
        for step in self.steps:
            if isinstance(step, int):
                target.write(to, source.read(start, step))
                size = step
            else:
                step.copy(source, start, target, to)
                size = step.size
            start += size
            to += size

    def same_as(self, other: StoredType) -> bool:
        """Return whether values of `other` can be assigned."""
        return self is other


_INTERNED: dict[tuple[Any, ...], StoredType] = {}


def interned(make: type[StoredType], *parts: Any) -> StoredType:
    """Return `make(*parts)`, the same object for the same parts."""
    key = make, *parts
    found = _INTERNED.get(key)
    if found is None:
        found = _INTERNED[key] = make(*parts)
    return found


def joined(types: Iterable[StoredType]) -> tuple[int | StoredType, ...]:
    """Return the steps that copy neighbours of these types, runs of plain bytes as one."""
    steps: list[int | StoredType] = []
    for kind in types:
        for step in kind.steps:
            if isinstance(step, int) and steps and isinstance(steps[-1], int):
                steps[-1] += step
            else:
                steps.append(step)
    return tuple(steps)


def shown(value: Any) -> str:
    """Return a value of the wrong type, as messages show it."""
    return f"{type(value).__name__} {value!r:.80}"


def view(kind: StoredType, slot: Slot, offset: int) -> Any:
    """Return what `kind` reads at this place; by it a view is found again in another machine."""
    return kind.read(slot, offset)
