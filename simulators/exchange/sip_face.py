"""The SIP face: a back-to-back user agent on UDP and TCP. SIPp calls it as a caller, and may play agents; both legs have Call-IDs of their own.

Final answers to INVITE are repeated over UDP until the ACK comes (RFC 3261, 13.3.1.4 and 17.2.1); a 200 that is never acknowledged ends in BYE.
"""

import asyncio
import hashlib
import random
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from simulators.exchange.call import Call, Leg, Mode, Plan, Said
from simulators.exchange.happening import Happening, What
from simulators.exchange.mirror import Mirror
from simulators.exchange.model import Exchange
from simulators.exchange.sip_parse import Message, display_of, parameter, user_of
from simulators.exchange.sip_transport import Peer, SipTransport
from simulators.sip_text import REASONS, SDP, Dialog

T1_S = 0.5  # RFC 3261, 17.1.1.1
T2_S = 4.0
GIVE_UP_S = 32.0  # 64 × T1
MAX_WIRES = 20_000  # dialogs remembered, finished ones for 32 s
FORK = "-fork"  # ends the To tag of the second 200
REALM = "hotline.example"
NOBODY = ("", "anonymous", "unknown", "unavailable", "restricted")
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, REFER"


@dataclass(slots=True, eq=False)
class Wire:
    """One SIP dialog of ours. invite: the INVITE as it came (or as we sent it, parsed); near, far: our and their From/To value with its tag."""

    call: Call | None
    leg: Leg | None
    peer: Peer
    call_id: str
    near: str
    far: str
    target: str
    is_server: bool
    invite: Message | None = None
    branch: str = ""
    cseq: int = 1
    routes: list[str] = field(default_factory=list)
    final: bytes = b""
    is_confirmed: bool = False
    is_cancelled: bool = False
    is_over: bool = False
    timer: asyncio.TimerHandle | None = None


class SipFace:
    """password: with one, INVITE is challenged with 407 (MD5, qop auth) for the user `trunk`. A plan's faults lost_bye, forked_200 and
    re_invite happen on the caller's leg; a late ACK is the caller's own doing. seen: counts of requests and codes, for tests."""

    def __init__(self, exchange: Exchange, mirror: Mirror | None = None, *, password: str = "") -> None:
        self.exchange = exchange
        self.password = password
        self.transport = SipTransport(self._receive, self._witness)
        self.seen: dict[str, int] = {}
        self._mirror = mirror
        self._wires: dict[str, Wire] = {}
        self._legs: dict[Leg, Wire] = {}
        self._nonces: set[str] = set()
        self._random = random.Random(f"sip:{exchange.settings.seed}")

    @property
    def port(self) -> int:
        return self.transport.address[1]

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        await self.transport.start(port, host)
        self.exchange.faces.append(self)

    async def stop(self) -> None:
        if self in self.exchange.faces:
            self.exchange.faces.remove(self)
        for wire in self._wires.values():
            self._stop_timer(wire)
        await self.transport.stop()

    def _witness(self, data: bytes, source: tuple[str, int], destination: tuple[str, int], call_id: str, stream: bool) -> None:
        if self._mirror is not None:
            self._mirror.send(data, source, destination, call_id, stream=stream)

    # ---- what the exchange does

    def __call__(self, happening: Happening) -> None:
        leg = happening.leg
        if happening.what is What.DIALLING and leg.real:
            self._dial(happening.call, leg)
            return
        if happening.what is What.RINGING and happening.number("passed_on") and happening.other in self._legs:
            wire = self._legs[happening.other]
            if wire.invite is not None:
                self._respond(wire.invite, wire.peer, 180, wire=wire)
        if happening.what is What.BRIDGED and happening.call.plan.fault == "re_invite" and happening.other in self._legs:
            wire = self._legs[happening.other]
            wire.cseq += 1
            self._request(wire, "INVITE", branch=_branch(self._random), sdp=True)
        wire_of_leg = self._legs.get(leg)
        if wire_of_leg is None:
            return
        fault = happening.call.plan.fault
        if happening.what is What.CALLER_UP and wire_of_leg.invite is not None:
            self._final(wire_of_leg, 200)
            if fault == "forked_200":
                self._fork(wire_of_leg, wire_of_leg.invite)
        elif happening.what is What.GONE:
            self._let_go(wire_of_leg, leg, say_bye=fault != "lost_bye")

    def _fork(self, wire: Wire, invite: Message) -> None:
        """A second telephone answers as well: another 200 with another To tag, once. The caller is to acknowledge it and end it."""
        second = self._answer_to(invite, 200, wire).replace(wire.near.encode("utf-8", "surrogateescape"), f"{wire.near}{FORK}".encode())
        self.transport.send(second, wire.peer, wire.call_id)

    def _let_go(self, wire: Wire, leg: Leg, *, say_bye: bool) -> None:
        self._legs.pop(leg, None)
        if leg.disposition == "send_bye":
            if say_bye:
                self._bye(wire)
        elif leg.disposition == "send_refuse" and wire.invite is not None:
            self._final(wire, leg.code or 480)
        elif leg.disposition == "send_cancel":
            self._cancel(wire)
        self._forget_later(wire)

    def _dial(self, call: Call, leg: Leg) -> None:
        """Call a real agent: an INVITE of ours, over UDP, repeated until something comes back."""
        peer = Peer(self.exchange.address_of(leg.number))
        host, port = self.transport.address
        dialog = leg.dialog
        near = f"<sip:{dialog.caller}@{_host(host)}:{port}>;tag={dialog.from_tag}"
        if dialog.display:
            near = f'"{dialog.display.decode("utf-8", "surrogateescape")}" {near}'
        target = f"sip:{leg.number}@{_host(peer.address[0])}:{peer.address[1]}"
        wire = Wire(call, leg, peer, dialog.call_id, near, f"<{target}>", target, is_server=False, branch=_branch(self._random))
        self._remember(wire)
        data = self._request(wire, "INVITE", branch=wire.branch, sdp=True)
        self._repeat(wire, data, lambda: call.say(Said.FAILED, leg))

    # ---- what comes in

    def _receive(self, message: Message, peer: Peer) -> None:
        name = str(message.code) if message.code else message.method
        self.seen[name] = self.seen.get(name, 0) + 1
        wire = self._wires.get(message.call_id)
        if message.code:
            if wire is not None and not wire.is_server:
                self._response(message, wire)
            elif wire is not None and message.method == "INVITE" and message.code >= 200:  # to a re-INVITE of ours
                self._request(wire, "ACK", branch=_branch(self._random) if message.code < 300 else message.branch)
            return
        if message.method == "OPTIONS":
            self._respond(message, peer, 200)
        elif message.method == "INVITE":
            self._invite(message, peer, wire)
        elif message.method == "ACK":
            if wire is not None and not parameter(message.get("to"), "tag").endswith(FORK):
                wire.is_confirmed = True
                self._stop_timer(wire)
        elif wire is None:
            self._respond(message, peer, 481)
        elif message.method == "CANCEL":
            self._cancelled(message, peer, wire)
        elif message.method == "BYE":
            self._respond(message, peer, 200, wire=wire)
            if not parameter(message.get("to"), "tag").endswith(FORK):
                self._stop_timer(wire)
                self._far_end_gone(wire)
        elif message.method == "REFER" and wire.call is not None:
            self._respond(message, peer, 202, wire=wire)
            wire.call.say(Said.BLIND, wire.leg, user_of(message.get("refer-to")))
        elif message.method in ("INFO", "UPDATE"):
            self._respond(message, peer, 200, wire=wire)
            digit = re.search(rb"Signal=\s*([0-9*#])", message.body)
            if digit and wire.call is not None:
                wire.call.say(Said.DIGIT, wire.leg, digit[1].decode())
        else:
            self._respond(message, peer, 405, wire=wire)

    def _invite(self, message: Message, peer: Peer, wire: Wire | None) -> None:
        if wire is not None and wire.invite is not None and wire.branch == message.branch:  # a retransmission
            self.transport.send(wire.final or self._answer_to(message, 100, wire), peer, message.call_id)
        elif parameter(message.get("to"), "tag"):
            self._inside_dialog(message, peer, wire)
        elif self.password and not self._is_authorised(message):
            self._challenge(message, peer)
        elif len(self._wires) >= MAX_WIRES:
            self._respond(message, peer, 503)
        else:
            self._offer(message, peer)

    def _offer(self, message: Message, peer: Peer) -> None:
        asserted, sender = user_of(message.get("p-asserted-identity")), user_of(message.get("from"))
        form = asserted or ("" if sender.lower() in NOBODY else sender)
        called = user_of(message.start[1])
        hotlines = self.exchange.settings.hotlines
        plan = hotlines.get(called, Plan(mode=Mode.DIAL))
        seeded = random.Random(self._random.getrandbits(64))
        dialog = Dialog(sender, called, peer.address, self.transport.address, seeded, call_id=message.call_id, asserted=asserted)
        dialog.from_tag = parameter(message.get("from"), "tag")
        contact = message.get("contact")
        target = contact.partition("<")[2].partition(">")[0] or contact or f"sip:{_host(peer.address[0])}:{peer.address[1]}"
        wire = Wire(
            None, None, peer, message.call_id, f"{message.get('to')};tag={dialog.to_tag}", message.get("from"), target, is_server=True,
            invite=message, branch=message.branch, routes=message.all("record-route"),
        )  # fmt: skip
        self._remember(wire)
        self._respond(message, peer, 100, wire=wire)
        call = self.exchange.offer(plan, form, form, called, dialog=dialog, name=display_of(message.get("from")))
        if call is None:
            self._final(wire, 503)
            return
        wire.call, wire.leg = call, call.incoming
        self._legs[call.incoming] = wire

    def _inside_dialog(self, message: Message, peer: Peer, wire: Wire | None) -> None:
        """A re-INVITE: the media change, the call does not."""
        if wire is None or wire.is_over:
            self._respond(message, peer, 481)
            return
        if wire.call is not None and wire.leg is not None and not wire.leg.gone_at:
            held = b"a=sendonly" in message.body or b"a=inactive" in message.body
            self.exchange.tell(What.HELD if held else What.RESUMED, wire.call, wire.leg)
        wire.invite, wire.branch = message, message.branch
        self._final(wire, 200)

    def _cancelled(self, message: Message, peer: Peer, wire: Wire) -> None:
        self._respond(message, peer, 200, wire=wire)
        if not wire.final and wire.invite is not None:
            self._final(wire, 487)
            self._far_end_gone(wire)

    def _far_end_gone(self, wire: Wire) -> None:
        wire.is_over = True
        if wire.call is not None:
            wire.call.say(Said.GONE, wire.leg)
        self._forget_later(wire)

    def _response(self, message: Message, wire: Wire) -> None:
        """An answer to a request of ours, as a caller."""
        if message.method != "INVITE" or wire.call is None:
            return
        if message.code >= 180:
            wire.far = message.get("to")
        self._stop_timer(wire)
        if message.code < 200:
            if message.code >= 180:
                wire.call.say(Said.RINGING, wire.leg)
            return
        if message.code < 300:
            contact = message.get("contact")
            wire.target = contact.partition("<")[2].partition(">")[0] or wire.target
            wire.routes = list(reversed(message.all("record-route")))
            self._request(wire, "ACK", branch=_branch(self._random))
            if wire.is_cancelled:  # it crossed our CANCEL: the telephone is off the hook, so hang it up
                self._bye(wire)
            elif not wire.is_confirmed:
                wire.is_confirmed = True
                wire.call.say(Said.ANSWERED, wire.leg)
            return
        self._request(wire, "ACK", branch=wire.branch)
        if not wire.is_over:
            wire.is_over = True
            said = {486: Said.BUSY, 600: Said.BUSY, 603: Said.DECLINED}.get(message.code, Said.FAILED)
            wire.call.say(said, wire.leg)
            self._forget_later(wire)

    # ---- digest (RFC 7616; MD5 because old trunks know nothing else)

    def _challenge(self, message: Message, peer: Peer) -> None:
        nonce = secrets.token_hex(16)
        if len(self._nonces) > MAX_WIRES:
            self._nonces.clear()
        self._nonces.add(nonce)
        header = f'Proxy-Authenticate: Digest realm="{REALM}", nonce="{nonce}", algorithm=MD5, qop="auth"'
        self._respond(message, peer, 407, headers=(header,))

    def _is_authorised(self, message: Message) -> bool:
        header = message.get("proxy-authorization")
        told = {name: quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', header)}
        if told.get("nonce") not in self._nonces or told.get("username") != "trunk":
            return False
        first = _md5(f"trunk:{told.get('realm', '')}:{self.password}")
        second = _md5(f"INVITE:{told.get('uri', '')}")
        middle = f"{told['nonce']}:{told.get('nc')}:{told.get('cnonce')}:{told['qop']}" if told.get("qop") else told["nonce"]
        return secrets.compare_digest(_md5(f"{first}:{middle}:{second}"), told.get("response", ""))

    # ---- what goes out

    def _respond(self, message: Message, peer: Peer, code: int, *, wire: Wire | None = None, headers: tuple[str, ...] = ()) -> None:
        self.transport.send(self._answer_to(message, code, wire, headers=headers), peer, message.call_id)

    def _final(self, wire: Wire, code: int) -> None:
        """The final answer to the INVITE, kept for retransmissions and repeated until the ACK."""
        assert wire.invite is not None
        wire.is_confirmed = False
        wire.is_over = code >= 300
        wire.final = self._answer_to(wire.invite, code, wire)
        self._repeat(wire, wire.final, lambda: self._never_confirmed(wire, code), limit_s=T2_S, stream=code < 300)

    def _never_confirmed(self, wire: Wire, code: int) -> None:
        if code < 300:
            self._bye(wire)
            self._far_end_gone(wire)

    def _answer_to(self, message: Message, code: int, wire: Wire | None, *, headers: tuple[str, ...] = ()) -> bytes:
        to = message.get("to")
        if code > 100 and not parameter(to, "tag"):
            to = wire.near if wire is not None and wire.is_server else f"{to};tag={_md5(message.call_id + message.get('from'))[:12]}"
        host, port = self.transport.address
        lines = [f"SIP/2.0 {code} {REASONS.get(code, 'Status')}", *(f"Via: {via}" for via in message.all("via"))]
        lines += [f"Record-Route: {route}" for route in message.all("record-route")] if code > 100 else []
        lines += [f"From: {message.get('from')}", f"To: {to}", f"Call-ID: {message.call_id}", f"CSeq: {message.get('cseq')}"]
        if 180 <= code < 300:
            lines.append(f"Contact: <sip:{user_of(message.get('to')) or 'exchange'}@{_host(host)}:{port}>")
        if code in (200, 405):
            lines.append(f"Allow: {ALLOW}")
        lines += headers
        return self._with_body(lines, sdp=code == 200 and message.method == "INVITE")

    def _request(self, wire: Wire, method: str, *, branch: str, sdp: bool = False) -> bytes:
        """Send one request of the dialog and give it as it went."""
        host, port = self.transport.address
        if method == "BYE":
            wire.cseq += 1
        lines = [
            f"{method} {wire.target} SIP/2.0",
            f"Via: SIP/2.0/{'TCP' if wire.peer.is_stream else 'UDP'} {_host(host)}:{port};branch={branch}",
            *(f"Route: {route}" for route in wire.routes),
            "Max-Forwards: 70",
            f"From: {wire.near}",
            f"To: {wire.far}",
            f"Call-ID: {wire.call_id}",
            f"CSeq: {wire.cseq} {method}",
            f"Contact: <sip:exchange@{_host(host)}:{port}>",
        ]
        data = self._with_body(lines, sdp=sdp)
        self.transport.send(data, wire.peer, wire.call_id)
        return data

    def _with_body(self, lines: list[str], *, sdp: bool) -> bytes:
        body = ""
        if sdp:
            host = self.transport.address[0]
            body = SDP.format(session=self._random.randint(10**6, 10**9), host=host, port=self._random.randrange(10_000, 20_000, 2))
            body = body.replace("IN IP4", "IN IP6") if ":" in host else body
            lines = [*lines, "Content-Type: application/sdp"]
        return ("\r\n".join([*lines, f"Content-Length: {len(body)}"]) + "\r\n\r\n" + body).encode("utf-8", "surrogateescape")

    def _bye(self, wire: Wire) -> None:
        if not wire.is_over:
            wire.is_over = True
            self._stop_timer(wire)
            self._request(wire, "BYE", branch=_branch(self._random))

    def _cancel(self, wire: Wire) -> None:
        if not wire.is_over and not wire.is_confirmed:
            wire.is_cancelled = True
            self._stop_timer(wire)
            self._request(wire, "CANCEL", branch=wire.branch)

    # ---- keeping

    def _repeat(self, wire: Wire, data: bytes, on_silence: Callable[[], None], *, limit_s: float = GIVE_UP_S, stream: bool = True) -> None:
        """Send now (a request of ours has just gone) and again after T1, twice T1 … `limit_s`, until the timer is stopped; give up after 32 s."""
        if data == wire.final:
            self.transport.send(data, wire.peer, wire.call_id)
        if wire.peer.is_stream and not stream:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + GIVE_UP_S

        def again(pause_s: float) -> None:
            if loop.time() >= until:
                on_silence()
                return
            if not wire.peer.is_stream:
                self.transport.send(data, wire.peer, wire.call_id)
            wire.timer = loop.call_later(min(pause_s * 2, limit_s), again, min(pause_s * 2, limit_s))

        self._stop_timer(wire)
        wire.timer = loop.call_later(T1_S, again, T1_S)

    @staticmethod
    def _stop_timer(wire: Wire) -> None:
        if wire.timer is not None:
            wire.timer.cancel()
            wire.timer = None

    def _remember(self, wire: Wire) -> None:
        self._wires[wire.call_id] = wire
        if wire.leg is not None:
            self._legs[wire.leg] = wire

    def _forget_later(self, wire: Wire) -> None:
        """After 32 s no retransmission can come any more."""
        asyncio.get_running_loop().call_later(GIVE_UP_S, self._wires.pop, wire.call_id, None)


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _branch(chance: random.Random) -> str:
    return f"z9hG4bK{chance.getrandbits(64):016x}"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "surrogateescape")).hexdigest()
