"""`accelerate launch train --recipe full_band --musdb_dir DIR --output_dir runs/full_band` (or `-m train`)."""

import sys
from pathlib import Path

# `accelerate launch train` runs this folder as a program, with the folder itself on the path and not its parent.
ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from train.arguments import parse_arguments  # noqa: E402
from train.exit_codes import run_command  # noqa: E402
from train.trainer import train  # noqa: E402


def main() -> int:
    """Exits with 0 when trained, with 2 and one line on stderr when something the user gave cannot be used."""
    return run_command("train", lambda: train(*parse_arguments()))


if __name__ == "__main__":
    sys.exit(main())
