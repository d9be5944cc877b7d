"""Where it is computed and in which precision."""

import numpy as np
import pytest
import torch

from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.audio_reading import read_audio
from modeling_unet_svs.command import torch_runtime as devices
from modeling_unet_svs.command.torch_runtime import choose_device, choose_dtype, load_checkpoint
from train.evaluation.scores import sdr

CPU = torch.device("cpu")


def test_auto_without_a_gpu_that_can_be_used_is_the_cpu_and_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == (CPU, "found no GPU")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(devices, "_why_not", lambda _: "the driver is too old")
    assert choose_device("auto") == (CPU, "the GPU cannot be used: the driver is too old")


def test_a_device_that_was_asked_for_and_is_not_there_is_an_error():
    missing = next(name for name in ("mps", "cuda") if not getattr(torch, name).is_available())
    with pytest.raises(ValueError, match=f"--device {missing} cannot be used: ."):
        choose_device(missing)
    assert choose_device("cpu") == (CPU, "as asked for")


@pytest.mark.parametrize(("multiplies", "auto"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_takes_bfloat16_on_a_cpu_that_has_it(monkeypatch, multiplies, auto):
    monkeypatch.setattr(devices, "_cpu_multiplies_bfloat16", lambda: multiplies)
    dtypes = [choose_dtype(name, CPU) for name in ("auto", "float32", "bfloat16")]
    assert dtypes == [auto, torch.float32, torch.bfloat16]


def test_bfloat16_moves_the_mean_sdr_of_the_stems_by_less_than_a_fiftieth_of_a_decibel(musdb_dir):
    full, half = load_checkpoint(DEFAULT_CHECKPOINT), load_checkpoint(DEFAULT_CHECKPOINT, torch.bfloat16)
    moved = []
    for path in sorted(musdb_dir.glob("test/*.stem.mp4"))[:5]:
        (mixture, rate), (vocals, _) = read_audio(path), read_audio(path, audio_stream=4)
        true = {"vocals": vocals, "accompaniment": mixture - vocals}
        expected, found = (model.separate(mixture, rate) for model in (full, half))
        moved.append([sdr(true[stem], found[stem]) - sdr(true[stem], expected[stem]) for stem in true])
    assert np.abs(np.mean(moved, axis=0)).max() < 0.02
    assert np.abs(moved).max() < 0.1
