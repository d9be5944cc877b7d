"""Turns a command's work into its exit code, for all of `python -m train.…`."""

import argparse
import subprocess
import sys
from collections.abc import Callable

FAILED, USAGE = 1, 2


def run_command(name: str, work: Callable[..., int | None], *words: str) -> int:
    """Hands the command line's `words` to `work`; those in brackets may be left out."""
    parser = argparse.ArgumentParser(prog=f"python -m train.{name}")
    for word in words:
        parser.add_argument(word.strip("[]"), nargs="?" if word.startswith("[") else None)
    given = vars(parser.parse_args()).values() if words else ()
    try:
        return work(*(value for value in given if value is not None)) or 0
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        said, code = f"{name}: {error}", FAILED if isinstance(error, subprocess.CalledProcessError) else USAGE
    # Outside of `except`, which keeps the frames that hold the progress bars: these have ended their lines now.
    print(said, file=sys.stderr)
    return code
