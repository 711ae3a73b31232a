"""Panels that print lines nobody acknowledges: Ness, Elk-M1, AlarmDecoder, RFLink. They answer questions about their state, where they have it."""

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta, tzinfo

from simulators.sent import Sent, new_record
from simulators.wire import Wire

END = b"\r\n"
LIFE_S = 30.0  # Elk's Ethernet test; the others are given the same
ELK_ZONES = 208
NESS_PENDANT = "02"
RFLINK_VERSION = "20;00;Nodo RadioFrequencyLink - RFLink Gateway V1.1 - R48;"
RFLINK_COPIES = 4
COPY_PAUSE_S = 0.06


class LinePanel:
    """What they share: lines out, questions in, a sign of life. Nothing is ever confirmed: `written` says that a line went onto a wire that stood."""

    def __init__(self, wire: Wire, *, life_s: float = LIFE_S) -> None:
        self.wire = wire
        self.sent = new_record()
        self.asked = 0
        self._life_s = life_s
        self._line = bytearray()

    def say(self, line: str) -> bool:
        """One line. False when nobody was there."""
        stood = self.wire.plugged
        self.wire.write(line.encode("ascii") + END)
        return stood

    def note(self, device: str, what: str, stood: bool) -> Sent:
        sent = Sent(device, what, tries=1)
        self.sent.append(sent)
        if stood:
            sent.answers.append("written")
        return sent

    async def run(self) -> None:
        """Answer questions, say that we live, until cancelled."""
        due = time.monotonic()
        was_plugged = False
        while True:
            if self.wire.plugged and not was_plugged:
                self.greet()
            was_plugged = self.wire.plugged
            if not was_plugged:
                await asyncio.sleep(0.05)
                continue
            octet = await self.wire.read_byte(min(1.0, max(0.01, due - time.monotonic())))
            if octet is not None:
                self._hear(octet)
            if time.monotonic() >= due:
                due = time.monotonic() + self._life_s
                self.live()

    def _hear(self, octet: int) -> None:
        if octet in END:
            if self._line:
                self.asked += 1
                self.answer(bytes(self._line).decode("ascii", "replace"))
            self._line.clear()
        elif len(self._line) < 512:
            self._line.append(octet)

    def greet(self) -> None:
        """When the cable is plugged in."""

    def live(self) -> None:
        """The sign of life."""

    def answer(self, question: str) -> None:
        """A whole line from the other side."""


def summed_to_zero(octets: bytes) -> int:
    """What makes the sum 0 modulo 256."""
    return -sum(octets) % 256


def elk_line(message: str) -> str:
    """LL MM data 00 CC: LL counts what stands after it, CC makes the ASCII sum 0."""
    text = f"{len(message) + 4:02X}{message}00"
    return f"{text}{summed_to_zero(text.encode()):02X}"


def ness_line(start: str, address: str, command: str, data: str, clock: str = "", *, sequence: bool = False) -> str:
    """Hex of a status or response packet; all octets with the check add up to 0."""
    length = len(data) // 2 | (0x80 if sequence else 0)
    text = f"{start}{address}{length:02x}{command}{data}{clock}"
    return f"{text}{summed_to_zero(bytes.fromhex(text)):02x}"


class NessPanel(LinePanel):
    """One panel on address 0. zone: its device is `0:ZZZ`. minute_60: its clock says minute 60 on the hour. held: alarms stay until restored."""

    def __init__(self, wire: Wire, *, zone_of_clock: tzinfo = UTC, life_s: float = LIFE_S, minute_60: bool = False) -> None:
        super().__init__(wire, life_s=life_s)
        self._clock_zone = zone_of_clock
        self._minute_60 = minute_60
        self._in_alarm: set[int] = set()
        self._pendant = False
        self._sequence = False

    def press(self, zone: int, *, restore: bool = False) -> Sent:
        """Event 02 alarm or 03 alarm restore."""
        (self._in_alarm.discard if restore else self._in_alarm.add)(zone)
        stood = self._event("03" if restore else "02", zone)
        return self.note(f"0:{zone:03}", "restore" if restore else "press", stood)

    def battery(self) -> Sent:
        return self.note("0", "battery", self._event("12", 0))

    def live(self) -> None:
        self._event("19", 0)

    def _event(self, event: str, zone: int) -> bool:
        self._sequence = not self._sequence
        now = datetime.now(self._clock_zone)
        clock = f"{now:%y%m%d%H%M%S}"
        if self._minute_60 and now.minute == 0:
            clock = f"{now - timedelta(hours=1):%y%m%d%H}60{now:%S}"
        return self.say(ness_line("87", "00", "61", f"{event}{zone:02d}01", clock, sequence=self._sequence))

    def answer(self, question: str) -> None:
        """83 requests `S NN`: 05 zones in alarm (first byte zones 1 to 8), 13 alarms of keypad and pendant; all others: nothing is so."""
        found = re.fullmatch(r"83[0-9A-Fa-f]..60S([0-9]{2})[0-9A-Fa-f]{2}\??", question.strip())
        if found is None:
            return
        number, bits = found[1], 0
        if number == "05":
            bits = sum(0x0100 << zone - 1 if zone <= 8 else 1 << zone - 9 for zone in self._in_alarm if zone <= 16)
        self.say(ness_line("82", "00", "60", f"{number}{bits:04x}"))


class ElkPanel(LinePanel):
    """One panel; account is what the register calls it. Alarms are class characters of the AZ answer: B emergency, F medical, `:` fire.

    stuck: zones stay in alarm until restored, and every answer tells it again.
    """

    def __init__(self, wire: Wire, *, account: str = "elk", life_s: float = LIFE_S) -> None:
        super().__init__(wire, life_s=life_s)
        self._account = account
        self._alarms = ["0"] * ELK_ZONES

    def press(self, zone: int, letter: str = "B", *, restore: bool = False) -> Sent:
        self._alarms[zone - 1] = "0" if restore else letter
        stood = self.say(elk_line(f"ZC{zone:03}{'2' if restore else '9'}"))
        self._tell()
        return self.note(f"{self._account}:{zone:03}", "restore" if restore else "press", stood)

    def _tell(self) -> None:
        self.say(elk_line("AZ" + "".join(self._alarms)))

    def live(self) -> None:
        self.say(elk_line(f"XK{datetime.now():%S%M%H}{datetime.now().isoweekday()}{datetime.now():%d%m%y}110"))

    def answer(self, question: str) -> None:
        word = question[2:4]
        if word == "az":
            self._tell()
        elif word == "as":
            self.say(elk_line("AS" + "0" * 8 + "1" * 8 + "0" * 8))
        elif word == "zs":
            self.say(elk_line("ZS" + "2" * ELK_ZONES))


class AlarmDecoder(LinePanel):
    """An AD2 adapter: its transmitters are devices of their own (`!RFX`), its panel's reports are zones of the account (`!LRR`)."""

    def __init__(self, wire: Wire, *, account: str = "alarmdecoder", life_s: float = LIFE_S) -> None:
        super().__init__(wire, life_s=life_s)
        self._account = account

    def press(self, serial: str, *, copies: int = 2) -> Sent:
        """Loop 1 opens and closes; a pendant is heard several times."""
        stood = self.wire.plugged
        for _ in range(copies):
            self.say(f"!RFX:{serial},80")
        self.say(f"!RFX:{serial},00")
        return self.note(serial, "press", stood)

    def report(self, zone: int, code: str = "101", *, restore: bool = False) -> Sent:
        stood = self.say(f"!LRR:{zone:03},1,CID_{3 if restore else 1}{code},ff")
        return self.note(f"{self._account}:{zone:03}", "restore" if restore else "press", stood)

    def battery(self, serial: str) -> Sent:
        return self.note(serial, "battery", self.say(f"!RFX:{serial},02"))

    def greet(self) -> None:
        self.say("!Ready")

    def live(self) -> None:
        self.say('[1000000100000000----],008,[f70600ef1008001c28020000000000],"****DISARMED****  Ready to Arm  "')


class RfLink(LinePanel):
    """A 433 MHz receiver: a version line, then every press `copies` times with a counter."""

    def __init__(self, wire: Wire, *, copies: int = RFLINK_COPIES, life_s: float = LIFE_S) -> None:
        super().__init__(wire, life_s=life_s)
        self._copies = copies
        self._counter = 1

    async def press(self, identifier: str, switch: str = "1", command: str = "ON", *, pause_s: float = COPY_PAUSE_S) -> Sent:
        sent = self.note(f"{identifier}:{switch}", "press", self.wire.plugged)
        for _ in range(self._copies):
            self.say(f"20;{self._counter:02X};EV1527;ID={identifier};SWITCH={switch};CMD={command};")
            self._counter = (self._counter + 1) % 256
            await asyncio.sleep(pause_s)
        return sent

    def greet(self) -> None:
        self.say(RFLINK_VERSION)
        self._counter = 1

    def live(self) -> None:
        """It says nothing by itself."""
