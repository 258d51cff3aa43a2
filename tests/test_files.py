"""Files as users have them: found by path, glob and folder; read whatever their shape; refused in plain words."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oracle_events import load, look, shared_data, simple_rows
from propend.connectors import Origin, locate
from propend.connectors.files import find_files
from propend.errors import (
    ColumnNotFoundError,
    NoInputDataError,
    PropendError,
    SourceNotFoundError,
    SourceUnreadableError,
)

TEXT = "customer_id,ordered_at,kind,amount\nann,2024-01-01,buy,5\nbén,2024-01-02 10:30:00,visit,\n"
ROWS = [("ann", "2024-01-01 00:00:00", "buy", 5.0), ("bén", "2024-01-02 10:30:00", "visit", None)]


def _write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _read(folder: Path, name: str, content: str | bytes) -> list[tuple[Any, ...]]:
    _write(folder / name, content)
    return simple_rows(load({"events": name}, folder))


def _refusal(folder: Path, events: Any, expected: type[PropendError] = SourceUnreadableError) -> PropendError:
    with pytest.raises(PropendError) as caught:
        look({"events": events}, folder)
    assert type(caught.value) is expected, str(caught.value)
    assert caught.value.exit_status == 2
    assert caught.value.hint
    return caught.value


def _parquet(path: Path, rows: int = 3, **columns: Any) -> bytes:
    given = {"customer_id": [f"p{i}" for i in range(rows)], "at": ["2024-01-01"] * rows, "kind": ["buy"] * rows}
    pq.write_table(pa.table(given | columns), path)
    return path.read_bytes()


# --- text files of every shape ------------------------------------------------------------------------------

QUOTED = (
    '"customer_id","ordered_at","kind","amount"\n"ann","2024-01-01","buy","5"\n"bén","2024-01-02 10:30:00","visit",""\n'
)
SHAPES: dict[str, str | bytes] = {
    "comma.csv": TEXT,
    "semicolon.csv": TEXT.replace(",", ";"),
    "tab.tsv": TEXT.replace(",", "\t"),
    "tab.txt": TEXT.replace(",", "\t"),
    "bar.psv": TEXT.replace(",", "|"),
    "two_bars.csv": TEXT.replace(",", "||"),
    "quoted.csv": QUOTED,
    "single_quotes.csv": QUOTED.replace('"', "'"),
    "backslash.csv": TEXT.replace(",5\n", ',5\n"a\\"b",,,\n'),
    "blank_lines_first.csv": f"\n\r\n\n{TEXT}",
    "lines_of_spaces_first.csv": f" \n\t\n{TEXT}",
    "lines_that_end_in_two_ways.csv": TEXT.replace("amount\n", "amount\r\n"),
    "a_carriage_return_in_quotes.csv": TEXT + '"cem\r\n",2024-01-01,"x\r\ny",1\n',
    "blank_lines_between.csv": TEXT.replace("\nb", "\n\n\nb"),
    "no_line_end.csv": TEXT.rstrip("\n"),
    "carriage_returns.csv": TEXT.replace("\n", "\r\n"),
    "old_macintosh.csv": TEXT.replace("\n", "\r"),
    "spaces_in_header.csv": TEXT.replace("customer_id,ordered_at", " customer_id , ordered_at "),
    "unnamed_column.csv": TEXT.replace("amount", "amount,").replace(",5", ",5,x").replace("visit,", "visit,,"),
    "named_as_nothing": TEXT,
    "named_oddly.xyz": TEXT,
    "byte_order_mark.csv": TEXT.encode("utf-8-sig"),
    "utf16.csv": TEXT.encode("utf-16"),
    "utf16_little.csv": TEXT.encode("utf-16-le"),
    "utf16_big.csv": TEXT.encode("utf-16-be"),
    "windows.csv": TEXT.encode("cp1252"),
    "latin.csv": TEXT.encode("latin-1"),
    "gzip.csv.gz": gzip.compress(TEXT.encode()),
    "gzip_of_utf16.csv.gz": gzip.compress(TEXT.encode("utf-16")),
    "gzip_in_two_parts.csv.gz": gzip.compress(TEXT.encode()[:50]) + gzip.compress(TEXT.encode()[50:]),
    "gzip_without_saying_so.csv": gzip.compress(TEXT.encode()),
    "zstd.csv.zst": pa.compress(TEXT.encode(), codec="zstd", asbytes=True),
    "zstd_of_windows.csv.zst": pa.compress(TEXT.encode("cp1252"), codec="zstd", asbytes=True),
    "list.json": '[{"customer_id":"ann","at":"2024-01-01","kind":"buy","amount":5},'
    '{"customer_id":"bén","at":"2024-01-02T10:30:00","kind":"visit"}]',
    "lines.jsonl": '{"customer_id":"ann","at":"2024-01-01","kind":"buy","amount":5}\n'
    '{"customer_id":"bén","at":"2024-01-02T10:30:00","kind":"visit","amount":null}\n',
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_file_of_any_usual_shape_is_read(name: str, tmp_path: Path) -> None:
    rows = _read(tmp_path, name, SHAPES[name])
    assert [r for r in rows if r[0] in ("ann", "bén")] == ROWS


def test_a_multi_line_field_and_a_doubled_quote_are_one_value(tmp_path: Path) -> None:
    text = 'customer_id,at,kind\nann,2024-01-01,"a ""big""\npurchase, indeed"\n'
    assert _read(tmp_path, "a.csv", text) == [("ann", "2024-01-01 00:00:00", 'a "big"\npurchase, indeed', None)]


def test_bytes_that_windows_leaves_undefined_are_latin(tmp_path: Path) -> None:
    text = b"customer_id,at,kind\nann\x81,2024-01-01,buy\n"
    assert _read(tmp_path, "a.csv", text) == [("ann\x81", "2024-01-01 00:00:00", "buy", None)]


@pytest.mark.parametrize(
    ("content", "said"),
    [(TEXT.encode(), "csv"), (TEXT.encode("cp1252"), "csv (cp1252)"), (TEXT.encode("utf-16"), "csv (utf-16)")],
)
def test_an_encoding_that_was_guessed_is_said(content: bytes, said: str, tmp_path: Path) -> None:
    _write(tmp_path / "a.csv", content)
    assert look({"events": "a.csv"}, tmp_path).sources[0].format == said


# --- what cannot be read is refused in plain words --------------------------------------------------------------

BROKEN: dict[str, tuple[str | bytes, str]] = {
    "empty.csv": (b"", "'empty.csv' is empty."),
    "empty.parquet": (b"", "'empty.parquet' is empty."),
    "blank.csv": ("\n \n\t\n", "'blank.csv' holds no text."),
    "cut.csv.gz": (gzip.compress((TEXT * 500).encode())[:-20], "'cut.csv.gz' cannot be decompressed"),
    "cut.csv.zst": (pa.compress((TEXT * 500).encode(), codec="zstd", asbytes=True)[:-20], "cannot be decompressed"),
    "text.parquet": (TEXT, "'text.parquet' is named as Parquet and is not: it begins with b'customer_id,'."),
    "book.xlsx": (b"PK\x03\x04....", "'book.xlsx' is a ZIP archive or an Excel workbook, which is not read."),
    "zipped.csv": (b"PK\x03\x04....", "'zipped.csv' is a ZIP archive or an Excel workbook, which is not read."),
    "base.csv": (b"SQLite format 3\x00", "'base.csv' is a SQLite database."),
    "twice.csv": ("id,at,kind,at\n", "'twice.csv' names the column 'at' twice in its header."),
    "case.csv": ("id,at,kind,At\n", "'case.csv' names both 'at' and 'At' in its header."),
    "words.json": ("hello world\n", "'words.json' cannot be read: Malformed JSON"),
    "cut.jsonl": ('{"customer_id":"ann","at":"2024-01-01"}\n{"customer_id":"b', "'cut.jsonl' cannot be read"),
    "long_row.csv": (
        TEXT + "cem,2024-01-03,buy,5,6,7\n",
        "1 row of 'long_row.csv' cannot be read. The first, row 4 ('cem,2024-01-03,buy,5,6,7'), has more fields than "
        "the header.",
    ),
    "long_rows.csv": (
        TEXT + "cem,2024-01-03\n" + "cem,2024-01-03,buy,5,6\n" * 3,
        "3 rows of 'long_rows.csv' cannot be read. The first, row 5 ('cem,2024-01-03,buy,5,6'), has more fields",
    ),
    "open_quote.csv": (
        TEXT + 'cem,2024-01-03,"buy,5\ndot,2024-01-04,buy,6\n',
        "1 row of 'open_quote.csv' cannot be read. The first, row 4 ('cem,2024-01-03,\"buy,5'), has a quote that is "
        "not closed, or that something follows.",
    ),
    "open_quote_after_a_short_row.csv": (
        TEXT + 'cem,2024-01-03\ndot,2024-01-03,"buy,5\neve,2024-01-04,buy,6\n',
        "row 5 ('dot,2024-01-03,\"buy,5'), has a quote that is not closed",
    ),
    "returns_among_line_ends.csv": (TEXT.replace("5\n", "5\r"), "cannot be read: lines end in several ways"),
    "text_after_a_quote.csv": (
        TEXT + 'cem,2024-01-03,"buy" it,5\n',
        "row 4 ('cem,2024-01-03,\"buy\" it,5'), has a quote",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    content, message = BROKEN[name]
    _write(tmp_path / name, content)
    assert message in _refusal(tmp_path, name).message


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda whole: whole[:-30], r"begins as Parquet and breaks off after [\d,]+ bytes"),
        (lambda whole: whole[:4] + b"\xff" * 60 + whole[64:], "cannot be read"),
        (lambda whole: whole[:200] + whole[-4:], "cannot be read"),
    ],
)
def test_a_damaged_parquet_file_is_refused(broken: Callable[[bytes], bytes], message: str, tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", broken(_parquet(tmp_path / "whole", rows=500)))
    with pytest.raises(SourceUnreadableError, match=message):
        load({"events": "a.parquet"}, tmp_path)


def test_a_real_file_whose_header_names_columns_twice() -> None:
    folder = shared_data("luma_xdm/bad_header.csv") / "luma_xdm"
    assert (
        _refusal(folder, "bad_header.csv").message
        == "'bad_header.csv' names the column 'timestamp' twice in its header."
    )


def test_a_file_without_a_line_of_names(tmp_path: Path) -> None:
    _write(tmp_path / "a.csv", TEXT.split("\n", 1)[1])
    refusal = _refusal(tmp_path, "a.csv", ColumnNotFoundError)
    assert "the first line of the file seems to hold values: put the columns' names above it" in refusal.hint


def test_a_header_without_rows(tmp_path: Path) -> None:
    _write(tmp_path / "a.csv", "customer_id,ordered_at,kind,amount\n")
    with pytest.raises(NoInputDataError, match="No events are left of 0 rows read"):
        load({"events": "a.csv"}, tmp_path)


# --- rows that are too short are read, and counted ----------------------------------------------------------------


def test_rows_that_lack_their_last_fields_are_read_and_counted(tmp_path: Path) -> None:
    _write(tmp_path / "a.csv", TEXT + "cem,2024-01-03\n" + 'dot,2024-01-04,"call\nback"\n')
    log = load({"events": "a.csv"}, tmp_path)
    short = [("cem", "2024-01-03 00:00:00", "(none)", None), ("dot", "2024-01-04 00:00:00", "call\nback", None)]
    assert (simple_rows(log), log.facts.short_rows) == ([ROWS[0], ROWS[1], *short], 2)


def test_rows_of_full_length_are_not_counted_as_short(tmp_path: Path) -> None:
    _write(tmp_path / "a.csv", TEXT)
    assert load({"events": "a.csv"}, tmp_path).facts.short_rows == 0


# --- finding files ----------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("2023/b.csv", "2024/a.csv", "2024/c.CSV.GZ", "2024/.hidden.csv", "2024/_SUCCESS", "2024/notes.md",
                 ".trash/d.csv", "_temporary/e.csv", "top.csv"):  # fmt: skip
        _write(tmp_path / name, gzip.compress(TEXT.encode()) if name.endswith("GZ") else TEXT)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("top.csv", ["top.csv"]),
        ("2024", ["2024/a.csv", "2024/c.CSV.GZ"]),
        (".", ["2023/b.csv", "2024/a.csv", "2024/c.CSV.GZ", "top.csv"]),
        ("*/*.csv", ["2023/b.csv", "2024/a.csv", "_temporary/e.csv"]),
        ("**/*.csv", ["2023/b.csv", "2024/a.csv", "_temporary/e.csv", "top.csv"]),
        ("202[34]/?.csv", ["2023/b.csv", "2024/a.csv"]),
        ("./2024/../2023/b.csv", ["2023/b.csv"]),
        (".trash/d.csv", [".trash/d.csv"]),
    ],
)
def test_paths_globs_and_folders(path: str, found: list[str], tree: Path) -> None:
    assert [str(p.relative_to(tree)) for p in find_files(path, tree)] == found


def test_a_file_named_twice_in_one_source_is_read_once(tree: Path) -> None:
    origin = Origin(("top.csv", "*.csv", "2024/a.csv"), tree, {}, tree)
    assert [p.name for g in locate(origin).groups for p in g.paths] == ["top.csv", "a.csv"]


def test_files_of_several_shapes_are_one_source(tmp_path: Path) -> None:
    _write(tmp_path / "a.csv", TEXT)
    _write(tmp_path / "b.csv", TEXT.replace(",", ";").replace("ann", "cem").encode("cp1252"))
    _write(tmp_path / "c.jsonl", '{"customer_id": "dot", "ordered_at": "2024-02-01", "kind": "call"}')
    _parquet(tmp_path / "d.parquet", rows=1, ordered_at=["2024-02-01"])
    log = load({"events": {"path": ["*.csv", "*.jsonl", "*.parquet"]}}, tmp_path)
    assert [r[0] for r in simple_rows(log)] == ["ann", "bén", "bén", "cem", "dot", "p0"]
    assert log.facts.sources[0].format == "csv and csv (cp1252) and json and parquet"


MISSING = {
    "ordrs.csv": ("'ordrs.csv' is not there.", "did you mean 'orders.csv'?"),
    "oders.cvs": ("'oders.cvs' is not there.", "did you mean 'orders.csv'?"),
    "data/x.csv": ("'data/x.csv' is not there.", "in '{here}' are: orders.csv."),
    "table:shop.events": (
        "'table:shop.events' is not there.",
        "tables of Spark, and addresses, are read with --engine spark.",
    ),
    "*.feather": ("'*.feather' matches no file.", "in '{here}' are: orders.csv."),
    "nothing_alike": ("'nothing_alike' is not there.", "in '{here}' are: orders.csv."),
    "~nobody_has_this_name/x.csv": ("'~nobody_has_this_name/x.csv' is not there.", "in '{here}' are: orders.csv."),
    "a\x00b.csv": ("'a\\x00b.csv' is not there.", "in '{here}' are: orders.csv."),
    "x" * 5000: ("'" + "x" * 299 + " is not there.", "in '{here}' are: orders.csv."),
}


@pytest.mark.parametrize("path", MISSING, ids=lambda p: repr(p[:30]))
def test_what_is_not_there_is_told_with_the_nearest_name(path: str, tmp_path: Path) -> None:
    _write(tmp_path / "orders.csv", TEXT)
    refusal = _refusal(tmp_path, path, SourceNotFoundError)
    message, hint = MISSING[path]
    assert (refusal.message, refusal.hint) == (message, hint.format(here=tmp_path.name))


def test_a_folder_without_data(tmp_path: Path) -> None:
    _write(tmp_path / "data/notes.md", "nothing")
    assert _refusal(tmp_path, "data", SourceNotFoundError).message == "The folder 'data' holds no data files."


def test_an_address_that_nobody_reads(tmp_path: Path) -> None:
    refusal = _refusal(tmp_path, "hdfs://bucket/x.parquet", SourceNotFoundError)
    names = "databases, tables, lakes, addresses, files"
    assert refusal.message == f"No connector reads 'hdfs://bucket/x.parquet'; there are: {names}."
