"""An executor that only sends requests: `python -m benchmarks.baselines.asking_executor`.

Its calldata says until when, for what and to whom: to a module, or to the server that the module
would use. It prints the seconds that each answer took, as a JSON list.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.http_load import Connection, request_bytes
from genvm_manager.protocol import calldata
from genvm_manager.protocol.executor import decode_execution_data
from genvm_manager.protocol.framing import receive_frame, send_frame
from genvm_manager.protocol.module_frames import (
    ModuleHello,
    ModuleRequest,
    decode_answer,
    encode_hello,
    encode_request,
)

PROMPT = "Why is the sky blue? Answer in one sentence."
_BODY = {
    "model": "m",
    "messages": [{"role": "user", "content": PROMPT}],
    "max_tokens": 4096,
}
_MOST = 1 << 20

Ask = Callable[[], object]


def prompt(order: dict[str, Any]) -> Ask:
    """Return a function that sends a prompt to the LLM module, or to the provider."""
    if port := order["port"]:
        provider = Connection(port)
        post = request_bytes("POST", "/v1/chat/completions", json.dumps(_BODY).encode())
        return lambda: json.loads(provider.exchange(post)[1])["choices"][0]["message"]["content"]
    payload = {"prompt": PROMPT, "response_format": "text", "images": []}
    return _through("llm", "Prompt", {"payload": payload, "remaining_fuel_as_gen": 0})


def request(order: dict[str, Any]) -> Ask:
    """Return a function that fetches a URL by the web module, or from its server."""
    if port := order["port"]:
        server = Connection(port)
        get = request_bytes("GET", "/")
        return lambda: server.exchange(get)
    asked = {"method": "GET", "url": order["url"], "headers": {}, "body": None, "sign": False}
    return _through("web", "Request", [asked, _MOST])


def page(order: dict[str, Any]) -> Ask:
    """Return a function that has the web module render a page."""
    asked = {"mode": "text", "url": order["url"], "wait_after_loaded": "0ms"}
    return _through("web", "Render", [asked, _MOST])


ASKS: dict[str, Callable[[dict[str, Any]], Ask]] = {
    "prompt": prompt,
    "request": request,
    "page": page,
}


def _through(name: str, kind: str, payload: Any) -> Ask:
    """Return a function that sends a request to a module, over the connection of this process."""
    option = f"--module-{name}=fd://"
    (descriptor,) = (word.removeprefix(option) for word in sys.argv if word.startswith(option))
    module = socket.socket(fileno=int(descriptor))
    send_frame(module, encode_hello(ModuleHello(1, {})))
    question = encode_request(ModuleRequest(kind, payload))

    def ask() -> object:
        send_frame(module, question)
        return decode_answer(receive_frame(module, timeout=None))

    return ask


def main() -> None:
    """Send requests as ordered, and print the seconds that each took."""
    order = calldata.decode(decode_execution_data(sys.stdin.buffer.read()).calldata)
    ask = ASKS[order["what"]](order)
    ask()
    time.sleep(max(0.0, order["begins_ms"] / 1e3 - time.time()))
    ends = order["ends_ms"] / 1e3
    took = []
    while time.time() < ends:
        began = time.perf_counter()
        ask()
        took.append(time.perf_counter() - began)
    print(json.dumps(took))


if __name__ == "__main__":
    main()
