"""Champion against challenger: two models on the same profiles, at cutoffs that neither has learnt from.

Both give the probabilities that ``propend score`` would have given. Differences are paired, with whole profiles
resampled. The challenger is promoted only where it is better by a margin, and surely better at all: replacing a
model costs trust and work, and the better of two equals is luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from propend.aftermath import Seen, question_of
from propend.errors import DifferentQuestionsError, NoFairComparisonError
from propend.instance import Instance
from propend.language import noted, numeral, say
from propend.model.evaluate import Metric, evaluate, paired_differences
from propend.phrasing import percent
from propend.record import instant
from propend.snapshots.build import Rows, Survey, feature_matrix, rows_at, survey
from propend.store.runs import SavedModel
from propend.timeline import day_date, day_number

Plain = dict[str, Any]
Float = NDArray[np.float64]

MARGIN = 0.005
"""By how much of the champion's log loss the challenger's must be lower."""
MOST_CUTOFFS = 6
MOST_ROWS = 200_000
LEAST_OUTCOMES = 20
"""Of the rarer kind, below which two models cannot be told apart."""
DECISIONS = {
    "promote": noted(
        "Promote the challenger: its probabilities are better by at least the {margin} of log loss asked for"
    ),
    "keep": noted("Keep the champion: the challenger does not save the {margin} of log loss asked for"),
    "worse": noted("Keep the champion: the challenger ranks worse"),
    "open": noted("Cannot tell yet, so keep the champion: later outcomes will decide"),
}


@dataclass(frozen=True)
class Contender:
    """A trained model.

    Attributes:
        folder: of its run or training.
        saved: what it scores with.
        learnt_until: the day that its training stood at: it knows nothing from then on.
    """

    folder: Path
    saved: SavedModel
    learnt_until: int

    @classmethod
    def of(cls, folder: Path, saved: SavedModel) -> Contender:
        """A saved model with the day that its training stood at."""
        stood = datetime.fromisoformat(saved.facts["timeline"]["now"]).astimezone(saved.instance.options.zone)
        return cls(folder, saved, day_number(stood.date()))

    def before_refit(self) -> Contender:
        """What it was when it was proved: it knows nothing from the proof's cutoff on."""
        cutoffs = self.saved.facts["timeline"]["cutoffs"]
        proof = next(c["cutoff_at"] for c in cutoffs if c["role"] == "proof")
        stood = datetime.fromisoformat(proof).astimezone(self.saved.instance.options.zone)
        return Contender(self.folder, replace(self.saved, model=self.saved.proof_model), day_number(stood.date()))

    @property
    def fields(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The columns of numbers and of texts that it needs read."""
        return self.saved.number_fields, self.saved.text_fields


def same_events(one: Instance, other: Instance) -> bool:
    """Whether one reading of the data serves both: sources, named events and lines are the same."""
    parts = ("data", "events", "goal", "eligible", "exits", "exclude")
    options = ("time_zone", "was_doing", "remove_met_in_gap")
    same_options = all(getattr(one.options, o) == getattr(other.options, o) for o in options)
    return same_options and all(getattr(one, p) == getattr(other, p) for p in parts)


def gate_question(champion: Instance, challenger: Instance) -> None:
    """Refuse to compare models of different questions.

    Raises:
        DifferentQuestionsError: goal, eligibility, or what they are made of, differ.
    """
    ours, theirs = question_of(champion), question_of(challenger)
    differing = [key for key in ours if ours[key] != theirs[key]]
    if differing:
        raise DifferentQuestionsError(
            f"The challenger {challenger.name!r} asks another question than {champion.name!r}: they differ in "
            f"{', '.join(differing)}.",
            "train the challenger for the same goal and eligibility; its columns, look-back and further events are "
            "its own.",
            differing=differing,
        )


def gate_proof(challenger: Contender) -> None:
    """Refuse a proof that is of the same cutoffs as the training.

    Raises:
        NoFairComparisonError: history was too short for a later one.
    """
    if challenger.saved.evaluation["proof"] == "same-period":
        raise NoFairComparisonError(
            "The challenger was proved on the period that it learnt from, for want of history: beside it, a model that "
            "learnt from less would seem worse than it is.",
            "compare again when there is a period after the training to prove on.",
        )


def fair_cutoffs(seen: Seen, champion: Contender, challenger: Contender) -> list[int]:
    """Days to compare at, ascending: matured, and not before either model's training ended; windows do not overlap.

    Raises:
        NoFairComparisonError: there is none yet.
    """
    newest = seen.observation.until_day - seen.windows.reach_days - seen.windows.settle_days
    oldest = max(champion.learnt_until, challenger.learnt_until)
    if newest < oldest:
        late = "challenger" if challenger.learnt_until > champion.learnt_until else "champion"
        possible = day_date(seen.known_from(oldest))
        raise NoFairComparisonError(
            f"The {late} learnt from data until {day_date(oldest)}; what came after that is known only from {possible} "
            f"on, and these data end at {day_date(seen.observation.until_day)}.",
            f"compare again with data until {possible}, or train the {late} as of {day_date(newest)} or before.",
            learnt_until=str(day_date(oldest)),
            possible_on=str(possible),
            observed_until=str(day_date(seen.observation.until_day)),
        )
    return sorted(range(newest, oldest - 1, -max(seen.windows.reach_days, 1))[:MOST_CUTOFFS])


def compare(seen: Seen, champion: Contender, challenger: Contender, other: Seen, margin: float) -> Plain:
    """Both models on the same snapshots.

    Args:
        seen: the data as the champion reads them; its population and labels count for both.
        other: the data as the challenger reads them; may be the same.
        margin: share of the champion's log loss that the challenger must save.

    Raises:
        NoFairComparisonError: no cutoff is fair to both yet, or too few outcomes are known there.
    """
    days = fair_cutoffs(seen, champion, challenger)
    ours_seen = seen.standing_at(days)
    given = survey(ours_seen.log, seen.program, days)
    rows = rows_at(given, days, labelled=True)
    if len(rows) > MOST_ROWS:
        rows = rows_at(given, days, labelled=True, share=MOST_ROWS / len(rows))
    theirs_seen, place = ours_seen, rows.profile
    if other is not seen:
        theirs_seen = other.standing_at(days)
        place = _places(given, survey(theirs_seen.log, other.program, days), rows)
    rows, place = rows.where(place >= 0), place[place >= 0]
    persons = given.persons(rows.profile)
    _gate_outcomes(persons, rows, days)
    ours = _probability(champion.saved, ours_seen, rows)
    theirs = _probability(challenger.saved, theirs_seen, Rows(place, rows.cutoff, rows.label))
    return _document(seen, (champion, challenger), days, rows, persons, (ours, theirs), margin)


def _places(given: Survey, there: Survey, rows: Rows) -> NDArray[np.int64]:
    """int64[N]: where another reading, of the same cutoffs, has the profile of each row; -1 where it has not."""
    found = np.full(len(rows), -1, dtype=np.int64)
    for column, day in enumerate(there.cutoffs):
        here, known = np.flatnonzero(rows.cutoff == day), there.there(column)
        asked, others = (
            pa.array(ids, pa.string()) for ids in (given.profile_ids[rows.profile[here]], there.profile_ids[known])
        )
        place = np.asarray(pc.fill_null(pc.index_in(asked, value_set=others), -1).to_numpy(), dtype=np.int64)
        found[here[place >= 0]] = known[place[place >= 0]]
    return found


def _gate_outcomes(persons: NDArray[np.int64], rows: Rows, days: Sequence[int]) -> None:
    met, unmet = (len(np.unique(persons[rows.label == value])) for value in (1, 0))
    if min(met, unmet) < LEAST_OUTCOMES:
        raise NoFairComparisonError(
            f"As of {', '.join(str(day_date(d)) for d in days)}, {met:,} profiles met the goal and {unmet:,} did not; "
            f"{LEAST_OUTCOMES} of each are needed to tell two models apart.",
            "compare again with later data.",
            met=met, unmet=unmet, minimum=LEAST_OUTCOMES,
        )  # fmt: skip


def _probability(saved: SavedModel, seen: Seen, rows: Rows) -> Float:
    """float64[N]: of rows in any order."""
    order = np.lexsort((rows.cutoff, rows.profile))
    ordered = Rows(rows.profile[order], rows.cutoff[order], rows.label[order])
    found = np.empty(len(rows))
    found[order] = saved.model.probability(feature_matrix(seen.log, saved.plan, ordered))
    return found


# --- the decision ---------------------------------------------------------------------------------------------


def _document(
    seen: Seen,
    pair: tuple[Contender, Contender],
    days: Sequence[int],
    rows: Rows,
    persons: NDArray[np.int64],
    probability: tuple[Float, Float],
    margin: float,
) -> Plain:
    zone = pair[0].saved.instance.options.zone
    sides = [
        {
            "folder": str(contender.folder),
            "trained_at": contender.saved.facts["trained_at"],
            "learnt_until": instant(contender.learnt_until, zone),
            "expected_rate": float(p.mean()),
            **{name: metric.to_dict() for name, metric in evaluate(rows.label, p, groups=persons).items()},
        }
        for contender, p in zip(pair, probability, strict=True)
    ]
    ours, theirs = probability
    differences = paired_differences(rows.label, theirs, ours, groups=persons)
    saved = _saving(differences["log_loss"], sides[0]["log_loss"]["value"])
    decision = decide(saved, differences["auc"], margin)
    return {
        "cutoffs": [instant(d, zone) for d in days],
        "outcome_ends_at": instant(days[-1] + seen.windows.reach_days, zone),
        "n": len(rows),
        "profiles": len(np.unique(persons)),
        "positives": int(rows.label.sum()),
        "margin": margin,
        "champion": sides[0],
        "challenger": sides[1],
        "differences": {name: metric.to_dict() for name, metric in differences.items()},
        "saving": saved.to_dict(),
        "decision": "keep" if decision == "worse" else decision,
        "sentence": _words(decision, saved, differences["auc"], margin),
    }


def _saving(difference: Metric, loss: float) -> Metric:
    """The share of the champion's log loss that the challenger saves."""
    return Metric(*(-x / loss + 0.0 for x in (difference.value, difference.high, difference.low)))


def decide(saving: Metric, ranking: Metric, margin: float) -> str:
    """``promote``, ``keep``, ``worse`` or ``open``.

    Promoted is a challenger that saves the margin, of which the 95 % interval leaves no doubt that it saves
    something, and that does not surely rank worse. Kept is the champion where even the best end of the interval is
    under the margin, or the challenger surely ranks worse. Else more outcomes are needed.

    Args:
        saving: share of the champion's log loss saved.
        ranking: AUC of the challenger minus that of the champion.
    """
    if ranking.high < 0:
        return "worse"
    if saving.value >= margin and saving.low > 0:
        return "promote"
    return "keep" if saving.high < margin else "open"


def _words(decision: str, saving: Metric, ranking: Metric, margin: float) -> str:
    head = say(DECISIONS[decision], margin=percent(margin))
    if saving.low == saving.high == ranking.low == ranking.high == 0:
        return say("{decision}; there is no difference at all.", decision=head)
    saved, saved_low, saved_high = (_signed(f"{100 * x:+.1f} %") for x in (saving.value, saving.low, saving.high))
    moved, moved_low, moved_high = (_signed(f"{x:+.3f}") for x in (ranking.value, ranking.low, ranking.high))
    return say(
        "{decision}. Log loss saved: {saved} (95 % interval {saved_low} to {saved_high}); AUC changes by {moved} "
        "({moved_low} to {moved_high}).",
        decision=head,
        saved=saved,
        saved_low=saved_low,
        saved_high=saved_high,
        moved=moved,
        moved_low=moved_low,
        moved_high=moved_high,
    )


def _signed(text: str) -> str:
    return numeral(text.replace("-", "−"))
