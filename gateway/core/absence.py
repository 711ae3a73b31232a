"""Absences: somebody is with a daughter or in hospital, and no sign of life is expected. Announced and cancelled by people, on record."""

from datetime import datetime, timedelta

import msgspec

from gateway.core.missed import ABSENCE, end, missed_of
from gateway.core.state import Draft, Record
from gateway.core.watched import Absence, Watched, Watching
from gateway.errors import Refused
from gateway.event import Kind, Phase

LONGEST = timedelta(days=366)  # beyond it somebody mistyped the year; an absence without an end has none
NOTE_LIMIT = 500  # characters of name and note together; a sentence or two
BY = ("operator", "family")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Announce an absence, or (over) cancel it. until: aware UTC, None = until cancelled; key: the idempotency key."""

    person: str
    actor: str
    over: bool = False
    until: datetime | None = None
    by: str = "operator"
    name: str = ""
    note: str = ""
    key: str | None = None


def on_wish(draft: Draft, wish: Wish, now: datetime) -> Watched:
    """Do it. Raises Refused: unknown_person, not_watched, bad_until, bad_by, note_too_long, not_absent.

    One that is announced again is changed. What was missed already is over by it, as somebody knows where the person is.
    """
    if wish.person not in draft.register.persons:
        raise Refused("unknown_person", 404)
    one = draft.watch.by_person.get(wish.person)
    if one is None:
        raise Refused("not_watched", 409)
    identity = f"command|{wish.key}" if wish.key else None
    if identity is not None and draft.is_known(identity):
        return one
    state = draft.watching_of(one)
    if wish.over:
        if state.absence is None:
            raise Refused("not_absent", 409)
        is_over(draft, one, state, now, reason="cancelled", actor=wish.actor, identity=identity)
    else:
        _announce(draft, one, state, wish, identity, now)
    if identity is not None:
        draft.known[identity] = None
    return one


def is_over(
    draft: Draft, one: Watched, state: Watching, now: datetime, *, reason: str, actor: str | None = None, identity: str | None = None
) -> None:
    """The absence has ended, or is cancelled: a full interval begins."""
    after = msgspec.structs.replace(state, since=now, counted_s=0.0, absence=None)
    draft.keep_watching(one, after, now, is_changed=True)
    draft.due[one.name] = one.due(after)
    _record(draft, Kind.ABSENCE_OVER, one, now, actor, identity, {"reason": reason})


def _announce(draft: Draft, one: Watched, state: Watching, wish: Wish, identity: str | None, now: datetime) -> None:
    if wish.until is not None and not now < wish.until <= now + LONGEST:
        raise Refused("bad_until", 400, most_days=LONGEST.days)
    if wish.by not in BY:
        raise Refused("bad_by", 400, allowed=BY)
    if len(wish.name) + len(wish.note) > NOTE_LIMIT:
        raise Refused("note_too_long", 400, limit=NOTE_LIMIT)
    since = state.absence.since if state.absence is not None else now
    absence = Absence(since=since, until=wish.until, by=wish.by, actor=wish.actor, name=wish.name, note=wish.note)
    after = msgspec.structs.replace(state, since=now, absence=absence)
    draft.keep_watching(one, after, now, is_changed=True)
    draft.due[one.name] = one.due(after)
    facts = {"until": wish.until, "by": wish.by, "name": wish.name, "note": wish.note}
    _record(draft, Kind.ABSENCE, one, now, wish.actor, identity, {name: value for name, value in facts.items() if value})
    incident = missed_of(draft, one)
    if incident is not None:
        end(draft, incident, now, ABSENCE, announced_by=wish.by)


def _record(draft: Draft, kind: Kind, one: Watched, now: datetime, actor: str | None, identity: str | None, facts: dict[str, object]) -> None:
    encoded = msgspec.json.encode(facts)
    draft.records.append(Record(kind=kind, phase=Phase.STATE, at=now, facts=encoded, person=one.person.id, actor=actor, dedup=identity))
