"""Files that are uploaded into a workspace, and remedies that pages offer."""

from __future__ import annotations

from pathlib import Path

import pytest

from propend.demo import orders_path
from propend.errors import RequestInvalidError
from propend.instance import Instance
from propend.remedies import LOOK_BACK, Remedy, remedies, with_look_back
from propend.workspace import Workspace
from propend.workspace.uploads import safe_name
from workspaces import opened


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return opened(tmp_path / "shop", "[uploads]\nmost_mb = 1\n")


def uploaded(workspace: Workspace, name: str, content: bytes) -> str:
    arrival = workspace.data.begin(name)
    arrival.write(content)
    return arrival.keep("ana").path


def test_files_are_kept_beside_each_other_and_written_down(workspace: Workspace) -> None:
    assert [uploaded(workspace, "orders.csv.gz", b"a") for _ in range(3)] == [
        "data/orders.csv.gz", "data/orders-2.csv.gz", "data/orders-3.csv.gz",
    ]  # fmt: skip
    assert [f.path for f in workspace.data.files()] == [
        "data/orders-2.csv.gz", "data/orders-3.csv.gz", "data/orders.csv.gz",
    ]  # fmt: skip
    newest = workspace.audit.entries(limit=1)[0]
    assert (newest.who, newest.action, newest.kind, newest.subject) == ("ana", "create", "data", "data/orders-3.csv.gz")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/cron.d/x.csv", "x.csv"),
        ("C:\\Users\\ana\\my orders (1).CSV", "my-orders-1-.CSV"),
        ("<script>alert(1)</script>.csv", "script-.csv"),
        ("a\0b\nc.csv", "a-b-c.csv"),
        (".hidden.csv", "hidden.csv"),
        ("Bücher_é.parquet", "Bücher_é.parquet"),
        ("x" * 300 + ".csv.gz", "x" * 113 + ".csv.gz"),
    ],
)
def test_hostile_names_are_made_safe(name: str, kept: str) -> None:
    assert safe_name(name) == kept


@pytest.mark.parametrize("name", ["", ".csv", "..", "orders.xlsx", "x.csv/", "run.sh", "a.csv.exe"])
def test_what_cannot_be_read_is_not_taken(workspace: Workspace, name: str) -> None:
    with pytest.raises(RequestInvalidError, match="is not a file that can be read"):
        workspace.data.begin(name)


def test_too_much_and_nothing_leave_nothing(workspace: Workspace) -> None:
    arrival = workspace.data.begin("big.csv")
    with pytest.raises(RequestInvalidError, match="at most 1 MB"):
        for _ in range(2):
            arrival.write(b"x" * 600_000)
    with pytest.raises(RequestInvalidError, match="is empty"):
        workspace.data.begin("none.csv").keep()
    assert list(workspace.data.folder.iterdir()) == []


def test_the_sample_is_copied_once(workspace: Workspace) -> None:
    paths = [workspace.data.add(orders_path(), "sample.parquet").path for _ in range(2)]
    assert paths == ["data/sample.parquet"] * 2
    (workspace.home / "data" / "sample.parquet").write_bytes(b"PAR1 another")
    assert workspace.data.add(orders_path(), "sample.parquet").path == "data/sample-2.parquet"


def test_remedies_are_numbers_that_would_do() -> None:
    document = {
        "name": "x", "goal": {"did": "buy", "within": "90d"}, "eligible": {"did": "buy", "within": "365d"},
        "options": {"minimum": 500},
    }  # fmt: skip
    instance = Instance.load(document)

    def offered(code: str, **facts: object) -> list[tuple[str, str]]:
        found = remedies(instance, {"code": code, "facts": facts})
        assert all(isinstance(r, Remedy) and r.words for r in found)
        return [(r.place, r.value) for r in found]

    assert offered("PROPEND-407", days_available=300) == [(LOOK_BACK, "180d")]
    assert offered("PROPEND-407", days_available=400) == [("goal.within", "30d"), (LOOK_BACK, "180d")]
    assert offered("PROPEND-400", met=44) == [("goal.within", "180d"), ("options.minimum", "20")]
    assert offered("PROPEND-413") == [("goal.within", "30d")]
    assert offered("PROPEND-405", last_event_on="2026-02-28") == [("as_of", "2026-03-01")]
    assert offered("PROPEND-402") == []
    assert with_look_back(instance.document()["eligible"], "30d") == {"all_of": [{"did": "buy", "within": "30d"}]}
