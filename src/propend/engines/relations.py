"""Relations: what a connector located, readable by SQL, with typed columns, nested ones by their path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from propend.connectors.origins import FileGroup, Located
from propend.engines.database import Database
from propend.engines.times import is_number, is_whole
from propend.errors import SourceUnreadableError
from propend.predicates import Column, FieldType, quote_name, quote_text

SAMPLE_ROWS = 2_000
"""Looked at to guess columns."""
TYPING_ROWS = 100_000
"""Looked at to type the columns of a CSV."""
MAX_DEPTH = 8
NULL_TEXTS = ("", "NULL", "null", "\\N")
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_TIME = r"\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}.*)?|\d{1,2}[/.]\d{1,2}[/.](\d{4}|\d{2})( \d{1,2}:\d{2}.*)?"


@dataclass(frozen=True)
class RawColumn:
    """A column as it is in the data.

    Attributes:
        name: its name, or dotted path.
        sql: expression of it over its relation.
        native: its type in the engine.
        type: what it holds.
    """

    name: str
    sql: str
    native: str
    type: FieldType

    @cached_property
    def column(self) -> Column:
        """Its forms for conditions and fields."""
        return typed_column(self.sql, self.native, self.type)


@dataclass(frozen=True)
class Relation:
    """Rows that SQL can read.

    Attributes:
        name: what it is called in messages.
        format: parquet, csv, json, query or table.
        table: quoted name of the table or view.
        rows: how many there are.
        top: names of the columns at the top level, for looking at whole rows.
        columns: usable columns by name or dotted path.
        groups: the files it was made of.
    """

    name: str
    format: str
    table: str
    rows: int
    top: tuple[str, ...]
    columns: dict[str, RawColumn]
    groups: tuple[FileGroup, ...] = ()

    @property
    def types(self) -> dict[str, FieldType]:
        return {c.name: c.type for c in self.columns.values()}


# --- making them --------------------------------------------------------------------------------------------


def relation_of(db: Database, located: Located) -> Relation:
    """A located source as a relation: Parquet and tables are read in place, anything else is read once and kept.

    Raises:
        SourceUnreadableError: a file breaks off or is not what it claims to be.
    """
    name = db.new_name("source")
    with db.reading(located.name):
        if located.tables:
            _from_tables(db, name, located.tables)
        else:
            _from_files(db, name, located)
        return replace(described(db, name, located.name, located.format), groups=located.groups)


def _from_tables(db: Database, name: str, tables: tuple[pa.Table, ...]) -> None:
    parts = []
    for i, table in enumerate(tables):
        db.register(f"{name}_{i}", table)
        parts.append(f"SELECT * FROM {quote_name(f'{name}_{i}')}")
    db.run(f"CREATE TEMP VIEW {quote_name(name)} AS {' UNION ALL BY NAME '.join(parts)}")


def _from_files(db: Database, name: str, located: Located) -> None:
    if all(g.format == "parquet" for g in located.groups):
        db.run(f"CREATE TEMP VIEW {quote_name(name)} AS {_scans(located.groups)}")
        return
    try:
        with db.reading(located.name):
            db.run(f"CREATE TABLE {quote_name(name)} AS {_scans(located.groups)}")
    except SourceUnreadableError:
        if not any(g.format == "csv" for g in located.groups):
            raise
        # rows that lack their last fields are common; reading them costs the parallel reader
        db.run(f"CREATE TABLE {quote_name(name)} AS {_scans(located.groups, short_rows=True)}")


def _scans(groups: tuple[FileGroup, ...], short_rows: bool = False) -> str:
    return " UNION ALL BY NAME ".join(f"SELECT * FROM {_scan(g, short_rows)}" for g in groups)


def _scan(group: FileGroup, short_rows: bool) -> str:
    options: dict[str, str] = {}
    if group.format == "json":
        # formats that match nothing: texts of times stay texts, since reading them as times loses their zone
        options |= {"sample_size": "-1", "maximum_depth": "-1", "map_inference_threshold": "-1"}
        options |= {"dateformat": "'x%Y'", "timestampformat": "'x%Y'"}
    if group.format == "csv":
        columns = ", ".join(f"{quote_text(c)}: 'VARCHAR'" for c in group.columns)
        options |= {"auto_detect": "false", "header": "true", "columns": f"{{{columns}}}", "nullstr": _list(NULL_TEXTS)}
        options |= {"delim": quote_text(group.delimiter), "quote": quote_text(group.quote)}
        options |= {"escape": quote_text(group.escape), "skip": str(group.skip)}
        options |= {"null_padding": "true", "parallel": "false"} if short_rows else {}
    else:
        options["union_by_name"] = "true"
    if group.format != "parquet":
        options["compression"] = quote_text(group.compression)
    files = _list(str(p) for p in group.paths)
    return f"read_{group.format}({files}, {', '.join(f'{k} = {v}' for k, v in options.items())})"


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(quote_text(t) for t in texts)}]"


def described(db: Database, name: str, place: str, shape: str) -> Relation:
    """A table or view with its columns; texts of a CSV are typed by what they hold."""
    table = quote_name(name)
    top = [(str(r[0]), str(r[1])) for r in db.rows(f"DESCRIBE {table}")]
    rows = int(db.rows(f"SELECT count(*) FROM {table}")[0][0])
    leaves = [leaf for column, native in top for leaf in _leaves(column, quote_name(column), native, 0)]
    held = _held_by_texts(db, table, rows, [leaf for leaf in leaves if leaf[2] == "VARCHAR"]) if "csv" in shape else {}
    columns: dict[str, RawColumn] = {}
    for column, sql, native in leaves:
        kind = held.get(column) or field_type(native)
        if kind and column not in columns:
            columns[column] = RawColumn(column, sql, native, kind)
    return Relation(place, shape, table, rows, tuple(c for c, _ in top), columns)


def _leaves(name: str, sql: str, native: str, depth: int) -> list[tuple[str, str, str]]:
    """(path, expression, type) of a column, or of each column in it."""
    if not native.startswith("STRUCT(") or not native.endswith(")") or depth > MAX_DEPTH:
        return [(name, sql, native)]
    return [
        leaf
        for child, kind in struct_members(native)
        for leaf in _leaves(f"{name}.{child}", f"struct_extract({sql}, {quote_text(child)})", kind, depth + 1)
    ]


def struct_members(native: str) -> list[tuple[str, str]]:
    """Names and types in ``STRUCT(a INTEGER, "b c" STRUCT(d VARCHAR))``."""
    members, depth, quoted, start = [], 0, False, 0
    body = native[len("STRUCT(") : -1]
    for i, sign in enumerate(body + ","):
        quoted ^= sign == '"'
        depth += 0 if quoted else (sign in "([") - (sign in ")]")
        if sign == "," and depth == 0 and not quoted:
            found = re.match(r'\s*("(?:[^"]|"")*"|\S+)\s+(.*)$', body[start:i], re.DOTALL)
            if found:
                name = found.group(1)
                members.append((name[1:-1].replace('""', '"') if name.startswith('"') else name, found.group(2)))
            start = i + 1
    return members


def files_without(db: Database, relation: Relation, column: str) -> list[str]:
    """Names of files, of those put together by name of column, that lack one."""
    top = next((t for t in relation.top if column == t or column.startswith(f"{t}.")), column)
    lacking = []
    for group in relation.groups:
        if group.format == "csv" and column not in group.columns:
            lacking += [p.name for p in group.paths]
        if group.format == "parquet" and len(relation.groups) + len(group.paths) > 2:
            named = f"bool_or(lower(name) = lower({quote_text(top)}))"
            files = f"parquet_schema({_list(str(p) for p in group.paths)})"
            rows = db.rows(f"SELECT file_name FROM {files} GROUP BY 1 HAVING NOT {named} ORDER BY 1")
            lacking += [Path(str(r[0])).name for r in rows]
    return lacking


# --- types --------------------------------------------------------------------------------------------------


def field_type(native: str) -> FieldType | None:
    """What a type of the engine holds; None for lists, maps and whatever is no single value."""
    if native.endswith("]"):
        return None
    if is_number(native):
        return "number"
    if native.startswith(("TIMESTAMP", "DATE")):
        return "time"
    if native == "BOOLEAN":
        return "boolean"
    return "text" if native.startswith(("VARCHAR", "ENUM", "UUID", "JSON", "BLOB", "TIME")) else None


def _held_by_texts(db: Database, table: str, rows: int, columns: list[tuple[str, str, str]]) -> dict[str, FieldType]:
    """What columns of texts hold, from evenly spread rows."""
    if not columns:
        return {}
    step = max(1, rows // TYPING_ROWS)
    asked = ", ".join(_typing_counts(sql) for _, sql, _ in columns)
    found = db.rows(f"SELECT {asked} FROM {table} WHERE rowid % {step} = 0")[0]
    held: dict[str, FieldType] = {}
    for i, (name, _, _) in enumerate(columns):
        given, numbers, booleans, times = found[4 * i : 4 * i + 4]
        kinds: tuple[tuple[int, FieldType], ...] = ((numbers, "number"), (booleans, "boolean"), (times, "time"))
        held[name] = next((kind for count, kind in kinds if given and count == given), "text")
    return held


def _typing_counts(sql: str) -> str:
    """Values there are, and how many of them are numbers (but not 007 or ids of 16 digits), booleans, times."""
    number = f"regexp_full_match({sql}, '{_NUMBER}') AND NOT regexp_full_match({sql}, '0\\d+|\\d{{16,}}')"
    boolean, time = f"lower({sql}) IN ('true', 'false')", f"regexp_full_match({sql}, '{_TIME}')"
    return ", ".join([f"count({sql})", *(f"count(*) FILTER ({test})" for test in (number, boolean, time))])


def typed_column(sql: str, native: str, kind: FieldType) -> Column:
    """A column's forms: text, number and time, each null where it has none."""
    no_number, no_time = "CAST(NULL AS DOUBLE)", "CAST(NULL AS TIMESTAMP)"
    if native == "BOOLEAN":
        return Column(kind, f"CAST({sql} AS VARCHAR)", f"CAST({sql} AS DOUBLE)", no_time)
    if kind == "number" and native != "VARCHAR":
        return Column(kind, _text_of_number(sql, native), _finite(f"CAST({sql} AS DOUBLE)"), no_time)
    if kind == "time" and native != "VARCHAR":
        return Column(kind, f"CAST({sql} AS VARCHAR)", no_number, f"CAST({sql} AS TIMESTAMP)")
    if native == "BLOB":
        return Column(kind, f"lower(hex({sql}))", no_number, no_time)
    plain = f"json_extract_string({sql}, '$')" if native == "JSON" else f"CAST({sql} AS VARCHAR)"
    text = f"nullif({plain if native != 'VARCHAR' else sql}, '')"
    return Column(kind, text, _finite(f"try_cast({text} AS DOUBLE)"), f"try_cast({text} AS TIMESTAMP)")


def _finite(number: str) -> str:
    """A number that is finite, or null; a negative zero becomes the other one."""
    return f"(CASE WHEN isfinite({number}) THEN CASE WHEN {number} = 0 THEN 0 ELSE {number} END END)"


def _text_of_number(sql: str, native: str) -> str:
    if is_whole(native):
        return f"CAST({sql} AS VARCHAR)"
    if native.startswith("DECIMAL"):
        whole = f"CAST(CAST({sql} AS HUGEINT) AS VARCHAR)"
        return f"(CASE WHEN {sql} = trunc({sql}) THEN {whole} ELSE CAST({sql} AS VARCHAR) END)"
    whole = f"CAST(try_cast({sql} AS BIGINT) AS VARCHAR)"
    small = f"{sql} = trunc({sql}) AND abs({sql}) < 9e15"
    return f"(CASE WHEN NOT isfinite({sql}) THEN NULL WHEN {small} THEN {whole} ELSE CAST({sql} AS VARCHAR) END)"


# --- looking at them ----------------------------------------------------------------------------------------


def sample_of(db: Database, relation: Relation) -> dict[str, list[Any]]:
    """Values of each column from the first rows, for guessing; texts and numbers as such."""
    names = list(relation.columns)
    if not names:
        return {}
    shown = ", ".join(_shown(relation.columns[n]) for n in names)
    with db.reading(relation.name):
        rows = db.rows(f"SELECT {shown} FROM {relation.table} LIMIT {SAMPLE_ROWS}")
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _shown(column: RawColumn) -> str:
    if column.type == "number" and column.native != "VARCHAR":
        return column.column.number
    return column.column.text
