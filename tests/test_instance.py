"""The instance document: every mistake at once, with place, line and the nearest name; stable, bounded, reversible."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from propend.connectors import Origin, locate
from propend.errors import ConfigurationError, InstanceNotFoundError, SourceNotFoundError
from propend.goal import Did, Goal, Group
from propend.instance import Instance, Options
from strategies import instances, texts

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*(ROOT / "examples").rglob("*.yaml"), *(ROOT / "src" / "propend" / "demo").glob("*.yaml")])
LEAST: dict[str, Any] = {"name": "x", "goal": {"did": "buy", "within": "30d"}}


def written(folder: Path, text: str | bytes, name: str = "first.yaml") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def mistakes(source: Path | dict[str, Any]) -> list[tuple[str, str, str]]:
    """(place, problem, nearest) of every mistake in a document."""
    with pytest.raises(ConfigurationError) as caught:
        Instance.load(source)
    assert caught.value.facts["mistakes"] == [
        {"place": m.place, "problem": m.problem, "nearest": m.nearest} for m in caught.value.mistakes
    ]
    return [(m.place, m.problem, m.nearest) for m in caught.value.mistakes]


# --- there and back -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS, ids=[p.stem for p in DOCUMENTS])
def test_documents_that_ship_come_back_the_same(path: Path, tmp_path: Path) -> None:
    instance = Instance.load(path)
    again = Instance.load(written(tmp_path, instance.to_yaml()))
    as_json = Instance.load(written(tmp_path, json.dumps(instance.document()), "first.json"))
    assert [Instance.load(instance.document()), again, as_json] == [instance] * 3
    assert {i.hash for i in (again, as_json)} == {instance.hash}


@settings(max_examples=100, deadline=None)
@given(instances())
def test_any_instance_comes_back_the_same(tmp_path_factory: pytest.TempPathFactory, instance: Instance) -> None:
    path = written(tmp_path_factory.getbasetemp(), instance.to_yaml(), "any.yaml")
    again = Instance.load(path)
    assert (again, again.to_yaml(), again.hash) == (instance, instance.to_yaml(), instance.hash)
    assert Instance.load(json.loads(json.dumps(instance.document()))) == instance


def test_a_document_says_only_what_was_said() -> None:
    said = {
        "name": "Zweiter Kauf für Größe 42",
        "type": "churn",
        "data": {"events": "orders.csv", "columns": {"profile": "id"}},
        "events": {"buy": {"is": "purchase", "where": {"amount": {"gt": 0}}}},
        "goal": {"none_of": ["buy"], "within": "60d"},
        "options": {"settle": "2d"},
    }
    assert Instance.load(said).document() == said | {
        "data": {"events": [{"path": "orders.csv"}], "columns": {"profile": "id"}}
    }


def test_queries_keep_their_lines_and_texts_their_quotes() -> None:
    document = LEAST | {"data": {"events": {"query": "select *\nfrom 'a.csv'\n"}}, "exits": ["no", "1e3", "2024-01-31"]}
    text = Instance.load(document).to_yaml()
    assert "  - query: |\n      select *\n      from 'a.csv'\n" in text
    assert "- 'no'\n- '1e3'\n- '2024-01-31'\n" in text


# --- the hash -------------------------------------------------------------------------------------------------

FULL: dict[str, Any] = {
    "name": "a",
    "description": "b",
    "type": "churn",
    "data": {
        "folder": "here",
        "kind": "k",
        "events": [{"path": "a.csv", "kind": "k", "columns": {"profile": "p"}}, {"query": "select 1"}],
        "columns": {"profile": "id", "at": "t", "event": "e", "value": "v", "id": "i"},
        "attributes": [{"path": "c.csv", "profile": "id", "effective": "t", "columns": ["c"]}],
        "fields": ["f"],
    },
    "events": {"buy": {"is": ["purchase"], "where": {"amount": {"gt": 5}}}, "visit": {"is": "page_view"}},
    "goal": {"none_of": ["buy", {"did": "visit", "at_least": 2, "within": "7d"}], "from": "3d", "within": "60d"},
    "eligible": {"all_of": [{"did": "buy", "within": "90d"}]},
    "exits": ["closed"],
    "exclude": ["test"],
    "options": {
        "time_zone": "Europe/Berlin", "settle": "2d", "buckets": [20, 80], "lookback": "90d", "minimum": 30,
        "quality_bar": 0.7, "was_doing": False, "remove_met_in_gap": False, "factors": 3, "seed": 2,
    },
}  # fmt: skip
CHANGES: list[tuple[tuple[str | int, ...], Any]] = [
    (("data", "folder"), "there"), (("data", "kind"), "l"), (("data", "events", 0, "path"), "b.csv"),
    (("data", "events", 0, "kind"), "l"), (("data", "events", 0, "columns", "profile"), "q"),
    (("data", "events", 1, "query"), "select 2"), (("data", "columns", "value"), "w"), (("data", "fields"), ["g"]),
    (("data", "attributes", 0, "effective"), "u"), (("data", "attributes", 0, "columns"), ["d"]),
    (("events", "buy", "is"), ["order"]), (("events", "buy", "where"), {"amount": {"gte": 5}}),
    (("events", "buy", "where"), {"amount": {"gt": 6}}), (("events", "buy", "where"), {"price": {"gt": 5}}),
    (("events", "other"), {"is": "x"}), (("goal", "within"), "61d"), (("goal", "from"), "4d"),
    (("goal", "none_of", 0), "other"), (("goal", "none_of", 1, "at_least"), 3),
    (("goal", "none_of", 1, "within"), "8d"),
    (("eligible", "all_of", 0, "within"), "91d"), (("eligible", "all_of", 0, "at_most"), 9), (("exits",), ["left"]),
    (("exclude",), ["fake"]), (("options", "time_zone"), "UTC"), (("options", "settle"), "3d"),
    (("options", "buckets"), [20, 81]), (("options", "lookback"), "91d"), (("options", "minimum"), 31),
    (("options", "quality_bar"), 0.71), (("options", "was_doing"), True), (("options", "remove_met_in_gap"), True),
    (("options", "factors"), 4), (("options", "seed"), 3),
]  # fmt: skip


def changed(place: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """The full document with another value at one place."""
    document = json.loads(json.dumps(FULL))
    *path, last = place
    node = document
    for part in path:
        node = node[part]
    node[last] = value
    return dict(document)


def test_the_hash_changes_with_whatever_changes_scores() -> None:
    hashes = [Instance.load(changed(place, value)).hash for place, value in CHANGES]
    assert len({Instance.load(FULL).hash, *hashes}) == len(CHANGES) + 1


@pytest.mark.parametrize(
    "same",
    [
        FULL | {"name": "other"},
        FULL | {"description": "other"},
        dict(reversed(FULL.items())) | {"events": dict(reversed(FULL["events"].items()))},
        FULL | {"events": FULL["events"] | {"buy": {"is": "purchase", "where": "amount > 5.0"}}},
        FULL | {"goal": FULL["goal"] | {"within": "60 days"}},
        FULL | {"eligible": {"did": "buy", "at_least": 1, "within": 90}},
        FULL | {"eligible": {"any_of": [{"did": "buy", "within": 90}]}},
    ],
)
def test_the_hash_does_not_depend_on_wording(same: dict[str, Any]) -> None:
    assert Instance.load(same).hash == Instance.load(FULL).hash


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Loyal buyers, going quiet!", "loyal-buyers-going-quiet"),
        ("../../etc/passwd", "etc-passwd"),
        ("Käufe 2024", "k-ufe-2024"),
        ("購入", "instance"),
        ("a" * 59 + " b", "a" * 59),
    ],
)
def test_a_slug_is_the_name_of_a_folder(name: str, slug: str) -> None:
    assert Instance.load(LEAST | {"name": name}).slug == slug


@given(instances())
def test_any_name_gives_a_slug(instance: Instance) -> None:
    assert re.fullmatch("[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?", instance.slug)


def test_the_hash_is_the_same_on_every_machine_and_day() -> None:
    assert Instance.load(FULL).hash == "18e8c2c5d8d7"


# --- mistakes -------------------------------------------------------------------------------------------------

FIVE = """\
name: Loyal buyers
type: churm
data:
  events: orders.csv
events:
  buy: {is: purchase, were: {amount: {gt: 0}}}
goal:
  any_of:
    - buy
    - {did: buy, at_leest: 3}
  within: 60x
options: {time_zone: Europe/Berln}
"""


def test_five_mistakes_are_listed_at_once(tmp_path: Path) -> None:
    assert mistakes(written(tmp_path, FIVE)) == [
        ("type (line 2)", "'churm' is not one of 'conversion' or 'churn'", "churn"),
        ("events.buy.were (line 6)", "unknown key 'were'; allowed here: is, where", "where"),
        ("goal.any_of[2].at_leest (line 10)",
         "unknown key 'at_leest'; allowed here: at_least, at_most, did, first_time, from, within", "at_least"),
        ("goal.within (line 11)", "a whole number of days or weeks such as 30d or 8w is needed, not '60x'", ""),
        ("options.time_zone (line 12)", "unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?", ""),
    ]  # fmt: skip


def test_the_message_counts_and_numbers_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Instance.load(written(tmp_path, FIVE))
    assert str(caught.value).startswith(
        "PROPEND-100 CONFIGURATION_INVALID\n5 mistakes in first.yaml:\n"
        "  1. type (line 2): 'churm' is not one of 'conversion' or 'churn' Did you mean 'churn'?\n  2. "
    )
    assert caught.value.exit_status == 2


ITEMS = "all_of, any_of, none_of, not_all_of, did, sum, avg, max, min, count_distinct, then"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"goal": {"any_of": ["a", {"any_off": ["b"]}], "within": 1}},
         [("goal.any_of[2]", f"one of {ITEMS} is needed, found 'any_off'", "any_of")]),
        ({"goal": {"any_off": ["b"], "within": 1}}, [("goal", f"one of {ITEMS} is needed, found 'any_off'", "any_of")]),
        ({"goal": {"within": 1}}, [("goal", f"one of {ITEMS} is needed, found none", "")]),
        ({"goal": {"all_of": ["a", 5], "within": 1}}, [("goal.all_of[2]", "a mapping is needed, not 5", "")]),
        ({"goal": {"any_of": ["a"] * 65, "within": 1}}, [("goal.any_of", "at most 64 are possible, found 65", "")]),
        ({"name": "x" * 201}, [("name", "a text of at most 200 characters is needed", "")]),
        ({"name": ""}, [("name", "an empty text says nothing", "")]),
        ({"goal": {"any_of": [], "within": 1}}, [("goal.any_of", "at least 1 needed, found 0", "")]),
        ({"goal": {"then": ["a"], "within": 1}}, [("goal.then", "at least 2 needed, found 1", "")]),
        ({"goal": {"all_of": [{"then": ["a", ""]}], "within": 1}},
         [("goal.all_of[1].then[2]", "an empty text says nothing", "")]),
        ({"goal": {"none_of": {"did": "a", "at_least": "x"}, "within": 1}},
         [("goal.none_of.at_least", "'x' is not a valid integer", "")]),
        ({"goal": {"did": "a", "at_least": "x", "within": 1}}, [("goal.at_least", "'x' is not a valid integer", "")]),
        ({"goal": {"sum": "a.b", "gte": "x", "within": 1}}, [("goal.gte", "'x' is not a valid number", "")]),
        ({"goal": {"all_of": ["a"], "witin": 1}},
         [("goal.within", "is missing and needed", ""),
          ("goal.witin", "unknown key 'witin'; allowed here: all_of, any_of, at_least, at_most, avg, count_distinct, "
           "did, eq, first_time, from, gt, gte, lt, lte, max, min, none_of, not_all_of, sum, then, within", "within")]),
        ({"goal": "buy"}, [("goal", "a mapping is needed, not 'buy'", "")]),
        ({"goal": None}, [("goal", "a mapping is needed, not None", "")]),
        ({"eligible": {"all_of": ["a", {"all_of": ["b", {"did": "c", "at_mos": 0}]}]}},
         [("eligible.all_of[2].all_of[2].at_mos",
           "unknown key 'at_mos'; allowed here: at_least, at_most, did, first_time, from, within", "at_most")]),
        ({"eligible": {"all_of": ["a"], "within": 3}},
         [("eligible.within", "unknown key 'within'; allowed here: all_of, any_of, none_of, not_all_of", "")]),
        ({"events": {"buy": {"where": {"a": {"gt": 0, "grt": 1}, "b": None}}}},
         [("events.buy.where.a", "'grt' is not one of 'exists', 'eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'between', 'in', "
           "'not_in', 'starts_with', 'ends_with', 'contains' or 'matches'", "gt"),
          ("events.buy.where.b", "a number, a text, true or false is needed, not None", "")]),
        ({"events": {"buy": {"where": ["a = 1 and b = 2", {"c": {"between": [2, 1]}}]}}},
         [("events.buy.where[2].c", "between needs the lower value first, not 2 before 1", "")]),
        ({"events": {"buy": {"where": "a >"}}},
         [("events.buy.where", "the condition cannot be read at character 4, near 'a >'; write field, operator, value: "
           "amount >= 100 and category in ('a', 'b')", "")]),
        ({"events": {"where": {"iss": "x"}, "is": {"where": {"": 1}}, "Did": {"whre": 1}}},
         [("events.where.iss", "unknown key 'iss'; allowed here: is, where", "is"),
          ("events.is.where.", "an empty text says nothing", ""),
          ("events.Did.whre", "unknown key 'whre'; allowed here: is, where", "where")]),
        ({"events": {"buy": "purchase"}}, [("events.buy", "a mapping is needed, not 'purchase'", "")]),
        ({"events": ["buy"]}, [("events", "a mapping is needed, not ['buy']", "")]),
        ({"data": {"events": ["a.csv", {"path": "b.csv", "quer": "x"}]}},
         [("data.events[2].quer", "unknown key 'quer'; allowed here: columns, database, format, identity, incremental, "
           "kind, name, namespace, path, query, since, table, version", "query")]),
        ({"data": {"events": {"path": 5}}}, [("data.events.path", "a path, or a list of paths, is needed, not 5", "")]),
        ({"data": {"events": [5]}}, [("data.events[1]", "a mapping is needed, not 5", "")]),
        ({"data": {"events": {"path": "a", "query": "b"}}},
         [("data.events", "a source has either a path or a query", "")]),
        ({"data": {"attributes": {"path": "a", "constant": True, "effective": "t"}}},
         [("data.attributes", "attributes are either constant or have an effective time, not both", "")]),
        ({"exits": ["buy"]}, [("document", "'buy' cannot be both an exit and part of the goal", "")]),
        ({"exclude": ["buy"]},
         [("document", "'buy' cannot be both excluded and part of the goal: it would never happen", "")]),
        ({"exits": ["anything"]},
         [("document", "'anything' is the reserved name of every event; choose another name", "")]),
        ({"events": {"anything": {}}},
         [("document", "'anything' is the reserved name of every event; choose another name", "")]),
        ({"nme": "x", "exit": ["a"]},
         [("nme", "unknown key 'nme'; allowed here: data, description, eligible, events, exclude, exits, goal, name, "
           "options, type", "name"),
          ("exit", "unknown key 'exit'; allowed here: data, description, eligible, events, exclude, exits, goal, name, "
           "options, type", "exits")]),
    ],
    ids=lambda v: str(v)[:50],
)  # fmt: skip
def test_mistakes_have_their_place_in_the_document(
    change: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    assert mistakes(LEAST | change) == expected


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ({"schedule": "hourly"}, "daily, weekly, monthly or a cron expression of five fields is needed, not 'hourly'"),
        (
            {"schedule": "0 6 * *"},
            "daily, weekly, monthly or a cron expression of five fields is needed, not '0 6 * *'",
        ),
        (
            {"schedule": "0 24 * * *"},
            "daily, weekly, monthly or a cron expression of five fields is needed, not '0 24 * * *'",
        ),
        (
            {"schedule": "*/0 6 * * 1"},
            "daily, weekly, monthly or a cron expression of five fields is needed, not '*/0 6 * * 1'",
        ),
        ({"time_zone": "../etc/passwd"}, "unknown time zone '../etc/passwd'"),
        ({"time_zone": "europe/berlin"}, "unknown time zone 'europe/berlin'; did you mean 'Europe/Berlin'?"),
        ({"buckets": [25]}, "two ascending scores between 0 and 100 are needed, not [25]"),
        ({"buckets": [25, 100]}, "two ascending scores between 0 and 100 are needed, not [25, 100]"),
        ({"buckets": [25, True]}, "two ascending scores between 0 and 100 are needed, not [25, True]"),
        ({"buckets": 25}, "two ascending scores between 0 and 100 are needed, not 25"),
        ({"settle": "3 months"}, "a whole number of days or weeks such as 30d or 8w is needed, not '3 months'"),
        ({"settle": -1}, "a whole number of days or weeks such as 30d or 8w is needed, not -1"),
        ({"lookback": 1.5}, "a whole number of days such as 30d is needed, not 1.5"),
        ({"lookback": "3651d"}, "'3651d' is not less than or equal to 3650"),
        ({"minimum": True}, "a number is needed, not True"),
        ({"quality_bar": True}, "a number is needed, not True"),
        ({"buckets": [75, 25]}, "two ascending scores between 0 and 100 are needed, not [75, 25]"),
        ({"buckets": [0, 50]}, "two ascending scores between 0 and 100 are needed, not [0, 50]"),
        ({"settle": "soon"}, "a whole number of days or weeks such as 30d or 8w is needed, not 'soon'"),
        ({"lookback": 0}, "0 is not greater than or equal to 1"),
        ({"minimum": 19}, "19 is not greater than or equal to 20"),
        ({"quality_bar": 0.4}, "0.4 is not greater than or equal to 0.5"),
        ({"was_doing": "perhaps"}, "'perhaps' is not a valid boolean, unable to interpret input"),
        ({"factors": 21}, "21 is not less than or equal to 20"),
        ({"seed": -1}, "-1 is not greater than or equal to 0"),
    ],
)
def test_options_are_checked(option: dict[str, Any], problem: str) -> None:
    (name,) = option
    assert mistakes(LEAST | {"options": option}) == [(f"options.{name}", problem, "")]


def test_options_that_are_taken() -> None:
    schedules = [None, "daily", "weekly", "monthly", "0 6 * * 1", "*/15 0-6,12 1,15 1-12/2 0"]
    given = {"buckets": [0.5, 99.5], "quality_bar": 1, "minimum": 20, "lookback": "8 weeks", "settle": 0}
    loaded = [Instance.load(LEAST | {"options": given | ({"schedule": s} if s else {})}).options for s in schedules]
    assert loaded == [Options(buckets=(0.5, 99.5), quality_bar=1.0, lookback=56, schedule=s) for s in schedules]


def test_a_key_that_is_only_nearly_right_is_recognised() -> None:
    wrong = ("schedul", "timezone", "setle", "bucket", "look_back", "minimun", "quality", "wasdoing", "factor", "sed")
    found = mistakes(LEAST | {"options": dict.fromkeys(wrong, 1)})
    nearest = [
        "schedule",
        "time_zone",
        "settle",
        "buckets",
        "lookback",
        "minimum",
        "quality_bar",
        "was_doing",
        "factors",
    ]
    assert [near for _, _, near in found] == [*nearest, "seed"]


def test_keys_that_are_no_texts_keep_their_place_and_line(tmp_path: Path) -> None:
    text = "name: x\ngoal: {did: a, within: 1}\nevents:\n  404: {is: x}\n  a: {is: x, 5: y}\noptions:\n  ~: 4\n"
    assert mistakes(written(tmp_path, text)) == [
        ("events.404 (line 4)", "a key is a text, not 404; write it in quotes", ""),
        ("events.a.5 (line 5)", "a key is a text, not 5; write it in quotes", ""),
        ("options.None (line 6)", "a key is a text, not None; write it in quotes", ""),
    ]


# --- anything at all ------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=2)
KEYS = (
    st.sampled_from(["is", "where", "did", "within", "from", "then", "sum", "gt", "any_of", "items", "group", "Did"])
    | st.sampled_from(["field", "operator", "value", "path", "query", "combinator", "threshold", "aggregate"])
    | st.integers(0, 3)
    | st.none()
)
JUNK = st.recursive(SCALARS, lambda j: st.lists(j, max_size=3) | st.dictionaries(KEYS, j, max_size=3), max_leaves=6)


def places_of(node: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in plain data but the whole, and a place for one more key beside the mappings' own."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in pairs:
        yield (*place, key)
        yield from places_of(child, (*place, key))
    if isinstance(node, dict):
        yield (*place, "more")


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(places_of(FULL), key=str)), JUNK)
def test_any_change_gives_an_instance_or_mistakes_with_their_place(place: tuple[Any, ...], junk: Any) -> None:
    try:
        instance = Instance.load(changed(place, junk))
    except ConfigurationError as error:
        assert error.mistakes
        assert all(m.place and not re.search("Input|should|Value error", m.problem) for m in error.mistakes)
    else:
        assert Instance.load(json.loads(json.dumps(instance.document(), allow_nan=False))) == instance


# --- passwords ------------------------------------------------------------------------------------------------

URL = "postgresql://ana:s3/cr@t@localhost/shop?sslmode=require&password=s3cr@t"


@pytest.mark.parametrize(
    "change",
    [
        {"data": URL},
        {"data": {"events": [URL, 5]}},
        {"data": {"events": {"path": [URL, 5]}}},
        {"data": {"events": {"path": "a.csv", "columns": URL}}},
        {"data": {"events": {URL: None}}},
        {"events": URL},
        {"name": [URL]},
        {"type": URL},
        {"exits": [[URL]]},
        {"goal": {"did": "buy", "within": URL}},
        {"events": {"buy": {"where": {"a": {"between": [URL, 5]}}}}},
        {"events": {"buy": {"where": f"a = {URL}"}}},
        {"options": {"time_zone": URL, "schedule": URL, "minimum": URL, "buckets": [URL]}},
    ],
    ids=lambda v: str(v)[:30],
)
def test_a_password_in_a_document_is_never_shown(change: dict[str, Any], tmp_path: Path) -> None:
    path = written(tmp_path, yaml.safe_dump(LEAST | change))
    for source in (path, LEAST | change):
        with pytest.raises(ConfigurationError) as caught:
            Instance.load(source)
        shown = json.dumps(caught.value.to_dict())
        assert [s for s in ("s3", "cr@t", "t@local", "require&password=s") if s in shown] == []


def test_a_message_says_which_address_without_its_password(tmp_path: Path) -> None:
    given, shown = "mysql://ana:s3/cr@t@host/shop?pwd=s3cret", "mysql://ana:hidden@host/shop?pwd=hidden"
    assert mistakes(LEAST | {"type": given}) == [("type", f"{shown!r} is not one of 'conversion' or 'churn'", "")]
    twice = [("line 2", f"not valid YAML: {shown!r} stands there twice", "")]
    assert mistakes(written(tmp_path, f'"{given}": 1\n"{given}": 2\n')) == twice
    alone = [("document", "a mapping with name, data and goal is needed, not ['mysql://ana:...op?pwd=hidden']", "")]
    assert mistakes(written(tmp_path, f"- {given}\n")) == alone


def test_a_password_in_an_address_that_nothing_reads_is_not_shown(tmp_path: Path) -> None:
    events = Instance.load(LEAST | {"data": {"events": URL}}).data.events
    with pytest.raises(SourceNotFoundError) as caught:
        locate(Origin((str(events[0].path),), tmp_path, {}, tmp_path))
    assert caught.value.facts == {"path": "postgresql://ana:hidden@t"}
    assert "No connector reads 'postgresql://ana:hidden@t'; there are: " in caught.value.message


# --- documents that are none ----------------------------------------------------------------------------------

ALIASES = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 1}]\n" for i in range(12))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("document", "a mapping with name, data and goal is needed, not None")),
        ("- name: x\n", ("document", "a mapping with name, data and goal is needed, not [{'name': 'x'}]")),
        ("buy within 30 days", ("document", "a mapping with name, data and goal is needed, not 'buy within 30 days'")),
        ("name: x\nname: y\n", ("line 2", "not valid YAML: 'name' stands there twice")),
        ("name: x\ngoal: {did: a, within: 1,\n  did: b}\n", ("line 3", "not valid YAML: 'did' stands there twice")),
        ("? [a, b]\n: 1\n", ("line 1", "not valid YAML: a key is a single word or text")),
        ("name: x\ngoal: [\n", ("line 3", "not valid YAML: expected the node content, but found '<stream end>'")),
        ("name: x\n---\nname: y\n", ("line 2", "not valid YAML: but found another document")),
        ("name: !!python/object:os.system x\n",
         ("line 1", "not valid YAML: could not determine a constructor for the tag "
          "'tag:yaml.org,2002:python/object:os.system'")),
        ("name: a\x00b\n",
         ("document", "not valid YAML: unacceptable character #x0000: special characters are not allowed")),
        (b"name: \xff\n", ("document", "not UTF-8: invalid start byte at byte 7")),
        ("a: &a [*a]\n", ("document", "nested more than 64 deep")),
        (ALIASES, ("document", "more than 200,000 places")),
        ("a: " + "[" * 70 + "]" * 70, ("document", "nested more than 64 deep")),
        ("[" * 5000, ("document", "nested more than 64 deep")),
        ("#" * 250_001, ("document", "250,001 bytes; at most 250,000 are read")),
        ("name: " + "9" * 5000 + "\n",
         ("document", "not valid YAML: Exceeds the limit (4300 digits) for integer string conversion: "
          "value has 5000 digits")),
    ],
    ids=lambda v: str(v)[:30],
)  # fmt: skip
def test_what_is_no_document_is_refused(tmp_path: Path, text: str | bytes, expected: tuple[str, str]) -> None:
    assert mistakes(written(tmp_path, text)) == [(*expected, "")]


def test_a_mapping_may_be_as_deep_as_it_likes_and_is_refused() -> None:
    goal: dict[str, Any] = {"all_of": ["a"]}
    for _ in range(100_000):
        goal = {"all_of": [goal]}
    assert mistakes(LEAST | {"goal": goal | {"within": 1}}) == [("document", "nested more than 64 deep", "")]


def test_groups_may_be_nested_20_deep() -> None:
    goal: dict[str, Any] = {"all_of": ["a"]}
    for _ in range(20):
        goal = {"all_of": [goal]}
    places = [(place, problem) for place, problem, _ in mistakes(LEAST | {"goal": goal | {"within": 1}})]
    assert places == [("goal", "groups are nested more than 20 deep")]
    assert Instance.load(LEAST | {"goal": goal["all_of"][0] | {"within": 1}}).goal.group.depth == 20


def test_there_is_no_such_document(tmp_path: Path) -> None:
    written(tmp_path, "name: x")
    with pytest.raises(InstanceNotFoundError, match=r"There is no instance document .*frist\.yaml") as caught:
        Instance.load(tmp_path / "frist.yaml")
    assert caught.value.hint == "did you mean 'first.yaml'?"


# --- YAML -----------------------------------------------------------------------------------------------------


def test_scalars_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    text = """
    name: x
    goal: {did: no, within: 30}
    events:
      no: {is: [yes, 0101, 12:30, 7]}
      on: {where: {country: {in: [NO, SE]}, code: 0101, share: 1e3, big: 1_000, at: {gte: 2024-01-31}, off: true}}
    options: {was_doing: false, quality_bar: 5e-1}
    """
    instance = Instance.load(written(tmp_path, text))
    assert instance.goal == Goal(group=Group(combinator="all_of", items=(Did(did="no"),)), within_days=30)
    assert instance.events["no"].kinds == ("yes", "0101", "12:30", "7")
    assert {c.field: c.value for c in instance.events["on"].where} == {
        "country": ("NO", "SE"),
        "code": "0101",
        "share": 1000,
        "big": "1_000",
        "at": "2024-01-31",
        "off": True,
    }
    assert (instance.options.was_doing, instance.options.quality_bar) == (False, 0.5)


def test_aliases_and_merged_keys_are_followed(tmp_path: Path) -> None:
    text = """
    name: x
    data: {events: [{<<: &shared {columns: {profile: id}}, path: a.csv}, {<<: *shared, path: b.csv}]}
    goal: {did: buy, within: 30}
    """
    sources = Instance.load(written(tmp_path, text)).data.events
    assert [(s.path, s.columns and s.columns.profile) for s in sources] == [("a.csv", "id"), ("b.csv", "id")]


def test_json_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    document = FULL | {"name": "🙂 <\t/>"}
    text = "\ufeff" + json.dumps(document, indent="\t").replace("/", "\\/")
    assert Instance.load(written(tmp_path, text, "first.json")) == Instance.load(document)


def test_mistakes_in_json_have_lines_too(tmp_path: Path) -> None:
    text = json.dumps(LEAST | {"options": {"sed": 1}}, indent="\t")
    problem = mistakes(written(tmp_path, text, "first.json"))[0]
    assert (problem[0], problem[2]) == ("options.sed (line 8)", "seed")
    twice = text.replace('"name": "x"', '"name": "x", "name": "y"')
    assert mistakes(written(tmp_path, twice)) == [("line 2", "not valid YAML: 'name' stands there twice", "")]


def test_dates_become_texts(tmp_path: Path) -> None:
    document = LEAST | {"events": {"e": {"where": {"at": date(2024, 1, 31)}}}}
    path = written(tmp_path, yaml.safe_dump(document))
    assert Instance.load(path) == Instance.load(document)
    assert Instance.load(document).events["e"].where[0].value == "2024-01-31"


@pytest.mark.parametrize(
    ("version", "kept"), [(12, 12), ("12", 12), ("2024-03-01", "2024-03-01"), (date(2024, 3, 1), "2024-03-01")]
)
def test_a_version_is_a_number_or_a_time(version: object, kept: object, tmp_path: Path) -> None:
    document = LEAST | {"data": {"events": [{"path": "orders", "version": version, "since": date(2024, 1, 31)}]}}
    found = Instance.load(written(tmp_path, yaml.safe_dump(document)))
    assert (found.data.events[0].version, found.data.events[0].since) == (kept, "2024-01-31")
    assert Instance.load(written(tmp_path, found.to_yaml())) == Instance.load(document) == found


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ({"path": "x", "version": "newest"}, "a number, or a time such as 2024-01-31T12:00, is needed, not 'newest'"),
        ({"path": "x", "version": True}, "a number, or a time such as 2024-01-31T12:00, is needed, not True"),
        ({"path": "x", "since": "400d"}, "a day such as 2024-01-31 is needed, not '400d'"),
        ({"query": "FROM x", "version": 1}, "version and since are of a path; a query says itself what it reads"),
    ],
)
def test_versions_and_days_that_say_nothing(source: dict[str, object], problem: str) -> None:
    assert problem in [found[1] for found in mistakes(LEAST | {"data": {"events": [source]}})]


def test_a_mapping_in_flow_style_is_yaml(tmp_path: Path) -> None:
    text = "{name: x, goal: {did: buy, within: 30d}}   # not JSON"
    assert Instance.load(written(tmp_path, text)) == Instance.load(LEAST)


def test_a_document_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    path = written(tmp_path, "name: x")
    monkeypatch.setattr(Path, "read_bytes", denied)
    assert mistakes(path) == [("document", "cannot be read: Permission denied", "")]
