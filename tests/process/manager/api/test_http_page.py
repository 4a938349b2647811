"""The page at `/` as HTTP serves it: whole, from here alone, and with nothing that makes HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.support.service import RunningService

ASSETS = PROJECT / "manager" / "api" / "page"
SCRIPTS = sorted(ASSETS.glob("*.js"))


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with RunningService(config="{http_workers: 1, http_threads: 8, permits: {total: 2}}") as it:
        yield it


class Parts(HTMLParser):
    """What a page has in it and points to."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.attributes: set[str] = set()
        self.script = ""
        self._is_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._is_script = tag in ("script", "style")
        for name, value in attrs:
            self.attributes.add(name)
            if name in ("href", "src"):
                self.targets.add(value or "")

    def handle_data(self, data: str) -> None:
        if self._is_script:
            self.script += data.strip()


def parts(service: RunningService) -> Parts:
    found = Parts()
    found.feed(service.http.get("/").text)
    return found


def test_the_page_names_all_its_parts_and_they_are_there(service: RunningService) -> None:
    found = parts(service)
    needed = {target for target in found.targets if target.startswith("assets/")}
    assert {path.name for path in ASSETS.iterdir()} - {"index.html"} == {
        target.removeprefix("assets/") for target in needed
    }
    for target in needed | {"docs", "status"}:
        assert service.http.get(f"/{target}").status_code == 200
    assert found.targets - needed == {"docs", "status", "#/"}


def test_no_script_or_style_is_in_the_page_itself(service: RunningService) -> None:
    found = parts(service)
    assert found.script == ""
    assert not {name for name in found.attributes if name.startswith("on") or name == "style"}


@pytest.mark.parametrize("path", ["/", "/assets/page.js", "/assets/page.css", "/assets/icon.svg"])
def test_headers_keep_others_out(service: RunningService, path: str) -> None:
    headers = service.http.get(path).headers
    policy = headers["Content-Security-Policy"]
    for rule in (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
    ):
        assert rule in policy.split("; ")
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_a_part_that_the_client_has_is_not_sent_again(service: RunningService) -> None:
    first = service.http.get("/assets/page.js")
    assert first.headers["Cache-Control"] == "no-cache"
    again = service.http.get("/assets/page.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = service.http.get("/assets/page.js", headers={"If-None-Match": '"old"'})
    assert other.content == first.content


@pytest.mark.parametrize(
    "name", ["nothing.js", "index.html", "..%2fapp.py", "%2e%2e/app.py", "page.js/", ""]
)
def test_there_is_nothing_else(service: RunningService, name: str) -> None:
    assert service.http.get(f"/assets/{name}").status_code == 404


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_import_what_is_there_and_make_no_html(path: Path) -> None:
    text = path.read_text()
    for name in re.findall(r'from "\./([^"]+)"', text):
        assert (ASSETS / name).is_file()
    makes_html = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|://"
    assert not re.search(makes_html, text)


@pytest.mark.parametrize("name", ["look.css", "page.css"])
def test_styles_fetch_nothing(name: str) -> None:
    assert not re.search(r"url\(|@import", (ASSETS / name).read_text())
