"""What propend finds in a workspace, without changing anything there: settings, catalog, instances, the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import func, select

from propend.diagnosis import Finding, disk
from propend.errors import PropendError
from propend.store.catalog import HEAD, Catalog, InstanceRow, RunRow, sqlite_url
from propend.store.runs import WORK_FOLDER
from propend.workspace.settings import SETTINGS_FILE, read_settings

AREA = "workspace"


def examine_workspace(home: Path, database_variable: str) -> Iterator[Finding]:
    """Whether a folder is a workspace that can be worked with.

    Args:
        home: the folder; where it has no settings, that is told and nothing else is looked at.
        database_variable: of the environment, with the address of the catalog's database.
    """
    if not (home / SETTINGS_FILE).is_file():
        yield Finding(
            AREA, "folder", "absent", f"{home} is not a workspace", "`propend init DIR --data PATH` makes one."
        )
        return
    yield Finding(AREA, "folder", "good", str(home))
    try:
        read_settings(home)
    except PropendError as error:
        yield Finding(AREA, SETTINGS_FILE, "problem", error.message, error.hint)
    else:
        yield Finding(AREA, SETTINGS_FILE, "good", "read")
    yield disk(home)
    yield from _catalog(home, os.environ.get(database_variable))


def _catalog(home: Path, address: str | None) -> Iterator[Finding]:
    file = home / WORK_FOLDER / "catalog.db"
    if address is None and not file.is_file():
        yield Finding(AREA, "catalog", "absent", "not made yet", "the first command on this workspace makes it.")
        return
    try:
        catalog = Catalog(address or sqlite_url(file))
        try:
            yield from _tables(catalog)
        finally:
            catalog.close()
    except PropendError as error:
        yield Finding(AREA, "catalog", "problem", error.message, error.hint)


def _tables(catalog: Catalog) -> Iterator[Finding]:
    found = catalog.revision()
    if found is None or found < HEAD:
        older = "no tables yet" if found is None else f"at migration {found}, older than {HEAD}"
        hint = "the next command on this workspace upgrades it; back it up before."
        yield Finding(AREA, "catalog", "good" if found is None else "warning", f"{catalog.shown}: {older}", hint)
        return
    if found > HEAD:
        says = f"{catalog.shown}: at migration {found}, newer than {HEAD}"
        yield Finding(AREA, "catalog", "problem", says, "use the propend that made it, or a newer one.")
        return
    yield Finding(AREA, "catalog", "good", f"{catalog.shown}, at migration {found}")
    with catalog.reading() as session:
        instances = session.scalar(select(func.count()).select_from(InstanceRow)) or 0
        counted = session.execute(select(RunRow.state, func.count()).group_by(RunRow.state))
        states = {row.state: row[1] for row in counted}
    runs = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
    yield Finding(AREA, "instances", "good", str(instances))
    yield Finding(AREA, "runs", "good", runs)
