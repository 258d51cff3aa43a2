"""Attributes beside the scores of a run: as of scoring, of nobody who is protected, and found by look-ups."""

from __future__ import annotations

import copy
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import propend
from propend.protection import Policies, Protection
from propend.segments import Rule
from propend.server.serving import Serving
from propend.server.shapes import HeldScoreOut
from propend.store.erasure import Erased, erase, exactly
from propend.store.runs import GROUP_ROWS, read_features
from propend.workspace import Workspace
from propend.workspace.dispatch import follow
from propend.workspace.score_file import ScoreFile
from shops import PROFILES, SHOP, shop
from workspaces import document, made

IDS = [f"p{i:04d}" for i in range(PROFILES)]
BEFORE, LATER, NEVER = datetime(2022, 2, 1), datetime(2022, 6, 1), datetime(2023, 6, 1)


def people() -> pa.Table:
    """What holds of everybody, nobody knows since when."""
    random = np.random.default_rng(1)
    return pa.table({
        "profile_id": IDS,
        "country": random.choice(["DE", "FR", None], PROFILES),
        "seats": [None if n == 0 else float(n) for n in random.integers(0, 9, PROFILES)],
        "vip": random.random(PROFILES) < 0.3,
        "joined": pa.array([date(2021, 1, 1 + int(d)) for d in random.integers(0, 28, PROFILES)]),
        "faith": random.choice(["qarvism", "zelmism"], PROFILES),
        "mail": [f"{i}@example.org" for i in IDS],
    })  # fmt: skip


def plans() -> pa.Table:
    """What changes: of the first half twice before the run, and of all after it."""
    half, random = PROFILES // 2, np.random.default_rng(2)
    at = [BEFORE] * half + [LATER] * half + [NEVER] * PROFILES
    ids = IDS[:half] * 2 + IDS
    return pa.table({
        "profile_id": ids, "since": pa.array(at, pa.timestamp("us")),
        "plan": [*random.choice(["free", "pro"], 2 * half), *["late"] * PROFILES], "country": ["DE"] * len(ids),
    })  # fmt: skip


def given(folder: Path, *tables: str, **more: Any) -> dict[str, Any]:
    """The shop's document with some tables of attributes."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(people(), folder / "people.parquet")
    pq.write_table(plans(), folder / "plans.parquet")
    known = {"people": {"path": "people.parquet"}, "plans": {"path": "plans.parquet", "effective": "since"}}
    found = copy.deepcopy(SHOP)
    found["data"] |= {"attributes": [known[name] for name in tables], "folder": str(folder), **more}
    return found


def test_a_run_keeps_what_is_known_of_everybody_as_of_scoring(tmp_path: Path) -> None:
    run = propend.run(given(tmp_path, "people", "plans"), data=shop(), out=tmp_path / "run")
    table = pq.read_table(run.folder / "attributes.parquet")
    ids = run.scores.column("profile_id").to_pylist()
    place = {profile_id: i for i, profile_id in enumerate(IDS)}
    undated, dated = people().to_pylist(), {row["profile_id"]: row for row in plans().to_pylist()[:PROFILES]}
    wanted = [
        {
            "profile_id": i, "attribute__plan": dated[i]["plan"] if i in dated else None,
            "attribute__country": "DE" if i in dated else None,
            "attribute__people.country": undated[place[i]]["country"], "attribute__seats": undated[place[i]]["seats"],
            "attribute__vip": undated[place[i]]["vip"], "attribute__faith": undated[place[i]]["faith"],
            "attribute__joined": datetime.combine(undated[place[i]]["joined"], datetime.min.time()),
        }
        for i in ids
    ]  # fmt: skip
    assert sorted(table.column_names) == sorted(wanted[0])  # and no addresses, which are everybody's own
    assert table.select(list(wanted[0])).to_pylist() == wanted
    assert sorted(run.record["attributes"]) == sorted(n.removeprefix("attribute__") for n in table.column_names[1:])
    assert pq.read_metadata(run.folder / "attributes.parquet").row_group(0).num_rows == min(len(ids), GROUP_ROWS)
    features = {f.field for f in read_features(run.folder / "model").values() if f.name.startswith("attribute")}
    assert features == {"plan", "country"}


def test_what_nobody_learns_from_changes_no_score(tmp_path: Path) -> None:
    one = propend.run(given(tmp_path / "a", "plans"), data=shop(), out=tmp_path / "one")
    other = propend.run(given(tmp_path / "b", "people", "plans"), data=shop(), out=tmp_path / "other")
    assert other.scores.drop_columns(["run_id"]) == one.scores.drop_columns(["run_id"])
    assert other.evaluation == one.evaluation
    again = propend.score(tmp_path / "other", data=shop(), out=tmp_path / "again")
    table = pq.read_table(other.folder / "attributes.parquet")
    assert pq.read_table(again.folder / "attributes.parquet") == table


@pytest.mark.parametrize("protected", ["label", "fairness", "consent"])
def test_what_may_not_be_used_is_not_kept(tmp_path: Path, protected: str) -> None:
    asked = given(tmp_path, "people")
    if protected == "label":
        asked["data"]["labels"] = {"faith": "sensitive"}
    elif protected == "fairness":
        asked["options"] = {"fairness": ["faith"]}
    else:
        asked["data"]["consent"] = {"column": "faith", "given": ["qarvism", "zelmism"]}
    run = propend.run(asked, data=shop(), out=tmp_path / "run")
    assert "attribute__faith" not in pq.read_schema(run.folder / "attributes.parquet").names
    assert "faith" not in run.record["attributes"]
    if protected == "label":
        allowed = Protection(Policies.model_validate({"sensitive": {"features": "allow"}}))
        again = propend.score(run.folder, data=shop(), out=tmp_path / "again", protection=allowed)
        assert "faith" in again.record["attributes"]


def test_without_attributes_there_is_no_file(tmp_path: Path) -> None:
    run = propend.run(SHOP, data=shop(), out=tmp_path / "run")
    assert not (run.folder / "attributes.parquet").exists()
    assert run.record["attributes"] == []
    assert ScoreFile.open(run.folder).known.attributes == {}


def test_who_is_forgotten_is_in_no_attributes(tmp_path: Path) -> None:
    run = propend.run(given(tmp_path, "people"), data=shop(), out=tmp_path / "run")
    one = run.scores.column("profile_id")[5].as_py()
    n = run.scores.num_rows
    found = erase(run.folder, exactly(one))
    assert (found.rows, pq.read_table(run.folder / "attributes.parquet").num_rows) == (3, n - 1)
    assert one not in pq.read_table(run.folder / "attributes.parquet").column("profile_id").to_pylist()
    assert erase(run.folder, exactly(one)) == Erased()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One that has run twice: an instance with attributes, and one without."""
    home = made(tmp_path_factory.mktemp("attributes") / "shop")
    pq.write_table(people(), home / "people.parquet")
    found = Workspace.open(home)
    with_people = document("Buyers")
    with_people["data"]["attributes"] = {"path": "../people.parquet"}
    for asked in (with_people, document("Others")):
        run = found.runs.start(found.instances.create(asked).id)
        assert follow(found, run.id, lambda _run: None).state == "succeeded"
    return found


def test_look_ups_show_attributes_and_rules_find_by_them(workspace: Workspace) -> None:
    serving = Serving(workspace)
    scores = serving.of("buyers")
    table = pq.read_table(scores.path.parent / "attributes.parquet").to_pylist()
    wanted = {row["profile_id"] for row in table if row["attribute__country"] == "DE" and row["attribute__vip"]}
    rule = Rule.read("attribute.country = 'DE' and attribute.vip = true")
    assert set(scores.members(rule).ids.to_pylist()) == wanted
    elsewhere = serving.of("others").members(Rule.read("buyers:attribute.country = 'DE'"))
    both = set(serving.of("others").members(Rule()).ids.to_pylist())
    assert set(elsewhere.ids.to_pylist()) == both & {r["profile_id"] for r in table if r["attribute__country"] == "DE"}
    one = table[7]
    rows = serving.profiles([one["profile_id"]]).of(one["profile_id"])
    shown = {i: HeldScoreOut.model_validate(row).model_dump(mode="json")["attributes"] for i, row in rows.items()}
    assert shown["others"] is None
    assert shown["buyers"] == {
        name.removeprefix("attribute__"): value.isoformat() if isinstance(value, datetime) else value
        for name, value in one.items()
        if name != "profile_id"
    }


def test_attributes_that_an_earlier_version_kept_as_codes_are_read(workspace: Workspace) -> None:
    path = Serving(workspace).of("buyers").path.parent / "attributes.parquet"
    rule, kept = Rule.read("attribute.country = 'DE' or attribute.faith = 'qarvism'"), path.read_bytes()
    wanted = ScoreFile.open(path.parent).members(rule).ids
    table = pq.read_table(path)
    texts = [
        name for name, kind in zip(table.column_names[1:], table.schema.types[1:], strict=True) if kind == "string"
    ]
    for name in texts:
        table = table.set_column(table.column_names.index(name), name, table.column(name).dictionary_encode())
    try:
        pq.write_table(table, path, row_group_size=GROUP_ROWS)
        again = ScoreFile.open(path.parent)
        assert (len(texts), again.members(rule).ids) == (2, wanted)
        assert sorted(again.frequent("faith")) == ["qarvism", "zelmism"]
        row = table.slice(3, 1).to_pylist()[0]
        held = again.attributes_of([row["profile_id"]])[row["profile_id"]]
        assert held["faith"] == row["attribute__faith"]
    finally:
        path.write_bytes(kept)


def test_a_score_is_found_where_its_attributes_are_damaged(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    path = Serving(workspace).of("buyers").path.parent / "attributes.parquet"
    kept, one = path.read_bytes(), pq.read_table(path).column("profile_id")[3].as_py()
    serving = Serving(workspace)
    assert serving.of("buyers").known.attributes
    path.write_bytes(kept[:-2000] + b"\0" * 2000)
    try:
        for _ in range(2):
            row = serving.profiles([one]).of(one)["buyers"]
            assert (row["profile_id"], row["attributes"]) == (one, None)
    finally:
        path.write_bytes(kept)
    told = f"instance buyers: The attributes in {path.parent.name!r} cannot be read:"
    assert [r.getMessage()[: len(told)] for r in caplog.records] == [told]
