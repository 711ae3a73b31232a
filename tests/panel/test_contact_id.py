"""Contact ID blocks: the sheet's vectors, both notations, bad blocks, and the kiss-off only for what is kept."""

import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from codec_checks import check_flips, check_fragments, check_prefixes_wait, fuzz, look, run_out, talk

from drivers.contract import Signal, Surroundings
from drivers.panel.contact_id import REASONS, ContactIdOptions, ContactIdReceiver
from gateway.event import Kind, Phase

VECTORS = tomllib.loads((Path(__file__).parent.parent / "vectors" / "panel" / "contact_id.toml").read_text())
BLOCKS = VECTORS["block"]
PENDANT = b"123418110100005D"
ACK = b"\x06"


def one(codec: ContactIdReceiver, wire: bytes, now: float = 1.0) -> Signal:
    [signal] = codec.receive_data(wire, now)
    assert isinstance(signal, Signal), signal
    return signal


@pytest.mark.parametrize("row", BLOCKS, ids=lambda row: row["id"])
def test_vector(row: dict[str, Any]) -> None:
    for notation in ("digits", "dtmf"):
        if notation not in row:
            continue
        codec = ContactIdReceiver(ContactIdOptions(notation="hex" if notation == "digits" else "dtmf"))
        signal = one(codec, row[notation].encode() + b"\r\n")
        assert (str(signal.kind), str(signal.phase), signal.device) == (row["kind"], row["phase"], row["device"])
        assert signal.detail == row["detail"]
        assert signal.raw == row[notation].encode()
        assert codec.data_to_send() == b""
        codec.confirm(signal)
        assert codec.data_to_send() == ACK


@pytest.mark.parametrize("row", VECTORS["bad"], ids=lambda row: row["id"])
def test_bad_block_has_no_kiss_off_and_no_event(row: dict[str, Any]) -> None:
    codec = ContactIdReceiver()
    wire = row["digits"].encode()
    assert talk(codec, [wire + b"\n"]) == ([("rejected", row["reason"], wire)], b"")
    assert talk(codec, [PENDANT + b"\n"])[1] == ACK


@pytest.mark.parametrize("row", BLOCKS, ids=lambda row: row["id"])
def test_every_wrong_digit_is_noticed(row: dict[str, Any]) -> None:
    """No two digits weigh the same, modulo 15."""
    digits = row["digits"]
    for index, digit in enumerate(digits):
        for other in "0123456789BCDEF":
            if (
                other != digit
                and not talk(ContactIdReceiver(), [(digits[:index] + other + digits[index + 1 :] + "\n").encode()])[0][0][0] == "rejected"
            ):
                raise AssertionError(digits[:index] + other)


def test_generic_checks() -> None:
    line = PENDANT + b"\r\n"
    assert check_fragments(ContactIdReceiver, line)
    assert len(check_fragments(ContactIdReceiver, PENDANT + b"1234181602000002\r\n1234 18 1131 01 015 8\n")) == 3
    check_prefixes_wait(ContactIdReceiver, b"", PENDANT + b"\r")
    check_flips(ContactIdReceiver, line)


def test_block_without_an_end_of_line_is_complete_after_a_pause() -> None:
    codec = ContactIdReceiver()
    assert codec.receive_data(PENDANT, 1.0) == []
    assert codec.deadline() == pytest.approx(1.3)
    assert codec.handle_deadline(1.29) == []
    [signal] = codec.handle_deadline(1.3)
    codec.confirm(signal)
    assert codec.data_to_send() == ACK
    assert codec.deadline() is None


def test_digits_that_come_singly_and_a_caller_who_hangs_up() -> None:
    codec = ContactIdReceiver()
    for index, digit in enumerate(PENDANT[:-1]):
        assert codec.receive_data(bytes([digit]), index * 0.5) == []
    assert look(codec.handle_deadline(7.0 + 3.0)) == [("rejected", "bad_length", PENDANT[:-1])]
    assert codec.deadline() is None


def test_digits_without_end_are_dropped_until_the_next_line() -> None:
    codec = ContactIdReceiver()
    seen, sent = talk(codec, [b"1" * 5000])
    assert [row[1] for row in seen] == ["too_long"]
    assert sent == b""
    assert talk(codec, [b"111\n" + PENDANT + b"\n"])[1] == ACK


def test_nothing_is_sent_when_the_store_fails() -> None:
    codec = ContactIdReceiver()
    assert codec.peer_repeats
    first = one(codec, PENDANT + b"\n")
    codec.refuse(first, "store_down")
    assert codec.data_to_send() == b""
    again = one(codec, PENDANT + b"\n", 3.0)
    assert again.dedup == first.dedup
    codec.confirm(again)
    assert codec.data_to_send() == ACK


def test_same_block_is_one_event_within_a_call_and_a_new_one_later() -> None:
    clock = [datetime(2026, 2, 1, 12, 0, tzinfo=UTC)]
    codec = ContactIdReceiver(None, replace(Surroundings(), utc_now=lambda: clock[0]))
    first = one(codec, PENDANT + b"\n")
    clock[0] += timedelta(seconds=19)
    assert one(codec, PENDANT + b"\n").dedup == first.dedup
    assert one(codec, b"123418310100005B\n").dedup != first.dedup
    clock[0] += timedelta(seconds=2)
    assert one(codec, PENDANT + b"\n").dedup != first.dedup


def test_other_kiss_offs() -> None:
    assert talk(ContactIdReceiver(ContactIdOptions(kiss_off="4b0d")), [PENDANT + b"\n"])[1] == b"K\r"
    codec = ContactIdReceiver(ContactIdOptions(kiss_off=""))
    assert not codec.peer_repeats, "nobody repeats, so the line holds what cannot be stored"
    assert talk(codec, [PENDANT + b"\n"])[1] == b""


def test_unknown_code_and_unknown_account() -> None:
    signal = one(ContactIdReceiver(None, replace(Surroundings(), knows=lambda _address: False)), b"1234181199000001\n")
    assert (signal.kind, signal.detail["event"], signal.detail["unknown_account"]) == (Kind.GENERAL, "unknown code 199", True)


def test_still_present_is_a_repeat() -> None:
    assert one(ContactIdReceiver(), b"123418630200000F\n").phase is Phase.REPEAT


WIRES = [row["digits"].encode() + b"\r\n" for row in BLOCKS + VECTORS["bad"]]


def test_ten_thousand_mutated_blocks() -> None:
    seen = fuzz(ContactIdReceiver, WIRES, 10_000, seed=505)
    assert {"sos", "bad_checksum", "bad_length", "bad_digit", "bad_qualifier"} <= set(seen)
    assert {name for name in seen if name not in Kind.__members__.values()} <= set(REASONS)
    codec = ContactIdReceiver()
    talk(codec, [b"12"])
    run_out(codec, 1.0)


@pytest.mark.campaign
def test_a_million_mutated_blocks() -> None:
    fuzz(ContactIdReceiver, WIRES, 500_000, seed=506)
    fuzz(lambda: ContactIdReceiver(ContactIdOptions(notation="dtmf")), WIRES, 500_000, seed=507)


def on_line() -> ContactIdReceiver:
    return ContactIdReceiver(None, Surroundings(line="calls", session="s"))


BAD = b"1234181131010159"


def test_call_without_a_readable_block_is_told_once_it_is_over() -> None:
    codec = on_line()
    for now in (0.0, 4.0, 8.0):
        assert look(codec.receive_data(BAD + b"\r\n", now)) == [("rejected", "bad_checksum", BAD)]
    assert codec.deadline() == 38.0
    [notice] = codec.handle_deadline(38.0)
    assert isinstance(notice, Signal)
    assert (notice.kind, notice.kind_raw, notice.detail["text"]) == (Kind.GENERAL, "call_without_readable_alarm", " ".join([BAD.decode()] * 3))
    codec.confirm(notice)
    assert codec.data_to_send() == b"", "a kiss-off belongs to a block"
    assert codec.deadline() is None
    codec.receive_data(BAD + b"\r\n", 60.0)
    assert codec.handle_deadline(90.0) == [], "told at most every ten minutes"


def test_call_whose_block_was_read_in_the_end_is_no_matter() -> None:
    codec = on_line()
    codec.receive_data(BAD + b"\n", 0.0)
    assert one(codec, PENDANT + b"\n", 4.0).kind is Kind.SOS
    assert codec.deadline() is None


def test_words_of_the_adapter_are_no_call() -> None:
    codec = on_line()
    codec.receive_data(b"READY\r\nRING\r\n\r\n", 0.0)
    assert codec.deadline() is None


def test_unread_call_that_cannot_be_stored_is_told_later_and_so_is_one_when_the_connection_goes() -> None:
    codec = on_line()
    codec.receive_data(BAD + b"\n", 0.0)
    [notice] = codec.handle_deadline(30.0)
    codec.refuse(notice, "store_down")
    [again] = codec.handle_deadline(60.0)
    assert look([again]) == look([notice])
    codec = on_line()
    codec.receive_data(BAD + b"\n", 0.0)
    assert len(codec.disconnected(1.0)) == 1


def test_late_kiss_off_answers_no_other_block() -> None:
    codec = ContactIdReceiver()
    late = one(codec, PENDANT + b"\n", 1.0)
    other = one(codec, b"1234181110010020\n", 4.0)  # the first caller hung up, another has called
    codec.confirm(late)
    assert codec.data_to_send() == b""
    codec.confirm(other)
    assert codec.data_to_send() == ACK
    first = one(codec, PENDANT + b"\n", 10.0)
    again = one(codec, PENDANT + b"\n", 12.0)
    codec.confirm(first)
    codec.confirm(again)
    assert codec.data_to_send() == ACK, "one for both: a second would answer whatever comes next"
