"""Paging outputs of nurse-call systems: a TAP 1.8 sender with its dialogue, and a COMP2 sender that nobody answers."""

import asyncio
import time
from collections import deque

from simulators.sent import Sent, new_record
from simulators.wire import Wire

STX, ETX, EOT, ENQ, ACK, CR, NAK, ESC, RS, DEL = 0x02, 0x03, 0x04, 0x05, 0x06, 0x0D, 0x15, 0x1B, 0x1E, 0x7F
WAKE_S, WAKES = 2.0, 3
ANSWER_S = 10.0
TRIES = 3
ROUND_S = 1.0
COMP2_TEXT = 253


def tap_block(pager: str, text: str) -> bytes:
    """STX id CR text CR ETX and three characters: the sum of all 7-bit values so far, 12 bits, each nibble + 0x30."""
    block = bytes([STX]) + pager.encode("ascii") + b"\r" + text.encode("ascii", "replace") + b"\r" + bytes([ETX])
    total = sum(block) & 0xFFF
    return block + bytes(0x30 + (total >> shift & 15) for shift in (8, 4, 0)) + b"\r"


class TapSender:
    """Wakes the terminal, logs on, sends block after block, goes. automatic: no logon, the message straight after CR."""

    def __init__(self, wire: Wire, *, answer_s: float = ANSWER_S, wake_s: float = WAKE_S, password: str = "") -> None:
        self.wire = wire
        self.sent = new_record()
        self._answer_s = answer_s
        self._wake_s = wake_s
        self._password = password
        self._waiting: deque[tuple[Sent, bytes]] = deque()

    def press(self, pager: str, text: str) -> Sent:
        sent = Sent(pager)
        self.sent.append(sent)
        self._waiting.append((sent, tap_block(pager, text)))
        return sent

    async def run(self) -> None:
        while True:
            if self.wire.plugged and self._waiting:
                if not await self._session():
                    await asyncio.sleep(ROUND_S)
            else:
                await asyncio.sleep(0.05)

    async def _session(self) -> bool:
        self.wire.discard_input()
        if not await self._log_on():
            return False
        while self._waiting and self.wire.plugged:
            sent, block = self._waiting[0]
            outcome = await self._send(sent, block)
            if outcome in ("ACK", "RS"):
                self._waiting.popleft()
            else:
                return False
        self.wire.write(bytes([EOT, CR]))
        await self._line(self._answer_s)
        return True

    async def _log_on(self) -> bool:
        for _ in range(WAKES):
            self.wire.write(b"\r")
            if b"ID=" in await self._line(self._wake_s, until=b"ID="):
                break
        else:
            return False
        for _ in range(TRIES):
            self.wire.write(bytes([ESC]) + b"PG1" + self._password.encode() + b"\r")
            if b"\x1b[p" in await self._line(self._answer_s, until=b"\x1b[p"):
                return True
        return False

    async def _send(self, sent: Sent, block: bytes) -> str:
        """ACK taken, RS given up by the terminal, "" not taken."""
        for _ in range(TRIES):
            sent.tries += 1
            self.wire.write(block)
            answer = await self._line(self._answer_s)
            if ACK in answer:
                sent.confirm("ACK")
                return "ACK"
            if RS in answer:
                sent.answers.append("RS")
                sent.refused = True
                return "RS"
            sent.answers.append("NAK" if NAK in answer else "dropped" if EOT in answer else "none")
            if EOT in answer or not answer:
                break
        return ""

    async def _line(self, within_s: float, until: bytes = b"\r") -> bytes:
        """Bytes until `until`, or until ESC EOT, or until time is over."""
        found = bytearray()
        deadline = time.monotonic() + within_s
        while (left := deadline - time.monotonic()) > 0:
            octet = await self.wire.read_byte(left)
            if octet is None:
                break
            found.append(octet)
            if found.endswith((until, b"\x1b\x04")) and found.strip():
                break
        return bytes(found)


def comp2_record(pager: str, text: str, function: str = "", *, tilde: bool = False) -> bytes:
    """Three DEL clear the parser, then id and text, each with its end."""
    end = b"~" if tilde else b"\r"
    return bytes([DEL] * 3) + (pager + function).encode("ascii") + end + text[:COMP2_TEXT].encode("ascii", "replace") + end


class Comp2Sender:
    """Writes and forgets."""

    def __init__(self, wire: Wire, *, tilde: bool = False) -> None:
        self.wire = wire
        self.sent = new_record()
        self._tilde = tilde

    def press(self, pager: str, text: str = "") -> Sent:
        """No text: a tone-only page, which is a call all the same."""
        sent = Sent(pager, tries=1)
        if self.wire.plugged:
            sent.answers.append("written")
        self.wire.write(comp2_record(pager, text, tilde=self._tilde))
        self.sent.append(sent)
        return sent

    async def run(self) -> None:
        """Nothing to wait for; what the terminal says is for people."""
        while True:
            await self.wire.read_byte(1.0)
            await asyncio.sleep(0.05)
