"""What notebooks show: pieces that ask nothing of any other place, whatever texts they hold; and the tutorial runs."""

from __future__ import annotations

import html
import json
import re
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pyarrow.parquet as pq
import pytest
from nbclient import NotebookClient

import propend
from propend.finished import Evaluation, Explanation
from propend.language import speaking
from propend.notebook import STYLE, Bar, card, line, listing, publisher, table
from propend.proposal import propose
from propend.report import VEGA_LITE
from shops import SHOP, shop

ROOT = Path(__file__).parent.parent
TUTORIAL = ROOT / "examples" / "notebooks" / "tutorial.ipynb"
EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=y>"
KERNEL = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
"""Of the libraries that talk with a kernel."""
ASKS = re.compile(r"https?:|//|\burl\(|@import|<script|<img|<link|<iframe|\bsrc=|\bhref=|\bon\w+=", re.IGNORECASE)
"""What would load something, or run."""


class Pieces(HTMLParser):
    """Elements and texts of a piece of HTML; every element must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.elements.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.texts).split())


def pieces(thing: Any) -> Pieces:
    """What a notebook shows of a thing, looked through."""
    shown = thing._repr_html_()
    assert ASKS.search(re.sub(r">[^<]*<", "><", shown)) is None
    return Pieces(shown)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> propend.Run:
    return propend.run(SHOP, data=shop(), out=tmp_path_factory.mktemp("nb") / "out")


@pytest.fixture(scope="module")
def spoken(run: propend.Run) -> propend.Run:
    """The same run with another language and texts that would do harm."""
    record = json.loads(json.dumps(run.record)) | {"name": EVIL}
    record["instance"]["options"] = {"language": "pt"}
    record["warnings"] = [{"code": "PROPEND-301", "symbol": "FEW_OUTCOMES", "message": EVIL, "hint": EVIL}]
    insights = json.loads(json.dumps(run.insights))
    insights["factors"][0]["label"] = EVIL
    return propend.Run(run.folder, record, run.evaluation, insights)


# --- pieces -------------------------------------------------------------------------------------------------------


def test_pieces_say_texts_as_they_are() -> None:
    made = Pieces(card(EVIL, line(EVIL, "w"), listing(EVIL), table([EVIL], [[EVIL, -0.5, "1,204"]])))
    assert made.texts == [EVIL] * 5 + ["1,204"]
    assert set(made.elements) == {
        *("div", "style", "h4", "p", "pre", "table", "thead", "tbody", "tr", "th", "td", "i"),
    }


def test_the_style_is_its_own_and_knows_dark() -> None:
    rules = re.sub(r"@media\([^)]*\)\{(.*?\})\}", r"\1", STYLE)
    selectors = [one for rule in re.findall(r"([^{}]+)\{", rules) for one in rule.split(",")]
    assert [one for one in selectors if ".propend" not in one] == []
    assert 'data-jp-theme-light="false"' in STYLE
    assert "prefers-color-scheme:dark" in STYLE
    assert ASKS.search(STYLE) is None


# --- things -----------------------------------------------------------------------------------------------------------


def test_an_instance_shows_its_question_and_document() -> None:
    instance = propend.Instance.load(SHOP | {"name": EVIL})
    shown = pieces(instance)
    assert shown.texts[0] == EVIL
    assert "who will do buy in the next 30 days?" in shown.words
    assert "goal:" in shown.words


def test_a_proposal_shows_what_it_was_guessed_from() -> None:
    shown = pieces(propose(shop()))
    assert "value 'amount': a usual name" in shown.words
    assert shown.texts[0] == "Purchase within 30 days"


def test_a_check_shows_who_is_left_and_draws_it() -> None:
    checked = propend.check(SHOP, data=shop())
    shown = pieces(checked)
    assert {"table", "td", "i"} <= set(shown.elements)
    for example in checked.document["examples"]:
        assert example["evidence"] in shown.words
    assert repr(checked) == "<Check 'Buys': ready>".replace("Buys", checked.document["name"])
    assert list(checked.charts) == ["funnel", "base_rates"]
    rows = checked.charts["base_rates"].spec()["datasets"]["rows"]
    assert [r["base_rate"] for r in rows] == [
        c["base_rate"] for c in checked.document["timeline"]["cutoffs"] if c["base_rate"] is not None
    ]


def test_a_refused_check_says_so() -> None:
    checked = propend.check(SHOP | {"options": {"minimum": 100_000}}, data=shop())
    assert "PROPEND-401 NOT_ENOUGH_POPULATION" in pieces(checked).words
    assert "refused: PROPEND-401" in repr(checked)


def test_a_run_shows_what_it_found(run: propend.Run) -> None:
    shown = pieces(run)
    assert run.record["sentence"] in shown.words
    assert run.evaluation["verdict"]["sentence"] in shown.words
    assert f"{run.insights['population']:,}" in shown.texts
    assert all(f["label"] in shown.texts for f in run.factors[:10])
    assert len(repr(run)) < 300


def test_an_evaluation_is_a_mapping_and_a_table(run: propend.Run) -> None:
    assert isinstance(run.evaluation, Evaluation)
    document = json.loads((run.folder / "evaluation.json").read_text(encoding="utf-8"))
    assert run.evaluation == {key: document[key] for key in run.evaluation}
    shown = pieces(run.evaluation)
    assert shown.texts.count("Right one of two ranked first (AUC)") == 1
    assert f"{run.evaluation['auc']['value']:.3f}" in shown.words


def test_an_explanation_is_a_mapping_and_bars(run: propend.Run) -> None:
    first = run.scores.slice(0, 1).to_pylist()[0]
    found = run.explain(first["profile_id"])
    assert (isinstance(found, Explanation), found, found["factors"]) == (True, first, first["factors"])
    shown = pieces(found)
    assert f"Profile {first['profile_id']}" in shown.texts
    assert shown.elements.count("i") == len(first["factors"])
    assert pieces(found["factors"]).elements.count("i") == len(first["factors"])
    assert pieces(run.factors).elements.count("i") == min(10, len(run.insights["factors"]))


def test_what_came_of_runs_is_a_table_of_them(tmp_path: Path) -> None:
    events = shop()
    newest = propend.run(SHOP, data=events, out=tmp_path / "newest")
    known = datetime.fromisoformat(newest.record["scored_at"]) - timedelta(days=60)
    propend.run(SHOP, data=events, as_of=known.date(), out=tmp_path / "earlier")
    found = propend.evaluate(tmp_path, data=events)
    earlier, later = found.document["runs"]
    shown = pieces(found)
    assert found.document["summary"]["sentence"] in shown.words
    assert (earlier["matured"], later["matured"], shown.texts.count("Window not over")) == (True, False, 1)
    assert f"{earlier['auc']['value']:.3f}" in shown.words


def test_other_peoples_texts_and_languages(spoken: propend.Run) -> None:
    shown = pieces(spoken)
    assert [t for t in shown.texts if "<script>" in t] == [EVIL, f"Poucos resultados: {EVIL}", EVIL]
    assert "Em que as pontuações se baseiam" in shown.texts
    assert "Acerto na ordem entre dois perfis (AUC)" in pieces(spoken.evaluation).texts
    assert "Fator" in pieces(spoken.explain(str(spoken.scores.column("profile_id")[0]))).texts


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_charts_are_drawn_by_the_notebook_itself(run: propend.Run) -> None:
    assert {"funnel", "base_rates", "ranking", "calibration", "gains", "lift", "factor_shares"} <= set(run.charts)
    for name, picture in run.charts.items():
        forms, how = picture._repr_mimebundle_()
        assert set(forms) == {"text/plain", *VEGA_LITE} == {*how, "text/plain"}
        spec = forms[VEGA_LITE[0]]
        assert "$schema" not in spec
        assert "url" not in json.dumps(spec)
        assert (spec["width"], spec["title"]["text"]) == (640, spec["title"]["text"])
        assert " ".join(spec["title"]["text"]) == picture.title
        assert repr(picture) == f"<picture {name!r}: {picture.title}>"
        assert len(picture.frame()) == len(picture.plain["rows"]) > 0


def test_charts_speak_the_language_of_the_run(spoken: propend.Run) -> None:
    assert spoken.charts["calibration"].title.startswith("Esperava-se que")
    assert spoken.charts["gains"].title.startswith("Nos 20 % do topo")


# --- long work --------------------------------------------------------------------------------------------------------


def execute(notebook: Any, folder: Path) -> None:
    """Execute a notebook in a folder by a real kernel; where much else runs, what it shows may come long after."""
    place = {"metadata": {"path": str(folder)}}
    waits: dict[str, Any] = {"timeout": 500, "iopub_timeout": 120, "raise_on_iopub_timeout": True}
    NotebookClient(notebook, kernel_name="python3", resources=place, **waits).execute()


def executed(folder: Path, *cells: str) -> list[list[Any]]:
    """Outputs of cells that a real kernel executes, as a notebook keeps them."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    execute(made, folder)
    return [cell.outputs for cell in made.cells]


def test_a_bar_goes_forward_and_ends() -> None:
    shown: list[tuple[dict[str, str], str, bool]] = []
    bar = Bar(lambda forms, name, instead: shown.append((forms, name, instead)), {"read": 0.25, "fit": 0.5, "score": 1})
    for stage in ("read", "fit", EVIL, "score"):
        bar.begun(stage)
    with speaking("pt"):
        bar.begun("write")
    bar.over(True)
    assert len({name for _, name, _ in shown}) == 1
    assert [instead for _, _, instead in shown] == [False, *[True] * 6]
    assert [Pieces(forms["text/html"]).words for forms, _, _ in shown[:-1]] == [
        *("starting", "read", "fit", EVIL, "score", "write")
    ]
    assert re.fullmatch(r"pronto em \d+ s", shown[-1][0]["text/plain"])
    done = [float(re.findall(r'value="([\d.]+)"', forms["text/html"])[0]) for forms, _, _ in shown]
    assert done == [0.0, 0.0, 0.25, 0.75, 0.75, 0.99, 1.0]


@KERNEL
def test_long_work_has_a_bar_in_a_notebook_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(shop(), tmp_path / "shop.parquet")
    (tmp_path / "shop.json").write_text(json.dumps(SHOP))
    ask = "propend.check('shop.json', data='shop.parquet'"
    _, [bar], heard, [stopped] = executed(
        tmp_path,
        "import json, propend",
        f"checked = {ask})",
        f"stages = []; checked = {ask}, progress=stages.append); print(stages[:2])",
        "try:\n    propend.check(json.load(open('shop.json')) | {'goal': {'any_of': ['buy'], 'within': '900d'}}, "
        "data='shop.parquet')\nexcept propend.PropendError:\n    pass",
    )
    assert re.search(r'value="1.00".*done in \d+ s', bar.data["text/html"])
    assert [o.text for o in heard] == ["['read', 'survey']\n"]
    assert re.search(r"stopped after \d+ s, at: survey", stopped.data["text/html"])
    propend.check(SHOP, data=shop())
    assert (publisher(), capsys.readouterr()) == (None, ("", ""))


# --- the tutorial -----------------------------------------------------------------------------------------------------


def test_the_tutorial_is_kept_without_outputs() -> None:
    notebook = json.loads(TUTORIAL.read_text(encoding="utf-8"))
    kept = [(c["execution_count"], c["outputs"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert kept == [(None, [])] * len(kept)
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    nbformat.validate(nbformat.from_dict(notebook))


@KERNEL
def test_the_tutorial_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = nbformat.read(TUTORIAL, as_version=4)
    execute(notebook, tmp_path)
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    results = [o.data for o in outputs if o.output_type in ("execute_result", "display_data")]
    assert [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"] == []
    assert sum(VEGA_LITE[0] in data for data in results) == 3
    cards = [data["text/html"] for data in results if "text/html" in data]
    assert sum("<progress" in text for text in cards) == 3  # two checks and a run
    assert sum(re.search(r"done in \d+ s", text) is not None for text in cards) == 2
    for text in cards:
        assert ASKS.search(re.sub(r">[^<]*<", "><", text)) is None
        Pieces(text)
    refused = [o.text for o in outputs if o.output_type == "stream"]
    assert [text.splitlines()[0] for text in refused] == ["PROPEND-407 NOT_ENOUGH_HISTORICAL_EVENT_DATA"]
    assert {"falling-silent", "falling-silent.html"} <= {path.name for path in tmp_path.iterdir()}
    assert html.unescape("".join(cards)).count("Falling silent") >= 3
