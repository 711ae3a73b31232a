"""Recordings of an incident's calls over HTTP: which there are, and playing one under right, with a reason, on record.

The journal says who listens before a ticket exists, and a ticket is all that the browser has: the server looks the file up by the call, and
streams it, with Range, to that browser alone, for TICKET_S.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import httpx
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gateway.config.recordings import AUDIO
from gateway.console.asking import Body, answered
from gateway.console.audit_routes import actor_of
from gateway.console.export_routes import browser_of
from gateway.console.guard import reader_of
from gateway.console.reader import Reader
from gateway.console.recordings import RecordedCall, calls_of, file_of, is_expired, url_of
from gateway.console.rights import LEAD
from gateway.console.seam import House
from gateway.console.tickets import Tickets
from gateway.console.views import Json, is_entitled
from gateway.core.aid_matters import is_shut_out
from gateway.core.incident import Incident
from gateway.errors import Refused
from gateway.event import Kind

TICKET_S = 900.0  # to listen, stop, go back and listen again; a call of a hotline lasts a few minutes
CHUNK = 64 * 1024
REASON = (2, 500)  # characters
RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
PASSED_ON = ("content-length", "content-range", "accept-ranges")


class Recording(NamedTuple):
    """What a ticket is for: a file, or an address to fetch."""

    file: Path | None
    url: str


class RecordingRoutes:
    """`transport`: another way to the exchange's web server, for tests."""

    def __init__(self, house: House, body: Body, clock: Callable[[], float], transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._house = house
        self._body = body
        self._tickets: Tickets[Recording] = Tickets(clock, TICKET_S)
        self._transport = transport
        self._tls: ssl.SSLContext | None = None

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/incidents/{id}/recordings", self.some),
            Route("/api/v1/incidents/{id}/listen", self.listen, methods=["POST"]),
            Route("/api/v1/recordings/{ticket}", self.play),
        ]

    async def some(self, request: Request) -> Response:
        """The calls of an incident, each with the word for its recording: there, not, expired; and whether this reader may listen."""
        house, reader = self._house, reader_of(request)
        one = await self._incident(request)
        config = house.config.recordings
        calls = calls_of(await house.timeline(one.id)) if config.is_on else []
        rows: list[Json] = []
        for call in calls:
            state = "expired" if self._is_expired(call) else "there" if await self._is_there(call) else "not"
            rows.append(
                {
                    "call": call.key,
                    "at": call.at,
                    "until": call.until,
                    "answered": call.answered,
                    "agent": call.agent_name or call.agent,
                    "state": state,
                }
            )
        return answered({"now": house.now(), "on": config.is_on, "may": self._may(one, reader), "recordings": rows})

    async def listen(self, request: Request) -> Response:
        """{call, reason} → a ticket. The journal has it before."""
        house, reader = self._house, reader_of(request)
        body = await self._body(request)
        unknown = sorted(body.keys() - {"call", "reason"})
        if unknown:
            raise Refused("unknown_field", 400, field=unknown[0])
        one = await self._incident(request)
        key, reason = body.get("call"), body.get("reason")
        if not isinstance(key, str):
            raise Refused("bad_call", 400)
        if not isinstance(reason, str) or not REASON[0] <= len(reason.strip()) <= REASON[1]:
            raise Refused("missing_reason", 400, least=REASON[0], most=REASON[1])
        if not self._may(one, reader):
            raise Refused("not_owner", 403)
        call = next((call for call in calls_of(await house.timeline(one.id)) if call.key == key), None)
        if call is None or not house.config.recordings.is_on:
            raise Refused("unknown_call", 404)
        if self._is_expired(call):
            raise Refused("recording_expired", 404)
        found = await self._find(call)
        if found is None:
            raise Refused("no_recording", 404)
        facts: Json = {"incident": one.id, "person": one.person, "call": call.key, "reason": reason.strip()}
        await house.note(Kind.LISTENED, actor_of(reader), **facts, role=reader.role, address=reader.address)
        ticket = self._tickets.give(browser_of(request), found)
        return answered({"ticket": ticket, "for_s": TICKET_S})

    async def play(self, request: Request) -> Response:
        """The sound, whole or the range that the player asks for."""
        found = self._tickets.see(request.path_params["ticket"], browser_of(request))
        wanted = request.headers.get("range", "")
        if found.file is not None:
            return await _of_file(found.file, wanted)
        return await self._of_url(found.url, wanted)

    def _may(self, one: Incident, reader: Reader) -> bool:
        """A supervisor (the guard has seen to the area), or who has the open incident in hand."""
        if reader.role in LEAD:
            return True
        return is_entitled(one, reader.name) and not is_shut_out(self._house.standings, reader.name or "", self._house.now())

    def _is_expired(self, call: RecordedCall) -> bool:
        config = self._house.config
        return is_expired(config.recordings, call, config.retention.incident_days, self._house.now())

    async def _incident(self, request: Request) -> Incident:
        house, name = self._house, request.path_params["id"]
        await house.recall(name)
        one = house.incidents.get(name)
        if one is None:
            raise Refused("unknown_incident", 404)
        return one

    async def _find(self, call: RecordedCall) -> Recording | None:
        config = self._house.config
        if config.recordings.folder:
            file = await asyncio.to_thread(file_of, config.recordings, config.folder, call)
            return Recording(file, "") if file is not None else None
        url = url_of(config.recordings, call)
        return Recording(None, url) if url is not None else None

    async def _is_there(self, call: RecordedCall) -> bool:
        found = await self._find(call)
        if found is None or found.file is not None:
            return found is not None
        try:
            async with await self._client() as client:
                answer = await client.head(found.url, headers=await asyncio.to_thread(self._proof))
        except (httpx.HTTPError, httpx.InvalidURL):
            return False
        return answer.is_success and _is_sound(answer)

    async def _of_url(self, url: str, wanted: str) -> Response:
        headers = await asyncio.to_thread(self._proof) | ({"range": wanted} if RANGE.fullmatch(wanted) else {})
        held = contextlib.AsyncExitStack()
        try:
            client = await held.enter_async_context(await self._client())
            answer = await held.enter_async_context(client.stream("GET", url, headers=headers))
        except (httpx.HTTPError, httpx.InvalidURL):
            await held.aclose()
            raise Refused("exchange_away", 503) from None
        if answer.status_code not in (200, 206) or not _is_sound(answer):
            await held.aclose()
            raise Refused("no_recording", 404)

        async def parts() -> AsyncIterator[bytes]:
            async with held:
                with contextlib.suppress(httpx.HTTPError):  # cut off: the player says so
                    async for part in answer.aiter_raw(CHUNK):
                        yield part

        passed = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}
        return StreamingResponse(parts(), answer.status_code, headers=passed | _HEADERS, media_type=answer.headers["content-type"].split(";")[0])

    async def _client(self) -> httpx.AsyncClient:
        timeout = self._house.config.recordings.timeout_s
        if self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)  # reads every certificate of the machine: not in the loop
        return httpx.AsyncClient(timeout=timeout, verify=self._tls, follow_redirects=False, trust_env=False, transport=self._transport)

    def _proof(self) -> dict[str, str]:
        config = self._house.config
        plain = {"accept-encoding": "identity"}
        if not config.recordings.token_file:
            return plain
        try:
            lines = (config.folder / config.recordings.token_file).read_text().splitlines()
        except (OSError, UnicodeDecodeError):
            return plain
        return plain | ({"authorization": f"Bearer {lines[0].strip()}"} if lines and lines[0].strip().isascii() else {})


_HEADERS = {"content-disposition": "inline", "accept-ranges": "bytes"}


def _is_sound(answer: httpx.Response) -> bool:
    """A page that asks for a log-in is answered with 200, too."""
    return answer.headers.get("content-type", "").split(";")[0].strip().lower() in {*AUDIO.values(), "audio/x-wav", "audio/vnd.wave"}


async def _of_file(file: Path, wanted: str) -> Response:
    """One range, as a player asks for it (RFC 9110, 14.2); anything else gets all."""
    try:
        size = (await asyncio.to_thread(file.stat)).st_size
        source = await asyncio.to_thread(file.open, "rb")
    except OSError:
        raise Refused("no_recording", 404) from None
    first, last, status, extra = 0, size - 1, 200, {}
    asked = RANGE.fullmatch(wanted)
    if asked is not None and any(asked.groups()):
        first = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
        last = min(size - 1, int(asked[2])) if asked[1] and asked[2] else size - 1
        if first > last:
            source.close()
            return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
        status, extra = 206, {"content-range": f"bytes {first}-{last}/{size}"}

    async def parts() -> AsyncIterator[bytes]:
        left = last - first + 1
        with source:
            await asyncio.to_thread(source.seek, first)
            while left > 0 and (part := await asyncio.to_thread(source.read, min(CHUNK, left))):
                left -= len(part)
                yield part

    headers = {**extra, **_HEADERS, "content-length": str(last - first + 1)}
    return StreamingResponse(parts(), status, headers=headers, media_type=AUDIO[file.suffix.lower()])
