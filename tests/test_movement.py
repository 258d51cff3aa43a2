"""What moved: differences that add up, whoever is compared, and the movement from one run to the next."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import propend
from propend import errors
from propend.movement import _effects
from shops import SHOP, last_day, shop

Plain = dict[str, Any]


@pytest.fixture(scope="module")
def events() -> pa.Table:
    return shop()


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory, events: pa.Table) -> propend.Run:
    day = last_day() - timedelta(days=40)
    return propend.run(SHOP, data=events, as_of=day, out=tmp_path_factory.mktemp("earlier") / "run")


@pytest.fixture(scope="module")
def rescored(tmp_path_factory: pytest.TempPathFactory, events: pa.Table, earlier: propend.Run) -> propend.Run:
    return propend.score(earlier.folder, data=events, out=tmp_path_factory.mktemp("rescored") / "run")


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory, events: pa.Table) -> propend.Run:
    return propend.run(SHOP, data=events, out=tmp_path_factory.mktemp("retrained") / "run")


def log_odds(run: propend.Run, profiles: list[str]) -> float:
    rows = {
        row["profile_id"]: row["probability"] for row in run.scores.select(["profile_id", "probability"]).to_pylist()
    }
    p = np.array([rows[i] for i in profiles])
    return float(np.mean(np.log(p / (1 - p))))


def shared(one: propend.Run, other: propend.Run) -> list[str]:
    return sorted(set(one.scores.column("profile_id").to_pylist()) & set(other.scores.column("profile_id").to_pylist()))


def assert_adds_up(found: Plain, expected: float) -> None:
    assert found["log_odds"] == pytest.approx(expected, abs=1e-4)
    assert found["base"] + sum(f["change"] for f in found["factors"]) == pytest.approx(found["log_odds"], abs=1e-9)
    for f in found["factors"]:
        assert f["change"] == pytest.approx(f["after"]["impact"] - f["before"]["impact"], abs=1e-9)
    sizes = [abs(f["change"]) for f in found["factors"]]
    assert sizes == sorted(sizes, reverse=True)


def test_contributions_sum_to_the_probability(earlier: propend.Run) -> None:
    table = earlier.contributions
    assert table.column("profile_id").to_pylist() == earlier.scores.column("profile_id").to_pylist()
    names = [n for n in table.column_names if n.startswith("impact__")]
    assert {n.removeprefix("impact__") for n in names} == {f["code"] for f in earlier.insights["factors"]}
    summed = earlier.insights["base"] + np.sum([table.column(n).to_numpy() for n in names], axis=0, dtype=np.float64)
    np.testing.assert_allclose(1 / (1 + np.exp(-summed)), earlier.scores.column("probability").to_numpy(), atol=1e-6)


def test_what_a_profile_is_named_by_is_what_its_contributions_say(earlier: propend.Run) -> None:
    said = {row["profile_id"]: row for row in earlier.contributions.to_pylist()}
    for row in earlier.scores.select(["profile_id", "factors"]).to_pylist():
        for f in row["factors"]:
            own = said[row["profile_id"]]
            assert (f["value"], f["impact"]) == (own[f"says__{f['code']}"], own[f"impact__{f['code']}"])


def test_a_profile_in_two_runs_of_one_model(earlier: propend.Run, rescored: propend.Run) -> None:
    for profile in shared(earlier, rescored)[:20]:
        found = rescored.moved(profile, earlier)
        assert_adds_up(found, log_odds(rescored, [profile]) - log_odds(earlier, [profile]))
        assert found["base"] == 0.0
        assert [found[side]["profile_id"] for side in ("before", "after")] == [profile] * 2


def test_a_profile_in_two_runs_of_two_models(earlier: propend.Run, retrained: propend.Run) -> None:
    for profile in shared(earlier, retrained)[:20]:
        found = retrained.moved(profile, earlier)
        assert_adds_up(found, log_odds(retrained, [profile]) - log_odds(earlier, [profile]))
        assert found["base"] != 0.0


def test_two_profiles_and_two_groups(earlier: propend.Run) -> None:
    ids = earlier.scores.column("profile_id").to_pylist()
    assert_adds_up(earlier.beside(ids[0], ids[1]), log_odds(earlier, ids[1:2]) - log_odds(earlier, ids[:1]))
    low, high = (
        [r["profile_id"] for r in earlier.scores.select(["profile_id", "bucket"]).to_pylist() if r["bucket"] == bucket]
        for bucket in ("low", "high")
    )
    found = earlier.beside(low, high)
    assert_adds_up(found, log_odds(earlier, high) - log_odds(earlier, low))
    assert (found["before"]["profiles"], found["after"]["profiles"]) == (len(low), len(high))
    assert found["factors"][0]["before"]["value"] != found["factors"][0]["after"]["value"]


def test_the_movement_from_one_run_to_the_next(earlier: propend.Run, rescored: propend.Run) -> None:
    both, found = shared(earlier, rescored), rescored.movement(earlier)
    sizes = {"both": len(both), "new": len(rescored.scores) - len(both), "gone": len(earlier.scores) - len(both)}
    assert found["profiles"] == sizes
    old, new = (
        {r["profile_id"]: r["bucket"] for r in run.scores.select(["profile_id", "bucket"]).to_pylist()}
        for run in (earlier, rescored)
    )
    counted = {(t["from"], t["to"]): t["n"] for t in found["buckets"]}
    assert counted == {
        (was, now): sum(old[i] == was and new[i] == now for i in both)
        for was in ("high", "medium", "low")
        for now in ("high", "medium", "low")
    }
    assert_adds_up(found["everybody"], log_odds(rescored, both) - log_odds(earlier, both))
    moves = [m["log_odds"] for m in found["movers"]]
    every = sorted(log_odds(rescored, [i]) - log_odds(earlier, [i]) for i in both)
    assert moves[:5] == pytest.approx(every[:-6:-1], abs=1e-4)
    assert moves[5:] == pytest.approx(every[:5], abs=1e-4)
    assert {len(m["factors"]) for m in found["movers"]} == {3}


def test_a_run_beside_itself_has_not_moved(earlier: propend.Run) -> None:
    found = earlier.movement(earlier)
    assert (found["movers"], found["effects"], found["everybody"]["log_odds"]) == ([], [], 0.0)
    assert all(t["n"] == 0 for t in found["buckets"] if t["from"] != t["to"])


def factor(share: float, direction: str, code: str = "buy__lately") -> list[Plain]:
    return [{"code": code, "label": "Recent buys", "share": share, "direction": direction}]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (factor(0.2, "more raises"), factor(0.2, "more raises"), False),
        (factor(0.2, "more raises"), factor(0.2, "more lowers"), True),
        (factor(0.04, "more raises"), factor(0.04, "more lowers"), False),
        (factor(0.2, "more raises"), factor(0.2, "mixed"), False),
        (factor(0.1, "mixed"), factor(0.2, "mixed"), True),
        (factor(0.4, "mixed"), factor(0.5, "mixed"), False),
        (factor(0.01, "mixed"), factor(0.04, "mixed"), False),
        ([], factor(0.1, "mixed"), True),
        (factor(0.1, "mixed"), [], True),
    ],
)
def test_effects_that_changed(before: list[Plain], after: list[Plain], told: bool) -> None:
    assert [e["code"] for e in _effects(before, after)] == (["buy__lately"] if told else [])


def test_who_was_not_scored_is_said(earlier: propend.Run, rescored: propend.Run) -> None:
    someone = earlier.scores.column("profile_id")[0].as_py()
    for ask in (
        lambda: rescored.moved("nobody", earlier),
        lambda: earlier.beside(someone, "nobody"),
        lambda: earlier.beside([someone, "nobody"], someone),
    ):
        with pytest.raises(errors.ProfileNotFoundError, match="'nobody' is not among"):
            ask()
    with pytest.raises(ValueError, match="a group of nobody"):
        earlier.beside([], someone)


def test_runs_of_other_goals_are_refused(earlier: propend.Run, retrained: propend.Run) -> None:
    other = {**earlier.record["instance"], "goal": {"any_of": ["buy"], "within": "60d"}}
    stranger = propend.Run(earlier.folder, earlier.record | {"instance": other}, earlier.evaluation, earlier.insights)
    someone = earlier.scores.column("profile_id")[0].as_py()
    for ask in (lambda: retrained.movement(stranger), lambda: retrained.moved(someone, stranger)):
        with pytest.raises(errors.DifferentQuestionsError, match="have different goals"):
            ask()


def test_a_damaged_file_is_a_coded_error(earlier: propend.Run, tmp_path: Path) -> None:
    bare = propend.Run(tmp_path, earlier.record, earlier.evaluation, earlier.insights)
    with pytest.raises(errors.InstanceNotFoundError, match="There are no contributions"):
        _ = bare.contributions
    (tmp_path / "contributions.parquet").write_text("no parquet", encoding="utf-8")
    with pytest.raises(errors.InstanceNotFoundError, match=r"contributions in .* cannot be read"):
        _ = bare.contributions
