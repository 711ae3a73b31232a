"""ESPA 4.4.4 as station 2: vectors and dialogues of the standard, what bad input is answered, and receipts only after confirm()."""

import tomllib
from dataclasses import replace
from functools import reduce
from operator import xor
from pathlib import Path

import pytest
from codec_checks import check_flips, check_fragments, check_prefixes_wait, fuzz, journalled, look, run_out, talk
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.contract import Rejected, Signal, Surroundings
from drivers.downlink import Word
from drivers.panel.espa444 import EspaOptions, EspaStation
from drivers.panel.text_rules import TextRule
from drivers.registry import codec_for
from gateway.event import Kind, Phase

VECTORS = tomllib.loads((Path(__file__).parent.parent / "vectors" / "panel" / "espa444.toml").read_text())
BLOCKS = VECTORS["block"]
WIRES = [bytes.fromhex(row["hex"]) for row in BLOCKS]
SELECT = bytes.fromhex("04 31 05 32 05")
EOT, ACK = b"\x04", b"\x06"


def block(header: str, *records: str, lead: str = "") -> bytes:
    """A block built by hand, apart from the codec."""
    body = f"{header}\x02{lead}{chr(0x1E).join(record[0] + chr(0x1F) + record[1:] for record in records)}\x03".encode("latin-1")
    return b"\x01" + body + bytes([reduce(xor, body)])


def selected(options: EspaOptions | None = None) -> EspaStation:
    station = EspaStation(options, Surroundings(session="s"))
    station.receive_data(SELECT, 0.0)
    assert station.data_to_send() == ACK
    return station


def one(station: EspaStation, wire: bytes, now: float = 0.0) -> Signal:
    [signal] = station.receive_data(wire, now)
    assert isinstance(signal, Signal), signal
    return signal


@pytest.mark.parametrize("row", BLOCKS, ids=lambda row: row["id"])
def test_vector(row: dict[str, object]) -> None:
    wire = bytes.fromhex(str(row["hex"]))
    signal = one(selected(), wire)
    assert (signal.kind, signal.phase, signal.device) == (row["kind"], row.get("phase", "raise"), row.get("device"))
    assert signal.detail == row["detail"]
    assert signal.raw == wire


@pytest.mark.parametrize("row", VECTORS["dialogue"], ids=lambda row: row["id"])
@pytest.mark.parametrize("step", [1, 1000])
def test_dialogue(row: dict[str, list[str]], step: int) -> None:
    station, sent = EspaStation(), b""
    for line in row["lines"]:
        data = bytes.fromhex(line[1:])
        if line.startswith("<"):
            assert sent == data, line
            continue
        sent = talk(station, [data[at : at + step] for at in range(0, len(data), step)])[1]


@pytest.mark.parametrize("wire", WIRES, ids=[row["id"] for row in BLOCKS])
def test_generic_checks(wire: bytes) -> None:
    assert check_fragments(EspaStation, SELECT + wire + EOT, answers=False)
    check_fragments(selected, wire)
    check_prefixes_wait(EspaStation, SELECT, wire)
    check_flips(EspaStation, SELECT + wire + EOT)


@pytest.mark.parametrize("wire", WIRES, ids=[row["id"] for row in BLOCKS])
def test_every_flipped_bit_of_a_block_is_refused_or_drops_it(wire: bytes) -> None:
    """No changed block is taken for a sound one; bit 7 alone may be a sender that clears it in the check (8-bit links)."""
    for index in range(len(wire)):
        for bit in range(7):
            flipped = wire[:index] + bytes([wire[index] ^ 1 << bit]) + wire[index + 1 :]
            found, sent = talk(selected(EspaOptions(data_bits=7)), [flipped])
            assert all(seen[0] == "rejected" for seen in found), flipped
            assert ACK not in sent.replace(bytes([wire[-1]]), b"")


def test_receipt_only_after_confirm() -> None:
    station = selected()
    signal = one(station, WIRES[1])
    assert station.data_to_send() == b""
    station.confirm(signal)
    assert station.data_to_send() == ACK
    station.confirm(signal)
    assert station.data_to_send() == b"", "one receipt for one block"


@pytest.mark.parametrize(("reason", "answer"), [("store_down", b"2\x15"), ("busy", b"2\x15"), ("unstorable", b"3\x15")])
def test_refusal(reason: str, answer: bytes) -> None:
    station = selected()
    station.refuse(one(station, WIRES[1]), reason)
    assert station.data_to_send() == answer


def test_refused_call_is_still_news_when_repeated() -> None:
    station = selected()
    first = one(station, WIRES[1])
    station.refuse(first, "store_down")
    again = one(station, WIRES[1], 1.0)
    assert again.phase is Phase.RAISE
    assert again.dedup == first.dedup


@pytest.mark.parametrize("meanwhile", [EOT, b"3\x05", SELECT], ids=["line taken back", "another is asked", "selected again"])
def test_late_receipt_is_not_sent_into_another_dialogue(meanwhile: bytes) -> None:
    station = selected()
    signal = one(station, WIRES[1])
    station.receive_data(meanwhile, 1.0)
    station.data_to_send()
    station.confirm(signal)
    assert station.data_to_send() == b""


def test_retransmission_while_the_store_is_slow_gets_one_receipt() -> None:
    station = selected()
    first, second = one(station, WIRES[1], 0.0), one(station, WIRES[1], 2.0)
    assert first.dedup == second.dedup
    station.confirm(first)
    assert station.data_to_send() == b"", "the answer that is due is the second block's"
    station.confirm(second)
    assert station.data_to_send() == ACK


def test_same_call_in_another_selection_is_its_repeat_not_a_duplicate() -> None:
    station = selected()
    first = one(station, WIRES[1])
    station.confirm(first)
    station.receive_data(EOT + SELECT, 30.0)
    second = one(station, WIRES[1], 30.0)
    assert (first.phase, second.phase) == (Phase.RAISE, Phase.REPEAT)
    assert first.dedup != second.dedup
    station.confirm(second)
    station.receive_data(EOT + SELECT, 1000.0)
    assert one(station, WIRES[1], 1000.0).phase is Phase.RAISE, "a call long quiet is a new cry"


def test_calls_of_before_a_restart_are_known() -> None:
    reset = block("1", "1207", "2Zimmer 7", "41")
    call, other = block("1", "1207", "2Zimmer 7", "61"), block("1", "1208", "2Zimmer 8", "61")
    before = selected(EspaOptions(default=Kind.HELP))
    signals = [one(before, wire) for wire in (call, other)]
    place = Surroundings(line="ward", before=journalled(signals, -50.0))

    def after(now: float = 60.0) -> EspaStation:
        station: EspaStation = codec_for("espa444", {"tell": "status", "default": "help"}, place=place)
        station.receive_data(SELECT, now)
        station.data_to_send()
        return station

    station = after()
    again = one(station, call, 60.0)
    assert (again.kind, again.phase, again.device) == (Kind.SOS, Phase.REPEAT, "207")
    assert again.dedup not in {signal.dedup for signal in signals}, "shown, never swallowed"
    assert station.can_tell("207", Word.TAKEN), "its caller hears that it is taken, though it was brought before the restart"
    assert one(after(551.0), call, 551.0).phase is Phase.RAISE, "after repeat_within_s it is a new call"
    assert one(after(), block("1", "1207", "2Zimmer 7 Bad", "61"), 60.0).phase is Phase.RAISE
    ended = one(after(), reset, 60.0)
    assert (ended.kind, ended.phase) == (Kind.SOS, Phase.CLEAR), "the kind of the call that it ends"
    place = replace(place, before=[*place.before, *journalled([ended], -1.0)])
    assert one(after(), call, 60.0).phase is Phase.RAISE, "it was over before the restart"
    assert one(after(), other, 60.0).phase is Phase.REPEAT


def test_same_block_later_in_one_selection_is_a_new_message() -> None:
    station = selected()
    first = one(station, WIRES[1])
    station.confirm(first)
    station.receive_data(b"\x02", 9.0)  # any byte keeps the selection
    assert one(station, WIRES[1], 10.5).dedup != first.dedup


def test_cancel_takes_the_kind_of_the_call_and_closes_it() -> None:
    options = EspaOptions(texts=(TextRule("rauch|smoke", Kind.SMOKE),))
    station = selected(options)
    station.confirm(one(station, block("1", "1301", "2Smoke kitchen")))
    cancel = one(station, block("1", "1301", "41"))
    assert (cancel.kind, cancel.phase) == (Kind.SMOKE, Phase.CLEAR)
    station.confirm(cancel)
    assert one(station, block("1", "1301", "2Smoke kitchen", "61"), 5.0).phase is Phase.RAISE


def test_cancel_with_a_text_closes_only_that_call() -> None:
    station = selected()
    for text in ("Bed A", "Bed B"):
        station.confirm(one(station, block("1", "1301", f"2{text}")))
    station.confirm(one(station, block("1", "1301", "2Bed A", "41")))
    station.receive_data(EOT + SELECT, 30.0)
    assert one(station, block("1", "1301", "2Bed B"), 30.0).phase is Phase.REPEAT
    assert one(station, block("1", "1301", "2Bed A"), 30.0).phase is Phase.RAISE


def test_rules_text_before_beep_before_priority_before_default() -> None:
    options = EspaOptions(texts=(TextRule("bed", Kind.BED_EXIT),), beeps={"2": Kind.HELP}, priorities={"3": Kind.GENERAL}, default=Kind.MEDICAL)

    def kind(*records: str) -> Kind:
        return one(selected(options), block("1", "1301", *records)).kind

    assert kind("2Bed 4", "32", "63") is Kind.BED_EXIT
    assert kind("2Door", "32", "63") is Kind.HELP
    assert kind("2Door", "39", "63") is Kind.GENERAL
    assert kind("2Door", "302", "603") is Kind.MEDICAL, "values are text: 02 is not 2"


@pytest.mark.parametrize(
    ("wire", "reason", "answer"),
    [
        (block("1"), "no_records", b"3\x15"),
        (block("9", "1301"), "unknown_header", b"3\x15"),
        (block("3"), "no_records", b"3\x15"),
        (block("1", "61"), "no_address", b"3\x15"),
        (block("2", "1301"), "no_status", b"3\x15"),
        (b"\x01\x03\x03", "bad_format", b"3\x15"),
        (b"\x0111\x03\x03", "bad_format", b"3\x15"),
        (block("1", "1301")[:-1] + b"\x7f", "bad_bcc", b"1\x15"),
        (block("1", "1301", "2a\x07b"), "bad_bcc", b"1\x15"),
    ],
)
def test_unusable_block(wire: bytes, reason: str, answer: bytes) -> None:
    found, sent = talk(selected(), [wire])
    assert found == [("rejected", reason, wire)]
    assert sent == answer


@pytest.mark.parametrize(
    ("wire", "reason", "text"),
    [
        (block("9", "1301", "2HELP"), "unknown_header", "9 1 301 2 HELP"),
        (b"\x01" + b"HELP\x03" + bytes([reduce(xor, b"HELP\x03")]), "bad_format", "HELP"),
        (block("2", "1301", "2HELP"), "no_status", "HELP"),
    ],
)
def test_what_an_unusable_block_says_reaches_an_operator_before_it_is_refused(wire: bytes, reason: str, text: str) -> None:
    station = EspaStation(None, Surroundings(line="link", session="s"))
    station.receive_data(SELECT, 0.0)
    station.data_to_send()
    notice, rejected = station.receive_data(wire, 0.0)
    assert isinstance(notice, Signal)
    assert isinstance(rejected, Rejected)
    assert (notice.kind, notice.kind_raw, rejected.reason) == (Kind.GENERAL, reason, reason)
    assert text in str(notice.detail["text"])
    station.confirm(notice)
    assert station.data_to_send() == b""
    station.confirm(rejected)
    assert station.data_to_send() == b"3\x15"
    [again, _] = station.receive_data(wire, 1.0)
    assert isinstance(again, Signal)
    assert again.dedup == notice.dedup, "the sender repeats what was refused"


def test_unusable_block_that_cannot_be_kept_is_asked_for_again() -> None:
    station = selected()
    [rejected] = station.receive_data(block("9", "1301"), 0.0)
    station.refuse(rejected, "store_down")
    assert station.data_to_send() == b"2\x15"


def test_bad_check_needs_no_store() -> None:
    station = selected()
    [rejected] = station.receive_data(WIRES[0][:-1] + b"\x00", 0.0)
    assert isinstance(rejected, Rejected)
    assert station.data_to_send() == b"1\x15"


def test_three_bad_blocks_in_a_row_are_told_and_the_next_good_one_ends_it() -> None:
    station = selected()
    bad = WIRES[0][:-1] + b"\x00"
    seen = [look(station.receive_data(bad, 0.0)) for _ in range(4)]
    assert [len(found) for found in seen] == [1, 1, 2, 1]
    fault, call = station.receive_data(WIRES[0], 0.0)
    assert isinstance(fault, Signal)
    assert isinstance(call, Signal)
    assert (fault.kind, fault.phase, call.kind) == (Kind.FAULT, Phase.CLEAR, Kind.SOS)


def test_text_without_address_is_still_a_call() -> None:
    signal = one(selected(), block("1", "2Help in the hall"))
    assert (signal.kind, signal.device) == (Kind.SOS, None)


def test_other_information_is_shown() -> None:
    assert one(selected(), block("5", "2Door open")).kind is Kind.GENERAL


def test_nothing_is_cut_and_unknown_records_are_kept() -> None:
    long = "x" * 600
    signal = one(selected(), block("1", "1" + "9" * 20, "2" + long, "9odd", "1again"))
    assert signal.device == "9" * 20
    assert signal.detail["display_message"] == long
    assert signal.detail["record_9"] == "odd"
    assert signal.detail["unreadable"] == ["1 again"]


def test_eight_bit_text_with_and_without_bit_7_in_the_check() -> None:
    body = "1\x021\x1f301\x1e2\x1fB\xe4r\x03".encode("latin-1")
    check = reduce(xor, body)
    assert check & 0x80
    for bcc in (check, check & 0x7F):
        assert one(selected(), b"\x01" + body + bytes([bcc])).detail["display_message"] == "B\xe4r"
    assert look(selected(EspaOptions(data_bits=7)).receive_data(b"\x01" + body + bytes([check]), 0.0))[0][1] == "bad_bcc"


def test_other_charsets_and_national_letters() -> None:
    body = "1\x021\x1f301\x1e2\x1fB\x84r\x03".encode("latin-1")
    signal = one(selected(EspaOptions(charset="cp850")), b"\x01" + body + bytes([reduce(xor, body)]))
    assert signal.detail["display_message"] == "Bär"
    signal = one(selected(EspaOptions(letters={"{": "ä"})), block("1", "1301", "2B{r"))
    assert signal.detail["display_message"] == "Bär"


def test_block_while_not_selected() -> None:
    assert talk(EspaStation(), [WIRES[0]]) == ([("rejected", "not_selected", WIRES[0])], b"")
    found, sent = talk(EspaStation(EspaOptions(lenient=True)), [WIRES[0]])
    assert (len(found), sent) == (1, ACK)


def test_lenient_peers_are_selected_by_a_poll_or_a_bare_enquiry() -> None:
    for wire in (b"2\x05", b"\x05", b"1\x052\x05"):
        assert talk(EspaStation(EspaOptions(lenient=True)), [EOT + wire])[1][-1:] == ACK
    assert talk(EspaStation(), [b"\x05"])[1] == b""


def test_two_halves_of_a_selection_too_far_apart_are_a_poll() -> None:
    station = EspaStation()
    station.receive_data(b"1\x05", 0.0)
    station.receive_data(b"2\x05", 2.6)
    assert station.data_to_send() == EOT


def test_another_address() -> None:
    station = EspaStation(EspaOptions(address="7"))
    station.receive_data(b"\x047\x05", 0.0)
    assert station.data_to_send() == EOT
    station.receive_data(b"2\x057\x05", 0.1)
    assert station.data_to_send() == ACK


@pytest.mark.parametrize(
    ("cut", "after", "reason"),
    [(WIRES[1][:-1], 2.0, "bcc_missing"), (WIRES[1][:9], 15.0, "no_etx")],
)
def test_cut_block_is_dropped_after_its_time(cut: bytes, after: float, reason: str) -> None:
    station = selected()
    assert station.receive_data(cut, 0.0) == []
    assert station.deadline() == after
    assert station.handle_deadline(after - 0.01) == []
    assert look(station.handle_deadline(after)) == [("rejected", reason, cut)]
    assert station.data_to_send() == b""
    assert station.deadline() is None
    assert look(station.receive_data(WIRES[1], after)) == [("rejected", "not_selected", WIRES[1])]


def test_selection_ends_after_15_s_without_a_byte() -> None:
    station = selected()
    assert station.deadline() == 15.0
    assert station.handle_deadline(15.0) == []
    assert station.deadline() is None


def test_eot_in_a_block_and_a_block_begun_again() -> None:
    assert talk(selected(), [WIRES[1][:9] + EOT])[0] == [("rejected", "eot_in_block", WIRES[1][:9])]
    found, sent = talk(selected(), [WIRES[1][:9] + WIRES[1]])
    assert [seen[0] for seen in found] == ["rejected", Kind.SOS]
    assert sent == ACK


def test_endless_block_is_dropped() -> None:
    station = selected()
    found, sent = talk(station, [b"\x01" + b"x" * 5000])
    assert [seen[1] for seen in found] == ["too_long"]
    assert sent == b""
    assert talk(station, [SELECT]) == ([], ACK)


@given(st.lists(st.binary(max_size=200) | st.sampled_from([SELECT, EOT, *WIRES]), max_size=8), st.booleans())
@settings(deadline=None, max_examples=300)
def test_any_bytes(pieces: list[bytes], lenient: bool) -> None:
    station = EspaStation(EspaOptions(lenient=lenient))
    talk(station, pieces)
    run_out(station, 1.0)


def test_ten_thousand_mutated_messages() -> None:
    seen = fuzz(EspaStation, [SELECT, EOT, *WIRES], 10_000, seed=444)
    assert seen["sos"] > 100
    assert seen["bad_bcc"] > 100


@pytest.mark.campaign
def test_a_million_mutated_messages() -> None:
    fuzz(lambda: EspaStation(EspaOptions(lenient=True)), [SELECT, EOT, *WIRES], 500_000, seed=1)
    fuzz(EspaStation, [SELECT, EOT, *WIRES], 500_000, seed=2)
