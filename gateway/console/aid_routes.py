"""Mutual aid over HTTP: agreements with what is in force, what is lost or saturated, guests; and ruling about each."""

from datetime import datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.asking import Asking, answered, time
from gateway.console.guard import reader_of
from gateway.console.reader import Reader
from gateway.console.views import Json
from gateway.core.aid_matters import GUEST, LOST, SATURATED, in_force
from gateway.core.register import Register
from gateway.core.standing import Ruling
from gateway.core.territory import Standing
from gateway.errors import Refused
from gateway.saturation import places_of

AID = "aid"
MATTERS = (LOST, SATURATED, AID, GUEST)
FIELDS = ("value", "reason", "until", "agreement")


class AidRoutes(Asking):
    """Mutual aid as it stands, and what people rule about it."""

    @property
    def routes(self) -> list[Route]:
        return [Route("/api/v1/aid", self.all), Route("/api/v1/aid/{matter}/{subject:path}", self.rule, methods=["POST"])]

    async def all(self, request: Request) -> Response:
        """Everything about aid at this moment that touches the reader's areas."""
        house, now, reader = self._house, self._house.now(), reader_of(request)

        def is_mine(*subjects: str) -> bool:
            return any(reader.serves(house.register, one) or _is_above(house.register, one, reader) for one in subjects)

        standings = house.working.standings
        agreements = [
            {
                **{
                    name: getattr(one, name)
                    for name in ("id", "helper", "helped", "both", "kinds", "since", "until", "duties", "response_min", "model")
                },
                "helper_name": name_of(house.register, one.helper),
                "helped_name": name_of(house.register, one.helped),
                "in_force": in_force(one, now),
                "ruled": _row(standings.get(f"{AID}:{one.id}"), now),
            }
            for one in house.register.agreements.values()
            if is_mine(one.helper, one.helped)
        ]
        ruled = {
            matter: [
                _named(house.register, one, now)
                for key, one in sorted(standings.items())
                if key.startswith(f"{matter}:") and one.value and is_mine(_place_of(one))
            ]
            for matter in (LOST, SATURATED, GUEST)
        }
        places = {
            name: {"name": name_of(house.register, name), "places": one.all, "taken": one.taken}
            for name, one in places_of(house.working, now).items()
            if is_mine(name)
        }
        return answered({"now": now, "agreements": agreements, **ruled, "districts": places})

    async def rule(self, request: Request) -> Response:
        """{value, reason, until?, agreement?}: what holds from now on; value "" lifts it."""
        matter, subject = request.path_params["matter"], request.path_params["subject"]
        if matter not in MATTERS:
            raise Refused("unknown_matter", 404)
        actor = self._on_duty(request)
        body = await self.fields(request, FIELDS)
        value, reason, agreement = (body.get(name, "") for name in ("value", "reason", "agreement"))
        if not (isinstance(value, str) and isinstance(reason, str) and isinstance(agreement, str)):
            raise Refused("bad_value", 400)
        detail: dict[str, object] = {"agreement": agreement} if agreement else {}
        key = f"{matter}:{subject}"
        touched = _touched(self._house.register, matter, subject, value, self._house.standings.get(key))
        if not all(reader_of(request).serves(self._house.register, one) for one in touched):
            raise Refused("foreign_area", 403)
        ruling = Ruling(key=key, value=value, actor=actor, reason=reason, until=time(body, "until"), detail=detail)

        async def work() -> Json:
            return {"ruled": _row(await self._house.rule(ruling), self._house.now())}

        return await self._once(request, actor, work)


def name_of(register: Register, subject: str) -> str:
    """What a responder or an area is called; else its id."""
    known = register.responders.get(subject) or register.areas.get(subject)
    return known.name if known is not None else subject


def _is_above(register: Register, subject: str, reader: Reader) -> bool:
    """Is it an area in which one of the reader's lies? What holds for a district holds for its streets."""
    return any(subject in register.areas_above(area) for area in reader.areas)


def _touched(register: Register, matter: str, subject: str, value: str, before: Standing | None) -> tuple[str, ...]:
    """Areas and responders that a ruling decides about."""
    if matter == AID:
        agreed = register.agreements.get(subject)
        return (agreed.helper, agreed.helped) if agreed is not None else ()
    if matter == GUEST:
        helped = value or (before.value if before is not None else "")
        return (helped,) if helped else ()
    return (subject,)


def _place_of(standing: Standing) -> str:
    """Where a ruling belongs to: its subject; of a guest, what is helped."""
    matter, _, subject = standing.key.partition(":")
    return standing.value if matter == GUEST else subject


def _named(register: Register, standing: Standing, now: datetime) -> Json:
    subject = standing.key.partition(":")[2]
    return {**(_row(standing, now) or {}), "name": name_of(register, subject), "value_name": name_of(register, standing.value)}


def _row(standing: Standing | None, now: datetime) -> Json | None:
    if standing is None:
        return None
    return {**msgspec.to_builtins(standing), "subject": standing.key.partition(":")[2], "holds": standing.holds(now)}
