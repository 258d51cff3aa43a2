"""The documentation as a site: made without a warning, the same as in the repository, nothing asked of elsewhere."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread

import pytest
from docsite import pictures, references
from docsite.code import PACKAGE, errors, routes
from docsite.making import SETTINGS, SiteError, asked_outside, make_site
from markdown_it import MarkdownIt
from playwright.sync_api import Browser

from browser import NARROW, WIDE, Visitor
from propend.conditions import OPERATORS
from propend.goal import AGGREGATES, COMBINATORS
from propend.instance import Options
from propend.model import checks, leaks
from propend.snapshots.plan import FAMILIES, Op
from propend.workspace.settings import SAYS

ROOT = Path(__file__).parent.parent
PARTS = ("li", "table", "tr", "pre", "blockquote", "h1", "h2", "h3", "code")
GATHERED = ("docs", "examples", "src", "tests", "benchmarks", *(path.name for path in ROOT.glob("*.md")), SETTINGS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_site(ROOT, tmp_path_factory.mktemp("made"))


def counted(html: str) -> dict[str, int]:
    return {part: len(re.findall(rf"<{part}[ >]", html)) for part in PARTS}


def article(page: Path) -> str:
    return page.read_text(encoding="utf-8").split("<article", 1)[1].split("</article>", 1)[0]


def test_pages_have_the_same_parts_in_the_site_and_in_the_repository(site: Path) -> None:
    """Markdown of repositories and that of the site differ in where lists begin, among others."""
    reads = MarkdownIt("commonmark").enable("table")
    gathered = site.parent / "build" / "docs"
    pages = {p.relative_to(gathered): p for p in gathered.rglob("*.md") if p.name != "README.md"}
    sources = {
        place: next(
            p for p in (ROOT / "docs" / place, ROOT / str(place).removeprefix("repository/"), path) if p.is_file()
        )
        for place, path in pages.items()
    }
    there = {place: counted(article(site / place.with_suffix(".html"))) for place in pages}
    assert there == {place: counted(reads.render(sources[place].read_text("utf-8"))) for place in pages}
    assert len(there) > 50


def test_files_beside_the_pages_are_pages(site: Path) -> None:
    examples = article(site / "repository" / "examples.html")
    assert "cdnow_churn.yaml" in examples
    tutorial = article(site / "repository" / "examples" / "notebooks" / "tutorial.ipynb.html")
    assert "A first prediction" in tutorial
    assert ("nbformat" in tutorial, 'href="../../../results.html' in tutorial) == (False, True)
    assert 'href="../how_it_works.html' in (site / "repository" / "index.html").read_text(encoding="utf-8")
    assert 'href="repository/examples.html"' in article(site / "index.html")


# --- pictures -------------------------------------------------------------------------------------------------


def test_pictures_are_of_pages_there_are() -> None:
    text = (ROOT / "docs" / "pages.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `GET (/[^\s`]*)` \|", text, re.MULTILINE)
    pages = [re.sub(r"\{[^}]*\}", "[^/]+", re.escape(path).replace(r"\{", "{").replace(r"\}", "}")) for path in told]
    places = [place.partition("?")[0] for place in (*pictures.EVERY, *(place for place, _ in pictures.OWN.values()))]
    assert [p for p in places if not any(re.fullmatch(page, p) for page in pages)] == ["/nowhere"]
    assert [name for name in pictures.OWN if f"pictures/{name}.png" not in text] == []


# --- references -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return references.pages()


def test_references_are_what_the_code_says_now(written: dict[str, str]) -> None:
    folder = references.FOLDER
    stale = {name for name, text in written.items() if (folder / name).read_text(encoding="utf-8") != text}
    assert stale == set(), "run: make references (python -m docsite.references)"
    assert {path.name for path in folder.iterdir()} == set(written)


def test_everything_in_the_references_has_words(written: dict[str, str]) -> None:
    """But for options that have no default, and errors that need no advice."""
    silent = [f"{name}: {line}" for name, text in written.items() for line in text.splitlines() if "| – |" in line]
    without = ("commands.md", "settings.md", "operators.md")
    assert [line for line in silent if not line.startswith(without) or line.count("| –") > 1] == []
    options = [p for command in references.all_commands().values() for p in command.params]
    assert [p.name for p in options if not getattr(p, "help", "")] == []
    parts = {name: text.split("\n\n") for name, text in written.items()}
    assert [(name, a) for name, found in parts.items() for a, b in pairwise(found) if silent_at(a, b)] == []


def silent_at(part: str, following: str) -> bool:
    return part.startswith("## ") and (following.startswith("## ") or not following.strip())


def test_references_have_everything(written: dict[str, str]) -> None:
    def headed(name: str) -> list[str]:
        return re.findall(r"^## (.+)$", written[name], re.MULTILINE)

    def first(name: str) -> set[str]:
        return set(re.findall(r"^\| `([^`]+)` \|", written[name], re.MULTILINE))

    assert headed("commands.md") == [f"propend {name}" for name in references.all_commands()]
    assert headed("features.md") == [*FAMILIES, "Aggregates"]
    assert first("features.md") >= {op.name.lower() for op in Op}
    assert headed("charts.md") == sorted(references.all_charts())
    assert len(headed("charts.md")) >= 20
    assert {f"PROPEND-{kind.number}" for kind in errors()} == set(headed("errors.md"))
    assert first("operators.md") == {name.replace("_", " ") for name in OPERATORS}
    assert first("goal_atoms.md") >= {*COMBINATORS, *AGGREGATES}
    assert first("settings.md") == {*SAYS, *Options.model_fields}
    assert first("checks.md") >= {*leaks.KINDS, "gate_outcomes", "gate_quality", "gate_scores"}
    assert first("rest.md") == {f"{route.method} {route.path}" for route in routes()}


def test_every_notice_and_leak_has_words() -> None:
    """Those in the code, wherever they are made."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py")))
    made = {symbol: number for number, symbol in re.findall(r'Notice\(\s*"(PROPEND-\d+)", "(\w+)"', code)}
    assert made == {symbol: number for symbol, (number, _) in checks.NOTICES.items()}
    assert set(re.findall(r'Leak\(\s*"(\w+)"', code)) == set(leaks.KINDS)


# --- what is refused ------------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository, as far as the site is made of it."""
    for name in GATHERED:
        there = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        there(ROOT / name, tmp_path / name)
    return tmp_path


def add(place: Path, text: str) -> None:
    with place.open("a", encoding="utf-8") as file:
        file.write(f"\n{text}\n")


def test_links_to_what_is_not_there_are_all_named(copy: Path) -> None:
    add(copy / "docs" / "scale.md", "[one](nowhere.md), [two](../missing.py)")
    with pytest.raises(FileNotFoundError, match=r"docs/scale\.md: docs/nowhere\.md, docs/scale\.md: missing\.py$"):
        make_site(copy, copy)
    assert not (copy / "site").exists()


def test_a_heading_that_is_not_there_is_refused(copy: Path) -> None:
    add(copy / "docs" / "scale.md", "[one](access.md#no-such-heading)")
    with pytest.raises(SiteError, match=r"scale\.md"):
        make_site(copy, copy)


def test_pages_out_of_the_navigation_are_refused(copy: Path) -> None:
    (copy / "docs" / "lost.md").write_text("# Lost\n", encoding="utf-8")
    settings = copy / SETTINGS
    settings.write_text(settings.read_text("utf-8").replace(": glossary.md", ": words.md"), encoding="utf-8")
    with pytest.raises(SiteError) as refused:
        make_site(copy, copy)
    assert str(refused.value).splitlines() == [
        f"glossary.md is not in the navigation of {SETTINGS}",
        f"lost.md is not in the navigation of {SETTINGS}",
        f"{SETTINGS} names words.md, which is not there",
    ]


def test_what_a_browser_would_fetch_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="https://free.example/">x</a><link rel="canonical" href="https://free.example/">'
        '<link href="//fonts.example/f.css" rel="stylesheet"><script async src=https://cdn.example/x.js></script>'
        '<img alt="" src="pictures/own.png"><img src="http://pixel.example/1.gif">',
        encoding="utf-8",
    )
    (tmp_path / "b.css").write_text(
        '@import "https://i.example/i.css"; a { background: url(own.png) } b { background: url("//u.example/u.png") }',
        encoding="utf-8",
    )
    assert asked_outside(tmp_path) == [
        "a.html asks //fonts.example/f.css",
        "a.html asks https://cdn.example/x.js",
        "a.html asks http://pixel.example/1.gif",
        "b.css asks https://i.example/i.css",
        "b.css asks //u.example/u.png",
    ]


# --- in a browser -------------------------------------------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a line for each."""

    def log_message(self, *said: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(WIDE, False), (WIDE, True), (NARROW, False), (NARROW, True)])
def test_pages_are_read_by_everybody_and_ask_nothing_of_elsewhere(
    address: str, browser: Browser, width: int, dark: bool
) -> None:
    visitor = Visitor(browser, address, width=width, dark=dark)
    for page in ("index", "how_it_works", "goal_language", "rest", "evidence", "reference/rest"):
        visitor.open(f"/{page}.html")
        visitor.look(f"site-{page.replace('/', '-')}-{width}-{'dark' if dark else 'light'}")
    assert visitor.complaints == []
    visitor.close()


@pytest.mark.browser
def test_pages_are_found_from_a_disk(site: Path, browser: Browser) -> None:
    visitor = Visitor(browser, site.as_uri())
    visitor.open("/how_it_works.html")
    visitor.page.get_by_role("button", name="Search").first.click()
    visitor.page.get_by_role("combobox").fill("local wall clock")
    visitor.page.get_by_role("option", name=re.compile("Events carry the local wall clock")).first.click()
    visitor.page.wait_for_url("**/decisions/0002-local-wall-clock.html*")
    assert visitor.complaints == []
    visitor.close()
