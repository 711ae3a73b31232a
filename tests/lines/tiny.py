"""A stream codec of a few words for tests of lines: text lines, a receipt after the store, and words for its devices.

In: `ALARM device number`, `HELLO device` (speaks here alone), `PING`, `TOLD token reason`, `BYE` (hang up behind what waits).
Out: `OK number` or `BUSY number`, `HI`, `PONG`, `TELL token word`, and `WHO` as soon as a connection stands.
"""

import asyncio
from collections.abc import Sequence

import msgspec
from waiting import WAIT_S

from drivers import registry
from drivers.contract import STORED, Rejected, Signal, Surroundings, Verdict
from drivers.downlink import Tell, Word
from drivers.registry import STREAM_ENDPOINTS, Driver, Transport, build_line
from drivers.supervisor import LineStatus, keep_running
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event, Kind

CUT_S = 0.05  # a line that does not end
STORE_DOWN = Verdict("refused", "store_down", retry=True)


class TinyOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    repeats: bool = True
    greets: bool = False
    tells: bool = True


class Tiny:
    def __init__(self, options: TinyOptions, place: Surroundings) -> None:
        self.peer_repeats = options.repeats
        self.addresses: set[str] = set()
        self.hang_up = False
        self._options = options
        self._line = b""
        self._cut_at: float | None = None
        self._out: list[str] = []
        self._told: list[tuple[int, str]] = []
        place.memory.append(self)

    def connected(self, now: float) -> None:
        if self._options.greets:
            self._out.append("WHO")

    def receive_data(self, data: bytes, now: float) -> list[Signal | Rejected]:
        *lines, self._line = (self._line + data).split(b"\n")
        self._cut_at = now + CUT_S if self._line else None
        return [found for line in lines for found in self._read(line)]

    def _read(self, line: bytes) -> list[Signal | Rejected]:
        match line.decode().split():
            case ["ALARM", device, number]:
                return [Signal(kind=Kind.SOS, device=device, dedup=number, raw=line, token=number)]
            case ["HELLO", device]:
                self.addresses.add(device)
                self._out.append("HI")
            case ["PING"]:
                self._out.append("PONG")
            case ["TOLD", token, *reason]:
                self._told.append((int(token), "".join(reason)))
            case ["BYE"]:
                self.hang_up = True
            case _:
                return [Rejected(reason="unknown_word", raw=line)]
        return []

    def confirm(self, signal: Signal | Rejected) -> None:
        if signal.token is not None:
            self._out.append(f"OK {signal.token}")

    def refuse(self, signal: Signal | Rejected, reason: str) -> None:
        self._out.append(f"BUSY {signal.token}")

    def data_to_send(self) -> bytes:
        out, self._out = self._out, []
        return "".join(f"{line}\n" for line in out).encode()

    def deadline(self) -> float | None:
        return self._cut_at

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:
        if self._cut_at is None or now < self._cut_at:
            return []
        raw, self._line, self._cut_at = self._line, b"", None
        return [Rejected(reason="cut", raw=raw)]


class TinyTeller(Tiny):
    """Confirms what it tells, but for OVER, for which the protocol has no confirmation; it has no word for PROMPT."""

    def can_tell(self, device: str, word: Word) -> bool:
        return device in self.addresses and word is not Word.PROMPT

    def tell(self, tell: Tell, token: int, now: float) -> None:
        self._out.append(f"TELL {token} {tell.word}")
        if tell.word is Word.OVER:
            self._told.append((token, ""))

    def told(self) -> list[tuple[int, str]]:
        told, self._told = self._told, []
        return told


CODECS: list[Tiny] = []  # made since the last `install`, in order


def install() -> None:
    """Put the row `tiny` into the table; the caller takes it out again."""
    CODECS.clear()

    def placed(options: TinyOptions, place: Surroundings) -> Tiny:
        return (TinyTeller if options.tells else Tiny)(options, place)

    registry.DRIVERS["tiny"] = lambda: Driver(
        Transport.STREAM, TinyOptions, placed=placed, memory=lambda _options: CODECS, endpoints=(*STREAM_ENDPOINTS, "udp"), connects=True, tells=True
    )


class Store:
    """Stands for the pipeline: stores when the test lets it, and answers what the test says."""

    def __init__(self) -> None:
        self.asked = 0
        self.kept: list[Event | Rejected] = []
        self.verdict = STORED
        self.may_commit = asyncio.Event()
        self.may_commit.set()

    async def emit(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        self.asked += 1
        await self.may_commit.wait()
        verdict = self.verdict
        if verdict.kept:
            self.kept += events
        return [verdict] * len(events)

    @property
    def cries(self) -> list[str]:
        return [f"{one.device} {one.dedup}" for one in self.kept if isinstance(one, Event) and one.kind is Kind.SOS]

    @property
    def rejected(self) -> list[str]:
        return [one.reason for one in self.kept if isinstance(one, Rejected)]


class House:
    """One supervised line with the codec `tiny`, in front of a store."""

    def __init__(self, options: dict[str, object] | None = None, **config: object) -> None:
        self.store = Store()
        self.status = LineStatus("tiny")
        line_config = LineConfig(name="tiny", codec="tiny", options=options or {}, **config)  # type: ignore[arg-type]
        self.line = build_line(line_config, CallsConfig())
        self._task = asyncio.create_task(keep_running(self.line, self.store.emit, self.status))

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Link:
    """The device's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @staticmethod
    async def to(port: int, source: str = "127.0.0.1") -> "Link":
        return Link(*await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0)))

    def say(self, *lines: str) -> None:
        self.writer.write("".join(f"{line}\n" for line in lines).encode())

    async def hears(self, line: str) -> None:
        assert await asyncio.wait_for(self.reader.readline(), WAIT_S) == f"{line}\n".encode()

    async def asks(self, line: str, answer: str) -> None:
        self.say(line)
        await self.hears(answer)

    async def is_closed(self) -> None:
        """By the other end, with nothing left to read."""
        try:
            assert await asyncio.wait_for(self.reader.read(), WAIT_S) == b""
        except ConnectionResetError:
            pass
        await self.hang_up()

    async def hang_up(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionResetError:
            pass
