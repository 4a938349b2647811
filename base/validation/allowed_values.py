"""Which values a field of a struct may have, for errors about another one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec.inspect as types

_STEP = re.compile(r"\[|[^.\[\]]+")


def allowed_values(kind: type, path: str) -> list[str]:
    """Return the words that are allowed at a place in `kind`, as `modules[0]` or `selector.kind`.

    Empty when they cannot be listed: the place has no words, or is not found.
    """
    places = [types.type_info(kind)]
    for step in _STEP.findall(path.replace("[...]", "[").rstrip("]")):
        if step.isdigit():
            continue
        places = [inner for place in _alternatives(places) for inner in _inner(place, step)]
    return [str(word) for place in _alternatives(places) for word in _words(place)]


def _alternatives(places: Iterable[types.Type]) -> Iterator[types.Type]:
    for described in places:
        # A field with a description is wrapped in another type.
        place = described.type if isinstance(described, types.Metadata) else described
        yield from place.types if isinstance(place, types.UnionType) else (place,)


def _inner(place: types.Type, step: str) -> Iterator[types.Type]:
    """Yield the types inside a place: of the field `step`, or of any item if it is a bracket."""
    if isinstance(place, types.StructType):
        yield from (field.type for field in place.fields if field.encode_name == step)
    elif isinstance(place, (types.CollectionType, types.DictType)) and step == "[":
        yield place.item_type if isinstance(place, types.CollectionType) else place.value_type


def _words(place: types.Type) -> Iterable[Any]:
    if isinstance(place, types.EnumType):
        return [member.value for member in place.cls]
    return place.values if isinstance(place, types.LiteralType) else ()
