"""What a runner has to know beside an exported graph: the file `separation.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .configuration_unet_svs import UNetSVSConfig

FILE_NAME = "separation.json"
FORMAT = {"format_version": 1, "window": "periodic_hann"}


@dataclass(frozen=True)
class GraphDescription:
    """The part of a [`UNetSVSConfig`] that is not within the graph; the names mean the same.

    The graph takes `magnitude`, float32 `(batch, num_channels, n_fft // 2 + 1, num_frames)`, for any batch, and gives
    `masks`, float32 `(batch, num_sources, num_channels, n_fft // 2 + 1, num_frames)`.

    Attributes:
        sampling_rate: in Hz.
        num_channels: of the graph.
        n_fft: window length in samples.
        hop_length: step between frames in samples.
        num_frames: of a patch.
        context_frames: thrown away at either end of a patch.
        num_bands: that the bins are folded into, within the graph.
        sources: what the masks are of, in their order.
        residual: name of the mixture minus the sources, if any.
        stems: the sources, then the residual.
    """

    sampling_rate: int
    num_channels: int
    n_fft: int
    hop_length: int
    num_frames: int
    context_frames: int
    num_bands: int
    sources: tuple[str, ...]
    residual: str | None
    stems: tuple[str, ...]

    @classmethod
    def of(cls, config: UNetSVSConfig) -> GraphDescription:
        """The description of a model's graph.

        Args:
            config: of the model.

        Returns:
            The description.
        """
        return cls(**{field.name: getattr(config, field.name) for field in fields(cls)})

    def write(self, path: Path) -> None:
        """Writes the description.

        Args:
            path: of the file.
        """
        path.write_text(json.dumps({**FORMAT, **asdict(self)}, indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> GraphDescription:
        """Reads what `write` has written.

        Args:
            path: of the file.

        Returns:
            The description.

        Raises:
            ValueError: a file that is missing, damaged, or of another version; one line.
        """
        try:
            values = json.loads(path.read_text())
            given = {name: values.pop(name) for name in FORMAT}
            if given != FORMAT:
                raise ValueError(f"it is for {given} where this version reads {FORMAT}")
            return cls(**values)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} cannot be used: {error}") from None


__all__ = ["FILE_NAME", "GraphDescription"]
