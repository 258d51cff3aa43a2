"""The report: what it says of good and bad runs, of hostile names, and that it is one closed file."""

from __future__ import annotations

import base64
import hashlib
import re
from copy import deepcopy
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import altair
import numpy as np
import pytest

import propend
from propend.drawing import TONES
from propend.errors import WriteFailedError
from propend.model.evaluate import proof_document
from propend.report import ROOM, Report, pictures_in
from report_documents import PROFILES, Documents, documents
from shops import SHOP, shop

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \"quoted\" 'text' Ünïcødé 日本"


LOADING = ("src", "srcset", "href", "action", "data", "poster")


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    text: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """Elements with the text directly in them, in order."""

    VOID = frozenset({"meta", "link", "br", "img", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(self.elements[-1])

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1].text.append(data)
            if self._open[-1].tag not in ("script", "style"):
                self.words.append(data)

    def all(self, tag: str) -> list[Element]:
        return [e for e in self.elements if e.tag == tag]

    @property
    def said(self) -> str:
        """All that is to be read, as one line."""
        return " ".join(" ".join(self.words).split())


def page_of(given: Documents) -> Page:
    return Page(Report(**given).to_html())


def text_of(value: Any) -> str:
    return str(value).replace("\u00a0", " ")


@pytest.fixture(scope="module")
def page() -> Page:
    return page_of(documents())


# --- what it says ---------------------------------------------------------------------------------------


def test_it_is_read_from_top_to_bottom(page: Page) -> None:
    titles = ["".join(e.text) for e in page.elements if e.tag == "h2" and "id" in e.attributes]
    assert titles == [
        "Who was asked about", "How good, and how do we know", "Scores and buckets", "When", "Groups",
        "What drives the scores",
        "How many to take", "The data", "How it was made",
    ]  # fmt: skip


def test_contents_lead_to_every_section(page: Page) -> None:
    targets = [(e.attributes["href"] or "")[1:] for e in page.all("a") if (e.attributes["href"] or "").startswith("#")]
    named = {e.attributes.get("id") for e in page.elements}
    sections = {e.attributes["id"] for e in page.elements if e.tag == "section"}
    assert set(targets) - named == set()
    assert sections - set(targets) == set()


def test_summary_of_a_conversion_says_who_how_many_how_good_and_what_next() -> None:
    given = documents()
    n, rate = given["insights"]["population"], given["insights"]["mean_probability"]
    top = next(r for r in given["evaluation"]["top_n"] if r["share"] == 0.2)
    said = Report(**given).to_dict()
    assert said["sentence"] == given["run"]["sentence"]
    assert [(f["label"], text_of(f["value"])) for f in said["summary"]["figures"]] == [
        ("Profiles scored", "1,500"),
        ("Expected to convert", f"{n * rate:,.0f}"),
        ("How good", given["evaluation"]["verdict"]["grade"].capitalize()),
        ("Top tenth", f"{given['evaluation']['top_decile_lift']['value']:.1f} ×"),
    ]
    expected = given["insights"]["expected_positives"]
    assert text_of(said["summary"]["figures"][1]["note"]) == (
        f"between {expected['low']:,.0f} and {expected['high']:,.0f}; {100 * rate:.1f} % of them, "
        "until 30 September 2011"
    )
    assert said["summary"]["verdict"] == given["evaluation"]["verdict"]["sentence"]
    assert text_of(said["summary"]["next"][0]).startswith("Begin with the 300 highest scores, the top 20 %.")
    assert f"held {top['caught']:.0f} of the {given['evaluation']['positives']} who converted" in text_of(
        said["summary"]["next"][0]
    )


def test_summary_is_on_the_page(page: Page) -> None:
    given = documents()
    for words in (given["run"]["name"], given["run"]["sentence"], given["evaluation"]["verdict"]["sentence"]):
        assert words in page.said


def test_what_intervals_mean_and_who_has_too_little_history_is_said() -> None:
    given = documents()
    given["insights"]["too_little_history"] = {"n": 30, "share": 0.02}
    for i, row in enumerate(given["evaluation"]["intervals"]):
        row["inside"] = i > 0
    *_, held = Report(**given).to_dict()["scores"]["sure"][0].split(". ")
    assert held == "In the test, cut into 10 groups by probability, the share who converted lay inside in 9 of 10."
    assert text_of(Report(**given).to_dict()["scores"]["sure"][2]).startswith(
        "30 profiles (2.0 %) have too little history to say more than the rate of all like them: in the test, "
    )


@pytest.mark.parametrize(("kind", "high", "low"), [("conversion", "good", "bad"), ("churn", "bad", "good")])
def test_colours_follow_what_is_good_to_see(kind: str, high: str, low: str) -> None:
    said = Report(**documents(kind)).to_dict()
    assert {b["bucket"]: b["tone"] for b in said["scores"]["buckets"]} == {
        "high": high,
        "medium": "medium",
        "low": low,
    }
    assert set(TONES) == {"good", "medium", "bad"}


def test_churn_is_told_as_churn() -> None:
    said = page_of(documents("churn")).said
    assert "Expected to churn" in said
    assert "convert" not in said


def test_dates_are_those_of_the_instances_time_zone(page: Page) -> None:
    """23:00 in UTC is midnight of the next day in London's summer."""
    assert "as of 1 August 2011" in text_of(page.said)
    assert "until 30 August 2011" in text_of(page.said)


def test_every_bucket_has_its_factors_with_values_inside_and_outside() -> None:
    given = documents()
    said = Report(**given).to_dict()["drivers"]["buckets"]
    for bucket, source in zip(said, given["insights"]["buckets"], strict=True):
        assert bucket["bucket"] == source["bucket"]
        assert 0 < len(bucket["factors"]) <= 10
        for factor, original in zip(bucket["factors"], source["factors"], strict=True):
            assert factor["picture"]["rows"] == original["distribution"]
            assert factor["direction"] == ("raises" if original["mean_impact"] >= 0 else "lowers")
            assert factor["importance"] in ("low", "medium", "high")


def test_example_profiles_come_with_their_reasons(page: Page) -> None:
    for example in documents()["insights"]["examples"]:
        assert example["profile_id"] in page.said
        for factor in example["factors"]:
            assert f"{factor['label']}: {factor['value']}" in re.sub(r"\s+", " ", page.said)


def test_later_test_is_said_first(page: Page) -> None:
    assert "Tested on a later period that the model had not seen" in page.said
    assert "Same-period" not in page.said


def test_same_period_test_is_a_callout_twice() -> None:
    given = documents()
    given["evaluation"]["proof"] = "same-period"
    page = page_of(given)
    callouts = [e for e in page.all("p") if e.attributes.get("class") == "callout"]
    assert page.said.count("Same-period test.") == len(callouts) == 2
    assert "Such figures flatter" in page.said
    assert "later period that the model had not seen" not in page.said


def test_a_model_no_better_than_a_rule_is_reported_so() -> None:
    given = documents()
    given["evaluation"]["verdict"] |= {"beats": ["recency"], "does_not_beat": ["frequency", "rfm_logistic"]}
    said = page_of(given).said
    assert "a simple rule does about as well (frequency alone and recency-frequency-money)" in said
    assert "The model is not shown to beat: frequency alone, recency-frequency-money." in said
    assert "A simple rule does about as well" not in page_of(documents()).said


def test_warnings_stand_on_the_first_page_and_their_codes_at_the_end(page: Page) -> None:
    warning = documents()["run"]["warnings"][0]
    said = page.said
    first, last = said.index(warning["message"]), said.rindex(warning["message"])
    assert "Tracking gap." in said[:first]
    assert first < said.index("The question is asked of some profiles only") < said.index(warning["code"]) < last + 1
    assert "If tracking failed then" in said


def test_how_it_was_made_has_model_calibration_and_versions(page: Page) -> None:
    for words in (
        "boosted trees (55.0 %) and logistic regression (45.0 %)",
        "level shifted by +0.08 (the last known window +0.06, what half a window has shown since +0.02, tested on",
        "span__buy",
        "only 3 outcomes of the rarer kind",
        "plan is gone",
        "guessed from its name",
        "time_zone: Europe/London",
        "No profile",
    ):
        assert words in text_of(page.said)


@pytest.mark.parametrize(("label", "share"), [(0, "0.0 %"), (1, "100.0 %")])
def test_one_outcome_only_is_said_and_nothing_breaks(label: int, share: str) -> None:
    given, p = documents(), np.linspace(0.1, 0.9, PROFILES)
    given["evaluation"] = proof_document(
        np.full(PROFILES, label), p, {"recency": p}, proof="out-of-time", cutoff_at="2011-07-31T23:00:00Z",
        outcome_ends_at="2011-08-30T23:00:00Z", replicates=50,
    ) | {"intervals": given["evaluation"]["intervals"]}  # fmt: skip
    said = Report(**given).to_dict()
    assert text_of(said["summary"]["figures"][2]["value"]) == "Cannot be judged"
    assert not any("In the test they held" in step for step in said["summary"]["next"])
    page = page_of(given)
    assert "Nothing to show: these figures are not defined here." in page.said
    assert f"({share}) converted" in text_of(page.said)


def test_empty_buckets_and_no_examples_are_said_not_drawn() -> None:
    given = documents()
    for bucket in given["insights"]["buckets"][:2]:
        bucket |= {"n": 0, "share": 0.0, "expected_rate": 0.0, "expected_positives": 0.0, "factors": []}
    given["insights"]["examples"], given["run"]["warnings"] = [], []
    page = page_of(given)
    assert page.said.count("Nobody is in this bucket") == 2
    assert "Example profiles" not in page.said
    assert "What to keep in mind" not in page.said


# --- pictures and tables ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["conversion", "churn"])
def test_every_picture_has_words_and_the_same_as_a_table(kind: str) -> None:
    given = documents(kind)
    pictures, page = pictures_in(Report(**given).to_dict()), page_of(given)
    drawn = [e.attributes for e in page.elements if "data-picture" in e.attributes]
    assert sorted(d["data-picture"] or "" for d in drawn) == sorted(p["id"] for p in pictures)
    assert all((d["aria-label"] or "").startswith("Picture: ") for d in drawn)
    order = [e for e in page.elements if e.tag == "table" or "data-picture" in e.attributes]
    followers = [order[i + 1].tag for i, e in enumerate(order) if "data-picture" in e.attributes]
    assert followers == ["table"] * len(pictures)


def test_tables_are_written_out_without_javascript(page: Page) -> None:
    given = documents()
    cells = ["".join(e.text) for e in page.all("td")]
    assert [text_of(f"{d['n']:,}") in cells for d in given["evaluation"]["deciles"]] == [True] * 10
    assert given["insights"]["buckets"][0]["factors"][0]["typical_inside"] in cells


@pytest.mark.parametrize(
    ("snapshots", "said"),
    [(40, "40 of 50 profiles are asked about"), (160, "40 of 50 profiles were asked about at past dates")],
)
def test_who_is_left_is_said_of_now_or_of_past_dates(snapshots: int, said: str) -> None:
    """A run that only scores counts who is there now; one that learns, who was there at any date it learnt from."""
    given = documents()
    lines = (("seen before the cutoff", 50, snapshots + 20, "default"), ("did buy", 40, snapshots, "question"))
    keys = ("line", "profiles", "snapshots", "origin")
    given["run"]["funnel"] = [dict(zip(keys, line, strict=True)) for line in lines]
    assert said in {picture["message"] for picture in pictures_in(Report(**given).to_dict())}


# --- one closed, safe file ----------------------------------------------------------------------------------


def poisoned() -> Documents:
    """Documents in which every text that data can bring is hostile."""
    given = documents()
    run, insights = given["run"], given["insights"]
    run |= {"name": HOSTILE, "sentence": HOSTILE, "instance": {"name": HOSTILE}}
    run["data"]["sources"][0]["path"] = HOSTILE
    run["data"]["columns"] = {"profile": HOSTILE}
    run["data"]["kinds"][0]["kind"] = HOSTILE
    run["funnel"][0]["line"] = HOSTILE
    run["leaks"][0]["sentence"] = HOSTILE
    run["warnings"][0] |= {"message": f"`{HOSTILE}`", "hint": HOSTILE}
    texts = ("label", "value", "typical", "typical_inside", "typical_outside", "value_label")
    factors = [*insights["factors"], *(f for b in insights["buckets"] for f in b["factors"])]
    for example in insights["examples"]:
        example["profile_id"] = HOSTILE
        factors += example["factors"]
    for factor in factors:
        factor |= {key: HOSTILE for key in texts if key in factor}
        for row in (*factor.get("distribution", ()), *factor.get("dependence", ())):
            row["label"] = HOSTILE
    return given


def test_hostile_texts_stay_texts(page: Page) -> None:
    hostile = page_of(poisoned())
    assert [e.tag for e in hostile.elements if e.tag in ("script", "img")] == ["script"] * len(page.all("script"))
    assert hostile.said.count(HOSTILE) > 100
    assert {e.tag for e in hostile.elements} - {"code"} == {e.tag for e in page.elements}


def test_page_loads_nothing(page: Page) -> None:
    given = [(e.tag, a, v or "") for e in page.elements for a, v in e.attributes.items() if a in LOADING]
    assert [(tag, a, v[:19]) for tag, a, v in given if v[0] != "#"] == [("link", "href", "data:image/svg+xml,")]
    style = "".join("".join(e.text) for e in page.all("style"))
    assert not re.search(r"@import|url\(|https?:", style)
    assert not any("sourceMappingURL" in "".join(e.text) for e in page.all("script"))


def test_policy_allows_only_the_scripts_of_the_page(page: Page) -> None:
    policy = next(e.attributes["content"] or "" for e in page.all("meta") if "http-equiv" in e.attributes)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    programs = ["".join(e.text) for e in page.all("script") if e.attributes.get("type") != "application/json"]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in programs]
    assert rules == {
        "default-src": "'none'",
        "script-src": " ".join(f"'sha256-{h}'" for h in hashes),
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert len(programs) == 4


def test_page_says_its_language_and_width(page: Page) -> None:
    assert page.all("html")[0].attributes == {"lang": "en"}
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in [
        e.attributes for e in page.all("meta")
    ]


def test_words_of_the_pictures_menu_stand_in_the_page_not_in_its_script(page: Page) -> None:
    given = next(e.attributes for e in page.all("script") if e.attributes.get("id") == "pictures")
    assert [given[f"data-{name}"] for name in ("save", "svg", "png", "failed")] == [
        "Save this picture", "Save as SVG", "Save as PNG", "This picture could not be drawn. Its table says the same.",
    ]  # fmt: skip
    assert "picture could not" not in (ROOM / "static" / "draw.js").read_text(encoding="utf-8")


def test_vendored_vega_lite_is_not_older_than_what_altair_writes() -> None:
    text = (ROOM / "static" / "README.md").read_text(encoding="utf-8")
    vendored = re.search(r"`vega-lite`.*?\| (\d+)\.(\d+)\.(\d+) \|", text)
    assert vendored is not None
    version = ".".join(vendored.groups())
    assert f'"{version}"' in (ROOM / "static" / "vega-lite.min.js").read_text(encoding="utf-8")
    written = [int(n) for n in altair.SCHEMA_VERSION.removeprefix("v").split(".")]
    assert [int(n) for n in vendored.groups()] >= written


def test_same_documents_same_page() -> None:
    assert Report(**documents()).to_html() == Report(**documents()).to_html()


def test_documents_are_left_as_they_were() -> None:
    given = documents()
    before = deepcopy(given)
    Report(**given).to_html()
    assert given == before


# --- saved ------------------------------------------------------------------------------------------------


def test_saved_page_replaces_an_older_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "new" / "report.html"
    report = Report(**documents())
    target.parent.mkdir()
    target.write_text("older", encoding="utf-8")
    report.save(target)
    assert target.read_text(encoding="utf-8") == report.to_html()
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]


def test_a_page_that_cannot_be_written_is_a_coded_refusal(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "inside").touch()
    with pytest.raises(WriteFailedError) as refused:
        Report(**documents()).save(tmp_path / "taken")
    assert (refused.value.code, refused.value.exit_status) == ("PROPEND-204", 1)
    assert "'taken'" in refused.value.message
    assert "--out" in refused.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_report_of_a_real_run_says_what_the_run_found(tmp_path: Path) -> None:
    finished = propend.run(SHOP, data=shop(), out=tmp_path / "run")
    page = Page((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))
    assert finished.report().to_html() == Report(finished.evaluation, finished.insights, finished.record).to_html()
    assert finished.record["sentence"] in page.said
    assert finished.evaluation["verdict"]["sentence"] in page.said
    assert all(w["message"][1:] in page.said for w in finished.record["warnings"])
    assert all(line["line"] in page.said for line in finished.record["funnel"])
    assert [e["profile_id"] in page.said for e in finished.insights["examples"]] == [True] * len(
        finished.insights["examples"]
    )
