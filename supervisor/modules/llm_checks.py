"""Checks of LLM providers, which need no module that runs.

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
    """Starts a process for each check, which asks the providers."""

    def __init__(self, worker_defaults: WorkerDefaults, rules: ClientRules) -> None:
        self._defaults = worker_defaults
        self._rules = rules
        self._under_way = 0

    async def ask(
        self, configs: Sequence[CheckConfig], prompts: Sequence[CheckPrompt]
    ) -> list[CheckRow]:
        """Return a row for each configuration and prompt, in this order.

        Raises `BadRequest` for more than `MAX_ROWS` rows, and `Unavailable` while `MAX_CHECKS`
        checks are under way. When this is cancelled the check ends at once.
        """
        if max(1, len(configs)) * max(1, len(prompts)) > MAX_ROWS:
            raise BadRequest(f"configs: times test_prompts, more than {MAX_ROWS} rows")
        if self._under_way >= MAX_CHECKS:
            raise Unavailable(f"{MAX_CHECKS} checks are under way already; try again later", 5)
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
        environment = self._defaults.environment
        allowed = await self._rules.variables()
        for number, config in enumerate(configs):
            check_variables(config.key, f"configs[{number}].key", allowed)
        keys = [resolved(config.key, environment) for config in configs]
        whole = [number for number, (_, missing) in enumerate(keys) if missing is None]
        asked = [msgspec.structs.replace(configs[number], key=keys[number][0]) for number in whole]
        identity = self._defaults.identity(ModuleKind.LLM)
        found: dict[tuple[int, int], CheckRow] = {}
        if asked and prompts:
            known = await self._rules.provider_origins()
            proxy = await self._rules.provider_proxy()
            unknown = {n for n, config in enumerate(asked) if origin(config.host) not in known}
            for row in await check(
                identity, self._order(asked, prompts, frozenset(unknown), proxy)
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
        unknown: frozenset[int],
        proxy: str | None,
    ) -> Check:
        """Make the order. `unknown` are the numbers of the configurations whose hosts no
        configuration of the operator names.
        """
        secrets = tuple(sorted({config.key for config in configs if config.key}))
        logging = self._defaults.logging(secrets)
        return Check(
            "genvm_manager.workers.llm.check", configs, list(prompts), unknown, proxy, logging
        )


def _without_key(config: int, prompt: int, variable: str | None) -> CheckRow:
    return CheckRow(config, prompt, False, f"key: the variable {variable} is not set", None)
