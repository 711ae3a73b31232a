"""Whole gateways that ring: an alarm becomes a telephone call to a responder, a key press the answer, over AMI and over the event socket.

The exchange is the simulated one (simulators/exchange), an outside witness: what was rung is what it says.
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from servers import free_port, until
from waiting import wait_until

from gateway.app import STATIC, House
from gateway.config import read_config
from gateway.console.dialling import Dialling
from gateway.console.http import make_app
from gateway.core.command import Command
from gateway.core.incident import Action, Incident, LegState, State
from gateway.event import Event, Kind
from gateway.register_files import read_register
from gateway.store.store import Store
from simulators.exchange.ami_server import AmiServer, User
from simulators.exchange.desk import Answerer
from simulators.exchange.esl_server import EslServer
from simulators.exchange.happening import Happening, What
from simulators.exchange.model import Exchange
from tests.simulators.exchange_wires import exchange

STATION, CENTRE, ELDER = "17400000001", "17400000002", "17400000003"  # no subscribers
SECRET = "geheim"
BUTTON = b"20;01;Button;ID=A00001;SWITCH=1;CMD=ON;\r\n"
FILES = {
    "district.toml": 'name = "small"\narea_code = "0931"\nlat = 36.34\nlon = 102.86\n',
    "areas.csv": "id,name,kind,parent,lat,lon\nsmall,小区,district,,36.34,102.86\n",
    "persons.csv": f"id,name,born,area,home,address,lat,lon,phones\np1,王秀兰,1940,small,h1,红古路12号,36.34,102.86,{ELDER}\n",
    "contacts.csv": "person,name,relation,phone\n",
    "devices.csv": "id,line,person,home,area,place\nA00001:1,,p1,,,\n",
    "responders.csv": "id,name,kind,parent,lat,lon,capacity,channel,address,phone\n"
    f"desk,坐席,desk,,,,1000,console,,\ncentre,中心,district_centre,desk,36.35,102.87,9,phone,{CENTRE},\n"
    f"station,驿站,station,centre,36.34,102.86,9,phone,,{STATION}\n",
}


class Pbx:
    """The simulated exchange behind one wire. rung: numbers outside that were dialled, in order."""

    def __init__(self, wire: str) -> None:
        self.wire = wire
        self.exchange: Exchange = exchange(agents=("8001", "8002"))
        self.server = AmiServer(self.exchange, {"gateway": User(SECRET)}) if wire == "ami" else EslServer(self.exchange, SECRET)
        self.rung: list[str] = []
        self.exchange.faces.append(self._note)

    def _note(self, happening: Happening) -> None:
        if happening.what is What.DIALLING and happening.call.outbound and happening.leg.number not in self.exchange.desks:
            self.rung.append(happening.leg.number)

    def line(self) -> str:
        """Its `[[line]]`."""
        named = 'username = "gateway", secret_file' if self.wire == "ami" else "password_file"
        return f'[[line]]\nname = "pbx"\ncodec = "{self.wire}"\nconnect = "tcp:127.0.0.1:{self.server.port}"\noptions = {{{named} = "secret"}}\n'

    def answers(self, number: str, does: str = "answers", key: str = "1") -> None:
        self.exchange.answerers[number] = Answerer(does=does, key=key, after_s=0.05, key_after_s=0.05)


@pytest.fixture(params=["ami", "esl"])
async def pbx(request: pytest.FixtureRequest) -> AsyncIterator[Pbx]:
    found = Pbx(request.param)
    await found.server.start()
    yield found
    await found.exchange.stop()
    await found.server.stop()


class Place:
    """A gateway's folder: one elder with a button, a station and a centre above it that are rung, the desk above both."""

    def __init__(self, folder: Path, pbx: Pbx, *, attempts: int = 2, ring_s: float = 1, more: str = "") -> None:
        self.pbx = pbx
        district = folder / "districts" / "small"
        district.mkdir(parents=True)
        for name, text in FILES.items():
            (district / name).write_text(text, encoding="utf-8")
        (folder / "secret").write_text(f"{SECRET}\n")
        self.data = folder / "var"
        self.data.mkdir()
        self.config = folder / "gateway.toml"
        self.config.write_text(
            f'[gateway]\ndistrict = "small"\ndata = "var"\n[console]\naccounts = false\nenabled = false\n'
            f'[calls]\narea_code = "0931"\nagents = {{"8001" = "李娜"}}\n'
            f'[telephone]\nline = "pbx"\nring_s = {ring_s}\n[dispatch.phone]\nattempts = {attempts}\n'
            f'[policy.critical]\nacknowledge_s = 600\nreply_s = 600\norder = "at_once"\n{pbx.line()}{more}'
        )

    @contextlib.asynccontextmanager
    async def runs(self) -> AsyncIterator[House]:
        """In this process; gives it when the exchange can be asked."""
        config = read_config(self.config)
        house = House(config, read_register(config.district_folder, config.channels))
        stop = asyncio.Event()
        running = asyncio.create_task(house.run(stop))
        try:
            await wait_until(lambda: running.done() or house.telephone.is_live, "the exchange can be asked")
            assert not running.done(), running.exception()
            yield house
        finally:
            stop.set()
            await running


async def cries(house: House) -> Incident:
    """The elder presses the button."""
    now = house.now()
    await house.receive([Event(kind=Kind.SOS, line="buttons", device="A00001:1", received_at=now, occurred_at=now)])
    return only(house)


def only(house: House) -> Incident:
    """The elder's; a lost line is an incident too."""
    (incident,) = [one for one in house.incidents.values() if one.person == "p1"]
    return incident


def legs(incident: Incident) -> list[tuple[str, str]]:
    return [(leg.responder, leg.state.value) for leg in incident.legs]


async def reaches(house: House, *wanted: tuple[str, str]) -> None:
    await wait_until(lambda: legs(only(house)) == list(wanted), f"{wanted}")


async def test_key_1_sends_the_station(tmp_path: Path, pbx: Pbx) -> None:
    pbx.answers(STATION, key="1")
    async with Place(tmp_path, pbx).runs() as house:
        await cries(house)
        await reaches(house, ("station", "accepted"))
        incident = only(house)
        assert (incident.legs[0].by, incident.legs[0].channel) == ("station", "phone")
        assert f"arrive:{incident.legs[0].delivery}" in incident.deadlines  # the fifteen minutes run
        await wait_until(lambda: not only(house).legs[0].pending, "delivered")
        assert pbx.rung == [STATION]
        assert house.metrics.registry.get_sample_value("gateway_dials_total", {"what": "ring", "outcome": "done"}) == 1
        assert house.metrics.registry.get_sample_value("gateway_dials_running") == 0
        timeline = [entry.kind for entry in await house.timeline(incident.id)]
        assert timeline.count(Kind.ACCEPT) == 1
        assert not list(house.calls)  # what we dial is no call at the hotline


async def test_key_2_asks_the_next_one_up(tmp_path: Path, pbx: Pbx) -> None:
    pbx.answers(STATION, key="2")
    pbx.answers(CENTRE, key="1")
    async with Place(tmp_path, pbx).runs() as house:
        await cries(house)
        await reaches(house, ("station", "declined"), ("centre", "accepted"))
        assert pbx.rung == [STATION, CENTRE]


@pytest.mark.parametrize(("does", "reason"), [("nothing", "no_answer"), ("busy", "busy")])
async def test_who_is_not_reached_is_rung_so_often_and_then_the_next_one_up(tmp_path: Path, pbx: Pbx, does: str, reason: str) -> None:
    pbx.answers(STATION, does=does)
    pbx.answers(CENTRE, key="1")
    async with Place(tmp_path, pbx, attempts=2).runs() as house:
        await cries(house)
        await reaches(house, ("station", "failed"), ("centre", "accepted"))
        assert pbx.rung == [STATION, STATION, CENTRE]
        assert only(house).legs[0].reason == reason
        count = house.metrics.registry.get_sample_value
        orders = {result: count("gateway_orders_total", {"channel": "phone", "result": result}) for result in ("unanswered", "failed")}
        assert orders == {"unanswered": 1, "failed": None}, "one responder did not pick up; the way out works"


async def test_nobody_at_all_ends_at_the_desk(tmp_path: Path, pbx: Pbx) -> None:
    pbx.answers(STATION, does="nothing")
    pbx.answers(CENTRE, key="2")
    async with Place(tmp_path, pbx, attempts=1).runs() as house:
        await cries(house)
        await wait_until(lambda: [leg.responder for leg in only(house).legs] == ["station", "centre", "desk"], "the desk is asked")
        assert pbx.rung == [STATION, CENTRE]


async def test_a_second_cry_while_it_rings_does_not_ring_beside_it(tmp_path: Path, pbx: Pbx) -> None:
    pbx.exchange.answerers[STATION] = Answerer(key="1", after_s=0.6, key_after_s=0.05)
    async with Place(tmp_path, pbx, ring_s=5).runs() as house:
        await cries(house)
        await wait_until(lambda: pbx.rung, "it rings")
        await cries(house)
        await reaches(house, ("station", "accepted"))
        await wait_until(lambda: not only(house).legs[0].pending, "both are delivered")
        assert only(house).legs[0].repeat == 1
        assert pbx.rung == [STATION]


async def it_is_over(house: House) -> None:
    incident = only(house).id
    await house.command(Command(action=Action.ASSIGN, actor="李娜", incident=incident, facts={"to": "李娜"}))
    facts = {"outcome": "false_alarm", "override": "no step of its plan is meant here"}
    await house.command(Command(action=Action.RESOLVE, actor="李娜", incident=incident, facts=facts))


async def test_who_has_heard_the_order_is_told_by_a_person_and_no_order_has_failed(tmp_path: Path, pbx: Pbx) -> None:
    """GatewayOrdersFail is critical: it came each time when somebody who was on the way after a call was not needed any more."""
    pbx.answers(STATION, key="1")
    async with Place(tmp_path, pbx).runs() as house:
        await cries(house)
        await reaches(house, ("station", "accepted"))
        await it_is_over(house)
        await wait_until(lambda: not only(house).legs[0].pending, "the withdrawal is done")
        count = house.metrics.registry.get_sample_value
        orders = {result: count("gateway_orders_total", {"channel": "phone", "result": result}) for result in ("sent", "by_voice", "failed")}
        assert orders == {"sent": 1, "by_voice": 1, "failed": None}
        assert pbx.rung == [STATION]


async def test_a_resolved_incident_stops_the_ringing(tmp_path: Path, pbx: Pbx) -> None:
    pbx.answers(STATION, does="nothing")
    async with Place(tmp_path, pbx, ring_s=30).runs() as house:
        await cries(house)
        await wait_until(lambda: pbx.exchange.calls, "it rings")
        await it_is_over(house)
        await wait_until(lambda: not pbx.exchange.calls, "the telephone falls silent")
        await wait_until(lambda: not only(house).legs[0].pending, "the withdrawal is done")
        assert legs(only(house)) == [("station", "withdrawn")]
        assert pbx.rung == [STATION]


async def test_an_exchange_that_is_away_is_waited_for(tmp_path: Path, pbx: Pbx) -> None:
    """Where nothing was rung nothing was attempted: the order stands in the store, and as soon as somebody can be rung, they are."""
    pbx.answers(STATION, key="1")
    async with Place(tmp_path, pbx, attempts=1).runs() as house:
        port = pbx.server.port
        await pbx.server.stop()
        await wait_until(lambda: not house.telephone.is_live, "the exchange is away")
        await cries(house)
        await wait_until(lambda: house.telephone.counts["ring", "lost"], "it was tried")
        await pbx.server.start(port)
        await reaches(house, ("station", "accepted"))
        assert pbx.rung == [STATION]


async def test_an_operator_dials_by_reference_and_hangs_up(tmp_path: Path, pbx: Pbx) -> None:
    pbx.exchange.answerers |= {"8001": Answerer(after_s=0.05, key=""), ELDER: Answerer(after_s=0.05, key="", talk_s=30)}
    pbx.answers(STATION, key="1")
    async with Place(tmp_path, pbx, ring_s=5).runs() as house:
        incident = (await cries(house)).id
        app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:12349") as client:
            client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
            await client.post("/api/v1/duty", json={"name": "李娜", "extension": "8001"})
            await house.command(Command(action=Action.ASSIGN, actor="李娜", incident=incident, facts={"to": "李娜"}))
            reply = await client.post(f"/api/v1/incidents/{incident}/dial", json={"contact": "person"})
            assert reply.status_code == 202
            dial = reply.json()["dial"]
            told = await outcomes(house, incident, "dial", 2)
            assert told == [{"dial": dial, "ref": "person"}, {"dial": dial, "ref": "person", "outcome": "done"}]
            assert ELDER in pbx.rung
            hung_up = await client.post(f"/api/v1/calls/{dial}/hang_up")
            assert (hung_up.status_code, hung_up.json()) == (200, {"outcome": "done"})
            await wait_until(lambda: not pbx.exchange.calls, "both telephones are free")
            assert ELDER not in str([entry.facts for entry in await house.timeline(incident) if entry.kind in ("dial", "hang_up")])


@pytest.mark.parametrize(("does", "outcome"), [("busy", "busy"), ("nothing", "no_answer")])
async def test_an_operator_sees_that_nobody_was_reached(tmp_path: Path, pbx: Pbx, does: str, outcome: str) -> None:
    pbx.exchange.answerers |= {"8001": Answerer(after_s=0.05, key=""), ELDER: Answerer(does=does, after_s=0.05, key="")}
    pbx.answers(STATION, key="1")
    async with Place(tmp_path, pbx).runs() as house:
        incident = (await cries(house)).id
        await house.command(Command(action=Action.ASSIGN, actor="李娜", incident=incident, facts={"to": "李娜"}))
        await Dialling(house).dial("李娜", "8001", only(house), "person")
        assert (await outcomes(house, incident, "dial", 2))[1]["outcome"] == outcome


async def outcomes(house: House, incident: str, kind: str, count: int) -> list[dict[str, object]]:
    """The facts of so many entries of this kind."""
    while True:
        found = [dict(entry.facts) for entry in await house.timeline(incident) if entry.kind == kind]
        if len(found) >= count:
            return found
        await asyncio.sleep(0.01)


@contextlib.contextmanager
def process(place: Place) -> Iterator["subprocess.Popen[bytes]"]:
    """The gateway as a process of its own; killed at the end, as by a power cut."""
    with (place.data / "gateway.log").open("ab") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "run", "--config", str(place.config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


async def test_a_gateway_killed_while_it_rings_rings_once_more_under_the_same_delivery(tmp_path: Path, pbx: Pbx) -> None:
    pbx.answers(STATION, does="nothing")
    port = free_port()
    button = (
        f'[[line]]\nname = "buttons"\ncodec = "ascii_button"\nlisten = "tcp:{port}:interface=127.0.0.1"\noptions.learned = {{"A00001:1" = "sos"}}\n'
    )
    place = Place(tmp_path, pbx, ring_s=60, more=button)
    with process(place):
        await press(port)
        await until(lambda: pbx.rung, "it rings")
    assert pbx.rung == [STATION]
    pbx.answers(STATION, key="1")  # they pick up at the next ringing
    with process(place):
        await until(lambda: len(pbx.rung) == 2, "it rings again")
        await until(lambda: LegState.ACCEPTED in states(place), "the key press is the answer")
    assert pbx.rung == [STATION, STATION]
    (incident,) = stored(place)
    assert legs(incident) == [("station", "accepted")]
    orders = [row for row in journal(place) if row.kind == Kind.DISPATCH]
    assert len(orders) == 1
    stood = log(place).count("ready")  # the first was killed as soon as it rang, perhaps before it had said so
    with process(place):  # and never again
        await until(lambda: log(place).count("ready") > stood, "it stands")
        await until(lambda: pbx.server.sessions, "it is logged in")
    assert pbx.rung == [STATION, STATION]


async def press(port: int) -> None:
    def opens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    await until(opens, "the receiver's port opens")
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(BUTTON)
    await writer.drain()
    writer.close()


def open_store(place: Place) -> Store:
    return Store("sqlite:///gateway.db", place.data)


def stored(place: Place) -> list[Incident]:
    with contextlib.closing(open_store(place)) as store:
        store.open()
        return [incident for incident in store.load().incidents if incident.state is not State.CLOSED]


def states(place: Place) -> list[LegState]:
    """Of all legs, read beside the running gateway."""
    with contextlib.closing(open_store(place)) as store:
        return [LegState.ACCEPTED for row in store.journal() if row.kind == Kind.ACCEPT]


def journal(place: Place) -> list[object]:
    with contextlib.closing(open_store(place)) as store:
        return list(store.journal())


def log(place: Place) -> str:
    return (place.data / "gateway.log").read_text("utf-8", "replace")
