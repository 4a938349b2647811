"""References to the project's own documents lead somewhere, and so do the links in them."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import PROJECT

REFERENCE = re.compile(r"(?<![\w/.-])(docs/[\w./-]+\.md)(?:#([\w-]+))?")
BARE = re.compile(r"\b[Ss]pecs? \d\d\b")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]*)\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
PLACE = re.compile(
    r"`((?:base|protocol|manager|supervisor|workers|tests|systemd|scripts|benchmarks)/[\w./-]+)"
)
SOURCES = ("*.py", "*.js", "*.md", "*.sh", "*.yaml", "*.cfg", "*.service", "scripts/*", ".ci/*")
DOCS = PROJECT / "docs"
PAGES = [
    *sorted(DOCS.rglob("*.md")),
    *(PROJECT / each for each in ("README.md", "CONTRIBUTING.md")),
]


def tracked() -> list[Path]:
    """Return every text file of the project that may refer to a document."""
    command = ["git", "-c", f"safe.directory={PROJECT}", "ls-files", "--", *SOURCES]
    listed = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    return [PROJECT / name for name in listed.stdout.splitlines() if (PROJECT / name).is_file()]


def slug(heading: str) -> str:
    """Return the anchor that GitHub and the site (mkdocs.yml, `slugify`) give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@cache
def anchors(document: Path) -> frozenset[str]:
    """Return the anchors of the headings of a document, not of comments in its code."""
    lines = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.M | re.S).splitlines()
    return frozenset(slug(line.lstrip("#")) for line in lines if line.startswith("#"))


def faults(text: str) -> list[str]:
    """Return the references in `text` that lead nowhere."""
    found = [f"{number.group()} names no document" for number in BARE.finditer(text)]
    for match in REFERENCE.finditer(text):
        document = PROJECT / match[1]
        if not document.is_file() or (match[2] and match[2] not in anchors(document)):
            found.append(f"{match.group()} leads nowhere")
    return found


def broken_links(page: Path, text: str) -> list[str]:
    """Return the links of a page that lead to no file or heading, or out of the site."""
    found = []
    for link in LINK.findall(CODE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(f"{link} leads nowhere")
        elif page.is_relative_to(DOCS) and not target.is_relative_to(DOCS):
            found.append(f"{link} leads out of the site")
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    if not page.exists():
        pytest.skip(f"there is no {page.name}")
    assert broken_links(page, page.read_text()) == []


@pytest.mark.parametrize(
    "text",
    ["[a](nowhere.md)", "[a](glossary.md#nowhere)", "[a](#nowhere)", "[a\nb](../README.md)"],
)
def test_a_link_that_leads_nowhere_is_found(text: str) -> None:
    assert len(broken_links(DOCS / "index.md", text)) == 1


def test_a_link_that_leads_somewhere_is_none_and_code_has_no_links() -> None:
    text = "[a](glossary.md) [b](operations/access-control.md#token) [c](https://x/) `[d](e)`"
    assert broken_links(DOCS / "index.md", text) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_files_that_a_page_names_are_there(page: Path) -> None:
    if not page.exists():
        pytest.skip(f"there is no {page.name}")
    named = {place.rstrip("/.") for place in PLACE.findall(page.read_text())}
    assert [place for place in sorted(named) if not (PROJECT / place).exists()] == []
