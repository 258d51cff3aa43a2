"""What stands in the rows is wrong: values, ids, and what knows too much."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from corruptions.register import (
    HALF,
    Row,
    Rows,
    as_csv,
    breaks,
    chance,
    changed,
    from_half,
    halves,
    newest,
    of_some,
    some_values,
)

# --- values ----------------------------------------------------------------------------------------------------


@breaks("values", "text in some values", "warned", "PROPEND-311")
def _(rows: Rows, folder: Path) -> Path:
    """5 % of the amounts are `on request`"""
    return as_csv(some_values(rows, 0.05, "amount", "on request"), folder)


@breaks("values", "values become text half-way", "refused", "PROPEND-100")
def _(rows: Rows, folder: Path) -> Path:
    """from half-way on an amount is `12.5 (net)`"""
    return as_csv(from_half(rows, "amount", lambda v: f"{v} (net)"), folder)


@breaks("values", "decimal commas", "same")
def _(rows: Rows, folder: Path) -> Path:
    """every amount is written `12,5`, in a file parted by semicolons"""
    return as_csv(changed(rows, "amount", lambda v: str(v).replace(".", ",")), folder, delimiter=";")


@breaks("values", "decimal commas half-way", "refused", "PROPEND-100")
def _(rows: Rows, folder: Path) -> Path:
    """from half-way on an amount is written `12,5`, before `12.5`"""
    return as_csv(from_half(rows, "amount", lambda v: str(v).replace(".", ",")), folder, delimiter=";")


@breaks("values", "signs of money", "same")
def _(rows: Rows, folder: Path) -> Path:
    """every amount is written `£12.5`"""
    return as_csv(changed(rows, "amount", lambda v: f"£{v}"), folder)


@breaks("values", "thousands parted", "same")
def _(rows: Rows, folder: Path) -> Path:
    """every amount is written `1,234.50`"""
    return as_csv(changed(rows, "amount", lambda v: f"{v:,.2f}"), folder)


@breaks("values", "truths for values", "refused", "PROPEND-203")
def _(rows: Rows, folder: Path) -> Path:
    """the amount says whether there is one, `true` or `false`"""
    return as_csv(changed(rows, "amount", lambda v: "true" if v > 0 else "false"), folder)


@breaks("values", "NaN and infinity", "warned", "PROPEND-311")
def _(rows: Rows, folder: Path) -> Path:
    """3 % of the amounts are `NaN`, 3 % `inf`"""
    return as_csv(of_some(rows, 0.06, lambda row: row | {"amount": "NaN" if chance(row) < 0.03 else "inf"}), folder)


@breaks("values", "huge numbers", "within")
def _(rows: Rows, folder: Path) -> Path:
    """five amounts are 1e300"""
    return as_csv(some_values(rows, 0.0006, "amount", 1e300), folder)


@breaks(
    "values",
    "signs turned",
    "unnoticed",
    why="an amount below nothing may be a return; whoever bought nothing else is then no buyer",
)
def _(rows: Rows, folder: Path) -> Path:
    """5 % of the amounts are negative though they are purchases"""
    return as_csv(of_some(rows, 0.05, lambda row: row | {"amount": -row["amount"]}), folder)


@breaks("values", "cents half-way", "warned", "PROPEND-357")
def _(rows: Rows, folder: Path) -> Path:
    """from half-way on amounts are a hundred times as large"""
    return as_csv(from_half(rows, "amount", lambda v: round(v * 100)), folder)


@breaks("values", "cents in the last three weeks", "warned", "PROPEND-315")
def _(rows: Rows, folder: Path) -> Path:
    """in the last three weeks amounts are a hundred times as large"""
    before, after = newest(rows, 21)
    return as_csv(before + changed(after, "amount", lambda v: v * 100), folder)


@breaks("values", "euros after cents", "warned", "PROPEND-357")
def _(rows: Rows, folder: Path) -> Path:
    """until half-way amounts are a hundred times as large"""
    before, after = halves(rows)
    return as_csv(changed(before, "amount", lambda v: round(v * 100)) + after, folder)


@breaks("values", "another currency half-way", "within")
def _(rows: Rows, folder: Path) -> Path:
    """from half-way on amounts are in euros, 1.17 times as large"""
    return as_csv(from_half(rows, "amount", lambda v: round(v * 1.17, 2)), folder)


@breaks("values", "some values in cents", "within")
def _(rows: Rows, folder: Path) -> Path:
    """5 % of the amounts have lost their decimal point"""
    return as_csv(of_some(rows, 0.05, lambda row: row | {"amount": round(row["amount"] * 100)}), folder)


@breaks("values", "values empty half-way", "warned", "PROPEND-357")
def _(rows: Rows, folder: Path) -> Path:
    """in four weeks around half-way no row has an amount"""
    end = HALF + timedelta(days=28)
    return as_csv([r | {"amount": None} if HALF <= r["ordered_at"] < end else r for r in rows], folder)


@breaks(
    "values",
    "some values zero",
    "unnoticed",
    why="an amount of nothing may be a gift; whoever bought nothing else is then no buyer",
)
def _(rows: Rows, folder: Path) -> Path:
    """5 % of the amounts are 0"""
    return as_csv(some_values(rows, 0.05, "amount", 0), folder)


@breaks("values", "values with exponents", "same")
def _(rows: Rows, folder: Path) -> Path:
    """every amount is written `1.25e+01`"""
    return as_csv(changed(rows, "amount", lambda v: f"{v:.16e}"), folder)


@breaks("values", "spaces around values", "same")
def _(rows: Rows, folder: Path) -> Path:
    """every amount is written ` 12.5 `"""
    return as_csv(changed(rows, "amount", lambda v: f" {v} "), folder)


@breaks("values", "nothing, in words", "warned", "PROPEND-311")
def _(rows: Rows, folder: Path) -> Path:
    """3 % of the amounts are `N/A`, `-` or `null`"""
    return as_csv(
        of_some(rows, 0.03, lambda row: row | {"amount": ("N/A", "-", "null")[int(chance(row) * 100)]}), folder
    )


# --- ids --------------------------------------------------------------------------------------------------------


@breaks("ids", "ids padded half-way", "warned", "PROPEND-356")
def _(rows: Rows, folder: Path) -> Path:
    """from half-way on an id is written with zeros before it"""
    return as_csv(from_half(rows, "customer_id", lambda i: i.zfill(8)), folder)


@breaks("ids", "ids in capitals half-way", "warned", "PROPEND-356")
def _(rows: Rows, folder: Path) -> Path:
    """ids begin with a `c`, from half-way on with a `C`"""
    return as_csv(from_half(changed(rows, "customer_id", lambda i: f"c{i}"), "customer_id", str.upper), folder)


@breaks("ids", "spaces around some ids", "warned", "PROPEND-356")
def _(rows: Rows, folder: Path) -> Path:
    """a fifth of the rows has a space after the id"""
    return as_csv(of_some(rows, 0.2, lambda r: r | {"customer_id": f"{r['customer_id']} "}), folder)


@breaks("ids", "ids with a fraction", "same")
def _(rows: Rows, folder: Path) -> Path:
    """from half-way on an id is written `17850.0`"""
    return as_csv(from_half(rows, "customer_id", lambda i: f"{i}.0"), folder)


@breaks("ids", "ids with a fraction among texts", "warned", "PROPEND-356")
def _(rows: Rows, folder: Path) -> Path:
    """from half-way on an id is written `17850.0`; others are `guest`"""
    guests = some_values(rows, 0.02, "customer_id", "guest")
    return as_csv(from_half(guests, "customer_id", lambda i: i if i == "guest" else f"{i}.0"), folder)


@breaks("ids", "ids with an exponent", "warned", "PROPEND-356")
def _(rows: Rows, folder: Path) -> Path:
    """a fifth of the ids is written `1.785E+04`, as a spreadsheet shows them"""
    return as_csv(of_some(rows, 0.2, lambda r: r | {"customer_id": f"{int(r['customer_id']):.3E}"}), folder)


@breaks("ids", "ids in two forms of letters", "warned", "PROPEND-356")
def _(rows: Rows, folder: Path) -> Path:
    """ids begin with `é`, from half-way on as an `e` with an accent of its own"""
    named = changed(rows, "customer_id", lambda i: f"é{i}")
    return as_csv(from_half(named, "customer_id", lambda i: unicodedata.normalize("NFD", i)), folder)


@breaks("ids", "nobody, in words", "warned", "PROPEND-353")
def _(rows: Rows, folder: Path) -> Path:
    """2 % of the ids are `N/A`, 2 % `undefined`"""
    return as_csv(
        of_some(rows, 0.04, lambda r: r | {"customer_id": "N/A" if chance(r) < 0.02 else "undefined"}), folder
    )


@breaks("ids", "nobody, as zeros", "warned", "PROPEND-353")
def _(rows: Rows, folder: Path) -> Path:
    """8 % of the ids are 0"""
    return as_csv(some_values(rows, 0.08, "customer_id", "0"), folder)


@breaks("ids", "ids empty", "warned", "PROPEND-305")
def _(rows: Rows, folder: Path) -> Path:
    """3 % of the ids are empty or `null`"""
    return as_csv(of_some(rows, 0.03, lambda r: r | {"customer_id": "" if chance(r) < 0.02 else "null"}), folder)


@breaks("ids", "ids used again", "unnoticed", why="an id is all that tells customers apart")
def _(rows: Rows, folder: Path) -> Path:
    """from half-way on a tenth of the ids belong to other people"""
    known = sorted({r["customer_id"] for r in rows})
    taken = dict(zip(known[::10], known[5::10], strict=False))
    return as_csv(from_half(rows, "customer_id", lambda i: taken.get(i, i)), folder)


@breaks("ids", "new ids half-way", "unnoticed", why="nothing tells new customers from old ones with new ids")
def _(rows: Rows, folder: Path) -> Path:
    """from half-way on everybody has another id, as after a change of systems"""
    return as_csv(from_half(rows, "customer_id", lambda i: f"x{i}"), folder)


@breaks("ids", "all one profile", "refused", "PROPEND-413")
def _(rows: Rows, folder: Path) -> Path:
    """every row has the same id"""
    return as_csv(changed(rows, "customer_id", lambda _: "1"), folder)


@breaks("ids", "a profile for every event", "refused", "PROPEND-409")
def _(rows: Rows, folder: Path) -> Path:
    """every row has an id of its own"""
    return as_csv([r | {"customer_id": str(i)} for i, r in enumerate(rows)], folder)


# --- what knows too much ------------------------------------------------------------------------------------------

_KNOWN = {"path": "customers.csv", "profile": "customer_id"}


def _bought_after(rows: Rows) -> dict[str, int]:
    """Orders of each customer in the last sixty days of all."""
    counts = dict.fromkeys((r["customer_id"] for r in rows), 0)
    for row in newest(rows, 60)[1]:
        counts[row["customer_id"]] += 1
    return counts


def _with_attributes(rows: Rows, facts: Sequence[Row], folder: Path) -> Path:
    as_csv(facts, folder, "customers.csv")
    (folder / "events").mkdir()
    as_csv(rows, folder / "events")
    return folder


@breaks("leaks", "attributes as of today", "warned", "PROPEND-304",
        events="events/orders.csv", attributes=_KNOWN)  # fmt: skip
def _(rows: Rows, folder: Path) -> Path:
    """a table of customers says how active each is today, and not since when"""
    facts = [{"customer_id": i, "active": min(n, 3)} for i, n in _bought_after(rows).items()]
    return _with_attributes(rows, facts, folder)


@breaks("leaks", "attributes as of today, said to be constant", "warned", "PROPEND-306",
        events="events/orders.csv", attributes=_KNOWN | {"constant": True})  # fmt: skip
def _(rows: Rows, folder: Path) -> Path:
    """a table of customers says who is active today, and the document that this never changes"""
    facts = [{"customer_id": i, "active": "yes" if n else "no"} for i, n in _bought_after(rows).items()]
    return _with_attributes(rows, facts, folder)


@breaks("leaks", "the outcome dated back", "warned", "PROPEND-315")
def _(rows: Rows, folder: Path) -> Path:
    """whoever orders gets an event `deal_won`, dated a week before the order"""
    won = [r | {"order_id": f"w{r['order_id']}", "kind": "deal_won", "ordered_at": r["ordered_at"] - timedelta(days=7)}
           for r in rows if r["kind"] == "purchase" and r["ordered_at"] > datetime(2009, 12, 9)]  # fmt: skip
    return as_csv(rows + won, folder)
