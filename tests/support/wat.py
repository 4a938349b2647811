"""Contracts in WebAssembly text, for tests: short bodies, the imports and data written for them."""

from __future__ import annotations

from typing import Any

import wasmtime

from genvm_manager.protocol import calldata

RESULT = 0
"""Where `gl_call` puts its result descriptor."""

SLOT = 64
"""32 bytes of zeros: the root slot."""

SCRATCH = 1024

STAGE = 24
"""Where `staged` keeps the first byte of the entry data."""

ANSWER = 1 << 16
"""Where `answered` puts what a call gave."""

_PRELUDE = """
(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
(import "wasi_snapshot_preview1" "fd_write"
  (func $fd_write (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
(import "genlayer_sdk" "storage_read"
  (func $storage_read (param i32 i32 i32 i32) (result i32)))
(import "genlayer_sdk" "storage_write"
  (func $storage_write (param i32 i32 i32 i32) (result i32)))
(import "genlayer_sdk" "get_balance" (func $get_balance (param i32 i32) (result i32)))
(import "genlayer_sdk" "get_self_balance" (func $get_self_balance (param i32) (result i32)))
(import "genlayer_sdk" "gl_call" (func $gl_call (param i32 i32 i32) (result i32)))
"""


class Contract:
    """Collects data, then assembles; `gl_call` and `write` give WAT for what they place."""

    def __init__(self, pages: int = 2) -> None:
        self._pages = pages
        self._data: list[str] = []
        self._free = 4096

    def place(self, content: bytes) -> int:
        """Put `content` into the memory the contract starts with; its address."""
        at = self._free
        self._data.append(f'(data (i32.const {at}) "{_escaped(content)}")')
        self._free += len(content) + 8
        return at

    def gl_call(self, request: Any) -> str:
        """Return WAT that calls `gl_call` with this value and leaves the error code."""
        return self.gl_call_bytes(calldata.encode(request))

    def gl_call_bytes(self, request: bytes) -> str:
        """Return the same for bytes that need not be calldata."""
        at = self.place(request)
        return f"(call $gl_call (i32.const {at}) (i32.const {len(request)}) (i32.const {RESULT}))"

    def write(self, content: bytes, index: int = 0, slot: int = SLOT) -> str:
        """Return WAT that writes storage and leaves the error code."""
        at, size = self.place(content), len(content)
        operands = " ".join(f"(i32.const {number})" for number in (slot, index, at, size))
        return f"(call $storage_write {operands})"

    def wasm(self, body: str, functions: str = "") -> bytes:
        """Return the module whose `_start` is `body`."""
        text = f"""(module {_PRELUDE}
          (memory (export "memory") {self._pages}) {" ".join(self._data)} {functions}
          (func (export "_start") (local $i i32) {body}))"""
        return bytes(wasmtime.wat2wasm(text))


def staged(contract: Contract, start_message: bytes, **parts: str) -> bytes:
    """Return a contract that does one of `parts`, named by the one byte of its entry data.

    `main` is the part for any other byte. `start_message` is that of the main call, whose entry
    data is one byte as well.
    """
    at = start_message.index(b"entry_data\x0b") + len("entry_data\x0b")
    main = parts.pop("main")
    body = (
        f"(i32.store (i32.const 200) (i32.const {SCRATCH})) (i32.store (i32.const 204)"
        " (i32.const 1000)) (drop (call $fd_read (i32.const 0) (i32.const 200) (i32.const 1)"
        f" (i32.const 212))) (i32.store8 (i32.const {STAGE})"
        f" (i32.load8_u (i32.const {SCRATCH + at})))"
    )
    choice = main
    for name, part in parts.items():
        is_it = f"(i32.eq (i32.load8_u (i32.const {STAGE})) (i32.const {ord(name)}))"
        choice = f"(if {is_it} (then {part}) (else {choice}))"
    return contract.wasm(body + choice)


def answered(call: str, prefix: bytes = b"") -> str:
    """Return WAT that makes a `gl_call` and reads what it gives to `ANSWER`, behind `prefix`.

    The size of both is then at 212. A call that fails ends the contract with its code as exit
    status.
    """
    at = ANSWER + len(prefix)
    placed = "".join(
        f"(i32.store8 (i32.const {ANSWER + index}) (i32.const {byte}))"
        for index, byte in enumerate(prefix)
    )
    return (
        f"(local.set $i {call}) (if (local.get $i) (then (call $exit (local.get $i)))) {placed}"
        f"(i32.store (i32.const 200) (i32.const {at})) (i32.store (i32.const 204)"
        f" (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const {at})))"
        f"(drop (call $fd_read (i32.load (i32.const {RESULT})) (i32.const 200) (i32.const 1)"
        " (i32.const 212)))"
        f"(i32.store (i32.const 212) (i32.add (i32.load (i32.const 212))"
        f" (i32.const {len(prefix)})))"
    )


def printed(call: str) -> str:
    """Return WAT that makes a `gl_call` and prints what it gives."""
    return (
        answered(call) + f"(i32.store (i32.const 200) (i32.const {ANSWER}))"
        "(i32.store (i32.const 204) (i32.load (i32.const 212)))"
        "(drop (call $fd_write (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 208)))"
    )


def returned(call: str) -> str:
    """Return WAT that makes a `gl_call` and returns the calldata that it gives."""
    prefix = calldata.encode({"Return": None})[:-1]
    return (
        answered(call, prefix) + f"(drop (call $gl_call (i32.const {ANSWER})"
        f" (i32.load (i32.const 212)) (i32.const {RESULT})))"
    )


def returns(value: Any) -> bytes:
    """Return a contract that returns `value` whatever it is asked."""
    contract = Contract()
    return contract.wasm(f"(drop {contract.gl_call({'Return': value})})")


def exits_with(code_of: str, contract: Contract) -> bytes:
    """Return a contract whose exit status is what the WAT `code_of` leaves."""
    return contract.wasm(f"(call $exit {code_of})")


def _escaped(content: bytes) -> str:
    return "".join(f"\\{byte:02x}" for byte in content)
