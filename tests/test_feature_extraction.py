"""The feature extractor: waveforms to the batch that the model takes."""

import numpy as np
import pytest
import torch

from modeling_unet_svs import UNetSVSFeatureExtractor

from .conftest import noise


@pytest.fixture
def extractor() -> UNetSVSFeatureExtractor:
    return UNetSVSFeatureExtractor(feature_size=2, sampling_rate=16_000)


def test_waveforms_of_different_lengths_make_a_batch_padded_at_the_end(extractor):
    short, long = noise(2, 100), noise(2, 300)
    batch = extractor([short, long], sampling_rate=16_000, return_tensors="pt")["input_values"]
    assert (tuple(batch.shape), batch.dtype) == ((2, 2, 300), torch.float32)
    assert np.array_equal(batch[0, :, :100], short)
    assert not batch[0, :, 100:].any()
    assert np.array_equal(batch[1], long)


@pytest.mark.parametrize(
    "waveform",
    [noise(1, 50)[0], noise(1, 50), torch.from_numpy(noise(1, 50)), noise(1, 50)[0].tolist()],
    ids=["samples", "channels", "torch", "list"],
)
def test_mono_is_doubled_for_a_stereo_model(extractor, waveform):
    batch = extractor(waveform, sampling_rate=16_000)["input_values"]
    assert batch.shape == (1, 2, 50)
    assert np.array_equal(batch[0, 0], batch[0, 1])


def test_stereo_becomes_the_mean_for_a_mono_model():
    stereo = noise(2, 50)
    batch = UNetSVSFeatureExtractor(feature_size=1)(stereo, sampling_rate=8192)["input_values"]
    assert np.allclose(batch[0, 0], stereo.mean(axis=0))


@pytest.mark.parametrize(
    ("audio", "options", "said"),
    [
        (noise(2, 50), {"sampling_rate": 44_100}, "44100 Hz where the model works at 16000 Hz"),
        (noise(3, 50), {}, "3 channels"),
        (noise(2, 50).T, {}, "seems to be .samples, channels."),
        (np.full((2, 5), np.nan), {}, "not finite"),
        ([], {}, "empty"),
        (np.zeros((2, 0)), {}, "shape"),
        ([noise(2, 5), noise(2, 6)], {"padding": False}, "differ in length"),
    ],
)
def test_what_the_model_cannot_take_is_refused(extractor, audio, options, said):
    with pytest.raises(ValueError, match=said):
        extractor(audio, **options)


def test_it_is_saved_and_loaded(extractor, tmp_path):
    extractor.save_pretrained(tmp_path)
    loaded = UNetSVSFeatureExtractor.from_pretrained(tmp_path)
    assert (loaded.feature_size, loaded.sampling_rate) == (2, 16_000)
