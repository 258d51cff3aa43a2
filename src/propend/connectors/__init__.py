"""Where raw data comes from: whoever recognises an origin says which files or tables to read, and how.

A connector reads no rows itself; the engine does, from what the connector hands over. Others can be added
through the entry point group ``propend.connectors``: a class without arguments that has ``name``,
``accepts`` and ``locate``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from importlib import metadata

from propend.connectors.files import FileConnector
from propend.connectors.frames import FrameConnector
from propend.connectors.lakes import LakeConnector
from propend.connectors.origins import Connector, FileGroup, Located, Origin
from propend.document import without_passwords
from propend.errors import SourceNotFoundError, SourceUnreadableError

ENTRY_POINTS = "propend.connectors"
VERSIONED = ("delta", "iceberg")
"""Formats whose tables keep what they once held."""


@lru_cache(maxsize=1)
def connectors() -> tuple[Connector, ...]:
    """All connectors: tables first, then those installed by other packages, then lakes, files last."""
    own: tuple[type, ...] = (FrameConnector, LakeConnector, FileConnector)
    found = [point.load() for point in metadata.entry_points(group=ENTRY_POINTS)]
    added = [kind() for kind in found if kind not in own]
    return (FrameConnector(), *added, LakeConnector(), FileConnector())


def locate(origin: Origin) -> Located:
    """What to read for an origin, by the first connector that accepts it.

    Where none accepts all of several paths, each is located by itself, and all are put together by name of column.

    Raises:
        SourceNotFoundError: no connector accepts it, or there is nothing there.
        SourceUnreadableError: what is there cannot be read, or has no versions or days that are asked for.
    """
    for connector in connectors():
        if connector.accepts(origin):
            return _checked(connector.locate(origin), origin)
    if len(origin.paths) > 1:
        return _together(origin.name, [locate(replace(origin, paths=(path,))) for path in origin.paths])
    names, wanted = ", ".join(c.name for c in connectors()), without_passwords(origin.name)
    raise SourceNotFoundError(
        f"No connector reads {wanted!r}; there are: {names}.",
        "export the data to Parquet or CSV files, or install a connector for it.",
        path=wanted,
    )


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


def _checked(found: Located, origin: Origin) -> Located:
    """What was located; a version is only asked of tables that have some, and days of what has folders for them."""
    has_versions = found.format.startswith(VERSIONED)
    if origin.version is not None and not has_versions:
        raise SourceUnreadableError(
            f"{origin.name!r} has no versions: it is no Delta or Iceberg table.",
            "take `version` out.",
            path=origin.name,
        )
    if origin.since is not None and not any(group.partitions for group in found.groups):
        raise SourceUnreadableError(
            f"{origin.name!r} has no folders of days, so that `since` says nothing of it.",
            "take `since` out, or name a folder whose partitions are days (dt=2024-01-31).",
            path=origin.name,
        )
    return found


__all__ = ["Connector", "FileGroup", "Located", "Origin", "connectors", "locate"]
