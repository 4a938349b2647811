"""The first file that runs in the guest: everything is in `genlayer.entry`, which is precompiled."""

import sys

sys.path.insert(0, "/genvm")

from genlayer.entry import main  # noqa: E402 - found through the path above

main()
