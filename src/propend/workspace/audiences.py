"""Audiences: what is to be expected of so many profiles, taken by their scores or by a rule.

Expected are sums of calibrated probabilities, over the profiles that are scored now; what the proof measured stands
beside them, with what simple rules and chance would have reached there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from propend.model.certainty import Expected
from propend.segments import Members, Rule

Float = NDArray[np.float64]
Plain = dict[str, Any]


@dataclass(frozen=True)
class Tally:
    """What is expected of some profiles.

    Attributes:
        n: how many they are.
        expected: ``value``, ``low`` and ``high`` of how many of them will meet the goal.
    """

    n: int
    expected: Mapping[str, float]

    @property
    def rate(self) -> float | None:
        """Their mean probability; None of nobody."""
        return self.expected["value"] / self.n if self.n else None


def tally(batches: Iterable[pa.RecordBatch], level_error: float) -> Tally:
    """Add up probabilities, a part at a time.

    Args:
        batches: with ``probability``.
        level_error: of the run that made them (``level_error_of``).
    """
    found = Expected(level_error)
    for batch in batches:
        found.add(batch.column("probability").to_numpy(zero_copy_only=False))
    return Tally(found.profiles, found.interval)


def level_error_of(run: Plain) -> float:
    """The error to expect of the level, in log-odds, by a run's record."""
    return float(run["model"]["calibration"]["level_error"] or 0.0)


@dataclass(frozen=True)
class Take:
    """The profiles with the highest probabilities, down to one probability.

    Attributes:
        asked: how many were asked for.
        n: how many there are: more where others have the same probability as the last of them.
        threshold: the least probability among them.
        expected: as in ``Tally``.
        of_all: share of all who are expected to meet the goal that is among them.
    """

    asked: int
    n: int
    threshold: float
    expected: Mapping[str, float]
    of_all: float

    @property
    def rate(self) -> float:
        """Their mean probability."""
        return self.expected["value"] / self.n

    @property
    def where(self) -> str:
        """The rule that means them and nobody else, in the run that they were taken from."""
        return f"probability >= {self.threshold!r}"

    def gain(self, cost: float, value: float) -> dict[str, float]:
        """What is left of the value of those expected, less the cost of all; with its interval."""
        return {end: value * self.expected[end] - cost * self.n for end in ("value", "low", "high")}


class Ranked:
    """The probabilities of all profiles of a run, the highest first."""

    def __init__(self, probability: Float, level_error: float) -> None:
        """``probability``: float64[N], in any order."""
        self._probability, self._level_error = np.sort(probability)[::-1], level_error
        self.total = float(self._probability.sum())

    @classmethod
    def of(cls, batches: Iterable[pa.RecordBatch], level_error: float) -> Ranked:
        """From batches with ``probability``."""
        parts = [b.column("probability").to_numpy(zero_copy_only=False) for b in batches]
        return cls(np.concatenate(parts) if parts else np.zeros(0), level_error)

    def __len__(self) -> int:
        return len(self._probability)

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        return int(self._probability.nbytes)

    def take(self, n: int) -> Take:
        """The top so many, at least one and at most all; there must be somebody."""
        asked = min(max(n, 1), len(self))
        threshold = float(self._probability[asked - 1])
        taken = int(np.searchsorted(-self._probability, -threshold, side="right"))
        expected = Expected(self._level_error).add(self._probability[:taken]).interval
        return Take(asked, taken, threshold, expected, expected["value"] / self.total if self.total else 0.0)

    def worth_it(self, cost: float, value: float) -> int:
        """How many have a greater chance than ``cost / value``: taking these, and no more, gains most.

        Args:
            cost: of a contact; positive.
            value: of somebody who meets the goal; positive.
        """
        return int(np.searchsorted(-self._probability, -cost / value, side="left"))


# --- what the proof says of as many -----------------------------------------------------------------------------


def proved(evaluation: Plain, share: float) -> Plain:
    """What share of those who met the goal the top ``share`` held in the proof: ``value``, ``low``, ``high``.

    Between two measured shares it is read off the straight line. ``simple`` has the best simple rule's ``name`` and
    ``value``, or is None where the run did not measure it; at random it is ``share`` itself.
    """
    rows = _measured(evaluation)
    found: Plain = {end: _between(rows, end, share) for end in ("share_caught", "low", "high", "perfect")}
    rules = {
        name: _between(figures["gains"], "share_caught", share)
        for name, figures in evaluation["baselines"].items()
        if "gains" in figures
    }
    reached = {name: value for name, value in rules.items() if value is not None}
    best = max(reached, key=lambda name: reached[name], default=None)
    return {
        "value": found["share_caught"],
        "low": found["low"],
        "high": found["high"],
        "perfect": found["perfect"],
        "simple": {"name": best, "value": reached[best]} if best is not None else None,
    }


def _measured(evaluation: Plain) -> list[Plain]:
    """``gains``, and between them the small shares of ``top_n``: the curve bends most where it begins."""
    rows = {row["share_targeted"]: row for row in evaluation["gains"] if row["share_caught"] is not None}
    met, base = evaluation["positives"], evaluation["base_rate"]
    for top in evaluation["top_n"] if met else ():
        rows.setdefault(top["share"], {
            "share_targeted": top["share"], "share_caught": top["caught"] / met, "low": top["caught_low"] / met,
            "high": min(1.0, top["caught_high"] / met), "perfect": min(1.0, top["share"] / base),
        })  # fmt: skip
    return [rows[share] for share in sorted(rows)]


def _between(rows: Sequence[Plain], field: str, share: float) -> float | None:
    known = [(row["share_targeted"], row[field]) for row in rows if row[field] is not None]
    if not known:
        return None
    at, values = zip(*known, strict=True)
    return float(np.interp(share, at, values))


# --- from run to run --------------------------------------------------------------------------------------------


class Scored(Protocol):
    """The scores of a run, as far as members are asked for."""

    def members(self, rule: Rule) -> Members:
        """The profiles that a rule means."""

    def batches(self, rule: Rule, columns: Sequence[str]) -> Iterable[pa.RecordBatch]:
        """The rows that a rule means."""


@dataclass(frozen=True)
class Moved:
    """Who joined and who left, from one run to the next.

    Attributes:
        before, now: how many members there were, and are.
        joined, left: how many.
        fresh: of those who joined, how many had no score before.
        gone: of those who left, how many have no score now.
        first_joined, first_left: the first of them, by id.
    """

    before: int
    now: int
    joined: int
    left: int
    fresh: int
    gone: int
    first_joined: tuple[str, ...]
    first_left: tuple[str, ...]

    @property
    def stayed(self) -> int:
        """How many were members then and are now."""
        return self.now - self.joined


SHOWN_MOVED = 10


def moved(now: Scored, before: Scored, rule: Rule) -> Moved:
    """The members of a rule by the scores of two runs; ids are in memory, and nothing else of the profiles."""
    present, past = now.members(rule), before.members(rule)
    joined = Members(present.ids.filter(pc.invert(past.among(present.ids))))
    left = Members(past.ids.filter(pc.invert(present.among(past.ids))))
    return Moved(
        before=len(past.ids), now=len(present.ids), joined=len(joined.ids), left=len(left.ids),
        fresh=len(joined.ids) - _scored(before, joined), gone=len(left.ids) - _scored(now, left),
        first_joined=tuple(joined.ids.slice(0, SHOWN_MOVED).to_pylist()),
        first_left=tuple(left.ids.slice(0, SHOWN_MOVED).to_pylist()),
    )  # fmt: skip


def _scored(scores: Scored, members: Members) -> int:
    """How many of some profiles have a score."""
    if not len(members.ids):
        return 0
    found = (members.among(b.column("profile_id")) for b in scores.batches(Rule(), ["profile_id"]))
    return sum(pc.sum(inside).as_py() or 0 for inside in found)
