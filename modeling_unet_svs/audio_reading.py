"""Reads audio files of any format as blocks of samples, with the FFmpeg in PyAV's wheels."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .separation import refuse_if

try:
    import av
except ImportError:  # a model loaded as remote code needs it only for files
    av = None  # type: ignore[assignment] # for `AudioReader` to say so

# Containers of audio; playlists and scripts, which open other files by name, are left out.
CONTAINERS = ",".join(
    ("wav", "w64", "aiff", "caf", "au", "flac", "mp3", "ogg", "aac", "ac3", "eac3", "amr", "ape", "wv", "tta", "mpc")
    + ("mov", "matroska", "avi", "asf", "flv", "mpeg", "mpegts")
)
EXACT_CONTAINERS = ("wav", "w64", "aiff", "caf", "au", "flac", "tta", "wv", "mov")
LOSSLESS_CODECS = ("pcm_", "flac", "alac", "wavpack", "ape", "tta")
TECHNICAL_TAGS = {
    *("major_brand", "minor_version", "compatible_brands", "encoder", "creation_time", "handler_name", "language"),
    *("vendor_id", "duration", "encoded_by", "stems"),
}
# FFmpeg's sample formats, and numpy's types.
SAMPLE_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
# Characters that move a terminal's cursor or reverse its text, and lone surrogates, which stand for arbitrary bytes.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# Part of the announced length that a complete file may lack: an encoder's padding, not music.
TOLERATED_SHARE, TOLERATED_SECONDS = 0.01, 0.1
# RIFF sizes from here on are written by programs that do not know the size in advance.
UNKNOWN_RIFF_SIZE = 0x7FFF_0000
# Beginning of a Wave64 file, before its size.
W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
# Gaps in a row after which a file is given up.
MAX_GAPS = 100
# Upper limits of a block, whatever rate a header claims.
BLOCK_SECONDS, BLOCK_SAMPLES = 1, 1 << 18
# Upper limit of a library's error text, which may repeat all of its input.
LONGEST_REASON = 400


def one_line(error: BaseException | str) -> str:
    """Returns the text of an error as one line."""
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]} ..."


class AudioFileError(ValueError):
    """A file that cannot be read, or written, as audio; its text is one line that names the file.

    Args:
        path: of the file.
        reason: what is wrong with it.
    """

    def __init__(self, path: str | Path, reason: str):
        super().__init__(path, reason)

    def __str__(self) -> str:
        return CONTROLS.sub("?", f"{self.args[0]}: {self.args[1]}")


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says about its audio."""

    path: Path
    sampling_rate: int
    num_channels: int
    num_samples: int | None  # for each channel: exact or an estimate; `None` where the header says nothing
    subtype: str  # "16", "24" or "float", the depth that loses nothing of the file; "16" for lossy formats
    codec: str  # FFmpeg's name
    tags: dict[str, str]  # title, artist and so on; names in lower case


class AudioReader(ExitStack):
    """An opened audio or video file, recognised by its content and not by its name; use it as a context manager.

    A damaged frame of a lossy file, or a gap, is skipped, as in players. A damaged lossless file, one that cannot be
    followed to its end, and one that ends before the length that its header announces are errors: a song is never
    shortened silently. A file can have several audio streams; a MUSDB18 stem file has five.
    """

    def __init__(self, path: str | Path, audio_stream: int = 0):
        if av is None:
            raise ImportError("reading audio files needs PyAV: pip install av")
        super().__init__()
        self.path = Path(path)
        # Not `Path.exists`, which raises for names that are too long.
        self._refuse_if(not os.path.exists(path), "no such file.")
        self._refuse_if(os.path.isdir(path), "is a folder, not an audio file.")
        self._refuse_if(not os.path.isfile(path), "is a pipe or a device: a song has to be a file.")
        try:
            with self._naming_errors():
                # Without the file's name, which would let FFmpeg guess by its ending.
                descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
                self._file = self.enter_context(open(descriptor, "rb"))
                self._open(audio_stream)
        except BaseException:
            self.close()
            raise

    def _refuse_if(self, is_wrong: object, reason: str) -> None:
        refuse_if(is_wrong, reason, partial(AudioFileError, self.path))

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        """Context manager in which errors of the decoder or the disk name the file."""
        try:
            yield
        except av.FFmpegError as error:
            raise AudioFileError(self.path, f"is damaged: {error.strerror}.") from None
        except (OSError, MemoryError) as error:  # the last where a file claims gigabytes
            raise AudioFileError(self.path, f"cannot be read: {getattr(error, 'strerror', None) or error}.") from None

    def _open(self, audio_stream: int) -> None:
        self._check_size()
        has_mp3_length = self._has_mp3_length()
        try:
            options: dict[str, Any] = {"container_options": {"format_whitelist": CONTAINERS}}
            if av.__version__ < "19":  # from then on tags may be any bytes, and `_text` finds them
                options["metadata_errors"] = "replace"
            opened = av.open(self._file, "r", **options)
        except (av.FFmpegError, ValueError, OSError, MemoryError):  # the last where a header claims gigabytes
            raise AudioFileError(self.path, "is not an audio file of a known format, or is damaged.") from None
        self._container = self.enter_context(opened)
        streams = self._container.streams.audio
        self._refuse_if(not streams, "has no sound in it.")
        has_no_such = not 0 <= audio_stream < len(streams)
        self._refuse_if(has_no_such, f"has {len(streams)} audio streams, numbered from 0; not {audio_stream}.")
        self._stream = streams[audio_stream]
        codec = self._stream.codec_context
        is_known = codec is not None and codec.format is not None and codec.sample_rate and codec.channels
        self._refuse_if(not is_known, "has an audio stream that cannot be decoded.")
        codec.thread_type = "AUTO"
        duration, time_base = self._stream.duration, self._stream.time_base
        seconds = None if duration is None or not time_base else float(duration * time_base)
        if seconds is None and self._container.duration is not None:
            seconds = self._container.duration / av.time_base
        tags = {**self._container.metadata, **self._stream.metadata}
        self.info = AudioInfo(
            path=self.path,
            sampling_rate=codec.sample_rate,
            num_channels=codec.channels,
            num_samples=None if seconds is None else round(seconds * codec.sample_rate),
            subtype=_subtype(codec),
            codec=codec.name,
            tags={key.lower(): _text(value) for key, value in tags.items() if key.lower() not in TECHNICAL_TAGS},
        )
        container = self._container.format.name
        says_length = has_mp3_length if container == "mp3" else container.startswith(EXACT_CONTAINERS)
        # Matroska says how long the longest of its streams is.
        is_alone = container.startswith("matroska") and len(self._container.streams) == 1
        self._exact = (duration is not None and says_length) or is_alone

    def blocks(self) -> Iterator[np.ndarray]:
        """All samples in order, in blocks of about a second, float32 `(num_channels, num_samples)` with full scale 1.

        Integers of 24 bits and less are exact.
        """
        wanted = min(BLOCK_SECONDS * self.info.sampling_rate, BLOCK_SAMPLES)
        limit = self.info.num_samples if "mov" in self._container.format.name and self._exact else None
        waiting: list[np.ndarray] = []
        num_waiting = num_samples = 0
        with self._naming_errors():
            for frame in self._frames():
                samples = _float_samples(frame)
                if limit is not None:  # an MP4 says in its edit list where the encoder's padding begins
                    samples = samples[:, : max(limit - num_samples, 0)]
                num_samples += samples.shape[1]
                num_waiting += samples.shape[1]
                waiting.append(samples)
                if num_waiting >= wanted:
                    yield np.concatenate(waiting, axis=1)
                    waiting, num_waiting = [], 0
        if num_waiting:
            yield np.concatenate(waiting, axis=1)
        self._check_length(num_samples)

    def _frames(self) -> Iterator[av.AudioFrame]:
        is_lossless = self._stream.codec_context.name.startswith(LOSSLESS_CODECS)
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.EOFError:
                return
            except av.FFmpegError:
                if is_lossless:
                    raise
                continue
            except ValueError:  # the coding has changed to one that nothing decodes
                raise AudioFileError(self.path, "has sound in it that cannot be decoded.") from None
            for frame in frames:
                found = (frame.sample_rate, frame.layout.nb_channels)
                is_other = found != (self.info.sampling_rate, self.info.num_channels)
                self._refuse_if(is_other, "changes its sampling rate or channels in the middle.")
                yield frame

    def _packets(self) -> Iterator[av.Packet[av.AudioStream]]:
        num_gaps = 0
        while num_gaps < MAX_GAPS:
            try:
                for packet in self._container.demux(self._stream):
                    num_gaps = 0
                    yield packet
                return
            except IndexError:  # of PyAV, at the end of a file in whose middle other streams have begun
                return
            except av.BlockingIOError:  # FFmpeg's "try again": a gap, such as broadcasts have
                num_gaps += 1
        self._refuse_if(True, "is damaged: it has gaps and nothing between them.")

    def _has_mp3_length(self) -> bool:
        """Whether an MP3's first frame says its length; without it FFmpeg guesses from the first frames' bit rate."""
        head = self._file.read(10)
        size = 0
        if head[:3] == b"ID3":
            size = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0)))
        self._file.seek(size)
        first_frame = self._file.read(4096)
        self._file.seek(0)
        return b"Xing" in first_frame or b"Info" in first_frame

    def _check_size(self) -> None:
        """Compares a WAV file's size with its header, since FFmpeg does not notice that a file was cut."""
        actual, announced = os.fstat(self._file.fileno()).st_size, 0
        self._refuse_if(actual == 0, "is empty (0 bytes).")
        head = self._file.read(24)
        self._file.seek(0)
        if head.startswith(b"RIFF"):
            announced = 8 + int.from_bytes(head[4:8], "little")
        elif head.startswith(W64):
            announced = int.from_bytes(head[16:], "little")
        is_cut = announced < UNKNOWN_RIFF_SIZE and announced - actual > TOLERATED_SHARE * announced
        self._refuse_if(is_cut, f"is truncated: {actual} bytes of the {announced} it announces.")

    def _check_length(self, num_samples: int) -> None:
        self._refuse_if(num_samples == 0, "has no samples in it.")
        rate, announced = self.info.sampling_rate, self.info.num_samples
        if self._exact and announced is not None:
            tolerated = max(TOLERATED_SHARE * announced, TOLERATED_SECONDS * rate)
            said = f"is truncated: {num_samples / rate:.1f} s of the {announced / rate:.1f} s it announces."
            self._refuse_if(announced - num_samples > tolerated, said)


def _float_samples(frame: av.AudioFrame) -> np.ndarray:
    """A decoded frame as float32 `(num_channels, num_samples)`."""
    dtype = np.dtype(SAMPLE_TYPES[frame.format.name.removesuffix("p")])
    num_channels, count = frame.layout.nb_channels, frame.samples
    if frame.format.is_planar:
        # `frame.to_ndarray` takes one plane too many where there are eight, and crashes.
        samples = np.stack([np.frombuffer(memoryview(plane), dtype, count) for plane in frame.planes[:num_channels]])
    else:
        packed = np.frombuffer(memoryview(frame.planes[0]), dtype, count * num_channels)
        samples = packed.reshape(count, num_channels).T
    if dtype.kind == "f":
        return samples.astype(np.float32)
    full_scale = np.float32(2.0 ** (8 * dtype.itemsize - 1))
    return (samples.astype(np.float32) - (full_scale if dtype.kind == "u" else 0)) / full_scale


def _text(tag: str) -> str:
    """Returns a tag with invalid UTF-8 replaced."""
    return tag.encode(errors="surrogateescape").decode(errors="replace")


def _subtype(codec: av.AudioCodecContext) -> str:
    if not codec.name.startswith(LOSSLESS_CODECS) or codec.format.name.startswith(("s16", "u8")):
        return "16"
    return "float" if codec.name.startswith(("pcm_f", "pcm_s64")) else "24"


def read_audio(path: str | Path, audio_stream: int = 0) -> tuple[np.ndarray, int]:
    """Reads a whole file.

    Args:
        path: of the file.
        audio_stream: which of its audio streams.

    Returns:
        float32 waveform `(num_channels, num_samples)` and its sampling rate in Hz.

    Raises:
        AudioFileError: see `AudioReader`.
    """
    with AudioReader(path, audio_stream) as reader:
        return np.concatenate(list(reader.blocks()), axis=1), reader.info.sampling_rate
