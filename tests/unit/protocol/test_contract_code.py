"""Contract kinds, headers and versions (docs/spec/06-contracts.md#contract-kinds-and-headers)."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import random
import struct
import time
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genvm_manager.protocol.contract.code import (
    NO_VERSION,
    ContractKind,
    header_fault,
    major_of,
    parse,
    version_pattern,
)
from genvm_manager.protocol.contract.errors import InvalidContract

PYTHON = {"Depends": "py-genlayer:test"}


@pytest.mark.parametrize(
    ("text", "version", "runner"),
    [
        ('# { "Depends": "py-genlayer:test" }\nprint(1)\n', None, PYTHON),
        ('# v0.2.0\n# { "Depends": "py-genlayer:test" }\n', "v0.2.0", PYTHON),
        ('#v2.0.0-rc1\n#{"Depends": "py-genlayer:test"}', "v2.0.0-rc1", PYTHON),
        ('// v1.0.0\n// {"Depends":\n//  "py-genlayer:test"}\nfn', "v1.0.0", PYTHON),
        ('-- {"Depends": "py-genlayer:test"}', None, PYTHON),
        ('# {\n#   "Seq": [\n#     {}\n#   ]\n# }\n\nimport os\n', None, {"Seq": [{}]}),
        ('# { "Depends": "py-genlayer:test" }\n# more words\n', None, PYTHON),
        ('# {"Depends": "py-genlayer:test"}\r\nx', None, PYTHON),
    ],
)
def test_headers_of_text(text: str, version: str | None, runner: Any) -> None:
    code = parse(text.encode())
    assert (code.kind, code.version, code.runner) == (ContractKind.TEXT, version, runner)
    assert code.files == {"file": text.encode()}


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (b"", "invalid_contract absent_runner_comment"),
        (b"print(1)", "invalid_contract absent_runner_comment"),
        (b"\n# {}", "invalid_contract absent_runner_comment"),
        (b"# not json", "invalid_contract absent_runner_comment"),
        (b"# v0.2.0\nprint(1)", "invalid_contract absent_runner_comment"),
        (b"# {\nprint(1)\n# }", "invalid_contract absent_runner_comment"),
        (b"# " + b"[" * 60_000, "invalid_contract absent_runner_comment"),
        (b"\xff\xfe\x00", "invalid_contract not_utf8_text"),
        (b"PK\x03\x04", "invalid_contract"),
    ],
)
def test_code_that_says_nothing_usable(code: bytes, error: str) -> None:
    with pytest.raises(InvalidContract) as raised:
        parse(code)
    assert raised.value.code == error


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (b"print(1)", 'holds no runner description such as # { "Depends": "py-genlayer:test" }'),
        (b'# v1\n# {"Depends" "py"}\n', "is no JSON such as .*: Expecting ':' delimiter"),
        (b'# {"Depends": "py"\nimport os', "is no JSON such as .*: its brackets have no end"),
        (b'# {}\n\nx = "\xe9"\n', "not UTF-8 text: line 3 has the byte 0xe9"),
    ],
)
def test_the_reason_names_what_is_wrong(code: bytes, reason: str) -> None:
    with pytest.raises(InvalidContract, match=reason):
        parse(code)


RUNNER = '# { "Depends": "py-genlayer:test" }'
NO_MARK = "save the file as UTF-8 without a byte order mark"


@pytest.mark.parametrize(
    ("code", "error", "fault"),
    [
        (
            RUNNER.encode("utf-8-sig"),
            "absent_runner_comment",
            f"the text begins with a byte order mark, not with its comment; {NO_MARK}",
        ),
        (RUNNER.encode("utf-16"), "not_utf8_text", f"the text is UTF-16; {NO_MARK}"),
        (
            codecs.BOM_UTF16_BE + RUNNER.encode("utf-16-be"),
            "not_utf8_text",
            f"the text is UTF-16; {NO_MARK}",
        ),
        (RUNNER.encode("utf-32"), "not_utf8_text", f"the text is UTF-32; {NO_MARK}"),
        (
            f"\n\r\n{RUNNER}".encode(),
            "absent_runner_comment",
            "the text begins with a blank line and not with its comment; remove what is before "
            "the first comment",
        ),
        (
            f"\u200b {RUNNER}".encode(),
            "absent_runner_comment",
            "the text begins with U+200B and not with its comment; remove what is before the "
            "first comment",
        ),
        (
            RUNNER.encode("utf-16-le"),
            "absent_runner_comment",
            f"the text is UTF-16; {NO_MARK}",
        ),
        (
            RUNNER.encode("utf-16-be"),
            "absent_runner_comment",
            f"the text is UTF-16; {NO_MARK}",
        ),
        (
            f"\0{RUNNER}".encode(),
            "absent_runner_comment",
            "the text begins with U+0000 and not with its comment; remove what is before the "
            "first comment",
        ),
        (
            f"\u202a\xad{RUNNER}".encode(),
            "absent_runner_comment",
            "the text begins with U+202A and not with its comment; remove what is before the "
            "first comment",
        ),
        (
            '# {\u00a0"Depends": "py-genlayer:test" }\n'.encode(),
            "absent_runner_comment",
            "the first comment holds U+00A0, which is no space in JSON; replace it",
        ),
        (
            f"# v0.2.0\r{RUNNER}\rprint(1)\r".encode(),
            "absent_runner_comment",
            "the lines end with a carriage return alone, so that all is one line; save the file "
            "with LF or CR LF at the ends of lines",
        ),
        (b"print(1)", "absent_runner_comment", None),
        (b"\xff", "not_utf8_text", None),
    ],
)
def test_what_an_editor_did_is_said_and_not_mended(
    code: bytes, error: str, fault: str | None
) -> None:
    with pytest.raises(InvalidContract) as raised:
        parse(code)
    assert raised.value.code == f"invalid_contract {error}"
    assert header_fault(code) == fault
    assert fault is None or str(raised.value) == fault
    assert version_pattern(code) == NO_VERSION


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_either_end_of_lines_will_do(end: str) -> None:
    code = end.join(["# v0.2.0", "# {", '#   "Depends": "py-genlayer:test"', "# }", ""]).encode()
    found = parse(code)
    assert (found.version, found.runner) == ("v0.2.0", {"Depends": "py-genlayer:test"})
    assert header_fault(code) is None


@pytest.mark.parametrize("code", [b"\0asm\1\0\0\0", b"PK\x03\x04", RUNNER.encode()])
def test_of_other_code_nothing_is_said(code: bytes) -> None:
    assert header_fault(code) is None


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # A name twice is what one test wants.
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()


RUNNER_JSON = json.dumps(PYTHON).encode()


def test_zip_gives_its_files_its_version_and_its_runner() -> None:
    files = {"runner.json": RUNNER_JSON, "version": b"v0.3.1\n", "contract/__init__.py": b"x = 1"}
    code = parse(zipped(files))
    assert (code.kind, code.version, code.runner) == (ContractKind.ZIP, "v0.3.1", PYTHON)
    assert code.files == files


def test_zip_folders_are_no_files() -> None:
    assert set(parse(zipped({"runner.json": RUNNER_JSON, "contract/": b""})).files) == {
        "runner.json"
    }


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../up", "a/../b", "a//b", "./a", "a\\b", "a/.", "c\0d"]
)
def test_zip_paths_that_play_tricks_are_refused(name: str) -> None:
    archive = zipped({"runner.json": RUNNER_JSON, "x" * len(name): b""})
    with pytest.raises(InvalidContract):
        parse(archive.replace(b"x" * len(name), name.encode()))


def test_zip_with_the_same_name_twice_is_refused() -> None:
    archive = zipped({"runner.json": RUNNER_JSON, "aaa": b"1", "bbb": b"2"})
    with pytest.raises(InvalidContract):
        parse(archive.replace(b"bbb", b"aaa"))


def test_compressed_zip_is_refused() -> None:
    bomb = zipped({"runner.json": RUNNER_JSON, "zeros": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(InvalidContract, match=r"'runner[.]json' is compressed or encrypted"):
        parse(bomb)


def test_the_search_for_the_version_of_a_module_has_an_end() -> None:
    versioned = b"\0\x12\x0dgenvm.versionv1.2"
    for count, version in ((9_999, "v1.2"), (10_000, "v0.0.0")):
        assert version_pattern(b"\0asm\1\0\0\0" + b"\0\1\0" * count + versioned) == version


def test_zip_with_too_many_entries_is_refused() -> None:
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 10_001, 10_001, 46 * 10_001, 4, 0)
    with pytest.raises(InvalidContract, match="more than 10000 entries"):
        parse(b"PK\3\4" + b"PK\1\2".ljust(46, b"\0") * 10_001 + end)
    assert len(
        parse(zipped({"runner.json": RUNNER_JSON} | {f"f{n}": b"" for n in range(9999)})).files
    )


def test_extra_fields_of_a_zip_take_linear_time() -> None:
    """The standard library copies what is left of them for each."""
    began = time.process_time()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ["runner.json", *(f"f{n}" for n in range(400))]:
            entry = zipfile.ZipInfo(name)
            entry.extra = b"\1\2\0\0" * 16_000
            archive.writestr(entry, RUNNER_JSON)
    written = time.process_time()
    assert len(parse(buffer.getvalue()).files) == 401
    assert time.process_time() - written < 1 + written - began


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda code: code + b"\0", "its end is missing"),
        (lambda code: code[:4] + b"\0" + code[4:], "from its first byte"),
        (lambda code: code.replace(b"PK\1\2", b"PK\1\3"), "of its directory is malformed"),
        (lambda code: code.replace(b"x = 1", b"x = 2"), "not as its directory says"),
        (lambda code: code[:-4] + b"\0\1\0\0", "from its first byte|its end is missing"),
        (lambda code: b"PK\3\4" + code[-22:], "from its first byte"),
    ],
)
def test_a_damaged_zip_is_refused_with_what_is_wrong(
    damage: Callable[[bytes], bytes], reason: str
) -> None:
    whole = zipped({"runner.json": RUNNER_JSON, "contract/__init__.py": b"x = 1"})
    with pytest.raises(InvalidContract, match=reason):
        parse(damage(whole))


@pytest.mark.parametrize("name", ["a" * 1025, "a/" * 513 + "b", "\u00e9" * 513])
def test_zip_with_a_long_path_is_refused(name: str) -> None:
    with pytest.raises(InvalidContract, match="not a path that a contract's file may have"):
        parse(zipped({"runner.json": RUNNER_JSON, name: b""}))


def test_zip_names_are_utf8_or_of_the_old_code_page() -> None:
    assert "\u00e9\u4e00" in parse(zipped({"runner.json": RUNNER_JSON, "\u00e9\u4e00": b""})).files
    old = zipped({"runner.json": RUNNER_JSON, "xx": b""}).replace(b"xx", b"\x82\x82")
    assert "\u00e9\u00e9" in parse(old).files


def nested(depth: int) -> str:
    """Return a description whose lists and maps nest `depth` deep, an even number."""
    return '{"Seq": [' * (depth // 2) + "]}" * (depth // 2)


@pytest.mark.parametrize("depth", [66, 600, 100_000])
def test_a_description_that_nests_deeper_than_allowed_is_refused(depth: int) -> None:
    assert parse(b"# " + nested(64).encode()).kind is ContractKind.TEXT
    codes = [zipped({"runner.json": nested(depth).encode()})]
    if depth < 1000:  # A header has a bound of its own.
        codes.append(b"# " + nested(depth).encode() + b"\n")
    for code in codes:
        with pytest.raises(InvalidContract, match="nests deeper than 64 levels") as raised:
            parse(code)
        assert raised.value.code == "invalid_contract malformed_runner"


@pytest.mark.parametrize(
    "text",
    [
        r'{"SetArgs": ["\ud800"]}',
        r'{"AddEnv": {"name": "\udfff", "val": ""}}',
        r'{"AddEnv": {"name": "A", "val": "a\ud800"}}',
        r'{"MapFile": {"file": "\udc00", "to": "/a"}}',
        r'{"MapFile": {"file": "file", "to": "/\udc00"}}',
        r'{"StartWasm": "\ud800"}',
        r'{"Depends": "py-genlayer:\ud800"}',
        r'{"When": {"cond": "\ud800", "action": {}}}',
        r'{"\ud800": {}}',
    ],
)
def test_half_a_surrogate_pair_in_a_description_is_refused(text: str) -> None:
    for code in (b"# " + text.encode(), zipped({"runner.json": text.encode()})):
        with pytest.raises(InvalidContract, match="half a surrogate pair"):
            parse(code)
    assert parse(rb'# {"SetArgs": ["\ud83d\ude00"]}').runner == {"SetArgs": ["\U0001f600"]}


@pytest.mark.parametrize("number", ["9" * 5000, "1e999", "-0.5", "NaN"])
def test_numbers_of_a_description_mean_nothing(number: str) -> None:
    assert parse(f'# {{"SetArgs": {number}}}'.encode()).kind is ContractKind.TEXT


def test_a_description_is_searched_in_linear_time() -> None:
    began = time.process_time()
    for text in ('"' + r"\"" * 30_000, '{"a' + '\\"' * 20_000, "[" * 60_000, '"' * 60_000):
        with contextlib.suppress(InvalidContract):
            parse(b"# " + text.encode())
    assert time.process_time() - began < 2


def test_a_long_runner_json_is_refused() -> None:
    with pytest.raises(InvalidContract, match=r"runner.json has more than 1048576 bytes"):
        parse(zipped({"runner.json": RUNNER_JSON + b" " * (1 << 20)}))


def test_no_damage_to_a_zip_has_another_outcome_than_being_refused() -> None:
    whole = zipped({"runner.json": RUNNER_JSON, "version": b"v1.2.3", "a/b": b"x"})
    dice = random.Random(20_260_101)
    for _ in range(5_000):
        broken = bytearray(whole)
        for _ in range(dice.randint(1, 6)):
            broken[dice.randrange(4, len(broken))] = dice.choice([0, 1, 255, dice.randrange(256)])
        with contextlib.suppress(InvalidContract):
            parse(bytes(broken))


def test_zip_with_several_entries_for_the_same_bytes_is_refused() -> None:
    """It is the bomb that needs no compression: many entries that point at one."""
    plain = zipped({"runner.json": RUNNER_JSON, **{f"f{n:03}": bytes(1000) for n in range(50)}})
    entries = plain[plain.index(b"PK\x01\x02") :]
    start = zipped({"runner.json": RUNNER_JSON, "f000": bytes(1000)})
    start = start[: start.index(b"PK\x01\x02")]
    first = plain.index(b"PK\x03\x04", 4)
    for number in range(50):
        at = entries.index(f"f{number:03}".encode()) - 4
        entries = entries[:at] + first.to_bytes(4, "little") + entries[at + 4 :]
    end = entries.rindex(b"PK\x05\x06")
    entries = entries[: end + 16] + len(start).to_bytes(4, "little") + entries[end + 20 :]
    with pytest.raises(InvalidContract, match="more than it holds"):
        parse(start + entries)


def section(number: int, content: bytes) -> bytes:
    return bytes([number, len(content)]) + content


def custom(name: bytes, content: bytes) -> bytes:
    return section(0, bytes([len(name)]) + name + content)


WASM = b"\0asm\1\0\0\0"


@pytest.mark.parametrize(
    ("code", "version"),
    [
        (WASM, "v0.0.0"),
        (WASM + custom(b"genvm.version", b"v0.2.16"), "v0.2.16"),
        (WASM + section(1, b"\0") + custom(b"x", b"") + custom(b"genvm.version", b"v3"), "v3"),
        (WASM + custom(b"genvm.version", b"v0.2.16")[:-2], "v0.0.0"),
        (WASM + b"\0\xff\xff\xff\xff\xff\xff", "v0.0.0"),
        (b"\0asm", "v0.0.0"),
        (b"# v0.2.0\n# {}", "v0.2.0"),
        (b"# {}", "v0.0.0"),
        (b"\xff", "v0.0.0"),
        (b"", "v0.0.0"),
        (zipped({"version": b"v1.2.3"}), "v1.2.3"),
        (zipped({"runner.json": RUNNER_JSON}), "v0.0.0"),
        (b"PK\x03\x04 damaged", "v0.0.0"),
    ],
)
def test_version_pattern(code: bytes, version: str) -> None:
    assert version_pattern(code) == version


@given(st.binary(max_size=400), st.sampled_from([b"", b"# ", b"\0asm\1\0\0\0", b"PK\x03\x04"]))
def test_any_bytes_have_a_version_and_parse_or_are_invalid(code: bytes, start: bytes) -> None:
    assert isinstance(version_pattern(start + code), str)
    try:
        parse(start + code)
    except InvalidContract as error:
        assert error.code.startswith("invalid_contract")


@pytest.mark.parametrize(
    ("version", "major"),
    [("v0.2.0", 0), ("v2.0.0-rc1", 2), ("v13", 13), ("vTEST", None), ("", None), ("v²", None)],
)
def test_major_of_a_version(version: str, major: int | None) -> None:
    assert major_of(version) == major
