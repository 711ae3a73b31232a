"""Client transactions that are not INVITE: one request of ours to one hop, repeated over UDP until it is answered (RFC 3261, 17.1.2)."""

import heapq
import secrets
from collections.abc import Callable
from enum import StrEnum

from drivers.sip.hop import Hop, same_address, top_via
from drivers.sip.message import MalformedMessage, Message

T1_S = 0.5
T2_S = 4.0
T4_S = 5.0  # how long an answer may still be repeated over UDP (Timer K); 0 on streams
TIMER_F_S = 64 * T1_S
MAX_CLIENT_TRANSACTIONS = 10_000  # answers to as many alarms at once; beyond that asking has failed
MAX_OCTETS = 16 * 1024 * 1024  # of them all: twice the size that UDP allows each, for a request of ours repeats addresses that the peer chose


class State(StrEnum):
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    TERMINATED = "terminated"


class Action(StrEnum):
    PROVISIONAL = "provisional"
    FINAL = "final"
    FAIL = "fail"  # Timer F, or the transport says that it cannot
    FORGET = "forget"  # Timer K


TRANSITIONS: dict[State, dict[Action, State]] = {
    State.TRYING: {Action.PROVISIONAL: State.PROCEEDING, Action.FINAL: State.COMPLETED, Action.FAIL: State.TERMINATED},
    State.PROCEEDING: {Action.PROVISIONAL: State.PROCEEDING, Action.FINAL: State.COMPLETED, Action.FAIL: State.TERMINATED},
    State.COMPLETED: {Action.FORGET: State.TERMINATED},
    State.TERMINATED: {},
}

Done = Callable[[Message | None, str, float], None]
"""(the final answer or None, why there is none: timeout, unreachable, connection_lost, stopped; monotonic seconds)"""


class ClientTransaction:
    """data: what is sent, the same each time. next_send: Timer E; over streams never."""

    __slots__ = ("branch", "data", "done", "fails_at", "forget_at", "hop", "interval", "method", "next_send", "state")

    def __init__(self, branch: str, method: str, hop: Hop, data: bytes, done: Done, now: float) -> None:
        self.branch = branch
        self.method = method
        self.hop = hop
        self.data = data
        self.done = done
        self.state = State.TRYING
        self.interval = T1_S
        self.next_send = float("inf") if hop.is_stream else now + T1_S
        self.fails_at = now + TIMER_F_S
        self.forget_at = float("inf")

    @property
    def wakes_at(self) -> float:
        if self.state is State.COMPLETED:
            return self.forget_at
        return min(self.next_send, self.fails_at)


class ClientTransactions:
    """All of one line, by branch. `send` is called for each transmission. waiting: those without a final answer."""

    def __init__(self, send: Callable[[ClientTransaction], None]) -> None:
        self._send = send
        self._by_branch: dict[str, ClientTransaction] = {}
        self.waiting = 0  # kept, not counted: the line asks after every datagram
        self._octets = 0
        self._timers: list[tuple[float, str]] = []  # heap; entries of ended or changed transactions are skipped

    def __len__(self) -> int:
        return len(self._by_branch)

    def begin(self, branch: str, method: str, hop: Hop, data: bytes, done: Done, now: float) -> None:
        """Send it; `done` is called exactly once, perhaps at once when there is no room."""
        if len(self._by_branch) >= MAX_CLIENT_TRANSACTIONS or self._octets + len(data) > MAX_OCTETS:
            done(None, "too_many", now)
            return
        transaction = ClientTransaction(branch, method, hop, data, done, now)
        self._by_branch[branch] = transaction
        self._octets += len(data)
        self.waiting += 1
        self._set_timer(transaction)
        self._send(transaction)

    def receive(self, response: Message, now: float) -> bool:
        """False: it answers nothing that we asked (or the top Via is not ours)."""
        try:
            via = top_via(response)
        except MalformedMessage:
            return False
        found = self._by_branch.get(via.params.get("branch", ""))
        if found is None or response.cseq_method != found.method or not same_address(via.host, found.hop.local[0]):
            return False
        action = Action.FINAL if response.code >= 200 else Action.PROVISIONAL
        target = TRANSITIONS[found.state].get(action)
        if target is None:
            return True  # the answer repeated
        found.state = target
        if action is Action.PROVISIONAL:  # it has arrived: ask again only now and then
            if not found.hop.is_stream:
                found.interval, found.next_send = T2_S, now + T2_S
        else:
            self.waiting -= 1
            found.forget_at = now + (0.0 if found.hop.is_stream else T4_S)
            if found.hop.is_stream:
                self._end(found, Action.FORGET)
        self._set_timer(found)
        if action is Action.FINAL:
            found.done(response, "", now)
        return True

    def fail(self, branch: str, reason: str, now: float) -> None:
        """The transport could not send it, or the connection is gone. Over UDP the timers go on, as the next try may succeed."""
        found = self._by_branch.get(branch)
        if found is not None and Action.FAIL in TRANSITIONS[found.state]:
            self._end(found, Action.FAIL)
            found.done(None, reason, now)

    def fail_socket(self, socket: int, now: float) -> None:
        """A connection is gone: what was asked over it will not be answered."""
        for found in [one for one in self._by_branch.values() if one.hop.socket == socket]:
            self.fail(found.branch, "connection_lost", now)

    def fail_all(self, reason: str, now: float) -> None:
        """The line ends: nobody will hear an answer."""
        for found in list(self._by_branch.values()):
            self.fail(found.branch, reason, now)

    def deadline(self) -> float | None:
        while self._timers:
            at, branch = self._timers[0]
            found = self._by_branch.get(branch)
            if found is not None and found.wakes_at == at:
                return at
            heapq.heappop(self._timers)
        return None

    def handle_deadline(self, now: float) -> None:
        """Send again, give up, forget."""
        while (at := self.deadline()) is not None and at <= now:
            found = self._by_branch[heapq.heappop(self._timers)[1]]
            if found.state is State.COMPLETED:
                self._end(found, Action.FORGET)
            elif found.fails_at <= now:
                self.fail(found.branch, "timeout", now)
            else:
                found.interval = T2_S if found.state is State.PROCEEDING else min(2 * found.interval, T2_S)
                found.next_send = now + found.interval
                self._set_timer(found)
                self._send(found)

    def _set_timer(self, transaction: ClientTransaction) -> None:
        if transaction.state is not State.TERMINATED:
            heapq.heappush(self._timers, (transaction.wakes_at, transaction.branch))

    def _end(self, transaction: ClientTransaction, action: Action) -> None:
        if transaction.state is not State.COMPLETED:
            self.waiting -= 1
        transaction.state = TRANSITIONS[transaction.state][action]
        if self._by_branch.pop(transaction.branch, None) is not None:
            self._octets -= len(transaction.data)


def new_branch() -> str:
    """Unique over space and time: 96 random bits behind the cookie."""
    return "z9hG4bK" + secrets.token_hex(12)


def new_token() -> str:
    """A tag or the left part of a Call-ID."""
    return secrets.token_hex(8)
