"""Names of programs that are gone are told from others, in manifests, units and scripts."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from genvm_manager.base.errors import RequestFailed
from genvm_manager.base.old_names import RENAMED, renamed_program
from genvm_manager.manager.cli.commands.doctor.old_names import check_files
from genvm_manager.supervisor.settings.manifest_source import ManifestSource
from genvm_manager.supervisor.settings.rules_environment import Environment
from genvm_manager.supervisor.settings.rules_manifest import CommandContext, parse_manifest

NEW = "`-m workers.genvm` is now `-m genvm_manager.workers.genvm`"


@pytest.mark.parametrize("new", RENAMED.values())
def test_each_new_name_can_be_started(new: str) -> None:
    found = find_spec(new)
    assert found is not None
    if found.submodule_search_locations is not None:
        assert find_spec(f"{new}.__main__") is not None


@pytest.mark.parametrize(
    "command",
    [
        "python -m workers.genvm",
        "/opt/x/bin/python3 -P -m workers.genvm run --host-data {}",
        'exec python -Pm workers.genvm "$@"',
        "ExecStart=/usr/bin/python -mworkers.genvm",
    ],
)
def test_an_old_name_is_found_however_it_is_written(command: str) -> None:
    assert renamed_program(command) == NEW


@pytest.mark.parametrize(
    "command",
    [
        "python -m genvm_manager.workers.genvm",
        "python -m workers.genvm_other",
        "python -m supervisor.supervisord -c /etc/supervisord.conf",
        "bin/genvm --m workers.genvm",
        "workers.genvm",
        "",
    ],
)
def test_other_programs_are_left_alone(command: str) -> None:
    assert renamed_program(command) is None


def test_a_manifest_with_an_old_name_is_refused_with_the_new_one() -> None:
    text = """
executor_versions:
  v0.2.0:
    available_after: "2024-01-01T00:00:00Z"
    command: ["${python}", "-m", "workers.genvm"]
"""
    with pytest.raises(RequestFailed) as refused:
        parse_manifest(text, CommandContext("python", None, {}))
    assert refused.value.message == f"manifest: v0.2.0.command: {NEW}; change it there"


def test_doctor_names_the_unit_and_the_next_step(tmp_path: Path) -> None:
    old, new = tmp_path / "genvm-old.service", tmp_path / "genvm-new.service"
    old.write_text("[Service]\nExecStart=/usr/bin/python -P -m supervisor --state-dir=/var/x\n")
    new.write_text("[Service]\nExecStart=/usr/bin/python -P -m genvm_manager.supervisor\n")
    wrong, right = check_files([old, new], "run scripts/install again")
    assert wrong.says == f"{old}: `-m supervisor` is now `-m genvm_manager.supervisor`"
    assert (wrong.status, wrong.do) == ("failure", "run scripts/install again")
    assert right.status == "ok"


@pytest.mark.parametrize("command", ["[{}]", "[/bin/sh, {}, run]"])
def test_a_script_of_a_manifest_with_an_old_name_is_refused_with_the_new_one(
    tmp_path: Path, command: str
) -> None:
    script = tmp_path / "genvm"
    script.write_text('#!/bin/sh\nexec python3 -P -m workers.genvm "$@"\n')
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text(
        "executor_versions: {v0.2.0: {available_after: 2024-01-01T00:00:00Z, command: "
        f"{command.format(script)}}}}}"
    )
    with pytest.raises(RequestFailed, match=r"v0.2.0: .*genvm: .* is now .*install-root again"):
        ManifestSource(manifest, None, Environment({}))
    script.write_text('#!/bin/sh\nexec python3 -P -m genvm_manager.workers.genvm "$@"\n')
    assert ManifestSource(manifest, None, Environment({})).current.executors
