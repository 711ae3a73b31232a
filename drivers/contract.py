"""The contract of a driver: Signal and Rejected out of a codec, Event and Verdict between a line and the pipeline.

A codec knows bytes and nothing else: no socket, no clock, no task, no log. A line owns one connection and nothing else.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec

from drivers.recent import RecentKeys
from gateway.clock import utc_now
from gateway.coordinates import UNKNOWN_M, Datum, Place
from gateway.event import Event, Kind, Phase, Position, Severity

# A device's own time is believed from 24 h before to 5 min after arrival (event model; mqtt-devices, rule 4).
PAST = timedelta(hours=24)
FUTURE = timedelta(minutes=5)
FIRMWARE_LIMIT = 64  # characters; Shelly's, the longest known, have 50
_DATUMS = frozenset(Datum)


class Signal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, eq=False):
    """What a codec read, under the names `gateway decode` prints. `time` is the device's own time, aware, or None.

    `token` is the codec's own handle to find the message again in confirm() or refuse(); it is never printed.
    lat, lon are as sent; `datum` says in which system; absent when there is no usable position.
    firmware: the version that the device says it runs, in its maker's words.
    severity: of a `general` alarm only, where the protocol's description says how little an unknown code may mean. None: as the table of kinds says.
    edge: this is no message of its own but the state of a thing, told again and again: the name of that thing ("water_leak", "bit 0").
    RAISE says that it is so, CLEAR that it is not; only a change of the state that is remembered for the device is news, the rest is a sign of
    life. edge_s: a state that is told for so long counts as news again (None: never).
    """

    kind: Kind
    phase: Phase = Phase.RAISE
    kind_raw: str | None = None
    device: str | None = None
    sequence: int | None = None
    dedup: str | None = None
    time: datetime | None = None
    lat: float | None = None
    lon: float | None = None
    datum: str = "wgs84"
    fix_valid: bool | None = None
    accuracy_m: float | None = None
    position_source: str = "gnss"
    battery_pct: float | None = None
    battery_mv: int | None = None
    rssi_dbm: float | None = None
    firmware: str | None = None
    vitals: dict[str, float] = {}
    integrity: str = "unverified"
    severity: Severity | None = None
    late: str | None = None
    edge: str | None = None
    edge_s: float | None = None
    detail: dict[str, object] = {}
    raw: bytes = b""
    token: object = None


class Rejected(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Bytes that are no signal. `reason` is lower_snake and from a closed list per codec (it labels a metric)."""

    reason: str
    raw: bytes
    line: str = ""
    device: str | None = None
    detail: str = ""
    token: object = None


class Verdict(msgspec.Struct, frozen=True):
    """What became of one event, told after the commit.

    outcome: stored | duplicate (known already: confirm it too) | refused. `retry` is True when the fault is ours
    (reason store_down or busy): say "repeat" if the protocol can, or hold the message and emit it again.
    """

    outcome: str
    reason: str = ""
    retry: bool = False

    @property
    def kept(self) -> bool:
        """May the device now forget the message?"""
        return self.outcome != "refused"


STORED = Verdict("stored")
DUPLICATE = Verdict("duplicate")
TESTED = Verdict("stored", "test")  # a probe of our own: on disk as the last sign of its test device, and nothing else came of it

Emit = Callable[[Sequence[Event | Rejected]], Awaitable[Sequence[Verdict]]]
"""Give events to the pipeline and wait for the commit; one verdict each, same order. Rejected ones are stored for inspection."""


class Before(NamedTuple):
    """What a device of a line said before we were started, as the journal has it. at: monotonic seconds, so mostly below 0 after a reboot."""

    at: float
    event: Event


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a codec may know of the world beside its bytes. All connections and peers of a line share everything but the session.

    line      its name; "" outside a line, for instance in `gateway decode`
    session   of this connection: makes identities that a codec numbers itself unique, also over restarts; any text
    utc_now   the wall clock, aware UTC: codecs read none of their own
    recent    identities that hold for a window, also over restarts
    knows     is this address on the register (of this line, or of any)? Asked anew each time, as registers are read again
    before    what its devices raised, repeated and took back within the hour before the start, oldest first: for a `Rememberer`
    memory    what the codecs of one line remember together, made by the row of the registry (None: nothing)
    """

    line: str = ""
    session: str = ""
    utc_now: Callable[[], datetime] = utc_now
    recent: RecentKeys = field(default_factory=RecentKeys)
    knows: Callable[[str], bool] = lambda _address: True
    before: Sequence[Before] = ()
    memory: Any = None


@runtime_checkable
class Rememberer(Protocol):
    """A `memory` to which a press that is repeated over a restart of ours is no second one."""

    def restore(self, before: Iterable[Before]) -> None:
        """Take up what was said, oldest first. Once, before any codec is made."""
        ...


class Codec(Protocol):
    """A sans-I/O decoder of one stream or of one datagram peer. `now` is monotonic seconds. Bytes never make it raise.

    peer_repeats: refuse() makes the peer send the message again. False: the line must hold it and emit it again.
    """

    peer_repeats: bool

    def receive_data(self, data: bytes, now: float) -> list[Signal | Rejected]:
        """Take any fragment; give what it completed, in order."""
        ...

    def confirm(self, signal: Signal | Rejected) -> None:
        """The signal is on disk (a rejection: kept for inspection): queue its receipt, if the protocol has one."""
        ...

    def refuse(self, signal: Signal | Rejected, reason: str) -> None:
        """It could not be stored: queue "busy, repeat" as the protocol has it, or nothing."""
        ...

    def data_to_send(self) -> bytes:
        """Drain the queue of bytes that may leave now."""
        ...

    def deadline(self) -> float | None:
        """When handle_deadline wants to be called, monotonic seconds; None for never."""
        ...

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:
        """A timer ran out."""
        ...


class Greeter(Protocol):
    """A `Codec` that speaks first, for instance to ask the panel for its state."""

    def connected(self, now: float) -> None:
        """The connection stands (serial port open, dialled, or somebody connected to us); nothing has been read yet. Queue what is to be said.

        Over UDP there is no connection, and this is not called.
        """
        ...


class Exclusive(Protocol):
    """A `Codec` that knows who speaks on its connection."""

    @property
    def addresses(self) -> Collection[str]:
        """Devices heard on this connection that have only one: a later connection that claims one of them ends this one, which is dead. A few."""
        ...


class Quitter(Protocol):
    """A `Codec` that may want to be rid of its peer."""

    @property
    def hang_up(self) -> bool:
        """Close the connection. Read after receive_data and handle_deadline; nothing is read any more, and what waits gets its receipts first."""
        ...


class Traced(Protocol):
    """A `Codec` to whom it matters from where its peer has come, and that it is gone."""

    peer: str  # its host; filled in by the line, "" where there is none

    def disconnected(self, now: float) -> list[Signal | Rejected]:
        """The connection is lost: what was waiting for more is told as it is. Nothing can be answered any more."""
        ...


class ClientCodec(Protocol):
    """A sans-I/O conversation that we open. One object for the life of its line: what it knows of calls is kept over connections.

    is_ready: logged in, so the line is live. fault: why the connection must be given up ("" = go on), for instance a wrong password
    or a ping that nobody answers; set to "" again by `connected`. There are no receipts: what is not stored the line holds and emits again.
    counts: for metrics; the names are from a closed list.

    A codec may also have `pause_s` (leave the server in peace for so long after `fault`) and `doubt` (the connection stands, and yet
    something is wrong, such as events that never come: the line is suspect while it is not "").
    """

    is_ready: bool
    fault: str

    @property
    def counts(self) -> Counter[str]: ...

    def connected(self, now: float) -> None:
        """A connection stands; nothing has been read from it yet."""
        ...

    def receive_data(self, data: bytes, now: float, received_at: datetime) -> list[Signal | Rejected]:
        """Take any fragment; give what it completed, in order."""
        ...

    def data_to_send(self) -> bytes:
        """Drain the queue of bytes that may leave now."""
        ...

    def disconnected(self, now: float) -> None:
        """The connection is lost: what was asked for and not answered has failed."""
        ...

    def deadline(self) -> float | None:
        """When handle_deadline wants to be called, monotonic seconds; None for never."""
        ...

    def handle_deadline(self, now: float, received_at: datetime) -> list[Signal | Rejected]:
        """A timer ran out: perhaps `fault` is set now, or there is something to send."""
        ...

    def restore(self, records: Iterable[Mapping[str, object]], now: float) -> int:
        """Take up live calls after a restart; `records`: the `detail` of each one's last event. How many could be read."""
        ...


class Line(Protocol):
    """One connection or one listening socket, run under the supervisor until cancelled."""

    name: str
    codec_name: str
    mandatory: bool

    async def run(self, emit: Emit, report: "Report") -> None:
        """Own the connection until it is lost (raise LineError: try again) or until cancelled."""
        ...


@runtime_checkable
class Leaver(Protocol):
    """A `Line` whose other end keeps what we do not read, and sends again what has no receipt: it can part so that nothing is sent twice."""

    async def leave(self) -> None:
        """Read nothing more; returns when everything that was read has its receipt. Then `run` may be cancelled."""
        ...


@runtime_checkable
class Believer(Protocol):
    """A `Line` that refuses hosts, but none that it believes (drivers.lines.quarantine); what it believes outlives a restart."""

    def believed(self) -> dict[str, float]:
        """host → seconds since something sound came from it."""
        ...

    def believe(self, hosts: Mapping[str, float]) -> None:
        """What `believed` said before the restart, that much older."""
        ...


class Report(Protocol):
    """How a line tells its supervisor what state it is in; the edge is logged, counted and made an event once."""

    def live(self) -> None:
        """The connection stands (called again after each recovery)."""
        ...

    def heard(self) -> None:
        """Bytes have arrived: the line is not silent."""
        ...

    def suspect(self, reason: str) -> None:
        """The connection stands but something is wrong: silence past the line's own limit."""
        ...


def believed_time(claimed: datetime | None, received_at: datetime) -> tuple[datetime, str, str | None]:
    """(occurred_at, time_source, time_reason) for a device's claimed time: refused ones keep the reason."""
    if claimed is None:
        return received_at, "received", None
    if claimed > received_at + FUTURE:
        return received_at, "received", "device_time_in_future"
    if claimed < received_at - PAST:
        return received_at, "received", "device_time_too_old"
    return claimed, "device", None


def storable(value: object) -> object:
    """The same with a question mark for each octet that was no text: an alarm must not be lost because its sender's name is no UTF-8."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {storable(name): storable(item) for name, item in value.items()}
    return [storable(item) for item in value] if isinstance(value, list | tuple) else value


def _text(text: str | None) -> str | None:
    return text if text is None or text.isascii() else str(storable(text))


def _version(text: str | None) -> str | None:
    """What can be shown in a list."""
    return str(storable("".join(one for one in text if one.isprintable()).strip()[:FIRMWARE_LIMIT])) or None if text else None


def place_of(signal: Signal) -> Place | None:
    """Where, as the device sent it; a word that is no datum we know counts as unknown."""
    if signal.lat is None or signal.lon is None:
        return None
    return Place(signal.lat, signal.lon, Datum(signal.datum) if signal.datum in _DATUMS else Datum.UNKNOWN)


def to_event(signal: Signal, line: str, received_at: datetime) -> Event:
    """The Event of a signal: adds the line and our time, makes its texts storable, believes the device's time if it is plausible,
    and converts its position to WGS-84: the one place where that is done. What was sent stays in `raw`.

    A position without a fix (fix_valid False) is no position: it stands in detail["last_position"], as WGS-84."""
    occurred_at, source, reason = believed_time(signal.time, received_at)
    position, place = None, place_of(signal)
    detail = {name: storable(value) for name, value in signal.detail.items()}
    if place is not None and signal.fix_valid is False:  # such a message repeats an old place: nobody may be sent there
        old = place.into(Datum.WGS84)
        detail["last_position"] = [old.lat, old.lon]
    elif place is not None:
        at, accuracy = place.into(Datum.WGS84), signal.accuracy_m
        if place.datum is Datum.UNKNOWN:
            accuracy = max(UNKNOWN_M, accuracy or 0.0)
        position = Position(lat=at.lat, lon=at.lon, source=signal.position_source, accuracy_m=accuracy, fixed_at=occurred_at, datum=place.datum.value)
    if reason is not None and signal.time is not None:
        detail = {**detail, "device_time": signal.time.isoformat()}
    return Event(
        kind=signal.kind,
        phase=signal.phase,
        line=line,
        device=_text(signal.device),
        dedup=_text(signal.dedup),
        kind_raw=_text(signal.kind_raw),
        received_at=received_at,
        occurred_at=occurred_at,
        time_source=source,
        time_reason=reason,
        integrity=signal.integrity,
        position=position,
        battery_pct=signal.battery_pct,
        battery_mv=signal.battery_mv,
        rssi_dbm=signal.rssi_dbm,
        firmware=_version(signal.firmware),
        vitals=signal.vitals,
        severity=signal.severity,
        late=signal.late,
        edge=signal.edge,
        edge_s=signal.edge_s,
        detail=detail,
        raw=signal.raw,
    )
