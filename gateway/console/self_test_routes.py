"""The self-test over HTTP: what came of it, and one probe at once."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.asking import Asking, answered, text
from gateway.errors import Refused


class SelfTestRoutes(Asking):
    """For those who keep the machinery running."""

    @property
    def routes(self) -> list[Route]:
        return [Route("/api/v1/self-test", self.matter, methods=["GET", "POST"])]

    async def matter(self, request: Request) -> Response:
        """GET: the state. POST: probe now."""
        return await (self.now(request) if request.method == "POST" else self.state(request))

    async def state(self, request: Request) -> Response:  # noqa: ARG002  the rule of the route has looked at who asks
        """{now, self_test: null, or {state: off | waiting | good | missed | failing, at, every_s, misses, station, points: [row]}}.

        row: {name, line, codec, how: wire | path | press, why, sentinel, place, area, state, withholds}, of a press {pressed_at, due, every_days},
        else {every_s, within_s, at, since, missing, detail, stages: {connect, receipt, committed, station: seconds}, seconds, p50, p99, sent, missed,
        in_a_row}. `missing` is "" or the word for what was not seen.
        """
        body = {"now": self._house.now(), "self_test": self._house.self_test.view()}
        return answered(body)

    async def now(self, request: Request) -> Response:
        """{point} or {line} or {} for all → {points: [rows as above]}, when all have come back or been missed. Refused: unknown_point, unknown_line,
        nothing_to_test (only people press there)."""
        body = await self.fields(request, ("point", "line"))
        point, line = text(body, "point"), text(body, "line")
        if point and line:
            raise Refused("bad_line", 400)
        rows = await self._house.self_test.at_once(point, line)
        return answered({"points": rows})
