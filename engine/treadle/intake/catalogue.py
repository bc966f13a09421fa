"""The catalogue: which services a process serves. It is asked each time, and nobody keeps a copy of it."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from treadle.intake.payload_checks import PayloadCheck
from treadle.interface.errors import TreadleError
from treadle.interface.service import Service
from treadle.support.hints import nearest
from treadle_spool import InvalidDescriptor
from treadle_spool.services import why_jobs_wait


class ServiceBroken(TreadleError):
    """The service is broken, and its jobs wait until it is mended."""


@dataclass(frozen=True, slots=True)
class Served:
    """A service that works, with the checks of its jobs' input, by the payload."""

    service: Service
    checks: Mapping[str, PayloadCheck]


@dataclass(frozen=True, slots=True)
class Broken:
    """A service that can't be used. Its jobs wait, and it harms no other one."""

    name: str
    """Its name, or the one that it most likely has."""
    path: Path
    """The project folder."""
    reason: str

    @property
    def why_jobs_wait(self) -> str:
        """Why its jobs do not start, in a sentence."""
        return why_jobs_wait(self.name, self.reason)


@dataclass(frozen=True, slots=True)
class Change:
    """What became different from one state of the catalogue to the next: names, each in one of the fields."""

    added: tuple[str, ...] = ()
    """Services that are served now and were not."""
    changed: tuple[str, ...] = ()
    """Services that are served otherwise than before."""
    removed: tuple[str, ...] = ()
    """Services that are not there any more."""
    broken: tuple[Broken, ...] = ()
    """What is broken now and was not, or for another reason."""
    retired: tuple[Service, ...] = ()
    """The values of services that no new job gets: removed, broken, or changed."""

    def __bool__(self) -> bool:
        """Return whether anything is different."""
        return bool(self.added or self.changed or self.removed or self.broken or self.retired)


class Catalogue(Mapping[str, Service]):
    """The services of an engine or API process, for its whole lifetime; a mapping of those that work.

    `put` replaces all of it at once, in the event loop; any thread may read it. Who needs a service more than
    once keeps the Service, which is a value, and not the catalogue's name for it.
    """

    def __init__(self, served: Iterable[Served] = (), broken: Iterable[Broken] = ()) -> None:
        self._known: dict[str, Served | Broken] = {}
        """By name; what is broken is not here if another service has its name. Threads read this alone."""
        self._services: dict[str, Service] = {}
        self.broken: tuple[Broken, ...] = ()
        """All that is broken, those included whose name another service has."""
        self.put(served, broken)

    def put(self, served: Iterable[Served], broken: Iterable[Broken]) -> Change:
        """Have these services and no others, and return what is different."""
        before, broken_before = self._services, self.broken
        self.broken = tuple(broken)
        by_name = {each.service.name: each for each in served}
        self._known = {each.name: each for each in reversed(self.broken)} | by_name
        self._services = {name: each.service for name, each in by_name.items()}
        same = {name for name, service in self._services.items() if before.get(name) is service}
        listed_before = {*before, *(each.name for each in broken_before)}
        return Change(
            added=tuple(name for name in self._services if name not in before),
            changed=tuple(name for name in self._services if name in before and name not in same),
            removed=tuple(sorted(listed_before - self._known.keys())),
            broken=tuple(each for each in self.broken if each not in broken_before),
            retired=tuple(service for name, service in before.items() if name not in same),
        )

    def __getitem__(self, name: str) -> Service:
        return self._services[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._services)

    def __len__(self) -> int:
        return len(self._services)

    def items(self) -> ItemsView[str, Service]:
        """Return the names and services; a plain dict's view, since the dispatcher asks for each job."""
        return self._services.items()

    @property
    def only(self) -> str | None:
        """The name of the service that is alone, broken or not; None if there are several, or none."""
        names = [*self._services, *(each.name for each in self.broken)]
        return names[0] if len(names) == 1 else None

    @property
    def holders(self) -> dict[str, Path]:
        """The project of each name."""
        return {
            name: each.path if isinstance(each, Broken) else each.service.path
            for name, each in self._known.items()
        }

    def find(self, name: str) -> Served:
        """Return a service for a new job; raise InvalidDescriptor for an unknown one, and ServiceBroken."""
        known = self._known.get(name)
        if isinstance(known, Served):
            return known
        if known is not None:
            raise ServiceBroken(known.why_jobs_wait)
        raise InvalidDescriptor(f"no service named {name!r}{nearest(name, self)}", "$.service")

    def checks_of(self, name: str) -> Mapping[str, PayloadCheck]:
        """Return the checks of the input of a service's jobs; none if it is not served."""
        known = self._known.get(name)
        return known.checks if isinstance(known, Served) else {}

    def why_jobs_wait(self, name: str) -> str | None:
        """Return why the jobs of a service do not start, in a sentence; None if it works."""
        match self._known.get(name):
            case Served():
                return None
            case Broken() as broken:
                return broken.why_jobs_wait
            case None:
                return why_jobs_wait(name, None)
