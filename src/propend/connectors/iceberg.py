"""Iceberg tables: the rows of one snapshot, without those that were deleted."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow.dataset as pads
import pyarrow.fs as pafs
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.manifest import FileFormat
from pyiceberg.table import DataScan, StaticTable, Table

from propend.connectors.origins import Located, Origin, moment_of
from propend.connectors.places import Place, s3_endpoint
from propend.errors import PropendError, SourceNotFoundError, SourceUnreadableError, first_line

CATALOG = "iceberg:"
_NUMBER = re.compile(r"v?(\d+)")
_HINT = "look at it with the tool that writes it; catalogs are set up in ~/.pyiceberg.yaml, or by PYICEBERG_CATALOG__…."


def located(folder: Path, origin: Origin) -> Located:
    """A snapshot of the table in a folder of this machine, or of one by its name in a catalog; see ``located_at``."""
    return located_at(Place(pafs.LocalFileSystem(), str(folder), str(folder)), origin)


def located_at(place: Place, origin: Origin) -> Located:
    """A snapshot of a table.

    Its files are read in place where they hold all there is, under the names of today; otherwise its rows come as a
    stream.

    Raises:
        SourceNotFoundError: there is no such table or snapshot.
        SourceUnreadableError: its metadata cannot be read, or it holds deletions of a kind that is not known.
    """
    path = origin.name
    try:
        table = _of_catalog(path) if path.startswith(CATALOG) else _of_folder(place)
        snapshot = _snapshot(table, path, origin.version)
        scan = table.scan(snapshot_id=snapshot)
        rows = _in_place(table, scan, place) or scan.to_arrow_batch_reader()
    except PropendError:
        raise
    except NoSuchTableError:
        raise SourceNotFoundError(f"There is no Iceberg table {path!r}.", _HINT, path=path) from None
    except Exception as error:  # the library lets through whatever its readers raise
        text = first_line(error).rstrip(".")
        raise SourceUnreadableError(
            f"The Iceberg table {path!r} cannot be read: {text:.300}.", _HINT, path=path
        ) from None
    return Located(path, "iceberg" if snapshot is None else f"iceberg (snapshot {snapshot})", tables=(rows,))


def _of_catalog(path: str) -> Table:
    """A table by ``iceberg:catalog.namespace.table``."""
    catalog, _, name = path.removeprefix(CATALOG).partition(".")
    with load_catalog(catalog) as found:
        return found.load_table(name)


def _of_folder(place: Place) -> Table:
    """A table as its newest metadata, those of the highest number, describe it."""
    listed = place.filesystem.get_file_info(pafs.FileSelector(f"{place.path}/metadata"))
    names = [info.base_name for info in listed if info.path.endswith(".metadata.json")]
    newest = max(names, key=lambda name: (int(found[1]) if (found := _NUMBER.match(name)) else -1, name))
    properties = {"py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO"}
    if place.address.startswith("s3") and (endpoint := s3_endpoint()):
        properties["s3.endpoint"] = endpoint
    return StaticTable.from_metadata(f"{place.address.rstrip('/')}/metadata/{newest}", properties)


def _snapshot(table: Table, path: str, version: int | str | None) -> int | None:
    """The snapshot that is asked for; None of a table that has none yet."""
    if isinstance(version, int):
        found = table.snapshot_by_id(version)
    elif version is not None:
        found = table.snapshot_as_of_timestamp(moment_of(version))
    else:
        found = table.current_snapshot()
    if found is None and version is not None:
        there = ", ".join(str(s.snapshot_id) for s in table.snapshots()[-5:]) or "none"
        raise SourceNotFoundError(
            f"The Iceberg table {path!r} has no snapshot {version!r}; its newest are: {there}.",
            "take `version` out to read the newest; old snapshots go when they expire.",
            path=path, version=version,
        )  # fmt: skip
    return None if found is None else found.snapshot_id


def _in_place(table: Table, scan: DataScan, place: Place) -> pads.Dataset | None:
    """The table's files as a data set; None where deletions, other names or formats, or another place forbid it."""
    tasks = list(scan.plan_files())
    is_parquet = {task.file.file_format for task in tasks} == {FileFormat.PARQUET}
    if not is_parquet or not _is_steady(table) or any(task.delete_files for task in tasks):
        return None
    parts = [(task.file.file_path, urlsplit(task.file.file_path)) for task in tasks]
    own = urlsplit(place.address)
    if own.scheme in ("s3", "s3a", "gs") and all((p.scheme, p.netloc) == (own.scheme, own.netloc) for _, p in parts):
        files = [f"{p.netloc}{p.path}" for _, p in parts]
    elif not own.scheme and all(p.scheme in ("", "file") for _, p in parts):
        files = [unquote(p.path) if p.scheme else address for address, p in parts]
    else:
        return None
    return pads.dataset(files, schema=scan.projection().as_arrow(), format="parquet", filesystem=place.filesystem)


def _is_steady(table: Table) -> bool:
    """Whether each column has one name, and each name one column, in all schemas that the table ever had.

    Files are then right by the names of their columns alone.
    """
    fields = {(s.find_field(name).field_id, name) for s in table.metadata.schemas for name in s.column_names}
    defaults = any(field.initial_default is not None for s in table.metadata.schemas for field in s.fields)
    is_named_once = len({i for i, _ in fields}) == len(fields) == len({name for _, name in fields})
    return is_named_once and not defaults and table.name_mapping() is None
