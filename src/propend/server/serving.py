"""Scores of the runs that are served: one profile, many, pages, and whole tables as a stream.

The newest run of an instance that succeeded is served (``Runs.serving``). Each has an index that is opened when it is
first asked and let go when another run takes its place.
"""

from __future__ import annotations

import functools
import io
import logging
import math
import operator
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from propend.errors import InstanceNotFoundError
from propend.store.catalog import RunRow
from propend.store.lookup import Groups, ScoreIndex
from propend.store.runs import plain, read_json
from propend.workspace import Workspace
from propend.workspace.audiences import Ranked, Tally, level_error_of, tally
from propend.workspace.segments import Members, Rule

Row = dict[str, Any]
Kept = TypeVar("Kept")
BATCH_ROWS = 16_384
GROUP_ROWS = 131_072
FACTOR_LEAF = "factors.list.element"
"""Where Parquet has the fields of a factor."""
FRESH_SECONDS = 1.0
Stamp = tuple[str, int, int]
MEDIA = {
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}


Elsewhere = Callable[[str], "ScoreFile"]
"""Gives the scores of another instance that are served."""
log = logging.getLogger("propend.serving")
KEPT_RESULTS, KEPT_BYTES = 200, 64_000_000
"""Of what is worked out from a run's scores: so many results, and none that is larger."""


def _nowhere(instance_id: str) -> ScoreFile:
    raise InstanceNotFoundError(
        f"The rule speaks of {instance_id!r}, whose scores are not at hand here.", "ask the server that has both."
    )


@contextmanager
def _telling(folder: Path) -> Iterator[None]:
    """What goes wrong with a file of scores, as a refusal.

    Raises:
        InstanceNotFoundError: it is gone, or cannot be read.
    """
    try:
        yield
    except (OSError, pa.ArrowException):
        raise InstanceNotFoundError(
            f"The scores of run {folder.name!r} are not there or cannot be read.", "run the instance again."
        ) from None


class ScoreFile:
    """The scores of one run, read where they stand; safe for threads."""

    def __init__(self, folder: Path, groups: Groups | None, elsewhere: Elsewhere = _nowhere) -> None:
        """Use ``open``."""
        self.path = folder / "scores.parquet"
        self._elsewhere = elsewhere
        self._worked_out: OrderedDict[Hashable, Any] = OrderedDict()
        self._keeping = threading.Lock()
        self._index = ScoreIndex.open(folder, groups)
        self._data = ds.dataset(self.path, format="parquet")
        self.schema = self._data.schema.remove_metadata()
        self.names: list[str] = self.schema.names

    @classmethod
    def open(cls, folder: Path, groups: Groups | None = None, elsewhere: Elsewhere = _nowhere) -> ScoreFile:
        """The scores in a run's folder; ``groups`` keeps what look-ups decode.

        Args:
            elsewhere: for rules that speak of other instances, too.

        Raises:
            InstanceNotFoundError: there are none, or they cannot be read.
        """
        with _telling(folder):
            return cls(folder, groups, elsewhere)

    def find(self, profile_id: str) -> Row | None:
        """The row of one profile; None where it was not scored."""
        return self.find_many([profile_id]).get(profile_id)

    def find_many(self, ids: Sequence[str]) -> dict[str, Row]:
        """The rows of those of the profiles that were scored, by id."""
        return {profile_id: plain(row) for profile_id, row in self._index.find_many(ids).items()}

    def batches(
        self, rule: Rule, columns: Sequence[str] | None = None, beyond: pc.Expression | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows that a rule means, in the order of the file, a part at a time; only those ``beyond``, too."""
        rule = rule.settled(lambda instance_id, there: self._elsewhere(instance_id).members(there))
        asked = [e for e in (rule.expression(self.names), beyond) if e is not None]
        wanted = list(columns) if columns is not None else self.names
        more = [*(["factors"] if rule.on_factors else []), *(["profile_id"] if rule.members else [])]
        read = [*wanted, *(name for name in more if name not in wanted)]
        condition = functools.reduce(operator.and_, asked) if asked else None
        slim = rule.on_factors and "factors" not in wanted
        with _telling(self.path.parent):
            for batch in self._slim(read, condition, rule) if slim else self._scanned(read, condition):
                kept = rule.keep(batch).select(wanted)
                if kept.num_rows:
                    yield kept

    def _scanned(self, columns: list[str], condition: pc.Expression | None) -> Iterator[pa.RecordBatch]:
        scanner = self._data.scanner(
            columns=columns, filter=condition, batch_size=BATCH_ROWS, batch_readahead=2, fragment_readahead=1
        )
        yield from scanner.to_batches()

    def _slim(self, columns: list[str], condition: pc.Expression | None, rule: Rule) -> Iterator[pa.RecordBatch]:
        """Of factors only what rules ask: their texts are most of a file, and a scan of it cannot leave them out."""
        names = {field for c in rule.conditions for field in (c.field,) if field in self.names and field != "factors"}
        flat = [name for name in dict.fromkeys([*columns, *sorted(names)]) if name != "factors"]
        read = [*flat, *(f"{FACTOR_LEAF}.{leaf}" for leaf in ("code", "impact"))]
        paths = sorted(self.path.glob("*.parquet")) if self.path.is_dir() else [self.path]
        for path in paths:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(BATCH_ROWS, columns=read):
                    table = pa.Table.from_batches([batch])
                    yield from (table.filter(condition) if condition is not None else table).to_batches()

    def count(self, rule: Rule) -> int:
        """How many profiles a rule means."""
        if not rule.on_factors and not rule.elsewhere:
            with _telling(self.path.parent):
                return int(self._data.count_rows(filter=rule.expression(self.names)))
        return sum(batch.num_rows for batch in self.batches(rule, ["profile_id"]))

    def tally(self, rule: Rule) -> Tally:
        """How many profiles a rule means, and how many of them are expected to meet the goal."""
        return self._kept(self._mark(rule), lambda: tally(self.batches(rule, ["probability"]), self.level_error))

    def ranked(self) -> Ranked:
        """All probabilities, the highest first."""
        return self._kept("ranked", lambda: Ranked.of(self.batches(Rule(), ["probability"]), self.level_error))

    def members(self, rule: Rule) -> Members:
        """The profiles that a rule means."""

        def found() -> Members:
            parts = [batch.column("profile_id") for batch in self.batches(rule, ["profile_id"])]
            return Members.of(parts, ascending=self.path.is_file())

        return self._kept(("members", self._mark(rule)), found)

    @property
    def level_error(self) -> float:
        """As the run's record has it."""
        return self._kept("level", lambda: level_error_of(read_json(self.path.parent / "run.json")))

    def _mark(self, rule: Rule) -> Hashable:
        """What a rule means here, as long as no other run is served elsewhere."""
        others = ((there._stamped, there._mark(r)) for i, r in rule.elsewhere.items() for there in [self._elsewhere(i)])
        return rule.text, tuple(others)

    @property
    def _stamped(self) -> Stamp:
        return _stamp(self.path.parent.name, self.path.parent)

    def _kept(self, key: Hashable, work: Callable[[], Kept]) -> Kept:
        """What was worked out before, or is now; what was asked for the longest ago is let go."""
        found: Kept | None = self._worked_out.get(key)
        if found is None:
            found = work()
        with self._keeping:
            self._worked_out.pop(key, None)
            if _size(found) <= KEPT_BYTES:
                self._worked_out[key] = found
            while sum(map(_size, self._worked_out.values())) > KEPT_BYTES or len(self._worked_out) > KEPT_RESULTS:
                self._worked_out.popitem(last=False)
        return found

    def page(self, rule: Rule, order: str, after: Row | None, limit: int) -> list[Row]:
        """So many of the rows that a rule means, from after one of them on.

        Args:
            order: ``profile``, or ``-probability``: the most probable first.
            after: ``profile_id`` and ``probability`` of the last row of the page before.
        """
        if order == "-probability":
            place = (after["probability"], after["profile_id"]) if after is not None else None
            asked = ("page", self._mark(rule), place, limit)
            ids = self._kept(asked, lambda: self._first_ids(rule, order, after, limit))
        else:
            ids = self._first_ids(rule, order, after, limit)
        found = self.find_many(ids)
        return [found[i] for i in ids if i in found]  # not of who was forgotten between the two

    def _first_ids(self, rule: Rule, order: str, after: Row | None, limit: int) -> list[str]:
        """The ids of a page: one look through the probabilities of all."""
        keys = [("profile_id", "ascending")]
        if order == "-probability":
            keys = [("probability", "descending"), *keys]
        best: pa.Table | None = None
        beyond = _later(order, after) if after is not None else None
        for batch in self.batches(rule, ["profile_id", "probability"], beyond):
            if best is not None and best.num_rows >= limit and order == "-probability":
                likely = pc.greater_equal(batch.column("probability"), pc.min(best.column("probability")))
                batch = batch.filter(likely)  # noqa: PLW2901  most are not among the best, which is seen at once
            table = pa.Table.from_batches([batch])
            best = table if best is None else pa.concat_tables([best, table])
            if best.num_rows > limit:
                best = best.take(pc.select_k_unstable(best, limit, keys))
                if order == "profile" and self.path.is_file():
                    break  # the file is sorted so
        if best is None or best.num_rows == 0:
            return []
        ids: list[str] = best.sort_by(keys).column("profile_id").to_pylist()
        return ids


def _size(found: Any) -> int:
    """Memory of what was worked out; small things are not counted."""
    return int(found.nbytes) if isinstance(found, Ranked | Members) else 0


def _later(order: str, after: Row) -> pc.Expression:
    beyond = pc.field("profile_id") > after["profile_id"]
    if order == "profile":
        return beyond
    probability = pc.field("probability")
    return (probability < after["probability"]) | ((probability == after["probability"]) & beyond)


@dataclass(frozen=True)
class Found:
    """Served rows of profiles.

    Attributes:
        rows: by id of the profile, by instance; who was scored nowhere is left out.
        unreadable: instances whose scores are damaged or lost, so that nothing is known of them.
    """

    rows: dict[str, dict[str, Row]]
    unreadable: tuple[str, ...]

    def of(self, profile_id: str) -> dict[str, Row]:
        """The rows of one profile, by instance; none where it was scored nowhere."""
        return self.rows.get(profile_id, {})


class Serving:
    """The scores that a workspace serves."""

    def __init__(self, workspace: Workspace) -> None:
        """Nothing is opened yet."""
        self._workspace = workspace
        self._open: dict[str, tuple[Stamp, ScoreFile]] = {}
        self._groups = Groups(workspace.settings.serving.memory_mb * 1_000_000)
        self._lock = threading.Lock()
        self._served: tuple[float, list[RunRow]] = (-math.inf, [])
        self._unreadable: dict[str, Stamp] = {}

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
        return time.monotonic() - self._served[0] <= FRESH_SECONDS

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
        if not self.is_fresh:
            self._served = time.monotonic(), self._workspace.runs.all_serving()
        return self._served[1]

    def scores(self, run: RunRow) -> ScoreFile:
        """The scores of a run, kept open until its instance serves another, or somebody was taken out of them.

        Raises:
            InstanceNotFoundError: they are not there.
        """
        folder = self._workspace.runs.folder(run)
        with self._lock:
            known, stamp = self._open.get(run.instance_id), _stamp(run.id, folder)
            if known is None or known[0] != stamp:
                if known is not None:
                    self._groups.release(known[1].path.parent)
                known = self._open[run.instance_id] = (stamp, ScoreFile.open(folder, self._groups, self.of))
            return known[1]

    def of(self, instance_id: str) -> ScoreFile:
        """The scores of an instance that are served.

        Raises:
            InstanceNotFoundError: there is no such instance, or it has no scores.
        """
        return self.scores(self.served(instance_id))

    def profiles(self, ids: Sequence[str], instances: Sequence[str] | None = None) -> Found:
        """The served rows of profiles; one instance whose scores cannot be read hides none of another.

        Raises:
            InstanceNotFoundError: there is no such instance.
        """
        found, failed = self._rows(ids, instances)
        if any(self._unreadable.get(instance_id) != stamp for instance_id, (stamp, _) in failed.items()):
            self._served = (-math.inf, [])  # what was served a second ago may have been removed
            found, failed = self._rows(ids, instances)
        for instance_id, (stamp, error) in failed.items():
            if self._unreadable.get(instance_id) != stamp:  # told once, not with every look-up
                log.error("instance %s: %s", instance_id, error.message)
                self._unreadable[instance_id] = stamp
        return Found(found, tuple(failed))

    def _rows(
        self, ids: Sequence[str], instances: Sequence[str] | None
    ) -> tuple[dict[str, dict[str, Row]], dict[str, tuple[Stamp, InstanceNotFoundError]]]:
        """Rows by profile and instance; and of which instances they cannot be read, with why."""
        found: dict[str, dict[str, Row]] = {}
        failed: dict[str, tuple[Stamp, InstanceNotFoundError]] = {}
        for run in self.runs(instances):
            try:
                rows = self.scores(run).find_many(ids)
            except InstanceNotFoundError as error:
                failed[run.instance_id] = _stamp(run.id, self._workspace.runs.folder(run)), error
                continue
            for profile_id, row in rows.items():
                found.setdefault(profile_id, {})[run.instance_id] = row
        return found, failed


def _stamp(run_id: str, folder: Path) -> Stamp:
    """Changes with the run, and with the file that its scores are in."""
    try:
        found = (folder / "scores.parquet").stat()
    except OSError:
        return run_id, 0, 0
    return run_id, found.st_ino, found.st_mtime_ns


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

    Args:
        form: ``csv``, ``arrow`` or ``parquet``.
    """
    batches = scores.batches(rule)
    schema = scores.schema
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
    yield _written(_for_sheets(pa.Table.from_batches([], schema)), True)
    for batch in batches:
        yield _written(_for_sheets(pa.Table.from_batches([batch])), False)


def _written(table: pa.Table, head: bool) -> bytes:
    sink = pa.BufferOutputStream()
    pacsv.write_csv(table, sink, pacsv.WriteOptions(include_header=head))
    return bytes(sink.getvalue())


def _for_sheets(table: pa.Table) -> pa.Table:
    """A table that a spreadsheet opens: factors as labels, and no text that it would take for a formula."""
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks() if table.num_rows else pa.array([], table.schema.field(name).type)
        if name == "factors":
            columns["raised_by"], columns["lowered_by"] = (guarded(_labels(column, up)) for up in (True, False))
        elif name == "horizons":
            columns |= _of_horizons(column)
        else:
            columns[name] = guarded(column) if pa.types.is_string(column.type) else column
    return pa.table(columns)


def guarded(texts: pa.Array) -> pa.Array:
    """Texts that begin as a formula does, with an apostrophe before them."""
    return pc.replace_substring_regex(texts, pattern=r"^([=+\-@\t\r])", replacement=r"'\1")


def _labels(lists: pa.Array, raises: bool) -> pa.Array:
    """For each profile the labels of the factors that raise, or lower, its score, strongest first."""
    factors = pc.list_flatten(lists)
    impact = pc.struct_field(factors, "impact")
    meant = pc.greater(impact, 0) if raises else pc.less(impact, 0)
    labels = pc.if_else(meant, pc.struct_field(factors, "label"), pa.scalar(None, pa.string()))
    counts = pc.fill_null(pc.list_value_length(lists), 0)
    ends = pc.cumulative_sum(pc.cast(counts, pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    kept = pa.ListArray.from_arrays(offsets, labels)
    return pa.array(["; ".join(t for t in texts if t is not None) for texts in kept.to_pylist()], pa.string())


def _of_horizons(column: pa.Array) -> dict[str, Any]:
    """One column for each horizon; every row has the same ones."""
    rows = column.to_pylist()
    days = [h["days"] for h in next((row for row in rows if row), [])]
    return {f"probability_{d}_days": pa.array([r[i]["probability"] for r in rows]) for i, d in enumerate(days)}
