"""Pages of an instance and its runs: what they show of real runs, what can be done and by whom; in a real browser."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser

from browser import NARROW, WIDE, Visitor
from propend.drill import factor_in_buckets
from propend.language import day_words
from propend.narrative import Given
from propend.phrasing import SPACE, shown
from propend.segments import Rule
from propend.server.pages.runs import MENDS, mend_of
from propend.server.pages.shell import duration
from propend.store.catalog import RunRow
from propend.store.runs import read_json
from propend.workspace import Workspace
from propend.workspace.accounts import Accounts
from propend.workspace.execution import execute
from propend.workspace.outcomes import so_far
from propend.workspace.standing import standing_of
from servers import Server, serving
from shops import last_day
from workspaces import document, made

pytestmark = pytest.mark.browser
PASSWORD = "a quiet place by the sea"
MANAGER, VIEWER = "ana", "vic"


@dataclass
class Shop:
    """A server whose workspace has an instance run twice, one that was refused, and a draft."""

    server: Server
    space: Workspace
    runs: tuple[RunRow, RunRow]
    refused: RunRow

    def given(self, run: RunRow) -> Given:
        return Given(
            *(read_json(self.space.runs.folder(run) / f"{name}.json") for name in ("evaluation", "insights", "run"))
        )


def run(space: Workspace, instance_id: str, **options: Any) -> RunRow:
    """Executed in this process, which is quicker than one of its own."""
    found = space.runs.start(instance_id, options=options)
    assert execute(space, found.id)
    return space.runs.get(found.id)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The first run stands 45 days back, so that its outcome window of 30 days is over."""
    home = made(tmp_path_factory.mktemp("insights") / "shop")
    space = Workspace.open(home)
    space.instances.create(document(schedule="weekly"))
    rare = document("Rarest <b>buyers</b>") | {
        "goal": {"all_of": [{"did": "buy", "at_least": 40}], "within": "30d"}, "type": "churn",
    }  # fmt: skip
    space.instances.create(rare, instance_id="rarest")
    space.instances.create_draft("Not ready", {"name": "Not ready"})
    earlier = run(space, "buyers", as_of=str(last_day() - timedelta(days=45)))
    later, refused = run(space, "buyers"), run(space, "rarest")
    assert [r.state for r in (earlier, later, refused)] == ["succeeded", "succeeded", "failed"], refused.error
    accounts = Accounts(space.catalog, space.settings.access)
    accounts.add(MANAGER, "manage", PASSWORD, "test")
    accounts.add(VIEWER, "view", PASSWORD, "test")
    with serving(home) as server:
        yield Shop(server, space, (earlier, later), refused)
    space.close()


@pytest.fixture(scope="module")
def sessions(browser: Browser, shop: Shop) -> dict[str, list[Any]]:
    """Cookies of those who are logged in."""
    found = {}
    for name in (MANAGER, VIEWER):
        visitor = Visitor(browser, shop.server.url)
        visitor.open("/login")
        visitor.page.fill("[name=name]", name)
        visitor.page.fill("[name=password]", PASSWORD)
        visitor.page.click("button.primary")
        found[name] = visitor.context.cookies()
        visitor.close()
    return found


class Logged(Visitor):
    """A visitor who is logged in."""

    def __init__(self, browser: Browser, shop: Shop, cookies: list[Any], **more: Any) -> None:
        super().__init__(browser, shop.server.url, **more)
        self.context.add_cookies(cookies)

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()


@pytest.fixture
def ana(browser: Browser, shop: Shop, sessions: dict[str, list[Any]]) -> Iterator[Logged]:
    found = Logged(browser, shop, sessions[MANAGER])
    yield found
    found.close()


@pytest.fixture
def vic(browser: Browser, shop: Shop, sessions: dict[str, list[Any]]) -> Iterator[Logged]:
    found = Logged(browser, shop, sessions[VIEWER])
    yield found
    found.close()


# --- looks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "dark"), [(WIDE, False), (NARROW, True)])
def test_every_page_is_well_on_every_screen(
    browser: Browser, shop: Shop, sessions: dict[str, list[Any]], width: int, dark: bool
) -> None:
    visitor = Logged(browser, shop, sessions[MANAGER], width=width, dark=dark)
    earlier, later = shop.runs
    pages = {
        "latest": "/instances/buyers",
        "latest-refused": "/instances/rarest",
        "latest-draft": "/instances/not-ready",
        "evaluation": "/instances/buyers/evaluation",
        "performance": "/instances/buyers/performance",
        "performance-none": "/instances/rarest/performance",
        "runs": "/instances/buyers/runs",
        "run": f"/runs/{later.id}",
        "run-refused": f"/runs/{shop.refused.id}",
        "compare": f"/instances/buyers/compare?before={earlier.id}&after={later.id}",
        "model": "/instances/buyers/model?before=1&after=1",
    }
    for name, address in pages.items():
        visitor.open(address)
        visitor.look(f"insights-{name}-{'narrow-dark' if dark else 'wide-light'}")
        heads = visitor.page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(h => Number(h.tagName[1]))")
        assert heads[0] == 1 and all(b - a <= 1 for a, b in itertools.pairwise(heads)), (name, heads)
    visitor.close()


# --- latest scores -------------------------------------------------------------------------------------------------


def test_latest_scores_are_those_of_the_run_in_use(ana: Logged, shop: Shop) -> None:
    given = shop.given(shop.runs[1])
    ana.open("/instances/buyers")
    assert ana.text("h1") == "Buyers enabled"
    assert ana.text(".sentence") == given.run["sentence"]
    told = [re.sub(r"\s+", " ", text) for text in ana.page.locator(".buckets > li").all_inner_texts()]
    for text, bucket in zip(told, given.insights["buckets"], strict=True):
        expected = [shown(bucket["n"], "count"), *(shown(bucket[k], "percent") for k in ("share", "expected_rate"))]
        assert [part for part in expected if part.replace(SPACE, " ") not in text] == [], (text, expected)
    links = ana.page.locator(".buckets a", has_text="Make a segment").evaluate_all("all => all.map(a => a.href)")
    asked = [parse_qs(urlsplit(link).query) for link in links]
    assert asked == [
        {"instance": ["buyers"], "where": [f"bucket = '{b['bucket']}'"]}
        for b in given.insights["buckets"]
        if b["n"]
    ]  # fmt: skip
    with ana.page.expect_download() as download:
        ana.page.click("text=for a spreadsheet")
    table = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert (len(table) - 1, table[0].split(",")[0]) == (given.insights["population"], '"profile_id"')


def test_a_factor_opens_with_its_values_in_every_bucket(ana: Logged, shop: Shop) -> None:
    given = shop.given(shop.runs[1])
    bucket = next(b for b in given.insights["buckets"] if b["n"] and b["factors"])
    factor = bucket["factors"][0]
    found = factor_in_buckets(given, factor["code"])
    assert found is not None
    ana.open("/instances/buyers")
    ana.page.locator("details.factor").first.locator("summary").first.click()
    body = ana.page.locator(".factor-body").first
    body.locator("table.tight tbody tr").first.wait_for()
    ana.look("insights-factor")
    rows = body.locator("table.tight").first.locator("tbody tr").all_inner_texts()
    assert [row.split("\t")[1] for row in rows] == [b["typical_inside"] for b in found["buckets"]]
    side = "raised_by" if factor["mean_impact"] >= 0 else "lowered_by"
    link = str(body.locator("a", has_text="Make a segment").get_attribute("href"))
    where = parse_qs(urlsplit(link).query)["where"][0]
    assert where == f"bucket = '{bucket['bucket']}' and {side} = '{factor['code']}'"
    assert len(Rule.read(where).conditions) == 2


def test_values_of_a_factor_are_shares_of_each_bucket(shop: Shop) -> None:
    given = shop.given(shop.runs[1])
    code = given.insights["factors"][0]["code"]
    found = factor_in_buckets(given, code)
    assert found is not None
    named = [b["bucket"] for b in given.insights["buckets"] if code in [f["code"] for f in b["factors"]]]
    assert [b["bucket"] for b in found["buckets"]] == named
    sums = {name: sum(v[name] or 0.0 for v in found["values"]) for name in named}
    assert sums == pytest.approx(dict.fromkeys(named, 1.0))
    assert factor_in_buckets(given, "no such factor") is None


# --- runs -----------------------------------------------------------------------------------------------------------


def test_a_run_is_started_watched_and_stopped(ana: Logged, shop: Shop) -> None:
    ana.open("/instances/buyers")
    ana.page.click("text=Score now")
    ana.page.wait_for_url("**/runs/*")
    run_id = ana.page.url.rsplit("/", 1)[-1]
    assert ana.page.locator("progress").count() == 1
    ana.page.click("text=Stop it")
    ana.page.wait_for_url("**/runs/*?happened=cancelled")
    ana.page.locator(".page-head .state", has_text="cancelled").wait_for(timeout=20_000)
    ana.look("insights-run-cancelled")
    assert shop.space.runs.get(run_id).state == "cancelled"
    assert shop.space.runs.served("buyers").id == shop.runs[1].id


def test_a_first_run_is_told_when_it_ends_and_when_its_answer_comes(ana: Logged, shop: Shop) -> None:
    young = shop.space.instances.create(document("Young"))
    ana.open(f"/instances/{young.id}")
    ana.page.locator(".empty button").click()
    ana.page.wait_for_url("**/runs/*")
    ana.open(f"/instances/{young.id}/performance")
    ana.page.locator(".under-way", has_text="there are new scores").wait_for(timeout=60_000)
    ana.page.click("text=Show them")
    ana.page.locator(".buckets > li").first.wait_for()
    ana.open(f"/instances/{young.id}/performance")
    ana.look("insights-performance-young")
    known_from = last_day() + timedelta(days=30)
    assert f"The first answer comes on {day_words(known_from)}" in ana.text(".callout-title")
    (row,) = so_far(shop.space, young.id)
    assert (row["matured"], date.fromisoformat(row["matures_at"][:10])) == (False, known_from)
    shop.space.instances.edit(young.id, document("Younger", schedule="monthly"))
    assert not standing_of(shop.space, shop.space.instances.get(young.id)).is_edited
    shop.space.instances.edit(young.id, document("Younger") | {"goal": {"any_of": ["buy"], "within": "14d"}})
    ana.open(f"/instances/{young.id}")
    assert "These scores are of version 1; version 3 is in force" in ana.page.locator("main").inner_text()
    shop.space.delete(young.id)


def test_a_refused_run_says_what_is_missing_and_where_it_is_mended(ana: Logged, vic: Logged, shop: Shop) -> None:
    assert shop.refused.error is not None
    for visitor in (ana, vic):
        visitor.open("/instances/rarest")
        assert shop.refused.error["message"] in visitor.text("[role=alert]")
    assert (
        ana.page.locator("a", has_text="Look at its goal").get_attribute("href") == "/instances/rarest/edit?step=goal"
    )
    assert vic.page.locator("a", has_text="Look at its goal").count() == 0
    assert ana.text("h1").startswith("Rarest <b>buyers</b>")  # as it was written, not as a tag


def test_every_refusal_of_data_or_goal_leads_to_its_step(shop: Shop) -> None:
    steps = {}
    for step, (_, numbers) in MENDS.items():
        for number in numbers:
            row = RunRow(instance_id="a", error={"code": f"PROPEND-{number}"})
            steps[number] = mend_of(row)
            assert str((steps[number] or ("",))[0]).endswith(f"/instances/a/edit?step={step}")
    assert set(range(400, 415)) - steps.keys() == {404, 406}  # which there are none of
    assert mend_of(RunRow(instance_id="a", error={"code": "PROPEND-116"})) is None


def test_two_runs_are_compared_as_the_runs_themselves_say(ana: Logged, shop: Shop) -> None:
    earlier, later = shop.runs
    ana.open(f"/runs/{later.id}")
    ana.page.click("text=What moved since the run before")
    cells = ana.page.locator(".transitions td")
    cells.first.wait_for()
    asked = ana.page.request.get(f"{shop.server.url}/api/v1/runs/{later.id}/comparison?since={earlier.id}").json()
    told = [int(re.sub(r"\D", "", text)) for text in cells.all_inner_texts()]
    assert told == [row["n"] for row in asked["buckets"]]
    assert ana.page.locator(".movement .movers h4 a").all_inner_texts() == [
        m["after"]["profile_id"] for m in asked["movers"]
    ]
    ana.open(f"/instances/buyers/compare?before={later.id}&after={later.id}")
    assert "Two runs of this instance" in ana.text("[role=alert]")


# --- how good, how made, what came --------------------------------------------------------------------------------


def test_the_proof_is_shown_with_its_curves(vic: Logged, shop: Shop) -> None:
    given = shop.given(shop.runs[1])
    vic.open("/instances/buyers/evaluation")
    assert given.evaluation["verdict"]["sentence"] in vic.page.locator("main").inner_text()
    drawn = vic.page.locator("[data-picture]").evaluate_all("all => all.map(p => p.dataset.picture)")
    assert drawn == ["ranking", "calibration", "top_n", "gains", "lift", "roc", "precision_recall"]


def test_what_came_is_that_of_the_outcomes(vic: Logged, shop: Shop) -> None:
    earlier, later = shop.runs
    rows = so_far(shop.space, "buyers")
    assert [(row["run_id"], row["matured"]) for row in rows] == [(earlier.id, True), (later.id, False)]
    judged = rows[0]
    counted = [sum(bar[key] for bar in judged["score_histogram"]) for key in ("n", "positives")]
    assert counted == [judged["known"], judged["positives"]]
    vic.open("/instances/buyers/performance")
    assert judged["verdict"]["sentence"] in vic.page.locator("main").inner_text()
    drawn = vic.page.locator("[data-picture]").evaluate_all("all => all.map(p => p.dataset.picture)")
    assert drawn == ["outcome_trend", "outcome_histogram", "bucket_outcomes", "calibration", "ranking"]
    vic.page.fill("#since", str(last_day()))
    vic.page.locator(".date-range button").first.click()
    vic.page.wait_for_url("**since=*")
    vic.settle()
    vic.page.locator(".picture-outcome_trend .as-table summary").click()
    days = vic.page.locator(".picture-outcome_trend tbody td.date").all_inner_texts()
    assert set(days) == {str(last_day())}


# --- actions --------------------------------------------------------------------------------------------------------


def choose(visitor: Logged, what: str) -> None:
    visitor.page.click(".instance-head details.menu > summary")
    visitor.page.click(f".instance-head .menu-list >> text={what}")


def test_an_instance_is_renamed_switched_copied_and_deleted(ana: Logged, shop: Shop) -> None:
    row = shop.space.instances.create(document("Plain"))
    shop.space.instances.save_draft(row.id, document("Plain") | {"goal": {"any_of": ["visit"], "within": "7d"}})
    ana.open(f"/instances/{row.id}")
    choose(ana, "Name and schedule")
    ana.page.fill("#name", "Plain & simple")
    ana.page.fill("#description", "Who buys")
    ana.page.select_option("#schedule", "daily")
    ana.page.click("dialog[open] button.primary")
    ana.page.locator(".happened", has_text="are saved").wait_for()
    found = shop.space.instances.get(row.id)
    newest = shop.space.instances.version(row.id)
    assert (found.name, newest.number, newest.document["description"]) == ("Plain & simple", 2, "Who buys")
    assert (newest.document["options"]["schedule"], found.due_at is not None) == ("daily", True)
    assert found.draft is not None and found.draft["goal"] == {"any_of": ["visit"], "within": "7d"}
    assert "every day at 04:00" in ana.text(".instance-facts")
    ana.page.click("text=Throw them away")
    ana.page.locator(".happened", has_text="thrown away").wait_for()
    assert shop.space.instances.get(row.id).draft is None
    choose(ana, "Switch off")
    ana.page.locator(".happened", has_text="switched off").wait_for()
    assert (shop.space.instances.get(row.id).status, shop.space.instances.get(row.id).due_at) == ("disabled", None)
    ana.page.click("text=Switch on")
    ana.page.locator(".happened", has_text="switched on").wait_for()
    ana.page.goto(f"{shop.server.url}/instances/{row.id}/model?before=1&after=2")
    assert '"Plain & simple"' in ana.page.locator("#differences").inner_text()
    choose(ana, "Make a copy")
    ana.page.wait_for_url("**/instances/plain-simple-copy/edit")
    ana.complaints.clear()
    ana.open(f"/instances/{row.id}")
    choose(ana, "Delete…")
    ana.look("insights-delete")
    ana.page.click("dialog[open] button.danger")
    ana.page.wait_for_url(f"{shop.server.url}/")
    assert row.id not in [i.id for i in shop.space.instances.all()]


def test_viewers_see_everything_and_change_nothing(vic: Logged, shop: Shop) -> None:
    for address in ("", "/runs", "/evaluation", "/performance", "/model", "/compare"):
        vic.open(f"/instances/buyers{address}")
        assert vic.page.locator("main form[method=post], main [data-opens], dialog").count() == 0, address
        assert vic.page.locator("main a", has_text="Make a segment").count() == 0


def test_a_phone_shows_where_one_is(browser: Browser, shop: Shop, sessions: dict[str, list[Any]]) -> None:
    """Strips of tabs are wider than a phone: the one that is open is scrolled to."""
    visitor = Logged(browser, shop, sessions[MANAGER], width=NARROW)
    for address, tab in (("/instances/buyers/model", "How it was made"), ("/settings", "Settings")):
        visitor.open(address)
        box = visitor.page.locator("nav a[aria-current=page]", has_text=tab).bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= NARROW
    visitor.close()


def test_menus_and_dialogs_fit_a_phone(browser: Browser, shop: Shop, sessions: dict[str, list[Any]]) -> None:
    row = shop.space.instances.create(document("Donaudampfschifffahrtsgesellschaft " * 5), instance_id="long")
    visitor = Logged(browser, shop, sessions[MANAGER], width=NARROW)
    visitor.open(f"/instances/{row.id}")
    visitor.page.click(".instance-head details.menu > summary")
    box = visitor.page.locator(".instance-head .menu-list").bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= NARROW
    visitor.page.click("text=Name and schedule")
    visitor.look("insights-rename-narrow")
    assert visitor.page.locator("dialog[open]").evaluate("d => d.scrollWidth <= d.clientWidth")
    visitor.close()
    shop.space.delete(row.id)


# --- parts ----------------------------------------------------------------------------------------------------------


def test_how_an_instance_stands(shop: Shop) -> None:
    found = standing_of(shop.space, shop.space.instances.get("buyers"))
    assert (found.question, found.schedule) == (
        "Of profiles who did anything at least once in the last 90 days, who will do buy in the next 30 days?",
        "every Monday at 04:00",
    )
    assert (found.served and found.served.id, found.undone) == (shop.runs[1].id, None)
    refused = standing_of(shop.space, shop.space.instances.get("rarest"))
    assert (refused.served, refused.undone and refused.undone.id, refused.active) == (None, shop.refused.id, None)
    draft = standing_of(shop.space, shop.space.instances.get("not-ready"))
    assert (draft.question, draft.propensity_type, draft.newest) == ("", "conversion", None)


def test_no_instance_gets_the_address_of_a_page(shop: Shop) -> None:
    row = shop.space.instances.create_draft("New", {"name": "New"})
    assert row.id == "new-2"
    shop.space.delete(row.id)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.44, "0.4 s"), (9.96, "10 s"), (59.4, "59 s"), (125.0, "2 min 5 s"), (3840.0, "1 h 4 min")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
