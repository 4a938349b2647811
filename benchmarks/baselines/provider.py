"""A provider like OpenAI with one answer: `python -m benchmarks.baselines.provider PORT`."""

from __future__ import annotations

import json

from .one_answer import serve

ANSWER = "The sky is blue."
BODY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": ANSWER},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
    }
).encode()

if __name__ == "__main__":
    serve("application/json", BODY)
