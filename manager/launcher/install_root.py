"""The folder tree in which GenLayer Studio and nodes look for a manager, and its installation.

Its files come from `root_template/`, in the same places, and the modules' settings from the
packages of the modules; `@PYTHON@` stands for this interpreter.
"""

from __future__ import annotations

import importlib.resources
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from genvm_manager.base.validation import NOT_DECODED

_TEMPLATE = "root_template"
_PYTHON = b"@PYTHON@"
_RECORD = "data/installed.json"
"""A file of the tree with, for each of its files, the digest of what was last installed there."""


class RootRefused(Exception):
    """The tree cannot be installed; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file of the tree; `name` is its path there."""

    name: str
    content: bytes

    @property
    def mode(self) -> int:
        """Permissions, before the umask: programs are those in folders called `bin`."""
        return 0o777 if Path(self.name).parent.name == "bin" else 0o666

    @property
    def digest(self) -> str:
        """SHA-256 of the content, in hexadecimal."""
        return sha256(self.content).hexdigest()


@dataclass(slots=True)
class Installed:
    """What became of the files, by name; `kept` and `replaced` are the user's own versions."""

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)


def settings_of(root: Path) -> Path:
    """Return the path of the manager's settings in a tree."""
    return root / "config" / "genvm-manager.yaml"


def module_settings(kind: str) -> Traversable:
    """Return the file with the default settings of a module, `llm` or `web`."""
    return importlib.resources.files(f"genvm_manager.workers.{kind}") / f"genvm-module-{kind}.yaml"


def tree_files() -> list[TreeFile]:
    """Return all files of the tree, as they are for this interpreter."""
    interpreter = shlex.quote(sys.executable).encode("utf-8", "surrogateescape")
    template = importlib.resources.files(__package__) / _TEMPLATE
    modules = map(module_settings, ("llm", "web"))
    contents = dict(_contents(template, ""))
    contents |= {f"config/{file.name}": file.read_bytes() for file in modules}
    return [
        TreeFile(name, content.replace(_PYTHON, interpreter))
        for name, content in sorted(contents.items())
    ]


def install_root(root: Path, *, force: bool) -> Installed:
    """Write the tree to `root`, all of it or nothing.

    A file that the user has changed stays as it is, as long as ours has not changed since. If it
    has, `force` replaces the user's file and keeps it as `NAME.old`. Raises `RootRefused` without
    `force`, and when the files cannot be written.
    """
    files = tree_files()
    if root.exists() and not root.is_dir():
        raise RootRefused(f"{root} is a file; name a folder, or one that is not there yet")
    try:
        recorded = _read_record(root)
        installed, due = _compare(root, files, recorded, force)
        record = TreeFile(_RECORD, _record_of(files))
        if due or recorded != msgspec.json.decode(record.content):
            _write(root, [*due, record], installed.replaced)
    except OSError as error:
        raise RootRefused(
            f"{error.filename or root}: {error.strerror}. Nothing was changed; name a folder that "
            "you may write to"
        ) from None
    return installed


def _contents(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _contents(each, f"{prefix}{each.name}/")
        else:
            yield prefix + each.name, each.read_bytes()


def _compare(
    root: Path, files: list[TreeFile], recorded: dict[str, str], force: bool
) -> tuple[Installed, list[TreeFile]]:
    """Return what becomes of each file, and those to be written. Raises `RootRefused` for a file
    that the user and we have changed, unless `force`.
    """
    installed, due, refused = Installed(), [], []
    for file in files:
        found = _found(root / file.name)
        ours = (recorded.get(file.name), file.digest)
        is_ours = found is None or sha256(found).hexdigest() in ours
        if found == file.content and _mode_suits(root / file.name, file):
            continue
        if is_ours or force:
            due.append(file)
            (installed.written if is_ours else installed.replaced).append(file.name)
        elif recorded.get(file.name) == file.digest:
            installed.kept.append(file.name)
        else:
            refused.append(file.name)
    if refused:
        raise RootRefused(
            f"nothing is installed in {root}, since it would overwrite files that are not as "
            f"install-root left them: {', '.join(refused)}. Nothing was changed. --force replaces "
            "such files and keeps each as NAME.old"
        )
    return installed, due


def _found(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _mode_suits(path: Path, file: TreeFile) -> bool:
    return not file.mode & 0o100 or os.access(path, os.X_OK)


def _write(root: Path, files: list[TreeFile], replaced: list[str]) -> None:
    """Write all files beside their places first, so that a failure leaves the tree as it was."""
    with ExitStack() as undo:
        drafts = {}
        for file in files:
            path = root / file.name
            _make_folder(path.parent, undo)
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            undo.callback(draft.unlink, missing_ok=True)
            _write_draft(draft, file)
            drafts[path] = draft
        for name in replaced:
            os.replace(root / name, root / f"{name}.old")
        for path, draft in drafts.items():
            os.replace(draft, path)
        undo.pop_all()


def _make_folder(folder: Path, undo: ExitStack) -> None:
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir()
        undo.callback(_remove_if_empty, each)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _write_draft(draft: Path, file: TreeFile) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, file.mode)
    with open(descriptor, "wb") as opened:
        opened.write(file.content)
        opened.flush()
        os.fsync(descriptor)


def _read_record(root: Path) -> dict[str, str]:
    found = _found(root / _RECORD)
    try:
        return msgspec.json.decode(found or b"{}", type=dict[str, str])
    except NOT_DECODED:
        return {}


def _record_of(files: list[TreeFile]) -> bytes:
    lines = {file.name: file.digest for file in files}
    return msgspec.json.format(msgspec.json.encode(lines), indent=2) + b"\n"
