"""Splits a song into vocals and accompaniment with the deep U-Net of Jansson et al. (ISMIR 2017)."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .registration import register_on_import

if TYPE_CHECKING:
    from .audio.writing import AudioWriter as AudioWriter
    from .audio_reading import AudioFileError as AudioFileError
    from .audio_reading import read_audio as read_audio
    from .command.file_separation import separate_file as separate_file
    from .configuration_unet_svs import UNetSVSConfig as UNetSVSConfig
    from .feature_extraction_unet_svs import UNetSVSFeatureExtractor as UNetSVSFeatureExtractor
    from .modeling_unet_svs import UNetSVSModel as UNetSVSModel
    from .modeling_unet_svs import UNetSVSOutput as UNetSVSOutput
    from .onnx.runner import OnnxSeparator as OnnxSeparator
    from .pipeline_unet_svs import UNetSVSPipeline as UNetSVSPipeline
    from .separation import SeparationStream as SeparationStream

__version__ = "0.1.0"

#: Folder of the checkpoint that comes with this package: full band, stereo, 44.1 kHz.
DEFAULT_CHECKPOINT = str(Path(__file__).parent / "checkpoint")

# Imported on first use: torch and transformers take seconds.
_MODULES = {
    "AudioFileError": "audio_reading",
    "AudioWriter": "audio.writing",
    "OnnxSeparator": "onnx.runner",
    "SeparationStream": "separation",
    "UNetSVSConfig": "configuration_unet_svs",
    "UNetSVSFeatureExtractor": "feature_extraction_unet_svs",
    "UNetSVSModel": "modeling_unet_svs",
    "UNetSVSOutput": "modeling_unet_svs",
    "UNetSVSPipeline": "pipeline_unet_svs",
    "read_audio": "audio_reading",
    "separate_file": "command.file_separation",
}
__all__ = ["DEFAULT_CHECKPOINT", *_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "transformers"):
            raise
        raise ModuleNotFoundError(f'{name} needs {error.name}: pip install "unet-svs[torch]"') from None
    return value


def __dir__() -> list[str]:
    return sorted(["__version__", *__all__])


register_on_import()
