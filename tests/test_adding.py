"""What CONTRIBUTING says of adding things, done: an aggregate, a family, a notice and a chart, in a copy of the code.

A connector and a destination are packages of their own (``test_extending``, ``test_destinations``).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from report_documents import documents

ROOT = Path(__file__).parent.parent
TESTS = """
import json
from pathlib import Path
from altair import SCHEMA_URL
import propend
from propend import charts, report
from propend.model.checks import NOTICES
from propend.narrative.titles import titled
from propend.phrasing import Words
from propend.snapshots.plan import Channel, Op, PlanInput, make_plan

def test_it_is_the_copy():
    assert Path(propend.__file__).is_relative_to(Path(__file__).parent.parent)

def test_a_family_is_in_every_plan():
    buys = Channel("kind", "buy", "", "buy", "buy", "buys", valued=True)
    made = [f for f in make_plan(PlanInput((buys,), (30, 365), "amount")).features if f.family == "smallest"]
    assert [(f.name, f.op, f.sentence) for f in made] == [
        ("min__buy__365d", Op.MIN, "smallest amount of buys in the last 365 days")]

def test_a_chart_is_drawn_and_stands_in_its_section():
    page = report.Report(**json.loads((Path(__file__).parent / "documents.json").read_text())).to_dict()
    drawn = [p for p in report.pictures_in(page) if p["chart"] == "lines_left"]
    assert len(drawn) == 1
    assert len(drawn[0]["rows"]) > 0
    spec = charts.CHARTS["lines_left"].spec(drawn[0]["rows"], Words("buy", "bought"))
    assert spec["$schema"] == SCHEMA_URL

def test_a_notice_has_its_code_and_its_title():
    assert NOTICES["VERY_FEW_PROFILES"][0] == "PROPEND-399"
    assert titled("VERY_FEW_PROFILES") == "Very few profiles"
"""
PLAN, KERNEL = "src/propend/snapshots/plan.py", "src/propend/snapshots/kernel.py"
ADDED = (
    # an aggregate: a member, its number, its loop and its slow form
    (PLAN, "    ATTRIBUTE_TEXT = 26", "    MIN = 27\n    ATTRIBUTE_TEXT = 26"),
    (KERNEL, "ATTRIBUTE_TEXT, OPS = range(24, 28)", "ATTRIBUTE_TEXT, MIN, OPS = range(24, 29)"),
    (KERNEL, "(SUM, MAX, VALUE_MEAN, VALUE_LAST))]", "(SUM, MAX, VALUE_MEAN, VALUE_LAST, MIN))]"),
    (
        KERNEL,
        "        for op in (VALUE_MEAN, VALUE_LAST):\n",
        "        for i in range(ops[MIN], ops[MIN + 1]):\n"
        "            c, low = place[i], np.inf\n"
        "            for j in range(before.amounts[marks.begins[window[i], k], c], before.amounts[marks.ends[k], c]):\n"
        "                low = min(low, lists.amount[c * n + j])\n"
        "            out[k, column[i]] = _bounded(low) if low < np.inf else np.nan\n"
        "        for op in (VALUE_MEAN, VALUE_LAST):\n",
    ),
    (
        "tests/oracle.py",
        "    Op.ACTIVE_DAYS: lambda q",
        "    Op.MIN: lambda q: min(q.values, default=NAN),\n    Op.ACTIVE_DAYS: lambda q",
    ),
    # a family
    (
        PLAN,
        "@family\ndef rhythm(",
        "@family\n"
        "def smallest(given: PlanInput) -> Iterator[Feature]:\n"
        '    """Smallest of the events\' values."""\n'
        "    name, last = given.value_name, given.lookback\n"
        "    for i, c in enumerate(given.channels):\n"
        "        if c.valued and c.rich:\n"
        '            said = "smallest {value} of {many} in the last {days} days"\n'
        '            text = say(said, value=name, many=c.many, days=last)\n'
        '            yield Feature(f"min__{c.key}__{last}d", text, Op.MIN, i, last, _spending(c, name), "money")\n'
        "\n\n"
        "@family\ndef rhythm(",
    ),
    # a notice
    (
        "src/propend/model/checks.py",
        '    "MANY_PROFILES": (',
        '    "VERY_FEW_PROFILES": ("PROPEND-399", "under ten profiles are scored"),\n    "MANY_PROFILES": (',
    ),
    (
        "src/propend/narrative/titles.py",
        'noted("Many profiles"),', 'noted("Many profiles"), noted("Very few profiles"),',
    ),
    # a chart
    (
        "src/propend/charts.py",
        "# --- how good ---",
        '@chart(noted("Lines"), noted("What each line leaves."), [("line", noted("Line"))])\n'
        "def lines_left(rows: Rows, _words: Words) -> Drawing:\n"
        '    return bar_list("lines_left", rows, "line", "profiles", "profiles_text")\n'
        "\n\n"
        "# --- how good ---",
    ),
    (
        "src/propend/narrative/opening.py",
        'picture("funnel", ',
        'picture("lines_left", rows), picture("funnel", ',
    ),
)  # fmt: skip


def add(place: Path, old: str, new: str) -> None:
    """One change of a file; the place for it is there once."""
    text = place.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{place.name}: {old!r}"
    place.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code and its tests, with one of each added."""
    home = tmp_path_factory.mktemp("copied")
    without = shutil.ignore_patterns("__pycache__", "vendor", "corpus")
    shutil.copytree(ROOT / "src", home / "src", ignore=without)
    (home / "tests").mkdir()
    for path in (ROOT / "tests").glob("*.py"):
        if path.name != "conftest.py":  # what it sets up is not needed there
            shutil.copy(path, home / "tests")
    for name, old, new in ADDED:
        add(home / name, old, new)
    (home / "tests" / "test_added.py").write_text(TESTS, encoding="utf-8")
    (home / "tests" / "documents.json").write_text(json.dumps(documents(), default=str), encoding="utf-8")
    return home


def told_by_tests(home: Path, *which: str) -> str:
    """What the tests of a copy end with; they are interpreted, for compiling takes longer than they do."""
    paths = os.pathsep.join(str(home / part) for part in ("src", "tests"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *which],
        cwd=home, env=os.environ | {"PYTHONPATH": paths, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return done.stdout[-3000:] + done.stderr[-1000:]


def test_an_aggregate_that_is_added_is_what_its_slow_form_says(copied: Path) -> None:
    told = told_by_tests(copied, "tests/test_kernel.py", "-k", "every_aggregate or same_numbers")
    assert "2 passed" in told, told


def test_a_family_a_notice_and_a_chart_are_added_at_their_places(copied: Path) -> None:
    told = told_by_tests(copied, "tests/test_added.py")
    assert "4 passed" in told, told


def test_an_aggregate_without_its_slow_form_is_found(copied: Path, tmp_path: Path) -> None:
    shutil.copytree(copied, tmp_path / "again")
    wrong = tmp_path / "again" / "src" / "propend" / "snapshots" / "kernel.py"
    add(wrong, "low = min(low, lists.amount[c * n + j])", "low = min(low, lists.amount[c * n + j] + 1)")
    kernel_tests = tmp_path / "again" / "tests" / "test_kernel.py"
    add(
        kernel_tests,
        "@settings(max_examples=60, deadline=None)\n",
        "@settings(phases=[Phase.generate], deadline=None)\n",
    )
    add(kernel_tests, "from hypothesis import given, settings", "from hypothesis import Phase, given, settings")
    told = told_by_tests(tmp_path / "again", "tests/test_kernel.py", "-k", "every_aggregate")
    assert "1 failed" in told, told
