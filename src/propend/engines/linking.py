"""Links in order of time become persons: union-find that keeps its history (``propend.persons``).

A link is judged by nothing but itself and those before it, so that what was known at any time does not change when
later links come.
"""

from __future__ import annotations

from collections.abc import Mapping

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from propend.persons import ALWAYS, NEVER, IdentityFacts, Persons

USED, KNOWN, SHARED_DEVICE, TOO_LARGE = range(4)


def resolve(
    a: pa.Array,
    b: pa.Array,
    at: NDArray[np.int64],
    most: int,
    shared: int,
    read: int = 0,
    aside: Mapping[str, int] | None = None,
) -> Persons:
    """Persons of links, whatever the order they come in.

    Args:
        a, b: strings: two different ids; ``b`` is what persons are called by.
        at: int64[L], local microseconds from which each link is known.
        most: ids that a person has at most.
        shared: of ``b`` that an ``a`` may be linked with before it belongs to nobody.
        read, aside: rows read, and rows left out before by reason, for the facts.
    """
    ids = pc.unique(pa.concat_arrays([a, b]))
    ids = ids.take(pc.array_sort_indices(ids))
    left, right = (np.asarray(pc.index_in(side, value_set=ids).to_numpy(), dtype=np.int64) for side in (a, b))
    order = np.lexsort((right, left, at))
    left, right, at = left[order], right[order], at[order]
    pairs = np.minimum(left, right) * np.int64(max(len(ids), 1)) + np.maximum(left, right)
    first = np.sort(np.unique(pairs, return_index=True)[1])  # what is said again, or the other way round, adds nothing
    left, right, at = left[first], right[first], at[first]
    count = len(ids)
    nodes = max(2 * count - 1, 0)
    parent, born, name = np.full(nodes, -1), np.full(nodes, ALWAYS), np.arange(nodes)
    children, partners = np.full((nodes, 2), -1), np.zeros(count, dtype=np.int64)
    verdict = np.zeros(len(left), dtype=np.int8)
    made = _join(left, right, at, count, most, shared, parent, born, name, children, partners, verdict)
    parent, born, name, children = parent[:made], born[:made], name[:made], children[:made]
    root, low, high, leaves = _laid_out(parent, children, count)
    refused = {"shared_device": int((verdict == SHARED_DEVICE).sum()), "too_large": int((verdict == TOO_LARGE).sum())}
    tops = np.flatnonzero((parent < 0) & (high - low > 1))
    facts = IdentityFacts(
        read=read,
        pairs=len(left),
        set_aside={**(aside or {}), **refused},
        ids=int((parent[:count] >= 0).sum()),
        persons=len(tops),
        largest=int((high - low)[tops].max(initial=0)),
        shared=int((partners > shared).sum()),
    )
    texts = np.asarray(ids.to_numpy(zero_copy_only=False), dtype=object)
    return Persons(texts, parent, born, name, root, leaves, low, high, facts)


@numba.njit(cache=True)
def _join(a, b, at, count, most, shared, parent, born, name, children, partners, verdict):  # type: ignore[no-untyped-def]
    """Fill the tree and each link's verdict; gives the number of nodes.

    ``above`` is the forest of the union-find, over nodes. Of each top node: its size, and the id it is called by, the
    one that was first met on the side of ``b``.
    """
    above, size = np.arange(len(parent)), np.ones(len(parent), dtype=np.int64)
    met, best = np.full(count, NEVER), np.arange(len(parent))
    made = count
    for i in range(len(a)):
        x, y = a[i], b[i]
        while above[x] != x:
            above[x] = above[above[x]]
            x = above[x]
        while above[y] != y:
            above[y] = above[above[y]]
            y = above[y]
        if met[b[i]] == NEVER:
            met[b[i]] = at[i]
            if met[best[y]] == NEVER or (at[i] == met[best[y]] and b[i] < best[y]):
                best[y] = b[i]
        partners[a[i]] += 1
        if partners[a[i]] > shared:
            verdict[i] = SHARED_DEVICE
        elif x == y:
            verdict[i] = KNOWN
        elif size[x] + size[y] > most:
            verdict[i] = TOO_LARGE
        else:
            p, q = best[x], best[y]
            best[made] = p if met[p] < met[q] or (met[p] == met[q] and p < q) else q
            parent[x] = parent[y] = above[x] = above[y] = made
            children[made, 0], children[made, 1] = x, y
            born[made], name[made], size[made] = at[i], best[made], size[x] + size[y]
            made += 1
    return made


@numba.njit(cache=True)
def _laid_out(parent, children, count):  # type: ignore[no-untyped-def]
    """The top of each node, and ids in an order in which those of every node stand together."""
    nodes = len(parent)
    size = np.ones(nodes, dtype=np.int64)
    for k in range(count, nodes):
        size[k] = size[children[k, 0]] + size[children[k, 1]]
    root, low, leaves = np.arange(nodes), np.zeros(nodes, dtype=np.int64), np.zeros(count, dtype=np.int64)
    free = 0
    for k in range(nodes - 1, -1, -1):
        if parent[k] < 0:
            low[k] = free
            free += size[k]
        else:
            root[k] = root[parent[k]]
        if k < count:
            leaves[low[k]] = k
        else:
            low[children[k, 0]] = low[k]
            low[children[k, 1]] = low[k] + size[children[k, 0]]
    return root, low, low + size, leaves
