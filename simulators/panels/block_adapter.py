"""A DTMF adapter: panels dial it, it prints the 16 digits of each Contact ID block, and gives the kiss-off only when the computer says so."""

import asyncio
import time
from collections import deque

from simulators.sent import Sent, new_record
from simulators.wire import Wire

KISS_OFF = 0x06
ANSWER_S = 1.25  # how long a panel waits for the kiss-off
TRIES = 4  # of a panel in one call; then it dials again
DIAL_S = 1.0
WEIGHTS = "0123456789_BCDEF"  # the index is the weight, except that 0 weighs ten


def block(account: str, code: str, zone: str, *, qualifier: int = 1, group: str = "01") -> str:
    """16 digits; 0 weighs ten, B to F weigh 11 to 15, and the sum is a multiple of 15: 15 is written F, 10 is written 0."""
    digits = f"{account}18{qualifier}{code}{group}{zone}"
    total = sum(10 if digit == "0" else WEIGHTS.index(digit) for digit in digits)
    check = -total % 15
    return digits + ("F" if check == 0 else "0" if check == 10 else WEIGHTS[check])


class BlockAdapter:
    """One telephone line; one call after the other."""

    def __init__(self, wire: Wire, *, answer_s: float = ANSWER_S, dial_s: float = DIAL_S) -> None:
        self.wire = wire
        self.sent = new_record()
        self._answer_s = answer_s
        self._dial_s = dial_s
        self._waiting: deque[tuple[Sent, str]] = deque()

    def press(self, account: str, zone: str = "000", code: str = "101", *, qualifier: int = 1, what: str = "press") -> Sent:
        sent = Sent(f"{account}:{zone}" if zone != "000" else account, what)
        self.sent.append(sent)
        self._waiting.append((sent, block(account, code, zone, qualifier=qualifier)))
        return sent

    async def run(self) -> None:
        while True:
            if self.wire.plugged and self._waiting:
                if await self._call(*self._waiting[0]):
                    self._waiting.popleft()
                else:
                    await asyncio.sleep(self._dial_s)
            else:
                await asyncio.sleep(0.05)

    async def _call(self, sent: Sent, digits: str) -> bool:
        for _ in range(TRIES):
            sent.tries += 1
            self.wire.discard_input()
            self.wire.write(digits.encode() + b"\r\n")
            deadline = time.monotonic() + self._answer_s
            while (left := deadline - time.monotonic()) > 0 and (octet := await self.wire.read_byte(left)) is not None:
                if octet == KISS_OFF:
                    sent.confirm("kiss-off")
                    return True
        return False
