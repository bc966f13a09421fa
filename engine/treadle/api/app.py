"""The HTTP application: every service at its base path, and the engine's own pages below `/-/`."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from treadle.api.answers import UP
from treadle.api.errors import ApiError, answer, errors_as_json
from treadle.api.v1 import ServiceV1, Shared
from treadle.extend.loader import Plugins
from treadle.intake.health import Health
from treadle.interface.service import Service
from treadle.interface.settings import Settings
from treadle.support.hints import nearest
from treadle.watch.changes import Changes
from treadle.watch.completions import Completions
from treadle_spool import Descriptor, Spool, Status


def make_app(
    *,
    spool: Spool,
    services: Mapping[str, Service],
    submit: Callable[[Descriptor], Awaitable[Status]],
    completions: Completions,
    changes: Changes,
    settings: Settings,
    plugins: Plugins,
    health: Callable[[], Health],
    metrics: Callable[[], bytes] | None,
    count_refusal: Callable[[str], None] | None,
) -> web.Application:
    """Return the application that serves the services.

    metrics returns the engine's numbers as Prometheus text, and count_refusal counts a refused request by
    its code; both are None where the engine is another process.
    """
    app = web.Application(
        middlewares=[errors_as_json(count_refusal or (lambda _: None))], client_max_size=settings.max_body
    )
    shared = Shared(spool, submit, completions, settings, changes)
    pages = _Pages(services, health, metrics)
    app.add_routes(
        [
            web.get("/-/health", pages.health),
            web.get("/-/metrics", pages.metrics),
            web.get("/-/services", pages.services),
        ]
    )
    plugins.extend("register_routes", app=app)
    for name, service in services.items():
        app.add_routes(ServiceV1(service, base_path(name), shared).routes())
    app.add_routes(
        [web.route("*", f"/services/{{name:{_other_than(services)}}}{{rest:(/.*)?}}", pages.no_service)]
    )
    if len(services) == 1:
        (service,) = services.values()
        app.add_routes(ServiceV1(service, "", shared).routes())
    else:
        app.add_routes([web.get("/", pages.overview)])
    return app


def base_path(name: str) -> str:
    """Return where a service is served."""
    return f"/services/{name}"


def _other_than(names: Iterable[str]) -> str:
    """Return a pattern for a part of a path that is none of the names."""
    known = "".join(f"(?!{re.escape(name)}(?:/|$))" for name in names)
    return f"{known}[^/]+"


class _Pages:
    """The engine's own pages."""

    def __init__(
        self,
        services: Mapping[str, Service],
        health: Callable[[], Health],
        metrics: Callable[[], bytes] | None,
    ) -> None:
        self._services = services
        self._health = health
        self._metrics = metrics

    async def health(self, _: web.Request) -> web.Response:
        health = self._health()
        fields = {
            "alive": True,
            "ready": health.ready,
            "problems": list(health.problems),
            "watcher": {"restarts": health.watcher_restarts},
            "jobs": {"queued": health.queued, "running": health.running},
        }
        return answer(fields, 200 if health.ready else 503)

    async def metrics(self, _: web.Request) -> web.Response:
        if self._metrics is None:
            raise ApiError(404, "NOT_FOUND", "this process serves the API alone; its engine has the numbers")
        return web.Response(body=self._metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def services(self, _: web.Request) -> web.Response:
        return answer(
            [
                {
                    "name": name,
                    "description": service.description,
                    "runtime": service.runtime,
                    "path": base_path(name),
                }
                for name, service in self._services.items()
            ]
        )

    async def overview(self, _: web.Request) -> web.Response:
        paths = {name: base_path(name) for name in self._services}
        return answer({"status": UP, "services": paths})

    async def no_service(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        raise ApiError(404, "NOT_FOUND", f"no service named {name!r}{nearest(name, self._services)}")
