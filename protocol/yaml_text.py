"""YAML that somebody wrote: a value, or an error that says where."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import ConstructorError


class _Loader(yaml.SafeLoader):
    """Gives each scalar that cannot be had a place: PyYAML itself lets `ValueError` through for a
    date such as 2026-99-99 or a number of 5,000 digits, and takes half of a surrogate pair."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of `node`. Raises `ConstructorError`, which shows no value."""
        try:
            value = super().construct_object(node, deep=deep)
            if isinstance(value, str):
                value.encode()
        except ValueError:
            raise ConstructorError(
                None, None, "found a scalar that is no text, number or time", node.start_mark
            ) from None
        return value


class _TextLoader(_Loader):
    """Makes text of every scalar."""


_TextLoader.yaml_implicit_resolvers = {}


def load_yaml(text: str | bytes, *, only_texts: bool = False) -> Any:
    """The value in a YAML text; with `only_texts` every scalar is one, also a number or a time.

    Raises `yaml.YAMLError` and nothing else.
    """
    try:
        return yaml.load(text, _TextLoader if only_texts else _Loader)  # noqa: S506 (both are safe)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise yaml.YAMLError(f"it is no text: {error.reason}") from None
