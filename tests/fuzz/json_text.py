"""JSON as nobody should write it: repeated keys, odd escapes, numbers without end, deep nesting."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from . import odd_values


class Pairs(list[tuple[str, Any]]):
    """A map whose keys may be repeated."""


class Raw(str):
    """Text that goes into the document as it is."""

    __slots__ = ()


def json_text(value: Any) -> str:
    """Return `value` as JSON; lone surrogates are escaped, `Pairs` and `Raw` go as they are."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(key)}: {json_text(one)}" for key, one in value) + "}"
    if isinstance(value, dict):
        return json_text(Pairs(value.items()))
    if isinstance(value, list):
        return "[" + ", ".join(json_text(one) for one in value) + "]"
    return json.dumps(value)


def odd_json(random: Random, depth: int = 3) -> Any:
    """Return a value for `json_text`."""
    match random.randrange(7 if depth <= 0 else 10):
        case 0:
            return random.choice([None, True, False])
        case 1:
            return odd_values.number(random)
        case 2:
            return random.choice(_ODD_NUMBERS)
        case 3 | 4:
            return odd_values.text(random)
        case 5:
            return random.choice([[], {}, ""])
        case 6:
            return Raw(nested(random, random.choice([10, 100, 300, 1100, 20_000])))
        case 7 | 8:
            return [odd_json(random, depth - 1) for _ in range(random.randrange(4))]
        case _:
            count = random.randrange(4)
            return Pairs(
                (odd_values.text(random), odd_json(random, depth - 1)) for _ in range(count)
            )


def nested(random: Random, depth: int) -> str:
    """Return lists or maps in each other, whole or cut."""
    opening, inner, closing = random.choice([("[", "1", "]"), ('{"a":', "1", "}")])
    return opening * depth + inner + closing * random.choice([depth, depth, 0])


_ODD_NUMBERS = [
    Raw("1e400"), Raw("-1e-400"), Raw("NaN"), Raw("-Infinity"), Raw("1.0"), Raw("00"), Raw("+1"),
    Raw("0x10"), Raw("1" * 5000), Raw("-" + "9" * 4301), Raw("1e1000000000"), Raw("0.1e-99999999"),
]  # fmt: skip
