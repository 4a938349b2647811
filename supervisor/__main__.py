"""`python -m supervisor`. Worker processes import this file again: it does next to nothing."""

import sys

if __name__ == "__main__":
    from supervisor.daemon import main

    sys.exit(main())
