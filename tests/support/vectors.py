"""Vectors of the Python SDK, played on the real executor, a process for each step.

    .venv/bin/python -m tests.support.vectors [NAME…]

prints what differs in the vectors of these names, or whose names begin so; all without a name.
Their form: tests/contract/vectors.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from genvm_manager.protocol import calldata
from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.contract.storage_layout import CODE_SLOT, stored_code
from genvm_manager.protocol.executor import ExecutionData
from genvm_manager.protocol.module_frames import ModuleRequest, UserFault
from genvm_manager.protocol.permissions import DEFAULT_PERMISSIONS
from genvm_manager.protocol.run_result import ResultCode, RunResult

from .forked_executor import run_forked
from .module_server import ModuleServer
from .node_host import PAGE, Ended, NodeHost

_FOLDER = Path(__file__).resolve().parent.parent / "contract"
_FILES = ("storage-layout-vectors.json", "sdk-behaviour-vectors.json")
_ADDRESS = Address(b"\x01" + bytes(19))
_SENDER = b"\x02" + bytes(19)
_DATETIME = "2024-11-26T06:42:42.424242Z"
_REQUESTS = {
    "Prompt": "ExecPrompt",
    "PromptTemplate": "ExecPromptTemplate",
    "Request": "WebRequest",
    "Render": "WebRender",
}
"""The requests of contracts by the names under which modules get them."""

_NO_ANSWER = {"map": {"error": {"map": {"causes": {"list": []}, "ctx": {"map": {}}}}}}
"""To a request too many, which `calls` then shows."""

Vector = dict[str, Any]


def vectors() -> list[Vector]:
    """Return the vectors of both files, each with a name of its own."""
    return [
        vector for name in _FILES for vector in json.loads((_FOLDER / name).read_text())["vectors"]
    ]


def from_vector(written: Any) -> Any:
    """Return the value that vectors write as null, true, false or a map of one type."""
    if written is None or isinstance(written, bool):
        return written
    ((kind, value),) = written.items()
    match kind:
        case "int":
            return int(value)
        case "bytes":
            return bytes.fromhex(value)
        case "address":
            return Address(value)
        case "list":
            return [from_vector(item) for item in value]
        case "map":
            return {key: from_vector(item) for key, item in value.items()}
        case "str":
            return value
    raise AssertionError(f"the vectors hold a {kind}")


def differences(vector: Vector) -> list[str]:
    """Play a vector, and return what of it is not as expected, step by step."""
    node = NodeHost()
    for address, account in vector.get("accounts", {}).items():
        _put_account(node, Address(bytes.fromhex(address)), account)
    if not vector["steps"][0].get("is_init"):
        _put_slot(node, _ADDRESS, CODE_SLOT, stored_code(vector["code"].encode()))
    with (
        tempfile.TemporaryDirectory(prefix="genvm-") as folder,
        node.listen(Path(folder) / "host") as host,
    ):
        steps = [_Step(vector, step, node, host) for step in vector["steps"]]
        return [
            f"step {number}: {difference}"
            for number, step in enumerate(steps)
            for difference in step.differences()
        ]


def _put_account(node: NodeHost, address: Address, account: dict[str, Any]) -> None:
    node.balances[address] = int(account.get("balance", "0"))
    if "code" in account:
        _put_slot(node, address, CODE_SLOT, stored_code(account["code"].encode()))
    for slot, content in account.get("storage", {}).items():
        _put_slot(node, address, bytes.fromhex(slot), bytes.fromhex(content))


def _put_slot(node: NodeHost, address: Address, slot: bytes, content: bytes) -> None:
    for number, at in enumerate(range(0, len(content), PAGE)):
        page = content[at : at + PAGE].ljust(PAGE, b"\0")
        node.pages[address][slot + number.to_bytes(4, "big")] = page


class _Step:
    """One run of a vector; `differences` plays it, and keeps what it changes."""

    def __init__(self, vector: Vector, step: dict[str, Any], node: NodeHost, host: str) -> None:
        self._vector = vector
        self._step = step
        self._node = node
        self._host = host
        self._answers = iter(step.get("answers", ()))
        self._calls: list[dict[str, Any]] = []

    def differences(self) -> Iterator[str]:
        """Yield what is not as expected, and at last what the run wrote to stderr."""
        self._node.disagreements.clear()
        ended = self._run()
        if ended.result is None:
            yield f"no result: {ended}"
            return
        if ended.result.code is ResultCode.RETURN:
            self._node.apply(_ADDRESS, ended.result.storage_changes)
        seen = self._seen(ended, ended.result)
        expected = dict.fromkeys(seen) | self._expected()
        if seen["kind"] != expected["kind"]:
            expected = {name: expected[name] for name in ("kind", "value", "stdout")}
        differs = [text for name in expected for text in _compare(name, expected[name], seen[name])]
        yield from differs
        if differs and ended.stderr:
            yield ended.stderr.decode()

    def _run(self) -> Ended:
        step = self._step
        sender = Address(bytes.fromhex(step["sender"]) if "sender" in step else _SENDER)
        origin = Address(bytes.fromhex(step["origin"])) if "origin" in step else sender
        message = {
            "contract_address": _ADDRESS,
            "sender_address": sender,
            "origin_address": origin,
            "chain_id": int(step.get("chain_id", 0)),
            "value": int(step.get("value", 0)),
            "is_init": step.get("is_init", False),
            "datetime": _DATETIME,
        }
        recorded = step.get("leader_nondet_results")
        data = ExecutionData(
            calldata=calldata.encode(from_vector(step["calldata"])),
            message=message,
            host_data="{}",
            code=self._vector["code"].encode() if message["is_init"] else None,
            leader_nondet_results=recorded and [bytes.fromhex(result) for result in recorded],
            extras={},
        )
        permissions = step.get("permissions", DEFAULT_PERMISSIONS)
        if self._vector.get("needs") != "modules":
            return run_forked(self._host, data, permissions=permissions)
        server = ModuleServer(self._answer)
        ended = run_forked(self._host, data, permissions=permissions, modules=(server, server))
        server.join()
        assert server.problems == [], server.problems
        return ended

    def _answer(self, request: ModuleRequest) -> Any:
        """Note what a contract asks of a module, and return the vector's answer."""
        is_prompt = isinstance(request.payload, dict)
        asked = request.payload["payload"] if is_prompt else request.payload[0]
        if asked.get("sign") is False:
            asked = {name: value for name, value in asked.items() if name != "sign"}
        self._calls.append({_REQUESTS[request.name]: asked})
        answer = from_vector(next(self._answers, _NO_ANSWER))
        if "error" in answer:
            raise UserFault(answer["error"]["causes"], answer["error"]["ctx"])
        return {"data": answer["ok"], "consumed_gen": 0} if is_prompt else answer["ok"]

    def _expected(self) -> dict[str, Any]:
        expected = dict(self._step["expect"])
        value = calldata.encode(from_vector(expected["value"]))
        calls = [from_vector({"map": call}) for call in expected.pop("calls", [])]
        disagreement = expected.get("nondet_disagreement")
        return expected | {
            "value": repr(calldata.decode(value)),
            "calls": calls,
            "not_asked": [],
            "told": [] if disagreement is None else [disagreement],
        }

    def _seen(self, ended: Ended, result: RunResult) -> dict[str, Any]:
        """Return how the run ended, in the form of `expect`, with null for what is left out."""
        traces = [
            {"Trace": {"Message": record["message"]}}
            for record in ended.log
            if record.get("source") == "contract"
        ]
        seen = {
            "kind": result.code.name.lower(),
            "value": repr(result.data),
            "stdout": ended.stdout.decode(),
            "nondet_results": [each.hex() for each in result.nondet_results] or None,
            "nondet_disagreement": result.nondet_disagreement,
            "calls": traces + self._calls,
            "not_asked": list(self._answers),
            "told": self._node.disagreements,
        }
        if result.code is not ResultCode.RETURN:
            return seen | {"storage": None, "pages": None, "emissions": None}
        return seen | {
            "storage": self._whole_storage(),
            "pages": _page_numbers(result.storage_changes),
            "emissions": [_emission(emission) for emission in result.emissions],
        }

    def _whole_storage(self) -> dict[str, str]:
        slots: dict[bytes, bytearray] = {}
        for key, page in self._node.pages[_ADDRESS].items():
            at = int.from_bytes(key[32:], "big") * PAGE
            content = slots.setdefault(key[:32], bytearray())
            content += bytes(max(0, at + PAGE - len(content)))
            content[at : at + PAGE] = page
        contents = {slot.hex(): content.rstrip(b"\0").hex() for slot, content in slots.items()}
        return {
            slot: content
            for slot, content in sorted(contents.items())
            if content and slot != CODE_SLOT.hex()
        }


def _compare(name: str, expected: Any, seen: Any) -> Iterator[str]:
    """Yield what differs; of storage the slots that do."""
    if isinstance(expected, dict) and isinstance(seen, dict):
        for key in sorted(expected.keys() | seen.keys()):
            yield from _compare(f"{name} {key}", expected.get(key), seen.get(key))
    elif expected != seen:
        yield f"{name}:\n    expected {expected}\n    got      {seen}"


def _page_numbers(changes: Sequence[tuple[bytes, bytes]]) -> dict[str, list[int]]:
    pages: dict[str, list[int]] = {}
    for key, _ in changes:
        if key[:32] != CODE_SLOT:
            pages.setdefault(key[:32].hex(), []).append(int.from_bytes(key[32:], "big"))
    return pages


def _emission(emission: dict[str, Any]) -> dict[str, Any]:
    """Return an emission as the vectors write it."""
    written: dict[str, Any] = {}
    for name, value in emission.items():
        match value:
            case Address():
                written[name] = value.as_bytes.hex()
            case bytes():
                written[name] = value.hex()
            case int():
                written[name] = str(value)
            case list():
                written[name] = [topic.hex() for topic in value]
            case dict():
                written[name] = calldata.encode(value).hex()
            case _:
                written[name] = value
    return written


def main() -> int:
    """Play the vectors that the command line names, and return 1 if any differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="names of vectors, or how they begin")
    wanted = tuple(parser.parse_args().names) or ("",)
    chosen = [vector for vector in vectors() if vector["name"].startswith(wanted)]
    count = 0
    with ThreadPoolExecutor(2) as pool:
        for vector, differs in zip(chosen, pool.map(differences, chosen), strict=True):
            count += bool(differs)
            verdict = "differs" if differs else "ok"
            print("\n".join([f"== {vector['name']}: {verdict}", *differs]), flush=True)
    print(f"{count} of {len(chosen)} differ")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
