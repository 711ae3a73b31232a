"""GT06: vectors of the fact sheet and of public tests, dialects, login, receipts after the commit, presses and what bad input does."""

import random
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from codec_checks import check_flips, check_fragments, check_prefixes_wait, fuzz, journalled, look, run_out, talk
from codec_checks import hear as signals

from drivers.contract import Rejected, Signal, Surroundings
from drivers.downlink import Tell, Word
from drivers.tracker.gt06 import Gt06, Gt06Memory, Gt06Options
from drivers.tracker.gt06_block import zone_of
from drivers.tracker.gt06_frame import crc
from gateway.event import Kind, Phase

VECTORS = tomllib.loads((Path(__file__).parent.parent / "vectors" / "tracker" / "gt06.toml").read_text("utf-8"))["frame"]
NOW = datetime(2026, 8, 2, 3, 4, 5, tzinfo=UTC)
IMEI = "123456789012345"


def vector(name: str) -> bytes:
    return next(bytes.fromhex(row["hex"]) for row in VECTORS if row["id"].split()[0] == name)


def reply(name: str) -> bytes:
    return next(bytes.fromhex(row["reply"]) for row in VECTORS if row["id"].split()[0] == name)


LOGIN, HEARTBEAT, LOCATION, SOS = vector("G1"), vector("G3"), vector("G4"), vector("G6")


def frame(protocol: int, content: bytes, serial: int) -> bytes:
    """Built by hand, apart from the codec; the check value's own vector is below."""
    body = bytes([len(content) + 5, protocol]) + content + serial.to_bytes(2)
    return b"\x78\x78" + body + crc(body).to_bytes(2) + b"\x0d\x0a"


def again(wire: bytes, serial: int) -> bytes:
    """The same frame under another serial."""
    return frame(wire[3], wire[4:-6], serial)


def fresh(options: Gt06Options | None = None, **place: Any) -> Gt06:
    return Gt06(options, Surroundings(utc_now=lambda: NOW, **({"memory": Gt06Memory()} | place)))


def logged_in(options: Gt06Options | None = None, **place: Any) -> Gt06:
    codec = fresh(options, **place)
    talk(codec, [LOGIN], 0.0)
    return codec


def check(signal: Signal, expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if name == "part":
            assert value.items() <= signal.detail.items(), signal.detail
        elif name in ("lat", "lon"):
            assert getattr(signal, name) == pytest.approx(value, abs=2e-6)
        else:
            assert getattr(signal, name) == value, name


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["id"])
def test_vector(row: dict[str, Any]) -> None:
    codec = logged_in() if row.get("login", True) else fresh()
    found = codec.receive_data(bytes.fromhex(row["hex"]), 1.0)
    assert codec.data_to_send() == b"", "nothing is answered before it is kept"
    for one in found:
        codec.confirm(one)
    assert codec.data_to_send().hex().upper() == row.get("reply", "").upper()
    if "rejected" in row:
        [rejected] = found
        assert isinstance(rejected, Rejected)
        assert (rejected.reason, rejected.device) == (row["rejected"], IMEI)
        return
    assert [one.kind for one in found if isinstance(one, Signal)] == [expected["kind"] for expected in row["signals"]], found
    for signal, expected in zip(found, row["signals"], strict=True):
        assert isinstance(signal, Signal)
        check(signal, expected)
        assert signal.integrity == "verified"
        assert bytes.fromhex(row["hex"]).endswith(signal.raw)


def test_g17_has_no_time_of_its_own_and_g4_is_history() -> None:
    assert signals(logged_in(), vector("G17"))[0].time is None
    assert signals(logged_in(), LOCATION)[0].late == "backfill"
    assert signals(logged_in(), vector("G12"))[0].late is None


def test_g19_two_segments() -> None:
    codec = logged_in()
    assert talk(codec, [SOS[:9]]) == ([], b"")
    [seen], answer = talk(codec, [SOS[9:]])
    assert (seen[0], answer) == (Kind.SOS, reply("G6"))


def test_g20_three_in_one_segment() -> None:
    seen, answers = talk(logged_in(), [HEARTBEAT + SOS + LOCATION])
    assert [one[0] for one in seen] == [Kind.HEARTBEAT, Kind.SOS, Kind.LOCATION]
    assert answers == reply("G3") + reply("G6")


def test_g22_one_press_told_three_times() -> None:
    codec = logged_in()
    told = [signals(codec, again(SOS, serial), now)[0] for serial, now in ((0x11, 1.0), (0x12, 15.0), (0x13, 31.0))]
    assert [one.phase for one in told] == [Phase.RAISE, Phase.REPEAT, Phase.REPEAT]
    assert len({one.dedup for one in told}) == 3, "other serials are other messages"
    assert codec.data_to_send().count(b"\x78\x78\x05\x26") == 3
    assert signals(codec, again(SOS, 0x14), 122.0)[0].phase is Phase.RAISE, "after two minutes it is a new press"


def test_g23_alarm_without_login_is_raised_and_not_answered() -> None:
    codec = fresh()
    codec.peer = "192.0.2.7"
    assert talk(codec, [SOS]) == ([], b"")
    assert codec.deadline() == 11.0
    assert codec.handle_deadline(10.9) == []
    raised, quarantined = codec.handle_deadline(11.0)
    assert isinstance(raised, Signal)
    assert isinstance(quarantined, Rejected)
    assert (raised.kind, raised.phase, raised.device, raised.integrity) == (Kind.SOS, Phase.RAISE, "unidentified 192.0.2.7", "unauthenticated")
    assert raised.detail["unidentified"] is True
    assert (quarantined.reason, quarantined.raw) == ("not_logged_in", SOS)
    for one in (raised, quarantined):
        codec.confirm(one)
    assert codec.data_to_send() == b""
    assert codec.hang_up


def test_alarm_and_login_the_wrong_way_round() -> None:
    codec = fresh()
    assert talk(codec, [SOS]) == ([], b"")
    seen, answers = talk(codec, [LOGIN], 9.0)
    assert [one[:3] for one in seen] == [(Kind.JOIN, Phase.STATE, IMEI), (Kind.SOS, Phase.RAISE, IMEI)]
    assert answers == reply("G1") + reply("G6")
    assert not codec.hang_up


def test_connection_lost_before_the_login_came() -> None:
    codec = fresh()
    talk(codec, [SOS])
    assert [one.kind for one in codec.disconnected(2.0) if isinstance(one, Signal)] == [Kind.SOS]


def test_other_frames_before_login_are_refused_without_an_answer() -> None:
    seen, answers = talk(fresh(), [HEARTBEAT + LOCATION])
    assert [one[:2] for one in seen] == [("rejected", "not_logged_in")] * 2
    assert answers == b""


def test_the_alarms_that_wait_for_a_login_are_bounded() -> None:
    found = fresh().receive_data(b"".join(again(SOS, serial) for serial in range(20)), 1.0)
    assert [one.reason for one in found if isinstance(one, Rejected)] == ["not_logged_in"] * 12


def test_a_refused_alarm_is_not_answered_and_is_news_when_it_comes_again() -> None:
    codec = logged_in()
    [first] = signals(codec, SOS, keep=False)
    assert codec.data_to_send() == b""
    [second] = signals(codec, SOS, 6.0)
    assert (second.phase, second.dedup) == (Phase.RAISE, first.dedup)
    assert codec.data_to_send() == reply("G6")


def test_one_refused_of_two_means_no_answer() -> None:
    codec = logged_in()
    one, two = codec.receive_data(vector("G11"), 1.0)
    codec.confirm(one)
    codec.refuse(two, "busy")
    assert codec.data_to_send() == b""


def test_same_serial_and_content_is_a_duplicate_for_as_long_as_it_can_be() -> None:
    moment = [NOW]
    place = Surroundings(utc_now=lambda: moment[0], memory=Gt06Memory())
    codec = Gt06(None, place)
    talk(codec, [LOGIN])
    cells = vector("G14")
    first = [signals(codec, wire)[0].dedup for wire in (SOS, cells)]
    moment[0] = NOW.replace(minute=14)
    later = [signals(codec, wire, 600.0)[0].dedup for wire in (SOS, cells)]
    assert later[0] == first[0], "it has a date: the same message whenever it comes"
    assert later[1] != first[1], "it has none: after a restart of the device equal bytes are another press"


def test_press_is_known_over_connections() -> None:
    memory = Gt06Memory()
    signals(logged_in(memory=memory), SOS)
    assert signals(logged_in(memory=memory), again(SOS, 0x20), 30.0)[0].phase is Phase.REPEAT
    assert signals(logged_in(memory=memory), again(vector("G10"), 0x21), 31.0)[0].phase is Phase.RAISE, "another kind"


def test_a_press_that_goes_on_over_a_restart_is_no_second_one() -> None:
    before = signals(logged_in(), SOS)
    memory = Gt06Memory()
    memory.restore(journalled(before, -50.0))
    codec = logged_in(memory=memory)
    assert signals(codec, again(SOS, 0x20), 69.0)[0].phase is Phase.REPEAT
    assert [one.kind for one in signals(codec, heartbeat(0x60, 1), 69.0)] == [Kind.HEARTBEAT], "the alarm frame told of it"
    assert signals(codec, again(vector("G10"), 0x21), 69.0)[0].phase is Phase.RAISE, "another kind"
    assert signals(codec, again(SOS, 0x22), 71.0)[0].phase is Phase.RAISE, "two minutes after the first it is another press"


def test_a_repeat_of_before_a_restart_does_not_make_the_press_longer() -> None:
    codec = logged_in()
    first, repeat = signals(codec, SOS, 0.0), signals(codec, again(SOS, 0x20), 100.0)
    memory = Gt06Memory()
    memory.restore([*journalled(first, -100.0), *journalled(repeat, 0.0)])
    assert signals(logged_in(memory=memory), again(SOS, 0x21), 21.0)[0].phase is Phase.RAISE


def test_what_heartbeats_and_the_gateway_told_before_a_restart_was_no_alarm_frame() -> None:
    said = signals(logged_in(), heartbeat(0x60, 1))
    ours = Signal(kind=Kind.OFFLINE, device=IMEI, detail={"by": "gateway"})
    memory = Gt06Memory()
    memory.restore(journalled([*said, ours], -1.0))
    assert [one.kind for one in signals(logged_in(memory=memory), heartbeat(0x60, 2), 1.0)] == [Kind.SOS, Kind.HEARTBEAT]
    assert signals(logged_in(memory=memory), SOS, 2.0)[0].phase is Phase.RAISE


def heartbeat(terminal: int, serial: int) -> bytes:
    return frame(0x13, bytes([terminal, 4, 4, 0, 1]), serial)


def test_sos_bits_of_a_heartbeat_raise_only_without_an_alarm_frame() -> None:
    codec = logged_in()
    found = signals(codec, heartbeat(0x60, 1))
    assert [(one.kind, one.edge) for one in found] == [(Kind.SOS, "heartbeat sos"), (Kind.HEARTBEAT, None)]
    assert found[0].detail["from_heartbeat"] is True
    cleared = signals(codec, heartbeat(0x40, 2), 200.0)
    assert [(one.kind, one.phase, one.edge) for one in cleared][1:] == [(Kind.TELEMETRY, Phase.CLEAR, "heartbeat sos")]
    assert [one.kind for one in signals(codec, heartbeat(0x40, 3), 400.0)] == [Kind.HEARTBEAT]


def test_sos_bits_of_a_heartbeat_after_an_alarm_frame() -> None:
    codec = logged_in()
    signals(codec, SOS, 1.0)
    assert [one.kind for one in signals(codec, heartbeat(0x60, 1), 120.0)] == [Kind.HEARTBEAT]
    assert [one.kind for one in signals(codec, heartbeat(0x60, 2), 122.0)] == [Kind.SOS, Kind.HEARTBEAT]


def test_bits_are_told_to_be_clear_once_after_a_start() -> None:
    """The core remembers over a restart what this memory does not."""
    codec = logged_in(line="trackers")
    assert [one.phase for one in signals(codec, heartbeat(0x40, 1))] == [Phase.STATE, Phase.CLEAR]
    assert [one.phase for one in signals(codec, heartbeat(0x40, 2))] == [Phase.STATE]
    again_to_say = logged_in(line="trackers")
    signals(again_to_say, heartbeat(0x40, 1), keep=False)
    assert [one.phase for one in signals(again_to_say, heartbeat(0x40, 2))] == [Phase.STATE, Phase.CLEAR]


def test_zone_of_the_login_counts_for_12_and_16_only() -> None:
    def times(codec: Gt06) -> list[datetime | None]:
        return [signals(codec, vector(name))[0].time for name in ("G7", "G6")]

    codec = fresh()
    talk(codec, [vector("G2")])
    assert times(codec) == [datetime(2026, 8, 1, 19, 4, 5, tzinfo=UTC), NOW]
    assert times(logged_in()) == [NOW, NOW]
    fixed = fresh(Gt06Options(utc_offset_min=60))
    talk(fixed, [vector("G2")])
    assert times(fixed) == [datetime(2026, 8, 2, 2, 4, 5, tzinfo=UTC), NOW]


@pytest.mark.parametrize(("word", "minutes"), [("3201", 480), ("3209", -480), ("0000", 0), ("2268", -550 + 200), ("FFFF", None), ("03C1", None)])
def test_zone(word: str, minutes: int | None) -> None:
    zone = zone_of(bytes.fromhex(word))
    assert (None if zone is None else zone.total_seconds() / 60) == minutes


def test_the_check_value() -> None:
    assert crc(bytes.fromhex("05010005")) == 0x9FF8


# --- bad input


def test_wrong_check_may_be_excused_for_one_device() -> None:
    codec = logged_in(Gt06Options(accept_bad_crc=frozenset((IMEI,))))
    [signal] = signals(codec, vector("G18"))
    assert (signal.kind, signal.integrity) == (Kind.SOS, "unverified")
    assert codec.data_to_send() == reply("G6")


@pytest.mark.parametrize("bad", ["787804130001000d0a", "78782526", "7878FF", "7979FFFF", "7979000401", "787800691901210509"])
def test_after_a_length_that_is_none_the_next_frame_is_found(bad: str) -> None:
    codec = logged_in()
    found = [*codec.receive_data(bytes.fromhex(bad) + SOS, 1.0), *codec.handle_deadline(31.0)]
    assert [one.kind for one in found if isinstance(one, Signal)] == [Kind.SOS]
    assert all(one.reason == "unreadable" for one in found if isinstance(one, Rejected))


def test_wifi_frames_with_a_count_for_a_length_are_one_unreadable_frame_each() -> None:
    wifi = bytes.fromhex("7878001719011910543607028f0100bc2e695a00bcb3635a00bc27c56400bc447b6400bc46c96400bc33ce6400bc64ca640d0a")
    seen, answers = talk(logged_in(), [wifi + SOS])
    assert [one[0] for one in seen] == ["rejected", Kind.SOS]
    assert seen[0][1:] == ("unreadable", wifi)
    assert answers == reply("G6")


def test_stop_bytes_missing() -> None:
    seen, answers = talk(logged_in(), [SOS[:-1] + b"\x00" + HEARTBEAT])
    assert [one[0] for one in seen] == ["rejected", Kind.HEARTBEAT]
    assert answers == reply("G3")


def test_unfinished_frame_is_dropped_after_30_s() -> None:
    codec = logged_in()
    codec.receive_data(SOS[:20], 1.0)
    [dropped] = codec.handle_deadline(31.0)
    assert (dropped.raw, codec.handle_deadline(62.0)) == (SOS[:20], [])
    assert talk(codec, [SOS], 63.0)[1] == reply("G6")


def test_unknown_protocol_is_kept_and_answered() -> None:
    codec = logged_in()
    wire = frame(0x5E, b"\x01\x02", 7)
    [rejected] = codec.receive_data(wire, 1.0)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.raw, rejected.detail) == ("unknown_protocol", wire, "5E")
    codec.confirm(rejected)
    assert codec.data_to_send()[:6] == bytes.fromhex("7878055E0007")


@pytest.mark.parametrize(
    ("block", "kept"),
    [
        ("1A0D02030405C9026B2A250C3CB15D00145A", {"time": None, "lat": 22.543096}),  # month 13
        ("1A0802030405C90FFFFFFF0C3CB15D00145A", {"lat": None, "lon": None, "time": NOW}),
        ("1A0802030405C9026B2A25FFFFFFFF00145A", {"lat": None, "lon": None}),
        ("1A0802030405C9000000000000000000145A", {"lat": None, "lon": None, "fix_valid": True}),
    ],
)
def test_impossible_fields_do_not_cost_the_alarm(block: str, kept: dict[str, Any]) -> None:
    [signal] = signals(logged_in(), frame(0x26, bytes.fromhex(block) + SOS[22:-6], 1))
    assert signal.kind is Kind.SOS
    check(signal, kept)


def test_status_shorter_than_five() -> None:
    codec = logged_in()
    found = codec.receive_data(frame(0x26, SOS[4:22] + bytes.fromhex("0901CC00287D001F7104"), 5), 1.0)
    location, rejected = found
    assert isinstance(location, Signal)
    assert isinstance(rejected, Rejected)
    assert (location.kind, location.lat, rejected.reason) == (Kind.LOCATION, 22.543096, "short_status")
    for one in found:
        codec.confirm(one)
    assert codec.data_to_send()[3:6] == bytes.fromhex("260005")


def test_serial_goes_back() -> None:
    codec = logged_in()
    assert [len(signals(codec, heartbeat(0x40, serial))) for serial in (500, 1)] == [1, 1]


@pytest.mark.parametrize("code", range(256))
def test_only_01_is_an_sos(code: int) -> None:
    [*found] = signals(logged_in(), frame(0x26, SOS[4:-8] + bytes([code, 2]), 1))
    assert (Kind.SOS in [one.kind for one in found]) == (code == 1)


@pytest.mark.parametrize(
    ("length", "status"), [(0, "0404030102"), (8, "0404030102"), (9, "0404030102"), (12, "000000" + "0404030102"), (9, "0404030102FFFF")]
)
def test_other_lengths_trust_the_length_of_the_cells(length: int, status: str) -> None:
    cells = bytes.fromhex("01CC00287D001F71") if length else b""
    wire = frame(0x16, SOS[4:22] + bytes([length]) + cells + bytes.fromhex(status) + (b"" if length else b"\x00\x00\x00"), 1)
    [signal] = signals(logged_in(), wire)
    assert (signal.kind, signal.battery_pct) == (Kind.SOS, 66.7)


def test_fence_of_terminal_bits_does_not_contradict_the_alarm_byte() -> None:
    def kinds(terminal: int, code: int) -> list[Kind]:
        return [one.kind for one in signals(logged_in(), frame(0x26, SOS[4:-11] + bytes([terminal, 4, 3, code, 2]), 1))]

    assert kinds(0x30, 0x04) == [Kind.GEOFENCE_ENTER]
    assert kinds(0x30, 0x00) == [Kind.GEOFENCE_EXIT]
    assert kinds(0x18, 0x0E) == [Kind.LOW_BATTERY]
    assert kinds(0x10, 0x01) == [Kind.SOS, Kind.POWER_CUT]
    assert kinds(0x28, 0x00) == [Kind.LOCATION]


def test_camera_alarm_with_location() -> None:
    [signal] = signals(logged_in(), frame(0x95, b"\xff\xff" + SOS[4:22] + b"\x01\x00", 1))
    assert (signal.kind, signal.lat) == (Kind.SOS, 22.543096)


# --- life, and telling


def test_silence_ends_the_connection() -> None:
    codec = logged_in(Gt06Options(heartbeat_s=100))
    assert codec.deadline() == 360.0
    signals(codec, HEARTBEAT, 50.0)
    assert codec.handle_deadline(360.0) == []
    assert not codec.hang_up
    codec.handle_deadline(410.0)
    assert codec.hang_up
    assert codec.deadline() is None


def test_who_is_here() -> None:
    assert fresh().addresses == ()
    assert logged_in().addresses == (IMEI,)


def test_command_only_where_the_model_has_one() -> None:
    assert not logged_in().can_tell(IMEI, Word.COMING)
    codec = logged_in(Gt06Options(command_for={Word.PROMPT: "BEEP#"}))
    assert codec.can_tell(IMEI, Word.PROMPT)
    assert not codec.can_tell(IMEI, Word.TAKEN)
    assert not codec.can_tell("752533678900242", Word.PROMPT)
    codec.data_to_send()
    codec.tell(Tell(id="t", device=IMEI, word=Word.PROMPT), 7, 1.0)
    assert codec.data_to_send() == frame(0x80, bytes.fromhex("09 00000001") + b"BEEP#\x00\x02", 1)
    assert codec.told() == []
    signals(codec, frame(0x15, bytes.fromhex("06 00000001") + b"OK\x00\x02", 9))
    assert codec.told() == [(7, "")]


def test_command_without_an_answer() -> None:
    codec = logged_in(Gt06Options(command_for={Word.PROMPT: "BEEP#"}))
    for token in range(20):
        codec.tell(Tell(id=str(token), device=IMEI, word=Word.PROMPT), token, 1.0)
    assert codec.told() == [(token, "busy") for token in range(16, 20)]
    assert codec.deadline() == 26.0
    codec.handle_deadline(26.0)
    assert codec.told() == [(token, "timeout") for token in range(16)]


@pytest.mark.parametrize(
    "wrong", [{"heartbeat_s": 1}, {"utc_offset_min": 1000}, {"command_for": {Word.PROMPT: ""}}, {"command_for": {Word.PROMPT: "你好"}}]
)
def test_options(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Gt06Options(**wrong)


# --- what every stream codec must pass


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["id"])
def test_generic_checks(row: dict[str, Any]) -> None:
    new: Callable[[], Gt06] = logged_in if row.get("login", True) else fresh
    wire = bytes.fromhex(row["hex"])
    assert check_fragments(new, wire)
    check_prefixes_wait(new, b"", wire)
    check_flips(new, wire)


def test_everything_glued() -> None:
    check_fragments(fresh, LOGIN + b"".join(bytes.fromhex(row["hex"]) for row in VECTORS[2:12]))


def test_no_flipped_bit_is_taken_for_a_frame() -> None:
    """The check finds every single flipped bit; only the login before it speaks."""
    for index in range(len(SOS)):
        for bit in range(8):
            codec = logged_in()
            found = [*codec.receive_data(SOS[:index] + bytes([SOS[index] ^ 1 << bit]) + SOS[index + 1 :], 1.0), *codec.handle_deadline(31.0)]
            assert all(isinstance(one, Rejected) for one in found), look(found)


def test_mutations() -> None:
    wires = [LOGIN, *(bytes.fromhex(row["hex"]) for row in VECTORS)]
    seen = fuzz(lambda: fresh(Gt06Options(heartbeat_s=10)), wires, 10_000, seed=6, longest_s=90)
    assert {"sos", "join", "bad_crc", "unreadable", "not_logged_in"} <= seen.keys()


def test_noise_is_no_load() -> None:
    codec = logged_in()
    rng = random.Random(6)
    for _ in range(50):
        codec.receive_data(rng.choice([b"\x78\x78\xff", b"\x79\x79\x20\x00", b"x", b"\x0d\x0a"]) * 500, 1.0)
    assert len(codec._frames._buffer) <= 8 * 1024 + 16
    run_out(codec, 2.0)
