"""How numbers and arrays of numpy lie in storage: their native bytes."""

from __future__ import annotations

import numpy as np

from .hints import literal_length
from .stored_type import StoredType, interned, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .slots import Slot

_SCALARS = (
    *(np.uint8, np.uint16, np.uint32, np.uint64),
    *(np.int8, np.int16, np.int32, np.int64),
    *(np.float32, np.float64),
)
_EXAMPLE = "np.ndarray[tuple[Literal[384]], np.dtype[np.float32]]"


class NumpyScalar(StoredType):
    """A number of numpy."""

    is_movable = True

    def __init__(self, of: type) -> None:
        self.name = of.__name__
        self._of = of
        self.size = np.dtype(of).itemsize
        self.steps = (self.size,)

    def read(self, slot: Slot, offset: int) -> Any:
        """Return the number at this place."""
        return np.frombuffer(slot.read(offset, self.size), self._of)[0]

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Put a number at this place."""
        slot.write(offset, self._of(value).tobytes())

    def __reduce__(self) -> tuple[Any, ...]:
        return interned, (NumpyScalar, self._of)


class NumpyArray(StoredType):
    """An array of numpy of fixed shape, row by row."""

    is_movable = True

    def __init__(self, of: type, shape: tuple[int, ...]) -> None:
        self.name = f"ndarray{list(shape)} of {of.__name__}"
        self._of = of
        self._shape = shape
        self.size = np.dtype(of).itemsize
        for length in shape:
            self.size *= length
        self.steps = (self.size,) if self.size else ()

    def read(self, slot: Slot, offset: int) -> Any:
        """Return a copy of the array at this place."""
        raw = bytearray(slot.read(offset, self.size))
        return np.frombuffer(raw, self._of).reshape(self._shape)

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Put an array of the same shape at this place. Raises `AssertionError` for others."""
        array = np.asarray(value, self._of)
        if array.shape != self._shape:
            raise AssertionError(f"{self.name} expected, got {shown(value)}")
        slot.write(offset, array.tobytes())

    def __reduce__(self) -> tuple[Any, ...]:
        return interned, (NumpyArray, self._of, self._shape)


def numpy_type(annotation: Any) -> StoredType | None:
    """Return how values with this annotation are stored; None for what is not of numpy."""
    if annotation in _SCALARS:
        return interned(NumpyScalar, annotation)
    if getattr(annotation, "__origin__", None) is not np.ndarray:
        return None
    shape, dtype = annotation.__args__
    of = dtype.__args__[0]
    if getattr(shape, "__origin__", None) is not tuple or of not in _SCALARS:
        raise TypeError(f"an array is stored as in {_EXAMPLE}, got {annotation!r}")
    lengths = tuple(literal_length(length, _EXAMPLE) for length in shape.__args__)
    return interned(NumpyArray, of, lengths)
