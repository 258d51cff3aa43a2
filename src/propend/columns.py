"""Which column plays which role, where nobody said: guessed by name and type, and only if confident.

A name is compared without case, spaces and underscores. A role's usual names are listed with the score of an
exact match; a name that merely ends with one of them ("HotelCustomerID") scores less. A guess needs a
sufficient score, values that fit the role, and no second column as good.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from propend.document import nearest
from propend.events import FieldFacts
from propend.predicates import FieldType

ROLES = ("profile", "at", "event", "value", "id")
NEEDED = ("profile", "at")
MOSTLY_FILLED = ("profile", "at", "event", "id")
"""Roles of which a column that is mostly empty cannot be guessed."""

MAX_TEXT_FIELDS = 6
MAX_NUMBER_FIELDS = 4
MAX_DISTINCT = 5000
MAX_DISTINCT_SHARE = 0.3
MIN_FILLED = 0.05
LEAST_SCORE = 40
_ENDING = 25
"""What a name that only ends with a usual one scores less."""
_MOST_KINDS = 300
EPOCH_FROM = 10**8
"""Numbers smaller than this are not taken for instants: seconds since 1970 passed it in 1973."""


@dataclass(frozen=True)
class Guess:
    """A role's likely column and why it was taken."""

    role: str
    column: str
    reason: str
    score: int


def _scores(*groups: str) -> dict[str, int]:
    """Usual names, each group scoring ten less than the one before."""
    return {name: 100 - 10 * i for i, group in reversed([*enumerate(groups)]) for name in group.split()}


_NAMES: dict[str, dict[str, int]] = {
    "profile": _scores(
        "customerid profileid userid clientid personid memberid contactid subscriberid customerkey clientkey userkey "
        "custid contributorid guestid",
        "customer customerno customernumber customercode clientno clientnumber memberno membernumber customeruuid "
        "useruuid accountid householdid patientid donorid playerid studentid learnerid passengerid employeeid "
        "visitorid shopperid buyerid policyholderid citizenid tenantid organizationid companyid externalid msno",
        "who user client profile person member contact subscriber household visitor guest account contributor author "
        "shopper buyer donor player student patient loyaltyid cardid cardno cardnumber custno cust ecid uid "
        "anonymousid deviceid cookieid fullvisitorid userpseudoid msisdn",
        "email emailaddress mail phone phonenumber username login identity distinctid cookie device card",
        "kundennummer kundenid kundennr kunde kdnr idclient codeclient numeroclient idcliente codcliente codigocliente "
        "cliente codicecliente idklienta klantid klantnummer mitglied mitgliedsnummer mitgliedsnr mitgliedid nutzer "
        "nutzerid benutzer benutzerid abonnent teilnehmer membre abonné abonne adhérent adherent utilisateur "
        "idutilisateur usuario idusuario suscriptor assinante socio utente idutente lidnummer gebruiker gebruikerid",
        "enduseridsexperiencemcidid",
        "enduseridsexperienceaaidid id",
    ),
    "at": _scores(
        "timestamp eventtimestamp eventtime eventat eventdatetime occurredat happenedat at",
        "createdat createdon orderedat orderdate ordertime ordertimestamp purchasedat purchasedon purchasedate "
        "purchasetimestamp boughtat transactiontimestamp transactiondate transactiontime transactedat invoicedate "
        "datetime time date ts day eventdate visitedat visitdate bookedat bookingdate paidat paymentdate logdate "
        "activitydate activitytime interactiontime starttime startedat reviewdate dt when occurredon happenedon "
        "eventts createdtime creationdate datecreated clienttimestamp servertimestamp utctime saledate salesdate",
        "createddate created recordedat recordeddate loggedat sentat performedat timestamputc unixtime epoch "
        "eventtimemillis timestampms eventepoch startdate entrydate checkindate",
        "datum zeitpunkt zeitstempel bestelldatum kaufdatum rechnungsdatum buchungsdatum horodatage datecommande "
        "dateachat fecha fechahora fechapedido fechacompra datacompra dataora datapedido besteldatum",
    ),
    "event": _scores(
        "event eventtype eventname eventkind",
        "kind action activity activitytype actiontype interactiontype transactiontype eventaction eventcode "
        "behaviortype behaviourtype activitytypedisplay",
        "type verb interaction operation activityname what whathappened",
        "aktion ereignis vorgang accion evento tipoevento evenement azione acao actie",
    ),
    "value": _scores(
        "amount value revenue total totalprice totalamount orderamount ordervalue ordertotal eventvalue",
        "price salesvalue salesamount purchaseamount transactionamount netamount grossamount grandtotal totalvalue "
        "totalspent dollarsspent dollarvalue amountspent amountpaid spend spent sales sale gmv turnover paid "
        "payment paymentamount pricetotal linetotal netrevenue dollars euros pounds amt",
        "betrag umsatz gesamtbetrag rechnungsbetrag montant chiffreaffaires importe monto valor importo bedrag omzet",
    ),
    "id": _scores("eventid eventuuid", "id"),
}  # fmt: skip

_NOT_WHEN = (
    "birth", "dob", "expir", "valid", "until", "end", "due", "modif", "updat", "delet", "receiv", "ingest",
    "loaded", "import", "export", "cancel", "return", "checkout", "shipped", "deliver", "finish", "complet",
    "closed", "effective", "signup", "signedup", "registered", "registration", "member", "lastseen", "firstseen",
    "acquired", "joined",
)  # fmt: skip
_NOT_VALUE = (
    "unit", "per", "list", "disc", "tax", "vat", "shipping", "cost", "cart", "budget", "limit", "balance", "income",
    "fee", "refund", "base", "avg", "mean", "min", "max",
)  # fmt: skip
_WHEN_ENDINGS = ("timestamp", "datetime", "date", "time", "at", "on")

_ID_LIKE = re.compile(r"(^|[^a-z])(u?u?id|guid|key|hash|token|code|number|no|nr|sku|index|idx)$")
_TIME_LIKE = re.compile(
    r"(^|[^a-z])(?<!per_)(date|time|timestamp|datetime|ts|day|week|month|year|hour|minute|second|epoch|quarter)$|_at$|_on$"
)
"""A place in the calendar; amounts of time (``minutes``, ``price_per_day``) are numbers like others."""


def folded(name: str) -> str:
    """A name without case and anything but letters and digits."""
    return re.sub(r"[\W_]+", "", name.casefold())


def words(name: str) -> str:
    """A name in lower case with its words parted by underscores, also where capitals part them."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"[\W_]+", "_", parted).strip("_").casefold()


# --- guessing -----------------------------------------------------------------------------------------------


def guess_columns(
    columns: Mapping[str, FieldType],
    sample: Mapping[str, Sequence[Any]],
    taken: Mapping[str, str] | None = None,
) -> dict[str, Guess]:
    """The likely column of each role that has none yet.

    Args:
        columns: type of each column; nested ones by their dotted path.
        sample: values of each column from some rows, in the order of these rows; may be empty.
        taken: roles that are named, with their columns.

    Returns:
        A guess for each role that can be guessed with confidence, by role.
    """
    named = dict(taken or {})
    found: dict[str, Guess] = {}
    for role in ROLES:
        if role in named:
            continue
        used = {*named.values(), *(g.column for g in found.values())}
        candidates = []
        for name, kind in columns.items():
            guess = None if name in used else _candidate(role, name, kind, sample.get(name, ()))
            if guess:
                candidates.append(guess)
        best = _confident(candidates)
        if best:
            found[role] = best
    if "at" not in found and "at" not in named:
        only = _only_time(columns, sample, {*named.values(), *(g.column for g in found.values())})
        if only:
            found["at"] = only
    return found


def _candidate(role: str, name: str, kind: FieldType, values: Sequence[Any]) -> Guess | None:
    given = [v for v in values if v is not None and v != ""]
    score, why = _name_score(role, name)
    if score < LEAST_SCORE or not _FITS[role](name, kind, given):
        return None
    if role in MOSTLY_FILLED and len(given) < 0.5 * len(values):
        return None
    return Guess(role, name, why, score)


def _name_score(role: str, name: str) -> tuple[int, str]:
    usual, given = _NAMES[role], folded(name)
    leaf = folded(name.rsplit(".", 1)[-1])
    if role == "id":
        return (usual[given], "a usual name of an event's id") if _is_event_id(name) else (0, "")
    if given in usual:
        return usual[given], "a usual name"
    if leaf in usual and usual[leaf] > LEAST_SCORE and role not in ("profile", "event"):
        return usual[leaf] - 5, "a usual name, nested"
    endings = [(score - _ENDING, word) for word, score in usual.items() if len(word) > 4 and given.endswith(word)]
    score, word = max(endings, default=(0, ""))
    if role == "at":
        return _when_score(given, score, word)
    if role == "value" and any(w in _NOT_VALUE for w in words(name).split("_")):
        return 0, ""
    return score, f"ends like {word!r}"


def _when_score(given: str, score: int, word: str) -> tuple[int, str]:
    if any(w in given for w in _NOT_WHEN):
        return 0, ""
    ending = next((w for w in _WHEN_ENDINGS if given.endswith(w)), "")
    if score < LEAST_SCORE and ending:
        return LEAST_SCORE, f"ends like {ending!r}"
    return score, f"ends like {word!r}"


def _is_event_id(name: str) -> bool:
    return name.casefold() in ("_id", "event_id", "eventid", "event id", "event-id", "event_uuid", "eventuuid")


def _confident(candidates: list[Guess]) -> Guess | None:
    """The best candidate, unless a second is as good."""
    ranked = sorted(candidates, key=lambda g: -g.score)
    if not ranked or (len(ranked) > 1 and ranked[1].score == ranked[0].score and not _same_name(ranked[:2])):
        return None
    return ranked[0]


def _same_name(pair: Sequence[Guess]) -> bool:
    return folded(pair[0].column) == folded(pair[1].column)


def _only_time(columns: Mapping[str, FieldType], sample: Mapping[str, Sequence[Any]], used: set[str]) -> Guess | None:
    times = [n for n, k in columns.items() if k == "time" or (k == "text" and _reads_as_date(sample.get(n, ())))]
    usable = [n for n in times if n not in used and not any(w in folded(n) for w in _NOT_WHEN)]
    return Guess("at", usable[0], "the only column of times", LEAST_SCORE) if len(usable) == 1 else None


# --- do the values fit? -------------------------------------------------------------------------------------


def _fits_profile(name: str, kind: FieldType, given: Sequence[Any]) -> bool:
    if kind in ("boolean", "time") or (kind == "number" and any(map(_has_decimals, given))):
        return False
    if folded(name) == "id":  # an id of the row, not of the profile, where it never repeats
        return len(set(map(str, given))) < len(given) or not given
    return True


def _has_decimals(value: Any) -> bool:
    """Whether a number, or the text of one in a file that has only texts, is not whole."""
    return (isinstance(value, float) or (isinstance(value, str) and _is_number(value))) and float(value) % 1 != 0


def _fits_at(name: str, kind: FieldType, given: Sequence[Any]) -> bool:
    if kind == "time" or not given:
        return kind != "boolean"
    return _reads_as_time(given)


def _reads_as_time(values: Sequence[Any]) -> bool:
    """Whether most values are times, texts of times, or plausible numbers of seconds or parts of them."""
    given = [v for v in values if v is not None and v != ""]
    readable = sum(_is_time(v) for v in given)
    return bool(given) and readable >= 0.8 * len(given)


_DATE_TEXT = re.compile(
    r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})|(19|20)\d{6}|\d{9,19}(\.\d+)?"
    r"|([A-Za-z]{3,9},? )?\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{4}|[A-Za-z]{3,9} \d{1,2}, \d{4})([T ].*)?$"
)


def _reads_as_date(values: Sequence[Any]) -> bool:
    """Whether the values are texts of times: digits alone could be ids."""
    return _reads_as_time(values) and not any(str(v).isdigit() for v in values)


def _is_time(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, date | datetime):
        return True
    if isinstance(value, int | float):
        return abs(value) >= EPOCH_FROM or 19_000_101 <= value <= 21_001_231
    return isinstance(value, str) and bool(_DATE_TEXT.match(value))


def _fits_event(name: str, kind: FieldType, given: Sequence[Any]) -> bool:
    distinct = len(set(map(str, given)))
    repeats = len(given) < 20 or distinct <= 0.5 * len(given)
    exact = folded(name) in ("eventtype", "eventname", "event", "eventcode")
    return (kind == "text" or (kind == "number" and exact)) and distinct <= _MOST_KINDS and repeats


def _fits_value(name: str, kind: FieldType, given: Sequence[Any]) -> bool:
    return kind == "number"


def _fits_id(name: str, kind: FieldType, given: Sequence[Any]) -> bool:
    distinct = len(set(map(str, given)))
    return kind in ("text", "number") and (not given or distinct >= 0.9 * len(given))


_FITS: dict[str, Callable[[str, FieldType, Sequence[Any]], bool]] = {
    "profile": _fits_profile,
    "at": _fits_at,
    "event": _fits_event,
    "value": _fits_value,
    "id": _fits_id,
}  # fmt: skip


def might_be(role: str, name: str, kind: FieldType, values: Sequence[Any] = ()) -> bool:
    """Whether a column is worth naming where the one of a role, profile or time, could not be guessed.

    Args:
        values: some of the column's, where they are known: an amount is nobody's id.
    """
    if _name_score(role, name)[0] >= LEAST_SCORE and kind != "boolean":
        return True
    if role == "at":
        return kind == "time" or any(w in folded(name) for w in ("date", "time"))
    if not _fits_profile(name, kind, [v for v in values if v is not None and v != ""]) or _means_another(role, name):
        return False
    last = words(name).rpartition("_")[2]
    return last not in _NO_IDS and folded(name).endswith(("id", "key", "email", "number", "no", "name"))


_NO_IDS = frozenset({
    "paid", "prepaid", "unpaid", "repaid", "valid", "invalid", "void", "grid", "bid", "mid", "aid", "android", "hybrid",
    "liquid", "solid",
})  # fmt: skip
"""Words that end like an id and are none."""


def _means_another(role: str, name: str) -> bool:
    return any(_name_score(other, name)[0] >= LEAST_SCORE for other in ("at", "event", "value") if other != role)


def is_value(name: str) -> bool:
    """Whether a column's name looks like a value, as where a file has no line of names."""
    return bool(_DATE_TEXT.match(name)) or _is_number(name)


def _is_number(text: str) -> bool:
    try:
        return bool(text) and float(text) == float(text)
    except ValueError:
        return False


def nearest_column(name: str, columns: Mapping[str, FieldType]) -> str:
    """The column most like a name, case, spaces and underscores apart; an empty text if none is."""
    same = [c for c in columns if folded(c) == folded(name)]
    return same[0] if same else nearest(name, columns)


def listed(columns: Mapping[str, FieldType], most: int = 20) -> str:
    """Columns and their types for a message."""
    shown = ", ".join(f"{name} ({kind})" for name, kind in list(columns.items())[:most])
    more = len(columns) - most
    return shown + (f" and {more} more" if more > 0 else "") if shown else "none"


# --- which columns describe events --------------------------------------------------------------------------


def choose_fields(facts: Sequence[FieldFacts]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns worth describing profiles by, where the document names none.

    Texts that repeat (2 to 5,000 values, fewer than three in ten events have a new one), are filled in more than
    one event of twenty and are neither ids nor times; numbers that are neither. The fullest first, at most
    four numbers and six texts.

    Returns:
        (number fields, text fields).
    """
    usable = [f for f in facts if f.filled > MIN_FILLED and f.distinct >= 2 and not _time_like(f.field.name)]
    texts = [f for f in usable if f.field.type in ("text", "boolean") and _repeats(f) and not _id_like(f.field.name)]
    numbers = [f for f in usable if f.field.type == "number" and not _id_like(f.field.name)]
    return _fullest(numbers, MAX_NUMBER_FIELDS), _fullest(texts, MAX_TEXT_FIELDS)


def _repeats(facts: FieldFacts) -> bool:
    few = facts.distinct < MAX_DISTINCT_SHARE * facts.rows * facts.filled or facts.field.type == "boolean"
    return facts.distinct <= MAX_DISTINCT and (few or not facts.rows)


def _time_like(name: str) -> bool:
    return bool(_TIME_LIKE.search(words(name)))


def _id_like(name: str) -> bool:
    return bool(_ID_LIKE.search(words(name)))


def _fullest(facts: Sequence[FieldFacts], most: int) -> tuple[str, ...]:
    ranked = sorted(enumerate(facts), key=lambda pair: (-round(pair[1].filled, 3), pair[0]))
    return tuple(f.field.name for _, f in ranked[:most])
