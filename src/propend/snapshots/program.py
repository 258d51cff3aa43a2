"""Goal and eligibility as tables of numbers that the compiled pass evaluates.

Every condition has become one bit per event; what is left is windows over bits. An *atom* tests one
aggregate of the events of one bit in one window; a *line* is a small postfix program over atoms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from propend.errors import ConfigurationError, Mistake
from propend.events import MAX_SELECTORS, EventRequest, Selector
from propend.goal import (
    ANYTHING,
    DEFAULT_ACTIVE_DAYS,
    Did,
    Eligibility,
    Goal,
    Group,
    Measure,
    NamedEvent,
    Then,
)
from propend.instance import Instance
from propend.language import say
from propend.question import active_lately, spoken_item_phrase
from propend.snapshots.consent import Consenting

EVER_DAYS = 200_000
"""Longer than any history: what `ever` means in days."""

MAX_LINES = 64
"""One bit each in a snapshot's mask."""

AGGREGATE_CODES = {"count": 0, "sum": 1, "avg": 2, "max": 3, "min": 4, "count_distinct": 5, "then": 6}
BOUND_CODES = {"gte": 0, "lte": 1, "gt": 2, "lt": 3, "eq": 4, "between": 5}
PUSH, ALL_OF, ANY_OF, NONE_OF, NOT_ALL_OF = 0, 1, 2, 3, 4
CONSENT = "consent"
COMBINATOR_CODES = {"all_of": ALL_OF, "any_of": ANY_OF, "none_of": NONE_OF, "not_all_of": NOT_ALL_OF}


@dataclass(frozen=True)
class Line:
    """One line of the funnel: what must hold, in words, and where it comes from.

    Attributes:
        text: the line in words.
        origin: ``instance`` if written there, ``default`` if propend added it.
        item: the item evaluated.
        role: ``eligible`` (looks back), ``consent``, ``exit_before``, ``exit_within``, ``gap``, ``goal``.
    """

    text: str
    origin: str
    item: Group | Did | Measure | Then
    role: str = "eligible"


@dataclass(frozen=True)
class Program:
    """All lines of an instance, compiled; line ``j`` becomes bit ``j`` of a snapshot's mask.

    Attributes:
        lines: in funnel order; roles as in ``Line``.
        atoms: int64[A, 7]: aggregate, bit (-1 is any event), start day, end day, field, first and end
            position in ``sequence``.
        bounds: float64[A, 3]: bound code, low, high.
        steps: int64[S, 2]: operation and argument.
        line_offsets: int64[L + 1]: steps of each line.
        sequence: int64[Q]: bits of the sequences.
        consent: what holds of those only who consent; its line holds of everybody where it is None.
    """

    lines: tuple[Line, ...]
    atoms: NDArray[np.int64]
    bounds: NDArray[np.float64]
    steps: NDArray[np.int64]
    line_offsets: NDArray[np.int64]
    sequence: NDArray[np.int64]
    consent: Consenting | None = None

    @property
    def consent_line(self) -> int:
        """The line of consent, -1 where there is none."""
        return next((j for j, line in enumerate(self.lines) if line.role == CONSENT), -1)

    def mask_of(self, *roles: str) -> int:
        """The bits of all lines with one of these roles."""
        return sum(1 << j for j, line in enumerate(self.lines) if line.role in roles)


def lines_of(instance: Instance) -> tuple[Line, ...]:
    """The lines of an instance: eligibility with its defaults, exits, gap, goal."""
    goal, eligible = instance.goal, instance.eligible
    lines = [Line(say("seen before the cutoff"), "default", Did(did=ANYTHING))]
    if instance.data.consent is not None:  # of events it asks nothing; who does not consent is told from the data
        text = say("has given consent ({column})", column=instance.data.consent.column)
        lines.append(Line(text, "instance", Did(did=ANYTHING), CONSENT))
    lines += [Line(spoken_item_phrase(i), "instance", i) for i in (eligible.lines if eligible else ())]
    if eligible is None:
        active = Did(did=ANYTHING, within_days=DEFAULT_ACTIVE_DAYS)
        lines.append(Line(active_lately(), "default", active))
    if goal.negative and instance.options.was_doing:
        lines += _was_doing(goal, eligible)
    for atom in goal.group.atoms():
        if isinstance(atom, Did) and atom.first_time:
            never = Did(did=atom.did, at_most=0)
            text = say("{phrase} (the goal is a first time)", phrase=spoken_item_phrase(never))
            lines.append(Line(text, "default", never))
    for name in instance.exits:
        text = say("no {event} before the cutoff", event=name)
        lines.append(Line(text, "instance", Did(did=name, at_most=0), "exit_before"))
    for name in instance.exits:
        text = say("no {event} before the outcome is known", event=name)
        lines.append(Line(text, "instance", Did(did=name, at_most=0), "exit_within"))
    if goal.lead_days and instance.options.remove_met_in_gap and not _holds_of_nothing(goal.group):
        text = say("has not met the goal already in the {days} days before the outcome window", days=goal.lead_days)
        lines.append(Line(text, "default", goal.group, "gap"))
    return (*lines, Line(say("met the goal"), "instance", goal.group, "goal"))


def _holds_of_nothing(item: Group | Did | Measure | Then) -> bool:
    """Whether an item holds where nothing happens at all; a gap without events does not meet such a goal early."""
    if isinstance(item, Group):
        held = [_holds_of_nothing(i) for i in item.items]
        some = any(held) if item.combinator in ("any_of", "none_of") else all(held)
        return some if item.combinator in ("all_of", "any_of") else not some
    if isinstance(item, Did):
        return item.low == 0
    if isinstance(item, Measure) and item.aggregate in ("sum", "count_distinct"):
        return _OF_ZERO[item.bound](item.threshold)
    return False


_OF_ZERO: dict[str, Callable[[float], bool]] = {
    "gte": lambda threshold: threshold <= 0,
    "lte": lambda threshold: threshold >= 0,
    "gt": lambda threshold: threshold < 0,
    "lt": lambda threshold: threshold > 0,
    "eq": lambda threshold: threshold == 0,
}
"""Whether 0 lies within a bound."""


def _was_doing(goal: Goal, eligible: Eligibility | None) -> list[Line]:
    """A negative goal only concerns profiles that were doing it before (DESIGN section 3)."""
    names = goal.group.events
    required = _required_events(eligible.group) if eligible else set()
    if required & set(names):
        return []
    days = max(eligible.longest_lookback_days, 30) if eligible else DEFAULT_ACTIVE_DAYS
    combinator = "all_of" if goal.group.combinator in ("not_all_of", "any_of") else "any_of"
    items = tuple(Did(did=n, within_days=days) for n in names)
    item = items[0] if len(items) == 1 else Group(combinator=combinator, items=items)
    return [Line(say("was doing it before: {phrase}", phrase=spoken_item_phrase(item)), "default", item)]


def _required_events(group: Group) -> set[str]:
    """Events that every eligible profile is known to have done."""
    if group.combinator != "all_of":
        return set()
    found: set[str] = set()
    for item in group.items:
        if isinstance(item, Group):
            found |= _required_events(item)
        elif isinstance(item, Did) and item.low >= 1:
            found.add(item.did)
    return found


def eligibility_days(lines: Sequence[Line]) -> int:
    """The longest look-back of the eligibility lines that name one (spec IN-18)."""
    atoms = [a for line in lines if line.role == "eligible" for a in _atoms(line.item)]
    return max((a.within_days or 0 for a in atoms), default=0)


def _atoms(item: Group | Did | Measure | Then) -> list[Did | Measure | Then]:
    return list(item.atoms()) if isinstance(item, Group) else [item]


def selectors_of(instance: Instance, lines: Sequence[Line]) -> tuple[Selector, ...]:
    """Every event the lines name, then every other named event: one bit each.

    A name that is not among the named events is a raw kind.

    Raises:
        ConfigurationError: more than 64 different events.
    """
    names = [n for line in lines for a in _atoms(line.item) for n in a.events if n != ANYTHING]
    names += [n for n in instance.events if n not in instance.exclude]
    unique = dict.fromkeys(names)
    if len(unique) > MAX_SELECTORS:
        raise ConfigurationError([Mistake("events", f"{len(unique)} different events; at most {MAX_SELECTORS} fit")])
    return tuple(Selector(n, _event(instance, n)) for n in unique)


def excluded_events(instance: Instance) -> tuple[NamedEvent, ...]:
    """The events that are ignored altogether."""
    return tuple(_event(instance, name) for name in instance.exclude)


def _event(instance: Instance, name: str) -> NamedEvent:
    """A named event, or the raw kind of that name."""
    return instance.events.get(name) or NamedEvent(kinds=(name,))


def measured_fields(lines: Sequence[Line]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns that measures aggregate: (numeric, counted for distinct values)."""
    measures = [a for line in lines for a in _atoms(line.item) if isinstance(a, Measure)]
    numbers = dict.fromkeys(m.field for m in measures if m.aggregate != "count_distinct")
    texts = dict.fromkeys(m.field for m in measures if m.aggregate == "count_distinct")
    return tuple(numbers), tuple(texts)


class _Compiler:
    def __init__(self, request: EventRequest, goal: Goal) -> None:
        self.bits = {s.name: i for i, s in enumerate(request.selectors)} | {ANYTHING: -1}
        self.request, self.goal = request, goal
        self.atoms: list[tuple[int, ...]] = []
        self.bounds: list[tuple[float, float, float]] = []
        self.steps: list[tuple[int, int]] = []
        self.sequence: list[int] = []

    def add(self, item: Group | Did | Measure | Then, role: str) -> None:
        if isinstance(item, Group):
            for child in item.items:
                self.add(child, role)
            self.steps.append((COMBINATOR_CODES[item.combinator], len(item.items)))
            return
        self.steps.append((PUSH, len(self.atoms)))
        start, end = self._window(item, role)
        if isinstance(item, Did):
            high = np.inf if item.high is None else item.high
            self._atom("count", self.bits[item.did], start, end, ("between", item.low, high))
        elif isinstance(item, Measure):
            test = (item.bound, item.threshold, item.threshold)
            self._atom(item.aggregate, self.bits[item.event], start, end, test, field=self._field(item))
        else:
            first = len(self.sequence)
            self.sequence += [self.bits[n] for n in item.then]
            self._atom("then", -1, start, end, ("gte", 1, 1), sequence=(first, len(self.sequence)))

    def _atom(
        self,
        aggregate: str,
        bit: int,
        start: int,
        end: int,
        test: tuple[str, float, float],
        field: int = -1,
        sequence: tuple[int, int] = (0, 0),
    ) -> None:
        self.atoms.append((AGGREGATE_CODES[aggregate], bit, start, end, field, *sequence))
        self.bounds.append((BOUND_CODES[test[0]], test[1], test[2]))

    def _window(self, atom: Did | Measure | Then, role: str) -> tuple[int, int]:
        if role in ("eligible", CONSENT, "exit_before"):
            return -(atom.within_days or EVER_DAYS), 0
        if role == "exit_within":
            return 0, self.goal.reach_days
        start, end = self.goal.window_of(atom)
        return (0, start) if role == "gap" else (start, end)

    def _field(self, item: Measure) -> int:
        fields = self.request.text_fields if item.aggregate == "count_distinct" else self.request.number_fields
        return fields.index(item.field)


def compile_program(lines: Sequence[Line], goal: Goal, request: EventRequest) -> Program:
    """The lines as tables; selectors and fields are looked up in the request.

    Raises:
        ConfigurationError: more than 64 lines.
    """
    if len(lines) > MAX_LINES:
        problem = f"{len(lines)} lines with exits and goal; at most {MAX_LINES} fit: put several into one all_of"
        raise ConfigurationError([Mistake("eligible", problem)])
    compiler, offsets = _Compiler(request, goal), [0]
    for line in lines:
        compiler.add(line.item, line.role)
        offsets.append(len(compiler.steps))
    return Program(
        lines=tuple(lines),
        atoms=np.array(compiler.atoms, dtype=np.int64).reshape(-1, 7),
        bounds=np.array(compiler.bounds, dtype=np.float64).reshape(-1, 3),
        steps=np.array(compiler.steps, dtype=np.int64).reshape(-1, 2),
        line_offsets=np.array(offsets, dtype=np.int64),
        sequence=np.array(compiler.sequence, dtype=np.int64),
    )
