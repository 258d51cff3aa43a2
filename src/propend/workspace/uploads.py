"""Files of events in the workspace's own folder ``data/``: uploaded, listed, never overwritten."""

from __future__ import annotations

import os
import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from propend.connectors.files import ENDINGS, is_data_file
from propend.errors import RequestInvalidError, WriteFailedError
from propend.store.catalog import Catalog
from propend.workspace.audit import LOCAL, note
from propend.writing import begun_file, sweep

DATA = "data"
LONGEST_NAME = 120
BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class StoredFile:
    """A file of the folder: its path relative to the workspace, its size and last change."""

    path: str
    size: int
    changed_at: datetime


class Uploads:
    """The folder."""

    def __init__(self, home: Path, catalog: Catalog, most_bytes: int) -> None:
        """``most_bytes``: of one file."""
        self._home, self._catalog, self.most_bytes = home, catalog, most_bytes
        self.folder = home / DATA

    def files(self) -> list[StoredFile]:
        """Every data file in the folder and in those in it, by name; hidden ones are left out.

        So are links that lead out of the folder: who may lay files into it could have others read.
        """
        if not self.folder.is_dir():
            return []
        found, inmost = [], self.folder.resolve()
        for path in sorted(self.folder.rglob("*")):
            inside = path.relative_to(self.folder).parts
            if not is_data_file(path.name) or any(p.startswith(".") for p in inside) or not path.is_file():
                continue
            if path.resolve().is_relative_to(inmost):
                found.append(self._stored(path))
        return found

    def begin(self, name: str) -> Arrival:
        """A file that begins to arrive.

        Raises:
            RequestInvalidError: its name does not say that it can be read.
            WriteFailedError: the folder cannot be written.
        """
        return Arrival(self, safe_name(name))

    def add(self, source: Path, name: str, by: str = LOCAL) -> StoredFile:
        """A copy of a file; where the folder has the very same under that name, nothing is copied."""
        there = self.folder / safe_name(name)
        if there.is_file() and there.read_bytes() == source.read_bytes():
            return self._stored(there)
        arrival = self.begin(name)
        with source.open("rb") as file:
            while part := file.read(BUFFER_BYTES):
                arrival.write(part)
        return arrival.keep(by)

    def place(self, arrived: Path, wanted: str, by: str) -> StoredFile:
        """Give what has arrived its name, or one beside it where that is taken."""
        stem, ending = _parted(wanted)
        for number in range(1, 10_000):
            target = self.folder / (wanted if number == 1 else f"{stem}-{number}{ending}")
            if not _named(arrived, target):
                continue
            try:
                found = self._stored(target)
                with self._catalog.writing() as session:
                    note(session, by, "create", "data", found.path, after={"bytes": found.size})
            except BaseException:
                target.unlink(missing_ok=True)
                raise
            return found
        raise WriteFailedError(f"There are too many files named {wanted!r}.", "name it otherwise.")

    def _stored(self, path: Path) -> StoredFile:
        told = path.stat()
        changed_at = datetime.fromtimestamp(told.st_mtime, UTC)
        return StoredFile(path.relative_to(self._home).as_posix(), told.st_size, changed_at)


class Arrival:
    """A file on its way: seen by nobody before it is kept."""

    def __init__(self, uploads: Uploads, wanted: str) -> None:
        """Made by ``Uploads.begin``."""
        self._uploads, self._wanted, self._size = uploads, wanted, 0
        try:
            uploads.folder.mkdir(exist_ok=True)
            sweep(uploads.folder)
            handle, self._path = begun_file(uploads.folder / wanted)
        except OSError as error:
            raise _unwritable(error) from None
        self._file = os.fdopen(handle, "wb", buffering=BUFFER_BYTES)

    def write(self, part: bytes) -> None:
        """The next part.

        Raises:
            RequestInvalidError: it is larger than a file may be; nothing of it is left.
            WriteFailedError: the disk is full; nothing of it is left.
        """
        self._size += len(part)
        if self._size > self._uploads.most_bytes:
            self.drop()
            raise RequestInvalidError(
                f"The file is too large: at most {self._uploads.most_bytes / 1e6:,.0f} MB can be uploaded.",
                "copy it into the workspace's data folder and point at it, or raise `[uploads] most_mb`.",
            )
        try:
            self._file.write(part)
        except OSError as error:
            self.drop()
            raise _unwritable(error) from None

    def keep(self, by: str = LOCAL) -> StoredFile:
        """It has come whole.

        Raises:
            RequestInvalidError: it is empty.
        """
        if not self._size:
            self.drop()
            raise RequestInvalidError(f"{self._wanted!r} is empty.", "export it again.")
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            return self._uploads.place(self._path, self._wanted, by)
        except OSError as error:
            raise _unwritable(error) from None
        finally:
            self.drop()

    def drop(self) -> None:
        """It does not come, or has its name: nothing else of it is left."""
        with suppress(OSError):  # what is still unwritten is not wanted
            self._file.close()
        with suppress(OSError):  # what cannot be removed now is swept later
            self._path.unlink(missing_ok=True)


def _named(arrived: Path, target: Path) -> bool:
    """Give a file a name that nobody has yet; False where somebody has it. Nobody sees less than the whole file."""
    try:
        arrived.chmod(0o644)
        target.hardlink_to(arrived)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links: whoever makes the name has it
        try:
            target.open("xb").close()
        except FileExistsError:
            return False
        try:
            arrived.replace(target)
        except OSError:
            target.unlink(missing_ok=True)
            raise
    return True


def safe_name(name: str) -> str:
    """A file's name without folders, and without letters that a shell, an address or a disk would take amiss.

    Raises:
        RequestInvalidError: it does not end like a file that can be read.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    plain = re.sub(r"[^\w.-]+", "-", last).strip("-.")
    stem, ending = _parted(plain)
    if not is_data_file(plain) or not stem.strip("-."):
        shown = "".join(c for c in last if c.isprintable())[:80]
        raise RequestInvalidError(
            f"{shown!r} is not a file that can be read.",
            f"files end in {', '.join(ENDINGS)}, also with .gz or .zst; export workbooks as CSV.",
        )
    return stem[: LONGEST_NAME - len(ending)] + ending


def _parted(name: str) -> tuple[str, str]:
    """Stem and ending, ``.csv.gz`` as one."""
    path = Path(name)
    endings = path.suffixes[-2:] if path.suffix.lower() in (".gz", ".gzip", ".zst", ".zstd") else path.suffixes[-1:]
    ending = "".join(endings)
    return name.removesuffix(ending), ending


def _unwritable(error: OSError) -> WriteFailedError:
    return WriteFailedError(
        f"The data folder cannot be written: {error.strerror}.", "free some space, or see to the folder's rights."
    )
