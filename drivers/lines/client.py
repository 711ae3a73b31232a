"""A line that connects to a server over TCP or TLS (`connect = "tcp:HOST:PORT"`, `"tls:HOST:PORT"`) and holds one conversation with it.

What the server tells is never told twice, so events are held until they are stored. What the gateway asks of an exchange goes the same way.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime

import structlog

from drivers.contract import Emit, Rejected, Report, Signal
from drivers.lines.dialling import Dialled, dial
from drivers.lines.hold import Delivery, NoTimers
from drivers.lines.silence import SilenceWatch
from drivers.telephone import Dial, Ring, TelephoneCodec, Told, Wish
from gateway import clock
from gateway.config import LineConfig
from gateway.errors import LineError

# Reading stops when half the hold is full and goes on at a quarter: the server's buffers take the rest, and what it then drops its
# snapshot makes good after the next login.
PAUSE_AT = 0.5
RESUME_AT = 0.25
LOOK_S = 0.1  # how often a paused line looks whether enough is stored
MAX_WISHES = 64  # under way at once; `[telephone]` allows fewer, this stops a bug from filling the exchange
WISH_S = 30.0  # beyond all ringing an exchange may take so long to say what became of a wish (drivers.telephone)
SETTLE_S = 2.0  # what was heard right before the connection went is stored before the line counts as lost

log = structlog.get_logger()


class ClientLine:
    """One connection, one codec for the life of the line, one emit at a time. An `Exchange` (drivers.telephone).

    prepare, ca_file, server_name: as `dialling.dial` has them; prepare is called before each connection.
    restore: gives the details of the calls that were live when the gateway stopped; asked once.
    counts: connections, dropped (hold was full), wishes_refused. The codec counts beside it.
    """

    def __init__(
        self,
        config: LineConfig,
        codec: TelephoneCodec,
        *,
        prepare: Callable[[], None] | None = None,
        restore: Callable[[], Iterable[Mapping[str, object]]] | None = None,
        ca_file: str = "",
        server_name: str = "",
    ) -> None:
        self.name = config.name
        self.codec_name = config.codec
        self.mandatory = config.mandatory
        self.codec = codec
        self.counts: Counter[str] = Counter()
        self._connect = config.connect or ""
        self._ca_file, self._server_name = ca_file, server_name
        self._silence_s = config.silence_s
        self._prepare = prepare
        self._restore = restore
        self._delivery = Delivery(config.name, NoTimers(), self.counts)
        self._wishes: dict[int, asyncio.Future[Told]] = {}
        self._tokens = itertools.count(1)
        self._not_before = 0.0  # monotonic: a server that refused us is left in peace until then
        self._run: _Run | None = None

    @property
    def held(self) -> int:
        """Events read and not yet stored."""
        return len(self._delivery)

    async def run(self, emit: Emit, report: Report) -> None:
        """Connect and converse until cancelled; what is held then is kept for the next run of this object.

        Raises LineError when there is no connection to be had, when it is lost, and when the codec gives it up; and whatever the codec
        raised (our bug).
        """
        if self._restore is not None:
            restore, self._restore = self._restore, None
            restored = self.codec.restore(restore(), clock.monotonic())
            log.info("calls_restored", line=self.name, calls=restored)
        self._delivery.begin()
        delivery = asyncio.create_task(self._delivery.run(emit), name=f"{self.name} delivery")
        try:
            await asyncio.sleep(max(0.0, self._not_before - clock.monotonic()))
            reason = await self._converse(report, delivery)
            if not delivery.done():
                with suppress(TimeoutError):
                    async with asyncio.timeout(SETTLE_S):
                        await self._delivery.emptied()
            raise LineError(reason)
        finally:
            delivery.cancel()
            await asyncio.gather(delivery, return_exceptions=True)

    async def ask(self, wish: Wish) -> Told:
        """Carry it out and wait for what it came to. Cancelling: it may still be carried out, and nobody is told."""
        if len(self._wishes) >= MAX_WISHES:
            self.counts["wishes_refused"] += 1
            return Told(outcome="refused", reason="too_many_wishes")
        token = next(self._tokens)
        future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._wishes[token] = future
        limit_s = WISH_S + (wish.rings_s if isinstance(wish, Dial | Ring) else 0.0)
        try:
            self.codec.ask(wish, token, clock.monotonic())
            if self._run is not None:
                self._run.flush()
            else:
                self._tell_wishes()
            async with asyncio.timeout(limit_s):
                return await future
        except TimeoutError:
            return Told(outcome="failed", reason="timeout")
        finally:
            self._wishes.pop(token, None)

    async def _converse(self, report: Report, delivery: "asyncio.Task[None]") -> str:
        """One connection from its opening to its end; gives why it ended."""
        connection = await dial(self._connect, self._ca_file, self._server_name, self._prepare)
        self.counts["connections"] += 1
        watch = SilenceWatch(report, self._silence_s)
        run = self._run = _Run(self, connection, watch, report)
        tasks = [
            asyncio.create_task(run.run_timers(), name=f"{self.name} timers"),
            asyncio.create_task(watch.run(), name=f"{self.name} silence"),
        ]
        try:
            run.begin()
            ends: list[asyncio.Future[None] | asyncio.Future[str]] = [run.ended, delivery, *tasks]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in (delivery, *tasks):
                if task.done():
                    task.result()  # our bug: the supervisor's to report
            return run.ended.result()
        finally:
            self._run = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            connection.drop()
            self.codec.disconnected(clock.monotonic())
            self._tell_wishes()

    def _refused(self, pause_s: float) -> None:
        self._not_before = clock.monotonic() + pause_s

    def _tell_wishes(self) -> None:
        for token, told in self.codec.answers():
            future = self._wishes.get(token)
            if future is not None and not future.done():
                future.set_result(told)


class _Run:
    """What lives as long as one connection: bytes to the codec, its answers back, its timers."""

    def __init__(self, line: ClientLine, connection: Dialled, watch: SilenceWatch, report: Report) -> None:
        self._line = line
        self._codec = line.codec
        self._connection = connection
        self._watch = watch
        self._report = report
        self._is_live = False
        self._doubt = ""
        self._moved = asyncio.Event()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def begin(self) -> None:
        self._codec.connected(clock.monotonic())
        self._connection.begin(self._receive, self._lost)
        self.flush()

    def flush(self) -> None:
        """After anything that may have changed the codec: its bytes leave, its answers are told, its state is reported."""
        data = self._codec.data_to_send()
        if data and self._connection.transport is not None:
            self._connection.transport.write(data)
        self._line._tell_wishes()
        if self._codec.fault:
            self._line._refused(getattr(self._codec, "pause_s", 0.0))
            self._lost(self._codec.fault)
        elif self._codec.is_ready and not self._is_live:
            self._is_live = True
            self._report.live()
        doubt = getattr(self._codec, "doubt", "")
        if doubt != self._doubt:
            self._doubt = doubt
            if doubt:
                self._report.suspect(doubt)
            elif self._is_live:
                self._report.live()
        self._moved.set()

    async def run_timers(self) -> None:
        """The codec's deadlines, and reading again once enough is stored. While we do not read, silence is not the server's fault."""
        while True:
            self._moved.clear()
            now, deadline = clock.monotonic(), self._codec.deadline()
            if self._connection.is_paused:
                if self._line._delivery.fullness <= RESUME_AT:
                    self._connection.resume()
                wait_s: float | None = LOOK_S
            elif deadline is not None and deadline <= now:
                received_at = clock.utc_now()
                self._take(self._codec.handle_deadline(now, received_at), received_at)
                continue
            else:
                wait_s = None if deadline is None else deadline - now
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):  # not wait_for: in Python 3.11 it may swallow a cancellation
                    await self._moved.wait()

    def _receive(self, data: bytes) -> None:
        """Twisted hands over bytes. Decoding takes microseconds a message; storing is the delivery's."""
        received_at = clock.utc_now()
        try:
            found = self._codec.receive_data(data, clock.monotonic(), received_at)
        except Exception as error:  # a codec never raises: this is our bug, and the supervisor's to report
            self._line._delivery.fail(error)
            return
        if not self._doubt:
            self._watch.heard()
        self._take(found, received_at)
        if self._line._delivery.fullness >= PAUSE_AT:
            self._connection.pause()

    def _take(self, found: list[Signal | Rejected], received_at: datetime) -> None:
        if found:
            self._line._delivery.keep(found, received_at)
        self.flush()

    def _lost(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)
