"""WASI preview 1, deterministic: descriptors and paths (docs/spec/06-contracts.md#the-machine)."""

from __future__ import annotations

import struct
from collections.abc import Callable

from genvm_manager.workers.genvm.engine.imports import Import
from genvm_manager.workers.genvm.engine.memory import Memory

from .descriptors import Descriptor, FileType, OpenDirectory, OpenFile
from .errors import Errno, WasiError, checked, refuse
from .filesystem import Device, Directory, File, FileTree, Node, walk

MAX_DESCRIPTORS = 1024
_MAX_BUFFERS = 1024
_MAX_PATH = 4096

_FDSTAT = struct.Struct("<BxH4xQQ")
_FILESTAT = struct.Struct("<QQB7xQQQQQ")
_DIRENT = struct.Struct("<QQIB3x")
_BUFFER = struct.Struct("<II")

_ALL_RIGHTS = (1 << 30) - 1
_RIGHT_TO_WRITE = 1 << 6
_WRITE_RIGHTS = _RIGHT_TO_WRITE | 1 << 8 | 1 << 10 | 1 << 22
"""fd_write, fd_allocate, path_create_file and fd_filestat_set_size: none on a read-only file."""

_CREATE, _DIRECTORY, _EXCLUSIVE, _TRUNCATE = 1, 2, 4, 8


class WasiFiles:
    """The descriptors of one guest and the calls on them.

    `standard` are its descriptors 0, 1 and 2; the root of `tree` is preopened as 3.
    `open_device` opens the devices of `tree`.
    """

    def __init__(
        self,
        memory: Memory,
        tree: FileTree,
        standard: list[Descriptor],
        open_device: Callable[[Device], Descriptor],
    ) -> None:
        self._memory = memory
        self._open_device = open_device
        root = OpenDirectory(tree.root, preopened=b"/")
        self._open: dict[int, Descriptor] = dict(enumerate([*standard, root]))

    def add(self, descriptor: Descriptor) -> int:
        """Open `descriptor` at the lowest free number, and return it.

        Raises `WasiError` when all numbers are taken.
        """
        for number in range(MAX_DESCRIPTORS):
            if number not in self._open:
                self._open[number] = descriptor
                return number
        raise WasiError(Errno.MFILE)

    def close(self) -> None:
        """Close all that is open."""
        for descriptor in self._open.values():
            descriptor.close()
        self._open.clear()

    def imports(self) -> dict[str, Import]:
        """Return the functions by name."""
        read_only = refuse(Errno.ROFS)
        nothing_to_do = checked(self._known)
        return {
            "fd_advise": Import(nothing_to_do, "iIIi"),
            "fd_allocate": Import(read_only, "iII"),
            "fd_close": Import(checked(self._fd_close), "i"),
            "fd_datasync": Import(nothing_to_do, "i"),
            "fd_fdstat_get": Import(checked(self._fd_fdstat_get), "ii"),
            "fd_fdstat_set_flags": Import(nothing_to_do, "ii"),
            "fd_fdstat_set_rights": Import(nothing_to_do, "iII"),
            "fd_filestat_get": Import(checked(self._fd_filestat_get), "ii"),
            "fd_filestat_set_size": Import(read_only, "iI"),
            "fd_filestat_set_times": Import(read_only, "iIIi"),
            "fd_pread": Import(checked(self._fd_pread), "iiiIi"),
            "fd_prestat_get": Import(checked(self._fd_prestat_get), "ii"),
            "fd_prestat_dir_name": Import(checked(self._fd_prestat_dir_name), "iii"),
            "fd_pwrite": Import(read_only, "iiiIi"),
            "fd_read": Import(checked(self._fd_read), "iiii"),
            "fd_readdir": Import(checked(self._fd_readdir), "iiiIi"),
            "fd_renumber": Import(checked(self._fd_renumber), "ii"),
            "fd_seek": Import(checked(self._fd_seek), "iIii"),
            "fd_sync": Import(nothing_to_do, "i"),
            "fd_tell": Import(checked(self._fd_tell), "ii"),
            "fd_write": Import(checked(self._fd_write), "iiii"),
            "path_create_directory": Import(read_only, "iii"),
            "path_filestat_get": Import(checked(self._path_filestat_get), "iiiii"),
            "path_filestat_set_times": Import(read_only, "iiiiIIi"),
            "path_link": Import(read_only, "iiiiiii"),
            "path_open": Import(checked(self._path_open), "iiiiiIIii"),
            "path_readlink": Import(checked(self._path_readlink), "iiiiii"),
            "path_remove_directory": Import(read_only, "iii"),
            "path_rename": Import(read_only, "iiiiii"),
            "path_symlink": Import(read_only, "iiiii"),
            "path_unlink_file": Import(read_only, "iii"),
        }

    def _get(self, number: int) -> Descriptor:
        descriptor = self._open.get(number)
        if descriptor is None:
            raise WasiError(Errno.BADF)
        return descriptor

    def _known(self, number: int, *_: int) -> None:
        self._get(number)

    def _fd_close(self, number: int) -> None:
        self._get(number).close()
        del self._open[number]

    def _fd_renumber(self, source: int, target: int) -> None:
        descriptor = self._get(source)
        replaced = self._get(target)
        if replaced is not descriptor:
            replaced.close()
            self._open[target] = self._open.pop(source)

    def _fd_fdstat_get(self, number: int, at: int) -> None:
        descriptor = self._get(number)
        rights = _ALL_RIGHTS
        if descriptor.file_type is not FileType.CHARACTER_DEVICE:
            rights &= ~_WRITE_RIGHTS
        # All rights are inherited: else libc drops the one to write, and opening succeeds.
        self._memory.write(at, _FDSTAT.pack(descriptor.file_type, 0, rights, _ALL_RIGHTS))

    def _fd_filestat_get(self, number: int, at: int) -> None:
        descriptor = self._get(number)
        stat = _filestat(descriptor.file_type, descriptor.inode, descriptor.size)
        self._memory.write(at, stat)

    def _fd_prestat_get(self, number: int, at: int) -> None:
        self._memory.write_u64(at, len(self._preopened(number)) << 32)

    def _fd_prestat_dir_name(self, number: int, at: int, size: int) -> None:
        name = self._preopened(number)
        if size < len(name):
            raise WasiError(Errno.NAMETOOLONG)
        self._memory.write(at, name)

    def _preopened(self, number: int) -> bytes:
        descriptor = self._get(number)
        if not isinstance(descriptor, OpenDirectory) or descriptor.preopened is None:
            raise WasiError(Errno.BADF)
        return descriptor.preopened

    def _fd_read(self, number: int, buffers: int, count: int, size_at: int) -> None:
        self._fill(self._get(number).read, buffers, count, size_at)

    def _fd_pread(self, number: int, buffers: int, count: int, offset: int, size_at: int) -> None:
        descriptor = self._get(number)

        def read(size: int) -> bytes | memoryview:
            nonlocal offset
            chunk = descriptor.read_at(offset, size)
            offset += len(chunk)
            return chunk

        self._fill(read, buffers, count, size_at)

    def _fill(
        self, read: Callable[[int], bytes | memoryview], buffers: int, count: int, size_at: int
    ) -> None:
        total = 0
        for buffer in self._buffers(buffers, count):
            chunk = read(len(buffer))
            buffer[: len(chunk)] = chunk
            total += len(chunk)
            if len(chunk) < len(buffer):
                break
        self._memory.write_u32(size_at, total)

    def _fd_write(self, number: int, buffers: int, count: int, size_at: int) -> None:
        descriptor = self._get(number)
        content = self._buffers(buffers, count)
        total = sum(map(len, content))
        if total >= 1 << 32:
            raise WasiError(Errno.INVAL)
        for buffer in content:
            descriptor.write(buffer)
        self._memory.write_u32(size_at, total)

    def _buffers(self, at: int, count: int) -> list[memoryview]:
        """Return the buffers that a list of pointers and sizes describes."""
        if count > _MAX_BUFFERS:
            raise WasiError(Errno.INVAL)
        described = self._memory.read(at, count * _BUFFER.size)
        return [self._memory.view(*buffer) for buffer in _BUFFER.iter_unpack(described)]

    def _fd_seek(self, number: int, offset: int, whence: int, at: int) -> None:
        signed = offset - (1 << 64) if offset >> 63 else offset
        self._memory.write_u64(at, self._get(number).seek(signed, whence))

    def _fd_tell(self, number: int, at: int) -> None:
        self._memory.write_u64(at, self._get(number).seek(0, 1))

    def _fd_readdir(self, number: int, at: int, size: int, cookie: int, used_at: int) -> None:
        buffer = self._memory.view(at, size)
        used = 0
        listing = self._directory(number).listing()
        for position in range(min(cookie, len(listing)), len(listing)):
            name, node = listing[position]
            raw = name.encode()
            entry = _DIRENT.pack(position + 1, node.inode, len(raw), _file_type(node)) + raw
            part = entry[: size - used]
            buffer[used : used + len(part)] = part
            used += len(part)
            if used == size:
                break
        self._memory.write_u32(used_at, used)

    def _directory(self, number: int) -> Directory:
        descriptor = self._get(number)
        if not isinstance(descriptor, OpenDirectory):
            raise WasiError(Errno.NOTDIR)
        return descriptor.directory

    def _find(self, number: int, path_at: int, path_size: int) -> Node:
        directory = self._directory(number)
        if path_size > _MAX_PATH:
            raise WasiError(Errno.NAMETOOLONG)
        try:
            path = self._memory.read(path_at, path_size).decode()
            if path.startswith("/"):
                raise WasiError(Errno.NOTCAPABLE)
            return walk(directory, path)
        except UnicodeDecodeError:
            raise WasiError(Errno.INVAL) from None

    def _path_filestat_get(self, number: int, _: int, path: int, size: int, at: int) -> None:
        node = self._find(number, path, size)
        length = len(node.content) if isinstance(node, File) else 0
        self._memory.write(at, _filestat(_file_type(node), node.inode, length))

    def _path_readlink(self, number: int, path: int, size: int, *_: int) -> None:
        self._find(number, path, size)
        raise WasiError(Errno.INVAL)

    def _path_open(  # noqa: PLR0913, PLR0917 (as WASI has it)
        self,
        number: int,
        _lookup: int,
        path: int,
        size: int,
        flags: int,
        rights: int,
        _inheriting: int,
        _descriptor_flags: int,
        at: int,
    ) -> None:
        try:
            node = self._find(number, path, size)
        except WasiError as error:
            if error.errno is Errno.NOENT and flags & _CREATE:
                raise WasiError(Errno.ROFS) from None
            raise
        if flags & _TRUNCATE or (flags & _CREATE and flags & _EXCLUSIVE):
            raise WasiError(Errno.ROFS)
        if rights & _RIGHT_TO_WRITE and isinstance(node, File):
            raise WasiError(Errno.ROFS)
        if flags & _DIRECTORY and not isinstance(node, Directory):
            raise WasiError(Errno.NOTDIR)
        self._memory.write_u32(at, self.add(self._opened(node)))

    def _opened(self, node: Node) -> Descriptor:
        if isinstance(node, Directory):
            return OpenDirectory(node)
        if isinstance(node, Device):
            return self._open_device(node)
        return OpenFile(node)


def _file_type(node: Node) -> FileType:
    if isinstance(node, Directory):
        return FileType.DIRECTORY
    return FileType.REGULAR_FILE if isinstance(node, File) else FileType.CHARACTER_DEVICE


def _filestat(file_type: FileType, inode: int, size: int) -> bytes:
    """Return a `filestat`: device 1, one link, all times at the epoch."""
    return _FILESTAT.pack(1, inode, file_type, 1, size, 0, 0, 0)
