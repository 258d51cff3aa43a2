"""From instants to the local wall clock: the zone's offsets as a table, the same for every engine.

``zoneinfo`` knows the offset at an instant but does not tell when it changes, so the changes are looked for:
in steps shorter than any two changes lie apart, then by halving down to the second.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

YEARS_AHEAD = 2
"""Later instants are in the future and set aside; they get the last offset."""
_STEP = 12 * 3600


def _offset(zone: ZoneInfo, seconds: int) -> int:
    """Seconds the local clock is ahead of UTC at an instant."""
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).astimezone(zone)
    return int((local.utcoffset() or timedelta()).total_seconds())


@lru_cache(maxsize=16)
def zone_offsets(name: str) -> tuple[tuple[int, int], ...]:
    """When a zone's offset began, and the offset, both in microseconds; ascending.

    The first entry holds also for everything before it. Instants are counted from 1970-01-01 00:00 UTC.
    """
    zone = ZoneInfo(name)
    start, end = -2 * 86_400, int(datetime(datetime.now(UTC).year + YEARS_AHEAD + 1, 1, 1, tzinfo=UTC).timestamp())
    found, before = [(start, _offset(zone, start))], start
    for at in range(start + _STEP, end, _STEP):
        offset = _offset(zone, at)
        if offset != found[-1][1]:
            found.append((_change(zone, before, at, found[-1][1]), offset))
        before = at
    return tuple((at * 1_000_000, offset * 1_000_000) for at, offset in found)


def _change(zone: ZoneInfo, low: int, high: int, old: int) -> int:
    """The second in (low, high] from which the offset is no longer the old one."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(zone, middle) == old else (low, middle)
    return high


def now_local_us(name: str) -> int:
    """Microseconds of the zone's wall clock at this moment."""
    local = datetime.now(UTC).astimezone(ZoneInfo(name)).replace(tzinfo=UTC)
    return int(local.timestamp() * 1_000_000)
