"""Takes a song apart into vocals and accompaniment with the deep U-Net of Jansson et al. (ISMIR 2017)."""

from pathlib import Path

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
from transformers.pipelines import PIPELINE_REGISTRY

from .audio_reading import AudioFileError
from .configuration_unet_svs import UNetSVSConfig
from .feature_extraction_unet_svs import UNetSVSFeatureExtractor
from .modeling_unet_svs import UNetSVSModel, UNetSVSOutput
from .pipeline_unet_svs import UNetSVSPipeline
from .stream import SeparationStream

__version__ = "0.1.0"

#: Folder of the checkpoint that comes with this package: full band, stereo, 44.1 kHz.
DEFAULT_CHECKPOINT = str(Path(__file__).parent / "checkpoint")

AutoConfig.register(UNetSVSConfig.model_type, UNetSVSConfig, exist_ok=True)
AutoModel.register(UNetSVSConfig, UNetSVSModel, exist_ok=True)
AutoFeatureExtractor.register(UNetSVSConfig, UNetSVSFeatureExtractor, exist_ok=True)
PIPELINE_REGISTRY.register_pipeline("audio-to-audio", pipeline_class=UNetSVSPipeline, pt_model=AutoModel)

__all__ = [
    "DEFAULT_CHECKPOINT",
    "AudioFileError",
    "SeparationStream",
    "UNetSVSConfig",
    "UNetSVSFeatureExtractor",
    "UNetSVSModel",
    "UNetSVSOutput",
    "UNetSVSPipeline",
]
