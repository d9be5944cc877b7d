"""The part of the model that other runtimes take over: magnitudes to masks, as a graph."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .modeling_unet_svs import UNetSVSModel


class MaskNetwork(nn.Module):
    """[`UNetSVSModel.estimate_masks`] as a module's `forward`, with batch normalisation folded into convolutions.

    Args:
        model: in evaluation mode; it is copied.
        dtype: of weights and convolutions. Input and output are float32 in any case.

    Raises:
        ValueError: a weight that is beyond what `dtype` holds.
    """

    def __init__(self, model: UNetSVSModel, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.model = copy.deepcopy(model).cpu().float().eval()
        for unet in self.model.unets.values():
            for layer in [*unet.encoder, *unet.decoder]:
                transposed = isinstance(layer.conv, nn.ConvTranspose2d)
                layer.conv, layer.norm = fuse_conv_bn_eval(layer.conv, layer.norm, transposed), nn.Identity()
        self.model.to(dtype).requires_grad_(False)
        overflown = [name for name, weight in self.model.named_parameters() if not weight.isfinite().all()]
        if overflown:
            raise ValueError(f"{overflown[0]} has values that {dtype} cannot hold.")

    def forward(self, magnitude: torch.Tensor) -> torch.Tensor:
        """[`UNetSVSModel.estimate_masks`].

        Args:
            magnitude: float32 `(batch, num_channels, n_fft // 2 + 1, num_frames)`.

        Returns:
            float32 `(batch, num_sources, num_channels, n_fft // 2 + 1, num_frames)`.
        """
        return self.model.estimate_masks(magnitude)

    def export(self) -> torch.export.ExportedProgram:
        """The network as a graph for any batch and `config.num_frames` frames.

        Returns:
            The graph from `magnitude`, float32 `(batch, num_channels, n_fft // 2 + 1, num_frames)`, to the masks,
            float32 `(batch, num_sources, num_channels, n_fft // 2 + 1, num_frames)`.
        """
        config = self.model.config
        example = torch.ones(2, config.num_channels, config.n_fft // 2 + 1, config.num_frames)
        # Bounded, or PyTorch 2.6 finds that it cannot be infinite.
        batch = torch.export.Dim("batch", max=2**31 - 1)
        return torch.export.export(self, (example,), dynamic_shapes=({0: batch},), strict=True)


__all__ = ["MaskNetwork"]
