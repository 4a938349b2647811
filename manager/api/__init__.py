"""JSON out: the shape of every response."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from flask import Response

_encoder = msgspec.json.Encoder()


def json_response(
    document: msgspec.Struct | Sequence[msgspec.Struct], status: int = 200
) -> Response:
    """`document`, or a list of such, as the JSON body of a response."""
    return Response(_encoder.encode(document), status, content_type="application/json")
