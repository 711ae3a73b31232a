"""Real telephony for tests: a Kamailio that pastes our own snippet, SIPp as callers and telephones, and what SIPp logged of each call.

Every process runs in the foreground on free loopback ports and is ended by its id.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from servers import program
from waiting import free_port, wait_until

from drivers.contract import STORED, Line, Rejected, Verdict
from drivers.lines.packet_stream import PacketStreamLine
from drivers.registry import build_line
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event

HERE = Path(__file__).parent
HOTLINE = "12349"
CALLER = 17_400_000_001  # a range without subscribers, as everywhere in our invented districts
CALLS = CallsConfig(hotlines=(HOTLINE,), area_code="0931")
START_S = 60.0  # each of these starts in a fraction of a second; a loaded machine is given time
CALL_S = 120.0  # the longest that a run of SIPp may take


def caller(number: int = 0) -> str:
    """E.164 of the caller of SIPp's n-th call."""
    return f"+86{CALLER + number}"


def free_sip_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on, neither over UDP nor over TCP."""
    return free_port(socket.SOCK_DGRAM, socket.SOCK_STREAM, host=host)


def is_bound(port: int) -> bool:
    """Does any socket have this port? Asked of the kernel, as a try would take the port away from who is about to open it."""
    wanted = f":{port:04X}"
    tables = (Path("/proc/net", name) for name in ("udp", "udp6", "tcp", "tcp6"))
    rows = (row.split() for table in tables if table.exists() for row in table.read_text().splitlines()[1:])
    return any(row[1].endswith(wanted) and (row[3] in ("07", "0A")) for row in rows)  # unconnected UDP, listening TCP


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class Program:
    """A process with a log of its own."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self, command: Sequence[str]) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    async def listens(self, port: int) -> None:
        def check() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"{self.log.name} ended at once:\n{self.tail()}"
            return is_bound(port)

        await wait_until(check, f"{self.log.name} listens", START_S)

    async def ended(self, timeout_s: float = START_S) -> int:
        process = self.process
        assert process is not None
        await wait_until(lambda: process.poll() is not None, f"{self.log.name} ended", timeout_s)
        return process.returncode

    def stop(self) -> None:
        """SIGKILL, with all children. Not SIGTERM: Kamailio 5.6's children now and then wait for each other for ever while they end."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def tail(self) -> str:
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-20:])


class Kamailio(Program):
    """The proxy of `kamailio.cfg`: rings `phones` (one, or two at once) whatever is called, and mirrors all to `gateway`, a SIP URI.

    flags: ONE_AFTER_THE_OTHER (the second telephone only if the first is not taken), WITH_AUTH, WITHOUT_100, ONCE (says nothing again).
    children: of them one may overtake another, on its way to the telephone and to the gateway; one keeps the order that SIPp logs.
    """

    def __init__(
        self,
        folder: Path,
        gateway: str,
        *phones: str,
        host: str = "127.0.0.1",
        ring_ms: int = 30_000,
        flags: Sequence[str] = (),
        hep_version: int = 3,
        hep_key: str = "",
        children: int = 1,
    ) -> None:
        super().__init__(folder / "kamailio.log")
        self.host = host
        self.port = free_sip_port(host)
        self._folder = folder
        self._children = children
        defines = {"GATEWAY_HEP": f'"{gateway}"', "GATEWAY_HEP_VERSION": str(hep_version), "RING_MS": str(ring_ms)}
        defines |= {name: f'"{uri}"' for name, uri in zip(("PHONE", "SECOND_PHONE"), phones, strict=False)}
        if hep_key:
            defines["GATEWAY_HEP_KEY"] = f'"{hep_key}"'
        self._defines = [f"{name}={value}" for name, value in defines.items()] + list(flags)

    async def __aenter__(self) -> "Kamailio":
        where = f"{bracketed(self.host)}:{self.port}"
        defines = [word for define in self._defines for word in ("-A", define)]
        folder = str(self._folder)
        # -DD -E: in the foreground, its children end with it, log to stderr; -m, -M: MiB of memory, as little as it needs
        options = [
            "-DD",
            "-E",
            "-m",
            "32",
            "-M",
            "4",
            "-n",
            str(self._children),
            "-Y",
            folder,
            "-w",
            folder,
            "-l",
            f"udp:{where}",
            "-l",
            f"tcp:{where}",
        ]
        self.launch([program("kamailio"), "-f", str(HERE / "kamailio.cfg"), *options, *defines])
        await self.listens(self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Logged:
    """One line of SIPp's log: `at` seconds since 1970; `first` is the message's first line."""

    at: float
    sent: bool
    call_id: str
    cseq: int
    method: str
    first: str

    @property
    def code(self) -> int:
        """0 for a request."""
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0 ") else 0


class Sipp(Program):
    """One SIPp with one of our scenarios; `d_ms` is what its pauses take. A telephone serves until stopped, callers end by themselves.

    once: it says nothing again that is not answered at once, for tests that count messages.
    """

    def __init__(self, folder: Path, scenario: str, *, host: str = "127.0.0.1", tcp: bool = False, d_ms: int = 0, once: bool = False) -> None:
        self.port = free_sip_port(host)
        self._name = f"{scenario}-{self.port}"
        super().__init__(folder / f"{self._name}.log")
        self.host = host
        self._tcp = tcp
        self._folder = folder
        self._messages = folder / f"{self._name}.messages"
        self._errors = folder / f"{self._name}.errors"
        self._options = ["-sf", str(HERE / "scenarios" / f"{scenario}.xml"), "-i", host, "-p", str(self.port), "-t", "t1" if tcp else "u1"]
        self._options += ["-ci", "127.0.0.1", "-nostdin", "-d", str(d_ms), "-trace_err", "-error_file", str(self._errors)]
        self._options += ["-trace_shortmsg", "-shortmessage_file", str(self._messages), *(["-nr"] if once else [])]

    def uri(self, user: str) -> str:
        return f"sip:{user}@{bracketed(self.host)}:{self.port}" + (";transport=tcp" if self._tcp else "")

    async def __aenter__(self) -> "Sipp":
        self.launch([program("sipp"), *self._options])
        await self.listens(self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    async def calls(self, proxy: str, count: int = 1, rate: int = 10, *, callers: int | None = None) -> None:
        """Place so many calls to the hotline, `rate` a second, from as many numbers (or from `callers`); fails unless each went as written."""
        numbers = self._folder / f"{self._name}.csv"
        numbers.write_text("SEQUENTIAL\n" + "".join(f"{CALLER + number}\n" for number in range(callers or count)))
        more = ["-inf", str(numbers), "-s", HOTLINE, "-m", str(count), "-r", str(rate), "-l", str(count), "-au", str(CALLER), "-ap", "s3cret"]
        self.launch([program("sipp"), proxy, *self._options, *more])
        try:
            code = await self.ended(CALL_S)
        finally:
            self.stop()
        assert code == 0, f"{self._name}: a call did not go as written\n{self._errors.read_text() if self._errors.exists() else self.tail()}"

    def logged(self) -> list[Logged]:
        """What was sent and received, in order. Columns: date, time, seconds, S or R, Call-ID, `CSeq:n METHOD`, first line."""
        rows = (line.split("\t") for line in self._messages.read_text("utf-8").splitlines())
        found = []
        for _, _, at, way, call_id, cseq, first in rows:
            number, method = cseq.removeprefix("CSeq:").split()
            found.append(Logged(float(at), way == "S", call_id, int(number), method, first))
        return found


def calls_of(caller_log: Iterable[Logged]) -> dict[str, dict[str, float]]:
    """Call-ID → {what became of the call: when}, judged from the caller's own messages and nothing else."""
    return {call_id: {became: line.at for became, line in lines.items()} for call_id, lines in _lines_of(caller_log).items()}


def spans_of(caller_log: Sequence[Logged], phones: Iterable[Sequence[Logged]]) -> dict[str, dict[str, tuple[float, float]]]:
    """Call-ID → {what became of the call: (since when, until when)}: from when the message left one end, until it, or its answer, came to another.
    The proxy had it in between, however long the machine lent its cores to somebody else. What the proxy says of itself has one time only."""
    others: dict[str, list[Logged]] = {}
    for line in (line for phone in phones for line in phone):
        others.setdefault(line.call_id, []).append(line)
    own: dict[str, list[Logged]] = {}
    for line in caller_log:
        own.setdefault(line.call_id, []).append(line)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for call_id, lines in _lines_of(caller_log).items():
        for became, line in lines.items():
            there = [one for one in others.get(call_id, ()) if (one.method, one.cseq, one.sent) == (line.method, line.cseq, not line.sent)]
            left = [one.at for one in there if one.code == line.code and one.at <= line.at] if not line.sent else []
            came = [one.at for one in there if one.code == line.code and one.at >= line.at] if line.sent else []
            if line.sent:
                came += [one.at for one in own[call_id] if not one.sent and one.code and one.cseq == line.cseq and one.at >= line.at]
            found.setdefault(call_id, {})[became] = (min([line.at, *left]), min(came, default=line.at))
    return found


def _lines_of(caller_log: Iterable[Logged]) -> dict[str, dict[str, Logged]]:
    calls: dict[str, dict[str, Logged]] = {}
    for line in caller_log:
        became = None
        if line.first.startswith("INVITE ") and line.sent:
            became = "offered"
        elif line.first.startswith("BYE "):
            became = "ended"
        elif line.method == "INVITE" and not line.sent:
            became = _became(line.code)
        if became is not None:
            calls.setdefault(line.call_id, {}).setdefault(became, line)
    return calls


def _became(code: int) -> str | None:
    """What a response to INVITE means to the caller who receives it; None: nothing yet (100), or try again with a password (407)."""
    if code < 300:
        return {180: "ringing", 200: "answered"}.get(code)
    return {407: None, 487: "abandoned"}.get(code, "missed")


def as_seen(*sipps: Sipp) -> dict[str, list[str]]:
    """Call-ID → what became of the call, in order, by the callers' own logs."""
    calls = {call_id: told for sipp in sipps for call_id, told in calls_of(sipp.logged()).items()}
    return {call_id: sorted(told, key=told.__getitem__) for call_id, told in calls.items()}


class Listening:
    """The gateway's `hep` line, built as the gateway builds it, with a pipeline that takes everything and keeps it."""

    def __init__(self, listen: str = "udp:0:interface=127.0.0.1", **options: object) -> None:
        self.events: list[Event] = []
        self.rejected: list[Rejected] = []
        self.line: Line = build_line(LineConfig(name="pbx", codec="hep", listen=listen, options=options), CALLS)

    async def emit(self, items: Sequence[Event | Rejected]) -> list[Verdict]:
        self.events += [item for item in items if isinstance(item, Event)]
        self.rejected += [item for item in items if isinstance(item, Rejected)]
        await asyncio.sleep(0)
        return [STORED] * len(items)

    @property
    def port(self) -> int:
        port: int = self.line.port  # type: ignore[attr-defined]
        return port

    @property
    def copies(self) -> int:
        """Packets that have come."""
        counts = self.line.counts  # type: ignore[attr-defined]
        return int(counts["datagrams"] + counts["packets"])

    def kinds(self) -> dict[str, list[str]]:
        """Call-ID → what was told of the call, in the order in which it was told."""
        found: dict[str, list[str]] = {}
        for event in self.events:
            found.setdefault(str(event.detail["call_id"]), []).append(event.kind.value.removeprefix("call_"))
        return found

    def only(self, kind: str) -> Event:
        """The one event of this kind."""
        [event] = [event for event in self.events if event.kind.value == f"call_{kind}"]
        return event


class _Told:
    """A supervisor that looks on."""

    def __init__(self) -> None:
        self.is_live = False

    def live(self) -> None:
        self.is_live = True

    def heard(self) -> None: ...

    def suspect(self, reason: str) -> None: ...


@contextlib.asynccontextmanager
async def listening(listen: str = "udp:0:interface=127.0.0.1", **options: object) -> AsyncIterator[Listening]:
    """A running hep line."""
    ear, told = Listening(listen, **options), _Told()
    task = asyncio.create_task(ear.line.run(ear.emit, told))
    await wait_until(lambda: told.is_live or task.done(), "the line is live")
    try:
        if task.done():
            task.result()
        yield ear
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def heard_all(ear: Listening, host: str = "127.0.0.1") -> None:
    """Kamailio has ended: what it sent lies in our socket. UDP: once a last word of the test's own was read, all of that was; TCP: once
    the connection is closed."""
    if isinstance(ear.line, PacketStreamLine):
        line = ear.line
        await wait_until(lambda: not line.connections, "the proxy's connections are read to their end")
        return
    before = len(ear.rejected)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as last:
        last.sendto(b"the end", (host, ear.port))
    await wait_until(lambda: len(ear.rejected) > before, "the last datagram was read")
    assert ear.rejected.pop().reason == "not_hep"
