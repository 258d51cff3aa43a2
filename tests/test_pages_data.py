"""Pages of data and the check over HTTP: what they open, and what a busy server says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI
from playwright.sync_api import expect

from browser import Visitor, chromium
from loopback import served
from propend.connectors.files import find_files
from propend.engines.duckdb import DuckdbEngine
from propend.errors import ServerBusyError
from propend.server import state
from propend.server.app import create_app
from propend.server.pages import data
from propend.server.state import HeavyWork
from propend.workspace import Workspace, looks
from workspaces import document, opened

HTML = {"Accept": "text/html"}
PART = {"HX-Request": "true"}


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    found = opened(tmp_path / "shop")
    yield found
    found.close()


@pytest.fixture
def app(workspace: Workspace) -> FastAPI:
    return create_app(workspace, access=False)


def test_pages_of_data_open_no_file_and_parts_each_one_once(
    workspace: Workspace, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens: list[str] = []
    found: list[str] = []

    class Counted(DuckdbEngine):
        def __init__(self, **given: Any) -> None:
            opens.append("")
            super().__init__(**given)

    def counted(path: str, folder: Path) -> list[Path]:
        found.append(path)
        return find_files(path, folder)

    monkeypatch.setattr(looks, "DuckdbEngine", Counted)
    monkeypatch.setattr(data, "find_files", counted)
    for name in ("Buyers", *(f"Others {i}" for i in range(7))):
        workspace.instances.create(document(name))
    workspace.instances.save_draft("others-6", document() | {"data": {"events": "../gone.parquet"}})
    with served(app) as address, httpx.Client(base_url=address, headers=HTML) as client:
        listed = client.get("/data")
        assert (listed.status_code, found, opens) == (200, ["../events.parquet", "../gone.parquet"], [])
        assert "Others 3</a> and 2 more" in listed.text
        page = client.get("/data/preview?path=events.parquet")
        assert (page.status_code, opens) == (200, [])
        assert 'hx-get="/data/columns?path=events.parquet"' in page.text
        parts = [client.get("/data/columns?path=events.parquet", headers=PART).text for _ in range(2)]
        assert (parts[0] == parts[1], "First rows of" in parts[0], len(opens)) == (True, True, 1)
        assert "First rows of" in client.get("/data/preview?path=events.parquet").text
        assert client.get("/data/columns?path=/etc/passwd", headers=PART).status_code == 422
    assert len(opens) == 1


def test_parts_that_the_server_is_too_busy_for_ask_again(workspace: Workspace, app: FastAPI) -> None:
    workspace.instances.create(document("Buyers"))
    app.state.heavy = HeavyWork(wait_seconds=0.01)
    asked = (("POST", "/instances/buyers/edit/check"), ("GET", "/data/columns"), ("GET", "/data/events"))
    with served(app) as address, httpx.Client(base_url=address, headers=PART) as client:

        def ask(method: str, place: str) -> httpx.Response:
            query = {} if method == "POST" else {"path": "events.parquet"}
            return client.request(method, place, params=query, timeout=60)

        assert "Ready to run" in ask(*asked[0]).text
        app.state.looks = looks.Looks()  # nothing is known any more
        with app.state.heavy.turn():
            busy = [ask(*one) for one in asked]
        assert [(b.status_code, b.headers.get("Retry-After")) for b in busy] == [(503, "10")] * 3
        for (method, place), answer in zip(asked, busy, strict=True):
            assert f'hx-{method.lower()}="{place}' in answer.text
            assert 'hx-trigger="load delay:10s"' in answer.text
            assert "SERVER_BUSY" not in answer.text
        assert all("data-waits" not in ask(*one).text for one in asked)


def test_the_builder_comes_and_saves_while_the_server_is_busy(workspace: Workspace, app: FastAPI) -> None:
    workspace.instances.create(document("Buyers"))
    app.state.heavy = HeavyWork(wait_seconds=0.01)
    with served(app) as address, httpx.Client(base_url=address, headers=HTML, timeout=60) as client:
        with app.state.heavy.turn():
            forms = {
                step: client.get(f"/instances/buyers/edit?step={step}") for step in ("setup", "data", "goal", "options")
            }
            app.state.looks = looks.Looks()
            saved = client.post("/instances/buyers/edit/setup", data={"name": "Others"}, headers=PART)
            live = client.post("/instances/buyers/edit/check", headers=PART)
        assert {step: form.status_code for step, form in forms.items()} == dict.fromkeys(forms, 200)
        assert '<option value="visit"' in forms["goal"].text  # with what there is in the data
        assert (saved.status_code, live.status_code) == (200, 503)
        assert (workspace.instances.get("buyers").draft or {})["name"] == "Others"


def test_not_more_than_a_few_look_at_data_at_a_time(
    workspace: Workspace, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.instances.create(document("Buyers"))
    running: list[int] = []
    most: list[int] = []
    real = looks._look

    def counted(*given: Any) -> looks.Look:
        running.append(1)
        most.append(len(running))
        try:
            return real(*given)
        finally:
            running.pop()

    monkeypatch.setattr(looks, "_look", counted)
    with served(app) as address, ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(httpx.get, f"{address}/instances/buyers/edit", timeout=60) for _ in range(6)]
        assert [a.result().status_code for a in asked] == [200] * 6
    assert max(most) <= looks.MOST_LOOKING


@pytest.mark.browser
def test_a_check_that_waits_for_others_comes_by_itself(
    workspace: Workspace, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.instances.create(document("Buyers"))
    monkeypatch.setattr(state, "_busy", lambda: ServerBusyError("Others.", "wait.", retry_seconds=1))
    app.state.heavy = HeavyWork(wait_seconds=0.01)
    with served(app) as address, chromium() as browser:
        visitor = Visitor(browser, address)
        visitor.open("/instances/buyers/edit")
        expect(visitor.page.locator("#check")).to_contain_text("Ready to run", timeout=20_000)
        with app.state.heavy.turn():
            visitor.page.fill("#goal-within", "20")
            visitor.page.keyboard.press("Tab")
            expect(visitor.page.locator("#check")).to_contain_text("asks again in 1 second", timeout=20_000)
            visitor.page.wait_for_timeout(2500)
            expect(visitor.page.locator("#check")).to_contain_text("asks again in 1 second")
            assert (visitor.barriers(), visitor.overflow()) == ([], 0)
        expect(visitor.page.locator("#check")).to_contain_text("Ready to run", timeout=20_000)
        visitor.close()


def test_a_check_brings_the_newest_sentence_with_it(workspace: Workspace, app: FastAPI) -> None:
    workspace.instances.create(document("Buyers"))
    newer = document("Buyers")
    newer["goal"]["within"] = "17d"
    workspace.instances.save_draft("buyers", newer)
    with served(app) as address, httpx.Client(base_url=address, headers=PART, timeout=60) as client:
        said = client.post("/instances/buyers/edit/check").text
    head = re.search(r'<p id="builder-sentence" class="sentence" data-of="(\d+)" hx-swap-oob="true">(.*?)</p>', said)
    assert head is not None
    changed_at = round(workspace.instances.get("buyers").changed_at.timestamp() * 1e6)
    assert (int(head[1]), "in the next 17 days" in head[2]) == (changed_at, True)


def test_files_are_searched_by_path_and_by_who_reads_them(workspace: Workspace, app: FastAPI) -> None:
    facts = document("Facts and ids")
    facts["data"]["attributes"] = {"path": "../data/orders-2025.csv", "constant": True}
    workspace.instances.create(document("Käufer des Monats"))
    workspace.instances.create(facts)
    (workspace.home / "data").mkdir()
    for name in ("orders-2024.csv", "orders-2025.csv"):
        (workspace.home / "data" / name).write_text("who,at\n", encoding="utf-8")
    with served(app) as address, httpx.Client(base_url=address, headers=HTML) as client:

        def found(q: str) -> list[str]:
            return re.findall(
                r'<td[^>]*><a href="/data/preview\?path=([^"]+)">', client.get("/data", params={"q": q}).text
            )

        assert found("") == ["data/orders-2024.csv", "data/orders-2025.csv", "events.parquet"]
        assert [found(q) for q in (" 2025 Orders", "KÄUFER", "events monats", "<b>", "facts")] == [
            ["data/orders-2025.csv"], ["events.parquet"], ["events.parquet"], [],
            ["data/orders-2025.csv", "events.parquet"],
        ]  # fmt: skip
        none = client.get("/data?q=<b>").text
    assert ("0 of 3 files" in none, "<b>" in none, "No files here yet" in none) == (True, False, False)


def test_events_by_month_are_shown_by_kind(workspace: Workspace, app: FastAPI) -> None:
    workspace.instances.create(document("Buyers"))
    with served(app) as address, httpx.Client(base_url=address, headers=PART, timeout=60) as client:
        part = client.get("/data/events?path=events.parquet").text
    table = part.split("Events per month, by kind</caption>")[1].split("</table>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.split("<tr>")[2:]]
    events = pq.read_table(workspace.home / "events.parquet")
    months = pc.strftime(events.column("at"), "%Y-%m").to_pylist()
    counted = Counter(zip(months, events.column("event").to_pylist(), strict=True))
    assert {(month, kind): int(n.replace(",", "")) for month, kind, n in rows} == dict(counted)
