"""Gets a prompt answered: sends it to one model after the other, within the timeout."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NamedTuple

from genvm_manager.base.logging.event_log import EventLog
from genvm_manager.protocol.module_frames import UserFault

from .config import LlmConfig
from .prompts import InvalidAnswer, Prompt
from .providers import Query
from .selection import (
    NEEDS_OPERATOR,
    Candidate,
    PromptAttempt,
    Wanted,
    candidates,
    failure_context,
    retry_candidate,
    unavailable,
)
from .transport import ProviderFault, Transport

MAX_ATTEMPTS = 2
"""How often a prompt is sent to a model whose answers have the wrong form."""


class Answer(NamedTuple):
    """What a prompt's `read` made of a model's answer; it may be false or empty."""

    value: Any


class PromptClient:
    """Sends prompts to the models of a configuration.

    `shortage`: why there is no usable model, as a sentence, or None.
    """

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

    async def answer(self, prompt: Prompt, wanted: Wanted, genvm_id: int) -> Any:
        """Return the answer to the prompt. Raises `UserFault` `NO_PROVIDER_FOR_PROMPT`."""
        found = candidates(
            self.config.backends,
            wanted,
            needs_json=prompt.wants_json,
            needs_image=bool(prompt.images),
        )
        dispatch = _Dispatch(self, prompt, genvm_id)
        answer = await dispatch.first_of(found)
        if answer is not None:
            return answer.value
        absent = unavailable(self.config.backends, wanted, found)
        context = failure_context([*absent, *dispatch.attempts])
        if self.shortage is not None:
            context["reason"] = self.shortage
        self.log.warning(
            "prompt_without_answer", genvm_id=genvm_id, attempts=len(dispatch.attempts)
        )
        raise UserFault(["NO_PROVIDER_FOR_PROMPT"], context)


class _Dispatch:
    """Sends one prompt to one model after the other, and records the failed attempts."""

    def __init__(self, client: PromptClient, prompt: Prompt, genvm_id: int) -> None:
        self._client = client
        self._prompt = prompt
        self._genvm_id = genvm_id
        self._clock = asyncio.get_running_loop().time
        self._deadline = self._clock() + client.config.timeout
        self.attempts: list[PromptAttempt] = []

    @property
    def _seconds_left(self) -> float:
        return self._deadline - self._clock()

    async def first_of(self, found: list[Candidate]) -> Answer | None:
        """Return the first answer, or None.

        Once all models have failed, try the one again that asked for a short enough pause.
        """
        for candidate in found:
            if (answer := await self._try(candidate)) is not None:
                return answer
        again = retry_candidate(self.attempts, self._seconds_left)
        if again is None:
            return None
        await asyncio.sleep(self.attempts[again].retry_after or 0)
        return await self._try(found[again])

    async def _try(self, candidate: Candidate) -> Answer | None:
        for attempts_left in reversed(range(MAX_ATTEMPTS)):
            try:
                return await self._ask(candidate)
            except ProviderFault as fault:
                self._record(candidate, fault.status, str(fault), fault.retry_after)
                return None
            except InvalidAnswer as fault:
                if attempts_left and fault.may_retry:
                    continue
                self._record(candidate, fault.code, str(fault))
                return None
        return None

    async def _ask(self, candidate: Candidate) -> Answer:
        seconds = min(candidate.model.seconds, self._seconds_left)
        if seconds <= 0:
            raise ProviderFault("NO_TIME_LEFT", "the prompt's timeout has expired")
        started = self._clock()
        provider = candidate.backend.provider
        text = await self._client.transport.send(provider, _query(candidate, self._prompt), seconds)
        answer = Answer(self._prompt.read(text))
        self._log(logging.DEBUG, "prompt_answered", candidate, seconds=self._clock() - started)
        return answer

    def _record(
        self,
        candidate: Candidate,
        status: int | str,
        message: str,
        retry_after: float | None = None,
    ) -> None:
        self.attempts.append(
            PromptAttempt(candidate.name, candidate.model_name, status, retry_after)
        )
        level = logging.ERROR if status in NEEDS_OPERATOR else logging.WARNING
        self._log(level, "provider_failed", candidate, status=status, reason=message)

    def _log(self, level: int, event: str, candidate: Candidate, **fields: Any) -> None:
        said = {
            "genvm_id": self._genvm_id,
            "backend": candidate.name,
            "model": candidate.model_name,
            **fields,
        }
        self._client.log.write(level, event, **said)


def _query(candidate: Candidate, prompt: Prompt) -> Query:
    return Query(
        host=candidate.backend.host.rstrip("/"),
        key=candidate.backend.key,
        model=candidate.model_name,
        user=prompt.user,
        system=prompt.system,
        images=prompt.images,
        wants_json=prompt.wants_json,
        max_tokens=candidate.model.max_tokens,
        use_max_completion_tokens=candidate.model.use_max_completion_tokens,
        temperature=candidate.model.temperature,
    )
