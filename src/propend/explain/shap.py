"""Exact Shapley contributions of boosted trees and of a linear member, summed straight into factors.

The game is the path-dependent one of Lundberg, Erion and Lee (2018): a feature outside the coalition sends a
row down both branches in proportion to their cover. In it a leaf of value v whose path tests k distinct
features is a product. With o_i in {0, 1} telling whether the row meets every test of feature i on the path,
and z_i the share of cover that does, feature i receives

    v (o_i - z_i) * integral over t in [0, 1] of the product over j != i of (t o_j + (1 - t) z_j)

because the Shapley weight s! (k - 1 - s)! / k! is the integral of t^s (1 - t)^(k - 1 - s). The integrand is a
polynomial of degree k - 1, so Gauss-Legendre quadrature with ceil(k / 2) points gives it exactly, from
positive terms only. In the interventional game a feature outside the coalition takes the value it has in
some row of a background: the same formula with z_i in {0, 1}, telling whether that row meets every test of i,
and the mean over the background's rows, of which those that meet the same tests count as one.

What a row receives from a whole subtree depends on a few yes-or-no answers: those of the
nodes inside it and of those above. A subtree with few answers becomes one table from the pattern of answers
to contributions already summed into factors; a leaf too deep for that is integrated, a block of rows at once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numba
import numpy as np
import xgboost as xgb
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float32]
Float = NDArray[np.float64]
Small = NDArray[np.int32]
Ints = NDArray[np.int64]

BLOCK_ROWS = 256
CHUNK_ROWS = 4096
MAX_ANSWERS = 7
"""Most answers a table is indexed by; the index is a byte."""
MAX_TABLE_CELLS = 1 << 26


@dataclass(frozen=True, eq=False)
class Trees:
    """An ensemble of binary trees, flat: node arrays, one tree after another.

    Attributes:
        feature: int32[M] feature a node tests, -1 at a leaf.
        threshold: float32[M]; a row goes left if its value is less.
        left, right: int32[M] children, counted from the tree's first node; -1 at a leaf.
        default_left: bool[M], whether a missing value goes left.
        cover: float64[M] weight of the training rows at a node.
        value: float64[M] of a leaf, 0 elsewhere.
        offsets: int64[T + 1], first node of each tree.
        base_margin: what every row's margin starts from.
        n_features: columns of the matrix the trees read.
    """

    feature: Small
    threshold: Matrix
    left: Small
    right: Small
    default_left: NDArray[np.bool_]
    cover: Float
    value: Float
    offsets: Ints
    base_margin: float
    n_features: int

    @classmethod
    def from_booster(cls, booster: xgb.Booster) -> Trees:
        """Read XGBoost's own JSON form of an ensemble.

        Args:
            booster: fitted ``gbtree`` with one output and numerical splits.

        Raises:
            ValueError: another kind of booster, output, objective or split.
        """
        learner = json.loads(bytes(booster.save_raw("json")))["learner"]
        boosted, shape = learner["gradient_booster"], learner["learner_model_param"]
        if boosted["name"] != "gbtree" or max(int(shape["num_class"]), int(shape["num_target"])) > 1:
            raise ValueError(f"a booster of kind {boosted['name']!r} or of several outputs is not explained")
        trees = boosted["model"]["trees"]
        for t, tree in enumerate(trees):
            if any(tree["split_type"]):
                raise ValueError(f"tree {t} splits on a categorical feature, only numerical splits are explained")

        def column(name: str, dtype: type) -> NDArray[Any]:
            return np.array([x for tree in trees for x in tree[name]], dtype=dtype)

        left, condition = column("left_children", np.int32), column("split_conditions", np.float32)
        return cls(
            feature=np.where(left < 0, np.int32(-1), column("split_indices", np.int32)),
            threshold=np.where(left < 0, np.float32(0), condition),
            left=left,
            right=column("right_children", np.int32),
            default_left=column("default_left", np.bool_),
            cover=column("sum_hessian", np.float64),
            value=np.where(left < 0, condition.astype(np.float64), 0.0),
            offsets=np.cumsum([0, *(len(tree["left_children"]) for tree in trees)], dtype=np.int64),
            base_margin=_base_margin(shape["base_score"], learner["objective"]["name"]),
            n_features=int(shape["num_feature"]),
        )

    @classmethod
    def concat(cls, ensembles: Sequence[Trees], weights: Sequence[float]) -> Trees:
        """One ensemble whose margin is the weighted sum of several ensembles' margins.

        Raises:
            ValueError: no ensemble, not one weight for each, or different numbers of features.
        """
        widths = {e.n_features for e in ensembles}
        if len(widths) != 1 or len(ensembles) != len(weights):
            raise ValueError(f"{len(ensembles)} ensembles of {sorted(widths)} features, {len(weights)} weights")
        scaled = [replace(e, value=e.value * w) for e, w in zip(ensembles, weights, strict=True)]
        names = ("feature", "threshold", "left", "right", "default_left", "cover", "value")
        return cls(
            **{name: np.concatenate([getattr(e, name) for e in scaled]) for name in names},
            offsets=np.cumsum([0, *(n for e in scaled for n in np.diff(e.offsets))], dtype=np.int64),
            base_margin=float(sum(e.base_margin * w for e, w in zip(ensembles, weights, strict=True))),
            n_features=widths.pop(),
        )


def _base_margin(base_score: str | float, objective: str) -> float:
    score = float(str(base_score).strip("[]"))  # bracketed since XGBoost 3.1
    if objective == "binary:logistic":
        return float(np.log(score) - np.log1p(-score))
    if objective == "reg:squarederror":
        return score
    raise ValueError(f"the objective is {objective!r}, only 'binary:logistic' and 'reg:squarederror' are explained")


class _Nodes(NamedTuple):
    """What kernels read of the trees, and what follows for a node from those above and below it.

    Attributes:
        background: uint8[M, B], whether each row of the background goes left; no rows in the path-dependent game.
        up: int32[M] parent, -1 at a root.
        share: float64[M] part of the parent's cover.
        depth, inner: int32[M] tests above; tests at and below.
    """

    feature: Small
    threshold: Matrix
    left: Small
    right: Small
    default_left: NDArray[np.bool_]
    value: Float
    offsets: Ints
    background: NDArray[np.uint8]
    up: Small
    share: Float
    depth: Small
    inner: Small


class _Plan(NamedTuple):
    """Units of work: subtrees answered by a table, and leaves to integrate.

    Attributes:
        units: int64[T + 1] units of each tree.
        root: int32[U] top node of each unit, within its tree.
        answers: int64[U + 1] answers each table is indexed by; none at a leaf to integrate.
        cells: int64[U + 1] table of each unit, [column, pattern of answers].
        columns: int64[U] how many groups each table adds to: the first so many of ``group[answers[u]:]``.
        node, group: int32[A] node whose decision is the answer, within its tree; group of a column.
        table: float32[cells].
        points, weights: float64[Q, Q] quadrature on [0, 1], row q for q points.
    """

    units: Ints
    root: Small
    answers: Ints
    cells: Ints
    columns: Ints
    node: Small
    group: Small
    table: Matrix
    points: Float
    weights: Float


# --- one leaf, many rows --------------------------------------------------------------------------------


@numba.njit(cache=True)
def _integrate(nodes, plan, first, leaf, went, rows, groups, sums):  # type: ignore[no-untyped-def]
    """Add a leaf's contributions to ``sums[group]``, for rows that go left at a node where ``went[node]`` is 1."""
    depth, n, at, n_background = nodes.depth[first + leaf], 0, leaf, nodes.background.shape[1]
    lines, others = np.ones((depth, rows), dtype=np.uint8), np.ones((depth, n_background), dtype=np.uint8)
    feature, share = np.empty(depth, dtype=np.int32), np.ones(depth)
    while nodes.up[first + at] >= 0:
        parent, i = nodes.up[first + at], 0
        while i < n and feature[i] != nodes.feature[first + parent]:
            i += 1
        if i == n:
            feature[n] = nodes.feature[first + parent]
            n += 1
        share[i] *= nodes.share[first + at]
        line, goes, other = lines[i], went[parent], np.uint8(nodes.left[first + parent] != at)
        for r in range(rows):
            line[r] &= goes[r] ^ other
        for b in range(n_background):
            others[i, b] &= nodes.background[first + parent, b] ^ other
        at = parent
    value = nodes.value[first + leaf]
    if n_background == 0:
        _spread(plan, n, feature, lines, share, value, rows, groups, sums)
        return
    alike, first_of, kinds = np.zeros(n_background, dtype=np.int64), np.empty(n_background, dtype=np.int64), 0
    for b in range(n_background):
        kind, i = 0, 0
        while kind < kinds and i < n:
            if others[i, b] == others[i, first_of[kind]]:
                i += 1
            else:
                kind, i = kind + 1, 0
        if kind == kinds:
            first_of[kind] = b
            kinds += 1
        alike[kind] += 1
    for kind in range(kinds):
        for i in range(n):
            share[i] = others[i, first_of[kind]]
        _spread(plan, n, feature, lines, share, value * alike[kind] / n_background, rows, groups, sums)


@numba.njit(cache=True)
def _spread(plan, n, feature, lines, share, value, rows, groups, sums):  # type: ignore[no-untyped-def]
    """Give a leaf's value to the features of its path, by what rows meet and how far they would be met unknown."""
    product, order = np.empty(rows), (n + 1) // 2
    for q in range(order):
        t = plan.points[order, q]
        product[:] = plan.weights[order, q] * value
        for i in range(n):
            line, missed = lines[i], share[i] * (1.0 - t)
            for r in range(rows):
                product[r] *= missed + t if line[r] else missed
        for i in range(n):
            line, total = lines[i], sums[groups[feature[i]]]
            met, unmet = (1.0 - share[i]) / (share[i] * (1.0 - t) + t), -1.0 / (1.0 - t)
            for r in range(rows):
                total[r] += product[r] * (met if line[r] else unmet)


# --- planning -------------------------------------------------------------------------------------------


@numba.njit(cache=True)
def _relate(cover, nodes):  # type: ignore[no-untyped-def]
    """Fill what follows from each node's place in its tree; return the mean value of the leaves reached."""
    order, reach, mean = np.empty(len(cover), dtype=np.int32), np.ones(len(cover)), 0.0
    for t in range(len(nodes.offsets) - 1):
        first, n, i = nodes.offsets[t], 1, 0
        order[0] = 0
        while i < n:
            at = first + order[i]
            if nodes.left[at] < 0:
                mean += reach[at] * nodes.value[at]
            else:
                total = cover[first + nodes.left[at]] + cover[first + nodes.right[at]]
                for child in (nodes.left[at], nodes.right[at]):
                    below = first + child
                    nodes.up[below], nodes.depth[below] = order[i], nodes.depth[at] + 1
                    nodes.share[below] = cover[below] / total if total > 0 else 0.5  # no row came here
                    reach[below] = reach[at] * nodes.share[below]
                    order[n] = child
                    n += 1
            i += 1
        for i in range(n - 1, -1, -1):
            at = first + order[i]
            if nodes.left[at] >= 0:
                nodes.inner[at] = 1 + nodes.inner[first + nodes.left[at]] + nodes.inner[first + nodes.right[at]]
    return mean


@numba.njit(cache=True)
def _tabulate(nodes, plan, groups, first, u, went, sums):  # type: ignore[no-untyped-def]
    """Write the answers, groups and table of unit u: its leaves, integrated for every pattern of answers."""
    start, n, at = plan.answers[u], 0, plan.root[u]
    size = 1 << (plan.answers[u + 1] - start)
    while nodes.up[first + at] >= 0:
        at = nodes.up[first + at]
        plan.node[start + n] = at
        n += 1
    members, n_members, i = np.empty(2 * nodes.inner[first + plan.root[u]] + 1, dtype=np.int32), 1, 0
    members[0] = plan.root[u]
    while i < n_members:
        at = members[i]
        i += 1
        if nodes.left[first + at] >= 0:
            members[n_members], members[n_members + 1] = nodes.left[first + at], nodes.right[first + at]
            n_members += 2
            plan.node[start + n] = at
            n += 1
    for i in range(n):
        at, c = plan.node[start + i], 0
        group = groups[nodes.feature[first + at]]
        while c < plan.columns[u] and plan.group[start + c] != group:
            c += 1
        plan.group[start + c], plan.columns[u] = group, max(plan.columns[u], c + 1)
        for pattern in range(size):
            went[at, pattern] = (pattern >> i) & 1
    for i in range(n_members):
        if nodes.left[first + members[i]] < 0:
            _integrate(nodes, plan, first, members[i], went, size, groups, sums)
    for c in range(plan.columns[u]):
        for pattern in range(size):
            plan.table[plan.cells[u] + c * size + pattern] = sums[plan.group[start + c], pattern]
            sums[plan.group[start + c], pattern] = 0.0


@numba.njit(cache=True, parallel=True)
def _fill(nodes, plan, groups, n_groups):  # type: ignore[no-untyped-def]
    for t in numba.prange(len(nodes.offsets) - 1):
        first = nodes.offsets[t]
        went = np.empty((nodes.offsets[t + 1] - first, 1 << MAX_ANSWERS), dtype=np.uint8)
        sums = np.zeros((n_groups, 1 << MAX_ANSWERS))
        for u in range(plan.units[t], plan.units[t + 1]):
            if plan.answers[u + 1] > plan.answers[u]:
                _tabulate(nodes, plan, groups, first, u, went, sums)


def _related(trees: Trees, background: Matrix | None = None) -> tuple[_Nodes, float]:
    """The nodes as kernels read them, and the mean margin of a row about which nothing is known."""
    read = (trees.feature, trees.threshold, trees.left, trees.right, trees.default_left, trees.value, trees.offsets)
    n = len(trees.left)
    went = np.zeros((n, 0 if background is None else len(background)), dtype=np.uint8)
    beside = (np.full(n, -1, np.int32), np.ones(n), np.zeros(n, np.int32), np.zeros(n, np.int32))
    nodes = _Nodes(*read, went, *beside)
    mean = float(_relate(trees.cover, nodes))
    if background is not None:
        _decide(nodes, 0, n, np.ascontiguousarray(background.T), len(background), went)
        mean = float(_reached(nodes))
    return nodes, trees.base_margin + mean


def _quadrature(most_features: int) -> tuple[Float, Float]:
    size = (most_features + 1) // 2 + 1
    points, weights = np.zeros((2, size, size))
    for order in range(1, size):
        x, w = np.polynomial.legendre.leggauss(order)
        points[order, :order], weights[order, :order] = (x + 1.0) / 2.0, w / 2.0
    return points, weights


def _planned(nodes: _Nodes, groups: Ints, n_groups: int) -> _Plan:
    """Cut the trees into the largest subtrees of few answers, and leaves where none is so small."""
    tree_start = np.repeat(nodes.offsets[:-1], np.diff(nodes.offsets))
    asks, leaf, below = nodes.depth.astype(np.int64) + nodes.inner, nodes.left < 0, nodes.up >= 0
    for most in range(MAX_ANSWERS, -1, -1):
        small = leaf | (asks <= most)
        top = np.flatnonzero(small & (asks > 0) & ~(below & small[tree_start + nodes.up]))
        tabled = np.where(asks[top] <= most, asks[top], 0)
        answers, cells = (np.concatenate([[0], np.cumsum(x)]) for x in (tabled, tabled << tabled))
        if cells[-1] <= MAX_TABLE_CELLS:
            break
    units, root = np.searchsorted(top, nodes.offsets), (top - tree_start[top]).astype(np.int32)
    columns, (node, group) = np.zeros(len(top), np.int64), np.zeros((2, answers[-1]), np.int32)
    rule = _quadrature(min(int(nodes.depth.max(initial=0)), len(groups)))
    plan = _Plan(units, root, answers, cells, columns, node, group, np.zeros(cells[-1], np.float32), *rule)
    _fill(nodes, plan, groups, n_groups)
    return plan


# --- rows -----------------------------------------------------------------------------------------------


@numba.njit(cache=True)
def _decide(nodes, first, last, columns, rows, went):  # type: ignore[no-untyped-def]
    """Whether each row goes left at each node of one tree: 1 or 0."""
    for at in range(first, last):
        if nodes.left[at] < 0:
            continue
        line, x = went[at - first], columns[nodes.feature[at]]
        threshold, default_left = nodes.threshold[at], nodes.default_left[at]
        for r in range(rows):
            line[r] = (x[r] < threshold) | (np.isnan(x[r]) & default_left)


@numba.njit(cache=True)
def _look_up(plan, u, went, rows, pattern, sums):  # type: ignore[no-untyped-def]
    """Add what the table of unit u says to each row."""
    start, n = plan.answers[u], plan.answers[u + 1] - plan.answers[u]
    pattern[:rows] = 0
    for i in range(n):
        goes, bit = went[plan.node[start + i]], np.uint8(1 << i)
        for r in range(rows):
            pattern[r] |= goes[r] * bit
    for c in range(plan.columns[u]):
        cell = plan.cells[u] + (c << n)
        column, total = plan.table[cell : cell + (1 << n)], sums[plan.group[start + c]]
        for r in range(rows):
            total[r] += column[pattern[r]]


@numba.njit(cache=True)
def _explain_block(nodes, plan, X, groups, most_nodes, out):  # type: ignore[no-untyped-def]
    """Explain some rows; each is summed in the order of the trees, whatever its company."""
    rows, n_features = X.shape
    columns, sums = np.empty((n_features, rows), dtype=np.float32), np.zeros((out.shape[1], rows))
    went, pattern = np.empty((most_nodes, rows), dtype=np.uint8), np.empty(rows, dtype=np.uint8)
    for r in range(rows):
        for f in range(n_features):
            columns[f, r] = X[r, f]
    for t in range(len(nodes.offsets) - 1):
        first = nodes.offsets[t]
        _decide(nodes, first, nodes.offsets[t + 1], columns, rows, went)
        for u in range(plan.units[t], plan.units[t + 1]):
            if plan.answers[u + 1] > plan.answers[u]:
                _look_up(plan, u, went, rows, pattern, sums)
            else:
                _integrate(nodes, plan, first, plan.root[u], went, rows, groups, sums)
    for r in range(rows):
        for g in range(out.shape[1]):
            out[r, g] = sums[g, r]


@numba.njit(cache=True, parallel=True)
def _contribute(nodes, plan, X, groups, most_nodes, out):  # type: ignore[no-untyped-def]
    for block in numba.prange((len(X) + BLOCK_ROWS - 1) // BLOCK_ROWS):
        some = slice(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS)
        _explain_block(nodes, plan, X[some], groups, most_nodes, out[some])


@numba.njit(cache=True, parallel=True)
def _weigh(coefficients, center, Z, column_group, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` with the contributions of a linear member, each row summed in the order of the columns."""
    for block in numba.prange((len(Z) + BLOCK_ROWS - 1) // BLOCK_ROWS):
        sums = np.empty(out.shape[1])
        for r in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, len(Z))):
            sums[:] = 0.0
            for c in range(len(coefficients)):
                sums[column_group[c]] += coefficients[c] * (Z[r, c] - center[c])
            for g in range(out.shape[1]):
                out[r, g] = sums[g]


@numba.njit(cache=True, parallel=True)
def _sum_up(each, group, impact, speaker):  # type: ignore[no-untyped-def]
    for block in numba.prange((len(each) + BLOCK_ROWS - 1) // BLOCK_ROWS):
        sums = np.empty(impact.shape[1])
        for r in range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, len(each))):
            sums[:] = 0.0
            for c in range(len(group)):
                sums[group[c]] += each[r, c]
            for g in range(len(sums)):
                impact[r, g] = sums[g]
            sums[:] = -np.inf
            for c in range(len(group)):
                g = group[c]
                most = -each[r, c] if impact[r, g] < 0 else each[r, c]
                if most > sums[g]:
                    sums[g], speaker[r, g] = most, c


@numba.njit(cache=True)
def _reached(nodes):  # type: ignore[no-untyped-def]
    """The mean sum of leaves that rows of the background reach."""
    total, rows = 0.0, nodes.background.shape[1]
    for t in range(len(nodes.offsets) - 1):
        first = nodes.offsets[t]
        for b in range(rows):
            at = first
            while nodes.left[at] >= 0:
                at = first + (nodes.left[at] if nodes.background[at, b] else nodes.right[at])
            total += nodes.value[at]
    return total / rows


# --- what is offered ------------------------------------------------------------------------------------


def _matrix(trees: Trees, X: NDArray[Any]) -> Matrix:
    if X.ndim != 2 or X.shape[1] != trees.n_features:
        raise ValueError(f"the trees read {trees.n_features} features, the matrix is {X.shape}")
    return _plain(X)


def _plain(X: NDArray[Any]) -> Matrix:
    # writable, too: for a read-only array the kernels would be compiled once more
    return np.require(X, dtype=np.float32, requirements=["C_CONTIGUOUS", "WRITEABLE"])


def _checked(groups: ArrayLike, n_features: int, n_groups: int) -> Ints:
    checked = np.ascontiguousarray(groups, dtype=np.int64)
    if checked.shape != (n_features,) or ((checked < 0) | (checked >= n_groups)).any():
        raise ValueError(f"each of {n_features} features needs a group from 0 to {n_groups - 1}")
    return checked


@dataclass(frozen=True, eq=False)
class PlannedTrees:
    """Trees with the tables that explain rows, to be used again for further rows.

    Attributes:
        trees: as given.
        base: plus a row's contributions, the row's margin.
    """

    trees: Trees
    base: float
    _nodes: _Nodes
    _plan: _Plan
    _groups: Ints
    _n_groups: int

    @classmethod
    def of(cls, trees: Trees, group: ArrayLike, n_groups: int, background: NDArray[Any] | None = None) -> PlannedTrees:
        """Make the tables; arguments and errors as of ``factor_contributions``."""
        groups = _checked(group, trees.n_features, n_groups)
        if background is not None and len(background) == 0:
            raise ValueError("the background has no row")
        nodes, base = _related(trees, None if background is None else _matrix(trees, background))
        return cls(trees, base, nodes, _planned(nodes, groups, n_groups), groups, n_groups)

    def contributions(self, X: NDArray[Any]) -> Matrix:
        """float32[N, G]: those of rows, float32[N, C]."""
        matrix = _matrix(self.trees, X)
        out = np.empty((len(matrix), self._n_groups), dtype=np.float32)
        most_nodes = int(np.diff(self.trees.offsets).max(initial=0))
        _contribute(self._nodes, self._plan, matrix, self._groups, most_nodes, out)
        return out


def factor_contributions(
    trees: Trees, X: NDArray[Any], group: ArrayLike, n_groups: int, background: NDArray[Any] | None = None
) -> tuple[Matrix, float]:
    """Exact Shapley values of features, summed within groups: path-dependent, or interventional with a background.

    Beyond the result, memory is held for the tables (at most 256 MB, usually a few) and for one block of rows per
    thread. The result does not depend on the number of threads, nor on which rows are explained together.

    Args:
        X: float32[N, C]; NaN is missing.
        group: int[C], the group of each feature.
        n_groups: G.
        background: float32[B, C], rows whose values stand for those of features outside the coalition (Lundberg et al.
            2020, interventional TreeSHAP); the tables' cost grows with B, that of explaining rows does not.

    Returns:
        float32[N, G] contributions and the base: ``base`` plus a row's sum is the row's margin.

    Raises:
        ValueError: a matrix, a background or groups that do not fit the trees.
    """
    matrix = _matrix(trees, X)
    planned = PlannedTrees.of(trees, group, n_groups, background)
    return planned.contributions(matrix), planned.base


def linear_factor_contributions(
    coefficients: Float, center: Float, Z: NDArray[Any], column_group: ArrayLike, n_groups: int
) -> Matrix:
    """float32[N, G]: ``coefficients * (Z - center)`` summed within groups.

    They are the Shapley values of a linear model whose columns are taken as independent, with ``center`` for their
    means (Lundberg and Lee 2017, corollary 1).

    Args:
        coefficients: float64[K].
        center: float64[K], the column values that contribute nothing.
        Z: float32[N, K], finite.
        column_group: int[K], the group of each column.
        n_groups: G.

    Raises:
        ValueError: a matrix or groups that do not fit the coefficients.
    """
    if Z.ndim != 2 or not Z.shape[1] == len(coefficients) == len(center):
        raise ValueError(f"{len(coefficients)} coefficients and {len(center)} centers do not fit a matrix {Z.shape}")
    groups = _checked(column_group, len(coefficients), n_groups)
    out = np.empty((len(Z), n_groups), dtype=np.float32)
    _weigh(np.asarray(coefficients, np.float64), np.asarray(center, np.float64), _plain(Z), groups, out)
    return out


def sum_up(each: Matrix, group: Ints, impact: Matrix, speaker: NDArray[np.int16]) -> None:
    """Sum contributions of features within groups, and find who speaks for each group.

    Args:
        each: float32[N, C], finite.
        group: int64[C], the group of each; every group has one at the least.
        impact: float32[N, G], filled with the sums.
        speaker: int16[N, G], filled with the feature of each group that carries most of its sum; the first of equals.
    """
    _sum_up(each, group, impact, speaker)
