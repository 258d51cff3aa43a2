"""Where raw data comes from: whoever recognises an origin says which files or tables to read, and how.

A connector reads no rows itself; the engine does, from what the connector hands over. Others can be added
through the entry point group ``propend.connectors``: a class without arguments that has ``name``,
``accepts`` and ``locate``.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata

from propend.connectors.files import FileConnector
from propend.connectors.frames import FrameConnector
from propend.connectors.origins import Connector, FileGroup, Located, Origin
from propend.document import without_passwords
from propend.errors import SourceNotFoundError

ENTRY_POINTS = "propend.connectors"


@lru_cache(maxsize=1)
def connectors() -> tuple[Connector, ...]:
    """All connectors: tables first, then those installed by other packages, files last."""
    own: tuple[type, ...] = (FrameConnector, FileConnector)
    found = [point.load() for point in metadata.entry_points(group=ENTRY_POINTS)]
    added = [kind() for kind in found if kind not in own]
    return (FrameConnector(), *added, FileConnector())


def locate(origin: Origin) -> Located:
    """What to read for an origin, by the first connector that accepts it.

    Raises:
        SourceNotFoundError: no connector accepts it, or there is nothing there.
        SourceUnreadableError: what is there cannot be read.
    """
    for connector in connectors():
        if connector.accepts(origin):
            return connector.locate(origin)
    names, wanted = ", ".join(c.name for c in connectors()), without_passwords(origin.name)
    raise SourceNotFoundError(
        f"No connector reads {wanted!r}; there are: {names}.",
        "export the data to Parquet or CSV files, or install a connector for it.",
        path=wanted,
    )


__all__ = ["Connector", "FileGroup", "Located", "Origin", "connectors", "locate"]
