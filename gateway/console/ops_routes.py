"""How the machinery does, over HTTP: figures without persons, for those who keep it running."""

import asyncio
from datetime import datetime, timedelta

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.clock import from_micros
from gateway.console import device_views
from gateway.console.asking import Asking, answered
from gateway.console.device_views import ref_of
from gateway.console.guard import reader_of
from gateway.console.reader import Reader
from gateway.console.views import Json, line_item, shown_device
from gateway.core.maintenance import key_of
from gateway.core.senders import Sender
from gateway.errors import StoreDown
from gateway.event import Event, Kind

GAPS = 20
GAPS_SINCE = timedelta(days=7)
SENDERS = 10
AFTER = 20  # outages with their lists


class OpsRoutes(Asking):
    """One look at everything technical."""

    @property
    def routes(self) -> list[Route]:
        return [Route("/api/v1/ops", self.ops), Route("/api/v1/shards", self.shards)]

    async def shards(self, _: Request) -> Response:
        """{now, shards: [{shard, owner (a core's name) or null, epoch, since, lag_s, as_of, mirror_lag_s}]}; of one machine none."""
        return answered({"now": self._house.now(), "shards": self._house.shard_states()})

    async def ops(self, request: Request) -> Response:
        """{now, lines: [items of the feed],
        senders: [{line, device, ref, kind, count, streak, offer_maintenance, maintenance}] ten, most in 10 minutes first,
        gaps: [{at, line, from, to, reason}] 20 newest of 7 days, devices: {overdue, never, path_out, low_battery, alive, unsupervised},
        firmware: [{model or null, version, count}] at most 100, areas: {id: name},
        ears: {area: consoles with sound}, ears_wanted: [areas that must have one],
        rejected: [{line, reason, count}] since the start, queues: {orders, deadlines, reports, …},
        self_test: as GET /api/v1/self-test, upward: […as GET /api/v1/upward],
        shards: as GET /api/v1/shards,
        after_outage: [{id, line, path, count, since}] open lists after an outage}.
        """
        house, now, reader = self._house, self._house.now(), reader_of(request)
        working = house.working
        senders = working.senders.worst(now, working.desk, SENDERS * 5)
        gaps = await self._gaps(now)
        upward = await house.upward()
        lists = [one for one in house.incidents.values() if one.is_open and one.affected_count and reader.sees(house.register, one)]
        body = {
            "now": now,
            "lines": [line_item(name, status) for name, status in house.lines.items()],
            "senders": [self._sender(one, now) for one in senders if self._is_mine(one, reader)][:SENDERS],
            "gaps": gaps,
            "devices": await asyncio.to_thread(device_views.troubled, working, device_views.troubles_of(house.incidents.values()), reader),
            "firmware": await asyncio.to_thread(device_views.versions_of, working, reader),
            "ears": house.ears.heard(),
            "ears_wanted": house.ears.wanted(),
            "areas": {area: house.register.areas[area].name for area in house.ears.wanted() if area in house.register.areas},
            **house.machinery(),
            "self_test": house.self_test.view(),
            "upward": upward,
            "shards": house.shard_states(),
            "after_outage": [
                {"id": one.id, "line": one.line, "path": one.path.partition(":")[2], "count": one.affected_count, "since": one.opened_at}
                for one in lists[:AFTER]
            ],
        }
        return answered(body)

    def _sender(self, one: Sender, now: datetime) -> Json:
        working = self._house.working
        ruled = working.standings.get(key_of(one.line, one.device))
        holds = ruled is not None and ruled.holds(now)
        return {
            "line": one.line,
            "device": shown_device(one.device),
            "ref": ref_of(one.line, one.device),
            "kind": one.kind,
            "count": one.count,
            "streak": one.streak,
            "offer_maintenance": one.streak >= working.desk.runaway_streak and not holds,
            "maintenance": ruled.value if ruled is not None and holds else None,
        }

    def _is_mine(self, one: Sender, reader: Reader) -> bool:
        register = self._house.register
        device = register.device(one.line, one.device)
        return device is None or device_views.is_shown(register, device, reader)

    async def _gaps(self, now: datetime) -> list[Json]:
        """When a line was not heard, the newest first."""
        house = self._house

        def read() -> list[Json]:
            rows = list(house.archive.entries(now - GAPS_SINCE, now + timedelta(minutes=1), (Kind.GAP.value,)))[-GAPS:]
            found: list[Json] = []
            for row in reversed(rows):
                try:
                    event = msgspec.json.decode(row.facts, type=Event)
                except msgspec.MsgspecError:
                    continue  # erased
                told: Json = {name: event.detail.get(name) for name in ("from", "to", "reason")}
                found.append({"at": from_micros(row.at), "line": event.line, **told})
            return found

        try:
            return await asyncio.to_thread(read)
        except SQLAlchemyError as error:
            raise StoreDown("the journal cannot be read at the moment; try again") from error
