"""Which incident an event belongs to, and where its person is: joining keys and positions, best first."""

from datetime import datetime, timedelta

import msgspec

from gateway.core.register import Device, Person
from gateway.core.state import Draft
from gateway.event import KINDS, Event, Group, Position


class Subject(msgspec.Struct, frozen=True):
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
        return Subject(f"line:{event.line}")
    if group is Group.TELEPHONE:
        return _caller(draft, event)
    device = draft.register.device(event.line, event.device)
    person = draft.register.persons.get(device.person) if device and device.person else None
    area = person.area if person and person.area else device.area if device else None
    if group is Group.DEVICE:
        return Subject(f"technical:{event.line}:{event.device}", person, (), device, area)
    if person is not None:
        return Subject(f"person:{person.id}", person, (), device, area)
    if device is not None and device.home:
        return Subject(f"home:{device.home}", None, (), device, area)
    return Subject(f"device:{event.line}:{event.device}", None, (), device, area)


def _caller(draft: Draft, event: Event) -> Subject:
    number = event.detail.get("caller_e164")
    persons = draft.register.persons_with_phone(number if isinstance(number, str) else None)
    if len(persons) == 1:
        return Subject(f"person:{persons[0].id}", persons[0], (), None, persons[0].area)
    caller = number or event.detail.get("caller")
    key = f"caller:{caller}" if caller else f"call:{event.line}:{event.detail.get('call')}"
    return Subject(key, None, tuple(person.id for person in persons), None, persons[0].area if persons else None)


def position_of(draft: Draft, subject: Subject, event: Event | None, now: datetime) -> Position | None:
    """The best position: a fresh fix, else where the device is fixed, else the home, else the middle of the area."""
    fresh = now - timedelta(seconds=draft.policy.position_fresh_s)
    if event is not None and event.position is not None and (event.position.fixed_at or now) >= fresh:
        return event.position
    if subject.person is not None:
        seen = draft.last_seen(f"person:{subject.person.id}")
        if seen is not None and seen.position is not None and (seen.position.fixed_at or seen.at) >= fresh:
            return seen.position
    for place, source in ((subject.device, "device"), (subject.person, "home")):
        if place is not None and place.lat is not None and place.lon is not None:
            return Position(lat=place.lat, lon=place.lon, source=source)
    middle = draft.register.area_position(subject.area)
    return Position(lat=middle[0], lon=middle[1], source="area") if middle else None
