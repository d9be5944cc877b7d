"""A folder for each request's files, which nobody can guess and which goes away."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from pathlib import Path

SWEEP_SECONDS = 30


class ResultFolders:
    """Folders of stems. A page has one at a time, which goes when the page is closed or has the next.

    Args:
        root: where to make them.
        keep_seconds: after which any of them is deleted.
    """

    def __init__(self, root: Path, keep_seconds: float):
        self.root, self.keep_seconds = root, keep_seconds
        self._owned: dict[str, Path] = {}
        self._lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def new(self) -> Path:
        """Makes a folder with a name of 128 random bits."""
        folder = self.root / secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        return folder

    def give(self, folder: Path, owner: str) -> None:
        """Ties a folder to a page, and deletes the one that the page had.

        Args:
            folder: made by `new`.
            owner: the page's session.
        """
        with self._lock:
            previous, self._owned[owner] = self._owned.get(owner), folder
        if previous is not None:
            self.delete(previous)

    def forget(self, owner: str | None) -> None:
        """Deletes what a page has, if anything.

        Args:
            owner: the page's session.
        """
        with self._lock:
            folder = self._owned.pop(owner, None)
        if folder is not None:
            self.delete(folder)

    @staticmethod
    def delete(folder: Path) -> None:
        """Deletes a folder and all in it."""
        shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Deletes all folders that are too old."""
        oldest = time.time() - self.keep_seconds
        with self._lock:
            self._owned = {owner: folder for owner, folder in self._owned.items() if folder.exists()}
        for folder in self.root.iterdir():
            try:
                expired = folder.stat().st_mtime < oldest
            except FileNotFoundError:
                continue
            if expired:
                self.delete(folder)

    def sweep_for_ever(self) -> None:
        """Sweeps every now and then, in a thread that ends with the program."""

        def run() -> None:
            while True:
                time.sleep(SWEEP_SECONDS)
                self.sweep()

        threading.Thread(target=run, daemon=True, name="sweep result folders").start()


__all__ = ["ResultFolders"]
