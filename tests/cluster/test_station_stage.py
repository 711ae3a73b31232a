"""The last stage of the self-test on several machines: an edge's alarm goes on as a test order from its shard's core to a test station."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cluster.cluster import Cluster, Plan
from cluster.test_review_ownership import NoBus
from prometheus_client import CollectorRegistry
from servers import Mosquitto, Outsider
from waiting import wait_until

from gateway.bus.contract import BusDown
from gateway.bus.shard_words import DONE, MARKED, UNMARKED, Answer, Probed, ProbeOrder, Reached, packed
from gateway.config import Config, MqttChannelConfig, examine_config
from gateway.config.dispatch import DispatchConfig
from gateway.config.self_test import SelfTestConfig
from gateway.dispatch.contract import Channel, DeliveryError, Order
from gateway.doctor import Finding, examine
from gateway.edge_watch import EdgeWatch
from gateway.event import Event, Kind
from gateway.shard_station import UNDER_WAY, ShardStation

POINTS = ("wearables-e0", "station-replies")
TOPIC = "stations/self-test/dispatch"
WITHIN_S = 3


class StationCluster(Cluster):
    """One shard. Stations are at a broker of their own, which lets us take the test station's ears: then orders are taken and reach nobody."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        (folder / "stations").mkdir()
        self.access = folder / "stations" / "access"
        self.stations = Mosquitto(folder / "stations", extra=f"allow_anonymous true\nacl_file {self.access}")
        self.ears(are_open=True)
        self.pages_open: list[httpx.AsyncClient] = []
        super().__init__(folder, plan)

    def configuration(self, page: int, console: int) -> str:
        text = super().configuration(page, console)
        orders = f'[dispatch.mqtt]\nbroker = "{self.broker.url}"\n'
        tests = "[self_test]\nenabled = false\n"
        assert orders in text
        assert tests in text
        text = text.replace(orders, f'[dispatch.mqtt]\nbroker = "{self.stations.url}"\n')
        text = text.replace(tests, f'[self_test]\nevery_s = {WITHIN_S}\nwithin_s = {WITHIN_S}\nstation = "self-test"\n')
        return f'{text}\n[heartbeat]\nfile = "alive"\ninterval_s = 0.5\n'

    async def __aenter__(self) -> "StationCluster":
        await self.stations.start()
        try:
            await super().__aenter__()
        except BaseException:
            await self.stations.stop()
            raise
        return self

    async def __aexit__(self, *how: object) -> None:
        for page in self.pages_open:
            await page.aclose()
        try:
            await super().__aexit__(*how)
        finally:
            await self.stations.stop()

    def ears(self, *, are_open: bool) -> None:
        """May whoever listens as the test station hear? Read at the start of the broker and by `silence`."""
        self.access.write_text("topic readwrite #\n" if are_open else "topic write #\n")

    def silence(self, *, is_silent: bool) -> None:
        """The broker reads its access list again."""
        self.ears(are_open=not is_silent)
        process = self.stations._process
        assert process is not None
        process.send_signal(signal.SIGHUP)

    async def begin(self) -> None:
        """The first core owns the shard before anything is tested."""
        self.start("c0")
        await self.sees(self._all_owned, "the shard has an owner")
        for name in (*self.cores[1:], *self.edges, *self.consoles):
            self.start(name)

    def page(self) -> httpx.AsyncClient:
        opened = httpx.AsyncClient(base_url=self.consoles["page0"], timeout=20, trust_env=False)
        self.pages_open.append(opened)
        return opened

    async def rows(self, page: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
        """Of the points on the page of the machinery; {} while it does not say."""
        try:
            answer = await page.get("/api/v1/self-test")
        except httpx.HTTPError:
            return {}
        return {row["name"]: row for row in answer.json()["self_test"]["points"]} if answer.status_code == 200 else {}

    async def come_to(self, page: httpx.AsyncClient, state: str, missing: str, detail: str = "") -> dict[str, dict[str, Any]]:
        """Wait until all points are so; gives their rows."""
        seen: dict[str, dict[str, Any]] = {}

        async def there() -> bool:
            seen.clear()
            seen.update(await self.rows(page))
            return len(seen) == len(POINTS) and all(
                (row["state"], row["missing"]) == (state, missing) and detail in row["detail"] for row in seen.values()
            )

        await self.sees(there, f"the points are {state} {missing} {detail}")
        return seen

    def told(self) -> list[tuple[object, ...]]:
        """(phase, point, what was missing) of what the journal says about self-tests."""
        sql = "SELECT phase, facts::json->'detail'->>'point', facts::json->'detail'->>'reason' FROM shard_0.journal"
        return self.postgres.rows(f"{sql} WHERE kind = 'self_test_missed' ORDER BY seq")

    def tables_of_tests(self) -> set[str]:
        """Of all tables of the shard those with a row that speaks of the test device or the test station."""
        names = self.postgres.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'shard_0' AND table_type = 'BASE TABLE'")
        every = (f"SELECT '{name}' FROM shard_0.\"{name}\" t WHERE row_to_json(t)::text LIKE '%self-test%'" for (name,) in names)
        return {str(name) for (name,) in self.postgres.rows(" UNION ".join(every))}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[StationCluster]:
    plan = Plan(edges=1, cores=2, consoles=1, servers=1, shards=1, wearables=2)
    async with StationCluster(tmp_path, plan) as found:
        yield found


def series(name: str, point: str, *more: str) -> str:
    labels = sorted([f'line="{point}"', f'point="{point}"', *more])
    return f"{name}{{{','.join(labels)}}}"


async def examined(cluster: StationCluster) -> dict[str, Finding]:
    """What the doctor says of the self-test on the console's machine."""
    config = examine_config(cluster.folder / "page0.toml")[0]
    found = await asyncio.to_thread(lambda: list(examine(config, only=("gateway", "self-test"))))
    return {one.what: one for one in found if one.topic == "self-test"}


async def test_a_station_that_falls_silent_is_an_incident_as_in_one_process_and_its_answer_ends_it(cluster: StationCluster) -> None:
    witness = await Outsider(cluster.stations.port, TOPIC).ready()
    await cluster.begin()
    page = cluster.page()
    rows = await cluster.come_to(page, "good", "")
    for name, row in rows.items():
        assert set(row["stages"]) == {"connect", "receipt", "bus", "committed", "station"}, name
        assert 0 < row["stages"]["committed"] <= row["stages"]["station"] <= WITHIN_S
        assert row["seconds"] >= row["stages"]["committed"]
    assert (await page.get("/api/v1/self-test")).json()["self_test"]["station"] == "self-test"
    metrics = await cluster.metrics("e0")
    for point in POINTS:
        assert metrics[series("gateway_self_test_seconds_count", point, 'stage="station"')] > 0
    orders = [(topic, json.loads(body)) for topic, body in witness.received]
    assert orders
    assert all((topic, one["test"], one["incident"], one["device"]) == (TOPIC, True, "", "self-test") for topic, one in orders)
    assert len({one["delivery"] for _, one in orders}) == len(orders), "one for each probe"
    assert cluster.tables_of_tests() == {"last_seen"}, "the one row that proves the disk; nothing is stored of a test order"
    assert {one.word for one in (await examined(cluster)).values()} == {"self_test_good"}

    async def is_ready() -> bool:
        return (await cluster.http.get(f"{cluster.pages['e0']}/readyz")).status_code == 200

    await cluster.sees(is_ready, "the edge is ready")
    cluster.silence(is_silent=True)
    rows = await cluster.come_to(page, "failing", "not_at_station")
    for name, row in rows.items():
        assert "committed" in row["stages"], name
        assert "station" not in row["stages"], name
        assert row["in_a_row"] >= 2
        assert row["withholds"]

    async def raised() -> bool:
        return {(phase, point) for phase, point, _ in cluster.told()} == {("raise", point) for point in POINTS}

    await cluster.sees(raised, "the misses are incidents")
    assert {reason for _, _, reason in cluster.told()} == {"self_test_not_at_station"}, "which name the stage"

    async def withheld() -> bool:
        found = await cluster.metrics("e0")
        missed = [found.get(series("gateway_self_test_missed_total", point, 'reason="not_at_station"'), 0) for point in POINTS]
        return min(missed) >= 2 and found.get('gateway_heartbeats_withheld_total{reason="self_test"}', 0) > 0 and not await is_ready()

    await cluster.sees(withheld, "the heartbeat is withheld, and the edge is not ready")
    found = await examined(cluster)
    assert {(what, one.word, one.facts["missing"]) for what, one in found.items()} == {
        (point, "self_test_missed", "not_at_station") for point in POINTS
    }
    cluster.silence(is_silent=False)
    await cluster.come_to(page, "good", "")

    async def cleared() -> bool:
        return sorted(str(point) for phase, point, _ in cluster.told() if phase == "clear") == sorted(POINTS)

    await cluster.sees(cleared, "the incidents have ended by themselves")
    await cluster.sees(is_ready, "the edge is ready again, and gives its heartbeat")
    assert len(cluster.told()) == 2 * len(POINTS)
    witness.close()


async def test_a_core_that_is_killed_with_a_test_order_under_way_is_a_miss_and_its_heir_sends_the_next(cluster: StationCluster) -> None:
    await cluster.begin()
    page = cluster.page()
    await cluster.come_to(page, "good", "")
    cluster.silence(is_silent=True)  # from now on a core waits for the station as long as a probe may take
    sent = len(orders_taken(cluster))

    async def is_under_way() -> bool:
        return len(orders_taken(cluster)) > sent

    await cluster.sees(is_under_way, "a test order has left, and its core waits for the station")
    edge = cluster.servers["e0"].process
    cluster.kill("c0")

    async def missed() -> bool:
        found = await cluster.metrics("e0")
        return any(found.get(series("gateway_self_test_missed_total", point, 'reason="not_at_station"'), 0) > 0 for point in POINTS)

    await cluster.sees(missed, "which is a miss")
    cluster.silence(is_silent=False)
    witness = await Outsider(cluster.stations.port, TOPIC).ready()
    await cluster.sees(cluster._all_owned, "the other core owns the shard")
    assert await cluster.owners() == {0: ["c1"]}

    async def heard() -> bool:
        return any(json.loads(body)["test"] for _, body in witness.received)

    await cluster.sees(heard, "the heir sends test orders")

    async def works_again() -> bool:  # and tells of the miss: what it told before the kill had none
        rows = (await cluster.rows(page)).values()
        return any(row["missed"] for row in rows) and all((row["state"], row["missing"]) == ("good", "") for row in rows)

    await cluster.sees(works_again, "the next probes are seen back")
    assert cluster.servers["e0"].process is edge
    assert cluster.servers["e0"].is_running
    for name in ("e0", "c1", "page0"):
        assert "Traceback" not in cluster.servers[name].log.read_text(), cluster.servers[name].tail()
    witness.close()


def orders_taken(cluster: StationCluster) -> list[str]:
    """What the stations' broker wrote down of orders that it was given."""
    return re.findall(rf"Received PUBLISH from gateway-\S+ .*'{TOPIC}'", cluster.stations.log.read_text())


async def test_a_core_that_is_set_up_otherwise_is_named_on_the_page(cluster: StationCluster) -> None:
    file = cluster.folder / "c0.toml"
    same = file.read_text()
    file.write_text(same.replace('station = "self-test"\n', ""))
    cluster.start("c0")
    await cluster.sees(cluster._all_owned, "the shard has an owner")
    for name in ("e0", "page0"):
        cluster.start(name)
    page = cluster.page()
    await cluster.come_to(page, "failing", "not_at_station", "the core of shard 0 has no self_test.station: write it as here, and restart that core")
    assert "has no self_test.station" in cluster.servers["e0"].log.read_text(), "also where there is no page"
    cluster.kill("c0")
    file.write_text(same.replace('station = "self-test"\n', 'station = "another"\n'))
    cluster.start("c0")
    await cluster.come_to(page, "failing", "not_at_station", "self_test.station is another (mqtt) at the core of shard 0 and self-test (mqtt) here")
    cluster.kill("c0")
    file.write_text(same)
    cluster.start("c0")
    await cluster.come_to(page, "good", "")


# --- without servers -----------------------------------------------------------------------------------------------------


class OldProbed(msgspec.Struct, frozen=True, array_like=True):
    """As a core of before test orders reads it."""

    line: str
    device: str
    at: datetime | None


class OneCore(NoBus):
    """A bus with one core, which says this when it is asked about a probe; first nobody is there."""

    def __init__(self, says: object) -> None:
        self._says = says
        self.asked: list[tuple[str, bytes]] = []

    async def ask(self, subject: str, body: bytes, timeout_s: float) -> bytes:
        self.asked.append((subject, body))
        if len(self.asked) == 1:
            raise BusDown("no responders")
        return packed(Answer(DONE, packed(self._says)))


def watch_of(bus: Any) -> EdgeWatch:
    async def receive(_events: object) -> list[Any]:
        return []

    config = Config(self_test=SelfTestConfig(station="self-test"))
    return EdgeWatch(config, "north", {}, receive, bus, lambda _: 3, lambda: False, {}, CollectorRegistry())


def probe() -> Event:
    now = datetime.now(UTC)
    return Event(kind=Kind.SOS, line="wearables", device="self-test", received_at=now, occurred_at=now)


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (MARKED, "the core of shard 3 is of a version that sends no test orders: update it"),
        (UNMARKED, "the core of shard 3 does not know the device as a test device"),
        (Reached(False, "connection_lost"), "connection_lost"),
    ],
)
async def test_an_edge_says_why_no_order_reached_the_station(says: object, reason: str) -> None:
    bus, event = OneCore(says), probe()
    with pytest.raises(DeliveryError) as error:
        await watch_of(bus).reach(event, "d-1", "wearables", event.received_at, 10.0)
    assert error.value.reason == reason
    assert [subject for subject, _ in bus.asked] == ["shard.3.probed"] * 2, "asked again where nobody was"
    assert msgspec.msgpack.decode(bus.asked[0][1], type=OldProbed) == OldProbed("wearables", "self-test", event.received_at)
    assert msgspec.msgpack.decode(packed(OldProbed("a", "b", None)), type=Probed).order is None, "an edge of before asks for none"


async def test_an_order_that_arrived_is_told_with_what_listening_took() -> None:
    event = probe()
    assert await watch_of(OneCore(Reached(True, "", 0.25))).reach(event, "d-1", "wearables", event.received_at, 10.0) == 0.25


class Silent:
    """A web hook that takes every order and never answers."""

    name = "webhook"

    def __init__(self) -> None:
        self.orders: list[Order] = []

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def deliver(self, order: Order) -> None:
        self.orders.append(order)
        await asyncio.Event().wait()


async def test_so_many_test_orders_are_under_way_and_each_ends_with_its_probe() -> None:
    silent = Silent()
    channels: Mapping[str, Channel] = {"webhook": silent}
    test = SelfTestConfig(station="self-test", channel="webhook", address="https://station.example/")
    station = ShardStation(3, lambda: Config(self_test=test), lambda: channels)
    asked = partial(ProbeOrder, point="p", at=datetime.now(UTC), station="self-test", channel="webhook")
    waiting = [asyncio.create_task(station.reach(asked(f"d-{n}", within_s=600.0), "self-test")) for n in range(UNDER_WAY)]
    await wait_until(lambda: len(silent.orders) == UNDER_WAY, "all have left")
    assert {(one.responder, one.address) for one in silent.orders} == {("self-test", "https://station.example/")}
    busy = await station.reach(asked("one more", within_s=600.0), "self-test")
    assert (busy.is_there, busy.reason) == (False, "64 test orders of shard 3 are under way: the test station does not answer")
    for one in waiting[1:]:
        one.cancel()
    await asyncio.wait(waiting[1:])
    assert await station.reach(asked("late", within_s=0.01), "self-test") == Reached(False), "the edge has given up by then"
    waiting[0].cancel()
    await asyncio.wait(waiting)
    await station.close()


async def test_a_broker_of_the_stations_that_cannot_be_reached_is_named() -> None:
    config = Config(self_test=SelfTestConfig(station="self-test"), dispatch=DispatchConfig(mqtt=MqttChannelConfig(broker="mqtt://127.0.0.1:1")))
    channels: Mapping[str, Channel] = {"mqtt": Silent()}
    station = ShardStation(3, lambda: config, lambda: channels)
    found = await station.reach(ProbeOrder("d-1", "p", datetime.now(UTC), "self-test", "mqtt", 60.0), "self-test")
    assert not found.is_there
    assert "refused" in found.reason
