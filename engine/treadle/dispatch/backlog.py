"""The backlog: the jobs that wait, in the order in which they start."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime

from treadle.interface.job import Job
from treadle.interface.service import Service


class Backlog:
    """A priority queue for each service: higher priority first, then the order of acceptance.

    A job of a service that is not served waits for an engine that serves it. Adding and taking cost
    O(log jobs + services). Removal is lazy: the heap keeps the place of a removed job until it comes up.
    """

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = services
        self._waiting: dict[str, Job] = {}
        self._order: defaultdict[str, list[tuple[int, float, str]]] = defaultdict(list)
        self._running: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, name: str) -> bool:
        return name in self._waiting

    @property
    def unserved(self) -> set[str]:
        """The services with waiting jobs that this engine does not serve."""
        return {name for name, order in self._order.items() if order and name not in self._services}

    def by_service(self) -> Counter[str]:
        """Return how many jobs wait for each service."""
        return Counter(job.service for job in self._waiting.values())

    def oldest(self) -> datetime | None:
        """Return when the oldest waiting job was accepted; None if none waits."""
        return min((job.created for job in self._waiting.values()), default=None)

    def add(self, job: Job) -> None:
        """Add a waiting job; one that waits already is not added again."""
        if job.id not in self._waiting:
            self._waiting[job.id] = job
            heapq.heappush(self._order[job.service], _place(job))

    def remove(self, name: str) -> Job | None:
        """Remove a waiting job and return it; None if it does not wait."""
        return self._waiting.pop(name, None)

    def take(self) -> Job | None:
        """Take the next job whose service may run one more, and count it as running."""
        heads = [(head, service) for service in self._open() if (head := self._head(service))]
        if not heads:
            return None
        (_, _, name), service = min(heads)
        heapq.heappop(self._order[service])
        self.started(service)
        return self._waiting.pop(name)

    def started(self, service: str) -> None:
        """Count one more running job of the service."""
        self._running[service] += 1

    def ended(self, service: str) -> None:
        """Count one running job of the service fewer."""
        self._running[service] -= 1

    def _open(self) -> list[str]:
        return [
            name
            for name, service in self._services.items()
            if service.concurrency is None or self._running[name] < service.concurrency
        ]

    def _head(self, service: str) -> tuple[int, float, str] | None:
        """Return the first place in the service's heap, and drop those of removed jobs before it."""
        order = self._order.get(service)
        while order:
            job = self._waiting.get(order[0][2])
            if job is not None and _place(job) == order[0]:
                return order[0]
            heapq.heappop(order)
        return None


def _place(job: Job) -> tuple[int, float, str]:
    return (-job.priority, job.created.timestamp(), job.id)
