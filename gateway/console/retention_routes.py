"""What is asked about how long data are kept over HTTP: erase what is old, or one person."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.asking import Asking
from gateway.console.views import Json
from gateway.errors import Refused


class RetentionRoutes(Asking):
    """Erasing."""

    @property
    def routes(self) -> list[Route]:
        return [Route("/api/v1/purge", self.purge, methods=["POST"])]

    async def purge(self, request: Request) -> Response:
        """{} = what is kept longer than [retention] says; {person, reason} = all about a person whom the register does not have any more."""
        actor = self._on_duty(request)
        body = await self.fields(request, {"person", "reason"})
        person, reason = body.get("person", ""), body.get("reason", "")
        if not isinstance(person, str) or not isinstance(reason, str) or len(reason) > 500:
            raise Refused("bad_person", 400)

        async def work() -> Json:
            house = self._house
            counts = await (house.retention.person(person, house.register, actor, reason) if person else house.retention.old(actor))
            return dict(msgspec.to_builtins(counts))

        return await self._once(request, actor, work)
