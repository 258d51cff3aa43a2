"""The gallery: every study has its parts, pages say what was measured, and the studies of the simulator run again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from benchmarks.gallery import page
from benchmarks.gallery.__main__ import best_possible, kept, run
from benchmarks.gallery.studies import EXAMPLES, STUDIES, Study
from docsite.references import all_commands

import propend
from propend.instance import Instance
from shops import some_orders

BY_NAME = {study.name: study for study in STUDIES}
FILES = [study for study in STUDIES if study.simulated is None]


def by_name(study: Study) -> str:
    return study.name


def test_every_folder_with_a_page_is_a_study_with_all_its_parts() -> None:
    folders = {p.parent.name: {f.suffix for f in p.parent.iterdir()} for p in EXAMPLES.glob("*/README.md")}
    assert folders == {study.name: {".yaml", ".md", ".json"} for study in STUDIES}
    assert len(STUDIES) == len(BY_NAME)


@pytest.mark.parametrize("study", STUDIES, ids=by_name)
def test_page_is_what_was_measured(study: Study) -> None:
    assert isinstance(study.instance, Instance)
    assert study.page.read_text(encoding="utf-8") == page.written(study), f"REMAKE=1 make gallery ({study.name})"


def test_index_is_what_was_measured() -> None:
    assert page.INDEX.read_text(encoding="utf-8") == page.index(STUDIES), "REMAKE=1 make gallery"


@pytest.mark.parametrize("study", STUDIES, ids=by_name)
def test_no_figure_is_typed(study: Study) -> None:
    text = study.page.read_text(encoding="utf-8")
    by_hand = re.sub(r"<!-- (\w+): begin -->.*?<!-- \1: end -->|`[^`]*`|<http[^>]*>", "", text, flags=re.DOTALL)
    assert re.findall(r"\d+[.,]\d+|\d+ ?%", by_hand) == []
    assert {"What to conclude", "What not to conclude"} <= set(re.findall(r"^## (.*)$", by_hand, re.MULTILINE))


def test_page_of_something_else_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written follows the figures, cell by cell."""
    study = BY_NAME["subscription"]
    found = page.figures(study)
    assert found is not None
    found["figures"]["propend"]["auc"] = [0.123, 0.1, 0.2]
    monkeypatch.setattr(page, "figures", lambda _: found)
    assert "| **propend** | 0.123 (0.100 to 0.200) |" in page.written(study)
    assert "0.123 (0.100 to 0.200)" in page.index([study])


@pytest.mark.parametrize(
    ("symbols", "low", "said"),
    [
        ((), 0.01, "better than every simple rule"),
        ((), 0.02, "ranks better than every simple rule; its probabilities are not shown to be better"),
        ((), -0.01, "ranks no better than a simple rule; its probabilities are better"),
        (("SIMPLE_RULE_AS_GOOD",), -0.01, "a simple rule is as good, `PROPEND-308`"),
        (("SIMPLE_RULE_AS_GOOD", "NO_SIGNAL"), -0.01, "no signal, `PROPEND-313`"),
    ],
)
def test_what_came_of_it_goes_by_notices_and_differences(symbols: tuple[str, ...], low: float, said: str) -> None:
    clear = {"auc": [0.05, 0.02, 0.08], "log_loss": [-0.02, -0.03, -0.01]}
    unclear = {"auc": [0.03, low, 0.04], "log_loss": [-0.01, -0.02, low - 0.015]}
    differences = {"recency": clear, "rfm_logistic": unclear}
    found = {"notices": [{"symbol": symbol} for symbol in symbols], "differences": differences}
    assert page.outcome(found) == said


def test_studies_without_data_are_skipped_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(FILES, tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{s.name}: skipped, its data are not in {tmp_path / s.folder}" for s in FILES
    ]


@pytest.mark.parametrize("study", FILES, ids=by_name)
def test_commands_shown_are_commands(study: Study) -> None:
    [block] = re.findall(r"```console\n(.*?)```", page.commands(study), re.DOTALL)
    assert [line.split()[:2] for line in block.splitlines()] == [["propend", "check"], ["propend", "run"]]
    for words in map(str.split, block.splitlines()):
        known = {option for param in all_commands()[words[1]].params for option in param.opts}
        assert {word for word in words if word.startswith("--")} <= known
        assert EXAMPLES.parent / words[2] == study.document
        assert ("--as-of" in words) == bool(study.as_of)


# --- run again ------------------------------------------------------------------------------------------------


def shown_script(study: Study) -> str:
    [block] = re.findall(r"```python\n(.*?)```", study.page.read_text(encoding="utf-8"), re.DOTALL)
    return block


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the examples, where runs leave nothing in the repository."""
    (tmp_path / "examples").symlink_to(EXAMPLES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_study_of_the_simulator_gives_the_figures_of_its_page(desk: Path) -> None:
    study = BY_NAME["subscription"]
    assert study.simulated is not None
    names: dict[str, Any] = {}
    exec(shown_script(study), names)
    before = page.figures(study)
    assert before is not None
    after = kept(names["run"])
    after["figures"]["truth"] = {"auc": best_possible(study, study.simulated.make(), names["run"].evaluation)}
    assert (after["read"], after["proof"]) == (before["read"], before["proof"])
    assert flat(after["figures"]) == pytest.approx(flat(before["figures"]), abs=0.01)
    assert (desk / ".bench" / "gallery" / study.name / "report.html").stat().st_size > 100_000


def flat(figures: dict[str, dict[str, list[float | None]]]) -> dict[str, float]:
    """Log loss, AUC and calibration error of everybody; lifts of a few hundred rows jump with one row."""
    return {
        f"{name} {metric} {i}": value
        for name, cells in figures.items()
        for metric in ("auc", "log_loss")
        for i, value in enumerate(cells.get(metric, ()))
        if value is not None
    }


def test_without_a_signal_nothing_is_scored(desk: Path) -> None:
    study = BY_NAME["no_signal"]
    before = page.figures(study)
    assert before is not None
    with pytest.raises(propend.PropendError) as refused:
        exec(shown_script(study), {})
    assert refused.value.code == before["refusal"]["code"] == "PROPEND-402"
    assert "no signal was found" in before["refusal"]["message"]
    assert f"**Refused: `{refused.value.code} {refused.value.symbol}`.**" in study.page.read_text(encoding="utf-8")
    assert not (desk / ".bench").exists() or list((desk / ".bench" / "gallery").iterdir()) == []


def test_the_first_study_can_be_asked_of_the_orders_that_ship() -> None:
    found = propend.check(BY_NAME["retail_churn"].document, data=some_orders()).document
    assert (found["refusals"], {e["met"] for e in found["examples"]}) == ([], {True, False})
