"""Checks the state folder while it is in use: makes again what is removed, or reports it."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.supervisor.cgroups.leftovers import are_recorded, record_slices
from genvm_manager.supervisor.cgroups.run_cgroup import Slice
from genvm_manager.supervisor.ipc.server import Server
from genvm_manager.supervisor.runs.scratch import Scratch
from genvm_manager.supervisor.service import Service

from .state_lock import HeldFolder, StateFolderHeld, StateFolderUnusable

PERIOD = 0.5
"""Seconds between two checks."""


class StateWatch:
    """Compares the state folder and its files with what this supervisor has made there.

    `StoreFiles` checks those of the store, at each transaction.
    """

    def __init__(
        self,
        held: HeldFolder,
        server: Server,
        service: Service,
        slices: tuple[Slice, ...],
    ) -> None:
        """`slices`: the cgroups that the folder's file `cgroups` has to name."""
        self._held = held
        self._server = server
        self._service = service
        self._scratch: Scratch = service.life.scratch
        self._slices = [each.folder for each in slices]
        self._log: EventLog = service.life.log
        self._failed: dict[str, str] = {}

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await asyncio.sleep(PERIOD)
            try:
                await self._look()
            except Exception:
                self._log.failure("upkeep_failed", work="state_watch")

    async def _look(self) -> None:
        fault = await asyncio.to_thread(self._folder_fault)
        if fault is None:
            fault = await self._mend()
        self._service.health.set_state_fault(fault)

    # ------------------------------------------------------------------------------ in a thread

    def _folder_fault(self) -> str | None:
        """Return why nothing can be kept in the folder. Make it again where that is safe."""
        path = self._held.path
        try:
            if self._held.is_in_place():
                return self._access_fault()
            problem = "is another folder than at the start of the service"
        except FileNotFoundError:
            problem = "is not there any more"
        except OSError as error:
            problem = f"cannot be reached ({error.strerror})"
        advice = "bring it back, or restart the service"
        if self._held.is_removed():
            try:
                self._held.take_again()
            except (StateFolderHeld, StateFolderUnusable) as error:
                return f"state folder {path} was removed, and cannot be made again: {error}"
            except OSError as error:
                reason = error.strerror
                return f"state folder {path} was removed, and cannot be made again: {reason}"
            self._log.warning("state_folder_made_again", folder=str(path))
            return None
        return f"state folder {path} {problem}: {advice}"

    def _access_fault(self) -> str | None:
        path = self._held.path
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
            is_fixed = os.statvfs(path).f_flag & os.ST_RDONLY
            reason = "its file system has become read-only" if is_fixed else "permission denied"
            return f"state folder {path} cannot be written, {reason}: make it writable"
        if (fault := self._held.write_fault()) is not None:
            return f"state folder {path} cannot be written, {fault}: mend its disk, then restart"
        if (mode := stat.S_IMODE(os.stat(path).st_mode)) & 0o077:
            os.chmod(path, 0o700)
            self._log.warning("state_folder_closed", folder=str(path), mode=oct(mode))
        return None

    # -------------------------------------------------------------------------- on the event loop

    async def _mend(self) -> str | None:
        """Make again the files that are not ours any more. Return why that fails."""
        fault = self._mended("supervisor.lock", self._held.ensure_lock)
        if self._slices and not are_recorded(str(self._held.path), self._slices):
            fault = self._mended("cgroups", self._record_slices) or fault
        if not self._scratch.is_in_place():
            fault = self._mended("tmp", self._make_scratch) or fault
        if not self._server.is_in_place():
            fault = await self._listen_again() or fault
        return fault

    def _mended(self, name: str, mend: Callable[[], bool]) -> str | None:
        """Call `mend`, which returns whether it had to make the file of this name again."""
        try:
            if mend():
                self._log.warning("state_file_made_again", name=name)
        except OSError as error:
            return self._not_mended(name, error)
        self._failed.pop(name, None)
        return None

    def _not_mended(self, name: str, error: OSError) -> str:
        reason = error.strerror
        if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
            reason = "another supervisor has taken it"
        if self._failed.get(name) != reason:
            self._failed[name] = str(reason)
            self._log.error("state_file_not_made_again", name=name, error=reason)
        return (
            f"{name} in the state folder {self._held.path} was removed or replaced, and cannot be "
            f"made again: {reason}; remove what is there, or restart the service"
        )

    def _record_slices(self) -> bool:
        record_slices(str(self._held.path), self._slices)
        return True

    def _make_scratch(self) -> bool:
        self._scratch.make_again()
        return True

    async def _listen_again(self) -> str | None:
        try:
            await self._server.listen_again()
        except OSError as error:
            return self._not_mended("supervisor.sock", error)
        self._failed.pop("supervisor.sock", None)
        self._log.warning("state_file_made_again", name="supervisor.sock")
        return None
