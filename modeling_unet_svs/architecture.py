"""The network's options and their checks, without transformers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from huggingface_hub.dataclasses import strict

from .separation import MAX_SAMPLING_RATE, MIN_SAMPLING_RATE, SeparationConfig

MODEL_TYPE = "unet_svs"
# Upper limit of values per patch (the paper has 65,536), so that a typo cannot exhaust memory.
MAX_PATCH_VALUES = 1 << 24
# Upper limit of frames over one sample (the paper has fewer than 2), so that a typo cannot make it run for ever.
MAX_OVERLAP = 64
# Stems become names of files.
MAX_STEM_LETTERS = 40


def drop_masks(values: dict[str, Any]) -> None:
    """Removes the mask options of older configuration files, which were only ever saved with one value."""
    mask = values.pop("mask_activation", "sigmoid"), values.pop("mask_bound", 1)
    if mask != ("sigmoid", 1):
        raise ValueError(f"mask_activation and mask_bound are {mask}: masks are sigmoids from 0 to 1.")


@strict
@dataclass
class Architecture(SeparationConfig):
    r"""
    Describes a [`UNetSVSModel`]. The defaults are the network of Jansson et al., "Singing Voice Separation with Deep
    U-Net Convolutional Networks" (ISMIR 2017), sections 3.1 to 3.3: 9,823,313 parameters for one source.

    Args:
        num_channels (`int`, *optional*, defaults to 1):
            Audio channels that the network sees together: 1 is mono, 2 is stereo.
        sources (`tuple[str, ...]`, *optional*, defaults to `("vocals",)`):
            Names of the stems that are estimated, each by a U-Net of its own (section 3.1).
        residual (`str`, *optional*, defaults to `"accompaniment"`):
            Name of the stem that is the mixture minus all `sources`; `None` for no such stem. Where one is named, the
            stems add up to the mixture.
        sampling_rate (`int`, *optional*, defaults to 8192):
            Rate in Hz at which the network works. Other rates are resampled to it and back.
        n_fft (`int`, *optional*, defaults to 1024):
            Length of the Hann window and of the Fourier transform, in samples.
        hop_length (`int`, *optional*, defaults to 768):
            Step from one frame to the next, in samples. 768 of 1024 is the paper's; `n_fft // 4` is better for
            listening, because the inverse transform then does not amplify errors between two frames.
        num_frames (`int`, *optional*, defaults to 128):
            Frames of one patch, the length of the network's input.
        context_frames (`int`, *optional*, defaults to `min(16, num_frames // 4)`):
            Frames at either side of a patch that the network sees and whose mask is thrown away when a whole song is
            separated: patches overlap by twice as many frames.
        num_bands (`int`, *optional*, defaults to 1):
            Frequency bins folded into channels: bin `k` is row `k // num_bands` of channel `k % num_bands`. With 4,
            2048 bins cost what the paper's 512 do.
        hidden_sizes (`tuple[int, ...]`, *optional*, defaults to `(16, 32, 64, 128, 256, 512)`):
            Filters of the encoder's layers, each of which halves both axes; the decoder mirrors them.
        low_bins (`int`, *optional*, defaults to 0):
            Bins, from the lowest, whose masks a second U-Net for each source refines: it sees only these bins,
            unfolded, and its logits are added to those of the first. New ones add nothing, so a trained network can
            be given them. 0 for no second U-Net.
        low_hidden_sizes (`tuple[int, ...]`, *optional*, defaults to `()`):
            Filters of the second U-Net, as many as in `hidden_sizes`; empty for the same filters.
        kernel_size (`int`, *optional*, defaults to 5):
            Height and width of all (transposed) convolutions, which have stride 2. Odd.
        leaky_relu_slope (`float`, *optional*, defaults to 0.2):
            Slope of the encoder's activation below zero.
        dropout (`float`, *optional*, defaults to 0.5):
            Probability of dropping an element, in training, after the decoder's first layers.
        num_dropout_layers (`int`, *optional*, defaults to `min(3, len(hidden_sizes) - 1)`):
            How many of the decoder's layers have dropout.
        skip_connections (`bool`, *optional*, defaults to `True`):
            Whether a decoder layer also sees the encoder's output of its size. Without them, the network is the
            plain encoder-decoder that the paper compares with (section 4.1).
        magnitude_scaling (`str`, *optional*, defaults to `"max"`):
            Divides a patch's magnitudes by their `"max"`, so that they lie in [0, 1] as in the paper, or by their
            `"mean"`, which one loud moment does not move. Mixture and target are divided by the mixture's number.
        magnitude_exponent (`float`, *optional*, defaults to 1.0):
            Power to which the scaled magnitudes are raised at the network's input (0.3 to 0.5 lifts what is quiet).
            The mask is applied to, and the loss taken on, the magnitudes themselves.
        loss (`str`, *optional*, defaults to `"magnitude_l1"`):
            What training minimises: `"magnitude_l1"`, the paper's L1 distance of magnitudes (section 3.2), or
            `"log_mse"`, the logarithm of the squared error of each item's complex spectrogram, which is nearer to SDR.

    Raises:
        ValueError: a combination that no network can have; the message says which value to change.

    Example:

    ```python
    >>> from modeling_unet_svs import UNetSVSConfig, UNetSVSModel

    >>> UNetSVSModel(UNetSVSConfig()).num_parameters()
    9823313
    ```
    """

    hidden_sizes: list[int] | tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    low_bins: int = 0
    low_hidden_sizes: list[int] | tuple[int, ...] = ()
    kernel_size: int = 5
    leaky_relu_slope: float | int = 0.2
    dropout: float | int = 0.5
    num_dropout_layers: int | None = None
    skip_connections: bool = True
    magnitude_scaling: Literal["max", "mean"] = "max"
    magnitude_exponent: float | int = 1.0
    loss: Literal["magnitude_l1", "log_mse"] = "magnitude_l1"

    @property
    def num_bins(self) -> int:
        """Frequency bins that the network sees: all but the highest (Nyquist) of the `n_fft // 2 + 1`."""
        return self.n_fft // 2

    @property
    def frame_multiple(self) -> int:
        """What the number of frames must be a multiple of: 2 to the number of layers."""
        return 2 ** len(self.hidden_sizes)

    @property
    def patch_samples(self) -> int:
        """Samples that `num_frames` frames span, from the first of the first frame to the last of the last."""
        return (self.num_frames - 1) * self.hop_length + self.n_fft

    def __post_init__(self) -> None:
        if self.context_frames is None:
            self.context_frames = min(16, self.num_frames // 4)
        if self.num_dropout_layers is None:
            self.num_dropout_layers = min(3, len(self.hidden_sizes) - 1)
        self.check()

    def check(self) -> None:
        """Refuses a combination that no network can have, and says which value to change."""
        for name, holds, advice in self._rules():
            if not holds:
                raise ValueError(f"{name} is {getattr(self, name)!r}: {advice}.")

    def _rules(self) -> Iterator[tuple[str, bool, str]]:
        """Fields, whether they can be as they are, and what to do; a rule may rely on those before it."""
        num_layers, multiple, stems = len(self.hidden_sizes), self.frame_multiple, self.stems
        context, dropped = self.context_frames or 0, self.num_dropout_layers or 0
        yield "hidden_sizes", num_layers > 0 and min(self.hidden_sizes) > 0, "use one or more positive numbers"
        yield "num_channels", self.num_channels > 0, "use 1 (mono) or more"
        yield "sources", len(self.sources) > 0, 'name at least one stem, for example ("vocals",)'
        for name in stems:
            is_short = name.isidentifier() and len(name) <= MAX_STEM_LETTERS
            field = "residual" if name == self.residual else "sources"
            yield field, is_short, "a name is no short identifier: use letters, digits and underscores"
        yield "sources", len({*stems}) == len(stems), "use names that differ, from one another and from the residual"
        rates = f"use {MIN_SAMPLING_RATE} to {MAX_SAMPLING_RATE} Hz"
        yield "sampling_rate", MIN_SAMPLING_RATE <= self.sampling_rate <= MAX_SAMPLING_RATE, rates
        yield "num_bands", self.num_bands > 0, "use 1 or more"
        bins = 2 * self.num_bands * multiple
        advice = f"use a multiple of {bins}, or fewer num_bands or hidden_sizes"
        yield "n_fft", self.n_fft > 0 and self.n_fft % bins == 0, advice
        is_whole = 0 <= self.low_bins <= self.num_bins and self.low_bins % multiple == 0
        yield "low_bins", is_whole, f"use 0 or a multiple of {multiple} up to {self.num_bins}"
        low_sizes = self.low_hidden_sizes or self.hidden_sizes
        advice = "use as many positive numbers as hidden_sizes has, or none"
        yield "low_hidden_sizes", len(low_sizes) == num_layers and min(low_sizes) > 0, advice
        yield "hop_length", 0 < self.hop_length < self.n_fft, f"use 1 to {self.n_fft - 1}, or samples get lost"
        advice = f"use n_fft // {MAX_OVERLAP} or more, or it takes for ever"
        yield "hop_length", self.n_fft <= MAX_OVERLAP * self.hop_length, advice
        advice = f"use a multiple of {multiple}, or fewer hidden_sizes"
        yield "num_frames", self.num_frames > 0 and self.num_frames % multiple == 0, advice
        num_values = self.num_channels * self.num_bins * self.num_frames
        advice = f"with n_fft and num_channels, it makes patches of more than {MAX_PATCH_VALUES} values: use less"
        yield "num_frames", num_values <= MAX_PATCH_VALUES, advice
        most = (self.num_frames - 1) // 2
        yield "context_frames", 0 <= context <= most, f"use 0 to {most}, so that a patch keeps some frames"
        yield "kernel_size", self.kernel_size > 2 and self.kernel_size % 2 == 1, "use an odd number of at least 3"
        yield "dropout", 0 <= self.dropout < 1, "use a probability from 0 to below 1"
        yield "num_dropout_layers", 0 <= dropped < num_layers, f"use 0 to {num_layers - 1}, the last layer has none"
        yield "leaky_relu_slope", 0 <= self.leaky_relu_slope <= 1, "use 0 to 1"
        yield "magnitude_exponent", 0 < self.magnitude_exponent <= 10, "use a positive number up to 10"
