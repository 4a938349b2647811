"""WebAssembly modules written byte by byte, for those that no assembler would make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

HEADER = b"\0asm\1\0\0\0"
I32, V128 = 0x7F, 0x7B
END = b"\x0b"


def u(number: int) -> bytes:
    """Return an unsigned number in LEB128."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])


def vector(items: Sequence[bytes]) -> bytes:
    """Encode a vector."""
    return u(len(items)) + b"".join(items)


def section(number: int, content: bytes) -> bytes:
    """Encode a section."""
    return bytes([number]) + u(len(content)) + content


def function_type(parameters: int = 0, results: int = 0) -> bytes:
    """Encode the type of a function on i32."""
    return b"\x60" + u(parameters) + bytes([I32] * parameters) + u(results) + bytes([I32] * results)


def body(code: bytes, locals_: Iterable[tuple[int, int]] = ()) -> bytes:
    """Return a function: its `locals_`, each so many of a type, its code, and the end of it."""
    declared = vector([u(count) + bytes([kind]) for count, kind in locals_])
    whole = declared + code + END
    return u(len(whole)) + whole


def export(name: str, kind: int = 0, index: int = 0) -> bytes:
    """Encode an export."""
    return u(len(name)) + name.encode() + bytes([kind]) + u(index)


def module(
    bodies: Sequence[bytes],
    *,
    types: Sequence[bytes] = (function_type(),),
    exports: Sequence[bytes] = (export("_start"),),
    before_exports: bytes = b"",
    between: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """Return a module with one page of memory and these functions, all of the first type.

    `before_exports`, `between` exports and code, and `after` the code: whole sections.
    """
    return b"".join(
        [
            HEADER,
            section(1, vector(types)),
            section(3, vector([b"\0"] * len(bodies))),
            section(5, b"\1\0\1"),
            before_exports,
            section(7, vector(exports)),
            between,
            section(10, vector(bodies)),
            after,
        ]
    )


def local_get(index: int) -> bytes:
    """Encode `local.get`."""
    return b"\x20" + u(index)


def local_set(index: int) -> bytes:
    """Encode `local.set`."""
    return b"\x21" + u(index)


def many_locals_and_branches(locals_: int, steps: int) -> bytes:
    """Return a function that adds locals to each other and branches, over and over."""
    step = [
        local_get(number % locals_) + local_get((number * 7 + 1) % locals_) + b"\x6a"
        + local_set((number * 13 + 2) % locals_) + b"\x02\x40" + local_get(number * 3 % locals_)
        + b"\x0d\0\x0b"
        for number in range(steps)
    ]  # fmt: skip
    return body(b"".join(step), [(locals_, I32)])


def indirect_calls(count: int) -> bytes:
    """Return a function of calls through table 0, which are the slowest instructions to compile."""
    return body(b"\x41\0\x11\0\0" * count)


def slow_to_compile(functions: int) -> bytes:
    """Return a module that takes about a second of processor time per 7 functions.

    25 functions are the most within the limits.
    """
    table = section(4, b"\1\x70\0\1")
    whole = module([body(b""), *[indirect_calls(2_000)] * functions])
    at = whole.index(section(5, b"\1\0\1"))
    return whole[:at] + table + whole[at:]
