"""A person's rows and examples taken out of the folder of a finished run.

Each file is written anew beside the old one and takes its place at once, so that whoever reads meanwhile reads the one
or the other. The page is written before the documents that it shows: whoever is killed in between and begins again
still finds in them what is to be taken out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from propend.errors import InstanceNotFoundError
from propend.protection import Forgotten
from propend.report import Report
from propend.store.membership import MEMBERS
from propend.store.runs import read_json, table_options, write_json
from propend.writing import sweep

ID = "profile_id"
TABLES = ("scores", "contributions", "attributes", MEMBERS)
DOCUMENTS = ("insights", "run", "evaluation", "aftermath")
MARK = ".erasing"
"""How files end that are being written."""

Who = Callable[[pa.Array], NDArray[np.bool_]]
"""Of ids, those that are to be taken out."""


@dataclass(frozen=True)
class Erased:
    """What was taken out.

    Attributes:
        rows: of tables of scores, contributions, attributes and members of segments.
        examples: entries of documents.
        files: that were written anew.
    """

    rows: int = 0
    examples: int = 0
    files: int = 0

    def __add__(self, other: Erased) -> Erased:
        return Erased(self.rows + other.rows, self.examples + other.examples, self.files + other.files)


def exactly(profile_id: str) -> Who:
    """One id that is known."""
    return lambda ids: np.asarray(pc.equal(ids, profile_id))


def any_of(forgotten: Forgotten) -> Who:
    """All ids that are to be forgotten, told by their digests."""
    return lambda ids: np.array(forgotten.among([i.encode() for i in ids.to_pylist()]), dtype=np.bool_)


def erase(folder: Path, who: Who) -> Erased:
    """Take people out of the tables, examples and page of a run; does nothing where they are not in it.

    Raises:
        OSError: the folder cannot be written.
        InstanceNotFoundError: a document is damaged.
    """
    sweep(folder)
    for left in folder.rglob(f"*{MARK}"):
        left.unlink(missing_ok=True)
    found = Erased()
    for name in TABLES:
        path = folder / (name if name == MEMBERS else f"{name}.parquet")
        for part in sorted(path.glob("*.parquet")) if path.is_dir() else [path]:
            if part.is_file():
                try:
                    found += _erase_rows(part, who)
                except pa.ArrowException as error:
                    raise _damaged(part, error) from None
    return found + _erase_examples(folder, who)


def _erase_rows(path: Path, who: Who) -> Erased:
    """Row group by row group: a table may be larger than memory."""
    with pq.ParquetFile(path) as source:
        count = sum(int(_inside(batch, who).sum()) for batch in source.iter_batches(columns=[ID]))
        if not count:
            return Erased()
        beside = path.with_name(path.name + MARK)
        with pq.ParquetWriter(beside, source.schema_arrow, **table_options(source.schema_arrow)) as target:
            for group in range(source.num_row_groups):
                table = source.read_row_group(group)
                target.write_table(table.filter(pc.invert(pa.array(_inside(table, who)))))
    _put(beside, path)
    return Erased(rows=count, files=1)


def _damaged(path: Path, error: Exception) -> InstanceNotFoundError:
    said = next(iter(str(error).splitlines()), type(error).__name__)
    return InstanceNotFoundError(
        f"{path.name} in {path.parent.name!r} cannot be read: {said:.200}",
        "run the instance again, or remove the file.",
    )


def _inside(rows: pa.Table | pa.RecordBatch, who: Who) -> NDArray[np.bool_]:
    ids = rows.column(ID)
    return who(ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids)


def _erase_examples(folder: Path, who: Who) -> Erased:
    documents = {name: read_json(folder / f"{name}.json") for name in DOCUMENTS if (folder / f"{name}.json").is_file()}
    cleaned = {name: _without(document, who) for name, document in documents.items()}
    changed = [name for name, document in documents.items() if cleaned[name] != document]
    if not changed:
        return Erased()
    if {"insights", "run", "evaluation"} <= cleaned.keys() and (folder / "report.html").is_file():
        report = Report(evaluation=cleaned["evaluation"], insights=cleaned["insights"], run=cleaned["run"])
        report.save(folder / "report.html")
    for name in changed:
        beside = folder / f"{name}.json{MARK}"
        write_json(beside, cleaned[name], f"{name}.json")
        _put(beside, folder / f"{name}.json")
    examples = sum(len(list(_entries(documents[n]))) - len(list(_entries(cleaned[n]))) for n in changed)
    return Erased(examples=examples, files=len(changed))


def _without(value: Any, who: Who) -> Any:
    """A document without the entries of lists that are of these people."""
    if isinstance(value, dict):
        return {key: _without(v, who) for key, v in value.items()}
    if isinstance(value, list):
        return [_without(v, who) for v in value if not (_is_entry(v) and bool(who(pa.array([v[ID]], pa.string()))[0]))]
    return value


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get(ID), str)


def _entries(value: Any) -> Iterator[str]:
    """Ids of all entries."""
    if _is_entry(value):
        yield value[ID]
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _entries(inner)


def _put(beside: Path, path: Path) -> None:
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)
