"""Arrays as text, in the form that numpy prints them."""

from __future__ import annotations

import math

from ._types import BOOL, FLOAT64, INT64, digits

_WIDTH = 75
_THRESHOLD = 1000
_EDGE = 3
_PRECISION = 8


def array_str(array):
    """Return what `str` gives for an array: `[1. 2.]`."""
    if not array.ndim:
        return str(array[()])
    return _nested(array, _formatter(array), "", " ", _WIDTH)


def array_repr(array):
    """Return what `repr` gives for an array: `array([1., 2.], dtype=float32)`."""
    text = f"array({_body(array)}"
    is_implied = array.dtype in (FLOAT64, INT64, BOOL) and array.size
    if is_implied:
        return f"{text})"
    named = f"dtype={array.dtype.name})"
    if len(text.rpartition("\n")[2]) + len(named) + 2 > _WIDTH:
        return f"{text},\n{' ' * len('array(')}{named}"
    return f"{text}, {named}"


def _body(array):
    if not array.ndim:
        return _formatter(array)(array.item())
    if not array.size:
        return "[]" if array.shape == (0,) else f"[], shape={array.shape}"
    return _nested(array, _formatter(array), "array(", ", ", _WIDTH - 1)


def _nested(array, shown, indent, separator, width):
    """Return the text of an array, each row on lines of its own."""
    pad = " " * len(indent)
    is_short = array.size > _THRESHOLD
    if array.ndim == 1:
        words = [shown(value) for value in _edges(array, is_short)]
        if is_short and len(array) > 2 * _EDGE:
            words.insert(_EDGE, "...")
        return _lines(words, separator, pad + " ", width)
    rows = [_nested(row, shown, indent + " ", separator, width) for row in _edges(array, is_short)]
    if is_short and len(array) > 2 * _EDGE:
        rows.insert(_EDGE, "...")
    return f"[{(separator.rstrip() + chr(10) * (array.ndim - 1) + pad + ' ').join(rows)}]"


def _edges(array, is_short):
    if not is_short or len(array) <= 2 * _EDGE:
        return list(array.tolist() if array.ndim == 1 else array)
    ends = [*array[:_EDGE], *array[-_EDGE:]]
    return [each.item() for each in ends] if array.ndim == 1 else ends


def _lines(words, separator, pad, width):
    lines, line = [], pad
    for at, word in enumerate(words):
        is_last = at == len(words) - 1
        if len(line) + len(word) + (1 if is_last else len(separator.rstrip())) > width and (
            line != pad
        ):
            lines.append(line.rstrip())
            line = pad
        line += word if is_last else word + separator
    lines.append(line)
    return f"[{chr(10).join(lines)[len(pad) :]}]"


def _formatter(array):
    """Return the function that shows one number, all of them with the same width."""
    values = array.ravel().tolist()
    if array.size > _THRESHOLD:
        values = values[: _EDGE * 2] + values[-_EDGE * 2 :]
    if array.dtype.kind != "f":
        width = max((len(str(value)) for value in values), default=0)
        return lambda value: str(value).rjust(width)
    shown = _exponential(array, values) if _is_wide(values) else _positional(array, values)
    width = max((len(shown(value)) for value in values), default=0)
    return lambda value: shown(value).rjust(width)


def _is_wide(values):
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    if not sizes:
        return False
    return max(sizes) >= 1e8 or min(sizes) < 1e-4 or max(sizes) / min(sizes) > 1000


def _positional(array, values):
    texts = {}
    for value in values:
        texts[value] = _parted(array.dtype, value) if math.isfinite(value) else None
    places = max((len(parts[1]) for parts in texts.values() if parts), default=0)

    def shown(value):
        parts = texts.get(value)
        if parts is None:
            return str(value)
        return f"{parts[0]}.{parts[1]}".ljust(len(parts[0]) + 1 + places)

    return shown


def _parted(of, value):
    """Return the digits before and behind the point, `_PRECISION` behind it at most."""
    text = digits(of, value)
    whole, _, rest = (text if "e" not in text else f"{float(text):.20f}").partition(".")
    if len(rest) > _PRECISION:
        whole, _, rest = f"{float(text):.{_PRECISION}f}".partition(".")
    return whole, rest.rstrip("0")


def _exponential(array, values):
    def parts(value):
        mantissa, _, exponent = f"{float(digits(array.dtype, value)):.{_PRECISION}e}".partition("e")
        whole, _, rest = mantissa.partition(".")
        return whole, rest.rstrip("0"), exponent

    finite = [parts(value) for value in values if math.isfinite(value)]
    places = max((len(rest) for _, rest, _ in finite), default=0)

    def shown(value):
        if not math.isfinite(value):
            return str(value)
        whole, rest, exponent = parts(value)
        return f"{whole}.{rest.ljust(places, '0')}e{exponent}"

    return shown
