"""Rules over the scored profiles of a run: ``bucket = 'high' and (attribute.country = 'DE' or raised_by = 'CODE')``.

A rule is read by ``propend.conditions`` into typed conditions under *every*, *either* and *not*, and becomes
expressions on Arrow columns; no text of it ever becomes part of a query. Its fields:

    score, bucket, …           columns of ``scores.parquet``
    factor, raised_by, …       codes of the factors that are named for a profile
    value.CODE                 the value that is shown for a factor (``contributions.parquet``)
    attribute.NAME             an attribute as of scoring (``attributes.parquet``)
    churn:bucket, …            any of these of another instance, for profiles that are scored there, too

A condition on a value that is missing does not hold, whatever its operator; ``not (…)`` of it therefore does.
"""

from __future__ import annotations

import bisect
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.acero import Declaration, ProjectNodeOptions, TableSourceNodeOptions
from pydantic import ValidationError

from propend.conditions import Condition, condition_text, parse_rule
from propend.document import nearest
from propend.errors import ConfigurationError, Mistake, NotKeptError
from propend.predicates import FieldType
from propend.scoring import BUCKETS

NUMBERS = (
    "score", "probability", "probability_low", "probability_high", "percentile", "times_average", "expected_days",
)  # fmt: skip
TEXTS = ("profile_id", "bucket", "propensity_type")
FLAGS = ("too_little_history",)
FACTORS = ("factor", "raised_by", "lowered_by")
COLUMNS = (*TEXTS, *NUMBERS, *FLAGS)
SHOWN = "value."
"""Before the code of a factor whose value is meant."""
HELD = "attribute."
"""Before the name of an attribute."""
ELSEWHERE = re.compile(r"([a-z0-9-]{1,80}):(.+)", re.DOTALL)
"""A field of another instance's scores."""
MAX_DEPTH = 20
"""Brackets within brackets; deeper than anybody can read."""
MAX_CONDITIONS = 1000
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


# --- what a rule is made of -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Every:
    """All of its parts hold."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Either:
    """At least one of its parts holds."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Not:
    """Its part does not hold, or what it asks is not known."""

    part: Part


@dataclass(frozen=True)
class Among:
    """The profile is one of these: what is left of conditions on another instance when they are looked up."""

    members: Members


Part = Condition | Every | Either | Not | Among


def every(*parts: Part) -> Part:
    """All of them, without brackets that say nothing."""
    return _together(Every, parts)


def either(*parts: Part) -> Part:
    """At least one of them, likewise."""
    return _together(Either, parts)


def _together(kind: type[Every] | type[Either], parts: Sequence[Part]) -> Part:
    flat = tuple(p for part in parts for p in (part.parts if isinstance(part, kind) else (part,)))
    return flat[0] if len(flat) == 1 else kind(flat)


def leaves(part: Part | None) -> Iterator[Condition | Among]:
    """What a part is made of at last, in the order in which it is written."""
    if isinstance(part, Every | Either):
        for inner in part.parts:
            yield from leaves(inner)
    elif isinstance(part, Not):
        yield from leaves(part.part)
    elif part is not None:
        yield part


@dataclass(frozen=True)
class Known:
    """What a run keeps of its profiles beside the scores, for rules to speak of.

    Attributes:
        run: its id.
        values: of each factor, by code, whether its value is a number or a text; None where it keeps none.
        attributes: what each holds, by name; None where it keeps none.
    """

    run: str
    values: Mapping[str, FieldType] | None = None
    attributes: Mapping[str, FieldType] | None = None

    @property
    def types(self) -> dict[str, FieldType]:
        """Of everything that is kept beside the scores, by field."""
        values, attributes = self.values or {}, self.attributes or {}
        return {SHOWN + code: kind for code, kind in values.items()} | {
            HELD + name: kind for name, kind in attributes.items()
        }


@dataclass(frozen=True)
class Rule:
    """Whom a segment means.

    Attributes:
        part: what holds for them; everybody is meant where it is None.
    """

    part: Part | None = None

    @classmethod
    def read(cls, where: str) -> Rule:
        """A rule from its text.

        Raises:
            ConfigurationError: it cannot be read, is too deep or too long, or speaks of what scores do not have.
        """
        try:
            found = _built(parse_rule(where))
        except ValidationError as error:
            raise _mistaken(*(str(e["msg"]).removeprefix("Value error, ") for e in error.errors())) from None
        except ValueError as error:
            raise _mistaken(str(error)) from None
        rule = cls(found)
        problems = [mistake for c in rule.conditions if (mistake := _problem(c)) is not None]
        if problems:
            raise ConfigurationError(problems, "the segment")
        return rule

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
        found = [Condition(field=f, operator=cast(Any, o), value=v) for f, o, v in asked if v is not None]
        return cls(every(*found)) if found else cls()

    def __add__(self, other: Rule) -> Rule:
        """Both."""
        found = [rule.part for rule in (self, other) if rule.part is not None]
        return Rule(every(*found)) if found else self

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """All its conditions, in the order in which they are written."""
        return tuple(leaf for leaf in leaves(self.part) if isinstance(leaf, Condition))

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """The other instances that it speaks of, by id, each once."""
        found = (ELSEWHERE.fullmatch(c.field) for c in self.conditions)
        return tuple(dict.fromkeys(there[1] for there in found if there))

    def gate(self, known: Known) -> None:
        """Refuse what a run cannot be asked; conditions on other instances are theirs to judge.

        Raises:
            NotKeptError: it speaks of values of factors, or of attributes, and the run keeps none.
            ConfigurationError: there is no such factor or attribute, or it is of another type; with the nearest name.
        """
        mistakes = []
        for condition in self.conditions:
            for head, there in ((SHOWN, known.values), (HELD, known.attributes)):
                if condition.field.startswith(head):
                    if there is None:
                        raise _not_kept(known.run, condition.field)
                    mistake = _misfit(condition, condition.field.removeprefix(head), there)
                    mistakes += [mistake] if mistake else []
        if mistakes:
            raise ConfigurationError(mistakes, "the segment")

    def there(self, instance_id: str) -> Rule:
        """Its conditions on another instance as rules of that instance have them, however they are joined."""
        found = [c for c in self.conditions if (e := ELSEWHERE.fullmatch(c.field)) and e[1] == instance_id]
        return Rule(every(*map(_own, found))) if found else Rule()

    def settled(self, members: Callable[[str, Rule], Members]) -> Rule:
        """The same without conditions on other instances: ``members`` gives those for whom they hold."""
        if self.part is None or not self.elsewhere:
            return self
        return Rule(_settled(self.part, members))

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The fields that it speaks of, each once."""
        return tuple(dict.fromkeys(c.field for c in self.conditions))

    @property
    def beside(self) -> list[str]:
        """The fields that are in tables beside the scores: values of factors, and attributes."""
        return [field for field in self.fields if field.startswith((SHOWN, HELD))]

    @property
    def on_factors(self) -> bool:
        """Whether it speaks of the factors that are named for a profile, which a scan cannot look into."""
        return any(field in FACTORS for field in self.fields)

    @property
    def is_plain(self) -> bool:
        """Whether columns of the scores tell it all, so that a scan can leave out whom it does not mean."""
        return all(isinstance(leaf, Condition) and leaf.field in COLUMNS for leaf in leaves(self.part))

    def plain_part(self) -> Rule:
        """Of what must hold together, that which columns of the scores tell: whom it leaves out is not meant."""
        parts = self.part.parts if isinstance(self.part, Every) else () if self.part is None else (self.part,)
        found = [part for part in parts if Rule(part).is_plain]
        return Rule(every(*found)) if found else Rule()

    def expression(self, names: Sequence[str], types: Mapping[str, FieldType] | None = None) -> pc.Expression | None:
        """What it says, on columns; None where it means everybody.

        Args:
            names: columns that these scores have: one that they lack has no value for anybody.
            types: of what is beside the scores, by field; columns of these names are there.
        """
        return _Expressions(frozenset(names), types or {}).of(self.part) if self.part is not None else None

    def keep(
        self, batch: pa.RecordBatch, expression: pc.Expression | None, wanted: Sequence[str] | None = None
    ) -> pa.RecordBatch:
        """The rows of a batch that it means.

        Args:
            batch: with the columns that it speaks of, ``factors`` and ``profile_id`` among them where they are needed;
                ids ascending.
            expression: as ``expression`` gives it.
            wanted: these columns; all where None.
        """
        chosen = batch.select(wanted) if wanted is not None else batch
        if expression is None:
            return chosen
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        for place, leaf in enumerate(_derived(self.part)):
            columns[_derived_name(place)] = (
                leaf.members.among(batch.column("profile_id"))
                if isinstance(leaf, Among)
                else _has_factor(batch.column("factors"), leaf)
            )
        if not batch.num_rows:
            return chosen
        given = Declaration("table_source", TableSourceNodeOptions(pa.table(columns)))
        said = Declaration("project", ProjectNodeOptions([expression], ["meant"]), [given])
        return chosen.filter(said.to_table(use_threads=False).column("meant").combine_chunks())

    @property
    def looks_up(self) -> bool:
        """Whether it asks for ids: those of profiles that were looked up in another instance."""
        return any(isinstance(leaf, Among) for leaf in leaves(self.part))

    @property
    def sentence(self) -> str:
        """The rule in English, without brackets around the whole."""
        if self.part is None:
            return "Everybody who is scored."
        return f"Profiles of whom {_said(self.part)}."

    @property
    def text(self) -> str:
        """The rule as ``read`` reads it; empty for everybody."""
        return _text(self.part) if self.part is not None else ""


# --- reading and writing ------------------------------------------------------------------------------------------


def _built(plain: Any) -> Part:
    """The model of what was parsed; depth and number are looked at first, for texts may be anybody's.

    Raises:
        ValueError: it is too deep or too long, or a value does not fit its operator.
    """
    level, deep, conditions = [plain], 0, 0
    while level:
        inner = [part for node in level if isinstance(node, tuple) for part in node[1]]
        conditions += sum(isinstance(node, dict) for node in level)
        deep += bool(inner)
        if deep > MAX_DEPTH:
            raise ValueError(f"a rule has brackets within brackets at most {MAX_DEPTH} deep")
        level = inner
    if conditions > MAX_CONDITIONS:
        raise ValueError(
            f"a rule has at most {MAX_CONDITIONS:,} conditions, not {conditions:,}; `in` takes many values"
        )
    return _model(plain)


def _model(plain: Any) -> Part:
    if isinstance(plain, dict):
        return Condition.model_validate(plain)
    word, parts = plain
    built = [_model(part) for part in parts]
    return Not(built[0]) if word == "not" else every(*built) if word == "and" else either(*built)


def _text(part: Part) -> str:
    if isinstance(part, Condition):
        return condition_text(part)
    if isinstance(part, Not):
        return f"not ({_text(part.part)})"
    if isinstance(part, Among):
        raise TypeError("profiles that were looked up are no part of a text")
    word = " and " if isinstance(part, Every) else " or "
    return word.join(f"({_text(p)})" if isinstance(p, Every | Either) else _text(p) for p in part.parts)


def _mistaken(*problems: str) -> ConfigurationError:
    return ConfigurationError([Mistake("where", problem) for problem in problems], "the segment")


def _problem(condition: Condition) -> Mistake | None:
    """Why a condition cannot be asked of scores, with the nearest name where it names nothing."""
    there = ELSEWHERE.fullmatch(condition.field)
    field = there[2] if there else condition.field
    if field.startswith((SHOWN, HELD)) and field not in (SHOWN, HELD):
        return None  # a run says what it has
    if field not in (*COLUMNS, *FACTORS):
        shown = ", ".join((*COLUMNS, *FACTORS))
        problem = f"scores have no column {field!r}; there are {shown}, and of values {SHOWN}CODE, {HELD}NAME"
        return Mistake("where", problem, nearest(field, (*COLUMNS, *FACTORS)))
    problem = _misfit_of_column(field, condition)
    return Mistake("where", problem) if problem else None


def _misfit_of_column(field: str, condition: Condition) -> str:
    value = condition.value
    values = value if isinstance(value, tuple) else (value,)
    if field in FACTORS:
        fits = condition.operator in ("eq", "ne", "in", "not_in") and all(isinstance(v, str) for v in values)
        return "" if fits else f"{field} takes codes of factors: {field} = 'CODE', {field} in ('ONE', 'OTHER')"
    if field in NUMBERS:
        return _misfit_of_type(field, "number", condition)
    if field in FLAGS:
        return "" if condition.operator == "exists" else _misfit_of_type(field, "boolean", condition)
    if condition.operator == "exists":
        return ""
    if not all(isinstance(v, str) for v in values):
        return f"{field} is a text: {field} = 'high'"
    if field == "bucket" and condition.operator in ("eq", "ne", "in", "not_in") and set(values) - set(BUCKETS):
        return f"a bucket is one of {', '.join(BUCKETS)}"
    return ""


def _misfit_of_type(field: str, kind: FieldType, condition: Condition) -> str:
    """Why operator or value do not fit a field of a type, or an empty text."""
    value = condition.value
    values = value if isinstance(value, tuple) else (value,)
    if condition.operator == "exists":
        return ""
    if kind == "number":
        fits = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        return "" if fits else f"{field} is a number: {field} >= 0.4"
    if kind == "boolean":
        fits = condition.operator in ("eq", "ne") and isinstance(value, bool)
        return "" if fits else f"{field} is true or false: {field} = true"
    if not all(isinstance(v, str) for v in values):
        return f"{field} is a {kind}: {field} = '{'2024-01-31' if kind == 'time' else 'text'}'"
    if kind == "time" and (condition.operator in _SEARCHED or None in map(_moment, values)):
        return f"{field} is a time, written as an ISO date: {field} >= '2024-01-31'"
    return ""


def _misfit(condition: Condition, name: str, known: Mapping[str, FieldType]) -> Mistake | None:
    if name not in known:
        shown = ", ".join(list(known)[:12]) or "none"
        what = f"no attribute {name!r}" if condition.field.startswith(HELD) else f"no factor {name!r} with a value"
        return Mistake("where", f"there is {what}; there are: {shown}", nearest(name, known))
    problem = _misfit_of_type(condition.field, known[name], condition)
    return Mistake("where", problem) if problem else None


def _not_kept(run: str, field: str) -> NotKeptError:
    what, file = ("attributes", "attributes") if field.startswith(HELD) else ("values of factors", "contributions")
    return NotKeptError(
        f"The rule asks for {field!r}, and run {run!r} keeps no {what} of its profiles.",
        f"run the instance again, or restore its {file}.parquet.",
        run=run, field=field,
    )  # fmt: skip


# --- as expressions -----------------------------------------------------------------------------------------------


def _settled(part: Part, members: Callable[[str, Rule], Members]) -> Part:
    """Conditions on one other instance that stand side by side are looked up together."""
    if isinstance(part, Not):
        return Not(_settled(part.part, members))
    if isinstance(part, Condition):
        there = ELSEWHERE.fullmatch(part.field)
        return Among(members(there[1], Rule(_own(part)))) if there else part
    if isinstance(part, Among):
        return part
    kind, found, asked = type(part), list[Part](), dict[str, list[Part]]()
    for inner in part.parts:
        there = ELSEWHERE.fullmatch(inner.field) if isinstance(inner, Condition) else None
        if there and isinstance(inner, Condition):
            asked.setdefault(there[1], []).append(_own(inner))
        else:
            found.append(_settled(inner, members))
    found += [Among(members(instance_id, Rule(_together(kind, parts)))) for instance_id, parts in asked.items()]
    return _together(kind, found)


def _own(condition: Condition) -> Condition:
    """A condition on another instance as its own rules have it."""
    there = ELSEWHERE.fullmatch(condition.field)
    return condition.model_copy(update={"field": there[2]}) if there else condition


def _derived(part: Part | None) -> list[Condition | Among]:
    """What no column says: factors and look-ups."""
    return [leaf for leaf in leaves(part) if isinstance(leaf, Among) or leaf.field in FACTORS]


def _derived_name(place: int) -> str:
    return f"#{place}"


@dataclass
class _Expressions:
    """Writes a rule's parts as expressions; what is derived is numbered as it is met."""

    names: frozenset[str]
    types: Mapping[str, FieldType]
    met: int = 0

    def of(self, part: Part, under_not: bool = False) -> pc.Expression:
        """An expression that is true, and under ``not`` else false and never null, where a part holds."""
        if isinstance(part, Every):
            return _balanced(operator.and_, [self.of(p, under_not) for p in part.parts])
        if isinstance(part, Either):
            return _balanced(operator.or_, [self.of(p, under_not) for p in part.parts])
        if isinstance(part, Not):
            return ~self.of(part.part, under_not=True)
        if isinstance(part, Among) or part.field in FACTORS:
            self.met += 1
            return pc.field(_derived_name(self.met - 1))
        return self._of_column(part, under_not)

    def _of_column(self, condition: Condition, under_not: bool) -> pc.Expression:
        name = condition.field
        kind = self.types.get(name) or ("number" if name in NUMBERS else "text")
        if name not in self.names and name not in self.types:
            return pc.scalar(condition.operator == "exists" and condition.value is False)
        field = pc.field(name)
        if condition.operator == "exists":
            return field.is_valid() if condition.value else field.is_null()
        found = _compared(field, condition, kind)
        return found & field.is_valid() if under_not else found


def _compared(field: pc.Expression, condition: Condition, kind: FieldType) -> pc.Expression:
    value, single = condition.value, condition.field.startswith(SHOWN)
    if condition.operator in _COMPARED:
        return _COMPARED[condition.operator](field, _typed(value, kind, single))
    if condition.operator in _SEARCHED:
        return _SEARCHED[condition.operator](field, value)
    many = value if isinstance(value, tuple) else (value,)
    if condition.operator == "between":
        return (field >= _typed(many[0], kind, single)) & (field <= _typed(many[1], kind, single))
    if kind == "text":
        listed = field.isin(list(many))
    else:
        listed = _balanced(operator.or_, [field == _typed(v, kind, single) for v in many])
    return listed if condition.operator == "in" else ~listed & field.is_valid()


def _balanced(join: Callable[[Any, Any], Any], parts: Sequence[Any]) -> Any:
    """Joined in pairs: a chain of hundreds would be as deep as it is long."""
    while len(parts) > 1:
        pairs = [parts[i : i + 2] for i in range(0, len(parts), 2)]
        parts = [join(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return parts[0]


def _typed(value: Any, kind: FieldType, single: bool = False) -> Any:
    """Whole numbers as floats: one that no column's type can hold is compared, and not refused. Times as instants.

    Args:
        single: numbers are of single precision, in which 0.1 is another number.
    """
    if single and kind == "number":
        return pa.scalar(float(value), pa.float32())
    if kind == "time":
        return pa.scalar(_moment(value), pa.timestamp("us"))
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _moment(text: Any) -> datetime | None:
    """A time without a zone, from an ISO text; with a zone, the instant in UTC. None where it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)


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


# --- in words -----------------------------------------------------------------------------------------------------


def _said(part: Part, beside: type[Part] | None = None) -> str:
    """A part in English; ``beside``: what it is one of several parts of."""
    if isinstance(part, Condition):
        said = _said_condition(part)
        lists = isinstance(part.value, tuple) and len(part.value) > 1 and part.operator != "between"
        return f"({said})" if lists and beside is Either else said
    if isinstance(part, Not):
        return f"not ({_said(part.part)})"
    if isinstance(part, Among):
        return f"the id is one of {len(part.members.ids):,}"
    text = (" and " if isinstance(part, Every) else " or ").join(_said(p, type(part)) for p in part.parts)
    return f"({text})" if beside is not None else text


def _said_condition(condition: Condition) -> str:
    if there := ELSEWHERE.fullmatch(condition.field):
        return f"in {there[1]} {_said_condition(_own(condition))}"
    field, value = _field_words(condition.field), condition.value
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


def _field_words(field: str) -> str:
    if field.startswith(SHOWN):
        return f"the value of {field.removeprefix(SHOWN)}"
    if field.startswith(HELD):
        return f"the attribute {field.removeprefix(HELD)}"
    return field.replace("_", " ")


def _listed(values: tuple[Any, ...]) -> str:
    shown = [_shown(v) for v in values]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + f" or {shown[-1]}"


def _shown(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
