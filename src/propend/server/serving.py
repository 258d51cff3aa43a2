"""Scores of the runs that are served: one profile, many, pages, and whole tables as a stream.

The newest run of an instance that succeeded is served (``Runs.serving``). Each has an index that is opened when it is
first asked and let go when another run takes its place.
"""

from __future__ import annotations

import io
import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from propend.errors import ConfigurationError, InstanceNotFoundError, NotEnrichedError, NotKeptError
from propend.exports.sheets import as_csv
from propend.segments import Rule
from propend.store.catalog import RunRow, SegmentRow
from propend.store.lookup import Groups
from propend.workspace import Workspace
from propend.workspace.score_file import ScoreFile, Stamp
from propend.workspace.score_file import stamp as stamp_of

__all__ = ("CANNOT_BE_ASKED", "MEDIA", "ScoreFile", "Serving", "stream")
Row = dict[str, Any]
GROUP_ROWS = 131_072
FRESH_SECONDS = 1.0
CANNOT_BE_ASKED = (ConfigurationError, NotKeptError, InstanceNotFoundError, NotEnrichedError)
"""What a saved rule may come to be refused with: a model without a factor took its place, another instance is gone, or
its scores stand beside no others any more."""
MEDIA = {
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
log = logging.getLogger("propend.serving")


@dataclass(frozen=True)
class Found:
    """Served rows of profiles.

    Attributes:
        rows: by id of the profile, by instance, with ``attributes`` by name, None where none are kept; who was scored
            nowhere is left out.
        unreadable: instances whose scores are damaged or lost, so that nothing is known of them.
        not_shown: instances whose scores enrich no profiles (``options.enrich``), and are not looked up here.
    """

    rows: dict[str, dict[str, Row]]
    unreadable: tuple[str, ...]
    not_shown: tuple[str, ...] = ()

    def of(self, profile_id: str) -> dict[str, Row]:
        """The rows of one profile, by instance; none where it was scored nowhere."""
        return self.rows.get(profile_id, {})


@dataclass(frozen=True)
class Counted:
    """How many profiles a segment has.

    Attributes:
        run: whose scores are counted; None where there are none yet.
        count: None where there are no scores yet, or they cannot be asked.
        problem: why they cannot be asked.
    """

    run: str | None = None
    count: int | None = None
    problem: str | None = None


@dataclass(frozen=True)
class _Known:
    """What is served, and what of it stands beside no other scores, at a time of the monotonic clock."""

    at: float
    runs: list[RunRow]
    held_back: frozenset[str]


_NOTHING = _Known(-math.inf, [], frozenset())


class Serving:
    """The scores that a workspace serves."""

    def __init__(self, workspace: Workspace) -> None:
        """Nothing is opened yet."""
        self._workspace = workspace
        self._open: dict[str, tuple[Stamp, ScoreFile]] = {}
        self._groups = Groups(workspace.settings.serving.memory_mb * 1_000_000)
        self._lock = threading.Lock()
        self._served = _NOTHING
        self._unreadable: dict[str, Stamp] = {}
        self._silent: dict[str, Stamp] = {}

    def served(self, instance_id: str) -> RunRow:
        """The run of an instance whose scores are served (``Runs.served``)."""
        return self._workspace.runs.served(instance_id)

    def runs(self, wanted: Sequence[str] | None = None) -> list[RunRow]:
        """The runs that are served, of all instances or of some; those without scores are left out.

        Raises:
            InstanceNotFoundError: there is no such instance.
        """
        if wanted is None:
            return self._all()
        for instance_id in wanted:
            self._workspace.instances.get(instance_id)
        return [run for run in self._all() if run.instance_id in set(wanted)]

    @property
    def is_fresh(self) -> bool:
        """Whether what is served was looked up within the last second."""
        return time.monotonic() - self._served.at <= FRESH_SECONDS

    def renew(self) -> None:
        """Look up what is served, open it, and let go what is not; what was removed is told by whoever asks for it."""
        served = self._all()
        with self._lock:
            for instance_id in self._open.keys() - {run.instance_id for run in served}:
                self._groups.release(self._open.pop(instance_id)[1].path.parent)
        for run in served:
            with suppress(InstanceNotFoundError):
                self.scores(run)

    def _all(self) -> list[RunRow]:
        """What is served, as of a second ago at the most: a look-up reads no catalog."""
        return self._known.runs

    @property
    def held_back(self) -> frozenset[str]:
        """The instances whose scores enrich no profiles, as of a second ago at the most."""
        return self._known.held_back

    @property
    def _known(self) -> _Known:
        if not self.is_fresh:
            space = self._workspace
            self._served = _Known(time.monotonic(), space.runs.all_serving(), space.instances.held_back())
        return self._served

    def scores(self, run: RunRow) -> ScoreFile:
        """The scores of a run, kept open until its instance serves another, or somebody was taken out of them.

        Raises:
            InstanceNotFoundError: they are not there.
        """
        folder = self._workspace.runs.folder(run)
        with self._lock:
            known, stamp = self._open.get(run.instance_id), stamp_of(run.id, folder)
            if known is None or known[0] != stamp:
                if known is not None:
                    self._groups.release(known[1].path.parent)
                known = self._open[run.instance_id] = (stamp, ScoreFile.open(folder, self._groups, self.beside))
            return known[1]

    def of(self, instance_id: str) -> ScoreFile:
        """The scores of an instance that are served.

        Raises:
            InstanceNotFoundError: there is no such instance, or it has no scores.
        """
        return self.scores(self.served(instance_id))

    def beside(self, instance_id: str) -> ScoreFile:
        """The same, to stand beside those of another instance.

        Raises:
            NotEnrichedError: they enrich no profiles.
        """
        self._workspace.instances.gate_enriching(instance_id)
        return self.of(instance_id)

    def gate(self, instance_id: str, rule: Rule) -> None:
        """Refuse a rule that the scores which are served cannot be asked; where there are none yet, nothing is refused.

        Raises:
            ConfigurationError, NotKeptError: it speaks of what a run does not keep.
            NotEnrichedError: it speaks of another instance whose scores enrich no profiles.
        """
        with suppress(InstanceNotFoundError):
            self.of(instance_id).gate(rule)

    def counted(self, row: SegmentRow) -> Counted:
        """How many profiles a segment has by the scores that are served."""
        try:
            run = self.served(row.instance_id)
        except InstanceNotFoundError:
            return Counted()
        try:
            return Counted(run.id, self.scores(run).count(Rule.read(row.where)))
        except CANNOT_BE_ASKED as error:
            return Counted(run.id, problem=error.message)

    def profiles(self, ids: Sequence[str], instances: Sequence[str] | None = None) -> Found:
        """The served rows of profiles; one instance whose scores cannot be read hides none of another.

        Raises:
            InstanceNotFoundError: there is no such instance.
        """
        found, failed = self._rows(ids, instances)
        if any(self._unreadable.get(instance_id) != stamp for instance_id, (stamp, _) in failed.items()):
            self._served = _NOTHING  # what was served a second ago may have been removed
            found, failed = self._rows(ids, instances)
        for instance_id, (stamp, error) in failed.items():
            if self._unreadable.get(instance_id) != stamp:  # told once, not with every look-up
                log.error("instance %s: %s", instance_id, error.message)
                self._unreadable[instance_id] = stamp
        held = self.held_back
        not_shown = [run.instance_id for run in self.runs(instances) if run.instance_id in held]
        return Found(found, tuple(failed), tuple(not_shown))

    def _rows(
        self, ids: Sequence[str], instances: Sequence[str] | None
    ) -> tuple[dict[str, dict[str, Row]], dict[str, tuple[Stamp, InstanceNotFoundError]]]:
        """Rows by profile and instance; and of which instances they cannot be read, with why."""
        found: dict[str, dict[str, Row]] = {}
        failed: dict[str, tuple[Stamp, InstanceNotFoundError]] = {}
        held = self.held_back
        for run in self.runs(instances):
            if run.instance_id in held:
                continue
            try:
                scores = self.scores(run)
                rows = scores.find_many(ids)
            except InstanceNotFoundError as error:
                failed[run.instance_id] = stamp_of(run.id, self._workspace.runs.folder(run)), error
                continue
            attributes = self._attributes(run, scores, list(rows))
            for profile_id, row in rows.items():
                row["attributes"] = attributes.get(profile_id)
                found.setdefault(profile_id, {})[run.instance_id] = row
        return found, failed

    def _attributes(self, run: RunRow, scores: ScoreFile, ids: Sequence[str]) -> dict[str, Row]:
        """Of profiles, by id; whoever asks for a score has it where these cannot be read."""
        try:
            return scores.attributes_of(ids)
        except InstanceNotFoundError as error:
            stamp = stamp_of(run.id, self._workspace.runs.folder(run))
            if self._silent.get(run.instance_id) != stamp:  # told once, not with every look-up
                log.error("instance %s: %s", run.instance_id, error.message)
                self._silent[run.instance_id] = stamp
            return {}


# --- streams ---------------------------------------------------------------------------------------------------


class _Chunks(io.RawIOBase):
    """Takes what a writer writes, and gives it away piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._written += len(part)
        return len(part)

    def tell(self) -> int:
        return self._written

    def taken(self) -> bytes:
        """What was written since the last time."""
        found, self._parts = b"".join(self._parts), []
        return found


def stream(scores: ScoreFile, rule: Rule, form: str) -> Iterator[bytes]:
    """All rows that a rule means, as bytes; never more than some parts of them are in memory.

    The rows are those of this moment, however long they take to be sent.

    Args:
        form: ``csv``, ``arrow`` or ``parquet``.

    Raises:
        ConfigurationError, NotKeptError, InstanceNotFoundError: as ``ScoreFile.batches``; before the first byte.
    """
    return _bytes_of(scores.batches(rule), scores.schema, form)


def _bytes_of(batches: Iterator[pa.RecordBatch], schema: pa.Schema, form: str) -> Iterator[bytes]:
    if form == "csv":
        yield from _csv(batches, schema)
    elif form == "arrow":
        chunks = _Chunks()
        with pa.ipc.new_stream(pa.PythonFile(chunks, mode="w"), schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                yield chunks.taken()
        yield chunks.taken()
    else:
        chunks = _Chunks()
        with pq.ParquetWriter(pa.PythonFile(chunks, mode="w"), schema, compression="zstd") as writer:
            for group in _gathered(batches, schema):
                writer.write_table(group)
                yield chunks.taken()
        yield chunks.taken()


def _gathered(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Batches put together to groups of rows that are worth one."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(b.num_rows for b in waiting) >= GROUP_ROWS:
            yield pa.Table.from_batches(waiting, schema)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting, schema)


def _csv(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[bytes]:
    yield as_csv(pa.Table.from_batches([], schema), True)
    for batch in batches:
        yield as_csv(pa.Table.from_batches([batch]), False)
