"""docs/spec/02-calldata.md: the published vectors, and what holds for all values and all bytes."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genvm_manager.protocol.calldata import (
    MAX_DEPTH,
    MAX_VALUES,
    Address,
    DecodeError,
    EncodeError,
    decode,
    encode,
    encoded,
)
from tests.support.vectors import from_vector

VECTORS = json.loads((Path(__file__).parent / "calldata-vectors.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda vector: vector["hex"][:24])
def test_valid_vectors(vector: dict[str, Any]) -> None:
    value, encoded = from_vector(vector["value"]), bytes.fromhex(vector["hex"])
    assert encode(value) == encoded
    decoded = decode(encoded)
    assert decoded == value
    assert encode(decoded) == encoded


@pytest.mark.parametrize("vector", VECTORS["invalid"], ids=lambda vector: vector["why"])
def test_invalid_vectors(vector: dict[str, Any]) -> None:
    # An oracle without a depth limit accepts the deeply nested one; the limit is in
    # docs/spec/02-calldata.md.
    with pytest.raises(DecodeError) as caught:
        decode(bytes.fromhex(vector["hex"]))
    assert 0 <= caught.value.offset <= len(vector["hex"]) // 2


texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**700), max_value=2**700)
    | st.binary()
    | texts
    | st.binary(min_size=20, max_size=20).map(Address)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=30,
)


@given(values)
def test_what_is_encoded_decodes_to_the_same(value: Any) -> None:
    decoded = decode(encode(value))
    assert decoded == value
    assert encode(decoded) == encode(value)


@given(st.binary(max_size=200))
def test_any_bytes_decode_to_their_one_value_or_are_refused(data: bytes) -> None:
    try:
        value = decode(data)
    except DecodeError as error:
        assert 0 <= error.offset <= len(data)
    else:
        assert encode(value) == data


@given(values, st.data())
def test_damaged_calldata_is_refused_or_canonical(value: Any, data: st.DataObject) -> None:
    encoded = bytearray(encode(value))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DecodeError):
        assert encode(decode(encoded)) == bytes(encoded)


@pytest.mark.parametrize("bits", [1, 6, 7, 8, 55, 56, 57, 63, 64, 503, 504, 505, 511, 512, 513])
@pytest.mark.parametrize("nudge", [-1, 0, 1])
def test_numbers_at_the_borders_of_the_fast_paths(bits: int, nudge: int) -> None:
    for number in ((1 << bits) + nudge, -(1 << bits) + nudge):
        assert decode(encode(number)) == number


def test_a_number_of_a_megabyte_takes_linear_time() -> None:
    number = (1 << (8 << 20)) - 3
    assert decode(encode(number)) == number


@pytest.mark.parametrize("size", [8191, 8192, 8193, 16_384, 50_001])
def test_numbers_at_the_borders_of_the_blocks(size: int) -> None:
    for number in (1 << 7 * size, (1 << 7 * size - 3) - 1, -(0x5A5A5A << 7 * size - 20)):
        written = encode(number)
        assert decode(written) == number
        head = number << 3 | 1 if number >= 0 else ~number << 3 | 2
        shifted = [head >> at & 0x7F | 0x80 for at in range(0, head.bit_length(), 7)]
        shifted[-1] &= 0x7F
        assert written == bytes(shifted)


def count(value: Any) -> int:
    match value:
        case list():
            return len(value) + sum(map(count, value))
        case dict():
            return 2 * len(value) + sum(map(count, value.values()))
    return 0


@given(values)
def test_values_are_counted_alike_on_both_sides(value: Any) -> None:
    most = count(value)
    written = encode(value, max_values=most)
    assert decode(written, max_values=most) == value
    assert encoded(value).values == most
    if most:
        with pytest.raises(EncodeError, match=f"more than {most - 1} values"):
            encode(value, max_values=most - 1)
        with pytest.raises(DecodeError, match=f"more than {most - 1} values"):
            decode(written, max_values=most - 1)


@given(values)
def test_what_was_encoded_before_stands_for_its_value(value: Any) -> None:
    part = encoded(value)
    assert encode([1, part, {"a": part}]) == encode([1, value, {"a": value}])
    assert encoded([part]).values == 1 + part.values


@pytest.mark.parametrize("item", [{}, [], None, b"", -1])
@pytest.mark.parametrize("form", [list, dict])
def test_millions_of_small_values_are_refused_before_any_is_made(item: Any, form: type) -> None:
    size = 1 << 23
    head = size << 3 | (5 if form is list else 6)
    groups = [head >> at & 0x7F | 0x80 for at in range(0, head.bit_length(), 7)]
    groups[-1] &= 0x7F
    body = bytes(groups) + (encode(item) if form is list else b"\0" + encode(item)) * size
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match=f"more than {MAX_VALUES} values at offset 0"):
            decode(body)
        assert tracemalloc.get_traced_memory()[1] < 1 << 16
    finally:
        tracemalloc.stop()


def test_as_many_values_as_are_allowed_pass() -> None:
    value: list[Any] = [{}] * MAX_VALUES
    assert len(decode(encode(value))) == MAX_VALUES
    with pytest.raises(EncodeError, match="more than"):
        encode([*value, 1])


def test_nesting_is_bounded_on_both_sides() -> None:
    value: Any = None
    for _ in range(MAX_DEPTH):
        value = [value]
    assert decode(encode(value)) == value
    with pytest.raises(EncodeError, match="deeper than 128"):
        encode([value])
    with pytest.raises(DecodeError, match="deeper than 128"):
        decode(b"\x0d" * (MAX_DEPTH + 1) + b"\0")
    with pytest.raises(DecodeError):
        decode(b"\x0d" * 1_000_000)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(EncodeError):
        encode(endless)


@pytest.mark.parametrize(
    "bomb",
    [
        encode(1 << 4000)[:-1],
        bytes([0x80 | 5]) + b"\xff" * 9000 + b"\x7f",
        bytes([0x80 | 6]) + b"\xff" * 9000 + b"\x7f",
        bytes([0x80 | 3]) + b"\xff" * 9000 + b"\x7f",
        bytes([0x80 | 4]) + b"\xff" * 9000 + b"\x7f",
        bytes([0x80 | 0]) + b"\xff" * 9000 + b"\x7f",
        bytes([0x80 | 7]) + b"\xff" * 9000 + b"\x7f",
    ],
)
def test_absurd_lengths_are_refused_before_anything_is_allocated(bomb: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(bomb)


@dataclass
class Point:
    """A dataclass, which is encoded as a map."""

    y: int
    x: int


class Token(str):
    """A subclass of a type of calldata."""

    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "same_as"),
    [
        (Point(y=1, x=2), {"x": 2, "y": 1}),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        ((1, (2,)), [1, [2]]),
        (range(3), [0, 1, 2]),
        (Token("t"), "t"),
    ],
)
def test_relatives_of_the_types_encode_as_them(value: Any, same_as: Any) -> None:
    assert encode(value) == encode(same_as)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.5, "float has no calldata"),
        ({"a": [0, 2.5]}, r"\.a\[1\]: float has no calldata"),
        ({1: 2}, "map keys are str, got int"),
        ("\ud800", "lone surrogate"),
        ({"\ud800": 1}, "lone surrogate"),
        (object(), "object has no calldata"),
        ({1, 2}, "set has no calldata"),
    ],
)
def test_what_calldata_cannot_hold_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(EncodeError, match=message):
        encode(value)


ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"  # from EIP-55


def test_addresses() -> None:
    address = Address(ADDRESS.lower())
    assert str(address) == address.as_hex == f"{address}" == ADDRESS
    assert Address(address.as_bytes) == Address(address.as_b64) == Address(address) == address
    assert len({address, Address(ADDRESS)}) == 1
    low, high = Address(b"\0" * 20), Address(b"\1" * 20)
    assert low < high and low <= high and high > low and sorted([high, low]) == [low, high]
    assert address != ADDRESS
    assert eval(repr(address), {"Address": Address}) == address


@pytest.mark.parametrize("wrong", ["0x12", "0x" + "g" * 40, "", "hello", b"short", "=" * 28])
def test_what_is_no_address_is_refused(wrong: str | bytes) -> None:
    with pytest.raises(ValueError, match="address"):
        Address(wrong)
    with pytest.raises(TypeError, match="made of bytes or str"):
        Address(5)  # type: ignore[arg-type]
