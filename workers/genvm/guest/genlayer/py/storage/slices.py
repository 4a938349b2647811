"""What few contracts do with a `DynArray`: set slices, and delete in its middle.

Source of the order of writes: docs/spec/08-storage-layout.md#dynarray-writes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def delete(array: Any, chosen: range) -> None:
    """Delete the items at the positions `chosen`, which ascend: the others move up, one by one."""
    length, to = len(array), chosen[0]
    if chosen.step == 1:
        array._move(chosen.stop, to, length - chosen.stop)
    else:
        for position in range(to, length):
            if position not in chosen:
                array._move(position, to, 1)
                to += 1
    array._set_length(length - len(chosen))


def set_slice(array: Any, index: slice, values: list[Any]) -> None:
    """Do `array[index] = values` as a list does it."""
    length = len(array)
    start, stop, step = index.indices(length)
    if step != 1:
        _set_each(array, range(start, stop, step), values)
        return
    stop = max(start, stop)
    common, more = stop - start, len(values) - (stop - start)
    for position, value in enumerate(values[:common], start):
        array._write(position, value)
    if more < 0:
        delete(array, range(start + len(values), stop))
    elif more > 0:
        array._move(stop, stop + more, length - stop)
        for position, value in enumerate(values[common:], stop):
            array._write(position, value)
        array._set_length(length + more)


def _set_each(array: Any, places: range, values: list[Any]) -> None:
    if len(places) != len(values):
        raise ValueError(
            f"attempt to assign sequence of size {len(values)} to extended slice of size "
            f"{len(places)}"
        )
    for position, value in zip(places, values, strict=True):
        array._write(position, value)
