"""An incident as a CAP 1.2 alert, for the systems of neighbours that read nothing else. Least data: no name, no number, no address.

Source: OASIS CAP-v1.2, section 3.2. Restricted to those named in `addresses`: an incident of one person is never public.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from xml.etree import ElementTree as xml

from gateway.core.incident import Flag, Incident, Outcome, State
from gateway.core.register import Register
from gateway.event import KINDS, Certainty, Group, Kind, Severity

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
MEDIA_TYPE = "application/cap+xml"
BLUR_KM = 1.0  # without a better figure: who reads this is to look for a street, not for a door
VALID = timedelta(hours=6)  # after its last change nobody should still act upon it unasked

_CATEGORY = {
    Kind.FIRE: "Fire",
    Kind.SMOKE: "Fire",
    Kind.GAS: "Safety",
    Kind.CO: "Safety",
    Kind.INTRUSION: "Security",
    Kind.DURESS: "Security",
    Kind.WANDERING: "Rescue",
    Kind.POWER_CUT: "Infra",
    Kind.WATER_LEAK: "Infra",
}
_SEVERITY = {
    Severity.CRITICAL: "Extreme",
    Severity.MAJOR: "Severe",
    Severity.MINOR: "Moderate",
    Severity.WARNING: "Minor",
    Severity.NONE: "Unknown",
}
_URGENCY = {
    Severity.CRITICAL: "Immediate",
    Severity.MAJOR: "Immediate",
    Severity.MINOR: "Expected",
    Severity.WARNING: "Future",
    Severity.NONE: "Unknown",
}
_CERTAINTY = {
    Certainty.OBSERVED: "Observed",
    Certainty.LIKELY: "Likely",
    Certainty.POSSIBLE: "Possible",
    Certainty.UNLIKELY: "Unlikely",
}
_UNWRITABLE = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF))  # characters that XML cannot hold


def cap_alert(
    incident: Incident, register: Register, sender: str, addresses: str, now: datetime, event_names: Mapping[str, str], language: str = "zh-CN"
) -> bytes:
    """The alert of an incident as it is now. event_names: kind → what it is called in `language`.

    Each version of the incident has an identifier of its own; all later ones refer to the first: Alert, then Update, at the end Cancel. A reader
    that missed the first finds the matter by `incidents`.
    """
    is_over = incident.state in (State.RESOLVED, State.CLOSED)
    alert = xml.Element("alert", xmlns=NAMESPACE)
    _add(alert, "identifier", _identifier(incident, incident.version))
    _add(alert, "sender", _name(sender))
    _add(alert, "sent", _time(incident.changed_at))
    _add(alert, "status", "Test" if incident.outcome is Outcome.TEST or incident.kind is Kind.TEST else "Actual")
    _add(alert, "msgType", "Cancel" if is_over else "Alert" if incident.version <= 1 else "Update")
    if addresses:
        _add(alert, "scope", "Private")
        _add(alert, "addresses", addresses)
    else:
        _add(alert, "scope", "Restricted")
        _add(alert, "restriction", "12349 responders")
    if incident.version > 1:
        _add(alert, "references", f"{_name(sender)},{_identifier(incident, 1)},{_time(incident.opened_at)}")
    _add(alert, "incidents", incident.id)
    _info(xml.SubElement(alert, "info"), incident, register, event_names, now, language, is_over=is_over)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(alert, encoding="unicode").encode()


def _info(
    info: xml.Element, incident: Incident, register: Register, names: Mapping[str, str], now: datetime, language: str, *, is_over: bool
) -> None:
    facts = KINDS[incident.kind]
    name = names.get(incident.kind, incident.kind)
    _add(info, "language", language)
    _add(info, "category", _CATEGORY.get(incident.kind, "Health" if facts.group is Group.PERSON else "Other"))
    _add(info, "event", name)
    _add(info, "responseType", "AllClear" if is_over else "Assess")
    _add(info, "urgency", "Past" if is_over else _URGENCY[incident.severity])
    _add(info, "severity", _SEVERITY[incident.severity])
    _add(info, "certainty", _CERTAINTY[facts.certainty])
    code = xml.SubElement(info, "eventCode")
    _add(code, "valueName", "12349")
    _add(code, "value", incident.kind)
    _add(info, "effective", _time(incident.changed_at))
    _add(info, "onset", _time(incident.opened_at))
    _add(info, "expires", _time(max(incident.changed_at, now) + VALID))
    _add(info, "senderName", register.names.get(language) or register.name or "12349")
    _add(info, "headline", f"12349 {name}")
    for flag in (Flag.SECOND_CRY, Flag.ESCALATED):
        if flag in incident.flags:
            parameter = xml.SubElement(info, "parameter")
            _add(parameter, "valueName", flag)
            _add(parameter, "value", "true")
    place = register.areas.get(incident.area) if incident.area else None
    area = xml.SubElement(info, "area")
    _add(area, "areaDesc", place.name if place is not None else register.names.get(language) or register.name or "12349")
    circle = _circle(incident, register)
    if circle:
        _add(area, "circle", circle)
    if incident.area:
        geocode = xml.SubElement(area, "geocode")
        _add(geocode, "valueName", "12349-area")
        _add(geocode, "value", incident.area)


def _circle(incident: Incident, register: Register) -> str:
    """`lat,lon radius-km`, rounded to a hundredth of a degree: the street, not the door. A wider uncertainty of the position is kept."""
    position = incident.position
    if position is not None:
        reach_km = max(BLUR_KM, (position.accuracy_m or 0.0) / 1000)
        return f"{position.lat:.2f},{position.lon:.2f} {reach_km:.1f}"
    middle = register.area_position(incident.area)
    return f"{middle[0]:.2f},{middle[1]:.2f} {5 * BLUR_KM:.1f}" if middle is not None else ""


def _identifier(incident: Incident, version: int) -> str:
    return f"{_name(incident.id)}.{version}"


def _name(text: str) -> str:
    """Without what identifiers and senders may not hold: spaces, commas, < and & (CAP-v1.2, 3.2.1)."""
    return "".join(letter for letter in text if letter.isprintable() and letter not in " ,<&") or "12349"


def _time(at: datetime) -> str:
    """`2025-03-02T10:00:00-00:00`: UTC is written so, Z is not allowed (CAP-v1.2, 3.3.2)."""
    return at.strftime("%Y-%m-%dT%H:%M:%S-00:00")


def _add(parent: xml.Element, name: str, text: str) -> None:
    xml.SubElement(parent, name).text = text.encode("utf-8", "replace").decode().translate(_UNWRITABLE)
