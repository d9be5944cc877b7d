"""Songs are decoded once, whatever happens in between."""

import multiprocessing
import resource
import shutil
import signal
import time
from unittest.mock import Mock

import datasets
import numpy as np
import pytest

from train.data import cache as decoded_cache
from train.data.cache import decode_songs, open_stem
from train.data.folders import load_mir1k, load_musdb18, load_song_collection

from . import data_sets
from .conftest import raises_one_line, write_song
from .data_sets import RATE, TRAIN_SONGS, backing_of, make_musdb18_hq, make_song_folders, stems_of


@pytest.fixture
def decoding(monkeypatch) -> Mock:
    """Notes which stems are decoded in a test."""
    noting = Mock(wraps=decoded_cache.decode_stem)
    monkeypatch.setattr(decoded_cache, "decode_stem", noting)
    return noting


def in_another_process(decode) -> multiprocessing.Process:
    """A real process, which has all modules already. Nothing is resampled in it: PyTorch's threads do not survive."""
    process = multiprocessing.get_context("fork").Process(target=decode)
    process.start()
    return process


def decode_musdb18(root, cache):
    return decode_songs(load_musdb18(root / "musdb18", "train"), cache, RATE, 2)


def test_songs_are_decoded_once_and_again_when_they_or_the_settings_change(training_root, tmp_path, decoding):
    shutil.copytree(training_root / "mir-1k", tmp_path / "mir-1k")
    songs = load_mir1k(tmp_path / "mir-1k", "train")
    before = decode_songs(songs, tmp_path / "cache", 16_000, 1)
    assert decode_songs(songs, tmp_path / "cache", 16_000, 1) == before
    assert decoding.call_count == len(list((tmp_path / "cache").glob("*.npy"))) == 4
    path = tmp_path / "mir-1k" / "amy_1_02.wav"
    status, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # one bit, in the middle, at the same size
    path.write_bytes(content)
    assert path.stat().st_size == status.st_size
    after = decode_songs(songs, tmp_path / "cache", 16_000, 1)
    again = [(song.name, stem) for song, stem in (call.args for call in decoding.mock_calls[4:])]
    assert again == [("amy_1_02", "accompaniment"), ("amy_1_02", "vocals")]
    assert after[0] == before[0]
    assert not set(after[1].stems.values()) & set(before[1].stems.values())
    decode_songs(songs, tmp_path / "cache", 8_000, 1)
    assert decoding.call_count == len(list((tmp_path / "cache").glob("*.npy"))) == 10


@pytest.mark.faults
def test_a_killed_call_leaves_no_half_file_and_the_next_one_goes_on(training_root, tmp_path):
    process = in_another_process(lambda: decode_musdb18(training_root, tmp_path))
    while process.is_alive() and len(list(tmp_path.glob("*.npy"))) < 3:
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    survivors = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    assert 3 <= len(survivors) < 12
    assert all(np.isfinite(open_stem(path)).all() for path in survivors)
    songs = decode_musdb18(training_root, tmp_path)
    files = [file for song in songs for file in song.stems.values()]
    assert sorted(files) == sorted(tmp_path.glob("*.npy"))
    assert {path: path.stat().st_mtime_ns for path in survivors} == survivors


def test_progress_is_said_and_what_a_killed_call_left_of_a_file_is_removed(training_root, tmp_path, caplog, capsys):
    songs = decode_musdb18(training_root, tmp_path / "whole")
    assert "Decoding: 100%" in capsys.readouterr().err
    assert not caplog.records
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f".{songs[0].stems['vocals'].name}.1.partial").write_bytes(b"left behind")
    decode_musdb18(training_root, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.partial"))


def test_two_processes_that_start_together_decode_each_stem_once(training_root, tmp_path, decoding):
    results = multiprocessing.get_context("fork").SimpleQueue()

    def decode():
        songs = decode_musdb18(training_root, tmp_path)
        results.put((repr(songs), [(song.name, stem) for song, stem in (call.args for call in decoding.mock_calls)]))

    processes = [in_another_process(decode) for _ in range(2)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    (first, decoded), (second, more) = results.get(), results.get()
    assert len(decoded + more) == len({*decoded, *more}) == 12
    assert first == second


@pytest.mark.faults
def test_a_disk_that_fills_up_is_one_line_and_leaves_no_part_of_a_file(training_root, tmp_path):
    """A real failure in the middle of a write: the system refuses files of more than 60 kB."""

    def decode():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        try:
            decode_musdb18(training_root, tmp_path / "cache")
        except ValueError as error:
            (tmp_path / "error").write_text(str(error))

    in_another_process(decode).join()
    assert (tmp_path / "error").read_text() == (
        f"--cache_dir {tmp_path / 'cache'}: the disk is full. What is decoded is kept: make space and start again, or "
        "choose another folder."
    )
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix in (".npy", ".partial")]


def test_a_folder_that_cannot_be_written_to_is_named(training_root, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="--cache_dir .*file.* cannot be written to"):
        decode_songs(load_mir1k(training_root / "mir-1k", "train"), tmp_path / "file" / "cache", 16_000, 1)


BROKEN = {
    "NaN": "bass.wav: has samples that are NaN or infinite",
    "shorter": "'Somebody - Two' differ in length.*bass 0.45 s",
    "differently sampled": "'Somebody - Two': .*bass.wav has 48000 Hz where the other stems have 44100 Hz",
    "no audio": "bass.wav: is not an audio file",
}


@pytest.mark.parametrize(("how", "said"), BROKEN.items())
def test_a_broken_song_is_named_or_left_out(tmp_path, how, said, caplog):
    path = make_musdb18_hq(tmp_path / "data") / "train" / TRAIN_SONGS[1] / "bass.wav"
    bass = stems_of(TRAIN_SONGS[1])["bass"][:, : 20_000 if how == "shorter" else None]
    write_song(path, bass, 48_000 if how == "differently sampled" else RATE, subtype="float")
    if how == "NaN":
        content = path.read_bytes()
        path.write_bytes(content[:-8] + np.float32(np.nan).tobytes() + content[-4:])
    if how == "no audio":
        path.write_text("nothing")
    songs = load_musdb18(tmp_path / "data", "train")
    with raises_one_line(said):
        decode_songs(songs, tmp_path / "cache", 16_000, 2)
    kept = decode_songs(songs, tmp_path / "cache", 16_000, 2, skip_broken_songs=True)
    assert sorted(song.name for song in kept) == sorted({*TRAIN_SONGS} - {TRAIN_SONGS[1]})
    assert "left out: " in caplog.text


def test_mono_stems_are_made_stereo_and_that_is_said_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("train.data.songs._said", set())
    for song in TRAIN_SONGS[:2]:
        stems = stems_of(song)
        write_song(tmp_path / song / "vocals.wav", stems["vocals"][:1], RATE)
        write_song(tmp_path / song / "accompaniment.wav", stems["other"], RATE)
    songs = decode_songs(sum(load_song_collection(tmp_path).values(), []), tmp_path / "cache", RATE, 2)
    assert len([record for record in caplog.records if "mono stems are made stereo" in record.message]) == 1
    for song in songs:
        vocals = song.stem("vocals")
        assert np.array_equal(vocals[0], vocals[1])
        assert np.allclose(vocals, stems_of(song.name)["vocals"], atol=1e-3)


def test_an_accompaniment_that_is_a_difference_is_decoded_to_it(tmp_path):
    found = sum(load_song_collection(make_song_folders(tmp_path / "data")).values(), [])
    (song,) = decode_songs([song for song in found if song.name == TRAIN_SONGS[1]], tmp_path / "cache", RATE, 2)
    assert list(song.stems) == ["accompaniment", "vocals"]
    assert np.allclose(song.stem("accompaniment"), backing_of(stems_of(TRAIN_SONGS[1])), atol=2e-3)


def test_audio_inside_a_data_set_is_decoded_as_the_same_files_are(tmp_path, monkeypatch, decoding):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub-cache")
    songs = load_song_collection(data_sets.make_columns(tmp_path / "hub"))["train"]
    decoded = decode_songs(songs, tmp_path / "cache", 16_000, 2)
    assert decoding.call_count == len(list((tmp_path / "cache").glob("*.npy"))) == 12
    assert decode_songs(songs, tmp_path / "cache", 16_000, 2) == decoded
    assert decoding.call_count == 12
    folders = load_musdb18(make_musdb18_hq(tmp_path / "folders"), "train")
    of_files = {song.name: song for song in decode_songs(folders, tmp_path / "cache", 16_000, 2)}
    for song in decoded:
        assert list(song.stems) == list(of_files[song.name].stems)
        assert all(np.array_equal(song.stem(name), of_files[song.name].stem(name)) for name in song.stems)
