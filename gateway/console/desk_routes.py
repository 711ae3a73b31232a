"""The supervisor's view over HTTP: who works, what waits where, what is put aside; acting on several incidents; the flood switch."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.clock import from_micros
from gateway.console import desk_views
from gateway.console.asking import Asking, Body, Once, OnDuty, answered, text
from gateway.console.commands import check_area, check_right, facts_of
from gateway.console.guard import reader_of
from gateway.console.presence import Presence
from gateway.console.reader import Reader, area_of
from gateway.console.seam import House
from gateway.console.shift_routes import concerns
from gateway.console.views import Json, incident_row
from gateway.core.command import Command
from gateway.core.desk_matters import FLOOD_KEY, PENDING
from gateway.core.incident import Action, Incident
from gateway.core.register import Register
from gateway.core.service_need import is_request
from gateway.core.standing import Ruling
from gateway.errors import Refused, StoreDown
from gateway.event import Kind
from gateway.store.audit import AuditWanted
from gateway.store.reports import Entry

BULK = 100  # incidents of one command; more are marked in another go
ID_LIMIT = 32
REVEALS = 50  # looked up; who reads more reads the audit


class DeskRoutes(Asking):
    """What a supervisor sees and decides. Everything is of the reader's areas. presence: who is here; ruled: told when the feed must look."""

    def __init__(self, house: House, on_duty: OnDuty, body: Body, once: Once, presence: Presence, ruled: Callable[[], None]) -> None:
        super().__init__(house, on_duty, body, once)
        self._presence = presence
        self._ruled = ruled

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/desk", self.desk),
            Route("/api/v1/incidents/bulk", self.bulk, methods=["POST"]),
            Route("/api/v1/flood", self.flood, methods=["POST"]),
        ]

    async def desk(self, request: Request) -> Response:
        """{now,
        operators: [{id, name, sound, extension, role, areas, locked, view, mode, load, oldest}]  (as the feed's `operator`),
        queues: [{area, name, levels: {critical: {open, raised, oldest}, major…, minor…, warning…}, open, oldest}]  area "" = nobody knows where,
        shelved: [{id, kind, severity, state, place, until, by, reason}],
        maintenance: [rows of GET /api/v1/maintenance],
        reveals: [{at, by, incident, field, reason, emergency, area}]  newest first, 50 at most, of the last 24 h,
        flood: {on, by, since, new_10min, operators, switch}  (as the feed's `state:flood`),
        shifts: [pending handovers, rows of GET /api/v1/shift],
        complaints: [{id, at, by, area, area_name, about, note, state, incident}]  incident null: filed by the public's supervisor,
        stalled: [rows of incidents],
        rulings: {frozen: [{subject, name, value, reason, actor, at, until}], lost: […], saturated: […]}}
        """
        house, now, reader = self._house, self._house.now(), reader_of(request)
        reveals = await self._reveals(reader, now)  # first: what follows is of one moment
        register = house.register
        mine = desk_views.of_reader(register, list(house.incidents.values()), reader)
        loads = desk_views.load_of((one for one in house.incidents.values() if one.is_open and not is_request(one)), now)
        nothing: Json = {"load": 0, "oldest": None, "waits_s": None}
        present = self._presence.operators()
        body = {
            "now": now,
            "operators": [row | loads.get(str(row["name"]), nothing) for row in present if _overlap(register, row["areas"], reader)],
            "queues": desk_views.queue_rows(register, mine),
            "shelved": desk_views.shelved_rows(register, mine),
            "maintenance": desk_views.maintenance_rows(house.working, now, reader),
            "reveals": reveals,
            "flood": house.flood.look(now),
            "shifts": [
                desk_views.shift_row(one) for one in desk_views.shifts(house.standings) if one.value == PENDING and concerns(register, one, reader)
            ],
            "complaints": desk_views.complaint_rows(register, mine, house.standings, reader),
            "stalled": desk_views.stalled_rows(register, mine, now),
            "rulings": desk_views.ruling_rows(register, house.standings, now, reader),
        }
        return answered(body)

    async def _reveals(self, reader: Reader, now: datetime) -> list[Json]:
        """Who looked at whole numbers in the last day, of incidents in the reader's areas."""
        house = self._house
        wanted = AuditWanted(kinds=(Kind.REVEAL.value,), since=now - timedelta(days=1))

        def read() -> list[tuple[Entry, Incident | None]]:
            archive = house.archive
            entries, _ = archive.audited(wanted, None, REVEALS)
            told = [(one, msgspec.json.decode(one.facts, type=dict[str, object])) for one in entries]
            names = [str(facts.get("incident") or "") for _, facts in told]
            stored = archive.incidents([name for name in names if name])
            return [(one, stored.get(name)) for one, name in zip(entries, names, strict=True)]

        try:
            found = await asyncio.to_thread(read)
        except SQLAlchemyError as error:
            raise StoreDown("the journal cannot be read at the moment; try again") from error
        return [_reveal(house.register, entry, incident) for entry, incident in found if incident is None or reader.sees(house.register, incident)]

    async def bulk(self, request: Request) -> Response:
        """{ids (1..100), action, facts?: {fields of that command}} → {results: [{id, status, reason?, incident?}], done, of}."""
        actor, reader = self._on_duty(request), reader_of(request)
        body = await self.fields(request, ("ids", "action", "facts"))
        ids, facts = body.get("ids"), body.get("facts") or {}
        if not isinstance(ids, list) or not 1 <= len(ids) <= BULK or not all(isinstance(one, str) and 0 < len(one) <= ID_LIMIT for one in ids):
            raise Refused("bad_ids", 400, limit=BULK)
        if not isinstance(facts, dict):
            raise Refused("bad_facts", 400)
        try:
            action = Action(str(body.get("action") or ""))
            said = facts_of(action, facts)
        except (ValueError, KeyError):
            raise Refused("unknown_action", 400) from None
        check_right(reader.role, action, said)
        key = request.headers.get("idempotency-key")

        async def work() -> Json:
            results = []
            for name in dict.fromkeys(ids):
                identity = f"{actor}|{name}|{action}|{key}" if key else None
                results.append(await self._one(Command(action=action, actor=actor, incident=name, facts=said, key=identity), reader))
            return {"results": results, "done": sum(one["status"] == 200 for one in results), "of": len(results)}

        return await self._once(request, actor, work)

    async def _one(self, command: Command, reader: Reader) -> Json:
        """What came of one of them. The others go on whatever it is."""
        house = self._house
        try:
            await house.recall(command.incident)
            known = house.incidents.get(command.incident)
            if known is None:
                raise Refused("unknown_incident", 404)
            if not reader.sees(house.register, known):
                raise Refused("foreign_area", 403)
            check_area(house, reader, command.incident, command.action, command.facts)
            if command.action is Action.ASSIGN:
                self._presence.check_assignee(command.facts["to"], known)
            done = await house.command(command) or house.incidents[command.incident]
        except Refused as refused:
            return {"id": command.incident, "status": refused.status, "reason": refused.reason, **refused.facts}
        except StoreDown:
            return {"id": command.incident, "status": 503, "reason": "store_down"}
        return {"id": command.incident, "status": 200, "incident": incident_row(house.register, done, house.now())}

    async def flood(self, request: Request) -> Response:
        """{switch: on | off | auto, reason} → {flood: {on, by, since, new_10min, operators, switch}}."""
        actor = self._on_duty(request)
        body = await self.fields(request, ("switch", "reason"))
        switch = text(body, "switch")
        if switch not in ("on", "off", "auto"):
            raise Refused("bad_switch", 400, allowed=["on", "off", "auto"])
        house = self._house
        ruling = Ruling(key=FLOOD_KEY, value="" if switch == "auto" else switch, actor=actor, reason=text(body, "reason"))

        async def work() -> Json:
            await house.rule(ruling)
            self._ruled()
            return {"flood": house.flood.look(house.now(), anew=True)}

        return await self._once(request, actor, work)


def _overlap(register: Register, areas: object, reader: Reader) -> bool:
    """Do somebody's areas and the reader's have anything in common?"""
    named = areas if isinstance(areas, list) else []
    return (
        not named
        or not reader.areas
        or any(reader.covers(register, one) for one in named)
        or any(not set(named).isdisjoint(register.areas_above(one)) for one in reader.areas)
    )


def _reveal(register: Register, entry: Entry, incident: Incident | None) -> Json:
    facts = msgspec.json.decode(entry.facts, type=dict[str, object])
    told: Json = {name: facts.get(name) for name in ("incident", "field", "reason")}
    area = area_of(register, incident) if incident is not None else None
    return {"at": from_micros(entry.at), "by": entry.actor, **told, "emergency": facts.get("emergency") is True, "area": area}
