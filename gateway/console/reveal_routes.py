"""Showing in full what is masked: by whom, why, and on record before the value leaves. If it cannot be written, nothing is shown."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console import views
from gateway.console.asking import Asking, Body, Once, OnDuty, answered, text
from gateway.console.commands import reveal_reason
from gateway.console.guard import reader_of
from gateway.console.notice_views import SUPERVISORS
from gateway.console.reader import Reader, area_of
from gateway.console.seam import House
from gateway.core.account import AccountRole
from gateway.core.aid_matters import is_shut_out
from gateway.core.desk_matters import NOTICE, SAID, free_id
from gateway.core.incident import Incident
from gateway.core.standing import Ruling
from gateway.errors import Refused
from gateway.event import Kind

TEXT_LIMIT = 300  # characters of why somebody looks where it is not their part: with what is said around it, a notice
NOTICE_TRIES = 20  # somebody else may be quicker with the same free number; a room looks at fewer records at once
NOTICE_FOR = timedelta(hours=8)  # a shift: the next one reads of it in the supervisor's view
SAYS = {"zh-CN": "紧急查看 {incident} 的完整信息：{why}", "en": "Emergency look at the full record of {incident}: {why}"}


class RevealRoutes(Asking):
    """ruled: told when the feed must look."""

    def __init__(self, house: House, on_duty: OnDuty, body: Body, once: Once, ruled: Callable[[], None]) -> None:
        super().__init__(house, on_duty, body, once)
        self._ruled = ruled

    @property
    def routes(self) -> list[Route]:
        return [Route("/api/v1/incidents/{id}/reveal", self.reveal, methods=["POST"])]

    async def reveal(self, request: Request) -> Response:
        """{reason, emergency?, text?}: whole telephone numbers; whose part it is not also the person's record, which owners see anyway.

        Who may: the one in charge of the open incident; a supervisor in their areas; with `emergency` and a text anybody on duty, which is marked
        in the journal and told to the supervisors of the place at once.
        """
        name, reader, house = self._on_duty(request), reader_of(request), self._house
        body = await self.fields(request, ("reason", "emergency", "text"))
        incident = await self._known(request.path_params["id"])
        is_own = views.is_entitled(incident, name)
        emergency = self._right(reader, name, incident, is_own=is_own, wanted=body.get("emergency"))
        reason = reveal_reason({key: value for key, value in body.items() if key == "reason"})
        facts: dict[str, object] = {"field": "phones" if is_own else "record", "reason": reason}
        if emergency:
            why = text(body, "text", lines=True)
            if not why:
                raise Refused("missing_text", 400)
            if len(why) > TEXT_LIMIT:
                raise Refused("text_too_long", 400, limit=TEXT_LIMIT)
            facts |= {"emergency": True, "text": why}
        await house.note(Kind.REVEAL, name, incident=incident.id, person=incident.person, **facts)
        if emergency:
            await self._tell(name, incident, str(facts["text"]))
        shown = views.full_numbers(house.register, incident)  # of the person that the journal names, whatever happened meanwhile
        person = house.register.persons.get(incident.person or "")
        if not is_own:
            shown["person"] = views.person_view(house.register, person, True, house.now()) if person is not None else None
        return answered(shown)

    def _right(self, reader: Reader, name: str, incident: Incident, *, is_own: bool, wanted: object) -> bool:
        """May they, and is it an emergency that lets them? Raises Refused: bad_emergency, foreign_area, not_owner."""
        if wanted is not None and not isinstance(wanted, bool):
            raise Refused("bad_emergency", 400)
        if is_shut_out(self._house.standings, name, self._house.now()):
            raise Refused("not_owner", 403)
        sees = reader.sees(self._house.register, incident)
        if is_own or (sees and reader.role is AccountRole.SUPERVISOR):
            return False
        if not wanted:
            raise Refused("not_owner" if sees else "foreign_area", 403)
        return True

    async def _known(self, name: str) -> Incident:
        await self._house.recall(name)
        incident = self._house.incidents.get(name)
        if incident is None:
            raise Refused("unknown_incident", 404)
        return incident

    async def _tell(self, name: str, incident: Incident, why: str) -> None:
        """To the supervisors of the place. When too many notices stand, they find it in their view: the journal has it in any case."""
        house = self._house
        area = area_of(house.register, incident)
        said = SAYS.get(house.config.gateway.language, SAYS["en"]).format(incident=incident.id, why=why)
        detail: dict[str, object] = {"text": said, "to": SUPERVISORS, "areas": [area] if area in house.register.areas else []}
        for _ in range(NOTICE_TRIES):
            with suppress(Refused):
                key = f"{NOTICE}:{free_id(house.standings, NOTICE, house.now())}"
                await house.rule(Ruling(key=key, value=SAID, actor=name, until=house.now() + NOTICE_FOR, detail=detail))
                break
        self._ruled()
