"""Ness panels: recorded lines, both checksums, states that are asked for, and lost lines."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from codec_checks import check_flips, check_fragments, check_prefixes_wait, fuzz, read, talk

from drivers.contract import Rejected, Signal, Surroundings
from drivers.panel.lines import ASK_AGAIN_S, BAD_LINES_S
from drivers.panel.ness import NessOptions, NessPanel
from drivers.panel.zones import KnownStates
from gateway.event import Kind, Phase

VECTORS = tomllib.loads((Path(__file__).parent.parent / "vectors" / "panel" / "ness.toml").read_text("utf-8"))
OPTIONS = NessOptions(zones={"7": "sos"}, areas={"05": "medical"})
LINES = [row["text"].encode() + b"\r\n" for row in VECTORS["line"] + VECTORS["status"] + VECTORS["silent"]]
ASK = b"8300360S13E5\r\n8300360S05E4\r\n"
BAD = b"87000361020101260201120000d7\r\n"
ZONE_7_ALARM = b"87000361020705260201120000"
PANIC = b"8200036013020006"


def panel(options: NessOptions = OPTIONS, memory: KnownStates | None = None) -> NessPanel:
    return NessPanel(options, Surroundings(line="panel", memory=memory or KnownStates()))


def line(body: bytes) -> bytes:
    """With its checksum: all octets together are 0."""
    return body + f"{-sum(bytes.fromhex(body.decode())) % 256:02x}\r\n".encode()


def raised(signals: list[Signal]) -> list[str]:
    return [f"{one.edge} {one.kind}" for one in signals if one.phase is Phase.RAISE]


@pytest.mark.parametrize("row", VECTORS["line"], ids=lambda row: row["id"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\0\r\n"])
def test_vector(row: dict[str, object], end: str) -> None:
    [signal] = read(panel(), f"{row['text']}{end}".encode())
    assert (signal.kind, signal.phase, signal.device) == (row["kind"], row.get("phase", "raise"), row.get("device", "0"))
    assert signal.detail == row["detail"]
    assert signal.time == (datetime.fromisoformat(str(row["time"])) if "time" in row else None)
    assert signal.time is None or signal.time.tzinfo is UTC


@pytest.mark.parametrize("row", VECTORS["silent"], ids=lambda row: row["id"])
def test_requests_of_others_are_counted(row: dict[str, str]) -> None:
    codec = panel()
    assert read(codec, row["text"].encode() + b"\r\n") == []
    assert codec.counts == {"passed_over": 1}


@pytest.mark.parametrize("row", VECTORS["status"], ids=lambda row: row["id"])
def test_status_answer(row: dict[str, object]) -> None:
    signals = read(panel(), f"{row['text']}\r\n".encode())
    assert raised(signals) == row["raised"]
    assert {one.phase for one in signals} <= {Phase.RAISE, Phase.CLEAR}
    assert all(one.edge for one in signals), "answers are states"


@pytest.mark.parametrize("row", VECTORS["bad"], ids=lambda row: row["text"])
def test_bad_line_is_rejected_and_the_state_asked_for(row: dict[str, str]) -> None:
    codec = panel()
    [rejected] = codec.receive_data(row["text"].encode() + b"\r\n", 0.0)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.raw) == (row["reason"], row["text"].encode())
    assert codec.data_to_send() == ASK


@pytest.mark.parametrize("wire", LINES, ids=range(len(LINES)))
def test_generic_checks(wire: bytes) -> None:
    check_fragments(panel, wire)
    check_fragments(panel, wire + LINES[0])
    check_prefixes_wait(panel, b"", wire)
    check_flips(panel, wire)


def test_three_bad_lines_in_a_minute_are_a_notice_until_a_minute_is_good() -> None:
    codec = panel()
    assert [type(one) for one in codec.receive_data(BAD * 2, 0.0)] == [Rejected, Rejected]
    _, notice = codec.receive_data(BAD, 59.0)
    assert isinstance(notice, Signal)
    assert (notice.kind, notice.phase, notice.kind_raw) == (Kind.FAULT, Phase.RAISE, "line_quality")
    assert len(codec.receive_data(BAD, 60.0)) == 1, "told once"
    [end] = codec.handle_deadline(60.0 + BAD_LINES_S)
    assert isinstance(end, Signal)
    assert (end.kind, end.phase) == (Kind.FAULT, Phase.CLEAR)


def test_three_bad_lines_in_more_than_a_minute_are_none() -> None:
    codec = panel()
    for now in (0.0, 40.0, 80.0):
        assert len(codec.receive_data(BAD, now)) == 1


def test_the_state_is_asked_for_on_connection_every_minute_and_not_all_the_time() -> None:
    codec = panel()
    codec.connected(0.0)
    assert codec.data_to_send() == ASK
    assert codec.receive_data(BAD, 1.0)
    assert codec.data_to_send() == b"", "just asked"
    assert codec.deadline() == ASK_AGAIN_S
    codec.handle_deadline(ASK_AGAIN_S)
    assert codec.data_to_send() == ASK
    assert codec.deadline() == ASK_AGAIN_S + 60
    codec.handle_deadline(ASK_AGAIN_S + 60)
    assert codec.data_to_send() == ASK


def test_who_may_not_speak_asks_nothing() -> None:
    codec = panel(NessOptions(ask_s=0))
    codec.connected(0.0)
    codec.receive_data(BAD, 1.0)
    assert codec.data_to_send() == b""
    assert codec.deadline() is None


def test_a_large_panel_is_asked_for_its_other_zones() -> None:
    codec = panel(NessOptions(large=True, zones={"17": "sos"}))
    codec.connected(0.0)
    assert codec.data_to_send() == ASK + b"8300360S25E2\r\n"
    assert raised(read(codec, line(b"82000360250100"))) == ["zone 017 sos"]


def test_an_alarm_told_as_event_is_no_second_cry_when_the_answer_has_it_too() -> None:
    codec = panel()
    [alarm] = read(codec, line(ZONE_7_ALARM))
    assert (alarm.kind, alarm.edge) == (Kind.SOS, None), "each press is a cry"
    assert raised(read(codec, line(b"82000360054000"))) == []
    [again] = read(codec, line(ZONE_7_ALARM))
    assert again.dedup != alarm.dedup


def test_an_alarm_whose_line_was_lost_is_seen_in_the_answer_each_time() -> None:
    memory = KnownStates()
    codec = panel(memory=memory)
    for _ in range(2):  # raised, restored, raised again: every line lost but the answers
        assert raised(read(codec, line(b"82000360054000"))) == ["zone 007 sos"]
        [clear] = [one for one in read(codec, line(b"82000360050000")) if one.edge == "zone 007"]
        assert (clear.kind, clear.phase) == (Kind.SOS, Phase.CLEAR)
    assert raised(read(panel(memory=memory), line(b"82000360054000"))) == ["zone 007 sos"], "also on the next connection"


def test_a_clear_answer_after_an_event_lets_the_next_lost_line_be_seen() -> None:
    codec = panel()
    read(codec, line(ZONE_7_ALARM))
    read(codec, line(b"82000360050000"))  # its restore was lost
    assert raised(read(codec, line(b"82000360054000"))) == ["zone 007 sos"]


def test_a_clear_state_is_told_once_and_the_answer_stays_a_sign_of_life() -> None:
    codec = panel()
    assert len(read(codec, line(b"82000360130000"))) == 12
    [life] = read(codec, line(b"82000360130000"))
    assert life.kind is Kind.HEARTBEAT
    [panic] = read(codec, line(b"82000360130200"))
    assert (panic.edge, panic.phase) == ("panic", Phase.RAISE)
    [again] = read(codec, line(b"82000360130200"))
    assert (again.edge, again.phase) == ("panic", Phase.RAISE), "what is raised is told each time: the core knows whether it is news"


@pytest.mark.parametrize(
    "options",
    [{"zones": {"0": "sos"}}, {"zones": {"7": "panic"}}, {"areas": {"5": "sos"}}, {"time_zone": "Nowhere/At_all"}, {"zones": {"33": "sos"}}],
)
def test_options_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(options))):
        msgspec.convert(options, NessOptions)


def test_an_endless_line_is_rejected_once_and_the_next_is_read() -> None:
    found, _ = talk(panel(), [b"8" * 2000, b"7" * 2000 + b"\r\n" + LINES[0]])
    assert [seen[1] if seen[0] == "rejected" else seen[0] for seen in found] == ["too_long", Kind.CONTACT_OPEN]


def test_ten_thousand_mutated_messages() -> None:
    seen = fuzz(panel, LINES, 10_000, seed=83)
    assert seen["sos"] > 100
    assert seen["bad_checksum"] > 100


@pytest.mark.campaign
def test_a_million_mutated_messages() -> None:
    fuzz(panel, LINES, 1_000_000, seed=87)
