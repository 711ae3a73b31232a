"""Elk-M1 panels: alarm classes as states, codes that nobody keeps, lost lines."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from codec_checks import check_flips, check_fragments, check_prefixes_wait, fuzz, read

from drivers.contract import Rejected, Signal, Surroundings
from drivers.panel.elk import ElkOptions, ElkPanel
from drivers.panel.elk_message import AREA_ALARMS, ZONE_ALARMS
from drivers.panel.zones import KnownStates
from gateway.event import Kind, Phase

VECTORS = tomllib.loads((Path(__file__).parent.parent / "vectors" / "panel" / "elk.toml").read_text("utf-8"))
LINES = [row["text"].encode() + b"\r\n" for row in VECTORS["line"] + VECTORS["states"] + VECTORS["silent"]]
ASK = b"06az005F\r\n06as0066\r\n06zs004D\r\n"  # as elkm1-lib writes them


def panel(options: ElkOptions | None = None, memory: KnownStates | None = None) -> ElkPanel:
    return ElkPanel(options, Surroundings(line="panel", memory=memory or KnownStates()))


def line(name: str, data: str) -> bytes:
    """With its length and checksum: the characters together are 0."""
    body = f"{len(data) + 6:02X}{name}{data}00"
    return f"{body}{-sum(body.encode()) % 256:02X}\r\n".encode()


def alarms(**classes: str) -> bytes:
    """The answer to `az`: z5="B" is an emergency in zone 5."""
    letters = ["0"] * 208
    for zone, letter in classes.items():
        letters[int(zone[1:]) - 1] = letter
    return line("AZ", "".join(letters))


def raised(signals: list[Signal]) -> list[str]:
    return [f"{one.edge} {one.kind}" for one in signals if one.phase is Phase.RAISE]


@pytest.mark.parametrize("row", VECTORS["line"], ids=lambda row: row["id"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\0\r\n"])
def test_vector(row: dict[str, object], end: str) -> None:
    [signal] = read(panel(), f"{row['text']}{end}".encode())
    assert (signal.kind, signal.phase, signal.device) == (row["kind"], row.get("phase", "raise"), "elk")
    assert signal.detail == row["detail"]
    assert signal.time == (datetime.fromisoformat(str(row["time"])) if "time" in row else None)
    assert signal.time is None or signal.time.tzinfo is UTC
    assert signal.raw.decode() == row.get("kept", row["text"])


@pytest.mark.parametrize("row", VECTORS["states"], ids=lambda row: row["id"])
def test_states(row: dict[str, object]) -> None:
    signals = read(panel(), f"{row['text']}\r\n".encode())
    assert raised(signals) == row["raised"]
    assert all(one.edge for one in signals)


@pytest.mark.parametrize("row", VECTORS["bad"], ids=lambda row: row["text"])
def test_bad_line_is_rejected_and_the_state_asked_for(row: dict[str, str]) -> None:
    codec = panel()
    [rejected] = codec.receive_data(row["text"].encode() + b"\r\n", 0.0)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.raw.decode()) == (row["reason"], row.get("kept", row["text"]))
    assert codec.data_to_send() == ASK


def test_unknown_message_is_counted() -> None:
    codec = panel()
    assert read(codec, b"08XXtest28\r\n") == []
    assert codec.counts == {"passed_over": 1}


@pytest.mark.parametrize("wire", LINES, ids=range(len(LINES)))
def test_generic_checks(wire: bytes) -> None:
    check_fragments(panel, wire)
    check_prefixes_wait(panel, b"", wire)
    if len(wire) < 100:
        check_fragments(panel, wire + LINES[0])
        check_flips(panel, wire)


@pytest.mark.parametrize("letter", sorted(set(ZONE_ALARMS) - {"0"}))
def test_each_alarm_class_of_a_zone(letter: str) -> None:
    codec = panel()
    [state] = [one for one in read(codec, alarms(z208=letter)) if one.phase is Phase.RAISE]
    assert (state.kind, state.edge, state.detail["zone"], state.detail["class"]) == (ZONE_ALARMS[letter][0], "zone 208", "208", letter)
    [clear] = read(codec, alarms())
    assert (clear.kind, clear.phase, clear.edge) == (state.kind, Phase.CLEAR, "zone 208"), "its end has its kind"


@pytest.mark.parametrize(
    ("letter", "kind"), [("B", "sos"), ("F", "medical"), ("A", "co"), ("D", "gas"), (":", "fire"), ("I", "water_leak"), ("Z", "general")]
)
def test_classes_of_the_sheet(letter: str, kind: str) -> None:
    assert raised(read(panel(), alarms(z1=letter))) == [f"zone 001 {kind}"]


@pytest.mark.parametrize(
    ("letter", "kind"), [("4", "medical"), ("<", "sos"), ("3", "fire"), (";", "co"), (">", "gas"), ("@", "water_leak"), ("Y", "general")]
)
def test_area_alarm_is_a_state_and_asks_for_its_zone(letter: str, kind: str) -> None:
    codec = panel()
    assert raised(read(codec, line("AS", "0" * 8 + "1" * 8 + letter + "0" * 7))) == [f"area 1 {kind}"]
    assert codec.data_to_send() == ASK


@pytest.mark.parametrize("letter", "012")
def test_delays_are_no_alarm(letter: str) -> None:
    assert letter in AREA_ALARMS
    assert raised(read(panel(), line("AS", "0" * 8 + "1" * 8 + letter + "0" * 7))) == []


def test_what_a_zone_means_is_the_sites_word() -> None:
    assert raised(read(panel(ElkOptions(zones={"5": "fall"})), alarms(z5="=", z6="="))) == ["zone 005 fall", "zone 006 general"]


def test_a_violation_that_is_a_call_cries_each_time_and_its_answer_does_not_cry_again() -> None:
    codec = panel(ElkOptions(violations={"2": "sos"}))
    [first] = read(codec, b"0AZC002900C7\r\n")
    [second] = read(codec, b"0AZC002900C7\r\n")
    assert (first.kind, first.phase, first.edge) == (Kind.SOS, Phase.RAISE, None)
    assert first.dedup != second.dedup
    assert raised(read(codec, line("ZS", "29" + "2" * 206))) == []
    [over] = read(codec, b"0AZC002200CE\r\n")
    assert (over.kind, over.phase) == (Kind.SOS, Phase.CLEAR)


def test_a_violation_whose_line_was_lost_is_seen_in_the_answer() -> None:
    codec = panel(ElkOptions(violations={"2": "sos"}))
    assert raised(read(codec, line("ZS", "29" + "2" * 206))) == ["violation 002 sos"]


def test_trouble_ends() -> None:
    codec = panel()
    [begun] = read(codec, line("ZC", "0036"))
    assert (begun.kind, begun.phase) == (Kind.FAULT, Phase.RAISE)
    _, ended = read(codec, line("ZC", "0032"))
    assert (ended.kind, ended.phase) == (Kind.FAULT, Phase.CLEAR)
    assert len(read(codec, line("ZC", "0032"))) == 1


@pytest.mark.parametrize("end", [b"\r\n", b"", b"0" * 600])
@pytest.mark.parametrize("message", [b"17IC010203040506003010064", b"1AIC010203040506003", b"22IC010203IC040506003010064", b"UA010203040506"])
def test_no_code_is_kept_of_any_line(message: bytes, end: bytes) -> None:
    for found in panel().receive_data(message + end + b"\r\n", 0.0):
        assert b"0102" not in found.raw
        assert b"0506" not in found.raw
        assert "0102" not in str(found.detail)


def test_asked_on_connection_and_every_minute() -> None:
    codec = panel()
    codec.connected(0.0)
    assert codec.data_to_send() == ASK
    assert codec.deadline() == 60.0
    codec.handle_deadline(60.0)
    assert codec.data_to_send() == ASK


@pytest.mark.parametrize("options", [{"zones": {"209": "sos"}}, {"violations": {"1": "alarm"}}, {"time_zone": "x/y"}, {"time_zone": "../x"}])
def test_options_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(options))):
        msgspec.convert(options, ElkOptions)


def test_ten_thousand_mutated_messages() -> None:
    seen = fuzz(panel, LINES, 10_000, seed=1)
    assert seen["contact_open"] > 100
    assert seen["bad_checksum"] > 100


@pytest.mark.campaign
def test_a_million_mutated_messages() -> None:
    fuzz(panel, LINES, 1_000_000, seed=2)
