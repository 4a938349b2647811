"""`python -m benchmarks.peers.prompting_executor`, started as an executor: prompts, and nothing
else. Its calldata says until when, and whom: the LLM module, or a provider itself.

It prints the seconds that each prompt took, as a JSON list.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable

from benchmarks.http_load import Connection, request_bytes
from protocol import calldata
from protocol.executor import decode_execution_data
from protocol.framing import receive_frame, send_frame
from protocol.module_frames import (
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
_DIRECT = request_bytes("POST", "/v1/chat/completions", json.dumps(_BODY).encode())
_PAYLOAD = {"prompt": PROMPT, "response_format": "text", "images": []}
_THROUGH = encode_request(
    ModuleRequest("Prompt", {"payload": _PAYLOAD, "remaining_fuel_as_gen": 0})
)


def through_module() -> Callable[[], object]:
    """What asks the LLM module, over the connection that we were started with."""
    option = "--module-llm=fd://"
    (descriptor,) = (word.removeprefix(option) for word in sys.argv if word.startswith(option))
    module = socket.socket(fileno=int(descriptor))
    send_frame(module, encode_hello(ModuleHello(1, {})))

    def ask() -> object:
        send_frame(module, _THROUGH)
        return decode_answer(receive_frame(module, timeout=None))

    return ask


def directly(port: int) -> Callable[[], object]:
    """What asks the provider there, on a connection that is kept."""
    provider = Connection(port)
    return lambda: json.loads(provider.exchange(_DIRECT)[1])["choices"][0]["message"]["content"]


def main() -> None:
    order = calldata.decode(decode_execution_data(sys.stdin.buffer.read()).calldata)
    ask = directly(order["port"]) if order["port"] else through_module()
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
