"""What may be separated, decided before any work is done."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from settings import Settings

from modeling_unet_svs.audio_reading import AudioFileError, AudioInfo, AudioReader
from modeling_unet_svs.separation import MAX_SAMPLING_RATE, MIN_SAMPLING_RATE

# -80 dB of full scale: below the noise of any recording.
SILENCE = 1e-4
MAX_CHANNELS = 8


class SongError(ValueError):
    """A song that cannot be taken apart; its text is one sentence for the visitor."""


def check_song(path: Path, settings: Settings) -> AudioInfo:
    """Looks at a file's size and header, and at its samples up to the first that is not silent.

    Of a video only the sound is ever decoded.

    Args:
        path: of the song.
        settings: with the limits.

    Returns:
        What the header says.

    Raises:
        SongError: too big, too long, not audio, damaged at the beginning, or silent.
    """
    size = path.stat().st_size if path.exists() else 0
    if size > settings.max_bytes:
        raise SongError(
            f"{path.name} has {size / 1e6:.1f} MB, and {settings.max_megabytes:g} MB is the limit here: "
            "try it as MP3 or FLAC."
        )
    try:
        with AudioReader(path) as reader:
            info = reader.info
            if info.num_channels > MAX_CHANNELS:
                raise SongError(f"{path.name} has {info.num_channels} channels, and {MAX_CHANNELS} is the limit here.")
            if not MIN_SAMPLING_RATE <= info.sampling_rate <= MAX_SAMPLING_RATE:
                raise SongError(
                    f"{path.name} has a sampling rate of {info.sampling_rate} Hz: use {MIN_SAMPLING_RATE} to "
                    f"{MAX_SAMPLING_RATE} Hz."
                )
            check_length(info, info.num_samples or 0, settings)
            num_samples = 0
            for block in reader.blocks():
                if not np.isfinite(block).all():
                    raise SongError(f"{path.name} is damaged: it has samples that are no numbers.")
                if np.abs(block).max() > SILENCE:
                    return info
                num_samples += block.shape[1]
                check_length(info, num_samples, settings)
    except AudioFileError as error:
        raise SongError(in_plain_words(error, path)) from None
    raise SongError(f"{path.name} is silent from beginning to end: there is nothing to take apart.")


def max_samples(info: AudioInfo, settings: Settings) -> int:
    """The longest that a song may be.

    Args:
        info: of the song.
        settings: with the limits.

    Returns:
        Samples for each channel.
    """
    num_pairs = math.ceil(info.num_channels / 2)
    return int(settings.max_minutes * 60 / num_pairs * info.sampling_rate)


def check_length(info: AudioInfo, num_samples: int, settings: Settings) -> None:
    """Refuses a song that is too long.

    Args:
        info: of the song.
        num_samples: that it has, as far as is known.
        settings: with the limits.

    Raises:
        SongError: too long.
    """
    limit = max_samples(info, settings)
    if num_samples > limit:
        length, most = clock(num_samples / info.sampling_rate), clock(limit / info.sampling_rate)
        raise SongError(
            f"{info.path.name} lasts {length} (minutes:seconds) or more, and {most} is the limit here: "
            "cut it into parts."
        )


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, "3:07"."""
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def in_plain_words(error: AudioFileError, path: Path) -> str:
    """An error about a file with the file's name as the visitor knows it, without folders.

    Args:
        error: about a file.
        path: of that file.

    Returns:
        One sentence.
    """
    return f"{path.name} {error.args[1]}".replace("\n", " ")


__all__ = ["MAX_CHANNELS", "SongError", "check_length", "check_song", "clock", "in_plain_words", "max_samples"]
