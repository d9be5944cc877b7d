"""The transformers pipeline: songs in, stems out."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Pipeline

from .audio_reading import read_audio
from .separation import Separator


class UNetSVSPipeline(Pipeline):
    """`pipeline("audio-to-audio", model=...)`: separates songs into stems.

    A song is the path of an audio or video file; a dictionary with `sampling_rate` and the waveform as `array` or
    `raw`, as in a `datasets` audio column; or a waveform `(num_samples,)` or `(num_channels, num_samples)`, numpy or
    torch, with `sampling_rate=...` in the call. A list of songs gives a list of results.

    Returns, for each song, a list with one dictionary for each stem: `label`, `audio` (float32 `(num_channels,
    num_samples)`, of the song's length, rate and channels) and `sampling_rate` in Hz.

    Raises:
        ValueError: a file that cannot be read, or a waveform without its rate.
    """

    model: Separator
    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = True
    _load_tokenizer = False

    def _sanitize_parameters(self, sampling_rate: int | None = None, **kwargs: Any) -> tuple[dict[str, Any], ...]:
        if kwargs:
            raise ValueError(f"unknown argument {next(iter(kwargs))!r}: the pipeline takes sampling_rate alone.")
        return ({} if sampling_rate is None else {"sampling_rate": sampling_rate}), {}, {}

    def preprocess(
        self, song: str | Path | dict[str, Any] | np.ndarray | torch.Tensor, sampling_rate: int | None = None
    ) -> dict[str, Any]:
        """Turns a song in any form into its `waveform`, `(num_channels, num_samples)`, and `sampling_rate`."""
        if isinstance(song, (str, Path)):
            waveform, sampling_rate = read_audio(song)
        elif isinstance(song, dict):
            waveform = song.get("array", song.get("raw"))
            sampling_rate = song.get("sampling_rate", sampling_rate)
        elif hasattr(song, "get_all_samples"):  # the audio column of `datasets`
            samples = song.get_all_samples()
            waveform, sampling_rate = samples.data, samples.sample_rate
        else:
            waveform = song
        if waveform is None or sampling_rate is None:
            raise ValueError('the song has no sampling rate: use {"array": waveform, "sampling_rate": 44100}.')
        waveform = waveform if isinstance(waveform, torch.Tensor) else np.asarray(waveform)
        return {"waveform": waveform[None] if waveform.ndim == 1 else waveform, "sampling_rate": sampling_rate}

    def _forward(self, model_inputs: dict[str, Any]) -> dict[str, Any]:
        stems = self.model.separate(model_inputs["waveform"], model_inputs["sampling_rate"])
        return {"stems": stems, "sampling_rate": model_inputs["sampling_rate"]}

    def postprocess(self, model_outputs: dict[str, Any]) -> list[dict[str, Any]]:
        """Turns stems into the dictionaries that the call returns."""
        rate = model_outputs["sampling_rate"]
        stems = model_outputs["stems"].items()
        return [{"label": name, "audio": np.asarray(stem), "sampling_rate": rate} for name, stem in stems]
