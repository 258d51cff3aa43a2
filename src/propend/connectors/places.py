"""A place in a file system: this machine's, or that of an object store."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pyarrow.fs as pafs


@dataclass(frozen=True)
class Place:
    """An address, taken apart.

    Attributes:
        filesystem: what reads it.
        path: in the file system; may hold a glob.
        address: as written; of this machine, the path.
    """

    filesystem: pafs.FileSystem
    path: str
    address: str


def s3_endpoint() -> str | None:
    """The server in place of Amazon's, if the environment names one."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
