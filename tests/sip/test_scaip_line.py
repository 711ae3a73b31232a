"""SCAIP through a real SIP line: simulated home units (outside witnesses) on UDP, TCP and TLS, a full disk, passwords, garbage beside them."""

import asyncio
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from certificates import self_signed
from waiting import WAIT_S

from drivers.lines.sip_port import SipLine
from gateway.event import Kind
from simulators.home_link import Receiver
from simulators.home_unit import HomeUnit, street
from tests.sip.sip_peer import Datagrams, Store, a_line, request, running

T1_S = 0.05


def receiver(line: SipLine, transport: str = "udp") -> Receiver:
    return Receiver("127.0.0.1", next(port for kind, _, port in line.ports if kind == transport), transport)


def unit(*receivers: Receiver, cid: str = "1234567890", **options: Any) -> HomeUnit:
    return HomeUnit(cid, list(receivers), **{"t1_s": T1_S, "answer_s": WAIT_S, **options})


async def test_an_alarm_is_stored_then_answered_then_taken_over() -> None:
    store = Store()
    async with running(a_line(), store) as line, unit(receiver(line)) as home:
        said = await home.alarm(did="00A1B2C3", lco="043")
        assert (said.outcome, said.answer) == ("confirmed", {"ref": said.ref, "snu": "0", "mre": "01", "cre": "61"})
        (event,) = store.events
        assert (event.kind, event.device, event.detail["voice"], event.detail["location"]) == (Kind.SOS, "1234567890", "1234567890", "living room")
        assert event.raw.startswith(b"MESSAGE ")


async def test_five_transmissions_are_one_event_and_a_second_press_is_a_second_cry() -> None:
    store = Store()
    async with running(a_line(), store) as line, unit(receiver(line)) as home:
        home.link.drop_answers = 4
        said = await home.alarm()
        assert (said.outcome, len(store.events)) == ("confirmed", 1)
        assert said.tries[0].sent >= 5, "more, if the fifth answer took its time"
        await home.alarm()
        assert len({event.dedup for event in store.events}) == 2


async def test_the_same_ref_in_a_new_message_hears_the_same_answer_and_is_no_event() -> None:
    store = Store()
    async with running(a_line(), store) as line, unit(receiver(line)) as home:
        first, again = [await home.say("ME", ref="once", dty="0003", stc="0010") for _ in range(2)]
        assert (first.outcome, again.outcome, first.answer) == ("confirmed", "confirmed", again.answer)
        assert len(store.events) == 1


async def test_a_full_disk_sends_the_unit_to_its_next_receiver() -> None:
    full, sound = Store(down=1), Store()
    async with running(a_line(), full) as first, running(a_line(), sound) as second, unit(receiver(first), receiver(second)) as home:
        said = await home.alarm()
        assert (said.outcome, [(one.code, one.snu) for one in said.tries]) == ("confirmed", [(503, None), (200, 0)])
        assert (full.events, len(sound.events)) == ([], 1)
        again = await home.say("ME", ref=said.ref, dty="0003", stc="0010", crd="sip:1234567890@home.example")
        assert (len(again.tries), len(full.events)) == (1, 1)  # what was refused never was


@pytest.mark.parametrize("algorithms", [("", "MD5"), ("", "MD5", "SHA-256")], ids=["an old unit", "a new one"])
async def test_passwords(tmp_path: Path, algorithms: tuple[str, ...]) -> None:
    secrets = tmp_path / "credentials.toml"
    secrets.write_text('[devices]\n1234567890 = "s3cret"\n')
    store = Store()
    line = a_line(authentication="required", credentials_file=str(secrets))
    async with (
        running(line, store),
        unit(receiver(line), password="s3cret", algorithms=algorithms) as good,
        unit(receiver(line), password="x") as bad,
    ):
        wrong, right = await bad.alarm(), await good.alarm()
        assert (wrong.outcome, wrong.tries[0].code, right.outcome) == ("lost", 401, "confirmed")
        assert [event.integrity for event in store.events if event.kind is Kind.SOS] == ["verified"]


async def test_tcp() -> None:
    store = Store()
    async with running(a_line(also=["tcp:0:interface=127.0.0.1"]), store) as line, unit(receiver(line, "tcp")) as home:
        assert [(await home.alarm()).outcome, (await home.beat()).outcome] == ["confirmed", "confirmed"]
        assert [event.kind for event in store.events] == [Kind.SOS, Kind.HEARTBEAT]


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
async def test_tls(tmp_path: Path) -> None:
    certificate_file, key_file = self_signed(tmp_path, "cert")
    line = a_line(also=[f"ssl:0:interface=127.0.0.1:privateKey={key_file}:certKey={certificate_file}"])
    context = ssl.create_default_context(cafile=str(certificate_file))
    async with running(line, Store()), unit(receiver(line, "tls"), tls=context) as home:
        assert (await home.alarm()).outcome == "confirmed"


async def test_heartbeats_of_a_street() -> None:
    store = Store()
    async with running(a_line(), store) as line, street([unit(receiver(line), cid=f"55{number:04}") for number in range(20)]) as units:
        said = await asyncio.gather(*(home.beat() for home in units))
        assert {one.outcome for one in said} == {"confirmed"}
        assert {(event.kind, event.device) for event in store.events} == {(Kind.HEARTBEAT, home.cid) for home in units}


async def test_the_variant_with_the_answer_inside() -> None:
    store = Store()
    async with running(a_line(), store) as line, unit(receiver(line), root="scaip", content_type="application/xml") as home:
        said = await home.alarm()
        assert (said.outcome, store.events[0].kind) == ("confirmed", Kind.SOS)


async def test_garbage_and_70_kb_get_their_status_and_disturb_nobody() -> None:
    store = Store()
    async with AsyncExitStack() as stack:
        line = await stack.enter_async_context(running(a_line(), store))
        home = await stack.enter_async_context(unit(receiver(line)))
        assert line.port is not None
        vandal = Datagrams(line.port)
        stack.callback(vandal.close)

        async def sends(number: int, body: bytes) -> int:
            return (
                await vandal.ask(request(branch=f"z9hG4bKbad{number}", call_id=f"bad{number}", content_type="application/scaip+xml", body=body))
            ).code

        codes = [await sends(0, b"\x00\xff garbage")]
        mrs = await vandal.receive()
        assert b"<snu>2</snu>" in mrs
        assert (await home.alarm()).outcome == "confirmed"
        assert codes == [200]
        assert [event.kind for event in store.events] == [Kind.FAULT, Kind.SOS]


async def test_70_kb_over_tcp_is_too_long_and_told_so() -> None:
    store = Store()
    body = "x" * 70_000
    async with running(a_line(also=["tcp:0:interface=127.0.0.1"]), store) as line, unit(receiver(line, "tcp")) as home:
        said = await home.say("ME", dty="0003", dte=body)
        assert (said.outcome, said.answer["snu"], said.tries[0].code) == ("lost", "1", 200)
        assert (await home.alarm()).outcome == "confirmed"
        assert [event.kind for event in store.events] == [Kind.FAULT, Kind.SOS]
