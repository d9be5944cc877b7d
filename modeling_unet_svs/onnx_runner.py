"""`OnnxSeparator`, where programs import it from."""

from .onnx.runner import OnnxSeparator

__all__ = ["OnnxSeparator"]
