"""Audio files: read by content, sample for sample, and written whole or not at all."""

import math
import os
import pickle
import sys
from contextlib import suppress

import av
import numpy as np
import pytest
import soxr
from hypothesis import example, given
from hypothesis import strategies as st

from modeling_unet_svs.audio.writing import FORMATS, SUBTYPES, AudioWriter, check_format
from modeling_unet_svs.audio_reading import AudioFileError, AudioReader, read_audio

from .conftest import noise, raises_one_line, run, write_song
from .fuzz.seeds import encoded, make_seeds

STEP = {"16": 2.0**-15, "24": 2.0**-23, "float": 2.0**-23}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("audio")


# Frames as long as FFmpeg makes them at this rate cannot be read back.
@example("flac", "24", 156_039, 6, 13_383, [1])
# More channels than any loudspeakers need.
@example("wav", "float", 44_100, 9, 3_000, [3_000])
@example("wav", "float", 44_100, 16, 3_000, [3_000])
@example("wav", "float", 44_100, 64, 3_000, [3_000])
@given(
    st.sampled_from(("wav", "flac", "ogg")),
    st.sampled_from(tuple(SUBTYPES)),
    st.integers(4_000, 384_000),
    st.integers(1, 8),
    st.integers(1, 20_000),
    st.lists(st.integers(1, 6_000), min_size=1, max_size=4),
)
def test_lossless_formats_give_back_what_went_in(folder, format, subtype, rate, channels, length, cuts):
    """To half a step of the format, for any rate, channels, length and blocks."""
    waveform = noise(channels, length)
    path = folder / f"song.{format}"
    with AudioWriter(path, rate, channels, subtype=subtype) as writer:
        start = 0
        while start < length:
            size = cuts[start % len(cuts)]
            writer.write(waveform[:, start : start + size])
            start += size
    read, read_rate = read_audio(path)
    assert (read.shape, read_rate, read.dtype) == (waveform.shape, rate, np.float32)
    tolerance = 0 if (format, subtype) == ("wav", "float") else 0.501 * STEP[subtype]
    assert np.abs(read - waveform).max() <= tolerance
    with AudioReader(path) as reader:
        assert reader.info.num_samples == length
        assert reader.info.subtype == (subtype if format == "wav" or subtype != "float" else "24")
        assert sum(block.shape[1] for block in reader.blocks()) == length
    write_song(path, read, rate, subtype=subtype)
    assert np.array_equal(read_audio(path)[0], read)


def music(channels: int, length: int) -> np.ndarray:
    """Tones of all phases, which lossy formats keep."""
    tones = np.arange(channels)[:, None, None] + np.linspace(0.02, 0.1, 10)[:, None] * np.arange(length)
    return 0.05 * np.sin(2 * np.pi * tones).sum(1).astype(np.float32)


def assert_alike(read: np.ndarray, expected: np.ndarray) -> None:
    """Within what a shift by a single sample would change."""
    margin = min(2_000, 2 * expected.shape[1] // 5)
    inside = slice(margin, expected.shape[1] - margin)
    error = np.square(read - expected)[:, inside].mean()
    assert error < 0.1 * np.square(expected)[:, inside].mean()


@pytest.mark.parametrize("format", ["mp3", "m4a"])
@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (48_000, 1), (22_050, 2)])
@pytest.mark.parametrize("length", [5_000, 44_100, 61_068, 100_001])
def test_lossy_formats_keep_length_rate_and_channels(folder, format, rate, channels, length):
    waveform = music(channels, length)
    read, read_rate = read_audio(write_song(folder / f"song.{format}", waveform, rate))
    assert (read.shape, read_rate) == (waveform.shape, rate)
    assert_alike(read, waveform)


RESAMPLED = [("opus", 44_100, 48_000), ("opus", 48_000, 48_000), ("opus", 8_000, 48_000), ("mp3", 96_000, 48_000)]
RESAMPLED += [("mp3", 192_000, 48_000), ("mp3", 37_800, 44_100), ("mp3", 4_000, 8_000), ("m4a", 192_000, 96_000)]


@pytest.mark.parametrize(("format", "rate", "held"), RESAMPLED)
@pytest.mark.parametrize("length", [9_999, 70_001])
def test_a_rate_that_a_format_cannot_hold_becomes_the_next_and_the_song_is_as_long(folder, format, rate, held, length):
    waveform = music(2, length)
    with AudioWriter(folder / f"resampled.{format}", rate, 2) as writer:
        for part in np.array_split(waveform, 3, axis=1):
            writer.write(part)
    read, read_rate = read_audio(folder / f"resampled.{format}")
    assert (read.shape, read_rate) == ((2, math.ceil(length * held / rate)), held)
    expected = soxr.resample(waveform.T, rate, held).T
    assert_alike(read[:, : expected.shape[1]], expected)


def test_beyond_full_scale_is_limited_and_never_wraps(folder):
    waveform = np.array([[1.5, -1.5, 1.0, -1.0]], dtype=np.float32)
    for subtype in ("16", "24"):
        read, _ = read_audio(write_song(folder / "loud.wav", waveform, 8_000, subtype=subtype))
        assert read[0].tolist() == [1 - STEP[subtype], -1.0, 1 - STEP[subtype], -1.0]
    assert np.array_equal(read_audio(write_song(folder / "loud.wav", waveform, 8_000, subtype="float"))[0], waveform)


@pytest.mark.parametrize("format", FORMATS)
def test_tags_are_kept(folder, format):
    tags = {"title": "Für Elise", "artist": "Someone", "album": "日本"}
    with AudioReader(write_song(folder / f"tagged.{format}", noise(2, 5_000), tags=tags)) as reader:
        assert tags.items() <= reader.info.tags.items()


def test_tags_that_are_no_unicode_are_read_as_far_as_they_are(folder):
    path = write_song(folder / "latin.wav", noise(1, 1_000), tags={"title": "Fur Elise"})
    path.write_bytes(path.read_bytes().replace(b"Fur", b"F\xfcr"))
    with AudioReader(path) as reader:
        assert reader.info.tags["title"] == "F\ufffdr Elise"


def test_a_file_is_what_its_content_is(folder):
    with AudioReader(write_song(folder / "song.flac", noise(1, 1_000)).rename(folder / "song.mp3")) as reader:
        assert reader.info.codec == "flac"


@pytest.mark.parametrize("name", ["-song.wav", "http:song.wav", "50% off %d.wav", "ü 日本 🎤.wav", "a:b,c;d.wav"])
def test_names_are_names_and_nothing_else(folder, name):
    assert read_audio(write_song(folder / name, noise(1, 100)))[0].shape == (1, 100)


def test_every_stream_of_a_stem_file(musdb_dir):
    path = sorted(musdb_dir.glob("test/*.stem.mp4"))[0]
    streams = [read_audio(path, stream)[0] for stream in range(5)]
    assert {stream.shape for stream in streams} == {streams[0].shape}
    difference = streams[0] - sum(streams[1:])
    assert np.square(difference).mean() < 0.01 * np.square(streams[0]).mean()
    with pytest.raises(AudioFileError, match="5 audio streams"):
        AudioReader(path, 5)


def test_the_sound_of_a_video(folder):
    encoded(folder / "clip.mp4", "mp4", "aac", 44_100, "fltp", seconds=0.5, video=True)
    samples, rate = read_audio(folder / "clip.mp4")
    assert rate == 44_100 and abs(samples.shape[1] - 22_050) < 50


def test_the_sound_of_a_video_whose_pictures_begin_late(folder):
    """As live streams are recorded: after all that FFmpeg looks at when it opens the file."""
    path, rate, seconds = folder / "live.flv", 22_050, 100
    with av.open(str(path), "w") as container:
        sound, pictures = container.add_stream("aac", rate=rate, layout="mono"), container.add_stream("flv", rate=10)
        pictures.width = pictures.height = 32
        frame = av.AudioFrame.from_ndarray(0.1 * noise(1, seconds * rate), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        picture = av.VideoFrame(32, 32, "yuv420p")
        picture.pts = 10 * seconds - 10
        for packets in (sound.encode(frame), sound.encode(None), pictures.encode(picture), pictures.encode(None)):
            container.mux(packets)
    data = bytearray(path.read_bytes())
    # The header says that there are no pictures, and the description that says otherwise is left out.
    data[4] = 4
    del data[13 : 13 + 11 + int.from_bytes(data[14:17], "big") + 4]
    path.write_bytes(data)
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["audio"]
    read, read_rate = read_audio(path)
    assert (read_rate, len(read)) == (rate, 1)
    assert seconds * rate <= read.shape[1] <= seconds * rate + 4096


def test_a_gap_in_a_broadcast_is_passed_over(folder):
    path = folder / "broadcast.ts"
    whole = encoded(path, "mpegts", "ac3", 48_000, "fltp", seconds=10)
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(300_000) + whole[middle:])
    assert abs(read_audio(path)[0].shape[1] - 480_000) < 5_000


def test_songs_after_one_another_in_one_file_are_one_song_if_they_are_alike(folder):
    path = folder / "station.ogg"
    songs = [encoded(path, "ogg", "vorbis", rate, "fltp", seconds=2) for rate in (44_100, 44_100, 48_000)]
    path.write_bytes(songs[0] + songs[1])
    assert abs(read_audio(path)[0].shape[1] - 4 * 44_100) < 5_000
    path.write_bytes(songs[0] + songs[2])
    # Depending on FFmpeg's version.
    with pytest.raises(AudioFileError, match=r"is damaged: |changes its sampling rate"):
        read_audio(path)


@pytest.fixture(scope="module")
def sound_files(folder) -> dict[str, list[bytes]]:
    return make_seeds(folder)


SAYS_ITS_LENGTH = ("wav", "w64", "aiff", "au", "avi", "flac", "tta", "wavpack", "alac", "mp3", "m4a", "mp4", "mkv")


@pytest.mark.parametrize("kind", SAYS_ITS_LENGTH)
def test_what_is_shorter_than_its_header_says_is_an_error(folder, sound_files, kind):
    whole = sound_files[kind][0]
    path = folder / f"download of {kind}"
    path.write_bytes(whole)
    read_audio(path)
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(AudioFileError, match="truncated|damaged|cannot be decoded"):
        read_audio(path)


def test_the_first_bytes_of_a_file_are_refused_or_read_in_part(folder, sound_files):
    path, read = folder / "begun", set()
    for kind, wholes in sound_files.items():
        for length in range(1, 150, 7):
            path.write_bytes(wholes[0][:length])
            with suppress(AudioFileError):
                read_audio(path)
                read.add(kind)
    assert not read & {*SAYS_ITS_LENGTH}


BAD_FILES = {"missing.wav": "no such file", "folder": "folder", "empty.wav": "empty", "zero.wav": "no samples"}
BAD_FILES |= {"text.mp3": "not an audio file", "playlist.mp3": "not an audio file", "silent film.mp4": "no sound"}
BAD_FILES |= {"truncated.mp3": "truncated", "truncated.flac": "truncated|damaged", "truncated.wav": "truncated"}
BAD_FILES |= {"damaged.flac": "damaged"}


@pytest.mark.parametrize(("name", "said"), BAD_FILES.items())
def test_what_cannot_be_read_is_an_error_of_one_line_that_names_it(bad_files, name, said):
    with raises_one_line(said, AudioFileError) as raised:
        read_audio(bad_files / name)
    assert str(raised.value).startswith(f"{bad_files / name}: ")
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_a_damaged_frame_of_an_mp3_is_left_out_as_players_do(folder):
    path = write_song(folder / "scratched.mp3", noise(2, 200_000))
    data = path.read_bytes()
    path.write_bytes(data[:60_000] + bytes(100) + data[60_100:])
    assert abs(read_audio(path)[0].shape[1] - 200_000) < 5 * 1152


def test_nothing_is_left_of_a_file_whose_writing_failed(tmp_path):
    target = write_song(tmp_path / "song.wav", noise(1, 100))
    before = target.read_bytes()
    with pytest.raises(KeyboardInterrupt), AudioWriter(target, 44_100, 1) as writer:
        writer.write(noise(1, 50))
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="NaN"), AudioWriter(target, 44_100, 1) as writer:
        writer.write(np.full((1, 10), np.nan, dtype=np.float32))
    assert target.read_bytes() == before
    assert os.listdir(tmp_path) == ["song.wav"]


FULL_DISK = """
import resource, signal, sys
from modeling_unet_svs.audio.writing import AudioWriter
from tests.conftest import noise
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
with AudioWriter(sys.argv[1], 44_100, 1) as writer:
    for _ in range(10):
        writer.write(noise(1, 44_100))
"""


@pytest.mark.faults
@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_outgrows_its_disk_is_one_clear_line_and_leaves_nothing(tmp_path, format):
    done = run(sys.executable, "-c", FULL_DISK, tmp_path / f"song.{format}", exits=1)
    assert done.stderr.strip().splitlines()[-1].endswith(f"song.{format}: cannot be written: File too large.")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(AudioFileError, match="cannot be written"):
        AudioWriter(tmp_path / "nowhere" / "song.wav", 44_100, 1)


TOO_MUCH = {
    ("mp3", 6): "mp3 holds 2 channels, not 6: use wav",
    ("flac", 9): "flac holds 8 channels",
    ("aiff", 2): "format 'aiff' is unknown: use one of wav, flac, mp3, ogg, opus, m4a",
}


@pytest.mark.parametrize(("sound", "said"), TOO_MUCH.items())
def test_what_a_format_cannot_hold_is_said_before_any_work(sound, said):
    with pytest.raises(ValueError, match=said):
        check_format(*sound)
