"""The other side of a SIP line in these tests: requests as a device writes them, sockets that speak, answers taken apart without our parser."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from waiting import WAIT_S, wait_until

from drivers.contract import STORED, Rejected, Verdict
from drivers.lines.sip_port import SipLine
from drivers.registry import build_line
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event

TEXT = b"help, I fell"


def request(
    method: str = "MESSAGE",
    *,
    branch: str = "z9hG4bKdemo1",
    via: str = "",
    transport: str = "UDP",
    sent_by: str = "192.0.2.20:5060",
    uri: str = "sip:12349@gateway.example",
    from_: str = "<sip:1234567890@example.net>;tag=d1",
    to: str = "<sip:12349@gateway.example>",
    call_id: str = "demo1@192.0.2.20",
    cseq: int = 1,
    cseq_method: str = "",
    headers: Sequence[str] = (),
    content_type: str = "text/plain",
    body: bytes = TEXT,
    length: int | None = None,
) -> bytes:
    """RFC 3428's own example in shape. `via`: the whole header lines instead of one with `branch`; rport is asked for."""
    lines = [f"{method} {uri} SIP/2.0", via or f"Via: SIP/2.0/{transport} {sent_by};branch={branch};rport"]
    lines += [f"From: {from_}", f"To: {to}", f"Call-ID: {call_id}", f"CSeq: {cseq} {cseq_method or method}", "Max-Forwards: 70", *headers]
    if body and content_type:
        lines.append(f"Content-Type: {content_type}")
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


@dataclass
class Answer:
    """A response or request as text, header names in lower case, every value in order."""

    first: str
    headers: dict[str, list[str]]
    body: bytes

    @property
    def code(self) -> int:
        return int(self.first.split(" ")[1])

    @property
    def reason(self) -> str:
        return self.first.split(" ", 2)[2]

    def one(self, name: str) -> str:
        values = self.headers.get(name.lower(), [])
        assert len(values) == 1, f"{name}: {values} in {self.first}"
        return values[0]


def read(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    assert len(body) == int(headers["content-length"][0])
    return Answer(first, headers, body)


def ok(asked: bytes, code: int = 200, extra: Sequence[str] = (), tag: str = "peer") -> bytes:
    """The answer of a simple peer to a request of ours: everything copied, a To tag, its own headers."""
    told = read(asked)
    lines = [f"SIP/2.0 {code} Whatever"]
    for name in ("via", "from", "to", "call-id", "cseq"):
        lines += [f"{name}: {value}{f';tag={tag}' if name == 'to' and ';tag=' not in value else ''}" for value in told.headers[name]]
    return "\r\n".join([*lines, *extra, "Content-Length: 0", "", ""]).encode()


class Datagrams:
    """A UDP peer on a port of its own."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.setblocking(False)
        self.line = (host, port)
        self.port: int = self.socket.getsockname()[1]

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendto(self.socket, data, self.line)

    async def receive(self, timeout_s: float = WAIT_S) -> bytes:
        async with asyncio.timeout(timeout_s):  # wait_for may swallow a cancellation, and then who was cancelled goes on for ever
            data, source = await asyncio.get_running_loop().sock_recvfrom(self.socket, 65_535)
        assert source[:2] == self.line, "answered from the port that was asked"
        return data

    async def ask(self, data: bytes) -> Answer:
        await self.send(data)
        return read(await self.receive())

    async def is_silent(self) -> bool:
        """Nothing comes, though a request after it is answered: so nothing was on its way."""
        probe = await self.ask(request("OPTIONS", branch="z9hG4bKprobe", call_id="probe", body=b""))
        return probe.one("call-id") == "probe"

    def close(self) -> None:
        self.socket.close()


class Connection:
    """A TCP or TLS peer; messages out of the stream by Content-Length."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> "Connection":
        return cls(*await asyncio.open_connection(host, port, ssl=tls, server_hostname="localhost" if tls else None))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self) -> bytes:
        async with asyncio.timeout(WAIT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        async with asyncio.timeout(WAIT_S):
            return head + await self.reader.readexactly(length)

    async def ask(self, data: bytes) -> Answer:
        await self.send(data)
        return read(await self.receive())

    async def ended(self) -> bytes:
        """What still came before the other side closed."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(WAIT_S):
                return await self.reader.read()
        return b""

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


@dataclass
class Store:
    """Stands in the pipeline's place: keeps, refuses as often as it is told to, or waits until it is let go."""

    kept: list[Event | Rejected] = field(default_factory=list)
    down: int = 0
    unfit: bool = False
    gate: asyncio.Event | None = None
    emits: int = 0

    async def emit(self, events: Sequence[Event | Rejected]) -> list[Verdict]:
        self.emits += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            self.down -= 1
            return [Verdict("refused", "store_down", retry=True)] * len(events)
        self.kept += events
        return [
            Verdict("refused", event.reason) if isinstance(event, Rejected) else Verdict("refused", "undecidable") if self.unfit else STORED
            for event in events
        ]

    @property
    def events(self) -> list[Event]:
        return [item for item in self.kept if isinstance(item, Event)]

    @property
    def rejected(self) -> list[str]:
        return [item.reason for item in self.kept if isinstance(item, Rejected)]


class Told:
    def __init__(self) -> None:
        self.states: list[str] = []

    def live(self) -> None:
        self.states.append("live")

    def heard(self) -> None:
        pass

    def suspect(self, reason: str) -> None:
        self.states.append(reason)


def a_line(listen: str = "udp:0:interface=127.0.0.1", calls: CallsConfig | None = None, **options: object) -> SipLine:
    line = build_line(LineConfig(name="sip", codec="sip", listen=listen, options=options), calls or CallsConfig(hotlines=("12349",)))
    assert isinstance(line, SipLine)
    return line


@contextlib.asynccontextmanager
async def running(line: SipLine, store: Store) -> AsyncIterator[SipLine]:
    told = Told()
    task = asyncio.create_task(line.run(store.emit, told))
    await wait_until(lambda: told.states or task.done(), "the line is live")
    if task.done():
        task.result()
    try:
        yield line
    finally:
        if task.done():
            task.result()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def talking(store: Store | None = None, **options: object) -> AsyncIterator[tuple[Datagrams, Store, SipLine]]:
    """A running line on UDP and one peer of it."""
    store = store or Store()
    async with running(a_line(**options), store) as line:
        assert line.port is not None
        peer = Datagrams(line.port)
        try:
            yield peer, store, line
        finally:
            peer.close()
