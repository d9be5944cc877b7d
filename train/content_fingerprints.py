"""What identifies an audio file: its bytes, wherever it is and whenever it was copied."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

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
        self._known: dict[tuple[str, int, int], str] = {}
        if self.index.is_file():
            for line in self.index.read_text(errors="replace").splitlines():
                try:
                    path, size, changed, fingerprint = json.loads(line)
                except ValueError:
                    continue
                self._known[path, size, changed] = fingerprint

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
        fingerprint = digest.hexdigest()
        with self._lock:
            self._known[key] = fingerprint
            with open(self.index, "ab", buffering=0) as file:
                file.write(f"{json.dumps([*key, fingerprint])}\n".encode())
        return fingerprint


def fingerprint_of_bytes(content: bytes) -> str:
    """The hash of a file that is in memory, the same as if it were on disk."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


__all__ = ["ContentFingerprints", "fingerprint_of_bytes"]
