"""From SIP messages to call signals: finds the call each message belongs to and what it means for it. Sans-I/O.

Source: sip-call-state, sections 2 to 4. `now` is any clock that runs evenly (monotonic for a live line, packet time for a replay);
all timers count in it. `at` is when the message was captured, aware UTC, or None when nobody knows better than the time of arrival.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from drivers.calls.call import (
    CARRIERS,
    KIND,
    MAX_BRANCHES,
    MAX_FORKS,
    MAX_LEGS,
    MAX_TAGS,
    Action,
    Call,
    CallRecord,
    Leg,
    Role,
    State,
    Timer,
    call_key,
    restored_call,
)
from drivers.calls.flood import CallFlood, peek_call_id
from drivers.calls.joins import Joins
from drivers.calls.news import News
from drivers.calls.place import place_of
from drivers.calls.table import CallTable, NoRoom
from drivers.contract import Signal
from drivers.sip.caller import MAX_NAME, Caller, Trust, identify
from drivers.sip.message import Message, NameAddr, Uri, parse_params
from drivers.sip.number import NumberPlan
from gateway.event import Kind

Address = tuple[str, int]

AUTH_S = 32.0  # 64 × T1: a caller who will try again with a password does so within a transaction's life
REDIRECT_S = 5.0
CANCEL_S = 32.0  # RFC 3261, 9.1
PROOF_S = 60.0  # a call whose caller or agent has begun another one: time enough for a BYE or a sign of life
CROSSED_S = 1.0  # an answer that lasted less, after a CANCEL, was none
MIN_SESSION_S = 90.0  # RFC 4028, 4
MAX_DESTINATIONS = 8  # hops of one leg that we are shown
MAX_IDENTIFIER = 512  # Call-IDs and tags in use are below 128; longer ones would only fill the table
MAX_LEARNED = 1024  # exchanges seen ringing agents; a district has a handful

_REASON = {486: "busy", 600: "busy", 408: "no_answer", 480: "no_answer", 603: "declined", 401: "auth", 407: "auth", 403: "auth"}
_NOT_FOUND = (404, 410, 484, 604)
_RETRY = (401, 407, 422, 494)  # the caller is asked to send the INVITE again: CSeq + 1
_SECONDS = {Timer.AUTH: AUTH_S, Timer.REDIRECT: REDIRECT_S, Timer.CANCEL: CANCEL_S, Timer.HOLD: CROSSED_S}
_SILENCE = {Timer.RESTART: "not_confirmed_after_restart", Timer.TRANSFER: "transfer_not_seen"}
_METHODS = frozenset({"INVITE", "ACK", "CANCEL", "BYE", "UPDATE", "PRACK", "INFO", "REFER", "NOTIFY"})


class TrackerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """answer_on: any (a 200 to the caller's leg is an answer), agent_leg (only a joined leg's is) or auto: any, until an exchange
    is seen ringing agents with calls of its own. answer_on_for: the same per exchange address. Times in seconds.

    proof_s: who is in a call and begins another has so long to show that the first still lives; then it has ended, its BYE unseen. 0: never
    conclude that, where a trunk shows one number for all its callers.

    max_calls_per_source: at a time; max_new_calls_per_s: of one source, 0 for no limit. A source is the address the INVITE came from
    as the exchange saw it, not the capture agent. A district's hotline gets three calls a second at its worst.
    """

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
    proof_s: float = PROOF_S
    max_calls: int = 100_000
    max_calls_per_source: int = 2_000
    max_new_calls_per_s: float = 100


@dataclass(frozen=True, slots=True)
class Heard:
    """One captured message on its way through the tracker, with what is news of it."""

    message: Message
    source: Address
    destination: Address
    now: float
    correlation: str
    news: News
    began_at: datetime | None


class CallTracker:
    """All calls of one line. `receive` and `handle_deadline` give what is news; the same message again gives nothing."""

    def __init__(self, plan: NumberPlan, trust: Trust, options: TrackerOptions) -> None:
        self._plan = plan
        self._trust = trust
        self._options = options
        self._table = CallTable(options.max_calls, options.max_calls_per_source)
        self._flood = CallFlood(options.max_new_calls_per_s)
        self._joins = Joins(options.hint_headers)
        self._transfers: dict[str, Call] = {}
        self._talking: dict[str, Call] = {}  # caller:NUMBER, agent:EXTENSION → the call they are in
        self._agent_leg_exchanges: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        """Calls in progress."""
        return len(self._table)

    def deadline(self) -> float | None:
        return self._table.deadline()

    def restore(self, records: Iterable[Mapping[str, object]], now: float) -> int:
        """Take up live calls again: `records` are the details of each one's last event. How many could be read is returned.

        The next message of a call confirms it; else it ends as inferred after the restart guard.
        """
        options = self._options
        taken = 0
        for record in records:
            try:
                read = msgspec.convert(record, CallRecord)
                call = restored_call(read)
            except (msgspec.ValidationError, ValueError):
                continue
            if call.is_final or call.key in self._table:
                continue
            self._table.keep(call, call.legs[0].source[0])
            for leg in call.legs:
                self._table.keep_leg(leg)
                if leg.role in (Role.CALLER, Role.RELAY):
                    for destination in leg.destinations:
                        self._joins.offer(leg, destination[0])
                if leg.role is Role.AGENT:
                    self._learn(leg.source[0])
            for host in read.rings_agents[:MAX_DESTINATIONS]:
                self._learn(host)
            guard = options.restart_talk_guard_s if call.state is State.ANSWERED else options.restart_guard_s
            self._table.wait(call, Timer.RESTART, now + guard)
            taken += 1
        return taken

    def receive(
        self,
        message: Message,
        source: Address,
        destination: Address,
        now: float,
        at: datetime | None = None,
        raw: bytes = b"",
        correlation: str = "",
        received_at: datetime | None = None,
    ) -> list[Signal]:
        """One captured message. Raises NoRoom when it offers a call there is no room for."""
        if message.cseq_method not in _METHODS:
            return []
        if max(len(message.call_id), len(message.from_tag), len(message.to_tag), len(message.branch)) > MAX_IDENTIFIER:
            raise NoRoom("too_long")
        news = News(self._options.agents, self._agent_leg_exchanges, at, raw)
        heard = Heard(message, source, destination, now, correlation, news, at or received_at)
        leg, by_callee = self._table.find(message)
        if leg is not None and leg.call.timer is Timer.RESTART:
            self._confirm(leg.call, now)
        if message.is_request:
            self._request(heard, leg, by_callee)
        elif message.cseq_method == "INVITE":
            self._invite_response(heard, leg, by_callee)
        elif message.cseq_method == "UPDATE" and leg is not None and message.code // 100 == 2:
            self._refresh(leg.call, heard)
        return news.signals

    def sheds(self, payload: bytes, source: str, now: float) -> str:
        """Why a message need not even be parsed: an INVITE of no known call, from a source that may offer no more now. "" = parse it.

        Exchanges that ring agents are spared: their INVITEs are legs of other people's calls.
        """
        if payload[:7] != b"INVITE " or source in self._agent_leg_exchanges:
            return ""
        reason = "flood" if self._flood.is_over(source, now) else "too_many_calls" if self._table.is_full_for(source) else ""
        return reason if reason and not self._table.knows(peek_call_id(payload)) else ""

    def is_news(self, source: str, reason: str, now: float) -> bool:
        """Must this refusal be told, or was the same told lately?"""
        return self._flood.is_news(source, reason, now)

    def handle_deadline(self, now: float) -> list[Signal]:
        """Timers that ended by now: calls nobody ended for us are ended as inferred."""
        news = News(self._options.agents, self._agent_leg_exchanges)
        for call in self._table.due(now):
            self._expire(news, call, now)
        return news.signals

    # ---- requests

    def _request(self, heard: Heard, leg: Leg | None, by_callee: bool) -> None:
        method = heard.message.method
        if method == "INVITE":
            if heard.message.to_tag:
                if leg is not None:
                    leg.call.held = _is_hold(heard.message.body, leg.call.held)
                    self._refresh(leg.call, heard)
            elif leg is None:
                self._new_leg(heard)
            elif not by_callee:
                self._copy_or_retry(heard, leg)
        elif leg is None or leg.call.is_final:
            return
        elif method == "CANCEL":
            self._cancel(heard, leg)
        elif method == "BYE":
            self._bye(heard, leg, by_callee)
        elif method == "REFER":
            self._refer(heard, leg)
        elif method == "NOTIFY":
            self._refer_progress(heard, leg)

    def _new_leg(self, heard: Heard, attempt: int = 0) -> None:
        """An INVITE that opens a dialog: part of a transfer, a leg of a known call, a call of its own, or nothing of ours."""
        message = heard.message
        user = Uri(message.uri).user
        if message.header("replaces") and self._replace(heard, user):
            return
        if message.header("referred-by"):
            transferred = self._transfers.get(user)
            if transferred is not None and transferred.transfer_until > heard.now and not transferred.is_final:
                self._add_leg(transferred, transferred.transfer_role, heard, user)
                return
        called, hotline = self._called(message, user)
        caller = self._identify(message, heard.source)
        hints = self._joins.hints(message, heard.correlation)
        joined = self._joins.find(heard.source, caller.number, hints, user, hotline is not None, message.call_id)
        if joined is not None and hotline is None:
            leg = self._add_leg(joined.call, Role.AGENT, heard, user)
            if leg is not None:
                self._agent_leg_seen(leg, heard.now)
        elif joined is not None:
            leg = self._add_leg(joined.call, Role.RELAY, heard, user)
            if leg is not None:
                self._joins.offer(leg, heard.destination[0], heard.correlation, hints)
        elif hotline is not None:
            self._admit(heard.source[0], heard.now)
            call = Call(call_key(message.call_id, message.from_tag, attempt, heard.began_at), caller, called[:MAX_NAME], hotline)
            self._table.keep(call, heard.source[0])
            leg = self._add_leg(call, Role.CALLER, heard, user)
            assert leg is not None
            self._joins.offer(leg, heard.destination[0], heard.correlation, hints)
            if self._trust.covers(heard.source[0]):
                call.place = place_of(message)
            self._doubt(f"caller:{caller.e164}", call, "caller_called_again", heard.now)
            heard.news.tell(call, Kind.CALL_OFFERED, "INVITE")

    def _admit(self, host: str, now: float) -> None:
        """Raises NoRoom."""
        if not self._flood.admits(host, now):
            raise NoRoom("flood")
        self._table.admit(host)

    def _copy_or_retry(self, heard: Heard, leg: Leg) -> None:
        """An INVITE of a known leg: sent again, sent on by a proxy, sent anew with a password, or tried anew after a refusal."""
        message, call = heard.message, leg.call
        branch = message.branch
        if call.is_final:
            anew = message.cseq > leg.cseq and heard.source[0] == leg.source[0]
            if anew and leg.role is Role.CALLER and call.state is not State.ENDED:
                self._forget(call)
                self._new_leg(heard, attempt=message.cseq)
            return
        if branch in leg.branches or branch in leg.forks:
            return
        vias = message.via_count
        if vias < leg.vias:  # we saw the proxy's copy first: this one is nearer to the caller
            for known in leg.branches:
                leg.forks.setdefault(known, leg.user)
            leg.branches = {branch}
            leg.vias, leg.source = vias, heard.source
        elif vias == leg.vias and heard.source[0] == leg.source[0] and message.cseq > leg.cseq:
            if len(leg.branches) < MAX_BRANCHES:
                leg.branches.add(branch)
            leg.cseq = message.cseq
            if call.timer in (Timer.AUTH, Timer.REDIRECT):
                self._wait(call, Timer.RING, heard.now)
        elif len(leg.forks) < MAX_FORKS:
            leg.forks[branch] = Uri(message.uri).user[:MAX_NAME]
        if heard.destination not in leg.destinations and len(leg.destinations) < MAX_DESTINATIONS:
            leg.destinations.append(heard.destination)
            if leg.role in (Role.CALLER, Role.RELAY):
                self._joins.offer(leg, heard.destination[0], heard.correlation)

    def _cancel(self, heard: Heard, leg: Leg) -> None:
        """Only the caller's own CANCEL abandons; a proxy or exchange cancels every phone that did not win."""
        call, branch = leg.call, heard.message.branch
        if leg.role is not Role.CALLER or call.state is State.ANSWERED or branch in leg.forks:
            return
        if branch in leg.branches or heard.source[0] == leg.source[0]:
            leg.cancelled = True
            call.by = "caller"
            call.cause = _q850(heard.message) or call.cause
            self._wait(call, Timer.CANCEL, heard.now)

    def _bye(self, heard: Heard, leg: Leg, by_callee: bool) -> None:
        """The call ends with the last dialog that carries the caller; an agent's leg ends alone."""
        message, call = heard.message, leg.call
        leg.confirmed.discard(message.from_tag if by_callee else message.to_tag)
        call.cause = _q850(message) or call.cause
        if leg.role is Role.AGENT and by_callee and leg is call.answer_leg:
            call.by = "agent"
        if leg.role not in CARRIERS or call.carried or any(other.confirmed for other in call.legs if other.role in CARRIERS):
            return
        if leg.role is Role.CALLER and call.by is None:
            call.by = "agent" if by_callee else "caller"
        if call.transfer_until > heard.now and call.transfer_role is Role.TRANSFER:
            self._table.wait(call, Timer.TRANSFER, call.transfer_until)
        elif call.state is State.ANSWERED:
            crossed = call.timer is Timer.HOLD
            self._act(heard.news, call, Action.ABANDON if crossed else Action.END, "BYE", heard.now)
        elif not by_callee:  # hung up while waiting; if an answer was lost on the way to us, calling back does no harm
            self._act(heard.news, call, Action.ABANDON, "BYE", heard.now, inferred=not call.queued)
        elif call.queued:
            call.reason = "no_answer"
            self._act(heard.news, call, Action.MISS, "BYE", heard.now)
        else:
            call.reason = "answer_not_seen"
            self._act(heard.news, call, Action.END, "BYE", heard.now, inferred=True)

    def _refer(self, heard: Heard, leg: Leg) -> None:
        """Blind transfer: the INVITE that follows, to this target, continues the call."""
        call = leg.call
        target = heard.message.header("refer-to")
        if call.state is not State.ANSWERED or not target:
            return
        self._transfers.pop(call.transfer_target, None)
        call.transfer_target = NameAddr(target).user[:MAX_NAME]
        call.transfer_until = heard.now + self._options.ring_guard_s
        call.transfer_role = Role.TRANSFER if leg.role in CARRIERS else Role.AGENT
        if call.transfer_target:
            self._transfers[call.transfer_target] = call

    def _refer_progress(self, heard: Heard, leg: Leg) -> None:
        """NOTIFY of a REFER carries the start line of the new leg's answer (message/sipfrag, RFC 3515)."""
        call, body = leg.call, heard.message.body
        if call.transfer_until <= heard.now or body[:8].upper() != b"SIP/2.0 ":
            return
        if body[8:9] == b"2":
            call.carried = call.transfer_role is Role.TRANSFER and not any(other.role is Role.TRANSFER for other in call.legs)
            self._transferred(heard, call, call.transfer_target or None, "NOTIFY", heard.message.to_tag)
        elif body[8:9] in (b"3", b"4", b"5", b"6"):
            call.transfer_until = 0.0

    def _replace(self, heard: Heard, user: str) -> bool:
        """INVITE with Replaces (RFC 3891): attended transfer or pickup. False when the named dialog is not ours."""
        call_id, _, rest = heard.message.header("replaces").partition(";")
        params = parse_params(rest)
        for tag in (params.get("from-tag", ""), params.get("to-tag", "")):
            replaced = self._table.leg(call_id.strip(), tag)
            if replaced is not None and not replaced.call.is_final:
                role = Role.TRANSFER if replaced.role in CARRIERS else Role.AGENT
                known, sender = replaced.call.caller.e164, heard.message.from_.user
                from_caller = known is not None and self._plan.e164(sender) == known
                self._add_leg(replaced.call, role, heard, user if from_caller else sender)
                return True
        return False

    # ---- responses to INVITE

    def _invite_response(self, heard: Heard, leg: Leg | None, by_callee: bool) -> None:
        code = heard.message.code
        if leg is None:
            if code // 100 == 2:
                self._answer_without_invite(heard)
        elif leg.call.is_final or heard.message.cseq < leg.cseq:
            return
        elif by_callee:  # the answer to a re-INVITE that the other side sent
            if code // 100 == 2:
                self._refresh(leg.call, heard)
        elif code < 200:
            self._provisional(heard, leg.call)
        elif code < 300:
            self._success(heard, leg)
        elif leg.role is Role.CALLER and self._is_near(heard, leg):
            self._refusal(heard, leg)

    def _provisional(self, heard: Heard, call: Call) -> None:
        code = heard.message.code
        if call.state is State.ANSWERED or code == 100:
            return
        if call.timer is Timer.RING:
            self._wait(call, Timer.RING, heard.now)
        if code == 182:
            call.waiting = True
        elif code == 180 or (code == 183 and self._options.ring_on_183):
            self._act(heard.news, call, Action.RING, str(code), heard.now)

    def _success(self, heard: Heard, leg: Leg) -> None:
        call, tag = leg.call, heard.message.to_tag
        if tag in leg.confirmed:  # a copy, or a session refreshed
            self._refresh(call, heard)
            return
        if len(leg.confirmed) < MAX_TAGS:
            leg.confirmed.add(tag)
        if leg.role in CARRIERS:
            call.session_s = _session_s(heard.message) or call.session_s
        if leg.role in (Role.CALLER, Role.RELAY):
            if call.state is State.ANSWERED:
                return
            if not self._waits_for_agent_leg(call, leg):
                self._answered(heard, leg)
            elif not call.queued:
                call.queued = True
                self._wait(call, Timer.QUEUE, heard.now)
        elif call.state is not State.ANSWERED:
            call.agent_heard = True
            self._answered(heard, leg)
        elif leg is not call.answer_leg and not leg.rival:
            call.agent_heard = True
            call.answer_leg = leg
            self._transferred(heard, call, self._who_answered(heard, leg), "200", tag)

    def _answered(self, heard: Heard, leg: Leg) -> None:
        call = leg.call
        call.agent = self._who_answered(heard, leg)
        call.answer_leg = leg
        call.queued = False
        for other in call.legs:
            other.rival = other is not leg
        if call.legs[0].cancelled:
            call.apply(Action.ANSWER)
            self._wait(call, Timer.HOLD, heard.now)  # told when it has lasted
            return
        call.by = None
        self._act(heard.news, call, Action.ANSWER, "200", heard.now, suffix=heard.message.to_tag)

    def _transferred(self, heard: Heard, call: Call, agent: str | None, kind_raw: str, tag: str) -> None:
        call.agent = agent[:MAX_NAME] if agent else None
        self._end_transfer(call)
        call.transfer_until = 0.0
        call.by = None
        self._act(heard.news, call, Action.TRANSFER, kind_raw, heard.now, suffix=tag)

    def _refusal(self, heard: Heard, leg: Leg) -> None:
        """A final answer of 300 and above on its last hop to the caller."""
        call, code = leg.call, heard.message.code
        if call.state is State.ANSWERED:
            if not leg.confirmed and code not in _RETRY:  # an agent took it just when the caller gave up
                call.by, call.code = "caller", code
                self._act(heard.news, call, Action.ABANDON, str(code), heard.now)
            return
        call.code = code
        call.cause = _q850(heard.message) or call.cause
        call.reason = _reason(code)
        if code in _RETRY:
            self._wait(call, Timer.AUTH, heard.now)
        elif code < 400:
            self._wait(call, Timer.REDIRECT, heard.now)
        elif code == 487 or leg.cancelled:
            call.reason = None
            call.by = "caller"
            self._act(heard.news, call, Action.ABANDON, str(code), heard.now)
        elif code >= 500 and call.reason == "failure" and not call.queued and call.state is State.OFFERED:
            self._act(heard.news, call, Action.FAIL, str(code), heard.now)
        else:
            self._act(heard.news, call, Action.MISS, str(code), heard.now)

    def _answer_without_invite(self, heard: Heard) -> None:
        """We started late or lost the INVITE: the answer alone names caller, called and dialog. Its way is the INVITE's reversed."""
        heard = replace(heard, source=heard.destination, destination=heard.source)
        message = heard.message
        caller = self._identify(message, heard.source)
        user = message.to.user
        hotline = self._plan.hotline(user)
        joined = self._joins.find(heard.source, caller.number, self._joins.hints(message, ""), user, hotline is not None, message.call_id)
        if joined is not None and hotline is None:
            leg = self._add_leg(joined.call, Role.AGENT, heard, user)
        elif hotline is not None and joined is None:
            self._admit(heard.source[0], heard.now)
            call = Call(call_key(message.call_id, message.from_tag, began_at=heard.began_at), caller, user[:MAX_NAME], hotline)
            self._table.keep(call, heard.source[0])
            leg = self._add_leg(call, Role.CALLER, heard, user)
        else:
            return
        if leg is not None:
            heard.news.inferred = True
            self._success(replace(heard, source=heard.destination, destination=heard.source), leg)

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

    def _add_leg(self, call: Call, role: Role, heard: Heard, user: str) -> Leg | None:
        """None when the call has more legs than anybody rings."""
        if len(call.legs) >= MAX_LEGS:
            return None
        message = heard.message
        leg = Leg(call, role, message.call_id, message.from_tag, heard.source, heard.destination)
        leg.user = user[:MAX_NAME]
        leg.cseq = message.cseq
        leg.vias = message.via_count
        leg.branches.add(message.branch)
        call.legs.append(leg)
        self._table.keep_leg(leg)
        if call.timer is Timer.RING:
            self._wait(call, Timer.RING, heard.now)
        return leg

    def _agent_leg_seen(self, leg: Leg, now: float) -> None:
        """This exchange rings agents with calls of its own: from now on its answer to the caller is a queue's, not an agent's."""
        call = leg.call
        if self._mode(leg.source[0]) == "any":
            return
        self._learn(leg.source[0])
        if call.state is State.ANSWERED and not call.agent_heard and not call.restored and call.apply(Action.REOPEN):
            call.agent = None
            call.answer_leg = None
            call.queued = True
            self._wait(call, Timer.QUEUE, now)

    def _learn(self, host: str) -> None:
        self._agent_leg_exchanges[host] = None
        self._agent_leg_exchanges.move_to_end(host)
        if len(self._agent_leg_exchanges) > MAX_LEARNED:
            self._agent_leg_exchanges.popitem(last=False)

    def _mode(self, host: str) -> str:
        return self._options.answer_on_for.get(host, self._options.answer_on)

    def _waits_for_agent_leg(self, call: Call, leg: Leg) -> bool:
        """Is a 200 to the caller's leg only the queue's?"""
        modes = {host: self._mode(host) for host, _ in leg.destinations}
        if "agent_leg" in modes.values():
            return True
        if not call.restored and any(mode == "auto" and host in self._agent_leg_exchanges for host, mode in modes.items()):
            return True
        return call.has_agent_leg and "any" not in modes.values()

    def _is_near(self, heard: Heard, leg: Leg) -> bool:
        """Is this response on its last hop to the caller? By branch, else by how many Vias are left, else by address."""
        branch = heard.message.branch
        if branch in leg.branches:
            return True
        if branch in leg.forks:
            return False
        return heard.message.via_count <= leg.vias if branch else heard.destination[0] == leg.source[0]

    def _who_answered(self, heard: Heard, leg: Leg) -> str | None:
        """Extension or number of who took the call (sip-call-state, section 4), else the address that answered."""
        message, source, agents = heard.message, heard.source, self._options.agents
        contacts = message.name_addrs("contact")[:1]
        contact = contacts[0].user if contacts else ""
        if contact in agents:
            return contact
        for place in (f"{source[0]}:{source[1]}", source[0]):
            if place in agents:
                return agents[place]
        asserted = message.name_addrs("p-asserted-identity")[:1] if self._trust.covers(source[0]) else []
        asked = leg.forks.get(message.branch)
        if asked is None:
            asked = next(iter(leg.forks.values())) if len(leg.forks) == 1 else leg.user
        for user in (*(address.user for address in asserted), asked, contact, message.to.user):
            if user and self._plan.hotline(user) is None:
                return user[:MAX_NAME]
        return source[0] or None

    # ---- what a call does

    def _act(self, news: News, call: Call, action: Action, kind_raw: str, now: float, suffix: str = "", inferred: bool = False) -> None:
        """Take the transition if the table has it; set the timer of the new state; tell."""
        if not call.apply(action):
            return
        if call.is_final:
            self._joins.drop(call)
            self._end_transfer(call)
            self._end_talk(call)
            self._table.finish(call, now)
        elif call.state is State.ANSWERED:
            self._wait(call, Timer.TALK, now)
            self._talks(call, now)
        kind = KIND[action]
        if kind is not None:
            news.tell(call, kind, kind_raw, suffix, inferred)

    def _wait(self, call: Call, timer: Timer, now: float) -> None:
        options = self._options
        if timer is Timer.TALK:
            seconds = 1.1 * call.session_s if call.session_s else options.talk_guard_s
        elif timer is Timer.RING:
            seconds = options.ring_guard_s
        elif timer is Timer.QUEUE:
            seconds = options.queue_guard_s
        elif timer is Timer.PROOF:
            seconds = options.proof_s
        else:
            seconds = _SECONDS[timer]
        self._table.wait(call, timer, now + seconds)

    def _refresh(self, call: Call, heard: Heard) -> None:
        """A re-INVITE or UPDATE proves that the call is alive (RFC 4028)."""
        call.session_s = _session_s(heard.message) or call.session_s
        if call.timer in (Timer.TALK, Timer.PROOF):
            self._wait(call, Timer.TALK, heard.now)

    def _confirm(self, call: Call, now: float) -> None:
        """After a restart: the call is still there."""
        self._wait(call, Timer.TALK if call.state is State.ANSWERED else Timer.QUEUE if call.queued else Timer.RING, now)

    def _expire(self, news: News, call: Call, now: float) -> None:
        timer = call.timer
        if timer is Timer.FORGET:
            self._forget(call)
        elif timer is Timer.HOLD:
            call.by = None
            self._wait(call, Timer.TALK, now)
            news.tell(call, Kind.CALL_ANSWERED, "200", "held")
        elif timer is Timer.CANCEL:
            self._act(news, call, Action.ABANDON, "timer", now)
        elif timer in (Timer.AUTH, Timer.REDIRECT):
            self._act(news, call, Action.MISS, "timer", now)
        else:
            answered = call.state is State.ANSWERED
            call.reason = call.doubt if timer is Timer.PROOF else _SILENCE.get(timer, "no_bye_seen" if answered else "no_final_answer")
            self._act(news, call, Action.END if answered else Action.MISS, "timer", now, inferred=True)

    def _talks(self, call: Call, now: float) -> None:
        """Caller and agent are in this call now: any other one of the same agent is in doubt."""
        self._end_talk(call)
        if call.agent in self._options.agents:  # else it may be a queue or an address, which takes many at a time
            self._doubt(f"agent:{call.agent}", call, "agent_took_another", now)
            call.talking.append(f"agent:{call.agent}")
        if call.caller.e164:
            call.talking.append(f"caller:{call.caller.e164}")
        for key in call.talking:
            self._talking[key] = call

    def _end_talk(self, call: Call) -> None:
        for key in call.talking:
            if self._talking.get(key) is call:
                del self._talking[key]
        call.talking = []

    def _doubt(self, key: str, other: Call, reason: str, now: float) -> None:
        """Whoever is in a call and begins another has probably ended the first, and we have not seen its BYE. A call on hold is none of those.

        Only from the same exchange or trunk: anybody can write anybody's number into From.
        """
        call = self._talking.get(key)
        if call is None or call is other or call.timer is not Timer.TALK or call.held or call.source_host != other.source_host:
            return
        if not self._options.proof_s:
            return
        call.doubt = reason
        self._wait(call, Timer.PROOF, now)

    def _end_transfer(self, call: Call) -> None:
        if self._transfers.get(call.transfer_target) is call:
            del self._transfers[call.transfer_target]

    def _forget(self, call: Call) -> None:
        self._end_transfer(call)
        self._end_talk(call)
        self._joins.drop(call)
        self._table.forget(call)


def _reason(code: int) -> str:
    if code in _NOT_FOUND:
        return "not_found"
    return "redirected" if code < 400 else _REASON.get(code, "failure")


def _is_hold(body: bytes, before: bool) -> bool:
    """Does this offer put the other side on hold (RFC 3264, 8.4; c=0.0.0.0 is the older way)? Without SDP it says nothing."""
    if b"m=audio" not in body:
        return before
    return b"a=sendonly" in body or b"a=inactive" in body or b"c=IN IP4 0.0.0.0" in body


def _q850(message: Message) -> int | None:
    """Q.850 cause out of a Reason header (RFC 3326)."""
    for value in message.values("reason"):
        protocol, _, params = value.partition(";")
        cause = parse_params(params).get("cause", "")
        if protocol.strip().upper() == "Q.850" and cause.isascii() and cause.isdigit() and len(cause) <= 3:
            return int(cause)
    return None


def _session_s(message: Message) -> float | None:
    """Session-Expires in seconds (RFC 4028), never below the least interval the standard allows."""
    text = message.header("session-expires").partition(";")[0].strip()
    return max(float(text), MIN_SESSION_S) if text.isascii() and text.isdigit() and len(text) < 9 else None
