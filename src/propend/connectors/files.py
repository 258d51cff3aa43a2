"""Files: paths, globs, folders and lists of them; Parquet, CSV of any shape, JSON; plain, gzip or zstd.

What a file is is read from its first bytes where its name does not say it, and a name that promises Parquet is
checked. The shape of a CSV (encoding, delimiter, quotes, header) is found here and handed to the engine in
full, so that every engine and version reads the same; all its columns are text, and typed later. Files that
are not UTF-8 are rewritten as such, once, in the session's scratch folder.
"""

from __future__ import annotations

import codecs
import csv
import glob
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from propend.connectors.hive import is_partition, partitions_of, values_of, wanted
from propend.connectors.origins import Compression, FileFormat, FileGroup, Located, Origin, is_address
from propend.document import nearest
from propend.errors import NotEnoughMemoryError, SourceChangedError, SourceNotFoundError, SourceUnreadableError

HEAD_BYTES = 1 << 18
_CHUNK = 1 << 22
MOST_COLUMNS = 2_000
"""Of a CSV: each is looked at by itself; an export of Adobe's hits has about 1,200."""
FREE_BYTES, MOST_TIMES = 200_000_000, 400
"""What is compressed may unpack to so many bytes, and beyond that to so many times its size."""
_FORMATS: dict[str, FileFormat] = {
    ".parquet": "parquet", ".pq": "parquet", ".parq": "parquet",
    ".csv": "csv", ".tsv": "csv", ".psv": "csv", ".txt": "csv", ".dat": "csv", ".tab": "csv",
    ".json": "json", ".jsonl": "json", ".ndjson": "json",
}  # fmt: skip
_COMPRESSED = (".gz", ".gzip", ".zst", ".zstd")
_REFUSED = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"ARROW1": "an Arrow file",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"PARE": "an encrypted Parquet file",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
}
SQLITE, DUCKDB = b"SQLite format 3", b"DUCK"
"""What files of databases begin with: SQLite's at once, DuckDB's from the ninth byte."""
_DELIMITERS = (",", "\t", ";", "||", "|", "\x01", "^", "~", ":")


ENDINGS = tuple(_FORMATS)
"""How names of data files end; compressed ones also in .gz or .zst."""


class FileConnector:
    """Files on disks that this machine sees."""

    name = "files"

    def accepts(self, origin: Origin) -> bool:
        return not any(is_address(p) or lake_at(absolute(p, origin.folder)) for p in origin.paths)

    def locate(self, origin: Origin) -> Located:
        """Which files to read, and how.

        Raises:
            SourceNotFoundError: a path or glob matches no file.
            SourceUnreadableError: a file is empty, not what it claims to be, or may not be read.
        """
        found: dict[Path, tuple[str, ...]] = {}
        for path in origin.paths:
            root = _root(path, origin.folder)
            files = find_files(path, origin.folder)
            _refuse_parts_of_tables(files, path)
            found |= {file: file.relative_to(root).parts[:-1] for file in files}
        read = wanted([values_of(folders) for folders in found.values()], origin.since, origin.name)
        kept = [pair for pair, is_read in zip(found.items(), read, strict=True) if is_read]
        groups = groups_of([f for f, _ in kept], origin.scratch, [folders for _, folders in kept], origin.name)
        return Located(origin.name, formats_of(groups), groups, left_out=len(read) - len(kept))


def groups_of(
    files: Sequence[Path], scratch: Path, folders: Sequence[tuple[str, ...]] = (), place: str = ""
) -> tuple[FileGroup, ...]:
    """Files by how they are read.

    Args:
        scratch: where files are rewritten that are not UTF-8.
        folders: names of the folders, of each file, that may say columns (``dt=2024-01-31``).
        place: what they are called in messages.

    Raises:
        SourceUnreadableError: a file is empty, not what it claims to be, or may not be read.
    """
    within = folders or ((),) * len(files)
    columns = partitions_of([values_of(names) for names in within], place)
    described = [_describe(file, scratch, names) for file, names in zip(files, within, strict=True)]
    return _grouped([replace(file, partitions=columns) for file in described])


def formats_of(groups: Sequence[FileGroup]) -> str:
    """The formats of files, each once."""
    return " and ".join(sorted({_announced(group) for group in groups}))


def _announced(group: FileGroup) -> str:
    """The format, with the encoding that the file was rewritten from."""
    return group.format if group.encoding == "utf-8" else f"{group.format} ({group.encoding})"


# --- finding them -------------------------------------------------------------------------------------------


def absolute(path: str, folder: Path) -> Path:
    """Where a path lies; links stay as they are."""
    return Path(os.path.abspath(folder / os.path.expanduser(path)))  # noqa: PTH100, PTH111


def _root(path: str, folder: Path) -> Path:
    """The folder below which names of folders may be columns: the one that is named, or the last without a glob.

    A path into partitions (``orders/dt=2024-01-31``) begins above them: what is read has the same columns.
    """
    place = absolute(path, folder)
    if glob.has_magic(str(place)) and not os.path.exists(place):  # noqa: PTH110  as in ``find_files``
        place = next(p for p in place.parents if not glob.has_magic(str(p)))
    root = place if os.path.isdir(place) else place.parent  # noqa: PTH112
    while is_partition(root.name):
        root = root.parent
    return root


def _refuse_parts_of_tables(files: Iterable[Path], path: str) -> None:
    """Files of a table that keeps a log hold rows that were deleted: the table itself must be named.

    Raises:
        SourceUnreadableError: a file belongs to one.
    """
    for folder in dict.fromkeys(file.parent for file in files):
        kind = next((found for parent in _table_folders(folder) if (found := lake_at(parent))), "")
        if kind:
            raise SourceUnreadableError(
                f"{path!r} holds files of {'a Delta' if kind == 'delta' else 'an Iceberg'} table, among them rows that "
                "were deleted.",
                "name the table's own folder, as a source of its own.",
                path=path,
            )


def _table_folders(folder: Path) -> Iterator[Path]:
    """The folder, and those around it as long as they are partitions or the place of a table's data."""
    yield folder
    for inner in (folder, *folder.parents):
        if not is_partition(inner.name) and inner.name != "data":
            return
        yield inner.parent


def lake_at(folder: Path) -> str:
    """``delta`` or ``iceberg`` if that is what lies in a folder, else nothing."""
    if os.path.isdir(folder / "_delta_log"):  # noqa: PTH112  false, not an error, for a name that no folder can have
        return "delta"
    return "iceberg" if os.path.isdir(folder) and any(folder.glob("metadata/*.metadata.json")) else ""  # noqa: PTH112


def state_files(path: str, folder: Path) -> list[Path]:
    """The files that change whenever what is read of a path does: of a lake's table, those of its log too.

    Raises:
        SourceNotFoundError: there is none.
    """
    place = absolute(path, folder)
    kind = lake_at(place)
    if not kind:
        return find_files(path, folder)
    logged = (place / ("_delta_log" if kind == "delta" else "metadata")).iterdir()
    return sorted(file for file in logged if file.is_file()) + _data_files(place)


def find_files(path: str, folder: Path) -> list[Path]:
    """The files a path, glob or folder stands for, absolute and sorted.

    Raises:
        SourceNotFoundError: there is none; the nearest name is given.
    """
    place = absolute(path, folder)
    if os.path.isfile(place):  # noqa: PTH113  false, not an error, for a name that no file can have
        return [place]
    if os.path.isdir(place):  # noqa: PTH112
        found = _data_files(place)
        if found:
            return found
        raise SourceNotFoundError(
            f"The folder {path!r} holds no data files.",
            f"files that are read end in {', '.join(sorted(_FORMATS))}, also with .gz or .zst.",
            path=path,
        )
    found = sorted(Path(p) for p in glob.glob(str(place), recursive=True) if Path(p).is_file())  # noqa: PTH207
    if found:
        return found
    raise _nothing_there(path, place)


def _data_files(folder: Path) -> list[Path]:
    """Data files in a folder and the folders in it, but for those whose name hides them."""
    return sorted(
        p
        for p in folder.rglob("*")
        if p.is_file() and _format_by_name(p) and not any(map(is_hidden, p.relative_to(folder).parts))
    )


def is_hidden(name: str) -> bool:
    """Whether a file or folder is a writer's own: its log, what it is about to write, checksums."""
    return name[0] == "." or (name[0] == "_" and not is_partition(name))


def _nothing_there(path: str, place: Path) -> SourceNotFoundError:
    parent = place.parent
    while not os.path.isdir(parent) and parent != parent.parent:  # noqa: PTH112
        parent = parent.parent
    missing = place.relative_to(parent).parts[0] if parent != place else place.name
    beside = sorted(p.name for p in parent.iterdir()) if os.access(parent, os.R_OK) else []
    near = nearest(missing.replace("*", ""), beside)
    kind = "matches no file" if glob.has_magic(path) else "is not there"
    files = [n for n in beside if _format_by_name(Path(n))]
    there = f"in {parent.name or str(parent)!r} are: {', '.join(files[:8]) or 'no data files'}."
    hint = f"did you mean {near!r}?" if near else there
    if path.startswith("table:"):
        hint = "tables of Spark, and addresses, are read with --engine spark."
    return SourceNotFoundError(f"{path!r:.300} {kind}.", hint, path=path, nearest=near)


def _format_by_name(path: Path) -> FileFormat | None:
    return _FORMATS.get(_without_compression(path).suffix.lower())


def _without_compression(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path


def is_data_file(name: str) -> bool:
    """Whether a file's name says that it holds data that can be read."""
    return _format_by_name(Path(name)) is not None


# --- what each file is --------------------------------------------------------------------------------------


def _describe(path: Path, scratch: Path, folders: tuple[str, ...]) -> FileGroup:
    """One file as a group of its own; rewritten, it lies in folders of the same names."""
    head = _raw_head(path)
    if not head:
        raise _unreadable(path, "is empty", "export it again, or leave it out of the path.")
    if head.startswith(SQLITE) or head[8:12] == DUCKDB:
        what = "SQLite" if head.startswith(SQLITE) else "DuckDB"
        raise _unreadable(path, f"is a {what} database", f"name a table of it: `database: {path.name}`, `table: ...`.")
    for magic, what in _REFUSED.items():
        if head.startswith(magic):
            raise _unreadable(path, f"is {what}, which is not read", "export it as Parquet or CSV.")
    if head.startswith(b"PAR1"):
        _check_parquet_end(path)
        return FileGroup("parquet", (path,))
    if _format_by_name(path) == "parquet":
        raise _unreadable(path, f"is named as Parquet and is not: it begins with {head[:12]!r}", "name it as it is.")
    compression = _compression(head)
    start = _text_head(path, compression)
    if not start.text.strip():
        raise _unreadable(path, "holds no text", "export it again, or leave it out of the path.")
    if _MARKUP.match(start.text):
        shown = " ".join(re.sub(r"<[^>]*>", " ", start.text[:2_000]).split())[:80]
        raise _unreadable(
            path, f"is a web page or XML, not rows: {shown!r}", "look why the export failed, and repeat it."
        )
    if start.encoding != "utf-8" or _needs_mending(start.text):
        path, compression = _rewrite(path, compression, start.encoding, scratch, folders), "none"
    encoding = start.encoding.removesuffix("-sig")
    kind = _format_by_name(path)
    if kind == "json" or (kind is None and start.text.lstrip()[0] in "{["):
        return FileGroup("json", (path,), compression, encoding)
    return replace(csv_shape(start.text, path), compression=compression, encoding=encoding)


def _unreadable(path: Path, problem: str, hint: str) -> SourceUnreadableError:
    return SourceUnreadableError(f"{path.name!r} {problem}.", hint, path=str(path))


def _raw_head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError as error:
        raise _unopened(path, error) from None


def _unopened(path: Path, error: OSError) -> SourceUnreadableError:
    if isinstance(error, FileNotFoundError):
        return SourceChangedError(
            f"{path.name!r} was there when the files were listed, and is gone.",
            "run it again when whoever writes the files is done; files that are put in place by renaming are safe.",
            path=str(path),
        )
    return _unreadable(
        path, f"cannot be opened: {error.strerror}", "give the account that runs propend the right to read it."
    )


def _check_parquet_end(path: Path) -> None:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 4, 0))
            complete = file.read(4) == b"PAR1"
    except OSError as error:
        raise _unopened(path, error) from None
    if not complete:
        raise _unreadable(path, f"begins as Parquet and breaks off after {size:,} bytes", "copy or export it again.")


def _compression(head: bytes) -> Compression:
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    return "zstd" if head.startswith(b"\x28\xb5\x2f\xfd") else "none"


def _open(path: Path, compression: Compression) -> Any:
    if compression == "none":
        return path.open("rb")
    return pa.input_stream(str(path), compression=compression)


def _chunks(path: Path, compression: Compression) -> Iterator[bytes]:
    try:
        size, unpacked = path.stat().st_size, 0
        with _open(path, compression) as stream:
            while chunk := stream.read(_CHUNK):
                unpacked += len(chunk)
                if compression != "none" and unpacked > max(FREE_BYTES, size * MOST_TIMES):
                    raise _unreadable(
                        path,
                        f"unpacks to more than {MOST_TIMES} times its {size:,} bytes, which no table of events does",
                        "look at what is in it; export it without compression if it is what it should be.",
                    )
                yield bytes(chunk)
    except (OSError, pa.ArrowException, EOFError) as error:
        problem = str(error).splitlines()[0]
        raise _unreadable(path, f"cannot be decompressed: {problem}", "copy or export it again.") from None


# --- encoding -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Head:
    text: str
    encoding: str


def _text_head(path: Path, compression: Compression) -> _Head:
    """The first lines as text, and the encoding of the whole file."""
    start = b""
    for chunk in _chunks(path, compression):
        start += chunk[: HEAD_BYTES - len(start)]
        if len(start) >= HEAD_BYTES:
            break
    encoding = _encoding_by_mark(start) or _encoding_by_content(path, compression)
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(start).lstrip("\ufeff")
    return _Head(text if len(start) < HEAD_BYTES else text[: text.rfind("\n") + 1] or text, encoding)


def _encoding_by_mark(start: bytes) -> str:
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    pairs = len(start) // 2
    if pairs and start[1::2].count(0) > 0.4 * pairs:
        return "utf-16-le"
    return "utf-16-be" if pairs and start[::2].count(0) > 0.4 * pairs else ""


def _encoding_by_content(path: Path, compression: Compression) -> str:
    """UTF-8 if the whole file is, else the Windows code page, or Latin-1 where that has no such bytes."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    undefined = False
    valid = True
    for chunk in _chunks(path, compression):
        if valid:
            try:
                decoder.decode(chunk)
                continue
            except UnicodeDecodeError:
                valid = False
        undefined = undefined or any(b in chunk for b in (b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d"))
    if valid:
        return "utf-8"
    return "latin-1" if undefined else "cp1252"


_MARKUP = re.compile(r"\s*<(!doctype|html|head|body|\?xml|error)\b", re.IGNORECASE)
"""What a page that says why there is no export begins with; no header of a CSV does."""
_BLANK_LINES = re.compile(r"(?:[ \t\ufeff]*(?:\r\n|\r|\n))+")


def _needs_mending(text: str) -> bool:
    """Blank lines before the first, and lines that end in two ways: files put together from several systems."""
    ends = set(re.findall(r"\r\n|\n", re.sub(r'"[^"]*"', "", text)))
    return len(ends) > 1 or bool(_BLANK_LINES.match(text))


def _rewrite(path: Path, compression: Compression, encoding: str, scratch: Path, folders: tuple[str, ...]) -> Path:
    """The file as UTF-8 in the scratch folder, without blank lines at its top and with one kind of line end."""
    target = scratch / str(len(list(scratch.iterdir()))) / Path(*folders) / _without_compression(path).name
    try:
        target.parent.mkdir(parents=True)
        with target.open("w", encoding="utf-8", newline="") as out:
            out.writelines(_mended(_chunks(path, compression), encoding))
    except OSError as error:
        raise NotEnoughMemoryError(
            f"{path.name!r} could not be rewritten as UTF-8 in the temporary folder: {error.strerror}.",
            "free some space there, or name another temporary folder in TMPDIR.",
            path=str(path),
        ) from None
    return target


def _mended(chunks: Iterable[bytes], encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    begun, kept = False, ""
    for chunk in (*chunks, None):
        text = kept + (decoder.decode(chunk) if chunk is not None else decoder.decode(b"", final=True))
        if not begun:
            text = text[found.end() :] if (found := _BLANK_LINES.match(text)) else text
            begun = bool(text)
        kept = "\r" if chunk is not None and text.endswith("\r") else ""
        yield text.removesuffix(kept).replace("\r\n", "\n")


# --- keys of JSON -------------------------------------------------------------------------------------------


def one_spelling(group: FileGroup, scratch: Path) -> FileGroup:
    """JSON files rewritten with one document a line, keys of one place that differ in case only as the first of them.

    Raises:
        SourceUnreadableError: a file is not JSON.
    """
    spelling: dict[tuple[str, ...], str] = {}
    folder = scratch / f"spelt{len(list(scratch.iterdir()))}"
    folder.mkdir()
    paths = []
    for i, path in enumerate(group.paths):
        values = [part for part in path.parent.parts if is_partition(part)] if group.partitions else []
        target = folder.joinpath(str(i), *values, "rows.jsonl")
        target.parent.mkdir(parents=True)
        with target.open("w", encoding="utf-8") as out:
            for document in _json_documents(path, group.compression):
                out.write(json.dumps(_spelt(document, (), spelling), ensure_ascii=False) + "\n")
        paths.append(target)
    return replace(group, paths=tuple(paths), compression="none")


def _json_documents(path: Path, compression: Compression) -> Iterator[Any]:
    """Documents of a file that has one, one a line, or one list of them."""
    text = b"".join(_chunks(path, compression)).decode("utf-8-sig")
    decoder, place = json.JSONDecoder(), 0
    try:
        while (found := _NOT_BLANK.search(text, place)) is not None:
            document, place = decoder.raw_decode(text, found.start())
            yield from document if isinstance(document, list) else (document,)
    except json.JSONDecodeError as error:
        problem = f"is not JSON at row {error.lineno:,}: {error.msg}"
        raise _unreadable(path, problem, "copy or export it again.") from None


_NOT_BLANK = re.compile(r"\S")


def _spelt(value: Any, place: tuple[str, ...], spelling: dict[tuple[str, ...], str]) -> Any:
    if isinstance(value, list):
        return [_spelt(item, place, spelling) for item in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for key, inner in value.items():
        at = (*place, key.casefold())
        found.setdefault(spelling.setdefault(at, key), _spelt(inner, at, spelling))
    return found


# --- the shape of a CSV -------------------------------------------------------------------------------------


def csv_shape(text: str, path: Path) -> FileGroup:
    """Delimiter, quotes and header of a CSV from its first lines.

    Raises:
        SourceUnreadableError: the header names a column twice, or more than 2,000.
    """
    body = _BLANK_LINES.sub("", text, count=1) if _BLANK_LINES.match(text) else text
    quote = _quote_of(body)
    delimiter = _delimiter_of(body, quote)
    first = next(_records(body, delimiter, quote, 1), [])
    columns = tuple(n.strip() or f"column_{i}" for i, n in enumerate(first, 1))
    _check_header(columns, path)
    escape = "\\" if f"\\{quote}" in body else quote
    return FileGroup("csv", (path,), "none", "utf-8", columns, delimiter, quote, escape)


def _quote_of(body: str) -> str:
    """A single quote if fields stand in such and none in double ones."""
    single = re.search(r"(^|[,;\t|])'[^'\n]*'([,;\t|]|\r?$)", body, re.MULTILINE)
    return "'" if single and '"' not in body else '"'


def _records(body: str, delimiter: str, quote: str, most: int) -> Iterator[list[str]]:
    """The first records; a delimiter of several characters is read as one that no text has."""
    given = body.replace(delimiter, "\x1f") if len(delimiter) > 1 else body
    reader = csv.reader(
        io.StringIO(given, newline=""), delimiter="\x1f" if len(delimiter) > 1 else delimiter, quotechar=quote
    )
    try:
        for _, record in zip(range(most), reader, strict=False):
            yield record
    except csv.Error:
        return


def _delimiter_of(body: str, quote: str) -> str:
    """The delimiter under which most records have as many fields as the header, and the most fields."""
    best, found = (0.0, 0), ","
    for delimiter in _DELIMITERS:
        records = [r for r in _records(body, delimiter, quote, 200) if r]
        width = len(records[0]) if records else 0
        if width < 2 or (delimiter == ":" and best[1] > 1) or (delimiter == "|" and found == "||"):
            continue
        alike = sum(len(r) == width for r in records) / len(records)
        if (alike >= 0.9, width) > (best[0] >= 0.9, best[1]):
            best, found = (alike, width), delimiter
    return found


def _check_header(columns: tuple[str, ...], path: Path) -> None:
    if len(columns) > MOST_COLUMNS:
        raise _unreadable(
            path,
            f"has {len(columns):,} columns in its header, and at most {MOST_COLUMNS:,} are read",
            "leave out what is no fact about events, or look whether it is a table with one row per event.",
        )
    folded = [c.casefold() for c in columns]
    for i, name in enumerate(folded):
        if name in folded[:i]:
            other = columns[folded.index(name)]
            same = f"the column {other!r} twice" if other == columns[i] else f"both {other!r} and {columns[i]!r}"
            raise _unreadable(
                path, f"names {same} in its header", "give each column its own name; case does not count."
            )


# --- groups -------------------------------------------------------------------------------------------------


def _grouped(files: list[FileGroup]) -> tuple[FileGroup, ...]:
    """Files that are read alike put together, in order of first appearance."""
    together: dict[FileGroup, list[Path]] = {}
    for file in files:
        together.setdefault(replace(file, paths=()), []).extend(file.paths)
    return tuple(replace(shape, paths=tuple(paths)) for shape, paths in together.items())
