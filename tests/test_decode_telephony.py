"""`gateway decode` and `gateway calls` on telephony: SIP, SCAIP, AMI and ESL out of captures, recordings and pasted text.

tests/vectors/captures/make.py tells how the captures were made; SIPp, dumpcap and plain sockets, none of our own code.
"""

import json
import tomllib
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from tests.test_decode import Typed, hep3, typed  # noqa: F401

VECTORS = Path(__file__).parent / "vectors"
CAPTURES = VECTORS / "captures"
AMI = VECTORS / "pbx" / "ami"
MRQ = "<mrq><ref>demo0001</ref><mty>ME</mty><cid>1234567890</cid><dty>0003</dty><stc>0010</stc></mrq>"


# --- calls out of captures of SIPp


@pytest.mark.parametrize(
    ("file", "outcome", "reason", "by", "events"),
    [
        ("answered_udp.pcapng", "answered", None, "caller", [("offered", 0.0), ("ringing", 0.0), ("answered", 0.7), ("ended", 2.2)]),
        ("answered_ipv6.nsec.pcap", "answered", None, "caller", [("offered", 0.0), ("ringing", 0.0), ("answered", 0.3), ("ended", 0.9)]),
        ("cancelled_udp.pcap", "abandoned", None, "caller", [("offered", 0.0), ("ringing", 0.0), ("abandoned", 0.8)]),
        ("busy_tcp.pcapng", "missed", "busy", None, [("offered", 0.0), ("missed", 0.0)]),
    ],
)
def test_calls_of_sipp(typed: Typed, file: str, outcome: str, reason: str | None, by: str | None, events: list[tuple[str, float]]) -> None:  # noqa: F811
    code, [call] = typed("calls", "sip", "--pcap", str(CAPTURES / file))
    assert code == 0, typed.error
    assert (call["caller_e164"], call["called"], call["outcome"]) == ("+8617400000001", "12349", outcome)
    assert (call["reason"], call["by"], call["inferred"]) == (reason, by, False)
    told = call["events"]
    assert isinstance(told, list)
    assert [name for name, _ in told] == [name for name, _ in events]
    assert [at for _, at in told] == pytest.approx([at for _, at in events], abs=0.02)  # what -d of SIPp says; the rest is its own time


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["calls", "sip", "--pcap", "ami_queue.pcapng"], "nothing complete of sip in this input; is it the right codec, and the right form"),
        (["calls", "hep", "--pcap", "answered_udp.pcapng"], "nothing complete of hep in this input"),
        (["decode", "scaip", "--pcap", "answered_udp.pcapng"], "nothing complete of scaip in this input"),
        (["calls", "esl", "--pcap", "ami_queue.pcapng"], "is esl the right codec?"),
        (["calls", "sip", "answered_udp.pcapng"], "this is a capture; read it with --pcap"),
        (["calls", "ami", "--ami", "ami_queue.pcapng"], "this is a capture; read it with --pcap"),
    ],
)
def test_a_capture_of_something_else_is_told(typed: Typed, command: list[str], told: str) -> None:  # noqa: F811
    code, seen = typed(*command[:-1], str(CAPTURES / command[-1]))
    assert (code > 0, seen) == (True, [])
    assert told in typed.error


def test_calls_to_numbers_that_are_none_of_ours_are_told(typed: Typed, tmp_path: Path) -> None:  # noqa: F811
    config = tmp_path / "line.toml"
    config.write_text('[calls]\nhotlines = ["96345"]\n[[line]]\nname = "pbx"\ncodec = "hep"\nlisten = "udp:9060"\n', encoding="utf-8")
    assert typed("calls", "sip", "--config", str(config), "--pcap", str(CAPTURES / "answered_udp.pcapng")) == (1, [])
    assert typed.error == f"gateway calls: no call to 96345 (as {config} says) in 6 packets; is sip the right codec?\n"


def test_a_time_that_is_none_is_told(typed: Typed) -> None:  # noqa: F811
    assert typed("calls", "sip", "--now", "yesterday") == (2, [])
    assert "'yesterday' is no time; write 2026-03-14T09:26:53Z" in typed.error


def test_decode_tells_the_same_messages_one_by_one(typed: Typed) -> None:  # noqa: F811
    code, seen = typed("decode", "sip", "--pcap", str(CAPTURES / "answered_udp.pcapng"))
    assert code == 0
    assert [one.get("kind") for one in seen] == ["call_offered", "call_ringing", "call_answered", None, "call_ended", None]
    ack, ok = seen[3], seen[5]
    assert (ack["kind_raw"], ok["kind_raw"]) == ("ACK", "200 OK")
    assert ack["detail"]["cseq"] == 1  # type: ignore[index]
    assert all(one["reply_hex"] is None for one in seen)


def test_sip_in_fragments_tags_and_segments(typed: Typed, tmp_path: Path) -> None:  # noqa: F811
    body = "a=candidate\r\n" * 200

    def sip(start: str, method: str, cseq: int = 1, tag: str = "", text: str = "") -> bytes:
        return (
            f"{start}\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK{cseq}\r\nFrom: <sip:017400000001@192.0.2.20>;tag=a\r\n"
            f"To: <sip:12349@192.0.2.10>{tag}\r\nCall-ID: c@192.0.2.20\r\nCSeq: {cseq} {method}\r\nContent-Length: {len(text)}\r\n\r\n{text}"
        ).encode()

    link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / Dot1Q(vlan=7)
    there, back = IP(src="192.0.2.20", dst="192.0.2.10"), IP(src="192.0.2.10", dst="192.0.2.20")
    invite = sip("INVITE sip:12349@192.0.2.10 SIP/2.0", "INVITE", text=body)
    ok = sip("SIP/2.0 200 OK", "INVITE", tag=";tag=b", text=body)
    bye = sip("BYE sip:12349@192.0.2.10 SIP/2.0", "BYE", 2, ";tag=b")
    udp = [link / part for part in reversed(fragment(there / UDP(sport=5060, dport=5060) / invite, 1400))]
    udp += [link / part for part in fragment(back / UDP(sport=5060, dport=5060) / ok, 1400)]
    udp += [link / there / UDP(sport=5060, dport=5060) / bye]
    wrpcap(str(tmp_path / "udp"), timed(udp))

    def segments(ip: Packet, ports: dict[str, int], data: bytes, first: int) -> list[Packet]:
        pieces = [(at, data[at : at + 500]) for at in range(0, len(data), 400)]  # each overlaps the next
        return [link / ip / TCP(seq=first + at, flags="A", **ports) / Raw(piece) for at, piece in pieces]

    near, far = {"sport": 40000, "dport": 5060}, {"sport": 5060, "dport": 40000}
    syn = [link / there / TCP(seq=0, flags="S", **near), link / back / TCP(seq=0, flags="SA", **far)]
    tcp = syn + [one for one in reversed(segments(there, near, invite, 1)) for _ in range(2)] + segments(back, far, ok, 1)
    tcp += segments(there, near, bye, 1 + len(invite))
    wrpcap(str(tmp_path / "tcp"), timed(tcp))
    for name in ("udp", "tcp"):
        code, [call] = typed("calls", "sip", "--pcap", str(tmp_path / name))
        assert (code, call["outcome"], call["agent"]) == (0, "answered", "192.0.2.10"), typed.error
        assert [event for event, _ in call["events"]] == ["offered", "answered", "ended"]  # type: ignore[attr-defined]


def timed(packets: list[Packet]) -> list[Packet]:
    for number, packet in enumerate(packets):
        packet.time = 1773480413 + number / 1000
    return packets


def test_of_a_cut_capture_what_is_there_is_told(typed: Typed, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "cut").write_bytes((CAPTURES / "answered_udp.pcapng").read_bytes()[:-20])
    code, [call] = typed("calls", "sip", "--pcap", str(tmp_path / "cut"))
    assert (code, call["outcome"]) == (1, "answered")
    assert "is cut or damaged; these are the calls up to there" in typed.error


def test_hep_over_tcp_out_of_a_capture(typed: Typed, tmp_path: Path) -> None:  # noqa: F811
    packets = [
        hep3(message, source, destination, 1773480413 + at)
        for at, source, destination, message in [
            (0.0, ("192.0.2.20", 5060), ("192.0.2.10", 5060), invite_text()),
            (2.5, ("192.0.2.10", 5060), ("192.0.2.20", 5060), invite_text("SIP/2.0 486 Busy Here", ";tag=b")),
        ]
    ]
    stream, frames = b"".join(packets), []
    for at in range(0, len(stream), 100):
        ip = IP(src="192.0.2.10", dst="192.0.2.99")
        frames.append(
            Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
            / ip
            / TCP(sport=40000, dport=9060, seq=at, flags="PA")
            / Raw(stream[at : at + 100])
        )
    wrpcap(str(tmp_path / "hep"), timed(frames))
    code, [call] = typed("calls", "hep", "--pcap", str(tmp_path / "hep"))
    assert (code, call["outcome"], call["reason"]) == (0, "missed", "busy"), typed.error
    code, seen = typed("decode", "hep", "--pcap", str(tmp_path / "hep"))
    assert (code, [one["kind"] for one in seen]) == (0, ["call_offered", "call_missed"])


def invite_text(start: str = "INVITE sip:12349@192.0.2.10 SIP/2.0", tag: str = "") -> bytes:
    return (
        f"{start}\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1\r\nFrom: <sip:017400000001@192.0.2.20>;tag=a\r\n"
        f"To: <sip:12349@192.0.2.10>{tag}\r\nCall-ID: c@192.0.2.20\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    ).encode()


# --- SIP message by message


@pytest.mark.parametrize("row", tomllib.loads((VECTORS / "sip" / "rfc4475.toml").read_text("utf-8"))["message"], ids=lambda row: row["id"])
def test_torture_messages_are_read_or_refused_as_the_standard_says(typed: Typed, row: dict[str, object]) -> None:  # noqa: F811
    data = (VECTORS / "sip" / "rfc4475" / f"{row['id']}.dat").read_bytes()
    code, [seen] = typed("decode", "sip", "--hex", given=data.hex())
    if row["strict"] == "good":
        assert (code, "rejected" in seen) == (0, False)
    else:
        assert (code, seen["rejected"], seen["raw_hex"]) == (1, row["strict"], data.hex())


def test_what_is_no_signal_is_no_rejection(typed: Typed) -> None:  # noqa: F811
    options = invite_text("OPTIONS sip:192.0.2.10 SIP/2.0").replace(b"1 INVITE", b"1 OPTIONS")
    code, [seen] = typed("decode", "sip", given=options.replace(b"\r\n", b"\n"))
    assert code == 0
    assert (seen["kind_raw"], seen["device"]) == ("OPTIONS", "017400000001")
    assert "kind" not in seen
    assert bytes.fromhex(str(seen["reply_hex"])).startswith(b"SIP/2.0 200 ")
    # keep-alives between messages are nothing at all
    code, seen_lines = typed("decode", "sip", "--hexl", given=f"0d0a0d0a\n{options.hex()}\n")
    assert (code, len(seen_lines)) == (0, 1)


def test_a_broken_request_hears_why(typed: Typed) -> None:  # noqa: F811
    broken = invite_text().replace(b"CSeq: 1 INVITE", b"CSeq: 1 BYE")
    code, [seen] = typed("decode", "sip", "--text", given=broken)
    assert (code, seen["rejected"]) == (1, "cseq_method_mismatch")
    assert bytes.fromhex(str(seen["reply_hex"])).startswith(b"SIP/2.0 400 ")


# --- SCAIP


def test_scaip_as_bare_xml(typed: Typed) -> None:  # noqa: F811
    heartbeat = "<mrq><ref>demo0002</ref><mty>PI</mty><cid>1234567890</cid><dty>0002</dty></mrq>"
    code, [alarm, beat] = typed("decode", "scaip", "--text", given=f"{MRQ}\n{heartbeat}\n")
    assert code == 0, typed.error
    assert (alarm["kind"], alarm["device"], beat["kind"]) == ("sos", "1234567890", "heartbeat")
    assert bytes.fromhex(str(alarm["reply_hex"])) == b"<mrs><ref>demo0001</ref><snu>0</snu><mre>01</mre><cre>61</cre></mrs>"
    assert bytes.fromhex(str(beat["reply_hex"])) == b"<mrs><ref>demo0002</ref><snu>0</snu></mrs>"


@pytest.mark.parametrize("row", tomllib.loads((VECTORS / "sip" / "scaip.toml").read_text("utf-8"))["request"], ids=lambda row: row["id"])
def test_every_scaip_vector(typed: Typed, row: dict[str, object]) -> None:  # noqa: F811
    if "kind" not in row or "xml" not in row:
        pytest.skip("a row about something else")
    code, [seen] = typed("decode", "scaip", "--hex", given=str(row["xml"]).encode().hex())
    if row["kind"] == "fault" and code:  # the vector's sender is known by its SIP address; a body alone has none
        assert seen["rejected"]
        return
    assert (code, seen["kind"]) == (0, row["kind"])
    if "answer" in row:
        assert bytes.fromhex(str(seen["reply_hex"])).decode() == row["answer"]


def test_scaip_in_messages_of_a_capture(typed: Typed) -> None:  # noqa: F811
    """Sent three times as RFC 3261 repeats it: one alarm; each time it hears 200, and the status once."""
    code, seen = typed("decode", "scaip", "--pcap", str(CAPTURES / "scaip.pcapng"))
    assert code == 0, typed.error
    assert [one.get("kind") for one in seen] == ["sos", None, None]
    answer, status = (bytes.fromhex(one) for one in seen[0]["replies_hex"])  # type: ignore[attr-defined]
    assert answer.startswith(b"SIP/2.0 200 ")
    assert status.startswith(b"MESSAGE ")
    assert status.endswith(b"<mrs><ref>demo0001</ref><snu>0</snu><mre>01</mre><cre>61</cre></mrs>")
    assert bytes.fromhex(str(seen[0]["reply_hex"])) == answer + status
    assert all(bytes.fromhex(str(one["reply_hex"])) == answer for one in seen[1:])


def test_the_same_body_twice_is_one_alarm(typed: Typed) -> None:  # noqa: F811
    code, seen = typed("decode", "scaip", "--text", given=MRQ * 2)
    assert (code, len(seen)) == (0, 2)
    assert "kind" not in seen[1]
    assert seen[1]["reply_hex"] == seen[0]["reply_hex"]


def test_scaip_options_of_a_sip_line(typed: Typed, tmp_path: Path) -> None:  # noqa: F811
    config = tmp_path / "line.toml"
    config.write_text('[[line]]\nname = "units"\ncodec = "sip"\nlisten = "udp:5060"\n[line.options.body_options.scaip]\nonly = ["99*"]\n')
    _, [seen] = typed("decode", "scaip", "--config", str(config), given=MRQ)
    assert b"<snu>5</snu>" in bytes.fromhex(str(seen["reply_hex"]))


@pytest.mark.parametrize("given", ["<mrq><ref>", "<html></html>", "garbage"])
def test_no_scaip(typed: Typed, given: str) -> None:  # noqa: F811
    code, [seen] = typed("decode", "scaip", given=given)
    assert code == 1
    assert seen["raw_hex"] == given.encode().hex()


# --- AMI


def wanted(name: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((AMI / f"{name}.json").read_text("utf-8"))
    return found


def json_lines(name: str, piece: int = 333) -> str:
    """The recording as somebody who logs both sides writes it: pieces that end anywhere, times, our login between."""
    text = (AMI / f"{name}.txt").read_text("utf-8")
    said = text[text.index("Asterisk Call Manager") :].replace("\n", "\r\n")
    rows = [{"t": 1781236799.0, "dir": "out", "data": "Action: Login\r\nUsername: gateway\r\n\r\n"}]
    stamp = 1781236800.0
    for at in range(0, len(said), piece):
        rows.append({"t": stamp, "dir": "in", "data": said[at : at + piece]})
        told = said.rfind("Timestamp: ", 0, at + piece)
        stamp = float(said[told + 11 : said.index("\r", told)]) if told >= 0 and "\r" in said[told:] else stamp
    return "\n".join(json.dumps(row) for row in rows)


@pytest.mark.parametrize("name", sorted(path.stem for path in AMI.glob("*.txt")))
@pytest.mark.parametrize("form", ["--ami", "--text", None])
def test_recorded_managers(typed: Typed, tmp_path: Path, name: str, form: str | None) -> None:  # noqa: F811
    config = tmp_path / "line.toml"
    config.write_text(
        '[calls]\nhotlines = ["12349", "12345"]\narea_code = "0931"\n[calls.agents]\n8001 = "Li"\n8002 = "Ma"\n'
        '[[line]]\nname = "pbx"\ncodec = "ami"\nconnect = "tcp:192.0.2.5:5038"\n'
    )
    given = (AMI / f"{name}.txt").read_text("utf-8")
    if form == "--text":
        given = given[given.index("Asterisk Call Manager") :]
    code, calls = typed("calls", "ami", "--config", str(config), *([form] if form else []), given=given)
    keys = ("caller", "called", "agent", "outcome", "reason", "by")
    assert [[call[key] for key in keys] for call in calls] == [[call[key] for key in keys] for call in wanted(name)], typed.error
    assert code == (0 if calls else 1)
    for call, expected in zip(calls, wanted(name), strict=True):
        told = expected["events"]
        assert isinstance(told, list)
        # the vectors list a correction of the caller's number as an event of its own
        assert call["events"] == [event for number, event in enumerate(told) if event[0] not in [one[0] for one in told[:number]]]


def test_both_sides_as_json_lines(typed: Typed) -> None:  # noqa: F811
    code, [call] = typed("calls", "ami", "--ami", given=json_lines("queue_ring_all"))
    assert code == 0, typed.error
    assert (call["outcome"], call["agent"], call["by"]) == ("answered", "8001", "caller")
    assert [event for event, _ in call["events"]] == ["offered", "ringing", "answered", "ended"]  # type: ignore[attr-defined]
    assert [at for _, at in call["events"]] == pytest.approx([0, 0.51, 2.01, 5.02], abs=0.6)  # type: ignore[attr-defined]
    # times may also count from the beginning, or be written out; sides may have any name
    rows = [json.loads(line) for line in json_lines("queue_ring_all").splitlines()]
    relative = [{**row, "t": row["t"] - 1781236799.0, "dir": {"in": "<", "out": ">"}[row["dir"]]} for row in rows]
    code, [again] = typed("calls", "ami", "--ami", given="\n".join(map(json.dumps, relative)))
    assert again["events"] == call["events"]
    code, [again] = typed(
        "calls",
        "ami",
        "--ami",
        given='{"t": "2026-06-12T04:00:00Z", "dir": "rx", "data": "Event: FullyBooted\\r\\n\\r\\n"}\n' + json_lines("dial_busy"),
    )
    assert again["outcome"] == "missed"


def test_a_manager_out_of_a_capture(typed: Typed) -> None:  # noqa: F811
    code, [call] = typed("calls", "ami", "--pcap", str(CAPTURES / "ami_queue.pcapng"))
    assert code == 0, typed.error
    assert (call["caller_e164"], call["called"], call["agent"], call["outcome"], call["by"]) == (
        "+8617400000001",
        "12349",
        "8001",
        "answered",
        "caller",
    )
    assert [event for event, _ in call["events"]] == ["offered", "ringing", "answered", "ended"]  # type: ignore[attr-defined]
    assert call["events"][-1][1] < 1.0  # type: ignore[index] # the packets' times: it was told in half a second
    code, seen = typed("decode", "ami", "--pcap", str(CAPTURES / "ami_queue.pcapng"))
    assert (code, [one["kind"] for one in seen]) == (0, ["call_offered", "call_ringing", "call_answered", "call_ended"])


def test_a_capture_that_begins_in_the_middle_of_a_conversation(typed: Typed, tmp_path: Path) -> None:  # noqa: F811
    text = (AMI / "dial_busy.txt").read_text("utf-8")
    said = b"h of a message\r\nCause: 16\r\n\r\n" + text[text.index("Event: Newchannel") :].replace("\n", "\r\n").encode()
    ip = IP(src="192.0.2.5", dst="192.0.2.99")
    frames = [
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / ip / TCP(sport=5038, dport=40000, seq=at, flags="PA") / Raw(said[at : at + 400])
        for at in range(0, len(said), 400)
    ]
    wrpcap(str(tmp_path / "c"), timed(frames))
    code, [call] = typed("calls", "ami", "--pcap", str(tmp_path / "c"))
    assert (code, call["outcome"], call["reason"]) == (0, "missed", "busy"), typed.error


def test_the_exchange_s_own_times_where_nobody_else_has_any(typed: Typed) -> None:  # noqa: F811
    _, seen = typed("decode", "ami", given=(AMI / "dial_busy.txt").read_text("utf-8"))
    assert [(one["occurred_at"], one["time_source"]) for one in seen] == [
        ("2026-06-12T04:00:00Z", "device"), ("2026-06-12T04:00:00.110000Z", "device"),
    ]  # fmt: skip


def test_contexts_of_an_ami_line(typed: Typed, tmp_path: Path) -> None:  # noqa: F811
    config = tmp_path / "line.toml"
    config.write_text(
        '[calls]\nhotlines = ["12345"]\n[[line]]\nname = "pbx"\ncodec = "ami"\nconnect = "tcp:192.0.2.5:5038"\n[line.options]\nusername = "g"\n'
    )
    code, calls = typed("calls", "ami", "--config", str(config), "--ami", given=(AMI / "dial_busy.txt").read_text("utf-8"))
    assert (code, calls) == (1, [])  # 12349 is no hotline here
    code, calls = typed("calls", "ami", "--ami", given=(AMI / "dial_busy.txt").read_text("utf-8"))
    assert len(calls) == 1


# --- ESL: framing and field names of the fact sheet, sections 1 to 4


def esl(*events: dict[str, str]) -> list[bytes]:
    found = []
    for number, event in enumerate(events):
        stamp = str(int((1773480413 + 0.5 * number) * 1e6))
        body = json.dumps({"Core-UUID": "core-1", "Event-Date-Timestamp": stamp} | event).encode()
        found.append(f"Content-Length: {len(body)}\nContent-Type: text/event-json\n\n".encode() + body)
    return found


OFFER = {
    "Event-Name": "CHANNEL_CREATE", "Unique-ID": "c-1", "Call-Direction": "inbound",
    "Caller-Destination-Number": "12349", "Caller-Caller-ID-Number": "017400000001",
}  # fmt: skip
CALL = [
    OFFER,
    {
        "Event-Name": "CHANNEL_CREATE",
        "Unique-ID": "a-1",
        "Call-Direction": "outbound",
        "Caller-Destination-Number": "8001",
        "Channel-Call-UUID": "c-1",
    },
    {"Event-Name": "CHANNEL_PROGRESS", "Unique-ID": "a-1", "Call-Direction": "outbound"},
    {
        "Event-Name": "CHANNEL_HANGUP_COMPLETE",
        "Unique-ID": "c-1",
        "Hangup-Cause": "ORIGINATOR_CANCEL",
        "variable_sip_hangup_disposition": "recv_cancel",
    },
]
LOGIN = b"Content-Type: auth/request\n\n", b"auth no-secret\n\n", b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n"


def test_recorded_event_socket(typed: Typed) -> None:  # noqa: F811
    code, [call] = typed("calls", "esl", "--text", given=b"".join(esl(*CALL)))
    assert code == 0, typed.error
    assert (call["caller_e164"], call["outcome"], call["by"]) == ("+8617400000001", "abandoned", "caller")
    assert call["events"] == [["offered", 0.0], ["ringing", 1.0], ["abandoned", 1.5]]
    sides = ["freeswitch", "gateway", "freeswitch"] + ["freeswitch"] * len(CALL)
    rows = [{"t": 10.0 + at, "dir": side, "data": data.decode()} for at, (side, data) in enumerate(zip(sides, [*LOGIN, *esl(*CALL)], strict=True))]
    code, [call] = typed("calls", "esl", "--ami", given="\n".join(map(json.dumps, rows)))
    assert (code, call["events"]) == (0, [["offered", 0.0], ["ringing", 2.0], ["abandoned", 3.0]])
    code, seen = typed("decode", "esl", given=b"".join(esl(*CALL)))
    assert (code, [one["kind"] for one in seen]) == (0, ["call_offered", "call_ringing", "call_abandoned"])


def test_an_event_socket_out_of_a_capture_with_a_hole(typed: Typed, tmp_path: Path) -> None:  # noqa: F811
    """The second event is lost, and half of it with the third: the rest is read all the same."""
    events = esl(*CALL)
    frames, at = [], 1000
    for number, data in enumerate([events[0], events[1], events[2] + events[3]]):
        piece = data if number != 1 else b""
        if piece:
            ip = IP(src="192.0.2.6", dst="192.0.2.99")
            frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / ip / TCP(sport=8021, dport=40000, seq=at, flags="PA") / Raw(piece)
            frame.time = 1773480413 + 0.5 * number
            frames.append(frame)
        at += len(data)
    wrpcap(str(tmp_path / "c"), frames)
    code, [call] = typed("calls", "esl", "--pcap", str(tmp_path / "c"))
    assert (code, call["outcome"]) == (0, "abandoned"), typed.error


# --- wrong use


@pytest.mark.parametrize(
    ("argv", "given", "says"),
    [
        (("calls", "ami", "--ami"), '{"t": 1, "dir": "in"}', "line 1 is no JSON object"),
        (("calls", "ami", "--ami"), '{"t": 1, "dir": "in", "data": ""}\n{"t": "noon", "data": "x"}', "line 2 is no JSON object"),
        (("calls", "esl"), "{", "line 1 is no JSON object"),
        (("decode", "espa444", "--ami"), "04", "--ami belongs to ami and esl, not to espa444"),
        (("calls", "sip", "--ami"), "x", "--ami belongs to ami and esl, not to sip"),
        (("calls", "scaip"), "x", "invalid choice"),
        (("decode", "sip", "--topic", "a"), "x", "belong to mqtt"),
        (("decode", "sip", "--pcap"), "x", "no pcap or pcapng"),
    ],
)
def test_wrong_use(typed: Typed, argv: tuple[str, ...], given: str, says: str) -> None:  # noqa: F811
    assert typed(*argv, given=given) == (2, [])
    assert says in typed.error


@pytest.mark.parametrize("codec", ["sip", "scaip", "ami", "esl", "hep"])
@pytest.mark.parametrize("form", ["--text", "--hexl", "--ami"])
def test_garbage_never_raises(typed: Typed, codec: str, form: str) -> None:  # noqa: F811
    for given in (b"\xff\xfe\x00 garbage\r\n\r\n", b"", b"\n\n\n", bytes(range(256)) * 4, b"Content-Length: 5\n\n", b"Event: \r\n\r\n"):
        code, _ = typed("decode", codec, form, given=given.hex() + "\n" if form == "--hexl" else given)
        assert code in (0, 1, 2)
        assert "internal error" not in typed.error
