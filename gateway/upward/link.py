"""The wire to one destination: signed requests over HTTP, and what counts as a receipt. Nothing is kept between two requests but the connection."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec

from gateway.dispatch.outgoing_http import PLAIN, is_packed
from gateway.signature import sign, timed

MAX_ANSWER = 1 << 20  # bytes read of an answer: a page of reconciliation names at most DETAIL numbers, 100 octets each
DETAIL = 5000  # numbers in one page of a detailed reconciliation
PROBE_S = 1.0  # for a connection to be made, when we look whether somebody is back

T = TypeVar("T")


class Failed(Exception):
    """It did not reach them, or they gave no receipt. `reason` labels a metric: timeout, unreachable, http_<status>, bad_receipt, bad_address."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Receipt(msgspec.Struct, frozen=True):
    """What a counterpart answers: the number of the last report that it has on disk."""

    received: int


class Reported(msgspec.Struct, frozen=True):
    """A report as the other side has it: its number, the SHA-256 of its line (hex), how often it is there."""

    number: int
    digest: str
    copies: int = 1


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A day as the other side has it. digest: SHA-256 over the digests (hex, each with a line feed) in the order of numbers; twice: numbers."""

    day: str
    count: int
    digest: str
    twice: tuple[int, ...] = ()


class Detail(msgspec.Struct, frozen=True, kw_only=True):
    """Reports of a day after a number, in order; more: there are others after them."""

    reports: tuple[Reported, ...]
    more: bool = False


class Link:
    """One destination's address and secret. `clock` gives seconds since 1970."""

    def __init__(self, url: str, secret: bytes, timeout_s: float, clock: Callable[[], float], reconciliation: str = "", sender: str = "") -> None:
        self._url = url
        self._reconciliation = reconciliation or url.rstrip("/") + "/reconciliation"
        self._secret = secret
        self._timeout_s = timeout_s
        self._clock = clock
        self._sender = sender
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses, and those may hold tokens
        self._client = httpx.AsyncClient(
            timeout=timeout_s, follow_redirects=False, trust_env=False, limits=httpx.Limits(max_connections=2), headers=PLAIN
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def post(self, name: str, first: int, last: int, body: bytes, *, needs_receipt: bool) -> None:
        """Deliver lines of JSON. Returns when they have said that they have the last one (or, without, at any 2xx). Raises Failed.

        Cancelling: they may have it; it is sent again under the same numbers.
        """
        headers = self._signed(body) | {
            "Content-Type": "application/x-ndjson",
            "X-Delivery": f"{name}-{first}-{last}",
            "X-Sender": self._sender,
        }
        answer = await self._ask("POST", self._url, headers, body)
        if needs_receipt and _decoded(answer, Receipt).received < last:
            raise Failed("bad_receipt")

    async def summary(self, day: str) -> Summary:
        """What they have of a day. Raises Failed."""
        found = _decoded(await self._get({"day": day}), Summary)
        if found.day != day:
            raise Failed("bad_receipt")
        return found

    async def detail(self, day: str, after: int) -> Detail:
        """The same report by report, after a number. Raises Failed."""
        return _decoded(await self._get({"day": day, "detail": "1", "after": str(after)}), Detail)

    async def is_reachable(self) -> bool:
        """Does somebody take connections there?"""
        parts = urlsplit(self._url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(PROBE_S):
                _, writer = await asyncio.open_connection(parts.hostname, port)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return True
        return False

    async def _get(self, query: dict[str, str]) -> bytes:
        url = f"{self._reconciliation}?{urlencode(query)}"
        parts = urlsplit(url)
        return await self._ask("GET", url, self._signed(f"GET {parts.path}?{parts.query}".encode()), b"")

    def _signed(self, content: bytes) -> dict[str, str]:
        timestamp = str(int(self._clock()))
        return {"X-Timestamp": timestamp, "X-Signature": sign(self._secret, timed(timestamp, content))}

    async def _ask(self, method: str, url: str, headers: dict[str, str], body: bytes) -> bytes:
        try:
            # httpx limits each step; the whole must end too, even when the far end sends one byte a second
            async with asyncio.timeout(self._timeout_s), self._client.stream(method, url, content=body, headers=headers) as response:
                answer = b""
                if is_packed(response):
                    raise Failed("bad_receipt")
                async for part in response.aiter_raw():
                    answer += part
                    if len(answer) > MAX_ANSWER:
                        raise Failed("bad_receipt")
        except (httpx.TimeoutException, TimeoutError) as error:
            raise Failed("timeout") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
            raise Failed("bad_address") from error
        except httpx.HTTPError as error:
            raise Failed("unreachable") from error
        if not response.is_success:
            raise Failed(f"http_{response.status_code}")
        return answer


def _decoded(answer: bytes, kind: type[T]) -> T:
    """A 2xx whose body is not what it must be is no receipt: some proxy, or the wrong address, said it."""
    try:
        return msgspec.json.decode(answer, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Failed("bad_receipt") from error
