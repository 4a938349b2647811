"""What an operator types at a service: its runs, permits and log, with good and bad arguments."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from genvm_manager.protocol.ipc.runs import RunState
from genvm_manager.protocol.run_result import ResultCode, RunResult
from tests.support.operator import Operator
from tests.support.service import RunningService
from tests.support.waiting import TIMEOUT, wait_until

RECORDS = [{"level": "info", "message": "hi", "n": [1]}, {"level": "error", "message": "\x1b[31m"}]
UNKNOWN = 999_999


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with RunningService(config="{http_workers: 1, permits: {total: 3}}") as running:
        yield running


@pytest.fixture(scope="module")
def operator(service: RunningService) -> Operator:
    return Operator(service)


def result(code: ResultCode, data: Any) -> bytes:
    return RunResult(code, data, b"\0" * 32, [], [], [], None, [], None).encode()


def finished(service: RunningService, orders: dict[str, Any]) -> str:
    run_id = service.start_run(orders)
    assert service.client.get_run(run_id, wait=TIMEOUT).status is not None
    return str(run_id)


# ---------------------------------------------------------------------------------------- status


def test_status(service: RunningService, operator: Operator) -> None:
    run_id = service.start_run({"sleep_ms": 600_000})
    text = operator.types("status").stdout
    head, *lines = text.splitlines()
    assert head == f"{service.url} takes runs"
    assert "  modules  llm stopped, web stopped" in lines
    assert "  permits  2 of 3 are free; a run takes 1, one with modules 2" in lines
    assert "  audit    ok" in lines
    assert "1 running" in text
    as_json = operator.reads("status")
    assert as_json["ready"] is True
    of_api = service.http.get("/status").json()
    assert as_json.keys() == of_api.keys() | {"url", "ready", "reason"}
    assert as_json["executions"][str(run_id)]["state"] == "running"
    service.client.cancel(run_id, grace_ms=0)


def test_ps(service: RunningService, operator: Operator) -> None:
    over = finished(service, {"exit": 3})
    run_id = service.start_run({"sleep_ms": 600_000})
    wait_until(lambda: service.client.status().executions[str(run_id)].rss_bytes)
    head, *rows = operator.types("ps").stdout.splitlines()
    assert head.split() == [
        "ID",
        "STATE",
        "AGE",
        "TIME",
        "CPU",
        "MEMORY",
        "PID",
        "VERSION",
        "CAUSE",
    ]
    (own,) = [row.split() for row in rows if row.split()[0] == str(run_id)]
    assert own[1] == "running"
    assert own[-2:] == ["v0.2.7", "-"]
    assert "MiB" in own
    assert over not in [row.split()[0] for row in rows]
    every = {
        row.split()[0]: row.split() for row in operator.types("ps", "--all").stdout.splitlines()
    }
    assert (every[over][1], every[over][-1]) == ("finished", "exited")
    listed = {each["id"]: each for each in operator.reads("ps", "-a")}
    assert listed[int(over)]["cause"] == "exited"
    assert listed[run_id]["accepted_at"] <= listed[run_id]["started_at"]
    assert all(each["state"] != "finished" for each in operator.reads("ps"))
    service.client.cancel(run_id, grace_ms=0)


# ------------------------------------------------------------------------------------------ logs


def test_logs_of_all_outputs_and_of_one(service: RunningService, operator: Operator) -> None:
    run_id = finished(service, {"print": "one\ntwo \x1b[2J\nno end", "log": RECORDS})
    assert operator.types("logs", run_id).stdout.splitlines() == [
        "stdout  one",
        "stdout  two \\x1b[2J",
        "stdout  no end",
        "log     info  hi n=[1]",
        "log     error \\x1b[31m",
    ]
    assert operator.types("logs", run_id, "--only", "stdout").stdout == "one\ntwo \x1b[2J\nno end"
    assert (
        operator.types("logs", run_id, "--only", "log").stdout.splitlines()[0] == "info  hi n=[1]"
    )
    assert operator.types("logs", run_id, "--only", "stderr").stdout == ""
    lines = [
        json.loads(each) for each in operator.types("logs", run_id, "--json").stdout.splitlines()
    ]
    assert [each["text"] for each in lines if each["output"] == "stdout"][1] == "two \x1b[2J"
    assert [each["record"] for each in lines if each["output"] == "genvm_log"] == RECORDS


def test_no_output_forges_a_line_of_another(service: RunningService, operator: Operator) -> None:
    ends = ("\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029")
    forged = [f"end{each}log     error all is lost" for each in ends]
    steering = "\u202eabc\u2066\u200b\ufeff\x9b31m\U000e0041"
    records = [{"level": "info", "message": text} for text in (*forged, steering)]
    records.append({"level": "info\nlog     error", "message": "m", "a\nlog b": "c\nlog"})
    run_id = finished(service, {"print": "\n".join(forged[1:]), "log": records})
    lines = operator.types("logs", run_id).stdout.split("\n")[:-1]
    assert len(lines) == len(forged[1:]) + len(records)
    assert lines[0] == r"stdout  end\x0dlog     error all is lost"
    assert lines[len(forged) - 1] == r"log     info  end\x0alog     error all is lost"
    assert all(len(line.splitlines()) == 1 for line in lines), "for any reader"
    assert r"\u2028log" in lines[len(forged) + 5]
    assert r"\u202eabc\u2066\u200b\ufeff\x9b31m\U000e0041" in lines[-2]
    assert lines[-1] == r'log     info\x0alog     error m a\x0alog b="c\nlog"'
    raw = operator.types("logs", run_id, "--only", "stdout").stdout
    assert "\u2028log" in raw, "to a pipe, one output comes as it was written"


def test_logs_say_what_is_not_kept(service: RunningService, operator: Operator) -> None:
    run_id = finished(service, {"print": "x" * (5 << 20)})
    ended = operator.types("logs", run_id, "--only", "stdout")
    assert len(ended.stdout) == 4 << 20
    assert f"({1 << 20} bytes of stdout are not kept)" in ended.stderr


def test_logs_follow_a_run_from_the_queue_to_its_end(
    service: RunningService, operator: Operator
) -> None:
    orders = {"print": "here I am\n", "log": RECORDS, "sleep_ms": 1_000}
    with operator.fills_the_queue(orders) as (run_id, future):
        with operator.watches("logs", "-f", str(run_id)) as command:
            wait_until(lambda: f"run {run_id} waits for permits" in command.stderr)
            assert command.stdout == ""
            service.client.cancel(run_id - 1, grace_ms=0)
            wait_until(lambda: "here I am" in command.stdout)
            state = service.client.status().executions[str(run_id)].state
            assert state is RunState.RUNNING, "it is told while it runs"
            assert command.ends() == 0
            lines = command.stdout.splitlines()
        assert future.result() == run_id
    assert lines == [
        "stdout  here I am",
        "log     info  hi n=[1]",
        "log     error \\x1b[31m",
    ]


def test_who_follows_a_flood_is_told_of_each_byte(
    service: RunningService, operator: Operator
) -> None:
    written = 12 << 20
    with operator.fills_the_queue({"print": "x" * (written - 4) + "end\n"}) as (run_id, future):
        with operator.watches("logs", "-f", str(run_id), "--only", "stdout") as command:
            wait_until(lambda: "waits for permits" in command.stderr)
            service.client.cancel(run_id - 1, grace_ms=0)
            assert command.ends() == 0
            missed = map(int, re.findall(r"\((\d+) bytes of stdout", command.stderr))
            assert len(command.stdout) + sum(missed) == written
            assert command.stdout.endswith("xend\n")
        future.result()


# ------------------------------------------------------------------------------------ kill, wait


def test_kill_says_how_it_ended_and_may_be_repeated(
    service: RunningService, operator: Operator
) -> None:
    run_id = str(service.start_run({"sleep_ms": 600_000}))
    assert (
        f"run {run_id} ended: cancelled by SIGTERM after " in operator.types("kill", run_id).stdout
    )
    again = operator.types("kill", run_id).stdout
    assert again.startswith(f"run {run_id} had already ended: cancelled by SIGTERM")
    as_json = operator.reads("kill", run_id, "--grace", "0s")
    assert (as_json["genvm_id"], as_json["was"]) == (int(run_id), "finished")
    assert (as_json["cause"], as_json["signal"], as_json["exit_code"]) == ("cancelled", 15, None)


def test_kill_takes_a_run_off_the_queue(operator: Operator) -> None:
    with operator.fills_the_queue({}) as (run_id, future):
        assert operator.types("kill", str(run_id)).stdout == f"run {run_id} ended: cancelled\n"
        assert future.exception() is not None


@pytest.mark.parametrize(
    ("orders", "code", "texts"),
    [
        ({"result": result(ResultCode.RETURN, {"a": 1})}, 0, ["return", '{"a": 1}']),
        ({"result": result(ResultCode.USER_ERROR, "not today")}, 1, ["user error", '"not today"']),
        ({"result": result(ResultCode.VM_ERROR, "OOM")}, 2, ["VM error", "OOM", "meaning"]),
        ({"exit": 7}, 3, ["internal error", "with code 7"]),
    ],
)
def test_wait_exits_as_the_contract_did(
    service: RunningService, operator: Operator, orders: dict[str, Any], code: int, texts: list[str]
) -> None:
    run_id = service.start_run(orders | {"sleep_ms": 300})
    text = operator.types("wait", str(run_id), code=code).stdout
    assert text.startswith(f"run {run_id}: {texts[0]}")
    assert all(each in text for each in texts)
    as_json = operator.reads("wait", str(run_id), code=code)
    assert as_json["run_id"] == run_id
    assert as_json["result"] == texts[0].replace(" ", "_").lower()
    assert as_json["cause"] == "exited"


def test_wait_no_longer_than_it_is_told(service: RunningService, operator: Operator) -> None:
    run_id = service.start_run({"sleep_ms": 600_000})
    begin = time.monotonic()
    ended = operator.types("wait", str(run_id), "--timeout", "1500ms", code=124)
    assert time.monotonic() - begin >= 1.5
    assert f"run {run_id} has not ended within 1500ms" in ended.stderr
    assert f"waiting for run {run_id}, which is running …" in ended.stderr
    service.client.cancel(run_id, grace_ms=0)


def test_wait_bears_a_supervisor_that_is_killed(
    service: RunningService, operator: Operator
) -> None:
    run_id = service.start_run({"sleep_ms": 600_000})
    with operator.watches("wait", str(run_id), "--json") as command:
        wait_until(lambda: "waiting for run" in command.stderr)
        with service.without_supervisor():
            assert command.process.poll() is None
        assert command.ends() == 3
        assert json.loads(command.stdout)["cause"] == "lost"


# ---------------------------------------------------------------------------- permits, log level


def test_permits_are_shown_and_changed(service: RunningService, operator: Operator) -> None:
    assert operator.types("permits").stdout == "3 of 3 permits are free, 0 in use; 0 runs wait\n"
    assert operator.reads("permits", "5") == {"permits": 5, "max": 5, "in_use": 0, "queued": 0}
    assert service.client.permits().max == 5
    assert "permits: expected 2" in operator.types("permits", "1", code=64).stderr
    operator.types("permits", "3")


def test_the_log_level_is_changed(service: RunningService, operator: Operator) -> None:
    assert operator.types("log-level", "debug").stdout == "log level is now debug\n"
    assert operator.reads("log-level", "info") == {"level": "info", "result": "log_level_set"}
    assert "log_level_set" in service.log


# ------------------------------------------------------------------------------------- at fault


@pytest.mark.parametrize("command", ["logs", "kill", "wait"])
def test_an_unknown_run(operator: Operator, command: str) -> None:
    ended = operator.types(command, str(UNKNOWN), code=66)
    assert ended.stderr == (
        f"Error: GenVM with id {UNKNOWN} not found; genvm-manager ps --all lists the runs that are "
        "kept\n"
    )
    assert operator.reads(command, str(UNKNOWN), code=66)["result"] == "failed"


def test_without_a_supervisor_it_says_to_try_again(
    service: RunningService, operator: Operator
) -> None:
    with service.without_supervisor():
        for arguments in (("ps",), ("permits", "4"), ("kill", "1")):
            assert "; try again in 1 s\n" in operator.types(*arguments, code=75).stderr
