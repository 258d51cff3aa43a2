"""After the window: what became of those who were scored, beside what was expected of them and promised.

A run is judged once its window, with the time late events are waited for, is fully observed. Outcomes come from the
code that makes labels for training, at the run's own cutoff. Who was scored is taken from the run, not from the
data of today: a campaign went to those people, whatever late data say of them since.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from propend.errors import DifferentQuestionsError, InstanceNotFoundError, NoOutcomeKnownError, PropendError
from propend.events import DAY_US, EventLog
from propend.instance import Instance
from propend.language import noted, numeral, say, say_many, speaking
from propend.model import checks
from propend.model.evaluate import NOTABLE_LEVEL_ERROR, Z_95, proof_document, wilson
from propend.model.metrics import METRICS
from propend.persons import Persons
from propend.phrasing import Words, count, percent, words_of
from propend.preparation import Inputs, observation_of, program_of, windows_of
from propend.question import spoken_sentence
from propend.record import instant
from propend.scoring import BUCKETS, histogram
from propend.snapshots.build import Survey, survey
from propend.snapshots.levels import CUTOFFS_AT_ONCE
from propend.snapshots.program import Program
from propend.snapshots.stitching import apart, standing_at
from propend.store import runs as store
from propend.timeline import Observation, Windows, day_date, day_number

Plain = dict[str, Any]
Float = NDArray[np.float64]

NOTABLE_AUC = 0.02
"""A ranking that differs from the promised one by less is as promised, however surely it differs."""
MANY_ABSENT = 0.01
DRIFT_CODES = ("PROPEND-307", "PROPEND-309", "PROPEND-314")
"""Notices by which a run said that inputs or scores had moved."""
UNMET, MET, MET_EARLY, GONE, ABSENT = range(5)
"""What became of a scored profile; only the first two are outcomes."""
AS_EXPECTED, WORSE, NOT_KNOWN = noted("as expected"), noted("worse than promised"), noted("not known")
"""Verdicts that are asked for; documents have them in English, sentences and pages in the language of the context."""


# --- which runs -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PastRun:
    """A finished run with scores.

    Attributes:
        folder: where it is.
        record: its ``run.json``.
        said: what it expected of all and of each bucket, and what its proof promised.
        instance: the question it asked.
        day: number of the day at whose midnight it stood.
    """

    folder: Path
    record: Plain
    said: Plain
    instance: Instance
    day: int

    @classmethod
    def load(cls, entry: store.RunEntry) -> PastRun:
        """A run as found on disk.

        Raises:
            InstanceNotFoundError: its documents are not those of a run.
        """
        evaluation, insights = (store.read_json(entry.folder / f"{n}.json") for n in ("evaluation", "insights"))
        try:
            instance = Instance.load(entry.document["instance"])
            stood = datetime.fromisoformat(entry.document["scored_at"]).astimezone(instance.options.zone)
            said = said_of(entry, evaluation, insights)
        except (KeyError, TypeError, ValueError, AttributeError, PropendError) as error:
            raise InstanceNotFoundError(
                f"What is in {entry.folder.name!r} does not describe a run: {type(error).__name__}, {error!s:.200}.",
                "run the instance again, or leave this folder out.",
                path=str(entry.folder),
            ) from None
        return cls(entry.folder, entry.document, said, instance, day_number(stood.date()))


def said_of(entry: store.RunEntry, evaluation: Plain, insights: Plain) -> Plain:
    """What a run expected of all and of each bucket, and what its proof promised, from its documents."""
    record = entry.document
    return {
        "run_id": record["run_id"],
        "folder": str(entry.folder),
        "scored_at": record["scored_at"],
        "expires_at": record["expires_at"],
        "population": insights["population"],
        "expected_rate": insights["mean_probability"],
        "buckets": [
            {"bucket": b["bucket"], "population": b["n"], "expected_rate": b["expected_rate"] if b["n"] else None}
            for b in insights["buckets"]
        ],
        "promised": {
            key: evaluation[key] for key in ("proof", "cutoff_at", "expected_rate", "realised_rate", *METRICS)
        },
        "score_stability": insights.get("score_stability"),
        "drift": [n["message"] for n in record["warnings"] if n["code"] in DRIFT_CODES],
    }


def question_of(instance: Instance) -> Plain:
    """What decides population and label, as plain data: two runs with the same may be held against each other."""
    document = instance.document()
    named = {*instance.goal.group.events, *instance.exits, *instance.exclude}
    named |= set(instance.eligible.group.events) if instance.eligible else set()
    return {
        "goal": document["goal"],
        "eligible": document.get("eligible"),
        "exits": sorted(instance.exits),
        "exclude": sorted(instance.exclude),
        "events": {name: event for name, event in document.get("events", {}).items() if name in named},
        "time_zone": instance.options.time_zone,
    }


def find_runs(folders: Sequence[Path]) -> tuple[list[PastRun], list[Plain]]:
    """Runs in or under folders that ask what the newest of them asks, by cutoff; and those left out, with reasons.

    Raises:
        InstanceNotFoundError: there is none, or one is damaged.
        DifferentQuestionsError: they are of instances with different names.
    """
    entries = {e.folder.resolve(): e for folder in folders for e in store.list_runs(folder)}
    runs = [PastRun.load(e) for e in entries.values() if e.document.get("status") == "succeeded"]
    if not runs:
        shown = ", ".join(repr(str(f)) for f in folders)
        raise InstanceNotFoundError(
            f"There is no finished run with scores in {shown}.", "`propend run INSTANCE --out DIR` makes one."
        )
    runs.sort(key=lambda r: (r.day, str(r.record.get("started_at"))))
    names = list(dict.fromkeys(r.instance.name for r in runs))
    if len(names) > 1:
        listed = "; ".join(f"{n!r} ({_runs(sum(r.instance.name == n for r in runs))})" for n in names)
        raise DifferentQuestionsError(
            f"The {len(runs)} runs are of {len(names)} instances: {listed}.",
            "name the folders of one instance's runs.",
            names=names,
        )
    newest = question_of(runs[-1].instance)
    other = [r for r in runs if question_of(r.instance) != newest]
    with speaking(runs[-1].instance.options.language):
        reason = say("asks another question than the newest run: its goal, eligibility or events were edited since")
    kept = [r for r in runs if question_of(r.instance) == newest]
    return kept, [{"run_id": r.record["run_id"], "folder": str(r.folder), "reason": reason} for r in other]


def _runs(n: int) -> str:
    return f"{n} run" if n == 1 else f"{n} runs"


# --- what became of them ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What the data of today can tell.

    Attributes:
        log: the events.
        program: the lines of the question.
        windows, observation: how long outcomes take, and until when there are data.
    """

    log: EventLog
    program: Program
    windows: Windows
    observation: Observation

    @classmethod
    def of(cls, inputs: Inputs, log: EventLog) -> Seen:
        """What a reading of the data can tell of an instance's question."""
        instance = inputs.instance
        observation = observation_of(inputs, log)
        return cls(log, program_of(inputs, log, observation.now_day), windows_of(instance), observation)

    def standing_at(self, days: Sequence[int]) -> Seen:
        """The same with ids joined as was known at some cutoffs (day numbers)."""
        return replace(self, log=standing_at(self.log, days))

    def known_from(self, day: int) -> int:
        """The first day at which the outcome of a cutoff is known."""
        return day + self.windows.reach_days + self.windows.settle_days

    def matured(self, day: int) -> bool:
        """Whether the outcome of a cutoff is known."""
        return self.known_from(day) <= self.observation.until_day


@dataclass(frozen=True)
class Outcomes:
    """The scores of a run beside what happened.

    Attributes:
        probability: float64[N].
        score: float32[N].
        bucket: int64[N], positions in ``BUCKETS``.
        outcome: uint8[N], one of the codes above.
        eligible: bool[N], whether the data of today say so, too.
        not_scored: profiles that by the data of today were eligible, and have no score.
    """

    probability: Float
    score: NDArray[np.float32]
    bucket: NDArray[np.int64]
    outcome: NDArray[np.uint8]
    eligible: NDArray[np.bool_]
    not_scored: int


def outcomes_of(seen: Seen, runs: Sequence[PastRun]) -> Iterator[tuple[PastRun, Outcomes]]:
    """Runs with what happened; a few cutoffs in memory at a time."""
    days = sorted({r.day for r in runs})
    for start in range(0, len(days), CUTOFFS_AT_ONCE):
        block = days[start : start + CUTOFFS_AT_ONCE]
        given = survey(standing_at(seen.log, block), seen.program, block)
        for run in (r for r in runs if r.day in block):
            yield run, _outcomes(run, given, apart(seen.log).persons)


def _outcomes(run: PastRun, given: Survey, persons: Persons | None) -> Outcomes:
    scores = store.read_scores(run.folder, columns=["profile_id", "probability", "score", "bucket"])
    column = given.cutoffs.index(run.day)
    known, asked = given.there(column), scores.column("profile_id")
    if persons is not None:  # links that arrived late may call a person otherwise than the run did
        asked = pa.array(persons.called_at(asked.to_pylist(), run.day * DAY_US), pa.string())
    place = pc.fill_null(pc.index_in(asked, value_set=pa.array(given.profile_ids[known], pa.string())), -1).to_numpy()
    place = np.where(place >= 0, known[place], -1)
    codes = np.where(given.met[:, column], MET, UNMET).astype(np.uint8)
    codes[given.met_early[:, column]] = MET_EARLY
    codes[given.gone[:, column]] = GONE
    population, there = given.population[:, column], place >= 0
    eligible = there & population[place]
    return Outcomes(
        probability=scores.column("probability").to_numpy(),
        score=scores.column("score").to_numpy(),
        bucket=pc.index_in(scores.column("bucket"), value_set=pa.array(BUCKETS)).to_numpy(),
        outcome=np.where(there, codes[place], ABSENT).astype(np.uint8),
        eligible=eligible,
        not_scored=int(population.sum()) - len(np.unique(place[eligible])),
    )


def judged(run: PastRun, found: Outcomes) -> Plain:
    """One matured run: counts, realised against expected rates, figures beside those promised, and the verdict."""
    known = found.outcome <= MET
    label, probability = (found.outcome[known] == MET).astype(np.uint8), found.probability[known]
    said = run.said
    document = said | {
        "known": int(known.sum()),
        "positives": int(label.sum()),
        "met_early": int((found.outcome == MET_EARLY).sum()),
        "gone": int((found.outcome == GONE).sum()),
        "absent": int((found.outcome == ABSENT).sum()),
        "not_eligible_now": int((~found.eligible & (found.outcome != ABSENT)).sum()),
        "not_scored_then": found.not_scored,
        "buckets": [_bucket(b, found, known) for b in said["buckets"]],
        "score_histogram": _histogram(found, known, run.instance.options.buckets),
        **_rate(label, probability),
    }
    if not len(label):
        return document | _unjudged()
    figures = proof_document(
        label, probability, {}, proof="aftermath", cutoff_at=said["scored_at"], outcome_ends_at=said["expires_at"]
    )
    ranking = ranking_verdict(said["promised"]["auc"], figures["auc"])
    return document | {
        **{name: figures[name] for name in METRICS},
        "calibration": figures["calibration"],
        "deciles": figures["deciles"],
        "verdict": {
            "level": document["level"],
            "ranking": ranking,
            "sentence": _sentence(run, document, figures["auc"], ranking),
        },
    }


def _unjudged() -> Plain:
    sentence = say("Of none of those scored the outcome is in these data.")
    verdict = {"level": NOT_KNOWN, "ranking": NOT_KNOWN, "sentence": sentence}
    return {**dict.fromkeys(METRICS), "calibration": [], "deciles": [], "verdict": verdict}


def _rate(label: NDArray[np.uint8], probability: Float) -> Plain:
    """Expected and realised rate of those with a known outcome; the interval is Wilson's."""
    if not len(label):
        return {"realised_rate": None, "level": NOT_KNOWN}
    expected, realised = float(probability.mean()), float(label.mean())
    low, high = wilson(float(label.sum()), len(label))
    return {
        "expected_rate": expected,
        "realised_rate": {"value": realised, "low": low, "high": high},
        "level": level_verdict(expected, realised, low, high),
    }


def level_verdict(expected: float, realised: float, low: float, high: float) -> str:
    """Off only where chance does not explain it, and by a tenth or more, as the proof says it (``model.evaluate``)."""
    if low <= expected <= high or abs(expected - realised) < NOTABLE_LEVEL_ERROR * realised:
        return AS_EXPECTED
    return noted("more than expected") if realised > expected else noted("fewer than expected")


def _bucket(said: Plain, found: Outcomes, known: NDArray[np.bool_]) -> Plain:
    inside = known & (found.bucket == BUCKETS.index(said["bucket"]))
    label = (found.outcome[inside] == MET).astype(np.uint8)
    return said | {"known": len(label), "positives": int(label.sum())} | _rate(label, found.probability[inside])


def _histogram(found: Outcomes, known: NDArray[np.bool_], edges: tuple[float, float]) -> list[Plain]:
    """Those with a known outcome by score, and how many of each range met the goal."""
    met = histogram(found.score[found.outcome == MET], edges)
    return [row | {"positives": hit["n"]} for row, hit in zip(histogram(found.score[known], edges), met, strict=True)]


def ranking_verdict(promised: Plain, came: Plain) -> str:
    """Whether the AUC differs from the proof's by more than both intervals explain, and by an amount that matters.

    The same profiles are often in both, so the two vary together: the test errs towards "as promised".
    """
    if None in (*promised.values(), *came.values()):
        return NOT_KNOWN
    spreads = [(f["high"] - f["low"]) / (2 * Z_95) for f in (promised, came)]
    change = came["value"] - promised["value"]
    if abs(change) < NOTABLE_AUC or abs(change) <= Z_95 * math.hypot(*spreads):
        return noted("as promised")
    return WORSE if change < 0 else noted("better than promised")


def _sentence(run: PastRun, rate: Plain, came: Plain, ranking: str) -> str:
    realised, words, promised = rate["realised_rate"], words_of(run.instance.type), run.said["promised"]
    level = say(
        "Level: {expected} were expected to {do}, {realised} {did} (95 % interval {low} to {high}): {level}.",
        expected=percent(rate["expected_rate"]),
        realised=percent(realised["value"]),
        low=percent(realised["low"]),
        high=percent(realised["high"]),
        level=say(rate["level"]),
        **vars(words),
    )
    if ranking == NOT_KNOWN:
        return level + " " + say("Ranking: cannot be judged.")
    then, now = (round(100 * f["value"]) for f in (promised["auc"], came))
    ranked = say(
        "Ranking: right {now} times in 100, {then} were promised: {ranking}.", now=now, then=then, ranking=say(ranking)
    )
    if promised["proof"] == "out-of-time" or ranking != WORSE:
        return f"{level} {ranked}"
    flattered = say("The promise came from the period that was learnt from, and such figures flatter.")
    return f"{level} {ranked} {flattered}"


# --- all runs ------------------------------------------------------------------------------------------------


def look_back(seen: Seen, runs: Sequence[PastRun]) -> list[Plain]:
    """Every run by cutoff: judged where its window has matured, else what it expects and from when it can be judged."""
    zone = runs[-1].instance.options.zone
    done = {
        run.folder: judged(run, found) for run, found in outcomes_of(seen, [r for r in runs if seen.matured(r.day)])
    }
    documents: list[Plain] = []
    before: Float | None = None
    for run in runs:
        now = store.read_scores(run.folder, columns=["probability"]).column("probability").to_numpy()
        documents.append(
            (done.get(run.folder) or run.said)
            | {
                "matured": run.folder in done,
                "matures_at": instant(seen.known_from(run.day), zone),
                "score_drift": None if before is None else checks.score_drift(before, now),
            }
        )
        before = now
    return documents


def document_of(seen: Seen, instance: Instance, documents: Sequence[Plain], left_out: Sequence[Plain]) -> Plain:
    """All that is said of the runs, as plain data."""
    zone, until = instance.options.zone, seen.observation.until_day
    waiting = [d["matures_at"] for d in documents if not d["matured"]]
    following = datetime.fromisoformat(min(waiting)).astimezone(zone).date() if waiting else None
    return {
        "name": instance.name,
        "propensity_type": instance.type,
        "sentence": spoken_sentence(instance.goal, instance.eligible),
        "language": instance.options.language,
        "time_zone": instance.options.time_zone,
        "outcome_days": seen.windows.outcome_days,
        "lead_days": seen.windows.lead_days,
        "settle_days": seen.windows.settle_days,
        "observed_until": instant(until, zone),
        "summary": summary(documents, words_of(instance.type), day_date(until), following),
        "runs": list(documents),
        "left_out": list(left_out),
        "warnings": [n.to_dict() for n in absent_notices(documents)],
    }


def gate_matured(seen: Seen, runs: Sequence[PastRun]) -> None:
    """Refuse where no window is over.

    Raises:
        NoOutcomeKnownError: with the date from which the first run can be judged.
    """
    if any(seen.matured(r.day) for r in runs):
        return
    first = min(r.day for r in runs)
    possible, until = day_date(seen.known_from(first)), day_date(seen.observation.until_day)
    settle = f" and {seen.windows.settle_days} days for late events" if seen.windows.settle_days else ""
    raise NoOutcomeKnownError(
        f"Of {_runs(len(runs))} no outcome is known yet: the data end at {until}, and the window of the first run, "
        f"as of {day_date(first)}, takes {seen.windows.reach_days} days{settle}: it can be judged from {possible} on.",
        f"evaluate again with data until {possible}.",
        observed_until=str(until),
        possible_on=str(possible),
        runs=len(runs),
    )


def gate_known(documents: Sequence[Plain]) -> None:
    """Refuse where windows are over and yet nothing is known of anybody who was scored.

    Raises:
        NoOutcomeKnownError: with what became of the profiles.
    """
    ready = [d for d in documents if d["matured"]]
    if not ready or any(d["known"] for d in ready):
        return
    counts = {key: sum(d[key] for d in ready) for key in ("population", "absent", "gone", "met_early")}
    raise NoOutcomeKnownError(
        f"The windows of {_runs(len(ready))} are over, but none of {counts['population']:,} scored profiles has a "
        f"known outcome: {counts['absent']:,} are not in these data, {counts['gone']:,} left, {counts['met_early']:,} "
        "met the goal before the window.",
        "check that --data names the data of these runs, with ids written the same way.",
        **counts,
    )


def absent_notices(documents: Sequence[Plain]) -> list[checks.Notice]:
    """A notice where many who were scored are not in the data any more: the missing may be those who stay away."""
    absent, scored = (sum(d[key] for d in documents if d["matured"]) for key in ("absent", "population"))
    if absent <= MANY_ABSENT * scored:
        return []
    message = say(
        "{absent} of {scored} scored profiles have no event in these data; no outcome was taken for them.",
        absent=numeral(f"{absent:,}"),
        scored=numeral(f"{scored:,}"),
    )
    hint = say("read data that go back as far as those scored on: who fell silent is missing first, and rates shift.")
    return [checks.Notice("PROPEND-330", "SCORED_NOT_IN_DATA", message, hint)]


def summary(documents: Sequence[Plain], words: Words, until: date, following: date | None) -> Plain:
    """How many runs can be judged, and how they did, in a sentence.

    Args:
        words: how meeting the goal is called.
        until: where the data end.
        following: from when the next run can be judged.
    """
    told = [d for d in documents if d["matured"] and d["known"]]
    figures = {
        "runs": len(documents),
        "judged": len(told),
        "level_as_expected": sum(d["verdict"]["level"] == AS_EXPECTED for d in told),
        "ranking_worse": sum(d["verdict"]["ranking"] == WORSE for d in told),
        "known": sum(d["known"] for d in told),
        "expected_positives": sum(d["expected_rate"] * d["known"] for d in told),
        "positives": sum(d["positives"] for d in told),
    }
    sentence = _summary_sentence(figures, words, until)
    if following:
        sentence += " " + say("The next can be judged from {day} on.", day=following)
    return figures | {"sentence": sentence}


def _summary_sentence(figures: Plain, words: Words, until: date) -> str:
    n, good, worse = figures["judged"], figures["level_as_expected"], figures["ranking_worse"]
    if not n:
        return say_many(
            "Of {n} run none can be judged with data until {until}.",
            "Of {n} runs none can be judged with data until {until}.",
            figures["runs"],
            until=until,
        )
    came = say_many(
        "In {n} run {expected} were expected to {do}, {positives} {did}.",
        "In {n} runs {expected} were expected to {do}, {positives} {did}.",
        n,
        expected=count(round(figures["expected_positives"])),
        positives=count(figures["positives"]),
        **vars(words),
    )
    verdict = noted("The level was as expected in {good} of {n}; the ranking was never worse than promised.")
    if worse:
        verdict = noted(
            "The level was as expected in {good} of {n}; the ranking was worse than promised in {worse} of {n}."
        )
    return f"{came} {say(verdict, good=good, n=n, worse=worse)}"
