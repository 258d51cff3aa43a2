"""Cutoffs and windows: pure whole-day arithmetic, no data.

A day is an integer: days since 1970-01-01 on the local wall clock of the instance. A cutoff is the
midnight that begins its day. Features see ``[cutoff - n, cutoff)``; the outcome window is
``[cutoff + lead, cutoff + reach)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from propend.errors import NotEnoughHistoryError
from propend.language import say

EPOCH = date(1970, 1, 1)
DAY_US = 86_400_000_000

MIN_HISTORY_DAYS = 30
"""The least look-back features need (spec IN-18)."""
MAX_LOOKBACK_DAYS = 1460
"""The most look-back unless the instance says otherwise: four years (decision 0010; spec IN-23 has one)."""
COMFORTABLE_LOOKBACK_DAYS = 90
MAX_TRAINING_CUTOFFS = 8
MAX_TRAINING_CUTOFFS_WITH_YEARS = 12
WINDOWS_DAYS = (7, 14, 30, 60, 90, 180, 365)
LEVEL_STEP_DAYS = 7
MAX_LEVEL_CUTOFFS = 80
ASTRAY_DAYS, MOST_ASTRAY = 180, 0.01
"""From how many days apart on, and up to which share of all events, first or last days are of times that are wrong."""

ProofKind = Literal["out-of-time", "same-period"]


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def day_date(day: int) -> date:
    """The calendar date of a day number."""
    return EPOCH + timedelta(days=int(day))


def midnight_utc(day: int, zone: ZoneInfo) -> datetime:
    """The instant, in UTC, of the local midnight that begins a day."""
    return datetime.combine(day_date(day), time.min, tzinfo=zone).astimezone(UTC)


def instant_text(day: int, zone: ZoneInfo) -> str:
    """The midnight that begins a day as ISO 8601 in UTC, ending in Z."""
    return midnight_utc(day, zone).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class Windows:
    """The lengths that a goal and its eligibility ask for, in whole days.

    Attributes:
        outcome_days: length of the outcome window.
        lead_days: days between the cutoff and its start.
        reach_days: days from the cutoff to its end.
        settle_days: days late events are waited for.
        eligibility_days: the longest look-back of the eligibility (45 where none is defined).
    """

    outcome_days: int
    reach_days: int
    lead_days: int = 0
    settle_days: int = 0
    eligibility_days: int = 45

    @property
    def base_days(self) -> int:
        """History a cutoff needs before it."""
        return max(self.eligibility_days, MIN_HISTORY_DAYS)

    @property
    def history_needed_days(self) -> int:
        """``max(longest eligibility look-back, 30) + outcome window`` (spec IN-18), plus settle time."""
        return self.base_days + self.reach_days + self.settle_days


@dataclass(frozen=True)
class Observation:
    """What the data cover.

    Attributes:
        first_day: the first day with an event.
        until_day: the first day not fully observed.
        now_day: the scoring cutoff; later than ``until_day`` only when asked for.
    """

    first_day: int
    until_day: int
    now_day: int

    @property
    def history_days(self) -> int:
        return self.until_day - self.first_day


@dataclass(frozen=True)
class Timeline:
    """Where the cutoffs stand.

    Attributes:
        windows, observation: what it was planned from.
        training: cutoffs that train the model to be proven, ascending; their outcome windows end at or
            before the proof's cutoff.
        proof: the cutoff of the proof.
        proof_kind: ``same-period`` when history is too short for a later period; then the one training
            cutoff is the proof's own and profiles are split.
        lookback_days: the most that any feature looks back; at early cutoffs there may be less to see.
        dropped: cutoffs that would have been used, with the reason why not.
    """

    windows: Windows
    observation: Observation
    training: tuple[int, ...]
    proof: int
    proof_kind: ProofKind
    lookback_days: int
    dropped: tuple[tuple[int, str], ...] = ()

    @property
    def now(self) -> int:
        return self.observation.now_day

    @property
    def matured(self) -> tuple[int, ...]:
        """Every cutoff whose labels are known, ascending."""
        return tuple(sorted({*self.training, self.proof}))

    @property
    def feature_windows(self) -> tuple[int, ...]:
        """Window lengths for features; the whole look-back is always the last."""
        inside = tuple(w for w in WINDOWS_DAYS if w < self.lookback_days)
        return (*inside, self.lookback_days)


def observe(
    days: NDArray[np.int64],
    last_time_of_day: NDArray[np.int64],
    as_of: date | None,
    cut_by_as_of: bool,
    events_per_day: NDArray[np.int64] | None = None,
) -> Observation:
    """What is fully observed, from the days that have events.

    The data set's last day counts as complete when its events have no time of day, when ``as_of`` cut
    later events off, or when its last event is at least as late in the day as on one of the fourteen
    active days before it; otherwise observation ends at the midnight that begins it. Observation begins
    after days that lie ages before the others and have next to no events (``days_astray``): such times are
    wrong, and history that is not there would be counted as days on which nobody did anything.

    Args:
        days: day numbers with events, ascending, at least one.
        last_time_of_day: microseconds after midnight of the last event of each day.
        as_of: the midnight that "now" is moved to.
        cut_by_as_of: whether events at or after ``as_of`` exist.
        events_per_day: on each of ``days``.
    """
    astray = days_astray(days, events_per_day)[0] if events_per_day is not None else 0
    first, last = int(days[astray]), int(days[-1])
    until = last + 1
    if as_of is not None and cut_by_as_of:
        until = day_number(as_of)
    elif not _looks_complete(last_time_of_day):
        until = last
    now = day_number(as_of) if as_of is not None else until
    return Observation(first_day=first, until_day=min(until, now), now_day=now)


def days_astray(days: NDArray[np.int64], events_per_day: NDArray[np.int64]) -> tuple[int, int]:
    """How many of the first days, and of the last, lie ages apart from the others and have next to no events.

    Ages are half a year, next to nothing one event in a hundred. Clocks that were never set (1970, 2000), mistyped
    years and dates of birth make such days.

    Args:
        days: day numbers with events, ascending.
        events_per_day: on each.
    """
    behind = np.cumsum(events_per_day)
    apart = np.flatnonzero(np.diff(days) >= ASTRAY_DAYS)
    few = behind[-1] * MOST_ASTRAY
    early = [int(i) + 1 for i in apart if behind[i] <= few]
    late = [len(days) - 1 - int(i) for i in apart if behind[-1] - behind[i] <= few]
    return max(early, default=0), max(late, default=0)


def _looks_complete(last_time_of_day: NDArray[np.int64]) -> bool:
    if len(last_time_of_day) < 3 or int(last_time_of_day.max()) == 0:
        return True
    return int(last_time_of_day[-1]) >= int(last_time_of_day[-15:-1].min())


def plan_timeline(windows: Windows, observation: Observation, lookback_days: int | None = None) -> Timeline:
    """Cutoffs as the history allows (reference/science.md, recommended recipe 1).

    The proof stands as late as its outcome window, plus settle time, is observed. Training cutoffs stand
    before it in steps of the outcome window, purged: their windows end at or before the proof's cutoff.

    Raises:
        NotEnoughHistoryError: fewer days than ``windows.history_needed_days``.
    """
    if observation.history_days < windows.history_needed_days:
        raise NotEnoughHistoryError(
            f"{observation.history_days} days of events are there, from {day_date(observation.first_day)} to "
            f"{day_date(observation.until_day)}; {windows.history_needed_days} are needed: "
            f"{windows.base_days} to look back and {windows.reach_days + windows.settle_days} to see the outcome.",
            f"shorten the {windows.outcome_days}-day outcome window, shorten the eligibility's look-back of "
            f"{windows.eligibility_days} days, or add older data.",
            days_available=observation.history_days,
            days_required=windows.history_needed_days,
            outcome_days=windows.outcome_days,
            eligibility_days=windows.eligibility_days,
        )
    proof = observation.until_day - windows.settle_days - windows.reach_days
    training = _training_cutoffs(windows, observation, proof)
    lookback = min(lookback_days or MAX_LOOKBACK_DAYS, proof - observation.first_day)
    if not training:
        short = ((proof - windows.reach_days, say("too little history before it for an out-of-time proof")),)
        return Timeline(windows, observation, (proof,), proof, "same-period", lookback, short)
    unfinished = _not_matured(windows, observation, proof)
    return Timeline(windows, observation, training, proof, "out-of-time", lookback, unfinished)


def _training_cutoffs(windows: Windows, observation: Observation, proof: int) -> tuple[int, ...]:
    comfortable = max(windows.base_days, COMFORTABLE_LOOKBACK_DAYS)
    step = windows.outcome_days
    best: tuple[int, ...] = ()
    for lookback, stride in (
        (comfortable, step),
        (windows.base_days, step),
        (windows.base_days, max(7, step // 2)),
        (windows.base_days, max(7, step // 3)),
    ):
        found = _grid(proof - windows.reach_days, observation.first_day + lookback, min(stride, step))
        if len(found) >= 3:
            return found
        best = found if len(found) > len(best) else best
    return best


def _grid(newest: int, oldest: int, step: int) -> tuple[int, ...]:
    """Days from ``newest`` back in steps, not before ``oldest``, ascending."""
    if newest < oldest:
        return ()
    years = (newest - oldest) >= 2 * 365
    most = MAX_TRAINING_CUTOFFS_WITH_YEARS if years else MAX_TRAINING_CUTOFFS
    return tuple(sorted(range(newest, oldest - 1, -max(step, 1))[:most]))


def _not_matured(windows: Windows, observation: Observation, proof: int) -> tuple[tuple[int, str], ...]:
    """Cutoffs one step after the proof whose windows are not fully observed: not used, and said so."""
    later = proof + windows.outcome_days
    if later >= observation.until_day:
        return ()
    seen = observation.until_day - later
    reason = say("only {seen} of its {days} outcome days are observed", seen=seen, days=windows.reach_days)
    return ((later, reason),)


def level_step_days(timeline: Timeline) -> int:
    """Whole weeks between the cutoffs that the level's forecast looks at."""
    weeks = (timeline.proof - timeline.observation.first_day) / LEVEL_STEP_DAYS
    return LEVEL_STEP_DAYS * max(1, math.ceil(weeks / MAX_LEVEL_CUTOFFS))


def level_cutoffs(timeline: Timeline, gaps_days: Sequence[int]) -> tuple[int, ...]:
    """Cutoffs for the level's forecast, ascending: a grid through the proof, and the newest with a known outcome.

    Args:
        gaps_days: days from a cutoff until its outcome is known, for each outcome window looked through.
    """
    observed, step = timeline.observation, level_step_days(timeline)
    oldest, newest = observed.first_day + MIN_HISTORY_DAYS, observed.until_day - min(gaps_days)
    grid = {*range(timeline.proof, oldest - 1, -step), *range(timeline.proof, newest + 1, step)}
    grid |= {day - gap for day in (timeline.proof, observed.until_day) for gap in gaps_days}
    return tuple(sorted(day for day in grid if oldest <= day <= newest))


def without(timeline: Timeline, cutoffs: Sequence[tuple[int, str]]) -> Timeline:
    """The timeline with some training cutoffs left out, with their reasons."""
    gone = {day for day, _ in cutoffs}
    kept = tuple(c for c in timeline.training if c not in gone)
    return replace(timeline, training=kept, dropped=(*timeline.dropped, *cutoffs))
