"""Numbers and names that contracts and the machine share.

Source: docs/spec/07-python-sdk.md#1-modules.
"""

from enum import IntEnum


class StorageType(IntEnum):
    """Which state of a contract a call reads."""

    DEFAULT = 0
    LATEST_FINAL = 1
    LATEST_NON_FINAL = 2
