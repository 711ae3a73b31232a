"""The `hep` codec: HEP datagrams of a PBX, SBC or proxy in, calls at the hotline out. It never answers anything.

One codec for all capture agents of a line: the legs of one call may be told by different ones.
"""

import hmac
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from drivers.calls.hep3 import KEEPALIVE, SIP, MalformedPacket, Packet, parse_packet
from drivers.calls.table import NoRoom
from drivers.calls.tracker import CallTracker, TrackerOptions
from drivers.contract import Rejected, Signal
from drivers.sip.caller import Trust
from drivers.sip.message import MalformedMessage, parse_message
from drivers.sip.number import NumberPlan
from gateway.config import CallsConfig

MAX_AGENTS = 64  # whose last packet is remembered each for itself: a district has a handful
OTHERS = (-1, b"")  # ... and all that come on top
CLOCK_LIMIT_S = 5.0  # a capture agent's clock is believed this far from arrival (hep3.md, 9)


class HepOptions(TrackerOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[line.options]` of a hep line. Left out (None), hotlines, area_code, trusted and agents are those of `[calls]`.

    auth_key: chunk 0x000e must hold it; auth_key_file: whoever builds the codec reads it from there; auth_keys: another key per
    capture agent's address.
    sources: addresses that may send HEP at all, empty for any. strip: prefixes the PBX puts before numbers.
    """

    auth_key: str = ""
    auth_key_file: str = ""
    auth_keys: dict[str, str] = {}
    sources: tuple[str, ...] = ()
    hotlines: tuple[str, ...] | None = None
    area_code: str | None = None
    trusted: tuple[str, ...] | None = None
    strip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for mode in (self.answer_on, *self.answer_on_for.values()):
            if mode not in ("auto", "any", "agent_leg"):
                raise ValueError(f"answer_on: {mode!r} is not known; use auto, any or agent_leg")
        for name in ("sources", "trusted"):
            try:
                Trust(getattr(self, name) or ())
            except ValueError as error:
                raise ValueError(f"{name}: {error}; write addresses or networks such as 192.0.2.0/24") from None


class HepCodec:
    """Packet codec: `receive_message`, `deadline`, `handle_deadline`, `restore`. Bytes never make it raise.

    counts: what was dropped on purpose and is no fault: `type_<n>` (payloads that are no SIP), keepalive, tail, clock_disagrees; and
    INVITEs for which there was no room, each counted but only the first of a flood told: flood, too_many_calls, table_full, too_long.
    agents: (id, name) of each capture agent → seconds since 1970 UTC of its last packet.
    """

    def __init__(self, options: HepOptions, calls: CallsConfig | None = None) -> None:
        calls = calls or CallsConfig()
        self.counts: Counter[str] = Counter()
        self.agents: dict[tuple[int, bytes], float] = {}
        self._key = options.auth_key.encode()
        self._keys = {address: key.encode() for address, key in options.auth_keys.items()}
        self._sources = Trust(options.sources) if options.sources else None
        plan = NumberPlan.of_line(options, calls)
        trust = Trust(calls.trusted if options.trusted is None else options.trusted)
        self._tracker = CallTracker(plan, trust, options if options.agents else msgspec.structs.replace(options, agents=calls.agents))

    def accepts_from(self, address: str) -> bool:
        """May this address send HEP at all?"""
        return self._sources is None or self._sources.covers(address)

    @property
    def live_calls(self) -> int:
        return len(self._tracker)

    def receive_message(self, source: tuple[str, int], data: bytes, now: float, received_at: datetime) -> list[Signal | Rejected]:
        """One datagram from a capture agent at `source`. `now` is what all timers count in."""
        if not self.accepts_from(source[0]):
            return [Rejected(reason="unknown_source", raw=data)]
        try:
            packet = parse_packet(data)
        except MalformedPacket as fault:
            if fault.reason == KEEPALIVE:
                self.counts[KEEPALIVE] += 1
                return []
            return [Rejected(reason=fault.reason, raw=data)]
        if not self._admits(source[0], packet):
            return [Rejected(reason="wrong_key" if packet.auth_key else "missing_key", raw=data)]
        agent = (packet.agent_id, packet.agent_name)
        self.agents[agent if agent in self.agents or len(self.agents) < MAX_AGENTS else OTHERS] = received_at.timestamp()
        if packet.tail:
            self.counts["tail"] += 1
        if packet.payload_type != SIP:
            self.counts[f"type_{packet.payload_type}"] += 1
            return []
        shed = self._tracker.sheds(packet.payload, packet.source[0], now)
        if shed:
            return self._no_room(shed, packet.source[0], data, now)
        try:
            message = parse_message(packet.payload)
            found = self._tracker.receive(
                message,
                packet.source,
                packet.destination,
                now,
                self._captured_at(packet.time, received_at),
                packet.payload,
                packet.correlation_id.decode("utf-8", "replace"),
                received_at,
            )
        except MalformedMessage as fault:
            if fault.reason == KEEPALIVE:  # CRLF or NULs between SIP peers, copied to us: nothing at all
                self.counts[KEEPALIVE] += 1
                return []
            return [Rejected(reason=fault.reason, raw=data)]
        except NoRoom as fault:
            return self._no_room(fault.reason, packet.source[0], data, now)
        return list(found)

    def _no_room(self, reason: str, source: str, data: bytes, now: float) -> list[Signal | Rejected]:
        self.counts[reason] += 1
        return [Rejected(reason=reason, raw=data)] if self._tracker.is_news(source, reason, now) else []

    def deadline(self) -> float | None:
        return self._tracker.deadline()

    def handle_deadline(self, now: float, received_at: datetime) -> list[Signal | Rejected]:  # noqa: ARG002 - the seam is the same for all
        return list(self._tracker.handle_deadline(now))

    def restore(self, records: Iterable[Mapping[str, object]], now: float) -> int:
        """Take up live calls after a restart; `records`: the `detail` of each one's last event."""
        return self._tracker.restore(records, now)

    def _admits(self, address: str, packet: Packet) -> bool:
        wanted = self._keys.get(address, self._key)
        return not wanted or hmac.compare_digest(wanted, packet.auth_key or b"")

    def _captured_at(self, time: float | None, received_at: datetime) -> datetime | None:
        if time is None:
            return None
        if abs(time - received_at.timestamp()) > CLOCK_LIMIT_S:
            self.counts["clock_disagrees"] += 1
            return None
        return datetime.fromtimestamp(time, UTC)
