"""Names of songs to names of files and folders that stay where they are put, on any system."""

from __future__ import annotations

import re

from .audio_reading import CONTROLS

# And what some system takes for a folder, a drive, a stream or a pattern.
FORBIDDEN = re.compile(f'{CONTROLS.pattern}|[/\\\\:*?"<>|]')
RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}
MAX_BYTES = 160


def safe_name(name: str) -> str:
    """A name that is one part of a path, whatever it was: never a way out of the folder that it is put in.

    Args:
        name: of a song, of any length and characters.

    Returns:
        It, with `_` for what cannot be printed or means something to some system, at most 160 bytes long.
    """
    name = FORBIDDEN.sub("_", name).encode()[:MAX_BYTES].decode(errors="ignore").rstrip(". ").lstrip(" ")
    return f"_{name}" if not name or name.split(".")[0].upper() in RESERVED else name


__all__ = ["safe_name"]
