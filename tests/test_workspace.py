"""Workspaces: versions, files edited by hand, schedules, and runs through their states in real processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from postgres import databases
from propend.errors import (
    ChangedMeanwhileError,
    ConfigurationError,
    InstanceNotFoundError,
    RunCancelledError,
    RunWaitingError,
    StatusError,
    WorkspaceNotFoundError,
)
from propend.instance import Instance
from propend.store.catalog import InstanceRow, RunRow, now
from propend.store.runs import read_scores
from propend.workspace import Workspace
from propend.workspace.dispatch import Dispatcher, enqueue_due, follow, spawn
from propend.workspace.execution import NICENESS
from propend.workspace.retraining import Champion, decide
from propend.workspace.schedules import next_due
from propend.workspace.settings import RetrainingSettings, Settings, read_settings
from shops import shop, with_options
from workspaces import document, opened

UTC_ZONE, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")


@pytest.fixture
def open_shop(tmp_path: Path) -> Iterator[Callable[..., Workspace]]:
    """Opens workspaces, and closes them at the end."""
    found: list[Workspace] = []

    def opening(settings: str = "", url: str | None = None) -> Workspace:
        found.append(opened(tmp_path / "shop", settings, url))
        return found[-1]

    yield opening
    for one in found:
        one.close()


@pytest.fixture
def workspace(open_shop: Callable[..., Workspace]) -> Workspace:
    return open_shop()


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, open_shop: Callable[..., Workspace]) -> Workspace:
    """A workspace whose catalog is on either database."""
    return open_shop(url=None if request.param == "sqlite" else databases(request).new())


def quietly(_run: RunRow) -> None:
    pass


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.05)


def left(workspace: Workspace) -> set[str]:
    """What there is of runs in the folder: their folders, those being written, scratch and locks."""
    work = workspace.home / ".propend"
    found = [*work.glob("runs/*/*"), *work.glob("runs/*/.*"), *work.glob("tmp/*"), *work.glob("locks/*")]
    return {str(p.relative_to(work)) for p in found}


# --- settings -------------------------------------------------------------------------------------------------


def test_settings_have_defaults_and_tell_all_mistakes(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceNotFoundError, match=r"has no propend\.toml"):
        read_settings(tmp_path)
    path = tmp_path / "propend.toml"
    path.write_text("")
    assert read_settings(tmp_path) == Settings()
    path.write_text('[runs]\nat_once = 0\nmemroy = "2GB"\n[retraining]\nmargin = 2\n')
    with pytest.raises(ConfigurationError) as refused:
        read_settings(tmp_path)
    assert [m.place for m in refused.value.mistakes] == ["runs.at_once", "runs.memroy", "retraining.margin"]
    assert refused.value.mistakes[1].nearest == "memory"
    path.write_text("[runs\n")
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        read_settings(tmp_path)


# --- instances and versions ---------------------------------------------------------------------------------


def test_an_edit_is_a_new_version_and_the_file_says_the_same(either: Workspace) -> None:
    instances = either.instances
    made_one = instances.create(document(), "ana")
    assert (made_one.id, made_one.version, made_one.status) == ("buyers", 1, "enabled")
    path = either.home / "instances" / "buyers.yaml"
    assert Instance.load(path).document() == instances.version("buyers").document
    edited = instances.edit("buyers", document(minimum=50), "bo", expected=1)
    assert edited.version == 2
    assert Instance.load(path).options.minimum == 50
    assert instances.edit("buyers", document(minimum=50), "bo").version == 2  # nothing changed
    assert [(d.place, d.before, d.after) for d in instances.differences("buyers", 1, 2)] == [
        ("options", None, {"minimum": 50})
    ]
    with pytest.raises(ChangedMeanwhileError, match="version 2; version 1 was edited"):
        instances.edit("buyers", document(minimum=60), "ana", expected=1)
    with pytest.raises(ConfigurationError):
        instances.edit("buyers", document() | {"goal": {}}, "ana")
    assert [v.number for v in instances.versions("buyers")] == [2, 1]
    with pytest.raises(InstanceNotFoundError):
        instances.version("buyers", 7)
    changes = [(a.who, a.action, a.subject) for a in either.audit.entries()]
    assert changes == [("bo", "update", "buyers"), ("ana", "create", "buyers")]


def test_a_file_edited_by_hand_is_a_new_version(workspace: Workspace) -> None:
    workspace.instances.create(document(), "ana")
    path = workspace.home / "instances" / "buyers.yaml"
    path.write_text("# for the spring\n" + Instance.load(document(minimum=77)).to_yaml())
    other = path.with_name("second one.yaml")
    other.write_text(Instance.load(document("Second")).to_yaml())
    path.with_name("broken.yaml").write_text("name: x\ngoal: 7\n")
    workspace.refresh()
    assert workspace.instances.version("buyers").document["options"] == {"minimum": 77}
    assert [(i.id, i.version) for i in workspace.instances.all()] == [("buyers", 2), ("second-one", 1)]
    assert list(workspace.problems) == ["broken"]
    path.write_text("# another comment\n" + path.read_text())
    workspace.refresh()
    assert workspace.instances.get("buyers").version == 2  # comments change nothing
    assert "# another comment" in path.read_text()


def test_names_that_are_alike_get_ids_of_their_own(workspace: Workspace) -> None:
    ids = [workspace.instances.create(document(name)).id for name in ("Buyers", "buyers!", "Büyers", "買い手")]
    assert ids == ["buyers", "buyers-2", "b-yers", "instance"]
    with pytest.raises(StatusError):
        workspace.instances.create(document(), instance_id="buyers")
    with pytest.raises(StatusError):
        workspace.instances.create(document(), instance_id="../up")


def test_drafts_are_not_run_before_they_are_published(workspace: Workspace) -> None:
    draft = workspace.instances.create_draft("Half done", {"name": "Half done", "goal": {}}, "ana")
    with pytest.raises(StatusError, match="is a draft"):
        workspace.runs.start(draft.id)
    with pytest.raises(ConfigurationError):
        workspace.instances.publish(draft.id, "ana")
    workspace.instances.save_draft(draft.id, document("Done"), "ana")
    published = workspace.instances.publish(draft.id, "ana")
    assert (published.status, published.version, published.draft, published.name) == ("enabled", 1, None, "Done")
    with pytest.raises(StatusError, match="no draft"):
        workspace.instances.publish(draft.id, "ana")
    copy = workspace.instances.clone(draft.id, "bo")
    assert (copy.status, copy.version) == ("draft", 0)
    assert Instance.load(copy.draft or {}) == Instance.load(document("Done (copy)"))


def test_a_disabled_instance_is_neither_run_nor_scheduled(workspace: Workspace) -> None:
    workspace.instances.create(document(schedule="daily"))
    assert workspace.instances.get("buyers").due_at is not None
    workspace.instances.switch("buyers", False, "ana")
    assert workspace.instances.get("buyers").due_at is None
    with pytest.raises(StatusError, match="disabled"):
        workspace.runs.start("buyers")
    workspace.instances.switch("buyers", True, "ana")
    due = workspace.instances.get("buyers").due_at
    assert due is not None
    assert due > now()
    assert [a.action for a in workspace.audit.entries()] == ["enable", "disable", "create"]


# --- schedules ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "due"),
    [
        ("daily", UTC_ZONE, "2026-03-10T03:59:59Z", "2026-03-10T04:00:00Z"),
        ("daily", UTC_ZONE, "2026-03-10T04:00:00Z", "2026-03-11T04:00:00Z"),
        ("weekly", UTC_ZONE, "2026-03-10T12:00:00Z", "2026-03-16T04:00:00Z"),  # the next Monday
        ("monthly", UTC_ZONE, "2026-01-31T12:00:00Z", "2026-02-01T04:00:00Z"),
        ("daily", BERLIN, "2026-01-10T00:00:00Z", "2026-01-10T03:00:00Z"),
        ("daily", BERLIN, "2026-07-10T00:00:00Z", "2026-07-10T02:00:00Z"),
        ("30 2 * * *", BERLIN, "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"),  # 2:30 is skipped; 3:30 instead
        ("0 9 * * 0", UTC_ZONE, "2026-03-10T12:00:00Z", "2026-03-15T09:00:00Z"),  # 0 is Sunday
        ("0 0 13 * 5", UTC_ZONE, "2026-03-10T12:00:00Z", "2026-03-13T00:00:00Z"),  # the 13th, or a Friday
        ("0 0 1 * 5", UTC_ZONE, "2026-03-10T12:00:00Z", "2026-03-13T00:00:00Z"),
    ],
)
def test_when_an_instance_is_due(schedule: str, zone: ZoneInfo, after: str, due: str) -> None:
    assert next_due(schedule, zone, datetime.fromisoformat(after)) == datetime.fromisoformat(due)


def test_a_time_that_comes_twice_counts_once() -> None:
    """Clocks went back at 3:00 on 25 October 2026 in Berlin: 2:30 came twice."""
    after, found = datetime(2026, 10, 24, 12, tzinfo=UTC), []
    for _ in range(3):
        after = next_due("30 2 * * *", BERLIN, after)
        found.append(after)
    assert [f.astimezone(BERLIN).date().day for f in found] == [25, 26, 27]


def test_times_missed_while_nobody_looked_are_one_run(either: Workspace) -> None:
    either.instances.create(document(schedule="daily"))
    with either.catalog.writing() as session:
        session.get(InstanceRow, "buyers").due_at = now() - timedelta(days=9)  # type: ignore[union-attr]
    started = enqueue_due(either)
    assert len(started) == 1
    assert enqueue_due(either) == []
    run = either.runs.get(started[0])
    assert (run.trigger, run.asked_by, run.state) == ("schedule", "schedule", "queued")
    due = either.instances.get("buyers").due_at
    assert due is not None
    assert now() < due < now() + timedelta(days=1)
    with either.catalog.writing() as session:
        session.get(InstanceRow, "buyers").due_at = now()  # type: ignore[union-attr]
    assert enqueue_due(either) == []  # one that waits does the same


# --- what a run does ------------------------------------------------------------------------------------------


def test_what_a_run_decides_to_do() -> None:
    policy, at = RetrainingSettings(), datetime(2026, 6, 1, tzinfo=UTC)
    old = Instance.load(with_options(minimum=30))

    def kind(asked: str, new: Instance, age_days: int, *warnings: str) -> str:
        champion = Champion("r", old, at - timedelta(days=age_days), warnings)
        return decide(asked, new, champion, policy, at).kind

    assert decide("auto", old, None, policy, at).kind == "train"
    assert decide("score", old, None, policy, at).kind == "train"
    assert kind("auto", old, 1) == "score"
    assert kind("auto", old, 89) == "score"
    assert kind("auto", old, 90) == "challenge"
    assert kind("score", old, 900) == "score"
    assert kind("train", old, 1) == "challenge"
    assert kind("auto", old, 1, "PROPEND-309") == "challenge"
    assert kind("auto", old, 1, "PROPEND-300") == "score"
    assert kind("auto", Instance.load(with_options(minimum=31)), 1) == "train"
    shown = Instance.load(
        with_options(minimum=30, buckets=[10, 90], schedule="daily", language="pt") | {"name": "Other"}
    )
    assert kind("auto", shown, 1) == "score"
    assert old.presented_as(shown) == shown


def test_a_run_trains_then_scores_then_challenges(either: Workspace) -> None:
    either.instances.create(document())
    seen: list[str | None] = []
    first = follow(either, either.runs.start("buyers", by="ana").id, lambda run: seen.append(run.stage))
    assert (first.state, first.error, first.model_run) == ("succeeded", None, first.id)
    assert len({stage for stage in seen if stage}) >= 2
    assert first.summary is not None
    assert first.summary["decision"]["kind"] == "train"
    assert read_scores(either.runs.folder(first)).num_rows == first.summary["population"]
    either.instances.edit("buyers", document(buckets=[10, 90]))
    second = follow(either, either.runs.start("buyers").id, quietly)
    assert (second.state, second.model_run, second.version) == ("succeeded", first.id, 2)
    buckets = [set(read_scores(either.runs.folder(r)).column("bucket").to_pylist()) for r in (first, second)]
    assert buckets[0] == {"low", "medium", "high"}
    edges = read_scores(either.runs.folder(second)).to_pandas()
    assert set(edges[edges.bucket == "medium"].score.between(10, 90, inclusive="left")) == {True}
    third = follow(either, either.runs.start("buyers", kind="train").id, quietly)
    assert (third.state, third.model_run) == ("succeeded", first.id)
    assert third.summary is not None
    assert third.summary["challenge"]["decision"] == "keep"
    served = either.runs.serving("buyers")
    assert served is not None
    assert served.id == third.id
    assert [r.id for r in either.runs.history("buyers")] == [third.id, second.id, first.id]
    assert {name.split("/")[0] for name in left(either)} <= {"runs", "locks"}
    either.delete("buyers", "ana")
    either.refresh()
    assert left(either) == set()
    assert either.instances.all() == []
    assert not (either.home / "instances" / "buyers.yaml").exists()


def test_a_challenger_that_is_better_replaces_the_champion(workspace: Workspace) -> None:
    """The champion learnt from customers who are much alike; by now there are others, who differ far more."""
    workspace.instances.create(document())
    first = follow(workspace, workspace.runs.start("buyers", options={"as_of": "2022-06-20"}).id, quietly)
    assert first.state == "succeeded"
    pq.write_table(shop(1500, 500, seed=99, spread=2.0), workspace.home / "events.parquet")
    second = follow(workspace, workspace.runs.start("buyers", kind="train").id, quietly)
    assert second.summary is not None
    challenge = second.summary["challenge"]
    assert (second.state, challenge["decision"], second.model_run) == ("succeeded", "promote", second.id)
    assert challenge["saving"]["low"] > 0
    assert workspace.instances.get("buyers").champion == second.id
    third = follow(workspace, workspace.runs.start("buyers").id, quietly)
    assert (third.state, third.model_run) == ("succeeded", second.id)


def test_a_refused_run_keeps_the_scores_before_it(workspace: Workspace) -> None:
    workspace.instances.create(document())
    first = follow(workspace, workspace.runs.start("buyers").id, quietly)
    workspace.instances.edit("buyers", document(minimum=100_000))
    second = follow(workspace, workspace.runs.start("buyers").id, quietly)
    assert second.state == "failed"
    assert second.error is not None
    assert second.error["code"] in ("PROPEND-400", "PROPEND-401")
    served = workspace.runs.serving("buyers")
    assert served is not None
    assert served.id == first.id
    assert not workspace.runs.folder(second).exists()


# --- waiting, cancelling, dying -----------------------------------------------------------------------------


def test_one_run_of_an_instance_may_wait(either: Workspace) -> None:
    either.instances.create(document())
    first = either.runs.start("buyers")
    with pytest.raises(RunWaitingError, match=first.id):
        either.runs.start("buyers")
    with either.runs.lock(first.id) as free:
        assert free
        assert either.runs.claim(first.id, 1) is not None
        assert either.runs.claim(first.id, 2) is None
        second = either.runs.start("buyers")
        assert either.runs.next_waiting() is None  # the first is executed
        assert either.runs.claim(second.id, 3) is None
        assert either.runs.reap() == []
    assert either.runs.reap() == [first.id]
    assert either.runs.get(first.id).state == "interrupted"
    waiting = either.runs.next_waiting()
    assert waiting is not None
    assert waiting.id == second.id
    assert either.runs.cancel(second.id, "ana").state == "cancelled"
    with pytest.raises(StatusError, match="cancelled"):
        either.runs.cancel(second.id, "ana")


def test_so_many_runs_at_once_as_the_settings_say(open_shop: Callable[..., Workspace]) -> None:
    workspace = open_shop("[runs]\nat_once = 2\n")
    for name in ("a", "b", "c"):
        workspace.instances.create(document(name))
    ids = [workspace.runs.start(name).id for name in ("a", "b", "c")]
    assert [workspace.runs.claim(i, 1) is not None for i in ids] == [True, True, False]


def test_what_has_succeeded_is_not_ended_again(workspace: Workspace) -> None:
    """The watch of a run may look just after its commit."""
    workspace.instances.create(document())
    run = follow(workspace, workspace.runs.start("buyers").id, quietly)
    assert not workspace.runs.end(run.id, "cancelled", RunCancelledError("Too late."))
    assert workspace.runs.get(run.id).state == "succeeded"
    assert read_scores(workspace.runs.folder(run)).num_rows > 0


@pytest.mark.parametrize("stage", [None, "read", "fit", "score"])
def test_a_killed_run_is_interrupted_and_leaves_nothing(workspace: Workspace, stage: str | None) -> None:
    workspace.instances.create(document())
    first = follow(workspace, workspace.runs.start("buyers").id, quietly)
    before = left(workspace)
    run = workspace.runs.start("buyers", kind="train")
    process = spawn(workspace, run.id)
    until(lambda: workspace.runs.get(run.id).state == "running" and stage in (None, workspace.runs.get(run.id).stage))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    workspace.refresh()
    ended = workspace.runs.get(run.id)
    assert ended.state == "interrupted"
    assert ended.error is not None
    assert ended.error["code"] == "PROPEND-116"
    assert left(workspace) == before - {p for p in before if p.startswith("locks/")}
    served = workspace.runs.serving("buyers")
    assert served is not None
    assert served.id == first.id


def test_a_cancelled_run_stops_within_moments(workspace: Workspace) -> None:
    workspace.instances.create(document())
    run = workspace.runs.start("buyers")
    process = spawn(workspace, run.id)
    until(lambda: workspace.runs.get(run.id).state == "running")
    priority = [os.getpriority(os.PRIO_PROCESS, p) for p in (process.pid, os.getpid())]
    assert priority[0] == min(priority[1] + NICENESS, 19)
    workspace.runs.cancel(run.id, "ana")
    process.wait(timeout=20)
    ended = workspace.runs.get(run.id)
    assert ended.state == "cancelled"
    workspace.refresh()
    assert left(workspace) == set()


def test_a_run_told_to_end_says_so(workspace: Workspace) -> None:
    workspace.instances.create(document())
    run = workspace.runs.start("buyers")
    process = spawn(workspace, run.id)
    until(lambda: workspace.runs.get(run.id).stage is not None)
    process.terminate()
    process.wait(timeout=30)
    assert workspace.runs.get(run.id).state == "interrupted"
    workspace.refresh()
    assert left(workspace) == set()


def test_a_run_within_too_little_memory_is_stopped(open_shop: Callable[..., Workspace]) -> None:
    workspace = open_shop("[runs]\nmost_memory_gb = 0.05\n")
    workspace.instances.create(document())
    run = follow(workspace, workspace.runs.start("buyers").id, quietly)
    assert run.state == "failed"
    assert run.error is not None
    assert (run.error["code"], run.error["facts"]["most_memory_gb"]) == ("PROPEND-205", 0.05)
    assert not workspace.runs.folder(run).exists()


def test_deleting_stops_what_is_executed(workspace: Workspace) -> None:
    workspace.instances.create(document())
    run = workspace.runs.start("buyers")
    process = spawn(workspace, run.id)
    until(lambda: workspace.runs.get(run.id).state == "running")
    workspace.delete("buyers", "ana")
    process.wait(timeout=20)
    workspace.refresh()
    assert left(workspace) == set()
    with pytest.raises(InstanceNotFoundError):
        workspace.runs.get(run.id)


def test_a_dispatcher_executes_what_waits_and_what_is_due(workspace: Workspace) -> None:
    workspace.instances.create(document(schedule="daily"))
    with workspace.catalog.writing() as session:
        session.get(InstanceRow, "buyers").due_at = now()  # type: ignore[union-attr]
    ended: list[RunRow] = []
    dispatcher = Dispatcher(workspace, ended.append)
    dispatcher.start()
    try:
        until(lambda: bool(ended))
    finally:
        dispatcher.stop()
    assert [(r.state, r.trigger) for r in ended] == [("succeeded", "schedule")]


def test_old_scores_are_removed_and_what_is_served_stays(open_shop: Callable[..., Workspace]) -> None:
    workspace = open_shop("[retention]\nscores_days = 30\n")
    workspace.instances.create(document())
    first, second = (follow(workspace, workspace.runs.start("buyers").id, quietly) for _ in range(2))
    with workspace.catalog.writing() as session:
        for run in (first, second):
            session.get(RunRow, run.id).finished_at = now() - timedelta(days=31)  # type: ignore[union-attr]
    workspace.runs.prune()
    assert [workspace.runs.get(r.id).scores_kept for r in (first, second)] == [False, True]
    assert not (workspace.runs.folder(first) / "scores.parquet").exists()
    assert (workspace.runs.folder(first) / "report.html").exists()
    assert (workspace.runs.folder(second) / "scores.parquet").exists()
