"""Conditions on the fields of one event: ``amount >= 100 and category in ('shoes', 'bags')``.

A condition is written as a mapping (``{amount: {gte: 100}}``) or as text; both become the same typed
model and are never pasted into a query.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from lark import Lark, Transformer, UnexpectedInput, v_args
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, model_validator

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

MAX_PATTERN_LENGTH = 500
MAX_LIST_LENGTH = 10_000

Text = Annotated[str, Field(max_length=10_000)]
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

    @model_validator(mode="after")
    def _value_fits_operator(self) -> Condition:
        problem = _misfit(self.operator, self.value)
        if problem:
            raise ValueError(problem)
        return self

    @property
    def plain_value(self) -> Any:
        return list(self.value) if isinstance(self.value, tuple) else self.value


def _misfit(operator: str, value: Any) -> str:
    if isinstance(value, float) and math.isnan(value):
        return f"{operator} needs a number, not NaN"
    if operator in LISTS or operator == "between":
        return _misfit_of_many(operator, value)
    if isinstance(value, tuple):
        return f"{operator} needs one value, not a list"
    if operator == "exists" and not isinstance(value, bool):
        return f"exists needs true or false, not {value!r}"
    if operator in TEXT_ONLY and not isinstance(value, str):
        return f"{operator} needs a text, not {value!r}"
    if operator in ORDERED and isinstance(value, bool):
        return f"{operator} needs a number or a text, not {value!r}"
    return _bad_pattern(value) if operator == "matches" else ""


def _misfit_of_many(operator: str, value: Any) -> str:
    if not isinstance(value, tuple):
        return f"{operator} needs a list, not {value!r}"
    if operator == "between" and (len(value) != 2 or not _orderable(value)):
        return f"between needs two ordered values of one type, not {list(value)!r}"
    if not value or len(value) > MAX_LIST_LENGTH:
        return f"{operator} needs 1 to {MAX_LIST_LENGTH} values, not {len(value)}"
    return ""


def _orderable(pair: tuple[Any, ...]) -> bool:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in pair)
    texts = all(isinstance(v, str) for v in pair)
    return (numbers or texts) and pair[0] <= pair[1]


def _bad_pattern(pattern: Any) -> str:
    """Why a regular expression is refused: too long, not valid, or with constructs engines differ in."""
    if len(pattern) > MAX_PATTERN_LENGTH:
        return f"a pattern has at most {MAX_PATTERN_LENGTH} characters, not {len(pattern)}"
    if re.search(r"\(\?[=!<]|\\[1-9]", pattern):
        return "a pattern has no look-around and no back-references"
    try:
        re.compile(pattern)
    except re.error as error:
        return f"the pattern is not valid: {error}"
    return ""


def read_where(value: Any) -> Any:
    """Conditions from a mapping, a text, a list of either, or conditions as they are."""
    if value is None:
        return ()
    if isinstance(value, str):
        return parse_conditions(value)
    if isinstance(value, dict):
        return tuple(c for field, tests in value.items() for c in _of_field(str(field), tests))
    if isinstance(value, list | tuple):
        if all(isinstance(v, Condition) for v in value):
            return tuple(value)
        return tuple(c for v in value for c in read_where(v))
    raise ValueError(f"conditions are a mapping or a text, not {value!r}")


def _of_field(field: str, tests: Any) -> list[Any]:
    if not isinstance(tests, dict):
        return [{"field": field, "operator": "in" if isinstance(tests, list) else "eq", "value": _frozen(tests)}]
    if not tests:
        raise ValueError(f"{field}: an operator is needed, one of {', '.join(OPERATORS)}")
    out = []
    for operator, value in tests.items():
        name = str(operator).strip().replace(" ", "_")
        if name == "not_exists":
            name, value = "exists", not value  # noqa: PLW2901
        out.append({"field": field, "operator": name, "value": _frozen(value)})
    return out


def _frozen(value: Any) -> Any:
    if hasattr(value, "isoformat"):  # YAML reads 2024-01-01 as a date
        return value.isoformat()
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


_GRAMMAR = r"""
    start: condition (_AND condition)*
    condition: field SYMBOL scalar                      -> compared
        | field _BETWEEN scalar _AND scalar             -> between
        | field _IN "(" scalar ("," scalar)* ")"        -> one_of
        | field _NOT _IN "(" scalar ("," scalar)* ")"   -> none_of
        | field _NOT _EXISTS                            -> missing
        | field _EXISTS                                 -> present
        | field WORD_OPERATOR STRING                    -> worded
    field: NAME | QUOTED_NAME
    scalar: SIGNED_NUMBER -> number | STRING -> text | TRUE -> true | FALSE -> false
    SYMBOL: ">=" | "<=" | "!=" | "<>" | "==" | "=" | ">" | "<"
    WORD_OPERATOR.3: /starts[ _]+with|ends[ _]+with|contains|matches/i
    _AND.3: /and\b/i
    _BETWEEN.3: /between\b/i
    _IN.3: /in\b/i
    _NOT.3: /not\b/i
    _EXISTS.3: /exists\b/i
    TRUE.3: /true\b/i
    FALSE.3: /false\b/i
    NAME: /[^\W\d][\w.:$-]*/
    QUOTED_NAME: /"(?:[^"]|"")+"/
    STRING: /'(?:[^']|'')*'/
    SIGNED_NUMBER: /[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?/
    %ignore /\s+/
"""
_SYMBOLS = {">=": "gte", "<=": "lte", "!=": "ne", "<>": "ne", "==": "eq", "=": "eq", ">": "gt", "<": "lt"}


@v_args(inline=True)
class _Conditions(Transformer):  # type: ignore[type-arg]
    def start(self, *conditions: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        return conditions

    def compared(self, field: str, symbol: str, value: Any) -> dict[str, Any]:
        return {"field": field, "operator": _SYMBOLS[str(symbol)], "value": value}

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

    def worded(self, field: str, operator: str, text: str) -> dict[str, Any]:
        name = re.sub(r"[ _]+", "_", str(operator).lower())
        return {"field": field, "operator": name, "value": self.text(text)}

    def field(self, name: str) -> str:
        return str(name)[1:-1].replace('""', '"') if name.startswith('"') else str(name)

    def number(self, text: str) -> int | float:
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)

    def text(self, text: str) -> str:
        return str(text)[1:-1].replace("''", "'")

    def true(self, _: str) -> bool:
        return True

    def false(self, _: str) -> bool:
        return False


_PARSER = Lark(_GRAMMAR, parser="earley", lexer="dynamic", ambiguity="resolve")


def parse_conditions(text: str) -> tuple[dict[str, Any], ...]:
    """Conditions written as text, joined by ``and``.

    Raises:
        ValueError: the text cannot be read, with the place and what is allowed.
    """
    if len(text) > MAX_LIST_LENGTH:
        raise ValueError(f"a condition text has at most {MAX_LIST_LENGTH} characters, not {len(text)}")
    try:
        return tuple(_Conditions().transform(_PARSER.parse(text)))
    except UnexpectedInput as error:
        shown = text[max(0, error.pos_in_stream - 15) : error.pos_in_stream + 15] if error.pos_in_stream else text
        hint = "use `in (...)` or a second named event under any_of" if re.search(r"\bor\b", text, re.I) else ""
        hint = hint or "write field, operator, value: amount >= 100 and category in ('a', 'b')"
        raise ValueError(f"the condition cannot be read near {shown!r}; {hint}") from None
