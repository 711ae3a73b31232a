"""Faults around the telephone lines of a whole gateway, judged at home units, exchanges and stations: it recovers, says so, loses nothing."""

import asyncio
import contextlib
import os
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from certificates import self_signed
from house import House, Setting
from servers import until
from telephone_house import TelephoneHouse, started
from waiting import WAIT_S, free_port

from drivers.supervisor import FIRST_PAUSE_S
from simulators.exchange.ami_server import AmiServer, Session, User
from simulators.exchange.call import Plan
from simulators.exchange.call import Said as Word
from simulators.exchange.desk import Answerer
from simulators.exchange.model import Exchange
from simulators.home_unit import HomeUnit, Said
from simulators.pbx import AMI_SECRET, AMI_USER, Outcome, Pbx
from simulators.stations import Behaviour, Stations
from tests.sip.sip_peer import Connection, Datagrams, ok, read, request

USUAL_S = 10.0  # from the press to the order at the station: what a unit waits; tenths of a second are usual
SCAIP = "application/scaip+xml"


def press(cid: str, ref: str) -> bytes:
    """What a unit says when somebody presses (scaip.md: 0003 is a trigger worn on the body, 0010 a press)."""
    return f"<mrq><ref>{ref}</ref><mty>ME</mty><cid>{cid}</cid><dty>0003</dty><stc>0010</stc></mrq>".encode()


def message(cid: str, ref: str, **how: object) -> bytes:
    """The MESSAGE around it, always the same octets for the same words."""
    return request(from_=f"<sip:{cid}@192.0.2.20>;tag=d1", content_type=SCAIP, call_id=f"{ref}@192.0.2.20", body=press(cid, ref), **how)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def street(house: TelephoneHouse) -> AsyncIterator[Stations]:
    """The house, running, and its stations, which answer nothing."""
    async with started(house, *house.lines):
        stations = Stations(house.address, choose=lambda *_: Behaviour("silent"), identifier="stations-of-the-test")
        task = asyncio.create_task(stations.run())
        try:
            await until(stations.ready.is_set, "the stations stand")
            yield stations
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def heard(stations: Stations, cid: str, repeat: int = 0) -> None:
    await until(lambda: any(order.device == cid and order.repeat >= repeat for order in stations.orders), f"a station heard unit {cid}")


async def test_five_transmissions_are_one_event_and_a_second_press_a_second_cry(tmp_path: Path) -> None:
    house = TelephoneHouse(tmp_path)
    cid = house.district.unit(1)
    async with street(house) as stations:
        device = Datagrams(house.sip)
        wire = message(cid, "0001")
        answers, replies = [], []
        for _ in range(5):
            await device.send(wire)
            while not (came := await device.receive()).startswith(b"SIP/2.0"):
                replies.append(came)
            answers.append(came)
        assert len(set(answers)) == 1
        assert read(answers[0]).code == 200
        if not replies:
            replies.append(await device.receive())
        await device.send(ok(replies[0]))
        assert b"<snu>0</snu>" in replies[0]
        assert b"<ref>0001</ref>" in replies[0]
        await heard(stations, cid)
        await house.sees(lambda: _rises(house, "retransmissions", 3), "four of them were repetitions")

        await device.send(message(cid, "0002", branch="z9hG4bKsecond"))
        await heard(stations, cid, repeat=1)
        device.close()
        assert {pair: len(events) for pair, events in house.alarms().items()} == {(cid, "0001"): 1, (cid, "0002"): 1}
        assert len({event["incident"] for events in house.alarms().values() for event in events}) == 1
        assert [(order.repeat, order.person) for order in stations.orders] == [(0, "pu-1"), (1, "pu-1")]
        assert len({order.delivery for order in stations.orders}) == 1


async def test_a_full_disk_sends_units_to_their_second_receiver(tmp_path: Path) -> None:
    """Nobody is told "taken over" by a gateway that cannot write; afterwards the first receiver takes alarms again, none lost, none twice."""
    data = tmp_path / "first" / "small"
    data.mkdir(parents=True)
    (tmp_path / "second").mkdir()
    if os.geteuid() != 0 or not _run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(data)):
        pytest.skip("NOT TESTED: only root can mount a file system of two megabytes")
    first = TelephoneHouse(tmp_path / "first", setting=Setting(data="small"))
    second = TelephoneHouse(tmp_path / "second")
    places = [first.receiver(), second.receiver()]
    said: list[Said] = []
    try:
        async with street(first) as stations, street(second) as others, contextlib.AsyncExitStack() as stack:
            units = [await stack.enter_async_context(first.unit(number, places)) for number in range(6)]
            said.append(await units[0].alarm())
            assert [one.receiver for one in said[0].tries] == [str(places[0])]
            with (data / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            while "store_down" not in (await first.reasons() or []):  # what SQLite still has in its files is used up first
                said.append(await units[len(said) % 3].alarm())
                assert len(said) < 2000, f"the disk never was full\n{first.tail()}"
            refused = said[-1]
            assert [(one.code, one.snu) for one in refused.tries] == [(503, None), (200, 0)]
            fallen = [await unit.alarm() for unit in units[3:]]
            for one in fallen:
                assert (one.outcome, [(attempt.receiver, attempt.code) for attempt in one.tries]) == (
                    "confirmed", [(str(places[0]), 503), (str(places[1]), 200)],
                )  # fmt: skip
                await heard(others, one.cid)
            (data / "filler").unlink()
            await first.ready()
            again = await units[5].alarm()
            assert [one.receiver for one in again.tries] == [str(places[0])]
            await heard(stations, again.cid)
            said += [*fallen, again]
            assert all(one.outcome == "confirmed" for one in said)
            kept = [first.alarms(), second.alarms()]
            for one in said:
                where = [places.index(place) for place in places if str(place) == one.tries[-1].receiver]
                assert [number for number in (0, 1) if (one.cid, one.ref) in kept[number]] == where, "stored where it was taken, and nowhere else"
            assert all(len(events) == 1 for alarms in kept for events in alarms.values())
            assert await first.metric("gateway_rejected_total") == 0, "a full disk is nobody's fault but ours"
    finally:
        _run("umount", "-l", str(data))


def _run(*command: str) -> bool:
    return subprocess.run(command, check=False).returncode == 0


async def test_who_is_refused_disturbs_nobody(tmp_path: Path) -> None:
    """Wrong passwords, 70 kB, garbage over UDP and TCP, all the time; another unit's press is ordered as quickly as ever."""
    names = "\n".join(f'{7_000_000_000 + number} = "right-{number}"' for number in range(20))
    (tmp_path / "units.credentials").write_text(f"[devices]\n{names}\n")
    house = TelephoneHouse(tmp_path, units='authentication = "required"\ncredentials_file = "units.credentials"\nmax_body = 65_536')
    async with street(house) as stations, contextlib.AsyncExitStack() as stack:
        liar = await stack.enter_async_context(house.unit(0, password="wrong-0"))
        good = [
            await stack.enter_async_context(
                house.unit(number, [house.receiver(("udp", "tcp")[number % 2])], password=f"right-{number}", t1_s=0.5, answer_s=10.0)
            )
            for number in range(1, 9)
        ]
        nuisances = [asyncio.create_task(part) for part in (_lies(liar), _babbles(house.sip), _shouts(house.sip))]
        took = []
        for unit in good:
            began = time.monotonic()
            said = await unit.alarm()
            assert said.outcome == "confirmed", said
            await heard(stations, unit.cid)
            took.append(time.monotonic() - began)
        for task in nuisances:
            assert not task.done() or task.result() is None
            task.cancel()
        await asyncio.gather(*nuisances, return_exceptions=True)
        assert max(took) < USUAL_S
        assert liar.said
        assert {(one.outcome, attempt.code) for one in liar.said[:-1] for attempt in one.tries} == {("lost", 401)}
        assert {cid for cid, _ in house.alarms()} == {unit.cid for unit in good}
        assert all(len(events) == 1 for events in house.alarms().values())
        assert not house.said("Traceback")


async def _lies(unit: HomeUnit) -> None:
    while True:
        await unit.alarm()


async def _babbles(port: int) -> None:
    """Garbage: in datagrams no answer, or one that says so; on a connection the end of it. After each, the port still answers."""
    device = Datagrams(port)
    try:
        while True:
            for garbage in (b"\0\1\2\3" * 300, b"MESSAGE sip:arc SIP/2.0\r\n\r\n", b"\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
                await device.send(garbage)
            await device.send(request("OPTIONS", branch="z9hG4bKprobe", call_id="probe", body=b""))
            while (answer := read(await device.receive())).headers.get("call-id") != ["probe"]:
                assert answer.code == 400
            assert answer.code == 200
            peer = await Connection.open(port)
            try:
                await peer.send(b"\x16\x03\x01 no SIP at all\r\n\r\n" * 50)
                await peer.ended()
            finally:
                await peer.close()
    finally:
        device.close()


async def _shouts(port: int) -> None:
    """70 kB in one MESSAGE: too large whoever says it; its body is not even read, and the connection ends."""
    asked = request(transport="TCP", content_type=SCAIP, body=b"x" * 70_000, from_="<sip:7000000019@192.0.2.20>;tag=d1")
    while True:
        peer = await Connection.open(port)
        try:
            with contextlib.suppress(ConnectionError):
                await peer.send(asked)
            assert read(await peer.receive()).code == 513
            await peer.ended()
        finally:
            await peer.close()


async def test_a_reload_and_a_stop_leave_live_calls_what_they_are(tmp_path: Path) -> None:
    """SIGHUP in the middle of calls changes nothing for them; after SIGTERM and a start each one still has one beginning and one end."""
    async with Pbx(None, ami_port=0) as asterisk, Pbx(None, esl_port=0) as freeswitch:
        assert asterisk.ami is not None
        assert freeswitch.esl is not None
        house = TelephoneHouse(tmp_path, ami=asterisk.ami.port, esl=freeswitch.esl.port)
        async with street(house), Pbx(house.hep, area_code="0931") as mirrored:
            exchanges = {"asterisk": asterisk, "freeswitch": freeswitch, "pbx": mirrored}
            await _place(exchanges, house, 0, Outcome.QUEUED)
            await house.sees(lambda: _live(house, 3), "three calls are live")
            house.hang_up()
            await house.sees(lambda: _reloaded(house), "the configuration was read again")
            assert await house.metric("gateway_calls_live") == 3
            assert not house.said("line_lost")
            await _place(exchanges, house, 1, Outcome.ABANDONED)
            await house.sees(lambda: _live(house, 6), "six calls are live")
            assert await house.stop() == 0, house.tail()
            await _finish(exchanges, talkers=True)
            house.start()
            await house.ready()
            await house.lines_live(*house.lines)
            await _finish(exchanges)
            await house.sees(lambda: _live(house, 0), "every call is over")
            for line, pbx in exchanges.items():
                told = house.stories(line)
                assert len(told) == len(pbx.exchange.truths) == 2, line
                for events in told.values():
                    kinds = [event["kind"] for event in events]
                    assert kinds.count("call_offered") == 1
                    assert sum(kind in ("call_ended", "call_abandoned", "call_missed") for kind in kinds) == 1, (line, kinds)
                    assert len({event["detail"]["call"] for event in events}) == 1


async def _place(exchanges: dict[str, Pbx], house: House, number: int, outcome: Outcome) -> None:
    """A call at each exchange, which goes on until `_finish`."""
    talking = outcome is Outcome.QUEUED
    for place, pbx in enumerate(exchanges.values()):
        caller = house.district.caller(3 * number + place)
        plan = Plan(scenario=outcome, ring_s=0.1 if talking else 60, talk_s=60, agent_does="answers" if talking else "nothing", width=1)
        pbx.exchange.offer(plan, caller, caller, "12349")
    await asyncio.sleep(0)


async def _finish(exchanges: dict[str, Pbx], *, talkers: bool = False) -> None:
    """The callers hang up: only those who talk, or all."""
    for pbx in exchanges.values():
        for call in list(pbx.exchange.calls.values()):
            if call.agents or not talkers:
                call.say(Word.GONE, call.incoming)
                await asyncio.wait_for(call.done.wait(), WAIT_S)


async def test_stopped_while_a_telephone_rings_for_an_operator(tmp_path: Path) -> None:
    """The wish stands in the journal, with what came of it; the gateway ends in time, and its next life does not ring again."""
    async with Pbx(None, ami_port=0) as asterisk:
        assert asterisk.ami is not None
        more = '[telephone]\nline = "asterisk"\nring_s = 60\n'
        house = TelephoneHouse(tmp_path, ami=asterisk.ami.port, more=more)
        asterisk.exchange.answerers["8001"] = Answerer(does="nothing")
        async with street(house) as stations, house.unit(1) as unit:
            await unit.alarm()
            await heard(stations, unit.cid)
            incident = stations.orders[0].incident
            session = await house.get("/api/v1/session")
            assert session is not None
            csrf = session.json()["csrf"]
            asked: list[tuple[str, dict[str, object]]] = [
                ("/api/v1/duty", {"name": "李娜", "extension": "8001"}),
                (f"/api/v1/incidents/{incident}/acknowledge", {}),
                (f"/api/v1/incidents/{incident}/dial", {"contact": "person"}),
            ]
            for path, body in asked:
                answer = await house.post(path, body, csrf)
                assert answer is not None
                assert answer.status_code < 300, (path, answer.text)
            await until(lambda: len(asterisk.exchange.calls) == 1, "it rings")
            began = time.monotonic()
            assert await house.stop() == 0, house.tail()
            assert time.monotonic() - began < WAIT_S, "it does not wait for the telephone"
            assert [event.get("outcome") for event in house.events("dial")] == [None, "lost"]
            house.start()
            await house.ready()
            await house.lines_live(*house.lines)
            assert len(asterisk.exchange.calls) <= 1
            assert await house.metric("gateway_dials_total") == 0
            assert house.stories("asterisk") == {}, "what we dialled ourselves is no call at the hotline"


async def test_a_second_gateway_on_the_same_port_waits_and_says_so(tmp_path: Path) -> None:
    """A port is no reason not to start: everything else works. The line is lost, with its name and port, until the port is free."""
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    first = TelephoneHouse(tmp_path / "first")
    second = TelephoneHouse(tmp_path / "second", setting=Setting(mandatory=("wearables", "home-units")))
    second.sip = first.sip
    async with second:
        async with street(first) as stations:
            second.start()
            await second.sees(lambda: _reasons(second, ["line home-units lost"]), "the second is not ready, and says why")
            assert second.said(f"cannot listen on udp port {first.sip}") == 1
            assert not second.said("Traceback")
            async with first.unit(1) as unit:
                assert (await unit.alarm()).outcome == "confirmed"
                await heard(stations, unit.cid)
        await second.ready()
        async with second.unit(2) as unit:
            assert (await unit.alarm()).outcome == "confirmed"
        assert [cid for cid, _ in second.alarms()] == [unit.cid]
        assert await second.stop() == 0


async def test_a_wrong_secret_is_told_once_and_left_in_peace(tmp_path: Path) -> None:
    """Asterisk is not asked again and again, so that nothing there locks us out; calls of the other lines go on."""
    asterisk = Guarded(Exchange(), {AMI_USER: User(AMI_SECRET)})
    await asterisk.start()
    try:
        house = TelephoneHouse(tmp_path, ami=asterisk.port)
        async with house:
            (tmp_path / "ami.secret").write_text("not the secret")
            house.start()
            await house.ready()
            await house.sees(lambda: _is(house, "asterisk", "lost"), "the line says that it is lost")
            await house.lines_live("home-units", "pbx")
            await house.sees(lambda: _restarted(house), "it would try again now")
            await asyncio.sleep(2 * FIRST_PAUSE_S)  # nothing can be waited for that must not happen
            assert asterisk.logins == 1
            assert house.said('"event": "line_lost"') + house.said('"event":"line_lost"') == 1
            assert not house.said("not the secret")
            assert not house.said("Traceback")
            async with Pbx(house.hep) as mirrored:
                await mirrored.call("one", house.district.caller(1), Outcome.ANSWERED, ring_s=0.1, talk_s=0.1)
                await until(
                    lambda: any(events[-1]["kind"] == "call_ended" for events in house.stories("pbx").values()), "the other exchange is heard"
                )
            assert await house.stop() == 0
    finally:
        await asterisk.stop()


class Guarded(AmiServer):
    """Counts who tries to log in."""

    logins = 0

    def _before_login(self, session: Session, request: dict[str, str]) -> bool:
        self.logins += request.get("Action", "").lower() == "login"
        return super()._before_login(session, request)


async def test_a_renewed_certificate_counts_from_the_next_connection(tmp_path: Path) -> None:
    chain, key = self_signed(tmp_path, "cert")
    old = chain.read_bytes()
    port = free_port()
    house = TelephoneHouse(tmp_path, tls=port, units=f'key_file = "{key}"\ncertificate_file = "{chain}"')
    async with street(house) as stations:
        device, cid = await Connection.open(port, tls=_believing(old)), house.district.unit(3)
        assert (await device.ask(message(cid, "before", transport="TLS"))).code == 200
        await heard(stations, cid)
        self_signed(tmp_path, "cert")
        assert chain.read_bytes() != old
        with pytest.raises(ssl.SSLCertVerificationError):
            await Connection.open(port, tls=_believing(old))
        new = chain.read_bytes()
        other, next_cid = await Connection.open(port, tls=_believing(new)), house.district.unit(4)
        assert (await other.ask(message(next_cid, "after", transport="TLS"))).code == 200
        await heard(stations, next_cid)
        await device.send(message(cid, "still", transport="TLS", branch="z9hG4bKstill"))  # the connection that stood goes on
        await heard(stations, cid, repeat=1)
        chain.write_bytes(b"half writ")
        third = await Connection.open(port, tls=_believing(new))  # a broken file leaves the last good one in force
        for peer in (device, other, third):
            await peer.close()
        assert house.said("certificate_unusable") == 1


def _believing(chain: bytes) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=chain.decode())
    context.check_hostname = False
    return context


async def _rises(house: House, what: str, above: float) -> bool:
    return await house.metric("gateway_line_counted_total", line="home-units", what=what) > above


async def _live(house: House, calls: int) -> bool:
    return await house.metric("gateway_calls_live") == calls


async def _reloaded(house: House) -> bool:
    return await house.metric("gateway_config_reload_total", result="ok") == 1


async def _reasons(house: House, wanted: list[str]) -> bool:
    return await house.reasons() == wanted


async def _is(house: House, line: str, state: str) -> bool:
    return await house.line(line) == state


async def _restarted(house: House) -> bool:
    return await house.metric("gateway_line_restarts_total", line="asterisk") > 0
