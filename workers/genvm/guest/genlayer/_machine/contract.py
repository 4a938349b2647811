"""`gl.Contract`: the base of the contract class."""

from __future__ import annotations

from ..py.storage.layout import stored_type
from ..py.storage.records import make_fields
from . import host
from .message import message_raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..py.calldata import Address


class BaseContract:
    """What has an `address` and a `balance`: the contract itself, and the proxy of another one."""

    __slots__ = ()


class Contract(BaseContract):
    """The base of the contract class, of which a file has one.

    Its annotated attributes are kept in storage, its decorated methods may be called, and
    `__init__` runs once, on deployment. A message without method that carries value goes to
    `__receive__`, another that fits no method to `__handle_undefined_method__(name, args, kwargs)`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        make_fields(cls)
        stored_type(cls)

    @classmethod
    def __get_schema__(cls) -> str:
        """Return the schema as JSON text, as `#get-schema` answers it."""
        from json import dumps

        from ..py.get_schema import get_schema

        return dumps(get_schema(cls), separators=(",", ":"))

    @property
    def address(self) -> Address:
        """The address of this contract."""
        return message_raw["contract_address"]

    @property
    def balance(self) -> int:
        """The balance of this contract, less the value that its messages of this run send."""
        return host.get_self_balance()
