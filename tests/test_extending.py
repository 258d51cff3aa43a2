"""Connectors of other packages: one that is installed, those that are broken, and the contract that all must keep."""

from __future__ import annotations

import importlib
import logging
import sys
import tomllib
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.utils import format_datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

import propend
from oracle_events import look
from propend.connectors import FileGroup, Located, Origin, connectors, known
from propend.connectors.files import FileConnector
from propend.connectors.lakes import LakeConnector
from propend.contracts.connectors import ContractError, check_connector
from propend.errors import SourceNotFoundError, SourceUnreadableError
from propend.screen.listing import connectors_text
from shops import SHOP, shop

EXAMPLE = Path(__file__).parents[1] / "examples" / "plugins" / "mailbox"
DOCS = Path(__file__).parents[1] / "docs" / "extending.md"
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts packages where Python finds them, with what an installer writes beside them."""
    target = tmp_path / "installed"
    target.mkdir()
    monkeypatch.syspath_prepend(str(target))

    def put(name: str, version: str, points: dict[str, str], modules: dict[str, str]) -> None:
        info = target / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = "".join(f"{key} = {value}\n" for key, value in points.items())
        (info / "entry_points.txt").write_text(f"[propend.connectors]\n{lines}")
        for module, text in modules.items():
            (target / f"{module}.py").write_text(text)
            monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.invalidate_caches()
        known.cache_clear()

    yield put
    known.cache_clear()


def install_mailbox(install: Install) -> Any:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    text = (EXAMPLE / "propend_mailbox.py").read_text()
    points = project["entry-points"]["propend.connectors"]
    install(project["name"], project["version"], points, {"propend_mailbox": text})
    return importlib.import_module("propend_mailbox")


def write_mails(path: Path, table: pa.Table) -> None:
    """A mailbox with a mail for each event."""
    with path.open("w") as out:
        for row in table.to_pylist():
            mail = EmailMessage()
            mail["From"] = f"Somebody <{row['profile_id']}@example.com>"
            mail["Date"], mail["Subject"] = format_datetime(row["at"]), row["event"]
            out.write(f"From somebody\n{mail}\n\n")


# --- the example --------------------------------------------------------------------------------------------


def test_the_example_is_short_and_the_page_shows_it() -> None:
    text = (EXAMPLE / "propend_mailbox.py").read_text()
    assert len(text.splitlines()) <= 40
    assert f"```python\n{text}```" in DOCS.read_text()


def test_the_example_keeps_the_contract(install: Install, tmp_path: Path) -> None:
    module, folder = install_mailbox(install), tmp_path / "mails"
    folder.mkdir()
    write_mails(folder / "team.mbox", shop(3))
    (folder / "torn.mbox").write_text("From somebody\nSubject: neither from nor date\n\ntext\n\n")
    check_connector(module.MailboxConnector(), folder, ["team.mbox"], broken=["torn.mbox"], missing=["other.mbox"])


def test_what_the_example_reads_is_scored(install: Install, tmp_path: Path) -> None:
    install_mailbox(install)
    write_mails(tmp_path / "team.mbox", shop(300))
    data = {"events": "team.mbox", "folder": str(tmp_path), "columns": {"event": "subject"}}
    run = propend.run(SHOP | {"data": data}, out=tmp_path / "out")
    assert run.scores.num_rows > 200
    assert set(run.scores["profile_id"].to_pylist()) <= {f"p{i:04}@example.com" for i in range(300)}
    assert look({"events": "team.mbox"}, tmp_path).sources[0].format == "mbox"


# --- what is broken -----------------------------------------------------------------------------------------


def test_broken_connectors_are_told_once_and_left_out(
    install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    half = "class Half:\n    name = 'half'\n    def accepts(self, origin):\n        return False\n"
    install("acme-lake", "2.1", {"acme": "acme:Lake", "half": "acme_half:Half"}, {"acme_half": half})
    install("odd-lake", "0.1", {"odd": "odd:Odd"}, {"odd": "import nothing_of_this_name\n"})
    install_mailbox(install)
    with caplog.at_level(logging.WARNING, "propend.connectors"):
        found = [(k.name, k.distribution, k.version, k.problem) for k in known()]
        known()
    ours = metadata.version("propend")
    expected = [
        ("databases", "propend", ours, ""),
        ("tables", "propend", ours, ""),
        ("acme", "acme-lake", "2.1", "ModuleNotFoundError: No module named 'acme'"),
        ("half", "acme-lake", "2.1", "it has no locate"),
        ("mailbox", "propend-mailbox", "1.0", ""),
        ("odd", "odd-lake", "0.1", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("lakes", "propend", ours, ""),
        ("addresses", "propend", ours, ""),
        ("files", "propend", ours, ""),
    ]
    assert found == expected
    assert [r.getMessage() for r in caplog.records] == [
        f"the connector {name!r} of {whose} is not used: {problem}" for name, whose, _, problem in expected if problem
    ]
    assert [c.name for c in connectors()] == ["databases", "tables", "mailbox", "lakes", "addresses", "files"]
    (tmp_path / "orders.csv").write_text("customer_id,at,kind\nann,2024-01-01,buy\n")
    assert look({"events": "orders.csv"}, tmp_path).sources[0].rows == 1


def test_they_are_shown_as_a_table(install: Install) -> None:
    install("acme-lake", "2.1", {"acme": "acme:Lake"}, {})
    shown = connectors_text([{"name": k.name, "distribution": k.distribution, "version": k.version,
                              "problem": k.problem} for k in known() if k.distribution != "propend"])  # fmt: skip
    assert shown.splitlines() == [
        "connector   package     version   state",
        "acme        acme-lake   2.1       ModuleNotFoundError: No module named 'acme'",
    ]


def test_one_that_fails_while_it_is_asked_is_told_by_its_name(install: Install, tmp_path: Path) -> None:
    text = "class Odd:\n    name = 'odd'\n    def accepts(self, o):\n        return o.paths[0].endswith('.odd')\n"
    text += "    def locate(self, o):\n        return {}['x']\n"
    install("odd-lake", "0.1", {"odd": "odd_lake:Odd"}, {"odd_lake": text})
    with pytest.raises(SourceUnreadableError) as caught:
        look({"events": "x.odd"}, tmp_path)
    assert caught.value.message == "The connector 'odd' failed at 'x.odd': KeyError: 'x'."


# --- the contract -------------------------------------------------------------------------------------------


def write(path: Path, rows: int) -> None:
    pq.write_table(pa.table({"customer_id": list(range(rows)), "at": ["2024-01-01"] * rows}), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "data"
    place.mkdir()
    write(place / "one.parquet", 3)
    return place


def test_our_own_connectors_keep_the_contract(folder: Path) -> None:
    (folder / "torn.parquet").write_bytes(b"PAR1 and no more")
    (folder / "orders.csv").write_bytes("customer_id,at\nbén,2024-01-01\n".encode("latin-1"))
    write_deltalake(folder / "table", pa.table({"customer_id": ["a"], "at": ["2024-01-01"]}))
    write_deltalake(folder / "broken", pa.table({"customer_id": ["a"], "at": ["2024-01-01"]}))
    (folder / "broken/_delta_log/00000000000000000000.json").write_text("{")
    files = ["one.parquet", "orders.csv", "*.csv"]
    check_connector(
        FileConnector(), folder, files, broken=["torn.parquet"], missing=["x.csv"], strange=["table", "s3://x"]
    )
    check_connector(LakeConnector(), folder, ["table"], broken=["broken"], strange=["one.parquet", "s3://x"])


class Good:
    """Reads one file; what is wrong is what a subclass makes wrong."""

    name = "good"

    def accepts(self, origin: Origin) -> bool:
        return all(path.endswith((".parquet", ".torn")) for path in origin.paths)

    def locate(self, origin: Origin) -> Located:
        if not (origin.folder / origin.paths[0]).is_file():
            raise SourceNotFoundError("It is not there.", "look elsewhere.")
        return Located(origin.name, "parquet", (FileGroup("parquet", (origin.folder / origin.paths[0],)),))


class Greedy(Good):
    def accepts(self, origin: Origin) -> bool:
        return True


class Nameless(Good):
    name = ""


class Fickle(Good):
    asked = 0

    def accepts(self, origin: Origin) -> bool:
        self.asked += 1
        return self.asked % 2 == 1


class Growing(Good):
    asked = 0

    def locate(self, origin: Origin) -> Located:
        self.asked += 1
        return Located("x", "table", tables=(pa.table({"a": list(range(self.asked))}),))


class Here(Good):
    def locate(self, origin: Origin) -> Located:
        rows = 5 if Path("one.parquet").exists() else 3
        return Located("x", "table", tables=(pa.table({"a": list(range(rows))}),))


class Scribbling(Good):
    def locate(self, origin: Origin) -> Located:
        (origin.folder / "note.txt").write_text("seen")
        return super().locate(origin)


class Uncoded(Good):
    def locate(self, origin: Origin) -> Located:
        raise KeyError("x")


class Empty(Good):
    def locate(self, origin: Origin) -> Located:
        return Located("x", "table")


class Silent(Good):
    def locate(self, origin: Origin) -> Located:
        if origin.paths[0] == "other.parquet":
            raise SourceUnreadableError("It is not there.")
        return super().locate(origin)


FAULTS: list[tuple[type[Any], str]] = [
    (Greedy, "it accepts 'nobody-has-this-scheme://x', which is of another kind"),
    (Nameless, "it has no `name`, which is a text"),
    (Fickle, "it accepts 'one.parquet' each time"),
    (Growing, "'one.parquet' is read otherwise the second time: 2 rows in place of 1"),
    (Here, "'one.parquet' is read otherwise from another current folder: 3 rows in place of 5"),
    (Scribbling, "it writes to the folder of the data when it reads 'one.parquet'"),
    (Uncoded, "'one.parquet' fails with KeyError"),
    (Empty, "what `locate` gives has neither files nor tables"),
    (Silent, "'other.parquet' is refused with PROPEND-201, not with 200"),
]


@pytest.mark.parametrize(("kind", "problem"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_a_connector_does_not_do_is_told(
    kind: type[Any], problem: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "x.torn").write_bytes(b"PAR1")
    good = {"broken": ["x.torn"], "missing": ["other.parquet"]}
    check_connector(Good(), folder, ["one.parquet"], **good)
    with pytest.raises(ContractError) as caught:
        check_connector(kind(), folder, ["one.parquet"], **good)
    found = str(caught.value).replace("does not accept", "accepts")
    assert problem in found


def test_a_contract_needs_an_example(folder: Path) -> None:
    with pytest.raises(ValueError, match="one at least"):
        check_connector(FileConnector(), folder, [])
