"""Headers and time stamps that lie about lengths, while every byte of sound is there."""

import random
import re

from .mutations import ODD_NUMBERS, correct_ogg_checksums

Fields = tuple[tuple[bytes, int, int], ...]
MP4: Fields = ((b"mvhd", 20, 4), (b"tkhd", 24, 4), (b"mdhd", 20, 4))
OGG: Fields = ((b"OggS", 6, 8),)
PES: Fields = ((b"\0\0\1\xbd", 9, 5), (b"\0\0\1\xc0", 9, 5))
# Marks in files of each kind, the bytes from there to a length or a time, and the bytes of it.
LIES: dict[str, Fields] = {
    "wav": ((b"RIFF", 4, 4),),
    "aiff": ((b"FORM", 4, 4), (b"COMM", 10, 4)),
    **dict.fromkeys(("mp4", "m4a", "alac"), MP4),
    "vorbis": OGG,  # and not Opus, whose last page says by its position how much of it is padding
    "mp3": ((b"Xing", 8, 4), (b"Info", 8, 4)),
    "mkv": ((b"\x44\x89\x88", 3, 8),),
    **dict.fromkeys(("mpegts", "mpeg"), PES),
}
# An edit list is no lie: it leaves out what players leave out.
EDIT_LIST: Fields = ((b"elst", 8, 4), (b"elst", 12, 4), (b"elst", 16, 4), (b"stts", 12, 4))
EDITS = dict.fromkeys(("mp4", "m4a", "alac"), EDIT_LIST)
# The longest frame twice: so much may be taken for an encoder's padding.
MAX_PADDING = 2 * 2048


def lie(data: bytes, fields: Fields, generator: random.Random) -> bytes:
    """Writes other numbers into one to three fields of a header or time stamp."""
    lying = bytearray(data)
    for _ in range(generator.choice((1, 1, 2, 3))):
        found = [
            (match.start() + offset, size)
            for mark, offset, size in fields
            for match in re.finditer(re.escape(mark), data)
        ]
        start, size = generator.choice(found)
        order = "little" if data[:4] in (b"OggS", b"RIFF") else "big"
        now = int.from_bytes(data[start : start + size], order)
        number = generator.choice((*ODD_NUMBERS, now // 2, now * 2, now + 1, max(now - 3_000, 0), 2**63 - 1))
        lying[start : start + size] = (number % 256**size).to_bytes(size, order)
    if data[:4] == b"OggS":
        correct_ogg_checksums(lying)
    return bytes(lying)
