"""The evaluation's command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from transformers import HfArgumentParser

from modeling_unet_svs import DEFAULT_CHECKPOINT

from .protocols import PROTOCOLS
from .song_collections import SPLITS

PLOT_FORMATS = ("png", "svg", "none")


@dataclass
class EvaluationArguments:
    """What to score, on which songs, and how."""

    model: str = field(
        default=DEFAULT_CHECKPOINT,
        metadata={"help": "Folder or Hub id; `mixture` for the floor, `irm` for the oracle's ratio mask."},
    )
    musdb_dir: str | None = field(default=None, metadata={"help": "MUSDB18: folder with train/ and test/."})
    mir1k_dir: str | None = field(default=None, metadata={"help": "MIR-1K: folder of clips."})
    stems_dir: str | None = field(
        default=None, metadata={"help": "Folder of SONG/vocals.*, SONG/accompaniment.* (or any other stems)."}
    )
    split: str = field(default="test", metadata={"help": "test, validation or train; MIR-1K has no test split."})
    protocol: list[str] = field(
        default_factory=lambda: ["sdr"],
        metadata={
            "help": "One or several of sdr (SDR and SI-SDR of the song), museval (BSSEval v4), bss_eval_v3 (the "
            "paper's NSDR, SIR, SAR), levels (what comes out as a stem that does not play)."
        },
    )
    bss_eval_rate: int | None = field(
        default=None,
        metadata={"help": "Hz of bss_eval_v3; default: the lower of the model's and the song's (MIR-1K: 16000)."},
    )
    output: str | None = field(
        default=None,
        metadata={"help": "JSON file for all scores; songs that it has already are not done again."},
    )
    overwrite: bool = field(default=False, metadata={"help": "Begin --output anew, whatever it has."})
    plot_format: str = field(default="png", metadata={"help": "Of the box plot beside --output: png, svg or none."})

    def __post_init__(self):
        """Raises ValueError for what no evaluation can be made of."""
        given = [folder for folder in (self.musdb_dir, self.mir1k_dir, self.stems_dir) if folder]
        if len(given) != 1:
            what = "only one of" if given else "nothing to evaluate on: give"
            raise ValueError(f"{what} --musdb_dir, --mir1k_dir or --stems_dir{' at a time' if given else ''}.")
        self.protocol = list(dict.fromkeys(self.protocol))
        for flag, values, known in (
            ("--protocol", self.protocol, PROTOCOLS),
            ("--split", [self.split], SPLITS),
            ("--plot_format", [self.plot_format], PLOT_FORMATS),
        ):
            unknown = [value for value in values if value not in known]
            if unknown:
                raise ValueError(f"{flag} {unknown[0]} is unknown: use {', '.join(known)}.")
        if self.bss_eval_rate is not None and self.bss_eval_rate <= 0:
            raise ValueError(f"--bss_eval_rate {self.bss_eval_rate}: give a sampling rate in Hz.")


def parse_arguments(arguments: Sequence[str] | None = None) -> EvaluationArguments:
    """Reads the command line.

    Args:
        arguments: instead of `sys.argv[1:]`.

    Returns:
        The arguments.

    Raises:
        ValueError: no folder or several, or an unknown name.
    """
    parser = HfArgumentParser(EvaluationArguments, prog="python -m train.evaluate")
    return parser.parse_args_into_dataclasses(arguments)[0]


__all__ = ["EvaluationArguments", "parse_arguments"]
