"""ESPA 4.4.4: what callers are told, byte by byte as temporary master in both roles; status requests; and polls that do not come."""

import pytest
from panel.espa_link import ACK, CALL, EOT, NAK, block, on_line

from drivers.contract import Signal, Surroundings
from drivers.downlink import Tell, Teller, Word
from drivers.panel.espa444 import EspaControl, EspaOptions, EspaStation
from gateway.event import Kind, Phase

POLL, SELECT, ASK_1 = b"\x042\x05", b"\x041\x052\x05", b"1\x05"
PAGED = bytes.fromhex("01 32 02 31 1f 32 30 31 1e 37 1f 33 03 2b")  # of the fact sheet: 201 paged
RESET = bytes.fromhex("01 31 02 31 1f 32 30 31 1e 34 1f 31 03 29")  # of the fact sheet: cancel for 201


def station(**options: object) -> EspaStation:
    """A station that has heard a call of 201 from station 1."""
    codec = EspaStation(EspaOptions(**options), Surroundings(session="s"))  # type: ignore[arg-type]
    codec.receive_data(SELECT, 0.0)
    [call] = codec.receive_data(CALL, 0.1)
    codec.confirm(call)
    codec.receive_data(EOT, 0.2)
    codec.data_to_send()
    return codec


def tell(word: Word = Word.TAKEN, text: str = "", device: str = "201") -> Tell:
    return Tell(id="t", device=device, word=word, text=text)


def says(codec: EspaStation | EspaControl, data: bytes, now: float) -> bytes:
    for one in codec.receive_data(data, now):
        codec.confirm(one)
    return codec.data_to_send()


def test_taken_as_status_when_polled() -> None:
    codec = station(tell="status")
    codec.tell(tell(), 7, 1.0)
    assert codec.data_to_send() == b"", "not before we are asked"
    assert says(codec, POLL, 1.1) == ASK_1
    assert says(codec, ACK, 1.2) == block("2", "1201", "76")
    assert codec.told() == []
    assert says(codec, ACK, 1.3) == EOT
    assert codec.told() == [(7, "")]
    assert says(codec, POLL, 2.0) == EOT, "nothing more to say"


@pytest.mark.parametrize(
    ("mode", "word", "text", "wire"),
    [
        ("status", Word.COMING, "", block("2", "1201", "76")),
        ("status", Word.OVER, "", block("2", "1201", "75")),
        ("text", Word.TAKEN, "We hear you", block("1", "1201", "2We hear you", "43")),
        ("text", Word.COMING, "有人正在赶来", block("1", "1201", "2HELP IS COMING", "43")),
        ("text", Word.PROMPT, "a\x03b" + "x" * 200, block("1", "1201", "2a b" + "x" * 125, "43")),
        ("text", Word.OVER, "over", RESET),
    ],
)
def test_words(mode: str, word: Word, text: str, wire: bytes) -> None:
    codec = station(tell=mode)
    codec.tell(tell(word, text), 1, 1.0)
    says(codec, POLL, 1.1)
    assert says(codec, ACK, 1.2) == wire


def test_letters_go_back_and_seven_bits_stay_seven() -> None:
    codec = station(tell="text", letters={"[": "Ä"}, data_bits=7)
    codec.tell(tell(text="Äé ok"), 1, 1.0)
    says(codec, POLL, 1.1)
    assert says(codec, ACK, 1.2) == block("1", "1201", "2[? ok", "43")


def test_who_can_be_told_what() -> None:
    assert isinstance(station(), EspaStation)
    known: Teller = station(tell="status")
    assert known.can_tell("201", Word.OVER)
    assert not known.can_tell("201", Word.PROMPT), "status has no question"
    assert not known.can_tell("202", Word.OVER), "it never called"
    assert station(tell="text").can_tell("201", Word.PROMPT)
    assert not station().can_tell("201", Word.TAKEN), "off by default"
    assert not station(tell="text", lenient=True).can_tell("201", Word.TAKEN), "on a lenient link nobody polls"


def test_selection_is_repeated_twice_then_the_line_is_given_back() -> None:
    codec = station(tell="status")
    codec.tell(tell(), 7, 1.0)
    assert says(codec, POLL, 1.0) == ASK_1
    sent = []
    for now in (3.0, 5.0, 7.0):
        assert codec.deadline() == now
        codec.handle_deadline(now)
        sent.append(codec.data_to_send())
    assert sent == [ASK_1, ASK_1, EOT]
    assert codec.told() == [(7, "timeout")]


@pytest.mark.parametrize(("answer", "reason"), [(b"1" + NAK, "refused"), (b"2" + NAK, "busy"), (b"3" + NAK, "refused"), (NAK, "refused")])
def test_block_is_repeated_twice_after_nak_with_or_without_its_prefix(answer: bytes, reason: str) -> None:
    codec = station(tell="status")
    codec.tell(tell(), 7, 1.0)
    says(codec, POLL, 1.0)
    wire = says(codec, ACK, 1.1)
    assert [says(codec, answer, 1.2 + n) for n in range(3)] == [wire, wire, EOT]
    assert codec.told() == [(7, reason)]


def test_refused_by_eot_or_not_ready() -> None:
    codec = station(tell="status")
    codec.tell(tell(), 7, 1.0)
    says(codec, POLL, 1.0)
    assert says(codec, EOT, 1.1) == EOT
    assert codec.told() == [(7, "refused")]
    codec.tell(tell(), 8, 2.0)
    says(codec, POLL, 2.0)
    assert [says(codec, b"2" + NAK, 2.1) for _ in range(3)] == [ASK_1, ASK_1, EOT]
    assert codec.told() == [(8, "busy")]


def test_line_taken_from_us_is_not_spoken_into_and_the_word_waits() -> None:
    codec = station(tell="status")
    codec.tell(tell(), 7, 1.0)
    says(codec, POLL, 1.0)
    says(codec, ACK, 1.1)
    assert says(codec, EOT, 2.0) == b""
    assert says(codec, SELECT, 2.1) == ACK, "a call goes before"
    assert says(codec, CALL, 2.2) == ACK
    assert says(codec, EOT + b"2\x05", 3.0) == ASK_1
    assert codec.told() == []


def test_never_polled_is_a_timeout_and_too_many_are_busy() -> None:
    codec = station(tell="status")
    for token in range(21):
        codec.tell(tell(), token, 1.0)
    assert codec.told() == [(20, "busy")]
    codec.handle_deadline(26.0)
    assert codec.told() == [(token, "timeout") for token in range(20)]
    assert says(codec, POLL, 27.0) == EOT


def test_control_station_polls_itself_first() -> None:
    codec = EspaControl(EspaOptions(role="control", tell="status", stations=("2", "3")), on_line())
    codec.connected(0.0)
    codec.data_to_send()
    codec.receive_data(EOT, 0.1)
    says(codec, b"", 1.0)
    says(codec, b"1\x05", 1.1)  # station 3 calls
    says(codec, CALL, 1.2)
    codec.tell(tell(), 7, 1.3)
    assert codec.data_to_send() == b"", "station 3 has the line"
    assert says(codec, EOT, 1.4) == b""
    assert codec.deadline() is not None
    codec.handle_deadline(2.0)
    assert codec.data_to_send() == b"\x041\x053\x05", "to the station that brought the call"
    assert says(codec, ACK, 2.1) == block("2", "1201", "76")
    assert says(codec, ACK, 2.2) == EOT
    assert codec.told() == [(7, "")]
    codec.handle_deadline(codec.deadline() or 0.0)
    assert codec.data_to_send() == b"\x042\x05", "and polls go on"


def test_the_one_who_hears_it_when_nobody_brought_the_call() -> None:
    codec = EspaStation(EspaOptions(tell="status", lenient=False, tell_to="4"), Surroundings())
    codec.tell(tell(), 1, 0.0)
    assert says(codec, POLL, 0.1) == b"4\x05"


def test_status_request_is_answered_when_polled() -> None:
    codec = station()
    assert says(codec, SELECT, 1.0) == ACK
    [request] = codec.receive_data(block("3", "1201"), 1.1)
    assert isinstance(request, Signal)
    assert (request.kind, request.phase, request.detail["header"]) == (Kind.TELEMETRY, Phase.STATE, "status_request")
    codec.confirm(request)
    assert codec.data_to_send() == ACK
    assert says(codec, EOT + b"2\x05", 2.0) == ASK_1
    assert says(codec, ACK, 2.1) == PAGED


@pytest.mark.parametrize(("word", "status"), [(None, "3"), (Word.TAKEN, "6"), (Word.OVER, "5")])
def test_status_of_a_call(word: Word | None, status: str) -> None:
    codec = station(tell="status")
    if word is not None:
        codec.tell(tell(word), 1, 1.0)
        says(codec, POLL, 1.0)
        says(codec, ACK, 1.0)
        says(codec, ACK, 1.0)
    says(codec, SELECT, 2.0)
    says(codec, block("3", "1201"), 2.1)
    says(codec, EOT + b"2\x05", 3.0)
    assert says(codec, ACK, 3.1) == block("2", "1201", f"7{status}")


def test_status_request_that_was_not_kept_is_not_answered() -> None:
    codec = station()
    codec.receive_data(SELECT, 1.0)
    [request] = codec.receive_data(block("3", "1201"), 1.1)
    codec.refuse(request, "store_down")
    assert codec.data_to_send() == ACK + b"2\x15"
    assert says(codec, EOT + b"2\x05", 2.0) == EOT


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        ("1", "busy", Kind.TELEMETRY),
        ("4", "absent", Kind.TELEMETRY),
        ("8", "fault", Kind.FAULT),
        ("71", "paged", Kind.TELEMETRY),
        ("72", "absent", Kind.TELEMETRY),
        ("73", "speech_channel_open", Kind.TELEMETRY),
        ("81", "fault", Kind.FAULT),
        ("0", "unknown", Kind.TELEMETRY),
    ],
)
def test_call_status_that_others_tell(status: str, name: str, kind: Kind) -> None:
    codec = station()
    codec.receive_data(SELECT, 1.0)
    [told] = codec.receive_data(block("2", "1201", f"7{status}"), 1.1)
    assert isinstance(told, Signal)
    assert (told.kind, told.detail["call_status"], told.detail["call_status_name"]) == (kind, status, name)


# --- polls that do not come


def polled(silence_s: float = 60.0) -> EspaStation:
    codec = EspaStation(EspaOptions(poll_silence_s=silence_s), on_line())
    codec.connected(0.0)
    return codec


def test_no_poll_for_a_minute_is_told_once_and_its_end_too() -> None:
    codec = polled()
    codec.receive_data(POLL, 10.0)
    [settled] = codec.handle_deadline(60.0)
    assert isinstance(settled, Signal)
    assert (settled.kind, settled.phase, settled.device) == (Kind.OFFLINE, Phase.CLEAR, "station:control")
    assert codec.handle_deadline(69.9) == []
    [lost] = codec.receive_data(EOT + b"3\x05", 70.0)
    assert isinstance(lost, Signal)
    assert (lost.phase, lost.edge) == (Phase.RAISE, "online"), "polls of others are not ours"
    assert codec.handle_deadline(500.0) == []
    [back] = codec.receive_data(EOT + b"2\x05", 501.0)
    assert isinstance(back, Signal)
    assert back.phase is Phase.CLEAR


def test_a_link_on_which_nobody_polls() -> None:
    codec = polled(0)
    assert codec.deadline() is None
    assert codec.handle_deadline(1000.0) == []


def test_blocks_and_selections_are_signs_too() -> None:
    codec = polled()
    codec.receive_data(SELECT, 50.0)
    codec.handle_deadline(60.0)
    codec.receive_data(CALL, 64.0)
    assert codec.handle_deadline(120.0) == []
    assert len(codec.handle_deadline(124.0)) == 1
