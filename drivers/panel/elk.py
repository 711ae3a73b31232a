"""Elk-M1 panels: messages by themselves, and their state when asked (115200 8N1, TCP 2101, or TLS 2601).

Nothing is acknowledged. So alarms by zone, alarms by area and zones are asked for (`az`, `as`, `zs`) when a connection stands, after each line
that was lost, and every `ask_s`; `az` also when an area tells of an alarm, to know where. What a message is made of stands in `elk_message`.
"""

import zoneinfo
from collections.abc import Iterator

import msgspec

from drivers.contract import Rejected, Signal, Surroundings
from drivers.panel.elk_message import (
    AREA_ALARMS,
    AREAS,
    BYPASSED,
    NORMAL,
    PHYSICAL,
    TROUBLE,
    VIOLATED,
    ZONE_ALARMS,
    ZONES,
    Message,
    MessageError,
    masked,
    read_message,
    write_message,
)
from drivers.panel.lines import CheckedLines
from drivers.panel.zones import (
    KnownStates,
    check_numbers,
    check_time_zone,
    local_time,
    numbered,
    phase_as,
    zone_name,
)
from gateway.event import Kind, Phase


class ElkOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a site may differ in.

    account    what the panel is called on the register: its messages name none
    zones      {"12" = "sos"}: what an alarm of a zone is; unmapped: as the panel's own alarm class says
    violations {"3" = "sos"}: zones whose violation itself is a call, for instance a pull cord on a zone without an alarm of its own
    time_zone  of the panel's clock, which runs in local time
    ask_s      how often its state is asked for; 0: never, not even after a lost line
    """

    account: str = "elk"
    zones: dict[str, str] = {}
    violations: dict[str, str] = {}
    time_zone: str = "Asia/Shanghai"
    ask_s: float = 60.0

    def __post_init__(self) -> None:
        check_numbers("zones", self.zones, ZONES)
        check_numbers("violations", self.violations, ZONES)
        check_time_zone(self.time_zone)


class ElkPanel(CheckedLines):
    """One panel on one link."""

    def __init__(self, options: ElkOptions | None = None, place: Surroundings | None = None) -> None:
        self._options = options or ElkOptions()
        place = place or Surroundings()
        super().__init__(place.session, write_message("az") + write_message("as") + write_message("zs"), self._options.ask_s)
        self._zones = numbered(self._options.zones)
        self._violations = numbered(self._options.violations)
        self._time_zone = zoneinfo.ZoneInfo(self._options.time_zone)
        self._is_placed = bool(place.line)  # outside a line (`gateway decode`) nobody remembers a state
        self._known = place.memory if isinstance(place.memory, KnownStates) else KnownStates()
        self._readers = {
            "ZC": self._zone_change,
            "ZS": self._zone_states,
            "AZ": self._zone_alarms,
            "AS": self._area_states,
            "AM": self._alarm_memory,
            "IC": self._code_entered,
            "XK": self._heartbeat,
            "LD": self._log_entry,
        }

    def read_line(self, line: bytes, now: float) -> list[Signal | Rejected]:
        try:
            message = read_message(line)
        except MessageError as error:
            return self.bad_line(str(error), masked(line), now)
        reader = self._readers.get(message.name)
        if reader is None:
            self.counts["passed_over"] += 1
            return []
        return list(reader(message, now))

    def bad_line(self, reason: str, raw: bytes, now: float) -> list[Signal | Rejected]:
        return super().bad_line(reason, masked(raw), now)

    def _zone_change(self, message: Message, _now: float) -> Iterator[Signal]:
        """A door or a detector has moved. That is an alarm only where a violation is a call by itself."""
        number, status = int(message.data[:3]), int(message.data[3], 16)
        logical, zone = status >> 2, zone_name(number)
        detail: dict[str, object] = {"zone": zone, "physical": PHYSICAL[status & 3]}
        if number in self._violations and logical in (NORMAL, VIOLATED):
            yield self._change(message, self._violations[number], logical == VIOLATED, f"violation {zone}", detail)
        elif logical != TROUBLE:
            kind = {NORMAL: Kind.CONTACT_CLOSED, VIOLATED: Kind.CONTACT_OPEN, BYPASSED: Kind.TELEMETRY}[logical]
            yield self._signal(message, kind, Phase.STATE, {**detail, "is_bypassed": True} if logical == BYPASSED else detail)
        if logical == TROUBLE or self._known.has_happened(self._options.account, f"trouble {zone}"):
            yield self._change(message, Kind.FAULT, logical == TROUBLE, f"trouble {zone}", detail)

    def _zone_states(self, message: Message, _now: float) -> Iterator[Signal]:
        """The answer to `zs`: of use for zones whose violation is a call, and for trouble that began unheard."""
        states = []
        for number, digit in enumerate(message.data, 1):
            logical = int(digit, 16) >> 2
            detail: dict[str, object] = {"zone": zone_name(number), "physical": PHYSICAL[int(digit, 16) & 3]}
            if digit != "0":  # else there is no such zone
                states.append(self._state(message, Kind.FAULT, logical == TROUBLE, f"trouble {zone_name(number)}", detail))
            if number in self._violations and logical in (NORMAL, VIOLATED):
                states.append(self._state(message, self._violations[number], logical == VIOLATED, f"violation {zone_name(number)}", detail))
        yield from self._told(message, states)

    def _zone_alarms(self, message: Message, _now: float) -> Iterator[Signal]:
        """The answer to `az`: one character a zone, the class of its alarm."""
        states = []
        for number, letter in enumerate(message.data, 1):
            kind, name = ZONE_ALARMS.get(letter, (Kind.GENERAL, "unknown alarm class"))
            detail: dict[str, object] = {"zone": zone_name(number)}
            if letter != "0":
                detail |= {"class": letter, "event": name}
            states.append(self._state(message, self._zones.get(number, kind), letter != "0", f"zone {zone_name(number)}", detail))
        yield from self._told(message, states)

    def _area_states(self, message: Message, now: float) -> Iterator[Signal]:
        """Armed, arm-up and alarm state of each area. Entrance and abort delays (1, 2) are no alarm yet."""
        states = []
        for index in range(AREAS):
            letter = message.data[2 * AREAS + index]
            kind, name = AREA_ALARMS.get(letter, (Kind.GENERAL, "unknown alarm state"))
            detail: dict[str, object] = {"area": index + 1, "armed": message.data[index], "arm_up": message.data[AREAS + index], "alarm": name}
            states.append(self._state(message, kind, letter not in "012", f"area {index + 1}", detail))
        if any(state.phase is Phase.RAISE for state in states):
            self.ask(now)  # which zone is it?
        yield from self._told(message, states)

    def _alarm_memory(self, message: Message, _now: float) -> Iterator[Signal]:
        """Areas in which something was since they were armed last: worth showing, no alarm of its own."""
        yield self._signal(message, Kind.TELEMETRY, Phase.STATE, {"alarm_memory": [at for at, digit in enumerate(message.data, 1) if digit != "0"]})

    def _code_entered(self, message: Message, _now: float) -> Iterator[Signal]:
        """Who has used which keypad; the code itself is forgotten here. User 000: nobody's code."""
        user, keypad = message.data[12:15], message.data[15:17]
        yield self._signal(message, Kind.TELEMETRY, Phase.STATE, {"user": user, "keypad": keypad, "is_valid": user != "000"})

    def _heartbeat(self, message: Message, _now: float) -> Iterator[Signal]:
        yield self._signal(message, Kind.HEARTBEAT, Phase.STATE, {})

    def _log_entry(self, message: Message, _now: float) -> Iterator[Signal]:
        """event(4) number(3) area(1) hhmm MMDD index(3) weekday(1) YY: a copy of what is told elsewhere, with the panel's own time."""
        data = message.data
        at = (2000 + int(data[20:22]), int(data[12:14]), int(data[14:16]), int(data[8:10]), int(data[10:12]))
        detail: dict[str, object] = {"log_event": data[:4], "number": data[4:7], "area": int(data[7]), "log_index": data[16:19]}
        signal = self._signal(message, Kind.TELEMETRY, Phase.STATE, detail)
        yield msgspec.structs.replace(signal, time=local_time(at, self._time_zone))

    def _told(self, message: Message, states: list[Signal]) -> list[Signal]:
        """An answer without news is a sign of life all the same."""
        return self._known.news(states, first_clears=self._is_placed) or [self._signal(message, Kind.HEARTBEAT, Phase.STATE, {})]

    def _change(self, message: Message, kind: Kind, is_set: bool, edge: str, detail: dict[str, object]) -> Signal:
        """What the panel tells by itself is news each time."""
        phase = phase_as(kind, Phase.RAISE if is_set else Phase.CLEAR)
        return self._known.event(self._signal(message, kind, phase, detail), edge)

    def _state(self, message: Message, kind: Kind, is_set: bool, edge: str, detail: dict[str, object]) -> Signal:
        phase = phase_as(kind, Phase.RAISE if is_set else Phase.CLEAR)
        return msgspec.structs.replace(self._signal(message, kind, phase, detail), edge=edge if phase in (Phase.RAISE, Phase.CLEAR) else None)

    def _signal(self, message: Message, kind: Kind, phase: Phase, detail: dict[str, object]) -> Signal:
        return Signal(
            kind=kind,
            phase=phase,
            kind_raw=message.name,
            device=self._options.account,
            dedup=self.identity(),
            integrity="verified",
            detail=detail,
            raw=message.raw,
        )
