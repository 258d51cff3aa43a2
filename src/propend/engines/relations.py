"""Relations: what a connector located, readable by SQL, with typed columns, nested ones by their path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from propend.connectors.files import one_spelling
from propend.connectors.hive import NOTHING, is_partition
from propend.connectors.origins import FileGroup, Located
from propend.engines.database import Database
from propend.engines.times import is_number, is_whole
from propend.errors import SourceUnreadableError
from propend.events import MirrorFacts
from propend.predicates import Column, FieldType, quote_name, quote_text

SAMPLE_ROWS = 2_000
"""Looked at to guess columns."""
TYPING_ROWS = 100_000
"""Looked at to type the columns of a CSV."""
COLUMNS_AT_ONCE = 50
"""Looked at in one statement."""
ColumnT = TypeVar("ColumnT")
MAX_DEPTH = 8
ITEM = "propend_item"
"""What an element of a list is called in expressions."""
MAX_SHORT_FIELDS = 5_000_000
"""Fields missing at the ends of a CSV's rows that are looked at one by one; a file with more is refused."""
NO_TYPE = '"NULL"'
"""What the engine calls the type of a column without any value."""
NULL_TEXTS = ("", "NULL", "null", "\\N")
NUMBER_FILLERS = ("n/a", "#n/a", "na", "nan", "none", "nil", "-", "--", "?", ".", "unknown", "missing", "undefined")
"""Texts that stand for a missing number in a column of numbers; so does the column's own name, a header repeated."""
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_MONEY_SIGNS = r"[€$£¥\s\x{00A0}\x{202F}']"
_WRITTEN_NUMBERS = (
    (r"[+-]?\d+(\.\d+)?", r"[€$£¥]", ""),
    (r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?", r",(\d{1,2}|\d{4,})$", "."),
    (r"[+-]?\d{1,3}(,\d{3})*(\.\d+)?|[+-]?\d+(\.\d+)?", r",\d{3}(,\d{3}|\.\d)", ","),
)
"""Ways of writing numbers: what all of a column look like without signs of money, what one at least shows so that
the way is certain, and what parts thousands. A column of nothing but 1,234 could be either, and stays a text."""
_TIME = r"\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}.*)?|\d{1,2}[/.]\d{1,2}[/.](\d{4}|\d{2})( \d{1,2}:\d{2}.*)?"


@dataclass(frozen=True)
class RawColumn:
    """A column as it is in the data.

    Attributes:
        name: its name, or dotted path.
        sql: expression of it over its relation.
        native: its type in the engine.
        type: what it holds.
        empty: whether no row has it, so that its type says nothing.
        many: where a row has several, expression of all of them as a list; ``sql`` is the first.
    """

    name: str
    sql: str
    native: str
    type: FieldType
    empty: bool = False
    many: str = ""

    @cached_property
    def column(self) -> Column:
        """Its forms for conditions and fields."""
        forms = typed_column(self.sql, self.native, self.type)
        if not self.many:
            return forms
        text = typed_column(ITEM, self.native, self.type).text
        return replace(forms, items=f"[{text} for {ITEM} in {self.many}]")

    @property
    def id_text(self) -> str:
        """As a text that names a profile: 17850.0, as whole numbers are exported where some are missing, is 17850."""
        text = self.column.text
        if self.type != "number" or self.native != "VARCHAR":
            return text
        return f"(CASE WHEN suffix({text}, '.0') THEN left({text}, -2) ELSE {text} END)"


@dataclass(frozen=True)
class Recognised:
    """What is known of a relation that has XDM's shape (``engines.xdm``).

    Attributes:
        shape: what its rows are (``connectors.xdm.Shape``).
        roles: column of each role, without being named.
        reasons: why each was taken for that.
        namespace: of the identity that profiles are told apart by; empty where there is none.
        candidates: identities there are, as ``NAMESPACE (path)``, with the share of rows that have each.
        kinds: kinds that its fields can show, with what each is recognised by.
        currency: expression of the currency of the value; empty where no field says it.
    """

    shape: str
    roles: dict[str, str]
    reasons: dict[str, str]
    namespace: str = ""
    candidates: tuple[tuple[str, float], ...] = ()
    kinds: dict[str, str] = field(default_factory=dict)
    currency: str = ""


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
        short_rows: rows of CSV files that lack their last fields; these were read as empty.
        left_out: files that were not opened, since their partitions lie before what is read.
        xdm: what is known of it where it has XDM's shape.
        mirror: how its rows came, where they are kept from run to run.
    """

    name: str
    format: str
    table: str
    rows: int
    top: tuple[str, ...]
    columns: dict[str, RawColumn]
    groups: tuple[FileGroup, ...] = ()
    short_rows: int = 0
    left_out: int = 0
    xdm: Recognised | None = None
    mirror: MirrorFacts | None = None

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
        tables, streamed = _tables(db, name, located.tables)
        located = replace(located, groups=(*located.groups, *streamed))
        short = _from_both(db, name, tables, located) if tables else _from_files(db, name, located)
        found = described(db, name, located.name, located.format)
    groups = () if tables else located.groups
    return replace(found, groups=groups, short_rows=short, left_out=located.left_out)


def _tables(db: Database, name: str, tables: Sequence[Any]) -> tuple[list[str], list[FileGroup]]:
    """Names of the tables and data sets; streams, which can be read once, become files."""
    names: list[str] = []
    files: list[FileGroup] = []
    for i, table in enumerate(tables):
        part = f"{name}_{i}"
        db.register(part, table)
        if not isinstance(table, pa.RecordBatchReader):
            names.append(part)
            continue
        file = db.scratch / f"{part}.parquet"
        db.run(f"COPY (SELECT * FROM {quote_name(part)}) TO {quote_text(str(file))} (FORMAT parquet)")
        db.release(part)
        files.append(FileGroup("parquet", (file,)))
    return names, files


def _from_both(db: Database, name: str, tables: Sequence[str], located: Located) -> int:
    """Tables, and files beside them; gives the number of rows of CSV files that lack their last fields."""
    parts, short = list(tables), 0
    if located.groups:
        parts.append(f"{name}_files")
        short = _from_files(db, parts[-1], located)
    whole = " UNION ALL BY NAME ".join(f"SELECT * FROM {quote_name(part)}" for part in parts)
    db.run(f"CREATE TEMP VIEW {quote_name(name)} AS {whole}")
    return short


def _from_files(db: Database, name: str, located: Located) -> int:
    """Gives the number of rows of CSV files that lack their last fields."""
    if all(g.format == "parquet" for g in located.groups):
        db.run(f"CREATE TEMP VIEW {quote_name(name)} AS {_scans(located.groups)}")
        return 0
    try:
        with db.reading(located.name):
            db.run(f"CREATE TABLE {quote_name(name)} AS {_scans(located.groups)}")
    except SourceUnreadableError as error:
        if _TWO_SPELLINGS in error.message:
            spelt = tuple(one_spelling(g, db.scratch) if g.format == "json" else g for g in located.groups)
            with db.reading(located.name):
                db.run(f"CREATE TABLE {quote_name(name)} AS {_scans(spelt)}")
            return 0
        short = sum(_short_rows(db, g) for g in located.groups if g.format == "csv")
        if not short:
            raise
        # reading such rows costs the parallel reader
        padded = {"null_padding": "true", "parallel": "false"}
        db.run(f"CREATE TABLE {quote_name(name)} AS {_scans(located.groups, padded)}")
        return short
    return 0


_TWO_SPELLINGS = "Duplicate name"
"""What the engine says of JSON whose keys differ in case only, as XDM's own examples have them."""


def _short_rows(db: Database, group: FileGroup) -> int:
    """Rows of CSV files that lack their last fields; these are common, and read as empty.

    Raises:
        SourceUnreadableError: other rows are broken otherwise: too many fields, a quote that is never closed.
    """
    rejects, scans = db.new_name("rejects"), db.new_name("rejects")
    options = {"ignore_errors": "true", "store_rejects": "true", "rejects_limit": str(MAX_SHORT_FIELDS)}
    options |= {"rejects_table": quote_text(rejects), "rejects_scan": quote_text(scans)}
    db.rows(f"SELECT count(COLUMNS(*)) FROM {_scan(group, options)}")
    faults = db.rows(f"""
        SELECT CAST(error_type AS VARCHAR), file_path, count(DISTINCT line), count(*), min(line),
               arg_min(error_message, line), arg_min(csv_line, line)
        FROM {quote_name(rejects)} JOIN {quote_name(scans)} USING (scan_id, file_id) GROUP BY 1, 2 ORDER BY 5, 2""")
    short = [f for f in faults if f[0] == "MISSING COLUMNS"]
    broken = [f for f in faults if f not in short or f[3] >= MAX_SHORT_FIELDS]
    if broken:
        kind, path, count, _, row, problem, text = broken[0]
        rows = "1 row" if count == 1 else f"{count:,} rows"
        what = _FAULTS.get(kind, f"cannot be taken apart: {str(problem).rstrip('.')}")
        begin = (str(text).strip().splitlines() or [""])[0][:60]
        raise SourceUnreadableError(
            f"{rows} of {Path(path).name!r} cannot be read. The first, row {row:,} ({begin!r}), {what}.",
            "mend these rows; a field that holds the delimiter or a line break must stand in quotes.",
            path=str(path), rows=int(count), row=int(row),
        )  # fmt: skip
    return sum(int(f[2]) for f in short)


_FAULTS = {
    "MISSING COLUMNS": "has fewer fields than the header",
    "TOO MANY COLUMNS": "has more fields than the header",
    "UNQUOTED VALUE": "has a quote that is not closed, or that something follows",
}


def _scans(groups: tuple[FileGroup, ...], of_csv: Mapping[str, str] | None = None) -> str:
    return " UNION ALL BY NAME ".join(f"SELECT {all_of(g)} FROM {_scan(g, of_csv or {})}" for g in groups)


def _scan(group: FileGroup, of_csv: Mapping[str, str]) -> str:
    """A group's rows; ``of_csv`` are further options of CSV files."""
    options: dict[str, str] = {}
    if group.format == "json":
        # formats that match nothing: texts of times stay texts, since reading them as times loses their zone
        options |= {"sample_size": "-1", "maximum_depth": "-1", "map_inference_threshold": "-1"}
        options |= {"dateformat": "'x%Y'", "timestampformat": "'x%Y'"}
    if group.format == "csv":
        columns = ", ".join(f"{quote_text(c)}: 'VARCHAR'" for c in group.columns)
        nulls = [t for t in NULL_TEXTS if group.escape not in t]  # the engine takes no escape in them
        options |= {"auto_detect": "false", "header": "true", "columns": f"{{{columns}}}", "nullstr": _list(nulls)}
        options |= {"delim": quote_text(group.delimiter), "quote": quote_text(group.quote)}
        options |= {"escape": quote_text(group.escape)}
        options |= of_csv
    else:
        options["union_by_name"] = "true"
    options |= hive_options(group)
    if group.format != "parquet":
        plain = group.compression == "none"  # the reader of JSON knew it by another name in earlier versions
        options["compression"] = quote_text("uncompressed" if plain else group.compression)
    files = _list(str(p) for p in group.paths)
    return f"read_{group.format}({files}, {', '.join(f'{k} = {v}' for k, v in options.items())})"


def hive_options(group: FileGroup) -> dict[str, str]:
    """Whether names of folders are columns, and of which types the engine reads them."""
    if not group.partitions:
        return {"hive_partitioning": "false"}
    kinds = dict.fromkeys(dict(group.partitions), "VARCHAR") if _lacks_values(group) else dict(group.partitions)
    types = ", ".join(f"{quote_text(column)}: {kind}" for column, kind in kinds.items())
    return {"hive_partitioning": "true", "hive_types": f"{{{types}}}"}


def all_of(group: FileGroup, *but: str) -> str:
    """What selects the columns of a group's files and folders, without some.

    The engine also takes folders above the one that is read for columns; and earlier versions read no type but text
    where a folder says that there is no value.
    """
    if not group.partitions:
        return f"* EXCLUDE ({', '.join(but)})" if but else "*"
    above = dict.fromkeys(name.split("=", 1)[0] for name in group.paths[0].parent.parts if is_partition(name))
    others = [*but, *(quote_name(name) for name in above if name not in dict(group.partitions))]
    given = [(quote_name(n), f"nullif({quote_name(n)}, {quote_text(NOTHING)})", kind) for n, kind in group.partitions]
    typed = ", ".join(f"CAST({value} AS {kind}) AS {name}" for name, value, kind in given)
    left = f" EXCLUDE ({', '.join(others)})" if others else ""
    return f"*{left} REPLACE ({typed})" if _lacks_values(group) else f"*{left}"


def _lacks_values(group: FileGroup) -> bool:
    return any(name.endswith(f"={NOTHING}") for path in group.paths for name in path.parts)


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(quote_text(t) for t in texts)}]"


def described(db: Database, name: str, place: str, shape: str) -> Relation:
    """A table or view with its columns; texts of a CSV are typed by what they hold."""
    table = quote_name(name)
    top = [(str(r[0]), str(r[1])) for r in db.rows(f"DESCRIBE {table}")]
    rows = int(db.rows(f"SELECT count(*) FROM {table}")[0][0])
    leaves = [leaf for column, native in top for leaf in _leaves(column, quote_name(column), native, 0)]
    held = _held_by_texts(db, table, rows, [leaf for leaf in leaves if leaf[2] == "VARCHAR"]) if "csv" in shape else {}
    decoded = _decoded(db, table, [leaf for leaf in leaves if leaf[2] == "BLOB"])
    unread = [leaf for leaf in leaves if held.get(leaf[0], ("", False)) == ("text", False)]
    numbers = _written_numbers(db, table, rows, unread)
    columns: dict[str, RawColumn] = {}
    for column, sql, native in (numbers.get(leaf[0], decoded.get(leaf[0], leaf)) for leaf in leaves):
        kind, empty = held.get(column, (field_type(native), native == NO_TYPE))
        kind = "number" if column in numbers else kind
        if kind and column not in columns:
            columns[column] = RawColumn(column, sql, native, kind, empty)
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
        if top in dict(group.partitions):
            continue
        if group.format == "csv" and column.lower() not in (name.lower() for name in group.columns):
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
    known = native.startswith(("VARCHAR", "ENUM", "UUID", "JSON", "BLOB", "TIME")) or native == NO_TYPE
    return "text" if known else None


def _decoded(db: Database, table: str, columns: list[tuple[str, str, str]]) -> dict[str, tuple[str, str, str]]:
    """Columns of bytes that are all UTF-8: texts of writers that do not mark them as such."""

    def asked(column: tuple[str, str, str]) -> list[str]:
        return [f"bool_and({column[1]} IS NULL OR try(decode({column[1]})) IS NOT NULL)"]

    found = by_column(db, table, columns, asked)
    return {name: (name, f"decode({sql})", "VARCHAR") for (name, sql, _), (texts,) in found if texts}


def by_column(
    db: Database, rows: str, columns: Sequence[ColumnT], asked: Callable[[ColumnT], list[str]]
) -> Iterator[tuple[ColumnT, tuple[Any, ...]]]:
    """Each column and the aggregates that are asked of it, over ``rows``: what stands after FROM.

    A few columns in a statement: engines take time and memory for each expression of one, and tables may have
    thousands of columns (1,500 in one statement of regular expressions: 20 GB).
    """
    for first in range(0, len(columns), COLUMNS_AT_ONCE):
        some = columns[first : first + COLUMNS_AT_ONCE]
        questions = [asked(column) for column in some]
        statement = ", ".join(question for of_one in questions for question in of_one)
        answers = iter(db.rows(f"SELECT {statement} FROM {rows}")[0])
        for column, of_one in zip(some, questions, strict=True):
            yield column, tuple(islice(answers, len(of_one)))


def _typing_rows(table: str, rows: int) -> str:
    """Evenly spread rows of a table that was read from a file."""
    return f"{table} WHERE rowid % {max(1, rows // TYPING_ROWS)} = 0"


def _held_by_texts(
    db: Database, table: str, rows: int, columns: list[tuple[str, str, str]]
) -> dict[str, tuple[FieldType, bool]]:
    """What columns of texts hold, and whether they are empty, from evenly spread rows."""
    held: dict[str, tuple[FieldType, bool]] = {}
    for (name, _, _), counts in by_column(db, _typing_rows(table, rows), columns, _typing_counts):
        given, numbers, booleans, times, fillers = counts
        numbers += fillers if numbers else 0
        kinds: tuple[tuple[int, FieldType], ...] = ((numbers, "number"), (booleans, "boolean"), (times, "time"))
        held[name] = next((kind for count, kind in kinds if given and count == given), "text"), not given
    return held


def _typing_counts(column: tuple[str, str, str]) -> list[str]:
    """Values there are; how many are numbers (not 007, not ids of 16 digits), booleans, times, or stand for nothing."""
    name, sql, _ = column
    bare = f"trim({sql})"
    number = f"regexp_full_match({bare}, '{_NUMBER}') AND NOT regexp_full_match({bare}, '0\\d+|\\d{{16,}}')"
    boolean, time = f"lower({sql}) IN ('true', 'false')", f"regexp_full_match({sql}, '{_TIME}')"
    filler = f"lower(trim({sql})) IN ({', '.join(map(quote_text, (*NUMBER_FILLERS, name.lower())))})"
    return [f"count({sql})", *(f"count(*) FILTER ({test})" for test in (number, boolean, time, filler))]


def _written_numbers(
    db: Database, table: str, rows: int, columns: list[tuple[str, str, str]]
) -> dict[str, tuple[str, str, str]]:
    """Columns of texts that are numbers as people write them (12,50 or € 1.234,00 or $1,234.00), made plain."""
    found: dict[str, tuple[str, str, str]] = {}
    for (name, sql, native), answers in by_column(db, _typing_rows(table, rows), columns, _written_counts):
        given, *counts = answers
        for (alike, certain), (_, _, thousands) in zip(
            zip(counts[::2], counts[1::2], strict=True), _WRITTEN_NUMBERS, strict=True
        ):
            if given and alike == given and certain:
                found[name] = (name, _plain_number(sql, thousands), native)
    return found


def _written_counts(column: tuple[str, str, str]) -> list[str]:
    """Values there are, and for each way of writing how many look like it and how many show it for certain."""
    name, sql, _ = column
    bare = _bare(sql)
    filler = f"lower(trim({sql})) IN ({', '.join(map(quote_text, (*NUMBER_FILLERS, name.lower())))})"
    counts = [f"count({sql}) - count(*) FILTER ({filler})"]
    for shape, sign, _ in _WRITTEN_NUMBERS:
        counts.append(f"count(*) FILTER (regexp_full_match({bare}, '{shape}'))")
        counts.append(f"count(*) FILTER (regexp_matches({sql}, '{sign}'))")
    return counts


def _bare(sql: str) -> str:
    return f"regexp_replace({sql}, {quote_text(_MONEY_SIGNS)}, '', 'g')"


def _plain_number(sql: str, thousands: str) -> str:
    bare = _bare(sql)
    without = f"replace({bare}, {quote_text(thousands)}, '')" if thousands else bare
    return f"replace({without}, ',', '.')"


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
