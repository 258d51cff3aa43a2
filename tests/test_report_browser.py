"""The report in a real browser: everything is drawn, nothing is loaded or complained of, nothing overflows."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from propend.aftermath_page import Aftermath
from propend.report import Report, pictures_in
from report_documents import aftermath_document, documents
from test_report import HOSTILE, poisoned

pytestmark = pytest.mark.browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MOST_WAIT_MS = 60_000

WATCHER = """<!doctype html>
<iframe id="frame" src="report.html" style="border: 0; width: {width}px; height: 900px"></iframe>
<pre id="found"></pre>
<script>
const frame = document.getElementById("frame");
function states() {{
  return [...frame.contentDocument.querySelectorAll("[data-picture]")].map((box) => box.dataset.state);
}}
function report(before) {{
  const page = frame.contentDocument, root = page.documentElement, view = frame.contentWindow;
  const inside = (e) => e.closest(".scroll, pre, svg, .vega-actions, .sr, .skip, caption");
  document.getElementById("found").textContent = JSON.stringify({{
    drawn_at_first: before,
    states: states(),
    drawings: page.querySelectorAll("[data-picture] svg.marks").length,
    empty: [...page.querySelectorAll("[data-picture] svg.marks")].filter((s) => s.clientWidth < 100).length,
    overflow: root.scrollWidth - root.clientWidth,
    wide: [...page.querySelectorAll("main *")].filter((e) => !inside(e) && e.clientWidth > 0 &&
      e.getBoundingClientRect().right > view.innerWidth + 1).map((e) => e.tagName + "." + e.className).slice(0, 5),
    loaded: view.performance.getEntriesByType("resource").map((e) => e.name),
    texts: [...page.querySelectorAll("[data-picture] svg text")].map((t) => t.textContent).join(" ").length,
    menus: page.querySelectorAll("[data-picture] details .vega-actions a").length,
  }});
}}
function when(ready, then) {{ ready() ? then() : setTimeout(() => when(ready, then), 50); }}
frame.onload = () => when(() => states().filter(Boolean).every((s) => s !== "drawing"), () => {{
  const before = states().filter((s) => s === "drawn").length;
  frame.contentDocument.getElementById("open-all").click();
  when(() => states().every((s) => s === "drawn" || s === "failed"), () => report(before));
}});
</script>
"""


def watched(folder: Path, page: str, width: int) -> tuple[dict[str, Any], list[str]]:
    """What the browser found on a page after everything was opened, and the lines of its console."""
    if CHROMIUM is None:
        print("no Chromium here: the report was not opened in a browser (make browser installs one)")
        pytest.skip("no Chromium: `make browser` installs one")
    (folder / "report.html").write_text(page, encoding="utf-8")
    (folder / "watch.html").write_text(WATCHER.format(width=width), encoding="utf-8")
    finished = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--allow-file-access-from-files",
            "--disable-web-security", f"--user-data-dir={folder / 'browser'}", "--window-size=1400,1000",
            "--enable-logging=stderr", f"--virtual-time-budget={MOST_WAIT_MS}", "--dump-dom",
            (folder / "watch.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="found">(.*?)</pre>', finished.stdout, re.DOTALL)
    assert found is not None and found[1], "the page was not done in time"
    console = [line for line in finished.stderr.splitlines() if ":CONSOLE" in line]
    return json.loads(html.unescape(found[1])), console


@pytest.mark.parametrize(("kind", "width"), [("conversion", 1280), ("churn", 360)])
def test_everything_is_drawn_and_fits(tmp_path: Path, kind: str, width: int) -> None:
    given = documents(kind)
    count = len(pictures_in(Report(**given).to_dict()))
    found, console = watched(tmp_path, Report(**given).to_html(), width)
    assert console == []
    assert found["states"] == ["drawn"] * count
    assert (found["drawings"], found["empty"], found["menus"]) == (count, 0, 2 * count)
    assert 0 < found["drawn_at_first"] < count
    assert (found["overflow"], found["wide"], found["loaded"]) == (0, [], [])
    assert found["texts"] > 1000


@pytest.mark.parametrize(("kind", "width"), [("conversion", 1280), ("churn", 360)])
def test_the_page_after_the_window_is_drawn_and_fits(tmp_path: Path, kind: str, width: int) -> None:
    found, console = watched(tmp_path, Aftermath(aftermath_document(kind)).to_html(), width)
    assert (console, found["states"]) == ([], ["drawn"] * 5)
    assert (found["overflow"], found["wide"], found["loaded"], found["empty"]) == (0, [], [], 0)


def test_hostile_texts_are_drawn_as_texts_and_run_nothing(tmp_path: Path) -> None:
    given = poisoned()
    found, console = watched(tmp_path, Report(**given).to_html(), 360)
    assert console == []
    assert set(found["states"]) == {"drawn"}
    assert (found["overflow"], found["wide"]) == (0, [])
    assert HOSTILE in given["run"]["name"]
