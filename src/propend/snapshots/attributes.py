"""Facts about profiles as they are known at the cutoff of scoring: kept beside the scores, for rules and look-ups.

What may be no feature because of who is protected by that is not kept, either (``labels.columns_apart``). What can be
none because nobody knows since when it holds is kept: it is looked at, and nothing learns from it. Texts that are
nearly everybody's own, such as names and addresses, say who somebody is, and are not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from propend.events import DAY_US, EventLog, Partition
from propend.predicates import FieldType
from propend.snapshots.build import is_one_of
from propend.snapshots.consent import last_rows

ATTRIBUTE = "attribute__"
"""Before the name of an attribute, the name of its column."""
FEW_PROFILES = 100
"""So few may have a text each."""
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True)
class _Column:
    """One attribute in the codes of a log.

    Attributes:
        name: of the attribute.
        type: what its values become: float64, string, bool or timestamp[us] without a zone.
        place: among the numbers of attributes, or among their texts where there are ``words``.
        words: of its codes, as values of its type.
    """

    name: str
    type: FieldType
    place: int
    words: pa.Array | None

    def values(self, numbers: NDArray[np.float64], texts: NDArray[np.int32], rows: NDArray[np.int64]) -> pa.Array:
        """Those of some rows; nothing where a row is -1, or has none."""
        there = rows >= 0
        side: NDArray[Any] = (numbers if self.words is None else texts)[self.place]
        found = side[np.maximum(rows, 0)] if len(side) else np.zeros(len(rows), dtype=side.dtype)
        if self.words is None:
            nothing = ~there | np.isnan(found)
            if self.type == "time":
                return pa.array(np.where(nothing, 0, found).astype(np.int64), pa.timestamp("us"), mask=nothing)
            return pa.array(found, mask=nothing)
        codes = pa.array(found, pa.int32(), mask=~there | (found < 0))
        if self.type == "text":
            return pa.DictionaryArray.from_arrays(codes, self.words)
        return self.words.take(codes)


@dataclass(frozen=True)
class AttributesAt:
    """The attributes of a log that are kept, as of a cutoff; picklable, so that it goes to where partitions are."""

    columns: tuple[_Column, ...]
    until_us: int

    @property
    def names(self) -> list[str]:
        """Of the attributes."""
        return [column.name for column in self.columns]

    def of(self, part: Partition, profiles: NDArray[np.int64]) -> pa.Table:
        """``attribute__NAME`` of some profiles, by their positions in a partition, in that order."""
        facts = part.attributes
        if facts is None:
            rows = np.full(len(profiles), -1, dtype=np.int64)
            numbers, texts = np.empty((len(self.columns), 0)), np.empty((len(self.columns), 0), dtype=np.int32)
        else:
            rows = last_rows(facts.offsets, facts.at < self.until_us)[profiles]
            numbers, texts = facts.numbers, facts.texts
        columns = {ATTRIBUTE + c.name: c.values(numbers, texts, rows) for c in self.columns}
        return pa.table({"#": pa.array(profiles), **columns}).drop_columns("#")


def attributes_at(log: EventLog, apart: Sequence[str], day: int) -> AttributesAt:
    """What is kept of a log's attributes.

    Args:
        apart: columns that are not (``labels.columns_apart``); also where several tables have them.
        day: day number of the cutoff.
    """
    kinds = {field.name: field.type for field in log.facts.attribute_fields}
    found = [_Column(n, kinds.get(n, "number"), i, None) for i, n in enumerate(log.attribute_numbers)]
    texts = zip(log.attribute_texts, log.attribute_vocabularies, strict=True)
    found += [_of_words(name, kinds.get(name, "text"), i, words) for i, (name, words) in enumerate(texts)]
    many = max(FEW_PROFILES, log.facts.profiles) / 2
    kept = (c for c in found if not is_one_of(c.name, apart) and (c.type != "text" or len(c.words or ()) <= many))
    return AttributesAt(tuple(kept), day * DAY_US)


def _of_words(name: str, kind: FieldType, place: int, words: Sequence[str]) -> _Column:
    """Booleans and times as such, where all words can be read so."""
    values: list[Any] = [_TRUTH.get(w.lower()) if kind == "boolean" else _moment(w) for w in words]
    if kind in ("boolean", "time") and None not in values:
        return _Column(name, kind, place, pa.array(values, pa.bool_() if kind == "boolean" else pa.timestamp("us")))
    return _Column(name, "text", place, pa.array(words, pa.string()))


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)
