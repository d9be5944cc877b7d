"""Writes files and folders that appear under their names only when complete; otherwise nothing is left."""

import glob
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl


@contextmanager
def whole_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Opens a new file for binary writing; when the context ends, it replaces the file of that name."""
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:  # a device or a pipe is written to, never replaced
            yield file
        return
    with _temporary(path, Path.touch) as (temporary, target), open(temporary, "wb") as file:
        yield file
        file.close()
        os.replace(temporary, target)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Makes a new folder; when the context ends, it replaces the folder of that name."""
    with _temporary(path, Path.mkdir) as (temporary, target):
        yield temporary
        replaced = _name_beside(target)
        try:
            if target.is_dir():
                os.rename(target, replaced)
            os.rename(temporary, target)
        finally:  # one of the two survives Ctrl-C at any moment
            if target.exists():
                _remove(replaced)
            elif replaced.exists():
                os.rename(replaced, target)


@contextmanager
def whole_files(folder: str | Path) -> Iterator[Path]:
    """Makes a new folder; when the context ends, its files move to the named folder, whose other files stay."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with _temporary(Path(folder, "files"), Path.mkdir) as (temporary, target):
        yield temporary
        for file in sorted(temporary.iterdir()):
            os.replace(file, target.with_name(file.name))


def replace_text(path: str | Path, text: str) -> None:
    """Writes a text file as UTF-8."""
    with whole_file(path) as file:
        file.write(text.encode())


@contextmanager
def _temporary(path: str | Path, make: Callable[[Path], object]) -> Iterator[tuple[Path, Path]]:
    """Yields a new file or folder beside a target, and the target; removes what is left of the new one."""
    # A link is kept, and its target is replaced.
    target = Path(os.path.realpath(path))
    for abandoned in target.parent.glob(f".{glob.escape(target.name)}.*.partial"):
        with suppress(OSError), ExitStack() as stack:
            _lock(abandoned, stack)
            _remove(abandoned)
    temporary = _name_beside(target)
    with ExitStack() as stack:
        stack.callback(_remove, temporary)
        make(temporary)
        with suppress(OSError):  # some network disks do not support locks
            _lock(temporary, stack)
        yield temporary, target


def _name_beside(target: Path) -> Path:
    # Random, since two machines that share a disk may have processes with the same number.
    return target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")


def _lock(path: Path, stack: ExitStack) -> None:
    """Takes the lock that marks a living writer, on other machines too; raises `OSError` if another has it."""
    if sys.platform != "win32":  # open files cannot be removed there
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        stack.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
