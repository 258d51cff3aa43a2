"""What is known of customers, by forms in a real browser: tables of attributes, consent, labels, ids of one person."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from browser import NARROW, Visitor
from propend.workspace import Workspace
from shops import PROFILES
from workspaces import document, made

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with a list of customers: a plan that nine of ten have, an address, and whether they may be scored."""
    found = made(tmp_path_factory.mktemp("facts") / "shop")
    with (found / "customers.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["profile_id", "known_since", "plan", "mail", "marketing"])
        for i in range(PROFILES):
            rows.writerow(
                [f"p{i:04d}", "2022-01-01", ("gold", "free", "")[i % 3], f"{i}@x.org", ("yes", "no")[i % 5 == 0]]
            )
    workspace = Workspace.open(found)
    workspace.instances.create(document("Buyers"))
    workspace.close()
    return found


def data_of(home: Path) -> dict[str, Any]:
    """The data section of the draft."""
    workspace = Workspace.open(home)
    row = workspace.instances.get("buyers")
    workspace.close()
    assert row.draft is not None
    found: dict[str, Any] = row.draft["data"]
    return found


def checked(visitor: Visitor) -> str:
    visitor.page.wait_for_selector("#check .check-figures, #check .callout-refused, #check .callout-warned")
    visitor.settle()
    return visitor.page.inner_text("#check")


def test_attributes_consent_and_labels_without_yaml(browser: Browser, visitor: Visitor, home: Path) -> None:
    page = visitor.page
    visitor.open("/instances/buyers/edit?step=data")
    everybody = checked(visitor)
    visitor.look("facts-none")
    page.fill("#add-table", "../customers.csv")
    visitor.send("text=Use these data")
    assert data_of(home)["attributes"] == "../customers.csv"
    expect(page.locator("#table-0-profile option").first).to_contain_text("guessed: profile_id")
    page.select_option("#table-0-holds", "since:known_since")
    page.click("text=All columns are used")
    page.uncheck("[name='tables.0.columns[]'][value='mail']")
    page.select_option("#consent-column", "attributes:marketing")
    page.select_option("#add-label-column", "mail")
    page.select_option("#add-label-label", "identifier")
    visitor.send("text=Use these data")
    assert data_of(home) == document()["data"] | {
        "attributes": {"path": "../customers.csv", "effective": "known_since", "columns": ["plan", "marketing"]},
        "consent": {"column": "marketing"},
        "labels": {"mail": "identifier"},
    }
    assert "consent" in checked(visitor)
    assert checked(visitor) != everybody
    visitor.look("facts-all")
    page.check("[name='consent.learn']")
    page.fill("[name='consent.given']", "no")
    page.uncheck("[name='labels.0.labels[]'][value='identifier']")
    visitor.send("text=Use these data")
    found = data_of(home)
    assert (found["consent"], "labels" in found) == ({"column": "marketing", "given": ["no"], "learn": True}, False)
    narrow = Visitor(browser, visitor.url, width=NARROW, dark=True)
    narrow.open("/instances/buyers/edit?step=data")
    checked(narrow)
    narrow.look("facts-narrow")
    narrow.close()
    page.check("[name='tables.0.remove']")
    page.select_option("#consent-column", "")
    visitor.send("text=Use these data")
    assert data_of(home) == document()["data"]


def test_ids_of_one_person_and_a_table_that_is_not_there(visitor: Visitor, home: Path) -> None:
    page = visitor.page
    visitor.open("/instances/buyers/edit?step=data")
    page.fill("#add-table", "../nowhere.csv")
    page.click("text=Join ids")
    page.select_option("#add-link-a", "profile_id")
    page.select_option("#add-link-b", "category")
    visitor.send("text=Use these data")
    expect(page.locator(".facts-table .callout-warned")).to_contain_text("nowhere.csv")
    assert data_of(home)["identities"] == [{"events": {"from": "profile_id", "to": "category"}}]
    visitor.look("facts-links")
    page.check("[name='tables.0.remove']")
    page.check("[name='links.0.remove']")
    visitor.send("text=Use these data")
    assert data_of(home) == document()["data"]
