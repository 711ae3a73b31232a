"""What a desk looks like to a supervisor and to the next shift, as plain JSON values: of the reader's areas, masked as in every list. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from gateway.console.device_views import ref_of
from gateway.console.reader import Reader, area_of
from gateway.console.views import Json, incident_row, place_of, place_of_device, shown_device, to_second
from gateway.core.aid_matters import LOST, SATURATED
from gateway.core.desk_matters import COMPLAINT, OPEN, PENDING, SHIFT
from gateway.core.incident import Flag, Incident, State
from gateway.core.maintenance import MATTER as MAINTENANCE
from gateway.core.register import AreaKind, Register
from gateway.core.service_need import is_request
from gateway.core.stages import complained_about, complained_at
from gateway.core.state import WorkingSet
from gateway.core.territory import Standing
from gateway.event import Severity

FROZEN = "frozen"
LEVELS = (Severity.CRITICAL, Severity.MAJOR, Severity.MINOR, Severity.WARNING)
URGENT = (Severity.CRITICAL, Severity.MAJOR)  # ▲ and ◆: what a handover names one by one
ROWS = 200  # of one list; who has more shelved or stalled is in a flood, and is told how many
LOCAL_KINDS = frozenset((AreaKind.STREET, AreaKind.TOWN))  # by which queues are compared

Standings = Mapping[str, Standing]


def of_reader(register: Register, incidents: Iterable[Incident], reader: Reader) -> list[Incident]:
    """Open alarms that this reader may see; ordinary services are a queue of their own."""
    return [one for one in incidents if one.is_open and not is_request(one) and reader.sees(register, one)]


def shelved_rows(register: Register, mine: Iterable[Incident]) -> list[Json]:
    """What is put aside, soonest back first."""
    found = sorted((one for one in mine if one.shelf is not None), key=lambda one: (one.shelf.until if one.shelf else one.opened_at, one.id))
    return [shelved_row(register, one) for one in found[:ROWS]]


def shelved_row(register: Register, incident: Incident) -> Json:
    """One of them."""
    assert incident.shelf is not None
    return {
        "id": incident.id,
        "kind": incident.kind,
        "severity": incident.severity,
        "state": incident.state,
        "flags": incident.flags,
        "place": place_of(register, incident),
        "until": to_second(incident.shelf.until),
        "by": incident.shelf.by,
        "reason": incident.shelf.reason,
    }


def maintenance_rows(working: WorkingSet, now: datetime, reader: Reader) -> list[Json]:
    """Devices that somebody works on or tries, soonest over first."""
    holding = [one for key, one in working.standings.items() if key.startswith(f"{MAINTENANCE}:") and one.holds(now)]
    rows = [maintenance_row(working.register, one, reader) for one in sorted(holding, key=lambda one: (one.until or one.at, one.key))]
    return [row for row in rows if row is not None][:ROWS]


def maintenance_row(register: Register, standing: Standing, reader: Reader) -> Json | None:
    """One of them; None: it is in another area."""
    line, _, address = standing.key.partition(":")[2].partition("|")
    device = register.device(line, address)
    person = register.persons.get(device.person or "") if device is not None else None
    area = (device.area if device is not None else None) or (person.area if person is not None else None)
    if not reader.covers(register, area):
        return None
    return {
        "line": line,
        "device": shown_device(address),
        "ref": ref_of(line, address),
        "value": standing.value,
        "until": standing.until,
        "by": standing.actor,
        "at": standing.at,
        "reason": standing.reason,
        "place": place_of_device(register, device, person if reader.sees_people else None),
    }


def queue_rows(register: Register, mine: Iterable[Incident]) -> list[Json]:
    """Per street or town: open and waiting incidents of each level, and since when the oldest waits. "" = nobody knows where.

    What is put aside is in no counter, here as in the list of an operator."""
    found: dict[str, list[Incident]] = {}
    for one in mine:
        above = register.areas_above(area_of(register, one))
        area = next((name for name in above if register.areas[name].kind in LOCAL_KINDS), above[0] if above else "")
        found.setdefault(area, []).extend([one] if one.shelf is None else [])
    return [
        {
            "area": area,
            "name": register.areas[area].name if area in register.areas else "",
            "levels": levels_of(several),
            "open": len(several),
            "oldest": _oldest(several),
        }
        for area, several in sorted(found.items(), key=lambda item: (not item[0], item[0]))
    ]


def levels_of(several: Iterable[Incident]) -> Json:
    """Per level: open, raised (nobody has taken them and they are not put aside), and since when the oldest of these waits."""
    levels: dict[str, list[Incident]] = {level.value: [] for level in LEVELS}
    for one in several:
        levels.setdefault(one.severity.value, []).append(one)
    return {
        level: {"open": len(mine), "raised": sum(is_waiting(one) for one in mine), "oldest": _oldest(mine)}
        for level, mine in levels.items()
        if level != Severity.NONE
    }


def is_waiting(incident: Incident) -> bool:
    """Does it ring?"""
    return incident.state is State.RAISED and incident.shelf is None


def _oldest(several: Iterable[Incident]) -> datetime | None:
    return min((to_second(one.opened_at) for one in several if is_waiting(one)), default=None)


def load_of(mine: Iterable[Incident], now: datetime) -> dict[str, Json]:
    """Owner → {load, oldest, waits_s}: open incidents in their hands, and which has been left alone longest."""
    owned: dict[str, list[datetime]] = {}
    for one in mine:
        if one.owner is not None:
            owned.setdefault(one.owner, []).append(one.changed_at)
    return {
        name: {"load": len(times), "oldest": to_second(min(times)), "waits_s": round((now - min(times)).total_seconds())}
        for name, times in owned.items()
    }


def stands_still(incident: Incident) -> bool:
    """Taken and nothing follows, or escalated and nobody has taken it: a supervisor's matter."""
    return Flag.STALLED in incident.flags or (Flag.ESCALATED in incident.flags and incident.state is State.RAISED)


def stalled_rows(register: Register, mine: Iterable[Incident], now: datetime) -> list[Json]:
    """What goes no further: a key node passed in vain."""
    found = sorted((one for one in mine if stands_still(one)), key=lambda one: (one.severity.rank, one.changed_at, one.id))
    return [incident_row(register, one, now) for one in found[:ROWS]]


def complaint_rows(register: Register, mine: Iterable[Incident], standings: Standings, reader: Reader) -> list[Json]:
    """Complaints that nobody has answered: about incidents, and filed by the public's supervisor; oldest first."""
    rows: list[Json] = []
    for one in mine:
        if Flag.COMPLAINT in one.flags:
            area = area_of(register, one)
            at, about = complained_at(one), sorted(complained_about(one))
            rows.append(_complaint(register, one.id, at, "", area or "", ", ".join(about), "", OPEN, one.id))
    for standing in standings.values():
        if standing.key.startswith(f"{COMPLAINT}:") and standing.value == OPEN and reader.covers(register, _area(register, standing)):
            rows.append(complaint_row(register, standing))
    return sorted(rows, key=lambda row: str(row["at"]))[:ROWS]


def complaint_row(register: Register, standing: Standing) -> Json:
    """One that the public's supervisor filed."""
    detail = {name: str(standing.detail.get(name) or "") for name in ("by", "area", "about", "note", "finding")}
    name = standing.key.partition(":")[2]
    row = _complaint(
        register, name, standing.detail.get("since"), detail["by"], detail["area"], detail["about"], detail["note"], standing.value, None
    )
    return row | {"finding": detail["finding"]}


def _complaint(register: Register, name: str, at: object, by: str, area: str, about: str, note: str, state: str, incident: str | None) -> Json:
    known, responder = register.areas.get(area), register.responders.get(about)
    return {
        "id": name,
        "at": at,
        "by": by,
        "area": area,
        "area_name": known.name if known is not None else "",
        "about": about,
        "about_name": responder.name if responder is not None else about,
        "note": note,
        "state": state,
        "incident": incident,
    }


def _area(register: Register, standing: Standing) -> str | None:
    """Where a complaint belongs to: its area, else where the responder it is about serves."""
    area = str(standing.detail.get("area") or "")
    responder = register.responders.get(str(standing.detail.get("about") or ""))
    return area or (responder.areas[0] if responder is not None and responder.areas else None)


def ruling_rows(register: Register, standings: Standings, now: datetime, reader: Reader) -> Json:
    """What is frozen, lost or saturated at present, together."""
    found: dict[str, list[Json]] = {FROZEN: [], LOST: [], SATURATED: []}
    for key, one in sorted(standings.items()):
        matter, _, subject = key.partition(":")
        if matter in found and one.holds(now) and reader.serves(register, subject):
            known = register.responders.get(subject) or register.areas.get(subject)
            row: Json = {"subject": subject, "name": known.name if known is not None else subject, "actor": one.actor}
            found[matter].append(row | {"value": one.value, "reason": one.reason, "at": one.at, "until": one.until})
    return dict(found)


# --- shifts ----------------------------------------------------------------------------------------------------------


def must_tick(mine: Iterable[Incident], outgoing: str) -> list[Incident]:
    """What the next shift must know one by one: open critical and major incidents in these hands, or in nobody's."""
    found = [one for one in mine if one.severity in URGENT and one.owner in (outgoing, None)]
    return sorted(found, key=lambda one: (one.severity.rank, one.opened_at, one.id))


def counts_of(mine: Iterable[Incident]) -> Json:
    """Open incidents per level, without those that are put aside."""
    levels = Counter(one.severity for one in mine if one.shelf is None)
    return {level.value: levels[level] for level in LEVELS}


def shift_row(standing: Standing) -> Json:
    """One handover."""
    detail = standing.detail
    row: Json = {"id": standing.key.partition(":")[2], "by": detail.get("from"), "to": detail.get("to") or "", "at": detail.get("since")}
    row |= {"text": detail.get("text") or "", "state": standing.value}
    return row | ({"confirmed_at": standing.at, "confirmed_by": standing.actor} if standing.value not in (PENDING, "") else {})


def shifts(standings: Standings) -> Iterator[Standing]:
    """All that are remembered, newest first."""
    yield from sorted((one for key, one in standings.items() if key.startswith(f"{SHIFT}:")), key=lambda one: one.at, reverse=True)
