"""Data read, names bound, every line evaluated at every cutoff: what training and scoring start from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from propend.binding import binding_mistakes, check_behaviour, check_rows, consent_mistakes, group_mistakes
from propend.columns import choose_fields
from propend.connectors.origins import is_address
from propend.document import Lines, Place, is_database_address, read_document
from propend.engines import connect
from propend.errors import (
    ConfigurationError,
    Mistake,
    NoRecentDataError,
    NoScoringDataError,
    NotEnoughHistoryError,
    PropendError,
)
from propend.events import EventLog, EventRequest, Field, OpenedEvents
from propend.instance import Data, Instance, Source, parse_instance, source_at
from propend.kernel_cache import warn_if_lost
from propend.labels import columns_apart, gate_policies, label_mistakes, role_mistakes
from propend.model.members import plain_sums
from propend.protection import USUAL, Protection
from propend.snapshots.attributes import AttributesAt, attributes_at
from propend.snapshots.build import Survey, survey
from propend.snapshots.consent import consenting
from propend.snapshots.program import (
    Program,
    compile_program,
    eligibility_days,
    excluded_events,
    lines_of,
    measured_fields,
    selectors_of,
)
from propend.snapshots.stitching import standing_at
from propend.store.runs import SavedModel
from propend.timeline import Observation, Timeline, Windows, day_date, observe, plan_timeline

Progress = Callable[[str], None]
SHARES = {
    "read": 0.25, "survey": 0.03, "features": 0.07, "fit": 0.25, "level": 0.08, "prove": 0.08, "fairness": 0.01,
    "refit": 0.05, "horizons": 0.03, "look back": 0.02, "compare": 0.05, "describe": 0.03, "score": 0.12, "write": 0.03,
}  # fmt: skip
"""Of a run's time, roughly, by stage."""
MAX_SURVEYED = 20_000_000
"""Profiles that are learnt from and counted; of more, those with the smallest keys, which are as good as any."""
MANY_ASIDE = 0.01
"""From which share of rows set aside on a history that is too short may be so for want of them."""
FieldNames = tuple[tuple[str, ...], tuple[str, ...]]
"""Columns of numbers, and of texts."""


@dataclass
class Stages:
    """Names and seconds of the stages passed, told to whoever listens as they begin."""

    listener: Progress | None = None
    seconds: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        if self.listener:
            self.listener(name)
        started = time.perf_counter()
        yield
        self.seconds.append((name, time.perf_counter() - started))


@dataclass(frozen=True)
class Inputs:
    """What a verb was asked for.

    Attributes:
        instance: the instance.
        document: as it was written, for places in messages.
        lines: of places in the document, where it was a file.
        protection: policies of labels, and who is to be forgotten.
        folder: what its paths are relative to.
        tables: in-memory tables that stand in for sources.
        as_of: the midnight "now" is moved to.
        engine, memory: which engine, and its budget.
    """

    instance: Instance
    document: dict[str, Any]
    folder: Path
    as_of: date | None = None
    engine: Any = "duckdb"
    memory: str | None = None
    tables: Mapping[str, Any] | None = None
    lines: Lines = field(default_factory=dict)
    protection: Protection = USUAL


@dataclass(frozen=True)
class Prepared:
    """Data read, names bound, every line evaluated at every cutoff."""

    inputs: Inputs
    opened: OpenedEvents
    log: EventLog
    program: Program
    timeline: Timeline
    survey: Survey

    @property
    def instance(self) -> Instance:
        return self.inputs.instance


def read_inputs(
    instance: Instance | str | Path | dict[str, Any],
    data: Any = None,
    as_of: date | str | None = None,
    engine: Any = "duckdb",
    memory: str | None = None,
    home: Path | None = None,
    protection: Protection = USUAL,
) -> Inputs:
    """Resolve what a verb was given; mistakes of form and of names are raised together.

    Args:
        instance: document, path or mapping.
        data: a folder, a file, or a table (pandas, polars, Arrow) in place of the instance's sources.
        as_of: a date that "now" is moved to.
        home: where a document that is no file would stand; the current folder by default.
        protection: policies of labels, and who is to be forgotten.

    Raises:
        ConfigurationError: every mistake in the document, with its place.
        PolicyError: a policy forbids what the document does with a labelled column.
    """
    warn_if_lost()
    given: Any = instance  # callers without a type checker pass anything
    home = Path(given).parent if isinstance(given, str | Path) else home or Path.cwd()
    moment = _read_date(as_of)
    if isinstance(given, Instance):
        gate_policies(given, protection.policies)
        return _with_data(Inputs(given, given.document(), home, moment, engine, memory, protection=protection), data)
    if not isinstance(given, str | Path | dict):
        problem = f"a path, a mapping or an Instance is needed, not {type(given).__name__}"
        raise ConfigurationError([Mistake("instance", problem)])
    document, lines, label = read_document(given)
    parsed, mistakes = parse_instance(document, lines)
    if parsed is not None:
        gate_policies(parsed, protection.policies)
        found = Inputs(parsed, document, home, moment, engine, memory, lines=lines, protection=protection)
        return _with_data(found, data)
    mistakes += _in_lines(_data_mistakes(document, home, data, engine, protection), lines)
    raise ConfigurationError(mistakes, label)


def _in_lines(mistakes: Sequence[Mistake], lines: Lines) -> list[Mistake]:
    """Mistakes with the line of their place in the document, or of the innermost one around it."""
    written = {_as_text(place): line for place, line in lines.items() if place}
    found = []
    for mistake in mistakes:
        around = [p for p in written if mistake.place == p or mistake.place.startswith((f"{p}.", f"{p}["))]
        line = f" (line {written[max(around, key=len)]})" if around else ""
        found.append(replace(mistake, place=f"{mistake.place}{line}"))
    return found


def _as_text(place: Place) -> str:
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _read_date(value: Any) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if value is None or isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except (ValueError, TypeError):
        raise ConfigurationError([Mistake("--as-of", f"{value!r} is not a date such as 2011-08-01")]) from None


def _with_data(inputs: Inputs, data: Any) -> Inputs:
    old = inputs.instance.data
    if data is None:
        return replace(inputs, folder=inputs.folder / old.folder)
    if not isinstance(data, str | Path):
        return replace(inputs, folder=inputs.folder / old.folder, tables={"events": data})
    path, named = Path(data), source_at(str(data))
    if named is None and path.is_dir() and any(map(_is_beside, old.events)):
        return replace(inputs, folder=path)
    place = data if isinstance(data, str) and is_address(data) else str(path.absolute())
    first = old.events[0] if old.events else None
    kind = first.kind if first else None
    columns = first.columns if first else None
    source = named or Source(path=place)
    if named is not None and named.database is not None and not is_database_address(named.database):
        source = named.model_copy(update={"database": str(Path(named.database).absolute())})
    events = (source.model_copy(update={"kind": kind, "columns": columns}),)
    changed = Data(**{**old.__dict__, "events": events})
    return replace(
        inputs,
        folder=inputs.folder / old.folder,
        instance=inputs.instance.model_copy(update={"data": changed}),
    )


def _is_beside(source: Source) -> bool:
    """Whether a source is looked for in the data folder, so that another folder in its place has another."""
    paths = (source.path,) if isinstance(source.path, str) else tuple(source.path or ())
    return source.query is not None or any(not is_address(p) and not Path(p).is_absolute() for p in paths)


def _data_mistakes(document: Any, home: Path, data: Any, engine: Any, protection: Protection) -> list[Mistake]:
    """What the data say of a document whose form is not valid, as far as its data section can be read."""
    try:
        stub = Instance(name="x", data=document["data"], goal={"any_of": ["anything"], "within": 1})
        inputs = _with_data(Inputs(stub, document, home, engine=engine), data)
        with connect(engine, reach=protection.reach) as session:
            opened = session.open(inputs.instance.data, inputs.folder, inputs.tables)
    except ConfigurationError:
        return []
    except PropendError as error:
        return [Mistake("data", error.message)]
    except (KeyError, ValueError, TypeError):
        return []  # the data section itself is not valid, and is among the mistakes of form already
    if not opened.kinds:
        return [Mistake("data.events", "the sources have no rows")]
    return binding_mistakes(document, opened)


# --- prepare ------------------------------------------------------------------------------------------


@contextmanager
def prepare(inputs: Inputs, stages: Stages, saved: SavedModel | None = None) -> Iterator[Prepared]:
    """Open, bind, read and survey; the engine's session lives as long as the context.

    Args:
        saved: score with this model: only the scoring cutoff is surveyed.
    """
    fields = None if saved is None else (saved.number_fields, saved.text_fields)
    with read_log(inputs, stages, fields) as (opened, log):
        with stages("survey"):
            surveyed = survey_log(inputs, opened, log, saved)
        yield surveyed


@contextmanager
def read_log(inputs: Inputs, stages: Stages, fields: FieldNames | None) -> Iterator[tuple[OpenedEvents, EventLog]]:
    """Open, bind and read; the engine's session lives as long as the context.

    Args:
        fields: columns of numbers and of texts to read; a choice of those that describe profiles where None.
    """
    instance = inputs.instance
    reach, mirrors = inputs.protection.reach, inputs.protection.mirrors
    with connect(inputs.engine, memory=inputs.memory, reach=reach, mirrors=mirrors) as session, plain_sums():
        with stages("read"):
            opened = session.open(instance.data, inputs.folder, inputs.tables, time_zone=instance.options.time_zone)
            check_rows(instance, opened)
            mistakes = binding_mistakes(inputs.document, opened)
            mistakes += role_mistakes(instance, opened, inputs.protection.policies) + consent_mistakes(instance, opened)
            if mistakes:
                raise ConfigurationError(_in_lines(mistakes, inputs.lines), instance.name)
            check_behaviour(instance, opened)
            log = session.load(instance.data, inputs.folder, _request(inputs, opened, fields), inputs.tables)
            known = [*log.attribute_numbers, *log.attribute_texts, *log.facts.attributes_without_time]
            mistakes = group_mistakes(instance, opened, known)
            mistakes += label_mistakes(instance, opened, log.facts.attribute_columns)
            if mistakes:
                raise ConfigurationError(_in_lines(mistakes, inputs.lines), instance.name)
        yield opened, log


def survey_log(inputs: Inputs, opened: OpenedEvents, log: EventLog, saved: SavedModel | None = None) -> Prepared:
    """Every line of the instance, evaluated at every cutoff that the log's days allow.

    Args:
        saved: score with this model: only the scoring cutoff is surveyed.

    Raises:
        NotEnoughHistoryError: the log covers too few days.
    """
    windows, observation = windows_of(inputs.instance), observation_of(inputs, log)
    program = program_of(inputs, log, observation.now_day)
    if saved is None:
        timeline = _timeline(windows, observation, inputs.instance.options.lookback, log)
        cutoffs = [*timeline.matured, timeline.now]
    else:
        lookback = saved.plan.lookback_days
        timeline = Timeline(windows, observation, (), observation.now_day, "out-of-time", lookback)
        cutoffs = [timeline.now]
    share = min(1.0, MAX_SURVEYED / max(log.facts.profiles, 1))
    log = standing_at(log, cutoffs)
    return Prepared(inputs, opened, log, program, timeline, survey(log, program, cutoffs, share))


def _timeline(windows: Windows, observation: Observation, lookback_days: int | None, log: EventLog) -> Timeline:
    """The cutoffs; where history is too short, with how many rows were set aside, since these may be what is missing.

    Raises:
        NotEnoughHistoryError: the log covers too few days.
    """
    try:
        return plan_timeline(windows, observation, lookback_days)
    except NotEnoughHistoryError as error:
        facts = log.facts
        aside = {r: n for r, n in facts.set_aside.items() if n}
        if sum(aside.values()) <= MANY_ASIDE * facts.read:
            raise
        reasons = ", ".join(f"{n:,} {reason.replace('_', ' ')}" for reason, n in aside.items())
        raise NotEnoughHistoryError(
            f"{error.message} {sum(aside.values()):,} of {facts.read:,} rows were set aside: {reasons}.",
            f"{error.hint.rstrip('.')}; or mend the rows that were set aside.",
            **error.facts | {"set_aside": aside},
        ) from None


def program_of(inputs: Inputs, log: EventLog, now_day: int) -> Program:
    """The lines of an instance, compiled for a log; who does not consent as of a day is not in the population.

    Raises:
        ConfigurationError: nobody has a value that gives consent.
    """
    instance, consent = inputs.instance, inputs.instance.data.consent
    program = compile_program(lines_of(instance), instance.goal, log.request)
    return program if consent is None else replace(program, consent=consenting(consent, log, now_day))


def windows_of(instance: Instance) -> Windows:
    """The lengths that an instance asks for."""
    goal = instance.goal
    return Windows(
        outcome_days=goal.within_days,
        reach_days=goal.reach_days,
        lead_days=goal.lead_days,
        settle_days=instance.options.settle,
        eligibility_days=eligibility_days(lines_of(instance)),
    )


def observation_of(inputs: Inputs, log: EventLog) -> Observation:
    """What the log covers, as of the day that was asked for."""
    cut_by_as_of = log.facts.set_aside.get("after_as_of", 0) > 0
    facts = log.facts
    return observe(facts.days, facts.last_time_of_day, inputs.as_of, cut_by_as_of, facts.events_per_day)


def _request(inputs: Inputs, opened: OpenedEvents, fields: FieldNames | None) -> EventRequest:
    instance = inputs.instance
    lines, groups, consent = lines_of(instance), instance.options.fairness or (), instance.data.consent
    if fields is None:
        apart = [opened.fields[name] for name in groups if name in opened.fields]
        fields = together(measured_fields(lines), feature_fields(inputs, opened), _by_type(apart))
    if consent is not None and consent.source == "events":
        fields = together(fields, _by_type([opened.fields[consent.column]]))
    elif consent is not None:
        groups = (*groups, consent.column)  # it is asked what holds today: no time is needed
    numbers, texts = fields
    return EventRequest(
        selectors=selectors_of(instance, lines),
        exclude=excluded_events(instance),
        number_fields=numbers,
        text_fields=texts,
        as_of=inputs.as_of,
        time_zone=instance.options.time_zone,
        group_fields=groups,
        forgotten=inputs.protection.forgotten,
        beside=True,
    )


def together(*given: FieldNames) -> FieldNames:
    """Fields of several needs, each once, in the order they are first needed."""
    numbers, texts = ([name for fields in given for name in fields[side]] for side in (0, 1))
    return tuple(dict.fromkeys(numbers)), tuple(dict.fromkeys(texts))


def feature_fields(inputs: Inputs, opened: OpenedEvents) -> FieldNames:
    """Columns of numbers and of texts that describe profiles: those the document names, or a choice.

    None that is kept apart (``labels.columns_apart``).
    """
    instance, apart = inputs.instance, columns_apart(inputs.instance, inputs.protection.policies)
    if instance.data.fields is None:
        return choose_fields([f for f in opened.field_facts if f.field.name not in apart])
    chosen = [opened.fields[name] for name in instance.data.fields if name not in apart]
    return _by_type(chosen)


def kept_attributes(prepared: Prepared) -> AttributesAt:
    """What is kept of the attributes of everybody who is scored: nothing that may not be used (docs/privacy.md)."""
    apart = columns_apart(prepared.instance, prepared.inputs.protection.policies)
    return attributes_at(prepared.log, apart, prepared.timeline.now)


def _by_type(fields: Sequence[Field]) -> FieldNames:
    numbers = tuple(f.name for f in fields if f.type == "number")
    return numbers, tuple(f.name for f in fields if f.type in ("text", "boolean"))


# --- ready to score -------------------------------------------------------------------------------------------

STALE_DAYS = 60


def gate_scoring(prepared: Prepared, population: int) -> None:
    """Refuse to score where nobody is eligible now, or where nothing has been seen for long (spec 7.2).

    Raises:
        NoScoringDataError: nobody is eligible now (405).
        NoRecentDataError: the last event is more than 60 days before now (408).
    """
    timeline, facts = prepared.timeline, prepared.log.facts
    silent = timeline.now - 1 - int(facts.days[-1])
    days = timeline.windows.eligibility_days or timeline.lookback_days
    if population and silent > STALE_DAYS:
        raise NoRecentDataError(
            f"{population:,} profiles are eligible, and none has any event in the {STALE_DAYS} days before "
            f"{day_date(timeline.now)}: the last event is {silent} days older.",
            "check that data is updated, or score as of the day it ends with --as-of.",
            days=STALE_DAYS, silent_days=silent, population=population,
        )  # fmt: skip
    if population == 0:
        raise NoScoringDataError(
            f"Nobody is eligible on {day_date(timeline.now)}: no fitting events in the {days} days before it.",
            f"check that data is updated (the last event is of {day_date(int(facts.days[-1]))}).",
            window_days=days, last_event_on=str(day_date(int(facts.days[-1]))),
        )  # fmt: skip
