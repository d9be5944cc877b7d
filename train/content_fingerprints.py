"""What identifies an audio file: its bytes, wherever it is and whenever it was copied."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

from pyarrow import Buffer

from modeling_unet_svs.audio_reading import AudioFileError

BLOCK_BYTES = 1 << 20


class ContentFingerprints:
    """Hashes of files' contents, remembered in a file, so that bytes are read once and not at each start.

    All bytes are hashed: an edit in the middle of a song changes a few of them and no header. A remembered hash holds
    for as long as path, size and time of change stay what they were; a copy of the file elsewhere is hashed anew, to
    the same value. Processes may share the file: each line is appended in one piece, and one that is damaged is
    ignored.

    Args:
        index: the file.
    """

    def __init__(self, index: str | Path):
        self.index = Path(index)
        self._lock = threading.Lock()
        self._known: dict[tuple, str] = {}
        if self.index.is_file():
            for line in self.index.read_text(errors="replace").splitlines():
                try:
                    *key, fingerprint = json.loads(line)
                except (ValueError, TypeError):
                    continue
                self._known[tuple(key)] = fingerprint

    def of_file(self, path: str | Path) -> str:
        """The hash of a file's bytes.

        Args:
            path: of the file.

        Returns:
            32 hexadecimal digits.

        Raises:
            AudioFileError: it cannot be read.
        """
        try:
            status = os.stat(path)
            key = (os.path.abspath(path), status.st_size, status.st_mtime_ns)
            with self._lock:
                known = self._known.get(key)
            if known is not None:
                return known
            digest = hashlib.blake2b(digest_size=16)
            with open(path, "rb") as file:
                while block := file.read(BLOCK_BYTES):
                    digest.update(block)
        except OSError as error:
            raise AudioFileError(path, f"cannot be read: {error.strerror}.") from None
        return self._remember(key, digest.hexdigest())

    def of_embedded(self, content: Buffer, *place: str | int) -> str:
        """The hash of a file that is inside a data set.

        Args:
            content: its bytes, which are read where none are remembered for the place.
            *place: what identifies it: the data set's fingerprint, and where it is in there.

        Returns:
            32 hexadecimal digits, the same as for a file with these bytes.
        """
        with self._lock:
            known = self._known.get(place)
        return known or self._remember(place, hashlib.blake2b(content, digest_size=16).hexdigest())

    def _remember(self, key: tuple, fingerprint: str) -> str:
        line = f"{json.dumps([*key, fingerprint])}\n".encode()
        with self._lock:
            self._known[key] = fingerprint
            try:
                with open(self.index, "ab", buffering=0) as file:
                    file.write(line)
            except OSError:  # a full disk is noticed, and said, where songs are written
                pass
        return fingerprint


__all__ = ["ContentFingerprints"]
