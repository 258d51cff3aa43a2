"""The shape of the package: layers, rooms of libraries, sizes, names, and what an import costs.

A rule that does not fit is changed here, in the open; there are no exceptions by comment.
"""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import propend

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "propend"

LAYERS = (
    ("errors", "version", "wall_clock", "language", "demo", "kernel_cache", "compiling", "writing"),
    ("diagnosis",),
    ("conditions", "timeline", "phrasing", "retelling", "notebook"),
    ("drawing",),
    ("charts", "curves", "profile_charts"),
    ("goal",),
    ("document", "predicates", "sentence", "protection", "persons"),
    ("instance", "events", "narrative", "question"),
    ("binding", "columns", "connectors", "report", "labels", "drill", "cards", "remedies"),
    ("engines", "aftermath_page"),
    ("snapshots",),
    ("model",),
    ("explain",),
    ("scoring", "store"),
    ("preparation", "segments", "doubts"),
    ("record", "outlook", "horizons", "suspects", "fairness", "population"),
    ("training", "aftermath", "movement"),
    ("definition", "proposal", "challenge", "finished"),
    ("live", "pipeline", "exports"),
    ("workspace", "client"),
    ("propend", "screen", "contracts"),
    ("server",),
    ("cli",),
    ("__main__",),
)
"""Modules and subpackages, lowest first: each imports only from lower rows and, a subpackage, from itself."""

ROOMS = {
    "adbc_driver_manager": ("connectors.postgres",),
    "adbc_driver_postgresql": ("connectors.postgres",),
    "alembic": ("store.catalog", "store.migrations"),
    "altair": ("drawing", "charts", "curves", "profile_charts"),
    "argon2": ("workspace.accounts",),
    "authlib": ("server.oidc",),
    "babel": ("language", "retelling"),
    "croniter": ("workspace.schedules",),
    "deltalake": ("connectors.delta",),
    "duckdb": ("engines.duckdb", "connectors.duckdb_files"),
    "fastapi": ("server",),
    "filelock": (
        *("workspace.runs", "workspace.privacy", "workspace.pushing", "exports.table"),
        *("engines.mirror_files", "workspace.membership"),
    ),
    "httpx": ("workspace.alerts", "client", "server.oidc", "exports.webhook", "connectors.web"),
    "jinja2": ("report", "server.pages"),
    "joserfc": ("server.oidc",),
    "keyring": ("connectors.keyrings",),
    "lark": ("conditions", "sentence"),
    "markupsafe": ("language", "report", "server.pages"),
    "numba": (
        "engines.texts",
        "engines.event_rows",
        "engines.linking",
        "engines.tasks",
        "snapshots.kernel",
        "snapshots.lines",
        "snapshots.stitching",
        "compiling",
        "live",
        "snapshots.build",
        "explain.shap",
    ),
    "numpy": (
        *(
            "events",
            "persons",
            "timeline",
            "connectors",
            "engines",
            "snapshots",
            "model",
            "explain",
            "scoring",
            "store",
        ),
        *("record", "outlook", "horizons", "suspects", "fairness", "population", "training", "definition", "proposal"),
        *("doubts", "pipeline", "aftermath", "challenge", "movement", "demo", "live", "workspace.audiences"),
    ),
    "pyarrow": (
        "snapshots.oddities",
        *("connectors", "engines", "scoring", "store", "finished", "demo", "aftermath", "challenge", "movement"),
        *("explain.wording", "segments", "workspace.score_file", "workspace.audiences", "server", "client"),
        *("live", "exports", "contracts", "snapshots.attributes", "population", "workspace.membership"),
    ),
    "packaging": ("diagnosis",),
    "prometheus_client": ("server.metrics",),
    "psycopg": ("exports.postgres",),
    "pyiceberg": ("connectors.iceberg",),
    "pydantic": (
        "conditions",
        "goal",
        "document",
        "instance",
        "sentence",
        "binding",
        "cards",
        "protection",
        "exports",
        "workspace.drafting",
        "workspace.settings",
        "segments",
        "server",
    ),
    "pyspark": ("engines.spark",),
    "rich": ("cli.screen",),
    "scipy": ("model",),
    "sklearn": ("model",),
    "sqlalchemy": ("store.catalog", "store.migrations", "workspace", "server", "connectors.alchemy"),
    "starlette": ("server",),
    "threadpoolctl": ("model",),
    "typer": ("cli",),
    "uvicorn": ("server.listening",),
    "xgboost": ("model", "explain.shap", "store"),
    "yaml": ("document",),
}
"""Where each library may be imported; everything else goes through these rooms."""
DISTRIBUTIONS = {
    "adbc_driver_manager": "adbc-driver-manager",
    "adbc_driver_postgresql": "adbc-driver-postgresql",
    "argon2": "argon2-cffi",
    "prometheus_client": "prometheus-client",
    "sklearn": "scikit-learn",
    "starlette": "fastapi",
    "yaml": "pyyaml",
}

HEAVY = (
    "alembic",
    "deltalake",
    "pyiceberg",
    "fastapi",
    "httpx",
    "altair",
    "duckdb",
    "jinja2",
    "numba",
    "pandas",
    "polars",
    "pyarrow",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "uvicorn",
    "xgboost",
)
BANNED_NAMES = re.compile(r"util|helper|manager|common|misc|processor|handler", re.IGNORECASE)
KERNELS = {
    "snapshots.lines.evaluate_lines": 80,
    "snapshots.lines.count_past": 80,
}
"""Compiled passes may be long: calls cost, and branches mirror the op-codes."""
LONGEST_FUNCTION, MOST_LINES = 80, 700


# --- reading the package --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Module:
    """One file: its name without ``propend.``, and what it says."""

    name: str
    text: str
    tree: ast.Module

    @property
    def unit(self) -> str:
        """The subpackage or module of the top level that it belongs to."""
        return self.name.split(".")[0]


@cache
def modules() -> dict[str, Module]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "propend"
        text = path.read_text(encoding="utf-8")
        found[name] = Module(name, text, ast.parse(text))
    return found


def imported(module: Module) -> Iterator[tuple[str, ast.stmt]]:
    """Full names of everything imported anywhere in a file: at the top, in functions, for typing."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.name}: write imports in full"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole if whole.removeprefix("propend.") in modules() else str(node.module)), node


def inner(module: Module) -> Iterator[str]:
    """Names, without ``propend.``, of the package's own modules that a file imports."""
    for name, _ in imported(module):
        if name == "propend" or name.startswith("propend."):
            yield name.removeprefix("propend.")


def libraries(module: Module) -> set[str]:
    """Other people's packages that a file imports."""
    tops = {name.split(".")[0] for name, _ in imported(module)}
    return tops - {"propend", "__future__"} - sys.stdlib_module_names


@dataclass(frozen=True)
class Function:
    """A function or method.

    Attributes:
        name: with module and class.
        node: its syntax.
        public: reachable without an underscore, and not inside another function.
    """

    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef
    public: bool

    @property
    def lines(self) -> int:
        """Lines without its docstring."""
        first = self.node.body[0]
        documented = ast.get_docstring(self.node) is not None
        return _lines(self.node) - (_lines(first) if documented else 0)

    @property
    def decorators(self) -> tuple[str, ...]:
        return tuple(ast.unparse(d).split("(")[0] for d in self.node.decorator_list)


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def functions(module: Module) -> Iterator[Function]:
    def visit(node: ast.AST, place: str, public: bool) -> Iterator[Function]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield from visit(child, f"{place}.{child.name}", public and not child.name.startswith("_"))
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield Function(f"{place}.{child.name}", child, public and not child.name.startswith("_"))
                yield from visit(child, f"{place}.{child.name}", False)
            elif isinstance(child, ast.stmt):
                yield from visit(child, place, public)

    yield from visit(module.tree, module.name, True)


@cache
def every_function() -> tuple[Function, ...]:
    return tuple(f for m in modules().values() for f in functions(m))


# --- layers and rooms --------------------------------------------------------------------------------------------


def test_every_module_has_one_layer() -> None:
    placed = [unit for row in LAYERS for unit in row]
    assert sorted(placed) == sorted({m.unit for m in modules().values()})


def test_imports_only_from_lower_layers() -> None:
    row = {unit: i for i, units in enumerate(LAYERS) for unit in units}
    upward = [
        f"{module.name} imports {name}"
        for module in modules().values()
        for name in inner(module)
        if name.split(".")[0] != module.unit and row[name.split(".")[0]] >= row[module.unit]
    ]
    assert upward == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {m.name: set(inner(m)) - {m.name} for m in modules().values()}
    left = dict(graph)
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    assert left == {}


def test_imports_stand_at_the_top_but_in_the_command_line() -> None:
    inside = {
        f.name
        for f in every_function()
        if any(isinstance(n, ast.Import | ast.ImportFrom) for n in ast.walk(f.node)) and not f.name.startswith("cli.")
    }
    dynamic = {m.name for m in modules().values() if re.search(r"import_module|__import__", m.text)}
    assert (inside, dynamic) == (set(), {"propend", "engines", "exports", "connectors.libraries"})


def test_each_library_has_its_rooms() -> None:
    used = {lib: {m.name for m in modules().values() if lib in libraries(m)} for lib in ROOMS}
    outside = {
        lib: {name for name in names if not any(name == r or name.startswith(f"{r}.") for r in ROOMS[lib])}
        for lib, names in used.items()
    }
    assert {lib: names for lib, names in outside.items() if names} == {}
    unused = {
        lib: {r for r in rooms if not any(n == r or n.startswith(f"{r}.") for n in used[lib])}
        for lib, rooms in ROOMS.items()
    }
    assert {lib: rooms for lib, rooms in unused.items() if rooms} == {}


def test_every_library_is_a_declared_dependency() -> None:
    found = {lib for m in modules().values() for lib in libraries(m)}
    assert found == set(ROOMS)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["spark"]]
    asked += [
        d for extra in ("server", "postgres", "keyring", "lakes") for d in project["optional-dependencies"][extra]
    ]
    not_imported = {"tzdata", "xgboost-cpu", "pandas", "httptools", "uvloop", "python-multipart"}
    declared = {re.split(r"[<>=;[ ]", d)[0] for d in asked} - not_imported
    assert {DISTRIBUTIONS.get(lib, lib) for lib in found} == declared


def test_lowest_versions_tested_are_those_allowed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    floors = dict(re.match(r"([\w-]+)>=([\d.]+)", d).groups() for d in project["dependencies"])  # type: ignore[union-attr]
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    pinned = {name.lower(): re.sub(r"(\.0)+$", "", version) for name, version in (line.split("==") for line in lines)}
    allowed = {name: re.sub(r"(\.0)+$", "", v) for name, v in floors.items() if name not in ("tzdata", "xgboost")}
    assert pinned == allowed


def test_importing_is_silent_and_loads_nothing_heavy() -> None:
    """Nor does the command line before a command is given."""
    for name in ("propend", "propend.cli"):
        code = f"import sys, {name}; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("[]\n", "")


def test_importing_loads_nothing_of_others_and_help_only_what_prints() -> None:
    """``import propend`` needs the standard library alone, whatever is installed beside it."""
    watch = f"""
import contextlib, io, sys
before = set(sys.modules)
def of_others(): return {{name.split(".")[0] for name in set(sys.modules) - before}} - set(sys.stdlib_module_names)
import propend
print(sorted(of_others()))
from propend import cli
for asked in ("--version", "--help"):
    sys.argv = ["propend", asked]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        cli.main()
print(sorted(of_others() & set({[*HEAVY, "babel", "lark", "numpy", "yaml", "IPython"]!r})))
print(sorted(name for name in sys.modules if name.startswith("propend.") and not name.startswith("propend.cli")))
"""
    done = subprocess.run([sys.executable, "-c", watch], capture_output=True, text=True, check=True)
    assert [ast.literal_eval(line) for line in done.stdout.splitlines()] == [
        ["propend"],
        [],
        ["propend.errors", "propend.kernel_cache", "propend.version"],
    ]


def test_public_names_are_few_and_documented() -> None:
    names = propend.__all__
    assert (sorted(names), len(set(names))) == (names, len(names))
    assert len(names) <= 12
    assert [n for n in names if not n.startswith("__") and not getattr(propend, n).__doc__] == []
    assert dir(propend) == names


# --- sizes and names ------------------------------------------------------------------------------------------------


def test_functions_are_short() -> None:
    sizes = sorted(f.lines for f in every_function())
    assert statistics.median(sizes) <= 10
    assert sizes[len(sizes) * 9 // 10] <= 30
    long = {f.name: f.lines for f in every_function() if f.lines > KERNELS.get(f.name, LONGEST_FUNCTION)}
    assert long == {}
    assert {name for name in KERNELS if name not in {f.name for f in every_function()}} == set()


def test_files_are_short() -> None:
    assert {m.name: n for m in modules().values() if (n := m.text.count("\n")) > MOST_LINES} == {}


def test_no_module_or_class_is_named_for_anything_and_nothing() -> None:
    classes = [n.name for m in modules().values() for n in ast.walk(m.tree) if isinstance(n, ast.ClassDef)]
    parts = [p for m in modules() for p in m.split(".")]
    assert [name for name in [*classes, *parts] if BANNED_NAMES.search(name)] == []


def test_public_functions_say_what_they_give() -> None:
    """Properties speak for themselves, charts by their caption, methods by the protocol that they fulfil."""
    promised = {
        method.name
        for m in modules().values()
        for c in ast.walk(m.tree)
        if isinstance(c, ast.ClassDef) and any(ast.unparse(b) == "Protocol" for b in c.bases)
        for method in c.body
        if isinstance(method, ast.FunctionDef) and ast.get_docstring(method)
    }
    silent = [
        f.name
        for f in every_function()
        if f.public and not ast.get_docstring(f.node) and not {"property", "chart"} & set(f.decorators)
    ]
    assert [name for name in silent if name.rsplit(".", 1)[-1] not in promised] == []


def test_functions_say_what_type_they_give() -> None:
    """But for compiled ones, whose types Numba finds."""
    compiled = {"njit", "numba.njit", "kernel", "compiled"}
    assert [f.name for f in every_function() if f.node.returns is None and not compiled & set(f.decorators)] == []


def test_modules_and_public_classes_say_what_they_are() -> None:
    silent = [m.name for m in modules().values() if m.text.strip() and not ast.get_docstring(m.tree)]
    silent += [
        f"{m.name}.{n.name}"
        for m in modules().values()
        for n in ast.walk(m.tree)
        if isinstance(n, ast.ClassDef) and not n.name.startswith("_") and not ast.get_docstring(n)
    ]
    assert silent == []


def test_nothing_is_left_unfinished() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [m.name for m in modules().values() if words.search(m.text)] == []
    raised = [m.name for m in modules().values() if "NotImplementedError" in m.text]
    asserted = [m.name for m in modules().values() if any(isinstance(n, ast.Assert) for n in ast.walk(m.tree))]
    assert (raised, asserted) == ([], [])
