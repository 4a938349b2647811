"""What is read of a tar, and what is refused (docs/spec/06-contracts.md#runners)."""

from __future__ import annotations

import io
import tarfile

import pytest

from genvm_manager.protocol.contract.errors import InvalidContract
from genvm_manager.protocol.contract.tar_file import read_tar
from tests.support.archives import tar

LONG = "folder/" * 15 + "file"


@pytest.mark.parametrize("how", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_files_are_read_and_folders_left_out(how: int) -> None:
    files = {"runner.json": b"{}", "./a/b": b"x" * 513, "empty": b""}
    archive = tar(files, how, folders=["a"])
    assert read_tar(archive) == {"runner.json": b"{}", "a/b": b"x" * 513, "empty": b""}


def test_a_name_is_put_together_from_both_fields_of_ustar() -> None:
    assert list(read_tar(tar({LONG: b"1"}))) == [LONG]


def test_an_archive_may_end_without_its_two_blocks_of_zeros() -> None:
    archive = tar({"a": b"1"})
    assert read_tar(archive[:1024]) == {"a": b"1"}


@pytest.mark.parametrize("how", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_an_extension_that_gives_a_file_another_name_is_refused(how: int) -> None:
    with pytest.raises(InvalidContract, match="tar --format=ustar"):
        read_tar(tar({"a" * 200: b"1"}, how))


def test_an_extension_that_says_nothing_of_names_is_passed_over() -> None:
    archive = tar({"a": b"1"}, tarfile.PAX_FORMAT, {"mtime": "1.5"})
    assert b"mtime=1.5" in archive
    assert read_tar(archive) == {"a": b"1"}


@pytest.mark.parametrize("path", ["../a", "/a", "a/../b", "a//b", "a/./b", "a\\b"])
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    with pytest.raises(InvalidContract):
        read_tar(tar({path: b""}))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_what_is_neither_a_file_nor_a_folder_is_refused(kind: bytes) -> None:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo("a")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(InvalidContract, match="neither a file nor a folder"):
        read_tar(written.getvalue())


def test_a_path_that_occurs_twice_is_refused() -> None:
    with pytest.raises(InvalidContract, match="twice"):
        read_tar(tar({"a": b"1"})[:1024] + tar({"a": b"2"}))


@pytest.mark.parametrize("at", [0, 100, 124, 148, 257])
def test_a_changed_byte_of_a_header_is_refused(at: int) -> None:
    archive = bytearray(tar({"a": b"1"}))
    archive[at] ^= 1
    with pytest.raises(InvalidContract) as raised:
        read_tar(bytes(archive))
    assert raised.value.code == "invalid_contract malformed_runner"


@pytest.mark.parametrize("size", [1, 511, 513, 1000])
def test_an_archive_that_ends_too_early_is_refused(size: int) -> None:
    with pytest.raises(InvalidContract):
        read_tar(tar({"a": b"x" * 600})[:size])


def test_files_have_a_bound() -> None:
    block = tar({"folder/": b""})[:512]
    with pytest.raises(InvalidContract, match="more than 10000 entries"):
        read_tar(block * 10_001)
