"""The definition-time page: what a goal and its eligibility mean on the data, before any training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propend import record
from propend.errors import PropendError
from propend.events import DAY_US, EventRequest, Partition
from propend.goal import ANYTHING, Goal
from propend.instance import Instance
from propend.language import say, speaking
from propend.model import checks
from propend.model.breaks import break_notices
from propend.model.leaks import Leak, leak_notices
from propend.model.train import useful_columns
from propend.narrative import Given, titled
from propend.narrative.opening import ROLES, people
from propend.notebook import card, line, table
from propend.phrasing import count, percent
from propend.preparation import Prepared, Stages, gate_scoring
from propend.report import Picture
from propend.snapshots.stitching import apart
from propend.snapshots.volumes import weekly_volumes
from propend.suspects import find_suspects
from propend.timeline import day_date
from propend.training import build_plan, gather, outcome_counts

EXAMPLES = 10
SNAPSHOTS_PER_SECOND = 4_000
"""Of a whole run on two cores, for the estimate of its time."""
FIXED_SECONDS = 5.0


@dataclass(frozen=True, repr=False)
class Check:
    """What a definition means.

    Attributes:
        document: sentence, funnel, counts of outcomes with the minimum, base rates per cutoff, example
            profiles with the event that decided each, dropped cutoffs, gaps, leak suspects, warnings, and
            what would stop a run.
        instance: that it is of.
    """

    document: dict[str, Any]
    instance: Instance

    @property
    def ready(self) -> bool:
        """Whether nothing known now would stop a run."""
        return not self.document["refusals"]

    def to_dict(self) -> dict[str, Any]:
        """The document, as ``propend check --json`` prints it."""
        return self.document

    @property
    def charts(self) -> dict[str, Picture]:
        """``funnel``, who is left after each line, and ``base_rates``, the share at past dates; notebooks draw them."""
        with speaking(self.instance.options.language):
            shown, words = people(self._given)["pictures"], self._given.words
        return {p["id"]: Picture(p, words, self.instance.options.language) for p in shown}

    @property
    def _given(self) -> Given:
        run = {key: self.document[key] for key in ("funnel", "timeline")}
        return Given({}, {}, run | {"propensity_type": self.instance.type, "instance": self.instance.document()})

    def __repr__(self) -> str:
        said = "ready" if self.ready else f"refused: {self.document['refusals'][0]['code']}"
        return f"<Check {self.document['name']!r}: {said}>"

    def _repr_html_(self) -> str:
        with speaking(self.instance.options.language):
            return _card(self.document, self._given)


def define(prepared: Prepared, stages: Stages) -> Check:
    """Everything that can be said of a definition without training."""
    instance, timeline = prepared.instance, prepared.timeline
    counts = outcome_counts(prepared)
    window = f"between {day_date(timeline.matured[0])} and {day_date(timeline.observation.until_day)}"
    population = int(prepared.survey.population[:, prepared.survey.cutoffs.index(timeline.now)].sum())
    refusals: list[dict[str, Any]] = []
    leaks: list[Leak] = []
    try:
        checks.gate_outcomes(counts, instance.options.minimum, window)
        with stages("look for leaks"):
            leaks = _leak_suspects(prepared)
        gate_scoring(prepared, population)
    except PropendError as refusal:
        refusals.append(refusal.to_dict())
    document = record.timeline_document(prepared)
    snapshots = sum(c["snapshots"] for c in document["cutoffs"])
    volumes = weekly_volumes(apart(prepared.log), timeline.now)
    notices = [*record.data_notices(prepared), *checks.silent_kind_notices(volumes), *break_notices(volumes)]
    if not refusals:  # what is told of the data may be why it is refused
        notices = [*checks.few_outcomes_notice(counts), *notices, *leak_notices(leaks)]
    return Check(
        {
            "name": instance.name,
            "sentence": record.sentence_of(prepared),
            "funnel": record.funnel(prepared, timeline.matured),
            "outcomes": asdict(counts) | {"minimum": instance.options.minimum, "window": window},
            "timeline": document,
            "time_zone": instance.options.time_zone,
            "population_now": population,
            "examples": examples(prepared),
            "data": record.data_document(prepared.log.facts, timeline, instance.options.zone)
            | record.identities_document(prepared.log),
            "counts": record.counts_document(prepared, population),
            "leaks": [leak.to_dict() for leak in leaks],
            "warnings": [n.to_dict() for n in notices],
            "refusals": refusals,
            "expected_seconds": FIXED_SECONDS + snapshots / SNAPSHOTS_PER_SECOND,
        },
        instance,
    )


def _leak_suspects(prepared: Prepared) -> list[Leak]:
    plan = build_plan(prepared)
    learning = gather(prepared, plan)
    useful, _ = useful_columns(learning.train.X)
    return find_suspects(prepared, plan, learning.train.X, learning.sample.rows, useful.tolist())


# --- in a notebook ----------------------------------------------------------------------------------------


def _card(found: Mapping[str, Any], given: Given) -> str:
    """The definition-time page as a notebook shows it."""
    outcomes, funnel = found["outcomes"], found["funnel"]
    most = max((row["profiles"] for row in funnel), default=1) or 1
    left: list[list[str | float]] = [
        [row["line"], row["profiles"] / most, count(row["profiles"]), count(row["snapshots"])] for row in funnel
    ]
    dates: list[list[str | float]] = [
        [
            given.day(c["cutoff_at"]),
            say(ROLES[c["role"]]),
            c["base_rate"],
            percent(c["base_rate"]),
            count(c["positives"]),
        ]
        for c in found["timeline"]["cutoffs"]
        if c["base_rate"] is not None
    ]
    told = say(
        "{met} profiles met the goal at least once, {unmet} did not; {minimum} of each are the minimum. {now} would be "
        "scored now, in about {seconds} s.",
        met=count(outcomes["met"]), unmet=count(outcomes["unmet"]), minimum=count(outcomes["minimum"]),
        now=count(found["population_now"]), seconds=count(round(found["expected_seconds"])),
    )  # fmt: skip
    warned = [line(f"{titled(n['symbol'])}: {n['message']}", "w") for n in found["warnings"]]
    refused = [line(f"{r['code']} {r['symbol']}: {r['message']} {r['hint']}", "w") for r in found["refusals"]]
    examples = [[e["profile_id"], say("yes") if e["met"] else say("no"), e["evidence"]] for e in found["examples"]]
    return card(
        found["name"], line(found["sentence"], "q"), *refused,
        table([say("Who is left"), "", say("Profiles"), say("Snapshots")], left), line(told),
        table([say("Cutoff"), say("Used for"), say("Share"), "", given.words.did.capitalize()], dates), *warned,
        line(say("Examples"), "s"), table([say("Profile"), given.words.did.capitalize(), say("Because")], examples),
    )  # fmt: skip


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
    positions, log = np.array(sorted(chosen), dtype=np.int64), prepared.log
    evidence = log.visit(partial(_evidence_of, prepared.instance.goal, log.request, log.kinds, cutoff, positions))
    told = zip(positions.tolist(), (text for texts in evidence for text in texts), strict=True)
    found = [{"profile_id": str(given.profile_ids[p]), "met": chosen[p], "evidence": text} for p, text in told]
    return sorted(found, key=lambda e: not e["met"])


def _evidence_of(
    goal: Goal,
    request: EventRequest,
    kinds: tuple[str, ...],
    cutoff: int,
    positions: NDArray[np.int64],
    part: Partition,
) -> list[str]:
    """Of those profiles at ascending positions of the log that are in a partition."""
    names = goal.group.events
    bits = {s.name: b for b, s in enumerate(request.selectors) if s.name in names}
    words = kinds if ANYTHING in names else ()
    own = (positions[part.among(positions)] - part.first_profile).tolist()
    return [_evidence(goal, _goal_events(bits, words, part, p), cutoff) for p in own]


def _evidence(goal: Goal, told: list[tuple[int, str]], cutoff: int) -> str:
    """The goal's events inside the outcome window, or the last one before it, in words."""
    start, end = (cutoff + goal.lead_days) * DAY_US, (cutoff + goal.reach_days) * DAY_US
    inside = [text for at, text in told if start <= at < end]
    if inside:
        more = f" and {len(inside) - 3} more" if len(inside) > 3 else ""
        return f"{'; '.join(inside[:3])}{more}"
    before = [text for at, text in told if at < cutoff * DAY_US]
    period = f"from {day_date(cutoff + goal.lead_days)} to {day_date(cutoff + goal.reach_days - 1)}"
    none = f"none of {', '.join(goal.group.events)} {period}"
    return f"{none}; the last before was {before[-1]}" if before else f"{none}, nor before"


def _goal_events(
    bits: Mapping[str, int], kinds: tuple[str, ...], part: Partition, profile: int
) -> list[tuple[int, str]]:
    """Time and words of each event of one profile that the goal speaks of, in order.

    Args:
        bits: of the goal's events.
        kinds: names of all kinds, where anything meets the goal; else none.
    """
    told, rows = [], slice(int(part.offsets[profile]), int(part.offsets[profile + 1]))
    for at, mask, kind, value in zip(
        part.at[rows].tolist(), part.bits[rows].tolist(), part.kind[rows].tolist(), part.value[rows].tolist(),
        strict=True,
    ):  # fmt: skip
        name = next((n for n, b in bits.items() if mask >> b & 1), kinds[kind] if kinds else "")
        if name:
            amount = "" if math.isnan(value) else f" ({value:,.2f})"
            told.append((at, f"{name} on {day_date(at // DAY_US)}{amount}"))
    return told
