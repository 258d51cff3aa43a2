"""What a narrative is made from, and the pieces that its sections are put together of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from propend.charts import CHARTS
from propend.language import day_words, say
from propend.phrasing import Words, count, percent, shown, words_of

Plain = dict[str, Any]
Rows = Iterable[Mapping[str, Any]]
TONES = {
    "conversion": {"high": "good", "medium": "medium", "low": "bad"},
    "churn": {"high": "bad", "medium": "medium", "low": "good"},
}
"""What is good to see depends on the goal (reference specification UI-12): few leaving, many converting."""


@dataclass(frozen=True)
class Given:
    """The three documents of a run, and the words, tones and days that go with them."""

    evaluation: Plain
    insights: Plain
    run: Plain

    @property
    def words(self) -> Words:
        """How meeting the goal is called."""
        return words_of(self.run["propensity_type"])

    @property
    def tones(self) -> dict[str, str]:
        """Whether each bucket is good to be in."""
        return TONES[self.run["propensity_type"]]

    @property
    def same_period(self) -> bool:
        """Whether the proof is from the period that was learnt from."""
        return bool(self.evaluation["proof"] != "out-of-time")

    def bucket(self, name: str) -> Plain:
        """One bucket of the insights."""
        return next(dict(b) for b in self.insights["buckets"] if b["bucket"] == name)

    def date_of(self, instant: str) -> date:
        """An ISO 8601 instant as a date of the instance's time zone."""
        zone = (self.run["instance"].get("options") or {}).get("time_zone", "UTC")
        return datetime.fromisoformat(instant).astimezone(ZoneInfo(zone)).date()

    def day(self, instant: str) -> str:
        """``1 September 2011``."""
        return day_words(self.date_of(instant))

    def day_before(self, instant: str) -> str:
        """The last day of a window that ends at an instant."""
        return day_words(self.date_of(instant) - timedelta(days=1))


def tested(given: Given) -> dict[str, str]:
    """How many were in the test and when, how many of them met the goal, and their share."""
    evaluation = given.evaluation
    n, met, rate = evaluation["n"], evaluation["positives"], evaluation["base_rate"]
    day, until = given.day(evaluation["cutoff_at"]), given.day_before(evaluation["outcome_ends_at"])
    figures = {"n": count(n), "met": count(met), "rate": percent(rate)}
    return {**figures, "did": given.words.did, "day": day, "until": until}


def picture(chart: str, rows: Rows, message: str = "", name: str = "") -> Plain:
    """A chart with its rows; ``message`` is what it shows this time."""
    title = CHARTS[chart].titled(words_of())
    return {
        "chart": chart,
        "id": f"{chart}-{name}" if name else chart,
        "message": message,
        "alt": message or title,
        "rows": [dict(row) for row in rows],
    }


def defined(rows: Rows, *fields: str) -> list[Plain]:
    """Rows that have a value in all the fields."""
    return [dict(row) for row in rows if all(row[field] is not None for field in fields)]


def row_at(rows: Sequence[Plain], field: str, value: float) -> Plain | None:
    """The first row whose field has the value."""
    return next((row for row in rows if row[field] == value), None)


def directed(rows: Rows, impact: str = "mean_impact") -> list[Plain]:
    """Factors with the direction of their impacts."""
    return [{**r, "mean_impact": r[impact], "direction": "raises" if r[impact] >= 0 else "lowers"} for r in rows]


def interval(metric: Mapping[str, float | None], form: str) -> str:
    """A metric with its interval, in words."""
    value, low, high = (shown(metric[key], form) for key in ("value", "low", "high"))
    if metric["value"] is None or metric["low"] is None:
        return value
    return say("{value} ({low} to {high})", value=value, low=low, high=high)


def span_counts(expected: Mapping[str, float]) -> dict[str, str]:
    """Both ends of an expected number of profiles."""
    return {end: count(round(expected[end])) for end in ("low", "high")}
