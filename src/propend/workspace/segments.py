"""Segments: saved rules over the scores of an instance, such as ``bucket = 'high' and probability >= 0.4``.

A rule is read by ``propend.conditions`` into typed conditions and evaluated on Arrow tables; no text of it ever becomes
part of a query. Besides columns of ``scores.parquet`` it may speak of factors: ``factor``, ``raised_by`` and
``lowered_by`` hold where one of the profile's factors (any, or those that raise or lower its score) has such a code.
A field may be another instance's: ``churn:bucket = 'low'`` holds for profiles that are scored there, too, and low.
"""

from __future__ import annotations

import bisect
import functools
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from propend.conditions import Condition, condition_text, parse_conditions
from propend.errors import ConfigurationError, InstanceNotFoundError, Mistake, StatusError
from propend.scoring import BUCKETS
from propend.store.catalog import Catalog, SegmentRow, now
from propend.workspace.audit import LOCAL, note
from propend.workspace.instances import Instances

NUMBERS = (
    "score", "probability", "probability_low", "probability_high", "percentile", "times_average", "expected_days",
)  # fmt: skip
TEXTS = ("profile_id", "bucket", "propensity_type")
FLAGS = ("too_little_history",)
FACTORS = ("factor", "raised_by", "lowered_by")
COLUMNS = (*TEXTS, *NUMBERS, *FLAGS)
ELSEWHERE = re.compile(r"([a-z0-9-]{1,80}):(.+)", re.DOTALL)
"""A field of another instance's scores."""
_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le,
}  # fmt: skip
_SEARCHED = {
    "starts_with": pc.starts_with,
    "ends_with": pc.ends_with,
    "contains": pc.match_substring,
    "matches": pc.match_substring_regex,
}
_WORDS = {
    "eq": "is", "ne": "is not", "gt": "is above", "gte": "is at least", "lt": "is below", "lte": "is at most",
    "starts_with": "starts with", "ends_with": "ends with", "contains": "contains", "matches": "matches",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Members:
    """Some profiles.

    Attributes:
        ids: ascending.
    """

    ids: pa.StringArray

    @classmethod
    def of(cls, parts: Sequence[pa.Array], ascending: bool = True) -> Members:
        """From ids in parts; ``ascending``: whether they are in order already."""
        ids = pa.concat_arrays(parts) if parts else pa.array([], pa.string())
        return cls(ids if ascending else ids.take(pc.sort_indices(ids)))

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        return int(self.ids.nbytes)

    def among(self, ids: pa.Array) -> pa.Array:
        """Which of ids, in ascending order, are theirs; only those between the first and the last are looked at."""
        if not len(ids):
            return pa.array([], pa.bool_())
        low, high = self._place(ids[0].as_py()), self._place(ids[-1].as_py(), after=True)
        return pc.is_in(ids, value_set=self.ids.slice(low, high - low))

    def _place(self, profile_id: str, after: bool = False) -> int:
        find = bisect.bisect_right if after else bisect.bisect_left
        return find(range(len(self.ids)), profile_id, key=lambda i: self.ids[i].as_py())


@dataclass(frozen=True)
class Rule:
    """Conditions that all hold for the profiles that are meant.

    Attributes:
        conditions: on columns of the scores, on factors, and on those of other instances.
        members: who must be among the profiles, too: in place of conditions on other instances (``settled``).
    """

    conditions: tuple[Condition, ...] = ()
    members: tuple[Members, ...] = ()

    @classmethod
    def read(cls, where: str) -> Rule:
        """A rule from its text.

        Raises:
            ConfigurationError: it cannot be read, or speaks of what scores do not have.
        """
        try:
            found = tuple(Condition.model_validate(c) for c in parse_conditions(where))
        except ValidationError as error:
            raise _mistaken(*(str(e["msg"]).removeprefix("Value error, ") for e in error.errors())) from None
        except ValueError as error:
            raise _mistaken(str(error)) from None
        problems = [problem for c in found if (problem := _problem(c))]
        if problems:
            raise _mistaken(*problems)
        return cls(found)

    @classmethod
    def of(
        cls,
        *,
        bucket: str | None = None,
        min_probability: float | None = None,
        max_probability: float | None = None,
        factor: str | None = None,
    ) -> Rule:
        """A rule from the filters that scores are asked for with; None leaves one out."""
        asked = (
            ("bucket", "eq", bucket),
            ("probability", "gte", min_probability),
            ("probability", "lte", max_probability),
            ("factor", "eq", factor),
        )
        return cls(tuple(Condition(field=f, operator=o, value=v) for f, o, v in asked if v is not None))

    def __add__(self, other: Rule) -> Rule:
        """Both."""
        return Rule(self.conditions + other.conditions, self.members + other.members)

    @property
    def elsewhere(self) -> dict[str, Rule]:
        """What it says of other instances, by instance, as rules over their scores."""
        found: dict[str, Rule] = {}
        for condition in self.conditions:
            if there := ELSEWHERE.fullmatch(condition.field):
                own = Condition(field=there[2], operator=condition.operator, value=condition.value)
                found[there[1]] = found.get(there[1], Rule()) + Rule((own,))
        return found

    def settled(self, members: Callable[[str, Rule], Members]) -> Rule:
        """The same without conditions on other instances: ``members`` gives those for whom they hold."""
        own = tuple(c for c in self.conditions if not ELSEWHERE.fullmatch(c.field))
        return Rule(own, self.members + tuple(members(i, rule) for i, rule in self.elsewhere.items()))

    def expression(self, names: list[str]) -> pc.Expression | None:
        """What it says of columns, to be pushed into a scan; None where it says nothing of them.

        Args:
            names: columns that these scores have: one that they lack has no value for anybody.
        """
        parts = [_expression(c, names) for c in self.conditions if c.field not in FACTORS]
        return functools.reduce(operator.and_, parts) if parts else None

    @property
    def on_factors(self) -> bool:
        """Whether it also speaks of factors, which a scan cannot look into."""
        return any(c.field in FACTORS for c in self.conditions)

    def keep(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of a batch, with its column ``factors``, for which all it says of factors and members holds."""
        for members in self.members:
            batch = batch.filter(members.among(batch.column("profile_id")))
        for condition in self.conditions:
            if condition.field in FACTORS:
                batch = batch.filter(_has_factor(batch.column("factors"), condition))
        return batch

    @property
    def sentence(self) -> str:
        """The rule in English."""
        return "Profiles of whom " + " and ".join(map(_said, self.conditions)) + "."

    @property
    def text(self) -> str:
        """The rule as ``read`` reads it."""
        return " and ".join(condition_text(c) for c in self.conditions)


class Segments:
    """The segments of a workspace."""

    def __init__(self, catalog: Catalog, instances: Instances) -> None:
        """Nothing is read yet."""
        self._catalog, self._instances = catalog, instances

    def all(self, instance_id: str, after: int = 0, limit: int = 1000) -> list[SegmentRow]:
        """Those of an instance, by id; only those whose id is greater than ``after``.

        Raises:
            InstanceNotFoundError: there is no such instance.
        """
        asked = select(SegmentRow).where(SegmentRow.instance_id == instance_id, SegmentRow.id > after)
        with self._catalog.reading() as session:
            self._instances.row(session, instance_id)
            return list(session.scalars(asked.order_by(SegmentRow.id).limit(limit)))

    def some(self, instance_ids: Sequence[str], after: int = 0, limit: int = 1000) -> list[SegmentRow]:
        """Those of several instances, as ``all`` gives them."""
        asked = select(SegmentRow).where(SegmentRow.instance_id.in_(instance_ids), SegmentRow.id > after)
        with self._catalog.reading() as session:
            return list(session.scalars(asked.order_by(SegmentRow.id).limit(limit)))

    def get(self, segment_id: int) -> SegmentRow:
        """One segment.

        Raises:
            InstanceNotFoundError: there is none of that id.
        """
        with self._catalog.reading() as session:
            return self._row(session, segment_id)

    def create(self, instance_id: str, name: str, where: str, by: str = LOCAL) -> SegmentRow:
        """Save a rule.

        Raises:
            ConfigurationError: the rule has mistakes.
            InstanceNotFoundError: there is no such instance.
            StatusError: the instance has a segment of that name.
        """
        elsewhere = Rule.read(where).elsewhere
        try:
            with self._catalog.writing() as session:
                for known in (instance_id, *elsewhere):
                    self._instances.row(session, known)
                found = SegmentRow(
                    instance_id=instance_id, name=name, where=where, created_at=now(), created_by=by
                )  # fmt: skip
                session.add(found)
                session.flush()
                note(session, by, "create", "segment", str(found.id), after=_plain(found))
                return found
        except IntegrityError:
            raise _taken(instance_id, name) from None

    def change(self, segment_id: int, name: str, where: str, by: str = LOCAL) -> SegmentRow:
        """Give a segment another name or rule; raises as ``create`` does."""
        elsewhere = Rule.read(where).elsewhere
        instance_id = ""
        try:
            with self._catalog.writing() as session:
                for known in elsewhere:
                    self._instances.row(session, known)
                found = self._row(session, segment_id)
                instance_id, before = found.instance_id, _plain(found)
                found.name, found.where = name, where
                session.flush()
                note(session, by, "update", "segment", str(segment_id), before, _plain(found))
                return found
        except IntegrityError:
            raise _taken(instance_id, name) from None

    def remove(self, segment_id: int, by: str = LOCAL) -> None:
        """Remove a segment.

        Raises:
            InstanceNotFoundError: there is none of that id.
        """
        with self._catalog.writing() as session:
            found = self._row(session, segment_id)
            note(session, by, "delete", "segment", str(segment_id), _plain(found))
            session.delete(found)

    def _row(self, session: Session, segment_id: int) -> SegmentRow:
        found = session.get(SegmentRow, segment_id)
        if found is None:
            raise InstanceNotFoundError(
                f"There is no segment {segment_id}.", "the segments of an instance are listed with it.",
                segment=segment_id,
            )  # fmt: skip
        self._instances.row(session, found.instance_id)  # not of one that is being removed
        return found


def _plain(row: SegmentRow) -> dict[str, Any]:
    return {"instance": row.instance_id, "name": row.name, "where": row.where}


def _taken(instance_id: str, name: str) -> StatusError:
    return StatusError(f"{instance_id!r} has a segment {name!r} already.", "take another name, or change that one.")


def _mistaken(*problems: str) -> ConfigurationError:
    return ConfigurationError([Mistake("where", problem) for problem in problems], "the segment")


def _problem(condition: Condition) -> str:
    """Why a condition cannot be asked of scores, or an empty text."""
    there = ELSEWHERE.fullmatch(condition.field)
    field, value = there[2] if there else condition.field, condition.value
    values = value if isinstance(value, tuple) else (value,)
    if field in FACTORS:
        fits = condition.operator in ("eq", "ne", "in", "not_in") and all(isinstance(v, str) for v in values)
        return "" if fits else f"{field} takes codes of factors: {field} = 'CODE', {field} in ('ONE', 'OTHER')"
    if field not in COLUMNS:
        return f"scores have no column {field!r}; there are {', '.join((*COLUMNS, *FACTORS))}"
    if condition.operator == "exists":
        return ""
    if field in NUMBERS:
        fits = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        return "" if fits else f"{field} is a number: {field} >= 0.4"
    if field in FLAGS:
        fits = condition.operator in ("eq", "ne") and isinstance(value, bool)
        return "" if fits else f"{field} is true or false: {field} = true"
    if not all(isinstance(v, str) for v in values):
        return f"{field} is a text: {field} = 'high'"
    if field == "bucket" and condition.operator in ("eq", "ne", "in", "not_in") and set(values) - set(BUCKETS):
        return f"a bucket is one of {', '.join(BUCKETS)}"
    return ""


def _expression(condition: Condition, names: list[str]) -> pc.Expression:
    if condition.field not in names:
        return pc.scalar(condition.operator == "exists" and condition.value is False)
    field, value = pc.field(condition.field), condition.value
    if condition.operator == "exists":
        return field.is_valid() if value else field.is_null()
    if condition.operator in _COMPARED:
        return _COMPARED[condition.operator](field, _typed(value))
    if condition.operator in _SEARCHED:
        return _SEARCHED[condition.operator](field, value)
    many = value if isinstance(value, tuple) else (value,)
    if condition.operator == "between":
        return (field >= _typed(many[0])) & (field <= _typed(many[1]))
    numbers = condition.field in NUMBERS
    listed = functools.reduce(operator.or_, (field == _typed(v) for v in many)) if numbers else field.isin(list(many))
    return listed if condition.operator == "in" else ~listed & field.is_valid()


def _typed(value: Any) -> Any:
    """Whole numbers as floats: one that no column's type can hold is compared, and not refused."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _has_factor(lists: pa.Array, condition: Condition) -> pa.Array:
    """For each profile whether one of its factors has a code that is named, and the direction that is meant."""
    factors, parents = pc.list_flatten(lists), pc.list_parent_indices(lists)
    codes = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    found = pc.is_in(pc.struct_field(factors, "code"), pa.array(codes, pa.string()))
    impact = pc.struct_field(factors, "impact")
    if condition.field == "raised_by":
        found = pc.and_(found, pc.greater(impact, 0))
    elif condition.field == "lowered_by":
        found = pc.and_(found, pc.less(impact, 0))
    rows = pa.array(range(len(lists)), pa.int64())
    has = pc.is_in(rows, pc.cast(pc.unique(pc.filter(parents, found)), pa.int64()))
    return has if condition.operator in ("eq", "in") else pc.invert(has)


def _said(condition: Condition) -> str:
    if there := ELSEWHERE.fullmatch(condition.field):
        own = Condition(field=there[2], operator=condition.operator, value=condition.value)
        return f"in {there[1]} {_said(own)}"
    field, value = condition.field.replace("_", " "), condition.value
    if condition.field in FACTORS:
        codes = value if isinstance(value, tuple) else (value,)
        which = {
            "factor": "a factor",
            "raised_by": "a factor that raises the score",
            "lowered_by": "a factor that lowers it",
        }
        has = "is" if condition.operator in ("eq", "in") else "is not"
        return f"{which[condition.field]} {has} {_listed(codes)}"
    if condition.operator == "exists":
        return f"{field} is {'known' if value else 'not known'}"
    if isinstance(value, tuple) and condition.operator == "between":
        return f"{field} is between {_shown(value[0])} and {_shown(value[1])}"
    if isinstance(value, tuple):
        return f"{field} is {'' if condition.operator == 'in' else 'not '}{_listed(value)}"
    return f"{field} {_WORDS[condition.operator]} {_shown(value)}"


def _listed(values: tuple[Any, ...]) -> str:
    shown = [_shown(v) for v in values]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + f" or {shown[-1]}"


def _shown(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
