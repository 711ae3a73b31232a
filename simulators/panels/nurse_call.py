"""Nurse-call ends of ESPA 4.4.4: a master with the habits of real ones, and a station that calls a control station which polls it."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import cast

from simulators.espa_panel import ACK, CONTROL_STATION, ENQ, EOT, ETX, NAK, PAGING_STATION, REPEATS, RS, SOH, EspaPanel, PanelCall, encode_block
from simulators.pseudo_terminal import PseudoTerminal
from simulators.sent import Sent, new_record
from simulators.wire import Wire

QUIRKS = ("no_own_enquiry", "trailing_rs", "leading_space")
AGAIN_S = 15.0  # a master repeats a call so often until it is cancelled
ANSWER_S = 2.0
PAIR = bytes([EOT, PAGING_STATION, ENQ])


def quirky_block(block: bytes, quirks: frozenset[str]) -> bytes:
    """A block with an empty last record, or with a space before its first; its check is made anew."""
    inner = block[1:-1]
    if "trailing_rs" in quirks:
        inner = inner[:-1] + bytes([RS, ETX])
    if "leading_space" in quirks:
        inner = inner[:2] + b" " + inner[2:]
    check = 0
    for octet in inner:
        check ^= octet
    return bytes([SOH]) + inner + bytes([check])


@dataclass(slots=True)
class QuirkyCall(PanelCall):
    quirks: frozenset[str] = frozenset()

    @property
    def block(self) -> bytes:
        plain = encode_block({"1": self.address, "2": self.text, "3": self.beep, "4": self.call_type, "5": "1", "6": self.priority})
        return quirky_block(plain, self.quirks)


class NurseCallMaster(EspaPanel):
    """The control station. Calls stay open and are said again every `again_s` until they are cancelled (call type 1).

    no_own_enquiry: it does not poll itself before it selects, so the gateway's line must be `lenient`.
    """

    def __init__(
        self, wire: Wire, *, poll_s: float = 1.0, answer_s: float = ANSWER_S, again_s: float = AGAIN_S, quirks: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(cast(PseudoTerminal, wire), poll_s=poll_s, answer_s=answer_s)  # every wire has the face of a terminal
        self.sent = new_record()
        self.repeats = 0
        self._quirks = quirks
        self._again_s = again_s
        self._open: dict[str, tuple[str, float]] = {}
        self._records: deque[tuple[Sent, PanelCall]] = deque()

    def cry(self, address: str, text: str, *, what: str = "press") -> Sent:
        """A call, or its cancel (what = "cancel")."""
        sent = Sent(address, what)
        self.sent.append(sent)
        if what == "cancel":
            self._open.pop(address, None)
        else:
            self._open[address] = (text, time.monotonic() + self._again_s)
        self._records.append((sent, self._queue(address, text, "1" if what == "cancel" else "3")))
        return sent

    def _queue(self, address: str, text: str, call_type: str) -> PanelCall:
        call = QuirkyCall(address, text, call_type, quirks=self._quirks, pressed_at=time.time_ns() // 1_000_000)
        self.calls.append(call)
        self._waiting.append(call)
        self._wake.set()
        return call

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(super().run())
            group.create_task(self._again())

    async def _again(self) -> None:
        """Note what was confirmed; say again what nobody has cancelled."""
        while True:
            await asyncio.sleep(0.05)
            for sent, call in list(self._records):
                sent.tries = call.blocks_sent
                if call.confirmed is not None:
                    sent.answers.extend(call.refusals)
                    sent.confirm("ACK")
                    sent.confirmed = call.confirmed
                    self._records.remove((sent, call))
            for address, (text, due) in list(self._open.items()):
                if time.monotonic() >= due:
                    self._open[address] = (text, time.monotonic() + self._again_s)
                    self.repeats += 1
                    self._queue(address, text, "3")

    async def _select(self) -> bool:
        if "no_own_enquiry" not in self._quirks:
            return await super()._select()
        for _ in range(1 + REPEATS):
            self.terminal.discard_input()
            self.terminal.write(PAIR)
            if await self._answer(None):
                return True
        return False


class NurseCallStation:
    """A station, address 2, on a link whose control station (address 1) is the gateway: it waits for a poll, then calls."""

    def __init__(self, wire: Wire, *, answer_s: float = ANSWER_S, quirks: frozenset[str] = frozenset()) -> None:
        self.wire = wire
        self.sent = new_record()
        self.polls = 0
        self._answer_s = answer_s
        self._quirks = quirks
        self._waiting: deque[tuple[Sent, bytes]] = deque()

    def cry(self, address: str, text: str, *, what: str = "press") -> Sent:
        sent = Sent(address, what)
        self.sent.append(sent)
        records = {"1": address, "2": text, "4": "1" if what == "cancel" else "3", "6": "1"}
        self._waiting.append((sent, quirky_block(encode_block(records), self._quirks)))
        return sent

    async def run(self) -> None:
        """Answer polls, until cancelled. A selection of us by the gateway is taken and its block confirmed."""
        previous = 0
        while True:
            octet = await self.wire.read_byte(1.0)
            if octet is None:
                await asyncio.sleep(0 if self.wire.plugged else 0.05)
            elif octet == ENQ and previous == PAGING_STATION:
                await self._polled()
                octet = 0
            previous = octet or 0

    async def _polled(self) -> None:
        self.polls += 1
        if not self._waiting:
            self.wire.write(bytes([EOT]))
            return
        sent, block = self._waiting[0]
        self.wire.write(bytes([CONTROL_STATION, ENQ]))
        if await self._answer() == ACK:
            for _ in range(1 + REPEATS):
                sent.tries += 1
                self.wire.write(block)
                answer = await self._answer()
                if answer == ACK:
                    sent.confirm("ACK")
                    self._waiting.popleft()
                    break
                sent.answers.append("nak" if answer == NAK else "none")
                if answer not in (NAK, None):
                    break
        self.wire.write(bytes([EOT]))

    async def _answer(self) -> int | None:
        """ACK, NAK or EOT; the digit before a NAK is passed over. None when nothing came."""
        deadline = time.monotonic() + self._answer_s
        while (left := deadline - time.monotonic()) > 0:
            octet = await self.wire.read_byte(left)
            if octet is None or octet in (ACK, NAK, EOT):
                return octet
        return None
