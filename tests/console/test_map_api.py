"""The map over HTTP: who sees where exactly, the track, the circle of fifteen minutes, the overview, what lies under it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from math import dist
from pathlib import Path

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from gateway.config.map import MapConfig
from gateway.console import map_views
from gateway.console.http import make_app
from gateway.console.map_views import bearing, coarse, overview, responders_view
from gateway.console.reader import Reader
from gateway.core.account import AccountRole
from gateway.core.register import Responder, ResponderKind
from gateway.core.travel import distance_km
from gateway.event import Kind, Phase, Position
from gateway.maps.boundary import convert
from tests.console.fake_house import CONFIG, STATIC, FakeHouse, invented_register

BASE = "http://127.0.0.1:12349"
COARSE_KM = 0.75  # half the diagonal of a coarse square at this latitude


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse()


@pytest.fixture
async def client(house: FakeHouse) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(house) as client:
        yield client


def client_of(house: FakeHouse) -> httpx.AsyncClient:
    app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)


async def on_duty(client: httpx.AsyncClient, name: str) -> None:
    client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
    assert (await client.post("/api/v1/duty", json={"name": name})).status_code == 200


async def map_of(client: httpx.AsyncClient, incident: str) -> dict:
    answer = await client.get(f"/api/v1/incidents/{incident}/map")
    assert answer.status_code == 200, answer.text
    return answer.json()


def fix(house: FakeHouse, person: int = 0, north: float = 0.0, **more: object) -> Position:
    home = house.register.persons[f"p{person:03}"]
    given = {"source": "gnss", "accuracy_m": 25.0, "fixed_at": house.now() - timedelta(seconds=90), **more}
    return Position(lat=home.lat + north, lon=home.lon, **given)


async def test_a_masked_reader_gets_a_square_and_never_a_door(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await house.cries(0, position=fix(house, north=0.0042))
    await on_duty(client, "李娜")
    seen = await map_of(client, incident.id)
    assert (seen["masked"], seen["coarse_m"], seen["track"]) == (True, 1000, [])
    home, place = house.register.persons["p000"], incident.position
    assert place
    for shown, true in ((seen["home"], home), (seen["fix"], place), (seen["origin"], place)):
        assert (shown["lat"], shown["lon"]) == (round(true.lat, 2), round(true.lon, 2))
        assert distance_km(shown["lat"], shown["lon"], true.lat, true.lon) < COARSE_KM
    assert (seen["fix"]["accuracy_m"], seen["fix"]["source"], seen["fix"]["datum"]) == (25.0, "gnss", "wgs84")
    for one in (*seen["candidates"], *seen["legs"]):  # as seen from the square: three distances would find the door
        assert one["km"] == round(distance_km(seen["origin"]["lat"], seen["origin"]["lon"], one["lat"], one["lon"]), 1)
    assert not [note for note in house.notes if note[0] is Kind.VIEWED]


async def test_whoever_is_in_charge_sees_exactly_and_is_on_record(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await house.cries(0, position=fix(house, north=0.0042))
    await on_duty(client, "李娜")
    await client.post(f"/api/v1/incidents/{incident.id}/acknowledge", json={})
    seen = await map_of(client, incident.id)
    assert incident.position
    assert (seen["masked"], seen["coarse_m"]) == (False, None)
    assert (seen["origin"]["lat"], seen["origin"]["of"]) == (round(incident.position.lat, 6), "fix")
    facts = {"incident": incident.id, "person": "p000", "role": "local", "address": "127.0.0.1"}
    assert [note[1:] for note in house.notes if note[0] is Kind.VIEWED] == [("李娜", facts)]
    decided = {one.responder: one.km for one in house.candidates(house.incidents[incident.id]).candidates}
    assert {one["responder"]: one["km"] for one in seen["candidates"]} == {
        name: km for name, km in decided.items() if name in {c["responder"] for c in seen["candidates"]}
    }
    await map_of(client, incident.id)
    assert len([note for note in house.notes if note[0] is Kind.VIEWED]) == 1
    async with client_of(house) as other:
        await on_duty(other, "赵敏")
        # another app has sessions of its own; the incident is 李娜's
        assert (await map_of(other, incident.id))["masked"]


async def test_what_cannot_be_journalled_is_not_shown(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await house.cries(0)
    await on_duty(client, "李娜")
    await client.post(f"/api/v1/incidents/{incident.id}/acknowledge", json={})
    house.store_down = True
    assert (await map_of(client, incident.id))["masked"]


async def test_without_a_fix_the_home_counts(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await house.cries(1)
    seen = await map_of(client, incident.id)
    assert (seen["fix"], seen["origin"]["of"]) == (None, "home")
    nobody = (await house.receive([house.event(Kind.SOS, "unknown-77", "corridor")]))[0]
    assert nobody.kept
    unknown = next(one for one in house.incidents.values() if one.device == "unknown-77")
    seen = await map_of(client, unknown.id)
    assert (seen["home"], seen["fix"], seen["origin"], seen["candidates"]) == (None, None, None, seen["candidates"])
    assert (await client.get("/api/v1/incidents/I404/map")).json()["reason"] == "unknown_incident"


async def test_the_track_is_of_the_incident_alone(house: FakeHouse, client: httpx.AsyncClient) -> None:
    house.offset = timedelta(minutes=-30)
    await house.receive([house.event(Kind.LOCATION, "w000", phase=Phase.STATE, position=fix(house, north=0.05))])  # before anything happened
    house.offset = timedelta(minutes=-10)
    incident = await house.cries(0, position=fix(house, fixed_at=house.now()))
    for minute in (8, 6, 4):
        house.offset = timedelta(minutes=-minute)
        await house.cries(0, position=fix(house, north=0.002 * (10 - minute), fixed_at=house.now()))
    house.offset = timedelta()
    await house.cries(0, position=fix(house, north=0.9, fixed_at=house.now() - timedelta(hours=3)))  # out of a store: long before
    await on_duty(client, "李娜")
    await client.post(f"/api/v1/incidents/{incident.id}/acknowledge", json={})
    seen = await map_of(client, incident.id)
    home = house.register.persons["p000"].lat
    assert [round(one["lat"] - home, 4) for one in seen["track"]] == [0.0, 0.004, 0.008, 0.012]
    assert [one["at"] for one in seen["track"]] == sorted(one["at"] for one in seen["track"])


async def test_the_circle_is_an_estimate_around_whoever_goes(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await house.cries(0)
    await house.deliver()
    circle = (await map_of(client, incident.id))["circle"]
    leg = house.incidents[incident.id].legs[0]
    assert (circle["responder"], circle["minutes"], circle["source"], circle["rings"], circle["beyond"]) == (
        leg.responder,
        15,
        "straight_line",
        None,
        False,
    )
    # An invented station goes 15 km/h at every hour; roads are 1.3 times as long as the straight line.
    assert circle["km"] == pytest.approx(15 / 4 / 1.3, abs=0.001)


async def test_neighbours_live_where_they_stand(client: httpx.AsyncClient, house: FakeHouse) -> None:
    neighbour = Responder(id="n1", name="邻居", kind=ResponderKind.NEIGHBOUR, lat=36.3451, lon=102.8601, areas=("haishiwan",), capacity=1)
    house.register.responders["n1"] = neighbour
    assert "n1" not in {one["id"] for one in (await client.get("/api/v1/map")).json()["responders"]}
    assert map_views._may_stand(house.register, "n1", entitled=True)
    assert not map_views._may_stand(house.register, "n1", entitled=False)


async def test_the_overview_is_squares(house: FakeHouse, client: httpx.AsyncClient) -> None:
    for person in range(12):
        await house.cries(person, Kind.SOS if person == 3 else Kind.HELP)
    await house.receive([house.event(Kind.SOS, "unknown-77", "corridor")])
    seen = (await client.get("/api/v1/map/incidents")).json()
    assert sum(spot["count"] for spot in seen["spots"]) == 12
    assert seen["nowhere"] == 1
    assert seen["spots"][0]["severity"] == "critical"
    for spot in seen["spots"]:
        assert (spot["lat"], spot["lon"]) == coarse(spot["lat"], spot["lon"])
        for name in spot["incidents"]:
            home = house.register.persons[house.incidents[name].person or ""]
            assert dist((spot["lat"], spot["lon"]), (home.lat, home.lon)) < 0.0075


def test_the_overview_stays_small() -> None:
    house = FakeHouse()
    assert len(msgspec.json.encode(overview(house.register, []))) < 100


def test_everybody_sees_those_who_serve_their_areas() -> None:
    register = invented_register()
    now = FakeHouse(register).now()

    def seen(*areas: str) -> set[object]:
        reader = Reader(name="x", role=AccountRole.OPERATOR, areas=frozenset(areas))
        return {one["id"] for one in responders_view(register, reader, now)}

    everybody = {one.id for one in register.responders.values() if one.lat is not None}
    assert seen() == everybody
    assert seen("haishiwan") == everybody
    assert everybody - seen("pingan") == {"street-haishiwan"}
    assert seen("honggu") == everybody


async def test_what_lies_under_it(tmp_path: Path) -> None:
    ring = [[102.8, 36.3], [102.9, 36.3], [102.9, 36.4], [102.8, 36.3]]
    house = FakeHouse()
    (tmp_path / "own.geojson").write_bytes(
        convert(msgspec.json.encode({"type": "Polygon", "coordinates": [ring]}), "wgs84", "Invented for a test", "CC0", house.now().date())
    )
    given = MapConfig(center=(36.3, 102.9), zoom=11, boundary="own.geojson")
    house.config = msgspec.structs.replace(CONFIG, map=given, path=str(tmp_path / "gateway.toml"))
    async with client_of(house) as client:
        seen = (await client.get("/api/v1/map")).json()
        again = (await client.get("/api/v1/map", params={"boundary": seen["boundary"]["digest"]})).json()
    assert (seen["center"], seen["zoom"], seen["crs"], seen["sketch"], seen["layers"]) == ([36.3, 102.9], 11, "wgs84", True, [])
    assert seen["boundary"]["polygons"] == [[[[lat, lon] for lon, lat in ring]]]
    assert (seen["boundary"]["source"], seen["boundary"]["licence"]) == ("Invented for a test", "CC0")
    assert "polygons" not in again["boundary"]
    assert {one["on_duty"] for one in seen["responders"]} == {True}


@pytest.mark.parametrize(("place", "degrees"), [((37.0, 103.0), 0), ((36.0, 104.0), 90), ((35.0, 103.0), 180), ((36.0, 102.0), 270)])
def test_bearings(place: tuple[float, float], degrees: float) -> None:
    assert abs((bearing(36.0, 103.0, *place) - degrees + 180) % 360 - 180) < 0.5
