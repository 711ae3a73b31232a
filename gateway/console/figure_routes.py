"""Figures over HTTP: alarm management of a period, outcomes without anybody's name, and complaints of the public's supervisor (domain 6.5)."""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.clock import from_micros
from gateway.console import figures
from gateway.console.asking import Asking, answered, text, time
from gateway.console.desk_views import complaint_row
from gateway.console.guard import reader_of
from gateway.console.reader import Reader
from gateway.console.views import Json
from gateway.core.desk_matters import COMPLAINT, HANDLED, OPEN, free_id
from gateway.core.duty import CHINA
from gateway.core.incident import Incident
from gateway.core.standing import Ruling
from gateway.errors import Refused, StoreDown
from gateway.event import Kind
from gateway.store.archive import Archive

SHIFT = timedelta(hours=8)
LONGEST = timedelta(days=31)
MONTHS = 12
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)  # nothing was recorded before; arithmetic with year 1 ends badly
COUNTED = 50_000  # incidents of one answer: a month of a large district, some seconds of a thread; more are cut and said to be
MONTH = re.compile(r"(2\d{3})-(0[1-9]|1[0-2])")
PERSONAL = re.compile(r"\d{7,}")  # a telephone or identity number has no place in a complaint about an area


class FigureRoutes(Asking):
    """What a period was like. One period is worked out at a time, in a thread."""

    _working_out: asyncio.Lock | None = None

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/kpi", self.kpi),
            Route("/api/v1/outcomes", self.outcomes),
            Route("/api/v1/complaints", self.complain, methods=["POST"]),
            Route("/api/v1/complaints/{id}/handle", self.handle, methods=["POST"]),
        ]

    async def kpi(self, request: Request) -> Response:
        """since=, until= (ISO 8601 with a zone; else the last 8 h), area= →
        {since, until, area, incidents, alarms, operators, alarms_10min_operator, busiest_10min: {at, count} | null,
        levels: {critical: {count, share, aim}, major…, minor…, warning…}, urgent_share (critical and major; aim 0.05),
        flood: {minutes, times}, worst: [{line, device, ref, kind, count}] ten, repeats: {incidents, entries},
        oldest_waiting_s: longest wait of one that was or is not taken, answer: {count, within_15, within_60, within_180, median_s, longest_s},
        stale: open for more than 24 h, shelved, cut: true when there was more than is counted}. operators: who did something, by name.
        """
        house, now, reader = self._house, self._house.now(), reader_of(request)
        asked: dict[str, object] = dict(request.query_params)
        until = time(asked, "until") or now
        since = time(asked, "since") or max(until, EARLIEST + SHIFT) - SHIFT
        if not EARLIEST < since < until or until - since > LONGEST:
            raise Refused("bad_since", 400, longest_days=LONGEST.days)
        area = str(asked.get("area") or "")
        if area and area not in house.register.areas:
            raise Refused("unknown_area", 400)
        if area and not reader.covers(house.register, area):
            raise Refused("foreign_area", 403)

        def work(archive: Archive) -> Json:
            mine, is_cut = self._opened(archive, since, until, reader, area)
            names = {str(one.actor) for one in archive.entries(since, until, (Kind.ACKNOWLEDGE.value, Kind.RESOLVE.value)) if one.actor}
            floods = []
            for one in archive.entries(since, until, (Kind.AUDIT.value,)):
                word = msgspec.json.decode(one.facts, type=dict[str, object]).get("flood")
                if word in ("begins", "over"):
                    floods.append((from_micros(one.at), word == "begins"))
            return figures.kpi(mine, since, until, now, len(names), floods) | {"area": area, "cut": is_cut}

        return answered(await self._work_out(work))

    async def outcomes(self, request: Request) -> Response:
        """since=, until= (months YYYY-MM, 12 at most; else the last three) → {areas: {id: name}, least: 5,
        rows: [{month, area, incidents, outcomes: {helped: n | null}, arrived_15min: share | null, take_median_s, satisfaction, rated}]}.

        A count below `least` is null, and so is a figure made of fewer.
        """
        house, reader = self._house, reader_of(request)
        today = house.now().astimezone(CHINA)
        last = _month(request.query_params.get("until")) or (today.year, today.month)
        first = _month(request.query_params.get("since")) or _shifted(last, -2)
        count = (last[0] - first[0]) * 12 + last[1] - first[1] + 1
        if not 1 <= count <= MONTHS:
            raise Refused("bad_since", 400, most_months=MONTHS)
        since, until = _begin(first), _begin(_shifted(last, 1))

        def work(archive: Archive) -> Json:
            mine, is_cut = self._opened(archive, since, until, reader, "")
            rows = figures.outcomes(house.register, mine)
            register = house.register
            names = {area.id: area.name for area in register.areas.values() if reader.covers(register, area.id)}  # a complaint may be about any
            return {"rows": rows, "areas": names, "least": figures.LEAST, "cut": is_cut}

        return answered(await self._work_out(work))

    def _opened(self, archive: Archive, since: datetime, until: datetime, reader: Reader, area: str) -> tuple[list[Incident], bool]:
        """(incidents of the period in the reader's areas, was there more than is counted)."""
        register = self._house.register
        read = list(islice(archive.opened_between(since, until), COUNTED + 1))
        mine = [
            one
            for one in read[:COUNTED]
            if reader.sees(register, one) and (not area or (one.area is not None and area in register.areas_above(one.area)))
        ]
        return mine, len(read) > COUNTED

    async def _work_out(self, work: Callable[[Archive], Json]) -> Json:
        """In a thread, one at a time: whoever asks for a year must not keep the others from their shift for long."""
        if self._working_out is None:
            self._working_out = asyncio.Lock()
        async with self._working_out:
            try:
                return await asyncio.to_thread(lambda: work(self._house.archive))
            except SQLAlchemyError as error:
                raise StoreDown("the store cannot be read at the moment; try again") from error

    async def complain(self, request: Request) -> Response:
        """{area?, about?: responder id, note (1..1000)} → {complaint: {id, at, by, area, area_name, about, note, state}}."""
        actor, reader, house = self._on_duty(request), reader_of(request), self._house
        body = await self.fields(request, ("area", "about", "note"))
        area, about, note = text(body, "area"), text(body, "about"), text(body, "note", lines=True)
        if area and not reader.covers(house.register, area):
            raise Refused("foreign_area", 403)
        if PERSONAL.search(note):
            raise Refused("no_numbers", 400)

        async def work() -> Json:
            key = f"{COMPLAINT}:{free_id(house.standings, COMPLAINT, house.now())}"
            detail: dict[str, object] = {"area": area, "about": about, "note": note}
            return {"complaint": complaint_row(house.register, await house.rule(Ruling(key=key, value=OPEN, actor=actor, detail=detail)))}

        return await self._once(request, actor, work)

    async def handle(self, request: Request) -> Response:
        """{note} → {complaint}: a supervisor says what was done."""
        actor, reader, house = self._on_duty(request), reader_of(request), self._house
        body = await self.fields(request, ("note",))
        key, note = f"{COMPLAINT}:{request.path_params['id']}", text(body, "note", lines=True)
        before = house.standings.get(key)
        if before is not None and not reader.covers(house.register, str(before.detail.get("area") or "") or None):
            raise Refused("foreign_area", 403)

        async def work() -> Json:
            ruling = Ruling(key=key, value=HANDLED, actor=actor, detail={"finding": note})
            return {"complaint": complaint_row(house.register, await house.rule(ruling))}

        return await self._once(request, actor, work)


def _month(text: str | None) -> tuple[int, int] | None:
    if not text:
        return None
    found = MONTH.fullmatch(text)
    if found is None:
        raise Refused("bad_month", 400)
    return int(found[1]), int(found[2])


def _shifted(month: tuple[int, int], by: int) -> tuple[int, int]:
    number = month[0] * 12 + month[1] - 1 + by
    return number // 12, number % 12 + 1


def _begin(month: tuple[int, int]) -> datetime:
    return datetime(month[0], month[1], 1, tzinfo=CHINA).astimezone(UTC)
