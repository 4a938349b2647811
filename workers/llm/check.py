"""Checks whether providers answer (docs/spec/01-http-api.md#llm-check)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from genvm_manager.base.text.secret import Secret
from genvm_manager.protocol.llm_check import (
    ROW_TIMEOUT,
    ROWS_AT_ONCE,
    CheckConfig,
    CheckPrompt,
    CheckRow,
)
from genvm_manager.protocol.module_frames import UserFault

from .config import KEYLESS, check_host, check_key
from .images import read_images
from .providers import Query
from .transport import KEY_REFUSED, ProviderFault, Transport

MAX_RESPONSE = 64 << 10
"""Characters of a model's answer that a row may hold; the rest is cut off."""


async def check(
    configs: Sequence[CheckConfig],
    prompts: Sequence[CheckPrompt],
    status_only: Collection[int] = (),
    proxy: str | None = None,
) -> list[CheckRow]:
    """Send each prompt to each configuration; return one row for each pair, in this order.

    At most `ROWS_AT_ONCE` are sent at a time, each with `ROW_TIMEOUT` seconds from its own start. A
    failure is told in its row. For the configurations numbered in `status_only`, a row tells only
    the HTTP status: a client has chosen their hosts, and must not read through this service what
    they answer. `proxy`: as in the configuration.
    """
    transport = Transport(proxy)
    limit = asyncio.Semaphore(ROWS_AT_ONCE)

    async def row(config_index: int, prompt_index: int) -> CheckRow:
        async with limit:
            response, error = await _ask(
                transport,
                configs[config_index],
                prompts[prompt_index],
                config_index in status_only,
            )
        return CheckRow(config_index, prompt_index, error is None, error, response)

    rows = (row(c, p) for c in range(len(configs)) for p in range(len(prompts)))
    try:
        return await asyncio.gather(*rows)
    finally:
        await transport.close()


async def _ask(
    transport: Transport, config: CheckConfig, prompt: CheckPrompt, says_status_only: bool
) -> tuple[str | None, str | None]:
    """Return what the model wrote and what went wrong; one of them is None."""
    try:
        query = _query(config, prompt)
        text = await transport.send(config.provider, query, ROW_TIMEOUT)
    except ValueError as error:
        return None, str(error)
    except ProviderFault as fault:
        return None, _status_of(fault) if says_status_only else str(fault)
    if not text.strip():
        return None, "the model's answer is empty"
    return text[:MAX_RESPONSE], None


def _status_of(fault: ProviderFault) -> str:
    """Return what went wrong, but neither the host's words nor why it cannot be reached."""
    if fault.status == "CONNECTION":
        return "no connection, or the connection broke"
    if isinstance(fault.status, int) and fault.status not in KEY_REFUSED:
        return f"HTTP {fault.status}"
    return str(fault)


def _query(config: CheckConfig, prompt: CheckPrompt) -> Query:
    """Return the query for a check. Raises `ValueError` naming the invalid field."""
    key = Secret(config.key.strip())
    check_host(config.host)
    check_key(key)
    if not key and config.provider not in KEYLESS:
        raise ValueError("key: is empty; this provider needs one")
    if not config.model:
        raise ValueError("model: is empty")
    try:
        images = read_images(prompt.images)
    except UserFault as fault:
        raise ValueError(f"images: {fault}") from None
    return Query(
        host=config.host.rstrip("/"),
        key=key,
        model=config.model,
        user=prompt.user_message,
        system=prompt.system_message,
        images=images,
        max_tokens=prompt.max_tokens,
        use_max_completion_tokens=prompt.use_max_completion_tokens,
        temperature=prompt.temperature,
    )
