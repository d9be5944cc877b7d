"""The deep U-Net for singing-voice separation (Jansson et al., ISMIR 2017) as a transformers model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from .configuration_unet_svs import UNetSVSConfig
from .network import fold_bands, magnitude_of, overlap_add, stft, unfold_bands
from .separation import DEFAULT_BATCH_SIZE, SeparationStream, Waveform, separate

# Energy of a mixture that is digital silence, so that a division by it overflows nothing.
SILENT_ENERGY = 1e-9
# Of the mixture's energy, 30 dB below it: an error that nobody hears, or a silent target, need not get smaller still.
INAUDIBLE_ERROR = 1e-3


def magnitude_l1(
    masks: torch.Tensor,
    mixture: torch.Tensor,
    magnitude: torch.Tensor,
    targets: torch.Tensor,
    scale: torch.Tensor,
    inside: torch.Tensor,
) -> torch.Tensor:
    """L1 distance of magnitudes, ‖mask ⊙ |mixture| - |target|‖₁, mean over all bins (section 3.2 of the paper)."""
    distance = (masks * magnitude[:, None] - magnitude_of(targets)).abs().mean(dim=(1, 2, 4))
    return (distance / scale[:, 0, 0] * inside).sum() / inside.sum().clamp(min=1)


def log_mse(
    masks: torch.Tensor,
    mixture: torch.Tensor,
    magnitude: torch.Tensor,
    targets: torch.Tensor,
    scale: torch.Tensor,
    inside: torch.Tensor,
) -> torch.Tensor:
    """Logarithm of each item's squared error over the mixture's energy: the score SDR, but for overlapping frames."""
    mixture, energy = mixture[:, None], magnitude[:, None].square()
    overlap = mixture.real * targets.real + mixture.imag * targets.imag
    # A real mask turns no phase: |m X - V|² = m² |X|² - 2 m Re(X* V) + |V|².
    error = masks * (masks * energy - 2 * overlap) + targets.real.square() + targets.imag.square()
    counted = inside[:, None, None, :, None]
    mixture_energy = (energy * counted).sum(dim=(2, 3, 4)).clamp(min=SILENT_ENERGY)
    return torch.log((error * counted).sum(dim=(2, 3, 4)) / mixture_energy + INAUDIBLE_ERROR).mean()


LOSSES: dict[str, Callable[..., torch.Tensor]] = {"magnitude_l1": magnitude_l1, "log_mse": log_mse}


MASK_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sigmoid": torch.sigmoid,
    "softplus": nn.functional.softplus,
}
# Below the step of 24-bit audio times any window's sum: only digital silence has no larger magnitude.
SILENT_MAGNITUDE = 1e-8


@dataclass
class UNetSVSOutput(ModelOutput):
    """
    Output of [`UNetSVSModel`].

    Args:
        loss (`torch.FloatTensor` of shape `(1,)`, *optional*, returned when `labels` is given):
            How far the masked mixture is from the targets, as `config.loss` measures it.
        masks (`torch.FloatTensor` of shape `(batch, num_sources, num_channels, n_fft // 2 + 1, num_frames)`):
            Factor for each bin of the mixture's spectrogram, for each of `config.sources`.
    """

    loss: torch.Tensor | None = None
    masks: torch.Tensor | None = None


class UNetSVSEncoderLayer(nn.Module):
    """Convolution that halves both axes, batch normalisation, leaky ReLU (section 3.1)."""

    def __init__(self, config: UNetSVSConfig, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, config.kernel_size, stride=2, padding=config.kernel_size // 2)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = nn.LeakyReLU(config.leaky_relu_slope)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.activation(self.norm(self.conv(hidden_states)))


class UNetSVSDecoderLayer(nn.Module):
    """Transposed convolution that doubles both axes, batch normalisation, ReLU, dropout (section 3.1)."""

    def __init__(self, config: UNetSVSConfig, in_channels: int, out_channels: int, dropout: float):
        super().__init__()
        self.conv = UNetSVSUpsampling(config, in_channels, out_channels)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = nn.ReLU()
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.activation(self.norm(self.conv(hidden_states))))


class UNetSVSUpsampling(nn.ConvTranspose2d):
    """Transposed convolution whose output has exactly twice the rows and columns of its input."""

    def __init__(self, config: UNetSVSConfig, in_channels: int, out_channels: int):
        padding = config.kernel_size // 2
        super().__init__(in_channels, out_channels, config.kernel_size, stride=2, padding=padding, output_padding=1)


class UNetSVSNetwork(nn.Module):
    """One U-Net: scaled magnitudes in, the mask of one source out (section 3.1, figure 1)."""

    def __init__(self, config: UNetSVSConfig):
        super().__init__()
        sizes = list(config.hidden_sizes)
        in_channels = config.num_channels * config.num_bands
        self.skip_connections = config.skip_connections
        self.encoder = nn.ModuleList(
            UNetSVSEncoderLayer(config, before, after) for before, after in zip([in_channels, *sizes], sizes)
        )
        skipped = 2 if config.skip_connections else 1
        self.decoder = nn.ModuleList(
            UNetSVSDecoderLayer(
                config,
                before * (skipped if index else 1),
                after,
                dropout=config.dropout if index < config.num_dropout_layers else 0.0,
            )
            for index, (before, after) in enumerate(zip(sizes[:0:-1], sizes[-2::-1]))
        )
        self.mask = UNetSVSUpsampling(config, sizes[0] * (skipped if len(sizes) > 1 else 1), in_channels)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`(batch, num_channels * num_bands, rows, frames)` to the mask's logits of the same shape."""
        encoded = []
        for layer in self.encoder:
            hidden_states = layer(hidden_states)
            encoded.append(hidden_states)
        encoded.pop()
        for layer in [*self.decoder, self.mask]:
            hidden_states = layer(hidden_states)
            if self.skip_connections and encoded:
                hidden_states = torch.cat([hidden_states, encoded.pop()], dim=1)
        return hidden_states


class UNetSVSModel(PreTrainedModel):
    """Separates a mixture into stems with one U-Net for each of `config.sources`.

    Args:
        config ([`UNetSVSConfig`]): the network's shape, its spectrogram and the names of the stems.
    """

    config: UNetSVSConfig
    config_class = UNetSVSConfig
    base_model_prefix = "unets"
    main_input_name = "input_values"
    input_modalities = "audio"
    _no_split_modules = ["UNetSVSNetwork"]

    def __init__(self, config: UNetSVSConfig):
        super().__init__(config)
        self.unets = nn.ModuleDict({source: UNetSVSNetwork(config) for source in config.sources})
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
            if module.bias is not None:
                init.zeros_(module.bias)
        else:
            super()._init_weights(module)

    def magnitude_scale(self, magnitude: torch.Tensor) -> torch.Tensor:
        """The number that a patch's magnitudes, and its targets', are divided by.

        Args:
            magnitude: `(batch, num_channels, bins, num_frames)`, of the mixture.

        Returns:
            `(batch, 1, 1, 1)`, the largest magnitude, or the mean of those frames that are not digital silence
            (`config.magnitude_scaling`); 1 where all are.
        """
        loudest = magnitude.amax(dim=(1, 2))
        scale = loudest.amax(1)
        if self.config.magnitude_scaling == "mean":
            num_heard = (loudest > SILENT_MAGNITUDE).sum(1)
            scale = magnitude.mean(dim=(1, 2)).sum(1) / num_heard.clamp(min=1)
        return torch.where(scale > SILENT_MAGNITUDE, scale, 1.0)[:, None, None, None]

    def estimate_masks(self, magnitude: torch.Tensor) -> torch.Tensor:
        """The masks for patches of the mixture's magnitudes.

        The network takes `n_fft // 2` bins; the one left out is the highest, at half the sampling rate, and it gets
        the mask of the bin below.

        Args:
            magnitude: float tensor `(batch, num_channels, n_fft // 2 + 1, num_frames)`, `num_frames` a multiple of
                `config.frame_multiple`.

        Returns:
            float32 tensor `(batch, num_sources, num_channels, n_fft // 2 + 1, num_frames)`.
        """
        config = self.config
        scaled = (magnitude / self.magnitude_scale(magnitude))[:, :, : config.num_bins]
        if config.magnitude_exponent != 1:
            scaled = scaled**config.magnitude_exponent
        hidden_states = fold_bands(scaled, config.num_bands).to(self.dtype)
        activation = MASK_ACTIVATIONS[config.mask_activation]
        masks = torch.stack(
            [unfold_bands(activation(unet(hidden_states).float()), config.num_bands) for unet in self.unets.values()],
            dim=1,
        )
        if config.mask_activation == "sigmoid" and config.mask_bound != 1:
            masks = masks * config.mask_bound
        return torch.cat([masks, masks[..., -1:, :]], dim=-2)

    def forward(
        self,
        input_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        label_bandwidth: torch.Tensor | None = None,
        return_dict: bool | None = None,
    ) -> UNetSVSOutput | tuple[torch.Tensor, ...]:
        """Masks for a batch of mixtures, and the loss of training where targets are given.

        Frame `t` of the masks is samples `t * hop_length` to `t * hop_length + n_fft - 1`; zeros are added at the end
        up to a whole number of `config.frame_multiple` frames. For stems of a whole song see `separate`.

        Args:
            input_values: mixtures at `config.sampling_rate`, full scale 1: `(batch, num_samples)` for a mono model,
                `(batch, num_channels, num_samples)` for any.
            labels: targets, `(batch, num_sources, num_channels, num_samples)`; the two middle axes may be left out
                where they are 1.
            label_bandwidth: `(batch,)`, frequency in Hz up to which each item's labels are true; what is above does
                not count in the loss. `None` for all of it.
            return_dict: `False` for a plain tuple.

        Returns:
            [`UNetSVSOutput`], which says the shapes, with `masks` and, where `labels` are given, `loss`.

        Raises:
            ValueError: shapes that do not fit the configuration.
        """
        mixture = self._spectrum(input_values, "input_values", (self.config.num_channels,))
        magnitude = magnitude_of(mixture)
        masks = self.estimate_masks(magnitude)
        loss = None
        if labels is not None:
            targets = self._spectrum(labels, "labels", (len(self.config.sources), self.config.num_channels))
            scale, inside = self.magnitude_scale(magnitude), self._bins_within(label_bandwidth, magnitude)
            loss = LOSSES[self.config.loss](masks, mixture, magnitude, targets, scale, inside)
        if return_dict is False:
            return (masks,) if loss is None else (loss, masks)
        return UNetSVSOutput(loss=loss, masks=masks)

    def separate(
        self,
        waveform: Waveform,
        sampling_rate: int,
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        progress_callback: Callable[[int, int], None] | None = None,
    ) -> dict[str, Waveform]:
        """Takes a mixture apart into `config.stems`.

        Whatever the model's own rate and channels are, the stems have the mixture's length, rate, channels and kind;
        where `config.residual` is named they add up to it. It is done in evaluation mode, and nothing is cut off.

        Args:
            waveform: numpy array or torch tensor `(num_samples,)`, `(num_channels, num_samples)` or
                `(batch, num_channels, num_samples)`; floating point with full scale 1, or signed integer PCM.
            sampling_rate: of the waveform in Hz, 4000 to 192000.
            batch_size: patches that the network takes at once: more is faster on long songs and needs more memory.
            progress_callback: called now and then with the number of samples done and of all samples.

        Returns:
            float32 waveform of the same shape and kind for each name in `config.stems`, the sources first.

        Raises:
            ValueError: NaN or infinite samples, no samples, or a shape, rate or batch size out of range.
        """
        stems = separate(self, waveform, sampling_rate, batch_size, progress_callback)
        if isinstance(waveform, torch.Tensor):
            return {name: torch.from_numpy(stem).to(waveform.device) for name, stem in stems.items()}
        return dict(stems)

    def stream(
        self, sampling_rate: int, num_channels: int, *, batch_size: int = DEFAULT_BATCH_SIZE
    ) -> SeparationStream:
        """Starts the separation of a mixture that comes in blocks.

        Args:
            sampling_rate: of the mixture in Hz, 4000 to 192000.
            num_channels: of the mixture.
            batch_size: patches that the network takes at once; fewer mean a shorter latency.

        Returns:
            [`SeparationStream`] with `push(block)`, `flush()` and `latency`.

        Raises:
            ValueError: a rate, number of channels or batch size out of range.
        """
        return SeparationStream(self, sampling_rate, num_channels, batch_size)

    def estimate_sources(self, waveform: np.ndarray, num_patches: int) -> np.ndarray:
        """The sources of the frames that neighbouring patches keep; what [`SeparationStream`] is made of.

        Args:
            waveform: float32 `(num_groups, num_channels, num_samples)`, all the frames of the patches.
            num_patches: how many patches those are.

        Returns:
            float32 `(num_groups, num_sources, num_channels, any number)`: the kept frames added up, windowed and not
            divided by `synthesis_envelope`.
        """
        with _evaluation(self):
            groups = torch.from_numpy(waveform).to(self.device)
            return torch.stack([self._added_up_frames(group, num_patches) for group in groups]).cpu().numpy()

    def _added_up_frames(self, waveform: torch.Tensor, num_patches: int) -> torch.Tensor:
        """`(num_channels, samples)` with context to `(num_sources, num_channels, samples)` of the kept frames."""
        config = self.config
        num_kept = config.num_frames - 2 * config.context_frames
        kept = slice(config.context_frames, config.context_frames + num_kept)
        spectrum = stft(waveform, config.n_fft, config.hop_length)
        patches = magnitude_of(spectrum).unfold(-1, config.num_frames, num_kept).permute(2, 0, 1, 3)
        # Frames before bins, as the spectrum lies in memory.
        masks = self.estimate_masks(patches)[..., kept].permute(1, 2, 0, 4, 3).flatten(2, 3).mT
        mixture = spectrum[..., config.context_frames : config.context_frames + num_patches * num_kept]
        return overlap_add(mixture * masks, config.n_fft, config.hop_length)

    def _spectrum(self, waveform: torch.Tensor, name: str, middle: tuple[int, ...]) -> torch.Tensor:
        """Spectrograms of `(batch, *middle, num_samples)`, with zeros at the end to fill the last frames."""
        shape = (waveform.shape[0], *middle, waveform.shape[-1])
        if waveform.ndim < 2 or waveform.shape[-1] == 0 or waveform.numel() != math.prod(shape):
            wanted = ", ".join(str(size) for size in middle)
            raise ValueError(f"{name} has shape {tuple(waveform.shape)}: use (batch, {wanted}, num_samples).")
        n_fft, hop_length, multiple = self.config.n_fft, self.config.hop_length, self.config.frame_multiple
        num_frames = max(1, 1 + math.ceil((waveform.shape[-1] - n_fft) / hop_length))
        num_frames = math.ceil(num_frames / multiple) * multiple
        missing = (num_frames - 1) * hop_length + n_fft - waveform.shape[-1]
        return stft(nn.functional.pad(waveform.reshape(shape), (0, missing)), n_fft, hop_length)

    def _bins_within(self, label_bandwidth: torch.Tensor | None, magnitude: torch.Tensor) -> torch.Tensor:
        """1 for each item's bins, `(batch, bins)`, up to its bandwidth, and 0 for those above."""
        batch, _, num_bins, _ = magnitude.shape
        if label_bandwidth is None:
            return magnitude.new_ones(batch, num_bins)
        frequency = torch.arange(num_bins, device=magnitude.device) * (self.config.sampling_rate / self.config.n_fft)
        return (frequency <= label_bandwidth[:, None]).to(magnitude.dtype)


@contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    """Context in which a model is in evaluation mode and records no gradients."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


UNetSVSModel.register_for_auto_class("AutoModel")
