"""Variables for `${ENV[NAME]}`: which may be set, how many, and that none is ever told."""

from __future__ import annotations

import pytest

from genvm_manager.base.errors import BadRequest
from genvm_manager.supervisor.settings.rules_environment import (
    MAX_NAME,
    MAX_SET,
    MAX_VALUE,
    Environment,
)


def test_what_is_set_hides_what_was_inherited() -> None:
    environment = Environment({"HOME": "/root", "OTHER": "1"})
    environment.set("HOME", "/elsewhere")
    environment.set("_n1", "")
    assert dict(environment) == {"HOME": "/elsewhere", "OTHER": "1", "_n1": ""}
    assert len(environment) == 3
    assert environment.get("NONE") is None


def test_it_is_a_copy() -> None:
    ours = {"A": "1"}
    environment = Environment(ours)
    environment.set("A", "2")
    assert ours == {"A": "1"}


@pytest.mark.parametrize(
    "name",
    ["", "1A", "A B", "A=B", "É", "A\n", "A\0", "K" * (MAX_NAME + 1),
     "PATH", "LD_PRELOAD", "LD_", "PYTHONPATH", "PYTHON", "BASH_ENV", "GLIBC_TUNABLES"],
)  # fmt: skip
def test_names_that_are_none_or_change_loading_are_refused(name: str) -> None:
    with pytest.raises(BadRequest, match=r"^key: "):
        Environment({}).set(name, "secret")


@pytest.mark.parametrize("value", ["a\0b", "v" * (MAX_VALUE + 1), "é" * (MAX_VALUE // 2 + 1)])
def test_values_that_no_variable_can_have_are_refused_untold(value: str) -> None:
    with pytest.raises(BadRequest, match=r"^value: ") as refused:
        Environment({}).set("KEY", value)
    assert value[:1] * 2 not in refused.value.message


def test_the_number_is_bounded_but_not_that_of_changes() -> None:
    environment = Environment({})
    for number in range(MAX_SET):
        environment.set(f"K{number}", "v" * 2)
    environment.set("K0", "w")
    with pytest.raises(BadRequest, match=r"^key: 1000 variables are set already"):
        environment.set("ONE_MORE", "v")
    assert environment["K0"] == "w"


def test_its_text_tells_no_value() -> None:
    environment = Environment({"A": "secret"})
    environment.set("B", "secret")
    assert "secret" not in f"{environment!r} {environment}"
