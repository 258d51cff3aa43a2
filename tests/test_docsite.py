"""The documentation as a site: made without a warning, the same as in the repository, nothing asked of elsewhere."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from docsite.making import SETTINGS, SiteError, asked_outside, make_site
from markdown_it import MarkdownIt
from playwright.sync_api import Browser

from browser import NARROW, WIDE, Visitor

ROOT = Path(__file__).parent.parent
PARTS = ("li", "table", "tr", "pre", "blockquote", "h1", "h2", "h3", "code")
GATHERED = ("docs", "examples", "src", "benchmarks", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", SETTINGS)


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
    assert 'href="../how_it_works.html' in (site / "repository" / "index.html").read_text(encoding="utf-8")
    assert 'href="repository/examples.html"' in article(site / "index.html")


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
    for page in ("index", "how_it_works", "goal_language", "rest", "evidence", "repository/examples"):
        visitor.open(f"/{page}.html")
        visitor.look(f"site-{page.replace('/', '-')}-{width}-{'dark' if dark else 'light'}")
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
