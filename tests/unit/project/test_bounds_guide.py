"""The table of bounds in docs/operations/limits.md is what the code has."""

from __future__ import annotations

import re

from genvm_manager.base.process.backoff import Backoff
from genvm_manager.base.settings.config import Config
from genvm_manager.manager.server.gunicorn_master import MOST_RETIRED
from genvm_manager.manager.server.gunicorn_settings import HEADER_SIZE, HEADERS
from genvm_manager.protocol.calldata import MAX_VALUES
from genvm_manager.protocol.contract import zip_file as contract_zip
from genvm_manager.protocol.contract.runner_description import MAX_DESCRIPTION, MAX_NESTING
from genvm_manager.protocol.contract.zip_file import MAX_FILES
from genvm_manager.protocol.host.messages import MAX_BLOB
from genvm_manager.protocol.ipc.codec import MAX_REPLY
from genvm_manager.protocol.ipc.runs import Capture
from genvm_manager.protocol.run_request import (
    MAX_DEADLINE,
    MAX_EXTRA_ARG,
    MAX_EXTRA_ARGS,
    MAX_HOST_DATA,
    MAX_LEADER_RESULTS,
)
from genvm_manager.supervisor.daemon import FRAME_ROOM
from genvm_manager.supervisor.ipc.server import MAX_CLIENTS
from genvm_manager.supervisor.runs.admission_queue import MAX_QUEUED_BYTES
from genvm_manager.supervisor.runs.rules_capture import LIMITS
from genvm_manager.supervisor.runs.rules_log_records import MAX_LINE
from genvm_manager.workers.genvm.calls.gl_calls import MAX_REQUEST_VALUES
from genvm_manager.workers.genvm.calls.operations import MAX_REQUEST
from genvm_manager.workers.genvm.engine.compile_cache import MAX_CACHED_CONTRACTS
from genvm_manager.workers.genvm.engine.compiler import CompilerBounds
from genvm_manager.workers.genvm.engine.guest import MAX_TABLE_ELEMENTS, MAX_TABLES
from genvm_manager.workers.genvm.engine.instrumentation import MAX_FRAMES
from genvm_manager.workers.genvm.log import MAX_OF_CONTRACT
from genvm_manager.workers.genvm.run.contract_run import HOST_MEMORY
from genvm_manager.workers.genvm.run.programs import (
    MAX_ACTIONS,
    MAX_ARGUMENT_BYTES,
    MAX_ARGUMENTS,
    MAX_LINKED,
    MAX_MAPPED,
    MAX_NODES,
    MAX_RUNNERS,
    MAX_VARIABLE,
    MAX_VARIABLE_BYTES,
)
from genvm_manager.workers.genvm.run.runners import MAX_ARCHIVE
from genvm_manager.workers.genvm.wasi.descriptors import MAX_OUTPUT
from tests.conftest import PROJECT

GUIDE = (PROJECT / "docs/operations/limits.md").read_text()
_ROW = re.compile(r"^\| (.*) \| (.*) \| .* \|$", re.MULTILINE)


def mib(size: int) -> str:
    assert size % (1 << 20) == 0
    return f"{size >> 20} MiB"


def figures() -> dict[str, str]:
    brief, tail, everything = (
        LIMITS[each] for each in (Capture.BRIEF, Capture.TAIL, Capture.EVERYTHING)
    )
    assert brief and tail and everything
    assert everything.stream_bytes == everything.log_bytes
    return {
        "values in a request's body, each key of a map counted as well": str(MAX_VALUES),
        "`host_data`": mib(MAX_HOST_DATA),
        "nesting of a runner description": str(MAX_NESTING),
        "characters of one": mib(MAX_DESCRIPTION),
        "actions of one and of those it depends on": str(MAX_ACTIONS),
        "runners that depend on each other, how deep": str(MAX_RUNNERS),
        "runner archives that one run reads, bytes together": mib(MAX_ARCHIVE),
        "files of a runner archive": str(MAX_FILES),
        "modules that are linked to a program": str(MAX_LINKED),
        "frames of a module's functions that are open at a time": str(MAX_FRAMES),
        "its arguments": f"{MAX_ARGUMENTS}, of {mib(MAX_ARGUMENT_BYTES)} together",
        "the value of one variable, filled in": f"{MAX_VARIABLE >> 10} KiB",
        "all values of variables, those that are replaced as well": mib(MAX_VARIABLE_BYTES),
        "files that are mapped, each time counted": str(MAX_MAPPED),
        "files and folders that a guest sees": str(MAX_NODES),
        "files of a ZIP": str(MAX_FILES),
        "bytes of a path in a ZIP": str(contract_zip.MAX_PATH),
        "stdout and stderr that a contract prints in the built-in executor, each": mib(MAX_OUTPUT),
        "characters of the log that a contract writes there": mib(MAX_OF_CONTRACT),
        "values in one request of a contract to its host": str(MAX_REQUEST_VALUES),
        "tables of a module, and elements of each": f"{MAX_TABLES}, {MAX_TABLE_ELEMENTS}",
        "bytes of one": mib(MAX_REQUEST),
        "the executor's memory for a run: pages, emissions, answers not yet read": mib(HOST_MEMORY),
        "bytes that those hold": mib(MAX_QUEUED_BYTES),
        "connections to the supervisor": str(MAX_CLIENTS),
        "words in `extra_args`": str(MAX_EXTRA_ARGS),
        "characters of each of those": str(MAX_EXTRA_ARG),
        "`leader_nondet_results`": str(MAX_LEADER_RESULTS),
        "a request's headers": str(HEADERS),
        "bytes of each of those": f"{HEADER_SIZE} bytes",
        "a command to the supervisor": f"`max_body` and {mib(FRAME_ROOM)}",
        "a reply of the supervisor": mib(MAX_REPLY),
        "stdout and stderr that are kept, each": mib(tail.stream_bytes),
        "compiled contracts, by number": str(MAX_CACHED_CONTRACTS),
        "memory of one compilation": mib(CompilerBounds().memory),
        "processor time of one compilation": f"{CompilerBounds().seconds} s",
        "log records that are kept": str(tail.log_records),
        "bytes of those": mib(tail.log_bytes),
        "a line of the log": f"{MAX_LINE >> 10} KiB",
        "with `debug_mode: safe`, log records": str(brief.log_records),
        "with `debug_mode: safe-unbounded`, stdout, stderr and log, each": mib(
            everything.stream_bytes
        ),
        "a run's result": mib(MAX_BLOB),
        "a run's time": f"{MAX_DEADLINE / 3600:.0f} h, or what it asks for",
        f"deaths of a half within {Backoff().window:.0f} s": str(Backoff().max_crashes),
        "reloads whose workers are still busy": str(MOST_RETIRED),
    }


def test_each_figure_is_the_code_s_own_and_each_setting_is_one() -> None:
    table = GUIDE.partition("## What is bounded, and what happens at the bound\n")[2].partition(
        "\n## "
    )[0]
    rows = dict(_ROW.findall(table))
    assert len(rows) > len(figures())
    for what, most in figures().items():
        assert rows[what] == most, what
    for what, most in rows.items():
        if what not in figures() and (named := re.fullmatch(r"`(\w+)`", most)):
            assert hasattr(Config(), named[1]), what
