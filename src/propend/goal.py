"""What is predicted and for whom: the typed model behind the YAML, the sentence and the builder.

Everything here is pure description: no data, no dates. Windows are whole days. A *named event* holds
several conditions on the same event; the items of a combinator are different events.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    StrictInt,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)

from propend.conditions import Condition, Scalar, read_where

ANYTHING = "anything"
"""The reserved name of the event that every event is."""

DEFAULT_ACTIVE_DAYS = 45
"""Look-back of the population when no eligibility is defined (spec IN-18, conflict register)."""

MAX_WINDOW_DAYS = 3650
MAX_DEPTH = 20
"""Groups within groups; deeper than anybody can read."""

_DURATION = re.compile(r"\s*(\d{1,9})\s*(d|days?|w|weeks?)?\s*", re.IGNORECASE)
_MEASURED = re.compile(
    r"`(?P<quoted>(?:[^`]|``)+)`\.(?P<of_quoted>.+)|(?P<bare>[^.`][^.]*)\.(?P<of_bare>.+)",
    re.DOTALL,
)


def read_days(value: Any) -> Any:
    """Whole days from ``30``, ``"30d"``, ``"30 days"``, ``"8w"`` or ``"8 weeks"``."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"a whole number of days such as 30d is needed, not {value!r}")
    found = _DURATION.fullmatch(str(value))
    if not found:
        raise ValueError(f"a whole number of days or weeks such as 30d or 8w is needed, not {value!r}")
    weeks = (found.group(2) or "d").lower().startswith("w")
    return int(found.group(1)) * (7 if weeks else 1)


def _write_days(days: int) -> str:
    return f"{days}d"


Days = Annotated[
    int,
    BeforeValidator(read_days),
    Field(ge=0, le=MAX_WINDOW_DAYS),
    PlainSerializer(_write_days, return_type=str),
]
PositiveDays = Annotated[
    int,
    BeforeValidator(read_days),
    Field(ge=1, le=MAX_WINDOW_DAYS),
    PlainSerializer(_write_days, return_type=str),
]
EventName = Annotated[str, Field(min_length=1, max_length=200)]


class Part(BaseModel):
    """A frozen piece of the document that serialises only what differs from its defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    folded_keys: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def document_keys(cls) -> tuple[str, ...]:
        """The keys that a document may use here, where the model's own fields are not what is written."""
        return cls.folded_keys or tuple(field.alias or name for name, field in cls.model_fields.items())

    @model_serializer(mode="wrap")
    def _only_what_was_said(self, handler: Any) -> dict[str, Any]:
        full: dict[str, Any] = handler(self)
        kept: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            key = field.serialization_alias or field.alias or name
            shown = full.get(key, full.get(name))
            if shown is None or (
                not field.is_required() and getattr(self, name) == field.get_default(call_default_factory=True)
            ):
                continue
            kept[key] = shown
        windows = {key: kept.pop(key) for key in ("from", "within") if key in kept}
        return kept | windows


class NamedEvent(Part):
    """An event kind given a name: of one of these kinds, and every condition holds on the same event.

    Attributes:
        kinds: raw kinds of event (``is``); empty means any kind.
        where: conditions, all of which hold on the one event.
    """

    kinds: tuple[str, ...] = Field(default=(), alias="is")
    where: tuple[Condition, ...] = ()

    @field_validator("kinds", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        many = value if isinstance(value, list | tuple) else (value,)
        odd = [v for v in many if isinstance(v, bool) or not isinstance(v, str | int | float)]
        if odd:
            raise ValueError(f"a kind of event, or a list of kinds, is needed, not {odd[0]!r:.80}")
        return tuple(str(v) for v in many)

    @field_validator("where", mode="before")
    @classmethod
    def _either_way(cls, value: Any) -> Any:
        return read_where(value)

    @model_serializer(mode="plain")
    def _write(self) -> dict[str, Any]:
        out: dict[str, Any] = {}
        if self.kinds:
            out["is"] = self.kinds[0] if len(self.kinds) == 1 else list(self.kinds)
        tests = [{c.field: {c.operator: c.plain_value}} for c in self.where]
        if len({c.field for c in self.where}) == len(tests):
            merged = {field: test for one in tests for field, test in one.items()}
            return out | ({"where": merged} if merged else {})
        return out | {"where": tests}


class Windowed(Part):
    """Something looked for in a window of whole days.

    Attributes:
        from_days: in a goal, days between the cutoff and the start of the window (lead time).
        within_days: length of the window; in a goal None means the goal's own, in an eligibility
            None means as far back as events are read.
    """

    from_days: Days | None = Field(default=None, alias="from")
    within_days: PositiveDays | None = Field(default=None, alias="within")


class Did(Windowed):
    """A named event happened so many times.

    ``at_least`` defaults to 1 unless ``at_most`` is given. ``first_time`` (goals only) counts only
    profiles that never did it before the cutoff.
    """

    did: EventName
    at_least: Annotated[StrictInt, Field(ge=0, le=1_000_000)] | None = None
    at_most: Annotated[StrictInt, Field(ge=0, le=1_000_000)] | None = None
    first_time: bool = False

    @model_validator(mode="before")
    @classmethod
    def _defaults_go_without_saying(cls, data: Any) -> Any:
        """At least 1 alone, and at least 0 beside at most, say nothing: one meaning has one form."""
        if not isinstance(data, dict) or type(data.get("at_least")) is not int:
            return data
        unsaid = 1 if data.get("at_most") is None else 0
        return {k: v for k, v in data.items() if k != "at_least" or v != unsaid}

    @model_validator(mode="after")
    def _sensible(self) -> Did:
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least} is more than at_most {self.at_most}")
        if self.first_time and self.at_most is not None:
            raise ValueError("first_time asks for something to happen; at_most asks for it not to")
        if self.at_least == 0 and self.at_most is None:
            raise ValueError("at_least: 0 is always true; give at_least: 1 or more, or at_most")
        return self

    @property
    def low(self) -> int:
        return self.at_least if self.at_least is not None else (0 if self.at_most is not None else 1)

    @property
    def high(self) -> int | None:
        return self.at_most

    @property
    def events(self) -> tuple[str, ...]:
        return (self.did,)


Aggregate = Literal["sum", "avg", "max", "min", "count_distinct"]
AGGREGATES: tuple[Aggregate, ...] = ("sum", "avg", "max", "min", "count_distinct")
AGGREGATE_SAYS: dict[str, str] = {
    "sum": "all values of the field, added; 0 without any",
    "avg": "their mean; without any it meets no bound",
    "max": "the largest; without any it meets no bound",
    "min": "the smallest; without any it meets no bound",
    "count_distinct": "how many different values there are; 0 without any",
}
"""What each measure is of."""
BOUNDS = ("gt", "gte", "lt", "lte", "eq")


class Measure(Windowed):
    """An aggregate of one field over the events of one name lies within a bound.

    Written ``{sum: buy.amount, gte: 100}``. Without any such event ``sum`` and ``count_distinct``
    are 0 and the others meet no bound.
    """

    aggregate: Aggregate
    event: EventName
    field: Annotated[str, Field(min_length=1, max_length=500)]
    bound: Literal["gt", "gte", "lt", "lte", "eq"]
    threshold: float = Field(allow_inf_nan=False, strict=True)

    folded_keys: ClassVar[tuple[str, ...]] = (*AGGREGATES, *BOUNDS, "from", "within")

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "aggregate" in data:
            return data
        out = dict(data)
        named = [a for a in AGGREGATES if a in out]
        bounds = [b for b in BOUNDS if b in out]
        if len(named) != 1:
            raise ValueError(f"one of {', '.join(AGGREGATES)} is needed, found {named or 'none'}")
        if len(bounds) != 1:
            raise ValueError(f"one bound of {', '.join(BOUNDS)} is needed, found {bounds or 'none'}")
        path = out.pop(named[0])
        found = read_measured(path)
        if found is None:
            raise ValueError(f"{named[0]} needs event.field such as buy.amount, not {path!r:.80}")
        out.update(aggregate=named[0], event=found[0], field=found[1], bound=bounds[0])
        out["threshold"] = out.pop(bounds[0])
        return out

    @model_serializer(mode="plain")
    def _fold(self) -> dict[str, Any]:
        whole = self.threshold.is_integer() and abs(self.threshold) < 1e15
        threshold = int(self.threshold) if whole else self.threshold
        out: dict[str, Any] = {self.aggregate: write_measured(self.event, self.field), self.bound: threshold}
        if self.from_days is not None:
            out["from"] = _write_days(self.from_days)
        if self.within_days is not None:
            out["within"] = _write_days(self.within_days)
        return out

    @property
    def events(self) -> tuple[str, ...]:
        return (self.event,)


def read_measured(path: Any) -> tuple[str, str] | None:
    """Event and field of ``buy.amount``; an event with dots in backticks: ```commerce.purchases`.priceTotal``.

    The field may be a dotted path. None where it is not of this form.
    """
    found = _MEASURED.fullmatch(path) if isinstance(path, str) else None
    if not found:
        return None
    if found["bare"]:
        return found["bare"], found["of_bare"]
    return found["quoted"].replace("``", "`"), found["of_quoted"]


def write_measured(event: str, field: str) -> str:
    """What ``read_measured`` reads."""
    quoted = "`" + event.replace("`", "``") + "`" if re.search("[.`]", event) else event
    return f"{quoted}.{field}"


class Then(Windowed):
    """Named events happened one after another, each strictly later than the one before."""

    then: tuple[EventName, ...] = Field(min_length=2, max_length=8)

    @property
    def events(self) -> tuple[str, ...]:
        return self.then


Combinator = Literal["all_of", "any_of", "none_of", "not_all_of"]
COMBINATORS: tuple[Combinator, ...] = ("all_of", "any_of", "none_of", "not_all_of")
COMBINATOR_SAYS: dict[str, str] = {
    "all_of": "every item holds",
    "any_of": "at least one item holds",
    "none_of": "no item holds: the complement of `any_of`",
    "not_all_of": "at least one item does not hold: the complement of `all_of`",
}
"""When each combinator holds."""
STARTERS: tuple[str, ...] = (*COMBINATORS, "did", *AGGREGATES, "then")
"""The keys one of which every item has."""
_LOOKING_BACK = (*STARTERS, "at_least", "at_most", *BOUNDS, "within")
_ALONE = {"any_of": "all_of", "not_all_of": "none_of"}


def _kind_of_item(value: Any) -> str:
    """Which kind of item a piece of the document is meant to be, judged by its keys alone."""
    if isinstance(value, Group | Did | Measure | Then):
        return type(value).__name__
    if isinstance(value, dict):
        if any(k in value for k in COMBINATORS):
            return "Group"
        if any(k in value for k in AGGREGATES):
            return "Measure"
        if "then" in value:
            return "Then"
    return "Did"


def _short_form(value: Any) -> Any:
    return {"did": value} if isinstance(value, str) else value


Item = Annotated[
    Annotated["Group", Tag("Group")]
    | Annotated[Did, Tag("Did")]
    | Annotated[Measure, Tag("Measure")]
    | Annotated[Then, Tag("Then")],
    Discriminator(_kind_of_item),
    BeforeValidator(_short_form),
]


class Group(Part):
    """Items under one combinator; an item may be a group again."""

    combinator: Combinator
    items: tuple[Item, ...] = Field(min_length=1, max_length=64)

    folded_keys: ClassVar[tuple[str, ...]] = COMBINATORS

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, data: Any) -> Any:
        """Any of one item is all of it, not all of one is none of it: one meaning has one form."""
        if not isinstance(data, dict):
            return data
        out = data if "combinator" in data else unfold_combinator(data)
        items = out.get("items")
        alone = isinstance(items, list | tuple) and len(items) == 1
        return out | {"combinator": _ALONE.get(out["combinator"], out["combinator"])} if alone else out

    @model_validator(mode="after")
    def _readable_depth(self) -> Group:
        if self.depth > MAX_DEPTH:
            raise ValueError(f"groups are nested more than {MAX_DEPTH} deep")
        return self

    @property
    def depth(self) -> int:
        """1 for a group of atoms, one more for each group around it."""
        return 1 + max((i.depth for i in self.items if isinstance(i, Group)), default=0)

    @model_serializer(mode="plain")
    def _fold(self) -> dict[str, Any]:
        return {self.combinator: [write_item(i) for i in self.items]}

    def atoms(self) -> Iterator[Did | Measure | Then]:
        """Every atom of the group and of the groups in it, in order."""
        for item in self.items:
            if isinstance(item, Group):
                yield from item.atoms()
            else:
                yield item

    @property
    def events(self) -> tuple[str, ...]:
        """Names of the events used, each once, in order of first use."""
        return tuple(dict.fromkeys(name for atom in self.atoms() for name in atom.events))


def unfold_combinator(data: dict[str, Any]) -> dict[str, Any]:
    """``{any_of: [...]}`` as ``{combinator: any_of, items: [...]}``; one item need not be in a list."""
    found = [c for c in COMBINATORS if c in data]
    if len(found) != 1:
        more = "; nest one inside the other" if found else ""
        raise ValueError(f"one of {', '.join(COMBINATORS)} is needed, found {' and '.join(found) or 'none'}{more}")
    out = dict(data)
    items = out.pop(found[0])
    out["combinator"], out["items"] = found[0], [items] if isinstance(items, str | dict) else items
    return out


def write_item(item: Group | Did | Measure | Then) -> Any:
    """An item as plain data; a bare event name where nothing else was said."""
    plain = item.model_dump(by_alias=True)
    return plain["did"] if set(plain) == {"did"} else plain


Course = Literal["rising", "falling", "unsteady"]
"""How the share of profiles that meet a goal moves as its outcome window grows."""
_TURNED: dict[Course, Course] = {"rising": "falling", "falling": "rising", "unsteady": "unsteady"}
_RISING_BOUNDS = {"max": ("gt", "gte"), "min": ("lt", "lte"), "count_distinct": ("gt", "gte")}


def _course_of(item: Any) -> Course:
    """Whether an item, once it holds, holds in every longer window with the same start; or once it does not, never.

    Sums of amounts may fall again and means go either way; extremes of nothing meet no bound.
    """
    if isinstance(item, Group):
        courses = {_course_of(i) for i in item.items}
        course: Course = courses.pop() if len(courses) == 1 else "unsteady"
        return course if item.combinator in ("all_of", "any_of") else _TURNED[course]
    if item.from_days is not None or item.within_days is not None:
        return "unsteady"
    if isinstance(item, Did):
        return "rising" if item.high is None else "falling" if item.low == 0 else "unsteady"
    if isinstance(item, Measure):
        rises = item.bound in _RISING_BOUNDS.get(item.aggregate, ())
        falls = item.aggregate == "count_distinct" and item.bound in ("lt", "lte")
        return "rising" if rises else "falling" if falls else "unsteady"
    return "rising"


def _is_absence(item: Any) -> bool:
    """Nothing but ``at_most: 0``, or the denial of something else; the denial of an absence is none."""
    if isinstance(item, Group):
        return all(_is_absence(i) for i in item.items) != (item.combinator in ("none_of", "not_all_of"))
    return isinstance(item, Did) and item.high == 0


class Goal(Part):
    """What shall be predicted: a group of items and the outcome window.

    The outcome window is ``[cutoff + from_days, cutoff + from_days + within_days)``.
    """

    group: Group
    within_days: PositiveDays = Field(alias="within")
    from_days: Days = Field(default=0, alias="from")

    folded_keys: ClassVar[tuple[str, ...]] = (*_LOOKING_BACK, "first_time", "from")

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "group" in data:
            return data
        out = {k: v for k, v in data.items() if k in ("within", "from", "within_days", "from_days")}
        rest = {k: v for k, v in data.items() if k not in out}
        if not any(c in rest for c in COMBINATORS):
            return out | {"group": {"all_of": [rest]}}
        out |= {k: rest.pop(k) for k in list(rest) if k not in COMBINATORS}
        return out | {"group": rest}

    @model_validator(mode="after")
    def _spans(self) -> Goal:
        if self.reach_days > MAX_WINDOW_DAYS:
            raise ValueError(f"the outcome window ends {self.reach_days} days ahead; {MAX_WINDOW_DAYS} is the most")
        return self

    @model_serializer(mode="plain")
    def _fold(self) -> dict[str, Any]:
        out: dict[str, Any] = self.group.model_dump(by_alias=True)
        if self.from_days:
            out["from"] = _write_days(self.from_days)
        return out | {"within": _write_days(self.within_days)}

    def window_of(self, atom: Did | Measure | Then) -> tuple[int, int]:
        """First day and end day of an atom's window, counted from the cutoff, end exclusive."""
        start = atom.from_days if atom.from_days is not None else self.from_days
        return start, start + (atom.within_days if atom.within_days is not None else self.within_days)

    @property
    def reach_days(self) -> int:
        """Days from the cutoff to the end of the last window: what must be observed for a label."""
        return max(self.window_of(a)[1] for a in self.group.atoms())

    @property
    def lead_days(self) -> int:
        """Days from the cutoff to the start of the first window."""
        return min(self.window_of(a)[0] for a in self.group.atoms())

    @property
    def course(self) -> Course:
        """Whether a goal, once met, stays met (rising), once missed stays missed (falling), or neither."""
        return _course_of(self.group)

    def within(self, days: int) -> Goal:
        """The same goal with an outcome window of another length."""
        return self.model_copy(update={"within_days": days})

    @property
    def negative(self) -> bool:
        """Whether the goal is that something does not happen, however it is written."""
        return _is_absence(self.group)


class Eligibility(Part):
    """Who is in the population: a group evaluated over events strictly before the cutoff."""

    group: Group

    folded_keys: ClassVar[tuple[str, ...]] = _LOOKING_BACK

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "group" in data:
            return data
        return {"group": data if any(c in data for c in COMBINATORS) else {"all_of": [data]}}

    @model_validator(mode="after")
    def _past_only(self) -> Eligibility:
        for atom in self.group.atoms():
            if atom.from_days is not None:
                raise ValueError(f"eligibility looks back from the cutoff: `from` has no meaning in {write_item(atom)}")
            if isinstance(atom, Did) and atom.first_time:
                raise ValueError(f"first_time belongs in the goal, not in {write_item(atom)}; here write at_most: 0")
        return self

    @model_serializer(mode="plain")
    def _fold(self) -> dict[str, Any]:
        return dict(self.group.model_dump(by_alias=True))

    @property
    def longest_lookback_days(self) -> int:
        """The longest look-back among the conditions (spec IN-18); 0 where none names a window."""
        return max((a.within_days or 0 for a in self.group.atoms()), default=0)

    @property
    def lines(self) -> tuple[Group | Did | Measure | Then, ...]:
        """The items shown as lines of the funnel: those of an ``all_of``, else the whole group."""
        return self.group.items if self.group.combinator == "all_of" else (self.group,)


__all__ = [
    "AGGREGATES",
    "ANYTHING",
    "BOUNDS",
    "COMBINATORS",
    "DEFAULT_ACTIVE_DAYS",
    "STARTERS",
    "Condition",
    "Did",
    "Eligibility",
    "Goal",
    "Group",
    "Item",
    "Measure",
    "NamedEvent",
    "Part",
    "Scalar",
    "Then",
    "read_days",
    "read_measured",
    "write_measured",
]
