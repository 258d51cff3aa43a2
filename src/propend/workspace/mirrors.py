"""Mirrors of a workspace: rows of databases that its instances keep from run to run, ``.propend/mirrors/ID``."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from propend.engines.duckdb import DuckdbDatabase
from propend.engines.mirror_files import DamagedError, Mirror
from propend.engines.mirrors import erased
from propend.errors import MirrorFailedError
from propend.protection import Forgotten, Mirrors
from propend.store.runs import WORK_FOLDER

FOLDER = "mirrors"
log = logging.getLogger("propend.mirrors")


class KeptMirrors:
    """The mirrors of all instances; they go with their instance."""

    def __init__(self, home: Path, full_every_days: int, forgotten: Callable[[], Forgotten | None]) -> None:
        """Args: the workspace's folder, age from which everything is read again, and who is to be forgotten by now."""
        self._folder, self._full_every_days, self._forgotten = home / WORK_FOLDER / FOLDER, full_every_days, forgotten

    def of(self, instance_id: str, full_since: datetime | None = None) -> Mirrors:
        """Where an instance's are; ``full_since``: as in ``Mirrors``."""
        return Mirrors(self._folder / instance_id, full_since, self._full_every_days, self._forgotten)

    def sweep(self, instance_id: str, since: datetime) -> None:
        """Remove mirrors that were not read since: their table is not the instance's any more, or was changed."""
        try:
            for mirror in self._of_folder(self._folder / instance_id):
                with mirror.swapping():
                    manifest = None
                    with suppress(DamagedError):
                        manifest = mirror.manifest()
                    if manifest is None or manifest.read_at < since:
                        shutil.rmtree(mirror.folder, ignore_errors=True)
        except MirrorFailedError as error:  # what the run gave stands; the next run tries again
            log.warning("mirrors that nothing needs could not be removed: %s", error.message)

    def forget(self) -> int:
        """Take everybody who is to be forgotten out of all mirrors; gives how many rows that were.

        A mirror that is damaged is removed whole: the next run reads everything, without them.

        Raises:
            MirrorFailedError: a folder cannot be written.
        """
        forgotten = self._forgotten()
        found = [mirror for folder in sorted(self._folder.glob("*")) for mirror in self._of_folder(folder)]
        if not forgotten or not found:
            return 0
        database = DuckdbDatabase(None, None)
        try:
            return sum(self._cleared(database, mirror, forgotten) for mirror in found)
        finally:
            database.close()

    @staticmethod
    def _cleared(database: DuckdbDatabase, mirror: Mirror, forgotten: Forgotten) -> int:
        with mirror.swapping(), mirror.keeping():
            try:
                manifest = mirror.manifest()
                return erased(database, mirror, manifest, forgotten)[1] if manifest is not None else 0
            except DamagedError as error:
                log.warning("a mirror is damaged, and is removed: %s", error)
                mirror.tidy(None)
                return 0

    @staticmethod
    def _of_folder(folder: Path) -> Iterator[Mirror]:
        yield from (Mirror(path) for path in sorted(folder.glob("*")) if path.is_dir())
