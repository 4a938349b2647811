"""Arguments and results of contracts as JSON: `genvm_manager.manager.local_node.json_form`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genvm_manager.manager.local_node.json_form import BadJson, parse, render
from genvm_manager.protocol.calldata import Address

ADDRESS = "0x1000000000000000000000000000000000000001"

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.binary(max_size=40)
    | st.text(max_size=20)
    | st.binary(min_size=20, max_size=20).map(Address),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["$bytes", "$map", "$int", "$address"]),
            inner,
            max_size=3,
        )
    ),
)


@given(values)
def test_what_is_rendered_parses_to_the_same_value(value: Any) -> None:
    assert parse(json.dumps(render(value))) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f'["{ADDRESS}"]', [ADDRESS]),
        (f'{{"$address": "{ADDRESS}"}}', Address(ADDRESS)),
        ('{"$bytes": "0x00ff"}', b"\x00\xff"),
        ('{"$bytes": "AP8="}', b"\x00\xff"),
        ('{"$int": "-0xff"}', -255),
        ('{"$map": {"$bytes": 1}}', {"$bytes": 1}),
        ('{"$bytes": "0x00", "b": 1}', {"$bytes": "0x00", "b": 1}),
        (str(2**256), 2**256),
    ],
)
def test_marks(text: str, value: Any) -> None:
    assert parse(text) == value


def test_an_int_too_long_for_decimals_travels_in_hex() -> None:
    huge = -(10**5000)
    assert render([huge]) == [{"$int": hex(huge)}]
    assert parse(json.dumps(render([huge]))) == [huge]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[1", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1.5]", "1.5: calldata has no floats"),
        ("[NaN]", "NaN: calldata has no floats"),
        ('[{"$bytes": "0x0"}]', "[0].$bytes: expected 0x and hex"),
        ('{"a": {"$bytes": 5}}', "a.$bytes: expected a string, got int"),
        ('{"a": [{"$address": "0x12"}]}', "a[0].$address: an address has 20 bytes"),
        ('{"$address": null}', "$address: expected a string"),
        ('{"$int": "twelve"}', "$int: expected 0x and hex"),
        ('{"$map": 1}', "$map: expected a map"),
        ("1" * 5000, "an int of 5000 digits"),
        ("[" * 200 + "]" * 200, "nested deeper than 128"),
    ],
)
def test_complaints_say_where(text: str, complaint: str) -> None:
    with pytest.raises(BadJson) as raised:
        parse(text)
    assert complaint in str(raised.value)
