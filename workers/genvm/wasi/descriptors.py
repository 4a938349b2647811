"""What a guest's file descriptors stand for. None of them is a descriptor of this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import IntEnum

from genvm_manager.workers.genvm.engine.contract_clock import Pause

from .errors import Errno, WasiError
from .filesystem import Directory, File


class FileType(IntEnum):
    """The kinds of file of WASI preview 1 that exist here."""

    CHARACTER_DEVICE = 2
    DIRECTORY = 3
    REGULAR_FILE = 4


class Descriptor:
    """An open thing; what it cannot do ends in `WasiError`."""

    # ruff: noqa: ARG002 - these are the arguments of those that can

    file_type = FileType.CHARACTER_DEVICE
    inode = 0
    size = 0

    def read(self, size: int) -> bytes | memoryview:
        """Return up to `size` bytes, none at the end."""
        raise WasiError(Errno.BADF)

    def read_at(self, offset: int, size: int) -> bytes | memoryview:
        """Return up to `size` bytes from `offset`; the position stays."""
        raise WasiError(Errno.SPIPE)

    def write(self, content: memoryview) -> None:
        """Take all of `content`, which is only valid during the call."""
        raise WasiError(Errno.BADF)

    def seek(self, offset: int, whence: int) -> int:
        """Move the position, and return it."""
        raise WasiError(Errno.SPIPE)

    def close(self) -> None:
        """Give back what is held for it; it is not used any more."""


class OpenFile(Descriptor):
    """A file at a position."""

    file_type = FileType.REGULAR_FILE

    def __init__(self, file: File) -> None:
        self._content = memoryview(file.content)
        self._position = 0
        self.inode = file.inode
        self.size = len(self._content)

    def read(self, size: int) -> bytes | memoryview:
        """Return up to `size` bytes from the position, and move it."""
        chunk = self.read_at(self._position, size)
        self._position += len(chunk)
        return chunk

    def read_at(self, offset: int, size: int) -> bytes | memoryview:
        """Return up to `size` bytes from `offset`; the position stays."""
        return self._content[offset : offset + size]

    def seek(self, offset: int, whence: int) -> int:
        """Move the position by `whence` of lseek, and return it."""
        if whence > 2:
            raise WasiError(Errno.INVAL)
        target = (0, self._position, self.size)[whence] + offset
        if not 0 <= target < 1 << 63:
            raise WasiError(Errno.INVAL)
        self._position = target
        return target


class OpenDirectory(Descriptor):
    """A directory; the one with a `preopened` name is where paths start."""

    file_type = FileType.DIRECTORY

    def __init__(self, directory: Directory, preopened: bytes | None = None) -> None:
        self.directory = directory
        self.preopened = preopened
        self.inode = directory.inode

    def read(self, size: int) -> bytes:
        """Refuse: a directory is not read as a file."""
        raise WasiError(Errno.ISDIR)

    def read_at(self, offset: int, size: int) -> bytes | memoryview:
        """Refuse: a directory is not read as a file."""
        raise WasiError(Errno.ISDIR)

    def seek(self, offset: int, whence: int) -> int:
        """Refuse: a directory is not read as a file."""
        raise WasiError(Errno.BADF)


class Input(Descriptor):
    """Bytes that are read once, such as stdin.

    `at_first_read` is called when reading begins, `at_close` with the number of bytes held.
    """

    def __init__(
        self,
        content: bytes,
        at_first_read: Callable[[], None] | None = None,
        at_close: Callable[[int], None] | None = None,
    ) -> None:
        self._content = content
        self._position = 0
        self._at_first_read = at_first_read
        self._at_close = at_close

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end."""
        if self._at_first_read is not None:
            self._at_first_read()
            self._at_first_read = None
        chunk = self._content[self._position : self._position + size]
        self._position += len(chunk)
        return chunk

    def close(self) -> None:
        """Report the number of bytes that are held no more."""
        if self._at_close is not None:
            self._at_close(len(self._content))


MAX_OUTPUT = 256 << 20
"""Bytes of stdout, and as many of stderr, that the guests of a run may print; what comes after is
taken and dropped, so that it changes nothing for them."""

_CHUNK = 1 << 20


class Output(Descriptor):
    """What a guest prints, written through to a descriptor of ours.

    A reader that went away changes nothing for the guest: a contract's result may not depend on
    who listens, nor on how fast, so `pause` lasts while the reader is waited for. `check` is called
    now and then, and may raise to end a long print.
    """

    def __init__(self, target: int, check: Callable[[], None], pause: Pause) -> None:
        self._target: int | None = target
        self._check = check
        self._pause = pause
        self._left = MAX_OUTPUT

    def write(self, content: memoryview) -> None:
        """Write `content` to the descriptor, up to `MAX_OUTPUT` bytes in all."""
        content = content[: self._left]
        self._left -= len(content)
        try:
            while content and self._target is not None:
                self._check()
                with self._pause:
                    written = os.write(self._target, content[:_CHUNK])
                content = content[written:]
        except OSError:
            self._target = None


class Collected(Descriptor):
    """What a guest prints, kept; more than `limit` bytes are refused."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._content = bytearray()

    def content(self) -> bytes:
        """Return all that was written."""
        return bytes(self._content)

    def write(self, content: memoryview) -> None:
        """Keep `content`. Raises `WasiError` beyond the limit."""
        if len(self._content) + len(content) > self._limit:
            raise WasiError(Errno.FBIG)
        self._content += content


class Bridge(Descriptor):
    """Where a Python guest talks to the host: a request is one write, its answer is then read.

    `answer` says how the write ends as well.
    """

    def __init__(self, answer: Callable[[memoryview], tuple[Errno, bytes]]) -> None:
        self._answer_to = answer
        self._answer = memoryview(b"")

    def write(self, content: memoryview) -> None:
        """Handle one request; its answer is read next. Raises `WasiError` where it is refused."""
        self._answer = memoryview(b"")
        errno, answer = self._answer_to(content)
        self._answer = memoryview(answer)
        if errno:
            raise WasiError(errno)

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes of the answer."""
        chunk = bytes(self._answer[:size])
        self._answer = self._answer[size:]
        return chunk
