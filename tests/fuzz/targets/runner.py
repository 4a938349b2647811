"""Runner descriptions: every action, with values of every type, in texts and in ZIPs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from tests.fuzz import odd_values
from tests.fuzz.contract_trial import contract_tester
from tests.fuzz.json_text import Pairs, json_text, odd_json
from tests.fuzz.target import Target
from tests.support.wat import returns

SECONDS = 4.0
"""Some of them start the Python guest."""

MAX_REPEATED = 1 << 20
"""Characters that one repeated action may make."""

_DEPTHS = [20, 100, 200, 300, 500, 900, 1100, 5000]


def make(random: Random) -> bytes:
    """Return a text or a ZIP with a runner description."""
    if random.random() < 0.3:
        return _text(random)
    return _zip(random)


# ------------------------------------------------------------------------------------------ text


def _text(random: Random) -> bytes:
    mark = random.choice(["#", "#", "//", "--", "# ", "", ";"])
    description = _description(random, may_start=False)
    if random.random() < 0.2:
        description = description.replace(", ", ",\n" + mark)
    lines = [mark + " " + line for line in description.split("\n")]
    if random.random() < 0.4:
        lines.insert(0, mark + " " + random.choice(["v1.0.0", "v", "v" + "9" * 300, "v1 2", "0.1"]))
    lines.insert(random.choice([len(lines), len(lines), 0]), random.choice(["", "x = 1", "\ufeff"]))
    text = random.choice(["\n", "\n", "\r\n"]).join(lines)
    encoded = text.encode("utf-8", "surrogatepass")
    return odd_values.mutated(random, encoded) if random.random() < 0.2 else encoded


# ------------------------------------------------------------------------------------------- ZIP


def _zip(random: Random) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in _files(random):
            archive.writestr(zipfile.ZipInfo(name), content)
    return written.getvalue()


def _files(random: Random) -> list[tuple[str, bytes]]:
    runner = _description(random, may_start=True).encode("utf-8", "surrogatepass")
    if random.random() < 0.1:
        runner = odd_values.mutated(random, runner)
    files = [("runner.json", runner), ("a.wasm", returns("started"))]
    names = ["b.wasm", "file", "d/x", "d/y", "d/e/z", "contract/__init__.py", "version", "é", "0"]
    files += [
        (name, odd_values.some_bytes(random, random.choice([64, 5000])))
        for name in random.sample(names, random.randrange(len(names)))
    ]
    if random.random() < 0.05:
        files += [(f"many/{number}", b"x") for number in range(random.choice([100, 3000]))]
    return files


# ----------------------------------------------------------------------------------- description


def _description(random: Random, *, may_start: bool) -> str:
    if random.random() < 0.05:
        return json_text(odd_json(random))
    actions = [_action(random, 3) for _ in range(random.choice([0, 1, 2, 5, 20]))]
    last: Any = {"StartWasm": "a.wasm"} if may_start else {"Depends": "py-genlayer:test"}
    is_python = random.random() < (0.02 if may_start else 0.1)
    if may_start or is_python:
        actions.append({"Depends": "py-genlayer:test"} if is_python else last)
    if random.random() < 0.1:
        times = random.choice([100, 990, 999, 1001, 3000])
        fitting = min(times, MAX_REPEATED // len(json_text(actions[:1])))
        actions = actions[:1] * fitting + actions[1:]
    described: Any = {"Seq": actions}
    if random.random() < 0.15:
        for _ in range(random.choice(_DEPTHS)):
            described = _wrapped(random, described)
        return _deep_text(described)
    return json_text(described)


def _wrapped(random: Random, action: Any) -> Any:
    if random.random() < 0.3:
        return {"When": {"cond": "det", "action": action}}
    return {"Seq": [action]}


def _deep_text(described: Any) -> str:
    """Return `json_text`, which calls itself, for what is nested too deep for that."""
    before, after = "", ""
    while isinstance(described, dict) and len(described) == 1:
        ((name, value),) = described.items()
        if name == "Seq" and isinstance(value, list) and len(value) == 1:
            before, after, described = before + '{"Seq": [', "]}" + after, value[0]
        elif name == "When" and isinstance(value, dict) and value.get("cond") == "det":
            before += '{"When": {"cond": "det", "action": '
            after, described = "}}" + after, value["action"]
        else:
            break
    return before + json_text(described) + after


def _action(random: Random, depth: int) -> Any:
    name = random.choice(sorted(_ACTIONS))
    if random.random() < 0.06:
        return {name: odd_json(random, 2)}
    made = _ACTIONS[name](random, depth)
    if random.random() < 0.03:
        return Pairs([*made.items(), (name, odd_json(random, 1))])
    if random.random() < 0.03:
        return odd_json(random, 2)
    return made


def _sequence(random: Random, depth: int) -> dict[str, Any]:
    count = random.randrange(4) if depth > 0 else 0
    return {"Seq": [_action(random, depth - 1) for _ in range(count)]}


def _when(random: Random, depth: int) -> dict[str, Any]:
    action = _action(random, depth - 1) if depth > 0 else {}
    condition = random.choice(["det", "det", "nondet", odd_values.text(random)])
    return {"When": {"cond": condition, "action": action}}


def _depends(random: Random, _: int) -> dict[str, Any]:
    names = ["py-genlayer:", "py-genlayer-multi:x", "softfloat:1", "py-genlayer\0", ":", "a:b:c"]
    if random.random() < 0.9:
        return {"Depends": random.choice(["softfloat:1", *names[2:], odd_values.text(random)])}
    return {"Depends": random.choice(names)}


def _with(random: Random, depth: int) -> dict[str, Any]:
    action = _action(random, depth - 1) if depth > 0 else {}
    return {"With": {"runner": odd_values.text(random), "action": action}}


def _map_file(random: Random, _: int) -> dict[str, Any]:
    sources = ["a.wasm", "d/", "d/x", "", "/", "many/", "absent", "runner.json", "../x", "d"]
    targets = [
        "/x",
        "/",
        "/d/",
        "x",
        "/a/../b",
        "/x/y",
        "/x/" * 500,
        "//",
        "/\ud800",
        "/\0",
        "/..",
        "",
    ]
    source = random.choice([*sources, odd_values.text(random)])
    return {"MapFile": {"file": source, "to": random.choice([*targets, odd_values.text(random)])}}


def _add_variable(random: Random, _: int) -> dict[str, Any]:
    name = random.choice(["A", "A", "B", "C", odd_values.text(random)])
    known = ["${A}${A}", "${B}${A}" * 50, "${A" * 9, "x" * 60_000, "$${A}}", "${${A}}"]
    return {"AddEnv": {"name": name, "val": random.choice([*known, odd_values.text(random)])}}


def _set_arguments(random: Random, _: int) -> dict[str, Any]:
    count = random.choice([0, 1, 3, 100, 20_000])
    return {"SetArgs": [odd_values.text(random, 64)] * count}


def _link(random: Random, _: int) -> dict[str, Any]:
    return {"LinkWasm": random.choice(["a.wasm", "absent", odd_values.text(random)])}


def _start(random: Random, _: int) -> dict[str, Any]:
    return {"StartWasm": random.choice(["a.wasm", "b.wasm", "d/", odd_values.text(random)])}


_ACTIONS: dict[str, Callable[[Random, int], dict[str, Any]]] = {
    "Seq": _sequence,
    "When": _when,
    "Depends": _depends,
    "With": _with,
    "MapFile": _map_file,
    "AddEnv": _add_variable,
    "SetArgs": _set_arguments,
    "LinkWasm": _link,
    "StartWasm": _start,
}

TARGET = Target(
    "runner",
    "runner descriptions in texts and ZIPs, deployed",
    make,
    partial(contract_tester, SECONDS, starts_python=True),
)
