"""The calls of one exchange, as its control protocol tells them: keys, states and news. AMI and ESL both write into it.

States and transitions are those of `drivers.calls.call`, and so are the names in a signal's detail: whoever reads calls further on does not
see which wire they came over. Sans-I/O; `now` is monotonic seconds, `at` the exchange's own time, aware UTC, or None.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import msgspec

from drivers.calls.call import FINAL, KIND, TRANSITIONS, Action, State
from drivers.contract import Signal
from drivers.sip.caller import MAX_NAME, Caller
from drivers.sip.number import NumberPlan
from gateway.event import Kind

MAX_CALLS = 20_000  # live calls of one exchange; the largest Asterisk carries a few thousand
MAX_ALIASES = 16  # names that one call has had; each merge adds one
FORGET_AT_ONCE = 64  # final calls forgotten when a new one begins: keeps up with any rush, and is never long
FINAL_S = 40.0  # a final call is remembered so long, so that stragglers do not open it again
TALK_GUARD_S = 14_400.0  # a call that nobody ended for us; as on the SIP side


class LedgerCall:
    """One call. `token`: the exchange's own name of it; `aliases`: other names it has had; `facts`: more for the detail, JSON values only.

    memory: what the reader of this protocol wants to remember of the call; nobody else looks at it.
    """

    __slots__ = (
        "agent", "agent_name", "aliases", "by", "called", "caller", "cause", "facts", "heard_at", "hotline", "key", "memory", "opened_at", "queue",
        "reason", "restored", "state", "token", "transferred",
    )  # fmt: skip

    def __init__(self, key: str, token: str, caller: Caller, called: str, hotline: str, now: float) -> None:
        self.key = key
        self.token = token
        self.caller = caller
        self.called = called
        self.hotline = hotline
        self.state = State.OFFERED
        self.agent: str | None = None
        self.agent_name = ""  # as the exchange names the agent; the configuration's name goes before it
        self.queue: str | None = None
        self.by: str | None = None
        self.reason: str | None = None
        self.cause: int | str | None = None
        self.aliases: list[str] = []
        self.facts: dict[str, object] = {}
        self.memory: object = None
        self.opened_at = self.heard_at = now
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
    transfers: int = 0


class Ledger:
    """All calls of one line. Each step gives the signals that are news; a step that means nothing in the call's state gives none."""

    def __init__(self, line: str, plan: NumberPlan, agents: Mapping[str, str], source: str) -> None:
        """line: makes keys unique among exchanges; agents: extension → name shown; source: ami or esl, the caller's `identity_source`."""
        self._line = line
        self._plan = plan
        self._agents = agents
        self._source = source
        self._calls: dict[str, LedgerCall] = {}  # by the exchange's own token, and by aliases
        self._live: dict[str, LedgerCall] = {}  # by token; heard of longest ago first
        self._by_key: dict[str, LedgerCall] = {}
        self._finals: dict[str, float] = {}  # token → when it became final; in that order
        self.refused = 0  # calls there was no room for

    def __len__(self) -> int:
        """Calls in progress."""
        return len(self._live)

    def __iter__(self) -> Iterator[LedgerCall]:
        """Calls in progress."""
        return iter(list(self._live.values()))

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
        self,
        token: str,
        caller: Caller,
        called: str,
        hotline: str,
        now: float,
        at: datetime | None,
        raw: bytes,
        kind_raw: str,
        inferred: bool = False,
    ) -> list[Signal]:
        """A call at the hotline has begun; inferred: it was found in progress. Known tokens give nothing."""
        self._forget(now)
        if token in self._calls:
            return []
        if len(self) >= MAX_CALLS:
            self.refused += 1
            return []
        call = LedgerCall(self._key(token), token, caller, called[:MAX_NAME], hotline, now)
        self._calls[token] = self._by_key[call.key] = self._live[token] = call
        return [self._news(call, Kind.CALL_OFFERED, at, raw, kind_raw, inferred)]

    def ring(self, call: LedgerCall, now: float, at: datetime | None, raw: bytes, kind_raw: str) -> list[Signal]:
        """Somebody's telephone rings; told once."""
        return self._step(call, Action.RING, now, at, raw, kind_raw)

    def answer(
        self, call: LedgerCall, agent: str, now: float, at: datetime | None, raw: bytes, kind_raw: str, inferred: bool = False
    ) -> list[Signal]:
        """An agent took it. Another agent after that is a transfer."""
        agent = agent[:MAX_NAME]
        if call.state is State.ANSWERED:
            return self.transfer(call, agent, now, at, raw, kind_raw, inferred) if agent and agent != call.agent else []
        if not call.is_final:
            call.agent = agent or None
        return self._step(call, Action.ANSWER, now, at, raw, kind_raw, inferred)

    def transfer(
        self, call: LedgerCall, agent: str, now: float, at: datetime | None, raw: bytes, kind_raw: str, inferred: bool = False
    ) -> list[Signal]:
        """Another agent has it now."""
        if call.state is State.ANSWERED:
            call.agent = agent[:MAX_NAME] or None
            call.transferred += 1
        return self._step(call, Action.TRANSFER, now, at, raw, kind_raw, inferred)

    def learn(self, call: LedgerCall, caller: Caller, at: datetime | None, raw: bytes, kind_raw: str) -> list[Signal]:
        """The exchange has learnt the caller's number late. Told again as the state the call is in, with `correction`."""
        if call.is_final or not caller.raw or caller.number == call.caller.number:
            return []
        call.caller = caller
        kind = Kind.CALL_ANSWERED if call.state is State.ANSWERED else Kind.CALL_RINGING if call.state is State.RINGING else Kind.CALL_OFFERED
        return [self._news(call, kind, at, raw, kind_raw, correction=True)]

    def lose(
        self, call: LedgerCall, by_caller: bool, reason: str, now: float, at: datetime | None, raw: bytes, kind_raw: str, inferred: bool = False
    ) -> list[Signal]:
        """Over, and nobody took it: abandoned by the caller, or missed for this reason (busy, no_answer, queue_timeout, declined, failure …)."""
        if call.is_final:
            return []
        call.by = "caller" if by_caller else call.by
        call.reason = reason or None
        return self._step(call, Action.ABANDON if by_caller else Action.MISS, now, at, raw, kind_raw, inferred)

    def end(
        self, call: LedgerCall, by: str | None, now: float, at: datetime | None, raw: bytes, kind_raw: str, reason: str = "", inferred: bool = False
    ) -> list[Signal]:
        """Over after somebody had taken it, or (inferred) nobody knows how."""
        if call.is_final:
            return []
        call.by = by
        call.reason = reason or call.reason
        return self._step(call, Action.END, now, at, raw, kind_raw, inferred)

    def lose_sight(self, present: Iterable[str], now: float, reason: str, opened_before: float = float("inf")) -> list[Signal]:
        """After a reconnect: calls that the exchange does not list any more have ended unseen; one that was never taken needs a call back.

        opened_before: when the list was asked for: it knows nothing of younger calls.
        """
        still = set(present)
        found: list[Signal] = []
        for call in self:
            if call.opened_at < opened_before and still.isdisjoint((call.token, *call.aliases)):
                found += self.end(call, None, now, None, b"", "snapshot", reason, inferred=True)
        return found

    def deadline(self) -> float | None:
        """When the call of which nothing was heard for longest has been silent for too long."""
        for call in self._live.values():
            return call.heard_at + TALK_GUARD_S
        return None

    def handle_deadline(self, now: float) -> list[Signal]:
        """Calls that nobody ended for us are ended as inferred."""
        found: list[Signal] = []
        for call in self:
            if call.heard_at + TALK_GUARD_S > now:
                break
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
            if state in FINAL or kept.exchange_call in self._calls or len(self) >= MAX_CALLS:
                continue
            caller = Caller(
                raw=kept.caller, e164=kept.caller_e164, name=kept.caller_name, source=kept.identity_source, verified=kept.verified,
                presentation=kept.presentation, redirecting=kept.redirecting,
            )  # fmt: skip
            call = LedgerCall(kept.call, kept.exchange_call, caller, kept.called, kept.hotline, now)
            call.state, call.agent, call.queue, call.restored = state, kept.agent, kept.queue, True
            call.transferred = kept.transfers  # goes on counting: each transfer has its own identity
            self._calls[call.token] = self._by_key[call.key] = self._live[call.token] = call
            taken += 1
        return taken

    def alias(self, call: LedgerCall, token: str) -> None:
        """The exchange calls it by another name from now on."""
        if token not in self._calls and len(call.aliases) < MAX_ALIASES:
            call.aliases.append(token)
            self._calls[token] = call

    def merge(self, into: LedgerCall, other: LedgerCall, now: float, at: datetime | None, raw: bytes, kind_raw: str) -> list[Signal]:
        """The exchange joined two calls (attended transfer, conference): the elder goes on, and the other ends in it.

        Whoever asks for the other by key or token finds the elder from now on.
        """
        if into is other or into.is_final or other.is_final:
            return []
        other.facts["merged_into"] = into.key
        found = self.end(other, None, now, at, raw, kind_raw, "merged")
        del self._finals[other.token]
        for token in (other.token, *other.aliases):
            self._calls.pop(token, None)
            self.alias(into, token)
        del self._by_key[other.key]
        merged = into.facts.get("merged", [])
        if isinstance(merged, list) and len(merged) < MAX_ALIASES:  # a new list: events told before hold the old one
            self._by_key[other.key] = into
            into.facts["merged"] = [*merged, other.key]
        return found

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
        self._live.pop(call.token, None)
        if call.is_final:
            self._finals[call.token] = now
        else:
            self._live[call.token] = call
        kind = KIND[action]
        return [] if kind is None else [self._news(call, kind, at, raw, kind_raw, inferred)]

    def _forget(self, now: float) -> None:
        for token, since in list(itertools.islice(self._finals.items(), FORGET_AT_ONCE)):
            if now - since < FINAL_S:
                return
            del self._finals[token]
            call = self._calls.pop(token, None)
            if call is None:
                continue
            for alias in call.aliases:
                self._calls.pop(alias, None)
            self._by_key.pop(call.key, None)
            merged = call.facts.get("merged")
            for key in merged if isinstance(merged, list) else ():
                self._by_key.pop(key, None)

    def _news(
        self, call: LedgerCall, kind: Kind, at: datetime | None, raw: bytes, kind_raw: str, inferred: bool = False, correction: bool = False
    ) -> Signal:
        dedup = f"{call.key}:{kind.value}"
        if kind is Kind.CALL_TRANSFERRED:
            dedup += f":{call.transferred}"
        elif correction:
            dedup += f":{call.caller.number}"
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
            "agent_name": self._agents.get(call.agent or "") or call.agent_name,
            "queue": call.queue,
            "transfers": call.transferred,
            "inferred": inferred,
            "correction": correction,
            **call.facts,
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
