"""Rules as people put them together: rows of a field, an operator that fits it, and a value; and rules in plain words.

All rows must hold; rows that are joined by *or* are alternatives, of which one must. Whatever rows say can be written
as a rule's text; not every rule fits into rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from propend.conditions import Condition, condition_text
from propend.errors import ConfigurationError, Mistake
from propend.phrasing import SPACE
from propend.predicates import FieldType
from propend.scoring import BUCKETS
from propend.segments import ELSEWHERE, FACTORS, FLAGS, HELD, SHOWN, Among, Either, Every, Not, Part, Rule


@dataclass(frozen=True)
class Field:
    """Something that a row may speak of.

    Attributes:
        name: column of the scores, or what is said of factors.
        label: in a list.
        noun: in a sentence, after "have".
        kind: ``bucket``, ``percent``, ``number``, ``factor``, ``flag``, ``choice`` or ``text``.
    """

    name: str
    label: str
    noun: str
    kind: str


FIELDS = (
    Field("bucket", "Bucket", "bucket", "bucket"),
    Field("probability", "Probability", "a probability", "percent"),
    Field("percentile", "Percentile (100 is the top)", "a percentile", "number"),
    Field("score", "Score", "a score", "number"),
    Field("times_average", "Times the average", "a chance, in times the average,", "number"),
    Field("raised_by", "A factor raises the score:", "a score raised by", "factor"),
    Field("lowered_by", "A factor lowers the score:", "a score lowered by", "factor"),
    Field("too_little_history", "Too little history", "too little history", "flag"),
    Field("profile_id", "Id of the profile", "an id", "text"),
    Field("probability_low", "Probability, low end", "a low end of the probability", "percent"),
    Field("probability_high", "Probability, high end", "a high end of the probability", "percent"),
    Field("expected_days", "Days until as likely as not", "a number of days until it is as likely as not", "number"),
    Field("factor", "Named factor:", "among their factors", "factor"),
)  # fmt: skip
BY_NAME = {field.name: field for field in FIELDS}
OPERATORS = {
    "bucket": {"eq": "is", "ne": "is not"},
    "percent": {"gte": "at least", "lte": "at most", "gt": "above", "lt": "below"},
    "number": {"gte": "at least", "lte": "at most", "gt": "above", "lt": "below", "eq": "exactly"},
    "factor": {"eq": "is", "ne": "is not"},
    "flag": {"eq": "is"},
    "choice": {"eq": "is", "ne": "is not", "starts_with": "starts with", "contains": "contains"},
    "date": {"gte": "from", "lt": "before", "gt": "after", "lte": "up to", "eq": "is"},
    "text": {"eq": "is", "starts_with": "starts with", "contains": "contains", "ends_with": "ends with"},
}
"""By the kind of a field, the operators of rows, in words."""
USUAL = {
    "bucket": "high", "percent": "50", "number": "", "factor": "", "flag": "true", "choice": "", "date": "", "text": "",
}  # fmt: skip
KINDS: dict[FieldType, str] = {"number": "number", "text": "choice", "boolean": "flag", "time": "date"}
"""Of values of factors and of attributes, by what they hold."""


@dataclass(frozen=True)
class Row:
    """One row of a rule: all texts, as they stand in a form.

    Attributes:
        field: a name in ``FIELDS``, or ``value.`` and the code of a factor, or ``attribute.`` and the name of one; of
            another instance with its id and a colon before it.
        operator: one that fits the field's kind.
        value: percents as people write them.
        join: ``or`` where it is an alternative to the row before it, else ``and``.
        holds: what the value of a factor or an attribute is; empty for fields in ``FIELDS``, and where it is not known.
    """

    field: str
    operator: str
    value: str
    join: str = "and"
    holds: FieldType | Literal[""] = ""

    @property
    def kind(self) -> str:
        """Of its field; empty where there is no such field."""
        there = ELSEWHERE.fullmatch(self.field)
        name = there[2] if there else self.field
        if name.startswith((SHOWN, HELD)):
            return KINDS[self.holds] if self.holds else ""
        known = BY_NAME.get(name)
        return known.kind if known else ""

    @property
    def instance(self) -> str:
        """The other instance that it speaks of; empty where it speaks of the rule's own."""
        there = ELSEWHERE.fullmatch(self.field)
        return there[1] if there else ""

    @classmethod
    def fitting(
        cls, field: str, operator: str, value: str, join: str = "and", holds: FieldType | Literal[""] = ""
    ) -> Row:
        """A row of a field; where operator or value do not fit it, with those that usually do."""
        row = cls(field, operator, value, "or" if join == "or" else "and", holds)
        kind = row.kind or FIELDS[0].kind
        fits = operator in OPERATORS[kind] and _fits(kind, value)
        return row if fits and row.kind else replace(row, operator=next(iter(OPERATORS[kind])), value=USUAL[kind])


def _fits(kind: str, value: str) -> bool:
    if kind == "bucket":
        return value in BUCKETS
    if kind == "flag":
        return value in ("true", "false")
    if kind in ("percent", "number"):
        return not value or _decimal(value) is not None
    if kind == "date" and _decimal(value) is not None:  # left over from another field
        return _is_date(value)
    return kind == "factor" or value not in (*BUCKETS, "true", "false")


def text_of(rows: Sequence[Row]) -> str:
    """The rule that rows are, as text; rows without a value are not looked at yet.

    Raises:
        ConfigurationError: a value cannot be what its field is.
    """
    found: list[list[str]] = []
    problems = []
    for group in grouped(rows):
        texts = []
        for row in group:
            if not row.value.strip() or not row.kind:
                continue
            try:
                condition = Condition(field=row.field, operator=row.operator, value=_value(row))
            except ValueError:
                such = "a date, such as 2024-01-31" if row.kind == "date" else "a number, such as 40"
                problems.append(Mistake("where", f"{row.value!r:.60} is not {such}"))
                continue
            texts.append(condition_text(condition))
        found += [texts] if texts else []
    if problems:
        raise ConfigurationError(problems, "the segment")
    alone = len(found) == 1
    return " and ".join(f"({' or '.join(g)})" if len(g) > 1 and not alone else " or ".join(g) for g in found)


def grouped(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows with their alternatives."""
    found: list[list[Row]] = []
    for row in rows:
        if row.join == "or" and found:
            found[-1].append(row)
        else:
            found.append([row])
    return found


def without(rows: Sequence[Row], place: int) -> list[Row]:
    """Rows without one; the alternatives to it stay together, and join nothing else."""
    found = [row for i, row in enumerate(rows) if i != place]
    if place < len(found) and rows[place].join == "and":
        found[place] = replace(found[place], join="and")
    return found


def _value(row: Row) -> Any:
    kind, text = row.kind, row.value.strip()
    if kind == "flag":
        return text == "true"
    if kind == "date" and not _is_date(text):
        raise ValueError(text)
    if kind not in ("percent", "number"):
        return text
    number = _decimal(text)
    if number is None:
        raise ValueError(text)
    return float(number / 100 if kind == "percent" else number)


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _decimal(text: str) -> Decimal | None:
    try:
        found = Decimal(text.strip().removesuffix("%").strip().replace(",", "."))
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found) < Decimal("1e15") else None


def rows_of(rule: Rule, types: Mapping[str, FieldType] | None = None) -> list[Row] | None:
    """A rule as rows; None where it does not fit into them.

    Args:
        types: of values of factors and of attributes that rows may speak of, by field.
    """
    if rule.part is None:
        return []
    found: list[Row] = []
    for part in rule.part.parts if isinstance(rule.part, Every) else (rule.part,):
        rows = _rows_of_part(part, types or {})
        if rows is None:
            return None
        found += rows
    return found


def _rows_of_part(part: Part, types: Mapping[str, FieldType]) -> list[Row] | None:
    """A condition, or alternatives that are one row each."""
    if isinstance(part, Condition):
        return _rows_of(part, types)
    if not isinstance(part, Either):
        return None
    found: list[Row] = []
    for inner in part.parts:
        rows = _rows_of(inner, types) if isinstance(inner, Condition) else None
        if rows is None or len(rows) != 1:
            return None
        found.append(replace(rows[0], join="or") if found else rows[0])
    return found


def _rows_of(condition: Condition, types: Mapping[str, FieldType]) -> list[Row] | None:
    row = Row(condition.field, condition.operator, "", holds=types.get(condition.field, ""))
    value = condition.value
    if isinstance(value, tuple) and condition.operator == "between":
        bounds = (Condition(field=row.field, operator=o, value=v) for o, v in zip(("gte", "lte"), value, strict=True))
        both = [_rows_of(bound, types) for bound in bounds]
        return [r for rows in both for r in rows or ()] if None not in both else None
    if isinstance(value, tuple):
        operator = "eq" if condition.operator == "in" else "ne"
        others = [b for b in BUCKETS if b not in value]
        if len(value) == 1:
            value = value[0]
        elif row.kind == "bucket" and operator == "eq" and len(others) == 1:
            operator, value = "ne", others[0]
        else:
            return None
        row = replace(row, operator=operator)
    if not row.kind or row.operator not in OPERATORS[row.kind]:
        return None
    return [replace(row, value=_shown(row.kind, value))]


def _shown(kind: str, value: Any) -> str:
    """A value as a form has it; numbers keep all their digits."""
    if kind == "flag":
        return "true" if value else "false"
    if kind not in ("percent", "number"):
        return str(value)
    number = Decimal(repr(value)) * (100 if kind == "percent" else 1)
    return f"{number.normalize():f}"


# --- in words ---------------------------------------------------------------------------------------------------

_BOUND = {
    "gte": "of at least",
    "lte": "of at most",
    "gt": "above",
    "lt": "below",
    "eq": "of exactly",
    "ne": "other than",
}
_TEXT = {
    "eq": "is", "ne": "is not", "starts_with": "starts with", "ends_with": "ends with", "contains": "contains",
    "matches": "matches", "gt": "comes after", "gte": "is or comes after", "lt": "comes before",
    "lte": "is or comes before",
}  # fmt: skip


def in_words(rule: Rule, labels: Mapping[str, str], names: Mapping[str, str]) -> str:
    """A rule as one sentence.

    Args:
        labels: of factors, by their codes.
        names: of other instances, by their ids.
    """
    if rule.part is None:
        return "All profiles that are scored."
    return f"Profiles that {_phrases(rule.part, labels, names, top=True)}."


def _phrases(part: Part, labels: Mapping[str, str], names: Mapping[str, str], top: bool = False) -> str:
    if isinstance(part, Condition):
        return _phrase(part, labels, names)
    if isinstance(part, Not):
        return f"are none of those that ({_phrases(part.part, labels, names, top=True)})"
    if isinstance(part, Among):
        return f"are among {len(part.members.ids):,} that were looked up"
    inner = [_phrases(p, labels, names) for p in part.parts]
    text = (", and " if isinstance(part, Every) else ", or ").join(inner)
    return text if top else f"({text})"


def _phrase(condition: Condition, labels: Mapping[str, str], names: Mapping[str, str]) -> str:
    if there := ELSEWHERE.fullmatch(condition.field):
        own = Condition(field=there[2], operator=condition.operator, value=condition.value)
        return f"in “{names.get(there[1], there[1])}” {_phrase(own, labels, names)}"
    field, operator = _field_of(condition, labels), condition.operator
    if field is None:
        return f"have a {condition.field.replace('_', ' ')} with {condition_text(condition)}"
    if operator == "exists":
        return f"have {field.noun} that is {'known' if condition.value else 'not known'}"
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    positive = operator in ("eq", "in")
    if field.kind == "bucket":
        return f"{'are' if positive else 'are not'} in the {_either(values)} bucket"
    if field.name in FACTORS:
        which = _either([f"“{labels.get(str(v), str(v))}”" for v in values])
        if field.name == "factor":
            return f"{'have' if positive else 'do not have'} {which} {field.noun}"
        return f"{'have' if positive else 'do not have'} {field.noun} {which}"
    if field.name in FLAGS:
        return f"have {'too little' if condition.value is positive else 'enough'} history"
    return f"have {field.noun} {_limits(field.kind, operator, values)}"


def _field_of(condition: Condition, labels: Mapping[str, str]) -> Field | None:
    """A field as sentences have it."""
    name, value = condition.field, condition.value
    if not name.startswith((SHOWN, HELD)):
        return BY_NAME.get(name)
    one = value[0] if isinstance(value, tuple) else value
    kind = "number" if isinstance(one, int | float) and not isinstance(one, bool) else "text"
    if name.startswith(HELD):
        return Field(name, name.removeprefix(HELD), f"the attribute “{name.removeprefix(HELD)}”", kind)
    label = labels.get(name.removeprefix(SHOWN), name.removeprefix(SHOWN))
    return Field(name, label, f"a value of “{label}”", kind)


def _limits(kind: str, operator: str, values: Sequence[Any]) -> str:
    if kind == "text":
        values = [str(v).lower() if isinstance(v, bool) else v for v in values]
        listed = _either([f"“{v}”" for v in values[:5]]) + (f" ({len(values)} in all)" if len(values) > 5 else "")
        word = {"in": "is", "not_in": "is not", "between": "lies between"}.get(operator) or _TEXT[operator]
        return f"that {word} {listed}"
    shown = [_said_number(kind, v) for v in values]
    if operator == "between":
        return f"between {shown[0]} and {shown[1]}"
    if operator in ("in", "not_in"):
        return f"{'of' if operator == 'in' else 'other than'} {_either(shown)}"
    return f"{_BOUND[operator]} {shown[0]}"


def _said_number(kind: str, value: Any) -> str:
    """Short: of a long probability four digits."""
    return f"{100 * value:.4g}{SPACE}%" if kind == "percent" else f"{value:.6g}"


def _either(values: Sequence[Any]) -> str:
    shown = [str(v) for v in values]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + f" or {shown[-1]}"
