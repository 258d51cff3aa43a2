"""The scores of one run, read where they stand: whom a rule means, pages of them, single profiles, what to expect.

Beside ``scores.parquet`` lie ``contributions.parquet`` and ``attributes.parquet``, with the same profiles in the same
order. A rule that speaks of values of factors, or of attributes, is evaluated on them side by side, a part at a time.

A question opens the files that it reads when it is asked, and reads those to the end: whoever is forgotten meanwhile is
in the answer that was begun, and in no later one.
"""

from __future__ import annotations

import functools
import operator
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from propend.errors import InstanceNotFoundError
from propend.predicates import FieldType
from propend.scoring import VALUE
from propend.segments import HELD, SHOWN, Known, Members, Rule
from propend.snapshots.attributes import ATTRIBUTE
from propend.store.lookup import Groups, ScoreIndex
from propend.store.runs import plain, read_json
from propend.workspace.audiences import Ranked, Tally, level_error_of, tally

Row = dict[str, Any]
Kept = TypeVar("Kept")
BATCH_ROWS = 16_384
SIDE_BATCH_ROWS = 131_072
"""Rows of a few columns, read side by side."""
GROUPS_AT_ONCE, FACTOR_ROWS = 16, 8_192
"""Where factors are read, groups of rows that are opened together, and rows of a part: their texts take ten times the
room that they take in a file."""
FACTOR_LEAF = "factors.list.element"
"""Where Parquet has the fields of a factor."""
FREQUENT = 30
"""Values of an attribute that are worth a list."""
BESIDE = {"contributions": (SHOWN, VALUE), "attributes": (HELD, ATTRIBUTE)}
"""Tables beside the scores: how fields of them begin, and their columns."""
Stamp = tuple[str, int, int]
Elsewhere = Callable[[str], "ScoreFile"]
"""Gives the scores of another instance that are served."""
KEPT_RESULTS, KEPT_BYTES = 200, 64_000_000
"""Of what is worked out from a run's scores: so many results, and none that is larger."""


def _nowhere(instance_id: str) -> ScoreFile:
    raise InstanceNotFoundError(
        f"The rule speaks of {instance_id!r}, whose scores are not at hand here.", "ask the server that has both."
    )


@contextmanager
def _telling(folder: Path) -> Iterator[None]:
    """What goes wrong with a file of a run, as a refusal.

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
        self._groups, self._index = groups, ScoreIndex.open(folder, groups)
        with _Held(folder) as held:
            self.schema = held.table.schema.remove_metadata()
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

    @functools.cached_property
    def known(self) -> Known:
        """What the run keeps beside the scores.

        Raises:
            InstanceNotFoundError: what tells it is damaged.
        """
        return Known(self.path.parent.name, self._kept_values, self._kept_attributes)

    @functools.cached_property
    def _kept_values(self) -> dict[str, FieldType] | None:
        return self._types_beside("contributions")

    @functools.cached_property
    def _kept_attributes(self) -> dict[str, FieldType] | None:
        found = self._types_beside("attributes")
        if found is None and read_json(self.path.parent / "run.json").get("attributes") == []:
            return {}  # there was none to keep
        return found

    def _types_beside(self, table: str) -> dict[str, FieldType] | None:
        with _telling(self.path.parent):
            return _types(_schema(self.path.parent / f"{table}.parquet"), BESIDE[table][1])

    def _known_for(self, rule: Rule) -> Known:
        """What of it a rule asks: damage to what it does not ask is nothing to it."""
        asks_values, asks_attributes = (any(f.startswith(head) for f in rule.beside) for head in (SHOWN, HELD))
        return Known(
            self.path.parent.name,
            self._kept_values if asks_values else None,
            self._kept_attributes if asks_attributes else None,
        )

    def attributes_of(self, ids: Sequence[str]) -> dict[str, Row]:
        """The attributes of those of the profiles that were scored, by id and name; none where the run keeps none.

        Raises:
            InstanceNotFoundError: they are damaged.
        """
        if not self.known.attributes:
            return {}
        found = self._attributes.find_many(ids)
        return {
            profile_id: {name.removeprefix(ATTRIBUTE): v for name, v in plain(row).items() if name != "profile_id"}
            for profile_id, row in found.items()
        }

    def frequent(self, name: str) -> list[str]:
        """The most frequent texts of an attribute, the most frequent first; none where it is no text.

        Raises:
            InstanceNotFoundError: attributes are damaged.
        """
        if (self.known.attributes or {}).get(name) != "text":
            return []
        return self._kept(("frequent", name), lambda: self._frequent(ATTRIBUTE + name))

    def _frequent(self, column: str) -> list[str]:
        with _telling(self.path.parent):
            found = pq.read_table(self.path.parent / "attributes.parquet", columns=[column]).column(column)
        counted = pa.Table.from_struct_array(found.cast(pa.string()).drop_null().value_counts())
        order = [("counts", "descending"), ("values", "ascending")]
        values: list[str] = counted.sort_by(order).column("values").slice(0, FREQUENT).to_pylist()
        return values

    @functools.cached_property
    def _attributes(self) -> ScoreIndex:
        return ScoreIndex.open(self.path.parent, self._groups, "attributes")

    def gate(self, rule: Rule) -> None:
        """Refuse a rule that these scores, or those of other instances that it speaks of, cannot be asked.

        Raises:
            ConfigurationError, NotKeptError: it speaks of what a run does not keep.
            InstanceNotFoundError: it speaks of another instance that has no scores.
        """
        rule.gate(self._known_for(rule))
        for instance_id in rule.elsewhere:
            there = rule.there(instance_id)
            there.gate(self._elsewhere(instance_id)._known_for(there))

    def batches(
        self, rule: Rule, columns: Sequence[str] | None = None, beyond: pc.Expression | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows that a rule means, in the order of the file, a part at a time; only those ``beyond``, too.

        The files are opened at once: what is refused is refused before the first row, and the rows are those of this
        moment, whatever is put in their place afterwards or takes them away.

        Raises:
            ConfigurationError, NotKeptError: the rule speaks of what the run does not keep.
            InstanceNotFoundError: the scores are gone, or it speaks of another instance that has none.
        """
        rule.gate(self._known_for(rule))
        rule = rule.settled(lambda instance_id, there: self._elsewhere(instance_id).members(there))
        wanted = list(columns) if columns is not None else self.names
        beside = [table for table, (head, _) in BESIDE.items() if any(f.startswith(head) for f in rule.beside)]
        with _telling(self.path.parent):
            held = _Held(self.path.parent, beside)
        return self._rows_of(held, rule, wanted, beyond)

    def _rows_of(
        self, held: _Held, rule: Rule, wanted: list[str], beyond: pc.Expression | None
    ) -> Iterator[pa.RecordBatch]:
        with _telling(self.path.parent), held:
            yield from self._batches(held, rule, wanted, beyond)

    def _batches(
        self, held: _Held, rule: Rule, wanted: list[str], beyond: pc.Expression | None
    ) -> Iterator[pa.RecordBatch]:
        """See ``batches``; of a rule that is settled."""
        asked = dict.fromkeys([*rule.fields, *(("profile_id", "probability") if beyond is not None else ())])
        if rule.is_plain:
            yield from self._rows(held, wanted, _both(rule.expression(self.names), beyond), asked)
            return
        types = self._types(rule)
        expression = _both(rule.expression(self.names, types), beyond)
        needed = dict.fromkeys([*wanted, *(f for f in rule.fields if f in self.names)])
        if beyond is not None or rule.looks_up:  # ids say who is beyond, and who is meant
            needed["profile_id"] = None
        if beyond is not None and "probability" in self.names:
            needed["probability"] = None
        slim = rule.on_factors and "factors" not in wanted
        if types or slim:
            parts = self._side_by_side(held, list(needed), rule.on_factors, slim, types)
        else:
            more = ["factors"] if rule.on_factors and "factors" not in needed else []
            plain_part = rule.plain_part()
            asked = dict.fromkeys([*plain_part.fields, *(("profile_id", "probability") if beyond is not None else ())])
            parts = self._rows(held, [*needed, *more], _both(plain_part.expression(self.names), beyond), asked)
        for batch in parts:
            kept = rule.keep(batch, expression, wanted)
            if kept.num_rows:
                yield kept

    def _rows(
        self, held: _Held, columns: list[str], condition: pc.Expression | None, asked: Iterable[str]
    ) -> Iterator[pa.RecordBatch]:
        """Rows of whom a condition holds, by the columns that it is ``asked`` of.

        A scan is quick, and reads far ahead: with factors it would come to hold most of a file. These are read a few
        groups of rows after the other, and not at all where nobody in the groups is meant.
        """
        if "factors" not in columns:
            yield from _scanned(held, columns, condition)
            return
        asked = [*dict.fromkeys(["profile_id", *(name for name in asked if name in self.names)])]
        for part in held.parts:
            with pq.ParquetFile(held.file(part), pre_buffer=False) as file:
                groups = range(file.metadata.num_row_groups)
                for some in (list(groups[i : i + GROUPS_AT_ONCE]) for i in groups[::GROUPS_AT_ONCE]):
                    if condition is None:
                        yield from (b.select(columns) for b in file.iter_batches(FACTOR_ROWS, some, columns))
                        continue
                    if not file.read_row_groups(some, asked).filter(condition).num_rows:
                        continue
                    for batch in file.iter_batches(FACTOR_ROWS, some, [*dict.fromkeys([*columns, *asked])]):
                        kept = _filtered(batch, condition)
                        if kept.num_rows:
                            yield kept.select(columns)

    def _types(self, rule: Rule) -> dict[str, FieldType]:
        """Types of what a rule speaks of beside the scores, by field."""
        known = self._known_for(rule).types
        return {field: known[field] for field in rule.beside}

    def _side_by_side(
        self, held: _Held, columns: list[str], factors: bool, slim: bool, types: Mapping[str, FieldType]
    ) -> Iterator[pa.RecordBatch]:
        """All rows, with the columns of the tables beside the scores.

        Of factors only what rules ask where they are ``slim``: their texts are most of a file, and a scan of it cannot
        leave them out.
        """
        leaves = [f"{FACTOR_LEAF}.{leaf}" for leaf in ("code", "impact")] if slim else ["factors"]
        read = [*(c for c in columns if c != "factors"), *(leaves if factors or "factors" in columns else [])]
        beside = {
            what: {column + name.removeprefix(head): name for name in types if name.startswith(head)}
            for what, (head, column) in BESIDE.items()
        }
        for part in held.parts:
            with pq.ParquetFile(held.file(part)) as file:
                others = [
                    _beside(held.file(part, what), file.metadata.num_rows, names)
                    for what, names in beside.items()
                    if names
                ]
                by_id = any(isinstance(other, _Lookup) for other in others)
                columns = [*dict.fromkeys([*read, *(["profile_id"] if by_id else [])])]
                rows = SIDE_BATCH_ROWS if not factors else BATCH_ROWS
                yield from _joined([file.iter_batches(rows, columns=columns), *others])

    def count(self, rule: Rule) -> int:
        """How many profiles a rule means."""
        if rule.is_plain:
            with _telling(self.path.parent), _Held(self.path.parent) as held:
                return int(held.table.count_rows(filter=rule.expression(self.names)))
        return sum(batch.num_rows for batch in self.batches(rule, ["percentile"]))

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
        return rule.text, tuple(self._elsewhere(instance_id)._stamped for instance_id in rule.elsewhere)

    @property
    def _stamped(self) -> Stamp:
        return stamp(self.path.parent.name, self.path.parent)

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


# --- files ----------------------------------------------------------------------------------------------------------


class _Held:
    """The files that one question reads, open from its beginning to its end.

    Whoever is forgotten is taken out of a run by putting another file in the place of one; whoever deletes an instance
    removes them. What is open is still what it was.

    Attributes:
        parts: names of the files of the scores, in order: one, or those that a cluster left.
    """

    def __init__(self, folder: Path, beside: Iterable[str] = ()) -> None:
        """``beside``: the tables beside the scores that are read, too.

        Raises:
            OSError: a file is not there.
        """
        path = folder / "scores.parquet"
        self.parts = sorted(p.name for p in path.glob("*.parquet")) if path.is_dir() else [path.name]
        if not self.parts:
            raise FileNotFoundError(str(path))
        self._open: dict[tuple[str, str], pa.NativeFile] = {}
        with ExitStack() as stack:
            for table in ("scores", *beside):
                place = folder / f"{table}.parquet"
                in_parts = place.is_dir()
                for part in self.parts:
                    file = pa.OSFile(str(place / part if in_parts else place))
                    self._open[table, part] = stack.enter_context(file)
            self._closing = stack.pop_all()

    def __enter__(self) -> _Held:
        return self

    def __exit__(self, *_error: object) -> None:
        self._closing.close()

    def file(self, part: str, table: str = "scores") -> pa.NativeFile:
        """One of them; several may read it at once."""
        return self._open[table, part]

    @functools.cached_property
    def table(self) -> ds.FileSystemDataset:
        """The scores, to be scanned."""
        parquet = ds.ParquetFileFormat()
        fragments = [parquet.make_fragment(self.file(part)) for part in self.parts]
        return ds.FileSystemDataset(fragments, fragments[0].physical_schema, parquet)


def _size(found: Any) -> int:
    """Memory of what was worked out; small things are not counted."""
    return int(found.nbytes) if isinstance(found, Ranked | Members) else 0


def _later(order: str, after: Row) -> pc.Expression:
    beyond = pc.field("profile_id") > after["profile_id"]
    if order == "profile":
        return beyond
    probability = pc.field("probability")
    return (probability < after["probability"]) | ((probability == after["probability"]) & beyond)


def stamp(run_id: str, folder: Path) -> Stamp:
    """Changes with the run, and with the file that its scores are in."""
    try:
        found = (folder / "scores.parquet").stat()
    except OSError:
        return run_id, 0, 0
    return run_id, found.st_ino, found.st_mtime_ns


# --- tables side by side ------------------------------------------------------------------------------------------


def _filtered(batch: pa.RecordBatch, condition: pc.Expression) -> pa.RecordBatch:
    found = pa.Table.from_batches([batch]).filter(condition).combine_chunks().to_batches()
    return found[0] if found else batch.slice(0, 0)


def _both(one: pc.Expression | None, other: pc.Expression | None) -> pc.Expression | None:
    found = [e for e in (one, other) if e is not None]
    return functools.reduce(operator.and_, found) if found else None


def _schema(path: Path) -> pa.Schema | None:
    """Of a table, or of the parts of one; None where there is none."""
    first = next(iter(sorted(path.glob("*.parquet"))), None) if path.is_dir() else path if path.exists() else None
    return pq.read_schema(first) if first is not None else None


def _kind(kind: pa.DataType) -> FieldType:
    if pa.types.is_floating(kind):
        return "number"
    if pa.types.is_boolean(kind):
        return "boolean"
    return "time" if pa.types.is_timestamp(kind) else "text"


def _types(schema: pa.Schema | None, head: str) -> dict[str, FieldType] | None:
    """Of the columns whose names begin so, by the rest of their names; None where there is no table."""
    if schema is None:
        return None
    return {f.name.removeprefix(head): _kind(f.type) for f in schema if f.name.startswith(head)}


def _scanned(held: _Held, columns: list[str], condition: pc.Expression | None) -> Iterator[pa.RecordBatch]:
    scanner = held.table.scanner(
        columns=columns, filter=condition, batch_size=BATCH_ROWS, batch_readahead=2, fragment_readahead=1
    )
    yield from (batch for batch in scanner.to_batches() if batch.num_rows)


def _beside(source: pa.NativeFile, rows: int, names: Mapping[str, str]) -> Iterator[pa.RecordBatch] | _Lookup:
    """Some columns of the table beside the scores, for the rows of one part of them.

    Who is forgotten is taken out of one table after the other: where their numbers differ, rows are found by id.

    Args:
        names: what each column becomes.
    """
    with pq.ParquetFile(source) as file:
        if file.metadata.num_rows != rows:
            found = file.read(columns=["profile_id", *names])
            return _Lookup(found.column("profile_id"), _renamed(found.select(list(names)), names))
    return _read(source, names)


def _read(source: pa.NativeFile, names: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(source) as file:
        for batch in file.iter_batches(SIDE_BATCH_ROWS, columns=list(names)):
            yield _renamed(batch.select(list(names)), names)


def _renamed(found: Any, names: Mapping[str, str]) -> Any:
    """A batch or a table under other names; texts as texts, which are kept as places among all texts."""
    columns = [c.cast(pa.string()) if pa.types.is_dictionary(c.type) else c for c in found.columns]
    return type(found).from_arrays(columns, names=[names[name] for name in found.schema.names])


class _Lookup:
    """A table whose rows are found by the ids of others."""

    def __init__(self, ids: pa.ChunkedArray, table: pa.Table) -> None:
        self._ids, self._table = ids.combine_chunks(), table.combine_chunks()

    def of(self, ids: pa.Array) -> pa.RecordBatch:
        """Rows of these profiles; of whom is not there, nothing is known."""
        places = pc.index_in(ids, value_set=self._ids)
        return self._table.take(places).combine_chunks().to_batches()[0]


def _joined(streams: Sequence[Iterator[pa.RecordBatch] | _Lookup]) -> Iterator[pa.RecordBatch]:
    """Batches with the columns of all streams, the first of which has the ids."""
    running = [s for s in streams if not isinstance(s, _Lookup)]
    lookups = [s for s in streams if isinstance(s, _Lookup)]
    rest = [next(s, None) for s in running]
    while None not in rest:
        there = [batch for batch in rest if batch is not None]
        rows = min(batch.num_rows for batch in there)
        if rows:
            parts = [batch.slice(0, rows) for batch in there]
            parts += [lookup.of(parts[0].column("profile_id")) for lookup in lookups]
            names = [name for batch in parts for name in batch.schema.names]
            yield pa.RecordBatch.from_arrays([c for batch in parts for c in batch.columns], names=names)
        rest = [
            batch.slice(rows) if batch.num_rows > rows else next(s, None)
            for batch, s in zip(there, running, strict=True)
        ]
