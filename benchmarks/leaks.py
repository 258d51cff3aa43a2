"""How often planted leaks and drifts are found, and how often clean data are accused.

Into real data and into simulated ones things are planted that know the outcome, or that break the data from one day
on, at several strengths over many seeds; beside them stand honest things that look alike. Every example document and
random halves of its profiles are the clean cases. ``propend check`` looks for leaks, ``train`` and ``score`` for drift.

    python benchmarks/leaks.py                     # simulated data and few seeds, under a minute
    FULL=1 python benchmarks/leaks.py              # all data, ten seeds
    FULL=1 RESUME=1 python benchmarks/leaks.py     # goes on where it was stopped

Every seed leaves a file in ``OUT`` (``.bench/leaks``, or ``.bench/leaks-full``).
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import propend
from propend.demo.simulator import simulate
from propend.errors import PropendError
from propend.instance import Instance
from propend.model.evaluate import wilson

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
FULL = bool(os.environ.get("FULL"))
SEEDS = range(10) if FULL else range(2)
OUT = Path(os.environ.get("OUT") or (".bench/leaks-full" if FULL else ".bench/leaks"))
PROFILES = 1_500
DAY = timedelta(days=1)
STRENGTHS = (1.0, 0.9, 0.7)
TODAYS = ("orders_to_date", "spend_to_date", "days_since_last_order", "status", "tier")
HONEST = ("region", "joined_number", "first_hour", "trait", "half_trait", "card")
DRIFT_CODES = {"PROPEND-307", "PROPEND-309", "PROPEND-314", "PROPEND-315", "PROPEND-403", "PROPEND-405", "PROPEND-408"}


@dataclass(frozen=True)
class Shop:
    """Events ready to plant into.

    Attributes:
        events: profile_id, happened, kind, value and further columns.
        document: an instance without its sources.
        goal_kind: the kind of event the goal speaks of.
        traits: profile_id and trait, true from the beginning; None where nobody knows one.
    """

    name: str
    events: pa.Table
    document: dict[str, Any]
    goal_kind: str
    traits: pa.Table | None = None

    @property
    def churn(self) -> bool:
        return "none_of" in self.document["goal"]


# --- shops ----------------------------------------------------------------------------------------------


def simulated(seed: int, profiles: int = PROFILES) -> Shop:
    """The simulator's shop; its trait is the latent rate of purchases itself, which no event tells exactly."""
    made = simulate(profiles, 390, seed)
    document = {"name": "simulated", "goal": {"did": "purchase", "within": "30d"}, "options": {"quality_bar": 0.5}}
    traits = pa.table({"profile_id": made.profile_ids, "trait": made.rates[3]})
    events = made.events.rename_columns({"at": "happened"}).drop_columns(["channel"])
    return Shop("simulator", events, document, "purchase", traits)


REAL = {
    "Online Retail II": ("online_retail_ii_purchase.yaml", "purchase"),
    "Complete Journey": ("complete_journey_churn_14.yaml", "basket"),
    "CDNOW": ("cdnow_churn.yaml", "purchase"),
}


def real(name: str) -> Shop:
    """An example's events as one table."""
    path, goal_kind = EXAMPLES / REAL[name][0], REAL[name][1]
    instance = Instance.load(path)
    connection = duckdb.connect()
    connection.execute(f"SET file_search_path = '{(EXAMPLES / instance.data.folder).resolve()}'")
    parts = []
    for source in instance.data.events:
        columns = source.columns or instance.data.columns
        kind = f"{columns.event} AS kind" if columns.event else f"'{source.kind or instance.data.kind}' AS kind"
        relation = connection.sql(source.query or "")
        value = f"{columns.value} AS value" if columns.value in relation.columns else "NULL::DOUBLE AS value"
        parts.append(
            relation.project(
                f"{columns.profile}::VARCHAR AS profile_id, {columns.at}::TIMESTAMP AS happened, {kind}, {value}"
            )
        )
    events = parts[0]
    for part in parts[1:]:
        events = events.union(part)
    document = {k: v for k, v in instance.document().items() if k not in ("data", "description") and v is not None}
    document = json.loads(json.dumps(document).replace('"amount"', '"value"'))
    document["options"] = {**document.get("options", {}), "quality_bar": 0.5}
    return Shop(name, events.to_arrow_table(), document, goal_kind)


def half(shop: Shop, seed: int) -> Shop:
    """Half of the profiles, at random."""
    ids = shop.events.column("profile_id").to_numpy(zero_copy_only=False)
    names = np.unique(ids)
    kept = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
    return replace(shop, events=shop.events.filter(pa.array(np.isin(ids, kept))))


def asked(sql: str, **tables: pa.Table) -> pa.Table:
    """A query over some tables."""
    connection = duckdb.connect()
    for name, table in tables.items():
        connection.register(name, table)
    return connection.sql(sql).to_arrow_table()


# --- plants ---------------------------------------------------------------------------------------------


def facts_of(shop: Shop, seed: int) -> pa.Table:
    """One row per profile: what is true as of today, at each strength, and honest facts beside it.

    At strength 0.9 a tenth of the profiles have another's value.
    """
    goal, rng = shop.goal_kind, np.random.default_rng(seed)
    table = asked(
        f"""
        WITH g AS (SELECT profile_id, count(*) FILTER (kind = '{goal}') AS orders_to_date,
                   coalesce(sum(value) FILTER (kind = '{goal}'), 0) AS spend_to_date,
                   date_diff('day', max(happened) FILTER (kind = '{goal}'), (SELECT max(happened) FROM e))
                   AS days_since_last_order,
                   date_diff('day', DATE '1990-01-01', min(happened)) AS joined_number,
                   hour(min(happened)) AS first_hour FROM e GROUP BY 1)
        SELECT *, if(days_since_last_order <= 60, 'active', 'lapsed') AS status,
               ['bronze', 'silver', 'gold'][ntile(3) OVER (ORDER BY orders_to_date, hash(profile_id))] AS tier
        FROM g ORDER BY profile_id""",
        e=shop.events,
    )
    columns: dict[str, Any] = {"profile_id": table.column("profile_id")}
    n = table.num_rows
    for name in TODAYS:
        values = table.column(name).to_numpy(zero_copy_only=False)
        for strength in STRENGTHS:
            wrong = np.flatnonzero(rng.random(n) >= strength)
            mixed = values.copy()
            mixed[wrong] = values[rng.permutation(wrong)]
            columns[f"{name}__{strength}"] = mixed
    columns["joined_number"], columns["first_hour"] = table.column("joined_number"), table.column("first_hour")
    columns["region"] = rng.choice(["north", "south", "east"], n)
    trait = _trait(shop, table, rng)
    columns["trait"] = trait
    columns["half_trait"] = np.argsort(np.argsort(trait)) + rng.normal(0, 0.3 * n, n)
    columns["card"] = np.where(trait > np.quantile(trait, 0.8), "yes", "no")
    return pa.table(columns)


def _trait(shop: Shop, table: pa.Table, rng: np.random.Generator) -> Any:
    """A true trait where one is known; else how often the profile bought on every second of its weeks, and noise."""
    if shop.traits is not None:
        joined = asked("SELECT profile_id, trait FROM t JOIN a USING (profile_id) ORDER BY 1", t=shop.traits, a=table)
        return joined.column("trait").to_numpy()
    orders = table.column("orders_to_date").to_numpy()
    return np.log1p(orders) + rng.normal(0, 0.8, len(orders))


def with_heralds(shop: Shop, seed: int, least: float, most: float, share: float, honest: bool = False) -> pa.Table:
    """The events, and a kind stamped between ``least`` and ``most`` days before a share of the goal's outcomes.

    For churn the outcome is a silence of the window and a month more, and the herald follows the event before it. An
    honest herald comes as often where nothing follows.
    """
    rng = np.random.default_rng(seed)
    if shop.churn:
        silence = int(str(shop.document["goal"]["within"]).removesuffix("d")) + 30
        found = asked(
            f"""SELECT profile_id, happened FROM (
                SELECT *, lead(happened) OVER (PARTITION BY profile_id ORDER BY happened) AS next,
                (SELECT max(happened) FROM e) AS last FROM e WHERE kind = '{shop.goal_kind}')
                WHERE coalesce(next, last) > happened + INTERVAL {silence} DAY""",
            e=shop.events,
        )
        sign = 1
    else:
        found = asked(f"SELECT profile_id, happened FROM e WHERE kind = '{shop.goal_kind}'", e=shop.events)
        sign = -1
    chosen = rng.random(found.num_rows) < share
    ids = found.column("profile_id").to_numpy(zero_copy_only=False)[chosen]
    at = found.column("happened").to_numpy()[chosen].astype("datetime64[us]")
    at = at + sign * (rng.uniform(least, most, len(at)) * 86_400e6).astype("timedelta64[us]")
    if honest:
        times = shop.events.column("happened").to_numpy().astype("datetime64[us]")
        ids = np.concatenate(
            [ids, rng.choice(shop.events.column("profile_id").to_numpy(zero_copy_only=False), len(ids))]
        )
        span = (times.max() - times.min()).astype(np.int64)
        at = np.concatenate([at, times.min() + (rng.random(len(at)) * span).astype("timedelta64[us]")])
    first = shop.events.column("happened").to_numpy().min()
    kept = at >= first
    return plus(shop.events, ids[kept], at[kept], "gift_wrap_reserved")


def plus(events: pa.Table, ids: Any, at: Any, kind: str) -> pa.Table:
    """The events and more of one kind."""
    more = pa.table({"profile_id": pa.array(ids, pa.string()), "happened": pa.array(at, pa.timestamp("us"))})
    return asked(
        f"""SELECT * FROM e UNION ALL BY NAME SELECT profile_id, happened, '{kind}' AS kind FROM m
            ORDER BY happened, profile_id, kind""",
        e=events,
        m=more,
    )


# --- leaks ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What one planted or clean thing came to: ``found`` if it was named, ``dropped`` if it was left out; a leak or a
    drift."""

    data: str
    kind: str
    clean: bool
    found: bool
    dropped: bool = False
    subject: str = "leak"


def suspects(shop: Shop, events: pa.Table | None = None, facts: pa.Table | None = None) -> list[dict[str, Any]]:
    """The leaks that ``check`` names."""
    with tempfile.TemporaryDirectory() as folder:
        return list(propend.check(_document(shop, Path(folder), events, facts)).to_dict()["leaks"])


def _document(
    shop: Shop, folder: Path, events: pa.Table | None = None, facts: pa.Table | None = None
) -> dict[str, Any]:
    pq.write_table(shop.events if events is None else events, folder / "events.parquet")
    data: dict[str, Any] = {
        "events": str(folder / "events.parquet"),
        "columns": {"profile": "profile_id", "at": "happened", "event": "kind", "value": "value"},
    }
    if facts is not None:
        pq.write_table(facts, folder / "facts.parquet")
        data["attributes"] = {"path": str(folder / "facts.parquet"), "profile": "profile_id", "constant": True}
    return {**shop.document, "data": data}


def leak_cases(shop: Shop, seed: int) -> Iterator[Case]:
    """Every plant in one shop, and the honest things beside it."""
    facts = facts_of(shop, seed)
    times = asked(
        """SELECT *, if(due_at <= last, due_at, NULL) AS delivered_at
           FROM (SELECT *, happened + to_days(2 + (hash(happened, profile_id) % 9)::INT) AS due_at,
           (SELECT max(happened) FROM e) AS last FROM e)""",
        e=shop.events,
    ).drop_columns(["last"])
    named = suspects(shop, times, facts)
    action = {x["sentence"].split(" is ")[0]: x["action"] for x in named}
    for name in TODAYS:
        for strength in STRENGTHS:
            said = action.get(f"{name}__{strength}")
            yield Case(
                shop.name, f"{name}, as of today, true for {strength:.0%}", False, said is not None, said == "dropped"
            )
    for name in HONEST:
        said = action.get(name)
        yield Case(shop.name, f"honest {name}", True, said is not None, said == "dropped")
    yield Case(shop.name, "time filled in later", False, "column delivered_at" in action)
    yield Case(shop.name, "time known in advance", True, "column due_at" in action)
    known = {*(f"{n}__{s}" for n in TODAYS for s in STRENGTHS), *HONEST, "column delivered_at", "column due_at"}
    yield Case(shop.name, "anything else in these data", True, bool(set(action) - known))
    for label, least, most, share, honest in (
        ("event dated back 1 to 14 days, before all outcomes", 1, 14, 1.0, False),
        ("event dated back 1 to 14 days, before 30 % of them", 1, 14, 0.3, False),
        ("event dated back under a day", 0.001, 1, 1.0, False),
        ("honest event, half of the time followed by the outcome", 0.01, 3, 0.5, True),
    ):
        found = suspects(shop, with_heralds(shop, seed, least, most, share, honest))
        yield Case(shop.name, label, honest, any("gift wrap" in x["sentence"] for x in found))
    if not shop.churn:
        goal = asked(f"SELECT * FROM e WHERE kind = '{shop.goal_kind}'", e=shop.events)
        copied = plus(
            shop.events,
            goal.column("profile_id").to_numpy(zero_copy_only=False),
            goal.column("happened").to_numpy(),
            "confirmed",
        )
        yield Case(shop.name, "honest copy of the goal at the same instant", True, bool(suspects(shop, copied)))


def clean_cases(shop: Shop) -> Iterator[Case]:
    """A shop as it is."""
    yield Case(shop.name, "nothing planted, half of the profiles", True, bool(suspects(shop)))


def example_cases() -> Iterator[Case]:
    """Every example document."""
    for path in sorted(EXAMPLES.rglob("*.yaml")):
        if Instance.load(path).data.folder == ".":
            continue  # of the simulator, whose shops are looked at above
        named = propend.check(path).to_dict()["leaks"]
        for x in named:
            print(f"  {path.stem}: {x['sentence']}: {x['reason']}")
        yield Case("examples", "example documents", True, bool(named), any(x["action"] == "dropped" for x in named))


# --- drift ----------------------------------------------------------------------------------------------


def drift_cases(shop: Shop, seed: int) -> Iterator[Case]:
    """Trained until a month before the end; then scored at the end, with the last month as it is and broken."""
    times = shop.events.column("happened").to_numpy()
    last: date = (times.max().astype("datetime64[D]")).item()
    learnt, now = last - 30 * DAY, last
    since = f"TIMESTAMP '{learnt}'"
    counts = asked("SELECT kind, count(*) AS n FROM e GROUP BY 1 ORDER BY 2 DESC", e=shop.events).to_pylist()
    other = next((c["kind"] for c in counts if c["kind"] != shop.goal_kind and c["n"] > 500), shop.goal_kind)
    lost = f"kind <> '{shop.goal_kind}' OR happened < {since}"
    dearer = f"if(happened >= {since}, value * 100, value) AS value"
    half_lost = f"happened < {since} OR hash(profile_id, happened) % 2 = 0"
    renamed = f"if(kind = '{other}' AND happened >= {since}, 'renamed', kind) AS kind"
    broken = {
        "nothing broken": "SELECT * FROM e",
        "no events of the goal's kind for 30 days": f"SELECT * FROM e WHERE {lost}",
        "half of the events lost for 30 days": f"SELECT * FROM e WHERE {half_lost}",
        "a kind renamed 30 days ago": f"SELECT * REPLACE ({renamed}) FROM e",
        "values times 100 for 30 days": f"SELECT * REPLACE ({dearer}) FROM e",
    }
    with tempfile.TemporaryDirectory() as folder:
        try:
            model = propend.train(_document(shop, Path(folder)), as_of=learnt, out=Path(folder) / "model")
        except PropendError as refusal:
            print(f"  {shop.name} {seed}: not trained, {refusal.code}")
            return
        for i, (label, sql) in enumerate(broken.items()):
            if other == shop.goal_kind and "renamed" in label:
                continue
            said = _alarms(model, asked(sql, e=shop.events), now, Path(folder) / f"run{i}")
            if i == 0 and said:
                print(f"  {shop.name} {seed}: {said}")
            yield Case(shop.name, label, i == 0, bool(said), subject="drift")


def _alarms(model: Path, events: pa.Table, now: date, out: Path) -> list[str]:
    try:
        found = propend.score(model, data=events, as_of=now, out=out).record["warnings"]
    except PropendError as refusal:
        return [refusal.code] if refusal.code in DRIFT_CODES else []
    return [f"{w['code']} {w['message'][:160]}" for w in found if w["code"] in DRIFT_CODES]


# --- the table ------------------------------------------------------------------------------------------


def rates(cases: list[Case]) -> list[str]:
    """Markdown: found, dropped and their share per kind, with its 95 % interval (Wilson)."""
    groups: dict[tuple[bool, str], list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.clean, case.kind].append(case)
    lines = [
        "| planted | data | cases | named | 95 % interval | dropped |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for clean, kind in sorted(groups, key=lambda g: g[0]):
        found = groups[clean, kind]
        low, high = wilson(sum(c.found for c in found), len(found))
        data = ", ".join(dict.fromkeys(c.data for c in found))
        lines.append(
            f"| {'clean: ' if clean else ''}{kind} | {data} | {len(found)} | "
            f"{sum(c.found for c in found) / len(found):.1%} | {low:.1%} to {high:.1%} | "
            f"{sum(c.dropped for c in found) / len(found):.1%} |"
        )
    return lines


def share(cases: list[Case]) -> str:
    """``3 of 400``."""
    return f"{sum(c.found for c in cases)} of {len(cases)}"


def kept(name: str, cases: Callable[[], Iterable[Case]]) -> list[Case]:
    """The cases of a file of an earlier run, where one is to be gone on with; else measured now and kept."""
    target = OUT / f"{name}.json"
    if os.environ.get("RESUME") and target.exists():
        return [Case(**case) for case in json.loads(target.read_text(encoding="utf-8"))]
    started, found = time.perf_counter(), list(cases())
    target.parent.mkdir(parents=True, exist_ok=True)
    half_written = target.with_suffix(".tmp")
    half_written.write_text(json.dumps([asdict(case) for case in found], indent=1), encoding="utf-8")
    half_written.replace(target)
    print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    return found


def seed_cases(seed: int, shops: list[Shop]) -> Iterator[Case]:
    """Everything with one seed: the simulator, and half of each shop's profiles."""
    for shop in [simulated(seed), *(half(shop, seed) for shop in shops)]:
        yield from clean_cases(shop)
        yield from leak_cases(shop, seed)
        if shop.name != "CDNOW":  # one cohort that leaves: whoever scores it later scores others
            yield from drift_cases(shop, seed)


def main() -> None:
    """Measure and print."""
    shops = [real(name) for name in REAL] if FULL else []
    cases = kept("examples", example_cases) if FULL else []
    for seed in SEEDS:
        cases += kept(f"seed{seed}", partial(seed_cases, seed, shops))
    leaks, drifts = ([c for c in cases if c.subject == subject] for subject in ("leak", "drift"))
    print("\n".join(["", "Leaks", "", *rates(leaks), "", "Drift", "", *rates(drifts), ""]))
    planted, clean = ([c for c in leaks if c.clean == side] for side in (False, True))
    certain = [c for c in planted if "100%" in c.kind or "all" in c.kind or "later" in c.kind]
    broken, steady = ([c for c in drifts if c.clean == side] for side in (False, True))
    print(
        f"named: {share(certain)} certain leaks, {share(planted)} planted of any strength, {share(clean)} clean; "
        f"drift: {share(broken)} breaks, {share(steady)} steady"
    )


if __name__ == "__main__":
    main()
