"""Tables of lakes on this machine's disks, and by their name in an Iceberg catalog."""

from __future__ import annotations

from propend.connectors.files import absolute, lake_at
from propend.connectors.libraries import load
from propend.connectors.origins import Located, Origin, is_address

CATALOG = "iceberg:"


class LakeConnector:
    """A folder that is a Delta or Iceberg table, or ``iceberg:catalog.namespace.table``."""

    name = "lakes"

    def accepts(self, origin: Origin) -> bool:
        path = origin.paths[0] if len(origin.paths) == 1 else ""
        if not path or is_address(path):
            return path.startswith(CATALOG)
        return bool(lake_at(absolute(path, origin.folder)))

    def locate(self, origin: Origin) -> Located:
        """The rows of a version.

        Raises:
            LibraryMissingError: what reads such tables is not installed.
            SourceNotFoundError: there is no such table or version.
            SourceUnreadableError: its log or metadata cannot be read.
        """
        place = absolute(origin.name, origin.folder)
        kind = "iceberg" if origin.name.startswith(CATALOG) else lake_at(place)
        found: Located = load(f"propend.connectors.{kind}").located(place, origin)
        return found
