"""The answering side of the user agent: responses go where they must (RFC 3261, 18.2.2; RFC 3581), and repeated requests get the same one."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime

import msgspec

from drivers.bodies.handler import Part
from drivers.sip.hop import PORTS, Hop, Via, answer_port, top_via
from drivers.sip.message import MalformedMessage, Message
from drivers.user_agent.answers import Refusal
from drivers.user_agent.client_transactions import new_token
from drivers.user_agent.compose import Headers, compose_response, stateless_tag
from drivers.user_agent.server_transactions import ServerTransaction, ServerTransactions, merged_key, transaction_key


class Sending(msgspec.Struct, frozen=True):
    """Octets that may leave now. branch: of the client transaction, which wants to hear when they cannot ("" = a response).

    otherwise: where a response goes when its connection is gone.
    """

    hop: Hop
    data: bytes
    branch: str = ""
    otherwise: Hop | None = None


class Answering:
    """counts: retransmissions (absorbed or answered again), merged, timed_out (undecided for too long), and each final code as `code_NNN`."""

    def __init__(self, send: Callable[[Sending], None], counts: Counter[str], retry_after_s: int) -> None:
        self.transactions = ServerTransactions()
        self._send = send
        self._counts = counts
        self._retry_after = ("Retry-After", str(retry_after_s))

    def absorbs(self, request: Message, via: Via, hop: Hop) -> bool:
        """A repeated request: answered with the stored response, byte for byte, or dropped while we are still deciding."""
        found = self.transactions.find(transaction_key(request, via))
        if found is None:
            return False
        self._counts["retransmissions"] += 1
        if found.response:
            self._reply(via, hop, found.response)
        return True

    def begin(self, request: Message, via: Via, hop: Hop, now: float) -> ServerTransaction | None:
        """A new one; None when everything in the table is undecided."""
        return self.transactions.begin(transaction_key(request, via), merged_key(request), request, hop, new_token(), now)

    def merged(self, request: Message) -> ServerTransaction | None:
        """The same request, which came before under another branch."""
        return self.transactions.merged(merged_key(request))

    def answer(
        self,
        transaction: ServerTransaction,
        code: int,
        now: float,
        *,
        headers: Headers = (),
        reason: str = "",
        body: Part | None = None,
        at: datetime | None = None,
    ) -> bool:
        """False: it was answered already (after ten seconds without a decision), and nothing is sent."""
        request = transaction.request
        if request is None:
            return False
        own = (*headers, self._retry_after) if code == 503 else headers
        response = compose_response(request, transaction.hop, code, transaction.tag if code >= 200 else "", own, reason, body, at)
        if not self.transactions.answer(transaction, code, response, now):
            return False
        if code >= 200:
            self._counts[f"code_{code}"] += 1
        self._reply(_via(request), transaction.hop, response)
        for follower in transaction.followers if code >= 200 else ():
            self.answer(follower, code, now, headers=headers, reason=reason, at=at)
        return True

    def refuse(self, request: Message, hop: Hop, refusal: Refusal) -> None:
        """Without memory: the same request gets the same answer, because its To tag is made of the request (RFC 3261, 8.2.7)."""
        self._counts[f"code_{refusal.code}"] += 1
        headers = (*refusal.headers, self._retry_after) if refusal.code == 503 else refusal.headers
        response = compose_response(request, hop, refusal.code, stateless_tag(request), headers, refusal.reason)
        self._reply(_via(request), hop, response)

    def deadline(self) -> float | None:
        return self.transactions.deadline()

    def handle_deadline(self, now: float) -> None:
        """100 where the decision takes long, 503 where it takes too long: silence would keep a device from its next receiver."""
        for transaction, code in self.transactions.due(now):
            self._counts["timed_out"] += code == 503
            self.answer(transaction, code, now)

    def _reply(self, via: Via | None, hop: Hop, response: bytes) -> None:
        if hop.is_stream:
            port = via.port if via is not None and via.port else PORTS[hop.transport]
            self._send(Sending(hop, response, otherwise=msgspec.structs.replace(hop, peer=(hop.peer[0], port), socket=None)))
        else:
            port = hop.peer[1] if via is None else answer_port(via, hop)
            self._send(Sending(msgspec.structs.replace(hop, peer=(hop.peer[0], port)), response))


def _via(request: Message) -> Via | None:
    try:
        return top_via(request)
    except MalformedMessage:
        return None
