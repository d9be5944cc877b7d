"""The demo's parts: settings, what is refused, cancelling, pictures and downloads."""

import copy
import dataclasses
import re
import sys
import threading
import wave
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from modeling_unet_svs.audio_reading import read_audio

from .conftest import noise, write_song
from .space_server import SPACE

gr = pytest.importorskip("gradio")

from downloads import make_download  # noqa: E402
from job import Progress, SeparatedSong, SeparationJob, SongError, check_song, on_gpu, song_name  # noqa: E402
from pictures import MAX_MOMENTS, NUM_COLUMNS, NUM_ROWS, MaskRecorder, RecordedMask, draw_pictures, row_edges  # noqa: E402
from settings import Settings  # noqa: E402

RATE = 16_000
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def job(model) -> SeparationJob:
    return SeparationJob(model, Settings())


def announce(path: Path, num_samples: int) -> Path:
    """Makes a FLAC's header say another length."""
    data = bytearray(path.read_bytes())
    data[21:26] = ((data[21] & 0xF0) << 32 | num_samples).to_bytes(5, "big")
    path.write_bytes(data)
    return path


def write_video(path: Path, waveform: np.ndarray | None) -> Path:
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25, width=64, height=64, pix_fmt="yuv420p")
        sound = container.add_stream("aac", rate=RATE, layout="stereo") if waveform is not None else None
        for frame in [*(av.VideoFrame(64, 64, "yuv420p") for _ in range(50)), None]:
            container.mux(video.encode(frame))
        if waveform is not None:
            frame = av.AudioFrame.from_ndarray(waveform, format="fltp", layout="stereo")
            frame.sample_rate = RATE
            container.mux([*sound.encode(frame), *sound.encode(None)])
    return path


def separated(job: SeparationJob, song: Path, folder: Path, format: str = "flac") -> SeparatedSong:
    *steps, result = job.run(song, folder, format)
    assert steps and all(isinstance(step, Progress) for step in steps)
    return result


def test_settings_come_from_the_environment():
    assert Settings.from_environment({}) == Settings()
    settings = Settings.from_environment({"UNET_SVS_MODEL": "a/b", "UNET_SVS_MAX_MINUTES": "2.5"})
    assert (settings.model, settings.max_minutes) == ("a/b", 2.5)
    wrong = {"MAX_MINUTES": "-1", "CONCURRENCY": "1.5", "MAX_MEGABYTES": "many", "QUEUE_SIZE": "inf"}
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=f"UNET_SVS_{name} is {value!r}"):
            Settings.from_environment({f"UNET_SVS_{name}": value})


def test_readme_is_the_front_matter_of_a_space_and_lists_every_setting():
    from huggingface_hub import RepoCard

    text = (SPACE / "README.md").read_text("utf-8")
    data = RepoCard(text, ignore_metadata_errors=False).data.to_dict()
    assert (data["sdk"], data["app_file"], data["license"]) == ("gradio", "app.py", "apache-2.0")
    assert tuple(map(int, data["sdk_version"].split(".")))[0] == 6
    read = {f"UNET_SVS_{field.name.upper()}" for field in dataclasses.fields(Settings)}
    assert read == set(re.findall(r"UNET_SVS_[A-Z_]+", text))
    assert (SPACE / "requirements.txt").exists()


@pytest.mark.parametrize("name", sorted(path.name for path in (SPACE / "examples").iterdir()))
def test_examples_are_small_songs(name):
    path = SPACE / "examples" / name
    assert path.stat().st_size < 300_000
    assert check_song(path, Settings()).num_channels == 2


def test_what_cannot_be_taken_apart_is_refused_in_one_sentence(tmp_path):
    settings = Settings(max_minutes=0.1, max_megabytes=1)
    text, empty, many = (tmp_path / name for name in ("text.mp3", "empty.wav", "many.wav"))
    text.write_text("no song")
    empty.touch()
    ten_hours = announce(write_song(tmp_path / "hours.flac", noise(2, RATE), RATE), 10 * 3600 * RATE)
    with wave.open(str(many), "wb") as opened:
        opened.setparams((9, 2, RATE, 0, "NONE", ""))
        opened.writeframes(bytes(9 * 2 * RATE))
    refused = {
        text: "text.mp3 is not an audio file of a known format, or is damaged.",
        empty: "empty.wav is empty (0 bytes).",
        ten_hours: "hours.flac lasts 600:00 (minutes:seconds) or more, and 0:06 is the limit here: cut it into parts.",
        write_song(tmp_path / "silent.wav", np.zeros((2, RATE)), RATE): "silent.wav is silent from beginning to end",
        write_song(tmp_path / "big.wav", noise(2, 300_000), RATE): "big.wav has 1.2 MB, and 1 MB is the limit here",
        write_song(tmp_path / "long.flac", noise(1, 7 * RATE), RATE): "long.flac lasts 0:07 (minutes:seconds) or more",
        write_song(tmp_path / "pairs.flac", noise(8, 2 * RATE), RATE): "and 0:01 is the limit here",
        write_song(tmp_path / "low.wav", noise(1, 3000), 3000): "low.wav has a sampling rate of 3000 Hz",
        many: "many.wav has 9 channels, and 8 is the limit here",
        write_video(tmp_path / "mute.mp4", None): "mute.mp4 has no sound in it.",
    }
    for path, sentence in refused.items():
        with pytest.raises(SongError) as caught:
            check_song(path, settings)
        assert sentence in str(caught.value)
        assert str(tmp_path) not in str(caught.value) and "\n" not in str(caught.value)


def test_of_a_video_the_sound_is_separated(job, tmp_path):
    video = write_video(tmp_path / "video.mp4", noise(2, 2 * RATE))
    song = separated(job, video, tmp_path / "out")
    assert song.num_samples == read_audio(song.stems["vocals"])[0].shape[1] >= 2 * RATE - 1024


def test_decoding_stops_at_the_limit_where_the_header_says_less(model, tmp_path):
    """Minutes of audio in a small file that claims a second: silent ones are never decoded to their end, loud ones
    are given up after the limit."""
    settings = Settings(max_minutes=0.2)
    waveform = np.zeros((1, 300 * RATE), dtype=np.float32)
    silent = announce(write_song(tmp_path / "silent.flac", waveform, RATE), RATE)
    assert silent.stat().st_size < 100_000
    with pytest.raises(SongError, match="and 0:12 is the limit here"):
        check_song(silent, settings)
    waveform[:, :RATE] = noise(1, RATE)
    loud = announce(write_song(tmp_path / "loud.flac", waveform, RATE), RATE)
    job = SeparationJob(model, settings)
    done = []
    with pytest.raises(SongError, match="and 0:12 is the limit here"):
        done += [step.done_seconds for step in job.run(loud, tmp_path / "out", "flac") if isinstance(step, Progress)]
    assert max(done, default=0) <= 12
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(("rate", "channels", "subtype"), [(44_100, 2, "16"), (22_050, 1, "24"), (48_000, 6, "16")])
def test_stems_keep_length_rate_and_channels_and_add_up(job, tmp_path, rate, channels, subtype):
    mixture = noise(channels, 3 * rate + 17)
    path = write_song(tmp_path / "My song.stem.wav", mixture, rate, subtype=subtype)
    song = separated(job, path, tmp_path / "out")
    assert (song.name, song.sampling_rate, song.num_samples) == ("My song", rate, 3 * rate + 17)
    assert [path.name for path in song.stems.values()] == ["My song - vocals.flac", "My song - accompaniment.flac"]
    stems, rates = zip(*(read_audio(path) for path in song.stems.values()))
    assert {*rates} == {rate} and {stem.shape for stem in stems} == {mixture.shape}
    step = 2.0 ** -(int(subtype) - 1)
    assert np.abs(sum(stems) - song.scale * read_audio(path)[0]).max() <= 1.01 * step


def test_progress_only_grows_and_tells_the_time_left(job, tmp_path, monkeypatch):
    monkeypatch.setattr("job.TICK_SECONDS", 0.001)
    song = write_song(tmp_path / "song.wav", noise(2, 30 * RATE), RATE)
    *steps, _ = job.run(song, tmp_path / "out", "wav")
    done = [step.done_seconds for step in steps]
    assert done == sorted(done) and done[0] == 0 and 0 < done[-1] <= 30
    assert all(step.total_seconds == 30 and step.left_seconds >= 0 for step in steps if step.done_seconds)


def test_a_cancelled_song_ends_its_worker_and_frees_its_place(model, tmp_path):
    job = SeparationJob(model, Settings(concurrency=1))
    song = write_song(tmp_path / "song.wav", noise(1, 600 * 8_000), 8_000)
    steps = job.run(song, tmp_path / "out", "wav")
    next(step for step in steps if step.done_seconds)
    steps.close()
    short = write_song(tmp_path / "short.wav", noise(1, 8_000), 8_000)
    assert separated(job, short, tmp_path / "next").num_samples == 8_000
    assert "separation" not in [thread.name for thread in threading.enumerate()]
    assert not list(tmp_path.glob("out/*"))


def test_a_worker_that_fails_is_one_sentence_and_the_next_song_is_separated(job, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("out of memory at 0x1234")

    song = write_song(tmp_path / "song.wav", noise(1, 8_000), 8_000)
    with monkeypatch.context() as patched:
        patched.setattr("job.separate_file", fail)
        with pytest.raises(SongError, match="^Something went wrong here while the song was taken apart") as caught:
            list(job.run(song, tmp_path / "out", "wav"))
        assert "0x1234" not in str(caught.value)
    assert separated(job, song, tmp_path / "out", "wav").num_samples == 8_000


def test_pictures_show_when_and_where_each_stem_sounds(tmp_path):
    """Of any length: a tone for the first half in one stem, a higher one for the second half in the other."""
    from PIL import Image

    for seconds, rate in ((0.05, 8_000), (3, 44_100), (90, 16_000)):
        time_axis = np.arange(round(seconds * rate)) / rate
        first = time_axis < seconds / 2
        stems = {}
        for name, hertz, is_heard in (("vocals", 400, first), ("accompaniment", 2000, ~first)):
            tone = 0.5 * np.sin(2 * np.pi * hertz * time_axis) * is_heard
            stems[name] = write_song(tmp_path / f"{name}.flac", tone[None].astype(np.float32), rate)
        mask = RecordedMask(np.repeat([[0.0], [1.0]], NUM_ROWS // 2, axis=0) * [0.5, 1], seconds / 4, seconds / 2)
        pictures = draw_pictures(stems, mask, len(time_axis), 1024, tmp_path)
        assert list(pictures.files) == ["mixture", "vocals", "accompaniment", "mask"]
        images = {name: np.asarray(Image.open(path)) for name, path in pictures.files.items()}
        assert {image.shape for image in images.values()} == {(NUM_ROWS, NUM_COLUMNS)}
        if seconds < 1:
            continue
        edges = row_edges(rate)
        rows = {hertz: NUM_ROWS - np.searchsorted(edges, hertz) for hertz in (400, 2000)}
        early, late = slice(50, 450), slice(550, 950)
        assert images["vocals"][rows[400], early].min() > 240 and images["vocals"][rows[2000], late].max() < 120
        assert images["accompaniment"][rows[2000], late].min() > 240
        assert images["mixture"][rows[400], early].min() > 240 and images["mixture"][rows[2000], late].min() > 240
        assert set(images["mask"][: NUM_ROWS // 2, early].flat) == {127}
        assert set(images["mask"][: NUM_ROWS // 2, late].flat) == {255}
        assert not images["mask"][NUM_ROWS // 2 :].any()
        assert all(0 < height < 1 for height in pictures.ticks.values())


@pytest.mark.parametrize("seconds", [5, 120])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 2), (32_000, 4)])
def test_the_mask_is_the_networks_own_at_its_time_and_frequency(model, tmp_path, rate, channels, seconds):
    """A network that gives all above 2 kHz, from half of the song on, to the voice."""
    network = copy.copy(model)
    config = network.config
    num_frames = num_calls = 0

    def estimate_masks(magnitude):
        nonlocal num_frames, num_calls
        num_patches, _, num_bins, frames = magnitude.shape
        masks = torch.zeros(num_patches, 1, config.num_channels, num_bins, frames)
        kept = frames - 2 * config.context_frames
        for patch in range(num_patches):
            start = num_frames - config.context_frames + patch * kept
            later = torch.arange(start, start + frames) * config.hop_length >= seconds / 2 * config.sampling_rate
            masks[patch, :, :, 2000 * config.n_fft // config.sampling_rate :, later] = 1
        num_calls += 1
        if num_calls % (channels // 2) == 0:
            num_frames += num_patches * kept
        return masks

    network.estimate_masks = estimate_masks
    recorder = MaskRecorder(network, rate, channels, seconds * rate)
    stream = recorder.model.stream(rate, channels)
    for _ in range(seconds):
        stream.push(noise(channels, rate))
    stream.flush()
    mask = recorder.recorded()
    assert mask.moments.shape[0] == NUM_ROWS and mask.moments.shape[1] <= MAX_MOMENTS + 200
    early, late = mask.at(np.array([0.3 * seconds, 0.7 * seconds])).T
    edges = row_edges(rate)
    assert not early.any() and not late[edges[1:] < 1900].any()
    heard = (edges[:-1] > 2100) & (edges[1:] < config.sampling_rate / 2 - config.sampling_rate / config.n_fft)
    assert np.allclose(late[heard], 1, atol=1e-3)
    assert not late[edges[:-1] > config.sampling_rate / 2].any()
    switch = np.linspace(0, seconds, 20_000)
    first = switch[np.argmax(mask.at(switch)[int(np.argmax(heard))] > 0.5)]
    assert abs(first - seconds / 2) < 0.05 + seconds / MAX_MOMENTS


def test_separating_through_the_recorder_changes_nothing(model, tmp_path):
    mixture = noise(2, 3 * RATE)
    recorder = MaskRecorder(model, RATE, 2, mixture.shape[1])
    expected, found = model.separate(mixture, RATE), recorder.model.separate(mixture, RATE)
    assert all(np.array_equal(expected[stem], found[stem]) for stem in expected)
    assert 0 < recorder.recorded().moments.mean() < 1
    assert "estimate_masks" not in vars(model)


def test_downloads_are_named_after_the_song_and_hold_what_the_stems_hold(job, tmp_path):
    mixture = noise(2, RATE)
    path = write_song(tmp_path / "Ünö, dos.wav", mixture, RATE, tags={"title": "Uno"})
    song = separated(job, path, tmp_path / "out")
    for format in ("wav", "flac", "mp3"):
        download = make_download(song, "vocals", format)
        assert download.name == f"Ünö, dos - vocals.{format}"
        read, rate = read_audio(download)
        assert (read.shape, rate) == (mixture.shape, RATE)
        if format != "mp3":
            assert np.array_equal(read, read_audio(song.stems["vocals"])[0])
        archive = make_download(song, "all", format)
        assert archive.name == f"Ünö, dos - stems ({format}).zip"
        with zipfile.ZipFile(archive) as opened:
            assert opened.testzip() is None
            assert opened.namelist() == [f"Ünö, dos - {stem}.{format}" for stem in song.stems]
    for which, format in (("drums", "wav"), ("vocals", "../../wav")):
        with pytest.raises(SongError, match="^There is no .*use vocals, accompaniment and wav, flac, mp3"):
            make_download(song, which, format)
    for stem in song.stems.values():
        stem.unlink()
    with pytest.raises(SongError, match="were deleted"):
        make_download(song, "vocals", "wav")


def test_a_format_that_cannot_hold_the_song_says_which_can(job, tmp_path):
    path = write_song(tmp_path / "song.wav", noise(6, 9_600), 48_000)
    song = separated(job, path, tmp_path / "out")
    with pytest.raises(SongError, match="cannot be downloaded as MP3: .* 2 channels, not 6: use wav"):
        make_download(song, "all", "mp3")


def test_a_gpu_is_asked_for_where_there_is_zerogpu_and_nowhere_else(tmp_path, monkeypatch):
    def function() -> int:
        return 1

    assert on_gpu(function) is function
    (tmp_path / "spaces.py").write_text("def GPU(duration):\n    return lambda function: (duration, function)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "spaces", raising=False)
    assert on_gpu(function) == (120, function)
    del sys.modules["spaces"]  # or the undoing would put it back


def test_long_and_strange_names_make_names_of_files():
    names = {"song.stem.mp4": "song", " .wav": "song"}
    assert {file: song_name(Path(file)) for file in names} == names
    assert re.fullmatch("a{151}~[0-9a-f]{8}", song_name(Path("a" * 300 + ".wav")))
