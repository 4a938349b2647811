"""A text that nobody should read by accident: a provider's key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

HIDDEN = "***"

SHORTEST = 6
"""Characters of a secret that is taken out of texts; a shorter one stands in many by chance."""


class Secret:
    """Holds a text and shows it only through `reveal`.

    It prints as `***`, also in an f-string and inside another object's `repr`, and refuses to be
    pickled.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself: for the wire, never for a log or a message."""
        return self._text

    def hide_in(self, text: str) -> str:
        """Return `text` with `***` wherever the secret stands in it."""
        return text.replace(self._text, HIDDEN) if self._text else text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return HIDDEN

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return `text` with `***` in place of each secret in it, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST:
            text = text.replace(secret, HIDDEN)
    return text
