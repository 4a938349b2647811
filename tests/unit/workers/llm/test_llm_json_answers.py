"""The object in a model's answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genvm_manager.protocol import calldata
from genvm_manager.workers.llm.json_answers import MAX_DEPTH, MAX_TEXT, object_in


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('\n```json\n{"a": [true, null, "x"]}\n```\n', {"a": [True, None, "x"]}),
        ('Sure! Here it is:\n{"a": {"b": {}}}\nI hope {that} helps.', {"a": {"b": {}}}),
        ('{"a": "line\nbreak"}', {"a": "line\nbreak"}),
        ('{"a": "}{", "b": "\\"}"}', {"a": "}{", "b": '"}'}),
        ('{"schön": "日本語 🙂"}', {"schön": "日本語 🙂"}),
        ('{"a": "\\ud83d\\ude42", "b": "\\ud800!"}', {"a": "🙂", "b": "\ufffd!"}),
        ("{}", {}),
    ],
)
def test_the_object_is_found(answer: str, value: Any) -> None:
    assert object_in(answer) == value


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("7", 7),
        ("-7", -7),
        (str(2**300), 2**300),
        ("0.5", "0.5"),
        ("-1.50e-3", "-1.50e-3"),
        ("3.0", 3),
        ("-2e2", -200),
        ("1e77", 10**77),
        ("1e78", "1e78"),
        ("1e99999999999999999999", "1e99999999999999999999"),
        ("-0.0", 0),
    ],
)
def test_numbers_that_are_not_whole_are_text(number: str, value: Any) -> None:
    found = object_in(f'{{"n": {number}}}')["n"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("", "found none"),
        ("yes", "found none"),
        ("true", "found none"),
        ('[{"a": 1}]', "found none"),
        ('{"a": 1', "found none"),
        ('{"a": NaN}', "found none"),
        ('{"a": 1}\n{"a": 2}', "found more"),
        ("{" * 100_000, "found none"),
        ('{"a":' * 100_000, "too deep"),
        ('{"a":' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}", "deeper than"),
        (" " * MAX_TEXT + "{}", "longer than"),
        ('{"n": ' + "9" * 5_000 + "}", "found none"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_object(answer: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        object_in(answer)


KEYS = st.text(max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.text("ab `\n", max_size=20), st.booleans())
def test_any_object_becomes_calldata(value: dict[str, Any], around: str, is_ascii: bool) -> None:
    found = object_in(f"{around}{json.dumps(value, ensure_ascii=is_ascii)}{around}")
    assert found.keys() == value.keys() or any("\ufffd" in key for key in found)
    assert calldata.decode(calldata.encode({"Ok": {"data": found}})) == {"Ok": {"data": found}}


@given(st.text())
def test_any_text_is_an_object_or_refused(answer: str) -> None:
    try:
        found = object_in(answer)
    except ValueError:
        return
    calldata.encode(found)  # Outside: its errors are a `ValueError` as well.
