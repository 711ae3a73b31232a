"""COMP2: pages without any protection, taken and sent."""

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from codec_checks import check_flips, check_fragments, check_prefixes_wait, fuzz, look, talk

from drivers.contract import Rejected, Signal, Surroundings
from drivers.downlink import Tell, Word
from drivers.panel.comp2 import INPUT_S, VERDICT_S, Comp2Options, Comp2Sender, Comp2Terminal
from gateway.event import Kind, Phase

VECTORS = tomllib.loads((Path(__file__).parent.parent / "vectors" / "panel" / "comp2.toml").read_text("utf-8"))
RECORDS = [bytes.fromhex(row["hex"]) for row in VECTORS["record"]]
CALL = RECORDS[0]
AT = datetime(2026, 3, 1, tzinfo=UTC)


def terminal(**options: object) -> Comp2Terminal:
    return Comp2Terminal(msgspec.convert(options, Comp2Options), Surroundings(utc_now=lambda: AT))


def one(found: list[Signal | Rejected]) -> Signal:
    [signal] = found
    assert isinstance(signal, Signal), signal
    return signal


@pytest.mark.parametrize("row", VECTORS["record"], ids=lambda row: row["id"])
def test_vector(row: dict[str, object]) -> None:
    codec = terminal()
    signal = one(codec.receive_data(bytes.fromhex(str(row["hex"])), 0.0))
    assert (signal.kind, signal.phase, signal.device, signal.integrity) == (Kind.GENERAL, Phase.RAISE, row["device"], "unverified")
    assert signal.detail == row["detail"]
    codec.confirm(signal)
    assert codec.data_to_send() == b"", "silent"


@pytest.mark.parametrize("row", VECTORS["bad"], ids=lambda row: row["shown"])
def test_a_strange_id_reaches_an_operator(row: dict[str, str]) -> None:
    codec = terminal()
    rejected, notice = codec.receive_data(bytes.fromhex(row["hex"]), 0.0)
    assert isinstance(rejected, Rejected)
    assert isinstance(notice, Signal)
    assert rejected.reason == "bad_id"
    assert (notice.kind, notice.device, notice.detail) == (Kind.GENERAL, None, {"unverified_text": row["shown"]})
    assert codec.data_to_send() == b""


def test_an_error_is_said_in_verbose_mode() -> None:
    codec = terminal(verbose=True)
    codec.receive_data(b"1E\rHelp\r", 0.0)
    assert codec.data_to_send().endswith(b"\r\x1e")
    codec.confirm(one(codec.receive_data(CALL, 0.0)))
    assert codec.data_to_send() == b""


def test_rubbish_without_a_letter_is_no_notice() -> None:
    assert look(terminal().receive_data(b"\x01\x02\r\x03\r", 0.0)) == [("rejected", "bad_id", b"\x01\x02\r\x03\r")]


@pytest.mark.parametrize("wire", RECORDS, ids=[row["id"] for row in VECTORS["record"]])
def test_generic_checks(wire: bytes) -> None:
    check_fragments(terminal, wire)
    check_fragments(terminal, wire + CALL)
    check_prefixes_wait(terminal, b"", wire.rstrip(b"\n"))
    check_flips(terminal, wire)


def test_a_record_without_its_end_is_a_call_all_the_same() -> None:
    codec = terminal()
    assert codec.receive_data(b"1234\rCall", 1.0) == []
    assert codec.deadline() == 1.0 + INPUT_S
    rejected, call = codec.handle_deadline(1.0 + INPUT_S)
    assert isinstance(rejected, Rejected)
    assert isinstance(call, Signal)
    assert (rejected.reason, call.device, call.detail["is_cut"]) == ("cut_record", "1234", True)
    assert one(codec.receive_data(CALL, 20.0)).device == "1234"


def test_half_an_id_is_none() -> None:
    codec = terminal()
    codec.receive_data(b"12", 1.0)
    assert look(codec.handle_deadline(1.0 + INPUT_S)) == [("rejected", "cut_record", b"12")]


def test_three_del_clear_the_parser() -> None:
    found = terminal().receive_data(b"99\x7f\x7f\x7f" + CALL, 0.0)
    assert [getattr(one, "reason", None) or one.device for one in found] == ["cleared", "1234"]


def test_a_record_too_long_is_told_without_its_rest() -> None:
    seen, _ = talk(terminal(), [b"1234\r" + b"x" * 5000 + b"\r" + CALL])
    assert [one[1] if one[0] == "rejected" else one[2] for one in seen] == ["too_long", "1234", "1234"]


def test_the_same_record_within_two_seconds_is_one_message_later_a_new_cry() -> None:
    at = AT
    codec = Comp2Terminal(Comp2Options(), Surroundings(utc_now=lambda: at))
    first, again = (one(codec.receive_data(CALL, 0.0)).dedup for _ in range(2))
    assert first == again
    at += timedelta(seconds=3)
    assert one(codec.receive_data(CALL, 3.0)).dedup != first


def test_rules_of_the_line() -> None:
    codec = terminal(texts=[{"match": "fire", "kind": "fire"}, {"match": "test", "kind": "test"}], default="sos")
    kinds = [(one.kind, one.phase) for one in codec.receive_data(b"1\rFIRE\r2\rtest\r3\rroom 5\r", 0.0) if isinstance(one, Signal)]
    assert kinds == [(Kind.FIRE, Phase.RAISE), (Kind.TEST, Phase.TEST), (Kind.SOS, Phase.RAISE)]


@pytest.mark.parametrize("options", [{"texts": [{"match": "(", "kind": "sos"}]}, {"words": {"coming": "有人来了"}}])
def test_options_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(options))):
        msgspec.convert(options, Comp2Options)


def test_ten_thousand_mutated_messages() -> None:
    seen = fuzz(terminal, RECORDS, 10_000, seed=2)
    assert seen["general"] > 100
    assert seen["bad_id"] > 100


@pytest.mark.campaign
def test_a_million_mutated_messages() -> None:
    fuzz(terminal, RECORDS, 1_000_000, seed=3)


# --- we as the sender


def tell(text: str = "Call 5") -> Tell:
    return Tell(id="t-1", device="1234", word=Word.TAKEN, text=text)


def test_a_silent_terminal_has_the_page_when_its_bytes_have_left() -> None:
    codec = Comp2Sender()
    codec.tell(tell(), 1, 0.0)
    assert codec.data_to_send() == b"\x7f\x7f\x7f" + CALL
    assert codec.told() == [(1, "")]
    assert one(terminal().receive_data(b"\x7f\x7f\x7f" + CALL, 0.0)).detail == {"pager_id": "1234", "text": "Call 5"}


def test_a_verbose_terminal_may_complain() -> None:
    codec = Comp2Sender(Comp2Options(role="sender", verbose=True))
    codec.tell(tell(), 1, 0.0)
    codec.tell(tell("有人来了"), 2, 0.0)
    assert codec.data_to_send() == b"\x7f\x7f\x7f" + CALL
    assert codec.receive_data(b"INVALID ID\r\x1e", 0.5) == []
    assert codec.told() == [(1, "refused")]
    assert b"CALL TAKEN" in codec.data_to_send()
    assert codec.deadline() == 0.5 + VERDICT_S
    codec.handle_deadline(0.5 + VERDICT_S)
    assert codec.told() == [(2, "")]
    assert codec.deadline() is None


@pytest.mark.parametrize(("device", "can"), [("1234", True), ("1234A", True), ("12345678901", False), ("x", False), ("1\r", False)])
def test_whom_it_can_tell(device: str, can: bool) -> None:
    assert Comp2Sender().can_tell(device, Word.TAKEN) is can
