"""A secret shows itself to nobody by accident."""

from __future__ import annotations

import pickle
import traceback

import msgspec
import pytest

from genvm_manager.base.text.secret import Secret
from genvm_manager.base.validation import from_value

KEY = "sk-1234567890"


class Holder(msgspec.Struct):
    key: Secret
    other: int = 0


def test_it_prints_as_stars() -> None:
    secret = Secret(KEY)
    for text in (str(secret), repr(secret), f"{secret}", f"{secret!r}", str([secret])):
        assert KEY not in text
        assert "***" in text
    assert KEY not in repr(Holder(secret))
    assert secret.reveal() == KEY
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)


def test_it_is_read_from_text_and_its_errors_do_not_tell() -> None:
    assert from_value({"key": KEY}, Holder).key == Secret(KEY)
    with pytest.raises(Exception) as caught:
        from_value({"key": KEY, "other": "x"}, Holder)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(Exception, match="key: expected secret, got int"):
        from_value({"key": 5}, Holder)


def test_it_is_hidden_in_a_text() -> None:
    assert Secret(KEY).hide_in(f"wrong key {KEY}, yes {KEY}") == "wrong key ***, yes ***"
    assert Secret("").hide_in("nothing to hide") == "nothing to hide"
    assert not Secret("")
