"""What moved: the factors behind the difference of two scores.

In every run, whatever its model, a profile's log-odds are the run's base plus one impact per factor. So what sets apart
a profile in two runs, two profiles, or the means of two groups, is exactly the difference of the bases plus one
difference per factor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from propend.explain.wording import Showing, typical_text
from propend.scoring import BUCKETS, IMPACT, SAYS, VALUE
from propend.snapshots.plan import Feature

Plain = dict[str, Any]
Float = NDArray[np.float64]

MOVERS, REASONS = 5, 3
SHARE_POINTS, SHARE_TIMES = 0.05, 1.5
"""A factor's effect has changed if its share of all impact did by so much, by difference and by ratio."""


@dataclass(frozen=True)
class Scene:
    """A finished run, as far as movement needs it.

    Attributes:
        scored_at: when it scored, as text.
        base: log-odds of a profile about whom nothing is known.
        factors: over all profiles, as its insights list them.
        features: of its plan, by name.
        scores: ``profile_id``, ``score``, ``probability``, ``bucket``; sorted by profile.
        contributions: of the same profiles in the same order.
    """

    scored_at: str
    base: float
    factors: Sequence[Plain]
    features: Mapping[str, Feature]
    scores: pa.Table
    contributions: pa.Table

    def of(self, rows: NDArray[np.int64]) -> Scene:
        """Some profiles only."""
        some = (table.take(pa.array(rows)) for table in (self.scores, self.contributions))
        return Scene(self.scored_at, self.base, self.factors, self.features, *some)

    @property
    def ids(self) -> NDArray[np.object_]:
        return np.asarray(self.scores.column("profile_id").to_numpy(zero_copy_only=False))

    def impact(self, code: str) -> Float:
        """float64[N]; 0 of a factor that the run does not have."""
        name = IMPACT + code
        if name not in self.contributions.column_names:
            return np.zeros(len(self.scores))
        return np.asarray(self.contributions.column(name).to_numpy(), dtype=np.float64)

    def value(self, factor: Plain) -> str:
        """What speaks for the factor of one profile, or what is typical of several, in words."""
        if len(self.scores) == 1:
            return str(self.contributions.column(SAYS + factor["code"])[0].as_py())
        column = self.contributions.column(VALUE + factor["code"])
        feature = self.features[factor["feature"]]
        if column.type == pa.float32():
            return typical_text(Showing(feature, ()), column.to_numpy(zero_copy_only=False).astype(np.float32))
        counts = Counter(column.to_pylist())
        most = min(counts, key=lambda text: (-counts[text], text))
        return f"{most} for {100 * counts[most] / len(column):.0f} %"

    @property
    def summary(self) -> Plain:
        """Score, probability and bucket of one profile; the means of several."""
        found: Plain = {"scored_at": self.scored_at, "profiles": len(self.scores)}
        for name in ("score", "probability"):
            found[name] = float(np.mean(self.scores.column(name).to_numpy()))
        if len(self.scores) == 1:
            found |= {"profile_id": str(self.ids[0]), "bucket": self.scores.column("bucket")[0].as_py()}
        return found


def difference(one: Scene, other: Scene) -> Plain:
    """From one to the other: how far the mean log-odds are apart, by factor, the largest first.

    ``log_odds`` is ``base`` plus the factors' ``change``. A factor that the run of one side lacks has no value there.
    """
    named = {f["code"]: f["label"] for side in (one, other) for f in side.factors}
    base, factors = other.base - one.base, []
    for code, label in named.items():
        before, after = (_standing(side, code) for side in (one, other))
        change = after["impact"] - before["impact"]
        factors.append({"code": code, "label": label, "change": change, "before": before, "after": after})
    factors.sort(key=lambda f: (-abs(f["change"]), f["code"]))
    return {
        "before": one.summary,
        "after": other.summary,
        "log_odds": base + sum(f["change"] for f in factors),
        "base": base,
        "factors": factors,
    }


def _standing(side: Scene, code: str) -> Plain:
    known = next((f for f in side.factors if f["code"] == code), None)
    return {"impact": float(np.mean(side.impact(code))), "value": side.value(known) if known else None}


def movement(earlier: Scene, later: Scene) -> Plain:
    """From one run to the next: who moved bucket, what moved everybody, who moved most, and what counts otherwise."""
    _, old, new = np.intersect1d(earlier.ids, later.ids, assume_unique=True, return_indices=True)
    before, after = earlier.of(old), later.of(new)
    found = {
        "profiles": {"both": len(old), "new": len(later.ids) - len(old), "gone": len(earlier.ids) - len(old)},
        "buckets": list(_transitions(before, after)),
        "effects": list(_effects(earlier.factors, later.factors)),
    }
    if not len(old):
        return found | {"everybody": None, "movers": []}
    moved = _log_odds(after) - _log_odds(before)
    order = np.argsort(-moved, kind="stable")
    most = [i for i in order[:MOVERS] if moved[i] > 0] + [i for i in order[::-1][:MOVERS] if moved[i] < 0]
    movers = [difference(before.of(np.array([i])), after.of(np.array([i]))) for i in most]
    for m in movers:
        m["factors"] = m["factors"][:REASONS]
    return found | {"everybody": difference(before, after), "movers": movers}


def _log_odds(scene: Scene) -> Float:
    p = scene.scores.column("probability").to_numpy()
    return np.asarray(np.log(p) - np.log1p(-p))


def _transitions(before: Scene, after: Scene) -> Iterator[Plain]:
    one, other = (side.scores.column("bucket").to_numpy(zero_copy_only=False) for side in (before, after))
    for was in reversed(BUCKETS):
        for now in reversed(BUCKETS):
            yield {"from": was, "to": now, "n": int(np.sum((one == was) & (other == now)))}


def _effects(earlier: Sequence[Plain], later: Sequence[Plain]) -> Iterator[Plain]:
    """Factors that count otherwise than they did: in another direction, or for more or less of all impact."""
    old, new = ({f["code"]: f for f in factors} for factors in (earlier, later))
    for code in dict.fromkeys([*new, *old]):
        sides = old.get(code), new.get(code)
        share = [f["share"] if f else 0.0 for f in sides]
        direction = [f["direction"] if f else None for f in sides]
        turned = {"more raises", "more lowers"} <= set(direction) and max(share) >= SHARE_POINTS
        low, high = sorted(share)
        if turned or (high - low >= SHARE_POINTS and high >= SHARE_TIMES * low):
            yield {
                "code": code,
                "label": (new.get(code) or old[code])["label"],
                "before": {"share": share[0], "direction": direction[0]},
                "after": {"share": share[1], "direction": direction[1]},
            }
