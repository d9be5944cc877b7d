"""Configuration of the deep U-Net for singing-voice separation."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .separation import MAX_SAMPLING_RATE, MIN_SAMPLING_RATE

# Of a patch: 250 times the paper's. Beyond it, a few wrong digits would take all memory.
MAX_PATCH_VALUES = 1 << 24
# Frames over one sample; the paper has fewer than 2, and 8 is much.
MAX_OVERLAP = 64
# Stems are names of files.
MAX_STEM_LETTERS = 40


@strict
class UNetSVSConfig(PreTrainedConfig):
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
        context_frames (`int`, *optional*, defaults to 16):
            Frames at either side of a patch that the network sees and whose mask is thrown away when a whole song is
            separated: patches overlap by twice as many frames.
        num_bands (`int`, *optional*, defaults to 1):
            Frequency bins folded into channels: bin `k` is row `k // num_bands` of channel `k % num_bands`. With 4,
            2048 bins cost what the paper's 512 do.
        hidden_sizes (`tuple[int, ...]`, *optional*, defaults to `(16, 32, 64, 128, 256, 512)`):
            Filters of the encoder's layers, each of which halves both axes; the decoder mirrors them.
        kernel_size (`int`, *optional*, defaults to 5):
            Height and width of all (transposed) convolutions, which have stride 2. Odd.
        leaky_relu_slope (`float`, *optional*, defaults to 0.2):
            Slope of the encoder's activation below zero.
        dropout (`float`, *optional*, defaults to 0.5):
            Probability of dropping an element, in training, after the decoder's first layers.
        num_dropout_layers (`int`, *optional*, defaults to 3):
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
        mask_activation (`str`, *optional*, defaults to `"sigmoid"`):
            `"sigmoid"` for masks between 0 and `mask_bound`, `"softplus"` for masks without an upper bound.
        mask_bound (`float`, *optional*, defaults to 1.0):
            Upper bound of a sigmoid mask.
        loss (`str`, *optional*, defaults to `"magnitude_l1"`):
            What training makes small: `"magnitude_l1"`, the paper's L1 distance of magnitudes (section 3.2), or
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

    model_type = "unet_svs"

    num_channels: int = 1
    sources: list[str] | tuple[str, ...] = ("vocals",)
    residual: str | None = "accompaniment"
    sampling_rate: int = 8192
    n_fft: int = 1024
    hop_length: int = 768
    num_frames: int = 128
    context_frames: int = 16
    num_bands: int = 1
    hidden_sizes: list[int] | tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    kernel_size: int = 5
    leaky_relu_slope: float | int = 0.2
    dropout: float | int = 0.5
    num_dropout_layers: int = 3
    skip_connections: bool = True
    magnitude_scaling: Literal["max", "mean"] = "max"
    magnitude_exponent: float | int = 1.0
    mask_activation: Literal["sigmoid", "softplus"] = "sigmoid"
    mask_bound: float | int = 1.0
    loss: Literal["magnitude_l1", "log_mse"] = "magnitude_l1"

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of all stems that a separation returns: `sources`, then `residual` where there is one."""
        return (*self.sources, self.residual) if self.residual else tuple(self.sources)

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

    def __post_init__(self, **kwargs: Any) -> None:
        # `@strict` wraps what its validators raise in a class of its own that is no ValueError; this comes before.
        self.validate_architecture()
        super().__post_init__(**kwargs)

    def validate_architecture(self) -> None:
        """Part of `@strict`-powered validation. Refuses combinations that no network can have."""
        self._validate_stems()
        self._validate_spectrogram()
        self._validate_network()

    def _validate_stems(self) -> None:
        if self.num_channels < 1:
            raise ValueError(f"num_channels is {self.num_channels}: use 1 (mono) or more.")
        if not self.sources:
            raise ValueError('sources is empty: name at least one stem, for example ("vocals",).')
        for name in self.stems:
            if not name.isidentifier() or len(name) > MAX_STEM_LETTERS:
                raise ValueError(f"stem {name[:99]!r} is no short identifier: use letters, digits and underscores.")
        if len(set(self.stems)) != len(self.stems):
            raise ValueError(f"stems {self.stems} are not distinct: rename one of sources, or the residual.")

    def _validate_spectrogram(self) -> None:
        if not MIN_SAMPLING_RATE <= self.sampling_rate <= MAX_SAMPLING_RATE:
            raise ValueError(
                f"sampling_rate is {self.sampling_rate} Hz: use {MIN_SAMPLING_RATE} to {MAX_SAMPLING_RATE} Hz."
            )
        if self.n_fft < 2 or self.n_fft % 2:
            raise ValueError(f"n_fft is {self.n_fft}: use an even number of samples.")
        if not 0 < self.hop_length < self.n_fft:
            raise ValueError(
                f"hop_length is {self.hop_length}: use 1 to {self.n_fft - 1}, less than n_fft, or samples get lost."
            )
        if self.n_fft > MAX_OVERLAP * self.hop_length:
            raise ValueError(
                f"hop_length is {self.hop_length}: use n_fft // {MAX_OVERLAP} or more, or it takes for ever."
            )
        if self.num_bands < 1 or self.num_bins % (self.num_bands * self.frame_multiple):
            raise ValueError(
                f"n_fft // 2 = {self.num_bins} bins in num_bands = {self.num_bands} cannot be halved "
                f"{len(self.hidden_sizes)} times: make n_fft // 2 a multiple of "
                f"{max(self.num_bands, 1) * self.frame_multiple}, or change num_bands or hidden_sizes."
            )
        if self.num_frames < 1 or self.num_frames % self.frame_multiple:
            raise ValueError(
                f"num_frames is {self.num_frames} and cannot be halved {len(self.hidden_sizes)} times: "
                f"use a multiple of {self.frame_multiple}, or fewer hidden_sizes."
            )
        if self.num_channels * self.num_bins * self.num_frames > MAX_PATCH_VALUES:
            raise ValueError(
                f"num_channels {self.num_channels}, n_fft {self.n_fft} and num_frames {self.num_frames} make patches "
                f"of more than {MAX_PATCH_VALUES} values: use less."
            )
        if not 0 <= 2 * self.context_frames < self.num_frames:
            raise ValueError(
                f"context_frames is {self.context_frames}: use 0 to {(self.num_frames - 1) // 2}, "
                f"so that a patch of {self.num_frames} frames keeps some."
            )

    def _validate_network(self) -> None:
        if not self.hidden_sizes or min(self.hidden_sizes) < 1:
            raise ValueError(f"hidden_sizes is {self.hidden_sizes}: use one or more positive numbers.")
        if self.kernel_size < 3 or self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {self.kernel_size}: use an odd number of at least 3.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}: use a probability from 0 to below 1.")
        if not 0 <= self.num_dropout_layers < len(self.hidden_sizes):
            raise ValueError(
                f"num_dropout_layers is {self.num_dropout_layers}: use 0 to {len(self.hidden_sizes) - 1}, "
                "the last layer has none."
            )
        if not 0 <= self.leaky_relu_slope <= 1:
            raise ValueError(f"leaky_relu_slope is {self.leaky_relu_slope}: use 0 to 1.")
        if not 0 < self.magnitude_exponent <= 10:
            raise ValueError(f"magnitude_exponent is {self.magnitude_exponent}: use a positive number up to 10.")
        if not 0 < self.mask_bound <= 1000:
            raise ValueError(f"mask_bound is {self.mask_bound}: use a positive number up to 1000.")


UNetSVSConfig.register_for_auto_class()

__all__ = ["UNetSVSConfig"]
