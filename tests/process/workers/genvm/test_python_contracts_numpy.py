"""The guest's own numpy, beside what numpy 2.4 gives (`numpy_results.json`, made by it)."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.python_contracts import running_chain

EXPECTED = json.loads(Path(__file__).with_name("numpy_results.json").read_text())

CONTRACT = """
from genlayer import *
import math
import numpy as np

class Calculator(gl.Contract):
    def __init__(self): pass
    @gl.public.view
    def results(self, expressions: list) -> dict:
        return {each: self.result(each) for each in expressions}
    def result(self, expression):
        try:
            return repr(eval(expression))
        except Exception as error:
            return f"!{type(error).__name__}"
    @gl.public.view
    def missing(self) -> str:
        try:
            return str(np.fft)
        except AttributeError as error:
            return str(error)
"""


def test_expressions_print_what_numpy_prints() -> None:
    with running_chain() as chain:
        calculator = chain.deploy(CONTRACT)
        results = calculator.call("results", list(EXPECTED))
        assert results == EXPECTED
        assert "numpy.fft is not in the part of numpy" in calculator.call("missing")
