"""What machines of others post, each proved by a secret shared with it: answers of web stations, short messages, matters from another hotline."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from drivers.contract import Rejected, to_event
from drivers.mqtt.station_reply import read_answer
from gateway.console.asking import answered
from gateway.console.seam import House
from gateway.core.hand_over import event_of
from gateway.errors import Refused
from gateway.signature import is_fresh, is_signed, timed

REPLIES = "replies"  # the line under which answers of web stations are booked


class SignedRoutes:
    """Over one house; `read` gives the body of a request, and refuses one that is too large."""

    def __init__(self, house: House, read: Callable[[Request], Awaitable[bytes]]) -> None:
        self._house = house
        self._read = read

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/hand-overs", self.hand_overs, methods=["POST"]),
            Route("/api/v1/replies", self.replies, methods=["POST"]),
            Route("/api/v1/texts", self.texts, methods=["POST"]),
        ]

    async def replies(self, request: Request) -> Response:
        """The answer of a web station: signed with the shared secret, taken by the same door as one over MQTT. A signed time must be fresh."""
        body = await self._read(request)
        timestamp = request.headers.get("x-timestamp")
        if not self._is_signed(body if timestamp is None else timed(timestamp, body), request.headers.get("x-signature", "")):
            raise Refused("bad_signature", 401)
        if timestamp is not None and not is_fresh(timestamp, self._house.now().timestamp()):
            raise Refused("stale_signature", 401)
        try:
            delivery = msgspec.json.decode(body, type=Reply).delivery
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Refused("bad_json", 400) from None
        house = self._house
        leg = next((leg for incident in house.incidents.values() for leg in incident.legs if leg.delivery == delivery), None)
        if leg is None:
            raise Refused("unknown_delivery", 404)
        answer = read_answer(leg.responder, body)
        if isinstance(answer, Rejected):
            await house.receive([msgspec.structs.replace(answer, line=REPLIES)])
            raise Refused(answer.reason, 400)
        event = msgspec.structs.replace(to_event(answer, REPLIES, house.now()), integrity="verified")
        (verdict,) = await house.receive([event])
        if verdict.kept:
            return answered({"outcome": verdict.outcome})
        return answered({"reason": verdict.reason}, 503 if verdict.retry else 409)

    async def texts(self, request: Request) -> Response:
        """What an SMS provider posts, proved by the secret shared with it: a text that somebody wrote, or the fate of one of ours."""
        body = await self._read(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        status, answer = await self._house.short_message(headers, headers.get("content-type", ""), body)
        if status == 200:
            return Response(answer, media_type="application/json")
        raise Refused({404: "no_callback", 401: "bad_signature", 503: "store_down"}.get(status, "bad_field"), status)

    async def hand_overs(self, request: Request) -> Response:
        """The record of a matter from another hotline, signed with the secret shared with it. The answer says its number here."""
        body = await self._read(request)
        signature = request.headers.get("x-signature", "")
        house = self._house
        known = [one for one in house.config.hotline if one.secret_file and self._is_signed_with(one.secret_file, body, signature)]
        if not known:
            raise Refused("bad_signature", 401)
        event = event_of(body, known[0].number, house.now())
        (verdict,) = await house.receive([event])
        if not verdict.kept:
            return answered({"reason": verdict.reason}, 503 if verdict.retry else 409)
        tracking = str(event.detail["tracking"])
        mine = max((one for one in house.incidents.values() if one.tracking == tracking), key=lambda one: (one.is_open, one.opened_at), default=None)
        return answered({"tracking": tracking, "incident": mine and mine.id, "outcome": "accepted" if verdict.outcome == "stored" else "known"})

    def _is_signed(self, body: bytes, signature: str) -> bool:
        webhook = self._house.config.dispatch.webhook
        return webhook is not None and self._is_signed_with(webhook.secret_file, body, signature)

    def _is_signed_with(self, secret_file: str, body: bytes, signature: str) -> bool:
        try:
            secret = (self._house.config.folder / secret_file).read_bytes().strip()
        except OSError:
            return False
        return is_signed(secret, body, signature)


class Reply(msgspec.Struct, frozen=True):
    """As much of an answer as says whose it is; the rest is read as on MQTT."""

    delivery: str
