"""Connectors whose libraries are optional: they are imported when a source asks for them."""

from __future__ import annotations

import importlib
from typing import Any

from propend.errors import LibraryMissingError

EXTRAS = {
    "adbc_driver_manager": "postgres",
    "adbc_driver_postgresql": "postgres",
    "deltalake": "lakes",
    "keyring": "keyring",
    "pyiceberg": "lakes",
}
"""What must be installed with propend for each library."""


def load(module: str) -> Any:
    """A module of connectors whose library may be missing.

    Raises:
        LibraryMissingError: it is; the extra to install is named.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        library = str(error.name).split(".")[0]
        if library not in EXTRAS:
            raise
        raise LibraryMissingError(
            f"{library} is needed to read this source, and is not installed.",
            f"pip install 'propend[{EXTRAS[library]}]'.",
            library=library,
        ) from None
