"""Several ids as one profile, exactly as was known at each cutoff (docs/decisions/0034).

A log keeps ids apart. ``standing_at`` gives the same log for some cutoffs: its profiles are the nodes of
``persons.Persons`` that live at one of these. A node has all events of its own ids, and of every other id of its person
those from the link on that joined the two. What features of a cutoff may see, the events before it, are therefore those
of its own ids alone, for a node lives only until it is joined; and its outcome is that of the person it becomes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from propend.events import DAY_US, AttributeRows, EventFacts, EventLog, EventRequest, Lives, Partition
from propend.persons import ALWAYS, NEVER, Persons

T = TypeVar("T")
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Swelling:
    """What a visit for some cutoffs came to.

    Attributes:
        ids, events: of the log as it is.
        profiles, copies: profiles for the cutoffs, and events of these; an event may be one of several profiles.
    """

    ids: int
    events: int
    profiles: int
    copies: int


@dataclass
class StitchedLog:
    """A log whose profiles are persons as they were known at some cutoffs (``EventLog``).

    Attributes:
        days: the cutoffs, ascending day numbers; nobody can be looked at as of another.
        swelling: what the last whole visit came to; None before.
    """

    whole: EventLog
    persons: Persons
    days: tuple[int, ...]
    swelling: Swelling | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._nodes = _living(self.persons, self.days)
        self._codes: dict[int, Ints] = {}

    @property
    def facts(self) -> EventFacts:
        """Of the log as it is, where each id counts."""
        return self.whole.facts

    @property
    def request(self) -> EventRequest:
        return self.whole.request

    @property
    def kinds(self) -> tuple[str, ...]:
        return self.whole.kinds

    @property
    def vocabularies(self) -> tuple[tuple[str, ...], ...]:
        return self.whole.vocabularies

    @property
    def attribute_numbers(self) -> tuple[str, ...]:
        return self.whole.attribute_numbers

    @property
    def attribute_texts(self) -> tuple[str, ...]:
        return self.whole.attribute_texts

    @property
    def attribute_vocabularies(self) -> tuple[tuple[str, ...], ...]:
        return self.whole.attribute_vocabularies

    @property
    def elsewhere(self) -> bool:
        return self.whole.elsewhere

    def visit(self, visitor: Callable[[Partition], T], share: float = 1.0) -> Iterator[T]:
        """See ``EventLog.visit``. All ids of a person have one key, so that they are in one partition and one share."""
        ids = events = profiles = copies = 0
        for part in self.whole.visit(_itself, share):
            made = replace(self._stitched(part), first_profile=profiles)
            ids, events = ids + part.profiles, events + int(part.offsets[-1])
            profiles, copies = profiles + made.profiles, copies + int(made.offsets[-1])
            yield visitor(made)
        self.swelling = Swelling(ids, events, profiles, copies)

    def _stitched(self, part: Partition) -> Partition:
        code = self._code_of(part)
        joined = np.flatnonzero(code >= 0)
        if not len(joined):
            everyone = np.full(part.profiles, ALWAYS), np.full(part.profiles, NEVER)
            return replace(part, lives=Lives(*everyone, self.days))
        made = self._made(code, joined)
        offsets, taken, at = made.gathered(part.offsets, part.at, later=False)
        arrange(offsets, taken, at, part.at, part.kind, part.value, part.bits, part.numbers, part.texts)
        ids = part.profile_ids[made.position]
        named = np.flatnonzero(made.node >= 0)
        ids[named] = self.persons.ids[self.persons.name[made.node[named]]]
        first, end = np.full(len(ids), ALWAYS), np.full(len(ids), NEVER)
        first[named], end[named] = (side[made.node[named]] for side in (self._nodes.first, self._nodes.end))
        return replace(
            part,
            profile_ids=ids,
            keys=part.keys[made.position],
            offsets=offsets,
            at=part.at[taken],
            kind=part.kind[taken],
            bits=part.bits[taken],
            value=part.value[taken],
            numbers=np.ascontiguousarray(part.numbers[:, taken]),
            texts=np.ascontiguousarray(part.texts[:, taken]),
            attributes=part.attributes and _attributes(part.attributes, made),
            lives=Lives(first, end, self.days),
        )

    def _code_of(self, part: Partition) -> Ints:
        """int64[P]: place of each profile among the ids that are joined with another, -1 where it is not."""
        known = self._codes.get(part.first_profile)
        if known is None or len(known) < part.profiles:
            place = self.persons.place
            known = np.array([place.get(i, -1) for i in part.profile_ids.tolist()], dtype=np.int64)
            self._codes[part.first_profile] = known
        return known[: part.profiles]

    def _made(self, code: Ints, joined: Ints) -> _Made:
        """The profiles of a partition: each id that is alone, and the living nodes of each person that is there."""
        persons, nodes = self.persons, self._nodes
        own = code[joined]
        roots, at_first, which = np.unique(persons.root[own], return_index=True, return_inverse=True)
        low = persons.low[roots]
        starts = np.concatenate([[0], np.cumsum(persons.high[roots] - low)]).astype(np.int64)
        where = np.full(starts[-1], -1, dtype=np.int64)
        where[starts[which] + persons.low[own] - low[which]] = joined
        there = np.concatenate([[0], np.cumsum(where >= 0)])
        counts = nodes.starts[roots + 1] - nodes.starts[roots]
        owner = np.repeat(np.arange(len(roots)), counts)
        node = nodes.living[
            np.arange(counts.sum()) + np.repeat(nodes.starts[roots] - np.cumsum(counts) + counts, counts)
        ]
        shift = starts[owner] - low[owner]
        some = there[persons.high[node] + shift] > there[persons.low[node] + shift]
        alone = np.flatnonzero(code < 0)
        position = np.concatenate([alone, joined[at_first][owner[some]]])
        node = np.concatenate([np.full(len(alone), -1), node[some]])
        shift = np.concatenate([np.zeros(len(alone), dtype=np.int64), shift[some]])
        order = np.lexsort((node, position))
        return _Made(persons, position[order], node[order], shift[order], where)


@dataclass(frozen=True)
class _Made:
    """Profiles made of those of a partition.

    Attributes:
        persons: the tree.
        position: int64[M], the profile of the partition that each is, or the first of its person.
        node: int64[M], -1 where it is an id that is joined with none.
        shift: int64[M], what to add to places among ``Persons.leaves`` to have those in ``where``.
        where: int64, profiles of the partition by the order of leaves of the persons there; -1 where one is not.
    """

    persons: Persons
    position: Ints
    node: Ints
    shift: Ints
    where: Ints

    def gathered(self, starts: Ints, at: Ints, *, later: bool) -> tuple[Ints, Ints, Ints]:
        """Rows of each profile.

        Args:
            starts: int64[P + 1] of the partition's profiles.
            at: int64[R], times of the rows, ascending within each profile.
            later: whether rows of an id before it was joined are taken as of then, or left out.

        Returns:
            int64[M + 1], int64[R'] rows of the partition, and int64[R'] the time as of which each counts.
        """
        tree = self.persons.parent, self.persons.born, self.persons.low, self.persons.high
        offsets = np.zeros(len(self.node) + 1, dtype=np.int64)
        nothing = np.zeros(0, dtype=np.int64)
        collect(self.position, self.node, self.shift, self.where, *tree, starts, at, later, offsets, nothing, nothing)
        np.cumsum(offsets, out=offsets)
        taken, moment = (np.empty(offsets[-1], dtype=np.int64) for _ in range(2))
        collect(self.position, self.node, self.shift, self.where, *tree, starts, at, later, offsets, taken, moment)
        return offsets, taken, moment


@dataclass(frozen=True)
class _Nodes:
    """Which nodes live at some cutoff.

    Attributes:
        first, end: int64[N], the first cutoff at which each is a profile, and the first at which it is no more.
        starts: int64[N + 1], where those of each root begin in ``living``.
        living: int64, nodes by root.
    """

    first: Ints
    end: Ints
    starts: Ints
    living: Ints


def _living(persons: Persons, days: Sequence[int]) -> _Nodes:
    """A link of a time before a cutoff's midnight is known there."""
    born, parent = persons.born, persons.parent
    gone = np.where(parent >= 0, born[parent], NEVER)
    first, end = (np.where(side == NEVER, NEVER, side // DAY_US + 1) for side in (born, gone))
    cutoffs = np.array(days, dtype=np.int64)
    alive = np.searchsorted(cutoffs, first) < np.searchsorted(cutoffs, end)
    alive &= persons.high[persons.root] - persons.low[persons.root] > 1
    living = np.flatnonzero(alive)
    living = living[np.argsort(persons.root[living], kind="stable")]
    starts = np.searchsorted(persons.root[living], np.arange(len(parent) + 1)).astype(np.int64)
    return _Nodes(first, end, starts, living)


def _attributes(rows: AttributeRows, made: _Made) -> AttributeRows:
    """Facts about an id hold of whom it is joined with from then on."""
    offsets, taken, at = made.gathered(rows.offsets, rows.at, later=True)
    nothing = np.zeros(len(rows.at))
    none, no_bits = nothing.astype(np.int32), nothing.astype(np.uint64)
    arrange(offsets, taken, at, rows.at, none, nothing, no_bits, rows.numbers, rows.texts)
    return AttributeRows(
        offsets=offsets,
        at=at,
        numbers=np.ascontiguousarray(rows.numbers[:, taken]),
        texts=np.ascontiguousarray(rows.texts[:, taken]),
    )


def _itself(part: Partition) -> Partition:
    return part


def standing_at(log: EventLog, days: Sequence[int]) -> EventLog:
    """A log whose profiles are persons, as they were known at some cutoffs; the log itself where no ids are joined.

    Args:
        log: of an engine, or one that stands at other cutoffs.
        days: day numbers of the cutoffs.
    """
    plain = apart(log)
    persons = plain.persons
    if persons is None or not persons.joined:
        return plain
    return StitchedLog(plain, persons, tuple(sorted(set(days))))


def apart(log: EventLog) -> EventLog:
    """The log as the engine gave it: each id a profile, each event once."""
    return log.whole if isinstance(log, StitchedLog) else log


# --- compiled ---------------------------------------------------------------------------------------------------


@numba.njit(cache=True)
def _first_from(at, first, end, moment):  # type: ignore[no-untyped-def]
    """The first of rows first..end, ascending in time, that is not before a moment."""
    while first < end:
        middle = (first + end) // 2
        if at[middle] < moment:
            first = middle + 1
        else:
            end = middle
    return first


@numba.njit(cache=True)
def collect(position, node, shift, where, parent, born, low, high, starts, at, later, offsets, taken, moment):  # type: ignore[no-untyped-def]
    """Rows of each profile, id by id; where ``taken`` is empty they are only counted, into ``offsets[1:]``.

    From a node upward, each step of the tree brings further ids, whose rows count from the time of that step.
    """
    counting = len(taken) == 0
    for m in range(len(node)):
        free, ever = offsets[m], np.int64(-(2**63))
        n = 0
        if node[m] < 0:
            n = _take(position[m], ever, starts, at, later, counting, free, taken, moment)
        k, since = node[m], ever
        low_known, high_known = 0, 0
        while k >= 0:
            for place in range(low[k], high[k]):
                p = where[place + shift[m]]
                if p >= 0 and not low_known <= place < high_known:
                    n += _take(p, since, starts, at, later, counting, free + n, taken, moment)
            low_known, high_known = low[k], high[k]
            k = parent[k]
            since = born[k] if k >= 0 else ever
        if counting:
            offsets[m + 1] = n


@numba.njit(cache=True)
def _take(p, since, starts, at, later, counting, free, taken, moment):  # type: ignore[no-untyped-def]
    """Rows of one id from a time on, or as of then those before it; gives how many."""
    begin = starts[p] if later else _first_from(at, starts[p], starts[p + 1], since)
    if not counting:
        for e in range(begin, starts[p + 1]):
            taken[free + e - begin] = e
            moment[free + e - begin] = max(at[e], since)
    return starts[p + 1] - begin


@numba.njit(cache=True)
def _earlier(a, b, at, kind, value, bits, numbers, texts):  # type: ignore[no-untyped-def]
    """Whether row ``a`` is before ``b`` in the order of a log (``engines.event_rows``): what is missing comes last."""
    if at[a] != at[b]:
        return at[a] < at[b]
    if kind[a] != kind[b]:
        return np.uint32(kind[a]) < np.uint32(kind[b])
    x, y = value[a], value[b]
    if x < y or (np.isnan(y) and not np.isnan(x)):
        return True
    if y < x or (np.isnan(x) and not np.isnan(y)):
        return False
    if bits[a] != bits[b]:
        return bits[a] < bits[b]
    for i in range(numbers.shape[0]):
        x, y = numbers[i, a], numbers[i, b]
        if x < y or (np.isnan(y) and not np.isnan(x)):
            return True
        if y < x or (np.isnan(x) and not np.isnan(y)):
            return False
    for t in range(texts.shape[0]):
        if texts[t, a] != texts[t, b]:
            return np.uint32(texts[t, a]) < np.uint32(texts[t, b])
    return False


@numba.njit(cache=True)
def arrange(offsets, taken, moment, at, kind, value, bits, numbers, texts):  # type: ignore[no-untyped-def]
    """Put the rows of each profile in order, in place: by the time as of which they count, then as in any log."""
    for m in range(len(offsets) - 1):
        first, end = offsets[m], offsets[m + 1]
        sorted_already = True
        for i in range(first + 1, end):
            if moment[i] <= moment[i - 1]:
                sorted_already = False
                break
        if sorted_already:
            continue
        order = np.argsort(moment[first:end], kind="mergesort")
        rows, times = taken[first:end][order], moment[first:end][order]
        for i in range(1, len(rows)):
            row = rows[i]
            j = i
            while (
                j > 0 and times[j - 1] == times[i] and _earlier(row, rows[j - 1], at, kind, value, bits, numbers, texts)
            ):
                rows[j] = rows[j - 1]
                j -= 1
            rows[j] = row
        taken[first:end] = rows
        moment[first:end] = times
