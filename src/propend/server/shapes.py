"""What goes over the wire: the bodies of requests and answers, with examples, as OpenAPI shows them."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from propend.store.catalog import InstanceRow, MembershipRow, RunRow, SegmentRow, VersionRow

Plain = dict[str, Any]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many items.")]
Cursor = Annotated[
    str | None, Query(max_length=4000, description="`next` of the page before; absent for the first page.")
]  # fmt: skip
KeepExports = Annotated[
    bool, Query(description="Whether what destinations were given stays there; else it is taken back first.")
]
MAX_IDS = 5000
EXAMPLE_DOCUMENT: Plain = {
    "name": "Buyers of the month",
    "type": "conversion",
    "data": {"events": "../events.parquet", "columns": {"profile": "customer", "at": "at", "event": "event"}},
    "events": {"buy": {"is": "purchase"}},
    "goal": {"any_of": ["buy"], "within": "30d"},
    "eligible": {"all_of": [{"did": "anything", "within": "90d"}]},
}
EXAMPLE_FACTOR: Plain = {
    "code": "DAYS_SINCE_BUY", "label": "Days since the last purchase", "value": "3", "typical": "41", "impact": 0.62,
    "importance": "high",
}  # fmt: skip
EXAMPLE_SCORE: Plain = {
    "profile_id": "c-1042", "score": 81.5, "probability": 0.43, "probability_low": 0.38, "probability_high": 0.48,
    "too_little_history": False, "percentile": 97, "bucket": "high", "times_average": 3.1,
    "propensity_type": "conversion", "scored_at": "2026-03-01T00:00:00Z", "expires_at": "2026-03-31T00:00:00Z",
    "factors": [EXAMPLE_FACTOR], "run_id": "20260301T040000-1f2e3d", "instance": "Buyers of the month",
}  # fmt: skip


class Shape(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(extra="forbid")


class Asked(BaseModel):
    """Base of all bodies of requests: nothing unknown, and nothing in them that no database can keep."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _can_be_kept(cls, value: Any) -> Any:
        """Refuse texts with NUL or half characters, and numbers that are not finite."""
        waiting = [value]
        while waiting:
            one = waiting.pop()
            if isinstance(one, dict):
                waiting += [*one, *one.values()]
            elif isinstance(one, list):
                waiting += one
            elif isinstance(one, float) and not math.isfinite(one):
                raise ValueError("a number is not finite")
            elif isinstance(one, str) and ("\0" in one or any("\ud800" <= c <= "\udfff" for c in one)):
                raise ValueError("a text has a character that is none: NUL, or half of a pair")
        return value


# --- errors -----------------------------------------------------------------------------------------------------


class Refusal(BaseModel):
    """An error: a stable code and name, what happened with its numbers, and what to do."""

    code: Annotated[str, Field(examples=["PROPEND-103"])]
    symbol: Annotated[str, Field(examples=["NOT_FOUND"])]
    stage: Annotated[str, Field(examples=["configure"])]
    message: Annotated[str, Field(examples=["There is no instance 'buyers' in this workspace."])]
    hint: Annotated[str, Field(examples=["`propend list` shows those there are."])]
    facts: Annotated[Plain, Field(examples=[{"instance": "buyers"}])]


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    error: Refusal


# --- instances ---------------------------------------------------------------------------------------------------


class InstanceBody(Asked):
    """A new instance: with a document, in force at once; or with a name and a draft, which nothing runs."""

    document: Annotated[Plain | None, Field(examples=[EXAMPLE_DOCUMENT])] = None
    name: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    draft: Plain | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> InstanceBody:
        if (self.document is None) == (self.name is None) or (self.draft is not None and self.name is None):
            raise ValueError("either `document`, or `name` with an optional `draft`")
        return self


class DocumentBody(Asked):
    """The document of a new version."""

    document: Annotated[Plain, Field(examples=[EXAMPLE_DOCUMENT])]


class DraftBody(Asked):
    """A document that is being worked on; null throws it away."""

    draft: Annotated[Plain | None, Field(examples=[{"name": "Buyers of the month"}])]


class CloneBody(Asked):
    """A copy's name; by default that of the original with ``(copy)``."""

    name: Annotated[str | None, Field(min_length=1, max_length=200, examples=["Buyers, newly"])] = None


class RunOut(Shape):
    """One execution of an instance."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{
        "id": "20260301T040000-1f2e3d", "instance": "buyers", "version": 3, "kind": "auto", "trigger": "schedule",
        "state": "running", "stage": "fit", "progress": 0.35, "error": None, "options": {}, "summary": None,
        "model_run": None, "scores_kept": False, "cancel_asked": False, "asked_by": "schedule",
        "queued_at": "2026-03-01T04:00:00Z", "started_at": "2026-03-01T04:00:01Z", "finished_at": None,
    }]})  # fmt: skip

    id: str
    instance: str
    version: int
    kind: str
    trigger: str
    state: str
    stage: str | None
    progress: float
    error: Plain | None
    options: Plain
    summary: Plain | None
    model_run: str | None
    scores_kept: bool
    cancel_asked: bool
    asked_by: str
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, row: RunRow) -> RunOut:
        """From its row."""
        named = {name: getattr(row, name) for name in cls.model_fields if name != "instance"}
        return cls(instance=row.instance_id, **named)


class InstanceItem(Shape):
    """An instance in a list."""

    id: Annotated[str, Field(examples=["buyers"])]
    name: Annotated[str, Field(examples=["Buyers of the month"])]
    status: Annotated[str, Field(examples=["enabled"], description="draft, enabled or disabled")]
    version: Annotated[int, Field(examples=[3], description="0 for a draft")]
    has_draft: bool
    champion: str | None
    due_at: datetime | None
    created_at: datetime
    created_by: str
    changed_at: datetime

    @classmethod
    def of(cls, row: InstanceRow) -> InstanceItem:
        """From its row."""
        named = {name: getattr(row, name) for name in InstanceItem.model_fields if name != "has_draft"}
        return cls(has_draft=row.draft is not None, **named)


class InstanceOut(InstanceItem):
    """An instance: its document, the run that is served, and what is wrong with its file, if anything."""

    document: Annotated[Plain | None, Field(examples=[EXAMPLE_DOCUMENT], description="null for a draft")]
    draft: Plain | None
    serving: RunOut | None
    problem: Annotated[Refusal | None, Field(description="why a file edited by hand could not be taken in")]


class VersionOut(Shape):
    """A version of an instance."""

    number: int
    hash: Annotated[str, Field(examples=["1f2e3d4c5b6a"])]
    document: Annotated[Plain, Field(examples=[EXAMPLE_DOCUMENT])]
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, row: VersionRow) -> VersionOut:
        """From its row."""
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class DifferenceOut(Shape):
    """One place that differs between two versions; null where there is nothing."""

    place: Annotated[str, Field(examples=["goal.within"])]
    before: Any
    after: Any


class InstancePage(Shape):
    """A page of instances."""

    items: list[InstanceItem]
    next: str | None


class VersionPage(Shape):
    """All versions, the newest first."""

    items: list[VersionOut]
    next: str | None = None


class Differences(Shape):
    """What changed from one version to another."""

    items: list[DifferenceOut]
    next: str | None = None


# --- checks and runs ------------------------------------------------------------------------------------------


class CheckBody(Asked):
    """What to check: a document, or the newest version of an instance."""

    document: Annotated[Plain | None, Field(examples=[EXAMPLE_DOCUMENT])] = None
    instance: Annotated[str | None, Field(pattern=r"^[a-z0-9-]{1,80}$")] = None
    as_of: Annotated[date | None, Field(description="Stand at this date: nothing from it on is read.")] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> CheckBody:
        if (self.document is None) == (self.instance is None):
            raise ValueError("either `document` or `instance`")
        return self


class RunBody(Asked):
    """What run to start."""

    kind: Annotated[
        Literal["auto", "train", "score"],
        Field(description="auto trains where the policy says so, and scores with the model in force else"),
    ] = "auto"
    as_of: Annotated[date | None, Field(description="Stand at this date: nothing from it on is read.")] = None
    full: Annotated[
        bool, Field(description="Read tables of databases as a whole again, where only new rows are read else.")
    ] = False


class RunPage(Shape):
    """A page of runs, the newest first."""

    items: list[RunOut]
    next: str | None


class StageOut(Shape):
    """A stage that a run has begun."""

    stage: Annotated[str, Field(examples=["fit"])]
    began_at: datetime
    seconds: Annotated[float, Field(examples=[12.4], description="until the next began; so far, of the last")]


class RunLog(Shape):
    """What a run did, as far as it is: its stages, and the last lines of its log."""

    run: Annotated[str, Field(examples=["20260301T040000-1f2e3d"])]
    stages: list[StageOut]
    lines: Annotated[list[str], Field(examples=[["2026-03-01T04:00:01Z INFO propend.run stage: read"]])]
    cut: Annotated[bool, Field(description="whether the log has lines before these")]


class FactorsOut(Shape):
    """What raises and lowers the scores that are served: over all profiles, and in each bucket."""

    instance: Annotated[str, Field(examples=["buyers"])]
    run: Annotated[str, Field(examples=["20260301T040000-1f2e3d"])]
    base: Annotated[float | None, Field(description="log-odds of a profile of whom nothing is known")]
    factors: Annotated[list[Plain], Field(description="as `factors` in insights.json")]
    buckets: Annotated[list[Plain], Field(description="as `buckets` in insights.json")]


# --- scores and profiles -----------------------------------------------------------------------------------------


class FactorOut(Shape):
    """What raises or lowers one profile's score."""

    code: str
    label: str
    value: str | None
    typical: str | None
    impact: Annotated[float | None, Field(description="log-odds that it adds or takes")]
    importance: str


class HorizonOut(Shape):
    """The probability within one length of the window."""

    days: int
    probability: float | None


class ScoreOut(Shape):
    """One profile's row of ``scores.parquet``."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE_SCORE]})

    profile_id: str
    score: float
    probability: float
    probability_low: float | None
    probability_high: float | None
    too_little_history: bool | None
    percentile: int
    bucket: str
    times_average: float | None
    propensity_type: str
    scored_at: datetime
    expires_at: datetime
    factors: list[FactorOut]
    run_id: str
    instance: str
    horizons: list[HorizonOut] | None = None
    expected_days: int | None = None


class ScorePage(Shape):
    """A page of scores of one run."""

    run: Annotated[str, Field(examples=["20260301T040000-1f2e3d"])]
    items: list[ScoreOut]
    next: str | None


Unreadable = Annotated[
    list[str], Field(examples=[[]], description="instances whose scores are damaged or lost: of them nothing is known")
]


class HeldScoreOut(ScoreOut):
    """A score of somebody who was looked up."""

    attributes: Annotated[
        dict[str, float | bool | datetime | str | None] | None,
        Field(examples=[{"country": "DE"}], description="as of scoring, by name; null where the run keeps none"),
    ] = None


NotShown = Annotated[
    list[str],
    Field(
        examples=[[]], description="instances whose scores enrich no profiles (`options.enrich`): not looked up here"
    ),
]


class ProfileItem(Shape):
    """One profile's served scores, by id of the instance."""

    profile_id: Annotated[str, Field(examples=["c-1042"])]
    scores: Annotated[dict[str, HeldScoreOut], Field(examples=[{"buyers": EXAMPLE_SCORE}])]


class ProfileOut(ProfileItem):
    """One profile's served scores, of all instances that enrich profiles and can be read."""

    unreadable: Unreadable
    not_shown: NotShown


class LookupBody(Asked):
    """Whom to look up."""

    ids: Annotated[
        list[Annotated[str, Field(max_length=1000)]],
        Field(min_length=1, max_length=MAX_IDS, examples=[["c-1042", "c-1043"]]),
    ]
    instances: Annotated[
        list[Annotated[str, Field(pattern=r"^[a-z0-9-]{1,80}$")]] | None,
        Field(max_length=1000, description="Of these instances only; of all where absent."),
    ] = None


class LookupOut(Shape):
    """Those that were found, in the order asked, and those that no instance has scored."""

    items: list[ProfileItem]
    missing: list[str]
    unreadable: Unreadable
    not_shown: NotShown
    next: str | None = None


# --- segments -------------------------------------------------------------------------------------------------------


class SegmentBody(Asked):
    """A rule over the scores of an instance."""

    name: Annotated[str, Field(min_length=1, max_length=200, examples=["Likely, and not yet won"])]
    where: Annotated[
        str,
        Field(
            min_length=1, max_length=20_000, examples=["bucket = 'high' and probability >= 0.4"],
            description="a rule: conditions joined by `and`, `or` and `not (…)` (docs/segments.md)",
        ),
    ]  # fmt: skip


class SegmentItem(Shape):
    """A saved rule."""

    id: int
    instance: Annotated[str, Field(examples=["buyers"])]
    name: Annotated[str, Field(examples=["Likely, and not yet won"])]
    where: Annotated[str, Field(examples=["bucket = 'high' and probability >= 0.4"])]
    sentence: Annotated[str, Field(examples=["Profiles of whom bucket is high and probability is at least 0.4."])]
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, row: SegmentRow, sentence: str, **more: Any) -> Self:
        """From its row; ``more``: what a larger shape has besides."""
        named = {name: getattr(row, name) for name in ("id", "name", "where", "created_at", "created_by")}
        return cls(instance=row.instance_id, sentence=sentence, **named, **more)


class SegmentOut(SegmentItem):
    """A segment, and how many profiles it has now."""

    run: Annotated[str | None, Field(description="whose scores are counted; null where there are none yet")] = None
    count: int | None = None
    problem: Annotated[str | None, Field(description="why they cannot be counted")] = None


class MembershipItem(Shape):
    """A segment by the scores of one run."""

    run: Annotated[str, Field(examples=["20260301T040000-1f2e3d"])]
    at: datetime
    where: Annotated[str, Field(description="the rule that the members were told by")]
    members: int
    joined: Annotated[int | None, Field(description="since the one before; null where that is not kept any more")]
    left: Annotated[int | None, Field(description="likewise")]
    expected: Annotated[float, Field(description="of the members to meet the goal")]
    expected_low: float
    expected_high: float

    @classmethod
    def of(cls, row: MembershipRow) -> Self:
        """From its row."""
        return cls(run=row.run_id, **{n: getattr(row, n) for n in cls.model_fields if n != "run"})


class MembershipPage(Shape):
    """A segment run by run, the newest first."""

    items: list[MembershipItem]
    next: str | None


class ChangeItem(Shape):
    """What became of one profile as a member."""

    profile_id: Annotated[str, Field(examples=["c-1042"])]
    change: Literal["joined", "stayed", "left"]


class ChangePage(Shape):
    """A page of them, by id."""

    run: Annotated[str, Field(description="that told the members", examples=["20260301T040000-1f2e3d"])]
    items: list[ChangeItem]
    next: str | None


class SegmentPage(Shape):
    """A page of segments."""

    items: list[SegmentItem]
    next: str | None


class Health(Shape):
    """How the server is."""

    status: Annotated[str, Field(examples=["ok"])]
    version: Annotated[str, Field(examples=["0.1.0"])]


# --- what every route may answer ------------------------------------------------------------------------------------

_SAID = {
    401: "Nobody is logged in.",
    403: "Whoever asks may not do this.",
    404: "There is no such thing.",
    409: "It is not in a state in which this can be done.",
    412: "Somebody else changed it since it was read.",
    422: "The request, the document or the data are not what is needed.",
    429: "Too many attempts.",
    500: "A fault of the server.",
    502: "A place that scores were pushed to could not be cleared.",
    503: "The catalog cannot be reached, or the server is busy.",
}
ALWAYS = (401, 403, 422, 500, 503)


def refusals(*more: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route may answer with: those that any may, and ``more``."""
    return {status: {"model": ErrorBody, "description": _SAID[status]} for status in sorted({*ALWAYS, *more})}
