"""Checks of files: settings, the token, the state folder."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from genvm_manager.base.check_result import CheckResult, failure, ok, warning
from genvm_manager.base.errors import BadRequest
from genvm_manager.base.files.state_folder import supervisor_socket
from genvm_manager.base.network.listeners import AddressError, split_address
from genvm_manager.base.settings.token_file import TokenFileError, is_open_to_others, read_token
from genvm_manager.manager.cli.llm_models import NamedModel, models_in
from genvm_manager.manager.cli.options.config_file import config_in
from genvm_manager.manager.launcher.errors import ServiceFailed
from genvm_manager.manager.launcher.service_settings import read_config

from .installation import Installation


def settings(installation: Installation) -> Iterator[CheckResult]:
    """Check the service's settings, and the LLM module's if the root has them."""
    topic = "settings"
    path = installation.config_path
    try:
        _, unknown = read_config(path)
    except ServiceFailed as error:
        yield failure(topic, str(error), "correct it; the keys: docs/operations/configure.md")
        return
    if unknown:
        names = ", ".join(unknown)
        yield warning(topic, f"{path}: unknown keys: {names}", "correct or remove them")
    else:
        yield ok(topic, f"{path or 'no file is given; all keys have their defaults'}")
    if llm := installation.module_settings("llm"):
        yield _models(llm)


def _models(path: Path) -> CheckResult:
    topic = "settings"
    try:
        models = models_in(config_in(path.read_bytes()))
    except (OSError, ValueError, BadRequest) as error:
        return failure(topic, f"{path}: {error}", "correct it; the file explains its keys")
    if is_open_to_others(path.stat()) and any(_has_literal_key(model) for model in models):
        return warning(
            topic,
            f"{path}: holds keys, and other users may read it",
            f"chmod 600 {path}, or write ${{ENV[NAME]}} in place of keys",
        )
    return ok(topic, f"{path}: {len(models)} models are enabled")


def _has_literal_key(model: NamedModel) -> bool:
    return bool(model.config.key) and "${ENV[" not in model.config.key


def token(installation: Installation) -> Iterator[CheckResult]:
    """Check the token's file, and whether a token is needed."""
    topic = "token"
    path = installation.token_file
    if path is not None:
        try:
            read_token(path)
        except TokenFileError as error:
            yield failure(
                topic, str(error), "make it anew: docs/operations/access-control.md#token"
            )
        else:
            yield ok(topic, f"{path} is private and holds a token")
        return
    address = installation.config.bind_address
    if _is_loopback(address):
        yield ok(topic, f"no token; {address} can be reached from this machine only")
    else:
        yield warning(
            topic,
            f"no token, but {address} can be reached from other machines",
            "set token_file: see docs/operations/access-control.md#token",
        )


def _is_loopback(address: str) -> bool:
    try:
        host, _ = split_address(address)
        return host == "localhost" or ip_address(host).is_loopback
    except (AddressError, ValueError):
        return False


def state_folder(installation: Installation) -> Iterator[CheckResult]:
    """Check that the service's user, and no other, can use the state folder."""
    topic = "state folder"
    folder = installation.folder
    try:
        supervisor_socket(folder)
    except ValueError as error:
        yield failure(topic, str(error), "choose a shorter path")
        return
    if not os.path.exists(folder):
        yield _to_be_made(folder)
        return
    status = folder.stat()
    owner = _user_name(status.st_uid)
    if not stat.S_ISDIR(status.st_mode) or not os.access(folder, os.W_OK | os.X_OK):
        user = _user_name(os.geteuid())
        yield failure(topic, f"{user} cannot write to {folder}", "choose another folder")
    elif status.st_mode & 0o077:
        yield warning(topic, f"{folder}: other users may read it", f"chmod 700 {folder}")
    elif status.st_uid != os.geteuid():
        says = f"{folder} belongs to {owner}, for whom these checks may differ"
        yield warning(topic, says, f"sudo -u {owner} genvm-manager doctor …")
    else:
        yield ok(topic, f"{folder} is {owner}'s, and private")


def _to_be_made(folder: Path) -> CheckResult:
    parent = next(each for each in folder.parents if os.path.exists(each))
    if os.access(parent, os.W_OK | os.X_OK):
        return ok("state folder", f"{folder} will be created when the service starts")
    return failure(
        "state folder",
        f"{folder} does not exist and cannot be created in {parent}",
        f"create it: install -d -m 700 -o {_user_name(os.geteuid())} {folder}",
    )


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
