"""The studies: which data, which goal, and the same goal once more in plain SQL."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import yaml

from propend.demo.simulator import Simulation, simulate

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SIMULATED_DAYS, SIMULATED_PROFILES = 480, 8_000
FIRST = date(2024, 1, 1)


def example(name: str) -> Path:
    """The one document of that name in ``examples`` or a folder of the gallery there."""
    [path] = EXAMPLES.rglob(f"{name}.yaml")
    return path


@dataclass(frozen=True)
class Study:
    """One goal on one data set.

    Attributes:
        name: as the table shows it.
        example: document in or under ``examples``, or empty for the simulator.
        goal, eligible: SQL conditions on an event (``kind``, ``value``, fields): the goal's event and the one that
            makes a profile eligible.
        within_days: length of the outcome window.
        eligible_days: look-back of the eligibility; 0 is ever.
        quiet: the goal is that no such event happens.
        most: eligible only with at most so many such events ever; 0 is any number.
        never_before: the label asks for a first time.
        settle_days: days late events are waited for.
        changes: entries of the document to replace: its data's events, for one.
        simulated: "signal" or "none" for the simulator.
        profiles: how many it makes.
        as_of: where the data end, when that is not their last day.
        cutoffs: how many out-of-time cutoffs are tried in the full form.
    """

    name: str
    example: str
    goal: str
    eligible: str
    within_days: int
    eligible_days: int
    quiet: bool = False
    most: int = 0
    never_before: bool = False
    settle_days: int = 0
    changes: tuple[tuple[str, Any], ...] = ()
    simulated: str = ""
    profiles: int = SIMULATED_PROFILES
    as_of: str = ""
    cutoffs: int = 3

    def document(self) -> dict[str, Any]:
        """The instance for propend; data under an absolute folder, the quality bar at its least but without
        a signal."""
        if self.simulated:
            return {
                "name": self.name, "type": "conversion", "data": {"events": "not read"},
                "goal": {"all_of": ["purchase"], "within": f"{self.within_days}d"},
                "eligible": {"all_of": [{"did": "anything", "at_least": 1, "within": f"{self.eligible_days}d"}]},
                "options": {"quality_bar": 0.5} if self.simulated == "signal" else {},
            }  # fmt: skip
        path = example(self.example)
        found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        found["data"]["folder"] = str((path.parent / found["data"]["folder"]).resolve())
        found["options"] = found.get("options", {}) | {"quality_bar": 0.5}
        for key, value in self.changes:
            if key == "data.events":
                found["data"]["events"] = value
            else:
                found[key] = value
        return found

    def simulation(self) -> Simulation:
        return simulate(self.profiles, SIMULATED_DAYS, 7, first=FIRST, signal=self.simulated == "signal")

    def has_data(self) -> bool:
        """Whether the data are on this machine: the simulator's always are."""
        return bool(self.simulated) or Path(self.document()["data"]["folder"]).is_dir()

    def table(self) -> pa.Table | None:
        """The simulator's events under the names propend knows; None for data in files."""
        return self.simulation().events if self.simulated else None


BUY = "kind = 'purchase' and value > 0"
TENANTS = (
    "MicrosoftDocs_customer-insights", "adobe_xdm", "narwhals-dev_narwhals", "segmentio_segment-docs",
    "simonw_datasette", "skrub-data_skrub", "snowplow_documentation",
)  # fmt: skip

SHORT = (
    Study("Online Retail II, purchase 30 d", "online_retail_ii_purchase", BUY, BUY, 30, 365),
    Study("CDNOW, no purchase 180 d", "cdnow_churn", "true", "true", 180, 0, quiet=True, cutoffs=1),
    Study("Simulator, purchase 30 d", "", "kind = 'purchase'", "true", 30, 90, simulated="signal"),
)
BRIEF = (replace(SHORT[2], name="Simulator, 1,500 profiles, purchase 30 d", profiles=1_500),)
FULL = (
    SHORT[0],
    Study("Online Retail II, no purchase 90 d", "online_retail_ii_churn", BUY, BUY, 90, 365, quiet=True),
    Study("Online Retail II, a bag 30 d", "online_retail_ii_category", "kind = 'purchase' and bags_amount > 0",
          BUY, 30, 365),
    SHORT[1],
    Study("CDNOW, purchase 39 weeks", "cdnow_39_weeks", "true", "true", 273, 0, as_of="1998-06-30", cutoffs=1),
    Study("CDNOW, no purchase 90 d", "cdnow_churn", "true", "true", 90, 0, quiet=True,
          changes=(("goal", {"none_of": ["purchase"], "within": "90d"}), ("name", "CDNOW 90"))),
    Study("Complete Journey, no basket 14 d", "complete_journey_churn_14", "kind = 'basket'", "kind = 'basket'",
          14, 60, quiet=True),
    Study("Complete Journey, no basket 30 d", "complete_journey_churn_30", "kind = 'basket'", "kind = 'basket'",
          30, 60, quiet=True),
    Study("Complete Journey, redemption 30 d", "complete_journey_redemption", "kind = 'redemption'",
          "kind = 'campaign'", 30, 90),
    Study("Contoso, online purchase 60 d", "contoso_online", "kind = 'purchase'", "true", 60, 180),
    Study("Contoso, stay 90 d", "contoso_stay", "kind = 'check_in'", "kind = 'check_in'", 90, 365),
    Study("Web shop, purchase 7 d", "ecom_purchase", "kind = 'purchase'", "true", 7, 30),
    Study("Web shop, no visit 14 d", "ecom_purchase", "true", "true", 14, 30, quiet=True,
          changes=(("type", "churn"), ("name", "No visit"), ("goal", {"none_of": ["anything"], "within": "14d"}))),
    *(Study(f"git {t}, silent 180 d", "git_churn", "true", "true", 180, 180, quiet=True, settle_days=7,
            changes=(("data.events", f"{t}.csv.gz"),)) for t in TENANTS),
    Study("git, second commit 180 d", "git_second", "true", "true", 180, 180, most=1, settle_days=7),
    SHORT[2],
    Study("Simulator without signal, purchase 30 d", "", "kind = 'purchase'", "true", 30, 90, simulated="none"),
)  # fmt: skip


def load_events(study: Study) -> duckdb.DuckDBPyConnection:
    """A session with table ``ev``: ``profile``, ``ts``, ``kind``, ``value`` and the number fields of the source."""
    session = duckdb.connect()
    session.execute("set timezone = 'UTC'; set threads = 2; set enable_progress_bar = false")
    if study.simulated:
        events = study.table()
        session.register("simulated", events)
        session.execute('create table ev as select profile_id as profile, "at" as ts, kind, value from simulated')
        return session
    data = study.document()["data"]
    session.execute(f"set file_search_path = '{data['folder']}'")
    sources = data["events"] if isinstance(data["events"], list) else [data["events"]]
    parts = [_source_sql(session, s if isinstance(s, dict) else {"path": s}, data) for s in sources]
    session.execute(f"create table raw as {' union all by name '.join(parts)}")
    columns = {row[0]: row[1] for row in session.execute("describe raw").fetchall()}
    value = "value" if "value" in columns else "null::double as value"
    taken = {"profile", "ts", "kind", "value"}
    numbers = [c for c, t in columns.items() if c not in taken and t in ("DOUBLE", "BIGINT", "HUGEINT", "INTEGER")]
    more = "".join(f', "{c}"::double as "{c}"' for c in numbers)
    session.execute(f"create table ev as select profile, ts, kind, {value}{more} from raw where profile is not null")
    session.execute("drop table raw")
    return session


def _source_sql(session: duckdb.DuckDBPyConnection, source: dict[str, Any], data: dict[str, Any]) -> str:
    """One source of a document as SQL; its columns are named by the document."""
    names = source.get("columns") or data["columns"]
    inner = f"({source['query']})" if "query" in source else f"(from '{source['path']}')"
    kind = f'"{names["event"]}"' if "event" in names else f"'{source.get('kind') or data.get('kind')}'"
    at = f'"{names["at"]}"'
    moment = f"to_timestamp({at})::timestamp" if names["at"] == "timestamp" and "git" in data["folder"] else at
    there = {row[0] for row in session.execute(f"describe select * from {inner}").fetchall()}
    value = f', "{names["value"]}"::double as value' if names.get("value") in there else ""
    gone = ", ".join(f'"{c}"' for k, c in names.items() if k in ("profile", "at", "event"))
    has_value = f', "{names["value"]}"' if value else ""
    return (
        f'(select "{names["profile"]}"::varchar as profile, {moment}::timestamp as ts, {kind} as kind{value}, '
        f"* exclude ({gone}{has_value}) from {inner})"
    )


def observed_snapshots(session: duckdb.DuckDBPyConnection, study: Study, cutoff: int) -> dict[str, int]:
    """Profile to label at one cutoff (days since 1970), by SQL alone."""
    start = f"(date '1970-01-01' + {cutoff})::timestamp"
    since = f"and ts >= {start} - interval {study.eligible_days} day" if study.eligible_days else ""
    most = f"and (select count(*) from ev o where o.profile = e.profile and o.ts < {start}) <= {study.most}"
    sql = f"""
        with eligible as (select distinct profile from ev e where ({study.eligible}) and ts < {start} {since}
                          {most if study.most else ""}),
             reached as (select distinct profile from ev
                         where ({study.goal}) and ts >= {start} and ts < {start} + interval {study.within_days} day)
        select profile, (reached.profile is not null)::int from eligible left join reached using (profile)
        order by profile
    """
    rows = session.execute(sql).fetchall()
    return {str(p): int(hit) ^ int(study.quiet) for p, hit in rows}
