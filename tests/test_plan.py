"""The feature plan: every feature has a name of its own, a sentence, a factor, and the value they promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logs import Event, log_of, moment, request_for
from propend.events import DAY_US
from propend.snapshots import plan as plan_module
from propend.snapshots.build import Rows, count_support, feature_matrix, plan_input
from propend.snapshots.plan import (
    WHOLE_OPS,
    Channel,
    Factor,
    Feature,
    Op,
    Plan,
    PlanInput,
    Vocabulary,
    family,
    field_words,
    make_plan,
    plural,
    with_own_keys,
)

EVERYTHING = Channel("any", "", "", "any", "event", "events", valued=True)
BUY = Channel("bit", "buy", "", "buy", "buy", "buys", valued=True)
RED = Channel("value", "colour", "red", "colour=red", "event with colour red", "events with colour red", rich=False)
RICH = PlanInput(
    channels=(EVERYTHING, BUY, RED),
    windows=(7, 14, 30, 60, 90, 180, 365),
    value_name="amount",
    numbers=("discount",),
    texts=(Vocabulary("colour", ("red", "blue"), ("blue", "green", "red")),),
    attribute_numbers=("age",),
    attribute_texts=(Vocabulary("region", ("north",), ("east", "north")),),
    outcome_days=(0, 30),
)

words = st.text(st.sampled_from("ab_ =7d"), min_size=1, max_size=6)
channels = st.lists(
    st.builds(
        Channel, st.sampled_from(("kind", "bit", "value")), *[words] * 5, rich=st.booleans(), valued=st.booleans()
    ),
    max_size=6,
).map(lambda found: with_own_keys([EVERYTHING, *found]))  # fmt: skip
some_words = st.lists(words, max_size=3, unique=True).map(tuple)
vocabularies = st.lists(st.builds(Vocabulary, words, some_words, some_words), max_size=3)
any_input = st.builds(
    PlanInput,
    channels=channels,
    windows=st.sets(st.integers(1, 500), min_size=1).map(lambda days: tuple(sorted(days))),
    outcome_days=st.tuples(st.integers(0, 30), st.integers(0, 100)).map(lambda x: (x[0], x[0] + x[1])),
    numbers=st.lists(words, max_size=2).map(tuple),
    texts=vocabularies.map(tuple),
    attribute_numbers=st.lists(words, max_size=2).map(tuple),
    attribute_texts=vocabularies.map(tuple),
    timed=st.booleans(),
)


@given(any_input)
def test_every_feature_has_its_own_name_a_sentence_and_a_factor(given_input: PlanInput) -> None:
    plan = make_plan(given_input)
    wanting = [f for f in plan.features if not (f.sentence and f.factor.code and f.factor.label and f.family)]
    outside = [f for f in plan.features if f.op in WHOLE_OPS and f.window_days != plan.lookback_days]
    assert (wanting, outside, len({f.name for f in plan.features})) == ([], [], len(plan.features))


def test_every_family_and_every_aggregate_is_used() -> None:
    plan = make_plan(RICH)
    assert {f.family for f in plan.features} == set(plan_module.FAMILIES)
    assert {f.op for f in plan.features} == set(Op)


def test_without_times_of_day_there_is_nothing_of_the_clock() -> None:
    timed = PlanInput(channels=(EVERYTHING,), windows=(30,), timed=True)
    untimed = PlanInput(channels=(EVERYTHING,), windows=(30,), timed=False)
    gone = {f.name for f in make_plan(timed).features} - {f.name for f in make_plan(untimed).features}
    parts = {f"part_of_day__{part}" for part in ("night", "morning", "afternoon", "evening")}
    assert gone == parts | {"sessions__30d"}


def test_sentences_and_factors_that_people_read() -> None:
    features = {f.name: (f.sentence, f.factor.label) for f in make_plan(RICH).features}
    named = ("count__buy__30d", "days_since_last__buy", "sum__buy__90d", "trend__buy__30d_90d", "last_is__colour__red",
             "sum__any__90d")  # fmt: skip
    assert {name: features[name] for name in named} == {
        "count__buy__30d": ("number of buys in the last 30 days", "Recent buys"),
        "days_since_last__buy": ("days since the last buy", "Time since last buy"),
        "sum__buy__90d": ("total amount of buys in the last 90 days", "Amount of buys"),
        "trend__buy__30d_90d": ("share of the buys of the last 90 days that fell in the last 30", "Recent buys"),
        "last_is__colour__red": ("latest colour is red", "Latest colour"),
        "sum__any__90d": ("total amount of events in the last 90 days", "Amount"),
    }
    unnamed = make_plan(PlanInput(channels=(EVERYTHING,), windows=(30,))).features
    assert {f.factor.label for f in unnamed if f.factor.code == "any__value"} == {"Value of events"}


def test_fields_are_called_as_people_call_them() -> None:
    paths = {
        "web.webPageDetails.name": "web page details name",
        "web.webReferrer.URL": "web referrer URL",
        "_shop.customDimensions.eVars.eVar1": "eVars eVar1",
        "application.name": "application name",
        "product_category": "product category",
        "CustomerID": "CustomerID",
        "xdm:value": "value",
        "a.b.": "a.b.",
        ".": ".",
    }
    assert {path: field_words(path) for path in paths} == paths


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("red", "red"),
        ("https://shop.example/", "https://shop.example/"),
        ("https://shop.example/en/bags.html?from=mail", "en/bags.html?from=mail"),
        (f"https://shop.example/{'x' * 60}/bags.html", f"…{'x' * 37}/bags.html"),
        ("a" * 48, "a" * 48),
        ("a" * 49, f"{'a' * 47}…"),
    ],
)
def test_long_values_and_addresses_are_short_in_the_names_of_factors(value: str, shown: str) -> None:
    channel = replace(RED, name="web.webPageDetails.URL", value=value, key=f"url={value}")
    features = make_plan(PlanInput(channels=(EVERYTHING, channel), windows=(30,))).features
    assert {f.factor.label for f in features if f.channel == 1} == {f"Web page details URL {shown}"}


def test_channels_of_one_key_keep_their_own_names_and_factors() -> None:
    alike = with_own_keys([EVERYTHING, Channel("kind", "any", "", "any", "any", "anys")])
    features = make_plan(PlanInput(channels=alike, windows=(30,))).features
    found = {(f.name, f.factor.code) for f in features if f.op is Op.COUNT}
    assert found == {("count__any__30d", "any__lately"), ("count__any__2__30d", "any__2__lately")}


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("buy", "buys"), ("visit", "visits"), ("entry", "entries"), ("search", "searches"), ("box", "boxes"),
        ("news", "news"), ("buzz", "buzzes"), ("push", "pushes"),
    ],
)  # fmt: skip
def test_plurals(noun: str, expected: str) -> None:
    assert plural(noun) == expected


# --- what the features of a small log are -------------------------------------------------------------------

SHOP = request_for(("buy",), ("discount",), ("colour",))
EVENTS = [
    Event("ann", moment("2024-01-06 10:00"), "page", None, frozenset(), (None,), ("blue",)),
    Event("ann", moment("2024-01-06 10:20"), "order", 30.0, frozenset({"buy"}), (0.5,), ("red",)),
    Event("ann", moment("2024-02-05 20:00"), "order", 10.0, frozenset({"buy"}), (None,), (None,)),
    Event("ann", moment("2024-03-01 00:00"), "order", 99.0, frozenset({"buy"}), (0.9,), ("blue",)),
]


def values_of(events: list[Event], plan: Plan, cutoff: str) -> dict[str, float]:
    """Every feature of the only profile, rounded to four digits."""
    rows = Rows(np.zeros(1, np.int64), np.array([moment(cutoff) // DAY_US]), np.zeros(1, np.uint8))
    found = feature_matrix(log_of(events, SHOP), plan, rows)[0]
    return {f.name: round(float(x), 4) for f, x in zip(plan.features, found, strict=True)}


def plan_of(events: list[Event], cutoff: str, windows: tuple[int, ...] = (30, 60)) -> Plan:
    log = log_of(events, SHOP)
    support = count_support(log, moment(cutoff) // DAY_US)
    return make_plan(plan_input(log, support, windows, "amount", ("discount",), ("colour",)))


def test_values_of_a_small_log_by_hand() -> None:
    found = values_of(EVENTS, plan_of(EVENTS, "2024-03-01"), "2024-03-01")
    by_hand = {
        "count__any__30d": 1,
        "count__any__60d": 3,
        "active_days__any__60d": 2,
        "days_since_last__buy": 24.1667,
        "days_since_first__any": 54.5833,
        "gap_mean__buy": 30,
        "overdue__buy": 0.8,
        "span__buy": 30,
        "sum__buy__30d": 10,
        "sum__buy__60d": 40,
        "max__buy__60d": 30,
        "mean__buy__60d": 20,
        "last__buy": 10,
        "trend__buy__30d_60d": 0.5,
        "share__buy": 0.6667,
        "distinct__colour__30d": 0,
        "distinct__colour__60d": 2,
        "mean_of__discount__60d": 0.5,
        "last_of__discount": 0.5,
        "weekend__share": 0.6667,
        "part_of_day__morning": 0.6667,
        "part_of_day__evening": 0.3333,
        "sessions__30d": 1,
        "sessions__60d": 2,
    }
    assert {name: found[name] for name in by_hand} == by_hand


def test_a_year_ago_is_the_outcome_window_52_weeks_earlier_and_the_weeks_around() -> None:
    """As of 2024-03-01, what follows for 30 days was, a year ago, from 2023-03-03 on and before 2023-04-02."""
    at = ["2023-02-16", "2023-02-17", "2023-03-02 23:59", "2023-03-03", "2023-04-01 23:59", "2023-04-02", "2023-04-16"]
    log = log_of([Event("ann", moment(t), "order", 1.0, frozenset({"buy"}), (None,), (None,)) for t in at], SHOP)
    cutoff, since = moment("2024-03-01") // DAY_US, moment("2023-02-16") // DAY_US
    asked = plan_input(log, count_support(log, cutoff), (30, 400), "amount", (), (), (), since, (0, 30))
    plan = make_plan(asked)
    rows = Rows(np.zeros(3, np.int64), cutoff - np.array([0, 1, 15]), np.zeros(3, np.uint8))
    found = dict(zip([f.name for f in plan.features], feature_matrix(log, plan, rows).T.tolist(), strict=True))
    assert [found["year_ago__buy__364d_334d"][0], found["year_ago__buy__378d_320d"][0]] == [2, 5]
    assert np.isnan(found["year_ago__buy__378d_320d"][2])  # it would begin before the data
    assert plan.windows == (30, 320, 334, 364, 378, 400)
    assert {f.window_days for f in plan.features if f.op is Op.COUNT} == {30, 400}


@pytest.fixture
def families() -> Iterator[None]:
    """Families added by a test are gone after it."""
    kept = dict(plan_module.FAMILIES)
    yield
    plan_module.FAMILIES.clear()
    plan_module.FAMILIES.update(kept)


@pytest.mark.usefixtures("families")
def test_a_family_is_added_by_a_decorated_function() -> None:
    @family
    def recent_mean(given_input: PlanInput) -> Iterator[Feature]:
        """Mean value of the shortest window."""
        days = given_input.windows[0]
        yield Feature(f"mean__any__{days}d", "mean", Op.VALUE_MEAN, 0, days, Factor("x", "X"), "money")

    plan = plan_of(EVENTS, "2024-03-01")
    assert plan.features[-1].family == "recent_mean"
    assert values_of(EVENTS, plan, "2024-03-01")["mean__any__30d"] == 10.0


@pytest.mark.usefixtures("families")
def test_a_window_that_an_aggregate_cannot_have_is_refused() -> None:
    @family
    def soon(given_input: PlanInput) -> Iterator[Feature]:
        yield Feature("soon", "soon", Op.OVERDUE, 0, given_input.windows[0], Factor("x", "X"), "days")

    with pytest.raises(ValueError, match="OVERDUE looks at the whole look-back of 60 days"):
        plan_of(EVENTS, "2024-03-01")
