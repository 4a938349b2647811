"""Asking LLM providers whether they work, with no module running.

Source: docs/spec/01-http-api.md#llm-check.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from genvm_manager.base.errors import BadRequest, RequestFailed, Unavailable
from genvm_manager.base.process.exhaustion import is_exhaustion
from genvm_manager.protocol.ipc.modules import ModuleKind
from genvm_manager.protocol.llm_check import (
    MAX_CHECKS,
    MAX_ROWS,
    CheckConfig,
    CheckPrompt,
    CheckRow,
)
from genvm_manager.workers.pool import Check, check

from .client_rules import ClientRules, origin
from .rules_configuration import check_variables, resolved
from .worker_defaults import WorkerDefaults


class LlmChecks:
    """Starts the processes that ask, one for each check."""

    def __init__(self, worker_defaults: WorkerDefaults, rules: ClientRules) -> None:
        self._surroundings = worker_defaults
        self._rules = rules
        self._under_way = 0

    async def ask(
        self, configs: Sequence[CheckConfig], prompts: Sequence[CheckPrompt]
    ) -> list[CheckRow]:
        """A row for each configuration and prompt, in this order. Cancelled, it ends at once.

        Raises `BadRequest` for more rows than may be, and `Unavailable` while too many ask.
        """
        if max(1, len(configs)) * max(1, len(prompts)) > MAX_ROWS:
            raise BadRequest(f"configs: times test_prompts, more than {MAX_ROWS} rows")
        if self._under_way >= MAX_CHECKS:
            raise Unavailable(f"{MAX_CHECKS} checks are under way already; come again", 5)
        self._under_way += 1
        try:
            return await self._ask(configs, prompts)
        except OSError as error:
            message = f"no process to ask the providers: {error.strerror}"
            raise (
                Unavailable(message, 2) if is_exhaustion(error) else RequestFailed(message)
            ) from None
        finally:
            self._under_way -= 1

    async def _ask(
        self, configs: Sequence[CheckConfig], prompts: Sequence[CheckPrompt]
    ) -> list[CheckRow]:
        environment = self._surroundings.environment
        allowed = await self._rules.variables()
        for number, config in enumerate(configs):
            check_variables(config.key, f"configs[{number}].key", allowed)
        keys = [resolved(config.key, environment) for config in configs]
        whole = [number for number, (_, missing) in enumerate(keys) if missing is None]
        asked = [msgspec.structs.replace(configs[number], key=keys[number][0]) for number in whole]
        identity = self._surroundings.identity(ModuleKind.LLM)
        found: dict[tuple[int, int], CheckRow] = {}
        if asked and prompts:
            known = await self._rules.provider_origins()
            proxy = await self._rules.provider_proxy()
            strange = {n for n, config in enumerate(asked) if origin(config.host) not in known}
            for row in await check(
                identity, self._order(asked, prompts, frozenset(strange), proxy)
            ):
                number = whole[row.config_index]
                found[number, row.prompt_index] = msgspec.structs.replace(row, config_index=number)
        return [
            found.get((number, prompt)) or _without_key(number, prompt, missing)
            for number, (_, missing) in enumerate(keys)
            for prompt in range(len(prompts))
        ]

    def _order(
        self,
        configs: list[CheckConfig],
        prompts: Sequence[CheckPrompt],
        strange: frozenset[int],
        proxy: str | None,
    ) -> Check:
        """`strange`: the numbers of those whose hosts no configuration of the operator names."""
        secrets = tuple(sorted({config.key for config in configs if config.key}))
        logging = self._surroundings.logging(secrets)
        return Check(
            "genvm_manager.workers.llm.check", configs, list(prompts), strange, proxy, logging
        )


def _without_key(config: int, prompt: int, variable: str | None) -> CheckRow:
    return CheckRow(config, prompt, False, f"key: the variable {variable} is not set", None)
