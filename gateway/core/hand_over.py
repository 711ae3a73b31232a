"""Handing a matter over to another hotline with its record, and taking one: one tracking id through all hand-overs.

The record is JSON with the names of NENA's Emergency Incident Data Object (NENA-STA-021.1a) where it has one; what is ours alone stands
under "12349". Domain 1.1: the matter goes over with its record, not as a fresh call, and a hand-back keeps the work order's number.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from gateway.core import orders
from gateway.core.correlation import Subject, caller_of, incident_of_call
from gateway.core.escalation import rearm
from gateway.core.incident import Action, Flag, HandOver, Incident, Outcome, State, apply, awake, with_flags
from gateway.core.joining import is_call, joined, open_incident, second_cry
from gateway.core.register import Register
from gateway.core.stages import HAND_OVER, passed
from gateway.core.state import Draft
from gateway.errors import Refused
from gateway.event import ALARM_KINDS, KINDS, Event, Group, Kind, Phase, Severity, new_id

LINE = "hand_overs"  # under which records of other hotlines are booked
# Nobody over there has taken it after so long: our own desk is told again. Of the size of a call back (calls.call_back_s).
ANSWER_S = 300.0
NOTE_LIMIT = 2000

Short = Annotated[str, msgspec.Meta(max_length=200)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[!-~]+$")]


class _Part(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    pass


class IncidentPart(_Part, frozen=True, kw_only=True):
    incident_tracking_identifier: Id
    internal_incident_id: Short = ""
    incident_type_internal_text: Short = ""
    incident_common_priority_number: int | None = None


class CallPart(_Part, frozen=True):
    called_number: Short = ""
    caller_number: Short = ""


class LocationPart(_Part, frozen=True):
    area: Short = ""
    latitude: float | None = None
    longitude: float | None = None


class PersonPart(_Part, frozen=True):
    name: Short = ""
    address: Short = ""


class NotePart(_Part, frozen=True):
    note_text: Annotated[str, msgspec.Meta(max_length=NOTE_LIMIT)] = ""


class Ours(_Part, frozen=True, kw_only=True):
    """from_, to: hotlines; work_order: the number that the matter has at `to`, when it goes back there."""

    from_: Short = msgspec.field(name="from")
    to: Short
    work_order: Short = ""
    severity: Short = ""


class MatterRecord(_Part, frozen=True, kw_only=True):
    """What goes over the wire. `eido_message_identifier` is the delivery: the same message sent again has the same one."""

    eido_message_identifier: Id
    last_update_time_stamp: datetime
    incident_component: IncidentPart
    sending_system_identifier: Short = ""
    call_component: Annotated[tuple[CallPart, ...], msgspec.Meta(max_length=10)] = ()
    location_component: Annotated[tuple[LocationPart, ...], msgspec.Meta(max_length=10)] = ()
    person_component: Annotated[tuple[PersonPart, ...], msgspec.Meta(max_length=10)] = ()
    notes_component: Annotated[tuple[NotePart, ...], msgspec.Meta(max_length=10)] = ()
    ours: Ours | None = msgspec.field(name="12349", default=None)


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What the other hotline answers: the number that the matter has there."""

    tracking: str = ""
    incident: str | None = None
    outcome: str = "accepted"


def record_of(incident: Incident, register: Register) -> bytes:
    """The record that leaves. Least data: a name and address only with an alarm of a person or home, a number only if the caller lets it be shown;
    never health notes, contacts, age or risks."""
    handed, position = incident.handed, incident.position
    assert handed is not None
    person = register.persons.get(incident.person or "")
    is_alarm = KINDS[incident.kind].group in (Group.PERSON, Group.ENVIRONMENT)
    may_ring = incident.caller if incident.presentation == "allowed" else None
    area = register.areas.get(incident.area or "")
    return msgspec.json.encode(
        MatterRecord(
            eido_message_identifier=handed.delivery,
            last_update_time_stamp=handed.at,
            sending_system_identifier=register.district,
            incident_component=IncidentPart(
                incident_tracking_identifier=incident.tracking or "",
                internal_incident_id=incident.id,
                incident_type_internal_text=incident.kind.value,
                incident_common_priority_number=incident.severity.rank,
            ),
            call_component=(CallPart(incident.hotline or "", may_ring or ""),) if incident.call else (),
            location_component=(
                (LocationPart(area.name if area else "", round(position.lat, 6), round(position.lon, 6)),)
                if position is not None and is_alarm
                else (LocationPart(area.name),)
                if area is not None
                else ()
            ),
            person_component=(PersonPart(person.name, person.address),) if person is not None and is_alarm else (),
            notes_component=(NotePart(handed.note),) if handed.note else (),
            ours=Ours(from_=incident.hotline or "", to=handed.hotline, work_order=handed.theirs, severity=incident.severity.value),
        )
    )


def start(draft: Draft, incident: Incident, to: str, note: str, actor: str, now: datetime) -> Incident:
    """An operator hands it over: to a neighbour by web hook (pending until they answer), or to another queue of this house. Raises Refused.

    Whoever gives it away must have it: nobody loses an incident that they are working on to somebody else's key.
    """
    if incident.owner not in (None, actor):  # nobody's: the table below refuses it
        raise Refused("not_owner", 403)
    known = draft.hotline(to)
    if to not in draft.call_rules.hotlines and to not in draft.base.hotlines:
        raise Refused("unknown_hotline", 400, hotline=to)
    if to == incident.hotline:
        raise Refused("same_hotline", 400, hotline=to)
    handed = incident.handed
    if handed is not None and handed.state == "pending":
        if handed.hotline == to:
            return incident
        raise Refused("already_handed_over", hotline=handed.hotline)
    if not known.hand_over:
        apply(incident, Action.HAND_OVER, now)  # refuses what the table refuses
        return apply(awake(incident), Action.RELEASE, now, hotline=to, owner=None, acknowledged_at=None)
    incident = awake(incident)  # whether they take it is to be known soon
    tracking = incident.tracking or f"urn:emergency:uid:incidentid:{new_id()}:{draft.register.district or 'gateway'}"
    theirs = handed.theirs if handed is not None and handed.hotline == to else ""
    news = HandOver(delivery=draft.base.shard.new_delivery(), hotline=to, state="pending", at=now, by=actor, note=note[:NOTE_LIMIT], theirs=theirs)
    deadlines = {**incident.deadlines, "hand_over": now + timedelta(seconds=ANSWER_S)}
    return apply(incident, Action.HAND_OVER, now, tracking=tracking, handed=news, deadlines=deadlines)


def told(draft: Draft, name: str, delivery: str, taken: Taken | None, reason: str, now: datetime) -> None:
    """The other hotline has it (`taken`), or never will (`reason`). On acceptance it is resolved here: handed over."""
    incident = draft.incidents.get(name)
    handed = incident.handed if incident is not None else None
    if incident is None or handed is None or handed.delivery != delivery or handed.state != "pending" or not incident.is_open:
        return
    deadlines = {word: at for word, at in incident.deadlines.items() if word != "hand_over"}
    if taken is None:
        news = msgspec.structs.replace(handed, state="failed", reason=reason)
        draft.record(Kind.HAND_OVER, now, incident, to=handed.hotline, tracking=incident.tracking, state="failed", reason=reason)
        flags = with_flags(incident.flags, add=(Flag.ESCALATED,))
        changed = msgspec.structs.replace(incident, handed=news, deadlines=deadlines, flags=flags, version=incident.version + 1, changed_at=now)
        draft.put(rearm(draft, changed, now))
        return
    news = msgspec.structs.replace(handed, state="accepted", theirs=(taken.incident or handed.theirs)[:200])
    incident = passed(incident, HAND_OVER, now, handed.hotline, incident.deadlines.get("hand_over"), handed.delivery)
    draft.record(Kind.HAND_OVER, now, incident, to=handed.hotline, tracking=incident.tracking, state="accepted", theirs=news.theirs)
    incident = msgspec.structs.replace(incident, handed=news, deadlines=deadlines, version=incident.version + 1, changed_at=now)
    if incident.state is State.ACKNOWLEDGED:  # a cry since then keeps it here as well: somebody must look first
        incident = apply(incident, Action.RESOLVE, now, outcome=Outcome.HANDED_OVER, resolved_at=now, held_until=None)
        incident = orders.withdraw_open(incident, now, reason="handed_over")
        flags = with_flags(incident.flags, drop=(Flag.CALL_DUE, Flag.STALLED))
        incident = msgspec.structs.replace(incident, flags=flags, attempts=0, first_attempt_at=None)
    draft.put(rearm(draft, incident, now))


def event_of(body: bytes, neighbour: str, now: datetime) -> Event:
    """The record of another hotline as an event of ours; `neighbour` is whose secret signed it. Raises Refused 400, 409."""
    try:
        record = msgspec.json.decode(body, type=MatterRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Refused("bad_record", 400) from None
    part, ours = record.incident_component, record.ours
    if ours is not None and ours.to == neighbour:  # what we sent to them: a wrong address, or somebody who plays it back to us
        raise Refused("not_for_us", 409)
    call = record.call_component[0] if record.call_component else CallPart()
    severity = ours.severity if ours is not None else ""
    if severity not in tuple(Severity):
        severity = next((one.value for one in Severity if one.rank == part.incident_common_priority_number), "")
    detail: dict[str, object] = {
        "tracking": part.incident_tracking_identifier,
        "delivery": record.eido_message_identifier,
        "from": neighbour,
        "to": ours.to if ours is not None else "",
        "theirs": part.internal_incident_id,
        "ours": ours.work_order if ours is not None else "",
        "matter": part.incident_type_internal_text,
        "severity": severity,
        "call": part.incident_tracking_identifier,
        "caller_e164": call.caller_number,
        "area": " ".join(one.area for one in record.location_component),
        "name": " ".join(one.name for one in record.person_component),
        "address": " ".join(one.address for one in record.person_component),
        "note": "\n".join(one.note_text for one in record.notes_component),
    }
    return Event(
        kind=Kind.HAND_OVER,
        phase=Phase.STATE,
        line=LINE,
        device=neighbour,
        received_at=now,
        occurred_at=now,
        integrity="verified",
        dedup=f"{neighbour}:{record.eido_message_identifier}",
        detail={key: value for key, value in detail.items() if value},
        raw=body,
    )


def is_hand_over(event: Event) -> bool:
    """Is it a record that a neighbour signed? No device can say so: only our own API does, after it has looked at the signature."""
    return event.kind is Kind.HAND_OVER and event.line == LINE and event.integrity == "verified" and "from" in event.detail


def on_hand_over(draft: Draft, event: Event, now: datetime) -> str:
    """Another hotline gives us a matter: back to the incident that has its tracking id, else to the one of the caller, else a new one."""
    detail = event.detail
    tracking = str(detail.get("tracking") or "")
    if not tracking:
        return "no_tracking"
    matter = msgspec.structs.replace(event, kind=_kind(detail), device=None, phase=Phase.RAISE)
    subject = _told_about(draft, event) or caller_of(draft, event)
    incident = draft.incident_of_alias(f"tracking:{tracking}")
    is_back = incident is not None
    incident = incident or incident_of_call(draft, subject, event)
    given = str(detail.get("severity") or "")
    severity = Severity(given) if given in tuple(Severity) and given != Severity.NONE else KINDS[matter.kind].severity
    severity = Severity.MINOR if severity is Severity.NONE else severity
    theirs = str(detail.get("theirs") or "") or (incident.handed.theirs if incident is not None and incident.handed is not None else "")
    handed = HandOver(delivery=str(detail.get("delivery") or ""), hotline=str(detail["from"]), state="received", at=now, theirs=theirs)
    mine: dict[str, Any] = {"tracking": tracking, "handed": handed}
    if incident is not None and not is_back and incident.tracking is not None:
        mine = {}  # it has an id and a neighbour already, who may give it back or has yet to take it
    if incident is None:
        if detail.get("caller_e164"):
            mine["caller"] = str(detail["caller_e164"])
        incident = open_incident(draft, matter, subject, severity, now, hotline=str(detail.get("to") or detail["from"]), **mine)
        draft.record_event(event, incident.id)
        if orders.machine_orders(draft, incident, "at_once"):
            incident = orders.order_team(draft, incident, now)
        draft.put(incident)
        return "stored"
    if is_back or severity.rank < incident.severity.rank or incident.state is State.RESOLVED:
        is_alarm = is_call(incident) and matter.is_alarm and matter.kind.value == detail.get("matter")
        as_it_is = matter if is_alarm else msgspec.structs.replace(matter, kind=incident.kind)
        incident = second_cry(draft, incident, as_it_is, subject, severity, now)
        incident = orders.order_anew(draft, incident, now)
    else:
        incident = joined(awake(incident), event, now)
    draft.record_event(event, incident.id)
    draft.put(rearm(draft, msgspec.structs.replace(incident, **mine), now))
    return "stored"


def _told_about(draft: Draft, event: Event) -> Subject | None:
    """The one of those who cry just now whom the record names with address, letter for letter: another hotline tells of the same cry."""
    name, address = event.detail.get("name"), event.detail.get("address")
    if not name or not address:
        return None
    found = {
        person.id: person
        for incident in draft.base.open_incidents
        if (person := draft.register.persons.get(incident.person or "")) is not None and (person.name, person.address) == (name, address)
    }
    if len(found) != 1:
        return None
    (person,) = found.values()
    return Subject(f"person:{person.id}", person, (), None, person.area)


def _kind(detail: dict[str, object]) -> Kind:
    """Their word for it if it is one of ours too; else an alarm of unknown type."""
    word = str(detail.get("matter") or "")
    known = Kind(word) if word in tuple(Kind) else Kind.GENERAL
    return known if known in ALARM_KINDS or KINDS[known].group is Group.TELEPHONE else Kind.GENERAL
