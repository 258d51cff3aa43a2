"""What was recorded is not what happened."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from corruptions.register import (
    END,
    Rows,
    as_csv,
    breaks,
    chance,
    changed,
    from_half,
    halves,
    newest,
    of_some,
)

# --- what was tracked -------------------------------------------------------------------------------------------


@breaks("tracking", "a week lost", "warned", "PROPEND-303")
def _(rows: Rows, folder: Path) -> Path:
    """no event of a week in May was recorded"""
    first, end = datetime(2011, 5, 9), datetime(2011, 5, 16)
    return as_csv([r for r in rows if not first <= r["ordered_at"] < end], folder)


@breaks("tracking", "a kind lost", "within")
def _(rows: Rows, folder: Path) -> Path:
    """no cancellation of two months was recorded"""
    first, end = datetime(2011, 4, 1), datetime(2011, 6, 1)
    return as_csv([r for r in rows if r["kind"] != "cancellation" or not first <= r["ordered_at"] < end], folder)


@breaks("tracking", "a source lost", "unnoticed", why="kinds are counted week by week, not what else events say")
def _(rows: Rows, folder: Path) -> Path:
    """orders of a third of the categories were not recorded for two months"""
    lost, first, end = sorted({r["category"] for r in rows})[::3], datetime(2011, 4, 1), datetime(2011, 6, 1)
    return as_csv([r for r in rows if r["category"] not in lost or not first <= r["ordered_at"] < end], folder)


@breaks("tracking", "weekends lost", "unnoticed", why="many shops are closed at weekends, and these have few events")
def _(rows: Rows, folder: Path) -> Path:
    """no event of a Saturday or Sunday of the last four months was recorded"""
    first = END - timedelta(days=120)
    return as_csv([r for r in rows if r["ordered_at"] < first or r["ordered_at"].weekday() < 5], folder)


@breaks("tracking", "half of the newest lost", "warned", "PROPEND-315")
def _(rows: Rows, folder: Path) -> Path:
    """of the last four weeks only 40 % of the events were recorded"""
    before, after = newest(rows, 28)
    return as_csv(before + [r for r in after if chance(r) < 0.4], folder)


@breaks(
    "tracking",
    "half of a month lost",
    "unnoticed",
    why="a slow month looks the same; only the newest weeks are compared with all others",
)
def _(rows: Rows, folder: Path) -> Path:
    """of four weeks in April only 40 % of the events were recorded"""
    first, end = datetime(2011, 4, 4), datetime(2011, 5, 2)
    return as_csv([r for r in rows if not first <= r["ordered_at"] < end or chance(r) < 0.4], folder)


@breaks("tracking", "one bot", "warned", "PROPEND-353")
def _(rows: Rows, folder: Path) -> Path:
    """one id orders 2,000 times in a day"""
    at, like = datetime(2011, 6, 15), rows[0]
    flood = [like | {"order_id": f"b{i}", "customer_id": "99999", "ordered_at": at + timedelta(seconds=40 * i)}
             for i in range(2_000)]  # fmt: skip
    return as_csv(rows + flood, folder)


@breaks("tracking", "many bots", "warned", "PROPEND-358")
def _(rows: Rows, folder: Path) -> Path:
    """2,000 ids that are never seen again order once each, in a day"""
    at, like = datetime(2011, 6, 15), rows[0]
    flood = [like | {"order_id": f"b{i}", "customer_id": str(90_000 + i), "ordered_at": at + timedelta(seconds=40 * i)}
             for i in range(2_000)]  # fmt: skip
    return as_csv(rows + flood, folder)


@breaks("tracking", "accounts of testers", "warned", "PROPEND-353")
def _(rows: Rows, folder: Path) -> Path:
    """five ids `test-1` and so on order every second day"""
    like, first = rows[0], datetime(2010, 1, 1)
    tests = [like | {"order_id": f"t{d}-{i}", "customer_id": f"test-{i}", "ordered_at": first + timedelta(days=2 * d)}
             for d in range(300) for i in range(5)]  # fmt: skip
    return as_csv(rows + tests, folder)


@breaks("tracking", "a kind renamed", "warned", "PROPEND-354")
def _(rows: Rows, folder: Path) -> Path:
    """from half-way on a cancellation is called a return"""
    return as_csv(from_half(rows, "kind", lambda k: "return" if k == "cancellation" else k), folder)


@breaks("tracking", "the goal's kind renamed", "warned", "PROPEND-354")
def _(rows: Rows, folder: Path) -> Path:
    """until half-way a purchase was called an order"""
    before, after = halves(rows)
    return as_csv(changed(before, "kind", lambda k: "order" if k == "purchase" else k) + after, folder)


@breaks("tracking", "the goal's kind renamed of late", "warned", "PROPEND-354")
def _(rows: Rows, folder: Path) -> Path:
    """for three weeks a purchase has been called an order"""
    before, after = newest(rows, 21)
    return as_csv(before + changed(after, "kind", lambda k: "order" if k == "purchase" else k), folder)


@breaks("tracking", "a kind in capitals", "warned", "PROPEND-355")
def _(rows: Rows, folder: Path) -> Path:
    """a fifth of the purchases is written `Purchase`"""
    return as_csv(of_some(rows, 0.2, lambda r: r | {"kind": r["kind"].capitalize()}), folder)


@breaks("tracking", "a kind with spaces", "warned", "PROPEND-355")
def _(rows: Rows, folder: Path) -> Path:
    """a fifth of the kinds has a space at its end"""
    return as_csv(of_some(rows, 0.2, lambda r: r | {"kind": f"{r['kind']} "}), folder)


@breaks("tracking", "a kind in signs that look alike", "warned", "PROPEND-355")
def _(rows: Rows, folder: Path) -> Path:
    """a fifth of the purchases is written in wide letters, which compatible forms make plain"""
    wide = "".join(chr(ord(c) + 0xFEE0) for c in "purchase")
    return as_csv(of_some(rows, 0.2, lambda r: r | {"kind": r["kind"].replace("purchase", wide)}), folder)
