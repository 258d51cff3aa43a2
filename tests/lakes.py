"""Tables of lakes as other tools leave them: deletion vectors, deletions by position."""

from __future__ import annotations

import base64
import json
import string
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io import load_file_io
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestWriterV2,
    write_manifest_list,
)
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.typedef import Record

B85 = string.digits + string.ascii_uppercase + string.ascii_lowercase + "!#$%&()*+-;<=>?@^_`{|}~"
Z85 = string.digits + string.ascii_lowercase + string.ascii_uppercase + ".-:+=^!/*?&<>()[]{}@%$#"


# --- Delta --------------------------------------------------------------------------------------------------


def mark_deleted(folder: Path, rows: Sequence[int]) -> None:
    """Mark rows of the newest file of a Delta table as deleted, by a vector in its log.

    Args:
        rows: an even number, so that what is written fills whole words.
    """
    log = sorted((folder / "_delta_log").glob("*.json"))
    lines = [json.loads(line) for path in log for line in path.read_text().splitlines()]
    add = next(line["add"] for line in reversed(lines) if "add" in line)
    bitmap = struct.pack("<II", 12346, 1) + struct.pack("<HH", 0, len(rows) - 1) + struct.pack("<I", 16)
    bitmap += b"".join(struct.pack("<H", row) for row in rows)
    whole = struct.pack("<IQI", 1681511377, 1, 0) + bitmap
    written = base64.b85encode(whole).decode().translate(str.maketrans(B85, Z85))
    vector = {"storageType": "i", "pathOrInlineDv": written, "sizeInBytes": len(whole), "cardinality": len(rows)}
    features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
    removed = {"path": add["path"], "deletionTimestamp": 1_700_000_000_000, "dataChange": True}
    actions: list[dict[str, Any]] = [
        {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7} | features},
        {"remove": removed},
        {"add": add | {"deletionVector": vector}},
    ]
    path = folder / "_delta_log" / f"{len(log):020}.json"
    path.write_text("".join(json.dumps(action) + "\n" for action in actions))


# --- Iceberg ------------------------------------------------------------------------------------------------


def catalog_at(folder: Path, **more: str) -> Catalog:
    """A catalog whose tables lie in a folder, with the namespace ``shop``."""
    folder.mkdir(parents=True, exist_ok=True)
    found = SqlCatalog("here", uri=f"sqlite:///{folder / 'catalog.db'}", warehouse=f"file://{folder}", **more)
    found.create_namespace_if_not_exists("shop")
    return found


def close(catalog: Catalog) -> None:
    """Let go of a catalog's database."""
    assert isinstance(catalog, SqlCatalog)
    catalog.engine.dispose()


class _Deletions(ManifestWriterV2):
    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return super()._meta | {"content": "deletes"}


def delete_by_position(table: Table, rows: Sequence[int]) -> int:
    """Delete rows of the only file of an Iceberg table by a file of their positions; gives the new snapshot's id."""
    folder = Path(table.location().removeprefix("file://"))
    io, old, now = load_file_io({}, str(folder)), table.current_snapshot(), table.metadata
    assert old is not None
    data = next(iter(table.scan().plan_files())).file.file_path
    name, snapshot, number = folder / "data" / "deleted.parquet", old.snapshot_id + 1, now.last_sequence_number + 1
    fields = [("file_path", pa.string(), 2147483546), ("pos", pa.int64(), 2147483545)]
    schema = pa.schema([pa.field(n, t, False, {"PARQUET:field_id": str(i)}) for n, t, i in fields])
    pq.write_table(pa.table([[data] * len(rows), list(rows)], schema), name)
    file = DataFile.from_args(
        2, content=DataFileContent.POSITION_DELETES, file_path=str(name), file_format=FileFormat.PARQUET,
        partition=Record(), record_count=len(rows), file_size_in_bytes=name.stat().st_size,
    )  # fmt: skip
    entry = ManifestEntry.from_args(
        2, status=ManifestEntryStatus.ADDED, snapshot_id=snapshot, sequence_number=None, data_file=file
    )
    made = io.new_output(str(folder / "metadata" / "deleted.avro"))
    with _Deletions(table.spec(), table.schema(), made, snapshot, "null") as writer:
        writer.add_entry(entry)
    several = str(folder / "metadata" / f"snap-{snapshot}.avro")
    with write_manifest_list(2, io.new_output(several), snapshot, old.snapshot_id, number, "null") as manifests:
        manifests.add_manifests([*old.manifests(io), writer.to_manifest_file()])
    added = Snapshot(
        snapshot_id=snapshot, parent_snapshot_id=old.snapshot_id, sequence_number=number, schema_id=old.schema_id,
        timestamp_ms=old.timestamp_ms + 1, manifest_list=several, summary=Summary(Operation.DELETE),
    )  # fmt: skip
    changed = {"current_snapshot_id": snapshot, "snapshots": [*now.snapshots, added], "last_sequence_number": number}
    newest = io.new_output(str(folder / "metadata" / "00099-after.metadata.json"))
    ToOutputFile.table_metadata(now.model_copy(update=changed), newest)
    return snapshot
