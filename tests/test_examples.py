"""Every example asks a question that its data can answer; the data are public and not part of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from benchmarks.gallery.studies import STUDIES

import propend
from propend.instance import Instance

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").rglob("*.yaml"))
AS_OF = {"cdnow_39_weeks": "1998-06-30"}
"""What the description of an example says to give as ``--as-of``."""
SIMULATED = {study.document: study.simulated for study in STUDIES if study.simulated}


def documented(path: Path) -> Instance:
    return Instance.load(path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_says_what_is_predicted(path: Path) -> None:
    instance = documented(path)
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert (len(instance.description) > 40, written.get("type")) == (True, instance.type)
    assert (
        f"--as-of {AS_OF[path.stem]}" in instance.description
        if path.stem in AS_OF
        else "--as-of" not in instance.description
    )


def test_names_tell_examples_apart() -> None:
    names = [documented(p).name for p in EXAMPLES]
    assert len(set(names)) == len(names) > 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_can_be_run(path: Path) -> None:
    made = SIMULATED.get(path)
    data = path.parent / documented(path).data.folder
    if not data.exists():
        pytest.skip(f"no data in {data}")
    checked = propend.check(path, data=made.make().events if made else None, as_of=AS_OF.get(path.stem)).document
    assert checked["refusals"] == []
    assert {e["met"] for e in checked["examples"]} == {True, False}
    assert checked["population_now"] > 0
