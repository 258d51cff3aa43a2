"""Data and builder in a real browser: sample data, uploads, a goal by cards, sentence and YAML; the check."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow.csv as pc
import pytest
from playwright.sync_api import APIResponse, Browser, Route, expect

from browser import NARROW, WIDE, Visitor
from propend.workspace import Workspace
from servers import Server, serving
from shops import shop
from workspaces import document, made

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("builder") / "shop", "[uploads]\nmost_mb = 3\n")


def draft_of(home: Path, visitor: Visitor) -> dict[str, Any]:
    """The document that is worked on at the address that is shown."""
    workspace = Workspace.open(home)
    row = workspace.instances.get(visitor.page.url.split("/instances/")[1].split("/")[0])
    workspace.close()
    assert row.draft is not None
    return row.draft


def checked(visitor: Visitor) -> None:
    """Wait until the check has said something of the newest draft."""
    visitor.page.wait_for_selector("#check .check-figures, #check .callout-refused, #check .callout-warned")
    visitor.settle()


def on_shop(visitor: Visitor) -> None:
    """A draft on the shop's events, by a path."""
    visitor.open("/instances/new")
    visitor.page.click("text=The data are on the server already")
    visitor.page.fill("#path", "events.parquet")
    visitor.page.click("text=Look at these data")
    visitor.page.wait_for_url("**/edit?step=setup")


def to_goal(visitor: Visitor) -> None:
    visitor.open(visitor.page.url.removeprefix(visitor.url).replace("setup", "goal"))


def test_from_sample_data_to_a_changed_goal(browser: Browser, visitor: Visitor, home: Path, server: Server) -> None:
    visitor.open("/instances/new")
    visitor.look("builder-new")
    visitor.page.click("text=Who will buy again within 30 days?")
    visitor.page.wait_for_url("**/edit?step=goal")
    checked(visitor)
    assert "Ready to run" in visitor.page.inner_text("#check")
    visitor.look("builder-goal")
    page = visitor.page
    page.fill("#goal-within", "60")
    page.select_option("#goal-items-0-count", "sum")
    page.select_option("#goal-items-0-field", "amount")
    page.fill("#goal-items-0-number", "250")
    page.click("text=Leave out who did…")
    expect(page.locator("#population-lines-1-event")).to_be_focused()
    page.select_option("#population-lines-1-event", "cancel")
    said = (
        "Of profiles who did buy at least once in the last 365 days and never did cancel in the last 90 days, "
        "whose total amount of buy will be at least 250 in the next 60 days?"
    )
    expect(page.locator("#sentence")).to_have_value(said)
    expect(page.locator("#builder-sentence")).to_have_text(said)
    assert "gte: 250" in page.input_value("#yaml")
    draft = draft_of(home, visitor)
    assert draft["goal"] == {"all_of": [{"sum": "buy.amount", "gte": 250}], "within": "60d"}
    assert draft["description"].startswith("Customers of a British gift shop;")  # whatever the goal
    assert "30 days" not in draft["description"]
    page.reload()
    expect(page.locator("#goal-within")).to_have_value("60")
    expect(page.locator("#goal-items-0-count")).to_have_value("sum")
    checked(visitor)
    for width, dark in ((NARROW, True), (WIDE, False)):
        other = Visitor(browser, server.url, width=width, dark=dark)
        for step in ("goal", "setup", "data", "options"):
            other.open(visitor.page.url.removeprefix(server.url).replace("goal", step))
            checked(other)
            other.look(f"builder-{step}-{width}-{'dark' if dark else 'light'}")
        other.close()


def test_conditions_of_an_event_by_keyboard(visitor: Visitor, home: Path) -> None:
    on_shop(visitor)
    visitor.look("builder-proposed")
    page = visitor.page
    page.click("text=Next: Data")
    page.click("text=Next: Goal")
    page.focus('[data-do="events.add"]')
    page.keyboard.press("Enter")
    name = page.locator("[name$='.name']").last
    expect(name).to_be_focused()
    name.fill("large one")
    page.keyboard.press("Tab")
    expect(page.locator("#yaml")).to_have_value(re.compile("large one:"))
    add = page.locator("[data-do$='.where.add']").last
    add.focus()
    page.keyboard.press("Enter")
    field = page.locator("[name$='.where.0.field']").last
    expect(field).to_be_focused()
    field.select_option("amount")
    page.locator("[name$='.where.0.operator']").last.select_option("gte")
    page.locator("[name$='.where.0.value']").last.fill("50")
    page.keyboard.press("Tab")
    expect(page.locator("#yaml")).to_have_value(re.compile("gte: 50"))
    events = draft_of(home, visitor)["events"]
    assert isinstance(events, dict)
    assert events["large one"] == {"where": {"amount": {"gte": 50}}}
    visitor.look("builder-conditions")


def test_the_proposed_name_follows_the_goal_until_another_is_written(visitor: Visitor, home: Path) -> None:
    on_shop(visitor)
    page = visitor.page
    expect(page.locator("#name")).to_have_value("Purchase within 30 days")
    page.fill("#sentence", "Of profiles who did visit in the last 30 days, who will do purchase in the next 60 days?")
    page.click("text=Use this sentence")
    expect(page.locator("#builder-name")).to_contain_text("Purchase within 60 days")
    expect(page.locator("#name")).to_have_value("Purchase within 60 days")
    page.fill("#description", "Said of it")
    page.click("text=Next: Data")
    page.wait_for_url("**/edit?step=data")
    visitor.open(page.url.removeprefix(visitor.url).replace("data", "goal"))
    page.fill("#goal-within", "90")
    page.keyboard.press("Tab")
    expect(page.locator("#builder-name")).to_contain_text("Purchase within 90 days")
    visitor.open(page.url.removeprefix(visitor.url).replace("goal", "setup"))
    page.fill("#name", "Big spenders")
    page.fill("#sentence", "Of profiles who did visit in the last 30 days, who will do purchase in the next 14 days?")
    page.click("text=Use this sentence")
    expect(page.locator("#builder-sentence")).to_contain_text("next 14 days")
    visitor.look("builder-named")
    told = draft_of(home, visitor)
    assert (told["name"], told["description"], page.input_value("#name")) == (
        "Big spenders",
        "Said of it",
        "Big spenders",
    )


def test_the_sentence_is_read_and_refused_at_its_place(visitor: Visitor, home: Path) -> None:
    on_shop(visitor)
    to_goal(visitor)
    page = visitor.page
    page.fill("#sentence", "Of profiles who did visit in the last 30 days, who wil do purchase in the next 14 days?")
    page.click("text=Use this sentence")
    expect(page.locator("#sentence-said mark")).to_contain_text("wil do")
    assert "did you mean" in page.inner_text("#sentence-said").lower()
    visitor.look("builder-sentence-refused")
    page.fill(
        "#sentence", "Of profiles who did visit in the last 30 days, who will not do purchase in the next 14 days?"
    )
    page.click("text=Use this sentence")
    expect(page.locator("#goal-not")).to_be_checked()
    expect(page.locator("#goal-within")).to_have_value("14")
    expect(page.locator("#population-lines-0-event")).to_have_value("visit")
    assert draft_of(home, visitor)["goal"] == {"none_of": ["purchase"], "within": "14d"}


def test_yaml_is_taken_over_and_what_cards_do_not_show_survives_them(visitor: Visitor, home: Path) -> None:
    on_shop(visitor)
    to_goal(visitor)
    page = visitor.page
    page.click("text=The same as YAML")
    text = page.input_value("#yaml")
    page.fill("#yaml", text.replace("goal:", "gaol:"))
    page.click("text=Use this YAML")
    expect(page.locator("#yaml-said")).to_contain_text("unknown key 'gaol'")
    page.fill(
        "#yaml",
        re.sub(
            r"goal:.*?within: \w+\n",
            "goal:\n  any_of: [{then: [visit, purchase]}, purchase]\n  within: 20d\n",
            text,
            flags=re.S,
        ),
    )
    page.click("text=Use this YAML")
    expect(page.locator(".readonly")).to_contain_text("visit then purchase")
    page.fill("#goal-within", "21")
    page.keyboard.press("Tab")
    expect(page.locator("#sentence")).to_have_value(re.compile("next 21 days"))
    assert draft_of(home, visitor)["goal"] == {"any_of": [{"then": ["visit", "purchase"]}, "purchase"], "within": "21d"}


def test_a_definition_that_cannot_be_is_told_and_mended(visitor: Visitor, home: Path) -> None:
    on_shop(visitor)
    to_goal(visitor)
    page = visitor.page
    page.fill("#goal-within", "900")
    page.keyboard.press("Tab")
    expect(page.locator("#check")).to_contain_text("are needed")
    visitor.look("builder-refused")
    page.locator(".remedies button").first.click()
    expect(page.locator("#goal-within")).not_to_have_value("900")
    expect(page.locator("#check")).to_contain_text("Ready to run")
    mended = draft_of(home, visitor)["goal"]["within"]
    assert mended == f"{page.input_value('#goal-within')}d"
    page.fill("#goal-within", "")
    page.keyboard.press("Tab")
    expect(page.locator("#check")).to_contain_text("goal.within")


def test_publish_and_run(visitor: Visitor, home: Path) -> None:
    on_shop(visitor)
    page = visitor.page
    page.fill("#name", "Bought by pages")
    page.keyboard.press("Tab")
    expect(page.locator("#builder-name")).to_contain_text("Bought by pages")
    instance_id = page.url.split("/instances/")[1].split("/")[0]
    page.click("text=Publish and run")
    page.wait_for_url("**/runs/*")
    workspace = Workspace.open(home)
    row, run = workspace.instances.get(instance_id), workspace.runs.history(instance_id)[0]
    assert (row.name, row.status, row.version, row.draft, run.id) == (
        "Bought by pages", "enabled", 1, None, page.url.rsplit("/", 1)[1],
    )  # fmt: skip
    if run.state in ("queued", "running"):
        workspace.runs.cancel(run.id)
    workspace.close()


def test_a_draft_is_discarded(visitor: Visitor, home: Path) -> None:
    on_shop(visitor)
    instance_id = visitor.page.url.split("/instances/")[1].split("/")[0]
    visitor.page.click("text=Discard draft")
    visitor.page.click("text=Discard it")
    visitor.page.wait_for_url(lambda url: url.rstrip("/").count("/") == 2)
    workspace = Workspace.open(home)
    assert instance_id not in {row.id for row in workspace.instances.all()}
    workspace.close()


def test_a_published_instance_is_edited_beside_its_version(visitor: Visitor, home: Path) -> None:
    workspace = Workspace.open(home)
    row = workspace.instances.create(document("Loyal"))
    visitor.open(f"/instances/{row.id}/edit")
    page = visitor.page
    expect(page.locator("#builder-name")).to_contain_text("version 1")
    assert page.locator("#to-discard").count() == 0
    page.fill("#goal-within", "20")
    page.keyboard.press("Tab")
    expect(page.locator("#builder-name")).to_contain_text("draft of version 2")
    assert workspace.instances.version(row.id).document["goal"]["within"] == "30d"
    page.click("#to-discard")
    page.click("text=Discard it")
    page.wait_for_url(f"**/instances/{row.id}")
    assert (workspace.instances.get(row.id).draft, workspace.instances.get(row.id).version) == (None, 1)
    workspace.close()


def test_what_is_typed_while_it_is_saved_stays(visitor: Visitor, home: Path) -> None:
    on_shop(visitor)
    to_goal(visitor)
    page = visitor.page

    def slowly(route: Route) -> None:
        page.wait_for_timeout(700)
        route.continue_()

    page.route("**/edit/goal*", slowly)
    page.select_option("#goal-items-0-count", "sum")  # has the cards drawn anew
    page.focus("#goal-within")
    page.keyboard.press("Control+A")
    page.keyboard.type("77", delay=300)
    page.wait_for_timeout(1500)
    expect(page.locator("#goal-within")).to_have_value("77")
    page.keyboard.press("Tab")
    expect(page.locator("#goal-items-0-field")).to_have_value("amount")
    expect(page.locator("#goal-within")).to_have_value("77")
    expect(page.locator("#sentence")).to_have_value(re.compile("total amount of purchase .* next 77 days"))
    assert draft_of(home, visitor)["goal"]["within"] == "77d"


def test_what_is_typed_while_the_sentence_is_read_stays_beside_it(visitor: Visitor, home: Path) -> None:
    on_shop(visitor)
    to_goal(visitor)
    checked(visitor)
    page = visitor.page
    held: list[tuple[Route, APIResponse]] = []
    page.route("**/edit/sentence", lambda route: held.append((route, route.fetch())))
    page.fill("#sentence", "Of profiles who did visit in the last 31 days, who will do purchase in the next 14 days?")
    page.click("text=Use this sentence")
    for _ in range(100):
        if held:
            break
        page.wait_for_timeout(100)
    page.fill("#goal-within", "60")
    page.keyboard.press("Tab")
    for route, answer in held:
        route.fulfill(response=answer)
    said = "Of profiles who did visit at least once in the last 31 days, who will do purchase in the next 60 days?"
    expect(page.locator("#builder-sentence")).to_have_text(said)
    expect(page.locator("#sentence")).to_have_value(said)
    assert (page.input_value("#goal-within"), page.input_value("#population-lines-0-within")) == ("60", "31")
    assert draft_of(home, visitor)["goal"] == {"all_of": ["purchase"], "within": "60d"}


@contextmanager
def slowed(visitor: Visitor, seconds: float = 0.7) -> Iterator[None]:
    """Every change that the builder sends is answered late, as of a server with much to do."""

    def slowly(route: Route) -> None:
        answer = route.fetch()
        visitor.page.wait_for_timeout(seconds * 1000)
        route.fulfill(response=answer)

    visitor.page.route(re.compile("/edit/(setup|goal|options|sentence|yaml)"), slowly)
    try:
        yield
    finally:
        visitor.page.unroute_all(behavior="wait")


def test_nothing_is_lost_on_a_slow_server_and_leaving_waits(visitor: Visitor, home: Path) -> None:
    on_shop(visitor)
    to_goal(visitor)
    page = visitor.page
    with slowed(visitor):
        page.select_option("#goal-items-0-count", "sum")  # has the cards drawn anew
        page.click("#do-population-add-include")  # pressed while that is saved
        page.click("#do-events-add")
        page.fill("#goal-lead", "3")
        page.fill("#goal-within", "300")
        page.click("text=Next: Options")
        page.wait_for_url("**/edit?step=options")
        document = draft_of(home, visitor)
        assert (document["goal"], len(document["eligible"]["all_of"]), list(document["events"])) == (
            {"all_of": [{"sum": "purchase.amount", "gte": 1}], "from": "3d", "within": "300d"},
            2,
            ["purchase", "my_event"],
        )
        page.fill("#factors", "7")
        page.click("text=Back: Goal")
        page.wait_for_url("**/edit?step=goal")
        assert draft_of(home, visitor)["options"]["factors"] == 7
        page.fill("#goal-within", "21")
        page.fill("#goal-lead", "")
        page.click("#to-publish")
        page.wait_for_url(lambda url: url.rstrip("/").count("/") == 4)
    workspace = Workspace.open(home)
    found = workspace.instances.version(page.url.rsplit("/", 1)[1]).document["goal"]
    workspace.close()
    assert found == {"all_of": [{"sum": "purchase.amount", "gte": 1}], "within": "21d"}


def test_a_number_that_is_selected_stays_so_when_it_is_drawn_anew(visitor: Visitor, home: Path) -> None:
    on_shop(visitor)
    to_goal(visitor)
    page = visitor.page
    with slowed(visitor):
        page.select_option("#goal-items-0-count", "sum")
        page.focus("#goal-within")
        page.keyboard.press("Control+A")
        expect(page.locator("#goal-items-0-field")).to_have_value("amount")
        page.keyboard.type("77")
        page.keyboard.press("Tab")
        expect(page.locator("#sentence")).to_have_value(re.compile("next 77 days"))
    assert draft_of(home, visitor)["goal"]["within"] == "77d"


def test_buttons_pressed_one_after_the_other_mean_what_was_shown(visitor: Visitor, home: Path) -> None:
    on_shop(visitor)
    to_goal(visitor)
    page = visitor.page
    for n in range(4):
        page.click("#do-population-add-include")
        page.fill(f"#population-lines-{n}-within", str(n + 10))
    page.keyboard.press("Tab")
    expect(page.locator("#sentence")).to_have_value(re.compile("last 13 days"))
    visitor.settle()
    with slowed(visitor):
        page.click("#do-population-lines-1-remove")
        page.click("#do-population-lines-3-remove")
        page.fill("#population-lines-0-within", "99")
        page.keyboard.press("Tab")
        expect(page.locator("#sentence")).to_have_value(re.compile("99 days"))
        expect(page.locator("#saved")).to_have_text("Draft saved just now")
        page.wait_for_function("() => document.querySelectorAll('[id^=do-population-lines-]').length === 3")
        visitor.settle()
    told = [page.input_value(f"#population-lines-{n}-within") for n in range(3)]
    lines = draft_of(home, visitor)["eligible"]["all_of"]
    assert (told, [line["within"] for line in lines]) == (["99", "12", "90"], ["99d", "12d", "90d"])


def test_who_closes_the_window_before_all_is_saved_is_asked(visitor: Visitor, home: Path) -> None:
    on_shop(visitor)
    to_goal(visitor)
    page = visitor.page
    page.fill("#goal-within", "44")  # and not left yet: nothing was sent
    with page.expect_event("dialog") as asked:
        page.close(run_before_unload=True)
    asked.value.dismiss()
    page.keyboard.press("Tab")
    expect(page.locator("#sentence")).to_have_value(re.compile("next 44 days"))
    visitor.settle()
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"


def test_an_answer_that_cannot_be_drawn_holds_nothing_up(visitor: Visitor, home: Path) -> None:
    on_shop(visitor)
    to_goal(visitor)
    page = visitor.page
    page.route("**/edit/goal*", lambda route: route.fulfill(headers={"HX-Retarget": "(("}), times=1)
    page.fill("#goal-within", "44")
    page.keyboard.press("Tab")
    expect(page.locator("#said")).to_contain_text("It could not be saved")
    page.fill("#goal-lead", "2")
    page.click("text=Next: Options")
    page.wait_for_url("**/edit?step=options")
    assert draft_of(home, visitor)["goal"] == {"all_of": ["purchase"], "from": "2d", "within": "44d"}


def test_what_is_refused_is_not_left_behind_by_publishing(visitor: Visitor, home: Path) -> None:
    on_shop(visitor)
    to_goal(visitor)
    page = visitor.page
    page.fill("#sentence", "Of profiles who did visit in the last 30 days, who wil do purchase in the next 14 days?")
    page.click("#to-publish")
    expect(page.locator("#sentence-said mark")).to_contain_text("wil do")
    expect(page.locator("#said")).to_contain_text("This cannot be read yet")
    instance_id = page.url.split("/instances/")[1].split("/")[0]
    workspace = Workspace.open(home)
    assert workspace.instances.get(instance_id).version == 0
    workspace.close()


# --- data --------------------------------------------------------------------------------------------------------


def test_files_are_uploaded_looked_at_and_proposed(visitor: Visitor, home: Path, tmp_path: Path) -> None:
    table = shop().rename_columns(["who", *shop().column_names[1:]])
    odd = tmp_path / "our <b>orders<b>.csv"
    pc.write_csv(table, odd, pc.WriteOptions(delimiter=";"))
    visitor.open("/instances/new")
    visitor.page.set_input_files("#files", str(odd))
    visitor.page.click("#send")
    visitor.page.wait_for_selector("#which, [aria-current=step]")
    if visitor.page.locator("#which").count():
        visitor.complaints.clear()  # the browser tells of the 422 itself
        visitor.look("builder-which-column")
        visitor.page.select_option("#role-profile", "who")
        visitor.page.click("text=Look again")
        visitor.page.wait_for_url("**/edit?step=setup")
    data = draft_of(home, visitor)["data"]
    assert isinstance(data, dict)
    assert (data["events"], data["columns"]["profile"]) == ("data/our-b-orders-b-.csv", "who")
    visitor.open("/data")
    visitor.look("data")
    visitor.page.click("text=data/our-b-orders-b-.csv")
    visitor.page.wait_for_selector("text=Kinds of event")
    visitor.look("data-preview")


def test_too_large_files_are_refused_before_and_while_they_come(
    visitor: Visitor, server: Server, tmp_path: Path
) -> None:
    big = tmp_path / "big.csv"
    big.write_bytes(b"a,b\n" * 1_000_000)
    visitor.open("/instances/new")
    visitor.page.set_input_files("#files", str(big))
    visitor.page.click("#send")
    expect(visitor.page.locator("#arriving")).to_contain_text("at most 3 MB")
    parts = (b"x" * 500_000 for _ in range(8))
    answer = httpx.post(f"{server.url}/data/files?name=big.csv", content=parts, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "PROPEND-133")
    assert httpx.post(f"{server.url}/data/files?name=x.xlsx", content=b"x").status_code == 422
    assert httpx.post(f"{server.url}/api/v1/instances", content=b"x" * 8_100_000).status_code == 422
    with httpx.stream("GET", f"{server.url}/data/preview?path=/etc/passwd") as told:
        assert told.status_code == 422


def test_instances_of_several_kinds_of_files(visitor: Visitor, home: Path) -> None:
    (home / "data").mkdir(exist_ok=True)
    events = shop().to_pylist()
    for kind in ("visit", "purchase"):
        lines = ["customer_id,time", *(f"{r['profile_id']},{r['at']}" for r in events if r["event"] == kind)]
        (home / "data" / f"{kind}s-2026.csv").write_text("\n".join(lines), encoding="utf-8")
    visitor.open("/instances/new")
    visitor.page.click("text=The data are on the server already")
    for kind in ("visit", "purchase"):
        visitor.page.check(f"input[value='data/{kind}s-2026.csv']")
    visitor.page.click("text=Look at these data")
    visitor.page.wait_for_url("**/edit?step=setup")
    data = draft_of(home, visitor)["data"]
    assert isinstance(data, dict)
    assert sorted(s["kind"] for s in data["events"]) == ["purchases", "visits"]
    visitor.page.click("text=Next: Data")
    checked(visitor)
    visitor.look("data-two-sets")


def test_who_only_views_sees_data_and_changes_nothing(home: Path, tmp_path: Path) -> None:
    with serving(made(tmp_path / "guarded")) as guarded:
        workspace = Workspace.open(tmp_path / "guarded")
        workspace.instances.create(document())
        workspace.close()
        for path in ("/instances/new", "/instances/buyers/edit", "/data"):
            assert httpx.get(guarded.url + path).status_code == 401
