"""What single events and ids look like once they are all there: ids written in several ways, days delivered twice.

Nothing here is certainly wrong; it is counted, and whoever knows the data is told (``doubts``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from propend.events import DAY_US, EventLog, Partition

MOST_IDS = 2_000_000
"""So many ids are compared at most; of more, some are picked by what they are when written alike."""
NOBODY = frozenset({
    "n/a", "na", "nan", "none", "nil", "null", "undefined", "unknown", "unbekannt", "anonymous", "anon", "guest",
    "gast", "test", "default", "missing", "empty", "not set", "(not set)", "-", "--", "?", ".", "0", "-1", "0.0",
    "00000000-0000-0000-0000-000000000000", "nobody", "dummy", "no id", "noid", "false", "true", "#n/a", "desconhecido",
})  # fmt: skip
"""Texts, in small letters, that stand where there is no id."""
TESTER = re.compile(r"(^|[^a-z])(test|tester|testing|qa|dummy|demo)([^a-z]|$)")
"""What ids of those who try a shop out are called, in small letters."""
SHOWN = 3


@dataclass(frozen=True)
class Oddities:
    """What was counted of all ids, and of all events.

    Attributes:
        ids: how many were compared; ``alike`` of them are another one in another writing, ``examples`` pairs of such.
        exponents: ids written with an exponent (``1.234E+09``), whose last digits are lost.
        nobody: ids that stand for nobody, with their events, most first; testers likewise.
        busiest: the id with the most events, how many, and those of the one after.
        doubled_days: day numbers on which all events there are twice, ascending; ``doubled`` is how many of these
            events are the second.
    """

    ids: int
    alike: int
    examples: tuple[tuple[str, str], ...]
    exponents: int
    nobody: tuple[tuple[str, int], ...]
    testers: tuple[tuple[str, int], ...]
    busiest: tuple[str, int, int]
    doubled_days: tuple[int, ...]
    doubled: int


@dataclass(frozen=True)
class _Seen:
    """Of one partition.

    Attributes:
        alike, ids: what some ids are when written alike, and themselves.
        day, events, even: day numbers, how many events there are of each, and how many of these come in pairs.
    """

    alike: pa.Array
    ids: pa.Array
    exponents: int
    named: tuple[tuple[str, int], ...]
    busy: tuple[tuple[int, str], ...]
    day: NDArray[np.int64]
    events: NDArray[np.int64]
    even: NDArray[np.int64]


def oddities(log: EventLog) -> Oddities:
    """Look at all ids and events of a log, as its engine gave it."""
    seen = list(log.visit(partial(_look, min(1.0, MOST_IDS / max(log.facts.profiles, 1)))))
    table = pa.table({
        "alike": pa.concat_arrays([s.alike for s in seen]), "id": pa.concat_arrays([s.ids for s in seen])
    })  # fmt: skip
    groups = table.group_by("alike").aggregate([("id", "count_distinct"), ("id", "min"), ("id", "max")])
    several = groups.filter(pc.greater(groups.column("id_count_distinct"), 1))
    pairs = several.sort_by("alike").slice(0, SHOWN)
    named = Counter[str]()
    for one in seen:
        named.update(dict(one.named))
    busy = sorted((b for one in seen for b in one.busy), reverse=True)
    day, events, even = (np.concatenate([getattr(s, n) for s in seen]) for n in ("day", "events", "even"))
    days, place = np.unique(day, return_inverse=True)
    whole, paired = (np.bincount(place, weights=x).astype(np.int64) for x in (events, even))
    twice = (whole >= LEAST_OF_DAY) & (paired >= ALL_BUT_FEW * whole)
    return Oddities(
        ids=len(table),
        alike=int(pc.sum(several.column("id_count_distinct")).as_py() or 0) - len(several),
        examples=tuple(zip(pairs.column("id_min").to_pylist(), pairs.column("id_max").to_pylist(), strict=True)),
        exponents=sum(s.exponents for s in seen),
        nobody=_most(named, lambda i: i.strip().lower() in NOBODY),
        testers=_most(named, lambda i: i.strip().lower() not in NOBODY),
        busiest=(busy[0][1], busy[0][0], busy[1][0] if len(busy) > 1 else 0) if busy else ("", 0, 0),
        doubled_days=tuple(days[twice].tolist()),
        doubled=int(whole[twice].sum() // 2),
    )


LEAST_OF_DAY, ALL_BUT_FEW = 10, 0.95
"""A day was delivered twice if it has so many events, and this share of them comes in pairs that are alike."""


def _most(named: Counter[str], belongs: Any) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(((i, n) for i, n in named.items() if belongs(i)), key=lambda pair: (-pair[1], pair[0])))


def _look(share: float, part: Partition) -> _Seen:
    ids = pa.array(part.profile_ids, pa.string())
    events = np.diff(part.offsets)
    alike = written_alike(ids)
    exponents = pc.sum(pc.match_substring_regex(ids, _EXPONENT)).as_py() or 0
    small = pc.utf8_lower(ids)
    suspects = pc.or_(pc.is_in(pc.utf8_trim_whitespace(small), pa.array(sorted(NOBODY))),
                      pc.match_substring_regex(small, TESTER.pattern))  # fmt: skip
    named = [(str(part.profile_ids[i]), int(events[i])) for i in np.flatnonzero(suspects.to_numpy(False)).tolist()]
    first = np.argsort(-events, kind="stable")[:2]
    busy = tuple((int(events[i]), str(part.profile_ids[i])) for i in first.tolist())
    if share < 1.0:
        kept = pa.array(_picked(alike, share))
        alike, ids = alike.filter(kept), ids.filter(kept)
    return _Seen(alike, ids, int(exponents), tuple(named), busy, *_paired(part))


_EXPONENT = r"^\d(\.\d+[eE]\+?|[eE]\+)\d+$"
"""With a point or a plus, which digits of a hash lack (7e85620)."""


def written_alike(ids: pa.Array) -> pa.Array:
    """Ids as they are when all are written in one way: compatible forms of letters, small, no spaces around.

    Whole numbers have no zeros before them, no fraction and no exponent.
    """
    plain = pc.utf8_lower(pc.utf8_trim_whitespace(pc.utf8_normalize(ids, "NFKC")))
    exponent = pc.match_substring_regex(plain, _EXPONENT)
    if pc.any(exponent).as_py():
        whole = pc.cast(pc.cast(pc.if_else(exponent, plain, "0"), pa.float64()), pa.decimal128(38, 0), safe=False)
        plain = pc.if_else(exponent, pc.cast(whole, pa.string()), plain)
    return pc.replace_substring_regex(plain, r"^0*(\d+?)(\.0+)?$", r"\1")


def _picked(alike: pa.Array, share: float) -> NDArray[np.bool_]:
    """A share of texts, the same of those that are equal."""
    coded = alike.dictionary_encode()
    sums = np.array([crc32(text.encode()) for text in coded.dictionary.to_pylist()], dtype=np.uint64)
    found: NDArray[np.bool_] = (sums < np.uint64(int(share * 2**32)))[coded.indices.to_numpy()]
    return found


def _paired(part: Partition) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Day numbers, how many events each has, and how many are one of an even number that are alike."""
    if not len(part.at):
        return (np.empty(0, dtype=np.int64),) * 3
    same = np.concatenate([[False], part.at[1:] == part.at[:-1]])
    same[part.offsets[:-1][np.diff(part.offsets) > 0]] = False
    for column in (part.kind, part.bits, part.value, *part.numbers, *part.texts):
        if not same.any():
            break
        again = np.flatnonzero(same)
        now, before = column[again], column[again - 1]
        same[again] = (now == before) | ((now != now) & (before != before))  # noqa: PLR0124  empty is like empty
    group = np.cumsum(~same) - 1
    even = np.bincount(group)[group] % 2 == 0
    day = part.at // DAY_US
    first = int(day.min())
    events = np.bincount(day - first)
    there = np.flatnonzero(events)
    paired = np.bincount(day[even] - first, minlength=len(events))[there]
    return there.astype(np.int64) + first, events[there].astype(np.int64), paired.astype(np.int64)


def day_runs(days: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of days, ascending; silent days between two do not part them if fewer than four."""
    runs: list[tuple[int, int]] = []
    for day in days:
        if runs and day - runs[-1][1] <= 4:
            runs[-1] = runs[-1][0], day
        else:
            runs.append((day, day))
    return runs
