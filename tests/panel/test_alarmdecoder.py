"""AlarmDecoder: transmitters that are ours, reports, the keypad's flags."""

import tomllib
from pathlib import Path

import msgspec
import pytest
from codec_checks import check_flips, check_fragments, check_prefixes_wait, fuzz, look

from drivers.contract import Rejected, Signal, Surroundings
from drivers.panel.alarmdecoder import AlarmDecoder, AlarmDecoderOptions
from drivers.panel.zones import KnownStates
from gateway.event import Kind, Phase

VECTORS = tomllib.loads((Path(__file__).parent.parent / "vectors" / "panel" / "alarmdecoder.toml").read_text("utf-8"))
OPTIONS = AlarmDecoderOptions(learned={"102532:1": "sos", "102532:3": "tamper"}, channels={"7:1": "water_leak"}, zones={"5": "fall"})
LINES = [row["text"].encode() + b"\r\n" for row in VECTORS["line"] + VECTORS["keypad"] + VECTORS["silent"]]


def adapter(options: AlarmDecoderOptions = OPTIONS) -> AlarmDecoder:
    return AlarmDecoder(options, Surroundings(line="panel", memory=KnownStates()))


def read(codec: AlarmDecoder, text: str, now: float = 0.0) -> list[Signal]:
    found = codec.receive_data(f"{text}\r\n".encode(), now)
    assert all(isinstance(one, Signal) for one in found), found
    return [one for one in found if isinstance(one, Signal)]


@pytest.mark.parametrize("row", VECTORS["line"], ids=lambda row: row["id"])
def test_vector(row: dict[str, object]) -> None:
    [signal] = read(adapter(), str(row["text"]))
    if "code" in row:
        assert signal.detail["code"] == row["code"]
        return
    assert (signal.kind, signal.phase, signal.edge) == (row["kind"], row.get("phase", "raise"), row.get("edge"))
    assert signal.device == row.get("device", "alarmdecoder")
    assert signal.detail == row["detail"]


@pytest.mark.parametrize("row", VECTORS["keypad"], ids=lambda row: row["id"])
def test_keypad_flags_are_states(row: dict[str, object]) -> None:
    signals = read(adapter(), str(row["text"]))
    assert [f"{one.edge} {one.kind}" for one in signals if one.phase is Phase.RAISE] == row["raised"]


def test_the_keypad_is_told_again_and_again_and_is_then_a_sign_of_life() -> None:
    codec = adapter()
    line = VECTORS["keypad"][5]["text"]
    read(codec, line)
    [life] = read(codec, line)
    assert (life.kind, life.detail["text"]) == (Kind.HEARTBEAT, "FAULT 03")


@pytest.mark.parametrize("row", VECTORS["silent"], ids=lambda row: row["text"])
def test_other_lines_are_counted(row: dict[str, str]) -> None:
    codec = adapter()
    assert read(codec, row["text"]) == []
    assert codec.counts == {"passed_over": 1}


@pytest.mark.parametrize("row", VECTORS["unreadable"], ids=lambda row: row["text"])
def test_a_report_nobody_can_read_reaches_an_operator(row: dict[str, str]) -> None:
    rejected, notice = adapter().receive_data(row["text"].encode() + b"\r\n", 0.0)
    assert isinstance(rejected, Rejected)
    assert isinstance(notice, Signal)
    assert rejected.reason == "unreadable_report"
    assert (notice.kind, notice.phase, notice.detail) == (Kind.GENERAL, Phase.RAISE, {"text": row["text"]})


@pytest.mark.parametrize("row", VECTORS["bad"], ids=lambda row: row["text"])
def test_bad_line(row: dict[str, str]) -> None:
    assert look(adapter().receive_data(row["text"].encode() + b"\r\n", 0.0)) == [("rejected", "unparsable", row["text"].encode())]


@pytest.mark.parametrize("wire", LINES, ids=range(len(LINES)))
def test_generic_checks(wire: bytes) -> None:
    check_fragments(adapter, wire)
    check_fragments(adapter, wire + LINES[4])
    check_prefixes_wait(adapter, b"", wire)
    check_flips(adapter, wire)


def test_a_press_is_sent_several_times_and_a_later_one_is_a_new_cry() -> None:
    codec = adapter()
    [first] = read(codec, "!RFX:0102532,80")
    assert read(codec, "!RFX:0102532,80", 1.9) == []
    [second] = read(codec, "!RFX:0102532,80", 2.0)
    assert (second.kind, second.phase) == (Kind.SOS, Phase.RAISE)
    assert first.dedup != second.dedup


def test_a_second_press_after_a_release_is_no_copy_of_the_first() -> None:
    codec = adapter()
    seen = [[one.phase for one in read(codec, f"!RFX:0102532,{bits}")] for bits in ("80", "80", "00", "00", "80", "80")]
    assert seen == [[Phase.RAISE], [], [Phase.CLEAR], [], [Phase.RAISE], []]


@pytest.mark.parametrize(("bits", "kind"), [("80", Kind.BUTTON), ("04", Kind.HEARTBEAT), ("02", Kind.HEARTBEAT)])
def test_a_neighbours_transmitter_is_a_button_only_when_it_is_pressed(bits: str, kind: Kind) -> None:
    [heard] = read(adapter(), f"!RFX:0999999,{bits}")
    assert (heard.kind, heard.phase, heard.detail["unlearned"], heard.detail.get("low_battery")) == (
        kind,
        Phase.STATE,
        True,
        True if bits == "02" else None,
    )


def test_a_loop_that_closes_is_clear_and_a_checkin_of_an_open_one_no_cry() -> None:
    codec = adapter()
    read(codec, "!RFX:0102532,80")
    again = read(codec, "!RFX:0102532,84", 600.0)
    assert [one.kind for one in again] == [Kind.LOW_BATTERY]
    [closed] = read(codec, "!RFX:0102532,00", 700.0)
    assert (closed.kind, closed.phase) == (Kind.SOS, Phase.CLEAR)


def test_two_loops_of_one_transmitter() -> None:
    both = read(adapter(), "!RFX:0102532,90")
    assert [(one.kind, one.detail["loop"]) for one in both] == [(Kind.SOS, 1), (Kind.TAMPER, 3)]


@pytest.mark.parametrize(("loop", "bits"), [(1, "80"), (2, "20"), (3, "10"), (4, "40")])
def test_bits_of_the_loops(loop: int, bits: str) -> None:
    [press] = read(adapter(AlarmDecoderOptions(learned={f"1:{loop}": "help"})), f"!RFX:0000001,{bits}")
    assert (press.kind, press.detail["loop"]) == (Kind.HELP, loop)


@pytest.mark.parametrize("text", ["!LRR:005,1,CID_1110,ff", "!LRR:005,1,ALARM_FIRE"])
def test_what_a_zone_means_is_the_sites_word(text: str) -> None:
    [signal] = read(adapter(), text)
    assert (signal.kind, signal.detail["zone"]) == (Kind.FALL, "005")


def test_codes_and_dialect_as_for_other_carriers() -> None:
    [signal] = read(adapter(AlarmDecoderOptions(dialect="climax")), "!LRR:001,1,CID_1120,ff")
    assert signal.kind is Kind.FALL
    [signal] = read(adapter(AlarmDecoderOptions(codes={"131": "sos"})), "!LRR:001,1,CID_1131,ff")
    assert signal.kind is Kind.SOS


def test_a_channel_that_ends() -> None:
    codec = adapter()
    read(codec, "!EXP:07,01,01")
    [over] = read(codec, "!EXP:07,01,00")
    assert (over.kind, over.phase) == (Kind.WATER_LEAK, Phase.CLEAR)


@pytest.mark.parametrize("options", [{"learned": {"5": "sos"}}, {"learned": {"5:5": "sos"}}, {"channels": {"7": "sos"}}, {"zones": {"x": "sos"}}])
def test_options_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(options))):
        msgspec.convert(options, AlarmDecoderOptions)


def test_ten_thousand_mutated_messages() -> None:
    seen = fuzz(adapter, LINES, 10_000, seed=2)
    assert seen["sos"] > 100
    assert seen["unparsable"] > 100


@pytest.mark.campaign
def test_a_million_mutated_messages() -> None:
    fuzz(adapter, LINES, 1_000_000, seed=3)
