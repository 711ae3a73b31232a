"""CAP in MESSAGE: alerts out of RFC 8876 and CAP 1.2, alone and beside a PIDF-LO, and bytes that are no alert."""

import random
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from codec_checks import mutate
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.bodies.cap import MEDIA_TYPE, REASONS, CapBody, CapOptions
from drivers.bodies.handler import Received
from drivers.bodies.table import build_handlers
from drivers.contract import Rejected, Signal
from drivers.sip.message import parse_message
from gateway.event import Kind

VECTORS = Path(__file__).parent.parent / "vectors" / "sip"
ROWS: list[dict[str, Any]] = tomllib.loads((VECTORS / "cap.toml").read_text("utf-8"))["alert"]
PLACES: list[dict[str, Any]] = tomllib.loads((VECTORS / "pidf.toml").read_text("utf-8"))["body"]
AT = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)


def received(body: bytes, content_type: str = "application/EmergencyCallData.cap+xml", user: str = "sensor1", at: float = 0.0) -> Received:
    raw = (
        "MESSAGE sip:aggregator@example.com SIP/2.0\r\nVia: SIP/2.0/TCP sensor1.example.com;branch=z9hG4bK776sgdkse\r\nMax-Forwards: 70\r\n"
        f"From: <sip:{user}@example.com>;tag=49583\r\nTo: <sip:aggregator@example.com>\r\nCall-ID: asd88asd77a@1.2.3.4\r\nCSeq: 1 MESSAGE\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    return Received(
        from_user=user, from_uri=f"sip:{user}@example.com", to_user="aggregator", contact="", call_id="asd88asd77a@1.2.3.4", cseq=1,
        source=("192.0.2.10", 5060), transport="tcp", user="", integrity="unverified", content_type=content_type.partition(";")[0].lower(),
        body=body, raw=raw, now=1.0, received_at=AT + timedelta(seconds=at), message=parse_message(raw),
    )  # fmt: skip


def read(body: bytes, content_type: str = "application/EmergencyCallData.cap+xml", **options: object) -> list[Signal | Rejected]:
    return list(CapBody(msgspec.convert(options, CapOptions)).read(received(body, content_type)).signals)


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_vector(row: dict[str, Any]) -> None:
    reading = CapBody(CapOptions()).read(received(row["xml"].strip().encode()))
    (signal,) = reading.signals
    assert isinstance(signal, Signal)
    if "reason" in row:  # RFC 8876: 425, and somebody is told
        assert (reading.status, reading.reason) == (425, "Bad Alert Message")
        assert (signal.kind, signal.device, signal.detail["reason"]) == (Kind.FAULT, "sensor1", row["reason"])
        return
    assert reading.status == 200
    assert (signal.kind, signal.phase, signal.device) == (row["kind"], row.get("phase", "raise"), row["device"])
    assert (signal.lat, signal.lon) == (row.get("lat"), row.get("lon"))
    if "accuracy_m" in row:
        assert signal.accuracy_m == row["accuracy_m"]
    assert (signal.time.isoformat() if signal.time else None) == row.get("time")
    wanted = row.get("detail", {})
    assert {name: signal.detail.get(name) for name in wanted} == wanted


def test_multipart_with_a_place() -> None:
    """RFC 8876, section 9: the alert and the sensor's own location, in one MESSAGE."""
    place = PLACES[0]["xml"].lstrip()
    body = (
        "--boundary1\r\nContent-Type: application/EmergencyCallData.cap+xml\r\nContent-ID: <abcdef2@example.com>\r\n\r\n"
        f"{ROWS[0]['xml'].strip()}\r\n"
        "--boundary1\r\nContent-Type: application/pidf+xml\r\nContent-ID: <abcdef@example.com>\r\n\r\n"
        f"{place}\r\n--boundary1--\r\n"
    ).encode()
    assert CapBody(CapOptions()).accepts("multipart/mixed", body)
    (signal,) = read(body, "multipart/mixed; boundary=boundary1")
    assert isinstance(signal, Signal)
    assert (signal.kind, signal.lat, signal.lon, signal.position_source) == (Kind.INTRUSION, -43.5723, 153.2176, "network")


def test_each_hazard_is_a_signal_and_each_language_is_not() -> None:
    body = (
        b"<alert><identifier>1</identifier><sender>1</sender><info><event>Smoke</event></info><info><event>\xe7\x83\x9f</event></info>"
        b"<info><event>Gas</event></info></alert>"
    )
    found = [signal for signal in read(body) if isinstance(signal, Signal)]
    assert [signal.kind for signal in found] == ["smoke", "gas"]
    assert len({signal.dedup for signal in found}) == 2


def test_the_same_alert_is_the_same_and_nothing_else_is() -> None:
    def dedup(sender: str, identifier: str, sent: str, text: str = "", at: float = 0.0) -> str | None:
        body = f"<alert><identifier>{identifier}</identifier><sender>{sender}</sender><sent>{sent}</sent><note>{text}</note></alert>".encode()
        (signal,) = CapBody(CapOptions()).read(received(body, MEDIA_TYPE, at=at)).signals
        return signal.dedup if isinstance(signal, Signal) else None

    now = "2026-03-14T09:26:53+00:00"
    assert dedup("a", "1", now) == dedup("a", "1", now, at=600.0)
    assert len({dedup("a", "1", now), dedup("b", "1", now), dedup("a", "2", now), dedup("a", "1", now[:-1] + "1"), dedup("a", "1", now, "x")}) == 5
    for sent in ("", "2000-01-01T00:00:00+00:00"):  # a device whose clock stands counts from 1 again after each start
        assert dedup("a", "1", sent) == dedup("a", "1", sent, at=1.0)
        assert dedup("a", "1", sent) != dedup("a", "1", sent, at=600.0)


def test_a_senders_own_words() -> None:
    body = b"<alert><identifier>1</identifier><info><event>E17</event></info></alert>"
    (signal,) = read(body, kinds={"e17": "sos"})
    assert isinstance(signal, Signal)
    assert signal.kind is Kind.SOS
    with pytest.raises(ValueError, match="cap"):
        build_handlers(["cap"], {"cap": {"kinds": {"e17": "earthquake"}}})


def test_whose_body_it_is() -> None:
    cap = CapBody(CapOptions())
    assert cap.accepts(MEDIA_TYPE, b"")
    assert not cap.accepts("multipart/mixed", b"--x\r\nContent-Type: application/sdp\r\n\r\n")
    assert not cap.accepts("text/plain", b"<alert/>")


def test_without_a_sender_a_broken_alert_is_only_rejected() -> None:
    (found,) = CapBody(CapOptions()).read(received(b"<alert", user="")).signals
    assert isinstance(found, Rejected)
    assert found.reason == "bad_xml"


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32), noise=st.binary(max_size=80))
def test_no_bytes_raise(seed: int, noise: bytes) -> None:
    rng = random.Random(seed)
    for body in (mutate([row["xml"].strip().encode() for row in ROWS], rng), noise):
        for content_type in ("application/EmergencyCallData.cap+xml", "multipart/mixed;boundary=x"):
            for item in read(body, content_type):
                if isinstance(item, Signal):
                    msgspec.json.encode(item.detail)
                    assert item.detail.get("reason", "bad_xml") in REASONS
