"""Keeps the temporary folder within its bounds: what is old goes, and when it is full, nothing more is taken."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from settings import Settings
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

FULL_FOLDER = "This page has no room for more songs now: please try again in some minutes."
SWEEP_SECONDS = 30


class TemporaryFolder:
    """All that visitors have sent, and in `results` what they get."""

    def __init__(self, results: Path, settings: Settings):
        self.results = results
        self._keep_seconds, self._max_bytes = settings.keep_seconds, settings.max_stored_bytes
        self.largest_upload = settings.max_bytes

    def is_full(self, more_bytes: int = 0) -> bool:
        return sum(size for _, size, _ in self._entries()) + more_bytes > self._max_bytes

    def sweep(self, needed: set[str]) -> None:
        """Deletes what is old and neither needed nor in a folder that is; uploads that broke off leave such things."""
        oldest = time.time() - self._keep_seconds
        for path, _, changed in self._entries():
            if changed > oldest or path == self.results or needed & {str(path), str(path.parent)}:
                continue
            # A folder that has something in it stays.
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()

    def keep_swept(self, needed: Callable[[], set[str]]) -> None:
        """Sweeps now and then, in a thread of its own."""

        def forever() -> None:
            while True:
                time.sleep(min(SWEEP_SECONDS, self._keep_seconds))
                self.sweep(needed())

        threading.Thread(target=forever, daemon=True, name="sweeping").start()

    def _entries(self) -> Iterator[tuple[Path, int, float]]:
        """Everything below the root, deepest first: path, size and time of the last change."""
        for folder, folders, files in os.walk(self.results.parent, topdown=False):
            for name in [*files, *folders]:
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    status = path.lstat()
                    yield path, status.st_size if name in files else 0, max(status.st_mtime, status.st_ctime)


class RefusedWhenFull:
    """Refuses uploads, before they are read, while the folder has no room for them."""

    def __init__(self, app: ASGIApp, folder: TemporaryFolder):
        self.app, self.folder = app, folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith("/upload"):
            announced = Headers(scope=scope).get("content-length", "")
            # An upload in chunks does not say how long it is, and may be as long as any.
            num_bytes = int(announced) if announced.isdecimal() else self.folder.largest_upload
            if await asyncio.to_thread(self.folder.is_full, num_bytes):
                await PlainTextResponse(FULL_FOLDER, 503)(scope, receive, send)
                return
        # An upload that is cut off has nobody left to answer.
        with suppress(ClientDisconnect):
            await self.app(scope, receive, send)
