"""One profile's row of a run's scores, or a few thousand, without reading the rest.

Scores are sorted by profile and written in groups of ``GROUP_ROWS`` rows (``store.runs.write_table``). What is kept in
memory is the first id of each group; a look-up decodes one group (decision 0025). A cluster leaves several parts, each
sorted, that divide profiles by their keys: which part has a profile follows from the keys of the ids that are known.
"""

from __future__ import annotations

import bisect
import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from propend.errors import InstanceNotFoundError, ScoresGoneError

READERS = 2
"""Threads that decode groups for a batch of profiles."""
FEW_GROUPS = 4
"""Up to so many groups are read by the thread that asks."""
ID = "profile_id"

Row = dict[str, Any]
Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class _Part:
    """One file of scores, ready to be looked into.

    Attributes:
        path: of the file.
        stamp: what the file was when its footer was read: number, size, time of change.
        footer: of the file.
        texts: columns of repeating texts, which are read as codes: that takes half the time.
        first: the least id of each group of rows, ascending.
        keys: least and greatest key among the ids that are known.
    """

    path: Path
    stamp: Stamp
    footer: pq.FileMetaData
    texts: list[str]
    first: list[str]
    keys: tuple[int, int]

    @classmethod
    def of(cls, path: Path) -> _Part:
        """A file with its bounds.

        Raises:
            OSError, pa.ArrowException: it is not there, or not Parquet.
        """
        stamp = _stamp(path)
        with pa.OSFile(str(path)) as file:
            footer = pq.read_metadata(file)
            schema = footer.schema
            kinds = [schema.column(i) for i in range(len(schema))]
            texts = [c.path for c in kinds if c.physical_type == "BYTE_ARRAY" and c.path != ID]
            place = next(i for i, c in enumerate(kinds) if c.path == ID)
            filled = [g for g in range(footer.num_row_groups) if footer.row_group(g).num_rows]
            first = [_least(file, footer, group, place) for group in filled]
        keys = [_key(profile_id) for profile_id in first]
        return cls(path, stamp, footer, texts, first, (min(keys, default=0), max(keys, default=0)))

    def group_of(self, profile_id: str) -> int:
        """The group that has a profile if any has; -1 where it would be before the first."""
        return bisect.bisect_right(self.first, profile_id) - 1

    def rows(self, wanted: dict[int, list[str]]) -> list[Row]:
        """The rows of profiles in some groups.

        Raises:
            _ChangedError: the file is another by now.
            OSError, pa.ArrowException: it is gone or damaged.
        """
        # read without Python; not mapped, for a mapped file that is cut short ends the process
        with pa.OSFile(str(self.path)) as file:
            if _stamp(self.path) != self.stamp:
                raise _ChangedError
            reader = pq.ParquetFile(file, metadata=self.footer, read_dictionary=self.texts)
            found: list[Row] = []
            for group, ids in wanted.items():
                table = reader.read_row_group(group, use_threads=False)
                places = pc.index_in(pa.array(ids, pa.string()), value_set=table.column(ID)).drop_null()
                if len(places) == 1:
                    found += table.slice(places[0].as_py(), 1).to_pylist()
                elif len(places):
                    found += table.take(places).to_pylist()
        return found


class _ChangedError(Exception):
    """A file was replaced since its footer was read."""


class ScoreIndex:
    """The scores of a run, ready to be asked for single profiles by several threads at once.

    Files that are replaced are noticed with the next question, and so are files that are gone.
    """

    def __init__(self, folder: Path) -> None:
        """Use ``open``."""
        self._folder = folder
        self._lock = threading.Lock()
        self._parts = self._opened()

    @classmethod
    def open(cls, folder: Path) -> ScoreIndex:
        """Read the bounds of a run's scores.

        Raises:
            ScoresGoneError: the folder has no scores.
            InstanceNotFoundError: they are damaged.
        """
        return cls(Path(folder))

    def find(self, profile_id: str) -> Row | None:
        """One profile's row as plain data (``scoring.SCORES_SCHEMA``); None where it was not scored.

        Raises:
            ScoresGoneError: the scores have been removed.
            InstanceNotFoundError: they are damaged.
        """
        return self.find_many([profile_id]).get(profile_id)

    def find_many(self, profile_ids: Sequence[str]) -> dict[str, Row]:
        """The rows of those that were scored, by profile, in the order asked.

        Raises:
            ScoresGoneError: the scores have been removed.
            InstanceNotFoundError: they are damaged.
        """
        asked = [profile_id for profile_id in dict.fromkeys(profile_ids) if _can_be(profile_id)]
        while True:
            parts = self._parts
            try:
                with self._telling():
                    rows = {row[ID]: row for row in _read(parts, asked)}
                return {profile_id: rows[profile_id] for profile_id in asked if profile_id in rows}
            except _ChangedError:
                with self._lock:
                    if self._parts is parts:
                        self._parts = self._opened()

    def _opened(self) -> tuple[_Part, ...]:
        path = self._folder / "scores.parquet"
        with self._telling():
            if not path.exists():
                raise FileNotFoundError
            return tuple(_Part.of(p) for p in (sorted(path.glob("*.parquet")) if path.is_dir() else [path]))

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise ScoresGoneError(
                f"The scores in {self._folder.name!r} are gone.",
                "they were removed, with their instance or because newer ones took their place; ask again.",
            ) from None
        except (OSError, pa.ArrowException) as error:
            raise InstanceNotFoundError(
                f"The scores in {self._folder.name!r} cannot be read: {(str(error).splitlines() or [''])[0]:.200}.",
                "run the instance again, or restore the file.",
            ) from None


def _read(parts: Sequence[_Part], asked: Sequence[str]) -> list[Row]:
    """Rows of the profiles asked for, from the groups that may have them."""
    wanted: list[dict[int, list[str]]] = [{} for _ in parts]
    for profile_id in asked:
        for i in _candidates(parts, profile_id):
            group = parts[i].group_of(profile_id)
            if group >= 0:
                wanted[i].setdefault(group, []).append(profile_id)
    tasks = [(part, {group: ids}) for part, groups in zip(parts, wanted, strict=True) for group, ids in groups.items()]
    if len(tasks) <= FEW_GROUPS:
        return [row for part, groups in tasks for row in part.rows(groups)]
    with ThreadPoolExecutor(READERS) as pool:
        return [row for rows in pool.map(lambda task: task[0].rows(task[1]), tasks) for row in rows]


def _candidates(parts: Sequence[_Part], profile_id: str) -> Sequence[int]:
    """Places of the parts that may have a profile: keys ascend from part to part."""
    if len(parts) == 1:
        return (0,)
    key = _key(profile_id)
    first = max(0, bisect.bisect_right([p.keys[0] for p in parts], key) - 1)
    last = min(len(parts), bisect.bisect_left([p.keys[1] for p in parts], key) + 1)
    return range(first, last)


def _can_be(profile_id: str) -> bool:
    """Whether any data can have such an id: none has half of a surrogate pair."""
    return not any("\ud800" <= c <= "\udfff" for c in profile_id)


def _key(profile_id: str) -> int:
    """As events are parted by (``events.Partition``)."""
    return int.from_bytes(hashlib.md5(profile_id.encode(), usedforsecurity=False).digest()[:8], "big")


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _least(file: pa.NativeFile, footer: pq.FileMetaData, group: int, place: int) -> str:
    """The least id of a group of rows, read where its bounds were not kept: very long ids have none."""
    kept = footer.row_group(group).column(place).statistics
    if kept is not None and kept.has_min_max:
        least = kept.min
        return least if isinstance(least, str) else least.decode()
    ids = pq.ParquetFile(file, metadata=footer).read_row_group(group, columns=[ID], use_threads=False).column(ID)
    return str(ids[0].as_py())
