"""Tells transformers' auto classes and its pipelines of our classes, each once it is imported and not before.

Importing them takes seconds, for which `unet-svs --help` and whoever reads audio files alone have no use. Our classes
cannot register at the end of their own files, since these also run as a checkpoint's remote code."""

import sys
from functools import partial
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

OURS, AUTO, PIPELINES = sys.modules[__package__], "transformers.models.auto", "transformers.pipelines"


def register_class(auto_class: str, name: str) -> None:
    """Tells an auto class of a class of ours."""
    config = OURS.UNetSVSConfig
    key = config.model_type if auto_class == "AutoConfig" else config
    getattr(import_module("transformers"), auto_class).register(key, getattr(OURS, name), exist_ok=True)


def register_pipeline() -> None:
    """Tells transformers' `pipeline` of ours."""
    registry, model = import_module(PIPELINES).PIPELINE_REGISTRY, import_module("transformers").AutoModel
    registry.register_pipeline("audio-to-audio", pipeline_class=OURS.UNetSVSPipeline, pt_model=model)


# What is done once a module has run. Our pipeline may be what imports theirs: it registers when both have run.
AFTERWARDS: dict[str, Any] = {
    f"{AUTO}.configuration_auto": partial(register_class, "AutoConfig", "UNetSVSConfig"),
    f"{AUTO}.modeling_auto": partial(register_class, "AutoModel", "UNetSVSModel"),
    f"{AUTO}.feature_extraction_auto": partial(register_class, "AutoFeatureExtractor", "UNetSVSFeatureExtractor"),
    PIPELINES: partial(import_module, f"{__package__}.pipeline_unet_svs"),
    f"{__package__}.pipeline_unet_svs": register_pipeline,
}


class RegisteringFinder(MetaPathFinder):
    """Finds modules as Python does, and then does what `AFTERWARDS` says."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        """Python's own hook of `import`."""
        spec: Any = PathFinder.find_spec(fullname, path, target) if fullname in AFTERWARDS else None
        if spec is not None:
            execute = spec.loader.exec_module
            spec.loader.exec_module = lambda module: (execute(module), AFTERWARDS[fullname]())
        return spec


def register_on_import() -> None:
    """Registers with what of transformers is imported already, and with the rest when it is."""
    sys.meta_path.insert(0, RegisteringFinder())
    for name, register in AFTERWARDS.items():
        if name in sys.modules:
            register()
