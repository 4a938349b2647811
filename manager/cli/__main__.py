"""`python -m manager.cli`: the command line, as the files in a tree's `bin/` start it."""

from . import main

main(prog_name="genvm-manager")
