"""What every set of routes needs of the console: who asks, the body, the same answer to the same key, and fields read with a clear refusal."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.console.seam import House
from gateway.console.views import Json
from gateway.errors import Refused

OnDuty = Callable[[Request], str]
Body = Callable[[Request], Awaitable[dict[str, object]]]
Once = Callable[[Request, str, Callable[[], Awaitable[Json]]], Awaitable[Response]]
BODY_S = 20.0  # so long a body may take; a page gives up waiting for most answers after 5
PLACE_DIGITS = 15  # of a place in a list, or in the journal


def answered(value: object, status: int = 200) -> Response:
    """The answer of every route that gives JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def read_body(request: Request, limit: int, within_s: float = BODY_S) -> bytes:
    """The body. Raises Refused: body_too_large, body_too_slow (whoever holds a request open holds a socket)."""
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for part in request.stream():
                body += part
                if len(body) > limit:
                    raise Refused("body_too_large", 413, limit=limit)
    except TimeoutError:
        raise Refused("body_too_slow", 408, seconds=within_s) from None
    return bytes(body)


class Asking:
    """on_duty gives the name of who asks, or refuses; once: the same answer to the same Idempotency-Key."""

    def __init__(self, house: House, on_duty: OnDuty, body: Body, once: Once) -> None:
        self._house = house
        self._on_duty = on_duty
        self._body = body
        self._once = once

    async def fields(self, request: Request, allowed: Collection[str]) -> dict[str, object]:
        """The body, without anything that nobody knows. Raises Refused: unknown_field."""
        body = await self._body(request)
        unknown = sorted(body.keys() - set(allowed))
        if unknown:
            raise Refused("unknown_field", 400, field=unknown[0])
        return body


def text(body: dict[str, object], name: str, *, lines: bool = False) -> str:
    """A text, "" if it is not there. lines: it may have several. Raises Refused: bad_<name>."""
    value = body.get(name) or ""
    if not isinstance(value, str) or not (value.replace("\n", " ") if lines else value).isprintable():
        raise Refused(f"bad_{name}", 400)
    return value.strip()


def time(body: dict[str, object], name: str) -> datetime | None:
    """Aware UTC of an ISO 8601 text with a zone, whichever it names; None if it is not there. Raises Refused: bad_<name>."""
    value = body.get(name)
    if value is None or value == "":
        return None
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        if at is not None and at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):  # no time, or one that UTC puts before year 1
        pass
    raise Refused(f"bad_{name}", 400)


def place(request: Request) -> int:
    """`after` of a list that is read a page at a time. Raises Refused: bad_after."""
    after = request.query_params.get("after") or "0"
    if not (after.isascii() and after.isdecimal() and len(after) <= PLACE_DIGITS):
        raise Refused("bad_after", 400)
    return int(after)
