"""How a prompt is made plain."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genvm_manager.workers.llm.normalise import MAX_MARKS, normalise, without_invisible


@pytest.mark.parametrize(
    ("prompt", "plain"),
    [
        ("", ""),
        (" \t\n ", ""),
        ("\u200b\ufeff\u00ad", ""),
        ("  how\t\tare \r\n\n you\n", "how are you"),
        ("a\u00a0b\u3000c\u2003d", "a b c d"),
        ("ign\u200bore\u2060 this\u202e", "ignore this"),
        ("hidden\U000e0041\U000e0042 tags", "hidden tags"),
        ("ｆｕｌｌ ｗｉｄｔｈ ① ﬁ", "full width 1 fi"),  # noqa: RUF001
        ("e\u0301", "\u00e9"),
        ("日本語 🙂 ñ", "日本語 🙂 ñ"),
        ("a\u200b\u0301", "\u00e1"),
    ],
)
def test_examples(prompt: str, plain: str) -> None:
    assert normalise(prompt) == plain


@given(st.text(max_size=10))
def test_what_is_plain_stays_as_it_is(prompt: str) -> None:
    plain = normalise(prompt)
    assert normalise(plain) == plain
    assert unicodedata.is_normalized("NFKC", plain)
    assert without_invisible(plain) == plain
    assert plain == " ".join(plain.split())


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_loses_white_space_only(prompt: str) -> None:
    assert normalise(prompt) == " ".join(prompt.split())


def test_a_pile_of_marks_is_cut_before_it_costs_hours() -> None:
    """Unbounded, these 400,000 would take minutes."""
    plain = normalise("a" + "\u0301\u0323" * 200_000 + "b")
    assert plain[-1] == "b"
    assert len(plain) <= MAX_MARKS + 2


def test_a_text_for_a_template_keeps_all_that_is_to_be_seen() -> None:
    assert without_invisible("a\n\n  b\u200b ①") == "a\n\n  b ①"
