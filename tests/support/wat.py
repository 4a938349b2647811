"""Contracts in WebAssembly text, for tests: short bodies, the imports and data written for them."""

from __future__ import annotations

from typing import Any

import wasmtime

from protocol import calldata

RESULT = 0
"""Where `gl_call` puts its result descriptor."""

SLOT = 64
"""32 bytes of zeros: the root slot."""

SCRATCH = 1024

_PRELUDE = """
(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
(import "wasi_snapshot_preview1" "fd_write"
  (func $fd_write (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
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
        """WAT that calls `gl_call` with this value and leaves the error code."""
        return self.gl_call_bytes(calldata.encode(request))

    def gl_call_bytes(self, request: bytes) -> str:
        """The same for bytes that need not be calldata."""
        at = self.place(request)
        return f"(call $gl_call (i32.const {at}) (i32.const {len(request)}) (i32.const {RESULT}))"

    def write(self, content: bytes, index: int = 0, slot: int = SLOT) -> str:
        """WAT that writes storage and leaves the error code."""
        at, size = self.place(content), len(content)
        operands = " ".join(f"(i32.const {number})" for number in (slot, index, at, size))
        return f"(call $storage_write {operands})"

    def wasm(self, body: str, functions: str = "") -> bytes:
        """The module whose `_start` is `body`."""
        text = f"""(module {_PRELUDE}
          (memory (export "memory") {self._pages}) {" ".join(self._data)} {functions}
          (func (export "_start") (local $i i32) {body}))"""
        return bytes(wasmtime.wat2wasm(text))


def returns(value: Any) -> bytes:
    """A contract that returns `value` whatever it is asked."""
    contract = Contract()
    return contract.wasm(f"(drop {contract.gl_call({'Return': value})})")


def exits_with(code_of: str, contract: Contract) -> bytes:
    """A contract whose exit status is what the WAT `code_of` leaves."""
    return contract.wasm(f"(call $exit {code_of})")


def _escaped(content: bytes) -> str:
    return "".join(f"\\{byte:02x}" for byte in content)
