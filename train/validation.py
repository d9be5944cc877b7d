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
    """Float32 stems of a song, `accompaniment`, the sum of all but the vocals, and `mixture`, the sum of all."""
    stems = {name: np.asarray(song.stem(name)[:, : song.num_samples], dtype=np.float32) for name in song.stems}
    stems["accompaniment"] = sum(stem for name, stem in stems.items() if name != "vocals")
    stems["mixture"] = stems["accompaniment"] + stems["vocals"]
    return stems


def validate(model: UNetSVSModel, songs: Sequence[DecodedSong], accelerator: Accelerator) -> dict[str, float]:
    """Separates songs and scores the stems; the songs are shared out between processes.

    Args:
        model: with weights to score.
        songs: decoded to the model's rate and channels.
        accelerator: of this process.

    Returns:
        `validation_sdr_<stem>`, mean over songs in dB, for each stem that the songs have, and `validation_sdr`, the
        mean of those.
    """
    sums = np.zeros((2, len(model.config.stems)))
    for song in songs[accelerator.process_index :: accelerator.num_processes]:
        references = song_stems(song)
        estimates = model.separate(references["mixture"], model.config.sampling_rate)
        for index, (name, estimate) in enumerate(estimates.items()):
            score = sdr(references[name], estimate) if name in references else float("nan")
            if np.isfinite(score):
                sums[:, index] += score, 1
    totals = (
        accelerator.reduce(torch.tensor(sums, dtype=torch.float32, device=accelerator.device), "sum").cpu().numpy()
    )
    scores = {
        f"validation_sdr_{name}": float(total / count)
        for name, total, count in zip(model.config.stems, *totals)
        if count
    }
    return {**scores, "validation_sdr": float(np.mean(list(scores.values())))} if scores else {}


__all__ = ["song_stems", "validate"]
