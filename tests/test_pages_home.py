"""The first page in a real browser: what stands on it, for whom, and that it keeps up with runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from browser import NARROW, Visitor
from propend.workspace import Workspace
from propend.workspace.accounts import Accounts
from propend.workspace.dispatch import follow
from servers import Server, serving
from workspaces import document, made

pytestmark = pytest.mark.browser
PASSWORD = "a quiet place by the sea"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a workspace with an instance of each standing."""
    home = made(tmp_path_factory.mktemp("home") / "shop")
    workspace = Workspace.open(home)
    workspace.instances.create(document("Buyers within a month", schedule="daily"))
    rare = document("Too rare <b>to learn</b>")
    rare["events"]["buy"] = {"is": "no-such-kind"}
    workspace.instances.create(rare, instance_id="rare")
    workspace.instances.create_draft("Renewals, unfinished", {"type": "churn"})
    workspace.instances.create(document("Not wanted now"), instance_id="off")
    workspace.instances.switch("off", enabled=False)
    for instance_id in ("buyers-within-a-month", "rare"):
        follow(workspace, workspace.runs.start(instance_id).id, lambda _: None)
    workspace.close()
    (home / "instances" / "broken.yaml").write_text("name: 3\ngoal: x\n", encoding="utf-8")
    with serving(home, "--no-auth") as server:
        yield server


def test_every_instance_is_shown_as_it_stands(browser: Browser, shop: Server) -> None:
    for width, dark in ((1440, False), (1440, True), (NARROW, False), (NARROW, True)):
        visitor = Visitor(browser, shop.url, width=width, dark=dark)
        visitor.open("/")
        visitor.look(f"home-{width}-{'dark' if dark else 'light'}")
        visitor.close()
    visitor = Visitor(browser, shop.url)
    visitor.open("/")
    assert visitor.page.locator(".standing h2").all_inner_texts() == [
        "Buyers within a month",
        "Not wanted now",
        "Renewals, unfinished",
        "Too rare <b>to learn</b>",
    ]
    buyers, off, draft, rare = (" ".join(text.split()) for text in visitor.page.locator(".standing").all_inner_texts())
    evaluation = httpx.get(f"{shop.url}/api/v1/instances/buyers-within-a-month/evaluation").json()
    factors = httpx.get(f"{shop.url}/api/v1/instances/buyers-within-a-month/factors").json()
    population = sum(bucket["n"] for bucket in factors["buckets"])
    for told in (
        f"{population} profiles scored",
        *(f"{b['bucket'].capitalize()} {100 * b['n'] / population:.1f}".removesuffix(".0") for b in factors["buckets"]),
        f"AUC {evaluation['auc']['value']:.3f}",
        f"Tested on {evaluation['n']} profiles, {evaluation['positives']} of whom converted.",
        "Last run succeeded",
        "daily",
    ):
        assert told in buyers
    assert ("disabled" in off, "Not run yet" in off) == (True, True)
    assert ("draft" in draft, "Churn" in draft) == (True, True)
    assert ("The last run failed." in rare, "no-such-kind" in rare) == (True, True)
    assert "The file broken.yaml has mistakes" in visitor.page.locator(".callout-warned").inner_text()
    assert str(population) in visitor.page.locator("dl.figures").inner_text()
    assert visitor.page.locator("text=New instance").get_attribute("href") == "/instances/new"
    visitor.close()


def test_a_run_that_is_going_on_is_seen_without_loading_anew(browser: Browser, shop: Server) -> None:
    visitor = Visitor(browser, shop.url)
    before = httpx.get(f"{shop.url}/api/v1/runs", params={"instance": "buyers-within-a-month"}).json()["items"][0]["id"]
    begun = httpx.post(f"{shop.url}/api/v1/instances/buyers-within-a-month/runs", json={"kind": "score"})
    assert begun.status_code == 201
    visitor.open("/")
    link = visitor.page.locator("#run-buyers-within-a-month")
    assert link.inner_text() in ("queued", "running")
    visitor.page.wait_for_function(
        "() => document.querySelector('#run-buyers-within-a-month').innerText === 'succeeded'", timeout=60_000
    )
    assert link.get_attribute("href") == f"/runs/{begun.json()['id']}" != f"/runs/{before}"
    assert visitor.page.locator("#standing-buyers-within-a-month").get_attribute("hx-get") is None
    visitor.look("home-after-run")
    visitor.close()


def test_an_instance_that_was_removed_meanwhile_leaves_its_card(shop: Server) -> None:
    gone = httpx.get(f"{shop.url}/instances/nothing/card", headers={"HX-Request": "true"})
    assert (gone.status_code, "There is no instance" in gone.text) == (404, True)


def test_an_empty_workspace_says_what_to_do_and_who_may(browser: Browser, tmp_path: Path) -> None:
    home = made(tmp_path / "shop")
    workspace = Workspace.open(home)
    accounts = Accounts(workspace.catalog, workspace.settings.access)
    secrets = {
        role: accounts.sessions.start(accounts.add(role, role, PASSWORD, "local").id) for role in ("view", "manage")
    }
    with serving(home) as server:
        links = {}
        for role, secret in secrets.items():
            visitor = Visitor(browser, server.url, width=1440 if role == "manage" else NARROW, dark=role == "view")
            visitor.context.add_cookies([{"name": "propend", "value": secret, "url": server.url}])
            visitor.open("/")
            visitor.look(f"home-empty-{role}")
            links[role] = visitor.page.locator("main a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
            visitor.close()
        assert links == {"manage": ["/instances/new", "/data"], "view": []}
        workspace.instances.create_draft("One", {})
        visitor = Visitor(browser, server.url)
        visitor.context.add_cookies([{"name": "propend", "value": secrets["view"], "url": server.url}])
        visitor.open("/")
        assert visitor.page.locator("text=New instance").count() == 0
        assert visitor.page.locator(".standing h2 a").get_attribute("href") == "/instances/one"
        visitor.close()
    workspace.close()


def test_many_instances_come_by_pages_and_are_found_by_name(browser: Browser, tmp_path: Path) -> None:
    home = made(tmp_path / "shop")
    workspace = Workspace.open(home)
    for i in range(200):
        workspace.instances.create_draft(f"Shop {i:03}", {})
    workspace.instances.edit("shop-007", document("Shop 007"))
    workspace.instances.switch("shop-007", enabled=False)
    workspace.close()
    with serving(home, "--no-auth") as server, httpx.Client(base_url=server.url) as http:
        http.get("/")
        seconds = []
        for _ in range(5):
            began = time.perf_counter()
            page = http.get("/")
            seconds.append(time.perf_counter() - began)
        assert (page.status_code, min(seconds) < 0.3) == (200, True)
        visitor = Visitor(browser, server.url)
        visitor.open("/")
        visitor.click("text=Later")
        visitor.settle()
        assert "31 to 60 of 200" in " ".join(visitor.page.locator(".pager").inner_text().split())
        assert visitor.page.locator(".standing h2").first.inner_text() == "Shop 030"
        visitor.page.fill("#q", "shop 00")
        visitor.page.select_option("#status", "disabled")
        visitor.click("text=Find")
        visitor.look("home-found")
        assert visitor.page.locator(".standing h2").all_inner_texts() == ["Shop 007"]
        visitor.page.fill("#q", "nobody")
        visitor.click("text=Find")
        assert "No instance is called so" in visitor.page.content()
        visitor.close()
