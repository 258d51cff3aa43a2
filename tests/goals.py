"""Any goal and any eligibility over the events of ``logs.any_log``."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from logs import NAMES, REQUEST
from propend.goal import AGGREGATES, ANYTHING, BOUNDS, COMBINATORS, Did, Eligibility, Goal, Group, Measure, Then

names = st.sampled_from((*NAMES, ANYTHING))
THRESHOLDS = (-5.5, 0.0, 0.1, 0.3, 1.0, 2.0, 3.0, 1e6)


def _windows(ahead: bool) -> dict[str, st.SearchStrategy[Any]]:
    """An atom's own window, where it has one; only a goal's may begin later."""
    later = {"from_days": st.none() | st.integers(0, 20)} if ahead else {}
    return {"within_days": st.none() | st.integers(1, 30), **later}


def _counts() -> st.SearchStrategy[dict[str, int]]:
    """How often: at least once by default, or between two bounds."""
    least, most = st.integers(1, 4), st.integers(0, 4)
    return (
        st.just({})
        | st.builds(lambda n: {"at_least": n}, least)
        | st.builds(lambda n: {"at_most": n}, most)
        | st.builds(lambda a, b: {"at_least": min(a, b), "at_most": max(a, b)}, least, least)
    )


def dids(ahead: bool) -> st.SearchStrategy[Did]:
    return st.builds(
        lambda did, counts, **window: Did(did=did, **counts, **window), names, _counts(), **_windows(ahead)
    )


def measures(ahead: bool) -> st.SearchStrategy[Measure]:
    fields = st.sampled_from(AGGREGATES).flatmap(
        lambda a: st.tuples(
            st.just(a), st.sampled_from(REQUEST.text_fields if a == "count_distinct" else REQUEST.number_fields)
        )
    )
    return st.builds(
        lambda field, event, bound, threshold, **window: Measure(
            aggregate=field[0], field=field[1], event=event, bound=bound, threshold=threshold, **window
        ),
        fields, names, st.sampled_from(BOUNDS), st.sampled_from(THRESHOLDS), **_windows(ahead),
    )  # fmt: skip


def sequences(ahead: bool) -> st.SearchStrategy[Then]:
    steps = st.lists(names, min_size=2, max_size=4).map(tuple)
    return st.builds(lambda then, **window: Then(then=then, **window), steps, **_windows(ahead))


def groups(ahead: bool) -> st.SearchStrategy[Group]:
    """Groups of atoms and of groups."""
    atoms = dids(ahead) | measures(ahead) | sequences(ahead)

    def group(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Group]:
        items = st.lists(inner, min_size=1, max_size=3).map(tuple)
        return st.builds(lambda c, i: Group(combinator=c, items=i), st.sampled_from(COMBINATORS), items)

    return group(atoms | group(atoms | group(atoms)))


any_goal = st.builds(
    lambda group, within, start: Goal(group=group, within_days=within, from_days=start),
    groups(ahead=True), st.integers(1, 30), st.integers(0, 10),
)  # fmt: skip
any_eligibility = st.builds(lambda group: Eligibility(group=group), groups(ahead=False))
