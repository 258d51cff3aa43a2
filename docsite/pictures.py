"""Pictures of the pages as a browser shows them: those that the documentation has, or all of them.

A workspace is made of the sample data: two instances that have run, one that was refused, one that is being written,
segments, destinations, people. ``propend serve`` serves it, and Debian's Chromium looks at it.

    python -m docsite.pictures                    # docs/pictures/pages-*.png
    EVERY=.bench/pictures python -m docsite.pictures    # every page, in light and dark, 1440 and 390 pixels wide

``XDM`` may name a file of XDM ExperienceEvents, of which a further instance is proposed for the pictures of every page.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from playwright.sync_api import Browser, Page, sync_playwright

from propend import demo
from propend.document import read_text
from propend.errors import PropendError
from propend.proposal import propose
from propend.server.access import COOKIE
from propend.workspace import Workspace
from propend.workspace.accounts import Accounts
from propend.workspace.dispatch import follow
from propend.workspace.first import proposed_document
from propend.workspace.segments import Segments

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "docs" / "pictures"
WIDE, NARROW, HIGH = 1440, 390, 900
OWN = {
    "pages-goal": ("/instances/BUYERS/edit?step=goal", 1050),
    "pages-scores": ("/instances/BUYERS", 1000),
    "pages-audience": ("/instances/BUYERS/audience?n=150", 1000),
    "pages-segment": ("/segments/1/edit", 700),
    "pages-profile": ("/profiles/BEST", 1000),
}
"""Pictures of the documentation: the page, and how many pixels of its height are shown."""
EVERY = (
    "/", "/instances/new", "/instances/BUYERS", "/instances/BUYERS/evaluation", "/instances/BUYERS/performance",
    "/instances/BUYERS/runs", "/instances/BUYERS/model", "/instances/BUYERS/audience?n=150&cost=1&value=8",
    "/instances/BUYERS/compare", "/instances/BUYERS/destinations", "/instances/BUYERS/destinations/new",
    "/instances/BUYERS/destinations/new?kind=file", "/instances/BUYERS/destinations/new?kind=postgres",
    "/instances/BUYERS/destinations/new?kind=webhook", "/instances/BUYERS/destinations/new?kind=xdm-profile",
    "/instances/BUYERS/edit?step=setup", "/instances/BUYERS/edit?step=data", "/instances/BUYERS/edit?step=goal",
    "/instances/BUYERS/edit?step=options", "/instances/CHURN", "/instances/CHURN/evaluation", "/instances/REFUSED",
    "/instances/REFUSED/runs", "/instances/DRAFT", "/instances/XDM", "/instances/XDM/edit?step=goal",
    "/instances/XDM/edit?step=data", "/runs/RUN", "/runs/FAILED", "/destinations", "/destinations/1",
    "/destinations/1/edit", "/destinations/2", "/segments", "/segments/1", "/segments/1/edit", "/segments/2",
    "/segments/1/changes?change=joined", "/segments/new?instance=BUYERS", "/profiles", "/profiles/BEST",
    "/profiles/nobody", "/data", "/data/preview?path=data%2Fsample-orders.parquet", "/data/preview?path=XDMFILE",
    "/people", "/people/ben", "/account", "/audit", "/settings", "/nowhere",
)  # fmt: skip
"""Every place; a word in capitals stands for an id, and a place whose word means nothing here is left out."""

DOWN = "() => new Promise(done => { window.scrollTo(0, document.body.scrollHeight); setTimeout(done, 300) })"
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass(frozen=True)
class Scene:
    """A workspace to look at.

    Attributes:
        home: its folder.
        session: the cookie of somebody who manages.
        words: what stands for what in addresses.
    """

    home: Path
    session: str
    words: dict[str, str]

    def address(self, page: str) -> str | None:
        """Of a page; None where something that it names is not there."""
        for word in ("BUYERS", "CHURN", "REFUSED", "DRAFT", "XDMFILE", "XDM", "RUN", "FAILED", "BEST"):
            if word in page:
                if word not in self.words:
                    return None
                page = page.replace(word, self.words[word])
        return page


def main() -> int:
    """Take them; the exit status."""
    every, xdm = os.environ.get("EVERY"), os.environ.get("XDM")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if browser is None:
        print("Debian's chromium is not installed: make browser", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        scene = set_up(Path(folder) / "shop", Path(xdm) if xdm else None)
        with serving(scene.home) as server, closing(
            playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        ) as opened:  # fmt: skip
            taken = take_every(opened, server, scene, Path(every)) if every else take_own(opened, server, scene)
    print(f"{taken} pictures in {every or KEPT.relative_to(ROOT)}")
    return 0


# --- what is looked at ------------------------------------------------------------------------------------------


def set_up(home: Path, xdm: Path | None) -> Scene:
    """A workspace with something on every page."""
    home.mkdir()
    (home / "propend.toml").write_text("", encoding="utf-8")
    with closing(Workspace.open(home)) as workspace:
        words = _instances(workspace)
        if xdm is not None:
            words |= _of_xdm(workspace, xdm)
        _places(workspace, words)
        people = Accounts(workspace.catalog, workspace.settings.access)
        ana = people.add("ana", "manage", None, "local")
        people.add("ben", "view", None, "ana")
        return Scene(home, people.sessions.start(ana.id), words)


def _instances(workspace: Workspace) -> dict[str, str]:
    stored = workspace.data.add(demo.orders_path(), "sample-orders.parquet")
    orders = pq.read_table(demo.orders_path(), columns=["customer_id", "country"])
    customers = (
        orders.group_by("customer_id").aggregate([("country", "min")]).rename_columns(["customer_id", "country"])
    )
    pacsv.write_csv(customers.append_column("known_since", pa.array(["2009-12-01"] * customers.num_rows)),
                    workspace.home / "data" / "customers.csv")  # fmt: skip
    texts = {name: read_text(text)[0] for name, text in demo.instance_texts().items()}
    for document in texts.values():
        document["data"] = document["data"] | {"events": stored.path, "folder": ".."}
    texts["purchase"]["data"]["attributes"] = {"path": "data/customers.csv", "effective": "known_since"}
    words: dict[str, str] = {}
    for word, document, days in (
        ("BUYERS", texts["purchase"], ("2011-05-01", "2011-07-01", None)),
        ("CHURN", texts["churn"], (None,)),
        ("REFUSED", _refused(texts["purchase"]), (None,)),
    ):
        words[word] = workspace.instances.create(document, "ana").id
        for day in days:
            run = workspace.runs.start(words[word], by="ana", options={"as_of": day} if day else {})
            ended = follow(workspace, run.id, lambda _: None)
            words["RUN" if ended.state == "succeeded" else "FAILED"] = run.id
    words["DRAFT"] = workspace.instances.create_draft("Still being written", texts["churn"], "ana").id
    best = workspace.runs.folder(workspace.runs.served(words["BUYERS"])) / "scores.parquet"
    words["BEST"] = pq.read_table(best).sort_by([("probability", "descending")]).column("profile_id")[3].as_py()
    return words


def _refused(document: dict[str, Any]) -> dict[str, Any]:
    goal = {"all_of": [{"sum": "buy.amount", "gte": 50_000}], "within": "30d"}
    return document | {"name": "Spends 50,000 within 30 days", "goal": goal, "description": ""}


def _of_xdm(workspace: Workspace, events: Path) -> dict[str, str]:
    """An instance as it is proposed of them, run once, whether that succeeds or not."""
    stored = workspace.data.add(events, "web-events.parquet")
    document = proposed_document(propose(workspace.home / stored.path, workspace.home))
    found = {"XDM": workspace.instances.create(document, "ana").id, "XDMFILE": stored.path.replace("/", "%2F")}
    try:
        follow(workspace, workspace.runs.start(found["XDM"], by="ana").id, lambda _: None)
    except PropendError as error:
        print(error, file=sys.stderr)
    return found


def _places(workspace: Workspace, words: dict[str, str]) -> None:
    """Segments, and destinations: one that was pushed to, and one that cannot be."""
    segments = Segments(workspace.catalog, workspace.instances)
    german = "bucket = 'high' and attribute.country = 'Germany'"
    likely = segments.create(words["BUYERS"], "Likely buyers in Germany", german, "ana")
    both = f"bucket = 'high' and ({words['CHURN']}:bucket = 'low' or probability >= 0.5)"
    segments.create(words["BUYERS"], "Likely, and here to stay", both, "ana")
    for row in segments.every(words["BUYERS"]):
        workspace.membership.history(row.id)
    create = workspace.destinations.create
    sheet = create(words["BUYERS"], "Sheet for the German team", "file", {}, segment_id=likely.id, by="ana")
    url = "postgresql://propend@127.0.0.1:9/crm"
    crm = create(words["BUYERS"], "CRM, every night", "postgres", {"url": url, "table": "scores"}, by="ana")
    create(words["CHURN"], "Leavers for the call centre", "file", {"format": "jsonl", "gzip": True}, by="ana")
    for row in (sheet, crm):
        workspace.pushing.work(workspace.pushing.ask(row.id, "ana").id)


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """The address of a server of a workspace, ended afterwards."""
    command = [sys.executable, "-m", "propend", "serve", "--workspace", str(home), "--port", "0"]
    with (home / "server.log").open("w") as log, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, text=True
    ) as process:  # fmt: skip
        try:
            line = process.stdout.readline() if process.stdout is not None else ""
            yield line.split()[-1]
        finally:
            process.terminate()


# --- looking ----------------------------------------------------------------------------------------------------


@contextmanager
def window(browser: Browser, server: str, scene: Scene, width: int, dark: bool = False) -> Iterator[Page]:
    """A window of somebody who manages."""
    scheme: Any = "dark" if dark else "light"
    context = browser.new_context(
        viewport={"width": width, "height": HIGH}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.add_cookies([{"name": COOKIE, "value": scene.session, "url": server}])
    try:
        yield context.new_page()
    finally:
        context.close()


def show(page: Page, address: str) -> None:
    """Go there, and wait until everything is drawn, what is below as well."""
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.evaluate(DOWN)
    page.wait_for_load_state("networkidle")
    page.wait_for_function("() => !document.querySelector('[data-picture][data-state=drawing], .htmx-request')")
    page.evaluate("() => window.scrollTo(0, 0)")


def take_own(browser: Browser, server: str, scene: Scene) -> int:
    """The pictures of the documentation."""
    with window(browser, server, scene, 1280) as page:
        for name, (place, high) in OWN.items():
            address = scene.address(place)
            show(page, f"{server}{address}")
            page.set_viewport_size({"width": 1280, "height": high})
            page.screenshot(path=str(KEPT / f"{name}.png"))
    return len(OWN)


def take_every(browser: Browser, server: str, scene: Scene, folder: Path) -> int:
    """Every page, with a line for each that is wider than its window or has something to complain of."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = 0
    for width in (WIDE, NARROW):
        for dark in (False, True):
            with window(browser, server, scene, width, dark) as page:
                said: list[str] = []
                page.on("console", lambda m, said=said: said.append(m.text) if m.type == "error" else None)
                for place in EVERY:
                    address = scene.address(place)
                    if address is None:
                        continue
                    said.clear()
                    show(page, f"{server}{address}")
                    over = page.evaluate(TOO_WIDE)
                    name = place.strip("/").replace("/", "-").replace("?", "-").replace("&", "-") or "home"
                    shown = f"{name}-{width}-{'dark' if dark else 'light'}"
                    page.screenshot(path=str(folder / f"{shown}.png"), full_page=True)
                    taken += 1
                    if over > 0 or said:
                        print(f"{shown}: {over} px too wide; {said}")
    return taken


if __name__ == "__main__":
    sys.exit(main())
