"""The instance document: one saved prediction, with its data, goal, eligibility and options.

``Instance.load`` reads YAML or JSON, collects every mistake with its place and line, and raises them
together.
"""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from propend.document import (
    Lines,
    database_at,
    has_password,
    mistakes_of,
    nearest,
    read_document,
    secret_in,
    without_passwords,
    write_yaml,
)  # fmt: skip
from propend.errors import ConfigurationError, Mistake
from propend.goal import ANYTHING, Days, Eligibility, EventName, Goal, NamedEvent, Part, PositiveDays
from propend.notebook import card, line, listing
from propend.protection import Label
from propend.sentence import write_sentence

PropensityType = Literal["conversion", "churn"]
SCHEDULES = ("daily", "weekly", "monthly")
USUAL_HORIZONS = (7, 14, 30, 60, 90)
"""What ``horizons: true`` asks for; those that history has no windows for are left out."""
PRESENTATION = ("schedule", "buckets", "factors", "language", "enrich")
"""Options that no model depends on."""
_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
"""Minute, hour, day, month, day of the week."""
_CRON_PART = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/[1-9]\d?)?")


UNSTEADY = (
    "options.horizons asks when: the goal must stay met once met (counts of at least so many, sequences, any_of or "
    "all_of of these) or stay missed once missed (none_of, at_most); this one may turn back (sums, means, counts "
    "within two bounds, a mix of both, items with own from or within): take the horizons out, or ask such a goal"
)


def _read_paths(value: Any) -> Any:
    many = value if isinstance(value, list | tuple) else (value,)
    if value is not None and not (many and all(isinstance(v, str) and v for v in many)):
        raise ValueError(f"a path, or a list of paths, is needed, not {reprlib.repr(value)}")
    held = next(filter(None, (secret_in(v) for v in many if isinstance(v, str))), "")
    if held:
        raise ValueError(
            f"an address holds {held}: keys stay with the machine (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, "
            "AZURE_STORAGE_KEY, ~/.netrc, a profile or a role), and the address is named without them"
        )
    return value


Paths = Annotated[str | tuple[str, ...], BeforeValidator(_read_paths)]


PASSWORD_WRITTEN = (
    "a password stands in the address of the database, where everybody reads it who reads the document; write "
    "database: env:NAME and keep the whole address in that variable, or leave the password out and keep it in "
    "PROPEND_DB_PASSWORD_ and the host's name, as in PROPEND_DB_PASSWORD_DB_SHOP_COM"
)


def _check_origin(part: Source | Attributes, otherwise: str) -> None:
    """Exactly one origin; an address holds no password."""
    if part.database is None:
        if part.table is not None:
            raise ValueError("a table is one of a database: name that too, as database: env:NAME")
        if (part.path is None) == (part.query is None):
            raise ValueError(otherwise)
        return
    if part.path is not None or (part.table is None) == (part.query is None):
        raise ValueError("of a database either a table or a query is read, and no path beside it")
    if has_password(part.database):
        raise ValueError(PASSWORD_WRITTEN)


def _read_version(value: Any) -> Any:
    """A number, or a time as a text that stays as it was written."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 20:
        return int(value)
    if isinstance(value, date):
        return value.isoformat()
    try:
        is_known = value is None or type(value) is int or bool(datetime.fromisoformat(value))
    except (TypeError, ValueError):
        is_known = False
    if not is_known:
        raise ValueError(f"a number, or a time such as 2024-01-31T12:00, is needed, not {reprlib.repr(value)}")
    return value


def _read_day(value: Any) -> Any:
    try:
        return value if value is None else date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise ValueError(f"a day such as 2024-01-31 is needed, not {reprlib.repr(value)}") from None


Version = Annotated[int | str, BeforeValidator(_read_version)]
Day = Annotated[str, BeforeValidator(_read_day)]


class Columns(Part):
    """Which column of a source plays which role; what is not named is guessed and announced."""

    profile: str | None = None
    at: str | None = None
    event: str | None = None
    value: str | None = None
    id: str | None = None


class Incremental(Part):
    """That only new rows of a database's table are read, and the others kept from run to run (docs/databases.md).

    Attributes:
        late: so long an event may come after its time; rows that come later are found by the next full reading.
    """

    late: PositiveDays


class Source(Part):
    """Where events come from: a path or glob, or a query over files.

    Attributes:
        path: file, glob or list of them, relative to the data folder.
        query: DuckDB SQL over files in the data folder.
        columns: roles of this source's columns; where absent, those of ``data.columns``.
        kind: the kind of every event of a source that has no column for it.
        name: how the source is called in reports; its path where absent.
        database: an address, ``env:NAME`` or ``keyring:SERVICE/USER`` that holds one, or a DuckDB or SQLite file.
        table: of the database; or ``query``, a SELECT in its own SQL.
        format: ``xdm`` insists that the rows are XDM ExperienceEvents, ``plain`` that they are not looked at as such;
            where absent, XDM is recognised by its shape.
        identity: what tells profiles apart, as ``NAMESPACE (path)``, ``identityMap[NAMESPACE]`` or a path.
        namespace: of the ids; sources of different namespaces are not put together.
        version: of a Delta or Iceberg table, where not the newest: its number, or the time as of which it is read.
        since: partitions of days before it are not read (``2024-01-31``).
        incremental: of a database, that only new rows are read, and how late an event may come.
    """

    path: Paths | None = None
    query: str | None = None
    columns: Columns | None = None
    kind: str | None = None
    name: str | None = None
    format: Literal["xdm", "plain"] | None = None
    identity: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    namespace: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    version: Version | None = None
    since: Day | None = None
    database: Annotated[str, Field(min_length=1)] | None = None
    table: Annotated[str, Field(min_length=1)] | None = None
    incremental: Incremental | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Source:
        _check_origin(self, "a source has either a path or a query")
        if self.incremental is not None and self.database is None:
            raise ValueError("incremental is of a database: files are read as they are each time")
        if self.path is None and (self.version is not None or self.since is not None):
            raise ValueError("version and since are of a path; a query says itself what it reads")
        return self


class Attributes(Part):
    """Facts about profiles, with the time from which each was true.

    Attributes:
        path, query: as in ``Source``.
        profile: column of the profile's id.
        effective: column of the time from which the row is true.
        constant: True if the facts never change, so that no time is needed (leak-checked).
        columns: the attributes to use; all other columns where absent.
        format: as in ``Source``; XDM's subscriptions are true from their ``startDate``.
        version: as in ``Source``.
        database, table: as in ``Source``.
    """

    path: Paths | None = None
    query: str | None = None
    profile: str | None = None
    effective: str | None = None
    constant: bool = False
    columns: tuple[str, ...] | None = None
    format: Literal["xdm", "plain"] | None = None
    version: Version | None = None
    database: Annotated[str, Field(min_length=1)] | None = None
    table: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _timed_or_constant(self) -> Attributes:
        _check_origin(self, "attributes have either a path or a query")
        if self.path is None and self.version is not None:
            raise ValueError("version is of a path; a query says itself what it reads")
        if self.effective is not None and self.constant:
            raise ValueError("attributes are either constant or have an effective time, not both")
        return self


def source_at(text: str) -> Source | None:
    """The source that an address with ``?table=`` or ``?query=`` names, as people write it in one line; else None.

    Raises:
        ConfigurationError: it holds a password.
    """
    named = database_at(text)
    if named is None:
        return None
    if has_password(text):
        raise ConfigurationError([Mistake("data", PASSWORD_WRITTEN)])
    return Source(**named)


GIVES_CONSENT = (True, "true", "yes", "y", 1, "given", "granted", "opt-in")


class Consent(Part):
    """Which column says that a profile may be scored; whose does not say so is not.

    Attributes:
        column: its name.
        source: ``in``: whether a table of attributes has it, or the events.
        given: the values that give consent; case, blanks and the form of numbers do not matter.
        learn: whether those who do not consent may be learnt from all the same.
    """

    column: Annotated[str, Field(min_length=1)]
    source: Literal["attributes", "events"] = Field(default="attributes", alias="in")
    given: Annotated[tuple[bool | int | float | str, ...], Field(min_length=1, max_length=50)] = GIVES_CONSENT
    learn: bool = False

    @field_validator("given", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return value if isinstance(value, list | tuple) else (value,)


class LinkColumns(Part):
    """Columns of a table of links: two ids of one person, and since when that is known."""

    a: Annotated[str, Field(min_length=1)]
    b: Annotated[str, Field(min_length=1)]
    at: str | None = None


class LinkEvents(Part):
    """Two columns of events that hold ids of one person where both are filled, as of a log-in; known from then on."""

    a: Annotated[str, Field(min_length=1, alias="from")]
    b: Annotated[str, Field(min_length=1, alias="to")]


class Links(Part):
    """Which ids are one person: a table, or columns of the events.

    Attributes:
        path, query: as in ``Source``.
        columns: of the table.
        constant: True if the links were known from ever, so that no time is needed.
        events: columns of the events, in place of a table.
    """

    path: Paths | None = None
    query: str | None = None
    columns: LinkColumns | None = None
    constant: bool = False
    events: LinkEvents | None = None

    @model_validator(mode="after")
    def _timed_or_constant(self) -> Links:
        if [self.path, self.query, self.events].count(None) != 2:
            raise ValueError("links have either a path, a query, or events")
        if self.events is not None:
            if self.columns is not None or self.constant:
                raise ValueError("links of events have neither columns nor constant: each is known from its event on")
            return self
        if self.columns is None:
            raise ValueError("a table of links needs columns: {a: ..., b: ..., at: ...}")
        if (self.columns.at is None) != self.constant:
            raise ValueError("a table of links has either a time (columns: {at: ...}), or constant: true, not both")
        return self


class Identities(Part):
    """Several ids that are one person (docs/identities.md).

    Attributes:
        links: where it is said which.
        most: ids that a person has at most; a link that would join more is left out.
        shared: a device linked with more ids than this belongs to nobody; its links are left out from then on.
        prefer: the side of a link whose id names the person.
    """

    links: Annotated[tuple[Links, ...], Field(min_length=1, max_length=20)]
    most: Annotated[int, Field(ge=2, le=1_000, strict=True)] = 20
    shared: Annotated[int, Field(ge=1, le=1_000, strict=True)] = 10
    prefer: Literal["a", "b"] = "b"

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return {"links": value}
        if isinstance(value, dict) and "links" not in value and value.keys() & Links.model_fields.keys():
            own = {k: v for k, v in value.items() if k in ("most", "shared", "prefer")}
            return {"links": [{k: v for k, v in value.items() if k not in own}]} | own
        if isinstance(value, dict) and isinstance(value.get("links"), dict):
            return value | {"links": [value["links"]]}
        return value

    @property
    def event_columns(self) -> tuple[str, ...]:
        """Columns of events that hold ids."""
        return tuple(name for one in self.links if one.events is not None for name in (one.events.a, one.events.b))


class Data(Part):
    """The data of an instance.

    Attributes:
        events: one or several sources; together they are one event log.
        columns: roles of columns, for sources that do not say otherwise.
        kind: the kind of every event where no column says it.
        attributes: tables of facts about profiles.
        fields: event columns to describe profiles by; chosen automatically where absent.
        labels: of columns of events or attributes, by the column's name: what policies go by.
        consent: which column says that a profile may be scored.
        folder: the folder paths are relative to, itself relative to the document.
        identities: which ids are one person; each is a profile of its own where absent.
    """

    events: tuple[Source, ...] = Field(default=(), max_length=100)
    columns: Columns = Columns()
    kind: str | None = None
    attributes: tuple[Attributes, ...] = Field(default=(), max_length=20)
    fields: tuple[str, ...] | None = None
    labels: dict[str, Annotated[tuple[Label, ...], Field(min_length=1)]] = Field(default_factory=dict)
    consent: Consent | None = None
    folder: str = "."
    identities: Identities | None = None

    @field_validator("events", mode="before")
    @classmethod
    def _sources(cls, value: Any) -> Any:
        many = value if isinstance(value, list | tuple) else [value]
        return tuple({"path": v} if isinstance(v, str) else v for v in many)

    @field_validator("labels", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: [labels] if isinstance(labels, str) else labels for name, labels in value.items()}

    @field_validator("attributes", mode="before")
    @classmethod
    def _tables(cls, value: Any) -> Any:
        many = value if isinstance(value, list | tuple) else [value]
        return tuple({"path": v} if isinstance(v, str) else v for v in many)

    def columns_of(self, source: Source) -> Columns:
        """The columns that are named for a source, by itself or for all."""
        own = source.columns or Columns()
        return Columns(**{role: getattr(own, role) or getattr(self.columns, role) for role in Columns.model_fields})

    @model_validator(mode="after")
    def _fits_together(self) -> Data:
        for source in self.events:
            named = self.columns_of(source)
            if source.incremental is not None and (named.profile is None or named.at is None):
                raise ValueError(
                    "an incremental source is told by its columns which rows are new and whose they are: name both, as "
                    "columns: {profile: ..., at: ...}"
                )
            if source.incremental is not None and self.identities is not None and self.identities.event_columns:
                raise ValueError(
                    "ids that events join are looked for in all events each time: take `incremental` out, or keep the "
                    "links in a table of their own"
                )
        if self.identities is not None and len(self.attributes) > 1:
            raise ValueError("identities go with one table of attributes: put the tables together by a query")
        return self


class Options(Part):
    """Everything that has a sensible default.

    Attributes:
        schedule: when a server rescores (``daily``, ``weekly``, ``monthly`` or a cron expression).
        time_zone: the zone whose midnights are the cutoffs.
        settle: days that late events are waited for before a label counts as known.
        buckets: the two scores that separate low, medium and high.
        lookback: days of history features may see; up to 1460 and as the history allows by default.
        minimum: profiles that must have met the goal, and that must not have (spec IN-20 has 500).
        quality_bar: AUC under which no scores are given (spec MO-08).
        was_doing: negative goals only count profiles that were doing it before.
        remove_met_in_gap: with a lead time, leave out profiles who meet the goal before the window.
        factors: how many factors to name in each direction.
        contributions: what a factor's impact is counted from: ``path-dependent``, the paths of the trees, or
            ``interventional``, 200 snapshots of the newest matured cutoff.
        horizons: further lengths of the outcome window to give a probability for, from the same training; true is
            ``USUAL_HORIZONS``.
        fairness: attributes whose groups the model is compared in, and which it does not use.
        language: of the report, the factors and the notices: ``en`` or ``pt``.
        enrich: whether profiles are enriched with the scores: shown beside those of other instances, made segments of,
            given to destinations that hold profiles (spec CF-27).
        seed: of every random choice.
    """

    schedule: str | None = None
    time_zone: str = "UTC"
    settle: Days = 0
    buckets: tuple[float, float] = (25.0, 75.0)
    lookback: PositiveDays | None = None
    minimum: Annotated[int, Field(ge=20, le=1_000_000)] = 20
    quality_bar: Annotated[float, Field(ge=0.5, le=1.0)] = 0.65
    was_doing: bool = True
    remove_met_in_gap: bool = True
    factors: Annotated[int, Field(ge=1, le=20)] = 5
    contributions: Literal["path-dependent", "interventional"] = "path-dependent"
    horizons: Annotated[tuple[PositiveDays, ...], Field(min_length=1, max_length=12)] | None = None
    fairness: Annotated[tuple[str, ...], Field(min_length=1, max_length=5)] | None = None
    language: Literal["en", "pt"] = "en"
    enrich: bool = True
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 1

    @field_validator("schedule")
    @classmethod
    def _known_schedule(cls, value: str | None) -> str | None:
        if value is None or value in SCHEDULES or _is_cron(value):
            return value
        raise ValueError(f"{', '.join(SCHEDULES)} or a cron expression of five fields is needed, not {value!r:.80}")

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            near = nearest(value, available_timezones())
            raise ValueError(f"unknown time zone {value!r:.80}" + (f"; did you mean {near!r}?" if near else ""))
        return value

    @field_validator("minimum", "quality_bar", "factors", "seed", mode="before")
    @classmethod
    def _no_truth(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError(f"a number is needed, not {value!r}")
        return value

    @field_validator("horizons", mode="before")
    @classmethod
    def _usual(cls, value: Any) -> Any:
        if value is True:
            return USUAL_HORIZONS
        if value is None or isinstance(value, list | tuple):
            return value
        raise ValueError(f"days such as [7, 14, 30], or true, are needed, not {reprlib.repr(value)}")

    @field_validator("horizons", mode="after")
    @classmethod
    def _ever_later(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and list(value) != sorted(set(value)):
            raise ValueError(f"ascending days such as [7, 14, 30] are needed, not {list(value)}")
        return value

    @field_validator("buckets", mode="before")
    @classmethod
    def _ascending(cls, value: Any) -> Any:
        many = value if isinstance(value, list | tuple) else ()
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in many)
        if not (len(many) == 2 and numbers and 0 < many[0] < many[1] < 100):
            raise ValueError(f"two ascending scores between 0 and 100 are needed, not {reprlib.repr(value)}")
        return value

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


class Instance(Part):
    """One prediction: what, for whom, from which data, with which options.

    Attributes:
        name: shown wherever the scores appear.
        type: ``conversion`` or ``churn``; wording and colours only.
        events: named events.
        goal: what shall be predicted.
        eligible: who is in the population; None means active in the last 45 days.
        exits: events that end observation.
        exclude: events that are ignored altogether, in training and in scoring (spec CF-26).
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    description: str = ""
    type: PropensityType = "conversion"
    data: Data = Data()
    events: dict[EventName, NamedEvent] = Field(default_factory=dict)
    goal: Goal
    eligible: Eligibility | None = None
    exits: tuple[EventName, ...] = ()
    exclude: tuple[EventName, ...] = ()
    options: Options = Options()

    @model_validator(mode="after")
    def _coherent(self) -> Instance:
        if ANYTHING in (*self.events, *self.exits, *self.exclude):
            raise ValueError(f"{ANYTHING!r} is the reserved name of every event; choose another name")
        for name in self.goal.group.events:
            if name in self.exits:
                raise ValueError(f"{name!r} cannot be both an exit and part of the goal")
            if name in self.exclude:
                raise ValueError(f"{name!r} cannot be both excluded and part of the goal: it would never happen")
        if self.options.horizons and self.goal.course == "unsteady":
            raise ValueError(UNSTEADY)
        return self

    @property
    def horizons(self) -> tuple[int, ...]:
        """Days of the curve, ascending: those asked for and the goal's own; empty where none are asked for."""
        asked = self.options.horizons
        return tuple(sorted({*asked, self.goal.within_days})) if asked else ()

    @classmethod
    def load(cls, source: str | Path | dict[str, Any]) -> Instance:
        """An instance from a YAML or JSON file, or from a mapping.

        Raises:
            InstanceNotFoundError: there is no such file.
            ConfigurationError: the document has mistakes; all of them are listed.
        """
        document, lines, label = read_document(source)
        instance, mistakes = parse_instance(document, lines)
        if instance is None or mistakes:
            raise ConfigurationError(mistakes, label)
        return instance

    def _repr_html_(self) -> str:
        kind = f"{self.type}, {self.goal.within_days} days"
        sentence = write_sentence(self.goal, self.eligible)
        return card(self.name, line(kind, "q"), line(sentence), listing(write_yaml(self.document())))

    def document(self) -> dict[str, Any]:
        """The instance as plain data; ``Instance.load(instance.document()) == instance``."""
        plain: dict[str, Any] = _plain(self.model_dump(by_alias=True))
        return plain

    def to_yaml(self) -> str:
        """The document as YAML."""
        return write_yaml(self.document())

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that change with anything that can change a score."""
        scored = self.model_copy(update={"options": self.options.model_copy(update={"enrich": True})})
        document = {k: v for k, v in scored.document().items() if k not in ("name", "description")}
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def slug(self) -> str:
        """The name as a folder name."""
        return self.slug_of(self.name)

    @staticmethod
    def slug_of(name: str) -> str:
        """Any name as a folder name: small letters, digits and hyphens."""
        return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].rstrip("-") or "instance"

    @property
    def training_hash(self) -> str:
        """Twelve hexadecimal digits that change with anything that a model is trained by."""
        return self.model_copy(update={"type": "conversion", "options": self._as_trained(self.options)}).hash

    def presented_as(self, other: Instance) -> Instance:
        """This instance with the name, the description and the ways of presenting scores of another version of it."""
        shown = {name: getattr(other.options, name) for name in PRESENTATION}
        update = {"name": other.name, "description": other.description, "type": other.type}
        return self.model_copy(update=update | {"options": self.options.model_copy(update=shown)})

    @staticmethod
    def _as_trained(options: Options) -> Options:
        usual = Options()
        return options.model_copy(update={name: getattr(usual, name) for name in PRESENTATION})


def _is_cron(text: str) -> bool:
    """Five fields of numbers in their range, ranges, steps and lists of these; names of days and months are not."""
    fields = text.split()
    return len(fields) == 5 and all(
        found and all(low <= int(n) <= high for n in found.groups() if n)
        for field, (low, high) in zip(fields, _CRON_RANGES, strict=True)
        for found in map(_CRON_PART.fullmatch, field.split(","))
    )


def parse_instance(document: Any, lines: Lines) -> tuple[Instance | None, list[Mistake]]:
    """The instance if the document is valid, else every mistake of form in it."""
    if not isinstance(document, dict):
        problem = f"a mapping with name, data and goal is needed, not {reprlib.repr(without_passwords(document))}"
        return None, [Mistake("document", problem)]
    instance, error = _validated(document)
    if error is None:
        return instance, []
    shown = without_passwords(document)  # messages quote, and cut, what they complain about
    return None, mistakes_of(_validated(shown)[1] or error, Instance, shown, lines)


def _validated(document: Any) -> tuple[Instance | None, ValidationError | None]:
    try:
        return Instance.model_validate(document), None
    except ValidationError as error:
        return None, error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
