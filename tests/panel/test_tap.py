"""TAP: pages that nurse-call systems send us, and pages that we send."""

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from codec_checks import check_flips, check_fragments, check_prefixes_wait, fuzz, look, talk

from drivers.contract import Rejected, Signal, Surroundings
from drivers.downlink import Tell, Word
from drivers.panel.tap import BLOCK_S, TapOptions, TapTerminal
from drivers.panel.tap_block import STANDARD_BLOCK, write_page
from drivers.panel.tap_sender import ANSWER_S, WAKE_S, TapSender
from gateway.event import Kind, Phase

VECTORS = tomllib.loads((Path(__file__).parent.parent / "vectors" / "panel" / "tap.toml").read_text("utf-8"))
OPTIONS = msgspec.convert({"texts": [{"match": r"\bfall\b", "kind": "fall"}, {"match": "reset", "kind": "cancel"}]}, TapOptions)
LOGON, GO = b"\x1bPG1\r", b"\x06\r\x1b[p\r"
BLOCKS = [bytes.fromhex(row["hex"]) for row in VECTORS["block"]]
ABC = BLOCKS[0]
BAD = ABC.replace(b"17;", b"17<")
ACK, NAK, RS, DROP = b"\x06\r", b"\x15\r", b"\x1e\r", b"\x1b\x04\r"


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def terminal(options: TapOptions = OPTIONS, clock: Clock | None = None, password: str = "") -> TapTerminal:
    return TapTerminal(options, Surroundings(utc_now=clock or Clock()), password)


def logged_on(options: TapOptions = OPTIONS, clock: Clock | None = None) -> TapTerminal:
    codec = terminal(options, clock)
    assert codec.receive_data(LOGON, 0.0) == []
    assert codec.data_to_send() == GO
    return codec


def page(codec: TapTerminal, wire: bytes, now: float = 0.0) -> Signal:
    [signal] = codec.receive_data(wire, now)
    assert isinstance(signal, Signal), signal
    return signal


def block(inner: bytes) -> bytes:
    """With its checksum."""
    body = b"\x02" + inner
    total = sum(body)
    return body + bytes(0x30 + (total >> shift & 15) for shift in (8, 4, 0)) + b"\r"


@pytest.mark.parametrize("row", VECTORS["block"], ids=lambda row: row["id"])
def test_vector(row: dict[str, str]) -> None:
    codec = logged_on()
    signal = page(codec, bytes.fromhex(row["hex"]))
    assert (signal.kind, signal.phase, signal.device, signal.integrity) == (row["kind"], Phase.RAISE, row["device"], "verified")
    assert signal.detail == {"pager_id": row["device"], "text": row["text"]}
    assert codec.data_to_send() == b"", "nothing before the commit"
    codec.confirm(signal)
    assert codec.data_to_send() == ACK


@pytest.mark.parametrize("row", VECTORS["dialogue"], ids=lambda row: row["id"])
def test_dialogue(row: dict[str, list[list[str]]]) -> None:
    codec = terminal()
    for said, answer in row["steps"]:
        _, answered = talk(codec, [bytes.fromhex(said)])
        assert answered == bytes.fromhex(answer), said


@pytest.mark.parametrize("wire", BLOCKS, ids=[row["id"] for row in VECTORS["block"]])
def test_generic_checks(wire: bytes) -> None:
    assert check_fragments(terminal, LOGON + wire)
    check_fragments(terminal, LOGON + wire + block(b"7\rSECOND\r\x03"), answers=False)
    check_prefixes_wait(terminal, LOGON, wire)
    check_flips(terminal, LOGON + wire)


def test_two_pages_with_answers_between() -> None:
    seen, answered = talk(terminal(), [b"\r", LOGON, ABC, block(b"7\rSECOND\r\x03"), b"\x04\r"])
    assert [one[2] for one in seen] == ["123", "7"]
    assert answered == b"ID=" + GO + ACK + ACK + DROP


def test_third_bad_checksum_shows_the_unverified_text_to_an_operator() -> None:
    codec = logged_on()
    for _ in range(2):
        assert look(codec.receive_data(BAD, 0.0)) == [("rejected", "bad_checksum", BAD[:-1])]
        assert codec.data_to_send() == NAK
    _, notice = codec.receive_data(BAD, 0.0)
    assert isinstance(notice, Signal)
    assert (notice.kind, notice.phase, notice.device, notice.integrity) == (Kind.GENERAL, Phase.RAISE, None, "unverified")
    assert "ABC" in str(notice.detail["unverified_text"])
    assert codec.data_to_send() == b"", "given up only once it is on disk"
    codec.confirm(notice)
    assert codec.data_to_send() == RS
    page(codec, ABC)


def test_store_down_is_never_acknowledged_and_ends_in_a_drop() -> None:
    codec = logged_on()
    dedup = set()
    for answer in (NAK, NAK, DROP):
        signal = page(codec, ABC)
        dedup.add(signal.dedup)
        codec.refuse(signal, "store_down")
        assert codec.data_to_send() == answer
    assert look(codec.receive_data(ABC, 0.0)) == [("rejected", "not_logged_on", ABC[:-1])]
    assert codec.data_to_send() == DROP
    codec.receive_data(LOGON, 0.0)
    assert codec.data_to_send() == GO
    signal = page(codec, ABC)
    codec.confirm(signal)
    assert codec.data_to_send() == ACK
    assert dedup == {signal.dedup}


def test_what_would_be_refused_again_is_given_up() -> None:
    codec = logged_on()
    codec.refuse(page(codec, ABC), "too_big")
    assert codec.data_to_send() == RS


def test_a_block_sent_again_before_its_answer_is_the_same_message_and_gets_one_answer() -> None:
    clock = Clock()
    codec = logged_on(clock=clock)
    first = page(codec, ABC)
    clock.advance(10)
    second = page(codec, ABC)
    assert second.dedup == first.dedup
    codec.confirm(first)
    assert codec.data_to_send() == b"", "it waits for the second"
    codec.confirm(second)
    assert codec.data_to_send() == ACK


def test_a_block_sent_again_later_is_a_new_cry() -> None:
    clock = Clock()
    codec = logged_on(clock=clock)
    first = page(codec, ABC)
    codec.confirm(first)
    clock.advance(5)
    second = page(codec, ABC)
    assert second.dedup != first.dedup
    assert second.phase is Phase.RAISE


def test_a_message_in_two_blocks_cries_at_once_and_then_has_its_whole_text() -> None:
    codec = logged_on()
    first = page(codec, block(b"9001\rROOM 5 B\x1f"))
    assert (first.kind, first.detail) == (Kind.GENERAL, {"pager_id": "9001", "text": "ROOM 5 B", "is_continued": True})
    codec.confirm(first)
    assert codec.data_to_send() == ACK
    second = page(codec, block(b"ED\r\x03"))
    assert (second.kind, second.phase, second.device) == (Kind.GENERAL, Phase.REPEAT, "9001")
    assert second.detail == {"pager_id": "9001", "text": "ROOM 5 BED"}
    codec.confirm(second)
    third = page(codec, ABC)
    assert third.device == "123"


def test_whole_text_may_be_a_worse_kind() -> None:
    codec = logged_on()
    codec.confirm(page(codec, block(b"9001\rROOM 5 \x1f")))
    second = page(codec, block(b"FALL\r\x03"))
    assert (second.kind, second.phase) == (Kind.FALL, Phase.RAISE)


def test_a_part_sent_again_is_not_doubled() -> None:
    codec = logged_on()
    codec.confirm(page(codec, block(b"9001\rROOM 5 \x1f")))
    part = block(b"BED \x1f")
    codec.refuse(page(codec, part), "busy")
    again = page(codec, part)
    assert again.detail["text"] == "ROOM 5 BED "
    codec.confirm(again)
    assert page(codec, block(b"2\r\x03")).detail["text"] == "ROOM 5 BED 2"


def test_password_is_asked_for_and_kept_out_of_the_journal() -> None:
    codec = terminal(password="SECRET")
    [rejected] = codec.receive_data(b"\x1bPG1WRONG\r", 0.0)
    assert (rejected.raw, codec.data_to_send()) == (b"\x1bPG1", NAK)
    assert codec.receive_data(b"\x1bPG1SECRET\r", 0.0) == []
    assert codec.data_to_send() == GO


def test_without_logon_blocks_come_straight_after_cr() -> None:
    codec = terminal(msgspec.structs.replace(OPTIONS, without_logon=True))
    assert page(codec, b"\r" + ABC).device == "123"
    assert codec.data_to_send() == b"ID="


def test_seven_bits_with_parity_over_an_eight_bit_bridge() -> None:
    with_parity = bytes(octet | (octet.bit_count() % 2) << 7 for octet in LOGON + ABC)
    codec = terminal()
    assert page(codec, with_parity).detail["text"] == "ABC"


@pytest.mark.parametrize("sums", ["192", "212"], ids=["seven bits", "eight bits"])
def test_eight_bit_text_where_configured(sums: str) -> None:
    """Some senders add all eight bits."""
    wire = "\x021\rTür\r\x03".encode("latin-1")
    codec = logged_on(TapOptions(data_bits=8))
    assert page(codec, wire + sums.encode() + b"\r").detail["text"] == "Tür"


def test_a_block_without_its_end_is_said_again() -> None:
    codec = logged_on()
    codec.receive_data(ABC[:6], 1.0)
    assert codec.deadline() == 1.0 + BLOCK_S
    assert look(codec.handle_deadline(1.0 + BLOCK_S)) == [("rejected", "cut_block", ABC[:6])]
    assert codec.data_to_send() == NAK


def test_only_the_last_cr_may_be_missing() -> None:
    codec = logged_on()
    codec.receive_data(ABC[:-1], 1.0)
    [signal] = codec.handle_deadline(1.0 + BLOCK_S)
    assert isinstance(signal, Signal)
    assert signal.device == "123"


@pytest.mark.parametrize(
    ("wire", "reason"), [(ABC[:6] + ABC, "restarted"), (ABC[:6] + b"\x04\r", "eot_in_block"), (b"\x02" + b"A" * 2000, "too_long")]
)
def test_broken_blocks(wire: bytes, reason: str) -> None:
    found = logged_on().receive_data(wire, 0.0)
    assert isinstance(found[0], Rejected)
    assert found[0].reason == reason


def test_a_reset_by_text_is_a_cancel() -> None:
    signal = page(logged_on(), block(b"9001\rROOM 5 RESET\r\x03"))
    assert (signal.kind, signal.phase) == (Kind.CANCEL, Phase.CLEAR)


def test_expressions_are_checked() -> None:
    with pytest.raises(msgspec.ValidationError, match="regular expression"):
        msgspec.convert({"texts": [{"match": "(", "kind": "sos"}]}, TapOptions)


def test_ten_thousand_mutated_messages() -> None:
    seen = fuzz(lambda: terminal(msgspec.structs.replace(OPTIONS, without_logon=True)), [LOGON, *BLOCKS, b"\x04\r"], 10_000, seed=18)
    assert seen["general"] > 100
    assert seen["bad_checksum"] > 100


@pytest.mark.campaign
def test_a_million_mutated_messages() -> None:
    fuzz(terminal, [LOGON, *BLOCKS, b"\x04\r"], 1_000_000, seed=7)


# --- we as the sender


def tell(pager: str = "123", text: str = "ABC", word: Word = Word.COMING) -> Tell:
    return Tell(id="t-1", device=pager, word=word, text=text)


def sender() -> TapSender:
    return TapSender(TapOptions(role="sender"))


def say(codec: TapSender, wire: bytes, now: float = 0.0) -> bytes:
    assert codec.receive_data(wire, now) == []
    return codec.data_to_send()


def test_a_page_is_sent_as_the_standard_has_it() -> None:
    codec = sender()
    codec.tell(tell(), 1, 0.0)
    assert codec.data_to_send() == b"\r"
    assert say(codec, b"ID=") == LOGON
    assert say(codec, ACK + b"WELCOME\r") == b""
    assert say(codec, b"\x1b[p\r") == ABC, "the published block"
    assert codec.told() == []
    assert say(codec, b"\x06\r") == b"\x04\r"
    assert codec.told() == [(1, "")]
    assert say(codec, DROP) == b""
    assert codec.deadline() is None


def test_two_pages_in_one_dialogue_and_the_terminal_takes_both() -> None:
    """Against our own terminal: what one writes, the other reads."""
    ours, theirs = sender(), terminal()
    ours.tell(tell(), 1, 0.0)
    ours.tell(tell("9001", "FALL IN ROOM 5"), 2, 0.0)
    seen, wire = [], ours.data_to_send()
    while wire:
        found, answer = talk(theirs, [wire])
        seen += found
        wire = say(ours, answer)
    assert [one[2] for one in seen] == ["123", "9001"]
    assert ours.told() == [(1, ""), (2, "")]


@pytest.mark.parametrize(("answers", "told"), [([NAK, NAK, NAK], "refused"), ([RS], "refused"), ([DROP], "refused"), ([NAK, ACK], "")])
def test_what_the_terminal_answers(answers: list[bytes], told: str) -> None:
    codec = sender()
    codec.tell(tell(), 1, 0.0)
    say(codec, b"ID=")
    codec.data_to_send()
    assert say(codec, GO) == ABC
    for answer in answers:
        assert codec.told() == []
        say(codec, answer)
    assert codec.told() == [(1, told)]


def test_a_terminal_that_is_silent() -> None:
    codec = sender()
    codec.tell(tell(), 1, 0.0)
    codec.tell(tell(), 2, 0.0)
    assert codec.data_to_send() == b"\r"
    for tries in (1, 2):
        assert codec.deadline() == tries * WAKE_S
        codec.handle_deadline(tries * WAKE_S)
        assert codec.data_to_send() == b"\r"
    codec.handle_deadline(3 * WAKE_S)
    assert codec.told() == [(1, "timeout"), (2, "timeout")]
    assert codec.deadline() is None


def test_a_terminal_that_falls_silent_after_the_block() -> None:
    codec = sender()
    codec.tell(tell(), 1, 0.0)
    say(codec, b"ID=")
    assert say(codec, GO) == ABC
    for tries in (1, 2):
        codec.handle_deadline(tries * ANSWER_S)
        assert codec.data_to_send() == ABC
    codec.handle_deadline(3 * ANSWER_S)
    assert codec.told() == [(1, "timeout")]


def test_a_text_no_pager_can_show_is_told_in_the_protocols_words() -> None:
    codec = TapSender(TapOptions(role="sender", without_logon=True, words={Word.COMING: "STAFF COMES"}))
    codec.tell(tell(text="有人来了"), 1, 0.0)
    assert b"STAFF COMES" in codec.data_to_send()


def test_a_long_text_fits_in_one_block() -> None:
    assert len(write_page("1", "x" * 1000)) <= STANDARD_BLOCK + 1
    signal = page(logged_on(), write_page("1", "x" * 1000))
    assert len(str(signal.detail["text"])) > 200


@pytest.mark.parametrize(("device", "can"), [("123", True), ("9001A", True), ("", False), ("1\r2", False), ("panel:7", False)])
def test_whom_it_can_tell(device: str, can: bool) -> None:
    assert sender().can_tell(device, Word.TAKEN) is can


def test_too_many_pages_are_busy() -> None:
    codec = sender()
    for token in range(100):
        codec.tell(tell(), token, 0.0)
    assert codec.told()[0] == (64, "busy")
