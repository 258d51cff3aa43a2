"""The files of one mirror: pieces of Parquet, and a manifest that says which of them count.

    FOLDER/manifest.json          swapped at once: what it names is the mirror, anything else is nobody's
    FOLDER/piece-….parquet        rows that are settled, and the tail, which is read again each time
    FOLDER.reading, FOLDER.swap   locks: one reads the database for it at a time; whoever changes the manifest is alone

Whoever is killed leaves files that no manifest names; the next who reads removes them. Whoever reads rows has links of
his own to the files, so that a change takes nothing from under him.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from propend.errors import MirrorFailedError

FORM = 1
"""Of the manifest; one of another form is read as none."""
MANIFEST = "manifest.json"
_CHUNK = 1 << 20


class DamagedError(Exception):
    """What is there is not what was written."""


@dataclass(frozen=True)
class Piece:
    """One file of rows.

    Attributes:
        name: of the file.
        rows: in it.
        digest: of its bytes.
    """

    name: str
    rows: int
    digest: str


@dataclass(frozen=True)
class Manifest:
    """What a mirror holds.

    Attributes:
        table: what it is called in messages.
        at, profile: columns of the time and of the profile's id.
        mark: the largest time that was seen.
        begins: rows from then on, or without a time, are in the tail.
        full_at: when everything was read; UTC.
        read_at: when something was read last; UTC.
        settled: pieces of rows before ``begins``, in the order in which they came.
        tail: the piece of all others.
        without: a digest of those who are to be forgotten and are in no piece; empty where nobody was.
    """

    table: str
    at: str
    profile: str
    mark: str
    begins: str
    full_at: datetime
    read_at: datetime
    settled: tuple[Piece, ...]
    tail: Piece
    without: str = ""

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return (*self.settled, self.tail)

    @property
    def kept(self) -> int:
        """Rows that are not read again."""
        return sum(piece.rows for piece in self.settled)


class Mirror:
    """A mirror's folder.

    Attributes:
        folder: where it is; made when it is first written to.
    """

    def __init__(self, folder: Path) -> None:
        """``folder``: of this mirror alone."""
        self.folder = folder

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While rows come from the database, nobody else asks for them for this mirror; others wait."""
        with self._alone("reading"):
            yield

    @contextmanager
    def swapping(self) -> Iterator[None]:
        """While the manifest changes; moments."""
        with self._alone("swap"):
            yield

    @contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        with self.keeping():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(self.folder.with_name(f"{self.folder.name}.{what}"))
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Failures to write become ``MirrorFailedError``."""
        try:
            yield
        except OSError as error:
            raise MirrorFailedError(
                f"The mirror in {str(self.folder)!r} cannot be kept: {error.strerror or error}.",
                "see to the room on that disk and to the rights in that folder, or take `incremental` out of the "
                "document: everything is then read each time.",
                path=str(self.folder),
            ) from None

    # --- what is there --------------------------------------------------------------------------------------

    def manifest(self) -> Manifest | None:
        """What the mirror holds; None where there is none yet.

        Raises:
            DamagedError: what is there cannot be read.
        """
        try:
            found = json.loads((self.folder / MANIFEST).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DamagedError(f"its manifest cannot be read: {type(error).__name__}") from None
        try:
            if found.pop("form") != FORM:
                return None
            pieces = tuple(Piece(**p) for p in found.pop("settled"))
            full_at, read_at = (datetime.fromisoformat(found.pop(name)) for name in ("full_at", "read_at"))
            tail = Piece(**found.pop("tail"))
            return Manifest(settled=pieces, tail=tail, full_at=full_at, read_at=read_at, **found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedError(f"its manifest is not whole: {type(error).__name__}") from None

    def check(self, manifest: Manifest) -> None:
        """Hold the files against the manifest.

        Raises:
            DamagedError: one is not there, or is not what was written.
        """
        for piece in manifest.pieces:
            try:
                found = digest_of(self.folder / piece.name)
            except OSError as error:
                raise DamagedError(f"{piece.name} cannot be read: {error.strerror}") from None
            if found != piece.digest:
                raise DamagedError(f"{piece.name} is not as it was written")

    # --- changing it ----------------------------------------------------------------------------------------

    def new_file(self) -> Path:
        """A file for a piece, which is nobody's before a manifest names it."""
        return self.folder / f"piece-{uuid.uuid4().hex[:16]}.parquet"

    def piece(self, path: Path, rows: int) -> Piece:
        """A file that was written, with its bytes on the disk."""
        _sync(path)
        return Piece(path.name, rows, digest_of(path))

    def swap(self, manifest: Manifest) -> None:
        """Make this the mirror, and remove what was it before; call it alone."""
        plain: dict[str, Any] = asdict(manifest) | {"form": FORM}
        plain |= {"full_at": manifest.full_at.isoformat(), "read_at": manifest.read_at.isoformat()}
        beside = self.folder / f"{MANIFEST}.new"
        beside.write_text(json.dumps(plain, indent=1), encoding="utf-8")
        _sync(beside)
        beside.replace(self.folder / MANIFEST)
        _sync(self.folder)
        self.tidy(manifest)

    def tidy(self, manifest: Manifest | None) -> None:
        """Remove what no manifest names; call it alone."""
        known = {piece.name for piece in manifest.pieces} if manifest is not None else set()
        known |= {MANIFEST} if manifest is not None else set()
        for path in self.folder.iterdir():
            if path.name not in known:
                path.unlink(missing_ok=True)

    def linked(self, manifest: Manifest, scratch: Path, stem: str) -> list[Path]:
        """The pieces in a folder of the session's own; call it alone."""
        found = []
        for i, piece in enumerate(manifest.pieces):
            target = scratch / f"{stem}-{i}.parquet"
            try:
                os.link(self.folder / piece.name, target)
            except OSError:  # another disk, or one without links
                shutil.copyfile(self.folder / piece.name, target)
            found.append(target)
        return found


def digest_of(path: Path) -> str:
    """Of a file's bytes.

    Raises:
        OSError: it cannot be read.
    """
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
