"""The calls of one exchange, as its control protocol tells them: keys, states and news. AMI and ESL both write into it.

States and transitions are those of `drivers.sip.call`, and so are the names in a signal's detail: whoever reads calls further on does not
see which wire they came over. Sans-I/O; `now` is monotonic seconds, `at` the exchange's own time, aware UTC, or None.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import msgspec

from drivers.contract import Signal
from drivers.sip.call import FINAL, KIND, TRANSITIONS, Action, State
from drivers.sip.caller import MAX_NAME, Caller
from drivers.sip.number import NumberPlan
from gateway.event import Kind

MAX_CALLS = 20_000  # live calls of one exchange; the largest Asterisk carries a few thousand
MAX_LEGS = 64  # channels of one call: a ring-all queue rings some dozens of agents
FINAL_S = 40.0  # a final call is remembered so long, so that stragglers do not open it again
TALK_GUARD_S = 14_400.0  # a call that nobody ended for us; as on the SIP side


class LedgerCall:
    """One call. `legs`: the exchange's own names of its channels; `announced`: the kinds told, so that each is told once."""

    __slots__ = (
        "agent", "announced", "answered_at", "by", "called", "caller", "cause", "gone_at", "heard_at", "hotline", "key", "legs", "queue", "reason",
        "restored", "state", "token", "transferred",
    )  # fmt: skip

    def __init__(self, key: str, token: str, caller: Caller, called: str, hotline: str, now: float) -> None:
        self.key = key
        self.token = token
        self.caller = caller
        self.called = called
        self.hotline = hotline
        self.state = State.OFFERED
        self.agent: str | None = None
        self.queue: str | None = None
        self.by: str | None = None
        self.reason: str | None = None
        self.cause: int | str | None = None
        self.legs: set[str] = set()
        self.announced: set[Kind] = set()
        self.answered_at: float | None = None
        self.heard_at = now
        self.gone_at: float | None = None
        self.restored = False
        self.transferred = 0

    @property
    def is_final(self) -> bool:
        return self.state in FINAL


class LedgerRecord(msgspec.Struct, frozen=True):
    """What `restore` needs out of a detail; everything else in it is for people."""

    call: str
    exchange_call: str
    state: str
    caller: str = ""
    caller_e164: str | None = None
    caller_name: str = ""
    identity_source: str = "none"
    verified: bool = False
    presentation: str = "allowed"
    redirecting: str = ""
    called: str = ""
    hotline: str = ""
    agent: str | None = None
    queue: str | None = None


class Ledger:
    """All calls of one line. Each step gives the signals that are news; a step that means nothing in the call's state gives none."""

    def __init__(self, line: str, plan: NumberPlan, agents: Mapping[str, str], source: str) -> None:
        """line: makes keys unique among exchanges; agents: extension → name shown; source: ami or esl, the caller's `identity_source`."""
        self._line = line
        self._plan = plan
        self._agents = agents
        self._source = source
        self._calls: dict[str, LedgerCall] = {}  # by the exchange's own token
        self._by_key: dict[str, LedgerCall] = {}
        self._finals: dict[str, float] = {}  # token → when it became final; in that order
        self.refused = 0  # calls there was no room for

    def __len__(self) -> int:
        """Calls in progress."""
        return len(self._calls) - len(self._finals)

    def __iter__(self) -> Iterator[LedgerCall]:
        """Calls in progress."""
        return iter([call for call in self._calls.values() if not call.is_final])

    def call(self, token: str) -> LedgerCall | None:
        """By the exchange's own name of it (Linkedid, Unique-ID), final ones of the last seconds included."""
        return self._calls.get(token)

    def find(self, key: str) -> LedgerCall | None:
        """A call in progress by the key under which its events went out."""
        call = self._by_key.get(key)
        return None if call is None or call.is_final else call

    def caller(self, raw: str, name: str = "", *, verified: bool = False, restricted: bool = False, redirecting: str = "") -> Caller:
        """A caller as the exchange tells it; "" for nobody."""
        e164 = self._plan.e164(raw) if raw else None
        return Caller(
            raw=raw[:MAX_NAME],
            e164=e164,
            name=name[:MAX_NAME],
            source=self._source if raw else "none",
            verified=verified and bool(raw),
            presentation="restricted" if restricted else "allowed",
            redirecting=redirecting[:MAX_NAME],
        )

    def hotline(self, called: str) -> str | None:
        """The hotline that a dialled number means."""
        return self._plan.hotline(called)

    # ---- steps

    def offer(
        self, token: str, caller: Caller, called: str, hotline: str, now: float, at: datetime | None, raw: bytes, kind_raw: str
    ) -> list[Signal]:
        """A call at the hotline has begun. Known tokens give nothing."""
        self._forget(now)
        if token in self._calls:
            return []
        if len(self) >= MAX_CALLS:
            self.refused += 1
            return []
        call = LedgerCall(self._key(token), token, caller, called[:MAX_NAME], hotline, now)
        self._calls[token] = self._by_key[call.key] = call
        return [self._news(call, Kind.CALL_OFFERED, at, raw, kind_raw)]

    def ring(self, call: LedgerCall, now: float, at: datetime | None, raw: bytes, kind_raw: str) -> list[Signal]:
        """Somebody's telephone rings; told once."""
        return self._step(call, Action.RING, now, at, raw, kind_raw)

    def answer(self, call: LedgerCall, agent: str, now: float, at: datetime | None, raw: bytes, kind_raw: str) -> list[Signal]:
        """An agent took it. Another agent after that is a transfer."""
        if call.state is State.ANSWERED:
            return self.transfer(call, agent, now, at, raw, kind_raw) if agent and agent != call.agent else []
        call.agent = agent[:MAX_NAME] or None
        call.answered_at = now
        return self._step(call, Action.ANSWER, now, at, raw, kind_raw)

    def transfer(self, call: LedgerCall, agent: str, now: float, at: datetime | None, raw: bytes, kind_raw: str) -> list[Signal]:
        """Another agent has it now."""
        call.agent = agent[:MAX_NAME] or None
        call.transferred += 1
        return self._step(call, Action.TRANSFER, now, at, raw, kind_raw)

    def learn(self, call: LedgerCall, caller: Caller, at: datetime | None, raw: bytes, kind_raw: str) -> list[Signal]:
        """The exchange has learnt the caller's number late. Told again as the state the call is in, with `correction`."""
        if not caller.raw or caller.number == call.caller.number or call.is_final:
            return []
        call.caller = caller
        kind = Kind.CALL_ANSWERED if call.state is State.ANSWERED else Kind.CALL_RINGING if call.state is State.RINGING else Kind.CALL_OFFERED
        return [self._news(call, kind, at, raw, kind_raw, correction=True)]

    def lose(
        self, call: LedgerCall, by_caller: bool, reason: str, now: float, at: datetime | None, raw: bytes, kind_raw: str, inferred: bool = False
    ) -> list[Signal]:
        """Over, and nobody took it: abandoned by the caller, or missed for this reason (busy, no_answer, queue_timeout, declined, failure …)."""
        call.by = "caller" if by_caller else call.by
        call.reason = reason or None
        return self._step(call, Action.ABANDON if by_caller else Action.MISS, now, at, raw, kind_raw, inferred)

    def end(
        self, call: LedgerCall, by: str | None, now: float, at: datetime | None, raw: bytes, kind_raw: str, reason: str = "", inferred: bool = False
    ) -> list[Signal]:
        """Over after somebody had taken it, or (inferred) nobody knows how."""
        call.by = by
        call.reason = reason or call.reason
        return self._step(call, Action.END, now, at, raw, kind_raw, inferred)

    def lose_sight(self, present: Iterable[str], now: float, reason: str) -> list[Signal]:
        """After a reconnect: calls that the exchange does not list any more have ended unseen; one that was never taken needs a call back."""
        still = set(present)
        found: list[Signal] = []
        for call in [call for call in self._calls.values() if not call.is_final and call.token not in still]:
            found += self.end(call, None, now, None, b"", "snapshot", reason, inferred=True)
        return found

    def deadline(self) -> float | None:
        """When the oldest call in progress has been silent for too long."""
        live = [call.heard_at for call in self._calls.values() if not call.is_final]
        return min(live) + TALK_GUARD_S if live else None

    def handle_deadline(self, now: float) -> list[Signal]:
        """Calls that nobody ended for us are ended as inferred."""
        found: list[Signal] = []
        for call in [call for call in self._calls.values() if not call.is_final and call.heard_at + TALK_GUARD_S <= now]:
            found += self.end(call, None, now, None, b"", "timer", "no_end_seen", inferred=True)
        return found

    def restore(self, records: Iterable[Mapping[str, object]], now: float) -> int:
        """Take up live calls again; the first snapshot after the login confirms or ends them."""
        taken = 0
        for record in records:
            try:
                kept = msgspec.convert(record, LedgerRecord)
                state = State(kept.state)
            except (msgspec.ValidationError, ValueError):
                continue
            if state in FINAL or kept.exchange_call in self._calls:
                continue
            caller = Caller(
                raw=kept.caller, e164=kept.caller_e164, name=kept.caller_name, source=kept.identity_source, verified=kept.verified,
                presentation=kept.presentation, redirecting=kept.redirecting,
            )  # fmt: skip
            call = LedgerCall(kept.call, kept.exchange_call, caller, kept.called, kept.hotline, now)
            call.state, call.agent, call.queue, call.restored = state, kept.agent, kept.queue, True
            call.announced |= {Kind.CALL_OFFERED} | ({Kind.CALL_RINGING} if state is not State.OFFERED else set())
            call.announced |= {Kind.CALL_ANSWERED} if state is State.ANSWERED else set()
            self._calls[call.token] = self._by_key[call.key] = call
            taken += 1
        return taken

    def merge(self, into: LedgerCall, other: LedgerCall) -> None:
        """The exchange joined two calls (attended transfer, conference): the elder goes on, the other is the same call from now on."""
        into.legs |= other.legs
        self._calls[other.token] = into
        self._by_key[other.key] = into

    # ---- inside

    def _key(self, token: str) -> str:
        return hashlib.blake2b(f"{self._line}\0{token}".encode("utf-8", "replace"), digest_size=12).hexdigest()

    def _step(
        self, call: LedgerCall, action: Action, now: float, at: datetime | None, raw: bytes, kind_raw: str, inferred: bool = False
    ) -> list[Signal]:
        target = TRANSITIONS[call.state].get(action)
        if target is None:
            return []
        call.state = target
        call.heard_at = now
        if call.is_final:
            self._finals[call.token] = call.gone_at = now
        kind = KIND[action]
        return [] if kind is None else [self._news(call, kind, at, raw, kind_raw, inferred)]

    def _forget(self, now: float) -> None:
        for token, since in list(self._finals.items()):
            if now - since < FINAL_S:
                return
            call = self._calls.pop(token, None)
            self._finals.pop(token, None)
            if call is not None and self._by_key.get(call.key) is call:
                del self._by_key[call.key]

    def _news(
        self, call: LedgerCall, kind: Kind, at: datetime | None, raw: bytes, kind_raw: str, inferred: bool = False, correction: bool = False
    ) -> Signal:
        dedup = f"{call.key}:{kind.value}"
        if kind is Kind.CALL_TRANSFERRED:
            dedup += f":{call.transferred}"
        elif correction:
            dedup += f":{call.caller.number}"
        call.announced.add(kind)
        caller = call.caller
        detail: dict[str, object] = {
            "call": call.key,
            "exchange_call": call.token,
            "state": call.state.value,
            "caller": caller.raw,
            "caller_e164": caller.e164,
            "identity_source": caller.source,
            "verified": caller.verified,
            "presentation": caller.presentation,
            "called": call.called,
            "hotline": call.hotline,
        }
        facts: dict[str, object] = {
            "caller_name": caller.name,
            "redirecting": caller.redirecting,
            "agent": call.agent,
            "agent_name": self._agents.get(call.agent or "", ""),
            "queue": call.queue,
            "inferred": inferred,
            "correction": correction,
        }
        if call.is_final:
            facts |= {"reason": call.reason, "cause": call.cause, "by": call.by}
        detail.update((name, value) for name, value in facts.items() if value)
        return Signal(
            kind=kind,
            kind_raw=kind_raw,
            device=caller.number,
            dedup=dedup,
            time=at,
            integrity="verified" if caller.verified else "unverified",
            detail=detail,
            raw=raw,
        )
