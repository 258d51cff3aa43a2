"""What is made ready beside the first answers: that it is, that it ends, and that nothing depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from propend.server.app import create_app
from propend.server.pages import shell
from propend.server.warming import Warming
from propend.store.catalog import InstanceRow
from propend.workspace.execution import execute
from workspaces import document, opened


def test_all_is_ready_or_said_not_to_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    workspace = opened(tmp_path / "shop")
    workspace.instances.create(document())
    run = workspace.runs.start("buyers")
    assert execute(workspace, run.id)
    app, known = create_app(workspace, access=False), shell._environment()
    assert known.cache is not None
    known.cache.clear()
    with caplog.at_level("INFO", "propend.warming"):
        warming = Warming(app)
        warming.start()
        warming.join()
    assert [r.levelname for r in caplog.records if r.name == "propend.warming"] == ["INFO"]
    assert {name for _loader, name in known.cache} == set(known.list_templates())
    ended = Warming(app)
    ended._halt.set()
    caplog.clear()
    ended.run()
    assert caplog.records == []
    with workspace.catalog.writing() as session:
        row = session.get(InstanceRow, "buyers")
        assert row is not None
        row.version = 9  # of which there is nothing
    with caplog.at_level("INFO", "propend.warming"):
        Warming(app).run()
    assert [r.levelname for r in caplog.records if r.name == "propend.warming"] == ["WARNING", "INFO"]
    workspace.close()
