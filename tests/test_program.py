"""Goals and eligibilities as tables: evaluated by the compiled pass, they say what they say by definition."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

import oracle
from goals import any_eligibility, any_goal, groups
from logs import Event, any_cutoffs, any_events, any_log
from propend.errors import ConfigurationError
from propend.goal import Eligibility, Goal, Group
from propend.instance import Instance
from propend.snapshots.build import survey
from propend.snapshots.program import (
    Line,
    compile_program,
    eligibility_days,
    excluded_events,
    lines_of,
    measured_fields,
    selectors_of,
)

Answers = dict[tuple[str, int, int], bool]


def by_kernel(events: list[Event], lines: list[Line], goal: Goal, cutoffs: set[int], partitions: int = 1) -> Answers:
    """Whether each line holds, by profile, cutoff and line."""
    log = any_log(events, partitions=partitions)
    found = survey(log, compile_program(lines, goal, log.request), cutoffs)
    return {
        (profile, cutoff, j): bool(found.holds(j)[p, k])
        for p, profile in enumerate(found.profile_ids)
        for k, cutoff in enumerate(found.cutoffs)
        for j in range(len(lines))
    }


def by_definition(events: list[Event], lines: list[Line], goal: Goal, cutoffs: set[int]) -> Answers:
    log = any_log(events)
    windows: dict[str, oracle.Window] = {
        "eligible": oracle.looking_back,
        "exit_before": oracle.looking_back,
        "exit_within": lambda _: (0, goal.reach_days),
        "gap": lambda atom: (0, goal.window_of(atom)[0]),
        "goal": goal.window_of,
    }
    return {
        (profile, cutoff, j): oracle.holds(line.item, log.of(profile), cutoff, windows[line.role], log)
        for profile in log.profiles
        for cutoff in cutoffs
        for j, line in enumerate(lines)
    }


def lines_for(goal: Goal, eligible: Eligibility) -> list[Line]:
    """The goal and its gap, the eligibility, and the eligibility's items as exits."""
    roles = [("goal", goal.group), ("gap", goal.group), ("eligible", eligible.group)]
    return [Line(role, "instance", item, role) for role, item in roles] + [
        Line(role, "instance", item, role) for item in eligible.lines for role in ("exit_before", "exit_within")
    ]


@settings(max_examples=300, deadline=None)
@given(any_events, any_goal, any_eligibility, any_cutoffs)
def test_every_line_holds_when_its_definition_does(
    events: list[Event], goal: Goal, eligible: Eligibility, cutoffs: set[int]
) -> None:
    lines = lines_for(goal, eligible)
    assert by_kernel(events, lines, goal, cutoffs) == by_definition(events, lines, goal, cutoffs)


OPPOSITES = {"any_of": "none_of", "none_of": "any_of", "all_of": "not_all_of", "not_all_of": "all_of"}


@settings(max_examples=100, deadline=None)
@given(any_events, groups(ahead=True), any_cutoffs)
def test_will_not_occur_is_the_complement_of_will_occur(events: list[Event], group: Group, cutoffs: set[int]) -> None:
    """Acceptance vector T19."""
    goals = [
        Goal(group=g, within_days=14) for g in (group, Group(combinator=OPPOSITES[group.combinator], items=group.items))
    ]  # type: ignore[arg-type]
    will, will_not = (by_kernel(events, [Line("", "instance", g.group, "goal")], g, cutoffs) for g in goals)
    assert will_not == {snapshot: not held for snapshot, held in will.items()}


# --- which lines an instance has ----------------------------------------------------------------------------


def instance(goal: Any, eligible: Any = None, options: Any = None, **more: Any) -> Instance:
    document = {
        "name": "x",
        "data": {"events": "x.csv"},
        "goal": goal,
        "eligible": eligible,
        "options": options,
        **more,
    }
    return Instance.load({k: v for k, v in document.items() if v is not None})


def described(given: Instance) -> list[tuple[str, str, Any]]:
    """Role, origin and item of each line."""
    return [(line.role, line.origin, line.item.model_dump(by_alias=True)) for line in lines_of(given)]


SEEN = ("eligible", "default", {"did": "anything"})
ACTIVE = ("eligible", "default", {"did": "anything", "within": "45d"})
NEVER_BOUGHT = ("eligible", "default", {"did": "buy", "at_most": 0})
BOUGHT = {"did": "buy", "within": "60d"}


def bought(days: int) -> tuple[str, str, Any]:
    return ("eligible", "default", {"did": "buy", "within": f"{days}d"})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(instance({"did": "buy", "within": "7d"}), [ACTIVE], id="nobody said who"),
        pytest.param(
            instance({"did": "buy", "within": "7d"}, {"all_of": [BOUGHT, {"did": "call", "at_most": 0}]}),
            [("eligible", "instance", BOUGHT), ("eligible", "instance", {"did": "call", "at_most": 0})],
            id="one line for each item of all_of",
        ),
        pytest.param(
            instance({"did": "buy", "within": "7d"}, {"any_of": ["buy", "call"]}),
            [("eligible", "instance", {"any_of": ["buy", "call"]})],
            id="one line for any_of",
        ),
        pytest.param(
            instance({"none_of": ["buy"], "within": "7d"}), [ACTIVE, bought(45)], id="stops what it was doing"
        ),
        pytest.param(
            instance({"none_of": ["buy"], "within": "7d"}, {"did": "call", "within": "10d"}),
            [("eligible", "instance", {"did": "call", "within": "10d"}), bought(30)],
            id="at least 30 days back",
        ),
        pytest.param(
            instance({"none_of": ["buy"], "within": "7d"}, BOUGHT),
            [("eligible", "instance", BOUGHT)],
            id="the eligibility asks for it already",
        ),
        pytest.param(
            instance({"not_all_of": ["buy", "call"], "within": "7d"}),
            [
                ACTIVE,
                (
                    "eligible",
                    "default",
                    {"all_of": [{"did": "buy", "within": "45d"}, {"did": "call", "within": "45d"}]},
                ),
            ],
            id="was doing all of it",
        ),
        pytest.param(
            instance({"did": "buy", "at_most": 0, "within": "7d"}), [ACTIVE, bought(45)], id="the same, counted"
        ),
        pytest.param(
            instance({"all_of": [{"none_of": ["buy"]}, {"none_of": ["buy"]}], "within": "7d"}),
            [ACTIVE, bought(45)],
            id="the same, nested",
        ),
        pytest.param(
            instance({"none_of": [{"did": "buy", "at_most": 0}], "within": "7d"}), [ACTIVE], id="not never is once"
        ),
        pytest.param(instance({"did": "buy", "at_most": 2, "within": "7d"}), [ACTIVE], id="seldom is not never"),
        pytest.param(
            instance({"none_of": ["buy"], "within": "7d"}, options={"was_doing": False}), [ACTIVE], id="not asked for"
        ),
        pytest.param(
            instance({"did": "buy", "first_time": True, "within": "7d"}), [ACTIVE, NEVER_BOUGHT], id="a first time"
        ),
        pytest.param(
            instance({"did": "buy", "within": "7d"}, exits=["close"]),
            [
                ACTIVE,
                ("exit_before", "instance", {"did": "close", "at_most": 0}),
                ("exit_within", "instance", {"did": "close", "at_most": 0}),
            ],
            id="an exit",
        ),
        pytest.param(
            instance({"did": "buy", "from": "3d", "within": "7d"}),
            [ACTIVE, ("gap", "default", {"all_of": ["buy"]})],
            id="lead time",
        ),
        pytest.param(
            instance({"did": "buy", "from": "3d", "within": "7d"}, options={"remove_met_in_gap": False}),
            [ACTIVE],
            id="lead time, gap kept",
        ),
        pytest.param(
            instance({"did": "buy", "at_most": 2, "from": "3d", "within": "7d"}),
            [ACTIVE],
            id="nothing in the gap would meet this goal",
        ),
        pytest.param(
            instance({"sum": "buy.amount", "lt": 100, "from": "3d", "within": "7d"}), [ACTIVE], id="so would it this"
        ),
        pytest.param(instance({"none_of": ["buy"], "from": "3d", "within": "7d"}), [ACTIVE, bought(45)], id="and this"),
    ],
)
def test_lines_are_the_eligibility_and_what_goes_without_saying(
    given: Instance, expected: list[tuple[str, str, Any]]
) -> None:
    assert described(given) == [SEEN, *expected, ("goal", "instance", given.goal.group.model_dump(by_alias=True))]


def test_every_line_is_told_in_words() -> None:
    lines = lines_of(instance({"none_of": ["buy"], "from": "3d", "within": "7d"}, BOUGHT, exits=["close"]))
    assert all(line.text for line in lines)


@pytest.mark.parametrize(
    ("eligible", "expected"),
    [
        (None, 45),
        ({"did": "buy", "within": "60d"}, 60),
        ({"all_of": [{"did": "buy", "within": "14d"}, {"any_of": [{"did": "call", "within": "75d"}]}]}, 75),
        ({"did": "buy"}, 0),
    ],
)
def test_the_longest_look_back_decides_the_history_needed(eligible: Any, expected: int) -> None:
    assert eligibility_days(lines_of(instance({"did": "buy", "within": "7d"}, eligible))) == expected


def test_a_bit_for_every_event_that_a_line_or_the_document_names() -> None:
    given = instance(
        {"any_of": ["buy", {"then": ["visit", "buy"]}], "within": "7d"},
        {"sum": "big.amount", "gt": 5},
        events={
            "buy": {"is": "purchase"},
            "big": {"where": "amount > 3"},
            "spare": {"is": "call"},
            "spam": {"is": "bot"},
        },
        exclude=["spam", "test"],
        exits=["close"],
    )
    selectors = selectors_of(given, lines_of(given))
    kinds = {s.name: s.event.kinds for s in selectors}
    assert kinds == {"big": (), "close": ("close",), "buy": ("purchase",), "visit": ("visit",), "spare": ("call",)}
    assert [e.kinds for e in excluded_events(given)] == [("bot",), ("test",)]


def test_columns_that_measures_need() -> None:
    given = instance(
        {"all_of": [{"sum": "buy.amount", "gt": 5}, {"count_distinct": "buy.category", "gt": 1}], "within": "7d"},
        {"max": "buy.discount", "gt": 0, "within": "9d"},
    )
    assert measured_fields(lines_of(given)) == (("discount", "amount"), ("category",))


def test_more_events_or_lines_than_bits_are_refused() -> None:
    names = [f"e{i}" for i in range(65)]
    wide = instance({"any_of": [{"any_of": names[:40]}, {"any_of": names[40:]}], "within": "7d"})
    with pytest.raises(ConfigurationError, match="65 different events; at most 64 fit"):
        selectors_of(wide, lines_of(wide))
    long = instance({"did": "e0", "within": "7d"}, {"all_of": ["e1"] * 63})
    with pytest.raises(ConfigurationError, match="65 lines with exits and goal; at most 64 fit"):
        compile_program(lines_of(long), long.goal, any_log([]).request)
