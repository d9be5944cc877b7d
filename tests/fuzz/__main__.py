"""Damages files and makes odd arrays by the thousand, and says what came of it; exit code 1 where anything broke.

`--first` is the number of the first file, to go on from an earlier run; what broke something is kept in `--findings`.
"""

import os
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from ..benchmarks.measuring import given, print_table  # noqa: E402
from .arrays import run_arrays  # noqa: E402
from .targets import READ, REFUSED  # noqa: E402
from .workers import FINDINGS, Corpus, Worker, kinds_in_turn  # noqa: E402

OUTCOMES = (READ, REFUSED, *FINDINGS)


def main() -> int:
    options = given(__doc__, files=20_000, arrays=5_000, first=0, findings=Path("fuzz-findings"))
    begun = time.monotonic()
    counts, seconds, slowest = defaultdict(Counter), Counter(), defaultdict(float)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus.make(Path(folder))
        with Worker(corpus) as worker:
            numbered = list(enumerate(kinds_in_turn(options.first + options.files)))
            for number, kind in numbered[options.first :]:
                data = corpus.mutated(kind, number)
                outcome, said, took = worker.give(kind, data)
                counts[kind][outcome] += 1
                seconds[kind] += took
                slowest[kind] = max(slowest[kind], took)
                if outcome in FINDINGS:
                    _keep(options.findings, f"{kind} {number}", data, outcome, said)
        array_counts, findings = run_arrays(options.arrays, corpus.checkpoint, options.first)
    for name, text in findings.items():
        _keep(options.findings, name, None, "arrays", text)
    counts |= array_counts
    _print(counts, seconds, slowest)
    num_found = sum(counts[kind][outcome] for kind in counts for outcome in FINDINGS)
    num_arrays = sum(each.total() for each in array_counts.values())
    print(f"{options.files} files, {num_arrays} arrays and configurations in {time.monotonic() - begun:.0f} s")
    print(f"{num_found} findings" + (f", see {options.findings}" if num_found else ""))
    return int(num_found > 0)


def _keep(folder: Path, name: str, data: bytes | None, outcome: str, said: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]+", "-", name)
    if data is not None:
        (folder / name).write_bytes(data)
    (folder / f"{name}.txt").write_text(f"{outcome}\n{said}\n", errors="backslashreplace")


def _print(counts, seconds, slowest) -> None:
    counts = {**counts, "all": sum(counts.values(), Counter())}
    seconds["all"], slowest["all"] = sum(seconds.values()), max(slowest.values(), default=0)
    rows = [
        (kind, row.total(), *(row[outcome] for outcome in OUTCOMES), f"{seconds[kind]:.1f}", f"{slowest[kind]:.2f}")
        for kind, row in counts.items()
    ]
    print_table("what came of it", ("what", "number", *OUTCOMES, "seconds", "slowest"), rows)


if __name__ == "__main__":
    sys.exit(main())
