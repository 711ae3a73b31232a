"""A watch of the 3G / SeTracker family: `[3G*ID*LEN*CONTENT]`, AL until it hears AL, LK every minute."""

import re
from datetime import UTC, datetime

from simulators.trackers.tracker import Cry, Tracker

BITS = {"sos": 0x00010000, "low_battery": 0x00020000, "removed": 0x00100000, "fall": 0x00200000, "unnamed": 0}
QUIRKS = ("wrong_length", "no_fix_first", "lte", "index", "bits_stay")
_FRAME = re.compile(rb"\[(..)\*(\w+)\*(?:([0-9A-Fa-f]{4})\*)?([0-9A-Fa-f]{4})\*")


class Watch(Tracker):
    """wrong_length: LEN counts wrongly; no_fix_first: the first AL has V, its repetition A; lte: AL_LTE; index: ZJ frames with a counter.

    bits_stay: the alarm's bits stand in a plain location (UD) afterwards.
    """

    vendor = "3G"
    quirks: frozenset[str] = frozenset()
    commands = 0

    def frame(self, content: bytes) -> bytes:
        index = f"{self.next_serial():04X}*" if "index" in self.quirks else ""
        length = len(content) + (7 if "wrong_length" in self.quirks else 0)
        vendor = "ZJ" if "index" in self.quirks else self.vendor
        return f"[{vendor}*{self.identity}*{index}{length:04X}*".encode() + content + b"]"

    def position(self, word: str, bits: int, *, fix: bool = True) -> bytes:
        now = datetime.now(UTC)
        place = "A,36.360000,N,102.880000,E" if fix else "V,0.0,N,0.0,E"
        return f"{word},{now:%d%m%y},{now:%H%M%S},{place},0.00,0.0,12.0,9,80,64,0,0,{bits:08X},1,1,460,0,9529,21809,158,0,8.0".encode()

    def write_alarm(self, cry: Cry, _turn: int) -> tuple[bytes, tuple[object, ...]]:
        word = "AL_LTE" if "lte" in self.quirks else "AL"
        fix = bool(_turn) or "no_fix_first" not in self.quirks
        return self.frame(self.position(word, BITS[cry.kind], fix=fix)), ("AL",)

    async def after_alarm(self, cry: Cry) -> None:
        if "no_fix_first" in self.quirks:  # the fix comes although the first was answered
            self.wire.write(self.frame(self.position("AL", BITS[cry.kind])))
        if "bits_stay" in self.quirks:
            self.wire.write(self.frame(self.position("UD", BITS[cry.kind])))

    def write_alive(self) -> tuple[bytes, tuple[object, ...]]:
        return self.frame(b"LK,50,0,64"), ("LK",)

    def read(self, buffer: bytearray) -> list[tuple[object, ...]]:
        """LEN of what we are sent must be exact: a watch ignores an answer that counts wrongly."""
        found: list[tuple[object, ...]] = []
        while (start := buffer.find(b"[")) >= 0:
            del buffer[:start]
            head = _FRAME.match(buffer)
            if head is None:
                if len(buffer) > 40:
                    del buffer[:1]
                    continue
                break
            length = int(head[4], 16)
            if len(buffer) < head.end() + length + 1:
                break
            content, end = bytes(buffer[head.end() : head.end() + length]), buffer[head.end() + length]
            if end != ord("]") or head[2].decode() != self.identity:
                del buffer[:1]
                continue
            del buffer[: head.end() + length + 1]
            word = content.partition(b",")[0].decode("ascii", "replace")
            found.append(("AL" if word == "AL_LTE" else word,))
            if word in ("CR", "MESSAGE", "FIND"):
                self.commands += 1
                self.texts += word == "MESSAGE"
                self.wire.write(self.frame(word.encode()))
        return found
