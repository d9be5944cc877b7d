"""The names that files, columns and labels give to stems."""

from __future__ import annotations

import re

# Of the field, and what others call the same.
ALIASES = {
    "mixture": ("mixture", "mix", "mixed", "mixdown", "full mix", "linear mixture"),
    "vocals": ("vocals", "vocal", "voice", "singing", "singing voice", "vox", "acapella"),
    "accompaniment": (
        *("accompaniment", "instrumental", "instrumentals", "backing track", "karaoke", "no vocals", "minus vocals"),
        "background",
    ),
    "drums": ("drums", "drum", "percussion"),
    "bass": ("bass",),
    "other": ("other", "others", "rest", "residual"),
    "guitar": ("guitar", "guitars"),
    "piano": ("piano", "keys"),
    "strings": ("strings",),
    "synth": ("synth", "synths"),
}
STEM_OF_ALIAS = {alias: stem for stem, aliases in ALIASES.items() for alias in aliases}
# Words around a stem's name in columns such as `audio_mix` or `vocals_audio`.
FILLERS = {"audio", "stem", "wav", "track", "waveform", "file", "path"}


def canonical_stem(name: str) -> str | None:
    """The stem that a file, column or label is named after.

    Args:
        name: such as "vocals", "audio_mix", "No Vocals".

    Returns:
        A key of `ALIASES`, or `None`.
    """
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
    kept = [word for word in words if word not in FILLERS]
    return STEM_OF_ALIAS.get(" ".join(words)) or STEM_OF_ALIAS.get(" ".join(kept))


__all__ = ["canonical_stem"]
