"""JT/T 808: vectors of the fact sheet and of public tests, editions, authentication, bits as edges, history, sub-packages, bad input."""

import tomllib
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any

import pytest
from codec_checks import check_flips, check_fragments, check_prefixes_wait, fuzz, talk
from codec_checks import hear as signals

from drivers.contract import Rejected, Signal, Surroundings
from drivers.downlink import Tell, Word
from drivers.tracker.jt808 import Jt808, Jt808Memory, Jt808Options, authentication_before
from drivers.tracker.jt808_frame import Message, build, escape, parse, unescape
from drivers.tracker.jt808_terminal import code_for, read_attributes
from gateway.event import Kind, Phase

VECTORS = tomllib.loads((Path(__file__).parent.parent / "vectors" / "tracker" / "jt808.toml").read_text("utf-8"))["frame"]
NOW = datetime(2026, 8, 2, 3, 4, 7, tzinfo=UTC)
PHONE = "13800138000"
IDENTITY = bytes.fromhex("013800138000")


def vector(name: str) -> bytes:
    return next(bytes.fromhex(row["hex"]) for row in VECTORS if row["id"].split()[0] == name)


J1, J2, J3, J4, J5 = (vector(f"J{number}") for number in range(1, 6))
J7 = bytes.fromhex("7E0004400001000000000138001380000007E87E")


def frame(message: int, body: bytes = b"", serial: int = 1, *, properties: int | None = None, extra: bytes = b"") -> bytes:
    """Built by hand, apart from the codec: edition 2013, phone 13800138000."""
    data = message.to_bytes(2) + (len(body) if properties is None else properties).to_bytes(2) + IDENTITY + serial.to_bytes(2) + extra + body
    data += bytes([reduce(xor, data)])
    return b"\x7e" + data.replace(b"\x7d", b"\x7d\x01").replace(b"\x7e", b"\x7d\x02") + b"\x7e"


def report(alarm: int = 0, status: int = 2, *, when: str = "260802110405", items: bytes = b"", lat: int = 0x0157FAF8, lon: int = 0x06CC6289) -> bytes:
    return alarm.to_bytes(4) + status.to_bytes(4) + lat.to_bytes(4) + lon.to_bytes(4) + bytes(6) + bytes.fromhex(when) + items


def located(serial: int = 1, alarm: int = 0, **more: Any) -> bytes:
    return frame(0x0200, report(alarm, **more), serial)


def fresh(options: Jt808Options | None = None, **place: Any) -> Jt808:
    return Jt808(options, Surroundings(**({"utc_now": lambda: NOW, "memory": Jt808Memory()} | place)))


def ready(wire: bytes, options: Jt808Options | None = None, **place: Any) -> Jt808:
    """The terminal of this frame has authenticated itself; what we answered is not counted."""
    codec = fresh(options, **place)
    codec.receive_data(authentication_before(wire), 0.0)
    return codec


def authenticated(options: Jt808Options | None = None, **place: Any) -> Jt808:
    return ready(J1, options, **place)


def said(data: bytes) -> list[tuple[int, str, int, bytes]]:
    """(message, terminal, our serial, body) of each frame that we sent."""
    found = [parse(piece) for piece in data.split(b"\x7e") if piece]
    assert all(isinstance(one, Message) for one in found), found
    return [(one.header.message, one.header.device, one.header.serial, one.body) for one in found if isinstance(one, Message)]


def results(codec: Jt808) -> list[int]:
    return [body[4] for message, _, _, body in said(codec.data_to_send()) if message == 0x8001]


def check(signal: Signal, expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if name == "part":
            assert value.items() <= signal.detail.items(), signal.detail
        elif name in ("lat", "lon"):
            assert getattr(signal, name) == pytest.approx(value, abs=1e-6)
        else:
            assert getattr(signal, name) == value, name


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["id"])
def test_vector(row: dict[str, Any]) -> None:
    wire = bytes.fromhex(row["hex"])
    codec = ready(wire) if row.get("login", True) else fresh()
    found = codec.receive_data(wire, 1.0)
    chatter = codec.data_to_send()
    assert len(said(chatter)) == (1 if row["id"].startswith("J10") else 0), "nothing but a part is answered before it is kept"
    for one in found:
        codec.confirm(one)
    sent = chatter + codec.data_to_send()
    if "reply" in row:
        assert sent.hex().upper() == row["reply"]
    elif "result" in row:
        last = parse([piece for piece in wire.split(b"\x7e") if piece][-1])
        assert isinstance(last, Message)
        assert [body[4] for message, _, _, body in said(sent) if message == 0x8001] == [row["result"]] * row.get("answers", 1)
        assert said(sent)[-1][1] == last.header.device
        assert said(sent)[-1][3][:4] == last.header.serial.to_bytes(2) + last.header.message.to_bytes(2)
    if "rejected" in row:
        assert [one.reason for one in found if isinstance(one, Rejected)] == [row["rejected"]]
        assert sent or row["rejected"] == "bad_check"
        return
    assert [one.kind for one in found if isinstance(one, Signal)] == [expected["kind"] for expected in row["signals"]], found
    for signal, expected in zip(found, row["signals"], strict=True):
        assert isinstance(signal, Signal)
        check(signal, expected)
        assert signal.raw in wire


def test_j3_has_no_position_and_j14_no_time() -> None:
    assert (signals(authenticated(), J3)[0].lat, signals(authenticated(), vector("J14"))[0].time) == (None, None)


def test_j7_time() -> None:
    """The sheet's answer has our second serial: another message came before it."""
    codec = ready(J4)
    signals(codec, J4)
    codec.data_to_send()
    [signal] = signals(codec, J7)
    assert (signal.kind, signal.device) == (Kind.HEARTBEAT, PHONE)
    assert codec.data_to_send().hex().upper() == "7E8004400601000000000138001380000101260802030407457E"


def test_j8_answer_is_escaped() -> None:
    codec = authenticated()
    signals(codec, vector("J8"))
    sent = codec.data_to_send()
    assert b"\x7d\x01\x7d\x02\x02\x00" in sent
    assert [body for *_, body in said(sent)] == [bytes.fromhex("7D7E020000")]


def test_j16_answer_of_a_registration() -> None:
    """The public example of an 8100 has the code 123456, our serial 000A, and answers serial 0064."""
    message = parse(vector("J17")[1:-1])  # the same terminal
    assert isinstance(message, Message)
    answer = build(message.header, 0x8100, bytes.fromhex("006400") + b"123456", 0x0A)
    assert answer.hex().upper() == "7E81000009012345678900000A006400313233343536687E"
    codec = fresh(memory=Jt808Memory(b"secret"))
    signals(codec, vector("J16"))
    [(message_id, device, serial, body)] = said(codec.data_to_send())
    assert (message_id, device, serial, body[:3]) == (0x8100, "123456789", 0x0100, bytes.fromhex("000A00"))
    assert body[3:].decode() == code_for("123456789", b"secret")


@pytest.mark.parametrize(
    "public",
    [  # of yezhihao/jt808-server: what a platform sends
        "7e8100001e0123456789017fff970c00636877443053453166636877443053453166636877443053453166457e",
        "7e8100401e0100000000017299841738ffff970c006368774430534531666368774430534531666368774430534531664d7e",
        "7e820300060123456789017fff007b00009d5e377e",
        "7e820340060100000000017299841738ffff007b00009d5e3f7e",
        "7e830000180123456789017fff09b2e2cad43132334034353623616263212e2e2ebde1caf8b17e",
        "7e810600190123456789017fff0600000001000000030000000500000007000000090000007fe67e",
    ],
)
def test_frames_of_ours_are_built_as_another_platform_builds_them(public: str) -> None:
    message = parse(bytes.fromhex(public)[1:-1])
    assert isinstance(message, Message)
    header = message.header
    assert build(header, header.message, message.body, header.serial).hex() == public


def test_text_has_a_type_in_edition_2019_as_another_platform_sends_it() -> None:
    public = parse(bytes.fromhex("7e830040190100000000017299841738ffff3f01b2e2cad43132334034353623616263212e2e2ebde1caf88f7e")[1:-1])
    assert isinstance(public, Message)
    assert public.body[1:] == b"\x01" + "测试123@456#abc!...结束".encode("gbk")


def test_j22_the_same_alarm_in_the_next_report() -> None:
    """Both are told as one state, so that the core takes the second for no news; both are answered."""
    codec = authenticated()
    first, second = signals(codec, J2)[0], signals(codec, frame(0x0200, parse_body(J2), 3), 16.0)[0]
    assert (first.edge, first.edge_s) == (second.edge, second.edge_s) == ("alarm bit 0", 600.0)
    assert (first.phase, second.phase) == (Phase.RAISE, Phase.REPEAT)
    assert first.dedup != second.dedup
    assert results(codec) == [0, 0]


def parse_body(wire: bytes) -> bytes:
    message = parse(wire[1:-1])
    assert isinstance(message, Message)
    return message.body


def test_j23_confirmation_by_a_person() -> None:
    codec = authenticated()
    signals(codec, J2)
    for serial in (11, 12, 13):
        signals(codec, frame(0x0002, serial=serial))
    codec.data_to_send()
    assert codec.can_tell(PHONE, Word.TAKEN)
    codec.tell(Tell(id="t", device=PHONE, word=Word.TAKEN, text="somebody comes"), 7, 2.0)
    assert codec.data_to_send().hex().upper() == "7E8203000601380013800001040002000000012B7E"
    assert codec.told() == []
    signals(codec, frame(0x0001, bytes.fromhex("0104820300"), 14))
    assert codec.told() == [(7, "")]
    assert codec.data_to_send() == b"", "an answer is not answered"


# --- frames


def test_the_standards_own_example() -> None:
    assert escape(bytes.fromhex("307E087D55")) == bytes.fromhex("307D02087D0155")
    assert unescape(bytes.fromhex("307D02087D0155")) == bytes.fromhex("307E087D55")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("7E000200000138001380000001AA7E", "bad_check"),
        ("7E0002000101380013800000" + "01A87E", "bad_length"),
        ("7E00020000013800138000007D03A97E", "bad_escape"),
        ("7E00027E", "bad_check"),
        ("7E7D7E", "bad_escape"),
        ("7E00007E", "bad_length"),
        ("7E" + "00" * 2100 + "7E", "too_long"),
        ("7E" + "00" * 5000 + "7E", "too_long"),
    ],
)
def test_bad_frames_are_dropped_without_an_answer_and_the_next_one_is_read(bad: str, reason: str) -> None:
    seen, answers = talk(authenticated(), [bytes.fromhex(bad) + J1])
    assert [one[:2] for one in seen] == [("rejected", reason), (Kind.HEARTBEAT, Phase.STATE)]
    assert len(said(answers)) == 1


def test_empty_pieces_are_nothing() -> None:
    seen, _ = talk(fresh(), [b"noise" + b"\x7e" * 5 + authentication_before(J1) + b"\x7e\x7e" + J1 + b"\x7e"])
    assert [one[0] for one in seen] == [Kind.JOIN, Kind.HEARTBEAT]


def test_unfinished_frame_is_dropped_after_30_s() -> None:
    codec = authenticated()
    codec.receive_data(J2[:20], 1.0)
    assert codec.handle_deadline(30.9) == []
    [dropped] = codec.handle_deadline(31.0)
    assert isinstance(dropped, Rejected)
    assert (dropped.reason, dropped.raw) == ("incomplete", J2[:20])
    assert len(signals(codec, J2, 32.0)) == 2


# --- session


def test_before_authentication_everything_is_refused_with_result_1() -> None:
    codec = fresh()
    [rejected] = codec.receive_data(J5, 1.0)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.device) == ("not_authenticated", PHONE)
    codec.confirm(rejected)
    assert results(codec) == [1]


def test_an_emergency_before_authentication_is_raised_marked_and_repeated_as_a_duplicate() -> None:
    codec = fresh()
    [raised] = signals(codec, J2)
    assert (raised.kind, raised.integrity, raised.edge) == (Kind.SOS, "unauthenticated", "alarm bit 0")
    assert results(codec) == [1]
    signals(codec, frame(0x0102, b"0", 3))
    repeated = signals(codec, J2, 3.0)[0]
    assert (repeated.integrity, repeated.dedup) == ("unverified", raised.dedup)
    assert results(codec) == [0, 0]


def test_an_emergency_of_a_stranger_before_authentication_waits_for_it() -> None:
    codec = fresh(knows=lambda address: address != PHONE)
    assert signals(codec, J2) == []
    assert results(codec) == [1]


def test_code_given_at_registration_is_right_after_a_restart() -> None:
    secret = Jt808Memory(b"a secret of ours")
    codec = fresh(memory=secret)
    signals(codec, frame(0x0100, bytes(37)))
    [(_, _, _, body)] = said(codec.data_to_send())
    later = fresh(memory=Jt808Memory(b"a secret of ours"))
    assert signals(later, frame(0x0102, body[3:], 2))[0].integrity == "verified"
    assert signals(later, J2)[0].integrity == "verified"
    assert body[3:] not in str([one.detail for one in signals(later, frame(0x0102, body[3:], 3))]).encode(), "the code is a secret"


@pytest.mark.parametrize(("secret", "code"), [(b"", code_for(PHONE, b"")), (b"s", "456121111"), (b"s", "")])
def test_other_codes_are_taken_and_marked(secret: bytes, code: str) -> None:
    codec = fresh(memory=Jt808Memory(secret))
    signals(codec, frame(0x0102, code.encode()))
    assert signals(codec, J2)[0].integrity == "unverified"
    assert results(codec) == [0, 0]


def test_strict_refuses_wrong_codes_and_strangers() -> None:
    options = Jt808Options(authentication="strict", auth_secret_file="x")
    codec = fresh(options, memory=Jt808Memory(b"s"))
    [rejected] = codec.receive_data(frame(0x0102, b"wrong"), 1.0)
    assert isinstance(rejected, Rejected)
    codec.confirm(rejected)
    assert (rejected.reason, results(codec), codec.addresses) == ("wrong_code", [1], ())
    signals(codec, frame(0x0102, code_for(PHONE, b"s").encode(), 2))
    assert (results(codec), codec.addresses) == ([0], (PHONE,))
    stranger = fresh(options, memory=Jt808Memory(b"s"), knows=lambda _: False)
    [unknown] = stranger.receive_data(frame(0x0100, bytes(37)), 1.0)
    stranger.confirm(unknown)
    assert [body for *_, body in said(stranger.data_to_send())] == [bytes.fromhex("000104")]


def test_authentication_of_2019_has_more_to_say() -> None:
    body = b"\x03abc" + b"865478070102068" + b"V1.2".ljust(20, b"\0")
    header = parse(J4[1:-1])
    assert isinstance(header, Message)
    codec = fresh(memory=Jt808Memory())
    [signal] = signals(codec, build(header.header, 0x0102, body, 9))
    assert {"imei": "865478070102068", "version": "V1.2"}.items() <= signal.detail.items()


def test_attributes_of_2019_as_a_terminal_sent_them() -> None:
    """SmallChi/JT808, issue 43: the maker has five octets still; this terminal counts one octet less than it sends."""
    body = (
        "00FF3838383838434B313030430000000000000000000000000000000000000000000000003130303034393300000000000000000000000000000000"
        "00000000000000898603249475600329000748572D56322E350E434B313030434D2D4A542D563032340220"
    )
    firmware, detail = read_attributes(bytes.fromhex(body), is_2019=True)
    assert firmware == "CK100CM-JT-V02"
    assert detail == {"maker": "88888", "model": "CK100C", "terminal": "1000493", "hardware": "HW-V2.5"}


@pytest.mark.parametrize("octets", [*range(60), 95, 200])
def test_attributes_of_any_length(octets: int) -> None:
    for wire in (frame(0x0107, bytes(octets)), frame(0x0107, b"\xff" * octets)):
        codec = authenticated()
        assert signals(codec, wire)[0].kind is Kind.TELEMETRY
        assert results(codec) == [0]


@pytest.mark.parametrize("octets", [0, 3, 4, 9, 24, 25, 33, 36, 37, 45, 76, 200])
def test_registration_of_any_length(octets: int) -> None:
    for wire in (frame(0x0100, bytes(octets)), frame(0x0100, b"7" * octets)):
        codec = fresh()
        assert signals(codec, wire)[0].kind is Kind.JOIN
        assert [message for message, *_ in said(codec.data_to_send())] == [0x8100]


def test_log_out_ends_the_authentication() -> None:
    codec = authenticated()
    assert codec.addresses == (PHONE,)
    signals(codec, frame(0x0003))
    signals(codec, J5)
    assert (results(codec), codec.addresses) == ([0, 1], ())


# --- receipts


def test_receipt_when_all_of_a_report_is_kept() -> None:
    codec = authenticated()
    first, second = codec.receive_data(J2, 1.0)
    codec.confirm(first)
    assert codec.data_to_send() == b""
    codec.confirm(second)
    assert codec.data_to_send() == bytes.fromhex("7E80010005013800138000010000020200002F7E")


def test_nothing_is_said_when_one_of_a_report_is_refused() -> None:
    codec = authenticated()
    first, second = codec.receive_data(J2, 1.0)
    codec.confirm(first)
    codec.refuse(second, "store_down")
    assert codec.data_to_send() == b""
    assert signals(codec, J2, 6.0)[0].dedup == first.dedup if isinstance(first, Signal) else False
    assert results(codec) == [0]


# --- alarm bits as states


def test_only_bits_that_are_set_or_have_just_gone_out_are_told() -> None:
    codec = authenticated()
    told = [
        [(one.kind, one.phase, one.edge) for one in signals(codec, located(serial, alarm), float(serial))]
        for serial, alarm in enumerate((0, 0x81, 0x81, 0x80, 0, 0), 1)
    ]
    sos, low = (Kind.SOS, Phase.RAISE, "alarm bit 0"), (Kind.LOW_BATTERY, Phase.RAISE, "alarm bit 7")
    place = (Kind.LOCATION, Phase.STATE, None)
    assert told == [
        [place],
        [sos, low],
        [(kind, Phase.REPEAT, edge) for kind, _, edge in (sos, low)],
        [(Kind.LOW_BATTERY, Phase.REPEAT, "alarm bit 7"), (Kind.TELEMETRY, Phase.CLEAR, "alarm bit 0")],
        [place, (Kind.LOW_BATTERY, Phase.CLEAR, "alarm bit 7")],
        [place],
    ]


@pytest.mark.parametrize(("bit", "kind"), [(0, "telemetry"), (3, "telemetry"), (26, "telemetry"), (29, "telemetry"), (4, "fault"), (8, "power_cut")])
def test_a_bit_that_goes_out_ends_a_condition_and_no_cry(bit: int, kind: str) -> None:
    codec = authenticated()
    signals(codec, located(1, 1 << bit))
    [_, cleared] = signals(codec, located(2))
    assert (cleared.kind, cleared.phase, cleared.edge) == (kind, Phase.CLEAR, f"alarm bit {bit}")


def test_a_bit_that_stays_set_crowds_no_memory() -> None:
    codec = authenticated()
    dedups = [[one.dedup is not None for one in signals(codec, located(serial, 0x81))] for serial in (1, 2, 3)]
    assert dedups == [[True, True], [True, False], [True, False]]


def test_after_a_start_what_is_clear_is_told_once() -> None:
    """The core remembers over a restart what this memory does not: a new press must not be taken for the old one."""
    codec = authenticated(line="terminals")
    edges = [one.edge for one in signals(codec, located(1, 0x80)) if one.phase is Phase.CLEAR]
    assert edges == [f"alarm bit {bit}" for bit in (0, 3, 8, 26, 27, 28, 29, 30)]
    assert [one.kind for one in signals(codec, located(2))] == [Kind.LOCATION, Kind.LOW_BATTERY]


def test_a_clear_that_was_not_kept_is_told_again() -> None:
    codec = authenticated(line="terminals")
    signals(codec, located(1, 1))
    assert any(one.phase is Phase.CLEAR for one in signals(codec, located(2), keep=False))
    assert "alarm bit 0" in [one.edge for one in signals(codec, located(2), 5.0)]


def test_bits_are_remembered_over_connections() -> None:
    memory = Jt808Memory()
    signals(authenticated(memory=memory), located(1, 1))
    assert [one.phase for one in signals(authenticated(memory=memory), located(2))] == [Phase.STATE, Phase.CLEAR]


@pytest.mark.parametrize(
    ("bit", "kind"),
    [
        (0, "sos"),
        (1, "overspeed"),
        (2, "location"),
        (3, "general"),
        *((bit, "fault") for bit in (4, 5, 6, 9, 10, 11, 12)),
        (7, "low_battery"),
        (8, "power_cut"),
        *((bit, "location") for bit in (13, 14, 15, 16, 17, 18, 19, 22, 23, 24, 25, 31)),
        (20, "geofence_exit"),
        (21, "geofence_exit"),
        *((bit, "general") for bit in (26, 27, 28)),
        (29, "collision"),
        (30, "collision"),
    ],
)
def test_every_bit(bit: int, kind: str) -> None:
    [signal] = signals(authenticated(), located(1, 1 << bit))
    assert signal.kind == kind
    assert signal.detail["alarm"] == f"{1 << bit:08X}"


def test_bits_of_a_model() -> None:
    options = Jt808Options(alarm_bits={"17": "tamper", "7": "", "20": "device_removed"})
    assert [one.kind for one in signals(authenticated(options), located(1, 1 << 17 | 1 << 7 | 1 << 20))] == [Kind.TAMPER, Kind.DEVICE_REMOVED]
    assert [one.kind for one in signals(ready(vector("T5"), options), vector("T5"))] == [Kind.TAMPER]


# --- position, time, items


@pytest.mark.parametrize(
    ("options", "more", "datum"),
    [
        ({}, {"status": 0x22}, "gcj02"),
        ({}, {"status": 0x02}, "wgs84"),
        ({}, {"status": 0x26, "lat": 6152695, "lon": 106720495}, "wgs84"),  # a tracker in Jakarta sets it
        ({}, {"status": 0x22, "lat": 22302711, "lon": 114177216}, "wgs84"),  # Hong Kong
        ({"datum": "wgs84"}, {"status": 0x22}, "wgs84"),
        ({"datum": "bd09"}, {"status": 0x02}, "bd09"),
    ],
)
def test_datum(options: dict[str, Any], more: dict[str, int], datum: str) -> None:
    assert signals(authenticated(Jt808Options(**options)), located(**more))[0].datum == datum


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ({"when": "260230110405"}, {"time": None, "lat": 22.543096}),
        ({"when": "2608021104FA"}, {"time": None}),
        ({"when": "000000000000"}, {"time": None}),
        ({"lat": 90_000_001}, {"lat": None, "lon": None}),
        ({"lon": 180_000_001}, {"lat": None, "lon": None}),
        ({"status": 0}, {"fix_valid": False, "lat": 22.543096}),
    ],
)
def test_impossible_fields_do_not_cost_the_alarm(more: dict[str, Any], kept: dict[str, Any]) -> None:
    [signal] = signals(authenticated(), located(1, 1, **more))
    assert signal.kind is Kind.SOS
    check(signal, kept)


def test_items_of_vendors_are_read_only_where_named() -> None:
    items = bytes.fromhex("560107" + "E4020132" + "E7080000000200000000" + "E8020C01")
    [plain] = signals(authenticated(), located(items=items))
    assert (plain.kind, plain.battery_pct) == (Kind.LOCATION, None)
    assert plain.detail["items"] == {"56": "07", "E4": "0132", "E7": "0000000200000000", "E8": "0c01"}
    battery = signals(authenticated(Jt808Options(vendor_items=frozenset(("56",)))), located(items=items))[0]
    assert battery.battery_pct == 70.0
    charge = signals(authenticated(Jt808Options(vendor_items=frozenset(("E4",)))), located(items=items))[0]
    assert (charge.battery_pct, charge.detail["charging"]) == (50.0, True)
    for item in ("E7", "E8"):
        codec = authenticated(Jt808Options(vendor_items=frozenset((item,))))
        assert [(one.kind, one.edge) for one in signals(codec, located(items=items))] == [(Kind.SOS, f"item {item} sos")]
        assert [one.phase for one in signals(codec, located(2))] == [Phase.STATE, Phase.CLEAR]


@pytest.mark.parametrize("value", ["0000000000000006", "0000000100000006", "00000000FFFFFFFF"])
def test_only_the_first_word_of_item_e7(value: str) -> None:
    codec = authenticated(Jt808Options(vendor_items=frozenset(("E7",))))
    assert [one.kind for one in signals(codec, located(items=bytes.fromhex("E708" + value)))] == [Kind.LOCATION]


def test_an_item_past_the_end_keeps_the_earlier_ones() -> None:
    [signal] = signals(authenticated(), located(1, 1, items=bytes.fromhex("300118" + "3109FF")))
    assert (signal.detail["signal"], signal.detail["cut_item"]) == (24, "31")


# --- history


def batch(kind: int, *points: bytes, serial: int = 6, count: int | None = None) -> bytes:
    body = (len(points) if count is None else count).to_bytes(2) + bytes([kind]) + b"".join(len(point).to_bytes(2) + point for point in points)
    return frame(0x0704, body, serial)


def test_an_sos_of_the_past_is_told_once_over_points_and_batches() -> None:
    codec = authenticated()
    points = [report(1, when=f"26080110{minute:02}00") for minute in (1, 2, 3)]
    told = signals(codec, batch(1, *points))
    assert [(one.kind, one.late, one.edge) for one in told] == [(Kind.SOS, "backfill", None)] + [(Kind.LOCATION, "backfill", None)] * 2
    again = signals(codec, batch(1, *points, serial=7), 5.0)
    assert again[0].dedup == told[0].dedup
    assert results(codec) == [0, 0], "one answer a batch"


def test_a_batch_of_now_is_live() -> None:
    codec = authenticated()
    young, old = report(1, when="260802110300"), report(1, when="260802105800")
    assert [(one.kind, one.late, one.edge) for one in signals(codec, batch(0, young, old))] == [
        (Kind.SOS, None, "alarm bit 0"),
        (Kind.SOS, "backfill", None),
    ]
    assert signals(codec, batch(1, young))[0].late == "backfill"


def test_history_does_not_touch_the_state_of_now() -> None:
    codec = authenticated()
    signals(codec, located(1, 1))
    signals(codec, batch(1, report(0, when="260801100000")))
    assert [one.phase for one in signals(codec, located(2))] == [Phase.STATE, Phase.CLEAR]


@pytest.mark.parametrize("cut", [1, 30, 45])
def test_a_cut_batch_keeps_its_earlier_points(cut: int) -> None:
    body = parse_body(batch(1, report(1, when="260801100000"), report(when="260801100100")))
    codec = authenticated()
    found = codec.receive_data(frame(0x0704, body[:-cut], 6), 1.0)
    assert [one.kind if isinstance(one, Signal) else one.reason for one in found] == (
        [Kind.SOS, "cut_batch"] if cut < 31 else ["cut_batch"][:1] if cut > 33 else []
    )
    for one in found:
        codec.confirm(one)
    assert results(codec) == [0]


# --- sub-packages


def part(number: int, total: int, serial: int, body: bytes, message: int = 0x0801) -> bytes:
    return frame(message, body, serial, properties=len(body) | 1 << 13, extra=total.to_bytes(2) + number.to_bytes(2))


def test_parts_in_any_order_and_twice() -> None:
    codec = authenticated()
    for serial, number in ((11, 2), (11, 2), (12, 3)):
        assert signals(codec, part(number, 3, serial, b"x")) == []
    [whole] = signals(codec, part(1, 3, 10, b"y"))
    assert whole.detail["body"] == b"yxx".hex()
    assert results(codec) == [0] * 4


def test_an_alarm_in_parts_is_answered_in_full_only_when_kept() -> None:
    codec = authenticated()
    body = report(1)
    signals(codec, part(1, 2, 20, body[:14], 0x0200))
    assert results(codec) == [0]
    [signal] = signals(codec, part(2, 2, 21, body[14:], 0x0200), keep=False)
    assert signal.kind is Kind.SOS
    assert results(codec) == []


def test_an_alarm_in_parts_that_could_not_be_kept_is_whole_again_with_its_last_part() -> None:
    """The parts before it were answered, so only the last one comes again."""
    codec = authenticated()
    body = report(1)
    signals(codec, part(1, 2, 20, body[:14], 0x0200))
    last = part(2, 2, 21, body[14:], 0x0200)
    codec.data_to_send()
    [signal] = codec.receive_data(last, 1.0)
    assert isinstance(signal, Signal)
    assert codec.receive_data(last, 2.0) == []
    assert results(codec) == [], "nobody knows yet whether it is kept"
    codec.refuse(signal, "store_down")
    assert results(codec) == []
    [again] = signals(codec, last, 20.0)
    assert (again.kind, again.dedup) == (signal.kind, signal.dedup)
    assert results(codec) == [0]
    assert codec.handle_deadline(90.0) == [], "nothing is left over"


def test_parts_are_bounded() -> None:
    codec = authenticated()

    def reasons(wire: bytes, now: float = 1.0) -> list[str]:
        return [one.reason for one in codec.receive_data(wire, now) if isinstance(one, Rejected)]

    assert reasons(part(1, 65, 1, b"x")) == ["bad_parts"]
    assert reasons(part(3, 2, 1, b"x")) == ["bad_parts"]
    assert reasons(part(0, 2, 1, b"x")) == ["bad_parts"]
    for serial in (100, 200, 300, 400):
        assert reasons(part(1, 2, serial, b"x")) == []
    assert reasons(part(1, 2, 500, b"x")) == ["too_many_parts"]
    assert [one.reason for one in codec.handle_deadline(61.0) if isinstance(one, Rejected)] == ["incomplete"] * 4
    assert reasons(part(1, 2, 500, b"x"), 62.0) == []


def test_64_kib_in_parts() -> None:
    codec = authenticated()
    reasons = [
        one.reason for number in range(1, 65) for one in codec.receive_data(part(number, 64, number, bytes(1023)), 1.0) if isinstance(one, Rejected)
    ]
    assert reasons == [], "64 parts of 1,023 octets are just below the limit"


# --- more bad input


def test_encrypted_terminal_is_a_fault_until_it_speaks_plainly() -> None:
    codec = authenticated()
    [fault] = signals(codec, vector("J9"))
    assert (fault.kind, fault.phase, fault.edge, fault.detail["fault"]) == (Kind.FAULT, Phase.RAISE, "encrypted", "terminal sends encrypted")
    assert [one.phase for one in signals(codec, vector("J9"))] == [Phase.RAISE]
    assert [(one.kind, one.phase) for one in signals(codec, J1)] == [(Kind.FAULT, Phase.CLEAR), (Kind.HEARTBEAT, Phase.STATE)]
    assert [one.kind for one in signals(codec, J1)] == [Kind.HEARTBEAT]


@pytest.mark.parametrize(("message", "octets", "result"), [(0x0200, 27, 2), (0x0704, 2, 2), (0x0F01, 0, 3), (0x0200, 0, 2)])
def test_bad_bodies(message: int, octets: int, result: int) -> None:
    codec = authenticated()
    [rejected] = codec.receive_data(frame(message, bytes(octets)), 1.0)
    assert isinstance(rejected, Rejected)
    codec.confirm(rejected)
    assert results(codec) == [result]


def test_same_serial_and_body_is_a_duplicate_that_is_answered() -> None:
    codec = authenticated()
    assert signals(codec, J2)[0].dedup == signals(codec, J2, 4.0)[0].dedup
    assert results(codec) == [0, 0]


def test_undated_reports_are_the_same_only_for_two_minutes() -> None:
    moment = [NOW]
    codec = authenticated(utc_now=lambda: moment[0])
    first = signals(codec, vector("J14"))[0].dedup
    moment[0] += timedelta(seconds=121)
    assert signals(codec, vector("J14"))[0].dedup != first


# --- life, and telling


def test_silence_ends_the_connection() -> None:
    codec = authenticated()
    signals(codec, J1, 5.0)
    assert codec.deadline() == 605.0
    codec.handle_deadline(605.0)
    assert (codec.hang_up, codec.deadline()) == (True, None)
    assert authenticated(Jt808Options(heartbeat_s=60)).deadline() == 210.0


def test_terminals_of_one_connection_are_bounded() -> None:
    codec = fresh()
    for number in range(200):
        data = bytes.fromhex("0102 0001") + bytes.fromhex(f"{number:012}") + bytes.fromhex("0001 30")
        codec.receive_data(b"\x7e" + escape(data + bytes([reduce(xor, data)])) + b"\x7e", 1.0)
    assert len(codec.addresses) == 64


def test_text_where_there_is_a_display() -> None:
    codec = authenticated(Jt808Options(text=True))
    assert [codec.can_tell(PHONE, word) for word in Word] == [True, True, False, True]
    codec.tell(Tell(id="t", device=PHONE, word=Word.TAKEN, text="救助已出发", cry={"serial": 9, "alarm_bit": 27}), 1, 1.0)
    sent = said(codec.data_to_send())
    assert [(message, body) for message, _, _, body in sent] == [
        (0x8203, bytes.fromhex("0009 08000000")),
        (0x8300, b"\x0c" + "救助已出发".encode("gbk")),
    ]
    signals(codec, frame(0x0001, bytes.fromhex("0100820300"), 2))
    assert codec.told() == []
    signals(codec, frame(0x0001, bytes.fromhex("0101830001"), 3))
    assert codec.told() == [(1, "refused")]


def test_text_in_edition_2019_has_a_type() -> None:
    codec = ready(J4, Jt808Options(text=True))
    codec.tell(Tell(id="t", device=PHONE, word=Word.COMING, text="hi"), 1, 1.0)
    assert [(message, body) for message, _, _, body in said(codec.data_to_send())] == [(0x8300, b"\x0d\x01hi")]


def test_what_cannot_be_told() -> None:
    codec = authenticated()
    assert not codec.can_tell(PHONE, Word.COMING)
    assert not codec.can_tell("13800138001", Word.TAKEN)
    for token in range(18):
        codec.tell(Tell(id=str(token), device=PHONE, word=Word.TAKEN), token, 1.0)
    assert codec.told() == [(16, "busy"), (17, "busy")]
    codec.handle_deadline(26.0)
    assert codec.told() == [(token, "timeout") for token in range(16)]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"authentication": "strict"}, "auth_secret_file"),
        ({"heartbeat_s": 1}, "heartbeat_s"),
        ({"alarm_bits": {"0": "fault"}}, "alarm_bits"),
        ({"alarm_bits": {"32": "fault"}}, "alarm_bits"),
        ({"alarm_bits": {"17": "nonsense"}}, "alarm_bits"),
        ({"alarm_bits": {"17": "resolve"}}, "alarm_bits"),
    ],
)
def test_options(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Jt808Options(**options)


# --- what every stream codec must pass


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["id"])
def test_generic_checks(row: dict[str, Any]) -> None:
    wire = bytes.fromhex(row["hex"])

    def new() -> Jt808:
        return ready(wire) if row.get("login", True) else fresh()

    assert check_fragments(new, wire)
    if not row["id"].startswith(("J10", "J21")):
        check_prefixes_wait(new, b"", wire)
    check_flips(new, wire)


def test_everything_glued() -> None:
    wires = [bytes.fromhex(row["hex"]) for row in VECTORS if row["id"].split()[0] in ("J1", "J2", "J3", "J5", "J6", "J8", "J9", "J13")]
    check_fragments(fresh, authentication_before(J1) + b"".join(wires))


def test_no_flipped_bit_is_taken_for_a_frame() -> None:
    for index in range(1, len(J3) - 1):
        for bit in range(8):
            found = authenticated().receive_data(J3[:index] + bytes([J3[index] ^ 1 << bit]) + J3[index + 1 :], 1.0)
            assert all(isinstance(one, Rejected) for one in found), (index, bit)


def test_mutations() -> None:
    wires = [authentication_before(J1), *(bytes.fromhex(row["hex"]) for row in VECTORS)]
    seen = fuzz(lambda: fresh(Jt808Options(heartbeat_s=10)), wires, 10_000, seed=808)
    assert {"sos", "join", "bad_check", "not_authenticated", "unknown_message"} <= seen.keys()


def test_answer_is_never_longer_than_a_body_may_be() -> None:
    codec = authenticated(Jt808Options(text=True))
    codec.tell(Tell(id="t", device=PHONE, word=Word.COMING, text="字" * 2000), 1, 1.0)
    assert [len(body) for *_, body in said(codec.data_to_send())] == [1023]
