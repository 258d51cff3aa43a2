"""What lies at or after a cutoff changes no feature and no population; what lies outside a window changes no label."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goals import any_eligibility, any_goal
from logs import (
    FIRST_DAY,
    REQUEST,
    Event,
    Fact,
    MemoryLog,
    any_event,
    any_fact,
    any_log,
    log_of,
    moment,
    request_for,
)
from propend.events import DAY_US
from propend.goal import Eligibility, Goal
from propend.instance import Instance
from propend.snapshots import build
from propend.snapshots.build import Rows, count_support, feature_matrix, plan_input, rows_at, survey
from propend.snapshots.plan import Plan, make_plan
from propend.snapshots.program import Line, compile_program, lines_of

CUTOFF = FIRST_DAY + 20
WINDOWS = (7, 14, 20)


@pytest.fixture(autouse=True)
def _values_of_few_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four profiles are too few for a value to count; here one is enough."""
    monkeypatch.setattr(build, "MIN_VALUE_PROFILES", 1)


def starting(row: Any, day: int) -> Any:
    """The same event or fact, as many days later as it takes to be at or after the start of a day."""
    return replace(row, at=row.at + max(0, -((row.at - day * DAY_US) // DAY_US)) * DAY_US)


def ending(row: Any, day: int) -> Any:
    """The same event or fact, as many days earlier as it takes to be before the start of a day."""
    return replace(row, at=row.at - max(0, (row.at - day * DAY_US) // DAY_US + 1) * DAY_US)


past_events = st.lists(any_event.map(lambda e: ending(e, CUTOFF)), min_size=1, max_size=25)
future_events = st.lists(any_event.map(lambda e: starting(e, CUTOFF)), max_size=25)
past_facts = st.lists(any_fact.map(lambda f: ending(f, CUTOFF)), max_size=5)
future_facts = st.lists(any_fact.map(lambda f: starting(f, CUTOFF)), max_size=5)
new_kind = st.builds(
    lambda e: replace(e, kind="new", texts=("azure", "A")), any_event.map(lambda e: starting(e, CUTOFF))
)


def plan_of(log: MemoryLog) -> Plan:
    fields = REQUEST.number_fields, REQUEST.text_fields
    return make_plan(plan_input(log, count_support(log, CUTOFF), WINDOWS, "amount", *fields))


def features(log: MemoryLog, plan: Plan) -> dict[str, bytes]:
    """Every profile's features at the cutoff, to the bit."""
    everyone = np.arange(len(log.profiles))
    rows = Rows(everyone, np.full(len(everyone), CUTOFF), np.zeros(len(everyone), np.uint8))
    return {p: x.tobytes() for p, x in zip(log.profiles, feature_matrix(log, plan, rows), strict=True)}


def population(log: MemoryLog, goal: Goal, eligible: Eligibility) -> set[str]:
    """Profiles in the population at the cutoff."""
    instance = Instance(name="x", goal=goal, eligible=eligible, exits=tuple({"big"} - set(goal.group.events)))
    found = survey(log, compile_program(lines_of(instance), goal, log.request), [CUTOFF])
    return set(found.profile_ids[rows_at(found, [CUTOFF], labelled=False).profile].tolist())


# --- the future is not seen ---------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    past_events, past_facts, future_events, future_facts, future_events, st.lists(new_kind, max_size=3), future_facts
)
def test_no_future_changes_the_plan_or_a_feature(
    past: list[Event],
    known: list[Fact],
    future: list[Event],
    later: list[Fact],
    other_future: list[Event],
    new: list[Event],
    other_later: list[Fact],
) -> None:
    nothing = any_log(past, known)
    one = any_log([*future, *past], [*known, *later])
    other = any_log([*past, *other_future, *new], [*other_later, *known])
    plan = plan_of(nothing)
    assert [plan_of(one), plan_of(other)] == [plan, plan]
    expected = features(nothing, plan)
    assert [features(one, plan), features(other, plan)] == [expected, expected]


@settings(max_examples=60, deadline=None)
@given(past_events, future_events, future_events, any_goal, any_eligibility)
def test_no_future_changes_who_is_in_the_population(
    past: list[Event], future: list[Event], other_future: list[Event], goal: Goal, eligible: Eligibility
) -> None:
    expected = population(any_log(past), goal, eligible)
    assert [population(any_log([*past, *f]), goal, eligible) for f in (future, other_future)] == [expected, expected]


@settings(max_examples=60, deadline=None)
@given(past_events, past_events, future_events, future_events, any_goal)
def test_no_event_outside_the_outcome_windows_changes_a_label(
    past: list[Event], other_past: list[Event], outcome: list[Event], afterwards: list[Event], goal: Goal
) -> None:
    inside = [e for e in outcome if e.at < (CUTOFF + goal.reach_days) * DAY_US]
    outside = [starting(e, CUTOFF + goal.reach_days) for e in afterwards]
    labels = [met(any_log(events), goal) for events in (inside, [*past, *inside], [*inside, *other_past, *outside])]
    assert labels == [labels[0]] * 3


def met(log: MemoryLog, goal: Goal) -> dict[str, bool]:
    lines = [Line("", "instance", goal.group, "goal")]
    found = survey(log, compile_program(lines, goal, log.request), [CUTOFF])
    return dict(zip(found.profile_ids.tolist(), found.met[:, 0].tolist(), strict=True))


# --- the edges, by hand -------------------------------------------------------------------------------------

BUY = request_for(("buy",))
WITHIN_30 = Instance.load({"name": "x", "data": {"events": "x.csv"}, "goal": {"did": "buy", "within": "30d"}})


def snapshot(at: list[str], cutoff: str, days: int = 365) -> dict[str, Any]:
    """Label and some features of a profile that bought at some times."""
    log = log_of([Event("ann", moment(t), "order", 10.0, frozenset({"buy"})) for t in at], BUY)
    day = moment(cutoff) // DAY_US
    found = survey(log, compile_program(lines_of(WITHIN_30), WITHIN_30.goal, log.request), [day])
    plan = make_plan(plan_input(log, count_support(log, day), (30, days), "amount", (), ()))
    row = Rows(np.zeros(1, np.int64), np.array([day]), np.zeros(1, np.uint8))
    x = feature_matrix(log, plan, row)[0].tolist()
    features = {f.name: x[j] for j, f in enumerate(plan.features)}
    names = ("count__any__365d", "sum__any__365d", "days_since_last__any")
    return {"label": bool(found.met[0, 0])} | {name: features[name] for name in names}


def test_an_event_on_the_first_day_of_the_outcome_window_is_no_feature() -> None:
    """Acceptance vector T21, at the first instant of that day and later on it."""
    for first in ("2024-03-01 00:00", "2024-03-01 23:59"):
        assert snapshot(["2024-02-20", first], "2024-03-01") == {
            "label": True, "count__any__365d": 1, "sum__any__365d": 10, "days_since_last__any": 10,
        }  # fmt: skip


def test_an_event_at_the_end_of_the_outcome_window_is_no_outcome() -> None:
    last, after = (
        snapshot(["2024-02-20", "2024-03-30 23:59"], "2024-03-01"),
        snapshot(["2024-02-20", "2024-03-31"], "2024-03-01"),
    )
    assert (last["label"], after["label"]) == (True, False)


def test_an_event_older_than_the_look_back_is_not_used() -> None:
    """Acceptance vector T17: 400 days are more than a year; 365 days, to the instant, are not."""
    assert snapshot(["2023-01-26", "2024-02-20"], "2024-03-01") == snapshot(["2024-02-20"], "2024-03-01")
    assert snapshot(["2023-03-02", "2024-02-20"], "2024-03-01")["count__any__365d"] == 2
