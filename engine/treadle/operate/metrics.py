"""The engine's metrics, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from treadle_spool import State, now

if TYPE_CHECKING:
    from treadle.dispatch.dispatcher import Dispatcher
    from treadle.extend.observers import Observers
    from treadle.intake.catalogue import Catalogue
    from treadle.intake.drop import Intake
    from treadle.interface.job import Job
    from treadle.watch.arrivals import Arrivals

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000)


class Metrics(Collector):
    """The registry of the metrics: events update the counters, a scrape reads the gauges."""

    def __init__(
        self,
        catalogue: Catalogue,
        dispatcher: Dispatcher,
        intake: Intake,
        arrivals: Arrivals,
        observers: Observers,
    ) -> None:
        self._catalogue = catalogue
        self._dispatcher = dispatcher
        self._intake = intake
        self._arrivals = arrivals
        self._begun: dict[str, float] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ended = Counter(
            "treadle_jobs_ended", "Jobs that have ended", ["service", "state"], registry=self._registry
        )
        duration = Histogram(
            "treadle_job_duration_seconds",
            "Seconds from a job's start to its published end",
            ["service"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._refused = Counter(
            "treadle_requests_refused",
            "Requests that were refused, by code",
            ["code"],
            registry=self._registry,
        )
        self._count = cache(lambda service, state: ended.labels(service, state.value))
        self._time = cache(duration.labels)
        observers.listen("job_changed", self._note)

    def refused(self, code: str) -> None:
        """Count a request that was refused."""
        self._refused.labels(code).inc()

    def text(self) -> bytes:
        """Return the metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Yield the gauges, and the counters that others keep."""
        services = GaugeMetricFamily("treadle_services", "Services, by whether they work", labels=["state"])
        services.add_metric(["working"], len(self._catalogue))
        services.add_metric(["broken"], len(self._catalogue.broken))
        yield services
        waiting = GaugeMetricFamily("treadle_jobs_waiting", "Jobs that wait", labels=["service"])
        for service, number in self._dispatcher.backlog.by_service().items():
            waiting.add_metric([service], number)
        yield waiting
        running = GaugeMetricFamily("treadle_jobs_running", "Jobs that run", labels=["service"])
        for service, number in self._dispatcher.running_by_service().items():
            running.add_metric([service], number)
        yield running
        oldest = self._dispatcher.backlog.oldest()
        age = 0.0 if oldest is None else max(0.0, (now() - oldest).total_seconds())
        yield GaugeMetricFamily("treadle_queue_age_seconds", "Age of the job that waits longest", value=age)
        for name, text, number in (
            ("treadle_drops_refused", "Dropped files that were refused", self._intake.refused),
            (
                "treadle_jobs_missed",
                "Jobs that only a rescan found",
                self._dispatcher.noticing.missed,
            ),
            ("treadle_observer_restarts", "Restarts of the folder watcher", self._arrivals.restarts),
        ):
            yield CounterMetricFamily(name, text, value=number)

    def _note(self, job: Job, before: State, after: State) -> None:
        if after is State.RUNNING:
            self._begun[job.id] = time.monotonic()
        elif after.ended:
            self._count(job.service, after).inc()
            if (begun := self._begun.pop(job.id, None)) is not None:
                self._time(job.service).observe(time.monotonic() - begun)
