"""Devices in maintenance or test over HTTP: what they send but presses for help goes on the shelf (gateway.core.maintenance)."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console import desk_views, device_views
from gateway.console.asking import Asking, answered, text, time
from gateway.console.desk_views import maintenance_row
from gateway.console.guard import reader_of
from gateway.console.views import Json
from gateway.core.maintenance import key_of
from gateway.core.standing import Ruling
from gateway.core.territory import Standing
from gateway.errors import Refused


class MaintenanceRoutes(Asking):
    """List, set and lift. A device is named as in the list of devices: its line and `ref`, or by an incident of it."""

    @property
    def routes(self) -> list[Route]:
        return [Route("/api/v1/maintenance", self.matter, methods=["GET", "POST"])]

    async def matter(self, request: Request) -> Response:
        """GET: the list. POST: set or lift."""
        return await (self.rule(request) if request.method == "POST" else self.some(request))

    async def some(self, request: Request) -> Response:
        """{now, maintenance: [{line, device, ref, value: maintenance | test, until, by, at, reason, place}]}."""
        house = self._house
        body = {"now": house.now(), "maintenance": desk_views.maintenance_rows(house.working, house.now(), reader_of(request))}
        return answered(body)

    async def rule(self, request: Request) -> Response:
        """{incident | line + ref, value: maintenance | test | "", until (not for ""), reason} → {maintenance: row}.

        Refused: unknown_device, bad_value, bad_until {latest}, missing_reason, does_not_stand.
        """
        actor, reader, house = self._on_duty(request), reader_of(request), self._house
        body = await self.fields(request, ("incident", "line", "ref", "value", "until", "reason"))
        incident = house.incidents.get(text(body, "incident"))
        if incident is not None:
            line, address = incident.line, incident.device
        else:
            line = text(body, "line")
            address = await asyncio.to_thread(device_views.address_of, house.working, line, text(body, "ref"))
        if not address:
            raise Refused("unknown_device", 404)
        key = key_of(line, address)
        now = house.now()
        if maintenance_row(house.register, Standing(key=key, value="", at=now, actor=actor), reader) is None:
            raise Refused("foreign_area", 403)
        ruling = Ruling(key=key, value=text(body, "value"), actor=actor, reason=text(body, "reason"), until=time(body, "until"))

        async def work() -> Json:
            return {"maintenance": maintenance_row(house.register, await house.rule(ruling), reader)}

        return await self._once(request, actor, work)
