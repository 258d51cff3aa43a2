"""What a workspace takes on the disk, and what is left there."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from propend.store.runs import WORK_FOLDER

KNOWN_SECONDS = 600.0


@dataclass(frozen=True)
class Room:
    """Bytes on the disk.

    Attributes:
        runs: files of runs: scores, models, proofs, reports.
        rest: everything else in the workspace: data in it, the catalog, logs.
        free, total: of the disk that the workspace is on.
    """

    runs: int
    rest: int
    free: int
    total: int


class Measured:
    """What a workspace takes, looked up every ten minutes at most: a year of runs is many files."""

    def __init__(self, home: Path) -> None:
        """``home``: the workspace's folder."""
        self._home = home
        self._lock = threading.Lock()
        self._known: tuple[float, Room] | None = None

    def room(self) -> Room:
        """As of ten minutes ago, or later."""
        with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > KNOWN_SECONDS:
                self._known = time.monotonic(), self._measured()
            return self._known[1]

    def _measured(self) -> Room:
        of_runs, everything = self._home / WORK_FOLDER / "runs", 0
        runs = 0
        for path, size in _files(self._home):
            everything += size
            runs += size if path.startswith(str(of_runs) + os.sep) else 0
        disk = shutil.disk_usage(self._home)
        return Room(runs, everything - runs, disk.free, disk.total)


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Every file below a folder with its size; what is removed meanwhile, or cannot be looked at, is left out."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)  # noqa: PTH118 - a hundred thousand of them, and nothing but texts wanted
            try:
                yield path, os.lstat(path).st_size
            except OSError:
                continue
