"""What a run told in another language, told again in English: the same as an English run would have told."""

from __future__ import annotations

import re
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

import propend
import report_documents
from propend.language import LANGUAGES, day_words, numeral, say, speaking
from propend.retelling import english, english_value, in_english
from propend.workspace import Workspace
from propend.workspace.execution import execute
from servers import serving
from shops import shop, with_options
from workspaces import document, made

OWN = ("run_id", "started_at", "finished_at", "trained_at", "seconds", "peak_memory_bytes", "instance_hash", "instance")
"""Of each run its own; the question is written anew from the instance, where a page shows it."""
QUESTION = "sentence"
RULES = re.compile(r"^the model does not clearly beat the simple rule")
"""A list of names one of which has a list in it, in Portuguese: it is told otherwise, with the same meaning."""


def told(part: Any, key: str = "") -> Any:
    """A document without what is each run's own."""
    if isinstance(part, dict):
        return {k: told(v, k) for k, v in part.items() if k not in OWN}
    if isinstance(part, list | tuple):
        return [told(p, key) for p in part]
    return "" if isinstance(part, str) and RULES.match(part) else part


@pytest.mark.parametrize("name", [name for name in LANGUAGES if name != "en"])
def test_every_text_of_a_run_is_told_as_an_english_run_tells_it(name: str, tmp_path: Path) -> None:
    runs = [
        propend.run(with_options(language=spoken, horizons=[14]), data=shop(), out=tmp_path / spoken)
        for spoken in ("en", name)
    ]
    documents = [(run.evaluation, run.insights, run.record | {QUESTION: ""}) for run in runs]
    mine = [told(in_english(one, name)) for one in documents[1]]
    assert documents[1][1]["factors"] != documents[0][1]["factors"]
    assert mine == [told(one) for one in documents[0]]
    scores = [
        pq.read_table(tmp_path / spoken / "scores.parquet").column("factors").to_pylist() for spoken in ("en", name)
    ]
    assert in_english(scores[1], name) == scores[0]


@pytest.mark.parametrize("propensity_type", ["conversion", "churn"])
def test_what_came_of_runs_is_told_in_english(propensity_type: str) -> None:
    with speaking("pt"):
        said = deepcopy(report_documents._aftermath.__wrapped__(propensity_type))
    with speaking("en"):
        wanted = deepcopy(report_documents._aftermath.__wrapped__(propensity_type))
    told_again = in_english(said, "pt")
    for key in ("runs", "summary"):
        assert told(told_again[key]) == told(wanted[key])


def test_values_of_the_data_stay() -> None:
    with speaking("pt"):
        told_values = [
            say("{value} for {share} %", value="ouro", share="45"),
            say("{value} in {window}", value=numeral("1,240.5"), window="30 dias"),
            say("not known"),
        ]
        day = day_words(date(2024, 3, 1))
    assert [english_value(value, "pt") for value in told_values] == ["ouro for 45 %", "1,240.5 in 30 days", "not known"]
    assert english(day, "pt") == "1\u00a0March 2024"
    assert [english_value(word, "pt") for word in ("ouro", "Bom", "3,5")] == ["ouro", "Bom", "3.5"]
    assert english("isto ninguém disse", "pt") == "isto ninguém disse"
    assert in_english({"label": "Compras"}, "en") == {"label": "Compras"}


def test_pages_of_a_portuguese_instance_are_english(tmp_path: Path) -> None:
    home = made(tmp_path / "shop")
    space = Workspace.open(home)
    space.instances.create(document(language="pt"))
    run = space.runs.start("buyers")
    assert execute(space, run.id)
    folder = space.runs.folder(space.runs.get(run.id))
    someone = pq.read_table(folder / "scores.parquet").column("profile_id")[0].as_py()
    assert "dias" in (folder / "insights.json").read_text(encoding="utf-8")
    space.close()
    own = [f"/instances/buyers{tab}" for tab in ("", "/evaluation", "/model", "/runs", "/performance", "/audience")]
    found = {}
    with serving(home, "--no-auth") as server:
        for place in (*own, f"/runs/{run.id}", f"/profiles/{someone}"):
            text = httpx.get(server.url + place, timeout=300).text
            assert "<main" in text
            found[place] = re.findall(r"\b(dias|últimos?|perfis|não|pelo menos|recência|vezes|eventos?)\b", text)
    assert {place: words for place, words in found.items() if words} == {}


def test_english_stays_as_it_is() -> None:
    for text in ("number of purchases in the last 30 days", "a, b and c", "4 em 30 dias", "", ": ; "):
        assert (english(text, "en"), english_value(text, "en")) == (text, text)
