"""Orders to a responder's web server: signed POST of JSON."""

from collections.abc import Callable

from gateway.clock import utc_now
from gateway.config.dispatch import WebhookChannelConfig
from gateway.config.words import MIN_SECRET
from gateway.dispatch.contract import Order
from gateway.dispatch.outgoing_http import hold, new_client, send
from gateway.secrets import secret_of
from gateway.signature import sign, timed

Answered = Callable[[str, bytes], None]
"""Gets the responder and the body of a 2xx answer that is not empty, in the form of `stations/<responder>/reply`."""


class WebhookChannel:
    """Posts orders; `deliver` returns at 2xx.

    Request: POST, Content-Type application/json, `X-Delivery: <delivery id>`, `X-Signature: sha256=<hex HMAC-SHA-256 of the body>`; against
    replay also `X-Timestamp: <seconds since 1970>` and `X-Signature-Timed`, the same of timestamp, full stop and body: a receiver refuses what
    was signed minutes ago, and takes a delivery and repeat that it has seen for known. A repetition has the same delivery id and a new time.
    2xx delivered; what else: gateway.dispatch.outgoing_http.send.
    """

    name = "webhook"

    def __init__(
        self, config: WebhookChannelConfig, answered: Answered | None = None, now: Callable[[], float] = lambda: utc_now().timestamp()
    ) -> None:
        self._secret = secret_of("dispatch.webhook.secret_file", config.secret_file, MIN_SECRET)
        self._timeout_s = config.timeout_s
        self._answered = answered
        self._now = now
        self._client = new_client(config.timeout_s)

    @property
    def connected(self) -> bool:
        """Each order makes its own connection: there is nothing that could be lost."""
        return True

    async def run(self) -> None:
        """Hold the pool of connections until cancelled."""
        await hold(self._client)

    async def deliver(self, order: Order) -> None:
        """Post once. Cancelling: the order may or may not have been read."""
        headers = {"Content-Type": "application/json", "X-Delivery": order.delivery, **self._proof(order.body)}
        answer = await send(self._client, self._timeout_s, "POST", order.address, content=order.body, headers=headers)
        if answer and self._answered is not None:
            self._answered(order.responder, answer)

    def _proof(self, body: bytes) -> dict[str, str]:
        at = str(int(self._now()))
        return {"X-Signature": sign(self._secret, body), "X-Timestamp": at, "X-Signature-Timed": sign(self._secret, timed(at, body))}
