"""The generic wearable: JSON on `wearables/<device>/event`, one message one signal."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from drivers.contract import Rejected, Signal, believed_time
from drivers.mqtt.message import addresses, content_name, refuse_oversize
from drivers.recent import RecentKeys
from gateway.event import KINDS, Group, Kind, Phase

TOPICS = ("wearables/+/event",)

REASONS = ("bad_json", "bad_topic", "bad_ts", "device_mismatch", "empty", "forbidden_kind", "not_an_object", "too_deep", "too_long", "unknown_kind")
"""Every reason for which a message is rejected."""

# What a device may say. Kinds of people, lines, calls and of the machine itself are not a wearable's to utter.
_SPEAKABLE = frozenset((Group.PERSON, Group.ENVIRONMENT, Group.DEVICE, Group.LIFE, Group.SUBJECTLESS))
_KINDS = {kind.value: kind for kind, facts in KINDS.items() if facts.group in _SPEAKABLE}
_PHASES = {phase.value: phase for phase in Phase}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999  # the end of the year 9999, the last that datetime can say
_LAST_SEQUENCE = 2**63 - 1  # a store's integer column
_FRESH = timedelta(minutes=10)  # a retained alarm younger than this is still news (MQTT devices sheet, rule 1)

# Identity when the device's clock cannot be believed (invariant 3 asks for "the protocol's window", and MQTT has none). A clock that always
# says 1970, or a counter that starts at 1 with each battery, must not make the next cry a duplicate of last week's.
COUNTED_WINDOW_S = 600.0
PLAIN_WINDOW_S = 2.0  # neither number nor time: the same payload within 2 s


class _Wearable(msgspec.Struct, gc=False):
    kind: str
    ts: int | None = None
    seq: int | None = None
    lat: float | None = None
    lon: float | None = None
    battery: float | None = None
    phase: str | None = None
    device: str | None = None
    firmware: str | None = None


_decode = msgspec.json.Decoder(_Wearable).decode


class GenericWearable:
    """Decodes published events.

    Wire: {"kind", "ts"? (int, ms since 1970), "seq"? (int), "lat"?, "lon"? (WGS-84 degrees), "battery"? (percent), "phase"?, "device"?,
    "firmware"? (the version it runs)}.
    `ts` stays in detail["ts"] unchanged, because orders carry it back. Values out of range, NaN and booleans for numbers are absent, their names
    in detail["ignored"]: a cry is not refused for a broken battery gauge. Errors are returned as Rejected (`REASONS`).
    Source: architecture, section 8; MQTT devices sheet, section 0.
    """

    def __init__(self, topics: tuple[str, ...] = TOPICS, recent: RecentKeys | None = None) -> None:
        self._addresses = addresses(topics)
        self.topics = topics
        self._recent = recent or RecentKeys()

    def receive_message(self, topic: str, payload: bytes, retain: bool, dup: bool, now: float, received_at: datetime) -> list[Signal | Rejected]:
        """The one signal or rejection of one publish. `retain` and `dup` are the flags of the broker's packet."""
        del now
        return [self._read(topic, payload, retain, dup, received_at)]

    def _read(self, topic: str, payload: bytes, retain: bool, dup: bool, received_at: datetime) -> Signal | Rejected:
        oversize = refuse_oversize(topic, payload)
        if oversize is not None:
            return oversize
        device = next((found for address in self._addresses if (found := address.find(topic)) is not None), None)
        if device is None:
            return Rejected(reason="bad_topic", raw=payload)
        if not payload:  # a retained message was deleted
            return Rejected(reason="empty", raw=payload, device=device)
        ignored: list[str] = []
        try:
            said = _decode(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            loosely = _decode_loosely(payload, device, ignored)
            if isinstance(loosely, Rejected):
                return loosely
            said = loosely
        kind = _KINDS.get(said.kind) or _KINDS.get(said.kind.strip().lower())
        if kind is None:
            reason = "forbidden_kind" if said.kind in Kind.__members__.values() else "unknown_kind"
            return Rejected(reason=reason, raw=payload, device=device, detail=ascii(said.kind[:40]))
        if said.device is not None and said.device != device:
            return Rejected(reason="device_mismatch", raw=payload, device=device, detail="the payload names another device than the topic")

        detail: dict[str, object] = {}
        time = None
        if said.ts is not None:
            if not 0 <= said.ts <= _LAST_MS:
                return Rejected(reason="bad_ts", raw=payload, device=device, detail="not milliseconds since 1970")
            time = _EPOCH + timedelta(milliseconds=said.ts)
            detail["ts"] = said.ts
        is_believed = believed_time(time, received_at)[1] == "device"
        sequence = said.seq
        if sequence is not None and not 0 <= sequence <= _LAST_SEQUENCE:
            sequence = None
            ignored.append("seq")
        battery = said.battery
        if battery is not None and not 0 <= battery <= 100:
            battery = None
            ignored.append("battery")
        lat, lon = said.lat, said.lon
        if (lat is not None or lon is not None) and not _is_place(lat, lon):
            lat = lon = None
            ignored.append("position")
        phase = _PHASES.get(said.phase) if said.phase is not None else Phase.RAISE
        if phase is None:
            phase = Phase.RAISE
            ignored.append("phase")
        if ignored:
            detail["ignored"] = ignored
        return Signal(
            kind=kind,
            phase=phase,
            kind_raw=said.kind,
            device=device,
            sequence=sequence,
            dedup=self._identity(device, kind, said.ts if is_believed else None, said.ts, sequence, payload, dup, received_at),
            time=time,
            lat=lat,
            lon=lon,
            battery_pct=battery,
            firmware=said.firmware,
            late="replayed" if retain and not (is_believed and time is not None and received_at - time < _FRESH) else None,
            detail=detail,
            raw=payload,
        )

    def _identity(
        self,
        device: str,
        kind: Kind,
        believed_ts: int | None,
        ts: int | None,
        sequence: int | None,
        payload: bytes,
        dup: bool,
        at: datetime,
    ) -> str:
        """The message's identity: number and content, else kind and time; when the clock is not believed, good for a window only."""
        if believed_ts is not None:
            return f"{device}:{kind}:{believed_ts}" if sequence is None else f"{device}:{sequence}:{content_name(payload)}"
        plain = sequence is None and ts is None
        message = f"{device}:{kind if sequence is None else sequence}:{content_name(payload)}"
        return self._recent.key(message, PLAIN_WINDOW_S if plain else COUNTED_WINDOW_S, at, dup=dup)


def _is_place(lat: float | None, lon: float | None) -> bool:
    """Both there, in range, and not 0, 0 which devices send while they have no fix."""
    return lat is not None and lon is not None and -90 <= lat <= 90 and -180 <= lon <= 180 and (lat != 0 or lon != 0)


def _decode_loosely(payload: bytes, device: str, ignored: list[str]) -> _Wearable | Rejected:
    """Read what the typed decoder refused: NaN, numbers as text, booleans in number fields; or find out why it cannot be read."""
    try:
        said: Any = json.loads(payload.decode())
    except (ValueError, RecursionError) as error:
        return Rejected(reason="bad_json", raw=payload, device=device, detail=type(error).__name__)
    if not isinstance(said, dict):
        return Rejected(reason="not_an_object", raw=payload, device=device)
    kind, named, phase, ts, firmware = (said.get(name) for name in ("kind", "device", "phase", "ts", "firmware"))
    if not isinstance(kind, str):
        return Rejected(reason="unknown_kind", raw=payload, device=device, detail="kind is missing or no text")
    if named is not None and not isinstance(named, str):
        return Rejected(reason="device_mismatch", raw=payload, device=device, detail="device is no text")
    if phase is not None and not isinstance(phase, str):
        phase = None
        ignored.append("phase")
    if firmware is not None and not isinstance(firmware, str):
        firmware = None
        ignored.append("firmware")
    if ts is not None and (ts := _integer(ts)) is None:
        return Rejected(reason="bad_ts", raw=payload, device=device, detail="no integer")

    def number(name: str) -> float | None:
        value = said.get(name)
        if value is None:
            return None
        if (read := _number(value)) is None:
            ignored.append(name)
        return read

    seq = said.get("seq")
    if seq is not None and (seq := _integer(seq)) is None:
        ignored.append("seq")
    return _Wearable(kind, ts, seq, number("lat"), number("lon"), number("battery"), phase, named, firmware)


def _number(value: object) -> float | None:
    """A finite number, also when it came as text; None for all else (a boolean is no number)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or (isinstance(value, str) and len(value) > 40):
        return None
    try:
        read = float(value)
    except (ValueError, OverflowError):
        return None
    return read if math.isfinite(read) else None


def _integer(value: object) -> int | None:
    """A whole number, also when it came as text or as 5.0; None for all else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= 40 and value.strip().lstrip("-").isdecimal() and value.isascii():
        try:
            return int(value)
        except ValueError:  # "--5"
            return None
    return int(value) if isinstance(value, float) and value.is_integer() else None
