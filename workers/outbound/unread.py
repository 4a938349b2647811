"""Detects a connection that holds data after its answer, which the next request would read.

httpcore does not tell: data after an answer waits in its parser, in the buffers of TLS or in those
of anyio. Private names of all three are used in this file only: the tests called
`test_what_comes_after_an_answer…` fail when one changes, and without one of them the connection
counts as suspect.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from anyio.streams.tls import TLSStream


def is_suspect(headers: Iterable[tuple[bytes, bytes]], body: Any, connection: Any) -> bool:
    """Return whether data came after an answer, or whether its end is ambiguous.

    Call it when the body has been read and is not closed yet. `body` is the stream of httpcore that
    it was read from, `connection` the network stream below.
    """
    names = [name.lower() for name, _ in headers]
    if b"transfer-encoding" in names and b"content-length" in names:
        return True
    return (
        _parser_holds_more(body)
        or _buffers_hold_more(getattr(connection, "_stream", None))
        or bool(connection.get_extra_info("is_readable"))
    )


def stream_of_httpcore(stream: Any) -> Any:
    """Return httpcore's stream of a body, of which `stream` is httpx's; None where it is hidden,
    so that the connection counts as suspect.
    """
    return getattr(getattr(stream, "_stream", None), "_httpcore_stream", None)


def _parser_holds_more(body: Any) -> bool:
    stream = getattr(body, "_stream", None)
    parser = getattr(getattr(stream, "_connection", None), "_h11_state", None)
    return parser is None or parser.trailing_data != (b"", False)


def _buffers_hold_more(stream: Any) -> bool:
    """Check anyio's stream and those below it: each reads more at once than it passes on."""
    if isinstance(stream, TLSStream):
        if stream._read_bio.pending or stream._ssl_object.pending():
            return True
        return _buffers_hold_more(stream.transport_stream)
    protocol = getattr(stream, "_protocol", None)
    return protocol is None or bool(protocol.read_queue)
