"""Contracts that nobody here wrote and that read pages: a leader, validators and a replay, through
the whole service, with a real browser (genlayer-test on PyPI)."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import make_certificate
from tests.support.model import Model
from tests.support.providers import PlayedProvider, module_config, provider
from tests.support.served_node import LLM, WEB, Ran, ServedContract, ServedNode, served_node
from tests.support.web_browser import browser_trusting, needs_browser
from tests.support.web_world import Site, name_server, site

pytestmark = [
    needs_browser,
    pytest.mark.skipif(not shutil.which("openssl"), reason="certificates take openssl"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the contracts ask for pages at port 443"),
]

BBC, NEWS = "www.bbc.com", "news.example.org"
SCORES, STORY = "/sport/football/scores-fixtures/2024-06-05", "/story"
GAME = b"<title>unread</title><h1>Wednesday</h1><script src=/game.js></script>"
PLAYED = b'document.write("<p>Brazil<p>3 - 1<p>Jamaica")'
NOT_PLAYED = b'document.write("<p>Brazil<p>Kick off 20:00<p>Jamaica")'


@dataclass(frozen=True)
class PlayedWeb:
    """A site by both names, and the settings of a web module that finds it there."""

    site: Site
    settings: dict[str, Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayedWeb]:
    certificate = make_certificate(tmp_path_factory.mktemp("certificate"), BBC, NEWS)
    # Nobody else on this machine serves there.
    address = "127." + ".".join(str(random.randint(1, 254)) for _ in range(3))
    routes = {SCORES: GAME, STORY: b"<h1>News</h1><p>It has happened."}
    with (
        site(routes, address, 443, certificate.server) as served,
        name_server({BBC: [[address]], NEWS: [[address]]}) as names,
        browser_trusting(certificate) as browser,
    ):
        settings = {
            "workers": 1,
            "browser_path": browser,
            "dns_servers": [names.address],
            "always_allow_hosts": [BBC, NEWS],
        }
        yield PlayedWeb(served, settings)


@pytest.fixture(scope="module")
def played() -> Iterator[PlayedProvider]:
    with provider("openai-compatible") as one:
        yield one


@pytest.fixture(scope="module")
def node(played: PlayedProvider, world: PlayedWeb) -> Iterator[ServedNode]:
    with served_node() as node:
        node.start(LLM, module_config({"one": played.backend()}))
        with node.operators_file(WEB, world.settings):
            node.start(WEB, {})
        yield node


def scores(prompt: str) -> str:
    """What a model reads out of the page."""
    if "Wednesday Brazil 3 - 1 Jamaica" in prompt:
        return '```json\n{"winner": 1, "score": "3:1"}\n```'
    return '{"score": "-", "winner": -1}'


def replayed(contract: ServedContract, led: Ran, method: str, *args: Any) -> None:
    """A replay asks nobody, and comes to what the leader has come to."""
    ran = contract.replay(led, method, *args)
    assert (ran.disagreements, ran.result.execution_hash) == ([], led.result.execution_hash)


def test_the_football_prediction_market(
    node: ServedNode, played: PlayedProvider, world: PlayedWeb, published_contracts: Path
) -> None:
    code = published_contracts / "football_prediction_market.py"
    market = node.deploy(code, "2024-06-05", "Brazil", "Jamaica")
    played.by_default = Model(scores)
    world.site.routes["/game.js"] = NOT_PLAYED
    early = market.lead("resolve")
    assert early.returned() == {"score": "-", "winner": -1}
    world.site.routes["/game.js"] = PLAYED
    led = market.lead("resolve")
    assert led.returned() == {"score": "3:1", "winner": 1}
    assert "unread" not in played.asked[-1].user
    agrees = market.validate(led, "resolve")
    assert (agrees.disagreements, agrees.result.nondet_disagreement) == ([], None)
    assert agrees.result.execution_hash == led.result.execution_hash
    disagrees = market.validate(early, "resolve")
    assert (disagrees.disagreements, disagrees.result.nondet_disagreement) == ([0], 0)
    assert disagrees.result.execution_hash == early.result.execution_hash
    visits = world.site.paths().count(SCORES)
    assert visits == 4
    replayed(market, led, "resolve")
    assert world.site.paths().count(SCORES) == visits
    market.keep(led)
    resolved = {"winner": 1, "score": "3:1", "has_resolved": True}
    assert market.view("get_resolution_data") == resolved


def test_the_intelligent_oracle(
    node: ServedNode, played: PlayedProvider, world: PlayedWeb, published_contracts: Path
) -> None:
    def opinion(prompt: str) -> str:
        answer = "yes" if "It has happened." in prompt or "'outcome': 'yes'" in prompt else "no"
        return f'Well: {{"valid_source": "true", "reasoning": "read", "outcome": "{answer}",}}'

    url = f"https://{NEWS}{STORY}"
    oracle = node.deploy(
        published_contracts / "intelligent_oracle.py",
        "market", "a title", "a description", ["yes", "no"], ["a rule"], [NEWS], [],
        "2020-01-01T00:00:00",
    )  # fmt: skip
    played.by_default = Model(opinion)
    led = oracle.lead("resolve", url)
    assert led.returned() is None
    assert len(led.result.nondet_results) == 2
    assert any("News It has happened." in asked.user for asked in played.asked)
    assert oracle.validate(led, "resolve", url).disagreements == []
    played.by_default = Model(opinion, judgement=False)
    assert oracle.validate(led, "resolve", url).disagreements == [0]
    assert world.site.paths().count(STORY) == 3
    replayed(oracle, led, "resolve", url)
    oracle.keep(led)
    assert oracle.view("get_status") == "Resolved"
    assert json.loads(oracle.view("get_dict")["analysis"])["outcome"] == "yes"
