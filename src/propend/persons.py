"""Persons: which ids are one profile, and since when that is known (docs/decisions/0034).

Links that are taken in order of time join ids to ever larger sets. Each set is a *node*: one id to begin with, then
what two nodes become by the link that joins them. A node is a profile from the link that made it until the link that
joins it to another; so every id belongs to exactly one node at any time, which is all that was known then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

ALWAYS, NEVER = (int(end) for end in (np.iinfo(np.int64).min, np.iinfo(np.int64).max))
"""Times of what was known from ever, and of what never comes."""
LINK_REASONS = (
    "incomplete", "no_time", "before_1970", "in_the_future", "excluded", "after_as_of", "shared_device", "too_large",
)  # fmt: skip
"""Why a link is left out."""


@dataclass(frozen=True)
class IdentityFacts:
    """What became of links between ids.

    Attributes:
        read: links read, as rows that have two ids or should have.
        pairs: different pairs of ids among those that could be used.
        set_aside: rows left out by what they are, and pairs left out by what they would do; by reason.
        ids: ids that were joined with another.
        persons: sets that they make, as known at the end.
        largest: ids of the largest of these.
        shared: devices that were found to belong to nobody.
        without_events: ids among those joined that no event has.
    """

    read: int
    pairs: int
    set_aside: dict[str, int]
    ids: int
    persons: int
    largest: int
    shared: int
    without_events: int = 0


@dataclass(frozen=True)
class Persons:
    """A tree over ids that were joined: the first nodes are the ids, each further one joins two before it.

    Attributes:
        ids: str[I], ascending by their bytes.
        parent: int64[N], the node that each is joined into; -1 where none.
        born: int64[N], local microseconds of the link that made it; the least int64 for ids.
        name: int64[N], the id that the node is called by, as was known when it was made.
        root: int64[N], the node at the top.
        leaves: int64[I], ids so ordered that those of a node stand together.
        low, high: int64[N], first and end of each node's ids among ``leaves``.
        facts: what became of the links.
        forgotten: ids that belong to somebody who is to be forgotten, as UTF-8.
    """

    ids: NDArray[np.object_]
    parent: NDArray[np.int64]
    born: NDArray[np.int64]
    name: NDArray[np.int64]
    root: NDArray[np.int64]
    leaves: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    facts: IdentityFacts
    forgotten: frozenset[bytes] = field(default=frozenset(), repr=False)

    @property
    def joined(self) -> bool:
        """Whether any two ids are one person."""
        return len(self.parent) > len(self.ids)

    @cached_property
    def place(self) -> dict[str, int]:
        """The place among ``ids`` of each that is joined with another."""
        joined = np.flatnonzero(self.parent[: len(self.ids)] >= 0).tolist()
        return {self.ids[i]: i for i in joined}

    @cached_property
    def called(self) -> dict[bytes, bytes]:
        """What the person of each id is called at the end, where that is not the id itself; as UTF-8.

        It is what keys are made of: no person is on both sides of a fold or of a sample, and nothing else sees it.
        """
        last = self.name[self.root[: len(self.ids)]]
        others = np.flatnonzero(last != np.arange(len(self.ids)))
        return {self.ids[i].encode(): self.ids[last[i]].encode() for i in others.tolist()}

    @cached_property
    def together(self) -> NDArray[np.object_]:
        """str: all ids that are joined with another."""
        return self.ids[self.parent[: len(self.ids)] >= 0]

    def called_at(self, ids: Sequence[str], moment: int) -> list[str]:
        """What the person of each id was called, by the links before a time in local microseconds."""
        found = []
        for one in ids:
            k = self.place.get(one, -1)
            if k < 0:
                found.append(one)
                continue
            while self.parent[k] >= 0 and self.born[self.parent[k]] < moment:
                k = int(self.parent[k])
            found.append(str(self.ids[self.name[k]]))
        return found
