"""A song, where its stems are, and their decoding."""

import functools
import logging
import math
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import fsspec
import numpy as np
import pyarrow as pa

from modeling_unet_svs.audio.reading_ahead import read_ahead, read_info
from modeling_unet_svs.audio_reading import AudioFileError
from modeling_unet_svs.separation import refuse_if

logger = logging.getLogger(__name__)

# Common names of stems, and their synonyms.
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

# Stems of one song may differ by this many samples: the padding of a lossy encoder.
TOLERATED_SAMPLES = 4096
ALL_CHANNELS = -1
SPLITS = ("train", "validation", "test")
# Names of split folders and of Hub splits; DSD100 calls its training split "Dev".
SPLIT_OF_NAME = {"train": "train", "training": "train", "dev": "train", "test": "test"}
SPLIT_OF_NAME |= dict.fromkeys(("valid", "validation", "val"), "validation")


def canonical_stem(name: str) -> str | None:
    """The stem that a file, column or label is named after."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
    kept = [word for word in words if word not in FILLERS]
    return STEM_OF_ALIAS.get(" ".join(words)) or STEM_OF_ALIAS.get(" ".join(kept))


class BrokenSongError(ValueError):
    """A song that cannot be used; its text is one line that names the song and the stem."""


@contextmanager
def skip_broken(skip_broken_songs: bool) -> Iterator[None]:
    """Context manager that ends early, with a warning, if its song is broken and the flag is set."""
    try:
        yield
    except (AudioFileError, BrokenSongError) as error:
        if not skip_broken_songs:
            raise
        logger.warning("left out: %s", error)


@dataclass(frozen=True)
class File:
    """A stream of a file, or one channel of it."""

    path: str
    audio_stream: int = 0
    channel: int = ALL_CHANNELS

    @property
    def label(self) -> str:
        return self.path

    @property
    def is_remote(self) -> bool:
        return "://" in self.path


@dataclass(frozen=True, eq=False)
class Bytes:
    """A file inside a data set; the content stays in mapped memory until it is decoded."""

    content: bytes | pa.Buffer
    path: str | None = None  # the name that the file had
    place: tuple | None = None  # files of the data set, row and column: tells contents apart without reading them
    audio_stream = 0
    channel = ALL_CHANNELS

    @property
    def label(self) -> str:
        return f"{self.path or 'audio'} (embedded)"


Recording = File | Bytes


@dataclass(frozen=True)
class Sum:
    """Recordings that are added or, where the sign is -1, subtracted."""

    terms: tuple[tuple[int, Recording], ...]


Stem = Recording | Sum


@dataclass
class Song:
    """A song whose stems are known; an accompaniment or mixture without a recording is the sum of others."""

    name: str
    source: str  # "musdb18", "mir1k", "instrumentals", "voices" or "stems"
    split: str
    stems: Mapping[str, Stem]
    max_bandwidth: float = math.inf  # Hz; what is measured above it is not the music's

    def __post_init__(self):
        self.stems = dict(self.stems)
        if "accompaniment" not in self.stems:
            if others := _others(self.stems):
                self.stems["accompaniment"] = self._sum(others)
            elif {"mixture", "vocals"} <= set(self.stems):
                self.stems["accompaniment"] = Sum(((1, self.stems["mixture"]), (-1, self.stems["vocals"])))
        if "mixture" not in self.stems:
            self.stems["mixture"] = self._sum(name for name in ("vocals", "accompaniment") if name in self.stems)

    def _sum(self, names: Iterable[str]) -> Sum:
        return Sum(tuple(term for name in names for term in self.terms(name)))

    @property
    def recorded(self) -> list[str]:
        """The stems that have recordings of their own."""
        return [name for name, stem in self.stems.items() if not isinstance(stem, Sum)]

    @property
    def parts(self) -> list[str]:
        """The stems that add up to the song: the parts of its accompaniment, and its vocals."""
        others = _others(self.stems) if "accompaniment" not in self.recorded else []
        return [name for name in (*(others or ["accompaniment"]), "vocals") if name in self.stems]

    def terms(self, name: str) -> tuple[tuple[int, Recording], ...]:
        """The recordings that a stem is the sum of, with their signs."""
        stem = self.stems[name]
        return stem.terms if isinstance(stem, Sum) else ((1, stem),)


def _others(stems: Mapping[str, Stem]) -> list[str]:
    """Parts of the accompaniment, in the usual order."""
    usual = ("drums", "bass", "other")
    found = set(stems) - {"mixture", "vocals", "accompaniment"}
    return [name for name in usual if name in found] + sorted(found - set(usual))


@contextmanager
def file_of(recording: Recording) -> Iterator[str]:
    """Context manager of a local file that has the recording."""
    if isinstance(recording, File) and not recording.is_remote:
        yield recording.path
        return
    with tempfile.NamedTemporaryFile(prefix="unet-svs-") as file:
        if isinstance(recording, File):
            with fsspec.open(recording.path, "rb") as remote:
                shutil.copyfileobj(remote, file)
        else:
            file.write(recording.content)
        file.flush()
        try:
            yield file.name
        except AudioFileError as error:
            raise AudioFileError(recording.label, error.args[1]) from None


def decode_recording(recording: Recording) -> tuple[np.ndarray, int]:
    """Samples `(num_channels, num_samples)` and their rate."""
    with file_of(recording) as path, read_ahead(path, recording.audio_stream) as (info, blocks):
        waveform = np.concatenate(list(blocks), axis=1)
    error = partial(AudioFileError, recording.label)
    refuse_if(not np.isfinite(waveform).all(), "has samples that are NaN or infinite.", error)
    counts = f"has {len(waveform)} channel(s), and channel {recording.channel} (from 0) is needed."
    refuse_if(recording.channel >= len(waveform), counts, error)
    return waveform if recording.channel == ALL_CHANNELS else waveform[[recording.channel]], info.sampling_rate


def decode_stem(
    song: Song, stem: str, decode: Callable[[Recording], tuple[np.ndarray, int]] = decode_recording
) -> tuple[np.ndarray, int]:
    """Samples of a stem, the sum of its recordings, at the rate that they have."""
    decoded = [(sign, recording.label, *decode(recording)) for sign, recording in song.terms(stem)]
    waveforms = _aligned(song.name, [term[1:] for term in decoded])
    return sum(sign * waveform for (sign, *_), waveform in zip(decoded, waveforms)), decoded[0][-1]


def read_stems(song: Song, names: Sequence[str] = ("vocals", "accompaniment")) -> tuple[np.ndarray, int]:
    """Samples `(stems, num_channels, num_samples)` and their rate; each recording is decoded once."""
    decode = functools.cache(decode_recording)
    stems = [(name, *decode_stem(song, name, decode)) for name in names]
    return np.stack(_aligned(song.name, stems)), stems[0][-1]


def _aligned(song_name: str, stems: Sequence[tuple[str, np.ndarray, int]]) -> list[np.ndarray]:
    """Brings labelled waveforms to one length and number of channels."""
    check_alike(song_name, [(label, rate, waveform.shape[1]) for label, waveform, rate in stems])
    length = min(waveform.shape[1] for _, waveform, _ in stems)
    num_channels = max(len(waveform) for _, waveform, _ in stems)
    for label, waveform, _ in stems:
        is_other, counts = len(waveform) not in (1, num_channels), f"{len(waveform)} channels"
        refuse_if(is_other, f"{song_name!r}: {label} has {counts} where others have {num_channels}.", BrokenSongError)
        if len(waveform) < num_channels:
            say_once("mono stems are made stereo", label)
    return [np.broadcast_to(waveform[:, :length], (num_channels, length)) for _, waveform, _ in stems]


def check_alike(song_name: str, stems: Sequence[tuple[str, int, int | None]]) -> None:
    """Checks that stems, given as label, rate and length where it is known, fit together."""
    rates = [rate for _, rate, _ in stems]
    usual = max(set(rates), key=rates.count, default=0)
    for label, rate, _ in stems:
        refuse_if(
            rate != usual,
            f"{song_name!r}: {label} has {rate} Hz where the other stems have {usual} Hz.",
            BrokenSongError,
        )
    known = [(length, label) for label, _, length in stems if length is not None]
    if known and max(known)[0] - min(known)[0] > TOLERATED_SAMPLES:
        (short, label), (length, _) = min(known), max(known)
        raise BrokenSongError(
            f"the stems of {song_name!r} differ in length: {label} {short / usual:.2f} s, the longest "
            f"{length / usual:.2f} s."
        )


def check_rates(song: Song, stems: Iterable[str]) -> None:
    """Checks rates by the headers of files, without decoding; lengths in headers may be estimates."""
    rates = []
    for recording in dict.fromkeys(recording for stem in stems for _, recording in song.terms(stem)):
        with file_of(recording) as path:
            rates.append((recording.label, read_info(path, recording.audio_stream).sampling_rate, None))
    check_alike(song.name, rates)


_said: set[str] = set()


def say_once(message: str, example: object) -> None:
    """Logs only the first of a warning that may apply to every song."""
    if message not in _said:
        _said.add(message)
        logger.warning("%s, such as %s", message, example)
