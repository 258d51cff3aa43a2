"""One profile's row of a run's scores, or a few thousand, without reading the rest.

Scores are sorted by profile and written in groups of ``GROUP_ROWS`` rows (``store.runs.write_table``). What is kept in
memory is the first id of each group; a look-up decodes one group (decision 0025), and a server keeps decoded groups as
long as they fit. A cluster leaves several parts, each sorted, that divide profiles by their keys: which part has a
profile follows from the keys of the ids that are known.
"""

from __future__ import annotations

import bisect
import hashlib
import threading
from collections import OrderedDict
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


class Groups:
    """Decoded groups of rows, those that were asked for last, as many as fit; safe for threads."""

    def __init__(self, most_bytes: int) -> None:
        """``most_bytes``: of all groups together; what is larger alone is not kept."""
        self._most, self._used = most_bytes, 0
        self._kept: OrderedDict[tuple[Path, Stamp, int], pa.Table] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes of what is kept."""
        return self._used

    def get(self, path: Path, stamp: Stamp, group: int) -> pa.Table | None:
        """A group, if it is kept, of the file as it was with this stamp."""
        with self._lock:
            found = self._kept.get((path, stamp, group))
            if found is not None:
                self._kept.move_to_end((path, stamp, group))
            return found

    def keep(self, path: Path, stamp: Stamp, group: int, table: pa.Table) -> None:
        """Keep a group, and let go those that were not asked for the longest."""
        with self._lock:
            self._release((path, stamp, group))
            self._kept[path, stamp, group] = table
            self._used += table.nbytes
            while self._used > self._most:
                self._release(next(iter(self._kept)))

    def release(self, folder: Path) -> None:
        """Let go the groups of a run: its scores were replaced, or somebody was taken out of them."""
        with self._lock:
            for key in [key for key in self._kept if folder in key[0].parents]:
                self._release(key)

    def _release(self, key: tuple[Path, Stamp, int]) -> None:
        found = self._kept.pop(key, None)
        self._used -= found.nbytes if found is not None else 0


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

    def rows(self, wanted: dict[int, list[str]], groups: Groups | None) -> list[Row]:
        """The rows of profiles in some groups of rows; those that are decoded are kept in ``groups``.

        Raises:
            _ChangedError: the file is another by now.
            OSError, pa.ArrowException: it is gone or damaged.
        """
        found: list[Row] = []
        absent: dict[int, list[str]] = {}
        if groups is not None and _stamp(self.path) == self.stamp:
            for group, ids in wanted.items():
                table = groups.get(self.path, self.stamp, group)
                if table is None:
                    absent[group] = ids
                else:
                    found += _picked(table, ids)
        else:
            absent = wanted
        return found + self._read(absent, groups) if absent else found

    def _read(self, wanted: dict[int, list[str]], groups: Groups | None) -> list[Row]:
        # read without Python; not mapped, for a mapped file that is cut short ends the process
        with pa.OSFile(str(self.path)) as file:
            if _stamp(self.path) != self.stamp:
                raise _ChangedError
            reader = pq.ParquetFile(file, metadata=self.footer, read_dictionary=self.texts)
            found: list[Row] = []
            for group, ids in wanted.items():
                table = reader.read_row_group(group, use_threads=False)
                found += _picked(table, ids)
                if groups is not None:
                    groups.keep(self.path, self.stamp, group, table)
        return found


def _picked(table: pa.Table, ids: list[str]) -> list[Row]:
    """The rows of some profiles, those that are there."""
    if len(ids) == 1:
        place = pc.index(table.column(ID), pa.scalar(ids[0], pa.string())).as_py()
        rows: list[Row] = table.slice(place, 1).to_pylist() if place >= 0 else []
    else:
        places = pc.index_in(pa.array(ids, pa.string()), value_set=table.column(ID)).drop_null()
        rows = table.take(places).to_pylist()
    return rows


class _ChangedError(Exception):
    """A file was replaced since its footer was read."""


class ScoreIndex:
    """The scores of a run, ready to be asked for single profiles by several threads at once.

    Files that are replaced are noticed with the next question, and so are files that are gone.
    """

    def __init__(self, folder: Path, groups: Groups | None, table: str) -> None:
        """Use ``open``."""
        self._folder, self._groups, self._table = folder, groups, table
        self._lock = threading.Lock()
        self._parts = self._opened()

    @classmethod
    def open(cls, folder: Path, groups: Groups | None = None, table: str = "scores") -> ScoreIndex:
        """Read the bounds of a run's scores.

        Args:
            groups: keeps what is decoded; nothing is kept where absent.
            table: ``attributes`` for those of the same profiles.

        Raises:
            ScoresGoneError: the folder has no scores.
            InstanceNotFoundError: they are damaged.
        """
        return cls(Path(folder), groups, table)

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
                    rows = {row[ID]: row for row in _read(parts, asked, self._groups)}
                return {profile_id: rows[profile_id] for profile_id in asked if profile_id in rows}
            except _ChangedError:
                with self._lock:
                    if self._parts is parts:
                        if self._groups is not None:
                            self._groups.release(self._folder)
                        self._parts = self._opened()

    def _opened(self) -> tuple[_Part, ...]:
        path = self._folder / f"{self._table}.parquet"
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
                f"The {self._table} in {self._folder.name!r} are gone.",
                "they were removed, with their instance or because newer ones took their place; ask again.",
            ) from None
        except (OSError, pa.ArrowException) as error:
            said = (str(error).splitlines() or [""])[0]
            raise InstanceNotFoundError(
                f"The {self._table} in {self._folder.name!r} cannot be read: {said:.200}.",
                "run the instance again, or restore the file.",
            ) from None


def _read(parts: Sequence[_Part], asked: Sequence[str], groups: Groups | None) -> list[Row]:
    """Rows of the profiles asked for, from the groups that may have them."""
    wanted: list[dict[int, list[str]]] = [{} for _ in parts]
    for profile_id in asked:
        for i in _candidates(parts, profile_id):
            group = parts[i].group_of(profile_id)
            if group >= 0:
                wanted[i].setdefault(group, []).append(profile_id)
    tasks = [(part, {group: ids}) for part, of in zip(parts, wanted, strict=True) for group, ids in of.items()]
    if len(tasks) <= FEW_GROUPS:
        return [row for part, of in tasks for row in part.rows(of, groups)]
    with ThreadPoolExecutor(READERS) as pool:
        return [row for rows in pool.map(lambda task: task[0].rows(task[1], groups), tasks) for row in rows]


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
