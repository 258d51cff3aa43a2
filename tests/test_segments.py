"""Rules with and, or, not and brackets: written as they are read, and held against a slow oracle over rows."""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propend.conditions import Condition
from propend.errors import ConfigurationError, NotKeptError
from propend.predicates import FieldType
from propend.scoring import HORIZONS_SCHEMA, SCORES_SCHEMA
from propend.segments import ELSEWHERE, FACTORS, Among, Every, Not, Part, Rule, either, every
from propend.store.catalog import now
from propend.store.runs import write_json, write_table
from propend.workspace.rule_rows import Row, in_words, rows_of, text_of, without
from propend.workspace.score_file import ScoreFile

CODES = ("a", "b", "c")
MOMENTS = (datetime(2024, 1, 31), datetime(2024, 1, 31, 23), datetime(2024, 2, 1, 10, 30))
WORDS = ("red", "green", "it's", 'ä "b"', "")

# --- rules ------------------------------------------------------------------------------------------------------

numbers = st.sampled_from([0, 1, 7, 0.1, 0.3, 0.5, 30, 55.5, 10**20]) | st.floats(-5, 120, allow_nan=False)
texts = st.sampled_from([*WORDS, "e", "p0"])
compared = st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"])


def _condition(field: str, operation: str, value: Any) -> Condition:
    return Condition(field=field, operator=operation, value=value)  # type: ignore[arg-type]


def about(fields: list[str], values: st.SearchStrategy[Any], ordered: bool = True) -> st.SearchStrategy[Condition]:
    """Conditions on some fields."""
    one = compared if ordered else st.sampled_from(["eq", "ne"])
    kinds = [
        st.builds(_condition, st.sampled_from(fields), one, values),
        st.builds(
            _condition,
            st.sampled_from(fields),
            st.sampled_from(["in", "not_in"]),
            st.lists(values, min_size=1, max_size=3).map(tuple),
        ),
    ]
    if ordered:
        pairs = st.tuples(values, values).map(lambda pair: tuple(sorted(pair)))
        kinds += [
            st.builds(_condition, st.sampled_from(fields), st.just("between"), pairs),
            st.builds(_condition, st.sampled_from(fields), st.just("exists"), st.booleans()),
        ]
    return st.one_of(kinds)


own = st.one_of(
    about(["score", "probability", "percentile", "times_average", "expected_days", "value.n"], numbers),
    about(["profile_id", "value.t"], texts),
    st.builds(
        _condition,
        st.sampled_from(["profile_id", "value.t"]),
        st.sampled_from(["starts_with", "ends_with", "contains"]),
        texts,
    ),
    about(["attribute.n"], numbers),
    about(["attribute.a t"], texts),
    about(["attribute.d"], st.sampled_from(["2024-01-31", "2024-02-01T10:30:00", "2024-01-31 23:00:00+00:00"])),
    st.builds(_condition, st.just("attribute.f"), st.sampled_from(["eq", "ne"]), st.booleans()),
    st.builds(_condition, st.just("value.t"), st.just("matches"), st.sampled_from(["^r", "e+", "[^d]$", "'"])),
    about(["bucket"], st.sampled_from(["low", "medium", "high"]), ordered=False),
    about(list(FACTORS), st.sampled_from([*CODES, "nothing"]), ordered=False),
    st.builds(_condition, st.just("too_little_history"), st.sampled_from(["eq", "ne"]), st.booleans()),
)  # fmt: skip
anywhere = own | own.map(lambda c: c.model_copy(update={"field": f"b:{c.field}"}))
parts = st.recursive(
    anywhere,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map(lambda found: every(*found)),
        st.lists(inner, min_size=2, max_size=4).map(lambda found: either(*found)),
        inner.map(Not),
    ),
    max_leaves=8,
)


@given(parts)
@settings(deadline=None)
def test_a_rule_is_read_as_it_is_written(part: Part) -> None:
    assert Rule.read(Rule(part).text) == Rule(part)


@pytest.mark.parametrize(
    ("text", "again", "sentence"),
    [
        (
            "bucket = 'high' and probability >= 0.4",
            "bucket = 'high' and probability >= 0.4",
            "Profiles of whom bucket is high and probability is at least 0.4.",
        ),
        (
            "bucket = 'high' and (value.a >= 60 or raised_by = 'c') and not (b:bucket = 'low')",
            "bucket = 'high' and (value.a >= 60 or raised_by = 'c') and not (b:bucket = 'low')",
            "Profiles of whom bucket is high and (the value of a is at least 60 or a factor that raises the score is c)"
            " and not (in b bucket is low).",
        ),
        (
            "score > 1 OR ((score < 2 and (bucket in ('low', 'high'))) )",
            "score > 1 or (score < 2 and bucket in ('low', 'high'))",
            "Profiles of whom score is above 1 or (score is below 2 and bucket is low or high).",
        ),
        (
            "score > 1 or bucket in ('low', 'high')",
            "score > 1 or bucket in ('low', 'high')",
            "Profiles of whom score is above 1 or (bucket is low or high).",
        ),
        (
            "not-yet:bucket = 'low' and or-not:score > 1 or NOT\n(and-1:score is not-5)",
            '("not-yet:bucket" = \'low\' and "or-not:score" > 1) or not ("and-1:score" != -5)',
            "Profiles of whom (in not-yet bucket is low and in or-not score is above 1)"
            " or not (in and-1 score is not -5).",
        ),
        (
            "not(not (score > 1 and expected_days not exists))",
            "not (not (score > 1 and expected_days not exists))",
            "Profiles of whom not (not (score is above 1 and expected days is not known)).",
        ),
    ],
)
def test_brackets_that_say_nothing_are_left_out(text: str, again: str, sentence: str) -> None:
    rule = Rule.read(text)
    assert (rule.text, rule.sentence) == (again, sentence)


def test_filters_are_rules_too() -> None:
    both = Rule.of(bucket="high", min_probability=0.2) + Rule.read("score > 1 or score < 0.5")
    assert both.text == "bucket = 'high' and probability >= 0.2 and (score > 1 or score < 0.5)"
    assert (Rule() + Rule()).text == ""
    assert Rule().sentence == "Everybody who is scored."
    assert (Rule() + both, both + Rule()) == (both, both)


def test_profiles_that_were_looked_up_are_no_text(tmp_path: Path) -> None:
    scores = written(tmp_path / "a", people(10, 1))
    part = Among(scores.members(Rule.read("bucket != 'low'")))
    with pytest.raises(TypeError):
        _ = Rule(part).text


# --- whom they mean ---------------------------------------------------------------------------------------------


def people(n: int, seed: int) -> list[dict[str, Any]]:
    """Rows of scores, with the values shown for two factors; much of it is not known."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(n):
        probability = float(np.round(random.beta(1, 2), 2))
        factors = [
            {"code": str(c), "label": str(c), "value": "1", "typical": "2",
             "impact": float(random.normal()), "importance": "low"}
            for c in random.choice(CODES, random.integers(0, 4), replace=False)
        ]  # fmt: skip
        found.append({
            "profile_id": f"p{i:03d}", "score": float(random.integers(0, 100)), "probability": probability,
            "probability_low": probability / 2, "probability_high": 1.0,
            "too_little_history": bool(random.integers(0, 2)),
            "percentile": int(random.integers(1, 101)), "bucket": str(random.choice(["low", "medium", "high"])),
            "times_average": float(np.float32(probability * 3)), "propensity_type": "conversion", "scored_at": now(),
            "expires_at": now(), "factors": factors, "run_id": "r", "instance": "Shop", "horizons": [],
            "expected_days": None if random.random() < 0.4 else int(random.integers(1, 60)),
            "value.n": None if random.random() < 0.3 else float(random.choice([0.1, 0.3, 1, 7, 30, 55.5])),
            "value.t": None if random.random() < 0.3 else str(random.choice(WORDS)),
            "attribute.n": None if random.random() < 0.3 else float(random.choice([0.1, 0.3, 1, 7, 30, 55.5])),
            "attribute.a t": None if random.random() < 0.3 else str(random.choice(WORDS)),
            "attribute.f": None if random.random() < 0.3 else bool(random.integers(0, 2)),
            "attribute.d": None if random.random() < 0.3 else random.choice(MOMENTS),
        })  # fmt: skip
    return found


def written(folder: Path, rows: list[dict[str, Any]], elsewhere: Any = None, parts: int = 0) -> ScoreFile:
    """A run's scores, contributions and attributes: in one file each, or in so many parts, by the keys of profiles."""
    schema = pa.schema([*SCORES_SCHEMA, *HORIZONS_SCHEMA])
    folder.mkdir(parents=True)
    key = {r["profile_id"]: md5(r["profile_id"].encode(), usedforsecurity=False).digest()[0] for r in rows}
    some = [[r for r in rows if key[r["profile_id"]] * parts // 256 == i] for i in range(parts)] if parts else [rows]
    for place, group in enumerate(some):
        scores = pa.Table.from_pylist([{k: v for k, v in r.items() if k in schema.names} for r in group], schema)
        shown = pa.table({
            "profile_id": scores.column("profile_id"),
            "value__n": pa.array([r["value.n"] for r in group], pa.float32()),
            "value__t": pa.array([r["value.t"] for r in group], pa.string()).dictionary_encode(),
        })  # fmt: skip
        held = pa.table({
            "profile_id": scores.column("profile_id"),
            "attribute__n": pa.array([r["attribute.n"] for r in group], pa.float64()),
            "attribute__a t": pa.array([r["attribute.a t"] for r in group], pa.string()).dictionary_encode(),
            "attribute__f": pa.array([r["attribute.f"] for r in group], pa.bool_()),
            "attribute__d": pa.array([r["attribute.d"] for r in group], pa.timestamp("us")),
        })  # fmt: skip
        for name, table, size in (("scores", scores, 7), ("contributions", shown, None), ("attributes", held, 7)):
            path = folder / f"{name}.parquet"
            if parts:
                path.mkdir(exist_ok=True)
                path /= f"part-{place}.parquet"
            write_table(path, table, size)
    write_json(folder / "run.json", {"model": {"calibration": {"level_error": 0.0}}})
    return ScoreFile.open(folder, elsewhere=elsewhere) if elsewhere else ScoreFile.open(folder)


COMPARED = {
    "eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le,
}  # fmt: skip


def holds(part: Part, row: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> bool:
    """The slow and obvious form."""
    if isinstance(part, Condition):
        if there := ELSEWHERE.fullmatch(part.field):
            other = others.get(row["profile_id"])
            return other is not None and holds(part.model_copy(update={"field": there[2]}), other, {})
        return condition_holds(part, row)
    if isinstance(part, Not):
        return not holds(part.part, row, others)
    assert not isinstance(part, Among)
    each = [holds(p, row, others) for p in part.parts]
    return all(each) if isinstance(part, Every) else any(each)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None)  # those with a zone are written in UTC


def condition_holds(condition: Condition, row: Mapping[str, Any]) -> bool:
    asked: Any = condition.value
    if condition.field in FACTORS:
        sign = {"factor": 0, "raised_by": 1, "lowered_by": -1}[condition.field]
        there = {f["code"] for f in row["factors"] if sign == 0 or f["impact"] * sign > 0}
        named = bool(there & set(asked if isinstance(asked, tuple) else (asked,)))
        return named if condition.operator in ("eq", "in") else not named
    value = row[condition.field]
    if condition.operator == "exists":
        return (value is not None) is asked
    if value is None:
        return False
    if condition.field == "value.n":  # kept in single precision
        value = np.float32(value)
        asked = tuple(map(np.float32, asked)) if isinstance(asked, tuple) else np.float32(asked)
    if condition.field == "attribute.d":
        asked = tuple(map(moment, asked)) if isinstance(asked, tuple) else moment(asked)
    if condition.operator in COMPARED:
        return bool(COMPARED[condition.operator](value, asked))
    if condition.operator in ("in", "not_in"):
        return (value in asked) is (condition.operator == "in")
    if condition.operator == "between":
        return bool(asked[0] <= value <= asked[1])
    if condition.operator == "matches":
        return re.search(asked, value) is not None
    return {"starts_with": value.startswith, "ends_with": value.endswith, "contains": value.__contains__}[
        condition.operator
    ](asked)


class Shops:
    """Scores, each with the rows that it is made of; no dataclass, for all of its text would be printed."""

    def __init__(self, each: list[tuple[ScoreFile, list[dict[str, Any]]]]) -> None:
        self.each = each


OTHERS = [r for r in people(120, 4) if int(r["profile_id"][1:]) % 3]


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Shops:
    """The same scores in one file, in parts, and with a profile that was taken out of the values alone."""
    home, rows = tmp_path_factory.mktemp("rules"), people(100, 3)
    other = written(home / "b", OTHERS)
    one = written(home / "one", rows, {"b": other}.__getitem__)
    some = written(home / "parts", rows, {"b": other}.__getitem__, parts=3)
    gone = written(home / "gone", rows, {"b": other}.__getitem__)
    unknown: dict[str, dict[str, None]] = {"p050": {"value.n": None, "value.t": None}}
    unknown["p051"] = {name: None for name in rows[0] if name.startswith("attribute.")}
    for name, who in (("contributions", "p050"), ("attributes", "p051")):
        path = home / "gone" / f"{name}.parquet"
        table = pq.read_table(path)
        write_table(path, table.filter(pa.compute.not_equal(table.column("profile_id"), who)))
    lacking = [r | unknown.get(r["profile_id"], {}) for r in rows]
    return Shops([(one, rows), (some, rows), (gone, lacking)])


@given(parts)
@settings(deadline=None, max_examples=60)
def test_rules_mean_whom_the_oracle_means(shops: Shops, part: Part) -> None:
    rule, others = Rule.read(Rule(part).text), {r["profile_id"]: r for r in OTHERS}
    for scores, rows in shops.each:
        wanted = [r for r in rows if holds(part, r, others)]
        ids = [r["profile_id"] for r in wanted]
        best = sorted(wanted, key=lambda r: (-r["probability"], r["profile_id"]))
        tally = scores.tally(rule)
        assert (scores.members(rule).ids.to_pylist(), scores.count(rule), tally.n) == (ids, len(ids), len(ids))
        assert tally.expected["value"] == pytest.approx(sum(r["probability"] for r in wanted))
        assert [r["profile_id"] for r in scores.page(rule, "profile", ids_of(rows, 30), 5)] == [
            i for i in ids if i > "p030"
        ][:5]
        assert [r["profile_id"] for r in scores.page(rule, "-probability", None, 5)] == [
            r["profile_id"] for r in best[:5]
        ]
        assert rule.sentence.startswith("Profiles of whom ")
        assert in_words(rule, {}, {"b": "B"}).startswith("Profiles that ")


def ids_of(rows: list[dict[str, Any]], place: int) -> dict[str, Any]:
    return {name: rows[place][name] for name in ("profile_id", "probability")}


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("value.m > 3", "there is no factor 'm' with a value; there are: n, t"),
        ("value.n = 'a'", "value.n is a number: value.n >= 0.4"),
        ("value.t > 3", "value.t is a text: value.t = 'text'"),
        ("bucket = 'low' or not (b:value.m > 3)", "there is no factor 'm' with a value"),
        ("attribute.m > 3", "there is no attribute 'm'; there are: n, a t, f, d"),
        ("attribute.n = 'a'", "attribute.n is a number: attribute.n >= 0.4"),
        ("b:attribute.f = 'yes'", "attribute.f is true or false: attribute.f = true"),
        ("attribute.d > 'soon'", "attribute.d is a time, written as an ISO date: attribute.d >= '2024-01-31'"),
        ("attribute.d contains '2024'", "attribute.d is a time, written as an ISO date"),
    ],
)
def test_a_run_says_which_values_it_has(shops: Shops, where: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        shops.each[0][0].count(Rule.read(where))


def test_a_run_without_values_says_so(tmp_path: Path) -> None:
    scores = written(tmp_path / "bare", people(5, 1))
    (tmp_path / "bare" / "contributions.parquet").unlink()
    with pytest.raises(NotKeptError, match=r"'value\.n', and run 'bare' keeps no values"):
        scores.count(Rule.read("score > 3 or value.n > 3"))


def test_a_run_without_attributes_says_whether_there_were_any(tmp_path: Path) -> None:
    scores = written(tmp_path / "old", people(5, 1))
    (tmp_path / "old" / "attributes.parquet").unlink()
    with pytest.raises(NotKeptError, match=r"'attribute\.n', and run 'old' keeps no attributes") as caught:
        scores.count(Rule.read("not (attribute.n > 3)"))
    assert caught.value.hint == "run the instance again, or restore its attributes.parquet."
    scores = written(tmp_path / "none", people(5, 1))
    (tmp_path / "none" / "attributes.parquet").unlink()
    write_json(tmp_path / "none" / "run.json", {"attributes": []})
    with pytest.raises(ConfigurationError, match="there is no attribute 'n'; there are: none"):
        scores.count(Rule.read("attribute.n > 3"))


def test_attributes_are_found_and_their_texts_counted(shops: Shops) -> None:
    for scores, rows in shops.each:
        ids = ["p007", "nobody", "p050"]
        assert scores.attributes_of(ids) == {
            r["profile_id"]: {n.removeprefix("attribute."): v for n, v in r.items() if n.startswith("attribute.")}
            for r in rows
            if r["profile_id"] in ids
        }
        found = Counter(r["attribute.a t"] for r in rows if r["attribute.a t"] is not None)
        assert scores.frequent("a t") == sorted(found, key=lambda text: (-found[text], text.encode()))
        assert scores.frequent("n") == scores.frequent("nothing") == []


# --- by rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (
            "bucket = 'high' and (probability >= 0.4 or value.n < 3) and value.t = 'red'",
            [
                Row("bucket", "eq", "high"),
                Row("probability", "gte", "40"),
                Row("value.n", "lt", "3", "or", "number"),
                Row("value.t", "eq", "red", "and", "text"),
            ],
        ),
        ("score > 1 or score < 0.5", [Row("score", "gt", "1"), Row("score", "lt", "0.5", "or")]),
        ("score > 1 or score between 0 and 0.5", None),
        ("score > 1 or (score < 0.5 and bucket = 'low')", None),
        ("not (score > 1)", None),
        ("value.unheard > 1", None),
        (
            "attribute.f = true and (\"attribute.a t\" = 'red' or attribute.d < '2024-01-31') and attribute.n >= 3",
            [
                Row("attribute.f", "eq", "true", "and", "boolean"),
                Row("attribute.a t", "eq", "red", "and", "text"),
                Row("attribute.d", "lt", "2024-01-31", "or", "time"),
                Row("attribute.n", "gte", "3", "and", "number"),
            ],
        ),
    ],
)
def test_alternatives_are_rows_too(text: str, rows: list[Row] | None) -> None:
    types: dict[str, FieldType] = {"value.n": "number", "value.t": "text"}
    types |= {"attribute.n": "number", "attribute.a t": "text", "attribute.f": "boolean", "attribute.d": "time"}
    found = rows_of(Rule.read(text), types)
    assert found == rows
    if found is not None:
        assert text_of(found) == text


def test_whose_row_is_removed_leaves_its_alternatives_together() -> None:
    rows = [Row("score", "gt", str(i), "or" if i in (2, 3) else "and") for i in range(5)]
    assert text_of(rows) == "score > 0 and (score > 1 or score > 2 or score > 3) and score > 4"
    assert text_of(without(rows, 1)) == "score > 0 and (score > 2 or score > 3) and score > 4"
    assert text_of(without(rows, 2)) == "score > 0 and (score > 1 or score > 3) and score > 4"
    assert without(rows, 4) == rows[:4]
    assert text_of(without([rows[0], rows[2]], 0)) == "score > 2"


def test_a_row_of_a_value_keeps_what_fits_it() -> None:
    assert Row.fitting("value.n", "eq", "high", "or", "number") == Row("value.n", "gte", "", "or", "number")
    assert Row.fitting("value.t", "contains", "x", "and", "text") == Row("value.t", "contains", "x", "and", "text")
    assert Row.fitting("value.t", "gte", "40", "odd", "text") == Row("value.t", "eq", "", "and", "text")
    assert Row.fitting("attribute.d", "gte", "40", "and", "time") == Row("attribute.d", "gte", "", "and", "time")
    with pytest.raises(ConfigurationError, match="'soon' is not a date, such as 2024-01-31"):
        text_of([Row("attribute.d", "gte", "soon", "and", "time")])


def test_rules_with_brackets_are_said_in_words() -> None:
    text = "(bucket = 'low' or value.n >= 60) and not (raised_by = 'a' and value.t = 'red') and b:value.n < 2"
    assert in_words(Rule.read(text), {"n": "Last visit"}, {}).replace("\u00a0", " ") == (
        "Profiles that (are in the low bucket, or have a value of “Last visit” of at least 60), and are none of those "
        "that (have a score raised by “a”, and have a value of “t” that is “red”), and in “b” have a value of “Last "
        "visit” below 2."
    )
    text = "attribute.country in ('DE', 'FR') and attribute.vip = true and not (attribute.joined < '2024-01-31')"
    assert in_words(Rule.read(text), {}, {}) == (
        "Profiles that have the attribute “country” that is “DE” or “FR”, and have the attribute “vip” that is “true”, "
        "and are none of those that (have the attribute “joined” that comes before “2024-01-31”)."
    )
    assert Rule.read(text).sentence == (
        "Profiles of whom the attribute country is DE or FR and the attribute vip is true and not (the attribute "
        "joined is below 2024-01-31)."
    )
