"""From a command's work to its exit code, alike for all of `python -m train.…`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

USAGE = 2


def run_command(name: str, work: Callable[..., object], *words: str) -> int:
    """Does the work of a command.

    Args:
        name: of the command, a module of `train`.
        work: what it does.
        *words: of the command line, names of those that `work` takes; in brackets where one may be left out. None
            where `work` reads the command line itself.

    Returns:
        Exit code: 0 when it is done, 2 when something the user gave cannot be used; the reason is one line on stderr.
    """
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


__all__ = ["run_command"]
