"""transformers' auto classes and its `pipeline` get to know the model when they are imported, not before.

Registering a class means importing it, and with it torch and most of transformers: seconds that `unet-svs --help` and
whoever reads audio files alone have no use for. So the modules of transformers that look classes up bring ours with
them, and ours register. Not at the end of their own files, which also run as a checkpoint's remote code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def _register_config() -> None:
    from transformers import AutoConfig

    from .configuration_unet_svs import UNetSVSConfig

    AutoConfig.register(UNetSVSConfig.model_type, UNetSVSConfig, exist_ok=True)


def _register_model() -> None:
    from transformers import AutoModel

    from .modeling_unet_svs import UNetSVSModel

    AutoModel.register(UNetSVSModel.config_class, UNetSVSModel, exist_ok=True)


def _register_feature_extractor() -> None:
    from transformers import AutoFeatureExtractor

    from .configuration_unet_svs import UNetSVSConfig
    from .feature_extraction_unet_svs import UNetSVSFeatureExtractor

    AutoFeatureExtractor.register(UNetSVSConfig, UNetSVSFeatureExtractor, exist_ok=True)


def _register_pipeline() -> None:
    from transformers import AutoModel
    from transformers.pipelines import PIPELINE_REGISTRY

    from .pipeline_unet_svs import UNetSVSPipeline

    PIPELINE_REGISTRY.register_pipeline("audio-to-audio", pipeline_class=UNetSVSPipeline, pt_model=AutoModel)


# Modules of transformers, and which of ours come with them.
COMPANIONS = {
    "transformers.models.auto.configuration_auto": f"{__package__}.configuration_unet_svs",
    "transformers.models.auto.modeling_auto": f"{__package__}.modeling_unet_svs",
    "transformers.models.auto.feature_extraction_auto": f"{__package__}.feature_extraction_unet_svs",
    "transformers.pipelines": f"{__package__}.pipeline_unet_svs",
}
# What is done once a module has run.
AFTERWARDS: dict[str, Callable[[], object]] = {
    **{theirs: partial(import_module, ours) for theirs, ours in COMPANIONS.items()},
    f"{__package__}.configuration_unet_svs": _register_config,
    f"{__package__}.modeling_unet_svs": _register_model,
    f"{__package__}.feature_extraction_unet_svs": _register_feature_extractor,
    f"{__package__}.pipeline_unet_svs": _register_pipeline,
}


class RegisteringFinder(MetaPathFinder):
    """Finds modules as Python would, and does `AFTERWARDS` what is to be done after them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Python's own hook of `import`."""
        if fullname not in AFTERWARDS:
            return None
        others = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, others), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                AFTERWARDS[fullname]()

            setattr(spec.loader, "exec_module", execute_and_register)  # noqa: B010, of an instance alone
        return spec


def register_on_import() -> None:
    """Registers with what of transformers is imported already, and with the rest when it is."""
    sys.meta_path.insert(0, RegisteringFinder())
    for theirs, ours in COMPANIONS.items():
        if theirs in sys.modules:
            import_module(ours)
