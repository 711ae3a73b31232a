"""Server transactions that are not INVITE: one request, one final answer, repeated byte for byte while it may be asked for (RFC 3261, 17.2.2)."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from enum import StrEnum

from drivers.sip.hop import Hop, Via
from drivers.sip.message import Message

T1_S = 0.5
TIMER_J_S = 64 * T1_S  # how long a repeated request may still come over UDP; 0 on streams
TRYING_S = 3.5  # RFC 4320, 4.1: no 100 before Timer E of the other side has reached T2
GIVE_UP_S = 10.0  # sip-ua.md, section 3: undecided so long, the sender had better go elsewhere
# Thirty-two seconds of 3,000 requests a second, far above any alarm network; about 200 MB when full.
MAX_TRANSACTIONS = 100_000
# Of the answers that are kept: so many of 600 octets, the usual size. What they repeat of a request may be a hundred times as long.
MAX_ANSWERS = 64 * 1024 * 1024
COOKIE = "z9hG4bK"


class State(StrEnum):
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    TERMINATED = "terminated"


class Action(StrEnum):
    PROVISIONAL = "provisional"
    FINAL = "final"
    FORGET = "forget"  # Timer J, or there is no room


TRANSITIONS: dict[State, dict[Action, State]] = {
    State.TRYING: {Action.PROVISIONAL: State.PROCEEDING, Action.FINAL: State.COMPLETED},
    State.PROCEEDING: {Action.PROVISIONAL: State.PROCEEDING, Action.FINAL: State.COMPLETED},
    State.COMPLETED: {Action.FORGET: State.TERMINATED},
    State.TERMINATED: {},
}

Key = tuple[bytes, int]


class ServerTransaction:
    """One request on its way to an answer. response: the last one sent; code: of it, 0 before.

    followers: merged requests (8.2.2.2), all of them at the one that came first (`leader`), however many there are.
    """

    __slots__ = ("began", "code", "completed_at", "followers", "hop", "key", "leader", "merged_key", "request", "response", "state", "tag")

    def __init__(self, key: Key, merged_key: Key, request: Message, hop: Hop, tag: str, now: float) -> None:
        self.key = key
        self.merged_key = merged_key
        self.request: Message | None = request
        self.hop = hop
        self.tag = tag
        self.began = now
        self.completed_at = 0.0
        self.state = State.TRYING
        self.response = b""
        self.code = 0
        self.followers: list[ServerTransaction] = []
        self.leader = self

    def lead(self, other: "ServerTransaction") -> None:
        """The same request has come again under another branch: it hears what this one hears."""
        other.leader = self.leader
        self.leader.followers.append(other)

    @property
    def is_decided(self) -> bool:
        return self.state in (State.COMPLETED, State.TERMINATED)


class ServerTransactions:
    """All of one line, bounded. `evicted` counts completed ones that went early for want of room."""

    def __init__(self, limit: int = MAX_TRANSACTIONS) -> None:
        self._limit = limit
        self._by_key: dict[Key, ServerTransaction] = {}
        self._by_merged: dict[Key, ServerTransaction] = {}
        self._trying: OrderedDict[Key, ServerTransaction] = OrderedDict()  # in order of arrival
        self._proceeding: OrderedDict[Key, ServerTransaction] = OrderedDict()  # ... and these too
        self._completed: OrderedDict[Key, ServerTransaction] = OrderedDict()  # in order of completion, so of Timer J
        self._answers = 0  # octets of the answers of completed ones
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def undecided(self) -> int:
        return len(self._trying) + len(self._proceeding)

    def find(self, key: Key) -> ServerTransaction | None:
        return self._by_key.get(key)

    def merged(self, key: Key) -> ServerTransaction | None:
        """The transaction of the very same request under another branch, unless it was refused: then the sender tries again, rightly."""
        found = self._by_merged.get(key)
        return found if found is not None and (not found.is_decided or 200 <= found.code < 300) else None

    def begin(self, key: Key, merged_key: Key, request: Message, hop: Hop, tag: str, now: float) -> ServerTransaction | None:
        """None when there is no room: everything in the table is undecided."""
        if len(self._by_key) >= self._limit:
            if not self._completed:
                return None
            self._evict()
        transaction = ServerTransaction(key, merged_key, request, hop, tag, now)
        self._by_key[key] = self._trying[key] = transaction
        self._by_merged[merged_key] = transaction
        return transaction

    def answer(self, transaction: ServerTransaction, code: int, response: bytes, now: float) -> bool:
        """Remember what is sent. False: it was decided already, send nothing."""
        target = TRANSITIONS[transaction.state].get(Action.FINAL if code >= 200 else Action.PROVISIONAL)
        if target is None:
            return False
        transaction.state, transaction.code, transaction.response = target, code, response
        self._trying.pop(transaction.key, None)
        if target is State.PROCEEDING:
            self._proceeding[transaction.key] = transaction
        else:
            self._proceeding.pop(transaction.key, None)
            transaction.completed_at = now
            transaction.request = None  # thirty-two seconds of every body would be much memory for nothing
            self._completed[transaction.key] = transaction
            self._answers += len(response)
            if transaction.hop.is_stream:
                self._forget(transaction)
            while self._answers > MAX_ANSWERS:
                self._evict()
        return True

    def deadline(self) -> float | None:
        """The next Timer J, or the next undecided one whose time has come."""
        times = [one.completed_at + TIMER_J_S for one in _first(self._completed)]
        times += [one.began + TRYING_S for one in _first(self._trying)]
        times += [one.began + GIVE_UP_S for one in _first(self._proceeding)]
        return min(times) if times else None

    def due(self, now: float) -> list[tuple[ServerTransaction, int]]:
        """Forget what is over; gives those that now want a 100 or, undecided for too long, a 503."""
        while self._completed and next(iter(self._completed.values())).completed_at + TIMER_J_S <= now:
            self._forget(next(iter(self._completed.values())))
        wanted: list[tuple[ServerTransaction, int]] = []
        for table, patience_s, code in ((self._proceeding, GIVE_UP_S, 503), (self._trying, TRYING_S, 100)):
            for transaction in table.values():
                if transaction.began + patience_s > now:
                    break
                wanted.append((transaction, code))
        return wanted

    def _evict(self) -> None:
        self._forget(next(iter(self._completed.values())))
        self.evicted += 1

    def _forget(self, transaction: ServerTransaction) -> None:
        transaction.state = TRANSITIONS[transaction.state][Action.FORGET]
        self._answers -= len(transaction.response)
        del self._by_key[transaction.key], self._completed[transaction.key]
        if self._by_merged.get(transaction.merged_key) is transaction:
            del self._by_merged[transaction.merged_key]


def transaction_key(request: Message, via: Via) -> Key:
    """What all transmissions of one request have in common (RFC 3261, 17.2.3).

    A retransmission is the same octets, so Call-ID, CSeq, From and body may be looked at too: they keep apart devices that make the same
    branch and sent-by, as small ones behind NAT do, whose alarm would else be answered with another's 200.
    """
    branch = via.params.get("branch", "")
    if branch.startswith(COOKIE) and len(branch) > len(COOKIE):
        return _key(request, branch, via.host, str(via.port))
    return _key(request, request.header("via"), request.uri, request.to_tag)  # RFC 2543


def merged_key(request: Message) -> Key:
    """The same request under whatever branch: a fork that came twice, or a device that repeats with a new branch (RFC 3261, 8.2.2.2)."""
    return _key(request, request.to_tag)


def _key(request: Message, *more: str) -> Key:
    """Short, however long the headers are: a table of keys must not hold a hundred thousand times 64 KiB."""
    told = "\0".join((*more, request.method, request.header("call-id"), request.header("cseq"), request.header("from")))
    return hashlib.blake2b(told.encode("utf-8", "surrogateescape"), digest_size=16).digest(), hash(request.body)


def _first(table: OrderedDict[Key, ServerTransaction]) -> Iterator[ServerTransaction]:
    for one in table.values():
        yield one
        return
