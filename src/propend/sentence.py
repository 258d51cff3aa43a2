"""Goal and eligibility as one English sentence, written from the model and read back to the same model.

*Of profiles who did buy at least once in the last 90 days and never did closed_account in the last 365 days,
who will do none of buy, visit in the next 60 days?*

Two different models never give the same sentence. Parentheses mean nesting; names that are not plain words, or are
words of the language, stand in double quotes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

from lark import Lark, Token, Transformer, UnexpectedInput, UnexpectedToken, v_args
from pydantic import ValidationError

from propend.errors import SentenceError
from propend.goal import (
    ANYTHING,
    DEFAULT_ACTIVE_DAYS,
    MAX_WINDOW_DAYS,
    Did,
    Eligibility,
    Goal,
    Group,
    Item,
    Measure,
    Part,
    Then,
)

MAX_SENTENCE_LENGTH = 1_000_000
"""Characters; as many as a document may have bytes."""

Deed = Did | Then
PartOf = TypeVar("PartOf", bound=Part)

_KEYWORDS = (
    "active|ahead|all|and|any|applies|apply|at|average|be|day|days|did|different|do|exactly|far|first|for|from|"
    "highest|in|is|last|least|less|lowest|more|most|never|next|none|not|number|of|once|or|over|profiles|so|than|"
    "the|then|these|time|times|to|total|twice|values|week|weeks|who|whom|whose|will"
)
_RESERVED = re.compile(_KEYWORDS, re.IGNORECASE)
_BARE = re.compile(r"[^\W\d](?:[\w.$-]*[\w$])?")

_MEASURED = {"sum": "total", "avg": "average", "max": "highest", "min": "lowest"}
_BOUNDS = {"gt": "more than", "gte": "at least", "lt": "less than", "lte": "at most", "eq": "exactly"}


# --- writing ------------------------------------------------------------------------------------------------


def write_sentence(goal: Goal, eligible: Eligibility | None) -> str:
    """The whole question; ``read_sentence`` gives the same goal and eligibility back."""
    if eligible is None:
        population = f"active in the last {_days(DEFAULT_ACTIVE_DAYS)}"
    else:
        population = _Writer(ahead=False).body(eligible.group)
    question = _Writer(ahead=True).body(goal.group)
    start, end = goal.from_days, goal.from_days + goal.within_days
    window = f"from {start} to {end} days ahead" if start else f"in the next {_days(end)}"
    return f"Of profiles {population}, {question} {window}?"


def write_item_phrase(item: Item) -> str:
    """An item as a phrase of its own, such as ``never did closed_account in the last 365 days``.

    The phrase looks back, as eligibility does, unless something in the item only a goal can have: a first time or a
    lead time.
    """
    atoms = item.atoms() if isinstance(item, Group) else (item,)
    ahead = any(a.from_days is not None or (isinstance(a, Did) and a.first_time) for a in atoms)
    writer = _Writer(ahead)
    return (writer.body(item) if isinstance(item, Group) else writer.clause(item)).removeprefix("who ")


@dataclass(frozen=True)
class _Writer:
    """Clauses in one of two tenses: ``ahead`` is the goal's, else the eligibility's."""

    ahead: bool

    def body(self, group: Group) -> str:
        """A group without parentheses around it; begins with ``who``, ``whose``, ``to whom`` or a parenthesis."""
        flat = self._flat(group)
        if flat:
            return flat if flat.startswith("to whom") else f"who {flat}"
        if len(group.items) == 1 and isinstance(group.items[0], Group):
            return f"({self.body(group.items[0])})"
        return self._joined(group.items, "and" if group.combinator == "all_of" else "or")

    def clause(self, item: Item) -> str:
        """An item as one of several, without ``who``."""
        if isinstance(item, Group):
            return self._flat(item) or f"({self.body(item)})"
        if isinstance(item, Measure):
            return self._measure(item)
        if isinstance(item, Did) and item.high == 0:
            return _spaced(
                "will never do" if self.ahead else "never did", quoted_name(item.did), self._window(item, "")
            )
        return _spaced(self._verb, self._deed(item), self._window(item))

    def _joined(self, items: Sequence[Item], word: str) -> str:
        """Clauses under ``and`` or ``or``; ``who`` is said once for a row of clauses that need it."""
        text, said = "", False
        for clause in map(self.clause, items):
            needs = not clause.startswith(("whose ", "to whom ", "("))
            text += (f" {word} " if text else "") + ("who " if needs and not said else "") + clause
            said = needs
        return text

    def _flat(self, group: Group) -> str:
        """The group as one clause that needs no parentheses, or an empty text."""
        negative = group.combinator in ("none_of", "not_all_of")
        together = self._together(group)
        if together and len(group.items) == 1 and negative:
            return _spaced(self._negated, *together)
        if together and len(group.items) > 1:
            verb = self._negated if group.combinator == "not_all_of" else self._verb
            quantifier = {"any_of": "any of", "none_of": "none of"}.get(group.combinator, "all of")
            return _spaced(verb, quantifier, *together)
        if not negative:
            return ""
        which = "none of these applies" if group.combinator == "none_of" else "not all of these apply"
        return f"to whom {which}: ({'; '.join(map(self.clause, group.items))})"

    def _together(self, group: Group) -> tuple[str, str] | None:
        """The deeds of a group under one verb, and their common window; None where they do not go together."""
        deeds = deeds_together(group, self.ahead)
        if not deeds:
            return None
        if self.ahead:
            return ", ".join(_spaced(self._deed(d, True), self._window(d)) for d in deeds), ""
        return ", ".join(self._deed(d, True) for d in deeds), self._window(deeds[0])

    @property
    def _verb(self) -> str:
        return "will do" if self.ahead else "did"

    @property
    def _negated(self) -> str:
        return "will not do" if self.ahead else "did not do"

    def _deed(self, deed: Deed, listed: bool = False) -> str:
        if isinstance(deed, Then):
            return " then ".join(map(quoted_name, deed.then))
        count = "" if (deed.low, deed.high) == (1, None) and (self.ahead or listed) else _count(deed.low, deed.high)
        return _spaced(quoted_name(deed.did), count, "for the first time" if deed.first_time else "")

    def _measure(self, item: Measure) -> str:
        field, event = quoted_name(item.field), quoted_name(item.event)
        if item.aggregate == "count_distinct":
            measured = f"number of different {field} values of {event}"
        else:
            measured = f"{_MEASURED[item.aggregate]} {field} of {event}"
        bound = f"{_BOUNDS[item.bound]} {number_text(item.threshold)}"
        if self.ahead:
            return _spaced("whose", measured, "will be", bound, self._window(item))
        return _spaced("whose", measured, self._window(item), "is", bound)

    def _window(self, atom: Did | Measure | Then, ever: str = "so far") -> str:
        start, length = atom.from_days, atom.within_days
        if not self.ahead:
            return ever if length is None else f"in the last {_days(length)}"
        if start is None:
            return "" if length is None else f"(over {_days(length)})"
        return f"(from {_days(start)} ahead)" if length is None else f"(from {start} to {start + length} days ahead)"


def deeds_together(group: Group, ahead: bool) -> tuple[Deed, ...]:
    """The deeds of a group where they can stand under one verb, and looking back under one window; else none.

    Args:
        ahead: whether the group is a goal's.
    """
    deeds = tuple(i for i in group.items if isinstance(i, Deed) and not (isinstance(i, Did) and i.high == 0))
    negative = group.combinator in ("none_of", "not_all_of")
    fit = negative or all(_is_plain(d, ahead) for d in deeds)
    alike = ahead or len({d.within_days for d in deeds}) <= 1
    return deeds if len(deeds) == len(group.items) and fit and alike else ()


def _is_plain(deed: Deed, ahead: bool) -> bool:
    """Nothing but an event, and in a goal no window of its own."""
    own_window = ahead and (deed.from_days is not None or deed.within_days is not None)
    return isinstance(deed, Did) and (deed.low, deed.high) == (1, None) and not deed.first_time and not own_window


def _spaced(*parts: str) -> str:
    return " ".join(p for p in parts if p)


def quoted_name(name: str) -> str:
    """A name as a sentence has it: in double quotes where it is not a plain word."""
    bare = _BARE.fullmatch(name) and not _RESERVED.fullmatch(name)
    return name if bare else '"' + name.replace('"', '""') + '"'


def _count(low: int, high: int | None) -> str:
    if high is None:
        return f"at least {_times(low)}"
    if low == high:
        return f"exactly {_times(low)}"
    return f"{low} to {high} times" if low else f"at most {_times(high)}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


def number_text(number: float) -> str:
    """A number as it is written in a document."""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


# --- reading ------------------------------------------------------------------------------------------------

_GRAMMAR = r"""
    start: [_OF _PROFILES population _SPLIT?] joined{will} outcome_window _END?
    population: _ACTIVE _IN _THE _LAST days -> active
        | joined{was}                       -> eligible

    joined{clause}: clause      -> alone
        | clause (_AND clause)+ -> all_of
        | clause (_OR clause)+  -> any_of
    nested{clause}: "(" joined{clause} ")" -> nested
    applies{clause}: _TO _WHOM _NONE _OF _these{clause} -> none_of
        | _TO _WHOM _NOT _ALL _OF _these{clause}        -> not_all_of
    _these{clause}: _THESE (_APPLY | _APPLIES) ":"? "(" clause (";" clause)* ")"

    ?was: _WHO? was_done
        | _WHO? nested{was}
        | applies{was}
        | _WHOSE measured look_back _IS bound   -> measure_in
        | _WHOSE measured _IS bound [look_back] -> measure
    ?was_done: _DID deed [look_back]                          -> single
        | _NEVER _DID name [look_back]                        -> never
        | _DID _NOT _DO deed [look_back]                      -> not_single
        | _DID _ANY _OF deeds [look_back]                     -> any_deed
        | _DID _ALL _OF deeds [look_back]                     -> all_deeds
        | _DID _NONE _OF deeds [look_back]                    -> no_deed
        | _DID _NOT _DO _ALL _OF deeds [look_back]            -> not_all_deeds
    deeds: deed ("," deed)*
    deed: name [count]       -> happened
        | name (_THEN name)+ -> sequence
    look_back: _IN _THE _LAST days -> lasting
        | _SO _FAR                 -> unlimited

    ?will: _WHO? will_do
        | _WHO? nested{will}
        | applies{will}
        | _WHOSE measured _WILL _BE bound [window] -> measure
    ?will_do: _WILL _DO goal_deed                  -> single
        | _WILL _NEVER _DO name [window]           -> never
        | _WILL _NOT _DO goal_deed                 -> not_single
        | _WILL _DO _ANY _OF goal_deeds            -> any_deed
        | _WILL _DO _ALL _OF goal_deeds            -> all_deeds
        | _WILL _DO _NONE _OF goal_deeds           -> no_deed
        | _WILL _NOT _DO _ALL _OF goal_deeds       -> not_all_deeds
    goal_deeds: goal_deed ("," goal_deed)*         -> deeds
    goal_deed: deed [first_time] [window]
    first_time: _FOR _THE _FIRST _TIME
    window: "(" _OVER days ")"      -> lasting
        | "(" _FROM NUMBER (_DAYS | _DAY) _AHEAD ")" -> starting
        | "(" span ")"              -> spanning
    outcome_window: _IN _THE _NEXT days -> lasting
        | span                          -> spanning
    span: _FROM NUMBER _TO NUMBER _DAYS _AHEAD

    measured: _TOTAL name _OF name                     -> sum
        | _AVERAGE name _OF name                       -> avg
        | _HIGHEST name _OF name                       -> max
        | _LOWEST name _OF name                        -> min
        | _NUMBER _OF _DIFFERENT name _VALUES _OF name -> count_distinct
    bound: _MORE _THAN NUMBER -> gt
        | _AT _LEAST NUMBER   -> gte
        | _LESS _THAN NUMBER  -> lt
        | _AT _MOST NUMBER    -> lte
        | _EXACTLY NUMBER     -> eq
    count: _AT _LEAST times        -> at_least
        | _AT _MOST times          -> at_most
        | _EXACTLY times           -> exactly
        | NUMBER _TO NUMBER _TIMES -> between
    times: _ONCE -> once
        | _TWICE -> twice
        | NUMBER (_TIMES | _TIME) -> often
    days: NUMBER (_DAYS | _DAY)   -> days
        | NUMBER (_WEEKS | _WEEK) -> weeks
    name: NAME | QUOTED

    NAME: /[^\W\d](?:[\w.$-]*[\w$])?/i
    QUOTED: /"(?:[^"]|"")+"|`(?:[^`]|``)+`/
    NUMBER: /[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?/i
    _SPLIT.2: /,(?=\s*(?:\(|who(?:se)?\b|will\b|to\s+whom\b))/i
    _END: /[?.!]/
    %ignore /\s+/
""" + "\n".join(f'_{word.upper()}: "{word}"i' for word in _KEYWORDS.split("|"))


class _InvalidError(Exception):
    """What was said can be read and makes no sense."""

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(problem)
        self.position = position


@dataclass(frozen=True)
class _Draft:
    """An atom before its window is known, and where it stands in the text."""

    kind: type[Did | Measure | Then]
    fields: dict[str, Any]
    position: int


@dataclass(frozen=True)
class _Nested:
    """A group that stood in parentheses."""

    group: Group


Window = dict[str, int]
Clause = Item | _Nested


def _group(combinator: str, clauses: Sequence[Clause]) -> Group:
    items = [c.group if isinstance(c, _Nested) else c for c in clauses]
    return _built(Group, {"combinator": combinator, "items": items}, 0)


def _atom(draft: _Draft, window: Window | None = None) -> Any:
    return _built(draft.kind, draft.fields | (window or {}), draft.position)


def _built(kind: type[PartOf], fields: dict[str, Any], position: int) -> PartOf:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        said = str(first["msg"])
        meant = f"{first['input']!r:.40} is not {said.removeprefix('Input should be ')}"
        problem = said.removeprefix("Value error, ") if first["type"] == "value_error" else meant
        raise _InvalidError(problem, position) from None


def _whole(number: Token, most: int = 1_000_000) -> int:
    if not re.fullmatch(r"\d{1,9}", number) or int(number) > most:
        raise _InvalidError(f"a whole number of at most {most:,} is needed, not {number:.40}", _position(number))
    return int(number)


def _position(token: Token) -> int:
    return token.start_pos or 0


def _of_clauses(combinator: str) -> Callable[..., Group]:
    return lambda _, *clauses: _group(combinator, clauses)


def _of_deeds(combinator: str) -> Callable[..., Group]:
    return lambda _, drafts, window=None: _group(combinator, [_atom(d, window) for d in drafts])


def _of_field(aggregate: str) -> Callable[..., _Draft]:
    def read(_: Any, field: Token, event: Token) -> _Draft:
        fields = {"aggregate": aggregate, "field": str(field), "event": str(event)}
        return _Draft(Measure, fields, _position(field))

    return read


def _of_threshold(bound: str) -> Callable[..., dict[str, Any]]:
    return lambda _, number: {"bound": bound, "threshold": float(number)}


@v_args(inline=True)
class _Model(Transformer):  # type: ignore[type-arg]
    """Builds the model while the text is read, so that deep nesting needs no recursion."""

    def start(self, eligible: Eligibility | None, group: Group, window: Window) -> tuple[Goal, Eligibility | None]:
        return _built(Goal, {"group": group} | window, 0), eligible

    def active(self, days: int) -> Eligibility | None:
        atom = _Draft(Did, {"did": ANYTHING, "within_days": days}, 0)
        return None if days == DEFAULT_ACTIVE_DAYS else self.eligible(_group("all_of", [_atom(atom)]))

    def eligible(self, group: Group) -> Eligibility:
        return _built(Eligibility, {"group": group}, 0)

    def alone(self, clause: Clause) -> Group:
        return clause if isinstance(clause, Group) else _group("all_of", [clause])

    def nested(self, group: Group) -> _Nested:
        return _Nested(group)

    all_of, any_of = _of_clauses("all_of"), _of_clauses("any_of")
    none_of, not_all_of = _of_clauses("none_of"), _of_clauses("not_all_of")
    all_deeds, any_deed = _of_deeds("all_of"), _of_deeds("any_of")
    no_deed, not_all_deeds = _of_deeds("none_of"), _of_deeds("not_all_of")

    def single(self, draft: _Draft, window: Window | None = None) -> Deed:
        deed: Deed = _atom(draft, window)
        return deed

    def not_single(self, draft: _Draft, window: Window | None = None) -> Group:
        return _group("none_of", [_atom(draft, window)])

    def never(self, name: Token, window: Window | None) -> Deed:
        return self.single(_Draft(Did, {"did": str(name), "at_most": 0}, _position(name)), window)

    def deeds(self, *drafts: _Draft) -> tuple[_Draft, ...]:
        return drafts

    def goal_deed(self, draft: _Draft, first_time: bool | None, window: Window | None) -> _Draft:
        if first_time and draft.kind is Then:
            raise _InvalidError("`for the first time` is said of one event, not of a sequence", draft.position)
        return replace(draft, fields=draft.fields | ({"first_time": True} if first_time else {}) | (window or {}))

    def happened(self, name: Token, count: dict[str, int] | None) -> _Draft:
        return _Draft(Did, {"did": str(name)} | (count or {}), _position(name))

    def sequence(self, *names: Token) -> _Draft:
        return _Draft(Then, {"then": tuple(map(str, names))}, _position(names[0]))

    def first_time(self) -> bool:
        return True

    def name(self, name: Token) -> Token:
        mark = name[0]
        plain = name[1:-1].replace(mark * 2, mark) if mark in '"`' else str(name)
        return Token.new_borrow_pos("NAME", plain, name)

    # measures and counts

    def measure(self, draft: _Draft, bound: dict[str, Any], window: Window | None) -> Measure:
        measure: Measure = _atom(draft, bound | (window or {}))
        return measure

    def measure_in(self, draft: _Draft, window: Window, bound: dict[str, Any]) -> Measure:
        return self.measure(draft, bound, window)

    sum, avg, count_distinct = _of_field("sum"), _of_field("avg"), _of_field("count_distinct")
    max, min = _of_field("max"), _of_field("min")
    gt, gte, eq = _of_threshold("gt"), _of_threshold("gte"), _of_threshold("eq")
    lt, lte = _of_threshold("lt"), _of_threshold("lte")

    def at_least(self, times: int) -> dict[str, int]:
        return {"at_least": times}

    def at_most(self, times: int) -> dict[str, int]:
        return {"at_most": times}

    def exactly(self, times: int) -> dict[str, int]:
        return {"at_least": times, "at_most": times}

    def between(self, low: Token, high: Token) -> dict[str, int]:
        return {"at_least": _whole(low), "at_most": _whole(high)}

    def once(self) -> int:
        return 1

    def twice(self) -> int:
        return 2

    def often(self, number: Token) -> int:
        return _whole(number)

    # windows

    def lasting(self, days: int) -> Window:
        return {"within_days": days}

    def starting(self, start: Token) -> Window:
        return {"from_days": _whole(start, MAX_WINDOW_DAYS)}

    def unlimited(self) -> Window:
        return {}

    def spanning(self, window: Window) -> Window:
        return window

    def span(self, start: Token, end: Token) -> Window:
        first, last = _whole(start), _whole(end, MAX_WINDOW_DAYS)
        if last <= first:
            raise _InvalidError(f"a window ends after it starts; {last} is not after {first}", _position(start))
        return {"from_days": first, "within_days": last - first}

    def days(self, number: Token) -> int:
        return _whole(number, MAX_WINDOW_DAYS) or self._no_window(number)

    def weeks(self, number: Token) -> int:
        return 7 * _whole(number, MAX_WINDOW_DAYS // 7) or self._no_window(number)

    def _no_window(self, number: Token) -> int:
        raise _InvalidError("a window has at least 1 day", _position(number))


@cache
def _parser() -> Lark:
    """Compiled at the first sentence that is read: writing needs no grammar."""
    return Lark(_GRAMMAR, parser="lalr", lexer="basic", transformer=_Model(), maybe_placeholders=True)


def read_sentence(text: str) -> tuple[Goal, Eligibility | None]:
    """The goal and eligibility that a sentence says.

    Eligibility is None where it says "active in the last 45 days", or nothing before "who will". Case, line breaks
    and the last question mark do not matter.

    Raises:
        SentenceError: with the position (from 1), the text near it, and what was expected there.
    """
    if len(text) > MAX_SENTENCE_LENGTH:
        problem = f"it has {len(text):,} characters; at most {MAX_SENTENCE_LENGTH:,} are read"
        raise _refusal(text, MAX_SENTENCE_LENGTH, problem, "write the goal as an instance document.")
    try:
        return _parser().parse(text)  # type: ignore[return-value]
    except _InvalidError as invalid:
        raise _refusal(text, invalid.position, str(invalid), "docs/goal_language.md has every form.") from None
    except UnexpectedInput as error:
        raise _misread(text, error) from None


# --- refusing -----------------------------------------------------------------------------------------------

_WORD = re.compile(r"[\w.$-]+|\S|")
_EXAMPLE = "Of profiles who did visit at least once in the last 30 days, who will do buy in the next 30 days?"


def _misread(text: str, error: UnexpectedInput) -> SentenceError:
    """What was found, what was expected instead, and the likeliest reason."""
    ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    position = len(text.rstrip()) if ended else error.pos_in_stream or 0
    found = _WORD.match(text, position)
    word = "" if ended or found is None else found.group()
    terminals = error.accepts if isinstance(error, UnexpectedToken) else set()
    expected = sorted({_readable(t) for t in terminals or ()})
    problem = f"{word!r} was not expected" if word else "it ends too early"
    problem += f"; expected {' or '.join(expected)}" if expected else ""
    return _refusal(text, position, problem, _hint(word, expected), expected)


def _refusal(text: str, position: int, problem: str, hint: str, expected: Sequence[str] = ()) -> SentenceError:
    near = text[max(0, position - 20) : position + 20]
    return SentenceError(
        f"The sentence cannot be read at character {position + 1}, near {near!r}: {problem}.",
        hint,
        position=position + 1,
        near=near,
        expected=list(expected),
    )


def _readable(terminal: str) -> str:
    kinds = {"NAME": "a name", "QUOTED": "a name", "NUMBER": "a number", "_SPLIT": "`, who`", "_END": "`?`"}
    signs = {"LPAR": "`(`", "RPAR": "`)`", "COMMA": "`,`", "SEMICOLON": "`;`", "COLON": "`:`", "$END": "the end"}
    return (kinds | signs).get(terminal) or f"`{terminal.strip('_').lower()}`"


def _hint(word: str, expected: Sequence[str]) -> str:
    if "a name" in expected and _RESERVED.fullmatch(word):
        return f'{word!r} is a word of the language; as a name it stands in double quotes: "{word}".'
    if word.lower() in ("and", "or"):
        return "`and` and `or` do not mix: put what belongs together in parentheses, as in a or (b and c)."
    words = {e.strip("`"): e for e in expected if e.startswith("`")}
    if word.lower() == "for":
        return "`for the first time` belongs in the goal; of the time before say `never did` and the event's name."
    near = difflib.get_close_matches(word.lower(), list(words), n=1, cutoff=0.75)
    if near:
        return f"did you mean {words[near[0]]}?"
    if words.keys() >= {"from", "in"}:
        return "the goal's days are missing: in the next 30 days, or from 7 to 28 days ahead."
    for verb in ("will", "did"):
        if verb in words:
            return f"write `{'will do' if verb == 'will' else verb}` and the event's name, or begin with `whose total`."
    return f"a sentence reads like this: {_EXAMPLE}"
