"""The map over HTTP: what lies under it, where one incident is, and where all of them are, roughly."""

from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console import map_views as views
from gateway.console.asking import answered
from gateway.console.guard import reader_of
from gateway.console.seam import House
from gateway.console.tiles import Tiles
from gateway.console.views import Json, is_entitled
from gateway.core.incident import Incident, State
from gateway.core.service_need import is_request
from gateway.errors import Refused
from gateway.maps import state
from gateway.maps.boundary import Boundary

# Name of who may see a person's record, journalled before it is shown; None: the masked form.
OnRecord = Callable[[Request, Incident], Awaitable[str | None]]


class MapRoutes:
    """Files are looked at once, when the page is first asked for a map: [map] changes with a restart."""

    def __init__(self, house: House, tiles: Tiles, on_record: OnRecord) -> None:
        self._house = house
        self._tiles = tiles
        self._on_record = on_record
        self._layers: list[state.LayerState] | None = None
        self._boundary: Boundary | None = None

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/map", self.map),
            Route("/api/v1/map/incidents", self.incidents),
            Route("/api/v1/incidents/{id}/map", self.incident),
            *self._tiles.routes,
        ]

    async def map(self, request: Request) -> Response:
        """Everything but incidents. boundary=: the digest of the one that the page has, whose points it need not hear again."""
        house = self._house
        given = house.config.map
        layers = await self._looked()
        shown = [
            {
                "name": one.layer.name,
                "min_zoom": one.layer.min_zoom,
                "max_zoom": one.layer.max_zoom,
                "opacity": one.layer.opacity,
                "refused": one.reason,
                "trouble": self._tiles.trouble(one.layer.name),
            }
            for one in layers
        ]
        has = request.query_params.get("boundary", "")
        body: Json = {
            "now": house.now(),
            "center": views.center_of(house.config, house.register),
            "zoom": given.zoom,
            "crs": "gcj02" if any(layer.crs == "gcj02" for layer in given.layer) else "wgs84",
            "sketch": not (given.approval and any(not one.reason for one in layers)),
            "attribution": given.attribution,
            "approval": given.approval,
            "circle_min": house.config.routing.circle_min,
            "fresh_s": house.config.policy.position_fresh_s,
            "layers": shown,
            "boundary": views.boundary_view(self._boundary, has),
            "responders": views.responders_view(house.register, reader_of(request), house.now()),
        }
        return answered(body)

    async def _looked(self) -> list[state.LayerState]:
        if self._layers is None:
            config = self._house.config
            self._boundary = (await run_in_threadpool(state.boundary_of, config))[0]
            self._layers = await run_in_threadpool(state.layers, config)
        return self._layers

    async def incidents(self, request: Request) -> Response:
        """Open alarms of the reader's areas by squares of about a kilometre."""
        house, reader = self._house, reader_of(request)
        register = house.register
        mine = (one for one in house.incidents.values() if one.is_open and not is_request(one) and reader.sees(register, one))
        return answered({"now": house.now(), **views.overview(register, mine)})

    async def incident(self, request: Request) -> Response:
        """Where the person of one incident is, as exactly as this reader may know, and who could come."""
        house, name = self._house, request.path_params["id"]
        await house.recall(name)
        incident = house.incidents.get(name)
        if incident is None:
            raise Refused("unknown_incident", 404)
        entitled = is_entitled(incident, await self._on_record(request, incident))
        rows = await house.timeline(name) if entitled else ()
        incident = house.incidents.get(name, incident)
        decision = house.candidates(incident) if incident.state is not State.CLOSED else None
        travel = house.working.travel
        return answered(views.incident_map(house.register, incident, rows, decision, entitled, travel, house.config, house.now()))
