"""Which incident an event belongs to, and where its person is: joining keys and positions, best first."""

import re
from datetime import datetime, timedelta

import msgspec

from gateway.config import CallsConfig
from gateway.core.incident import Flag, Hint, Incident, State
from gateway.core.register import Device, Person, Register
from gateway.core.state import Draft
from gateway.core.visiting import whereabouts
from gateway.event import KINDS, Event, Group, Kind, Position

# What exchanges write in place of a number that they do not know or may not tell (sip-call-state, section 5).
NOBODY = frozenset(("anonymous", "unavailable", "unknown", "restricted", "private", "withheld", "asterisk", "s"))
# Of so many people under one number a cry of one explains the call: a couple with their parents. A home's switchboard has more.
HOUSEHOLD = 4
LAST_KNOWN = timedelta(days=3)  # so old a fix of the very device that cries still says that its person is in another district
HINTS = 8  # names that fit on the card
MAX_VOICE = 64  # characters of a SIP user or number
SCHEME = re.compile(r"^(?:sips?|tel):", re.IGNORECASE)
SEPARATORS = str.maketrans("", "", "-.() ")
PREFIXED = re.compile(r"(\+86|0086|86)?(\d{3,16})")
DIALLED = re.compile(r"(?:\+86|0086)?(1[3-9]\d{9})|(?:0|\+86|0086)((?:10|2\d|[3-9]\d\d)[2-8]\d{6,7})")


class Subject(msgspec.Struct, frozen=True, gc=False):
    """Whom an event is about. `key` joins events (event model, "Joining"): person, else home, else device, else caller."""

    key: str
    person: Person | None = None
    candidates: tuple[str, ...] = ()
    device: Device | None = None
    area: str | None = None


def subject_of(draft: Draft, event: Event) -> Subject:
    """The subject of any event; an unknown device or caller is a legal subject."""
    group = KINDS[event.kind].group
    if group is Group.LINE:
        area = event.detail.get("area")  # of our own books: where nobody hears
        return Subject(f"line:{event.line}", area=area if isinstance(area, str) and area in draft.register.areas else None)
    if group is Group.TELEPHONE:
        return caller_of(draft, event)
    device = device_of(draft.register, event)
    person = draft.register.persons.get(device.person) if device and device.person else None
    area = person.area if person and person.area else device.area if device else None
    if group is Group.DEVICE:
        path = draft.supervision.led_by(device) if event.kind in (Kind.OFFLINE, Kind.ONLINE) else None
        if path is not None:
            return Subject(path.key, person, (), device, area)  # a gateway that is gone takes with it all that speak through it
        own = device.id if device is not None else event.device  # a registered zone of a panel has troubles of its own
        return Subject(f"technical:{event.line}:{own}", person, (), device, area)
    if person is not None:
        return Subject(f"person:{person.id}", person, (), device, area)
    if device is not None and device.home:
        return Subject(f"home:{device.home}", None, (), device, area)
    return Subject(f"device:{event.line}:{event.device}", None, (), device, area)


def zone_of(event: Event) -> str:
    """The zone of a panel, as its codec has it; "" for none."""
    zone = event.detail.get("zone")
    return zone if isinstance(zone, str) else ""


def device_of(register: Register, event: Event) -> Device | None:
    """The registered device that speaks: the zone of a panel where that is registered (also without its zeros), else the panel's account."""
    zone = zone_of(event)
    if zone and event.device is not None:
        for name in (zone, zone.lstrip("0") or "0"):
            found = register.device(event.line, f"{event.device}:{name}")
            if found is not None:
                return found
    return register.device(event.line, event.device)


def caller_of(draft: Draft, event: Event) -> Subject:
    """Whoever has this number, or the device that calls from it: one person, a home, several candidates, or an unknown caller."""
    names = caller_names(draft.call_rules, event)
    persons, devices = _known_under(draft.register, names)
    if len(persons) == 1:
        (person,) = persons.values()
        return Subject(f"person:{person.id}", person, (), None, person.area)
    if not persons and len({device.home for device in devices}) == 1 and devices[0].home:
        return Subject(f"home:{devices[0].home}", None, (), devices[0], devices[0].area)
    key = f"caller:{names[0]}" if names else f"call:{event.line}:{event.detail.get('call')}"
    candidates = tuple(sorted(persons))
    return Subject(key, None, candidates, None, persons[candidates[0]].area if candidates else None)


def callers_of(register: Register, rules: CallsConfig, event: Event) -> tuple[dict[str, Person], list[Device]]:
    """Everybody under whose number a call comes, by id, and the devices that call from it."""
    return _known_under(register, caller_names(rules, event))


def _known_under(register: Register, names: tuple[str, ...]) -> tuple[dict[str, Person], list[Device]]:
    persons = {person.id: person for name in names for person in register.persons_with_phone(name)}
    devices = [device for name in names for device in register.devices_with_phone(name)]
    persons |= {one.person: register.persons[one.person] for one in devices if one.person in register.persons}
    return persons, devices


def caller_names(rules: CallsConfig, event: Event) -> tuple[str, ...]:
    """Under what the caller may be known: E.164 first, then as the exchange has it. Nothing for the anonymous, nor for a call that another
    hotline passes on under its own number: those are many people."""
    e164, raw = event.detail.get("caller_e164"), event.detail.get("caller")
    names = [name for name in (e164, raw) if isinstance(name, str) and name and name.strip("<>").lower() not in NOBODY]
    return () if any(_is_hotline(name, rules) for name in names) else tuple(dict.fromkeys(names))


def _is_hotline(name: str, rules: CallsConfig) -> bool:
    """One of our hotlines, also with country code (+86, 86, 0086) or area code before it?"""
    found = PREFIXED.fullmatch(name.translate(SEPARATORS))
    if found is None or name in rules.hotlines:
        return found is not None
    country, number = found.groups()
    area = rules.area_code if not country else rules.area_code.removeprefix("0")
    return number in rules.hotlines or (bool(area) and number.startswith(area) and number.removeprefix(area) in rules.hotlines)


def voices_of(subject: Subject, event: Event) -> tuple[str, ...]:
    """From which numbers and SIP users the device of this alarm will call: its registered number, and what the alarm itself says."""
    said = [event.detail.get(name) for name in ("voice", "crd", "cid")] if event.detail.get("voice") or event.detail.get("crd") else []
    names = [subject.device.phone] if subject.device is not None and subject.device.phone else []
    for text in [*said, event.device if said else None]:
        if isinstance(text, str) and text:
            names += forms_of(text)
    return tuple(dict.fromkeys(names))


def forms_of(text: str) -> list[str]:
    """The user part of an address, and its E.164 form where it is plainly a Chinese subscriber's number as dialled."""
    user = re.split("[@;:]", SCHEME.sub("", text.strip()), maxsplit=1)[0][:MAX_VOICE]
    if not user or user.lower() in NOBODY:
        return []
    digits = user.translate(SEPARATORS)
    found = DIALLED.fullmatch(digits)
    return [f"+86{found[1] or found[2]}", user] if found else [digits if digits.removeprefix("+").isdigit() else user]


def apart_key(line: str, address: str | None) -> str:
    """The key of an incident that a device was given of its own (gateway.core.parting): its cries join that one, whoever it is registered for."""
    return f"apart:{line}|{address}"


def joinable(draft: Draft, subject: Subject, event: Event) -> Incident | None:
    """The open incident of this device alone, else of this subject; a resolved one only for ten minutes after its last event."""
    incident = draft.incident_of_key(apart_key(event.line, event.device)) if event.is_alarm else None
    incident = incident or draft.incident_of_key(subject.key)
    if incident is None or not incident.is_open:
        return None
    if incident.state is State.RESOLVED and event.received_at - incident.last_event_at > timedelta(seconds=draft.policy.join_after_resolved_s):
        return None
    return incident


def incident_of_call(draft: Draft, subject: Subject, event: Event) -> Incident | None:
    """The open incident that a call belongs to: of the caller; else one that this number called about; else of the one among several whose
    device has just cried."""
    incident = joinable(draft, subject, event)
    if incident is None:
        incident = _newly(draft, draft.incident_of_alias(*caller_names(draft.call_rules, event)), event)
        if incident is not None and incident.person is not None and _speaks_for_many(draft, subject, event):
            incident = None  # this time it may be about another one
    if incident is None and 0 < len(subject.candidates) <= HOUSEHOLD:
        found = (_newly(draft, draft.incident_of_key(f"person:{person}"), event) for person in subject.candidates)
        alarms = [one for one in found if one is not None and KINDS[one.kind].group in (Group.PERSON, Group.ENVIRONMENT)]
        incident = alarms[0] if len(alarms) == 1 else None
    return incident


def _speaks_for_many(draft: Draft, subject: Subject, event: Event) -> bool:
    """Does this number call about several people who do not live together: a home's switchboard, a carer who is the contact of several?"""
    people = {person.id for name in caller_names(draft.call_rules, event) for person in draft.register.persons_with_contact(name)}
    return len(subject.candidates) > HOUSEHOLD or (subject.person is None and len(people) > 1)


def call_about(draft: Draft, subject: Subject, event: Event) -> Incident | None:
    """The call, not yet anybody's, that this alarm explains: from the device's own number, or from one that its person shares with others."""
    names = voices_of(subject, event)
    if subject.person is not None:
        names = (*names, *subject.person.phones)
    incident = _newly(draft, draft.incident_of_alias(*names), event)
    if incident is None or incident.person is not None or KINDS[incident.kind].group is not Group.TELEPHONE:
        return None
    mine = subject.person is not None and subject.person.id in incident.candidates
    return incident if not incident.candidates or (mine and len(incident.candidates) <= HOUSEHOLD) else None


def _newly(draft: Draft, incident: Incident | None, event: Event) -> Incident | None:
    """An incident in which something happened within `calls.join_s`, or that waits for a call back."""
    if incident is None or not incident.is_open:
        return None
    is_new = abs(event.received_at - incident.last_event_at) <= timedelta(seconds=draft.call_rules.join_s)
    return incident if is_new or Flag.CALL_DUE in incident.flags else None


def hints_of(draft: Draft, subject: Subject, event: Event) -> tuple[Hint, ...]:
    """Whom a caller that is nobody's, or several people's, may be calling about. Shown, never matched."""
    if subject.person is not None:
        return ()
    register = draft.register
    hints = [Hint("contact", person.id) for name in caller_names(draft.call_rules, event) for person in register.persons_with_contact(name)]
    redirecting = event.detail.get("redirecting")
    for name in forms_of(redirecting) if isinstance(redirecting, str) else ():
        hints += [Hint("redirecting", person.id) for person in register.persons_with_phone(name)]
    return tuple(dict.fromkeys(hints))[:HINTS]


def position_of(draft: Draft, subject: Subject, event: Event | None, now: datetime) -> Position | None:
    """The best position: a fresh fix, else where the device is fixed, else the home, else the middle of the area."""
    fresh = now - timedelta(seconds=draft.policy.position_fresh_s)
    if event is not None and event.position is not None and (event.position.fixed_at or now) >= fresh:
        return event.position
    if subject.person is not None:
        seen = draft.last_seen(f"person:{subject.person.id}")
        if seen is not None and seen.position is not None and (seen.position.fixed_at or seen.at) >= fresh:
            return seen.position
    if event is not None and subject.person is not None and (subject.device is None or subject.device.lat is None):
        own = draft.last_seen(f"{event.line}|{event.device}")
        away = own.position if own is not None else None
        is_known = own is not None and away is not None and (away.fixed_at or own.at) >= now - LAST_KNOWN
        if is_known and whereabouts(draft.register, subject.person, away, draft.base.visiting_km) is not None:
            return away  # who was in another city yesterday is rather there than at home
    for place, source in ((subject.device, "device"), (subject.person, "home")):
        if place is not None and place.lat is not None and place.lon is not None:
            return Position(lat=place.lat, lon=place.lon, source=source)
    middle = draft.register.area_position(subject.area)
    return Position(lat=middle[0], lon=middle[1], source="area") if middle else None
