"""`/status` stays small and right with 10,000 retained runs (docs/spec/01-http-api.md#status)."""

from __future__ import annotations

from tests.support.retained_runs import retain_runs
from tests.support.service import RunningService

RETAINED = 10_000


def test_ten_thousand_retained_runs_are_counted_and_not_listed() -> None:
    service = RunningService(config="{http_workers: 1, http_threads: 8, execution_retention: 1h}")
    retain_runs(service.state, RETAINED)
    with service:
        reply = service.http.get("/status")
        assert len(reply.content) < 32_000
        shown = reply.json()
        assert list(shown["executions"]) == [str(n) for n in range(RETAINED - 99, RETAINED + 1)]
        assert shown["executions_omitted"] == RETAINED - 100
        assert service.http.get("/status").content == reply.content
        oldest = service.client.status().executions[str(RETAINED - 99)]
        assert (oldest.version, oldest.state, oldest.cpu_seconds) == ("v0.2.0", "finished", 0.01)
        under_way = service.start_run({"sleep_ms": 600_000})
        assert under_way == RETAINED + 1
        shown = service.http.get("/status").json()
        assert shown["executions"][str(under_way)]["state"] == "running"
        assert (len(shown["executions"]), shown["executions_omitted"]) == (101, RETAINED - 100)
        service.client.cancel(under_way, grace_ms=0)
        shown = service.http.get("/status").json()
        assert shown["executions"][str(under_way)]["state"] == "finished"
        assert str(RETAINED - 99) not in shown["executions"]
        assert (len(shown["executions"]), shown["executions_omitted"]) == (100, RETAINED - 99)
        assert service.client.get_run(1).status is not None
