"""Data sets of the real formats, made here and tiny."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np

from train.data.folders import MUSDB18_VALIDATION, STEM_STREAMS

from .conftest import noise, write_song

RATE = 44_100
TRAIN_SONGS = ("Somebody - One", "Somebody - Two", "Somebody - Three")
SONGS = {"train": (*TRAIN_SONGS, MUSDB18_VALIDATION[0]), "test": ("Nobody - Four",)}


def stems_of(song: str, num_samples: int = RATE) -> dict[str, np.ndarray]:
    """A voice that is a tone, and backing that is noise."""
    seed = sum(song.encode())
    time = np.arange(num_samples) / RATE
    stems = {}
    for index, name in enumerate(("drums", "bass", "other")):
        # Of low frequencies, as music is: a lossy codec does not keep white noise.
        rows = noise(2, num_samples, seed + index)
        stems[name] = np.stack([np.convolve(row, np.hanning(64) / 8, "same") for row in rows]).astype(np.float32)
    stems["vocals"] = np.tile(0.2 * np.sin(2 * np.pi * (300 + seed % 200) * time), (2, 1)).astype(np.float32)
    return stems


def names_of(songs: Sequence) -> list[str]:
    return sorted(song.name for song in songs)


def error_of(estimate: np.ndarray, wanted: np.ndarray) -> float:
    """Power of the error relative to that of what is wanted."""
    length = min(estimate.shape[-1], wanted.shape[-1])
    return float(np.square(estimate[..., :length] - wanted[..., :length]).mean() / np.square(wanted).mean())


def make_stem_file(path: Path, stems: Mapping[str, np.ndarray]) -> Path:
    """A MUSDB18 file: five AAC streams, the mixture first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waveforms = [sum(stems.values()), *(stems[name] for name in STEM_STREAMS)]
    with av.open(str(path), "w", format="mp4", options={"movie_timescale": str(RATE)}) as container:
        streams = [container.add_stream("aac", rate=RATE, layout="stereo", bit_rate=256_000) for _ in waveforms]
        for stream, waveform in zip(streams, waveforms):
            frame = av.AudioFrame.from_ndarray(waveform, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE, 0
            container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def make_musdb18(folder: Path) -> Path:
    for split, songs in SONGS.items():
        for song in songs:
            make_stem_file(folder / split / f"{song}.stem.mp4", stems_of(song))
    return folder


def make_musdb18_hq(folder: Path) -> Path:
    for split, songs in SONGS.items():
        for song in songs:
            stems = stems_of(song)
            for name, waveform in [*stems.items(), ("mixture", sum(stems.values()))]:
                write_song(folder / split / song / f"{name}.wav", waveform, RATE)
    return folder


def make_mir1k(folder: Path) -> Path:
    for clip in ("amy_1_01", "amy_1_02", "jmzen_1_01"):
        stems = stems_of(clip, 32_000)
        write_song(folder / f"{clip}.wav", np.stack([stems["other"][0], stems["vocals"][0]]), 16_000)
    return folder


def make_instrumentals(folder: Path) -> Path:
    write_song(folder / "game" / "theme.ogg", stems_of("theme")["other"], RATE)
    write_song(folder / "march.mp3", stems_of("march")["other"], RATE)
    return folder


def make_dsd100(folder: Path) -> Path:
    for split, songs in SONGS.items():
        part = "Dev" if split == "train" else "Test"
        for song in songs:
            stems = stems_of(song)
            for name, waveform in stems.items():
                write_song(folder / "Sources" / part / song / f"{name}.wav", waveform, RATE)
            write_song(folder / "Mixtures" / part / song / "mixture.wav", sum(stems.values()), RATE)
    return folder


def make_song_folders(folder: Path) -> Path:
    """What people have: songs of different stems and formats, in no split."""
    first, second, third = (stems_of(song) for song in TRAIN_SONGS)
    backing = {song: sum(stems_of(song)[name] for name in ("drums", "bass", "other")) for song in TRAIN_SONGS}
    write_song(folder / TRAIN_SONGS[0] / "Vocals.flac", first["vocals"], RATE)
    write_song(folder / TRAIN_SONGS[0] / "instrumental.flac", backing[TRAIN_SONGS[0]], RATE)
    write_song(folder / TRAIN_SONGS[1] / "vocals.wav", second["vocals"], RATE)
    write_song(folder / TRAIN_SONGS[1] / "mixture.wav", second["vocals"] + backing[TRAIN_SONGS[1]], RATE)
    for name, waveform in third.items():
        write_song(folder / TRAIN_SONGS[2] / f"{name}.wav", waveform, RATE)
    return folder
