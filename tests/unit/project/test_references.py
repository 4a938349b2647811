"""References to the project's own documents lead somewhere."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import PROJECT

REFERENCE = re.compile(r"(?<![\w/.-])(docs/[\w./-]+\.md)(?:#([\w-]+))?")
BARE = re.compile(r"\b[Ss]pecs? \d\d\b")
SOURCES = ("*.py", "*.js", "*.md", "*.sh", "*.yaml", "*.cfg", "*.service", "scripts/*", ".ci/*")


def tracked() -> list[Path]:
    """Every text file of the project that may refer to a document."""
    command = ["git", "-c", f"safe.directory={PROJECT}", "ls-files", "--", *SOURCES]
    listed = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    return [PROJECT / name for name in listed.stdout.splitlines() if (PROJECT / name).is_file()]


def slug(heading: str) -> str:
    """The anchor that GitHub and the site give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@cache
def anchors(document: Path) -> frozenset[str]:
    lines = document.read_text().splitlines()
    return frozenset(slug(line.lstrip("#")) for line in lines if line.startswith("#"))


def faults(text: str) -> list[str]:
    """References in `text` that lead nowhere."""
    found = [f"{number.group()} names no document" for number in BARE.finditer(text)]
    for match in REFERENCE.finditer(text):
        document = PROJECT / match[1]
        if not document.is_file() or (match[2] and match[2] not in anchors(document)):
            found.append(f"{match.group()} leads nowhere")
    return found


@pytest.mark.skipif(not (PROJECT / ".git").exists(), reason="needs the project's repository")
def test_every_reference_leads_somewhere() -> None:
    found = {
        path.relative_to(PROJECT).as_posix(): wrong
        for path in tracked()
        if path.name not in ("CHANGELOG.md", Path(__file__).name)
        and (wrong := faults(path.read_text()))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text", ["docs/nowhere.md", "docs/spec/02-calldata.md#nowhere", "(spec 04, the result)"]
)
def test_a_reference_that_leads_nowhere_is_found(text: str) -> None:
    assert len(faults(text)) == 1
