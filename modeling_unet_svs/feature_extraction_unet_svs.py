"""Turns waveforms into the batch that the model's `forward` takes."""

from typing import Any

import numpy as np
import torch
from transformers import BatchFeature, SequenceFeatureExtractor
from transformers.utils import PaddingStrategy, TensorType

from .separation import MAX_SAMPLING_RATE
from .waveforms import MAX_SAMPLE, as_float32, refuse_exchanged_axes, refuse_if


class UNetSVSFeatureExtractor(SequenceFeatureExtractor):
    r"""
    Gives waveforms the model's number of channels and pads them to a batch. The model computes the spectrogram
    itself; [`UNetSVSModel.separate`] takes songs at other rates.

    Args:
        feature_size (`int`, *optional*, defaults to 1):
            Audio channels of the model: 1 makes mono of stereo by the mean, 2 doubles mono.
        sampling_rate (`int`, *optional*, defaults to 8192):
            Rate in Hz that the model works at.
        padding_value (`float`, *optional*, defaults to 0.0):
            Sample that shorter waveforms are filled up with.

    Raises:
        ValueError: a number that is out of range, or no number.
    """

    model_input_names = ["input_values"]

    def __init__(self, feature_size: int = 1, sampling_rate: int = 8192, padding_value: float = 0.0, **kwargs: Any):
        for name, value, kind, lowest, highest in (
            ("feature_size", feature_size, int, 1, MAX_SAMPLING_RATE),
            ("sampling_rate", sampling_rate, int, 1, MAX_SAMPLING_RATE),
            ("padding_value", padding_value, (int, float), -MAX_SAMPLE, MAX_SAMPLE),
        ):
            is_out = not isinstance(value, kind) or not lowest <= value <= highest
            refuse_if(is_out, f"{name} is {value!r}: use a number from {lowest} to {highest}.")
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)

    def __call__(
        self,
        audio: np.ndarray | torch.Tensor | list[Any],
        sampling_rate: int | None = None,
        padding: bool | str | PaddingStrategy = True,
        return_tensors: str | TensorType | None = None,
    ) -> BatchFeature:
        """Turns a waveform, or a list of waveforms, into `input_values`.

        Args:
            audio: waveform `(num_samples,)` or `(num_channels, num_samples)`, numpy or torch, or a list of such.
            sampling_rate: in Hz, of all of them; to be given, so that no other rate goes unnoticed.
            padding: `False` to refuse waveforms of different lengths; anything else pads them at the end.
            return_tensors: `"pt"` or `"np"`.

        Returns:
            `input_values`, float32 `(batch, feature_size, num_samples)`.

        Raises:
            ValueError: another rate or number of channels, NaN or infinite samples, or nothing at all.
        """
        refuse_if(
            sampling_rate not in (None, self.sampling_rate),
            f"sampling_rate is {sampling_rate} Hz where the model works at {self.sampling_rate} Hz: resample the "
            "waveform, or use model.separate, which takes any rate.",
        )
        is_waveform = isinstance(audio, (np.ndarray, torch.Tensor))
        is_list = isinstance(audio, (list, tuple)) and len(audio) > 0
        what = f"audio is empty, or of type {type(audio).__name__}: use one waveform or a list of them."
        refuse_if(not is_waveform and not is_list, what)
        is_waveform = is_waveform or np.isscalar(audio[0])
        waveforms = [self._with_channels(as_float32(waveform)) for waveform in ([audio] if is_waveform else audio)]
        lengths = {waveform.shape[1] for waveform in waveforms}
        refuse_if(padding is False and len(lengths) > 1, "the waveforms differ in length: use padding=True.")
        batch = np.full((len(waveforms), len(waveforms[0]), max(lengths)), self.padding_value, dtype=np.float32)
        for item, waveform in zip(batch, waveforms):
            item[:, : waveform.shape[1]] = waveform
        return BatchFeature({"input_values": batch}, tensor_type=return_tensors or "np")

    def _with_channels(self, waveform: np.ndarray) -> np.ndarray:
        waveform, wanted = np.atleast_2d(waveform), self.feature_size
        given = len(waveform)
        refuse_exchanged_axes(waveform.shape)
        is_other = waveform.ndim != 2 or waveform.size == 0 or (wanted > 1 and given not in (1, wanted))
        shapes = f"use (samples,) or (channels, samples) of 1 or {wanted} channels."
        refuse_if(is_other, f"a waveform has shape {waveform.shape}, {given} channels: {shapes}")
        if wanted == 1 and given > 1:
            return waveform.mean(axis=0, keepdims=True)
        return waveform if given == wanted else np.repeat(waveform, wanted, axis=0)


UNetSVSFeatureExtractor.register_for_auto_class()
