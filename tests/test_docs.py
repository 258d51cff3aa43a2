"""The pages say what there is: commands, keys, codes, families, metrics, links; and what they show runs."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.csv
import pytest
import yaml
from docsite.making import SETTINGS, not_in_order
from pydantic import BaseModel
from typer.main import get_command

import propend
from propend import cli, errors
from propend.demo import orders_path
from propend.instance import Attributes, Columns, Data, Instance, Options, Source
from propend.model.metrics import METRICS
from propend.scoring import FACTOR_TYPE, HORIZONS_SCHEMA, SCORES_SCHEMA
from propend.sentence import write_sentence
from propend.snapshots.plan import FAMILIES
from propend.store.seals import unsealed
from servers import serving
from shops import SHOP, shop, some_orders

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *DOCS.rglob("*.md"),
        *ROOT.glob("*.md"),
        *(path for folder in ("src", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.md")),
    ]
)
SOURCES = sorted((ROOT / "src" / "propend").rglob("*.py"))


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next of its level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    after = text.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"\n#{{1,{level}}} ", after, maxsplit=1)[0]


def rows(text: str) -> list[list[str]]:
    """Cells of the first table in a text, without its head."""
    lines = re.search(r"^\|.*(\n\|.*)*", text, re.MULTILINE)
    assert lines is not None
    return [[c.strip() for c in line.strip("|").split(" | ")] for line in lines[0].splitlines()[2:]]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def firsts(text: str) -> set[str]:
    """Names in the first column of the first table."""
    return {name for row in rows(text) for name in quoted(row[0])}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


# --- commands -----------------------------------------------------------------------------------------------


def commands() -> dict[str, Any]:
    """Every command by name, those of a group as ``user add``."""
    found: dict[str, Any] = {}
    for name, command in get_command(cli.app).commands.items():  # type: ignore[attr-defined]
        under = getattr(command, "commands", None)
        found |= {name: command} if under is None else {f"{name} {n}": c for n, c in under.items()}
    return found


def test_every_command_has_a_section() -> None:
    headings = re.findall(r"^## propend ([\w ]+)$", page("docs/command_line.md"), re.MULTILINE)
    assert headings == list(commands())


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_option_of_a_command_is_described(name: str) -> None:
    text = page("docs/command_line.md")
    shared = firsts(text.split("Options that several commands share:")[1])
    own = section(text, f"## propend {name}")
    described = firsts(own) if "\n| " in own else set()
    usage = next(u for u in quoted(own) if u.startswith(f"propend {name}"))
    params = commands()[name].params
    options = {p.opts[0] for p in params if p.param_type_name == "option"} - {"--help"}
    assert set(re.findall(r"--[a-z-]+", usage)) == options
    assert described <= options
    assert options - described <= shared
    arguments = [p for p in params if p.param_type_name == "argument"]
    placed = re.sub(r"\[?--[a-z-]+( [A-Z]+)?\]?", "", usage).split()[1 + len(name.split()) :]
    assert [a.startswith("[") for a in placed] == [not p.required for p in arguments]


# --- keys ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "part"),
    [
        ("# The instance document", Instance),
        ("## data", Data),
        ("### columns", Columns),
        ("### a source", Source),
        ("### attributes", Attributes),
        ("## options", Options),
    ],
)
def test_every_key_of_the_instance_is_described(heading: str, part: type[BaseModel]) -> None:
    assert firsts(section("\n" + page("docs/instance.md"), heading)) == set(part.model_fields)


def test_defaults_of_options_are_true() -> None:
    plain = {
        "settle": "0d",
        "buckets": [25, 75],
        "schedule": None,
        "lookback": None,
        "horizons": None,
        "fairness": None,
    }
    defaults = {name: plain.get(name, field.default) for name, field in Options.model_fields.items()}
    written = {quoted(row[0])[0]: row[1] for row in rows(section(page("docs/instance.md"), "## options"))}
    shown = {name: yaml.safe_load(quoted(text)[0]) if quoted(text) else None for name, text in written.items()}
    assert shown == defaults


def test_every_column_of_the_scores_is_described() -> None:
    text = section(page("docs/results.md"), "## scores.parquet")
    table, factor = rows(text), rows(text.split("A factor:")[1])
    more = rows(text.split("there are two more:")[1])
    types = {"factors": "list of struct", "horizons": "list of struct"}
    assert [(quoted(r[0])[0], r[1]) for r in table] == [(f.name, types.get(f.name, str(f.type))) for f in SCORES_SCHEMA]
    assert [(quoted(r[0])[0], r[1]) for r in more] == [
        (f.name, types.get(f.name, str(f.type))) for f in HORIZONS_SCHEMA
    ]
    assert [(quoted(r[0])[0], r[1]) for r in factor] == [(f.name, str(f.type)) for f in FACTOR_TYPE]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docs") / "out"
    propend.run(SHOP, data=shop(), out=out)
    return out


@pytest.mark.parametrize("name", ["evaluation", "insights", "run"])
def test_every_key_of_a_runs_documents_is_described(name: str, results: Path) -> None:
    text = section(page("docs/results.md"), f"## {name}.json")
    document = unsealed(json.loads((results / f"{name}.json").read_text(encoding="utf-8")), f"{name}.json")
    assert firsts(text) | (set(METRICS) if name == "evaluation" else set()) == set(document)


def test_every_file_of_a_run_is_described(results: Path) -> None:
    files = {p.name for p in results.iterdir()} | {"attributes.parquet"}  # of instances that name such tables
    assert {f.rstrip("/") for f in firsts(page("docs/results.md"))} == files


def test_every_metric_is_described() -> None:
    text = section(page("docs/results.md"), "## evaluation.json")
    assert firsts(text.split("The metrics, each for")[1]) == set(METRICS)


# --- codes and families -------------------------------------------------------------------------------------


def refusals(kind: type[errors.PropendError] = errors.PropendError) -> Iterator[type[errors.PropendError]]:
    for sub in kind.__subclasses__():
        yield sub
        yield from refusals(sub)


def test_every_error_code_is_described_with_its_exit_status() -> None:
    written = {}
    for codes, _, status in rows(section(page("docs/how_it_works.md"), "## What refuses")):
        for part in codes.split(", "):
            first, _, last = part.partition(" to ")
            written |= dict.fromkeys(range(int(first), int(last or first) + 1), int(status))
    assert written == {e.number: e.exit_status for e in refusals() if e.__module__ == "propend.errors"}


def test_every_notice_is_described() -> None:
    written = {
        (f"PROPEND-{code}", quoted(symbol)[0])
        for code, symbol, _ in rows(section(page("docs/how_it_works.md"), "## What warns"))
    }
    code = "\n".join(p.read_text(encoding="utf-8") for p in SOURCES)
    assert written == set(re.findall(r'Notice\(\s*"(PROPEND-\d+)", "(\w+)"', code))


def test_every_feature_family_is_described() -> None:
    assert firsts(section(page("docs/how_it_works.md"), "## Features in one pass")) == set(FAMILIES)


# --- links and files ----------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_resolve(path: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if re.match(r"https?:", target):
            continue
        if not there.exists() or (anchor and anchor not in anchors(there.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, left = set(), [ROOT / "README.md"]
    while left:
        path = left.pop()
        if path in reached or path.suffix != ".md":
            continue
        reached.add(path)
        links = re.findall(r"\]\(([^)\s#]+)", path.read_text(encoding="utf-8"))
        left += [(path.parent / t).resolve() for t in links if not re.match(r"https?:", t)]
    assert set(DOCS.rglob("*.md")) - reached == set()


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert not_in_order([*pages, "repository/README.md"], page(SETTINGS)) == []


def test_contributing_names_files_that_exist() -> None:
    table = section(page("CONTRIBUTING.md"), "## How do I add ...")
    file = re.compile(r"[\w./]+\.(py|md|toml)|[\w./]+/")
    named = {n for row in rows(table) for cell in row for n in quoted(cell) if file.fullmatch(n)}
    places = (ROOT, ROOT / "src" / "propend", ROOT / "src" / "propend" / "snapshots")
    assert sorted(n for n in named if not any((place / n).exists() for place in places)) == []
    assert all(quoted(row[3]) for row in rows(table) if "with the check" not in row[3])


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads(page("pyproject.toml"))["project"]
    names = {re.split(r"[<>=; ]", d)[0] for d in project["dependencies"]} - {"xgboost"}
    reasons = {word.lower() for row in rows(page("docs/decisions/0003-dependencies.md")) for word in row[0].split()}
    assert names - reasons == set()


def test_pages_name_no_machine() -> None:

    told = re.compile(r"/(work|root|home|tmp)/|(localhost|127\.0\.0\.1):\d{4}/simple")
    files = [
        *PAGES,
        *SOURCES,
        *(p for p in (ROOT / "examples").rglob("*") if p.suffix in (".yaml", ".py", ".toml")),
        ROOT / "Makefile",
        ROOT / "pyproject.toml",
        ROOT / "constraints.txt",
    ]
    assert [str(p.relative_to(ROOT)) for p in files if told.search(p.read_text(encoding="utf-8"))] == []


# --- what is shown runs -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the README speaks of: some of the demo's customers, and 17841."""
    folder = tmp_path_factory.mktemp("desk")
    pyarrow.csv.write_csv(some_orders(), folder / "orders.csv")
    (folder / "churn.yaml").write_text(
        orders_path().with_name("churn.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    return folder


def test_readme_commands_run(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    lines = [line for block in blocks(page("README.md"), "console") for line in block.splitlines()]
    calls = [shlex.split(line, comments=True) for line in lines if line.startswith("propend")]
    assert [c[1] for c in calls] == ["init", "check", "run", "explain", "score", "moved", "list", "serve"]
    for call in calls[:-1]:  # the server goes on until it is told to end: the last test of this file
        told = io.StringIO()
        monkeypatch.setattr(sys, "argv", call)
        with redirect_stdout(io.StringIO()), redirect_stderr(told), pytest.raises(SystemExit) as left:
            cli.main()
        assert (left.value.code or 0, told.getvalue()) == (0, ""), call
    listed = {p.rstrip("/") for p in quoted(page("README.md").split("`results/` then holds")[1].split("Then:")[0])}
    assert listed - {"results"} == {p.name for p in (desk / "results").iterdir()}


def test_readme_python_runs(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    snippet = blocks(page("README.md"), "python")[0]
    names: dict[str, Any] = {"orders": pd.read_csv(desk / "orders.csv")}
    exec(snippet, names)
    run = names["run"]
    assert (set(run.evaluation["auc"]), (desk / "churn.html").stat().st_size > 100_000) == (
        {"value", "low", "high"},
        True,
    )
    assert run.explain("17841")["factors"] == next(
        r["factors"] for r in run.scores.to_pylist() if r["profile_id"] == "17841"
    )


def test_readme_instance_says_its_sentence() -> None:
    text = page("README.md")
    [document] = blocks(text, "yaml")
    instance = Instance.load(yaml.safe_load(document))
    shown = re.search(r"^\*(Of profiles .*?)\*", text, re.DOTALL | re.MULTILINE)
    assert shown is not None
    assert " ".join(shown[1].split()) == write_sentence(instance.goal, instance.eligible)


def test_makefile_has_the_targets_that_pages_name() -> None:
    targets = set(re.findall(r"^([a-z-]+):", page("Makefile"), re.MULTILINE))
    code = [line for p in PAGES for line in (*quoted(p.read_text("utf-8")), *blocks(p.read_text("utf-8"), "console"))]
    named = {target for c in code for target in re.findall(r"^make ([a-z][a-z-]*)\b", c, re.MULTILINE)}
    assert named - targets == set()


def test_readme_server_answers(desk: Path) -> None:
    """What the README does with the workspace that its commands have made."""
    snippet = blocks(page("README.md"), "python")[1]
    with serving(desk / "my-shop", "--no-auth") as server:
        names: dict[str, Any] = {"propend": propend}
        exec(snippet.replace("http://127.0.0.1:8080", server.url), names)
        found = names["shop"].profile("17841")
        names["shop"].close()
    assert found["scores"]["first"]["factors"]
