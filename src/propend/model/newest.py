"""Trees that know the time, settled at the newest time they have seen.

What a feature says can change while history grows and seasons pass. Trees grown with the cutoff as one more
column may tell the newest cutoffs from older ones and share everything else. A model is only ever asked
about times at or after the newest cutoff, and there every split on the time goes one way: such splits are
taken out of the finished trees. What is left has no time in it, is explained like any other ensemble, and,
put at an earlier cutoff, says what the newest regime would have expected there.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

NO_NODE = 2**31 - 1
"""XGBoost's parent of the root."""
PER_NODE = ("base_weights", "default_left", "loss_changes", "split_conditions", "split_indices", "split_type")


def with_time(X: Matrix, cutoff: NDArray[np.int64]) -> Matrix:
    """float32[N, C + 1]: the features, and the cutoff's day number as the last column."""
    return np.column_stack([X, cutoff.astype(np.float32)])


def settled(booster: xgb.Booster) -> xgb.Booster:
    """The ensemble without the splits on its last column, as for a value at or above all that it has seen.

    Returns:
        An ensemble over one column less, with the same predictions for such rows. The cover of a node is the
        sum over the leaves that are left.
    """
    document = json.loads(booster.save_raw(raw_format="json"))
    learner = document["learner"]
    columns = int(learner["learner_model_param"]["num_feature"]) - 1
    learner["learner_model_param"]["num_feature"] = str(columns)
    trees = learner["gradient_booster"]["model"]["trees"]
    for i, tree in enumerate(trees):
        trees[i] = _without(tree, columns)
    found = xgb.Booster()
    found.load_model(bytearray(json.dumps(document), encoding="utf-8"))
    return found


def _without(tree: dict[str, Any], column: int) -> dict[str, Any]:
    """One tree with every split on a column replaced by its right branch, nodes numbered parents first."""
    left, right = tree["left_children"], tree["right_children"]

    def reached(node: int) -> int:
        while left[node] >= 0 and tree["split_indices"][node] == column:
            node = right[node]
        return node

    order, parents = [reached(0)], [NO_NODE]
    children: list[tuple[int, int]] = []
    for place, node in enumerate(order):  # grows while it is walked through
        if left[node] < 0:
            children.append((-1, -1))
            continue
        children.append((len(order), len(order) + 1))
        order += [reached(left[node]), reached(right[node])]
        parents += [place, place]
    cover = [tree["sum_hessian"][node] for node in order]
    for place in range(len(order) - 1, -1, -1):
        if children[place][0] >= 0:
            cover[place] = cover[children[place][0]] + cover[children[place][1]]
    kept = {name: [tree[name][node] for node in order] for name in PER_NODE}
    return (
        tree
        | kept
        | {
            "left_children": [a for a, _ in children],
            "right_children": [b for _, b in children],
            "parents": parents,
            "sum_hessian": cover,
            "tree_param": tree["tree_param"] | {"num_nodes": str(len(order)), "num_feature": str(column)},
        }
    )
