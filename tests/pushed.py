"""A process that pushes the scores in a folder, and tells its peak of memory before and after: see ``test_memory``.

    python tests/pushed.py FOLDER KIND OPTIONS      # options as JSON

``write_many`` makes such a folder.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from deliveries import FIRST_DAY, scores
from propend.exports import Delivery, Past, Place, destination
from propend.segments import Rule
from propend.store.runs import GROUP_ROWS, table_options, write_json
from propend.workspace.score_file import ScoreFile

AT_ONCE = 10_000


def write_many(folder: Path, rows: int) -> None:
    """Scores of so many profiles, as a run leaves them, written a part at a time."""
    folder.mkdir(parents=True)
    some = scores([f"p{n:08d}" for n in range(AT_ONCE)])
    place = some.schema.get_field_index("profile_id")
    with pq.ParquetWriter(folder / "scores.parquet", some.schema, **table_options(some.schema)) as file:
        for first in range(0, rows, AT_ONCE):
            ids = pa.array([f"p{n:08d}" for n in range(first, min(first + AT_ONCE, rows))])
            file.write_table(some.slice(0, len(ids)).set_column(place, some.schema.field(place), ids), GROUP_ROWS)
    write_json(folder / "run.json", {"attributes": []})


def main() -> None:
    """Push once, with everything imported and opened before the first measure."""
    folder, kind, options = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    found, ready = ScoreFile.open(folder), destination(kind, options, Place(folder))
    few = delivery_of(found, Rule.read("profile_id <= 'p00000999'"), 1)
    ready.push(few, Past())  # what is made once, such as connections and threads, is made
    before = peak_bytes()
    pushed = ready.push(delivery_of(found, Rule(), 2), Past())
    print(json.dumps({"rows": pushed.rows, "before": before, "after": peak_bytes()}))


def delivery_of(found: ScoreFile, rule: Rule, run: int) -> Delivery:
    """The rows that a rule means, a part at a time."""
    return Delivery(
        "buyers", f"run-{run}", FIRST_DAY.replace(day=run), FIRST_DAY, FIRST_DAY.replace(month=4), "all", found.schema,
        lambda: found.batches(rule),
    )  # fmt: skip


def peak_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
