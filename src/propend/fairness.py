"""Groups of profiles by attributes that the model does not use, and how the model does in each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propend.events import Partition
from propend.model.evaluate import wilson
from propend.model.groups import Outcomes, bands, group_figures, group_sentences, shown_groups, unnamed
from propend.model.leaks import power_of
from propend.preparation import Prepared
from propend.snapshots.build import Rows
from propend.snapshots.consent import last_rows
from propend.snapshots.plan import Feature

PROXIES = 3
PROXY_AUC = 0.6
PROXY_ROWS = 5_000

Values = dict[str, list[str | None]]


def values_today(prepared: Prepared) -> Values:
    """The latest value of each attribute of ``options.fairness``, per profile in the order of the survey.

    As of today, also for past cutoffs: a group is no feature, so that it need not have been known then.
    """
    log = prepared.log
    found: Values = {}
    for name in prepared.instance.options.fairness or ():
        of_events = name not in (*log.attribute_numbers, *log.attribute_texts)
        numbers = log.request.number_fields if of_events else log.attribute_numbers
        texts = log.request.text_fields if of_events else log.attribute_texts
        if name in numbers:
            latest = partial(_latest_number, numbers.index(name), of_events)
            found[name] = bands(np.concatenate(list(log.visit(latest))))
        else:
            t = texts.index(name)
            codes = np.concatenate(list(log.visit(partial(_latest_code, t, of_events))))
            found[name] = _words(codes, (log.vocabularies if of_events else log.attribute_vocabularies)[t])
    return found


def _words(codes: NDArray[np.int64], vocabulary: tuple[str, ...]) -> list[str | None]:
    return [vocabulary[c] if c >= 0 else None for c in codes.tolist()]


def _latest_code(field: int, of_events: bool, part: Partition) -> NDArray[np.int64]:
    rows = part if of_events else part.attributes
    if rows is None:
        return np.full(part.profiles, -1, dtype=np.int64)
    codes = rows.texts[field]
    last = last_rows(rows.offsets, codes >= 0)
    return np.where(last >= 0, codes[last] if len(codes) else -1, -1).astype(np.int64)


def _latest_number(field: int, of_events: bool, part: Partition) -> NDArray[np.float64]:
    rows = part if of_events else part.attributes
    return np.full(part.profiles, np.nan) if rows is None else _latest(rows.offsets, rows.numbers[field])


def _latest(offsets: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    last = last_rows(offsets, ~np.isnan(values))
    return np.where(last >= 0, values[last] if len(values) else np.nan, np.nan)


def _at(values: list[str | None], rows: Rows) -> NDArray[np.object_]:
    return shown_groups([values[i] for i in rows.profile.tolist()])


# --- in the proof, and now ------------------------------------------------------------------------------


def proof_groups(
    prepared: Prepared, rows: Rows, outcomes: Outcomes, X: NDArray[np.float32], features: Mapping[int, Feature]
) -> list[dict[str, Any]]:
    """One entry per attribute, for ``evaluation.json``: groups with their figures, what is sure, and proxies.

    Args:
        rows: the proof's, in the order of ``outcomes``.
        X: float32[N, F].
        features: those the model uses, by their column.
    """
    found = []
    for name, values in values_today(prepared).items():
        groups = _at(values, rows)
        figures = group_figures(outcomes, groups)
        found.append(
            {
                "attribute": name,
                "groups": figures,
                "sentences": group_sentences(name.replace("_", " "), figures),
                "proxies": _proxies(groups, X, features),
            }
        )
    return found


def _proxies(
    groups: NDArray[np.object_], X: NDArray[np.float32], features: Mapping[int, Feature]
) -> list[dict[str, Any]]:
    """The inputs that tell best who is in which group: what the model may go by in the attribute's place."""
    thin = slice(None, None, max(1, len(groups) // PROXY_ROWS))
    names = [g for g in np.unique(groups[thin].astype(str)).tolist() if g not in unnamed()]
    told = [
        (power_of(X[thin, j], inside), feature.sentence, name)
        for name in names
        if 0 < (inside := (groups[thin] == name).astype(np.uint8)).sum() < len(inside)
        for j, feature in features.items()
    ]
    best: list[dict[str, Any]] = []
    for auc, sentence, group in sorted(told, reverse=True):
        if auc >= PROXY_AUC and len(best) < PROXIES and sentence not in {b["sentence"] for b in best}:
            best.append({"sentence": sentence, "group": group, "auc": auc})
    return best


def scored_groups(prepared: Prepared, rows: Rows, high: NDArray[np.bool_], probability: NDArray[np.float64]) -> Any:
    """One entry per attribute, for ``insights.json``: who is selected in each group of those scored now."""
    found = []
    for name, values in values_today(prepared).items():
        groups = _at(values, rows)
        names, sizes = np.unique(groups.astype(str), return_counts=True)
        shown = []
        for group, n in zip(names.tolist(), sizes.tolist(), strict=True):
            inside = groups == group
            low, upper = wilson(float(high[inside].sum()), n)
            rate = {"value": float(high[inside].mean()), "low": low, "high": upper}
            shown.append({"group": group, "n": n, "expected": float(probability[inside].mean()), "high_share": rate})
        last = unnamed()
        shown.sort(key=lambda r: (r["group"] in last, -r["n"], r["group"]))
        found.append({"attribute": name, "groups": shown})
    return found
