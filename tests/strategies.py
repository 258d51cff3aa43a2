"""Any valid model: conditions, goals, eligibilities and whole instances, with the most awkward names there are."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st

from propend.conditions import OPERATORS, Condition
from propend.goal import (
    AGGREGATES,
    ANYTHING,
    BOUNDS,
    COMBINATORS,
    Did,
    Eligibility,
    Goal,
    Group,
    Measure,
    NamedEvent,
    Then,
)
from propend.instance import Attributes, Columns, Data, Instance, Options, Source

AWKWARD = [
    "in", "IN", "Then", "who", "whose", "to whom", "of", "and", "or", "not", "never", "anything", "so far", "any of",
    "total", "values", "is", "ıs", "iſ", "weeKs", "do", "once", "at least 3 times", "in the last 3 days",
    "buy, visit", 'say "buy"', '"', '""', "`", "``", "a`b", "'", "''", "buy.amount", "commerce.order.purchaseID", ".",
    "a.", ".a", "..", "-", "a-b", "a-", "$x", "x$", "_", "1", "1e3", "01", "no", "NO", "yes", "null", "~", "true",
    "2024-01-01", "12:30", "=", "<<", "*a", "&a", "- a", "#", "a: b", "{}", "[a]", "?", "a?", "(", ")", "((", ";",
    ", who", " ", " a ", "\n", "a\nb", "\t", "\x00", "\x85", "\u2028", "\ufeff", "é", "e\u0301", "größe", "購入", "🙂",
    "any_of", "did", "sum", "items", "group", "Did", "where", "'; DROP TABLE events; --", "x" * 200,
]  # fmt: skip
plain_text = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=6)
names = (
    st.sampled_from(["buy", "visit", "page_view", "closed_account", ANYTHING]) | st.sampled_from(AWKWARD) | plain_text
)
days = st.integers(1, 400) | st.sampled_from([1, 7, 3650])
numbers = (
    st.integers(-100, 1000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.1, 1e15, 1e16, -0.0])
)

# --- conditions -----------------------------------------------------------------------------------------------

texts = st.sampled_from(AWKWARD) | plain_text | st.just("")
scalars = st.booleans() | numbers | texts
lists = st.lists(scalars, min_size=1, max_size=3).map(tuple)
pairs = (st.tuples(numbers, numbers) | st.tuples(texts, texts)).map(lambda pair: tuple(sorted(pair)))
patterns = st.sampled_from(["a", "^a|b$", r"\d{2}", "(?i)abc", r"\.", "[^x]'", "é+"]) | texts.map(re.escape).filter(
    str.isascii
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "exists": st.booleans(),
    "eq": scalars,
    "ne": scalars,
    "between": pairs,
    "in": lists,
    "not_in": lists,
    "starts_with": texts,
    "ends_with": texts,
    "contains": texts,
    "matches": patterns.filter(lambda p: "_" not in p),
}
conditions = st.sampled_from(OPERATORS).flatmap(
    lambda operator: st.builds(
        lambda field, value: Condition(field=field, operator=operator, value=value),
        names,
        VALUES.get(operator, numbers | texts),
    )
)
named_events = st.builds(
    lambda kinds, where: NamedEvent(kinds=kinds, where=where),
    st.lists(names, max_size=3).map(tuple),
    st.lists(conditions, max_size=3).map(tuple),
)


# --- goals ----------------------------------------------------------------------------------------------------


def windows(ahead: bool) -> st.SearchStrategy[dict[str, Any]]:
    later = st.none() | st.integers(0, 400) if ahead else st.none()
    return st.fixed_dictionaries({"within_days": st.none() | st.integers(1, 400), "from_days": later})


counts = (
    st.just({})
    | st.integers(1, 4).map(lambda n: {"at_least": n})
    | st.integers(0, 4).map(lambda n: {"at_most": n})
    | st.tuples(st.integers(0, 4), st.integers(0, 4)).map(lambda p: {"at_least": min(p), "at_most": max(p)})
)


def dids(ahead: bool) -> st.SearchStrategy[Did]:
    often = st.builds(lambda did, count, window: Did(did=did, **count, **window), names, counts, windows(ahead))
    first = st.builds(
        lambda did, least, window: Did(did=did, at_least=least, first_time=True, **window),
        names, st.none() | st.integers(1, 3), windows(True),
    )  # fmt: skip
    return often | first if ahead else often


def measures(ahead: bool) -> st.SearchStrategy[Measure]:
    return st.builds(
        lambda aggregate, event, field, bound, threshold, window: Measure(
            aggregate=aggregate, event=event, field=field, bound=bound, threshold=threshold, **window
        ),
        st.sampled_from(AGGREGATES), names, names, st.sampled_from(BOUNDS), numbers, windows(ahead),
    )  # fmt: skip


def sequences(ahead: bool) -> st.SearchStrategy[Then]:
    steps = st.lists(names, min_size=2, max_size=4).map(tuple)
    return st.builds(lambda then, window: Then(then=then, **window), steps, windows(ahead))


def groups(ahead: bool) -> st.SearchStrategy[Group]:
    """Groups of atoms and of groups; many of bare events alone, for which there are short forms."""
    bare = st.builds(lambda did: Did(did=did), names)
    alike = st.builds(lambda did, least: Did(did=did, within_days=90, at_least=least), names, st.sampled_from([1, 3]))
    atoms = bare | alike | dids(ahead) | measures(ahead) | sequences(ahead)

    def group(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Group]:
        items = st.lists(inner, min_size=1, max_size=3).map(tuple)
        return st.builds(lambda c, i: Group(combinator=c, items=i), st.sampled_from(COMBINATORS), items)

    short = group(bare) | group(alike)
    return short | group(atoms | short | group(atoms | short | group(atoms)))


def items(ahead: bool) -> st.SearchStrategy[Group | Did | Measure | Then]:
    return groups(ahead) | dids(ahead) | measures(ahead) | sequences(ahead)


goals = st.builds(
    lambda group, within, start: Goal(group=group, within_days=within, from_days=start),
    groups(ahead=True), st.integers(1, 400), st.just(0) | st.integers(0, 400),
)  # fmt: skip
eligibilities = st.builds(lambda group: Eligibility(group=group), groups(ahead=False))

# --- instances ------------------------------------------------------------------------------------------------

maybe = st.none() | names
columns = st.builds(Columns, profile=maybe, at=maybe, event=maybe, value=maybe, id=maybe)
paths = names | st.lists(names, min_size=1, max_size=3).map(tuple)
sources = st.builds(Source, path=paths, columns=st.none() | columns, kind=maybe, name=maybe) | st.builds(
    Source, query=names
)
attributes = st.builds(Attributes, path=paths, effective=maybe, columns=st.none() | st.tuples(names)) | st.builds(
    Attributes, query=names, profile=maybe, constant=st.booleans()
)
data = st.builds(
    Data,
    events=st.lists(sources, max_size=2).map(tuple),
    columns=columns,
    kind=maybe,
    attributes=st.lists(attributes, max_size=2).map(tuple),
    fields=st.none() | st.lists(names, max_size=2).map(tuple),
    folder=names,
)
options = st.builds(
    Options,
    schedule=st.sampled_from([None, "daily", "weekly", "monthly", "0 6 * * 1"]),
    time_zone=st.sampled_from(["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"]),
    settle=st.integers(0, 30),
    buckets=st.sampled_from([(25.0, 75.0), (10.0, 33.5)]),
    lookback=st.none() | days,
    minimum=st.integers(20, 1000),
    quality_bar=st.floats(0.5, 1.0),
    was_doing=st.booleans(),
    remove_met_in_gap=st.booleans(),
    factors=st.integers(1, 20),
    seed=st.integers(0, 2**31 - 1),
)


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    goal = draw(goals)
    aside = names.filter(lambda name: name != ANYTHING and name not in goal.group.events)
    return Instance(
        name=draw(names),
        description=draw(texts),
        type=draw(st.sampled_from(["conversion", "churn"])),
        data=draw(data),
        events=draw(st.dictionaries(names.filter(lambda name: name != ANYTHING), named_events, max_size=3)),
        goal=goal,
        eligible=draw(st.none() | eligibilities),
        exits=draw(st.lists(aside, max_size=2).map(tuple)),
        exclude=draw(st.lists(aside, max_size=2).map(tuple)),
        options=draw(options),
    )
