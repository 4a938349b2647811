"""Rewrites a contract's module, so that the machine's limits are counted in the module itself.

Source: docs/spec/06-contracts.md#the-machine.

Every function counts its frame when it begins and when it ends, and stops the module at
`MAX_FRAMES`: how deep calls may go is then the same on every processor, whatever its native stack
holds. In det mode every instruction of floating point stops the module when it is reached.

A module is validated before it is rewritten, and `wasm_limits.py` has read every instruction of it.
Nothing of it gets another index: what is added stands behind all that was there. Raise
`LIMITS_ID` in `compile_cache.py` with each change of what is written here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from genvm_manager.protocol.contract.errors import InvalidContract

from .exports import FLOATING_POINT, STACK_OVERFLOW, START_FUNCTION, WHY

MAX_FRAMES = 1024
"""Frames of a module's functions that may be open at a time."""

LOCALS_OF_A_FRAME = 512
"""A function with more locals, its parameters included, counts as several frames, so that native
frames are bounded as well."""

_RESERVED = b"genvm."
_HEADER = 8
_TYPE, _IMPORT, _FUNCTION, _GLOBAL, _EXPORT, _START, _CODE = 1, 2, 3, 6, 7, 8, 10
_ORDER = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 13: 6, 6: 7, 7: 8, 8: 9, 9: 10, 12: 11, 10: 12, 11: 13}
"""Of sections in a module, by their ids."""

_I32_VARIABLE = b"\x7f\x01\x41\x00\x0b"
_FUNCTION_KIND, _TABLE_KIND, _GLOBAL_KIND = 0, 1, 3
_END = b"\x0b"
_BR_TABLE, _FUNCTION_TYPE = 0x0E, 0x60

_LEB = rb"[\x80-\xff]{0,9}+[\x00-\x7f]"
_SKIP_LEB = re.compile(_LEB)


def _pattern(text: bytes) -> re.Pattern[bytes]:
    return re.compile(text.replace(b" ", b"").replace(b"LEB", _LEB), re.DOTALL)


_FLOATS = (
    rb"[\x5b-\x66\x8b-\xa6\xa8-\xab\xae-\xbf]"
    rb"|[\x2a\x2b\x38\x39]LEB LEB"
    rb"|\x43.{4}|\x44.{8}"
    rb"|\xfc[\x00-\x07]"
    rb"|\xfd(?:[\x13\x14\x41-\x4c\x5e\x5f\x67-\x6a\x74\x75\x7a]|[\x1f-\x22]."
    rb"|[\x94\xe0-\xff]\x01|[\x81-\x88\x8d-\x90]\x02)"
)
"""Instructions that take or give numbers of floating point, with what belongs to each. Moving one
from a local to another is none, which has no type of its own."""

_RETURNS = rb"\x0f|\x12LEB|\x13LEB LEB"
_OTHERS = (
    rb"[\x00\x01\x05\x0b\x1a\x1b\x45-\x5a\x67-\x8a\xa7\xac\xad\xc0-\xc4\xd1]"
    rb"|[\x02-\x04\x0c\x0d\x10\x20-\x26\x3f-\x42\xd0\xd2]LEB"
    rb"|\x11LEB LEB"
    rb"|[\x28\x29\x2c-\x37\x3a-\x3e]LEB LEB"
    rb"|\x1c\x01."
    rb"|\xfc(?:[\x13-\x16]|[\x08\x0a\x0c\x0e]LEB LEB|[\x09\x0b\x0d\x0f\x10\x11]LEB)"
    rb"|\xfd(?:[\x00-\x0b\x5c\x5d]LEB LEB|[\x0c\x0d].{16}|[\x15-\x1e].|[\x54-\x5b]LEB LEB."
    rb"|[\x0e-\x12\x23-\x40\x4d-\x53\x60-\x66\x6b-\x73\x76-\x79\x7b-\x7f]"
    rb"|[\x80-\x93\x95-\xdf]\x01|[\x80\x89-\x8c\x91-\xff]\x02)"
)
_SKIPPED = {
    True: _pattern(rb"(?:" + _OTHERS + rb")*+"),
    False: _pattern(rb"(?:" + _OTHERS + rb"|" + _FLOATS + rb")*+"),
}
"""What is left as it is, by whether floats stop the module. The alternatives differ in their first
bytes and nothing is tried twice, so it takes linear time."""

_REWRITTEN = {
    True: _pattern(rb"(?:" + _RETURNS + rb"|(" + _FLOATS + rb"))"),
    False: _pattern(rb"(?:" + _RETURNS + rb"|((?!)))"),
}


def instrumented(wasm: bytes, *, floats_trap: bool) -> bytes:
    """Return `wasm`, a valid module without custom sections, as it is to be compiled.

    Raises `InvalidContract` for a module that exports a name of ours.
    """
    return _Rewriter(wasm, floats_trap).rewritten()


class _Rewriter:
    """Reads a module's sections, and writes them anew."""

    def __init__(self, wasm: bytes, floats_trap: bool) -> None:
        self._wasm = wasm
        self._floats_trap = floats_trap
        self._sections = dict(_sections(wasm))
        self._types = list(self._read_types())
        self._imported = [0, 0]
        self._count_imports()
        self._depth = self._imported[1] + _count(self._sections.get(_GLOBAL))
        self._why = self._depth + 1
        functions = self._imported[0] + _count(self._sections.get(_FUNCTION))
        self._overflow, self._float = functions, functions + 1
        self._new_types: list[bytes] = []

    def rewritten(self) -> bytes:
        if _CODE not in self._sections:
            return self._wasm
        if _RESERVED in self._sections.get(_EXPORT, b""):
            reason = f"the module exports a name with {_RESERVED.decode()!r} in it: rename it"
            raise InvalidContract(reason, "wasm validating")
        nothing = _u(self._type(b"\0\0"))
        self._sections[_CODE] = self._code()
        self._extend(_TYPE, self._new_types)
        self._extend(_FUNCTION, [nothing, nothing])
        self._extend(_GLOBAL, [_I32_VARIABLE, _I32_VARIABLE])
        exports = [_export(WHY, _GLOBAL_KIND, self._why)]
        if _START in self._sections:
            function, _ = _number(self._sections.pop(_START), 0)
            exports.append(_export(START_FUNCTION, _FUNCTION_KIND, function))
        self._extend(_EXPORT, exports)
        ordered = sorted(self._sections.items(), key=lambda section: _ORDER[section[0]])
        return self._wasm[:_HEADER] + b"".join(
            bytes([number]) + _u(len(content)) + content for number, content in ordered
        )

    def _extend(self, section: int, items: list[bytes]) -> None:
        """Add items to the vector that a section is."""
        content = self._sections.get(section, b"\0")
        count, at = _number(content, 0)
        self._sections[section] = _u(count + len(items)) + content[at:] + b"".join(items)

    def _type(self, signature: bytes) -> int:
        """Return the index of a type to be added; `signature`: its parameters and results."""
        written = bytes([_FUNCTION_TYPE]) + signature
        if written not in self._new_types:
            self._new_types.append(written)
        return len(self._types) + self._new_types.index(written)

    def _read_types(self) -> Iterator[tuple[int, bytes]]:
        """Yield each type's number of parameters, and its results, a byte for each."""
        content = self._sections.get(_TYPE, b"\0")
        count, at = _number(content, 0)
        for _ in range(count):
            parameters, at = _number(content, at + 1)
            results, at = _number(content, at + parameters)
            yield parameters, content[at : at + results]
            at += results

    def _count_imports(self) -> None:
        """Count what is imported of functions and of globals."""
        content = self._sections.get(_IMPORT, b"\0")
        count, at = _number(content, 0)
        for _ in range(count):
            for _ in range(2):
                size, at = _number(content, at)
                at += size
            kind = content[at]
            at += 1
            if kind == _FUNCTION_KIND:
                self._imported[0] += 1
                _, at = _number(content, at)
            elif kind == _GLOBAL_KIND:
                self._imported[1] += 1
                at += 2
            else:
                at = _after_limits(content, at + (kind == _TABLE_KIND))

    def _code(self) -> bytes:
        content = self._sections[_CODE]
        signatures = self._sections[_FUNCTION]
        count, at = _number(content, 0)
        _, signature_at = _number(signatures, 0)
        bodies = []
        for _ in range(count):
            size, at = _number(content, at)
            signature, signature_at = _number(signatures, signature_at)
            bodies.append(self._body(content, at, at + size, self._types[signature]))
            at += size
        bodies += [self._stop(STACK_OVERFLOW), self._stop(FLOATING_POINT)]
        return _u(len(bodies)) + b"".join(_u(len(body)) + body for body in bodies)

    def _stop(self, reason: int) -> bytes:
        """Return a function that stops the module for `reason`."""
        return b"\0\x41" + _s(reason) + b"\x24" + _u(self._why) + b"\0" + _END

    def _body(self, code: bytes, start: int, end: int, signature: tuple[int, bytes]) -> bytes:
        parameters, results = signature
        groups, at = _number(code, start)
        locals_ = parameters
        for _ in range(groups):
            count, at = _number(code, at)
            locals_ += count
            at += 1
        frames = max(1, -(-locals_ // LOCALS_OF_A_FRAME))
        leave = self._add_to_depth(-frames)
        parts = [code[start:at], self._enter(frames), b"\x02", self._block_type(results)]
        parts += self._instructions(code, at, end, leave)
        return b"".join([*parts, leave, _END])

    def _block_type(self, results: bytes) -> bytes:
        """Return the type of a block that gives `results`."""
        if len(results) < 2:
            return results or b"\x40"
        return _s(self._type(b"\0" + _u(len(results)) + results))

    def _enter(self, frames: int) -> bytes:
        room = b"\x23" + _u(self._depth) + b"\x41" + _s(MAX_FRAMES - frames)
        stop = b"\x4a\x04\x40\x10" + _u(self._overflow) + _END
        return room + stop + self._add_to_depth(frames)

    def _add_to_depth(self, frames: int) -> bytes:
        depth = _u(self._depth)
        return b"\x23" + depth + b"\x41" + _s(frames) + b"\x6a\x24" + depth

    def _instructions(self, code: bytes, at: int, end: int, leave: bytes) -> Iterator[bytes]:
        """Yield the instructions, with `leave` before each return, and a stop before floats."""
        skipped, rewritten = _SKIPPED[self._floats_trap], _REWRITTEN[self._floats_trap]
        stop = b"\x10" + _u(self._float)
        start = at
        while True:
            plain = skipped.match(code, at, end)
            assert plain is not None
            at = plain.end()
            if at == end:
                break
            if code[at] == _BR_TABLE:
                at = _after_branch_table(code, at + 1)
                continue
            special = rewritten.match(code, at, end)
            assert special is not None, code[at : at + 3].hex()
            yield code[start:at]
            yield leave if special[1] is None else stop
            start, at = at, special.end()
        yield code[start:end]


def _sections(wasm: bytes) -> Iterator[tuple[int, bytes]]:
    at = _HEADER
    while at < len(wasm):
        size, start = _number(wasm, at + 1)
        yield wasm[at], wasm[start : start + size]
        at = start + size


def _export(name: bytes, kind: int, index: int) -> bytes:
    return _u(len(name)) + name + bytes([kind]) + _u(index)


def _count(section: bytes | None) -> int:
    return _number(section, 0)[0] if section else 0


def _after_limits(content: bytes, at: int) -> int:
    """Return where the limits of a memory or of a table end, which begin at `at`."""
    has_most = content[at] & 1
    _, at = _number(content, at + 1)
    return _number(content, at)[1] if has_most else at


def _after_branch_table(code: bytes, at: int) -> int:
    count, at = _number(code, at)
    for _ in range(count + 1):
        found = _SKIP_LEB.match(code, at)
        assert found is not None
        at = found.end()
    return at


def _number(content: bytes, at: int) -> tuple[int, int]:
    """Return the unsigned number at `at`, LEB128, and where it ends."""
    number = shift = 0
    while True:
        byte = content[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def _u(number: int) -> bytes:
    """Return an unsigned number as LEB128."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])


def _s(number: int) -> bytes:
    """Return a signed number as LEB128."""
    written = bytearray()
    while not -0x40 <= number < 0x40:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number & 0x7F])
