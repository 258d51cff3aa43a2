"""How instances stand, without a browser: what is counted, what is read again, and how often the catalog is asked."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from propend.store.catalog import RunRow, now
from propend.store.runs import write_json
from propend.workspace import Workspace
from propend.workspace.overview import Overview
from workspaces import document, opened

AUC = {"value": 0.8, "low": 0.7, "high": 0.9}


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return opened(tmp_path / "shop")


def finished(space: Workspace, instance_id: str, run_id: str, days_ago: float = 0, population: int = 100) -> RunRow:
    """A run that has succeeded, with the documents that an overview reads."""
    at = now() - timedelta(days=days_ago)
    folder = f".propend/runs/{instance_id}/{run_id}"
    row = RunRow(
        id=run_id, instance_id=instance_id, version=1, kind="auto", trigger="manual", state="succeeded", options={},
        folder=folder, asked_by="local", queued_at=at, finished_at=at, progress=1.0, scores_kept=True,
        cancel_asked=False, summary={"population": population},
    )  # fmt: skip
    with space.catalog.writing() as session:
        session.add(row)
    written(space.home / folder, population)
    return row


def written(folder: Path, population: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    buckets = [{"bucket": b, "n": n, "expected_rate": 0.5} for b, n in (("low", population - 40), ("high", 40))]
    verdict = {"grade": "good", "better_than_chance": True}
    documents: dict[str, Any] = {
        "evaluation": {"auc": AUC, "verdict": verdict, "proof": "out-of-time", "n": 50, "positives": 9},
        "insights": {"population": population, "buckets": buckets},
        "run": {
            "propensity_type": "conversion",
            "instance": {"options": {"time_zone": "Europe/Berlin"}},
            "scored_at": "2026-02-28T23:00:00+00:00",
            "expires_at": "2026-03-30T22:00:00+00:00",
        },
    }
    for name, content in documents.items():
        write_json(folder / f"{name}.json", content)


def test_the_newest_run_that_succeeded_is_what_is_shown(space: Workspace) -> None:
    space.instances.create(document("One"))
    finished(space, "one", "r1", days_ago=2, population=80)
    finished(space, "one", "r2", days_ago=1)
    space.instances.create_draft("Two", {"type": "nonsense"})
    one, two = Overview(space).of(space.instances.all(), space.runs.all_serving())
    assert one.served is not None and one.result is not None and one.latest is not None
    assert (one.served.id, one.latest.id, one.type, one.is_busy, one.has_failed) == (
        "r2", "r2", "conversion", False, False
    )  # fmt: skip
    assert [(b.name, b.tone, b.n, b.share) for b in one.result.buckets] == [
        ("high", "good", 40, 0.4), ("low", "bad", 60, 0.6)
    ]  # fmt: skip
    assert (one.result.grade, one.result.ranks) == ("Good", "ranks the right one of two first 80 times in 100")
    assert (one.result.scored_on, one.result.until_on, one.result.is_over) == (
        "1\u00a0March 2026", "30\u00a0March 2026", True
    )  # fmt: skip
    assert (two.type, two.sentence, two.latest, two.result) == (None, None, None, None)


def test_documents_are_read_once_and_again_where_they_are_written_anew(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    space.instances.create(document("One"))
    run, overview, read = finished(space, "one", "r1"), Overview(space), []
    real = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda self, **how: (read.append(self.name), real(self, **how))[1])
    for _ in range(3):
        overview.of(space.instances.all(), [run])
    assert sorted(read) == ["evaluation.json", "insights.json", "run.json"]
    written(space.runs.folder(run), 99)  # somebody was taken out
    (standing,) = overview.of(space.instances.all(), [run])
    assert standing.result is not None and standing.result.population == 99
    (space.runs.folder(run) / "insights.json").unlink()
    (standing,) = overview.of(space.instances.all(), [run])
    assert standing.result is None


def test_scores_of_this_year_count_once_for_each_run(space: Workspace) -> None:
    space.instances.create(document("One"))
    assert Overview(space).scored_this_year() == 0
    finished(space, "one", "r1", population=80)
    finished(space, "one", "r2", population=100)
    finished(space, "one", "r3", days_ago=400, population=1000)
    assert Overview(space).scored_this_year() == 180


def test_two_hundred_instances_take_no_query_each(space: Workspace) -> None:
    for i in range(200):
        space.instances.create_draft(f"Shop {i:03}", {})
        finished(space, f"shop-{i:03}", f"r{i:03}")
    asked: list[str] = []
    event.listen(space.catalog._reading, "before_cursor_execute", lambda *given: asked.append(given[2]))
    rows = space.instances.all()
    found = Overview(space).of(rows, space.runs.all_serving())
    assert (len(found), sum(s.result is not None for s in found)) == (200, 200)
    assert len([text for text in asked if text.lstrip().startswith("SELECT")]) <= 4
