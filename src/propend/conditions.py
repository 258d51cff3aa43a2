"""Conditions on the fields of one event: ``amount >= 100 and category in ('shoes', 'bags')``.

A condition is written as a mapping (``{amount: {gte: 100}}``) or as text; both become the same typed
model and are never pasted into a query.
"""

from __future__ import annotations

import math
import re
import reprlib
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any, Literal

from lark import Lark, Token, Transformer, UnexpectedInput, UnexpectedToken, v_args
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    field_validator,
    model_validator,
)

Operator = Literal[
    "exists", "eq", "ne", "gt", "gte", "lt", "lte", "between", "in", "not_in",
    "starts_with", "ends_with", "contains", "matches",
]  # fmt: skip
OPERATORS: tuple[Operator, ...] = (
    "exists", "eq", "ne", "gt", "gte", "lt", "lte", "between", "in", "not_in",
    "starts_with", "ends_with", "contains", "matches",
)  # fmt: skip
TEXT_ONLY: frozenset[str] = frozenset({"starts_with", "ends_with", "contains", "matches"})
ORDERED: frozenset[str] = frozenset({"gt", "gte", "lt", "lte", "between"})
LISTS: frozenset[str] = frozenset({"in", "not_in"})
OPERATOR_SAYS: dict[str, str] = {
    "exists": "it has a value; with `false`: it has none",
    "eq": "it equals the value",
    "ne": "it has a value, and another one",
    "gt": "it is more",
    "gte": "it is as much or more",
    "lt": "it is less",
    "lte": "it is as much or less",
    "between": "it lies between two values, both included",
    "in": "it is one of the values",
    "not_in": "it has a value, and none of these",
    "starts_with": "it begins with the text",
    "ends_with": "it ends with the text",
    "contains": "it has the text somewhere",
    "matches": "it has a part that fits the pattern (a regular expression without look-around and back-references)",
}
"""Of each operator, when a condition holds of a field."""
SYMBOLS = {">=": "gte", "<=": "lte", "!=": "ne", "<>": "ne", "==": "eq", "=": "eq", ">": "gt", "<": "lt"}

MAX_PATTERN_LENGTH = 500
MAX_LIST_LENGTH = 10_000
MAX_TEXT_LENGTH = 10_000
MAX_CONDITIONS_LENGTH = 200_000
"""Characters of conditions written as text: room for a list of many values."""
MAX_NUMBER = 1e300

Text = Annotated[str, Field(max_length=MAX_TEXT_LENGTH)]
Scalar = StrictBool | StrictInt | StrictFloat | Text


class Condition(BaseModel):
    """Field, operator, value.

    Attributes:
        field: column of the event, or a dotted path into a nested one.
        operator: one of ``OPERATORS``.
        value: a scalar; a pair for ``between``; a tuple for ``in`` and ``not_in``; True or False for
            ``exists``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: Annotated[str, Field(min_length=1, max_length=500)]
    operator: Operator
    value: Scalar | tuple[Scalar, ...]

    @field_validator("value", mode="before")
    @classmethod
    def _one_kind_of_complaint(cls, value: Any) -> Any:
        many = value if isinstance(value, list | tuple) else (value,)
        problem = next(filter(None, map(_unusable, many)), "")
        if problem:
            raise ValueError(problem)
        return tuple(map(_shortest, many)) if many is value else _shortest(value)

    @model_validator(mode="after")
    def _value_fits_operator(self) -> Condition:
        problem = _misfit(self.operator, self.value)
        if problem:
            raise ValueError(problem)
        return self

    @property
    def plain_value(self) -> Any:
        return list(self.value) if isinstance(self.value, tuple) else self.value


def _unusable(value: Any) -> str:
    """Why a value cannot be compared with anything, or an empty text."""
    if not isinstance(value, bool | int | float | str):
        return f"a number, a text, true or false is needed, not {reprlib.repr(value)}"
    if isinstance(value, str) and len(value) > MAX_TEXT_LENGTH:
        return f"a text has at most {MAX_TEXT_LENGTH:,} characters, not {len(value):,}"
    if isinstance(value, float) and math.isnan(value):
        return "a number is needed, not NaN"
    if isinstance(value, float) and math.isinf(value):
        return f"a finite number is needed, not {value}"
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        return "a number of more than 300 digits compares with nothing"
    return ""


def _shortest(value: Any) -> Any:
    """Whole numbers as integers, so that 5 and 5.0 are one condition."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def _misfit(operator: str, value: Any) -> str:
    if operator in LISTS or operator == "between":
        return _misfit_of_many(operator, value)
    if isinstance(value, tuple):
        return f"{operator} needs one value, not a list"
    if operator == "exists" and not isinstance(value, bool):
        return f"exists needs true or false, not {value!r:.80}"
    if operator in TEXT_ONLY and not isinstance(value, str):
        return f"{operator} needs a text, not {value!r}"
    if operator in ORDERED and isinstance(value, bool):
        return f"{operator} needs a number or a text, not {value!r}"
    return _bad_pattern(value) if operator == "matches" else ""


def _misfit_of_many(operator: str, value: Any) -> str:
    if not isinstance(value, tuple):
        return f"{operator} needs a list, not {value!r:.80}"
    if operator == "between":
        return _misfit_of_pair(value)
    if not value or len(value) > MAX_LIST_LENGTH:
        return f"{operator} needs 1 to {MAX_LIST_LENGTH:,} values, not {len(value):,}"
    return ""


def _misfit_of_pair(values: tuple[Any, ...]) -> str:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if len(values) != 2 or not (numbers or all(isinstance(v, str) for v in values)):
        return f"between needs two numbers or two texts, not {reprlib.repr(list(values))}"
    low, high = values
    return "" if low <= high else f"between needs the lower value first, not {low!r:.80} before {high!r:.80}"


_PATTERN_TOKEN = re.compile(
    r"\\(?P<escaped>.)|\[\^?\]?(?P<set>(?:\\.|[^\]\\])*)\]|\((?P<group>\?(?::|P<|[ims]+[:)])|(?!\?))|(?P<end>\))"
    r"|(?P<odd>\(\?..?|[*+?]\+|\{\d+(?:,\d*)?\}\+|\{,)|\{(?P<low>\d+)(?:,(?P<high>\d*))?\}",
    re.DOTALL,
)
_ESCAPES = frozenset("abBdDsSwWfnrtvAx")
_SET_ESCAPES = frozenset("adDsSwWfnrtvx")
MAX_REPEAT = 1000


def _bad_pattern(pattern: str) -> str:
    """Why a regular expression is refused: too long, not valid, or with constructs that not every engine has.

    Engines search with RE2's syntax; what this accepts means the same there.
    """
    if len(pattern) > MAX_PATTERN_LENGTH:
        return f"a pattern has at most {MAX_PATTERN_LENGTH} characters, not {len(pattern)}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern)
    except (re.error, FutureWarning, RecursionError, OverflowError) as error:
        return f"the pattern is not valid: {error}"
    odd = _odd_construct(pattern)
    if odd:
        return f"a pattern has no look-around, back-references or other constructs that engines lack: {odd!r}"
    return "" if _repeats(pattern) <= MAX_REPEAT else f"a pattern repeats a part at most {MAX_REPEAT:,} times"


def _odd_construct(pattern: str) -> str:
    for found in _PATTERN_TOKEN.finditer(pattern):
        inside = found["set"] or ""
        odd = [e for e in re.findall(r"\\(.)", inside, re.DOTALL) if not _is_common(e, _SET_ESCAPES)]
        odd += [found["escaped"]] if found["escaped"] and not _is_common(found["escaped"], _ESCAPES) else []
        if odd or found["odd"] or "[:" in inside:
            return f"\\{odd[0]}" if odd else found.group()
    return ""


def _is_common(escaped: str, letters: frozenset[str]) -> bool:
    return escaped in letters or (escaped.isascii() and not escaped.isalnum() and escaped != "_")


def _repeats(pattern: str) -> int:
    """How often the most repeated part is repeated by counts, those of the groups around it multiplied."""
    around, last = [1], 1
    for found in _PATTERN_TOKEN.finditer(pattern):
        if found["low"]:
            last *= max(int(found["low"]), int(found["high"] or 0))
            around[-1] = max(around[-1], last)
        elif found["end"] and len(around) > 1:
            last = around.pop()
            around[-1] = max(around[-1], last)
        else:
            last = 1
            around += [1] if found["group"] is not None and not found["group"].endswith(")") else []
    return max(around)


# --- reading ------------------------------------------------------------------------------------------------


def read_where(value: Any) -> Any:
    """Conditions from a mapping, a text, a list of either, or conditions as they are."""
    if value is None:
        return ()
    if isinstance(value, Condition):
        return (value,)
    if isinstance(value, str):
        return parse_conditions(value)
    if isinstance(value, dict):
        if is_spelled_out(value):
            return (value,)
        return tuple(c for field, tests in value.items() for c in _of_field(str(field), tests))
    if isinstance(value, list | tuple):
        return tuple(c for v in value for c in read_where(v))
    raise ValueError(f"conditions are a mapping or a text, not {reprlib.repr(value)}")


def is_spelled_out(where: dict[Any, Any]) -> bool:
    """Whether a mapping is one condition as ``{field, operator, value}``, not fields with their tests."""
    return set(where) == {"field", "operator", "value"} and where["operator"] in OPERATORS


def _of_field(field: str, tests: Any) -> list[Any]:
    if not isinstance(tests, dict):
        return [{"field": field, "operator": "in" if isinstance(tests, list) else "eq", "value": _frozen(tests)}]
    if not tests:
        raise ValueError(f"{field}: an operator is needed, one of {', '.join(OPERATORS)}")
    return [_of_operator(field, str(operator), value) for operator, value in tests.items()]


def _of_operator(field: str, operator: str, value: Any) -> dict[str, Any]:
    name = re.sub(r"[\s_]+", "_", operator.strip().lower())
    if name == "not_exists":
        if not isinstance(value, bool):
            raise ValueError(f"{field}: not exists needs true or false, not {reprlib.repr(value)}")
        return {"field": field, "operator": "exists", "value": not value}
    return {"field": field, "operator": SYMBOLS.get(name, name), "value": _frozen(value)}


def _frozen(value: Any) -> Any:
    if hasattr(value, "isoformat"):  # YAML reads 2024-01-01 as a date
        return value.isoformat()
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


_GRAMMAR = r"""
    start: condition (_AND condition)*
    rule: either
    ?either: each (_OR each)*
    ?each: part (_AND part)*
    ?part: condition | "(" either ")" | _NEGATION "(" either ")" -> negated
    condition: field SYMBOL scalar                    -> compared
        | field _IS scalar                            -> same
        | field _IS _NOT scalar                       -> other
        | field _BETWEEN scalar _AND scalar           -> between
        | field _IN _values                           -> one_of
        | field _NOT _IN _values                      -> none_of
        | field _EXISTS                               -> present
        | field _NOT _EXISTS                          -> missing
        | field WORDED (TEXT | QUOTED)                -> worded
    _values: "(" scalar ("," scalar)* ")"
    field: NAME | QUOTED
    scalar: NUMBER -> number | (TEXT | QUOTED) -> text | _TRUE -> true | _FALSE -> false
    SYMBOL: ">=" | "<=" | "!=" | "<>" | "==" | "=" | ">" | "<"
    WORDED.3: /(starts[\s_]+with|ends[\s_]+with|contains|matches)\b/i
    _AND.3: /and\b/i
    _OR.3: /or\b/i
    _BETWEEN.3: /between\b/i
    _IN.3: /in\b/i
    _IS.3: /is\b/i
    _NOT.3: /not\b/i
    _NEGATION.3: /not(?=\s*\()/i
    _EXISTS.3: /exists\b/i
    _TRUE.3: /true\b/i
    _FALSE.3: /false\b/i
    NAME: /[^\W\d][\w.:$-]*/
    QUOTED: /"(?:[^"]|"")+"/
    TEXT: /'(?:[^']|'')*'/
    NUMBER: /[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?/i
    %ignore /\s+/
"""


@v_args(inline=True)
class _Conditions(Transformer):  # type: ignore[type-arg]
    """Conditions as plain data; the model checks that value and operator fit."""

    def start(self, *conditions: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        return conditions

    def rule(self, whole: Any) -> Any:
        return whole

    def either(self, *parts: Any) -> tuple[str, tuple[Any, ...]]:
        return "or", parts

    def each(self, *parts: Any) -> tuple[str, tuple[Any, ...]]:
        return "and", parts

    def negated(self, part: Any) -> tuple[str, tuple[Any, ...]]:
        return "not", (part,)

    def compared(self, field: str, symbol: Token, value: Any) -> dict[str, Any]:
        return {"field": field, "operator": SYMBOLS[symbol], "value": value}

    def same(self, field: str, value: Any) -> dict[str, Any]:
        return {"field": field, "operator": "eq", "value": value}

    def other(self, field: str, value: Any) -> dict[str, Any]:
        return {"field": field, "operator": "ne", "value": value}

    def between(self, field: str, low: Any, high: Any) -> dict[str, Any]:
        return {"field": field, "operator": "between", "value": (low, high)}

    def one_of(self, field: str, *values: Any) -> dict[str, Any]:
        return {"field": field, "operator": "in", "value": values}

    def none_of(self, field: str, *values: Any) -> dict[str, Any]:
        return {"field": field, "operator": "not_in", "value": values}

    def missing(self, field: str) -> dict[str, Any]:
        return {"field": field, "operator": "exists", "value": False}

    def present(self, field: str) -> dict[str, Any]:
        return {"field": field, "operator": "exists", "value": True}

    def worded(self, field: str, operator: Token, text: Token) -> dict[str, Any]:
        return {"field": field, "operator": re.sub(r"[\s_]+", "_", operator.lower()), "value": _unquoted(text)}

    def field(self, name: Token) -> str:
        return _unquoted(name) if name.type == "QUOTED" else str(name)

    def number(self, text: Token) -> int | float:
        return int(text) if re.fullmatch(r"[+-]?\d{1,300}", text) else float(text)

    def text(self, text: Token) -> str:
        return _unquoted(text)

    def true(self) -> bool:
        return True

    def false(self) -> bool:
        return False


def _unquoted(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])


@cache
def _parser(start: str) -> Lark:
    return Lark(_GRAMMAR, parser="lalr", transformer=_Conditions(), start=start)


def parse_conditions(text: str) -> tuple[dict[str, Any], ...]:
    """Conditions written as text, joined by ``and``.

    Raises:
        ValueError: the text cannot be read, with the place and what is allowed.
    """
    return tuple(_parsed(text, "start", _hint))


def parse_rule(text: str) -> Any:
    """Conditions written as text, joined by ``and``, ``or`` and ``not (...)``, with brackets; ``and`` binds closer.

    Returns:
        A condition as plain data, or one of ``and``, ``or`` and ``not`` with a tuple of such parts.

    Raises:
        ValueError: the text cannot be read, with the place and what is allowed.
    """
    return _parsed(text, "rule", _rule_hint)


def _parsed(text: str, start: str, hint: Callable[[str, int, UnexpectedInput], str]) -> Any:
    if len(text) > MAX_CONDITIONS_LENGTH:
        raise ValueError(f"a condition text has at most {MAX_CONDITIONS_LENGTH:,} characters, not {len(text):,}")
    try:
        return _parser(start).parse(text)
    except UnexpectedInput as error:
        ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        position = len(text.rstrip()) if ended else error.pos_in_stream or 0
        near = text[max(0, position - 15) : position + 15]
        where = f"at character {position + 1}, near '{near}'"
        raise ValueError(f"the condition cannot be read {where}; {hint(text, position, error)}") from None


_WRITTEN = {code: symbol for symbol, code in reversed(SYMBOLS.items()) if symbol not in ("<>", "==")}


def condition_text(condition: Condition) -> str:
    """A condition as ``parse_conditions`` reads it."""
    name, value = condition.field, condition.value
    plain = re.fullmatch(r"(?P<first>[^\W\d]\w*)[\w.:$-]*", name)
    field = name if plain and plain["first"].lower() not in _WORDS else _quoted(name, '"')
    if condition.operator == "exists":
        return f"{field} exists" if value else f"{field} not exists"
    if isinstance(value, tuple):
        written = [_value_text(v) for v in value]
        if condition.operator == "between":
            return f"{field} between {written[0]} and {written[1]}"
        return f"{field} {'in' if condition.operator == 'in' else 'not in'} ({', '.join(written)})"
    symbol = _WRITTEN.get(condition.operator, condition.operator.replace("_", " "))
    return f"{field} {symbol} {_value_text(value)}"


_WORDS = frozenset({
    "and", "or", "between", "in", "is", "not", "exists", "true", "false", "contains", "matches", "starts_with",
    "ends_with",
})  # fmt: skip
"""Fields that begin so are quoted, for the words mean something else."""


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quoted(value, "'") if isinstance(value, str) else repr(value)


def _quoted(text: str, quote: str) -> str:
    return quote + text.replace(quote, quote * 2) + quote


_HINTS = (
    (r"or\b", "there is no `or` here: use `in (...)`, or a second named event under any_of"),
    (r"null\b", "a field without value is written: category not exists"),
    (r"like\b", "a part of a text is written: starts with 'a', ends with 'a', contains 'a', or matches '^a'"),
    (r"\(", "parentheses only hold the values of `in`; every condition joined by `and` holds on the same event"),
    (r"not\b", "`not` stands after the field: category not in ('a', 'b')"),
    (r"'[^']*$|\"[^\"]*$", "a text ends with the quote that it begins with"),
    (r"[^\W\d]", "texts stand in quotes: category = 'shoes'"),
)


_RULE_HINTS = tuple(hint for hint in _HINTS if hint[0] not in (r"or\b", r"\(", r"not\b"))


def _hint(text: str, position: int, _error: UnexpectedInput) -> str:
    return _hint_among(_HINTS, text[position:])


def _rule_hint(text: str, position: int, error: UnexpectedInput) -> str:
    rest, awaited = text[position:], getattr(error, "expected", ())
    if re.match(r"not\b", rest, re.IGNORECASE) or re.search(r"\bnot\s*$", text[:position], re.IGNORECASE):
        return "`not` stands after the field, or before brackets: not (bucket = 'low' or score < 10)"
    if not rest.strip() and "RPAR" in awaited:
        return "a bracket that opens is closed"
    if rest.startswith(")") and not text[:position].rstrip().endswith("("):
        return "a bracket that closes was opened before"
    return _hint_among(_RULE_HINTS, rest)


def _hint_among(hints: Sequence[tuple[str, str]], rest: str) -> str:
    for pattern, hint in hints:
        if re.match(pattern, rest, re.IGNORECASE):
            return hint
    return "write field, operator, value: amount >= 100 and category in ('a', 'b')"
