"""Matters that other platforms and apps file with us (domain 1.2, 1.3): the record as it comes, whom it is about, how it joins.

A filed alarm is an alarm like any other: it opens an incident or is a cry in the one of its person. Its platform's own id for it is an alias
of the incident, so that what comes later under that id finds it, and several platforms that tell of one cry end in one incident.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from gateway.coordinates import Datum, Place
from gateway.core.correlation import Subject, caller_of, joinable
from gateway.core.incident import Incident, LegState, Source, State
from gateway.core.register import Device, Register
from gateway.core.requests import request_event
from gateway.core.sources import SOURCES
from gateway.core.standing import MATTERS, Ruling, plain
from gateway.core.state import Draft
from gateway.core.territory import Standing
from gateway.errors import Refused
from gateway.event import ALARM_KINDS, Event, Kind, Phase, Position, Severity

LINE = "platforms"  # under which they are booked
PERSON = "platform_person"  # the matter of rulings "platform_person:<platform>:<their id>" = our id
NOTE_LIMIT = 2000
PERSONS_LIMIT = 250_000  # standings in all: a district's persons on several platforms
EARLIER = timedelta(days=1)  # what is told of an older time is taken for its clock being wrong
AHEAD = timedelta(minutes=5)  # as of devices (event model)

ID = r"^[A-Za-z0-9._-]{1,100}$(?!\n)"  # safe in a path as it stands, and without the colon that parts it from the platform
Id = Annotated[str, msgspec.Meta(pattern=ID)]
Short = Annotated[str, msgspec.Meta(max_length=200)]
Degrees = Annotated[float, msgspec.Meta(ge=-180, le=180)]


class Who(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom it is about; the first of these that leads to somebody counts.

    register  our id; external: their id, told before (PUT …/persons/…); device: address, with its `line` if several lines have such an address
    phone     E.164; phone_hmac: HMAC-SHA-256 of it with the shared secret, hex, from who may not pass numbers on
    """

    register: Short = ""
    external: Short = ""
    device: Short = ""
    line: Short = ""
    phone: Annotated[str, msgspec.Meta(pattern=r"^(\+[1-9][0-9]{6,14})?$(?!\n)")] = ""
    phone_hmac: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$(?!\n)")] = ""


class Where(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place: degrees in `datum`."""

    lat: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    lon: Degrees
    accuracy_m: Annotated[float, msgspec.Meta(ge=0, le=100_000)] | None = None
    datum: Datum = Datum.WGS84


class Filing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a platform posts. id: theirs, the same for everything about one matter; again: the person cries once more, it sounds again."""

    id: Id
    kind: str
    person: Who = Who()
    at: datetime | None = None
    place: Where | None = None
    area: Short = ""
    note: Annotated[str, msgspec.Meta(max_length=NOTE_LIMIT)] = ""
    severity: str = ""
    again: bool = False
    service: Short = ""
    wanted_at: datetime | None = None


Phones = Callable[[str], str | None]
"""The number whose HMAC this is, if it is anybody's."""


def read_filing(body: bytes) -> Filing:
    """The record of a request's body. Raises Refused 400: bad_record with what is wrong, in words without its content."""
    try:
        return msgspec.json.decode(body, type=Filing)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("bad_record", 400, what=_fault(error)) from None


def _fault(error: Exception) -> str:
    """Where it is wrong; never a value, which may be somebody's number."""
    text = str(error)
    return text if isinstance(error, msgspec.ValidationError) and "Invalid value" not in text else "no JSON of the form in docs/guide/upward.md"


def event_of(
    filing: Filing, body: bytes, platform: str, register: Register, standings: Mapping[str, Standing], phones: Phones, now: datetime
) -> Event:
    """The filing as an event of ours. Raises Refused 400: unknown_kind, bad_time, bad_severity."""
    person, device, phone = _who(filing.person, platform, register, standings, phones)
    if filing.kind == Kind.SERVICE_REQUEST:
        if any(at is not None and at.tzinfo is None for at in (filing.at, filing.wanted_at)):
            raise Refused("bad_time", 400)
        if not person and phone:
            several = register.persons_with_phone(phone)
            person = several[0].id if len(several) == 1 else ""
        event = request_event(
            person=person, service=filing.service, by=platform, now=now, wanted_at=filing.wanted_at, wish=filing.note,
            identity=f"{platform}:{filing.id}", platform=platform, external=filing.id,
        )  # fmt: skip
        return msgspec.structs.replace(event, raw=body, integrity="verified")
    if filing.kind not in tuple(Kind) or Kind(filing.kind) not in ALARM_KINDS:
        raise Refused("unknown_kind", 400)
    if filing.severity and filing.severity not in (Severity.CRITICAL, Severity.MAJOR, Severity.MINOR):
        raise Refused("bad_severity", 400)
    occurred_at, time_source, time_reason = _time(filing.at, now)
    detail: dict[str, object] = {
        "platform": platform,
        "external": filing.id,
        "person": person,
        "device": device.id if device is not None else filing.person.device,
        "home": device.home if device is not None else None,
        "caller_e164": "" if person else phone,
        "area": filing.area or (device.area if device is not None else ""),
        "note": filing.note,
        "again": filing.again,
    }
    return Event(
        kind=Kind(filing.kind),
        line=LINE,
        received_at=now,
        occurred_at=occurred_at,
        time_source=time_source,
        time_reason=time_reason,
        integrity="verified",
        dedup=f"{platform}:{filing.id}:{hashlib.sha256(body).hexdigest()[:16]}",
        severity=Severity(filing.severity) if filing.severity and filing.kind == Kind.GENERAL else None,
        position=_position(filing.place, occurred_at),
        detail={name: value for name, value in detail.items() if value},
        raw=body,
    )


def _who(who: Who, platform: str, register: Register, standings: Mapping[str, Standing], phones: Phones) -> tuple[str, Device | None, str]:
    """(our id of the person, their device, a number), as far as they are known."""
    if who.register in register.persons:
        return who.register, None, ""
    known = standings.get(f"{PERSON}:{platform}:{who.external}") if who.external else None
    if known is not None and known.value in register.persons:
        return known.value, None, ""
    lines = (who.line,) if who.line else register.lines_of(who.device)
    device = register.device(lines[0] if len(lines) == 1 else "", who.device) if who.device else None
    if device is not None and device.person in register.persons:
        return str(device.person), device, ""
    phone = who.phone or (phones(who.phone_hmac) or "" if who.phone_hmac else "")
    return "", device, phone


def _time(at: datetime | None, now: datetime) -> tuple[datetime, str, str | None]:
    """When it happened, whose clock says so, and why that is not believed."""
    if at is None:
        return now, "received", None
    if at.tzinfo is None:
        raise Refused("bad_time", 400)
    if not now - EARLIER <= at <= now + AHEAD:
        return now, "received", "implausible"
    return min(at.astimezone(UTC), now), "device", None


def _position(place: Where | None, at: datetime) -> Position | None:
    if place is None:
        return None
    true = Place(place.lat, place.lon, place.datum).into(Datum.WGS84)
    return Position(lat=true.lat, lon=true.lon, source="reported", accuracy_m=place.accuracy_m, fixed_at=at, datum=place.datum.value)


# --- in the core -----------------------------------------------------------------------------------------------------

Cry = Callable[[Draft, Event, Subject, Incident | None, datetime], None]


def is_filed(event: Event) -> bool:
    """Was it filed by a platform that signed it? No device can say so: only our own API does, and no line can have this name."""
    return event.line == LINE and event.integrity == "verified" and "platform" in event.detail


def on_filed(draft: Draft, event: Event, now: datetime, cry: Cry) -> str:
    """An alarm that a platform files: into the incident that has its id, else into the open one of its person, else a new one."""
    name = f"{event.detail['platform']}:{event.detail['external']}"
    subject = _subject(draft, event, name)
    if subject.person is not None:
        event = msgspec.structs.replace(event, person=subject.person.id)
    incident = draft.incident_of_alias(f"external:{name}")
    if incident is not None and not event.detail.get("again"):
        event = msgspec.structs.replace(event, phase=Phase.REPEAT)  # more about what we know; a worse kind sounds all the same
    if incident is None or not incident.is_open:
        incident = joinable(draft, subject, event)
    before = len(draft.records)
    cry(draft, event, subject, incident, now)
    mine = next((record.incident for record in draft.records[before:] if record.line == LINE and record.incident is not None), None)
    found = draft.incidents.get(mine) if mine is not None else None
    if found is not None:
        draft.put(known_as(found, str(event.detail["platform"]), str(event.detail["external"]), now))
    return "stored"


def known_as(incident: Incident, platform: str, external: str, at: datetime) -> Incident:
    """The incident with this platform among its sources, and its id for it among the aliases."""
    name = f"{platform}:{external}"
    sources = incident.sources
    if not any((one.way, one.of, one.ref) == ("platform", platform, external) for one in sources):
        sources = (*sources, Source(way="platform", of=platform, ref=external, at=at))[:SOURCES]
    externals = incident.externals if name in incident.externals else (*incident.externals, name)[-SOURCES:]
    return msgspec.structs.replace(incident, sources=sources, externals=externals)


def _subject(draft: Draft, event: Event, name: str) -> Subject:
    detail = event.detail
    person = draft.register.persons.get(str(detail.get("person") or ""))
    if person is not None:
        return Subject(f"person:{person.id}", person, (), None, person.area)
    area = str(detail.get("area") or "")
    area_known = area if area in draft.register.areas else None
    if detail.get("home"):
        return Subject(f"home:{detail['home']}", None, (), None, area_known)
    if detail.get("caller_e164"):
        subject = caller_of(draft, event)
        return subject if subject.area else msgspec.structs.replace(subject, area=area_known)
    return Subject(f"platform:{name}", None, (), None, area_known)


def _on_person(draft: Draft, ruling: Ruling, before: Standing | None, now: datetime) -> Standing:
    """A platform says which of our persons one of its own is. Raises Refused: unknown_person, too_many."""
    if ruling.value and ruling.value not in draft.register.persons:
        raise Refused("unknown_person", 404)
    if before is None and len(draft.base.standings) >= PERSONS_LIMIT:
        raise Refused("too_many", 503, limit=PERSONS_LIMIT)
    return plain(ruling, now)


MATTERS[PERSON] = _on_person

STATUS = {
    LegState.DONE: "served",
    LegState.ARRIVED: "on_site",
    LegState.EN_ROUTE: "on_the_way",
    LegState.ACCEPTED: "agreed",
    LegState.SENT: "ordered",
    LegState.QUEUED: "ordered",
}


def status_of(incident: Incident) -> str:
    """Where it stands, in the words that a portal shows: received, in_hand, ordered, agreed, on_the_way, on_site, served, resolved, closed."""
    if incident.state in (State.RESOLVED, State.CLOSED):
        return incident.state.value
    leg = incident.leading_leg
    known = STATUS.get(leg.state) if leg is not None else None
    return known or ("in_hand" if incident.state is State.ACKNOWLEDGED else "received")
