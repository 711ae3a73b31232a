"""A hotline's PBX for scenarios: whole calls by outcome, mirrored as HEPv3, and told over AMI and ESL where a gateway listens there.

Heard over HEP alone, calls that ring the desk directly go through a proxy and have one leg; all others are those of the simulated exchange.
"""

import asyncio
import random
import time
from dataclasses import dataclass, replace
from enum import StrEnum

from simulators.exchange.ami_server import AmiServer, User
from simulators.exchange.call import Mode, Plan
from simulators.exchange.esl_server import EslServer
from simulators.exchange.mirror import Mirror
from simulators.exchange.model import TRUNK, Exchange, Settings
from simulators.exchange.sip_face import SipFace
from simulators.exchange.virtual import People
from simulators.hep_writer import Agent
from simulators.sip_text import Address, Dialog, chinese_forms

PROXY: Address = ("192.0.2.10", 5060)  # rings the desk directly: one leg
AGENTS = 60  # more than a scenario has calls at once; the first is 8001
REACHES_QUEUE_S = 0.1  # whoever gives up in the queue has come that far
AMI_USER, AMI_SECRET, ESL_PASSWORD = "gateway", "gateway", "simulated"


class Outcome(StrEnum):
    """How a call goes. `queued`: the PBX answers the caller itself and a second leg rings the agent (B2BUA); gave_up: the caller, in the queue."""

    ANSWERED = "answered"
    QUEUED = "queued"
    ABANDONED = "abandoned"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    DECLINED = "declined"
    GAVE_UP = "gave_up"
    QUEUE_TIMEOUT = "queue_timeout"
    BLIND_TRANSFER = "blind_transfer"
    ATTENDED_TRANSFER = "attended_transfer"


THROUGH_PROXY = (Outcome.ANSWERED, Outcome.ABANDONED, Outcome.BUSY, Outcome.NO_ANSWER, Outcome.DECLINED)
LOST = (Outcome.ABANDONED, Outcome.GAVE_UP, Outcome.QUEUE_TIMEOUT, Outcome.BUSY, Outcome.NO_ANSWER, Outcome.DECLINED)
REFUSALS = {Outcome.BUSY: 486, Outcome.NO_ANSWER: 480, Outcome.DECLINED: 603}


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
    finished: float | None = None


class Pbx:
    """target: a HEP listener (UDP: nothing is known to have arrived); ami_port, esl_port: where to listen ourselves, 0 any free port.

    sip: take SIP calls too, over UDP and TCP on a free port.

    lose, double: chances that a mirrored packet is never sent, as UDP loses it, or sent twice, as a mirror port does.
    """

    def __init__(
        self,
        target: Address | None,
        *,
        ami_port: int | None = None,
        esl_port: int | None = None,
        sip: bool = False,
        agents: int = AGENTS,
        seed: object = 0,
        agent: Agent = Agent(name="hotline-pbx"),  # noqa: B008
        area_code: str = "",
    ) -> None:
        self.area_code = area_code
        self.calls: list[PlacedCall] = []
        self.lose = self.double = 0.0
        self.exchange = Exchange(Settings(agents=tuple(str(8001 + place) for place in range(agents)), seed=seed))
        self.ami = AmiServer(self.exchange, {AMI_USER: User(AMI_SECRET)}) if ami_port is not None else None
        self.esl = EslServer(self.exchange, ESL_PASSWORD) if esl_port is not None else None
        self.sip: SipFace | None = None
        self._takes_sip = sip
        self._ports = (ami_port or 0, esl_port or 0)
        self._target, self._agent, self._seed = target, agent, seed
        self._mirror: Mirror | None = None
        self._random = random.Random(f"pbx:{seed}")

    @property
    def is_heard(self) -> bool:
        """Is somebody logged in at the manager, where one is to be? A mirror and an event socket ask for nothing."""
        return self.ami is None or any(session.user is not None for session in self.ami.sessions)

    @property
    def sip_address(self) -> Address | None:
        """Where SIP calls are taken."""
        return ("127.0.0.1", self.sip.port) if self.sip is not None else None

    @property
    def packets(self) -> int:
        """Mirrored so far."""
        return self._mirror.packets if self._mirror is not None else 0

    async def __aenter__(self) -> "Pbx":
        self.exchange.faces.append(People(self.exchange))
        if self._target is not None:
            self._mirror = Mirror(self._target, time.time, agent=self._agent, seed=self._seed)
            self.exchange.faces.append(self._mirror)
        if self._takes_sip:
            self.sip = SipFace(self.exchange, self._mirror)
            await self.sip.start()
        if self.ami is not None:
            await self.ami.start(self._ports[0])
        if self.esl is not None:
            await self.esl.start(self._ports[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.exchange.stop()
        if self.sip is not None:
            await self.sip.stop()
        if self.ami is not None:
            await self.ami.stop()
        if self.esl is not None:
            await self.esl.stop()
        if self._mirror is not None:
            self._mirror.close()

    async def call(
        self, label: str, caller: str, outcome: Outcome, *, called: str = "12349", ring_s: float = 1.0, talk_s: float = 3.0, display: str = ""
    ) -> PlacedCall:
        """Place a call and let it run to its end. `caller` in E.164, or "" for an anonymous one; a display name goes out in GBK."""
        seeded = random.Random(self._random.getrandbits(64))
        form = seeded.choice(chinese_forms(caller, self.area_code)) if caller else ""
        placed = PlacedCall(label, outcome, caller, form or "anonymous", called, time.time_ns() // 1_000_000, time.monotonic())
        self.calls.append(placed)
        if self._mirror is not None:
            self._mirror.lose, self._mirror.double = self.lose, self.double
        name = display.encode("gbk", "replace")
        if outcome in THROUGH_PROXY and self._mirror is not None and self.ami is None and self.esl is None:
            dialog = Dialog(form or "anonymous", called, TRUNK, PROXY, seeded, display=name)
            await self._through_proxy(self._mirror, dialog, outcome, ring_s, talk_s)
        else:
            plan = replace(plan_of(outcome, ring_s, talk_s), name=name.decode("utf-8", "surrogateescape"))
            self.exchange.settings.hotlines.setdefault(called, plan)
            call = self.exchange.offer(plan, caller, form, called)
            if call is not None:
                await call.done.wait()
        placed.finished = time.monotonic()
        return placed

    async def _through_proxy(self, mirror: Mirror, dialog: Dialog, outcome: Outcome, ring_s: float, talk_s: float) -> None:
        def there(message: bytes) -> None:
            mirror.send(message, dialog.source, dialog.target, dialog.call_id)

        def back(message: bytes) -> None:
            mirror.send(message, dialog.target, dialog.source, dialog.call_id)

        there(dialog.request("INVITE", sdp=True))
        back(dialog.response(100))
        if outcome is not Outcome.BUSY:
            back(dialog.response(180))
            await asyncio.sleep(ring_s)
        if outcome in REFUSALS:
            back(dialog.response(REFUSALS[outcome]))
            there(dialog.request("ACK", tagged=True))
        elif outcome is Outcome.ABANDONED:
            there(dialog.request("CANCEL"))
            back(dialog.response(200, "CANCEL"))
            back(dialog.response(487))
            there(dialog.request("ACK", tagged=True))
        else:
            back(dialog.response(200, sdp=True))
            there(dialog.request("ACK", tagged=True))
            await asyncio.sleep(talk_s)
            there(dialog.request("BYE", tagged=True))
            back(dialog.response(200, "BYE"))


def plan_of(outcome: Outcome, ring_s: float, talk_s: float) -> Plan:
    """The exchange's plan for an outcome: `ring_s` is what the caller waits, or has patience for."""
    queue = Plan(scenario=outcome, ring_s=ring_s, talk_s=talk_s, transfer_after_s=talk_s / 3, width=1)
    silent = replace(queue, agent_does="nothing", ring_timeout_s=ring_s + 60, queue_timeout_s=ring_s + 60)
    match outcome:
        case Outcome.ANSWERED:
            return replace(queue, mode=Mode.DIAL)
        case Outcome.QUEUED:
            return replace(queue, hangs_up="agent")
        case Outcome.ABANDONED:
            return replace(silent, mode=Mode.DIAL, patience_s=ring_s)
        case Outcome.NO_ANSWER:
            return replace(silent, mode=Mode.DIAL, ring_timeout_s=ring_s)
        case Outcome.BUSY:
            return replace(queue, mode=Mode.DIAL, agent_does="busy")
        case Outcome.DECLINED:
            return replace(queue, mode=Mode.DIAL, agent_does="declines")
        case Outcome.GAVE_UP:
            return replace(silent, patience_s=ring_s + REACHES_QUEUE_S)
        case Outcome.QUEUE_TIMEOUT:
            return replace(silent, queue_timeout_s=ring_s)
        case Outcome.BLIND_TRANSFER:
            return replace(queue, transfer="blind")
        case Outcome.ATTENDED_TRANSFER:
            return replace(queue, transfer="attended")
