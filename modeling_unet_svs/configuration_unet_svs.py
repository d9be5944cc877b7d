"""`UNetSVSConfig`: the network's architecture as a configuration of transformers."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .architecture import MODEL_TYPE, Architecture, drop_masks


@strict
class UNetSVSConfig(PreTrainedConfig, Architecture):
    __doc__ = Architecture.__doc__

    model_type = MODEL_TYPE

    def __post_init__(self, **kwargs: Any) -> None:
        drop_masks(kwargs)
        if not __name__.startswith("transformers_modules."):
            # The installed pipeline is registered, so none of the folder's code needs to be trusted.
            kwargs.pop("custom_pipelines", None)
        # `@strict` wraps what its validators raise in a class of its own that is no ValueError; this comes before.
        Architecture.__post_init__(self)
        super().__post_init__(**kwargs)

    def validate_architecture(self) -> None:
        """Part of `@strict`-powered validation, which is run again when the configuration is saved."""
        self.check()


UNetSVSConfig.register_for_auto_class()
