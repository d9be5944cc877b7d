"""The checkpoints that come along: what they are, and that they do what everyone will use them for."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoFeatureExtractor, AutoModel, pipeline

from modeling_unet_svs import DEFAULT_CHECKPOINT, UNetSVSConfig, UNetSVSModel
from modeling_unet_svs.command.torch_runtime import load_checkpoint

from .conftest import ROOT, noise


@pytest.fixture(scope="module")
def default() -> UNetSVSModel:
    return UNetSVSModel.from_pretrained(DEFAULT_CHECKPOINT)


def test_it_is_full_band_stereo_at_44100_hz(default):
    config = default.config
    assert (config.sampling_rate, config.num_channels, config.stems) == (44_100, 2, ("vocals", "accompaniment"))
    assert config.num_bins * config.sampling_rate / config.n_fft >= 20_000


def test_it_is_stored_in_half_precision_and_used_in_full(default):
    stored = load_file(f"{DEFAULT_CHECKPOINT}/model.safetensors")
    assert sum(tensor.nbytes for tensor in stored.values()) < 30e6
    assert {tensor.dtype for tensor in stored.values() if tensor.ndim == 4} == {torch.float16}
    assert default.dtype == torch.float32


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_with_transformers_and_without_it_separates_the_same_at_any_rate(default, rate):
    plain, mixture = load_checkpoint(DEFAULT_CHECKPOINT), noise(2, 100_000)
    assert list(plain.state_dict()) == list(default.state_dict())
    stems, expected = plain.separate(mixture, rate), default.separate(mixture, rate)
    assert all(np.array_equal(stems[name], expected[name]) for name in expected)
    assert np.abs(stems["vocals"] + stems["accompaniment"] - mixture).max() <= 1e-5


def test_auto_classes_and_the_pipeline_take_it(default):
    assert type(AutoModel.from_pretrained(DEFAULT_CHECKPOINT)) is UNetSVSModel
    assert AutoFeatureExtractor.from_pretrained(DEFAULT_CHECKPOINT).feature_size == 2
    separator = pipeline("audio-to-audio", model=DEFAULT_CHECKPOINT)
    mixture = noise(1, 50_000)
    stems = separator({"array": mixture, "sampling_rate": 44_100})
    assert np.array_equal(stems[0]["audio"], default.separate(mixture, 44_100)["vocals"])


def test_info_prints_its_scores(command):
    said = command("info").out
    assert [part for part in ("44100 Hz", "MUSDB18", "MIR-1K", "dB") if part not in said] == []


def test_the_papers_own_network_comes_along_as_well():
    folder = ROOT / "checkpoints" / "paper"
    model, paper = load_checkpoint(folder), UNetSVSConfig()
    shape = asdict(model.config)
    assert json.dumps(shape) == json.dumps({name: getattr(paper, name) for name in shape})
    assert model.num_parameters() == 9_823_313
    mixture = noise(2, 100_000)
    stems = model.separate(mixture, sampling_rate=44_100)
    assert np.abs(stems["vocals"] + stems["accompaniment"] - mixture).max() <= 1e-5
    for data in ("mir1k", "musdb"):
        results = json.loads((ROOT / "train" / "results" / "paper_claim" / f"unet_vocals_1_{data}.json").read_text())
        scores = results["summary"]["bss_eval_v3"]["vocals"]
        row = [scores["nsdr"][name] for name in ("mean", "std", "min", "max")]
        row += [scores[metric]["mean"] for metric in ("sir", "sar")]
        assert " | ".join(f"{value:.2f}" for value in row) in (folder / "README.md").read_text()
