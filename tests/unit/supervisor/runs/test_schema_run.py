"""What a run that reads a schema may have: a host with the code and nothing else."""

from __future__ import annotations

import pytest

from genvm_manager.base.errors import BadRequest
from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.contract.storage_layout import CODE_SLOT, ROOT_SLOT, stored_code
from genvm_manager.protocol.executor import decode_execution_data
from genvm_manager.protocol.host.messages import (
    ConsumeFuel,
    ConsumeResult,
    EthCall,
    GetBalance,
    HostErrorCode,
    HostProtocolError,
    NotifyFinished,
    NotifyNondetDisagreement,
    RemainingFuelAsGen,
    Request,
    StorageRead,
    StorageType,
)
from genvm_manager.protocol.host.server import answer
from genvm_manager.protocol.ipc.commands import ReadSchema
from genvm_manager.protocol.ipc.runs import MajorSelector
from genvm_manager.supervisor.runs.code_host import MAX_READ, CodeStorage
from genvm_manager.supervisor.runs.rules_schema_run import CONTRACT, schema_run

CODE = bytes(range(256)) * 3
STORED = stored_code(CODE)
STORAGE = CodeStorage(CONTRACT, CODE)


def read(
    offset: int, length: int, slot: bytes = CODE_SLOT, address: Address = CONTRACT
) -> StorageRead:
    return StorageRead(StorageType.DEFAULT, address, slot, offset, length)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (read(0, 4), STORED[:4]),
        (read(4, len(CODE)), CODE),
        (read(32, 64), STORED[32:96]),
        (read(len(STORED) - 2, 32), STORED[-2:] + bytes(30)),
        (read(len(STORED) + 5, 32), bytes(32)),
        (read((1 << 32) - 1, 32), bytes(32)),
        (read(0, 32, ROOT_SLOT), bytes(32)),
        (read(0, 0), b""),
    ],
)
def test_storage_holds_the_code_and_zeros(request_: StorageRead, expected: bytes) -> None:
    assert answer(STORAGE, request_) == b"\0" + expected


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (read(0, 32, address=Address(bytes(20))), bytes([HostErrorCode.FORBIDDEN])),
        (read(0, MAX_READ + 1), bytes([HostErrorCode.OUT_OF_STORAGE_GAS])),
        (EthCall(CONTRACT, b""), bytes([HostErrorCode.FORBIDDEN])),
        (RemainingFuelAsGen(), bytes([HostErrorCode.FORBIDDEN])),
        (GetBalance(CONTRACT), b"\0" + bytes(32)),
        (ConsumeFuel(5), b""),
        (NotifyFinished(), b"\0"),
    ],
)
def test_all_else_is_refused_or_nothing(request_: Request, expected: bytes) -> None:
    assert answer(STORAGE, request_) == expected


@pytest.mark.parametrize("request_", [ConsumeResult(b"\0"), NotifyNondetDisagreement(0)])
def test_what_cannot_be_refused_ends_the_connection(request_: Request) -> None:
    with pytest.raises(HostProtocolError, match=f"{type(request_).__name__} is not served here"):
        answer(STORAGE, request_)


def test_the_run_may_read_and_is_dated() -> None:
    run = schema_run(ReadSchema(2, 1_769_860_800.25, CODE), 7.0)
    assert (run.permissions, run.needs_modules, run.deadline) == ("r", False, 7.0)
    assert run.selector == MajorSelector(2)
    data = decode_execution_data(run.execution_data)
    assert data.code is None
    assert calldata.decode(data.calldata) == {"method": "#get-schema"}
    assert data.message["contract_address"] == CONTRACT
    assert data.message["datetime"] == "2026-01-31T12:00:00.250Z"


@pytest.mark.parametrize("timestamp", [1e12, float("inf"), float("nan")])
def test_a_time_beyond_the_calendar_is_refused(timestamp: float) -> None:
    with pytest.raises(BadRequest, match="timestamp: "):
        schema_run(ReadSchema(0, timestamp, b""), 1.0)
