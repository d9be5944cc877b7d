"""What training makes small: how far the masked mixture is from the target."""

from collections.abc import Callable

import torch

from .spectrogram import magnitude_of

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
    """L1 distance of magnitudes, ‖mask ⊙ |mixture| - |target|‖₁, mean over all bins (section 3.2 of the paper).

    Args:
        masks: `(batch, num_sources, num_channels, bins, num_frames)`.
        mixture: complex spectrogram `(batch, num_channels, bins, num_frames)`; not used, its magnitudes are enough.
        magnitude: of the mixture, of the same shape.
        targets: complex spectrograms of the masks' shape.
        scale: `(batch, 1, 1, 1)`, number that all magnitudes of an item are divided by.
        inside: `(batch, bins)`, 1 for bins that count and 0 for others.

    Returns:
        The loss, of shape `()`.
    """
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
    """Logarithm of each item's squared error, against the mixture's energy: the score SDR, but for overlapping frames.

    The error is that of complex spectrograms, mask ⊙ mixture - target. The logarithm has songs count alike, whether
    their voice is loud or soft.

    Args:
        masks: `(batch, num_sources, num_channels, bins, num_frames)`.
        mixture: complex spectrogram `(batch, num_channels, bins, num_frames)`.
        magnitude: of the mixture, of the same shape.
        targets: complex spectrograms of the masks' shape.
        scale: `(batch, 1, 1, 1)`; not used, since the loss does not depend on the level.
        inside: `(batch, bins)`, 1 for bins that count and 0 for others.

    Returns:
        The loss, of shape `()`: the natural logarithm's mean over the batch and its sources.
    """
    mixture, energy = mixture[:, None], magnitude[:, None].square()
    overlap = mixture.real * targets.real + mixture.imag * targets.imag
    # A real mask turns no phase: |m X - V|² = m² |X|² - 2 m Re(X* V) + |V|².
    error = masks * (masks * energy - 2 * overlap) + targets.real.square() + targets.imag.square()
    counted = inside[:, None, None, :, None]
    mixture_energy = (energy * counted).sum(dim=(2, 3, 4)).clamp(min=SILENT_ENERGY)
    return torch.log((error * counted).sum(dim=(2, 3, 4)) / mixture_energy + INAUDIBLE_ERROR).mean()


LOSSES: dict[str, Callable[..., torch.Tensor]] = {"magnitude_l1": magnitude_l1, "log_mse": log_mse}

__all__ = ["LOSSES", "log_mse", "magnitude_l1"]
