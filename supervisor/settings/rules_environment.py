"""The variables that `${ENV[NAME]}` may name: those of our own environment, and those set since."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from genvm_manager.base.errors import BadRequest

MAX_SET = 1_000
"""How many variables may be set besides those we were started with."""

MAX_NAME = 256
MAX_VALUE = 64 << 10
"""Bytes of a value in UTF-8."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_REFUSED_PREFIXES = ("LD_", "DYLD_", "PYTHON", "GCONV_", "GLIBC_", "MALLOC_")
_REFUSED = frozenset(
    [
        "PATH",
        "IFS",
        "ENV",
        "BASH_ENV",
        "SHELLOPTS",
        "BASHOPTS",
        "LOCPATH",
        "NLSPATH",
        "NODE_OPTIONS",
        "NODE_PATH",
        "PERL5LIB",
        "PERL5OPT",
        "RUBYLIB",
        "RUBYOPT",
        "CLASSPATH",
        "JAVA_TOOL_OPTIONS",
    ]
)
"""With the prefixes, names that change how processes load code.

Source: docs/spec/01-http-api.md#configuration.
"""


class Environment(Mapping[str, str]):
    """Variables by name. What is set here is in no process's environment, not even in ours."""

    def __init__(self, inherited: Mapping[str, str]) -> None:
        self._inherited = dict(inherited)
        self._set: dict[str, str] = {}

    def set(self, name: str, value: str) -> None:
        """Give a variable a value. Raises `BadRequest`, which never tells the value."""
        _check_name(name)
        if "\0" in value:
            raise BadRequest("value: holds a NUL character, which no variable can")
        if len(value.encode("utf-8", "surrogatepass")) > MAX_VALUE:
            raise BadRequest(f"value: longer than {MAX_VALUE} bytes")
        if name not in self._set and len(self._set) >= MAX_SET:
            raise BadRequest(f"key: {MAX_SET} variables are set already; set one of them anew")
        self._set[name] = value

    @property
    def names_set(self) -> frozenset[str]:
        """Those that have been set since we were started."""
        return frozenset(self._set)

    def __getitem__(self, name: str) -> str:
        return self._set[name] if name in self._set else self._inherited[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._inherited | self._set)

    def __len__(self) -> int:
        return len(self._inherited | self._set)

    def __repr__(self) -> str:
        """Names no value: it may land in a log."""
        return f"<Environment of {len(self)} variables>"


def _check_name(name: str) -> None:
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise BadRequest(
            f"key: expected letters, digits and _, not beginning with a digit, at most {MAX_NAME}"
            f" characters; got {name[:40]!r}"
        )
    if name in _REFUSED or name.startswith(_REFUSED_PREFIXES):
        raise BadRequest(f"key: {name[:40]} changes how processes load code and may not be set")
