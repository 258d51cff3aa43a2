"""What is expected of some profiles, rules as rows and in words, rules over several instances, who joined and left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from propend.conditions import Condition, condition_text, parse_conditions
from propend.errors import ConfigurationError, InstanceNotFoundError
from propend.model.certainty import Expected, total_interval
from propend.scoring import SCORES_SCHEMA
from propend.segments import Rule
from propend.server.serving import ScoreFile
from propend.store.catalog import now
from propend.store.runs import write_json, write_table
from propend.workspace.audiences import Ranked, moved, proved, tally
from propend.workspace.rule_rows import Row, in_words, rows_of, text_of


def scores(folder: Path, probability: dict[str, float], elsewhere: Any = None) -> ScoreFile:
    """A run's scores: of each profile its probability, high from 0.5 on."""
    rows = [
        {
            "profile_id": i, "score": 100 * p, "probability": p, "probability_low": p / 2, "probability_high": p,
            "too_little_history": False, "percentile": 1 + int(99 * p), "bucket": "high" if p >= 0.5 else "low",
            "times_average": p, "propensity_type": "conversion", "scored_at": now(), "expires_at": now(), "factors": [],
            "run_id": "r", "instance": "Shop",
        }
        for i, p in sorted(probability.items())
    ]  # fmt: skip
    folder.mkdir(parents=True)
    write_table(folder / "scores.parquet", pa.Table.from_pylist(rows, SCORES_SCHEMA), 3)
    write_json(folder / "run.json", {"model": {"calibration": {"level_error": 0.1}}})
    return ScoreFile.open(folder, elsewhere=elsewhere) if elsewhere else ScoreFile.open(folder)


# --- expected ---------------------------------------------------------------------------------------------------


def test_parts_add_up_to_the_whole() -> None:
    p = np.random.default_rng(1).beta(1, 4, 10_000)
    parts = Expected(0.2)
    for part in np.array_split(p, 7):
        parts.add(part)
    assert parts.interval == pytest.approx(total_interval(p, 0.2))


def test_without_an_error_of_the_level_the_interval_is_that_of_chance() -> None:
    """Of many throws, each with its own probability, nearly 95 in 100 numbers lie inside."""
    rng = np.random.default_rng(2)
    p = rng.beta(1, 3, 400)
    found = Expected(0.0).add(p).interval
    thrown = (rng.random((20_000, 400)) < p).sum(axis=1)
    assert 0.94 < np.mean((thrown >= found["low"]) & (thrown <= found["high"])) < 0.965


def test_the_top_so_many_are_everybody_with_at_least_a_probability() -> None:
    ranked = Ranked(np.array([0.1, 0.5, 0.5, 0.9, 0.2]), 0.0)
    found = [(t.asked, t.n, t.threshold, round(t.expected["value"], 6)) for t in map(ranked.take, (0, 1, 2, 3, 9))]
    assert found == [(1, 1, 0.9, 0.9), (1, 1, 0.9, 0.9), (2, 3, 0.5, 1.9), (3, 3, 0.5, 1.9), (5, 5, 0.1, 2.2)]
    assert ranked.take(2).where == "probability >= 0.5"
    assert ranked.take(2).of_all == pytest.approx(1.9 / 2.2)


def test_no_number_gains_more_than_the_one_that_costs_speak_for() -> None:
    ranked = Ranked(np.random.default_rng(3).beta(1, 3, 500), 0.1)
    best = ranked.worth_it(2.0, 7.0)
    gains = [ranked.take(n).gain(2.0, 7.0)["value"] for n in range(1, 501)]
    assert 1 < best < 500
    assert int(np.argmax(gains)) + 1 == best
    assert (ranked.worth_it(10.0, 9.0), ranked.worth_it(1e-9, 1.0)) == (0, 500)


def test_the_test_is_read_between_its_figures() -> None:
    gains = [
        {"share_targeted": s, "share_caught": c, "low": c - 0.1, "high": c + 0.1, "perfect": 1.0}
        for s, c in ((0.0, 0.0), (0.1, 0.4), (0.2, 0.6), (1.0, 1.0))
    ]
    simple = [{"share_targeted": s, "share_caught": s} for s in (0.0, 1.0)]
    top = [{"share": 0.05, "caught": 3.0, "caught_low": 2.0, "caught_high": 4.0}]
    evaluation = {
        "gains": gains, "baselines": {"recency": {"gains": simple}, "old": {}}, "top_n": top, "positives": 10,
        "base_rate": 0.1,
    }  # fmt: skip
    early = proved(evaluation, 0.05)
    assert (early["value"], early["low"], early["high"], early["perfect"]) == pytest.approx((0.3, 0.2, 0.4, 0.5))
    found = proved(evaluation, 0.15)
    assert (found["value"], found["low"], found["high"]) == pytest.approx((0.5, 0.4, 0.6))
    assert found["simple"] == {"name": "recency", "value": pytest.approx(0.15)}
    nothing = {"gains": [], "baselines": {}, "top_n": [], "positives": 0, "base_rate": 0.0}
    assert proved(nothing, 0.5)["value"] is None


# --- rules ------------------------------------------------------------------------------------------------------

TEXTS = (
    "bucket = 'high' and probability >= 0.28812345678901236",
    "profile_id in ('a''b', 'c') and percentile between 3 and 4.5",
    "profile_id starts with 'c-' and too_little_history = true",
    "expected_days not exists and times_average > 1e-05",
    "\"in-2024:bucket\" != 'low' and churn:raised_by = 'buy__lately'",
    "profile_id matches '^a\\d' and bucket not in ('low', 'high')",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_rule_is_written_as_it_is_read(text: str) -> None:
    rule = Rule.read(text)
    assert Rule.read(rule.text) == rule


def test_fields_that_are_words_of_the_language_are_quoted() -> None:
    for name in ("and", "is", "not", "true", "in.x", "starts_with", "a b", 'q"q'):
        condition = Condition(field=name, operator="eq", value="x")
        assert [Condition.model_validate(c) for c in parse_conditions(condition_text(condition))] == [condition]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (TEXTS[0], [Row("bucket", "eq", "high"), Row("probability", "gte", "28.812345678901236")]),
        ("probability between 0.1 and 0.25", [Row("probability", "gte", "10"), Row("probability", "lte", "25")]),
        ("bucket in ('high', 'medium')", [Row("bucket", "ne", "low")]),
        ("churn:raised_by in ('x')", [Row("churn:raised_by", "eq", "x")]),
        ("too_little_history = false", [Row("too_little_history", "eq", "false")]),
        ("percentile >= 81 and score < 7.5", [Row("percentile", "gte", "81"), Row("score", "lt", "7.5")]),
        ("profile_id matches 'a'", None),
        ("factor in ('a', 'b')", None),
        ("propensity_type = 'churn'", None),
    ],
)
def test_rows_say_what_the_text_says(text: str, rows: list[Row] | None) -> None:
    found = rows_of(Rule.read(text))
    assert found == rows
    if found is not None:
        again = Rule.read(text_of(found))
        assert rows_of(again) == found


def test_a_row_keeps_what_fits_its_field() -> None:
    assert Row.fitting("bucket", "gte", "40") == Row("bucket", "eq", "high")
    assert Row.fitting("probability", "lt", "40") == Row("probability", "lt", "40")
    assert Row.fitting("x:percentile", "eq", "high") == Row("x:percentile", "gte", "")
    assert Row.fitting("nothing", "eq", "1") == Row("nothing", "eq", "high")
    assert text_of([Row("probability", "gte", " 40 % "), Row("score", "gte", ""), Row("raised_by", "eq", "it's")]) == (
        "probability >= 0.4 and raised_by = 'it''s'"
    )
    with pytest.raises(ConfigurationError):
        text_of([Row("score", "gte", "many")])


def test_rules_are_said_in_words() -> None:
    text = (
        "bucket in ('high', 'medium') and probability >= 0.4 and raised_by != 'a' and churn:too_little_history = false"
        " and profile_id starts with 'c-' and factor = 'b'"
    )
    assert in_words(Rule.read(text), {"a": "Recent buys"}, {"churn": "Leaving"}).replace("\u00a0", " ") == (
        "Profiles that are in the high or medium bucket, and have a probability of at least 40 %, and do not have a "
        "score raised by “Recent buys”, and in “Leaving” have enough history, and have an id that starts with “c-”, "
        "and have “b” among their factors."
    )
    assert in_words(Rule(), {}, {}) == "All profiles that are scored."


# --- over several instances, and from run to run ----------------------------------------------------------------


def test_a_rule_over_two_instances_means_who_is_in_both(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    ids = [f"p{i:03d}" for i in range(200)]
    here, there = ({i: float(rng.random()) for i in ids if rng.random() < 0.8} for _ in range(2))
    other = scores(tmp_path / "b", there)
    served = scores(tmp_path / "a", here, {"b": other}.__getitem__)
    rule = Rule.read("bucket = 'high' and b:bucket = 'low' and b:probability > 0.1")
    wanted = sorted(i for i, p in here.items() if p >= 0.5 and 0.1 < there.get(i, 1.0) < 0.5)
    assert len(wanted) > 5  # or nothing is tested
    assert served.members(rule).ids.to_pylist() == wanted
    assert served.count(rule) == len(wanted)
    assert [row["profile_id"] for row in served.page(rule, "profile", None, 5)] == wanted[:5]
    found = served.tally(rule)
    assert (found.n, found.expected["value"]) == (len(wanted), pytest.approx(sum(here[i] for i in wanted)))
    with pytest.raises(InstanceNotFoundError):
        scores(tmp_path / "alone", here).count(rule)


def test_what_was_counted_is_counted_again_when_the_other_instance_has_new_scores(tmp_path: Path) -> None:
    others = {"b": scores(tmp_path / "b1", {"x": 0.9, "y": 0.1})}
    served = scores(tmp_path / "a", {"x": 0.5, "y": 0.5}, lambda instance_id: others[instance_id])
    rule = Rule.read("b:bucket = 'high'")
    assert served.tally(rule).n == 1
    others["b"] = scores(tmp_path / "b2", {"x": 0.9, "y": 0.8})
    assert served.tally(rule).n == 2


def test_who_joined_and_who_left(tmp_path: Path) -> None:
    before = scores(tmp_path / "before", {"a": 0.9, "b": 0.9, "c": 0.1, "d": 0.8})
    now_ = scores(tmp_path / "now", {"a": 0.9, "b": 0.2, "c": 0.7, "e": 0.6})
    found = moved(now_, before, Rule.read("bucket = 'high'"))
    assert (found.before, found.now, found.joined, found.left, found.stayed) == (3, 3, 2, 2, 1)
    assert (found.first_joined, found.first_left, found.fresh, found.gone) == (("c", "e"), ("b", "d"), 1, 1)


def test_nobody_has_no_rate(tmp_path: Path) -> None:
    nobody = scores(tmp_path / "a", {"a": 0.2}).tally(Rule.read("bucket = 'high'"))
    assert (nobody.n, nobody.rate, nobody.expected) == (0, None, {"value": 0.0, "low": 0.0, "high": 0.0})
    assert tally([], 0.1).n == 0
