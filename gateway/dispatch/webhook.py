"""Orders to a responder's web server: signed POST of JSON."""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable
from pathlib import Path

import httpx

from gateway.config import MIN_SECRET, WebhookChannelConfig
from gateway.dispatch.contract import DeliveryError, Order
from gateway.errors import ConfigError

# Requests at once, over all responders; the rest waits its turn within the time limit of its request.
MAX_CONNECTIONS = 50
# What is read of an answer's body: {"answer", "by", "note"} is under 2 KiB.
MAX_ANSWER = 16 * 1024
# Refusals that may pass: request timeout and too many requests (RFC 9110, 15.5.9; RFC 6585, 4).
PASSING = frozenset((408, 429))

Answered = Callable[[str, bytes], None]
"""Gets the responder and the body of a 2xx answer that is not empty, in the form of `stations/<responder>/reply`."""


class WebhookChannel:
    """Posts orders; `deliver` returns at 2xx.

    Request: POST, Content-Type application/json, `X-Delivery: <delivery id>`, `X-Signature: sha256=<hex HMAC-SHA-256 of the body>`.
    2xx delivered; 408, 429, other statuses and failures of the network: worth retrying under the same delivery id, which is the outbox's task;
    every other 4xx: refused. Redirects are not followed, so that an order reaches nobody who is not in the register.
    """

    name = "webhook"

    def __init__(self, config: WebhookChannelConfig, answered: Answered | None = None) -> None:
        try:
            self._secret = Path(config.secret_file).read_bytes().strip()
        except OSError as error:
            raise ConfigError(
                [f"dispatch.webhook.secret_file: {config.secret_file}: {error.strerror}; write a secret of at least 16 bytes"]
            ) from error
        if len(self._secret) < MIN_SECRET:
            raise ConfigError([f"dispatch.webhook.secret_file: {config.secret_file} holds {len(self._secret)} bytes; write at least {MIN_SECRET}"])
        self._timeout_s = config.timeout_s
        self._answered = answered
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs URLs, and those may hold tokens
        self._client = httpx.AsyncClient(
            timeout=config.timeout_s,
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
            follow_redirects=False,
            trust_env=False,  # only gateway.toml decides where orders go, no proxy variable
        )

    @property
    def connected(self) -> bool:
        """Each order makes its own connection: there is nothing that could be lost."""
        return True

    async def run(self) -> None:
        """Hold the pool of connections until cancelled."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._client.aclose()

    async def deliver(self, order: Order) -> None:
        """Post once. Cancelling: the order may or may not have been read."""
        signature = hmac.new(self._secret, order.body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Delivery": order.delivery, "X-Signature": f"sha256={signature}"}
        try:
            # httpx limits each step; the whole must end too, even when the far end sends one byte a second
            async with asyncio.timeout(self._timeout_s), self._client.stream("POST", order.address, content=order.body, headers=headers) as response:
                answer = await _read_answer(response) if response.is_success else b""
        except (httpx.TimeoutException, TimeoutError) as error:
            raise DeliveryError("timeout") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise DeliveryError("bad_address", retry=False) from error
        except httpx.HTTPError as error:
            raise DeliveryError("unreachable") from error
        if not response.is_success:
            is_final = response.is_client_error and response.status_code not in PASSING
            raise DeliveryError(f"http_{response.status_code}", retry=not is_final)
        if answer and self._answered is not None:
            self._answered(order.responder, answer)


async def _read_answer(response: httpx.Response) -> bytes:
    """The body of an answer; empty when it is too long. The order is delivered whatever stands in it."""
    body = b""
    try:
        async for part in response.aiter_bytes():
            body += part
            if len(body) > MAX_ANSWER:
                return b""
    except (httpx.HTTPError, TimeoutError):
        return b""
    return body.strip()
