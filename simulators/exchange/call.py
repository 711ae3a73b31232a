"""One call through the exchange: how it is planned, its legs, what is said to it, and the truth about it when it is over."""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

from simulators.sip_text import Dialog

MAX_WORDS = 1_000  # waiting for one call: a peer that repeats itself for ever cannot fill the memory


class Mode(StrEnum):
    """queue: the exchange answers the caller itself, then rings agents; dial: it rings one agent and answers when he does."""

    QUEUE = "queue"
    DIAL = "dial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a call is to go. All times in seconds; what the caller is told to do matters only when the caller is simulated.

    agent_does: answers | busy | declines | nothing. patience_s: a caller whom nobody has taken by then hangs up; inf: never.
    transfer: "" | blind | attended, `transfer_after_s` into the talk. fault: "" | lost_bye | forked_200 | late_ack | re_invite.
    width: agents who ring at once (1: linear). late_number: the exchange learns the caller's number only when somebody rings.
    """

    scenario: str = "answered"
    mode: Mode = Mode.QUEUE
    agent_does: str = "answers"
    lead_s: float = 0.02
    ring_s: float = 1.0
    talk_s: float = 3.0
    patience_s: float = math.inf
    ring_timeout_s: float = 15.0
    queue_timeout_s: float = 60.0
    hangs_up: str = "caller"
    transfer: str = ""
    transfer_after_s: float = 1.0
    width: int = 2
    name: str = ""
    restricted: bool = False
    late_number: bool = False
    fault: str = ""


class Said(StrEnum):
    """What the far end of a leg, an agent's desk, or the manager interface says to a call."""

    RINGING = "ringing"
    ANSWERED = "answered"
    BUSY = "busy"
    DECLINED = "declined"
    FAILED = "failed"
    GONE = "gone"
    KILL = "kill"
    BLIND = "blind"
    ATTENDED = "attended"
    REDIRECT = "redirect"
    DIGIT = "digit"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class Word:
    """One thing said. detail: the extension of a transfer, the key of a digit."""

    said: Said
    leg: "Leg | None" = None
    detail: str = ""


@dataclass(slots=True, eq=False)
class Leg:
    """One channel between the exchange and a telephone. Times: seconds since 1970, 0 when it never came to that.

    inbound: the far end called us. real: a SIP peer is at its end, nothing is simulated. number: the far end's; dialled: what it asked for,
    or what we called. linkedid: Asterisk's, may change; call_uuid: FreeSWITCH's Channel-Call-UUID. name may hold surrogates: GBK bytes that are
    not UTF-8.
    """

    inbound: bool
    number: str
    name: str
    dialled: str
    channel: str
    uniqueid: str
    linkedid: str
    uuid: str
    call_uuid: str
    context: str
    dialog: Dialog
    real: bool = False
    queued: bool = False
    made_at: float = 0.0
    ringing_at: float = 0.0
    answered_at: float = 0.0
    bridged_at: float = 0.0
    gone_at: float = 0.0
    cause: int = 0
    ending: str = ""
    disposition: str = ""
    code: int = 0
    peer: "Leg | None" = None
    bridge: str = ""

    @property
    def is_up(self) -> bool:
        return bool(self.answered_at) and not self.gone_at

    @property
    def sip_call_id(self) -> str:
        return self.dialog.call_id


@dataclass(slots=True, eq=False)
class Call:
    """One call and its inbox. `caller` is the true number in E.164, "" when nobody knows it; `form` is what the trunk shows."""

    number: int
    plan: Plan
    caller: str
    form: str
    called: str
    legs: list[Leg] = field(default_factory=list)
    inbox: asyncio.Queue[Word] = field(default_factory=lambda: asyncio.Queue(MAX_WORDS))
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    queue: str = ""
    position: int = 0
    joined_at: float = 0.0
    agents: list[str] = field(default_factory=list)
    outcome: str = ""
    by: str = ""
    reason: str = ""
    outbound: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def incoming(self) -> Leg:
        """The caller's leg; of a call that we began, the leg rung first."""
        return self.legs[0]

    def say(self, said: Said, leg: Leg | None = None, detail: str = "") -> None:
        """Put a word into the inbox; one that is full drops it."""
        if not self.inbox.full():
            self.inbox.put_nowait(Word(said, leg, detail))

    def say_later(self, delay_s: float, said: Said, leg: Leg | None = None, detail: str = "") -> None:
        """Say it after a while, unless the call is over by then."""
        self.do_later(delay_s, partial(self.say, said, leg, detail))

    def do_later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do it after a while (inf: never), unless the call is over by then."""
        if math.isfinite(delay_s):
            self.timers.append(asyncio.get_running_loop().call_later(delay_s, action))

    async def hear(self, until: float) -> Word | None:
        """The next word; None when the loop's clock reaches `until` first (inf: never)."""
        if not self.inbox.empty():
            return self.inbox.get_nowait()
        if math.isinf(until):
            return await self.inbox.get()
        try:
            async with asyncio.timeout_at(until):
                return await self.inbox.get()
        except TimeoutError:
            return None

    def truth(self) -> dict[str, Any]:
        """What really happened, for whoever compares. Times are seconds since 1970, null when it never came to that."""
        first = self.incoming
        others = self.legs[1:] if not self.outbound else self.legs
        ringing = [leg.ringing_at for leg in others if leg.ringing_at]
        answered = [leg.answered_at for leg in others if leg.answered_at]
        return {
            "call": self.number,
            "direction": "out" if self.outbound else "in",
            "scenario": self.plan.scenario,
            "caller": self.caller,
            "form": self.form,
            "called": self.called,
            "agent": self.agents[-1] if self.agents else "",
            "agents": list(self.agents),
            "queue": self.queue,
            "outcome": self.outcome,
            "by": self.by,
            "reason": self.reason,
            "fault": self.plan.fault,
            "times": {
                "offered": round(first.made_at, 3),
                "ringing": round(min(ringing), 3) if ringing else None,
                "answered": round(min(answered), 3) if answered else None,
                "ended": round(first.gone_at, 3) or None,
            },
            "linkedid": first.uniqueid,
            "uuid": first.uuid,
            "sip_call_ids": [leg.sip_call_id for leg in self.legs],
        }
