"""The simulated home unit against a receiver written by hand here: what it sends, whom it believes, where it goes next."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from waiting import WAIT_S, wait_until

from simulators.cli import main
from simulators.home_link import Receiver
from simulators.home_unit import HomeUnit

Answers = Callable[[str], list[str]]
MRS = "<mrs><ref>{ref}</ref><snu>{snu}</snu>{more}</mrs>"


class Arc(asyncio.DatagramProtocol):
    """A receiver on UDP. It answers each request with what `say` gives: status lines, or "mrs:…" for a MESSAGE of its own."""

    def __init__(self, say: Answers) -> None:
        self.say = say
        self.requests: list[str] = []
        self.answers: list[str] = []
        self.transport: Any = None
        self.told = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        text = data.decode()
        if text.startswith("SIP/2.0"):
            self.answers.append(text)
            return
        self.requests.append(text)
        for said in self.say(text):
            if said.startswith("mrs:"):
                body = said.removeprefix("mrs:")
                self.told += 1
                wire = (
                    f"MESSAGE sip:unit@{address[0]} SIP/2.0\r\nVia: SIP/2.0/UDP {address[0]}:1;branch=z9hG4bK{self.at.port}.{self.told}\r\n"
                    f"From: <sip:arc@x>;tag=a\r\n"
                    f"To: <sip:unit@x>\r\nCall-ID: arc{self.told}\r\nCSeq: 1 MESSAGE\r\nContent-Type: application/scaip+xml\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n{body}"
                )
            else:
                status, _, rest = said.partition("\n")
                extra, _, body = rest.partition("\n\n")
                keep = "".join(
                    f"{line}\r\n" for line in text.split("\r\n\r\n")[0].split("\r\n")[1:] if line[:4] in ("Via:", "From", "To: ", "Call", "CSeq")
                )
                wire = f"SIP/2.0 {status}\r\n{keep}{extra}Content-Length: {len(body)}\r\n\r\n{body}"
            self.transport.sendto(wire.encode(), address)

    @property
    def at(self) -> Receiver:
        return Receiver("127.0.0.1", self.transport.get_extra_info("sockname")[1])


def ref_of(text: str) -> str:
    found = re.search("<ref>(.*?)</ref>", text)
    assert found
    return found[1]


def takes_over(text: str) -> list[str]:
    return ["200 OK", "mrs:" + MRS.format(ref=ref_of(text), snu=0, more="<mre>01</mre><cre>61</cre>")]


@asynccontextmanager
async def arcs(*says: Answers) -> AsyncIterator[list[Arc]]:
    loop = asyncio.get_running_loop()
    pairs = [await loop.create_datagram_endpoint(lambda say=say: Arc(say), local_addr=("127.0.0.1", 0)) for say in says]
    try:
        yield [arc for _, arc in pairs]
    finally:
        for transport, _ in pairs:
            transport.close()


def unit(found: list[Arc], **options: object) -> HomeUnit:
    """Nothing is sent again or given up for being late, but where a test says so."""
    return HomeUnit("1234567890", [arc.at for arc in found], **{"t1_s": WAIT_S, "answer_s": WAIT_S, "hold_s": WAIT_S, **options})


async def test_an_alarm_is_taken_over_by_the_answer_not_by_the_200() -> None:
    async with arcs(takes_over) as found, unit(found) as home:
        said = await home.alarm(did="00A1B2C3", lco="043")
        assert (said.outcome, said.answer["snu"], [one.sent for one in said.tries]) == ("confirmed", "0", [1])
        body = found[0].requests[0].split("\r\n\r\n")[1]
        assert body == (
            f"<mrq><ref>{said.ref}</ref><mty>ME</mty><cid>1234567890</cid><dty>0003</dty><did>00A1B2C3</did>"
            "<crd>sip:1234567890@home.example</crd><stc>0010</stc><lco>043</lco></mrq>"
        )
        await wait_until(lambda: found[0].answers, "the unit's own answer arrives")
        assert found[0].answers[0].startswith("SIP/2.0 200")


async def test_a_200_alone_is_no_promise() -> None:
    async with arcs(lambda _: ["200 OK"], takes_over) as found, unit(found, answer_s=0.3) as home:
        said = await home.alarm()
        assert (said.outcome, [(one.code, one.snu) for one in said.tries]) == ("confirmed", [(200, None), (200, 0)])


@pytest.mark.parametrize("first", ["503 Service Unavailable", "415 Unsupported Media Type", "mrs:5", "mrs:6", "mrs:1"])
async def test_refused_by_one_it_asks_the_next(first: str) -> None:
    def refuses(text: str) -> list[str]:
        return [first] if not first.startswith("mrs:") else ["200 OK", "mrs:" + MRS.format(ref=ref_of(text), snu=first[4:], more="")]

    async with arcs(refuses, takes_over) as found, unit(found) as home:
        said = await home.alarm()
        assert (said.outcome, len(said.tries), len(found[1].requests)) == ("confirmed", 2, 1)
        assert ref_of(found[0].requests[0]) == ref_of(found[1].requests[0])


async def test_silence_is_retransmitted_and_then_given_up() -> None:
    t1_s, arrived = 0.02, list[float]()
    loop = asyncio.get_running_loop()

    def hears_only(_: str) -> list[str]:
        arrived.append(loop.time())
        return []

    async with arcs(hears_only, takes_over) as found, unit(found, t1_s=t1_s) as home:
        began = loop.time()
        said = await home.alarm()
        assert (said.outcome, said.tries[0].code) == ("confirmed", 0)
        # RFC 3261, 17.1.2.2: gaps of T1, 2 T1, 4 T1, then T2 = 8 T1, until 64 T1. A busy machine sends late, never early, and all.
        due = [t1_s * at for at in (0, 1, 3, 7, 15, 23, 31, 39, 47, 55, 63)]
        assert said.tries[0].sent == len(found[0].requests) == len(due)
        assert all(at - began >= planned for at, planned in zip(arrived, due, strict=True))
        assert len(set(found[0].requests)) == 1


async def test_lost_answers_make_the_same_request_come_five_times() -> None:
    async with arcs(takes_over) as found, unit(found, t1_s=0.1) as home:
        home.link.drop_answers = 4
        said = await home.alarm()
        assert (said.outcome, said.tries[0].sent, len(set(found[0].requests))) == ("confirmed", 5, 1)


@pytest.mark.parametrize(("then", "outcome"), [("0", "confirmed"), ("", "lost"), ("5", "lost")])
async def test_hold_waits_for_another_answer(then: str, outcome: str) -> None:
    def holds(text: str) -> list[str]:
        return ["200 OK", *("mrs:" + MRS.format(ref=ref_of(text), snu=snu, more="") for snu in f"4{then}")]

    async with arcs(holds) as found, unit(found, hold_s=WAIT_S if then else 0.3) as home:
        said = await home.alarm()
        assert (said.outcome, said.tries[0].snu) == (outcome, int(then or 4))


async def test_digest_with_what_the_unit_knows() -> None:
    challenge = (
        "401 Unauthorized\n"
        'WWW-Authenticate: Digest realm="12349.example", nonce="n1", qop="auth", algorithm=SHA-256\r\n'
        'WWW-Authenticate: Digest realm="12349.example", nonce="n1", qop="auth", algorithm=MD5\r\n'
    )

    def asks(text: str) -> list[str]:
        return takes_over(text) if "Authorization:" in text else [challenge]

    for algorithms, name in ((("", "MD5"), "md5"), (("", "MD5", "SHA-256"), "sha256")):
        async with arcs(asks) as found, unit(found, password="s3cret", algorithms=algorithms) as home:
            assert (await home.alarm()).outcome == "confirmed"
            proof = dict(re.findall(r'(\w+)="?([^",\s]+)', found[0].requests[1].split("Authorization: Digest ")[1].split("\r\n")[0]))

            def digest(text: str, name: str = name) -> str:
                return hashlib.new(name, text.encode()).hexdigest()

            secret, what = digest("1234567890:12349.example:s3cret"), digest(f"MESSAGE:{proof['uri']}")
            assert proof["response"] == digest(f"{secret}:n1:00000001:{proof['cnonce']}:auth:{what}")
            assert "CSeq: 2 MESSAGE" in found[0].requests[1]
    async with arcs(lambda _: [challenge]) as found, unit(found, password="wrong") as home:
        assert ((await home.alarm()).outcome, len(found[0].requests)) == ("lost", 2)


async def test_the_answer_inside_the_200() -> None:
    def inside(text: str) -> list[str]:
        return ["200 OK\n\n\n" + f"<scaip><ref>{ref_of(text)}</ref><snu>0</snu></scaip>"]

    async with arcs(inside) as found, unit(found, root="scaip", content_type="application/xml") as home:
        assert (await home.beat()).outcome == "confirmed"


async def test_the_voice_call_follows() -> None:
    def rings(text: str) -> list[str]:
        method = text.split(" ")[0]
        contact = f"Contact: <sip:8001@127.0.0.1:{phone[0].at.port}>\r\n"
        return {"INVITE": ["100 Trying", "180 Ringing", f"200 OK\n{contact}"], "BYE": ["200 OK"]}.get(method, [])

    phone: list[Arc] = []
    async with arcs(takes_over, rings) as found:
        phone.append(found[1])
        async with unit([found[0]], voice=("127.0.0.1", found[1].at.port), talk_s=0.05) as home:
            said = await home.alarm()
        await wait_until(lambda: len(found[1].requests) == 3, "the call is over")
        assert said.call == 200
        assert [text.split(" ")[0] for text in found[1].requests] == ["INVITE", "ACK", "BYE"]
        assert "m=audio" in found[1].requests[0]


async def test_a_busy_desk_is_acknowledged_and_told() -> None:
    async with arcs(takes_over, lambda text: ["486 Busy Here"] if text.startswith("INVITE") else []) as found:
        async with unit([found[0]], voice=("127.0.0.1", found[1].at.port)) as home:
            assert (await home.alarm()).call == 486
        await wait_until(lambda: len(found[1].requests) == 2, "the refusal is acknowledged")
        assert [text.split(" ")[0] for text in found[1].requests] == ["INVITE", "ACK"]


async def test_no_voice_no_call() -> None:
    def silent(text: str) -> list[str]:
        return ["200 OK", "mrs:" + MRS.format(ref=ref_of(text), snu=0, more="<mre>00</mre>")]

    async with arcs(silent, lambda _: []) as found, unit([found[0]], voice=("127.0.0.1", found[1].at.port)) as home:
        assert ((await home.alarm()).call, found[1].requests) == (0, [])


async def test_the_command_tells_what_became_of_each_message(capsys: pytest.CaptureFixture[str]) -> None:
    async with arcs(takes_over) as found:
        words = ["home-unit", "--receiver", str(found[0].at), "--units", "2", "--alarm", "0003:0010", "--heartbeats", "1"]
        code = await asyncio.to_thread(main, words)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (code, len(told)) == (0, 4)
    assert sorted({(one["cid"], one["mty"], one["outcome"]) for one in told}) == [
        ("1234567890", "ME", "confirmed"),
        ("1234567890", "PI", "confirmed"),
        ("1234567891", "ME", "confirmed"),
        ("1234567891", "PI", "confirmed"),
    ]
    assert main(["home-unit", "--receiver", "here"]) == 2
