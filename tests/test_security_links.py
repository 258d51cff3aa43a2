"""Attacks by symbolic links, and by names of variables that are not for whoever saves a destination."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from deliveries import delivery, scores
from propend.connectors.secrets import address_of
from propend.errors import ConfigurationError, DestinationRefusedError
from propend.exports import Past, Place, destination, options_of
from propend.exports.delivery import secret_of
from propend.store.erasure import exactly
from propend.store.runs import new_run
from propend.workspace import Workspace
from propend.writing import ENDING, sweep
from workspaces import document, opened

PEOPLE = [f"p{n:03}" for n in range(40)]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of somebody else's, with a table of people."""
    found = tmp_path / "outside"
    found.mkdir()
    pq.write_table(scores(PEOPLE), found / "people.parquet")
    return found


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    found = opened(tmp_path / "shop")
    yield found
    found.close()


def listed(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with its content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# --- what is read ------------------------------------------------------------------------------------------------


def test_links_that_lead_out_of_the_data_are_no_data(workspace: Workspace, outside: Path) -> None:
    """Who may lay files into ``data/`` does not have pages show what the server may read elsewhere."""
    data = workspace.data.folder
    data.mkdir()
    pq.write_table(scores(PEOPLE), data / "own.parquet")
    (data / "beside.parquet").symlink_to("own.parquet")
    (data / "secret.parquet").symlink_to(outside / "people.parquet")
    (data / "gone.parquet").symlink_to(outside / "none.parquet")
    (data / "folder").symlink_to(outside)
    assert [file.path for file in workspace.data.files()] == ["data/beside.parquet", "data/own.parquet"]


def test_a_folder_of_data_may_be_a_link_itself(workspace: Workspace, outside: Path) -> None:
    workspace.data.folder.symlink_to(outside)
    assert [file.path for file in workspace.data.files()] == ["data/people.parquet"]
    kept = workspace.data.add(outside / "people.parquet", "more.parquet")
    assert (kept.path, sorted(listed(outside))) == ("data/more.parquet", ["more.parquet", "people.parquet"])


@pytest.mark.parametrize("to", ["people.parquet", "none.parquet"])
def test_an_upload_writes_through_no_link(workspace: Workspace, outside: Path, to: str) -> None:
    workspace.data.folder.mkdir()
    (workspace.data.folder / "more.parquet").symlink_to(outside / to)
    before = listed(outside)
    source = workspace.home / "events.parquet"
    assert workspace.data.add(source, "more.parquet").path == "data/more-2.parquet"
    assert (listed(outside), (workspace.data.folder / "more-2.parquet").read_bytes()) == (before, source.read_bytes())


# --- what is pushed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_push_goes_through_no_link(tmp_path: Path, outside: Path, form: str) -> None:
    """Neither by the folder nor by the file's own name."""
    exports = tmp_path / "exports"
    exports.mkdir()
    (exports / "sub").symlink_to(outside)
    (exports / f"buyers-all.{form}").symlink_to(outside / "people.parquet")
    before, place = listed(outside), Place(tmp_path, (exports,))
    for options in ({"folder": "exports/sub"}, {}):
        with pytest.raises(DestinationRefusedError, match="No file may be written"):
            destination("file", {"format": form} | options, place).push(delivery(scores(PEOPLE)), Past())
    with pytest.raises(DestinationRefusedError, match="No file may be written"):
        destination("table", {"file": "people.parquet", "folder": "exports/sub"}, place).push(
            delivery(scores(PEOPLE)), Past()
        )
    assert listed(outside) == before


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_was_pushed_is_taken_back_through_no_link(tmp_path: Path, outside: Path, kind: str) -> None:
    """A link that was made after the push: neither a retraction nor forgetting somebody reaches what it leads to."""
    exports, place = tmp_path / "exports", Place(tmp_path, (tmp_path / "exports",))
    options = {"format": "parquet", "folder": "exports/sub", "name": "people"}
    (exports / "sub").mkdir(parents=True)
    pushed = destination("file", options, place).push(delivery(scores(PEOPLE)), Past())
    past, written = Past((pushed.facts,)), exports / "sub" / "people.parquet"
    if kind == "file":
        written.unlink()
        written.symlink_to(outside / "people.parquet")
    else:
        (exports / "sub").rename(exports / "before")
        (exports / "sub").symlink_to(outside)
    before = listed(outside)
    place = Place(tmp_path, (exports, outside)) if kind == "folder" else place  # as far as the settings may go
    there = destination("file", options, place)
    with pytest.raises(DestinationRefusedError, match="a symbolic link leads elsewhere"):
        there.retract("buyers/all", past)
    with pytest.raises(DestinationRefusedError, match="a symbolic link leads elsewhere"):
        there.forget(exactly(PEOPLE[0]), past)
    assert listed(outside) == before
    if kind == "file":  # what is gone needs no taking back
        written.unlink()
        assert there.retract("buyers/all", past).facts == {"files_removed": 0}


# --- what is removed ---------------------------------------------------------------------------------------------


def test_nothing_is_removed_through_a_link(workspace: Workspace, outside: Path) -> None:
    """Folders of runs, of logs and of mirrors that are links: the link goes, with the instance; its target stays."""
    workspace.instances.create(document())
    before = listed(outside)
    for name in ("runs", "logs", "mirrors"):
        (workspace.home / ".propend" / name).mkdir(exist_ok=True)
        (workspace.home / ".propend" / name / "buyers").symlink_to(outside)
    workspace.delete("buyers")
    assert listed(outside) == before
    assert list(workspace.home.glob(".propend/*/buyers")) == []


def test_what_is_left_over_is_swept_by_its_name_alone(tmp_path: Path, outside: Path) -> None:
    """A link is no reason to lock or remove what it leads to, and a pipe none to wait."""
    before = listed(outside)
    (tmp_path / f".a{ENDING}").symlink_to(outside)
    (tmp_path / f".b{ENDING}").symlink_to(outside / "people.parquet")
    os.mkfifo(tmp_path / f".c{ENDING}")
    sweep(tmp_path)
    assert (listed(outside), (tmp_path / f".c{ENDING}").exists()) == (before, False)


def test_a_run_goes_to_where_its_folder_leads(tmp_path: Path) -> None:
    """``--out`` may be a link, as to a larger disk: it stays one, and so does nothing else."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    for text in ("{}", '{"again": 1}'):
        with new_run(tmp_path / "results") as fresh:
            (fresh / "run.json").write_text(text)
        assert (tmp_path / "results" / "run.json").read_text() == text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk", "results"]
    assert (tmp_path / "results").is_symlink()


# --- variables ---------------------------------------------------------------------------------------------------

OWN = ("PROPEND_DATABASE_URL", "PROPEND_OIDC_CLIENT_SECRET", "PROPEND_DB_PASSWORD_DB", "propend_x", "PGPASSWORD")
HOOK = {"url": "https://e.example/x", "secret": "env:CRM_SECRET"}
TABLE = {"url": "postgresql://ana@e.example/x", "table": "t"}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize(
    ("kind", "options", "key"),
    [
        ("postgres", TABLE, "url"),
        ("postgres", TABLE, "password"),
        ("table", TABLE, "url"),
        ("table", TABLE, "password"),
        ("webhook", HOOK, "secret"),
    ],
)
def test_no_destination_names_what_propend_itself_is_told(
    name: str, kind: str, options: dict[str, Any], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever manages could have the catalog's password sent to a server of theirs."""
    monkeypatch.setenv(name, "geheim")
    with pytest.raises(ConfigurationError, match="is not for destinations") as refused:
        options_of(kind, options | {key: f"env:{name}"})
    assert "geheim" not in str(refused.value)
    with pytest.raises(DestinationRefusedError, match="is not for destinations"):  # one that was saved before
        secret_of(f"env:{name}")


def test_nothing_is_saved_or_pushed_by_such_a_name(workspace: Workspace) -> None:
    """Neither saved, nor pushed where it was saved before: options are read anew for each push."""
    named = TABLE | {"url": "env:PROPEND_DATABASE_URL"}
    workspace.instances.create(document())
    with pytest.raises(ConfigurationError, match="PROPEND_DATABASE_URL is not for destinations"):
        workspace.destinations.create("buyers", "CRM", "postgres", named)
    assert workspace.destinations.all("buyers") == []
    with pytest.raises(ConfigurationError, match="PROPEND_DATABASE_URL is not for destinations"):
        destination("postgres", named, workspace.destinations.place)


@pytest.mark.parametrize("address", ["postgresql://ana@db:5432,e.example/x", "postgresql://ana@db,e.example/x"])
def test_a_kept_password_goes_to_no_second_host(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL tries one host after the other, with the same password."""
    monkeypatch.setenv("PROPEND_DB_PASSWORD_DB", "geheim")
    monkeypatch.setenv("PGHOST", "db")
    found = address_of(address)
    assert (found.url, found.password, found.takes_common_password) == (address, "", False)
