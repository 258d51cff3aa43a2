"""Tables of databases of which only new rows are read: the others are kept from run to run, in a mirror.

A mirror is what a full reading gave, in two parts by the time of the rows: those before ``begins`` are settled, and are
not asked for again; those from then on, and those without a time, are asked for each time and take the place of those
before. ``begins`` is as many days before the newest event as an event may be late. Columns stay as the database gives
them: everything after this sees the same rows as after a full reading, in another order, which changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from propend.columns import listed, nearest_column
from propend.connectors import FileGroup, Located, Origin, Since, locate
from propend.connectors.secrets import address_of
from propend.engines.clock_marks import Newest, check_clock, not_before, read_begin, written
from propend.engines.coding import not_blank
from propend.engines.database import Database
from propend.engines.fetching import GROUP_ROWS, fetch
from propend.engines.mirror_files import DamagedError, Manifest, Mirror, Piece
from propend.engines.relations import relation_of
from propend.errors import ColumnNotFoundError, MirrorFailedError, SourceUnreadableError
from propend.events import MirrorFacts
from propend.predicates import quote_text
from propend.protection import Forgotten, Mirrors

log = logging.getLogger("propend.mirrors")


@dataclass(frozen=True)
class Kept:
    """A source whose rows are kept.

    Attributes:
        origin: where the table is.
        name: what it is called in messages.
        at, profile: its columns of the time and of the profile's id.
        late_days: so long an event may come after its time.
        place: where the document names it.
        mapping: which columns play which roles, as the document says.
    """

    origin: Origin
    name: str
    at: str
    profile: str
    late_days: int
    place: str
    mapping: dict[str, str]

    @property
    def key(self) -> str:
        """What changes with the address, the table or query, the roles of columns, and how late events may be."""
        table = self.origin.table
        if table is None:
            raise ValueError("only tables of databases are kept")
        parts = urlsplit(address_of(table.database).url)
        place = parts.netloc.rpartition("@")[2] or str(self.origin.folder.resolve())
        options = [pair for pair in parse_qsl(parts.query) if pair[0] != "password"]
        where = [parts.scheme, place, parts.path, options]
        said = [where, table.table, table.query, self.mapping, self.late_days]
        return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=12).hexdigest()


def read_kept(db: Database, kept: Kept, mirrors: Mirrors) -> tuple[Located, MirrorFacts]:
    """The rows of a source, of which only new ones are read from the database; and how many of either.

    Raises:
        ConfigurationError: the column of the time is no clock that a database can be asked by.
        ColumnNotFoundError: a column that is named is not there.
        DatabaseUnreachableError, DatabaseRefusedError, SourceUnreadableError, NotEnoughMemoryError: as ``fetch``.
        MirrorFailedError: the mirror cannot be written.
    """
    mirror, now = Mirror(mirrors.folder / kept.key), datetime.now(UTC)
    with mirror.reading():
        with mirror.swapping(), mirror.keeping():
            held, why = _held(mirror, mirrors, now)
        file = db.scratch / f"{db.new_name('fetched')}.parquet"
        located = locate(kept.origin)
        if held is not None and not _read_newer(kept, located, mirror, held, file):
            held, why, located = None, "columns", locate(kept.origin)
        if held is None:
            (stream,) = located.streams
            fetch(stream, kept.name, file, check=lambda schema: _check_columns(kept, schema))
        with mirror.swapping(), mirror.keeping():
            found = _taken_in(db, kept, mirror, mirrors, held, file, now)
            paths = mirror.linked(found, db.scratch, db.new_name("kept")) if found is not None else [file]
    facts = MirrorFacts(read=pq.read_metadata(file).num_rows, kept=held.kept if held is not None else 0, why=why)
    log.info("%s: %d rows read from the database (%s), %d kept from before", kept.name, facts.read, why, facts.kept)
    return Located(kept.name, located.format, (FileGroup("parquet", tuple(paths)),)), facts


# --- before the rows come -------------------------------------------------------------------------------------


def _held(mirror: Mirror, mirrors: Mirrors, now: datetime) -> tuple[Manifest | None, str]:
    """What can be gone on from, and ``newer``; or None, and why everything is read."""
    try:
        held = mirror.manifest()
        mirror.tidy(held)
        if held is None:
            return None, "first"
        if mirrors.full_since is not None and held.full_at < mirrors.full_since:
            return None, "asked"
        mirror.check(held)
    except DamagedError as error:
        log.warning("a mirror is damaged, and everything is read again: %s", error)
        return None, "damaged"
    age = now - held.full_at
    return (held, "newer") if timedelta(0) <= age < timedelta(days=mirrors.full_every_days) else (None, "age")


def _read_newer(kept: Kept, located: Located, mirror: Mirror, held: Manifest, file: Path) -> bool:
    """Read what may be new into a file; False where its columns are not those of the mirror."""
    known = pq.read_schema(mirror.folder / held.tail.name)
    empty = _without_values([mirror.folder / piece.name for piece in held.settled])
    types = {f.name: pa.null() if f.name in empty else f.type for f in known}
    (stream,) = located.streams
    begins = read_begin(held.begins, known.field(held.at).type)
    fetch(stream, kept.name, file, Since(held.at, begins, types), lambda schema: _check_columns(kept, schema))
    return bool(pq.read_schema(file).equals(known))


def _without_values(paths: Sequence[Path]) -> set[str]:
    """Columns that have no value in any of these files, so that nothing is known of their type."""
    found: set[str] | None = None
    for path in paths:
        told = pq.read_metadata(path)
        for i in range(told.num_row_groups):
            group = told.row_group(i)
            columns = [group.column(c) for c in range(group.num_columns)]
            empty = {
                c.path_in_schema
                for c in columns
                if c.statistics is not None
                and c.statistics.has_null_count
                and c.statistics.null_count == group.num_rows
            }
            found = empty if found is None else found & empty
    if found is None:  # no rows at all
        return set(pq.read_schema(paths[0]).names) if paths else set()
    return found


def _check_columns(kept: Kept, schema: pa.Schema) -> None:
    """The two columns that are named are there, and the one of the time is a clock."""
    for role, column in (("at", kept.at), ("profile", kept.profile)):
        if column not in schema.names:
            near = nearest_column(column, dict.fromkeys(schema.names, "text"))
            raise ColumnNotFoundError(
                f"{kept.name!r} has no column {column!r} for the role {role!r}; its columns are: "
                f"{listed(dict.fromkeys(schema.names, 'text'))}.",
                f"did you mean {near!r}?" if near else f"name one of them under `columns: {{{role}: ...}}`.",
                source=kept.name, role=role, column=column, nearest=near,
            )  # fmt: skip
    check_clock(kept.at, schema.field(kept.at).type, kept.place)


# --- taking them in -------------------------------------------------------------------------------------------


def _taken_in(
    db: Database, kept: Kept, mirror: Mirror, mirrors: Mirrors, held: Manifest | None, file: Path, now: datetime
) -> Manifest | None:
    """The mirror with the rows that were read; None where there is no time yet to go on from. Call it alone.

    Raises:
        MirrorFailedError: somebody else removed it meanwhile.
        ConfigurationError: the column of the time holds texts that cannot be asked by.
    """
    forgotten = mirrors.forgotten()
    before = _cleared(db, kept, mirror, held, forgotten)
    with pq.ParquetFile(file) as source:
        kind = source.schema_arrow.field(kept.at).type
        newest = Newest(kept.at, now, kept.place)
        for batch in source.iter_batches(GROUP_ROWS, columns=[kept.at]):
            newest.look(batch.column(0))
        begins = newest.begin(kept.late_days, kind)
        if before is not None:
            earlier = read_begin(before.begins, kind)
            begins = earlier if begins is None else max(begins, earlier)
        if begins is None:
            mirror.tidy(None)
            return None
        gone = rows_of(db, file, kept.profile, forgotten)
        last = before.settled[-1] if before is not None and before.settled else None
        settled = _Writer(mirror, source.schema_arrow, last if last is not None and last.rows < GROUP_ROWS else None)
        tail = _Writer(mirror, source.schema_arrow, None)
        passed = 0
        for group in range(source.num_row_groups):
            table = source.read_row_group(group).combine_chunks()
            stays = ~np.isin(np.arange(passed, passed + table.num_rows), gone)
            later = not_before(table.column(kept.at).combine_chunks(), begins).to_numpy(zero_copy_only=False)
            settled.write(table.filter(pa.array(stays & ~later)))
            tail.write(table.filter(pa.array(stays & later)))
            passed += table.num_rows
    others = before.settled if before is not None else ()
    pieces = settled.closed()
    others = others[:-1] if pieces and settled.takes_in is not None else others
    found = Manifest(
        kept.name, kept.at, kept.profile,
        mark=str(newest.at) if newest.at is not None else (before.mark if before is not None else ""),
        begins=written(begins), full_at=before.full_at if before is not None else now, read_at=now,
        settled=(*others, *pieces), tail=tail.closed(empty=True)[0], without=without(forgotten),
    )  # fmt: skip
    mirror.swap(found)
    return found


class _Writer:
    """A piece that is being written, into which a smaller one may go first."""

    def __init__(self, mirror: Mirror, schema: pa.Schema, takes_in: Piece | None) -> None:
        """``takes_in``: a piece that goes in first."""
        self.takes_in, self._mirror, self._schema = takes_in, mirror, schema
        self._path, self._rows = mirror.new_file(), 0
        self._writer: pq.ParquetWriter | None = None

    def write(self, table: pa.Table) -> None:
        """Some rows; nothing is written before there are some."""
        if not table.num_rows:
            return
        if self._writer is None:
            self._writer = self._begun()
            if self.takes_in is not None:
                first = pq.read_table(self._mirror.folder / self.takes_in.name)
                self._writer.write_table(first)
                self._rows += first.num_rows
        self._writer.write_table(table)
        self._rows += table.num_rows

    def _begun(self) -> pq.ParquetWriter:
        return pq.ParquetWriter(self._path, self._schema, compression="zstd")

    def closed(self, empty: bool = False) -> tuple[Piece, ...]:
        """The piece; none where there is no row, unless an empty one is wanted."""
        if self._writer is None:
            if not empty:
                return ()
            self._writer = self._begun()
        self._writer.close()
        return (self._mirror.piece(self._path, self._rows),)


# --- people who are to be forgotten ---------------------------------------------------------------------------


def without(forgotten: Forgotten | None) -> str:
    """A digest of who is to be forgotten; it tells nobody."""
    if not forgotten:
        return ""
    return hashlib.blake2b(b"".join(sorted(forgotten.digests)), key=forgotten.key, digest_size=16).hexdigest()


def _cleared(
    db: Database, kept: Kept, mirror: Mirror, held: Manifest | None, forgotten: Forgotten | None
) -> Manifest | None:
    """What is held, as it is now and without those who were to be forgotten since. Call it alone."""
    if held is None:
        return None
    try:
        now = mirror.manifest()
        if now is not None and (now.begins, now.full_at) == (held.begins, held.full_at):
            clear = forgotten is None or now.without == without(forgotten)
            return now if clear or forgotten is None else erased(db, mirror, now, forgotten)[0]
    except DamagedError as error:
        log.warning("a mirror was damaged while it was added to: %s", error)
    raise MirrorFailedError(
        f"The mirror of {kept.name!r} was removed or changed by somebody else while rows were read.",
        "run it again; a folder of mirrors belongs to one instance.",
        path=str(mirror.folder),
    )


def erased(db: Database, mirror: Mirror, manifest: Manifest, who: Forgotten) -> tuple[Manifest, int]:
    """A mirror without some people, and how many rows that were. Call it alone.

    Raises:
        DamagedError: a piece cannot be read.
    """
    pieces: list[Piece] = []
    removed = 0
    for piece in manifest.pieces:
        path = mirror.folder / piece.name
        try:
            gone = rows_of(db, path, manifest.profile, who)
            removed += len(gone)
            pieces.append(_rewritten(mirror, path, gone) if len(gone) else piece)
        except (pa.ArrowException, SourceUnreadableError) as error:
            raise DamagedError(f"{piece.name} cannot be read: {type(error).__name__}") from None
    found = replace(manifest, settled=tuple(p for p in pieces[:-1] if p.rows), tail=pieces[-1])
    if removed:
        mirror.swap(found)
    return found, removed


def _rewritten(mirror: Mirror, path: Path, gone: NDArray[np.int64]) -> Piece:
    with pq.ParquetFile(path) as source:
        writer, passed = _Writer(mirror, source.schema_arrow, None), 0
        for group in range(source.num_row_groups):
            table = source.read_row_group(group)
            stays = ~np.isin(np.arange(passed, passed + table.num_rows), gone)
            writer.write(table.filter(pa.array(stays)))
            passed += table.num_rows
        return writer.closed(empty=True)[0]


def rows_of(db: Database, file: Path, profile: str, who: Forgotten | None) -> NDArray[np.int64]:
    """Places of the rows of people in a file, ascending; ids are read as they are read for runs."""
    if not who:
        return np.empty(0, dtype=np.int64)
    relation = relation_of(db, Located(file.name, "mirror", (FileGroup("parquet", (file,)),)))
    column = relation.columns.get(profile)
    if column is None:
        return np.empty(0, dtype=np.int64)
    text = not_blank(column.id_text)
    with db.reading(file.name):
        ids = [str(row[0]) for row in db.rows(f"SELECT DISTINCT {text} FROM {relation.table}") if row[0] is not None]
        theirs = [i for i, is_theirs in zip(ids, who.among([i.encode() for i in ids]), strict=True) if is_theirs]
        if not theirs:
            return np.empty(0, dtype=np.int64)
        scan = f"read_parquet({quote_text(str(file))}, file_row_number = true)"
        named = ", ".join(map(quote_text, theirs))
        rows = db.rows(f"SELECT file_row_number FROM {scan} WHERE {text} IN ({named}) ORDER BY 1")
    return np.array([row[0] for row in rows], dtype=np.int64)
