"""The deep U-Net for singing-voice separation (Jansson et al., ISMIR 2017) as a model of transformers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import ModelOutput, auto_docstring
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_unet_svs import UNetSVSConfig
from .feature_extraction_unet_svs import UNetSVSFeatureExtractor
from .network import UNetSVSLayer, UNetSVSSeparator, magnitude_of, make_unets, stft
from .onnx_graph import GRAPH, WEIGHTS, write_graph

# The pipeline, as a folder's configuration names it to programs that take their code from there.
PIPELINE = {"impl": "pipeline_unet_svs.UNetSVSPipeline", "pt": ["AutoModel"], "type": "multimodal"}
# Arguments of `save_pretrained` for the upload alone.
UPLOAD = ("commit_message", "commit_description", "private", "create_pr", "revision", "token", "tags")
# Lower limit of a mixture's energy, so that digital silence causes no overflow.
SILENT_ENERGY = 1e-9
# Errors 30 dB below the mixture's energy are inaudible and need not get smaller.
INAUDIBLE_ERROR = 1e-3


def magnitude_l1(
    masks: Tensor, mixture: Tensor, magnitude: Tensor, targets: Tensor, scale: Tensor, bin_weights: Tensor
) -> Tensor:
    """L1 distance of magnitudes, ‖mask ⊙ |mixture| - |target|‖₁, mean over all bins (section 3.2 of the paper)."""
    distance = (masks * magnitude[:, None] - magnitude_of(targets)).abs().mean(dim=(1, 2, 4))
    return (distance / scale[:, 0, 0] * bin_weights).sum() / bin_weights.sum().clamp(min=1)


def log_mse(
    masks: Tensor, mixture: Tensor, magnitude: Tensor, targets: Tensor, scale: Tensor, bin_weights: Tensor
) -> Tensor:
    """Logarithm of each item's squared error over the mixture's energy: the SDR score, except that frames overlap."""
    mixture, energy = mixture[:, None], magnitude[:, None].square()
    overlap = mixture.real * targets.real + mixture.imag * targets.imag
    # A real mask turns no phase: |m X - V|² = m² |X|² - 2 m Re(X* V) + |V|².
    error = masks * (masks * energy - 2 * overlap) + targets.real.square() + targets.imag.square()
    counted = bin_weights[:, None, None, :, None]
    mixture_energy = (energy * counted).sum(dim=(2, 3, 4)).clamp(min=SILENT_ENERGY)
    return torch.log((error * counted).sum(dim=(2, 3, 4)) / mixture_energy + INAUDIBLE_ERROR).mean()


LOSSES: dict[str, Callable[..., Tensor]] = {"magnitude_l1": magnitude_l1, "log_mse": log_mse}


@auto_docstring(custom_intro="Output of [`UNetSVSModel`].")
@dataclass
class UNetSVSOutput(ModelOutput):
    r"""
    loss (`torch.FloatTensor` of shape `()`, *optional*, returned when `labels` is given):
        How far the masked mixture is from the targets, as `config.loss` measures it: one number.
    masks (`torch.FloatTensor` of shape `(batch, num_sources, num_channels, n_fft // 2 + 1, num_frames)`):
        Factor for each bin of the mixture's spectrogram, for each of `config.sources`.
    hidden_states (`tuple(torch.FloatTensor)`, *optional*, returned when `output_hidden_states=True`):
        Output of each encoder and decoder layer, of one U-Net after the other, each of shape `(batch, hidden_size,
        rows, frames)`; rows and frames are halved from layer to layer of the encoder and doubled in the decoder.
    """

    loss: Tensor | None = None
    masks: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


@auto_docstring(custom_intro="Separates a mixture into stems with one U-Net for each of `config.sources`.")
class UNetSVSModel(UNetSVSSeparator, PreTrainedModel):
    config: UNetSVSConfig
    main_input_name = "input_values"
    input_modalities = "audio"
    _no_split_modules = ["UNetSVSNetwork"]
    _can_record_outputs = {"hidden_states": OutputRecorder(UNetSVSLayer, capture_initial_hidden_state=False)}

    def __init__(self, config: UNetSVSConfig):
        super().__init__(config)
        self.unets, self.low_unets = make_unets(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            if self.low_unets is not None and module in [unet.mask for unet in self.low_unets.values()]:
                init.zeros_(module.weight)  # a new second U-Net adds nothing
            else:
                init.kaiming_uniform_(module.weight, a=math.sqrt(5))
            if module.bias is not None:
                init.zeros_(module.bias)
        else:
            super()._init_weights(module)

    @auto_docstring(
        custom_intro="""
        Masks for a batch of mixtures, and the loss of training where targets are given.

        Frame `t` of the masks is samples `t * hop_length` to `t * hop_length + n_fft - 1`; zeros are added at the end
        up to a whole number of `config.frame_multiple` frames. For stems of a whole song see `separate`.
        """
    )
    @capture_outputs
    def forward(
        self,
        input_values: Tensor,
        labels: Tensor | None = None,
        label_bandwidth: Tensor | None = None,
        **kwargs: Any,
    ) -> UNetSVSOutput:
        r"""
        input_values (`torch.FloatTensor` of shape `(batch, num_channels, num_samples)`):
            Mixtures at `config.sampling_rate`, full scale 1; `(batch, num_samples)` for a mono model.
        labels (`torch.FloatTensor` of shape `(batch, num_sources, num_channels, num_samples)`, *optional*):
            Targets; the two middle axes may be left out where they are 1.
        label_bandwidth (`torch.FloatTensor` of shape `(batch,)`, *optional*):
            Frequency in Hz up to which each item's labels are true; what is above does not count in the loss. `None`
            for all of it.
        """
        mixture = self._spectrum(input_values, "input_values", (self.config.num_channels,))
        magnitude = magnitude_of(mixture)
        masks = self.masks_of(self.unets, self.low_unets, magnitude)
        loss = None
        if labels is not None:
            targets = self._spectrum(labels, "labels", (len(self.config.sources), self.config.num_channels))
            scale, bin_weights = self.magnitude_scale(magnitude), self._bin_weights(label_bandwidth, magnitude)
            loss = LOSSES[self.config.loss](masks, mixture, magnitude, targets, scale, bin_weights)
        return UNetSVSOutput(loss=loss, masks=masks)

    def _spectrum(self, waveform: Tensor, name: str, middle: tuple[int, ...]) -> Tensor:
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

    def _bin_weights(self, label_bandwidth: Tensor | None, magnitude: Tensor) -> Tensor:
        """Weights `(batch, bins)`: 1 up to each item's bandwidth, 0 above it."""
        batch, _, num_bins, _ = magnitude.shape
        if label_bandwidth is None:
            return magnitude.new_ones(batch, num_bins)
        frequency = torch.arange(num_bins, device=magnitude.device) * (self.config.sampling_rate / self.config.n_fft)
        return (frequency <= label_bandwidth[:, None]).to(magnitude.dtype)

    def save_pretrained(  # type: ignore[override] # whose other arguments are among those by keyword
        self,
        save_directory: str | PathLike[Any],
        is_main_process: bool = True,
        state_dict: dict[Any, Any] | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> None:
        """Saves a folder that is complete: it also loads where this project is not installed, and without PyTorch.

        Beside weights and configuration, it has the feature extractor, the code of model and pipeline, and
        `model.onnx`, a graph for ONNX Runtime that takes its weights from `model.safetensors`.

        Args:
            save_directory: folder, made if necessary.
            is_main_process: whether this process writes, of several that call this at once.
            state_dict: weights to save in place of the model's.
            push_to_hub: whether to upload it as well, to `repo_id` or the folder's name.
            kwargs: of `PreTrainedModel.save_pretrained` and `push_to_hub`.
        """
        repo_id = kwargs.pop("repo_id", Path(save_directory).name)
        upload = {name: kwargs.pop(name) for name in UPLOAD if name in kwargs} if push_to_hub else {}
        self.config.custom_pipelines = {"audio-to-audio": PIPELINE}
        try:
            super().save_pretrained(save_directory, is_main_process, state_dict, **kwargs)
        finally:  # in this process, the registered pipeline is the one to take
            del self.config.custom_pipelines
        if is_main_process:
            self._complete(Path(save_directory))
        if push_to_hub:
            self.push_to_hub(repo_id, **upload)

    def _complete(self, folder: Path) -> None:
        from .pipeline_unet_svs import UNetSVSPipeline  # takes a second, which a separation need not wait

        custom_object_save(UNetSVSPipeline, folder)
        UNetSVSFeatureExtractor(self.config.num_channels, self.config.sampling_rate).save_pretrained(folder)
        (folder / GRAPH).unlink(missing_ok=True)
        if (folder / WEIGHTS).is_file():
            write_graph(self.config, folder)


UNetSVSModel.register_for_auto_class("AutoModel")
