"""The first file that runs in the guest. It is compiled on each run, so all else is elsewhere."""

import gc
import sys

gc.disable()  # until the contract runs: nothing that is loaded before becomes garbage
sys.path.insert(0, "/genvm")
sys.path.append("/")

import _modules  # noqa: E402, F401 - found through the path above
from genlayer._machine.entry import main  # noqa: E402 - found by it

main()
