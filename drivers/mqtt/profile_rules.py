"""The compiled rules of a profile, and what they make of a message. Nothing here raises for anything in a message."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from drivers.contract import Rejected, Signal, believed_time
from drivers.mqtt.byte_codecs import ByteCodec, to_bytes
from drivers.mqtt.functions import canonical, whole
from drivers.mqtt.message import MAX_ADDRESS, content_name
from drivers.mqtt.profile_expression import Expression
from drivers.mqtt.topic_pattern import TopicPattern
from drivers.mqtt.value import Step, Value, bounded, number
from drivers.recent import RecentKeys
from gateway.core.edges import OPPOSITES
from gateway.event import ALARM_KINDS, KINDS, Group, Kind, Phase

SPEAKABLE = {
    kind.value: kind for kind, facts in KINDS.items() if facts.group in (Group.PERSON, Group.ENVIRONMENT, Group.DEVICE, Group.LIFE, Group.SUBJECTLESS)
}
"""What a device may say. Kinds of people, lines, calls and of the machine itself are not a device's to utter."""
NOTHING = "none"  # a kind that is no event
PHASES = {phase.value: phase for phase in Phase}
LATE = ("backfill", "replayed", "queued")

MAX_ITEMS = 1000  # of one list: a BLE gateway's array of 256 KiB has about 1,700, its usual one under 100
MAX_RAW_OF_ITEM = 4096  # bytes: longer messages with many items keep the item in each event, and not the whole a thousand times
PLAIN_WINDOW_S = 2.0  # without number and time: the same payload within 2 s (MQTT devices sheet, rule 3)
FRESH = timedelta(minutes=10)  # a retained message whose own time is younger is still news (rule 1)
_BROKEN = object()
_decode = msgspec.json.Decoder().decode


class Message:
    """One publish on its way through the rules: what they share, so that it is parsed once."""

    __slots__ = ("_captures", "_context", "_json", "_text", "dup", "faults", "found", "payload", "received_at", "recent", "retain", "topic")

    def __init__(self, topic: str, payload: bytes, retain: bool, dup: bool, received_at: datetime, recent: RecentKeys) -> None:
        self.topic, self.payload, self.retain, self.dup, self.received_at, self.recent = topic, payload, retain, dup, received_at, recent
        self.found: list[Signal | Rejected] = []
        self.faults: list[str] = []
        self._json: Any = None
        self._text: str | None = None
        self._captures: Mapping[str, str] | None = None
        self._context: dict[str, Any] = {}

    @property
    def is_json(self) -> bool:
        if self._json is None:
            self._json = read_json(self.payload)
        return self._json is not _BROKEN

    @property
    def text(self) -> str:
        if self._text is None:
            self._text = self.payload.decode("utf-8", "replace").strip()
        return self._text

    def reject(self, reason: str, raw: bytes, device: str | None = None) -> None:
        """Told once, however many rules stumble over the same thing."""
        if not any(isinstance(one, Rejected) and one.reason == reason and one.raw == raw for one in self.found[-4:]):
            self.found.append(Rejected(reason=reason, raw=raw, device=device))

    def context(self, captures: Mapping[str, str], parameters: Mapping[str, str], kind: str) -> dict[str, Any]:
        """What expressions see: the fields of the payload, and the reserved names. Rules on the same topic share it."""
        if captures is self._captures and self._context["_kind"] == kind:
            return self._context
        body: Any = None if kind == "text" or not self.is_json else self._json
        context: dict[str, Any] = dict(body) if type(body) is dict else {}
        context["payload"] = body
        context["topic"] = captures
        context["parameters"] = parameters
        context["retained"] = self.retain
        context["decoded"] = context["item"] = None
        context["text"] = self.text if kind != "json" else None
        context["raw"] = self.payload.hex() if kind == "any" else None
        context["_kind"] = kind
        self._captures, self._context = captures, context
        return context


def read_json(payload: bytes) -> Any:
    """The JSON, NaN and infinite numbers being null; _BROKEN when it is none. null itself is told as an empty object."""
    try:
        found = _decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        try:
            found = json.loads(payload.decode(), parse_constant=lambda _: None, parse_float=_finite)
        except (ValueError, RecursionError):
            return _BROKEN
    return {} if found is None else found


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class Edge:
    """name: of the state; by_kind: nobody gave it one, and one field tells of several kinds: each is a state of its own."""

    path: Expression
    truth: Step
    name: str
    again_s: float | None
    by_kind: bool = False


@dataclass(frozen=True, slots=True)
class EventPlan:
    """One `[[rule.event]]`. number: which of its rule, part of the identity when one message gives several signals."""

    number: int
    kind: Kind | Value
    phase: Phase | Value
    when: Expression | None
    edge: Edge | None
    values: tuple[tuple[str, Value], ...]
    vitals: tuple[tuple[str, Value], ...]
    detail: tuple[tuple[str, Value], ...]
    position: tuple[Expression, bool] | None
    late: Value | None
    constants: Mapping[str, Any]
    dedup: tuple[Expression, ...]
    within_s: float

    def apply(self, context: dict[str, Any], message: Message, device: str | None, retained: str | None, item: int, raw: bytes) -> str:
        """Add the signals of this event to the message's. Gives why there is none, or ""."""
        faults = message.faults
        if self.when is not None and search(self.when, context, faults) is not True:
            return "when"
        phase: Phase | Value | None = self.phase
        edge = None
        if self.edge is not None:
            state = self._state(context, faults)
            if state is None:
                return "no_state"
            edge, phase = self.edge.name, Phase.RAISE if state else Phase.CLEAR
        kinds: Sequence[Kind | None]
        if isinstance(self.kind, Kind):
            kinds = (self.kind,)
        else:
            named = self.kind.read(context, faults)
            kinds = [SPEAKABLE.get(one) for one in (named if isinstance(named, list) else [named]) if isinstance(one, str)]
        if isinstance(phase, Value):
            phase = PHASES.get(phase.read(context, faults) or "")
        if phase is None:
            return "no_phase"
        if message.retain and (retained or ("state" if edge else "candidate")) == "ignore":
            return "retained"
        why = "no_kind"
        for kind in kinds:
            if kind is not None:
                why = self._add(context, message, device, retained, item, raw, kind, phase, edge)
        return why

    def _state(self, context: dict[str, Any], faults: list[str]) -> bool | None:
        assert self.edge is not None
        value = search(self.edge.path, context, faults)
        state: bool | None = None if value is None else self.edge.truth(value)
        return state

    def _add(
        self,
        context: dict[str, Any],
        message: Message,
        device: str | None,
        retained: str | None,
        item: int,
        raw: bytes,
        kind: Kind,
        phase: Phase,
        edge: str | None,
    ) -> str:
        faults = message.faults
        if device is None:
            if kind not in ALARM_KINDS:
                message.reject("no_device", raw)
                return "no_device"
            # An alarm from nobody is still an alarm: the topic stands for the address, and an operator asks.
            device = "".join(one if one.isprintable() else "?" for one in message.topic[:MAX_ADDRESS])
        said: dict[str, Any] = dict(self.constants)
        for name, value in self.values:
            read = value.read(context, faults)
            if read is not None:
                said[name] = read
        if self.position is not None:
            place = _place(search(self.position[0], context, faults), self.position[1])
            if place is not None:
                said["lat"], said["lon"] = place
        if ("lat" in said or "lon" in said) and not is_place(said.get("lat"), said.get("lon")):
            said.pop("lat", None)
            said.pop("lon", None)
        if self.vitals:
            vitals = {name: read for name, value in self.vitals if (read := value.read(context, faults)) is not None}
            if vitals:
                said["vitals"] = vitals
        detail: dict[str, object] = {}
        for name, value in self.detail:
            read = value.read(context, faults)
            if read is not None:
                detail[name] = read
        time: datetime | None = said.get("time")
        is_believed = time is not None and believed_time(time, message.received_at)[1] == "device"
        late = self._late(context, faults)
        if message.retain and late is None:
            is_fresh = is_believed and time is not None and message.received_at - time < FRESH
            late = _late_of_retained(edge is not None, phase, retained, is_fresh)
            if is_fresh and retained != "liveness":
                detail["replayed"] = True
        if edge is not None:
            said["edge"] = f"{edge}:{OPPOSITES.get(kind, kind)}" if self.edge is not None and self.edge.by_kind else edge
            said["edge_s"] = self.edge.again_s if self.edge is not None else None
        elif self.dedup or KINDS[kind].journalled:
            said["dedup"] = self._identity(context, message, device, kind, phase, time if is_believed else None, item)
        if detail:
            said["detail"] = detail
        message.found.append(Signal(kind=kind, phase=phase, device=device, late=late, raw=raw, **said))
        return ""

    def _late(self, context: dict[str, Any], faults: list[str]) -> str | None:
        if self.late is None:
            return None
        found = self.late.read(context, faults)
        if found is None or found is False:
            return None
        return found if found in LATE else "backfill"

    def _identity(self, context: dict[str, Any], message: Message, device: str, kind: Kind, phase: Phase, time: datetime | None, item: int) -> str:
        """Invariant 3: the profile's own key; else device, kind and time; else the same payload within 2 s. Every signal of a message has its own."""
        if self.dedup:
            parts = [canonical(search(one, context, message.faults)) for one in self.dedup]
            if any(part is not None for part in parts):
                text = f"{device}:{kind}:{self.number}:" + ":".join("-" if part is None else part for part in parts)
                return message.recent.key(_short(text), self.within_s, message.received_at, dup=message.dup)
        if time is not None:
            return f"{device}:{kind}:{phase}:{int(time.timestamp() * 1000)}"
        text = f"{device}:{kind}:{self.number}:{item}:{content_name(message.payload)}"
        return message.recent.key(_short(text), PLAIN_WINDOW_S, message.received_at, dup=message.dup)


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:100]}:{content_name(text.encode(errors='replace'))}"


def _late_of_retained(is_edge: bool, phase: Phase, retained: str | None, is_fresh: bool) -> str | None:
    """What the broker kept is history, unless its own time says that it is news, or it is a topic of liveness, which is meant to be kept.

    Of a state the core decides what to make of it: that it is so was perhaps never told, that it is not so any more is true now. But neither is a
    sign that the device lives: a sensor that is gone for weeks has its OFF kept, and told whenever we subscribe.
    """
    if retained == "liveness" or (is_fresh and (phase is Phase.CLEAR or not is_edge)):
        return None
    return "replayed"


def is_place(lat: float | None, lon: float | None) -> bool:
    """Both there, in range, and not 0, 0 which devices send while they have no fix."""
    return lat is not None and lon is not None and -90 <= lat <= 90 and -180 <= lon <= 180 and (lat != 0 or lon != 0)


def _place(value: Any, is_lon_first: bool) -> tuple[float, float] | None:
    """(lat, lon) of "a,b" or [a, b, …]."""
    parts = value.split(",") if isinstance(value, str) and len(value) <= 100 else value
    if not isinstance(parts, list) or len(parts) < 2:
        return None
    first, second = (number(part.strip() if isinstance(part, str) else part) for part in parts[:2])
    if first is None or second is None:
        return None
    return (second, first) if is_lon_first else (first, second)


def search(expression: Expression, context: Mapping[str, Any], faults: list[str]) -> Any:
    """What the expression finds; None, and a fault, when it raises."""
    try:
        return expression.search(context)
    except Exception as error:
        faults.append(f"{expression.text}: {type(error).__name__}: {error}"[:200])
        return None


@dataclass(frozen=True, slots=True)
class ByteDecoding:
    path: Expression
    encoding: str
    read: ByteCodec
    port: Expression | None

    @property
    def is_of_item(self) -> bool:
        """Each element of `each` has bytes of its own."""
        return self.path.mentions("item")

    def decode(self, context: dict[str, Any], faults: list[str]) -> dict[str, object] | None:
        """What the bytes say, None when they are not there or no bytes of this codec."""
        data = to_bytes(search(self.path, context, faults), self.encoding)
        if data is None:
            return None
        port = whole(search(self.port, context, faults)) if self.port is not None else 0
        try:
            return self.read(data, port or 0)
        except Exception as error:
            faults.append(f"codec: {type(error).__name__}: {error}"[:200])
            return None


@dataclass(frozen=True, slots=True)
class Rule:
    """One `[[rule]]`, or one `[[liveness]]` in the same form."""

    name: str
    pattern: TopicPattern
    not_topic: tuple[TopicPattern, ...]
    payload: str
    when: Expression | None
    each: Expression | None
    decoding: ByteDecoding | None
    devices: tuple[Expression, ...]
    retained: str | None
    is_last: bool
    is_otherwise: bool
    events: tuple[EventPlan, ...]
    decodes_first: bool = field(default=False)

    def apply(self, message: Message, captures: Mapping[str, str], parameters: Mapping[str, str]) -> str:
        """Add what this rule makes of the message. Gives "" when the rule fits, else why not: bad_json, when."""
        if self.payload == "json" and not message.is_json:
            return "bad_json"
        context = message.context(captures, parameters, self.payload)
        faults = message.faults
        if self.decoding is not None and self.decodes_first:
            context = {**context, "decoded": self.decoding.decode(context, faults)}
        if self.when is not None and search(self.when, context, faults) is not True:
            return "when"
        if self.decoding is not None and not self.decodes_first:
            context = {**context, "decoded": self.decoding.decode(context, faults)}
        if self.each is None:
            self._events(context, message, 0, message.payload)
            return ""
        items = search(self.each, context, faults)
        if isinstance(items, list):
            for number_, item in enumerate(items[:MAX_ITEMS]):
                raw = message.payload if len(message.payload) <= MAX_RAW_OF_ITEM else _encoded(item)
                of_item = {**context, "item": item}
                if self.decoding is not None and self.decoding.is_of_item:
                    of_item["decoded"] = self.decoding.decode(of_item, faults)
                self._events(of_item, message, number_, raw)
            if len(items) > MAX_ITEMS:
                message.found.append(Rejected(reason="too_many_items", raw=message.payload[:MAX_RAW_OF_ITEM], detail=str(len(items))))
        return ""

    def _events(self, context: dict[str, Any], message: Message, item: int, raw: bytes) -> None:
        device, fault = self.device(context, message.faults)
        if fault:
            message.reject(fault, raw, device)
            return
        for event in self.events:
            event.apply(context, message, device, self.retained, item, raw)

    def device(self, context: dict[str, Any], faults: list[str]) -> tuple[str | None, str]:
        """(address, fault): the first that is there; the others, where they are there, must say the same thing."""
        found: str | None = None
        for expression in self.devices:
            value = canonical(search(expression, context, faults))
            if not value:
                continue
            if found is None:
                if len(value) > MAX_ADDRESS or not value.isprintable():
                    return None, "bad_device"
                found = value
            elif _plain(value) != _plain(found):
                return found, "device_mismatch"
        return found, ""


def _plain(address: str) -> str:
    return address.replace(":", "").replace("-", "").lower()


def _encoded(item: Any) -> bytes:
    try:
        return msgspec.json.encode(bounded(item))[:MAX_RAW_OF_ITEM]
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return b""
