"""The languages: what is said in each, that catalogs are whole, and that contexts do not leak."""

from __future__ import annotations

import gettext
import json
import re
import string
from collections.abc import Iterator
from copy import deepcopy
from datetime import date
from functools import cache
from html import unescape
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import propend
import report_documents
from propend import language, pipeline
from propend.aftermath_page import Aftermath
from propend.instance import Options
from propend.language import LANGUAGES, day_words, listed, numeral, say, say_many, say_marked, speaking, spoken
from propend.phrasing import count, percent, shown, words_of
from propend.report import Report
from propend.snapshots import plan
from propend.snapshots.plan import plural
from shops import CATEGORIES, shop, with_options

ROOT = Path(__file__).parent.parent
TRANSLATED = [name for name in LANGUAGES if name != language.ENGLISH]
KEYWORDS = {"say": None, "say_many": (1, 2), "say_marked": None, "noted": None}


@cache
def texts() -> frozenset[str | tuple[str, ...]]:
    """Every text of the code and the templates that is said somewhere."""
    methods = [("**.py", "python"), ("templates/**.j2", "jinja2")]
    found = extract_from_dir(str(ROOT / "src" / "propend"), methods, keywords=KEYWORDS)
    return frozenset(message for _, _, message, _, _ in found)


def catalog(name: str) -> Catalog:
    with (language.TRANSLATIONS / f"{name}.po").open("rb") as file:
        return read_po(file, locale=name)


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def pairs(name: str) -> Iterator[tuple[str, str]]:
    for message in catalog(name):
        if message.id and isinstance(message.id, str):
            yield message.id, str(message.string)
        elif message.id:
            yield from ((message.id[1], text) for text in message.string)


# --- catalogs ---------------------------------------------------------------------------------------------------


def test_texts_are_found_in_code_and_templates() -> None:
    assert "too few to tell" in texts()
    assert ("{days} day", "{days} days") in texts()


@pytest.mark.parametrize("name", TRANSLATED)
def test_every_text_is_translated_and_nothing_else(name: str) -> None:
    """`make translations` brings new texts into the catalogs, where they wait for their translation."""
    done = {m.id: m for m in catalog(name) if m.id}
    missing = [t for t in texts() if t not in done or not all(_strings(done[t].string)) or done[t].fuzzy]
    assert sorted(map(str, missing)) == []
    assert sorted(str(i) for i in done if i not in texts()) == []


def _strings(string: str | tuple[str, ...]) -> tuple[str, ...]:
    return (string,) if isinstance(string, str) else string


@pytest.mark.parametrize("name", TRANSLATED)
def test_translations_fill_in_the_same_values(name: str) -> None:
    """A value may be left out only of the text for one; a noun may change its number."""
    noun = {"one", "many"}
    wrong = [(text, there) for text, there in pairs(name) if placeholders(there) - placeholders(text) - noun]
    lost = [
        (m.id, m.string)
        for m in catalog(name)
        if m.id and isinstance(m.id, str) and placeholders(m.id) - placeholders(str(m.string)) - noun
    ]
    assert (wrong, lost) == ([], [])


@pytest.mark.parametrize("name", TRANSLATED)
def test_marks_of_html_and_code_survive_translation(name: str) -> None:
    for mark in ("<b>", "</b>", "`"):
        assert [t for t, there in pairs(name) if t.count(mark) != there.count(mark)] == []


def test_options_offer_every_language() -> None:
    assert set(Options.model_fields["language"].annotation.__args__) == set(LANGUAGES)
    assert sorted(p.stem for p in language.TRANSLATIONS.glob("*.po")) == TRANSLATED


# --- what is said -----------------------------------------------------------------------------------------------


def test_english_is_said_as_it_stands() -> None:
    assert say("{low} to {high}", low=1, high=2) == "1 to 2"
    assert (say_many("{days} day", "{days} days", 1, days=1), say_many("{n} row", "{n} rows", 1200)) == (
        "1 day",
        "1,200 rows",
    )
    assert say("a text that no catalog has") == "a text that no catalog has"


def test_portuguese_is_said_within_its_context_only() -> None:
    with speaking("pt"):
        assert (say("too few to tell"), spoken()) == ("poucos para avaliar", "pt")
        assert say_many("{days} day", "{days} days", 0, days=0) == "0 dia"
        with speaking("en"):
            assert say("too few to tell") == "too few to tell"
        assert words_of("churn").did == "abandonaram"
        assert say("a text that no catalog has") == "a text that no catalog has"
    assert (say("too few to tell"), spoken()) == ("too few to tell", "en")


def test_the_language_is_reset_when_something_fails() -> None:
    with pytest.raises(ZeroDivisionError), speaking("pt"):
        raise ZeroDivisionError
    assert spoken() == "en"


def test_a_language_that_is_not_spoken_is_refused() -> None:
    with pytest.raises(ValueError, match="en, pt, not 'xx'"), speaking("xx"):
        pass


def test_threads_do_not_speak_for_each_other() -> None:
    heard = []
    with speaking("pt"):
        other = Thread(target=lambda: heard.append(spoken()))
        other.start()
        other.join()
    assert heard == ["en"]


def test_numbers_dates_and_lists_follow_the_language() -> None:
    day = date(2011, 9, 1)
    assert (numeral("-1,240.5"), day_words(day), listed(["a", "b", "c"])) == (
        "-1,240.5",
        "1\u00a0September 2011",
        "a, b and c",
    )
    assert (percent(0.263), count(12345.0), shown(None)) == ("26.3\u00a0%", "12,345", "–")
    with speaking("pt"):
        assert (numeral("-1,240.5"), listed(["a", "b", "c"])) == ("-1.240,5", "a, b e c")
        assert day_words(day) == "1\u00a0de setembro de 2011"
        assert (percent(0.263), count(12345.0), shown(0.20, "share")) == ("26,3\u00a0%", "12.345", "20\u00a0%")
        assert (shown(0.7, "odds"), shown(-0.5, "signed")) == ("×\u00a02,0", "−0,50")


def test_marked_texts_escape_their_values_only() -> None:
    assert say_marked("<b>{name}</b>", name="<i>") == "<b>&lt;i&gt;</b>"


@pytest.mark.parametrize(
    ("name", "noun", "many"),
    [
        ("en", "purchase", "purchases"), ("en", "box", "boxes"), ("en", "entry", "entries"), ("en", "day", "days"),
        ("en", "news", "news"), ("pt", "compra", "compras"), ("pt", "sessão", "sessões"), ("pt", "viagem", "viagens"),
        ("pt", "canal", "canais"), ("pt", "papel", "papéis"), ("pt", "mulher", "mulheres"), ("pt", "buy", "buys"),
    ],
)  # fmt: skip
def test_plurals_follow_the_language(name: str, noun: str, many: str) -> None:
    with speaking(name):
        assert plural(noun) == many


# --- nothing is left unsaid -------------------------------------------------------------------------------------


class Brackets(gettext.NullTranslations):
    """A language in which every text is itself in brackets: what stands outside of any was not said."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"⟦{msgid1 if n == 1 else msgid2}⟧"


@pytest.fixture
def brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(language.LANGUAGES, "zz", "en_GB")
    monkeypatch.setitem(plan.PLURALS, "zz", plan.PLURALS["en"])
    spoken_catalog = language._catalog
    monkeypatch.setattr(language, "_catalog", lambda name: Brackets() if name == "zz" else spoken_catalog(name))


def outside(text: str) -> str:
    """What of a text stands outside all brackets."""
    depth, left = 0, []
    for letter in text:
        depth += (letter == "⟦") - (letter == "⟧")
        if depth == 0 and letter != "⟧":
            left.append(letter)
    return "".join(left)


def unsaid(html: str, allowed: str) -> set[str]:
    """Words on a page, in its texts and labels, that stand outside brackets and are not those of the data."""
    page = re.sub(r"(?s)<script.*?</script>|<style.*?</style>|<pre.*?</pre>|<code>.*?</code>", "", html)
    labels = re.findall(r'(?:aria-label|title|alt)="([^"]*)"', page)
    said = unescape(re.sub(r"<[^>]+>", "\n", page)) + "\n" + "\n".join(map(unescape, labels))
    words = re.findall(r"[^\W\d_]{3,}", re.sub(r"\w+_\w*", " ", outside(said)))  # names with underscores are codes
    return {word for word in words if word.lower() not in allowed.lower()}


NOT_SAID = """
    AUC table old young propend vega lite embed parquet json python numpy platform linux Europe London Jan Feb Mar Apr
    May Jun Jul Aug Sep Oct Nov Dec January February March April June July August September October November December
"""
"""Names of things, months, which the calendar of the language writes, and values of the test's attributes."""


@pytest.mark.parametrize("propensity_type", ["conversion", "churn"])
def test_every_word_of_the_report_is_said(brackets: None, propensity_type: str) -> None:
    with speaking("zz"):
        given = deepcopy(report_documents._fitted.__wrapped__(propensity_type))
    given["run"]["instance"]["options"]["language"] = "zz"
    html = Report(**given).to_html()
    assert 'lang="zz"' in html
    assert unsaid(html, json.dumps(given["run"], ensure_ascii=False) + NOT_SAID) == set()


def test_every_word_of_the_page_after_the_window_is_said(brackets: None) -> None:
    with speaking("zz"):
        document = deepcopy(report_documents._aftermath.__wrapped__("churn"))
    html = Aftermath(document | {"language": "zz"}).to_html()
    written = [
        document["name"],
        document["left_out"],
        document["challenge"]["sentence"],
        "models champion challenger runs",
    ]
    assert unsaid(html, json.dumps(written) + NOT_SAID) == set()


def test_every_word_that_a_run_makes_is_said(brackets: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Notices, the question, the verdict and factors are made by the run itself, and kept in its documents."""
    monkeypatch.setattr(pipeline, "speaking", lambda _: speaking("zz"))
    events = shop()
    twice = pa.concat_tables([events, events.slice(0, 40)])
    run = propend.run(with_options(horizons=[14, 30], fairness=["category"]), data=twice, out=tmp_path / "run")
    run.record["instance"]["options"]["language"] = "zz"
    html = run.report().to_html()
    assert run.record["warnings"]
    kinds = " ".join(k["kind"] for k in run.record["data"]["kinds"])
    data = json.dumps([run.record["instance"], run.record["versions"], list(events.column_names)]) + kinds
    assert unsaid(html, data + " ".join(CATEGORIES) + NOT_SAID) == set()
