"""`python -m train.model_card`: writes `model_card.md` from the results in `train/results/`."""

import sys
from pathlib import Path

from modeling_unet_svs.audio.whole_files import replace_text
from train.arguments import CommandParser
from train.exit_codes import run_command
from train.publishing.card import FOLDER, make_card


def write_card(results_dir: str | Path, output: str | Path) -> None:
    replace_text(output, f"{make_card(results_dir)}\n")


def main() -> int:
    """Exits with 2 where the card cannot be made, and leaves the one that is there."""
    results, card = "Folder of training.json and the evaluations' JSON files.", "The card."
    parser = CommandParser(prog="python -m train.model_card")
    parser.add_argument("--results_dir", "--results-dir", default=FOLDER / "results", help=results)
    parser.add_argument("--output", default=FOLDER.parent / "model_card.md", help=card)
    return run_command("model_card", lambda: write_card(**vars(parser.parse_args())))


if __name__ == "__main__":
    sys.exit(main())
