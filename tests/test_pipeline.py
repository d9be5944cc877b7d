"""At home in transformers: auto classes, the pipeline, and a folder that brings its own code."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, pipeline

from modeling_unet_svs import DEFAULT_CHECKPOINT, UNetSVSConfig, UNetSVSFeatureExtractor, UNetSVSModel, UNetSVSPipeline

from .conftest import ROOT, noise, raises_one_line, run, write_song

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
inputs = extractor(waveform[:, :9000], sampling_rate=model.config.sampling_rate, return_tensors="pt")
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
    separator = pipeline("audio-to-audio", model=str(checkpoint))
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


def test_files_come_as_bytes_or_open_or_as_datasets_leaves_them(separator, model, song):
    expected, content = model.separate(noise(2, 60_000), 44_100)["vocals"], song.read_bytes()
    undecoded = [{"bytes": content, "path": "song.wav"}, {"bytes": None, "path": str(song)}]
    with open(song, "rb") as file:
        for stems in separator([content, file, *undecoded]):
            assert (stems[0]["sampling_rate"], stems[0]["audio"].dtype) == (44_100, np.float32)
            assert np.array_equal(stems[0]["audio"], expected)
    with raises_one_line("is not an audio file"):
        separator(b"no song")


def test_a_batch_is_of_patches_since_songs_differ_in_length(separator, model, song):
    short = {"array": noise(1, 9_000), "sampling_rate": 16_000}
    results = separator([str(song), short], batch_size=2)
    assert np.array_equal(results[0][0]["audio"], model.separate(noise(2, 60_000), 44_100, batch_size=2)["vocals"])
    assert results[1][0]["audio"].shape == (1, 9_000)


def test_a_model_in_memory_makes_a_pipeline_that_can_be_saved(model, song, tmp_path):
    made = pipeline("audio-to-audio", model=model)
    assert made(str(song))[0]["audio"].shape == (2, 60_000)
    made.save_pretrained(tmp_path)
    assert AutoFeatureExtractor.from_pretrained(tmp_path).feature_size == model.config.num_channels


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


@pytest.fixture(params=["by the trainer", "by the model", "the default", "the paper's"])
def complete(request, checkpoint, model, tmp_path) -> Path:
    """Each kind of folder that this project writes or brings along."""
    model.save_pretrained(tmp_path / "by the model")
    others = {
        "by the trainer": checkpoint,
        "the default": DEFAULT_CHECKPOINT,
        "the paper's": ROOT / "checkpoints/paper",
    }
    return Path(others.get(request.param, tmp_path / "by the model"))


def test_a_folder_of_a_model_holds_all_of_it(complete, tmp_path):
    """Where this fails for a folder that comes along: python -m train.package_checkpoint FOLDER FOLDER CARD."""
    names = {path.name for path in complete.iterdir()}
    assert {"model.safetensors", "model.onnx", "config.json", "preprocessor_config.json"} <= names
    code = {path.name for path in (tmp_path / "by the model").glob("*.py")}
    assert {name for name in names if name.endswith(".py")} == code >= {"modeling_unet_svs.py", "pipeline_unet_svs.py"}
    assert len(code) <= 12
    config = json.loads((complete / "config.json").read_text())
    assert config["auto_map"]["AutoModel"] == "modeling_unet_svs.UNetSVSModel"
    assert "audio-to-audio" in config["custom_pipelines"]
    # Links would lead nowhere in a package.
    for name in names:
        source = ROOT / "modeling_unet_svs" / name
        assert not name.endswith(".py") or (complete / name).read_bytes() == source.read_bytes(), name


def test_a_process_without_this_package_gets_the_same_from_the_folder(complete, song, tmp_path):
    model, waveform = UNetSVSModel.from_pretrained(complete), noise(2, 60_000)
    np.save(song.with_suffix(".npy"), waveform)
    output = tmp_path / "stems.npz"
    # Its code is cached by the folder's name: a cache of its own keeps other runs out.
    environment = {"HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONPATH": "", "PATH": os.environ["PATH"]}
    run(sys.executable, "-c", FRESH_PROCESS, complete, song, output, env=environment, cwd=tmp_path)
    stems = model.separate(waveform, 44_100)
    extractor = UNetSVSFeatureExtractor.from_pretrained(complete)
    inputs = extractor(waveform[:, :9000], sampling_rate=model.config.sampling_rate, return_tensors="pt")
    with torch.no_grad():
        masks = model(**inputs).masks.numpy()
    expected = {**stems, **{f"whole_{name}": stem for name, stem in stems.items()}, "masks": masks}
    torch.testing.assert_close(dict(np.load(output)), expected, rtol=0, atol=0)


def test_the_installed_pipeline_needs_no_trust_in_a_folders_code(complete):
    assert type(pipeline("audio-to-audio", model=str(complete))) is UNetSVSPipeline


def test_a_half_precision_model_keeps_its_spectrogram_in_full_precision(checkpoint, model):
    half = UNetSVSModel.from_pretrained(checkpoint, dtype=torch.bfloat16)
    mixture = noise(2, 30_000)
    stems, expected = half.separate(mixture, 16_000), model.separate(mixture, 16_000)
    assert np.abs(sum(stems.values()) - mixture).max() <= 1e-5
    error = np.square(stems["vocals"] - expected["vocals"]).sum() / np.square(expected["vocals"]).sum()
    assert error < 1e-3
