"""What is ruled at the desk itself: the flood switch, handing a shift over, notices, complaints of the public's supervisor.

flood:all        "on" or "off" by a supervisor, for a shift at most; "" = by the figures again
shift:<id>       "pending" (detail: to, text, items, noted), "confirmed" (by whom: actor; detail: from), "cancelled"
notice:<id>      "said" (detail: text, to, areas, by, since, acknowledged: names, stations), until then
complaint:<id>   "open" (detail: area, about, note, by, since), "handled" (detail: finding)
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from gateway.core.standing import Ruling, plain, switched
from gateway.core.state import Draft
from gateway.core.territory import Standing
from gateway.errors import Refused
from gateway.event import Kind

FLOOD, SHIFT, NOTICE, COMPLAINT = "flood", "shift", "notice", "complaint"
PENDING, CONFIRMED, CANCELLED = "pending", "confirmed", "cancelled"
SAID, OPEN, HANDLED = "said", "open", "handled"
FLOOD_KEY = "flood:all"
FLOOD_LONGEST = timedelta(hours=8)  # a switch that is forgotten must not outlive the shift
NOTICE_LONGEST = timedelta(hours=24)
TEXT_LIMIT = 500  # characters of a notice or of what a shift says to the next: it is read while alarms come in
COMPLAINT_LIMIT = 1000
ITEMS_LIMIT = 500  # incidents of one handover; a desk with more is in a flood
LIMITS = {SHIFT: 100, NOTICE: 200, COMPLAINT: 1000}  # kept of each; the journal has them all
READERS_LIMIT = 500  # names that acknowledge one notice


def on_flood(draft: Draft, ruling: Ruling, before: Standing | None, now: datetime) -> Standing:
    """value "on", "off" or "". Raises Refused: bad_value, bad_until, missing_reason, does_not_stand."""
    del draft
    if ruling.value not in ("on", "off", ""):
        raise Refused("bad_value", 400, allowed=["on", "off", ""])
    latest = now + FLOOD_LONGEST
    if ruling.value and (ruling.until is None or ruling.until > latest):
        ruling = msgspec.structs.replace(ruling, until=latest)
    return switched(ruling, before, now)


def on_shift(draft: Draft, ruling: Ruling, before: Standing | None, now: datetime) -> Standing:
    """Raises Refused: unknown_shift, not_pending, own_shift, for_somebody_else, not_yours, text_too_long. What is missing the route has looked at."""
    if ruling.value == PENDING:
        if before is not None and before.value == PENDING:
            raise Refused("not_free")
        if len(str(ruling.detail.get("text") or "")) > TEXT_LIMIT:
            raise Refused("text_too_long", 400, limit=TEXT_LIMIT)
        standing = plain(msgspec.structs.replace(ruling, detail={**ruling.detail, "from": ruling.actor, "since": now}), now)
        draft.record(Kind.SHIFT, now, None, ruling.actor, what=PENDING, shift=ruling.key, to=ruling.detail.get("to") or "")
        return standing
    if before is None:
        raise Refused("unknown_shift", 404)
    if before.value != PENDING:
        raise Refused("not_pending", state=before.value)
    outgoing, wanted = str(before.detail.get("from") or ""), str(before.detail.get("to") or "")
    if ruling.value == CONFIRMED:
        if ruling.actor == outgoing:
            raise Refused("own_shift", 409)
        if wanted and wanted != ruling.actor:
            raise Refused("for_somebody_else", 409, to=wanted)
    elif ruling.value != CANCELLED:
        raise Refused("bad_value", 400, allowed=[PENDING, CONFIRMED, CANCELLED])
    draft.record(Kind.SHIFT, now, None, ruling.actor, what=ruling.value, shift=ruling.key, outgoing=outgoing, incoming=ruling.actor)
    return plain(msgspec.structs.replace(ruling, detail={**before.detail, **ruling.detail}), now)


def on_notice(draft: Draft, ruling: Ruling, before: Standing | None, now: datetime) -> Standing:
    """A new one, one more who has read it, or what stations made of it. Raises Refused: missing_text, text_too_long, bad_until, unknown_notice."""
    if ruling.value == SAID:
        if before is not None and before.holds(now):
            raise Refused("not_free")
        text = str(ruling.detail.get("text") or "").strip()
        if not text:
            raise Refused("missing_text", 400)
        if len(text) > TEXT_LIMIT:
            raise Refused("text_too_long", 400, limit=TEXT_LIMIT)
        if ruling.until is None or not now < ruling.until <= now + NOTICE_LONGEST:
            raise Refused("bad_until", 400, latest=now + NOTICE_LONGEST)
        draft.record(
            Kind.BROADCAST,
            now,
            None,
            ruling.actor,
            what=SAID,
            notice=ruling.key,
            text=text,
            to=ruling.detail.get("to"),
            areas=ruling.detail.get("areas"),
        )
        return plain(msgspec.structs.replace(ruling, detail={**ruling.detail, "by": ruling.actor, "since": now}), now)
    if before is None or not before.holds(now):
        raise Refused("unknown_notice", 404)
    detail = dict(before.detail)
    if ruling.value == "stations":
        detail["stations"] = ruling.detail.get("stations")
        draft.record(Kind.BROADCAST, now, None, ruling.actor, what="stations", notice=ruling.key, stations=detail["stations"])
    else:
        names = [str(one) for one in _names(detail)]
        if ruling.actor not in names and len(names) < READERS_LIMIT:
            names.append(ruling.actor)
            draft.record(Kind.BROADCAST, now, None, ruling.actor, what="acknowledged", notice=ruling.key)
        detail["acknowledged"] = names
    return msgspec.structs.replace(before, detail=detail)


def on_complaint(draft: Draft, ruling: Ruling, before: Standing | None, now: datetime) -> Standing:
    """Filed, or handled. Raises Refused: unknown_area, unknown_responder, missing_note, note_too_long, unknown_complaint, not_open, own_complaint."""
    note = str(ruling.detail.get("note" if ruling.value == OPEN else "finding") or "").strip()
    if not note:
        raise Refused("missing_note", 400)
    if len(note) > COMPLAINT_LIMIT:
        raise Refused("note_too_long", 400, limit=COMPLAINT_LIMIT)
    if ruling.value == OPEN:
        if before is not None and before.value == OPEN:
            raise Refused("not_free")
        area, about = str(ruling.detail.get("area") or ""), str(ruling.detail.get("about") or "")
        if area and area not in draft.register.areas:
            raise Refused("unknown_area", 400)
        if about and about not in draft.register.responders:
            raise Refused("unknown_responder", 400)
        if not area and not about:
            raise Refused("missing_area", 400)
        draft.record(Kind.COMPLAIN, now, None, ruling.actor, complaint=ruling.key, area=area, about=about)
        return plain(msgspec.structs.replace(ruling, detail={**ruling.detail, "by": ruling.actor, "since": now}), now)
    if before is None:
        raise Refused("unknown_complaint", 404)
    if before.value != OPEN:
        raise Refused("not_open", state=before.value)
    if ruling.actor == before.detail.get("by"):
        raise Refused("own_complaint", 403)
    draft.record(Kind.HANDLE, now, None, ruling.actor, complaint=ruling.key)
    return plain(msgspec.structs.replace(ruling, value=HANDLED, detail={**before.detail, "finding": note}), now)


def free_id(standings: Mapping[str, Standing], matter: str, now: datetime) -> str:
    """An id for a new one: the next number, and past LIMITS that which has been over longest. Raises Refused: too_many."""
    limit = LIMITS[matter]
    mine = {key: one for key, one in standings.items() if key.startswith(f"{matter}:")}
    for number in range(1, limit + 1):
        if f"{matter}:{number}" not in mine:
            return str(number)
    over = [one for one in mine.values() if not (one.holds(now) if matter == NOTICE else one.value in (PENDING, OPEN))]
    if not over:
        raise Refused("too_many", 429, limit=limit)
    return min(over, key=lambda one: (one.at, one.key)).key.partition(":")[2]


def _names(detail: dict[str, object]) -> list[object]:
    names = detail.get("acknowledged")
    return list(names) if isinstance(names, list | tuple) else []
