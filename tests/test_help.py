"""What the command line says of itself: help with examples that are true, completion, and the version."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from jsonschema import Draft202012Validator
from typer.main import get_command

from propend import cli
from propend.cli.examples import EXAMPLES, shown
from propend.segments import Rule
from propend.version import __version__
from test_cli import propend

ROOT = Path(__file__).parent.parent
USAGE_ERROR: Any = typer.BadParameter.__base__


def every_command() -> dict[str, Any]:
    """The whole, groups and commands by name, those of a group as ``user add``."""

    def walk(command: Any, name: str) -> dict[str, Any]:
        found = {name: command}
        for own, under in getattr(command, "commands", {}).items():
            found |= walk(under, f"{name} {own}".strip())
        return found

    return walk(get_command(cli.app), "")


def parsed(line: str) -> tuple[str, dict[str, Any]]:
    """The command that a line calls, and its values; nothing of it is done."""
    [first, *words] = shlex.split(line)
    tokens = list(takewhile(lambda word: word not in ("<", ">"), words))
    assert first == "propend"
    command, name = get_command(cli.app), ""
    while tokens and tokens[0] in getattr(command, "commands", {}):
        word = tokens.pop(0)
        command, name = command.commands[word], f"{name} {word}".strip()  # type: ignore[attr-defined]
    if not name:  # an option of the whole: it would be obeyed while it is read
        assert set(tokens) <= {option for p in command.params for option in p.opts}
        return "", {}
    return name, dict(command.make_context(name, tokens).params)


# --- examples ---------------------------------------------------------------------------------------------------


def test_every_command_has_examples() -> None:
    assert list(EXAMPLES) == sorted(EXAMPLES, key=[*every_command()].index)
    assert set(EXAMPLES) == set(every_command())


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_help_ends_with_examples_that_can_be_typed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")  # lines to be copied are not broken
    helped = propend(*name.split(), "--help")
    assert (helped.status, helped.err) == (0, "")
    assert helped.out.rstrip().endswith(shown(name).rstrip())
    assert len(EXAMPLES[name]) >= 1
    for wanted, line in EXAMPLES[name]:
        called, values = parsed(line)
        assert wanted[0].isupper()
        assert not wanted.endswith(".")
        assert called == name or name in ("", *(group for group in EXAMPLES if called.startswith(f"{group} ")))
        if values.get("where") is not None:
            assert Rule.read(values["where"]).sentence


@pytest.mark.parametrize("line", ["propend run first --fast", "propend check", "propend serve --port http"])
def test_an_example_that_is_not_true_is_noticed(line: str) -> None:
    with pytest.raises(USAGE_ERROR):
        parsed(line)


# --- completion ---------------------------------------------------------------------------------------------------


def completing(shell: str, what: str = "source", **more: str) -> str:
    """What the installed command answers a shell."""
    script = Path(sys.executable).parent / "propend"
    asked = os.environ | {"_PROPEND_COMPLETE": f"{what}_{shell}", **more}
    return subprocess.run([script], env=asked, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize(
    ("shell", "installs", "asks"),
    [
        ("bash", "complete -o default -F _propend_", {"COMP_WORDS": "propend segm", "COMP_CWORD": "1"}),
        ("zsh", "#compdef propend", {"_TYPER_COMPLETE_ARGS": "propend segm"}),
        ("fish", "complete --command propend", {"_TYPER_COMPLETE_ARGS": "propend segm",
                                                "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)  # fmt: skip
def test_shells_are_given_a_script_and_answers(shell: str, installs: str, asks: dict[str, str]) -> None:
    script = completing(shell)
    assert installs in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True, capture_output=True)
    assert "segment" in completing(shell, "complete", **asks)


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    if not shutil.which("bash"):
        pytest.skip("there is no bash")
    (tmp_path / "complete.sh").write_text(completing("bash"))
    ask = (
        "source complete.sh; "
        "COMP_WORDS=(propend run --en); COMP_CWORD=2; _propend_completion propend; echo ${COMPREPLY[@]}; "
        "COMP_WORDS=(propend destination ''); COMP_CWORD=2; _propend_completion propend; echo ${COMPREPLY[@]}"
    )
    path = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", ask], cwd=tmp_path, env=path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == ["--engine", "add list push try remove"]


# --- the version ---------------------------------------------------------------------------------------------------


def test_one_version_is_said_everywhere() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert (__version__, cited["version"], newest[1]) == ("0.1.0", "0.1.0", "0.1.0")
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


# --- what needs no workspace -----------------------------------------------------------------------------------------


def test_a_schema_needs_no_instance_and_no_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = propend("export", "--schema", "xdm-profile", "--option", "tenant=acme")
    assert (told.status, told.err) == (0, "")
    Draft202012Validator.check_schema(told.json)
    of_any = told.json["properties"]["_acme"]["properties"]["customerAI"]["patternProperties"]
    [(name, scores)] = of_any.items()
    assert (bool(re.match(name, "loyal_buyers")), bool(re.match(name, "_2nd"))) == (True, True)
    assert {"score", "probability", "influentialFactors"} <= set(scores["properties"])
    assert told.json["title"] == "Customer AI Scores"
    event = propend("export", "--schema", "xdm-event", "--option", "tenant=acme").json
    assert event["properties"]["eventType"] == {"const": "propend.scored"}


def test_an_export_that_says_too_little_is_refused_with_all_that_is_missing(tmp_path: Path) -> None:
    none = propend("export", "--json", "--workspace", tmp_path)
    assert (none.status, none.json["error"]["symbol"]) == (2, "CONFIGURATION_INVALID")
    assert [m["place"] for m in none.json["error"]["facts"]["mistakes"]] == ["--to, --schema", "ID"]
    alone = propend("export", "--to", "scores.csv", "--workspace", tmp_path)
    assert (alone.status, "which instance's scores?" in alone.err) == (2, True)
    assert json.loads(propend("export", "--to", "a.csv", "--json").out)["error"]["code"] == "PROPEND-100"
