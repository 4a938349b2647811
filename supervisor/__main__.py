"""`python -m genvm_manager.supervisor`.

Worker processes import this file again: it does next to nothing.
"""

import os
import sys


def _supervise(shim: int) -> int:
    # Our metrics are ours alone; the library would put them into files of our parent.
    for name in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
        os.environ.pop(name, None)
    # Behind the fork, as the shim stays small.
    from pathlib import Path  # noqa: PLC0415

    from genvm_manager.base.files.temporary_files import NoTemporaryFolder, settle_temporary_files  # noqa: PLC0415

    folder = state_folder(sys.argv[1:])
    try:
        if folder is not None:
            settle_temporary_files(Path(folder))
    except NoTemporaryFolder as error:
        print(f"genvm-manager supervisor: {error.message}", file=sys.stderr)
        return 1
    from .daemon import main  # noqa: PLC0415

    return main(shim)


if __name__ == "__main__":
    from genvm_manager.supervisor.process.shim import run_under_shim, state_folder

    try:
        (state_folder(sys.argv[1:]) or "").encode()
    except UnicodeEncodeError:
        print("genvm-manager supervisor: --state-dir: its name is not UTF-8", file=sys.stderr)
        sys.exit(1)
    sys.exit(run_under_shim(_supervise))
