"""`python -m workers.genvm`: the executor as a program."""

import gc
import sys

# Importing makes a hundred thousand objects, none of them garbage: 30 ms spent on finding that out.
gc.disable()

from .cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
