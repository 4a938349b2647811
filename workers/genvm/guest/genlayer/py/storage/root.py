"""The root slot: what the machine itself keeps about a contract.

Source: docs/spec/06-contracts.md#storage-layout-and-calls.

Its fields 0 to 3 are the contract's own fields, its code, the slots that are locked, and who may
write them all the same. Each of the last three is a list that lies in one piece in its field's
slot: u32 length, then the items.
"""

from __future__ import annotations

from ..calldata import Address
from ..types import BY_NAME
from .arrays import DynArray
from .layout import stored_type
from .scalars import Scalar
from .slots import ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CONTRACT, _CODE, _LOCKED_SLOTS, _UPGRADERS = range(4)
_SLOT_ID = Scalar("slot id", 32, bytes, bytes, bytes)

CONTRACT_SLOT = ROOT.child(_CONTRACT)
"""Where the contract's fields lie."""


class _RootField:
    """One field of the root slot; `get()` gives its list."""

    def __init__(self, field: int, item: Any) -> None:
        self._field = field
        self._item = item

    def get(self) -> DynArray:
        """Return the list, as a view."""
        view = object.__new__(DynArray)
        view._home = view._items = ROOT.child(self._field)
        view._offset, view._start, view._item = 0, 4, self._item
        return view


class Root:
    """`gl.storage.Root.get()`: `code` (bytes), `locked_slots` (32-byte ids), `upgraders`."""

    code = _RootField(_CODE, stored_type(BY_NAME["u8"]))
    locked_slots = _RootField(_LOCKED_SLOTS, _SLOT_ID)
    upgraders = _RootField(_UPGRADERS, stored_type(Address))

    @staticmethod
    def get() -> Root:
        """Return the root of this contract's storage."""
        return Root()

    def lock_default(self) -> None:
        """Lock the root slot, the code and the lists of locked slots and of upgraders.

        The machine does so after the constructor: from then on only upgraders change them.
        """
        fields = (_CODE, _LOCKED_SLOTS, _UPGRADERS)
        ids = [ROOT.id, *(ROOT.child(field).id for field in fields)]
        locked = self.locked_slots.get()
        locked.extend(slot for slot in ids if slot not in locked)
