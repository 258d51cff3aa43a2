"""A first instance for data nobody described: what is recognised, which goal, which windows, and that it works."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml

import propend
from logs import Event, log_of, moment
from propend import errors
from propend.demo import orders_path
from propend.events import EventRequest, Selector
from propend.goal import Goal, NamedEvent
from propend.instance import Data, Instance
from propend.proposal import Proposal, propose, proposed_name, relative_path, usual_gap_days, wanted_kinds
from propend.workspace.first import document_text, write_workspace
from shops import before, last_day, plus, shop

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"


def only(events: pa.Table, kind: str) -> pa.Table:
    return events.filter(pc.equal(events.column("event"), kind))


def renamed(events: pa.Table, **names: str) -> pa.Table:
    return events.rename_columns([names.get(n, n) for n in events.column_names])


def asked(proposal: Proposal) -> dict[str, Any]:
    """The question of a proposal, without its data."""
    document = proposal.instance.document()
    return {k: document.get(k) for k in ("name", "type", "events", "goal", "eligible") if k in document}


def test_kind_that_sounds_like_business_is_the_goal() -> None:
    events = shop()
    proposal = propose(events)
    assert proposal.instance.document() == {
        "name": "Purchase within 30 days",
        "data": {"columns": {"profile": "profile_id", "at": "at", "event": "event", "value": "amount"}},
        "events": {"purchase": {"is": "purchase"}},
        "goal": {"all_of": ["purchase"], "within": "30d"},
        "eligible": {"all_of": [{"did": "anything", "within": "90d"}]},
    }
    assert (proposal.refusal, proposal.as_of) == (None, None)
    assert propend.check(proposal.instance, data=events).ready


def test_a_table_of_who_when_what_and_paid_needs_no_word() -> None:
    plain = shop().rename_columns(["who", "when", "what", "paid", "category"])
    proposal = propose(plain)
    assert proposal.instance.document()["data"] == {
        "columns": {"profile": "who", "at": "when", "event": "what", "value": "paid"}
    }
    assert (proposal.instance.name, proposal.refusal) == ("Purchase within 30 days", None)


def test_only_kind_is_asked_whether_it_stops() -> None:
    buys = only(shop(), "purchase")
    proposal = propose(buys)
    assert asked(proposal) == {
        "name": "No purchase within 60 days",
        "type": "churn",
        "events": {"purchase": {"is": "purchase"}},
        "goal": {"none_of": ["purchase"], "within": "60d"},
        "eligible": {"all_of": [{"did": "purchase", "within": "90d"}]},
    }
    assert propend.check(proposal.instance, data=buys).ready


def test_kinds_without_business_are_asked_who_falls_silent() -> None:
    events = shop().filter(pc.not_equal(shop().column("event"), "purchase"))
    proposal = propose(events)
    goal = proposal.instance.document()["goal"]
    assert (proposal.instance.type, goal["none_of"]) == ("churn", ["anything"])
    assert propend.check(proposal.instance, data=events).ready


@pytest.mark.parametrize(
    ("days", "expected"),
    [(300, ("30d", "90d")), (110, ("30d", "30d")), (70, ("7d", "30d")), (50, ("7d", "30d"))],
)
def test_windows_are_those_that_history_allows(days: int, expected: tuple[str, str]) -> None:
    events = before(shop(1500), last_day(days))
    proposal = propose(events)
    document = proposal.instance.document()
    assert (document["goal"]["within"], document["eligible"]["all_of"][0]["within"]) == expected
    assert propend.check(proposal.instance, data=events).ready


def test_too_little_history_is_said_and_still_proposed() -> None:
    events = before(shop(), last_day(30))
    proposal = propose(events)
    assert isinstance(proposal.refusal, errors.NotEnoughHistoryError)
    assert any("no windows tried pass every check" in n.text for n in proposal.notes if n.section == "goal")
    with pytest.raises(errors.NotEnoughHistoryError):
        propend.check(proposal.instance, data=events)


def test_rows_that_no_column_names_are_called_after_their_columns(tmp_path: Path) -> None:
    lines = renamed(only(shop(), "purchase").drop_columns(["event"]), at="InvoiceDate", profile_id="CustomerID")
    numbered = lines.append_column("InvoiceNo", pa.array([f"{i // 3}" for i in range(len(lines))]))
    pq.write_table(numbered, tmp_path / "lines.parquet")
    proposal = propose(tmp_path / "lines.parquet", tmp_path)
    assert (proposal.instance.data, proposal.instance.name) == (
        Data(
            events="lines.parquet",
            columns={"profile": "CustomerID", "at": "InvoiceDate", "value": "amount"},
            kind="purchase",
        ),
        "No purchase within 60 days",
    )


def test_query_offered_for_order_lines_reads_orders(tmp_path: Path) -> None:
    """The lines under the comment sign are the data section's source, ready to be used."""
    orders = only(shop(), "purchase").drop_columns(["event", "category"])
    numbered = orders.append_column("order_id", pa.array([f"o{i}" for i in range(len(orders))]))
    pq.write_table(pa.concat_tables([numbered, numbered]), tmp_path / "lines.parquet")
    text = document_text(propose(tmp_path / "lines.parquet", tmp_path / "instances"))
    offered = text[text.index("#   events:") : text.index("\ndata:")].splitlines()
    query = yaml.safe_load("\n".join(line[2:] for line in offered))
    document = yaml.safe_load(text)
    document["data"] |= query | {"folder": str(tmp_path / "instances")}
    by_query = propend.check(Instance.load(document)).document
    assert by_query["counts"]["events_read"] == len(orders)
    assert by_query["outcomes"] == propend.check(Instance.load(yaml.safe_load(text)), data=orders).document["outcomes"]


def test_columns_that_count_become_named_events() -> None:
    """Some have no column of kinds: what happened is a counter of its own."""
    events = shop()
    kind = events.column("event")
    counter = {
        name: pa.StructArray.from_arrays([pc.if_else(pc.equal(kind, k), 1, None).combine_chunks()], ["value"])
        for name, k in (("purchases", "purchase"), ("productViews", "visit"))
    }
    commerce = pa.StructArray.from_arrays(list(counter.values()), list(counter))
    hits = renamed(events.select(["profile_id", "at"]), at="timestamp").append_column("shop", commerce)
    proposal = propose(hits)
    assert asked(proposal) == {
        "name": "Purchases within 30 days",
        "events": {
            "purchases": {"where": {"shop.purchases.value": {"gt": 0}}},
            "productViews": {"where": {"shop.productViews.value": {"gt": 0}}},
        },
        "goal": {"all_of": ["purchases"], "within": "30d"},
        "eligible": {"all_of": [{"did": "anything", "within": "90d"}]},
    }
    assert propend.check(proposal.instance, data=hits).ready


def test_stragglers_after_the_end_of_tracking() -> None:
    events = plus(shop(), [1, 2, 3], [350, 380, 400], "purchase")
    proposal = propose(events)
    assert proposal.as_of == last_day()
    assert f"from {last_day()} on there are next to no events (3): stand at that day (--as-of {last_day()})" in [
        n.text for n in proposal.notes
    ]
    assert propend.check(proposal.instance, data=events, as_of=proposal.as_of).ready


def test_wanted_kinds() -> None:
    kinds = ["order_cancelled", "visit", "checkout_started", "Order Placed", "unsubscribe", "OnlinePurchase", "renewal"]
    assert wanted_kinds(kinds) == ("OnlinePurchase", "Order Placed", "renewal")


def test_words_of_other_languages_mean_what_they_mean() -> None:
    wanted = [
        "BESTELLUNG_AUFGEGEBEN",
        "Compra",
        "achatTerminé",
        "Zamówienie",
        "köp",
        "Abonnement",
        "doação",
        "pagamento",
    ]
    others = [
        "Kündigung",
        "KUENDIGUNG",
        "bestellung_storniert",
        "devolução da compra",
        "kopie",
        "comprador",
        "annulation",
    ]
    found = (
        "Compra",
        "achatTerminé",
        "köp",
        "BESTELLUNG_AUFGEGEBEN",
        "Zamówienie",
        "pagamento",
        "Abonnement",
        "doação",
    )
    assert wanted_kinds([*others, *wanted]) == found


@pytest.mark.parametrize(
    ("columns", "kinds"),
    [
        (("Kundennummer", "Zeitpunkt", "Ereignis", "Betrag"), ("Besuch", "Bestellung", "Bestellung storniert")),
        (("cliente", "data_hora", "evento", "valor"), ("visita", "Compra", "compra cancelada")),
    ],
)
def test_files_in_other_languages_are_asked_for_what_sells(
    columns: tuple[str, ...], kinds: tuple[str, ...], tmp_path: Path
) -> None:
    names = dict(zip(("visit", "purchase", "call"), kinds, strict=True))
    told = pa.array([names[kind] for kind in shop().column("event").to_pylist()])
    table = pa.table(dict(zip(columns, (shop()["profile_id"], shop()["at"], told, shop()["amount"]), strict=True)))
    pa.csv.write_csv(table, tmp_path / "a.csv", pa.csv.WriteOptions(delimiter=";"))
    assert asked(propose(tmp_path / "a.csv")) == {
        "name": f"{kinds[1].capitalize()} within 30 days",
        "events": {kinds[1]: {"is": kinds[1]}},
        "goal": {"all_of": [kinds[1]], "within": "30d"},
        "eligible": {"all_of": [{"did": "anything", "within": "90d"}]},
    }


@pytest.mark.parametrize(
    ("goal", "name"),
    [
        ({"all_of": ["OnlinePurchase"], "within": "30d"}, "Online purchase within 30 days"),
        ({"none_of": ["buy"], "within": "1d"}, "No buy within 1 day"),
        ({"none_of": ["anything"], "within": "9d"}, "Silent for 9 days"),
        ({"all_of": ["anything"], "within": "9d"}, "Anything within 9 days"),
        ({"all_of": [{"did": "buy", "at_least": 2}], "within": "60d"}, "As it was within 60 days"),
        ({"any_of": ["buy", "visit"], "within": "60d"}, "As it was within 60 days"),
    ],
)
def test_a_goal_has_a_name(goal: dict[str, Any], name: str) -> None:
    assert proposed_name(Goal.model_validate(goal), "As it was within 30 days") == name


def test_usual_gap_is_that_of_three_of_four_profiles() -> None:
    days = {"a": (1, 3, 5), "b": (1, 11), "c": (2, 22), "d": (1, 5, 28), "once": (9,)}
    events = [Event(p, moment(f"2024-01-{d:02d} 12:00"), "buy") for p, ds in days.items() for d in ds]
    events += [Event("b", moment("2024-01-02 12:00"), "visit"), Event("c", moment("2024-01-02 18:00"), "buy")]
    log = log_of(events, EventRequest(selectors=(Selector("buy", NamedEvent(kinds=("buy",))),)))
    lower_medians = [2, 10, 20, 4]
    assert usual_gap_days(log, "buy") == np.quantile(lower_medians, 0.75)
    once = log_of([Event("a", moment("2024-01-01 12:00"), "buy")], EventRequest(selectors=()))
    assert usual_gap_days(once, "anything") is None


def test_paths_are_relative_where_both_may_move_together(tmp_path: Path) -> None:
    home = tmp_path / "shop"
    places = [tmp_path / "orders.csv", home / "raw" / "*.csv", home / ".." / "a" / "b.csv", Path("/data/x.csv")]
    assert [relative_path(p, home) for p in places] == ["../orders.csv", "raw/*.csv", "../a/b.csv", "/data/x.csv"]


def test_workspace_holds_the_commented_proposal(tmp_path: Path) -> None:
    pyarrow.csv.write_csv(shop(), tmp_path / "orders.csv")
    proposal = propose(tmp_path / "orders.csv", tmp_path / "shop")
    written = write_workspace(tmp_path / "shop", proposal)
    assert [p.relative_to(tmp_path).as_posix() for p in written] == ["shop/propend.toml", "shop/instances/first.yaml"]
    loaded = Instance.load(written[1])
    data = proposal.instance.data.model_copy(update={"folder": ".."})
    assert loaded == proposal.instance.model_copy(update={"data": data})
    text = written[1].read_text(encoding="utf-8")
    assert [n.text for n in proposal.notes if f"# {n.text}\n" not in text] == []
    assert propend.check(written[1]).ready
    with pytest.raises(errors.OutputExistsError, match="already in"):
        write_workspace(tmp_path / "shop", proposal)


def test_names_of_kinds_cannot_leave_their_comment(tmp_path: Path) -> None:
    odd = ["visit\ntype: churn", "buy\x85exits: [visit]", "order\u2028name: x"]
    events = shop()
    kinds = np.array(events.column("event").to_pylist(), dtype=object)
    for old, new in zip(["visit", "call", "purchase"], odd, strict=True):
        kinds[kinds == old] = new
    proposal = propose(events.set_column(2, "event", pa.array(kinds, pa.string())))
    loaded = Instance.load(yaml.safe_load(document_text(proposal)))
    assert loaded == proposal.instance


def test_demo_orders() -> None:
    proposal = propose(orders_path())
    assert asked(proposal)["goal"] == {"all_of": ["purchase"], "within": "30d"}
    assert [n.text for n in proposal.notes if n.section == "events"] == [
        "kinds of event: 2",
        "  purchase           29,534   82.8 %",
        "  cancellation        6,152   17.2 %",
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("ecom_synthetic/ecom.csv.gz", ("Purchase within 30 days", None)),
        ("git_contributors/segmentio_segment-docs.csv.gz", ("Silent for 60 days", None)),
        ("contoso_synthetic/ContosoHotel_HotelActivity.txt", ("No stay within 180 days", None)),
        ("contoso_synthetic/POSPurchases.txt", ("No POS Purchase within 90 days", date(2019, 2, 7))),
        ("luma_xdm/events.parquet", ("Silent for 7 days", None)),
        ("complete_journey/transactions.parquet", ("No purchase within 14 days", None)),
    ],
)
def test_raw_files_get_a_proposal_that_passes(path: str, expected: tuple[str, date | None]) -> None:
    if not (SHARED / path).exists():
        pytest.skip(f"no {path} in {SHARED}")
    proposal = propose(SHARED / path)
    assert (proposal.instance.name, proposal.as_of) == expected
    assert propend.check(proposal.instance, as_of=proposal.as_of).ready
