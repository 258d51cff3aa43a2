"""Cutoffs and windows: pure whole-day arithmetic, by the spec's vectors and by properties that must always hold."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from propend.errors import NotEnoughHistoryError
from propend.timeline import (
    MAX_LOOKBACK_DAYS,
    MAX_TRAINING_CUTOFFS,
    MAX_TRAINING_CUTOFFS_WITH_YEARS,
    Observation,
    Timeline,
    Windows,
    day_date,
    day_number,
    instant_text,
    midnight_utc,
    observe,
    plan_timeline,
    without,
)

FIRST = day_number(date(2022, 1, 3))
NOON = 12 * 3_600_000_000


def planned(history: int, windows: Windows, lookback: int | None = None) -> Timeline:
    """The timeline of so many days of history that end now."""
    return plan_timeline(windows, Observation(FIRST, FIRST + history, FIRST + history), lookback)


def from_first(timeline: Timeline) -> tuple[tuple[int, ...], int, str, int]:
    """Training cutoffs and proof as days since the first event, kind of proof, look-back."""
    training = tuple(c - FIRST for c in timeline.training)
    return training, timeline.proof - FIRST, timeline.proof_kind, timeline.lookback_days


# --- how much history is needed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        pytest.param(Windows(30, 30, eligibility_days=60), 90, id="T1"),
        pytest.param(Windows(7, 7), 52, id="T2"),
        pytest.param(Windows(7, 7, eligibility_days=7), 37, id="T3"),
        pytest.param(Windows(30, 30, eligibility_days=75), 105, id="T4"),
        pytest.param(Windows(30, 37, lead_days=7, settle_days=2, eligibility_days=60), 99, id="lead and settle"),
    ],
)
def test_days_of_history_needed(windows: Windows, expected: int) -> None:
    assert windows.history_needed_days == expected


def test_a_day_too_few_is_refused_with_both_numbers() -> None:
    """Acceptance vector T5."""
    with pytest.raises(NotEnoughHistoryError) as refused:
        planned(89, Windows(30, 30, eligibility_days=60))
    error = refused.value
    assert error.facts == {"days_available": 89, "days_required": 90, "outcome_days": 30, "eligibility_days": 60}
    assert error.message == (
        "89 days of events are there, from 2022-01-03 to 2022-04-02; "
        "90 are needed: 60 to look back and 30 to see the outcome."
    )
    assert planned(90, Windows(30, 30, eligibility_days=60)).proof == FIRST + 60


# --- where cutoffs stand ------------------------------------------------------------------------------------

A_YEAR = Windows(30, 30, eligibility_days=60)


@pytest.mark.parametrize(
    ("history", "windows", "expected"),
    [
        pytest.param(
            365, A_YEAR, ((95, 125, 155, 185, 215, 245, 275, 305), 335, "out-of-time", 335), id="in steps of the window"
        ),
        pytest.param(240, A_YEAR, ((90, 120, 150, 180), 210, "out-of-time", 210), id="as leave 90 days before"),
        pytest.param(
            180, A_YEAR, ((60, 90, 120), 150, "out-of-time", 150), id="or 60 for three cutoffs"
        ),
        pytest.param(165, A_YEAR, ((60, 75, 90, 105), 135, "out-of-time", 135), id="or half steps"),
        pytest.param(145, A_YEAR, ((65, 75, 85), 115, "out-of-time", 115), id="or thirds of steps"),
        pytest.param(120, A_YEAR, ((60,), 90, "out-of-time", 90), id="one is enough"),
        pytest.param(119, A_YEAR, ((89,), 89, "same-period", 89), id="no room for a later proof"),
        pytest.param(90, A_YEAR, ((60,), 60, "same-period", 60), id="hardly any history"),
        pytest.param(
            365,
            Windows(30, 40, lead_days=10, settle_days=5, eligibility_days=60),
            ((100, 130, 160, 190, 220, 250, 280), 320, "out-of-time", 320),
            id="lead and settle",
        ),
        pytest.param(
            2000,
            Windows(90, 90, eligibility_days=365),
            (tuple(range(740, 1821, 90))[-12:], 1910, "out-of-time", 1460),
            id="never more than four years back",
        ),
    ],
)  # fmt: skip
def test_cutoffs_as_the_history_allows(
    history: int, windows: Windows, expected: tuple[tuple[int, ...], int, str, int]
) -> None:
    assert from_first(planned(history, windows)) == expected


def test_twelve_cutoffs_where_they_can_span_two_years() -> None:
    # the oldest look-back is 90 days, so cutoffs span two years from 90 + 730 + 2 * 30 days on
    counts = {history: len(planned(history, A_YEAR).training) for history in (879, 880)}
    assert counts == {879: MAX_TRAINING_CUTOFFS, 880: MAX_TRAINING_CUTOFFS_WITH_YEARS}


def test_a_look_back_that_was_asked_for_is_the_most() -> None:
    assert (planned(1000, A_YEAR, 500).lookback_days, planned(1000, A_YEAR, 50).lookback_days) == (500, 50)


def test_what_was_not_used_is_said() -> None:
    short = planned(100, A_YEAR)
    late = planned(365, Windows(30, 40, lead_days=10, settle_days=5, eligibility_days=60))
    assert [(day - FIRST, reason) for t in (short, late) for day, reason in t.dropped] == [
        (40, "too little history before it for an out-of-time proof"),
        (350, "only 15 of its 40 outcome days are observed"),
    ]


def test_windows_for_features_end_with_the_whole_look_back() -> None:
    found = {history: planned(history, A_YEAR).feature_windows for history in (90, 240, 1000, 2000)}
    assert found == {
        90: (7, 14, 30, 60),
        240: (7, 14, 30, 60, 90, 180, 210),
        1000: (7, 14, 30, 60, 90, 180, 365, 970),
        2000: (7, 14, 30, 60, 90, 180, 365, 1460),
    }


def test_matured_cutoffs_and_now() -> None:
    timeline = planned(180, A_YEAR)
    assert [c - FIRST for c in (*timeline.matured, timeline.now)] == [60, 90, 120, 150, 180]


def test_training_cutoffs_left_out_are_kept_with_their_reason() -> None:
    timeline = without(planned(180, A_YEAR), [(FIRST + 90, "no outcomes")])
    assert (from_first(timeline)[0], timeline.dropped) == ((60, 120), ((FIRST + 90, "no outcomes"),))


any_windows = st.builds(
    lambda outcome, lead, settle, eligibility: Windows(outcome, outcome + lead, lead, settle, eligibility),
    st.integers(1, 365), st.integers(0, 60), st.integers(0, 30), st.integers(0, 400),
)  # fmt: skip


@given(any_windows, st.integers(0, 2000), st.none() | st.integers(1, 1000), st.integers(0, 100))
def test_whatever_the_history(windows: Windows, more: int, lookback: int | None, idle: int) -> None:
    """Purged, matured, with enough to look back on, at most twelve; or one cutoff and a hold-out."""
    until = FIRST + windows.history_needed_days + more
    timeline = plan_timeline(windows, Observation(FIRST, until, until + idle), lookback)
    training, proof, reach = timeline.training, timeline.proof, windows.reach_days
    assert proof + reach + windows.settle_days == until
    assert list(training) == sorted(set(training))
    assert 1 <= len(training) <= MAX_TRAINING_CUTOFFS_WITH_YEARS
    assert training[0] - FIRST >= windows.base_days
    assert 1 <= timeline.lookback_days <= min(lookback or MAX_LOOKBACK_DAYS, timeline.proof - FIRST)
    assert timeline.matured == tuple(sorted({*training, proof}))
    if timeline.proof_kind == "out-of-time":
        assert all(c + reach <= proof for c in training)
    else:
        assert (training, proof - reach < FIRST + windows.base_days) == ((proof,), True)


@given(any_windows, st.integers(1, 500))
def test_a_day_too_few_is_always_refused(windows: Windows, missing: int) -> None:
    until = FIRST + windows.history_needed_days - missing
    with pytest.raises(NotEnoughHistoryError):
        plan_timeline(windows, Observation(FIRST, until, until))


# --- what is observed ---------------------------------------------------------------------------------------


def observed(last_times: list[int], as_of: date | None = None, cut: bool = False) -> tuple[int, int, int]:
    """First day, end of observation and now, as days since the first event, of days with these last events."""
    days = np.arange(len(last_times)) + FIRST
    found = observe(days, np.array(last_times), as_of, cut)
    return found.first_day - FIRST, found.until_day - FIRST, found.now_day - FIRST


@pytest.mark.parametrize(
    ("last_times", "until"),
    [
        pytest.param([NOON] * 20, 20, id="as late as ever"),
        pytest.param([NOON] * 19 + [NOON - 1], 19, id="breaks off before noon"),
        pytest.param([NOON] * 10 + [NOON // 2] + [NOON] * 8 + [NOON // 2], 20, id="once before it ended as early"),
        pytest.param([NOON // 2] + [NOON] * 18 + [NOON // 2], 19, id="but not in the last fourteen days"),
        pytest.param([0] * 20, 20, id="no times of day"),
        pytest.param([NOON, NOON - 1], 2, id="two days tell nothing"),
    ],
)
def test_a_last_day_that_looks_unfinished_ends_the_observation(last_times: list[int], until: int) -> None:
    assert observed(last_times) == (0, until, until)


def test_now_can_be_moved_back_and_forth() -> None:
    noons, day = [NOON] * 20, day_date(FIRST + 30)
    assert observed(noons, day_date(FIRST + 20), cut=False) == (0, 20, 20)
    assert observed(noons, day, cut=True) == (0, 30, 30)  # later events exist: all days up to it are observed
    assert observed(noons, day, cut=False) == (0, 20, 30)  # none do: observation ends with the data
    assert observed([*noons[1:], NOON - 1], day_date(FIRST + 20), cut=True) == (0, 20, 20)


# --- days and instants --------------------------------------------------------------------------------------


@given(st.dates())
def test_days_are_counted_from_1970(day: date) -> None:
    assert (day_date(day_number(day)), day_number(date(1970, 1, 1))) == (day, 0)


@pytest.mark.parametrize(
    ("zone", "day", "text"),
    [
        ("UTC", date(2024, 3, 31), "2024-03-31T00:00:00Z"),
        ("Europe/Berlin", date(2024, 3, 31), "2024-03-30T23:00:00Z"),
        ("Europe/Berlin", date(2024, 4, 1), "2024-03-31T22:00:00Z"),
        ("America/New_York", date(2024, 3, 31), "2024-03-31T04:00:00Z"),
    ],
)
def test_local_midnights_as_instants(zone: str, day: date, text: str) -> None:
    number = day_number(day)
    assert instant_text(number, ZoneInfo(zone)) == text
    assert midnight_utc(number, ZoneInfo(zone)) == datetime.fromisoformat(text).astimezone(UTC)
