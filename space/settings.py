"""The operator's settings, from environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from modeling_unet_svs import DEFAULT_CHECKPOINT


@dataclass(frozen=True)
class Settings:
    """Settings of the demo; the table in `README.md` says what each one does."""

    model: str = DEFAULT_CHECKPOINT
    device: str = "auto"
    max_megabytes: float = 200
    max_minutes: float = 15
    concurrency: int = 1
    queue_size: int = 32
    keep_minutes: float = 60

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Reads `UNET_SVS_MODEL` and so on; a variable that is not set, or is empty, leaves the default."""
        return cls(
            model=environment.get("UNET_SVS_MODEL") or cls.model,
            device=environment.get("UNET_SVS_DEVICE") or cls.device,
            max_megabytes=_positive(environment, "UNET_SVS_MAX_MEGABYTES", cls.max_megabytes),
            max_minutes=_positive(environment, "UNET_SVS_MAX_MINUTES", cls.max_minutes),
            concurrency=int(_positive(environment, "UNET_SVS_CONCURRENCY", cls.concurrency, whole=True)),
            queue_size=int(_positive(environment, "UNET_SVS_QUEUE_SIZE", cls.queue_size, whole=True)),
            keep_minutes=_positive(environment, "UNET_SVS_KEEP_MINUTES", cls.keep_minutes),
        )

    @property
    def max_bytes(self) -> int:
        return int(self.max_megabytes * 1e6)

    @property
    def keep_seconds(self) -> int:
        return max(1, int(self.keep_minutes * 60))


def _positive(environment: Mapping[str, str], name: str, default: float, whole: bool = False) -> float:
    text = environment.get(name)
    if not text:
        return default
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} is {text!r}: use a positive {'whole number' if whole else 'number'}.")
    return value
