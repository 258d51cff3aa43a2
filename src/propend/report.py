"""A run as a report that is read from top to bottom: plain data first, then one offline HTML file.

``to_dict`` says what the report says; ``to_html`` gives it a form. Pictures are named charts with their rows
(``charts.py``); the page embeds Vega, Vega-Lite and Vega-Embed (``static/``) and loads nothing: its content
security policy allows its own scripts, by their hashes, and no other source of any kind.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from propend.charts import CHARTS
from propend.drawing import INK, MUTED, word
from propend.errors import WriteFailedError
from propend.language import ENGLISH, numeral, say, say_many, say_marked, speaking, spoken
from propend.narrative import Given, compose
from propend.phrasing import NOTHING, Words, capital, shown
from propend.writing import whole_file

Plain = dict[str, Any]
Table = list[dict[str, str]]

ROOM = Path(__file__).parent
VEGA_LITE = ("application/vnd.vegalite.v5+json", "application/vnd.vegalite.v6+json")
"""What notebooks call a picture: older ones know the first alone."""
CELL_WIDTH = 640
SCRIPTS = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js", "draw.js")


@dataclass(frozen=True)
class Report:
    """The report of one finished run.

    Attributes:
        evaluation: ``evaluation.json``, the proof.
        insights: ``insights.json``: scores, buckets, factors, examples.
        run: ``run.json``: the question, counts, data, warnings, how it was made.
    """

    evaluation: Plain
    insights: Plain
    run: Plain

    def to_dict(self) -> Plain:
        """All that the report says, as plain data: texts, tables, and pictures as named charts with rows."""
        with speaking(language_of(self.run)):
            return compose(self._given)

    def to_html(self) -> str:
        """The report as one HTML file that opens offline."""
        with speaking(language_of(self.run)):
            return page_html("report.html.j2", self.to_dict(), self._given.words)

    @property
    def _given(self) -> Given:
        return Given(self.evaluation, self.insights, self.run)

    @property
    def charts(self) -> dict[str, Picture]:
        """Every picture by its name; a notebook draws what is shown of them."""
        language = language_of(self.run)
        with speaking(language):
            return {p["id"]: Picture(p, self._given.words, language) for p in pictures_in(self.to_dict())}

    def save(self, path: str | Path) -> None:
        """Write the HTML file; it is there whole or not at all.

        Raises:
            WriteFailedError: the folder cannot be written, or the disk is full.
        """
        write_whole(Path(path), self.to_html())


@dataclass(frozen=True, repr=False)
class Picture:
    """One picture, which notebooks draw with the Vega-Lite that they have: nothing is asked of any other place.

    Attributes:
        plain: name of the chart, rows, and what it shows this time.
        words: how meeting the goal is called.
        language: in which it speaks.
    """

    plain: Plain
    words: Words
    language: str = ENGLISH

    @property
    def title(self) -> str:
        """What it shows, this time."""
        with speaking(self.language):
            return str(self.plain["message"]) or CHARTS[self.plain["chart"]].titled(self.words)

    def __repr__(self) -> str:
        return f"<picture {self.plain['id']!r}: {self.title}>"

    def spec(self) -> Plain:
        """The Vega-Lite document, as wide as a notebook's cell may be; how to read it stands under its title."""
        with speaking(self.language):
            reading = CHARTS[self.plain["chart"]].read(self.words)
            spec = spec_of(self.plain, self.words)
        title = {"text": _lines(self.title), "subtitle": _lines(reading), "anchor": "start", "color": INK}
        return spec | {"width": CELL_WIDTH, "title": title | {"subtitleColor": MUTED, "offset": 12}}

    def frame(self) -> Table:
        """Its rows as a table: one mapping of headings to texts for each."""
        with speaking(self.language):
            return CHARTS[self.plain["chart"]].frame(self.plain["rows"], self.words)

    def _repr_mimebundle_(self, **_kinds: Any) -> tuple[Plain, Plain]:
        """For Jupyter and VS Code; elsewhere the words stand alone."""
        spec = self.spec()
        said = {"text/plain": repr(self)} | dict.fromkeys(VEGA_LITE, spec)
        return said, {key: {"embed_options": {"actions": {"editor": False}}} for key in VEGA_LITE}


def _lines(text: str) -> list[str]:
    """A text as lines that fit into a notebook's picture."""
    return textwrap.wrap(text, CELL_WIDTH // 7)


def language_of(run: Plain) -> str:
    """The language in which a run speaks, by its record."""
    return str((run["instance"].get("options") or {}).get("language", ENGLISH))


# --- the page ---------------------------------------------------------------------------------------------


def page_html(template: str, content: Plain, words: Words) -> str:
    """A page as one HTML file that opens offline.

    Args:
        template: file in ``templates/``; it gets the content as ``report``.
        content: texts, tables, and pictures as named charts with rows.
        words: how meeting the goal is called.
    """
    specs = {p["id"]: spec_of(p, words) for p in pictures_in(content)}
    scripts = [_script(name) for name in SCRIPTS]
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    return (
        _own_environment()
        .get_template(template)
        .render(
            report=content,
            words=words,
            language=spoken(),
            style=(ROOM / "templates" / "report.css").read_text(encoding="utf-8"),
            policy=" ".join(f"'sha256-{h}'" for h in hashes),
            scripts=scripts,
            specs=_embedded_json(specs),
            licences=(ROOM / "static" / "LICENSES.txt").read_text(encoding="utf-8"),
        )
    )


def write_whole(target: Path, text: str) -> None:
    """Write a text file; it is there whole or not at all.

    Raises:
        WriteFailedError: the folder cannot be written, or the disk is full.
    """
    try:
        with whole_file(target) as file:
            file.write(text.encode())
    except OSError as error:
        raise WriteFailedError(
            f"The report could not be written to {target.name!r}: {error.strerror or error}.",
            "free some space, or name another file with --out; nothing half-written was left.",
            path=str(target),
        ) from error


def pictures_in(content: Any) -> list[Plain]:
    """Every picture with rows, wherever it stands in the report's data."""
    if isinstance(content, list):
        return [p for item in content for p in pictures_in(item)]
    if not isinstance(content, dict):
        return []
    if "chart" in content:
        return [content] if content["rows"] else []
    return pictures_in(list(content.values()))


def spec_of(picture: Plain, words: Words) -> Plain:
    """A picture as Vega-Lite, without the address of its schema: the page says itself that it draws Vega-Lite."""
    spec = CHARTS[picture["chart"]].spec(picture["rows"], words, picture["alt"])
    return {key: value for key, value in spec.items() if key != "$schema"}


def _script(name: str) -> str:
    """A script without the pointer to its source map, which a browser's tools would try to load."""
    text = (ROOM / "static" / name).read_text(encoding="utf-8")
    return re.sub(r"//# sourceMappingURL=\S*", "", text).strip()


def _embedded_json(value: Any) -> str:
    """JSON that can stand inside a script element, whatever texts it has."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


NUMBER = r"(×\s|[+−])?[\d,.]+(\s[%×])?"
"""A number as ``phrasing`` writes it; a cell may have its interval after it."""


def _kind(cells: list[str]) -> str:
    if all(re.fullmatch(r"\d{4}-\d\d-\d\d", cell) for cell in cells):
        return "date"
    number = rf"{NUMBER}( \({NUMBER} \w+ {NUMBER}\))?|{NOTHING}"
    return "number" if all(re.fullmatch(number, cell) for cell in cells) else "words"


def _columns(rows: Table) -> list[tuple[str, str]]:
    """Headings of a table, with the class of their column: numbers stand right, dates do not break."""
    return [(heading, _kind([row[heading] for row in rows])) for heading in rows[0]]


def _with_code(text: str) -> Markup:
    """What stands between backticks, as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


@cache
def _own_environment() -> Environment:
    return environment(ROOM / "templates")


def environment(folder: Path) -> Environment:
    """Templates of a folder, with the filters and words that reports and pages share."""
    found = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"shown": shown, "columns": _columns, "capital": capital, "with_code": _with_code}
    found.globals |= {"charts": CHARTS, "word": word, "numeral": numeral}
    found.globals |= {"say": say, "say_many": say_many, "say_marked": say_marked}
    return found
