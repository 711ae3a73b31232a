"""A hotline's PBX that mirrors every SIP message as HEPv3 over UDP: whole calls, with and without a second leg, answered or not."""

import asyncio
import random
import socket
import time
from dataclasses import dataclass
from enum import StrEnum

from simulators.hep_writer import Agent, packet
from simulators.sip_text import Address, Dialog, chinese_forms

TRUNK: Address = ("198.51.100.20", 5060)  # RFC 5737: addresses for documentation
PROXY: Address = ("192.0.2.10", 5060)  # rings the desk directly: one leg
QUEUE: Address = ("192.0.2.11", 5060)  # answers the caller itself and rings agents with calls of its own
AGENTS: dict[str, Address] = {"8001": ("192.0.2.101", 5060), "8002": ("192.0.2.102", 5060), "8003": ("192.0.2.103", 5060)}


class Outcome(StrEnum):
    """How a call goes. `queued`: the PBX answers the caller itself and a second leg rings the agent (B2BUA)."""

    ANSWERED = "answered"
    QUEUED = "queued"
    ABANDONED = "abandoned"
    BUSY = "busy"
    NO_ANSWER = "no_answer"


@dataclass(slots=True)
class PlacedCall:
    """One call as it was sent. Times monotonic seconds; `offered_at` ms since 1970. `caller` is never printed."""

    label: str
    outcome: Outcome
    caller: str
    form: str
    called: str
    offered_at: int
    started: float
    call_id: str = ""
    packets: int = 0
    finished: float | None = None


class Pbx:
    """Sends packets to one HEP listener. UDP: nobody answers, nothing is known to have arrived."""

    def __init__(self, target: Address, *, seed: object = 0, agent: Agent = Agent(name="hotline-pbx"), area_code: str = "") -> None:  # noqa: B008
        self.target = target
        self.agent = agent
        self.area_code = area_code
        self.calls: list[PlacedCall] = []
        self.packets = 0
        self.lose = 0.0  # chance that a packet is never sent, as UDP loses it
        self.double = 0.0  # chance that a packet is sent twice, as a mirror port or a proxy does
        self._random = random.Random(f"pbx:{seed}")
        self._socket: socket.socket | None = None

    async def __aenter__(self) -> "Pbx":
        self._socket = socket.socket(socket.AF_INET6 if ":" in self.target[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    async def call(
        self,
        label: str,
        caller: str,
        outcome: Outcome,
        *,
        called: str = "12349",
        ring_s: float = 1.0,
        talk_s: float = 3.0,
        display: str = "",
        extension: str = "8001",
    ) -> PlacedCall:
        """Place a call and let it run to its end. `caller` in E.164, or "" for an anonymous one; a display name goes out in GBK."""
        seeded = random.Random(self._random.getrandbits(64))
        form = seeded.choice(chinese_forms(caller, self.area_code)) if caller else "anonymous"
        dialog = Dialog(form, called, TRUNK, QUEUE if outcome is Outcome.QUEUED else PROXY, seeded, display=display.encode("gbk", "replace"))
        placed = PlacedCall(label, outcome, caller, form, called, time.time_ns() // 1_000_000, time.monotonic(), dialog.call_id)
        self.calls.append(placed)
        self._send(placed, dialog, dialog.request("INVITE", sdp=True))
        self._send(placed, dialog, dialog.response(100), back=True)
        if outcome is Outcome.QUEUED:
            await self._queued(placed, dialog, seeded, extension, ring_s, talk_s)
        else:
            await self._direct(placed, dialog, outcome, ring_s, talk_s)
        placed.finished = time.monotonic()
        return placed

    async def _direct(self, placed: PlacedCall, dialog: Dialog, outcome: Outcome, ring_s: float, talk_s: float) -> None:
        if outcome is Outcome.BUSY:
            self._send(placed, dialog, dialog.response(486), back=True)
            self._send(placed, dialog, dialog.request("ACK", tagged=True))
            return
        self._send(placed, dialog, dialog.response(180), back=True)
        await asyncio.sleep(ring_s)
        if outcome is Outcome.NO_ANSWER:
            self._send(placed, dialog, dialog.response(480), back=True)
            self._send(placed, dialog, dialog.request("ACK", tagged=True))
        elif outcome is Outcome.ABANDONED:
            self._send(placed, dialog, dialog.request("CANCEL"))
            self._send(placed, dialog, dialog.response(200, "CANCEL"), back=True)
            self._send(placed, dialog, dialog.response(487), back=True)
            self._send(placed, dialog, dialog.request("ACK", tagged=True))
        else:
            self._send(placed, dialog, dialog.response(200, sdp=True), back=True)
            self._send(placed, dialog, dialog.request("ACK", tagged=True))
            await asyncio.sleep(talk_s)
            self._send(placed, dialog, dialog.request("BYE", tagged=True))
            self._send(placed, dialog, dialog.response(200, "BYE"), back=True)

    async def _queued(self, placed: PlacedCall, dialog: Dialog, seeded: random.Random, extension: str, ring_s: float, talk_s: float) -> None:
        """The queue answers leg A at once; leg B, a new Call-ID from the PBX to the agent, is the real answer."""
        self._send(placed, dialog, dialog.response(200, sdp=True), back=True)
        self._send(placed, dialog, dialog.request("ACK", tagged=True))
        agent = Dialog(dialog.caller, extension, QUEUE, AGENTS.get(extension, ("192.0.2.199", 5060)), seeded, display=dialog.display)
        self._send(placed, agent, agent.request("INVITE", sdp=True))
        self._send(placed, agent, agent.response(100), back=True)
        self._send(placed, agent, agent.response(180), back=True)
        await asyncio.sleep(ring_s)
        self._send(placed, agent, agent.response(200, sdp=True), back=True)
        self._send(placed, agent, agent.request("ACK", tagged=True))
        await asyncio.sleep(talk_s)
        self._send(placed, agent, agent.request("BYE", tagged=True, by_called=True), back=True)
        self._send(placed, agent, agent.response(200, "BYE", by_caller=True))
        self._send(placed, dialog, dialog.request("BYE", tagged=True, by_called=True), back=True)
        self._send(placed, dialog, dialog.response(200, "BYE", by_caller=True))

    def _send(self, placed: PlacedCall, dialog: Dialog, message: bytes, *, back: bool = False) -> None:
        """Mirror one message. `back`: it travels from the called side to the calling side."""
        source, destination = (dialog.target, dialog.source) if back else (dialog.source, dialog.target)
        data = packet(message, source, destination, time.time(), agent=self.agent, correlation=dialog.call_id)
        copies = 0 if self._random.random() < self.lose else 2 if self._random.random() < self.double else 1
        for _ in range(copies):
            placed.packets += 1
            self.packets += 1
            try:
                if self._socket is not None:
                    self._socket.sendto(data, self.target)
            except OSError:  # nobody listens there at the moment: UDP tells us only now and then
                pass
