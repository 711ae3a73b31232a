"""A JT/T 808 terminal of 2011, 2013 or 2019: registers, authenticates, keeps bit 0 set until answered, sends what it stored first."""

import struct
from collections import deque
from datetime import UTC, datetime, timedelta, timezone
from functools import reduce
from operator import xor

from simulators.trackers.tracker import Cry, Rebooted, Tracker

REGISTER, AUTHENTICATE, HEARTBEAT, LOCATION, STORED = 0x0100, 0x0102, 0x0002, 0x0200, 0x0704
GENERAL, REGISTERED, TEXT, CONFIRM = 0x8001, 0x8100, 0x8300, 0x8203
CHINA = timezone(timedelta(hours=8))
BITS = {"sos": 1, "low_battery": 1 << 7, "power_cut": 1 << 8, "collision": 1 << 29}
MAX_STORED = 200
QUIRKS = ("bit_stays", "binary_identity")


def escape(data: bytes) -> bytes:
    """7D first, then 7E; one 7E at each end."""
    return b"\x7e" + data.replace(b"\x7d", b"\x7d\x01").replace(b"\x7e", b"\x7d\x02") + b"\x7e"


class Terminal(Tracker):
    """identity: digits of the phone number, 12 (2019: 20). edition: 2011, 2013, 2019.

    bit_stays: bit 0 stands in later locations although it was answered, as in clones for minutes. code: given at registration, "" before.
    """

    edition = 2013
    quirks: frozenset[str] = frozenset()
    code = b""
    refusals = 0
    _bits = 0

    def __init__(self, *arguments, **more) -> None:  # type: ignore[no-untyped-def]
        super().__init__(*arguments, **more)
        self.stored: deque[bytes] = deque(maxlen=MAX_STORED)
        self._result = 0

    def frame(self, message: int, body: bytes, serial: int) -> bytes:
        if self.edition == 2019:
            head = struct.pack(">HHB", message, 0x4000 | len(body), 1) + bytes.fromhex(self.identity.zfill(20))
        else:
            head = struct.pack(">HH", message, len(body)) + bytes.fromhex(self.identity.zfill(12))
        data = head + struct.pack(">H", serial) + body
        return escape(data + bytes([reduce(xor, data)]))

    async def _say(self, message: int, body: bytes, answer: int = GENERAL) -> bool:
        """One request, said again with growing waits."""
        wait_s, serial = self.patience.answer_s, self.next_serial()
        for turn in range(self.patience.tries):
            if await self.ask(self.frame(message, body, serial), (answer, serial), wait_s):
                return True
            if not self.wire.plugged:
                break
            wait_s *= turn + 2
        raise Rebooted

    async def greet(self) -> None:
        """Register when there is no code yet, then authenticate; refused: the code is thrown away."""
        if not self.code:
            maker, model, mark = {2019: (11, 30, 30), 2013: (5, 20, 7)}.get(self.edition, (5, 8, 7))
            body = struct.pack(">HH", 62, 100) + b"SIMUL".ljust(maker, b"\0") + b"pendant".ljust(model, b"\0")
            body += self.identity[-7:].encode().ljust(mark, b"\0") + b"\0"
            await self._say(REGISTER, body, REGISTERED)
            if not self.code:
                raise Rebooted
        code = self.code
        if self.edition == 2019:
            code = bytes([len(code)]) + code + self.identity[-15:].zfill(15).encode() + b"1.0".ljust(20, b"\0")
        await self._say(AUTHENTICATE, code)
        if self._result:
            self.code = b""
            self.refusals += 1
            raise Rebooted

    async def first_things(self) -> None:
        """Stored locations before anything new."""
        while self.stored:
            batch = [self.stored[index] for index in range(min(10, len(self.stored)))]
            body = struct.pack(">HB", len(batch), 1) + b"".join(struct.pack(">H", len(one)) + one for one in batch)
            await self._say(STORED, body)
            for _ in batch:
                self.stored.popleft()

    def location(self, bits: int, ago_s: float = 0.0) -> bytes:
        now = datetime.now(UTC).astimezone(CHINA) - timedelta(seconds=ago_s)
        clock = bytes.fromhex(f"{now:%y%m%d%H%M%S}")
        return struct.pack(">IIIIHHH", bits, 2, 36_360_000, 102_880_000, 1500, 0, 90) + clock + b"\x30\x01\x18\x31\x01\x09"

    def store(self, kind: str = "", ago_s: float = 600.0) -> None:
        """A location kept while there was no link."""
        self.stored.append(self.location(BITS.get(kind, 0), ago_s))

    def write_alarm(self, cry: Cry, _turn: int) -> tuple[bytes, tuple[object, ...]]:
        cry.serial = cry.serial or self.next_serial()  # a repetition keeps its serial
        self._bits |= BITS[cry.kind]
        return self.frame(LOCATION, self.location(self._bits), cry.serial), (GENERAL, cry.serial)

    async def after_alarm(self, cry: Cry) -> None:
        if "bit_stays" not in self.quirks:
            self._bits &= ~BITS[cry.kind]
        serial = self.next_serial()
        self.wire.write(self.frame(LOCATION, self.location(self._bits), serial))  # bit 0 as it stands now

    def write_alive(self) -> tuple[bytes, tuple[object, ...]]:
        serial = self.next_serial()
        if "bit_stays" in self.quirks and self._bits:
            return self.frame(LOCATION, self.location(self._bits), serial), (GENERAL, serial)
        return self.frame(HEARTBEAT, b"", serial), (GENERAL, serial)

    def release(self) -> None:
        """A clone's bit 0 falls at last."""
        self._bits = 0

    def read(self, buffer: bytearray) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        while True:
            start = buffer.find(0x7E)
            if start < 0:
                buffer.clear()
                return found
            end = buffer.find(0x7E, start + 1)
            if end < 0:
                del buffer[:start]
                return found
            inner = bytes(buffer[start + 1 : end])
            if not inner:
                del buffer[: start + 1]
                continue
            del buffer[: end + 1]
            data = inner.replace(b"\x7d\x02", b"\x7e").replace(b"\x7d\x01", b"\x7d")
            if reduce(xor, data) == 0:
                found += self._message(data[:-1])

    def _message(self, data: bytes) -> list[tuple[object, ...]]:
        message, properties = struct.unpack(">HH", data[:4])
        head = 17 if properties & 0x4000 else 12
        body = data[head:]
        if message == GENERAL and len(body) >= 5:
            self._result = body[4]
            self.refusals += body[4] == 1
            return [(GENERAL, int.from_bytes(body[:2]))] if body[4] in (0, 4) or body[2:4] == b"\x01\x02" else []
        if message == REGISTERED and len(body) >= 3:
            if body[2] == 0:
                self.code = body[3:]
            return [(REGISTERED, int.from_bytes(body[:2]))]
        if message in (TEXT, CONFIRM):
            self.texts += 1
            serial = data[head - 2 : head]
            self.wire.write(self.frame(0x0001, serial + struct.pack(">HB", message, 0), self.next_serial()))
        return []
