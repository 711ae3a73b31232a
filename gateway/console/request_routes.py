"""Ordinary service requests over HTTP: the queue, filing one, the list of services. What is done to one is a command as to any incident."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console import request_views
from gateway.console.asking import Asking, answered, place, text, time
from gateway.console.guard import reader_of
from gateway.console.views import Json
from gateway.core.requests import LATE_AT_MOST, WISH_LIMIT, key_of, request_event
from gateway.core.service_need import LONGEST_AHEAD, is_request
from gateway.core.services import Services
from gateway.errors import Refused, StoreDown

FIELDS = ("person", "service", "wanted_at", "wish")


class RequestRoutes(Asking):
    """The queue of ordinary services, and filing one."""

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/requests", self.queue, methods=["GET", "POST"]),
            Route("/api/v1/services", self.services),
        ]

    async def queue(self, request: Request) -> Response:
        """GET: the queue. POST: file one."""
        return await (self.file(request) if request.method == "POST" else self.some(request))

    async def services(self, _: Request) -> Response:
        """The codes, what this place calls them, and every other word."""
        listed = [{"code": one.code, "name": one.name, "name_en": one.name_en, "aliases": one.aliases} for one in self._services.by_code.values()]
        return answered({"services": listed})

    async def some(self, request: Request) -> Response:
        """The queue, wanted soonest first, a page at a time; counts of all states; demand that nobody meets."""
        query = request.query_params
        after, state, word = place(request), query.get("state", ""), query.get("service", "")
        if state and state not in request_views.STATES:
            raise Refused("bad_state", 400, allowed=request_views.STATES)
        service = self._services.code_of(word)
        if word and not service:
            raise Refused("unknown_service", 400, allowed=sorted(self._services.by_code))
        house = self._house
        reader = reader_of(request)
        incidents = [one for one in list(house.incidents.values()) if is_request(one) and reader.sees(house.register, one)]

        def look() -> tuple[list[Json], int | None, Json]:
            found = request_views.requests_of(incidents, state, service, query.get("person", ""))
            rows, following = request_views.page_of(house.register, self._services, found, after, house.config.calls.hotlines)
            return rows, following, request_views.counts_of(house.register, incidents)

        rows, following, counts = await asyncio.to_thread(look)
        body = {"now": house.now(), "requests": rows, "after": str(following) if following is not None else None, "counts": counts}
        return answered(body)

    async def file(self, request: Request) -> Response:
        """File one: {person, service, wanted_at?, wish?}."""
        actor = self._on_duty(request)
        body = await self.fields(request, FIELDS)
        person, service, wish = (text(body, name, lines=True) for name in ("person", "service", "wish"))
        for name, value in (("person", person), ("service", service)):
            if not value:
                raise Refused(f"missing_{name}", 400)
        key = request.headers.get("idempotency-key")
        house = self._house
        known = house.register.persons.get(person)
        if known is not None and not reader_of(request).covers(house.register, known.area):
            raise Refused("foreign_area", 403)
        event = request_event(
            person=person,
            service=service,
            by=actor,
            now=house.now(),
            wanted_at=time(body, "wanted_at"),
            wish=wish,
            identity=f"{actor}|{key}" if key else None,
        )

        async def work() -> Json:
            (verdict,) = await house.receive([event])
            if not verdict.kept:
                if verdict.retry:
                    raise StoreDown("the store takes nothing at the moment; try again")
                raise Refused(verdict.reason, 404 if verdict.reason == "unknown_person" else 400, **self._remedy(verdict.reason))
            names = house.working.by_key.get(key_of(event), ())
            filed = house.incidents.get(names[-1]) if names else None  # the same again, after the first was closed: nothing is filed
            row = request_views.request_row(house.register, self._services, filed, house.config.calls.hotlines) if filed is not None else None
            return {"outcome": "filed" if verdict.outcome == "stored" else "known", "request": row}

        return await self._once(request, actor, work)

    @property
    def _services(self) -> Services:
        return self._house.working.services

    def _remedy(self, reason: str) -> Json:
        remedies: dict[str, Json] = {
            "unknown_service": {"allowed": sorted(self._services.by_code)},
            "wish_too_long": {"limit": WISH_LIMIT},
            "bad_wanted_at": {"most_days": LONGEST_AHEAD.days, "least_hours": -LATE_AT_MOST.total_seconds() / 3600},
        }
        return remedies.get(reason, {})
