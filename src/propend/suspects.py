"""What may know the outcome before it can be known, looked for alike by ``check`` and in a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from propend.goal import ANYTHING
from propend.language import say
from propend.model import leaks
from propend.preparation import Prepared
from propend.snapshots.build import Rows, feature_matrix
from propend.snapshots.plan import CODE_OPS, Channel, Factor, Feature, Op, Plan

MOST_PROFILES = 4_000
RECENT_DAYS = (30, 90)


def find_suspects(
    prepared: Prepared, plan: Plan, X: NDArray[np.float32], rows: Rows, columns: Sequence[int]
) -> list[leaks.Leak]:
    """All tests of ``model.leaks`` on the training snapshots, the certain first.

    Args:
        X: float32[N, F], all features of the plan.
        rows: the snapshots.
        columns: features that vary and are no copies of others.
    """
    features, label = plan.features, rows.label
    columns = [j for j in columns if features[j].op not in CODE_OPS]  # positions of values tell nothing by their order
    found = leaks.find_powerful(X, label, columns, features)
    standing = _standing(prepared, plan, rows, columns)
    if standing is not None:
        found += leaks.find_todays(standing, features)
    found += leaks.find_outstanding(X, label, columns, features)
    found += leaks.find_heralds(X, label, features, _goal_channels(prepared, plan))
    if standing is not None:
        found += leaks.find_rewritten(standing, features)
    found += leaks.find_later([(f.field.name, f.later) for f in prepared.opened.field_facts])
    found += leaks.find_decided(label)
    return leaks.worst_first(found)


def _goal_channels(prepared: Prepared, plan: Plan) -> list[int]:
    """The channels of the goal's own events."""
    names = {*prepared.instance.goal.group.events}
    if ANYTHING in names:
        return [i for i, c in enumerate(plan.channels) if c.source != "value"]
    named = prepared.instance.events
    kinds = {k for n in names for k in (named[n].kinds if n in named else (n,))}
    return [i for i, c in enumerate(plan.channels) if c.source in ("bit", "kind") and c.name in names | kinds]


def _standing(prepared: Prepared, plan: Plan, rows: Rows, columns: Sequence[int]) -> leaks.Standing | None:
    """Profiles at the first training cutoff that has enough of them, then and today; None without attributes."""
    asked = tuple(int(j) for j in columns if plan.features[j].op in leaks.FACTS)
    cutoffs, sizes = np.unique(rows.cutoff, return_counts=True)
    enough = cutoffs[sizes >= 2 * leaks.LEAST_PROFILES]
    if not asked or not len(enough):
        return None
    chosen = np.flatnonzero(rows.cutoff == enough[0])[:MOST_PROFILES]
    profiles, then, label = rows.profile[chosen], rows.cutoff[chosen], rows.label[chosen]
    now = np.full(len(then), prepared.timeline.now)
    behaviour = _behaviour(plan, prepared.timeline.now - int(prepared.log.facts.days[0]))
    facts = replace(plan, features=tuple(plan.features[j] for j in asked))
    then_rows, now_rows = Rows(profiles, then, label), Rows(profiles, now, label)
    return leaks.Standing(
        behaviour=behaviour.features,
        then=feature_matrix(prepared.log, behaviour, then_rows),
        now=feature_matrix(prepared.log, behaviour, now_rows),
        facts=feature_matrix(prepared.log, facts, then_rows),
        facts_now=feature_matrix(prepared.log, facts, now_rows),
        columns=asked,
        label=label,
    )


def _behaviour(plan: Plan, history_days: int) -> Plan:
    """Counts, sums, recency and tenure of every stream of events, over all there is and over recent windows."""
    channels = tuple(c for c in plan.channels if c.source != "value")
    windows = tuple(sorted({*(w for w in RECENT_DAYS if w < history_days), history_days}))
    features = [f for i, c in enumerate(channels) for f in _of_channel(i, c, windows)]
    return Plan(channels, windows, tuple(features))


def _of_channel(i: int, c: Channel, windows: Sequence[int]) -> Iterator[Feature]:
    whole = windows[-1]
    blank = Feature("", "", Op.COUNT, i, whole, Factor("", ""), "count")
    for w in windows:
        number, total = say("number of {many}", many=c.many), say("total value of {many}", many=c.many)
        if w < whole:
            number = say("number of {many} in the last {days} days", many=c.many, days=w)
            total = say("total value of {many} in the last {days} days", many=c.many, days=w)
        yield replace(blank, sentence=number, op=Op.COUNT, window_days=w)
        if c.valued:
            yield replace(blank, sentence=total, op=Op.SUM, window_days=w)
    if c.valued:
        yield replace(blank, sentence=say("average value of {many}", many=c.many), op=Op.VALUE_MEAN)
        yield replace(blank, sentence=say("largest value of {many}", many=c.many), op=Op.MAX)
    yield replace(blank, sentence=say("days with {many}", many=c.many), op=Op.ACTIVE_DAYS)
    yield replace(blank, sentence=say("days since the last {one}", one=c.one), op=Op.DAYS_SINCE_LAST)
    yield replace(blank, sentence=say("days since the first {one}", one=c.one), op=Op.DAYS_SINCE_FIRST)
