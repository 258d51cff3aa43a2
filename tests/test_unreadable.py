"""Scores that are damaged or lost on the disk: the other instances answer, and it is said of which nothing is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

import propend
from propend.workspace import Workspace
from propend.workspace.execution import execute
from servers import serving
from workspaces import document, made

API = "/api/v1"
INSTANCES = ("buyers", "others")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil(path: Path) -> None:
    """Its end, which has where everything is, stays as it is."""
    content = bytearray(path.read_bytes())
    content[: len(content) // 2] = bytes(len(content) // 2)
    path.write_bytes(content)


def lose(path: Path) -> None:
    path.unlink()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of two instances that have scores of the same profiles."""
    found = made(tmp_path / "shop")
    with closing(Workspace.open(found)) as workspace:
        for name in INSTANCES:
            workspace.instances.create(document(name))
            assert execute(workspace, workspace.runs.start(name).id)
    return found


def scores_of(home: Path, instance_id: str) -> Path:
    return next((home / ".propend" / "runs" / instance_id).glob("*/scores.parquet"))


@pytest.mark.parametrize("damage", [cut, spoil, lose])
def test_one_instance_that_cannot_be_read_hides_no_other(
    home: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = pq.read_table(scores_of(home, "buyers")).column("profile_id").to_pylist()[:2]
    with (
        serving(home, "--no-auth", "--json-logs") as server,
        httpx.Client(base_url=server.url) as http,
        propend.connect(server.url) as served,
    ):
        before = http.get(f"{API}/profiles/{one}").json()
        assert (set(before["scores"]), before["unreadable"]) == ({"buyers", "others"}, [])
        damage(scores_of(home, "others"))
        found = http.get(f"{API}/profiles/{one}").json()
        assert found == before | {"scores": {"buyers": before["scores"]["buyers"]}, "unreadable": ["others"]}
        many = http.post(f"{API}/profiles/lookup", json={"ids": [one, two, "zz"]}).json()
        assert [set(item["scores"]) for item in many["items"]] == [{"buyers"}, {"buyers"}]
        assert (many["missing"], many["unreadable"]) == (["zz"], ["others"])
        none = http.post(f"{API}/profiles/lookup", json={"ids": [one], "instances": ["others"]}).json()
        assert none == {"items": [], "missing": [one], "unreadable": ["others"], "not_shown": [], "next": None}
        unknown = http.get(f"{API}/profiles/zz")
        assert (unknown.status_code, unknown.json()["error"]["facts"]) == (404, {"unreadable": ["others"]})
        assert http.get(f"{API}/instances/others/scores").status_code == 404
        assert set(served.profiles([one])[one]) == {"buyers"}
        assert "the server cannot read the scores of others" in caplog.text
        page = http.get(f"/profiles/{one}", headers={"Accept": "text/html"})
        assert (page.status_code, "Some scores cannot be read" in page.text) == (200, True)
        assert (page.text.count("What the score goes by"), '<a href="/instances/others">' in page.text) == (1, True)
        listed = [http.get(f"/profiles?instance={name}", headers={"Accept": "text/html"}) for name in INSTANCES]
        assert [(a.status_code, "callout-refused" in a.text) for a in listed] == [(200, False), (200, True)]
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    told = [line["message"] for line in lines if line["logger"] == "propend.serving"]
    assert (len(told), told[0].startswith("instance others: The scores")) == (1, True)  # not with every look-up


def test_documents_that_cannot_be_read_hide_no_other_instance(home: Path) -> None:
    one = pq.read_table(scores_of(home, "buyers")).column("profile_id")[0].as_py()
    cut(scores_of(home, "others").with_name("insights.json"))
    with serving(home, "--no-auth") as server:
        page = httpx.get(f"{server.url}/profiles/{one}", headers={"Accept": "text/html"})
    assert (page.status_code, page.text.count("What the score goes by")) == (200, 1)
    assert "Some scores cannot be read" in page.text
