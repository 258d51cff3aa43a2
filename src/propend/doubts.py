"""What is told of data that can be read and yet may not be what they seem: nothing is changed, whoever knows looks.

Each of these has a mark that good data do not bear by chance.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from propend.events import EventFacts
from propend.language import numeral, say, say_many
from propend.model.checks import Notice, first_of
from propend.snapshots.oddities import Oddities, day_runs
from propend.timeline import day_date, days_astray

LEAST_ALIKE, SHARE_ALIKE = 3, 0.002
"""So many ids, and so large a share of all, must be another one in another writing."""
LEAST_PROFILES, BUSY_SHARE, BUSY_TIMES = 50, 0.05, 3
"""An id is no person's if it has such a share of the events of so many profiles, and times those of the next."""
NOBODY_TIMES = 20
"""Zeros and the like may be ids; they stand for nobody if they have so many times the events of a profile."""
SPIKE_SHARE, SPIKE_TIMES, SPIKE_DAYS = 0.05, 20, 30
"""A day is out of line with such a share of all events and so many times the usual, of at least so many days."""
SHOWN = 3


def doubts(facts: EventFacts, found: Oddities) -> list[Notice]:
    """Every doubt about some data, as notices."""
    return [
        *_astray(facts),
        *_out_of_line(facts),
        *_lacking(facts),
        *_kinds_alike(facts),
        *_ids_alike(found),
        *_ids_doubtful(facts, found),
        *_days_twice(facts, found),
    ]


# --- days -----------------------------------------------------------------------------------------------------


def _astray(facts: EventFacts) -> list[Notice]:
    """Times far before or after all others."""
    early, late = days_astray(facts.days, facts.events_per_day)
    days, events = facts.days, facts.events_per_day
    found = []
    if early:
        message = say_many(
            "{n} event is dated {last} or before, long before all others; history begins on {first}.",
            "{n} events are dated {last} or before, long before all others; history begins on {first}.",
            int(events[:early].sum()),
            n=numeral(f"{int(events[:early].sum()):,}"),
            last=str(day_date(int(days[early - 1]))),
            first=str(day_date(int(days[early]))),
        )
        hint = say("look at their times: clocks that were never set, mistyped years and dates of birth look like this.")
        found.append(Notice("PROPEND-350", "TIMES_ASTRAY", message, hint))
    if late:
        message = say_many(
            "{n} event is dated {first} or later, long after all others, which end on {last}.",
            "{n} events are dated {first} or later, long after all others, which end on {last}.",
            int(events[-late:].sum()),
            n=numeral(f"{int(events[-late:].sum()):,}"),
            first=str(day_date(int(days[-late]))),
            last=str(day_date(int(days[-late - 1]))),
        )
        hint = say("mend their times, or score as of the day after the others with --as-of.")
        found.append(Notice("PROPEND-350", "TIMES_ASTRAY", message, hint))
    return found


def _out_of_line(facts: EventFacts) -> list[Notice]:
    """A day that has far more events than any other: an import, or a flood."""
    events = facts.events_per_day
    if len(events) < SPIKE_DAYS:
        return []
    usual, total = float(np.median(events)), int(events.sum())
    high = np.flatnonzero((events >= SPIKE_SHARE * total) & (events >= SPIKE_TIMES * usual))
    if not len(high):
        return []
    named = first_of(
        [
            say("{n} on {day}", n=numeral(f"{int(events[i]):,}"), day=str(day_date(int(facts.days[i]))))
            for i in sorted(high.tolist(), key=lambda i: (-int(events[i]), i))
        ],
        SHOWN,
    )
    message = say(
        "a large part of all {total} events is of single days, where {usual} are usual: {named}.",
        total=numeral(f"{total:,}"),
        usual=numeral(f"{usual:,.0f}"),
        named=named,
    )
    hint = say("events that were read in later bear the day of that; a flood of bots looks like this, too.")
    return [Notice("PROPEND-358", "DAY_OUT_OF_LINE", message, hint)]


def _days_twice(facts: EventFacts, found: Oddities) -> list[Notice]:
    """Days all of whose events come twice, though some column differs: a file that was loaded again."""
    if found.doubled <= facts.exact_duplicates:
        return []
    runs = sorted(day_runs(found.doubled_days), key=lambda run: (run[0] - run[1], run))
    shown = [
        str(day_date(first))
        if first == last
        else say("{first} to {last}", first=str(day_date(first)), last=str(day_date(last)))
        for first, last in runs
    ]
    message = say_many(
        "on {n} day every event is there twice, alike in all that is used of it: {days}.",
        "on {n} days every event is there twice, alike in all that is used of it: {days}.",
        len(found.doubled_days),
        n=numeral(f"{len(found.doubled_days):,}"),
        days=first_of(shown, SHOWN),
    )
    setting = "`columns: {id: ...}`"
    hint = say("a file was perhaps loaded twice: remove it, or name the event's id ({setting}).", setting=setting)
    return [Notice("PROPEND-351", "DAYS_TWICE", message, hint)]


# --- columns and kinds ------------------------------------------------------------------------------------------


def _lacking(facts: EventFacts) -> list[Notice]:
    """Files without a column that others have: what it says is empty there."""
    roles = {"event": say("the kind"), "value": say("the value"), "id": say("the event's id")}
    told = [
        say_many(
            "{n} file of {source} has no {column} ({role}): {names}",
            "{n} files of {source} have no {column} ({role}): {names}",
            len(files),
            n=numeral(f"{len(files):,}"),
            source=repr(source.path),
            column=repr(source.columns[role]),
            role=roles[role],
            names=first_of(list(files), SHOWN),
        )
        for source in facts.sources
        for role, files in source.lacking.items()
        if role in roles
    ]
    if not told:
        return []
    message = say("a column is not in every file, and is read as empty where it is not: {told}.", told="; ".join(told))
    hint = say("if it has another name there, give these files their own source with its own `columns`.")
    return [Notice("PROPEND-352", "COLUMN_LACKING", message, hint)]


def _kinds_alike(facts: EventFacts) -> list[Notice]:
    """Kinds that differ in case, spaces, signs between words or forms of letters."""
    groups: dict[str, list[tuple[str, int]]] = {}
    for kind, events, _ in facts.kinds:
        groups.setdefault(_word(kind), []).append((kind, events))
    told = [_with_events(group) for group in groups.values() if len(group) > 1]
    if not told:
        return []
    message = say("kinds of events differ in their writing only, and count as different: {named}.",
                  named=first_of(told, SHOWN))  # fmt: skip
    hint = say("give them one name under `events` ({setting}).", setting="`buy: {is: [purchase, Purchase]}`")
    return [Notice("PROPEND-355", "KINDS_ALIKE", message, hint)]


def _word(kind: str) -> str:
    """A kind without what does not tell words apart."""
    plain = unicodedata.normalize("NFKC", kind).casefold()
    return re.sub(r"[\W_]+", "", plain) or plain


# --- ids ------------------------------------------------------------------------------------------------------


def _ids_alike(found: Oddities) -> list[Notice]:
    """Ids that are perhaps one: then one customer is several profiles."""
    if found.alike < max(LEAST_ALIKE, SHARE_ALIKE * found.ids):
        return []
    message = say(
        "{n} of {all} ids are another one in another writing, and count as other profiles: {examples}.",
        n=numeral(f"{found.alike:,}"),
        all=numeral(f"{found.ids:,}"),
        examples=", ".join(say("{one} and {other}", one=repr(one), other=repr(other)) for one, other in found.examples),
    )
    hint = say("write every id in one way: case, spaces around it, zeros before it, `.0`, exponents.")
    return [Notice("PROPEND-356", "IDS_ALIKE", message, hint)]


def _ids_doubtful(facts: EventFacts, found: Oddities) -> list[Notice]:
    """Ids that are no customer's: placeholders, testers, bots, numbers that have lost their digits."""
    told = []
    name, events, next_events = found.busiest
    busy = facts.profiles >= LEAST_PROFILES and events >= BUSY_SHARE * facts.used and events >= BUSY_TIMES * next_events
    usual = facts.used / max(facts.profiles, 1)
    nobody = [(i, n) for i, n in found.nobody if not _is_number(i) or n >= NOBODY_TIMES * usual]
    if nobody:
        told.append(say("{ids}: names for nobody", ids=_with_events(nobody)))
    if busy and (name, events) not in nobody:
        told.append(
            say("{ids}, {share} % of all", ids=_with_events([(name, events)]),
                share=numeral(f"{100 * events / facts.used:.0f}"))
        )  # fmt: skip
    if found.testers:
        told.append(say("{ids}: named like tests", ids=_with_events(found.testers)))
    if found.exponents:
        told.append(
            say_many(
                "{n} id has an exponent and may have lost digits",
                "{n} ids have an exponent and may have lost digits",
                found.exponents,
                n=numeral(f"{found.exponents:,}"),
            )
        )
    if not told:
        return []
    message = say("some ids may be no customer's: {told}.", told="; ".join(told))
    hint = say("leave such rows out in a query, or empty the id, so that they are set aside.")
    return [Notice("PROPEND-353", "IDS_DOUBTFUL", message, hint)]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*-?\d+(\.0)?\s*", text) is not None


def _with_events(ids: Sequence[tuple[str, int]]) -> str:
    shown = [say("{kind} ({n} events)", kind=repr(i), n=numeral(f"{n:,}")) for i, n in ids]
    return first_of(shown, SHOWN)
