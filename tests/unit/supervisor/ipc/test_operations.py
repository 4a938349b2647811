"""Each command has one operation, whose reply is one that clients know."""

from __future__ import annotations

import asyncio
from typing import Any, cast, get_args

from genvm_manager.protocol.ipc.commands import Command, GetPermits, SetPermits
from genvm_manager.protocol.ipc.replies import Done, Reply
from genvm_manager.supervisor.ipc.operations import Operation, operations
from genvm_manager.supervisor.service import Service


class Anything:
    """Has every attribute: only the keys of the table are looked at."""

    def __getattr__(self, _: str) -> Any:
        return self


TABLE = operations(cast(Service, Anything()))


def test_every_command_has_its_operation() -> None:
    assert set(TABLE) == set(get_args(Command))


def test_every_reply_is_one_that_clients_know() -> None:
    assert {each.reply for each in TABLE.values()} <= set(get_args(Reply))


def test_a_command_without_fields_is_no_argument() -> None:
    taken: list[object] = []

    def act(*arguments: object) -> Done:
        taken.append(arguments)
        return Done()

    async def act_later(*arguments: object) -> Done:
        return act(*arguments)

    for each in (act, act_later):
        assert asyncio.run(Operation(GetPermits, Done, each).carry_out(GetPermits())) == Done()
        command = SetPermits(5)
        assert asyncio.run(Operation(SetPermits, Done, each).carry_out(command)) == Done()
        assert taken == [(), (command,)]
        taken.clear()
