"""`genvm-manager run` and `call`: what stays on the node, and where the service comes from."""

from __future__ import annotations

import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from genvm_manager.base.files.state_folder import service_file
from genvm_manager.manager.client.client import HttpClient
from genvm_manager.manager.launcher.service import Service
from genvm_manager.manager.launcher.service_file import ServiceFile
from genvm_manager.manager.local_node.ledger import DEFAULT_BALANCE, DEFAULT_SENDER
from genvm_manager.protocol.ipc.runs import RunState
from tests.support.author import DEADLINE, Author
from tests.support.service import processes_of
from tests.support.waiting import wait_until

ALICE = "0x2000000000000000000000000000000000000002"
NOBODY = "0x00000000000000000000000000000000000000ff"


# -------------------------------------------------------------------------------------- the node


def test_contracts_stay_and_have_addresses_of_their_own(author: Author) -> None:
    first, second = author.deploys("one"), author.deploys("two")
    assert first != second
    assert author.calls(first, "set", "uno").code == 0
    assert (author.reads(first), author.reads(second)) == ("uno", "two")


def test_a_message_arrives_after_its_sender_has_returned(author: Author) -> None:
    teller, other = author.deploys("teller"), author.deploys("other")
    ended = author.calls(teller, "tell", other, "psst")
    assert ended.code == 0
    assert [emission["type"] for emission in ended.json["emissions"]] == ["PostMessage"]
    (message,) = ended.json["messages"]
    assert message["sender"] == teller
    assert message["contract"] == other
    assert message["result"] == "return"
    assert (author.reads(teller), author.reads(other)) == ("told", "psst")
    asked = author.calls(teller, "ask", other, options=("--view",))
    assert asked.json["returned"] == "psst"


def test_a_message_to_nowhere_is_shown_and_does_not_undo_its_sender(author: Author) -> None:
    teller = author.deploys("teller")
    ended = author.calls(teller, "tell", NOBODY, "psst")
    assert ended.code == 0
    assert ended.json["messages"][0]["result"] == "undelivered"
    assert author.reads(teller) == "told"


def test_value_goes_to_contracts_and_on(author: Author) -> None:
    address = author.deploys()
    taken = author.calls(address, "take", options=("--value", "10"))
    assert taken.json["returned"] == 10
    assert author.balances(DEFAULT_SENDER, address) == [DEFAULT_BALANCE - 10, 10]
    assert author.calls(address, "set", "x", options=("--value", "5")).code == 2, "not payable"
    assert author.calls(address, "pay", ALICE, 11).code != 0
    assert author.balances(DEFAULT_SENDER, address, ALICE) == [DEFAULT_BALANCE - 10, 10, 0]
    assert author.calls(address, "pay", ALICE, 4).code == 0
    assert author.balances(address, ALICE) == [6, 4]
    spent = author.calls(address, "take", options=("--value", "4", "--sender", ALICE))
    assert spent.json["returned"] == 10
    moved = author.types("call", ALICE, "--value", "7")
    assert moved.code == 0
    assert moved.stdout.startswith(f"transfer {ALICE}: return")
    assert author.balances(ALICE) == [7]


def test_commands_at_once_take_turns_and_lose_nothing(author: Author) -> None:
    address = author.deploys()
    with ThreadPoolExecutor(4) as pool:
        takes = [
            pool.submit(author.calls, address, "take", options=("--value", "1")) for _ in range(4)
        ]
        ended = [take.result() for take in takes]
    assert [one.code for one in ended] == [0, 0, 0, 0], ended
    assert sorted(one.json["returned"] for one in ended) == [1, 2, 3, 4]
    assert author.balances(address) == [4]


# ----------------------------------------------------------------------------------- the service


def test_the_service_of_the_state_folder_is_found(tmp_path: Path, service: Service) -> None:
    author = Author(tmp_path, None)
    author.state_dir.mkdir()
    running = ServiceFile.of_this_process(author.state_dir, service.urls, None, None)
    service_file(author.state_dir).write_bytes(msgspec.json.encode(running))
    ended = author.types("run", str(author.probe), "--args", '["a"]', "--json")
    assert "no service" not in ended.stderr
    with HttpClient(service.address) as client:
        assert client.get_run(ended.json["run_id"]).status is not None


def test_without_a_service_a_private_one_is_used_and_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = Author(tmp_path, None)
    # Sockets need a short path, which pytest's own folder does not give.
    with tempfile.TemporaryDirectory(prefix="genvm-test-") as scratch:
        monkeypatch.setenv("TMPDIR", scratch)
        ended = author.types("run", str(author.probe), "--args", '["a"]', "--json")
        assert ended.code == 0, ended
        assert "starting one for this command" in ended.stderr
        assert list(Path(scratch).iterdir()) == []
        assert all(path.name.startswith("local-node.db") for path in author.state_dir.iterdir())
        wait_until(lambda: not processes_of(Path(scratch)))


def test_a_temporary_folder_too_deep_for_sockets_does_not_matter_to_a_service_by_url(
    author: Author, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a service may be another user's: its executors are served at a port."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    ended = author.types("run", str(author.probe), "--args", '["a"]')
    assert ended.code == 0, ended.stderr
    assert list(deep.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["INT", "TERM", "HUP"],
)
def test_an_interrupted_command_ends_its_run_and_changes_nothing(
    author: Author, service: Service, number: signal.Signals, code: int
) -> None:
    address = author.deploys()
    with HttpClient(service.address) as client:

        def under_way() -> list[int]:
            executions = client.status().executions
            return [int(i) for i, one in executions.items() if one.state is RunState.RUNNING]

        with author.starts("call", address, "hang") as command:
            (run_id,) = wait_until(under_way)
            command.send_signal(number)
            _, stderr = command.communicate(timeout=DEADLINE)
        assert command.returncode == code
        assert "Traceback" not in stderr
        ended = client.get_run(run_id, wait=DEADLINE).status
    assert ended is not None
    # A signal that comes before the run's id does ends the run all the same: its host leaves it.
    assert ended.cause in ("cancelled", "exited")
    assert author.reads(address) == "hello"
