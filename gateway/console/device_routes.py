"""What is asked of the devices over HTTP: a list with states and counts, and one device. A hundred thousand of them never hold up the loop."""

import asyncio
import secrets
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console import device_views
from gateway.console.asking import answered
from gateway.console.device_views import ANY_LINE, PAGE, STATES, Place
from gateway.console.guard import reader_of
from gateway.console.reader import Reader
from gateway.console.seam import House
from gateway.console.views import Json
from gateway.core.register import Register
from gateway.core.supervised import Supervision
from gateway.errors import Refused

COUNTS_S = 5.0  # counts are that old at most: many who look share one count
TEXT_LIMIT = 64  # characters of a line's, a class's name or a cursor


class DeviceRoutes:
    """The list is put in order once for each register, in a thread; each answer looks at a bounded part of it, in a thread too."""

    def __init__(self, house: House, clock: Callable[[], float]) -> None:
        self._house = house
        self._clock = clock
        self._of: tuple[Register, Supervision] | None = None
        self._places: list[Place] = []
        self._epoch = ""
        self._counts: list[Json] = []
        self._counted_at: float | None = None
        self._making = asyncio.Lock()

    @property
    def routes(self) -> list[Route]:
        return [Route("/api/v1/devices", self.some), Route("/api/v1/devices/{line}/{address:path}", self.one)]

    async def some(self, request: Request) -> Response:
        """Devices of one state, line, class, model and firmware, worst first, a page at a time; how many there are of each."""
        wanted = {name: request.query_params.get(name, "") for name in ("state", "line", "class", "model", "firmware", "after")}
        unknown = sorted(request.query_params.keys() - wanted.keys())
        if unknown:
            raise Refused("unknown_field", 400, field=unknown[0])
        if wanted["state"] and wanted["state"] not in STATES:
            raise Refused("bad_state", 400, allowed=STATES)
        if any(len(text) > TEXT_LIMIT for text in wanted.values()):
            raise Refused("text_too_long", 400, limit=TEXT_LIMIT)
        await self._refresh()
        if wanted["state"] == "unknown":
            rows, following = self._strangers(wanted["line"], self._position(wanted["after"]))
        else:
            rows, following = await asyncio.to_thread(
                device_views.some_of,
                self._house.working,
                self._places,
                self._position(wanted["after"]),
                self._troubles(),
                reader_of(request),
                state=wanted["state"],
                line=wanted["line"],
                device_class=wanted["class"],
                model=wanted["model"],
                firmware=wanted["firmware"],
            )
        body = {
            "now": self._house.now(),
            "devices": rows,
            "after": f"{self._epoch}-{following}" if following is not None else None,
            "counts": await self._counts_for(reader_of(request)),
            "unknown": len(self._house.working.unregistered()),
        }
        return answered(body)

    async def one(self, request: Request) -> Response:
        """All that is known of one device."""
        working = self._house.working
        line, ref = request.path_params["line"], request.path_params["address"]
        line = "" if line == ANY_LINE else line
        address = await asyncio.to_thread(self._address, line, ref, list(working.strangers)) if ref.startswith("~") else ref
        device = working.register.device(line, address)
        if device is not None:
            reader = reader_of(request)
            if not device_views.is_shown(working.register, device, reader):
                raise Refused("foreign_area", 403)
            place = Place(device, working.supervision.of(device))
            body = device_views.device_detail(working, place, self._troubles(), reader)
        else:
            key = f"{line}|{address}"
            seen = working.strangers.get(key)
            if seen is None:
                raise Refused("unknown_device", 404)
            body = device_views.stranger_detail(key, seen, working.register.lines_of(address))
        return answered({"now": self._house.now(), **body})

    def _address(self, line: str, ref: str, strangers: Sequence[str]) -> str | None:
        """The telephone number that a ref stands for, of a device or of an address on no register."""
        for place in self._places:
            address = place.device.id
            if address.startswith("+") and device_views.ref_of(device_views.line_of(*place), address) == ref:
                return address
        known = (key.partition("|")[2] for key in strangers if key.startswith(f"{line}|+"))
        return next((address for address in known if device_views.ref_of(line, address) == ref), None)

    async def _refresh(self) -> None:
        """The order anew after a reload of the register, the counts when they are old."""
        async with self._making:
            working = self._house.working
            now_is = (working.register, working.supervision)
            if self._of is None or self._of[0] is not now_is[0] or self._of[1] is not now_is[1]:
                self._places = await asyncio.to_thread(device_views.in_order, working)
                self._of, self._epoch, self._counted_at = now_is, secrets.token_hex(3), None
            if self._counted_at is None or self._clock() - self._counted_at >= COUNTS_S:
                self._counts = await asyncio.to_thread(device_views.counts_of, working, self._places, self._troubles())
                self._counted_at = self._clock()

    async def _counts_for(self, reader: Reader) -> list[Json]:
        """How many there are of each, in the reader's areas."""
        if not reader.areas:
            return self._counts
        working = self._house.working

        def count() -> list[Json]:
            mine = (place for place in self._places if device_views.is_shown(working.register, place.device, reader))
            return device_views.counts_of(working, mine, self._troubles())

        return await asyncio.to_thread(count)

    def _troubles(self) -> device_views.Troubles:
        return device_views.troubles_of(self._house.incidents.values())

    def _position(self, after: str) -> int:
        """Where a reader goes on. A cursor of another register leads nowhere."""
        if not after:
            return 0
        epoch, _, position = after.partition("-")
        if epoch != self._epoch or not (position.isascii() and position.isdecimal()):
            raise Refused("cursor_expired", 409)
        return int(position)

    def _strangers(self, line: str, start: int) -> tuple[list[Json], int | None]:
        """Addresses on no register, the newest first."""
        known = [(key, seen) for key, seen in reversed(self._house.working.unregistered()) if not line or key.startswith(f"{line}|")]
        rows = [device_views.stranger_row(key, seen) for key, seen in known[start : start + PAGE]]
        return rows, start + PAGE if len(known) > start + PAGE else None
