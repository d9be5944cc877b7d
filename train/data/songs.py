"""A song, where its stems are, and their decoding."""

from __future__ import annotations

import contextlib
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import datasets
import numpy as np

from modeling_unet_svs.audio.reading_ahead import read_ahead, read_info
from modeling_unet_svs.audio_reading import AudioFileError, AudioInfo

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
    """The stem that a file, column or label is named after."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
    kept = [word for word in words if word not in FILLERS]
    return STEM_OF_ALIAS.get(" ".join(words)) or STEM_OF_ALIAS.get(" ".join(kept))


logger = logging.getLogger(__name__)

ALL_CHANNELS = -1
# Stems of one song may differ by this much: the padding of a lossy encoder.
TOLERATED_SAMPLES = 4096

REFERENCE = {
    "path": datasets.Value("string"),  # of the file; beside `bytes` only the name it had
    "bytes": datasets.Value("binary"),  # of a file that is inside the data set
    "audio_stream": datasets.Value("int32"),
    "channel": datasets.Value("int32"),
    # Instead of a file: columns whose sum the stem is; those after a minus are subtracted.
    "sum_of": datasets.List(datasets.Value("string")),
}
STEM_COLUMNS = ("mixture", "vocals", "accompaniment", "drums", "bass", "other")
DETAILS = {
    "name": datasets.Value("string"),
    "source": datasets.Value("string"),
    "split": datasets.Value("string"),
    # Hz up to which the recording has content; infinite where it is as wide as its sampling rate allows.
    "bandwidth": datasets.Value("float32"),
}


class BrokenSongError(ValueError):
    """A song that cannot be used; its text is one line that names the song and the stem."""


def features(stems: Sequence[str] = STEM_COLUMNS) -> datasets.Features:
    """Columns of a table of songs."""
    return datasets.Features({**DETAILS, **dict.fromkeys(stems, REFERENCE)})


def file_reference(path: str | Path, audio_stream: int = 0, channel: int = ALL_CHANNELS) -> dict:
    """A stem that is (a stream, or one channel of) a file."""
    return {"path": str(path), "bytes": None, "audio_stream": audio_stream, "channel": channel, "sum_of": None}


def sum_reference(terms: Sequence[str]) -> dict:
    """A stem that is the sum of other columns; a term such as `-vocals` is subtracted."""
    return {"path": None, "bytes": None, "audio_stream": 0, "channel": ALL_CHANNELS, "sum_of": list(terms)}


def derived_references(recorded: Sequence[str]) -> dict[str, dict]:
    """What follows from the stems that a song has: its accompaniment and mixture, where they have no file."""
    parts = sorted(set(recorded) - {"mixture", "vocals", "accompaniment"}, key=_order)
    derived = {}
    if "accompaniment" not in recorded:
        if parts:
            derived["accompaniment"] = sum_reference(parts)
        elif {"mixture", "vocals"} <= set(recorded):
            derived["accompaniment"] = sum_reference(["mixture", "-vocals"])
    if "mixture" not in recorded:
        terms = [name for name in ("vocals", "accompaniment") if name in recorded or name in derived]
        derived["mixture"] = sum_reference(terms)
    return derived


def _order(stem: str) -> tuple[int, str]:
    return (STEM_COLUMNS.index(stem) if stem in STEM_COLUMNS else len(STEM_COLUMNS), stem)


def stem_names(song: Mapping) -> list[str]:
    """The stems that add up to a song: its vocals and the parts of its accompaniment."""
    names = []
    accompaniment = song.get("accompaniment")
    if accompaniment:
        terms = accompaniment["sum_of"] or []
        summed = terms and not any(term.startswith("-") for term in terms)
        names = list(terms) if summed else ["accompaniment"]
    return [*names, "vocals"] if song.get("vocals") else names


def terms_of(song: Mapping, stem: str) -> list[tuple[int, dict]]:
    """The files that a stem is made of."""
    reference = song.get(stem)
    if not reference:
        raise BrokenSongError(f"{song['name']!r} has no {stem}.")
    if not reference["sum_of"]:
        return [(1, reference)]
    terms = []
    for term in reference["sum_of"]:
        sign = -1 if term.startswith("-") else 1
        terms += [(sign * inner, file) for inner, file in terms_of(song, term.removeprefix("-"))]
    return terms


def label_of(reference: Mapping) -> str:
    """A file reference in words: its path, or that it is inside the data set."""
    if reference["bytes"] is None:
        return reference["path"]
    return f"{reference['path'] or 'audio'} (embedded)"


@contextlib.contextmanager
def file_of(reference: Mapping) -> Iterator[str]:
    """Context of the file that a reference points to."""
    if reference["bytes"] is None:
        yield reference["path"]
        return
    with tempfile.NamedTemporaryFile(prefix="unet-svs-") as file:
        file.write(reference["bytes"])
        file.flush()
        try:
            yield file.name
        except AudioFileError as error:
            raise AudioFileError(label_of(reference), error.args[1]) from None


def describe(reference: Mapping) -> AudioInfo:
    """What the file's header says, without decoding."""
    with file_of(reference) as path:
        return read_info(path, reference["audio_stream"])


def decode_reference(reference: Mapping) -> tuple[np.ndarray, int]:
    """Decodes one file."""
    label = label_of(reference)
    with file_of(reference) as path, read_ahead(path, reference["audio_stream"]) as (info, blocks):
        waveform, rate = np.concatenate(list(blocks), axis=1), info.sampling_rate
    if not np.isfinite(waveform).all():
        raise AudioFileError(label, "has samples that are NaN or infinite.")
    channel = reference["channel"]
    if channel == ALL_CHANNELS:
        return waveform, rate
    if channel >= len(waveform):
        raise AudioFileError(label, f"has {len(waveform)} channel(s), and channel {channel} (from 0) is needed.")
    return waveform[channel : channel + 1], rate


def add_up(song_name: str, terms: Sequence[tuple[int, np.ndarray, int, str]]) -> tuple[np.ndarray, int]:
    """The sum of decoded files."""
    check_alike(song_name, [(label, rate, waveform.shape[1]) for _, waveform, rate, label in terms])
    length = min(waveform.shape[1] for _, waveform, _, _ in terms)
    num_channels = max(len(waveform) for _, waveform, _, _ in terms)
    total = np.zeros((num_channels, length), dtype=np.float32)
    for sign, waveform, _, label in terms:
        if len(waveform) not in (1, num_channels):
            raise BrokenSongError(
                f"{song_name!r}: {label} has {len(waveform)} channels where others have {num_channels}."
            )
        if len(waveform) < num_channels:
            say_once(f"mono stems are made stereo, such as {label}")
        total += sign * waveform[:, :length]
    return total, terms[0][2]


def check_alike(song_name: str, stems: Sequence[tuple[str, int, int | None]]) -> None:
    """Checks that the stems of a song fit together."""
    rates = [rate for _, rate, _ in stems]
    usual = max(set(rates), key=rates.count, default=0)
    for label, rate, _ in stems:
        if rate != usual:
            raise BrokenSongError(f"{song_name!r}: {label} has {rate} Hz where the other stems have {usual} Hz.")
    known = [(length, label) for label, _, length in stems if length is not None]
    if known and max(known)[0] - min(known)[0] > TOLERATED_SAMPLES:
        (short, label), (length, _) = min(known), max(known)
        raise BrokenSongError(
            f"the stems of {song_name!r} differ in length: {label} {short / usual:.2f} s, the longest "
            f"{length / usual:.2f} s."
        )


def read_stems(song: Mapping, names: Sequence[str] = ("vocals", "accompaniment")) -> tuple[np.ndarray, int]:
    """Decodes stems of a song, each file once."""
    terms = {name: terms_of(song, name) for name in names}
    decoded: dict[int, tuple[np.ndarray, int]] = {}
    stems = []
    for name in names:
        for _, reference in terms[name]:
            if id(reference) not in decoded:
                decoded[id(reference)] = decode_reference(reference)
        summed = [(sign, *decoded[id(reference)], label_of(reference)) for sign, reference in terms[name]]
        stems.append((*add_up(song["name"], summed), name))
    num_channels = max(len(stem) for stem, _, _ in stems)
    check_alike(song["name"], [(name, rate, stem.shape[1]) for stem, rate, name in stems])
    length = min(stem.shape[1] for stem, _, _ in stems)
    return np.stack([np.broadcast_to(stem[:, :length], (num_channels, length)) for stem, _, _ in stems]), stems[0][1]


_said: set[str] = set()


def say_once(message: str) -> None:
    """Logs a warning of which there may be one for every song; only the first of a kind is of use."""
    kind = message.split(",")[0]
    if kind not in _said:
        _said.add(kind)
        logger.warning(message)
