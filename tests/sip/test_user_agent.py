"""The user agent without sockets: the table of answers, stored before answered, passwords, floods, all with a clock of the test's own."""

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from drivers.bodies.handler import Part
from drivers.contract import STORED, Rejected, Signal, Verdict
from drivers.sip.digest import response as digest_response
from drivers.sip.hop import Hop
from drivers.user_agent import text_service
from drivers.user_agent.options import Credentials, SipOptions
from drivers.user_agent.text_service import Delivery
from drivers.user_agent.user_agent import UserAgent
from gateway.config import CallsConfig
from tests.sip.sip_peer import Answer, read, request
from tests.sip.sip_wire import START

DEVICE = Hop("udp", ("192.0.2.20", 5060), ("192.0.2.10", 5060), 1)
STREAM = Hop("tcp", ("192.0.2.20", 40_000), ("192.0.2.10", 5060), 2)
AGAIN = Verdict("refused", "store_down", retry=True)
ALARM = (
    b"<mrq><ref>demo0001</ref><ver>01.00</ver><mty>ME</mty><cid>1234567890</cid><dty>0003</dty><did>00A1B2C3</did>"
    b"<crd>sip:1234567890@example.net</crd><stc>0010</stc><lco>043</lco></mrq>"
)


class Desk:
    """A user agent with a clock; what it sends is read back, what it wants stored is stored when the test says so."""

    def __init__(self, passwords: dict[str, str] | None = None, accounts: dict[str, str] | None = None, **options: object) -> None:
        self.now = 1000.0
        calls = CallsConfig(hotlines=("12349",), area_code="0931")
        credentials = Credentials(devices=passwords or {}, accounts=accounts or {})
        self.agent = UserAgent("sip", msgspec.convert(options, SipOptions), calls, credentials, b"s" * 32, self.now)
        self.signals: list[Signal] = []
        self.rejected: list[str] = []
        self.verdict: Verdict | Callable[[Signal | Rejected], Verdict] | None = STORED
        self.open: list[Delivery] = []
        self.raw: list[bytes] = []
        self.hops: list[Hop] = []

    def say(self, data: bytes, hop: Hop = DEVICE, after: float = 0.01, too_long: bool = False) -> list[Answer]:
        self.now += after
        self.agent.receive(hop, data, self.now, START + timedelta(seconds=self.now - 1000.0), too_long)
        return self.take()

    def one(self, data: bytes, hop: Hop = DEVICE) -> Answer:
        [answer] = self.say(data, hop)
        return answer

    def take(self) -> list[Answer]:
        self.raw, self.hops = [], []
        self._sent()
        for delivery in self.agent.deliveries():
            self.open.append(delivery)
            if self.verdict is not None:
                self.settle()
        for news in self.agent.news():
            self.rejected.append(news.reason) if isinstance(news, Rejected) else self.signals.append(news)
        return [read(data) for data in self.raw]

    def settle(self, verdict: Verdict | None = None) -> list[Answer]:
        delivery = self.open.pop(0)
        verdict = verdict or (self.verdict if isinstance(self.verdict, Verdict) else STORED)
        if verdict.kept:
            self.signals += [item for item in delivery.items if isinstance(item, Signal)]
        self.agent.settle(delivery, [verdict] * len(delivery.items), self.now)
        before = len(self.raw)
        self._sent()
        return [read(data) for data in self.raw[before:]]

    def wait(self, seconds: float) -> list[Answer]:
        until = self.now + seconds
        found: list[Answer] = []
        while (deadline := self.agent.deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.agent.handle_deadline(self.now, START)
            found += self.take()
        self.now = until
        return found

    def _sent(self) -> None:
        for sending in self.agent.sendings():
            self.raw.append(sending.data)
            self.hops.append(sending.hop)

    @property
    def kinds(self) -> list[str]:
        return [signal.kind.value for signal in self.signals]


# ---- the table of answers (sip-ua.md, section 3)


@pytest.mark.parametrize(
    ("data", "code", "header"),
    [
        (request("OPTIONS", body=b""), 200, ("allow", "MESSAGE, OPTIONS, NOTIFY")),
        (request("INVITE"), 405, ("allow", "MESSAGE, OPTIONS, NOTIFY")),
        (request("INVITE", to="<sip:12349@x>;tag=gone"), 481, None),
        (request("CANCEL", body=b""), 481, None),
        (request("BYE", body=b""), 481, None),
        (request("UPDATE", body=b""), 481, None),
        (request("INFO"), 481, None),
        (request("PRACK", body=b""), 481, None),
        (request("REGISTER", body=b""), 405, ("allow", "MESSAGE, OPTIONS, NOTIFY")),
        (request("SUBSCRIBE", body=b""), 405, ("allow", "MESSAGE, OPTIONS, NOTIFY")),
        (request("PUBLISH"), 405, ("allow", "MESSAGE, OPTIONS, NOTIFY")),
        (request("REFER", body=b""), 405, ("allow", "MESSAGE, OPTIONS, NOTIFY")),
        (request("NOTIFY", body=b"", headers=["Event: dialog"]), 481, None),
        (request("DANCE", body=b""), 501, ("allow", "MESSAGE, OPTIONS, NOTIFY")),
        (request("message"), 501, ("allow", "MESSAGE, OPTIONS, NOTIFY")),
        (request(headers=["Require: 100rel, precondition"]), 420, ("unsupported", "100rel, precondition")),
        (request("CANCEL", body=b"", headers=["Require: 100rel"]), 481, None),
        (request(uri="gopher:12349@gateway.example"), 416, None),
        (request(content_type="application/pdf", body=b"%PDF"), 415, ("accept", None)),
        (request(headers=["Content-Encoding: gzip"]), 415, ("accept-encoding", "identity")),
        (request(cseq_method="OPTIONS"), 400, None),
        (request(headers=["Max-Forwards: 0"]).replace(b"Max-Forwards: 70\r\n", b""), 200, None),
        (request(headers=["Max-Forwards: 256"]).replace(b"Max-Forwards: 70\r\n", b""), 400, None),
        (request(length=100), 400, None),
        (request().replace(b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia"), 505, None),
        (request(via="Via: nonsense"), 400, None),
        (request(from_='"unclosed <sip:a@b>;tag=1'), 400, None),
    ],
)
def test_the_table_of_answers(data: bytes, code: int, header: tuple[str, str | None] | None) -> None:
    answer = Desk().one(data)
    assert answer.code == code
    if header is not None:
        assert header[1] is None or answer.one(header[0]) == header[1]
        assert answer.one(header[0])
    assert ";tag=" in answer.one("to")
    assert answer.one("server") == "gateway-12349"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (request(cseq_method="OPTIONS"), "CSeq Method Differs"),
        (request(length=100), "Body Shorter Than Content-Length"),
        (request(from_='"unclosed <sip:a@b>;tag=1'), "Unbalanced Quotes"),
        (request(headers=["no colon here"]), "Header Without Colon"),
    ],
)
def test_a_400_says_what_is_wrong_and_the_bytes_are_kept(data: bytes, words: str) -> None:
    desk = Desk()
    assert desk.one(data).reason == f"Bad Request ({words})"
    assert len(desk.rejected) == 1


@pytest.mark.parametrize(
    "data",
    [
        request("ACK", body=b""),
        request().replace(b"Call-ID: demo1@192.0.2.20\r\n", b""),
        request().replace(b"To: <sip:12349@gateway.example>\r\n", b""),
        request().replace(b"CSeq: 1 MESSAGE\r\n", b""),
        b"\r\n\r\n",
        b"\0\0\0\0",
        b"hello?",
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: e\r\n"
        b"CSeq: 1 MESSAGE\r\n\r\n",
        request("ACK", body=b"").replace(b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia"),
    ],
    ids=["ack", "no call-id", "no to", "no cseq", "crlf", "nul", "text", "stray answer", "bad ack"],
)
def test_nothing_is_said_to_what_cannot_be_answered(data: bytes) -> None:
    desk = Desk()
    assert desk.say(data) == []
    assert desk.one(request()).code == 200


@pytest.mark.parametrize("code", [405, 486, 488])
def test_a_call_is_refused_the_same_way_each_time(code: int) -> None:
    desk = Desk(invite=code)
    first, again = desk.one(request("INVITE")), desk.one(request("INVITE"))
    assert first == again
    assert first.code == code
    assert desk.one(request("INVITE", call_id="another")).one("to") != first.one("to")
    assert desk.say(request("ACK", body=b"", to=first.one("to"))) == []
    assert len(desk.agent._answering.transactions) == 0


def test_what_a_200_holds() -> None:
    answer = Desk().one(request(via="Via: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK1;rport, SIP/2.0/UDP 10.0.0.6;branch=z9hG4bK0"))
    assert answer.first == "SIP/2.0 200 OK"
    assert answer.headers["via"] == [
        "SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK1;rport=5060;received=192.0.2.20",
        "SIP/2.0/UDP 10.0.0.6;branch=z9hG4bK0",
    ]
    assert (answer.one("from"), answer.one("call-id"), answer.one("cseq")) == ("<sip:1234567890@example.net>;tag=d1", "demo1@192.0.2.20", "1 MESSAGE")
    assert answer.one("date") == "Sat, 14 Mar 2026 09:26:53 GMT"
    assert answer.body == b""
    assert "contact" not in answer.headers
    assert Desk().one(request(to="<sip:12349@x>;tag=mine")).one("to") == "<sip:12349@x>;tag=mine"


def test_compact_folded_and_chinese() -> None:
    data = request(from_='"李娜" <sip:13893100001@x>;tag=1')
    data = data.replace(b"From:", b"f :").replace(b"To:", b"t:\r\n ").replace(b"Call-ID:", b"i:").replace(b"Content-Type", b"c")
    data = data.replace("李娜".encode(), "李娜".encode("gb18030"))
    desk = Desk()
    answer = desk.one(data)
    assert answer.code == 200
    assert "李娜".encode("gb18030") in desk.raw[0]
    [signal] = desk.signals
    assert (signal.device, signal.detail["text"]) == ("13893100001", "help, I fell")
    assert signal.raw == data


# ---- one alarm, however often it comes


def test_three_transmissions_are_one_alarm_and_three_identical_answers() -> None:
    desk = Desk()
    answers = []
    for after in (0.0, 0.5, 1.0):
        desk.say(request(), after=after)
        answers += desk.raw
    desk.wait(5.0)
    desk.say(request())
    answers += desk.raw
    assert len(answers) == 4
    assert len(set(answers)) == 1
    assert desk.kinds == ["help"]
    assert desk.agent.counts["retransmissions"] == 3


def test_after_32_seconds_the_same_branch_is_a_new_request() -> None:
    desk = Desk()
    desk.say(request())
    desk.wait(31.5)
    desk.say(request())
    assert len(desk.signals) == 1
    desk.wait(1.0)
    assert desk.one(request()).code == 200
    assert len(desk.signals) == 2


def test_a_repetition_while_we_are_deciding_is_absorbed() -> None:
    desk = Desk()
    desk.verdict = None
    assert desk.say(request()) == []
    assert desk.say(request(), after=0.5) == []
    assert [answer.code for answer in desk.settle(STORED)] == [200]
    assert len(desk.signals) == 1


def test_no_100_before_it_takes_long_and_503_when_it_takes_too_long() -> None:
    desk = Desk()
    desk.verdict = None
    desk.say(request(), after=0.0)
    assert desk.wait(3.4) == []
    [trying] = desk.wait(0.2)
    assert (trying.code, trying.one("to")) == (100, "<sip:12349@gateway.example>")
    assert [answer.code for answer in desk.say(request())] == [100]
    [busy] = desk.wait(7.0)
    assert (busy.code, busy.one("retry-after")) == (503, "10")
    assert [answer.code for answer in desk.say(request())] == [503]
    assert desk.settle(STORED) == []
    assert desk.agent.counts["timed_out"] == 1


def test_the_store_is_away() -> None:
    desk = Desk()
    desk.verdict = AGAIN
    answer = desk.one(request())
    assert (answer.code, answer.one("retry-after")) == (503, "10")
    assert desk.one(request()).code == 503
    desk.verdict = STORED
    assert desk.one(request(branch="z9hG4bKnext")).code == 200
    assert desk.kinds == ["help"]


def test_what_can_never_be_stored_is_told_so() -> None:
    desk = Desk()
    desk.verdict = Verdict("refused", "undecidable")
    assert desk.one(request()).code == 500


def test_the_same_request_by_two_ways_is_one_alarm() -> None:
    desk = Desk()
    desk.verdict = None
    desk.say(request())
    assert desk.say(request(branch="z9hG4bKfork")) == []
    assert [(answer.code, answer.one("via").partition("branch=")[2][:11]) for answer in desk.settle(STORED)] == [
        (200, "z9hG4bKdemo"),
        (200, "z9hG4bKfork"),
    ]
    assert desk.one(request(branch="z9hG4bKthird")).code == 200
    assert (len(desk.signals), desk.agent.counts["merged"]) == (1, 2)
    strict = Desk(merged="refuse")
    strict.say(request())
    assert strict.one(request(branch="z9hG4bKfork")).code == 482


def test_devices_that_make_the_same_numbers_are_two_alarms() -> None:
    desk = Desk()
    desk.say(request(body=b"flat 1"))
    assert desk.one(request(body=b"flat 2")).code == 200
    assert desk.one(request(body=b"flat 3", branch="z9hG4bKx")).code == 200
    assert [signal.detail["text"] for signal in desk.signals] == ["flat 1", "flat 2", "flat 3"]


# ---- size and overload


def test_bodies_beyond_the_limit() -> None:
    desk = Desk(max_body=1024)
    assert desk.one(request(body=b"x" * 1025)).code == 513
    assert desk.one(request(body=b"x" * 1024, branch="z9hG4bK2")).code == 200
    assert desk.say(request(body=b"", length=5000, branch="z9hG4bK3"), STREAM, too_long=True)[0].code == 513
    assert len(desk.signals) == 1


def test_too_many_undecided_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_service, "MAX_UNDECIDED", 3)
    desk = Desk()
    desk.verdict = None
    assert [desk.say(request(branch=f"z9hG4bK{index}", cseq=index + 1)) for index in range(3)] == [[], [], []]
    answer = desk.one(request(branch="z9hG4bKlast", cseq=9))
    assert (answer.code, answer.one("retry-after")) == (503, "10")
    desk.settle(STORED)
    assert desk.say(request(branch="z9hG4bKlast", cseq=9)) == []


def test_alarms_are_shed_last_and_an_operator_hears_of_it() -> None:
    desk = Desk(requests_per_s=10.0)  # twenty at once, ten of them kept for alarms
    served = [desk.say(request("OPTIONS", branch=f"z9hG4bKo{index}", body=b""), after=0.0) for index in range(30)]
    assert [len(answers) for answers in served] == [1] * 10 + [0] * 20
    alarms = [desk.say(request(branch=f"z9hG4bKa{index}", cseq=index + 1), after=0.0)[0].code for index in range(12)]
    assert alarms == [200] * 10 + [503] * 2
    assert desk.say(request(branch="z9hG4bKx", cseq=99), Hop("udp", ("192.0.2.21", 5060), DEVICE.local, 1), after=0.0)[0].code == 200
    assert [(signal.kind_raw, signal.device, signal.phase.value) for signal in desk.signals if signal.kind.value == "fault"] == [
        ("rate_limited", "192.0.2.20", "raise")
    ]
    assert (desk.agent.counts["shed"], desk.agent.counts["shed_alarms"]) == (20, 2)
    desk.wait(61.0)
    assert desk.signals[-1].phase.value == "clear"
    assert desk.one(request("OPTIONS", branch="z9hG4bKz", body=b"")).code == 200


def test_a_repeated_alarm_is_answered_even_by_an_exhausted_source() -> None:
    desk = Desk(requests_per_s=1.0)
    desk.say(request())
    for index in range(5):
        desk.say(request(branch=f"z9hG4bK{index}", cseq=index + 2), after=0.0)
    assert desk.one(request()).code == 200


# ---- who may talk


def test_unknown_sources_and_scanners_get_no_answer() -> None:
    desk = Desk(sources=("198.51.100.0/24",))
    for data in (request(), request("OPTIONS", body=b""), b"garbage"):
        assert desk.say(data) == []
    assert (desk.signals, desk.rejected, desk.agent.counts["unknown_source"]) == ([], [], 3)
    assert desk.one(request(), Hop("udp", ("198.51.100.7", 5060), DEVICE.local, 1)).code == 200
    desk = Desk()
    assert desk.say(request("OPTIONS", body=b"", headers=["User-Agent: friendly-scanner"])) == []
    assert desk.say(request("OPTIONS", body=b"", cseq_method="INVITE", headers=["User-Agent: friendly-scanner"])) == []
    assert desk.agent.counts["scanner"] == 1


def proof(challenge: str, password: str = "s3cret", user: str = "alarm-01", nc: str = "00000001", uri: str = "sip:12349@gateway.example") -> str:
    told = dict(part.split("=", 1) for part in challenge.removeprefix("Digest ").split(", "))
    plain = {name: value.strip('"') for name, value in told.items()}
    answer = digest_response(plain["algorithm"], "MESSAGE", uri, user, plain["realm"], password, plain["nonce"], cnonce="c", nc=nc, qop="auth")
    return (
        f'Authorization: Digest username="{user}", realm="{plain["realm"]}", nonce="{plain["nonce"]}", uri="{uri}", response="{answer}",'
        f' algorithm={plain["algorithm"]}, cnonce="c", qop=auth, nc={nc}'
    )


@pytest.mark.parametrize("which", [0, 1], ids=["sha-256", "md5"])
def test_a_password_is_asked_for_and_checked(which: int) -> None:
    desk = Desk({"alarm-01": "s3cret"}, authentication="required")
    asked = desk.one(request())
    challenges = asked.headers["www-authenticate"]
    assert asked.code == 401
    assert [challenge.rpartition("algorithm=")[2] for challenge in challenges] == ["SHA-256", "MD5"]
    assert desk.signals == []
    good = request(branch="z9hG4bK2", cseq=2, headers=[proof(challenges[which])])
    assert desk.one(good).code == 200
    assert [signal.integrity for signal in desk.signals] == ["verified"]
    assert desk.one(good).code == 200  # repeated: the stored answer, though nonce and count are used up
    replayed = desk.one(request(branch="z9hG4bK3", cseq=3, headers=[proof(challenges[which])]))
    assert replayed.code == 401
    assert "stale=true" in replayed.headers["www-authenticate"][0]
    assert len(desk.signals) == 1


def test_a_wrong_password_stores_nothing_and_an_operator_hears_of_the_third() -> None:
    desk = Desk({"alarm-01": "s3cret"}, authentication="required")
    challenge = desk.one(request()).headers["www-authenticate"][0]
    for index in range(4):
        wrong = request(branch=f"z9hG4bK{index}", cseq=index + 2, headers=[proof(challenge, "guess", user=("alarm-01", "nobody")[index % 2])])
        assert desk.one(wrong).code == 401
    assert [(signal.kind_raw, signal.device) for signal in desk.signals] == [("authentication_failed", "192.0.2.20")]
    good = request(branch="z9hG4bKgood", cseq=9, headers=[proof(challenge)])
    assert desk.one(good).code == 200
    assert [signal.kind_raw for signal in desk.signals[1:]] == ["text/plain", "authentication_failed"]
    assert desk.signals[-1].phase.value == "clear"


def test_a_request_that_comes_under_thousands_of_branches_while_it_is_being_stored_is_one_alarm() -> None:
    desk = Desk()
    desk.verdict = None
    for number in range(1_500):
        desk.say(request(branch=f"z9hG4bK{number}"), after=0.002)
    assert len(desk.open) == 1
    answers = desk.settle(STORED)
    assert [answer.code for answer in answers] == [200] * 1_500
    assert len(desk.signals) == 1


def test_a_text_is_a_second_cry_when_another_device_or_one_started_anew_writes_the_same() -> None:
    """sip-ua.md, section 3: a device that reboots can reuse Call-ID and CSeq, and two of one make may choose the same."""
    desk = Desk()
    desk.say(request())
    desk.say(request(branch="z9hG4bK2", from_="<sip:2234567890@example.net>;tag=d1"))
    desk.wait(40)
    desk.say(request())
    assert len({signal.dedup for signal in desk.signals}) == 3


def test_a_name_as_long_as_a_datagram_is_cut() -> None:
    desk = Desk()
    for type_, body in (("text/plain", b"help"), ("application/scaip+xml", b"<mrq><ref>1</ref></mrq>")):
        desk.say(request(call_id=type_, from_=f"<sip:{'9' * 50_000}@example.net>;tag=1", content_type=type_, body=body))
    assert [signal.device for signal in desk.signals] == ["9" * 128] * 2
    assert all(len(signal.dedup or "") < 300 for signal in desk.signals)


def test_a_401_retry_that_forgets_to_count_is_no_merged_request() -> None:
    desk = Desk({"alarm-01": "s3cret"}, authentication="required")
    challenge = desk.one(request()).headers["www-authenticate"][0]
    assert desk.one(request(branch="z9hG4bK2", headers=[proof(challenge)])).code == 200
    assert len(desk.signals) == 1


def test_alarms_may_be_believed_without_a_password_and_marked() -> None:
    desk = Desk({"alarm-01": "s3cret"}, authentication="accept_and_mark")
    assert desk.one(request()).code == 200
    assert [signal.integrity for signal in desk.signals] == ["unauthenticated"]


def test_the_policy_may_differ_by_network() -> None:
    desk = Desk({"alarm-01": "s3cret"}, authentication="required", authentication_for={"192.0.2.0/24": "off", "192.0.2.20/32": "accept_and_mark"})
    hops = [Hop("udp", (address, 5060), DEVICE.local, 1) for address in ("198.51.100.1", "192.0.2.7", "192.0.2.20")]
    codes = [desk.one(request(branch=f"z9hG4bK{index}", cseq=index + 1), hop).code for index, hop in enumerate(hops)]
    assert codes == [401, 200, 200]
    assert [signal.integrity for signal in desk.signals] == ["unverified", "unauthenticated"]


# ---- what is said back (SCAIP)


def scaip(**changes: object) -> bytes:
    return request(content_type="application/scaip+xml", body=ALARM, **changes)  # type: ignore[arg-type]


def test_without_rport_the_reply_follows_the_200_to_the_port_of_the_via() -> None:
    desk = Desk()
    sent_from = Hop("udp", ("192.0.2.20", 40_000), ("192.0.2.10", 5060), 1)
    answer, follow_up = desk.say(scaip(via="Via: SIP/2.0/UDP 192.0.2.20:5070;branch=z9hG4bK1"), sent_from)
    assert (answer.code, follow_up.first[:8]) == (200, "MESSAGE ")
    assert [hop.peer for hop in desk.hops] == [("192.0.2.20", 5070)] * 2
    desk.wait(33)
    assert desk.hops[-1].peer == ("192.0.2.20", 40_000)


def test_the_reply_follows_the_200_to_where_the_alarm_came_from() -> None:
    desk = Desk()
    answer, follow_up = desk.say(scaip(headers=["Contact: <sip:1234567890@10.0.0.5:5062>"]))
    assert answer.code == 200
    assert follow_up.first == "MESSAGE sip:1234567890@10.0.0.5:5062 SIP/2.0"
    assert desk.hops[1].peer == DEVICE.peer
    assert follow_up.one("to") == "<sip:1234567890@example.net>"
    assert follow_up.one("from").startswith("<sip:12349@gateway.example>;tag=")
    assert follow_up.one("content-type") == "application/scaip+xml"
    assert b"<ref>demo0001</ref><snu>0</snu>" in follow_up.body
    repeated = desk.wait(1.0)
    assert [one.first for one in repeated] == [follow_up.first]
    assert desk.raw[0].endswith(follow_up.body)


def answered(desk: Desk, asked: Answer, code: int = 200, hop: Hop = DEVICE) -> list[Answer]:
    lines = [f"SIP/2.0 {code} X", *(f"{name}: {value}" for name in ("via", "from", "to", "call-id", "cseq") for value in asked.headers[name])]
    return desk.say("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode(), hop)


def test_a_reply_that_never_arrives_is_tried_once_more_and_then_told() -> None:
    desk = Desk()
    desk.say(scaip())
    sent = desk.wait(70.0)
    assert len({one.one("via") for one in sent}) == 2
    assert [(s.kind_raw, s.device, s.detail["cause"]) for s in desk.signals if s.kind.value == "fault"] == [
        ("follow_up_failed", desk.signals[0].device, "timeout")
    ]
    _, again = desk.say(scaip(branch="z9hG4bK2", cseq=2, call_id="again"))
    answered(desk, again)
    assert (desk.signals[-1].kind_raw, desk.signals[-1].phase.value) == ("follow_up_failed", "clear")
    assert desk.agent.counts["follow_up_sent"] == 1


def test_a_reply_over_a_stream_goes_over_the_same_connection_or_else_back_to_the_device() -> None:
    desk = Desk()
    _, follow_up = desk.say(scaip(transport="TCP", headers=["Contact: <sip:1234567890@192.0.2.20:5070;transport=tcp>"]), STREAM)
    assert [hop.socket for hop in desk.hops] == [2, 2]
    desk.agent.connection_lost(2, desk.now)
    [again] = desk.take()
    assert (desk.hops[0].socket, desk.hops[0].peer) == (None, ("192.0.2.20", 5070))
    assert again.body == follow_up.body


def test_nobody_may_send_us_to_a_third_party() -> None:
    desk = Desk()
    desk.say(scaip(transport="TCP", headers=["Contact: <sip:1@203.0.113.5:22>"]), STREAM)
    desk.agent.connection_lost(2, desk.now)
    desk.take()
    assert [hop.peer for hop in desk.hops] == [("192.0.2.20", 5060)]


def test_a_full_disk_says_503_and_nothing_else() -> None:
    desk = Desk()
    desk.verdict = AGAIN
    assert [answer.code for answer in desk.say(scaip())] == [503]
    assert desk.wait(5.0) == []


# ---- texts of ours


def text(desk: Desk, body: bytes = b"go to Honggu Street 1", hops: list[Hop] | None = None, address: str = "sip:station-7@192.0.2.30") -> list[str]:
    told: list[str] = []
    desk.agent.send_text(address, Part(body, "text/plain"), told.append)
    [ask] = desk.agent.wanted()
    assert ask.next_hop == address
    hop = Hop("udp", ("192.0.2.30", 5060), ("192.0.2.10", 5060))
    desk.agent.launch(ask, [hop] if hops is None else hops, desk.now)
    return told


def test_a_text_is_sent_and_its_outcome_told() -> None:
    desk = Desk(address="sip:12349@hotline.example")
    told = text(desk)
    [sent] = desk.take()
    assert sent.first == "MESSAGE sip:station-7@192.0.2.30 SIP/2.0"
    assert sent.one("from").startswith("<sip:12349@hotline.example>;tag=")
    assert sent.one("via").startswith("SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK")
    assert sent.one("via").endswith(";rport")
    answered(desk, sent, 202)
    assert told == [""]


@pytest.mark.parametrize(("code", "outcome"), [(486, "sip_486"), (404, "sip_404"), (503, "sip_503"), (302, "sip_302"), (401, "sip_401")])
def test_a_refused_text(code: int, outcome: str) -> None:
    desk = Desk()
    told = text(desk)
    [sent] = desk.take()
    answered(desk, sent, code)
    assert told == [outcome]


def test_a_text_without_an_answer_and_one_without_a_way() -> None:
    desk = Desk()
    told = text(desk)
    desk.wait(33.0)
    assert told == ["timeout"]
    assert text(desk, hops=[]) == ["no_route"]


def test_after_a_503_the_next_hop_is_tried() -> None:
    desk = Desk()
    hops = [Hop("udp", (f"192.0.2.{index}", 5060), ("192.0.2.10", 5060)) for index in (30, 31)]
    told = text(desk, hops=hops)
    [first] = desk.take()
    [second] = answered(desk, first, 503)
    assert desk.hops[0].peer[0] == "192.0.2.31"
    assert (second.one("via") != first.one("via"), second.one("call-id")) == (True, first.one("call-id"))
    answered(desk, second)
    assert told == [""]


def test_long_texts_go_by_tcp_and_by_udp_when_nobody_listens_there() -> None:
    desk = Desk()
    told = text(desk, b"x" * 1300)
    [sent] = desk.take()
    assert (desk.hops[0].transport, sent.one("via")[:11]) == ("tcp", "SIP/2.0/TCP")
    desk.agent.undeliverable(sent.one("via").split("branch=")[1].split(";")[0], "unreachable", desk.now)
    [again] = desk.take()
    assert desk.hops[0].transport == "udp"
    answered(desk, again)
    assert told == [""]


@pytest.mark.parametrize(("code", "asked", "given"), [(401, "WWW-Authenticate", "authorization"), (407, "Proxy-Authenticate", "proxy-authorization")])
def test_we_prove_ourselves_once(code: int, asked: str, given: str) -> None:
    desk = Desk(accounts={"12349": "hush"}, account="12349")
    told = text(desk)
    [sent] = desk.take()
    challenge = f'{asked}: Digest realm="pbx", nonce="n1", qop="auth", algorithm=MD5'

    def refuse(asked_: Answer, extra: str = challenge) -> list[Answer]:
        lines = [f"SIP/2.0 {code} X", *(f"{name}: {value}" for name in ("via", "from", "to", "call-id", "cseq") for value in asked_.headers[name])]
        return desk.say("\r\n".join([*lines, extra, "Content-Length: 0", "", ""]).encode())

    [proved] = refuse(sent)
    value = proved.one(given)
    cnonce = value.partition('cnonce="')[2].partition('"')[0]
    wanted = digest_response("MD5", "MESSAGE", "sip:station-7@192.0.2.30", "12349", "pbx", "hush", "n1", cnonce=cnonce, nc="00000001", qop="auth")
    assert f'response="{wanted}"' in value
    assert proved.one("cseq") == "2 MESSAGE"
    assert (proved.one("call-id"), proved.one("from")) == (sent.one("call-id"), sent.one("from"))
    assert proved.one("via") != sent.one("via")
    [stale] = refuse(proved, challenge.replace("n1", "n2") + ", stale=true")
    assert 'nonce="n2"' in stale.one(given)
    assert refuse(stale) == []
    assert told == [f"sip_{code}"]
