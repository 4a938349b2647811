"""How transactions are shown: `genvm_manager.manager.cli.rendering.render`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import click
import pytest

from genvm_manager.manager.cli.rendering.render import (
    exit_code,
    receipt_as_json,
    receipt_as_text,
    transaction_as_json,
)
from genvm_manager.manager.local_node.node import Receipt
from genvm_manager.manager.local_node.transactions import Ending, ExecutedTransaction, Transaction
from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.run_result import ResultCode, RunResult

ALICE = Address(b"\xa1" * 20)
CONTRACT = Address(b"\xc0" * 20)
SLOT = b"\x07" * 32


def call(call: Any) -> Transaction:
    encoded = call if isinstance(call, bytes) else calldata.encode(call)
    return Transaction(ALICE, ALICE, CONTRACT, encoded)


def ending(
    code: ResultCode = ResultCode.RETURN,
    data: Any = None,
    pages: tuple[int, ...] = (),
    emissions: tuple[dict[str, Any], ...] = (),
    stdout: str = "",
) -> Ending:
    changes = [(SLOT + page.to_bytes(4, "big"), b"\x01" * 32) for page in pages]
    result = RunResult(code, data, bytes(32), changes, list(emissions), [], None, [], None)
    return Ending(7, 0, result, None, stdout, "", 12, 0.01)


def shown(ended: Ending, transaction: Transaction | None = None) -> str:
    executed = ExecutedTransaction(transaction or call({"method": "m"}), CONTRACT, ended)
    return click.unstyle(receipt_as_text(Receipt([executed], [])))


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (ending(), 0),
        (ending(ResultCode.USER_ERROR, "no"), 1),
        (ending(ResultCode.VM_ERROR, "OOM"), 2),
        (ending(ResultCode.INTERNAL_ERROR, "bug"), 3),
        (Ending(7, 0, None, "killed", "", "", None, None), 3),
        (None, 0),
    ],
)
def test_exit_codes(ended: Ending | None, code: int) -> None:
    assert exit_code(ExecutedTransaction(call({}), CONTRACT, ended)) == code


def test_a_vm_error_says_what_to_do_next() -> None:
    text = shown(ending(ResultCode.VM_ERROR, "exit_code 1"))
    assert text.splitlines()[0].endswith(": VM error exit_code 1")
    assert "\n  meaning  " in text
    assert "read the traceback" in " ".join(text.split())
    assert "meaning" not in shown(ending(ResultCode.VM_ERROR, "unheard_of"))
    assert "meaning" not in shown(ending(ResultCode.USER_ERROR, "OOM"))


def test_the_headline_of_a_vm_error_says_what_led_to_it() -> None:
    cause = "KeyError: 'a\x1b[2J' (contract.py:22, in _inner)"
    failed = replace(ending(ResultCode.VM_ERROR, "exit_code 1"), contract_error=cause)
    seen = "KeyError: 'a\\x1b[2J' (contract.py:22, in _inner)"
    assert shown(failed).splitlines()[0].endswith(f": VM error exit_code 1: {seen}")
    executed = transaction_as_json(ExecutedTransaction(call({}), CONTRACT, failed))
    assert (executed["error"], executed["contract_error"]) == ("exit_code 1", cause)


def test_pages_are_counted_and_listed() -> None:
    text = shown(ending(pages=(0, 1, 2, 5, 9, 8)))
    assert "storage  6 pages written in 1 slot\n" in text
    assert "0x0707070707070707… pages 0-2, 5, 8-9\n" in text
    assert "page 3\n" in shown(ending(pages=(3,)))


def test_output_cannot_steer_the_terminal() -> None:
    executed = ExecutedTransaction(call({}), CONTRACT, ending(stdout="a\x1b[2Jb\n\ttab\x9b1m"))
    text = receipt_as_text(Receipt([executed], []))
    assert "\x1b[2J" not in text
    assert "\x9b" not in text
    assert r"a\x1b[2Jb" in text


def test_output_makes_no_lines_of_its_own() -> None:
    executed = ExecutedTransaction(
        call({}), CONTRACT, ending(stdout="a\r\x85\u2028\x0b\x0cstorage forged")
    )
    text = receipt_as_text(Receipt([executed], []))
    assert r"a\x0d\x85\u2028\x0b\x0cstorage forged" in text


def test_what_is_long_is_cut_for_people_and_whole_for_scripts() -> None:
    lines = "line\n" * 99 + "the last\n"
    text = shown(ending(stdout=lines, data="x" * 5000))
    assert "stdout   … 60 lines before" in text and "the last" in text
    assert "5 more lines" in shown(ending(data=list(range(43))))
    assert len(text) < 4000
    found = transaction_as_json(
        ExecutedTransaction(call({}), CONTRACT, ending(stdout=lines, data="x" * 5000))
    )
    assert (found["stdout"], found["returned"]) == (lines, "x" * 5000)


@pytest.mark.parametrize(
    ("data", "notation"),
    [
        ({"method": "m", "args": ["a", ALICE], "kwargs": {"k": b"\x01"}}, "m("),
        ({"": "newer"}, "newer()"),
        ({}, "transfer"),
        ([1], "0x0d09"),
        (b"\xff", "0xff"),
        ({"method": 5, "args": 7}, "0x"),
    ],
)
def test_any_calldata_can_be_shown(data: Any, notation: str) -> None:
    assert f"  in       {notation}" in shown(ending(), call(data))
    json.dumps(transaction_as_json(ExecutedTransaction(call(data), CONTRACT, ending())))


def test_calls_are_written_as_their_author_would() -> None:
    transaction = call({"method": "m", "args": ["a", ALICE], "kwargs": {"k": b"\x01"}})
    assert f'm("a", {ALICE}, k={{"$bytes": "0x01"}})' in shown(ending(), transaction)


def test_emissions_and_messages() -> None:
    post = {
        "type": "PostMessage",
        "address": ALICE,
        "calldata": calldata.encode({"method": "hear"}),
        "value": 3,
        "on": "finalized",
    }
    event = {"type": "EmitEvent", "topics": [b"\x01" * 32], "blob": {"a": 1}}
    first = ExecutedTransaction(call({"method": "m"}), CONTRACT, ending(emissions=(post, event)))
    second = ExecutedTransaction(call({"method": "hear"}), ALICE, problem="no contract there")
    receipt = Receipt([first, second], [call({})] * 2)
    text = click.unstyle(receipt_as_text(receipt))
    assert f"PostMessage to {ALICE}, value 3\n" in text
    assert 'event 0x0101010101010101… {"a": 1}\n' in text
    assert f"\n  call {ALICE}: undelivered\n" in text
    assert "2 more messages were not delivered" in text
    found = receipt_as_json(receipt)
    assert found["emissions"][0]["call"] == {"method": "hear"}
    assert found["messages"][0]["error"] == "no contract there"
    assert found["undelivered"] == 2
