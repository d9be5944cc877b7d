"""Containers of audio: which are opened, whether their bytes are all there, and where their sound belongs in time."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import IO

# Containers that play sound and open no other file. Playlists, scripts and manifests open others by name: left out.
CONTAINERS = ",".join(
    ("wav", "w64", "aiff", "caf", "au", "flac", "mp3", "ogg", "aac", "loas", "ac3", "eac3", "dts", "dtshd", "truehd")
    + ("mlp", "spdif", "amr", "amrnb", "amrwb", "ape", "wv", "tta", "tak", "mpc", "mpc8", "dsf", "iff", "voc", "oma")
    + ("nistsphere", "sox", "ircam", "pvf", "avr", "xwma", "qcp", "sbc", "shn", "rm", "mov", "matroska", "avi", "asf")
    + ("flv", "mpeg", "mpegts", "mxf", "nut", "wtv", "dv")
)
# Containers whose header counts samples, all of which are in a whole file.
COUNTING_CONTAINERS = ("flac", "tta", "wv", "ape", "tak", "mpc")
# Containers whose time stamps say where each frame belongs.
TIMED_CONTAINERS = ("mov", "matroska", "mpegts", "ogg")
# Sizes from here on are written by programs that do not know the size in advance.
UNKNOWN_SIZE = 0x7FFF_0000
W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
MP4_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
HEAD_BYTES = 1 << 16
# More chunks than a file of hours has, so that a file of nothing but heads does not take for ever.
MAX_CHUNKS = 100_000
# Longest jump of time stamps that is a hole; beyond it, they begin anew.
MAX_HOLE_SECONDS = 600
# Part of a frame, and seconds, that time stamps may be inexact by.
TOLERATED_FRAME, TOLERATED_JITTER = 0.75, 0.01

PCM, EXTENSIBLE = 1, 0xFFFE


def big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def riff(head: bytes) -> tuple[bytes, int, int]:
    return head[:4], 8, 8 + little(head[4:8])


def aiff(head: bytes) -> tuple[bytes, int, int]:
    return head[:4], 8, 8 + big(head[4:8])


def caf(head: bytes) -> tuple[bytes, int, int]:
    return head[:4], 12, 12 + big(head[4:12])


def w64(head: bytes) -> tuple[bytes, int, int]:
    return head[:16], 24, -(-little(head[16:24]) // 8) * 8


def mp4(head: bytes) -> tuple[bytes, int, int]:
    size = big(head[:4])
    return head[4:8], 8, big(head[8:16]) if size == 1 else size


def chunks(
    file: IO[bytes], start: int, end: int, kind: Callable[[bytes], tuple[bytes, int, int]]
) -> Iterator[tuple[bytes, int, int]]:
    """Name, beginning and announced end of each chunk; `kind` gives name and sizes of head and chunk by 24 bytes."""
    for _ in range(MAX_CHUNKS):
        if start + 8 > end:
            return
        file.seek(start)
        name, begin, size = kind(file.read(24))
        if size == 0 and kind is mp4:
            return  # to the end of the file
        yield name, start + begin, start + size
        if size < 8:
            return
        start += size + (size % 2 if kind in (riff, aiff) else 0)


def announced_size(file: IO[bytes], actual: int) -> int:
    """Bytes that a file has to have so that its container is whole, as far as the container says it."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    announced = 0
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        long_size = 0
        for name, begin, stop in chunks(file, 12, actual, riff):
            if name == b"ds64":
                file.seek(begin + 8)
                long_size = little(file.read(8))
            elif name == b"data":
                announced = begin + long_size if stop - begin == 0xFFFF_FFFF else stop
                announced = announced if announced < UNKNOWN_SIZE or long_size else 0
                break
    elif head[:4] == b"RIFF":
        sizes = [stop for name, _, stop in chunks(file, 0, actual, riff) if name == b"RIFF"]
        announced = sizes[-1] if 8 < sizes[-1] < actual + UNKNOWN_SIZE else 0
    elif head.startswith(W64):
        announced = max((stop for *_, stop in chunks(file, 40, actual, w64)), default=little(head[16:24]))
    elif head[:4] == b"FORM":
        announced = max((stop for name, _, stop in chunks(file, 12, actual, aiff) if name == b"SSND"), default=0)
        announced = announced if announced < UNKNOWN_SIZE else 0
    elif head[:4] == b"FRM8":
        announced = 12 + big(head[4:12])
    elif head[:4] == b"caff":
        announced = max((stop for *_, stop in chunks(file, 8, actual, caf)), default=0)
    elif head[:4] == b".snd":
        size = big(head[8:12])
        announced = big(head[4:8]) + size if size < UNKNOWN_SIZE else 0
    elif head[:4] == b"DSD ":
        announced = little(head[12:20])
    elif head[4:8] in MP4_ATOMS:
        announced = max((stop for *_, stop in chunks(file, 0, actual, mp4)), default=0)
    elif head.startswith(b"\x1a\x45\xdf\xa3"):
        announced = _matroska_size(head)
    elif head.startswith(ASF) and (at := head.find(ASF_PROPERTIES)) > 0 and not little(head[at + 88 : at + 89]) & 1:
        announced = little(head[at + 40 : at + 48])
    elif (first := _first_mp3_frame(file, head)) is not None:
        announced = _mp3_size(file, first)
    # Sizes of 2^63 are none.
    return announced if announced < 1 << 62 else 0


def _matroska_size(head: bytes) -> int:
    """End of the segment; 0 where its size is unknown, as in live recordings."""
    at = head.find(b"\x18\x53\x80\x67")
    if at < 0 or at + 5 > len(head) or not head[at + 4]:
        return 0
    width = 9 - head[at + 4].bit_length()
    size = big(head[at + 4 : at + 4 + width]) & ((1 << 7 * width) - 1)
    return 0 if size == (1 << 7 * width) - 1 else at + 4 + width + size


def _first_mp3_frame(file: IO[bytes], head: bytes) -> int | None:
    """Where an MP3 begins after its tags; `None` for other files."""
    at = 0
    while head[:3] == b"ID3":
        at += 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0)))
        file.seek(at)
        head = file.read(10)
    return at if len(head) > 3 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 else None


def _mp3_size(file: IO[bytes], at: int) -> int:
    """End of an MP3 whose first frame counts the bytes from itself on."""
    file.seek(at)
    frame = file.read(512)
    if frame[36:40] == b"VBRI":
        return at + big(frame[46:50])
    for name in (b"Xing", b"Info"):
        place = frame.find(name)
        if place > 0 and (flags := big(frame[place + 4 : place + 8])) & 2:
            start = place + 8 + 4 * (flags & 1)
            return at + big(frame[start : start + 4])
    return 0


def ogg_end(file: IO[bytes], actual: int) -> tuple[int, bool]:
    """Where the last page of an Ogg file has to end, and whether it is marked as the last."""
    start = max(actual - 2 * HEAD_BYTES, 0)
    file.seek(start)
    tail = file.read(2 * HEAD_BYTES)
    at = tail.rfind(b"OggS\0")
    if at < 0 or at + 27 > len(tail):
        return actual if at < 0 else actual + 1, False
    num_segments = tail[at + 26]
    lengths = tail[at + 27 : at + 27 + num_segments]
    return start + at + 27 + num_segments + sum(lengths), bool(tail[at + 5] & 4)


class PatchedFile(io.RawIOBase):
    """A file of which a few bytes read as others."""

    def __init__(self, file: IO[bytes], at: int, patch: bytes):
        self._file, self._at, self._patch = file, at, patch

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        start = self._file.tell()
        data = self._file.read(size)
        first, last = max(self._at, start), min(self._at + len(self._patch), start + len(data))
        if first >= last:
            return data
        return data[: first - start] + self._patch[first - self._at : last - self._at] + data[last - start :]


def as_its_header_says(file: IO[bytes], actual: int) -> IO[bytes]:
    """A wave file whose samples lie in more bytes than FFmpeg would take by the number of valid bits."""
    file.seek(0)
    head = file.read(12)
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:] == b"WAVE":
        for name, begin, stop in chunks(file, 12, actual, riff):
            if name != b"fmt " or stop - begin < 16:
                continue
            file.seek(begin)
            form = file.read(40)
            tag, num_channels, align = little(form[:2]), little(form[2:4]), little(form[12:14])
            if tag == EXTENSIBLE and len(form) >= 26:
                tag, bits, at = little(form[24:26]), little(form[18:20]) or little(form[14:16]), begin + 18
            else:
                bits, at = little(form[14:16]), begin + 14
            width = align // num_channels if num_channels else 0
            # A plain header of 24 bits in 32 is that of a program which writes floats so, as FFmpeg knows.
            is_known = at == begin + 14 and (bits, width) in ((24, 4), (16, 4))
            if tag in (PCM, 3) and width in (1, 2, 3, 4, 8) and -(-bits // 8) != width and not is_known:
                return PatchedFile(file, at, (8 * width).to_bytes(2, "little"))  # type: ignore[return-value]
            break
    return file


class TimeLine:
    """Where decoded frames belong in time, by one rule for all containers.

    What decodes is what counts. Silence takes the place of frames that do not decode, and of holes where the
    container's time stamps are to be trusted; sound that begins after the picture keeps its place. Nothing is ever
    left out because of a time stamp.
    """

    def __init__(self, container: str, rate: int, picture_start: float | None):
        self._is_timed, self._rate, self._picture_start = container.startswith(TIMED_CONTAINERS), rate, picture_start
        self._is_ogg = container == "ogg"
        self._begun, self._next, self._ahead, self._longest = False, 0.0, 0.0, 0
        self._unread = 0.0
        self.num_lost = self.num_holes = self.num_filled = 0

    def lose(self, seconds: float | None) -> None:
        """Notes a packet that does not decode."""
        self._unread += seconds or self._longest / self._rate

    def silence_before(self, start: float | None, num_samples: int) -> int:
        """Samples of silence that belong before a frame, which is noted."""
        self._longest = max(self._longest, num_samples)
        gap, unread, limit = self._unread, self._unread, MAX_HOLE_SECONDS
        self._unread = 0.0
        if start is not None:
            if not self._begun:
                late = 0.0 if self._picture_start is None else start - self._picture_start
                self._next = start - late if TOLERATED_JITTER < late <= limit else start - gap
            jump = start - self._next
            tolerated = TOLERATED_JITTER
            if not unread:
                tolerated = max(TOLERATED_FRAME * self._longest / self._rate, TOLERATED_JITTER)
            if not self._begun:
                gap = max(jump, 0.0)
            elif not -1 < jump <= limit:
                self._ahead = 0.0
            elif self._is_timed:
                # Stamps that are late for once and early afterwards are inexact: there is no hole.
                self._ahead = max(self._ahead + jump, -2 * self._longest / self._rate)
                gap = min(jump, self._ahead) if jump > tolerated and self._ahead > tolerated else 0.0
                self._ahead -= gap
            self._next = start + num_samples / self._rate
        return self._filled(gap, unread)

    def _filled(self, gap: float, unread: float) -> int:
        num_silent = max(round(gap * self._rate), 0)
        if num_silent and (unread or (self._begun and self._is_ogg)):
            self.num_lost += num_silent
        elif num_silent and self._begun:
            self.num_holes, self.num_filled = self.num_holes + 1, self.num_filled + num_silent
        self._begun = True
        return num_silent

    def silence_at_end(self) -> int:
        """Samples of silence in place of packets that do not decode at the end."""
        unread, self._unread = self._unread, 0.0
        return self._filled(unread, unread)

    def num_padding(self, num_samples: int, announced: int | None) -> int:
        """Samples at the end that are an encoder's padding by the header's length: two frames at the most."""
        excess = num_samples - announced if announced else 0
        return excess if 0 < excess <= 2 * self._longest else 0

    @property
    def num_held(self) -> int:
        """Samples that may turn out to be padding."""
        return 2 * self._longest
