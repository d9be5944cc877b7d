"""What the operator decides, from environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from modeling_unet_svs import DEFAULT_CHECKPOINT


@dataclass(frozen=True)
class Settings:
    """Settings of the page; `README.md` lists their environment variables.

    Attributes:
        model: folder or Hub id of the checkpoint.
        device: "auto", "cpu", "cuda" or "mps".
        max_megabytes: size of the largest file that may be uploaded, in 10^6 bytes.
        max_minutes: length of the longest stereo song; each further pair of channels counts like another song.
        concurrency: songs that are separated at the same time.
        queue_size: visitors that may wait; those beyond are asked to come back later.
        keep_minutes: after which stems and uploads are deleted, also where the page is still open.
    """

    model: str = DEFAULT_CHECKPOINT
    device: str = "auto"
    max_megabytes: float = 200
    max_minutes: float = 15
    concurrency: int = 1
    queue_size: int = 32
    keep_minutes: float = 60

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Reads the variables `UNET_SVS_MODEL`, `UNET_SVS_DEVICE` and so on; those that are not set keep the default.

        Args:
            environment: names and values.

        Returns:
            The settings.

        Raises:
            ValueError: a value that is no positive number where one is needed.
        """
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
        """Size of the largest upload in bytes."""
        return int(self.max_megabytes * 1e6)

    @property
    def num_visitors(self) -> int:
        """Those whose songs are separated and those who wait; one more, who is told that it is full."""
        return self.concurrency + self.queue_size + 1


def _positive(environment: Mapping[str, str], name: str, default: float, whole: bool = False) -> float:
    text = environment.get(name)
    if not text:
        return default
    kind = "whole number" if whole else "number"
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}: use a positive {kind}.") from None
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} is {text!r}: use a positive {kind}.")
    return value


__all__ = ["Settings"]
