"""`python -m workers.genvm`: the executor as a program."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
