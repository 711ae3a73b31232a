"""Risk warnings over HTTP: what stands, and that somebody has seen to it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.asking import Asking, answered, text
from gateway.console.guard import reader_of
from gateway.console.risk_views import seen_by
from gateway.console.views import Json
from gateway.core.risk_edges import SEEN
from gateway.core.standing import Ruling
from gateway.errors import Refused


class RiskRoutes(Asking):
    """For supervisors; for technicians what concerns devices, models and lines."""

    @property
    def routes(self) -> list[Route]:
        return [Route("/api/v1/risks", self.all), Route("/api/v1/risks/seen", self.seen, methods=["POST"])]

    async def all(self, request: Request) -> Response:
        """{now, enabled, risks: [{rule, concern: person | device | model | responder | line | desk, id, name, line?, model?, area, area_name, at,
        value, facts: {…numbers}, seen_by, seen_at, note}]}. Unseen first, people before machines. value: 1 is where a warning begins."""
        house, reader = self._house, reader_of(request)
        rows = [row for _, row in seen_by(house.register, house.standings, reader)]
        return answered({"now": house.now(), "enabled": house.config.risk.enabled, "risks": rows})

    async def seen(self, request: Request) -> Response:
        """{rule, id, line?, note?} → {risk: row}. It waits for nobody any more, unless it grows worse. Refused: unknown_risk (over, or not yours)."""
        actor, reader, house = self._on_duty(request), reader_of(request), self._house
        body = await self.fields(request, ("rule", "id", "line", "note"))
        rule, wanted, line = text(body, "rule"), text(body, "id"), text(body, "line")

        def find() -> tuple[str, Json]:
            for one, row in seen_by(house.register, house.standings, reader):
                if row["rule"] == rule and row["id"] == wanted and row.get("line", line) == line:
                    return one.subject, row
            raise Refused("unknown_risk", 404)

        subject, _ = find()
        key = request.headers.get("idempotency-key")
        ruling = Ruling(
            key=f"{SEEN}:{rule}:{subject}",
            value="seen",
            actor=actor,
            reason=text(body, "note"),
            identity=f"{actor}|{SEEN}:{rule}:{subject}|{key}" if key else None,
        )

        async def work() -> Json:
            await house.rule(ruling)
            return {"risk": find()[1]}

        return await self._once(request, actor, work)
