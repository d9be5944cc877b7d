"""Many songs on several processes: each once, what is finished left out, what is broken told in a report."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from modeling_unet_svs.audio_reading import read_audio
from modeling_unet_svs.command import batch as batch_separation
from modeling_unet_svs.command.batch import SeparationOptions, separate_all
from modeling_unet_svs.command.torch_runtime import with_less_memory

from .conftest import ROOT, noise, run, write_song

NUM_SONGS, NUM_SAMPLES = 4, 20_000
SONGS = [f"music/album/{index}.wav" for index in range(NUM_SONGS)]
BROKEN = "music/album/broken.wav"


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder of songs, one of them broken."""
    monkeypatch.chdir(tmp_path)
    for index, song in enumerate(SONGS):
        write_song(tmp_path / song, noise(1, NUM_SAMPLES, seed=index))
    Path(BROKEN).write_text("no song")
    return tmp_path


@pytest.fixture
def separate(here, model):
    """Separates in this process, as the command does without a launcher, and returns the report."""

    def call(*inputs: str, output_dir: str = "separated") -> list[dict]:
        failed = separate_all(
            map(Path, inputs),
            Path(output_dir),
            SeparationOptions(lambda: model, model.config.stems),
            Path("report.jsonl"),
        )
        songs = read_report("report.jsonl")
        assert failed == statuses(songs).count("failed")
        return songs

    return call


def read_report(name: str) -> list[dict]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def statuses(songs: list[dict]) -> list[str]:
    return [song["status"] for song in songs]


def test_two_processes_do_each_song_once_and_report_what_one_process_does(separate, checkpoint):
    command = ["torchrun", "--standalone", "--nproc_per_node", "2", "-m", "modeling_unet_svs", "separate", "music"]
    command += ["--output-dir", "two", "--report", "two.jsonl"]
    environment = {"PYTHONPATH": str(ROOT)}
    done = run(*command, "--model", checkpoint, "--dtype", "float32", exits=1, env=environment, cwd=Path.cwd())
    songs = read_report("two.jsonl")
    expected = [(song, "done", NUM_SAMPLES) for song in SONGS] + [(BROKEN, "failed", None)]
    assert [(song["input"], song["status"], song["num_samples"]) for song in songs] == expected
    assert songs[-1]["error"].startswith(f"{BROKEN}: is not an audio file")
    assert re.search(
        r"4 of 5 done in .* s by 2 processes \([\d.]+ times real time\), 1 failed: broken.wav \(see two.jsonl\)[.]",
        done.stderr,
    )
    assert sorted(done.stdout.split()) == sorted(path for song in songs[:-1] for path in song["outputs"])

    alone = separate("music", output_dir="one")
    as_two = json.loads(json.dumps(alone).replace('"one/', '"two/'))
    assert [{**song, "seconds": 0} for song in as_two] == [{**song, "seconds": 0} for song in songs]
    for stem in Path("one").rglob("*.wav"):
        assert np.allclose(read_audio(stem)[0], read_audio(Path("two", *stem.parts[1:]))[0], atol=2.0**-14)

    assert statuses(separate("music", output_dir="two")) == ["skipped"] * NUM_SONGS + ["failed"]


def test_what_a_killed_process_has_not_finished_is_done_at_the_next_start(separate, checkpoint):
    os.rename(SONGS[0], b"music/No text: \xff.wav")  # the first in order
    write_song(Path(SONGS[1]), noise(1, 100 * NUM_SAMPLES))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8:strict"}
    command = [sys.executable, "-m", "modeling_unet_svs", "separate", "music", "--model", str(checkpoint)]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert killed.stdout.readline() == b"separated/No text_ _/vocals.wav\n"
    # The second song takes a while.
    killed.kill()
    killed.communicate()
    songs = separate("music")
    assert statuses(songs)[0] == "skipped"
    assert set(statuses(songs)[1:-1]) <= {"done", "skipped"}
    for song in songs[:-1]:
        stems = [read_audio(stem)[0] for stem in song["outputs"]]
        assert np.abs(sum(stems) - read_audio(song["input"])[0]).max() <= 2.0**-14


def test_only_the_stems_that_are_missing_are_made(separate, capsys):
    separate("music")
    vocals, accompaniment = (Path(f"separated/album/0/{stem}.wav") for stem in ("vocals", "accompaniment"))
    expected, made = accompaniment.read_bytes(), vocals.stat().st_mtime_ns
    accompaniment.unlink()
    capsys.readouterr()
    songs = separate("music")
    assert statuses(songs) == ["done", *["skipped"] * (NUM_SONGS - 1), "failed"]
    assert songs[0]["duration"] == round(NUM_SAMPLES / 44_100, 3)
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"1 of 5 done in [\d.]+ s \([\d.]+ times real time\), 3 done before, 1 failed: broken.wav ", last)
    assert (vocals.stat().st_mtime_ns, accompaniment.read_bytes()) == (made, expected)


def test_stems_within_the_folder_of_the_songs_are_no_songs(separate):
    first, again = (separate("music", output_dir="music/stems") for _ in range(2))
    assert [song["input"] for song in first] == [song["input"] for song in again]


def test_ctrl_c_leaves_a_report_of_the_songs_that_are_finished(separate, monkeypatch):
    def interrupted(model, path, outputs, **how):
        if Path(path) == Path(SONGS[2]):
            how["progress_callback"](1, NUM_SAMPLES)
            raise KeyboardInterrupt
        return separate_file(model, path, outputs, **how)

    separate_file = batch_separation.separate_file
    separate(SONGS[0])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(batch_separation, "separate_file", interrupted)
        separate(BROKEN, *SONGS)
    found = [(song["input"], song["status"]) for song in read_report("report.jsonl")]
    assert found == [(BROKEN, "failed"), (SONGS[0], "skipped"), (SONGS[1], "done")]
    assert statuses(separate(BROKEN, *SONGS)) == ["failed", "skipped", "skipped", "done", "done"]


def test_a_report_that_cannot_be_written_is_told_before_any_work(separate, monkeypatch, model):
    monkeypatch.setattr(batch_separation, "separate_file", None)
    for report, said in ((Path(BROKEN, "report.jsonl"), "--report .*broken.wav"), (Path("music"), "--report music")):
        with pytest.raises(ValueError, match=said):
            separate_all(
                [Path("music")], Path("separated"), SeparationOptions(lambda: model, model.config.stems), report
            )


def test_a_full_gpu_gets_smaller_batches_and_then_the_cpu():
    model, said, tried = SimpleNamespace(device=torch.device("cuda"), dtype=torch.float32), [], []
    model.to = lambda device, dtype: vars(model).update(device=device, dtype=dtype)

    def work(batch_size: int) -> str:
        tried.append((model.device.type, batch_size))
        if model.device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return "stems"

    assert with_less_memory(work, model, 4, said.append) == ("stems", 1)
    assert tried == [("cuda", 4), ("cuda", 2), ("cuda", 1), ("cpu", 1)]
    first, second, third = said
    assert "--batch-size 2" in first and "--batch-size 1" in second and "CPU" in third
