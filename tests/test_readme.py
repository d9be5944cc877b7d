"""What README.md and docs/ say works, as they say it."""

import importlib.util
import json
import re
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import datasets
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from modeling_unet_svs import OnnxSeparator, UNetSVSModel
from modeling_unet_svs.audio_reading import read_audio
from modeling_unet_svs.command.cli import main
from modeling_unet_svs.onnx.export import export_onnx

from .conftest import ROOT, noise, run, write_song
from .data_sets import make_mir1k, make_musdb18, make_song_folders, write_parquet
from .hub_stub import hub_environment, hub_stub
from .speech_models import make_wavlm, make_whisper

README = (ROOT / "README.md").read_text()
WORKED_EXAMPLE = ROOT / "docs" / "finetuning.md"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What .ci/run does, or pip, is no test of this program. The page, which runs until it is stopped, and many processes
# have their own.
ELSEWHERE = ("pip install ", "python space/app.py", "torchrun --nproc_per_node")
# `python -m tests.benchmarks.usefulness` needs these and runs their recipes on music.
LACKING = [name for name in ("librosa", "resemblyzer") if importlib.util.find_spec(name) is None]
NUM_SAMPLES = 50_000
QUICKLY = ("launch --quiet train", "launch --quiet train --max_train_steps 2 --train_batch_size 1")


def blocks(language: str, document: Path) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(), flags=re.DOTALL)


def commands() -> list[str]:
    lines = [
        line.split("  #")[0].split(" # ")[0].strip().removeprefix("pip install . && ")
        for document in DOCUMENTS
        if document != WORKED_EXAMPLE
        for block in blocks("bash", document)
        for line in block.splitlines()
    ]
    return [line for line in lines if not line.startswith(ELSEWHERE)]


@pytest.fixture(scope="module")
def folder(model, checkpoint, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    for name in ("song.mp3", "music/one.wav", "music/album/two.flac", "instrumentals/one.wav", "voices/a/1.wav"):
        write_song(folder / name, noise(2, NUM_SAMPLES))
    make_musdb18(folder / "musdb18")
    make_mir1k(folder / "mir1k")
    make_song_folders(folder / "songs")
    # For the snippets, in whichever order they and the commands are tried.
    export_onnx(checkpoint, model.config, folder / "graphs")
    return folder


def works(command: str, folder: Path, monkeypatch) -> str | None:
    """Runs a command, ours in this process, which spares its start; returns what it says when it fails."""
    if not command.startswith("unet-svs") or "<" in command:
        where = folder if command.startswith("unet-svs") else ROOT
        done = run("bash", "-c", command, exits=None, cwd=where)
        return done.stderr if done.returncode else None
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit) as exited:
        main()
    return f"code {exited.value.code}" if exited.value.code else None


def test_every_command_works(folder, monkeypatch):
    """With tiny data sets, and trainings of two steps."""
    assert len(commands()) >= 9
    data = {"musdb": "musdb18", "mir1k": "mir1k", "stems": "songs", "instrumentals": "instrumentals"}
    data["voices"] = "voices"
    places = {f"--{kind}_dir DIR": f"--{kind}_dir {folder / name}" for kind, name in data.items()}
    places |= {
        "--model checkpoints/": f"--model {ROOT}/checkpoints/",
        "--output results": f"--output {folder}/results",
        # Ours stays as it is.
        "longer modeling_unet_svs/checkpoint": f"longer {folder}/packaged",
        "runs/": f"{folder}/runs/",
        QUICKLY[0]: QUICKLY[1],
    }
    for command in commands():
        line = re.sub(r" --max_train_steps \d+", "", command)
        for place, ours in places.items():
            line = line.replace(place, ours)
        failed = works(line, folder, monkeypatch)
        assert failed is None, f"{command}: {failed}"
    stems = ("separated/song/vocals.wav", "separated/song/accompaniment.flac", "stems/album/two/vocals.wav")
    for stem in (*stems, "vocals.wav"):
        assert read_audio(folder / stem)[0].shape == (2, NUM_SAMPLES)


def test_the_worked_example_works(tmp_path, monkeypatch):
    """All its commands in order, from folders of recordings to a Hub, with a training of two steps."""
    for name in ("one", "two", "three"):
        write_song(tmp_path / f"recordings/{name}-voice.wav", noise(1, NUM_SAMPLES, seed=len(name)))
        write_song(tmp_path / f"recordings/{name}-music.wav", noise(2, NUM_SAMPLES, seed=len(name) + 9))
    write_song(tmp_path / "concert.mp3", noise(2, NUM_SAMPLES))
    for code in ("modeling_unet_svs", "train"):
        (tmp_path / code).symlink_to(ROOT / code)
    with hub_stub() as hub:
        for block in blocks("bash", WORKED_EXAMPLE):
            if block.startswith("unet-svs"):
                assert [works(line, tmp_path, monkeypatch) for line in block.splitlines()] == [None, None]
            else:
                run("bash", "-ec", block.replace(*QUICKLY), cwd=tmp_path, env=hub_environment(hub.url))
    assert (tmp_path / "runs/mine/dry_run/01 vocals.wav").is_file()
    for moment in ("before", "after"):
        results = json.loads((tmp_path / f"{moment}.json").read_text())
        assert [*results["songs"]] == ["three"]
        assert (tmp_path / moment / "concert/vocals.wav").is_file()
    page = (tmp_path / "listen" / "index.html").read_text()
    assert "<h2>three</h2>" in page
    assert len(re.findall(r'class="score">-?\d+\.\d\d<', page)) == 4
    (commit,) = hub.commits
    assert commit["model.safetensors"] == (tmp_path / "runs/mine/best/model.safetensors").read_bytes()
    assert "It started from the weights of unet-svs" in commit["README.md"].decode()


def snippets(document: str, **names: object) -> dict[str, object]:
    """Runs the snippets of a document one after the other, and returns what they leave."""
    for snippet in blocks("python", ROOT / document):
        if any(f"import {name}" in snippet or f"from {name}" in snippet for name in LACKING):
            continue
        names["stems"] = None
        exec(snippet, names)
        if "stems[" in snippet or "stems = OnnxSeparator" in snippet:
            assert names["stems"]["vocals"].shape == names["waveform"].shape
    return names


def test_every_snippet_works(folder, monkeypatch):
    monkeypatch.chdir(folder)
    waveform = noise(2, 48_000)
    assert isinstance(snippets("README.md", waveform=waveform)["model"], UNetSVSModel)
    names = snippets("docs/python.md", waveform=waveform, blocks=np.split(waveform, 4, axis=1))
    assert names["paper"].num_parameters() == 9_823_313
    assert_serves(names["app"], names["model"], folder)


def assert_serves(app: FastAPI, model: OnnxSeparator, folder: Path) -> None:
    """Uploads from several threads get the vocals of their own songs; what is no song gets a sentence."""
    songs = [write_song(folder / f"upload {seed}.wav", noise(2, 40_000, seed=seed)) for seed in range(3)]
    client = TestClient(app)
    with ThreadPoolExecutor(3) as pool:
        answers = [*pool.map(lambda song: client.post("/vocals", files={"song": song.read_bytes()}), songs)]
    for song, answer in zip(songs, answers):
        stem = folder / "answer.flac"
        stem.write_bytes(answer.content)
        expected = model.separate(*read_audio(song))["vocals"]
        assert np.abs(read_audio(stem)[0] - expected).max() <= 2.0**-15
    answer = client.post("/vocals", files={"song": b"la la la"})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("This song is not an audio file")


def test_every_recipe_works(tmp_path, monkeypatch):
    """With tiny models of random weights instead of those of the Hub, and songs in Parquet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    song = write_song(tmp_path / "song.mp3", noise(2, NUM_SAMPLES))
    rows = {"audio": [{"bytes": song.read_bytes(), "path": song.name}] * 2}
    write_parquet(tmp_path / "USER/SONGS/train.parquet", rows)
    make_whisper(tmp_path / "openai/whisper-small")
    make_wavlm(tmp_path / "microsoft/wavlm-base-plus-sv")
    names = snippets("docs/recipes.md")

    mixture, rate = read_audio(song)
    karaoke, karaoke_rate = read_audio("karaoke.wav")
    assert karaoke_rate == rate
    assert np.abs(karaoke - mixture + 0.8 * names["vocals"]["audio"]).max() < 1e-5
    assert names["lyrics"]["text"] == "".join(line["text"] for line in names["lyrics"]["chunks"]) != ""
    assert names["singer"].shape == (8,)
    saved = datasets.load_from_disk("songs-with-stems")
    assert len(saved) == 2
    for row in saved.with_format("arrow"):
        total = 0
        for name in ("vocals", "accompaniment"):
            (stem,) = row[name].to_pylist()
            Path("stem").write_bytes(stem["bytes"])
            total = total + read_audio("stem")[0]
        assert np.abs(total - mixture).max() <= 2.0**-14


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)", document.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_file_that_is_linked_is_there(document):
    for link in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        path = document.parent / name if name else document
        assert path.is_file(), link
        assert not anchor or anchor in anchors(path), link
        assert path.suffix != ".png" or path.stat().st_size < 400_000, link
    for name in re.findall(r"`([\w/]+\.py)`", document.read_text()):
        assert (ROOT / "modeling_unet_svs" / name).is_file(), name


def test_every_document_is_linked():
    for document in DOCUMENTS[1:]:
        assert f"](docs/{document.name}" in README, document.name


def test_its_scores_are_those_of_the_results():
    for stem in ("vocals", "accompaniment"):
        for metric, statistic in (("sdr", "mean"), ("museval", "median")):
            values = []
            for model in ("mixture", "full_band", "irm"):
                path = ROOT / "train" / "results" / f"musdb18-7s_test_{model}.json"
                values.append(json.loads(path.read_text())["summary"][metric][stem]["sdr"][statistic])
            assert " | ".join(f"{value:.2f}" for value in values) in README
        assert len(re.findall(rf"^\| {stem}, ", README, flags=re.MULTILINE)) == 2
