"""GT06 (Concox, Jimi, WanWay and hundreds of clones): pendants, wrist and key-ring trackers that dial in over TCP and stay connected.

No password: the IMEI of the login is the only identity. A device repeats an alarm until it is answered, and is answered once it is kept.
Source: Concox GT06 documents; see gt06_frame for the wire, gt06_block for what contents mean.
"""

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import msgspec

from drivers.contract import Rejected, Signal, Surroundings
from drivers.downlink import Tell, Word
from drivers.tracker.asked import Asked
from drivers.tracker.gt06_block import (
    BLOCK,
    Place,
    Status,
    imei_of,
    kinds_of,
    read_alarm,
    read_cells,
    read_heartbeat,
    read_information,
    read_place,
    terminal_alarm,
    zone_of,
)
from drivers.tracker.gt06_frame import Frame, Frames, Unreadable, build
from drivers.tracker.gt06_memory import ONE_PRESS_S, Gt06Memory
from drivers.tracker.receipts import Receipt, owing
from gateway.event import KINDS, Kind, Phase, Severity

__all__ = ["Gt06", "Gt06Memory", "Gt06Options", "login_before"]

LOGIN, TIME, INFORMATION, COMMAND = 0x01, 0x8A, 0x94, 0x80
HEARTBEATS = frozenset((0x13, 0x23))
LOCATIONS = frozenset((0x12, 0x22))
ALARMS = frozenset((0x16, 0x26, 0x27, 0x19, 0xA4, 0x95))
ANSWERS = frozenset((0x15, 0x21))
LOCAL_TIME = frozenset((0x12, 0x16))  # their dates are in the zone of the login; those of the others in UTC

LOGIN_S = 10.0  # so long an alarm waits for a login that some devices send behind it
MAX_BEFORE_LOGIN = 8  # frames that wait; one segment brings two
MARGIN_S = 60.0  # on top of three heartbeats
DAY_S = 86_400.0  # an alarm with a date is the same message whenever it comes again; one without only as long as a press lasts


class Gt06Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[line.options]` of codec gt06.

    heartbeat_s: how often devices give a sign of life; after three of them and a minute without a byte we hang up.
    utc_offset_min: zone of the dates in frames 12 and 16, minutes east; without it the login's, else UTC.
    accept_bad_crc: IMEIs of broken clones whose check value may be wrong (their events are then marked unverified).
    command_for: what is sent to a device as a command, by word (taken, coming, over, prompt), for models that have one; none by default.
    """

    heartbeat_s: float = 300.0
    utc_offset_min: int | None = None
    accept_bad_crc: frozenset[str] = frozenset()
    command_for: dict[Word, str] = {}

    def __post_init__(self) -> None:
        if not 10 <= self.heartbeat_s <= DAY_S:
            raise ValueError("heartbeat_s: write seconds from 10 to 86400")
        if self.utc_offset_min is not None and abs(self.utc_offset_min) > 14 * 60:
            raise ValueError("utc_offset_min: write minutes from -840 to 840")
        if any(not text.isascii() or not 0 < len(text) <= 200 for text in self.command_for.values()):
            raise ValueError("command_for: a command has 1 to 200 ASCII characters")


class Gt06:
    """One connection of one device."""

    peer_repeats = True

    def __init__(self, options: Gt06Options | None = None, place: Surroundings | None = None) -> None:
        self._options = options or Gt06Options()
        self._place = place or Surroundings()
        self._memory: Gt06Memory = self._place.memory or Gt06Memory()
        self._frames = Frames()
        self._outgoing = bytearray()
        self._imei: str | None = None
        self._zone = None if self._options.utc_offset_min is None else timedelta(minutes=self._options.utc_offset_min)
        self._held: list[tuple[Frame, float]] = []  # alarms before the login, and until when they wait for it
        self._heard: float | None = None
        self._asked = Asked()
        self._commands = 0
        self.hang_up = False
        self.peer = ""  # from where the device has dialled in; the line fills it in

    @property
    def addresses(self) -> tuple[str, ...]:
        """Who is logged in: a new login of the same device ends the older connection."""
        return () if self._imei is None else (self._imei,)

    def receive_data(self, data: bytes, now: float) -> list[Signal | Rejected]:
        """Take any fragment; give what its frames say."""
        found = self._overdue(now)
        if data:
            self._heard = now
        return found + self._read_all(self._frames.feed(data, now), now)

    def confirm(self, signal: Signal | Rejected) -> None:
        """It is kept: once all that its frame said is, the device gets its answer."""
        if isinstance(signal.token, Receipt) and signal.token.is_due():
            self._outgoing += signal.token.answer

    def refuse(self, signal: Signal | Rejected, reason: str) -> None:  # noqa: ARG002 - whatever the reason, the device hears nothing
        """It could not be kept: no answer, so the device repeats it, and then it is still news."""
        if isinstance(signal.token, Receipt):
            signal.token.void()
        if not isinstance(signal, Signal) or signal.device is None:
            return
        if signal.edge is not None:
            self._memory.forget_bits(signal.device)
        elif signal.phase is Phase.RAISE:
            self._memory.forget_press(signal.device, signal.kind)

    def data_to_send(self) -> bytes:
        out = bytes(self._outgoing)
        self._outgoing.clear()
        return out

    def deadline(self) -> float | None:
        if self.hang_up:
            return None
        times = [self._frames.deadline(), self._asked.deadline(), self._silent_at(), *(until for _, until in self._held)]
        return min((at for at in times if at is not None), default=None)

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:
        """Unfinished frames, alarms whose login never came, questions without an answer, a device that is gone."""
        found = self._overdue(now)
        silent_at = self._silent_at()
        if silent_at is not None and now >= silent_at:
            self.hang_up = True
        return found

    def disconnected(self, now: float) -> list[Signal | Rejected]:
        """The connection is lost: no login will come any more."""
        return self._unidentified(now + LOGIN_S)

    # --- drivers.downlink.Teller

    def can_tell(self, device: str, word: Word) -> bool:
        return device == self._imei and word in self._options.command_for

    def tell(self, tell: Tell, token: int, now: float) -> None:
        if self._asked.is_full:
            self._asked.settle(token, "busy")
            return
        self._commands = self._commands % 0xFFFF + 1
        text = self._options.command_for[tell.word].encode("ascii")
        content = bytes([len(text) + 4]) + self._commands.to_bytes(4) + text + b"\x00\x02"
        self._outgoing += build(COMMAND, content, self._commands)
        self._asked.wait(token, (self._commands,), now)

    def told(self) -> list[tuple[int, str]]:
        return self._asked.told()

    # --- frames

    def _silent_at(self) -> float | None:
        return None if self._heard is None else self._heard + 3 * self._options.heartbeat_s + MARGIN_S

    def _overdue(self, now: float) -> list[Signal | Rejected]:
        self._asked.expire(now)
        return self._read_all(self._frames.expire(now), now) + self._unidentified(now)

    def _read_all(self, frames: Iterable[Frame | Unreadable], now: float) -> list[Signal | Rejected]:
        found: list[Signal | Rejected] = []
        for frame in frames:
            if isinstance(frame, Unreadable):
                found.append(Rejected(reason="unreadable", raw=frame.raw, device=self._imei))
            elif not frame.is_sound and not self._is_excused(frame):
                found.append(Rejected(reason="bad_crc", raw=frame.raw, device=self._imei))
            else:
                found += self._read(frame, now)
        return found

    def _is_excused(self, frame: Frame) -> bool:
        imei = imei_of(frame.content[:8]) if frame.protocol == LOGIN else self._imei
        return imei in self._options.accept_bad_crc

    def _read(self, frame: Frame, now: float) -> list[Signal | Rejected]:
        if frame.protocol == LOGIN:
            return self._login(frame, now)
        if self._imei is not None:
            return self._say(frame, self._imei, now)
        if frame.protocol in ALARMS and len(self._held) < MAX_BEFORE_LOGIN:
            self._held.append((frame, now + LOGIN_S))
            return []
        return [Rejected(reason="not_logged_in", raw=frame.raw)]

    def _login(self, frame: Frame, now: float) -> list[Signal | Rejected]:
        if len(frame.content) < 8:
            return [Rejected(reason="bad_length", raw=frame.raw)]
        self._imei = imei_of(frame.content[:8])
        detail: dict[str, object] = {"protocol": "01"}
        if len(frame.content) >= 12:
            detail["type"] = frame.content[8:10].hex()
            zone = zone_of(frame.content[10:12])
            if zone is not None:
                detail["utc_offset_min"] = round(zone.total_seconds() / 60)
                if self._options.utc_offset_min is None:
                    self._zone = zone
        found = owing(build(LOGIN, b"", frame.serial), [self._signal(frame, Kind.JOIN, "protocol 01", detail, phase=Phase.STATE)])
        held, self._held = self._held, []
        for early, _ in held:
            found += self._say(early, self._imei, now)
        return found

    def _say(self, frame: Frame, imei: str, now: float) -> list[Signal | Rejected]:
        """What a frame of a known device says, with the answer that is owed for it."""
        protocol, content = frame.protocol, frame.content
        raw_kind, detail = f"protocol {protocol:02X}", {"protocol": f"{protocol:02X}"}
        answer: bytes | None = build(protocol, b"", frame.serial)
        found: list[Signal | Rejected]
        if protocol in ALARMS:
            found = self._alarm(frame, imei, now)
        elif protocol in HEARTBEATS:
            found = self._heartbeat(frame, imei, now)
        elif protocol in LOCATIONS:
            found, answer = self._location(frame), None
        elif protocol == TIME:
            at = self._place.utc_now()
            answer = build(TIME, bytes([at.year % 100, at.month, at.day, at.hour, at.minute, at.second]), frame.serial)
            found = [self._signal(frame, Kind.HEARTBEAT, raw_kind, detail, phase=Phase.STATE)]
        elif protocol == INFORMATION:
            found = [self._signal(frame, Kind.TELEMETRY, raw_kind, detail | read_information(content), phase=Phase.STATE)]
        elif protocol in ANSWERS:
            found, answer = [self._answered(frame)], None
        else:
            found = [Rejected(reason="unknown_protocol", raw=frame.raw, device=imei, detail=f"{protocol:02X}")]
        return owing(answer, found)

    def _alarm(self, frame: Frame, imei: str, now: float) -> list[Signal | Rejected]:
        zone = self._zone if frame.protocol in LOCAL_TIME else None
        alarm = read_alarm(frame.protocol, frame.length if not frame.is_long else 0, frame.content, zone)
        detail: dict[str, object] = {"protocol": f"{frame.protocol:02X}", **alarm.cells}
        kinds = kinds_of(alarm)
        found: list[Signal | Rejected] = []
        for kind, raw_kind in kinds.items():
            phase, dedup = Phase.RAISE, None
            if KINDS[kind].journalled:
                self._memory.note_alarm(imei, now)
                dedup = self._identity(frame, imei, kind, has_time=alarm.place is not None and alarm.place.time is not None)
                phase = Phase.REPEAT if self._memory.is_repeat(imei, kind, now) else Phase.RAISE
            severity = Severity.WARNING if kind is Kind.GENERAL else None  # codes that differ by model: the lowest (sheet, section 5)
            found.append(self._signal(frame, kind, raw_kind, detail, alarm.place, alarm.status, phase=phase, dedup=dedup, severity=severity))
        if not found:
            kind = Kind.LOCATION if alarm.place is not None else Kind.HEARTBEAT
            found.append(self._signal(frame, kind, f"protocol {frame.protocol:02X}", detail, alarm.place, alarm.status, phase=Phase.STATE))
        if alarm.status is None and not alarm.is_camera:
            found.append(Rejected(reason="short_status", raw=frame.raw, device=imei))
        return found

    def _heartbeat(self, frame: Frame, imei: str, now: float) -> list[Signal | Rejected]:
        """The sos bits stay in heartbeats for a while: they raise only if no alarm frame told of the press."""
        status = read_heartbeat(frame.content)
        detail = {"protocol": f"{frame.protocol:02X}"}
        found: list[Signal | Rejected] = [
            self._signal(frame, Kind.HEARTBEAT, f"protocol {frame.protocol:02X}", detail, None, status, phase=Phase.STATE)
        ]
        if status is None:
            return [*found, Rejected(reason="short_status", raw=frame.raw, device=imei)]
        edge = "heartbeat sos"
        raw_kind = f"terminal {terminal_alarm(status.terminal):03b}"
        before = self._memory.bits(imei)
        if terminal_alarm(status.terminal) == 0b100:
            if not self._memory.has_alarmed(imei, now):
                self._memory.note_bits(imei, are_set=True)
                found.insert(0, self._signal(frame, Kind.SOS, raw_kind, detail | {"from_heartbeat": True}, None, status, edge=edge))
        elif before or (before is None and self._place.line):  # the core remembers longer than we do: over a restart
            self._memory.note_bits(imei, are_set=False)
            # Nobody took anything back: the bits go out by themselves, so it is no clear of the sos.
            found.append(self._signal(frame, Kind.TELEMETRY, raw_kind, detail, phase=Phase.CLEAR, edge=edge))
        return found

    def _location(self, frame: Frame) -> list[Signal | Rejected]:
        content = frame.content
        if len(content) < BLOCK:
            return [Rejected(reason="bad_length", raw=frame.raw, device=self._imei)]
        place = read_place(content[:BLOCK], self._zone if frame.protocol in LOCAL_TIME else None)
        cells, size = read_cells(content[BLOCK:])
        detail: dict[str, object] = {"protocol": f"{frame.protocol:02X}", **cells}
        late = None
        more = content[BLOCK + size :]
        if frame.protocol == 0x22 and len(more) >= 3:
            detail |= {"ignition": bool(more[0]), "upload_mode": more[1]}
            late = "backfill" if more[2] == 1 else None
        return [self._signal(frame, Kind.LOCATION, f"protocol {frame.protocol:02X}", detail, place, phase=Phase.STATE, late=late)]

    def _answered(self, frame: Frame) -> Signal:
        """The answer to a command: 21 is flag(4) encoding(1) text, 15 is length(1) flag(4) text language(2)."""
        content = frame.content
        flag, text = (content[:4], content[5:]) if frame.protocol == 0x21 else (content[1:5], content[5:-2])
        self._asked.answered(int.from_bytes(flag))
        detail: dict[str, object] = {"protocol": f"{frame.protocol:02X}", "answer": text.decode("ascii", "replace")[:200]}
        return self._signal(frame, Kind.HEARTBEAT, f"protocol {frame.protocol:02X}", detail, phase=Phase.STATE)

    def _unidentified(self, now: float) -> list[Signal | Rejected]:
        """Alarms whose login has not come in time are raised all the same, of nobody we know; the connection is given up."""
        found: list[Signal | Rejected] = []
        while self._held and self._held[0][1] <= now:
            frame, _ = self._held.pop(0)
            alarm = read_alarm(frame.protocol, frame.length if not frame.is_long else 0, frame.content, None)
            detail: dict[str, object] = {"protocol": f"{frame.protocol:02X}", **alarm.cells, "unidentified": True}
            for kind, raw_kind in kinds_of(alarm).items():
                signal = self._signal(frame, kind, raw_kind, detail, alarm.place, alarm.status)
                found.append(msgspec.structs.replace(signal, integrity="unauthenticated", device=self._stranger()))
            found.append(Rejected(reason="not_logged_in", raw=frame.raw))
            self.hang_up = True
        return found

    def _stranger(self) -> str:
        """Strangers of different addresses must not be taken for one."""
        return f"unidentified {self.peer}".rstrip()

    def _identity(self, frame: Frame, imei: str, kind: Kind, *, has_time: bool) -> str:
        """The same serial with the same content is the same message."""
        digest = hashlib.sha256(frame.raw).hexdigest()[:16]
        window = DAY_S if has_time else ONE_PRESS_S  # without a date equal bytes may be another press after a restart of the device
        return self._place.recent.key(f"{imei}-{frame.serial:04x}-{digest}-{kind}", window, self._place.utc_now())

    def _signal(
        self, frame: Frame, kind: Kind, raw_kind: str, detail: dict[str, Any], place: Place | None = None, status: Status | None = None, **more: Any
    ) -> Signal:
        if place is not None:
            more |= {"time": place.time, "lat": place.lat, "lon": place.lon, "fix_valid": place.fix_valid}
            detail = {**detail, **place.detail}
        if status is not None:
            more |= {"battery_pct": status.battery_pct, "battery_mv": status.battery_mv}
            detail = {**detail, **status.detail}
        return Signal(
            kind=kind,
            kind_raw=raw_kind,
            device=self._imei,
            sequence=frame.serial,
            integrity="verified" if frame.is_sound else "unverified",
            detail=detail,
            raw=frame.raw,
            **more,
        )


def login_before(wire: bytes) -> bytes:
    """A frame pasted alone was sent by a device that had logged in: what it said for that, with an IMEI of zeros."""
    first = next((one for one in Frames().feed(wire, 0.0) if isinstance(one, Frame)), None)
    return b"" if first is None or first.protocol == LOGIN else build(LOGIN, bytes(8), 0)
