"""The folder of compiled things: bounded, private, and whole after any kill."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from genvm_manager.workers.genvm.engine.private_cache import Bounds, PrivateCache, anonymous_file

MINUTE = 60 * 10**9


class Cache:
    """A cache of texts, and what it reported."""

    def __init__(self, folder: Path, entries: int = 100, size: int | None = None) -> None:
        self.reports: list[str] = []
        self.folder = folder
        self.made: list[str] = []
        self._cache = PrivateCache(folder, Bounds(entries, size), self.reports.append)

    def get(self, name: str, content: bytes = b"x" * 100) -> bytes | None:
        """Return the entry, which is made with `content` where there is none."""

        def make() -> int:
            self.made.append(name)
            return anonymous_file(content)

        return self._cache.get_or_make(name, Path.read_bytes, make)

    def tidy(self) -> None:
        """Remove leftovers, and what is beyond the bounds."""
        self._cache.tidy()

    def names(self) -> set[str]:
        """Return the names of the files in the folder, but for stamps."""
        return {path.name for path in self.folder.iterdir() if path.suffix != ".stamp"}

    def age(self, name: str, minutes: int) -> None:
        """Make an entry look as if it had been used so many minutes ago."""
        stamp = self.folder / f"{name}.stamp"
        at = stamp.stat().st_mtime_ns - minutes * MINUTE
        os.utime(stamp, ns=(at, at))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "deep" / "cache")


def test_a_thing_is_made_once_in_a_folder_for_nobody_else(cache: Cache) -> None:
    assert cache.get("a", b"content") == b"content"
    assert cache.get("a", b"other") == b"content"
    assert cache.made == ["a"]
    for folder in (cache.folder, cache.folder.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(path.name for path in cache.folder.iterdir()) == ["a", "a.stamp"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in cache.folder.iterdir())


@pytest.mark.parametrize(("entries", "size"), [(3, None), (100, 350)])
def test_what_was_used_least_recently_leaves_first(
    tmp_path: Path, entries: int, size: int | None
) -> None:
    cache = Cache(tmp_path / "cache", entries, size)
    for age, name in ((30, "oldest"), (20, "old"), (10, "new")):
        cache.get(name)
        cache.age(name, age)
    cache.get("oldest")
    cache.get("newest")
    assert cache.names() == {"oldest", "new", "newest"}
    assert cache.made == ["oldest", "old", "new", "newest"]


def test_use_is_noted_once_a_minute(cache: Cache) -> None:
    cache.get("a")
    stamp = cache.folder / "a.stamp"
    first = stamp.stat().st_mtime_ns
    cache.get("a")
    assert stamp.stat().st_mtime_ns == first
    cache.age("a", 2)
    cache.get("a")
    assert stamp.stat().st_mtime_ns >= first


def test_what_is_more_than_the_whole_cache_is_made_and_not_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", size=1000)
    cache.get("small")
    assert cache.get("large", bytes(2000)) == bytes(2000)
    assert cache.names() == {"small"}
    assert cache.reports == ["2,000 bytes are not cached: the cache holds 1,000 at most"]


LEFT = [".a.1.new", ".a.stamp.1.new", ".a.lock", "unstamped", "absent.stamp", ".gone.77.new"]


def test_what_killed_processes_left_goes_when_something_is_added(cache: Cache) -> None:
    cache.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    for name in LEFT:
        (cache.folder / name).write_bytes(b"rubbish")
    cache.get("a")
    cache.tidy()
    assert sorted(path.name for path in cache.folder.iterdir()) == ["a", "a.stamp"]


def test_what_another_process_is_writing_stays(cache: Cache) -> None:
    cache.get("first")
    new = cache.folder / ".a.1.new"
    new.write_bytes(b"half")
    with open(cache.folder / ".a.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cache.get("b")
        assert new.exists()
    cache.tidy()
    assert not new.exists()


def test_who_comes_second_waits_and_others_do_not(tmp_path: Path) -> None:
    first, second = Cache(tmp_path / "cache"), Cache(tmp_path / "cache")
    making, may_end = threading.Event(), threading.Event()

    def slowly() -> int:
        making.set()
        assert may_end.wait(30)
        return anonymous_file(b"slow")

    maker = threading.Thread(
        target=first._cache.get_or_make, args=("slow", Path.read_bytes, slowly)
    )
    maker.start()
    assert making.wait(30)
    waiter = threading.Thread(target=second.get, args=("slow",))
    waiter.start()
    assert second.get("quick", b"quick") == b"quick"
    assert waiter.is_alive()
    may_end.set()
    maker.join(30)
    waiter.join(30)
    assert second.made == ["quick"]


def no_folder(place: Path) -> Path:
    place.write_bytes(b"")
    return place


def link(place: Path) -> Path:
    place.symlink_to(place.parent)
    return place


def open_to_others(place: Path) -> Path:
    place.mkdir(mode=0o755)
    return place


def somebody_else_s(place: Path) -> Path:
    place.mkdir(mode=0o700)
    os.chown(place, 12345, 12345)
    return place


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (no_folder, "it is not a folder"),
        (link, "it is not a folder"),
        (open_to_others, "others may use it"),
        (somebody_else_s, "others may use it"),
    ],
)
def test_a_folder_that_cannot_be_trusted_costs_time_and_nothing_else(
    tmp_path: Path, spoil: Callable[[Path], Path], why: str
) -> None:
    folder = spoil(tmp_path / "cache")
    cache = Cache(folder)
    assert cache.get("a") == b"x" * 100
    assert cache.get("a") == b"x" * 100
    assert cache.made == ["a", "a"]
    assert len(cache.reports) == 1
    assert f"the cache is not used: {folder}: {why}" in cache.reports[0]


def test_an_entry_that_is_a_link_is_made_again(cache: Cache, tmp_path: Path) -> None:
    cache.get("a")
    moved = tmp_path / "moved"
    (cache.folder / "a").rename(moved)
    (cache.folder / "a").symlink_to(moved)
    cache.get("a", b"again")
    assert cache.made == ["a", "a"]
    assert not (cache.folder / "a").is_symlink()


FULL = "mount -t tmpfs -o size=64k,mode=700 none {place}"
READ_ONLY = "mount -t tmpfs -o mode=700 none {place} && mount -o remount,ro {place}"
PROGRAM = """
import sys
from pathlib import Path
from genvm_manager.base.files.cache_folder import choose_cache_folder
from tests.process.workers.genvm.test_private_cache import Cache
cache = Cache(Path(sys.argv[1]) / "contracts")
print(cache.get("a", bytes(1 << 20)) == bytes(1 << 20), *cache.reports, sep="|")
print(*choose_cache_folder({"GENVM_CACHE_DIR": sys.argv[1]}, Path(sys.argv[2])), sep="|")
"""


@pytest.mark.parametrize(
    ("mount", "reason", "is_chosen"),
    [(FULL, "No space left on device", True), (READ_ONLY, "Read-only file system", False)],
)
def test_a_disk_that_is_full_or_read_only_is_called_so(
    tmp_path: Path, mount: str, reason: str, is_chosen: bool
) -> None:
    place, state = tmp_path / "cache", tmp_path / "state"
    place.mkdir(mode=0o700)
    script = f'{mount.format(place=place)} && exec "$0" -c "$1" {place} {state}'
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, sys.executable, PROGRAM],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    used, chosen = ended.stdout.splitlines()
    is_made, report = used.split("|")
    assert is_made == "True"
    assert report.endswith(f"{place / 'contracts'}: {reason}")
    folder, note = chosen.split("|")
    assert folder == str(place if is_chosen else state / "cache")
    assert (note == "None") if is_chosen else (f"nothing can be kept in {place} (" in note)


def test_a_folder_that_somebody_put_there_keeps_nothing_else_from_leaving(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", entries=2)
    cache.get("first")
    for name in ("a", ".b.1.new", ".c.lock", "lost+found"):
        (cache.folder / name).mkdir()
    (cache.folder / ".z.1.new").touch()
    for name in ("second", "third"):
        cache.age("first", 10)
        cache.get(name)
    assert cache.get("a", b"content") == b"content"
    assert not {"first", ".z.1.new"} & cache.names()
    assert {"second", "third"} <= cache.names()


def test_an_entry_that_is_a_named_pipe_is_made_again_at_once(cache: Cache) -> None:
    cache.get("a")
    for name in ("a", "a.stamp"):
        (cache.folder / name).unlink()
        os.mkfifo(cache.folder / name)
    assert cache.get("a", b"again") == b"again"
    assert cache.get("a", b"other") == b"again"
