"""The executor's command line (docs/spec/04-executor.md#command-line)."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from genvm_manager.base.files.cache_folder import (
    CACHE_BYTES_VARIABLE,
    DEFAULT_CACHE_BYTES,
    MAX_CACHE_BYTES,
    usual_cache_folder,
)
from genvm_manager.protocol.permissions import ALL_PERMISSIONS, DEFAULT_PERMISSIONS

T = TypeVar("T", int, float)

DEFAULT_MEMORY = 1 << 30
MAX_MEMORY = 4 << 30
DEFAULT_SECONDS = 600.0
MAX_SECONDS = 24 * 3600.0
_DESCRIPTOR = re.compile(r"[0-9]{1,9}")
DEBUG_LEVELS = ("disabled", "safe", "safe-unbounded", "unsafe", "unsafe-tracing")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` name, by default those of the process.

    Return its exit status.
    """
    options = _parser().parse_args(arguments)
    command: str = options.command
    if command == "run":
        from genvm_manager.workers.genvm.run.run import run  # noqa: PLC0415 (each command imports what it needs)

        return run(options)
    if command == "check":
        from .check import check  # noqa: PLC0415

        return check(
            options.cache_dir,
            options.cache_bytes,
            options.runners_dir,
            precompile=options.precompile,
        )
    return _print_version_pattern()


def _print_version_pattern() -> int:
    from genvm_manager.protocol.contract.code import version_pattern  # noqa: PLC0415

    print(version_pattern(sys.stdin.buffer.read()))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="genvm",
        description="Runs one call of an Intelligent Contract in WebAssembly.",
        allow_abbrev=False,
    )
    _add_limits(parser)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_run(commands.add_parser("run", help="run the call whose execution data is on stdin"))
    commands.add_parser(
        "parse-version-pattern", help="print the version that the contract on stdin asks for"
    )
    check = commands.add_parser("check", help="say whether this installation is whole")
    check.add_argument("--precompile", action="store_true", help="compile what is not yet")
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log-fd", type=int, metavar="N", help="write JSON log lines there")
    parser.add_argument(
        "--memory-limit",
        type=_at_most(MAX_MEMORY, int),
        default=DEFAULT_MEMORY,
        metavar="BYTES",
        help="of WebAssembly memory, all calls of a run together (default: %(default)s)",
    )
    parser.add_argument(
        "--max-seconds",
        type=_at_most(MAX_SECONDS, float),
        default=DEFAULT_SECONDS,
        metavar="S",
        help="then the run ends as VM error timeout (default: %(default)s)",
    )
    parser.add_argument(
        "--cache-dir",
        type=Path,
        default=default_cache_dir(),
        metavar="DIR",
        help="for compiled modules (default: %(default)s)",
    )
    parser.add_argument(
        "--cache-bytes",
        type=_at_most(MAX_CACHE_BYTES, int),
        default=os.environ.get(CACHE_BYTES_VARIABLE, str(DEFAULT_CACHE_BYTES)),
        metavar="BYTES",
        help="that compiled contracts may take there (default: %(default)s)",
    )
    parser.add_argument(
        "--runners-dir",
        type=Path,
        metavar="DIR",
        help="with your own runners, NAME/HASH.tar or NAME/HASH.zip (default: none)",
    )


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "--debug-mode",
        nargs="?",
        const="safe",
        default="disabled",
        choices=DEBUG_LEVELS,
        help="log at debug level as well, unless disabled; alone it means safe",
    )
    run.add_argument("--sync", action="store_true", help="replay: the modules are not asked")
    run.add_argument(
        "--host",
        action="append",
        required=True,
        metavar="ADDRESS",
        dest="hosts",
        help="unix://PATH, tcp://HOST:PORT or fd://N; the first is host 0",
    )
    run.add_argument(
        "--permissions",
        default=DEFAULT_PERMISSIONS,
        type=_permissions,
        metavar="LETTERS",
        help="read, write, send, call, nondet (default: %(default)s)",
    )
    _add_modules(run)
    run.add_argument("--genvm-id", type=int, required=True, metavar="ID", help="names the run")


def _add_modules(run: argparse.ArgumentParser) -> None:
    for module in ("llm", "web"):
        run.add_argument(
            f"--module-{module}",
            type=_descriptor,
            metavar="fd://N",
            help=f"connected socket to the {module} module, for nondet blocks",
        )


def default_cache_dir() -> Path:
    """Return where compiled modules are kept unless `--cache-dir` says otherwise.

    A user without a home has a folder of its own among the temporary files.
    """
    temporary = Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108 (its owner is checked)
    return usual_cache_folder(os.environ) or temporary / f"genvm-manager-{os.geteuid()}"


def _permissions(letters: str) -> frozenset[str]:
    unknown = set(letters) - set(ALL_PERMISSIONS)
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{''.join(sorted(unknown))!r}: expected some of {ALL_PERMISSIONS}"
        )
    return frozenset(letters)


def _descriptor(address: str) -> int:
    scheme, _, number = address.partition("fd://")
    if scheme or not _DESCRIPTOR.fullmatch(number):
        raise argparse.ArgumentTypeError(f"{address!r}: expected fd:// and a descriptor's number")
    return int(number)


def _at_most(limit: T, kind: Callable[[str], T]) -> Callable[[str], T]:
    def parse(text: str) -> T:
        number = kind(text)
        if not 0 < number <= limit:
            raise argparse.ArgumentTypeError(f"{text}: expected more than 0, at most {limit}")
        return number

    parse.__name__ = kind.__name__
    return parse
