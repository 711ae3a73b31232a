"""The SIP side of a simulated home unit: requests over UDP, TCP or TLS with the timers of RFC 3261 and digest, and answers to what it is sent."""

import asyncio
import hashlib
import re
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from simulators.exchange.sip_parse import Message, parameter, parse, whole_message

T1_S = 0.5  # RFC 3261, 17.1: doubled up to T2 = 8 T1, given up after 64 T1
MAX_SEEN = 1_000  # requests remembered, so that a retransmission is not heard twice
ALGORITHMS = {"": "md5", "MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
FIELD = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))')

Send = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where alarms go: an entry of the unit's list."""

    host: str
    port: int
    transport: str = "udp"

    @classmethod
    def read(cls, text: str) -> "Receiver":
        """`udp:HOST:PORT`, `tcp:…` or `tls:…`. ValueError when it is none."""
        transport, _, rest = text.partition(":")
        host, _, port = rest.rpartition(":")
        if transport not in ("udp", "tcp", "tls") or not host or not port.isdigit():
            raise ValueError(f"{text!r} is not like udp:127.0.0.1:5060")
        return cls(host.strip("[]"), int(port), transport)

    @property
    def place(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.transport}:{self.place}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request came to. code 0: nobody answered in time; 503 also when nobody listens. sent: transmissions, all attempts together."""

    code: int
    sent: int
    message: Message | None = None


class HomeLink:
    """One UDP socket and a connection for each stream receiver. `heard` gets each MESSAGE sent to us, once."""

    def __init__(
        self,
        user: str,
        heard: Callable[[Message], None],
        *,
        account: str = "",
        password: str = "",
        t1_s: float = T1_S,
        algorithms: tuple[str, ...] = tuple(ALGORITHMS),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.user = user
        self.drop_answers = 0  # so many final answers are lost on their way to us
        self._heard = heard
        self._account = account or user
        self._password = password
        self._t1_s = t1_s
        self._algorithms = algorithms
        self._tls = tls
        self._waiting: dict[str, asyncio.Queue[Message | None]] = {}
        self._seen: dict[str, None] = {}
        self._udp: asyncio.DatagramTransport | None = None
        self._streams: dict[Receiver, tuple[asyncio.StreamWriter, asyncio.Task[None]]] = {}

    async def start(self, host: str = "127.0.0.1") -> None:
        self._udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Datagrams(self._datagram), local_addr=(host, 0))

    async def stop(self) -> None:
        if self._udp is not None:
            self._udp.close()
        for writer, task in self._streams.values():
            task.cancel()
            writer.close()
            await asyncio.gather(task, writer.wait_closed(), return_exceptions=True)
        self._streams.clear()

    @property
    def port(self) -> int:
        """Of the UDP socket."""
        assert self._udp is not None
        found: int = self._udp.get_extra_info("sockname")[1]
        return found

    async def message(self, receiver: Receiver, body: bytes, content_type: str, call_id: str = "") -> Answer:
        """One MESSAGE; asked for a password, once more with it."""
        call_id, tag = call_id or secrets.token_hex(8), secrets.token_hex(4)
        proof, sent = "", 0
        for number in (1, 2):
            answer = await self._transaction(receiver, number, call_id, tag, proof, body, content_type)
            sent += answer.sent
            challenge = _challenge(answer.message, self._algorithms) if answer.code in (401, 407) and answer.message is not None else None
            if challenge is None or not self._password or number == 2:
                return Answer(answer.code, sent, answer.message)
            name = "Authorization" if answer.code == 401 else "Proxy-Authorization"
            proof = f"{name}: {_proof(challenge, self._account, self._password, 'MESSAGE', self._uri(receiver))}\r\n"
        raise AssertionError("not reached")

    def _uri(self, receiver: Receiver) -> str:
        return f"sip:arc@{receiver.place}" + ("" if receiver.transport == "udp" else ";transport=tcp")

    async def _transaction(self, receiver: Receiver, number: int, call_id: str, tag: str, proof: str, body: bytes, content_type: str) -> Answer:
        """RFC 3261, 17.1.2: the same octets again and again over UDP, once over a stream, until a final answer or 64 T1."""
        branch = "z9hG4bK" + secrets.token_hex(8)
        try:
            send, local = await self._way(receiver)
        except OSError:
            return Answer(503, 0)
        head = (
            f"MESSAGE {self._uri(receiver)} SIP/2.0\r\nVia: SIP/2.0/{receiver.transport.upper()} {local};branch={branch};rport\r\n"
            "Max-Forwards: 70\r\n"
            f"From: <sip:{self.user}@{receiver.host}>;tag={tag}\r\nTo: <sip:arc@{receiver.place}>\r\nCall-ID: {call_id}\r\nCSeq: {number} MESSAGE\r\n"
            f"Contact: <sip:{self.user}@{local}>\r\n{proof}Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        wire = head.encode() + body
        loop = asyncio.get_running_loop()
        inbox = self._waiting[branch] = asyncio.Queue()
        give_up, pause, sent = loop.time() + 64 * self._t1_s, self._t1_s, 0
        again = loop.time()
        try:
            while True:
                now = loop.time()
                if again <= min(now, give_up) and (sent == 0 or receiver.transport == "udp"):  # also what a machine that slept could not send in time
                    send(wire)
                    sent += 1
                    again, pause = again + pause, min(2 * pause, 8 * self._t1_s)
                elif now >= give_up:
                    return Answer(0, sent)
                until = min(again, give_up) if receiver.transport == "udp" else give_up
                try:
                    async with asyncio.timeout_at(until):  # not wait_for: in Python 3.11 it may swallow a cancellation
                        answer = await inbox.get()
                except TimeoutError:
                    continue
                if answer is None:
                    return Answer(503, sent)
                if answer.code >= 200:
                    if self.drop_answers:
                        self.drop_answers -= 1
                        continue
                    return Answer(answer.code, sent, answer)
        finally:
            del self._waiting[branch]

    async def _way(self, receiver: Receiver) -> tuple[Send, str]:
        """How octets get there, and our own address as it stands in Via and Contact. OSError: nobody listens."""
        if receiver.transport == "udp":
            udp = self._udp
            assert udp is not None
            host = udp.get_extra_info("sockname")[0]
            return lambda data: udp.sendto(data, (receiver.host, receiver.port)), f"{host}:{self.port}"
        known = self._streams.get(receiver)
        if known is None or known[1].done():
            tls = self._tls if receiver.transport == "tls" else None
            reader, writer = await asyncio.open_connection(receiver.host, receiver.port, ssl=tls)
            known = self._streams[receiver] = writer, asyncio.create_task(self._read(reader, writer), name=f"home unit {receiver}")
        writer = known[0]
        name = writer.get_extra_info("sockname")
        return writer.write, f"{name[0]}:{name[1]}"

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = bytearray()
        try:
            while data := await reader.read(65_536):
                buffer += data
                while (message := whole_message(buffer)) is not None:
                    self._take(message, writer.write)
        except (OSError, ValueError):
            pass
        writer.close()  # another one takes its place
        for inbox in self._waiting.values():
            inbox.put_nowait(None)

    def _datagram(self, data: bytes, address: tuple[str, int]) -> None:
        self._take(data, lambda answer: self._udp.sendto(answer, address) if self._udp is not None else None)

    def _take(self, data: bytes, send: Send) -> None:
        message = parse(data)
        if message is None:
            return
        if message.code:
            inbox = self._waiting.get(message.branch)
            if inbox is not None:
                inbox.put_nowait(message)
            return
        if message.method == "ACK":
            return
        send(_response(message, {"MESSAGE": "200 OK", "OPTIONS": "200 OK"}.get(message.method, "405 Method Not Allowed")))
        if message.method == "MESSAGE" and message.get("via") not in self._seen:
            self._seen[message.get("via")] = None
            if len(self._seen) > MAX_SEEN:
                del self._seen[next(iter(self._seen))]
            self._heard(message)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, receive: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._receive = receive

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self._receive(data, address[:2])

    def error_received(self, _: Exception) -> None:
        """Nobody listens there at the moment: as good as silence."""


def _response(request: Message, status: str) -> bytes:
    vias = "".join(f"Via: {via}\r\n" for via in request.all("via"))
    to = request.get("to")
    tag = "" if parameter(to, "tag") else f";tag={request.branch[-8:]}"
    text = f"SIP/2.0 {status}\r\n{vias}From: {request.get('from')}\r\nTo: {to}{tag}\r\nCall-ID: {request.call_id}\r\nCSeq: {request.get('cseq')}\r\n"
    return (text + "Content-Length: 0\r\n\r\n").encode("utf-8", "surrogateescape")


def _challenge(message: Message, algorithms: tuple[str, ...]) -> dict[str, str] | None:
    """The topmost challenge that this unit understands (RFC 8760); old units know only MD5."""
    for value in message.all("www-authenticate") + message.all("proxy-authenticate"):
        fields = {name.lower(): quoted or bare for name, quoted, bare in FIELD.findall(value.partition(" ")[2])}
        if fields.get("algorithm", "") in algorithms:
            return fields
    return None


def _proof(challenge: dict[str, str], user: str, password: str, method: str, uri: str) -> str:
    """RFC 7616, 3.4, with qop auth if it is offered."""
    algorithm, realm, nonce = challenge.get("algorithm", ""), challenge.get("realm", ""), challenge.get("nonce", "")

    def digest(text: str) -> str:
        return hashlib.new(ALGORITHMS[algorithm], text.encode()).hexdigest()

    secret, what = digest(f"{user}:{realm}:{password}"), digest(f"{method}:{uri}")
    cnonce, tail = secrets.token_hex(8), ""
    if "auth" in challenge.get("qop", ""):
        response = digest(f"{secret}:{nonce}:00000001:{cnonce}:auth:{what}")
        tail = f', qop=auth, nc=00000001, cnonce="{cnonce}"'
    else:
        response = digest(f"{secret}:{nonce}:{what}")
    tail += f", algorithm={algorithm}" if algorithm else ""
    tail += f', opaque="{challenge["opaque"]}"' if "opaque" in challenge else ""
    return f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", response="{response}"{tail}'
