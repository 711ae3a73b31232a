"""Home units of a scenario on a real SIP line, their voice call through the simulated exchange, and stations that are rung by it."""

import asyncio
from pathlib import Path

from waiting import WAIT_S, wait_until

from simulators.district import read_district
from simulators.exchange.call import Plan
from simulators.exchange.life import RINGS_IN_RING
from simulators.exchange.model import Exchange
from simulators.exchange.virtual import People
from simulators.home_link import Receiver
from simulators.homes import Homes
from simulators.pbx import Outcome, Pbx, PlacedCall
from simulators.plan import make_plan
from simulators.rung import RungStations
from simulators.runner import wrong_turns
from simulators.scenario import Cast, Do, Scenario
from tests.simulators.stand_in import district  # noqa: F401
from tests.sip.sip_peer import Store, a_line, running


async def test_an_alarm_is_taken_over_and_the_unit_calls_the_hotline() -> None:
    store = Store()
    voice = {"mre": "01", "cre": "62", "tnu": "12349"}
    async with running(a_line(body_options={"scaip": {"voice": voice}}), store) as line, Pbx(None, sip=True, agents=2) as pbx:
        assert line.port is not None
        pbx.exchange.settings.hotlines["12349"] = Plan(lead_s=0.01, ring_s=0.01)
        async with Homes(Receiver("127.0.0.1", line.port), lambda: pbx.sip_address) as homes:
            pressed = homes.press("1234900013", "alarm", 0.5)
            assert pressed.lacks().startswith("no <mrs> with status number 0")
            async with asyncio.timeout(WAIT_S):
                await homes.play(pressed)
            beat = homes.press("1234900013", "heartbeat", 0)
            await homes.play(beat)
        await wait_until(lambda: pbx.exchange.truths, "the call is over")
    assert (pressed.lacks(), pressed.has_called, beat.lacks(), beat.has_called) == ("", True, "", False)
    assert [(event.kind.value, event.device) for event in store.events] == [("sos", "1234900013"), ("heartbeat", "1234900013")]
    [truth] = pbx.exchange.truths
    assert (truth["caller"], truth["called"], truth["outcome"]) == ("1234900013", "12349", "answered")


async def test_a_unit_that_nobody_answers_says_what_it_lacks() -> None:
    async with running(a_line(), Store()) as line:
        assert line.port is not None
        port = line.port
    async with Homes(Receiver("127.0.0.1", port, "tcp"), lambda: None) as homes:
        pressed = homes.press("1234900013", "alarm", 1.0)
        await homes.play(pressed)
    assert pressed.lacks() == "no <mrs> with status number 0 (SIP [503], snu [None])"


async def test_a_station_that_is_rung_presses_the_key() -> None:
    exchange = Exchange()
    exchange.faces.append(People(exchange))
    stations = RungStations(exchange, {"09315550047": "station-r17"}, seed=1)
    for number in ("09315550047", "09315550001"):
        call = exchange.originate(number, RINGS_IN_RING, Plan(talk_s=5), {"GATEWAY_KEYS": "12"})
        assert call is not None
        async with asyncio.timeout(WAIT_S):
            await call.done.wait()
    assert [ring.responder for ring in stations.rings] == ["station-r17"]
    assert stations.keys == 1
    assert exchange.truths[0]["reason"] == "key_1"


def test_who_lives_where_stations_are_rung_plays_only_such_parts(district: Path) -> None:  # noqa: F811
    (district / "areas.csv").write_text(
        "id,parent,lat,lon\nall,,36.3,102.8\neast,all,36.3,103.2\nwest,all,36.3,102.8\nmid,all,36.3,103.1\nfar,all,36.3,102.7\n"
        "east-1,east,36.3,103.2\nwest-1,west,36.3,102.8\nmid-1,mid,36.3,103.1\n"
    )
    persons = (district / "persons.csv").read_text("utf-8").splitlines()
    with_areas = [
        persons[0] + ",area",
        *(f"{row},{('east-1', 'mid-1')[number] if number < 2 else 'west-1'}" for number, row in enumerate(persons[1:])),
    ]
    (district / "persons.csv").write_text("\n".join(with_areas) + "\n", "utf-8")
    (district / "responders.csv").write_text(
        "id,name,kind,parent,areas,channel,address,phone\n"
        "s-1,幸福院,station,centre,east-1,phone,,0931-5550047\ns-2,驿站,station,centre,west-1,mqtt,,0931-5550048\n",
        "utf-8",
    )
    found = read_district(district)
    assert (found.rung, found.rung_towns) == ({"09315550047": "s-1"}, {"east"})
    assert found.beside_rung == {"mid"}
    cast = (Cast(name="a", has=("wearable",), rung=True), Cast(name="b", has=("wearable",)))
    do = tuple(Do(who=name, via="wearable", what="sos", at=1) for name in "ab")
    plan = make_plan(Scenario(name="x", cast=cast, do=do), found, seed=1)
    assert [member.person for member in plan.parts["a"]] == ["p1"]
    assert {member.person for member in plan.parts["b"]} == {"p3"}


def test_home_units_and_contacts_are_read(district: Path) -> None:  # noqa: F811
    devices = (district / "devices.csv").read_text("utf-8").splitlines()
    rows = [f"{row},{'model' if number == 0 else ''}" for number, row in enumerate(devices)]
    (district / "devices.csv").write_text("\n".join([*rows, "1234900013,,p1,客厅,Invented Home Unit SCAIP"]) + "\n", "utf-8")
    (district / "contacts.csv").write_text("person,name,relation,phone\np1,某人,邻居,17400000002\np1,某人,女儿,17400300001\n", "utf-8")
    member = next(member for member in read_district(district).members if member.person == "p1")
    assert (member.home_unit, member.contact) == ("1234900013", "+8617400300001")  # the first contact's number is a person's own


def test_whoever_gave_up_first_must_be_called_back_first() -> None:
    calls = [PlacedCall(f"call {tail}", Outcome.GAVE_UP, f"+861740000{tail}", "", "12349", 0, 0, float(tail)) for tail in ("0001", "0002", "0003")]
    assert wrong_turns(calls, ["*0001", "", "*0002", "*0003"]) == []
    assert wrong_turns(calls, ["*0001", "*0003", "*0002"]) == [
        "call 0003 was called back when it was call 0002's turn",
        "call 0002 was called back when it was call 0003's turn",
    ]
    again = PlacedCall("again", Outcome.GAVE_UP, "+8617400000002", "", "12349", 0, 0, 9.0)
    assert wrong_turns([*calls, again], ["*0002", "*0001", "*0003"]) == []  # twice in vain is more urgent
