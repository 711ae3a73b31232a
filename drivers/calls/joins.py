"""Which leg continues which call: an exchange (B2BUA) makes a new Call-ID for every phone it rings.

Source: sip-call-state, section 2. A leg is joined when it comes from the host where the caller's leg went, with the same caller or a
common hint. Look-ups are dictionary look-ups, however many calls there are.
"""

import re

from drivers.calls.call import Call, Leg, State
from drivers.sip.message import Message, parse_params

MAX_JOINS = 32  # keys one call may be known by
MAX_HINT = 200
NOBODY = "number:"  # key of callers whose number nobody told

_B2B_SUFFIX = re.compile(r"[-_.]?b2b[-_.]?\d+$")

Address = tuple[str, int]


class Joins:
    """(host, what it may be known by) -> legs that may be continued from there."""

    def __init__(self, hint_headers: tuple[str, ...]) -> None:
        self._hint_headers = tuple(name.lower() for name in hint_headers)
        self._known: dict[tuple[str, str], dict[str, Leg]] = {}

    def hints(self, message: Message, correlation: str) -> tuple[str, ...]:
        """What two legs of one call may share beside the caller: configured headers, icid-value, each other's Call-ID, HEP correlation."""
        hints = [f"{name}:{message.header(name).partition(';')[0]}" for name in self._hint_headers if name in message.headers]
        charging = message.header("p-charging-vector")
        if charging:
            icid = parse_params(charging).get("icid-value")
            if icid:
                hints.append(f"icid:{icid}")
        if correlation and correlation != message.call_id:
            hints += [f"call:{correlation}", f"correlation:{correlation}"]
        plain = _B2B_SUFFIX.sub("", message.call_id[-MAX_HINT:])
        if len(message.call_id) <= MAX_HINT and plain != message.call_id:
            hints.append(f"call:{plain}")
        return tuple(hint[:MAX_HINT] for hint in hints)

    def offer(self, leg: Leg, host: str, correlation: str = "", hints: tuple[str, ...] = ()) -> None:
        """Legs of this call may start from this host: remember by what they will be known."""
        call = leg.call
        keys = [f"call:{leg.call_id}"[:MAX_HINT], *hints]
        keys.append(f"number:{call.caller.number}" if call.caller.number else NOBODY)
        if correlation and correlation != leg.call_id:
            keys.append(f"correlation:{correlation}"[:MAX_HINT])
        for key in keys:
            if len(call.joins) >= MAX_JOINS:
                return
            call.joins.append((host, key))
            self._known.setdefault((host, key), {})[call.key] = leg

    def find(self, source: Address, number: str | None, hints: tuple[str, ...], user: str, to_hotline: bool, call_id: str) -> Leg | None:
        """The leg that a new INVITE from `source` continues; with several the one that asked for the same number, then the latest."""
        for hint in hints:
            hinted = [leg for leg in self._known.get((source[0], hint), {}).values() if leg.call_id != call_id]
            if hinted:
                return hinted[-1]
        if number is None:
            return None if to_hotline else self._waiting_nobody(source)
        # A second call of the same person from the same place is a second cry: it must not vanish in the first.
        found = [leg for leg in self._known.get((source[0], f"number:{number}"), {}).values() if leg.source != source]
        if to_hotline:
            found = [leg for leg in found if source in leg.destinations]
        same = [leg for leg in found if leg.user == user]
        best = same or found
        return best[-1] if best else None

    def _waiting_nobody(self, source: Address) -> Leg | None:
        """Nobody's number is nobody's number: of the anonymous callers whom no agent has yet, the one who has waited longest."""
        waiting = (leg for leg in self._known.get((source[0], NOBODY), {}).values() if leg.source != source)
        return next((leg for leg in waiting if leg.call.state is not State.ANSWERED or not leg.call.agent_heard), None)

    def drop(self, call: Call) -> None:
        for key in call.joins:
            known = self._known.get(key)
            if known is not None:
                known.pop(call.key, None)
                if not known:
                    del self._known[key]
        call.joins = []
