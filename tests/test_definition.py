"""What `check` says of a definition: example profiles with the event that decided each."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pyarrow.compute as pc
import pytest

import propend
from shops import SHOP, instance, last_day, shop

EVENTS = shop(profiles=120)


def _examples(goal: dict[str, Any]) -> tuple[date, list[dict[str, Any]]]:
    document = propend.check(instance(goal=goal), data=EVENTS).document
    proof = next(c for c in document["timeline"]["cutoffs"] if c["role"] == "proof")
    return date.fromisoformat(proof["cutoff_at"][:10]), document["examples"]


def _seen(profile: str, kind: str | None, start: date, end: date) -> list[str]:
    """Kinds and days of a profile's events in [start, end), by hand."""
    rows = EVENTS.filter(pc.equal(EVENTS["profile_id"], profile)).sort_by("at").to_pylist()
    return [
        f"{row['event'].replace('purchase', 'buy') if kind else row['event']} on {row['at'].date()}"
        for row in rows
        if start <= row["at"].date() < end and kind in (None, row["event"])
    ]


@pytest.mark.parametrize(
    ("goal", "kind"),
    [
        ({"any_of": ["buy"], "within": "30d"}, "purchase"),
        ({"none_of": ["buy"], "within": "30d"}, "purchase"),
        ({"none_of": ["anything"], "within": "14d"}, None),
    ],
)
def test_examples_name_the_events_that_decided(goal: dict[str, Any], kind: str | None) -> None:
    cutoff, examples = _examples(goal)
    end = cutoff + timedelta(days=int(goal["within"][:-1]))
    negative = "none_of" in goal
    assert {e["met"] for e in examples} == {True, False}
    for example in examples:
        inside = _seen(example["profile_id"], kind, cutoff, end)
        before = _seen(example["profile_id"], kind, date.min, cutoff)
        assert bool(inside) == (example["met"] != negative)
        if inside:
            assert all(text in example["evidence"] for text in inside[:3])
        elif before:
            assert f"the last before was {before[-1]}" in example["evidence"]
        else:
            assert example["evidence"].endswith("nor before")


@pytest.mark.parametrize(("days", "code"), [(75, "PROPEND-408"), (300, "PROPEND-405")])
def test_check_says_what_would_stop_the_scoring(days: int, code: str) -> None:
    found = propend.check(SHOP, data=EVENTS, as_of=last_day() + timedelta(days=days))
    assert (found.ready, [r["code"] for r in found.document["refusals"]]) == (False, [code])
    assert propend.check(SHOP, data=EVENTS).ready
