"""Labels: what is labelled is no feature, is named nowhere, and is refused where its policy says so."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import propend
from propend import pipeline
from propend.errors import ConfigurationError, PolicyError
from propend.instance import Instance
from propend.labels import gate_policies, kept_out, violations
from propend.protection import Policies, Protection
from propend.workspace import Workspace
from shops import PROFILES, SHOP, shop
from workspaces import document, made

RELIGIONS = np.array(["qarvism", "zelmism", "trovism"], dtype=object)
TONES = np.array(["tone-krell", "tone-vosk"], dtype=object)


def events() -> pa.Table:
    """A shop whose events also say something that nobody should be judged by, and which tells who buys."""
    table = shop()
    buys = np.array(table.column("event").to_pylist()) == "purchase"
    buyers = {p for p, b in zip(table.column("profile_id").to_pylist(), buys, strict=True) if b}
    told = [TONES[0] if p in buyers else TONES[1] for p in table.column("profile_id").to_pylist()]
    return table.append_column("tone", pa.array(told, pa.string()))


def attributes(path: Path) -> dict[str, Any]:
    """A table of facts beside the events."""
    ids = [f"p{i:04d}" for i in range(PROFILES)]
    random = np.random.default_rng(1)
    table = {
        "profile_id": ids,
        "religion": RELIGIONS[random.integers(0, 3, PROFILES)].tolist(),
        "region": random.choice(["north", "south"], PROFILES).tolist(),
        "mail": [f"{i}@example.org" for i in ids],
    }
    pq.write_table(pa.table(table), path)
    return {"path": str(path), "profile": "profile_id", "constant": True}


def labelled(labels: dict[str, Any], **changes: Any) -> dict[str, Any]:
    found = copy.deepcopy(SHOP) | changes
    found["data"] = found["data"] | {"labels": labels}
    return found


SENSITIVE_GOAL = labelled({"tone": "sensitive"}, events={"buy": {"is": "purchase", "where": {"tone": TONES[0]}}})


# --- documents ------------------------------------------------------------------------------------------------


def test_labels_are_read_one_or_many_and_written_back() -> None:
    found = Instance.load(labelled({"tone": "sensitive", "mail": ["identifier", "no-data-science"]}))
    assert found.data.labels == {"tone": ("sensitive",), "mail": ("identifier", "no-data-science")}
    assert Instance.load(found.document()) == found
    assert found.training_hash != Instance.load(SHOP).training_hash
    with pytest.raises(ConfigurationError, match=r"data\.labels\.tone"):
        Instance.load(labelled({"tone": "secret"}))


def test_policies_say_what_may_be_done() -> None:
    policies = Policies.model_validate({"sensitive": {"features": "allow"}, "no-data-science": {"goals": "allow"}})
    assert policies.of("sensitive").fairness == "allow"
    assert policies.of("no-data-science").goals == "allow"
    given = Instance.load(labelled({"a": "sensitive", "b": "identifier", "c": ["sensitive", "no-data-science"]}))
    assert kept_out(given, policies) == {"b": "identifier", "c": "no-data-science"}
    assert set(kept_out(given, Policies())) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("changes", "place", "policy"),
    [
        ({"events": {"buy": {"is": "purchase", "where": {"x": 1}}}}, "events.buy.where.x", "goals"),
        ({"goal": {"all_of": [{"sum": "buy.x", "gte": 5}], "within": "30d"}}, "goal", "goals"),
        ({"eligible": {"all_of": [{"count_distinct": "buy.x", "gte": 5}]}}, "eligible", "goals"),
        ({"options": {"fairness": ["x"]}}, "options.fairness[1]", "fairness"),
    ],
)
@pytest.mark.parametrize("label", ["identifier", "no-data-science", "sensitive"])
def test_every_use_is_found_with_its_place_and_policy(
    changes: dict[str, Any], place: str, policy: str, label: str
) -> None:
    given = Instance.load(labelled({"x": label}, **changes))
    found = violations(given, Policies())
    if (label, policy) == ("sensitive", "fairness"):
        assert found == []
        return
    assert found == [{"place": place, "column": "x", "label": label, "policy": f"policies.{label}.{policy}"}]
    with pytest.raises(PolicyError) as caught:
        gate_policies(given, Policies())
    assert caught.value.facts["violations"] == found
    assert all(word in caught.value.message for word in (place, label, f"policies.{label}.{policy}"))


def test_fields_that_are_named_are_refused_only_where_the_policy_says_so() -> None:
    given = labelled({"tone": "sensitive"})
    given["data"] |= {"fields": ["category", "tone"]}
    assert violations(Instance.load(given), Policies()) == []
    strict = Policies.model_validate({"sensitive": {"features": "refuse"}})
    assert [v["place"] for v in violations(Instance.load(given), strict)] == ["data.fields[2]"]


# --- runs -----------------------------------------------------------------------------------------------------


def test_what_is_labelled_is_no_feature_and_is_said_nowhere(tmp_path: Path) -> None:
    """Although it would tell more than anything else."""
    given = labelled({"tone": "sensitive", "religion": ["sensitive", "no-data-science"], "mail": "identifier"})
    given["data"] |= {"attributes": attributes(tmp_path / "facts.parquet")}
    run = propend.run(given, data=events(), out=tmp_path / "run")
    model = (run.folder / "model" / "model.json").read_text(encoding="utf-8")
    plan = json.loads(model)["plan"]
    assert {f["field"] for f in plan["features"]} & {"tone", "religion", "mail"} == set()
    dropped = {d["feature"]: d["reason"] for d in run.record["model"]["features_dropped"]}
    assert {name: dropped[name] for name in ("tone", "religion", "mail")} == {
        "tone": "labelled sensitive", "religion": "labelled sensitive", "mail": "labelled identifier"
    }  # fmt: skip
    scores = json.dumps(run.scores.to_pylist(), default=str)
    texts = [p.read_text(encoding="utf-8") for p in (*run.folder.glob("*.json"), run.folder / "report.html")]
    for value in (*RELIGIONS, *TONES, "@example.org"):
        assert [t for t in (model, scores, *texts) if value in t] == []
    assert "region" in model  # what carries no label is one


def test_without_the_label_it_would_be_a_feature(tmp_path: Path) -> None:
    found = propend.run(copy.deepcopy(SHOP), data=events(), out=tmp_path / "run")
    assert "tone" in (found.folder / "model" / "model.json").read_text(encoding="utf-8")


def test_policies_may_allow_features(tmp_path: Path) -> None:
    allowing = Protection(Policies.model_validate({"sensitive": {"features": "allow"}}))
    found = pipeline.run(labelled({"tone": "sensitive"}), data=events(), out=tmp_path / "run", protection=allowing)
    assert "tone" in (found.folder / "model" / "model.json").read_text(encoding="utf-8")


def test_sensitive_columns_are_what_groups_are_compared_by(tmp_path: Path) -> None:
    given = labelled({"religion": "sensitive"}, options={"fairness": ["religion"]})
    given["data"] |= {"attributes": attributes(tmp_path / "facts.parquet")}
    run = propend.run(given, data=events(), out=tmp_path / "run")
    assert {g["group"] for g in run.evaluation["fairness"][0]["groups"]} >= set(RELIGIONS)


@pytest.mark.parametrize("verb", ["check", "run"])
def test_a_labelled_field_in_a_goal_is_refused_before_data_are_read(verb: str, tmp_path: Path) -> None:
    """T32."""
    with pytest.raises(PolicyError) as caught:
        getattr(pipeline, verb)(SENSITIVE_GOAL, data=tmp_path / "nowhere.parquet")
    assert caught.value.facts["violations"][0]["policy"] == "policies.sensitive.goals"


def test_labels_of_columns_that_are_nowhere_are_mistakes(tmp_path: Path) -> None:
    given = labelled({"tones": "sensitive", "religon": "sensitive", "category": "no-data-science"})
    given["data"] |= {"attributes": attributes(tmp_path / "facts.parquet")}
    with pytest.raises(ConfigurationError) as caught:
        pipeline.check(given, data=events())
    found = [(m.place, m.nearest) for m in caught.value.mistakes]
    assert found == [("data.labels.tones", "tone"), ("data.labels.religon", "religion")]


def test_a_column_that_every_feature_goes_by_cannot_be_kept_out() -> None:
    given = labelled({"amount": "sensitive", "profile_id": "identifier"})
    with pytest.raises(ConfigurationError) as caught:
        pipeline.check(given, data=events())
    assert [m.place for m in caught.value.mistakes] == ["data.labels.amount"]


def test_a_labelled_column_is_not_guessed_to_be_the_value(tmp_path: Path) -> None:
    given = labelled({"amount": "sensitive"})
    given["data"]["columns"] = {k: v for k, v in given["data"]["columns"].items() if k != "value"}
    run = propend.run(given, data=events(), out=tmp_path / "run")
    assert "value" not in run.record["data"]["columns"]
    assert {"feature": "amount", "reason": "labelled sensitive"} in run.record["model"]["features_dropped"]
    plan = json.loads((run.folder / "model" / "model.json").read_text(encoding="utf-8"))["plan"]
    assert [f["name"] for f in plan["features"] if "amount" in f["name"] or f["unit"] == "money"] == []


def test_in_a_workspace_submitting_is_blocked_unless_its_settings_allow(tmp_path: Path) -> None:
    """T32 again: neither a new instance, nor an edited file, nor a version that was fine once is run."""
    home = made(tmp_path / "shop")
    pq.write_table(events(), home / "events.parquet")
    bad = document() | {"events": SENSITIVE_GOAL["events"]}
    bad["data"]["labels"] = {"tone": ["sensitive"]}
    with_policy = '[policies.sensitive]\ngoals = "allow"\n'
    workspace = Workspace.open(home)
    with pytest.raises(PolicyError):
        workspace.instances.create(bad)
    (home / "instances").mkdir(exist_ok=True)
    (home / "instances" / "edited.yaml").write_text(Instance.load(bad).to_yaml(), encoding="utf-8")
    workspace.refresh()
    assert isinstance(workspace.problems["edited"], PolicyError)
    workspace.close()
    (home / "propend.toml").write_text(with_policy, encoding="utf-8")
    workspace = Workspace.open(home)
    assert workspace.problems == {}
    workspace.runs.cancel(workspace.runs.start("edited").id)
    workspace.close()
    (home / "propend.toml").write_text("", encoding="utf-8")
    workspace = Workspace.open(home)
    with pytest.raises(PolicyError, match=r"policies\.sensitive\.goals"):
        workspace.runs.start("edited")
    workspace.close()
