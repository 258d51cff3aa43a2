"""Addresses: object stores (S3, Google Cloud Storage, Azure) and files of web servers.

S3, Google and Azure are read by Arrow's own file systems; the keys to them come from where their tools keep them (the
environment, profiles, the machine's role), never from a document. Parquet is read in place, of each file the columns
that are asked for; anything else is copied once into the session's scratch folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from propend.connectors.copies import keep, refuse_too_large
from propend.connectors.files import formats_of, groups_of, is_data_file, is_hidden
from propend.connectors.hive import Partitions, partitions_of, values_of, wanted
from propend.connectors.libraries import load
from propend.connectors.origins import Located, Origin, is_address
from propend.connectors.places import Place, s3_endpoint
from propend.document import without_passwords
from propend.errors import (
    LibraryMissingError,
    SourceChangedError,
    SourceNotFoundError,
    SourceUnreadableError,
    first_line,
)

WEB = ("http", "https")
STORES = {
    "s3": "s3", "s3a": "s3", "s3n": "s3",
    "gs": "gs", "gcs": "gs",
    "az": "azure", "azure": "azure", "abfs": "azure", "abfss": "azure",
}  # fmt: skip
_AZURE = re.compile(r"([^@/]+)@([a-z0-9]{3,24})\.(dfs|blob)\.core\.windows\.net")
_AT_ONCE = 16
"""Requests at the same time, while schemas are read."""
_CHUNK = 1 << 22
_SECONDS = 20.0


class StoreConnector:
    """Addresses: files, globs and folders of an object store, tables of lakes in them, and files of web servers."""

    name = "addresses"

    def accepts(self, origin: Origin) -> bool:
        return all(is_address(p) and _scheme(p) in (*WEB, *STORES) for p in origin.paths)

    def locate(self, origin: Origin) -> Located:
        """What to read.

        Raises:
            SourceNotFoundError: there is nothing there.
            SourceUnreadableError: it may not be read, or cannot be reached.
            LibraryMissingError: what reads it is not installed.
        """
        parts = [self._located(path, origin) for path in origin.paths]
        formats = sorted({name for part in parts for name in part.format.split(" and ")})
        return Located(
            origin.name,
            " and ".join(formats),
            tuple(group for part in parts for group in part.groups),
            tuple(table for part in parts for table in part.tables),
            sum(part.left_out for part in parts),
        )

    def _located(self, path: str, origin: Origin) -> Located:
        if _scheme(path) in WEB:
            wanted([{}], origin.since, path)
            file = load("propend.connectors.web").download(path, origin.scratch, origin.reach)
            groups = groups_of([file], origin.scratch)
            return Located(path, formats_of(groups), groups)
        place = place_of(path)
        with failures_told(path):
            kind = lake_in(place)
            if kind:
                found: Located = load(f"propend.connectors.{kind}").located_at(place, replace(origin, paths=(path,)))
                return found
            return _located_files(place, origin)


def _scheme(path: str) -> str:
    return urlsplit(path).scheme.lower()


# --- places -------------------------------------------------------------------------------------------------


def place_of(address: str) -> Place:
    """The file system of an address, and the path in it.

    Raises:
        LibraryMissingError: what reads it is not installed.
        SourceUnreadableError: the address names no bucket, or no account is known.
    """
    parts, store = urlsplit(address), STORES[_scheme(address)]
    path = f"{parts.netloc}{parts.path}".rstrip("/")
    if not parts.netloc:
        raise SourceUnreadableError(f"{address!r} names no bucket.", "write s3://bucket/folder.", path=address)
    if store == "azure":
        return Place(*_azure(address), address)
    return Place(_s3(parts.netloc) if store == "s3" else _built_in("GcsFileSystem")(), path, address)


def _s3(bucket: str) -> pafs.FileSystem:
    made, endpoint = _built_in("S3FileSystem"), s3_endpoint()
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None and endpoint is None:
        with failures_told(f"s3://{bucket}"):
            region = pafs.resolve_s3_region(bucket)
    options = {"endpoint_override": endpoint} if endpoint else {}
    retry = pafs.AwsStandardS3RetryStrategy(max_attempts=3)
    return made(
        region=region or "us-east-1",
        connect_timeout=_SECONDS,
        request_timeout=3 * _SECONDS,
        retry_strategy=retry,
        **options,
    )


def _azure(address: str) -> tuple[pafs.FileSystem, str]:
    parts = urlsplit(address)
    whole = _AZURE.fullmatch(parts.netloc)
    account = (
        whole[2] if whole else os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", os.environ.get("AZURE_STORAGE_ACCOUNT"))
    )
    if not account or (not whole and "@" in parts.netloc):
        raise SourceUnreadableError(
            f"{address!r} does not say which storage account it is in.",
            "write abfs://container@account.dfs.core.windows.net/folder, or set AZURE_STORAGE_ACCOUNT_NAME.",
            path=address,
        )
    key = os.environ.get("AZURE_STORAGE_KEY", os.environ.get("AZURE_STORAGE_ACCOUNT_KEY"))
    made = _built_in("AzureFileSystem")(account, **({"account_key": key} if key else {}))
    return made, f"{whole[1] if whole else parts.netloc}{parts.path}".rstrip("/")


def _built_in(name: str) -> Any:
    try:
        return getattr(pafs, name)
    except (ImportError, AttributeError):
        raise LibraryMissingError(
            f"This build of pyarrow ({pa.__version__}) has no {name}.", "pip install 'pyarrow>=21'.", library="pyarrow"
        ) from None


@contextmanager
def failures_told(address: str) -> Iterator[None]:
    """What goes wrong on the way to a place, with what helps.

    Raises:
        SourceNotFoundError: there is no such bucket or file.
        SourceUnreadableError: it may not be read, or cannot be reached.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise refusal_of(error, address) from None


_KINDS = (
    (
        r"NO_SUCH_BUCKET|NoSuchBucket|bucket does not exist|Bucket .*not found|ContainerNotFound",
        "there is no such bucket",
        "correct its name; AWS_ENDPOINT_URL, where it is set, says on which server it is looked for.",
        SourceNotFoundError,
    ),
    (
        r"ACCESS_DENIED|AccessDenied|Forbidden|\b40[13]\b|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT_MATCH|InvalidAccessKey"
        r"|INVALID_SIGNATURE|MISSING_AUTHENTICATION|UNRECOGNIZED_CLIENT|Permission|Unauthenticated|AuthorizationFailure"
        r"|AuthenticationFailed|ExpiredToken",
        "access is denied",
        "give the account that runs propend the right to list and read it; keys are taken from the environment, a "
        "profile or the machine's role.",
        SourceUnreadableError,
    ),
    (
        r"NETWORK_CONNECTION|ould ?n.?t connect|resolve host|[Tt]imed? ?out|curlCode|Connection|Name or service",
        "it cannot be reached",
        "see to the network; AWS_ENDPOINT_URL, where it is set, must lead to the store.",
        SourceUnreadableError,
    ),
    (
        r"NO_SUCH_KEY|NoSuchKey|[Nn]ot found|No such file",
        "there is no such file",
        "correct the path.",
        SourceNotFoundError,
    ),
)


def refusal_of(error: Exception, address: str) -> SourceNotFoundError | SourceUnreadableError:
    """A file system's error as ours."""
    text = first_line(error)
    shown = without_passwords(address)
    for pattern, problem, hint, kind in _KINDS:
        if re.search(pattern, text) or (kind is SourceNotFoundError and isinstance(error, FileNotFoundError)):
            return kind(f"{shown!r} cannot be read: {problem}.", hint, path=shown, said=text[:300])
    return SourceUnreadableError(
        f"{shown!r} cannot be read: {text:.300}.", "look at that place with the store's own tools.", path=shown
    )


def lake_in(place: Place) -> str:
    """``delta`` or ``iceberg`` if that is what lies at a place, else nothing."""
    if re.search(r"[*?[]", place.path):
        return ""
    log, metadata = place.filesystem.get_file_info([f"{place.path}/_delta_log", f"{place.path}/metadata"])
    if log.type == pafs.FileType.Directory:
        return "delta"
    is_iceberg = metadata.type == pafs.FileType.Directory and any(
        info.path.endswith(".metadata.json")
        for info in place.filesystem.get_file_info(pafs.FileSelector(metadata.path, recursive=False))
    )
    return "iceberg" if is_iceberg else ""


# --- files --------------------------------------------------------------------------------------------------


def _located_files(place: Place, origin: Origin) -> Located:
    root, found = _found(place)
    _refuse_parts_of_tables(place, root)
    parts = [values_of(PurePosixPath(info.path).relative_to(root).parts[:-1]) for info in found]
    read = wanted(parts, origin.since, place.address)
    kept = [(info, part) for info, part, is_read in zip(found, parts, read, strict=True) if is_read]
    parquet = [(info, part) for info, part in kept if _is_parquet(info.path)]
    others = [info for info, _ in kept if not _is_parquet(info.path)]
    tables = (_dataset(place, parquet),) if parquet else ()
    groups = groups_of([_copied(place, info, origin) for info in others], origin.scratch)
    formats = [*(["parquet"] if tables else []), *([formats_of(groups)] if groups else [])]
    return Located(place.address, " and ".join(formats), groups, tables, len(read) - len(kept))


def _is_parquet(path: str) -> bool:
    return path.lower().endswith((".parquet", ".pq", ".parq"))


def _found(place: Place) -> tuple[str, list[pafs.FileInfo]]:
    """The folder below which partitions are, and all files, sorted; one listing, so that all agree on what there is."""
    if re.search(r"[*?[]", place.path):
        whole = place.path.split("/")
        fixed = next(i for i, name in enumerate(whole) if re.search(r"[*?[]", name))
        root, pattern = "/".join(whole[:fixed]), _as_pattern(place.path)
        found = [info for info in _files_in(place, root) if pattern.fullmatch(info.path)]
    else:
        info = place.filesystem.get_file_info(place.path)
        if info.type == pafs.FileType.File:
            return str(PurePosixPath(place.path).parent), [info]
        root = place.path
        found = [
            info
            for info in _files_in(place, root)
            if is_data_file(info.path) and not any(map(is_hidden, PurePosixPath(info.path).relative_to(root).parts))
        ]
    if found:
        return root, sorted(found, key=lambda info: str(info.path))
    bucket = place.path.split("/", 1)[0]
    if place.filesystem.get_file_info(bucket).type == pafs.FileType.NotFound:
        raise refusal_of(OSError("NoSuchBucket"), place.address)
    raise SourceNotFoundError(
        f"{place.address!r} holds no data files.", "correct the path; folders are read with all folders in them.",
        path=place.address,
    )  # fmt: skip


def _files_in(place: Place, root: str) -> list[pafs.FileInfo]:
    listed = place.filesystem.get_file_info(pafs.FileSelector(root, allow_not_found=True, recursive=True))
    return [info for info in listed if info.type == pafs.FileType.File and info.size != 0]


def _as_pattern(path: str) -> re.Pattern[str]:
    """A glob as an expression: ``*`` stays within a folder, ``**`` is any folders."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]/]+\])", path)
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(signs.get(p) or (p.replace("[!", "[^") if i % 2 else re.escape(p)) for i, p in enumerate(parts))
    )


def _refuse_parts_of_tables(place: Place, root: str) -> None:
    if place.path != root and root:
        kind = lake_in(Place(place.filesystem, root, place.address))
        if kind:
            raise SourceUnreadableError(
                f"{place.address!r} holds files of {'a Delta' if kind == 'delta' else 'an Iceberg'} table, among them "
                "rows that were deleted.",
                "name the table's own folder, as a source of its own.",
                path=place.address,
            )


def _dataset(place: Place, files: Sequence[tuple[pafs.FileInfo, Mapping[str, str | None]]]) -> pads.Dataset:
    """Parquet files as one data set with the columns of all of them, and those of their folders."""
    columns = partitions_of([part for _, part in files], place.address)
    paths = [info.path for info, _ in files]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        schemas = list(pool.map(lambda path: _schema(place, path), paths))
    try:
        schema = pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException as error:
        raise SourceUnreadableError(
            f"Files of {place.address!r} have columns of one name and different types: {str(error).splitlines()[0]}.",
            "name each kind of file as a source of its own.",
            path=place.address,
        ) from None
    of_folders = _partition_schema(columns)
    own = [field for field in schema if field.name not in of_folders.names]
    partitioning = pads.partitioning(of_folders, flavor="hive") if columns else None
    whole = pa.schema([*own, *of_folders])
    return pads.dataset(paths, schema=whole, format="parquet", filesystem=place.filesystem, partitioning=partitioning)


def _schema(place: Place, path: str) -> pa.Schema:
    try:
        with (
            failures_told(f"{place.address} ({PurePosixPath(path).name})"),
            place.filesystem.open_input_file(path) as file,
        ):
            return pq.read_schema(file).remove_metadata()
    except SourceNotFoundError as error:
        raise SourceChangedError(
            f"{PurePosixPath(path).name!r} of {place.address!r} was there when the files were listed, and is gone.",
            "run it again when whoever writes the files is done.",
            path=place.address,
        ) from error


def _partition_schema(columns: Partitions) -> pa.Schema:
    types = {"DATE": pa.date32(), "BIGINT": pa.int64(), "VARCHAR": pa.string()}
    return pa.schema([(name, types[kind]) for name, kind in columns])


def _copied(place: Place, info: pafs.FileInfo, origin: Origin) -> Path:
    """A copy in the scratch folder of a file that is not read in place.

    Raises:
        SourceUnreadableError: it is larger than may be copied.
        NotEnoughMemoryError: there is no room for it.
    """
    name = PurePosixPath(info.path).name
    what = f"{name!r} of {place.address!r}"
    refuse_too_large(what, info.size, origin.reach.most_mb)
    with place.filesystem.open_input_stream(info.path, compression=None) as stream:
        return keep(_chunks(stream, place.address), name, origin.scratch, origin.reach.most_mb, what)


def _chunks(stream: Any, address: str) -> Iterator[bytes]:
    with failures_told(address):
        while chunk := stream.read(_CHUNK):
            yield bytes(chunk)
