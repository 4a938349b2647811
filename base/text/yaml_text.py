"""YAML that somebody wrote: a value, or an error that says where."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import ConstructorError

MAX_EXPANDED = 16 << 20
"""Characters and values of what a text stands for, each alias counted as what it repeats."""


class Refused(yaml.YAMLError):
    """The text is more than we take. The message shows no value of it."""


class _Loader(yaml.SafeLoader):
    """Gives each scalar that cannot be had a place: PyYAML itself lets `ValueError` through for a
    date such as 2026-99-99 or a number of 5,000 digits, and takes half of a surrogate pair.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of `node`. Raises `ConstructorError`, which shows no value."""
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
    """Return the value of a YAML text; with `only_texts` every scalar is a text, numbers too.

    Raises `yaml.YAMLError` and nothing else.
    """
    loader = None
    try:
        loader = (_TextLoader if only_texts else _Loader)(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _Expanded().size(node)
        return loader.construct_document(node)
    except RecursionError:
        raise Refused("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise Refused(f"it is no text: {error.reason}") from None
    finally:
        if loader is not None:
            loader.dispose()


class _Expanded:
    """Counts what nodes stand for, an alias as often as it stands there, before it is made."""

    def __init__(self) -> None:
        self._known: dict[int, int | None] = {}
        """By the identity of a node; None while it is being counted."""

    def size(self, node: yaml.Node) -> int:
        """Check that a document is neither too large nor recursive. Raises `Refused`."""
        if id(node) not in self._known:
            self._known[id(node)] = None
            self._known[id(node)] = found = 1 + self._within(node)
            if found > MAX_EXPANDED:
                raise Refused(f"its aliases make more than {MAX_EXPANDED} characters of it")
        known = self._known[id(node)]
        if known is None:
            raise Refused("an alias in it refers to what it stands in")
        return known

    def _within(self, node: yaml.Node) -> int:
        if isinstance(node, yaml.MappingNode):
            return sum(self.size(key) + self.size(value) for key, value in node.value)
        if isinstance(node, yaml.SequenceNode):
            return sum(map(self.size, node.value))
        return len(node.value)
