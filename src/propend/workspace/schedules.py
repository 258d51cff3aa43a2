"""When an instance is to run next: words and cron expressions, in the instance's time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from croniter import croniter

WORDS = {"daily": "0 4 * * *", "weekly": "0 4 * * 1", "monthly": "0 4 1 * *"}
"""Four in the morning: the day before is over everywhere near, and its last events have mostly arrived."""


def next_due(schedule: str, zone: ZoneInfo, after: datetime) -> datetime:
    """The first time after an instant that a schedule names, in UTC.

    A local time that is skipped when clocks go forward is taken an hour later; one that comes twice counts once.

    Args:
        schedule: ``daily``, ``weekly``, ``monthly`` or a cron expression of five fields.
        zone: whose clock it speaks of.
        after: an aware instant.
    """
    times = croniter(WORDS.get(schedule, schedule), after.astimezone(zone).replace(tzinfo=None))
    while True:
        found: datetime = times.get_next(datetime)  # on the clock alone, which has no zone
        due = found.replace(tzinfo=zone).astimezone(UTC)
        if due > after:
            return due
