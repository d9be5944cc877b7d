"""The deep U-Net (Jansson et al., ISMIR 2017), its transforms, and separation with both, in PyTorch alone."""

import copy
import os
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from .architecture import Architecture
from .separation import Separator

# Below one step of 24-bit audio times any window's sum, so that only digital silence has no larger magnitude.
SILENT_MAGNITUDE = 1e-8

if hasattr(os, "register_at_fork"):
    # A forked process has none of PyTorch's threads, and would wait for them for ever.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def hann_window(n_fft: int, device: torch.device | str | None = None) -> torch.Tensor:
    """Periodic Hann window, the analysis and the synthesis window."""
    return torch.hann_window(n_fft, dtype=torch.float32, device=device)


def stft(waveform: torch.Tensor, n_fft: int, hop_length: int) -> torch.Tensor:
    """Short-time Fourier transform without any padding: frame `t` is samples `t * hop_length` and `n_fft - 1` more."""
    flat = waveform.float().reshape(-1, waveform.shape[-1])
    window = hann_window(n_fft, flat.device)
    spectrum = torch.stft(flat, n_fft, hop_length, window=window, center=False, return_complex=True)
    return spectrum.reshape(*waveform.shape[:-1], *spectrum.shape[-2:])


def magnitude_of(spectrum: torch.Tensor) -> torch.Tensor:
    """Magnitude of a complex spectrum, several times as fast on CPUs as `abs()` of a strided complex tensor."""
    return torch.hypot(spectrum.real, spectrum.imag).contiguous()


def overlap_add(spectrum: torch.Tensor, n_fft: int, hop_length: int) -> torch.Tensor:
    """Inverse of every frame, windowed again and added up, not yet divided by `synthesis_envelope`."""
    num_frames = spectrum.shape[-1]
    # In place, and padded only if necessary: new memory costs as much time as the transform.
    frames = torch.fft.irfft(spectrum.transpose(-1, -2), n=n_fft).mul_(hann_window(n_fft, spectrum.device))
    if n_fft % hop_length:
        frames = nn.functional.pad(frames, (0, -n_fft % hop_length))
    # A frame is a row of hops: the first hops of all frames lie one after the other, and so do the second, ...
    hops = frames.unflatten(-1, (-1, hop_length))
    num_hops = hops.shape[-2]
    added = hops.new_zeros(*spectrum.shape[:-2], num_frames + num_hops - 1, hop_length)
    for index in range(num_hops):
        added[..., index : index + num_frames, :] += hops[..., index, :]
    return added.flatten(-2)[..., : (num_frames - 1) * hop_length + n_fft]


def fold_bands(magnitude: torch.Tensor, num_bands: int) -> torch.Tensor:
    """Folds bins into channels: bin `k` goes to row `k // num_bands` of the channel for band `k % num_bands`."""
    batch, channels, num_bins, num_frames = magnitude.shape
    rows = magnitude.reshape(batch, channels, num_bins // num_bands, num_bands, num_frames)
    return rows.transpose(2, 3).reshape(batch, channels * num_bands, num_bins // num_bands, num_frames)


def unfold_bands(folded: torch.Tensor, num_bands: int) -> torch.Tensor:
    """Inverse of `fold_bands`."""
    batch, channels, num_rows, num_frames = folded.shape
    rows = folded.reshape(batch, channels // num_bands, num_bands, num_rows, num_frames)
    return rows.transpose(2, 3).reshape(batch, channels // num_bands, num_rows * num_bands, num_frames)


class UNetSVSLayer(nn.Module):
    """Strided convolution, batch normalisation, activation and, in the decoder, dropout (section 3.1)."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, activation: nn.Module, dropout: float = 0.0):
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels)
        self.activation = activation
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.activation(self.norm(self.conv(hidden_states))))


class UNetSVSNetwork(nn.Module):
    """One U-Net: scaled magnitudes in, the mask of one source out (section 3.1, figure 1)."""

    def __init__(self, config: Architecture, hidden_sizes: Sequence[int], num_bands: int):
        super().__init__()
        sizes, size, padding = list(hidden_sizes), config.kernel_size, config.kernel_size // 2
        in_channels = config.num_channels * num_bands

        def halving(before: int, after: int) -> nn.Conv2d:
            return nn.Conv2d(before, after, size, stride=2, padding=padding)

        def doubling(before: int, after: int) -> nn.ConvTranspose2d:
            return nn.ConvTranspose2d(before, after, size, stride=2, padding=padding, output_padding=1)

        self.skip_connections = config.skip_connections
        self.encoder = nn.ModuleList(
            UNetSVSLayer(halving(before, after), nn.LeakyReLU(config.leaky_relu_slope))
            for before, after in zip([in_channels, *sizes], sizes)
        )
        self.decoder = nn.ModuleList()
        skipped = 1
        for index, (before, after) in enumerate(zip(sizes[:0:-1], sizes[-2::-1])):
            dropout = config.dropout if index < (config.num_dropout_layers or 0) else 0.0
            self.decoder.append(UNetSVSLayer(doubling(before * skipped, after), nn.ReLU(), dropout))
            skipped = 2 if config.skip_connections else 1
        self.mask = doubling(sizes[0] * skipped, in_channels)

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


def make_unets(config: Architecture) -> tuple[nn.ModuleDict, nn.ModuleDict | None]:
    """A U-Net for each source and, if the configuration has `low_bins`, a second one for these."""
    low_sizes = config.low_hidden_sizes or config.hidden_sizes
    unets = {source: UNetSVSNetwork(config, config.hidden_sizes, config.num_bands) for source in config.sources}
    low_unets = {source: UNetSVSNetwork(config, low_sizes, 1) for source in config.sources if config.low_bins}
    return nn.ModuleDict(unets), nn.ModuleDict(low_unets) if low_unets else None


class UNetSVSSeparator(Separator):
    """Adds masks and separation to a module that has the U-Nets of `make_unets`."""

    config: Architecture
    unets: nn.ModuleDict
    low_unets: nn.ModuleDict | None

    def magnitude_scale(self, magnitude: torch.Tensor) -> torch.Tensor:
        """`(batch, 1, 1, 1)`: the mixture's largest magnitude, or the mean of its frames that are not silent."""
        loudest = magnitude.amax(dim=(1, 2))
        scale = loudest.amax(1)
        if self.config.magnitude_scaling == "mean":
            num_heard = (loudest > SILENT_MAGNITUDE).sum(1)
            scale = magnitude.mean(dim=(1, 2)).sum(1) / num_heard.clamp(min=1)
        return torch.where(scale > SILENT_MAGNITUDE, scale, 1.0)[:, None, None, None]

    def estimate_masks(self, magnitude: torch.Tensor) -> torch.Tensor:
        """Estimates the masks for patches of the mixture's magnitudes, always as in evaluation mode.

        Args:
            magnitude: float tensor `(batch, num_channels, n_fft // 2 + 1, num_frames)`, `num_frames` a multiple of
                `config.frame_multiple`.

        Returns:
            float32 tensor `(batch, num_sources, num_channels, n_fft // 2 + 1, num_frames)`.
        """
        return self.masks_of(in_evaluation(self.unets), in_evaluation(self.low_unets), magnitude)

    def masks_of(self, unets: nn.ModuleDict, low_unets: nn.ModuleDict | None, magnitude: torch.Tensor) -> torch.Tensor:
        """Masks of the given U-Nets, in their own mode; the highest bin gets the mask of the bin below."""
        config = self.config
        scaled = (magnitude / self.magnitude_scale(magnitude))[:, :, : config.num_bins]
        if config.magnitude_exponent != 1:
            scaled = scaled**config.magnitude_exponent
        logits = logits_of(unets, scaled, config.num_bands)
        if low_unets is not None:
            low = logits_of(low_unets, scaled[:, :, : config.low_bins], 1)
            logits = logits + nn.functional.pad(low, (0, 0, 0, config.num_bins - config.low_bins))
        masks = torch.sigmoid(logits)
        return torch.cat([masks, masks[..., -1:, :]], dim=-2)

    @torch.inference_mode()
    def overlap_added_frames(self, waveform: np.ndarray, num_patches: int) -> np.ndarray:
        config, kept = self.config, self.config.kept_frames
        num_kept = kept.stop - kept.start
        device = next(self.unets.parameters()).device
        spectrum = stft(torch.from_numpy(waveform).to(device), config.n_fft, config.hop_length)
        patches = magnitude_of(spectrum).unfold(-1, config.num_frames, num_kept).permute(2, 0, 1, 3)
        # Frames before bins, like the spectrum in memory.
        masks = self.estimate_masks(patches)[..., kept].permute(1, 2, 0, 4, 3).flatten(2, 3).mT
        mixture = spectrum[..., kept.start : kept.start + num_patches * num_kept]
        return overlap_add(mixture * masks, config.n_fft, config.hop_length).cpu().numpy()


def logits_of(unets: nn.ModuleDict, scaled: torch.Tensor, num_bands: int) -> torch.Tensor:
    """Magnitudes `(batch, channels, bins, frames)` to logits `(batch, sources, channels, bins, frames)`."""
    hidden_states = fold_bands(scaled, num_bands).to(next(unets.parameters()).dtype)
    return torch.stack([unfold_bands(unet(hidden_states).float(), num_bands) for unet in unets.values()], dim=1)


UNets = TypeVar("UNets", bound=nn.ModuleDict | None)


def in_evaluation(unets: UNets) -> UNets:
    """The modules or, while they are trained, copies in evaluation mode that share their weights."""
    if unets is None or not unets.training:
        return unets
    shared = {id(tensor): tensor for tensor in (*unets.parameters(), *unets.buffers())}
    return copy.deepcopy(unets, shared).eval()


class UNetSVSModule(UNetSVSSeparator, nn.Module):
    """[`UNetSVSModel`] without transformers: the same weights by the same names, for separation alone."""

    def __init__(self, config: Architecture):
        super().__init__()
        self.config = config
        self.unets, self.low_unets = make_unets(config)
        self.eval()

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type that the network computes in; the spectrogram is always float32."""
        return next(self.parameters()).dtype

    def num_parameters(self) -> int:
        """Number of trained parameters."""
        return sum(parameter.numel() for parameter in self.parameters())
