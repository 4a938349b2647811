"""Settings and run requests: any text is what it says or a `BadRequest` that names the key."""

from __future__ import annotations

from functools import partial
from random import Random

from protocol import calldata
from protocol.config import Config, parse_config
from protocol.errors import BadRequest
from protocol.run_request import RunRequest
from protocol.validation import from_calldata, from_json
from tests.support.service import run_request

from .. import odd_values
from ..json_text import Pairs, json_text, odd_json
from ..pure import pure_tester
from ..target import Target

_SETTINGS = sorted(Config.__struct_fields__)
_YAML = [
    "*a",
    "&a [*a]",
    "!!python/object:os.system x",
    "<<: {a: 1}",
    "? [a]",
    "0o17",
    "1:30",
    "\t",
]


def make(random: Random) -> bytes:
    """A first byte that says what it is, then the text."""
    match random.randrange(3):
        case 0:
            return b"s" + _settings(random)
        case 1:
            return b"j" + _json_request(random)
        case _:
            return b"c" + _calldata_request(random)


def _settings(random: Random) -> bytes:
    value = Pairs(
        (random.choice([*_SETTINGS, odd_values.text(random)]), odd_json(random, 2))
        for _ in range(random.choice([0, 1, 1, 2, 5]))
    )
    text = json_text(value)
    if random.random() < 0.3:
        text = f"{random.choice(_SETTINGS)}: {random.choice([*_YAML, odd_values.text(random)])}"
    return text.encode("utf-8", "surrogatepass")


def _json_request(random: Random) -> bytes:
    value = Pairs((name, odd_json(random, 2)) for name in RunRequest.__struct_fields__)
    text = json_text(Pairs(random.sample(value, random.randrange(1, len(value)))))
    return text.encode("utf-8", "surrogatepass")


def _calldata_request(random: Random) -> bytes:
    value = run_request({}, timestamp="2026-02-03T04:05:06Z")
    for _ in range(random.choice([1, 1, 2, 4])):
        value[random.choice(RunRequest.__struct_fields__)] = odd_values.calldata_value(random, 2)
    encoded = calldata.encode(value)
    return odd_values.mutated(random, encoded) if random.random() < 0.3 else encoded


def read(content: bytes) -> tuple[str, list[str]]:
    """Read the text as what it is."""
    kind, text = content[:1], content[1:]
    try:
        if kind == b"s":
            parse_config(text.decode("utf-8", "surrogatepass"))
        elif kind == b"j":
            from_json(text, RunRequest)
        else:
            from_calldata(text, RunRequest)
    except BadRequest as error:
        return f"{kind.decode()}: {error.message.partition(':')[0][:20]}", []
    return f"{kind.decode()}: accepted", []


TARGET = Target(
    "settings", "settings files and run requests", make, partial(pure_tester, read), batch=200
)
