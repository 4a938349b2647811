"""The argument for a run's id."""

from __future__ import annotations

from contextlib import suppress

import click
from click.shell_completion import CompletionItem

from genvm_manager.base.errors import ManagerError
from genvm_manager.protocol.limits import MAX_RUN_ID

from .parameters import NumberType
from .service import listed_runs


class RunIdType(NumberType):
    """A run's id; a shell completes the ids that the service lists."""

    name = "id"

    def __init__(self) -> None:
        super().__init__(1, MAX_RUN_ID)

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return the listed ids that begin with the incomplete one; none without a service."""
        with suppress(ManagerError, OSError):
            return [
                CompletionItem(run_id, help=state)
                for run_id, state in listed_runs(ctx.params).items()
                if run_id.startswith(incomplete)
            ]
        return []
