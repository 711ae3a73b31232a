"""JT/T 808 (2011, 2013, 2019), China's protocol of vehicle terminals, as pendants, cards and tags for people speak it; over TCP or UDP.

What we want from it is alarm bit 0, the emergency button. It stays set until the terminal has its answer, so all bits are told as states
(Signal.edge): the core knows what is news. Source: texts of JT/T 808; see jt808_frame, jt808_location, jt808_terminal.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, timedelta
from typing import Any

import msgspec

from drivers.contract import Rejected, Signal, Surroundings
from drivers.downlink import Tell, Word
from drivers.tracker.asked import Asked
from drivers.tracker.jt808_frame import Bad, Frames, Header, Message, build, parse
from drivers.tracker.jt808_location import (
    ANSWERED_BITS,
    CONFIRMABLE,
    ENCRYPTED,
    FIXED,
    SOS_S,
    Location,
    bcd_of,
    edge_of,
    is_person,
    read_location,
)
from drivers.tracker.jt808_memory import Jt808Memory
from drivers.tracker.jt808_options import Jt808Options
from drivers.tracker.jt808_parts import Parts
from drivers.tracker.jt808_terminal import code_for, is_code, read_attributes, read_authentication, read_registration
from drivers.tracker.receipts import Receipt, owing
from gateway.event import KINDS, Kind, Phase

__all__ = ["Jt808", "Jt808Memory", "Jt808Options", "authentication_before"]

ANSWERED, HEARTBEAT, LOG_OUT, TIME, REGISTER, AUTHENTICATE = 0x0001, 0x0002, 0x0003, 0x0004, 0x0100, 0x0102
LOCATION, BATCH = 0x0200, 0x0704
ATTRIBUTES = 0x0107
OTHERS = frozenset((0x0104, 0x0701, 0x0702, 0x0800, 0x0801, 0x0900, 0x0901))  # kept as they are and answered
GENERAL_ANSWER, TIME_ANSWER, REGISTER_ANSWER, CONFIRM, TEXT = 0x8001, 0x8004, 0x8100, 0x8203, 0x8300
OK, FAILED, BAD, NOT_SUPPORTED = 0, 1, 2, 3
NO_SUCH_TERMINAL = 4  # of a registration

FIRST_SERIAL = 0x0100  # of our frames
MAX_TERMINALS = 64  # on one connection; there is one, or a few behind a relay
HISTORY = timedelta(minutes=5)  # what a batch tells of longer ago is no news
SILENCE_S = 600.0
MARGIN_S = 30.0
SHOWN_OCTETS = 64
DAY_S = 86_400.0  # a report with a date is the same message whenever it comes again; one without only within the window of a press
UNDATED_S = 120.0


class Answer(msgspec.Struct, frozen=True):
    """A frame of ours without its serial number."""

    to: Header
    message: int
    body: bytes


class Terminal(msgspec.Struct):
    """A terminal heard on this connection. alarm_serial: of its last emergency."""

    header: Header
    is_authenticated: bool = False
    is_ours: bool = False  # it has shown the code that we gave it
    alarm_serial: int = 0


class Jt808:
    """One connection, or one UDP peer."""

    peer_repeats = True

    def __init__(self, options: Jt808Options | None = None, place: Surroundings | None = None) -> None:
        self._options = options or Jt808Options()
        self._place = place or Surroundings()
        self._memory: Jt808Memory = self._place.memory or Jt808Memory()
        self._kinds = self._options.kinds
        self._frames = Frames()
        self._parts = Parts()
        self._asked = Asked()
        self._outgoing = bytearray()
        self._serial = FIRST_SERIAL
        self._terminals: dict[str, Terminal] = {}
        self._heard: float | None = None
        beats = self._options.heartbeat_s
        self._silence_s = SILENCE_S if beats is None else 3 * beats + MARGIN_S
        self.hang_up = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """Who is authenticated here: a new link of the same identity ends the older one."""
        return tuple(device for device, terminal in self._terminals.items() if terminal.is_authenticated)

    def receive_data(self, data: bytes, now: float) -> list[Signal | Rejected]:
        """Take any fragment, or a datagram; give what its frames say."""
        found = self._overdue(now)
        if data:
            self._heard = now
        for message in self._frames.feed(data, now):
            found += self._read(message, now)
        return found

    def confirm(self, signal: Signal | Rejected) -> None:
        """It is kept: once all that its frame said is, the terminal gets its answer."""
        if isinstance(signal.token, Receipt) and signal.token.is_due():
            self._say(signal.token.answer)
            self._parts.kept(signal.token.answer.to)

    def refuse(self, signal: Signal | Rejected, reason: str) -> None:  # noqa: ARG002 - whatever the reason, the terminal hears nothing
        """It could not be kept: no answer, so the terminal repeats it. Some take "failed" for an answer like any other."""
        if isinstance(signal.token, Receipt):
            signal.token.void()
            self._parts.reopen(signal.token.answer.to, self._heard or 0.0)
        if isinstance(signal, Signal) and signal.device is not None and signal.phase is Phase.CLEAR:
            self._memory.forget(signal.device)

    def data_to_send(self) -> bytes:
        out = bytes(self._outgoing)
        self._outgoing.clear()
        return out

    def deadline(self) -> float | None:
        if self.hang_up:
            return None
        times = (self._frames.deadline(), self._parts.deadline(), self._asked.deadline(), self._silent_at())
        return min((at for at in times if at is not None), default=None)

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:
        """Unfinished frames and messages, questions without an answer, a terminal that is gone."""
        found = self._overdue(now)
        silent_at = self._silent_at()
        if silent_at is not None and now >= silent_at:
            self.hang_up = True
        return found

    # --- drivers.downlink.Teller

    def can_tell(self, device: str, word: Word) -> bool:
        is_known = device in self._terminals
        return is_known and (word is Word.TAKEN or (self._options.text and word in (Word.COMING, Word.PROMPT)))

    def tell(self, tell: Tell, token: int, now: float) -> None:
        """8203 when somebody has taken it, and the text where the terminal can show or speak it."""
        if self._asked.is_full:
            self._asked.settle(token, "busy")
            return
        terminal = self._terminals[tell.device]
        sent = []
        if tell.word is Word.TAKEN:
            serial, bit = tell.cry.get("serial", terminal.alarm_serial), tell.cry.get("alarm_bit", 0)
            mask = 1 << bit if bit in CONFIRMABLE else 1
            sent.append(self._say(Answer(terminal.header, CONFIRM, int(serial).to_bytes(2) + mask.to_bytes(4))))
        if self._options.text and tell.text:
            sent.append(self._say(Answer(terminal.header, TEXT, _text(tell.text, is_2019=terminal.header.is_2019))))
        self._asked.wait(token, sent, now)

    def told(self) -> list[tuple[int, str]]:
        return self._asked.told()

    # --- frames

    def _silent_at(self) -> float | None:
        return None if self._heard is None else self._heard + self._silence_s

    def _overdue(self, now: float) -> list[Signal | Rejected]:
        self._asked.expire(now)
        found: list[Signal | Rejected] = [Rejected(reason=bad.reason, raw=bad.raw) for bad in self._frames.expire(now) if isinstance(bad, Bad)]
        return found + [Rejected(reason="incomplete", raw=raw) for raw in self._parts.expire(now)]

    def _say(self, answer: Answer) -> int:
        """Queue it; gives its serial number."""
        serial = self._serial
        self._outgoing += build(answer.to, answer.message, answer.body, serial)
        self._serial = (serial + 1) & 0xFFFF
        return serial

    def _read(self, message: Message | Bad, now: float) -> list[Signal | Rejected]:
        if isinstance(message, Bad):
            return [Rejected(reason=message.reason, raw=message.raw)]
        header = message.header
        terminal = self._terminal(header)
        if header.is_encrypted:
            return owing(_general(header, NOT_SUPPORTED), self._encrypted(message))
        plain = self._no_longer_encrypted(message)
        if header.message not in (REGISTER, AUTHENTICATE) and not terminal.is_authenticated:
            return owing(_general(header, FAILED), [*plain, *self._unauthenticated(message)])
        if header.parts is None:
            return [*plain, *self._whole(message)]
        if self._parts.is_waiting(header):  # asked again before it could be said whether it is kept
            return plain
        whole, fault = self._parts.take(message, now)
        if fault:
            return [*plain, self._rejected(message, fault)]
        if whole is None:  # the whole is no message yet; what is answered here is only that this part has arrived
            self._say(_general(header, OK))
            return plain
        return [*plain, *self._whole(Message(header=header, body=whole.body, raw=whole.raw))]

    def _terminal(self, header: Header) -> Terminal:
        terminal = self._terminals.pop(header.device, None) or Terminal(header)
        if len(self._terminals) >= MAX_TERMINALS:
            del self._terminals[next(iter(self._terminals))]
        terminal.header = header
        self._terminals[header.device] = terminal
        return terminal

    def _whole(self, message: Message) -> list[Signal | Rejected]:
        """What a whole message says, with the answer that is owed for it."""
        header = message.header
        readers: dict[int, Callable[[Message], tuple[Answer | None, list[Signal | Rejected]]]] = {
            REGISTER: self._register,
            AUTHENTICATE: self._authenticate,
            LOCATION: self._located,
            BATCH: self._batch,
            TIME: self._time,
            ATTRIBUTES: self._attributes,
            ANSWERED: self._answered,
        }
        if header.message in readers:
            return owing(*readers[header.message](message))
        if header.message in (HEARTBEAT, LOG_OUT):
            if header.message == LOG_OUT:
                self._terminals[header.device].is_authenticated = False
            return owing(_general(header, OK), [self._plain(message, Kind.HEARTBEAT)])
        if header.message in OTHERS:
            detail = {"octets": len(message.body), "body": message.body[:SHOWN_OCTETS].hex()}
            return owing(_general(header, OK), [self._plain(message, Kind.TELEMETRY, detail)])
        return owing(_general(header, NOT_SUPPORTED), [self._rejected(message, "unknown_message", f"{header.message:04X}")])

    def _register(self, message: Message) -> tuple[Answer, list[Signal | Rejected]]:
        header = message.header
        serial = header.serial.to_bytes(2)
        if self._options.authentication == "strict" and not self._place.knows(header.device):
            return Answer(header, REGISTER_ANSWER, serial + bytes([NO_SUCH_TERMINAL])), [self._rejected(message, "unknown_device")]
        body = serial + bytes([OK]) + code_for(header.device, self._memory.secret).encode("ascii")
        return Answer(header, REGISTER_ANSWER, body), [self._plain(message, Kind.JOIN, read_registration(message.body, is_2019=header.is_2019))]

    def _authenticate(self, message: Message) -> tuple[Answer, list[Signal | Rejected]]:
        """The code itself is a secret and stands in no signal."""
        header = message.header
        terminal = self._terminals[header.device]
        code, detail = read_authentication(message.body, is_2019=header.is_2019)
        terminal.is_ours = is_code(code, header.device, self._memory.secret)
        terminal.is_authenticated = terminal.is_ours or self._options.authentication != "strict"
        if not terminal.is_authenticated:
            return _general(header, FAILED), [self._rejected(message, "wrong_code")]
        return _general(header, OK), [self._plain(message, Kind.JOIN, detail, detail.get("version"))]

    def _attributes(self, message: Message) -> tuple[Answer, list[Signal | Rejected]]:
        firmware, detail = read_attributes(message.body, is_2019=message.header.is_2019)
        return _general(message.header, OK), [self._plain(message, Kind.TELEMETRY, detail, firmware)]

    def _time(self, message: Message) -> tuple[Answer, list[Signal | Rejected]]:
        body = bcd_of(self._place.utc_now().astimezone(UTC))
        return Answer(message.header, TIME_ANSWER, body), [self._plain(message, Kind.HEARTBEAT)]

    def _answered(self, message: Message) -> tuple[None, list[Signal | Rejected]]:
        """0001: serial(2) of ours, its message(2), result(1)."""
        if len(message.body) < 5:
            return None, [self._rejected(message, "bad_body")]
        result = message.body[4]
        self._asked.answered(int.from_bytes(message.body[:2]), "refused" if result else "")
        return None, [self._plain(message, Kind.HEARTBEAT, {"result": result})]

    def _located(self, message: Message) -> tuple[Answer, list[Signal | Rejected]]:
        if len(message.body) < FIXED:
            return _general(message.header, BAD), [self._rejected(message, "bad_body")]
        return _general(message.header, OK), self._live(message, self._location(message.body))

    def _batch(self, message: Message) -> tuple[Answer, list[Signal | Rejected]]:
        """count(2) type(1; 1: stored), then count times length(2) and a report. A bit that stays set from point to point is told once."""
        body, header = message.body, message.header
        if len(body) < 3:
            return _general(header, BAD), [self._rejected(message, "bad_body")]
        found: list[Signal | Rejected] = []
        before: set[int] = set()
        at, count = 3, int.from_bytes(body[:2])
        for number in range(count):
            length = int.from_bytes(body[at : at + 2])
            point = body[at + 2 : at + 2 + length]
            if len(point) < max(length, FIXED):
                found.append(self._rejected(message, "cut_batch", f"point {number + 1} of {count}"))
                break
            at += 2 + length
            location = self._location(point)
            if body[2] == 1 or (location.time is not None and self._place.utc_now() - location.time > HISTORY):
                found += self._history(message, location, before, number)
                before = set(location.alarms)
            else:
                found += self._live(message, location)
        return _general(header, OK), found or [self._plain(message, Kind.HEARTBEAT)]

    def _location(self, body: bytes) -> Location:
        return read_location(body, self._kinds, self._options.datum, self._options.vendor_items)

    # --- alarms

    def _live(self, message: Message, location: Location) -> list[Signal | Rejected]:
        """The alarm bits that are set, and those that were and are not any more; without any: a location."""
        device = message.header.device
        before, now_set = self._memory.bits(device), sum(1 << bit for bit in location.alarms)
        if before is None:  # the core remembers over a restart what we do not, so it is told once what is clear
            watched = [bit for bit, kind in self._kinds.items() if is_person(kind) or kind in (Kind.LOW_BATTERY, Kind.POWER_CUT)]
            before = sum(1 << bit for bit in watched) if self._place.line else 0
        self._memory.note(device, now_set)
        found: list[Signal | Rejected] = [
            self._alarm(message, location, bit, kind, is_new=not before >> bit & 1) for bit, kind in location.alarms.items()
        ]
        found = found or [self._report(message, location, Kind.LOCATION, f"{message.header.message:04X}", phase=Phase.STATE)]
        gone = before & ~now_set
        return found + [self._cleared(message, bit) for bit in range(gone.bit_length()) if gone >> bit & 1 and bit != ENCRYPTED]

    def _alarm(self, message: Message, location: Location, bit: int, kind: Kind, *, is_new: bool = True) -> Signal:
        """A bit that stays set for days needs no identity in each report: the core knows the state."""
        terminal = self._terminals[message.header.device]
        if kind is Kind.SOS:
            terminal.alarm_serial = message.header.serial
        has_identity = kind is Kind.SOS or (is_new and KINDS[kind].journalled)
        return self._report(
            message,
            location,
            kind,
            edge_of(bit),
            {"alarm_bit": bit},
            phase=Phase.RAISE if is_new else Phase.REPEAT,
            edge=edge_of(bit),
            edge_s=SOS_S if kind is Kind.SOS else None,
            dedup=self._identity(message, bit, is_dated=location.time is not None) if has_identity else None,
        )

    def _cleared(self, message: Message, bit: int) -> Signal:
        """A condition that is over ends what it began. A person's alarm is not taken back by a bit that goes out, least of all once answered."""
        kind = self._kinds.get(bit, Kind.TELEMETRY)
        if bit in ANSWERED_BITS or not KINDS[kind].ends:
            kind = Kind.TELEMETRY
        return self._signal(message, kind, phase=Phase.CLEAR, kind_raw=edge_of(bit), edge=edge_of(bit), detail={"alarm_bit": bit})

    def _history(self, message: Message, location: Location, before: set[int], number: int) -> list[Signal | Rejected]:
        """A point of the past: a person's alarm that began in it, or a location."""
        found: list[Signal | Rejected] = []
        for bit, kind in location.alarms.items():
            if is_person(kind) and bit not in before:
                moment = location.time.isoformat() if location.time is not None else f"{message.header.serial:04x}.{number}"
                name = f"{message.header.device}-late-{moment}-{bit}"
                dedup = self._place.recent.key(name, DAY_S, self._place.utc_now())
                found.append(self._report(message, location, kind, edge_of(bit), {"alarm_bit": bit}, late="backfill", dedup=dedup))
        return found or [
            self._report(message, location, Kind.LOCATION, f"{message.header.message:04X}", phase=Phase.STATE, late="backfill"),
        ]

    def _unauthenticated(self, message: Message) -> list[Signal | Rejected]:
        """The standard refuses it. An emergency of somebody on the register is raised all the same, and marked."""
        header = message.header
        is_report = header.message == LOCATION and header.parts is None and len(message.body) >= FIXED
        if is_report and self._place.knows(header.device):
            location = self._location(message.body)
            if location.alarms.get(0) is Kind.SOS:
                self._memory.note(header.device, (self._memory.bits(header.device) or 0) | 1)
                return [msgspec.structs.replace(self._alarm(message, location, 0, Kind.SOS), integrity="unauthenticated")]
        return [self._rejected(message, "not_authenticated")]

    def _encrypted(self, message: Message) -> list[Signal | Rejected]:
        """An operator must see to it: we cannot read what this terminal says."""
        device = message.header.device
        self._memory.note(device, (self._memory.bits(device) or 0) | 1 << ENCRYPTED)
        return [self._signal(message, Kind.FAULT, kind_raw="encrypted", edge=edge_of(ENCRYPTED), detail={"fault": "terminal sends encrypted"})]

    def _no_longer_encrypted(self, message: Message) -> list[Signal | Rejected]:
        device = message.header.device
        bits = self._memory.bits(device) or 0
        if not bits >> ENCRYPTED & 1:
            return []
        self._memory.note(device, bits & ~(1 << ENCRYPTED))
        return [self._signal(message, Kind.FAULT, phase=Phase.CLEAR, kind_raw="encrypted", edge=edge_of(ENCRYPTED))]

    # --- signals

    def _report(
        self, message: Message, location: Location, kind: Kind, kind_raw: str, detail: dict[str, object] | None = None, **more: Any
    ) -> Signal:
        return self._signal(
            message,
            kind,
            kind_raw=kind_raw,
            time=location.time,
            lat=location.lat,
            lon=location.lon,
            datum=location.datum,
            fix_valid=location.fix_valid,
            battery_pct=location.battery_pct,
            detail=location.detail | (detail or {}),
            **more,
        )

    def _plain(self, message: Message, kind: Kind, detail: Mapping[str, object] = {}, firmware: str | None = None) -> Signal:
        return self._signal(message, kind, phase=Phase.STATE, kind_raw=f"{message.header.message:04X}", firmware=firmware, detail=detail)

    def _signal(self, message: Message, kind: Kind, *, detail: Mapping[str, object] = {}, **more: Any) -> Signal:
        header = message.header
        return Signal(
            kind=kind,
            device=header.device,
            sequence=header.serial,
            integrity="verified" if self._terminals[header.device].is_ours else "unverified",
            detail={"message": f"{header.message:04X}", "serial": header.serial, **detail},
            raw=message.raw,
            **more,
        )

    def _rejected(self, message: Message, reason: str, detail: str = "") -> Rejected:
        return Rejected(reason=reason, raw=message.raw, device=message.header.device, detail=detail)

    def _identity(self, message: Message, bit: int, *, is_dated: bool) -> str:
        """The same serial with the same body is the same message."""
        header = message.header
        digest = hashlib.sha256(message.body).hexdigest()[:16]
        name = f"{header.device}-{header.serial:04x}-{digest}-{bit}"
        return self._place.recent.key(name, DAY_S if is_dated else UNDATED_S, self._place.utc_now())


def authentication_before(wire: bytes) -> bytes:
    """A message pasted alone was sent by a terminal that had authenticated itself: what it said for that."""
    pieces: Iterable[Message | Bad] = (parse(piece) for piece in wire.split(b"\x7e") if piece)
    first = next(iter(pieces), None)
    if not isinstance(first, Message) or first.header.message in (REGISTER, AUTHENTICATE):
        return b""
    return build(first.header, AUTHENTICATE, b"\x010" if first.header.is_2019 else b"0", first.header.serial)


def _general(header: Header, result: int) -> Answer:
    """8001: serial(2) and message(2) of the terminal's, result(1)."""
    return Answer(header, GENERAL_ANSWER, header.serial.to_bytes(2) + header.message.to_bytes(2) + bytes([result]))


def _text(text: str, *, is_2019: bool) -> bytes:
    """8300: bit 2 display, bit 3 voice; 2019 has a class of message in bits 0 and 1 (01: service) and a type (1: notice)."""
    return (b"\x0d\x01" if is_2019 else b"\x0c") + text.encode("gbk", "replace")
