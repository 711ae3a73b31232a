"""Watches of the 3G protocol: the sheet's vectors, frames of the field, bad input, one press one incident, and words to the wearer."""

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from codec_checks import check_flips, check_fragments, check_prefixes_wait, fuzz, journalled, look, run_out, talk
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.contract import Rejected, Signal, Surroundings, to_event
from drivers.downlink import Tell, Word
from drivers.recent import RecentKeys
from drivers.tracker.watch3g import IDLE_S, PRESS_S, REASONS, Presses, Watches, WatchOptions
from drivers.tracker.watch3g_commands import MAX_QUEUED
from drivers.tracker.watch3g_content import VITALS
from drivers.tracker.watch3g_frames import MAX_FRAME, unescape, write_frame
from gateway.event import Kind, Phase

VECTORS = tomllib.loads((Path(__file__).parent.parent / "vectors" / "tracker" / "watch3g.toml").read_text())
ROWS: list[dict[str, Any]] = [*VECTORS["sheet"], *VECTORS["field"]]
AT = datetime(2026, 8, 2, 3, 4, 30, tzinfo=UTC)


def wire_of(row: dict[str, Any]) -> bytes:
    return bytes.fromhex(row["hex"]) if "hex" in row else row["text"].encode()


WIRES = [wire_of(row) for row in ROWS]
W = {row["id"]: wire_of(row) for row in VECTORS["sheet"]}
AL_ZJ, LK = W["W15"], W["W1"]
TWICE = W["W15"].replace(b"22.543096,N,114.057865", b"22.550001,N,114.060001")


class Line:
    """What connections of one line share, with a clock of its own."""

    def __init__(self, known: bool = True, **options: object) -> None:
        self.options = msgspec.convert(options, WatchOptions)
        self.seconds = 0.0
        self.place = Surroundings(
            line="watches", utc_now=lambda: AT + timedelta(seconds=self.seconds), recent=RecentKeys(), knows=lambda _id: known, memory=Presses()
        )

    def connect(self) -> Watches:
        return Watches(self.options, self.place)

    def hear(self, codec: Watches, wire: bytes, *, keep: bool = True) -> tuple[list[Signal | Rejected], bytes]:
        found = codec.receive_data(wire, self.seconds)
        for one in found:
            if keep:
                codec.confirm(one)
            else:
                codec.refuse(one, "store_down")
        return found, codec.data_to_send()


def watch() -> Watches:
    return Watches()


def signals(found: list[Signal | Rejected]) -> list[Signal]:
    assert all(isinstance(one, Signal) for one in found), found
    return [one for one in found if isinstance(one, Signal)]


def alarm(status: str = "00010000", word: str = "AL", clock: str = "030405", tail: str = "0,0,0", device: str = "8800000015") -> bytes:
    content = f"{word},020826,{clock},A,22.543096,N,114.057865,E,0.00,0.0,12.0,9,80,64,0,0,{status},{tail}"
    return write_frame("3G", device, None, content.encode())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_vector(row):
    line = Line()
    found, sent = line.hear(line.connect(), wire_of(row))
    found = signals(found)
    assert [str(one.kind) for one in found] == row["kinds"]
    assert sent == row["answer"].encode()
    for one in found:
        assert one.raw == wire_of(row)
        assert one.device == row.get("device", wire_of(row).split(b"*")[1].decode())
        for name in ("time", "lat", "lon", "fix_valid", "battery_pct", "accuracy_m", "late"):
            assert getattr(one, name) == row.get(name), name
        assert one.vitals == row.get("vitals", {})
        assert row.get("detail", {}).items() <= one.detail.items()
        assert len(one.detail.get("cells", ())) == row.get("cells", 0)
        assert [wifi["ssid"] for wifi in one.detail.get("wifi", ())] == row.get("wifi", [])
        assert "ignored" not in one.detail


@pytest.mark.parametrize("wire", WIRES, ids=[row["id"] for row in ROWS])
def test_generic_checks(wire):
    assert check_fragments(watch, wire)
    check_prefixes_wait(watch, b"", wire)


@pytest.mark.parametrize("name", ["W2", "W5", "W7", "W15", "W16", "W18"])
def test_no_flipped_bit_raises(name):
    check_flips(watch, W[name])


def test_w19_two_frames_in_one_read():
    assert [seen[0] for seen in check_fragments(watch, W["W2"] + AL_ZJ)] == [Kind.HEARTBEAT, Kind.SOS]
    assert talk(watch(), [W["W2"] + AL_ZJ])[1] == LK + b"[ZJ*8800000015*0007*0002*AL]"


def test_w20_a_frame_in_two_parts():
    line = Line()
    codec = line.connect()
    assert line.hear(codec, AL_ZJ[:40]) == ([], b"")
    line.seconds = 0.2
    found, sent = line.hear(codec, AL_ZJ[40:])
    assert [one.kind for one in signals(found)] == [Kind.SOS]
    assert sent == b"[ZJ*8800000015*0007*0002*AL]"


def test_w21_what_is_no_frame_is_skipped_and_counted():
    [seen] = check_fragments(watch, b"HTTP/1.1" + AL_ZJ)
    assert seen[0] is Kind.SOS
    assert ("skipped", 8) in seen[4]
    assert "skipped" not in dict(check_fragments(watch, b"\r\n" + AL_ZJ + b"\r\n")[0][4])


def test_w22_one_press_told_twice():
    line = Line()
    codec = line.connect()
    [first], sent = line.hear(codec, AL_ZJ)
    line.seconds = 20.0
    [second], again = line.hear(codec, TWICE)
    assert sent == again == b"[ZJ*8800000015*0007*0002*AL]"
    assert (first.phase, second.phase) == (Phase.RAISE, Phase.REPEAT)
    assert first.dedup != second.dedup, "it has news: the position"
    assert (second.lat, second.lon) == (22.550001, 114.060001)


# --- one press


def test_the_same_frame_after_a_lost_answer_is_the_same_message_and_is_answered_again():
    line = Line()
    [first], _ = line.hear(line.connect(), AL_ZJ)
    line.seconds = 70.0
    [again], sent = line.hear(line.connect(), AL_ZJ)
    assert again.dedup == first.dedup
    assert sent == b"[ZJ*8800000015*0007*0002*AL]"


def test_a_reconnect_does_not_forget_the_press_and_two_minutes_do():
    line = Line()
    phases = []
    for minutes in (0.0, 1.9, 3.8, 6.0):
        line.seconds = minutes * 60
        [one], _ = line.hear(line.connect(), alarm(clock=f"0304{int(minutes * 10):02d}"))
        phases.append(one.phase)
    assert phases == [Phase.RAISE, Phase.REPEAT, Phase.REPEAT, Phase.RAISE]
    assert PRESS_S == 120


def test_a_press_that_goes_on_over_a_restart_is_no_second_one():
    before, after = Line(), Line()
    found = [before.hear(before.connect(), alarm(status, device=f"880000001{n}"))[0] for n, status in enumerate(("00010000", "00030000", "00000000"))]
    presses = after.place.memory
    presses.restore([one for some in found for one in journalled(some, -50.0)])
    for n, status, at, phase in [
        (0, "00010000", 60.0, Phase.REPEAT),
        (1, "00030000", 60.0, Phase.REPEAT),
        (2, "00000000", 60.0, Phase.REPEAT),
        (0, "00030000", 61.0, Phase.RAISE),  # another alarm is in it
        (1, "00010000", 61.0, Phase.RAISE),
        (3, "00010000", 62.0, Phase.RAISE),
    ]:
        after.seconds = at
        heard, _ = after.hear(after.connect(), alarm(status, clock=f"0305{int(at) - 60:02d}", device=f"880000001{n}"))
        assert {one.phase for one in signals(heard)} == {phase}, (n, status)
    late = Line()
    late.place.memory.restore(journalled(found[0], -61.0))
    late.seconds = 60.0
    assert signals(late.hear(late.connect(), alarm(clock="030501", device="8800000010"))[0])[0].phase is Phase.RAISE


def test_a_voice_message_of_before_a_restart_is_no_press():
    before, after = Line(voice="help"), Line()
    said, _ = before.hear(before.connect(), write_frame("3G", "8800000015", None, b"TK,#!AMR"))
    assert [one.kind for one in signals(said)] == [Kind.HELP]
    after.place.memory.restore(journalled(said, -1.0))
    assert [one.phase for one in signals(after.hear(after.connect(), alarm("00000000"))[0])] == [Phase.RAISE]


def test_other_alarms_or_another_watch_are_another_press():
    line = Line()
    codec = line.connect()
    assert [one.phase for one in signals(line.hear(codec, alarm() + alarm("00200000") + alarm(device="8800000016"))[0])] == [Phase.RAISE] * 3


def test_what_could_not_be_stored_is_not_answered_and_its_repeat_is_no_repeat():
    line = Line()
    codec = line.connect()
    _, sent = line.hear(codec, alarm("00030000"), keep=False)
    assert sent == b""
    line.seconds = 10.0
    found, sent = line.hear(codec, alarm("00030000"))
    assert [one.phase for one in signals(found)] == [Phase.RAISE, Phase.RAISE]
    assert sent == b"[3G*8800000015*0002*AL]"


def test_the_answer_waits_for_every_signal_of_its_frame():
    codec = watch()
    sos, battery = codec.receive_data(W["W7"], 0.0)
    codec.confirm(sos)
    assert codec.data_to_send() == b""
    codec.confirm(battery)
    assert codec.data_to_send() == b"[3G*8800000015*0002*AL]"
    sos, battery = codec.receive_data(W["W7"], 1.0)
    codec.refuse(sos, "store_down")
    codec.confirm(battery)
    assert codec.data_to_send() == b""


def test_without_a_clock_the_same_frame_is_the_same_message_for_two_seconds_only():
    line = Line()
    wire = alarm(clock="996199")
    names = []
    for line.seconds in (0.0, 1.9, 2.1):
        [one], _ = line.hear(line.connect(), wire)
        names.append(one.dedup)
        assert one.time is None
        assert one.detail["ignored"] == ["time"]
    assert names[0] == names[1] != names[2]


def test_a_clock_that_is_wrong_names_a_message_for_the_length_of_a_press():
    line = Line()
    names = []
    for line.seconds in (0.0, 100.0, 121.0):
        [one], _ = line.hear(line.connect(), W["W4"])
        names.append(one.dedup)
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize(("choice", "answers"), [("both", [b"AL", b"AL|AL_LTE"]), ("AL", [b"AL", b"AL"]), ("same", [b"AL_LTE", b"AL_LTE"])])
def test_answer_to_a_word_on_which_documents_differ(choice, answers):
    line = Line(alarm_answer=choice)
    codec = line.connect()
    for seconds, expected in zip((0.0, 30.0), answers, strict=True):
        line.seconds = seconds
        _, sent = line.hear(codec, alarm(word="AL_LTE", clock=f"0304{int(seconds):02d}"))
        assert sent == b"".join(write_frame("3G", "8800000015", None, one) for one in expected.split(b"|"))


# --- the status word


@pytest.mark.parametrize(
    ("status", "kinds"),
    [
        ("007F0000", ["sos", "fall", "heart_rate_abnormal", "device_removed", "geofence_exit", "geofence_enter", "low_battery"]),
        ("00000007", ["geofence_exit", "geofence_enter", "low_battery"]),
        ("00010007", ["sos"]),
        ("00000018", ["general"]),
        ("01000000", ["general"]),
        ("81010000", ["sos", "general"]),
        ("xyz", ["general"]),
        ("", ["general"]),
    ],
)
def test_every_alarm_bit_is_told(status, kinds):
    assert [str(one.kind) for one in signals(watch().receive_data(alarm(status), 0.0))] == kinds


def test_bit_22_is_a_fall_where_configured():
    line = Line(bit_22="fall")
    assert [one.kind for one in signals(line.hear(line.connect(), W["W8"])[0])] == [Kind.FALL]


def test_alarm_bits_of_locations_alarm_only_where_configured():
    located = alarm(word="UD")
    assert [one.kind for one in signals(watch().receive_data(located, 0.0))] == [Kind.LOCATION]
    line = Line(alarms_in_locations=True)
    codec = line.connect()
    found, sent = line.hear(codec, located)
    assert [(one.kind, one.phase) for one in signals(found)] == [(Kind.SOS, Phase.RAISE), (Kind.LOCATION, Phase.STATE)]
    assert sent == b""
    line.seconds = 60.0
    assert next(iter(signals(line.hear(codec, alarm(word="UD", clock="030500"))[0]))).phase is Phase.REPEAT
    assert [one.kind for one in signals(line.hear(codec, alarm(word="UD2"))[0])] == [Kind.LOCATION]


def test_an_alarm_that_says_nothing_else_is_general():
    for wire in (b"[3G*8800000015*0002*AL]", b"[3G*8800000015*0003*AL,]", b"[3G*8800000015*0009*AL,,,,,,,]"):
        [one] = signals(watch().receive_data(wire, 0.0))
        assert one.kind is Kind.GENERAL


# --- fields


def test_a_fix_that_is_none_gives_no_position_to_go_to():
    row = next(row for row in VECTORS["field"] if row["id"] == "no fix, old coordinates")
    [one] = signals(watch().receive_data(wire_of(row), 0.0))
    event = to_event(one, "watches", AT)
    assert event.position is None
    assert event.detail["last_position"] == [28.435142, -81.354333]


@pytest.mark.parametrize(
    ("before", "after", "ignored"),
    [
        ("020826,030405", "321326,030405", "time"),
        ("020826,030405", "020826,256199", "time"),
        ("22.543096", "95.0", "position"),
        ("22.543096", "NaN", "position"),
        ("22.543096", "1e999", "position"),
        ("22.543096", "-", "position"),
        (",64,", ",181,", "battery"),
        (",64,", ",nan,", "battery"),
        (",0.00,0.0,12.0,", ",inf,0.0,12.0,", "speed_kmh"),
        ("00010000,0,0,0", "00010000,1,x,y", "networks"),
        ("00010000,0,0,0", "00010000,99999,1,2", "networks"),
    ],
)
def test_an_impossible_field_is_dropped_and_the_alarm_kept(before, after, ignored):
    wire = alarm()
    assert before.encode() in wire
    [one] = signals(watch().receive_data(wire.replace(before.encode(), after.encode()), 0.0))
    assert one.kind is Kind.SOS
    assert one.detail["ignored"] == [ignored]
    assert (one.time is None, one.lat is None, one.battery_pct is None) == (ignored == "time", ignored == "position", ignored == "battery")


def test_a_watch_that_tells_local_time():
    line = Line(zone="Asia/Shanghai")
    [one], _ = line.hear(line.connect(), alarm())
    assert one.time == datetime(2026, 8, 1, 19, 4, 5, tzinfo=UTC)


def test_names_of_networks_with_commas_and_brackets():
    tail = "1,255,460,0,55C0,3B882A2,158,3,a,b],aa:bb:cc:dd:ee:01,-60,[[,aa:bb:cc:dd:ee:02,-61,,aa:bb:cc:dd:ee:03,-62,8.0"
    [one] = signals(watch().receive_data(alarm(tail=tail), 0.0))
    assert [wifi["ssid"] for wifi in one.detail["wifi"]] == ["a,b]", "[[", ""]
    assert one.detail["cells"] == [{"lac": "55C0", "cell": "3B882A2", "signal": 158}]
    assert one.accuracy_m == 8
    assert check_fragments(watch, alarm(tail=tail) + LK)


@pytest.mark.parametrize(
    ("content", "vitals"),
    [
        ("bphrt,0,0,0,,,,", {}),
        ("bphrt,120,80,0", {"systolic": 120, "diastolic": 80}),
        ("oxygen,0,0", {}),
        ("oxygen,0,300", {}),
        ("btemp2,0,36.6", {"temperature": 36.6}),
        ("btemp2,1,0", {}),
        ("btemp2,1,1", {}),
        ("TEMP,37.1", {"temperature": 37.1}),
        ("heart,71", {"heart_rate": 71}),
        ("heart", {}),
        ("oxygen", {}),
        ("btemp2", {}),
        ("BLOOD", {}),
    ],
)
def test_vital_signs(content, vitals):
    [one] = signals(watch().receive_data(write_frame("3G", "1", None, content.encode()), 0.0))
    assert (one.kind, one.phase, one.vitals) == (Kind.TELEMETRY, Phase.STATE, vitals)
    assert set(vitals) <= set(VITALS)


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b"TKQ2", b"TKQ2"),
        (b"INIT,1,2", b"INIT,1"),
        (b"CONFIG,TY:g36,UL:600", b"CONFIG,1"),
        (b"JXTK,0,watch_7,1,6,#!AMR\x7d\x04", b"JXTKR,1"),
        (b"FALLDOWN,1,6", b"FALLDOWN,1,6"),
        (b"ICCID,89860000000000000000", None),
        (b"NEWWORD,\xff\xfe", None),
    ],
)
def test_other_words(content, answer):
    codec = watch()
    [one] = codec.receive_data(write_frame("3G", "1", "00a7", content), 0.0)
    assert isinstance(one, Signal)
    codec.confirm(one)
    assert codec.data_to_send() == (write_frame("3G", "1", "00a7", answer) if answer else b"")
    assert not codec.hang_up


def test_a_voice_message_asks_for_help_where_configured():
    line = Line(voice="help")
    [one], sent = line.hear(line.connect(), W["W18"])
    assert (one.kind, one.phase) == (Kind.HELP, Phase.RAISE)
    assert one.dedup is not None
    assert sent == b"[CS*1234567890*0004*TK,1]"


# --- bad input


def test_a_length_that_is_too_long_does_not_wait_for_what_never_comes():
    for wrong in (b"*00FF*", b"*FFFF*", b"*zz*", b"**", b"*0001*"):
        wire = alarm().replace(b"*0054*", wrong)
        assert wire != alarm()
        assert [seen[0] for seen in check_fragments(watch, wire + LK)] == [Kind.SOS, Kind.HEARTBEAT]


def test_a_name_with_a_bracket_and_a_wrong_length():
    """Neither tells where the frame ends: the next frame does, or a second of silence."""
    tail = "1,255,460,0,9529,21809,158,1,{},aa:bb:cc:dd:ee:01,-60,8.0"
    opened = alarm(tail=tail.format("[a")).replace(b"*0088*", b"*0001*")
    assert b"*0001*" in opened
    assert [seen[0] for seen in check_fragments(watch, opened + LK)] == [Kind.SOS, Kind.HEARTBEAT]
    codec = watch()
    closed = alarm(tail=tail.format("a]")).replace(b"*0088*", b"*0FFF*")
    assert codec.receive_data(closed, 0.0) == []
    assert codec.deadline() == 1.0
    [one] = signals(codec.handle_deadline(1.0))
    assert (one.kind, one.lat) == (Kind.SOS, 22.543096)


def test_a_header_that_cannot_be_read_costs_its_frame_only():
    seen = check_fragments(watch, b"[3G8800000015*0002*LK]" + b"[]" + b"[3G*88 1*0002*LK]" + LK)
    assert [one[1] if one[0] == "rejected" else one[0] for one in seen] == ["bad_header"] * 3 + [Kind.HEARTBEAT]


def test_a_wrong_escape_drops_the_frame():
    assert look(watch().receive_data(b"[3G*1*0005*TK,\x7d\x09]", 0.0)) == [("rejected", "bad_escape", b"[3G*1*0005*TK,\x7d\x09]")]
    assert unescape(b"\x7d") is None


def test_no_end_within_64_kib_twice_and_the_link_is_closed():
    endless = b"[3G*8800000015*0002*TK," + b"x" * MAX_FRAME
    codec = watch()
    assert [one.reason for one in codec.receive_data(endless, 0.0) if isinstance(one, Rejected)] == ["too_long"]
    assert not codec.hang_up
    assert [one.kind for one in signals(codec.receive_data(LK, 1.0))] == [Kind.HEARTBEAT]
    codec.receive_data(endless, 2.0)
    assert codec.hang_up
    pieces = [endless[at : at + 1000] for at in range(0, len(endless), 1000)]
    assert talk(watch(), [endless, LK])[0] == talk(watch(), [*pieces, LK])[0]


def test_a_silent_half_frame_twice_and_the_link_is_closed():
    codec = watch()
    for now in (0.0, 100.0):
        assert codec.receive_data(AL_ZJ[:40], now) == []
        assert codec.deadline() == now + 60
        assert codec.handle_deadline(now + 59) == []
        assert look(codec.handle_deadline(now + 60)) == [("rejected", "half_frame", AL_ZJ[:40])]
    assert codec.hang_up
    assert codec.deadline() == 100.0 + IDLE_S


def test_a_link_on_which_nobody_speaks_is_dead_after_ten_minutes():
    codec = watch()
    codec.connected(5.0)
    codec.receive_data(LK, 100.0)
    assert codec.deadline() == 700.0
    codec.handle_deadline(699.0)
    assert not codec.hang_up
    codec.handle_deadline(700.0)
    assert codec.hang_up


def test_a_peer_that_speaks_another_protocol():
    codec = watch()
    codec.receive_data(b"GET / HTTP/1.1\r\n\r\n", 0.0)
    assert look(codec.handle_deadline(60.0)) == [("rejected", "garbage", b"GET / HTTP/1.1\r\n\r\n")]


# --- who speaks


def test_an_id_nobody_registered_is_answered_and_marked():
    line = Line(known=False)
    codec = line.connect()
    [one], sent = line.hear(codec, AL_ZJ)
    assert (one.integrity, one.detail["unknown_device"]) == ("unauthenticated", True)
    assert sent == b"[ZJ*8800000015*0007*0002*AL]"
    assert codec.addresses == ()


def test_two_ids_on_one_link_are_both_served():
    line = Line()
    codec = line.connect()
    line.hear(codec, LK)
    assert codec.addresses == ("8800000015",)
    [one], sent = line.hear(codec, alarm(device="0000000002"))
    assert (one.device, one.detail["ids_on_link"]) == ("0000000002", 2)
    assert sent == b"[3G*0000000002*0002*AL]"
    assert codec.addresses == (), "a newer link of one of them must not end the link of the other"
    [one], sent = line.hear(codec, LK)
    assert sent == LK
    assert "ids_on_link" not in one.detail


# --- to the watch


def test_a_watch_that_cried_is_asked_where_it_is_once_and_after_the_answer():
    line = Line()
    codec = line.connect()
    _, sent = line.hear(codec, alarm())
    assert sent == b"[3G*8800000015*0002*AL]"
    assert codec.deadline() == 1.0
    codec.handle_deadline(1.0)
    assert codec.data_to_send() == b"[3G*8800000015*0002*CR]"
    line.seconds = 10.0
    _, sent = line.hear(codec, alarm(clock="030415"))
    assert sent == b"[3G*8800000015*0002*AL]"
    codec.handle_deadline(31.0)
    assert codec.data_to_send() == b""
    assert codec.deadline() == 10.0 + IDLE_S


@pytest.mark.parametrize(("options", "wire"), [({"locate_on_sos": False}, alarm()), ({}, alarm("00200000"))])
def test_it_is_not_asked(options, wire):
    line = Line(**options)
    codec = line.connect()
    line.hear(codec, wire)
    assert codec.deadline() == IDLE_S


def test_commands_as_the_sheet_writes_them():
    for content, expected in ((b"CR", b"0002*CR"), (b"UPLOAD,600", b"000A*UPLOAD,600"), (b"SOS1,13800138000", b"0010*SOS1,13800138000")):
        assert write_frame("3G", "8800000015", None, content) == b"[3G*8800000015*" + expected + b"]"


def tell(word: Word = Word.TAKEN, text: str = "有人来了", device: str = "8800000015") -> Tell:
    return Tell(id="t", device=device, word=word, text=text)


def test_the_wearer_is_told_and_the_echo_confirms_it():
    line = Line()
    codec = line.connect()
    assert not codec.can_tell("8800000015", Word.TAKEN)
    line.hear(codec, W["W2"].replace(b"3G", b"SG"))
    assert [codec.can_tell("8800000015", word) for word in Word] == [True, True, False, True]
    codec.tell(tell(), 7, 1.0)
    assert codec.data_to_send() == b"[SG*8800000015*0018*MESSAGE,67094EBA67654E86]"
    assert codec.told() == []
    found, sent = line.hear(codec, b"[SG*8800000015*0007*MESSAGE]")
    assert codec.told() == [(7, "")]
    assert sent == b""
    assert [one.kind for one in signals(found)] == [Kind.HEARTBEAT]


def test_one_command_at_a_time_for_each_watch():
    line = Line()
    codec = line.connect()
    line.hear(codec, alarm() + LK.replace(b"15*", b"16*"))
    codec.handle_deadline(1.0)
    assert codec.data_to_send().endswith(b"*CR]")
    codec.tell(tell(), 1, 2.0)
    codec.tell(tell(device="8800000016"), 2, 2.0)
    assert codec.data_to_send().startswith(b"[3G*8800000016*"), "the other one is free"
    line.seconds = 3.0
    _, sent = line.hear(codec, W["W3"])
    assert sent.startswith(b"[3G*8800000015*0018*MESSAGE"), "its position is the answer to CR"
    codec.handle_deadline(33.0)
    assert sorted(codec.told()) == [(1, "timeout"), (2, "timeout")]
    assert codec.deadline() == 3.0 + IDLE_S


def test_what_cannot_be_told_is_said_at_once():
    line = Line()
    codec = line.connect()
    line.hear(codec, LK)
    codec.tell(tell(Word.OVER), 1, 0.0)
    codec.tell(tell(text=""), 2, 0.0)
    codec.tell(tell(device="9"), 3, 0.0)
    assert codec.told() == [(1, "refused"), (2, "refused"), (3, "refused")]
    for token in range(MAX_QUEUED + 1):
        codec.tell(tell(), token, 0.0)
    assert codec.told() == [(MAX_QUEUED, "busy")]


@pytest.mark.parametrize("options", [{"zone": "Mars/Olympus"}, {"zone": "../etc"}, {"alarm_answer": "AL_LTE"}, {"bit_22": "sos"}, {"x": 1}])
def test_wrong_options(options):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, WatchOptions)


# --- any bytes


@given(st.lists(st.binary(max_size=200) | st.sampled_from([*WIRES, b"[", b"]", b"*", b"[3G*1*0002*"]), max_size=8))
@settings(deadline=None, max_examples=300)
def test_any_bytes(pieces):
    wire = b"".join(pieces)
    codec = watch()
    seen, sent = talk(codec, pieces)
    assert (seen, sent) == talk(watch(), [wire])
    run_out(codec, 1.0)


def test_ten_thousand_mutated_messages():
    seen = fuzz(watch, WIRES, 10_000, seed=33, longest_s=IDLE_S)
    assert seen["sos"] > 100
    assert seen["location"] > 100
    assert set(seen) - {str(kind) for kind in Kind} <= set(REASONS)


@pytest.mark.campaign
def test_a_million_mutated_messages():
    fuzz(watch, WIRES, 1_000_000, seed=7, longest_s=IDLE_S)
