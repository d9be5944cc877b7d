"""Blocks of samples to audio files, which appear under their name when they are whole."""

from __future__ import annotations

import glob
import os
import weakref
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import cast

import av
import numpy as np

from ..audio_reading import AudioFileError

SUBTYPES = ("16", "24", "float")
LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
AAC_RATES = (7350, *MP3_RATES, 64000, 88200, 96000)


@dataclass(frozen=True)
class AudioFormat:
    """What a file format is made of and what it can hold."""

    container: str
    codecs: Mapping[str, str]
    max_channels: int
    sampling_rates: tuple[int, ...] = ()
    max_sampling_rate: int = 655_350
    bit_rate: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)


FORMATS: Mapping[str, AudioFormat] = {
    # RF64 where a file grows beyond the 4 GiB that a WAV can say.
    "wav": AudioFormat(
        "wav", {"16": "pcm_s16le", "24": "pcm_s24le", "float": "pcm_f32le"}, 64, options={"rf64": "auto"}
    ),
    "flac": AudioFormat("flac", dict.fromkeys(SUBTYPES, "flac"), 8),
    "mp3": AudioFormat("mp3", dict.fromkeys(SUBTYPES, "libmp3lame"), 2, MP3_RATES, bit_rate=320_000),
    # FFmpeg's Vorbis encoder changes the length, and Opus the rate; FLAC in Ogg changes nothing.
    "ogg": AudioFormat("ogg", dict.fromkeys(SUBTYPES, "flac"), 8),
    # The edit list that hides the encoder's padding counts in movie time, in milliseconds by default.
    "m4a": AudioFormat(
        "ipod",
        dict.fromkeys(SUBTYPES, "aac"),
        8,
        AAC_RATES,
        bit_rate=256_000,
        options={"movie_timescale": "{sampling_rate}"},
    ),
}

# FFmpeg's frames grow with the rate, and it cannot read back those of many channels of noise: above the usual rates
# they are as long as at those.
FLAC_USUAL_RATE, FLAC_FRAME = 48_000, "4608"


def check_format(format: str, sampling_rate: int, num_channels: int) -> AudioFormat:
    """Says before any work is done whether a format can hold some audio."""
    if format not in FORMATS:
        raise ValueError(f"format {format!r} is unknown: use one of {', '.join(FORMATS)}.")
    found = FORMATS[format]
    if num_channels > found.max_channels:
        raise ValueError(f"{format} holds {found.max_channels} channels, not {num_channels}: use wav.")
    rates = found.sampling_rates
    if sampling_rate > found.max_sampling_rate or (rates and sampling_rate not in rates):
        held = ", ".join(map(str, rates)) if rates else f"up to {found.max_sampling_rate}"
        raise ValueError(f"{format} cannot hold {sampling_rate} Hz, only {held} Hz: use wav or flac.")
    return found


class AudioWriter:
    """An audio file that is being written; use it as a context manager.

    The samples go to a temporary file beside `path`, which is renamed to `path` when the context ends without an
    exception, and removed when it ends with one.

    Args:
        path: of the file; its ending is the format, a key of `FORMATS`.
        sampling_rate: in Hz.
        num_channels: of every block.
        subtype: "16", "24" (bits) or "float"; FLAC and Ogg hold at most 24 bits. Lossy formats have no depth.
        tags: title, artist and so on.

    Raises:
        ValueError: a format that cannot hold this audio.
        AudioFileError: a file that cannot be made there.
    """

    def __init__(
        self,
        path: str | Path,
        sampling_rate: int,
        num_channels: int,
        *,
        subtype: str = "16",
        tags: Mapping[str, str] | None = None,
    ):
        self.path = Path(path)
        found = check_format(self.path.suffix.lower().removeprefix("."), sampling_rate, num_channels)
        if subtype not in SUBTYPES:
            raise ValueError(f"subtype {subtype!r} is unknown: use one of {', '.join(SUBTYPES)}.")
        self.sampling_rate, self.num_channels = sampling_rate, num_channels
        self._format, self._codec, self._tags = found, found.codecs[subtype], dict(tags or {})
        self._partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        self._layout = LAYOUTS[num_channels - 1] if num_channels <= len(LAYOUTS) else f"{num_channels}C"
        self._sample_format = None
        if self._codec == "flac":
            self._sample_format = "s16" if subtype == "16" else "s32"
        self._remove_abandoned()
        self._open()

    def _open(self) -> None:
        self._num_written = 0
        discarded = ExitStack()
        # Before there is a file: whenever Ctrl-C comes, also before `with` has begun, it goes with this writer, and
        # FFmpeg is done with it before it is closed.
        self._discard = weakref.finalize(self, discarded.close)
        discarded.callback(_quietly, partial(self._partial.unlink, missing_ok=True))
        try:
            self._file = open(self._partial, "wb")
            discarded.callback(_quietly, self._file.close)
        except OSError as error:
            self._discard.detach()
            raise AudioFileError(self.path, f"cannot be written: {error.strerror}.") from None
        try:
            found = self._format
            options = {key: value.format(sampling_rate=self.sampling_rate) for key, value in found.options.items()}
            self._container = av.open(self._file, "w", format=found.container, container_options=options)
            discarded.callback(_quietly, self._container.close)
            limits = (
                {"frame_size": FLAC_FRAME} if self._codec == "flac" and self.sampling_rate > FLAC_USUAL_RATE else {}
            )
            stream = self._container.add_stream(self._codec, rate=self.sampling_rate, options=limits)
            self._stream = cast(av.AudioStream, stream)
            codec = self._stream.codec_context
            codec.layout = self._layout
            if found.bit_rate:
                # A quarter for a single channel would do; half is what stereo has for each.
                self._stream.bit_rate = min(found.bit_rate, found.bit_rate // 2 * self.num_channels)
            elif self._sample_format:
                codec.format = self._sample_format
            # Ogg keeps tags with the stream, the others with the file.
            owner = self._stream if found.container == "ogg" else self._container
            owner.metadata.update(self._tags)
            # Now and not with the first samples, so that a file without any is still a file of its format.
            self._container.start_encoding()
        except BaseException:
            self._discard()
            raise

    def restart(self) -> None:
        """Throws away what was written."""
        self._discard()
        self._open()

    def __enter__(self) -> AudioWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._mux(None)
            self._container.close()
            self._file.close()
            os.replace(self._partial, self.path)
            self._discard.detach()
        except (OSError, av.FFmpegError) as failure:
            self._discard()
            raise AudioFileError(self.path, f"cannot be written: {failure.strerror}.") from None

    def write(self, block: np.ndarray) -> None:
        """Appends samples.

        Args:
            block: float32 `(num_channels, num_samples)`, full scale 1. Integer formats round to the nearest step;
                what is beyond full scale is limited to it there.

        Raises:
            ValueError: another number of channels, or samples that are NaN or infinite.
            AudioFileError: the file cannot be written, for example because the disk is full.
        """
        if block.ndim != 2 or len(block) != self.num_channels:
            raise ValueError(f"the block has shape {block.shape}: use ({self.num_channels}, num_samples).")
        if not np.isfinite(block).all():
            raise ValueError(f"{self.path}: samples that are NaN or infinite cannot be written.")
        if block.shape[1] == 0:
            return
        sample_format = self._stream.codec_context.format.name
        samples = _convert(np.asarray(block, dtype=np.float32), sample_format)
        frame = av.AudioFrame.from_ndarray(samples, format=sample_format, layout=self._layout)
        frame.sample_rate, frame.pts = self.sampling_rate, self._num_written
        self._num_written += block.shape[1]
        try:
            self._mux(frame)
        except (OSError, av.FFmpegError) as error:
            raise AudioFileError(self.path, f"cannot be written: {error.strerror}.") from None

    def _remove_abandoned(self) -> None:
        """What a program that was killed has left of this file; that of one that still runs stays."""
        for path in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.partial"):
            process = path.name.split(".")[-2]
            if process.isdigit() and not _runs(int(process)):
                with suppress(OSError):
                    path.unlink()

    def _mux(self, frame: av.AudioFrame | None) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)


def _quietly(close: Callable[[], object]) -> None:
    """For what cannot be finished and is removed anyway."""
    with suppress(OSError, av.FFmpegError):
        close()


def _runs(process: int) -> bool:
    if os.name != "posix":  # where an opened file cannot be removed anyway, and signal 0 is one that ends a process
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _convert(block: np.ndarray, sample_format: str) -> np.ndarray:
    """`(num_channels, num_samples)` floats to FFmpeg's sample format, planar or packed."""
    samples = block
    if not sample_format.startswith("flt"):
        # 24 bits in the upper part of 32.
        is_short = sample_format.startswith("s16")
        full_scale, dtype, shift = (2.0**15, np.int16, 0) if is_short else (2.0**23, np.int32, 8)
        samples = np.rint(np.clip(block, -1, 1 - 1 / full_scale) * full_scale).astype(dtype) << shift
    if not sample_format.endswith("p"):
        # Channel by channel, six times as fast as a copy of the transposed array.
        samples = np.stack(list(samples), axis=1).reshape(1, -1)
    return np.ascontiguousarray(samples)
