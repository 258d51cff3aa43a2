"""Canonical events: what an engine delivers, whatever the raw data looked like.

One row per event, coded, partitioned by profile and sorted by (profile, time). Times are microseconds
of the *local wall clock* of the instance's time zone since 1970-01-01 00:00 on that clock, so that every
local midnight is a whole multiple of a day and all window arithmetic is integer (docs/decisions/0002).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from propend.goal import NamedEvent
from propend.persons import IdentityFacts, Persons
from propend.predicates import FieldType
from propend.protection import Forgotten

T = TypeVar("T")
DAY_US = 86_400_000_000
MAX_SELECTORS = 64


@dataclass(frozen=True)
class Field:
    """A column of the raw events that conditions, measures and features may use."""

    name: str
    type: FieldType


@dataclass(frozen=True)
class Selector:
    """A named event as the kernel sees it: bit ``i`` of an event's bits is selector ``i``."""

    name: str
    event: NamedEvent


@dataclass(frozen=True)
class EventRequest:
    """What the snapshots need of the events.

    Attributes:
        selectors: at most 64; one bit each.
        exclude: events matching any of these are dropped and counted.
        number_fields: numeric columns delivered as float64, in this order.
        text_fields: columns delivered as dictionary codes, in this order.
        as_of: nothing at or after this local midnight is read.
        time_zone: the zone of the local wall clock; also of raw times that carry none.
        group_fields: attributes that are delivered even where nobody knows since when they hold.
        beside: whether attributes that can be no features are delivered, too: times, and those of which nobody knows
            since when they hold.
        forgotten: whose events and attributes are left out.
    """

    selectors: tuple[Selector, ...]
    exclude: tuple[NamedEvent, ...] = ()
    number_fields: tuple[str, ...] = ()
    text_fields: tuple[str, ...] = ()
    as_of: date | None = None
    time_zone: str = "UTC"
    group_fields: tuple[str, ...] = ()
    forgotten: Forgotten | None = None
    beside: bool = False


@dataclass(frozen=True)
class XdmFacts:
    """What was recognised in a source of XDM ExperienceEvents.

    Attributes:
        identity: what profiles are told apart by, as ``NAMESPACE (path)``.
        identities: those there are, each with the share of rows that have it.
        kinds: what each kind that was found is recognised by.
        made: rows that are something the marketer did, by kind: they are set aside.
        currencies: events with a value, by currency, most first.
    """

    identity: str
    identities: tuple[tuple[str, float], ...]
    kinds: dict[str, str]
    made: dict[str, int]
    currencies: dict[str, int]


@dataclass(frozen=True)
class MirrorFacts:
    """How the rows of an incremental source came.

    Attributes:
        read: rows that were asked of the database.
        kept: rows from earlier runs.
        why: ``newer``: only new ones were asked for; else why all were: ``first``, ``asked``, ``age``, ``columns``,
            ``damaged``, or ``nowhere``, since no place to keep them was named.
    """

    read: int
    kept: int
    why: str


@dataclass(frozen=True)
class SourceFacts:
    """One source as it was read: path or name, format, rows, the columns' roles and how they came about.

    Attributes:
        columns: column of each role that has one.
        guessed: roles whose column was not named but guessed.
        reasons: why each of ``guessed`` was taken, as a short text.
        left_out: files that were not opened, since they are of days that were not asked for.
        xdm: what was recognised, where it is XDM.
        mirror: how its rows came, where it is incremental.
        lacking: files without the column of a role that events can do without, by role.
    """

    path: str
    format: str
    rows: int
    columns: dict[str, str]
    guessed: tuple[str, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)
    left_out: int = 0
    xdm: XdmFacts | None = None
    mirror: MirrorFacts | None = None
    lacking: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class FieldFacts:
    """What one event column holds.

    Attributes:
        field: name and type.
        filled: share of the events looked at that have it.
        distinct: distinct values among them, approximate where they are many.
        rows: events looked at.
        later: for times, the share of them more than a day after their event and none after the last event.
    """

    field: Field
    filled: float
    distinct: int
    rows: int = 0
    later: float = 0.0


@dataclass(frozen=True)
class EventFacts:
    """The data profile of the events used.

    Attributes:
        sources: each source as read.
        read: raw rows read.
        used: events that became canonical.
        set_aside: rows left out, by reason: no_profile, no_time, unparsable_time, before_1970,
            in_the_future, duplicate, excluded, after_as_of; and forgotten and marketer_made where there are any.
        profiles: distinct profiles among the used events.
        first_at, last_at: local microseconds of the first and last used event.
        kinds: name, events, profiles of each kind, most events first.
        days: local day numbers since 1970 that have events, ascending.
        events_per_day: events on each of ``days``.
        last_time_of_day: microseconds after midnight of the last event on each of ``days``.
        fields: facts of each column that could describe an event.
        attribute_fields: columns of the attribute tables, as delivered.
        exact_duplicates: rows equal to another in every column, where no id tells them apart.
        unparsable_values: events whose value is a text that is not a number.
        attributes_without_time: columns of attribute tables that are neither timed nor constant: no features.
        attributes_beside: delivered, and no features (``EventRequest.beside``).
        attribute_columns: all columns of the attribute tables, delivered or not.
        short_rows: rows of CSV files that lack their last fields; these were read as empty.
        identities: what became of links between ids, where there are any.
    """

    sources: tuple[SourceFacts, ...]
    read: int
    used: int
    set_aside: dict[str, int]
    profiles: int
    first_at: int
    last_at: int
    kinds: tuple[tuple[str, int, int], ...]
    days: NDArray[np.int64]
    events_per_day: NDArray[np.int64]
    last_time_of_day: NDArray[np.int64]
    fields: tuple[FieldFacts, ...] = ()
    attribute_fields: tuple[Field, ...] = ()
    exact_duplicates: int = 0
    unparsable_values: int = 0
    attributes_without_time: tuple[str, ...] = ()
    attributes_beside: tuple[str, ...] = ()
    short_rows: int = 0
    attribute_columns: tuple[str, ...] = ()
    identities: IdentityFacts | None = None


@dataclass(frozen=True)
class AttributeRows:
    """Facts about the profiles of one partition, sorted by (profile, time from which they are true).

    Attributes:
        offsets: int64[P + 1], rows of profile ``i`` are ``offsets[i]:offsets[i + 1]``.
        at: int64[R], local microseconds from which the row is true; the smallest int64 if constant.
        numbers: float64[M, R], NaN where empty.
        texts: int32[N, R], codes into the log's vocabulary, -1 where empty.
    """

    offsets: NDArray[np.int64]
    at: NDArray[np.int64]
    numbers: NDArray[np.float64]
    texts: NDArray[np.int32]


@dataclass(frozen=True)
class Lives:
    """At which cutoffs each profile of a partition is one: ids that are joined are others before and after.

    Attributes:
        first, end: int64[P], day numbers of the first cutoff and of the first beyond.
        days: the cutoffs, ascending, that the partition was made for; it knows of no other.
    """

    first: NDArray[np.int64]
    end: NDArray[np.int64]
    days: tuple[int, ...]

    def at(self, days: Sequence[int]) -> NDArray[np.bool_]:
        """bool[P, K]: whether each profile is one at some cutoffs."""
        if not set(days) <= set(self.days):
            raise ValueError(f"the log was stitched for the cutoffs {self.days}, not for {tuple(days)}")
        asked = np.array(days, dtype=np.int64)
        found: NDArray[np.bool_] = (self.first[:, None] <= asked) & (asked < self.end[:, None])
        return found

    def of(self, profiles: NDArray[np.int64] | slice) -> Lives:
        """Those of some profiles."""
        return Lives(self.first[profiles], self.end[profiles], self.days)


@dataclass(frozen=True)
class Partition:
    """All events of some profiles, sorted by (profile, time, everything else).

    The order of profiles is that of (key, id), where the key is the first eight bytes of the MD5 of the
    id: stable across engines, machines and numbers of partitions, and the source of folds and samples.

    Attributes:
        profile_ids: str[P].
        keys: uint64[P].
        offsets: int64[P + 1].
        at: int64[E], local microseconds.
        kind: int32[E], codes into ``EventLog.kinds``.
        bits: uint64[E], one bit per selector of the request.
        value: float64[E], NaN where empty.
        numbers: float64[M, E] in the order of the request's number fields, NaN where empty.
        texts: int32[N, E] in the order of the request's text fields, -1 where empty.
        attributes: facts about the same profiles, or None.
        first_profile: position of its first profile among all of the log.
        lives: at which cutoffs each profile is one; None where all are at all.
    """

    profile_ids: NDArray[np.object_]
    keys: NDArray[np.uint64]
    offsets: NDArray[np.int64]
    at: NDArray[np.int64]
    kind: NDArray[np.int32]
    bits: NDArray[np.uint64]
    value: NDArray[np.float64]
    numbers: NDArray[np.float64]
    texts: NDArray[np.int32]
    attributes: AttributeRows | None = None
    first_profile: int = 0
    lives: Lives | None = None

    @property
    def profiles(self) -> int:
        return len(self.profile_ids)

    def among(self, profile: NDArray[np.int64]) -> slice:
        """Where its own are among ascending positions of profiles of the log."""
        first, end = np.searchsorted(profile, (self.first_profile, self.first_profile + self.profiles)).tolist()
        return slice(first, end)

    def of_share(self, share: float) -> Partition:
        """Those of its profiles that belong to a share of all, those with the smallest keys."""
        return self if share >= 1.0 else self.first(int(np.searchsorted(self.keys, least_key(share))))

    def first(self, profiles: int) -> Partition:
        """Its first so many profiles; events of others stay behind them."""
        if profiles >= self.profiles:
            return self
        attributes = self.attributes and replace(self.attributes, offsets=self.attributes.offsets[: profiles + 1])
        return replace(
            self,
            profile_ids=self.profile_ids[:profiles],
            keys=self.keys[:profiles],
            offsets=self.offsets[: profiles + 1],
            attributes=attributes,
            lives=self.lives and self.lives.of(slice(profiles)),
        )


def least_key(share: float) -> np.uint64:
    """The first key that does not belong to a share, under 1, of all profiles."""
    return np.uint64(int(share * 2.0**64))


class EventCodes(Protocol):
    """What the codes of partitions stand for."""

    @property
    def request(self) -> EventRequest: ...

    @property
    def kinds(self) -> tuple[str, ...]: ...

    @property
    def vocabularies(self) -> tuple[tuple[str, ...], ...]: ...

    @property
    def attribute_numbers(self) -> tuple[str, ...]: ...

    @property
    def attribute_texts(self) -> tuple[str, ...]: ...

    @property
    def attribute_vocabularies(self) -> tuple[tuple[str, ...], ...]: ...


class EventLog(EventCodes, Protocol):
    """Canonical events, ready to be visited partition by partition, as often as needed."""

    @property
    def facts(self) -> EventFacts: ...

    @property
    def persons(self) -> Persons | None:
        """Which ids are one person, for ``snapshots.stitching``; None where each is a profile."""
        ...

    @property
    def elsewhere(self) -> bool:
        """Whether partitions are on other machines, which visitors go to."""
        ...

    def visit(self, visitor: Callable[[Partition], T], share: float = 1.0) -> Iterator[T]:
        """What a visitor makes of each partition, in ascending order of keys.

        A cluster takes the visitor to the partitions: it must be picklable, and what it gives should be small.

        Args:
            share: of the profiles, those with the smallest keys; of partitions that have none of them only the first is
                visited.
        """
        ...


@dataclass(frozen=True)
class OpenedEvents:
    """Sources that could be opened: their columns and kinds, before anything is coded.

    Attributes:
        fields: columns conditions may name, by name.
        kinds: events per kind, most first.
        sources: as they will be read.
        field_facts: facts of each column that could describe an event, from a look at the data.
    """

    fields: dict[str, Field]
    kinds: dict[str, int]
    sources: tuple[SourceFacts, ...] = field(default=())
    field_facts: tuple[FieldFacts, ...] = ()
