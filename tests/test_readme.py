"""What README.md says works, as it says it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from modeling_unet_svs import UNetSVSModel
from modeling_unet_svs.audio_reading import read_audio
from modeling_unet_svs.onnx_export import export_onnx

from .conftest import ROOT, noise, run, write_song
from .data_sets import make_mir1k, make_musdb18

README = (ROOT / "README.md").read_text()
# What .ci/run does, or pip, is no test of this program; and the page, which runs until it is stopped, has its own.
ELSEWHERE = ("pip install ", "python space/app.py")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    lines = [line.split("  #")[0].strip() for block in blocks("bash") for line in block.splitlines()]
    return [line.removeprefix("pip install . && ") for line in lines if line.startswith("pip install . &&")] + [
        line for line in lines if not line.startswith(ELSEWHERE)
    ]


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    for name in ("song.mp3", "music/one.wav", "music/album/two.flac"):
        write_song(folder / name, noise(2, 50_000))
    make_musdb18(folder / "musdb18")
    make_mir1k(folder / "mir1k")
    # For the snippets, in whichever order they and the commands are tried.
    export_onnx(model, folder / "graphs")
    return folder


def test_every_command_works(folder):
    """With tiny data sets, and a training of two steps."""
    assert len(commands()) >= 7
    places = {
        "--musdb_dir DIR": f"--musdb_dir {folder / 'musdb18'}",
        "--mir1k_dir DIR": f"--mir1k_dir {folder / 'mir1k'}",
        "runs/": f"{folder}/runs/",
        "--output results": f"--output {folder}/results",
        "launch train": "launch train --max_train_steps 2 --train_batch_size 1",
    }
    for command in commands():
        line = command
        for place, ours in places.items():
            line = line.replace(place, ours)
        done = run("bash", "-c", line, cwd=folder if command.startswith("unet-svs") else ROOT)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    stems = (
        "separated/song/vocals.wav",
        "separated/song/accompaniment.flac",
        "stems/album/two/vocals.wav",
        "vocals.wav",
    )
    for stem in stems:
        assert read_audio(folder / stem)[0].shape == (2, 50_000)


def test_every_snippet_works(folder, monkeypatch):
    monkeypatch.chdir(folder)
    waveform = noise(2, 48_000)
    names = {"waveform": waveform, "blocks": np.split(waveform, 4, axis=1)}
    for snippet in blocks("python"):
        exec(snippet, names)
        if "stems[" in snippet:
            assert names["stems"]["vocals"].shape == waveform.shape
    assert names["paper"].num_parameters() == 9_823_313
    assert isinstance(names["model"], UNetSVSModel)


def test_every_file_that_is_linked_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    for link in links:
        assert link.startswith("https://") or (ROOT / link).is_file(), link
        assert not link.endswith(".png") or (ROOT / link).stat().st_size < 400_000, link
    for name in re.findall(r"`(\w+\.py)`", README):
        assert (ROOT / "modeling_unet_svs" / name).is_file(), name


def test_its_scores_are_those_of_the_results():
    for stem, rows in {"vocals": 2, "accompaniment": 2}.items():
        for metric, statistic in (("sdr", "mean"), ("museval", "median")):
            values = []
            for model in ("mixture", "full_band", "irm"):
                path = ROOT / "train" / "results" / f"musdb18-7s_test_{model}.json"
                values.append(json.loads(path.read_text())["summary"][metric][stem]["sdr"][statistic])
            assert " | ".join(f"{value:.2f}" for value in values) in README
        assert len(re.findall(rf"^\| {stem}, ", README, flags=re.MULTILINE)) == rows
