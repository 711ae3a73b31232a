"""The exchange itself: its hotlines, agents, channels and calls. What happens is told to the faces (AMI, ESL, SIP, mirror), nobody else."""

import asyncio
import itertools
import random
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simulators.exchange.call import Call, Leg, Plan, Said
from simulators.exchange.desk import Answerer, Desk
from simulators.exchange.happening import Face, Happening, What
from simulators.exchange.life import run
from simulators.sip_text import Address, Dialog

TRUNK: Address = ("198.51.100.20", 5060)  # RFC 5737: addresses for documentation
HOST: Address = ("192.0.2.11", 5060)
AGENT_NET = "192.0.2.{host}"
MAX_CALLS = 5_000  # live at once; thirty times what ten thousand calls an hour of a minute each come to
MAX_TRUTHS = 200_000  # kept for whoever asks; a day of ten thousand calls an hour goes into the file anyhow


@dataclass(slots=True, kw_only=True)
class Settings:
    """How this exchange is set up. refusal: the SIP code for "nobody answered" (480, or Asterisk's 603). hotlines: dialled number → plan."""

    name: str = "hotline-pbx"
    system: str = ""
    hotlines: dict[str, Plan] = field(default_factory=lambda: {"12349": Plan()})
    agents: tuple[str, ...] = ("8001", "8002")
    names: tuple[str, ...] = ("李娜", "王芳", "张敏", "刘洋", "陈静", "赵磊")
    trunk_context: str = "from-trunk"
    agent_context: str = "agents"
    refusal: int = 480
    retry_s: float = 0.5
    seed: object = 0


class Exchange:
    """Runs calls. One event loop; faces are called in the order in which they were added, each happening before the next."""

    def __init__(self, settings: Settings | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings or Settings()
        self.clock = clock
        self.random = random.Random(f"exchange:{self.settings.seed}")
        self.faces: list[Face] = []
        names = itertools.cycle(self.settings.names)
        self.desks = {extension: Desk(extension, next(names)) for extension in self.settings.agents}
        self.answerers: dict[str, Answerer] = {}
        self.calls: dict[int, Call] = {}
        self.truths: deque[dict[str, Any]] = deque(maxlen=MAX_TRUTHS)
        self.on_truth: Callable[[dict[str, Any]], None] | None = None
        self.refused = 0
        self._numbers = itertools.count(1)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._waiting: list[Call] = []
        self._boot()

    def _boot(self) -> None:
        """What changes when the exchange starts anew: its Core-UUID, its uptime, the counter in its Uniqueids."""
        self.core_uuid = self.new_uuid()
        self.booted_at = self.clock()
        self._channels = itertools.count(1)
        self.served = self.abandoned = 0

    # ---- calls

    def offer(self, plan: Plan, caller: str, form: str, called: str, *, dialog: Dialog | None = None, name: str = "") -> Call | None:
        """A caller dials. `dialog`: a real SIP peer's leg; None: the caller is simulated. Gives None when the exchange is full."""
        if len(self.calls) >= MAX_CALLS:
            self.refused += 1
            return None
        call = Call(next(self._numbers), plan, caller, form, called)
        self.leg(
            call,
            number="" if plan.late_number else form,
            dialled=called,
            name=name or plan.name,
            dialog=dialog,
            inbound=True,
            real=dialog is not None,
        )
        return self._start(call)

    def originate(self, first: str, then: str, plan: Plan, variables: Mapping[str, str], **facts: str) -> Call | None:
        """Dial `first` on request; when it is taken, go on to `then` (an extension or a context's name)."""
        if len(self.calls) >= MAX_CALLS:
            self.refused += 1
            return None
        call = Call(next(self._numbers), plan, "", first, then, outbound=True, variables={**variables, **facts})
        leg = self.leg(call, number=first, dialled=first, name="", context=facts.get("context", ""), uuid_wanted=facts.get("uuid", ""))
        leg.name = facts.get("shown_name", "")
        return self._start(call)

    def _start(self, call: Call) -> Call:
        self.calls[call.number] = call
        task = asyncio.create_task(run(self, call), name=f"call {call.number}")
        self._tasks[call.number] = task
        task.add_done_callback(lambda done: self._finished(call, done))
        return call

    def _finished(self, call: Call, task: asyncio.Task[None]) -> None:
        self.calls.pop(call.number, None)
        self._tasks.pop(call.number, None)
        self.leave_queue(call)
        for timer in call.timers:
            timer.cancel()
        call.timers.clear()
        truth = call.truth()
        self.truths.append(truth)
        call.done.set()
        if self.on_truth is not None:
            self.on_truth(truth)
        if not task.cancelled() and task.exception() is not None:
            asyncio.get_running_loop().call_exception_handler({"message": f"call {call.number} broke", "exception": task.exception()})

    async def stop(self) -> None:
        """End everything where it stands; nothing more is told."""
        self.faces.clear()
        await self._cancel_calls("stopped")

    async def restart(self) -> None:
        """The exchange dies and comes back: all calls are gone without a word, Core-UUID and uptime are new."""
        for call in list(self.calls.values()):
            for leg in call.legs:
                leg.gone_at = leg.gone_at or self.clock()
        await self._cancel_calls("restart")
        for desk in self.desks.values():
            desk.busy = False
        self._boot()

    async def _cancel_calls(self, reason: str) -> None:
        tasks = list(self._tasks.values())
        for number, task in list(self._tasks.items()):
            call = self.calls[number]
            call.outcome = call.outcome or ("answered" if call.agents else "missed")
            call.by, call.reason = "exchange", reason
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def drained(self) -> None:
        """Wait until no call is live."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    # ---- channels

    def leg(
        self,
        call: Call,
        *,
        number: str,
        dialled: str,
        name: str = "",
        inbound: bool = False,
        dialog: Dialog | None = None,
        real: bool = False,
        apart: bool = False,
        context: str = "",
        uuid_wanted: str = "",
    ) -> Leg:
        """A new channel of the call. `apart`: it begins a call of its own (a consultation) and is joined later, if at all."""
        turn = next(self._channels)
        system = f"{self.settings.system}-" if self.settings.system else ""
        uniqueid = f"{system}{int(self.clock())}.{turn}"
        found = uuid_wanted or self.new_uuid()
        first = call.legs[0] if call.legs and not apart else None
        trunk = inbound and not apart
        leg = Leg(
            inbound=inbound,
            number=number,
            name=name,
            dialled=dialled,
            channel=f"PJSIP/{'trunk' if trunk or number not in self.desks else number}-{turn:08x}",
            uniqueid=uniqueid,
            linkedid=first.linkedid if first else uniqueid,
            uuid=found,
            call_uuid=first.call_uuid if first else found,
            context=context or (self.settings.trunk_context if trunk else self.settings.agent_context),
            dialog=dialog or self._dialog(call, number, dialled, inbound, apart),
            real=real,
            made_at=self.clock(),
        )
        call.legs.append(leg)
        return leg

    def _dialog(self, call: Call, number: str, dialled: str, inbound: bool, apart: bool) -> Dialog:
        seeded = random.Random(self.random.getrandbits(64))
        if apart and inbound:  # an agent dials
            return Dialog(number, dialled, self.address_of(number), HOST, seeded)
        if not inbound:
            asking = call.legs[0] if call.legs else None
            display = asking.name.encode("utf-8", "surrogateescape") if asking else b""
            shown = asking.number or "anonymous" if asking and asking.inbound else call.variables.get("shown", "12349")
            return Dialog(shown, number, HOST, self.address_of(number), seeded, display=display)
        plan, form = call.plan, number
        hidden = plan.restricted or not form
        display = b"" if hidden else plan.name.encode("utf-8", "surrogateescape")
        extra = ("Privacy: id",) if plan.restricted else ()
        shown = "anonymous" if hidden or plan.late_number else form
        return Dialog(shown, dialled, TRUNK, HOST, seeded, display=display, asserted=form if plan.restricted else "", extra=extra)

    def address_of(self, number: str) -> Address:
        """Where a number's telephone is; simulated ones have addresses for documentation."""
        desk = self.desks.get(number)
        if desk is None:
            return TRUNK
        place = list(self.desks).index(number)
        return desk.sip or (AGENT_NET.format(host=101 + place % 150), 5060 + place // 150)

    def new_uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def live_legs(self) -> list[tuple[Call, Leg]]:
        return [(call, leg) for call in self.calls.values() for leg in call.legs if not leg.gone_at]

    def find_leg(self, name: str) -> tuple[Call, Leg] | None:
        """A live channel by its name, Uniqueid or UUID."""
        return next(((call, leg) for call, leg in self.live_legs() if name in (leg.channel, leg.uniqueid, leg.uuid)), None)

    # ---- agents and the queue

    def free_agents(self, width: int) -> list[Desk]:
        """Up to `width` agents who do nothing, the longest idle first."""
        free = sorted((desk for desk in self.desks.values() if not desk.busy), key=lambda desk: desk.rung_last)
        return free[:width]

    def release(self, leg: Leg) -> None:
        """The agent at this leg is free again: the caller who has waited longest hears of it."""
        desk = self.desks.get(leg.number)
        if desk is not None and desk.busy:
            desk.busy = False
            if self._waiting:
                self._waiting[0].say(Said.FREE)

    def enter_queue(self, call: Call) -> int:
        """Wait for an agent; gives the position from 1."""
        call.queue = call.called
        call.joined_at = self.clock()
        self._waiting.append(call)
        call.position = sum(1 for waiting in self._waiting if waiting.queue == call.queue)
        return call.position

    def leave_queue(self, call: Call) -> None:
        if call in self._waiting:
            self._waiting.remove(call)

    def waiting(self, queue: str) -> list[Call]:
        return [call for call in self._waiting if call.queue == queue]

    # ---- telling

    def tell(self, what: What, call: Call, leg: Leg, other: Leg | None = None, third: Leg | None = None, **facts: str | float) -> None:
        """Something has happened; every face says it now."""
        happening = Happening(what, self.clock(), call, leg, other, facts, third)
        for face in self.faces:
            face(happening)
