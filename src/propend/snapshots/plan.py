"""The feature plan: which numbers describe a snapshot, each with a name, a sentence and a factor.

A *channel* is a stream of a profile's events (all of them, one kind, one named event, one value of a
field). A *family* is a function that makes features for channels and windows; adding one is one
decorated function here. The kernel executes any list of features from a table of small op-codes; adding
an aggregate is one op there and one line in the slow oracle of the tests.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

from propend.language import noted, say, spoken


class Op(IntEnum):
    """Aggregates the kernel knows. All look at ``[cutoff - window, cutoff)``; for those of ``WHOLE_OPS`` the window
    is the whole look-back."""

    COUNT = 0  # events of the channel
    SUM = 1  # of their values
    MAX = 2  # of their values, missing without any
    ACTIVE_DAYS = 3  # distinct local days with an event
    DAYS_SINCE_LAST = 4  # missing without any
    DAYS_SINCE_FIRST = 5  # within the look-back, missing without any
    GAP_MEAN = 6  # days between consecutive active days, missing under two
    GAP_DEVIATION = 7  # their standard deviation, missing under three
    OVERDUE = 8  # days since the last active day over the mean gap
    TREND = 9  # events in the short window over events in the long one, missing without any
    VALUE_MEAN = 10  # missing without any
    VALUE_LAST = 11  # value of the latest event that has one
    SHARE = 12  # events of the channel over all events, missing without any
    DISTINCT = 13  # distinct values of a text field over all events
    NUMBER_MEAN = 14  # of a numeric field over all events
    NUMBER_LAST = 15  # of a numeric field, of the latest event that has one
    NUMBER_SUM = 16  # of a numeric field over all events
    TEXT_LAST_IS = 17  # 1 if the latest value of a text field is this one, missing without any
    PART_OF_DAY = 18  # share of events in a quarter of the day
    WEEKEND = 19  # share of events on Saturday or Sunday
    SESSIONS = 20  # visits separated by half an hour without events
    ATTRIBUTE_NUMBER = 21  # of the latest attribute row true before the cutoff
    ATTRIBUTE_TEXT_IS = 22  # 1 if the text of the latest attribute row true before the cutoff is this one
    REPEAT_SPAN = 23  # days from the first to the last active day, 0 with one
    COUNT_BETWEEN = 24  # events of the channel in the long window and not in the short one
    TEXT_LAST = 25  # position of the latest value of a text field among the feature's, missing without any
    ATTRIBUTE_TEXT = 26  # likewise of the latest attribute row true before the cutoff


TEXT_OPS = frozenset({Op.DISTINCT, Op.TEXT_LAST_IS, Op.TEXT_LAST})
CODE_OPS = frozenset({Op.TEXT_LAST, Op.ATTRIBUTE_TEXT})
"""Positions of values, which are no amounts: the model makes log-odds of them (``model.encodings``)."""
NUMBER_OPS = frozenset({Op.NUMBER_MEAN, Op.NUMBER_LAST, Op.NUMBER_SUM})
WINDOW_OPS = frozenset(
    {
        Op.COUNT,
        Op.SUM,
        Op.MAX,
        Op.ACTIVE_DAYS,
        Op.TREND,
        Op.VALUE_MEAN,
        Op.SHARE,
        Op.DISTINCT,
        Op.SESSIONS,
        Op.COUNT_BETWEEN,
    }
)
WHOLE_OPS = frozenset(Op) - WINDOW_OPS
AMOUNT_OPS = frozenset({Op.COUNT, Op.SUM, Op.ACTIVE_DAYS, Op.SESSIONS, Op.NUMBER_SUM})
"""What doubles when a profile goes on for twice as long."""


@dataclass(frozen=True)
class Channel:
    """A stream of events that features are made for.

    Attributes:
        source: ``any``, ``kind``, ``bit`` or ``value``.
        name: the kind, the named event or the text field; codes are looked up in the log at hand, so that
            a saved plan works on data whose codes have moved.
        value: the field's value, for ``value``.
        key: short name for feature names.
        one, many: what one event of it is called, and several.
        rich: whether all families apply, or only counts and recency.
        valued: whether its events carry values.
        speaks_for: key, singular and plural of the channel whose factors its features join, if another's.
            All events speak for a named event that makes up nearly all of them.
    """

    source: str
    name: str
    value: str
    key: str
    one: str
    many: str
    rich: bool = True
    valued: bool = False
    speaks_for: tuple[str, str, str] | None = None

    @property
    def voice(self) -> tuple[str, str, str]:
        """Key, singular and plural under which its features become factors."""
        return self.speaks_for or (self.key, self.one, self.many)


@dataclass(frozen=True)
class Factor:
    """What several features together say."""

    code: str
    label: str


@dataclass(frozen=True)
class Feature:
    """One number per snapshot.

    Attributes:
        name: ``family__channel__window``, unique in a plan.
        sentence: what it is, in words, after which the number can follow.
        op: the aggregate.
        channel: position in ``Plan.channels``; 0 for the ops over fields.
        window_days: length of the window.
        argument: second window in days (TREND, COUNT_BETWEEN), quarter (PART_OF_DAY), else 0.
        field: text or numeric field, or attribute, for the ops over them.
        value: the field's value, for the TEXT ops.
        factor: what it says.
        unit: ``days``, ``count``, ``money``, ``share``, ``ratio``, ``number`` or ``yes``.
        family: the family that made it.
        heavy: whether its distribution has a heavy tail, so that linear members see its logarithm.
        values: for CODE_OPS, the values that have a position; any other has the one after the last.
    """

    name: str
    sentence: str
    op: Op
    channel: int
    window_days: int
    factor: Factor
    unit: str
    argument: int = 0
    field: str = ""
    value: str = ""
    family: str = ""
    heavy: bool = True
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vocabulary:
    """A text field with its values.

    Attributes:
        top: those worth features of their own, best supported first.
        many: those worth to be told apart, ascending, where they are too many for features of their own; else empty.
    """

    name: str
    top: tuple[str, ...]
    many: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanInput:
    """What a plan is made from; all of it counted on events before the proof's cutoff.

    Attributes:
        channels: streams of events; the first is all events.
        windows: window lengths in days, ascending; the last is the look-back.
        value_name: what the value is called.
        numbers: numeric fields to describe profiles by.
        texts: text fields likewise, with their top values.
        attribute_numbers, attribute_texts: columns of the attribute tables.
        timed: whether events have a time of day.
        since_day: day number of the first event of the data.
        outcome_days: first day and end of the outcome window, from the cutoff; (0, 0) where a year ago tells nothing.
    """

    channels: tuple[Channel, ...]
    windows: tuple[int, ...]
    value_name: str = "value"
    numbers: tuple[str, ...] = ()
    texts: tuple[Vocabulary, ...] = ()
    attribute_numbers: tuple[str, ...] = ()
    attribute_texts: tuple[Vocabulary, ...] = ()
    timed: bool = True
    since_day: int = 0
    outcome_days: tuple[int, int] = (0, 0)

    @property
    def lookback(self) -> int:
        return self.windows[-1]


@dataclass(frozen=True)
class Plan:
    """The logical plan: channels, windows and features, in the order of the matrix's columns.

    Attributes:
        windows: ascending; those that features look at, the last of them being the look-back.
        since_day: day number of the first event of the data it was made from. Before it nothing was recorded:
            amounts of windows that reach further back are taken as parts of what they would be.
    """

    channels: tuple[Channel, ...]
    windows: tuple[int, ...]
    features: tuple[Feature, ...]
    since_day: int = 0

    @property
    def lookback_days(self) -> int:
        return self.windows[-1]


Family = Callable[[PlanInput], Iterator[Feature]]
FAMILIES: dict[str, Family] = {}


def family(function: Family) -> Family:
    """Register a feature family under its function's name."""
    FAMILIES[function.__name__] = function
    return function


def make_plan(given: PlanInput) -> Plan:
    """Every family's features, each under a name of its own.

    Raises:
        ValueError: a feature asks for a window that its aggregate cannot have.
    """
    found: dict[str, Feature] = {}
    for made_by, make in FAMILIES.items():
        for feature in make(given):
            if feature.op in WHOLE_OPS and feature.window_days != given.lookback:
                raise ValueError(
                    f"{feature.name}: {feature.op.name} looks at the whole look-back of {given.lookback} days"
                )
            name = _free(feature.name, found)
            found[name] = replace(feature, name=name, family=made_by)
    apart = {days for f in found.values() if f.op is Op.COUNT_BETWEEN for days in (f.window_days, f.argument)}
    return Plan(given.channels, tuple(sorted({*given.windows, *apart})), tuple(found.values()), given.since_day)


def _free(name: str, taken: Container[str]) -> str:
    """The name, numbered if it is taken: columns and values may be called so that two names are alike."""
    return next(n for i in itertools.count(1) if (n := name if i == 1 else f"{name}__{i}") not in taken)


def with_own_keys(channels: Iterable[Channel]) -> tuple[Channel, ...]:
    """The channels, those numbered whose key is another's: features and factors are named after keys."""
    found: dict[str, Channel] = {}
    for channel in channels:
        key = _free(channel.key, found)
        found[key] = replace(channel, key=key)
    return tuple(found.values())


PLURALS = {
    "en": ((r"s", "s"), (r"(x|z|ch|sh)", r"\1es"), (r"([^aeiou])y", r"\1ies"), (r"", "s")),
    "pt": (
        (r"ão", "ões"),
        (r"m", "ns"),
        (r"(a|o|u)l", r"\1is"),
        (r"el", "éis"),
        (r"(r|z)", r"\1es"),
        (r"s", "s"),
        (r"", "s"),
    ),
}
"""Endings of nouns in each language and of their plurals, the first that fits; names of events are shown so."""


def plural(noun: str) -> str:
    """A noun's plural by the regular rules of the language of the context."""
    for ending, ending_of_many in PLURALS[spoken()]:
        found = re.search(f"{ending}$", noun)
        if found:
            return noun[: found.start()] + found.expand(ending_of_many)
    return noun


# --- the factors ----------------------------------------------------------------------------------------

LONG_VALUE = 48
"""Signs of a value that the name of a factor shows."""


def field_words(name: str) -> str:
    """A field as people call it; of nested ones the last two parts: ``web.webReferrer.URL`` is web referrer URL."""
    parts = name.removeprefix("xdm:").split(".")
    if len(parts) == 1 or not all(parts[-2:]):
        return ".".join(parts).replace("_", " ").strip() or name
    words = re.sub(r"(?<=[a-z]{2})(?=[A-Z])", " ", " ".join(parts[-2:]).replace("_", " ")).split()
    told = (word if word.isupper() or re.match(r"[a-z][A-Z]", word) else word.lower() for word in words)
    return " ".join(told) or name


def _shown(value: str) -> str:
    """A value in the name of a factor: of an address what follows the host, of a long text its beginning."""
    path = re.sub(r"^[a-z]+://[^/]+/(?=.)", "", value)
    if len(path) <= LONG_VALUE:
        return path
    return path[: LONG_VALUE - 1] + "…" if path == value else "…" + path[1 - LONG_VALUE :]


def _of_value(c: Channel) -> Factor:
    """How often and how lately one value of a text field was met is one thing: ``Category bags``."""
    return Factor(c.key, f"{_capital(field_words(c.name))} {_shown(c.value)}")


def _lately(c: Channel) -> Factor:
    if c.source == "value":
        return _of_value(c)
    key, _, many = c.voice
    return Factor(f"{key}__lately", _capital(say("recent {many}", many=many)))


def _since(c: Channel) -> Factor:
    if c.source == "value":
        return _of_value(c)
    key, one, _ = c.voice
    return Factor(f"{key}__since_last", _capital(say("time since last {one}", one=one)))


def _spending(c: Channel, value: str) -> Factor:
    key, _, many = c.voice
    of_all = c.source == "any" and c.speaks_for is None
    label = value if of_all and value != say("value") else say("{value} of {many}", value=value, many=many)
    return Factor(f"{key}__value", _capital(label))


def _rhythm(c: Channel) -> Factor:
    key, one, many = c.voice
    return Factor(f"{key}__rhythm", _capital(say("{one} rhythm", one=one, many=many)))


def _season(c: Channel) -> Factor:
    key, _, many = c.voice
    return Factor(f"{key}__year_ago", _capital(say("{many} a year ago", many=many)))


def _tenure(c: Channel) -> Factor:
    key, one, _ = c.voice
    return Factor(f"{key}__tenure", _capital(say("time since first {one}", one=one)))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- the families ---------------------------------------------------------------------------------------

SHORT_SET = (30, 90)
"""Windows of the channels that are not rich, besides the whole look-back."""


def _windows_of(given: PlanInput, channel: Channel) -> tuple[int, ...]:
    return given.windows if channel.rich else tuple(w for w in given.windows if w in SHORT_SET) + given.windows[-1:]


@family
def counts(given: PlanInput) -> Iterator[Feature]:
    """How often each kind of event happened, per window."""
    for i, c in enumerate(given.channels):
        for w in dict.fromkeys(_windows_of(given, c)):
            sentence = say("number of {many} in the last {days} days", many=c.many, days=w)
            yield Feature(f"count__{c.key}__{w}d", sentence, Op.COUNT, i, w, _lately(c), "count")


@family
def recency(given: PlanInput) -> Iterator[Feature]:
    """Days since the last event of each kind."""
    for i, c in enumerate(given.channels):
        sentence = say("days since the last {one}", one=c.one)
        yield Feature(f"days_since_last__{c.key}", sentence, Op.DAYS_SINCE_LAST, i, given.lookback, _since(c), "days")


@family
def tenure(given: PlanInput) -> Iterator[Feature]:
    """Days since the first event of each kind within the look-back."""
    for i, c in enumerate(given.channels):
        if c.rich:
            sentence = say("days since the first {one}", one=c.one)
            yield Feature(
                f"days_since_first__{c.key}", sentence, Op.DAYS_SINCE_FIRST, i, given.lookback, _tenure(c),
                "days", heavy=False,
            )  # fmt: skip


YEAR_DAYS = 364
"""Fifty-two weeks: the same days of the week."""
AROUND_DAYS = 14


@family
def year_ago(given: PlanInput) -> Iterator[Feature]:
    """How often each kind of event happened a year before the outcome window, and in the weeks around."""
    start, end = given.outcome_days
    for i, c in enumerate(given.channels if end else ()):
        for around in (0, AROUND_DAYS) if c.rich else ():
            far, near = YEAR_DAYS - start + around, YEAR_DAYS - end - around
            if near > 0 and far <= given.lookback:
                sentence = say(
                    "number of {many} from {far} to {near} days ago, at this time of the year",
                    many=c.many,
                    far=far,
                    near=near,
                )
                yield Feature(
                    f"year_ago__{c.key}__{far}d_{near}d", sentence, Op.COUNT_BETWEEN, i, far, _season(c), "count",
                    argument=near,
                )  # fmt: skip


@family
def active_days(given: PlanInput) -> Iterator[Feature]:
    """On how many days each kind of event happened, per window."""
    for i, c in enumerate(given.channels):
        for w in given.windows if c.rich else ():
            sentence = say("days with {many} in the last {days} days", many=c.many, days=w)
            yield Feature(f"active_days__{c.key}__{w}d", sentence, Op.ACTIVE_DAYS, i, w, _lately(c), "count")


@family
def values(given: PlanInput) -> Iterator[Feature]:
    """Sums, means, maxima and the latest of the events' values."""
    for i, c in enumerate(given.channels):
        if not (c.valued and c.rich):
            continue
        factor, name, last = _spending(c, given.value_name), given.value_name, given.lookback
        for w in given.windows:
            sentence = say("total {value} of {many} in the last {days} days", value=name, many=c.many, days=w)
            yield Feature(f"sum__{c.key}__{w}d", sentence, Op.SUM, i, w, factor, "money")
        largest = say("largest {value} of {many} in the last {days} days", value=name, many=c.many, days=last)
        yield Feature(f"max__{c.key}__{last}d", largest, Op.MAX, i, last, factor, "money")
        mean = say("average {value} of {many} in the last {days} days", value=name, many=c.many, days=last)
        yield Feature(f"mean__{c.key}__{last}d", mean, Op.VALUE_MEAN, i, last, factor, "money")
        latest = say("{value} of the last {one}", value=name, one=c.one)
        yield Feature(f"last__{c.key}", latest, Op.VALUE_LAST, i, last, factor, "money")


@family
def rhythm(given: PlanInput) -> Iterator[Feature]:
    """Gaps between active days: mean, deviation, and how overdue the next one is."""
    last = given.lookback
    for i, c in enumerate(given.channels):
        if not c.rich:
            continue
        factor = _rhythm(c)
        mean = say("usual days between {many}", many=c.many)
        yield Feature(f"gap_mean__{c.key}", mean, Op.GAP_MEAN, i, last, factor, "days")
        spread = say("irregularity of the days between {many}", many=c.many)
        yield Feature(f"gap_deviation__{c.key}", spread, Op.GAP_DEVIATION, i, last, factor, "days")
        overdue = say("days since the last {one} over the usual gap", one=c.one)
        yield Feature(f"overdue__{c.key}", overdue, Op.OVERDUE, i, last, _since(c), "ratio")
        span = say("days from the first to the last {one}", one=c.one)
        yield Feature(f"span__{c.key}", span, Op.REPEAT_SPAN, i, last, _tenure(c), "days", heavy=False)


TREND_PAIRS = ((7, 30), (30, 90), (90, 365))


@family
def trends(given: PlanInput) -> Iterator[Feature]:
    """Recent activity over longer activity, between nested windows."""
    for short, long in TREND_PAIRS:
        wide = long if long in given.windows else given.lookback
        if short not in given.windows or short >= wide:
            continue
        for i, c in enumerate(given.channels):
            if c.rich:
                sentence = say(
                    "share of the {many} of the last {long} days that fell in the last {short}",
                    many=c.many,
                    long=wide,
                    short=short,
                )
                yield Feature(
                    f"trend__{c.key}__{short}d_{wide}d", sentence, Op.TREND, i, short, _lately(c), "share",
                    argument=wide, heavy=False,
                )  # fmt: skip


@family
def shares(given: PlanInput) -> Iterator[Feature]:
    """Share of each kind among all events."""
    everything = given.channels[0]
    for i, c in enumerate(given.channels[1:], 1):
        if c.rich:
            sentence = say(
                "share of {many} among {all} in the last {days} days",
                many=c.many,
                all=everything.many,
                days=given.lookback,
            )
            yield Feature(f"share__{c.key}", sentence, Op.SHARE, i, given.lookback, _lately(c), "share", heavy=False)


@family
def variety(given: PlanInput) -> Iterator[Feature]:
    """Distinct values of each text field, per window."""
    for text in given.texts:
        factor = Factor(f"{text.name}__variety", _capital(say("variety of {field}", field=field_words(text.name))))
        for w in dict.fromkeys([w for w in given.windows if w in SHORT_SET] + [given.lookback]):
            sentence = say("different values of {field} in the last {days} days", field=field_words(text.name), days=w)
            name = f"distinct__{text.name}__{w}d"
            yield Feature(name, sentence, Op.DISTINCT, 0, w, factor, "count", field=text.name)


@family
def last_values(given: PlanInput) -> Iterator[Feature]:
    """Latest value of each text field, one feature per top value."""
    for text in given.texts:
        factor = Factor(f"{text.name}__last", _capital(say("latest {field}", field=field_words(text.name))))
        for value in text.top[:8]:
            yield Feature(
                f"last_is__{text.name}__{value}",
                say("latest {field} is {value}", field=field_words(text.name), value=value), Op.TEXT_LAST_IS,
                0, given.lookback, factor, "yes", field=text.name, value=value, heavy=False,
            )  # fmt: skip
        if text.many:
            yield Feature(
                f"last_of__{text.name}", say("latest {field}", field=field_words(text.name)), Op.TEXT_LAST,
                0, given.lookback, factor, "text", field=text.name, heavy=False, values=text.many,
            )  # fmt: skip


@family
def numbers(given: PlanInput) -> Iterator[Feature]:
    """Mean, latest and total of each numeric field."""
    for name in given.numbers:
        factor, w = Factor(f"{name}__number", _capital(field_words(name))), given.lookback
        for key, sentence, op in (
            (f"mean_of__{name}__{w}d", noted("average {field} in the last {days} days"), Op.NUMBER_MEAN),
            (f"last_of__{name}", noted("latest {field}"), Op.NUMBER_LAST),
            (f"sum_of__{name}__{w}d", noted("total {field} in the last {days} days"), Op.NUMBER_SUM),
        ):
            yield Feature(key, say(sentence, field=field_words(name), days=w), op, 0, w, factor, "number", field=name)


PARTS_OF_DAY = {
    "night": noted("share of {many} at night"),
    "morning": noted("share of {many} in the morning"),
    "afternoon": noted("share of {many} in the afternoon"),
    "evening": noted("share of {many} in the evening"),
}


@family
def clock(given: PlanInput) -> Iterator[Feature]:
    """When in the day and the week events happen, and how many sessions they make."""
    everything, w = given.channels[0], given.lookback
    factor = Factor("time__habits", say("Time of day and week"))
    sentence = say("share of {many} at weekends", many=everything.many)
    yield Feature("weekend__share", sentence, Op.WEEKEND, 0, w, factor, "share", heavy=False)
    if not given.timed:
        return
    for part, name in enumerate(PARTS_OF_DAY):
        sentence = say(PARTS_OF_DAY[name], many=everything.many)
        yield Feature(
            f"part_of_day__{name}",
            sentence,
            Op.PART_OF_DAY,
            0,
            w,
            factor,
            "share",
            argument=part,
            heavy=False,
        )
    for window in dict.fromkeys([x for x in given.windows if x in SHORT_SET] + [w]):
        sentence = say("number of sessions in the last {days} days", days=window)
        name = f"sessions__{window}d"
        yield Feature(name, sentence, Op.SESSIONS, 0, window, _lately(everything), "count")


@family
def attributes(given: PlanInput) -> Iterator[Feature]:
    """Facts about the profile as they were known before the cutoff."""
    w = given.lookback
    for name in given.attribute_numbers:
        factor = Factor(f"attribute__{name}", _capital(field_words(name)))
        yield Feature(f"attribute__{name}", name, Op.ATTRIBUTE_NUMBER, 0, w, factor, "number", field=name)
    for text in given.attribute_texts:
        factor = Factor(f"attribute__{text.name}", _capital(field_words(text.name)))
        for value in text.top:
            yield Feature(
                f"attribute__{text.name}__{value}",
                say("{field} is {value}", field=text.name, value=value), Op.ATTRIBUTE_TEXT_IS,
                0, w, factor, "yes", field=text.name, value=value, heavy=False,
            )  # fmt: skip
        if text.many:
            yield Feature(
                f"attribute__{text.name}", text.name, Op.ATTRIBUTE_TEXT, 0, w, factor, "text", field=text.name,
                heavy=False, values=text.many,
            )  # fmt: skip
