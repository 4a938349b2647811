"""docs/spec/04-executor.md#the-result: the bytes of `consume_result` and the canonical hash."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genvm_manager.protocol import calldata
from genvm_manager.protocol.errors import MalformedMessage
from genvm_manager.protocol.run_result import ResultCode, RunResult, decode_result, execution_hash

CHANGES = [(bytes(36), bytes(range(32)))]
EMISSIONS = [{"type": "EmitEvent", "topics": [bytes(32)], "blob": {"a": 1}}]
RESULT = RunResult(
    code=ResultCode.RETURN,
    data={"answer": 42},
    execution_hash=bytes(32),
    storage_changes=CHANGES,
    emissions=EMISSIONS,
    nondet_results=[b"\0\x10"],
    nondet_disagreement=None,
    data_fees_remaining=[],
    fingerprint=None,
)


def test_it_is_a_code_byte_and_a_map() -> None:
    encoded = RESULT.encode()
    assert encoded[0] == 0
    fields = calldata.decode(encoded[1:])
    assert fields["data"] == {"answer": 42}
    assert fields["storage_changes"] == [[bytes(36), bytes(range(32))]]
    assert "code" not in fields
    assert decode_result(encoded) == RESULT


def test_fields_of_other_lines_are_ignored_and_absent_ones_empty() -> None:
    plain = decode_result(b"\2" + calldata.encode({"data": "OOM", "new_field": 1}))
    assert plain.code is ResultCode.VM_ERROR
    assert (plain.data, plain.storage_changes, plain.fingerprint) == ("OOM", [], None)


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (b"", "got nothing"),
        (b"\x04\x00", "code 4 is unknown"),
        (b"\0\xff", "result: "),
        (b"\0\0", "expected a map with data"),
        (b"\0" + calldata.encode({"data": 1, "emissions": 1}), "emissions: expected list"),
        (b"\0" + calldata.encode({"data": 1, "storage_changes": [1]}), "storage_changes: expected"),
        (b"\0" + calldata.encode({"data": 1, "storage_changes": [[b"", b""]]}), "storage_changes"),
    ],
)
def test_what_is_no_result_is_refused(encoded: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        decode_result(encoded)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_result_or_refused(encoded: bytes) -> None:
    try:
        decode_result(encoded)
    except MalformedMessage:
        return


def test_the_hash_is_sha3_of_the_canonical_map() -> None:
    canonical = calldata.encode(
        {
            "kind": 0,
            "data": 1,
            "storage_changes": [[key, page] for key, page in CHANGES],
            "emissions": EMISSIONS,
        }
    )
    expected = hashlib.sha3_256(canonical).digest()
    assert execution_hash(ResultCode.RETURN, 1, CHANGES, EMISSIONS) == expected
    assert execution_hash(ResultCode.USER_ERROR, 1, CHANGES, EMISSIONS) != expected
