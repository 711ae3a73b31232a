"""SCAIP: requests and their answers out of the fact sheet, the memory of ten minutes, options, and bytes that are no request."""

import random
import time
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from codec_checks import mutate
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.bodies.handler import Reading, Received
from drivers.bodies.scaip import MAX_REMEMBERED, REASONS, SAME_S, ScaipBody, ScaipOptions
from drivers.bodies.scaip_codes import DEVICE_TYPES, LOCATIONS, STATUSES, Effect
from drivers.bodies.scaip_text import MAX_REQUEST, Unreadable, read_request, reply
from drivers.bodies.table import build_handlers
from drivers.contract import Rejected, Signal
from drivers.sip.message import parse_message
from gateway.event import KINDS, Group, Kind, Phase

ROWS: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent.parent / "vectors" / "sip" / "scaip.toml").read_text("utf-8"))["request"]
AT = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
TYPE = "application/scaip+xml"
MESSAGE = (
    "MESSAGE sip:arc@gateway.example SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.10:5061;branch=z9hG4bKdemo1\r\n"
    "From: <sip:1234567890@example.net>;tag=d1\r\n"
    "To: <sip:arc@gateway.example>\r\nCall-ID: {call_id}\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\n"
    "Content-Type: {type}\r\nContent-Length: {length}\r\n\r\n"
)


def received(body: str | bytes, *, user: str = "1234567890", type_: str = TYPE, call_id: str = "demo1@192.0.2.10", at: float = 0.0) -> Received:
    """As the user agent hands it over: the SIP skeleton of the fact sheet around the body."""
    octets = body.encode() if isinstance(body, str) else body
    raw = MESSAGE.format(call_id=call_id, type=type_, length=len(octets)).encode() + octets
    return Received(
        from_user=user, from_uri=f"sip:{user}@example.net", to_user="arc", contact="", call_id=call_id, cseq=1, source=("192.0.2.10", 5061),
        transport="tls", user="", integrity="unverified", content_type=type_, body=octets, raw=raw, now=1000.0 + at,
        received_at=AT + timedelta(seconds=at), message=parse_message(raw),
    )  # fmt: skip


def handler(**options: object) -> ScaipBody:
    return ScaipBody(msgspec.convert(options, ScaipOptions))


def answer_of(reading: Reading) -> str:
    assert reading.follow_up is not None
    assert (reading.reply, reading.follow_up.content_type) == (None, TYPE)
    return reading.follow_up.body.decode()


def signal_of(reading: Reading) -> Signal:
    (signal,) = reading.signals
    assert isinstance(signal, Signal)
    return signal


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_vector(row: dict[str, Any]) -> None:
    reading = handler().read(received(row["xml"]))
    assert reading.status == 200
    if "inside" in row:
        assert reading.reply is not None
        assert (reading.reply.body.decode(), reading.reply.content_type, reading.follow_up) == (row["inside"], "application/xml", None)
    else:
        assert answer_of(reading) == row["answer"]
    signal = signal_of(reading)
    assert (signal.kind, signal.phase, signal.device) == (row["kind"], row.get("phase", "raise"), row.get("device", "1234567890"))
    assert (signal.lat, signal.lon) == (row.get("lat"), row.get("lon"))
    if "lat" in row:
        assert signal.position_source == row["position_source"]
    assert signal.raw.endswith(row["xml"].encode())
    wanted = row.get("detail", {})
    assert {name: signal.detail.get(name) for name in wanted} == wanted
    if KINDS[signal.kind].group not in (Group.PERSON, Group.ENVIRONMENT) or signal.phase is not Phase.RAISE:
        assert "voice" not in signal.detail


# scaip.md, "Code tables": what leaves no room for interpretation.
@pytest.mark.parametrize(
    ("dty", "stc", "kind"),
    [
        ("0003", "0010", "sos"), ("0004", "0010", "sos"), ("0007", "0010", "sos"), ("3", "", "sos"), ("03", "9", "sos"),
        ("0005", "0009", "fall"),
        ("0010", "0009", "inactivity"), ("0012", "0009", "bed_exit"), ("0015", "0009", "wandering"), ("0021", "0009", "gas"),
        ("0023", "0009", "smoke"),
        ("0026", "0009", "co"), ("0028", "0009", "intrusion"), ("0033", "0009", "water_leak"), ("0047", "0009", "fire"), ("0017", "0009", "medical"),
        ("0003", "0110", "sos"), ("0038", "0010", "sos"), ("0013", "0009", "general"), ("0003", "0104", "sos"),
    ],
)  # fmt: skip
def test_alarms(dty: str, stc: str, kind: str) -> None:
    status = f"<stc>{stc}</stc>" if stc else ""
    signal = signal_of(handler().read(received(f"<mrq><ref>a</ref><cid>1</cid><dty>{dty}</dty>{status}</mrq>")))
    assert (signal.kind, signal.phase) == (kind, Phase.RAISE)


@pytest.mark.parametrize(
    ("stc", "kind", "phase"),
    [
        *((stc, "fault", "raise") for stc in ("0023", "0024", "0025", "0026", "0027", "0042", "0052", "0067", "0095", "0105", "0123")),
        *((stc, "fault", "clear") for stc in ("0112", "0113", "0114", "0115", "0116", "0124")),
        ("0014", "low_battery", "raise"), ("0016", "low_battery", "raise"), ("0015", "low_battery", "clear"),
        ("0085", "power_cut", "raise"),
        ("0086", "power_cut", "clear"), ("0125", "tamper", "raise"), ("0102", "test", "test"), ("0103", "test", "test"),
        ("0100", "temperature", "raise"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mty", ["ME", "IN"])
def test_conditions_begin_and_end(mty: str, stc: str, kind: str, phase: str) -> None:
    signal = signal_of(handler().read(received(f"<mrq><ref>a</ref><mty>{mty}</mty><cid>1</cid><dty>0002</dty><stc>{stc}</stc></mrq>")))
    assert (signal.kind, signal.phase) == (kind, phase)


def test_tables_are_whole() -> None:
    assert all(one.en and one.zh for one in [*DEVICE_TYPES.values(), *STATUSES.values()])
    assert all(en and zh for en, zh in LOCATIONS.values())
    assert all(status.kind is not None for status in STATUSES.values() if status.effect is Effect.RAISE)
    assert max([*DEVICE_TYPES, *STATUSES]) < 10_000


def test_the_same_message_again_hears_the_same_answer_and_is_one_event() -> None:
    scaip = handler()
    first = scaip.read(received(ROWS[0]["xml"]))
    scaip.settled(first, True, 1000.0)
    for number, at in enumerate((1.0, 30.0, SAME_S - 1)):
        again = scaip.read(received(ROWS[0]["xml"], call_id=f"again{number}", at=at))
        assert (again.signals, answer_of(again)) == ((), answer_of(first))


def test_a_second_press_is_a_second_cry() -> None:
    scaip = handler()
    first = scaip.read(received(ROWS[0]["xml"]))
    scaip.settled(first, True, 1000.0)
    second = scaip.read(received(ROWS[0]["xml"].replace("demo0001", "demo0008"), call_id="2", at=5.0))
    assert signal_of(second).dedup != signal_of(first).dedup


def test_a_ref_that_comes_again_later_is_a_new_cry() -> None:
    scaip = handler()
    first = scaip.read(received(ROWS[0]["xml"]))
    scaip.settled(first, True, 1000.0)
    later = scaip.read(received(ROWS[0]["xml"], call_id="2", at=SAME_S))
    assert signal_of(later).dedup != signal_of(first).dedup


def test_another_text_under_the_same_ref_is_not_swallowed() -> None:
    scaip = handler()
    scaip.settled(scaip.read(received(ROWS[0]["xml"])), True, 1000.0)
    other = scaip.read(received(ROWS[0]["xml"].replace("<stc>0010</stc>", "<stc>0009</stc>"), call_id="2"))
    assert signal_of(other).kind is Kind.SOS


def test_what_was_not_stored_never_was() -> None:
    scaip = handler()
    first = scaip.read(received(ROWS[0]["xml"]))
    assert first.refused_follow_up is None  # no <mrs>: the unit's own fall-back begins
    scaip.settled(first, False, 1000.0)
    again = scaip.read(received(ROWS[0]["xml"], call_id="2", at=2.0))
    assert signal_of(again).kind is Kind.SOS


def test_a_repetition_before_the_commit_has_the_same_identity() -> None:
    scaip = handler()
    first, second = (signal_of(scaip.read(received(ROWS[0]["xml"], call_id=str(number), at=number))) for number in range(2))
    assert first.dedup == second.dedup


def test_after_a_restart_a_redelivery_is_known_by_its_identity() -> None:
    first, second = (signal_of(handler().read(received(ROWS[0]["xml"], call_id=str(at), at=at))) for at in (0.0, 60.0))
    assert first.dedup == second.dedup


def test_without_a_ref_only_the_same_sip_message_is_the_same() -> None:
    scaip = handler()
    found = [signal_of(scaip.read(received("<mrq><cid>1</cid></mrq>", call_id=call_id))).dedup for call_id in ("1", "1", "2")]
    assert found[0] == found[1] != found[2]


def test_a_unit_started_anew_may_count_from_the_beginning() -> None:
    """Same Call-ID, CSeq and words, half a minute and more later: a new cry. However long a Call-ID is, it counts to its end."""
    first, later, other = (
        signal_of(handler().read(received("<mrq><cid>1</cid></mrq>", call_id=f"{'x' * 250}{end}", at=at))).dedup
        for end, at in (("1", 0.0), ("1", 33.0), ("2", 0.0))
    )
    assert len({first, later, other}) == 3


def test_memory_is_bounded() -> None:
    scaip = handler()
    for number in range(MAX_REMEMBERED + 5):
        scaip.read(received(f"<mrq><ref>{number}</ref><cid>1</cid></mrq>"))
    assert len(scaip._known) == MAX_REMEMBERED
    scaip.read(received("<mrq><ref>x</ref><cid>1</cid></mrq>", at=SAME_S))
    assert len(scaip._known) == 1


def test_heartbeats_are_answered_each_time_and_remembered_never() -> None:
    scaip = handler(hbi=2, group=[{"cid": ["9*"], "hbi": 4}])
    for _ in range(3):
        reading = scaip.read(received(ROWS[1]["xml"]))
        assert answer_of(reading) == "<mrs><ref>demo0002</ref><snu>0</snu><hbi>2</hbi></mrs>"
        assert (signal_of(reading).kind, signal_of(reading).dedup) == (Kind.HEARTBEAT, None)
    assert "<hbi>4</hbi>" in answer_of(scaip.read(received(ROWS[1]["xml"].replace("1234567890", "98"))))
    assert len(scaip._known) == 0


def test_voice_by_group_of_units() -> None:
    scaip = handler(
        voice={"mre": "01", "cre": "62", "tnu": "sip:12349@pbx"},
        group=[{"cid": ["55"], "voice": {"mre": "00"}}, {"cid": ["5*"], "voice": {"mre": "03", "silent_mre": "00"}}],
    )

    def voice(cid: str, dty: str = "3") -> str:
        answer = answer_of(scaip.read(received(f"<mrq><ref>a</ref><cid>{cid}</cid><dty>{dty}</dty></mrq>")))
        return answer.removeprefix("<mrs><ref>a</ref><snu>0</snu>").removesuffix("</mrs>")

    assert voice("1") == "<mre>01</mre><cre>62</cre><tnu>sip:12349@pbx</tnu>"
    assert voice("1", "6") == "<mre>02</mre><cre>62</cre><tnu>sip:12349@pbx</tnu>"
    assert voice("55") == "<mre>00</mre>"
    assert voice("56") == "<mre>03</mre><cre>61</cre>"
    assert voice("56", "6") == "<mre>00</mre>"


def test_answer_inside_the_200_by_switch() -> None:
    xml = ROWS[0]["xml"]
    reading = handler(answer_inside=True).read(received(xml))
    assert reading.reply is not None
    assert (reading.reply.body.decode(), reading.reply.content_type, reading.follow_up) == (ROWS[0]["answer"], TYPE, None)
    reading = handler(answer_inside=True, group=[{"cid": ["1*"], "answer_inside": False}]).read(received(xml))
    assert answer_of(reading) == ROWS[0]["answer"]
    variant = next(row for row in ROWS if "inside" in row)
    reading = handler(answer_inside=False).read(received(variant["xml"]))
    assert answer_of(reading) == variant["inside"]


def test_the_address_may_name_the_trigger_too() -> None:
    scaip = handler(device="cid/did")
    assert signal_of(scaip.read(received(ROWS[0]["xml"]))).device == "1234567890/00A1B2C3"
    assert signal_of(scaip.read(received(ROWS[1]["xml"]))).device == "1234567890"


def test_units_of_others_are_told_so_and_shown_all_the_same() -> None:
    reading = handler(only=["77*"]).read(received(ROWS[0]["xml"]))
    assert answer_of(reading) == "<mrs><ref>demo0001</ref><snu>5</snu><ste>Not treated</ste></mrs>"
    assert signal_of(reading).kind is Kind.SOS


def test_too_big_is_told_with_its_ref() -> None:
    reading = handler().read(received("<mrq><ref>big1</ref><cid>1234567890</cid><stt>" + "x" * MAX_REQUEST + "</stt></mrq>"))
    assert answer_of(reading) == "<mrs><ref>big1</ref><snu>1</snu><ste>Message too long</ste></mrs>"
    assert (signal_of(reading).kind, signal_of(reading).detail["reason"]) == (Kind.FAULT, "too_long")


def test_no_identity_at_all_is_refused() -> None:
    reading = handler().read(received("<mrq", user=""))
    assert (reading.status, reading.follow_up, [item.reason for item in reading.signals if isinstance(item, Rejected)]) == (400, None, ["bad_xml"])
    assert handler(malformed=400).read(received("<mrq")).status == 400


def test_an_answer_is_never_answered() -> None:
    reading = handler().read(received("<mrs><ref>demo0007</ref><snu>5</snu><ste>Not treated</ste></mrs>"))
    assert (reading.status, reading.follow_up, reading.reply) == (200, None, None)
    assert [item.reason for item in reading.signals if isinstance(item, Rejected)] == ["is_mrs"]


@pytest.mark.parametrize(
    ("type_", "body", "taken"),
    [
        (TYPE, b"anything", True),
        ("text/plain", b"<mrq></mrq>", True),
        ("application/xml", b'\xef\xbb\xbf<?xml version="1.0"?>\r\n <x:scaip/>', True),
        ("", b"<mrq>", True),
        ("text/plain", b"<mrqx/>", False),
        ("text/plain", b"Please come. <mrq>", False),
        ("text/plain", b"", False),
        ("application/dialog-info+xml", b"<dialog-info/>", False),
    ],
)
def test_whose_body_it_is_says_the_root_element(type_: str, body: bytes, taken: bool) -> None:
    assert handler().accepts(type_, body) is taken


def test_a_wrong_content_type_is_told_to_people() -> None:
    assert signal_of(handler().read(received(ROWS[0]["xml"], type_="text/plain"))).detail["content_type"] == "text/plain"
    assert signal_of(handler().read(received(ROWS[0]["xml"], user="5551"))).detail["from_user"] == "5551"


def test_a_unit_that_proves_to_be_another_is_named() -> None:
    proved = msgspec.structs.replace(received(ROWS[0]["xml"]), user="7777")
    assert signal_of(handler().read(proved)).detail["user"] == "7777"
    same = msgspec.structs.replace(received(ROWS[0]["xml"]), user="1234567890")
    assert "user" not in signal_of(handler().read(same)).detail


def test_gbk_text_is_read() -> None:
    body = '<?xml version="1.0" encoding="GBK"?><mrq><ref>a</ref><cid>1</cid><dty>3</dty><lte>北屋</lte></mrq>'.encode("gbk")
    assert signal_of(handler().read(received(body))).detail["lte"] == "北屋"


@pytest.mark.parametrize(
    "options",
    [
        {"voice": {"cre": "62"}},
        {"voice": {"tnu": "sip:a@b"}},
        {"voice": {"mre": "1"}},
        {"hbi": 5},
        {"malformed": 500},
        {"vioce": {}},
        {"group": [{"voice": {}}]},
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="scaip"):
        build_handlers(["scaip"], {"scaip": options})


@pytest.mark.parametrize("snu", range(8))
def test_every_status_number_has_its_words(snu: int) -> None:
    text = reply("a", snu).decode()
    assert f"<snu>{snu}</snu>" in text
    assert ("<ste>" in text) == (snu != 0)


def test_time_grows_with_size_not_with_its_square() -> None:
    """The dearest bodies allowed take no longer than some ordinary ones."""

    def cost(body: bytes) -> float:
        best = float("inf")
        for _ in range(5):
            scaip, message = handler(), received(body)
            started = time.process_time()
            scaip.read(message)
            best = min(best, time.process_time() - started)
        return best

    for unit in (b"<a/>", b"<ref>", b"<lge>", b"<lge><geo>1</geo></lge>", b"<mrq ", b"&amp;"):
        small = cost(b"<mrq>" + unit * (MAX_REQUEST // 8 // len(unit)) + b"</mrq>")
        large = cost(b"<mrq>" + unit * ((MAX_REQUEST - 20) // len(unit)) + b"</mrq>")
        assert large < 0.02 + 24 * small, unit
    assert cost(b"<mrq><ref>" * 7_000) < 0.05


@settings(max_examples=500)
@given(seed=st.integers(0, 2**32), noise=st.binary(max_size=80))
def test_no_bytes_raise(seed: int, noise: bytes) -> None:
    rng = random.Random(seed)
    known = [row["xml"].encode() for row in ROWS]
    scaip = handler()
    for body in (mutate(known, rng), noise, rng.choice(known)[: rng.randrange(300)]):
        scaip.accepts("", body)
        reading = scaip.read(received(body))
        for item in reading.signals:
            if isinstance(item, Rejected):
                assert item.reason in REASONS
            else:
                msgspec.json.encode(item.detail)
        answer = reading.reply or reading.follow_up
        if answer is not None:
            read_request(answer.body)
        scaip.settled(reading, bool(rng.randrange(2)), 1.0)
    found = read_request(noise)
    assert not isinstance(found, Unreadable) or found.reason in REASONS
