"""Goal and eligibility as one sentence in the language of the context, for readers.

In English it is the sentence of the document (``sentence.py``). In other languages it has the same parts in the same
order, and clauses that all begin with a verb, so that each can be translated by itself; it is never read back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from propend.goal import ANYTHING, DEFAULT_ACTIVE_DAYS, Did, Eligibility, Goal, Group, Item, Measure, Then
from propend.language import ENGLISH, noted, numeral, say, say_many, spoken
from propend.sentence import deeds_together, number_text, quoted_name, write_item_phrase, write_sentence

CLAUSES = {
    "single": (noted("did {deed}"), noted("will do {deed}")),
    "not_single": (noted("did not do {deed}"), noted("will not do {deed}")),
    "never": (noted("never did {deed}"), noted("will never do {deed}")),
    "all_of": (noted("did all of {deeds}"), noted("will do all of {deeds}")),
    "any_of": (noted("did any of {deeds}"), noted("will do any of {deeds}")),
    "none_of": (noted("did none of {deeds}"), noted("will do none of {deeds}")),
    "not_all_of": (noted("did not do all of {deeds}"), noted("will not do all of {deeds}")),
    "none_apply": (noted("fit none of these: ({clauses})"), noted("will fit none of these: ({clauses})")),
    "not_all_apply": (noted("did not fit all of these: ({clauses})"), noted("will not fit all of these: ({clauses})")),
    "measure": (noted("had {measured} {bound}"), noted("will have {measured} {bound}")),
}
"""Looking back, and ahead."""
JOINED = {"all_of": noted("{clauses} and {clause}"), "any_of": noted("{clauses} or {clause}")}
MEASURED = {
    "sum": noted("a total {field} of {event}"),
    "avg": noted("an average {field} of {event}"),
    "max": noted("a highest {field} of {event}"),
    "min": noted("a lowest {field} of {event}"),
    "count_distinct": noted("a number of different {field} values of {event}"),
}
BOUNDS = {
    "gt": noted("of more than {number}"),
    "gte": noted("of at least {number}"),
    "lt": noted("of less than {number}"),
    "lte": noted("of at most {number}"),
    "eq": noted("of exactly {number}"),
}


def spoken_sentence(goal: Goal, eligible: Eligibility | None) -> str:
    """The whole question."""
    if spoken() == ENGLISH:
        return write_sentence(goal, eligible)
    if eligible is None:
        population = active_lately()
    else:
        population = say("who {clauses}", clauses=_Speaker(ahead=False).body(eligible.group))
    start, end = goal.from_days, goal.from_days + goal.within_days
    return say(
        "Of profiles {population}, who {clauses} {window}?",
        population=population,
        clauses=_Speaker(ahead=True).body(goal.group),
        window=_span(start, end) if start else say_many("in the next day", "in the next {n} days", end),
    )


def spoken_item_phrase(item: Item) -> str:
    """An item as a phrase of its own."""
    if spoken() == ENGLISH:
        return write_item_phrase(item)
    atoms = item.atoms() if isinstance(item, Group) else (item,)
    speaker = _Speaker(any(a.from_days is not None or (isinstance(a, Did) and a.first_time) for a in atoms))
    return speaker.body(item) if isinstance(item, Group) else speaker.clause(item)


def active_lately() -> str:
    """The population where no eligibility is defined."""
    return say_many("active in the last day", "active in the last {n} days", DEFAULT_ACTIVE_DAYS)


@dataclass(frozen=True)
class _Speaker:
    """Clauses in one of two tenses: ``ahead`` is the goal's, else the eligibility's."""

    ahead: bool

    def body(self, group: Group) -> str:
        """A group without parentheses around it."""
        flat = self._flat(group)
        if flat:
            return flat
        if len(group.items) == 1 and isinstance(group.items[0], Group):
            return f"({self.body(group.items[0])})"
        joined = JOINED[group.combinator]
        return reduce(lambda said, clause: say(joined, clauses=said, clause=clause), map(self.clause, group.items))

    def clause(self, item: Item) -> str:
        """An item as one of several."""
        if isinstance(item, Group):
            return self._flat(item) or f"({self.body(item)})"
        if isinstance(item, Measure):
            measured = say(MEASURED[item.aggregate], field=quoted_name(item.field), event=_event(item.event))
            bound = say(BOUNDS[item.bound], number=numeral(number_text(item.threshold)))
            return _spaced(self._say("measure", measured=measured, bound=bound), self._window(item))
        if isinstance(item, Did) and item.high == 0:
            return _spaced(self._say("never", deed=_event(item.did)), self._window(item, ever=False))
        return _spaced(self._say("single", deed=self._deed(item)), self._window(item))

    def _flat(self, group: Group) -> str:
        """The group as one clause that needs no parentheses, or an empty text."""
        deeds, combinator = deeds_together(group, self.ahead), group.combinator
        negative = combinator in ("none_of", "not_all_of")
        if deeds and len(deeds) == 1 and negative:
            return _spaced(self._say("not_single", deed=self._deed(deeds[0], True)), self._window(deeds[0]))
        if deeds and len(deeds) > 1 and self.ahead:
            each = (_spaced(self._deed(d, True), self._window(d)) for d in deeds)
            return self._say(combinator, deeds=", ".join(each))
        if deeds and len(deeds) > 1:
            said = self._say(combinator, deeds=", ".join(self._deed(d, True) for d in deeds))
            return _spaced(said, self._window(deeds[0]))
        if not negative:
            return ""
        which = "none_apply" if combinator == "none_of" else "not_all_apply"
        return self._say(which, clauses="; ".join(map(self.clause, group.items)))

    def _say(self, clause: str, **values: str) -> str:
        return say(CLAUSES[clause][self.ahead], **values)

    def _deed(self, deed: Did | Then, listed: bool = False) -> str:
        if isinstance(deed, Then):
            return reduce(
                lambda first, event: say("{first} then {event}", first=first, event=event), map(_event, deed.then)
            )
        unsaid = (deed.low, deed.high) == (1, None) and (self.ahead or listed)
        first_time = say("for the first time") if deed.first_time else ""
        return _spaced(_event(deed.did), "" if unsaid else _count(deed.low, deed.high), first_time)

    def _window(self, atom: Did | Measure | Then, ever: bool = True) -> str:
        start, length = atom.from_days, atom.within_days
        if not self.ahead:
            if length is None:
                return say("so far") if ever else ""
            return say_many("in the last day", "in the last {n} days", length)
        if start is None:
            return "" if length is None else say_many("(over {n} day)", "(over {n} days)", length)
        if length is None:
            return say_many("(from {n} day ahead)", "(from {n} days ahead)", start)
        return f"({_span(start, start + length)})"


def _spaced(*parts: str) -> str:
    return " ".join(p for p in parts if p)


def _event(name: str) -> str:
    return say("anything") if name == ANYTHING else quoted_name(name)


def _span(start: int, end: int) -> str:
    return say("from {start} to {end} days ahead", start=numeral(f"{start:,}"), end=numeral(f"{end:,}"))


def _count(low: int, high: int | None) -> str:
    if high is None:
        return say_many("at least once", "at least {n} times", low)
    if low == high:
        return say_many("exactly once", "exactly {n} times", high)
    if low:
        return say("{low} to {high} times", low=numeral(f"{low:,}"), high=numeral(f"{high:,}"))
    return say_many("at most once", "at most {n} times", high)
