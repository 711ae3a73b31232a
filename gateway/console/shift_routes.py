"""Handing a shift over, over HTTP: what the next one must know, and two people who say so (gateway.core.desk_matters).

What somebody writes about an incident becomes a note of that incident; the handover itself holds no word about anybody.
"""

import asyncio
from collections.abc import Iterable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console import desk_views, device_views
from gateway.console.asking import Asking, answered, text
from gateway.console.guard import reader_of
from gateway.console.reader import Reader
from gateway.console.risk_views import seen_by
from gateway.console.views import Json, incident_row
from gateway.core.account import AccountRole
from gateway.core.calls import call_backs
from gateway.core.command import Command
from gateway.core.desk_matters import CANCELLED, CONFIRMED, ITEMS_LIMIT, PENDING, SHIFT, free_id
from gateway.core.incident import Action, Incident, State
from gateway.core.register import Register
from gateway.core.standing import Ruling
from gateway.core.territory import Standing
from gateway.errors import Refused
from gateway.event import Kind

LEADS = (AccountRole.SUPERVISOR, AccountRole.LOCAL)
TIMELINES = 60  # incidents of which the note of a handover is looked up; with more urgent ones nobody reads notes
OVER = "shift"  # marks a note that was written for a handover


class ShiftRoutes(Asking):
    """The outgoing person writes, the incoming one ticks every open critical and major incident and confirms."""

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/shift", self.shift, methods=["GET", "POST"]),
            Route("/api/v1/shift/{id}/confirm", self.confirm, methods=["POST"]),
            Route("/api/v1/shift/{id}/cancel", self.cancel, methods=["POST"]),
        ]

    async def shift(self, request: Request) -> Response:
        """GET: what there is to hand over. POST: hand it over."""
        return await (self.hand_over(request) if request.method == "POST" else self.look(request))

    async def look(self, request: Request) -> Response:
        """{now,
        open: {critical, major, minor, warning}, mine: how many of them are the reader's,
        must_tick: [{…row of an incident, note}]  open critical and major ones: the reader's own and those nobody has,
        shelved: [{id, kind, severity, state, place, until, by, reason}], devices: {overdue, never, low_battery, path_out},
        call_backs: n, call_backs_late: n, complaints: n, maintenance: n, risks: warnings nobody has looked at, flood,
        pending: [{id, by, to, at, text, is_mine, must_tick: [{…row, note}]}]  handovers that wait for somebody, who may be the reader,
        last: {id, by, to, at, text, confirmed_at, confirmed_by} | null  the newest one confirmed}
        """
        house, now, reader = self._house, self._house.now(), reader_of(request)
        register = house.register
        mine = desk_views.of_reader(register, list(house.incidents.values()), reader)
        due = call_backs(mine)
        handovers = list(desk_views.shifts(house.standings))
        pending = [one for one in handovers if one.value == PENDING and concerns(house.register, one, reader)]
        last = next((one for one in handovers if one.value == CONFIRMED and concerns(house.register, one, reader)), None)
        body = {
            "now": now,
            "open": desk_views.counts_of(mine),
            "mine": sum(one.owner == reader.name for one in mine),
            "must_tick": await self._items(desk_views.must_tick(mine, reader.name or ""), ()),
            "shelved": desk_views.shelved_rows(register, mine),
            "devices": await asyncio.to_thread(device_views.troubled, house.working, device_views.troubles_of(mine), reader),
            "call_backs": len(due) + sum(one.state is State.RESOLVED for one in mine),
            "call_backs_late": sum(one.deadlines.get("call", now) < now for one in due),
            "complaints": len(desk_views.complaint_rows(register, mine, house.standings, reader)),
            "maintenance": len(desk_views.maintenance_rows(house.working, now, reader)),
            "risks": sum(not one.seen_by for one, _ in seen_by(register, house.standings, reader)),
            "flood": house.flood.look(now),
            "pending": [await self._pending(one, mine, reader) for one in pending],
            "last": desk_views.shift_row(last) if last is not None else None,
        }
        return answered(body)

    async def hand_over(self, request: Request) -> Response:
        """{to?: name, text?, notes?: {incident: text}} → {shift: {id, by, to, at, text, must_tick}}. A pending one of one's own is replaced."""
        actor, reader, house = self._on_duty(request), reader_of(request), self._house
        body = await self.fields(request, ("to", "text", "notes"))
        to, said, notes = text(body, "to"), text(body, "text", lines=True), body.get("notes") or {}
        if not isinstance(notes, dict) or len(notes) > ITEMS_LIMIT or not all(isinstance(one, str) for one in notes.values()):
            raise Refused("bad_notes", 400, limit=ITEMS_LIMIT)
        if to == actor:
            raise Refused("own_shift", 400)
        for name in notes:
            known = house.incidents.get(name)
            if known is None or not reader.sees(house.register, known):
                raise Refused("unknown_incident", 404, incident=name)

        async def work() -> Json:
            for name, note in notes.items():
                if note.strip():
                    await house.command(Command(action=Action.NOTE, actor=actor, incident=name, facts={"text": note.strip(), "for": OVER}))
            for one in list(desk_views.shifts(house.standings)):
                if one.value == PENDING and one.detail.get("from") == actor:
                    await house.rule(Ruling(key=one.key, value=CANCELLED, actor=actor, reason="replaced"))
            detail: dict[str, object] = {"to": to, "text": said, "noted": [name for name, note in notes.items() if note.strip()]}
            detail["areas"] = sorted(reader.areas)
            key = f"{SHIFT}:{free_id(house.standings, SHIFT, house.now())}"
            standing = await house.rule(Ruling(key=key, value=PENDING, actor=actor, detail=detail))
            return {"shift": await self._pending(standing, self._mine(reader), reader)}

        return await self._once(request, actor, work)

    async def confirm(self, request: Request) -> Response:
        """{ticked: [ids]} → {shift: {…, confirmed_at}, assigned: [ids]}; 409 not_ticked {missing: [ids]}, own_shift, for_somebody_else {to}."""
        actor, reader, house = self._on_duty(request), reader_of(request), self._house
        body = await self.fields(request, ("ticked",))
        ticked = body.get("ticked") or []
        if not isinstance(ticked, list) or not all(isinstance(one, str) for one in ticked):
            raise Refused("bad_ticked", 400)
        standing = self._standing(request, reader)
        outgoing = str(standing.detail.get("from") or "")

        async def work() -> Json:
            missing = [one.id for one in self._to_tick(standing, self._mine(reader)) if one.id not in ticked]
            if missing and actor != outgoing:  # one's own shift is refused for that, whatever is ticked
                raise Refused("not_ticked", 409, missing=missing)
            done = await house.rule(Ruling(key=standing.key, value=CONFIRMED, actor=actor))
            assigned = []
            for one in self._mine(reader):
                if one.owner == outgoing and one.state in (State.RAISED, State.ACKNOWLEDGED):
                    await house.command(Command(action=Action.ASSIGN, actor=actor, incident=one.id, facts={"to": actor}))
                    assigned.append(one.id)
            return {"shift": desk_views.shift_row(done), "assigned": assigned}

        return await self._once(request, actor, work)

    async def cancel(self, request: Request) -> Response:
        """{reason?} → {shift}: by who wrote it, or a supervisor."""
        actor, reader, house = self._on_duty(request), reader_of(request), self._house
        body = await self.fields(request, ("reason",))
        standing, reason = self._standing(request, reader), text(body, "reason")
        if standing.detail.get("from") != actor and reader.role not in LEADS:
            raise Refused("not_yours", 403, by=standing.detail.get("from"))

        async def work() -> Json:
            return {"shift": desk_views.shift_row(await house.rule(Ruling(key=standing.key, value=CANCELLED, actor=actor, reason=reason)))}

        return await self._once(request, actor, work)

    def _standing(self, request: Request, reader: Reader) -> Standing:
        standing = self._house.standings.get(f"{SHIFT}:{request.path_params['id']}")
        if standing is None or not concerns(self._house.register, standing, reader):
            raise Refused("unknown_shift", 404)
        return standing

    def _mine(self, reader: Reader) -> list[Incident]:
        return desk_views.of_reader(self._house.register, list(self._house.incidents.values()), reader)

    def _to_tick(self, standing: Standing, mine: Iterable[Incident]) -> list[Incident]:
        return desk_views.must_tick(mine, str(standing.detail.get("from") or ""))

    async def _pending(self, standing: Standing, mine: Iterable[Incident], reader: Reader) -> Json:
        noted = standing.detail.get("noted")
        items = await self._items(self._to_tick(standing, mine), noted if isinstance(noted, list | tuple) else ())
        return desk_views.shift_row(standing) | {"is_mine": standing.detail.get("from") == reader.name, "must_tick": items}

    async def _items(self, several: Sequence[Incident], noted: Sequence[object]) -> list[Json]:
        """Rows with the note that was written for the next shift, "" for none."""
        house = self._house
        rows: list[Json] = []
        asked = [one for one in several if one.id in noted][:TIMELINES]
        notes = {one.id: _note_of(await house.timeline(one.id)) for one in asked}
        rows += [incident_row(house.register, one, house.now()) | {"note": notes.get(one.id, "")} for one in several[:ITEMS_LIMIT]]
        return rows


def concerns(register: Register, standing: Standing, reader: Reader) -> bool:
    """Does a handover concern this reader: their own, for them by name, or of areas that they share?"""
    detail = standing.detail
    if reader.name is not None and reader.name in (detail.get("from"), detail.get("to")):
        return True
    areas = detail.get("areas")
    named = [str(one) for one in areas] if isinstance(areas, list | tuple) else []
    above = {name for area in reader.areas for name in register.areas_above(area)}
    return not reader.areas or not named or any(one in above or reader.covers(register, one) for one in named)


def _note_of(rows: Iterable[object]) -> str:
    found = ""
    for row in rows:
        facts = getattr(row, "facts", {})
        if getattr(row, "kind", "") == Kind.NOTE and facts.get("for") == OVER:
            found = str(facts.get("text") or "")
    return found
