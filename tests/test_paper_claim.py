"""The experiment behind the project: the U-Net against its twin without skip connections."""

import itertools
import json
from dataclasses import asdict

import pytest
from accelerate.state import AcceleratorState
from train.paper_claim import NETWORKS, Run, rows_of, table

from modeling_unet_svs.command.torch_runtime import load_checkpoint
from train import evaluate, paper_claim
from train.__main__ import main as train_main

from .conftest import call_main


def write_results(path, values):
    songs = {str(index): {"bss_eval_v3": {"vocals": scores}} for index, scores in enumerate(values)}
    path.write_text(json.dumps({"data": {"name": "A", "split": "test"}, "songs": songs}))
    return path


def test_statistics_are_over_the_songs_of_all_seeds(tmp_path):
    def songs(*nsdr):
        return [{"nsdr": value, "sir": 1.0, "sar": 2.0} for value in nsdr]

    first, second = (write_results(tmp_path / f"{n}.json", songs(*v)) for n, v in enumerate(((1.0, 3.0), (5.0, 7.0))))
    unet, twin = (Run("vocals", network, 0) for network in NETWORKS)
    rows, panels = rows_of([(unet, first), (unet, second), (twin, first)])
    nsdr = next(row for row in rows if (row["network"], row["metric"]) == ("U-Net", "nsdr"))
    assert nsdr["seeds"] == [2.0, 6.0]
    assert (nsdr["mean"], nsdr["min"], nsdr["max"], nsdr["songs"]) == (4.0, 1.0, 7.0, 2)
    assert nsdr["std"] == pytest.approx(5**0.5)
    assert panels["NSDR, A, test"]["vocals\nwithout skips"].tolist() == [1.0, 3.0]
    assert "| A, test | vocals | U-Net | NSDR | 4.00 | 2.24 | 1.00 | 7.00 | 2.00, 6.00 |" in table(rows)


def test_both_networks_are_trained_scored_and_drawn_and_none_twice(training_root, tmp_path, monkeypatch, capsys):
    modules = {"train": train_main, "train.evaluate": evaluate.main}
    called = []

    def run(module, *flags):
        called.append(module)
        AcceleratorState._reset_state(reset_partial_state=True)
        assert call_main(modules[module], *flags) == 0

    output = tmp_path / "claim"
    runs = tuple(Run("vocals", network, 0) for network in NETWORKS)
    monkeypatch.setattr(paper_claim, "call", run)
    monkeypatch.setattr(paper_claim, "RUNS", runs)
    flags = {"musdb_dir": training_root / "musdb18", "mir1k_dir": training_root / "mir-1k", "output_dir": output}
    flags |= {"recipe": training_root / "small.json", "max_train_steps": 2, "warmup_steps": 1, "train_batch_size": 2}
    flags |= {"mixed_precision": "no"}
    given = [part for name, value in flags.items() for part in (f"--{name}", value)]
    assert call_main(paper_claim.main, *given) == 0
    assert called == ["train"] * 2 + ["train.evaluate"] * 4
    configs = [asdict(load_checkpoint(output / run.name).config) for run in runs]
    assert [config.pop("skip_connections") for config in configs] == [True, False]
    assert configs[0] == configs[1]
    rows = json.loads((output / "paper_claim.json").read_text())["rows"]
    expected = {*itertools.product(NETWORKS.values(), ("nsdr", "sir", "sar"))}
    assert {(row["network"], row["metric"]) for row in rows} == expected
    assert table(rows) in capsys.readouterr().out
    assert (output / "paper_claim.png").stat().st_size > 10_000
    assert call_main(paper_claim.main, *given) == 0
    assert called[6:] == ["train.evaluate"] * 4
