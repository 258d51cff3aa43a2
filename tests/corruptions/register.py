"""Good orders, how they are written, and the register of what breaks them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from propend import demo
from propend.preparation import Stages, read_inputs, read_log

Row = dict[str, Any]
Rows = list[Row]
Answer = Literal["refused", "set aside", "warned", "same", "within", "unnoticed"]

PROFILES = 1_200
HALF = datetime(2010, 11, 1)
"""From here on what breaks half-way is broken: ten months before the last event."""
END = datetime(2011, 9, 1)
COLUMNS = ("order_id", "customer_id", "ordered_at", "kind", "amount", "category")
DOCUMENT: dict[str, Any] = {
    "name": "Purchase within 30 days",
    "data": {
        "columns": {"profile": "customer_id", "at": "ordered_at", "event": "kind", "value": "amount"},
        "fields": ["category"],
    },
    "events": {"buy": {"is": "purchase", "where": {"amount": {"gt": 0}}}, "cancel": {"is": "cancellation"}},
    "goal": {"all_of": ["buy"], "within": "30d"},
    "eligible": {"all_of": [{"did": "buy", "at_least": 1, "within": "365d"}]},
}


@dataclass(frozen=True)
class Corruption:
    """One way of being broken.

    Attributes:
        group: what kind of break it is.
        name: what it is called; unique.
        make: writes broken orders into a folder and gives what is handed to propend.
        answer: what propend is to answer.
        code: of the refusal or of the notice; of rows set aside, the reason.
        why: where nothing is noticed, why that cannot be known.
        data: sections of ``data`` that the document has besides.
    """

    group: str
    name: str
    make: Callable[[Rows, Path], Path]
    answer: Answer
    code: str = ""
    why: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def does(self) -> str:
        """What is done to the data, in a line."""
        return (self.make.__doc__ or "").strip()

    @property
    def document(self) -> dict[str, Any]:
        """The instance document it is read with."""
        columns = DOCUMENT["data"]["columns"] | self.data.get("columns", {})
        return DOCUMENT | {"data": DOCUMENT["data"] | self.data | {"columns": columns}}


CORRUPTIONS: dict[str, Corruption] = {}


def breaks(
    group: str, name: str, answer: Answer, code: str = "", why: str = "", **data: Any
) -> Callable[[Callable[[Rows, Path], Path]], Callable[[Rows, Path], Path]]:
    """Register a way of being broken; its docstring says what is done."""

    def register(make: Callable[[Rows, Path], Path]) -> Callable[[Rows, Path], Path]:
        if name in CORRUPTIONS:
            raise ValueError(f"two corruptions are called {name!r}")
        CORRUPTIONS[name] = Corruption(group, name, make, answer, code, why, data)
        return make

    return register


# --- good orders, and how they are written ---------------------------------------------------------------------


def good_orders(profiles: int = PROFILES) -> Rows:
    """Orders of some customers of the demo, oldest first; their times have no zone, their ids are digits."""
    rows: Rows = (
        pq.read_table(demo.orders_path())
        .select(["customer_id", "ordered_at", "kind", "amount", "category"])
        .to_pylist()
    )
    ids = sorted({row["customer_id"] for row in rows}, key=lambda i: md5(i.encode()).hexdigest())
    kept = set(ids[:profiles])
    chosen = [row for row in rows if row["customer_id"] in kept]
    return [{"order_id": f"o{i:05d}"} | row for i, row in enumerate(sorted(chosen, key=lambda row: row["ordered_at"]))]


def text_of(value: Any) -> str:
    """A value as a CSV has it."""
    if value is None:
        return ""
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)


def lines_of(rows: Iterable[Row], delimiter: str = ",", header: bool = True) -> str:
    """Rows as the text of a CSV; columns are those of the first row."""
    kept = list(rows)
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    if header:
        writer.writerow(kept[0])
    writer.writerows([text_of(value) for value in row.values()] for row in kept)
    return out.getvalue()


def as_csv(rows: Iterable[Row], folder: Path, name: str = "orders.csv", delimiter: str = ",") -> Path:
    """A CSV in UTF-8."""
    return as_bytes(lines_of(rows, delimiter).encode(), folder, name)


def as_bytes(content: bytes, folder: Path, name: str = "orders.csv") -> Path:
    """A file of some bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def as_parquet(rows: Rows, folder: Path, name: str = "orders.parquet") -> Path:
    """A Parquet file; columns are those of the first row."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / name)
    return folder / name


def as_two(first: Rows, second: Rows, folder: Path) -> Path:
    """A folder of two CSV files."""
    as_csv(first, folder, "orders_1.csv")
    as_csv(second, folder, "orders_2.csv")
    return folder


def halves(rows: Rows) -> tuple[Rows, Rows]:
    """Those before half-way, and those from then on."""
    return [r for r in rows if r["ordered_at"] < HALF], [r for r in rows if r["ordered_at"] >= HALF]


def changed(rows: Rows, column: str, change: Callable[[Any], Any]) -> Rows:
    """The rows with a column changed wherever it has a value."""
    return [row if row[column] is None else row | {column: change(row[column])} for row in rows]


def from_half(rows: Rows, column: str, change: Callable[[Any], Any]) -> Rows:
    """The rows with a column changed from half-way on."""
    before, after = halves(rows)
    return before + changed(after, column, change)


def chance(row: Row) -> float:
    """A number from 0 to 1 that belongs to an order."""
    return int(md5(row["order_id"].encode()).hexdigest()[:8], 16) / 16**8


def of_some(rows: Rows, share: float, change: Callable[[Row], Row]) -> Rows:
    """The rows, a share of them changed, picked as if by chance."""
    return [change(row) if chance(row) < share else row for row in rows]


def some_values(rows: Rows, share: float, column: str, value: Any) -> Rows:
    """The rows, with one value in a column of a share of them."""
    return of_some(rows, share, lambda row: row | {column: value})


def newest(rows: Rows, days: int) -> tuple[Rows, Rows]:
    """Those before the last so many days, and those in them."""
    cut = END - timedelta(days=days)
    return [r for r in rows if r["ordered_at"] < cut], [r for r in rows if r["ordered_at"] >= cut]


def plain_id(profile_id: str) -> str:
    """The customer behind an id, however it was written."""
    return re.sub(r"\D", "", re.sub(r"\.0$", "", profile_id)).lstrip("0")


def canonical(document: dict[str, Any], data: Path) -> str:
    """A digest of all events as the kernel sees them: where it is equal scores are, too."""
    sums = md5()
    with read_log(read_inputs(document, data=data), Stages(), None) as (_, log):
        sums.update(repr((log.kinds, log.vocabularies)).encode())
        for part in log.visit(lambda part: part):
            sums.update("\n".join(part.profile_ids.tolist()).encode())
            for column in (part.offsets, part.at, part.kind, part.bits, part.value, part.numbers, part.texts):
                sums.update(np.ascontiguousarray(column).tobytes())
    return sums.hexdigest()
