"""Contract code from outside: its kind, its version and its runner description.

Source: docs/spec/06-contracts.md.

Pure parsing of untrusted bytes. `parse` says what an executor has to start; `version_pattern`
never fails and serves `parse-version-pattern` and the manager's version detection.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from .errors import InvalidContract
from .runner_description import MAX_DESCRIPTION, parse_description
from .zip_file import read_zip

MAX_CODE = 32 << 20
"""Bytes of the longest contract that is run."""

MAX_HEADER = 64 << 10
"""The longest comment, in characters, that is searched for a runner description."""

MAX_SECTIONS = 10_000
"""The most sections of a module that are searched for its version."""

NO_VERSION = "v0.0.0"
"""What stands for the version of code that names none or cannot be read."""

_MAX_VERSION = 256
_COMMENTS = ("#", "//", "--")
_MAX_BLANK = 4 << 10
_BLANK = (
    "\0\b\t\n\v\f\r\x1a\x1b\x1c\x1d\x1e\x1f \x7f\x85\xa0\xad\u034f\u061c\u1680\u180e"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f"
    "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u202f\u205f\u2060\u2061\u2062\u2063\u2064"
    "\u2066\u2067\u2068\u2069\u2800\u3000\u3164\ufeff\ufffc"
)
"""What looks like nothing in an editor."""

_SAVE = "save the file as UTF-8 without a byte order mark"
_MARKS = {
    codecs.BOM_UTF8: f"the text begins with a byte order mark, not with its comment; {_SAVE}",
    codecs.BOM_UTF32_LE: f"the text is UTF-32; {_SAVE}",
    codecs.BOM_UTF32_BE: f"the text is UTF-32; {_SAVE}",
    codecs.BOM_UTF16_LE: f"the text is UTF-16; {_SAVE}",
    codecs.BOM_UTF16_BE: f"the text is UTF-16; {_SAVE}",
}
"""By how a text begins, longer ones first."""

_UNMARKED = re.compile(rb"(?:[^\0]\0){2}|(?:\0[^\0]){2}")
"""UTF-16 that begins with two letters of ASCII and without a mark."""


class ContractKind(Enum):
    """How code is written down."""

    WASM = "wasm"
    ZIP = "zip"
    TEXT = "text"


class ContractCode(NamedTuple):
    """Parsed code. `version` is None when it names none; `runner`: its description, None for raw
    WASM. `files`: by path, those of a ZIP, or the whole as `file`.
    """

    kind: ContractKind
    version: str | None
    runner: Any
    files: dict[str, bytes]


def kind_of(code: bytes) -> ContractKind:
    """Return the kind, by the first bytes alone."""
    if code.startswith(b"\0asm"):
        return ContractKind.WASM
    return ContractKind.ZIP if code.startswith(b"PK\x03\x04") else ContractKind.TEXT


def parse(code: bytes) -> ContractCode:
    """Return everything that code says about how it is run. Raises `InvalidContract`."""
    kind = kind_of(code)
    if kind is ContractKind.WASM:
        return ContractCode(kind, _wasm_version(code), None, {"file": code})
    if kind is ContractKind.ZIP:
        return _parse_zip(code)
    version, runner = _parse_header(code)
    return ContractCode(kind, version, runner, {"file": code})


def version_pattern(code: bytes) -> str:
    """Return the version that code asks for, or `v0.0.0`; any bytes will do."""
    kind = kind_of(code)
    try:
        if kind is ContractKind.WASM:
            return _wasm_version(code) or NO_VERSION
        if kind is ContractKind.ZIP:
            return _zip_version(read_zip(code)) or NO_VERSION
        return _split_header(_decoded(code))[0] or NO_VERSION
    except InvalidContract:
        return NO_VERSION


def header_fault(code: bytes) -> str | None:
    """Return how the way a text was saved keeps its runner description from being found.

    Its author may not see such a thing. None for all other code.
    """
    if kind_of(code) is not ContractKind.TEXT:
        return None
    try:
        _parse_header(code)
    except InvalidContract:
        return _writing_fault(code)
    return None


def major_of(version: str) -> int | None:
    """Return the number before the first dot, without the `v`; None, the newest, without one."""
    digits = version.removeprefix("v").split(".", 1)[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def specified_major(code: bytes, newest: int) -> int:
    """Return the public-ABI major that any bytes ask for, at most the `newest` there is.

    Source: docs/spec/01-http-api.md.
    """
    major = major_of(version_pattern(code))
    return newest if major is None else min(major, newest)


# ------------------------------------------------------------------------------------------ text


def _parse_header(code: bytes) -> tuple[str | None, Any]:
    version, description = _split_header(_decoded(code))
    try:
        runner = parse_description(description, is_alone=False)
    except ValueError as error:
        example = 'such as # { "Depends": "py-genlayer:test" }'
        reason = f"the first comment holds no runner description {example}"
        if description.lstrip().startswith("{"):
            fault = getattr(error, "msg", error)
            reason = f"the first comment is no JSON {example}: {fault}"
        reason = _writing_fault(code) or reason
        raise InvalidContract(reason, "absent_runner_comment") from None
    return version, runner


def _writing_fault(code: bytes) -> str | None:
    """Return what an editor did to a text that keeps its first comment from being found, if so.

    The text is not mended: its result is that of the network, which has the same bytes.
    """
    for mark, fault in _MARKS.items():
        if code.startswith(mark):
            return fault
    if _UNMARKED.match(code):
        return _MARKS[codecs.BOM_UTF16_LE]
    first = code[:_MAX_BLANK].decode("utf-8", "replace")
    rest = first.lstrip(_BLANK)
    if rest != first and rest.startswith(_COMMENTS):
        return (
            f"the text begins with {_name(first[0])} and not with its comment; remove what is "
            "before the first comment"
        )
    header = code[:MAX_HEADER]
    for line in _comment_lines(header.decode("utf-8", "replace")):
        if odd := next((each for each in line if each in _BLANK and not each.isascii()), None):
            return f"the first comment holds {_name(odd)}, which is no space in JSON; replace it"
    if b"\r" in header and b"\n" not in header:
        return (
            "the lines end with a carriage return alone, so that all is one line; save the file "
            "with LF or CR LF at the ends of lines"
        )
    return None


def _name(character: str) -> str:
    if character in "\r\n":
        return "a blank line"
    return {" ": "a space", "\t": "a tab"}.get(character, f"U+{ord(character):04X}")


def _decoded(code: bytes) -> str:
    try:
        return code.decode("utf-8")
    except UnicodeDecodeError as error:
        line = code.count(b"\n", 0, error.start) + 1
        found = f"the code is not UTF-8 text: line {line} has the byte 0x{code[error.start]:02x}"
        reason = _writing_fault(code) or found
        raise InvalidContract(reason, "not_utf8_text") from None


def _split_header(text: str) -> tuple[str | None, str]:
    """Return the first comment line, if it is a version, and the text of the other lines."""
    lines = list(_comment_lines(text))
    if lines and (first := lines[0].strip()).startswith("v") and len(first.split()) == 1:
        return first[:_MAX_VERSION], "\n".join(lines[1:])
    return None, "\n".join(lines)


def _comment_lines(text: str) -> Iterator[str]:
    """Yield the lines of the comment at the very start, without their mark."""
    mark = next((mark for mark in _COMMENTS if text.startswith(mark)), None)
    if mark is None:
        return
    for line in text[:MAX_HEADER].split("\n"):
        if not line.startswith(mark):
            return
        yield line[len(mark) :]


# ------------------------------------------------------------------------------------------- ZIP


def _parse_zip(code: bytes) -> ContractCode:
    files = read_zip(code)
    if "runner.json" not in files:
        raise InvalidContract("the ZIP has no runner.json", "absent_runner_comment")
    runner = parse_runner_json(files["runner.json"])
    return ContractCode(ContractKind.ZIP, _zip_version(files), runner, files)


def parse_runner_json(content: bytes | memoryview) -> Any:
    """Return the description in the file `runner.json` of an archive. Raises `InvalidContract`."""
    if len(content) > MAX_DESCRIPTION:
        raise InvalidContract(
            f"runner.json has more than {MAX_DESCRIPTION} bytes", "malformed_runner"
        )
    try:
        return parse_description(bytes(content).decode("utf-8-sig"), is_alone=True)
    except ValueError as error:
        raise InvalidContract(f"runner.json is not JSON: {error}", "malformed_runner") from None


def _zip_version(files: dict[str, bytes]) -> str | None:
    version = files.get("version", b"")[:_MAX_VERSION].decode("utf-8", "replace").strip()
    return version or None


# ------------------------------------------------------------------------------------------ WASM


def _wasm_version(code: bytes) -> str | None:
    for name, content in _custom_sections(code):
        if name == b"genvm.version":
            return content[:_MAX_VERSION].decode("utf-8", "replace").strip() or None
    return None


def module_name(code: bytes) -> str | None:
    """Return how a module calls itself in its section of names, None where it does not."""
    for section, content in _custom_sections(code):
        if section == b"name" and content[:1] == b"\0":
            try:
                _, at = _uleb128(content, 1)
                size, start = _uleb128(content, at)
                return content[start : start + size].decode() or None
            except (IndexError, ValueError):
                return None
    return None


def _custom_sections(code: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of each custom section; a damaged module ends the search."""
    at = 8
    for _ in range(MAX_SECTIONS):
        try:
            size, start = _uleb128(code, at + 1)
            end = start + size
            if code[at] == 0:
                name_size, name_at = _uleb128(code, start)
                content_at = name_at + name_size
                if content_at <= end <= len(code):
                    yield code[name_at:content_at], code[content_at:end]
        except (IndexError, ValueError):
            return
        at = end


def _uleb128(code: bytes, at: int) -> tuple[int, int]:
    number = 0
    for index in range(5):
        byte = code[at + index]
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, at + index + 1
    raise ValueError("a number is longer than 32 bits")
