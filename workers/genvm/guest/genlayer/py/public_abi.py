"""Numbers and names that contracts and the machine share.

Source: docs/spec/07-python-sdk.md#1-modules.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class ResultCode(IntEnum):
    """How a machine ends."""

    RETURN = 0
    USER_ERROR = 1
    VM_ERROR = 2
    INTERNAL_ERROR = 3


class StorageType(IntEnum):
    """Which state of a contract a call reads."""

    DEFAULT = 0
    LATEST_FINAL = 1
    LATEST_NON_FINAL = 2


class EntryKind(IntEnum):
    """What a machine is started for."""

    MAIN = 0
    SANDBOX = 1
    CONSENSUS_STAGE = 2


class MemoryLimiterConsts(IntEnum):
    """Bytes that count as memory besides the memory itself."""

    TABLE_ENTRY = 64
    FILE_MAPPING = 256
    FD_ALLOCATION = 96


class SpecialMethod(StrEnum):
    """Methods that are called by no contract's own name."""

    GET_SCHEMA = "#get-schema"
    ERRORED_MESSAGE = "#error"


class VmError(StrEnum):
    """How the texts of VM errors begin."""

    TIMEOUT = "timeout"
    EXIT_CODE = "exit_code"
    VALIDATOR_DISAGREES = "validator_disagrees"
    VERSION_TOO_BIG = "version_too_big"
    OOM = "OOM"
    INVALID_CONTRACT = "invalid_contract"


EVENT_MAX_TOPICS = 4
ABSENT_VERSION = "v0.1.0"
CODE_SLOT_OFFSET = 1
