"""Getting a question answered: one model after the other, within the time there is."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NamedTuple

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.protocol.module_frames import UserFault

from .config import LlmConfig
from .providers import Query
from .questions import InvalidAnswer, Question
from .selection import (
    WANTS_AN_OPERATOR,
    Candidate,
    PromptAttempt,
    Wanted,
    candidates,
    failure_context,
    retry_candidate,
    unavailable,
)
from .transport import ProviderFault, Transport

ASKS = 2
"""How often a model is asked whose answers are of the wrong form."""


class Answer(NamedTuple):
    """What a question's `read` made of a model's words; it may be false or empty."""

    value: Any


class PromptClient:
    """Asks the models of a configuration. `shortage`: why there is none, in a sentence."""

    def __init__(
        self,
        config: LlmConfig,
        transport: Transport,
        log: EventLog,
        shortage: str | None = None,
    ) -> None:
        self.config = config
        self.shortage = shortage
        self.transport = transport
        self.log = log

    async def ask(self, question: Question, wanted: Wanted, genvm_id: int) -> Any:
        """The answer to the question. Raises `UserFault` `NO_PROVIDER_FOR_PROMPT`."""
        found = candidates(
            self.config.backends,
            wanted,
            needs_json=question.wants_json,
            needs_image=bool(question.images),
        )
        inquiry = _Inquiry(self, question, genvm_id)
        answer = await inquiry.first_of(found)
        if answer is not None:
            return answer.value
        absent = unavailable(self.config.backends, wanted, found)
        context = failure_context([*absent, *inquiry.attempts])
        if self.shortage is not None:
            context["reason"] = self.shortage
        fields = {"genvm_id": genvm_id, "attempts": len(inquiry.attempts)}
        self.log.warning("prompt_without_answer", **fields)
        raise UserFault(["NO_PROVIDER_FOR_PROMPT"], context)


class _Inquiry:
    """One question on its way from model to model."""

    def __init__(self, asker: PromptClient, question: Question, genvm_id: int) -> None:
        self._asker = asker
        self._question = question
        self._genvm_id = genvm_id
        self._clock = asyncio.get_running_loop().time
        self._deadline = self._clock() + asker.config.timeout
        self.attempts: list[PromptAttempt] = []

    @property
    def _seconds_left(self) -> float:
        return self._deadline - self._clock()

    async def first_of(self, found: list[Candidate]) -> Answer | None:
        """The first answer. Once all have failed, the one that asks for a short pause gets it."""
        for candidate in found:
            if (answer := await self._try(candidate)) is not None:
                return answer
        again = retry_candidate(self.attempts, self._seconds_left)
        if again is None:
            return None
        await asyncio.sleep(self.attempts[again].retry_after or 0)
        return await self._try(found[again])

    async def _try(self, candidate: Candidate) -> Answer | None:
        for asks_left in reversed(range(ASKS)):
            try:
                return await self._ask(candidate)
            except ProviderFault as fault:
                self._note(candidate, fault.status, str(fault), fault.retry_after)
                return None
            except InvalidAnswer as fault:
                if asks_left and fault.is_worth_a_retry:
                    continue
                self._note(candidate, fault.code, str(fault))
                return None
        return None

    async def _ask(self, candidate: Candidate) -> Answer:
        seconds = min(candidate.model.seconds, self._seconds_left)
        if seconds <= 0:
            raise ProviderFault("NO_TIME_LEFT", "the prompt's time is up")
        started = self._clock()
        provider = candidate.backend.provider
        text = await self._asker.transport.ask(provider, _query(candidate, self._question), seconds)
        answer = Answer(self._question.read(text))
        self._log(logging.DEBUG, "prompt_answered", candidate, seconds=self._clock() - started)
        return answer

    def _note(
        self,
        candidate: Candidate,
        status: int | str,
        message: str,
        retry_after: float | None = None,
    ) -> None:
        self.attempts.append(
            PromptAttempt(candidate.name, candidate.model_name, status, retry_after)
        )
        level = logging.ERROR if status in WANTS_AN_OPERATOR else logging.WARNING
        self._log(level, "provider_failed", candidate, status=status, reason=message)

    def _log(self, level: int, event: str, candidate: Candidate, **fields: Any) -> None:
        said = {
            "genvm_id": self._genvm_id,
            "backend": candidate.name,
            "model": candidate.model_name,
            **fields,
        }
        self._asker.log.write(level, event, **said)


def _query(candidate: Candidate, question: Question) -> Query:
    return Query(
        host=candidate.backend.host.rstrip("/"),
        key=candidate.backend.key,
        model=candidate.model_name,
        user=question.user,
        system=question.system,
        images=question.images,
        wants_json=question.wants_json,
        max_tokens=candidate.model.max_tokens,
        use_max_completion_tokens=candidate.model.use_max_completion_tokens,
        temperature=candidate.model.temperature,
    )
