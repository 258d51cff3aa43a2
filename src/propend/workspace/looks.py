"""What there is in the data of a document: kinds, columns, usual values; kept while the files stay as they are."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from propend.connectors.files import state_files
from propend.connectors.origins import is_address
from propend.engines.duckdb import DuckdbEngine
from propend.engines.previews import SourcePreview
from propend.errors import PropendError
from propend.events import EventFacts, EventRequest, OpenedEvents
from propend.instance import Attributes, Data, Links, Source
from propend.protection import Reach
from propend.snapshots.volumes import Months, monthly_volumes

MOST_KEPT = 24
MOST_KINDS = 8
"""That are told apart month by month."""
MOST_LOOKING = 2
"""Looks at the same time: each keeps a part of the data in memory, and nobody who asks for a form is refused."""
QUERY_SECONDS = 300
"""What a query, a database or an address gives is asked again after so long: nobody knows whether it has changed."""
NO_PRIVATE_HOSTS = Reach(private_hosts=False)
Key = tuple[str, str, tuple[tuple[str, int, int], ...]]


@dataclass(frozen=True)
class Look:
    """What was seen.

    Attributes:
        previews: of each source; empty where they cannot be read.
        tables: of each table of attributes, or why it cannot be read.
        opened: kinds and columns; None where no events can be made of the sources.
        problem: why not.
    """

    previews: tuple[SourcePreview, ...] = ()
    opened: OpenedEvents | None = None
    problem: PropendError | None = None
    tables: tuple[SourcePreview | PropendError, ...] = ()

    @property
    def values(self) -> dict[str, tuple[str, ...]]:
        """The usual values of each column that has some."""
        return {c.name: c.values for p in self.previews for c in p.columns if c.values}


@dataclass(frozen=True)
class Counted:
    """How many events there are.

    Attributes:
        facts: of each kind, and on each day.
        months: in each month, by kind.
    """

    facts: EventFacts
    months: Months


class Looks:
    """Looks at data, the newest kept; files that have changed are looked at again."""

    def __init__(self, reach: Reach = NO_PRIVATE_HOSTS) -> None:
        """Nothing is kept yet.

        Args:
            reach: what addresses of sources may lead to.
        """
        self._reach = reach
        self._kept: OrderedDict[Key, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._looking = threading.Semaphore(MOST_LOOKING)

    def known(self, data: Data, folder: Path) -> Look | None:
        """A look that is kept; None where the data must be read first."""
        key = _key("look", data, folder)
        with self._lock:
            found: Look | None = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)  # who asks often does not lose it to the checks of others
            return found

    def of(self, data: Data, folder: Path) -> Look:
        """What there is; reads the data where it is not known, a few at a time. Refusals are part of the look."""
        with self._looking:  # who waited for the same data finds it kept
            found: Look = self.kept("look", data, folder, lambda: _look(data, folder, self._reach))
        return found

    def counted(self, data: Data, folder: Path) -> Counted:
        """How many events there are of each kind, by day and by month; reads all of them where they are not known.

        Raises:
            PropendError: no events can be made of the sources.
        """

        def read() -> Counted:
            with DuckdbEngine(reach=self._reach) as session:
                log = session.load(data, folder, EventRequest(()))
                return Counted(log.facts, monthly_volumes(log, MOST_KINDS))

        found: Counted = self.kept("counted", data, folder, read)
        return found

    def kept(self, what: str, data: Data, folder: Path, make: Callable[[], Any]) -> Any:
        """Anything that depends on the data and nothing else but ``what``; made where it is not kept. None is not."""
        key = _key(what, data, folder)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        if made is None:
            return None
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return made


def _key(what: str, data: Data, folder: Path) -> Key:
    return what, f"{folder}:{data.model_dump_json(by_alias=True)}", state_of_files(data, folder)


def state_of_files(data: Data, folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and last changes of the files that data are read from; nothing of those that are not there."""
    links = data.identities.links if data.identities else ()
    sources: tuple[Source | Attributes | Links, ...] = (*data.events, *data.attributes, *links)
    kept = [(source.path, None if isinstance(source, Links) else source.database) for source in sources]
    paths = [path for places in kept for place in places for path in _paths(place)]
    read_again = any(s.query is not None for s in sources) or any(database is not None for _, database in kept)
    read_again = read_again or any(map(is_address, paths))
    found = [("", 0, int(time.time() // QUERY_SECONDS))] if read_again else []
    for path in paths:
        try:
            files = state_files(path, folder)
        except (PropendError, OSError, ValueError):
            continue  # whoever reads them says what is wrong
        found += [(str(f), told.st_size, told.st_mtime_ns) for f in files if (told := f.stat())]
    return tuple(found)


def _paths(path: Any) -> tuple[str, ...]:
    return (path,) if isinstance(path, str) else tuple(path or ())


def _look(data: Data, folder: Path, reach: Reach) -> Look:
    if not data.events and not data.attributes:
        return Look()
    previews: tuple[SourcePreview, ...] = ()
    opened, problem = None, None
    with DuckdbEngine(reach=reach) as session:
        try:
            previews = session.preview(data, folder)
            opened = session.open(data, folder) if data.events else None
        except PropendError as error:
            problem = error
        names = [c.name for p in previews for c in p.columns if c.role == "profile"]
        return Look(previews, opened, problem, tuple(_table(session, one, names, folder) for one in data.attributes))


def _table(
    session: DuckdbEngine, table: Attributes, names: Sequence[str], folder: Path
) -> SourcePreview | PropendError:
    try:
        return session.preview_attributes(table, names, folder)
    except PropendError as problem:
        return problem
