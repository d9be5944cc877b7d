"""Data sets of the Hub as they are published, made here and tiny: Parquet files with audio inside."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from .conftest import write_song
from .data_sets import RATE, SONGS, stems_of

AUDIO = pa.struct({"bytes": pa.binary(), "path": pa.string()})
ALPHABETICAL = ("bass", "drums", "mixture", "other", "vocals")


def with_mixture(song: str, num_samples: int = RATE) -> dict:
    stems = stems_of(song, num_samples)
    return {"mixture": sum(stems.values()), **stems}


def encoded(folder: Path, waveform, name: str | None) -> dict:
    """A 16-bit wav file's bytes, and the name that it had, which is all that Parquet keeps of its path."""
    path = write_song(folder / "encoded.wav", waveform, RATE)
    content = path.read_bytes()
    path.unlink()
    return {"bytes": content, "path": name}


def write_parquet(path: Path, columns: Mapping[str, Sequence], **features) -> Path:
    """A file as `push_to_hub` writes it, with its features in the metadata; those not given follow from the values."""
    usual = {dict: datasets.Audio(), int: datasets.Value("int64"), str: datasets.Value("string")}
    features = datasets.Features({**{name: usual[type(values[0])] for name, values in columns.items()}, **features})
    types = {name: AUDIO if isinstance(features[name], datasets.Audio) else None for name in columns}
    table = pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})
    metadata = {"huggingface": json.dumps({"info": {"features": features.to_dict()}})}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def make_columns(folder: Path, splits: Mapping[str, Sequence[str]] = SONGS, num_files: int = 1) -> Path:
    """One row per song, a column per stem."""
    for split, songs in splits.items():
        for number in range(num_files):
            rows = songs[number::num_files]
            columns = {"name": list(rows)}
            for stem in ALPHABETICAL:
                audio = [encoded(folder, with_mixture(song)[stem], f"{stem}.wav") for song in rows]
                columns[f"audio_{'mix' if stem == 'mixture' else stem}"] = audio
            write_parquet(folder / "data" / f"{split}-{number:05d}-of-{num_files:05d}.parquet", columns)
    return folder


def make_five_rows(folder: Path, order: Sequence[str] = ALPHABETICAL, *, named: bool = False) -> Path:
    """Five consecutive rows for each song, of which nothing but the order, or a file's name, says what they are."""
    for split, songs in SONGS.items():
        audio = [
            encoded(folder, with_mixture(song)[stem], f"{song}/{stem}.wav" if named else None)
            for song in songs
            for stem in order
        ]
        write_parquet(folder / "data" / f"{split}.parquet", {"audio": audio})
    return folder


def make_stem_rows(folder: Path) -> Path:
    """One row per stem, with its song and instrument in columns of their own; stems of a song are far apart."""
    for split, songs in SONGS.items():
        rows = [(song, stem) for stem in ALPHABETICAL for song in songs]
        columns = {
            "track": [song for song, _ in rows],
            "instrument": [ALPHABETICAL.index(stem) for _, stem in rows],
            "audio": [encoded(folder, with_mixture(song)[stem], f"{song} {stem}.wav") for song, stem in rows],
        }
        instrument = datasets.ClassLabel(names=list(ALPHABETICAL))
        write_parquet(folder / "data" / f"{split}.parquet", columns, instrument=instrument)
    return folder


def make_segments(folder: Path, num_segments: int = 2) -> Path:
    """Pre-cut segments: mixture and vocals of some rows for each song."""
    length = RATE // num_segments
    for split, songs in SONGS.items():
        rows = [(song, number) for song in songs for number in range(num_segments)]
        columns = {"song": [song for song, _ in rows], "segment": [number for _, number in rows]}
        for stem in ("mixture", "vocals"):
            columns[stem] = [
                encoded(folder, with_mixture(song)[stem][:, number * length : (number + 1) * length], f"{stem}.wav")
                for song, number in rows
            ]
        write_parquet(folder / "data" / f"{split}.parquet", columns)
    return folder
