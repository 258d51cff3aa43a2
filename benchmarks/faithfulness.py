"""Whether the factors named are true: to the model, from one fit to the next, and to what made the data.

On real goals and on the simulator: deletion and insertion curves of each profile's own order beside the order by the
trees' gain and random ones; how much of the top three stays when the model is fitted again on profiles drawn anew,
beside single features; and a shuffled factor, which must be left with nothing. On the simulator, whose drivers are
known: whether the strongest has the right sign and is among the three strongest named.

    python benchmarks/faithfulness.py            # the simulator, under a minute
    FULL=1 python benchmarks/faithfulness.py     # three real goals more, more refits and seeds
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propend.demo.simulator import DRIVERS, simulate
from propend.explain.factors import NAMED_SHARE, Explainer, build_explainer
from propend.explain.faithfulness import curves, named_order, random_order, typical_row
from propend.instance import Instance
from propend.model.evaluate import wilson
from propend.model.train import Choices, Columns, Model, TrainingSet, choose, fit
from propend.preparation import Prepared, Stages, prepare, read_inputs
from propend.snapshots.build import feature_matrix, rows_at
from propend.snapshots.plan import Plan
from propend.timeline import day_number
from propend.training import build_plan, gather, settle_columns

Matrix = NDArray[np.float32]
Float = NDArray[np.float64]

EXAMPLES = Path(__file__).parent.parent / "examples"
FULL = bool(os.environ.get("FULL"))
REAL = ("online_retail_ii_purchase", "complete_journey_churn_14", "cdnow_churn") if FULL else ()
REFITS, SEEDS = (10, range(5)) if FULL else (3, range(1))
SIMULATED: dict[str, Any] = {
    "name": "Simulator",
    "data": {"columns": {"profile": "profile_id", "at": "at", "event": "kind", "value": "value"}},
    "goal": {"did": "purchase", "within": "30d"},
    "eligible": {"did": "anything", "within": "90d"},
}
PROFILES, DAYS = 6_000, 390
ROWS, STEPS, TOP = 1_000, 5, 3


@dataclass(frozen=True)
class Fitted:
    """A goal's model as the recipe makes it, and the rows that are explained.

    Attributes:
        ids: str[N] profiles.
        X: float32[N, F], as of now.
        day: number of the day that is now.
    """

    name: str
    plan: Plan
    train: TrainingSet
    columns: Columns
    choices: Choices
    model: Model
    ids: NDArray[np.object_]
    X: Matrix
    day: int

    def explainer(self, model: Model | None = None) -> Explainer:
        return build_explainer(model or self.model, self.plan.features, self.X)


def fitted(name: str, prepared: Prepared) -> Fitted:
    """Learn from the matured cutoffs before the proof, and describe everybody as of now."""
    plan = build_plan(prepared)
    learning = gather(prepared, plan)
    columns, _, _ = settle_columns(prepared, plan, learning)
    choices, model = choose(learning.train, columns, 1)
    rows = rows_at(prepared.survey, [prepared.timeline.now], labelled=False)
    X, ids = feature_matrix(prepared.log, plan, rows), prepared.survey.profile_ids[rows.profile]
    return Fitted(name, plan, learning.train, columns, choices, model, ids, X, prepared.timeline.now)


def real(name: str) -> Fitted:
    """An example's goal."""
    [path] = EXAMPLES.rglob(f"{name}.yaml")
    inputs = read_inputs(path)
    with prepare(inputs, Stages()) as prepared:
        return fitted(Instance.load(path).name, prepared)


# --- to the model ---------------------------------------------------------------------------------------


def gain_order(explainer: Explainer) -> NDArray[np.int64]:
    """int64[G]: factors by the trees' total gain; lines have none."""
    gain = np.zeros(len(explainer.factors))
    for booster in explainer.model.trees:
        for feature, value in booster.get_score(importance_type="total_gain").items():
            gain[explainer.group[int(feature.removeprefix("f"))]] += value
    return np.argsort(-gain, kind="stable")


def curve_lines(given: Fitted) -> Iterator[str]:
    """Both curves in three orders; the last columns: what the own order gains at the first step."""
    explainer, some = given.explainer(), given.X[:: max(1, len(given.X) // ROWS)][:ROWS]
    typical, chance = typical_row(some), [random_order(explainer, len(some), seed) for seed in range(5)]
    orders = {"own": [named_order(explainer, some)], "gain": [gain_order(explainer)], "random": chance}
    found = {n: [curves(explainer, some, o, typical, STEPS) for o in kind] for n, kind in orders.items()}
    for side in ("deletion", "insertion"):
        for name, kind in found.items():
            mean = np.mean([getattr(c, side) for c in kind], axis=0)
            steps = " | ".join(f"{x:.3f}" for x in mean)
            yield f"| {given.name} | {side} | {name} | {steps} |"


# --- from one fit to the next ---------------------------------------------------------------------------


def drawn_anew(train: TrainingSet, seed: int) -> TrainingSet:
    """Whole profiles drawn with replacement; a profile drawn twice is two, or folds would share it."""
    rng = np.random.default_rng(seed)
    names, profile = np.unique(train.key, return_inverse=True)
    order = np.argsort(profile, kind="stable")
    start = np.searchsorted(profile[order], np.arange(len(names) + 1))
    chosen = rng.integers(0, len(names), len(names))
    rows = np.concatenate([order[start[p] : start[p + 1]] for p in chosen])
    key = np.repeat(rng.integers(0, 2**63, len(chosen)).astype(np.uint64), np.diff(start)[chosen])
    return TrainingSet(train.X[rows], train.label[rows], key, train.cutoff[rows], train.odds_shift)


def stability(given: Fitted) -> tuple[float, float]:
    """Share of a profile's top three factors, and of its top three features, that a refit names again: the mean."""
    lone = [replace(f, factor=replace(f.factor, code=f.name)) for f in given.plan.features]
    some = given.X[:: max(1, len(given.X) // ROWS)][:ROWS]

    def tops(model: Model) -> list[NDArray[np.int64]]:
        both = (build_explainer(model, features, some) for features in (given.plan.features, lone))
        return [named_order(explainer, some)[:, :TOP] for explainer in both]

    first, kept = tops(given.model), []
    for seed in range(REFITS):
        again = tops(fit(drawn_anew(given.train, seed), given.columns, given.choices, 1))
        kept.append(
            [float((a[:, :, None] == b[:, None, :]).any(axis=2).mean()) for a, b in zip(first, again, strict=True)]
        )
    factors, features = np.mean(kept, axis=0)
    return float(factors), float(features)


def shuffled_share(given: Fitted) -> tuple[str, float, float, float]:
    """The strongest factor: its share of all impact as it is and shuffled, and how often it is named then."""
    explainer = given.explainer()
    impact = np.abs(explainer.contributions(given.X).impact).mean(axis=0, dtype=np.float64)
    strongest = int(np.argmax(impact))
    columns = explainer.columns[explainer.group == strongest]
    order, X = np.random.default_rng(1).permutation(len(given.train)), given.train.X.copy()
    X[:, columns] = X[order][:, columns]
    again = given.explainer(choose(replace(given.train, X=X), given.columns, 1)[1])
    found = np.abs(again.contributions(given.X).impact)
    share = found / found.sum(axis=1, keepdims=True)
    label = explainer.factors[strongest].label
    whole = found.mean(axis=0, dtype=np.float64)
    named = float((share[:, strongest] >= NAMED_SHARE).mean())
    return label, float(impact[strongest] / impact.sum()), float(whole[strongest] / whole.sum()), named


# --- to what made the data ------------------------------------------------------------------------------


def driver_of(code: str) -> str | None:
    """The simulator's driver that a factor speaks of, if any: how long ago something happened tells of leaving."""
    stream, _, meaning = code.partition("__")
    if stream in {"any", "signup"} or (stream == "purchase" and meaning == "since_last"):
        return "silence"
    return stream if stream in DRIVERS else None


def against_truth(seed: int) -> tuple[Fitted, int, int, int]:
    """The model of one simulation; profiles, those whose true top driver has the right sign, is among the top three."""
    made = simulate(PROFILES, DAYS, seed)
    with prepare(read_inputs(SIMULATED, made.events), Stages()) as prepared:
        given = fitted(f"Simulator {seed}", prepared)
    explainer, truth = given.explainer(), made.drivers(given.day - day_number(made.first))
    impact, place = explainer.contributions(given.X).impact, {name: i for i, name in enumerate(truth.profile_ids)}
    found = np.zeros((len(given.X), len(DRIVERS)))
    for g, factor in enumerate(explainer.factors):
        driver = driver_of(factor.code)
        if driver:
            found[:, DRIVERS.index(driver)] += impact[:, g]
    true, rows = truth.impact[[place[str(i)] for i in given.ids]], np.arange(len(given.X))
    top = np.abs(true).argmax(axis=1)
    right = np.sign(true[rows, top]) == np.sign(found[rows, top])
    among = (np.argsort(-np.abs(found), axis=1)[:, :TOP] == top[:, None]).any(axis=1)
    return given, len(rows), int(right.sum()), int(among.sum())


# --- the tables -----------------------------------------------------------------------------------------


def shown(share: int, n: int) -> str:
    low, high = wilson(share, n)
    return f"{share / n:.1%} ({low:.1%} to {high:.1%})"


def main() -> None:
    """Measure and print."""
    truths = [against_truth(seed) for seed in SEEDS]
    goals = [*(real(name) for name in REAL), truths[0][0]]
    head = " | ".join(f"{k}" for k in range(STEPS + 1))
    print(f"Mean absolute difference in log-odds, by factors taken away or given\n\n| goal | curve | order | {head} |")
    print("| --- | --- | --- |" + " ---: |" * (STEPS + 1))
    print("\n".join(line for given in goals for line in curve_lines(given)))
    print(f"\nTop {TOP} named again by {REFITS} refits on profiles drawn anew; the strongest factor shuffled\n")
    print("| goal | factors | single features | strongest factor | its share | shuffled | named then |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: |")
    for given in goals:
        factors, features = stability(given)
        label, share, left, named = shuffled_share(given)
        print(f"| {given.name} | {factors:.0%} | {features:.0%} | {label} | {share:.0%} | {left:.1%} | {named:.1%} |")
    n, right, among = (sum(t[k] for t in truths) for k in (1, 2, 3))
    print(
        f"\nOf {n:,} simulated profiles the true strongest driver has the right sign in {shown(right, n)}, and is "
        f"among the three strongest named in {shown(among, n)}."
    )


if __name__ == "__main__":
    main()
