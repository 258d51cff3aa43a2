"""The members of a segment by one run, as a file in the run's folder: who they are, and who left.

    members/SEGMENT.parquet    profile_id, ascending; change: joined, stayed or left

A file is written beside the one that it replaces and takes its place at once. It counts when the catalog has its row.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from propend.errors import InstanceNotFoundError
from propend.store.runs import table_options
from propend.writing import whole_file

MEMBERS = "members"
"""The folder, in that of a run."""
CHANGES = ("joined", "stayed", "left")


def members_path(folder: Path, segment_id: int) -> Path:
    """Of a segment's members, in the folder of a run."""
    return folder / MEMBERS / f"{segment_id}.parquet"


def write_members(folder: Path, segment_id: int, ids: pa.Array, change: pa.Array) -> None:
    """Whole or not at all.

    Args:
        ids: ascending.
        change: of each, one of ``CHANGES``.

    Raises:
        OSError: the folder cannot be written.
    """
    table = pa.table({"profile_id": ids, "change": change})
    with whole_file(members_path(folder, segment_id)) as file:
        pq.write_table(table, file, **table_options(table.schema))


def read_members(folder: Path, segment_id: int) -> pa.Array | None:
    """The ids of members, ascending, without those who left; None where there is no file.

    Raises:
        InstanceNotFoundError: it is damaged.
    """
    path = members_path(folder, segment_id)
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path, filters=pc.field("change") != "left", columns=["profile_id"])
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from None
    return table.column("profile_id").combine_chunks()


def page_of_members(
    folder: Path, segment_id: int, change: str | None, after: str | None, limit: int
) -> list[dict[str, str]]:
    """So many of them by id, from after one on.

    Args:
        change: only these; all where None.

    Raises:
        InstanceNotFoundError: the file is not there, or damaged.
    """
    path = members_path(folder, segment_id)
    wanted = pc.field("profile_id") > after if after is not None else pc.scalar(True)
    if change is not None:
        wanted &= pc.field("change") == change
    try:
        rows: list[dict[str, str]] = ds.dataset(path, format="parquet").head(limit, filter=wanted).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from None
    return rows


def _damaged(path: Path, error: Exception) -> InstanceNotFoundError:
    said = next(iter(str(error).splitlines()), type(error).__name__)
    return InstanceNotFoundError(
        f"The members of segment {path.stem} by run {path.parent.parent.name!r} cannot be read: {said:.200}",
        "run the instance again: members are written after each run.",
    )
