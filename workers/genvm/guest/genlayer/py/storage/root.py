"""The root slot: what leads to all that the machine and the contract keep.

Source: docs/spec/08-storage-layout.md#where-a-contracts-data-is.
"""

from __future__ import annotations

from .. import types
from ..types import Address
from .host_slots import HOST, ROOT
from .indirection import VLA, Indirection
from .records import instance_of, record_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .slots import Slot


class Root:
    """The root slot of this contract's storage: `Root.get()`."""

    contract_instance: Indirection[None]
    code: Indirection[VLA[types.u8]]
    locked_slots: Indirection[VLA[types.u256]]
    upgraders: Indirection[VLA[Address]]

    MANAGER = HOST

    @staticmethod
    def get() -> Root:
        """Return the root of this contract's storage."""
        return record_type(Root).read(ROOT, 0)

    def slot(self) -> Slot:
        """Return the root slot itself."""
        return ROOT

    def get_contract_instance(self, cls: type) -> Any:
        """Return a new view of the contract, as an instance of `cls`."""
        return instance_of(cls, self.contract_instance.slot())

    def lock_default(self) -> None:
        """Lock the root slot, the code, and the lists of locked slots and of upgraders.

        A deployment begins so: from then on only upgraders change them.
        """
        locked = self.locked_slots.get()
        for slot in (ROOT, self.code.slot(), self.locked_slots.slot(), self.upgraders.slot()):
            locked.append(slot.as_int())


__all__ = ("Root",)
