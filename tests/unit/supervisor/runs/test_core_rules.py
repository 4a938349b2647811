"""The smaller pure rules: tails, log records, history."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genvm_manager.protocol.ipc.runs import Capture, Cause, RunState
from genvm_manager.protocol.ipc.status import Execution
from genvm_manager.protocol.limits import MAX_CONTRACT_ERROR
from genvm_manager.supervisor.runs.history import MAX_SHOWN, History
from genvm_manager.supervisor.runs.rules_capture import LIMITS
from genvm_manager.supervisor.runs.rules_log_records import MAX_LINE, LineSplitter, RecordTail
from genvm_manager.supervisor.runs.rules_tail import Tail


def test_every_way_to_capture_has_its_limits() -> None:
    assert set(LIMITS) == set(Capture)


@given(st.lists(st.binary(max_size=50)), st.integers(0, 60))
def test_a_tail_keeps_the_end(parts: list[bytes], limit: int) -> None:
    tail = Tail(limit)
    for part in parts:
        tail.append(part)
    whole = b"".join(parts)
    assert tail.content() == whole[max(0, len(whole) - limit) :]
    assert tail.dropped_bytes == max(0, len(whole) - limit)


@given(st.lists(st.binary(max_size=20).filter(lambda line: line.strip())), st.data())
def test_lines_come_whole_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    expected = [part for line in lines for part in line.split(b"\n") if part.strip()]
    stream = b"\n".join(lines)
    splitter, found = LineSplitter(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += splitter.feed(stream[:size])
        stream = stream[size:]
    assert found + splitter.end() == expected


def test_a_line_without_end_is_cut() -> None:
    splitter = LineSplitter()
    found = splitter.feed(b"x" * (2 * MAX_LINE + 1))
    assert [len(line) for line in found] == [MAX_LINE, MAX_LINE]
    assert splitter.end() == [b"x"]


def test_records_are_objects_whatever_was_written() -> None:
    tail = RecordTail(100, 10_000)
    lines = [
        b'{"level": "warn", "message": "a", "more": [1, 2]}',
        b"plain",
        b"[1]",
        b"{}",
        b'{"a": NaN}',
        b"\xff\xfe",
        b"[" * 3_000,
        b'{"level":"info"',
    ]
    tail.append(b"\n".join(lines))
    records = msgspec.json.decode(tail.content())
    assert records[0] == {"level": "warn", "message": "a", "more": [1, 2]}
    assert records[1] == {"level": "info", "message": "plain"}
    assert records[-1] == {"level": "info", "message": '{"level":"info"'}
    assert len(records) == len(lines)
    assert all(record.keys() >= {"level", "message"} for record in records)


@pytest.mark.parametrize("name", [b"traceback", b"\\u0074raceback"])
def test_where_an_executor_broke_is_told_and_not_kept(name: bytes) -> None:
    told: list[str] = []
    tail = RecordTail(100, 100_000, told.append)
    record = b'{"level":"error","message":"broke","%b":"File /opt/x.py","more":1}\n' % name
    tail.append(record[:40])
    tail.append(record[40:] + record.replace(b"File", b"y" * 20_000))
    assert tail.part(0, 10_000).count(b"/opt/x.py") == 0
    kept = {"level": "error", "message": "broke", "more": 1}
    assert msgspec.json.decode(tail.content()) == [kept, kept]
    assert told[0] == "File /opt/x.py"
    assert len(told[1]) == 16 << 10 and told[1].endswith("/opt/x.py")


def test_why_a_contract_failed_is_kept_though_its_record_is_dropped() -> None:
    tail = RecordTail(1, 10_000)
    for value in (b'"first"', b'"\\n%b"' % (b"x" * 5_000), b"7", b'""', b"null"):
        tail.append(b'{"level": "error", "message": "m", "contract_error": %b}\n' % value)
    tail.append(b"not json\n")
    assert tail.contract_error == " " + "x" * (MAX_CONTRACT_ERROR - 1)
    assert len(msgspec.json.decode(tail.content())) == 1


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(0, 10), st.integers(0, 2_000))
def test_records_are_bounded_both_ways(sizes: list[int], most: int, most_bytes: int) -> None:
    tail = RecordTail(most, most_bytes)
    for size in sizes:
        tail.append(b"x" * size + b"\n")
    records = msgspec.json.decode(tail.content())
    assert len(records) <= most
    assert sum(len(record["message"]) for record in records) <= most_bytes
    assert tail.dropped_records == len(sizes) - len(records)
    kept = sizes[len(sizes) - len(records) :]
    assert [len(record["message"]) for record in records] == kept


@given(
    st.lists(st.tuples(st.binary(max_size=60), st.integers(0, 200))),
    st.integers(1, 5),
    st.integers(100, 600),
)
def test_a_log_can_be_read_while_it_grows(
    steps: list[tuple[bytes, int]], most: int, most_bytes: int
) -> None:
    """A reader who keeps the place in the whole log misses nothing but what was dropped before."""
    tail, whole = RecordTail(most, most_bytes), RecordTail(10_000, 1 << 30)
    seen, place, missed = b"", 0, 0
    for written, length in steps:
        tail.append(written)
        whole.append(written)
        gone = max(0, tail.dropped_bytes - place)
        part = tail.part(place + gone - tail.dropped_bytes, length)
        seen, place, missed = seen + part, place + gone + len(part), missed + gone
    content = tail.content()
    gone = max(0, tail.dropped_bytes - place)
    seen += content[place + gone - tail.dropped_bytes :]
    assert len(seen) + missed + gone == tail.dropped_bytes + len(content)
    if missed + gone == 0:
        records = [msgspec.json.decode(line[1:]) for line in seen.split(b"\n")[:-1]]
        assert records == msgspec.json.decode(whole.content())


def _finished(run_id: int) -> Execution:
    return Execution(
        id=run_id,
        state=RunState.FINISHED,
        cause=Cause.EXITED,
        version="v1.0.0",
        accepted_at=0.0,
        started_at=0.0,
        strict_deadline=1.0,
        finished_at=float(run_id),
        pid=None,
        rss=None,
        cpu_seconds=0.0,
    )


def test_history_shows_the_newest_and_counts_the_rest() -> None:
    history = History([_finished(1)])
    for run_id in range(6, 6 + 150):
        history.add(_finished(run_id))
    assert [each.id for each in history.newest] == list(range(56, 156))
    assert history.omitted(retained=155) == 155 - MAX_SHOWN
    history.forget(list(range(1, 100)))
    assert history.newest[0].id == 100
    assert history.omitted(retained=56) == 0
