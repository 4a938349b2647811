"""`genvm-manager run` and `call`: what they print and how they end, on a real service."""

from __future__ import annotations

from pathlib import Path

import pytest

from genvm_manager.manager.client.client import HttpClient, ModuleStart
from genvm_manager.manager.launcher.service import Service
from genvm_manager.manager.local_node.ledger import DEFAULT_SENDER
from genvm_manager.protocol.ipc.modules import ModuleKind
from tests.support.author import PROBE, Author
from tests.support.providers import module_config, provider

ALICE = "0x2000000000000000000000000000000000000002"
NOBODY = "0x00000000000000000000000000000000000000ff"


# ------------------------------------------------------------------------------- what they print


def test_a_deployment_and_calls_as_people_see_them(author: Author) -> None:
    deployed = author.types("run", str(author.probe), "--args", '["hello"]')
    assert deployed.code == 0
    head, *rest = deployed.stdout.splitlines()
    assert head.startswith("deployment 0x")
    assert head.endswith(": return")
    body = "\n".join(rest)
    assert '  in       __init__("hello")' in body
    assert f"  sender   {DEFAULT_SENDER}" in body
    assert "  returned null" in body
    assert "(code)" in body
    assert "  time     " in body

    address = head.split()[1].rstrip(":")
    changed = author.types("call", address, "set", "--kwargs", '{"word": "new"}')
    assert changed.code == 0
    assert '  in       set(word="new")' in changed.stdout
    assert "  stdout   was hello" in changed.stdout
    assert "\x1b" not in changed.stdout, "no colours for a pipe"
    viewed = author.types("call", address, "read", "--view")
    assert '  returned "new"' in viewed.stdout
    assert "storage" not in viewed.stdout


def test_a_deployment_and_a_call_as_scripts_see_them(author: Author) -> None:
    args = ("--args", '["hello"]', "--json")
    deployed = author.types("run", str(author.probe), *args)
    assert deployed.stdout.count("\n") == 1
    shown = deployed.json
    assert shown["kind"] == "deployment"
    assert shown["result"] == "return"
    assert shown["returned"] is None
    assert shown["sender"] == str(DEFAULT_SENDER)
    assert shown["call"] == {"args": ["hello"]}
    assert shown["messages"] == []
    assert len(shown["execution_hash"]) == 66
    written = b"".join(bytes.fromhex(c["content"][2:]) for c in shown["storage_changes"])
    assert PROBE.encode()[:64] in written
    assert {"run_id", "wall_ms", "cpu_seconds", "stdout", "stderr"} <= shown.keys()
    changed = author.calls(shown["contract"], "set", "new").json
    assert changed["stdout"] == "was hello\n"
    assert len(changed["storage_changes"]) >= 1


def test_every_kind_of_value_goes_in_and_comes_out(author: Author) -> None:
    address = author.deploys()
    value = [
        None,
        True,
        -(2**300),
        "0x00 stays text",
        {"$address": ALICE},
        {"$bytes": "0x00ff"},
        {"b": [], "a": {"$map": {"$bytes": "1"}}},
    ]
    ended = author.calls(address, "echo", value, options=("--kwargs", '{"second": "naïve"}'))
    assert ended.json["returned"] == [value, "naïve"]


# ------------------------------------------------------------------------------------ exit codes


def test_a_user_error_is_1_and_changes_nothing(author: Author) -> None:
    address = author.deploys()
    ended = author.calls(address, "refuse")
    assert (ended.code, ended.json["result"]) == (1, "user_error")
    assert ended.json["error"] == "not today"
    assert author.reads(address) == "hello"
    refused = author.types("run", str(author.probe), "--args", '["refuse"]')
    assert refused.code == 1
    assert "user error" in refused.stdout
    assert '"not with me"' in refused.stdout


def test_a_vm_error_is_2_and_changes_nothing(author: Author) -> None:
    address = author.deploys()
    ended = author.calls(address, "crash")
    assert (ended.code, ended.json["result"]) == (2, "vm_error")
    assert ended.json["error"] == "exit_code 1"
    assert "ZeroDivisionError" in ended.json["stderr"]
    assert author.reads(address) == "hello"


def test_a_vm_error_says_what_led_to_it(author: Author, tmp_path: Path) -> None:
    path = tmp_path / "my hello.py"
    path.write_text(PROBE.replace('raise gl.vm.UserError("not with me")', '{}["größer\\x1b"]'))
    place = next(n for n, line in enumerate(path.read_text().splitlines(), 1) if "{}[" in line)
    ended = author.types("run", str(path), "--args", '["refuse"]')
    assert ended.code == 2
    cause = rf"KeyError: 'größer\x1b' (my hello.py:{place}, in __init__)"
    assert ended.stdout.splitlines()[0].endswith(f": VM error exit_code 1: {cause}")
    assert f'File "my hello.py", line {place}, in __init__' in ended.stdout
    assert "/genvm" not in ended.stdout
    as_json = author.types("run", str(path), "--args", '["refuse"]', "--json").json
    assert (as_json["error"], as_json["contract_error"]) == ("exit_code 1", cause)
    address = author.types("run", str(path), "--args", '["a"]', "--json").json["contract"]
    called = author.types("call", address, "crash").stdout
    assert "ZeroDivisionError: division by zero (my hello.py:" in called.splitlines()[0]
    assert 'File "my hello.py", line ' in called


def test_a_call_without_end_is_a_vm_error_at_its_deadline(author: Author) -> None:
    address = author.deploys()
    ended = author.calls(address, "hang", options=("--deadline", "1s"))
    assert (ended.code, ended.json["error"]) == (2, "timeout")


@pytest.mark.parametrize(("method", "args"), [("write_in_a_view", ()), ("set", ("x",))])
def test_what_is_called_as_a_view_changes_nothing(
    author: Author, method: str, args: tuple[str, ...]
) -> None:
    address = author.deploys()
    ended = author.calls(address, method, *args, options=("--view",))
    assert ended.code == 2
    assert ended.json["storage_changes"] == []
    assert author.reads(address) == "hello"


def test_what_is_no_contract_is_a_vm_error(author: Author) -> None:
    author.probe.write_bytes(b"\xff\xfe no text")
    ended = author.types("run", str(author.probe), "--json")
    assert ended.code == 2
    assert ended.json["error"].startswith("invalid_contract")


def test_a_prompt_without_the_module_is_3_and_says_what_to_start(author: Author) -> None:
    address = author.deploys()
    ended = author.calls(address, "wonder", "how")
    assert (ended.code, ended.json["result"]) == (3, "internal_error")
    assert (
        "without the llm module: start it (genvm-manager module start llm)" in (ended.json["error"])
    )
    assert author.reads(address) == "hello"
    # A block that asks nobody needs no modules.
    assert author.calls(address, "wonder", "").json["returned"] == ""


def test_a_contract_that_only_prompts_needs_the_llm_module_alone(
    author: Author, service: Service
) -> None:
    address = author.deploys()
    assert service.url is not None
    with provider("openai-compatible") as played, HttpClient(service.url) as client:
        client.start_module(ModuleKind.LLM, ModuleStart(module_config({"one": played.backend()})))
        try:
            assert author.calls(address, "wonder", "how").json["returned"] == "fine"
        finally:
            client.stop_module(ModuleKind.LLM)
    assert author.reads(address) == "fine"


def test_a_service_that_is_not_there_is_3(tmp_path: Path) -> None:
    author = Author(tmp_path, "http://127.0.0.1:1")
    ended = author.types("run", str(author.probe), "--args", '["a"]')
    assert ended.code == 3
    assert "http://127.0.0.1:1 cannot be reached" in ended.stderr
    assert author.types("run", str(author.probe), "--json").json["result"] == "failed"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("run", "absent.py"), "absent.py"),
        (("run",), "CONTRACT"),
        (("run", "PROBE", "--args", "[1"), "not JSON"),
        (("run", "PROBE", "--args", '{"a": 1}'), "expected a JSON list"),
        (("run", "PROBE", "--args", "[1.5]"), "no floats"),
        (("run", "PROBE", "--kwargs", "[]"), "expected a JSON map"),
        (("run", "PROBE", "--sender", "0x12"), "20 bytes"),
        (("run", "PROBE", "--value", "-1"), "--value"),
        (("run", "PROBE", "--value", "1" + "0" * 25), "has 1000000000000000000000000, not"),
        (("run", "PROBE", "--value", "1", "--sender", ALICE), "has 0, not 1"),
        (("run", "PROBE", "--deadline", "soon"), "a duration such as"),
        (("run", "PROBE", "--url", "ftp://x"), "expected http://HOST:PORT"),
        (("run", "PROBE", "--nonsense"), "--nonsense"),
        (("call", NOBODY, "read"), "no contract at 0x"),
        (("call", NOBODY, "read", "--view"), "no contract at 0x"),
        (("call", "0xzz", "read"), "an address is 0x"),
        (("call", NOBODY, "--view"), "--view: name a METHOD"),
        (("call", NOBODY, "read", "--view", "--value", "1"), "omit --value"),
    ],
)
def test_what_cannot_be_done_is_64_and_says_why(
    author: Author, arguments: tuple[str, ...], complaint: str
) -> None:
    ended = author.types(*(str(author.probe) if word == "PROBE" else word for word in arguments))
    assert ended.code == 64
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr
