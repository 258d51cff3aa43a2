"""Ensembles of trees as files: looked through before the library reads them, which trusts what it is given."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

MOST_TREES = 100_000
NODE_LISTS = ("left_children", "right_children", "split_indices", "split_conditions", "default_left", "sum_hessian")
MORE_LISTS = ("base_weights", "loss_changes", "parents", "split_type")
NO_PARENT = 2**31 - 1


def booster_of(content: bytes, features: int) -> xgb.Booster:
    """An ensemble from XGBoost's own JSON.

    Args:
        features: how many it was trained with.

    Raises:
        ValueError, KeyError, TypeError, RecursionError: it is not one that propend has written: another kind of
            booster, places beyond its lists, or a tree that comes back to itself.
        xgboost.core.XGBoostError: the library refuses it.
    """
    learner = json.loads(content)["learner"]
    _check_shape(learner, features)
    booster = xgb.Booster()
    booster.load_model(bytearray(content))
    booster.set_param({"nthread": 1})
    return booster


def _check_shape(learner: Any, features: int) -> None:
    boosted, shape = learner["gradient_booster"], learner["learner_model_param"]
    if boosted["name"] != "gbtree" or max(int(shape["num_class"]), int(shape["num_target"])) > 1:
        raise ValueError("it is no ensemble of trees with one output")
    if int(shape["num_feature"]) != features:
        raise ValueError(f"an ensemble is of {shape['num_feature']:.20} features, the model of {features:,}")
    model = boosted["model"]
    trees, count = model["trees"], int(model["gbtree_model_param"]["num_trees"])
    rounds = np.asarray(model["iteration_indptr"], dtype=np.int64)
    kinds = np.asarray(model["tree_info"], dtype=np.int64)
    whole = (
        len(trees) == count == len(kinds) <= MOST_TREES and int(model["gbtree_model_param"]["num_parallel_tree"]) == 1
    )
    if not whole or not np.array_equal(rounds, np.arange(count + 1)) or kinds.any():
        raise ValueError("the number of its trees is not what it says")
    for number, tree in enumerate(trees):
        _check_tree(tree, number, features)


def _check_tree(tree: Any, number: int, features: int) -> None:
    """Every list has an entry for each node, children come after their parent, and each node has one."""
    nodes = int(tree["tree_param"]["num_nodes"])
    lists = {name: np.asarray(tree[name], dtype=np.float64) for name in (*NODE_LISTS, *MORE_LISTS)}
    if nodes < 1 or any(values.shape != (nodes,) for values in lists.values()) or int(tree["id"]) != number:
        raise ValueError(f"tree {number} has not {nodes:,} nodes in all of its lists")
    if int(tree["tree_param"]["num_feature"]) != features or int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise ValueError(f"tree {number} is of other features or outputs")
    if lists["split_type"].any() or any(tree.get(name) for name in ("categories", "categories_nodes")):
        raise ValueError(f"tree {number} splits by categories")
    left, right, parents = (lists[name].astype(np.int64) for name in ("left_children", "right_children", "parents"))
    inner = np.flatnonzero(left >= 0)
    children = np.concatenate([left[inner], right[inner]])
    own = np.concatenate([inner, inner])
    ordered = bool((children > own).all() and (children < nodes).all()) and len(np.unique(children)) == len(children)
    leaves = bool((right[left < 0] == -1).all() and (left[left < 0] == -1).all())
    if not ordered or not leaves or len(children) != nodes - 1 or not _known(parents, children, own):
        raise ValueError(f"the nodes of tree {number} do not make a tree")
    split = lists["split_indices"][inner]
    if bool(((split < 0) | (split >= features)).any()):
        raise ValueError(f"tree {number} splits on a feature that there is not")


def _known(parents: NDArray[np.int64], children: NDArray[np.int64], own: NDArray[np.int64]) -> bool:
    """Whether nodes know their parents as these know them."""
    return bool(parents[0] == NO_PARENT) and np.array_equal(parents[children], own)
