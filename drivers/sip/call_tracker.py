"""From SIP messages to call signals: finds the call each message belongs to and what it means for it. Sans-I/O.

Source: sip-call-state, sections 2 to 4. `now` is any clock that runs evenly (monotonic for a live line, packet time for a replay);
all timers count in it. `at` is when the message was captured, aware UTC, or None when nobody knows better than the time of arrival.
"""

import heapq
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from drivers.contract import Signal
from drivers.sip.call import (
    CARRIERS,
    KIND,
    MAX_BRANCHES,
    MAX_FORKS,
    MAX_LEGS,
    Action,
    Call,
    CallRecord,
    Leg,
    Role,
    State,
    Timer,
    call_key,
    leg_record,
    restored_call,
)
from drivers.sip.caller import Caller, Trust, identify
from drivers.sip.message import Message, NameAddr, Uri, parse_params
from drivers.sip.number import NumberPlan
from gateway.event import Kind

Address = tuple[str, int]

AUTH_S = 32.0  # 64 × T1: a caller who will try again with a password does so within a transaction's life
REDIRECT_S = 5.0
CANCEL_S = 32.0  # RFC 3261, 9.1
CROSSED_S = 1.0  # an answer that lasted less, after a CANCEL, was none
FINAL_S = 40.0  # stragglers of a final call: retransmissions end after 32 s
MAX_TAGS = 16
MAX_JOINS = 32
MAX_LEARNED = 1024  # exchanges seen ringing agents; a district has a handful

_B2B_SUFFIX = re.compile(r"[-_.]?b2b[-_.]?\d+$")
_REASON = {486: "busy", 600: "busy", 408: "no_answer", 480: "no_answer", 603: "declined", 401: "auth", 407: "auth", 403: "auth"}
_NOT_FOUND = (404, 410, 484, 604)
_RETRY = (401, 407, 422, 494)  # the caller is asked to send the INVITE again: CSeq + 1
_CALL_METHODS = frozenset({"INVITE", "CANCEL", "BYE", "UPDATE", "REFER", "NOTIFY"})


class TrackerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """answer_on: any (a 200 to the caller's leg is an answer), agent_leg (only a joined leg's is) or auto: any, until an exchange
    is seen ringing agents with calls of its own. answer_on_for: the same per exchange address. Times in seconds."""

    agents: dict[str, str] = {}
    answer_on: str = "auto"
    answer_on_for: dict[str, str] = {}
    ring_on_183: bool = False
    hint_headers: tuple[str, ...] = ("x-asterisk-linkedid", "session-id", "x-genesys-calluuid")
    caller_headers: tuple[str, ...] = ()
    caller_from_contact: bool = False
    ring_guard_s: float = 180
    queue_guard_s: float = 1800
    talk_guard_s: float = 14400
    restart_guard_s: float = 60
    restart_talk_guard_s: float = 1800
    max_calls: int = 100_000
    max_calls_per_source: int = 10_000


class NoRoom(Exception):
    """A new call was not taken. `reason`: table_full or too_many_calls; calls in progress are never given up for new ones."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CallTracker:
    """All calls of one line. `receive` and `handle_deadline` give what is news; the same message again gives nothing."""

    def __init__(self, plan: NumberPlan, trust: Trust, options: TrackerOptions) -> None:
        self._plan = plan
        self._trust = trust
        self._options = options
        self._legs: dict[tuple[str, str], Leg] = {}
        self._calls: dict[str, Call] = {}
        self._finals: OrderedDict[str, None] = OrderedDict()
        self._live_from: Counter[str] = Counter()
        self._joins: dict[tuple[str, str], dict[str, Leg]] = {}
        self._transfers: dict[str, Call] = {}
        self._agent_leg_exchanges: OrderedDict[str, None] = OrderedDict()
        self._timers: list[tuple[float, int, Call]] = []
        self._timer_count = 0

    def __len__(self) -> int:
        """Calls in progress."""
        return len(self._calls) - len(self._finals)

    def deadline(self) -> float | None:
        """When the earliest timer ends; never later than that, sometimes earlier (a call has meanwhile moved on)."""
        return self._timers[0][0] if self._timers else None

    def restore(self, records: Iterable[Mapping[str, object]], now: float) -> int:
        """Take up live calls again: `records` are the details of each one's last event. How many could be read is returned.

        The next message of a call confirms it; else it ends as inferred after the restart guard.
        """
        taken = 0
        for record in records:
            try:
                call = restored_call(msgspec.convert(record, CallRecord))
            except (msgspec.ValidationError, ValueError):
                continue
            if call.is_final or call.key in self._calls:
                continue
            self._keep(call, call.legs[0].source[0])
            for leg in call.legs:
                self._legs[(leg.call_id, leg.from_tag)] = leg
                if leg.role in (Role.CALLER, Role.RELAY):
                    for destination in leg.destinations:
                        self._offer_joins(leg, destination[0], "", ())
                if leg.role is Role.AGENT:
                    self._learn(leg.source[0])
            guard = self._options.restart_talk_guard_s if call.state is State.ANSWERED else self._options.restart_guard_s
            self._wait(call, Timer.RESTART, now + guard)
            taken += 1
        return taken

    def receive(
        self, message: Message, source: Address, destination: Address, now: float, at: datetime | None = None, raw: bytes = b"", correlation: str = ""
    ) -> list[Signal]:
        """One captured message. Raises NoRoom when it offers a call there is no room for."""
        method = message.cseq_method
        if method not in _CALL_METHODS and method not in ("ACK", "PRACK", "INFO"):
            return []
        leg = self._legs.get((message.call_id, message.from_tag))
        by_callee = False
        if leg is None and message.to_tag:
            leg = self._legs.get((message.call_id, message.to_tag))
            by_callee = leg is not None
        news = _News(at, raw)
        if leg is not None and leg.call.timer is Timer.RESTART:
            self._confirm(leg.call, now)
        if message.is_request:
            self._request(news, message, leg, by_callee, source, destination, now, correlation)
        elif method == "INVITE":
            self._invite_response(news, message, leg, by_callee, source, destination, now)
        elif method == "UPDATE" and leg is not None and 200 <= message.code < 300:
            self._refresh(leg.call, message, now)
        return news.signals

    def handle_deadline(self, now: float) -> list[Signal]:
        """Timers that ended by now: calls nobody ended for us are ended as inferred."""
        news = _News(None, b"")
        while self._timers and self._timers[0][0] <= now:
            scheduled, _, call = heapq.heappop(self._timers)
            if scheduled != call.scheduled:
                continue  # moved to an earlier time since
            call.scheduled = float("inf")
            if self._calls.get(call.key) is not call:
                continue
            if call.deadline > now:
                self._schedule(call)
            else:
                self._expire(news, call, now)
        return news.signals

    # ---- requests

    def _request(
        self, news: "_News", message: Message, leg: Leg | None, by_callee: bool, source: Address, destination: Address, now: float, correlation: str
    ) -> None:
        method = message.method
        if method == "INVITE":
            if message.to_tag:
                if leg is not None:
                    self._refresh(leg.call, message, now)
            elif leg is None:
                self._new_leg(news, message, source, destination, now, correlation)
            elif not by_callee:
                self._copy_or_retry(news, message, leg, source, destination, now, correlation)
        elif leg is None:
            return
        elif method == "CANCEL":
            self._cancel(leg, message, source, now)
        elif method == "BYE":
            self._bye(news, leg, message, by_callee, now)
        elif method == "REFER":
            self._refer(leg, message, now)
        elif method == "NOTIFY":
            self._refer_progress(news, leg, message, now)

    def _new_leg(
        self, news: "_News", message: Message, source: Address, destination: Address, now: float, correlation: str, attempt: int = 0
    ) -> None:
        user = Uri(message.uri).user
        if message.header("replaces") and self._replace(message, user, source, destination, now):
            return
        if message.header("referred-by"):
            transferred = self._transfers.get(user)
            if transferred is not None and transferred.transfer_until > now and not transferred.is_final:
                self._add_leg(transferred, transferred.transfer_role, message, user, source, destination, now)
                return
        called, hotline = self._called(message, user)
        caller = self._identify(message, source)
        hints = self._hints(message, correlation)
        joined = self._join(source, caller.number, hints, user, hotline is not None, message.call_id)
        if joined is not None:
            role = Role.RELAY if hotline is not None else Role.AGENT
            leg = self._add_leg(joined.call, role, message, user, source, destination, now)
            if leg is not None and role is Role.RELAY:
                self._offer_joins(leg, destination[0], correlation, hints)
            if leg is not None and role is Role.AGENT:
                self._agent_leg_seen(leg, now)
            return
        if hotline is None:
            return
        self._admit(source[0])
        call = Call(call_key(message.call_id, message.from_tag, attempt), caller, called, hotline)
        self._keep(call, source[0])
        first = self._add_leg(call, Role.CALLER, message, user, source, destination, now)
        assert first is not None
        self._offer_joins(first, destination[0], correlation, hints)
        self._wait(call, Timer.RING, now + self._options.ring_guard_s)
        self._announce(news, call, Kind.CALL_OFFERED, "INVITE", "")

    def _copy_or_retry(self, news: "_News", message: Message, leg: Leg, source: Address, destination: Address, now: float, correlation: str) -> None:
        """An INVITE of a known leg: sent again, sent on by a proxy, sent anew with a password, or tried anew after a refusal."""
        call = leg.call
        branch = message.branch
        if call.is_final:
            if message.cseq > leg.cseq and leg.role is Role.CALLER and leg.source[0] == source[0] and call.state is not State.ENDED:
                self._forget(call)
                self._new_leg(news, message, source, destination, now, correlation, message.cseq)
            return
        if branch in leg.branches or branch in leg.forks:
            return
        vias = message.via_count
        if vias < leg.vias:  # we saw the proxy's copy first: this one is nearer to the caller
            for known in leg.branches:
                leg.forks.setdefault(known, leg.user)
            leg.branches = {branch}
            leg.vias, leg.source = vias, source
        elif vias == leg.vias and source[0] == leg.source[0] and message.cseq > leg.cseq:
            if len(leg.branches) < MAX_BRANCHES:
                leg.branches.add(branch)
            leg.cseq = message.cseq
            if call.timer in (Timer.AUTH, Timer.REDIRECT):
                self._wait(call, Timer.RING, now + self._options.ring_guard_s)
        elif len(leg.forks) < MAX_FORKS:
            leg.forks[branch] = Uri(message.uri).user
        if destination not in leg.destinations and len(leg.destinations) < 8:
            leg.destinations.append(destination)
            if leg.role in (Role.CALLER, Role.RELAY):
                self._offer_joins(leg, destination[0], correlation, ())

    def _cancel(self, leg: Leg, message: Message, source: Address, now: float) -> None:
        """Only the caller's own CANCEL abandons; a proxy or exchange cancels every phone that did not win."""
        call = leg.call
        if leg.role is not Role.CALLER or call.state not in (State.OFFERED, State.RINGING):
            return
        branch = message.branch
        near = branch in leg.branches if branch in leg.branches or branch in leg.forks else source[0] == leg.source[0]
        if near:
            leg.cancelled = True
            call.by = "caller"
            call.cause = _q850(message) or call.cause
            self._wait(call, Timer.CANCEL, now + CANCEL_S)

    def _bye(self, news: "_News", leg: Leg, message: Message, by_callee: bool, now: float) -> None:
        call = leg.call
        if call.is_final:
            return
        leg.confirmed.discard(message.from_tag if by_callee else message.to_tag)
        call.cause = _q850(message) or call.cause
        if leg.role is Role.RELAY:
            return
        if leg.role is Role.AGENT:
            if by_callee and leg is call.answer_leg:
                call.by = "agent"
            return
        if any(other.confirmed for other in call.legs if other.role in CARRIERS) or call.carried:
            return
        if leg.role is Role.CALLER and call.by is None:
            call.by = "agent" if by_callee else "caller"
        if call.transfer_until > now and call.transfer_role is Role.TRANSFER:
            self._wait(call, Timer.TRANSFER, call.transfer_until)
            return
        if call.state is State.ANSWERED:
            crossed = call.timer is Timer.HOLD
            self._act(news, call, Action.ABANDON if crossed else Action.END, "BYE", now)
        elif not by_callee:  # hung up while waiting; if an answer was lost on the way to us, calling back does no harm
            self._act(news, call, Action.ABANDON, "BYE", now, inferred=not call.queued)
        elif call.queued:
            call.reason = "no_answer"
            self._act(news, call, Action.MISS, "BYE", now)
        else:
            call.reason = "answer_not_seen"
            self._act(news, call, Action.END, "BYE", now, inferred=True)

    def _refer(self, leg: Leg, message: Message, now: float) -> None:
        """Blind transfer: the INVITE that follows, to this target, continues the call."""
        call = leg.call
        if call.state is not State.ANSWERED or not message.header("refer-to"):
            return
        self._transfers.pop(call.transfer_target, None)
        call.transfer_target = NameAddr(message.header("refer-to")).user
        call.transfer_until = now + self._options.ring_guard_s
        call.transfer_role = Role.TRANSFER if leg.role in CARRIERS else Role.AGENT
        if call.transfer_target:
            self._transfers[call.transfer_target] = call

    def _refer_progress(self, news: "_News", leg: Leg, message: Message, now: float) -> None:
        """NOTIFY of a REFER carries the start line of the new leg's answer (message/sipfrag, RFC 3515)."""
        call = leg.call
        if call.transfer_until <= now or call.is_final or message.body[:8].upper() != b"SIP/2.0 ":
            return
        code = message.body[8:9]
        if code == b"2":
            call.carried = call.transfer_role is Role.TRANSFER and not any(other.role is Role.TRANSFER for other in call.legs)
            self._transferred(news, call, call.transfer_target or None, "NOTIFY", message.call_id, now)
        elif code in b"3456" and code:
            call.transfer_until = 0.0

    def _replace(self, message: Message, user: str, source: Address, destination: Address, now: float) -> bool:
        """INVITE with Replaces (RFC 3891): attended transfer or pickup. False when the named dialog is not ours."""
        call_id, _, rest = message.header("replaces").partition(";")
        params = parse_params(rest)
        for tag in (params.get("from-tag", ""), params.get("to-tag", "")):
            replaced = self._legs.get((call_id.strip(), tag))
            if replaced is not None and not replaced.call.is_final:
                role = Role.TRANSFER if replaced.role in CARRIERS else Role.AGENT
                from_user = message.from_.user
                agent = user if self._plan.e164(from_user) == replaced.call.caller.e164 and replaced.call.caller.e164 else from_user
                self._add_leg(replaced.call, role, message, agent, source, destination, now)
                return True
        return False

    # ---- responses to INVITE

    def _invite_response(
        self, news: "_News", message: Message, leg: Leg | None, by_callee: bool, source: Address, destination: Address, now: float
    ) -> None:
        code = message.code
        if leg is None:
            if 200 <= code < 300:
                self._answer_without_invite(news, message, source, destination, now)
            return
        call = leg.call
        if call.is_final or message.cseq < leg.cseq:
            return
        if by_callee:  # the answer to a re-INVITE that the other side sent
            if 200 <= code < 300:
                self._refresh(call, message, now)
            return
        if code < 200:
            self._provisional(news, call, code, now)
        elif code < 300:
            self._success(news, message, leg, source, now)
        elif leg.role is Role.CALLER and self._is_near(message, leg, destination):
            self._refusal(news, call, leg, code, message, now)

    def _provisional(self, news: "_News", call: Call, code: int, now: float) -> None:
        if call.state is State.ANSWERED or code == 100:
            return
        if call.timer is Timer.RING:
            self._wait(call, Timer.RING, now + self._options.ring_guard_s)
        if code == 182:
            call.waiting = True
        elif code == 180 or (code == 183 and self._options.ring_on_183):
            self._act(news, call, Action.RING, str(code), now)

    def _success(self, news: "_News", message: Message, leg: Leg, source: Address, now: float) -> None:
        call = leg.call
        tag = message.to_tag
        if tag in leg.confirmed:  # a copy, or a session refreshed
            self._refresh(call, message, now)
            return
        if len(leg.confirmed) < MAX_TAGS:
            leg.confirmed.add(tag)
        session = message.header("session-expires").partition(";")[0].strip()
        if session.isascii() and session.isdigit() and len(session) < 9 and leg.role in CARRIERS:
            call.session_s = float(session)
        if leg.role in (Role.CALLER, Role.RELAY):
            if call.state is State.ANSWERED:
                return
            if self._waits_for_agent_leg(call, leg):
                if not call.queued:
                    call.queued = True
                    self._wait(call, Timer.QUEUE, now + self._options.queue_guard_s)
                return
            self._answered(news, call, leg, self._who_answered(message, leg, source), tag, now)
            return
        agent = self._who_answered(message, leg, source)
        if call.state is not State.ANSWERED:
            call.agent_heard = True
            self._answered(news, call, leg, agent, tag, now)
        elif leg is not call.answer_leg and not leg.rival:
            call.agent_heard = True
            call.answer_leg = leg
            self._transferred(news, call, agent, "200", tag, now)

    def _answered(self, news: "_News", call: Call, leg: Leg, agent: str | None, tag: str, now: float) -> None:
        call.agent = agent
        call.answer_leg = leg
        call.queued = False
        for other in call.legs:
            other.rival = other is not leg
        if call.legs[0].cancelled:
            call.apply(Action.ANSWER)
            self._wait(call, Timer.HOLD, now + CROSSED_S)  # told when it has lasted
            return
        call.by = None
        self._act(news, call, Action.ANSWER, "200", now, suffix=tag)

    def _transferred(self, news: "_News", call: Call, agent: str | None, kind_raw: str, tag: str, now: float) -> None:
        call.agent = agent
        self._transfers.pop(call.transfer_target, None)
        call.transfer_until = 0.0
        call.by = None
        self._act(news, call, Action.TRANSFER, kind_raw, now, suffix=tag)

    def _refusal(self, news: "_News", call: Call, leg: Leg, code: int, message: Message, now: float) -> None:
        if call.state is State.ANSWERED:
            if not leg.confirmed and code not in _RETRY:  # an agent took it just when the caller gave up
                call.by, call.code = "caller", code
                self._act(news, call, Action.ABANDON, str(code), now)
            return
        call.code = code
        call.cause = _q850(message) or call.cause
        call.reason = _reason(code)
        if code in _RETRY:
            self._wait(call, Timer.AUTH, now + AUTH_S)
        elif code < 400:
            call.reason = "redirected"
            self._wait(call, Timer.REDIRECT, now + REDIRECT_S)
        elif code == 487 or leg.cancelled:
            call.reason = None
            call.by = "caller"
            self._act(news, call, Action.ABANDON, str(code), now)
        else:
            self._act(news, call, Action.MISS, str(code), now)

    def _answer_without_invite(self, news: "_News", message: Message, source: Address, destination: Address, now: float) -> None:
        """We started late or lost the INVITE: the answer alone names caller, called and dialog."""
        caller = self._identify(message, destination)
        user = message.to.user
        hotline = self._plan.hotline(user)
        joined = self._join(destination, caller.number, self._hints(message, ""), user, hotline is not None, message.call_id)
        if joined is not None and hotline is None:
            leg = self._add_leg(joined.call, Role.AGENT, message, user, destination, source, now)
        elif hotline is not None and joined is None:
            self._admit(destination[0])
            call = Call(call_key(message.call_id, message.from_tag), caller, user, hotline)
            self._keep(call, destination[0])
            leg = self._add_leg(call, Role.CALLER, message, user, destination, source, now)
        else:
            return
        if leg is not None:
            news.inferred = True
            self._success(news, message, leg, source, now)

    # ---- what belongs together

    def _called(self, message: Message, user: str) -> tuple[str, str | None]:
        """(number as it came, hotline it means): the Request-URI first, then To."""
        hotline = self._plan.hotline(user)
        if hotline is not None:
            return user, hotline
        to = message.to.user
        hotline = self._plan.hotline(to)
        return (to, hotline) if hotline is not None else (user, None)

    def _identify(self, message: Message, peer: Address) -> Caller:
        options = self._options
        return identify(message, self._trust.covers(peer[0]), self._plan, options.caller_headers, options.caller_from_contact)

    def _hints(self, message: Message, correlation: str) -> tuple[str, ...]:
        """What two legs of one call may have in common beside the caller: configured headers, icid-value, each other's Call-ID."""
        hints = [f"{name}:{message.header(name).partition(';')[0]}" for name in self._options.hint_headers if message.headers.get(name)]
        charging = message.header("p-charging-vector")
        if charging:
            icid = parse_params(charging).get("icid-value")
            if icid:
                hints.append(f"icid:{icid}")
        if correlation and correlation != message.call_id:
            hints += [f"call:{correlation}", f"correlation:{correlation}"]
        plain = _B2B_SUFFIX.sub("", message.call_id)
        if plain != message.call_id:
            hints.append(f"call:{plain}")
        return tuple(hints)

    def _offer_joins(self, leg: Leg, host: str, correlation: str, hints: tuple[str, ...]) -> None:
        """Legs of this call may start from this host: remember by what they will be known."""
        call = leg.call
        keys = [f"call:{leg.call_id}", *hints]
        if call.caller.number:
            keys.append(f"number:{call.caller.number}")
        if correlation and correlation != leg.call_id:
            keys.append(f"correlation:{correlation}")
        for key in keys:
            if len(call.joins) >= MAX_JOINS:
                return
            call.joins.append((host, key))
            self._joins.setdefault((host, key), {})[call.key] = leg

    def _join(self, source: Address, number: str | None, hints: tuple[str, ...], user: str, to_hotline: bool, call_id: str) -> Leg | None:
        """The leg this new INVITE continues: it comes from where that one went, with the same caller or a common hint."""
        for hint in hints:
            hinted = [leg for leg in self._joins.get((source[0], hint), {}).values() if leg.call_id != call_id]
            if hinted:
                return hinted[-1]
        if number is None:
            return None
        # A second call of the same person from the same place is a second cry: it must not vanish in the first.
        found = [leg for leg in self._joins.get((source[0], f"number:{number}"), {}).values() if leg.source != source]
        if to_hotline:
            found = [leg for leg in found if source in leg.destinations]
        same = [leg for leg in found if leg.user == user]
        best = same or found
        return best[-1] if best else None

    def _add_leg(self, call: Call, role: Role, message: Message, user: str, source: Address, destination: Address, now: float) -> Leg | None:
        if len(call.legs) >= MAX_LEGS:
            return None
        leg = Leg(call, role, message.call_id, message.from_tag, source, destination)
        leg.user = user
        leg.cseq = message.cseq
        leg.vias = message.via_count
        leg.branches.add(message.branch)
        call.legs.append(leg)
        self._legs[(leg.call_id, leg.from_tag)] = leg
        if call.timer is Timer.RING:
            self._wait(call, Timer.RING, now + self._options.ring_guard_s)
        return leg

    def _agent_leg_seen(self, leg: Leg, now: float) -> None:
        """This exchange rings agents with calls of its own: from now on its answer to the caller is a queue's, not an agent's."""
        call = leg.call
        mode = self._mode(leg.source[0])
        if mode == "any":
            return
        self._learn(leg.source[0])
        if call.state is State.ANSWERED and not call.agent_heard and not call.restored and call.apply(Action.REOPEN):
            call.agent = None
            call.answer_leg = None
            call.queued = True
            self._wait(call, Timer.QUEUE, now + self._options.queue_guard_s)

    def _mode(self, host: str) -> str:
        return self._options.answer_on_for.get(host, self._options.answer_on)

    def _waits_for_agent_leg(self, call: Call, leg: Leg) -> bool:
        for host, _ in leg.destinations:
            mode = self._mode(host)
            if mode == "agent_leg":
                return True
            if mode == "auto" and not call.restored and host in self._agent_leg_exchanges:
                return True
        return call.has_agent_leg and all(self._mode(host) != "any" for host, _ in leg.destinations)

    def _learn(self, host: str) -> None:
        self._agent_leg_exchanges[host] = None
        self._agent_leg_exchanges.move_to_end(host)
        if len(self._agent_leg_exchanges) > MAX_LEARNED:
            self._agent_leg_exchanges.popitem(last=False)

    def _is_near(self, message: Message, leg: Leg, destination: Address) -> bool:
        """Is this response on its last hop to the caller? By branch, else by how many Vias are left, else by address."""
        branch = message.branch
        if branch in leg.branches:
            return True
        if branch in leg.forks:
            return False
        return message.via_count <= leg.vias if branch else destination[0] == leg.source[0]

    def _who_answered(self, message: Message, leg: Leg, source: Address) -> str | None:
        """Extension or number of who took the call (sip-call-state, section 4), else the address that answered."""
        agents = self._options.agents
        contacts = message.name_addrs("contact")[:1]
        contact = contacts[0].user if contacts else ""
        if contact in agents:
            return contact
        for place in (f"{source[0]}:{source[1]}", source[0]):
            if place in agents:
                return agents[place]
        if self._trust.covers(source[0]):
            for asserted in message.name_addrs("p-asserted-identity")[:1]:
                if asserted.user and self._plan.hotline(asserted.user) is None:
                    return asserted.user
        asked = leg.forks.get(message.branch)
        if asked is None:
            asked = next(iter(leg.forks.values())) if len(leg.forks) == 1 else leg.user
        for user in (asked, contact, message.to.user):
            if user and self._plan.hotline(user) is None:
                return user
        return source[0] or None

    # ---- what a call does

    def _act(self, news: "_News", call: Call, action: Action, kind_raw: str, now: float, suffix: str = "", inferred: bool = False) -> None:
        if not call.apply(action):
            return
        kind = KIND[action]
        if call.is_final:
            self._live_from[call.source_host] -= 1
            if self._live_from[call.source_host] <= 0:
                del self._live_from[call.source_host]
            self._finals[call.key] = None
            self._drop_joins(call)
            self._wait(call, Timer.FORGET, now + FINAL_S)
        elif call.state is State.ANSWERED:
            self._wait(call, Timer.TALK, now + self._talk_guard_s(call))
        if kind is not None:
            self._announce(news, call, kind, kind_raw, suffix, inferred)

    def _announce(self, news: "_News", call: Call, kind: Kind, kind_raw: str, suffix: str, inferred: bool = False) -> None:
        dedup = f"{call.key}:{kind.value}"
        again = kind in call.announced
        if kind is Kind.CALL_TRANSFERRED or again:
            if kind is Kind.CALL_RINGING:
                return
            dedup += f":{suffix or kind_raw}"
        call.announced.add(kind)
        detail = self._detail(call, inferred or news.inferred)
        if again and kind is Kind.CALL_ANSWERED:
            detail["correction"] = True  # the first answer was a queue's
        news.signals.append(
            Signal(
                kind=kind,
                kind_raw=kind_raw,
                device=call.caller.number,
                dedup=dedup,
                time=news.at,
                integrity="verified" if call.caller.verified else "unverified",
                detail=detail,
                raw=news.raw,
            )
        )

    def _detail(self, call: Call, inferred: bool) -> dict[str, object]:
        caller = call.caller
        detail: dict[str, object] = {
            "call": call.key,
            "call_id": _clean(call.legs[0].call_id),
            "from_tag": _clean(call.legs[0].from_tag),
            "state": call.state.value,
            "caller": _clean(caller.raw),
            "caller_e164": caller.e164,
            "identity_source": caller.source,
            "verified": caller.verified,
            "presentation": caller.presentation,
            "called": _clean(call.called),
            "hotline": call.hotline,
            "leg_count": len(call.legs),
        }
        agent = _clean(call.agent) if call.agent else None
        facts: dict[str, object | None] = {
            "caller_name": _clean(caller.name),
            "redirecting": _clean(caller.redirecting),
            "agent": agent,
            "agent_name": self._options.agents.get(agent or ""),
            "reason": call.reason if call.is_final else None,
            "code": call.code if call.is_final else None,
            "cause": call.cause if call.is_final else None,
            "by": call.by if call.is_final else None,
            "inferred": inferred,
            "waiting": call.waiting and not call.is_final,
            "queued": call.queued,
            "agent_heard": call.agent_heard,
        }
        detail.update({name: value for name, value in facts.items() if value})
        if not call.is_final:
            detail["legs"] = [leg_record(leg) for leg in call.legs if _is_clean(leg)]
        return detail

    def _refresh(self, call: Call, message: Message, now: float) -> None:
        """A re-INVITE or UPDATE proves that the call is alive (RFC 4028)."""
        session = message.header("session-expires").partition(";")[0].strip()
        if session.isascii() and session.isdigit() and len(session) < 9:
            call.session_s = float(session)
        if call.timer is Timer.TALK:
            self._wait(call, Timer.TALK, now + self._talk_guard_s(call))

    def _talk_guard_s(self, call: Call) -> float:
        return 1.1 * call.session_s if call.session_s else self._options.talk_guard_s

    def _confirm(self, call: Call, now: float) -> None:
        """After a restart: the call is still there."""
        options = self._options
        if call.state is State.ANSWERED:
            self._wait(call, Timer.TALK, now + self._talk_guard_s(call))
        elif call.queued:
            self._wait(call, Timer.QUEUE, now + options.queue_guard_s)
        else:
            self._wait(call, Timer.RING, now + options.ring_guard_s)

    def _expire(self, news: "_News", call: Call, now: float) -> None:
        timer = call.timer
        if timer is Timer.FORGET:
            self._forget(call)
        elif timer is Timer.HOLD:
            self._wait(call, Timer.TALK, now + self._talk_guard_s(call))
            call.by = None
            self._announce(news, call, Kind.CALL_ANSWERED, "200", "held")
        elif timer is Timer.CANCEL:
            self._act(news, call, Action.ABANDON, "timer", now)
        elif timer in (Timer.AUTH, Timer.REDIRECT):
            self._act(news, call, Action.MISS, "timer", now)
        else:
            restarted = timer is Timer.RESTART
            if call.state is State.ANSWERED:
                call.reason = "not_confirmed_after_restart" if restarted else "transfer_not_seen" if timer is Timer.TRANSFER else "no_bye_seen"
                self._act(news, call, Action.END, "timer", now, inferred=True)
            else:
                call.reason = "not_confirmed_after_restart" if restarted else "no_final_answer"
                self._act(news, call, Action.MISS, "timer", now, inferred=True)

    # ---- the table

    def _admit(self, host: str) -> None:
        """Room for one more? Finals are given up first; a flood from one source finds its own limit."""
        if self._live_from[host] >= self._options.max_calls_per_source:
            raise NoRoom("too_many_calls")
        if len(self._calls) >= self._options.max_calls:
            if not self._finals:
                raise NoRoom("table_full")
            self._forget(self._calls[next(iter(self._finals))])

    def _keep(self, call: Call, host: str) -> None:
        call.source_host = host
        self._live_from[host] += 1
        self._calls[call.key] = call

    def _forget(self, call: Call) -> None:
        self._calls.pop(call.key, None)
        self._finals.pop(call.key, None)
        for leg in call.legs:
            if self._legs.get((leg.call_id, leg.from_tag)) is leg:
                del self._legs[(leg.call_id, leg.from_tag)]
        if self._transfers.get(call.transfer_target) is call:
            del self._transfers[call.transfer_target]
        self._drop_joins(call)

    def _drop_joins(self, call: Call) -> None:
        for key in call.joins:
            known = self._joins.get(key)
            if known is not None:
                known.pop(call.key, None)
                if not known:
                    del self._joins[key]
        call.joins = []

    def _wait(self, call: Call, timer: Timer, until: float) -> None:
        call.timer = timer
        call.deadline = until
        if until < call.scheduled:
            self._schedule(call)

    def _schedule(self, call: Call) -> None:
        """One live entry a call: a later deadline is found out when the earlier entry comes up."""
        call.scheduled = call.deadline
        self._timer_count += 1
        heapq.heappush(self._timers, (call.deadline, self._timer_count, call))


class _News:
    """What one message brought, and what its signals have in common."""

    __slots__ = ("at", "inferred", "raw", "signals")

    def __init__(self, at: datetime | None, raw: bytes) -> None:
        self.at = at
        self.raw = raw
        self.inferred = False
        self.signals: list[Signal] = []


def _reason(code: int) -> str:
    if code in _NOT_FOUND:
        return "not_found"
    return _REASON.get(code, "failure")


def _q850(message: Message) -> int | None:
    """Q.850 cause out of a Reason header (RFC 3326)."""
    for value in message.values("reason"):
        protocol, _, params = value.partition(";")
        cause = parse_params(params).get("cause", "")
        if protocol.strip().upper() == "Q.850" and cause.isascii() and cause.isdigit() and len(cause) <= 3:
            return int(cause)
    return None


def _clean(text: str) -> str:
    """JSON is UTF-8: octets that were no text become a replacement character."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _is_clean(leg: Leg) -> bool:
    """A Call-ID that is no text could not be found again after a restart: it is not kept."""
    texts = (leg.call_id, leg.from_tag, leg.user, *leg.branches, *leg.confirmed)
    return all(text.isascii() or _clean(text) == text for text in texts)
