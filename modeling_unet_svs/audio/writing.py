"""Writes blocks of samples to audio files, which appear under their names only when complete."""

import functools
import io
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import av
import numpy as np

from ..audio_reading import AudioFileError
from ..separation import Resampler, refuse_if
from .whole_files import whole_file

# The tag of a broadcast wave that says where it begins.
TIME_REFERENCE = "time_reference"
# Subtypes, as FFmpeg calls them in WAV.
SUBTYPES = {"16": "s16le", "24": "s24le", "float": "f32le"}
LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
# Further layouts that some format holds, for songs whose own it does not.
OTHER_LAYOUTS = ("2.1", "4.0", "quad(side)", "3.1", "5.0(side)", "4.1", "5.1(side)", "6.0", "7.0", "7.1(wide)")
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
# Samples below which all of LAME's frames are needed, or else FFmpeg does not recognise the file.
SHORTEST_MP3 = 576
AAC_RATES = (7350, *MP3_RATES, 64000, 88200, 96000)


@dataclass(frozen=True)
class AudioFormat:
    """A file format: its container and codecs, and what it can hold."""

    container: str
    codec: str
    max_channels: int
    sampling_rates: Sequence[int] = range(1, 655_351)
    bit_rate: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    holds_cover: bool = False

    def rate_for(self, sampling_rate: int) -> int:
        """The rate that a file has: the song's own, or else the next higher that the format holds, or the highest."""
        if sampling_rate in self.sampling_rates:
            return sampling_rate
        return next((rate for rate in self.sampling_rates if rate > sampling_rate), self.sampling_rates[-1])


# The edit list that hides the encoder's padding counts in movie time, in milliseconds by default. FFmpeg's own format
# for M4A takes no cover art from PyAV, and differs in its brand alone.
MOVIE = {"movie_timescale": "{sampling_rate}", "brand": "M4A "}
FORMATS: Mapping[str, AudioFormat] = {
    # RF64 if the file grows beyond the 4 GiB that a WAV header can state.
    "wav": AudioFormat("wav", "pcm_{}", 64, options={"rf64": "auto"}),
    "flac": AudioFormat("flac", "flac", 8, holds_cover=True),
    "mp3": AudioFormat("mp3", "libmp3lame", 2, MP3_RATES, 320_000, holds_cover=True),
    # FFmpeg's Vorbis encoder changes the length; FLAC in Ogg changes nothing.
    "ogg": AudioFormat("ogg", "flac", 8),
    # Whatever rate goes in, decoders give 48 kHz.
    "opus": AudioFormat("ogg", "libopus", 8, (48_000,), 256_000),
    "m4a": AudioFormat("mp4", "aac", 8, AAC_RATES, 256_000, MOVIE, holds_cover=True),
}

# FFmpeg's frames grow with the rate, and it cannot read back large ones with many channels of noise. Above the usual
# rates, frames therefore keep the usual length.
FLAC_USUAL_RATE, FLAC_FRAME = 48_000, "4608"


def check_format(format: str, num_channels: int) -> AudioFormat:
    """Returns a format, or raises an error before any work is done if it cannot hold the audio."""
    refuse_if(format not in FORMATS, f"format {format!r} is unknown: use one of {', '.join(FORMATS)}.")
    found = FORMATS[format]
    are_too_many = num_channels > found.max_channels
    refuse_if(are_too_many, f"{format} holds {found.max_channels} channels, not {num_channels}: use wav.")
    return found


@functools.cache
def kept_layout(format: str, layout: str, num_channels: int) -> str:
    """The channel layout that a file of this format gives back: the given one, or else the one most like it."""
    usual = LAYOUTS[num_channels - 1] if num_channels <= len(LAYOUTS) else f"{num_channels}C"
    if num_channels < 3 or num_channels > len(LAYOUTS):
        return usual
    wanted = {channel.name for channel in av.AudioLayout(layout or usual).channels}
    alike = {name: {channel.name for channel in av.AudioLayout(name).channels} for name in (*LAYOUTS, *OTHER_LAYOUTS)}
    names = [name for name in alike if len(alike[name]) == num_channels]
    names = [*([layout] if layout else [usual]), *sorted(names, key=lambda name: -len(alike[name] & wanted))]
    return next((name for name in names if _reads_back(FORMATS[format], name)), names[0])


def _reads_back(format: AudioFormat, layout: str) -> bool:
    """Whether a file of this format and layout says that layout."""
    file = io.BytesIO()
    try:
        with av.open(file, "w", format=format.container) as container:
            stream = cast(av.AudioStream, container.add_stream(format.codec.format("s16le"), rate=48_000))
            stream.codec_context.layout = layout
            container.start_encoding()
            silence = np.zeros((stream.codec_context.channels, 4800), dtype=np.float32)
            container.mux(stream.encode(_frame(silence, stream.codec_context.format.name, layout, 48_000, 0)))
            container.mux(stream.encode(None))
        file.seek(0)
        with av.open(file) as container:
            return container.streams.audio[0].layout.name == layout
    except (av.FFmpegError, ValueError):
        return False


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Context manager in which errors of the disk or the encoder name the file."""
    try:
        yield
    except (OSError, av.FFmpegError) as error:
        raise AudioFileError(path, f"cannot be written: {error.strerror}.") from None


class AudioWriter:
    """An audio file that is being written; use it as a context manager.

    The samples go to a temporary file beside `path`, which is renamed to `path` when the context ends without an
    exception, and removed when it ends with one.

    Args:
        path: of the file; its ending is the format, a key of `FORMATS`.
        sampling_rate: of the blocks, in Hz. A format that cannot hold it gets the next higher one that it can hold,
            or its highest: Opus 48 kHz, MP3 at most 48 kHz.
        num_channels: of every block.
        subtype: "16", "24" (bits) or "float"; FLAC and Ogg hold at most 24 bits. Lossy formats have no depth.
        tags: title, artist and so on.
        layout: FFmpeg's name for the places of the channels, such as "5.1(side)"; empty for the usual one.
        cover: a JPEG or PNG to show, which FLAC, MP3 and M4A hold.

    Raises:
        ValueError: an unknown format, or more channels than it holds.
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
        layout: str = "",
        cover: bytes | None = None,
    ):
        self.path = Path(path)
        self._format = check_format(self.path.suffix.lower().removeprefix("."), num_channels)
        refuse_if(subtype not in SUBTYPES, f"subtype {subtype!r} is unknown: use one of {', '.join(SUBTYPES)}.")
        self.sampling_rate, self.num_channels, self._subtype = sampling_rate, num_channels, subtype
        self._tags, self._cover, self._rate = dict(tags or {}), cover or b"", self._format.rate_for(sampling_rate)
        if self._rate != sampling_rate:
            self._tags.pop(TIME_REFERENCE, None)  # which counts samples
        self._layout = kept_layout(self.path.suffix.lower().removeprefix("."), layout, num_channels)
        self._open()

    def _open(self) -> None:
        self._num_taken, self._num_written, self._opened = 0, 0, ExitStack()
        self._resampler = Resampler(self.sampling_rate, self._rate, self.num_channels)
        # Before there is a file, so that it goes with this writer even if Ctrl-C comes before `with` has begun.
        self._discard = weakref.finalize(self, _discard, self._opened)
        found, codec = self._format, self._format.codec.format(SUBTYPES[self._subtype])
        options = {key: value.format(sampling_rate=self._rate) for key, value in found.options.items()}
        if found.container == "wav" and TIME_REFERENCE in self._tags:
            options["write_bext"] = "1"
        limits = {"frame_size": FLAC_FRAME} if codec == "flac" and self._rate > FLAC_USUAL_RATE else {}
        with naming_file(self.path):
            try:
                file = self._opened.enter_context(whole_file(self.path))
                self._container = av.open(file, "w", format=found.container, container_options=options)
                # FFmpeg is done with the file before it is closed.
                self._opened.callback(self._container.close)
                self._add_stream(codec, limits)
                picture = self._add_picture()
                # Now rather than with the first samples, so that a file without samples is still valid.
                self._container.start_encoding()
                if picture is not None:
                    packet = av.Packet(self._cover)
                    packet.stream, packet.pts, packet.dts = picture, 0, 0
                    self._container.mux(packet)
            except BaseException:
                self._discard()
                raise

    def _add_stream(self, codec: str, options: dict[str, str]) -> None:
        stream = self._container.add_stream(codec, rate=self._rate, options=options)
        self._stream = cast(av.AudioStream, stream)
        self._stream.codec_context.layout = self._layout
        if self._format.bit_rate:
            # Each channel gets half of the stereo bit rate, up to the format's limit.
            self._stream.bit_rate = min(self._format.bit_rate, self._format.bit_rate // 2 * self.num_channels)
        if codec == "libopus":
            self._stream.codec_context.format = "flt"
        elif codec == "flac":
            self._stream.codec_context.format = "s16" if self._subtype == "16" else "s32"
        # Ogg stores tags in the stream, the other formats in the file.
        owner = self._stream if self._format.container == "ogg" else self._container
        owner.metadata.update(self._tags)

    def _add_picture(self) -> av.VideoStream | None:
        """Adds a stream for the cover art, if the format holds it; a broken picture costs no stem."""
        kinds = {"format_whitelist": "jpeg_pipe,png_pipe"}
        with suppress(av.FFmpegError, AttributeError):  # the last of versions of PyAV that know no such pictures
            if self._cover and self._format.holds_cover:
                with av.open(io.BytesIO(self._cover), container_options=kinds) as opened:
                    found, attached = opened.streams.video[0], av.stream.Disposition.attached_pic.value
                    if found.codec_context.width:
                        stream = self._container.add_stream_from_template(found)
                        stream.disposition = cast(av.stream.Disposition, attached)
                        return stream
        return None

    def restart(self) -> None:
        """Throws away what was written."""
        self._discard()
        self._open()

    def __enter__(self) -> "AudioWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                with naming_file(self.path):
                    self._encode_rest()
                    self._mux(None)
                    self._opened.close()
        finally:
            self._discard()

    def write(self, block: np.ndarray) -> None:
        """Appends samples.

        Args:
            block: float32 `(num_channels, num_samples)`, full scale 1. Integer formats round to the nearest step;
                samples beyond full scale are clipped there.

        Raises:
            ValueError: another number of channels, or samples that are NaN or infinite.
            AudioFileError: the file cannot be written, for example because the disk is full.
        """
        is_other = block.ndim != 2 or len(block) != self.num_channels
        refuse_if(is_other, f"the block has shape {block.shape}: use ({self.num_channels}, num_samples).")
        refuse_if(not np.isfinite(block).all(), f"{self.path}: samples that are NaN or infinite cannot be written.")
        self._num_taken += block.shape[1]
        with naming_file(self.path):
            self._encode(self._resampler.push(np.asarray(block, dtype=np.float32)))

    def _encode_rest(self) -> None:
        """Encodes what the resampler holds back, so that the file has the song's length."""
        rest = self._resampler.push(np.zeros((self.num_channels, 0), dtype=np.float32), last=True)
        missing = -(-self._num_taken * self._rate // self.sampling_rate) - self._num_written
        self._encode(np.pad(rest[:, :missing], ((0, 0), (0, max(missing - rest.shape[1], 0)))))

    def _encode(self, samples: np.ndarray) -> None:
        if samples.shape[1]:
            sample_format = self._stream.codec_context.format.name
            frame = _frame(samples, sample_format, self._layout, self._rate, self._num_written)
            self._num_written += samples.shape[1]
            self._mux(frame)

    def _mux(self, frame: av.AudioFrame | None) -> None:
        for packet in self._stream.encode(frame):
            # LAME may end with a frame that is all padding, more than the header can count.
            is_padding = self._format.codec == "libmp3lame" and not packet.duration
            if not is_padding or self._num_written < SHORTEST_MP3:
                self._container.mux(packet)


def _frame(block: np.ndarray, sample_format: str, layout: str, sampling_rate: int, start: int) -> av.AudioFrame:
    samples = _convert(block, sample_format)
    frame = av.AudioFrame(sample_format, layout, block.shape[1])
    # `AudioFrame.from_ndarray` cannot fill eight planes.
    for plane, channel in zip(frame.planes[: len(samples)], samples):
        plane.update(channel.view(np.uint8).data)
    frame.sample_rate, frame.pts = sampling_rate, start
    return frame


def _discard(opened: ExitStack) -> None:
    """Closes and removes an unfinished file; does nothing once the file is finished."""
    with suppress(OSError, av.FFmpegError):
        opened.__exit__(GeneratorExit, GeneratorExit(), None)


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
