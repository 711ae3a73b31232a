"""The line of a SIP user agent: UDP, TCP and TLS together, one user agent behind them (`drivers.user_agent.user_agent`).

What a device says is stored before it is answered; what a PBX notifies is answered at once and held until it is stored.
"""

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog

from drivers.bodies.handler import Part
from drivers.contract import Emit, Rejected, Report, Signal, Verdict, to_event
from drivers.lines.certificates import ServerCertificate, client_certificates
from drivers.lines.hold import Delivery as Hold
from drivers.lines.hold import NoTimers
from drivers.lines.silence import SilenceWatch
from drivers.lines.sip_sockets import Endpoint, Sockets, parse_endpoint
from drivers.lines.sip_ways import find_hops
from drivers.sip.hop import Hop
from drivers.user_agent.asking import Ask
from drivers.user_agent.options import Credentials, SipOptions, read_credentials
from drivers.user_agent.text_service import Delivery
from drivers.user_agent.user_agent import UserAgent
from gateway import clock
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event

MAX_BATCH = 256  # messages in one emit, as on the stream lines
MAX_ASIDE = 1_000  # requests of ours whose next hop is being looked up; texts beyond that fail at once
GOODBYE_S = 1.0  # for the answers to what we take back at the stop
STOPPING = Verdict("refused", "stopping", retry=True)

log = structlog.get_logger()


class SipLine:
    """Also a `Texter`. ports: (transport, interface, port) of everything that listens; port: of the first.

    restore: gives the details of the calls that were live when the gateway stopped; asked once.
    """

    def __init__(
        self,
        config: LineConfig,
        options: SipOptions,
        calls: CallsConfig,
        credentials: Credentials | None = None,
        restore: Callable[[], Iterable[Mapping[str, object]]] | None = None,
    ) -> None:
        self.name = config.name
        self.codec_name = config.codec
        self.mandatory = config.mandatory
        self.agent = UserAgent(config.name, options, calls, credentials or Credentials(), secrets.token_bytes(32), clock.monotonic())
        self.counts = self.agent.counts
        self._options = options
        self._endpoints = endpoints_of(config, options)
        self._silence_s = config.silence_s
        self._restore = restore
        self._hold = Hold(config.name, NoTimers(), self.counts)
        self._sockets: Sockets | None = None
        self._watch: SilenceWatch | None = None
        self._waiting: deque[Delivery] = deque()
        self._wake = asyncio.Event()
        self._quiet = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._aside: dict[asyncio.Task[None], Ask] = {}
        self._bug: asyncio.Future[None] | None = None
        self._has_run = False

    @property
    def ports(self) -> list[tuple[str, str, int]]:
        return self._sockets.ports if self._sockets is not None else []

    @property
    def port(self) -> int | None:
        return self.ports[0][2] if self.ports else None

    @property
    def held(self) -> int:
        """What was notified and is not yet stored."""
        return len(self._hold)

    @property
    def connections(self) -> int:
        """TCP and TLS connections that stand."""
        return self._sockets.connections if self._sockets is not None else 0

    async def run(self, emit: Emit, report: Report) -> None:
        """Listen until cancelled; who is not answered by then gets 503. Raises LineError when a port is not to be had."""
        self._begin(report)
        self._sockets = sockets = Sockets(
            self, self.counts, self._options.advertise, self._options.max_body, self._options.max_connections, self._options.ca_file
        )
        tasks: list[asyncio.Future[Any]] = []
        try:
            for endpoint in self._endpoints:
                sockets.listen(endpoint)
            report.live()
            assert self._watch is not None
            assert self._bug is not None
            tasks = [
                asyncio.create_task(self._watch.run(), name=f"{self.name} silence"),
                asyncio.create_task(self._store(emit), name=f"{self.name} store"),
                asyncio.create_task(self._hold.run(emit), name=f"{self.name} hold"),
                self._bug,
            ]
            self._flush()
            await asyncio.gather(*tasks)  # none of them ever ends but by an error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._end(sockets)

    async def send_text(self, address: str, body: bytes, content_type: str) -> str:
        """Send one MESSAGE to `sip:…`: "" when it was accepted, else why not. Cancelled: it may still arrive."""
        if self._sockets is None:
            return "line_down"
        if len(self._aside) >= MAX_ASIDE:
            return "too_many"
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.agent.send_text(address, Part(body, content_type), lambda outcome: None if told.done() else told.set_result(outcome))
        self._flush()
        return await told

    # ---- what the sockets tell

    def admits(self, address: str) -> bool:
        return self.agent.admits(address)

    def heard(self, hop: Hop, data: bytes, too_long: bool) -> None:
        """A datagram or a frame. Decoding takes microseconds; storing is `_store`'s."""
        if self._watch is not None and self.agent.admits(hop.peer[0]):
            self._watch.heard()
        self._guard(lambda: self.agent.receive(hop, data, clock.monotonic(), clock.utc_now(), too_long))

    def undeliverable(self, branch: str, reason: str) -> None:
        self._guard(lambda: self.agent.undeliverable(branch, reason, clock.monotonic()))

    def connection_lost(self, number: int) -> None:
        self._guard(lambda: self.agent.connection_lost(number, clock.monotonic()))

    # ---- inside

    def _begin(self, report: Report) -> None:
        self._bug = asyncio.get_running_loop().create_future()
        self._wake, self._quiet = asyncio.Event(), asyncio.Event()
        self._watch = SilenceWatch(report, self._silence_s)
        self._hold.begin()
        if self._restore is not None:
            restore, self._restore = self._restore, None
            restored = self.agent.restore(restore(), clock.monotonic())
            if restored:
                log.info("calls_restored", line=self.name, calls=restored)
        if self._has_run:
            self.agent.restart(clock.monotonic())
        self._has_run = True

    async def _end(self, sockets: Sockets) -> None:
        """Who waits is refused; what peers hold for us is taken back; then the sockets close."""
        self._refuse_waiting()
        if self.agent.stop():
            self._quiet.clear()
            self._flush()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await self._quiet.wait()
        else:
            self._flush()
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, float("inf")
        for task in self._aside:
            task.cancel()
        await asyncio.gather(*self._aside, return_exceptions=True)
        self.agent.abandon(clock.monotonic())
        self._refuse_waiting()  # who came while we said goodbye
        self._flush()
        self._sockets = None
        await sockets.close()

    def _refuse_waiting(self) -> None:
        """503: the sender goes to its next receiver at once, instead of after 32 seconds of silence."""
        for delivery in self._waiting:
            self.agent.settle(delivery, [STOPPING] * len(delivery.items), clock.monotonic())
        self._waiting.clear()

    def _guard(self, step: Callable[[], None]) -> None:
        """The user agent never raises: if it does it is our bug, and the supervisor's to report."""
        try:
            step()
            self._flush()
        except Exception as bug:
            if self._bug is not None and not self._bug.done():
                self._bug.set_exception(bug)

    def _flush(self) -> None:
        """Whatever the user agent wants done after each step."""
        if self._sockets is None:
            return
        for ask in self.agent.wanted():
            task = asyncio.create_task(self._launch(ask), name=f"{self.name} next hop")
            self._aside[task] = ask
            task.add_done_callback(self._launched)
        for sending in self.agent.sendings():
            self._sockets.send(sending)
        deliveries = self.agent.deliveries()
        if deliveries:
            self._waiting.extend(deliveries)
            self._wake.set()
        news = self.agent.news()
        if news:
            self._hold.keep(news, clock.utc_now())
        if not self._aside and self.agent.is_quiet:
            self._quiet.set()
        self._set_timer()

    async def _launch(self, ask: Ask) -> None:
        hops = await find_hops(ask.next_hop, self._sockets.local) if self._sockets is not None else []
        self._guard(lambda: self.agent.launch(ask, hops, clock.monotonic()))

    def _launched(self, task: asyncio.Task[None]) -> None:
        ask = self._aside.pop(task)
        if task.cancelled():  # the line ends: whoever waits for this must hear it
            self._guard(lambda: ask.done(None, "line_down", clock.monotonic()))
        self._flush()

    async def _store(self, emit: Emit) -> None:
        """One emit at a time; what arrives meanwhile collects. Cancelled: `_end` refuses what was not settled."""
        while True:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            batch = [self._waiting[index] for index in range(min(MAX_BATCH, len(self._waiting)))]
            items: list[Event | Rejected] = [_told(item, self.name, delivery.received_at) for delivery in batch for item in delivery.items]
            verdicts = iter(await emit(items))
            now = clock.monotonic()
            for delivery in batch:
                self._waiting.popleft()
                self.agent.settle(delivery, [next(verdicts) for _ in delivery.items], now)
            self._flush()

    def _set_timer(self) -> None:
        """One timer for all; a later deadline than the one set is found when that one fires."""
        deadline = self.agent.deadline()
        if deadline is None or deadline >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - clock.monotonic()), self._on_deadline)

    def _on_deadline(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self._guard(lambda: self.agent.handle_deadline(clock.monotonic(), clock.utc_now()))


def endpoints_of(config: LineConfig, options: SipOptions) -> list[Endpoint]:
    """`listen` and `also`. Raises ValueError naming the key."""
    found = []
    for key, text in (("listen", config.listen or ""), *(("options.also", one) for one in options.also)):
        try:
            found.append(parse_endpoint(text, options.key_file, options.certificate_file))
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    return found


def _told(item: Signal | Rejected, line: str, received_at: datetime) -> Event | Rejected:
    return to_event(item, line, received_at) if isinstance(item, Signal) else msgspec.structs.replace(item, line=line)


def check_options(config: LineConfig, options: SipOptions) -> list[str]:
    """Faults beyond types: endpoints, certificates, passwords, and what cannot work without them."""
    problems = []
    try:
        endpoints = endpoints_of(config, options)
    except ValueError as error:
        return [str(error)]
    taken: dict[tuple[bool, str, int], str] = {}
    for endpoint in endpoints:
        key = (endpoint.transport == "udp", endpoint.interface, endpoint.port)
        if endpoint.port and key in taken:
            problems.append(f"options.also: port {endpoint.port} is taken by {taken[key]} already; give {endpoint.transport} another one")
        taken[key] = endpoint.transport
        if endpoint.transport == "tls":
            try:
                ServerCertificate(endpoint.key_file, endpoint.certificate_file)
            except (OSError, ValueError) as error:
                problems.append(f"options.also: the certificate of port {endpoint.port} cannot be used: {error}; correct privateKey or certKey")
    if options.ca_file:
        try:
            client_certificates("localhost", options.ca_file)
        except (OSError, ValueError) as error:
            problems.append(f"options.ca_file: {error}; write the certificates into it, in PEM")
    return problems + _credential_faults(options)


def _credential_faults(options: SipOptions) -> list[str]:
    credentials = Credentials()
    if options.credentials_file:
        try:
            credentials = read_credentials(Path(options.credentials_file).read_text("utf-8"))
        except (OSError, ValueError) as error:
            why = (error.strerror or "cannot be read").lower() if isinstance(error, OSError) else str(error)
            return [f"options.credentials_file: {options.credentials_file}: {why}"]
    problems = []
    if options.wants_devices and not credentials.devices:
        problems.append("options.authentication: nobody can authenticate; write the devices' passwords into credentials_file, under [devices]")
    accounts = {"options.account": options.account, "options.register.account": options.register.account if options.register is not None else ""}
    for key, account in accounts.items():
        if account and account not in credentials.accounts:
            problems.append(f"{key}: {account!r} has no password; write it into credentials_file, under [accounts]")
    return problems
