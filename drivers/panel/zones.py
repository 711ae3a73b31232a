"""What the zones of a panel mean, and what panels that tell their whole state have in common.

A zone is told as `detail.zone`, three digits, beside the panel's address: the register knows it as `ADDRESS:ZONE`.
"""

import zoneinfo
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from drivers.contract import Signal
from drivers.panel.meaning import check_kind
from gateway.event import KINDS, Group, Kind, Phase


def zone_name(number: int) -> str:
    """Three digits, as registers have them."""
    return f"{number:03}"


def check_numbers(key: str, table: Mapping[str, str], most: int) -> None:
    """Raises ValueError for a key that is no number from 1 to `most`, or a kind that no device can tell."""
    for number, kind in table.items():
        if not (number.isascii() and number.isdigit() and 1 <= int(number) <= most):
            raise ValueError(f"{key}: {number!r} is no number from 1 to {most}")
        check_kind(f"{key}: {number!r}", kind)


def numbered(table: Mapping[str, str]) -> dict[int, Kind]:
    """The checked table by number: "7" and "007" are the same."""
    return {int(number): Kind(kind) for number, kind in table.items()}


def check_time_zone(name: str) -> None:
    """Raises ValueError when there is no such time zone."""
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise ValueError(f"time_zone: {name!r} is not known; write the panel's own as in the tz database, for instance Asia/Shanghai") from error


def local_time(parts: Iterable[int], zone: zoneinfo.ZoneInfo) -> datetime | None:
    """What a panel's clock shows, which runs in local time, as UTC; None when no clock can show it."""
    try:
        return datetime(*parts, tzinfo=zone).astimezone(UTC)  # type: ignore[misc,arg-type]
    except (ValueError, TypeError, OverflowError):
        return None


def phase_as(kind: Kind, phase: Phase) -> Phase:
    """Tests and signs of life are neither raised nor cleared."""
    if kind is Kind.TEST:
        return Phase.TEST
    return Phase.STATE if KINDS[kind].group is Group.LIFE else phase


class KnownStates:
    """What a line has told of its panels' states: its memory.

    A panel tells each change once by itself, and its whole state when it is asked. A change is an event, and news each time: a pendant may be
    pressed twice without a restore between. An answer is a state (`edge`): that a zone is still in the alarm that was told as an event is no
    second cry, and that nothing is the matter with 208 zones is told once, not every minute. After a restart everything is told once more.
    """

    def __init__(self) -> None:
        # bounded: the codecs have a closed list of edges, and at most 16 addresses
        self._told: dict[tuple[str | None, str | None], tuple[Phase, Kind]] = {}  # as states
        self._happened: set[tuple[str | None, str | None]] = set()  # raised by an event, and not cleared since

    def event(self, signal: Signal, edge: str) -> Signal:
        """The signal of a change, which the panel told by itself; `edge`: the name of its state in answers."""
        if signal.phase is Phase.CLEAR:
            self._happened.discard((signal.device, edge))
        elif signal.phase is Phase.RAISE:
            self._happened.add((signal.device, edge))
        return signal

    def has_happened(self, device: str | None, edge: str) -> bool:
        """Was it raised by an event, and not cleared since?"""
        return (device, edge) in self._happened

    def news(self, states: Iterable[Signal], *, first_clears: bool) -> list[Signal]:
        """What of an answer is to be told, raised states first. Whether a raised one has changed, the core knows.

        first_clears: tell also that all is well with what nobody here has told of; a core may remember it from before a restart.
        """
        told = [self._as_told(state) for state in states if self._is_worth_telling(state, first_clears)]
        return sorted(told, key=lambda state: state.phase is Phase.CLEAR)

    def _is_worth_telling(self, state: Signal, first_clears: bool) -> bool:
        key = (state.device, state.edge)
        has_happened = key in self._happened
        if state.phase is Phase.RAISE:
            return not has_happened
        self._happened.discard(key)
        return self._told[key][0] is not Phase.CLEAR if key in self._told else first_clears or has_happened

    def _as_told(self, state: Signal) -> Signal:
        """What is clear now has the kind that it was raised with."""
        key = (state.device, state.edge)
        if state.phase is Phase.CLEAR and key in self._told:
            state = msgspec.structs.replace(state, kind=self._told[key][1])
        self._told[key] = (state.phase, state.kind)
        return state
