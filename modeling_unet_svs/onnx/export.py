"""The mask network as ONNX files, laid out and named as the Hub's ONNX and JavaScript users expect."""

import copy
from pathlib import Path
from typing import Any

import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..audio.whole_files import whole_files
from ..network import UNetSVSLayer, UNetSVSModule
from .runner import DESCRIPTION, write_description


class MaskNetwork(nn.Module):
    """A model's `estimate_masks` as a `forward`, with batch normalisation folded into convolutions."""

    def __init__(self, model: UNetSVSModule, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.model = copy.deepcopy(model).cpu().float().eval()
        layers: Any = [module for module in self.model.modules() if isinstance(module, UNetSVSLayer)]
        for layer in layers:
            transposed = isinstance(layer.conv, nn.ConvTranspose2d)
            layer.conv, layer.norm = fuse_conv_bn_eval(layer.conv, layer.norm, transposed), nn.Identity()
        self.model.to(dtype).requires_grad_(False)
        overflown = [name for name, weight in self.model.named_parameters() if not weight.isfinite().all()]
        if overflown:
            raise ValueError(f"{overflown[0]} has values that {dtype} cannot hold.")

    def forward(self, magnitude: torch.Tensor) -> torch.Tensor:
        return self.model.estimate_masks(magnitude)

    def export(self) -> torch.export.ExportedProgram:
        """The network as a graph for any batch of patches of `config.num_frames` frames."""
        config = self.model.config
        example = torch.ones(2, config.num_channels, config.n_fft // 2 + 1, config.num_frames)
        # Bounded, because PyTorch 2.6 refuses an infinite batch.
        batch = torch.export.Dim("batch", max=2**31 - 1)
        return torch.export.export(self, (example,), dynamic_shapes=({0: batch},), strict=True)


FOLDER = "onnx"
DTYPES = {"model.onnx": torch.float32, "model_fp16.onnx": torch.float16}


def export_onnx(model: UNetSVSModule, output_dir: str | Path) -> Path:
    """Writes `onnx/model.onnx`, `onnx/model_fp16.onnx` and `onnx/separation.json`."""
    with whole_files(Path(output_dir) / FOLDER) as folder:
        for name, dtype in DTYPES.items():
            _write_graph(MaskNetwork(model, dtype), folder / name)
        write_description(model.config, folder / DESCRIPTION)
    return Path(output_dir) / FOLDER


def _write_graph(network: MaskNetwork, path: Path) -> None:
    program = torch.onnx.export(
        network.export(), dynamo=True, input_names=["magnitude"], output_names=["masks"], verbose=False
    )
    assert program is not None  # as it is with `dynamo`
    # The exporter records the source path and line of every node.
    ClearMetadataAndDocStringPass()(program.model)
    program.save(path)
