"""The supervisor's command line, and what is in the files that it names."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from genvm_manager.base.settings.config import Config
from genvm_manager.base.settings.executor_environment import (
    ExecutorEnvironment,
    executor_environment,
)
from genvm_manager.supervisor.settings.manifest_source import ManifestSource
from genvm_manager.supervisor.settings.rules_environment import Environment
from genvm_manager.supervisor.settings.settings_file import SettingsFile

from .service_manager import ServiceManager


@dataclass(frozen=True, slots=True)
class StartSettings:
    """The command line, and what is in the files that it names."""

    folder: Path
    file: SettingsFile
    config: Config
    executors: ExecutorEnvironment
    module_folders: tuple[Path, ...]
    manifests: ManifestSource
    environment: Environment
    shim: int
    parent_pipe: int | None
    handover: int | None
    service_manager: ServiceManager


def read_command_line(shim: int, service_manager: ServiceManager) -> StartSettings:
    """Read the command line and the files, and return what they say.

    `shim` is the pipe from the shim. Raises `ManagerError`, which names the file and the key at
    fault; a wrong command line ends the process.
    """
    arguments = _arguments()
    # Absolute: it is read again at a reload, from another working directory.
    file = SettingsFile(arguments.config and arguments.config.absolute())
    config, unknown = file.read()
    for key in unknown:
        print(f"genvm-manager supervisor: config: {key} means nothing", file=sys.stderr)
    environment = Environment(os.environ)
    root = _first_path(arguments.root, config.root)
    manifest = _first_path(arguments.manifest_path, config.manifest_path)
    return StartSettings(
        folder=arguments.state_dir.absolute(),
        file=file,
        config=config,
        executors=executor_environment(
            os.environ, config, arguments.state_dir, arguments.cache_dir
        ),
        module_folders=_module_folders(root, arguments.config),
        manifests=ManifestSource(manifest, root, environment),
        environment=environment,
        shim=shim,
        parent_pipe=arguments.parent_pipe_fd,
        handover=arguments.handover_fd,
        service_manager=service_manager,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m genvm_manager.supervisor")
    parser.add_argument("--state-dir", type=Path, required=True, help="the folder it owns")
    parser.add_argument("--config", type=Path, help="a YAML file; see docs/operations/configure.md")
    parser.add_argument("--root", type=Path, help="instead of the config's root")
    parser.add_argument("--manifest-path", type=Path, help="instead of the config's manifest")
    parser.add_argument("--cache-dir", type=Path, help="for compiled contracts")
    parser.add_argument(
        "--parent-pipe-fd", type=int, help="a pipe inherited from the parent: its end stops us"
    )
    parser.add_argument(
        "--handover-fd", type=int, help="a file inherited from the parent: for our successor"
    )
    arguments = parser.parse_args()
    for name, descriptor in (
        ("parent-pipe", arguments.parent_pipe_fd),
        ("handover", arguments.handover_fd),
    ):
        if descriptor is not None:
            try:
                os.set_inheritable(descriptor, False)
            except OSError as error:
                parser.error(f"--{name}-fd {descriptor}: {error.strerror}")
    return arguments


def _first_path(argument: Path | None, configured: str | None) -> Path | None:
    if argument is not None or configured is None:
        return argument
    return Path(configured)


def _module_folders(root: Path | None, config: Path | None) -> tuple[Path, ...]:
    """Return where modules' configurations may be: in the root, and beside the settings."""
    folders = (root and root / "config", config and config.parent)
    return tuple(folder.absolute() for folder in folders if folder)
