"""The command line as a script sees it: what each command prints, writes and exits with."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml

from propend import cli
from propend.store.runs import read_json
from propend.version import __version__
from shops import SHOP, before, last_day, no_signal, shop

COMMANDS = [
    *("demo", "init", "check", "run", "train", "score", "evaluate", "report", "explain", "moved", "compile", "list"),
    "connectors",
    *(
        "history",
        "cancel",
        "versions",
        "enable",
        "disable",
        "delete",
        "forget",
        "serve",
        "doctor",
        "export",
        "destination",
    ),
    *("user", "token", "segment"),
]
RUN_FILES = [
    *("contributions.parquet", "evaluation.json", "insights.json", "live.json", "model"),
    *("report.html", "run.json", "scores.parquet"),
]
METRICS = {"auc", "average_precision", "log_loss", "brier", "calibration_error", "top_decile_lift"}
FACTOR = pa.struct(
    [
        ("code", pa.string()),
        ("label", pa.string()),
        ("value", pa.string()),
        ("typical", pa.string()),
        ("impact", pa.float32()),
        ("importance", pa.string()),
    ]
)
SCORES = [
    ("profile_id", pa.string()),
    ("score", pa.float32()),
    ("probability", pa.float64()),
    ("probability_low", pa.float64()),
    ("probability_high", pa.float64()),
    ("too_little_history", pa.bool_()),
    ("percentile", pa.int16()),
    ("bucket", pa.string()),
    ("times_average", pa.float32()),
    ("propensity_type", pa.string()),
    ("scored_at", pa.timestamp("us", tz="UTC")),
    ("expires_at", pa.timestamp("us", tz="UTC")),
    ("factors", pa.list_(FACTOR)),
    ("run_id", pa.string()),
    ("instance", pa.string()),
]


@dataclass(frozen=True)
class Called:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def propend(*arguments: str | Path) -> Called:
    """The command line in this process, with streams that are no terminals."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["propend", *map(str, arguments)]
    with patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as left:
            return Called(int(left.code or 0), out.getvalue(), err.getvalue())
    return Called(0, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop's events as CSV and Parquet, and instances that read them."""
    folder = tmp_path_factory.mktemp("shop")
    pyarrow.csv.write_csv(shop(), folder / "events.csv")
    pq.write_table(shop(), folder / "events.parquet")
    pq.write_table(no_signal(), folder / "noise.parquet")
    pq.write_table(before(shop(), last_day(80)), folder / "short.parquet")
    for name, file in (("shop", "events.csv"), ("noise", "noise.parquet"), ("short", "short.parquet")):
        document = SHOP | {"data": SHOP["data"] | {"events": file}}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    wrong = SHOP | {"data": {"events": "events.csv"}, "goal": {"any_of": ["bye"], "within": "30d"}}
    (folder / "wrong.yaml").write_text(yaml.safe_dump(wrong), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def ran(home: Path) -> Called:
    return propend("run", home / "shop.yaml", "--out", home / "out", "--json")


@pytest.fixture(scope="module")
def finished(home: Path, ran: Called) -> Path:
    assert (ran.status, ran.err) == (0, "")
    return home / "out"


# --- the frame ----------------------------------------------------------------------------------------------


def test_version_and_help() -> None:
    assert propend("--version") == Called(0, f"propend {__version__}\n", "")
    shown = propend("--help")
    assert (shown.status, shown.err) == (0, "")
    assert re.findall(r"^\W*(\w+)  ", shown.out.split("Commands")[1], re.MULTILINE) == COMMANDS


def test_module_is_the_command_line(tmp_path: Path) -> None:
    called = subprocess.run(
        [sys.executable, "-m", "propend", "list", "--json"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (json.loads(called.stdout), called.stderr) == ({"instances": [], "runs": []}, "")


def test_connectors_are_listed() -> None:
    found = json.loads(propend("connectors", "--json").out)
    names = [(one["name"], one["distribution"], one["version"], one["problem"]) for one in found]
    assert names == [
        (name, "propend", metadata.version("propend"), "")
        for name in ("databases", "tables", "lakes", "addresses", "files")
    ]
    shown = propend("connectors").out.splitlines()
    assert [line.split()[0] for line in shown] == ["connector", "databases", "tables", "lakes", "addresses", "files"]


# --- people -----------------------------------------------------------------------------------------------------


def test_people_are_let_in_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "propend.toml").touch()
    at = ("--workspace", str(tmp_path))

    def typed(*arguments: str, password: str = "") -> Called:
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{password}\n"))
        return propend(*arguments, *at)

    assert propend("user", "list", *at).out.startswith("nobody yet")
    short = typed("user", "add", "Ana", "--role", "manage", password="short")
    assert (short.status, short.err.split()[0], "short." in short.err) == (2, "PROPEND-133", False)
    added = typed("user", "add", "Ana", "--role", "manage", password="correct horse battery")
    assert added == Called(0, "ana may manage from now on\n", "")
    assert typed("user", "add", "bo@example.com", "--oidc").out == "bo@example.com may view from now on\n"
    assert typed("user", "add", "ana", password="correct horse battery").err.startswith("PROPEND-113")
    assert typed("user", "disable", "ana").err.startswith("PROPEND-113")
    assert typed("user", "disable", "bo@example.com").status == 0
    listed = json.loads(propend("user", "list", "--json", *at).out)
    assert [(u["name"], u["role"], u["disabled"], u["comes_by"]) for u in listed] == [
        ("ana", "manage", False, "password"), ("bo@example.com", "view", True, "oidc"),
    ]  # fmt: skip
    assert re.search(r"bo@example.com +not log in +oidc", propend("user", "list", *at).out)
    assert typed("user", "enable", "bo@example.com").status == 0
    assert typed("user", "password", "ana", password="staple correct horse").status == 0
    token = typed("token", "create", "ana", "--scope", "manage", "--expires", "never", "--label", "deploy")
    assert re.fullmatch(r"pp_[\w-]{43}\n", token.out)
    assert typed("token", "create", "bo@example.com", "--scope", "manage").err.startswith("PROPEND-131")
    assert typed("token", "create", "nobody").err.startswith("PROPEND-103")
    for wrong in (("--expires", "soon"), ("--expires", "0d"), ("--scope", "all")):
        assert typed("token", "create", "ana", *wrong).status == 2


# --- init and check ---------------------------------------------------------------------------------------------


def test_init_then_check_then_list(home: Path, tmp_path: Path) -> None:
    made = propend("init", tmp_path / "mine", "--data", home / "events.csv")
    first = tmp_path / "mine" / "instances" / "first.yaml"
    assert (made.status, made.err) == (0, "")
    assert made.out.splitlines()[0] == "Purchase within 30 days"
    assert made.out.splitlines()[-3:] == [
        f"wrote {tmp_path / 'mine' / 'propend.toml'}",
        f"wrote {first}",
        f"next: propend check {first}",
    ]
    assert propend("check", first).status == 0
    assert propend("list", tmp_path / "mine", "--json").json == {
        "instances": [{"path": str(first), "name": "Purchase within 30 days", "type": "conversion", "problem": ""}],
        "runs": [],
    }
    again = propend("init", tmp_path / "mine", "--data", home / "events.csv")
    assert (again.status, again.err.splitlines()[0]) == (2, "PROPEND-102 OUTPUT_EXISTS")


def test_init_takes_the_columns_that_it_cannot_recognise(tmp_path: Path) -> None:
    odd = shop().rename_columns(["wer", "moment", "was", "amount", "category"])
    pq.write_table(odd, tmp_path / "odd.parquet")
    refused = propend("init", tmp_path / "mine", "--data", tmp_path / "odd.parquet")
    assert (refused.status, refused.err.splitlines()[0]) == (2, "PROPEND-202 COLUMN_NOT_FOUND")
    assert refused.err.endswith("Here it is named by --profile COLUMN.\n")
    assert not (tmp_path / "mine").exists()
    named = ("--profile", "wer", "--at", "moment", "--event", "was")
    made = propend("init", tmp_path / "mine", "--data", tmp_path / "odd.parquet", *named)
    assert (made.status, made.out.splitlines()[0]) == (0, "Purchase within 30 days")
    assert "    profile  'wer': named by you" in made.out
    assert propend("check", tmp_path / "mine" / "instances" / "first.yaml").status == 0


def test_init_without_data_says_what_comes_next(tmp_path: Path) -> None:
    made = propend("init", tmp_path / "empty")
    assert (made.status, made.out.splitlines()[-1].split("  ")[0]) == (
        0,
        f"next: propend init {tmp_path / 'empty'} --data PATH",
    )
    assert sorted(p.name for p in (tmp_path / "empty").iterdir()) == ["instances", "propend.toml"]


def test_check_shows_what_a_definition_means(home: Path) -> None:
    shown = propend("check", home / "shop.yaml")
    assert (shown.status, shown.err) == (0, "")
    for part in (
        "Of profiles who did anything at least once in the last 90 days, who will do buy in the next 30 days?",
        "who is left",
        "(proof)",
        "20 of each are the minimum",
        "examples that met the goal",
        "examples that did not",
    ):
        assert part in shown.out
    found = propend("check", home / "shop.yaml", "--json").json
    assert list(found) == [
        "name",
        "sentence",
        "funnel",
        "outcomes",
        "timeline",
        "time_zone",
        "population_now",
        "examples",
        "data",
        "counts",
        "leaks",
        "warnings",
        "refusals",
        "expected_seconds",
    ]
    assert (len(found["examples"]), found["refusals"]) == (20, [])


def test_check_exits_with_what_a_run_would_be_refused_for(home: Path, tmp_path: Path) -> None:
    document = yaml.safe_load((home / "shop.yaml").read_text(encoding="utf-8"))
    document["options"] = {"minimum": 100_000}
    document["data"]["folder"] = str(home)
    (tmp_path / "many.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    shown, told = propend("check", tmp_path / "many.yaml"), propend("check", tmp_path / "many.yaml", "--json")
    assert (shown.status, told.status, [r["code"] for r in told.json["refusals"]]) == (3, 3, ["PROPEND-401"])
    assert "a run would be refused: PROPEND-401 NOT_ENOUGH_POPULATION" in shown.out
    assert "Hint: loosen the eligibility" in shown.out


def test_days_are_those_of_the_instances_zone(home: Path, tmp_path: Path) -> None:
    """Midnight in Auckland is noon of the day before in UTC."""
    document = yaml.safe_load((home / "shop.yaml").read_text(encoding="utf-8"))
    document["options"] = {"time_zone": "Pacific/Auckland"}
    document["data"]["folder"] = str(home)
    (tmp_path / "far.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    arguments = ("check", tmp_path / "far.yaml", "--as-of", "2022-10-01")
    cutoffs = propend(*arguments, "--json").json["timeline"]["cutoffs"]
    assert [c["cutoff_at"] for c in cutoffs[-2:]] == ["2022-08-31T12:00:00Z", "2022-09-30T11:00:00Z"]
    assert "2022-09-01 (proof)" in propend(*arguments).out


# --- run, train, score --------------------------------------------------------------------------------------------


def test_run_leaves_exactly_its_files(finished: Path) -> None:
    assert sorted(p.name for p in finished.iterdir()) == RUN_FILES
    assert sorted(p.name for p in finished.parent.iterdir() if p.suffix == ".tmp") == []


def test_run_prints_its_documents(finished: Path, ran: Called) -> None:
    documents = {name: read_json(finished / f"{name}.json") for name in ("run", "evaluation")}
    assert ran.json == {"folder": str(finished), **documents}


def test_evaluation_has_the_documented_keys(finished: Path) -> None:
    found = json.loads((finished / "evaluation.json").read_text())
    assert {"proof", "cutoff_at", "n", "base_rate", *METRICS} <= set(found)
    assert set(found["baselines"]) == {"recency", "frequency", "rfm_logistic"}
    for figures in (found, *found["baselines"].values()):
        assert {m: set(figures[m]) for m in METRICS} == {m: {"value", "low", "high"} for m in METRICS}
    assert (found["proof"], found["auc"]["low"] < found["auc"]["value"] < found["auc"]["high"]) == ("out-of-time", True)


def test_run_document_has_the_documented_keys(finished: Path) -> None:
    found = json.loads((finished / "run.json").read_text())
    assert {"instance", "versions", "stages", "peak_memory_bytes", "counts", "warnings"} <= set(found)
    assert {"events_read", "set_aside", "snapshots", "positives"} <= set(found["counts"])
    assert [s["name"] for s in found["stages"]] == [
        "read",
        "survey",
        "features",
        "fit",
        "level",
        "prove",
        "refit",
        "describe",
        "score",
    ]
    assert min(s["seconds"] for s in found["stages"]) >= 0


def test_scores_have_the_documented_schema(finished: Path) -> None:
    table = pq.read_table(finished / "scores.parquet")
    assert [(f.name, f.type) for f in table.schema] == SCORES
    ids = table.column("profile_id").to_pylist()
    assert (ids, len(set(ids))) == (sorted(ids), len(ids))
    assert len(ids) == json.loads((finished / "run.json").read_text())["counts"]["population"]


def test_run_in_words_is_a_screen_long(home: Path, tmp_path: Path) -> None:
    shown = propend("run", home / "shop.yaml", "--out", tmp_path / "out")
    lines = shown.out.splitlines()
    assert (shown.status, shown.err) == (0, "")
    assert lines[:2] == [
        "Buyers of the month",
        "Of profiles who did anything at least once in the last 90 days, who will do buy in the next 30 days?",
    ]
    patterns = (
        r"  \d+ profiles are eligible as of 2022-10-30; \d+\.\d % of them are expected to convert: \d+ \(\d+ to \d+\)",
        r"  buckets: \d+ high, \d+ medium, \d+ low",
        r"  tested on a later period that nothing was learnt from, 2022-09-30 to 2022-10-30: of \d+ profiles, .*",
        r" +propend \(95 % interval\)   recency   frequency   RFM logistic",
        r"  AUC .* 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\) .*",
        r"  what the score goes by",
        r" +\d+ %   .+   typical: .*",
        r"    p\d{4}: \d+\.\d % \(\d+ % to \d+ %\), \d\.\d times the average; score \d+ \(high\)",
        r"      \+ .+: .+ \(typical: .+\)",
        r"  report: .*report\.html",
    )
    assert [p for p in patterns if not any(re.fullmatch(p, line) for line in lines)] == []
    assert len(lines) < 50


def test_train_then_score_later(home: Path, tmp_path: Path) -> None:
    early = ("--as-of", "2022-09-30")
    trained = propend("train", home / "shop.yaml", "--out", tmp_path / "model", *early)
    assert trained == Called(
        0, f"model in {tmp_path / 'model'}\nnext: propend score {tmp_path / 'model'} --out scores\n", ""
    )
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["evaluation.json", "model", "run.json"]
    scored = propend("score", tmp_path / "model", "--out", tmp_path / "scores", "--data", home, "--json")
    assert (scored.status, scored.err, set(scored.json)) == (0, "", {"folder", "run", "evaluation"})
    assert scored.json["run"]["scored_at"] == "2022-10-30T00:00:00Z"
    assert scored.json["evaluation"] == read_json(tmp_path / "model" / "evaluation.json")
    assert {"scores.parquet", "run.json", "report.html"} <= {p.name for p in (tmp_path / "scores").iterdir()}


def test_run_finds_data_in_another_folder(home: Path, tmp_path: Path) -> None:
    (tmp_path / "lonely.yaml").write_text((home / "shop.yaml").read_text())
    assert propend("check", tmp_path / "lonely.yaml").status == 2
    for data in (home, home / "events.parquet"):
        assert propend("check", tmp_path / "lonely.yaml", "--data", data).status == 0


# --- what is made of a run -------------------------------------------------------------------------------------


def test_explain_one_profile(finished: Path) -> None:
    scores = pq.read_table(finished / "scores.parquet").to_pylist()
    row = max(scores, key=lambda r: r["probability"])
    found = propend("explain", row["profile_id"], "--run", finished, "--json").json
    assert {k: found[k] for k in ("profile_id", "score", "probability", "factors")} == {
        k: row[k] for k in ("profile_id", "score", "probability", "factors")
    }
    shown = propend("explain", row["profile_id"], "--run", finished.parent)
    assert shown.out.splitlines()[0] == f"profile {row['profile_id']} in Buyers of the month, as of 2022-10-30"
    low, high = (f"{100 * row[f'probability_{end}']:.0f} %" for end in ("low", "high"))
    assert f"  probability {100 * row['probability']:.1f} % ({low} to {high}), " in shown.out
    assert all(f["label"] in shown.out and f["value"] in shown.out for f in row["factors"])
    unknown = propend("explain", "nobody", "--run", finished)
    assert (unknown.status, unknown.out, unknown.err.splitlines()[0]) == (2, "", "PROPEND-104 PROFILE_NOT_FOUND")


def test_what_moved_one_profile_and_everybody(finished: Path, tmp_path: Path) -> None:
    day = last_day() - timedelta(days=20)
    earlier = tmp_path / "earlier"
    assert propend("score", finished, "--as-of", day, "--out", earlier).status == 0
    ids = [
        set(pq.read_table(folder / "scores.parquet", columns=["profile_id"]).column(0).to_pylist())
        for folder in (finished, earlier)
    ]
    someone, other = sorted(ids[0] & ids[1])[:2]
    asked = ("explain", someone, "--run", finished)
    found = propend(*asked, "--since", earlier, "--json").json
    shown = propend(*asked, "--since", earlier)
    assert shown.out.startswith(f"profile {someone}, as of {day}: probability ")
    assert f"profile {someone}, as of {last_day()}: probability " in shown.out
    assert found["factors"][0]["label"] in shown.out
    assert f"{found['log_odds']:+.2f}" in next(line for line in shown.out.splitlines() if "together" in line)
    apart = propend(*asked, "--beside", other)
    lines = apart.out.splitlines()
    assert [line.split(",")[0] for line in lines[:2]] == [f"profile {other}", f"profile {someone}"]
    assert lines[3].split() == ["factor", other, someone, "change"]
    assert "before" in shown.out.splitlines()[3]
    both = propend(*asked, "--beside", other, "--since", earlier)
    assert (both.status, "only one of the two" in both.err) == (2, True)
    every = propend("moved", "--run", finished, "--since", earlier)
    counted = propend("moved", "--run", finished, "--since", earlier, "--json").json
    assert every.out.startswith(f"{counted['profiles']['both']:,} profiles scored in both runs, ")
    for m in counted["movers"]:
        assert f"    {m['after']['profile_id']}: " in every.out
    lost = propend("moved", "--run", finished, "--since", tmp_path / "nowhere")
    assert (lost.status, "PROPEND-103" in lost.err) == (2, True)


def test_report_again(finished: Path, tmp_path: Path) -> None:
    told = propend("report", finished, "--out", tmp_path / "again.html")
    assert told == Called(0, f"{tmp_path / 'again.html'}\n", "")
    first, again = (
        re.sub(r"\d+\.\d seconds", "", p.read_text()) for p in (finished / "report.html", tmp_path / "again.html")
    )
    assert again == first


def test_list_of_runs(home: Path, finished: Path) -> None:
    run = json.loads((finished / "run.json").read_text())
    listed = propend("list", home, "--json").json
    assert [r for r in listed["runs"] if r["folder"] == str(finished)] == [
        {
            "folder": str(finished),
            "run_id": run["run_id"],
            "name": "Buyers of the month",
            "status": "succeeded",
            "started_at": run["started_at"],
            "population": run["counts"]["population"],
        }
    ]
    assert {Path(i["path"]).name for i in listed["instances"]} == {
        "noise.yaml",
        "shop.yaml",
        "short.yaml",
        "wrong.yaml",
    }
    assert str(finished) in propend("list", home).out


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("wrong", 2, "PROPEND-100"),
        ("nothing", 2, "PROPEND-103"),
        ("short", 3, "PROPEND-407"),
        ("noise", 4, "PROPEND-402"),
    ],
)
def test_refusals(home: Path, tmp_path: Path, name: str, status: int, code: str) -> None:
    refused = propend("run", home / f"{name}.yaml", "--out", tmp_path / "out", "--json")
    error = refused.json["error"]
    assert (refused.status, error["code"], set(error)) == (
        status,
        code,
        {"code", "symbol", "stage", "message", "hint", "facts"},
    )
    assert refused.err == f"{code} {error['symbol']}\n{error['message']}\nHint: {error['hint']}\n"
    assert list(tmp_path.iterdir()) == []
    in_words = propend("run", home / f"{name}.yaml", "--out", tmp_path / "out")
    assert (in_words.status, in_words.out) == (status, "")


# --- demo ---------------------------------------------------------------------------------------------------------


def test_demo_quick(tmp_path: Path) -> None:
    shown = propend("demo", tmp_path / "demo", "--quick")
    assert (shown.status, shown.err) == (0, "")
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == ["purchase"]
    assert sorted(p.name for p in (tmp_path / "demo" / "purchase").iterdir()) == RUN_FILES
    profiles = re.findall(r"^    (\d+): .* \((high|medium|low)\)$", shown.out, re.MULTILINE)
    assert [bucket for _, bucket in profiles] == ["high", "medium", "low"]
    assert "Ranks better than recency alone" in shown.out
    assert f"propend explain {profiles[0][0]} --run {tmp_path / 'demo' / 'purchase'}" in shown.out
    assert propend("explain", profiles[0][0], "--run", tmp_path / "demo").status == 0


# --- compile ----------------------------------------------------------------------------------------------------


def test_what_is_compiled_already_is_said_to_be_kept(ran: Called) -> None:
    """A run has compiled all: nothing is left to do."""
    assert ran.status == 0
    propend("compile")
    again = propend("compile")
    assert (again.status, again.err) == (0, "")
    assert re.fullmatch(r"Everything was compiled before, and is kept in \S+\.\n", again.out)
