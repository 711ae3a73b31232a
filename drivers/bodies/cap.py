"""CAP 1.1 and 1.2 alerts in a SIP MESSAGE (RFC 8876), alone or in a multipart with a PIDF-LO: what sensors and neighbouring centres send.

Source: OASIS CAP 1.2, section 3.2; RFC 8876 (425 for an alert that cannot be used). Kinds come out of one small table; what is not in it
is `general`, which is an alarm too. Never raises.
"""

import hashlib
import math

import msgspec

from drivers.bodies.handler import Reading, Received, message_identity
from drivers.bodies.pidf import METRES_PER_DEGREE, Place, read_pidf, read_time
from drivers.contract import Rejected, Signal, believed_time
from drivers.sip.message import Uri
from drivers.sip.multipart import body_parts
from drivers.sip.xml_body import Element, MalformedXml, read_xml
from gateway.event import ALARM_KINDS, Kind, Phase

MEDIA_TYPE = "application/emergencycalldata.cap+xml"
MULTIPART = "multipart/mixed"
PIDF = "application/pidf+xml"
MAX_INFOS = 8  # one alert in some languages, or of some hazards
MAX_TEXT = 500  # headline or description: what a screen shows
MAX_WORD = 64

REASONS = ("bad_xml", "forbidden_xml", "no_identifier", "not_alert", "too_deep", "too_long")
"""Why an alert is refused with 425."""

# Words of `event`, or of the values of `eventCode`, that mean a kind; our own kinds mean themselves. Longest first where one holds another.
_WORDS: tuple[tuple[str, Kind], ...] = (
    ("carbon monoxide", Kind.CO),
    ("man down", Kind.FALL),
    ("man-down", Kind.FALL),
    ("hold-up", Kind.DURESS),
    ("holdup", Kind.DURESS),
    ("robbery", Kind.DURESS),
    ("burglar", Kind.INTRUSION),
    ("intru", Kind.INTRUSION),
    ("medical", Kind.MEDICAL),
    ("cardiac", Kind.MEDICAL),
    ("panic", Kind.SOS),
    ("fall", Kind.FALL),
    ("smoke", Kind.SMOKE),
    ("fire", Kind.FIRE),
    ("gas", Kind.GAS),
    ("flood", Kind.WATER_LEAK),
    ("water", Kind.WATER_LEAK),
    ("help", Kind.HELP),
    ("求救", Kind.SOS),
    ("跌倒", Kind.FALL),
    ("火", Kind.FIRE),
    ("烟", Kind.SMOKE),
    ("一氧化碳", Kind.CO),
    ("燃气", Kind.GAS),
)
_CATEGORIES = {"fire": Kind.FIRE, "health": Kind.MEDICAL, "rescue": Kind.SOS}
_ALARMS = {kind.value: kind for kind in ALARM_KINDS}
_NOT_REAL = ("test", "exercise", "draft")
_KEPT = ("event", "urgency", "severity", "certainty", "senderName", "headline", "description", "instruction", "contact", "web")


class CapOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """kinds: words of a sender's own (`event` or a value of `eventCode`, in lower case) → kind; they go before the table."""

    kinds: dict[str, Kind] = {}


class CapBody:
    """The handler of CAP bodies of one line (`drivers.bodies.handler`). An alert is the same when all of it is."""

    media_types = (MEDIA_TYPE, MULTIPART)

    def __init__(self, options: CapOptions) -> None:
        self._kinds = options.kinds

    def accepts(self, content_type: str, body: bytes) -> bool:
        """CAP by its name, or a multipart in which it is named."""
        return content_type == MEDIA_TYPE or (content_type.startswith("multipart/") and MEDIA_TYPE.encode() in body.lower())

    def read(self, received: Received) -> Reading:
        """One alert; a signal for each kind that it holds."""
        parts = body_parts(received.message)
        alert = next((part.body for part in parts if part.content_type == MEDIA_TYPE), received.body)
        try:
            root = read_xml(alert)
            if root.name != "alert":
                raise MalformedXml("not_alert")
            if not root.value("identifier"):
                raise MalformedXml("no_identifier")
        except MalformedXml as fault:
            return self._refused(fault.reason, received)
        places = [place for part in parts if part.content_type == PIDF and (place := read_pidf(part.body)) is not None]
        return Reading(signals=tuple(self._signals(root, alert, received, places[0] if places else None)))

    def settled(self, reading: Reading, stored: bool, now: float) -> None:
        """Nothing is remembered."""

    def _refused(self, reason: str, received: Received) -> Reading:
        found: Signal | Rejected = Rejected(reason=reason, raw=received.raw)
        if received.from_user:
            found = Signal(
                kind=Kind.FAULT, kind_raw="unreadable", device=received.from_user, dedup=message_identity(received),
                detail={"reason": reason, "content_type": received.content_type}, raw=received.raw,
            )  # fmt: skip
        return Reading(signals=(found,), status=425, reason="Bad Alert Message")

    def _signals(self, alert: Element, octets: bytes, received: Received, place: Place | None) -> list[Signal]:
        by_kind: dict[Kind, Element | None] = {}
        for child in [child for child in alert.children if child.name == "info"][:MAX_INFOS]:
            by_kind.setdefault(self._kind(child), child)
        phase = _phase(alert)
        if not by_kind:
            by_kind = {Kind.CANCEL if phase is Phase.CLEAR else Kind.GENERAL: None}
        sender, sent = alert.value("sender"), alert.value("sent")
        sent_at = read_time(sent)
        # Without a clock that is right an identifier may come again, as a new cry: then only the same message is the same.
        has_clock = sent_at is not None and believed_time(sent_at, received.received_at)[2] is None
        identity = hashlib.blake2b(octets, digest_size=12).hexdigest() if has_clock else message_identity(received)
        found = []
        for kind, info in by_kind.items():
            where = place or _area(info) or Place()
            found.append(
                Signal(
                    kind=kind,
                    phase=phase,
                    kind_raw=(info.value("event") if info is not None else alert.value("msgType"))[:MAX_WORD] or "alert",
                    device=(Uri(sender).user or sender or received.from_user or received.source[0])[:MAX_WORD],
                    dedup=f"cap:{identity}:{kind.value}",
                    time=sent_at,
                    lat=where.lat,
                    lon=where.lon,
                    accuracy_m=where.accuracy_m,
                    position_source=where.source,
                    detail=_detail(alert, info, received, where),
                    raw=received.raw,
                )
            )
        return found

    def _kind(self, info: Element) -> Kind:
        words = [info.value("event"), *(code.value("value") for code in info.children if code.name == "eventCode")]
        for word in (text.strip().lower()[:MAX_WORD] for text in words):
            found = self._kinds.get(word) or _ALARMS.get(word.replace(" ", "_")) or next((kind for part, kind in _WORDS if part in word), None)
            if found is not None:
                return found
        categories = (child.text.lower() for child in info.children if child.name == "category")
        return next((_CATEGORIES[name] for name in categories if name in _CATEGORIES), Kind.GENERAL)


def _phase(alert: Element) -> Phase:
    """Test, exercise and draft are tests; what only supports the network (System, Ack, Error) raises nothing."""
    status, what = alert.value("status").lower(), alert.value("msgType").lower()
    if status in _NOT_REAL:
        return Phase.TEST
    if status == "system" or what in ("ack", "error"):
        return Phase.STATE
    return {"update": Phase.REPEAT, "cancel": Phase.CLEAR}.get(what, Phase.RAISE)


def _detail(alert: Element, info: Element | None, received: Received, where: Place) -> dict[str, object]:
    detail: dict[str, object] = {
        name: alert.value(name)[:MAX_TEXT] for name in ("identifier", "sender", "status", "msgType", "references", "incidents")
    }
    if info is not None:
        detail |= {name: info.value(name)[:MAX_TEXT] for name in _KEPT}
        detail["category"] = [child.text[:MAX_WORD] for child in info.children if child.name == "category"][:8]
        detail["area"] = next((area.value("areaDesc")[:MAX_TEXT] for area in info.children if area.name == "area"), "")
    detail |= {"civic": where.civic, "method": where.method, "from_user": received.from_user}
    return {name: value for name, value in detail.items() if value}


def _area(info: Element | None) -> Place | None:
    """The first circle (`lat,lon radius` in km) or, as its corners' middle, polygon (`lat,lon lat,lon …`)."""
    for area in (child for child in info.children if child.name == "area") if info is not None else ():
        for shape in area.children:
            place = _circle(shape.text) if shape.name == "circle" else _polygon(shape.text) if shape.name == "polygon" else None
            if place is not None:
                return place
    return None


def _circle(text: str) -> Place | None:
    words = text.split()
    centre = _point(words[0]) if words else None
    if centre is None:
        return None
    try:
        radius = float(words[1]) * 1000 if len(words) > 1 else math.nan
    except ValueError:
        radius = math.nan
    return Place(lat=centre[0], lon=centre[1], accuracy_m=radius if 0 < radius < 1e8 else None)


def _polygon(text: str) -> Place | None:
    """Half of the box around it is precise enough: who is called looks for a home, not for a border."""
    points = [point for word in text.split() if (point := _point(word)) is not None]
    if len(points) < 3:
        return None
    south, north = min(lat for lat, _ in points), max(lat for lat, _ in points)
    west, east = min(lon for _, lon in points), max(lon for _, lon in points)
    lat, lon = (south + north) / 2, (west + east) / 2
    reach = math.hypot((north - south) / 2, (east - west) / 2 * math.cos(math.radians(lat))) * METRES_PER_DEGREE
    return Place(lat=lat, lon=lon, accuracy_m=round(reach, 1))


def _point(text: str) -> tuple[float, float] | None:
    lat, comma, lon = text.partition(",")
    try:
        y, x = float(lat), float(lon) if comma else math.nan
    except ValueError:
        return None
    return (y, x) if -90 <= y <= 90 and -180 <= x <= 180 and (y or x) else None
