"""Small sound files and model files, to be damaged."""

from collections import defaultdict
from fractions import Fraction

import av
import numpy as np

from ..conftest import noise, write_song

MODEL_FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
TAGS = {"title": "Für Elise", "artist": "../../etc/passwd", "comment": "日本\n🎤"}
SECONDS = 0.25
# Container, codec, rate and sample format of what AudioWriter does not write, or not twice alike.
MADE_WITH_FFMPEG = {
    "ogg": ("ogg", "flac", 44_100, "s16"),
    "vorbis": ("ogg", "vorbis", 44_100, "fltp"),
    "opus": ("ogg", "libopus", 48_000, "flt"),
    "mkv": ("matroska", "libopus", 48_000, "flt"),
    "aiff": ("aiff", "pcm_s16be", 22_050, "s16"),
    "alac": ("ipod", "alac", 44_100, "s16p"),
    "wavpack": ("wv", "wavpack", 44_100, "s16p"),
    "asf": ("asf", "wmav2", 44_100, "fltp"),
    "mpegts": ("mpegts", "ac3", 48_000, "fltp"),
    "mpeg": ("mpeg", "mp2", 48_000, "s16"),
    "eac3": ("eac3", "eac3", 48_000, "fltp"),
    "aac": ("adts", "aac", 44_100, "fltp"),
    "flv": ("flv", "aac", 44_100, "fltp"),
    "avi": ("avi", "pcm_s16le", 44_100, "s16"),
    "caf": ("caf", "pcm_s16be", 44_100, "s16"),
    "w64": ("w64", "pcm_s16le", 44_100, "s16"),
    "au": ("au", "pcm_s16be", 44_100, "s16"),
    "tta": ("tta", "tta", 44_100, "s16"),
}
AUDIO_KINDS = ("wav", "flac", "mp3", "m4a", "mp4", *MADE_WITH_FFMPEG)


def make_seeds(folder) -> dict[str, list[bytes]]:
    """Sound files of each kind, of a quarter of a second."""
    seeds = defaultdict(list)
    for kind in ("wav", "flac", "mp3", "m4a"):
        for channels, subtype in ((1, "16"), (2, "24"), (2, "float")):
            song = noise(channels, int(SECONDS * 44_100))
            cover = make_picture() if subtype == "24" else None
            path = write_song(folder / f"seed.{kind}", song, subtype=subtype, tags=TAGS, cover=cover)
            seeds[kind].append(path.read_bytes())
    for kind, (container, codec, rate, sample_format) in MADE_WITH_FFMPEG.items():
        seeds[kind] = [encoded(folder / f"seed.{kind}", container, codec, rate, sample_format)]
    seeds["mp4"] = [encoded(folder / "seed.mp4", "mp4", "aac", 44_100, "fltp", video=True)]
    return seeds


def make_picture() -> bytes:
    """A PNG."""
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 40, 30, "rgb24", Fraction(1, 25)
    picture = av.VideoFrame.from_ndarray(np.zeros((30, 40, 3), dtype=np.uint8), format="rgb24")
    return b"".join(bytes(packet) for packet in [*codec.encode(picture), *codec.encode(None)])


def encoded(path, container: str, codec: str, rate: int, sample_format: str, seconds=SECONDS, video=False) -> bytes:
    """Makes a stereo file of noise, with FFmpeg's names, and gives its bytes."""
    # Or some containers would have a random number in them, and each run other files.
    with av.open(str(path), "w", format=container, container_options={"fflags": "bitexact"}) as opened:
        picture = opened.add_stream("mpeg4", rate=10) if video else None
        if picture is not None:
            picture.width = picture.height = 32
        stream = opened.add_stream(codec, rate=rate, layout="stereo", options={"strict": "experimental"})
        stream.codec_context.format, stream.bit_rate = sample_format, 128_000
        opened.metadata.update(TAGS)
        if picture is not None:
            black = av.VideoFrame.from_ndarray(np.zeros((48, 32), dtype=np.uint8), format="yuv420p")
            opened.mux([*picture.encode(black), *picture.encode(None)])
        samples = noise(2, int(rate * seconds))
        if sample_format.startswith("s16"):
            samples = (samples * 32767).astype(np.int16)
        samples = samples if sample_format.endswith("p") else np.ascontiguousarray(samples.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format=sample_format, layout="stereo")
        frame.sample_rate, frame.pts = rate, 0
        opened.mux([*stream.encode(frame), *stream.encode(None)])
    return path.read_bytes()
