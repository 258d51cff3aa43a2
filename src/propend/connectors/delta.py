"""Delta tables: the rows of one version, without those that were deleted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, DeltaProtocolError

from propend.connectors.origins import Located, Origin, moment_of
from propend.connectors.places import Place, s3_endpoint
from propend.errors import SourceNotFoundError, SourceUnreadableError, first_line


def located(folder: Path, origin: Origin) -> Located:
    """A version of the table in a folder of this machine; see ``located_at``."""
    return located_at(Place(pafs.LocalFileSystem(), str(folder), str(folder)), origin)


def located_at(place: Place, origin: Origin) -> Located:
    """A version of a table.

    Its files are read in place where they hold all there is; where some rows are marked as deleted, or columns go by
    other names in the files, or files lie elsewhere, its rows come as a stream.

    Raises:
        SourceNotFoundError: there is no such version.
        SourceUnreadableError: the table's log cannot be read, or asks for what is not known.
    """
    try:
        table = DeltaTable(place.address, storage_options=_options(place.address))
    except (DeltaError, OSError, ValueError) as error:
        raise _unreadable(origin.name, error) from None
    _go_back(table, place, origin.name, origin.version)
    try:
        rows = _in_place(table, place) or pa.RecordBatchReader.from_stream(table.scan())
    except (DeltaError, OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(origin.name, error) from None
    return Located(origin.name, f"delta (version {table.version()})", tables=(rows,))


def _options(address: str) -> dict[str, str] | None:
    """What the table's own reader asks for of a store that is not Amazon's; keys it finds itself."""
    endpoint = s3_endpoint() if address.startswith("s3") else None
    if endpoint is None:
        return None
    return {"aws_endpoint": endpoint, "aws_allow_http": str(endpoint.startswith("http://")).lower()}


def _go_back(table: DeltaTable, place: Place, path: str, version: int | str | None) -> None:
    """Have the table as it was."""
    if version is None:
        return
    newest = table.version()
    asked = version if isinstance(version, int) else datetime.fromtimestamp(moment_of(version) / 1000, tz=UTC)
    try:
        table.load_as_version(asked)
        if isinstance(asked, datetime):
            _refuse_before_all(table, place, asked)
    except (DeltaError, OSError, ValueError) as error:
        raise SourceNotFoundError(
            f"The Delta table {path!r} cannot be read as of {version!r}: {_first_line(error)}.",
            f"its newest version is {newest}, which is read without `version`; old ones go when a table is vacuumed.",
            path=path, version=version, newest=newest,
        ) from None  # fmt: skip


def _refuse_before_all(table: DeltaTable, place: Place, asked: datetime) -> None:
    """The library gives the first version where a time lies before all.

    Raises:
        ValueError: it does.
    """
    log = place.filesystem.get_file_info(f"{place.path}/_delta_log/{table.version():020}.json")
    if log.mtime is not None and log.mtime > asked:
        raise ValueError(f"the first version that is kept is of {log.mtime.isoformat(timespec='seconds')}")


def _in_place(table: DeltaTable, place: Place) -> pads.Dataset | None:
    """The table's files as a data set; None where they are not all there is to know."""
    home = f"{place.address.rstrip('/')}/"
    if any(not unquote(uri.removeprefix("file://")).startswith(home) for uri in table.file_uris()):
        return None
    try:
        return table.to_pyarrow_dataset(filesystem=pafs.SubTreeFileSystem(place.path, place.filesystem))
    except DeltaProtocolError:
        return None


def _unreadable(path: str, error: Exception) -> SourceUnreadableError:
    return SourceUnreadableError(
        f"The Delta table {path!r} cannot be read: {_first_line(error)}.",
        "look at its _delta_log with the tool that writes it.",
        path=path,
    )


def _first_line(error: Exception) -> str:
    text = first_line(error).rstrip(".")
    return f"{text:.300}"
