"""The definition-time page: what a goal and its eligibility mean on the data, before any training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propend import record
from propend.errors import PropendError
from propend.events import DAY_US, Partition
from propend.model import checks
from propend.preparation import Prepared, Stages
from propend.timeline import day_date
from propend.training import build_plan, gather, outcome_counts

EXAMPLES = 10
SNAPSHOTS_PER_SECOND = 4_000
"""Of a whole run on two cores, for the estimate of its time."""
FIXED_SECONDS = 5.0
LEAK_SNAPSHOTS = 50_000


@dataclass(frozen=True)
class Check:
    """What a definition means.

    Attributes:
        document: sentence, funnel, counts of outcomes with the minimum, base rates per cutoff, example
            profiles with the event that decided each, dropped cutoffs, gaps, leak suspects, warnings, and
            what would stop a run.
    """

    document: dict[str, Any]

    @property
    def ready(self) -> bool:
        """Whether nothing known now would stop a run."""
        return not self.document["refusals"]

    def to_dict(self) -> dict[str, Any]:
        return self.document


def define(prepared: Prepared, stages: Stages) -> Check:
    """Everything that can be said of a definition without training."""
    instance, timeline = prepared.instance, prepared.timeline
    counts = outcome_counts(prepared)
    window = f"between {day_date(timeline.matured[0])} and {day_date(timeline.observation.until_day)}"
    refusals: list[dict[str, Any]] = []
    leaks: list[checks.Leak] = []
    try:
        checks.gate_outcomes(counts, instance.options.minimum, window)
        with stages("look for leaks"):
            leaks = _leak_suspects(prepared)
    except PropendError as refusal:
        refusals.append(refusal.to_dict())
    population = int(prepared.survey.population[:, prepared.survey.cutoffs.index(timeline.now)].sum())
    document = record.timeline_document(prepared)
    snapshots = sum(c["snapshots"] for c in document["cutoffs"])
    notices = [*checks.few_outcomes_notice(counts), *record.data_notices(prepared)] if not refusals else []
    return Check(
        {
            "name": instance.name,
            "sentence": record.sentence_of(prepared),
            "funnel": record.funnel(prepared, timeline.matured),
            "outcomes": asdict(counts) | {"minimum": instance.options.minimum, "window": window},
            "timeline": document,
            "population_now": population,
            "examples": examples(prepared),
            "data": record.data_document(prepared.log.facts, timeline, instance.options.zone),
            "counts": record.counts_document(prepared, population),
            "leaks": [leak.to_dict() for leak in leaks],
            "warnings": [n.to_dict() for n in notices],
            "refusals": refusals,
            "expected_seconds": FIXED_SECONDS + snapshots / SNAPSHOTS_PER_SECOND,
        }
    )


def _leak_suspects(prepared: Prepared) -> list[checks.Leak]:
    plan = build_plan(prepared)
    train = gather(prepared, plan).train
    return checks.find_leaks(train.X, train.label, range(len(plan.features)), plan.features)


# --- example profiles -------------------------------------------------------------------------------------


def examples(prepared: Prepared) -> list[dict[str, Any]]:
    """Up to ten profiles that met the goal and ten that did not, each with the event that decided it.

    They are those with the smallest keys at the proof's cutoff: the same on every call.
    """
    given, cutoff = prepared.survey, prepared.timeline.proof
    column = given.cutoffs.index(cutoff)
    chosen: dict[int, bool] = {}
    for met in (True, False):
        rows = np.flatnonzero(given.labelled[:, column] & (given.met[:, column] == met))
        chosen |= dict.fromkeys(rows[:EXAMPLES].tolist(), met)
    found, base = [], 0
    for part in prepared.log.partitions():
        for position in sorted(p for p in chosen if base <= p < base + part.profiles):
            evidence = _evidence(prepared, part, position - base, cutoff)
            found.append(
                {
                    "profile_id": str(given.profile_ids[position]),
                    "met": chosen[position],
                    "evidence": evidence,
                }
            )
        base += part.profiles
    return sorted(found, key=lambda e: not e["met"])


def _evidence(prepared: Prepared, part: Partition, profile: int, cutoff: int) -> str:
    """The goal's events inside the outcome window, or the last one before it, in words."""
    goal, names = prepared.instance.goal, [s.name for s in prepared.log.request.selectors]
    bits = [names.index(n) for n in goal.group.events if n in names]
    rows = slice(int(part.offsets[profile]), int(part.offsets[profile + 1]))
    at, mask, value = part.at[rows], part.bits[rows], part.value[rows]
    wanted = np.uint64(sum(1 << b for b in bits)) if bits else ~np.uint64(0)
    of_goal = (mask & wanted) != np.uint64(0)
    start, end = (cutoff + goal.lead_days) * DAY_US, (cutoff + goal.reach_days) * DAY_US
    inside = np.flatnonzero(of_goal & (at >= start) & (at < end))
    if len(inside):
        shown = "; ".join(_event_text(at, mask, value, int(i), bits, names) for i in inside[:3])
        more = f" and {len(inside) - 3} more" if len(inside) > 3 else ""
        return f"{shown}{more}"
    before = np.flatnonzero(of_goal & (at < cutoff * DAY_US))
    period = f"from {day_date(cutoff + goal.lead_days)} to {day_date(cutoff + goal.reach_days - 1)}"
    none = f"none of {', '.join(goal.group.events)} {period}"
    if len(before) == 0:
        return f"{none}, nor before"
    return f"{none}; the last before was {_event_text(at, mask, value, int(before[-1]), bits, names)}"


def _event_text(
    at: NDArray[np.int64],
    mask: NDArray[np.uint64],
    value: NDArray[np.float64],
    i: int,
    bits: list[int],
    names: list[str],
) -> str:
    name = next((names[b] for b in bits if int(mask[i]) >> b & 1), "event")
    amount = "" if np.isnan(value[i]) else f" ({value[i]:,.2f})"
    return f"{name} on {day_date(int(at[i] // DAY_US))}{amount}"
