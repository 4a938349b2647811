"""The documentation's site: each page is in its navigation, and it builds without a warning."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.support.waiting import TIMEOUT

MKDOCS = PROJECT / ".venv-docs/bin/mkdocs"


def test_the_navigation_has_each_page_once() -> None:
    navigation = (PROJECT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    listed = re.findall(r"^ +- (\S+\.md)$", navigation, re.MULTILINE)
    pages = [path.relative_to(PROJECT / "docs") for path in (PROJECT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted(page.as_posix() for page in pages)


@pytest.mark.parametrize("folder", ["operations", "spec", "decisions"])
def test_the_contents_of_a_folder_list_each_of_its_pages(folder: str) -> None:
    pages = {path.name for path in (PROJECT / "docs" / folder).glob("*.md")} - {"index.md"}
    contents = (PROJECT / "docs" / folder / "index.md").read_text()
    assert set(re.findall(r"^\| \[[^\]]+\]\(([^)]+)\) \|", contents, re.MULTILINE)) == pages


@pytest.mark.skipif(not MKDOCS.exists(), reason="the site's tools are not there: scripts/docs")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    # It writes beside the settings: not into the project.
    shutil.copytree(PROJECT / "docs", tmp_path / "docs")
    shutil.copy(PROJECT / "mkdocs.yml", tmp_path)
    done = subprocess.run(
        [MKDOCS, "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "build/site/operations/index.html").exists()
