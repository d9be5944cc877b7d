"""`python -m tests.benchmarks.usefulness --mir1k_dir DIR --musdb_dir DIR`: what the stems are good for.

The same trackers and recognisers on the mixture, on our stems and on the true ones. Writes all numbers to
train/results/usefulness/, and the tables and the picture of docs/usefulness.md and the lines of README.md from them.
An interrupted run goes on; after another training, add --overwrite.
"""

import argparse
import importlib.util
import os
import sys
import warnings
from pathlib import Path

from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.separation import refuse_if
from train.evaluate import SongCollection
from train.evaluation.results import plain, write_results
from train.evaluation.separators import load_estimator
from train.exit_codes import run_command

from ...conftest import ROOT
from .clips import find_clips, some
from .recipes import try_recipes
from .report import PACKAGES, versions, write_report
from .summary import summarise
from .work import measure_all, read_earlier

OUTPUT = ROOT / "train" / "results" / "usefulness" / "usefulness.json"
INSTALL = "pip install librosa torchcrepe pocketsphinx webrtcvad-wheels && pip install --no-deps resemblyzer"


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.usefulness", description=__doc__)
    parser.add_argument("--mir1k_dir", required=True, help="MIR-1K: folder of clips.")
    parser.add_argument("--musdb_dir", required=True, help="MUSDB18: folder with test/.")
    parser.add_argument(
        "--model", default=str(DEFAULT_CHECKPOINT), help="Folder or Hub id; by default our checkpoint."
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="File for all numbers.")
    parser.add_argument("--every", type=int, default=1, help="A quick look: every n-th song, or clip of each singer.")
    parser.add_argument("--report", action="store_true", help="Report on what is measured already.")
    parser.add_argument("--overwrite", action="store_true", help="Measure everything anew.")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="Clips that are measured at a time.")
    return parser.parse_args()


def main() -> int:
    """Measures what is not measured yet, and writes the report."""
    options = parse()
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    refuse_if(bool(missing), f"{', '.join(missing)} missing: {INSTALL}")
    all_clips = find_clips(options.mir1k_dir, options.musdb_dir)
    clips = some(all_clips, options.every)
    estimator = load_estimator(options.model)
    head = {
        "command": "python -m tests.benchmarks.usefulness --mir1k_dir DIR --musdb_dir DIR",
        "versions": versions(),
        "num_clips": len(all_clips),
        "model": estimator.fingerprint,
        "data": SongCollection("", "", [clip.song for clip in all_clips]).fingerprint(),
    }
    if options.report:
        measured = read_earlier(options.output, head)
    else:
        measured = measure_all(clips, options.model, options.processes, options.output, head, options.overwrite)
    recipes = try_recipes(clips[0])
    measured = plain(measured)  # as it is written, so that the summary is that of the file
    results = {**head, "recipes": recipes, "summary": plain(summarise(measured)), "songs": measured}
    write_results(options.output, results)
    if options.output.resolve() == OUTPUT:
        write_report(results)
    return 0


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    sys.exit(run_command("usefulness", main))
