"""A source in portions: what each of many readers selects, wherever it runs.

Parquet files are read where they are, by ranges of their rows; anything else is made a Parquet file first, by who
opened it. Every reader sees the types of the whole source, also where its own file lacks a column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from propend.connectors.origins import FileGroup
from propend.engines.database import Database
from propend.engines.relations import Relation, all_of, hive_options
from propend.predicates import quote_name, quote_text

ROWS_PER_SCAN, MOST_SCANS = 4_000_000, 10_000
"""No portion has more rows, unless there were too many: a reader holds what it has read, or puts it on disk."""

Rows = tuple[str, int, int]
"""A file, and the first and end of some of its rows."""


@dataclass(frozen=True)
class Scan:
    """One portion of a source.

    Attributes:
        source: position of the source among all.
        name: what it is called in messages.
        table: quoted name under which statements expect it.
        sql: what selects its rows.
    """

    source: int
    name: str
    table: str
    sql: str


def scans_of(db: Database, source: int, relation: Relation, folder: Path, readers: int) -> Iterator[Scan]:
    """All portions of a relation.

    Args:
        folder: for what must be made a file first; all readers must see it.
        readers: about so many portions, or more where they would be too large. Few are good: what a profile needs in a
            portion is needed once, however many events it has there.
    """
    columns = [(str(r[0]), str(r[1])) for r in db.rows(f"DESCRIBE {relation.table}")]
    as_a_whole = ", ".join(f"CAST({quote_name(c)} AS {kind}) AS {quote_name(c)}" for c, kind in columns)
    nothing = ", ".join(f"CAST(NULL AS {kind}) AS {quote_name(c)}" for c, kind in columns)
    groups = _parquet_groups(db, relation, folder)
    group_of = {str(path): group for group in groups for path in group.paths}
    files = ", ".join(map(quote_text, group_of))
    counted = db.rows(f"SELECT file_name, num_rows FROM parquet_file_metadata([{files}])")
    most = max(1, min(max(ROWS_PER_SCAN, relation.rows // MOST_SCANS), -(-relation.rows // readers)))
    for portion in _portions([(str(path), int(rows)) for path, rows in counted], most):
        rows = " UNION ALL BY NAME ".join(_read(group_of[path], path, first, end) for path, first, end in portion)
        sql = f"SELECT {as_a_whole} FROM (SELECT {nothing} WHERE FALSE UNION ALL BY NAME {rows})"
        yield Scan(source, relation.name, relation.table, sql)


def _portions(files: Sequence[tuple[str, int]], most: int) -> Iterator[list[Rows]]:
    """Files one after the other, cut where a portion is full."""
    portion, room = list[Rows](), most
    for path, rows in files:
        first = 0
        while first < rows:
            end = min(rows, first + room)
            portion.append((path, first, end))
            room -= end - first
            first = end
            if room == 0:
                yield portion
                portion, room = [], most
    if portion:
        yield portion


def _read(group: FileGroup, path: str, first: int, end: int) -> str:
    options = {"file_row_number": "true"} | hive_options(group)
    read = f"read_parquet({quote_text(path)}, {', '.join(f'{k} = {v}' for k, v in options.items())})"
    columns = all_of(group, "file_row_number")
    return f"SELECT {columns} FROM {read} WHERE file_row_number >= {first} AND file_row_number < {end}"


def _parquet_groups(db: Database, relation: Relation, folder: Path) -> tuple[FileGroup, ...]:
    if relation.groups and all(g.format == "parquet" for g in relation.groups):
        return relation.groups
    file = folder / f"{db.new_name('source')}.parquet"
    with db.reading(relation.name):
        db.run(f"COPY {relation.table} TO {quote_text(str(file))} (FORMAT parquet)")
    return (FileGroup("parquet", (file,)),)
