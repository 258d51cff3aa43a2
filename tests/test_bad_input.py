"""What users really pass: bad input ends in a coded error or in rows set aside and counted, never in a traceback."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml

import propend
from propend import cli, errors, pipeline
from shops import DAYS, SHOP, before, instance, last_day, regulars, shifted, shop

PROFILES = 150
ESCAPE = "\x1b[2J"


@pytest.fixture(scope="module")
def events() -> pa.Table:
    return shop(PROFILES, DAYS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, events: pa.Table) -> Path:
    return propend.train(SHOP, data=events, out=tmp_path_factory.mktemp("trained") / "model")


def _with(events: pa.Table, name: str, values: Any) -> pa.Table:
    """The events with another column in place of one."""
    return events.set_column(events.schema.get_field_index(name), name, pa.array(values))


def _every(events: pa.Table, name: str, change: Callable[[Any], Any]) -> pa.Table:
    return _with(events, name, [change(v) for v in events.column(name).to_pylist()])


def _some(events: pa.Table, name: str, value: Any, share: int = 3) -> pa.Table:
    """The events with a value in every so many rows."""
    given = events.column(name).to_pylist()
    column = pa.array([value if i % share == 0 else v for i, v in enumerate(given)], events.schema.field(name).type)
    return events.set_column(events.schema.get_field_index(name), name, column)


def _verdict(document: dict[str, Any], data: Any) -> tuple[str, str]:
    """Code and message of what ``check`` refuses, or of what it says would stop a run."""
    try:
        found = propend.check(document, data=data).document
    except propend.PropendError as refusal:
        assert refusal.hint
        return refusal.code, refusal.message
    return (found["refusals"][0]["code"], found["refusals"][0]["message"]) if found["refusals"] else ("", "")


# --- refused ------------------------------------------------------------------------------------------------

never = instance(events={"buy": {"is": "purchase", "where": "amount > 1e9"}})
REFUSED: dict[str, tuple[dict[str, Any], Callable[[pa.Table], Any], str, str]] = {
    "no events": (SHOP, lambda e: e.slice(0, 0), "411", "There are no rows in 'events'."),
    "one event": (SHOP, lambda e: e.slice(0, 1), "407", "1 days of events are there"),
    "one profile": (SHOP, lambda e: _every(e, "profile_id", lambda _: "x"), "413", "All of 1 eligible profiles met"),
    "all times equal": (SHOP, lambda e: _every(e, "at", lambda _: e["at"][0].as_py()), "407", "1 days of events"),
    "only the bare outcome": (
        {"name": "bare", "goal": {"any_of": ["purchase"], "within": "30d"}},
        lambda e: e.filter(pc.field("event") == "purchase").select(["profile_id", "at", "event"]),
        "105",
        "events is 'purchase', the goal itself, and nothing else is known.",
    ),
    "the goal never happened": (never, lambda e: e, "409", "met the goal"),
    "the goal's kind is not there": (
        SHOP, lambda e: e.filter(pc.field("event") != "purchase"), "100", "no event is of kind 'purchase' (0 of "
    ),
    "everyone did it": (SHOP, lambda _: regulars(40, 0), "413", "All of 40 eligible profiles met the goal"),
    "too few did it": (SHOP, lambda _: regulars(19, 40), "400", "19 profiles met the goal"),
    "too few are there": (SHOP, lambda _: regulars(9, 10), "401", "19 profiles were eligible"),
    "history too short": (SHOP, lambda e: before(e, last_day(119)), "407", "119 days of events are there"),
    "all in the future": (SHOP, lambda e: shifted(e, 365 * 200), "411", "in the future"),
    "all before 1970": (SHOP, lambda e: shifted(e, -365 * 60), "411", "before 1970"),
    "no times": (SHOP, lambda e: _every(e, "at", lambda _: None), "411", "no time"),
    "no ids": (SHOP, lambda e: _every(e, "profile_id", lambda _: None), "411", "no profile"),
    "times that cannot be read": (SHOP, lambda e: _every(e, "at", lambda _: "soon"), "203", "such as 'soon'"),
    "times that are truths": (SHOP, lambda e: _every(e, "at", lambda _: True), "203", "is of type BOOLEAN"),
    "times that are counts": (SHOP, lambda e: _with(e, "at", range(len(e))), "203", "as a time, such as '0'"),
    "amounts that are texts": (SHOP, lambda e: _every(e, "amount", lambda _: "much"), "203", "holds text values"),
    "ids that are lists": (SHOP, lambda e: _every(e, "profile_id", lambda i: [i]), "202", "has no column 'profile_id'"),
    "a column renamed": (
        SHOP, lambda e: e.rename_columns(["profile", *e.column_names[1:]]), "202", "has no column 'profile_id'"
    ),
    "a column missing": (SHOP, lambda e: e.drop(["amount"]), "202", "no column 'amount' for the role 'value'"),
    "a column twice": (
        SHOP, lambda e: e.rename_columns([*e.column_names[:-1], "at"]), "201", "has columns of one name: 'at'"
    ),
    "no columns": (SHOP, lambda e: e.select([]), "201", "The table 'events' has no columns."),
    "no table": (SHOP, lambda _: 5, "201", "of type int cannot be read"),
    "a path to nothing": (SHOP, lambda _: "nowhere/events.csv", "200", "events.csv' is not there."),
    "an unknown column in a condition": (
        instance(events={"buy": {"is": "purchase", "where": {"amout": {"gt": 5}}}}),
        lambda e: e,
        "100",
        "there is no column 'amout'; columns are: amount (number), category (text) Did you mean 'amount'?",
    ),
    "an operator that does not fit": (
        instance(events={"buy": {"is": "purchase", "where": {"category": {"gt": 5}}}}),
        lambda e: e, "100", "column 'category' holds texts; gt with a number needs numbers",
    ),
    "a condition with a sign that no data have": (
        instance(events={"buy": {"is": "purchase", "where": {"category": {"eq": "a\x00b"}}}}),
        lambda e: e, "100", "has a character that no text in data can have",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused(case: str, events: pa.Table) -> None:
    document, make, number, message = REFUSED[case]
    code, said = _verdict(document, make(events))
    assert code == f"PROPEND-{number}", said
    assert message in said


@pytest.mark.parametrize("given", [None, 5, [1], b"a.yaml"])
def test_what_is_no_instance(given: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="a path, a mapping or an Instance is needed, not"):
        propend.check(given)


@pytest.mark.parametrize("given", ["yesterday", "2024-13-01", "", 5])
def test_what_is_no_date(given: Any, events: pa.Table) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"--as-of: .* is not a date such as 2011-08-01"):
        propend.check(SHOP, data=events, as_of=given)


def test_a_date_before_everything(events: pa.Table) -> None:
    with pytest.raises(errors.NoInputDataError, match=f"{len(events):,} after as of") as caught:
        propend.check(SHOP, data=events, as_of="2001-01-01")
    assert caught.value.hint == "name a later date: nothing at or after --as-of is read."


# --- set aside, or taken as it is ---------------------------------------------------------------------------


def _aside(data: Any, document: dict[str, Any] = SHOP) -> dict[str, int]:
    found = propend.check(document, data=data).document
    assert found["counts"]["events_read"] == found["counts"]["events_used"] + sum(found["counts"]["set_aside"].values())
    return {reason: n for reason, n in found["counts"]["set_aside"].items() if n}


def test_bad_rows_among_good_ones_are_set_aside_and_counted(events: pa.Table) -> None:
    third = (len(events) + 2) // 3
    assert _aside(_some(events, "profile_id", None)) == {"no_profile": third}
    assert _aside(_some(events, "profile_id", "")) == {"no_profile": third}
    assert _aside(_some(events, "at", None)) == {"no_time": third}
    texts = _every(events, "at", lambda at: at.isoformat())
    assert _aside(_some(texts, "at", "soon")) == {"unparsable_time": third}
    assert _aside(_some(texts, "at", "2999-01-01")) == {"in_the_future": third}
    assert _aside(_some(texts, "at", "1066-10-14")) == {"before_1970": third}


def test_many_rows_set_aside_are_a_warning(events: pa.Table) -> None:
    found = propend.check(SHOP, data=_some(events, "at", None)).document
    (warning,) = [w for w in found["warnings"] if w["symbol"] == "ROWS_SET_ASIDE"]
    assert "without a time" in warning["message"]


def test_an_id_seen_before_counts_once(events: pa.Table) -> None:
    ids = events.append_column("_id", pa.array([f"e{i}" for i in range(len(events))]))
    assert _aside(pa.concat_tables([ids, ids.slice(0, 50)])) == {"duplicate": 50}


def test_rows_cut_short_are_a_warning(events: pa.Table, tmp_path: Path) -> None:
    pa.csv.write_csv(events.drop(["category"]), tmp_path / "a.csv")
    text = (tmp_path / "a.csv").read_text()
    (tmp_path / "a.csv").write_text(text[: text.rstrip().rfind(",")])
    found = propend.check(SHOP, data=tmp_path / "a.csv").document
    assert "1 row ends before the last column" in " ".join(w["message"] for w in found["warnings"])


def test_times_of_several_zones_are_one_clock(events: pa.Table, tmp_path: Path) -> None:
    forms = [lambda at: at.isoformat(), lambda at: f"{at:%Y-%m-%d %H:%M:%S}", lambda at: f"{at:%Y-%m-%dT%H:%M:%SZ}"]
    given = [forms[i % 3](at) for i, at in enumerate(events["at"].to_pylist())]
    documents = [propend.check(SHOP, data=data).document for data in (events, _with(events, "at", given))]
    assert documents[0]["timeline"] == documents[1]["timeline"]
    assert documents[0]["examples"] == documents[1]["examples"]


def test_one_kind_of_event_is_enough_where_it_carries_values(events: pa.Table) -> None:
    assert _verdict(SHOP, events.filter(pc.field("event") == "purchase")) == ("", "")


NUMBERS: dict[str, Callable[[int], float]] = {
    "negative": lambda i: -float(i),
    "not a number": lambda _: np.nan,
    "infinite": lambda i: np.inf if i % 2 else -np.inf,
    "as large as can be": lambda i: 1.797e308 if i % 3 else -1.797e308,
    "as small as can be": lambda i: 5e-324 if i % 2 else 1e-310,
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_at_the_edge_of_what_is_a_number(name: str, events: pa.Table) -> None:
    assert _verdict(SHOP, _with(events, "amount", [NUMBERS[name](i) for i in range(len(events))])) == ("", "")


def test_a_run_on_the_strangest_data_is_a_run_like_others(events: pa.Table, tmp_path: Path) -> None:
    """Huge and infinite amounts; ids and categories of 10,000 signs, with NUL, other scripts and markup."""
    amounts = [(1e300, -1e300, np.inf, 5.0, None)[i % 5] for i in range(len(events))]
    strange = ["\x00é🙂", "<script>", "x" * 10_000]
    long = {"p0001": "x" * 10_000, "p0002": "x" * 9_999 + "y"}
    table = _every(_with(events, "amount", amounts), "profile_id", lambda i: f"\x00é<b>{i}{long.get(i, '')}")
    table = _with(table, "category", [strange[i % 3] for i in range(len(events))])
    finished = propend.run(SHOP, data=table, out=tmp_path / "run")
    scores = finished.scores.to_pydict()
    assert set(scores["profile_id"]) <= set(table["profile_id"].to_pylist())
    assert len(scores["profile_id"]) == finished.record["counts"]["population"] > 100
    assert all(0 < p < 1 for p in scores["probability"])
    assert finished.explain(scores["profile_id"][0])["score"] == scores["score"][0]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert ("é&lt;b&gt;p" in page, "é<b>p" in page) == (True, False)
    json.dumps([finished.record, finished.evaluation, finished.insights], allow_nan=False)


def test_a_column_that_the_model_needs_is_gone(model: Path, events: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match="there is no column 'category'"):
        propend.score(model, data=events.drop(["category"]), out=tmp_path / "scores")
    assert list(tmp_path.iterdir()) == []


# --- the command line ---------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, events: pa.Table) -> Path:
    """A folder with events and a document."""
    pq.write_table(events, tmp_path / "events.parquet")
    _write(tmp_path / "shop.yaml", SHOP["data"])
    return tmp_path


def _write(path: Path, data: dict[str, Any], **changes: Any) -> None:
    path.write_text(yaml.safe_dump(instance(data={"events": "events.parquet"} | data, **changes), sort_keys=False))


def _listing(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def _propend(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    """Exit status and what was written, after a look that no traceback was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["propend", *map(str, arguments)])
        patch.delenv("PROPEND_DEBUG", raising=False)
        with pytest.raises(SystemExit) as left:
            cli.main()
            raise SystemExit(0)
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return int(left.value.code or 0), out, err


SPOILT: dict[str, tuple[str, Callable[[bytes], bytes], int, str]] = {
    "empty Parquet": ("events.parquet", lambda _: b"", 2, "'events.parquet' is empty."),
    "truncated Parquet": ("events.parquet", lambda whole: whole[:-100], 2, "begins as Parquet and breaks off after"),
    "damaged Parquet": ("events.parquet", lambda whole: whole[:100] + b"\xff" * 400 + whole[500:], 2, "cannot be read"),
    "no Parquet": ("events.parquet", lambda _: b"a,b\n", 2, "is named as Parquet and is not"),
    "header twice": ("a.csv", lambda _: b"profile_id,at,event,amount,at\n", 2, "names the column 'at' twice"),
    "only a header": ("a.csv", lambda _: b"profile_id,at,event,amount\n", 3, "There are no rows in"),
    "too many fields": (
        "a.csv", lambda _: b"profile_id,at,event,amount\na,b,c,d,e\n", 2, "has more fields than the header"
    ),
    "an open quote": (
        "a.csv", lambda _: b'profile_id,at,event,amount\na,"b,c,d\n', 2, "has a quote that is not closed"
    ),
    "a workbook": ("a.xlsx", lambda _: b"PK\x03\x04", 2, "is a ZIP archive or an Excel workbook"),
    "broken JSON": ("a.jsonl", lambda _: b'{"profile_id": "a', 2, "a.jsonl' cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_file_is_a_status_and_a_hint(case: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, spoil, status, message = SPOILT[case]
    path = home / name
    path.write_bytes(spoil((home / "events.parquet").read_bytes()))
    left = _listing(home)
    found, out, err = _propend(capsys, "run", home / "shop.yaml", "--data", path, "--out", home / "new" / "run")
    assert (found, out) == (status, "")
    assert message in err
    assert "\nHint: " in err
    assert _listing(home) == left


def test_refusals_have_the_status_of_their_class(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(shop(400, 200, seed=11, spread=0.0), home / "noise.parquet")
    _write(home / "never.yaml", SHOP["data"], events={"buy": {"is": "purchase", "where": "amount > 1e9"}})
    left = _listing(home)
    assert [
        _propend(capsys, "run", home / "shop.yaml", "--out", home / "out", *more)[0]
        for more in (
            ("--as-of", "soon"),
            ("--as-of", "2022-02-01"),
            ("--data", home / "noise.parquet"),
            ("--memory", "1MB"),
            ("--memory", "much"),
            ("--engine", "abacus"),
        )
    ] == [2, 3, 4, 1, 2, 2]
    assert _propend(capsys, "check", home / "never.yaml")[0] == 3
    assert _listing(home) == left


def test_a_run_without_a_folder_leaves_no_empty_ones(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left = _listing(home)
    assert _propend(capsys, "run", home / "shop.yaml", "--as-of", "2022-02-01")[0] == 3
    assert _listing(home) == left


def test_a_refusal_as_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = _propend(capsys, "check", home / "shop.yaml", "--data", home / "event.parquet", "--json")
    assert json.loads(out)["error"]["code"] == "PROPEND-200"
    assert "did you mean 'events.parquet'?" in err


FIVE = """\
name: Five
data: {events: events.parquet, fields: [categry]}
events:
  buy: {is: purchse}
  big: {is: purchase, where: {amout: {gt: 5}}}
goal:
  any_of: [buyy]
  within: 30d
options: {bucketts: [20, 80]}
"""
COLUMNS = "columns are: amount (number), category (text)"


def test_five_mistakes_of_form_and_data_are_shown_at_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "five.yaml").write_text(FIVE)
    status, _, err = _propend(capsys, "check", home / "five.yaml")
    assert status == 2
    assert "5 mistakes in five.yaml:" in err
    assert [line.strip() for line in err.splitlines() if line.startswith("  ")] == [
        "1. options.bucketts (line 9): unknown key 'bucketts'; allowed here: buckets, contributions, enrich, "
        "factors, fairness, horizons, language, lookback, minimum, quality_bar, remove_met_in_gap, schedule, seed, "
        "settle, time_zone, was_doing Did you mean 'buckets'?",
        f"2. events.buy.is (line 4): no event is of kind 'purchse' (0 of {_count(home):,} events; kinds there are: "
        f"{_kinds(home)}) Did you mean 'purchase'?",
        f"3. events.big.where.amout (line 5): there is no column 'amout'; {COLUMNS} Did you mean 'amount'?",
        "4. goal.any_of[1] (line 7): 'buyy' is neither a named event nor a kind of event; there are: buy, big "
        "Did you mean 'buy'?",
        f"5. data.fields (line 2): there is no column 'categry'; {COLUMNS} Did you mean 'category'?",
    ]


def test_mistakes_of_data_alone_have_their_lines_too(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "four.yaml").write_text(FIVE.replace("bucketts", "buckets"))
    _, _, err = _propend(capsys, "check", home / "four.yaml")
    places = [line.strip().split(":")[0] for line in err.splitlines() if line.startswith("  ")]
    assert places == [
        "1. events.buy.is (line 4)", "2. events.big.where.amout (line 5)", "3. goal.any_of[1] (line 7)",
        "4. data.fields (line 2)",
    ]  # fmt: skip


def _count(home: Path) -> int:
    return int(pq.read_metadata(home / "events.parquet").num_rows)


def _kinds(home: Path) -> str:
    counts = pq.read_table(home / "events.parquet")["event"].value_counts().to_pylist()
    ranked = sorted(counts, key=lambda c: -c["counts"])
    return ", ".join(f"{c['values']} ({c['counts']:,})" for c in ranked)


def test_columns_that_were_guessed_are_said_with_the_reason(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(home / "guess.yaml", {"columns": {"profile": "profile_id"}})
    status, out, _ = _propend(capsys, "check", home / "guess.yaml")
    assert status == 0
    assert (
        "guessed columns: at is 'at' (a usual name); event is 'event' (a usual name); value is 'amount' (a usual name)."
        in out
    )


def test_signs_that_command_a_terminal_are_spelled_out(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = _every(pq.read_table(home / "events.parquet"), "profile_id", lambda i: f"{ESCAPE}{i}")
    pq.write_table(table, home / "events.parquet")
    _, out, _ = _propend(capsys, "check", home / "shop.yaml")
    assert ESCAPE not in out
    assert r"\x1b[2Jp0" in out


# --- what nobody expected -----------------------------------------------------------------------------------


def _broken(*_: Any, **__: Any) -> None:
    raise RuntimeError("boom\nand more")


def test_what_nobody_expected_is_a_code_and_a_hint(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(pipeline, "check", _broken)
    status, out, err = _propend(capsys, "check", home / "shop.yaml")
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        "PROPEND-1 UNEXPECTED",
        "RuntimeError: boom",
        "Hint: this is a fault of propend; PROPEND_DEBUG=1 shows where it happened, which helps to report it.",
    ]
    assert json.loads(_propend(capsys, "check", home / "shop.yaml", "--json")[1])["error"]["symbol"] == "UNEXPECTED"


def test_the_place_is_shown_to_who_asks(home: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(pipeline, "check", _broken)
    monkeypatch.setattr(sys, "argv", ["propend", "check", str(home / "shop.yaml")])
    monkeypatch.setenv("PROPEND_DEBUG", "1")
    with pytest.raises(RuntimeError, match="boom"):
        cli.main()


def test_a_terminal_that_knows_no_other_signs(home: Path, monkeypatch: Any) -> None:
    table = _every(pq.read_table(home / "events.parquet"), "profile_id", lambda i: f"é{i}")
    pq.write_table(table, home / "events.parquet")
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "argv", ["propend", "check", str(home / "shop.yaml")])
    monkeypatch.setattr(sys, "stdout", screen)
    with pytest.raises(SystemExit) as left:
        cli.main()
    screen.flush()
    assert (left.value.code, rb"\xe9p0" in screen.buffer.getvalue()) == (0, True)


# --- where results go ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "status", "message"),
    [
        ("events.parquet", 2, "'events.parquet' is a file; a folder is needed for the run."),
        (".", 2, "things that are not a run (events.parquet, shop.yaml)."),
        ("events.parquet/run", 1, "The run could not be written to 'run': "),
        ("/proc/propend/run", 1, "The run could not be written to 'run': "),
        ("x" * 300, 1, "File name too long"),
    ],
)
def test_a_folder_that_cannot_be_written(
    out: str, status: int, message: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = _listing(home)
    found, _, err = _propend(capsys, "run", home / "shop.yaml", "--out", home / out)
    assert found == status
    assert message in err
    assert _listing(home) == left


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "mine").mkdir(mode=0o500)
    status, _, err = _propend(capsys, "run", home / "shop.yaml", "--out", home / "mine" / "run")
    assert (status, "Permission denied" in err, _listing(home / "mine")) == (1, True, [])


@contextmanager
def _largest_file(size: int) -> Iterator[Callable[[], None]]:
    """No file may grow beyond a size, from the call on: what a full disk does to whoever writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 20_000, 100_000])
def test_a_disk_that_is_full_when_results_are_written(size: int, model: Path, events: pa.Table, tmp_path: Path) -> None:
    kept = propend.score(model, data=events, out=tmp_path / "scores")
    with _largest_file(size) as fill:

        def progress(stage: str) -> None:
            if stage == "write":
                fill()

        with pytest.raises(errors.WriteFailedError, match=r"could not be written to .*: File too large"):
            propend.score(model, data=events, out=tmp_path / "scores", progress=progress)
    assert [p.name for p in tmp_path.iterdir()] == ["scores"]
    assert propend.Run.load(tmp_path / "scores").record["run_id"] == kept.record["run_id"]


@pytest.mark.parametrize("size", [4_096, 50_000])
def test_a_disk_that_is_full_while_data_are_read(size: int, events: pa.Table, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    pa.csv.write_csv(events, tmp_path / "events.csv")
    with _largest_file(size) as fill, pytest.raises(errors.NotEnoughMemoryError, match="ran out of memory or disk"):
        fill()
        propend.run(SHOP, data=tmp_path / "events.csv", out=tmp_path / "new" / "run")
    assert _listing(tmp_path) == ["events.csv", "temporary"]


def test_a_disk_that_is_full_while_a_file_is_rewritten(events: pa.Table, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_bytes(
        ("profile_id,at,event,amount\n" + "é,2024-01-01,a,1\n" * 9000).encode("utf-16")
    )
    with (
        _largest_file(30_000) as fill,
        pytest.raises(errors.NotEnoughMemoryError, match="could not be rewritten as UTF-8"),
    ):
        fill()
        propend.check(SHOP, data=tmp_path / "events.csv")


def test_a_temporary_folder_that_is_not_there(events: pa.Table, monkeypatch: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with pytest.raises(errors.NotEnoughMemoryError, match=r"The temporary folder '/nowhere.*' cannot be written"):
        propend.check(SHOP, data=events)


# --- killed -------------------------------------------------------------------------------------------------

KILLED = """
import sys, time
import pyarrow.parquet as pq
import propend
from propend.report import Report

def wait(*_):
    print("half written", flush=True)
    time.sleep(600)

Report.save = wait
propend.score(sys.argv[1], data=pq.read_table(sys.argv[2]), out=sys.argv[3])
"""


@pytest.mark.parametrize("earlier", [False, True])
def test_killed_half_way_it_leaves_nothing_to_see(
    earlier: bool, model: Path, events: pa.Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, out = tmp_path / "home", tmp_path / "home" / "scores"
    home.mkdir()
    pq.write_table(events, tmp_path / "events.parquet")
    before_it = [propend.score(model, data=events, out=out).record["run_id"]] if earlier else []
    command = [sys.executable, "-c", KILLED, str(model), str(tmp_path / "events.parquet"), str(out)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)}
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "half written\n"
        child.send_signal(signal.SIGKILL)
    assert [p.name for p in home.iterdir() if not p.name.endswith(".tmp")] == ["scores"] * earlier
    assert _runs(home, capsys) == before_it
    finished = propend.score(model, data=events, out=out)
    assert _runs(home, capsys) == [finished.record["run_id"]]


def _runs(home: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Runs that ``propend list`` shows."""
    status, out, _ = _propend(capsys, "list", home, "--json")
    assert status == 0
    return [run["run_id"] for run in json.loads(out)["runs"]]
