"""Which executor a run gets (docs/spec/04-executor.md#layout-and-manifest)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genvm_manager.base.errors import RequestFailed
from genvm_manager.base.text.timestamps import parse_rfc3339
from genvm_manager.protocol.ipc.runs import MajorSelector, VersionSelector
from genvm_manager.supervisor.settings.rules_manifest import CommandContext, parse_manifest

CONTEXT = CommandContext(python="/py", root="/root", environment={"TOOLS": "/tools"})

THREE = """
executor_versions:
  v0.2.16: { available_after: "2025-01-01T00:00:00Z" }
  v0.2.17: { available_after: 2026-02-01T00:00:00Z }
  v0.10.0-rc1:
    available_after: "2026-09-01T00:00:00Z"
    command: ["${python}", "-m", "x", "${version}", "${ENV[TOOLS]}/a:${root}"]
  v1.0.0: { available_after: "2026-01-01T00:00:00Z" }
"""


def chosen(at: str, major: int = 0) -> str:
    moment = parse_rfc3339(at).timestamp()
    return parse_manifest(THREE, CONTEXT).choose(MajorSelector(major), moment).version


@pytest.mark.parametrize(
    ("at", "version"),
    [
        ("2025-01-01T00:00:00Z", "v0.2.16"),
        ("2026-01-31T23:59:59Z", "v0.2.16"),
        ("2026-02-01T00:00:00Z", "v0.2.17"),
        ("2026-02-01T01:00:00+02:00", "v0.2.16"),
        ("2027-01-01T00:00:00Z", "v0.10.0-rc1"),
    ],
)
def test_the_greatest_version_available_then(at: str, version: str) -> None:
    assert chosen(at) == version


def test_majors_are_apart() -> None:
    assert chosen("2027-01-01T00:00:00Z", major=1) == "v1.0.0"


def test_none_is_an_error_that_names_major_and_time() -> None:
    with pytest.raises(RequestFailed, match=r"major 0 at 2024-12-31T00:00:00\.000Z"):
        chosen("2024-12-31T00:00:00Z")
    with pytest.raises(RequestFailed, match="major 7"):
        chosen("2027-01-01T00:00:00Z", major=7)


@pytest.mark.parametrize(
    ("at", "major"),
    [
        ("2025-01-01T00:00:00Z", 0),
        ("2025-12-31T23:59:59Z", 0),
        ("2026-01-01T00:00:00Z", 1),
        ("2027-01-01T00:00:00Z", 1),
    ],
)
def test_the_newest_major_is_of_what_is_available_then(at: str, major: int) -> None:
    manifest = parse_manifest(THREE, CONTEXT)
    assert manifest.newest_major(parse_rfc3339(at).timestamp()) == major


def test_no_major_before_the_first_executor() -> None:
    with pytest.raises(RequestFailed, match=r"no executor at 2024-12-31T23:59:59\.000Z"):
        moment = parse_rfc3339("2024-12-31T23:59:59Z").timestamp()
        parse_manifest(THREE, CONTEXT).newest_major(moment)


def test_an_exact_version() -> None:
    manifest = parse_manifest(THREE, CONTEXT)
    assert manifest.choose(VersionSelector("v0.2.16"), 0.0).order == (0, 2, 16)
    with pytest.raises(RequestFailed, match=r"version 'v9\.9\.9'"):
        manifest.choose(VersionSelector("v9.9.9"), 0.0)


def test_commands_are_filled_in() -> None:
    manifest = parse_manifest(THREE, CONTEXT)
    by_version = {executor.version: executor.command for executor in manifest.executors}
    assert by_version["v0.2.16"] == ("/root/executor/v0.2.16/bin/genvm",)
    assert by_version["v0.10.0-rc1"] == ("/py", "-m", "x", "v0.10.0-rc1", "/tools/a:/root")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "manifest: expected object"),
        ("{}", "manifest: executor_versions: missing"),
        ("executor_versions: {v1.0: {available_after: 2024-01-01T00:00:00Z}}", "'v1.0' is no v"),
        (
            "executor_versions: {v1.0.0: {available_after: soon}}",
            "v1.0.0.available_after: expected",
        ),
        ("executor_versions: {v1.0.0: {}}", "available_after: missing"),
        (
            "executor_versions: {v1.0.0: {available_after: 2024-01-01T00:00:00Z, command: []}}",
            "command: expected array of length >= 1",
        ),
        (
            "executor_versions: {v1.0.0: {available_after: 2024-01-01T00:00:00Z,"
            " command: ['${ENV[NOPE]}']}}",
            r"v1.0.0.command: ${ENV[NOPE]} has no value here",
        ),
        (
            "executor_versions: {v1.0.0: {available_after: 2024-01-01T00:00:00Z},"
            " v1.0.0-rc: {available_after: 2024-01-01T00:00:00Z}}",
            "v1.0.0 and v1.0.0-rc are one version",
        ),
        ("a: [", "manifest: not YAML"),
    ],
)
def test_mistakes_are_named(text: str, said: str) -> None:
    with pytest.raises(RequestFailed) as error:
        parse_manifest(text, CONTEXT)
    assert said in error.value.message


def test_without_a_root_a_version_needs_a_command() -> None:
    with pytest.raises(RequestFailed, match="root} has no value"):
        parse_manifest(THREE, CommandContext("/py", None, {}))


@given(st.text(max_size=200))
def test_any_text_is_a_manifest_or_an_error(text: str) -> None:
    try:
        parse_manifest(text, CONTEXT)
    except RequestFailed as error:
        assert error.message.startswith("manifest: ")
