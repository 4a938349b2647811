"""Our own files as some editors save them: a byte order mark first, CR LF at the ends of lines."""

from __future__ import annotations

import asyncio
from pathlib import Path

from genvm_manager.base.settings.http import SettingsFiles
from genvm_manager.manager.cli.options.config_file import config_in
from genvm_manager.manager.launcher.service_settings import read_config
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.supervisor.modules.configuration import ConfigurationFiles
from tests.support.supervisor import RunningSupervisor

SETTINGS = "# ours\nhttp_workers: 3\nhttp_threads: 64\n"


def saved(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8-sig", newline="\r\n")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    return path


def test_settings_are_read_by_both_halves(tmp_path: Path) -> None:
    path = saved(tmp_path / "settings.yaml", SETTINGS)
    config, unknown = read_config(path)
    assert (config.http_workers, config.http_threads, unknown) == (3, 64, [])
    assert SettingsFiles(path, None).read().config == config


def test_a_supervisor_reads_settings_and_manifest() -> None:
    with RunningSupervisor(starts=False) as supervisor:
        for name in ("config.yaml", "manifest.yaml"):
            path = supervisor.folder / name
            saved(path, path.read_text())
        supervisor.start()
        assert "means nothing" not in supervisor.log
        assert supervisor.client.status().permits.total == 8
        assert supervisor.client.run("crashes").exit.code == 7
        supervisor.process.terminate()


def test_so_are_modules_configurations(tmp_path: Path) -> None:
    path = saved(tmp_path / "genvm-module-web.yaml", "workers: 1\nextra_tld: [test]\n")
    expected = {"workers": 1, "extra_tld": ["test"]}
    assert asyncio.run(ConfigurationFiles([tmp_path]).read(ModuleKind.WEB)) == expected
    assert config_in(path.read_bytes()) == expected
