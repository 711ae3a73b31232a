"""Ness D8x/D16x alarm panels: events by themselves, and their state when asked (9600 8N1, or a TCP bridge).

Nothing is acknowledged. So the state is asked for when a connection stands, after each line that was lost, and every `ask_s`: zones in alarm
(status 05, 25) and the alarms of keypad and pendant (status 13). What a line is made of stands in `ness_packet`.
"""

import zoneinfo
from datetime import datetime, timedelta

import msgspec

from drivers.contract import Rejected, Signal, Surroundings
from drivers.panel.lines import CheckedLines
from drivers.panel.meaning import check_kind
from drivers.panel.ness_packet import EVENT, RESPONSE, USER_INTERFACE, Packet, PacketError, read_packet, write_request
from drivers.panel.zones import (
    KnownStates,
    check_numbers,
    check_time_zone,
    local_time,
    numbered,
    phase_as,
    zone_name,
)
from gateway.event import ALARM_KINDS, Kind, Phase

ZONES = 32  # of the largest model
ALARM, ALARM_RESTORE = 0x02, 0x03
# code -> (kind, phase, name). The codes are digits as printed: 10 is hex 10.
EVENTS: dict[int, tuple[Kind, Phase, str]] = {
    0x00: (Kind.CONTACT_OPEN, Phase.STATE, "unsealed"),
    0x01: (Kind.CONTACT_CLOSED, Phase.STATE, "sealed"),
    ALARM: (Kind.GENERAL, Phase.RAISE, "alarm"),
    ALARM_RESTORE: (Kind.GENERAL, Phase.CLEAR, "alarm restore"),
    0x04: (Kind.TELEMETRY, Phase.STATE, "manual exclude"),
    0x05: (Kind.TELEMETRY, Phase.STATE, "manual include"),
    0x06: (Kind.TELEMETRY, Phase.STATE, "auto exclude"),
    0x07: (Kind.TELEMETRY, Phase.STATE, "auto include"),
    0x08: (Kind.TAMPER, Phase.RAISE, "tamper unsealed"),
    0x09: (Kind.TAMPER, Phase.CLEAR, "tamper normal"),
    0x10: (Kind.POWER_CUT, Phase.RAISE, "mains failure"),
    0x11: (Kind.POWER_CUT, Phase.CLEAR, "mains normal"),
    0x12: (Kind.LOW_BATTERY, Phase.RAISE, "battery failure"),
    0x13: (Kind.LOW_BATTERY, Phase.CLEAR, "battery normal"),
    0x14: (Kind.FAULT, Phase.RAISE, "report failure"),
    0x15: (Kind.FAULT, Phase.CLEAR, "report normal"),
    0x16: (Kind.OFFLINE, Phase.RAISE, "supervision failure"),
    0x17: (Kind.OFFLINE, Phase.CLEAR, "supervision normal"),
    0x19: (Kind.HEARTBEAT, Phase.STATE, "clock"),
    0x20: (Kind.TELEMETRY, Phase.STATE, "entry delay start"),
    0x21: (Kind.TELEMETRY, Phase.STATE, "entry delay end"),
    0x22: (Kind.TELEMETRY, Phase.STATE, "exit delay start"),
    0x23: (Kind.TELEMETRY, Phase.STATE, "exit delay end"),
    0x24: (Kind.TELEMETRY, Phase.STATE, "armed away"),
    0x25: (Kind.TELEMETRY, Phase.STATE, "armed home"),
    0x26: (Kind.TELEMETRY, Phase.STATE, "armed day"),
    0x27: (Kind.TELEMETRY, Phase.STATE, "armed night"),
    0x28: (Kind.TELEMETRY, Phase.STATE, "armed vacation"),
    0x2E: (Kind.TELEMETRY, Phase.STATE, "armed highest"),
    0x2F: (Kind.TELEMETRY, Phase.STATE, "disarmed"),
    0x30: (Kind.TELEMETRY, Phase.STATE, "arming delayed"),
    0x31: (Kind.TELEMETRY, Phase.STATE, "output on"),
    0x32: (Kind.TELEMETRY, Phase.STATE, "output off"),
}
ZONE_EVENTS = (*range(0x00, 0x0A), 0x16, 0x17)  # the second byte numbers a zone; of 24 to 2F it numbers a user
USER_EVENTS = range(0x24, 0x30)

# Status 13, first byte then second; None: nothing to tell. The vendor's document has the bytes the wrong way round (nessclient).
MISCELLANEOUS: tuple[tuple[int, Kind | None, str], ...] = (
    (0x0100, Kind.DURESS, "duress"),
    (0x0200, Kind.SOS, "panic"),
    (0x0400, Kind.MEDICAL, "medical"),
    (0x0800, Kind.FIRE, "fire"),
    (0x1000, None, "installer end"),
    (0x2000, Kind.TAMPER, "external tamper"),
    (0x4000, Kind.TAMPER, "panel tamper"),
    (0x8000, Kind.TAMPER, "keypad tamper"),
    (0x0001, Kind.SOS, "pendant panic"),
    (0x0002, Kind.LOW_BATTERY, "panel battery low"),
    (0x0004, Kind.LOW_BATTERY, "panel battery low 2"),
    (0x0008, Kind.POWER_CUT, "mains fail"),
    (0x0010, Kind.FAULT, "C-Bus fail"),
)
MISCELLANEOUS_ALARMS, ZONES_1_IN_ALARM, ZONES_17_IN_ALARM = 0x13, 0x05, 0x25
QUESTIONS = ("S13", "S05")
QUESTION_17 = "S25"  # models with 32 zones only: others do not know it


class NessOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a site may differ in.

    zones      {"7" = "sos"}: what an alarm of a zone is; unmapped: general
    areas      {"05" = "medical"}: what an alarm in a special area is (panic, medical, fire, 24-hour …), by the byte of the area in hex;
               the zone's own word goes before it
    time_zone  of the panel's clock, which runs in local time
    ask_s      how often its state is asked for; 0: never, not even after a lost line (a bus on which only another may speak)
    large      the panel has 32 zones
    """

    zones: dict[str, str] = {}
    areas: dict[str, str] = {}
    time_zone: str = "Asia/Shanghai"
    ask_s: float = 60.0
    large: bool = False

    def __post_init__(self) -> None:
        check_numbers("zones", self.zones, ZONES)
        check_time_zone(self.time_zone)
        for area, kind in self.areas.items():
            if len(area) != 2 or not all(digit in "0123456789abcdefABCDEF" for digit in area):
                raise ValueError(f'areas: {area!r} is no area; write its byte as two hex digits, for instance "05"')
            check_kind(f"areas: {area!r}", kind)


class NessPanel(CheckedLines):
    """One panel on one link; its address on the bus (0 to F) is the device."""

    def __init__(self, options: NessOptions | None = None, place: Surroundings | None = None) -> None:
        self._options = options or NessOptions()
        place = place or Surroundings()
        questions = b"".join(write_request(data) for data in (*QUESTIONS, *([QUESTION_17] if self._options.large else [])))
        super().__init__(place.session, questions, self._options.ask_s)
        self._zones = numbered(self._options.zones)
        self._areas = {int(area, 16): Kind(kind) for area, kind in self._options.areas.items()}
        self._time_zone = zoneinfo.ZoneInfo(self._options.time_zone)
        self._is_placed = bool(place.line)  # outside a line (`gateway decode`) nobody remembers a state
        self._known = place.memory if isinstance(place.memory, KnownStates) else KnownStates()

    def read_line(self, line: bytes, now: float) -> list[Signal | Rejected]:
        try:
            packet = read_packet(line.decode("ascii", "replace").strip())
        except PacketError as error:
            return self.bad_line(str(error), line, now)
        if packet.command == EVENT and packet.start != RESPONSE and len(packet.data) >= 6:
            return [self._event(packet, line)]
        if packet.command == USER_INTERFACE and packet.start == RESPONSE and len(packet.data) >= 6:
            return self._status(packet, line)
        self.counts["passed_over"] += 1  # requests of others, short responses
        return []

    def _event(self, packet: Packet, raw: bytes) -> Signal:
        code, area = int(packet.data[:2], 16), int(packet.data[4:6], 16)
        number = packet.data[2:4]
        detail: dict[str, object] = {"area": f"{area:02X}"}
        if code in ZONE_EVENTS and number != "00":
            detail["zone"] = number.zfill(3)
        elif code in USER_EVENTS or code not in EVENTS:
            detail["user" if code in USER_EVENTS else "number"] = number
        edge = None
        if code in EVENTS:
            kind, phase, detail["event"] = EVENTS[code]
            if code in (ALARM, ALARM_RESTORE):
                kind = self._alarm_kind(number, area)
                edge = f"zone {number.zfill(3)}"
        else:  # the technician's, except where the area is one that people call from
            kind, phase = self._areas.get(area, Kind.FAULT), Phase.RAISE
            kind = kind if kind in ALARM_KINDS else Kind.FAULT
            detail["event"] = "unknown"
        signal = Signal(
            kind=kind,
            phase=phase_as(kind, phase),
            kind_raw=packet.data[:2].upper(),
            device=_address(packet),
            dedup=self.identity(),
            time=self._time(packet.clock),
            integrity="verified",
            detail=detail,
            raw=raw,
        )
        return self._known.event(signal, edge) if edge else signal

    def _alarm_kind(self, number: str, area: int) -> Kind:
        by_zone = self._zones.get(int(number)) if number.isdigit() else None
        return by_zone or self._areas.get(area) or Kind.GENERAL

    def _status(self, packet: Packet, raw: bytes) -> list[Signal | Rejected]:
        """An answer: what it tells is a state, also when nobody asked for it."""
        request, bits = int(packet.data[:2], 16), int(packet.data[2:6], 16)
        states: list[tuple[bool, Kind, str, dict[str, object]]]
        if request == MISCELLANEOUS_ALARMS:
            states = [(bool(bits & bit), kind, name, {"alarm": name}) for bit, kind, name in MISCELLANEOUS if kind is not None]
        elif request in (ZONES_1_IN_ALARM, ZONES_17_IN_ALARM):
            first = 1 if request == ZONES_1_IN_ALARM else 17
            states = []
            for index in range(16):
                zone = zone_name(first + index)
                is_set = bool(bits & (0x0100 << index if index < 8 else 1 << index - 8))
                states.append((is_set, self._alarm_kind(zone, -1), f"zone {zone}", {"zone": zone}))
        else:
            self.counts["status_passed_over"] += 1
            return [Signal(kind=Kind.HEARTBEAT, phase=Phase.STATE, device=_address(packet), kind_raw=f"status {packet.data[:2]}", raw=raw)]
        told = [self._state(state, packet, raw) for state in states if phase_as(state[1], Phase.RAISE) is Phase.RAISE]
        signals = self._known.news(told, first_clears=self._is_placed)
        if not signals:  # the answer itself is a sign of life
            return [Signal(kind=Kind.HEARTBEAT, phase=Phase.STATE, device=_address(packet), kind_raw=f"status {packet.data[:2]}", raw=raw)]
        return list(signals)

    def _state(self, state: tuple[bool, Kind, str, dict[str, object]], packet: Packet, raw: bytes) -> Signal:
        is_set, kind, edge, detail = state
        return Signal(
            kind=kind,
            phase=Phase.RAISE if is_set else Phase.CLEAR,
            kind_raw=f"status {packet.data[:2]}",
            device=_address(packet),
            dedup=self.identity(),
            time=self._time(packet.clock),
            integrity="verified",
            edge=edge,
            detail=detail,
            raw=raw,
        )

    def _time(self, clock: tuple[int, ...] | None) -> datetime | None:
        """On the hour the panel says minute 60: the next hour, minute 0. None for what no clock can show: the time of arrival stands."""
        if clock is None:
            return None
        if clock[4] != 60:
            return local_time(clock, self._time_zone)
        at = local_time((*clock[:4], 0, clock[5]), self._time_zone)
        return at + timedelta(hours=1) if at is not None else None


def _address(packet: Packet) -> str:
    return f"{packet.address or 0:X}"
