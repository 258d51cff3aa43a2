"""Gates that refuse, and checks that warn: enough outcomes, good enough, drifting."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from propend.errors import (
    BadModelError,
    IneligibleScoresError,
    NoObjectiveError,
    NoPopulationError,
    NotEnoughObjectiveError,
    NotEnoughPopulationError,
    SingleValueError,
)
from propend.language import noted, numeral, say, say_many
from propend.model.calibrate import logit
from propend.snapshots.plan import Feature
from propend.snapshots.volumes import Volumes

Matrix = NDArray[np.float32]

COMFORTABLE_OUTCOMES = 500
AMBER_OUTCOMES = 100
DRIFT_WARN_PSI = 0.25
SCORE_DRIFT_WARN_PSI = 0.5
SCORE_DRIFT_REFUSE_PSI = 4.0
SCORE_DRIFT_REFUSE_SHIFT = 0.5
"""In log-odds: a factor of 1.6 in the odds."""
PSI_BINS = 10
REFERENCE_ROWS = 50_000
"""Rows that tell a distribution in ten bins as well as more would."""
LEAST_ROWS_BEFORE = 50
NEW_KIND_EVENTS = 20
VOLUME_WEEKS, LEAST_SPANS, LEAST_EVENTS, LEAST_VALUED = (1, 4), 6, 50, 20
SILENT_QUANTILE = 0.1
VOLUME_TIMES, VOLUME_DEVIATIONS, VALUE_TIMES, VALUE_DEVIATIONS = 1.8, 5.0, 3.0, 6.0
"""From which on a count of events, and a mean value, is unheard of: so many times, and so many deviations, apart."""
USUAL_ALLOWANCE = 2.0


@dataclass(frozen=True)
class Notice:
    """A warning: it does not stop the run, and it is always said.

    Attributes:
        code, symbol: stable.
        message: the facts with their numbers.
        hint: what to do.
    """

    code: str
    symbol: str
    message: str
    hint: str = ""

    def to_dict(self) -> dict[str, str]:
        """The warning as plain data."""
        return asdict(self)


NOTICES = {
    "FEW_OUTCOMES": ("PROPEND-300", "under 500 profiles of the rarer outcome"),
    "SAME_PERIOD_PROOF": ("PROPEND-301", "no room for a later proof"),
    "LAST_DAY_PARTIAL": ("PROPEND-302", "the last day looks unfinished and ends the observation"),
    "TRACKING_GAP": (
        "PROPEND-303",
        "days without any event where there usually are many; at scoring also whole weeks of the past year "
        "without a kind that otherwise comes every week",
    ),
    "ATTRIBUTES_WITHOUT_TIME": ("PROPEND-304", "attributes neither timed nor constant are not used"),
    "ROWS_SET_ASIDE": ("PROPEND-305", "more than 1 % of the rows were set aside"),
    "LEAK_SUSPECT": ("PROPEND-306", "something knows the outcome suspiciously well; the certain is dropped"),
    "INPUT_DRIFT": ("PROPEND-307", "an input is distributed otherwise now than in the proof"),
    "SIMPLE_RULE_AS_GOOD": ("PROPEND-308", "a simple rule is not clearly beaten"),
    "SCORE_DRIFT": (
        "PROPEND-309",
        "scores are distributed clearly otherwise than in the proof (index above 0.5; above 4 is refused)",
    ),
    "EXACT_DUPLICATES": ("PROPEND-310", "rows equal in every column, with no id to tell them apart"),
    "VALUES_NOT_NUMBERS": ("PROPEND-311", "values that are not numbers were left empty"),
    "ROWS_TOO_SHORT": ("PROPEND-312", "rows of CSV files end before the last column; what they lack was read as empty"),
    "NO_SIGNAL": ("PROPEND-313", "the ranking of the test is not shown to be better than chance"),
    "NEW_KIND": (
        "PROPEND-314",
        "a kind of event that was not there before the test's cutoff, so that the model ignores it",
    ),
    "VOLUME_DRIFT": (
        "PROPEND-315",
        "of some kind far more or fewer events came in the newest weeks than ever in a year, or worth far otherwise",
    ),
    "MANY_PROFILES": (
        "PROPEND-316",
        "of more than 20 million profiles, some, picked by chance, are learnt from; all are scored",
    ),
    "FORGOTTEN_LEFT_OUT": ("PROPEND-317", "rows of people who asked to be forgotten were not read"),
    "WITHOUT_CONSENT": ("PROPEND-318", "profiles that have not given consent are not scored"),
    "HORIZON_LEFT_OUT": ("PROPEND-320", "too few outcomes of windows of that length are known"),
    "SCORED_NOT_IN_DATA": (
        "PROPEND-330",
        "`propend evaluate`: over 1 % of the scored profiles are not in the data any more",
    ),
    "CURRENCIES_MIXED": (
        "PROPEND-331",
        "values of XDM events are in several currencies, and are added as if they were one",
    ),
    "MARKETER_MADE": ("PROPEND-332", "rows of XDM that are something done to profiles were left out"),
    "LINKS_LEFT_OUT": ("PROPEND-337", "over 1 % of the links between ids were left out"),
    "PARTITIONS_LEFT_OUT": ("PROPEND-340", "files of days before `since` were not read"),
    "TIMES_ASTRAY": (
        "PROPEND-350",
        "up to 1 % of the events lie half a year or more before, or after, all others; history begins after "
        "the early ones",
    ),
    "DAY_OUT_OF_LINE": (
        "PROPEND-358",
        "a twentieth of all events is of one day, twenty times what is usual",
    ),
    "DAYS_TWICE": (
        "PROPEND-351",
        "on some days every event is there twice, alike in all that is used of it though not in every column",
    ),
    "COLUMN_LACKING": (
        "PROPEND-352",
        "not every file has the column of the value, the kind or the event's id",
    ),
    "KINDS_ALIKE": (
        "PROPEND-355",
        "kinds of events differ in case, spaces, signs between words or forms of letters only",
    ),
    "IDS_ALIKE": (
        "PROPEND-356",
        "ids differ in case, spaces, zeros before them, `.0`, exponents or forms of letters only (from 0.2 % "
        "of all on)",
    ),
    "IDS_DOUBTFUL": (
        "PROPEND-353",
        "ids that stand for nobody (`N/A`), are named like tests, have a twentieth of all events, or an exponent",
    ),
    "VALUES_BROKEN": (
        "PROPEND-357",
        "in the past year the values of a kind are four times as high from some week on, or low, or are not there",
    ),
    "KIND_REPLACED": (
        "PROPEND-354",
        "in the past year a kind of event ends in the week in which another begins, about as often",
    ),
}
"""Every notice by its symbol: its code, and when it is said."""


# --- enough to learn from --------------------------------------------------------------------------------


@dataclass(frozen=True)
class OutcomeCounts:
    """Distinct profiles over the matured cutoffs: eligible, met the goal, did not."""

    eligible: int
    met: int
    unmet: int


def gate_outcomes(counts: OutcomeCounts, minimum: int, window: str) -> None:
    """Refuse when there is too little to learn from (spec 7.2; zero and too few have different codes).

    Args:
        counts: profiles, not events (spec IN-21).
        minimum: profiles needed of each kind.
        window: the period looked at, in words.

    Raises:
        NoPopulationError, NotEnoughPopulationError: nobody, or too few, eligible.
        NoObjectiveError, NotEnoughObjectiveError: nobody, or too few, met the goal.
        SingleValueError: everybody did.
    """
    facts: dict[str, Any] = {"minimum": minimum, "window": window, **asdict(counts)}
    if counts.eligible == 0:
        raise NoPopulationError(
            f"No profile was eligible {window}; at least {minimum} are needed.",
            "loosen the eligibility or lengthen its look-back; `propend check` shows which line removes whom.",
            **facts,
        )
    if counts.met == 0:
        raise NoObjectiveError(
            f"None of {counts.eligible:,} eligible profiles met the goal {window}; at least {minimum} are needed.",
            "check the goal's events and conditions; a goal that never happened before cannot be predicted.",
            **facts,
        )
    if counts.unmet == 0:
        raise SingleValueError(
            f"All of {counts.eligible:,} eligible profiles met the goal {window}: there is nothing to tell apart.",
            "narrow the goal, shorten its window, or use data that also holds profiles who did not.",
            **facts,
        )
    if counts.eligible < minimum:
        raise NotEnoughPopulationError(
            f"{counts.eligible:,} profiles were eligible {window}; at least {minimum} are needed.",
            "loosen the eligibility, lengthen its look-back, or add data.",
            **facts,
        )
    if counts.met < minimum:
        raise NotEnoughObjectiveError(
            f"{counts.met:,} {'profile' if counts.met == 1 else 'profiles'} met the goal {window}; "
            f"at least {minimum} are needed.",
            "widen the goal, lengthen the outcome window, or add data.",
            **facts,
        )
    if counts.unmet < minimum:
        raise NotEnoughPopulationError(
            f"Only {counts.unmet:,} eligible profiles did not meet the goal {window}; at least {minimum} are needed.",
            "narrow the goal, shorten its window, or widen the eligibility.",
            **facts,
        )


RARER = {
    ("met", "amber"): noted(
        "{n} profiles met the goal in the periods learnt from: enough to learn, so the intervals are wide and a "
        "simple model leads."
    ),
    ("met", "wide"): noted(
        "{n} profiles met the goal in the periods learnt from: enough to learn, intervals are wide."
    ),
    ("unmet", "amber"): noted(
        "{n} profiles did not meet the goal in the periods learnt from: enough to learn, so the intervals are wide "
        "and a simple model leads."
    ),
    ("unmet", "wide"): noted(
        "{n} profiles did not meet the goal in the periods learnt from: enough to learn, intervals are wide."
    ),
}
"""By the rarer outcome, and by how few have it."""


def few_outcomes_notice(counts: OutcomeCounts) -> list[Notice]:
    """A notice while outcomes of the rarer kind are fewer than is comfortable."""
    rarer = min(counts.met, counts.unmet)
    if rarer >= COMFORTABLE_OUTCOMES:
        return []
    kind = "met" if counts.met <= counts.unmet else "unmet"
    message = say(RARER[kind, "amber" if rarer < AMBER_OUTCOMES else "wide"], n=numeral(f"{rarer:,}"))
    hint = say("{n} or more are comfortable.", n=COMFORTABLE_OUTCOMES)
    return [Notice("PROPEND-300", "FEW_OUTCOMES", message, hint)]


# --- good enough ---------------------------------------------------------------------------------------


def gate_quality(evaluation: dict[str, Any], bar: float) -> None:
    """Refuse a model whose out-of-time AUC is under the bar (spec MO-08: 0.649 fails, 0.65 passes).

    Raises:
        BadModelError: with the AUC, its interval and the bar.
    """
    auc = evaluation["auc"]
    value, low, high = auc["value"], auc["low"], auc["high"]
    if value is not None and value >= bar:
        return
    shown = "not measurable" if value is None else f"{value:.3f} (95 % interval {low:.3f} to {high:.3f})"
    signal = "the signal is weak" if evaluation["verdict"]["better_than_chance"] else "no signal was found"
    raise BadModelError(
        f"On the later period the model was tested on, its AUC is {shown}; at least {bar} is asked for: {signal}.",
        "check that data is up to date and without gaps, add events that people did before meeting the goal, "
        "restrict the eligible population, or try a 7-day window; `options.quality_bar` lowers the bar.",
        auc=value, low=low, high=high, quality_bar=bar,
    )  # fmt: skip


def no_signal_notice(evaluation: dict[str, Any], limit: float) -> list[Notice]:
    """A notice where the bar is passed but chance could rank as well: few outcomes, or no signal.

    Args:
        limit: how rarely chance alone may rank as well.
    """
    verdict, auc = evaluation["verdict"], evaluation["auc"]
    if verdict["better_than_chance"] or auc["value"] is None:
        return []
    message = say(
        "no signal was found: the ranking of the test (AUC {auc}, {positives} of {n} met the goal) is not shown to be "
        "better than chance; chance alone ranks as well in {chance} % of cases, at most {limit} % are asked for.",
        auc=numeral(f"{auc['value']:.3f}"),
        positives=numeral(f"{evaluation['positives']:,}"),
        n=numeral(f"{evaluation['n']:,}"),
        chance=numeral(f"{100 * verdict['chance']:.{1 if verdict['chance'] >= 0.01 else 2}f}"),
        limit=numeral(f"{100 * limit:g}"),
    )
    hint = say("use the scores for nothing yet: add events that people did before meeting the goal, or more outcomes.")
    return [Notice("PROPEND-313", "NO_SIGNAL", message, hint)]


# --- drift ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reference:
    """Distributions at the proof's cutoff, to compare later ones with.

    Attributes:
        edges: float64[C, B - 1] inner quantiles of each used feature.
        shares: float64[C, B + 1], the last for missing values.
        score_edges, score_shares: the same for the calibrated probability that the model to be used gives them.
        rows: N, how many they are from.
        day: of the cutoff.
        usual: float64[C], the largest index of each feature from one earlier cutoff to the next: how far it moves
            anyway, with seasons, growth and age.
        step_days: between those cutoffs; 0 without any.
    """

    edges: NDArray[np.float64]
    shares: NDArray[np.float64]
    score_edges: NDArray[np.float64]
    score_shares: NDArray[np.float64]
    rows: int
    day: int
    usual: NDArray[np.float64]
    step_days: int

    @classmethod
    def of(
        cls,
        X: Matrix,
        probability: NDArray[np.float64],
        day: int = 0,
        earlier: Matrix | None = None,
        cutoff: NDArray[np.int64] | None = None,
    ) -> Reference:
        """The distributions of used features, float32[N, C], and of their probabilities, float64[N].

        Args:
            day: of the proof's cutoff.
            earlier: float32[M, C], the same features at earlier cutoffs.
            cutoff: int64[M], their days.
        """
        X = X[:: max(1, len(X) // REFERENCE_ROWS)]
        if earlier is not None and cutoff is not None:
            step = max(1, len(earlier) // (2 * REFERENCE_ROWS))
            earlier, cutoff = earlier[::step], cutoff[::step]
        inner = np.linspace(0, 1, PSI_BINS + 1)[1:-1]
        edges = np.zeros((X.shape[1], len(inner)))
        for j in range(X.shape[1]):
            known = X[:, j][~np.isnan(X[:, j])]
            edges[j] = np.quantile(known, inner) if len(known) else 0.0
        shares = np.array([_shares(X[:, j], edges[j]) for j in range(X.shape[1])])
        score_edges = np.quantile(probability, inner)
        days = [int(d) for d, n in zip(*np.unique(cutoff, return_counts=True), strict=True) if n >= LEAST_ROWS_BEFORE
                and d < day] if cutoff is not None else []  # fmt: skip
        steps, usual = np.diff([*days, day]), np.zeros(X.shape[1])
        sides = [earlier[cutoff == d] for d in days] if earlier is not None else []
        for before, after in itertools.pairwise([*sides, X]):
            usual = np.maximum(usual, _moved(before, after, edges))
        step = int(np.median(steps)) if len(steps) else 0
        return cls(edges, shares, score_edges, _shares(probability, score_edges), len(X), day, usual, step)

    def counts(self, X: Matrix) -> NDArray[np.int64]:
        """int64[C, B + 1]: how many of float32[N, C] are in each class of each feature, and how many are missing."""
        return np.array([_counts(X[:, j], edges) for j, edges in enumerate(self.edges)]).reshape(len(self.edges), -1)

    def limits(self, n: int, day: int) -> NDArray[np.float64]:
        """float64[C]: the index from which a feature of ``n`` rows at a later day has moved more than it should.

        That is 0.25; more where the samples are so small that chance makes more of one input in ten thousand; and
        more where the input moved as much from one earlier cutoff to the next. What moves steadily moves the index
        by the square of the time.
        """
        chance = (float(chi2.isf(1e-4, PSI_BINS)) - PSI_BINS) / _pooled(int(self.rows), n)
        steps = (day - int(self.day)) / int(self.step_days) if self.step_days else 1.0
        return np.maximum(max(DRIFT_WARN_PSI, chance), USUAL_ALLOWANCE * self.usual * max(steps, 1.0) ** 2)


def _moved(before: Matrix, after: Matrix, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = _pooled(len(before), len(after))
    return np.array(
        [
            population_stability(_shares(before[:, j], edges[j]), _shares(after[:, j], edges[j]), rows)
            for j in range(len(edges))
        ]
    )


def _shares(values: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    return _counts(values, edges) / max(len(values), 1)


def _counts(values: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    missing = np.isnan(values)
    place = np.searchsorted(edges, values[~missing], side="right")
    return np.append(np.bincount(place, minlength=len(edges) + 1), missing.sum()).astype(np.int64)


def population_stability(expected: NDArray[np.float64], actual: NDArray[np.float64], rows: float = math.inf) -> float:
    """Population stability index of two sets of shares; under 0.1 is stable, over 0.25 has moved.

    Between two samples of one distribution the index is not 0 but, on average, the number of shares less one over
    ``rows``, since it is then a chi-square statistic divided by them (Yurdakul 2018). That is taken off.

    Args:
        rows: ``1 / (1 / n + 1 / m)`` of the sizes of the two samples.
    """
    least = max(1e-4, 0.5 / rows)
    e, a = np.maximum(expected, least), np.maximum(actual, least)
    index = float(np.sum((a - e) * np.log(a / e)))
    filled = int(((expected > 0) | (actual > 0)).sum())
    return max(0.0, index - max(filled - 1, 0) / rows)


def _pooled(n: int, m: int) -> float:
    return 1 / (1 / max(n, 1) + 1 / max(m, 1))


def drift_notices(
    reference: Reference, counts: NDArray[np.int64], features: Sequence[Feature], day: int = 0
) -> list[Notice]:
    """Features whose distribution at scoring differs from the proof's by more than it should, the most moved first.

    Args:
        counts: of those scored (``Reference.counts``).
        day: of the scoring cutoff.
    """
    n = int(counts[0].sum()) if len(counts) else 0
    rows = _pooled(int(reference.rows), n)
    moved = []
    for j, (feature, limit) in enumerate(zip(features, reference.limits(n, day), strict=True)):
        psi = population_stability(reference.shares[j], counts[j] / max(n, 1), rows)
        if psi > limit:
            moved.append((psi, feature.sentence))
    if not moved:
        return []
    moved.sort(reverse=True)
    message = say(
        "{n} of {all} inputs are distributed otherwise than in the test period: {named}.",
        n=len(moved),
        all=len(features),
        named="; ".join(f"{sentence} (PSI {numeral(f'{psi:.2f}')})" for psi, sentence in moved[:3]),
    )
    hint = say("season or growth explains much of this; if not, look for missing or late data.")
    return [Notice("PROPEND-307", "INPUT_DRIFT", message, hint)]


def new_kind_notices(known: Sequence[str], kinds: Sequence[tuple[str, int, int]], most: int = 3) -> list[Notice]:
    """Kinds of events of which there were none before the proof's cutoff, so that the model knows nothing of them.

    Args:
        known: kinds there were.
        kinds: name, events and profiles of each kind there is now.
    """
    new = [(k, n) for k, n, profiles in kinds if k not in known and n >= NEW_KIND_EVENTS and profiles >= 2]
    if not known or not new:
        return []
    named = ", ".join(say("{kind} ({n} events)", kind=repr(kind), n=numeral(f"{n:,}")) for kind, n in new[:most])
    if len(new) > most:
        named = say("{named} and {n} more", named=named, n=len(new) - most)
    message = say(
        "kinds of events that were not there before the test's cutoff, and that the model ignores: {named}.",
        named=named,
    )
    hint = say(
        "if an old kind was renamed, give both one name under `events` and train again; a new one counts in time."
    )
    return [Notice("PROPEND-314", "NEW_KIND", message, hint)]


def volume_notices(volumes: Volumes, most: int = 3) -> list[Notice]:
    """Kinds of which far more or fewer events came in the newest weeks than in any of a year, or worth far otherwise.

    The newest week and the newest four (values: the four alone) are compared with those before them, on a log scale, in
    standard deviations as their median absolute deviation gives them. Single profiles hardly notice a month of lost
    events where most do nothing for months; the count of all does.
    """
    found: dict[tuple[str, str], tuple[float, str]] = {}
    for k, kind in enumerate(volumes.kinds):
        for weeks in VOLUME_WEEKS:
            events, valued, value = (_by_span(x[k], weeks) for x in (volumes.events, volumes.valued, volumes.value))
            if len(events) <= LEAST_SPANS or np.median(events[1:]) < LEAST_EVENTS:
                continue
            usual, log_ratio = np.median(events[1:]), _unheard_of(np.log1p(events), VOLUME_TIMES, VOLUME_DEVIATIONS)
            if events[0] == 0 and events[1:].min() >= LEAST_VALUED:  # however much a count moves, it is not gone
                log_ratio = -math.log1p(usual)
            if log_ratio:
                said = _count_words(kind, weeks, float(events[0]), float(usual))
                found.setdefault((kind, "events"), (abs(log_ratio), said))
            enough = valued >= LEAST_VALUED
            if weeks > 1 and enough[0] and enough.sum() > LEAST_SPANS and (value[enough] > 0).all():
                mean = value[enough] / valued[enough]
                log_ratio = _unheard_of(np.log(mean), VALUE_TIMES, VALUE_DEVIATIONS)
                if log_ratio:
                    said = _value_words(kind, weeks, float(mean[0]), float(np.median(mean[1:])))
                    found.setdefault((kind, "value"), (abs(log_ratio), said))
    if not found:
        return []
    told = [said for _, said in sorted(found.values(), reverse=True)]
    message = say("the newest events differ from a year of earlier ones: {named}.", named=first_of(told, most))
    hint = say(
        "look for lost, doubled or late data, and for a changed unit; if it is real, scores are of another time."
    )
    return [Notice("PROPEND-315", "VOLUME_DRIFT", message, hint)]


def silent_kind_notices(volumes: Volumes, most: int = 3) -> list[Notice]:
    """Kinds without any event in whole weeks of the past, though all but few of their other weeks have many.

    Weeks without any event at all are left to the days of the data's profile (``record.tracking_gaps``), the weeks
    before a kind's first to its age, and the newest to ``volume_notices``.
    """
    recorded = volumes.events.sum(axis=0) > 0
    found = []
    for kind, events in zip(volumes.kinds, volumes.events, strict=True):
        there = np.flatnonzero(events > 0)
        if len(there) <= LEAST_SPANS or np.quantile(events[there], SILENT_QUANTILE) < LEAST_VALUED:
            continue
        silent = [w for w in range(there[0], there[-1]) if recorded[w] and not events[w]]
        if silent:
            usual = float(np.median(events[there]))
            found.append((len(silent) * usual, _silence_words(kind, len(silent), silent[0], usual)))
    if not found:
        return []
    told = [said for _, said in sorted(found, reverse=True)]
    named = first_of(told, most)
    message = say("weeks of the past lack a kind of event of which there usually are many: {named}.", named=named)
    hint = say("if tracking failed then, past behaviour looks rarer than it was; read the lost events in again.")
    return [Notice("PROPEND-303", "TRACKING_GAP", message, hint)]


def _silence_words(kind: str, weeks: int, ago: int, usual: float) -> str:
    return say_many(
        "no {kind} in {n} week, {ago} weeks before now, where {usual} are usual",
        "no {kind} in {n} weeks, the newest {ago} weeks before now, where {usual} a week are usual",
        weeks,
        kind=repr(kind),
        ago=ago,
        usual=numeral(f"{usual:,.0f}"),
    )


def _count_words(kind: str, weeks: int, events: float, usual: float) -> str:
    return say_many(
        "{events} {kind} in the last week, where {usual} are usual",
        "{events} {kind} in the last {n} weeks, where {usual} are usual",
        weeks,
        events=numeral(f"{events:,.0f}"),
        kind=repr(kind),
        usual=numeral(f"{usual:,.0f}"),
    )


def _value_words(kind: str, weeks: int, worth: float, usual: float) -> str:
    return say_many(
        "{kind} worth {worth} on average in the last week, where {usual} is usual",
        "{kind} worth {worth} on average in the last {n} weeks, where {usual} is usual",
        weeks,
        kind=repr(kind),
        worth=numeral(f"{worth:,.4g}"),
        usual=numeral(f"{usual:,.4g}"),
    )


def first_of(said: Sequence[str], most: int) -> str:
    """The first of several clauses, and how many more there are."""
    named = "; ".join(said[:most])
    return say("{named}; and {n} more", named=named, n=len(said) - most) if len(said) > most else named


def _by_span(weekly: NDArray[Any], weeks: int) -> NDArray[Any]:
    """Sums of so many weeks at a time, the newest first."""
    whole = len(weekly) // weeks
    return np.asarray(weekly[: whole * weeks].reshape(whole, weeks).sum(axis=1))


def _unheard_of(logs: NDArray[np.float64], times: float, deviations: float) -> float:
    """How far the first lies from the median of the others, if far beyond all of them; else 0."""
    past = logs[1:]
    middle = float(np.median(past))
    deviation = 1.4826 * float(np.median(np.abs(past - middle)))
    apart = float(logs[0]) - middle
    beyond = logs[0] < past.min() or logs[0] > past.max()
    return apart if beyond and abs(apart) >= max(math.log(times), deviations * deviation) else 0.0


def score_drift_notices(psi: float) -> list[Notice]:
    """A notice where scores are distributed clearly otherwise than in the test period."""
    if psi <= SCORE_DRIFT_WARN_PSI:
        return []
    message = say(
        "scores are distributed otherwise than in the test period (population stability index {psi}).",
        psi=numeral(f"{psi:.2f}"),
    )
    hint = say("figures of the test speak of another population; a season, growth or an ageing one explains much.")
    return [Notice("PROPEND-309", "SCORE_DRIFT", message, hint)]


def score_drift(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Population stability index of the probabilities of two runs, over the tenths of the earlier one."""
    edges = np.quantile(before, np.linspace(0, 1, PSI_BINS + 1)[1:-1])
    return population_stability(_shares(before, edges), _shares(after, edges), _pooled(len(before), len(after)))


def gate_scores(reference: Reference, probability: NDArray[np.float64]) -> float:
    """Refuse scores whose distribution is far from the proof's (spec MO-12, 403); else give the PSI.

    Far means both: another shape, by the population stability index, and by an amount that matters, by the mean
    distance of the deciles in log-odds. Where all profiles are alike, a hair's breadth moves the index alone.

    Raises:
        IneligibleScoresError: index above ``SCORE_DRIFT_REFUSE_PSI`` and distance above ``SCORE_DRIFT_REFUSE_SHIFT``.
    """
    rows = _pooled(int(reference.rows), len(probability))
    psi = population_stability(reference.score_shares, _shares(probability, reference.score_edges), rows)
    if psi <= SCORE_DRIFT_REFUSE_PSI:
        return psi
    deciles = np.quantile(probability, np.linspace(0, 1, PSI_BINS + 1)[1:-1])
    shift = float(np.abs(logit(deciles) - logit(reference.score_edges)).mean())
    if shift > SCORE_DRIFT_REFUSE_SHIFT:
        raise IneligibleScoresError(
            f"The scores of {len(probability):,} profiles are distributed far from those of the test period: "
            f"population stability index {psi:.2f}, at most {SCORE_DRIFT_REFUSE_PSI} is let through; "
            f"odds differ by a factor of {math.exp(shift):.1f} on average.",
            "train again on recent data (`propend run`), and look for missing or late data.",
            psi=psi, limit=SCORE_DRIFT_REFUSE_PSI, shift=shift, shift_limit=SCORE_DRIFT_REFUSE_SHIFT,
        )  # fmt: skip
    return psi
