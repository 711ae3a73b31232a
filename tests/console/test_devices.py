"""Devices over HTTP: states, counts and pages, masked; one device; a hundred thousand that never hold up the loop; profiles of a line."""

import asyncio
import contextlib
import gc
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from drivers.contract import Surroundings
from drivers.mappings import MappingOptions, build_codec
from gateway.app import GARBAGE, SWITCH_S
from gateway.config import SupervisionConfig
from gateway.console import device_views
from gateway.console.http import make_app
from gateway.console.reader import Reader
from gateway.core.account import AccountRole
from gateway.core.register import Device, Register
from gateway.core.state import Seen
from gateway.event import Kind, Phase
from tests.console import street
from tests.console.fake_house import STATIC, FakeHouse

BASE = "http://127.0.0.1:12349"
MANY = 100_000
LOOP_MAY_STAND_S = 0.05  # measured 2 ms; on a busy machine an alarm may wait so long. Counting all devices in the loop would take longer


def client_of(house: FakeHouse) -> httpx.AsyncClient:
    app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)


@pytest.fixture
def house() -> FakeHouse:
    return street.supervised_house()


@pytest.fixture
async def client(house: FakeHouse) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(house) as client:
        yield client


async def devices(client: httpx.AsyncClient, **wanted: str) -> dict:
    reply = await client.get("/api/v1/devices", params=wanted)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_a_dead_street_gateway_is_counted_and_listed_by_risk(house: FakeHouse, client: httpx.AsyncClient) -> None:
    incident = await street.street_gateway_dies(house)
    answer = await devices(client, state="path_out")
    assert len(answer["devices"]) == street.BUTTONS
    assert {row["incident"] for row in answer["devices"]} == {incident.id}
    assert {row["via"] for row in answer["devices"]} == {street.GATEWAY}
    counts = {row["class"]: row for row in answer["counts"]}
    assert counts["button"] == {
        "class": "button", "alive": 0, "overdue": 0, "never": 1, "path_out": street.BUTTONS, "low_battery": 0, "unsupervised": 0,
    }  # fmt: skip
    assert (counts["gateway"]["overdue"], counts["watch"]["alive"], counts[""]["unsupervised"]) == (1, 41, 1)
    order = [item.device for item in incident.affected]
    assert [row["address"] for row in answer["devices"]] == order
    assert [row["address"] for row in (await devices(client, state="overdue"))["devices"]] == [street.GATEWAY]
    assert [row["address"] for row in (await devices(client, state="never"))["devices"]] == ["door-1"]
    await street.street_gateway_returns(house)
    states = {row["address"]: row["state"] for row in (await devices(client, state="path_out"))["devices"]}
    assert "b003" not in states
    assert set(states.values()) == {"returning"}


async def test_rows_are_masked_and_no_number_stands_in_a_url(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await street.all_speak(house)
    await house.receive([house.event(Kind.HEARTBEAT, "+8617400000099", "wearables", phase=Phase.STATE)])
    answers = [await devices(client), await devices(client, state="unknown")]
    for row in answers[0]["devices"]:
        if row["person"] is not None:
            person = house.register.persons[row["person"]["id"]]
            assert row["person"]["name"] == person.name[0] + "*" * min(2, len(person.name) - 1)
            answers.append((await client.get(f"/api/v1/devices/{row['line']}/{row['ref']}")).json())
    text = msgspec.json.encode(answers).decode()
    for person in house.register.persons.values():
        for secret in (person.name, person.address, *person.phones, person.health_note, *(one.phone for one in person.contacts)):
            assert secret not in text
    assert "7400000077" not in text
    assert "7400000099" not in text
    telephone = next(row for row in answers[0]["devices"] if row["address"] == "174****0077")
    assert (await client.get(f"/api/v1/devices/wearables/{telephone['ref']}")).json()["device"]["class"] == "watch"
    (stranger,) = answers[1]["devices"]
    detail = (await client.get(f"/api/v1/devices/wearables/{stranger['ref']}")).json()["device"]
    assert (detail["address"], detail["registered"], detail["state"]) == ("174****0099", False, "unknown")


async def test_one_device_says_what_is_expected_of_it(house: FakeHouse, client: httpx.AsyncClient) -> None:
    await street.all_speak(house)
    now = house.now()
    await house.receive([house.event(Kind.HEARTBEAT, "b001", "street", phase=Phase.STATE, battery_pct=11.0)])
    one = (await client.get("/api/v1/devices/street/b001")).json()["device"]
    assert (one["state"], one["low_battery"], one["battery_pct"], one["class"], one["interval_s"], one["grace_s"]) == (
        "alive", True, 11.0, "button", 600, 300,
    )  # fmt: skip
    assert one["incident"] == next(i.id for i in house.incidents.values() if i.kind is Kind.LOW_BATTERY)
    assert abs(msgspec.convert(one["due_at"], type=type(now)) - now - timedelta(minutes=15)) < timedelta(seconds=5)
    assert [state["name"] for state in one["states"]] == ["battery_pct"]
    assert [row["address"] for row in (await devices(client, state="low_battery"))["devices"]] == ["b001"]
    gateway = (await client.get(f"/api/v1/devices/street/{street.GATEWAY}")).json()["device"]
    assert (gateway["behind"], gateway["behind_silent"], gateway["model"], gateway["place"]) == (street.BUTTONS, 0, "示例网关 2", "海石湾镇 红古路")
    never = (await client.get("/api/v1/devices/street/door-1")).json()["device"]
    assert (never["state"], never["heard_at"], never["due_at"]) == ("never", None, None)
    assert (await client.get("/api/v1/devices/street/nobody")).json() == {"reason": "unknown_device"}


async def test_a_device_with_a_slash_and_one_for_any_line_are_found() -> None:
    house = FakeHouse(Register(devices=[Device(id="a/b c", line="x"), Device(id="free")]))
    async with client_of(house) as client:
        rows = (await devices(client))["devices"]
        assert [(row["line"], row["ref"], row["state"]) for row in rows] == [(None, "free", "unsupervised"), ("x", "a/b c", "unsupervised")]
        assert (await client.get("/api/v1/devices/*/free")).json()["device"]["address"] == "free"
        assert (await client.get("/api/v1/devices/x/a%2Fb%20c")).json()["device"]["address"] == "a/b c"


@pytest.mark.parametrize(
    ("wanted", "status", "reason"),
    [
        ({"state": "broken"}, 400, "bad_state"),
        ({"colour": "red"}, 400, "unknown_field"),
        ({"line": "x" * 65}, 400, "text_too_long"),
        ({"after": "000000-5"}, 409, "cursor_expired"),
        ({"after": "5"}, 409, "cursor_expired"),
    ],
)
async def test_what_makes_no_sense_is_refused(client: httpx.AsyncClient, wanted: dict[str, str], status: int, reason: str) -> None:
    reply = await client.get("/api/v1/devices", params=wanted)
    assert (reply.status_code, reply.json()["reason"]) == (status, reason)


async def test_a_cursor_of_the_register_before_leads_nowhere(house: FakeHouse, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_views, "PAGE", 10)
    cursor = (await devices(client))["after"]
    assert (await devices(client, after=cursor))["devices"]
    house.working_set.use(street.street_register(), house.now())
    house.register = house.working_set.register
    assert (await client.get("/api/v1/devices", params={"after": cursor})).json() == {"reason": "cursor_expired"}


async def test_addresses_on_no_register_come_newest_first_by_pages(house: FakeHouse, client: httpx.AsyncClient) -> None:
    for i in range(130):
        await house.receive([house.event(Kind.HEARTBEAT, f"s{i:03}", "wearables", phase=Phase.STATE)])
    first = await devices(client, state="unknown")
    second = await devices(client, state="unknown", after=first["after"])
    names = [row["address"] for row in (*first["devices"], *second["devices"])]
    assert names == [f"s{i:03}" for i in reversed(range(130))]
    assert (first["unknown"], second["after"]) == (130, None)
    assert (await devices(client, state="unknown", line="street"))["devices"] == []


@contextlib.asynccontextmanager
async def as_the_house_runs() -> AsyncIterator[None]:
    """With its switching of threads, and register and working set out of the collector's way."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    sys.setswitchinterval(SWITCH_S)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*thresholds)
    gc.unfreeze()


async def test_a_hundred_thousand_devices_never_hold_up_the_loop() -> None:
    """Each answer looks at a bounded part, in a thread; a rare state is found by going on from cursor to cursor, each device once."""
    house = FakeHouse(Register(devices=[Device(id=f"d{i:06}", line="wearables", device_class="watch") for i in range(MANY)]))
    house.working_set.supervise(street.CLASSES, {}, SupervisionConfig(), house.now())
    low = ("d000007", "d050000", "d099999")
    await house.receive([house.event(Kind.HEARTBEAT, name, phase=Phase.STATE, battery_pct=3.0) for name in low])
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.process_time()  # what this process did, loop and thread: not what others did to the machine meanwhile
            await asyncio.sleep(0.001)
            longest = max(longest, time.process_time() - before)

    async with as_the_house_runs(), client_of(house) as client:
        ticking = asyncio.create_task(tick())
        first = await devices(client)  # puts them in order, and counts them
        found: list[str] = []
        cursor, answers = "", 0
        while cursor is not None:
            answer = await devices(client, state="low_battery", **({"after": cursor} if cursor else {}))
            found += [row["address"] for row in answer["devices"]]
            cursor, answers = answer["after"], answers + 1
        ticking.cancel()
    print(f"\nlongest stand of the loop with {MANY} devices: {longest * 1000:.0f} ms")
    assert found == list(low)
    assert answers == MANY // device_views.SCAN
    assert len(first["devices"]) == device_views.PAGE
    (counts,) = first["counts"]
    assert (counts["never"], counts["alive"], counts["low_battery"]) == (MANY - 3, 3, 3)
    assert longest < LOOP_MAY_STAND_S


async def test_a_mapping_line_shows_its_profiles_with_their_faults_masked(house: FakeHouse, client: httpx.AsyncClient) -> None:
    street.map_profiles(house)
    house.mapped["wearables"].append(house.mapped["wearables"][0]._replace(name="x", fault="device '+8617400000055' is no address"))
    lines = {line["id"]: line["profiles"] for line in (await client.get("/api/v1/lines")).json()["lines"]}
    assert lines["hotline"] == []
    states = [(one["name"], one["state"]) for one in lines["wearables"]]
    assert states == [("unknown_button", "refused"), ("zigbee2mqtt", "running"), ("chirpstack", "shut_off"), ("x", "refused")]
    assert lines["wearables"][0]["fault"].startswith("mappings/unknown_button.toml:14:")
    assert lines["wearables"][1]["fault"] is None
    assert "7400000055" not in lines["wearables"][3]["fault"]


async def test_the_detail_of_an_outage_names_the_first_and_counts_the_rest(
    house: FakeHouse, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_views, "AFFECTED_SHOWN", 5)
    incident = await street.street_gateway_dies(house)
    affected = (await client.get(f"/api/v1/incidents/{incident.id}")).json()["affected"]
    assert (affected["count"], affected["path"], len(affected["items"])) == (street.BUTTONS, street.GATEWAY, 5)
    for item, truth in zip(affected["items"], incident.affected, strict=False):
        person = house.register.persons[truth.person or ""]
        assert (item["device"], item["person"]) == (truth.device, person.name[0] + "**")
        assert item["since"] is not None
    await street.street_gateway_returns(house)
    detail = (await client.get(f"/api/v1/incidents/{incident.id}")).json()
    assert [entry["detail"]["detail"]["reason"] for entry in detail["timeline"] if entry["kind"] == "online"] == ["path_back"]


async def test_the_detail_says_what_the_device_was_told_and_under_duress_that_it_is_told_nothing(house: FakeHouse, client: httpx.AsyncClient) -> None:
    street.tell_devices(house, "wearables")
    cry = await house.cries(20, Kind.SOS)
    client.headers["X-CSRF"] = (await client.get("/api/v1/session")).json()["csrf"]
    await client.post("/api/v1/duty", json={"name": "李娜"})
    await client.post(f"/api/v1/incidents/{cry.id}/acknowledge")
    await street.told(house, cry.id, "not_connected")
    detail = (await client.get(f"/api/v1/incidents/{cry.id}")).json()
    (one,) = detail["tellings"]
    assert (one["word"], one["state"], one["reason"], one["device"]) == ("taken", "failed", "not_connected", "w020")
    assert [entry["detail"]["told"] for entry in detail["timeline"] if entry["kind"] == "failed" and "told" in entry["detail"]] == ["taken"]
    duress = await house.cries(21, Kind.DURESS)
    await client.post(f"/api/v1/incidents/{duress.id}/acknowledge")
    detail = (await client.get(f"/api/v1/incidents/{duress.id}")).json()
    assert (detail["dark"], detail["tellings"]) == (True, [])


def test_the_real_codec_tells_how_its_profiles_do() -> None:
    """What `House.profiles` reads."""
    codec = build_codec(MappingOptions(mappings=("zigbee2mqtt", "no_such")), Surroundings(line="m"))
    states = [(one.name, one.state, bool(one.fault)) for one in codec.profile_states(0.0)]
    assert states == [("no_such", "refused", True), ("zigbee2mqtt", "running", False)]


async def test_what_devices_run_is_counted_by_model_and_led_to(house: FakeHouse, client: httpx.AsyncClient) -> None:
    for number, version in enumerate(("1.2", "1.2", "1.1")):
        await house.receive([house.event(Kind.TELEMETRY, f"b{number:03}", "street", phase=Phase.STATE, firmware=version)])
    await house.receive([house.event(Kind.TELEMETRY, street.GATEWAY, "street", phase=Phase.STATE, firmware="2026-a")])
    await house.receive([house.event(Kind.HEARTBEAT, "b002", "street", phase=Phase.STATE)])  # says nothing of it: still 1.1
    await house.receive([house.event(Kind.TELEMETRY, "b001", "street", phase=Phase.STATE, firmware="0.9", late="backfill")])  # of long ago
    counted = (await client.get("/api/v1/ops")).json()["firmware"]
    assert counted == [
        {"model": "示例网关 2", "version": "2026-a", "count": 1},
        {"model": None, "version": "1.2", "count": 2},
        {"model": None, "version": "1.1", "count": 1},
    ]
    assert [row["address"] for row in (await devices(client, firmware="1.2"))["devices"]] == ["b000", "b001"]
    assert [row["address"] for row in (await devices(client, model="示例网关 2", firmware="2026-a"))["devices"]] == [street.GATEWAY]
    assert (await devices(client, model="示例网关 2", firmware="1.2"))["devices"] == []
    assert (await client.get("/api/v1/devices/street/b002")).json()["device"]["firmware"] == "1.1"
    await house.receive([house.event(Kind.TELEMETRY, "b002", "street", phase=Phase.STATE, firmware="1.2")])  # updated
    assert {row["version"]: row["count"] for row in (await client.get("/api/v1/ops")).json()["firmware"]} == {"2026-a": 1, "1.2": 3}


async def test_of_many_versions_those_that_most_have_are_told(house: FakeHouse) -> None:
    for number in range(street.BUTTONS):
        house.working.seen[f"street|b{number:03}"] = Seen(at=house.now(), firmware="common" if number < 5 else f"v{number}")
    whole = device_views.versions_of(house.working)
    assert len(whole) == 1 + street.BUTTONS - 5
    few = device_views.versions_of(house.working, Reader(name="王强", role=AccountRole.OPERATOR, areas=frozenset(("pingan",))))
    assert 0 < sum(row["count"] for row in few) < street.BUTTONS


async def test_who_keeps_the_machinery_running_sees_no_person_and_an_area_only_its_own() -> None:
    house = street.supervised_house()
    register = house.register
    ops = Reader(name="何帆", role=AccountRole.OPS)
    places = device_views.in_order(house.working)
    rows, _ = device_views.some_of(house.working, places, 0, device_views.Troubles({}, {}), ops)
    assert rows
    assert all(row["person"] is None for row in rows)
    at_home = {device.id for device in register.devices if device.person}
    assert {row["place"] for row in rows if row["address"] in at_home} == {None}
    one = Reader(name="王强", role=AccountRole.OPERATOR, areas=frozenset(("pingan",)))
    rows, _ = device_views.some_of(house.working, places, 0, device_views.Troubles({}, {}), one)
    areas = {register.persons[row["person"]["id"]].area for row in rows if row["person"]}
    assert areas == {"pingan"}
