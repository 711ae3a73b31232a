"""Answers of stations: JSON on `stations/<responder>/reply`."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from drivers.contract import Rejected, Signal
from drivers.mqtt.message import addresses, content_name, refuse_oversize
from gateway.event import Kind

TOPICS = ("stations/+/reply",)

REASONS = ("bad_delivery", "bad_field", "bad_json", "bad_topic", "too_deep", "too_long", "unknown_answer")
"""Every reason for which an answer is rejected."""

ANSWERS = {kind.value: kind for kind in (Kind.ACCEPT, Kind.DECLINE, Kind.EN_ROUTE, Kind.ARRIVED, Kind.DONE)}

MAX_DELIVERY = 64  # characters; our delivery ids have 32
MAX_NAME = 100  # characters of who answers
MAX_NOTE = 1000  # characters that are kept of a note; the whole is in `raw`


class _Reply(msgspec.Struct, gc=False):
    delivery: str
    answer: str
    by: str | None = None
    note: str | None = None
    promised_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    outcome: Literal["not_taken"] | None = None


_decode = msgspec.json.Decoder(_Reply).decode


class StationReply:
    """Decodes what responders answer to an order.

    Wire: {"delivery", "answer": accept | decline | en_route | arrived | done, "by"?, "note"?, "promised_at"?, "outcome"?}; who does not say `by`
    answers as the responder. Of ordinary services: promised_at (ISO 8601 with a zone) when they will come, outcome `not_taken` a meal nobody took in.
    Gives: a signal of the answer's kind whose device is the responder's id; detail holds delivery, by, note, promised_at (UTC) and outcome.
    Identity: responder, delivery, answer and content. The core judges whether delivery and responder belong together.
    Errors are returned as Rejected (`REASONS`). Source: architecture, section 8.
    """

    def __init__(self, topics: tuple[str, ...] = TOPICS) -> None:
        self._addresses = addresses(topics)
        self.topics = topics

    def receive_message(self, topic: str, payload: bytes, retain: bool, dup: bool, now: float, received_at: datetime) -> list[Signal | Rejected]:
        """The one signal or rejection of one publish; the flags say nothing that the identity does not."""
        del retain, dup, now, received_at
        responder = next((found for address in self._addresses if (found := address.find(topic)) is not None), None)
        if responder is None:
            return [refuse_oversize(topic, payload) or Rejected(reason="bad_topic", raw=payload)]
        return [refuse_oversize(topic, payload) or read_answer(responder, payload)]


def read_answer(responder: str, payload: bytes) -> Signal | Rejected:
    """The answer in one body, wherever it came from (topic, web hook); `payload` is within the limits already."""
    try:
        reply = _decode(payload)
    except msgspec.ValidationError as error:  # the decoder's words name field and type, never the value
        return Rejected(reason="bad_field", raw=payload, device=responder, detail=str(error))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Rejected(reason="bad_json", raw=payload, device=responder)
    kind = ANSWERS.get(reply.answer)
    if kind is None:
        return Rejected(reason="unknown_answer", raw=payload, device=responder, detail=ascii(reply.answer[:40]))
    if not (0 < len(reply.delivery) <= MAX_DELIVERY and reply.delivery.isascii() and reply.delivery.isprintable()):
        return Rejected(reason="bad_delivery", raw=payload, device=responder)
    detail: dict[str, object] = {"delivery": reply.delivery, "by": (reply.by or "").strip()[:MAX_NAME] or responder}
    if reply.note:
        detail["note"] = reply.note[:MAX_NOTE]
    if reply.promised_at is not None:
        try:
            detail["promised_at"] = reply.promised_at.astimezone(UTC).isoformat()
        except OverflowError:  # a time that UTC puts before year 1
            return Rejected(reason="bad_field", raw=payload, device=responder, detail="promised_at")
    if reply.outcome is not None:
        detail["outcome"] = reply.outcome
    return Signal(
        kind=kind,
        kind_raw=reply.answer,
        device=responder,
        dedup=f"{responder}:{reply.delivery}:{kind}:{content_name(payload)}",
        detail=detail,
        raw=payload,
    )
