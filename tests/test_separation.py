"""The promises of `separate` and `stream`, for any waveform."""

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modeling_unet_svs import UNetSVSConfig
from modeling_unet_svs.separation import BLOCK_SECONDS

from .conftest import joined, make_model, noise, raises_one_line, small_config

rates = st.one_of(st.integers(4_000, 384_000), st.sampled_from([8_192, 16_000, 44_100, 48_000]))
lengths = st.one_of(st.integers(1, 300), st.integers(300, 30_000))
dtypes = st.sampled_from(["float32", "float64", "float16", "int16", "int32"])


def full_scale(waveform: np.ndarray) -> np.ndarray:
    if waveform.dtype.kind == "i":
        return (waveform / -float(np.iinfo(waveform.dtype).min)).astype(np.float32)
    return waveform.astype(np.float32)


@given(rates, st.integers(1, 7), lengths, dtypes, st.integers(1, 5), st.integers(0, 99))
def test_stems_have_the_mixtures_shape_and_add_up_to_it(model, rate, channels, length, dtype, batch_size, seed):
    waveform = noise(channels, length, seed)
    mixture = (waveform * np.iinfo(dtype).max).astype(dtype) if dtype.startswith("int") else waveform.astype(dtype)
    stems = model.separate(mixture, rate, batch_size=batch_size)
    assert list(stems) == ["vocals", "accompaniment"]
    for stem in stems.values():
        assert stem.shape == mixture.shape
        assert stem.dtype == np.float32
        assert np.isfinite(stem).all()
    assert np.abs(sum(stems.values()) - full_scale(mixture)).max() <= 1e-5
    again = model.separate(mixture, rate, batch_size=batch_size)
    assert all(np.array_equal(stems[name], again[name]) for name in stems)


@given(rates, st.integers(1, 3), lengths)
def test_silence_in_silence_out(model, rate, channels, length):
    for stem in model.separate(np.zeros((channels, length), dtype=np.float32), rate).values():
        assert not stem.any()


@given(st.integers(1, 40_000), st.integers(1, 3), st.data())
def test_a_stream_gives_what_the_whole_gives_to_the_bit(model, length, channels, data):
    rate = data.draw(st.sampled_from([4_000, 16_000, 22_050, 48_000]))
    mixture = noise(channels, length)
    whole = model.separate(mixture, rate, batch_size=2)
    stream = model.stream(rate, channels, batch_size=2)
    blocks: list[dict[str, np.ndarray] | None] = []
    start = 0
    while start < length:
        size = data.draw(st.integers(1, 9_000))
        blocks.append(stream.push(mixture[:, start : start + size]))
        start += size
        given_so_far = sum(block["vocals"].shape[1] for block in blocks if block)
        assert min(start, length) - given_so_far <= stream.latency
    torch.testing.assert_close(joined([*blocks, stream.flush()]), whole, rtol=0, atol=0)


def test_one_sample_at_a_time_and_none_once_it_is_flushed(model):
    mixture = noise(1, 3_000)
    stream = model.stream(16_000, 1, batch_size=1)
    blocks = [stream.push(mixture[:, [index]]) for index in range(3_000)]
    whole = model.separate(mixture, 16_000, batch_size=1)
    assert np.array_equal(joined([*blocks, stream.flush()])["vocals"], whole["vocals"])
    with pytest.raises(RuntimeError, match="flushed"):
        stream.push(np.zeros((1, 10), dtype=np.float32))


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize("shape", [(5_000,), (2, 5_000), (3, 2, 5_000)], ids=["samples", "channels", "batch"])
def test_the_stems_are_of_the_mixtures_kind(model, kind, shape):
    mixture = kind(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    for stem in model.separate(mixture, 16_000).values():
        assert type(stem) is type(mixture)
        assert stem.shape == mixture.shape


def test_each_song_of_a_batch_is_separated_by_itself(model):
    batch = np.stack([noise(2, 9_000, seed) for seed in range(3)])
    together = model.separate(batch, 22_050)["vocals"]
    for item, song in enumerate(batch):
        assert np.array_equal(together[item], model.separate(song, 22_050)["vocals"])


def test_the_inverse_loses_nothing_where_the_mask_is_one():
    """Patches, context and frames of any sizes put the waveform together again, from its first to its last sample."""
    for changes in ({}, {"context_frames": 0}, {"hop_length": 200}, {"context_frames": 15}, {"num_bands": 4}):
        model = make_model(small_config(**changes))
        model.estimate_masks = lambda magnitude: torch.ones(magnitude.shape[0], 1, *magnitude.shape[1:])
        mixture = noise(2, 20_000)
        vocals = model.separate(mixture, 16_000)["vocals"]
        # Where frames hardly overlap, rounding grows by the window's smallest overlap.
        assert np.abs(vocals - mixture).max() < (1e-6 if "hop_length" not in changes else 1e-4)


def test_a_song_of_many_blocks_is_not_cut_into_them(model):
    """Stems change no more where patches and blocks meet than anywhere else: no clicks."""
    length = 2 * BLOCK_SECONDS * 16_000 + 1234
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(length) / 16_000)[None].astype(np.float32)
    vocals = model.separate(tone, 16_000)["vocals"][0]
    jumps = np.abs(np.diff(vocals, 2))[1000:-1000]
    assert jumps.max() < 3 * np.median(np.sort(jumps)[-len(jumps) // 10 :])


def test_progress_is_told_up_to_the_end(model):
    told = []
    model.separate(noise(2, 50_000), 16_000, progress_callback=lambda done, total: told.append((done, total)))
    assert told[-1] == (50_000, 50_000)
    assert told == sorted(told)


@pytest.mark.parametrize("training", [False, True])
def test_separation_in_threads_is_in_evaluation_mode_and_leaves_mode_and_statistics_as_they_were(training):
    model, mixture = make_model(small_config()), noise(2, 5_000)
    expected = model.separate(mixture, 16_000)["vocals"]
    model.train(training)
    model.unets["vocals"].decoder[0].eval()
    modes, state = [module.training for module in model.modules()], copy.deepcopy(model.state_dict())
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(lambda _: model.separate(mixture, 16_000)["vocals"], range(8))]
    assert all(np.array_equal(vocals, expected) for vocals in found)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_models_of_several_sources_and_without_a_residual():
    several = make_model(small_config(sources=("vocals", "drums", "bass"), residual="other"))
    stems = several.separate(noise(2, 9_000), 44_100)
    assert list(stems) == ["vocals", "drums", "bass", "other"]
    assert np.abs(sum(stems.values()) - noise(2, 9_000)).max() <= 1e-5
    both = make_model(small_config(sources=("vocals", "accompaniment"), residual=None))
    assert list(both.separate(noise(2, 9_000), 44_100)) == ["vocals", "accompaniment"]


def test_the_papers_model_takes_stereo_at_44100_hz():
    mixture = noise(2, 100_000)
    stems = make_model(UNetSVSConfig()).separate(mixture, 44_100)
    assert stems["vocals"].shape == mixture.shape
    # The network ends at 4096 Hz: what is above remains in the accompaniment.
    spectrum = np.abs(np.fft.rfft(stems["vocals"][0] * np.hanning(100_000)))
    frequency = np.fft.rfftfreq(100_000, 1 / 44_100)
    assert spectrum[frequency > 4500].max() < 1e-3 * spectrum[frequency < 4000].max()


@pytest.mark.parametrize(
    ("waveform", "rate", "what"),
    [
        (np.zeros((2, 100)), 3_999, "sampling_rate"),
        (np.zeros((2, 100)), 384_001, "sampling_rate"),
        (np.zeros((2, 100)), 44_100.5, "sampling_rate"),
        (np.zeros((2, 0)), 44_100, "shape"),
        (np.zeros((1, 1, 2, 100)), 44_100, "shape"),
        (np.zeros((44_100, 2)), 44_100, "channels"),
        (np.zeros((2, 100), dtype=complex), 44_100, "complex"),
        (np.zeros((2, 100), dtype=bool), 44_100, "bool"),
        (np.full((2, 100), 1e300), 44_100, "not finite"),
        *(
            (np.insert(noise(2, 999), 500, [0, value], axis=1), 16_000, "not finite")
            for value in (np.nan, np.inf, -np.inf)
        ),
    ],
)
def test_what_is_no_waveform_is_refused_in_one_line(model, waveform, rate, what):
    with raises_one_line(what):
        model.separate(waveform, rate)


def test_a_batch_size_of_none_is_refused(model):
    with pytest.raises(ValueError, match="batch_size"):
        model.separate(noise(2, 100), 16_000, batch_size=0)


def test_the_end_of_a_song_is_separated_like_its_middle(model):
    """The network sees no silence that is not in the song: a steady tone keeps its mask up to the last sample."""
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(40_000) / 16_000)[None].repeat(2, 0).astype(np.float32)
    vocals = model.separate(tone, 16_000)["vocals"][0]
    middle = np.sqrt(np.square(vocals[15_000:25_000]).mean())
    assert np.sqrt(np.square(vocals[-400:]).mean()) == pytest.approx(middle, rel=0.1)


def test_silence_before_the_music_does_not_change_the_masks_scale():
    mean = make_model(small_config())
    magnitude = torch.rand(1, 2, 129, 32)
    after_silence = torch.cat([torch.zeros(1, 2, 129, 24), magnitude[..., :8]], dim=-1)
    assert mean.magnitude_scale(after_silence).item() == pytest.approx(magnitude[..., :8].mean().item(), rel=1e-5)
    assert mean.magnitude_scale(torch.zeros(1, 2, 129, 32)).item() == 1


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, np.ndarray.tolist], ids=["numpy", "torch", "list"])
def test_pcm_in_a_wider_type_than_its_own_is_not_taken_for_silence(model, kind):
    pcm = np.clip(noise(2, 5_000) * 2**15, -(2**15), 2**15 - 1).astype(np.int64)
    for values, cure in ((pcm, "convert it to int16"), (pcm << 8, "divide it by 8388608"), (pcm << 16, "int32")):
        with raises_one_line(f"int64, but its values fit .* {cure}"):
            model.separate(kind(values), 16_000)
    with raises_one_line("int64"):
        model.stream(16_000, 2).push(kind(pcm))
    assert not model.separate(kind(0 * pcm), 16_000)["vocals"].any()


def test_16_bits_in_32_are_refused_unless_they_may_be_a_quiet_block(model):
    pcm = (noise(1, 5_000) * 2**15).astype(np.int32)
    with raises_one_line("int32, but its values fit 16 bits, .* convert it to int16"):
        model.separate(pcm, 16_000)
    for quiet in (pcm // 2**8 * 2**8, pcm // 2**8):  # noise of a recorder of 24 bits, and of one of 32
        assert model.separate(quiet, 16_000)["vocals"].shape == (1, 5_000)
    model.stream(16_000, 1).push(pcm)


@pytest.mark.parametrize("shape", [(5_000, 2), (12, 2), (3, 5_000, 2)])
def test_samples_before_channels_are_refused_where_the_shape_tells(model, shape):
    with raises_one_line(r"seems to be \(samples, channels\), .* waveform.swapaxes\(-1, -2\)"):
        model.separate(np.zeros(shape, dtype=np.float32), 16_000)


def test_what_is_no_waveform_and_no_rate_says_what_to_do(model):
    for song in ("song.mp3", Path("song.mp3"), b"RIFF"):
        with raises_one_line("use separate_file, or .*read_audio"):
            model.separate(song, 44_100)
    with raises_one_line("sampling_rate is 44100 in Hz, of type str: use a whole number"):
        model.separate(noise(2, 100), "44100")
