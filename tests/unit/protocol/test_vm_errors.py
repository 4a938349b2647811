"""What VM error codes mean to a contract's author (docs/spec/01-http-api.md#runs)."""

from __future__ import annotations

import pytest

from genvm_manager.protocol.contract.vm_errors import describe

KNOWN = (
    "wasm_trap",
    "exit_code",
    "invalid_contract",
    "invalid_contract not_utf8_text",
    "invalid_contract absent_runner_comment",
    "invalid_contract malformed_runner",
    "invalid_contract wasm",
    "invalid_contract wasm validating",
    "invalid_contract wasm linking",
    "invalid_contract wasm entrypoint",
    "wasm_trap unreachable",
    "wasm_trap stack_overflow",
    "wasm_trap floating_point",
    "OOM",
    "OOM memory",
    "OOM table",
    "OOM storage",
    "OOM receipt",
    "timeout",
    "validator_disagrees",
    "version_too_big",
    "absent_leader_nondet_output",
)


@pytest.mark.parametrize("code", KNOWN)
def test_each_code_has_a_description_of_its_own(code: str) -> None:
    sentences = describe(code)
    assert sentences is not None
    assert sentences[0].isupper()
    assert sentences.endswith(".")
    assert [other for other in KNOWN if describe(other) == sentences] == [code]


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ("OOM x", "OOM"),
        ("OOM storage", "OOM storage"),
        ("OOM storage page", "OOM storage"),
        ("OOM storages", "OOM"),
        ("exit_code 1", "exit_code"),
        ("exit_code 137 more", "exit_code"),
        ("wasm_trap integer_overflow", "wasm_trap"),
        ("wasm_trap unreachable", "wasm_trap unreachable"),
        ("wasm_trap unreachable_code", "wasm_trap"),
        ("invalid_contract not_utf8_text x", "invalid_contract not_utf8_text"),
        ("invalid_contract x not_utf8_text", "invalid_contract"),
        ("timeout ", "timeout"),
    ],
)
def test_the_longest_known_beginning_counts(code: str, known: str) -> None:
    assert describe(code) == describe(known) is not None


@pytest.mark.parametrize(
    "code",
    ["", " ", "OOMx", "oom", " OOM", "x OOM", "not_utf8_text", "exit_code1", "OOM\tx", "\0", "é"],
)
def test_anything_else_is_unknown(code: str) -> None:
    assert describe(code) is None
