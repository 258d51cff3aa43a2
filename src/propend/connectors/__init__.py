"""Where raw data comes from: whoever recognises an origin says which files or tables to read, and how.

A connector reads no rows itself; the engine does, from what the connector hands over. Others are added through the
entry point group ``propend.connectors``: a class without arguments that has ``name``, ``accepts`` and ``locate``
(docs/extending.md). ``propend.contracts.connectors.check_connector`` is the test that they must pass.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import metadata

from propend.connectors.databases import DatabaseConnector
from propend.connectors.files import FileConnector
from propend.connectors.frames import FrameConnector
from propend.connectors.lakes import LakeConnector
from propend.connectors.origins import (
    Connector,
    FileGroup,
    Links,
    Located,
    Origin,
    RetypedError,
    Since,
    Stream,
    Table,
)
from propend.connectors.stores import StoreConnector
from propend.document import without_passwords
from propend.errors import PropendError, SourceNotFoundError, SourceUnreadableError

ENTRY_POINTS = "propend.connectors"
NEEDED = ("accepts", "locate")
OWN: tuple[type[Connector], ...] = (DatabaseConnector, FrameConnector, LakeConnector, StoreConnector, FileConnector)
VERSIONED = ("delta", "iceberg")
"""Formats whose tables keep what they once held."""
log = logging.getLogger("propend.connectors")


@dataclass(frozen=True)
class Known:
    """A connector as it was found.

    Attributes:
        name: what it calls itself; the name of its entry point where it could not be made.
        distribution, version: of the package that it is from.
        problem: why it is not used; empty if it is.
        connector: what it made; None where it is not used.
    """

    name: str
    distribution: str
    version: str
    problem: str = ""
    connector: Connector | None = None


@lru_cache(maxsize=1)
def known() -> tuple[Known, ...]:
    """All connectors as they are asked: databases, tables, those of other packages, lakes, addresses, files.

    One that cannot be used is logged once, and left out of what is asked.
    """
    points = sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda point: (point.name, point.value))
    found = [_known(point) for point in points if not point.value.startswith("propend.")]
    for broken in (one for one in found if one.problem):
        log.warning("the connector %r of %s is not used: %s", broken.name, broken.distribution, broken.problem)
    databases, tables, *own = (Known(kind.name, "propend", metadata.version("propend"), "", kind()) for kind in OWN)
    return (databases, tables, *found, *own)


def _known(point: metadata.EntryPoint) -> Known:
    """What an entry point of another package makes; whatever goes wrong there is its problem, not ours."""
    dist = point.dist
    whose = (dist.name, dist.version) if dist is not None else ("an unknown package", "")
    try:
        made = point.load()()
        lacking = [name for name in NEEDED if not callable(getattr(made, name, None))]
        if not (isinstance(getattr(made, "name", None), str) and made.name):
            lacking.insert(0, "name")
    except Exception as error:  # of whatever kind: it is their code
        return Known(point.name, *whose, _told(error))
    if lacking:
        return Known(point.name, *whose, f"it has no {' and no '.join(lacking)}")
    return Known(made.name, *whose, "", made)


def _told(error: Exception) -> str:
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first:.200}".rstrip(": ")


def connectors() -> tuple[Connector, ...]:
    """All connectors that can be used, in the order in which they are asked."""
    return tuple(one.connector for one in known() if one.connector is not None)


def locate(origin: Origin) -> Located:
    """What to read for an origin, by the first connector that accepts it.

    Where none accepts all of several paths, each is located by itself, and all are put together by name of column.

    Raises:
        SourceNotFoundError: no connector accepts it, or there is nothing there.
        SourceUnreadableError: what is there cannot be read, or has no versions or days that are asked for; or a
            connector of another package failed.
    """
    for connector in connectors():
        found = _located(connector, origin)
        if found is not None:
            return _checked(connector, found, origin)
    if len(origin.paths) > 1:
        return _together(origin.name, [locate(replace(origin, paths=(path,))) for path in origin.paths])
    names, wanted = ", ".join(c.name for c in connectors()), without_passwords(origin.name)
    raise SourceNotFoundError(
        f"No connector reads {wanted!r}; there are: {names}.",
        "export it to Parquet or CSV files, or install a connector; databases are named by `database:` and `table:`.",
        path=wanted,
    )


def _located(connector: Connector, origin: Origin) -> Located | None:
    """What a connector locates; None if the origin is not of its kind."""
    if isinstance(connector, OWN):
        return connector.locate(origin) if connector.accepts(origin) else None
    try:
        return connector.locate(origin) if connector.accepts(origin) else None
    except PropendError:
        raise
    except Exception as error:  # their mistakes are told as theirs
        wanted = without_passwords(origin.name)
        raise SourceUnreadableError(
            f"The connector {connector.name!r} failed at {wanted!r}: {_told(error)}.",
            "`propend connectors` says which package it is from; report it there, or take that package out.",
            path=wanted, connector=connector.name,
        ) from error  # fmt: skip


def _together(name: str, parts: list[Located]) -> Located:
    """What several connectors located, as one source."""
    formats = sorted({form for part in parts for form in part.format.split(" and ")})
    return Located(
        name,
        " and ".join(formats),
        tuple(group for part in parts for group in part.groups),
        tuple(table for part in parts for table in part.tables),
        sum(part.left_out for part in parts),
    )


def _checked(connector: Connector, found: Located, origin: Origin) -> Located:
    """What was located; a version is only asked of tables that have some, and days of what has folders for them."""
    has_versions = found.format.startswith(VERSIONED)
    if origin.version is not None and not has_versions:
        raise SourceUnreadableError(
            f"{origin.name!r} has no versions: it is no Delta or Iceberg table.",
            "take `version` out.",
            path=origin.name,
        )
    if origin.since is not None and not isinstance(connector, FileConnector | StoreConnector):
        raise SourceUnreadableError(
            f"{origin.name!r} has no folders of days, so that `since` says nothing of it.",
            "take `since` out, or name a folder whose partitions are days (dt=2024-01-31).",
            path=origin.name,
        )
    return found


__all__ = [
    "Connector", "FileGroup", "Known", "Links", "Located", "Origin", "RetypedError", "Since", "Stream", "Table",
    "connectors", "known", "locate",
]  # fmt: skip
