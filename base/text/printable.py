"""Text that others wrote, made fit to be shown: nothing in it steers a terminal, ends a line or
changes the order in which letters stand.

What does is shown by its escape, such as `\\x1b` or `\\u202e`. The page has the same rule in
`manager/api/page/printable.js`.
"""

from __future__ import annotations

import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories: controls, formats (the bidirectional ones, those of no width, tags), lone surrogates,
the separators of lines and paragraphs."""

_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters and marks by category that show nothing."""


def printable(text: str, kept: str = "\t") -> str:
    """Return the text as one line; the characters in `kept` stay as they are."""
    if text.isprintable() and text.isascii():
        return text
    return "".join(_shown(each, kept) for each in text)


def printable_lines(text: str) -> str:
    """Return the text, whose line feeds stay as they are."""
    return printable(text, "\t\n")


def printable_json(text: str) -> str:
    """Return JSON of the same meaning with nothing invisible in it: one line if it was one."""
    if text.isprintable() and text.isascii():
        return text
    return "".join(_in_json(each) if _is_unseen(each) else each for each in text)


def _shown(character: str, kept: str) -> str:
    if character in kept or not _is_unseen(character):
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN or character in _FILLERS


def _in_json(character: str) -> str:
    """Line feeds and tabs can stand between values only."""
    if character in "\n\t\r":
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
