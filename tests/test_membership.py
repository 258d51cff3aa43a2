"""Members of segments from run to run: who joined, stayed and left, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from propend.errors import StatusError
from propend.segments import Rule
from propend.store.membership import members_path
from propend.workspace import Workspace
from propend.workspace.execution import after, execute
from propend.workspace.score_file import ScoreFile
from propend.workspace.segments import Segments
from propend.writing import ENDING
from shops import last_day
from workspaces import document, made

HIGH = "bucket = 'high'"


def run(workspace: Workspace, instance_id: str, days_ago: int = 0) -> str:
    """A run of an instance, as of some days before the last one; gives its id."""
    asked = workspace.runs.start(instance_id, options={"as_of": str(last_day() - timedelta(days=days_ago))})
    assert execute(workspace, asked.id)
    assert workspace.runs.get(asked.id).state == "succeeded"
    return asked.id


def meant(workspace: Workspace, run_id: str, where: str) -> set[str]:
    """Whom a rule means by the scores of a run."""
    scores = ScoreFile.open(workspace.runs.folder(workspace.runs.get(run_id)))
    return set(scores.members(Rule.read(where)).ids.to_pylist())


def told(workspace: Workspace, segment_id: int) -> dict[str, set[str]]:
    """What the newest run says became of everybody."""
    _, rows = workspace.membership.page(segment_id, None, None, 10_000)
    assert [r["profile_id"] for r in rows] == sorted(r["profile_id"] for r in rows)
    return {change: {r["profile_id"] for r in rows if r["change"] == change} for change in ("joined", "stayed", "left")}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """One with two instances, of which one has run."""
    found = Workspace.open(made(tmp_path_factory.mktemp("membership") / "shop"))
    found.instances.create(document("Buyers"))
    found.instances.create(document("Others") | {"goal": {"any_of": ["buy"], "within": "14d"}})
    run(found, "buyers", 30)
    run(found, "others", 30)
    yield found
    found.close()


def test_every_run_tells_who_joined_and_who_left(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    segments = Segments(workspace.catalog, workspace.instances)
    first = workspace.runs.served("buyers").id
    one = segments.create("buyers", "High", HIGH)
    both = segments.create("buyers", "Both", f"{HIGH} and others:score >= 50")
    wrong = segments.create("buyers", "Wrong", "value.nothing > 3")
    rows = workspace.membership.history(one.id)
    before = meant(workspace, first, HIGH)
    assert [(r.run_id, r.where, r.members, r.joined, r.left) for r in rows] == [
        (first, HIGH, len(before), len(before), 0)
    ]
    assert workspace.membership.history(wrong.id) == []

    second = run(workspace, "buyers", 10)
    now = meant(workspace, second, HIGH)
    assert told(workspace, one.id) == {"joined": now - before, "stayed": now & before, "left": before - now}
    newest = workspace.membership.history(one.id)[0]
    assert (newest.run_id, newest.members, newest.joined, newest.left) == (
        second, len(now), len(now - before), len(before - now)
    )  # fmt: skip
    assert newest.expected_low < newest.expected < newest.expected_high
    assert any("no factor 'nothing'" in r.getMessage() for r in caplog.records)
    run_id, page = workspace.membership.page(one.id, "joined", None, 2)
    assert (run_id, [p["profile_id"] for p in page]) == (second, sorted(now - before)[:2])
    assert (
        workspace.membership.page(one.id, "joined", page[-1]["profile_id"], 1)[1][0]["profile_id"]
        == sorted(now - before)[2]
    )

    workspace.membership.history(both.id)
    other = run(workspace, "others", 10)  # a rule speaks of it, and is told anew
    assert workspace.membership.history(both.id)[0].run_id == other
    assert workspace.membership.history(one.id)[0].run_id == second

    segments.change(one.id, "High", "bucket != 'low'")
    third = run(workspace, "buyers")
    assert [r.where for r in workspace.membership.history(one.id)] == ["bucket != 'low'", HIGH, HIGH]
    assert told(workspace, one.id)["joined"] == meant(workspace, third, "bucket != 'low'") - now


def test_what_was_missed_is_made_up_for(workspace: Workspace) -> None:
    segments = Segments(workspace.catalog, workspace.instances)
    one = segments.create("buyers", "Missed", "percentile > 80")
    newest = workspace.runs.served("buyers")
    path = members_path(workspace.runs.folder(newest), one.id)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"half a file")  # killed before the row: it counts for nothing
    assert workspace.membership.history(one.id)[0].members == pq.read_table(path).num_rows
    assert list(path.parent.glob(".*")) == []
    path.unlink()
    after(workspace, newest.id)  # told already: a run is not told twice
    assert not path.exists()


def test_what_somebody_left_half_written_is_removed_when_the_workspace_is_opened(workspace: Workspace) -> None:
    """Who writes into a folder that becomes read-only can remove nothing; who opens the workspace next does."""
    folder = members_path(workspace.runs.folder(workspace.runs.served("buyers")), 1).parent
    folder.mkdir(exist_ok=True)
    left = folder / f".1.parquet-abcdefgh{ENDING}"
    left.write_bytes(b"half a file")
    Workspace.open(workspace.home).close()
    assert not left.exists()


def test_a_failure_is_noticed_and_the_run_stays(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    segments = Segments(workspace.catalog, workspace.instances)
    one = segments.create("others", "Blocked", "percentile > 90")
    newest = workspace.runs.served("others")
    folder = members_path(workspace.runs.folder(newest), one.id).parent
    kept = folder.with_name("aside")
    if folder.exists():
        folder.rename(kept)
    folder.write_text("in the way")
    assert workspace.membership.of_run(newest) == 1
    assert workspace.membership.history(one.id) == []
    assert f"members of segment {one.id} cannot be told" in caplog.text
    folder.unlink()
    if kept.exists():
        kept.rename(folder)
    assert len(workspace.membership.history(one.id)) == 1


def test_who_is_forgotten_is_in_no_file_of_members(workspace: Workspace) -> None:
    one = Segments(workspace.catalog, workspace.instances).create("buyers", "Everybody", "score >= 0")
    who = workspace.membership.page(one.id, "joined", None, 1)[1][0]["profile_id"]
    workspace.privacy.forget(who)
    files = list((workspace.home / ".propend" / "runs").rglob("members/*.parquet"))
    assert files
    assert [p for p in files if who in pq.read_table(p).column("profile_id").to_pylist()] == []
    newest = run(workspace, "buyers", 5)
    changes = told(workspace, one.id)
    assert who not in set().union(*changes.values())
    assert changes["joined"] | changes["stayed"] == meant(workspace, newest, "score >= 0")


def test_whose_file_is_not_kept_is_said_to_have_stayed(workspace: Workspace) -> None:
    one = Segments(workspace.catalog, workspace.instances).create("buyers", "Pruned", HIGH)
    before = workspace.membership.history(one.id)[0]
    workspace.runs.remove_scores(workspace.runs.folder(workspace.runs.get(before.run_id)))
    newest = run(workspace, "buyers", 3)
    row = workspace.membership.history(one.id)[0]
    assert (row.run_id, row.joined, row.left) == (newest, None, None)
    assert told(workspace, one.id)["stayed"] == meant(workspace, newest, HIGH)


def test_they_go_with_their_segment(workspace: Workspace) -> None:
    segments = Segments(workspace.catalog, workspace.instances)
    one = segments.create("buyers", "Short", HIGH)
    assert len(workspace.membership.history(one.id)) == 1
    newest = workspace.runs.folder(workspace.runs.served("buyers"))
    assert members_path(newest, one.id).is_file()
    workspace.membership.remove(one.id)
    assert not members_path(newest, one.id).exists()
    again: Any = segments.create("buyers", "Short", "bucket = 'low'")
    assert [r.where for r in workspace.membership.history(again.id)] == ["bucket = 'low'"]
    _, rows = workspace.membership.page(again.id, "left", None, 5)
    assert rows == []


def test_files_of_segments_that_are_gone_are_removed_with_the_next_run(workspace: Workspace) -> None:
    """Whoever was killed between the row and the files leaves some; so does an instance that others speak of."""
    segments = Segments(workspace.catalog, workspace.instances)
    left, kept = (segments.create("buyers", name, HIGH) for name in ("Left", "Kept"))
    for one in (left, kept):
        assert len(workspace.membership.history(one.id)) == 1
    folder = workspace.runs.folder(workspace.runs.served("buyers"))
    segments.remove(left.id)
    run(workspace, "buyers", 2)
    there = [members_path(folder, one.id).exists() for one in (left, kept)]
    assert there == [False, True]


def test_a_segment_that_a_destination_pushes_keeps_its_files(workspace: Workspace) -> None:
    one = Segments(workspace.catalog, workspace.instances).create("buyers", "Pushed", HIGH)
    assert len(workspace.membership.history(one.id)) == 1
    place = workspace.destinations.create("buyers", "Sheet", "file", {}, segment_id=one.id)
    with pytest.raises(StatusError):
        workspace.membership.remove(one.id)
    assert members_path(workspace.runs.folder(workspace.runs.served("buyers")), one.id).is_file()
    workspace.destinations.remove(place.id)


def test_before_any_run_nothing_is_told(tmp_path: Path) -> None:
    found = Workspace.open(made(tmp_path / "shop"))
    found.instances.create(document("Buyers"))
    one = Segments(found.catalog, found.instances).create("buyers", "High", HIGH)
    assert found.membership.history(one.id) == []
    found.close()
