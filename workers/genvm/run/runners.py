"""The runners that a description may name: this executor's own, and an operator's archives.

Source: docs/spec/06-contracts.md#runners.
"""

from __future__ import annotations

import os
import re
import stat
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from genvm_manager.protocol.contract.code import ContractCode, parse_runner_json
from genvm_manager.protocol.contract.errors import InvalidContract
from genvm_manager.protocol.contract.tar_file import read_tar
from genvm_manager.protocol.contract.zip_file import read_zip
from genvm_manager.workers.genvm.engine.endings import ExecutorFault

CONTRACT = "<contract>"
"""How a runner's description names the contract that is started."""

PYTHON_RUNNERS: dict[str, tuple[str, ...]] = {
    "py-genlayer": ("file", "contract/"),
    "py-genlayer-multi": ("contract/", "file"),
}
"""What starts the Python guest, whatever the hash: by name, where the contract is looked for first
and where next among its files."""

PYTHON_LIBRARIES: dict[str, tuple[str, ...]] = {
    "py-lib-genlayer-std": (),
    "py-lib-numpy": (),
    "py-lib-word_piece_tokenizer": ("tokenizer",),
    "py-lib-genlayer-embeddings": ("embeddings", "tokenizer"),
    "py-lib-genlayermodelwrappers": ("model_wrappers", "embeddings", "tokenizer"),
}
"""Runners that add libraries of this executor's own to the Python guest, whatever the hash: the
folders of `guest/libraries` that are searched. The standard library and numpy are always there."""

MAX_ARCHIVE = 256 << 20
"""Bytes of all runner archives together that one run reads."""

_ID = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}):([A-Za-z0-9_][A-Za-z0-9_.=+-]{0,127})")
_MAGIC_ZIP = b"PK"


class Runner(NamedTuple):
    """A description and the files that its actions name; `paths` are those, in order."""

    description: Any
    files: Mapping[str, bytes | memoryview]
    paths: list[str]

    def file(self, path: Any) -> bytes | memoryview:
        """Return the file at `path`. Raises `InvalidContract` when there is none."""
        content = self.files.get(path) if isinstance(path, str) else None
        if content is None:
            raise InvalidContract(f"there is no file {path!r}", "malformed_runner")
        return content

    def folder(self, prefix: str) -> Iterator[tuple[str, bytes | memoryview]]:
        """Yield what lies below a folder, which ends with `/`: each path from there, and file."""
        for at in range(bisect_left(self.paths, prefix), len(self.paths)):
            path = self.paths[at]
            if not path.startswith(prefix):
                return
            yield path[len(prefix) :], self.files[path]


def contract_runner(code: ContractCode) -> Runner:
    """Return a contract as a runner: the description that it brings, and its own files."""
    return Runner(code.runner, code.files, sorted(code.files))


class RunnerFolder:
    """An operator's archives, `NAME/HASH.tar` or `NAME/HASH.zip` below `folder`.

    An archive is read once in a run. Its hash is a name and not checked: who can write to the
    folder decides what runs.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[str, Runner] = {}
        self._left = MAX_ARCHIVE

    def find(self, runner_id: str) -> Runner | None:
        """Return the runner `NAME:HASH`, or None where there is no archive of it.

        Raises `InvalidContract` for an archive that is malformed, and `ExecutorFault` for one that
        cannot be read on this host.
        """
        if runner_id in self._known:
            return self._known[runner_id]
        named = _ID.fullmatch(runner_id)
        if self._folder is None or named is None:
            return None
        for suffix in (".tar", ".zip"):
            archive = self._read(self._folder / named[1] / f"{named[2]}{suffix}")
            if archive is not None:
                self._known[runner_id] = _parsed(runner_id, archive)
                return self._known[runner_id]
        return None

    def _read(self, path: Path) -> bytes | None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # Not to wait for a FIFO's end.
            with open(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise ExecutorFault(f"the runner archive {path.name} is not a regular file")
                archive = file.read(self._left + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ExecutorFault(
                f"the runner archive {path.parent.name}/{path.name} cannot be read: "
                f"{error.strerror}; let the service's user read it"
            ) from None
        self._left -= len(archive)
        if self._left < 0:
            raise InvalidContract(
                f"runner archives of more than {MAX_ARCHIVE} bytes are needed", "malformed_runner"
            )
        return archive


def _parsed(runner_id: str, archive: bytes) -> Runner:
    try:
        files: Mapping[str, bytes | memoryview] = (
            read_zip(archive) if archive.startswith(_MAGIC_ZIP) else read_tar(archive)
        )
        if "runner.json" not in files:
            raise InvalidContract("it has no runner.json")
        return Runner(parse_runner_json(files["runner.json"]), files, sorted(files))
    except InvalidContract as error:
        raise InvalidContract(f"the runner {runner_id!r}: {error}", "malformed_runner") from None


def archives(folder: Path) -> Iterator[tuple[str, str | None]]:
    """Yield the id of each archive below `folder`, and what is wrong with it, None when it is good.

    Those that this executor has itself, and would not read, are left out.
    """
    for path in sorted(folder.glob("*/*")):
        runner_id = f"{path.parent.name}:{path.stem}"
        if path.suffix not in {".tar", ".zip"} or path.parent.name in PYTHON_RUNNERS:
            continue
        try:
            found = RunnerFolder(folder).find(runner_id)
        except (InvalidContract, ExecutorFault) as error:
            yield runner_id, str(error)
            continue
        yield runner_id, None if found else f"{runner_id!r} cannot be the name of a runner"
