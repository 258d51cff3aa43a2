"""Times are wrong, events are there twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from corruptions.register import (
    END,
    HALF,
    Row,
    Rows,
    as_csv,
    as_two,
    breaks,
    chance,
    changed,
    from_half,
    halves,
    newest,
    of_some,
    some_values,
)

# --- times -----------------------------------------------------------------------------------------------------


def _times(rows: Rows, write: Callable[[datetime], Any]) -> Rows:
    return changed(rows, "ordered_at", write)


@breaks("times", "day first", "same")
def _(rows: Rows, folder: Path) -> Path:
    """every time is written `31/08/2011 17:31:00`"""
    return as_csv(_times(rows, lambda at: f"{at:%d/%m/%Y %H:%M:%S}"), folder)


@breaks("times", "day and month in either order", "refused", "PROPEND-203")
def _(rows: Rows, folder: Path) -> Path:
    """from half-way on the month stands first, before the day"""
    before, after = halves(rows)
    day, month = "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S"
    return as_csv(_times(before, lambda at: f"{at:{day}}") + _times(after, lambda at: f"{at:{month}}"), folder)


@breaks("times", "two files, two orders of day and month", "refused", "PROPEND-203")
def _(rows: Rows, folder: Path) -> Path:
    """of two files one has the day first, the other the month"""
    before, after = halves(rows)
    day, month = "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S"
    return as_two(_times(before, lambda at: f"{at:{day}}"), _times(after, lambda at: f"{at:{month}}"), folder)


@breaks("times", "seconds and milliseconds", "refused", "PROPEND-407")
def _(rows: Rows, folder: Path) -> Path:
    """times are numbers; from half-way on milliseconds, before seconds"""
    before, after = halves(_times(rows, lambda at: at))
    seconds = _times(before, lambda at: int(at.replace(tzinfo=UTC).timestamp()))
    return as_csv(seconds + _times(after, lambda at: int(at.replace(tzinfo=UTC).timestamp() * 1000)), folder)


@breaks("times", "1970", "warned", "PROPEND-350")
def _(rows: Rows, folder: Path) -> Path:
    """0.5 % of the times are 1 January 1970, where clocks begin"""
    return as_csv(some_values(rows, 0.005, "ordered_at", datetime(1970, 1, 1)), folder)


@breaks("times", "1900", "set aside", "before_1970")
def _(rows: Rows, folder: Path) -> Path:
    """0.5 % of the times are 1 January 1900, where spreadsheets begin"""
    return as_csv(some_values(rows, 0.005, "ordered_at", datetime(1900, 1, 1)), folder)


@breaks("times", "2099", "set aside", "in_the_future")
def _(rows: Rows, folder: Path) -> Path:
    """0.5 % of the times are 31 December 2099"""
    return as_csv(some_values(rows, 0.005, "ordered_at", datetime(2099, 12, 31)), folder)


@breaks("times", "years before the shop", "warned", "PROPEND-350")
def _(rows: Rows, folder: Path) -> Path:
    """0.1 % of the times are of 2001, eight years before the shop began"""
    return as_csv(
        of_some(rows, 0.001, lambda row: row | {"ordered_at": row["ordered_at"].replace(year=2001, day=1)}), folder
    )


@breaks("times", "a year mistyped", "refused", "PROPEND-410")
def _(rows: Rows, folder: Path) -> Path:
    """three orders of 2010 are dated 2019"""
    found = [r for r in rows if r["ordered_at"].year == 2010][:3]
    return as_csv([r | {"ordered_at": r["ordered_at"].replace(year=2019)} if r in found else r for r in rows], folder)


@breaks("times", "summer time for standard time", "within")
def _(rows: Rows, folder: Path) -> Path:
    """times are London's, an hour ahead in summer, and are read as UTC"""
    zone = ZoneInfo("Europe/London")
    return as_csv(_times(rows, lambda at: at.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)), folder)


@breaks("times", "zones mixed", "same")
def _(rows: Rows, folder: Path) -> Path:
    """a third of the times carries `Z`, a third New York's offset, a third none"""
    york = ZoneInfo("America/New_York")

    def written(row: Row) -> Row:
        at = row["ordered_at"].replace(tzinfo=UTC)
        forms = (f"{at:%Y-%m-%dT%H:%M:%SZ}", at.astimezone(york).isoformat(), f"{at:%Y-%m-%d %H:%M:%S}")
        return row | {"ordered_at": forms[int(row["order_id"][1:]) % 3]}

    return as_csv([written(row) for row in rows], folder)


@breaks("times", "one clock three hours ahead", "within")
def _(rows: Rows, folder: Path) -> Path:
    """orders of a third of the categories are dated three hours later"""
    ahead = sorted({r["category"] for r in rows})[::3]
    return as_csv(
        [r | {"ordered_at": r["ordered_at"] + timedelta(hours=3)} if r["category"] in ahead else r for r in rows],
        folder,
    )


@breaks("times", "a day late", "within")
def _(rows: Rows, folder: Path) -> Path:
    """from half-way on every order is dated a day later, but for the last day"""
    before, after = halves([r for r in rows if r["ordered_at"] < END - timedelta(days=1)])
    return as_csv(before + _times(after, lambda at: at + timedelta(days=1)), folder)


@breaks("times", "no year", "refused", "PROPEND-203")
def _(rows: Rows, folder: Path) -> Path:
    """every time is written `31 Aug 17:31`"""
    return as_csv(_times(rows, lambda at: f"{at:%d %b %H:%M}"), folder)


@breaks("times", "days only", "within")
def _(rows: Rows, folder: Path) -> Path:
    """no time has an hour"""
    return as_csv(_times(rows, lambda at: f"{at:%Y-%m-%d}"), folder)


@breaks("times", "days only half-way", "within")
def _(rows: Rows, folder: Path) -> Path:
    """from half-way on no time has an hour"""
    return as_csv(from_half(rows, "ordered_at", lambda at: f"{at:%Y-%m-%d}"), folder)


@breaks("times", "half of the clock", "within")
def _(rows: Rows, folder: Path) -> Path:
    """hours go to twelve, and nothing says which half of the day"""
    return as_csv(_times(rows, lambda at: f"{at:%Y-%m-%d %I:%M:%S}"), folder)


@breaks("times", "all times equal", "refused", "PROPEND-407")
def _(rows: Rows, folder: Path) -> Path:
    """every order is dated at the export"""
    return as_csv(_times(rows, lambda _: END), folder)


@breaks("times", "some times empty", "warned", "PROPEND-305")
def _(rows: Rows, folder: Path) -> Path:
    """3 % of the orders have no time"""
    return as_csv(some_values(rows, 0.03, "ordered_at", None), folder)


@breaks("times", "orders of next week", "set aside", "in_the_future")
def _(rows: Rows, folder: Path) -> Path:
    """0.5 % of the orders are dated a week from today"""
    return as_csv(some_values(rows, 0.005, "ordered_at", datetime.now() + timedelta(days=7)), folder)


@breaks("times", "the last day unfinished", "within")
def _(rows: Rows, folder: Path) -> Path:
    """the export was made at eight in the morning of the last day"""
    return as_csv([r for r in rows if r["ordered_at"] < END - timedelta(hours=16)], folder)


@breaks("times", "the last days late", "within")
def _(rows: Rows, folder: Path) -> Path:
    """of the last seven days one order in eight has come so far"""
    before, after = newest(rows, 7)
    return as_csv(before + [r for r in after if chance(r) < 1 / 8], folder)


@breaks("times", "no order", "same")
def _(rows: Rows, folder: Path) -> Path:
    """rows are in no order"""
    return as_csv(sorted(rows, key=lambda row: md5(row["order_id"].encode()).digest()), folder)


@breaks("times", "newest first", "same")
def _(rows: Rows, folder: Path) -> Path:
    """the newest order stands first"""
    return as_csv(rows[::-1], folder)


# --- duplicates -------------------------------------------------------------------------------------------------


def _of_day(rows: Rows) -> Rows:
    return [r for r in rows if r["ordered_at"].date() == datetime(2011, 6, 15).date()]


@breaks("duplicates", "rows twice", "warned", "PROPEND-310")
def _(rows: Rows, folder: Path) -> Path:
    """5 % of the rows stand there twice"""
    return as_csv(rows + [r for r in rows if chance(r) < 0.05], folder)


@breaks("duplicates", "a day twice", "warned", "PROPEND-310")
def _(rows: Rows, folder: Path) -> Path:
    """the orders of one day were delivered twice"""
    return as_csv(rows + _of_day(rows), folder)


@breaks("duplicates", "a file twice", "warned", "PROPEND-310")
def _(rows: Rows, folder: Path) -> Path:
    """the later of two files lies there again by another name"""
    before, after = halves(rows)
    as_two(before, after, folder)
    as_csv(after, folder, "orders_2 (1).csv")
    return folder


@breaks("duplicates", "a file twice, with when it was loaded", "warned", "PROPEND-351")
def _(rows: Rows, folder: Path) -> Path:
    """the later of two files was loaded twice, and each row says when"""
    before, after = halves(rows)
    once = [r | {"loaded_at": END} for r in before + after]
    return as_csv(once + [r | {"loaded_at": END + timedelta(hours=5)} for r in after], folder)


@breaks("duplicates", "files that overlap", "warned", "PROPEND-310")
def _(rows: Rows, folder: Path) -> Path:
    """two files both have the week before half-way"""
    before, after = halves(rows)
    return as_two(before, [r for r in before if r["ordered_at"] >= HALF - timedelta(days=7)] + after, folder)


@breaks("duplicates", "ids twice", "set aside", "duplicate", columns={"id": "order_id"})
def _(rows: Rows, folder: Path) -> Path:
    """0.8 % of the rows stand there twice, and the order's id is named"""
    return as_csv(rows + [r for r in rows if chance(r) < 0.008], folder)


@breaks("duplicates", "ids twice with other content", "set aside", "duplicate", columns={"id": "order_id"})
def _(rows: Rows, folder: Path) -> Path:
    """0.8 % of the rows stand there again with another amount and an hour later; the order's id is named"""
    again = [r for r in rows if chance(r) < 0.008]
    later = [r | {"amount": r["amount"] + 1, "ordered_at": r["ordered_at"] + timedelta(hours=1)} for r in again]
    return as_csv(rows + later, folder)
