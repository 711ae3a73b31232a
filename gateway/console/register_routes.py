"""The register over HTTP: finding a record, seeing where each field of it comes from, correcting it, and deciding where file and people disagree."""

import asyncio
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.asking import Asking, Body, Once, OnDuty, answered, text
from gateway.console.guard import reader_of
from gateway.console.person_routes import LEAST, MOST, persons_of
from gateway.console.reader import Reader
from gateway.console.register_figures import facets, faulty, unowned
from gateway.console.register_views import (
    correction_view,
    covers,
    finding_view,
    level_of,
    may_correct,
    named_rows,
    record_view,
    title_of,
)
from gateway.console.rights import LEAD
from gateway.console.seam import House
from gateway.console.views import Json, is_entitled, short_person
from gateway.core.account import AccountRole
from gateway.core.aid_matters import is_shut_out
from gateway.core.corrections import KEYS, LISTS, ROWS, SEPARATOR, Correction, RecordKind, State, What, key_cells, key_of
from gateway.core.register import Person, Register
from gateway.correcting import Author, Sight, Wish, today
from gateway.errors import Refused
from gateway.event import Kind

FOUND = 20
PAGE = 200  # rows of one answer
SOURCES = ("caller", "family", "neighbour", "visit", "document", "other")
LISTED = (RecordKind.RESPONDERS, RecordKind.PROVIDERS, RecordKind.AGREEMENTS, RecordKind.LOANS)  # of few rows, which may be read from end to end
DEVICES_WORD = "unowned"
RECORD_FIELDS = ("kind", "key")


class RegisterRoutes(Asking):
    """Records of the register. Who may: rights.RULES, the reader's areas, and for each field may_correct."""

    def __init__(self, house: House, on_duty: OnDuty, body: Body, once: Once) -> None:
        super().__init__(house, on_duty, body, once)
        self._searching = asyncio.Lock()  # one at a time: a million names take a thread a third of a second

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/register/search", self.search, methods=["POST"]),
            Route("/api/v1/register/list/{kind}", self.listed),
            Route("/api/v1/register/records/{kind}/{key:path}", self.record, methods=["GET", "POST"]),
            Route("/api/v1/register/history/{kind}/{key:path}", self.history),
            Route("/api/v1/register/correct", self.correct, methods=["POST"]),
            Route("/api/v1/register/confirm", self.confirm, methods=["POST"]),
            Route("/api/v1/register/new", self.new, methods=["POST"]),
            Route("/api/v1/register/remove", self.remove, methods=["POST"]),
            Route("/api/v1/register/take_back", self.take_back, methods=["POST"]),
            Route("/api/v1/register/conflicts", self.conflicts),
            Route("/api/v1/register/decide", self.decide, methods=["POST"]),
            Route("/api/v1/register/quality", self.quality),
            Route("/api/v1/register/quality/{what}", self.of_quality),
            Route("/api/v1/register/facets", self.facets),
        ]

    # --- finding -----------------------------------------------------------------------------------------------------

    async def search(self, request: Request) -> Response:
        """{wanted, kind} in the body, where no log keeps it; rows are masked. Journalled without what was looked for."""
        actor, reader = self._on_duty(request), reader_of(request)
        body = await self.fields(request, ("wanted", "kind"))
        kind = _kind(text(body, "kind") or RecordKind.PERSONS)
        wanted = text(body, "wanted")
        if not LEAST <= len(wanted) <= MOST:
            raise Refused("bad_wanted", 400, least=LEAST, most=MOST)
        register, now = self._house.register, self._house.now()
        async with self._searching:
            if kind is RecordKind.PERSONS:
                found = await asyncio.to_thread(lambda: [one for one in persons_of(register, wanted) if covers(reader, register, kind, one.id)])
                rows = [_person_row(register, person, now) for person in found]
            else:
                keys = await asyncio.to_thread(lambda: list(islice(_keys(register, kind, wanted, reader), FOUND + 1)))
                rows = list(named_rows(register, kind, keys))
        await self._house.note(Kind.SEARCHED, actor, where="register", record=kind, found=len(rows))
        return answered({"rows": rows[:FOUND], "more": len(rows) > FOUND})

    async def listed(self, request: Request) -> Response:
        """Responders, providers, agreements or loans, by id, a page at a time."""
        reader, register = reader_of(request), self._house.register
        kind, after = _kind(request.path_params["kind"]), request.query_params.get("after", "")
        if kind not in LISTED:
            raise Refused("bad_kind", 400, allowed=LISTED)
        keys = list(islice((key for key in sorted(_keys(register, kind, "", reader)) if key > after), PAGE + 1))
        return answered({"rows": list(named_rows(register, kind, keys[:PAGE])), "after": keys[PAGE - 1] if len(keys) > PAGE else None})

    # --- one record --------------------------------------------------------------------------------------------------

    async def record(self, request: Request) -> Response:
        """GET: one record, masked, with where each field comes from and how old it is. POST {reason}: all of it; journalled before it is given."""
        reader = reader_of(request)
        if request.method != "POST":
            return answered(await self._record(request, reader, full=False))
        actor = self._on_duty(request)
        body = await self.fields(request, ("reason",))
        reason = text(body, "reason")
        if not reason:
            raise Refused("missing_reason", 400)
        kind, key = await self._seen(request, reader)
        if not self._may_open(reader, kind, key):
            raise Refused("not_owner", 403)
        person = key if kind in (RecordKind.PERSONS, RecordKind.CONTACTS) else None
        await self._house.note(Kind.VIEWED, actor, record=kind, key=key, person=person, reason=reason, role=reader.role)
        return answered(await self._record(request, reader, full=True))

    def _may_open(self, reader: Reader, kind: RecordKind, key: str) -> bool:
        """All of a record is a supervisor's; an operator's only while an open incident of that person or device is in their hands."""
        if reader.role in LEAD:
            return True
        mine = [one for one in self._house.incidents.values() if is_entitled(one, reader.name)]
        if is_shut_out(self._house.standings, reader.name or "", self._house.now()):
            return False
        if kind is RecordKind.DEVICES:
            on = key_cells(kind, key)
            device = self._house.register.device_of(on["line"] or None, on["id"])
            return device is not None and any(device.id == one.device or (device.person is not None and device.person == one.person) for one in mine)
        return kind in (RecordKind.PERSONS, RecordKind.CONTACTS) and any(one.person == key for one in mine)

    async def history(self, request: Request) -> Response:
        """Everything that was said of a record, newest first; masked."""
        kind, key = await self._seen(request, reader_of(request))
        return answered({"corrections": self._history(kind, key, full=False)})

    async def _record(self, request: Request, reader: Reader, *, full: bool) -> Json:
        kind, key = await self._seen(request, reader)
        corrections, register, now = self._house.corrections, self._house.register, self._house.now()
        view: Json = {}
        for one in (kind, *_beside(kind)):
            sight = await asyncio.to_thread(corrections.sight, one, key)
            if sight is not None:
                view[one] = record_view(corrections, register, reader, one, key, sight, now, full=full)
        if kind not in view:
            raise Refused("unknown_record", 404)
        answer: Json = {"record": view.pop(kind), "may_open": self._may_open(reader, kind, key), **view}
        if kind is RecordKind.PERSONS:
            keys = [f"{one.line or ''}{SEPARATOR}{one.id}" for one in register.devices if one.person == key]
            answer["devices"] = list(named_rows(register, RecordKind.DEVICES, keys))
        if kind is RecordKind.RESPONDERS:
            answer["loans"] = list(named_rows(register, RecordKind.LOANS, [one.id for one in register.loans if key in (one.lender, one.borrower)]))
        answer["history"] = [entry for one in (kind, *_beside(kind)) for entry in self._history(one, key, full=full)]
        return answer

    def _history(self, kind: RecordKind, key: str, *, full: bool) -> list[Json]:
        corrections = self._house.corrections
        return [correction_view(corrections, self._house.register, one, full=full) for one in reversed(corrections.history(kind, key))]

    async def _seen(self, request: Request, reader: Reader) -> tuple[RecordKind, str]:
        """The record of the path, if the reader may see it. Raises Refused: bad_kind, unknown_record, foreign_area."""
        kind, key = _kind(request.path_params["kind"]), request.path_params["key"]
        await self._check(reader, kind, key)
        return kind, key

    async def _check(self, reader: Reader, kind: RecordKind, key: str) -> Sight:
        sight = await asyncio.to_thread(self._house.corrections.sight, kind, key)
        if sight is None:
            raise Refused("unknown_record", 404)
        if not covers(reader, self._house.register, kind, key, sight.rows[0] if sight.rows else None):
            raise Refused("foreign_area", 403)
        return sight

    # --- correcting --------------------------------------------------------------------------------------------------

    async def correct(self, request: Request) -> Response:
        """{kind, key, cells | rows, reason, source, seen}: fields as the file has them; of contacts and rosters all rows in order."""
        return await self._say(request, What.CHANGED, ("cells", "rows", "seen"))

    async def confirm(self, request: Request) -> Response:
        """{kind: persons, key, source}: somebody has just said that all of it still holds."""
        return await self._say(request, What.CHANGED, (), confirms=True)

    async def remove(self, request: Request) -> Response:
        """{kind, key, reason, seen}: the record is to be no more."""
        return await self._say(request, What.REMOVED, ("seen",))

    async def new(self, request: Request) -> Response:
        """{kind, cells, reason, source}: a record that no file has. A person without an id gets one."""
        actor, reader = self._on_duty(request), reader_of(request)
        body = await self.fields(request, ("kind", "cells", "reason", "source"))
        kind, cells = _kind(text(body, "kind")), _cells(body.get("cells"))
        if may_correct(reader.role, kind) is not None:
            raise Refused("no_right", 403)
        if kind is RecordKind.PERSONS and not cells.get("id"):
            cells["id"] = f"c{max(self._house.corrections.all, default=0) + 1}"
        key = key_of(kind, cells)
        faults = [(name, self._house.corrections.tables.fault(kind, name, cells.get(name, ""))) for name in KEYS[kind]]
        if any(fault is not None for _, fault in faults):
            raise Refused("bad_cells", 400, faults=[{"field": name, "what": one.what, "remedy": one.remedy} for name, one in faults if one])
        if not covers(reader, self._house.register, kind, key, cells):
            raise Refused("foreign_area", 403)
        wish = Wish(kind=kind, key=key, what=What.NEW, cells=cells, reason=text(body, "reason"), source=_source(body))
        return await self._once(request, actor, lambda: self._done(actor, reader, wish))

    async def _say(self, request: Request, what: What, more: tuple[str, ...], *, confirms: bool = False) -> Response:
        actor, reader = self._on_duty(request), reader_of(request)
        body = await self.fields(request, (*RECORD_FIELDS, "reason", "source", *more))
        kind, key = _kind(text(body, "kind")), _key(body)
        if confirms:
            if kind is not RecordKind.PERSONS:
                raise Refused("bad_kind", 400, allowed=[RecordKind.PERSONS])
            body |= {"cells": {"confirmed_on": today(self._house.now()), "confirmed_by": actor}, "reason": text(body, "reason") or "confirmed"}
        await self._check(reader, kind, key)
        wish = Wish(
            kind=kind,
            key=key,
            what=what,
            cells=_cells(body.get("cells")),
            rows=_rows(body.get("rows")),
            reason=text(body, "reason"),
            source=_source(body),
            seen=_number(body, "seen", optional=True),
        )
        self._check_right(reader, wish)
        return await self._once(request, actor, lambda: self._done(actor, reader, wish))

    def _check_right(self, reader: Reader, wish: Wish) -> None:
        """Raises Refused: no_right, foreign_area (where it is to belong to another one's area), bad_field."""
        may = may_correct(reader.role, wish.kind)
        named = {ROWS} if wish.kind in LISTS else set(wish.cells)
        if may is not None and (wish.what is not What.CHANGED or not named <= may):
            raise Refused("no_right", 403, fields=sorted(named - may))
        strange = named - {ROWS} - self._house.corrections.tables.columns[wish.kind].keys()
        if strange:
            raise Refused("bad_field", 400, field=min(strange))
        area = wish.cells.get("area")
        if area and not reader.covers(self._house.register, area):
            raise Refused("foreign_area", 403)

    async def _done(self, actor: str, reader: Reader, wish: Wish) -> Json:
        one = await self._house.corrections.correct(_author(actor, reader), wish)
        return {"correction": one.number, "kind": one.kind, "key": one.key, "fields": one.fields, "at": one.at}

    async def take_back(self, request: Request) -> Response:
        """{correction, reason}: what was said before it counts again."""
        actor, reader = self._on_duty(request), reader_of(request)
        body = await self.fields(request, ("correction", "reason"))
        one = self._mine(reader, _number(body, "correction") or 0)

        async def work() -> Json:
            ended = await self._house.corrections.take_back(_author(actor, reader), one.number, text(body, "reason"))
            return {"correction": ended.number, "state": ended.ended}

        return await self._once(request, actor, work)

    def _mine(self, reader: Reader, number: int) -> Correction:
        """A correction that this reader may end: of their area, and of fields that they may correct."""
        one = self._house.corrections.all.get(number)
        if one is None:
            raise Refused("unknown_correction", 404)
        if not covers(reader, self._house.register, one.kind, one.key, {**one.before, **one.cells}):
            raise Refused("foreign_area", 403)
        may = may_correct(reader.role, one.kind)
        if may is not None and (one.what is not What.CHANGED or not set(one.fields) <= may):
            raise Refused("no_right", 403)
        return one

    # --- conflicts ---------------------------------------------------------------------------------------------------

    async def conflicts(self, request: Request) -> Response:
        """What file and people disagree about, what no longer applies, and how many corrections there are."""
        reader, register, corrections = reader_of(request), self._house.register, self._house.corrections
        mine = [one for one in corrections.findings() if covers(reader, register, one.kind, one.key)]
        rows = [finding_view(corrections, register, one) for one in mine if one.state is not State.AGREED]
        counts = dict.fromkeys((state.value for state in State), 0)
        for one in mine:
            counts[one.state] += 1
        return answered({"rows": rows[:PAGE], "more": len(rows) > PAGE, "counts": counts, "standing": len(corrections.standing)})

    async def decide(self, request: Request) -> Response:
        """{correction, decision: keep | file, reason}: the correction holds, or the file was right."""
        actor, reader = self._on_duty(request), reader_of(request)
        body = await self.fields(request, ("correction", "decision", "reason"))
        decision = text(body, "decision")
        if decision not in ("keep", "file"):
            raise Refused("bad_decision", 400, allowed=["keep", "file"])
        one = self._mine(reader, _number(body, "correction") or 0)

        async def work() -> Json:
            done = await self._house.corrections.decide(_author(actor, reader), one.number, decision == "keep", text(body, "reason"))
            return {"correction": done.number, "state": done.ended or "stands"}

        return await self._once(request, actor, work)

    # --- figures -----------------------------------------------------------------------------------------------------

    async def quality(self, request: Request) -> Response:
        """How many records lack what somebody would need at night."""
        reader, register, now = reader_of(request), self._house.register, self._house.now()

        def count() -> Json:
            mine = list(_mine(register, reader))
            found = faulty(register, mine, now)
            counts = {word: len(ids) for word, ids in found.items()} | {DEVICES_WORD: len(_unowned(register, reader))}
            return {"counts": counts, "persons": len(mine)}

        return answered(await asyncio.to_thread(count))

    async def of_quality(self, request: Request) -> Response:
        """The records of one such count, masked, a page at a time."""
        reader, register, now = reader_of(request), self._house.register, self._house.now()
        what, after = request.path_params["what"], request.query_params.get("after", "")
        if what == DEVICES_WORD:
            keys = [key for key in await asyncio.to_thread(_unowned, register, reader) if key > after]
            rows = list(named_rows(register, RecordKind.DEVICES, keys[:PAGE]))
        else:
            found = await asyncio.to_thread(faulty, register, _mine(register, reader), now)
            if what not in found:
                raise Refused("bad_what", 400, allowed=[*found, DEVICES_WORD])
            keys = [name for name in found[what] if name > after]
            rows = [_person_row(register, register.persons[name], now) for name in keys[:PAGE]]
        return answered({"rows": rows, "after": keys[PAGE - 1] if len(keys) > PAGE else None})

    async def facets(self, request: Request) -> Response:
        """Counts by street of where, health, family and needs; never a list, no cell under five."""
        reader, register, now = reader_of(request), self._house.register, self._house.now()
        return answered(await asyncio.to_thread(lambda: facets(register, list(_mine(register, reader)), now)))


def _mine(register: Register, reader: Reader) -> Iterable[Person]:
    return (one for one in register.persons.values() if reader.covers(register, one.area))


def _unowned(register: Register, reader: Reader) -> list[str]:
    """Keys of devices that are nobody's, in their order."""
    keys = sorted(f"{line or ''}{SEPARATOR}{address}" for line, address in unowned(register))
    return [key for key in keys if covers(reader, register, RecordKind.DEVICES, key)]


def _person_row(register: Register, person: Person, now: Any) -> Json:
    row = short_person(register, person, now)
    return {**row, "kind": RecordKind.PERSONS, "key": person.id, "title": row["name"], "confirmed_on": person.confirmed_on or None}


def _beside(kind: RecordKind) -> tuple[RecordKind, ...]:
    """What belongs to a record and is shown with it."""
    return {RecordKind.PERSONS: (RecordKind.CONTACTS,), RecordKind.RESPONDERS: (RecordKind.ROSTERS, RecordKind.PROVIDERS)}.get(kind, ())


def _keys(register: Register, kind: RecordKind, wanted: str, reader: Reader) -> Iterable[str]:
    """Keys of records whose id begins so, or whose name has it."""
    match kind:
        case RecordKind.DEVICES:
            keys = (f"{one.line or ''}{SEPARATOR}{one.id}" for one in register.devices if one.id.startswith(wanted))
        case RecordKind.LOANS:
            keys = (one.id for one in register.loans if _fits(wanted, one.id, one.lender, one.borrower))
        case RecordKind.AGREEMENTS:
            keys = (one.id for one in register.agreements.values() if _fits(wanted, one.id, one.helper, one.helped))
        case RecordKind.PROVIDERS:
            keys = (key for key in register.providers if _fits(wanted, key, title_of(register, kind, key)))
        case RecordKind.PERSONS:
            keys = (key for key in register.persons if key.startswith(wanted))
        case _:
            keys = (one.id for one in register.responders.values() if _fits(wanted, one.id, one.name))
    return (key for key in keys if covers(reader, register, kind, key))


def _fits(wanted: str, *texts: str) -> bool:
    return any(wanted in one for one in texts)


def _author(actor: str, reader: Reader) -> Author:
    return Author(actor, reader.role, level_of(reader.role))


def author_of(actor: str, role: AccountRole) -> Author:
    """Who speaks."""
    return Author(actor, role, level_of(role))


def _kind(value: str) -> RecordKind:
    try:
        return RecordKind(value)
    except ValueError:
        raise Refused("bad_kind", 400, allowed=list(RecordKind)) from None


def _key(body: Mapping[str, object]) -> str:
    """Of a device "LINE|ADDRESS"."""
    key = body.get("key")
    if not isinstance(key, str) or not key or not key.isprintable():
        raise Refused("bad_key", 400)
    return key


def _cells(value: object) -> dict[str, str]:
    try:
        cells = msgspec.convert(value or {}, dict[str, str])
    except msgspec.ValidationError:
        raise Refused("bad_cells", 400, faults=[]) from None
    if not all(text.replace("\n", " ").isprintable() for text in cells.values()):
        raise Refused("bad_cells", 400, faults=[])
    return cells


def _rows(value: object) -> list[dict[str, str]]:
    if not isinstance(value or [], list):
        raise Refused("bad_rows", 400)
    return [_cells(row) for row in value or []]  # type: ignore[attr-defined]


def _source(body: dict[str, object]) -> str:
    source = text(body, "source")
    if source and source not in SOURCES:
        raise Refused("bad_source", 400, allowed=SOURCES)
    return source


def _number(body: Mapping[str, object], name: str, *, optional: bool = False) -> int | None:
    value = body.get(name)
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Refused(f"bad_{name}", 400)
    return value
