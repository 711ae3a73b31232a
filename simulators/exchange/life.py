"""The life of one call, from its offer to its last leg: what the exchange does with what callers, agents and the manager interface say.

The order of the happenings is Asterisk's, as watched on a real one; the faces translate each for itself.
"""

import math
from typing import TYPE_CHECKING

from simulators.exchange.call import Call, Leg, Mode, Said, Word
from simulators.exchange.desk import Desk
from simulators.exchange.happening import What
from simulators.exchange.steps import ENDINGS, Steps

if TYPE_CHECKING:  # the exchange starts its calls' lives, which need the exchange
    from simulators.exchange.model import Exchange

RINGS_IN_RING = "gateway-ring"  # the dialplan context that takes a key press (config/pbx/asterisk)
ASKS = 3  # so often does that dialplan ask for a key


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


class _Life(Steps):
    """The four kinds of call, and what may follow: a talk, a transfer, a consultation."""

    async def unknown_number(self) -> None:
        self.tell(What.OFFERED, self.caller)
        self.result("missed", "exchange", "no_route")
        self.gone(self.caller, "no_route", "send_refuse", code=404)

    async def direct(self) -> None:
        """A plain Dial: the caller's leg is answered when the agent's is."""
        self.tell(What.OFFERED, self.caller)
        desk = self.desk_for(self.call.called)
        await self.dial([desk] if desk else [])

    async def in_queue(self) -> None:
        """The exchange answers, the caller waits, agents are rung round by round."""
        exchange, plan = self.exchange, self.plan
        self.tell(What.OFFERED, self.caller)
        self.answer_caller()
        word = await self.call.hear(self.loop.time() + plan.lead_s)
        while word is not None and word.said not in (Said.GONE, Said.KILL):
            word = await self.call.hear(self.loop.time() + plan.lead_s)
        if word is not None:
            self.over_before_agent(word)
            return
        position = exchange.enter_queue(self.call)
        self.tell(What.JOINED, self.caller, position=position, count=len(exchange.waiting(self.call.queue)))
        give_up = self.loop.time() + plan.queue_timeout_s
        while True:
            desks = exchange.free_agents(plan.width)
            until = min(give_up, self.loop.time() + plan.ring_timeout_s) if desks else give_up
            word = await self.ring(desks, until, queued=True)
            if word is None:
                self.rang_out()
            if word is None or word.said in ENDINGS:
                if self.loop.time() >= give_up - 0.001:  # the loop's timers may fire a hair early
                    self.queue_over("timeout")
                    return
                word = await self.wait_for_answer(min(give_up, self.loop.time() + exchange.settings.retry_s), rung=False)
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
        word = await self.wait_for_answer(self.loop.time() + self.plan.ring_timeout_s)
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
        until = self.loop.time() + self.plan.talk_s
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
        word = await self.ring(desks, self.loop.time() + self.plan.ring_timeout_s)
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
        desk = self.desk_for(extension)
        if desk is None and extension not in self.exchange.desks:
            desk = Desk(extension, "")  # an outside number
        await self.dial([desk] if desk else [])

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
                colleague = await self.consult(leg, word.detail)
                if self.caller.gone_at:
                    return
                if colleague is None and not self.caller.real:  # nobody took it: the talk goes on, and ends some day
                    self.call.say_later(self.plan.talk_s, Said.GONE, self.caller)
                leg = colleague or leg

    async def consult(self, leg: Leg, extension: str) -> Leg | None:
        """The agent dials a colleague on a second channel, talks, and connects caller and colleague: two calls become one."""
        exchange, call = self.exchange, self.call
        desk = self.desk_for(extension)
        if desk is None:
            return None
        desk.busy = True
        asking = exchange.leg(call, number=leg.number, dialled=extension, name=leg.name, inbound=True, apart=True)
        self.tell(What.OFFERED, asking)
        asked = exchange.leg(call, number=extension, dialled=extension, name=desk.name, apart=True, real=desk.sip is not None)
        asked.linkedid, asked.call_uuid, asked.peer = asking.linkedid, asking.call_uuid, asking
        self.tell(What.DIALLING, asked, asking)
        self.ringing = [asked]
        word = await self.wait_for_answer(self.loop.time() + self.plan.ring_timeout_s)
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
        word = await call.hear(self.loop.time() + self.plan.transfer_after_s)
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
