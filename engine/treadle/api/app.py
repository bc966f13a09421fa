"""The HTTP application: every service at its base path, and the engine's own pages below `/-/`."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from treadle.api.errors import ApiError, answer, errors_as_json
from treadle.api.incoming import Incoming
from treadle.api.v1 import RootV1, ServiceV1, base_path
from treadle.api.web_pages import refuse_web_pages
from treadle.intake.gateway import Gateway
from treadle.intake.health import Health
from treadle.support.addresses import is_loopback


def make_app(
    gateway: Gateway,
    *,
    health: Callable[[], Health],
    metrics: Callable[[], bytes] | None,
    count_refusal: Callable[[str], None] | None,
) -> web.Application:
    """Return the application that serves the gateway's services.

    metrics returns the engine's numbers as Prometheus text, and count_refusal counts a refused request by
    its code; both are None where the engine is another process.
    """
    refusals = errors_as_json(count_refusal or (lambda _: None))
    settings = gateway.settings
    pages_of_others = refuse_web_pages(settings.host, settings.hosts)
    app = web.Application(middlewares=[refusals, pages_of_others], client_max_size=settings.max_body)
    incoming = Incoming(settings.max_body, gateway.admission.check_room, gateway.spool.new_in_tmp)
    pages = _Pages(gateway, health, metrics)
    app.add_routes(pages.routes())
    gateway.plugins.extend("register_routes", app=app)
    root = RootV1(gateway, incoming)
    app.add_routes(ServiceV1(gateway, incoming).routes())
    app.add_routes([web.get("/services{end:/*}", root.overview)])
    app.add_routes(root.routes())
    return app


class _Pages:
    """The engine's own pages."""

    def __init__(
        self,
        gateway: Gateway,
        health: Callable[[], Health],
        metrics: Callable[[], bytes] | None,
    ) -> None:
        self._services = gateway.services
        self._spool = gateway.spool
        self._health = health
        self._metrics = metrics

    def routes(self) -> list[web.RouteDef]:
        """Return the routes that do not depend on the services."""
        return [
            web.get("/-/health", self.health),
            web.get("/-/metrics", self.metrics),
            web.get("/-/services", self.services),
            web.get("/-/spool", self.spool),
        ]

    async def health(self, _: web.Request) -> web.Response:
        health = self._health()
        fields = {
            "alive": True,
            "ready": health.ready,
            "problems": list(health.problems),
            "notes": list(health.notes),
            "watcher": {"restarts": health.watcher_restarts},
            "jobs": {"queued": health.queued, "running": health.running, "stuck": health.stuck},
        }
        return answer(fields, 200 if health.ready else 503)

    async def metrics(self, _: web.Request) -> web.Response:
        if self._metrics is None:
            raise ApiError(404, "NOT_FOUND", "this process serves the API alone; its engine has the numbers")
        return web.Response(body=self._metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def services(self, _: web.Request) -> web.Response:
        working = [
            {
                "name": name,
                "description": service.description,
                "runtime": service.runtime,
                "path": base_path(name),
                "error": None,
            }
            for name, service in self._services.items()
        ]
        broken = [
            {"name": each.name, "description": "", "runtime": None, "path": None, "error": each.reason}
            for each in self._services.broken
        ]
        return answer(working + broken)

    async def spool(self, request: web.Request) -> web.Response:
        """Tell the command line on this host where the spool is; whether it may look there, the files say."""
        if not is_loopback(request.remote or ""):
            raise ApiError(404, "NOT_FOUND", "only clients on this host are told where the spool is")
        return answer({"path": str(self._spool.root), "id": self._spool.id})
