"""From file to files: decoding, network and encoding side by side, and nothing left of what was broken off."""

import os
import threading
from contextlib import closing
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling_unet_svs.audio.reading_ahead import HangError, in_background
from modeling_unet_svs.audio.writing import AudioWriter
from modeling_unet_svs.audio_reading import AudioFileError, read_audio
from modeling_unet_svs.command.file_separation import separate_file

from .conftest import noise, write_song


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert not set(threading.enumerate()) - before


def outputs_in(folder, format="wav"):
    return {name: folder / "new" / f"{name}.{format}" for name in ("vocals", "accompaniment")}


@given(st.lists(st.integers()), st.integers(1, 5))
def test_the_order_is_kept(items, max_items):
    assert list(in_background((item for item in items), max_items)) == items


def test_no_more_is_worked_out_than_may_wait():
    worked_out = []

    def items():
        for number in range(100):
            worked_out.append(number)
            yield number

    with closing(in_background(items(), 3)) as ahead:
        for number in ahead:
            assert len(worked_out) <= number + 1 + 3
            if number == 10:
                break
    assert len(worked_out) < 20


def test_an_error_comes_where_the_item_would():
    def items():
        yield 1
        raise ValueError("broken")

    ahead = in_background(items(), 3)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)


@pytest.mark.parametrize("num_taken", [1, 3, 5])
def test_what_is_left_before_its_end_is_closed_in_its_own_thread(num_taken):
    closed_by = []

    def items():
        try:
            yield from range(5)
        finally:
            closed_by.append(threading.current_thread())

    with closing(in_background(items(), 2)) as ahead:
        assert [next(ahead) for _ in range(num_taken)] == list(range(num_taken))
    (thread,) = closed_by
    assert thread is not threading.current_thread()


def test_the_wait_for_an_item_has_a_limit():
    wanted = threading.Event()

    def items():
        yield 1
        wanted.wait()

    with closing(in_background(items(), 3, time_limit=1)) as ahead:
        assert next(ahead) == 1
        with pytest.raises(HangError, match="nothing came for 1 s"):
            next(ahead)
    wanted.set()
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        thread.join(1)


@pytest.mark.parametrize("format", ["wav", "flac"])
def test_the_files_hold_what_the_model_gives(model, tmp_path, format):
    mixture = noise(2, 200_001)
    song = write_song(tmp_path / "song.wav", mixture, subtype="24")
    assert separate_file(model, song, outputs_in(tmp_path, format), batch_size=2) == 1
    expected = model.separate(read_audio(song)[0], 44_100, batch_size=2)
    for name, path in outputs_in(tmp_path, format).items():
        assert np.abs(read_audio(path)[0] - expected[name]).max() <= 2.0**-24


@pytest.mark.parametrize("loud_second", [0, 2, 4])
def test_what_is_beyond_full_scale_is_limited_and_a_glitch_makes_nothing_quieter(model, tmp_path, loud_second):
    mixture = noise(2, 220_500)
    mixture[:, loud_second * 44_100 : loud_second * 44_100 + 4_000] *= 100
    song = write_song(tmp_path / "song.wav", mixture, subtype="float")
    scale = separate_file(model, song, outputs_in(tmp_path), subtype="16")
    # Only for what separation adds to the limited song.
    added = max(np.abs(stem).max() for stem in model.separate(np.clip(mixture, -1, 1), 44_100).values())
    assert scale == pytest.approx(1 / added, rel=2.0**-14)
    stems = [read_audio(path)[0] for path in outputs_in(tmp_path).values()]
    assert np.abs(sum(stems) - np.clip(mixture, -1, 1) * scale).max() <= 2.0**-14
    assert max(np.abs(stem).max() for stem in stems) <= 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("format", ["wav", "m4a"])
def test_what_is_broken_off_leaves_nothing_and_ends_at_once(model, tmp_path, error, format):
    song = write_song(tmp_path / "song.wav", noise(2, 2_000_000))
    heard = Mock(side_effect=[None, error])
    with pytest.raises(error):
        separate_file(model, song, outputs_in(tmp_path, format), batch_size=1, progress_callback=heard)
    assert os.listdir(tmp_path) == ["song.wav"]
    assert heard.call_count == 2


def test_a_song_that_ends_too_early_leaves_nothing(model, tmp_path):
    song = write_song(tmp_path / "song.flac", noise(2, 1_000_000))
    song.write_bytes(song.read_bytes()[:-500_000])
    with pytest.raises(AudioFileError):
        separate_file(model, song, outputs_in(tmp_path))
    assert os.listdir(tmp_path) == ["song.flac"]


def test_an_error_of_the_writing_is_told_and_leaves_nothing(model, tmp_path, monkeypatch):
    song = write_song(tmp_path / "song.wav", noise(2, 500_000))
    monkeypatch.setattr(AudioWriter, "_mux", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(AudioFileError, match="vocals.wav: cannot be written: No space left"):
        separate_file(model, song, outputs_in(tmp_path))
    assert os.listdir(tmp_path) == ["song.wav"]
