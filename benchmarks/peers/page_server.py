"""`python -m benchmarks.peers.page_server PORT`: a site of one page, whatever is asked for."""

from __future__ import annotations

from .one_answer import serve

BODY = b"<!doctype html><title>A page</title><h1>A page</h1>" + b"<p>Of some words." * 200

if __name__ == "__main__":
    serve("text/html; charset=utf-8", BODY)
