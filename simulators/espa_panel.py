"""An ESPA 4.4.4 control station (a panic-button panel) on a pseudo-terminal: polls, selects, sends calls, repeats until each is confirmed.

Written from the ESPA 4.4.4 proposal of 1984 (data blocks, dialogue, replies), not from the gateway's decoder.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import xor
from typing import Final

from simulators.noise import Noise
from simulators.pseudo_terminal import PseudoTerminal

SOH: Final = 0x01
STX: Final = 0x02
ETX: Final = 0x03
EOT: Final = 0x04
ENQ: Final = 0x05
ACK: Final = 0x06
NAK: Final = 0x15
RS: Final = 0x1E
US: Final = 0x1F

CONTROL_STATION: Final = ord("1")
PAGING_STATION: Final = ord("2")
REPEATS = 2  # after NAK or no answer; then EOT
ANSWER_S = 2.0  # answer to ENQ or to a block: 1 to 2 s usual
ROUND_PAUSE_S = 0.3  # before a call that was not taken is offered again
MAX_WAITING = 1000  # calls; more than any building has buttons


def encode_block(records: Mapping[str, str], header: str = "1") -> bytes:
    """One data block: SOH header STX id US data { RS id US data } ETX BCC.

    BCC is the XOR of all bytes after SOH up to and including ETX; 7-bit text only.
    """
    body = bytes([RS]).join(identifier.encode("ascii") + bytes([US]) + data.encode("ascii", "replace") for identifier, data in records.items())
    checked = header.encode("ascii") + bytes([STX]) + body + bytes([ETX])
    return bytes([SOH]) + checked + bytes([reduce(xor, checked)])


@dataclass(slots=True)
class PanelCall:
    """One call and what became of it. Times are monotonic seconds; `pressed_at` is the wall clock at the press, ms since 1970."""

    address: str
    text: str
    call_type: str = "3"
    priority: str = "1"
    beep: str = "2"
    again: bool = False  # send the same block once more although it was taken: the ACK was lost on the way
    pressed_at: int = 0
    first_sent: float | None = None
    confirmed: float | None = None
    blocks_sent: int = 0
    refusals: list[str] = field(default_factory=list)

    @property
    def block(self) -> bytes:
        records = {"1": self.address, "2": self.text, "3": self.beep, "4": self.call_type, "5": "1", "6": self.priority}
        return encode_block(records)


class EspaPanel:
    """The permanent master of one cable; its only partner is the paging station (the gateway), address 2."""

    def __init__(self, terminal: PseudoTerminal, *, poll_s: float = 0.5, answer_s: float = ANSWER_S, noise: Noise | None = None) -> None:
        self.terminal = terminal
        self.noise = noise or Noise()
        self.poll_s = poll_s
        self.answer_s = answer_s
        self.calls: list[PanelCall] = []
        self.polls = 0
        self.polls_answered = 0
        self._waiting: deque[PanelCall] = deque()
        self._wake = asyncio.Event()

    @property
    def confirmed(self) -> int:
        """Calls that the paging station has taken with ACK."""
        return sum(call.confirmed is not None for call in self.calls)

    def press(self, address: str, text: str, **more: object) -> PanelCall:
        """Somebody presses a button: the call waits its turn and is offered until it is taken."""
        if len(self._waiting) >= MAX_WAITING:
            raise OverflowError(f"more than {MAX_WAITING} calls wait on the panel")
        call = PanelCall(address, text, pressed_at=time.time_ns() // 1_000_000, **more)  # type: ignore[arg-type]
        self.calls.append(call)
        self._waiting.append(call)
        self._wake.set()
        return call

    async def run(self) -> None:
        """Poll and send until cancelled. Unplugged: wait. Cancelling loses nothing that was confirmed."""
        while True:
            if not self.terminal.plugged:
                await asyncio.sleep(0.05)
            elif self._waiting:
                call = self._waiting[0]
                if await self._send(call):
                    self._waiting.popleft()
                else:
                    await asyncio.sleep(ROUND_PAUSE_S)
            else:
                await self._poll()
                self._wake.clear()
                if not self._waiting:
                    try:
                        async with asyncio.timeout(self.poll_s):
                            await self._wake.wait()
                    except TimeoutError:
                        pass

    async def _poll(self) -> None:
        """EOT '2' ENQ: "anything to send?"; EOT is the answer of a station that has nothing."""
        self.polls += 1
        self.terminal.discard_input()
        self.terminal.write(self.noise.damage(bytes([EOT, PAGING_STATION, ENQ])))
        answer = await self.terminal.read_byte(self.answer_s)
        if answer == EOT:
            self.polls_answered += 1
        elif answer is None:
            self.terminal.forget_unread()
        else:  # the station wants the line for itself; take it back
            self.terminal.write(bytes([EOT]))

    async def _send(self, call: PanelCall) -> bool:
        """Select the station, send the block, repeat it after NAK or silence, give the line back. True when it was taken."""
        try:
            if not await self._select():
                return False
            for _ in range(1 + REPEATS):
                if not self.terminal.plugged:
                    return False
                if await self._send_block(call):
                    if call.again:  # as if the ACK had been lost
                        await self._send_block(call)
                    return True
            return False
        finally:
            self.terminal.write(bytes([EOT]))

    async def _select(self) -> bool:
        """EOT '1' ENQ '2' ENQ: the control station first polls itself, then selects 2; ACK means ready."""
        for _ in range(1 + REPEATS):
            self.terminal.discard_input()
            self.terminal.write(self.noise.damage(bytes([EOT, CONTROL_STATION, ENQ, PAGING_STATION, ENQ])))
            if await self._answer(None):
                return True
            if not self.terminal.plugged:
                return False
        return False

    async def _send_block(self, call: PanelCall) -> bool:
        self.terminal.discard_input()
        if call.first_sent is None:
            call.first_sent = time.monotonic()
        call.blocks_sent += 1
        self.terminal.write(self.noise.damage(call.block))
        if not await self._answer(call):
            return False
        if call.confirmed is None:
            call.confirmed = time.monotonic()
        return True

    async def _answer(self, call: PanelCall | None) -> bool:
        """Wait for ACK, or for [digit] NAK (1 transmission error, 2 busy, 3 invalid), EOT or silence: not taken."""
        deadline = time.monotonic() + self.answer_s
        prefix = ""
        while (left := deadline - time.monotonic()) > 0:
            answer = await self.terminal.read_byte(left)
            if answer == ACK:
                return True
            if answer is None:
                self.terminal.forget_unread()
                break
            if answer in (NAK, EOT):
                if call is not None and len(call.refusals) < MAX_WAITING:
                    call.refusals.append(prefix + "nak" if answer == NAK else "eot")
                return False
            prefix = chr(answer)
        return False
