"""What clients have changed, in a file in memory, whenever its writer is killed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.supervisor.settings import handover
from genvm_manager.supervisor.settings.handover import Handover


@pytest.fixture
def file() -> Iterator[int]:
    descriptor = os.memfd_create("handover")
    yield descriptor
    os.close(descriptor)


def opened(descriptor: int | None) -> Handover:
    return Handover(descriptor, EventLog(logging.getLogger("handover")))


def variables(descriptor: int) -> dict[str, str]:
    return opened(descriptor).changes.variables


def test_the_next_one_finds_what_was_saved_last(file: int) -> None:
    for number in range(30):
        kept = opened(file)
        assert kept.changes.permits == (number or None)
        kept.changes.permits = number + 1
        kept.changes.variables = {"X": "x" * (number * 37 % 100)}
        kept.save()
        assert variables(file) == {"X": "x" * (number * 37 % 100)}
    assert os.fstat(file).st_size < 1000, "what counts no more is written over"


def test_without_a_file_nothing_is_kept() -> None:
    opened(None).save()
    assert opened(None).changes.permits is None


def test_whoever_is_killed_while_saving_leaves_what_was_before(
    file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[dict[str, str]] = []
    write, cut = os.pwrite, os.ftruncate

    def writes(descriptor: int, content: memoryview, at: int) -> int:
        if len(content) > 16:
            write(descriptor, content[: len(content) // 2], at)
            found.append(variables(descriptor))
        written = write(descriptor, content, at)
        found.append(variables(descriptor))
        return written

    def cuts(descriptor: int, size: int) -> None:
        cut(descriptor, size)
        found.append(variables(descriptor))

    monkeypatch.setattr(handover, "_CHUNK", 64)
    kept = opened(file)
    for size in (500, 3, 800, 500, 200, 900):
        before, after = dict(kept.changes.variables), {"X": "x" * size}
        kept.changes.variables = after
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", writes)
            patched.setattr(os, "ftruncate", cuts)
            kept.save()
        turn = found.index(after)
        assert found == [before] * turn + [after] * (len(found) - turn)
        found.clear()


def test_a_full_memory_costs_the_latest_change_only(
    file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = opened(file)
    kept.changes.permits = 3
    kept.save()

    def fails(*_: object) -> int:
        raise OSError(28, "No space left on device")

    kept.changes.permits = 4
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", fails)
        kept.save()
    assert opened(file).changes.permits == 3


@pytest.mark.parametrize("content", [b"\x80", b"not ours at all, by its looks", b"\x10" * 16])
def test_what_cannot_be_read_is_said_and_costs_no_start(
    file: int, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    os.pwrite(file, content, 0)
    kept = opened(file)
    assert kept.changes == handover.Changes()
    assert caplog.messages == ["changes_lost"]
    kept.changes.permits = 5
    kept.save()
    assert opened(file).changes.permits == 5
