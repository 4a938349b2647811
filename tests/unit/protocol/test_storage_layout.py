"""Where a contract's code lies.

Source: docs/spec/06-contracts.md#storage-layout-and-calls; docs/spec/01-http-api.md#contracts.
"""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genvm_manager.base.errors import BadRequest
from genvm_manager.protocol.contract.code import specified_major
from genvm_manager.protocol.contract.storage_layout import pre_deploy_writes, stored_code

SLOT = hashlib.sha3_256(b"\0" * 32 + b"\1\0\0\0").digest()


@pytest.mark.parametrize("code", [b"", b"x", b"# code\n" * 100, bytes(range(256))])
def test_two_writes_hold_the_length_and_the_code(code: bytes) -> None:
    size, content = pre_deploy_writes(0, code)
    assert (size.key, size.content) == (SLOT + b"\0\0\0\0", len(code).to_bytes(4, "little"))
    assert (content.key, content.content) == (SLOT + b"\4\0\0\0", code)
    assert size.content + content.content == stored_code(code)


@pytest.mark.parametrize("major", [1, 7, 1 << 31])
def test_a_major_without_a_rule_is_named(major: int) -> None:
    with pytest.raises(BadRequest, match=f"major {major}, "):
        pre_deploy_writes(major, b"code")


@pytest.mark.parametrize(
    ("code", "newest", "major"),
    [
        (b"# { }", 3, 0),
        (b"# v0.2.0\n# { }", 3, 0),
        (b"# v2.0.0-rc1\n# { }", 3, 2),
        (b"# v3.0.0\n# { }", 3, 3),
        (b"# v9.0.0\n# { }", 3, 3),
        (b"# v2.0.0\n# { }", 0, 0),
        (b"# vnext\n# { }", 3, 3),
        (b"# vnext\n# { }", 0, 0),
        (b"\xff\xfe no text", 3, 0),
        (b"\0asm\1\0\0\0", 3, 0),
        (b"\0asm\1\0\0\0\0\x12\x0dgenvm.versionv1.2", 3, 1),
        (b"PK\x03\x04 no archive", 3, 0),
        (b"", 3, 0),
    ],
)
def test_the_major_that_code_asks_for(code: bytes, newest: int, major: int) -> None:
    assert specified_major(code, newest) == major


@given(st.binary(max_size=300), st.sampled_from([b"", b"# ", b"# v", b"\0asm", b"PK\x03\x04"]))
def test_any_bytes_ask_for_some_major(code: bytes, start: bytes) -> None:
    assert 0 <= specified_major(start + code, 5) <= 5
