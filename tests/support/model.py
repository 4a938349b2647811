"""A model that contracts ask, and that judges between a leader's answer and a validator's."""

from __future__ import annotations

import json
from collections.abc import Callable

from .provider_formats import Asked
from .providers import Say


class Model:
    """Answers contracts' prompts with `answer`, and judges with `judgement`."""

    def __init__(self, answer: Callable[[str], str], *, judgement: bool = True) -> None:
        self._answer = answer
        self._judgement = judgement

    def __call__(self, asked: Asked) -> Say:
        """Answer a prompt."""
        if '"result": <bool>' in (asked.system or ""):
            return Say(json.dumps({"reason": "I say so", "result": self._judgement}))
        return Say(self._answer(asked.text))
