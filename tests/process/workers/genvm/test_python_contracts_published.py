"""Contracts that others wrote, out of the wheel of genlayer-test, deployed and called."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genvm_manager.protocol import calldata
from genvm_manager.protocol.module_frames import ModuleRequest
from tests.support.module_server import ModuleServer
from tests.support.python_contracts import ALICE, BOB, Agreement, Chain, running_chain


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


def test_storage(chain: Chain, published_contracts: Path) -> None:
    contract = chain.deploy(published_contracts / "storage.py", "first")
    assert contract.call("get_storage") == "first"
    contract.call("update_storage", "second " * 50)
    assert contract.call("get_storage") == "second " * 50


def test_user_storage(chain: Chain, published_contracts: Path) -> None:
    contract = chain.deploy(published_contracts / "user_storage.py")
    contract.call("update_storage", "alice's", sender=ALICE)
    contract.call("update_storage", "bob's", sender=BOB)
    contract.call("update_storage", "alice's new", sender=ALICE)
    stored = {str(ALICE): "alice's new", str(BOB): "bob's"}
    assert contract.call("get_complete_storage") == stored
    assert contract.call("get_account_storage", str(BOB)) == "bob's"


def test_multi_tenant_storage(chain: Chain, published_contracts: Path) -> None:
    storages = [chain.deploy(published_contracts / "storage.py", name) for name in ("a", "b")]
    addresses = [str(each.address) for each in storages]
    tenants = chain.deploy(published_contracts / "multi_tenant_storage.py", addresses)
    assert tenants.call("get_all_storages") == dict(zip(addresses, ["a", "b"], strict=True))
    tenants.call("update_storage", "mine", sender=BOB)
    (message,) = tenants.last.result.emissions
    assert message["address"] == storages[1].address
    storages[1].run(calldata.decode(message["calldata"]), sender=tenants.address).returned()
    assert tenants.call("get_available_contracts") == addresses[:1]
    assert tenants.call("get_all_storages") == dict(zip(addresses, ["a", "mine"], strict=True))


def test_erc20s_read_each_other(chain: Chain, published_contracts: Path) -> None:
    tokens = [
        chain.deploy(published_contracts / "llm_erc20.py", supply, sender=BOB)
        for supply in (1000, 500)
    ]
    assert tokens[0].call("get_balances") == {str(BOB): 1000}
    reader = chain.deploy(published_contracts / "read_erc20.py", str(tokens[0].address))
    assert reader.call("get_balance_of", str(BOB)) == 1000
    assert reader.call("get_balance_of", str(ALICE)) == 0
    reads_many = chain.deploy(published_contracts / "multi_read_erc20.py")
    addresses = [str(token.address) for token in tokens]
    reads_many.call("update_token_balances", str(BOB), addresses)
    balances = dict(zip(addresses, [1000, 500], strict=True))
    assert reads_many.call("get_balances") == {str(BOB): balances}


ORACLE = [
    "id", "title", "description", ["yes", "no"], ["a rule"], ["https://Example.org"], [],
    "2030-01-01T00:00:00",
]  # fmt: skip


def test_contracts_that_use_models_deploy_and_have_a_schema(
    chain: Chain, published_contracts: Path
) -> None:
    wizard = chain.deploy(published_contracts / "wizard_of_coin.py", True)
    assert wizard.call("get_have_coin") is True
    market = chain.deploy(published_contracts / "football_prediction_market.py", "d", "a", "b")
    unresolved = {"winner": 0, "score": "", "has_resolved": False}
    assert market.call("get_resolution_data") == unresolved
    oracle = chain.deploy(published_contracts / "intelligent_oracle.py", *ORACLE)
    assert oracle.call("get_dict")["data_source_domains"] == ["example.org"]
    assert oracle.call("_check_evidence_domain", "https://www.example.org/x") is True
    schema = json.loads(oracle.call("#get-schema"))
    assert schema["methods"]["get_dict"]["ret"] == {"$dict": "string"}
    assert schema["ctor"]["params"][3] == ["potential_outcomes", [{"$rep": "string"}]]


def answering(*answers: str, accepts: bool = True) -> ModuleServer:
    """Return an LLM that gives `answers` in order, and says of others' that it `accepts`."""
    left = iter(answers)

    def answer(request: ModuleRequest) -> Any:
        judged = ("EqComparative", "EqNonComparativeValidator")
        is_judged = request.payload["payload"].get("template") in judged
        return {"data": accepts if is_judged else next(left), "consumed_gen": 0}

    return ModuleServer(answer)


def test_the_wizard_of_coin(chain: Chain, published_contracts: Path) -> None:
    wizard = chain.deploy(published_contracts / "wizard_of_coin.py", True)
    asking = Agreement(wizard, "ask_for_coin", "Please?")
    won = '```json\n{"reasoning": "so polite", "give_coin": true}\n```'
    led = asking.lead(answering(won))
    assert led.returned() is None
    lost = '{"reasoning": "never", "give_coin": false}'
    assert asking.validate(led, answering(won)) is None
    assert asking.validate(led, answering(lost, accepts=False)) == 0
    wizard.keep(led)
    assert wizard.call("get_have_coin") is False


def test_llm_erc20(chain: Chain, published_contracts: Path) -> None:
    token = chain.deploy(published_contracts / "llm_erc20.py", 100, sender=ALICE)
    transfer = Agreement(token, "transfer", 30, str(BOB))
    balances = {str(ALICE): 70, str(BOB): 30}
    llm = answering(json.dumps({"transaction_success": True, "updated_balances": balances}))
    led = transfer.lead(llm)
    assert led.returned() is None
    assert f'"{ALICE}": 100' in llm.requests[0].payload["payload"]["input"]
    assert transfer.validate(led, answering()) is None
    assert transfer.validate(led, answering(accepts=False)) == 0
    token.keep(led)
    assert token.call("get_balances") == balances


def pages(text: str) -> ModuleServer:
    """Return a web on which each page shows `text`."""
    return ModuleServer(lambda _: {"text": text})


def test_the_football_prediction_market(chain: Chain, published_contracts: Path) -> None:
    market = chain.deploy(
        published_contracts / "football_prediction_market.py", "2024-06-05", "Brazil", "Jamaica"
    )
    resolving = Agreement(market, "resolve")
    web = pages("Brazil 3 - 1 Jamaica")
    led = resolving.lead(answering('{"winner": 1, "score": "3:1"}'), web)
    assert led.returned() == {"winner": 1, "score": "3:1"}
    assert web.requests[0].payload[0]["url"].endswith("/scores-fixtures/2024-06-05")
    same, other = '{"score": "3:1", "winner": 1}', '{"score": "3:0", "winner": 1}'
    assert resolving.validate(led, answering(same), pages("")) is None
    assert resolving.validate(led, answering(other), pages("")) == 0
    market.keep(led)
    resolved = {"winner": 1, "score": "3:1", "has_resolved": True}
    assert market.call("get_resolution_data") == resolved


def test_the_intelligent_oracle(chain: Chain, published_contracts: Path) -> None:
    due = [*ORACLE[:-1], "2020-01-01T00:00:00"]
    oracle = chain.deploy(published_contracts / "intelligent_oracle.py", *due)
    resolving = Agreement(oracle, "resolve", "https://example.org/news")
    answers = ['Here: {"valid_source": "true", "outcome": "yes",}', '{"outcome": "yes"}']
    led = resolving.lead(answering(*answers), pages("It happened."))
    assert led.returned() is None
    assert len(led.result.nondet_results) == 2
    assert resolving.validate(led, answering(*answers), pages("It happened.")) is None
    oracle.keep(led)
    assert oracle.call("get_status") == "Resolved"
    assert oracle.call("get_dict")["outcome"] == "yes"


def test_the_oracle_factory_deploys_oracles(chain: Chain, published_contracts: Path) -> None:
    code = (published_contracts / "intelligent_oracle.py").read_text()
    factory = chain.deploy(published_contracts / "intelligent_oracle_factory.py", code)
    factory.call("create_new_prediction_market", *ORACLE)
    (deployment,) = factory.last.result.emissions
    assert deployment["code"] == code.encode()
    assert calldata.decode(deployment["calldata"]) == {"args": ORACLE}
    assert len(factory.call("get_contract_addresses")) == 1


def test_a_contract_of_several_files(chain: Chain, published_contracts: Path) -> None:
    folder = published_contracts / "multi_file_contract"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("runner.json", '{"Depends": "py-genlayer-multi:test"}')
        for name in ("__init__.py", "other.py"):
            archive.write(folder / name, f"contract/{name}")
    contract = chain.deploy(packed.getvalue())
    (deployment,) = contract.last.result.emissions
    assert deployment["code"] == (folder / "other.py").read_bytes()
    assert calldata.decode(deployment["calldata"]) == {"args": ["123"]}
    assert contract.call("wait") is None
