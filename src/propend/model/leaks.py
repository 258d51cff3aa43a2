"""What may know the outcome before it can be known: features, attributes and kinds of events that are too good.

Each test accuses only of what it can tell from honest predictors, at thresholds whose hits and false alarms are
measured (decision 0012). A suspect is named; only what is certain is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from propend.language import noted, numeral, say, say_many
from propend.model.checks import Notice, first_of
from propend.snapshots.plan import Feature, Op

Matrix = NDArray[np.float32]
Labels = NDArray[np.uint8]
Float = NDArray[np.float64]

SUSPECT_AUC = 0.95
CERTAIN_AUC = 0.99
SAMPLE_ROWS = 20_000

OUTSTANDING_AUC = 0.8
OUTSTANDING_LEAD = 0.1
"""How far a fact's AUC alone must lie above that of recency and frequency of all events together."""

TODAY_LIKENESS, TODAY_GAP = 0.8, 0.05
"""A fact this like what happened up to today, and this much less like what had happened by the cutoff, is suspect."""
CERTAIN_LIKENESS, CERTAIN_GAP = 0.95, 0.1
EXACT_LIKENESS, EXACT_GAP = 0.99, 0.01
REWRITTEN_LEAD = 0.05
LEAST_PROFILES = 100
LEAST_SIDE = 20
"""Profiles with and without a value of a text that its likeness is measured on."""

HERALD_DAYS = (1, 3, 7, 14, 30)
HERALD_ROWS = 20
HERALD_MISSES = 0.03
HERALD_SURPRISE = 0.4
"""Misses, at most, as a share of those expected from recency and frequency, at 99.9 % confidence."""

DECIDED_RATE = 0.99
LATER_SHARE = 0.5
REPLICATES = 100
SEED = 20_111_209

KINDS = {
    "power": "one feature ranks almost perfectly by itself",
    "outstanding": "an attribute or a field of events ranks far better than recency and frequency of all events",
    "today": "an attribute follows from what happened up to today, and not from what had happened by the cutoff",
    "herald": "a kind of event after which the goal hardly ever happens: dated back, or the goal under another name",
    "later": "a column of times that lie after their event, and never after the last one: filled in later",
    "decided": "almost all of the eligible meet the goal: it is decided before the cutoff",
    "rewritten": "an attribute tells more as of today than as of the cutoff; noted only: the model is given the latter",
}
"""What each kind of leak is suspected for."""

FACTS = frozenset({Op.ATTRIBUTE_NUMBER, Op.ATTRIBUTE_TEXT_IS})
EVENT_FIELDS = frozenset({Op.NUMBER_MEAN, Op.NUMBER_LAST, Op.NUMBER_SUM, Op.TEXT_LAST_IS, Op.DISTINCT})
AGES = frozenset({Op.DAYS_SINCE_LAST, Op.DAYS_SINCE_FIRST})


@dataclass(frozen=True)
class Leak:
    """Something that knows the outcome suspiciously well.

    Attributes:
        kind: which test found it: ``power``, ``outstanding``, ``today``, ``rewritten``, ``herald``, ``later`` or
            ``decided``.
        columns: positions in the plan of the features it stands for; empty if it is no feature.
        auc: of the feature alone, direction ignored; None where that is not what was measured.
        certain: whether the features were dropped.
        reason: in words.
    """

    kind: str
    columns: tuple[int, ...]
    feature: str
    sentence: str
    auc: float | None
    certain: bool
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The suspect as plain data, with what was done about it."""
        return {
            "kind": self.kind,
            "feature": self.feature,
            "sentence": self.sentence,
            "auc": self.auc,
            "action": self.action,
            "reason": self.reason,
        }

    @property
    def action(self) -> str:
        """``dropped``, ``suspect``, or ``noted`` where what the model sees is right as far as one can tell."""
        return "dropped" if self.certain else "noted" if self.kind == "rewritten" else "suspect"


def worst_first(leaks: Sequence[Leak]) -> list[Leak]:
    """One leak per set of features, the certain and the earlier found first."""
    kept: list[Leak] = []
    for leak in sorted(leaks, key=lambda x: not x.certain):
        if not leak.columns or not any(set(leak.columns) & set(other.columns) for other in kept):
            kept.append(leak)
    return kept


# --- power alone ----------------------------------------------------------------------------------------


def find_powerful(X: Matrix, label: Labels, columns: Sequence[int], features: Sequence[Feature]) -> list[Leak]:
    """Features whose power alone is too good to be true.

    A feature made of events before the cutoff may honestly be that good and is only named; an attribute
    table's column may have been written after the fact, and at 0.99 is dropped.
    """
    rows = _thin(len(label))
    found = []
    for j in columns:
        power = power_of(X[rows, j], label[rows])
        if power < SUSPECT_AUC:
            continue
        certain = features[j].op in FACTS and power >= CERTAIN_AUC
        reason = (
            say("this attribute alone tells the outcome: it was most likely written after it")
            if certain
            else say("this alone all but tells the outcome; check that it is known before it")
        )
        found.append(Leak("power", (int(j),), features[j].name, features[j].sentence, power, certain, reason))
    return found


def find_outstanding(X: Matrix, label: Labels, columns: Sequence[int], features: Sequence[Feature]) -> list[Leak]:
    """Attributes and fields of events that alone tell far more than recency and frequency of all events together.

    Honest facts do so rarely, since what somebody does follows from what they are; they are only named.
    """
    asked = [j for j in columns if features[j].op in FACTS | EVENT_FIELDS]
    rows = _thin(len(label))
    y = label[rows]
    strong = [(j, p) for j in asked if (p := power_of(X[rows, j], y)) >= OUTSTANDING_AUC]
    if not strong:
        return []
    usual = power_of(_usual_odds(X[rows], y, features, without=-1), y)
    error = auc_error(usual, y)
    found = []
    for j, power in strong:
        lead = power - usual
        if lead < OUTSTANDING_LEAD or lead < 3 * (error + auc_error(power, y)):
            continue
        reason = say(
            "this alone tells far more than recency and frequency of all events together (AUC {auc}); "
            "check that it is known before the outcome",
            auc=numeral(f"{usual:.2f}"),
        )
        found.append(Leak("outstanding", (int(j),), features[j].name, features[j].sentence, power, False, reason))
    return found


def _thin(n: int) -> slice:
    return slice(None, None, max(1, n // SAMPLE_ROWS))


def power_of(values: NDArray[Any], label: Labels) -> float:
    """AUC of one feature, direction ignored: 0.5 to 1."""
    return abs(single_auc(values, label) - 0.5) + 0.5


def single_auc(values: NDArray[Any], label: Labels) -> float:
    """AUC of one feature, missing values below all others; 0.5 for a single class."""
    positives = int(label.sum())
    negatives = len(label) - positives
    if positives == 0 or negatives == 0:
        return 0.5
    filled = np.where(np.isnan(values), -np.inf, values)
    ordered = np.sort(filled)
    met = filled[label == 1]
    rank = (np.searchsorted(ordered, met, "left") + np.searchsorted(ordered, met, "right") + 1) / 2.0
    area = float(rank.sum()) - positives * (positives + 1) / 2.0
    return area / (positives * negatives)


def auc_error(auc: float, label: Labels) -> float:
    """Standard error of an AUC (Hanley and McNeil 1982)."""
    m = max(int(label.sum()), 1)
    n = max(len(label) - m, 1)
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (auc * (1 - auc) + (m - 1) * (q1 - auc**2) + (n - 1) * (q2 - auc**2)) / (m * n)
    return float(np.sqrt(max(variance, 0.0)))


def _usual_odds(X: Matrix, label: Labels, features: Sequence[Feature], without: int) -> Float:
    """Probability of each row from recency and frequency of every channel but one, by a logistic regression."""
    columns = [
        j for j, f in enumerate(features) if f.op in (Op.COUNT, Op.DAYS_SINCE_LAST) and f.channel != without
        and not f.field
    ]  # fmt: skip
    parts = []
    for j in columns:
        missing = np.isnan(X[:, j])
        parts += [np.where(missing, 0.0, np.log1p(np.maximum(np.nan_to_num(X[:, j]), 0.0))), missing.astype(float)]
    if not parts or label.min() == label.max():
        return np.full(len(label), float(label.mean()))
    Z = StandardScaler().fit_transform(np.column_stack(parts))
    model = LogisticRegression(C=0.1, max_iter=200).fit(Z, label)
    return np.asarray(model.predict_proba(Z)[:, 1], dtype=np.float64)


# --- facts as of today ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """The same profiles' behaviour up to a cutoff and up to today, and the facts the model is given at the cutoff.

    Attributes:
        behaviour: the features of the two matrices: counts, sums, recency, tenure over all of the past.
        then, now: float32[P, B].
        facts, facts_now: float32[P, A], the attribute features of ``columns`` as of the cutoff and of today.
        columns: their positions in the plan.
        label: uint8[P], the outcomes from the cutoff on.
    """

    behaviour: tuple[Feature, ...]
    then: Matrix
    now: Matrix
    facts: Matrix
    facts_now: Matrix
    columns: tuple[int, ...]
    label: Labels


def find_todays(given: Standing, features: Sequence[Feature]) -> list[Leak]:
    """Facts that follow from what happened up to today, and not from what had happened by the cutoff.

    A number of orders, a state, a date of the last visit as of today knows all that happened since. A trait that
    was true from the beginning is as like the behaviour of one time as that of another. Which behaviour a fact is
    most like is chosen on one half of the profiles, and how like it is, then and now, measured on the other.
    """
    n = len(given.facts)
    if n < 2 * LEAST_PROFILES:
        return []
    chosen, tested = np.arange(0, n, 2), np.arange(1, n, 2)
    ages = np.array([f.op in AGES for f in given.behaviour])
    now, then = (_ranks(side[chosen], ages) for side in (given.now, given.then))
    found = []
    for k, j in enumerate(given.columns):
        fact = given.facts[:, k]
        if not (_varied(fact[chosen], features[j]) and _varied(fact[tested], features[j])):
            continue
        like_now, like_then = (_likenesses(r, fact[chosen], features[j]) for r in (now, then))
        best_now, best_then = int(np.argmax(like_now)), int(np.argmax(like_then))
        if like_now[best_now] < TODAY_LIKENESS - 0.05:
            continue
        pair = given.now[tested, best_now], given.then[tested, best_then], given.then[tested, best_now]
        ages_of = ages[[best_now, best_then, best_now]]
        found += _todays(pair, ages_of, fact[tested], features[j], int(j), given.behaviour[best_now].sentence)
    return [_whole(leak, features) for leak in worst_first(found)]


def _whole(leak: Leak, features: Sequence[Feature]) -> Leak:
    """The leak for all values of its attribute: if one was written later, all were."""
    field = features[leak.columns[0]].field
    return replace(leak, columns=tuple(j for j, f in enumerate(features) if f.op in FACTS and f.field == field))


def find_rewritten(given: Standing, features: Sequence[Feature]) -> list[Leak]:
    """Facts whose value as of today tells the outcome better than their value as of the cutoff, which is used.

    They are rewritten as things happen. That is as it should be where their effective times are true.
    """
    positives = int(given.label.sum())
    if min(positives, len(given.label) - positives) < LEAST_SIDE:
        return []
    rng, found = np.random.default_rng(SEED), []
    for k, j in enumerate(given.columns):
        then, now = given.facts[:, k], given.facts_now[:, k]
        if np.array_equal(then, now, equal_nan=True):
            continue
        before, after = power_of(then, given.label), power_of(now, given.label)
        if after - before < REWRITTEN_LEAD:
            continue
        drawn = (rng.integers(0, len(then), len(then)) for _ in range(REPLICATES))
        leads = [power_of(now[d], given.label[d]) - power_of(then[d], given.label[d]) for d in drawn]
        if float(np.percentile(leads, 1)) <= 0:
            continue
        reason = say(
            "its value as of today tells the outcome better (AUC {after}) than that as of the cutoff, which is "
            "used ({before}): it is rewritten as things happen, and its effective times must be true",
            after=numeral(f"{after:.2f}"),
            before=numeral(f"{before:.2f}"),
        )
        found.append(Leak("rewritten", (int(j),), features[j].name, features[j].sentence, before, False, reason))
    return [_whole(leak, features) for leak in found]


def _todays(
    behaviour: tuple[NDArray[np.float32], ...],
    ages: NDArray[np.bool_],
    fact: NDArray[np.float32],
    feature: Feature,
    column: int,
    sentence: str,
) -> list[Leak]:
    columns = np.column_stack(behaviour)
    like = _likenesses(_ranks(columns, ages), fact, feature)
    now, then = float(like[0]), float(max(like[1:]))
    rng, gaps = np.random.default_rng(SEED), []
    for _ in range(REPLICATES):
        drawn = rng.integers(0, len(fact), len(fact))
        again = _likenesses(_ranks(columns[drawn], ages), fact[drawn], feature)
        gaps.append(again[0] - max(again[1:]))
    low = float(np.percentile(gaps, 1))
    exact = now >= EXACT_LIKENESS and low >= EXACT_GAP
    certain = exact or (now >= CERTAIN_LIKENESS and low >= CERTAIN_GAP)
    if not certain and not (now >= TODAY_LIKENESS and low >= TODAY_GAP):
        return []
    reason = say(
        "it follows from the {behaviour} up to today (likeness {now}), much less from that up to the cutoff "
        "({then}): it was written after the outcomes",
        behaviour=sentence,
        now=numeral(f"{now:.2f}"),
        then=numeral(f"{then:.2f}"),
    )
    return [Leak("today", (column,), feature.name, feature.sentence, None, certain, reason)]


def _varied(fact: NDArray[np.float32], feature: Feature) -> bool:
    known = fact[~np.isnan(fact)]
    if len(known) < LEAST_PROFILES // 2:
        return False
    if feature.op is Op.ATTRIBUTE_TEXT_IS:
        return bool(LEAST_SIDE <= (known > 0).sum() <= len(known) - LEAST_SIDE)
    return bool(known.min() < known.max())


def _ranks(X: Matrix, ages: NDArray[np.bool_]) -> Float:
    """Midranks of every column, missing values below all others; what never happened is longest ago."""
    missing = np.where(ages, np.inf, -np.inf)
    return np.asarray(rankdata(np.where(np.isnan(X), missing, X), axis=0), dtype=np.float64)


def _likenesses(ranks: Float, fact: NDArray[np.float32], feature: Feature) -> Float:
    """How like a fact is to each of some ranked columns, 0 to 1: by rank correlation, for a text by AUC."""
    if feature.op is Op.ATTRIBUTE_TEXT_IS:
        inside = np.nan_to_num(fact) > 0
        m, n = int(inside.sum()), int((~inside).sum())
        if not m or not n:
            return np.zeros(ranks.shape[1])
        area = (ranks[inside].sum(axis=0) - m * (m + 1) / 2) / (m * n)
        return np.asarray(np.abs(2 * area - 1))
    known = ~np.isnan(fact)
    a = rankdata(fact[known])
    a = a - a.mean()
    b = ranks[known] - ranks[known].mean(axis=0)
    scale = np.sqrt((a @ a) * (b * b).sum(axis=0))
    return np.asarray(np.abs(a @ b) / np.where(scale > 0, scale, np.inf))


# --- heralds --------------------------------------------------------------------------------------------


def find_heralds(X: Matrix, label: Labels, features: Sequence[Feature], goal_channels: Sequence[int]) -> list[Leak]:
    """Kinds of events after which the goal follows as good as surely: dated back, or the goal under another name.

    Looked at are the rows whose last event of the kind lies after their last event of the goal: what it announces
    is still to come. Suspect is a kind after which the goal hardly ever stays away (3 %), and stays away far less
    than recency and frequency of all other events lead to expect. An honest herald of that certainty is named too.
    """
    since = {f.channel: j for j, f in enumerate(features) if f.op is Op.DAYS_SINCE_LAST}
    goals = [X[:, since[c]] for c in goal_channels if c in since]
    last_goal = np.fmin.reduce(goals) if goals else np.full(len(label), np.nan)
    last_goal = np.where(np.isnan(last_goal), np.inf, last_goal)
    found = []
    for channel, j in since.items():
        if channel == 0 or channel in goal_channels:
            continue
        ago = np.where(np.isnan(X[:, j]), np.inf, X[:, j])
        open_still = ago < last_goal
        rows = [open_still & (ago <= days) for days in HERALD_DAYS]
        sizes = [(int(r.sum()), int((label[r] == 0).sum())) for r in rows]
        sure = [i for i, (n, missed) in enumerate(sizes) if n >= HERALD_ROWS and missed <= HERALD_MISSES * n]
        if not sure:
            continue
        usual = _usual_odds(X, label, features, without=channel)
        for i in sure:
            n, missed = sizes[i]
            most = float(chi2.ppf(0.999, 2 * (missed + 1))) / 2
            if most <= HERALD_SURPRISE * float((1 - usual[rows[i]]).sum()):
                found.append(_herald(features, channel, j, HERALD_DAYS[i], n, missed, float(usual[rows[i]].mean())))
                break
    return found


def _herald(
    features: Sequence[Feature], channel: int, since: int, days: int, n: int, missed: int, usual: float
) -> Leak:
    columns = tuple(j for j, f in enumerate(features) if f.channel == channel and not f.field)
    before, _, after = say("days since the last {one}", one="\0").partition("\0")
    what = features[since].sentence.removeprefix(before).removesuffix(after)
    reason = say_many(
        "{met} of {all} with one in the last {n} day and none of the goal's events since met the goal ({usual} % are "
        "usual): it may be dated back, or be the goal itself; if it is, leave it out with `exclude`",
        "{met} of {all} with one in the last {n} days and none of the goal's events since met the goal ({usual} % are "
        "usual): it may be dated back, or be the goal itself; if it is, leave it out with `exclude`",
        days,
        met=numeral(f"{n - missed:,}"),
        all=numeral(f"{n:,}"),
        usual=numeral(f"{100 * usual:.0f}"),
    )
    return Leak("herald", columns, features[since].name, what, None, False, reason)


# --- the goal itself, and columns known later -----------------------------------------------------------


def find_decided(label: Labels) -> list[Leak]:
    """A goal that nearly everybody eligible meets: the eligibility may decide it."""
    rate = float(label.mean()) if len(label) else 0.0
    if rate < DECIDED_RATE:
        return []
    reason = say(
        "{rate} % of the eligible met the goal: what makes them eligible may decide it",
        rate=numeral(f"{100 * rate:.1f}"),
    )
    return [Leak("decided", (), "goal", say("the goal"), None, False, reason)]


def find_later(later: Sequence[tuple[str, float]]) -> list[Leak]:
    """Columns of events that hold times after the events' own.

    Args:
        later: names, and the share of their times that lie more than a day after the event and not after today.
    """
    return [
        Leak(
            "later", (), name, say("column {name}", name=name), None, False,
            say(
                "{share} % of its times lie more than a day after their event: it was filled in later, and a "
                "condition on it sees the future; it is no feature",
                share=numeral(f"{100 * share:.0f}"),
            ),
        )
        for name, share in later
        if share >= LATER_SHARE
    ]  # fmt: skip


# --- said -----------------------------------------------------------------------------------------------


UNMEASURED = {
    "today": noted("{what} (today)"),
    "herald": noted("{what} (herald)"),
    "later": noted("{what} (later)"),
    "decided": noted("{what} (decided)"),
}
"""How suspects are named that are found otherwise than by their AUC alone."""


def leak_notices(leaks: Sequence[Leak], most: int = 3) -> list[Notice]:
    """A notice that names the suspects, those dropped first."""
    leaks = [leak for leak in leaks if leak.action != "noted"]
    if not leaks:
        return []
    things = say_many(
        "{n} thing knows the outcome suspiciously well",
        "{n} things know the outcome suspiciously well",
        len(leaks),
        n=len(leaks),
    )
    dropped = sum(x.certain for x in leaks)
    message = say_many(
        "{things}, {n} was dropped: {named}.",
        "{things}, {n} were dropped: {named}.",
        dropped,
        n=dropped,
        things=things,
        named=first_of([_named(leak) for leak in leaks], most),
    )
    return [Notice("PROPEND-306", "LEAK_SUSPECT", message, say("check that they are known before it."))]


def _named(leak: Leak) -> str:
    if leak.auc is not None:
        return say("{what} (AUC {auc} alone)", what=leak.sentence, auc=numeral(f"{leak.auc:.3f}"))
    return say(UNMEASURED[leak.kind], what=leak.sentence)
