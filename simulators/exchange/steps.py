"""The single steps of a call's life: ring, cancel, bridge, part, hang up. Each does one thing and tells it; the order is its caller's."""

import asyncio
from typing import TYPE_CHECKING

from simulators.exchange.call import Call, Leg, Said, Word
from simulators.exchange.desk import Desk
from simulators.exchange.happening import What

if TYPE_CHECKING:  # the exchange starts its calls' lives, which need the exchange
    from simulators.exchange.model import Exchange

# DialStatus, ending, SIP code. That a declined call is NOANSWER (with cause 21) is what we believe; nobody has watched it.
ENDINGS = {Said.BUSY: ("BUSY", "busy", 486), Said.DECLINED: ("NOANSWER", "declined", 603), Said.FAILED: ("CONGESTION", "failed", 503)}


class Steps:
    """What can be done with one call and its legs. `ringing`: those that ring at this moment."""

    def __init__(self, exchange: "Exchange", call: Call) -> None:
        self.exchange = exchange
        self.call = call
        self.plan = call.plan
        self.caller = call.incoming
        self.ringing: list[Leg] = []
        self.served = False  # a queue's agent has it: the queue wants to know how it ends
        self.loop = asyncio.get_running_loop()

    # ---- ringing

    async def ring(self, desks: list[Desk], until: float, *, queued: bool = False) -> Word | None:
        """Ring these agents; gives the word that ends it (None: nobody took it in time). Those still ringing are in `self.ringing`."""
        for desk in desks:
            desk.busy = True
            desk.rung_last = self.exchange.clock()
            leg = self.exchange.leg(self.call, number=desk.extension, dialled=self.call.called, name=desk.name, real=desk.sip is not None)
            leg.queued = queued
            leg.peer = self.caller
            self.ringing.append(leg)
            self.tell(What.DIALLING, leg, self.caller)
        return await self.wait_for_answer(until, rung=bool(desks))

    async def wait_for_answer(self, until: float, *, rung: bool = True) -> Word | None:
        """The first word that decides; refusals of single agents are told on the way."""
        while True:
            word = await self.call.hear(until)
            if word is None:
                return None
            if word.said is Said.RINGING and word.leg in self.ringing:
                if word.leg.ringing_at:
                    continue  # a second 180 says nothing new
                word.leg.ringing_at = self.exchange.clock()
                waits = word.leg.peer if word.leg.peer and not word.leg.peer.answered_at and not word.leg.peer.ringing_at else None
                if waits is not None:
                    waits.ringing_at = word.leg.ringing_at
                self.tell(What.RINGING, word.leg, word.leg.peer, passed_on=waits is not None)
                self.learn_number()
            elif word.said is Said.ANSWERED and word.leg in self.ringing:
                return word
            elif word.said in ENDINGS and word.leg in self.ringing:
                if len(self.ringing) == 1 and not word.leg.queued:
                    return word
                self.refused(word.leg, word.said)
                if not self.ringing:
                    return word
            elif word.said in (Said.GONE, Said.KILL):
                if word.leg is self.caller or word.leg is None:
                    return word
                if word.leg in self.ringing and word.said is Said.KILL:
                    self.refused(word.leg, Said.FAILED)
            elif word.said is Said.REDIRECT or (word.said is Said.FREE and not rung):
                return word

    def refused(self, leg: Leg, said: Said) -> None:
        """One of the rung agents does not take it."""
        status, ending, code = ENDINGS[said]
        self.ringing.remove(leg)
        self.tell(What.HANGUP_ASKED, leg, cause=_cause(ending))
        self.tell(What.DIAL_ENDED, leg, leg.peer, status=status)
        self.gone(leg, ending, "recv_refuse", code=code)

    def rang_out(self) -> None:
        """A queue gives up on those who did not take it: NOANSWER, then CANCEL, as Asterisk has it."""
        for leg in self.ringing:
            if leg.queued:
                self.tell(What.RANG_OUT, leg, self.caller, ring_s=self.exchange.clock() - leg.made_at)
        for leg in self.ringing:
            self.tell(What.DIAL_ENDED, leg, leg.peer, status="NOANSWER")
        for leg in list(self.ringing):
            if leg.queued:
                self.tell(What.DIAL_ENDED, leg, leg.peer, status="CANCEL")
            self.gone(leg, "no_answer", "send_cancel")
        self.ringing.clear()

    def cancel_others(self, winner: Leg | None, times: int) -> list[Leg]:
        """DialEnd CANCEL for all but the winner; a queue says it twice."""
        losers = [leg for leg in self.ringing if leg is not winner]
        for leg in losers:
            for _ in range(times):
                self.tell(What.DIAL_ENDED, leg, leg.peer, status="CANCEL")
        self.ringing.clear()
        return losers

    # ---- talking

    def bridge(self, leg: Leg) -> None:
        """Caller and agent talk."""
        name = self.exchange.new_uuid()
        for one in (self.caller, leg):
            one.bridge = name
            one.bridged_at = self.exchange.clock()
        self.caller.peer, leg.peer = leg, self.caller
        desk = self.exchange.desks.get(leg.number)
        if desk is not None:
            desk.taken += 1
            desk.last_call = int(self.exchange.clock())
        if not self.call.outbound or len(self.call.legs) > 1:
            self.call.agents.append(leg.number)
        self.result("answered", "", "")
        self.tell(What.BRIDGED, leg, self.caller)

    def part(self, leg: Leg, reason: str) -> None:
        """The two talk no longer; a queue notes why."""
        if self.served:
            self.served = False
            talk_s = self.exchange.clock() - leg.bridged_at
            self.tell(What.SERVED, leg, self.caller, reason=reason, talk_s=talk_s, hold_s=leg.answered_at - self.call.joined_at)
        self.tell(What.UNBRIDGED, leg, self.caller)
        leg.bridge = self.caller.bridge = ""

    def finish(self, leg: Leg, word: Word) -> None:
        """One of the two hung up, or the manager did: both legs go."""
        who = word.leg or self.caller
        by_party = word.said is Said.GONE
        by = ("caller" if who is self.caller else "agent") if by_party else "exchange"
        self.tell(What.HANGUP_ASKED if by_party else What.SOFT_HANGUP, who, cause=16)
        self.part(leg, "agent" if by == "agent" else "caller")
        self.result("answered", by, "normal")
        for one in (leg, self.caller):
            self.gone(one, "normal", "recv_bye" if by_party and one is who else "send_bye")

    # ---- over

    def queue_over(self, why: str) -> None:
        """Nobody was found. why: caller, timeout, killed."""
        exchange = self.exchange
        if why == "caller":
            self.tell(What.HANGUP_ASKED, self.caller, cause=16)
        losers = self.cancel_others(None, 2)
        hold_s = exchange.clock() - self.call.joined_at
        self.tell(What.GAVE_UP, self.caller, hold_s=hold_s, why=why, position=self.call.position)
        exchange.abandoned += 1
        for leg in losers:
            self.gone(leg, "cancelled", "send_cancel")
        exchange.leave_queue(self.call)
        self.tell(What.LEFT_QUEUE, self.caller, why=why, count=len(exchange.waiting(self.call.queue)))
        if why != "caller":
            self.tell(What.SOFT_HANGUP, self.caller)
        self.result(
            "abandoned" if why == "caller" else "missed", "caller" if why == "caller" else "exchange", "queue_timeout" if why == "timeout" else why
        )
        self.gone(self.caller, "normal", "recv_bye" if why == "caller" else "send_bye")

    def leave_for(self, extension: str) -> None:
        """Sent out of the queue to an extension while waiting."""
        self.call.variables = {**self.call.variables, "redirected": extension}
        for leg in self.cancel_others(None, 2):
            self.gone(leg, "cancelled", "send_cancel")
        self.exchange.leave_queue(self.call)
        self.tell(What.LEFT_QUEUE, self.caller, why="redirected", count=len(self.exchange.waiting(self.call.queue)))

    def over_before_agent(self, word: Word) -> None:
        """Hung up before the queue was reached."""
        by_caller = word.said is Said.GONE
        self.tell(What.HANGUP_ASKED if by_caller else What.SOFT_HANGUP, self.caller, cause=16)
        self.result("abandoned" if by_caller else "missed", "caller" if by_caller else "exchange", "before_queue")
        self.gone(self.caller, "normal", "recv_bye" if by_caller else "send_bye")

    def end_caller(self, ending: str, *, code: int) -> None:
        """Let the caller's leg go: refused if it was never answered, else with the cause that the dialled leg had."""
        if self.caller.answered_at:
            self.gone(self.caller, ending, "send_bye")
        else:
            self.gone(self.caller, ending, "send_refuse", code=code)

    def end_alone(self, leg: Leg, *, by_party: bool, reason: str) -> None:
        self.tell(What.HANGUP_ASKED if by_party else What.SOFT_HANGUP, leg, cause=16)
        self.result("answered", "called" if by_party else "exchange", reason)
        self.gone(leg, "normal", "recv_bye" if by_party else "send_bye")

    # ---- small steps

    def answer_caller(self) -> None:
        if not self.caller.answered_at:
            self.caller.answered_at = self.exchange.clock()
            self.tell(What.CALLER_UP, self.caller)

    def learn_number(self) -> None:
        """The trunk tells the caller's number late."""
        if self.plan.late_number and not self.caller.number:
            self.caller.number = self.call.form
            self.tell(What.LEARNT, self.caller)

    def originated(self, success: bool, reason: str) -> None:
        self.tell(What.ORIGINATED, self.caller, success="Success" if success else "Failure", reason=reason)

    def key_taken(self, key: str) -> None:
        self.tell(What.KEY_TAKEN, self.caller, id=self.call.variables.get("GATEWAY_ID", ""), digit=key)

    def gone(self, leg: Leg, ending: str, disposition: str, *, code: int = 0) -> None:
        """The channel is no more. ending: why, in the model's words; disposition: as FreeSWITCH says who ended it."""
        if leg.answered_at and disposition == "send_refuse":  # it was taken: a BYE ends it, no refusal (RFC 3261, 15)
            disposition, code = "send_bye", 0
        leg.gone_at = self.exchange.clock()
        leg.ending, leg.disposition, leg.code = ending, disposition, code
        leg.cause = 16 if ending == "no_answer" and disposition != "send_cancel" else _cause(ending)
        self.tell(What.GONE, leg, leg.peer)
        if leg.number in self.exchange.desks and not any(
            other is not leg and other.number == leg.number and not other.gone_at for other in self.call.legs
        ):
            self.exchange.release(leg)

    def result(self, outcome: str, by: str, reason: str) -> None:
        if self.call.outcome != "answered" or outcome == "answered":
            self.call.outcome = outcome
        self.call.by, self.call.reason = by, reason

    def tell(self, what: What, leg: Leg, other: Leg | None = None, third: Leg | None = None, **facts: str | float) -> None:
        self.exchange.tell(what, self.call, leg, other, third, **facts)

    def desk_for(self, extension: str) -> Desk | None:
        """The agent of that extension, or for a hotline any free one; None: busy or nobody."""
        if extension in self.exchange.settings.hotlines:
            return next(iter(self.exchange.free_agents(1)), None)
        desk = self.exchange.desks.get(extension)
        return None if desk is None or desk.busy else desk


def _cause(ending: str) -> int:
    """Asterisk's hangup cause (Q.850): a leg cancelled or unanswered has 0, a caller who cancels 127, a loser of the race 26."""
    return {
        "normal": 16,
        "busy": 17,
        "declined": 21,
        "lose_race": 26,
        "cancelled": 0,
        "no_answer": 0,
        "caller_cancelled": 127,
        "no_route": 3,
        "failed": 34,
    }.get(ending, 16)
