"""Profiles: found by id, listed by their chances, and one of them with everything that is known; and forgotten."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Response

from propend.errors import InstanceNotFoundError, ProfileNotFoundError
from propend.report import language_of
from propend.retelling import in_english
from propend.segments import Rule
from propend.server.cursors import cursor_of, place_of
from propend.server.pages.served import Served, instance_names, name_of
from propend.server.pages.shell import Manage, View, invalid
from propend.server.state import InstanceId
from propend.workspace.persons import EVENTS, HISTORY, history, history_rows, timeline

router = APIRouter()
Plain = dict[str, Any]
PER_PAGE = 50
ORDERS = {"-probability": "the most likely first", "profile": "by id"}
log = logging.getLogger("propend.pages")
LAST_LETTER = "\U0010ffff"
ProfileId = Annotated[str, Path(max_length=2000)]
Asked = Annotated[str, Query(max_length=3000)]


@router.get("/profiles")
def list_profiles(
    page: View, q: Asked = "", instance: Asked = "", bucket: Asked = "", order: Asked = "", cursor: Asked = ""
) -> Response:
    """Search by id, and the profiles of an instance."""
    names = instance_names(page)
    scored = [run.instance_id for run in page.scores.runs() if run.instance_id in names]
    serving = [instance_id for instance_id in scored if instance_id not in page.scores.held_back]
    not_shown = {instance_id: names[instance_id] for instance_id in scored if instance_id not in serving}
    if not serving:
        return page.html("profiles.html.j2", serving=[], names=names, not_shown=not_shown)
    chosen, q = instance if instance in serving else serving[0], q.strip()
    bucket = bucket if bucket in ("high", "medium", "low") else ""
    order = order if order in ORDERS else "profile" if q else "-probability"
    exact = q if q and page.scores.profiles([q]).of(q) else ""
    try:
        served = Served.of(page, chosen)
        rows, more = _page(served, _rule(q, bucket), order, cursor)
        listed: Plain = {"rows": rows, "more": more, "given": served.given, "unreadable": None}
    except InstanceNotFoundError as error:  # those of the others can be chosen all the same
        log.error("instance %s: %s", chosen, error.message)
        listed = {"unreadable": error.to_dict()}
    return page.html(
        "profiles.html.j2", serving=serving, names=names, chosen=chosen, q=q, bucket=bucket, order=order,
        orders=ORDERS, exact=exact, first=not cursor, not_shown=not_shown, **listed,
    )  # fmt: skip


def _rule(q: str, bucket: str) -> Rule:
    """Ids that begin so; bounds beside it, for files are sorted by id and the rest of them is not read."""
    rule = Rule.of(bucket=bucket or None)
    if q:
        start, end = (_quoted(text) for text in (q, q + LAST_LETTER))
        where = f"profile_id >= {start} and profile_id < {end} and profile_id starts with {_quoted(q)}"
        rule += Rule.read(where)
    return rule


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _page(served: Served, rule: Rule, order: str, cursor: str) -> tuple[list[Plain], str | None]:
    after = None
    if cursor:
        before, profile_id, probability = place_of(cursor, str, str, float)
        if before != order:
            raise invalid("The list is in another order by now.", "begin with its first page.")
        after = {"profile_id": profile_id, "probability": probability}
    found = served.scores.page(rule, order, after, PER_PAGE + 1)
    last = found[PER_PAGE - 1] if len(found) > PER_PAGE else None
    return found[:PER_PAGE], cursor_of(order, last["profile_id"], last["probability"]) if last else None


# --- one profile ------------------------------------------------------------------------------------------------


@router.get("/profiles/{profile_id:path}")
def one_profile(page: View, profile_id: ProfileId) -> Response:
    """Its score in every instance, with what raises and lowers it."""
    found, names = page.scores.profiles([profile_id]), instance_names(page)
    shown, unreadable = [], [instance_id for instance_id in found.unreadable if instance_id in names]
    for instance_id, row in found.of(profile_id).items():
        if instance_id in names:
            try:
                shown.append(_shown(Served.of(page, instance_id), row, profile_id))
            except InstanceNotFoundError as error:  # the documents beside the scores; the other instances are shown
                log.error("instance %s: %s", instance_id, error.message)
                unreadable.append(instance_id)
    given = {"profile_id": profile_id, "shown": shown, "forgotten": page.space.privacy.is_forgotten(profile_id)}
    given["unreadable"] = {instance_id: names[instance_id] for instance_id in unreadable}
    given["not_shown"] = {instance_id: names[instance_id] for instance_id in found.not_shown if instance_id in names}
    return page.html("profile.html.j2", 200 if shown else 404, **given)


def _shown(served: Served, row: Plain, profile_id: str) -> Plain:
    """A score with what stands around it."""
    given = served.given
    factors = in_english(row.get("factors") or [], language_of(given.run))
    return {
        "instance": served.instance, "row": row, "words": given.words, "tone": given.tones[row["bucket"]],
        "raises": [f for f in factors if f["impact"] > 0], "lowers": [f for f in factors if f["impact"] <= 0],
        "as_of": given.day(given.run["scored_at"]), "until": given.day_before(given.run["expires_at"]),
        "mean": given.insights["mean_probability"], "horizons": row.get("horizons") or [],
        "attributes": {n: _said(v) for n, v in (row.get("attributes") or {}).items() if v is not None},
        "expected_days": row.get("expected_days"), "profile_id": profile_id, "sentence": given.run["sentence"],
    }  # fmt: skip


def _said(value: Any) -> str:
    """An attribute as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    return f"{value:,.10g}" if isinstance(value, float) else str(value)


@router.get("/instances/{instance_id}/history")
def profile_history(page: View, instance_id: InstanceId, profile: Asked = "") -> Response:
    """A profile's scores of the runs that are kept: a part of its page."""
    served = Served.of(page, instance_id)
    rows = history_rows(history(page.space, served.run, profile), served.given)
    picture = {
        "chart": HISTORY,
        "id": f"history-{instance_id}",
        "message": "",
        "alt": "probability from run to run",
    }
    return page.html("profile_history_part.html.j2", picture_given={**picture, "rows": rows}, words=served.given.words)


@router.get("/instances/{instance_id}/events")
def profile_events(page: View, instance_id: InstanceId, profile: Asked = "") -> Response:
    """A profile's events with the windows of the run, read from the data: a part of its page."""
    served = Served.of(page, instance_id)
    if not profile or not served.scores.find(profile):
        raise ProfileNotFoundError("This profile has no score here.", "its id may be written otherwise.")
    with page.heavy.turn():
        found = timeline(page.space, served.run, served.given, profile)
    picture = {"chart": EVENTS, "id": f"events-{instance_id}", "message": "", "rows": found["rows"]}
    picture["alt"] = f"{found['total']} events, with the windows of the run"
    given = {**found, "picture_given": picture, "words": served.given.words}
    return page.html("profile_events_part.html.j2", instance=served.instance, **given)


# --- forgetting -------------------------------------------------------------------------------------------------


@router.post("/profiles/forget")
def forget(page: Manage, profile_id: Annotated[str, Form(max_length=2000)] = "") -> Response:
    """Take a person out of all runs, and out of what later runs read; says what was removed."""
    removed = page.space.privacy.forget(profile_id, name_of(page))
    page.scores.renew()  # out of this server's memory, too
    return page.html("forgotten.html.j2", removed=removed)
