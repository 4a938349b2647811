"""`python -m genvm_manager.manager.cli`: the command line, as files in a tree's `bin/` start it."""

from . import main

main(prog_name="genvm-manager")
