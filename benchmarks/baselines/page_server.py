"""A site with one page: `python -m benchmarks.baselines.page_server PORT`."""

from __future__ import annotations

from .one_answer import serve

BODY = b"<!doctype html><title>A page</title><h1>A page</h1>" + b"<p>Of some words." * 200

if __name__ == "__main__":
    serve("text/html; charset=utf-8", BODY)
