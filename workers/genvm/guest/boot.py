"""The first file that runs in the guest. It is compiled on each run, so all else is elsewhere."""

import sys

sys.path.insert(0, "/genvm")

from genlayer.entry import main

main()
