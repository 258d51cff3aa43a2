"""Ids that are one person, as was known at each cutoff: against sets made link by link, and against ids rewritten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goals import any_eligibility, any_goal
from logs import (
    ALWAYS,
    FIRST_DAY,
    PROFILES,
    REQUEST,
    Event,
    Fact,
    MemoryLog,
    any_event,
    any_fact,
    any_log,
    log_of,
    times,
)
from propend.engines.linking import resolve
from propend.events import DAY_US, EventLog
from propend.goal import Eligibility, Goal
from propend.instance import Instance
from propend.persons import Persons
from propend.snapshots import build
from propend.snapshots.build import Rows, count_support, feature_matrix, plan_input, survey
from propend.snapshots.plan import Plan, make_plan
from propend.snapshots.program import compile_program, lines_of
from propend.snapshots.stitching import standing_at

CUTOFFS = (FIRST_DAY + 14, FIRST_DAY + 20, FIRST_DAY + 28)
MOST, SHARED = 3, 2
ELSEWHERE = ("eve", "fay")
"""Ids that links name, and no event."""

Link = tuple[str, str, int]

any_link = st.tuples(
    st.sampled_from((*PROFILES, *ELSEWHERE)), st.sampled_from((*PROFILES, *ELSEWHERE)), times | st.just(ALWAYS)
).filter(lambda link: link[0] != link[1])
any_links = st.lists(any_link, max_size=8)


@pytest.fixture(autouse=True)
def _values_of_few_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four profiles are too few for a value to count; here one is enough."""
    monkeypatch.setattr(build, "MIN_VALUE_PROFILES", 1)


# --- the slow and obvious form ------------------------------------------------------------------------------


@dataclass
class Together:
    """Ids that are one person by some links, and what each set of them has been called since it was one."""

    sets: dict[str, frozenset[str]]
    names: dict[frozenset[str], str]

    def of(self, name: str) -> frozenset[str]:
        return self.sets.get(name, frozenset((name,)))

    def called(self, name: str) -> str:
        return self.names.get(self.of(name), name)


def together(links: Iterable[Link], before: int) -> Together:
    """Every link before a time, one by one."""
    found = Together({}, {})
    met: dict[str, int] = {}
    partners: dict[str, int] = {}
    seen: set[frozenset[str]] = set()
    for a, b, at in sorted((link for link in links if link[2] < before), key=lambda link: (link[2], link[0], link[1])):
        if frozenset((a, b)) in seen:
            continue
        seen.add(frozenset((a, b)))
        met.setdefault(b, at)
        partners[a] = partners.get(a, 0) + 1
        joined = found.of(a) | found.of(b)
        if partners[a] > SHARED or b in found.of(a) or len(joined) > MOST:
            continue
        found.names[joined] = min(joined, key=lambda i: (met.get(i, 2**63), i))
        found.sets |= dict.fromkeys(joined, joined)
    return found


def persons_of(links: Sequence[Link]) -> Persons:
    a, b, at = zip(*links, strict=True) if links else ((), (), ())
    return resolve(pa.array(a, pa.string()), pa.array(b, pa.string()), np.array(at, np.int64), MOST, SHARED)


def rewritten(events: Sequence[Event], facts: Sequence[Fact], links: Sequence[Link], day: int) -> MemoryLog:
    """The log in which each person of a cutoff has one id: what is known of them, and what the person then does."""
    known = together(links, day * DAY_US)
    persons = {known.called(i): min(known.of(i)) for i in PROFILES}
    out = []
    for event in events:
        by_then = together(links, event.at + 1) if event.at >= day * DAY_US else known
        out += [replace(event, profile=name) for name, one in persons.items() if event.profile in by_then.of(one)]
    told = [replace(f, profile=known.called(f.profile)) for f in facts]
    return log_of(
        out, REQUEST, also=persons, known=sorted(told, key=_whole), attribute_numbers=("age",),
        attribute_texts=("region",),
    )  # fmt: skip


def _whole(fact: Fact) -> tuple[object, ...]:
    """The order of facts that are true from the same time on."""
    return fact.at, [(x is None, x) for x in (*fact.numbers, *fact.texts)]


# --- what is known of each person at a cutoff ---------------------------------------------------------------


def plan_of(log: EventLog, day: int) -> Plan:
    fields = REQUEST.number_fields, REQUEST.text_fields
    return make_plan(plan_input(log, count_support(log, day), (7, 14, 20), "amount", *fields))


def seen_at(log: EventLog, day: int, instance: Instance, plan: Plan) -> dict[str, Any]:
    """Each profile that is one at a cutoff: its lines, whether it is in the population, and its features to the bit."""
    found = survey(log, compile_program(lines_of(instance), instance.goal, log.request), CUTOFFS)
    column = CUTOFFS.index(day)
    there = found.there(column)
    rows = Rows(there, np.full(len(there), day), np.zeros(len(there), np.uint8))
    told = zip(
        found.profile_ids[there].tolist(), found.masks[there, column].tolist(),
        found.population[there, column].tolist(), (x.tobytes() for x in feature_matrix(log, plan, rows)), strict=True,
    )  # fmt: skip
    return {name: what for name, *what in told}


def asking(goal: Goal, eligible: Eligibility) -> Instance:
    return Instance(name="x", goal=goal, eligible=eligible, exits=tuple({"big"} - set(goal.group.events)))


lists_of_events = st.lists(any_event, min_size=1, max_size=25)
lists_of_facts = st.lists(any_fact, max_size=6).map(lambda facts: sorted(facts, key=_whole))


@settings(max_examples=150, deadline=None)
@given(lists_of_events, lists_of_facts, any_links, any_goal, any_eligibility, st.integers(1, 3))
def test_at_each_cutoff_it_is_as_if_the_ids_known_then_had_been_one(
    events: list[Event],
    facts: list[Fact],
    links: list[Link],
    goal: Goal,
    eligible: Eligibility,
    partitions: int,
) -> None:
    instance = asking(goal, eligible)
    log = standing_at(any_log(events, facts, partitions, persons_of(links)), CUTOFFS)
    for day in CUTOFFS:
        one_id = rewritten(events, facts, links, day)
        plan = plan_of(one_id, day)
        assert plan_of(standing_at(log, (day,)), day) == plan
        assert seen_at(log, day, instance, plan) == seen_at(one_id, day, instance, plan)


@settings(max_examples=80, deadline=None)
@given(lists_of_events, lists_of_facts, any_links, any_goal, any_eligibility, st.randoms(use_true_random=False))
def test_neither_links_nor_events_from_a_cutoff_on_change_what_is_seen_there(
    events: list[Event], facts: list[Fact], links: list[Link], goal: Goal, eligible: Eligibility, random: Any
) -> None:
    day, instance = CUTOFFS[1], asking(goal, eligible)
    past = [e for e in events if e.at < day * DAY_US] or [replace(events[0], at=FIRST_DAY * DAY_US)]
    known = [link for link in links if link[2] < day * DAY_US]
    shuffled = random.sample(links, len(links))
    whole = any_log([*past, *(e for e in events if e.at >= day * DAY_US)], facts, 2, persons_of(shuffled))
    less = any_log(past, [f for f in facts if f.at < day * DAY_US], 1, persons_of(known))
    plan = plan_of(standing_at(less, (day,)), day)
    then, now = (
        {name: what[1:] for name, what in seen_at(standing_at(log, CUTOFFS), day, instance, plan).items()}
        for log in (whole, less)
    )
    assert then == now


@settings(max_examples=60, deadline=None)
@given(any_links, st.randoms(use_true_random=False))
def test_the_order_of_links_does_not_matter(links: list[Link], random: Any) -> None:
    one, other = persons_of(links), persons_of(random.sample(links, len(links)))
    assert one.facts == other.facts
    for name in ("ids", "parent", "born", "name", "root", "leaves", "low", "high"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name
    for day in CUTOFFS:
        ids, known = (*PROFILES, *ELSEWHERE), together(links, day * DAY_US)
        assert one.called_at(ids, day * DAY_US) == [known.called(i) for i in ids]
