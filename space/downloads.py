"""Stems as the file that a visitor asks for: one or all, in any format, named after the song."""

from __future__ import annotations

import zipfile
from pathlib import Path

from separation_job import SeparatedSong
from song_check import SongError

from modeling_unet_svs.audio.writing import AudioWriter, check_format
from modeling_unet_svs.audio_reading import AudioFileError, AudioReader

FORMATS = ("wav", "flac", "mp3")
ALL_STEMS = "all"


def make_download(song: SeparatedSong, which: str, format: str) -> Path:
    """Makes a file to download, beside the stems.

    Args:
        song: whose stems are on the disk.
        which: name of a stem, or "all" for a zip of them.
        format: one of `FORMATS`.

    Returns:
        Path of the file.

    Raises:
        SongError: a format that cannot hold this song, or stems that are gone.
    """
    if not all(path.exists() for path in song.stems.values()):
        raise SongError("These stems were deleted, because it is too long since they were made: make them again.")
    try:
        if which != ALL_STEMS:
            return _converted(song.stems[which], format)
        return _zipped(song, format)
    except ValueError as error:
        reason = error.args[1] if isinstance(error, AudioFileError) else str(error)
        raise SongError(f"This cannot be downloaded as {format.upper()}: {reason}") from None


def _converted(stem: Path, format: str) -> Path:
    path = stem.with_suffix(f".{format}")
    if path.exists():
        return path
    with AudioReader(stem) as reader:
        info = reader.info
        check_format(format, info.sampling_rate, info.num_channels)
        writer = AudioWriter(path, info.sampling_rate, info.num_channels, subtype=info.subtype, tags=info.tags)
        with writer:
            for block in reader.blocks():
                writer.write(block)
    return path


def _zipped(song: SeparatedSong, format: str) -> Path:
    paths = [_converted(stem, format) for stem in song.stems.values()]
    archive = paths[0].with_name(f"{song.name} - stems ({format}).zip")
    if archive.exists():
        return archive
    partial = archive.with_suffix(".partial")
    # Audio does not get smaller by much; what was zipped soonest is downloaded soonest.
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as opened:
        for path in paths:
            opened.write(path, path.name)
    return partial.rename(archive)


__all__ = ["ALL_STEMS", "FORMATS", "make_download"]
