"""What an SMS provider posts: a text that somebody wrote goes the way of texts, the fate of one of ours to the channel that sent it."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from drivers.contract import Emit, Rejected
from gateway.dispatch.sms import Report, SmsCallback
from gateway.dispatch.text_answers import TextAnswers
from gateway.event import Event, Kind

SHORT_MESSAGES = "short_messages"  # the books of what an SMS provider posts


async def take_text(
    callback: SmsCallback | None,
    answers: TextAnswers | None,
    emit: Emit,
    report: Callable[[Report], Awaitable[None]],
    headers: Mapping[str, str],
    content_type: str,
    body: bytes,
    now: datetime,
) -> tuple[int, str]:
    """(HTTP status, what the provider wants to read). headers: names in lower case."""
    if callback is None or answers is None:
        return 404, ""
    if not callback.is_proved(headers, body):
        return 401, ""
    said = callback.read(content_type, body)
    if isinstance(said, Report):
        await report(said)
        return 200, callback.config.answer
    event: Event | Rejected = Rejected(reason="bad_field", raw=body, line=SHORT_MESSAGES)
    if said is not None:
        event = Event(
            kind=Kind.HELP,
            line=SHORT_MESSAGES,
            device=said.sender,
            received_at=now,
            occurred_at=now,
            kind_raw="text/plain",
            dedup=f"sms:{said.id}" if said.id else None,
            integrity="verified",
            detail={"text": said.text, "from": said.sender},
            raw=body,
        )
    (verdict,) = await answers.receive([event], emit)
    if verdict.retry:
        return 503, ""
    return (200, callback.config.answer) if said is not None else (400, "")
