"""What the channels that post over HTTP have in common: one client, one whole time limit, and what each kind of refusal means."""

import asyncio
import logging
from typing import Any

import httpx

from gateway.dispatch.contract import DeliveryError

# Requests at once, over all responders; the rest waits its turn within the time limit of its request.
MAX_CONNECTIONS = 50
# What is read of an answer's body: {"answer", "by", "note"} and what providers say are under 2 KiB.
MAX_ANSWER = 16 * 1024
# Answers are read as they come: unpacking a few hundred octets that somebody packed with ill will fills the memory and holds up the loop for seconds.
PLAIN = {"Accept-Encoding": "identity"}
# Refusals that may pass: request timeout and too many requests (RFC 9110, 15.5.9; RFC 6585, 4).
PASSING = frozenset((408, 429))


def new_client(timeout_s: float) -> httpx.AsyncClient:
    """Redirects are not followed, so that an order reaches nobody who is not in the register."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs URLs, and those may hold tokens
    return httpx.AsyncClient(
        timeout=timeout_s,
        limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
        follow_redirects=False,
        trust_env=False,  # only gateway.toml decides where orders go, no proxy variable
        headers=PLAIN,
    )


async def hold(client: httpx.AsyncClient) -> None:
    """Hold the pool of connections until cancelled."""
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await client.aclose()


async def send(client: httpx.AsyncClient, timeout_s: float, method: str, url: str, **what: Any) -> bytes:
    """The body of a 2xx answer, empty when it is too long or packed. Raises DeliveryError; its reason is a word, never an address.

    408, 429, statuses that are no 4xx and failures of the network: worth retrying; every other 4xx: refused.
    """
    try:
        # httpx limits each step; the whole must end too, even when the far end sends one byte a second
        async with asyncio.timeout(timeout_s), client.stream(method, url, **what) as response:
            answer = await _read_answer(response) if response.is_success else b""
    except (httpx.TimeoutException, TimeoutError) as error:
        raise DeliveryError("timeout") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:  # UnicodeError: of a name that is none (IDNA)
        raise DeliveryError("bad_address", retry=False) from error
    except httpx.HTTPError as error:
        raise DeliveryError("unreachable") from error
    if not response.is_success:
        is_final = response.is_client_error and response.status_code not in PASSING
        raise DeliveryError(f"http_{response.status_code}", retry=not is_final)
    return answer


async def _read_answer(response: httpx.Response) -> bytes:
    body = b""
    if is_packed(response):
        return b""
    try:
        async for part in response.aiter_raw():
            body += part
            if len(body) > MAX_ANSWER:
                return b""
    except (httpx.HTTPError, TimeoutError):
        return b""
    return body.strip()


def is_packed(response: httpx.Response) -> bool:
    """Did somebody compress what we asked for as it is?"""
    encoding: str = response.headers.get("content-encoding", "identity")
    return encoding.strip().lower() != "identity"
