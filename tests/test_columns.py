"""Which column is what: guessed only with confidence, and said; ids and times of every form."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from subprocess import run
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle_events import load, local_us, look, rows_of, shared_data
from propend.columns import choose_fields, folded, guess_columns, words
from propend.engines.duckdb import DuckdbDatabase
from propend.engines.times import DAY_US, in_zone
from propend.errors import ColumnNotFoundError, ColumnTypeError
from propend.events import Field, FieldFacts

NAMED = {"profile": "who", "at": "when"}


# --- guesses -------------------------------------------------------------------------------------------------

REAL = {
    "online_retail_ii/lines.parquet": {"profile": "CustomerID", "at": "InvoiceDate"},
    "complete_journey/coupon_redemptions.parquet": {"profile": "household_id", "at": "redemption_date"},
    "luma_xdm/events.parquet": {
        "profile": "ECID (endUserIDs._experience.mcid.id)", "at": "timestamp", "event": "xdm:kind",
        "value": "xdm:value", "id": "_id",
    },
    "ecom_synthetic/ecom.csv.gz": {"profile": "user_id", "at": "timestamp", "event": "event"},
    "git_contributors/simonw_datasette.csv.gz": {"profile": "contributor_id", "at": "timestamp", "event": "event_type"},
    "contoso_synthetic/ContosoHotel_HotelActivity.txt": {
        "profile": "HotelCustomerID", "at": "CheckInDate", "value": "DollarsSpent",
    },
    "contoso_synthetic/OnlinePurchases.txt": {
        "profile": "ContactId", "at": "PurchasedOn", "event": "ActivityTypeDisplay", "value": "TotalPrice",
    },
    "contoso_synthetic/WebsiteReviews_LinkedToEcommerceContacts.txt": {
        "profile": "UserId", "at": "ReviewDate", "event": "ActivityTypeDisplay",
    },
}  # fmt: skip


@pytest.mark.parametrize("path", REAL)
def test_roles_of_real_files(path: str) -> None:
    source = look({"events": path}, shared_data(path)).sources[0]
    assert (source.columns, set(source.reasons), set(source.guessed)) == (REAL[path], {*REAL[path]}, {*REAL[path]})


def test_a_guess_says_why_and_what_is_named_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("HotelCustomerID,CheckInDate,type,spent\n7,2024-01-01,stay,1\n")
    source = look({"events": "a.csv", "columns": {"event": "type"}}, tmp_path).sources[0]
    assert source.reasons == {
        "profile": "ends like 'customerid'",
        "at": "a usual name",
        "value": "a usual name",
    }
    assert source.columns["event"] == "type"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"customer_id": "text", "customerid": "text"}, "customer_id"),
        ({"customer_id": "text", "client_id": "text"}, None),
        ({"customer_id": "text", "client": "text"}, "customer_id"),
        ({"customer_id": "boolean"}, None),
        ({"customer_id": "time"}, None),
        ({"amount": "number"}, None),
    ],
)
def test_two_columns_as_good_are_no_guess(columns: dict[str, Any], expected: str | None) -> None:
    found = guess_columns(columns, {}).get("profile")
    assert (found.column if found else None) == expected


@pytest.mark.parametrize(
    ("role", "column", "values", "fits"),
    [
        ("profile", "customer_id", ["a", None, None, None], False),
        ("profile", "customer_id", [1.5, 2.5], False),
        ("profile", "id", ["a", "b", "c"], False),
        ("profile", "id", ["a", "b", "a"], True),
        ("at", "date", ["2024-01-01", "soon"], False),
        ("at", "date", ["2024-01-01"] * 9 + ["soon"], True),
        ("at", "ordered", ["2024-01-01", "2024-01-02"], True),
        ("at", "birth_date", ["2024-01-01", "2024-01-02"], False),
        ("event", "type", [f"k{i}" for i in range(40)], False),
        ("event", "type", ["a", "b"] * 20, True),
        ("id", "event_id", ["a", "a", "b"], False),
        ("id", "event_id", ["a", "b", "c"], True),
    ],
)
def test_values_must_fit_the_role(role: str, column: str, values: list[Any], fits: bool) -> None:
    kind = "number" if isinstance(values[0], float) else "text"
    found = guess_columns({column: kind}, {column: values}).get(role)  # type: ignore[dict-item]
    assert (found is not None) is fits


PLAIN = {
    ("who", "when", "what", "paid"): ("who", "when", "what", "paid"),
    ("person", "date", "action", "spent"): ("person", "date", "action", "spent"),
    ("Member ID", "Day", "Activity", "Price"): ("Member ID", "Day", "Activity", "Price"),
    ("visitor", "time", "type", "revenue"): ("visitor", "time", "type", "revenue"),
    ("user", "created_at", "event_name", "value"): ("user", "created_at", "event_name", "value"),
}
"""Heads of tables as people write them: who, when, what, how much."""


@pytest.mark.parametrize("head", PLAIN)
@pytest.mark.parametrize("amounts", ["12.5", "17"])
def test_plain_words_are_known(head: tuple[str, ...], amounts: str, tmp_path: Path) -> None:
    rows = "".join(
        f"p{i % 7},2024-01-{1 + i % 28:02} 10:00,{'looked' if i % 3 else 'bought'},{amounts}\n" for i in range(60)
    )
    (tmp_path / "a.csv").write_text(",".join(head) + "\n" + rows)
    source = look({"events": "a.csv"}, tmp_path).sources[0]
    assert tuple(source.columns[role] for role in ("profile", "at", "event", "value")) == PLAIN[head]


@pytest.mark.parametrize("name", ["paid", "bid", "prepaid", "valid", "sales_no", "order_total_key", "happened_at_key"])
def test_an_amount_is_never_hinted_to_be_the_profiles_id(name: str, tmp_path: Path) -> None:
    """Neither by its name, which may end like an id, nor with decimals."""
    rows = "".join(f"{i % 7},2024-01-{1 + i % 28:02},{i % 5}.25\n" for i in range(60))
    (tmp_path / "a.csv").write_text(f"qqq,when,{name}\n{rows}")
    with pytest.raises(ColumnNotFoundError) as caught:
        look({"events": "a.csv"}, tmp_path)
    assert (caught.value.facts["role"], caught.value.facts["alike"]) == ("profile", [])
    (tmp_path / "a.csv").write_text(f"shop_no,when,{name}\n{rows}")
    with pytest.raises(ColumnNotFoundError, match="perhaps 'shop_no'"):
        look({"events": "a.csv"}, tmp_path)


def test_values_are_numbers() -> None:
    assert "value" not in guess_columns({"amount": "text"}, {})
    assert guess_columns({"amount": "number", "unit_price": "number"}, {})["value"].column == "amount"


NOT_TOLD = {
    "no profile": (
        "x,guest_name,date\na,b,2024-01-01\n", "the profile's id", "perhaps 'guest_name'", {},
    ),
    "no time": ("customer_id,ordered_at,amount\n1,soon,5\n2,later,6\n", "the event's time", "perhaps 'ordered_at'", {}),
    "two as good": (
        "customer_id,client_id,date\n1,a,2024-01-01\n", "the profile's id", "perhaps 'customer_id', 'client_id'", {},
    ),
    "one column": ("customer_id  date\n1  2024-01-01\n", "the profile's id", "seems to have a single column", {}),
    "values for names": ("17,2024-01-01,5.5\n18,2024-01-01,6\n", "the profile's id", "seems to hold values", {}),
    "profile named": (
        "who,day,x\n1,a,2\n", "the event's time", "name it under `columns: {at: ...}`", {"profile": "who"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_TOLD)
def test_what_cannot_be_told_is_an_error_with_candidates(case: str, tmp_path: Path) -> None:
    text, what, hint, columns = NOT_TOLD[case]
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ColumnNotFoundError, match="cannot be told with confidence; its columns are: ") as caught:
        look({"events": "a.csv", "columns": columns}, tmp_path)
    assert what in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("columns", "hint"),
    [
        ({"profile": "customerid"}, "did you mean 'customer_id'?"),
        ({"at": "Date "}, "did you mean 'date'?"),
        ({"event": "typ"}, "did you mean 'type'?"),
        ({"value": "revenue"}, "name one of them under `columns: {value: ...}`."),
    ],
)
def test_a_column_that_is_not_there(columns: dict[str, str], hint: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("customer_id,date,type\n1,2024-01-01,a\n")
    with pytest.raises(ColumnNotFoundError) as caught:
        look({"events": "a.csv", "columns": columns}, tmp_path)
    (role, name), *_ = columns.items()
    assert caught.value.message == (
        f"'a.csv' has no column {name!r} for the role {role!r}; its columns are: customer_id (number), date (time), "
        "type (text)."
    )
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "b"], "holds text values, such as 'a', and a value is a number."),
        (["1,50", "2,75"], "holds text values, such as '1,50', and a value is a number."),
        ([True, False], "holds boolean values, such as 'false', and a value is a number."),
        ([date(2024, 1, 1)], "holds time values, such as '2024-01-01', and a value is a number."),
    ],
)
def test_a_value_that_is_no_number(values: list[Any], message: str, tmp_path: Path) -> None:
    table = pa.table({"who": ["a"] * len(values), "when": [datetime(2024, 1, 1)] * len(values), "v": values})
    with pytest.raises(ColumnTypeError) as caught:
        look({"columns": NAMED | {"value": "v"}}, tmp_path, {"events": table})
    assert message in caught.value.message


def test_names_are_compared_without_case_and_signs() -> None:
    assert (folded("Customer_ID "), words("customerUUIDKey"), words("Date de l'achat")) == (
        "customerid",
        "customer_uuid_key",
        "date_de_l_achat",
    )


# --- what columns of a CSV hold -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2.5", "+3e4", ".5"], "number"),
        (["1", "n/a", "#N/A", "NaN", "-"], "number"),
        (["1", "x", "2"], "number"),
        (["n/a", "-"], "text"),
        (["1", "two"], "text"),
        (["007", "8"], "text"),
        (["1234567890123456", "1"], "text"),
        (["1,5", "2"], "number"),
        (["1,500", "2,250"], "text"),
        (["true", "False"], "boolean"),
        (["true", "1"], "text"),
        (["2024-01-01", "2024-01-02 10:00"], "time"),
        (["13/01/2024", "01/02/2024"], "time"),
        (["", ""], "text"),
    ],
)
def test_what_a_column_of_a_csv_holds(values: list[str], expected: str, tmp_path: Path) -> None:
    lines = "".join(f'a,2024-01-01,"{v}"\n' for v in values)
    (tmp_path / "a.csv").write_text(f"who,when,x\n{lines}")
    assert look({"events": "a.csv", "columns": NAMED}, tmp_path).fields["x"].type == expected


WIDE = """
import resource
import sys
from pathlib import Path

resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
from propend.engines.duckdb import DuckdbEngine
from propend.instance import Data

with DuckdbEngine("1GB") as engine:
    opened = engine.open(Data(events="events.csv"), Path(sys.argv[1]))
print(*(opened.fields[name].type for name in ("c0", "c1", "c1499")), len(opened.fields), len(opened.field_facts))
"""


def test_a_csv_of_1500_columns_is_read_within_6_gb_of_addresses(tmp_path: Path) -> None:
    head = ",".join(["user", "at", *(f"c{i}" for i in range(1500))])
    rows = [f"u{u},2024-01-0{u},{'x,12,' * 750}"[:-1] for u in range(1, 9)]
    (tmp_path / "events.csv").write_text("\n".join([head, *rows]))
    told = run([sys.executable, "-c", WIDE, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (told.stdout.split(), told.stderr[-500:]) == (["text", "number", "number", "1500", "1500"], "")


def test_an_empty_column_of_one_source_does_not_make_numbers_texts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("who,when,x,y\na,2024-01-01,5,\n")
    (tmp_path / "b.csv").write_text("who,when,x,y\nb,2024-01-01,,red\n")
    types = {n: f.type for n, f in look({"events": ["a.csv", "b.csv"], "columns": NAMED}, tmp_path).fields.items()}
    assert types == {"x": "number", "y": "text"}


FACTS = [
    FieldFacts(Field(name, kind), filled, distinct, 10_000)  # type: ignore[arg-type]
    for name, kind, filled, distinct in [
        ("price", "number", 0.9, 4000), ("order_id", "number", 1.0, 9000), ("constant", "number", 1.0, 1),
        ("rare", "number", 0.05, 100), ("order_hour", "number", 1.0, 24), ("stay_days", "number", 1.0, 24),
        ("category", "text", 1.0, 30), ("comment", "text", 1.0, 4000), ("everything", "text", 1.0, 5001),
        ("is_gift", "boolean", 1.0, 2), ("sku", "text", 1.0, 50), ("created_at", "time", 1.0, 9999),
    ]
]  # fmt: skip


def test_columns_worth_describing_profiles_by() -> None:
    assert choose_fields(FACTS) == (("stay_days", "price"), ("category", "is_gift"))
    many = [FieldFacts(Field(f"n{i}", "number"), 1 - i / 100, 9, 100) for i in range(9)]
    assert choose_fields(many)[0] == ("n0", "n1", "n2", "n3")


# --- ids -----------------------------------------------------------------------------------------------------

BIG = 2**53 + 1
IDS: dict[str, tuple[Any, list[str | None]]] = {
    "texts": (pa.array(["a", " b ", "", "  ", "\t\n", None]), ["a", " b ", None, None, None, None]),
    "leading zeros": (pa.array(["007", "7"]), ["007", "7"]),
    "small integers": (pa.array([0, -1, 7], pa.int8()), ["0", "-1", "7"]),
    "large integers": (pa.array([BIG, 2**64 - 1], pa.uint64()), [str(BIG), str(2**64 - 1)]),
    "floats": (pa.array([17850.0, 0.5, float("nan"), float("inf"), None, 1e15]),
               ["17850", "0.5", None, None, None, "1000000000000000"]),
    "half floats": (pa.array([1.0, 2.5], pa.float16()), ["1", "2.5"]),
    "decimals": (pa.array([Decimal("17850.00"), Decimal("0.50")]), ["17850", "0.50"]),
    "booleans": (pa.array([True, False, None]), ["true", "false", None]),
    "bytes that are texts": (pa.array([b"ann", "é".encode(), b"", None]), ["ann", "é", None, None]),
    "bytes": (pa.array([b"a\xff", b"", None]), ["61ff", None, None]),
    "times": (pa.array([date(2024, 1, 1)]), ["2024-01-01"]),
    "universal ids": (pa.array([UUID(int=1).bytes], pa.uuid()) if hasattr(pa, "uuid") else pa.array([str(UUID(int=1))]),
                      ["00000000-0000-0000-0000-000000000001"]),
    "other people's signs": (pa.array(["é", "日本", "🙂", "a\x00b", "\x00", "'; DROP TABLE x --", "%"]),
                             ["é", "日本", "🙂", "a\x00b", "\x00", "'; DROP TABLE x --", "%"]),
    "very long": (pa.array(["x" * 10_000, "x" * 9_999 + "y"]), ["x" * 10_000, "x" * 9_999 + "y"]),
}  # fmt: skip


@pytest.mark.parametrize("name", IDS)
def test_ids_of_any_type(name: str, tmp_path: Path) -> None:
    ids, expected = IDS[name]
    table = pa.table({"who": ids, "when": [datetime(2024, 1, 1)] * len(ids)}).append_column(
        "n", pa.array(range(len(ids)))
    )
    table = pa.concat_tables([table, pa.table({"who": ids.slice(0, 1), "when": [datetime(2024, 1, 2)], "n": [99]})])
    log = load({"columns": NAMED}, tmp_path, {"events": table}, number_fields=("n",))
    found = {int(row[5][0]): row[0] for row in rows_of(log)}
    first = {99: expected[0]} if expected[0] is not None else {}
    assert found == {i: e for i, e in enumerate(expected) if e is not None} | first


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["17850.0", "17851.0", ""], ["17850", "17851"]),
        (["17850.0", "C7.0"], ["17850.0", "C7.0"]),
        (["007", "8.0"], ["007", "8.0"]),
        (["1.0", "1.5"], ["1", "1.5"]),
    ],
)
def test_whole_numbers_that_a_csv_has_as_decimals(ids: list[str], expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("who,when\n" + "".join(f"{i},2024-01-01\n" for i in ids))
    assert sorted(r[0] for r in rows_of(load({"events": "a.csv", "columns": NAMED}, tmp_path))) == sorted(expected)


# --- times ---------------------------------------------------------------------------------------------------

SECOND = 1_704_112_496  # 2024-01-01 12:34:56 UTC
AT = datetime(2024, 1, 1, 12, 34, 56, tzinfo=UTC)
EPOCHS = {
    "seconds": [SECOND, SECOND + 1],
    "milliseconds": [SECOND * 1_000, SECOND * 1_000 + 1_000],
    "microseconds": [SECOND * 10**6, (SECOND + 1) * 10**6],
    "nanoseconds": [SECOND * 10**9 + 999, (SECOND + 1) * 10**9],
    "floats of seconds": [float(SECOND), SECOND + 1.0],
    "floats of milliseconds": [SECOND * 1e3, SECOND * 1e3 + 1e3],
    "texts of seconds": [str(SECOND), f"{SECOND + 1}.0"],
    "decimals": [Decimal(SECOND), Decimal(SECOND + 1)],
}


def _times(folder: Path, values: Any, zone: str = "UTC") -> tuple[list[datetime], dict[str, int]]:
    """Times read, in their order in the table, and what was set aside."""
    whole = isinstance(values, pa.Array | pa.ChunkedArray)
    count = len(values)
    table = pa.table({"who": ["a"] * count, "when": values if whole else pa.array(values), "n": list(range(count))})
    log = load({"columns": NAMED}, folder, {"events": table}, number_fields=("n",), time_zone=zone)
    rows = sorted(rows_of(log), key=lambda row: row[5])
    aside = {reason: n for reason, n in log.facts.set_aside.items() if n}
    return [datetime(1970, 1, 1) + timedelta(microseconds=row[1]) for row in rows], aside


@pytest.mark.parametrize("unit", EPOCHS)
@pytest.mark.parametrize(("zone", "ahead"), [("UTC", 0), ("Europe/Berlin", 3600), ("America/New_York", -18_000)])
def test_numbers_are_instants_in_the_unit_that_fits(unit: str, zone: str, ahead: int, tmp_path: Path) -> None:
    first = AT.replace(tzinfo=None) + timedelta(seconds=ahead)
    assert _times(tmp_path, EPOCHS[unit], zone) == ([first, first + timedelta(seconds=1)], {})


SEVERAL: dict[str, tuple[Sequence[Any], list[str], dict[str, int]]] = {
    "numbers of a smaller unit": (
        [SECOND * 1000, SECOND * 1000, SECOND],
        ["2024-01-01 12:34:56"] * 2,
        {"unparsable_time": 1},
    ),
    "numbers of a larger unit": ([SECOND, SECOND, SECOND * 1000], ["2024-01-01 12:34:56"] * 2, {"in_the_future": 1}),
    "numbers that stand for nothing": (
        [0, 0, 0, 1, -5, SECOND],
        ["2024-01-01 12:34:56"],
        {"unparsable_time": 4, "before_1970": 1},
    ),
    "numbers that are none": (
        [float(SECOND), float("nan"), float("inf"), -float("inf"), None],
        ["2024-01-01 12:34:56"],
        {"no_time": 2, "unparsable_time": 2},
    ),
    "days as numbers": ([20240101, 20240229, 20240230, 0], ["2024-01-01", "2024-02-29"], {"unparsable_time": 2}),
    "days as digits": (["20240101", "20240229", "20240230"], ["2024-01-01", "2024-02-29"], {"unparsable_time": 1}),
    "seconds as digits": (["20240101123456", "20240101000000"], ["2024-01-01 12:34:56", "2024-01-01"], {}),
    "ISO": (
        ["2024-01-01", "2024-01-01 12:34", "2024-01-01T12:34:56", "2024-01-01 12:34:56.789", "2024-1-2 3:04"],
        ["2024-01-01", "2024-01-01 12:34", "2024-01-01 12:34:56", "2024-01-01 12:34:56.789", "2024-01-02 03:04"],
        {},
    ),
    "nearly ISO": (
        ["2024/01/02", " 2024-01-01 ", "2024-01-01 12:34:56,5", "2024-01-01 01:30 PM"],
        ["2024-01-02", "2024-01-01", "2024-01-01 12:34:56.500", "2024-01-01 13:30"],
        {},
    ),
    "not ISO": (
        ["2024-02-30", "2024-13-01", "2024-01-01 25:00", "2024-01", "2024-01-01T12", "0000-00-00", "2024-01-01"],
        ["2024-01-01"],
        {"unparsable_time": 6},
    ),
    "nothing": (["NaT", "nan", "", " ", None, "2024-01-01"], ["2024-01-01"], {"unparsable_time": 2, "no_time": 3}),
    "days first": (
        ["13/01/2024", "02/01/2024 10:30", "2/1/2024 9:05:01 PM"],
        ["2024-01-13", "2024-01-02 10:30", "2024-01-02 21:05:01"],
        {},
    ),
    "months first": (
        ["01/13/2024", "02/01/2024 10:30", "2/1/2024 9:05:01 PM"],
        ["2024-01-13", "2024-02-01 10:30", "2024-02-01 21:05:01"],
        {},
    ),
    "dots": (["01.02.2024", "1.2.2024 10:00"], ["2024-02-01", "2024-02-01 10:00"], {}),
    "two digits of a year": (["13/01/24", "14/01/70"], ["2024-01-13", "1970-01-14"], {}),
    "dashes": (["13-01-2024", "02-01-2024"], ["2024-01-13", "2024-01-02"], {}),
    "words": (
        ["01-Jan-2024", "1 January 2024 10:30", "Jan 2, 2024", "January 2, 2024 10:30 PM", "2024.01.05", "Monday"],
        ["2024-01-01", "2024-01-01 10:30", "2024-01-02", "2024-01-02 22:30", "2024-01-05"],
        {"unparsable_time": 1},
    ),
    "outside the calendar": (
        ["1969-12-31 23:59:59.999999", "1970-01-01", "9999-12-31", "2999-01-01"],
        ["1970-01-01"],
        {"before_1970": 1, "in_the_future": 2},
    ),
}


@pytest.mark.parametrize("case", SEVERAL)
def test_times_that_carry_no_zone(case: str, tmp_path: Path) -> None:
    values, expected, aside = SEVERAL[case]
    assert _times(tmp_path, values) == ([datetime.fromisoformat(e) for e in expected], aside)


ZONED = {
    "2024-07-01T10:00:00Z": "2024-07-01 12:00",
    "2024-07-01T10:00:00z": "2024-07-01 12:00",
    "2024-07-01 10:00:00+00:00": "2024-07-01 12:00",
    "2024-07-01 10:00:00+02": "2024-07-01 10:00",
    "2024-07-01T10:00:00.5-0530": "2024-07-01 17:30:00.500",
    "2024-07-01 10:00 UTC": "2024-07-01 12:00",
    "2024-07-01 10:00:00 GMT": "2024-07-01 12:00",
    "2024-07-01 10:00:00 -05:00": "2024-07-01 17:00",
    "2024-07-01 10:00:00": "2024-07-01 10:00",
    "2024-07-01": "2024-07-01",
}


def test_iso_times_with_and_without_zone_in_one_column(tmp_path: Path) -> None:
    expected = [datetime.fromisoformat(e) for e in ZONED.values()]
    assert _times(tmp_path, list(ZONED), "Europe/Berlin") == (expected, {})


def test_dates_of_mail_headers(tmp_path: Path) -> None:
    given = ["Mon, 01 Jul 2024 10:00:00 GMT", "Mon, 1 Jul 2024 10:00:00 +0000", "Mon, 01 Jul 2024 10:00:00 -0500"]
    assert _times(tmp_path, given, "Europe/Berlin")[0] == [datetime(2024, 7, 1, h) for h in (12, 12, 17)]


NATIVE = {
    "seconds": pa.array([datetime(2024, 7, 1, 10)], pa.timestamp("s")),
    "nanoseconds": pa.array([datetime(2024, 7, 1, 10)], pa.timestamp("ns")),
    "a zone": pa.array([datetime(2024, 7, 1, 8, tzinfo=UTC)], pa.timestamp("us", "Asia/Tokyo")),
    "nanoseconds with a zone": pa.array([datetime(2024, 7, 1, 8, tzinfo=UTC)], pa.timestamp("ns", "UTC")),
}


@pytest.mark.parametrize("name", NATIVE)
def test_times_that_are_typed(name: str, tmp_path: Path) -> None:
    assert _times(tmp_path, NATIVE[name], "Europe/Berlin") == ([datetime(2024, 7, 1, 10)], {})


def test_days_that_are_typed(tmp_path: Path) -> None:
    days = [date(2024, 7, 1), None, date(1, 1, 1), date(9999, 12, 31)]
    aside = {"no_time": 1, "before_1970": 1, "in_the_future": 1}
    assert _times(tmp_path, days) == ([datetime(2024, 7, 1)], aside)


UNREADABLE = {
    "words": (["hello", "you"], "None of 2 values in 'when' can be read as a time, such as 'hello'."),
    "a count of days": ([45292.5, 45293.0], "None of 2 values in 'when' can be read as a time, such as '45292.5'."),
    "small numbers": ([1, 2, 3], "None of 3 values in 'when' can be read as a time, such as '1'."),
    "day or month": (["01/02/2024"] * 3, "are written like 03/04/2024, and no value tells day from month (3 values)."),
    "day and month": (["13/01/2024", "01/13/2024"], "and some have the day first and some the month (2 values)."),
    "truth": ([True], "The column 'when' is of type BOOLEAN, which holds no times."),
    "times of day": ([datetime(2024, 1, 1, 3).time()], "The column 'when' is of type TIME, which holds no times."),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_is_no_time_or_could_be_two(case: str, tmp_path: Path) -> None:
    values, message = UNREADABLE[case]
    with pytest.raises(ColumnTypeError) as caught:
        _times(tmp_path, values)
    assert message in caught.value.message
    assert caught.value.hint


# --- zones ---------------------------------------------------------------------------------------------------

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Casablanca",
         "Pacific/Apia", "America/Sao_Paulo", "Africa/Monrovia"]  # fmt: skip
CHANGES = [datetime(2024, 3, 31, 1, tzinfo=UTC), datetime(2024, 10, 27, 1, tzinfo=UTC),
           datetime(2011, 12, 30, 10, tzinfo=UTC), datetime(2024, 4, 6, 15, tzinfo=UTC)]  # fmt: skip
instants = st.one_of(
    st.datetimes(datetime(1970, 1, 3), datetime(2026, 1, 1), timezones=st.just(UTC)),
    st.builds(lambda at, us: at + timedelta(microseconds=us), st.sampled_from(CHANGES), st.integers(-5, 5)),
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ZONES), st.lists(instants, min_size=1, max_size=30))
def test_every_instant_is_on_the_wall_clock_that_people_see(zone: str, at: list[datetime]) -> None:
    database = DuckdbDatabase(None, None)
    try:
        given = ", ".join(f"({local_us(i)})" for i in at)
        rows = database.rows(f"SELECT {in_zone('i', zone)} FROM (VALUES {given}) AS v(i)")
    finally:
        database.close()
    assert [r[0] for r in rows] == [local_us(i, zone) for i in at]


def test_midnights_of_the_zone_are_whole_days(tmp_path: Path) -> None:
    berlin = timezone(timedelta(hours=2))
    table = pa.table({"who": ["a"], "when": [datetime(2024, 7, 1, tzinfo=berlin).astimezone(UTC)]})
    log = load({"columns": NAMED}, tmp_path, {"events": table}, time_zone="Europe/Berlin")
    assert divmod(rows_of(log)[0][1], DAY_US) == ((date(2024, 7, 1) - date(1970, 1, 1)).days, 0)


# --- numbers as people write them ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["12,50", "3", "n/a"], [12.5, 3.0, None]),
        (["€ 1.234,00", "-12,5 €", ""], [1234.0, -12.5, None]),
        (["$1,234.50", "12", "$1,000,000.00"], [1234.5, 12.0, 1_000_000.0]),
        (["1'234.50 £", "£7"], [1234.5, 7.0]),
    ],
)
def test_numbers_as_people_write_them(texts: list[str], expected: list[float | None], tmp_path: Path) -> None:
    rows = "\n".join(f"p{i};2024-01-0{i + 1};{text}" for i, text in enumerate(texts))
    (tmp_path / "a.csv").write_text(f"who;when;amount\n{rows}\n", encoding="utf-8")
    log = load({"events": "a.csv", "columns": NAMED | {"value": "amount"}}, tmp_path)
    assert {row[0]: row[4] for row in rows_of(log)} == {f"p{i}": value for i, value in enumerate(expected)}


def test_what_could_be_read_either_way_stays_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "who;when;a;b;c\n1;2024-01-01;1,234;007;12.05.2024\n2;2024-01-02;5,678;1;1.1.2024\n"
    )
    fields = look({"events": "a.csv", "columns": NAMED}, tmp_path).fields
    assert {name: fields[name].type for name in "abc"} == {"a": "text", "b": "text", "c": "time"}


@pytest.mark.parametrize("who", ["Mitglied", "Nutzer-ID", "Abonné", "id_usuario", "Utente", "Lidnummer"])
def test_who_is_known_in_other_languages(who: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"Zeitpunkt;{who};Aktion\n03.02.2024 10:15;M-1;Kauf\n14.02.2024 9:00;M-2;Kauf\n")
    assert look({"events": "a.csv"}, tmp_path).sources[0].columns["profile"] == who


def test_columns_of_other_languages_are_known(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "Kundennummer;Datum;Aktion;Betrag\n00012;03.02.2024 10:15;Kauf;12,50\n00013;14.02.2024;Besuch;\n"
    )
    source = look({"events": "a.csv"}, tmp_path).sources[0]
    assert source.columns == {"profile": "Kundennummer", "at": "Datum", "event": "Aktion", "value": "Betrag"}
