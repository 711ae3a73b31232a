"""MESSAGE as a service: whom we believe, who reads the body, and the order of things: stored first, then 200, then what is said back.

RFC 3428; scaip.md, "Transport" and "bad input"; sip-ua.md, sections 3 and 5.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from drivers.bodies.handler import BodyHandler, Part, Reading, Received
from drivers.contract import Rejected, Signal, Verdict
from drivers.sip.caller import MAX_NAME
from drivers.sip.digest import ASK_AGAIN, DigestServer, Outcome
from drivers.sip.hop import PORTS, Hop, Via, answer_port, same_address, top_via
from drivers.sip.message import Message, NameAddr
from drivers.user_agent.answering import Answering
from drivers.user_agent.answers import Refusal
from drivers.user_agent.asking import Ask, outcome
from drivers.user_agent.faults import Faults
from drivers.user_agent.options import Policies, SipOptions
from drivers.user_agent.server_transactions import ServerTransaction

MAX_UNDECIDED = 10_000  # messages in the store's hands at once: ten seconds of 1,000 alarms a second, after which they are refused anyway
MAX_UNDECIDED_BYTES = 64 * 1024 * 1024
WRONG_PASSWORDS = 3  # of one source in a row, before an operator hears of it
MAX_SUSPICIOUS = 10_000


class Delivery(msgspec.Struct, eq=False):
    """What the line must have stored before the sender is answered. items: in order, may be empty (then it is settled at once)."""

    items: list[Signal | Rejected]
    received_at: datetime
    reading: Reading
    handler: BodyHandler
    received: Received
    transaction: ServerTransaction
    hop: Hop


class TextService:
    """`receive` takes requests of method MESSAGE whose form is right; `settle` each Delivery with its verdicts."""

    def __init__(
        self,
        options: SipOptions,
        handlers: Sequence[BodyHandler],
        digest: DigestServer | None,
        answering: Answering,
        ask: Callable[[Ask, list[Hop], float], None],
        faults: Faults,
        counts: Counter[str],
    ) -> None:
        self._options = options
        self._handlers = tuple(handlers)
        self._digest = digest
        self._policies = Policies(options.authentication, options.authentication_for)
        self._answering = answering
        self._ask = ask
        self._faults = faults
        self._counts = counts
        self._wrong: OrderedDict[str, int] = OrderedDict()
        self._deliveries: list[Delivery] = []
        self._undecided_bytes = 0
        self.accept = ", ".join(dict.fromkeys(media for handler in self._handlers for media in handler.media_types))

    def deliveries(self) -> list[Delivery]:
        """Drain."""
        deliveries, self._deliveries = self._deliveries, []
        return deliveries

    def receive(self, request: Message, via: Via, hop: Hop, raw: bytes, now: float, at: datetime) -> None:
        """One MESSAGE that is no retransmission."""
        is_full = self._answering.transactions.undecided >= MAX_UNDECIDED or self._undecided_bytes + len(raw) > MAX_UNDECIDED_BYTES
        twin = self._answering.merged(request)
        transaction = None if is_full else self._answering.begin(request, via, hop, now)
        if transaction is None:
            self._counts["overload"] += 1
            self._answering.refuse(request, hop, Refusal(503))
            return
        if twin is not None:
            self._counts["merged"] += 1
            if self._options.merged == "refuse":
                self._answering.answer(transaction, 482, now)
            elif twin.is_decided:
                self._answering.answer(transaction, 200, now, at=at)
            else:
                twin.lead(transaction)
            return
        if len(request.body) > self._options.max_body:
            self._answering.answer(transaction, 513, now)
            return
        believed, user = self._authenticate(request, hop, transaction, now)
        if not believed:
            return
        content_type = request.header("content-type").partition(";")[0].strip().lower()
        handler = next((one for one in self._handlers if one.accepts(content_type, request.body)), None)
        if handler is None:
            self._answering.answer(transaction, 415, now, headers=(("Accept", self.accept),))
            return
        self._read(handler, _received(request, hop, raw, content_type, believed, user, now, at), transaction)

    def settle(self, delivery: Delivery, verdicts: Sequence[Verdict], now: float) -> None:
        """The commit is over: answer, and then say what is to be said."""
        self._undecided_bytes -= len(delivery.received.raw)
        reading = delivery.reading
        pairs = list(zip(delivery.items, verdicts, strict=True))
        is_again = any(verdict.retry for _, verdict in pairs)
        # a signal that can never be stored is kept among the rejected, but nobody is alarmed by it: the sender had better go elsewhere
        is_lost = any(isinstance(item, Signal) and not verdict.kept for item, verdict in pairs)
        is_stored = not is_again and not is_lost
        delivery.handler.settled(reading, is_stored, now)
        if not is_stored:
            self._counts["refused"] += 1
            is_answered = self._answering.answer(delivery.transaction, 503 if is_again else 500, now)
            follow_up = reading.refused_follow_up
        else:
            body, reason = reading.reply, reading.reason
            headers = (("Accept", self.accept),) if reading.status == 415 else ()
            is_answered = self._answering.answer(
                delivery.transaction, reading.status, now, headers=headers, reason=reason, body=body, at=delivery.received_at
            )
            follow_up = reading.follow_up
        if is_answered and follow_up is not None:
            self._follow_up(delivery, follow_up, now)

    def _authenticate(self, request: Message, hop: Hop, transaction: ServerTransaction, now: float) -> tuple[str, str]:
        """(integrity, user); integrity "" when the request has been answered with 401 here."""
        policy = self._policies.of(hop.peer[0])
        if policy == "off" or self._digest is None:
            return "unverified", ""
        proof = self._digest.check("MESSAGE", request.headers.get("authorization", []), now)
        if proof.outcome is Outcome.OK:
            if self._wrong.pop(hop.peer[0], 0) >= WRONG_PASSWORDS:
                self._faults.end("authentication_failed", hop.peer[0])
            return "verified", proof.user
        if proof.outcome is Outcome.WRONG:
            self._suspect(hop.peer[0])
        if policy == "accept_and_mark":
            return "unauthenticated", ""
        challenges = self._digest.challenge(now, stale=proof.outcome in ASK_AGAIN)
        self._answering.answer(transaction, 401, now, headers=[("WWW-Authenticate", challenge) for challenge in challenges])
        return "", ""

    def _suspect(self, source: str) -> None:
        self._counts["wrong_password"] += 1
        self._wrong[source] = self._wrong.pop(source, 0) + 1
        if self._wrong[source] == WRONG_PASSWORDS:
            self._faults.begin("authentication_failed", source)
        if len(self._wrong) > MAX_SUSPICIOUS:
            self._wrong.popitem(last=False)

    def _read(self, handler: BodyHandler, received: Received, transaction: ServerTransaction) -> None:
        reading = handler.read(received)
        items: list[Signal | Rejected] = []
        for item in reading.signals:
            if isinstance(item, Signal):
                item = msgspec.structs.replace(item, integrity=received.integrity, raw=item.raw or received.raw)
            items.append(item)
        delivery = Delivery(items, received.received_at, reading, handler, received, transaction, transaction.hop)
        self._undecided_bytes += len(received.raw)
        if items:
            self._deliveries.append(delivery)
        else:
            self.settle(delivery, (), received.now)

    def _follow_up(self, delivery: Delivery, part: Part, now: float) -> None:
        """Our own MESSAGE to the sender: over the same connection, or to where its answer went; then to where it can be reached else."""
        received, hop = delivery.received, delivery.hop
        device = next((item.device for item in delivery.items if item.device), received.from_user or hop.peer[0])
        uri = received.contact or received.from_uri

        def done(response: Message | None, reason: str, _later: float) -> None:
            why = outcome(response, reason)
            self._counts["follow_up_failed" if why else "follow_up_sent"] += 1
            if why:
                self._faults.begin("follow_up_failed", device, cause=why, call_id=received.call_id)
            else:
                self._faults.end("follow_up_failed", device)

        again = hop
        if not hop.is_stream:  # a device that asks for no rport listens at the port of its Via, which need not be the one it sends from
            hop = msgspec.structs.replace(hop, peer=(hop.peer[0], answer_port(top_via(received.message), hop)))
        else:
            parsed = NameAddr(f"<{uri}>").parsed
            port = parsed.port if same_address(parsed.host, hop.peer[0]) else None  # nobody may send us to a third party
            again = msgspec.structs.replace(hop, peer=(hop.peer[0], port or PORTS[hop.transport]), socket=None)
        us = f"<{received.message.to.uri}>"
        self._ask(Ask("MESSAGE", uri, f"<{received.from_uri}>", done, from_=us, body=part, account=self._options.account), [hop, again], now)


def _received(request: Message, hop: Hop, raw: bytes, content_type: str, integrity: str, user: str, now: float, at: datetime) -> Received:
    contacts = request.name_addrs("contact")
    return Received(
        from_user=request.from_.user[:MAX_NAME],
        from_uri=request.from_.uri,
        to_user=request.to.user[:MAX_NAME],
        contact=contacts[0].uri if contacts and contacts[0].uri != "*" else "",
        call_id=request.call_id,
        cseq=request.cseq,
        source=hop.peer,
        transport=hop.transport,
        user=user,
        integrity=integrity,
        content_type=content_type,
        body=request.body,
        raw=raw,
        now=now,
        received_at=at,
        message=request,
    )
