"""A run of the built-in executor that a client stops, as HTTP shows it.

Source: docs/spec/04-executor.md#stopping.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import psutil

from genvm_manager.base.files.cache_folder import usual_cache_folder
from genvm_manager.protocol.run_result import decode_result
from tests.support.calls import MESSAGE
from tests.support.node_host import NodeHost
from tests.support.service import RunningService
from tests.support.waiting import wait_until
from tests.support.wat import Contract


def test_a_run_that_is_deleted_has_the_result_timeout_and_the_cause_cancelled() -> None:
    cache = {"GENVM_CACHE_DIR": str(usual_cache_folder(os.environ))}
    host = NodeHost()
    with (
        tempfile.TemporaryDirectory(prefix="genvm-") as folder,
        host.listen(Path(folder) / "host") as address,
        RunningService(
            "--no-precompile", executor=None, config="{http_workers: 1}", environment=cache
        ) as service,
    ):
        run_id = service.start_run(
            host=address,
            code=Contract().wasm("(loop (br 0))"),
            message=MESSAGE | {"is_init": True},
            permissions="rws",
            is_sync=False,
        )
        execution = service.http.get("/status").json()["executions"][str(run_id)]
        process = psutil.Process(execution["pid"])
        wait_until(lambda: process.cpu_times().user > 1)
        reply = service.http.delete(f"/genvm/{run_id}?wait_timeout_ms=3000").json()
        assert reply == {"result": "shutdown_completed", "genvm_id": run_id}
        status = service.http.get(f"/genvm/{run_id}?wait=30s").json()["status"]
        assert (status["cause"], status["exit_code"]) == ("cancelled", 0)
        result = decode_result(bytes(status["consumed_result"]))
        assert (result.code.name, result.data) == ("VM_ERROR", "timeout")
        assert wait_until(lambda: host.finished) == [True]
