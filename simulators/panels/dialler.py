"""A DC-09 dialler: events and NULL supervision to a main and a backup receiver, forgotten only after an answer that was checked."""

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from simulators.panels.dc09_text import TIME, Reply, encipher, frame, read_reply
from simulators.sent import Sent, new_record
from simulators.wire import TcpWire, UdpWire

ANSWER_S = 5.0  # TCP; over UDP a public dialler sends 5 times, a second apart
UDP_ANSWER_S = 1.0
UDP_TRIES, TCP_TRIES = 5, 2
ROUND_S = 1.0  # after both receivers have failed
NULL_S = 90.0  # EN 50136 main path; a slow backup path has 890
SIA_CODES = {"100": "MA", "101": "QA", "110": "FA", "120": "PA", "151": "GA", "154": "WA", "384": "XT", "602": "RP"}
MAX_BUFFER = 8192
Receiver = TcpWire | UdpWire


@dataclass(slots=True)
class Event:
    """One thing to say. code, group, zone: as Contact ID has them; qualifier 1 new, 3 restore, 6 still; None for NULL."""

    sent: Sent
    qualifier: int = 1
    code: str = "101"
    group: str = "00"
    zone: str = "000"
    sequence: int = 0
    is_null: bool = False


class Dialler:
    """One transmitter. receivers: main first; key: 16, 24 or 32 bytes, b"" for plain; token: ADM-CID or SIA-DCS; quirks: see dc09_text.

    clock_off_s: how wrong its clock is at first; a NAK corrects it.
    """

    def __init__(
        self,
        account: str,
        receivers: list[Receiver],
        *,
        key: bytes = b"",
        token: str = "ADM-CID",
        null_s: float = NULL_S,
        answer_s: float | None = None,
        round_s: float = ROUND_S,
        quirks: frozenset[str] = frozenset(),
        clock_off_s: float = 0.0,
        stamps: bool = True,
    ) -> None:
        self.account = account
        self.receivers = receivers
        self.sent = new_record()
        self.nulls = 0
        self.nulls_confirmed = 0
        self.clock_off_s = clock_off_s
        self.first_sequence = int(time.time()) % 9999  # a dialler keeps its counter; one that begins anew must not repeat the last run's numbers
        self._key = key
        self._token = token
        self._null_s = null_s
        self._answer_s = answer_s
        self._round_s = round_s
        self._quirks = quirks
        self._stamps = stamps or bool(key)
        self._waiting: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._buffer = bytearray()

    def press(self, zone: str = "000", code: str = "101", *, qualifier: int = 1, what: str = "press") -> Sent:
        """Somebody presses: said until a receiver has taken it over."""
        sent = Sent(f"{self.account}:{zone}" if zone != "000" else self.account, what)
        self.sent.append(sent)
        self._waiting.append(Event(sent, qualifier, code, "01", zone))
        self._wake.set()
        return sent

    async def run(self) -> None:
        """Send what waits, and NULL in between, until cancelled."""
        try:
            while True:
                event = self._waiting[0] if self._waiting else Event(Sent(self.account, "alive"), is_null=True)
                taken = await self._say(event)
                if event.is_null:
                    self.nulls += 1
                    self.nulls_confirmed += taken
                    await self._rest(self._null_s if taken else self._round_s)
                elif taken:
                    self._waiting.popleft()
                else:
                    await asyncio.sleep(self._round_s)
                if not self._waiting and not event.is_null:
                    await self._rest(self._null_s)  # any message restarts the supervision timer
        finally:
            for receiver in self.receivers:
                receiver.close()

    async def _rest(self, seconds: float) -> None:
        self._wake.clear()
        if not self._waiting:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()

    async def _say(self, event: Event) -> bool:
        """One round over all receivers. True: over, taken or refused for good."""
        if not event.sequence:
            event.sequence = self._next_sequence()
        for receiver in self.receivers:
            is_udp = isinstance(receiver, UdpWire)
            for _ in range(UDP_TRIES if is_udp else TCP_TRIES):
                try:
                    if not receiver.plugged:
                        await receiver.open()
                except OSError:
                    break
                event.sent.tries += 1
                receiver.discard_input()
                self._buffer.clear()
                receiver.write(self.encode(event))
                if await self._answered(receiver, event, self._answer_s or (UDP_ANSWER_S if is_udp else ANSWER_S)):
                    return True
        return False

    def _next_sequence(self) -> int:
        self.first_sequence = self.first_sequence % 9999 + 1
        return self.first_sequence

    def encode(self, event: Event) -> bytes:
        """The frame as it goes out now: a repetition keeps its number, its timestamp is new."""
        token = "NULL" if event.is_null else self._token
        line = "L" if "no_line" in self._quirks else "L0"
        head = f'"{"*" if self._key else ""}{token}"{event.sequence:04}{line}#{self.account}['
        stamp = (datetime.now(UTC) + timedelta(seconds=self.clock_off_s)).strftime(TIME) if self._stamps else ""
        data = ""
        if not event.is_null and self._token == "SIA-DCS":
            code = SIA_CODES.get(event.code, "QA")
            code = code[0] + "H" if event.qualifier == 3 else code
            data = f"#{self.account}|Nri{int(event.group)}/{code}{event.zone}"
        elif not event.is_null:
            data = f"#{self.account}|{event.qualifier}{event.code} {event.group} {event.zone}"
        if not self._key:
            return frame(f"{head}{data}]{stamp}".encode(), self._quirks)
        clear = f"{'|' if data else ''}{data}]{stamp}".encode()
        return frame(head.encode() + encipher(self._key, clear).encode(), self._quirks)

    async def _answered(self, receiver: Receiver, event: Event, within_s: float) -> bool:
        """Read until an answer for this event is there; a NAK sets the clock and lets it be sent once more."""
        deadline = time.monotonic() + within_s
        while (left := deadline - time.monotonic()) > 0 and receiver.plugged:
            self._buffer += await receiver.read_some(left)
            del self._buffer[:-MAX_BUFFER]
            while b"\r" in self._buffer:
                raw, _, rest = bytes(self._buffer).partition(b"\r")
                self._buffer[:] = rest
                reply = read_reply(raw.rpartition(b"\n")[2], self._key)
                if reply.word == "NAK" and reply.at is not None:
                    event.sent.answers.append("NAK")
                    self.clock_off_s = (reply.at - datetime.now(UTC)).total_seconds()
                    return False
                if self._fits(reply, event):
                    if reply.word == "DUH":
                        event.sent.answers.append("DUH")
                        event.sent.refused = True
                    else:
                        event.sent.confirm(reply.word)
                    return True
                event.sent.answers.append(f"strange {reply.word}")
        return False

    def _fits(self, reply: Reply, event: Event) -> bool:
        """Is this about our event, whole, and as well protected as what we sent?"""
        return (
            reply.sound
            and reply.word in ("ACK", "DUH", "RSP")
            and reply.sequence == f"{event.sequence:04}"
            and reply.account.upper() in ("", self.account.upper())
            and (reply.word == "DUH" or reply.encrypted == bool(self._key))
        )
