"""What a run says of its data: tracking gaps."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from logs import Event, log_of, moment
from propend.events import EventFacts, EventRequest
from propend.record import gaps_text, tracking_gaps
from propend.timeline import day_number

MONDAY = date(2024, 1, 1)


def facts(closed: set[int], days: int = 70) -> EventFacts:
    """A shop with thirty events a day but on Saturdays, and none on some further days."""
    open_days = [d for d in range(days) if (MONDAY + timedelta(d)).weekday() != 5 and d not in closed]
    one = log_of([Event("a", moment("2024-01-01 12:00"), "buy")], EventRequest(selectors=())).facts
    numbers = np.array(open_days, dtype=np.int64) + day_number(MONDAY)
    return replace(one, days=numbers, events_per_day=np.full(len(open_days), 30, dtype=np.int64))


def test_usually_silent_days_are_no_gap_and_do_not_part_one() -> None:
    """Days 25 and 27 are a Friday and a Sunday: the Saturday between them is silent anyway; so is day 40."""
    assert tracking_gaps(facts({40})) == []
    assert tracking_gaps(facts({9, 25, 27, 28, 40})) == [
        {"from": "2024-01-10", "to": "2024-01-11", "days": 1},
        {"from": "2024-01-26", "to": "2024-01-30", "days": 3},
    ]


def test_gaps_in_words_are_the_longest_by_their_last_day() -> None:
    gaps = tracking_gaps(facts({9, 25, 27, 28, 36, 42, 43}))
    assert gaps_text(gaps) == "2024-01-26 to 2024-01-29; 2024-02-12 to 2024-02-13; 2024-01-10; and 1 more"
    assert gaps_text(gaps[:1]) == "2024-01-10"
