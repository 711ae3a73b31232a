"""What happens inside the exchange, told to every face in the same order: each face says it in its own wire's words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from simulators.exchange.call import Call, Leg


class What(StrEnum):
    """One step of a call. `leg` is the channel concerned, `other` the one it has to do with."""

    OFFERED = "offered"  # the caller's leg exists
    CALLER_UP = "caller_up"  # the exchange answers the caller's leg; says nothing of a person
    JOINED = "joined"  # waits in a queue: position, count
    DIALLING = "dialling"  # a new leg towards `leg`; other: for whom
    RINGING = "ringing"  # passed_on: the caller, who was not answered yet, hears it too
    ANSWERED = "answered"
    RANG_OUT = "rang_out"  # a queue gives up on this agent: ring_s
    DIAL_ENDED = "dial_ended"  # status: ANSWER, CANCEL, NOANSWER, BUSY, CHANUNAVAIL
    LEFT_QUEUE = "left_queue"  # why: served, caller, timeout
    GAVE_UP = "gave_up"  # nobody was found in the queue: hold_s, why: caller, timeout
    CONNECTED = "connected"  # a queue's agent (leg) and its caller (other): hold_s, ring_s
    BRIDGED = "bridged"
    UNBRIDGED = "unbridged"
    SERVED = "served"  # the queue's call is over for its agent: reason caller, agent, transfer
    HANGUP_ASKED = "hangup_asked"  # the far end of the leg hangs up
    SOFT_HANGUP = "soft_hangup"  # the exchange hangs the leg up
    GONE = "gone"
    BLIND = "blind"  # leg's agent sends `other` to extension
    ATTENDED = "attended"  # leg's agent connects `other` with `third`
    LEARNT = "learnt"  # the caller's number came late
    HELD = "held"
    RESUMED = "resumed"
    DIGIT = "digit"  # a key was pressed at leg: digit
    KEY_TAKEN = "key_taken"  # the dialplan of gateway-ring got the key: id, digit
    ORIGINATED = "originated"  # a dial on request came to something: action, success, reason


@dataclass(frozen=True, slots=True)
class Happening:
    """One step. at: seconds since 1970; facts: as the step's comment says."""

    what: What
    at: float
    call: Call
    leg: Leg
    other: Leg | None = None
    facts: Mapping[str, str | float] = field(default_factory=dict)
    third: Leg | None = None

    def number(self, name: str) -> float:
        return float(self.facts.get(name, 0))

    def text(self, name: str) -> str:
        return str(self.facts.get(name, ""))


Face = Callable[[Happening], None]
