"""How a `datetime.datetime` lies in storage (docs/spec/08-storage-layout.md#types).

25 bytes: u64 seconds since 1970 UTC, u32 microseconds, whether it has a zone, and the offset of the
zone as i32 days, i32 seconds, i32 microseconds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from struct import Struct

from .stored_type import StoredType, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .slots import Slot

_ALL = Struct("<QI?iii")
_OFFSET = Struct("<iii")
_OFFSET_AT = _ALL.size - _OFFSET.size


class Moment(StoredType):
    """`datetime.datetime`, naive or with the offset of its zone."""

    name, size, steps = "datetime", _ALL.size, (_ALL.size,)

    def read(self, slot: Slot, offset: int) -> datetime:
        """Return the time at this place."""
        seconds, micros, has_zone, *zone = _ALL.unpack(slot.read(offset, self.size))
        since = timedelta(seconds=seconds, microseconds=micros)
        if not has_zone:
            return datetime(1970, 1, 1) + since
        away = timedelta(*zone)
        return (datetime(1970, 1, 1, tzinfo=UTC) + since).astimezone(timezone(away))

    def write(self, slot: Slot, offset: int, value: Any) -> None:
        """Put a time at this place.

        Raises `OverflowError` before 1970, `AttributeError` for no time, and `AssertionError` for a
        zone whose offset changes, when all but the offset was written.
        """
        try:
            seconds, micros, zone = int(value.timestamp()), value.microsecond, value.tzinfo
        except AttributeError:
            raise AttributeError(f"datetime expected, got {shown(value)}") from None
        try:
            raw = seconds.to_bytes(8, "little")
        except OverflowError:
            raise OverflowError(f"storage holds no time before 1970, got {value}") from None
        slot.write(offset, raw + micros.to_bytes(4, "little") + bytes([zone is not None]))
        if zone is None:
            return
        away = zone.utcoffset(None)
        if away is None:
            raise AssertionError(
                f"storage holds zones of one offset, such as datetime.timezone.utc, got {zone!r}"
            )
        slot.write(offset + _OFFSET_AT, _OFFSET.pack(away.days, away.seconds, away.microseconds))

    def __reduce__(self) -> str:
        return "MOMENT"


MOMENT = Moment()
