"""The README's badges say what the package's metadata say."""

from __future__ import annotations

import re
from configparser import ConfigParser

from tests.conftest import PROJECT

BADGE = re.compile(r"https://img\.shields\.io/badge/(\w+)-([^-)]+)-blue")


def test_the_badges_are_true() -> None:
    settings = ConfigParser()
    settings.read(PROJECT / "setup.cfg")
    named = re.findall(r"Python :: (3\.\d+)", settings["metadata"]["classifiers"])
    assert dict(BADGE.findall((PROJECT / "README.md").read_text())) == {
        "license": settings["metadata"]["license"],
        "python": f"{named[0]}_to_{named[-1]}",
        "types": "mypy_strict" if settings["mypy"].getboolean("strict") else "mypy",
    }
