"""Adobe's XDM, with nothing mapped by hand: what happened, to whom and for how much is read from its shape."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import propend
from oracle_events import load, look, rows_of, shared_data, simple_rows
from propend.connectors import xdm
from propend.engines.duckdb import DuckdbDatabase
from propend.engines.sources import open_relation
from propend.engines.xdm import KIND, VALUE
from propend.errors import (
    EventsInvalidError,
    IdentityNotFoundError,
    NamespacesDifferError,
    NoInputDataError,
    NotXdmEventsError,
)
from propend.events import EventLog, Selector
from propend.goal import NamedEvent
from propend.instance import Instance, Source
from propend.live import LiveModel
from propend.proposal import propose
from propend.workspace.first import document_text

ROOT = Path(__file__).parent.parent


# --- Adobe's own examples -----------------------------------------------------------------------------------

ECID, AD, MCID = "ECID (identityMap)", "ADCLOUD (identityMap)", "ECID (endUserIDs._experience.mcid.id)"
VISITOR, USER = "68519882713298129995549973016107434638", "92312748749128"
SHA = "81d1a7135b9722577fb4f094a2004296d6230512d37b68e64b73f050b919f7c4"
EVENTS: dict[str, tuple[str, str, str | None, float | None]] = {
    "aam-experienceevent.example.1": ("other", ECID, USER, None),
    "adcloud-experienceevent.example.1": ("other", ECID, VISITOR, None),
    "adcloud-experienceevent.example.2": ("adClicks", AD, "XA9N8wAAAMnAaj_e", None),
    "adcloud-experienceevent.example.3": ("adClicks", AD, "XA9N8wAAAMnAaj_e", None),
    "adcloud-experienceevent.example.4": ("adConversions", AD, "XA9N8wAAAMnAaj_e", None),
    "aep-web-sdk-experienceevent.example.1": ("webVisit", "EMAIL_LC_SHA256 (identityMap)", SHA, None),
    "analytics-experienceevent.example.1": ("other", "", None, None),
    "campaign-experienceevent.example.1": ("messageSends", ECID, VISITOR, None),
    "consumer-experienceevent.example.1": ("purchases", ECID, VISITOR, 159.0),
    "experienceevent-consumer.example.1": ("purchases", ECID, VISITOR, 159.0),
    "experienceevent-proposition-interaction.example.2": ("web.webinteraction.contentDisplay", "", None, None),
    "experienceevent.example.1": ("purchases", ECID, USER, 159.0),
    "experienceevent.example.2": ("adViews", ECID, USER, None),
    "experienceevent.example.3": ("placeEntries", ECID, USER, None),
    "experienceevent.example.4": ("mediaStarts", ECID, USER, None),
    "experienceevent.example.5": ("adViews", ECID, "92318731249128", None),
    "experienceevent.example.6": ("mediaViews", ECID, "92312743856228", None),
    "experienceevent.example.7": ("pushActions", ECID, "92312743856228", None),
    "experienceevent.example.click": ("messageClicks", MCID, USER, None),
    "experienceevent.example.email-send": ("messageSends", MCID, USER, None),
    "experienceevent.example.open-push": ("messageOpens", MCID, USER, None),
    "experienceevent.example.sms-bounce": ("messageBounces", MCID, USER, None),
    "target-experienceevent.example.1": ("other", ECID, VISITOR, None),
}
"""Kind, identity, id and value of each document that is an event, as read by people."""
NO_EVENTS = {
    "experienceevent-profile-stitch.example.1": "membership",
    "experienceevent-segmentmembership.example.1": "membership",
    "experienceevent-segments-list.example.1": "membership",
    "segmentmembership.example.1": "membership",
    "segmentmembershipitem.example.1": "membership",
    "profile-journeyai-engagementscores.example.1": "profile",
    "subscription.example.1": "subscription",
    "experienceevent-healthcare-sitetool.example.1": "nothing",
    "experienceevent-reservation-search.example.1": "nothing",
}
"""What the others are; what is not named here is a group of fields without a time."""


def test_examples_of_adobe() -> None:
    files = sorted((shared_data("xdm_examples/subscription.example.1.json") / "xdm_examples").glob("*.json"))
    assert len(files) == 107
    found = {f.name.removesuffix(".json"): _told(f) for f in files}
    expected: dict[str, Any] = {name: NO_EVENTS.get(name, "fragment") for name in found}
    assert found == expected | EVENTS


def _told(file: Path) -> Any:
    db = DuckdbDatabase(None, None, threads=1)
    try:
        relation = open_relation(db, Source(path=str(file)), file.parent, {})
        known = relation.xdm
        if known is None or known.shape != "event":
            return "nothing" if known is None else known.shape
        columns = [KIND, known.roles.get("profile"), VALUE if VALUE in relation.columns else None]
        forms = [relation.columns[c].sql if c is not None else "NULL" for c in columns]
        kind, who, value = db.rows(f"SELECT {', '.join(forms)} FROM {relation.table}")[0]
        return kind, known.roles.get("profile", ""), who, value
    finally:
        db.close()


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("subscription.example.1.json", "subscription records"),
        ("segmentmembership.example.1.json", "memberships of segments"),
        ("profile-journeyai-engagementscores.example.1.json", "records about profiles"),
        ("experienceevent-commerce.example.1.json", "without their `timestamp`"),
    ],
)
def test_what_is_no_event_is_said_to_be_so(file: str, what: str) -> None:
    folder = shared_data(f"xdm_examples/{file}") / "xdm_examples"
    with pytest.raises(NotXdmEventsError, match=what):
        look({"events": file}, folder)


# --- a real shop --------------------------------------------------------------------------------------------

LUMA = "luma_xdm/events.parquet"
LUMA_ORDER = (
    *("commerce.purchases", "commerce.checkouts", "commerce.productListAdds", "commerce.productListOpens"),
    *("commerce.productViews", "commerce.productListViews", "application.firstLaunches", "application.crashes"),
    *("application.launches", "web.webInteraction.linkClicks"),
)
LUMA_NAMES = {
    "firstLaunches": "applicationFirstLaunches", "crashes": "applicationCrashes", "launches": "applicationLaunches",
    "linkClicks": "webInteraction",
}  # fmt: skip


def luma_kind(row: dict[str, Any]) -> str:
    for path in LUMA_ORDER:
        group: Any = row
        for part in path.split("."):
            group = (group or {}).get(part)
        if group and (group["value"] or 0) > 0:
            last = path.rsplit(".", 1)[-1]
            return LUMA_NAMES.get(last, last)
    return "search" if row["search"]["keywords"] else "webVisit"


def test_a_real_shop() -> None:
    """929 identities, no `eventType`, an `identityMap` that is always empty (reference T15, T20)."""
    folder = shared_data(LUMA)
    rows = pq.read_table(folder / LUMA).to_pylist()
    watch = {"is": "purchases", "where": {"productListItems.SKU": "summit watch"}}
    other = {"is": "purchases", "where": {"productListItems.SKU": {"ne": "summit watch"}}}
    many = {"where": {"productListItems.priceTotal": {"gt": 100}}}
    named = {
        "Watch purchase": watch,
        "other": other,
        "many": many,
        "checkouts": {"where": {"commerce.checkouts.value": {"gte": 1}}},
    }
    selectors = tuple(Selector(n, NamedEvent.model_validate(e)) for n, e in named.items())
    log = load({"events": LUMA}, folder, selectors=selectors, text_fields=("productListItems.SKU",))
    expected = []
    for row in rows:
        mcid = row["endUserIDs"]["_experience"]["mcid"]
        if mcid is None:
            continue
        who, items, kind = mcid["id"], row["productListItems"] or [], luma_kind(row)
        skus, prices = (
            [i["SKU"] for i in items if i["SKU"]],
            [i["priceTotal"] for i in items if i["priceTotal"] is not None],
        )
        bought = kind == "purchases"
        bits = int(bought and "summit watch" in skus) | int(bought and bool(skus) and "summit watch" not in skus) << 1
        bits |= int(any(p > 100 for p in prices)) << 2
        bits |= int((((row["commerce"] or {}).get("checkouts") or {}).get("value") or 0) >= 1) << 3
        first = items[0]["SKU"] if items else None
        expected.append((who, kind, bits, round(sum(prices), 6) if prices else None, first))
    found = [(w, k, b, None if v is None else round(v, 6), t[0]) for w, _, k, b, v, _, t in rows_of(log)]
    assert sorted(found, key=str) == sorted(expected, key=str)
    facts = log.facts.sources[0].xdm
    assert facts is not None
    assert (facts.identity, facts.kinds["purchases"], facts.currencies) == (
        MCID, "commerce.purchases above 0", {"USD": 301},
    )  # fmt: skip


def test_a_first_instance_of_a_real_shop(tmp_path: Path) -> None:
    proposal = propose(shared_data(LUMA) / LUMA, tmp_path)
    assert proposal.instance.data.events[0].format == "xdm"
    assert proposal.instance.data.events[0].identity == MCID
    text = document_text(proposal)
    assert "318    1.4 %  by commerce.purchases above 0" in text
    assert propend.check(proposal.instance).ready


# --- one form as the other ----------------------------------------------------------------------------------


def prefixed(value: Any, top: bool = True) -> Any:
    """The same document with `xdm:` before its keys, and JSON-LD's `@id`."""
    if isinstance(value, list):
        return [prefixed(v, False) for v in value]
    if not isinstance(value, dict):
        return value
    special = {"_id": "@id", "_experience": "_experience"}
    return {special.get(k, f"xdm:{k}"): prefixed(v, False) for k, v in value.items()}


def nested(path: str, value: Any) -> dict[str, Any]:
    for part in reversed(path.split(".")):
        value = {part: value}
    return value  # type: ignore[no-any-return]


def merged(*documents: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for document in documents:
        for key, value in document.items():
            found[key] = merged(found[key], value) if isinstance(value, dict) and key in found else value
    return found


def filled(rule: xdm.Rule, field: str, count: float) -> dict[str, Any]:
    return nested(f"{field}.value", count) if rule.test == "counter" else nested(field, "x")


FIELDS = [(rule, field) for rule in xdm.RULES for field in rule.fields]
ROW = st.tuples(
    st.lists(st.sampled_from(FIELDS), max_size=3),
    st.sampled_from([0, 1, 2.5]),
    st.sampled_from([None, "commerce.checkouts", "web.webpagedetails.pageViews", "quiz"]),
    st.sampled_from(["a", "b", "c"]),
)


def kind_of(fields: list[tuple[xdm.Rule, str]], count: float, event_type: str | None) -> str:
    """The first rule that a row shows, by the order that the documentation has."""
    shows = {rule.kind for rule, _ in fields if rule in xdm.ACTS and (rule.test == "present" or count > 0)}
    for rule in xdm.ACTS:
        if rule.kind in shows:
            return rule.kind
    if event_type not in (None, "web.webpagedetails.pageViews"):
        return {"commerce.checkouts": "checkouts"}.get(str(event_type), str(event_type))
    for rule in xdm.PAGES:
        if any(r is rule and (r.test == "present" or count > 0) for r, _ in fields):
            return rule.kind
    return "webVisit" if event_type else "other"


@settings(max_examples=12, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=12), order=st.randoms(use_true_random=False))
def test_prefixed_plain_and_shuffled_rows_are_the_same_events(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], order: random.Random
) -> None:
    documents, expected = [], []
    for i, (fields, count, event_type, who) in enumerate(rows):
        base = {"_id": f"e{i}", "timestamp": f"2024-01-01T00:{i:02d}:00Z"}
        base |= {"identityMap": {"ECID": [{"id": who, "primary": True}]}}
        base |= {"eventType": event_type} if event_type is not None else {}
        documents.append(merged(base, *(filled(rule, field, count) for rule, field in fields)))
        kind = kind_of(fields, count, event_type)
        expected.append((who, f"2024-01-01 00:{i:02d}:00", kind))
    kept = sorted(row for row in expected if row[2] not in xdm.MARKETER_MADE)
    shuffled = order.sample(documents, len(documents))
    folder = tmp_path_factory.mktemp("xdm")
    for name, rows_ in (("plain", documents), ("prefixed", [prefixed(d) for d in shuffled])):
        lines = "".join(json.dumps(row) + "\n" for row in rows_)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    half = len(documents) // 2
    (folder / "mixed").mkdir()
    (folder / "mixed" / "a.json").write_text(json.dumps(documents[:half] or documents), encoding="utf-8")
    rest = [prefixed(d) for d in documents[half:]]
    (folder / "mixed" / "b.json.gz").write_bytes(gzip.compress(json.dumps(rest).encode()))
    if not kept:
        return
    for name in ("plain.jsonl", "prefixed.jsonl", "mixed"):
        found = sorted(row[:3] for row in simple_rows(load({"events": {"path": name, "format": "xdm"}}, folder)))
        assert (name, found) == (name, kept)


def test_keys_that_differ_in_case_are_one(tmp_path: Path) -> None:
    """As in Adobe's own example of payments: `transactionID` and `transactionId`."""
    payments = [{"transactionID": "a"}, {"transactionId": "b"}]
    event = hit("p", commerce={"order": {"purchaseID": "1", "payments": payments, "priceTotal": 3}})
    (tmp_path / "a.json").write_text(json.dumps([event, event | {"_id": "2"}]), encoding="utf-8")
    log = load({"events": "a.json"}, tmp_path, text_fields=("commerce.order.payments.transactionID",))
    assert [(k, v, t) for _, _, k, _, v, _, t in rows_of(log)] == [("order", 3.0, ("a",))] * 2
    for i, shop in enumerate(("north", "south")):
        (tmp_path / "all" / f"shop={shop}").mkdir(parents=True)
        one = json.dumps(event | {"_id": str(i)})
        (tmp_path / "all" / f"shop={shop}" / "a.json").write_text(one, encoding="utf-8")
    log = load({"events": "all"}, tmp_path, text_fields=("shop",))
    assert sorted((k, v, t) for _, _, k, _, v, _, t in rows_of(log)) == [
        ("order", 3.0, ("north",)), ("order", 3.0, ("south",)),
    ]  # fmt: skip


# --- made-up hits -------------------------------------------------------------------------------------------


def hit(who: str = "a", at: str = "2024-01-01T10:00:00Z", **more: Any) -> dict[str, Any]:
    return {
        "_id": f"{who}{at}{len(more)}",
        "timestamp": at,
        "identityMap": {"ECID": [{"id": who, "primary": True}]},
    } | more


def written(folder: Path, *hits: dict[str, Any], name: str = "hits.jsonl") -> str:
    (folder / name).write_text("".join(json.dumps(h) + "\n" for h in hits), encoding="utf-8")
    return name


def met(log: EventLog, selectors: int) -> list[int]:
    """Of each selector, how many events it holds on."""
    rows = rows_of(log)
    return [sum(row[3] >> i & 1 for row in rows) for i in range(selectors)]


def test_conditions_on_what_an_event_has_several_of(tmp_path: Path) -> None:
    items = [["x1", "y"], ["y"], [], ["z", None], ["x2"]]
    hits = [
        hit(f"p{i}", productListItems=[{"SKU": s, "quantity": i} for s in skus], commerce={"purchases": {"value": 1}})
        for i, skus in enumerate(items)
    ]
    path = written(tmp_path, *hits)
    conditions = {
        "eq": ("SKU", "y", 2), "ne": ("SKU", {"ne": "y"}, 2), "in": ("SKU", {"in": ["x1", "z"]}, 2),
        "not in": ("SKU", {"not_in": ["x1", "z"]}, 2), "starts": ("SKU", {"starts_with": "x"}, 2),
        "exists": ("SKU", {"exists": True}, 4), "missing": ("SKU", {"exists": False}, 1),
        "gte": ("quantity", {"gte": 3}, 2), "between": ("quantity", {"between": [0, 1]}, 2),
    }  # fmt: skip
    selectors = tuple(
        Selector(n, NamedEvent.model_validate({"where": {f"productListItems.{field}": condition}}))
        for n, (field, condition, _) in conditions.items()
    )
    log = load({"events": path}, tmp_path, selectors=selectors)
    assert dict(zip(conditions, met(log, len(selectors)), strict=True)) == {n: c[2] for n, c in conditions.items()}


def test_the_value_is_the_orders_else_the_sum_of_its_items(tmp_path: Path) -> None:
    items = [{"SKU": "a", "priceTotal": 4.5}, {"SKU": "b", "price": 2, "quantity": 3}, {"SKU": "c", "price": 1}]
    bought: dict[str, Any] = {"purchases": {"value": 1}}
    path = written(
        tmp_path,
        hit("a", productListItems=items, commerce=bought),
        hit("b", productListItems=items, commerce=bought | {"order": {"priceTotal": 9, "currencyCode": "EUR"}}),
        hit("c", productListItems=[{"SKU": "a"}], commerce=bought),
        hit("d", productListItems=[{"SKU": "a", "priceTotal": 1, "currencyCode": "usd"}], commerce=bought),
    )
    log = load({"events": path}, tmp_path)
    assert [(w, v) for w, _, _, _, v, _, _ in sorted(rows_of(log))] == [
        ("a", 11.5),
        ("b", 9.0),
        ("c", None),
        ("d", 1.0),
    ]
    facts = log.facts.sources[0].xdm
    assert facts is not None and facts.currencies == {"EUR": 1, "USD": 1}


def test_t18_an_id_of_xdm_counts_once(tmp_path: Path) -> None:
    once = hit("a", commerce={"purchases": {"value": 1}})
    path = written(
        tmp_path, once, prefixed(once), hit("a", "2024-01-02T10:00:00Z", commerce={"checkouts": {"id": "c"}})
    )
    log = load({"events": path}, tmp_path)
    assert (log.facts.set_aside["duplicate"], sorted(row[2] for row in rows_of(log))) == (1, ["checkouts", "purchases"])


def test_times_without_a_zone_are_in_utc(tmp_path: Path) -> None:
    table = pa.table(
        {
            "timestamp": pa.array([1704103200_000_000], pa.timestamp("us")),
            "web": [{"webPageDetails": {"name": "home"}}],
            "endUserIDs": [{"_experience": {"mcid": {"id": "a"}}}],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    log = load({"events": "a.parquet"}, tmp_path, time_zone="Europe/Berlin")
    assert simple_rows(log) == [("a", "2024-01-01 11:00:00", "webVisit", None)]


def test_what_the_marketer_did_is_no_behaviour(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        hit("a", directMarketing={"sends": {"value": 1}}, eventType="directMarketing.emailSent"),
        hit("b", eventType="directMarketing.emailBounced"),
        hit("a", "2024-01-02T10:00:00Z", directMarketing={"sends": {"value": 1}, "opens": {"value": 1}}),
    )
    log = load({"events": path}, tmp_path)
    facts = log.facts.sources[0].xdm
    assert facts is not None
    assert (log.kinds, log.facts.set_aside["marketer_made"], facts.made) == (
        ("messageOpens",), 2, {"messageBounces": 1, "messageSends": 1},
    )  # fmt: skip
    assert list(look({"events": path}, tmp_path).kinds) == ["messageOpens"]
    asked = {"events": path, "columns": {"event": "eventType"}}
    assert sum(look(asked, tmp_path).kinds.values()) == 3
    sent = written(tmp_path, hit("a", directMarketing={"sends": {"value": 1}}), name="sent.jsonl")
    with pytest.raises(NoInputDataError, match="1 marketer made") as refusal:
        load({"events": sent}, tmp_path)
    assert "columns: {event: eventType}" in refusal.value.hint


# --- whose it is --------------------------------------------------------------------------------------------


def many_ids(who: str, **more: Any) -> dict[str, Any]:
    both = {"EMAIL": [{"id": f"{who}@x.org"}], "CRM": [{"id": f"crm-{who}", "primary": True}, {"id": "second"}]}
    end_user = {"_experience": {"mcid": {"id": f"e-{who}"}, "aaid": {"id": f"v-{who}"}}}
    return {"timestamp": "2024-01-01T10:00:00Z", "identityMap": both, "endUserIDs": end_user} | {
        "personalEmail": {"address": f"{who}@home.org"}, "web": {"webPageDetails": {"name": "home"}},
    } | more  # fmt: skip


@pytest.mark.parametrize(
    ("said", "label", "who"),
    [
        ({}, "CRM (identityMap)", "crm-a"),
        ({"identity": "ECID (endUserIDs._experience.mcid.id)"}, MCID, "e-a"),
        ({"identity": "endUserIDs._experience.aaid.id"}, "AAID (endUserIDs._experience.aaid.id)", "v-a"),
        ({"identity": "identityMap[EMAIL]"}, "EMAIL (identityMap)", "a@x.org"),
        ({"identity": "EMAIL (personalEmail.address)"}, "EMAIL (personalEmail.address)", "a@home.org"),
        ({"identity": "personalEmail.address"}, "EMAIL (personalEmail.address)", "a@home.org"),
        ({"namespace": "email"}, "EMAIL (identityMap)", "a@x.org"),
        ({"columns": {"profile": "personalEmail.address"}}, "personalEmail.address", "a@home.org"),
    ],
)
def test_identities_to_choose_from(tmp_path: Path, said: dict[str, Any], label: str, who: str) -> None:
    path = written(tmp_path, many_ids("a"), many_ids("a", timestamp="2024-01-02T10:00:00Z"))
    log = load({"events": {"path": path} | said}, tmp_path)
    assert (log.facts.sources[0].columns["profile"], {row[0] for row in rows_of(log)}) == (label, {who})


def test_t15_the_usual_identity_where_no_primary_one_is_always_there(tmp_path: Path) -> None:
    """Reference IN-10."""
    path = written(tmp_path, many_ids("a"), many_ids("b", identityMap={"EMAIL": [{"id": "b@x.org"}]}))
    source = look({"events": path}, tmp_path).sources[0]
    assert source.columns["profile"] == MCID
    assert source.xdm is not None and dict(source.xdm.identities) == {
        "EMAIL (identityMap)": 1.0, "CRM (identityMap)": 0.5, MCID: 1.0, "AAID (endUserIDs._experience.aaid.id)": 1.0,
    }  # fmt: skip


def test_an_identity_that_is_not_there_is_refused_with_those_there_are(tmp_path: Path) -> None:
    path = written(tmp_path, many_ids("a"))
    with pytest.raises(IdentityNotFoundError, match=r"no identity PHONE \(identityMap\).*CRM \(identityMap\), 100\.0%"):
        look({"events": {"path": path, "identity": "identityMap[phone]"}}, tmp_path)
    nobody = written(tmp_path, {"xdm:timestamp": "2024-01-01", "xdm:web": {"xdm:webPageDetails": {"xdm:name": "x"}}})
    with pytest.raises(IdentityNotFoundError, match="no identity that is filled"):
        look({"events": nobody}, tmp_path)


def test_t14_sources_of_different_namespaces_are_refused(tmp_path: Path) -> None:
    """Reference T14; what documents say is compared before anything is opened."""
    web, crm = written(tmp_path, many_ids("a")), tmp_path / "crm.csv"
    crm.write_text("phone,at,event\n1,2024-01-01,call\n", encoding="utf-8")
    said = [{"path": "nowhere", "namespace": "Email"}, {"path": "neither", "identity": "PHONE (phone)"}]
    found = [web, {"path": "crm.csv", "identity": "PHONE (phone)"}]
    refusals = []
    for events in (said, found):
        with pytest.raises(NamespacesDifferError) as refusal:
            look({"events": events}, tmp_path)
        refusals.append(refusal.value.facts["namespaces"])
    assert refusals == [{"nowhere": "EMAIL", "neither": "PHONE"}, {web: "CRM", "crm.csv": "PHONE"}]
    same = [
        {"path": web, "identity": "EMAIL (personalEmail.address)"},
        {"path": "crm.csv", "identity": "EMAIL (phone)"},
    ]
    assert set(look({"events": same}, tmp_path).kinds) == {"webVisit", "call"}


# --- recognised, insisted on, forbidden -----------------------------------------------------------------------


def test_insisted_on_and_forbidden(tmp_path: Path) -> None:
    flat = {"timestamp": "2024-01-01T10:00:00Z", "eventType": "commerce.purchases", "customerId": "a", "kind": "k"}
    path = written(tmp_path, flat)
    found = [look({"events": {"path": path, "format": f}}, tmp_path).sources[0] for f in (None, "plain", "xdm")]
    assert [(s.xdm is not None, s.columns["event"]) for s in found] == [(False, "eventType")] * 2 + [(True, KIND)]
    nested_one = written(tmp_path, many_ids("a", customerId="c", eventType="x"))
    plain = look({"events": {"path": nested_one, "format": "plain"}}, tmp_path).sources[0]
    assert (plain.xdm, plain.columns["profile"]) == (None, "customerId")
    with pytest.raises(NotXdmEventsError, match="nothing that has the shape"):
        look({"events": {"path": written(tmp_path, {"when": "2024-01-01", "who": 1}), "format": "xdm"}}, tmp_path)


def test_columns_that_others_use_as_well_are_not_taken_for_xdm(tmp_path: Path) -> None:
    row = {
        "timestamp": "2024-01-01T10:00:00Z",
        "user_id": "a",
        "event": "open",
        "search": {"keywords": "x"},
        "web": "y",
    }
    source = look({"events": written(tmp_path, row)}, tmp_path).sources[0]
    assert (source.xdm, source.columns["event"]) == (None, "event")


# --- subscriptions --------------------------------------------------------------------------------------------


def test_subscriptions_are_facts_that_hold_from_their_start(tmp_path: Path) -> None:
    """What is written after the start, as the end and the status are, is not known then and is left out."""
    path = written(tmp_path, hit("a", commerce={"purchases": {"value": 1}}))
    subscriptions = [
        {"xdm:identityMap": {"ECID": [{"xdm:id": "a"}]}, "xdm:startDate": start, "xdm:endDate": "2025-01-01"}
        | {"xdm:planName": plan, "xdm:term": term, "xdm:termUnitOfTime": "Month", "xdm:status": "active"}
        for start, plan, term in (("2023-01-01", "small", 1), ("2023-07-01", "large", 12))
    ]
    facts = written(tmp_path, *subscriptions, name="subscriptions.jsonl")
    log = load({"events": path, "attributes": {"path": facts}}, tmp_path)
    part = next(iter(log.partitions()))
    texts = [[v[c] for c in codes] for v, codes in zip(log.attribute_vocabularies, part.attributes.texts, strict=True)]
    assert log.attribute_texts == ("planName", "termUnitOfTime")
    assert (texts[0], part.attributes.numbers[log.attribute_numbers.index("term")].tolist()) == (
        ["small", "large"],
        [1, 12],
    )
    assert [day // 86_400_000_000 for day in part.attributes.at.tolist()] == [19358, 19539]
    assert sorted(log.facts.attributes_without_time) == ["endDate", "status"]


# --- to the end -------------------------------------------------------------------------------------------------


def shop_of_watches(folder: Path) -> str:
    """600 people; who bought a watch comes back for another thing soon."""
    random.seed(7)
    hits = []
    for person in range(600):
        fan = person % 3 == 0
        for day in range(0, 120, random.randint(3, 9)):
            at = f"{(day // 30) + 1:02d}-{day % 28 + 1:02d}"
            hits.append(
                hit(f"p{person}", f"2024-{at}T10:{person % 60:02d}:00Z", web={"webPageDetails": {"name": "home"}})
            )
            if random.random() < (0.6 if fan else 0.06):
                sku = "prd1013" if fan and random.random() < 0.8 else "prd7"
                items = [{"SKU": "prd1", "priceTotal": 1}, {"SKU": sku, "priceTotal": 20}]
                buy = hit(f"p{person}", f"2024-{at}T12:{person % 60:02d}:00Z", productListItems=items)
                hits.append(buy | {"commerce": {"purchases": {"value": 1}}, "channel": {"mediaType": "x"}})
    hits.append(hit("p1", "2024-04-20T12:00:00Z", directMarketing={"sends": {"value": 1}}))
    return written(folder, *hits)


def test_t20_a_named_event_on_an_item_speaks_in_factors(tmp_path: Path) -> None:
    """Reference T20: the factor is called as the user called the event."""
    document = {
        "name": "Purchase within 7 days",
        "data": {"events": shop_of_watches(tmp_path), "folder": str(tmp_path)},
        "events": {"Watch purchase": {"is": "purchases", "where": {"productListItems.SKU": "prd1013"}}},
        "goal": {"any_of": ["purchases"], "within": "14d"},
        "eligible": {"all_of": [{"did": "anything", "within": "30d"}]},
    }
    run = propend.run(Instance.load(document), out=tmp_path / "run")
    labels = {f["label"] for factors in run.scores.column("factors").to_pylist() for f in factors}
    assert any("Watch purchase" in label for label in labels)
    told = run.record["data"]["sources"][0]["xdm"]
    assert (told["identity"], told["made"]) == (ECID, {"messageSends": 1})
    assert "PROPEND-332" in [w["code"] for w in run.record["warnings"]]
    scored_alone_as_in_the_run(run, tmp_path)


def scored_alone_as_in_the_run(run: propend.Run, folder: Path) -> None:
    """To the last bit, from events as they stand in the export, with and without prefix, and by roles."""
    events: dict[str, list[dict[str, Any]]] = {}
    for line in (folder / "hits.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        events.setdefault(event["identityMap"]["ECID"][0]["id"], []).append(event)
    model = LiveModel.load(folder / "run")
    for row in run.scores.slice(0, 12).to_pylist():
        who = row["profile_id"]
        as_roles = [
            {
                "at": e["timestamp"], "id": e["_id"], "event": "purchases" if "commerce" in e else "webVisit",
                "value": sum(i["priceTotal"] for i in e["productListItems"]) if "commerce" in e else None,
                **{key: e[key] for key in ("productListItems", "commerce", "channel", "web") if key in e},
            }
            for e in events[who]
            if "directMarketing" not in e
        ]  # fmt: skip
        for told in (events[who], [prefixed(e) for e in events[who]], as_roles):
            answer = model.score(told, profile_id=who)
            assert {k: answer[k] for k in row} == row | {"run_id": answer["run_id"]}
    with pytest.raises(EventsInvalidError, match="cannot be read as XDM"):
        model.score([{"timestamp": "2024-01-01", "web": {"webPageDetails": {"pageViews": {"value": float("nan")}}}}])
    model.close()


# --- what is documented ------------------------------------------------------------------------------------------


def test_the_page_has_the_kinds_in_their_order() -> None:
    page = (ROOT / "docs" / "xdm.md").read_text(encoding="utf-8")
    table = page[page.index("| kind | recognised by |") :].split("\n\n")[0].splitlines()[2:]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table]
    words = {"counter": "above 0", "present": "filled"}
    assert rows == [
        (f"`{r.kind}`", f"{', '.join(f'`{f}`' for f in r.fields)} {words[r.test]}", "yes" if r.made else "")
        for r in xdm.RULES
    ]
