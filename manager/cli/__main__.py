"""The command line as `python -m genvm_manager.manager.cli`, which a root's `bin/` starts."""

from . import main

main(prog_name="genvm-manager")
