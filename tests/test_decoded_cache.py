"""Songs are decoded once, whatever happens in between."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest

from train.data import cache as decoded_cache
from train.data.cache import ContentFingerprints, decode_songs, open_stem
from train.data.folders import load_mir1k, load_musdb18, load_song_collection

from . import hub_data_sets as hub
from .conftest import write_song
from .data_sets import RATE, TRAIN_SONGS, make_mir1k, make_musdb18, make_musdb18_hq, make_song_folders, stems_of


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("decoded")
    make_musdb18(root / "musdb18")
    make_mir1k(root / "mir-1k")
    return root


@pytest.fixture
def decoded_stems(monkeypatch) -> list[str]:
    """Names of the stems that are decoded in a test."""
    names = []
    decode = decoded_cache.decode_stem

    def noted(song, stem, *settings):
        names.append(f"{song['name']} {stem}")
        return decode(song, stem, *settings)

    monkeypatch.setattr(decoded_cache, "decode_stem", noted)
    return names


def in_another_process(decode: Callable[[], None]) -> multiprocessing.Process:
    """A real process, which has all modules already. Nothing is resampled in it: PyTorch's threads do not survive."""
    process = multiprocessing.get_context("fork").Process(target=decode)
    process.start()
    return process


def decode_musdb18(root: Path, cache: Path) -> datasets.Dataset:
    return decode_songs(load_musdb18(root / "musdb18", "train"), cache, RATE, 2)


def test_a_copy_of_the_data_elsewhere_is_not_decoded_again(root, tmp_path, decoded_stems):
    first = decode_songs(load_mir1k(root / "mir-1k", "train"), tmp_path / "cache", 16_000, 1)
    assert len(decoded_stems) == 4
    shutil.copytree(root / "mir-1k", tmp_path / "copy")  # with new times of change
    second = decode_songs(load_mir1k(tmp_path / "copy", "train"), tmp_path / "cache", 16_000, 1)
    assert len(decoded_stems) == 4
    assert first.to_list() == second.to_list()


def test_other_content_at_the_same_place_is_decoded(root, tmp_path, decoded_stems):
    shutil.copytree(root / "mir-1k", tmp_path / "mir-1k")
    songs = load_mir1k(tmp_path / "mir-1k", "train")
    before = decode_songs(songs, tmp_path / "cache", 16_000, 1)
    path = tmp_path / "mir-1k" / "amy_1_02.wav"
    status, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # one bit, in the middle, at the same size
    path.write_bytes(content)
    assert path.stat().st_size == status.st_size
    after = decode_songs(songs, tmp_path / "cache", 16_000, 1)
    assert decoded_stems[4:] == ["amy_1_02 accompaniment", "amy_1_02 vocals"]
    assert after[0] == before[0]
    assert after[1]["stem_files"] != before[1]["stem_files"]


def test_bytes_are_read_once_and_a_damaged_memory_of_them_is_ignored(root, tmp_path, monkeypatch):
    (path,) = (root / "mir-1k").glob("amy_1_01.wav")
    index = tmp_path / "fingerprints.jsonl"
    fingerprint = ContentFingerprints(index).of_file(path)
    content = pa.py_buffer(path.read_bytes())
    assert fingerprint == ContentFingerprints(index).of_embedded(content, "data set", 3, "vocals")
    index.write_text('["half a li\n' + index.read_text() + "[1]\n")
    remembered = ContentFingerprints(index)
    monkeypatch.setattr("builtins.open", None)
    assert remembered.of_file(path) == fingerprint
    assert remembered.of_embedded(pa.py_buffer(b""), "data set", 3, "vocals") == fingerprint


@pytest.mark.faults
def test_a_killed_call_leaves_no_half_file_and_the_next_one_goes_on(root, tmp_path):
    process = in_another_process(lambda: decode_musdb18(root, tmp_path))
    while process.is_alive() and len(list(tmp_path.glob("*.npy"))) < 3:
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    survivors = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    assert 3 <= len(survivors) < 12
    assert all(np.isfinite(open_stem(path)).all() for path in survivors)
    songs = decode_musdb18(root, tmp_path)
    files = [Path(file["file"]) for song in songs for file in song["stem_files"]]
    assert sorted(files) == sorted(tmp_path.glob("*.npy"))
    assert {path: path.stat().st_mtime_ns for path in survivors} == survivors


def test_what_a_killed_call_left_of_a_file_is_removed(root, tmp_path):
    songs = decode_musdb18(root, tmp_path / "whole")
    names = [Path(file["file"]).stem for song in songs for file in song["stem_files"]]
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"{names[0]}.1.partial").write_bytes(b"left behind")
    decode_musdb18(root, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.partial"))


def test_two_processes_that_start_together_decode_each_stem_once(root, tmp_path, monkeypatch):
    def decode():
        decode_stem = decoded_cache.decode_stem

        def noted(song, stem, *settings):
            with open(tmp_path / f"decoded by {os.getpid()}", "a") as file:
                file.write(f"{song['name']} {stem}\n")
            return decode_stem(song, stem, *settings)

        decoded_cache.decode_stem = noted
        songs = decode_musdb18(root, tmp_path / "cache")
        (tmp_path / f"rows of {os.getpid()}").write_text(json.dumps(songs.to_list()))

    processes = [in_another_process(decode) for _ in range(2)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    decoded = [line for file in tmp_path.glob("decoded by *") for line in file.read_text().splitlines()]
    assert len(decoded) == len(set(decoded)) == 12
    rows = [file.read_text() for file in tmp_path.glob("rows of *")]
    assert len(rows) == 2
    assert rows[0] == rows[1]


def test_a_size_is_said_first_and_is_right(root, tmp_path, caplog, capsys):
    with caplog.at_level(logging.WARNING):
        decode_songs(load_musdb18(root / "musdb18", "train"), tmp_path, 44_100, 2)
    (said,) = [record for record in caplog.records if record.message.startswith("decoding 3 songs")]
    size = sum(path.stat().st_size for path in tmp_path.glob("*.npy"))
    assert f"about {size / 1e6:.1f} MB" in said.message
    assert "Decoding: 100%" in capsys.readouterr().err
    caplog.clear()
    decode_songs(load_musdb18(root / "musdb18", "train"), tmp_path, 44_100, 2)
    assert not caplog.records


def test_too_little_space_is_said_before_anything_is_decoded(root, tmp_path, monkeypatch, decoded_stems):
    monkeypatch.setattr(decoded_cache.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 10**6))
    with pytest.raises(ValueError, match=r"--cache_dir .* need about 2.1 MB, and 1.0 MB are free there"):
        decode_songs(load_musdb18(root / "musdb18", "train"), tmp_path, 44_100, 2)
    assert not decoded_stems


@pytest.mark.faults
def test_a_disk_that_fills_up_is_one_line_and_leaves_no_part_of_a_file(root, tmp_path):
    """A real failure in the middle of a write: the system refuses files of more than 60 kB."""

    def decode():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        try:
            decode_musdb18(root, tmp_path / "cache")
        except ValueError as error:
            (tmp_path / "error").write_text(str(error))

    in_another_process(decode).join()
    assert (tmp_path / "error").read_text() == (
        f"--cache_dir {tmp_path / 'cache'}: the disk is full. What is decoded is kept: make space and start again, or "
        "choose another folder."
    )
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix in (".npy", ".partial")]


def test_a_folder_that_cannot_be_written_to_is_named(root, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="--cache_dir .*file.* cannot be written to"):
        decode_songs(load_mir1k(root / "mir-1k", "train"), tmp_path / "file" / "cache", 16_000, 1)


def broken(folder: Path, how: str) -> str:
    """Breaks one stem of a song; returns what the error says."""
    path = folder / "train" / TRAIN_SONGS[1] / "bass.wav"
    bass = stems_of(TRAIN_SONGS[1])["bass"]
    if how == "NaN":
        write_song(path, bass, RATE, subtype="float")
        content = path.read_bytes()
        path.write_bytes(content[:-8] + np.float32(np.nan).tobytes() + content[-4:])
        return r"bass.wav: has samples that are NaN or infinite"
    if how == "shorter":
        write_song(path, bass[:, :20_000], RATE)
        return r"'Somebody - Two' differ in length.*bass 0.45 s"
    if how == "differently sampled":
        write_song(path, bass, 48_000)
        return r"'Somebody - Two': .*bass.wav has 48000 Hz where the other stems have 44100 Hz"
    path.write_text("nothing")
    return r"bass.wav: is no audio file"


@pytest.mark.parametrize("how", ["NaN", "shorter", "differently sampled", "no audio"])
def test_a_broken_song_is_named_or_left_out(tmp_path, how, caplog):
    said = broken(make_musdb18_hq(tmp_path / "data"), how)
    songs = load_musdb18(tmp_path / "data", "train")
    with pytest.raises(ValueError, match=said) as error:
        decode_songs(songs, tmp_path / "cache", 16_000, 2)
    assert "\n" not in str(error.value)
    kept = decode_songs(songs, tmp_path / "cache", 16_000, 2, skip_broken_songs=True)
    assert sorted(kept["name"]) == sorted({*TRAIN_SONGS} - {TRAIN_SONGS[1]})
    assert "left out: " in caplog.text


def test_mono_stems_are_made_stereo_and_that_is_said_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("train.data.songs._said", set())
    for song in TRAIN_SONGS[:2]:
        stems = stems_of(song)
        write_song(tmp_path / song / "vocals.wav", stems["vocals"][:1], RATE)
        write_song(tmp_path / song / "accompaniment.wav", stems["other"], RATE)
    tables = [part for part in load_song_collection(tmp_path).values() if len(part)]
    songs = decode_songs(datasets.concatenate_datasets(tables), tmp_path / "cache", RATE, 2)
    assert len([record for record in caplog.records if "mono stems are made stereo" in record.message]) == 1
    for song in songs:
        stems = {file["stem"]: open_stem(file["file"]) for file in song["stem_files"]}
        assert np.array_equal(stems["vocals"][0], stems["vocals"][1])
        assert np.allclose(stems["vocals"], stems_of(song["name"])["vocals"], atol=1e-3)


def test_an_accompaniment_that_is_a_difference_is_decoded_to_it(tmp_path):
    tables = [part for part in load_song_collection(make_song_folders(tmp_path / "data")).values() if len(part)]
    songs = decode_songs(datasets.concatenate_datasets(tables), tmp_path / "cache", RATE, 2)
    (song,) = [song for song in songs if song["name"] == TRAIN_SONGS[1]]
    files = {file["stem"]: file["file"] for file in song["stem_files"]}
    assert list(files) == ["accompaniment", "vocals"]
    wanted = stems_of(TRAIN_SONGS[1])
    backing = wanted["drums"] + wanted["bass"] + wanted["other"]
    assert np.allclose(open_stem(files["accompaniment"]), backing, atol=2e-3)


def test_audio_inside_a_data_set_is_decoded_as_the_same_files_are(tmp_path, monkeypatch, decoded_stems):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub-cache")
    songs = load_song_collection(hub.make_columns(tmp_path / "hub"))["train"]
    decoded = decode_songs(songs, tmp_path / "cache", 16_000, 2)
    assert len(decoded_stems) == 12
    assert json.dumps(decoded.to_list()).count(".npy") == 12
    folders = load_musdb18(make_musdb18_hq(tmp_path / "folders"), "train")
    again = decode_songs(folders, tmp_path / "cache", 16_000, 2)
    assert len(decoded_stems) == 12
    key = lambda song: song["name"]  # noqa: E731
    files = [[song["stem_files"] for song in sorted(part, key=key)] for part in (decoded, again)]
    assert files[0] == files[1]
