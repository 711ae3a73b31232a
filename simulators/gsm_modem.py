"""A GSM modem on a pseudo-terminal, with the quirks of real ones. `simulate modem --port /tmp/modem0`: what it is sent it prints; each line on
standard input, `NUMBER TEXT`, is a short message that comes in.

Written after 3GPP TS 27.005, 27.007 and 23.040; it shares nothing with the gateway's own modem driver.
"""

import argparse
import asyncio
import json
import os
import stat
import sys
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from simulators.pseudo_terminal import PseudoTerminal

PLACES = 20  # messages on the card
_SEPTETS = {0x00: "@", 0x02: "$", 0x11: "_", 0x40: "¡"}  # where the default alphabet is not ASCII (TS 23.038, 6.2.1), as far as texts of ours go
LONGEST = 2048  # octets of a line; a longer one is thrown away


@dataclass(slots=True)
class Quirks:
    """How it differs from the standard's ideal. errors: codes with which the next messages are refused (+CMS ERROR); fates: TP-ST of the next
    reports; pieces: answers leave in pieces of so many octets; prompt_s, answer_s: how slow it is."""

    echo: bool = True
    stubborn_echo: bool = False  # ATE0 changes nothing
    network: bool = True
    pin: str = ""
    errors: deque[int] = field(default_factory=deque)
    fates: deque[int] = field(default_factory=deque)
    pieces: int = 0
    prompt_s: float = 0.0
    answer_s: float = 0.0
    garbage: bytes = b""  # before each answer
    silent: bool = False
    no_prompt: bool = False
    chatter: bool = False  # unasked lines in the middle of answers


@dataclass(frozen=True, slots=True)
class Sent:
    """A part that the modem was given. wants_report, reference, part and parts as its header has them."""

    number: str
    text: str
    wants_report: bool
    reference: int
    part: int
    parts: int
    coding: int


class GsmModem:
    """The modem: `run` until cancelled. `sent` holds every part that it took; `texts()` the whole messages."""

    def __init__(self, terminal: PseudoTerminal, quirks: Quirks | None = None) -> None:
        self.terminal = terminal
        self.quirks = quirks or Quirks()
        self.sent: list[Sent] = []
        self.commands: list[str] = []
        self.card: dict[int, str] = {}
        self.pins: list[str] = []
        self._is_unlocked = not self.quirks.pin
        self._wants_reports = self._wants_news = False
        self._reference = 0
        self._is_answering = False
        self._later: list[bytes] = []
        self.news = asyncio.Event()

    async def run(self) -> None:
        """Answer command after command. Unplugged: wait."""
        while True:
            if not self.terminal.plugged:
                self._wants_reports = self._wants_news = False
                await asyncio.sleep(0.02)
            elif line := await self._line():
                await self._obey(line)

    def texts(self) -> list[tuple[str, str]]:
        """(number, text) of each message of which every part was taken."""
        found: list[tuple[str, str]] = []
        waiting: dict[tuple[str, int, int], dict[int, str]] = {}
        for part in self.sent:
            have = waiting.setdefault((part.number, part.reference, part.parts), {})
            have[part.part] = part.text
            if len(have) == part.parts:
                whole = "".join(have[number] for number in sorted(have))
                found.append((part.number, whole if part.coding == 8 else whole.translate(_SEPTETS)))
                del waiting[part.number, part.reference, part.parts]
        return found

    def receive(self, number: str, text: str, *, reference: int = 7, lost: tuple[int, ...] = (), backwards: bool = False) -> None:
        """A message comes in, in parts if it is long; `lost` parts never arrive."""
        units = text.encode("utf-16-be")
        chunks = [units] if len(units) <= 140 else [units[at : at + 134] for at in range(0, len(units), 134)]
        order = range(len(chunks), 0, -1) if backwards else range(1, len(chunks) + 1)
        for part in order:
            if part not in lost:
                self._store(_deliver(number, chunks[part - 1], reference, part, len(chunks)))

    def receive_raw(self, digits: str) -> None:
        """A PDU of the caller's comes in."""
        self._store(digits)

    def say(self, data: bytes) -> None:
        """Octets out of nowhere."""
        self.terminal.write(data)

    def _store(self, digits: str) -> None:
        index = next((place for place in range(1, PLACES + 1) if place not in self.card), None)
        if index is None:
            return  # a full card loses messages: the network tries again later
        self.card[index] = digits
        if self._wants_news:
            self._unasked(f'\r\n+CMTI: "SM",{index}\r\n'.encode())

    def _unasked(self, line: bytes) -> None:
        """No modem speaks in the middle of a line of its own."""
        if self._is_answering:
            self._later.append(line)
        else:
            self.terminal.write(line)

    async def _line(self, end: bytes = b"\r") -> str:
        found = bytearray()
        while True:
            octet = await self.terminal.read_byte(0.2)
            if octet is None:
                if not self.terminal.plugged:
                    return ""
                continue
            if octet == 0x1B:
                found.clear()
                if end != b"\r":
                    return "\x1b"
                continue
            if octet in end:
                return found.decode("latin-1").strip()
            if len(found) < LONGEST:
                found.append(octet)

    async def _obey(self, line: str) -> None:
        self.commands.append(line)
        quirks = self.quirks
        if quirks.silent:
            return
        if quirks.echo:
            self.terminal.write(line.encode("latin-1") + b"\r")
        if quirks.answer_s:
            await asyncio.sleep(quirks.answer_s)
        if line == "AT" or line.startswith(("AT+CMEE", "AT+CSMS", "AT+CPMS")):
            await self._answer("OK")
        elif line.startswith("ATE"):
            quirks.echo = quirks.stubborn_echo or line != "ATE0"
            await self._answer("OK")
        elif line == "AT+CPIN?":
            await self._answer("+CPIN: READY" if self._is_unlocked else "+CPIN: SIM PIN", "OK")
        elif line.startswith("AT+CPIN="):
            await self._unlock(line[8:].strip('"'))
        elif not self._is_unlocked:
            await self._answer("+CME ERROR: 11")
        elif line == "AT+CREG?":
            await self._answer(f"+CREG: 0,{1 if quirks.network else 2}", "OK")
        elif line == "AT+CSQ":
            await self._answer(f"+CSQ: {21 if quirks.network else 99},99", "OK")
        elif line.startswith("AT+CMGF="):
            await self._answer("OK" if line == "AT+CMGF=0" else "ERROR")
        elif line.startswith("AT+CNMI="):
            self._wants_news, self._wants_reports = True, line.split(",")[3] == "1"
            await self._answer("OK")
        elif line.startswith("AT+CMGS="):
            await self._send(int(line[8:]))
        elif line.startswith("AT+CMGR="):
            digits = self.card.get(int(line[8:]))
            await self._answer(*([f"+CMGR: 0,,{len(digits) // 2 - 1}", digits, "OK"] if digits else ["+CMS ERROR: 321"]))
        elif line.startswith("AT+CMGL="):
            await self._answer(*[part for index, digits in self.card.items() for part in (f"+CMGL: {index},1,,24", digits)], "OK")
        elif line.startswith("AT+CMGD="):
            self.card.pop(int(line[8:]), None)
            await self._answer("OK")
        else:
            await self._answer("ERROR")

    async def _unlock(self, pin: str) -> None:
        self.pins.append(pin)
        self._is_unlocked = self._is_unlocked or pin == self.quirks.pin
        await self._answer("OK" if self._is_unlocked else "+CME ERROR: 16")

    async def _send(self, length: int) -> None:
        quirks = self.quirks
        if quirks.prompt_s:
            await asyncio.sleep(quirks.prompt_s)
        if not quirks.no_prompt:
            self.terminal.write(b"\r\n> ")
        digits = await self._line(b"\x1a")
        if digits in ("", "\x1b"):
            return
        if quirks.echo:
            self.terminal.write(digits.encode() + b"\x1a\r\n")
        if not quirks.network:
            await self._answer("+CMS ERROR: 331")
            return
        if quirks.errors:
            await self._answer(f"+CMS ERROR: {quirks.errors.popleft()}")
            return
        part = read_submit(digits)
        if part is None or len(digits) // 2 - 1 != length:
            await self._answer("+CMS ERROR: 304")
            return
        self.sent.append(part)
        self._reference = (self._reference + 1) % 256
        reference = self._reference
        if quirks.chatter:
            self.terminal.write(b"\r\n+CREG: 1\r\n\r\nRING\r\n")
        await self._answer(f"+CMGS: {reference}", "OK")
        if self._wants_reports and part.wants_report:
            report = _report(part.number, reference, quirks.fates.popleft() if quirks.fates else 0)
            self.terminal.write(f"\r\n+CDS: {len(report) // 2 - 1}\r\n{report}\r\n".encode())
        self.news.set()

    async def _answer(self, *lines: str) -> None:
        data = self.quirks.garbage + b"".join(b"\r\n" + line.encode() + b"\r\n" for line in lines)
        size = self.quirks.pieces or len(data)
        self._is_answering = True
        for at in range(0, len(data), size):
            self.terminal.write(data[at : at + size])
            await asyncio.sleep(0)
        self._is_answering = False
        while self._later:
            self.terminal.write(self._later.pop(0))


def _semi_octets(digits: str) -> str:
    digits += "F" * (len(digits) % 2)
    return "".join(digits[at + 1] + digits[at] for at in range(0, len(digits), 2))


def _number(number: str) -> str:
    digits = number.removeprefix("+")
    return f"{len(digits):02X}{'91' if number.startswith('+') else '81'}{_semi_octets(digits)}"


def _now() -> str:
    return _semi_octets(datetime.now(UTC).strftime("%y%m%d%H%M%S")) + "00"


def _deliver(number: str, units: bytes, reference: int, part: int, parts: int) -> str:
    """SMS-DELIVER in UCS-2 (TS 23.040, 9.2.2.1), behind a service centre's address."""
    header = f"050003{reference:02X}{parts:02X}{part:02X}" if parts > 1 else ""
    data = header + units.hex().upper()
    return f"0891{_semi_octets('8613800100500')}{'44' if header else '04'}{_number(number)}0008{_now()}{len(data) // 2:02X}{data}"


def _report(number: str, reference: int, status: int) -> str:
    """SMS-STATUS-REPORT (TS 23.040, 9.2.2.3)."""
    return f"0891{_semi_octets('8613800100500')}06{reference:02X}{_number(number)}{_now()}{_now()}{status:02X}"


def read_submit(digits: str) -> Sent | None:
    """Read an SMS-SUBMIT (TS 23.040, 9.2.2.2)."""
    try:
        octets = bytes.fromhex(digits)
        tpdu = octets[1 + octets[0] :]
        first, count, kind = tpdu[0], tpdu[2], tpdu[3]
        size = (count + 1) // 2
        swapped = tpdu[4 : 4 + size].hex()
        number = ("+" if kind == 0x91 else "") + "".join(swapped[at + 1] + swapped[at] for at in range(0, len(swapped), 2))[:count]
        at = 4 + size
        coding = tpdu[at + 1]
        at += 2 + (1 if first & 0x18 == 0x10 else 0)
        length, data = tpdu[at], tpdu[at + 1 :]
        reference, parts, part, header = 0, 1, 1, 0
        if first & 0x40:
            header = 1 + data[0]
            reference, parts, part = data[3:6]
        if coding == 8:
            text = data[header:length].decode("utf-16-be")
        else:
            bits = "".join(f"{octet:08b}"[::-1] for octet in data)
            skipped = -(-header * 8 // 7)
            text = "".join(chr(int(bits[7 * n : 7 * n + 7][::-1], 2)) for n in range(skipped, length))
        if first & 0x03 != 0x01:
            return None
        return Sent(number, text, bool(first & 0x20), reference, part, parts, coding)
    except (ValueError, IndexError):
        return None


async def _play(options: argparse.Namespace) -> None:
    terminal = PseudoTerminal(options.port)
    terminal.plug()
    quirks = Quirks(echo=not options.no_echo, network=not options.no_network, pin=options.pin, prompt_s=options.prompt_s, pieces=options.pieces)
    modem = GsmModem(terminal, quirks)
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    if sys.stdin.isatty() or stat.S_ISFIFO(mode := os.fstat(sys.stdin.fileno()).st_mode) or stat.S_ISSOCK(mode):
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    else:
        lines.feed_eof()  # in the background, standard input is /dev/null: nobody writes texts there
    running = asyncio.create_task(modem.run())

    async def show() -> None:
        shown = 0
        while True:
            await modem.news.wait()
            modem.news.clear()
            texts = modem.texts()
            for number, text in texts[shown:]:
                print(json.dumps({"to": number, "text": text}, ensure_ascii=False), flush=True)
            shown = len(texts)

    showing = asyncio.create_task(show())
    try:
        while line := await lines.readline():
            number, _, text = line.decode().strip().partition(" ")
            if number and text:
                modem.receive(number, text)
        await running
    finally:
        showing.cancel()
        running.cancel()
        terminal.unplug()


def main(arguments: list[str]) -> int:
    """The command; ends by SIGINT."""
    parser = argparse.ArgumentParser(prog="simulate modem", description="A GSM modem on a pseudo-terminal: prints what it is sent as JSON lines.")
    parser.add_argument("--port", type=Path, required=True, help="the path that the gateway opens: serial:PATH")
    parser.add_argument("--no-echo", action="store_true", help="commands are not repeated")
    parser.add_argument("--no-network", action="store_true", help="it never registers")
    parser.add_argument("--pin", default="", help="the card wants this PIN")
    parser.add_argument("--prompt-s", type=float, default=0.0, help="seconds before the prompt of a message")
    parser.add_argument("--pieces", type=int, default=0, help="answers leave in pieces of so many octets")
    try:
        asyncio.run(_play(parser.parse_args(arguments)))
    except KeyboardInterrupt:
        pass
    return 0
