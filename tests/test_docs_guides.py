"""The guides: questions are read, commands are run, and what is backed up is there again."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pyarrow.csv
import pytest
import yaml
from docsite.references import all_commands

from postgres import databases, programs
from propend import cli
from propend.instance import Instance
from propend.sentence import read_sentence, write_sentence
from propend.workspace import Workspace
from shops import some_orders
from workspaces import document, made

DOCS = Path(__file__).parent.parent / "docs"
GUIDES = ("start", "own_data", "choosing_a_goal", "reading_a_result", "acting_on_it", "operating", "comparison")


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_every_recipe_is_followed_by_its_sentence() -> None:
    text = page("choosing_a_goal")
    loaded = [Instance.load({"name": "x", **yaml.safe_load(block)}) for block in blocks(text, "yaml")]
    sentences = re.findall(r"^> (.*)$", text, re.MULTILINE)
    assert [write_sentence(i.goal, i.eligible) for i in loaded] == sentences
    assert [read_sentence(sentence) for sentence in sentences] == [(i.goal, i.eligible) for i in loaded]
    assert len(loaded) > 15


def test_documents_shown_are_instances() -> None:
    others = [name for name in GUIDES if name != "choosing_a_goal"]
    shown = [Instance.load(yaml.safe_load(block)).name for name in others for block in blocks(page(name), "yaml")]
    assert shown == ["Buys within 30 days"]


def test_commands_shown_have_the_options_that_are_shown() -> None:
    """Those of the other blocks, too, which are not run."""
    known = {
        name: {option for param in command.params for option in param.opts} for name, command in all_commands().items()
    }
    shown = [
        shlex.split(found, comments=True)
        for name in GUIDES
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page(name), re.DOTALL | re.MULTILINE)
        for found in re.findall(r"\bpropend [a-z][^\n>]*", block if language in ("", "console") else "")
    ]
    wrong = [call for call in shown if {word for word in call if word.startswith("--")} - known[call[1]]]
    assert wrong == []
    assert {call[1] for call in shown} >= {"demo", "init", "check", "run", "explain", "serve", "compile", "doctor"}


def test_the_first_five_minutes_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pyarrow.csv.write_csv(some_orders(), tmp_path / "orders.csv")
    calls = [shlex.split(line) for block in blocks(page("start"), "console") for line in block.splitlines()]
    assert [call[1] for call in calls] == ["init", "check", "run", "explain"]
    for call in calls:
        told = io.StringIO()
        monkeypatch.setattr(sys, "argv", call)
        with redirect_stdout(io.StringIO()), redirect_stderr(told), pytest.raises(SystemExit) as left:
            cli.main()
        assert (left.value.code or 0, told.getvalue()) == (0, ""), call
    assert (tmp_path / "results" / "report.html").stat().st_size > 100_000


# --- back up and restore ----------------------------------------------------------------------------------------


def told(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the lines of a script print; none may fail. Commands of propend are called in this process."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    printed = io.StringIO()
    for line in script.splitlines():
        if line.startswith("propend "):
            monkeypatch.setattr(sys, "argv", shlex.split(line))
            with redirect_stdout(printed), pytest.raises(SystemExit) as left:
                cli.main()
            assert not left.value.code, line
        else:
            done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
            assert done.returncode == 0, (line, done.stderr)
            printed.write(done.stdout)
    return printed.getvalue()


def with_a_run(home: Path) -> str:
    """The id of a run that waits, of a new workspace, whose catalog is where the environment says."""
    workspace = Workspace.open(made(home))
    workspace.instances.create(document(), "somebody")
    run = workspace.runs.start("buyers")
    workspace.close()
    return run.id


def test_a_workspace_is_backed_up_and_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = with_a_run(tmp_path / "shop")
    files = {p.relative_to(tmp_path / "shop") for p in (tmp_path / "shop").rglob("*") if "catalog.db" not in p.name}
    backup, restore = blocks(page("operating"), "console")
    told(backup, tmp_path, monkeypatch)
    (tmp_path / "shop").rename(tmp_path / "lost")
    printed = told(restore, tmp_path, monkeypatch)
    assert (run_id in printed, "Buyers" in printed) == (True, True)
    restored = tmp_path / "restored" / "shop"
    assert files <= {p.relative_to(restored) for p in restored.rglob("*")}


def test_a_catalog_in_postgresql_is_backed_up_and_restored(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROPEND_DATABASE_URL", databases(request).new())
    monkeypatch.setenv("PATH", f"{programs()}{os.pathsep}{os.environ['PATH']}")
    run_id = with_a_run(tmp_path / "shop")
    [dump, restore] = re.findall(r"^(?:pg_dump|pg_restore) .*$", page("operating"), re.MULTILINE)
    told(dump, tmp_path, monkeypatch)
    monkeypatch.setenv("PROPEND_DATABASE_URL", databases(request).new())
    told(restore, tmp_path, monkeypatch)
    assert run_id in told("propend history --workspace shop", tmp_path, monkeypatch)
