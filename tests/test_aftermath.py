"""After the window: realised against expected from an independent computation, verdicts, and the challenge."""

from __future__ import annotations

import io
import itertools
import json
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

import propend
from propend import aftermath, cli, errors
from propend.aftermath_page import Aftermath
from propend.challenge import decide
from propend.demo import orders_path
from propend.model.checks import score_drift
from propend.model.evaluate import Metric, evaluate
from propend.model.metrics import METRICS
from propend.store.runs import read_json, write_json
from report_documents import aftermath_document
from shops import FIRST_DAY, SHOP, plus, shop
from test_docs import firsts, page

WINDOW_DAYS = 30
STOOD = ("2011-05-01", "2011-06-15", "2011-08-20")
"""Of the last the window is not over: the data end on 1 September."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quarter of the real orders, two models of April trained on them, and three runs of the first.

    The second sees seven days only; it has one more named event, so that it reads the data in its own way.
    """
    folder = tmp_path_factory.mktemp("desk")
    orders = pq.read_table(orders_path())
    some = pc.equal(pc.bit_wise_and(pc.cast(orders.column("customer_id"), "int64"), 3), 0)
    pq.write_table(orders.filter(some), folder / "orders.parquet")
    document = yaml.safe_load(orders_path().with_name("purchase.yaml").read_text(encoding="utf-8"))
    short = document | {
        "events": document["events"] | {"big": {"is": "purchase", "where": {"amount": {"gt": 500}}}},
        "options": {"lookback": "7d", "quality_bar": 0.5},
    }
    for name, given in (("long", document), ("short", short)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")
        propend.train(folder / f"{name}.yaml", as_of="2011-04-01", out=folder / "models" / name)
    for day in STOOD:
        propend.score(folder / "models" / "long", as_of=day, out=folder / "runs" / day)
    return folder


@pytest.fixture(scope="module")
def document(desk: Path) -> dict[str, Any]:
    return propend.evaluate(desk / "runs").document


# --- realised against expected -------------------------------------------------------------------------------


def by_hand(desk: Path, day: str, group: str) -> dict[str, tuple[int, int, float]]:
    """Profiles, those who bought in the window, and their mean probability, from SQL over the files."""
    rows = duckdb.sql(
        f"""
        WITH bought AS (
            SELECT DISTINCT CAST(customer_id AS VARCHAR) AS profile_id
            FROM '{desk / "orders.parquet"}'
            WHERE kind = 'purchase' AND amount > 0 AND ordered_at >= TIMESTAMP '{day}'
              AND ordered_at < TIMESTAMP '{day}' + INTERVAL {WINDOW_DAYS} DAY)
        SELECT {group}, count(*), count(b.profile_id), avg(probability)
        FROM '{desk / "runs" / day / "scores.parquet"}' AS s LEFT JOIN bought AS b USING (profile_id)
        GROUP BY 1"""
    ).fetchall()
    return {name: (n, met, pytest.approx(mean)) for name, n, met, mean in rows}


@pytest.mark.parametrize("day", STOOD[:2])
def test_realised_rates_are_those_of_an_independent_computation(desk: Path, document: dict[str, Any], day: str) -> None:
    run = document["runs"][STOOD.index(day)]
    buckets = {b["bucket"]: (b["known"], b["positives"], b["expected_rate"]) for b in run["buckets"]}
    assert buckets == by_hand(desk, day, "bucket")
    assert {"all": (run["known"], run["positives"], run["expected_rate"])} == by_hand(desk, day, "'all'")
    assert run["realised_rate"]["value"] == run["positives"] / run["known"]
    assert run["population"] == run["known"]


@pytest.mark.parametrize("day", STOOD[:2])
def test_figures_are_those_of_the_evaluation_beside_the_promised(
    desk: Path, document: dict[str, Any], day: str
) -> None:
    run, folder = document["runs"][STOOD.index(day)], desk / "runs" / day
    scores = pq.read_table(folder / "scores.parquet")
    bought = duckdb.sql(
        f"""SELECT DISTINCT CAST(customer_id AS VARCHAR) FROM '{desk / "orders.parquet"}'
        WHERE kind = 'purchase' AND amount > 0
          AND CAST(ordered_at AS DATE) BETWEEN DATE '{day}' AND DATE '{day}' + {WINDOW_DAYS - 1}"""
    ).fetchnumpy()
    label = pc.is_in(scores.column("profile_id"), pa.array(next(iter(bought.values())).tolist(), pa.string()))
    figures = evaluate(label.to_numpy().astype(int), scores.column("probability").to_numpy())
    promised = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert {name: run[name] for name in figures} == {name: metric.to_dict() for name, metric in figures.items()}
    assert run["promised"] == {key: promised[key] for key in run["promised"]}
    assert sum(row["n"] for row in run["calibration"]) == sum(row["n"] for row in run["deciles"]) == run["known"]


def test_a_run_whose_window_is_not_over_is_listed_with_its_day(document: dict[str, Any], desk: Path) -> None:
    last = document["runs"][-1]
    assert [(r["scored_at"][:10], r["matured"]) for r in document["runs"]] == [
        (STOOD[0], True), (STOOD[1], True), (STOOD[2], False),
    ]  # fmt: skip
    assert (last["matures_at"], "realised_rate" in last) == ("2011-09-19T00:00:00Z", False)
    assert document["summary"]["sentence"].endswith("The next can be judged from 2011-09-19 on.")
    assert (document["summary"]["runs"], document["summary"]["judged"]) == (3, 2)


def test_drift_is_measured_from_run_to_run(document: dict[str, Any], desk: Path) -> None:
    scores = [pq.read_table(desk / "runs" / day / "scores.parquet").column("probability").to_numpy() for day in STOOD]
    expected = [None, *(score_drift(a, b) for a, b in itertools.pairwise(scores))]
    assert [r["score_drift"] for r in document["runs"]] == expected


def test_as_of_moves_now_back(desk: Path, document: dict[str, Any]) -> None:
    """Standing on the day that the first window ends, it is known and the second is not."""
    found = propend.evaluate(desk / "runs", as_of="2011-05-31").document
    assert [r["matured"] for r in found["runs"]] == [True, False, False]
    assert found["runs"][0] == document["runs"][0]
    with pytest.raises(errors.NoOutcomeKnownError, match=r"data end at 2011-05-30.*from 2011-05-31 on") as refused:
        propend.evaluate(desk / "runs", as_of="2011-05-30")
    assert (refused.value.facts["possible_on"], refused.value.exit_status) == ("2011-05-31", 3)


def test_other_peoples_data_are_refused(desk: Path) -> None:
    orders = pq.read_table(desk / "orders.parquet")
    ids = pc.binary_join_element_wise("x", pc.cast(orders.column("customer_id"), "string"), "")
    strangers = orders.set_column(orders.schema.get_field_index("customer_id"), "customer_id", ids)
    with pytest.raises(errors.NoOutcomeKnownError, match=r"none of .* scored profiles has a known outcome"):
        propend.evaluate(desk / "runs", data=strangers)


# --- who is counted ------------------------------------------------------------------------------------------

CUTOFF_DAY, WINDOW = 250, (257, 278)
GUARDED = SHOP | {
    "goal": {"any_of": ["buy"], "from": "7d", "within": "21d"},
    "exits": ["call"],
    "options": {"settle": "3d", "quality_bar": 0.5},
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("guarded") / "run"
    propend.run(GUARDED, data=shop(), as_of=FIRST_DAY + timedelta(days=CUTOFF_DAY), out=out)
    return out


def by_profile(events: pa.Table) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in events.to_pylist():
        found[row["profile_id"]].append(row)
    return found


def became(rows: list[dict[str, Any]]) -> str:
    """What became of a profile, event by event."""
    if not rows:
        return "absent"
    opened = datetime.combine(FIRST_DAY, time(), UTC)
    days = [((row["at"] - opened) / timedelta(days=1), row["event"]) for row in rows]
    if any(event == "call" and day < WINDOW[1] for day, event in days):
        return "gone"
    bought = [day for day, event in days if event == "purchase"]
    if any(CUTOFF_DAY <= day < WINDOW[0] for day in bought):
        return "met_early"
    return "met" if any(WINDOW[0] <= day < WINDOW[1] for day in bought) else "unmet"


def test_gap_exits_and_absent_profiles_are_counted_apart(guarded: Path) -> None:
    scored = propend.Run.load(guarded).scores.column("profile_id").to_pylist()
    events = shop()
    left = events.filter(pc.invert(pc.is_in(events.column("profile_id"), pa.array(scored[:20]))))
    found = propend.evaluate(guarded, data=left).document
    rows = by_profile(left)
    fates = Counter(became(rows[profile]) for profile in scored)
    [run] = found["runs"]
    assert {"met": run["positives"], "unmet": run["known"] - run["positives"]} | {
        name: run[name] for name in ("met_early", "gone", "absent")
    } == fates
    assert (min(fates.values()) > 0, [n["code"] for n in found["warnings"]]) == (True, ["PROPEND-330"])


def test_settle_time_is_waited_for(guarded: Path) -> None:
    known = FIRST_DAY + timedelta(days=WINDOW[1] + 3)
    assert propend.evaluate(guarded, data=shop(), as_of=known).document["runs"][0]["matured"]
    with pytest.raises(errors.NoOutcomeKnownError, match=rf"28 days and 3 days for late events.*from {known} on"):
        propend.evaluate(guarded, data=shop(), as_of=known - timedelta(days=1))


def test_late_data_do_not_change_who_was_scored(guarded: Path) -> None:
    """Two who by late events were eligible, too, have no score; two whose past is gone keep theirs."""
    events, scored = shop(), propend.Run.load(guarded).scores.column("profile_id").to_pylist()
    rows = by_profile(events)
    quiet = [p for p in scored if became(rows[p]) != "gone"][:2]
    others = events.filter(pc.invert(pc.is_in(events.column("profile_id"), pa.array(quiet))))
    numbers = [int(p[1:]) for p in quiet]
    later = plus(others, [9_001, 9_002, *numbers], [CUTOFF_DAY - 5, CUTOFF_DAY - 6, 260, 261], "visit")
    [then], [now] = (propend.evaluate(guarded, data=d).document["runs"] for d in (events, later))
    assert (now["not_scored_then"], now["not_eligible_now"], now["absent"], now["known"]) == (2, 2, 0, then["known"])


# --- verdicts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "realised", "verdict"),
    [
        (0.12, (0.13, 0.11, 0.15), "as expected"),
        (0.100, (0.105, 0.103, 0.107), "as expected"),
        (0.10, (0.13, 0.11, 0.15), "more than expected"),
        (0.16, (0.13, 0.11, 0.15), "fewer than expected"),
        (0.01, (0.0, 0.0, 0.005), "fewer than expected"),
    ],
)
def test_the_level_is_off_beyond_chance_and_by_a_tenth(
    expected: float, realised: tuple[float, float, float], verdict: str
) -> None:
    assert aftermath.level_verdict(expected, *realised) == verdict


@pytest.mark.parametrize(
    ("promised", "came", "verdict"),
    [
        ((0.80, 0.78, 0.82), (0.79, 0.77, 0.81), "as promised"),
        ((0.80, 0.799, 0.801), (0.79, 0.789, 0.791), "as promised"),
        ((0.80, 0.78, 0.82), (0.70, 0.68, 0.72), "worse than promised"),
        ((0.70, 0.68, 0.72), (0.80, 0.78, 0.82), "better than promised"),
        ((0.80, 0.60, 1.00), (0.70, 0.50, 0.90), "as promised"),
        ((None, None, None), (0.70, 0.50, 0.90), "not known"),
    ],
)
def test_the_ranking_is_worse_beyond_both_intervals_and_by_an_amount_that_matters(
    promised: Any, came: Any, verdict: str
) -> None:
    metrics = [dict(zip(("value", "low", "high"), m, strict=True)) for m in (promised, came)]
    assert aftermath.ranking_verdict(*metrics) == verdict


@pytest.mark.parametrize(
    ("saving", "ranking", "decision"),
    [
        ((0.02, 0.01, 0.03), (0.01, 0.0, 0.02), "promote"),
        ((0.004, 0.003, 0.006), (0.0, -0.01, 0.01), "open"),
        ((0.02, -0.01, 0.05), (0.01, 0.0, 0.02), "open"),
        ((0.001, -0.002, 0.004), (0.0, -0.01, 0.01), "keep"),
        ((-0.02, -0.03, -0.01), (0.0, -0.01, 0.01), "keep"),
        ((0.02, 0.01, 0.03), (-0.02, -0.03, -0.01), "worse"),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), "keep"),
    ],
)
def test_a_challenger_is_promoted_for_a_sure_saving_of_the_margin(saving: Any, ranking: Any, decision: str) -> None:
    assert decide(Metric(*saving), Metric(*ranking), 0.005) == decision


# --- champion and challenger ---------------------------------------------------------------------------------


def test_a_model_that_sees_less_is_not_promoted(desk: Path) -> None:
    found = propend.evaluate(desk / "runs", challenger=desk / "models" / "short").document["challenge"]
    assert (found["decision"], found["saving"]["high"] < 0, found["differences"]["auc"]["high"] < 0) == (
        "keep", True, True,
    )  # fmt: skip
    days = [date.fromisoformat(c[:10]) for c in found["cutoffs"]]
    assert days == [date(2011, 8, 2) - timedelta(days=WINDOW_DAYS * i) for i in (4, 3, 2, 1, 0)]
    assert min(days) >= date(2011, 4, 1)


def test_a_model_that_sees_more_is_promoted(desk: Path, tmp_path: Path) -> None:
    propend.score(desk / "models" / "short", as_of="2011-05-01", out=tmp_path / "run")
    found = propend.evaluate(tmp_path / "run", challenger=desk / "models" / "long").document["challenge"]
    assert (found["decision"], found["saving"]["low"] > 0.005) == ("promote", True)
    assert found["sentence"].startswith("Promote the challenger: its probabilities are better by at least the 0.50")


def test_a_copy_makes_no_difference(desk: Path) -> None:
    found = propend.evaluate(desk / "runs", challenger=desk / "models" / "long").document["challenge"]
    nothing = {"value": 0.0, "low": 0.0, "high": 0.0}
    assert (found["decision"], found["saving"], found["differences"]["auc"]) == ("keep", nothing, nothing)
    assert found["sentence"].endswith("; there is no difference at all.")
    assert {k: found["champion"][k] for k in METRICS} == {k: found["challenger"][k] for k in METRICS}


def test_a_challenger_that_reads_in_its_own_way_meets_the_same_profiles(desk: Path) -> None:
    own, shared = (
        propend.evaluate(desk / "runs", challenger=desk / "models" / name).document["challenge"]
        for name in ("short", "long")
    )
    same = ("n", "profiles", "positives", "cutoffs", "outcome_ends_at", "champion")
    assert {key: own[key] for key in same} == {key: shared[key] for key in same}


def test_models_are_not_compared_on_what_either_has_seen(desk: Path, tmp_path: Path) -> None:
    shutil.copytree(desk / "models" / "short", tmp_path / "late")
    path = tmp_path / "late" / "model" / "model.json"
    model = read_json(path)
    model["facts"]["timeline"]["now"] = "2011-08-10T00:00:00Z"
    write_json(path, model)
    with pytest.raises(errors.NoFairComparisonError, match="challenger learnt from data until 2011-08-10") as refused:
        propend.evaluate(desk / "runs", challenger=tmp_path / "late")
    assert (refused.value.facts["possible_on"], refused.value.exit_status) == ("2011-09-09", 3)


def test_models_of_different_questions_are_not_compared(desk: Path, guarded: Path) -> None:
    with pytest.raises(errors.DifferentQuestionsError, match="they differ in goal, eligible, exits, events"):
        propend.evaluate(desk / "runs", challenger=guarded)


# --- which runs ----------------------------------------------------------------------------------------------


def test_runs_of_different_instances_are_refused(desk: Path, guarded: Path) -> None:
    with pytest.raises(errors.DifferentQuestionsError, match=r"4 runs are of 2 instances: .*\(3 runs\).*\(1 run\)"):
        propend.evaluate([desk / "runs", guarded])


def test_runs_of_an_edited_goal_are_left_out_and_said(desk: Path, document: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(desk / "runs", tmp_path / "runs")
    old = tmp_path / "runs" / STOOD[0] / "run.json"
    record = read_json(old)
    record["instance"]["goal"]["within"] = "60d"
    write_json(old, record)
    found = propend.evaluate(tmp_path / "runs").document
    assert [r["scored_at"][:10] for r in found["runs"]] == [*STOOD[1:]]
    assert [(r["run_id"], "another question" in r["reason"]) for r in found["left_out"]] == [(record["run_id"], True)]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: _cut(run / "scores.parquet"),
        lambda run: _cut(run / "run.json"),
        lambda run: _cut(run / "insights.json"),
        lambda run: (run / "scores.parquet").unlink(),
        lambda run: (run / "evaluation.json").unlink(),
        lambda run: (run / "run.json").write_text("[1]", encoding="utf-8"),
        lambda run: (run / "run.json").write_text('{"status": "succeeded"}', encoding="utf-8"),
        lambda run: (run / "evaluation.json").write_text("[]", encoding="utf-8"),
        lambda run: (run / "model" / "model.json").write_text("{}", encoding="utf-8"),
        lambda run: pq.write_table(pa.table({"profile_id": ["1"]}), run / "scores.parquet"),
        shutil.rmtree,
    ],
)
def test_a_damaged_run_is_refused_with_a_code(desk: Path, tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    run = tmp_path / "run"
    shutil.copytree(desk / "runs" / STOOD[0], run)
    damage(run)
    with pytest.raises(errors.InstanceNotFoundError):
        propend.evaluate(run)


# --- the command line and the page ---------------------------------------------------------------------------


def called(*arguments: str | Path) -> tuple[int, str]:
    out = io.StringIO()
    with patch.object(sys, "argv", ["propend", *map(str, arguments)]), redirect_stdout(out):
        try:
            cli.main()
        except SystemExit as left:
            return int(left.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_the_command_shows_runs_buckets_and_the_challenge(desk: Path, tmp_path: Path) -> None:
    status, text = called(
        "evaluate", desk / "runs" / STOOD[0], desk / "runs" / STOOD[2], "--challenger", desk / "models" / "short",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert status == 0
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert [line.split()[0] for line in lines if line[:4] == "2011"] == [STOOD[0], STOOD[2]]
    assert any("from 2011-09-19 not yet" in line for line in lines)
    assert [line.split()[0] for line in lines if line.split()[:1] in (["high"], ["medium"], ["low"])] == [
        "high", "medium", "low",
    ]  # fmt: skip
    assert any(line.startswith("Keep the champion") for line in lines)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["aftermath.html", "aftermath.json"]


def test_the_document_is_that_of_python(desk: Path, document: dict[str, Any], tmp_path: Path) -> None:
    status, text = called("evaluate", desk / "runs", "--out", tmp_path, "--json")
    printed, written = json.loads(text), json.loads((tmp_path / "aftermath.json").read_text(encoding="utf-8"))
    for found in (printed, written):
        found["made_at"] = document["made_at"]
    assert (status, printed, written) == (0, document, document)


@pytest.mark.parametrize(
    ("part", "heading"), [("", "## aftermath.json"), ("runs", "A run:"), ("challenge", "`challenge`:")]
)
def test_every_key_of_the_document_is_described(desk: Path, part: str, heading: str) -> None:
    found = propend.evaluate(desk / "runs", challenger=desk / "models" / "short").document
    text = page("docs/results.md").split(f"\n{heading}\n", 1)[1]
    given = found["runs"][0] if part == "runs" else found[part] if part else found
    assert firsts(text) | (set(METRICS) if part == "runs" else set()) == set(given)


def test_hostile_names_are_texts() -> None:
    document = aftermath_document()
    document["name"] = document["runs"][0]["verdict"]["sentence"] = "</script><script>alert(1)</script>"
    html = Aftermath(document).to_html()
    assert ("<script>alert" in html, "&lt;script&gt;alert" in html) == (False, True)


def test_a_margin_is_a_share(desk: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match="--margin: 5 is not a share"):
        propend.evaluate(desk / "runs", challenger=desk / "models" / "short", margin=5)


def test_nothing_half_written_is_left(desk: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(errors.WriteFailedError):
        propend.evaluate(desk / "runs", out=tmp_path / "file")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
