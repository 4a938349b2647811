"""The HTTP API: a Flask application whose answers come from the supervisor."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from flask import Response

_encoder = msgspec.json.Encoder()


def json_response(
    document: msgspec.Struct | Sequence[msgspec.Struct], status: int = 200
) -> Response:
    """Return a response with `document`, a struct or a list of them, as its JSON body."""
    return Response(_encoder.encode(document), status, content_type="application/json")
