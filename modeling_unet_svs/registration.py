"""Registers our classes with transformers' auto classes and pipelines when those are imported.

Importing them takes seconds, which `unet-svs --help` and programs that only read audio do not need. Our classes
cannot register at the end of their own files, since these also run as a checkpoint's remote code."""

import sys
from functools import partial
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

OURS, AUTO, PIPELINES = sys.modules[__package__], "transformers.models.auto", "transformers.pipelines"


def register_class(auto_class: str, name: str) -> None:
    """Registers one of our classes with an auto class."""
    config = OURS.UNetSVSConfig
    key = config.model_type if auto_class == "AutoConfig" else config
    getattr(import_module("transformers"), auto_class).register(key, getattr(OURS, name), exist_ok=True)


def register_pipeline() -> None:
    """Registers our pipeline with transformers' `pipeline`."""
    registry, model = import_module(PIPELINES).PIPELINE_REGISTRY, import_module("transformers").AutoModel
    registry.register_pipeline("audio-to-audio", pipeline_class=OURS.UNetSVSPipeline, pt_model=model)


# What to do after a module has run. Our pipeline may be what imports theirs, so it registers after both.
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
    """Registers with the parts of transformers that are imported, and with the others when they are."""
    if find_spec("torch") is None:
        return  # our classes need it
    sys.meta_path.insert(0, RegisteringFinder())
    for name, register in AFTERWARDS.items():
        if name in sys.modules:
            register()
