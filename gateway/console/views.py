"""Incident, call, line → what one reader may see of it, as plain JSON values. Pure: masking happens here, so the page never holds the rest.

A row of the list is the same for everybody and always masked. Detail opens a person's record to the owner of the open incident alone.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from gateway.console.seam import JournalRow, LineStatus
from gateway.core.calls import call_backs
from gateway.core.incident import Flag, HandOver, Incident, Leg, State
from gateway.core.register import Ability, AreaKind, Person, Register
from gateway.core.routing import CHINA, Decision
from gateway.core.state import Call
from gateway.event import KINDS, Group, Kind, Position, Severity
from gateway.log import NUMBER

Json = dict[str, object]

TOWNS = (AreaKind.TOWN, AreaKind.STREET, AreaKind.DISTRICT, AreaKind.CITY)
# The last word of a written address that still names no door. What follows it, and everything after the first digit, is left out.
STREET_ENDS = re.compile(r"^.*(?:路|街|街道|大道|巷|胡同|镇|乡|村|社区|小区|新村|家园|花园|苑)")
FIRST_NUMBER = re.compile(r"[一二三四五六七八九十百]+(?=[号栋幢座单层楼室弄组社队])|[0-9A-Za-z\uff10-\uff5a]")

CALLS = frozenset(kind for kind, facts in KINDS.items() if facts.group is Group.TELEPHONE)

# Action plan (预案), first form: the same few steps for every kind; `dispatch` is ticked by an order as well.
Plan = tuple[tuple[str, bool], ...]
PLAN_OF_CALL_FOR_HELP: Plan = (("call_person", True), ("ask_injury", False), ("call_family", False), ("dispatch", False))
PLAN_OF_CALL_BACK: Plan = (("call_person", True), ("dispatch", False))
PLAN_OF_FAULT: Plan = (("check_device", True),)

# Keys of journal facts that hold personal data: hidden from everybody but the owner, or masked.
PRIVATE_KEYS = frozenset(("health_note", "address", "contacts", "born", "raw", "identity"))
NAME_KEYS = frozenset(("name", "person_name", "contact"))
# Keys whose values look like numbers and are none of a telephone.
PLAIN_KEYS = frozenset(
    "device delivery incident responder dedup line register received_at occurred_at seq at due tracking theirs merged into dial ref call".split()
)
# The codes of SCAIP in `kind_raw` (message, device and status type: "ME 0003 0010"). Other wires may have an address in that fact.
CODES = re.compile(r"[A-Z]{2}( [0-9]{4}){1,2}")
RESTRICTED = "restricted"  # stands in place of a number that its caller forbids to show
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
    area = (person.area if person else None) or (device.area if device else None) or incident.area
    town = town_of(register, area)
    if person is not None:
        street = street_of(person.address, town)
    else:
        street = street_of(device.place, town) if device else ""
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
        "name": mask_name(person.name) if person else None,
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
        "position": position_view(incident.position, entitled),
        "deadlines": dict(sorted(incident.deadlines.items(), key=lambda pair: pair[1])),
    }
    person = register.persons.get(incident.person or "")
    return {
        "incident": row,
        "timeline": timeline,
        "legs": [leg_view(register, leg) for leg in incident.legs],
        "decision": last_decision(register, timeline),
        "candidates_now": decision_view(register, candidates_now)["candidates"] if candidates_now else [],
        "plan": plan_of(incident),
        "person": person_view(register, person, entitled, now) if person else None,
        "persons": [short_person(register, register.persons[one], now) for one in incident.candidates if one in register.persons],
    }


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
        "categories": list(person.categories),
        "phones": [mask_phone(phone) for phone in person.phones],
        "contacts": [
            {"name": contact.name if entitled else mask_name(contact.name), "relation": contact.relation, "phone": mask_phone(contact.phone)}
            for contact in person.contacts
        ],
        "health_note": person.health_note if entitled else None,
    }


def short_person(register: Register, person: Person, now: datetime) -> Json:
    """One of several persons registered under the caller's number: enough to tell them apart."""
    town = town_of(register, person.area)
    place = " ".join(part for part in (town, street_of(person.address, town)) if part)
    return {"id": person.id, "name": mask_name(person.name), "age": age_of(person, now), "place": place or None, "risks": risks_of(person)}


def position_view(position: Position | None, entitled: bool) -> Json | None:
    """A position; rounded to about 100 m for everybody but the owner."""
    if position is None:
        return None
    digits = 6 if entitled else 3
    return {
        "lat": round(position.lat, digits),
        "lon": round(position.lon, digits),
        "source": position.source,
        "accuracy_m": position.accuracy_m,
        "fixed_at": position.fixed_at,
    }


def responder_name(register: Register, responder: str) -> str:
    """Its name, or its id when the register no longer has it."""
    known = register.responders.get(responder)
    return known.name if known else responder


def leg_view(register: Register, leg: Leg) -> Json:
    """One order and how far it has come."""
    known = register.responders.get(leg.responder)
    return {
        "delivery": leg.delivery,
        "responder": leg.responder,
        "name": known.name if known else leg.responder,
        "kind": known.kind if known else None,
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
        "candidates": [
            {
                "responder": one.responder,
                "name": responder_name(register, one.responder),
                "kind": register.responders[one.responder].kind if one.responder in register.responders else None,
                "km": one.km,
                "travel_min": one.travel_min,
                "verdict": one.verdict,
                "load": one.load,
                "capacity": one.capacity,
            }
            for one in decision.candidates
        ],
    }


def last_decision(register: Register, timeline: Iterable[Json]) -> Json | None:
    """The newest decision in the journal, as it was taken then (names as they are now)."""
    found: Json | None = None
    for entry in timeline:
        detail = entry["detail"]
        decision = detail.get("decision") if isinstance(detail, dict) else None
        if isinstance(decision, dict):
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
                }
            )
    position = found.get("position")
    if isinstance(position, dict):
        position = {"source": "gnss", **position}  # the default of Position, which the journal leaves out
    return {"rule": "", **found, "position": position, "candidates": named}


def plan_of(incident: Incident) -> list[Json]:
    """The steps of the action plan and which are done."""
    if Flag.CALL_DUE in incident.flags:
        plan = PLAN_OF_CALL_BACK
    elif incident.person is None and incident.kind in (Kind.LINE_LOST, Kind.OFFLINE, Kind.FAULT, Kind.TAMPER, Kind.LOW_BATTERY):
        plan = PLAN_OF_FAULT
    else:
        plan = PLAN_OF_CALL_FOR_HELP
    return [
        {"id": name, "required": required, "done": name in incident.steps or (name == "dispatch" and bool(incident.legs))} for name, required in plan
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
            return {**value, "lat": _coarse(value["lat"]), "lon": _coarse(value["lon"])}
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


def _coarse(degrees: object) -> object:
    return round(degrees, 3) if isinstance(degrees, float) else degrees


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


def counter_item(tally: Mapping[tuple[Severity, State], int]) -> Json:
    """The counters of the header: open incidents per severity; `call_back` of them are resolved and wait for the call-back."""
    counted: dict[str, int] = dict.fromkeys((severity.value for severity in Severity), 0)
    open_count = call_back = 0
    for (severity, state), count in tally.items():
        if state is not State.CLOSED:
            counted[severity] += count
            open_count += count
            call_back += count if state is State.RESOLVED else 0
    del counted[Severity.NONE]
    return {"type": "counter", "id": "queue", **counted, "call_back": call_back, "open": open_count}


def to_second(at: datetime) -> datetime:
    """Without fractions and in UTC: the list counts in seconds, and a row shall be small."""
    return at.astimezone(UTC).replace(microsecond=0)
