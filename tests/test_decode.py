"""`gateway decode` and `gateway calls` as a field engineer uses them: what is pasted in, what is printed, and the exit code."""

import io
import json
import sys
import tomllib
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import CookedLinux, Dot1Q, Ether, Loopback
from scapy.packet import Packet
from scapy.utils import wrpcap, wrpcapng

from gateway.capture_file import CaptureError, read_capture
from gateway.cli import main

NOW = ["--now", "2026-03-14T09:26:53Z"]
AT = "2026-03-14T09:26:53Z"
VECTORS = Path(__file__).parent / "vectors" / "panel"


class Typed:
    """Runs the command with something on standard input."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self.error = ""

    def __call__(self, *argv: str, given: bytes | str = b"") -> tuple[int, list[dict[str, object]]]:
        data = given.encode() if isinstance(given, str) else given
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        try:
            code = main(list(argv))
        except SystemExit as end:  # argparse
            code = int(str(end.code))
        out, self.error = self._capsys.readouterr()
        assert "Traceback" not in self.error
        return code, [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(monkeypatch, capsys)


@pytest.mark.parametrize("row", tomllib.loads((VECTORS / "espa444.toml").read_text())["block"], ids=lambda row: row["id"])
def test_every_espa_block(typed: Typed, row: dict[str, object]) -> None:
    code, [seen] = typed("decode", "espa444", "--hex", *NOW, given=str(row["hex"]))
    assert code == 0
    expected = {
        "kind": row["kind"],
        "phase": row.get("phase", "raise"),
        "dedup": "1",
        "occurred_at": AT,
        "time_source": "received",
        "detail": row["detail"],
        "reply_hex": "06",
    }
    assert seen == expected | {key: seen[key] for key in ("kind_raw", "device") if key in seen}
    assert seen.get("device") == row.get("device")


def test_dialogue_with_its_answers(typed: Typed) -> None:
    wire = "04 32 05  04 31 05 32 05  01 31 02 31 1f 41 03 5e  01 31 02 31 1f 41 03 5f  04"
    code, [bad, good] = typed("decode", "espa444", given=wire)
    assert code == 1
    assert bad == {"rejected": "bad_bcc", "raw_hex": "013102311f41035e", "reply_hex": "3115"}
    assert (good["device"], good["reply_hex"]) == ("A", "06")


def test_one_connection_line_by_line(typed: Typed) -> None:
    lines = "# poll, selection, call\n0.1 > 04310532 05\n".replace("32 05", "3205") + "0.2 > 013102311f41035f\n"
    code, [seen] = typed("decode", "espa444", "--hexl", given=lines)
    assert code == 0
    assert seen["replies_hex"] == ["06", "06"]


@pytest.mark.parametrize("given", ["32 05", "01 31 02 31 1f"])
def test_nothing_complete(typed: Typed, given: str) -> None:
    code, seen = typed("decode", "espa444", given=given)
    assert code == 1
    assert [one.get("rejected") for one in seen] == (["no_etx"] if given.startswith("01") else [])


@pytest.mark.parametrize("given", ["", " \r\n"])
@pytest.mark.parametrize("command", [["decode", "espa444"], ["decode", "mqtt", "--topic", "wearables/w-1/event"], ["calls", "sip"]])
def test_no_input_is_told(typed: Typed, command: list[str], given: str) -> None:
    assert typed(*command, given=given) == (1, [])
    assert typed.error == f"gateway {command[0]}: no input\n"


@pytest.mark.parametrize("command", [["decode", "espa444"], ["calls", "sip", "--pcap"]])
def test_a_file_that_cannot_be_read_is_named(typed: Typed, command: list[str], tmp_path: Path) -> None:
    assert typed(*command, str(tmp_path / "nothing")) == (2, [])
    assert typed.error == f"gateway {command[0]}: {tmp_path}/nothing: no such file\n"
    assert typed(*command, str(tmp_path)) == (2, [])
    assert typed.error == f"gateway {command[0]}: {tmp_path}: is a directory\n"


def test_button_line_without_its_end(typed: Typed) -> None:
    code, [seen] = typed("decode", "ascii_button", *NOW, given="20;0B;NewKaku;ID=000005;SWITCH=2;CMD=ON;")
    assert code == 0
    assert (seen["kind"], seen["device"], seen["reply_hex"]) == ("button", "000005:2", None)


def test_config_names_options(typed: Typed, tmp_path: Path) -> None:
    config = tmp_path / "line.toml"
    config.write_text(
        '[[line]]\nname = "b"\ncodec = "ascii_button"\nlisten = "serial:/dev/x"\n[line.options.learned]\n"000005:2" = "help"\n', encoding="utf-8"
    )
    _, [seen] = typed("decode", "ascii_button", "--config", str(config), given="20;0B;NewKaku;ID=000005;SWITCH=2;CMD=ON;\n")
    assert seen["kind"] == "help"
    assert typed("decode", "espa444", "--config", str(config), given="04")[0] == 2
    assert "has no [[line]]" in typed.error
    config.write_text('[[line]]\nname = "b"\ncodec = "ascii_button"\n[line.options]\nlearnt = {}\n', encoding="utf-8")
    assert typed("decode", "ascii_button", "--config", str(config), given="1")[0] == 2
    assert "learnt" in typed.error


def test_wearable(typed: Typed) -> None:
    payload = '{"kind":"fall","ts":1773480410000,"seq":7,"lat":30.31,"lon":120.12,"battery":55}'
    code, [seen] = typed("decode", "mqtt", "--topic", "wearables/w-000001/event", *NOW, given=payload)
    assert code == 0
    assert {key: seen[key] for key in ("kind", "device", "sequence", "occurred_at", "time_source", "wgs84", "battery_pct", "reply_hex")} == {
        "kind": "fall",
        "device": "w-000001",
        "sequence": 7,
        "occurred_at": "2026-03-14T09:26:50Z",
        "time_source": "device",
        "wgs84": [30.31, 120.12],
        "battery_pct": 55,
        "reply_hex": None,
    }
    code, [seen] = typed("decode", "mqtt", "--topic", "wearables/w-000001/event", "--retain", given='{"kind":"sos","ts":1000}')
    assert seen["late"] == "replayed"


def test_answer_of_a_station_and_unknown_topic(typed: Typed) -> None:
    code, [seen] = typed("decode", "mqtt", "--topic", "stations/s-1/reply", given='{"delivery":"d1","answer":"accept","by":"x"}')
    assert (code, seen["kind"], seen["device"]) == (0, "accept", "s-1")
    code, [seen] = typed("decode", "mqtt", "--topic", "elsewhere", given="{}")
    assert (code, seen["rejected"]) == (1, "bad_topic")


@pytest.mark.parametrize(
    ("argv", "given", "says"),
    [
        (("decode", "nope"), "", "not known"),
        (("decode", "espa444"), "xyz", "no hex"),
        (("decode", "espa444", "/nowhere/at/all"), "", "/nowhere/at/all: no such file"),
        (("decode", "espa444", "--pcap"), "no capture", "no pcap"),
        (("decode", "espa444", "--topic", "a"), "04", "belong to mqtt"),
        (("decode", "mqtt"), "{}", "--topic"),
        (("decode", "espa444", "--now", "soon"), "04", "--now"),
        (("decode", "espa444", "--hex", "--text"), "04", "not allowed"),
        (("decode", "espa444", "--config", "/nowhere"), "04", "/nowhere: no such file"),
        (("calls", "espa444"), "", "invalid choice"),
        (("calls", "sip", "--pcap"), "no capture", "no pcap"),
    ],
)
def test_wrong_use(typed: Typed, argv: tuple[str, ...], given: str, says: str) -> None:
    code, seen = typed(*argv, given=given)
    assert (code, seen) == (2, [])
    assert says in typed.error


def sip(method: str, **headers: str) -> bytes:
    """A message of one call, as its ends write it."""
    start = method if method.startswith("SIP/2.0") else f"{method} sip:12349@192.0.2.10 SIP/2.0"
    cseq = headers.pop("cseq", f"1 {method.split()[0]}")
    lines = [
        start,
        "Via: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bK-1",
        "From: <sip:13893100001@192.0.2.20>;tag=a",
        f"To: <sip:12349@192.0.2.10>{headers.pop('to_tag', '')}",
        "Call-ID: c1@192.0.2.20",
        f"CSeq: {cseq}",
        "Max-Forwards: 70",
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


PBX, PHONE = ("192.0.2.10", 5060), ("192.0.2.20", 5060)
CALL = [
    (0.0, PHONE, PBX, sip("INVITE")),
    (0.41, PBX, PHONE, sip("SIP/2.0 180 Ringing", cseq="1 INVITE", to_tag=";tag=b")),
    (5.0, PBX, PHONE, sip("SIP/2.0 200 OK", cseq="1 INVITE", to_tag=";tag=b")),
    (5.1, PHONE, PBX, sip("ACK", to_tag=";tag=b")),
    (65.0, PHONE, PBX, sip("BYE", cseq="2 BYE", to_tag=";tag=b")),
]
EVENTS = [["offered", 0.0], ["ringing", 0.41], ["answered", 5.0], ["ended", 65.0]]


def over(link: Packet | None, source: tuple[str, int], destination: tuple[str, int], payload: bytes, at: float) -> Packet:
    packet = IP(src=source[0], dst=destination[0]) / UDP(sport=source[1], dport=destination[1]) / payload
    packet = packet if link is None else link / packet
    packet.time = 1773480413 + at
    return packet


@pytest.mark.parametrize("write", [wrpcap, wrpcapng], ids=["pcap", "pcapng"])
@pytest.mark.parametrize(
    "link",
    [
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02"),
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / Dot1Q(vlan=7),
        CookedLinux(proto=0x0800),
        Loopback(),
        None,
    ],
    ids=["ethernet", "vlan", "cooked", "loopback", "raw"],
)
def test_calls_out_of_a_capture(typed: Typed, tmp_path: Path, write: object, link: Packet | None) -> None:
    noise = over(link, ("192.0.2.30", 9), ("192.0.2.31", 9), b"\x80\x00media", 1.0)
    capture = tmp_path / "capture"
    write(str(capture), [noise, *(over(link, source, destination, payload, at) for at, source, destination, payload in CALL)])  # type: ignore[operator]
    code, [call] = typed("calls", "sip", "--pcap", str(capture))
    assert code == 0, typed.error
    assert (call["caller_e164"], call["called"], call["outcome"], call["inferred"]) == ("+8613893100001", "12349", "answered", False)
    assert call["events"] == EVENTS
    assert list(call) == ["call", "caller", "caller_e164", "called", "agent", "outcome", "reason", "by", "inferred", "events"]


def test_calls_out_of_text(typed: Typed) -> None:
    text = b"".join(payload for *_, payload in CALL).replace(b"\r\n", b"\n")
    code, [call] = typed("calls", "sip", "--text", given=text)
    assert (code, call["outcome"]) == (0, "answered")
    assert [name for name, _ in call["events"]] == [name for name, _ in EVENTS]  # type: ignore[attr-defined]


def test_calls_out_of_hep(typed: Typed) -> None:
    lines = [f"{at:.2f} {hep3(payload, source, destination, 1773480413 + at).hex()}" for at, source, destination, payload in CALL]
    code, [call] = typed("calls", "hep", "--hexl", given="\n".join(lines))
    assert code == 0, typed.error
    assert call["events"] == EVENTS
    code, seen = typed("decode", "hep", "--hexl", *NOW, given="\n".join(lines))
    assert code == 0
    assert [one["kind"] for one in seen] == ["call_offered", "call_ringing", "call_answered", "call_ended"]


def test_a_caller_who_gives_up_and_a_capture_that_ends_too_early(typed: Typed) -> None:
    text = CALL[0][3] + CALL[1][3] + sip("CANCEL", cseq="1 CANCEL") + sip("SIP/2.0 487 Request Terminated", cseq="1 INVITE", to_tag=";tag=b")
    _, [call] = typed("calls", "sip", "--text", given=text)
    assert call["outcome"] == "abandoned"
    _, [call] = typed("calls", "sip", "--text", given=CALL[0][3])
    assert (call["outcome"], call["inferred"]) == ("missed", True)


def test_espa_over_tcp_out_of_a_capture(typed: Typed, tmp_path: Path) -> None:
    """A terminal server's connection, one segment sent twice, and our own answers beside it."""
    panel = {"sport": 40000, "dport": 4001, "flags": "PA"}
    ours = {"sport": 4001, "dport": 40000, "flags": "PA"}
    packets = [
        IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(seq=100, **panel) / b"\x041\x052\x05",
        IPv6(src="2001:db8::2", dst="2001:db8::1") / TCP(seq=900, **ours) / b"\x06",
        IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(seq=105, **panel) / b"\x011\x021\x1fA\x03",
        IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(seq=105, **panel) / b"\x011\x021\x1fA\x03\x5f",
    ]
    capture = tmp_path / "panel.pcap"
    wrpcap(str(capture), packets)
    code, [seen] = typed("decode", "espa444", "--pcap", str(capture))
    assert (code, seen["device"], seen["reply_hex"]) == (0, "A", "06")


def test_damaged_captures_never_raise_anything_else(tmp_path: Path) -> None:
    for name, write in (("a", wrpcap), ("b", wrpcapng)):
        write(str(tmp_path / name), [over(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02"), *CALL[0][1:3], CALL[0][3], 0.0)])
        data = (tmp_path / name).read_bytes()
        damaged = [data[:length] for length in range(len(data))]
        damaged += [data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :] for at in range(len(data))]
        for bad in damaged:
            try:
                list(read_capture(bad))
            except CaptureError:
                pass


def hep3(payload: bytes, source: tuple[str, int], destination: tuple[str, int], at: float) -> bytes:
    """A HEP packet written by hand after the packet layout."""

    def chunk(number: int, body: bytes) -> bytes:
        return b"\0\0" + number.to_bytes(2) + (6 + len(body)).to_bytes(2) + body

    def address(host: str) -> bytes:
        return bytes(map(int, host.split(".")))

    seconds = int(at)
    body = chunk(1, b"\x02") + chunk(2, b"\x11") + chunk(3, address(source[0])) + chunk(4, address(destination[0]))
    body += chunk(7, source[1].to_bytes(2)) + chunk(8, destination[1].to_bytes(2))
    body += chunk(9, seconds.to_bytes(4)) + chunk(10, round((at - seconds) * 1e6).to_bytes(4)) + chunk(11, b"\x01") + chunk(15, payload)
    return b"HEP3" + (6 + len(body)).to_bytes(2) + body


@pytest.mark.parametrize(
    ("codec", "pasted", "hint"),
    [
        ("watch3g", b"[3G*8800000015*0002*LK]".hex(), "--hex"),
        ("contact_id", "123418110100005E", ""),  # a block of Contact ID with a wrong sum is made of hex digits, too
        ("gt06", "7878252", "7 hex digits"),
    ],
)
def test_a_paste_in_the_wrong_form_is_told_so(codec: str, pasted: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "paste"
    file.write_text(pasted + "\n")
    assert main(["decode", codec, str(file)]) != 0
    said = capsys.readouterr().err
    assert hint in said
    assert bool(said) is bool(hint)
