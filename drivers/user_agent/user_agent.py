"""The gateway as a SIP user agent, without sockets: octets and time in, octets and signals out (sip-ua.md).

The line calls `receive` for each datagram or stream frame, drains `sendings`, stores `deliveries` and hands their verdicts to `settle`,
stores `news` (which no peer repeats), finds the way for `wanted` requests and `launch`es them, and calls `handle_deadline` in time.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from drivers.bodies.handler import Part
from drivers.bodies.table import build_handlers
from drivers.contract import Rejected, Signal, Verdict
from drivers.pbx.dialog_info import DialogWatch
from drivers.sip.caller import Trust
from drivers.sip.digest import DigestServer
from drivers.sip.hop import Hop, Via, top_via
from drivers.sip.message import MalformedMessage, Message, Uri, parse_message
from drivers.sip.number import NumberPlan
from drivers.user_agent.answering import Answering, Sending
from drivers.user_agent.answers import Refusal, refusal_for, refusal_of, salvage
from drivers.user_agent.asking import Ask, Asking, outcome
from drivers.user_agent.client_transactions import ClientTransaction, ClientTransactions
from drivers.user_agent.compose import ALLOW
from drivers.user_agent.faults import Faults
from drivers.user_agent.options import Credentials, SipOptions
from drivers.user_agent.registration import Registration
from drivers.user_agent.shedding import Shedding
from drivers.user_agent.subscription import ACCEPT, EVENT, Subscription
from drivers.user_agent.text_service import Delivery, TextService
from gateway.config import CallsConfig

# Malformed messages kept for inspection: enough to find a device's fault, too few to fill a disk from an open port.
KEPT_PER_S = 5.0
KEPT_BURST = 100.0


class UserAgent:
    """One line's user agent, for the life of the line. Bytes never make it raise.

    secret: signs the nonces of digest authentication, 32 random octets. counts: everything that was dropped, refused or absorbed, by word.
    """

    def __init__(self, name: str, options: SipOptions, calls: CallsConfig, credentials: Credentials, secret: bytes, now: float) -> None:
        self.options = options
        self.counts: Counter[str] = Counter()
        self._sources = Trust(options.sources) if options.sources else None
        self._scanners = tuple(word.lower() for word in options.scanners)
        self._sendings: list[Sending] = []
        self._news: list[Signal | Rejected] = []
        self._wanted: deque[Ask] = deque()
        self._faults = Faults()
        self._shedding = Shedding(options.requests_per_s)
        self._kept = (KEPT_BURST, now)
        self._answering = Answering(self._sendings.append, self.counts, options.retry_after_s)
        self._clients = ClientTransactions(self._send_request)
        user = calls.hotlines[0] if calls.hotlines else "gateway"
        self._user = Uri(options.address).user or user
        self._asking = Asking(self._clients, credentials.accounts, options.address, self._user)
        digest = DigestServer(options.realm, secret, credentials.devices, algorithms=options.algorithms) if options.wants_devices else None
        handlers = build_handlers(options.bodies, options.body_options)
        self._texts = TextService(options, handlers, digest, self._answering, self._asking.launch, self._faults, self.counts)
        plan = NumberPlan(hotlines=calls.hotlines, area_code=calls.area_code)
        self._watch = DialogWatch(name, plan, calls.agents, options.watch_hotline or user, options.watch_hotlines)
        self._registration = self._new_registration(now)
        self._subscriptions = [self._new_subscription(address, now) for address in options.subscribe]

    # ---- what the line calls

    def admits(self, address: str) -> bool:
        """May this address talk to us at all?"""
        return self._sources is None or self._sources.covers(address)

    def receive(self, hop: Hop, data: bytes, now: float, at: datetime, too_long: bool = False) -> None:
        """One datagram, or one frame of a stream. too_long: the frame has no body, because that was beyond `max_body`."""
        if not self.admits(hop.peer[0]):
            self.counts["unknown_source"] += 1
            return
        self.counts["messages"] += 1
        try:
            message = parse_message(data)
        except MalformedMessage as fault:
            self._malformed(hop, data, fault.reason, now)
            return
        if not message.is_request:
            if not self._clients.receive(message, now):
                self.counts["stray_response"] += 1
        elif self._is_scanner(message):
            self.counts["scanner"] += 1
        elif message.method == "ACK":
            self.counts["ack"] += 1
        elif too_long:
            self._answering.refuse(message, hop, Refusal(513))
        else:
            self._request(message, hop, data, now, at)

    def settle(self, delivery: Delivery, verdicts: Sequence[Verdict], now: float) -> None:
        """The commit of one delivery is over: one verdict per item."""
        self._texts.settle(delivery, verdicts, now)

    def send_text(self, address: str, part: Part, done: Callable[[str], None]) -> None:
        """Queue a MESSAGE of ours. done: "" when it was accepted, else why not (`Texter`)."""
        ask = Ask(
            "MESSAGE",
            address,
            f"<{address}>",
            lambda response, reason, _now: done(outcome(response, reason)),
            body=part,
            account=self.options.account,
            next_hop=self.options.outbound,
        )
        self._wanted.append(ask)

    def launch(self, ask: Ask, hops: Sequence[Hop], now: float) -> None:
        """A wanted request goes out, by the hops that were found, best first."""
        self._asking.launch(ask, hops, now)

    def undeliverable(self, branch: str, reason: str, now: float) -> None:
        """A sending with this branch could not leave: unreachable, connection_lost."""
        self._clients.fail(branch, reason, now)

    def connection_lost(self, socket: int, now: float) -> None:
        """A stream is gone; answers to what was asked over it will not come."""
        self._clients.fail_socket(socket, now)

    def stop(self) -> bool:
        """Take back what peers hold for us: the requests are among `wanted`. False: there is nothing to wait for."""
        ends = [one.end() for one in (self._registration, *self._subscriptions) if one is not None]
        self._wanted.extend(ask for ask in ends if ask is not None)
        return bool(self._wanted)

    @property
    def is_quiet(self) -> bool:
        """Is no request of ours waiting for its answer?"""
        return not self._wanted and not self._clients.waiting

    def abandon(self, now: float) -> None:
        """The sockets close: who still waits for an answer to a request of ours hears `line_down`."""
        for ask in self.wanted():
            ask.hops.clear()
            ask.done(None, "line_down", now)
        self._clients.fail_all("line_down", now)

    def restart(self, now: float) -> None:
        """A new run of the line: registration and subscriptions begin anew."""
        self._registration = self._new_registration(now)
        self._subscriptions = [self._new_subscription(address, now) for address in self.options.subscribe]

    def restore(self, records: Iterable[Mapping[str, object]], now: float) -> int:
        """Take up live calls (of subscriptions) after a restart."""
        return self._watch.restore(records, now)

    # ---- what the line drains

    def sendings(self) -> list[Sending]:
        sendings = list(self._sendings)
        self._sendings.clear()
        return sendings

    def deliveries(self) -> list[Delivery]:
        """To be stored; then settled."""
        return self._texts.deliveries()

    def news(self) -> list[Signal | Rejected]:
        """To be stored; nobody waits for it and nobody repeats it."""
        for source, is_excessive in self._shedding.edges():
            (self._faults.begin if is_excessive else self._faults.end)("rate_limited", source)
        news, self._news = self._news + list(self._faults.signals()), []
        return news

    def wanted(self) -> list[Ask]:
        """Requests whose next hop must be found: that of `next_hop`."""
        wanted = list(self._wanted)
        self._wanted.clear()
        return wanted

    # ---- time

    def deadline(self) -> float | None:
        parts = (self._answering, self._clients, self._shedding, self._watch, self._registration, *self._subscriptions)
        return min((at for part in parts if part is not None and (at := part.deadline()) is not None), default=None)

    def handle_deadline(self, now: float, at: datetime) -> None:
        """Whatever is due."""
        self._answering.handle_deadline(now)
        self._clients.handle_deadline(now)
        self._shedding.handle_deadline(now)
        if self._is_due(self._watch, now):
            self._news += self._watch.handle_deadline(now, at)
        if self._registration is not None and self._is_due(self._registration, now):
            self._wanted.append(self._registration.ask())
        for subscription in self._subscriptions:
            if self._is_due(subscription, now) and (ask := subscription.ask(now)) is not None:
                if subscription.is_new:
                    self._watch.subscribed(subscription.address)
                self._wanted.append(ask)

    # ---- requests

    def _request(self, request: Message, hop: Hop, data: bytes, now: float, at: datetime) -> None:
        try:
            via = top_via(request)
        except MalformedMessage as fault:
            self._malformed(hop, data, fault.reason, now)
            return
        if self._answering.absorbs(request, via, hop):
            return
        is_alarm = request.method == "MESSAGE"
        if not self._shedding.admits(hop.peer[0], is_alarm, now):
            self.counts["shed_alarms" if is_alarm else "shed"] += 1
            if is_alarm:  # its sender must know, to go to its next receiver; anything else may wonder
                self._answering.refuse(request, hop, Refusal(503))
            return
        refusal = refusal_of(request, self.options.invite)
        if refusal is not None:
            if refusal.code in (400, 513):
                self._keep(data, "bad_request" if refusal.code == 400 else "body_too_long", hop, now)
            self._answering.refuse(request, hop, refusal)
        elif is_alarm:
            self._texts.receive(request, via, hop, data, now, at)
        elif request.method == "NOTIFY":
            self._notify(request, via, hop, data, now, at)
        else:
            headers = (("Allow", ALLOW), ("Accept", self._texts.accept), ("Supported", ""))
            self._answering.refuse(request, hop, Refusal(200, headers=headers))

    def _notify(self, request: Message, via: Via, hop: Hop, data: bytes, now: float, at: datetime) -> None:
        """200 at once: a PBX that hears nothing drops the subscription. What it told is held by the line until it is stored."""
        found = next((one for one in self._subscriptions if (one.call_id, one.tag) == (request.call_id, request.to_tag)), None)
        if found is None:
            self._answering.refuse(request, hop, Refusal(481))
            return
        if request.header("event").partition(";")[0].strip().lower() != EVENT:
            self._answering.refuse(request, hop, Refusal(489, headers=(("Allow-Events", EVENT),)))
            return
        is_readable = not request.body or request.header("content-type").partition(";")[0].strip().lower() == ACCEPT
        transaction = self._answering.begin(request, via, hop, now)
        if transaction is None:
            self._answering.refuse(request, hop, Refusal(503))
            return
        self._answering.answer(transaction, 200 if is_readable else 415, now, headers=() if is_readable else (("Accept", ACCEPT),))
        if found.notified(request, now) and request.body and is_readable:
            self._news += self._watch.receive(found.address, request.body, now, at, data)
            for extension in self._watch.refreshes():
                for subscription in self._subscriptions:
                    if Uri(subscription.address).user == extension:
                        subscription.refresh(now)

    def _malformed(self, hop: Hop, data: bytes, reason: str, now: float) -> None:
        if reason == "keepalive":
            self.counts["keepalives"] += 1
            return
        self.counts["malformed"] += 1
        self._keep(data, reason, hop, now)
        found = salvage(data)
        if found is not None and not self._is_scanner_data(data) and self._shedding.admits(hop.peer[0], False, now):
            self._answering.refuse(found, hop, refusal_for(reason))

    def _keep(self, data: bytes, reason: str, hop: Hop, now: float) -> None:
        """Among the rejected, for inspection; within bounds."""
        tokens = min(KEPT_BURST, self._kept[0] + (now - self._kept[1]) * KEPT_PER_S)
        self._kept = (tokens - 1.0 if tokens >= 1.0 else tokens, now)
        if tokens >= 1.0:
            self._news.append(Rejected(reason=reason, raw=data, device=hop.peer[0]))
        else:
            self.counts["not_kept"] += 1

    def _is_scanner(self, request: Message) -> bool:
        agent = request.header("user-agent").lower()
        return bool(agent) and any(word in agent for word in self._scanners)

    def _is_scanner_data(self, data: bytes) -> bool:
        head = data[:4096].lower()
        return any(word.encode() in head for word in self._scanners)

    # ---- inside

    def _send_request(self, transaction: ClientTransaction) -> None:
        self._sendings.append(Sending(transaction.hop, transaction.data, transaction.branch))

    @staticmethod
    def _is_due(part: DialogWatch | Registration | Subscription, now: float) -> bool:
        deadline = part.deadline()
        return deadline is not None and deadline <= now

    def _new_registration(self, now: float) -> Registration | None:
        wanted = self.options.register
        if wanted is None:
            return None
        return Registration(wanted, self.options.account, now, lambda trouble: self._told("registration_failed", wanted.address, trouble))

    def _new_subscription(self, address: str, now: float) -> Subscription:
        def told(trouble: str) -> None:
            self._told("subscription_failed", address, trouble)

        return Subscription(address, self.options.account, self._user, self.options.subscribe_expires_s, now, told, self.options.outbound)

    def _told(self, reason: str, address: str, trouble: str) -> None:
        if trouble:
            self._faults.begin(reason, address, cause=trouble)
        else:
            self._faults.end(reason, address)
