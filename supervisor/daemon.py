"""The supervisor's process: makes all its parts, and ends them in the right order."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import setproctitle

from genvm_manager.base.errors import ManagerError
from genvm_manager.base.files.cache_folder import CacheFolder
from genvm_manager.base.files.state_folder import run_scratch, supervisor_socket
from genvm_manager.base.logging.event_log import EventLog, event_log
from genvm_manager.base.logging.setup import configure_logging
from genvm_manager.base.logging.shared_level import SharedLevel
from genvm_manager.base.process.children import become_subreaper
from genvm_manager.base.process.exhaustion import EX_TEMPFAIL, is_exhaustion
from genvm_manager.base.process.killing import KILL_TIMEOUT
from genvm_manager.base.process.threads import loop_threads
from genvm_manager.base.settings.config import Config
from genvm_manager.base.text.durations import parse_duration
from genvm_manager.supervisor.cgroups.available_memory import available_memory, permits_by_memory
from genvm_manager.supervisor.cgroups.cgroup_manager import CgroupManager
from genvm_manager.supervisor.cgroups.delegated_root import CgroupUnusable
from genvm_manager.supervisor.cgroups.leftovers import Leftovers
from genvm_manager.supervisor.cgroups.run_cgroup import Slice
from genvm_manager.supervisor.cgroups.slices import discard_slices, make_slices
from genvm_manager.supervisor.ipc.operations import operations
from genvm_manager.supervisor.ipc.server import Server
from genvm_manager.supervisor.modules.client_rules import ClientRules
from genvm_manager.supervisor.modules.configuration import ConfigurationFiles
from genvm_manager.supervisor.modules.llm_checks import LlmChecks
from genvm_manager.supervisor.modules.module import Module
from genvm_manager.supervisor.modules.modules import Modules
from genvm_manager.supervisor.modules.pool_factory import PoolFactory
from genvm_manager.supervisor.modules.worker_defaults import WorkerDefaults
from genvm_manager.supervisor.process.command_line import StartSettings, read_command_line
from genvm_manager.supervisor.process.heartbeat import Heartbeat
from genvm_manager.supervisor.process.memory import give_memory_back
from genvm_manager.supervisor.process.service_manager import ServiceManager
from genvm_manager.supervisor.process.stop_requests import StopRequests, stop_requests
from genvm_manager.supervisor.process.upkeep import Upkeep
from genvm_manager.supervisor.runs.admission_queue import AdmissionQueue
from genvm_manager.supervisor.runs.launcher import Launcher
from genvm_manager.supervisor.runs.lifecycle import RunLifecycle
from genvm_manager.supervisor.runs.reaper import Reaper
from genvm_manager.supervisor.runs.recovery import finish_lost_runs
from genvm_manager.supervisor.runs.rules_permits import PermitPool
from genvm_manager.supervisor.runs.rules_rate_limit import RateLimiter
from genvm_manager.supervisor.runs.run_table import RunTable
from genvm_manager.supervisor.runs.sampler import OomMonitor
from genvm_manager.supervisor.runs.scratch import Scratch
from genvm_manager.supervisor.settings.handover import Handover
from genvm_manager.supervisor.settings.settings import Settings
from genvm_manager.supervisor.store.failure import StoreFailed, StoreUnusable
from genvm_manager.supervisor.store.retention import StoreUpkeep
from genvm_manager.supervisor.store.state_lock import (
    HeldFolder,
    StateFolderHeld,
    StateFolderUnusable,
    prepare_folder,
)
from genvm_manager.supervisor.store.state_watch import StateWatch
from genvm_manager.supervisor.store.store import RunStore
from genvm_manager.supervisor.telemetry.metrics import Metrics
from genvm_manager.supervisor.telemetry.version import StatusVersion

from .controls import Controls
from .service import Service

EXIT_UNUSABLE = 1
EXIT_BAD_CONFIG = 2
EXIT_HELD = 73
"""Another supervisor holds the state folder (EX_CANTCREAT)."""

_KEPT_NAME = "genvm-handover"

FRAME_ROOM = 1 << 20
"""Bytes of a command beyond the body of the HTTP request that it comes from."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """What the next supervisor goes on with."""

    store: RunStore
    handover: Handover


def main(shim: int) -> int:
    """Run until told to stop; return the exit status. `shim` is the pipe from `process.shim`."""
    service_manager = ServiceManager.named_in(os.environ)
    try:
        start = read_command_line(shim, service_manager)
    except ManagerError as error:
        print(f"genvm-manager supervisor: {error.message}", file=sys.stderr)
        return EXIT_BAD_CONFIG
    try:
        prepare_folder(start.folder)
        held = HeldFolder(start.folder)
    except StateFolderHeld as error:
        print(f"genvm-manager supervisor: {error}", file=sys.stderr)
        return EXIT_HELD
    except StateFolderUnusable as error:
        print(f"genvm-manager supervisor: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    try:
        _settle_in(start.folder)
        _run(start, held)
    except CgroupUnusable as error:
        print(f"genvm-manager supervisor: {error}", file=sys.stderr)
        return EXIT_BAD_CONFIG
    except (StoreUnusable, StoreFailed, StateFolderUnusable) as error:
        print(f"genvm-manager supervisor: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    except OSError as error:
        if not is_exhaustion(error):
            raise
        print(f"genvm-manager supervisor: {error.strerror}", file=sys.stderr)
        return EX_TEMPFAIL
    finally:
        held.release()
    return 0


def _run(start: StartSettings, held: HeldFolder) -> None:
    runner = asyncio.Runner()
    try:
        runner.run(_serve(start, held))
    finally:
        # It starts a thread, which the system may refuse: all is done by then.
        with contextlib.suppress(RuntimeError):
            runner.close()


def _settle_in(folder: Path) -> None:
    """Set the process title, raise the descriptor limit, become a subreaper."""
    setproctitle.setproctitle(f"genvm-manager supervisor {folder}")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.umask(0o077)
    # `python -m` looks for modules where it is started: nobody else may put some there.
    os.chdir(folder)
    become_subreaper()
    give_memory_back()
    # A service manager that takes this process for hung sends SIGABRT: print a traceback first.
    faulthandler.enable()
    # The store's thread must not wait long for its turn.
    sys.setswitchinterval(0.0005)


async def _serve(start: StartSettings, held: HeldFolder) -> None:
    config = start.config
    configure_logging("supervisor", config.log_format, config.log_level, shows_pid=False)
    log = event_log("genvm_manager.supervisor")
    loop = asyncio.get_running_loop()
    # All threads are started here: one that is refused later would be an error anywhere.
    loop.set_default_executor(loop_threads())
    path = _socket_path(start.folder)
    _log_cache_folder(start.executors.cache, log)
    metrics = Metrics()
    handover = Handover(_kept_file(start), log)
    ids = handover.changes.run_ids
    store = RunStore(held, config.retained_bytes, loop, log, ids)
    with contextlib.closing(store):
        slices = _cgroup_slices(start, log)
        await finish_lost_runs(store, metrics, log)
        reaper = Reaper(CgroupManager(slices, config.run_memory_limit, log), log)
        service = _assemble(start, Lasting(store, handover), reaper, metrics, log)
        server = Server(operations(service), log, config.max_body + FRAME_ROOM)
        stops = stop_requests(start.shim, start.parent_pipe)
        await server.listen(path)
        log.info("supervisor_ready", pid=os.getpid(), socket=str(path))
        heartbeat = Heartbeat(start.service_manager, service)
        watch = StateWatch(held, server, service, slices)
        upkeep = (*_upkeep(service, config), watch, heartbeat)
        background = [asyncio.create_task(work.run()) for work in upkeep]
        background.append(asyncio.create_task(_reload_when_asked(stops, service.controls, log)))
        await stops.asked.wait()
        start.service_manager.forget(_KEPT_NAME)
        heartbeat.stop_begins()
        await _stop(service, stops, parse_duration(config.drain_timeout), log)
        for work in background:
            work.cancel()
        service.controls.settings.log_level.forget()
        service.life.version.close()
        await server.close()
        service.life.scratch.close()
        reaper.close()
        discard_slices(slices, str(start.folder))
    log.info("supervisor_stopped")


def _socket_path(folder: Path) -> Path:
    try:
        return supervisor_socket(folder)
    except ValueError as error:
        raise StateFolderUnusable(str(error)) from None


def _log_cache_folder(cache: CacheFolder, log: EventLog) -> None:
    log.info("cache_folder", folder=str(cache.path))
    if cache.note is not None:
        log.warning("cache_folder_is_not_the_usual_one", reason=cache.note)


def _cgroup_slices(start: StartSettings, log: EventLog) -> tuple[Slice, ...]:
    """End what a killed supervisor left in its slices, and make ours."""
    folder = str(start.folder)
    if killed := Leftovers(folder).end(KILL_TIMEOUT):
        log.warning("left_runs_killed", pids=killed)
    return make_slices(start.config.cgroup, folder, log)


def _assemble(
    start: StartSettings,
    lasting: Lasting,
    reaper: Reaper,
    metrics: Metrics,
    log: EventLog,
) -> Service:
    config = start.config
    settings = Settings(
        file=start.file,
        config=config,
        manifests=start.manifests,
        environment=start.environment,
        log_level=SharedLevel(start.folder, config.log_level),
    )
    worker_defaults = WorkerDefaults(
        start.folder, start.environment, settings.log_level, config.log_format
    )
    files = ConfigurationFiles(start.module_folders)
    rules = ClientRules(settings, files)
    version = StatusVersion()
    pool = PermitPool(_total_permits(config, log), config.max_queued)
    rate = RateLimiter(config.max_runs_per_second, time.monotonic())
    queue = AdmissionQueue(pool, config.permits, rate)
    life = RunLifecycle(
        store=lasting.store,
        launcher=Launcher(start.executors.variables),
        reaper=reaper,
        runs=RunTable(queue, lasting.store.last_id, version, log),
        scratch=Scratch(run_scratch(start.folder), log),
        oom_monitor=OomMonitor(),
        modules=_modules(config, PoolFactory(worker_defaults, files, rules, log), version, log),
        metrics=metrics,
        version=version,
        log=log,
    )
    checks = LlmChecks(worker_defaults, rules)
    controls = Controls(settings, life, checks, lasting.handover)
    controls.resume()
    return Service(life, controls)


def _kept_file(start: StartSettings) -> int | None:
    """Return the file that outlives a kill, since `serve` or a service manager holds it too."""
    manager = start.service_manager
    if start.handover is not None or not manager.is_there:
        return start.handover
    if _KEPT_NAME in manager.kept:
        return manager.kept[_KEPT_NAME]
    made = os.memfd_create(_KEPT_NAME)
    manager.keep(_KEPT_NAME, made)
    return made


def _modules(
    config: Config, factory: PoolFactory, version: StatusVersion, log: EventLog
) -> Modules:
    drain_timeout = parse_duration(config.drain_timeout)
    return Modules(lambda kind: Module(kind, factory, drain_timeout, version, log))


def _upkeep(service: Service, config: Config) -> tuple[Upkeep, StoreUpkeep]:
    retention = parse_duration(config.execution_retention)
    life = service.life
    return (
        Upkeep(service, config.run_memory_limit),
        StoreUpkeep(life.store, service.health.history, life.version, retention, life.log),
    )


def _total_permits(config: Config, log: EventLog) -> int:
    """Return the configured permits, or what free memory allows; at least one run's cost."""
    costs = config.permits
    if costs.total is not None:
        return max(costs.total, costs.dearest)
    memory = available_memory(config.cgroup)
    permits = permits_by_memory(costs, memory)
    log.info(
        "permits_by_memory", permits=permits, bound=memory.bound,
        available_gib=round(memory.available / (1 << 30), 1),
    )  # fmt: skip
    return permits


async def _reload_when_asked(stops: StopRequests, controls: Controls, log: EventLog) -> None:
    """Reload at each request until cancelled; requests during a reload bring one more."""
    while True:
        await stops.reload_asked.wait()
        stops.reload_asked.clear()
        try:
            await controls.reload()
        except Exception:
            log.failure("upkeep_failed", work="reload")


async def _stop(service: Service, stops: StopRequests, timeout: float, log: EventLog) -> None:
    """Drain, and end the runs."""
    log.info("supervisor_stopping", runs=len(service.runs), drain=timeout)
    draining = asyncio.create_task(service.drain(timeout))
    hurrying = asyncio.create_task(stops.urgent.wait())
    await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
    draining.cancel()
    hurrying.cancel()
    await service.end_all(stops.grace)
