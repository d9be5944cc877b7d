"""The operator's settings, from environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import inf

from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.separation import refuse_if


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
    max_stored_megabytes: float = 10_000

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Reads `UNET_SVS_MODEL` and so on; a variable that is not set, or is empty, leaves the default."""
        variables = {f"UNET_SVS_{field.name.upper()}": field for field in fields(cls)}
        given = {name: field for name, field in variables.items() if environment.get(name)}
        return cls(**{field.name: _value(name, environment[name], field.type) for name, field in given.items()})

    @property
    def max_bytes(self) -> int:
        return int(self.max_megabytes * 1e6)

    @property
    def max_stored_bytes(self) -> int:
        return int(self.max_stored_megabytes * 1e6)

    @property
    def keep_seconds(self) -> int:
        return max(1, int(self.keep_minutes * 60))


def _value(name: str, text: str, kind: type) -> str | int | float:
    if kind is str:
        return text
    try:
        value = kind(text)
    except ValueError:
        value = 0
    refuse_if(not 0 < value < inf, f"{name} is {text!r}: use a positive {'whole ' * (kind is int)}number.")
    return value
