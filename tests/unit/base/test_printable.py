"""Text of others is shown without steering what shows it."""

from __future__ import annotations

import json
import logging
import sys
import unicodedata

import pytest

from genvm_manager.base.logging.lines import formatter
from genvm_manager.base.text.printable import printable, printable_json, printable_lines
from genvm_manager.manager.cli.rendering.formatting import json_text

UNSEEN = {
    "\0": r"\x00",
    "\n": r"\x0a",
    "\r": r"\x0d",
    "\x0b": r"\x0b",
    "\x1b[31m": r"\x1b[31m",
    "\x7f": r"\x7f",
    "\x85": r"\x85",
    "\x9b1m": r"\x9b1m",
    "\xad": r"\xad",
    "\u061c": r"\u061c",
    "\u200b": r"\u200b",
    "\u200d": r"\u200d",
    "\u202e": r"\u202e",
    "\u2028": r"\u2028",
    "\u2029": r"\u2029",
    "\u2066": r"\u2066",
    "\u3164": r"\u3164",
    "\ufeff": r"\ufeff",
    "\ud800": r"\ud800",
    "\U000e0041": r"\U000e0041",
}


@pytest.mark.parametrize(("text", "shown"), UNSEEN.items())
def test_what_is_not_seen_is_shown_escaped(text: str, shown: str) -> None:
    assert printable(f"a{text}b") == f"a{shown}b"
    again = printable_json(json.dumps([f"a{text}b"], ensure_ascii=False))
    assert json.loads(again) == [f"a{text}b"]
    assert len(again.splitlines()) == 1
    assert not any(unicodedata.category(each) in ("Cc", "Cf", "Zl") for each in again)


def test_what_is_seen_stays() -> None:
    text = "Grüße, 你好, שלום 🙂 1\xa0000\t\\x1b"
    assert printable(text) == text
    assert printable_lines(f"{text}\n{text}") == f"{text}\n{text}"
    assert json_text({"a": "ü\u202e"}) == '{"a":"ü\\u202e"}'


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_value_makes_a_line_of_a_log(form: str) -> None:
    forged = "x\n2026-01-31T12:00:00Z error forged\x85\u2028\x1b[31m\u202e\u3164"
    record = logging.LogRecord("test", logging.ERROR, "", 0, f"GET /{forged}", None, None)
    record.fields = {"reason": forged, "short": "\u202e", "filler": "\u3164"}
    try:
        raise ValueError(forged)
    except ValueError:
        record.exc_info = sys.exc_info()
    text = formatter(form, "tests").format(record)  # type: ignore[arg-type]
    lines = text.splitlines()
    assert lines == text.split("\n")
    assert not any(each.startswith("2026-01-31") for each in lines)
    assert not {"\x1b", "\u202e", "\u2028", "\x85", "\u3164"} & set(text)
