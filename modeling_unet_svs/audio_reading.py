"""Reads audio files of any format as blocks of samples, with the FFmpeg in PyAV's wheels."""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from .audio_containers import (
    CONTAINERS,
    COUNTING_CONTAINERS,
    TimeLine,
    announced_size,
    as_its_header_says,
    ogg_end,
)
from .separation import Resampler, refuse_if

try:
    import av
except ImportError:  # a model loaded as remote code needs it only for files
    av = None  # type: ignore[assignment] # for `AudioReader` to say so

LOSSLESS_CODECS = ("pcm_", "flac", "alac", "wavpack", "ape", "tta", "tak", "mlp", "truehd", "dsd", "shorten")
TECHNICAL_TAGS = {
    *("major_brand", "minor_version", "compatible_brands", "encoder", "creation_time", "handler_name", "language"),
    *("vendor_id", "duration", "encoded_by", "stems"),
}
# FFmpeg's sample formats, and numpy's types.
SAMPLE_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
# Characters that move a terminal's cursor or reverse its text, and lone surrogates, which stand for arbitrary bytes.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# Part of the announced bytes, and number of them, that a whole file may lack: what follows its sound, wrongly counted.
TOLERATED_SHARE, TOLERATED_BYTES = 0.01, (64, 4096)
# Seconds that a whole file may lack of what its header counts.
TOLERATED_SECONDS = 0.1
# FFmpeg's flags of a stream.
DEFAULT, ATTACHED_PICTURE = 0x1, 0x400
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
    layout: str = ""  # FFmpeg's name for the places of the channels; empty where the file does not say
    notes: list[str] = field(default_factory=list)  # what a person should know, complete after the last block


# A path, a file's content, or an open file that can be read in binary.
Source = str | Path | bytes | IO[bytes]


class AudioReader(ExitStack):
    """An opened audio or video file, recognised by its content and not by its name; use it as a context manager.

    The default audio stream is read, or the one with the number `audio_stream`, counted from 0 among the audio
    streams. Damage to a lossy file becomes silence of its length, which `info.notes` says, and which is an error if
    `strict`. Damage to a lossless file, and a container that ends early, are errors: a song is never shortened.
    """

    def __init__(self, path: Source, audio_stream: int | None = None, strict: bool = False):
        if av is None:
            raise ImportError("reading audio files needs PyAV: pip install av")
        super().__init__()
        self._strict, self._unended = strict, ""
        self._resampler: tuple[int, Resampler] | None = None
        is_named = isinstance(path, (str, Path))
        name = path if isinstance(path, (str, Path)) else getattr(path, "name", None)
        self.path = Path(name if isinstance(name, (str, Path)) else "the audio")
        if is_named:
            # Not `Path.exists`, which raises for names that are too long.
            self._refuse_if(not os.path.exists(self.path), "no such file.")
            self._refuse_if(os.path.isdir(self.path), "is a folder, not an audio file.")
            self._refuse_if(not os.path.isfile(self.path), "is a pipe or a device: a song has to be a file.")
        try:
            with self._naming_errors():
                self._file = self._opened(path)
                self._open(audio_stream)
        except BaseException:
            self.close()
            raise

    def _opened(self, source: Source) -> IO[bytes]:
        if isinstance(source, (bytes, bytearray, memoryview)):
            return io.BytesIO(source)
        if not isinstance(source, (str, Path)):
            can_seek = hasattr(source, "seek") and getattr(source, "seekable", lambda: True)()
            return source if can_seek else io.BytesIO(source.read())
        # Without the file's name, which would let FFmpeg guess by its ending.
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        return self.enter_context(open(descriptor, "rb"))

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

    def _open(self, audio_stream: int | None) -> None:
        actual = self._file.seek(0, os.SEEK_END)
        self._check_size(actual)
        self._file = as_its_header_says(self._file, actual)
        self._file.seek(0)
        try:
            options: dict[str, Any] = {"container_options": {"format_whitelist": CONTAINERS}}
            if av.__version__ < "19":  # from then on tags may be any bytes, and `_text` finds them
                options["metadata_errors"] = "replace"
            opened = av.open(self._file, "r", **options)
        except (av.FFmpegError, ValueError, OSError, MemoryError):  # the last where a header claims gigabytes
            raise AudioFileError(self.path, "is not an audio file of a known format, or is damaged.") from None
        self._container = self.enter_context(opened)
        streams = self._container.streams.audio
        number = self._chosen(streams, audio_stream)
        self._stream = streams[number]
        codec = self._stream.codec_context
        is_known = codec is not None and codec.format is not None and codec.sample_rate and codec.channels
        self._refuse_if(not is_known, "has an audio stream that cannot be decoded.")
        codec.thread_type, self._is_lossless = "AUTO", codec.name.startswith(LOSSLESS_CODECS)
        seconds = _seconds(self._stream.duration, self._stream.time_base)
        self._announced = None if seconds is None else round(seconds * codec.sample_rate)
        if seconds is None and self._container.duration is not None:
            seconds = self._container.duration / av.time_base
        tags = {**self._container.metadata, **self._stream.metadata}
        layout = codec.layout.name
        self.info = AudioInfo(
            path=self.path,
            sampling_rate=codec.sample_rate,
            num_channels=codec.channels,
            num_samples=round(seconds * codec.sample_rate) if seconds else None,
            subtype=_subtype(codec),
            codec=codec.name,
            tags={key.lower(): _text(value) for key, value in tags.items() if key.lower() not in TECHNICAL_TAGS},
            layout="" if layout.endswith("channels") else layout,
        )
        if audio_stream is None and len(streams) > 1:
            self._note(f"has {len(streams)} audio streams: the default one, number {number} from 0, is taken.")
        pictures = [stream for stream in self._container.streams.video if not _disposition(stream) & ATTACHED_PICTURE]
        starts = [_seconds(stream.start_time, stream.time_base) for stream in pictures]
        picture_start = min((start for start in starts if start is not None), default=None)
        self._line = TimeLine(self._container.format.name, codec.sample_rate, picture_start)

    def _chosen(self, streams: Sequence[av.AudioStream], audio_stream: int | None) -> int:
        self._refuse_if(not streams, "has no sound in it.")
        is_default = [bool(_disposition(stream) & DEFAULT) for stream in streams]
        number = is_default.index(True) if audio_stream is None and any(is_default) else audio_stream or 0
        has_no_such = not 0 <= number < len(streams)
        self._refuse_if(has_no_such, f"has {len(streams)} audio streams, numbered from 0; not {number}.")
        return number

    def cover(self) -> bytes | None:
        """The cover art, if there is any; takes a reader of its own, since what is read on the way is lost."""
        for stream in self._container.streams.video:
            if _disposition(stream) & ATTACHED_PICTURE:
                return next((bytes(packet) for packet in self._container.demux(stream)), None)
        return None

    def _note(self, note: str) -> None:
        if note not in self.info.notes:
            self.info.notes.append(note)

    def _note_damage(self, note: str) -> None:
        self._refuse_if(self._strict, note)
        self._note(note)

    def blocks(self) -> Iterator[np.ndarray]:
        """All samples in order, in blocks of about a second, float32 `(num_channels, num_samples)` with full scale 1.

        Integers of 24 bits and less are exact.
        """
        wanted = min(BLOCK_SECONDS * self.info.sampling_rate, BLOCK_SAMPLES)
        # An MP4 says in its edit list where the encoder's padding begins; lossless codecs have none.
        is_padded = "mov" in self._container.format.name and not self._is_lossless
        waiting: list[np.ndarray] = []
        num_waiting = self._num_samples = 0
        if self._unended:
            self._note_damage(self._unended)
        with self._naming_errors():
            for samples in self._samples():
                num_waiting += samples.shape[1]
                waiting.append(samples)
                held = self._line.num_held if is_padded else 0
                if num_waiting >= wanted + held:
                    joined = np.concatenate(waiting, axis=1)
                    yield joined[:, : num_waiting - held]
                    waiting, num_waiting = [joined[:, num_waiting - held :]], held
        padding = self._line.num_padding(self._num_samples, self._announced) if is_padded else 0
        if num_waiting > padding:
            yield np.concatenate(waiting, axis=1)[:, : num_waiting - padding]
        self._check_length()

    def _samples(self) -> Iterator[np.ndarray]:
        """Decoded frames, and silence where the time line has some."""
        rate = self.info.sampling_rate
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.EOFError:
                break
            except av.FFmpegError:
                if self._is_lossless:
                    raise
                self._line.lose(_seconds(packet.duration, packet.time_base))
                continue
            except ValueError:  # the coding has changed to one that nothing decodes
                raise AudioFileError(self.path, "has sound in it that cannot be decoded.") from None
            for frame in frames:
                start = _seconds(frame.pts, frame.time_base)
                num_samples = round(frame.samples * rate / frame.sample_rate)
                yield from self._silence(self._line.silence_before(start, num_samples))
                for samples in self._converted(frame):
                    self._num_samples += samples.shape[1]
                    yield samples
        for samples in self._converted(None):
            yield samples
        if self._num_samples:
            yield from self._silence(self._line.silence_at_end())

    def _silence(self, num_samples: int) -> Iterator[np.ndarray]:
        # The sound of a film that begins late is no part of what the stream's header counts.
        self._num_samples += num_samples if self._num_samples else 0
        for start in range(0, num_samples, BLOCK_SAMPLES):
            size = min(BLOCK_SAMPLES, num_samples - start)
            yield np.zeros((self.info.num_channels, size), dtype=np.float32)

    def _converted(self, frame: av.AudioFrame | None) -> Iterator[np.ndarray]:
        """A frame at the rate and with the channels that the stream begins with; `None` for its end."""
        rate, num_channels = self.info.sampling_rate, self.info.num_channels
        found = rate if frame is None else frame.sample_rate
        if self._resampler is not None and self._resampler[0] != found:
            yield self._resampler[1].push(np.zeros((num_channels, 0), dtype=np.float32), last=True)
            self._resampler = None
        if frame is None:
            return
        samples = _float_samples(frame)
        if (found, len(samples)) != (rate, num_channels):
            self._note("changes its sampling rate or channels in the middle: all of it has those of its beginning.")
            if len(samples) != num_channels:
                samples = _mixed(samples, num_channels)
            if found != rate:
                self._resampler = self._resampler or (found, Resampler(found, rate, num_channels))
                samples = self._resampler[1].push(samples)
        yield samples

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

    def _check_size(self, actual: int) -> None:
        """Compares a file's size with its container, since FFmpeg does not notice that a file was cut."""
        self._refuse_if(actual == 0, "is empty (0 bytes).")
        self._file.seek(0)
        head = self._file.read(4)
        self._refuse_if(head == b"RIFX", "is a big-endian wave file (RIFX), which is not read: convert it to WAV.")
        announced = announced_size(self._file, actual)
        if head == b"OggS":
            announced, is_ended = ogg_end(self._file, actual)
            self._unended = "" if is_ended else "is not marked as ended: it may be incomplete."
        least, most = TOLERATED_BYTES
        is_cut = announced - actual > max(least, min(most, TOLERATED_SHARE * announced))
        self._refuse_if(is_cut, f"is truncated: {actual} bytes of the {announced} it announces.")

    def _check_length(self) -> None:
        self._refuse_if(self._num_samples == 0, "has no samples in it.")
        rate, announced, line = self.info.sampling_rate, self._announced, self._line
        if announced is not None and self._container.format.name.startswith(COUNTING_CONTAINERS):
            said = f"is truncated: {self._num_samples / rate:.1f} s of the {announced / rate:.1f} s it announces."
            self._refuse_if(announced - self._num_samples > TOLERATED_SECONDS * rate, said)
        if line.num_lost:
            self._note_damage(f"is damaged: {line.num_lost / rate:.2f} s of it are lost, and silent in the stems.")
        if line.num_holes:
            seconds = f"{line.num_filled / rate:.2f} s"
            self._note(f"has {line.num_holes} hole(s) in its time line, filled with {seconds} of silence.")


def _seconds(count: int | None, time_base: Any) -> float | None:
    return None if count is None or not time_base else float(count * time_base)


def _disposition(stream: Any) -> int:
    flags = getattr(stream, "disposition", 0)  # which older versions of PyAV do not have
    return int(getattr(flags, "value", flags))


def _mixed(samples: np.ndarray, num_channels: int) -> np.ndarray:
    """Samples with another number of channels."""
    if num_channels == 1:
        return samples.mean(0, keepdims=True)
    if len(samples) == 1:
        return np.repeat(samples, num_channels, axis=0)
    return np.pad(samples[:num_channels], ((0, max(num_channels - len(samples), 0)), (0, 0)))


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


def read_audio(path: Source, audio_stream: int | None = None, *, strict: bool = False) -> tuple[np.ndarray, int]:
    """Reads a whole file, and warns of what a person should know of it, such as damage.

    Args:
        path: of the file; or its bytes, or an open binary file.
        audio_stream: which of its audio streams, counted from 0; `None` for the default one, as players take.
        strict: whether lossy damage is an error, rather than silence.

    Returns:
        float32 waveform `(num_channels, num_samples)` and its sampling rate in Hz.

    Raises:
        AudioFileError: see `AudioReader`.
    """
    with AudioReader(path, audio_stream, strict) as reader:
        waveform = np.concatenate(list(reader.blocks()), axis=1)
        for note in reader.info.notes:
            warnings.warn(f"{reader.path} {note}", stacklevel=2)
        return waveform, reader.info.sampling_rate
