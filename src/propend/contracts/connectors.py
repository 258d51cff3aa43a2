"""What a connector must do, as a test that whoever writes one can run.

from propend.contracts.connectors import check_connector

def test_it_keeps_the_contract(tmp_path):
    check_connector(MailboxConnector(), tmp_path, ["team.mbox"], broken=["torn.mbox"])
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from propend.connectors.origins import Connector, Located, Origin
from propend.engines.duckdb import DuckdbDatabase
from propend.engines.relations import relation_of
from propend.errors import PropendError

STRANGE = ("nobody-has-this-scheme://x", "nobody-has-this-ending.of-a-file")
"""What no connector for something else accepts."""
MISSING, UNREADABLE = 200, (201, 202, 203, 211)


class ContractError(AssertionError):
    """What a connector does not do, all of it.

    Attributes:
        problems: one sentence each.
    """

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        super().__init__(f"the connector {name!r} breaks its contract:\n" + "\n".join(f"- {p}" for p in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class _Facts:
    """What was read: how many rows, columns with their types, and all rows as one text."""

    rows: int
    columns: tuple[tuple[str, str], ...]
    content: str


def check_connector(
    connector: Connector,
    folder: Path,
    examples: Sequence[str],
    *,
    broken: Sequence[str] = (),
    missing: Sequence[str] = (),
    strange: Sequence[str] = STRANGE,
) -> None:
    """Hold a connector to what propend relies on; gives nothing, and takes some seconds.

    Whatever it locates is opened by the engine, in which all rows are read and compared: examples are best small.

    Args:
        connector: an instance, as the entry point makes it.
        folder: what paths are relative to, with the examples in it. Nothing is written to it.
        examples: paths as a document has them, each of something that can be read.
        broken: what is there and cannot be read: refused with 201 to 203 or 211.
        missing: what is not there: refused with 200.
        strange: what is of another kind, so that it must not be accepted.

    Raises:
        ContractError: it does not; all that was found is listed.
        ValueError: there is no example.
    """
    if not examples:
        raise ValueError("a connector is checked by examples: name one at least")
    problems = _shape(connector)
    if not problems:
        for path in examples:
            problems += _example(connector, folder, path)
        for path, numbers in [*((p, UNREADABLE) for p in broken), *((p, (MISSING,)) for p in missing)]:
            problems += _refusal(connector, folder, path, numbers)
        taken = [path for path in strange if _accepts(connector, folder, path)]
        problems += [f"it accepts {path!r}, which is of another kind" for path in taken]
    if problems:
        raise ContractError(str(getattr(connector, "name", type(connector).__name__)), problems)


def _shape(connector: Connector) -> list[str]:
    name = getattr(connector, "name", None)
    problems = [] if isinstance(name, str) and name else ["it has no `name`, which is a text"]
    problems += [f"it has no method `{m}`" for m in ("accepts", "locate") if not callable(getattr(connector, m, None))]
    try:
        type(connector)()
    except Exception as error:  # of whatever kind: it is their code
        problems.append(f"its class cannot be made without arguments: {error}")
    return problems


def _accepts(connector: Connector, folder: Path, path: str) -> Any:
    return connector.accepts(Origin((path,), folder, {}, folder / "no folder: nothing is written before it is located"))


def _example(connector: Connector, folder: Path, path: str) -> list[str]:
    """What is wrong with how something readable is read."""
    before = _state(folder)
    answers = [_accepts(connector, folder, path) for _ in range(2)]
    if answers != [True, True]:
        return [f"it does not accept {path!r} each time it is asked: it answers {answers[0]!r}, then {answers[1]!r}"]
    try:
        first = _read(connector, folder, path)
        again = _read(connector, folder, path)
        with _elsewhere():
            apart = _read(connector, folder, path)
    except PropendError as error:
        return [f"{path!r} cannot be read: {error.message}"]
    except Exception as error:  # of whatever kind: it is their code
        return [f"{path!r} fails with {type(error).__name__}, not with an error of propend: {error}"]
    problems = [] if first.rows else [f"{path!r} has no rows, so that it shows nothing"]
    if again != first:
        problems.append(f"{path!r} is read otherwise the second time: {_difference(first, again)}")
    if apart != first:
        problems.append(f"{path!r} is read otherwise from another current folder: {_difference(first, apart)}")
    if _state(folder) != before:
        problems.append(f"it writes to the folder of the data when it reads {path!r}; `scratch` is there for that")
    return problems


def _refusal(connector: Connector, folder: Path, path: str, numbers: Sequence[int]) -> list[str]:
    """What is wrong with how something is refused."""
    if not _accepts(connector, folder, path):
        return [f"it does not accept {path!r}, so that nobody is told what is wrong with it"]
    wanted = " or ".join(map(str, numbers))
    try:
        _read(connector, folder, path)
    except PropendError as error:
        problems = [] if error.number in numbers else [f"{path!r} is refused with {error.code}, not with {wanted}"]
        return problems + ([] if error.hint else [f"the refusal of {path!r} has no hint"])
    except Exception as error:  # of whatever kind: it is their code
        return [f"{path!r} fails with {type(error).__name__}, not with {wanted}: {error}"]
    return [f"{path!r} is read, and should be refused with {wanted}"]


def _read(connector: Connector, folder: Path, path: str) -> _Facts:
    """All that is read, in a session of its own.

    Raises:
        TypeError: what comes back is not ``Located``.
    """
    with _database() as database:
        located: object = connector.locate(Origin((path,), folder, {}, database.scratch))
        if not isinstance(located, Located):
            raise TypeError(f"`locate` gives {type(located).__name__}, not Located")
        if not located.name or not located.format:
            raise TypeError("what `locate` gives has no name or no format")
        if not located.groups and not located.tables:
            raise TypeError("what `locate` gives has neither files nor tables")
        relation = relation_of(database, located)
        columns = tuple((name, column.native) for name, column in relation.columns.items())
        whole = f"SELECT CAST(row_of AS VARCHAR) AS line FROM {relation.table} AS row_of"
        content = database.rows(f"SELECT md5(string_agg(line, chr(10) ORDER BY line)) FROM ({whole})")[0][0]
    return _Facts(relation.rows, columns, str(content))


@contextmanager
def _database() -> Iterator[DuckdbDatabase]:
    database = DuckdbDatabase(None, None)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _elsewhere() -> Iterator[None]:
    """Another current folder, in which nothing is."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)
        try:
            yield
        finally:
            os.chdir(before)


def _difference(first: _Facts, second: _Facts) -> str:
    if first.columns != second.columns:
        return f"columns {list(second.columns)} in place of {list(first.columns)}"
    return f"{second.rows:,} rows in place of {first.rows:,}" if first.rows != second.rows else "other values"


def _state(folder: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and last changes of all files."""
    files = ((p, p.stat()) for p in sorted(folder.rglob("*")) if p.is_file())
    return [(str(path), told.st_size, told.st_mtime_ns) for path, told in files]
