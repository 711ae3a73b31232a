"""A GT06 pendant: login, heartbeats, alarm frames of every dialect, each repeated until its serial is answered."""

import struct
from datetime import UTC, datetime

from simulators.trackers.tracker import Cry, Rebooted, Tracker

LOGIN, HEARTBEAT, LOCATION = 0x01, 0x13, 0x22
DIALECTS = ("26_25", "26_26", "16_25", "16_24", "19", "27", "A4")  # protocol number and length byte
ALARMS = {"sos": 0x01, "fall": 0x23, "low_battery": 0x0E, "tamper": 0x13, "removed": 0x18}
TERMINAL_SOS, TERMINAL_NONE = 0x64, 0x44  # GPS on, charging; bits 5 to 3 name the alarm
QUIRKS = ("reversed_login", "serial_same", "heartbeat_sos")


def crc_x25(data: bytes) -> int:
    """Reflected 8408, start FFFF, final XOR FFFF. Over 05 01 00 05 it is 9FF8."""
    value = 0xFFFF
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value & 1 else 0)
    return value ^ 0xFFFF


def frame(number: int, content: bytes, serial: int) -> bytes:
    """78 78 len proto content serial crc 0D 0A; 79 79 and two octets of length when it is long."""
    size = len(content) + 5
    inner = (struct.pack(">BB", size, number) if size < 256 else struct.pack(">HB", size, number)) + content + struct.pack(">H", serial)
    return (b"xx" if size < 256 else b"yy") + inner + struct.pack(">H", crc_x25(inner)) + b"\r\n"


class Pendant(Tracker):
    """identity: the IMEI, 15 digits. dialect: one of DIALECTS.

    reversed_login: a waiting alarm goes out with the login, before it; serial_same: repeats keep their serial;
    heartbeat_sos: the terminal bits of heartbeats still say SOS after a press.
    """

    dialect = "26_25"
    quirks: frozenset[str] = frozenset()
    _held_bits = TERMINAL_NONE

    async def greet(self) -> None:
        """Login, answered in 5 s or said again; three misses start the link anew."""
        content = bytes.fromhex(self.identity.zfill(16)) + b"\x10\x02" + b"\x00\x01"
        for _ in range(3):
            serial = self.next_serial()
            early = b""
            if "reversed_login" in self.quirks and self._waiting:
                cry = self._waiting[0]
                cry.sent.tries += 1
                early = self.write_alarm(cry, 0)[0]
            if await self.ask(early + frame(LOGIN, content, serial), (LOGIN, serial), self.patience.answer_s):
                return
            if not self.wire.plugged:
                break
        raise Rebooted

    def write_alarm(self, cry: Cry, _turn: int) -> tuple[bytes, tuple[object, ...]]:
        if not (cry.serial and "serial_same" in self.quirks):
            cry.serial = self.next_serial()
        if cry.kind == "sos" and "heartbeat_sos" in self.quirks:
            self._held_bits = TERMINAL_SOS
        number, content = self.alarm_content(cry.kind)
        return frame(number, content, cry.serial), (number, cry.serial)

    def alarm_content(self, kind: str) -> tuple[int, bytes]:
        """Location, cells, status: how long each is makes the dialect."""
        now = datetime.now(UTC)
        place = struct.pack(
            ">6BBIIBH", now.year % 100, now.month, now.day, now.hour, now.minute, now.second, 0xC9,
            int(36.36 * 1_800_000), int(102.88 * 1_800_000), 0, 0x1400 | 90,
        )  # fmt: skip
        alarm = ALARMS[kind]
        bits = TERMINAL_SOS if kind == "sos" else TERMINAL_NONE
        cell3, cell4 = b"\x01\xcc\x00\x28\x7d\x00\x1f\x71", b"\x01\xcc\x00\x28\x7d\x00\x00\x1f\x71"
        five = bytes([bits if kind == "sos" else TERMINAL_NONE, 4, 4, alarm, 2])
        if self.dialect == "16_24":  # no alarm byte: only the terminal bits can say it
            return 0x16, place + cell3 + bytes([bits]) + b"\x01\x9a\x04\x00"
        if self.dialect == "26_26":
            return 0x26, place + b"\x09" + cell4 + bytes([TERMINAL_NONE, 4, 4, alarm, 2])
        if self.dialect == "19":
            return 0x19, cell3 + five
        if self.dialect == "27":
            return 0x27, place + b"\x09" + cell3 + five + b"\x00"
        if self.dialect == "A4":
            cells = b"\x01\xcc\x00\x00" + struct.pack(">I", 0x287D) + struct.pack(">Q", 0x1F71)
            return 0xA4, place + b"\x11" + cells + five + b"\x00"
        return int(self.dialect[:2], 16), place + b"\x09" + cell3 + five

    def write_alive(self) -> tuple[bytes, tuple[object, ...]]:
        serial = self.next_serial()
        return frame(HEARTBEAT, bytes([self._held_bits, 4, 4, 0, 2]), serial), (HEARTBEAT, serial)

    def read(self, buffer: bytearray) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        while len(buffer) >= 5:
            if not buffer.startswith((b"xx", b"yy")):
                del buffer[:1]
                continue
            wide = buffer.startswith(b"yy")
            size = int.from_bytes(buffer[2:4]) + 6 if wide else buffer[2] + 5
            if len(buffer) < size:
                break
            whole = bytes(buffer[:size])
            inner = whole[2:-4]
            if not whole.endswith(b"\r\n") or struct.unpack(">H", whole[-4:-2])[0] != crc_x25(inner):
                del buffer[:1]
                continue
            del buffer[:size]
            found.append((inner[2 if wide else 1], int.from_bytes(inner[-2:])))
        return found
