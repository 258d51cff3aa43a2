"""What a check says, as pictures: who is left after each line, the share at past dates, events per month."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from propend.charts import CHARTS
from propend.instance import Instance
from propend.narrative import spread_words
from propend.phrasing import Words, words_of

Plain = dict[str, Any]
ROLES = {"training": "learnt from", "proof": "test"}


def pictures_of(checked: Plain, instance: Instance) -> Plain:
    """Words, and the pictures of a check's document by name."""
    words, zone = words_of(instance.type), instance.options.zone
    return {
        "words": words,
        "funnel": picture("funnel", _lines(checked["funnel"])),
        "rates": _rates(checked["timeline"]["cutoffs"], zone, words),
        "months": picture("events_per_month", checked["data"]["events_per_month"]),
    }


def picture(chart: str, rows: Iterable[Mapping[str, Any]], message: str = "", name: str = "") -> Plain:
    """A registered chart with its rows, as templates draw it."""
    title = CHARTS[chart].titled(words_of())
    rows = [dict(row) for row in rows]
    return {"chart": chart, "id": name or chart, "message": message, "alt": message or title, "rows": rows}


def _lines(funnel: Iterable[Plain]) -> list[Plain]:
    return [{**line, "origin": "default" if line["origin"] == "default" else "the question"} for line in funnel]


def _rates(cutoffs: Iterable[Plain], zone: ZoneInfo, words: Words) -> Plain:
    rows = [
        {
            **c,
            "cutoff_on": str(datetime.fromisoformat(c["cutoff_at"]).astimezone(zone).date()),
            "role": ROLES[c["role"]],
        }
        for c in cutoffs
        if c["base_rate"] is not None
    ]
    rates = [row["base_rate"] for row in rows]
    return picture("base_rates", rows, spread_words(rates, words.did))
