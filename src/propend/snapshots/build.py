"""Population, labels and features: one piece of code for training, proof and scoring.

``survey`` stands at every cutoff at once and evaluates the instance's lines for every profile;
``rows_at`` picks the snapshots; ``feature_matrix`` describes them.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numba
import numpy as np
from numpy.typing import NDArray

from propend.events import DAY_US, AttributeRows, EventCodes, EventLog, Partition, least_key
from propend.language import say
from propend.snapshots.kernel import Asked, Events, Facts, Routes, asked_for, compute_features
from propend.snapshots.lines import count_past, evaluate_lines
from propend.snapshots.plan import (
    AMOUNT_OPS,
    CODE_OPS,
    NUMBER_OPS,
    TEXT_OPS,
    Channel,
    Feature,
    Op,
    Plan,
    PlanInput,
    Vocabulary,
    field_words,
    plural,
    with_own_keys,
)
from propend.snapshots.program import Program

MAX_KIND_CHANNELS = 20
MAX_VALUE_CHANNELS = 12
MIN_VALUE_PROFILES = 30
MAX_ATTRIBUTE_VALUES = 12
FEW_VALUES, MAX_TOLD_VALUES, MIN_TOLD_PROFILES = 30, 5_000, 5
"""Of a text with more values than the first, so many are told apart, each of so many profiles at the least."""
MAIN_SHARE = 0.8
"""From this share of all events on, a named event and all events say the same thing."""


@dataclass(frozen=True)
class Survey:
    """Every line of the program, for every profile at every cutoff.

    Attributes:
        program: whose lines were evaluated.
        cutoffs: day numbers, ascending.
        profile_ids: str[P] in canonical order.
        keys: uint64[P], stable hashes of the ids.
        masks: uint64[P, K]; bit ``j`` says whether line ``j`` holds.
        share: of all profiles; these are those with the smallest keys.
        alive: bool[P, K], whether each profile is one at each cutoff (``events.Lives``); None where all are at all.
    """

    program: Program
    cutoffs: tuple[int, ...]
    profile_ids: NDArray[np.object_]
    keys: NDArray[np.uint64]
    masks: NDArray[np.uint64]
    share: float = 1.0
    alive: NDArray[np.bool_] | None = None

    def holds(self, line: int) -> NDArray[np.bool_]:
        """bool[P, K]: whether one line holds."""
        on: NDArray[np.bool_] = (self.masks >> np.uint64(line)) & np.uint64(1) == np.uint64(1)
        return on

    def _all(self, *roles: str) -> NDArray[np.bool_]:
        mask = np.uint64(self.program.mask_of(*roles))
        on: NDArray[np.bool_] = (self.masks & mask) == mask
        return on if self.alive is None else on & self.alive

    @property
    def standing(self) -> NDArray[np.bool_]:
        """bool[P, K]: whether each profile is one at each cutoff."""
        return np.ones(self.masks.shape, dtype=np.bool_) if self.alive is None else self.alive

    def there(self, column: int) -> NDArray[np.int64]:
        """Positions of the profiles that are one at a cutoff, by its place; no id is among these twice."""
        return np.arange(len(self.keys)) if self.alive is None else np.flatnonzero(self.alive[:, column])

    def count(self, snapshots: NDArray[np.bool_]) -> int:
        """How many persons have any of some snapshots, bool[P, K]: one may be several profiles, one after the other."""
        some = np.flatnonzero(snapshots.any(axis=1))
        return len(some) if self.alive is None else len(np.unique(self.keys[some]))

    @property
    def everyone(self) -> int:
        """How many persons there are."""
        return self.count(np.ones((len(self.keys), 1), dtype=np.bool_))

    def persons(self, profile: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64[N], the same of all profiles, by their positions, that are one person in the end."""
        return profile if self.alive is None else np.searchsorted(self.keys, self.keys[profile])

    @cached_property
    def population(self) -> NDArray[np.bool_]:
        """bool[P, K]: eligible and not gone before the cutoff; looks at nothing from the cutoff on."""
        return self._all("eligible", "consent", "exit_before")

    def without_consent(self, cutoff: int) -> int:
        """How many would be in the population at a surveyed cutoff (day number) if they consented."""
        line = self.program.consent_line
        if line < 0:
            return 0
        column = self.cutoffs.index(cutoff)
        asked = self._all("eligible", "exit_before")[:, column]
        return int((asked & ~self.holds(line)[:, column]).sum())

    @cached_property
    def labelled(self) -> NDArray[np.bool_]:
        """bool[P, K]: in the population, observed to the end and not through with the goal in the gap."""
        known: NDArray[np.bool_] = self.population & self._all("exit_within") & ~self.met_early
        return known

    @property
    def met_early(self) -> NDArray[np.bool_]:
        """bool[P, K]: met the goal in the gap, before the outcome window."""
        early: NDArray[np.bool_] = (self.masks & np.uint64(self.program.mask_of("gap"))) != np.uint64(0)
        return early

    @property
    def gone(self) -> NDArray[np.bool_]:
        """bool[P, K]: did an exit event before the outcome was known."""
        return ~self._all("exit_before", "exit_within")

    @cached_property
    def met(self) -> NDArray[np.bool_]:
        """bool[P, K]: met the goal in the outcome window."""
        return self._all("goal")


@dataclass(frozen=True)
class Rows:
    """Snapshots: one row each, ordered by profile and cutoff.

    Attributes:
        profile: int64[N], positions in ``Survey.profile_ids``.
        cutoff: int64[N], day numbers.
        label: uint8[N]; 0 where not known.
    """

    profile: NDArray[np.int64]
    cutoff: NDArray[np.int64]
    label: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.profile)

    def where(self, chosen: NDArray[np.bool_]) -> Rows:
        """Those rows of which bool[N] is true."""
        return Rows(self.profile[chosen], self.cutoff[chosen], self.label[chosen])


def survey(log: EventLog, program: Program, cutoffs: Iterable[int], share: float = 1.0) -> Survey:
    """Evaluate every line at every cutoff (day numbers) in one pass over the partitions.

    Args:
        share: of the profiles, those with the smallest keys.
    """
    days = tuple(sorted(set(cutoffs)))
    parts = list(log.visit(partial(survey_part, program=program, days=days), share))
    ids, keys, masks = zip(*((p.profile_ids, p.keys, p.masks) for p in parts), strict=True)
    lives = [p.alive for p in parts if p.alive is not None]
    alive = np.concatenate(lives) if lives else None
    return Survey(program, days, np.concatenate(ids), np.concatenate(keys), np.concatenate(masks), share, alive)


def survey_part(part: Partition, program: Program, days: tuple[int, ...]) -> Survey:
    """Evaluate every line at every cutoff (day numbers) for the profiles of one partition."""
    out = np.zeros((part.profiles, len(days)), dtype=np.uint64)
    evaluate_lines(
        part.offsets, part.at, part.bits, part.numbers, part.texts, np.array(days, dtype=np.int64) * DAY_US,
        program.atoms, program.bounds, program.steps, program.line_offsets, program.sequence, out,
    )  # fmt: skip
    if program.consent is not None:
        program.consent.clear(part, days, program.consent_line, out)
    alive = part.lives.at(days) if part.lives is not None else None
    return Survey(program, days, part.profile_ids, part.keys, out, alive=alive)


def rows_at(given: Survey, cutoffs: Sequence[int], *, labelled: bool, share: float = 1.0) -> Rows:
    """The snapshots at some of the surveyed cutoffs.

    Args:
        cutoffs: day numbers.
        labelled: only snapshots whose label is known; else the whole population, labels 0.
        share: keep about this share of the profiles surveyed, chosen by their keys.
    """
    columns = [given.cutoffs.index(c) for c in cutoffs]
    inside = (given.labelled if labelled else given.population)[:, columns]
    if share < 1.0:
        inside = inside & (given.keys < least_key(share * given.share))[:, None]
    profile, column = np.nonzero(inside)
    met = given.met[:, columns][profile, column] if labelled else np.zeros(len(profile), dtype=bool)
    days = np.array([given.cutoffs[c] for c in columns], dtype=np.int64)
    return Rows(profile.astype(np.int64), days[column], met.astype(np.uint8))


def feature_matrix(log: EventLog, plan: Plan, rows: Rows) -> NDArray[np.float32]:
    """float32[N, F]: every feature of every snapshot, NaN where there is nothing to say.

    Amounts of a window that begins before the data do are stretched to its length, so that they mean the same
    at early cutoffs as at late ones: 3 in the 90 days there were are 6 in 180. What happened at a time before the data
    is not known.
    """
    out, done = np.empty((len(rows), len(plan.features)), dtype=np.float32), 0
    for described in log.visit(partial(describe, describer(log, plan), rows)):
        out[done : done + len(described)] = described
        done += len(described)
    return out


def describe(by: Describer, rows: Rows, part: Partition) -> NDArray[np.float32]:
    """float32[n, F]: features of those snapshots that are of a partition's profiles (``feature_matrix``)."""
    own = part.among(rows.profile)
    profile, cutoff = rows.profile[own] - part.first_profile, rows.cutoff[own]
    out = np.empty((len(profile), len(by.plan.features)), dtype=np.float32)
    if len(profile):
        _fill(part, by, profile, cutoff, out)
        _stretch(by.plan, cutoff, out)
        for j, named in by.named.items():
            known = ~np.isnan(out[:, j])
            out[known, j] = named[out[known, j].astype(np.int64)]
    return out


@dataclass(frozen=True)
class Describer:
    """A plan in the codes of a log, all that is needed to describe profiles of its partitions wherever they are.

    Attributes:
        asked: the features as the kernel is asked for them.
        routes: which channel an event belongs to.
        named: of features that are codes, what each of the log's becomes in the plan's.
    """

    plan: Plan
    asked: Asked
    routes: Routes
    named: dict[int, NDArray[np.float32]]


def describer(log: EventCodes, plan: Plan) -> Describer:
    """A plan in the codes of a log."""
    named = {j: _named_codes(f, log) for j, f in enumerate(plan.features) if f.op in CODE_OPS}
    asked = asked_for(np.array(plan.windows, dtype=np.int64), _table(plan, log))
    return Describer(plan, asked, _routes(plan, log), named)


def _named_codes(feature: Feature, log: EventCodes) -> NDArray[np.float32]:
    """From the log's codes, which differ from log to log, to the plan's."""
    names, vocabularies = (
        (log.request.text_fields, log.vocabularies)
        if feature.op is Op.TEXT_LAST
        else (log.attribute_texts, log.attribute_vocabularies)
    )
    place = {value: i for i, value in enumerate(feature.values)}
    words = vocabularies[names.index(feature.field)]
    return np.array([place.get(word, len(place)) for word in words], dtype=np.float32)


def _stretch(plan: Plan, cutoff: NDArray[np.int64], out: NDArray[np.float32]) -> None:
    for window in plan.windows:
        young = np.flatnonzero(cutoff - plan.since_day < window)
        if len(young):
            amounts, unknown = (
                [j for j, f in enumerate(plan.features) if f.op in ops and f.window_days == window]
                for ops in (AMOUNT_OPS, {Op.COUNT_BETWEEN})
            )
            out[young[:, None], unknown] = np.nan
            seen = np.maximum(cutoff[young] - plan.since_day, 1)
            out[young[:, None], amounts] *= (window / seen).astype(np.float32)[:, None]


def _fill(
    part: Partition,
    by: Describer,
    profile: NDArray[np.int64],
    cutoff: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    attributes = part.attributes or _no_attributes()
    n_blocks = max(1, min(len(profile) // 64, 8 * numba.get_num_threads()))
    compute_features(
        Events(part.offsets, part.at, part.kind, part.bits, part.value, part.numbers, part.texts),
        Facts(attributes.offsets, attributes.at, attributes.numbers, attributes.texts),
        by.routes, by.asked, profile, cutoff, np.linspace(0, len(profile), n_blocks + 1).astype(np.int64), out,
    )  # fmt: skip


def _no_attributes() -> AttributeRows:
    return AttributeRows(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros((0, 0)), np.zeros((0, 0), np.int32))


def _routes(plan: Plan, log: EventCodes) -> Routes:
    """Channels of kinds, bits and values of a log; none for those that no feature is made of."""
    offsets = _value_offsets(log)
    kinds = {k: i for i, k in enumerate(log.kinds)}
    bits = {s.name: b for b, s in enumerate(log.request.selectors)}
    fields = {f: t for t, f in enumerate(log.request.text_fields)}
    of_kind = np.full(max(len(log.kinds), 1), -1, dtype=np.int64)
    of_bit = np.full(64, -1, dtype=np.int64)
    of_value = np.full(offsets[-1], -1, dtype=np.int64)
    for i in sorted({f.channel for f in plan.features}):
        channel = plan.channels[i]
        if channel.source == "kind" and channel.name in kinds:
            of_kind[kinds[channel.name]] = i
        elif channel.source == "bit":
            of_bit[bits[channel.name]] = i
        elif channel.source == "value":
            code = _code(log.vocabularies[fields[channel.name]], channel.value)
            if code >= 0:
                of_value[offsets[fields[channel.name]] + code] = i
    active_bits = np.uint64(sum(1 << int(b) for b in np.flatnonzero(of_bit >= 0)))
    texts = [t for t, (a, b) in enumerate(itertools.pairwise(offsets)) if np.any(of_value[a:b] >= 0)]
    return Routes(of_kind, of_bit, offsets, of_value, active_bits, np.array(texts, dtype=np.int64), len(plan.channels))


def _code(vocabulary: Sequence[str], value: str) -> int:
    """Position of a value in an ascending vocabulary; -2, which no event has, where it is absent."""
    i = bisect.bisect_left(vocabulary, value)
    return i if i < len(vocabulary) and vocabulary[i] == value else -2


def _table(plan: Plan, log: EventCodes) -> NDArray[np.int64]:
    """int64[F, 4]: op, channel or field position, window position, argument."""
    window = {w: i for i, w in enumerate(plan.windows)}
    rows = []
    for f in plan.features:
        place, argument = f.channel, f.argument
        if f.op in (Op.TREND, Op.COUNT_BETWEEN):
            argument = window[f.argument]
        elif f.op in TEXT_OPS:
            place = log.request.text_fields.index(f.field)
            argument = _code(log.vocabularies[place], f.value)
        elif f.op in NUMBER_OPS:
            place = log.request.number_fields.index(f.field)
        elif f.op is Op.ATTRIBUTE_NUMBER:
            place = log.attribute_numbers.index(f.field)
        elif f.op in (Op.ATTRIBUTE_TEXT_IS, Op.ATTRIBUTE_TEXT):
            place = log.attribute_texts.index(f.field)
            argument = _code(log.attribute_vocabularies[place], f.value)
        rows.append((f.op, place, window[f.window_days], argument))
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


# --- what the plan is made from -----------------------------------------------------------------------


@dataclass(frozen=True)
class Support:
    """How many profiles show what, counted on the events before one cutoff that features may look at.

    Attributes:
        profiles: profiles with any event.
        kinds, bits: profiles per kind and per bit.
        events: all events; ``bit_events``: those per bit.
        values: profiles per value of each text field.
        valued_kinds, valued_bits: events with a value per kind and bit.
        attribute_values: profiles per value of each attribute text.
        timed: whether any event has a time of day.
    """

    profiles: int
    kinds: NDArray[np.int64]
    bits: NDArray[np.int64]
    values: tuple[NDArray[np.int64], ...]
    valued_kinds: NDArray[np.int64]
    valued_bits: NDArray[np.int64]
    attribute_values: tuple[NDArray[np.int64], ...]
    timed: bool
    events: int
    bit_events: NDArray[np.int64]


def count_support(log: EventLog, before_day: int, since_day: int = 0) -> Support:
    """Support of every kind, bit and value on events strictly before a cutoff (day numbers).

    Args:
        since_day: the first day that any feature looks at; what is older supports nothing.
    """
    period, value_offsets = (since_day * DAY_US, before_day * DAY_US), _value_offsets(log)
    words = tuple(len(v) for v in log.attribute_vocabularies)
    counted = list(log.visit(partial(_count_part, period, len(log.kinds), value_offsets, words)))
    kinds, bits, values, bit_events, valued_kinds, valued_bits, whole, *attribute_values = (
        np.sum(counts, axis=0) for counts in zip(*counted, strict=True)
    )
    return Support(
        profiles=int(whole[0]),
        kinds=kinds,
        bits=bits,
        values=tuple(values[a:b] for a, b in itertools.pairwise(value_offsets)),
        valued_kinds=valued_kinds,
        valued_bits=valued_bits,
        attribute_values=tuple(attribute_values),
        timed=bool(whole[2]),
        events=int(whole[1]),
        bit_events=bit_events,
    )


def _count_part(
    period: tuple[int, int], kinds: int, value_offsets: NDArray[np.int64], words: tuple[int, ...], part: Partition
) -> list[NDArray[np.int64]]:
    """What ``count_past`` counts, then profiles per value of each attribute text."""
    sizes = (kinds, 64, int(value_offsets[-1]), 64, kinds, 64, 3)
    of_kind, of_bit, of_value, bit_events, valued_kinds, valued_bits, whole = (np.zeros(n, np.int64) for n in sizes)
    count_past(
        part.offsets, part.at, part.kind, part.bits, part.value, part.texts, *period, value_offsets,
        of_kind, of_bit, of_value, bit_events, valued_kinds, valued_bits, whole,
    )  # fmt: skip
    of_attributes = [np.zeros(n, np.int64) for n in words]
    if part.attributes is not None:
        _count_attributes(part.attributes, period[1], of_attributes)
    return [of_kind, of_bit, of_value, bit_events, valued_kinds, valued_bits, whole, *of_attributes]


def _value_offsets(log: EventCodes) -> NDArray[np.int64]:
    """int64[T + 1]: where the values of each text field begin when all are laid end to end."""
    return np.concatenate([[0], np.cumsum([len(v) for v in log.vocabularies])]).astype(np.int64)


def _profiles_per_code(owner: NDArray[np.int64], codes: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    pairs = np.unique(owner * np.int64(max(size, 1)) + codes)
    return np.bincount(pairs % max(size, 1), minlength=size).astype(np.int64)


def _count_attributes(rows: AttributeRows, limit: int, counts: list[NDArray[np.int64]]) -> None:
    owner = np.repeat(np.arange(len(rows.offsets) - 1), np.diff(rows.offsets))
    for t in range(len(counts)):
        known = (rows.at < limit) & (rows.texts[t] >= 0)
        counts[t] += _profiles_per_code(owner[known], rows.texts[t][known], len(counts[t]))


def plan_input(
    log: EventLog,
    support: Support,
    windows: tuple[int, ...],
    value_name: str,
    feature_numbers: Sequence[str],
    feature_texts: Sequence[str],
    apart: Sequence[str] = (),
    since_day: int = 0,
    outcome_days: tuple[int, int] = (0, 0),
) -> PlanInput:
    """Channels and fields worth features, in a stable order: all events, named events, kinds, values.

    Args:
        apart: attributes that are no features; also where several tables have them.
        since_day: day number of the first event.
        outcome_days: first day and end of the outcome window, from the cutoff, where a year ago may tell.
    """
    request, beside = log.request, log.facts.attributes_beside
    texts = tuple(
        _vocabulary(name, log.vocabularies[t], support.values[t], support.profiles, MAX_VALUE_CHANNELS)
        for t, name in enumerate(request.text_fields)
        if name in feature_texts
    )
    attribute_texts = tuple(
        _vocabulary(name, values, counts, 0, MAX_ATTRIBUTE_VALUES)
        for name, values, counts in zip(
            log.attribute_texts, log.attribute_vocabularies, support.attribute_values, strict=True
        )
    )
    return PlanInput(
        channels=with_own_keys([*_event_channels(log, support), *_value_channels(texts)]),
        windows=windows,
        value_name=value_name,
        numbers=tuple(n for n in request.number_fields if n in feature_numbers),
        texts=texts,
        attribute_numbers=tuple(n for n in log.attribute_numbers if n not in beside and not is_one_of(n, apart)),
        attribute_texts=tuple(t for t in attribute_texts if t.name not in beside and not is_one_of(t.name, apart)),
        timed=support.timed,
        since_day=since_day,
        outcome_days=outcome_days,
    )


def is_one_of(name: str, apart: Sequence[str]) -> bool:
    """Whether a column is named, or is called so in a further table, whose name then stands before it."""
    return name in apart or name.split(".", 1)[-1] in apart


def _event_channels(log: EventLog, support: Support) -> list[Channel]:
    named = _named_channels(log, support)
    valued = bool(support.valued_kinds.sum())
    everything = Channel(
        "any", "", "", "any", say("event"), say("events"), valued=valued, speaks_for=_main_voice(log, support)
    )
    return [everything, *named, *_kind_channels(log, support)]


def _main_voice(log: EventLog, support: Support) -> tuple[str, str, str] | None:
    """The first named event that makes up nearly all events: then all events say what it says."""
    for b, selector in enumerate(log.request.selectors):
        if support.bit_events[b] >= MAIN_SHARE * max(support.events, 1):
            noun = selector.name.replace("_", " ")
            return selector.name, noun, plural(noun)
    return None


def _named_channels(log: EventLog, support: Support) -> list[Channel]:
    channels = []
    for b, selector in enumerate(log.request.selectors):
        if support.bits[b]:
            noun, has_value = selector.name.replace("_", " "), bool(support.valued_bits[b])
            channels.append(Channel("bit", selector.name, "", selector.name, noun, plural(noun), valued=has_value))
    return channels


def _kind_channels(log: EventLog, support: Support) -> list[Channel]:
    """The best supported kinds that are not simply named already; none where there is only one."""
    order = sorted(np.flatnonzero(support.kinds), key=lambda k: (-support.kinds[k], log.kinds[k]))
    if len(order) == 1:
        return []
    named = [s.event for s in log.request.selectors]
    taken = {e.kinds[0] for e in named if len(e.kinds) == 1 and not e.where}
    names = {s.name for s in log.request.selectors}
    channels = []
    for k in [k for k in order if log.kinds[k] not in taken][:MAX_KIND_CHANNELS]:
        kind, has_value = log.kinds[k], bool(support.valued_kinds[k])
        noun = kind.replace("_", " ")
        key = kind if kind not in names else f"kind_{kind}"
        channels.append(Channel("kind", kind, "", key, noun, plural(noun), valued=has_value))
    return channels


def _value_channels(texts: Sequence[Vocabulary]) -> list[Channel]:
    return [
        Channel(
            "value", text.name, value, f"{text.name}={value}",
            say("event with {field} {value}", field=field_words(text.name), value=value),
            say("events with {field} {value}", field=field_words(text.name), value=value), rich=False,
        )
        for text in texts
        for value in text.top
    ]  # fmt: skip


def _vocabulary(name: str, words: Sequence[str], counts: NDArray[np.int64], profiles: int, most: int) -> Vocabulary:
    top = _top(words, counts, profiles, most)
    told = sorted(
        (i for i in range(len(words)) if counts[i] >= MIN_TOLD_PROFILES), key=lambda i: (-counts[i], words[i])
    )
    many = tuple(sorted(words[i] for i in told[:MAX_TOLD_VALUES]))
    return Vocabulary(name, top, many if len(many) > FEW_VALUES else ())


def _top(vocabulary: Sequence[str], counts: NDArray[np.int64], profiles: int, most: int) -> tuple[str, ...]:
    enough = max(MIN_VALUE_PROFILES, profiles // 100) if profiles else MIN_VALUE_PROFILES
    order = sorted(range(len(vocabulary)), key=lambda i: (-counts[i], vocabulary[i]))
    return tuple(vocabulary[i] for i in order[:most] if counts[i] >= enough)
