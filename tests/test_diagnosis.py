"""``propend doctor``: what is found on a machine and in a workspace, and that nothing is changed by looking."""

from __future__ import annotations

import hashlib
import json
import sys
from importlib import metadata
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml

from propend import diagnosis
from propend.diagnosis import EXTRAS, Finding, examine, findings_text, requirements, worst
from propend.store.catalog import HEAD
from propend.version import __version__
from propend.workspace import Workspace
from propend.workspace.diagnosis import examine_workspace
from propend.workspace.first import write_workspace
from test_cli import propend

ROOT = Path(__file__).parent.parent
VARIABLE = "PROPEND_DATABASE_URL"


def named(findings: list[Finding]) -> dict[str, Finding]:
    return {f"{one.area}/{one.name}": one for one in findings}


@pytest.fixture(scope="module")
def here() -> list[Finding]:
    return examine()


def test_a_machine_that_runs_the_tests_has_no_problem(here: list[Finding]) -> None:
    assert [one for one in here if one.state == "problem"] == []
    found = named(here)
    assert found["propend/propend"].says == __version__
    assert found["engines/duckdb"].says == f"answers: v{metadata.version('duckdb')}"
    assert found["libraries/numpy"].says == metadata.version("numpy")
    assert "(server" not in found["extras/server"].says
    assert "fastapi" in found["extras/server"].says


def test_every_extra_for_users_is_looked_at() -> None:
    """What is declared and not told of here would be missing without a word."""
    declared = set(metadata.metadata("propend").get_all("Provides-Extra") or [])
    assert set(EXTRAS) <= declared
    assert declared - set(EXTRAS) <= {"bench", "dev", "docs"}
    names = {one.name for one in requirements()}
    assert {"duckdb", "numpy", "pydantic"} <= names
    assert not {"fastapi", "pytest", "psycopg"} & names
    assert {one.name for one in requirements("keyring")} == {"keyring"}


def test_what_is_missing_or_too_old_is_named_with_how_to_get_it() -> None:
    versions = {"numpy": "1.20", "scipy": None, "fastapi": None, "keyring": "99"}

    def version(name: str) -> str | None:
        return versions[name] if name in versions else metadata.version(name)

    with patch.object(diagnosis, "_version", version):
        found = named(examine())
    assert found["libraries/numpy"].state == "problem"
    assert found["libraries/numpy"].says == "1.20, where <3,>=1.26 is needed"
    assert found["libraries/scipy"].hint == "pip install 'scipy<2,>=1.13'"
    assert (found["extras/server"].state, found["extras/server"].hint) == ("absent", "pip install 'propend[server]'")
    assert "lacks fastapi" in found["extras/server"].says
    assert found["extras/keyring"].state == "problem"
    assert worst(list(found.values())) == "problem"
    text = findings_text(list(found.values()))
    assert "X  numpy" in text
    assert "pip install 'scipy<2,>=1.13'" in text
    assert "3 problems" in text.splitlines()[-1]


def test_an_engine_that_breaks_takes_nobody_along() -> None:
    found = diagnosis._answer("duckdb", "import sys; sys.exit('no such symbol')")
    assert (found.state, found.says) == ("problem", "cannot be used: no such symbol")
    with patch.object(diagnosis, "PROBE_SECONDS", 0.2):
        slow = diagnosis._answer("duckdb", "import time; time.sleep(60)")
    assert (slow.state, slow.says) == ("problem", "does not answer within 0.2 s")


def test_java_is_found_by_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport sys\nprint('openjdk version \"1.8.0_292\"', file=sys.stderr)\n")
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert diagnosis._java() == (8, "1.8.0_292")
    spark = named(list(diagnosis._engines()))["engines/spark"]
    assert (spark.state, spark.says) == ("warning", "Java 1.8.0_292 is older than 17")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "none"))
    assert diagnosis._java() is None


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    gone = diagnosis.disk(tmp_path / "gone")
    assert (gone.area, gone.state) == ("workspace", "problem")
    assert "cannot be written" in gone.says


# --- a workspace ----------------------------------------------------------------------------------------------


def digest(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".db-shm", ".db-wal"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_folder_that_is_no_workspace(tmp_path: Path) -> None:
    (only,) = examine_workspace(tmp_path, VARIABLE)
    assert (only.state, only.hint) == ("absent", "`propend init DIR --data PATH` makes one.")
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_is_looked_at_and_not_changed(tmp_path: Path) -> None:
    write_workspace(tmp_path / "shop", None)
    before = digest(tmp_path)
    found = named(list(examine_workspace(tmp_path / "shop", VARIABLE)))
    assert found["workspace/catalog"].says == "not made yet"
    assert digest(tmp_path) == before
    Workspace.open(tmp_path / "shop").close()
    before = digest(tmp_path)
    found = named(list(examine_workspace(tmp_path / "shop", VARIABLE)))
    assert found["workspace/catalog"].says.endswith(f"at migration {HEAD}")
    assert (found["workspace/instances"].says, found["workspace/runs"].says) == ("0", "none")
    assert digest(tmp_path) == before


def test_a_catalog_of_another_age(tmp_path: Path) -> None:
    write_workspace(tmp_path / "shop", None)
    Workspace.open(tmp_path / "shop").close()
    with patch("propend.workspace.diagnosis.HEAD", "9999"):
        found = named(list(examine_workspace(tmp_path / "shop", VARIABLE)))["workspace/catalog"]
    assert (found.state, "older than 9999" in found.says) == ("warning", True)
    with patch("propend.workspace.diagnosis.HEAD", "0000"):
        found = named(list(examine_workspace(tmp_path / "shop", VARIABLE)))["workspace/catalog"]
    assert (found.state, "newer than 0000" in found.says) == ("problem", True)


def test_settings_with_mistakes_and_a_database_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_workspace(tmp_path / "shop", None)
    (tmp_path / "shop" / "propend.toml").write_text("[runs]\nat_oncee = 3\n", encoding="utf-8")
    monkeypatch.setenv(VARIABLE, "postgresql://anna:secret-word@127.0.0.1:9/none")
    called = propend("doctor", "--workspace", tmp_path / "shop", "--json")
    document = json.loads(called.out)
    assert (called.status, document["state"]) == (1, "problem")
    found = {one["name"]: one for one in document["findings"] if one["area"] == "workspace"}
    assert "at_oncee" in found["propend.toml"]["says"]
    assert found["catalog"]["state"] == "problem"
    assert "secret-word" not in called.out + called.err


def test_in_words(tmp_path: Path) -> None:
    called = propend("doctor", "--workspace", tmp_path)
    assert (called.status, called.err) == (0, "")
    assert "is not a workspace" in called.out
    assert called.out.rstrip().splitlines()[-1] in ("Nothing is wrong.", "1 warning", "2 warnings")


# --- what stands beside the code ------------------------------------------------------------------------------


def test_citation_and_templates_can_be_read() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["cff-version"], citation["license"]) == ("1.2.0", "Apache-2.0")
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert document.get("body") or path.name == "config.yml"
