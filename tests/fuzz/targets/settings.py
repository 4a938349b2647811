"""Settings, manifests, modules' configurations, run requests: each is what it says, or an error
that names the key."""

from __future__ import annotations

import json
from functools import partial
from random import Random
from typing import Any

from genvm_manager.base.errors import BadRequest, RequestFailed
from genvm_manager.base.settings.config import Config, parse_config
from genvm_manager.manager.cli.options.config_file import config_in
from genvm_manager.protocol import calldata
from genvm_manager.protocol.bodies import from_calldata, from_json
from genvm_manager.protocol.run_request import RunRequest
from genvm_manager.supervisor.modules.rules_configuration import module_config, variables_in
from genvm_manager.supervisor.settings.rules_manifest import CommandContext, parse_manifest
from genvm_manager.workers.llm.config import read_config
from genvm_manager.workers.web.config import parse_config as parse_web_config
from tests.fuzz import odd_values
from tests.fuzz.json_text import Pairs, json_text, odd_json
from tests.fuzz.pure import pure_tester
from tests.fuzz.target import Target
from tests.support.service import run_request

_SETTINGS = sorted(Config.__struct_fields__)
_MODULE_KEYS = [
    "backends",
    "prompt_templates",
    "timeout",
    "host",
    "port",
    "bind_address",
    "workers",
]
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
    """Return a first byte that says what it is, then the text."""
    match random.randrange(6):
        case 0:
            return b"s" + _yaml(random, _SETTINGS)
        case 1:
            return b"j" + _json_request(random)
        case 2 | 3:
            return b"c" + _calldata_request(random)
        case 4:
            return b"m" + _yaml(random, _MODULE_KEYS)
        case _:
            return b"f" + _manifest(random)


def _yaml(random: Random, keys: list[str]) -> bytes:
    value = Pairs(
        (random.choice([*keys, odd_values.text(random)]), _odd_setting(random))
        for _ in range(random.choice([0, 1, 1, 2, 5]))
    )
    text = json_text(value)
    if random.random() < 0.3:
        text = f"{random.choice(keys)}: {random.choice([*_YAML, odd_values.text(random)])}"
    return text.encode("utf-8", "surrogatepass")


def _odd_setting(random: Random) -> Any:
    if random.random() < 0.2:
        return random.choice(["${ENV[A]}", "${ENV[]}" * 9, "${ENV[A" * 99, "127.0.0.1:70000"])
    if random.random() < 0.2:
        return Pairs([("x", Pairs([("host", "${ENV[A]}"), ("models", odd_json(random))]))])
    return odd_json(random, 2)


def _manifest(random: Random) -> bytes:
    usual = {"available_after": "2024-01-01T00:00:00Z", "command": ["${python}", "${root}", "x"]}
    entries = []
    for _ in range(random.choice([0, 1, 2])):
        fields = Pairs([*usual.items()])
        for _ in range(random.choice([0, 0, 1])):
            fields.append((random.choice([*usual, "x"]), odd_json(random, 1)))
        entries.append((random.choice(["v1.0.0", "v0.2.7-x", odd_values.text(random)]), fields))
    text = json_text(Pairs([("executor_versions", Pairs(entries))]))
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
        elif kind == b"m":
            _read_modules(text)
        elif kind == b"f":
            context = CommandContext("python", "/root", {"A": "a"})
            parse_manifest(text.decode("utf-8", "surrogatepass"), context)
        elif kind == b"j":
            from_json(text, RunRequest)
        else:
            from_calldata(text, RunRequest)
    except (BadRequest, RequestFailed) as error:
        return f"{kind.decode()}: {error.message.partition(':')[0][:20]}", []
    return f"{kind.decode()}: accepted", []


def _read_modules(text: bytes) -> None:
    """Read it as the supervisor and both modules' workers do."""
    try:
        value = config_in(text)
    except ValueError:
        return
    variables_in(value)
    filled = json.loads(module_config(value, {"A": "a"}, None, ["A"]).settings)
    read_config(filled)
    parse_web_config(filled)


TARGET = Target(
    "settings",
    "settings, manifests, modules' configurations, run requests",
    make,
    partial(pure_tester, read),
    batch=200,
)
