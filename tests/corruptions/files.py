"""Files are not what they should be, or differ from each other."""

from __future__ import annotations

import gzip
import json
from datetime import UTC
from pathlib import Path

from corruptions.register import (
    COLUMNS,
    Rows,
    as_bytes,
    as_csv,
    as_parquet,
    as_two,
    breaks,
    changed,
    halves,
    lines_of,
    text_of,
)

# --- bytes and shapes of files ------------------------------------------------------------------------------------


@breaks("files", "Latin-1", "same")
def _(rows: Rows, folder: Path) -> Path:
    """the file is in Latin-1, with umlauts in a column"""
    text = lines_of([r | {"note": "Grüße"} for r in rows])
    return as_bytes(text.encode("latin-1"), folder)


@breaks("files", "Latin-1 in UTF-8", "same")
def _(rows: Rows, folder: Path) -> Path:
    """two lines of a file in UTF-8 are in Latin-1"""
    lines = [line.encode() for line in lines_of([r | {"note": "Grüße"} for r in rows]).splitlines(keepends=True)]
    for place in (700, 900):
        lines[place] = lines[place].decode().encode("latin-1")
    return as_bytes(b"".join(lines), folder)


@breaks("files", "a mark of byte order", "same")
def _(rows: Rows, folder: Path) -> Path:
    """the file begins with the mark of UTF-8"""
    return as_bytes(b"\xef\xbb\xbf" + lines_of(rows).encode(), folder)


@breaks("files", "UTF-16", "same")
def _(rows: Rows, folder: Path) -> Path:
    """the file is in UTF-16, as a spreadsheet saves text"""
    return as_bytes(lines_of(rows, "\t").encode("utf-16"), folder, "orders.txt")


@breaks("files", "NUL signs", "same")
def _(rows: Rows, folder: Path) -> Path:
    """a column of notes has NUL signs"""
    return as_csv([r | {"note": "a\x00b"} for r in rows], folder)


@breaks("files", "mixed line ends", "same")
def _(rows: Rows, folder: Path) -> Path:
    """every third line ends as on another system"""
    lines = lines_of(rows).splitlines()
    return as_bytes("".join(f"{t}\r\n" if i % 3 else f"{t}\n" for i, t in enumerate(lines)).encode(), folder)


@breaks("files", "an open quote", "refused", "PROPEND-201")
def _(rows: Rows, folder: Path) -> Path:
    """a field in the middle begins with a quote that is never closed"""
    lines = lines_of(rows).splitlines(keepends=True)
    lines[1000] = lines[1000].replace(",purchase", ',"purchase').replace(",cancel", ',"cancel')
    return as_bytes("".join(lines).encode(), folder)


@breaks("files", "fields too many", "refused", "PROPEND-201")
def _(rows: Rows, folder: Path) -> Path:
    """ten rows have a comma too many, out of quotes"""
    lines = lines_of(rows).splitlines()
    return as_bytes("\n".join(f"{t},x" if i % 1000 == 500 else t for i, t in enumerate(lines)).encode(), folder)


@breaks("files", "fields too few", "warned", "PROPEND-312")
def _(rows: Rows, folder: Path) -> Path:
    """every fiftieth row ends before its category"""
    lines = lines_of(rows).splitlines()
    return as_bytes("\n".join(t[: t.rfind(",")] if i % 50 == 49 else t for i, t in enumerate(lines)).encode(), folder)


@breaks("files", "line breaks in quotes", "same")
def _(rows: Rows, folder: Path) -> Path:
    """a column of notes has line breaks, commas and quotes, in quotes"""
    return as_csv([r | {"note": 'left at\n"the door", 3rd floor'} for r in rows], folder)


@breaks("files", "another delimiter half-way", "refused", "PROPEND-407")
def _(rows: Rows, folder: Path) -> Path:
    """from half-way on fields are parted by semicolons"""
    before, after = halves(rows)
    return as_bytes((lines_of(before) + lines_of(after, ";", header=False)).encode(), folder)


@breaks("files", "two files, two delimiters", "same")
def _(rows: Rows, folder: Path) -> Path:
    """the later of two files is parted by semicolons"""
    before, after = halves(rows)
    as_csv(before, folder, "orders_1.csv")
    as_csv(after, folder, "orders_2.csv", ";")
    return folder


@breaks("files", "no header", "refused", "PROPEND-202")
def _(rows: Rows, folder: Path) -> Path:
    """the file begins with its first order"""
    return as_bytes(lines_of(rows, header=False).encode(), folder)


@breaks("files", "headers repeated", "set aside", "unparsable_time")
def _(rows: Rows, folder: Path) -> Path:
    """twelve exports put together, each with its header"""
    size = len(rows) // 12 + 1
    return as_bytes("".join(lines_of(rows[i : i + size]) for i in range(0, len(rows), size)).encode(), folder)


@breaks("files", "a line of the total", "set aside", "no_profile")
def _(rows: Rows, folder: Path) -> Path:
    """the last line is the sum of all amounts"""
    return as_bytes((lines_of(rows) + f"Total,,,,{sum(r['amount'] for r in rows):.2f},\n").encode(), folder)


@breaks("files", "a line above the header", "refused", "PROPEND-201")
def _(rows: Rows, folder: Path) -> Path:
    """the first line says what the export is"""
    return as_bytes(("Orders, exported 1 September\n" + lines_of(rows)).encode(), folder)


@breaks("files", "blank lines above the header", "same")
def _(rows: Rows, folder: Path) -> Path:
    """three blank lines stand above the header"""
    return as_bytes(("\n\n\n" + lines_of(rows)).encode(), folder)


@breaks("files", "a column twice", "refused", "PROPEND-201")
def _(rows: Rows, folder: Path) -> Path:
    """the header names the amount twice"""
    return as_bytes(lines_of(rows).replace("category", "amount", 1).encode(), folder)


@breaks("files", "the last line cut", "warned", "PROPEND-312")
def _(rows: Rows, folder: Path) -> Path:
    """the file breaks off in the middle of a line"""
    text = lines_of(rows).rstrip()
    return as_bytes(text[: text.rfind(",") - 3].encode(), folder)


@breaks("files", "a gzip cut", "refused", "PROPEND-201")
def _(rows: Rows, folder: Path) -> Path:
    """a compressed file breaks off at two thirds"""
    content = gzip.compress(lines_of(rows).encode(), mtime=0)
    return as_bytes(content[: len(content) * 2 // 3], folder, "orders.csv.gz")


@breaks("files", "a Parquet file cut", "refused", "PROPEND-201")
def _(rows: Rows, folder: Path) -> Path:
    """a Parquet file breaks off at two thirds"""
    content = as_parquet(rows, folder).read_bytes()
    return as_bytes(content[: len(content) * 2 // 3], folder, "orders.parquet")


@breaks("files", "a Parquet file damaged", "refused", "PROPEND-201")
def _(rows: Rows, folder: Path) -> Path:
    """4,000 bytes in the middle of a Parquet file are zero"""
    content = as_parquet(rows, folder).read_bytes()
    middle = len(content) // 2
    return as_bytes(content[:middle] + bytes(4_000) + content[middle + 4_000 :], folder, "orders.parquet")


@breaks("files", "JSON cut", "refused", "PROPEND-201")
def _(rows: Rows, folder: Path) -> Path:
    """a file of JSON lines breaks off in the middle of one"""
    text = "\n".join(json.dumps({k: text_of(v) for k, v in row.items()}) for row in rows)
    return as_bytes(text[:-30].encode(), folder, "orders.jsonl")


@breaks("files", "an empty file among files", "refused", "PROPEND-201")
def _(rows: Rows, folder: Path) -> Path:
    """the third of three files has no bytes"""
    as_two(*halves(rows), folder)
    as_bytes(b"", folder, "orders_3.csv")
    return folder


@breaks("files", "only a header among files", "same")
def _(rows: Rows, folder: Path) -> Path:
    """the third of three files has a header and no rows"""
    as_two(*halves(rows), folder)
    as_bytes(",".join(COLUMNS).encode(), folder, "orders_3.csv")
    return folder


@breaks("files", "a page of an error", "refused", "PROPEND-201")
def _(rows: Rows, folder: Path) -> Path:
    """the third of three files is a web page that says that the export failed"""
    as_two(*halves(rows), folder)
    page = b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n<body><h1>502</h1></body></html>\n"
    as_bytes(page, folder, "orders_3.csv")
    return folder


@breaks("files", "a workbook by another name", "refused", "PROPEND-201")
def _(rows: Rows, folder: Path) -> Path:
    """a spreadsheet's workbook is called orders.csv"""
    return as_bytes(b"PK\x03\x04" + bytes(200), folder)


@breaks("files", "Parquet by another name", "same")
def _(rows: Rows, folder: Path) -> Path:
    """a Parquet file is called orders.csv"""
    return as_parquet(rows, folder, "orders.csv")


# --- files that differ ------------------------------------------------------------------------------------------


def _renamed(rows: Rows, names: dict[str, str]) -> Rows:
    return [{names.get(name, name): value for name, value in row.items()} for row in rows]


@breaks("schema", "the id's column renamed", "refused", "PROPEND-202")
def _(rows: Rows, folder: Path) -> Path:
    """the later of two files calls the customer's id `client`"""
    before, after = halves(rows)
    return as_two(before, _renamed(after, {"customer_id": "client"}), folder)


@breaks("schema", "the amount's column renamed", "warned", "PROPEND-352")
def _(rows: Rows, folder: Path) -> Path:
    """the earlier of two files calls the amount `total`"""
    before, after = halves(rows)
    return as_two(_renamed(before, {"amount": "total"}), after, folder)


@breaks("schema", "the kind's column missing", "warned", "PROPEND-352")
def _(rows: Rows, folder: Path) -> Path:
    """the earlier of two files has no column of kinds"""
    before, after = halves(rows)
    return as_two([{k: v for k, v in r.items() if k != "kind"} for r in before], after, folder)


@breaks("schema", "a column added", "same")
def _(rows: Rows, folder: Path) -> Path:
    """the later of two files has a column more"""
    before, after = halves(rows)
    return as_two(before, [r | {"voucher": ""} for r in after], folder)


@breaks("schema", "columns in another order", "same")
def _(rows: Rows, folder: Path) -> Path:
    """the later of two files has its columns the other way round"""
    before, after = halves(rows)
    return as_two(before, [dict(reversed(r.items())) for r in after], folder)


@breaks("schema", "columns in capitals", "same")
def _(rows: Rows, folder: Path) -> Path:
    """the later of two files writes the names of its columns in capitals"""
    before, after = halves(rows)
    return as_two(before, _renamed(after, {name: name.upper() for name in COLUMNS}), folder)


@breaks("schema", "ids become numbers", "same")
def _(rows: Rows, folder: Path) -> Path:
    """of two Parquet files the later has ids as numbers"""
    before, after = halves(rows)
    as_parquet(before, folder, "orders_1.parquet")
    as_parquet(changed(after, "customer_id", int), folder, "orders_2.parquet")
    return folder


@breaks("schema", "ids become fractions", "same")
def _(rows: Rows, folder: Path) -> Path:
    """of two Parquet files the later has ids as numbers with a fraction, as they become where some are missing"""
    before, after = halves(rows)
    as_parquet(changed(before, "customer_id", int), folder, "orders_1.parquet")
    as_parquet(changed(after, "customer_id", float), folder, "orders_2.parquet")
    return folder


@breaks("schema", "amounts become texts", "same")
def _(rows: Rows, folder: Path) -> Path:
    """of two Parquet files the later has amounts as texts"""
    before, after = halves(rows)
    as_parquet(before, folder, "orders_1.parquet")
    as_parquet(changed(after, "amount", str), folder, "orders_2.parquet")
    return folder


@breaks("schema", "times become texts", "same")
def _(rows: Rows, folder: Path) -> Path:
    """of two Parquet files the later has times as texts"""
    before, after = halves(rows)
    as_parquet(before, folder, "orders_1.parquet")
    as_parquet(changed(after, "ordered_at", text_of), folder, "orders_2.parquet")
    return folder


@breaks("schema", "times get a zone", "same")
def _(rows: Rows, folder: Path) -> Path:
    """of two Parquet files the later has times with a zone"""
    before, after = halves(rows)
    as_parquet(before, folder, "orders_1.parquet")
    as_parquet(changed(after, "ordered_at", lambda at: at.replace(tzinfo=UTC)), folder, "orders_2.parquet")
    return folder
