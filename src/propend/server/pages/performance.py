"""What came of earlier scores: expected against what happened, run by run, and one run score by score."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Response

from propend.aftermath_page import compose, newest, trend
from propend.phrasing import words_of
from propend.report import language_of
from propend.retelling import in_english
from propend.server.pages.shell import Page, View, invalid
from propend.server.state import InstanceId
from propend.store.catalog import InstanceRow
from propend.workspace.outcomes import so_far, told
from propend.workspace.standing import standing_of

router = APIRouter()
Plain = dict[str, Any]
Day = Annotated[str, Query(max_length=10)]
Chosen = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9-]{1,40}$")]


@router.get("/instances/{instance_id}/performance")
def performance(
    instance_id: InstanceId, page: View, since: Day = "", until: Day = "", run: Chosen = None
) -> Response:  # fmt: skip
    """What every run expected, and what came of those whose outcome window is over; before that, when it will be."""
    instance = page.space.instances.get(instance_id)
    kind, zone = _kind_and_zone(standing_of(page.space, instance))
    language = _language(page, instance)
    every = in_english(so_far(page.space, instance_id), language)
    shown = [r for r in every if _within(_day(r["scored_at"], zone), since, until)]
    judged = [r for r in every if r["matured"] and r["known"]]
    one = next((r for r in judged if r["run_id"] == run), judged[-1] if judged else None)
    document = in_english(told(page.space, instance_id), language)
    report = _report(document, shown, len(every)) if judged and document else None
    return page.html(
        "performance.html.j2", instance=instance, tab="performance", every=every, shown=shown, judged=judged, one=one,
        report=report, trend=trend(shown, kind, zone), of_one=newest(one, kind) if one is not None else None,
        first_answer=_first_answer(every, zone), words=words_of(kind), since=since, until=until,
        day_of=lambda instant: _day(instant, zone), drift=_drift(shown, zone),
    )  # fmt: skip


def _kind_and_zone(standing: Any) -> tuple[str, ZoneInfo]:
    return standing.propensity_type, ZoneInfo(standing.time_zone)


def _language(page: Page, instance: InstanceRow) -> str:
    """In which its reports are, and so what was told of its runs."""
    document = page.space.instances.version(instance.id).document if instance.version else {}
    return language_of({"instance": document})


def _report(document: Plain, shown: list[Plain], runs: int) -> Plain:
    """What the page after the window says, of the runs that are shown; its sums are over all of them."""
    return compose(document | {"runs": shown, "summary": document["summary"] | {"runs": runs}, "challenge": None})


def _day(instant: str, zone: ZoneInfo) -> date:
    return datetime.fromisoformat(instant).astimezone(zone).date()


def _within(day: date, since: str, until: str) -> bool:
    """Whether a day lies in a range whose ends, where they are given, belong to it."""
    first, last = (_asked(text) for text in (since, until))
    return (first is None or first <= day) and (last is None or day <= last)


def _asked(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise invalid(f"{text!r} is no date.", "write it as 2026-01-31.") from None


def _first_answer(every: list[Plain], zone: ZoneInfo) -> date | None:
    """The first day on which what came of a run not judged yet can be known."""
    waiting = [r["matures_at"] for r in every if not r["matured"]]
    return _day(min(waiting), zone) if waiting else None


def _drift(shown: list[Plain], zone: ZoneInfo) -> list[dict[str, str]]:
    return [{"As of": str(_day(r["scored_at"], zone)), "Said by the run": said} for r in shown for said in r["drift"]]
