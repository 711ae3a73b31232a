"""Alarm receivers on a Sur-Gard line: the fact sheet's records, every row of its table of bad input, and the answer only after all is kept."""

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from codec_checks import check_flips, check_fragments, check_prefixes_wait, fuzz, look, run_out, talk

from drivers.contract import Rejected, Signal, Surroundings
from drivers.panel.surgard import SurgardMemory, SurgardOptions, SurgardReceiver
from drivers.recent import RecentKeys
from drivers.registry import check_line, codec_for
from gateway.config import LineConfig
from gateway.event import Kind, Phase

ROWS = tomllib.loads((Path(__file__).parent.parent / "vectors" / "panel" / "surgard.toml").read_text())["record"]
NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
ACK, NAK, DC4 = b"\x06", b"\x15", b"\x14"
ALARM = b"5000 184321E10100005" + DC4
OTHER = b"5000 184321E10100006" + DC4
HEARTBEAT = b"1011" + b" " * 11 + b"@" + b" " * 4 + DC4


def wire(row: dict[str, object]) -> bytes:
    text = str(row["text"]).encode()
    return b"\n" + text + b"\r" if row.get("format") == "ademco685" else text + DC4


def receiver(place: Surroundings | None = None, **options: object) -> SurgardReceiver:
    return SurgardReceiver(SurgardOptions(**options), place or Surroundings(session="s", utc_now=lambda: NOW))  # type: ignore[arg-type]


def live() -> SurgardReceiver:
    """On a line, where a link that was down is remembered."""
    return receiver(Surroundings(line="receiver", session="s", memory=SurgardMemory(), utc_now=lambda: NOW))


def read(codec: SurgardReceiver, data: bytes, now: float = 0.0) -> list[Signal]:
    found = codec.receive_data(data, now)
    assert all(isinstance(one, Signal) for one in found), found
    return found  # type: ignore[return-value]


def one(codec: SurgardReceiver, data: bytes, now: float = 0.0, *, keep: bool = True) -> Signal:
    [signal] = read(codec, data, now)
    if keep:
        codec.confirm(signal)
        assert codec.data_to_send() == ACK
    return signal


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_vector(row: dict[str, object]) -> None:
    signal = one(receiver(format=row.get("format", "surgard")), wire(row))
    assert (signal.kind, signal.phase, signal.device) == (row["kind"], row.get("phase", "raise"), row.get("device"))
    detail: dict[str, object] = row["detail"]  # type: ignore[assignment]
    assert {name: signal.detail.get(name) for name in detail} == detail


def test_hex_of_the_sheet() -> None:
    data = bytes.fromhex("3530303020313834333231453130313030303035 14")
    assert data == ALARM
    heartbeat = bytes.fromhex("31303131" + "20" * 11 + "40" + "20" * 4 + "14")
    assert one(receiver(), heartbeat).kind is Kind.HEARTBEAT


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_generic_checks(row: dict[str, object]) -> None:
    def new() -> SurgardReceiver:
        return receiver(format=row.get("format", "surgard"))

    assert check_fragments(new, wire(row))
    check_prefixes_wait(new, b"", wire(row))
    check_flips(new, wire(row))


def test_answer_only_after_the_commit_and_none_when_it_failed() -> None:
    codec = receiver()
    signal = one(codec, ALARM, keep=False)
    assert codec.data_to_send() == b""
    codec.refuse(signal, "store_down")
    assert codec.data_to_send() == b"", "the receiver then prints and keeps it"
    again = one(codec, ALARM, 4.0)
    assert (again.phase, again.dedup) == (Phase.RAISE, signal.dedup), "nothing was answered, so this is the same message"


def test_repeat_while_the_store_is_slow_is_the_same_message_and_is_answered_once() -> None:
    codec = receiver()
    first, second = one(codec, ALARM, 0.0, keep=False), one(codec, ALARM, 4.0, keep=False)
    assert (first.dedup, first.phase) == (second.dedup, second.phase)
    codec.confirm(first)
    assert codec.data_to_send() == b"", "two answers would confirm the next record unseen"
    codec.confirm(second)
    assert codec.data_to_send() == ACK


def test_late_answer_does_not_confirm_the_next_record() -> None:
    codec = receiver()
    first, second = one(codec, ALARM, 0.0, keep=False), one(codec, OTHER, 20.0, keep=False)
    codec.confirm(first)
    assert codec.data_to_send() == b""
    codec.confirm(second)
    assert codec.data_to_send() == ACK


def test_the_same_record_again_is_a_repeat_with_its_count_and_never_swallowed() -> None:
    clock = [NOW]
    codec = receiver(Surroundings(utc_now=lambda: clock[0]))
    seen = [one(codec, ALARM, now) for now in (0.0, 5.0, 10.0)]
    assert [(signal.phase, signal.detail.get("count")) for signal in seen] == [(Phase.RAISE, None), (Phase.REPEAT, 2), (Phase.REPEAT, 3)]
    assert len({signal.dedup for signal in seen}) == 3
    clock[0] += timedelta(seconds=31)
    assert one(codec, ALARM, 31.0).phase is Phase.RAISE, "outside the window it is a cry like the first"


def test_stored_and_not_answered_when_the_gateway_died_it_is_no_second_cry() -> None:
    first = one(receiver(Surroundings(session="a", utc_now=lambda: NOW)), ALARM, 0.0)
    recent = RecentKeys()
    recent.restore([str(first.dedup)])
    later = NOW + timedelta(seconds=3)
    again = one(receiver(Surroundings(session="b", recent=recent, utc_now=lambda: later)), ALARM, 1000.0)
    assert (again.phase, again.detail["count"]) == (Phase.REPEAT, 2)
    assert again.dedup != first.dedup, "it may be a second press: shown, and never swallowed"
    other = one(receiver(Surroundings(session="b", recent=recent, utc_now=lambda: later)), OTHER, 1000.0)
    assert (other.phase, "count" in other.detail) == (Phase.RAISE, False)


def test_repeats_are_known_over_connections() -> None:
    memory = SurgardMemory()
    first = receiver(Surroundings(session="a", memory=memory))
    one(first, ALARM, 0.0)
    again = one(receiver(Surroundings(session="b", memory=memory)), ALARM, 6.0)
    assert (again.phase, again.detail["count"], again.dedup) == (Phase.REPEAT, 2, "0:b-1")


def test_several_sia_events_one_answer() -> None:
    codec = receiver()
    first, second = read(codec, b"S011[#4321|Nri1/QA003/ri2/MA004]" + DC4)
    assert [(signal.kind, signal.detail["ri"], signal.detail["zone"]) for signal in (first, second)] == [
        (Kind.SOS, "1", "003"),
        (Kind.MEDICAL, "2", "004"),
    ]
    assert first.dedup != second.dedup
    codec.confirm(first)
    assert codec.data_to_send() == b""
    codec.confirm(second)
    assert codec.data_to_send() == ACK


def test_several_sia_events_one_of_them_not_kept() -> None:
    codec = receiver()
    first, second = read(codec, b"S011[#4321|Nri1/QA003/MA004]" + DC4)
    codec.confirm(first)
    codec.refuse(second, "store_down")
    assert codec.data_to_send() == b""
    again = read(codec, b"S011[#4321|Nri1/QA003/MA004]" + DC4, 4.0)
    assert [signal.dedup for signal in again] == [first.dedup, second.dedup]


def test_two_different_records_glued_are_both_told() -> None:
    codec = receiver()
    both = read(codec, ALARM[:-1] + OTHER)
    assert [signal.detail["zone"] for signal in both] == ["005", "006"]
    for signal in both:
        assert codec.data_to_send() == b""
        codec.confirm(signal)
    assert codec.data_to_send() == ACK


# --- the sheet's table of bad input


def test_no_terminator_within_5_s() -> None:
    codec = receiver()
    assert codec.receive_data(ALARM[:-1], 0.0) == []
    assert codec.deadline() == 5.0
    codec.receive_data(b" ", 3.0)
    assert codec.deadline() == 8.0, "counted from the last character"
    assert look(codec.handle_deadline(8.0)) == [("rejected", "no_terminator", ALARM[:-1] + b" ")]
    assert (codec.data_to_send(), codec.deadline()) == (b"", None)
    assert one(codec, ALARM, 9.0).kind is Kind.SOS


@pytest.mark.parametrize("noise", [b"\x00", b"\xff\xff", b"\x00\xff\r\n", b"\x06\x15"])
def test_noise_before_a_record(noise: bytes) -> None:
    assert one(receiver(Surroundings(line="x", session="s")), noise + ALARM).kind is Kind.SOS


UNREADABLE = [
    pytest.param(b"5000 184321E1010000", id="too short"),
    pytest.param(b"5000 184321E10100005 7", id="too long"),
    pytest.param(b"5000 184321E1O100005", id="letter in a digit field"),
    pytest.param(b"5000 184321X10100005", id="unknown qualifier"),
    pytest.param(b"5000 18321E10100005", id="account of three digits"),
    pytest.param(b"S011[#4321|Nri1/QA003", id="SIA without its end"),
    pytest.param(b"S011[#4321|Nri1]", id="SIA without an event"),
    pytest.param(b"5000 184321\x07E10100005", id="control character inside"),
]


@pytest.mark.parametrize("text", UNREADABLE)
def test_unreadable_is_asked_for_twice_then_shown_and_let_go(text: bytes) -> None:
    codec = receiver()
    for now in (0.0, 1.0):
        found, sent = talk(codec, [text + DC4], now)
        assert (found, sent) == ([("rejected", "unreadable", text + DC4)], NAK)
    signal = one(codec, text + DC4, 2.0)
    assert (signal.kind, signal.kind_raw) == (Kind.GENERAL, "unreadable_record")
    assert signal.raw == text + DC4
    assert talk(codec, [text + DC4], 60.0)[1] == NAK, "and from the beginning"


def test_the_third_time_is_not_answered_when_it_cannot_be_stored() -> None:
    codec = receiver()
    bad = b"5000 184321X10100005" + DC4
    talk(codec, [bad, bad])
    [signal] = codec.receive_data(bad, 2.0)
    codec.refuse(signal, "store_down")
    assert codec.data_to_send() == b""


def test_noise_that_differs_each_time_is_asked_for_twice_only() -> None:
    codec = receiver()
    sent = [talk(codec, [b"5000 1843%dX10100005" % number + DC4])[1] for number in range(21, 25)]
    assert sent == [NAK, NAK, b"", b""]
    one(codec, ALARM)
    assert talk(codec, [b"5000 184399X10100005" + DC4])[1] == NAK, "a good record begins the count anew"


def test_noise_that_differs_each_time_reaches_an_operator_once() -> None:
    codec = receiver(Surroundings(line="receiver", session="s"))
    found = [one for number in range(21, 27) for one in codec.receive_data(b"5000 1843%dX10100005" % number + DC4, 0.0)]
    notices = [one for one in found if isinstance(one, Signal)]
    assert [(one.kind, one.kind_raw, one.detail["text"]) for one in notices] == [(Kind.GENERAL, "unreadable_records", "5000 184323X10100005")]
    codec.data_to_send()
    codec.confirm(notices[0])
    assert codec.data_to_send() == b""


def test_a_heartbeat_between_does_not_begin_the_count_anew() -> None:
    codec, bad = receiver(), b"5000 184321X10100005" + DC4
    talk(codec, [bad, bad, HEARTBEAT])
    assert one(codec, bad).kind_raw == "unreadable_record"


def test_unknown_type_is_shown_and_answered_at_once() -> None:
    signal = one(receiver(), b"6011      123456AB0012" + DC4)
    assert (signal.kind, signal.detail["text"]) == (Kind.GENERAL, "6011      123456AB0012")


def test_unknown_account_is_delivered_flagged() -> None:
    place = Surroundings(session="s", knows=lambda address: address == "1111:005")
    assert one(receiver(place), ALARM).detail["unknown_account"] is True
    assert "unknown_account" not in one(receiver(place), b"5000 181111E10100005" + DC4).detail


def test_more_than_256_characters() -> None:
    codec = receiver()
    [rejected, notice] = codec.receive_data(b"5" * 300, 0.0)
    assert isinstance(rejected, Rejected)
    assert isinstance(notice, Signal)
    assert (rejected.reason, notice.kind, notice.kind_raw) == ("too_long", Kind.FAULT, "too_long")
    assert talk(codec, [b"5" * 5000 + DC4]) == ([], b"")
    assert one(codec, ALARM).kind is Kind.SOS


def test_endless_noise_ends_with_a_pause() -> None:
    codec = receiver()
    codec.receive_data(b"5" * 300, 0.0)
    assert codec.handle_deadline(5.0) == []
    assert one(codec, ALARM, 6.0).kind is Kind.SOS


def test_parity_bits_are_masked_and_told_once() -> None:
    codec = receiver()
    data = bytes(byte | (0x80 if byte.bit_count() % 2 else 0) for byte in ALARM)
    signal, notice = read(codec, data)
    assert (signal.kind, signal.device, notice.kind, notice.kind_raw) == (Kind.SOS, "4321", Kind.FAULT, "parity_bits")
    codec.confirm(signal)
    assert codec.data_to_send() == ACK
    codec.refuse(notice, "store_down")
    assert [found.kind for found in read(codec, data, 60.0)] == [Kind.SOS, Kind.FAULT], "what was not stored is told again"
    assert [found.kind for found in read(codec, data, 120.0)] == [Kind.SOS]


def test_empty_record_is_not_answered() -> None:
    assert talk(receiver(), [b"\x00\xff" + DC4]) == ([("rejected", "noise", b"\x00\xff" + DC4)], b"")
    assert talk(receiver(), [DC4]) == ([], b"")


# --- after the link was down


def test_what_may_come_out_of_the_receivers_memory_is_marked() -> None:
    codec = live()
    one(codec, HEARTBEAT, 0.0)
    buffered = one(codec, ALARM, 1.0)
    assert buffered.detail["possibly_buffered"] is True
    assert buffered.late is None, "it alarms like any other"
    one(codec, HEARTBEAT, 31.0)
    assert "possibly_buffered" not in one(codec, ALARM, 40.0).detail
    assert "possibly_buffered" in one(codec, OTHER, 131.0).detail, "three heartbeats were missing"


def test_after_the_store_was_down_too() -> None:
    codec = live()
    one(codec, HEARTBEAT, 0.0)
    one(codec, HEARTBEAT, 30.0)
    signal = one(codec, ALARM, 31.0, keep=False)
    assert "possibly_buffered" not in signal.detail
    codec.refuse(signal, "store_down")
    assert "possibly_buffered" in one(codec, OTHER, 70.0).detail


# --- options


def test_pulses_are_mapped_per_receiver_and_account() -> None:
    options: dict[str, Any] = {"pulses": {"7": "fall", "21": "sos", "0013:21": "smoke"}, "zones": {"0012:009": "bed_exit"}}

    def kind(text: str) -> Kind:
        return one(receiver(**options), text.encode() + DC4).kind

    assert kind("1011      0012 71004") is Kind.FALL
    assert kind("1011      0012 A  21") is Kind.SOS
    assert kind("1011      0013 A  21") is Kind.SMOKE
    assert kind("1011      0012 71009") is Kind.BED_EXIT
    assert kind("1011      0012 T1009") is Kind.FAULT, "a zone's trouble stays trouble"
    assert kind("1011      0012 R  21") is Kind.SOS, "the map of a site goes before the letter"


def test_dialects_and_zones_of_contact_id() -> None:
    assert one(receiver(dialect="climax"), b"5000 184321E12000005" + DC4).kind is Kind.FALL
    assert one(receiver(zones={"4321:005": "fall"}), ALARM).kind is Kind.FALL


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"pulses": {"!": "sos"}}, "pulses"),
        ({"pulses": {"7": "nothing"}}, "no kind"),
        ({"format": "oh2000"}, "format"),
        ({"repeat_s": 0}, "repeat_s"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], says: str) -> None:
    [problem] = check_line(LineConfig(name="receiver", codec="surgard", listen="tcp:1025", options=options))
    assert says in problem


def test_the_row_of_the_registry() -> None:
    assert isinstance(codec_for("surgard"), SurgardReceiver)
    assert check_line(LineConfig(name="receiver", codec="surgard", listen="serial:/dev/ttyUSB0:baudrate=19200:bytesize=7:parity=E")) == []
    assert check_line(LineConfig(name="receiver", codec="surgard", connect="tcp:192.0.2.7:1025")) == []


def test_ten_thousand_mutated_records() -> None:
    for name in ("surgard", "radionics6500", "ademco685"):
        wires = [wire(row) for row in ROWS if row.get("format", "surgard") == name]
        codec = receiver(format=name)
        seen = fuzz(lambda name=name: receiver(format=name), wires, 4_000, seed=14)
        assert seen["heartbeat"] > 100
        run_out(codec, 1.0)


@pytest.mark.campaign
def test_a_million_mutated_records() -> None:
    for name in ("surgard", "radionics6500", "ademco685"):
        fuzz(lambda name=name: receiver(format=name), [wire(row) for row in ROWS if row.get("format", "surgard") == name], 333_334, seed=3)


def test_restore_of_a_code_that_is_an_alarm_is_no_cry() -> None:
    codec = receiver(pulses={"21": "sos"})
    cry, over = one(codec, b"1011      4321 A  21" + DC4), one(codec, b"1011      4321 R  21" + DC4, 1.0)
    assert [(signal.kind, signal.phase) for signal in (cry, over)] == [(Kind.SOS, Phase.RAISE), (Kind.SOS, Phase.CLEAR)]


def test_number_of_a_pulse_is_a_users_unless_a_rule_makes_an_alarm_of_it() -> None:
    for pulses, name in (({}, "user"), ({"4": "sos"}, "zone")):
        assert one(receiver(pulses=pulses), b"1011      4321 4 005" + DC4).detail[name] == "005"
