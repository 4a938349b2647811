"""`python -m genvm_manager.workers.genvm.embeddings.check`: says whether the model is installed.

It prints check results (`genvm_manager.base.check_result`), and reads no weights.
"""

from __future__ import annotations

import sys

from genvm_manager.base.check_result import encode_results, ok

from .weights import INSTALL, find_weights

TOPIC = "embeddings"


def main() -> int:
    """Print the result; return 0. Without the weights all other contracts run."""
    path = find_weights()
    says = (
        f"all-MiniLM-L6-v2 is not installed; contracts that make vectors of texts need {INSTALL}"
        if path is None
        else f"all-MiniLM-L6-v2 is in {path.parent}"
    )
    sys.stdout.buffer.write(encode_results([ok(TOPIC, says)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
