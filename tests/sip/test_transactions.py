"""Transactions and stream framing with a clock of the test's own: every timer at its second, every table bounded."""

import pytest

from drivers.sip.hop import Hop, answer_port, answered_vias, host_port, top_via
from drivers.sip.message import MalformedMessage, Message, parse_message
from drivers.sip.stream_frames import Frame, StreamFrames
from drivers.user_agent import client_transactions, server_transactions
from drivers.user_agent.client_transactions import TRANSITIONS as CLIENT
from drivers.user_agent.client_transactions import ClientTransaction, ClientTransactions, new_branch
from drivers.user_agent.client_transactions import State as ClientState
from drivers.user_agent.server_transactions import TRANSITIONS as SERVER
from drivers.user_agent.server_transactions import Key, ServerTransaction, ServerTransactions, merged_key, transaction_key
from tests.sip.sip_peer import ok, request

UDP = Hop("udp", ("192.0.2.20", 5060), ("192.0.2.10", 5060), 1)
TCP = Hop("tcp", ("192.0.2.20", 40_000), ("192.0.2.10", 5060), 2)


def message(**changes: object) -> Message:
    return parse_message(request(**changes))  # type: ignore[arg-type]


def key(**changes: object) -> Key:
    found = message(**changes)
    return transaction_key(found, top_via(found))


# ---- matching (RFC 3261, 17.2.3)


def test_a_repeated_request_is_the_same_transaction() -> None:
    assert key() == key()
    assert key() == key(headers=("X-Other: 1",))


@pytest.mark.parametrize(
    "other",
    [
        {"branch": "z9hG4bKdemo2"},
        {"sent_by": "192.0.2.21:5060"},
        {"sent_by": "192.0.2.20:5061"},
        {"method": "OPTIONS"},
        {"call_id": "demo2@192.0.2.20"},
        {"cseq": 2},
        {"body": b"another alarm"},
    ],
    ids=lambda row: next(iter(row)),
)
def test_anything_else_is_another_one(other: dict[str, object]) -> None:
    assert key() != key(**other)


@pytest.mark.parametrize("branch", ["1", "z9hG4bK"], ids=["old", "bare cookie"])
def test_old_branches_match_by_what_rfc_2543_has(branch: str) -> None:
    assert key(branch=branch) == key(branch=branch)
    assert key(branch=branch) != key(branch=branch, uri="sip:another@gateway.example")
    assert key(branch=branch) != key(branch=branch, from_="<sip:1234567890@example.net>;tag=d2")


def test_a_merged_request_is_the_same_but_for_its_branch() -> None:
    assert merged_key(message()) == merged_key(message(branch="z9hG4bKdemo2"))
    assert merged_key(message()) != merged_key(message(cseq=2))


# ---- server


def a_transaction(table: ServerTransactions, hop: Hop = UDP, now: float = 0.0, **changes: object) -> ServerTransaction:
    found = message(**changes)
    begun = table.begin(transaction_key(found, top_via(found)), merged_key(found), found, hop, "t1", now)
    assert begun is not None
    return begun


def test_the_answer_is_kept_for_timer_j() -> None:
    table = ServerTransactions()
    begun = a_transaction(table)
    assert table.answer(begun, 200, b"the answer", 1.0)
    assert table.find(key()) is begun
    assert begun.response == b"the answer"
    assert table.deadline() == 33.0
    table.due(32.9)
    assert table.find(key()) is begun
    table.due(33.0)
    assert table.find(key()) is None
    assert (len(table), table.deadline()) == (0, None)


def test_nothing_is_kept_on_streams() -> None:
    table = ServerTransactions()
    assert table.answer(a_transaction(table, TCP), 200, b"the answer", 1.0)
    assert len(table) == 0


def test_the_first_final_answer_counts() -> None:
    table = ServerTransactions()
    begun = a_transaction(table)
    assert table.answer(begun, 503, b"busy", 1.0)
    assert not table.answer(begun, 200, b"the answer", 2.0)
    assert not table.answer(begun, 100, b"trying", 2.0)
    assert begun.response == b"busy"


def test_what_is_not_decided_asks_for_100_and_then_503() -> None:
    table = ServerTransactions()
    begun = a_transaction(table, now=10.0)
    assert table.deadline() == 13.5
    assert table.due(13.4) == []
    assert table.due(13.5) == [(begun, 100)]
    table.answer(begun, 100, b"trying", 13.5)
    assert table.deadline() == 20.0
    assert table.due(19.9) == []
    assert table.due(20.0) == [(begun, 503)]


def test_the_oldest_answered_one_goes_first_and_no_undecided_one() -> None:
    table = ServerTransactions(limit=3)
    first, second, third = (a_transaction(table, branch=f"z9hG4bK{index}", cseq=index) for index in range(1, 4))
    full = message(branch="z9hG4bK4", cseq=4)
    assert table.begin(transaction_key(full, top_via(full)), merged_key(full), full, UDP, "t", 0.0) is None
    table.answer(second, 200, b"2", 1.0)
    table.answer(first, 200, b"1", 2.0)
    a_transaction(table, branch="z9hG4bK5", cseq=5)
    assert (len(table), table.evicted) == (3, 1)
    assert table.find(second.key) is None
    assert table.find(first.key) is first
    assert table.find(third.key) is third


def test_what_is_kept_is_bounded_by_its_size_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers repeat headers of requests: 64 KiB each, a hundred thousand times, would be the memory of the machine."""
    monkeypatch.setattr(server_transactions, "MAX_ANSWERS", 100_000)
    table = ServerTransactions()
    for number in range(10):
        begun = a_transaction(table, branch=f"z9hG4bK{number}", cseq=number + 1)
        table.answer(begun, 200, b"x" * 30_000, float(number))
    assert (len(table), table.evicted) == (3, 7)
    table.due(100.0)
    assert (len(table), table._answers) == (0, 0)
    long = message(branch="z9hG4bK" + "y" * 60_000)
    assert len(str(transaction_key(long, top_via(long))) + str(merged_key(long))) < 300


def test_requests_of_ours_are_bounded_by_their_size_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_transactions, "MAX_OCTETS", 100_000)
    table, told = ClientTransactions(lambda _: None), []
    for number in range(5):
        table.begin(f"z9hG4bK{number}", "MESSAGE", UDP, b"x" * 30_000, lambda _response, reason, _now: told.append(reason), 0.0)
    assert (len(table), told) == (3, ["too_many"] * 2)
    table.fail_all("line_down", 1.0)
    assert (len(table), table._octets) == (0, 0)


@pytest.mark.parametrize("table", [SERVER, CLIENT], ids=["server", "client"])
def test_every_state_can_be_reached_and_only_the_last_is_an_end(table: dict[str, dict[str, str]]) -> None:
    first, *others = table
    assert {target for row in table.values() for target in row.values()} - {first} == set(others)
    assert [state for state, row in table.items() if not row] == [others[-1]]


# ---- client


class Wire:
    """Client transactions with a clock, and a note of when what was sent."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sent: list[float] = []
        self.told: list[tuple[int, str, float]] = []
        self.table = ClientTransactions(self._send)

    def _send(self, transaction: ClientTransaction) -> None:
        self.sent.append(self.now)
        self.last = transaction

    def ask(self, hop: Hop = UDP) -> bytes:
        data = request(branch=new_branch(), sent_by="192.0.2.10:5060")
        found = parse_message(data)
        self.table.begin(found.branch, "MESSAGE", hop, data, self._done, self.now)
        return data

    def _done(self, response: Message | None, reason: str, now: float) -> None:
        self.told.append((response.code if response is not None else 0, reason, now))

    def wait(self, until: float) -> None:
        while (deadline := self.table.deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.table.handle_deadline(self.now)
        self.now = until

    def answer(self, asked: bytes, code: int) -> bool:
        return self.table.receive(parse_message(ok(asked, code)), self.now)


def test_a_request_is_repeated_as_timer_e_says_and_given_up_at_timer_f() -> None:
    wire = Wire()
    wire.ask()
    wire.wait(60.0)
    assert wire.sent == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert wire.told == [(0, "timeout", 32.0)]
    assert (len(wire.table), wire.table.deadline()) == (0, None)


def test_streams_repeat_nothing() -> None:
    wire = Wire()
    wire.ask(TCP)
    wire.wait(60.0)
    assert wire.sent == [0.0]
    assert wire.told == [(0, "timeout", 32.0)]


def test_a_provisional_answer_slows_the_repeats() -> None:
    wire = Wire()
    asked = wire.ask()
    wire.wait(0.7)
    assert wire.answer(asked, 100)
    wire.wait(10.0)
    assert wire.sent == [0.0, 0.5, 4.7, 8.7]
    assert wire.told == []


def test_the_final_answer_ends_it_and_its_repeats_are_absorbed() -> None:
    wire = Wire()
    asked = wire.ask()
    wire.wait(0.2)
    assert wire.answer(asked, 200)
    assert wire.answer(asked, 200)
    assert wire.told == [(200, "", 0.2)]
    wire.wait(5.1)
    assert wire.answer(asked, 200)
    wire.wait(5.3)
    assert not wire.answer(asked, 200)
    assert wire.sent == [0.0]


@pytest.mark.parametrize("hop", [UDP, TCP], ids=["udp", "tcp"])
def test_how_many_wait_is_known_without_counting(hop: Hop) -> None:
    wire = Wire()
    answered, refused, _never, lost = (wire.ask(hop) for _ in range(4))
    assert wire.table.waiting == 4
    wire.answer(answered, 100)
    assert wire.table.waiting == 4
    for _ in range(2):
        wire.answer(answered, 200)
        wire.answer(refused, 503)
        wire.table.fail(parse_message(lost).branch, "unreachable", wire.now)
    assert wire.table.waiting == 1
    wire.wait(60.0)
    assert (wire.table.waiting, len(wire.table)) == (0, 0)
    wire.ask(hop)
    wire.table.fail_all("stopped", wire.now)
    assert wire.table.waiting == 0


def test_answers_that_are_not_ours_are_told() -> None:
    wire = Wire()
    asked = wire.ask()
    assert not wire.answer(asked.replace(b"192.0.2.10:5060", b"192.0.2.99:5060"), 200)  # the top Via is another's
    assert not wire.answer(asked.replace(b"z9hG4bK", b"z9hG4bKx"), 200)
    assert not wire.answer(asked.replace(b"1 MESSAGE", b"1 OPTIONS"), 200)
    assert wire.told == []
    assert wire.last.state is ClientState.TRYING


def test_a_lost_connection_ends_what_was_asked_over_it() -> None:
    wire = Wire()
    wire.ask(TCP)
    wire.ask(UDP)
    wire.table.fail_socket(2, 1.0)
    assert wire.told == [(0, "connection_lost", 1.0)]


# ---- Via (RFC 3261, 18.2; RFC 3581)


@pytest.mark.parametrize(
    ("via", "answered", "port"),
    [
        ("SIP/2.0/UDP 192.0.2.20:5062;branch=z9hG4bK1", "SIP/2.0/UDP 192.0.2.20:5062;branch=z9hG4bK1", 5062),
        ("SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1", "SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1", 5060),
        ("SIP/2.0/UDP 10.0.0.5:5062;branch=z9hG4bK1", "SIP/2.0/UDP 10.0.0.5:5062;branch=z9hG4bK1;received=192.0.2.20", 5062),
        ("SIP/2.0/UDP device.example:5062;branch=z9hG4bK1", "SIP/2.0/UDP device.example:5062;branch=z9hG4bK1;received=192.0.2.20", 5062),
        ("SIP/2.0/UDP 192.0.2.20:5062;rport;branch=z9hG4bK1", "SIP/2.0/UDP 192.0.2.20:5062;rport=6001;branch=z9hG4bK1;received=192.0.2.20", 6001),
        ("SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK1;rport", "SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK1;rport=6001;received=192.0.2.20", 6001),
        ("SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK1;received=203.0.113.9", "SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK1;received=192.0.2.20", 5060),
        ("SIP / 2.0 / UDP 192.0.2.20 : 5062 ; branch = z9hG4bK1", "SIP / 2.0 / UDP 192.0.2.20 : 5062 ; branch = z9hG4bK1", 5062),
    ],
)
def test_the_top_via_says_where_the_answer_goes(via: str, answered: str, port: int) -> None:
    hop = Hop("udp", ("192.0.2.20", 6001), ("192.0.2.10", 5060), 1)
    asked = message(via=f"Via: {via}")
    assert answered_vias(asked, hop) == [answered]
    assert answer_port(top_via(asked), hop) == port


def test_vias_of_proxies_are_kept_in_order_joined_or_not() -> None:
    one, two, three = (f"SIP/2.0/UDP 192.0.2.{index};branch=z9hG4bK{index}" for index in (20, 30, 40))
    wanted = [one, two, three]
    assert answered_vias(message(via=f"Via: {one}, {two}\r\nv: {three}"), UDP) == wanted


def test_ipv6() -> None:
    hop = Hop("udp", ("2001:db8::20", 5060), ("2001:db8::10", 5060), 1)
    asked = message(via="Via: SIP/2.0/UDP [2001:DB8:0::20]:5062;branch=z9hG4bK1")
    assert answered_vias(asked, hop) == ["SIP/2.0/UDP [2001:DB8:0::20]:5062;branch=z9hG4bK1"]
    assert host_port(hop.local) == "[2001:db8::10]:5060"


@pytest.mark.parametrize("via", ["nonsense", "SIP/2.0/UDP", "SIP/2.0/UDP a b", "SIP/2.0/UDP 192.0.2.20:99999", "SIP/3.0/UDP 192.0.2.20"])
def test_what_is_no_via(via: str) -> None:
    with pytest.raises(MalformedMessage, match="bad_via"):
        top_via(message(via=f"Via: {via}"))


# ---- streams (RFC 3261, 18.3)

TWO = request(transport="TCP") + request("OPTIONS", transport="TCP", cseq=2, body=b"")


@pytest.mark.parametrize("size", [1, 2, 7, 100, 10_000])
def test_messages_are_cut_wherever_the_segments_are(size: int) -> None:
    frames = StreamFrames(0.0)
    data = b"\r\n" + TWO + b"\r\n\r\n" + TWO
    found: list[Frame] = []
    for at in range(0, len(data), size):
        found += frames.receive_data(data[at : at + size], 0.0)
    assert [frame.data for frame in found] == [request(transport="TCP"), request("OPTIONS", transport="TCP", cseq=2, body=b"")] * 2
    assert (frames.pings, frames.fault, frames.deadline()) == (1, "", None)


def test_pings_are_counted_and_cost_nothing() -> None:
    frames = StreamFrames(0.0)
    assert frames.receive_data(b"\r\n\r\n" * 1000 + b"\r\n", 0.0) == []
    assert frames.pings == 1000
    assert frames.receive_data(b"\r\n", 0.0) == []
    assert frames.pings == 1001


def test_the_length_may_be_folded_compact_and_repeated() -> None:
    data = request(body=b"four", length=4)
    for form in (b"Content-Length:\r\n 4", b"l: 4", b"CONTENT-LENGTH : 4", b"l:4\r\nContent-Length: 4"):
        assert [frame.data[-4:] for frame in StreamFrames(0.0).receive_data(data.replace(b"Content-Length: 4", form), 0.0)] == [b"four"]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (request().replace(b"Content-Length: 12\r\n", b""), "no_content_length"),
        (request().replace(b"Content-Length: 12", b"Content-Length: -1"), "bad_content_length"),
        (request().replace(b"Content-Length: 12", b"Content-Length: 1e3"), "bad_content_length"),
        (request().replace(b"Content-Length: 12", b"Content-Length: 99999999999999999"), "bad_content_length"),
        (request().replace(b"Content-Length: 12", b"Content-Length: 12\r\nl: 14"), "two_content_lengths"),
        (request(headers=["X: 1"] * 300), "too_many_headers"),
        (request(headers=["X: " + "1" * 70_000]), "too_long"),
        (b"A" * 70_000, "too_long"),
    ],
)
def test_what_cannot_be_cut_ends_the_connection(data: bytes, fault: str) -> None:
    frames = StreamFrames(0.0)
    assert frames.receive_data(data, 0.0) == []
    assert frames.fault == fault
    assert frames.receive_data(TWO, 0.0) == []


def test_a_body_beyond_the_limit_is_never_read() -> None:
    frames = StreamFrames(0.0, max_body=2000)
    head = request(body=b"", length=2001, content_type="")
    [frame] = frames.receive_data(head, 0.0)
    assert frame.too_long
    assert frame.data == head
    assert frames.fault == "body_too_long"


def test_how_long_a_message_may_take() -> None:
    frames = StreamFrames(100.0)
    assert frames.deadline() == 160.0
    frames.receive_data(b"\r\n", 101.0)
    assert frames.deadline() == 160.0
    frames.receive_data(TWO[:10], 110.0)
    assert frames.deadline() == 115.0
    frames.receive_data(TWO[10:20], 114.0)
    frames.handle_deadline(114.9)
    assert frames.fault == ""
    frames.handle_deadline(115.0)
    assert frames.fault == "slow_message"


def test_who_says_nothing_is_hung_up_on_once_only() -> None:
    silent, spoke = StreamFrames(0.0), StreamFrames(0.0)
    silent.handle_deadline(60.0)
    assert silent.fault == "silent"
    spoke.receive_data(TWO, 59.0)
    spoke.handle_deadline(1_000_000.0)
    assert (spoke.fault, spoke.deadline()) == ("", None)
