"""Tags of stems: the mixture's, as far as they are true of a stem, and what the stem is and was made from."""

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from .. import DEFAULT_CHECKPOINT, __version__
from ..audio_reading import AudioFileError, AudioReader

SOFTWARE = f"unet-svs {__version__}"
# Beginnings of names, without case and punctuation, that say what is untrue of a stem: its loudness, its encoder's
# padding, the container, the recording's identity.
UNTRUE = (
    *("replaygain", "r128", "itun", "mp3gain", "loudness", "dynamicrange", "albumdynamicrange", "peak", "gapless"),
    *("encod", "codinghistory", "majorbrand", "minorversion", "compatiblebrands", "creationtime", "tlen"),
    *("isrc", "tsrc", "musicbrainz", "acoustid", "umid", "barcode", "upc", "asin", "discid", "cddb", "discogs", "mcn"),
    *("accuraterip", "fingerprint", "md5", "waveformatextensiblechannelmask", "software"),
)
# Bytes at the beginning, in the middle and at the end of a file that tell it from others of its size.
SAMPLED_BYTES = 1 << 16
# FLAC holds less than 16 MiB.
MAX_COVER_BYTES = 15 << 20
MARK = re.compile(r"\[[^\[\]]* by unet-svs [^\[\]]*\] ?")


def fingerprint(path: str | Path) -> str:
    """Sixteen digits that tell a source file from others, whatever their names: its size and some of its content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest.update(str(size).encode())
        for start in (0, max(size // 2 - SAMPLED_BYTES // 2, 0), max(size - SAMPLED_BYTES, 0)):
            file.seek(start)
            digest.update(file.read(SAMPLED_BYTES))
    return digest.hexdigest()[:16]


def stem_tags(source_tags: Mapping[str, str], stem: str, checkpoint: str, source: str) -> dict[str, str]:
    """The tags of a stem: those of the mixture that are true of it, and in the comment what it is.

    `checkpoint` is the model's id or folder, and `source` the `fingerprint` of the mixture's file.
    """
    tags = {name: value for name, value in source_tags.items() if not _plain(name).startswith(UNTRUE)}
    title = tags.get("title", "")
    tags["title"] = f"{title} ({stem})" if title else stem
    tags["encoded_by"] = SOFTWARE
    name = "default" if checkpoint == DEFAULT_CHECKPOINT else checkpoint
    name = Path(name).name if os.path.isdir(name) else name
    mark = f"[{stem} by {SOFTWARE}, checkpoint {re.sub(r'[][]', '_', name) or 'unknown'}, source {source}]"
    # First, since some readers cut long comments.
    tags["comment"] = f"{mark} {MARK.sub('', tags.get('comment', ''))}".strip()
    return tags


def cover_of(path: str | Path) -> bytes | None:
    """The cover art of a file, if it has any that stems can have."""
    with suppress(Exception), AudioReader(path) as reader:  # a song is separated whatever is wrong with its picture
        cover = reader.cover()
        return cover if cover and len(cover) <= MAX_COVER_BYTES else None
    return None


def is_stem_of(stem_path: str | Path, fingerprint: str) -> bool:
    """Whether a file is a whole stem that was made from the file of this `fingerprint`."""
    try:
        with AudioReader(stem_path) as reader:
            return f"source {fingerprint}]" in reader.info.tags.get("comment", "")
    except AudioFileError:
        return False


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
