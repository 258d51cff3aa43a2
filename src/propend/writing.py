"""Files and folders that are there whole or not at all, whenever who writes them is killed.

They are written beside their place, flushed, and moved there by one rename. Who writes holds a lock on what is not
finished yet, which the system gives up when the process ends, however it ends: what is left over and nobody holds is
removed by whoever writes into the same folder next, or looks after it (``sweep``).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl

ENDING = ".propend.tmp"
"""Of the name of what is not finished yet; nobody else's files end so."""
OLD_SECONDS = 24 * 3600
"""On file systems without locks: what was not touched for so long is nobody's any more."""
LONGEST_NAME = 80
"""Letters of the place's name in that of what is written beside it: names have an end."""
_EXCHANGE, _HERE = 2, -100
"""``RENAME_EXCHANGE`` and ``AT_FDCWD`` of Linux."""


@contextmanager
def whole_file(target: Path, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """A file to write that takes its place at the end, or never; what stood there before stands until then.

    Args:
        mode: its rights.

    Raises:
        OSError: the folder cannot be written, or the disk is full; nothing half-written is left.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent)
    handle, unfinished = begun_file(target)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            unfinished.chmod(mode)
            unfinished.replace(target)
    except BaseException:
        with suppress(OSError):  # what cannot be removed now is swept later
            unfinished.unlink(missing_ok=True)
        raise
    flush_folder(target.parent)


@contextmanager
def trial_file(target: Path) -> Iterator[IO[bytes]]:
    """A file beside a place, to write and to read again; it is removed at the end, and so are folders made for it.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    missing = [folder for folder in target.parents if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = begun_file(target)
        try:
            with os.fdopen(handle, "w+b") as file:
                yield file
        finally:
            beside.unlink(missing_ok=True)
    finally:
        for folder in missing:
            with suppress(OSError):  # somebody else has come to use it
                folder.rmdir()


def begun_file(target: Path) -> tuple[int, Path]:
    """A file beside a place, held by this process as long as the descriptor is open."""
    while True:
        handle, name = tempfile.mkstemp(prefix=_prefix(target), suffix=ENDING, dir=target.parent)
        if _held(handle, Path(name)):
            return handle, Path(name)


@contextmanager
def begun_folder(target: Path) -> Iterator[Path]:
    """A folder beside a place, held by this process and removed at the end, unless it was moved away.

    Raises:
        OSError: it cannot be made.
    """
    sweep(target.parent)
    while True:
        made = Path(tempfile.mkdtemp(prefix=_prefix(target), suffix=ENDING, dir=target.parent))
        handle = _opened(made)
        if _held(handle, made):
            break
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def swap(fresh: Path, place: Path) -> None:
    """Put a folder into the place of another, which is then where the first was; where nothing stands it is moved.

    At no instant nothing stands there, on systems that can exchange two names; on others for the time of two renames.

    Raises:
        OSError: it cannot be moved; what stood there stands.
    """
    if not place.exists():
        fresh.rename(place)
        return
    if _exchanged(fresh, place):
        return
    aside = fresh.with_name(fresh.name.removesuffix(ENDING) + "-before" + ENDING)
    place.rename(aside)
    try:
        fresh.rename(place)
    except OSError:
        aside.rename(place)
        raise
    aside.rename(fresh)


def sweep(folder: Path) -> None:
    """Remove what was begun in a folder by processes that have ended; where nothing may be removed nothing happens."""
    try:
        left = [Path(entry.path) for entry in os.scandir(folder) if entry.name.endswith(ENDING)]
    except OSError:
        return
    for path in left:
        handle = _opened(path, os.O_NOFOLLOW | os.O_NONBLOCK if sys.platform != "win32" else 0)  # nor waits for a pipe
        if handle is None:
            continue
        try:
            if _is_nobodys(handle):
                with suppress(OSError):  # tried again by whoever looks next
                    remove(path)
        finally:
            os.close(handle)


def remove(path: Path) -> None:
    """A file, or a folder with what can be removed of it; of a symbolic link the link, never what it leads to.

    Raises:
        OSError: the file or link cannot be removed.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def flush(folder: Path) -> None:
    """A folder with all files below it is on the disk.

    Raises:
        OSError: something of it cannot be written.
    """
    for path in (*(p for p in folder.rglob("*") if p.is_file()), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def flush_folder(folder: Path) -> None:
    """Names that were given in a folder are on the disk; where a system does not flush folders, when it likes."""
    handle = _opened(folder)
    if handle is not None:
        try:
            with suppress(OSError):
                os.fsync(handle)
        finally:
            os.close(handle)


# --- within -----------------------------------------------------------------------------------------------------


def _prefix(target: Path) -> str:
    return f".{target.name[:LONGEST_NAME]}-"


def _opened(path: Path, flags: int = 0) -> int | None:
    """To be locked or flushed; None where that is not possible: it is gone, or a folder on Windows."""
    try:
        return os.open(path, os.O_RDONLY | flags)
    except OSError:
        return None


def _held(handle: int | None, path: Path) -> bool:
    """Take the lock of what was just made; False where a sweep came between, and it is gone."""
    if handle is not None and sys.platform != "win32":
        with suppress(OSError):  # a file system without locks: then it goes by age
            fcntl.flock(handle, fcntl.LOCK_EX)
    if os.path.exists(path):  # noqa: PTH110  false, not an error, whatever the disk says
        return True
    if handle is not None:
        os.close(handle)
    return False


def _is_nobodys(handle: int) -> bool:
    if sys.platform != "win32":
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass
        else:
            return True
    return time.time() - os.fstat(handle).st_mtime > OLD_SECONDS


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two names at once; False where the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    return rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0
