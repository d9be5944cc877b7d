"""`python -m train.model_card`: writes `model_card.md` from the results in `train/results/`."""

import sys

from modeling_unet_svs.audio.whole_files import replace_text
from train.arguments import CommandParser
from train.exit_codes import run_command
from train.publishing.card import FOLDER, make_card


def main() -> int:
    """Exits with 2 where the card cannot be made, and leaves the one that is there."""
    results, card = "Folder of training.json and the evaluations' JSON files.", "The card."
    parser = CommandParser(prog="python -m train.model_card")
    parser.add_argument("--results_dir", "--results-dir", default=FOLDER / "results", help=results)
    parser.add_argument("--output", default=FOLDER.parent / "model_card.md", help=card)

    def write_card() -> None:
        given = parser.parse_args()
        replace_text(given.output, f"{make_card(given.results_dir)}\n")

    return run_command("model_card", write_card)


if __name__ == "__main__":
    sys.exit(main())
