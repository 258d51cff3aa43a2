"""Every chart: a valid Vega-Lite document over fields that its rows have, and the same rows as a table."""

from __future__ import annotations

import gettext
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import altair
import numpy as np
import pytest
from jsonschema import Draft7Validator
from numpy.typing import NDArray

from propend import language
from propend.aftermath_page import compose
from propend.charts import CHARTS
from propend.drawing import TONES
from propend.engines.one_profile import Happened
from propend.events import DAY_US
from propend.language import LANGUAGES, listed, speaking
from propend.narrative import Given
from propend.phrasing import NOTHING, SPACE, WORDS, Words, shown
from propend.record import events_by_kind
from propend.report import Report, pictures_in
from propend.snapshots.volumes import Months
from propend.workspace.persons import event_rows, history_rows, windows
from report_documents import aftermath_document, documents

CONVERT = Words("convert", "converted")


@pytest.fixture(scope="module")
def rows() -> dict[str, list[dict[str, Any]]]:
    """The rows that each chart gets in a report, or after the window."""
    pages = (Report(**documents()).to_dict(), compose(aftermath_document()))
    return {p["chart"]: p["rows"] for page in reversed(pages) for p in pictures_in(page)} | of_one_profile()


def of_one_profile() -> dict[str, list[dict[str, Any]]]:
    """The rows of the charts that stand on a profile's page."""
    given = Given(**documents())
    at = datetime(2011, 9, 1, tzinfo=UTC)
    row = {"probability": 0.4, "probability_low": 0.3, "probability_high": 0.5, "score": 70.0, "bucket": "medium"}
    scores = [row | {"scored_at": at - timedelta(days=30 * i)} for i in range(3)]
    day = int(at.timestamp()) * 1_000_000
    events = [Happened(day - i * DAY_US, f"kind {i % 12}", None if i % 2 else i * 1.5) for i in range(30)]
    return {
        "score_history": history_rows(scores, given),
        "profile_events": event_rows(events, windows(given)),
        "events_by_kind": events_by_kind(
            Months(500, ("buy", "visit"), np.array([[3, 0, 5], [9, 9, 0], [0, 1, 0]])), "other kinds"
        ),
    }


def test_rare_kinds_of_events_stand_together_under_their_own_names() -> None:
    rows = of_one_profile()["profile_events"]
    assert [r["line"] for r in rows[:2]] == ["", ""]
    assert len({r["line"] for r in rows[2:]}) == 9
    assert {r["kind"] for r in rows if r["line"] == "other kinds"} <= {f"kind {i}" for i in range(12)}


@pytest.fixture(scope="module")
def schema() -> Draft7Validator:
    return Draft7Validator(altair.load_schema())


def problems(schema: Draft7Validator, spec: dict[str, Any]) -> list[str]:
    return [error.message[:200] for error in schema.iter_errors(spec)]


def known_fields(spec: dict[str, Any]) -> set[str]:
    """The fields of the rows, and of the few values that layers bring along."""
    brought = [layer["data"]["values"] for layer in spec.get("layer", []) if "values" in layer.get("data", {})]
    return {field for data in (*spec["datasets"].values(), *brought) for row in data for field in row}


def drawn_fields(node: Any) -> Iterator[str]:
    """The fields that encodings name."""
    if isinstance(node, list):
        for item in node:
            yield from drawn_fields(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "field" and isinstance(value, str):
                yield value
            elif key not in ("data", "datasets"):
                yield from drawn_fields(value)


def test_every_chart_has_its_place_on_a_page(rows: dict[str, Any]) -> None:
    assert set(rows) == set(CHARTS)


@pytest.mark.parametrize("name", CHARTS)
def test_spec_is_valid_and_draws_fields_of_its_rows(
    name: str, rows: dict[str, list[dict[str, Any]]], schema: Draft7Validator
) -> None:
    spec = CHARTS[name].spec(rows[name], CONVERT)
    assert problems(schema, spec) == []
    assert len(spec["datasets"]["rows"]) == len(rows[name]) > 0
    assert set(drawn_fields(spec)) - known_fields(spec) == set()
    assert spec["description"]


@pytest.mark.parametrize("name", CHARTS)
def test_nothing_to_draw_is_a_valid_spec_and_an_empty_table(name: str, schema: Draft7Validator) -> None:
    assert problems(schema, CHARTS[name].spec([])) == []
    assert CHARTS[name].frame([]) == []


@pytest.mark.parametrize("name", CHARTS)
def test_rows_given_are_not_changed(name: str, rows: dict[str, list[dict[str, Any]]]) -> None:
    given = [dict(row) for row in rows[name]]
    CHARTS[name].spec(given)
    assert given == rows[name]


@pytest.mark.parametrize("name", CHARTS)
def test_chart_says_what_it_shows_and_how_to_read_it(name: str) -> None:
    chart = CHARTS[name]
    assert chart.title
    assert chart.reading.endswith(".")
    assert "{" not in (chart.title + chart.reading).format(**vars(WORDS["any"]))


class Foreign(gettext.NullTranslations):
    """A language in which every text is itself in angle quotes."""

    def gettext(self, message: str) -> str:
        return f"«{message}»"


def words_drawn(node: Any) -> Iterator[str]:
    """Titles of axes and tooltips, and names that have a colour or a place."""
    if isinstance(node, list):
        for item in node:
            yield from words_drawn(item)
    elif isinstance(node, dict):
        if node.get("title"):
            yield node["title"]
        yield from (name for name in node.get("domain", []) if isinstance(name, str))
        for key, value in node.items():
            if key not in ("data", "datasets", "config"):
                yield from words_drawn(value)


@pytest.mark.parametrize("name", CHARTS)
def test_every_word_drawn_is_said_and_is_that_of_the_rows(
    name: str, rows: dict[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language, "_catalog", lambda _language: Foreign())
    given = [{**row, "bucket": row["bucket"].lower()} if "bucket" in row else row for row in rows[name]]
    spec = CHARTS[name].spec(given)
    words = set(words_drawn(spec))
    assert {word for word in words if "«" not in word} == set()
    values = {value for row in spec["datasets"]["rows"] for value in row.values() if isinstance(value, str)}
    for layer in spec.get("layer", [spec]):
        scale = layer["encoding"].get("color", {}).get("scale", {"domain": [True]})
        assert scale["domain"][0] is True or set(scale["domain"]) & values


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("spoken", LANGUAGES)
def test_headings_differ_in_every_language(name: str, spoken: str, rows: dict[str, list[dict[str, Any]]]) -> None:
    with speaking(spoken):
        assert {len(row) for row in CHARTS[name].frame(rows[name])} == {len(CHARTS[name].columns)}


def test_table_has_the_rows_in_words() -> None:
    best = {"decile": 1, "n": 1200, "positives": 610.5, "rate": 0.50875, "lift": 2.46, "cumulative_share": 0.246}
    none = {"decile": 2, "n": 0, "positives": 0, "rate": None, "lift": None, "cumulative_share": 0.0049}
    table = [{k: v.replace(SPACE, " ") for k, v in row.items()} for row in CHARTS["lift"].frame([best, none], CONVERT)]
    assert table == [
        {"Tenth": "1", "Profiles": "1,200", "Converted": "610", "Share": "50.9 %", "Times the average": "2.5 ×",
         "Of all so far": "24.6 %"},
        {"Tenth": "2", "Profiles": "0", "Converted": "0", "Share": NOTHING, "Times the average": NOTHING,
         "Of all so far": "0.49 %"},
    ]  # fmt: skip


def test_a_bucket_has_the_colour_of_its_tone() -> None:
    bar = {"score_from": 0.0, "score_to": 5.0, "n": 3}
    bars = [bar | {"bucket": "low", "tone": "bad"}, bar | {"bucket": "high", "tone": "good"}]
    scale = CHARTS["score_histogram"].spec(bars)["encoding"]["color"]["scale"]
    assert scale == {"domain": ["low", "high"], "range": [TONES["bad"], TONES["good"]]}


def test_buckets_share_one_scale_of_impacts() -> None:
    factor = {"label": "Recent buys", "direction": "raises", "mean_impact": 0.1, "importance": "low", "coverage": 0.5,
              "typical_inside": "3", "typical_outside": "1", "reach": 0.8}  # fmt: skip
    layers = CHARTS["bucket_factors"].spec([factor])["layer"]
    scales = [layer["encoding"]["x"]["scale"]["domain"] for layer in layers if "scale" in layer["encoding"]["x"]]
    assert scales == [[-0.8, 0.8]]


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (None, "percent", NOTHING),
        (float("nan"), "decimal", NOTHING),
        (1234567, "count", "1,234,567"),
        (640.4, "count", "640"),
        (3.5, "count", "3.5"),
        (0.2634, "percent", "26.3 %"),
        (0.00494, "percent", "0.49 %"),
        (0.0, "percent", "0.0 %"),
        (0.05, "share", "5 %"),
        (0.125, "share", "12.5 %"),
        (2.449, "times", "2.4 ×"),
        (0.0, "odds", "× 1.00"),
        (0.3, "odds", "× 1.35"),
        (1.0, "odds", "× 2.7"),
        (-0.7, "odds", "× 0.50"),
        (3.0, "odds", "× 20"),
        (-0.25, "signed", "−0.25"),
    ],
)
def test_numbers_for_people(value: float | None, form: str, text: str) -> None:
    assert shown(value, form).replace(SPACE, " ") == text


def test_lists_for_people() -> None:
    assert [listed(list(names)) for names in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]


# --- colours as they are seen with the common colour blindnesses -------------------------------------------

SEEN = {
    "all colours": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""Machado, Oliveira and Fernandes (2009), full severity, on linear RGB."""


def lab(colour: str, seen: list[list[float]]) -> NDArray[np.float64]:
    coded = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(seen) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    x, y, z = np.cbrt(xyz / np.array([0.9505, 1.0, 1.089]) + 1e-9)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen", SEEN)
def test_bucket_colours_stay_apart(seen: str) -> None:
    colours = [lab(colour, SEEN[seen]) for colour in TONES.values()]
    distances = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(colours, 2)]
    assert min(distances) > 30
