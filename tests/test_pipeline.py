"""At home in transformers: auto classes, the pipeline, and a folder that brings its own code."""

import json
import os
import sys

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, pipeline

from modeling_unet_svs import UNetSVSConfig, UNetSVSFeatureExtractor, UNetSVSModel, UNetSVSPipeline

from .conftest import noise, raises_one_line, run, write_song

# A process in which this package cannot be imported; it gets the folder, a song and where to write.
FRESH_PROCESS = """
import sys
sys.modules["modeling_unet_svs"] = None
import numpy as np
from transformers import AutoFeatureExtractor, AutoModel, pipeline
folder, song, output = sys.argv[1:]
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
separator = pipeline("audio-to-audio", model=folder, trust_remote_code=True)
stems = {item["label"]: item["audio"] for item in separator(song)}
waveform = np.load(song.replace("wav", "npy"))
whole = {"whole_" + name: stem for name, stem in model.separate(waveform, 44_100).items()}
inputs = extractor(waveform[:, :9000], sampling_rate=16_000, return_tensors="pt")
np.savez(output, **stems, **whole, masks=model(**inputs).masks.detach())
"""


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    return write_song(tmp_path_factory.mktemp("songs") / "song.wav", noise(2, 60_000), subtype="float")


def test_the_auto_classes_know_the_model_and_its_weights_are_those_that_were_saved(checkpoint, model):
    assert type(AutoConfig.from_pretrained(checkpoint)) is UNetSVSConfig
    assert type(AutoFeatureExtractor.from_pretrained(checkpoint)) is UNetSVSFeatureExtractor
    loaded = AutoModel.from_pretrained(checkpoint)
    assert type(loaded) is UNetSVSModel
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_the_pipeline_takes_a_file_apart(checkpoint, model, song):
    separator = pipeline("audio-to-audio", model=str(checkpoint), trust_remote_code=True)
    stems = separator(str(song))
    assert [stem["label"] for stem in stems] == ["vocals", "accompaniment"]
    expected = model.separate(noise(2, 60_000), 44_100)
    for stem in stems:
        assert (stem["audio"].dtype, stem["sampling_rate"]) == (np.float32, 44_100)
        assert np.array_equal(stem["audio"], expected[stem["label"]])


@pytest.fixture(scope="module")
def separator(model) -> UNetSVSPipeline:
    extractor = UNetSVSFeatureExtractor(model.config.num_channels, model.config.sampling_rate)
    return UNetSVSPipeline(model=model, feature_extractor=extractor)


def test_songs_come_in_all_the_ways_that_pipelines_know(separator, model, song):
    waveform = noise(2, 60_000)
    expected = model.separate(waveform, 44_100)["vocals"]
    array, tensor = {"array": waveform}, {"raw": torch.from_numpy(waveform)}
    for stems in separator([song, array | {"sampling_rate": 44_100}, tensor | {"sampling_rate": 44_100}]):
        assert np.array_equal(stems[0]["audio"], expected)
    assert np.array_equal(separator(waveform, sampling_rate=44_100)[0]["audio"], expected)
    assert separator(waveform[0], sampling_rate=44_100)[0]["audio"].shape == (1, 60_000)


@pytest.mark.parametrize(
    ("audio", "said"),
    [
        (noise(2, 100), "sampling rate"),
        ({"sampling_rate": 44_100}, "sampling rate"),
        ("nowhere.wav", "no such file"),
        ({"array": np.full((1, 5), np.nan), "sampling_rate": 44_100}, "not finite"),
    ],
)
def test_what_is_no_song_is_refused_in_one_line(separator, audio, said):
    with raises_one_line(said):
        separator(audio)


def test_a_saved_folder_holds_safetensors_and_its_own_code(checkpoint):
    names = {path.name for path in checkpoint.iterdir()}
    assert {"model.safetensors", "config.json", "preprocessor_config.json", "modeling_unet_svs.py"} <= names
    assert "model.onnx" in names
    assert sum(name.endswith(".py") for name in names) <= 12
    config = json.loads((checkpoint / "config.json").read_text())
    assert config["auto_map"]["AutoModel"] == "modeling_unet_svs.UNetSVSModel"
    assert "audio-to-audio" in config["custom_pipelines"]


def test_a_process_without_this_package_gets_the_same_from_the_folder(checkpoint, model, song, tmp_path):
    waveform = noise(2, 60_000)
    np.save(song.with_suffix(".npy"), waveform)
    output = tmp_path / "stems.npz"
    # Its code is cached by the folder's name: a cache of its own keeps other runs out.
    environment = {"HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONPATH": "", "PATH": os.environ["PATH"]}
    run(sys.executable, "-c", FRESH_PROCESS, checkpoint, song, output, env=environment, cwd=tmp_path)
    stems = model.separate(waveform, 44_100)
    with torch.no_grad():
        masks = model(torch.from_numpy(waveform[None, :, :9000])).masks.numpy()
    expected = {**stems, **{f"whole_{name}": stem for name, stem in stems.items()}, "masks": masks}
    torch.testing.assert_close(dict(np.load(output)), expected, rtol=0, atol=0)


def test_a_half_precision_model_keeps_its_spectrogram_in_full_precision(checkpoint, model):
    half = UNetSVSModel.from_pretrained(checkpoint, dtype=torch.bfloat16)
    mixture = noise(2, 30_000)
    stems, expected = half.separate(mixture, 16_000), model.separate(mixture, 16_000)
    assert np.abs(sum(stems.values()) - mixture).max() <= 1e-5
    error = np.square(stems["vocals"] - expected["vocals"]).sum() / np.square(expected["vocals"]).sum()
    assert error < 1e-3
