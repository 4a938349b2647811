"""Words that this project used alone are gone from names, messages and docs (docs/glossary.md)."""

from __future__ import annotations

import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT

PRODUCT = ("base", "protocol", "manager", "supervisor", "workers")
ALL = (
    *PRODUCT,
    "tests",
    "benchmarks",
    "docs",
    "scripts",
    "systemd",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "setup.cfg",
    ".github",
)

PARTS = frozenset({
    "aftermath", "asker", "auditor", "enclosure", "enclosures", "heir", "house", "inquiry",
    "keepsake", "ladder", "lifeline", "linger", "margin", "meddler", "parcel", "parting",
    "patience", "pump", "pumps", "rival", "rivals", "rung", "rungs", "stopwatch", "storm",
    "strangers", "surroundings", "unpark",
})  # fmt: skip
"""No part of a name, as `PATIENCE` in `READ_PATIENCE`."""

NAMES = frozenset({
    "BrowserKeeper", "Conversation", "Exchange", "Fields", "Follower", "Home", "NoAnswer",
    "NOT_ADMITTED", "NOT_WELL", "MISUSE", "OomWitness", "OwnStack", "Pace", "PermitDesk",
    "RunLife", "Share", "Shares", "Standing", "StatusFeed", "World", "httpx_alone", "root_tree",
    "second_chance", "take_in",
})  # fmt: skip
"""No name in whole."""

PHRASES = re.compile(
    r"\b(?:aftermath|come again|come to nothing|enclosures?|gives its place away|is borne|keepsake"
    r"|lifeline|meddler|none of ours|on the books|patience|permit desk|rivals?|rungs?|the house"
    r"|the storm|who finds|whoever)\b",
    re.IGNORECASE,
)
"""Neither in a string, a comment, nor on a page."""


NOT_OURS = (
    Path(__file__),
    PROJECT / "workers/genvm/guest/libraries/tokenizer/vocab.txt",  # BERT's words, all of them
)


def tracked(*folders: str) -> list[Path]:
    command = ["git", "-c", f"safe.directory={PROJECT}", "ls-files", "--", *folders]
    listed = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    return [PROJECT / name for name in listed.stdout.splitlines() if (PROJECT / name).is_file()]


def parts(name: str) -> list[str]:
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def is_private(name: str) -> bool:
    return name in NAMES or not PARTS.isdisjoint(parts(name))


def found_in_python(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and word of what is left in a source file."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and is_private(token.string):
            yield token.start[0], token.string
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            for match in PHRASES.finditer(token.string):
                yield token.start[0], match.group()


def found(path: Path) -> list[tuple[int, str]]:
    if is_private(path.stem):
        return [(0, path.stem)]
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        return []
    if path.suffix == ".py":
        return list(found_in_python(text))
    lines = enumerate(text.splitlines(), 1)
    return [(line, match.group()) for line, text in lines for match in PHRASES.finditer(text)]


@pytest.mark.skipif(not (PROJECT / ".git").exists(), reason="needs the project's repository")
@pytest.mark.parametrize("folder", ALL)
def test_no_private_word_is_left(folder: str) -> None:
    left = {
        path.relative_to(PROJECT).as_posix(): words
        for path in tracked(folder)
        if path not in NOT_OURS and (words := found(path))
    }
    assert left == {}


@pytest.mark.parametrize(
    "source", ["READ_PATIENCE = 5", "class PermitDesk: ...", "x = 'come again later'", "# lifeline"]
)
def test_a_private_word_is_found(source: str) -> None:
    assert len(list(found_in_python(source + "\n"))) == 1
