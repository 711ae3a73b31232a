"""What a report says, by kind of destination: one function each, from a journal entry and its incident to a body, or None for "not theirs".

Least data (domain 4.5): no name, number, address, health note, free text or name of an operator ever leaves. A person is a pseudonym that
only this gateway can lead back, another one for each counterpart, so that two of them cannot put their data together.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.clock import from_micros
from gateway.config.upward import CounterpartConfig, SubscriberConfig
from gateway.core.incident import Incident, Role
from gateway.event import KINDS, Group, Kind
from gateway.store.reports import Entry

Json = dict[str, Any]

WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")  # of our closed lists; anything else may be what somebody typed
SAYS = ("outcome", "satisfaction", "complaint", "step", "repeat", "result", "service", "waived")
# Written by people in their own words, or of no meaning outside this house: who looked at what, who rang whom, ticks on a list.
INSIDE = frozenset(
    kind.value
    for kind in (
        *(Kind.NOTE, Kind.STEP, Kind.RECORD, Kind.VIEWED, Kind.REVEAL, Kind.DUTY),
        *(Kind.DIAL, Kind.HANG_UP, Kind.TRANSFER, Kind.ANSWER, Kind.ABSENCE, Kind.ABSENCE_OVER),
    )
)
OF_THE_HOUSE = frozenset(kind.value for kind in (Kind.STARTED, Kind.CLOCK_STEP, Kind.GAP, Kind.AUDIT, Kind.PURGED, Kind.RULING))
PRIVATE = (Role.NEIGHBOUR, Role.DOCTOR)  # responders that are persons: said is only which kind of help it was

# The status of a request as its portal shows it, by what just happened.
STATUS = {
    Kind.ACKNOWLEDGE.value: "in_hand",
    Kind.ASSIGN.value: "in_hand",
    Kind.RELEASE.value: "received",
    Kind.DISPATCH.value: "ordered",
    Kind.ACCEPT.value: "agreed",
    Kind.EN_ROUTE.value: "on_the_way",
    Kind.ARRIVED.value: "on_site",
    Kind.DONE.value: "served",
    Kind.HOLD.value: "on_hold",
    Kind.RESUME.value: "in_hand",
    Kind.RESOLVE.value: "resolved",
    Kind.CALL_BACK.value: "called_back",
    Kind.WAIVE.value: "waived",
    Kind.COMPLAIN.value: "complaint",
    Kind.HANDLE.value: "complaint_handled",
    Kind.MERGE.value: "merged",
    Kind.HAND_OVER.value: "handed_over",
}


class Adapter(msgspec.Struct, frozen=True):
    """body: what is told of an entry; once: of several entries of one incident in a page only the newest is told, as each tells everything."""

    body: Callable[[Entry, Incident | None], Json | None]
    once: bool = False


def adapter_of(config: CounterpartConfig | SubscriberConfig, key: bytes) -> Adapter:
    """The adapter of one destination. `key` makes pseudonyms and never leaves the house."""
    if isinstance(config, SubscriberConfig):
        return Adapter(lambda entry, incident: _change(entry, incident, config))
    if config.kind == "management":
        return Adapter(lambda entry, incident: _record(entry, incident, config.name, key), once=True)
    if config.kind == "portal":
        return Adapter(lambda entry, incident: _status(entry, incident, config.name))
    return Adapter(lambda entry, incident: event_body(entry, incident))


def event_body(entry: Entry, incident: Incident | None) -> Json | None:
    """For supervision: the event or key node itself."""
    if entry.kind in INSIDE or (incident is None and entry.kind not in OF_THE_HOUSE):
        return None
    return {"kind": entry.kind, "phase": entry.phase, "by": _by(entry), **_matter(incident), **_said(entry)}


def _record(entry: Entry, incident: Incident | None, name: str, key: bytes) -> Json | None:
    """For the management system: the whole record as it stands now. A later `version` is the one that counts."""
    if incident is None or entry.kind in INSIDE:
        return None
    return _filled(
        {
            "incident": incident.id,
            "version": incident.version,
            "kind": incident.kind,
            "severity": incident.severity,
            "state": incident.state,
            "area": incident.area,
            "person": pseudonym(key, name, incident.person),
            "service": incident.service,
            "wanted_at": incident.wanted_at,
            "opened_at": incident.opened_at,
            "acknowledged_at": incident.acknowledged_at,
            "resolved_at": incident.resolved_at,
            "closed_at": incident.closed_at,
            "outcome": incident.outcome,
            "satisfaction": incident.satisfaction,
            "flags": incident.flags,
            "cries": incident.cries,
            "merged_into": incident.merged_into,
            "tracking": incident.tracking,
            "sources": [{"way": one.way, "of": one.of} for one in incident.sources],
            "stages": [_filled({"name": one.name, "at": one.at, "due": one.due}) for one in incident.stages],
            "orders": [
                _filled(
                    {
                        "responder": None if leg.role in PRIVATE else leg.responder,
                        "role": leg.role,
                        "state": leg.state,
                        "ordered_at": leg.ordered_at,
                        "answered_at": leg.answered_at,
                        "arrived_at": leg.arrived_at,
                        "travel_min": leg.travel_min,
                    }
                )
                for leg in incident.legs
            ],
        }
    )


def _status(entry: Entry, incident: Incident | None, name: str) -> Json | None:
    """For the portal: what became of a request, and of whatever was filed through a platform of the same name."""
    if incident is None:
        return None
    mine = externals_of(incident, name)
    if incident.kind is not Kind.SERVICE_REQUEST and not mine:
        return None
    is_cry = entry.kind in tuple(Kind) and KINDS[Kind(entry.kind)].group in (Group.SERVICE, Group.PERSON, Group.ENVIRONMENT)
    status = "received" if is_cry else STATUS.get(entry.kind)
    if status is None:
        return None
    wanted = {"service": incident.service, "wanted_at": incident.wanted_at, "externals": mine, "area": incident.area}
    return _filled({"incident": incident.id, "kind": incident.kind, "status": status, **wanted, **_said(entry)})


def _change(entry: Entry, incident: Incident | None, config: SubscriberConfig) -> Json | None:
    """For a subscriber: that something changed, and where the incident stands."""
    if incident is None or entry.kind in INSIDE or (config.kinds and entry.kind not in config.kinds):
        return None
    mine = externals_of(incident, config.platform) if config.platform else []
    if config.platform and not mine:
        return None
    state = {"state": incident.state, "version": incident.version, "outcome": incident.outcome, "externals": mine}
    return {"kind": entry.kind, "phase": entry.phase, "by": _by(entry), **_matter(incident), **_filled(state), **_said(entry)}


def pseudonym(key: bytes, name: str, person: str | None) -> str | None:
    """The same person for the same counterpart, always; nothing can be worked out from it without the key."""
    return None if person is None else hmac.digest(key, f"{name}|{person}".encode(), hashlib.sha256).hex()[:32]


def externals_of(incident: Incident, platform: str) -> list[str]:
    """The ids that this platform has given the incident."""
    return [name.partition(":")[2] for name in incident.externals if name.partition(":")[0] == platform]


def _matter(incident: Incident | None) -> Json:
    if incident is None:
        return {}
    return _filled({"incident": incident.id, "matter": incident.kind, "severity": incident.severity, "area": incident.area})


def _by(entry: Entry) -> str:
    """Who did it, as far as it concerns anybody outside."""
    if entry.actor is not None:
        return "gateway" if entry.actor == "gateway" else "person"
    return "gateway" if entry.phase == "state" else "field"


def _said(entry: Entry) -> Json:
    """What the entry says, in words of our closed lists only. A reason counts when the machine gave it."""
    try:
        facts = msgspec.json.decode(entry.facts, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return {}
    if entry.kind == Kind.RULING:
        matter = str(facts.get("key", "")).partition(":")[0]
        return {name: value for name, value in (("ruled", matter), ("value", facts.get("value"))) if _is_plain(value)}
    names = SAYS if entry.actor is not None else (*SAYS, "reason")
    return {name: facts[name] for name in names if _is_plain(facts.get(name))}


def _is_plain(value: object) -> bool:
    return isinstance(value, (bool, int)) or (isinstance(value, str) and WORD.fullmatch(value) is not None)


def _filled(body: Json) -> Json:
    return {name: value for name, value in body.items() if value not in (None, "", [], ())}


def line_of(number: int, day: str, entry: Entry, body: Json, shard: int | None = None) -> bytes:
    """One report as it leaves: a line of JSON without the line's end. shard: of several, whose number and whose journal's entry it is."""
    whose = {} if shard is None else {"shard": shard}
    return msgspec.json.encode({**whose, "number": number, "event": entry.seq, "at": from_micros(entry.at), "day": day, **body})
