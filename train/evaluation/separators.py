"""The model whose estimates are scored, and the two bounds that its scores are read between."""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from modeling_unet_svs.command.torch_runtime import load_checkpoint
from modeling_unet_svs.network import hann_window
from modeling_unet_svs.separation import refuse_if

from .scores import STEMS

MIXTURE = "mixture"
IRM = "irm"
# The oracle's window: 4096 samples at 44.1 kHz, and about the paper's 1024 at 8192 Hz.
IRM_WINDOW_SECONDS = 0.093


@dataclass(frozen=True)
class Estimator:
    """Estimates stems from references and their rate in Hz; its own rate is `None` where it takes any."""

    name: str
    fingerprint: str
    sampling_rate: int | None
    separate: Callable[[np.ndarray, int], np.ndarray]


def load_estimator(name: str, device: torch.device | str = "cpu") -> Estimator:
    """A model, the mixture or the oracle, by its name."""
    if name == MIXTURE:
        return Estimator(name, "the mixture as every stem", None, mixture_as_estimate)
    if name == IRM:
        formula = f"|s|²/(|v|²+|a|²), Hann window of about {IRM_WINDOW_SECONDS} s"
        return Estimator(name, formula, None, ideal_ratio_mask)
    model = load_checkpoint(name)
    stems = model.config.stems
    refuse_if(not set(STEMS) <= set(stems), f"--model {name} has the stems {', '.join(stems)}, not both of {STEMS}.")
    # The fingerprint is of what decides the estimates, not of how, or with which version, the model was saved.
    # The mask is named as it was when it could be another one, so that earlier results are still those of this model.
    config = {**asdict(model.config), "mask_activation": "sigmoid", "mask_bound": 1.0}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    model.to(device)

    def separate(references: np.ndarray, sampling_rate: int) -> np.ndarray:
        stems = model.separate(references.sum(axis=0), sampling_rate)
        return np.stack([stems[stem] for stem in STEMS])

    return Estimator(name, f"sha256:{digest.hexdigest()}", model.config.sampling_rate, separate)


def mixture_as_estimate(references: np.ndarray, sampling_rate: int) -> np.ndarray:
    """The floor: nothing is separated."""
    return np.broadcast_to(references.sum(axis=0), references.shape)


def ideal_ratio_mask(references: np.ndarray, sampling_rate: int) -> np.ndarray:
    """The ceiling of soft masks: the true share of each stem's power in each bin, with the mixture's phase."""
    n_fft = 2 ** round(math.log2(IRM_WINDOW_SECONDS * sampling_rate))
    transform = {"n_fft": n_fft, "hop_length": n_fft // 4, "window": hann_window(n_fft)}
    *stems, mixture = (
        torch.stft(torch.from_numpy(waveform), pad_mode="constant", return_complex=True, **transform)
        for waveform in (*references, references.sum(axis=0))
    )
    powers = torch.stack(stems).abs().square()
    masks = powers / powers.sum(0).clamp(min=torch.finfo(torch.float32).tiny)
    length = references.shape[-1]
    return torch.stack([torch.istft(mask * mixture, length=length, **transform) for mask in masks]).numpy()
