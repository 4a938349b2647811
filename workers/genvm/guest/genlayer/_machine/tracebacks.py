"""What an author reads of an error that nobody caught: a traceback, and one line that sums it up.

This is loaded when a run fails, and changes no result. The traceback goes to stderr and has the
frames of the contract's own files only. The line goes to the executor's log, and so do all frames.
"""

from __future__ import annotations

import posix
import sys

from . import host
from .message import message_raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType

MAX_TEXT = 8 << 10
"""Characters of a traceback that are shown: of a longer one, its beginning and its end."""

MAX_PART = 2 << 10
"""Characters that are shown of an error's message, or of one line of the source."""

MAX_MESSAGE = 500
"""Characters of the error's message in the line that sums it up."""

_MAX_ERRORS = 50
"""Errors of one chain that are shown: Python shows nothing of one that is too long for it."""

_MAX_FRAMES = 200
_OURS = ("/genvm/", "/wlr/", "<frozen ")
"""How the names of files begin that are not the contract's: ours, Python's library, its core."""


def report(kind: type[BaseException], error: BaseException, _: object) -> None:
    """Show an error that nobody caught, as `sys.excepthook` does. Raises nothing."""
    try:
        errors = list(_family(error))
        frames = _all_frames(errors)
        for each in errors:
            _leave_out_our_frames(each)
        for each in errors[_MAX_ERRORS:]:
            each.__cause__ = each.__context__ = None
        text = _shortened(_written(kind, error))
        line = _summary(text, kind, error)
    except BaseException:  # The error's own code runs, or no memory is left.
        text = line = frames = kind.__name__ + "\n"
    write_to_stderr(text)
    host.report_failure(f"{line.strip()}\n{frames}")


def report_exit(error: SystemExit) -> None:
    """Tell where the contract ended its program with a code of its own. Raises nothing."""
    code = error.code
    if not code:
        return
    text = f"{code}" if isinstance(code, (int, str)) else type(code).__name__
    first = text[:MAX_MESSAGE].partition("\n")[0]
    host.report_failure(f"SystemExit: {first} ({_place(error)})\n{_all_frames([error])}")


def _family(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, those that led to it, and those in a group, each once."""
    waiting, seen = [error], set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        members = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        waiting += [*members, each.__context__, each.__cause__]


def _frames(error: BaseException) -> Iterator[TracebackType]:
    trace = error.__traceback__
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _all_frames(errors: list[BaseException]) -> str:
    """Return the place of each frame, ours too, innermost last; of very many the last ones."""
    lines = []
    for error in errors:
        lines.append(type(error).__qualname__)
        lines += [
            f"  {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno} in "
            f"{trace.tb_frame.f_code.co_qualname}"
            for trace in list(_frames(error))[-_MAX_FRAMES:]
        ]
    return "\n".join(lines[-_MAX_FRAMES:])


def _leave_out_our_frames(error: BaseException) -> None:
    kept = [
        each for each in _frames(error) if not each.tb_frame.f_code.co_filename.startswith(_OURS)
    ]
    inner = None
    for each in reversed(kept):
        inner = type(each)(inner, each.tb_frame, each.tb_lasti, each.tb_lineno)
    error.__traceback__ = inner


class _Text:
    """Stands for stderr while Python writes a traceback; keeps a bounded part of each text."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def write(self, part: str) -> None:
        left_out = len(part) - MAX_PART
        if left_out > 0:
            start, end = part[: MAX_PART // 2], part[-MAX_PART // 2 :]
            part = f"{start}… {left_out} characters are left out …{end}"
        self.parts.append(part)

    def flush(self) -> None:
        pass


def _written(kind: type[BaseException], error: BaseException) -> str:
    """Return the traceback as Python writes it, with the paths that the author knows."""
    text, stderr = _Text(), sys.stderr
    sys.stderr = text
    try:
        sys.__excepthook__(kind, error, error.__traceback__)
    finally:
        sys.stderr = stderr
    return "".join(text.parts).replace('  File "/', f'  File "{_folder()}')


def _folder() -> str:
    """Return what stands before the path of a file of a contract that another one called."""
    return f"{message_raw['contract_address'].as_hex}/" if message_raw.get("stack") else ""


def _shortened(text: str) -> str:
    """Return the lines of a text, or the first and the last ones if they are too long together."""
    if len(text) <= MAX_TEXT:
        return text
    start = text[: MAX_TEXT // 2].rpartition("\n")[0]
    end = text[-MAX_TEXT // 2 :].partition("\n")[2]
    left_out = text.count("\n") - start.count("\n") - end.count("\n") - 1
    return f"{start}\n… {left_out} lines are left out …\n{end}"


def _summary(text: str, kind: type[BaseException], error: BaseException) -> str:
    """Return the error's own line in the traceback, and where it was raised."""
    module = kind.__module__
    name = (
        kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"
    )
    prefix = "\n  | " if isinstance(error, BaseExceptionGroup) else "\n"
    _, found, rest = ("\n" + text).rpartition(prefix + name)
    line = name + rest.partition("\n")[0] if found else name
    if len(line) > MAX_MESSAGE:
        line = line[:MAX_MESSAGE] + "…"
    place = _place(error)
    return f"{line} ({place})" if place else line


def _place(error: BaseException) -> str:
    """Return where the error was raised in the contract, or that which led to it."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, SyntaxError) and is_of_contract(str(error.filename)):
            return f"{_shown_path(error.filename)}:{error.lineno}"
        for trace in reversed(list(_frames(error))):
            code = trace.tb_frame.f_code
            if is_of_contract(code.co_filename):
                function = "" if code.co_name == "<module>" else f", in {code.co_name}"
                return f"{_shown_path(code.co_filename)}:{trace.tb_lineno}{function}"
        error = error.__cause__ or error.__context__
    return ""


def is_of_contract(path: str) -> bool:
    """Return whether a file, by the name that its code has, is one of the contract's."""
    return path.startswith("/") and not path.startswith(_OURS)


def _shown_path(path: str) -> str:
    return _folder() + path.removeprefix("/")


def frame_line(frame: FrameType) -> str:
    """Return the place of a frame of the contract, and its line, as in a traceback."""
    code = frame.f_code
    place = f'  File "{_shown_path(code.co_filename)}", line {frame.f_lineno}, in {code.co_name}\n'
    try:
        with open(code.co_filename, encoding="utf-8", errors="replace") as file:
            line = file.read().split("\n")[frame.f_lineno - 1].strip()
    except (OSError, IndexError):
        return place
    return f"{place}    {line[:MAX_MESSAGE]}\n"


def write_to_stderr(text: str) -> None:
    """Write to the machine's stderr, whatever `sys.stderr` is."""
    left = text.encode("utf-8", "backslashreplace")
    while left:
        left = left[posix.write(2, left) :]
