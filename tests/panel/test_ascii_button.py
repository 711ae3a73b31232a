"""Radio buttons as lines of text: what is learned cries, what is not is listed, one press is one signal."""

import tomllib
from pathlib import Path

import msgspec
import pytest
from codec_checks import check_flips, check_fragments, check_prefixes_wait, fuzz, look, talk
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.contract import Signal
from drivers.panel.ascii_button import GAPS_S, AsciiButtonOptions, AsciiButtons
from gateway.event import Kind, Phase

VECTORS = tomllib.loads((Path(__file__).parent.parent / "vectors" / "panel" / "ascii_button.toml").read_text())
LINES = [row["text"].encode() + b"\r\n" for row in VECTORS["line"]]
OPTIONS = AsciiButtonOptions(learned={"000005:2": "", "0c2f1a:04": "help", "5393": "sos", "123456": "smoke", "1bb4": "help"})
PRESS = LINES[0]


def receiver() -> AsciiButtons:
    return AsciiButtons(OPTIONS, session="s")


def signals(codec: AsciiButtons, wire: bytes, now: float) -> list[Signal]:
    found = codec.receive_data(wire, now)
    assert all(isinstance(one, Signal) for one in found), found
    return [one for one in found if isinstance(one, Signal)]


@pytest.mark.parametrize("row", VECTORS["line"], ids=lambda row: row["id"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\0\r\n"])
def test_vector(row: dict[str, object], end: str) -> None:
    [signal] = signals(receiver(), f"{row['text']}{end}".encode(), 0.0)
    assert (signal.kind, signal.phase, signal.device) == (row["kind"], row.get("phase", "raise"), row.get("device"))
    assert signal.detail == row["detail"]


@pytest.mark.parametrize("row", VECTORS["bad"], ids=lambda row: row["text"])
def test_bad_line(row: dict[str, str]) -> None:
    assert look(receiver().receive_data(row["text"].encode() + b"\r\n", 0.0)) == [("rejected", row["reason"], row["text"].encode())]


@pytest.mark.parametrize("wire", LINES, ids=[row["id"] for row in VECTORS["line"]])
def test_generic_checks(wire: bytes) -> None:
    assert check_fragments(receiver, wire)
    check_prefixes_wait(receiver, b"", wire)
    check_flips(receiver, wire)


def test_one_press_is_sent_several_times_and_a_later_one_is_a_new_cry() -> None:
    codec = receiver()
    [first] = signals(codec, b"5393\n", 0.0)
    assert codec.receive_data(b"5393\n5393\n", 1.9) == []
    [second] = signals(codec, b"5393\n", 2.0)
    assert first.dedup != second.dedup
    assert second.kind is Kind.SOS


def test_a_held_button_cries_on() -> None:
    codec = receiver()
    cries = [len(codec.receive_data(b"5393\n", tenth / 10)) for tenth in range(100)]
    assert sum(cries) == 5


def test_another_switch_or_command_is_another_press() -> None:
    codec = AsciiButtons(AsciiButtonOptions(learned={"5:1": "", "5:2": "help"}))
    wire = b"20;01;X;ID=5;SWITCH=1;CMD=ON;\n20;02;X;ID=5;SWITCH=2;CMD=ON;\n20;03;X;ID=5;SWITCH=1;CMD=OFF;\n"
    assert [one.kind for one in signals(codec, wire, 0.0)] == [Kind.SOS, Kind.HELP, Kind.SOS]


def test_off_clears_only_where_configured() -> None:
    codec = AsciiButtons(AsciiButtonOptions(learned={"5:1": "water_leak"}, off_clears=True))
    [signal] = signals(codec, b"20;03;X;ID=5;SWITCH=1;CMD=OFF;\n", 0.0)
    assert (signal.kind, signal.phase) == (Kind.WATER_LEAK, Phase.CLEAR)


def test_low_battery_of_a_learned_button_beside_its_press() -> None:
    codec = receiver()
    wire = b"20;01;EV;ID=000005;SWITCH=2;CMD=ON;BAT=LOW;\n"
    assert [one.kind for one in signals(codec, wire * 3, 0.0)] == [Kind.SOS, Kind.LOW_BATTERY]
    assert [one.kind for one in signals(receiver(), wire.replace(b"05", b"06"), 0.0)] == [Kind.BUTTON]


def test_counter_gap_is_noted_once_a_minute_and_added_up() -> None:
    codec = receiver()
    codec.receive_data(b"20;FE;OK;\n", 0.0)
    assert [one.kind for one in signals(codec, b"20;FF;OK;\n20;00;OK;\n", 0.0)] == [Kind.HEARTBEAT] * 2, "the counter wraps"
    gap, _ = signals(codec, b"20;03;OK;\n", 0.0)
    assert (gap.kind, gap.detail) == (Kind.GAP, {"lost_lines": 2})
    assert len(signals(codec, b"20;05;OK;\n", 30.0)) == 1
    gap, _, _ = signals(codec, b"20;08;OK;\n", 61.0)
    assert gap.detail == {"lost_lines": 3}
    assert len(signals(codec, b"20;00;Nodo RadioFrequencyLink;\n", 200.0)) == 1, "a receiver that started anew"


def test_repeated_gaps_are_a_notice_that_ends() -> None:
    codec = receiver()
    codec.receive_data(b"20;00;OK;\n", 0.0)
    found = [signals(codec, f"20;{counter:02X};OK;\n".encode(), now) for counter, now in ((5, 1.0), (10, 100.0), (15, 200.0), (20, 300.0))]
    assert [one.kind for one in found[2]] == [Kind.GAP, Kind.FAULT, Kind.HEARTBEAT]
    assert [one.kind for one in found[3]] == [Kind.GAP, Kind.HEARTBEAT], "told once"
    assert codec.deadline() == 900.0
    [end] = codec.handle_deadline(900.0)
    assert isinstance(end, Signal)
    assert (end.kind, end.phase) == (Kind.FAULT, Phase.CLEAR)


def test_a_detector_that_is_quiet_again() -> None:
    codec = AsciiButtons(AsciiButtonOptions(learned={"123456": "smoke"}, off_clears=True))
    [signal] = signals(codec, b"20;63;SmokeAlert;ID=123456;SMOKEALERT=OFF;\n", 0.0)
    assert (signal.kind, signal.phase) == (Kind.SMOKE, Phase.CLEAR)


def test_endless_line_is_rejected_once_and_the_next_line_is_read() -> None:
    found, sent = talk(receiver(), [b"x" * 2000, b"y" * 2000 + b"\n" + PRESS])
    assert [seen[1] if seen[0] == "rejected" else seen[0] for seen in found] == ["too_long", Kind.SOS]
    assert sent == b""


@pytest.mark.parametrize("learned", [{"zz:1": "sos"}, {"5:1": "panic"}, {"": ""}])
def test_learned_table_is_checked(learned: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError, match="learned"):
        msgspec.convert({"learned": learned}, AsciiButtonOptions)


@given(st.lists(st.binary(max_size=200) | st.sampled_from([*LINES, b"\n", b"20;"]), max_size=8))
@settings(deadline=None, max_examples=300)
def test_any_bytes(pieces: list[bytes]) -> None:
    talk(receiver(), pieces)


def test_ten_thousand_mutated_messages() -> None:
    seen = fuzz(receiver, LINES, 10_000, seed=433, longest_s=GAPS_S)
    assert seen["sos"] > 100
    assert seen["unparsable"] > 100


@pytest.mark.campaign
def test_a_million_mutated_messages() -> None:
    fuzz(receiver, LINES, 1_000_000, seed=3, longest_s=GAPS_S)
