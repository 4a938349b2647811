"""Contracts that nobody here wrote and that ask models: a leader, validators and a replay, through
the whole service (genlayer-test on PyPI)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.calls import SENDER
from tests.support.model import Model
from tests.support.providers import PlayedProvider, module_config, provider
from tests.support.served_node import LLM, WEB, Ran, ServedContract, ServedNode, served_node
from tests.support.web_world import Asked as AskedPage
from tests.support.web_world import Site, name_server, site

RECIPIENT = "0x" + "b0" * 20
PUBLIC = "8.8.8.8"
"""An address that the web module may ask the webdriver service for; nobody connects to it."""


@pytest.fixture(scope="module")
def webdriver() -> Iterator[Site]:
    """A webdriver service, for which each page shows its own address."""
    with site({"/render": lambda asked: (200, {"resulting-status": "200"}, _page(asked))}) as one:
        yield one


def _page(asked: AskedPage) -> bytes:
    (url,) = parse_qs(urlsplit(asked.path).query)["url"]
    return f"The news of {url}: it happened.".encode()


@pytest.fixture(scope="module")
def played() -> Iterator[PlayedProvider]:
    with provider("anthropic") as one:
        yield one


@pytest.fixture(scope="module")
def node(played: PlayedProvider, webdriver: Site) -> Iterator[ServedNode]:
    with name_server({"example.org": [[PUBLIC]]}) as names, served_node() as node:
        node.start(LLM, module_config({"one": played.backend()}))
        rendering = {"webdriver_host": f"http://{webdriver.host}", "dns_servers": [names.address]}
        node.start(WEB, {"workers": 1, **rendering})
        yield node


def agreed(
    played: PlayedProvider, contract: ServedContract, answer: str, method: str, *args: Any
) -> Ran:
    """The leader's run, once a validator has agreed with it, another one has not, and a replay
    that asks nobody has come to the same."""
    played.by_default = Model(lambda _: answer)
    led = contract.lead(method, *args)
    assert led.returned() is None
    for judgement, told in ((True, []), (False, [0])):
        played.by_default = Model(lambda _: f"Well: {answer}", judgement=judgement)
        ran = contract.validate(led, method, *args)
        assert ran.disagreements == told
        assert ran.result.nondet_disagreement == (told[0] if told else None)
        assert ran.result.execution_hash == led.result.execution_hash
    asked = len(played.asked)
    replayed = contract.replay(led, method, *args)
    assert replayed.disagreements == []
    assert replayed.result.execution_hash == led.result.execution_hash
    assert len(played.asked) == asked
    return led


def test_the_wizard_of_coin(
    node: ServedNode, played: PlayedProvider, published_contracts: Path
) -> None:
    wizard = node.deploy(published_contracts / "wizard_of_coin.py", True)
    won = '```json\n{"reasoning": "so höflich 🙂", "give_coin": true}\n```'
    led = agreed(played, wizard, won, "ask_for_coin", "Please?")
    assert "Adventurer: Please?" in played.asked[0].user
    wizard.keep(led)
    assert wizard.view("get_have_coin") is False


def test_llm_erc20(node: ServedNode, played: PlayedProvider, published_contracts: Path) -> None:
    token = node.deploy(published_contracts / "llm_erc20.py", 100)
    balances = {str(SENDER): 70, RECIPIENT: 30}
    answer = json.dumps({"transaction_success": True, "updated_balances": balances})
    led = agreed(played, token, answer, "transfer", 30, RECIPIENT)
    assert led.result.nondet_results[0].decode("utf-8", "replace").endswith(answer)
    token.keep(led)
    held = {address.lower(): balance for address, balance in token.view("get_balances").items()}
    assert held == {address.lower(): balance for address, balance in balances.items()}


def test_the_intelligent_oracle(
    node: ServedNode, played: PlayedProvider, webdriver: Site, published_contracts: Path
) -> None:
    oracle = node.deploy(
        published_contracts / "intelligent_oracle.py",
        "market", "a title", "a description", ["yes", "no"], ["a rule"], ["example.org"], [],
        "2020-01-01T00:00:00",
    )  # fmt: skip
    answer = '{"valid_source": "true", "reasoning": "seen", "outcome": "yes",}'
    led = agreed(played, oracle, answer, "resolve", "https://example.org/news")
    assert any("The news of https://example.org/news" in asked.user for asked in played.asked)
    assert len(webdriver.asked) == 3
    oracle.keep(led)
    assert oracle.view("get_status") == "Resolved"
    assert oracle.view("get_dict")["outcome"] == "yes"
