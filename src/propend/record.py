"""What a run says of itself: ``run.json``, its funnel, timeline, data notes and warnings, as plain data."""

from __future__ import annotations

import platform
import re
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from propend.doubts import doubts
from propend.events import EventFacts, EventLog
from propend.language import noted, numeral, say, say_many
from propend.model.checks import Notice, first_of, no_signal_notice
from propend.model.evaluate import CHANCE_LIMIT
from propend.model.leaks import Leak, leak_notices
from propend.model.level import LevelForecast
from propend.model.train import Choices, Columns, TrainingSet
from propend.preparation import Prepared
from propend.question import spoken_sentence
from propend.snapshots.oddities import oddities
from propend.snapshots.stitching import StitchedLog, apart
from propend.snapshots.volumes import Months
from propend.timeline import Timeline, day_date, days_astray, instant_text
from propend.version import __version__

GAP_MIN_EVENTS = 20
"""A silent day counts as a tracking gap where the same weekday usually has at least so many events."""
GAP_FEW_EVENTS, GAP_RUN_EVENTS = 3, 60
"""The same of a shop so small that no weekday has that many: of each day, and of all silent days in a row."""
MANY_SET_ASIDE = 0.01
PACKAGES = ("duckdb", "numba", "numpy", "pyarrow", "scikit-learn", "scipy")
ENGINE_PACKAGES = ("xgboost-cpu", "xgboost")
REASONS = {
    "no_profile": noted("without a profile id"),
    "no_time": noted("without a time"),
    "unparsable_time": noted("with a time that cannot be read"),
    "before_1970": noted("dated before 1970"),
    "in_the_future": noted("dated in the future"),
    "marketer_made": noted("of what was done to profiles, such as messages sent to them"),
    "duplicate": noted("with an id seen before"),
}
LINKS_ASIDE = {
    "incomplete": noted("without two different ids"),
    "no_time": REASONS["no_time"],
    "before_1970": REASONS["before_1970"],
    "in_the_future": REASONS["in_the_future"],
    "shared_device": noted("of ids that too many share"),
    "too_large": noted("to persons with too many ids"),
}
RULES = {"recency": noted("recency"), "frequency": noted("frequency"), "rfm_logistic": noted("rfm logistic")}


def instant(day: int, zone: ZoneInfo) -> str:
    """The midnight that begins a day as ISO 8601 in UTC."""
    return instant_text(day, zone)


def local_text(at: int, zone: ZoneInfo) -> str:
    """Local microseconds as ISO 8601 in UTC."""
    wall = datetime.fromtimestamp(at / 1e6, UTC).replace(tzinfo=zone)
    return wall.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


# --- the funnel and the timeline ------------------------------------------------------------------------


def funnel(prepared: Prepared, cutoffs: Sequence[int]) -> list[dict[str, Any]]:
    """Profiles and snapshots left after each line, at some of the surveyed cutoffs."""
    given = prepared.survey
    columns = [given.cutoffs.index(c) for c in cutoffs]
    left = given.standing[:, columns].copy()
    rows = []
    for j, line in enumerate(given.program.lines):
        if line.role == "goal":
            continue
        holds = given.holds(j)[:, columns]
        left &= ~holds if line.role == "gap" else holds
        rows.append(
            {
                "line": line.text,
                "origin": line.origin,
                "role": line.role,
                "profiles": given.count(left),
                "snapshots": int(left.sum()),
            }
        )
    return rows


def timeline_document(prepared: Prepared) -> dict[str, Any]:
    """Cutoffs with their roles, snapshots and base rates; windows; what was dropped and why."""
    timeline, given, zone = prepared.timeline, prepared.survey, prepared.instance.options.zone
    windows, observation = timeline.windows, timeline.observation
    cutoffs = []
    for day in timeline.matured:
        column = given.cutoffs.index(day)
        labelled = given.labelled[:, column]
        positives = int((labelled & given.met[:, column]).sum())
        cutoffs.append(
            {
                "cutoff_at": instant(day, zone),
                "role": "proof" if day == timeline.proof else "training",
                "snapshots": int(labelled.sum()),
                "positives": positives,
                "base_rate": positives / max(int(labelled.sum()), 1),
            }
        )
    population = given.population[:, given.cutoffs.index(timeline.now)]
    scoring = {
        "cutoff_at": instant(timeline.now, zone),
        "role": "scoring",
        "snapshots": int(population.sum()),
    }
    return {
        "now": instant(timeline.now, zone),
        "proof_kind": timeline.proof_kind,
        "outcome_days": windows.outcome_days,
        "lead_days": windows.lead_days,
        "settle_days": windows.settle_days,
        "lookback_days": timeline.lookback_days,
        "history_days": observation.history_days,
        "history_needed_days": windows.history_needed_days,
        "cutoffs": [*cutoffs, scoring | {"positives": None, "base_rate": None}],
        "dropped": [{"cutoff_at": instant(d, zone), "reason": r} for d, r in timeline.dropped],
    }


def training_facts(
    prepared: Prepared,
    choices: Choices,
    level: LevelForecast,
    everything: TrainingSet,
    columns: Columns,
) -> dict[str, Any]:
    """What a saved model says of how it came about."""
    trees, logistic, simple = choices.weights
    members: list[dict[str, Any]] = [
        {"name": say("boosted trees"), "weight": trees, "rounds": choices.rounds},
        {"name": say("logistic regression"), "weight": logistic, "strength": choices.strengths[0]},
        {"name": say("recency-frequency-money regression"), "weight": simple, "strength": choices.strengths[1]},
    ]
    return {
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "data_folder": str(prepared.inputs.folder.absolute()),
        "members": [m for m in members if m["weight"] > 0],
        "features": len(columns.used),
        "training_snapshots": len(everything),
        "training_positives": int(everything.label.sum()),
        "out_of_fold_log_loss": choices.losses,
        "level": asdict(level),
        "timeline": timeline_document(prepared),
        "funnel": funnel(prepared, prepared.timeline.matured),
    }


# --- the data --------------------------------------------------------------------------------------------


def data_document(facts: EventFacts, timeline: Timeline, zone: ZoneInfo) -> dict[str, Any]:
    """Sources, columns, kinds, months and tracking gaps."""
    first = facts.sources[0] if facts.sources else None
    return {
        "sources": [
            {"path": s.path, "format": s.format, "rows": s.rows}
            | ({"xdm": asdict(s.xdm)} if s.xdm else {})
            | ({"mirror": asdict(s.mirror)} if s.mirror else {})
            for s in facts.sources
        ],
        "columns": dict(first.columns) if first else {},
        "guessed": sorted({role for s in facts.sources for role in s.guessed}),
        "reasons": {role: reason for s in facts.sources for role, reason in s.reasons.items()},
        "first_event_at": local_text(facts.first_at, zone),
        "last_event_at": local_text(facts.last_at, zone),
        "observed_until": instant(timeline.observation.until_day, zone),
        "profiles": facts.profiles,
        "kinds": [{"kind": k, "events": e, "profiles": p} for k, e, p in facts.kinds[:50]],
        "events_per_month": events_per_month(facts),
        "gaps": tracking_gaps(facts),
    }


def identities_document(log: EventLog) -> dict[str, Any]:
    """``identities``: what became of links, and how much larger they make what is looked at; nothing without them."""
    found = log.facts.identities
    if found is None:
        return {}
    swelling = log.swelling if isinstance(log, StitchedLog) else None
    grown = {} if swelling is None else {"profiles": swelling.profiles, "events_of_profiles": swelling.copies}
    return {"identities": asdict(found) | grown}


def identities_text(found: dict[str, Any]) -> str:
    """What became of links between ids, in a sentence in plain English."""
    aside = ", ".join(f"{n:,} {reason.replace('_', ' ')}" for reason, n in found["set_aside"].items() if n)
    return (
        f"{found['ids']:,} ids are {found['persons']:,} persons of at most {found['largest']:,} ids, "
        f"by {found['pairs']:,} links" + (f"; left out: {aside}" if aside else "") + "."
    )


def events_per_month(facts: EventFacts) -> list[dict[str, Any]]:
    """``month`` and ``events`` of each month that has some."""
    months: dict[str, int] = {}
    for day, events in zip(facts.days.tolist(), facts.events_per_day.tolist(), strict=True):
        month = f"{day_date(day):%Y-%m}"
        months[month] = months.get(month, 0) + events
    return [{"month": m, "events": n} for m, n in months.items()]


def events_by_kind(volumes: Months, others: str) -> list[dict[str, Any]]:
    """``month``, ``kind`` and ``events`` of every month, also of those without any, kind by kind.

    Args:
        others: what all other kinds together are called; they are left out where there are none.
    """
    months = [str(np.datetime64(volumes.first + i, "M")) for i in range(volumes.events.shape[1])]
    return [
        {"month": month, "kind": kind, "events": n}
        for kind, events in zip((*volumes.kinds, others), volumes.events.tolist(), strict=True)
        if any(events)
        for month, n in zip(months, events, strict=True)
    ]


def tracking_gaps(facts: EventFacts) -> list[dict[str, Any]]:
    """Runs of days without any event on which there usually are many; days that are usually silent do not part them.

    Where no day of the week has many, of a small shop, those are meant that together usually have.

    Returns:
        ``from`` and ``to`` (the first day after) of each, and how many of its days usually have many events.
    """
    early, late = days_astray(facts.days, facts.events_per_day)
    days, events = (x[early : len(x) - late] for x in (facts.days, facts.events_per_day))
    first, last = int(days[0]), int(days[-1])
    counts = np.zeros(last - first + 1, dtype=np.int64)
    counts[days - first] = events
    weekday = (np.arange(first, last + 1) + 3) % 7
    usual = np.array([np.median(counts[weekday == d]) if (weekday == d).any() else 0 for d in range(7)])
    small = usual.max() < GAP_MIN_EVENTS
    missed = np.flatnonzero((counts == 0) & (usual[weekday] >= (GAP_FEW_EVENTS if small else GAP_MIN_EVENTS)))
    if not len(missed):
        return []
    active = np.cumsum(counts > 0)  # two missed days belong together where no day between them has events
    runs = np.split(missed, np.flatnonzero(np.diff(active[missed])) + 1)
    if small:
        runs = [r for r in runs if usual[weekday[r]].sum() >= GAP_RUN_EVENTS]
    return [{"from": f"{day_date(first + r[0])}", "to": f"{day_date(first + r[-1] + 1)}", "days": len(r)} for r in runs]


def gaps_text(gaps: Sequence[dict[str, Any]], most: int = 3) -> str:
    """The longest gaps by their first and last days, and how many more there are."""
    shown = []
    for gap in sorted(gaps, key=lambda g: -g["days"]):
        last = date.fromisoformat(gap["to"]) - timedelta(days=1)
        shown.append(gap["from"] if gap["days"] == 1 else say("{first} to {last}", first=gap["from"], last=last))
    return first_of(shown, most)


def data_notices(prepared: Prepared) -> list[Notice]:
    """Warnings about the data: rows set aside, gaps, attributes left out, a partial last day."""
    facts = prepared.log.facts
    found = oddities(apart(prepared.log))
    notices = doubts(facts, found) + _rows_aside(facts) + _links_aside(facts) + _gap_notices(tracking_gaps(facts))
    if facts.attributes_without_time:
        names = ", ".join(facts.attributes_without_time)
        message = say("attributes without a time from which they were true are not used: {names}.", names=names)
        hint = say("name their `effective` column, or say `constant: true` if they never change.")
        notices.append(Notice("PROPEND-304", "ATTRIBUTES_WITHOUT_TIME", message, hint))
    if facts.exact_duplicates:
        message = say_many(
            "{n} row is an exact copy of another and was counted as an event.",
            "{n} rows are exact copies of another and were counted as events.",
            facts.exact_duplicates,
        )
        setting = "`columns: {id: ...}`"
        hint = say("name the column of the event's id ({setting}) so that each counts once.", setting=setting)
        notices.append(Notice("PROPEND-310", "EXACT_DUPLICATES", message, hint))
    if facts.unparsable_values:
        message = say_many(
            "{n} event has a value that is not a number; it was left empty.",
            "{n} events have a value that is not a number; it was left empty.",
            facts.unparsable_values,
        )
        notices.append(Notice("PROPEND-311", "VALUES_NOT_NUMBERS", message, say("mend the column, or map another.")))
    if facts.short_rows:
        message = say_many(
            "{n} row ends before the last column; what it lacks was read as empty.",
            "{n} rows end before the last column; what they lack was read as empty.",
            facts.short_rows,
        )
        hint = say("export the file again if it broke off there.")
        notices.append(Notice("PROPEND-312", "ROWS_TOO_SHORT", message, hint))
    left_out = sum(source.left_out for source in facts.sources)
    if left_out:
        message = say_many(
            "{n} file of days before those that are asked for (`since`) was not read.",
            "{n} files of days before those that are asked for (`since`) were not read.",
            left_out,
        )
        notices.append(Notice("PROPEND-340", "PARTITIONS_LEFT_OUT", message, ""))
    return notices + _of_xdm(facts) + _left_out(prepared) + _of_a_share(prepared) + _last_day(facts, prepared.timeline)


def _of_xdm(facts: EventFacts) -> list[Notice]:
    """Values in several currencies, and rows that are no behaviour."""
    notices = []
    currencies: dict[str, int] = {}
    made: dict[str, int] = {}
    for xdm in (s.xdm for s in facts.sources if s.xdm is not None):
        currencies = {c: currencies.get(c, 0) + xdm.currencies.get(c, 0) for c in (*currencies, *xdm.currencies)}
        made = {k: made.get(k, 0) + xdm.made.get(k, 0) for k in (*made, *xdm.made)}
    if len(currencies) > 1:
        message = say(
            "values are in several currencies, and are added as if they were one: {counts}.", counts=_counts(currencies)
        )
        hint = say("read one currency only, or convert the values in a query.")
        notices.append(Notice("PROPEND-331", "CURRENCIES_MIXED", message, hint))
    if made:
        message = say(
            "events that were done to profiles are no behaviour and were left out: {counts}.", counts=_counts(made)
        )
        hint = say(
            "to use them all the same, name the column of the kind ({setting}).",
            setting="`columns: {event: eventType}`",
        )
        notices.append(Notice("PROPEND-332", "MARKETER_MADE", message, hint))
    return notices


def _counts(named: dict[str, int]) -> str:
    """Names with how many there are of each, most first."""
    ranked = sorted(named.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name} {numeral(f'{n:,}')}" for name, n in ranked)


def _left_out(prepared: Prepared) -> list[Notice]:
    """Who was not looked at, or not scored, for their own sake."""
    notices = []
    forgotten = prepared.log.facts.set_aside.get("forgotten", 0)
    if forgotten:
        message = say_many(
            "{n} row of people who asked to be forgotten was left out.",
            "{n} rows of people who asked to be forgotten were left out.",
            forgotten,
        )
        notices.append(Notice("PROPEND-317", "FORGOTTEN_LEFT_OUT", message, ""))
    without = prepared.survey.without_consent(prepared.timeline.now)
    if without:
        message = say_many(
            "{n} profile is not scored: it has not given consent.",
            "{n} profiles are not scored: they have not given consent.",
            without,
            n=numeral(f"{without:,}"),
        )
        notices.append(Notice("PROPEND-318", "WITHOUT_CONSENT", message, ""))
    return notices


def _of_a_share(prepared: Prepared) -> list[Notice]:
    """Very many profiles are all scored, and not all learnt from."""
    surveyed, profiles = prepared.survey.everyone, prepared.log.facts.profiles
    if prepared.survey.share == 1.0:
        return []
    message = say(
        "{n} of {all} profiles, picked by chance, are learnt from; snapshots and the funnel are counted of them. "
        "All are scored.",
        n=numeral(f"{surveyed:,}"),
        all=numeral(f"{profiles:,}"),
    )
    return [Notice("PROPEND-316", "MANY_PROFILES", message, "")]


def _rows_aside(facts: EventFacts) -> list[Notice]:
    aside = {k: n for k, n in facts.set_aside.items() if k in REASONS and k != "marketer_made" and n}
    if sum(aside.values()) <= MANY_SET_ASIDE * max(facts.read, 1):
        return []
    message = say(
        "{n} of {all} rows were set aside: {reasons}.",
        n=numeral(f"{sum(aside.values()):,}"),
        all=numeral(f"{facts.read:,}"),
        reasons=", ".join(f"{numeral(f'{n:,}')} {say(REASONS[k])}" for k, n in aside.items()),
    )
    return [Notice("PROPEND-305", "ROWS_SET_ASIDE", message, say("mend them in the source if they matter."))]


def _links_aside(facts: EventFacts) -> list[Notice]:
    if facts.identities is None:
        return []
    aside = {k: n for k, n in facts.identities.set_aside.items() if k in LINKS_ASIDE and n}
    if sum(aside.values()) <= MANY_SET_ASIDE * max(facts.identities.pairs, 1):
        return []
    message = say(
        "{n} links between ids were left out, beside {all} different pairs: {reasons}.",
        n=numeral(f"{sum(aside.values()):,}"),
        all=numeral(f"{facts.identities.pairs:,}"),
        reasons=", ".join(f"{numeral(f'{n:,}')} {say(LINKS_ASIDE[k])}" for k, n in aside.items()),
    )
    setting = "`data.identities`"
    hint = say("mend them in the source, or look at `most` and `shared` of {setting}.", setting=setting)
    return [Notice("PROPEND-337", "LINKS_LEFT_OUT", message, hint)]


def _gap_notices(gaps: Sequence[dict[str, Any]]) -> list[Notice]:
    if not gaps:
        return []
    days = sum(g["days"] for g in gaps)
    message = say_many(
        "{n} day has no events at all where there usually are many: {gaps}.",
        "{n} days have no events at all where there usually are many: {gaps}.",
        days,
        n=days,
        gaps=gaps_text(gaps),
    )
    hint = say(
        "if tracking failed then, past behaviour looks rarer than it was; days on which you were closed do no harm."
    )
    return [Notice("PROPEND-303", "TRACKING_GAP", message, hint)]


def _last_day(facts: EventFacts, timeline: Timeline) -> list[Notice]:
    if int(facts.days[-1]) < timeline.observation.until_day or facts.set_aside.get("after_as_of", 0):
        return []
    day = day_date(int(facts.days[-1]))
    message = say("the last day, {day}, looks unfinished and ends the observation.", day=day)
    return [Notice("PROPEND-302", "LAST_DAY_PARTIAL", message, say("its events are left out; a later run sees them."))]


def proof_notices(timeline: Timeline, evaluation: dict[str, Any], leaks: Sequence[Leak]) -> list[Notice]:
    """Warnings about the proof: same period, no better than a simple rule, suspects of leaking."""
    notices = []
    if timeline.proof_kind == "same-period":
        windows = timeline.windows
        needed = windows.base_days + 2 * windows.reach_days + windows.settle_days
        message = say(
            "history is too short for a test on a later period ({days} days; {needed} are needed), so a third of the "
            "profiles was held out of the same period instead.",
            days=timeline.observation.history_days,
            needed=needed,
        )
        hint = say("figures from the same period flatter; add history or shorten the window.")
        notices.append(Notice("PROPEND-301", "SAME_PERIOD_PROOF", message, hint))
    notices += no_signal_notice(evaluation, CHANCE_LIMIT)
    weaker = evaluation["verdict"]["does_not_beat"]
    if weaker and evaluation["verdict"]["better_than_chance"]:
        names = ", ".join(say(RULES.get(n, n.replace("_", " "))) for n in weaker)
        message = say("the model does not clearly beat the simple rule: {names}.", names=names)
        hint = say("the scores are as good as that rule; further kinds of events would help most.")
        notices.append(Notice("PROPEND-308", "SIMPLE_RULE_AS_GOOD", message, hint))
    return notices + leak_notices(leaks)


# --- the run ---------------------------------------------------------------------------------------------


def versions() -> dict[str, str]:
    """Versions of what the figures depend on."""
    found = {"propend": __version__, "python": platform.python_version(), "platform": sys.platform}
    for name in (*PACKAGES, *ENGINE_PACKAGES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def counts_document(prepared: Prepared, population: int, training: dict[str, Any] | None = None) -> dict[str, Any]:
    """Rows read and set aside, profiles, snapshots and positives.

    Args:
        training: facts of the saved model, where this run did not train.
    """
    facts = prepared.log.facts
    document = training["timeline"] if training is not None else timeline_document(prepared)
    cutoffs = [c for c in document["cutoffs"] if c["role"] != "scoring"]
    return {
        "events_read": facts.read,
        "events_used": facts.used,
        "set_aside": dict(facts.set_aside),
        "profiles": facts.profiles,
        "snapshots": sum(c["snapshots"] for c in cutoffs),
        "positives": sum(c["positives"] for c in cutoffs),
        "population": population,
    } | _without_consent(prepared)


def _without_consent(prepared: Prepared) -> dict[str, int]:
    """How many are not scored for want of consent, where it is asked for."""
    if prepared.instance.data.consent is None:
        return {}
    return {"without_consent": prepared.survey.without_consent(prepared.timeline.now)}


def sentence_of(prepared: Prepared) -> str:
    """The goal and eligibility in the language of the context."""
    return spoken_sentence(prepared.instance.goal, prepared.instance.eligible)


def end_of_window(timeline: Timeline, zone: ZoneInfo) -> str:
    """When scores made now expire: the end of their outcome window."""
    return instant(timeline.now + timeline.windows.reach_days, zone)


def peak_memory_bytes() -> int:
    """The most memory this process has held; not what the one that started it held before, where Linux tells."""
    with suppress(OSError):
        held = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
        if held:
            return int(held.group(1)) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
