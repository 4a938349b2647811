"""Leaves files and an unreadable folder in its TMPDIR."""

from __future__ import annotations

import os

root = os.environ["TMPDIR"]
os.makedirs(f"{root}/a/b")
with open(f"{root}/a/b/file", "w") as file:
    file.write("left")
os.chmod(f"{root}/a/b", 0)
os.chmod(f"{root}/a", 0)
