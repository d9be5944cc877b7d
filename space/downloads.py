"""Makes the file that a visitor asks for: one stem or all, in any format, named after the song."""

import zipfile
from pathlib import Path

from job import SeparatedSong, SongError
from mixer import FORMATS

from modeling_unet_svs.audio.writing import AudioWriter
from modeling_unet_svs.audio_reading import AudioFileError, AudioReader

ALL_STEMS = "all"


def make_download(song: SeparatedSong | None, which: str, format: str) -> Path:
    """Makes the file of one stem, or a zip of "all", beside the stems; a song that is no longer there is `None`."""
    if song is None or not all(path.exists() for path in song.stems.values()):
        raise SongError("These stems were deleted, because they were made too long ago: make them again.")
    if which not in (ALL_STEMS, *song.stems) or format not in FORMATS:
        raise SongError(f"There is no {which} as {format}: use {', '.join(song.stems)} and {', '.join(FORMATS)}.")
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
        writer = AudioWriter(path, info.sampling_rate, info.num_channels, subtype=info.subtype, tags=info.tags)
        with writer:
            for block in reader.blocks():
                writer.write(block)
    return path


def _zipped(song: SeparatedSong, format: str) -> Path:
    paths = [_converted(stem, format) for stem in song.stems.values()]
    archive = song.folder / f"{song.name} - stems ({format}).zip"
    if archive.exists():
        return archive
    partial = archive.with_suffix(".partial")
    # Audio hardly compresses, so the fastest zip is the best.
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as opened:
        for path in paths:
            opened.write(path, path.name)
    return partial.rename(archive)
