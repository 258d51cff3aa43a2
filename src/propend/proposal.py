"""A first instance for data never seen before: columns guessed, a goal and windows chosen, each with its reason.

Windows are not guessed but tried: each candidate is surveyed as ``propend check`` would, and the first that
has enough history and enough of both outcomes is proposed.
"""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from propend.columns import ROLES, words
from propend.connectors.origins import is_address
from propend.document import is_database_address
from propend.engines import connect
from propend.errors import PropendError
from propend.events import DAY_US, EventFacts, EventLog, EventRequest, OpenedEvents, Partition, Selector, SourceFacts
from propend.goal import ANYTHING, Did, Eligibility, Goal, Group, NamedEvent
from propend.instance import Columns, Data, Instance, Source, source_at
from propend.notebook import card, line, listing
from propend.predicates import quote_name, quote_text
from propend.preparation import Inputs, Prepared, survey_log
from propend.protection import ANYWHERE, Reach
from propend.record import REASONS
from propend.sentence import write_sentence
from propend.timeline import day_date
from propend.training import outcome_counts, sides

GOAL_WORDS = (
    "purchase", "order", "buy", "bought", "transaction", "sale", "checkout", "payment", "subscribe",
    "subscription", "renew", "booking", "reservation", "stay", "donation", "signup", "commit",
)  # fmt: skip
"""How kinds of event begin that a business usually wants more of, the likeliest first."""
UNWANTED = ("cancel", "fail", "return", "refund", "abandon", "view", "start", "begin", "error", "declin", "un", "page")
"""How words begin that say that it did not happen, or not yet."""
OTHER_LANGUAGES = {
    "purchase": "kauf kaufe kaeufe gekauft einkauf compra compras comprado comprou achat achats achete acquisto "
    "acquisti acquistato aankoop aankopen gekocht zakup zakupy kop inkop",
    "order": "bestellung bestellungen bestellt auftrag pedido pedidos encomenda orden ordem commande commandes "
    "ordine ordini bestelling bestellingen zamowienie zamowienia bestallning",
    "payment": "zahlung bezahlung bezahlt pago pagamento paiement betaling platnosc betalning",
    "sale": "verkauf venda vendas venta ventas vente ventes vendita vendite verkoop sprzedaz forsaljning",
    "subscription": "abonnement abonnements abo assinatura assinaturas subscricao suscripcion abbonamento abbonamenti "
    "prenumeration prenumerata subskrypcja",
    "renew": "verlangerung verlaengerung renovacao renovacion renouvellement rinnovo verlenging odnowienie fornyelse",
    "booking": "buchung buchungen gebucht reserva reservas reservierung prenotazione boeking rezerwacja bokning",
    "donation": "spende spenden doacao donacion donazione donatie darowizna",
    "signup": "registrierung cadastro inscricao inscripcion inscription iscrizione registrazione registratie "
    "rejestracja registrering",
    "cancel": "kundigung kuendigung gekundigt gekuendigt stornierung storniert stornierte storno rescisao "
    "annulation annule annulee resiliation annullamento annullato disdetta opzegging annulering "
    "geannuleerd anulacja anulowano rezygnacja uppsagning avbokning baja",
    "refund": "erstattung ruckerstattung rueckerstattung reembolso remboursement rimborso terugbetaling zwrot "
    "aterbetalning",
    "return": "ruckgabe rueckgabe retoure rucksendung ruecksendung devolucao devolucion retour reso retur",
    "abandon": "abgebrochen abbruch",
    "fail": "fehlgeschlagen fehler falha falhou fallido echec echoue fallito mislukt blad",
    "start": "begonnen gestartet iniciado iniciada commence iniziato",
    "view": "ansicht angesehen visualizacao visualizacion visto vista vue visualizzazione weergave bekeken",
}
"""Whole words of German, Portuguese, Spanish, French, Italian, Dutch, Polish and Swedish by meaning, unaccented."""
MEANINGS = {word: meaning for meaning, said in OTHER_LANGUAGES.items() for word in said.split()}
KIND_OF_COLUMNS = (
    ("purchase", ("purchase", "order", "invoice", "basket", "transaction", "bought", "sale", "receipt", "payment")),
    ("stay", ("checkin", "check_in", "stay", "booking", "booked", "reservation")),
    ("donation", ("donat",)),
    ("review", ("review",)),
    ("visit", ("visit",)),
)
"""What rows are called that no column calls anything, by the names of the columns there are."""
WINDOWS_DAYS = (7, 14, 30, 60, 90, 180)
LOOKBACKS_DAYS = (30, 60, 90, 180, 365)
USUAL_WINDOW_DAYS = 30
MOST_SURVEYS = 12
MOST_GOALS = 3
"""Kinds of event tried as the goal."""
COMFORTABLE_PROFILES = 100
RATES = (0.02, 0.80)
"""Between these shares of profiles that meet a goal, a window is a natural one."""
MOST_KINDS_SHOWN = 20
TAIL_DAYS = 14
TAIL_EVENTS = 100
TAIL_SHARE = 0.01
"""At least so many last days on which so many events were due, and not this share of them came: an end of tracking."""

Section = Literal["data", "events", "goal", "eligible"]


@dataclass(frozen=True)
class Note:
    """What was seen or chosen, and why, in a sentence; and the section of the document that it explains."""

    section: Section
    text: str


@dataclass(frozen=True, repr=False)
class Proposal:
    """A first instance and what was seen on the way to it.

    Attributes:
        instance: to be read, corrected and run.
        opened: the kinds and columns that were recognised.
        facts: how many events and profiles there are, and when.
        notes: what was guessed and why, in the order of the document.
        as_of: where the last events are mere stragglers: the day to stand at instead of the last one.
        refusal: what a run would be refused for, if no windows were found that fit.
    """

    instance: Instance
    opened: OpenedEvents
    facts: EventFacts
    notes: tuple[Note, ...]
    as_of: date | None = None
    refusal: PropendError | None = None

    def __repr__(self) -> str:
        return f"<Proposal {self.instance.name!r} of {self.facts.used:,} events>"

    def _repr_html_(self) -> str:
        sentence, parts = write_sentence(self.instance.goal, self.instance.eligible), list[str]()
        for section in ("data", "events", "goal", "eligible"):
            noted = [note.text for note in self.notes if note.section == section]
            parts += [line(section, "s"), listing("\n".join(noted))] if noted else []
        return card(self.instance.name, line(sentence, "q"), *parts)


@dataclass(frozen=True)
class Question:
    """What could be asked: whether an event will happen, or will not, and why this one."""

    event: str
    churn: bool
    usual_days: int
    reason: str


@dataclass(frozen=True)
class Candidate:
    """A question with windows, and how it fared.

    Attributes:
        rank: the higher the better, first place first.
        natural: whether the goal is met neither by hardly anyone nor by nearly everyone.
        words: its last window in numbers; empty where history is too short for one.
    """

    instance: Instance
    question: Question
    rank: tuple[int, ...]
    natural: bool = False
    words: str = ""
    refusal: PropendError | None = None

    @property
    def good(self) -> bool:
        """Whether nothing is left to wish for."""
        return min(self.rank) > 0 and self.refusal is None


def propose(
    data: Any, home: str | Path = ".", columns: Mapping[str, str] | None = None, reach: Reach = ANYWHERE
) -> Proposal:
    """Look at events and propose an instance for them.

    Args:
        data: a file, glob or folder, an address as ``s3://bucket/orders``, a table of a database as
            ``env:SHOP_URL?table=shop.orders``, a list of them, or a table in memory (pandas, polars, Arrow). What
            stands in a list is a source of its own: its columns may be other ones, and its rows are named for its file
            or table.
        home: the folder that the document's paths will be relative to.
        columns: columns by their role (``profile``, ``at``, ``event``, ``value``, ``id``), where they are known.
        reach: what addresses may lead to.

    Raises:
        SourceNotFoundError, SourceUnreadableError, ColumnNotFoundError, DatabaseUnreachableError,
            DatabaseRefusedError: as when reading.
        ConfigurationError: an address holds a password.
        NoInputDataError: no event is usable.
    """
    folder = Path(home).absolute()
    paths = [data] if isinstance(data, str | Path) else data if isinstance(data, list) else []
    events = tuple(_source(path, folder) for path in paths)
    source = Data(events=events, columns=Columns(**dict(columns or {})))
    tables = None if paths else {"events": data}
    with connect(reach=reach) as session:
        opened = session.open(source, folder, tables)
        if len(events) > 1:
            source = _apart(source, opened)
            opened = session.open(source, folder, tables)
        section, named = _described(source, opened)
        matched = {n: e if section.kind is None else NamedEvent() for n, e in named.items()}
        request = EventRequest(selectors=tuple(Selector(n, e) for n, e in matched.items()))
        log: EventLog = session.load(source, folder, request, tables)
        as_of = end_of_tracking(log.facts)
        if as_of is not None:
            log = session.load(source, folder, EventRequest(request.selectors, as_of=as_of), tables)
        chosen = _choose(section, named, opened, log, as_of)
    instance = chosen.instance.model_copy(update={"events": _mentioned(named, chosen.question)})
    notes = (*_data_notes(opened, section, log.facts, as_of), *_kind_notes(opened, named), *_choice_notes(chosen))
    return Proposal(instance, opened, log.facts, notes, as_of, chosen.refusal)


def _source(text: str | Path, folder: Path) -> Source:
    """A file, what an address leads to, or a table of a database."""
    found = source_at(str(text))
    if found is None and is_address(str(text)):
        return Source(path=str(text))
    if found is None or found.database is None:
        return Source(path=relative_path(Path(text), folder))
    if is_database_address(found.database):
        return found
    return found.model_copy(update={"database": relative_path(Path(found.database), folder)})


def relative_path(path: Path, folder: Path) -> str:
    """A path as a document in or beside a folder should name it: relative where both may move together."""
    absolute = Path(os.path.normpath(path.absolute()))
    if absolute.is_relative_to(folder.parent):
        return Path(os.path.relpath(absolute, folder)).as_posix()
    return str(absolute)


# --- what the events are -----------------------------------------------------------------------------------


def _apart(source: Data, opened: OpenedEvents) -> Data:
    """Several sources, each with its own columns; the rows of one that names no kind are of the kind of its file."""
    events = tuple(
        one.model_copy(
            update={
                "columns": Columns(**_named_columns(facts)),
                **_as_xdm(facts),
                "kind": None if "event" in facts.columns else _kind_of(one),
            }
        )
        for one, facts in zip(source.events, opened.sources, strict=True)
    )
    return source.model_copy(update={"events": events, "columns": Columns()})


def _kind_of(source: Source) -> str:
    return kind_of_file(str(source.path)) if source.table is None else kind_of_file(source.table.rpartition(".")[2])


def kind_of_file(path: str) -> str:
    """What rows of a file are called: its name, without the digits that part it from others of its kind."""
    stem = Path(path).name.split(".")[0]
    return re.sub(r"[\W\d_]+", "_", stem).strip("_").lower() or "event"


def _described(source: Data, opened: OpenedEvents) -> tuple[Data, dict[str, NamedEvent]]:
    """The data section with every column named, and the events worth a name."""
    if len(source.events) > 1:
        return source, {kind: NamedEvent(kinds=(kind,)) for kind in _likely_kinds(opened)}
    roles = opened.sources[0].columns
    columns = Columns(**_named_columns(opened.sources[0]))
    events = tuple(one.model_copy(update=_as_xdm(opened.sources[0])) for one in source.events)
    section = source.model_copy(update={"columns": columns, "events": events})
    if "event" in roles:
        return section, {kind: NamedEvent(kinds=(kind,)) for kind in _likely_kinds(opened)}
    counters = _counters(opened)
    if counters:
        return section, counters
    kind = _kind_of_columns(opened)
    return section.model_copy(update={"kind": kind}), {kind: NamedEvent(kinds=(kind,))}


def _named_columns(facts: SourceFacts) -> dict[str, str]:
    """Column of each role that must be named: of XDM, which says the others itself, at most whose event it was."""
    if facts.xdm is None:
        return {role: facts.columns[role] for role in ROLES if role in facts.columns}
    known = {label for label, _ in facts.xdm.identities}
    return {} if facts.xdm.identity in known else {"profile": facts.xdm.identity}


def _as_xdm(facts: SourceFacts) -> dict[str, str]:
    """How a source of XDM is named as such."""
    if facts.xdm is None:
        return {}
    known = {label for label, _ in facts.xdm.identities}
    return {"format": "xdm"} | ({"identity": facts.xdm.identity} if facts.xdm.identity in known else {})


def _likely_kinds(opened: OpenedEvents) -> tuple[str, ...]:
    """The kinds a business may want more of, the likeliest first; the only one if there is one."""
    return tuple(opened.kinds) if len(opened.kinds) == 1 else wanted_kinds(tuple(opened.kinds))[:MOST_GOALS]


def meanings(name: str) -> list[str]:
    """The words of a name in lower case; those of other languages by what they mean, whatever their accents."""
    plain = "".join(
        c for c in unicodedata.normalize("NFKD", name.translate({322: "l", 321: "L"})) if not unicodedata.combining(c)
    )
    return [MEANINGS.get(word, word) for word in words(plain).split("_")]


def wanted_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Those of some kinds whose name has a word for what a business wants to happen, the likeliest first."""
    parts = {kind: meanings(kind) for kind in kinds}
    able = {kind: ps for kind, ps in parts.items() if not any(p.startswith(UNWANTED) for p in ps)}
    return tuple(
        dict.fromkeys(k for word in GOAL_WORDS for k, ps in able.items() if any(p.startswith(word) for p in ps))
    )


def _counters(opened: OpenedEvents) -> dict[str, NamedEvent]:
    """Named events of a log whose kinds are columns that count (``commerce.purchases.value``), as XDM has them."""
    found: dict[str, NamedEvent] = {}
    for facts in opened.field_facts:
        parts = facts.field.name.split(".")
        if facts.field.type == "number" and len(parts) >= 3 and parts[-1] == "value" and 0 < facts.filled < 1:
            found[parts[-2]] = NamedEvent.model_validate({"where": {facts.field.name: {"gt": 0}}})
    return dict(sorted(found.items(), key=lambda pair: wanted_kinds([pair[0]]) == ()))


def _kind_of_columns(opened: OpenedEvents) -> str:
    roles = opened.sources[0].columns
    names = ["_".join(meanings(n)) for n in (roles["at"], roles.get("value", ""), *opened.fields)]
    for kind, parts in KIND_OF_COLUMNS:
        if any(part in name for name in names for part in parts):
            return kind
    return "event"


def end_of_tracking(facts: EventFacts) -> date | None:
    """The first of fourteen or more last days that hold next to none of the events that were due.

    What was due is judged by the sixty days before. None if there are no such days.
    """
    first, last = int(facts.days[0]), int(facts.days[-1])
    daily = np.zeros(last - first + 1)
    daily[facts.days - first] = facts.events_per_day
    summed = np.concatenate([[0.0], np.cumsum(daily)])
    for start in range(60, len(daily) - TAIL_DAYS + 1):
        due = (summed[start] - summed[start - 60]) / 60 * (len(daily) - start)
        if due >= TAIL_EVENTS and summed[-1] - summed[start] < TAIL_SHARE * due:
            return day_date(first + start)
    return None


def usual_gap_days(log: EventLog, event: str) -> float | None:
    """The days within which three of four profiles usually do an event again; None if nobody did it on two days.

    A profile's usual gap is the median between the days on which it did it.
    """
    names = [s.name for s in log.request.selectors]
    bit = np.uint64(1 << names.index(event)) if event in names else None
    gaps = np.concatenate(list(log.visit(partial(_gaps_between, bit))))
    return float(np.quantile(gaps, 0.75)) if len(gaps) else None


def _gaps_between(bit: np.uint64 | None, part: Partition) -> NDArray[np.float64]:
    profile = np.repeat(np.arange(part.profiles), np.diff(part.offsets))
    did = np.ones(len(part.at), dtype=bool) if bit is None else (part.bits & bit) != 0
    return _median_gaps(profile[did], part.at[did] // DAY_US)


def _median_gaps(profile: NDArray[np.int64], day: NDArray[np.int64]) -> NDArray[np.float64]:
    """The lower median gap between different days, of each profile that has two; both sorted."""
    gap, same = np.diff(day), profile[1:] == profile[:-1]
    of, gap = profile[1:][same & (gap > 0)], gap[same & (gap > 0)]
    order = np.lexsort((gap, of))
    _, start, count = np.unique(of[order], return_index=True, return_counts=True)
    found: NDArray[np.float64] = gap[order][start + (count - 1) // 2].astype(np.float64)
    return found


# --- what to ask, and over which windows ----------------------------------------------------------------------


def _choose(
    section: Data, named: Mapping[str, NamedEvent], opened: OpenedEvents, log: EventLog, as_of: date | None
) -> Candidate:
    """The first question that can be answered well, over the most natural windows that allow it; else the best."""
    tried: list[Candidate] = []
    for question in _questions(named, opened, log):
        tried.append(_best_windows(section, named, question, opened, log, as_of))
        if tried[-1].natural and tried[-1].refusal is None:
            return tried[-1]
    return max(tried, key=lambda c: c.rank)


def _questions(named: Mapping[str, NamedEvent], opened: OpenedEvents, log: EventLog) -> Iterator[Question]:
    """What could be asked, the likeliest first; the last can always be."""
    only = next(iter(named)) if len(opened.kinds) == 1 and not any(e.where for e in named.values()) else None
    wanted = wanted_kinds(tuple(named))[:MOST_GOALS] if only is None else ()
    for event in wanted:
        sounds = f"{event!r} sounds most like what a business wants to happen"
        yield Question(event, False, USUAL_WINDOW_DAYS, sounds)
    gap = usual_gap_days(log, only or ANYTHING)
    why = f"{only!r} is the only kind of event" if only else "no kind has a name that says what a business wants"
    if wanted:
        why = f"windows that suit {wanted[0]!r} were not found"
    rhythm = f"; three of four profiles who came back usually did so within {gap:,.0f} days" if gap else ""
    yield Question(only or ANYTHING, True, _nearest_window(gap), f"{why}, so silence is what can be predicted{rhythm}")


def _nearest_window(days: float | None) -> int:
    return USUAL_WINDOW_DAYS if not days else min(WINDOWS_DAYS, key=lambda w: abs(math.log(w / days)))


def _best_windows(
    section: Data,
    named: Mapping[str, NamedEvent],
    question: Question,
    opened: OpenedEvents,
    log: EventLog,
    as_of: date | None,
) -> Candidate:
    """The best of the windows tried; those nearest to the usual ones are tried first."""
    tried: list[Candidate] = []
    for within, lookback in _windows(question):
        instance = _instance(section, named, question, within, lookback)
        tried.append(_try(Inputs(instance, {}, Path(), as_of=as_of), question, opened, log))
        if tried[-1].good or sum(bool(c.words) for c in tried) >= MOST_SURVEYS:
            break
    return max(tried, key=lambda c: c.rank)


def _windows(question: Question) -> Iterator[tuple[int, int]]:
    """Outcome windows and look-backs, the most natural first."""
    multiple = 2 if question.churn else 3
    for within in sorted(WINDOWS_DAYS, key=lambda w: abs(math.log(w / question.usual_days))):
        most = min((d for d in LOOKBACKS_DAYS if d >= multiple * within), default=LOOKBACKS_DAYS[-1])
        yield from ((within, d) for d in reversed(LOOKBACKS_DAYS) if within <= d <= most or d == LOOKBACKS_DAYS[0])


def _instance(
    section: Data, named: Mapping[str, NamedEvent], question: Question, within: int, lookback: int
) -> Instance:
    seen = Did(did=question.event if question.churn else ANYTHING, within_days=lookback)
    combinator: Literal["none_of", "all_of"] = "none_of" if question.churn else "all_of"
    goal = Goal(group=Group(combinator=combinator, items=(Did(did=question.event),)), within_days=within)
    return Instance(
        name=proposed_name(goal),
        type="churn" if question.churn else "conversion",
        data=section,
        events=_mentioned(named, question),
        goal=goal,
        eligible=Eligibility(group=Group(combinator="all_of", items=(seen,))),
    )


def proposed_name(goal: Goal, before: str = "") -> str:
    """What an instance with a goal is called where nobody has named it.

    Args:
        before: what it was called; a goal that is more than one event, or none of it, keeps that, with its own window.
    """
    days = f"{goal.within_days} day{'' if goal.within_days == 1 else 's'}"
    item, combinator = goal.group.items[0], goal.group.combinator
    event = item.events[0]
    if len(goal.group.items) > 1 or item != Did(did=event):
        return re.sub(r"\d+ days?$", days, before)
    if event == ANYTHING:
        return f"Silent for {days}" if combinator == "none_of" else f"Anything within {days}"
    name = f"No {_title(event)} within {days}" if combinator == "none_of" else f"{_title(event)} within {days}"
    return name[:1].upper() + name[1:]


def _title(event: str) -> str:
    return event if " " in event else words(event).replace("_", " ")


def _mentioned(named: Mapping[str, NamedEvent], question: Question) -> dict[str, NamedEvent]:
    """The event of the goal; all that are columns of their own, for no kind stands for them."""
    return {n: e for n, e in named.items() if n == question.event or e.where}


def _try(inputs: Inputs, question: Question, opened: OpenedEvents, log: EventLog) -> Candidate:
    """How a question over some windows fares: what ``propend check`` would refuse, and what one may wish for."""
    try:
        prepared = survey_log(inputs, opened, log)
    except PropendError as refusal:
        return Candidate(inputs.instance, question, (0, 0, 0, 0, 0), refusal=refusal)
    timeline, counts = prepared.timeline, outcome_counts(prepared)
    met, all_ = _last_window(prepared)
    natural = RATES[0] <= met / max(all_, 1) <= RATES[1]
    later = (timeline.proof_kind == "out-of-time") + (len(timeline.training) >= 3)
    wishes = (int(later == 2), int(min(counts.met, counts.unmet) >= COMFORTABLE_PROFILES), int(natural), later)
    shown = f"{met:,} of {all_:,} profiles met it in the last window known, from {day_date(timeline.proof)} on"
    try:
        sides(prepared)
    except PropendError as refusal:
        return Candidate(inputs.instance, question, (1, *wishes), natural, shown, refusal)
    return Candidate(inputs.instance, question, (2, *wishes), natural, shown)


def _last_window(prepared: Prepared) -> tuple[int, int]:
    column = prepared.survey.cutoffs.index(prepared.timeline.proof)
    labelled = prepared.survey.labelled[:, column]
    return int((labelled & prepared.survey.met[:, column]).sum()), int(labelled.sum())


# --- saying it -------------------------------------------------------------------------------------------------


def _data_notes(opened: OpenedEvents, section: Data, facts: EventFacts, as_of: date | None) -> Iterator[Note]:
    first, last = day_date(int(facts.days[0])), day_date(int(facts.days[-1]))
    yield Note("data", f"{facts.used:,} events of {facts.profiles:,} profiles, {first} to {last}")
    if len(opened.sources) > 1:
        for one, asked in zip(opened.sources, section.events, strict=True):
            columns = ", ".join(f"{role} {column!r}" for role, column in one.columns.items())
            kind = f"; every row is taken for one {asked.kind!r}" if asked.kind else ""
            yield Note("data", f"{one.path}: {columns}{kind}")
        yield from _xdm_notes(opened)
        return
    source = opened.sources[0]
    for role in ROLES:
        if role in source.columns:
            why = source.reasons.get(role, "named by you")
            yield Note("data", f"{role:<8} {source.columns[role]!r}: {why}")
    if "event" not in source.columns and section.kind is not None:
        yield Note("data", f"event    no column says what happened: every row is taken for one {section.kind!r}")
    if "value" not in source.columns:
        yield Note("data", "value    no column of amounts was recognised; name one if there is (value: ...)")
    yield from _xdm_notes(opened)
    for name, n in facts.set_aside.items():
        if n and name in REASONS:
            yield Note("data", f"set aside: {n:,} row{'' if n == 1 else 's'} {REASONS[name]}")
    if as_of is not None:
        late = facts.set_aside.get("after_as_of", 0)
        yield Note(
            "data", f"from {as_of} on there are next to no events ({late:,}): stand at that day (--as-of {as_of})"
        )
    yield from _order_notes(opened, section)


def _xdm_notes(opened: OpenedEvents) -> Iterator[Note]:
    """Sources that are XDM, and the identities to choose from."""
    for one in opened.sources:
        if one.xdm is not None:
            yield Note("data", f"{one.path}: XDM ExperienceEvents, profiles told apart by {one.xdm.identity}")
            for label, filled in one.xdm.identities:
                yield Note("data", f"  identity {label}: {100 * filled:.1f} % filled")


_PARTS_OF = ("order", "invoice", "basket", "receipt", "transaction", "purchase", "booking", "ticket")
_NUMBERS = ("id", "no", "nr", "number", "key", "code")
_READERS = {"parquet": "read_parquet", "csv": "read_csv", "json": "read_json"}


def _order_notes(opened: OpenedEvents, section: Data) -> Iterator[Note]:
    """Rows that look like lines of one order, and the query that makes one event of them."""
    source, columns = opened.sources[0], section.columns
    reader = next((r for f, r in _READERS.items() if source.format.startswith(f)), None)
    for found in opened.field_facts:
        parts = words(found.field.name).split("_")
        few = 0 < found.distinct < 0.7 * found.rows * found.filled
        if len(parts) != 2 or parts[0] not in _PARTS_OF or parts[1] not in _NUMBERS or not few or columns.event:
            continue
        order = found.field.name
        yield Note(
            "data", f"{found.distinct:,} different {order!r} in {found.rows:,} rows: rows seem to be lines of orders"
        )
        if reader is not None and section.events and isinstance(section.events[0].path, str):
            yield Note("data", "to count orders in place of lines, read this query in place of the path:")
            query = _orders_query(columns, quote_name(order), f"{reader}({quote_text(section.events[0].path)})")
            yield from (Note("data", f"  {line}") for line in ("events:", "  query: |", *(f"    {q}" for q in query)))
        return


def _orders_query(columns: Columns, order: str, source: str) -> tuple[str, ...]:
    profile, at = quote_name(columns.profile or ""), quote_name(columns.at or "")
    value = f", sum({quote_name(columns.value)}) as {quote_name(columns.value)}" if columns.value else ""
    return (
        f"select {profile}, min({at}) as {at}{value}, count(*) as lines",
        f"from {source}",
        f"group by {profile}, {order}",
    )


def _kind_notes(opened: OpenedEvents, named: Mapping[str, NamedEvent]) -> Iterator[Note]:
    total = sum(opened.kinds.values())
    counted = {e.where[0].field: n for n, e in named.items() if e.where}
    if counted:
        yield Note("events", "kinds of event, each a column that counts:")
        rows = {counted[f.field.name]: round(f.filled * total) for f in opened.field_facts if f.field.name in counted}
    elif len(opened.kinds) == 1:
        rows = {next(iter(named)): total}
    else:
        yield Note("events", f"kinds of event: {len(opened.kinds):,}")
        rows = dict(opened.kinds)
    width = max(map(len, list(rows)[:MOST_KINDS_SHOWN]))
    by = {kind: what for one in opened.sources if one.xdm is not None for kind, what in one.xdm.kinds.items()}
    for kind, n in list(rows.items())[:MOST_KINDS_SHOWN]:
        what = f"  by {by[kind]}" if kind in by else ""
        yield Note("events", f"  {kind:<{width}} {n:>12,} {100 * n / total:6.1f} %{what}")
    if len(rows) > MOST_KINDS_SHOWN:
        yield Note("events", f"  and {len(rows) - MOST_KINDS_SHOWN:,} more")


def _choice_notes(chosen: Candidate) -> Iterator[Note]:
    goal, eligible = chosen.instance.goal, chosen.instance.eligible
    yield Note("goal", chosen.question.reason)
    if chosen.words:
        yield Note("goal", f"{goal.within_days} days: {chosen.words}")
    if chosen.refusal is not None:
        yield Note("goal", f"no windows tried pass every check; with these: {chosen.refusal.message}")
    days = eligible.longest_lookback_days if eligible else 0
    what = "whoever did it" if chosen.question.churn else "whoever did anything"
    yield Note("eligible", f"{what} in the last {days} days; who has been away longer is not asked about")
