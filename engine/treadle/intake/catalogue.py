"""The catalogue: which services a process serves. It is asked each time, and nobody keeps a copy of it."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping
from dataclasses import dataclass

from treadle.intake.payload_checks import PayloadCheck
from treadle.interface.service import Service
from treadle.support.hints import nearest
from treadle_spool import InvalidDescriptor


@dataclass(frozen=True, slots=True)
class Served:
    """A service that is served, with the checks of its jobs' input, by the payload."""

    service: Service
    checks: Mapping[str, PayloadCheck]


class Catalogue(Mapping[str, Service]):
    """The services of an engine or API process, by name, for its whole lifetime.

    `put` replaces all of it at once, in the event loop; any thread may read it. Who needs a service more than
    once keeps the Service, which is a value, and not the catalogue's name for it.
    """

    def __init__(self, served: Iterable[Served] = ()) -> None:
        self.put(served)

    def put(self, served: Iterable[Served]) -> None:
        """Serve these services, and no others."""
        self._served = {each.service.name: each for each in served}
        self._services = {name: each.service for name, each in self._served.items()}

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
        """The name of the service that is served alone; None if there are several."""
        return next(iter(self._services)) if len(self._services) == 1 else None

    def find(self, name: str) -> Served:
        """Return a service for a new job; raise InvalidDescriptor if it is not served."""
        if (served := self._served.get(name)) is None:
            raise InvalidDescriptor(f"no service named {name!r}{nearest(name, self)}", "$.service")
        return served

    def checks_of(self, name: str) -> Mapping[str, PayloadCheck]:
        """Return the checks of the input of a service's jobs; none if it is not served."""
        served = self._served.get(name)
        return {} if served is None else served.checks
