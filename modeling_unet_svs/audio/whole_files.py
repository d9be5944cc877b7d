"""Files and folders that appear under their names when they are whole, and of which nothing is left otherwise."""

from __future__ import annotations

import glob
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl


@contextmanager
def whole_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Opens a new file for binary writing; when the context ends, it takes the place of the one that has its name."""
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:  # a device or a pipe is written to, never replaced
            yield file
        return
    target = _resolved(path)
    with _temporary(target) as temporary, open(temporary, "xb") as file:
        _lock(file.fileno())
        yield file
        file.close()
        os.replace(temporary, target)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Makes a new folder; when the context ends, it takes the place of the one that has its name."""
    target = _resolved(path)
    with _new_folder(target) as folder:
        yield folder
        if not target.is_dir():
            os.rename(folder, target)
            return
        replaced = _name_beside(target)
        try:
            os.rename(target, replaced)
            os.rename(folder, target)
        finally:
            if target.exists():
                _remove(replaced)
            else:
                os.rename(replaced, target)


@contextmanager
def whole_files(path: str | Path) -> Iterator[Path]:
    """Makes a new folder; when the context ends, all in it moves to the named folder, where other files stay."""
    target = _resolved(path)
    target.mkdir(parents=True, exist_ok=True)
    with _new_folder(target / "files") as folder:
        yield folder
        for file in sorted(folder.iterdir()):
            os.replace(file, target / file.name)


def replace_text(path: str | Path, text: str) -> None:
    """Writes a text file as UTF-8."""
    with whole_file(path) as file:
        file.write(text.encode())


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    with _temporary(target) as folder, ExitStack() as stack:
        folder.mkdir()
        if sys.platform != "win32":
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            _lock(descriptor)
        yield folder


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A name beside a target, on the same disk; what has it at the end is removed."""
    for abandoned in target.parent.glob(f".{glob.escape(target.name)}.*.partial"):
        _remove_if_abandoned(abandoned)
    temporary = _name_beside(target)
    with ExitStack() as stack:
        stack.callback(_remove, temporary)
        yield temporary


def _name_beside(target: Path) -> Path:
    # Random, since two machines that share a disk may have processes of the same number.
    return target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")


def _resolved(path: str | Path) -> Path:
    # A link stays, and what it leads to is replaced.
    return Path(os.path.realpath(path))


def _lock(descriptor: int) -> bool:
    """Takes the lock by which a writer that lives is known, also to other machines; false where another has it."""
    try:
        if sys.platform != "win32":  # there, what is open cannot be removed
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_if_abandoned(path: Path) -> None:
    """Removes what a program that was killed has left."""
    with suppress(OSError), ExitStack() as stack:
        if sys.platform != "win32":
            descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
            stack.callback(os.close, descriptor)
            if not _lock(descriptor):
                return
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink(missing_ok=True)
