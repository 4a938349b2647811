"""Runs inside the guest, once on a machine: gives out what is slow to import there.

Writes its standard library, the ZIP that the interpreter carries, then for each path among its
arguments the code compiled from it, marshalled; each piece after its length, u32 little-endian.
"""

import marshal
import posix
import sys

STDLIB = "/usr/local/lib/python312.zip"


def _read(path: str) -> bytes:
    descriptor = posix.open(path, posix.O_RDONLY)
    parts = []
    while part := posix.read(descriptor, 1 << 20):
        parts.append(part)
    posix.close(descriptor)
    return b"".join(parts)


def _give(piece: bytes) -> None:
    posix.write(1, len(piece).to_bytes(4, "little") + piece)


_give(_read(STDLIB))
for source in sys.argv[1:]:
    _give(marshal.dumps(compile(_read(source), source, "exec", dont_inherit=True)))
