"""A new instance: from the sample data, from files that are uploaded, from a path that the server can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, Response

from propend import demo
from propend.connectors.origins import is_address
from propend.document import is_database_address, read_text
from propend.errors import ColumnNotFoundError, PropendError
from propend.proposal import propose
from propend.server.failures import status_of
from propend.server.pages.shell import Manage, Page, invalid, path
from propend.workspace.first import proposed_document
from propend.workspace.proposals import Proposals

router = APIRouter()
Text = Annotated[str, Form(max_length=1000)]
ROLES = (
    ("profile", "Customer", "whose event it is: a customer number, an account, an e-mail address"),
    ("at", "Time", "when it happened"),
    ("event", "Kind of event", "what happened, such as purchase or visit; not needed"),
    ("value", "Amount", "a number that sums make sense of, such as money; not needed"),
)
"""Columns that are asked for where they cannot be told: role, what it is called, what it is."""
SAMPLES = (
    ("purchase", "Who will buy again within 30 days?"),
    ("churn", "Who will buy nothing for 90 days?"),
)
"""Documents of the sample data, and what they ask."""
SAMPLE = "Customers of a British gift shop; their orders from December 2009 to August 2011 come with propend."
"""What an instance on the sample data says of itself: true of whatever goal is put together of them."""


@router.get("/instances/new")
def begin(page: Manage) -> Response:
    """How to begin."""
    return _shown(page)


@router.post("/instances/new/sample")
def sample(page: Manage, which: Text = "purchase") -> Response:
    """A draft on the sample data, which are copied into the workspace where they are not there."""
    if which not in dict(SAMPLES):
        raise invalid("There is no such sample.", f"take one of {', '.join(dict(SAMPLES))}.")
    stored = page.space.data.add(demo.orders_path(), "sample-orders.parquet", page.who)
    document = read_text(demo.instance_texts()[which])[0]
    document |= {"description": SAMPLE, "data": document["data"] | {"events": stored.path, "folder": ".."}}
    row = page.space.instances.create_draft(document["name"], document, page.who)
    Proposals(page.space.home).keep(row.id, (), None, document["name"])
    return page.go(path("instances", row.id, "edit") + "?step=goal")


@router.post("/instances/new/own")
def own(
    page: Manage,
    source: Annotated[list[str], Form(max_length=50)] = [],  # noqa: B006 - never changed
    profile: Text = "",
    at: Text = "",
    event: Text = "",
    value: Text = "",
) -> Response:
    """A draft proposed from a look at files; where a column cannot be told, it is asked for."""
    paths = [text.strip() for text in source if text.strip()]
    given = {"profile": profile, "at": at, "event": event, "value": value}
    named = {role: name for role, name in given.items() if name}
    try:
        if not paths:
            raise invalid("No file is named.", "choose files to upload, or name a path.")
        whole = [_whole(text, page.space.home) for text in paths]
        with page.heavy.turn():
            reach = page.space.settings.data.reach
            found = propose(whole[0] if len(whole) == 1 else whole, page.space.home, named, reach)
    except PropendError as error:
        return _shown(page, error, paths, named)
    document = proposed_document(found)
    row = page.space.instances.create_draft(document["name"], document, page.who)
    Proposals(page.space.home).keep(row.id, found.notes, found.as_of, document["name"])
    return page.go(path("instances", row.id, "edit") + "?step=setup")


def _whole(text: str, home: Path) -> str:
    """An address as it is, and a path from the workspace's folder on."""
    return text if is_address(text) or is_database_address(text) else str(home / Path(text).expanduser())


def _shown(
    page: Page, error: PropendError | None = None, paths: Sequence[str] = (), named: Mapping[str, str] | None = None
) -> Response:
    """The page; with what was wrong, and the columns to choose from where that mends it."""
    columns = error.facts.get("columns", []) if isinstance(error, ColumnNotFoundError) else []
    return page.html(
        "begin.html.j2",
        200 if error is None else status_of(error),
        samples=SAMPLES,
        files=page.space.data.files(),
        most_bytes=page.space.data.most_bytes,
        error=error.to_dict() if error is not None else None,
        asked=list(paths),
        columns=columns,
        roles=ROLES,
        named=dict(named or {}),
    )
