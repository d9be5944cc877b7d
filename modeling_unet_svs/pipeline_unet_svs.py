"""The transformers pipeline: songs in, stems out."""

from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from transformers import Pipeline

from .audio_reading import read_audio
from .feature_extraction_unet_svs import UNetSVSFeatureExtractor
from .separation import DEFAULT_BATCH_SIZE, Separator


class UNetSVSPipeline(Pipeline):
    """`pipeline("audio-to-audio", model=...)`: separates songs into stems.

    A song is an audio or video file, as its path, its bytes, an open file, or a dictionary with `bytes` or `path`; a
    dictionary with `sampling_rate` and the waveform as `array` or `raw`, as in a `datasets` audio column; or a
    waveform `(num_samples,)` or `(num_channels, num_samples)`, numpy or torch, with `sampling_rate=...` in the call.
    A list of songs gives a list of results, one song after the other, since they differ in length; a `batch_size`
    above 1 is the number of patches of a song that the network takes at once.

    Args:
        model: [`UNetSVSModel`].
        feature_extractor: that `save_pretrained` saves with the model; `None` for one that fits it.

    Returns, for each song, a list with one dictionary for each stem: `label`, `audio` (float32 `(num_channels,
    num_samples)`, of the song's length, rate and channels) and `sampling_rate` in Hz.

    Raises:
        ValueError: a file that cannot be read, or a waveform without its rate.
    """

    model: Separator
    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(self, model: Any, feature_extractor: UNetSVSFeatureExtractor | None = None, **kwargs: Any):
        # For `save_pretrained`; separating needs none.
        config = model.config
        extractor = feature_extractor or UNetSVSFeatureExtractor(config.num_channels, config.sampling_rate)
        super().__init__(model=model, feature_extractor=extractor, **kwargs)

    def get_iterator(
        self, inputs: Any, num_workers: int, batch_size: int, preprocess: Any, forward: Any, postprocess: Any
    ) -> Any:
        """Of the results of a list; songs differ in length, so what makes a batch is the patches of one song."""
        forward = {"batch_size": batch_size, **forward} if batch_size > 1 else forward
        return super().get_iterator(inputs, num_workers, 1, preprocess, forward, postprocess)

    def _sanitize_parameters(self, sampling_rate: int | None = None, **kwargs: Any) -> tuple[dict[str, Any], ...]:
        if kwargs:
            raise ValueError(f"unknown argument {next(iter(kwargs))!r}: the pipeline takes sampling_rate alone.")
        return ({} if sampling_rate is None else {"sampling_rate": sampling_rate}), {}, {}

    def preprocess(
        self,
        song: str | Path | bytes | IO[bytes] | dict[str, Any] | np.ndarray | torch.Tensor,
        sampling_rate: int | None = None,
    ) -> dict[str, Any]:
        """Turns a song in any form into its `waveform`, `(num_channels, num_samples)`, and `sampling_rate`."""
        waveform: Any = song
        if isinstance(waveform, dict):
            given = {key: value for key, value in waveform.items() if value is not None}
            sampling_rate = given.get("sampling_rate", sampling_rate)
            file = BytesIO(given["bytes"]) if "bytes" in given else given.get("path")
            waveform = given.get("array", given.get("raw", file))
        if isinstance(waveform, (str, Path, bytes)) or hasattr(waveform, "read"):
            waveform, sampling_rate = read_audio(waveform)
        elif hasattr(waveform, "get_all_samples"):  # the audio column of `datasets`
            samples = waveform.get_all_samples()
            waveform, sampling_rate = samples.data, samples.sample_rate
        if waveform is None or sampling_rate is None:
            raise ValueError('the song has no sampling rate: use {"array": waveform, "sampling_rate": 44100}.')
        waveform = waveform if isinstance(waveform, torch.Tensor) else np.asarray(waveform)
        return {"waveform": waveform[None] if waveform.ndim == 1 else waveform, "sampling_rate": sampling_rate}

    def _forward(self, model_inputs: dict[str, Any], batch_size: int = DEFAULT_BATCH_SIZE) -> dict[str, Any]:
        waveform, rate = model_inputs["waveform"], model_inputs["sampling_rate"]
        stems = self.model.separate(waveform, rate, batch_size=batch_size)
        return {"stems": stems, "sampling_rate": model_inputs["sampling_rate"]}

    def postprocess(self, model_outputs: dict[str, Any]) -> list[dict[str, Any]]:
        """Turns stems into the dictionaries that the call returns."""
        rate = model_outputs["sampling_rate"]
        stems = model_outputs["stems"].items()
        return [{"label": name, "audio": np.asarray(stem), "sampling_rate": rate} for name, stem in stems]
