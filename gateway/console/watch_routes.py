"""What is asked about watched persons over HTTP: the list, announcing or cancelling an absence, and the link by which a family does so."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console import watch_views
from gateway.console.asking import Asking, answered, place, text, time
from gateway.console.guard import reader_of
from gateway.console.views import Json
from gateway.core.absence import Wish
from gateway.errors import Refused
from gateway.event import Kind

FIELDS = ("by", "name", "note", "until")


class WatchRoutes(Asking):
    """The list of watched persons, and absences."""

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/watch", self.some),
            Route("/api/v1/watch/{person}/absence", self.announce, methods=["POST"]),
            Route("/api/v1/watch/{person}/absence_over", self.cancel, methods=["POST"]),
            Route("/api/v1/watch/{person}/family_link", self.link, methods=["POST"]),
        ]

    async def some(self, request: Request) -> Response:
        """Watched persons, who is missed first, a page at a time; how many there are of each state."""
        after, state = place(request), request.query_params.get("state", "")
        if state and state not in watch_views.STATES:
            raise Refused("bad_state", 400, allowed=watch_views.STATES)
        house = self._house
        missed = watch_views.missed_by_person(house.incidents.values())
        rows, following = await asyncio.to_thread(watch_views.some_of, house.working, missed, after, house.now(), state, reader_of(request))
        body = {
            "now": house.now(),
            "watched": rows,
            "after": str(following) if following is not None else None,
            "counts": watch_views.counts_of(house.working, missed, reader_of(request)),
        }
        return answered(body)

    async def announce(self, request: Request) -> Response:
        """Somebody is away: {by?, name?, note?, until?}."""
        actor = self._of_mine(request)
        body = await self.fields(request, FIELDS)
        by, name, note = (text(body, key) for key in ("by", "name", "note"))
        wish = Wish(person=request.path_params["person"], actor=actor, until=time(body, "until"), by=by or "operator", name=name, note=note)
        return await self._do(request, wish)

    async def cancel(self, request: Request) -> Response:
        """They are back, or not gone at all."""
        return await self._do(request, Wish(person=request.path_params["person"], actor=self._of_mine(request), over=True))

    async def link(self, request: Request) -> Response:
        """{contact}: the signed link of a family contact who consented, by place in the list from 1. It is journalled before it is shown."""
        actor = self._of_mine(request)
        body = await self.fields(request, ("contact",))
        house, number = self._house, body.get("contact")
        person = house.register.persons.get(request.path_params["person"])
        if person is None:
            raise Refused("unknown_person", 404)
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(person.contacts):
            raise Refused("bad_contact", 400, most=len(person.contacts))
        if not person.contacts[number - 1].consent_on:
            raise Refused("no_consent")
        made = house.page.family_link(person, number - 1) if house.page is not None else None
        if made is None:
            raise Refused("no_page", 404)
        link, until = made
        await house.note(Kind.REVEAL, actor, person=person.id, field="family_link", contact=number, until=until)
        return answered({"link": link, "until": until})

    def _of_mine(self, request: Request) -> str:
        """The actor, if the person lives in their areas. Raises Refused: foreign_area."""
        actor, register = self._on_duty(request), self._house.register
        person = register.persons.get(request.path_params["person"])
        if person is not None and not reader_of(request).covers(register, person.area):
            raise Refused("foreign_area", 403)
        return actor

    async def _do(self, request: Request, wish: Wish) -> Response:
        async def work() -> Json:
            house = self._house
            await house.absence(wish)
            one = house.working.watch.by_person[wish.person]
            missed = watch_views.missed_by_person(house.incidents.values()).get(wish.person)
            return {"watch": watch_views.watched_row(house.working, one, missed, house.now())}

        return await self._once(request, wish.actor, work)
