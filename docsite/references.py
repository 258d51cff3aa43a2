"""``python -m docsite.references`` writes ``docs/reference/``: every page from the code alone, so that none can age.

What a page says is said in the code: docstrings, help texts, and the tables beside what they speak of. A test fails
where a page is not what this would write, or where something has no words.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from typer.main import get_command

from docsite.code import PACKAGE, Route, comments_of_members, errors, fields_said, hints, routes, said, said_first
from propend import cli
from propend.cli.examples import EXAMPLES
from propend.conditions import OPERATOR_SAYS, OPERATORS, ORDERED, SYMBOLS, TEXT_ONLY
from propend.drawing import CHARTS
from propend.errors import ConfigurationError
from propend.goal import AGGREGATE_SAYS, COMBINATOR_SAYS, Did, Goal, Group, Measure, Then
from propend.instance import Instance, Options
from propend.model import checks, leaks
from propend.phrasing import words_of
from propend.sentence import write_sentence
from propend.server.failures import status_of
from propend.snapshots.plan import FAMILIES, WINDOW_OPS, Channel, Op, PlanInput, Vocabulary
from propend.workspace.settings import Settings, in_force

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
WRITTEN = "*Written from the code by `make references`; change the code, not this page.*"


def pages() -> dict[str, str]:
    """Every page by its file's name."""
    return {f"{name}.md": make() for name, make in MAKERS.items()}


def _page(title: str, about: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", about, WRITTEN, *parts]) + "\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") or "–" for cell in line) + " |" for line in lines)


def _code(text: object) -> str:
    return f"`{text}`"


# --- commands -----------------------------------------------------------------------------------------------


def all_commands() -> dict[str, Any]:
    """Every command by name, those of a group as ``user add``."""
    found: dict[str, Any] = {}
    for name, command in get_command(cli.app).commands.items():  # type: ignore[attr-defined]
        under = getattr(command, "commands", None)
        found |= {name: command} if under is None else {f"{name} {n}": c for n, c in under.items()}
    return found


def commands() -> str:
    """Every command with its arguments and options."""
    parts = []
    for name, command in all_commands().items():
        rows = [(_named(p), _line(getattr(p, "help", "")), _default(p)) for p in command.params if p.name != "help"]
        parts += [f"## propend {name}", _line(command.help)]
        parts += [_table(("argument or option", "says", "default"), rows)] if rows else []
        parts.append("\n".join(["```console", *(f"# {wanted}\n{line}" for wanted, line in EXAMPLES[name]), "```"]))
    about = (
        "Every command with its arguments, options and examples, as `--help` tells them. What commands leave, what "
        "`--json` prints and how they exit: [command line](../command_line.md)."
    )
    return _page("Commands", about, *parts)


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


def _named(param: Any) -> str:
    if param.param_type_name == "argument":
        return _code(param.name.upper() + ("..." if param.nargs == -1 else ""))
    return ", ".join(_code(name) for name in (*param.opts, *param.secondary_opts))


def _default(param: Any) -> str:
    if param.required:
        return "must be given"
    return "" if param.default in (None, False, ()) or callable(param.default) else _code(param.default)


# --- routes -------------------------------------------------------------------------------------------------------


def rest() -> str:
    """Every route, and what each takes."""
    by_tag: dict[str, list[Route]] = {}
    for route in routes():
        by_tag.setdefault(route.tag, []).append(route)
    parts = []
    for tag, found in by_tag.items():
        rows = [(_code(f"{r.method} {r.path}"), r.role, r.does) for r in found]
        parts += [f"## {tag.capitalize()}", _table(("route", "role", "does"), rows)]
        taken = [
            (_code(f"{r.method} {r.path}"), _code(name), place, words)
            for r in found
            for name, place, words in r.takes
            if place != "path"
        ]
        parts += [_table(("route", "takes", "in", "says"), taken)] if taken else []
    about = (
        "Every route of `propend serve`, who may use it, and what it takes. What holds for all of them: "
        "[REST](../rest.md). `/openapi.json` has the shapes of all answers."
    )
    return _page("Routes", about, *parts)


# --- the goal language --------------------------------------------------------------------------------------------

ATOMS: tuple[tuple[str, type, tuple[dict[str, Any], ...]], ...] = (
    ("An event, so many times", Did, (
        {"goal": {"did": "buy", "within": "30d"}},
        {"goal": {"did": "buy", "at_least": 3, "within": "30d"}},
        {"goal": {"did": "buy", "within": "30d"}, "eligible": {"did": "complaint", "at_most": 0, "within": "90d"}},
        {"goal": {"did": "subscribe", "first_time": True, "from": "7d", "within": "21d"}},
    )),
    ("A measure of one field", Measure, tuple(
        {"goal": {aggregate: field, bound: threshold, "within": "30d"}}
        for aggregate, field, bound, threshold in (
            ("sum", "buy.amount", "gte", 100), ("avg", "buy.amount", "gt", 49.5), ("max", "buy.amount", "gt", 500),
            ("min", "buy.amount", "lt", 10), ("count_distinct", "buy.category", "gte", 3),
        )
    )),
    ("A sequence", Then, ({"goal": {"then": ["add_to_cart", "buy"], "within": "14d"}},)),
)  # fmt: skip


def goal_atoms() -> str:
    """Every atom and combinator, with the sentence that it becomes."""
    parts = []
    for title, kind, examples in ATOMS:
        keys = ", ".join(map(_code, kind.document_keys()))
        parts += [f"## {title}", said(kind), f"Keys: {keys}.", _examples(examples)]
        if kind is Measure:
            parts.append(_table(("measure", "is"), [(_code(n), words) for n, words in AGGREGATE_SAYS.items()]))
    groups = tuple({"goal": {name: ["buy", "visit"], "within": "30d"}} for name in COMBINATOR_SAYS)
    holds = _table(("combinator", "holds if"), [(_code(n), words) for n, words in COMBINATOR_SAYS.items()])
    parts += ["## Combinators", said(Group), holds, _examples(groups), "## The outcome window", said(Goal)]
    about = "What a goal and an eligibility are made of. How they are used: [the goal language](../goal_language.md)."
    return _page("Goal atoms", about, *parts)


def _examples(documents: Iterable[dict[str, Any]]) -> str:
    rows = []
    for document in documents:
        instance = Instance.load({"name": "x", **document})
        shown = ", ".join(f"{key}: {_flow(value)}" for key, value in document.items())
        rows.append((_code(shown), write_sentence(instance.goal, instance.eligible)))
    return _table(("document", "sentence"), rows)


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def operators() -> str:
    """Every operator of conditions."""
    signs: dict[str, list[str]] = {}
    for sign, name in SYMBOLS.items():
        signs.setdefault(name, []).append(_code(sign))
    rows = [
        (_code(name.replace("_", " ")), ", ".join(signs.get(name, [])), _fits(name), OPERATOR_SAYS[name])
        for name in OPERATORS
    ]
    about = (
        "A condition is a field, an operator and a value. It holds on one event. How it is written, as a mapping or as "
        "text: [the goal language](../goal_language.md#operators)."
    )
    return _page("Operators", about, _table(("operator", "sign", "fits", "holds of a field if"), rows))


def _fits(operator: str) -> str:
    if operator in TEXT_ONLY:
        return "texts"
    return "numbers, texts, times" if operator in ORDERED else "every field"


# --- features -------------------------------------------------------------------------------------------------------

SHOP = PlanInput(
    channels=(
        Channel("any", "", "", "any", "event", "events"),
        Channel("bit", "buy", "", "buy", "buy", "buys", valued=True),
    ),
    windows=(7, 30, 90, 400),
    value_name="amount",
    numbers=("discount",),
    texts=(Vocabulary("category", ("shoes", "bags"), ("bags", "hats", "shoes")),),
    attribute_numbers=("age",),
    attribute_texts=(Vocabulary("country", ("DE", "PT")),),
    outcome_days=(0, 30),
)
"""A shop's data: all events, one named event with amounts, a field of texts, one of numbers, attributes."""
SHOWN = 4


def features() -> str:
    """Every family with some of its features, and every aggregate."""
    parts = []
    for name, make in FAMILIES.items():
        made = list(make(SHOP))
        shown = [f for f in made if f.channel] or made
        rows = [(_code(f.name), f.sentence, f.factor.label) for f in shown[:SHOWN]]
        parts += [f"## {name}", said(make), _table(("such as", "says", "factor"), rows)]
    rows = [
        (_code(op.name.lower()), "any" if op in WINDOW_OPS else "the whole look-back", comments_of_members(Op)[op.name])
        for op in Op
    ]
    parts += ["## Aggregates", "What the kernel computes; each feature is one of these over one stream of events."]
    about = (
        "Families of features, each with some that it makes for a shop's data. Why they see nothing from the cutoff "
        "on: [how it works](../how_it_works.md#features-in-one-pass)."
    )
    return _page("Features", about, *parts, _table(("aggregate", "window", "of"), rows))


# --- checks and errors ----------------------------------------------------------------------------------------------


def all_gates() -> dict[str, Callable[..., Any]]:
    """Every function that refuses a run for what its data or model are, by name."""
    found: dict[str, Callable[..., Any]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if "def gate_" in path.read_text(encoding="utf-8"):
            module = importlib.import_module("propend." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts))
            found |= {n: f for n, f in inspect.getmembers(module, inspect.isfunction) if n.startswith("gate_")}
    return found


def all_checks() -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """Every notice (symbol to code and words), and every kind of leak (to its words)."""
    return checks.NOTICES, leaks.KINDS


def checks_page() -> str:
    """What refuses, what is suspected, what warns."""
    notices, kinds = all_checks()
    gates = [(_code(name), said_first(gate)) for name, gate in sorted(all_gates().items())]
    warns = [(code.removeprefix("PROPEND-"), _code(symbol), words) for symbol, (code, words) in notices.items()]
    about = "What a run looks at before anybody relies on it. What each refusal says: [errors](errors.md)."
    return _page(
        "Checks", about,
        "## Gates", "A gate stops the run with an error.", _table(("gate", "refuses"), gates),
        "## What knows too much",
        "Thresholds, and how often each is right: [how it works](../how_it_works.md#what-knows-too-much).",
        _table(("kind", "suspected if"), [(_code(kind), words) for kind, words in kinds.items()]),
        "## Notices", "A notice does not stop the run. It stands in `run.json` and on the report's first page.",
        _table(("code", "symbol", "when"), sorted(warns)),
    )  # fmt: skip


def errors_page() -> str:
    """Every code."""
    advised = hints()
    parts = []
    for kind in errors():
        error = ConfigurationError([]) if kind is ConfigurationError else kind("x")
        facts = f"`{kind.symbol}` · stage `{kind.stage}` · exit status {kind.exit_status} · HTTP {status_of(error)}"
        parts += [f"## {error.code}", facts, said(kind)]
        found = advised.get(kind.__name__, ())
        parts += ["What to do, by what was found:\n\n" + "\n".join(f"- {hint}" for hint in found)] if found else []
    about = (
        "Every refusal: its code, when it comes, and what it advises. A refusal says the facts with their numbers and "
        "what to do; nothing is written. Exit statuses: 2 configuration, 3 data not sufficient, 4 model not good, "
        "1 anything else."
    )
    return _page("Errors", about, *parts)


# --- charts and settings --------------------------------------------------------------------------------------------


def all_charts() -> dict[str, Any]:
    """Every picture by name, from whichever modules draw."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if "\n@chart(" in path.read_text(encoding="utf-8"):
            importlib.import_module("propend." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts))
    return dict(sorted(CHARTS.items()))


def charts() -> str:
    """Every picture: its title, how to read it, its table."""
    parts, words = [], words_of("any")
    for name, chart in all_charts().items():
        columns = ", ".join(_code(column.field) for column in chart.columns)
        parts += [f"## {name}", f"**{chart.titled(words)}.** {chart.read(words)}", f"Columns of its table: {columns}."]
    about = (
        "Every picture of reports and pages. Each is also a table, for those who cannot see it and for spreadsheets."
    )
    return _page("Charts", about, *parts)


def settings() -> str:
    """Every setting of a workspace, and every option of an instance."""
    found = [(_code(s.key), s.value.replace("`", ""), s.says) for s in in_force(Settings())]
    options = [(_code(name), words.rstrip(".")) for name, words in fields_said(Options).items()]
    about = "What can be set, with its default where it has one."
    return _page(
        "Settings", about,
        "## propend.toml", "Of a [workspace](../workspace.md#settings).", _table(("key", "default", "says"), found),
        "## options", "Of an instance; with their defaults: [instance document](../instance.md#options).",
        _table(("option", "says"), options),
    )  # fmt: skip


MAKERS: dict[str, Callable[[], str]] = {
    "commands": commands, "rest": rest, "goal_atoms": goal_atoms, "operators": operators, "features": features,
    "checks": checks_page, "charts": charts, "errors": errors_page, "settings": settings,
}  # fmt: skip


def main() -> int:
    """Write every page; the exit status."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
