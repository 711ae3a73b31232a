"""Notices over HTTP: a supervisor says something to everybody on duty and to stations; who has read it, who was told (domain 2.8)."""

from collections.abc import Callable
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.asking import Asking, Body, Once, OnDuty, answered, text, time
from gateway.console.guard import reader_of
from gateway.console.notice_views import SUPERVISORS, notice_row, notice_rows
from gateway.console.reader import Reader
from gateway.console.rights import LEAD
from gateway.console.seam import House
from gateway.console.views import Json
from gateway.core.desk_matters import NOTICE, SAID, free_id
from gateway.core.register import Register, Responder, ResponderKind
from gateway.core.standing import Ruling
from gateway.errors import Refused

SHIFT = timedelta(hours=8)  # until when a notice counts that says nothing else
STATIONS = frozenset((ResponderKind.STATION, ResponderKind.STREET_CENTRE, ResponderKind.DISTRICT_CENTRE, ResponderKind.HEALTH_STATION))


class NoticeRoutes(Asking):
    """Broadcast and acknowledgement. ruled: told when the feed must look."""

    def __init__(self, house: House, on_duty: OnDuty, body: Body, once: Once, ruled: Callable[[], None]) -> None:
        super().__init__(house, on_duty, body, once)
        self._ruled = ruled

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/notices", self.notices, methods=["GET", "POST"]),
            Route("/api/v1/notices/{id}/acknowledge", self.acknowledge, methods=["POST"]),
        ]

    async def notices(self, request: Request) -> Response:
        """GET: those that count. POST: a new one."""
        return await (self.say(request) if request.method == "POST" else self.some(request))

    async def some(self, request: Request) -> Response:
        """{now, notices: [{id, text, to, by, at, until, areas, acknowledged: [names], stations: {told, failed, silent} | null}]}.

        The feed has the same as `notice:<id>`: {type: notice, id, text, by, at, until, acknowledged}.
        """
        house, reader = self._house, reader_of(request)
        rows = [row for row in notice_rows(house.standings, house.now()) if _is_told(house.register, row, reader)]
        return answered({"now": house.now(), "notices": rows})

    async def say(self, request: Request) -> Response:
        """{text (1..500), to?: operators | stations | all, areas?: [ids], until? (≤ 24 h, else a shift of 8 h)} → {notice}."""
        actor, reader, house = self._on_duty(request), reader_of(request), self._house
        body = await self.fields(request, ("text", "to", "areas", "until"))
        to = text(body, "to") or "operators"
        if to not in ("operators", "stations", "all"):
            raise Refused("bad_to", 400, allowed=["operators", "stations", "all"])
        areas = body.get("areas") or []
        if not isinstance(areas, list) or not all(isinstance(one, str) and one in house.register.areas for one in areas):
            raise Refused("unknown_area", 400)
        if not all(reader.covers(house.register, one) for one in areas):
            raise Refused("foreign_area", 403)
        areas = sorted(set(areas)) or sorted(reader.areas)
        said = text(body, "text", lines=True)
        until = time(body, "until") or house.now() + SHIFT

        async def work() -> Json:
            name = free_id(house.standings, NOTICE, house.now())
            detail: dict[str, object] = {"text": said, "to": to, "areas": areas}
            standing = await house.rule(Ruling(key=f"{NOTICE}:{name}", value=SAID, actor=actor, until=until, detail=detail))
            if to != "operators":
                stations = [one for one in house.register.responders.values() if one.kind in STATIONS and serves(house.register, one, areas)]
                counts = await house.tell_stations(f"notice-{name}-{int(standing.at.timestamp())}", said, stations)
                told: dict[str, object] = {"stations": counts}
                standing = await house.rule(Ruling(key=standing.key, value="stations", actor=actor, detail=told))
            self._ruled()
            return {"notice": notice_row(standing)}

        return await self._once(request, actor, work)

    async def acknowledge(self, request: Request) -> Response:
        """{} → {notice}: this person has read it."""
        actor, house = self._on_duty(request), self._house
        await self.fields(request, ())
        key = f"{NOTICE}:{request.path_params['id']}"
        before = house.standings.get(key)
        if before is None or not _is_told(house.register, notice_row(before), reader_of(request)):
            raise Refused("unknown_notice", 404)

        async def work() -> Json:
            standing = await house.rule(Ruling(key=key, value="acknowledged", actor=actor))
            self._ruled()
            return {"notice": notice_row(standing)}

        return await self._once(request, actor, work)


def _is_told(register: Register, row: Json, reader: Reader) -> bool:
    """Does a notice reach this reader at all?"""
    return is_for(register, row["areas"], reader) and (row["to"] != SUPERVISORS or reader.role in LEAD)


def is_for(register: Register, areas: object, reader: Reader) -> bool:
    """Is a notice of these areas said to this reader?"""
    named = [str(one) for one in areas] if isinstance(areas, list | tuple) else []
    above = {name for area in reader.areas for name in register.areas_above(area)}
    return not named or not reader.areas or any(one in above or reader.covers(register, one) for one in named)


def serves(register: Register, responder: Responder, areas: list[str]) -> bool:
    """Does a station serve one of these areas, or something in or above them?"""
    above = {name for area in areas for name in register.areas_above(area)}
    return not areas or any(one in above or not set(areas).isdisjoint(register.areas_above(one)) for one in responder.areas)
