"""Asking providers whether they work (docs/spec/01-http-api.md#llm-check)."""

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
"""Characters of what a model wrote that a row passes on."""


async def check(
    configs: Sequence[CheckConfig],
    prompts: Sequence[CheckPrompt],
    status_only: Collection[int] = (),
    proxy: str | None = None,
) -> list[CheckRow]:
    """One row for each configuration and prompt, in this order.

    All are asked at once, at most 64 at a time, each for `ROW_TIMEOUT` from its own start. What
    fails is said in its row. Of the configurations numbered in `status_only` only the HTTP status
    is said: their hosts are a client's choice, who is not to read by us what they answer. `proxy`
    as in the configuration.
    """
    transport = Transport(proxy)
    places = asyncio.Semaphore(ROWS_AT_ONCE)

    async def row(config_index: int, prompt_index: int) -> CheckRow:
        async with places:
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
    """What the model wrote and what went wrong; one of them is None."""
    try:
        query = _query(config, prompt)
        text = await transport.ask(config.provider, query, ROW_TIMEOUT)
    except ValueError as error:
        return None, str(error)
    except ProviderFault as fault:
        return None, _status_of(fault) if says_status_only else str(fault)
    if not text.strip():
        return None, "the model answered nothing"
    return text[:MAX_RESPONSE], None


def _status_of(fault: ProviderFault) -> str:
    """What went wrong, without any word of the host's, and without why it cannot be reached."""
    if fault.status == "CONNECTION":
        return "no connection, or it broke"
    if isinstance(fault.status, int) and fault.status not in KEY_REFUSED:
        return f"HTTP {fault.status}"
    return str(fault)


def _query(config: CheckConfig, prompt: CheckPrompt) -> Query:
    """Raises `ValueError` naming the field at fault."""
    key = Secret(config.key.strip())
    check_host(config.host)
    check_key(key)
    if not key and config.provider not in KEYLESS:
        raise ValueError("key: is empty")
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
