"""Why who was sent: every routing decision of an incident with its reasons, over HTTP."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.asking import answered
from gateway.console.seam import House, JournalRow
from gateway.console.views import Json, decision_view, responder_name
from gateway.core.register import Register
from gateway.core.routing import Decision
from gateway.errors import Refused
from gateway.routing_words import LANGUAGES, explained


class DecisionRoutes:
    """Anybody who sees an incident may see why somebody was sent: where the person is stands in it to about a kilometre."""

    def __init__(self, house: House) -> None:
        self._house = house

    @property
    def routes(self) -> list[Route]:
        return [Route("/api/v1/incidents/{id}/decisions", self.decisions)]

    async def decisions(self, request: Request) -> Response:
        """Oldest first; `words` in language= (default: the gateway's), names as they are now."""
        house, name = self._house, request.path_params["id"]
        language = request.query_params.get("language", house.config.gateway.language)
        if language not in LANGUAGES:
            raise Refused("bad_language", 400)
        await house.recall(name)
        if name not in house.incidents:
            raise Refused("unknown_incident", 404)
        found = [(row, decision) for row in await house.timeline(name) if (decision := decision_of(row)) is not None]
        items = [_item(house.register, row, decision, language) for row, decision in found]
        return answered({"incident": name, "decisions": items})


def decision_of(row: JournalRow) -> Decision | None:
    """The decision of a journal entry, if it holds one that this program can read."""
    held = row.facts.get("decision")
    if held is None:
        return None
    try:
        return msgspec.convert(msgspec.to_builtins(held), Decision)
    except msgspec.ValidationError:
        return None  # purged, or of another version


def _item(register: Register, row: JournalRow, decision: Decision, language: str) -> Json:
    need = decision.need
    asked = {} if need is None else {"kind": need.kind, "role": need.role, "service": need.service, "skills": need.skills, "language": need.language}
    return {
        "seq": row.seq,
        "event": row.kind,
        "actor": row.actor,
        **decision_view(register, decision),
        "asked": asked,
        "words": explained(decision, lambda name: responder_name(register, name), language),
    }
