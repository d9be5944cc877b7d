"""Tiny data sets of the real formats: folders of files, and the Parquet files of the Hub with audio inside."""

import json
from pathlib import Path

import av
import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from train.data.folders import MUSDB18_VALIDATION, STEM_STREAMS

from .conftest import noise, write_song

RATE = 44_100
TRAIN_SONGS = ("Somebody - One", "Somebody - Two", "Somebody - Three")
SONGS = {"train": (*TRAIN_SONGS, MUSDB18_VALIDATION[0]), "test": ("Nobody - Four",)}
AUDIO = pa.struct({"bytes": pa.binary(), "path": pa.string()})
ALPHABETICAL = ("bass", "drums", "mixture", "other", "vocals")


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


def backing_of(stems: dict[str, np.ndarray]) -> np.ndarray:
    return stems["drums"] + stems["bass"] + stems["other"]


def all_stems():
    """Split, name and stems of each song."""
    for split, songs in SONGS.items():
        for song in songs:
            yield split, song, stems_of(song)


def names_of(songs) -> list[str]:
    return sorted(song.name for song in songs)


def error_of(estimate: np.ndarray, wanted: np.ndarray) -> float:
    """Power of the error relative to that of what is wanted."""
    length = min(estimate.shape[-1], wanted.shape[-1])
    return float(np.square(estimate[..., :length] - wanted[..., :length]).mean() / np.square(wanted).mean())


def make_stem_file(path: Path, stems: dict[str, np.ndarray]) -> Path:
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
    for split, song, stems in all_stems():
        make_stem_file(folder / split / f"{song}.stem.mp4", stems)
    return folder


def make_musdb18_hq(folder: Path) -> Path:
    for split, song, stems in all_stems():
        for name, waveform in {**stems, "mixture": sum(stems.values())}.items():
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
    for split, song, stems in all_stems():
        part = "Dev" if split == "train" else "Test"
        for name, waveform in stems.items():
            write_song(folder / "Sources" / part / song / f"{name}.wav", waveform, RATE)
        write_song(folder / "Mixtures" / part / song / "mixture.wav", sum(stems.values()), RATE)
    return folder


def make_song_folders(folder: Path) -> Path:
    """What people have: songs of different stems and formats, in no split."""
    first, second, third = (stems_of(song) for song in TRAIN_SONGS)
    files = (
        {"Vocals.flac": first["vocals"], "instrumental.flac": backing_of(first)},
        {"vocals.wav": second["vocals"], "mixture.wav": sum(second.values())},
        {f"{name}.wav": waveform for name, waveform in third.items()},
    )
    for song, waveforms in zip(TRAIN_SONGS, files):
        for name, waveform in waveforms.items():
            write_song(folder / song / name, waveform, RATE)
    return folder


def encoded(folder: Path, song: str, stem: str, name: str | None, part: slice = slice(None)) -> dict:
    """A 16-bit wav file's bytes, and the name that it had, which is all that Parquet keeps of its path."""
    stems = stems_of(song)
    waveform = sum(stems.values()) if stem == "mixture" else stems[stem]
    path = write_song(folder / "encoded.wav", waveform[:, part], RATE)
    content = path.read_bytes()
    path.unlink()
    return {"bytes": content, "path": name}


def write_parquet(path: Path, columns: dict, **features) -> Path:
    """A file as `push_to_hub` writes it, with its features in the metadata; those not given follow from the values."""
    usual = {dict: datasets.Audio(), int: datasets.Value("int64"), str: datasets.Value("string")}
    features = datasets.Features({**{name: usual[type(values[0])] for name, values in columns.items()}, **features})
    types = {name: AUDIO if isinstance(features[name], datasets.Audio) else None for name in columns}
    table = pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})
    metadata = {"huggingface": json.dumps({"info": {"features": features.to_dict()}})}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def make_columns(folder: Path, splits: dict[str, tuple[str, ...]] = SONGS, num_files: int = 1) -> Path:
    """One row per song, a column per stem."""
    for split, songs in splits.items():
        for number in range(num_files):
            rows = songs[number::num_files]
            columns = {"name": list(rows)}
            for stem in ALPHABETICAL:
                audio = [encoded(folder, song, stem, f"{stem}.wav") for song in rows]
                columns[f"audio_{'mix' if stem == 'mixture' else stem}"] = audio
            write_parquet(folder / "data" / f"{split}-{number:05d}-of-{num_files:05d}.parquet", columns)
    return folder


def make_five_rows(folder: Path, order: tuple[str, ...] = ALPHABETICAL, *, named: bool = False) -> Path:
    """Five consecutive rows for each song, of which nothing but the order, or a file's name, says what they are."""
    for split, songs in SONGS.items():
        rows = [(song, stem, f"{song}/{stem}.wav" if named else None) for song in songs for stem in order]
        write_parquet(folder / "data" / f"{split}.parquet", {"audio": [encoded(folder, *row) for row in rows]})
    return folder


def make_stem_rows(folder: Path) -> Path:
    """One row per stem, with its song and instrument in columns of their own; stems of a song are far apart."""
    for split, songs in SONGS.items():
        rows = [(song, stem) for stem in ALPHABETICAL for song in songs]
        columns = {
            "track": [song for song, _ in rows],
            "instrument": [ALPHABETICAL.index(stem) for _, stem in rows],
            "audio": [encoded(folder, song, stem, f"{song} {stem}.wav") for song, stem in rows],
        }
        instrument = datasets.ClassLabel(names=list(ALPHABETICAL))
        write_parquet(folder / "data" / f"{split}.parquet", columns, instrument=instrument)
    return folder


def make_segments(folder: Path, num_segments: int = 2) -> Path:
    """Pre-cut segments: mixture and vocals of some rows for each song."""
    length = RATE // num_segments
    parts = [slice(number * length, (number + 1) * length) for number in range(num_segments)]
    for split, songs in SONGS.items():
        rows = [(song, number) for song in songs for number in range(num_segments)]
        columns = {"song": [song for song, _ in rows], "segment": [number for _, number in rows]}
        for stem in ("mixture", "vocals"):
            columns[stem] = [encoded(folder, song, stem, f"{stem}.wav", parts[number]) for song, number in rows]
        write_parquet(folder / "data" / f"{split}.parquet", columns)
    return folder
