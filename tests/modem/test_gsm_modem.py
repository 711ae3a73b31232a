"""The modem's conversation, octet by octet and on a clock of the test's. PDUs are those of tests/modem/test_tpdu.py and of the simulated modem."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import Rejected, Signal, Surroundings
from drivers.modem.gsm_modem import GRACE_S, MAX_COMMANDS, MAX_QUEUE, REGISTER_S, SEND_S, CardMemory, GsmModem, ModemOptions
from drivers.telephone import ShortText
from gateway.event import Kind, Phase

HELLO = "07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37"


class Desk:
    """The test as a modem: `asked` drains what the codec wants, `says` answers."""

    def __init__(self, codec: GsmModem, pieces: int = 0) -> None:
        self.codec, self.pieces, self.now = codec, pieces, 100.0
        self.found: list[Signal | Rejected] = []

    def asked(self) -> bytes:
        return self.codec.data_to_send()

    def says(self, data: bytes) -> bytes:
        size = self.pieces or len(data)
        for at in range(0, len(data), size):
            self.found += self.codec.receive_data(data[at : at + size], self.now)
        return self.asked()

    def later(self, seconds: float) -> bytes:
        self.now += seconds
        due = self.codec.deadline()
        if due is not None and due <= self.now:
            self.found += self.codec.handle_deadline(self.now)
        return self.asked()


def started(pieces: int = 0, options: ModemOptions | None = None, *, registered: bytes = b"1", card: bytes = b"") -> Desk:
    desk = Desk(GsmModem(options, Surroundings(line="modem", session="s")), pieces)
    desk.codec.connected(desk.now)
    assert desk.asked() == b"\x1b\rAT\r"
    assert desk.says(b"AT\r\r\nOK\r\n") == b"ATE0\r"  # with its echo
    assert desk.says(b"ATE0\r\r\nOK\r\n") == b"AT+CMEE=1\r"
    assert desk.says(b"\r\nOK\r\n") == b"AT+CPIN?\r"
    assert desk.says(b"\r\n+CPIN: READY\r\n\r\nOK\r\n") == b"AT+CMGF=0\r"
    assert desk.says(b"\r\nOK\r\n") == b"AT+CNMI=2,1,0,1,0\r"
    assert desk.says(b"\r\nOK\r\n") == b"AT+CREG?\r"
    assert desk.says(b"\r\n+CREG: 0," + registered + b"\r\n\r\nOK\r\n") == b"AT+CMGL=4\r"
    assert [(signal.phase, signal.edge) for signal in desk.found if isinstance(signal, Signal)] == [
        (Phase.CLEAR, "card"),
        *([(Phase.CLEAR, "network")] if registered == b"1" else []),
    ], "what was wrong before is over"
    desk.found.clear()
    assert desk.says(card + b"\r\nOK\r\n") == b""
    assert desk.codec.state == "ready"
    return desk


def tell(desk: Desk, text: str = "Hello World!", token: int = 1) -> bytes:
    desk.codec.tell(ShortText(id=f"d{token}", number="+27820001111", text=text), token, desk.now)
    return desk.asked()


@pytest.mark.parametrize("pieces", [0, 1, 3])
def test_a_message_leaves(pieces: int) -> None:
    desk = started(pieces)
    assert tell(desk) == b"AT+CMGS=25\r"
    # TS 23.040, 9.2.2.2: report asked for (20), valid for an hour (10, 0B); the rest as python-gsmmodem's vector has it
    assert desk.says(b"\r\n> ") == b"0031000B917228001011F100000B0CC8329BFD065DDF72363904\x1a"
    desk.says(b"\r\n+CMGS: 17\r\n\r\nOK\r\n")
    assert desk.codec.told() == [(1, "")]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(b"\r\n+CMS ERROR: 38\r\n", "cms_38"), (b"\r\n+CMS ERROR: 500\r\n", "cms_500"), (b"\r\nERROR\r\n", "error"), (b"\r\nOK\r\n", "garbage")],
)
def test_the_network_refuses(answer: bytes, reason: str) -> None:
    desk = started()
    tell(desk)
    desk.says(b"\r\n> ")
    desk.says(answer)
    assert desk.codec.told() == [(1, reason)]


def test_no_prompt_and_no_answer_are_given_up_and_the_next_message_is_not_taken_for_sent() -> None:
    desk = started()
    tell(desk)
    assert desk.later(11).startswith(b"\x1b")  # the modem is taken out of its waiting
    assert desk.codec.told() == [(1, "timeout")]
    tell(desk, token=2)
    desk.says(b"\r\n+CMGS: 5\r\n\r\nOK\r\n")  # of the first one, too late
    assert desk.codec.told() == []
    assert desk.says(b"\r\n> ").endswith(b"\x1a")
    desk.later(SEND_S + 1)
    assert desk.codec.told() == [(2, "timeout")]
    assert desk.codec.hang_up  # twice silent: opened anew


def test_a_long_message_is_one_after_the_other_and_a_refused_part_ends_it() -> None:
    desk = started()
    tell(desk, "求" * 100)
    assert desk.says(b"\r\n> ").endswith(b"\x1a")
    assert desk.says(b"\r\n+CMGS: 1\r\n\r\nOK\r\n").startswith(b"AT+CMGS=")
    desk.says(b"\r\n> ")
    desk.says(b"\r\n+CMS ERROR: 42\r\n")
    assert desk.codec.told() == [(1, "cms_42")]


def test_the_queue_is_bounded() -> None:
    desk = started()
    for token in range(MAX_QUEUE + 1):
        tell(desk, token=token)
    assert desk.codec.told() == [(MAX_QUEUE, "busy")]


def test_a_message_comes_in_and_stays_on_the_card_until_it_is_stored() -> None:
    desk = started()
    assert desk.says(b'\r\n+CMTI: "SM",3\r\n') == b"AT+CMGR=3\r"
    assert desk.says(b"\r\n+CMGR: 0,,35\r\n" + HELLO.encode() + b"\r\n\r\nOK\r\n") == b""
    (signal,) = desk.found
    assert isinstance(signal, Signal)
    assert (signal.kind, signal.detail, signal.device) == (Kind.HELP, {"text": "hellohello", "from": "27838890001"}, "27838890001")
    assert desk.says(b'\r\n+CMTI: "SM",3\r\n') == b"", "known already"
    desk.codec.confirm(signal)
    assert desk.asked() == b"AT+CMGD=3\r"


def test_what_lay_on_the_card_is_read_at_the_start_and_garbage_is_kept_and_deleted() -> None:
    card = b"\r\n+CMGL: 1,1,,35\r\n" + HELLO.encode() + b"\r\n+CMGL: 2,1,,35\r\n" + b"00FF00FF00FF\r\n"
    desk = started(card=card)
    signal, rejected = desk.found
    assert isinstance(signal, Signal)
    assert isinstance(rejected, Rejected)
    assert rejected.reason == "bad_pdu"
    desk.codec.confirm(signal)
    desk.codec.confirm(rejected)
    assert desk.asked() == b"AT+CMGD=1\r"
    assert desk.says(b"\r\nOK\r\n") == b"AT+CMGD=2\r"


def test_a_message_whose_announcement_was_lost_is_found_by_the_next_look() -> None:
    desk = started()
    desk.says(b'\r\n+CM\xffTI: "SM",3\r\n')
    assert desk.later(30) == b"AT+CREG?\r"
    assert desk.says(b"\r\n+CREG: 0,1\r\n\r\nOK\r\n") == b"AT+CSQ\r"
    assert desk.says(b"\r\n+CSQ: 17,99\r\n\r\nOK\r\n") == b"AT+CMGL=4\r"
    assert desk.codec.signal_dbm == -79  # TS 27.007, 8.5: -113 + 2 × 17
    desk.says(b"\r\n+CMGL: 3,0,,35\r\n" + HELLO.encode() + b"\r\n\r\nOK\r\n")
    (signal,) = desk.found
    assert isinstance(signal, Signal)
    assert signal.detail["text"] == "hellohello"


@pytest.mark.parametrize("number", ["", "+", "sip:x@y", "a@b.example", "+8617400000001;", "1\r", "１２３", "1" * 21])
def test_what_is_no_number_reaches_no_modem(number: str) -> None:
    desk = started()
    desk.codec.tell(ShortText(id="d1", number=number, text="x"), 1, desk.now)
    assert (desk.asked(), desk.codec.told()) == (b"", [(1, "bad_number")])


def test_without_a_time_the_same_words_are_a_second_cry() -> None:
    """A service centre whose clock is unset (month 0): nothing tells a repetition from somebody who writes once more, days later."""
    without_time = HELLO.replace("99309251619580", "00000000000000")
    assert without_time != HELLO
    cries = []
    for index in (b"3", b"4"):
        desk = started()
        desk.says(b'\r\n+CMTI: "SM",' + index + b"\r\n")
        desk.says(b"\r\n+CMGR: 0,,35\r\n" + (HELLO if index == b"3" else without_time).encode() + b"\r\n\r\nOK\r\n")
        (cry,) = desk.found
        assert isinstance(cry, Signal)
        cries.append(cry)
    assert cries[0].dedup is not None
    assert (cries[1].dedup, cries[1].detail) == (None, cries[0].detail)


def test_a_card_full_of_messages_does_not_end_the_looking() -> None:
    """As many deletions as may wait: the next look has no room, and is made when there is."""
    card = b"".join(b"\r\n+CMGL: %d,1,,35\r\n" % index + HELLO.encode() for index in range(MAX_COMMANDS + 1))
    desk = started(options=ModemOptions(poll_s=1), card=card)
    for signal in desk.found:
        desk.codec.confirm(signal)
    assert desk.asked().startswith(b"AT+CMGD=")
    desk.later(1)
    for _ in range(MAX_COMMANDS):
        desk.says(b"\r\nOK\r\n")
    assert desk.later(REGISTER_S) == b"AT+CREG?\r"


def test_carriers_and_advertisers_are_nobody_who_calls_for_help() -> None:
    desk = started(options=ModemOptions(ignore=("2783",)))
    desk.says(b'\r\n+CMTI: "SM",3\r\n')
    assert desk.says(b"\r\n+CMGR: 0,,35\r\n" + HELLO.encode() + b"\r\n\r\nOK\r\n") == b"AT+CMGD=3\r"
    assert desk.found == []


def test_a_report_that_it_will_not_arrive_reaches_the_order() -> None:
    desk = started()
    fates: list[str] = []
    desk.codec.on_fate = fates.append
    report = "0006{:02X}0B917228001011F1111011719551401110117195714000"
    for reference, status, token in ((214, "00", 1), (215, "45", 2), (216, "30", 3)):
        tell(desk, token=token)
        desk.says(b"\r\n> ")
        desk.says(f"\r\n+CMGS: {reference}\r\n\r\nOK\r\n".encode())
        desk.says(b"\r\n+CDS: 24\r\n" + report.format(reference)[:-2].encode() + status.encode() + b"\r\n")
    assert fates == ["d2"]


def test_no_network() -> None:
    desk = started(registered=b"2")
    tell(desk)
    assert desk.codec.told() == [(1, "no_network")]
    assert desk.later(5) == b"AT+CREG?\r"
    desk.says(b"\r\n+CREG: 0,2\r\n\r\nOK\r\n")
    for _ in range(2):  # signal strength, messages on the card
        desk.says(b"\r\nOK\r\n")
    assert desk.found == [], "it may look for a while"
    assert desk.later(GRACE_S) == b"AT+CREG?\r"
    desk.says(b"\r\n+CREG: 0,2\r\n\r\nOK\r\n")
    (fault,) = desk.found
    assert isinstance(fault, Signal)
    assert (fault.kind, fault.phase, fault.kind_raw) == (Kind.FAULT, Phase.RAISE, "no_network")
    desk.says(b"\r\n+CREG: 5\r\n")  # of its own accord; roaming
    assert desk.codec.is_registered


def test_a_pin_that_is_refused_is_never_sent_again() -> None:
    """Three wrong ones lock the card (TS 22.030): not over a new connection either."""
    card = CardMemory()
    for attempt in range(2):
        desk = Desk(GsmModem(None, Surroundings(line="modem", session="s", memory=card), "1234"))
        desk.codec.connected(desk.now)
        for _ in range(3):
            desk.says(b"\r\nOK\r\n")
        wanted = desk.says(b"\r\n+CPIN: SIM PIN\r\n\r\nOK\r\n")
        assert wanted == (b'AT+CPIN="1234"\r' if attempt == 0 else b"")
        desk.says(b"\r\n+CME ERROR: 16\r\n")
        assert desk.codec.state == "pin_refused"
        (fault,) = desk.found
        assert isinstance(fault, Signal)
        assert fault.kind_raw == "pin_refused"
        tell(desk)
        assert desk.codec.told() == [(1, "pin_refused")]


def test_garbage_never_raises_and_the_modem_is_heard_again_after_it() -> None:
    desk = started()
    desk.says(bytes(range(256)) * 20 + b"\r\n")
    assert tell(desk) == b"AT+CMGS=25\r"
    assert desk.says(b"\xff\xfe\r\n> ").endswith(b"\x1a")


def test_a_modem_that_is_dead_is_given_up() -> None:
    desk = Desk(GsmModem(None, Surroundings(line="modem", session="s")))
    desk.codec.connected(desk.now)
    for _ in range(5):
        desk.later(6)
    assert desk.codec.hang_up


WORDS = [
    b"OK\r\n",
    b"ERROR\r\n",
    b"> ",
    b'+CMTI: "SM",3\r\n',
    b"+CMS ERROR: 38\r\n",
    b"+CREG: 0,2\r\n",
    b"+CDS: 24\r\n",
    b"+CMT: ,24\r\n",
    HELLO.encode() + b"\r\n",
]


@given(st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=40), st.floats(0, 100)), max_size=60))
def test_whatever_it_says_every_message_gets_one_answer(happenings: list[bytes | float]) -> None:
    """Noise, answers to nothing, silence: no exception, one result a message, and what leaves stays in proportion."""
    desk = started()
    for token in range(3):
        tell(desk, token=token)
    sent, told = 0, list(desk.codec.told())
    for one in happenings:
        sent += len(desk.says(one) if isinstance(one, bytes) and one else desk.later(one or 0.0) if isinstance(one, float) else b"")
        for found in desk.found:
            desk.codec.confirm(found)
        desk.found.clear()
        told += desk.codec.told()
    for _ in range(20):  # then nothing more: everybody hears, or the line is given up
        desk.later(SEND_S + 1)
        told += desk.codec.told()
    assert len({token for token, _ in told}) == len(told)
    assert desk.codec.hang_up or len(told) == 3
    assert sent < 20_000
