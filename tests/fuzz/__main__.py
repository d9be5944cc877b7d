"""Damages files and makes odd arrays by the thousand, and says what came of it; exit code 1 where anything broke."""

import argparse
import os
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from .arrays import run_arrays  # noqa: E402
from .targets import READ, REFUSED  # noqa: E402
from .workers import FINDINGS, Corpus, Worker, kinds_in_turn  # noqa: E402

OUTCOMES = (READ, REFUSED, *FINDINGS)


def main() -> int:
    """Runs the fuzzer."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=20_000, help="damaged files in all")
    parser.add_argument("--arrays", type=int, default=5_000, help="odd arrays and configurations in all")
    parser.add_argument("--first", type=int, default=0, help="number of the first file, to go on from an earlier run")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="folder for what broke something")
    given = parser.parse_args()
    begun = time.monotonic()
    counts: dict[str, Counter] = defaultdict(Counter)
    seconds: Counter = Counter()
    slowest: dict[str, float] = defaultdict(float)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus.make(Path(folder))
        with Worker(corpus) as worker:
            for number, kind in enumerate(kinds_in_turn(given.first + given.files)[given.first :], given.first):
                data = corpus.mutated(kind, number)
                outcome, said, took = worker.give(kind, data)
                counts[kind][outcome] += 1
                seconds[kind] += took
                slowest[kind] = max(slowest[kind], took)
                if outcome in FINDINGS:
                    _keep(given.findings, f"{kind} {number}", data, outcome, said)
        array_counts, findings = run_arrays(given.arrays, corpus.checkpoint, given.first)
    for name, text in findings.items():
        _keep(given.findings, name, None, "arrays", text)
    counts |= array_counts
    _print(counts, seconds, slowest)
    num_found = sum(counts[kind][outcome] for kind in counts for outcome in FINDINGS)
    print(
        f"{given.files} files and {sum(map(sum, (c.values() for c in array_counts.values())))} arrays and "
        f"configurations in {time.monotonic() - begun:.0f} s: {num_found} findings"
        + (f", see {given.findings}" if num_found else "")
    )
    return int(num_found > 0)


def _keep(folder: Path, name: str, data: bytes | None, outcome: str, said: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]+", "-", name)
    if data is not None:
        (folder / name).write_bytes(data)
    (folder / f"{name}.txt").write_text(f"{outcome}\n{said}\n", errors="backslashreplace")


def _print(counts: dict[str, Counter], seconds: Counter, slowest: dict[str, float]) -> None:
    table = Table("what", "number", *OUTCOMES, "seconds", "slowest")
    rows = {**counts, "all": sum(counts.values(), Counter())}
    seconds["all"], slowest["all"] = sum(seconds.values()), max(slowest.values(), default=0)
    for kind, row in rows.items():
        figures = [str(row[outcome]) for outcome in OUTCOMES]
        table.add_row(kind, str(row.total()), *figures, f"{seconds[kind]:.1f}", f"{slowest[kind]:.2f}")
    Console(width=max(120, Console().width)).print(table)


if __name__ == "__main__":
    sys.exit(main())
