"""ESPA 4.4.4 as control station: whom it polls and when, what it takes, when it takes the line back, and who is lost."""

from collections.abc import Sequence

import pytest
from codec_checks import check_flips, check_fragments, check_prefixes_wait, fuzz, look
from hypothesis import given, settings
from hypothesis import strategies as st
from panel.espa_link import ACK, CALL, EOT, Cable, block, on_line

from drivers.contract import Rejected, Signal, Surroundings
from drivers.downlink import Tell, Word
from drivers.panel.espa444 import EspaControl, EspaOptions, EspaStation
from drivers.registry import check_line, codec_for
from gateway.config import LineConfig
from gateway.event import Kind, Phase

POLL_2, POLL_3 = b"\x042\x05", b"\x043\x05"


def control(**options: object) -> EspaControl:
    codec = EspaControl(EspaOptions(role="control", **options), on_line())  # type: ignore[arg-type]
    codec.connected(0.0)
    return codec


def said(codec: EspaControl, now: float) -> bytes:
    codec.handle_deadline(now)
    return codec.data_to_send()


def presence(found: Sequence[Signal | Rejected]) -> list[tuple[str | None, Phase, str | None]]:
    return [(one.device, one.phase, one.edge) for one in found if isinstance(one, Signal) and one.kind is Kind.OFFLINE]


def test_stations_are_polled_in_turn_each_after_its_pause() -> None:
    codec = control(stations=("2", "3"), poll_s=1.0)
    assert codec.data_to_send() == POLL_2, "at once, and the line is cleared first"
    codec.receive_data(EOT, 0.1)
    assert codec.deadline() == 1.0
    assert said(codec, 0.9) == b""
    assert said(codec, 1.0) == POLL_3
    codec.receive_data(EOT, 1.1)
    assert said(codec, 2.0) == POLL_2


def test_a_station_calls_and_is_answered_after_the_commit() -> None:
    codec = control()
    codec.data_to_send()
    codec.receive_data(b"1\x05", 0.1)
    assert codec.data_to_send() == ACK
    [call] = codec.receive_data(CALL, 0.2)
    assert isinstance(call, Signal)
    assert (call.kind, call.device) == (Kind.SOS, "201")
    assert codec.data_to_send() == b""
    codec.confirm(call)
    assert codec.data_to_send() == ACK
    assert said(codec, 1.5) == b"", "no poll while a station has the line"
    codec.receive_data(EOT, 1.6)
    assert said(codec, 1.6) == POLL_2


@pytest.mark.parametrize(("wire", "answer"), [(CALL[:-1] + b"\x00", b"1\x15"), (block("9", "1301"), b"3\x15")])
def test_what_it_cannot_take_it_refuses(wire: bytes, answer: bytes) -> None:
    codec = control()
    codec.receive_data(b"1\x05", 0.1)
    codec.data_to_send()
    for one in codec.receive_data(wire, 0.2):
        codec.confirm(one)
    assert codec.data_to_send() == answer


def test_store_down_is_busy_and_the_repeat_is_news() -> None:
    codec = control()
    codec.receive_data(b"1\x05", 0.1)
    codec.data_to_send()
    [first] = codec.receive_data(CALL, 0.2)
    codec.refuse(first, "store_down")
    assert codec.data_to_send() == b"2\x15"
    [again] = codec.receive_data(CALL, 0.3)
    assert isinstance(first, Signal)
    assert isinstance(again, Signal)
    assert (again.phase, again.dedup) == (Phase.RAISE, first.dedup)


def test_the_line_is_taken_back_after_10_s_without_anything_valid() -> None:
    codec = control()
    codec.receive_data(b"1\x05", 0.1)
    codec.data_to_send()
    codec.receive_data(b"noise", 9.0)
    assert said(codec, 10.0) == b""
    assert said(codec, 10.1) == EOT + POLL_2


def test_a_long_block_keeps_the_line_but_not_for_ever() -> None:
    codec = control()
    codec.receive_data(b"1\x05", 0.1)
    codec.data_to_send()
    codec.receive_data(CALL[:5], 9.0)
    assert said(codec, 12.0) == b""
    assert look(codec.receive_data(CALL[5:], 12.1))[0][0] is Kind.SOS
    codec.receive_data(CALL[:5], 13.0)
    assert said(codec, 22.9) == b""
    assert EOT in said(codec, 28.0)


def test_late_answer_into_the_retaken_line_is_not_sent() -> None:
    codec = control()
    codec.receive_data(b"1\x05", 0.1)
    [call] = codec.receive_data(CALL, 0.2)
    codec.data_to_send()
    assert said(codec, 10.2) == EOT + POLL_2
    codec.confirm(call)
    assert codec.data_to_send() == b""


def test_two_others_talk_and_their_blocks_are_not_ours() -> None:
    codec = control(stations=("2", "3"))
    codec.data_to_send()
    codec.receive_data(b"3\x05", 0.1)
    assert codec.data_to_send() == b""
    assert codec.receive_data(CALL, 0.3) == []
    assert codec.receive_data(block("1", "1301")[:-1] + EOT, 0.4) == [], "a check character is none of our business"
    assert said(codec, 5.0) == b""
    codec.receive_data(EOT, 5.1)
    assert said(codec, 5.1) == POLL_3


def test_others_that_never_end_lose_the_line() -> None:
    codec = control(stations=("2", "3"))
    codec.receive_data(b"3\x05", 0.1)
    codec.data_to_send()
    assert said(codec, 10.1) == EOT + POLL_3


def test_check_character_that_looks_like_eot_or_a_poll() -> None:
    codec = control()
    codec.receive_data(b"1\x05", 0.1)
    codec.data_to_send()
    for text in range(0x20, 0x7F):  # some of these end in EOT, ENQ, ACK, NAK, SOH
        [found] = codec.receive_data(block("1", "1301", f"2{chr(text)}", "9x"), 0.2)
        assert isinstance(found, Signal)


def test_no_answer_to_three_polls_is_a_lost_station_until_it_answers() -> None:
    codec = control(stations=("2", "3"), poll_s=1.0)
    told, now = [], 0.0
    while now < 13.0:
        now = max(now, codec.deadline() or now) + 0.01
        told += presence(codec.handle_deadline(now))
        if codec.data_to_send().endswith(b"3\x05"):
            told += presence(codec.receive_data(EOT, now))
    assert told == [("station:3", Phase.CLEAR, "online"), ("station:2", Phase.RAISE, "online")]
    while not codec.data_to_send().endswith(b"2\x05"):
        now = max(now, codec.deadline() or now) + 0.01
        codec.handle_deadline(now)
    assert presence(codec.receive_data(EOT, now)) == [("station:2", Phase.CLEAR, "online")]


def test_a_loss_that_could_not_be_stored_is_told_again() -> None:
    codec = control()
    [told] = codec.receive_data(EOT, 0.1)
    codec.refuse(told, "store_down")
    assert presence(codec.handle_deadline(5.0)) == []
    assert presence(codec.handle_deadline(5.1)) == [("station:2", Phase.CLEAR, "online")]


def test_a_late_selection_is_heard() -> None:
    codec = control()
    codec.handle_deadline(2.0)
    codec.data_to_send()
    codec.receive_data(b"1\x05", 2.5)
    assert codec.data_to_send() == ACK


def test_a_lost_ack_is_given_again() -> None:
    codec = control()
    codec.receive_data(b"1\x05", 0.1)
    codec.receive_data(b"1\x05", 2.1)
    assert codec.data_to_send().endswith(ACK + ACK)


def test_outside_a_line_nobody_is_polled() -> None:
    codec = codec_for("espa444", {"role": "control"})
    assert codec.deadline() is None
    assert codec.receive_data(b"1\x05", 0.0) == []
    assert [one.kind for one in codec.receive_data(CALL, 0.0)] == [Kind.SOS]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"stations": ["1"]}, "stations"),
        ({"stations": []}, "stations"),
        ({"stations": ["2", "2"]}, "stations"),
        ({"stations": ["x"]}, "stations"),
        ({"poll_s": 0}, "poll_s"),
        ({"tell_to": "12"}, "tell_to"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], says: str) -> None:
    [problem] = check_line(LineConfig(name="link", codec="espa444", listen="tcp:4001", options={"role": "control", **options}))
    assert says in problem


def test_generic_checks() -> None:
    def new() -> EspaControl:
        return EspaControl(EspaOptions(role="control"), Surroundings(session="s"))

    assert check_fragments(new, b"1\x05" + CALL + EOT, answers=False)
    check_prefixes_wait(new, b"1\x05", CALL)
    check_flips(new, b"1\x05" + CALL + EOT)


# --- both roles on one cable


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1]), st.sampled_from([Word.TAKEN, Word.COMING, Word.OVER, Word.PROMPT]), st.text(max_size=200)), max_size=6
    ),
    st.sampled_from(["", "2"]),
    st.floats(0.1, 5.0),
)
@settings(deadline=None, max_examples=60)
def test_what_one_end_tells_the_other_end_hears(tells: list[tuple[int, Word, str]], tell_to: str, poll_s: float) -> None:
    """Every word told by either end arrives as one block, in order, and is confirmed."""
    one = EspaControl(EspaOptions(role="control", tell="text", poll_s=poll_s, tell_to=tell_to or None), on_line())
    other = EspaStation(EspaOptions(tell="text"), on_line())
    cable = Cable(one, other)
    for number, (at, word, text) in enumerate(tells):
        cable.ends[at].tell(Tell(id=f"t{number}", device=f"2{number:02}", word=word, text=text), number, cable.now)
        cable.run(7.0)
    cable.run(20.0)
    for at in (0, 1):
        mine = [number for number, (end, _, _) in enumerate(tells) if end == at]
        assert cable.ends[at].told() == [(number, "") for number in mine]
        calls = [found for found in cable.heard[1 - at] if isinstance(found, Signal) and found.kind is not Kind.OFFLINE]
        assert [call.device for call in calls] == [f"2{number:02}" for number in mine]
    assert not any(isinstance(found, Rejected) for heard in cable.heard for found in heard)


def test_a_cut_cable_is_noticed_at_both_ends_and_so_is_its_repair() -> None:
    one, other = control(), EspaStation(EspaOptions(), on_line())
    cable = Cable(one, other)
    cable.run(61.0)
    cable.down = True
    cable.run(70.0)
    cable.down = False
    cable.run(70.0)
    assert presence(cable.heard[0]) == [("station:2", phase, "online") for phase in (Phase.CLEAR, Phase.RAISE, Phase.CLEAR)]
    assert presence(cable.heard[1]) == [("station:control", phase, "online") for phase in (Phase.CLEAR, Phase.RAISE, Phase.CLEAR)]


def test_ten_thousand_mutated_dialogues() -> None:
    wires = [b"1\x05", b"3\x05", EOT, ACK, CALL, block("2", "1201", "76"), block("3", "1201")]
    seen = fuzz(control, wires, 10_000, seed=17)
    assert seen["sos"] > 100
    assert seen["bad_bcc"] > 100


@pytest.mark.campaign
def test_a_million_mutated_dialogues() -> None:
    fuzz(lambda: control(lenient=True, stations=("2", "3")), [b"1\x05", b"3\x05", EOT, ACK, CALL], 1_000_000, seed=18)
