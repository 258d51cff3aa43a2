"""What the server measures, in Prometheus's form: requests as they come, the workspace when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from propend.store.catalog import InstanceRow, RunRow, now
from propend.workspace import Workspace
from propend.workspace.runs import ENDED

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STATES = ("queued", "running", *ENDED)


class Metrics:
    """The figures of one server."""

    def __init__(self, workspace: Workspace) -> None:
        """Counting begins at 0."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "propend_requests", "Answers by route and status.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "propend_request_seconds", "Seconds until an answer was sent whole.", ("method", "route"),
            buckets=SECONDS, registry=self._registry,
        )  # fmt: skip
        self._registry.register(_OfWorkspace(workspace))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request was answered; ``route`` is its template, never its address."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def text(self) -> str:
        """All figures.

        Raises:
            CatalogUnavailableError: the catalog cannot be asked.
        """
        return generate_latest(self._registry).decode()


class _OfWorkspace(Collector):
    """Runs and scores, as the catalog has them when it is asked."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing is collected to be registered."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Gauges of the workspace."""
        with self._workspace.catalog.reading() as session:
            by_state = session.execute(select(RunRow.state, func.count()).group_by(RunRow.state))
            counted = {row[0]: row[1] for row in by_state}
            enabled = session.scalar(
                select(func.count()).select_from(InstanceRow).where(InstanceRow.status == "enabled")
            )
        runs = GaugeMetricFamily("propend_runs", "Runs by state.", labels=["state"])
        for state in STATES:
            runs.add_metric([state], counted.get(state, 0))
        yield runs
        yield GaugeMetricFamily("propend_instances_enabled", "Instances that are run.", value=enabled or 0)
        yield from self._of_serving()

    def _of_serving(self) -> Iterator[GaugeMetricFamily]:
        scores = GaugeMetricFamily("propend_serving_scores", "Profiles whose score is served.", labels=["instance"])
        seconds = GaugeMetricFamily(
            "propend_last_run_seconds", "Seconds of the run that is served.", labels=["instance"]
        )
        age = GaugeMetricFamily(
            "propend_last_run_age_seconds", "Since the run that is served ended.", labels=["instance"]
        )
        for run in self._workspace.runs.all_serving():
            scores.add_metric([run.instance_id], (run.summary or {}).get("population", 0))
            if run.started_at is not None and run.finished_at is not None:
                seconds.add_metric([run.instance_id], (run.finished_at - run.started_at).total_seconds())
                age.add_metric([run.instance_id], (now() - run.finished_at).total_seconds())
        yield from (scores, seconds, age)
