"""`gl.Contract`: the base of the contract class."""

from __future__ import annotations

from ..gl.annotations import public
from ..py.storage.records import record_type
from . import host
from .message import message_raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..py.types import Address


class BaseContract:
    """What has an `address` and a `balance`: the contract itself, and the proxy of another one."""

    __slots__ = ()


_classes: list[type[Contract]] = []


def contract_class() -> type[Contract]:
    """Return the contract class of this run. Raises `TypeError` where none is defined."""
    if not _classes:
        raise TypeError("there is no contract here: define `class MyContract(gl.Contract)`")
    return _classes[0]


class Contract(BaseContract):
    """The base of the contract class, of which a run has one.

    Its annotated attributes are kept in storage, its decorated methods may be called, and
    `__init__` runs once, on deployment. The special methods below are called for messages that
    name no method of the class, if they are public (docs/spec/07-python-sdk.md).
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if _classes:
            raise TypeError(
                f"{cls.__name__}: a run has one contract class, which is {_classes[0].__name__} "
                "here; let what they share be a plain class"
            )
        super().__init_subclass__(**kwargs)
        record_type(cls)
        _classes.append(cls)

    def __receive__(self) -> Any:
        """Serve a message without method."""
        raise NotImplementedError

    def __handle_undefined_method__(
        self, name: str, args: list[Any], kwargs: dict[str, Any]
    ) -> Any:
        """Serve a message whose method the class does not have; `name` is `''` for none."""
        raise NotImplementedError

    @public.write.payable
    def __on_errored_message__(self) -> Any:
        """Serve the news that a message of this contract failed, and its value came back."""

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
