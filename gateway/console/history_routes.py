"""What was, over HTTP: searching incidents, open and closed, and the history of one person or device. What is looked for is never in an address.

A search is journalled before its answer leaves: which fields were used and how many were found; of what was looked for only words that tell
of nobody. Long ones run in a thread for SEARCH_S at most and say how far back they have looked; the reader goes on from there, or gives up.
"""

import asyncio
import re
import threading
from collections.abc import Callable, Iterable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.clock import monotonic
from gateway.console.asking import Body, answered, time
from gateway.console.guard import name_on_duty, reader_of
from gateway.console.history_views import history_row, story_of
from gateway.console.person_routes import COUNTRY, persons_of
from gateway.console.reader import Reader, area_of
from gateway.console.seam import House
from gateway.console.views import Json
from gateway.core.incident import Incident, Outcome
from gateway.core.register import Register
from gateway.errors import Refused
from gateway.event import Kind, Severity
from gateway.store.history import PIECE, Wanted

PAGE = 50  # rows of one answer, 25 KB
SEARCH_S = 3.0  # one answer; a page gives up waiting after 5
AT_ONCE = 2  # searches in threads, of a machine with two cores that also takes alarms
LEAST, MOST = 2, 40  # characters of a name, a device or a text
PERSONS = 200  # whose incidents are looked for at once; who finds more types more
AREAS = 500  # areas asked of the database; a reader of more is filtered here
INCIDENT = re.compile(r"I?(\d{6,15})", re.IGNORECASE)
NUMBER = re.compile(r"\+?[\d -]{5,20}")
# Fields that tell of nobody: what was looked for in them stands in the journal, too.
PLAIN = frozenset(("incident", "kind", "severity", "outcome", "hotline", "area", "complaint", "since", "until"))
WORDS = ("incident", "person", "device", "area", "kind", "severity", "owner", "responder", "outcome", "hotline", "text")
FIELDS = frozenset((*WORDS, "complaint", "since", "until", "after"))


class HistoryRoutes:
    """Searching, and stories of one person or device."""

    def __init__(self, house: House, body: Body) -> None:
        self._house = house
        self._body = body
        self._room = asyncio.Semaphore(AT_ONCE)
        self._under_way: dict[str, threading.Event] = {}  # by name: who asks again has given up the question before

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/search", self.search, methods=["POST"]),
            Route("/api/v1/history", self.history, methods=["POST"]),
            Route("/api/v1/incidents/{id}/history", self.story),
        ]

    async def search(self, request: Request) -> Response:
        """{wanted}: one box for everything; `as` in the answer says what it was taken for."""
        body = await self._fields(request, {"wanted"})
        text = _word(body, "wanted")
        if len(text) < LEAST:
            raise Refused("bad_wanted", 400, least=LEAST, most=MOST)
        field = await asyncio.to_thread(meant, self._house.register, self._house.config.calls.hotlines, text)
        return await self._answer(request, {field: text}, "search", {"as": field})

    async def history(self, request: Request) -> Response:
        """Every field that is given must fit; none: everything, newest first. `after`: where the page before ended."""
        return await self._answer(request, await self._fields(request, FIELDS), "history", {})

    async def story(self, request: Request) -> Response:
        """The person and the device of an incident: what was with them lately."""
        house, reader, name = self._house, reader_of(request), request.path_params["id"]
        await house.recall(name)
        one = house.incidents.get(name)
        if one is None:
            raise Refused("unknown_incident", 404)
        found: dict[str, Json | None] = {"person": None, "device": None}
        for field, value in (("person", one.person), ("device", one.device)):
            if value is not None:
                found[field] = await self._story(reader, f"{field}:{value}", but=one.id)
        return answered({"incident": one.id, **found})

    async def _fields(self, request: Request, allowed: Iterable[str]) -> dict[str, object]:
        body = await self._body(request)
        unknown = sorted(body.keys() - set(allowed))
        if unknown:
            raise Refused("unknown_field", 400, field=unknown[0])
        return {name: value for name, value in body.items() if value is not None and value != ""}

    async def _answer(self, request: Request, body: dict[str, object], what: str, more: Json) -> Response:
        house, reader, actor = self._house, reader_of(request), name_on_duty(request)
        after = _after(body)
        wanted = await self._wanted(reader, body)
        rows, following, looked_to = await self._found(request, reader, wanted, after, actor)
        fields = sorted(body.keys() - {"after"})
        plain = {name: body[name] for name in fields if name in PLAIN}
        await house.note(
            Kind.SEARCHED,
            actor,
            what=what,
            fields=fields,
            wanted=plain,
            count=len(rows),
            further=after is not None,
            role=reader.role,
            address=reader.address,
        )
        now, register = house.now(), house.register
        answer: Json = {
            "incidents": [history_row(register, one, now) for one in rows],
            "after": following,
            "looked_to": looked_to,
            "now": now,
            **more,
        }
        alone = [group[0] for group in wanted.things if len(group) == 1 and group[0].startswith(("person:", "device:"))] if after is None else []
        if len(alone) == 1 and rows:
            answer["story"] = await self._story(reader, alone[0])
        return answered(answer)

    async def _story(self, reader: Reader, thing: str, but: str = "") -> Json:
        house = self._house
        open_ones = [one for one in house.incidents.values() if one.is_open]
        register, now, archive = house.register, house.now(), house.archive
        return await asyncio.to_thread(story_of, register, reader, archive, open_ones, thing, now, but)

    async def _wanted(self, reader: Reader, body: dict[str, object]) -> Wanted:
        register = self._house.register
        words = {name: _word(body, name) for name in WORDS}
        for name, allowed in (("kind", Kind), ("severity", Severity), ("outcome", Outcome)):
            if words[name] and words[name] not in set(allowed):
                raise Refused(f"bad_{name}", 400)
        for name in ("person", "device", "text"):
            if words[name] and len(words[name]) < LEAST:
                raise Refused(f"bad_{name}", 400, least=LEAST, most=MOST)
        complaint = body.get("complaint")
        if not (complaint is None or isinstance(complaint, bool)):
            raise Refused("bad_complaint", 400)
        things: list[tuple[str, ...]] = []
        if words["incident"]:
            number = INCIDENT.fullmatch(words["incident"])
            if number is None:
                raise Refused("bad_incident", 400)
            things.append((f"incident:I{int(number[1])}",))
        if words["person"]:
            things.append(await asyncio.to_thread(_people, register, words["person"]))
        things += [(f"{name}:{words[name]}",) for name in ("device", "owner") if words[name]]
        if words["responder"]:
            things.append(_responders(register, words["responder"]))
        return Wanted(
            things=tuple(things),
            kind=words["kind"],
            severity=words["severity"],
            outcome=words["outcome"],
            hotline=words["hotline"],
            areas=_areas(register, reader, words["area"]),
            complaint=complaint,
            since=time(body, "since"),
            until=time(body, "until"),
            text=words["text"],
        )

    async def _found(
        self, request: Request, reader: Reader, wanted: Wanted, after: int | None, actor: str
    ) -> tuple[list[Incident], int | None, object | None]:
        """(incidents newest first, where to go on, how far back was looked when that is not all)."""
        house = self._house
        named = next((group[0][len("incident:") :] for group in wanted.things if group[0].startswith("incident:")), None)
        if named is not None:
            await house.recall(named)
            one = house.incidents.get(named)
            rest = msgspec.structs.replace(wanted, things=tuple(group for group in wanted.things if not group[0].startswith("incident:")), text="")
            fits = one is not None and after is None and rest.fits(one) and reader.sees(house.register, one)
            return ([one] if one is not None and fits else []), None, None
        open_ones = [one for one in house.incidents.values() if one.is_open]
        stop = threading.Event()
        self._under_way.get(actor, stop).set()  # the question before was given up
        stop.clear()
        self._under_way[actor] = stop
        try:
            async with self._room:
                looking = asyncio.ensure_future(asyncio.to_thread(_look, house, reader, wanted, after, open_ones, stop))
                while not (await asyncio.wait((looking,), timeout=0.25))[0]:
                    if await request.is_disconnected():
                        stop.set()
                return looking.result()
        finally:
            stop.set()
            if self._under_way.get(actor) is stop:
                del self._under_way[actor]


def _look(
    house: House, reader: Reader, wanted: Wanted, after: int | None, open_ones: list[Incident], stop: threading.Event
) -> tuple[list[Incident], int | None, object | None]:
    """In a thread: read on until a page is full, time is up, or nobody waits any more."""
    began, register, archive = monotonic(), house.register, house.archive
    is_mine = _judge(register, reader, wanted)
    waiting = [one for one in open_ones if (after is None or number(one) < after) and wanted.fits(one) and is_mine(one)]
    if wanted.text and waiting:
        spoken = archive.spoken_of([one.id for one in waiting], wanted.text)
        waiting = [one for one in waiting if one.id in spoken]
    names = {one.id for one in open_ones}
    search, closed = archive.search(wanted, after), list[Incident]()
    while not search.is_done and len(closed) <= PAGE and not stop.is_set() and monotonic() - began < SEARCH_S:
        for one in search.piece(PIECE if wanted.text else PAGE + 1):
            if one.id not in names and is_mine(one):
                closed.append(one)
    floor = 0 if search.is_done else (search.before or 0)
    rows = sorted((*closed, *(one for one in waiting if number(one) >= floor)), key=number, reverse=True)
    if len(rows) > PAGE:
        return rows[:PAGE], number(rows[PAGE - 1]), None
    return rows, None if search.is_done else floor, None if search.is_done else search.looked_to


def _judge(register: Register, reader: Reader, wanted: Wanted) -> Callable[[Incident], bool]:
    """Is an incident the reader's, and in the area that was asked for, also where its row says no area?"""
    areas = frozenset(wanted.areas)
    return lambda one: (
        reader.sees(register, one) and (not areas or area_of(register, one) in areas or (one.area is None and area_of(register, one) is None))
    )


def number(one: Incident) -> int:
    """I100001 → 100001."""
    return int(one.id[1:])


def meant(register: Register, hotlines: Iterable[str], text: str) -> str:
    """Which field is meant by what somebody wrote into the one box for everything."""
    if re.fullmatch(r"I\d{6,15}", text, re.IGNORECASE):
        return "incident"
    if text in hotlines:
        return "hotline"
    if NUMBER.fullmatch(text) and not any(device.id == text for device in register.devices):
        return "person"
    if persons_of(register, text, 1):
        return "person"
    if any(device.id == text for device in register.devices):
        return "device"
    if text in register.responders or any(one.name == text for one in register.responders.values()):
        return "responder"
    return "text"


def _people(register: Register, wanted: str) -> tuple[str, ...]:
    """Words of the index for everybody of this number, id or beginning of a name; of a number also calls of nobody whom the register knows."""
    found = persons_of(register, wanted, PERSONS)
    if len(found) > PERSONS:
        raise Refused("too_many_persons", 400, limit=PERSONS)
    words = [f"person:{person.id}" for person in found] or [f"person:{wanted}"]
    if NUMBER.fullmatch(wanted):
        digits = wanted.replace(" ", "").replace("-", "")
        plain = digits.removeprefix(COUNTRY).removeprefix("+")
        words += [f"caller:{one}" for one in dict.fromkeys((digits, COUNTRY + plain, COUNTRY + plain.removeprefix("0")))]
    return tuple(words)


def _responders(register: Register, wanted: str) -> tuple[str, ...]:
    """By id, or by the beginning of the name."""
    by_name = [f"responder:{one.id}" for one in register.responders.values() if one.name.startswith(wanted)][:PERSONS]
    return tuple(dict.fromkeys((f"responder:{wanted}", *by_name)))


def _areas(register: Register, reader: Reader, wanted: str) -> tuple[str, ...]:
    """The areas to look in: those wanted, within the reader's own. None: everywhere. Raises Refused: unknown_area, foreign_area."""
    if not wanted and not reader.areas:
        return ()
    roots = {wanted} if wanted in register.areas else {one.id for one in register.areas.values() if wanted and one.name == wanted}
    if wanted and not roots:
        raise Refused("unknown_area", 404)
    mine = [
        name
        for name in register.areas
        if (not roots or not roots.isdisjoint(register.areas_above(name)))
        and (not reader.areas or not reader.areas.isdisjoint(register.areas_above(name)))
    ]
    if not mine:
        raise Refused("foreign_area", 403)
    return tuple(mine) if len(mine) <= AREAS or wanted else ()


def _word(body: dict[str, object], name: str) -> str:
    value = body.get(name) or ""
    if not isinstance(value, str) or len(value.strip()) > MOST or not value.isprintable():
        raise Refused(f"bad_{name}", 400, least=LEAST, most=MOST)
    return value.strip()


def _after(body: dict[str, object]) -> int | None:
    value = body.get("after")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**15:
        raise Refused("bad_after", 400)
    return value
