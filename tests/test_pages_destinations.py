"""Pages of destinations in a real browser: a place is added, pushed to, changed, refused and removed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pyarrow.csv as pacsv
import pytest
from playwright.sync_api import Browser, expect

from browser import NARROW, Visitor
from propend.server.access import COOKIE
from propend.workspace import Workspace
from propend.workspace.accounts import Accounts
from propend.workspace.execution import execute
from propend.workspace.segments import Segments
from servers import Server, serving
from workspaces import document, made

pytestmark = pytest.mark.browser
WAIT = 120_000
"""Milliseconds for a push, which a process of its own makes."""
HERE = "/instances/buyers/destinations"


@dataclass
class Shop:
    """A server, and who may come."""

    server: Server
    home: Path
    secrets: dict[str, str] = field(default_factory=dict)

    def client(self, role: str = "manage") -> httpx.Client:
        """Requests of somebody who is logged in."""
        headers = {"Origin": self.server.url, "Accept": "text/html"}
        cookies = {COOKIE: self.secrets[role]}
        return httpx.Client(base_url=self.server.url, cookies=cookies, headers=headers, timeout=120)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    home = made(tmp_path_factory.mktemp("destinations") / "shop")
    with closing(Workspace.open(home)) as workspace:
        workspace.instances.create(document())
        assert execute(workspace, workspace.runs.start("buyers").id)
        Segments(workspace.catalog, workspace.instances).create("buyers", "Likely", "bucket = 'high'")
        people = Accounts(workspace.catalog, workspace.settings.access)
        secrets = {
            role: people.sessions.start(people.add(f"one.who.{role}s", role, None, "test").id)
            for role in ("view", "manage")
        }  # fmt: skip
    with serving(home) as server:
        yield Shop(server, home, secrets)


def visitor_of(browser: Browser, shop: Shop, role: str = "manage", dark: bool = False) -> Visitor:
    found = Visitor(browser, shop.server.url, dark=dark)
    found.context.add_cookies([{"name": COOKIE, "value": shop.secrets[role], "url": shop.server.url}])
    found.page.set_default_timeout(WAIT)
    return found


def csrf(http: httpx.Client) -> dict[str, str]:
    text = http.get(f"{HERE}/new?kind=file").text
    return {"csrf_token": text.split('name="csrf_token" value="')[1].split('"')[0]}


def test_a_place_is_added_pushed_to_seen_and_removed(browser: Browser, shop: Shop) -> None:
    visitor = visitor_of(browser, shop)
    page = visitor.page
    visitor.open("/instances/buyers")
    visitor.send("nav.tabs a:has-text('Where it goes')")
    visitor.look("destinations-1-none")
    visitor.send("a:has-text('Add a destination')")
    visitor.look("destinations-2-kinds")
    visitor.send("main a:has-text('A file')")
    visitor.send("button:has-text('Save the destination')")
    expect(page.locator("#destination-name-wrong")).to_contain_text("Is missing and needed")
    visitor.complaints.clear()  # of the answer 422
    page.fill("#destination-name", "Sheet of the likely")
    page.select_option("#segment", label="Members of Likely")
    visitor.look("destinations-3-form")
    visitor.send("button:has-text('Save the destination')")
    page.wait_for_url(re.compile(r".*/destinations/\d+\?done=added"))
    visitor.send("button:has-text('Push now')")
    for _ in range(60):
        if "succeeded" in page.locator("main").inner_text():
            break
        time.sleep(2)
        visitor.open(page.url.removeprefix(shop.server.url))
    expect(page.locator("main")).to_contain_text("succeeded")
    (sheet,) = (shop.home / "exports").glob("buyers-segment-*.csv")
    rows = pacsv.read_csv(sheet)
    assert set(rows.column("bucket").to_pylist()) == {"high"}
    expect(page.locator("main")).to_contain_text(f"{rows.num_rows} rows")
    visitor.look("destinations-4-pushed")
    visitor.page.set_viewport_size({"width": NARROW, "height": 900})
    visitor.look("destinations-5-narrow")
    visitor.open(HERE)
    visitor.look("destinations-6-list-narrow")
    number = page.locator("main table a").first.get_attribute("href")
    dark = visitor_of(browser, shop, dark=True)
    dark.open(str(number))
    dark.look("destinations-7-dark")
    dark.open(f"{number}/edit")
    dark.look("destinations-8-change-dark")
    dark.close()
    visitor.open(str(number))
    visitor.click("[data-opens=remove-destination]")
    visitor.send("button:has-text('Remove the destination')")
    expect(page.locator("main")).to_contain_text("what it was given is taken back")
    assert not sheet.exists()
    visitor.close()
    with closing(Workspace.open(shop.home)) as workspace:
        log = [(e.who, e.action) for e in workspace.audit.entries(kind="destination")]
    assert [action for _, action in log] == ["delete", "retract", "push", "create"]
    assert {who for who, _ in log} == {"one.who.manages"}


def test_mistakes_stand_beside_their_fields_and_secrets_are_taken_by_name_alone(shop: Shop) -> None:
    with shop.client() as http:
        given = csrf(http) | {"name": "CRM", "kind": "postgres", "enabled": "yes"}
        secret = "s3cret-of-ours"
        asked = given | {"option.url": f"postgresql://ana:{secret}@db.example.com/crm", "option.password": secret}
        answer = http.post(HERE, data=asked | {"option.table": "no table!"})
        assert answer.status_code == 422
        for name in ("url", "password", "table"):
            assert f'id="option.{name}-wrong"' in answer.text
        assert "the address has a password" in answer.text.lower()
        assert "the name of a secret is needed" in answer.text.lower()
        assert secret not in answer.text
        webhook = given | {"kind": "webhook", "option.url": "https://example.com/x", "option.secret": "env:HOOK"}
        answer = http.post(HERE, data=webhook | {"option.size": "many"})
        assert (answer.status_code, 'id="option.size-wrong"' in answer.text) == (422, True)
        answer = http.post(HERE, data=given | {"kind": "file", "option.folder": "/etc"})
        assert (answer.status_code, "No file may be written" in answer.text) == (422, True)
        assert http.post(HERE, data=given | {"kind": "pigeon"}).status_code == 404
    with closing(Workspace.open(shop.home)) as workspace:
        assert workspace.destinations.all("buyers") == []


def test_every_kind_has_a_form_and_a_destination_is_changed_by_it(shop: Shop) -> None:
    with shop.client() as http:
        for kind in ("file", "postgres", "table", "xdm-profile", "xdm-event", "webhook"):
            assert http.get(f"{HERE}/new?kind={kind}").status_code == 200
        given = csrf(http) | {"name": "Files", "kind": "xdm-event", "option.tenant": "acme"}
        made_one = http.post(HERE, data=given | {"option.most_factors": "3", "option.gzip": "yes"})
        where = made_one.headers["location"].partition("?")[0]
        form = http.get(f"{where}/edit").text
        assert ('value="acme"' in form, 'name="option.gzip" value="yes" checked' in form) == (True, True)
        changed = http.post(where, data=given | {"name": "History", "option.tenant": "other", "enabled": "yes"})
        assert changed.status_code == 303
        shown = http.get(where).text
        assert all(word in shown for word in ("History", "other", "after every run"))
    with closing(Workspace.open(shop.home)) as workspace:
        (row,) = workspace.destinations.all("buyers")
        assert (row.name, row.options, row.enabled) == ("History", {"tenant": "other"}, True)
        workspace.pushing.remove(row.id)


def test_who_may_only_view_sees_destinations_and_changes_none(shop: Shop) -> None:
    with closing(Workspace.open(shop.home)) as workspace:
        number = workspace.destinations.create("buyers", "Sheet", "file", {}).id
    with shop.client("view") as http:
        listed, one = http.get(HERE).text, http.get(f"/destinations/{number}").text
        assert ("Sheet" in listed, "Add a destination" in listed, "Push now" in one) == (True, False, False)
        assert http.get(f"{HERE}/new").status_code == 403
        assert http.post(f"/destinations/{number}/push", data={}).status_code == 403
    with shop.client() as http:
        given = csrf(http)
        assert http.post(f"/destinations/{number}/remove", data=given | {"keep": "yes"}).status_code == 303
    with closing(Workspace.open(shop.home)) as workspace:
        assert workspace.destinations.all("buyers") == []


def test_a_place_is_tried_before_and_after_it_is_saved(browser: Browser, shop: Shop) -> None:
    visitor = visitor_of(browser, shop)
    page, tried = visitor.page, visitor.page.locator("#tried")
    visitor.open(f"{HERE}/new?kind=file")
    page.fill("[name='option.folder']", "/etc")
    visitor.click("button:has-text('Try it')")
    expect(tried).to_contain_text("It did not work.")
    expect(tried).to_contain_text("No file may be written")
    page.fill("[name='option.folder']", "exports/sheets")
    page.fill("[name='option.name']", "{nobody}")
    visitor.click("button:has-text('Try it')")
    expect(tried).to_contain_text("It cannot be tried like this")
    expect(tried).to_contain_text("Name of the file: ")
    page.fill("[name='option.name']", "best")
    page.fill("#destination-name", "Best")
    visitor.click("button:has-text('Try it')")
    expect(tried).to_contain_text("5 rows were written in exports/sheets and removed again.")
    tried.locator("summary").click()
    expect(tried.locator("pre")).to_contain_text("profile_id")
    visitor.look("destinations-9-tried")
    assert not (shop.home / "exports" / "sheets").exists()
    visitor.send("button:has-text('Save the destination')")
    visitor.click("button:has-text('Try it')")
    expect(tried).to_contain_text("There is no best.csv yet")
    number = page.url.partition("?")[0].removeprefix(shop.server.url)
    visitor.send("main a:has-text('Change')")
    page.fill("[name='option.name']", "others")
    visitor.click("button:has-text('Try it')")
    expect(tried).to_contain_text("There is no others.csv yet")  # what the form says, and not what is saved
    visitor.close()
    with shop.client("view") as http:
        assert http.post(f"{number}/try", data={}).status_code == 403
    with shop.client() as http:  # without scripts: the whole page, with what came of it
        whole = http.post(f"{number}/try", data=csrf(http)).text
        assert ("It works." in whole, "Push now" in whole) == (True, True)
        form = http.post(f"{HERE}/try", data=csrf(http) | {"kind": "file", "option.name": "{nobody}"}).text
        assert ('id="option.name-wrong"' in form, "Save the destination" in form) == (True, True)
        assert http.post(f"{number}/remove", data=csrf(http)).status_code == 303


def test_the_destinations_of_all_instances_are_listed(browser: Browser, shop: Shop) -> None:
    with shop.client() as http:
        assert "No destinations yet" in http.get("/destinations").text
    with closing(Workspace.open(shop.home)) as workspace:
        if "others" not in {row.id for row in workspace.instances.all()}:
            workspace.instances.create(document("Others"))
        made_ones = [
            workspace.destinations.create(i, f"Sheet {n:02}", "file", {"name": f"s{n}"}, enabled=n % 2 == 0).id
            for n, i in enumerate(["buyers", "others"] * 14)
        ]
        pushed = workspace.pushing.work(workspace.pushing.ask(made_ones[0]).id)
        assert pushed.state == "succeeded"
        broken = workspace.destinations.create("buyers", "Closed", "file", {"folder": "exports/closed"}).id
        (shop.home / "exports" / "closed").write_text("a file, where the folder should be")
        assert workspace.pushing.work(workspace.pushing.ask(broken).id).state == "waiting"
    visitor = visitor_of(browser, shop, "view")
    visitor.open("/")
    visitor.send("nav.places a:has-text('Destinations')")
    rows = [row.locator("td").all_inner_texts() for row in visitor.page.locator("tbody tr").all()]
    assert [[row[0], row[2]] for row in rows[:2]] == [["Sheet 00", "Buyers"], ["Sheet 01", "Others"]]
    assert (rows[0][4], rows[1][4], rows[1][1], len(rows)) == ("after every run", "when asked", "never", 25)
    assert f"{pushed.rows} rows" in rows[0][1]
    visitor.look("destinations-all")
    visitor.send("a:has-text('More')")
    rows = [row.locator("td").all_inner_texts() for row in visitor.page.locator("tbody tr").all()]
    assert ([row[0] for row in rows], "waiting" in rows[-1][1]) == (
        ["Sheet 25", "Sheet 26", "Sheet 27", "Closed"],
        True,
    )
    visitor.page.set_viewport_size({"width": NARROW, "height": 900})
    visitor.look("destinations-all-narrow")
    visitor.close()
    with closing(Workspace.open(shop.home)) as workspace:
        for number in [*made_ones, broken]:
            workspace.destinations.remove(number)
