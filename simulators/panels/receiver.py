"""A Sur-Gard alarm receiver (MLR2 or System III): one record in flight, heartbeats, and a buffer that is emptied in a burst when the link is back."""

import asyncio
import time
from collections import deque

from simulators.sent import Sent, new_record
from simulators.wire import Wire

END = b"\x14"  # DC4
ACK, NAK = 0x06, 0x15
ANSWER_S = 4.0  # after DC4
REPEATS = 3  # then "computer fault"
HEARTBEAT_S = 30.0
BUFFER = 127  # events a line keeps (MLR2-E, MLR2000); more are only printed
FAULT_S = 1.0  # between heartbeats while the computer is at fault; a real one keeps its interval
QUIRKS = ("glued", "parity", "spaces")


def even_parity(data: bytes) -> bytes:
    """7E1 as a port at 8N1 reads it."""
    return bytes(octet | (octet.bit_count() & 1) << 7 for octet in data)


class AlarmReceiver:
    """system3: the line has three characters and heartbeats are longer.

    glued: a cut copy runs into the whole one without an end between them; parity: 7E1 read as 8N1; spaces: between the parts.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        system3: bool = False,
        answer_s: float = ANSWER_S,
        heartbeat_s: float = HEARTBEAT_S,
        fault_s: float = FAULT_S,
        quirks: frozenset[str] = frozenset(),
    ) -> None:
        self.wire = wire
        self.sent = new_record()
        self.printed = 0  # lost for the computer: the buffer was full
        self.heartbeats = 0
        self.heartbeats_confirmed = 0
        self.computer_fault = False
        self._system3 = system3
        self._answer_s = answer_s
        self._heartbeat_s = heartbeat_s
        self._fault_s = fault_s
        self._quirks = quirks
        self._buffer: deque[tuple[Sent, str]] = deque()
        self._wake = asyncio.Event()

    def press(self, account: str, zone: str = "000", code: str = "101", *, qualifier: str = "E", what: str = "press") -> Sent:
        """A panel has called this receiver. qualifier: E new, R restore, P still present."""
        sent = Sent(f"{account}:{zone}" if zone != "000" else account, what)
        self.sent.append(sent)
        if len(self._buffer) >= BUFFER:
            self.printed += 1
            sent.refused = True
        else:
            line = "001" if self._system3 else "1"
            parts = ("18", account, f"{qualifier}{code}", "01", zone)
            self._buffer.append((sent, f"501{line} " + (" " if "spaces" in self._quirks else "").join(parts)))
            self._wake.set()
        return sent

    @property
    def heartbeat(self) -> str:
        return ("100000" if self._system3 else "1011") + " " * 11 + "@" + " " * 4

    async def run(self) -> None:
        """Deliver, and show that the line lives, until cancelled."""
        while True:
            if not self.wire.plugged:
                await asyncio.sleep(0.05)
            elif self._buffer and not self.computer_fault:
                sent, record = self._buffer[0]
                if await self._deliver(sent, record):
                    self._buffer.popleft()
            else:
                self.heartbeats += 1
                if await self._ask(self.heartbeat):
                    self.heartbeats_confirmed += 1
                    self.computer_fault = False
                await self._rest(self._fault_s if self.computer_fault else self._heartbeat_s)

    async def _rest(self, seconds: float) -> None:
        self._wake.clear()
        if self._buffer and not self.computer_fault:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _deliver(self, sent: Sent, record: str) -> bool:
        """The record and up to three repeats."""
        for attempt in range(1 + REPEATS):
            if not self.wire.plugged:
                return False
            sent.tries += 1
            glued = "glued" in self._quirks and attempt == 0
            answer = await self._ask((record[:-1] + record if glued else record), sent)
            if answer:
                sent.confirm("ACK")
                return True
        self.computer_fault = True
        return False

    async def _ask(self, record: str, sent: Sent | None = None) -> bool:
        """True for ACK, False for NAK or silence."""
        data = record.encode("ascii") + END
        self.wire.discard_input()
        self.wire.write(even_parity(data) if "parity" in self._quirks else data)
        deadline = time.monotonic() + self._answer_s
        while (left := deadline - time.monotonic()) > 0:
            octet = await self.wire.read_byte(left)
            if octet is None:
                break
            if octet & 0x7F in (ACK, NAK):
                if octet & 0x7F == NAK and sent is not None:
                    sent.answers.append("NAK")
                return octet & 0x7F == ACK
        return False
