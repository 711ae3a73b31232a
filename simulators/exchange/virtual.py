"""Simulated people at the telephones: callers with patience, agents who answer or not, numbers that are dialled and press a key."""

from functools import partial

from simulators.exchange.call import Call, Leg, Said
from simulators.exchange.desk import Answerer
from simulators.exchange.happening import Happening, What
from simulators.exchange.model import Exchange

RING_DELAY_S = 0.01  # a telephone rings this long after it was called
AGENT_ON_REQUEST = Answerer(after_s=0.3, key="")


class People:
    """A face like the others, but it answers: what people do is said to the call. Legs with a real SIP peer are left alone."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __call__(self, happening: Happening) -> None:
        call, leg = happening.call, happening.leg
        if happening.what is What.OFFERED and leg is call.incoming and not leg.real:
            call.do_later(call.plan.patience_s, partial(self._impatient, call))
        elif happening.what is What.DIALLING and not leg.real:
            self._react(call, leg)
        elif happening.what is What.ANSWERED and call.outbound and leg is call.incoming:
            answerer = self._answerer(leg.number)
            if answerer.key:
                call.say_later(answerer.key_after_s, Said.DIGIT, leg, answerer.key)
            elif leg.number not in self._exchange.desks:
                call.say_later(answerer.talk_s, Said.GONE, leg)
        elif happening.what is What.BRIDGED and happening.other is call.incoming:
            self._talk(call, leg)

    def _react(self, call: Call, leg: Leg) -> None:
        """The telephone rings; whoever sits there does what the plan says. Of several rung at once the first is the quickest."""
        plan = call.plan
        if call.outbound or leg.number not in self._exchange.desks:
            answerer = self._answerer(leg.number)
            does, after_s = answerer.does, answerer.after_s
        else:
            rank = sum(1 for other in call.legs if not other.gone_at and not other.inbound and other is not leg and other.queued)
            does = plan.agent_does if len(call.agents) == 0 else "answers"
            after_s = plan.ring_s * (1 + rank / 2)
        call.say_later(min(RING_DELAY_S, after_s / 2), Said.RINGING, leg)
        said = {"answers": Said.ANSWERED, "busy": Said.BUSY, "declines": Said.DECLINED}.get(does)
        if said is not None:
            call.say_later(after_s, said, leg)

    def _talk(self, call: Call, leg: Leg) -> None:
        plan = call.plan
        if call.outbound:
            call.say_later(self._answerer(leg.number).talk_s, Said.GONE, leg)
        elif plan.transfer and len(call.agents) == 1:
            call.do_later(plan.transfer_after_s, partial(self._pass_on, call, leg))
        else:
            self._hang_up_later(call, leg)

    def _hang_up_later(self, call: Call, leg: Leg) -> None:
        who = leg if call.plan.hangs_up == "agent" else call.incoming
        if not who.real:
            call.say_later(call.plan.talk_s, Said.GONE, who)

    def _pass_on(self, call: Call, leg: Leg) -> None:
        """The agent sends the caller to a colleague; with nobody free the talk goes on."""
        free = self._exchange.free_agents(1)
        if free:
            call.say(Said.ATTENDED if call.plan.transfer == "attended" else Said.BLIND, leg, free[0].extension)
        else:
            self._hang_up_later(call, leg)

    def _impatient(self, call: Call) -> None:
        if not call.agents:
            call.say(Said.GONE, call.incoming)

    def _answerer(self, number: str) -> Answerer:
        return self._exchange.answerers.get(number, AGENT_ON_REQUEST if number in self._exchange.desks else Answerer())
