"""The first page: every instance with how it stands."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from propend.server.pages.shell import Page, View
from propend.server.state import InstanceId
from propend.store.catalog import InstanceRow
from propend.workspace.overview import InstanceSummary, Overview

router = APIRouter()
PAGE = 30
"""Instances on one page."""
SEARCHED_FROM = 9
"""So many instances before there is anything to search with."""
Status = Literal["", "enabled", "disabled", "draft"]


@router.get("/")
def home(
    page: View,
    q: Annotated[str, Query(max_length=200)] = "",
    status: Status = "",
    start: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    """All instances, by name, thirty on a page; where there are none, how to begin."""
    everything = sorted(page.space.instances.all(), key=lambda row: (row.name.casefold(), row.id))
    if not everything and not page.space.problems:
        return page.html("home_empty.html.j2")
    found = [row for row in everything if _is_meant(row, q.strip().casefold(), status)]
    overview = _overview(page)
    return page.html(
        "home.html.j2",
        all=everything,
        found=found,
        standings=overview.of(found[start : start + PAGE], page.scores.runs()),
        start=start,
        total=overview.scored_this_year(),
        serving=len(page.scores.runs()),
        problems=page.space.problems,
        earlier=_address(q, status, start - PAGE) if start > 0 else None,
        later=_address(q, status, start + PAGE) if start + PAGE < len(found) else None,
        asked={"q": q, "status": status},
        searched=len(everything) >= SEARCHED_FROM,
    )


@router.get("/instances/{instance_id}/card")
def card(page: View, instance_id: InstanceId) -> Response:
    """One instance of the list anew; a card asks for it as long as a run of it is going on."""
    return page.html("home_card_part.html.j2", standing=_one(page, instance_id))


def _one(page: Page, instance_id: str) -> InstanceSummary:
    """How one instance stands now; what is served is looked up, for a run may have ended this moment."""
    row, serving = page.space.instances.get(instance_id), page.space.runs.serving(instance_id)
    return _overview(page).of([row], [serving] if serving is not None else [])[0]


def _overview(page: Page) -> Overview:
    found: Overview = page.request.app.state.overview
    return found


def _is_meant(row: InstanceRow, text: str, status: str) -> bool:
    return (text in row.name.casefold() or text in row.id) and status in ("", row.status)


def _address(q: str, status: str, start: int) -> str:
    asked = {"q": q, "status": status, "start": max(start, 0)}
    return "/?" + urlencode({name: value for name, value in asked.items() if value})
