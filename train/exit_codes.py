"""From a command's work to its exit code, alike for all of `python -m train.…`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

USAGE = 2


def run_command(name: str, work: Callable[..., object], *words: str) -> int:
    """Does the work of a command."""
    given: list[str] = []
    if words:
        parser = argparse.ArgumentParser(prog=f"python -m train.{name}")
        for word in words:
            parser.add_argument(word.strip("[]"), nargs="?" if word.startswith("[") else None)
        given = [value for value in vars(parser.parse_args()).values() if value is not None]
    try:
        work(*given)
    except (ValueError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return USAGE
    return 0
