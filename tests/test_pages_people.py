"""Profiles, segments and audiences in a real browser, on a shop with two instances, one of which has run twice."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, expect

from browser import NARROW, WIDE, Visitor
from propend.model.certainty import total_interval
from propend.phrasing import count, percent
from propend.server.access import COOKIE
from propend.store.runs import read_json
from propend.workspace import Workspace
from propend.workspace.accounts import Accounts
from propend.workspace.dispatch import follow
from propend.workspace.segments import Segments
from servers import Server, serving
from shops import last_day
from workspaces import document, made

pytestmark = pytest.mark.browser


@dataclass
class Shop:
    """A server, the scores that it serves, and who may come."""

    server: Server
    home: Path
    scores: dict[str, pa.Table]
    runs: dict[str, Path]
    secrets: dict[str, str] = field(default_factory=dict)

    def visitor(self, browser: Browser, role: str = "manage", width: int = WIDE, dark: bool = False) -> Visitor:
        """Somebody who is logged in."""
        found = Visitor(browser, self.server.url, width=width, dark=dark)
        found.context.add_cookies([{"name": COOKIE, "value": self.secrets[role], "url": self.server.url}])
        return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    home = made(tmp_path_factory.mktemp("people") / "shop")
    workspace = Workspace.open(home)
    ids = sorted(set(pq.read_table(home / "events.parquet").column("profile_id").to_pylist()))
    held = {"profile_id": ids, "country": [("DE", "FR", "IT <b>")[i % 7 % 3] for i in range(len(ids))]}
    joined = [date(2021, 1, 1 + i % 28) for i in range(len(ids))]
    pq.write_table(
        pa.table({**held, "vip": [i % 4 == 0 for i in range(len(ids))], "joined": joined}), home / "p.parquet"
    )
    buyers = document("Buyers")
    buyers["data"]["attributes"] = {"path": "../p.parquet"}
    leaving = document("Leaving <b>soon</b>") | {"type": "churn", "goal": {"none_of": ["buy"], "within": "30d"}}
    for asked, options in (
        (buyers, {"as_of": str(last_day() - timedelta(days=20))}),
        (None, {}),
        (leaving, {}),
    ):
        made_one = workspace.instances.create(asked).id if asked else made_one  # noqa: F821  the one before
        run = workspace.runs.start(made_one, options=options)
        assert follow(workspace, run.id, lambda _run: None).state == "succeeded"
    runs = {i.id: workspace.runs.folder(workspace.runs.served(i.id)) for i in workspace.instances.all()}
    workspace.instances.create(document("Not yet run"))
    people = Accounts(workspace.catalog, workspace.settings.access)
    secrets = {
        role: people.sessions.start(people.add(f"one.who.{role}s", role, None, "test").id)
        for role in ("view", "manage")
    }  # fmt: skip
    workspace.close()
    with serving(home) as server:
        tables = {i: pq.read_table(folder / "scores.parquet") for i, folder in runs.items()}
        yield Shop(server, home, tables, runs, secrets)


def expected(shop: Shop, instance_id: str, table: pa.Table) -> dict[str, str]:
    """What a page should say is to be expected of some scores."""
    error = read_json(shop.runs[instance_id] / "run.json")["model"]["calibration"]["level_error"]
    probability = table.column("probability").to_numpy()
    found = {end: count(round(x)) for end, x in total_interval(probability, error).items()}
    return {"value": found["value"], "note": f"between {found['low']} and {found['high']}"}


def figures(visitor: Visitor, within: str = "main") -> dict[str, tuple[str, str]]:
    """Value and note of each figure, by its label."""
    return {
        box.locator("dt").inner_text(): (box.locator("strong").inner_text(), box.locator("dd > span").inner_text())
        for box in visitor.page.locator(f"{within} .figures > div").all()
    }


def text(visitor: Visitor, selector: str = "main") -> str:
    return visitor.page.locator(selector).inner_text().replace("\u00a0", " ")


def quiet(visitor: Visitor) -> None:
    """Wait until what was swapped in is ready: nobody is as quick as a test."""
    expect(visitor.page.locator(".htmx-request, .htmx-swapping, .htmx-settling, .htmx-added")).to_have_count(0)


# --- audiences --------------------------------------------------------------------------------------------------


def test_an_audience_is_taken_by_number_by_slider_and_by_costs(browser: Browser, shop: Shop) -> None:
    table = shop.scores["buyers"].sort_by([("probability", "descending")])
    visitor = shop.visitor(browser)
    visitor.open("/instances/buyers/audience?n=60")
    told = figures(visitor)
    says = expected(shop, "buyers", table.slice(0, 60))
    assert told["Taken"][0] == "60"
    assert told["Expected to convert"] == (says["value"], says["note"])
    visitor.look("audience-wide")
    rows = [row.locator("td").all_inner_texts() for row in visitor.page.locator("table.first-wide tbody tr").all()]
    assert [row[0].split(":")[0] for row in rows] == ["By these scores", "By the best simple rule", "At random"]
    visitor.page.locator("#n-slider").focus()
    visitor.page.keyboard.press("End")
    expect(visitor.page.locator("#taken .figures strong").first).to_have_text(count(table.num_rows))
    assert visitor.page.input_value("#n") == str(table.num_rows)
    assert f"n={table.num_rows}" in visitor.page.url
    visitor.page.locator("summary", has_text="Let costs decide").click()
    visitor.page.fill("#cost", "2")
    visitor.page.fill("#value", "8")
    visitor.page.click("text=Find the best number")
    worth_it = sum(p > 0.25 for p in table.column("probability").to_pylist())
    expect(visitor.page.locator("#taken .figures strong").first).to_have_text(count(worth_it))
    assert "Expected gain" in text(visitor, "#taken")
    expect(visitor.page.locator("#n")).to_have_value(str(worth_it))
    visitor.page.fill("#value", "nothing")
    visitor.page.click("text=Find the best number")
    expect(visitor.page.locator("#taken [role=alert]")).to_contain_text("is not a number")
    visitor.complaints.clear()  # the browser tells of the 422 itself
    visitor.close()


def test_an_audience_is_kept_and_downloaded_as_exactly_these_people(browser: Browser, shop: Shop) -> None:
    table = shop.scores["buyers"].sort_by([("probability", "descending"), ("profile_id", "ascending")])
    visitor = shop.visitor(browser)
    visitor.open("/instances/buyers/audience?n=37")
    with visitor.page.expect_download() as download:
        visitor.page.click("text=Download as CSV")
    ids = pacsv.read_csv(io.BytesIO(Path(download.value.path()).read_bytes())).column("profile_id").to_pylist()
    assert sorted(ids) == sorted(table.column("profile_id").to_pylist()[:37])
    visitor.page.fill("#segment-name", "The top 37")
    visitor.page.click("text=Save the segment")
    visitor.page.wait_for_url("**/segments/*")
    assert figures(visitor)["Profiles"][0] == "37"
    listed = visitor.page.locator("table tbody tr td:first-child").all_inner_texts()
    assert listed == table.column("profile_id").to_pylist()[:37]
    visitor.close()


def test_without_scores_pages_say_what_comes_first(browser: Browser, shop: Shop) -> None:
    visitor = shop.visitor(browser, "view")
    visitor.open("/instances/not-yet-run/audience")
    assert "Nobody to take yet" in text(visitor)
    visitor.look("audience-empty")
    visitor.open("/segments/new?instance=not-yet-run&where=raised_by%20%3D%20%27x%27")
    visitor.page.locator("#count", has_text="no scores yet").wait_for()  # it is asked for by the page itself
    assert "There are no scores yet." in text(visitor, "#count")
    visitor.look("segment-new-empty")
    visitor.open("/segments/new?instance=buyers&where=not-yet-run%3Abucket%20%3D%20%27high%27")
    visitor.page.locator("#count", has_text="no scores yet").wait_for()
    assert "'not-yet-run' has no scores yet" in text(visitor, "#count").replace("\u2019", "'").replace("‘", "'")
    visitor.close()


@pytest.mark.parametrize("dark", [False, True])
def test_an_audience_fits_a_phone_and_works_without_scripts(browser: Browser, shop: Shop, dark: bool) -> None:
    visitor = shop.visitor(browser, "view", NARROW, dark)
    visitor.open("/instances/leaving-b-soon-b/audience?n=50&cost=1&value=3")
    assert visitor.page.locator("text=Save the segment").count() == 0
    visitor.look(f"audience-narrow-{'dark' if dark else 'light'}")
    visitor.close()
    plain = browser.new_context(java_script_enabled=False)
    plain.add_cookies([{"name": COOKIE, "value": shop.secrets["view"], "url": shop.server.url}])
    page = plain.new_page()
    page.goto(f"{shop.server.url}/instances/buyers/audience")
    page.fill("#n", "12")
    page.click("button.primary")
    assert page.locator(".figures strong").first.inner_text() == "12"
    plain.close()


# --- segments ---------------------------------------------------------------------------------------------------


class Form:
    """The form of a new segment of buyers by rows, of which there is one to begin with: in the high bucket.

    Attributes:
        counted: how many the rule means as it stands.
    """

    def __init__(self, visitor: Visitor) -> None:
        self.visitor, self.counted = visitor, visitor.page.locator("#count .figures strong").first
        visitor.open("/segments/new?instance=buyers&where=bucket%20%3D%20%27high%27")

    def add_row(self) -> None:
        self.visitor.page.click("text=Add a row")
        self.visitor.page.wait_for_load_state("networkidle")
        quiet(self.visitor)

    def choose(self, field: str, value: str) -> None:
        self.visitor.page.select_option(field, value)
        quiet(self.visitor)

    def remove_row(self, number: int, last: int) -> None:
        """``last``: the place that no row has then."""
        self.visitor.page.click(f"[aria-label='Remove row {number}']")
        expect(self.visitor.page.locator(f"#field-{last}")).to_have_count(0)
        quiet(self.visitor)


@pytest.fixture
def form(browser: Browser, shop: Shop) -> Iterator[Form]:
    visitor = shop.visitor(browser)
    yield Form(visitor)
    visitor.close()


def test_a_segment_is_made_by_rows_counted_meanwhile_changed_and_deleted(shop: Shop, form: Form) -> None:
    table = shop.scores["buyers"]
    visitor = form.visitor
    high = table.filter(pc.equal(table.column("bucket"), "high"))
    assert figures(visitor, "#count")["Profiles"][0] == count(high.num_rows)
    form.add_row()
    visitor.page.fill("#value-1", "60")
    likely = high.filter(pc.greater_equal(high.column("probability"), 0.6))
    expect(form.counted).to_have_text(count(likely.num_rows))
    says = expected(shop, "buyers", likely)
    assert figures(visitor, "#count")["Expected to convert"] == (says["value"], says["note"])
    form.add_row()
    form.choose("#field-2", "raised_by")
    visitor.page.wait_for_selector("select#value-2")
    quiet(visitor)
    visitor.page.select_option("#value-2", index=1)
    expect(visitor.page.locator("#count")).to_contain_text("raised by “")
    visitor.look("segment-new-wide")
    form.remove_row(3, last=2)
    visitor.page.click("text=As text")
    expect(visitor.page.locator("#where")).to_have_value("bucket = 'high' and probability >= 0.6")
    quiet(visitor)
    visitor.page.fill("#where", "bucket = 'highest'")
    expect(visitor.page.locator("#count")).to_contain_text("A bucket is one of low, medium, high")
    visitor.page.fill("#where", "bucket = 'high' and probability >= 0.6 and profile_id matches '[13579]$'")
    visitor.page.click("text=By rows")
    expect(visitor.page.locator("#rule")).to_contain_text("does not fit into rows")
    quiet(visitor)
    visitor.page.fill("#where", "bucket = 'high' and probability >= 0.6")
    visitor.page.fill("#name", "Likely <i>ones</i>")
    visitor.page.click("text=Save segment")
    visitor.page.wait_for_url("**/segments/*")
    visitor.settle()
    assert figures(visitor)["Profiles"][0] == count(likely.num_rows)
    assert "Profiles that are in the high bucket, and have a probability of at least 60 %." in text(visitor)
    expect(visitor.page.locator("main")).to_contain_text("Since the run before")
    visitor.look("segment-wide")
    visitor.page.click("a:has-text('Edit')")
    visitor.page.fill("#value-1", "70")
    visitor.page.click("text=Save changes")
    visitor.page.wait_for_url("**/segments/*")
    assert "at least 70 %" in text(visitor)
    visitor.page.click("button:has-text('Delete')")
    visitor.page.click("text=Delete the segment")
    visitor.page.wait_for_url("**/segments")
    assert "Likely" not in text(visitor)


def test_rows_may_be_alternatives_and_speak_of_values(shop: Shop, form: Form) -> None:
    table = shop.scores["buyers"]
    shown = pq.read_table(shop.runs["buyers"] / "contributions.parquet")
    name = next(
        n for n in shown.column_names if n.startswith("value__") and pa.types.is_floating(shown.schema.field(n).type)
    )
    high, unlikely = pc.equal(table.column("bucket"), "high"), pc.less(table.column("probability"), 0.1)
    either = pc.or_(high, unlikely)
    above = pc.fill_null(pc.greater_equal(shown.column(name), 1.0), False)
    visitor = form.visitor
    form.add_row()
    visitor.page.select_option("[aria-label='How row 2 is joined to those before']", "or")
    visitor.page.wait_for_selector("li.alternative")
    quiet(visitor)
    visitor.page.select_option("#operator-1", "lt")
    visitor.page.fill("#value-1", "10")
    expect(form.counted).to_have_text(count(pc.sum(either).as_py()))
    form.add_row()
    form.choose("#field-2", f"value.{name.removeprefix('value__')}")
    visitor.page.fill("#value-2", "1")
    wanted = pc.sum(pc.and_(either, above)).as_py()
    expect(form.counted).to_have_text(count(wanted))
    assert "Profiles that (are in the high bucket, or have a probability below 10 %), and have a value of “" in text(
        visitor, "#count"
    )
    visitor.look("segment-alternatives-wide")
    form.remove_row(1, last=2)
    visitor.page.click("text=As text")
    code = name.removeprefix("value__")
    expect(visitor.page.locator("#where")).to_have_value(f"probability < 0.1 and value.{code} >= 1")
    quiet(visitor)
    visitor.page.fill("#where", f"not (value.{code} >= 1)")
    expect(form.counted).to_have_text(count(len(above) - pc.sum(above).as_py()))


def test_rows_speak_of_attributes_whose_values_are_offered(browser: Browser, shop: Shop, form: Form) -> None:
    held = pq.read_table(shop.runs["buyers"] / "attributes.parquet")
    country, joined = held.column("attribute__country"), held.column("attribute__joined")
    visitor = form.visitor
    form.choose("#field-0", "attribute.country")
    visitor.page.wait_for_selector("#frequent-0", state="attached")
    quiet(visitor)
    offered = visitor.page.locator("#frequent-0 option").evaluate_all("all => all.map(one => one.value)")
    counted = {pair["values"]: pair["counts"] for pair in country.cast(pa.string()).value_counts().to_pylist()}
    assert offered == sorted(counted, key=lambda value: (-counted[value], value))
    visitor.page.fill("#value-0", "DE")
    german = pc.equal(country.cast(pa.string()), "DE")
    expect(form.counted).to_have_text(count(pc.sum(german).as_py()))
    form.add_row()
    form.choose("#field-1", "attribute.joined")
    visitor.page.fill("#value-1", "soon")
    expect(visitor.page.locator("#count")).to_contain_text("'soon' is not a date, such as 2024-01-31")
    visitor.page.fill("#value-1", "2021-01-15")
    late = pc.and_(german, pc.greater_equal(joined, pa.scalar(datetime(2021, 1, 15), pa.timestamp("us"))))
    expect(form.counted).to_have_text(count(pc.sum(late).as_py()))
    visitor.look("segment-attributes-wide")
    visitor.page.click("text=As text")
    expect(visitor.page.locator("#where")).to_have_value(
        "attribute.country = 'DE' and attribute.joined >= '2021-01-15'"
    )
    one = held.filter(pc.equal(country.cast(pa.string()), "IT <b>")).slice(0, 1).to_pylist()[0]
    visitor = shop.visitor(browser, "view", NARROW, dark=True)
    visitor.open(f"/profiles/{one['profile_id']}")
    facts = visitor.page.locator("section", has=visitor.page.locator("h2", has_text="Buyers")).locator("dl.facts > div")
    assert [fact.inner_text().split("\n") for fact in facts.all()] == [
        ["joined", one["attribute__joined"].date().isoformat()],
        ["country", "IT <b>"],
        ["vip", "yes" if one["attribute__vip"] else "no"],
    ]
    visitor.look("profile-attributes-narrow-dark")
    visitor.close()


def test_what_a_form_lacks_is_said_in_it(browser: Browser, shop: Shop) -> None:
    visitor = shop.visitor(browser)
    visitor.open("/segments/new?instance=buyers")
    visitor.page.fill("#name", "Everybody")
    visitor.page.click("[aria-label='Remove row 1']")
    expect(visitor.page.locator("#count")).to_contain_text("All profiles that are scored.")
    visitor.page.click("text=Save segment")
    expect(visitor.page.locator("[role=alert]")).to_contain_text("The segment has no rule.")
    assert visitor.page.input_value("#name") == "Everybody"
    visitor.close()


def test_who_is_high_here_and_low_there(shop: Shop, form: Form) -> None:
    buyers, leaving = shop.scores["buyers"], shop.scores["leaving-b-soon-b"]
    low = leaving.filter(pc.equal(leaving.column("bucket"), "low")).column("profile_id")
    both = buyers.filter(pc.and_(pc.equal(buyers.column("bucket"), "high"), pc.is_in(buyers.column("profile_id"), low)))
    visitor = form.visitor
    visitor.page.set_viewport_size({"width": NARROW, "height": 900})
    form.add_row()
    form.choose("#field-1", "leaving-b-soon-b:bucket")
    visitor.page.wait_for_selector("select#value-1")
    quiet(visitor)
    visitor.page.select_option("#value-1", "low")
    expect(form.counted).to_have_text(count(both.num_rows))
    assert "in “Leaving <b>soon</b>” are in the low bucket" in text(visitor, "#count")
    visitor.look("segment-two-narrow")


def test_the_list_counts_what_is_seen_and_viewers_only_look(browser: Browser, shop: Shop) -> None:
    workspace = Workspace.open(shop.home)
    rules = Segments(workspace.catalog, workspace.instances)
    made_ones = [rules.create("buyers", f"Number {i}", f"percentile >= {i}").id for i in (40, 90)]
    gone = rules.create("buyers", "Of a model of before", "score > 3 or value.gone > 3").id
    workspace.close()
    table = shop.scores["buyers"]
    visitor = shop.visitor(browser, "view")
    visitor.open("/segments?instance=buyers")
    top = table.filter(pc.greater_equal(table.column("percentile"), 90))
    card = visitor.page.locator(".segment-card", has_text="Number 90")
    card.scroll_into_view_if_needed()
    expect(card.locator(".size")).to_contain_text(f"{count(top.num_rows)} profiles")
    visitor.settle()
    card = visitor.page.locator(".segment-card", has_text="Of a model of before")
    card.scroll_into_view_if_needed()
    expect(card.locator(".size")).to_contain_text("There is no factor 'gone' with a value")
    visitor.settle()
    visitor.look("segments-wide")
    visitor.open(f"/segments/{gone}")
    assert "There is no factor 'gone' with a value" in text(visitor)
    visitor.open(f"/segments/{made_ones[0]}")
    assert visitor.page.locator("button:has-text('Delete'), a:has-text('Edit')").count() == 0
    ids = visitor.page.locator("table tbody tr td:first-child").all_inner_texts()
    visitor.page.click("a.button:has-text('More')")
    visitor.settle()
    ids += visitor.page.locator("table tbody tr td:first-child").all_inner_texts()
    wanted = table.filter(pc.greater_equal(table.column("percentile"), 40))
    ordered = wanted.sort_by([("probability", "descending"), ("profile_id", "ascending")])
    assert ids == ordered.column("profile_id").to_pylist()[:100]
    visitor.close()


def test_a_segment_has_a_history_of_who_joined_and_who_left(browser: Browser, shop: Shop) -> None:
    workspace = Workspace.open(shop.home)
    rules = Segments(workspace.catalog, workspace.instances)
    one = rules.create("buyers", "Followed", "percentile >= 61").id
    workspace.membership.history(one)
    rules.change(one, "Followed", "percentile >= 41")
    workspace.close()
    table = shop.scores["buyers"]
    ids = table.filter(pc.greater_equal(table.column("percentile"), 61)).column("profile_id").to_pylist()
    visitor = shop.visitor(browser, "view", NARROW, dark=True)
    visitor.open(f"/segments/{one}")
    visitor.settle()
    history = visitor.page.locator("section[aria-label='Run by run']")
    expect(history.locator("tbody tr")).to_have_count(1)
    cells = history.locator("tbody td").all_inner_texts()
    assert cells[:3] == [count(len(ids)), "first told", "–"]
    expect(history).to_contain_text("By an earlier rule: Profiles that have a percentile of at least 61")
    visitor.look("segment-history-narrow-dark")
    assert history.locator("a:has-text('Who ')").count() == 0
    visitor.open(f"/segments/{one}/changes?change=joined")
    assert visitor.page.locator("p.ids a").all_inner_texts() == sorted(ids)[:200]
    expect(visitor.page.locator(".page-head")).to_contain_text("told the members for the first time")
    visitor.look("segment-joined-narrow-dark")
    visitor.open(f"/segments/{one}/changes?change=left")
    expect(visitor.page.locator("main")).to_contain_text("Nobody.")
    visitor.close()
    visitor = shop.visitor(browser)
    visitor.open(f"/segments/{one}")
    visitor.settle()
    visitor.look("segment-history-wide")
    visitor.close()


# --- profiles ---------------------------------------------------------------------------------------------------


def test_a_profile_is_found_and_shown_with_its_reasons_and_events(browser: Browser, shop: Shop) -> None:
    table = shop.scores["buyers"].sort_by([("probability", "descending")])
    best: dict[str, Any] = table.slice(0, 1).to_pylist()[0]
    visitor = shop.visitor(browser)
    visitor.open("/profiles")
    visitor.page.fill("#q", best["profile_id"][:-1])
    visitor.page.select_option("#of", "buyers")
    visitor.page.select_option("#order", "profile")
    visitor.page.click("button:has-text('Show')")
    ids = visitor.page.locator("table tbody tr td:first-child").all_inner_texts()
    known = sorted(table.column("profile_id").to_pylist())
    assert ids == [i for i in known if i.startswith(best["profile_id"][:-1])][:50]
    visitor.look("profiles-wide")
    visitor.page.fill("#q", best["profile_id"])
    visitor.page.click("button:has-text('Show')")
    visitor.page.click("a.found")
    visitor.settle()
    told = figures(visitor, "section:has(h2:has-text('Buyers'))")
    assert told["Probability to convert"][0] == percent(best["probability"])
    raised = [f["label"] for f in best["factors"] if f["impact"] > 0]
    section = visitor.page.locator("section", has=visitor.page.locator("h2", has_text="Buyers"))
    assert section.locator(".reasons").first.locator("strong").all_inner_texts() == raised
    expect(section).to_contain_text("Probability from run to run")
    section.locator("button", has_text="Show the events").click()
    events = pq.read_table(shop.home / "events.parquet")
    own = events.filter(pc.equal(events.column("profile_id"), best["profile_id"]))
    expect(section.locator(".events")).to_contain_text(f"{own.num_rows} events")
    visitor.settle()
    visitor.look("profile-wide")
    visitor.close()


def test_profiles_fit_a_phone(browser: Browser, shop: Shop) -> None:
    one = shop.scores["leaving-b-soon-b"].column("profile_id")[3].as_py()
    visitor = shop.visitor(browser, "view", NARROW, dark=True)
    visitor.open("/profiles?bucket=high")
    visitor.look("profiles-narrow-dark")
    visitor.open(f"/profiles/{one}")
    assert visitor.page.locator("text=Forget this person").count() == 0
    visitor.page.locator("button", has_text="Show the events").first.click()
    visitor.settle()
    visitor.look("profile-narrow-dark")
    visitor.close()


def test_a_person_is_forgotten(browser: Browser, shop: Shop) -> None:
    one = shop.scores["buyers"].column("profile_id")[11].as_py()
    visitor = shop.visitor(browser)
    visitor.open(f"/profiles/{one}")
    visitor.page.click("button:has-text('Forget this person')")
    visitor.look("forget-wide")
    visitor.page.click("dialog button.danger")
    visitor.page.wait_for_selector("text=out of all runs")
    visitor.look("forgotten-wide")
    visitor.page.goto(f"{shop.server.url}/profiles/{one}")
    assert "has been forgotten" in text(visitor)
    visitor.close()
    ids = pq.read_table(shop.runs["buyers"] / "scores.parquet", columns=["profile_id"]).column(0).to_pylist()
    assert one not in ids
