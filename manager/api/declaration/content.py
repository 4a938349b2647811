"""Bodies of requests and replies, by their media types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from flask import request

from genvm_manager.manager.api.limits.transfers import read_body
from genvm_manager.protocol.bodies import from_json

JSON = "application/json"
BYTES = "application/octet-stream"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Json(Generic[T]):
    """A document in JSON: a struct, or a list of such; `example` in JSON's types."""

    media_type: ClassVar[str] = JSON
    struct: type[T]
    example: Any
    is_list: bool = False

    def read(self) -> T:
        """Return the present request's body. Raises `BadRequest`, which names the field."""
        return from_json(read_body(request), self.struct)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema, a reference to the struct's."""
        reference = reference_to(self.struct)
        return {"type": "array", "items": reference} if self.is_list else reference


@dataclass(frozen=True, slots=True, eq=False)
class Plain:
    """A body that no struct describes; `example` is its text, or a JSON value.

    `kind` is JSON Schema's type; `is_binary` says that the text stands for bytes.
    """

    media_type: str
    description: str
    example: Any = None
    kind: str = "string"
    is_binary: bool = False

    def read(self) -> bytes:
        """Return the present request's body. Raises `BadRequest` when it is cut off."""
        return read_body(request)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema. `format: binary` is how generated clients know a file."""
        schema = {"type": self.kind, "description": self.description}
        return schema | ({"format": "binary"} if self.is_binary else {})


Content = Json[Any] | Plain


def reference_to(struct: type) -> dict[str, Any]:
    """Return the JSON Schema that refers to a struct of the document's components."""
    return {"$ref": f"#/components/schemas/{struct.__name__}"}
