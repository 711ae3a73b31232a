"""The life of one call, from its offer to its last leg: what the exchange does with what callers, agents and the manager interface say.

The order of the happenings is Asterisk's, as watched on a real one; the faces translate each for itself.
"""

import asyncio
import math
from typing import TYPE_CHECKING

from simulators.exchange.call import Call, Leg, Mode, Said, Word
from simulators.exchange.desk import Desk
from simulators.exchange.happening import What

if TYPE_CHECKING:  # the exchange starts its calls' lives, which need the exchange
    from simulators.exchange.model import Exchange

RINGS_IN_RING = "gateway-ring"  # the dialplan context that takes a key press (config/pbx/asterisk)
ASKS = 3  # so often does that dialplan ask for a key
# DialStatus, ending, SIP code. That a declined call is NOANSWER (with cause 21) was read in Asterisk's sources, not watched.
ENDINGS = {Said.BUSY: ("BUSY", "busy", 486), Said.DECLINED: ("NOANSWER", "declined", 603), Said.FAILED: ("CONGESTION", "failed", 503)}


async def run(exchange: "Exchange", call: Call) -> None:
    """Live through the whole call. Cancelling leaves it where it stands, without a word."""
    if call.outbound:
        await _Life(exchange, call).on_request()
    elif call.called not in exchange.settings.hotlines and call.called not in exchange.desks:
        await _Life(exchange, call).unknown_number()
    elif call.plan.mode is Mode.QUEUE and call.called not in exchange.desks:
        await _Life(exchange, call).in_queue()
    else:
        await _Life(exchange, call).direct()


class _Life:
    """One call's steps."""

    def __init__(self, exchange: "Exchange", call: Call) -> None:
        self.exchange = exchange
        self.call = call
        self.plan = call.plan
        self.caller = call.incoming
        self.ringing: list[Leg] = []
        self.served = False  # a queue's agent has it: the queue wants to know how it ends
        self._loop = asyncio.get_running_loop()

    # ---- the four kinds of call

    async def unknown_number(self) -> None:
        self.tell(What.OFFERED, self.caller)
        self.result("missed", "exchange", "no_route")
        self.gone(self.caller, "no_route", "send_refuse", code=404)

    async def direct(self) -> None:
        """A plain Dial: the caller's leg is answered when the agent's is."""
        self.tell(What.OFFERED, self.caller)
        desk = self._desk_for(self.call.called)
        await self.dial([desk] if desk else [])

    async def in_queue(self) -> None:
        """The exchange answers, the caller waits, agents are rung round by round."""
        exchange, plan = self.exchange, self.plan
        self.tell(What.OFFERED, self.caller)
        self.answer_caller()
        word = await self.call.hear(self._loop.time() + plan.lead_s)
        while word is not None and word.said not in (Said.GONE, Said.KILL):
            word = await self.call.hear(self._loop.time() + plan.lead_s)
        if word is not None:
            self.over_before_agent(word)
            return
        position = exchange.enter_queue(self.call)
        self.tell(What.JOINED, self.caller, position=position, count=len(exchange.waiting(self.call.queue)))
        give_up = self._loop.time() + plan.queue_timeout_s
        while True:
            desks = exchange.free_agents(plan.width)
            until = min(give_up, self._loop.time() + plan.ring_timeout_s) if desks else give_up
            word = await self.ring(desks, until, queued=True)
            if word is None:
                self.rang_out()
            if word is None or word.said in ENDINGS:
                if self._loop.time() >= give_up - 0.001:  # the loop's timers may fire a hair early
                    self.queue_over("timeout")
                    return
                word = await self.wait_for_answer(min(give_up, self._loop.time() + exchange.settings.retry_s), rung=False)
            if word is None or word.said is Said.FREE:
                continue
            if word.said is Said.ANSWERED and word.leg is not None:
                await self.taken_from_queue(word.leg)
            elif word.said is Said.REDIRECT:
                self.leave_for(word.detail)
                await self.dial_on(word.detail)
            else:
                self.queue_over("caller" if word.said is Said.GONE else "killed")
            return

    async def on_request(self) -> None:
        """A call that the manager interface asked for: the first leg, then an extension or the dialplan that takes a key."""
        call, leg, exchange = self.call, self.caller, self.exchange
        if leg.number in exchange.desks:
            exchange.desks[leg.number].busy = True
        self.tell(What.DIALLING, leg)
        self.ringing = [leg]
        word = await self.wait_for_answer(self._loop.time() + self.plan.ring_timeout_s)
        if word is None or word.said is not Said.ANSWERED:
            status, ending, _ = ENDINGS.get(word.said, ("CANCEL", "cancelled", 0)) if word else ("NOANSWER", "no_answer", 0)
            if word is not None and word.said in ENDINGS:
                self.tell(What.HANGUP_ASKED, leg)
            self.tell(What.DIAL_ENDED, leg, status=status)
            self.result("missed", "exchange" if word is None else "called", ending)
            self.originated(False, "3" if word is None else {"busy": "5", "declined": "1", "failed": "8"}.get(ending, "1"))
            self.gone(leg, ending, "recv_refuse" if word and word.said in ENDINGS else "send_cancel")
            return
        leg.answered_at = exchange.clock()
        self.tell(What.ANSWERED, leg)
        self.tell(What.DIAL_ENDED, leg, status="ANSWER")
        call.agents.append(leg.number)
        self.result("answered", "", "")
        self.ringing.clear()
        self.originated(True, "4")
        if call.called in (RINGS_IN_RING, "park"):
            await self.take_key()
        else:
            await self.dial_on(call.called)

    async def take_key(self) -> None:
        """The dialplan says its words and waits for one of GATEWAY_KEYS, asking three times; without one the UserEvent has an empty key.

        A parked leg only hands its keys on; whoever asked for it hangs up.
        """
        asks = self.call.called == RINGS_IN_RING
        keys = self.call.variables.get("GATEWAY_KEYS", "0123456789*")
        until = self._loop.time() + self.plan.talk_s
        asked = 1
        while True:
            word = await self.call.hear(until)
            if word is None or word.said is Said.KILL:
                if asks and word is None:
                    self.key_taken("")
                self.end_alone(self.caller, by_party=False, reason="no_key" if word is None else self.call.reason or "killed")
                return
            if word.said is Said.GONE:
                self.end_alone(self.caller, by_party=True, reason=self.call.reason or "no_key")
                return
            if word.said is Said.REDIRECT:
                await self.dial_on(word.detail)
                return
            if word.said is Said.DIGIT:
                self.tell(What.DIGIT, self.caller, digit=word.detail)
                if asks and word.detail not in keys and asked < ASKS:
                    asked += 1
                    continue
                self.result("answered", "called", f"key_{word.detail}" if word.detail in keys else "no_key")
                if asks:
                    self.key_taken(word.detail if word.detail in keys else "")
                    self.end_alone(self.caller, by_party=False, reason=self.call.reason)
                    return

    def key_taken(self, key: str) -> None:
        self.tell(What.KEY_TAKEN, self.caller, id=self.call.variables.get("GATEWAY_ID", ""), digit=key)

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

    # ---- answered

    async def taken_from_queue(self, leg: Leg) -> None:
        exchange = self.exchange
        leg.answered_at = exchange.clock()
        self.tell(What.ANSWERED, leg, self.caller)
        self.tell(What.DIAL_ENDED, leg, self.caller, status="ANSWER")
        losers = self.cancel_others(leg, 2)
        exchange.leave_queue(self.call)
        hold_s = leg.answered_at - self.call.joined_at
        self.tell(What.LEFT_QUEUE, self.caller, why="served", count=len(exchange.waiting(self.call.queue)))
        self.tell(What.CONNECTED, leg, self.caller, hold_s=hold_s, ring_s=leg.answered_at - leg.made_at)
        self.served = True
        exchange.served += 1
        self.bridge(leg)
        for loser in losers:
            self.gone(loser, "lose_race", "send_cancel")
        await self.talk(leg)

    async def dial(self, desks: list[Desk]) -> None:
        """Dial one agent for the caller, and see it through."""
        if not desks:
            self.result("missed", "exchange", "busy")
            self.gone(self.caller, "busy", "send_refuse", code=486)
            return
        word = await self.ring(desks, self._loop.time() + self.plan.ring_timeout_s)
        leg = self.ringing[0] if self.ringing else None
        if word is not None and word.said is Said.ANSWERED and word.leg is not None:
            word.leg.answered_at = self.exchange.clock()
            self.tell(What.ANSWERED, word.leg, self.caller)
            self.tell(What.DIAL_ENDED, word.leg, self.caller, status="ANSWER")
            self.ringing.clear()
            self.answer_caller()
            self.bridge(word.leg)
            await self.talk(word.leg)
        elif word is None and leg is not None:  # nobody took it
            self.rang_out()
            self.tell(What.SOFT_HANGUP, self.caller)
            self.result("missed", "exchange", "no_answer")
            self.end_caller("no_answer", code=self.exchange.settings.refusal)
        elif word is not None and word.said in ENDINGS and leg is not None:
            self.refused(leg, word.said)
            self.result("missed", "agent", ENDINGS[word.said][1])
            self.end_caller(ENDINGS[word.said][1], code=ENDINGS[word.said][2])
        elif word is not None:
            await self.left_while_ringing(word)

    async def left_while_ringing(self, word: Word) -> None:
        """The caller cancels, the manager hangs up or sends the caller elsewhere."""
        by_caller = word.said is Said.GONE
        if by_caller:
            self.tell(What.HANGUP_ASKED, self.caller, cause=127 if not self.caller.answered_at else 16)
        elif word.said is Said.KILL:
            self.tell(What.SOFT_HANGUP, self.caller)
        for leg in self.cancel_others(None, 1):
            self.gone(leg, "cancelled", "send_cancel")
        if word.said is Said.REDIRECT:
            await self.dial_on(word.detail)
            return
        if not self.call.agents:
            self.result("abandoned" if by_caller else "missed", "caller" if by_caller else "exchange", "cancelled" if by_caller else "killed")
        if by_caller and not self.caller.answered_at:
            self.gone(self.caller, "caller_cancelled", "recv_cancel", code=487)
        elif by_caller:
            self.gone(self.caller, "normal", "recv_bye")
        else:
            self.end_caller("normal", code=480)

    async def dial_on(self, extension: str) -> None:
        """The caller goes to another extension: a transfer, a redirect, or the second half of a call on request."""
        desk = self._desk_for(extension)
        if desk is None and extension not in self.exchange.desks:
            desk = Desk(extension, "")  # an outside number
        await self.dial([desk] if desk else [])

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

    async def talk(self, leg: Leg) -> None:
        """Until somebody hangs up or the caller is passed on."""
        while True:
            word = await self.call.hear(math.inf)
            assert word is not None
            if word.said is Said.DIGIT:
                self.tell(What.DIGIT, word.leg or self.caller, digit=word.detail)
            elif word.said in (Said.GONE, Said.KILL):
                if word.leg is not None and word.leg not in (self.caller, leg):
                    continue
                self.finish(leg, word)
                return
            elif word.said in (Said.BLIND, Said.REDIRECT):
                if word.said is Said.BLIND:
                    self.tell(What.BLIND, leg, self.caller, extension=word.detail)
                self.part(leg, "transfer")
                self.gone(leg, "normal", "recv_bye" if word.said is Said.BLIND else "send_bye")
                await self.dial_on(word.detail)
                return
            elif word.said is Said.ATTENDED:
                leg = await self.consult(leg, word.detail) or leg
                if self.caller.gone_at:
                    return

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

    async def consult(self, leg: Leg, extension: str) -> Leg | None:
        """The agent dials a colleague on a second channel, talks, and connects caller and colleague: two calls become one."""
        exchange, call = self.exchange, self.call
        desk = self._desk_for(extension)
        if desk is None:
            return None
        desk.busy = True
        asking = exchange.leg(call, number=leg.number, dialled=extension, name=leg.name, inbound=True, apart=True)
        self.tell(What.OFFERED, asking)
        asked = exchange.leg(call, number=extension, dialled=extension, name=desk.name, apart=True, real=desk.sip is not None)
        asked.linkedid, asked.call_uuid, asked.peer = asking.linkedid, asking.call_uuid, asking
        self.tell(What.DIALLING, asked, asking)
        self.ringing = [asked]
        word = await self.wait_for_answer(self._loop.time() + self.plan.ring_timeout_s)
        if word is None or word.said is not Said.ANSWERED:
            self.ringing.clear()
            status = ENDINGS[word.said][0] if word and word.said in ENDINGS else "NOANSWER" if word is None else "CANCEL"
            self.tell(What.DIAL_ENDED, asked, asking, status=status)
            self.gone(asked, "no_answer" if word is None else "cancelled", "send_cancel")
            self.gone(asking, "no_answer", "send_refuse", code=480)
            if word is not None and word.said in (Said.GONE, Said.KILL):
                self.finish(leg, word)
            return None
        self.ringing.clear()
        asked.answered_at = asking.answered_at = exchange.clock()
        self.tell(What.ANSWERED, asked, asking)
        self.tell(What.DIAL_ENDED, asked, asking, status="ANSWER")
        self.tell(What.CALLER_UP, asking)
        asked.bridge = asking.bridge = exchange.new_uuid()
        self.tell(What.BRIDGED, asked, asking)
        word = await call.hear(self._loop.time() + self.plan.transfer_after_s)
        if word is not None and word.said in (Said.GONE, Said.KILL) and word.leg in (self.caller, None):
            self.tell(What.UNBRIDGED, asked, asking)
            self.gone(asked, "normal", "send_bye")
            self.gone(asking, "normal", "send_bye")
            self.finish(leg, word)
            return None
        self.tell(What.ATTENDED, leg, self.caller, third=asked, extension=extension)
        self.tell(What.UNBRIDGED, asked, asking)
        self.part(leg, "transfer")
        asked.linkedid, asked.call_uuid = self.caller.linkedid, self.caller.call_uuid  # the elder of the two wins
        self.bridge(asked)
        self.gone(asking, "normal", "recv_bye")
        self.gone(leg, "normal", "recv_bye")
        return asked

    # ---- over without an agent

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

    def gone(self, leg: Leg, ending: str, disposition: str, *, code: int = 0) -> None:
        """The channel is no more. ending: why, in the model's words; disposition: as FreeSWITCH says who ended it."""
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

    def _desk_for(self, extension: str) -> Desk | None:
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
