"""Runs inside the guest, once on a machine: gives out what is slow to import there.

Writes its standard library, the ZIP that the interpreter carries; then the modules of the SDK among
the paths that are its arguments, as `_modules.py` reads them; then for each other path the code
compiled from it, marshalled. Each piece stands after its length, u32 little-endian.
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


def _code(path: str) -> bytes:
    return marshal.dumps(compile(_read(path), path, "exec", dont_inherit=True))


def _module(path: str) -> tuple[str, tuple[str, bool, bytes]]:
    """Return the name of the module at `path`, its file, whether it is a package, and its code."""
    name = path.removeprefix("/genvm/").removesuffix(".py").replace("/", ".")
    is_package = name.endswith(".__init__")
    return name.removesuffix(".__init__"), (path, is_package, _code(path))


_give(_read(STDLIB))
count = int(sys.argv[1])
_give(marshal.dumps(dict(_module(path) for path in sys.argv[2 : 2 + count])))
for other in sys.argv[2 + count :]:
    _give(_code(other))
