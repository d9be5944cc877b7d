"""The mask network as an ONNX graph of some kilobytes, which reads its weights out of `model.safetensors`."""

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # a runner needs neither the options' checks nor what they are made with
    from .architecture import Architecture

GRAPH, WEIGHTS = "model.onnx", "model.safetensors"
# The entry of a graph's metadata that says which file of weights it was made for.
LAYOUT = "weights_layout"
# Below it, a mixture is digital silence: as in `network.py`.
SILENT_MAGNITUDE = 1e-8
NORM_EPSILON = 1e-5
# The names that safetensors and ONNX have for a type.
DTYPES = {"F16": "FLOAT16", "BF16": "BFLOAT16", "F32": "FLOAT", "F64": "DOUBLE"}
# ONNX's operators of this version; ONNX Runtime 1.20 and its browser's build know it.
OPSET, IR_VERSION = 18, 9
logger = logging.getLogger(__name__)


class MaskGraph:
    """Nodes that compute what `UNetSVSSeparator.estimate_masks` does, one after the other.

    Weights keep the type that they are stored in. Their conversion and batch normalisation are nodes on constants,
    which a runtime computes once, when it starts."""

    def __init__(self, onnx: Any, config: "Architecture", folder: Path, dtype: str = "FLOAT"):
        self.onnx, self.config, self.dtype = onnx, config, dtype
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.tensors, self.first_byte = read_header(folder / WEIGHTS)
        self.layout = layout_of(folder / WEIGHTS)

    def model(self) -> Any:
        """The graph from `magnitude` to `masks`, for any batch of patches."""
        config, helper, proto = self.config, self.onnx.helper, self.onnx.TensorProto
        patch = (config.num_channels, config.num_bins + 1, config.num_frames)
        given = helper.make_tensor_value_info("magnitude", proto.FLOAT, ("batch", *patch))
        found = helper.make_tensor_value_info("masks", proto.FLOAT, ("batch", len(config.sources), *patch))
        self.add("Identity", self.masks(), output="masks")
        graph = helper.make_graph(self.nodes, "masks", [given], [found], [*self.initializers.values()])
        imports = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, producer_name="unet-svs", opset_imports=imports, ir_version=IR_VERSION)
        helper.set_model_props(model, {LAYOUT: self.layout})
        return model

    def masks(self) -> str:
        """Masks of all sources; the highest bin gets the mask of the bin below."""
        config = self.config
        scaled = self.bins(self.add("Div", "magnitude", self.scale()), 0, config.num_bins)
        if config.magnitude_exponent != 1:
            scaled = self.add("Pow", scaled, self.number(config.magnitude_exponent))
        masks = self.add("Sigmoid", self.joined([self.logits(source, scaled) for source in config.sources], axis=1))
        last = self.bins(masks, config.num_bins - 1, config.num_bins, axis=3)
        return self.joined([masks, last], axis=3)

    def scale(self) -> str:
        """What magnitudes are divided by: the largest, or the mean of the frames that are not silent."""
        silent = self.number(SILENT_MAGNITUDE)
        loudest = self.add("ReduceMax", "magnitude", self.numbers([1, 2]), keepdims=0)
        if self.config.magnitude_scaling == "mean":
            heard = self.cast(self.add("Greater", loudest, silent), "FLOAT")
            num_heard = self.add("Max", self.add("ReduceSum", heard, self.numbers([1]), keepdims=0), self.number(1))
            means = self.add("ReduceMean", "magnitude", self.numbers([1, 2]), keepdims=0)
            scale = self.add("Div", self.add("ReduceSum", means, self.numbers([1]), keepdims=0), num_heard)
        else:
            scale = self.add("ReduceMax", loudest, self.numbers([1]), keepdims=0)
        scale = self.add("Where", self.add("Greater", scale, silent), scale, self.number(1))
        return self.reshaped(scale, -1, 1, 1, 1)

    def logits(self, source: str, scaled: str) -> str:
        """Logits `(batch, 1, channels, bins, frames)` of a source's U-Net and, where it has one, its second."""
        config = self.config
        logits = self.unet(f"unets.{source}", scaled, config.num_bins, config.hidden_sizes, config.num_bands)
        if config.low_bins:
            sizes = config.low_hidden_sizes or config.hidden_sizes
            low = self.bins(scaled, 0, config.low_bins)
            low = self.unet(f"low_unets.{source}", low, config.low_bins, sizes, num_bands=1)
            ends = self.numbers([0, config.num_bins - config.low_bins])
            logits = self.add("Add", logits, self.add("Pad", low, ends, self.number(0), self.numbers([3])))
        return logits

    def unet(self, prefix: str, scaled: str, num_bins: int, sizes: Sequence[int], num_bands: int) -> str:
        channels, num_frames = self.config.num_channels, self.config.num_frames
        rows = num_bins // num_bands
        hidden = scaled
        if num_bands > 1:
            by_band = self.reshaped(scaled, -1, channels, rows, num_bands, num_frames)
            by_band = self.add("Transpose", by_band, perm=[0, 1, 3, 2, 4])
            hidden = self.reshaped(by_band, -1, channels * num_bands, rows, num_frames)
        hidden = self.cast(hidden, self.dtype)
        encoded = []
        for index in range(len(sizes)):
            hidden = self.layer(f"{prefix}.encoder.{index}", hidden, "Conv")
            hidden = self.add("LeakyRelu", hidden, alpha=float(self.config.leaky_relu_slope))
            encoded.append(hidden)
        encoded.pop()
        for index in range(len(sizes) - 1):
            hidden = self.add("Relu", self.layer(f"{prefix}.decoder.{index}", hidden, "ConvTranspose"))
            if self.config.skip_connections:
                hidden = self.joined([hidden, encoded.pop()], axis=1)
        hidden = self.cast(self.layer(f"{prefix}.mask", hidden, "ConvTranspose"), "FLOAT")
        if num_bands > 1:
            hidden = self.reshaped(hidden, -1, channels, num_bands, rows, num_frames)
            hidden = self.add("Transpose", hidden, perm=[0, 1, 3, 2, 4])
        return self.reshaped(hidden, -1, 1, channels, num_bins, num_frames)

    def layer(self, prefix: str, hidden: str, operator: str) -> str:
        """A convolution of stride 2, with batch normalisation folded into it unless it is the last."""
        has_norm = f"{prefix}.norm.weight" in self.tensors
        conv = f"{prefix}.conv" if has_norm else prefix
        weight, bias = self.weight(f"{conv}.weight"), self.weight(f"{conv}.bias")
        if has_norm:
            names = ("weight", "bias", "running_mean", "running_var")
            scale, shift, mean, variance = (self.weight(f"{prefix}.norm.{name}") for name in names)
            factor = self.add("Add", variance, self.number(NORM_EPSILON))
            factor = self.add("Div", scale, self.add("Sqrt", factor))
            shape = (-1, 1, 1, 1) if operator == "Conv" else (1, -1, 1, 1)
            weight = self.add("Mul", weight, self.reshaped(factor, *shape))
            bias = self.add("Add", self.add("Mul", self.add("Sub", bias, mean), factor), shift)
        size, padding = self.config.kernel_size, self.config.kernel_size // 2
        settings: dict[str, Any] = {"kernel_shape": [size, size], "strides": [2, 2], "pads": 4 * [padding]}
        if operator == "ConvTranspose":
            settings["output_padding"] = [1, 1]
        return self.add(operator, hidden, self.cast(weight, self.dtype), self.cast(bias, self.dtype), **settings)

    def weight(self, name: str) -> str:
        """A tensor of the safetensors file, as float32."""
        tensor = self.tensors[name]
        begin, end = tensor["data_offsets"]
        stored = DTYPES[tensor["dtype"]]
        proto = self.onnx.TensorProto(
            name=name,
            dims=tensor["shape"],
            data_type=self.onnx.TensorProto.DataType.Value(stored),
            data_location=self.onnx.TensorProto.EXTERNAL,
        )
        place = {"location": WEIGHTS, "offset": self.first_byte + begin, "length": end - begin}
        for key, value in place.items():
            proto.external_data.add(key=key, value=str(value))
        self.initializers[name] = proto
        return name if stored == "FLOAT" else self.add("Cast", name, to=self.onnx.TensorProto.FLOAT)

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Adds a node and returns the name of its output."""
        output = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, [output], **attributes))
        return output

    def number(self, value: float) -> str:
        return self.constant(np.float32(value))

    def numbers(self, values: Sequence[int]) -> str:
        return self.constant(np.array(values, dtype=np.int64))

    def constant(self, values: Any) -> str:
        name = f"{values.dtype}_{'_'.join(map(str, values.reshape(-1).tolist()))}{'_' * values.ndim}"
        self.initializers[name] = self.onnx.numpy_helper.from_array(np.asarray(values), name)
        return name

    def cast(self, value: str, dtype: str) -> str:
        to = self.onnx.TensorProto.DataType.Value(dtype)
        is_float = dtype == "FLOAT" == self.dtype and not value.startswith("Greater")
        return value if is_float else self.add("Cast", value, to=to)

    def reshaped(self, value: str, *shape: int) -> str:
        return self.add("Reshape", value, self.numbers(shape))

    def joined(self, values: list[str], axis: int) -> str:
        return values[0] if len(values) == 1 else self.add("Concat", *values, axis=axis)

    def bins(self, value: str, first: int, end: int, axis: int = 2) -> str:
        return self.add("Slice", value, *(self.numbers([number]) for number in (first, end, axis)))


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The tensors that a safetensors file describes, by name, and the place of its first byte of data."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        tensors = json.loads(file.read(length))
    tensors.pop("__metadata__", None)
    return tensors, 8 + length


def layout_of(path: Path) -> str:
    """A digest of the types, shapes and places of a safetensors file's tensors, not of their values."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read(int.from_bytes(file.read(8), "little"))).hexdigest()


def num_parameters(tensors: dict[str, Any]) -> int:
    """Number of trained parameters among the tensors that a file describes."""
    kept = ("running_mean", "running_var", "num_batches_tracked")
    return sum(math.prod(tensor["shape"]) for name, tensor in tensors.items() if not name.endswith(kept))


def write_graph(config: "Architecture", folder: str | Path) -> None:
    """Writes `model.onnx` beside the `model.safetensors` of a folder; where onnx is not installed, the log says so."""
    try:
        import onnx
    except ImportError:
        logger.warning("%s gets no %s: pip install onnx", folder, GRAPH)
        return
    onnx.save(MaskGraph(onnx, config, Path(folder)).model(), str(Path(folder, GRAPH)))
