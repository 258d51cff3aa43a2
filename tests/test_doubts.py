"""What is told of data that may not be what they seem; and that honest data are not doubted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

import propend
from logs import Event, log_of, moment
from propend.doubts import doubts
from propend.events import DAY_US, EventFacts, EventRequest, SourceFacts
from propend.model.breaks import break_notices
from propend.record import tracking_gaps
from propend.snapshots.oddities import Oddities, day_runs, oddities, written_alike
from propend.snapshots.volumes import Volumes
from propend.timeline import day_number, days_astray, observe
from shops import SHOP, shop

OF_DOUBT = frozenset(f"PROPEND-{n}" for n in range(350, 359))


def one_fact(**changes: object) -> EventFacts:
    """Facts of a log of one event, with some changed."""
    found = log_of([Event("a", moment("2024-01-01 12:00"), "buy")], EventRequest(selectors=())).facts
    return replace(found, **changes)  # type: ignore[arg-type]


NOTHING_ODD = Oddities(1_000, 0, (), 0, (), (), ("a", 1, 1), (), 0)


def told(facts: EventFacts, found: Oddities = NOTHING_ODD) -> list[tuple[str, str]]:
    return [(n.symbol, n.message) for n in doubts(facts, found)]


# --- honest data ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_honest_data_are_not_doubted(seed: int) -> None:
    found = propend.check(SHOP, data=shop(seed=seed)).document
    assert {w["code"] for w in found["warnings"]} & OF_DOUBT == set()


# --- days -----------------------------------------------------------------------------------------------------


def test_days_astray_are_few_events_ages_apart() -> None:
    days = np.array([0, 10, 400, *range(580, 700), 900])
    many = np.array([4, 4, 4, *[10] * 121])
    assert days_astray(days, many) == (3, 1)
    assert days_astray(days[:-1], many[:-1]) == (3, 0), "a gap of 180 days is one, of 200 events another"
    assert days_astray(days, np.where(days < 500, 50, 10)) == (0, 1), "a tenth of all events is no mistake"
    assert days_astray(days[3:-1], many[3:-1]) == (0, 0)


def test_history_begins_after_what_is_astray() -> None:
    days, last = np.array([0, *range(5_000, 5_200)]), np.full(201, DAY_US - 1)
    events = np.array([1, *[10] * 200])
    found = observe(days, last, None, False, events)
    assert (found.first_day, found.until_day) == (5_000, 5_200)


def test_what_is_astray_is_said() -> None:
    first = day_number(date(2024, 1, 1))
    days = np.array([0, *range(first, first + 200), first + 700])
    events = np.array([3, *[10] * 200, 1])
    assert told(one_fact(days=days, events_per_day=events)) == [
        (
            "TIMES_ASTRAY",
            "3 events are dated 1970-01-01 or before, long before all others; history begins on 2024-01-01.",
        ),
        ("TIMES_ASTRAY", "1 event is dated 2025-12-01 or later, long after all others, which end on 2024-07-18."),
    ]


def test_a_day_that_has_a_large_part_of_all_events() -> None:
    days = day_number(date(2024, 1, 1)) + np.arange(100)
    events = np.full(100, 10)
    events[40] = 1_500
    assert told(one_fact(days=days, events_per_day=events)) == [(
        "DAY_OUT_OF_LINE",
        "a large part of all 2,490 events is of single days, where 10 are usual: 1,500 on 2024-02-10.",
    )]  # fmt: skip
    assert told(one_fact(days=days[20:45], events_per_day=events[20:45])) == [], "too few days to say what is usual"


def test_a_week_is_a_gap_in_a_small_shop_too() -> None:
    days = day_number(date(2024, 1, 1)) + np.array([d for d in range(200) if not 100 <= d < 107])
    assert tracking_gaps(one_fact(days=days, events_per_day=np.full(193, 10))) == [
        {"from": "2024-04-10", "to": "2024-04-17", "days": 7}
    ]
    assert tracking_gaps(one_fact(days=days, events_per_day=np.full(193, 8))) == [], "56 events in a week are few"


def test_days_in_runs() -> None:
    assert day_runs((1, 2, 3, 7, 20)) == [(1, 7), (20, 20)]


# --- events twice ---------------------------------------------------------------------------------------------


def of_days(days: Sequence[int], times: Sequence[int]) -> Oddities:
    """Twelve profiles with an event on each day, each day's so many times."""
    start = moment("2024-01-01 12:00")
    events = [
        Event(f"p{i}", start + day * DAY_US, "buy") for i in range(12) for day, n in zip(days, times, strict=True)
        for _ in range(n)
    ]  # fmt: skip
    return oddities(log_of(events, EventRequest(selectors=())))


def test_days_that_were_delivered_twice() -> None:
    first = day_number(date(2024, 1, 1))
    found = of_days([0, 1, 2, 3, 9], [1, 2, 2, 3, 4])
    assert (found.doubled_days, found.doubled) == ((first + 1, first + 2, first + 9), 12 + 12 + 24)
    (notice,) = told(one_fact(), found)
    assert notice == (
        "DAYS_TWICE",
        "on 3 days every event is there twice, alike in all that is used of it: 2024-01-02 to 2024-01-03; 2024-01-10.",
    )  # fmt: skip
    assert told(one_fact(exact_duplicates=60), found) == [], "copies in every column are told as such"


# --- ids ------------------------------------------------------------------------------------------------------


def test_ids_in_one_writing() -> None:
    given = ["17850", " 17850 ", "0017850", "17850.0", "1.785E+04", "AB-1", "ab-1", "ｃ1", "7e85620", "00", "é"]
    assert written_alike(pa.array(given)).to_pylist() == [
        "17850", "17850", "17850", "17850", "17850", "ab-1", "ab-1", "c1", "7e85620", "0", "é"
    ]  # fmt: skip


def test_ids_that_are_one() -> None:
    ids = [f"c{i}" for i in range(20)] + [f"C{i}" for i in range(4)] + ["N/A", "qa-7", "1.5E+09"]
    found = oddities(log_of([Event(i, moment("2024-01-01 12:00"), "buy") for i in ids], EventRequest(selectors=())))
    assert (found.ids, found.alike, found.exponents) == (27, 4, 1)
    assert (found.nobody, found.testers) == ((("N/A", 1),), (("qa-7", 1),))
    assert told(one_fact(profiles=27, used=27), found) == [
        ("IDS_ALIKE", "4 of 27 ids are another one in another writing, and count as other profiles: 'C0' and 'c0', "
         "'C1' and 'c1', 'C2' and 'c2'."),
        ("IDS_DOUBTFUL", "some ids may be no customer's: 'N/A' (1 events): names for nobody; 'qa-7' (1 events): "
         "named like tests; 1 id has an exponent and may have lost digits."),
    ]  # fmt: skip
    assert told(one_fact(), replace(found, alike=2, nobody=(), testers=(), exponents=0)) == []


def test_an_id_with_a_large_part_of_all_events() -> None:
    busy = replace(NOTHING_ODD, busiest=("bot", 600, 100), nobody=(("0", 9),))
    assert told(one_fact(profiles=1_000, used=10_000), busy) == [
        ("IDS_DOUBTFUL", "some ids may be no customer's: 'bot' (600 events), 6 % of all.")
    ]
    assert told(one_fact(profiles=1_000, used=10_000), replace(busy, busiest=("bot", 600, 300))) == []
    assert told(one_fact(profiles=40, used=10_000), busy) == []
    zeros = replace(NOTHING_ODD, nobody=(("0", 300),))
    assert "'0' (300 events): names for nobody" in told(one_fact(profiles=1_000, used=10_000), zeros)[0][1]


# --- kinds and columns ----------------------------------------------------------------------------------------


def test_kinds_that_differ_in_writing_only() -> None:
    kinds = (("page_view", 90, 9), ("Page View", 9, 3), ("buy", 5, 5))
    assert told(one_fact(kinds=kinds)) == [(
        "KINDS_ALIKE", "kinds of events differ in their writing only, and count as different: 'page_view' (90 events); "
        "'Page View' (9 events).",
    )]  # fmt: skip


def test_columns_that_some_files_lack() -> None:
    source = SourceFacts("orders", "csv", 9, {"value": "amount"}, lacking={"value": ("b.csv", "c.csv")})
    assert told(one_fact(sources=(source,))) == [(
        "COLUMN_LACKING", "a column is not in every file, and is read as empty where it is not: 2 files of 'orders' "
        "have no 'amount' (the value): b.csv; c.csv.",
    )]  # fmt: skip


# --- breaks of a year -----------------------------------------------------------------------------------------


def volumes(events: Sequence[float], worth: Sequence[float], valued: Sequence[float] | None = None) -> Volumes:
    """Weeks of one kind, the newest first."""
    counts = np.array([events], dtype=np.int64)
    known = counts if valued is None else np.array([valued], dtype=np.int64)
    return Volumes(("buy",), counts, known, known * np.array([worth]))


STEADY = [40 + 5 * (w % 3) for w in range(60)]


def test_values_on_another_level() -> None:
    random = np.random.default_rng(3)
    noise = np.exp(random.normal(0, 0.3, 60))
    found = break_notices(volumes(STEADY, np.where(np.arange(60) < 22, 100.0, 1.0) * noise))
    assert [n.symbol for n in found] == ["VALUES_BROKEN"]
    assert "since 20 weeks before now" in found[0].message
    assert break_notices(volumes(STEADY, noise)) == []
    assert break_notices(volumes(STEADY, np.where(np.arange(60) < 22, 2.0, 1.0) * noise)) == []
    assert break_notices(volumes(STEADY, np.where(np.arange(60) % 8 < 4, 100.0, 1.0))) == [], "to and fro is no break"


def test_values_that_were_not_recorded() -> None:
    valued = [0 if 20 <= w < 28 else n for w, n in enumerate(STEADY)]
    (found,) = break_notices(volumes(STEADY, np.ones(60), valued))
    assert "360 'buy' without a value between 28 and 20 weeks before now" in found.message
    assert break_notices(volumes(STEADY, np.ones(60), np.array(STEADY) // 3)) == [], "most have none anyway"


def test_a_kind_that_takes_anothers_place() -> None:
    old, new = ([n if side(w) else 0 for w, n in enumerate(STEADY)] for side in (lambda w: w >= 30, lambda w: w < 30))
    none = np.zeros((2, 60))
    both = Volumes(("order", "purchase"), np.array([old, new]), none.astype(np.int64), none)
    assert [n.message for n in break_notices(both)] == [
        "a kind of event seems to have been renamed: 'order' ends and 'purchase' begins 30 weeks before now, with 45 "
        "and 45 a week."
    ]
    rare = replace(both, events=np.array([old, [n // 9 for n in new]]))
    later = replace(both, events=np.array([old, [*new[:20], *[0] * 40]]))
    assert [break_notices(v) for v in (rare, later)] == [[], []]
