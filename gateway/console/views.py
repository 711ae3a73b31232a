"""Incident, call, line → what one reader may see of it, as plain JSON values. Pure: masking happens here, so the page never holds the rest.

A row of the list is the same for everybody and always masked. Detail opens a person's record to the owner of the open incident alone.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Protocol

from gateway.config.plans import PlanConfig
from gateway.console.beside_views import beside_view, parts_view
from gateway.console.seam import JournalRow, LineStatus
from gateway.core.calls import call_backs
from gateway.core.incident import HandOver, Incident, Leg, Role, State
from gateway.core.plans import steps_of
from gateway.core.register import Ability, AreaKind, Device, Person, Register
from gateway.core.routing import CHINA, Decision
from gateway.core.stages import AGREE, CALL_BACK, HAND_OVER, HANDLE, SERVE
from gateway.core.state import Call
from gateway.event import KINDS, Group, Kind, Position, Severity
from gateway.log import NUMBER

Json = dict[str, object]

TOWNS = (AreaKind.TOWN, AreaKind.STREET, AreaKind.DISTRICT, AreaKind.CITY)
# The last word of a written address that still names no door. What follows it, and everything after the first digit, is left out.
STREET_ENDS = re.compile(r"^.*(?:路|街|街道|大道|巷|胡同|镇|乡|村|社区|小区|新村|家园|花园|苑)")
FIRST_NUMBER = re.compile(r"[一二三四五六七八九十百]+(?=[号栋幢座单层楼室弄组社队])|[0-9A-Za-z\uff10-\uff5a]")

CALLS = frozenset(kind for kind, facts in KINDS.items() if facts.group is Group.TELEPHONE)

# Keys of journal facts that hold personal data: hidden from everybody but the owner, or masked.
PRIVATE_KEYS = frozenset(("health_note", "address", "contacts", "born", "raw", "identity", "what"))
NAME_KEYS = frozenset(("name", "person_name", "contact"))
# Keys whose values look like numbers and are none of a telephone.
PLAIN_KEYS = frozenset(
    "device delivery incident responder dedup line register received_at occurred_at seq at due tracking theirs merged into dial ref call"
    " until last_sign_at path".split()
)
# The codes of SCAIP in `kind_raw` (message, device and status type: "ME 0003 0010"). Other wires may have an address in that fact.
CODES = re.compile(r"[A-Z]{2}( [0-9]{4}){1,2}")
RESTRICTED = "restricted"  # stands in place of a number that its caller forbids to show
COARSE_DIGITS = 2  # of a degree: cells of 1.1 km by 0.9 km
# What may be shown of a call whose caller does; every other fact of it may hold the number.
OPEN_FACTS = frozenset(
    "call state presentation called hotline agent agent_name queue reason code cause by inferred correction identity_source verified waiting"
    " queued leg_count".split()
)


def mask_name(name: str) -> str:
    """王秀兰 → 王**, 王兰 → 王*: the first character, and never more than two stars."""
    return name[:1] + "*" * min(2, max(1, len(name) - 1)) if name else ""


def mask_phone(number: str | None) -> str | None:
    """+8613812341204 → 138****1204; +869316212345 → 0931***2345. Service numbers and extensions (up to 5 digits) stay."""
    if not number:
        return None
    digits = re.sub(r"\D", "", number)
    if not digits:
        return number if number.isascii() and number.isalpha() and len(number) <= 12 else "****"  # "anonymous"
    if len(digits) <= 5:
        return digits
    if number.startswith("+86"):
        digits = digits[2:] if len(digits) == 13 and digits[2] == "1" else "0" + digits[2:]  # mobile, else with the trunk 0
    if len(digits) <= 9:
        head = 0
    else:  # an area code in full (010 and 02x have three digits, others four), the first three of a mobile number
        head = 4 if digits[0] == "0" and digits[1] not in "12" else 3
    return digits[:head] + "*" * max(3, len(digits) - head - 4) + digits[-4:]


def shown_device(device: str | None) -> str | None:
    """A device's address; masked where it is the telephone number that it calls from. Serial numbers of devices stay."""
    return mask_phone(device) if device is not None and re.fullmatch(r"\+\d{8,15}", device) else device


def mask_numbers(text: str, hotlines: Iterable[str] = ()) -> str:
    """A free text with everything in it that looks like a telephone or identity number masked; our own hotlines stay."""
    kept = frozenset(hotlines)
    return NUMBER.sub(lambda found: found[0] if found[0] in kept else mask_phone(found[0]) or "", text)


def street_of(address: str, town: str = "") -> str:
    """兰州市红古区海石湾镇红古路12号3单元 → 红古路. Shows less rather than more: what no street or village name ends is left out."""
    if town and town in address:
        address = address.split(town, 1)[1]
    number = FIRST_NUMBER.search(address)
    found = STREET_ENDS.match(address[: number.start()] if number else address)
    return found[0].strip(" ,，") if found else ""


def town_of(register: Register, area: str | None) -> str:
    """Name of the town, street office or district that an area lies in; "" when unknown."""
    seen: set[str] = set()
    while area is not None and area not in seen:
        seen.add(area)
        node = register.areas.get(area)
        if node is None:
            return ""
        if node.kind in TOWNS:
            return node.name
        area = node.parent
    return ""


def place_of(register: Register, incident: Incident) -> str | None:
    """Town and street, never a door number; None when nothing is known."""
    person = register.persons.get(incident.person or "")
    device = register.device(incident.line, incident.device)
    if person is None and incident.record is not None and incident.record.address:
        town = town_of(register, incident.area)
        return " ".join(part for part in (town, street_of(incident.record.address, town)) if part) or None
    return place_of_device(register, device, person, incident.area)


def place_of_device(register: Register, device: Device | None, person: Person | None, area: str | None = None) -> str | None:
    """Town and street of its person, else its own; never a door number."""
    area = (person.area if person else None) or (device.area if device else None) or area
    town = town_of(register, area)
    street = street_of(person.address if person else device.place if device else "", town)
    return " ".join(part for part in (town, street) if part) or None


def age_of(person: Person, now: datetime) -> int | None:
    """Years, counted from the year of birth (the register keeps no more)."""
    return now.astimezone(CHINA).year - person.born if person.born else None


def risks_of(person: Person) -> list[str]:
    """Risk tags, then the ability when it is not self-caring."""
    return [*person.risks, *([] if person.ability is Ability.SELF_CARING else [person.ability])]


def incident_row(register: Register, incident: Incident, now: datetime) -> Json:
    """One row of the queue."""
    person = register.persons.get(incident.person or "")
    due = incident.next_deadline
    leg = incident.leading_leg
    row: Json = {
        "type": "incident",
        "id": incident.id,
        "version": incident.version,
        "state": incident.state,
        "kind": incident.kind,
        "severity": incident.severity,
        "flags": incident.flags,
        "cries": incident.cries,
        "entries": incident.entries,
        "name": mask_name(person.name if person else incident.record.name if incident.record else "") or None,
        "age": age_of(person, now) if person else None,
        "risks": risks_of(person) if person else [],
        "place": place_of(register, incident),
        "hotline": incident.hotline,
        "caller": caller_of(incident),
        "attempts": incident.attempts,
        "first_attempt_at": to_second(incident.first_attempt_at) if incident.first_attempt_at else None,
        "merged_into": incident.merged_into,
        "candidates": len(incident.candidates),
        "opened_at": to_second(incident.opened_at),
        "due": {"name": due[0].partition(":")[0], "at": to_second(due[1])} if due else None,
        "owner": incident.owner,
        "leg": leg.state if leg else None,
        "leg_responder": responder_name(register, leg.responder) if leg else None,
    }
    if KINDS[incident.kind].group in (Group.DEVICE, Group.LINE):  # what is in trouble is a thing: it stands where others have a name
        row |= {"line": incident.line, "device": shown_device(incident.device)}
    if incident.shelf is not None:
        row["shelf"] = {"until": to_second(incident.shelf.until), "by": incident.shelf.by, "reason": incident.shelf.reason}
    if incident.affected_count:  # not one thing, but all behind it
        row["affected"] = incident.affected_count
    return row


def caller_of(incident: Incident) -> str | None:
    """The number of the newest call in it: masked, or the word `restricted`."""
    return RESTRICTED if incident.caller and incident.presentation == "restricted" else mask_phone(incident.caller)


def is_entitled(incident: Incident, reader: str | None) -> bool:
    """May this reader (the name on duty, or None) see the person's record? Only who is in charge, and only while it is open."""
    return reader is not None and incident.is_open and incident.owner == reader


def full_numbers(register: Register, incident: Incident) -> Json:
    """Every number that can be rung about this incident, in full (E.164 as the register has it). Journalled by whoever calls this."""
    person = register.persons.get(incident.person or "")
    return {
        "phones": list(person.phones) if person else [],
        "contacts": [{"name": one.name, "relation": one.relation, "phone": one.phone} for one in person.contacts] if person else [],
        "caller": incident.caller if incident.presentation == "allowed" else None,
    }


def incident_detail(
    register: Register,
    incident: Incident,
    rows: Iterable[JournalRow],
    candidates_now: Decision | None,
    reader: str | None,
    now: datetime,
    hotlines: Iterable[str] = (),
    plans: Sequence[PlanConfig] = (),
) -> Json:
    """Everything the middle pane shows of one incident. `reader` is the name on duty, or None."""
    entitled = is_entitled(incident, reader)
    timeline = [timeline_entry(row, entitled, hotlines) for row in rows]
    row = incident_row(register, incident, now)
    row |= {
        "device": shown_device(incident.device),
        "line": incident.line,
        "area": incident.area,
        "agent": incident.agent,
        "acknowledged_at": incident.acknowledged_at,
        "resolved_at": incident.resolved_at,
        "closed_at": incident.closed_at,
        "changed_at": incident.changed_at,
        "hints": [
            {"why": hint.why, **short_person(register, register.persons[hint.person], now)}
            for hint in incident.hints
            if hint.person in register.persons
        ],
        "tracking": incident.tracking,
        "handed": handed_view(incident.handed) if incident.handed else None,
        "outcome": incident.outcome,
        "satisfaction": incident.satisfaction,
        "loop": loop_view(incident),
        "held_until": incident.held_until,
        "waived": mask_numbers(incident.waived, hotlines) if incident.waived else None,
        "merged_at": incident.merger.at if incident.merger else None,
        "parts": parts_view(incident, lambda device: entitled or shown_device(device) == device),
        "service": incident.service or None,
        "position": position_view(incident.position, entitled),
        "deadlines": dict(sorted(incident.deadlines.items(), key=lambda pair: pair[1])),
    }
    person = register.persons.get(incident.person or "")
    return {
        "incident": row,
        "timeline": timeline,
        "legs": [leg_view(register, leg) for leg in incident.legs],
        "beside": beside_view(register, incident),
        "decision": last_decision(register, timeline),
        "candidates_now": decision_view(register, candidates_now)["candidates"] if candidates_now else [],
        "plan": plan_view(plans, incident, register),
        "person": person_view(register, person, entitled, now) if person else None,
    }


NODE_OF = {"agree": AGREE, "reply": AGREE, "arrive": SERVE, "finish": SERVE, "call_back": CALL_BACK, "complaint": HANDLE, "hand_over": HAND_OVER}


def loop_view(incident: Incident) -> Json:
    """The closed loop: nodes that were passed, oldest first, and what is waited for until when; the word of a node is `stage.<name>`."""
    passed = [{"name": s.name, "at": s.at, "actor": s.actor, "due": s.due, "evidence": s.evidence} for s in incident.stages]
    waits: dict[str, datetime] = {}
    for name, at in incident.deadlines.items():
        node = NODE_OF.get(name.partition(":")[0])
        if node is not None:
            waits[node] = min(at, waits.get(node, at))
    return {"passed": passed, "waits": [{"name": name, "due": at} for name, at in sorted(waits.items(), key=lambda pair: pair[1])]}


def handed_view(handed: HandOver) -> Json:
    """To or from which other hotline, and how far it is."""
    return {"hotline": handed.hotline, "state": handed.state, "at": handed.at, "by": handed.by, "theirs": handed.theirs, "reason": handed.reason}


def call_back_list(register: Register, incidents: Iterable[Incident], now: datetime) -> list[Json]:
    """Who waits to be called back, in the order in which they are to be rung."""
    return [incident_row(register, incident, now) | {"call_by": incident.deadlines.get("call")} for incident in call_backs(incidents)]


def person_view(register: Register, person: Person, entitled: bool, now: datetime) -> Json:
    """The card of a person: masked, or with name, address and health note for the owner of the open incident. Telephones stay masked."""
    town = town_of(register, person.area)
    return {
        "id": person.id,
        "masked": not entitled,
        "name": person.name if entitled else mask_name(person.name),
        "age": age_of(person, now),
        "address": person.address if entitled else " ".join(part for part in (town, street_of(person.address, town)) if part),
        "risks": list(person.risks),
        "ability": person.ability,
        "assessed": _assessed(person, now),
        "confirmed": _confirmed(person, now),
        "categories": list(person.categories),
        "phones": [mask_phone(phone) for phone in person.phones],
        "contacts": [
            {"name": contact.name if entitled else mask_name(contact.name), "relation": contact.relation, "phone": mask_phone(contact.phone)}
            for contact in person.contacts
        ],
        "health_note": person.health_note if entitled else None,
    }


def _confirmed(person: Person, now: datetime) -> Json:
    """How old the card is (domain 4.2): the day on which somebody last checked it, who, and how many days ago; nulls: nobody knows."""
    days = None
    if person.confirmed_on:
        days = max(0, (now.astimezone(CHINA).date() - date.fromisoformat(person.confirmed_on)).days)
    return {"on": person.confirmed_on or None, "by": person.confirmed_by or None, "days": days}


def _assessed(person: Person, now: datetime) -> Json | None:
    one = person.assessed
    if one is None:
        return None
    return {"by": one.assessor, "on": one.on, "until": one.until, "over": one.until is not None and one.until < now.astimezone(CHINA).date()}


def short_person(register: Register, person: Person, now: datetime) -> Json:
    """One of several persons registered under the caller's number: enough to tell them apart."""
    town = town_of(register, person.area)
    place = " ".join(part for part in (town, street_of(person.address, town)) if part)
    return {"id": person.id, "name": mask_name(person.name), "age": age_of(person, now), "place": place or None, "risks": risks_of(person)}


def coarse(lat: float, lon: float) -> tuple[float, float]:
    """The middle of about a square kilometre: as exactly as anybody may know a place who may not see the person's record."""
    return round(lat, COARSE_DIGITS), round(lon, COARSE_DIGITS)


def position_view(position: Position | None, entitled: bool) -> Json | None:
    """A position; for everybody but the owner only roughly (`coarse`)."""
    if position is None:
        return None
    lat, lon = (round(position.lat, 6), round(position.lon, 6)) if entitled else coarse(position.lat, position.lon)
    return {
        "lat": lat,
        "lon": lon,
        "source": position.source,
        "accuracy_m": position.accuracy_m,
        "fixed_at": position.fixed_at,
    }


def responder_name(register: Register, responder: str) -> str:
    """Its name, or its id when the register no longer has it."""
    known = register.responders.get(responder)
    return known.name if known else responder


def kind_name(register: Register, responder: str) -> str | dict[str, str] | None:
    """What this place calls its kind: one word for it alone, or a word in each language; None: the common one will do."""
    known = register.responders.get(responder)
    return (known.label or register.kind_names.get(known.kind)) if known is not None else None


def leg_view(register: Register, leg: Leg) -> Json:
    """One order and how far it has come."""
    known = register.responders.get(leg.responder)
    return {
        "delivery": leg.delivery,
        "responder": leg.responder,
        "name": known.name if known else leg.responder,
        "kind": known.kind if known else None,
        "kind_name": kind_name(register, leg.responder),
        "role": leg.role,
        "state": leg.state,
        "travel_min": leg.travel_min,
        "ordered_at": leg.ordered_at,
        "sent_at": leg.sent_at,
        "reply_by": leg.reply_by,
        "answered_at": leg.answered_at,
        "arrived_at": leg.arrived_at,
        "by": leg.by,
        "repeat": leg.repeat,
        "channel": leg.channel,
        "reason": leg.reason,
    }


def decision_view(register: Register, decision: Decision) -> Json:
    """A routing decision with its reasons."""
    return {
        "at": decision.at,
        "rule": decision.rule,
        "responder": decision.responder,
        "position": position_view(decision.position, entitled=False),
        "register": decision.register,
        "travel_min": decision.travel_min,
        "area": decision.area,
        "beyond": decision.beyond,
        "agreement": decision.agreement,
        "rules": decision.rules,
        "travel": decision.travel,
        "farther": decision.farther,
        "candidates": [
            {
                "responder": one.responder,
                "name": responder_name(register, one.responder),
                "kind": register.responders[one.responder].kind if one.responder in register.responders else None,
                "kind_name": kind_name(register, one.responder),
                "km": one.km,
                "travel_min": one.travel_min,
                "verdict": one.verdict,
                "load": one.load,
                "capacity": one.capacity,
                "score": one.score,
                "weight": one.weight,
                "effect": one.effect,
                "agreement": one.agreement,
                "travel": one.travel or decision.travel,
            }
            for one in decision.candidates
        ],
    }


BESIDE = frozenset((Role.NEIGHBOUR, Role.DOCTOR, Role.HOSPITAL))


def last_decision(register: Register, timeline: Iterable[Json]) -> Json | None:
    """The newest decision in the journal about who goes, as it was taken then (names as they are now); who is told beside them is not meant."""
    found: Json | None = None
    for entry in timeline:
        detail = entry["detail"]
        decision = detail.get("decision") if isinstance(detail, dict) else None
        need = decision.get("need") if isinstance(decision, dict) else None
        is_beside = isinstance(need, dict) and need.get("role") in BESIDE
        if isinstance(decision, dict) and not is_beside:
            found = {"at": entry["at"], **decision}
    if found is None:
        return None
    candidates = found.get("candidates")
    named: list[Json] = []
    for one in candidates if isinstance(candidates, list) else []:
        if isinstance(one, dict):
            known = register.responders.get(str(one.get("responder")))
            named.append(
                {
                    "km": None,
                    "travel_min": None,
                    "load": 0,
                    "capacity": 0,
                    **one,
                    "name": known.name if known else one.get("responder"),
                    "kind": known and known.kind,
                    "kind_name": kind_name(register, str(one.get("responder"))),
                }
            )
    position = found.get("position")
    if isinstance(position, dict):
        position = {"source": "gnss", **position}  # the default of Position, which the journal leaves out
    shown = {name: value for name, value in found.items() if name not in ("need", "loads", "ruled")}  # what only a replay wants
    return {"rule": "", **shown, "position": position, "candidates": named}


def plan_view(plans: Sequence[PlanConfig], incident: Incident, register: Register) -> list[Json]:
    """The steps of the action plan and which are done. text: of a step that only this place has, in both languages."""
    return [
        {"id": step.id, "required": step.required, "done": step.done, "by_itself": step.by_itself}
        | ({"text": {"zh-CN": step.zh, "en": step.en}} if step.zh else {})
        for step in steps_of(plans, incident, register)
    ]


def timeline_entry(row: JournalRow, entitled: bool, hotlines: Iterable[str] = ()) -> Json:
    """One line of the timeline; numbers are masked for everybody, names and addresses for all but the owner."""
    facts = row.facts
    if row.kind in CALLS and "received_at" in facts:  # the event of a call: its device is a number
        facts = _call_facts(facts)
    return {
        "seq": row.seq,
        "at": row.at,
        "kind": row.kind,
        "phase": row.phase,
        "actor": row.actor,
        "detail": _facts(facts, entitled, frozenset(hotlines)),
    }


def _call_facts(facts: Mapping[str, object]) -> Json:
    detail = facts.get("detail")
    if isinstance(detail, Mapping) and detail.get("presentation") == RESTRICTED:
        shown = {key: value for key, value in detail.items() if key in OPEN_FACTS} | {"caller": RESTRICTED}
        return {**{key: value for key, value in facts.items() if key not in ("dedup", "kind_raw")}, "device": RESTRICTED, "detail": shown}
    return {**facts, "device": mask_phone(str(facts["device"])) if facts.get("device") else None}


def _facts(facts: Mapping[str, object], entitled: bool, hotlines: frozenset[str]) -> Json:
    return {key: _fact(key, value, entitled, hotlines) for key, value in facts.items() if entitled or key not in PRIVATE_KEYS}


def _fact(key: str, value: object, entitled: bool, hotlines: frozenset[str]) -> object:
    if isinstance(value, Mapping):
        if not entitled and "lat" in value and "lon" in value:
            return _facts({**value, **_roughly(value["lat"], value["lon"])}, entitled, hotlines)
        return _facts(value, entitled, hotlines)
    if isinstance(value, list | tuple):
        return [_fact(key, one, entitled, hotlines) for one in value]
    if isinstance(value, str):
        if key in NAME_KEYS and not entitled:
            return mask_name(value)
        if key == "device":
            return shown_device(value)
        is_plain = key in PLAIN_KEYS or (key == "kind_raw" and CODES.fullmatch(value))
        return value if is_plain else mask_numbers(value, hotlines)
    return value


def _roughly(lat: object, lon: object) -> Json:
    if isinstance(lat, float | int) and isinstance(lon, float | int):
        return dict(zip(("lat", "lon"), coarse(lat, lon), strict=True))
    return {"lat": None, "lon": None}  # whatever it is, it is no place that could be told roughly


def call_item(register: Register, call: Call, agents: Mapping[str, str], operators: Mapping[str, str] = {}) -> Json:
    """A call that is going on. `operators`: extension → who is on duty there; theirs is the call that rings at it."""
    agent = call.detail.get("agent")
    caller = call.detail.get("caller_e164") or call.detail.get("caller")
    return {
        "type": "call",
        "id": call.key,
        "state": call.state,
        "hotline": call.detail.get("hotline"),
        "caller": RESTRICTED if caller and call.detail.get("presentation") == RESTRICTED else mask_phone(str(caller)) if caller else None,
        "persons": [mask_name(register.persons[one].name) for one in call.persons if one in register.persons],
        "agent": agents.get(str(agent), agent) if agent else None,
        "operator": operators.get(str(agent)) if agent else None,
        "incident": call.incident,
        "since": to_second(call.at),
    }


def line_item(name: str, status: LineStatus) -> Json:
    """A line and whether it can be trusted."""
    return {
        "type": "line",
        "id": name,
        "codec": status.codec,
        "state": status.state,
        "since": to_second(status.since) if status.since else None,
        "mandatory": status.mandatory,
        "reason": status.reason,
    }


class Waiting(Protocol):
    """As much of an incident that nobody has taken as the counters need."""

    @property
    def severity(self) -> Severity: ...

    @property
    def opened_at(self) -> datetime: ...

    @property
    def cries(self) -> int: ...


def counter_item(tally: Mapping[tuple[Severity, State], int], raised: Iterable[Waiting] = (), shelved: int = 0) -> Json:
    """The counters of the header, and all that a locked screen or a wallboard needs to sound: nobody's name, no incident's id.

    Open incidents per severity; `call_back` of them are resolved and wait for the call-back. raised: per severity how many nobody has taken,
    since when the oldest of them waits, and their cries together (a new press makes it more). shelved: so many are put aside besides.
    """
    counted: dict[str, int] = dict.fromkeys((severity.value for severity in Severity), 0)
    open_count = call_back = 0
    for (severity, state), count in tally.items():
        if state is not State.CLOSED:
            counted[severity] += count
            open_count += count
            call_back += count if state is State.RESOLVED else 0
    del counted[Severity.NONE]
    waiting: dict[str, tuple[int, datetime, int]] = {}
    for one in raised:
        count, oldest, cries = waiting.get(one.severity, (0, one.opened_at, 0))
        waiting[one.severity] = count + 1, min(one.opened_at, oldest), cries + one.cries
    told = {name: {"count": count, "oldest": to_second(oldest), "cries": cries} for name, (count, oldest, cries) in waiting.items()}
    return {"type": "counter", "id": "queue", **counted, "call_back": call_back, "open": open_count, "raised": told, "shelved": shelved}


def board_item(operators: Iterable[Json], calls: Iterable[Call]) -> Json:
    """What a wallboard says of people and calls: how many are on duty, how many of their consoles sound, how many callers wait and since when."""
    here = list(operators)
    waiting = [call.at for call in calls if call.state in (Kind.CALL_OFFERED, Kind.CALL_RINGING)]
    return {
        "type": "counter",
        "id": "board",
        "operators": len(here),
        "sound": sum(bool(row["sound"]) for row in here),
        "calls": len(waiting),
        "oldest_call": to_second(min(waiting)) if waiting else None,
    }


def request_counter(open_requests: Iterable[tuple[State, bool]], told: int) -> Json:
    """Open requests for services, apart from the alarms; told: how many changes of requests there were, so that a list knows when it is old."""
    requests = list(open_requests)
    states = Counter(state for state, _ in requests)
    counted = {state.value: states[state] for state in State if state is not State.CLOSED}
    unmatched = sum(is_unmatched for _, is_unmatched in requests)
    return {"type": "counter", "id": "requests", **counted, "unmatched": unmatched, "told": told}


def to_second(at: datetime) -> datetime:
    """Without fractions and in UTC: the list counts in seconds, and a row shall be small."""
    return at.astimezone(UTC).replace(microsecond=0)
