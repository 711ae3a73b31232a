"""What the core makes of pendants and terminals: one press is one incident, however often it is told, and a new press is never swallowed."""

import tomllib
from collections.abc import Callable
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any

import pytest

from drivers.contract import Signal, Surroundings, to_event
from drivers.tracker.gt06 import Gt06, Gt06Memory
from drivers.tracker.gt06_frame import crc
from drivers.tracker.jt808 import Jt808, Jt808Memory
from gateway.core import decide
from gateway.core.incident import Flag
from gateway.core.state import Draft
from tests.core.room import Room

HEX = {
    row["id"].split()[0]: bytes.fromhex(row["hex"])
    for codec in ("gt06", "jt808")
    for row in tomllib.loads((Path(__file__).parent.parent / "vectors" / "tracker" / f"{codec}.toml").read_text("utf-8"))["frame"]
}
LINE = "trackers"


class Told:
    """A codec whose signals go into a room."""

    def __init__(self, room: Room, new: Callable[[Surroundings], Any]) -> None:
        self.room = room
        self.codec = new(Surroundings(line=LINE, utc_now=lambda: room.now))

    def __call__(self, wire: bytes, seconds: float = 0) -> list[str]:
        """What the core said of each signal, after so many seconds."""
        self.room.advance(seconds)
        verdicts = []
        for signal in self.codec.receive_data(wire, self.room.now.timestamp()):
            if isinstance(signal, Signal):
                draft = Draft(self.room.working)
                verdicts.append(decide.on_event(draft, to_event(signal, LINE, self.room.now), self.room.now))
                self.room._settle(draft)
            self.codec.confirm(signal)
        return verdicts


@pytest.fixture
def room() -> Room:
    return Room()


def pendant(room: Room) -> Told:
    memory = Gt06Memory()
    told = Told(room, lambda place: Gt06(None, Surroundings(line=place.line, utc_now=place.utc_now, memory=memory)))
    told(HEX["G1"])
    return told


def terminal(room: Room) -> Told:
    memory = Jt808Memory()
    told = Told(room, lambda place: Jt808(None, Surroundings(line=place.line, utc_now=place.utc_now, memory=memory)))
    told(report(0x0102, b"0", 1))
    return told


def again(wire: bytes, serial: int) -> bytes:
    body = wire[2:-6] + serial.to_bytes(2)
    return b"\x78\x78" + body + crc(body).to_bytes(2) + b"\r\n"


def report(message: int, body: bytes, serial: int) -> bytes:
    data = message.to_bytes(2) + len(body).to_bytes(2) + bytes.fromhex("013800138000") + serial.to_bytes(2) + body
    return b"\x7e" + data + bytes([reduce(xor, data)]) + b"\x7e"


def bits(alarm: int, serial: int) -> bytes:
    """A location without a date, so that the clock of the room counts; nothing in it needs an escape."""
    return report(0x0200, alarm.to_bytes(4) + bytes(24), serial)


def test_g22_one_press_told_three_times_is_one_incident(room: Room) -> None:
    told = pendant(room)
    for serial in (0x11, 0x12, 0x13):
        assert told(again(HEX["G6"], serial), 10) == ["stored"]
    assert (room.only.cries, room.only.device) == (1, "123456789012345")
    told(again(HEX["G6"], 0x14), 121)
    assert room.only.cries == 2, "after two minutes it is a new cry"


def test_the_same_frame_of_a_pendant_again_is_a_duplicate(room: Room) -> None:
    told = pendant(room)
    assert [told(HEX["G6"]), told(HEX["G6"], 5)] == [["stored"], ["duplicate"]]


def test_an_alarm_without_a_login_reaches_somebody(room: Room) -> None:
    told = Told(room, lambda place: Gt06(None, place))
    told.codec.peer = "192.0.2.7"
    assert told(HEX["G6"]) == []
    assert told(b"", 11) == ["stored"]
    assert room.only.device == "unidentified 192.0.2.7"
    assert room.orders, "somebody is sent"


def test_j22_a_bit_that_stays_set_is_one_cry_for_ten_minutes(room: Room) -> None:
    told = terminal(room)
    told(bits(1, 2))
    for serial in range(3, 12):
        told(bits(1, serial), 60)
    assert room.only.cries == 1
    entries = room.only.entries
    told(bits(1, 20), 61)
    assert room.only.entries == entries + 1, "after ten minutes it is told again"


def test_a_bit_that_goes_out_after_the_answer_cancels_nothing_and_the_next_press_cries(room: Room) -> None:
    told = terminal(room)
    told(bits(1, 2))
    told(bits(0, 3), 15)
    assert Flag.CANCELLED not in room.only.flags
    assert Flag.ENDED not in room.only.flags
    told(bits(1, 4), 15)
    assert room.only.cries == 2


def test_a_press_after_a_restart_is_not_taken_for_the_one_before(room: Room) -> None:
    told = terminal(room)
    told(bits(1, 2))
    restarted = terminal(room)  # the core has kept its states, the codec's memory is gone
    restarted(bits(0, 3), 15)
    restarted(bits(1, 4), 15)
    assert room.only.cries == 2


def test_a_condition_that_is_over_ends_its_incident(room: Room) -> None:
    told = terminal(room)
    told(bits(1 << 7, 2))
    assert room.only.kind == "low_battery"
    told(bits(0, 3), 60)
    assert Flag.ENDED in room.only.flags
