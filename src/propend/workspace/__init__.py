"""A workspace: a folder with instances and runs, and the catalog that says what counts.

    propend.toml            how it runs, retrains, keeps and tells                      (settings)
    data/                   files of events that were uploaded                           (uploads)
    instances/ID.yaml       the newest version of each instance                          (instances)
    .propend/catalog.db     versions, runs, people, audit; or PROPEND_DATABASE_URL       (store.catalog)
    .propend/runs/ID/RUN/   files of each run                                            (runs, execution)
    .propend/locks, tmp     of runs that are executed now
    .propend/mirrors/ID/    rows of databases that are kept from run to run              (mirrors)
    exports/                files that scores are pushed to                              (destinations, pushing)

Several processes may work on one workspace: the command line, servers, and the runs themselves.
"""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from propend.errors import ForgettingFailedError, PropendError
from propend.protection import USUAL, Protection
from propend.store.catalog import Catalog, RunRow, sqlite_url
from propend.store.membership import MEMBERS
from propend.store.runs import WORK_FOLDER
from propend.workspace.alerts import Alerts
from propend.workspace.audit import LOCAL, Audit
from propend.workspace.destinations import FOLDER as EXPORTS
from propend.workspace.destinations import Destinations
from propend.workspace.instances import PROPOSALS, Instances
from propend.workspace.membership import Membership
from propend.workspace.mirrors import KeptMirrors
from propend.workspace.privacy import Privacy, forgotten_of
from propend.workspace.pushing import Pushing
from propend.workspace.runs import Runs
from propend.workspace.segments import Segments
from propend.workspace.settings import SETTINGS_FILE, Settings, read_settings
from propend.workspace.uploads import Uploads
from propend.writing import sweep

DATABASE_VARIABLE = "PROPEND_DATABASE_URL"
log = logging.getLogger("propend.workspace")


class Workspace:
    """An open workspace.

    Attributes:
        home: its folder.
        settings: of ``propend.toml``.
        catalog, instances, runs, audit, alerts, destinations, pushing, mirrors, privacy, membership, data: its rooms.
        problems: files of instances that could not be taken in when it was opened, by name.
    """

    def __init__(self, home: Path, settings: Settings, catalog: Catalog) -> None:
        """Use ``open``."""
        self.home, self.settings, self.catalog = home, settings, catalog
        self.instances = Instances(home, catalog, settings.policies)
        self.runs = Runs(home, catalog, self.instances, settings)
        self.alerts = Alerts(settings.alerts.webhook)
        self.audit = Audit(catalog, settings.retention.audit_days)
        self.destinations = Destinations(home, catalog, self.instances, settings)
        segments = Segments(catalog, self.instances)
        self.pushing = Pushing(home, self.destinations, self.runs, segments, self.alerts, settings.exports.tries)
        self.mirrors = KeptMirrors(home, settings.mirrors.full_every_days, partial(forgotten_of, catalog))
        self.privacy = Privacy(home, catalog, self.runs, self.pushing.forget, self.mirrors.forget)
        self.membership = Membership(home, catalog, self.runs, segments, self.privacy)
        self.data = Uploads(home, catalog, settings.uploads.most_bytes)
        self.problems: dict[str, PropendError] = {}

    @classmethod
    def open(cls, home: str | Path, url: str | None = None) -> Workspace:
        """Open a workspace; its catalog is made or brought to the newest form, and edited files are taken in.

        Args:
            url: of the catalog's database; by default that of ``PROPEND_DATABASE_URL``, or a file in the workspace.

        Raises:
            WorkspaceNotFoundError: the folder is not a workspace.
            CatalogUnavailableError: the catalog cannot be reached.
        """
        home = Path(home).absolute()
        settings = read_settings(home)
        work = home / WORK_FOLDER
        work.mkdir(exist_ok=True)
        catalog = Catalog(url or os.environ.get(DATABASE_VARIABLE) or sqlite_url(work / "catalog.db"))
        catalog.migrate()
        workspace = cls(home, settings, catalog)
        workspace.refresh()
        return workspace

    def refresh(self) -> None:
        """Take in files that were edited by hand, end runs that nobody is at work on, finish what was being removed."""
        for folder in self._written():
            sweep(folder)
        self.problems = self.instances.sync()
        for run_id in self.runs.reap():
            self.alerts.of_run(self.runs.get(run_id))
        self.pushing.reap()
        for instance_id in self.instances.deleted():
            self.instances.remove_rest(instance_id)
        try:
            self.privacy.resume()
        except ForgettingFailedError:
            log.exception("somebody who is to be forgotten could not be removed yet; it is tried again")

    def _written(self) -> list[Path]:
        """Folders that somebody may have been killed while writing into."""
        others = [self.home / folder for folder in self.settings.exports.folders]
        return [
            self.home, self.instances.folder, self.data.folder, self.home / EXPORTS, *others,
            *(self.home / WORK_FOLDER).glob("runs/*"), *(self.home / WORK_FOLDER).glob(f"runs/*/*/{MEMBERS}"),
            self.home / WORK_FOLDER / PROPOSALS,
        ]  # fmt: skip

    def protection(self) -> Protection:
        """What is demanded wherever the workspace's data are used, as of this moment."""
        return Protection(self.settings.policies, self.privacy.forgotten(), self.settings.data.reach)

    def protection_of(self, instance_id: str, full_since: datetime | None = None) -> Protection:
        """The same for the runs of an instance, with where its mirrors are; ``full_since``: as in ``Mirrors``."""
        return replace(self.protection(), mirrors=self.mirrors.of(instance_id, full_since))

    def delete(self, instance_id: str, by: str = LOCAL, keep_exports: bool = False) -> None:
        """Remove an instance with its versions, runs and scores; a run of it that is executed is stopped.

        Args:
            keep_exports: whether what destinations were given stays there; else it is taken back first (spec L11).

        Raises:
            InstanceNotFoundError: there is none of that id.
            PushFailedError: what a destination was given could not be taken back; the instance stays.
        """
        if not keep_exports:
            self.pushing.retract_all(instance_id, by)
        self.instances.mark_deleted(instance_id, by)
        self.runs.abandon(instance_id)
        self.instances.remove_rest(instance_id)

    def clear_scratch(self, run: RunRow) -> None:
        """Remove what a run filled while it was executed."""
        shutil.rmtree(self.runs.scratch(run), ignore_errors=True)

    def close(self) -> None:
        """Close the catalog."""
        self.catalog.close()


def protection_near(path: str | Path) -> Protection:
    """What is demanded by the workspace that a document or a run lies in; what is usual where it lies in none.

    Raises:
        ConfigurationError: the workspace's settings have mistakes.
        CatalogUnavailableError: its catalog cannot be reached.
    """
    here = Path(path).absolute()
    home = next((folder for folder in (here, *here.parents) if (folder / SETTINGS_FILE).is_file()), None)
    if home is None:
        return USUAL
    settings, file = read_settings(home), home / WORK_FOLDER / "catalog.db"
    url = os.environ.get(DATABASE_VARIABLE) or (sqlite_url(file) if file.is_file() else None)
    if url is None:  # nobody can have been forgotten
        return Protection(settings.policies, reach=settings.data.reach)
    catalog = Catalog(url)
    try:
        catalog.migrate()
        return Protection(settings.policies, forgotten_of(catalog), settings.data.reach)
    finally:
        catalog.close()
