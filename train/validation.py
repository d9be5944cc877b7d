"""Scores of a model on whole songs while it trains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from accelerate import Accelerator

from modeling_unet_svs import UNetSVSModel

from .data.cache import DecodedSong
from .evaluation.scores import sdr


def song_stems(song: DecodedSong) -> dict[str, np.ndarray]:
    """A song's stems, its `accompaniment` and its `mixture`, each float32 `(num_channels, num_samples)`."""
    stems = {name: np.asarray(song.stem(name)[:, : song.num_samples], dtype=np.float32) for name in song.stems}
    stems["accompaniment"] = sum(stem for name, stem in stems.items() if name != "vocals")
    stems["mixture"] = stems["accompaniment"] + stems["vocals"]
    return stems


def validate(model: UNetSVSModel, songs: Sequence[DecodedSong], accelerator: Accelerator) -> dict[str, float]:
    """Mean SDR over songs in dB: `validation_sdr_<stem>`, and `validation_sdr`, their mean, alike in all processes."""
    sums = np.zeros((2, len(model.config.stems)))
    for song in songs[accelerator.process_index :: accelerator.num_processes]:
        references = song_stems(song)
        estimates = model.separate(references["mixture"], model.config.sampling_rate)
        for index, (name, estimate) in enumerate(estimates.items()):
            score = sdr(references[name], estimate) if name in references else float("nan")
            if np.isfinite(score):
                sums[:, index] += score, 1
    sums = torch.tensor(sums, dtype=torch.float32, device=accelerator.device)
    totals = accelerator.reduce(sums, "sum").tolist()
    scores = {
        f"validation_sdr_{name}": total / count for name, total, count in zip(model.config.stems, *totals) if count
    }
    return {**scores, "validation_sdr": float(np.mean(list(scores.values())))} if scores else {}
