"""An incident as a document for the printer: all of it at once, masked, or in full by right, for a reason, and on record before it is shown."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console import views
from gateway.console.asking import Body, answered
from gateway.console.audit_routes import actor_of
from gateway.console.guard import reader_of
from gateway.console.history_views import history_row
from gateway.console.reader import Reader, area_of
from gateway.console.rights import LEAD
from gateway.console.seam import House
from gateway.console.views import Json
from gateway.core.aid_matters import is_shut_out
from gateway.core.incident import Incident
from gateway.errors import Refused
from gateway.event import Kind

REASON = (2, 500)  # characters


class PrintRoutes:
    """Documents."""

    def __init__(self, house: House, body: Body) -> None:
        self._house = house
        self._body = body

    @property
    def routes(self) -> list[Route]:
        return [Route("/api/v1/incidents/{id}/print", self.document, methods=["POST"])]

    async def document(self, request: Request) -> Response:
        """{full, reason}: everything that stands in the document. In full only for who may, and only with a reason."""
        house, reader, name = self._house, reader_of(request), request.path_params["id"]
        body = await self._body(request)
        unknown = sorted(body.keys() - {"full", "reason"})
        if unknown:
            raise Refused("unknown_field", 400, field=unknown[0])
        full, reason = body.get("full", False), body.get("reason") or ""
        if not isinstance(full, bool):
            raise Refused("bad_full", 400)
        if not isinstance(reason, str) or len(reason) > REASON[1] or (full and len(reason.strip()) < REASON[0]):
            raise Refused("missing_reason", 400, least=REASON[0], most=REASON[1])
        await house.recall(name)
        one = house.incidents.get(name)
        if one is None:
            raise Refused("unknown_incident", 404)
        may = self._may(one, reader)
        if full and not may:
            raise Refused("not_owner", 403)
        rows = list(await house.timeline(name))
        facts: Json = {"incident": one.id, "person": one.person, "masked": not full, "reason": reason.strip()}
        await house.note(Kind.EXPORTED, actor_of(reader), what="printout", **facts, role=reader.role, address=reader.address)
        hotlines, register, now = house.config.calls.hotlines, house.register, house.now()
        detail = views.incident_detail(register, one, rows, None, None, now, hotlines)
        row = detail["incident"]
        assert isinstance(row, dict)
        row |= {name: value for name, value in history_row(register, one, now).items() if name not in row}
        detail["numbers"] = None
        if full:
            person = register.persons.get(one.person or "")
            detail["person"] = views.person_view(register, person, True, now) if person else None
            detail["timeline"] = [views.timeline_entry(entry, True, hotlines) for entry in rows]
            detail["numbers"] = views.full_numbers(register, one)
            row["name"] = person.name if person else None
            row["position"] = views.position_view(one.position, True)
        area = register.areas.get(area_of(register, one) or "")
        deadlines = [
            {
                "delivery": leg.delivery,
                "name": "reply",
                "due": leg.reply_by,
                "done": leg.answered_at,
                "late": bool(leg.answered_at and leg.answered_at > leg.reply_by),
            }
            for leg in one.legs
        ]
        printed: Json = {
            "by": actor_of(reader),
            "at": now,
            "masked": not full,
            "reason": reason.strip(),
            "district": register.name,
            "area": area and area.name,
        }
        return answered(detail | {"printed": printed, "may": may, "against": deadlines})

    def _may(self, one: Incident, reader: Reader) -> bool:
        if reader.role in LEAD:
            return True
        return views.is_entitled(one, reader.name) and not is_shut_out(self._house.standings, reader.name or "", self._house.now())
