"""States and silence on a whole gateway with a real broker: SIGKILL makes no state news, and the metrics tell who is silent."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from house import District, House
from servers import until
from test_review_pipeline import event, running

from gateway import pipeline as pipeline_module
from gateway.clock import utc_now
from gateway.config import DeviceClassConfig, SupervisionConfig
from gateway.core.register import Device, Register
from gateway.errors import StoreDown
from gateway.event import Kind, Phase
from gateway.store.store import Batch
from simulators.mqtt_link import Client

SENSORS = """
[[line]]
name = "sensors"
codec = "mapping"
broker = "{broker}"
[line.options]
mappings = ["zigbee2mqtt"]
"""
SUPERVISED = """
[[device_class]]
name = "watch"
interval_s = {interval_s}
grace_s = {grace_s}
"""


class Sensors(House):
    """With a line of Zigbee sensors, and wearables of a class."""

    def __init__(self, folder: Path, interval_s: float = 3600, grace_s: float = 3600) -> None:
        super().__init__(folder, District(wearables=3, rooms=1, buttons=1, callers=1))
        self.interval_s = interval_s
        self.grace_s = grace_s

    def write_config(self) -> None:
        super().write_config()
        text = self.config.read_text().replace('name = "wearables"\n', 'name = "wearables"\ndevice_class = "watch"\n')
        more = SENSORS.format(broker=self.broker.url) + SUPERVISED.format(interval_s=self.interval_s, grace_s=self.grace_s)
        self.config.write_text(text + more)

    async def say(self, topic: str, body: object, retain: bool = False) -> None:
        """One message, confirmed by the broker."""
        async with Client(self.address.host, self.address.port) as client:
            await client.publish(topic, json.dumps(body), qos=1, retain=retain)

    async def heard(self, line: str, count: int) -> None:
        """Wait until so many messages of a line have found their fate since the last start."""

        async def has() -> bool:
            return await self.metric("gateway_events_total", line=line) >= count

        await self.sees(has, f"{count} messages of {line}")

    def told(self, kind: str) -> list[str]:
        """Phases of the entries of this kind, oldest first."""
        return [json.loads(str(row["facts"])).get("phase", "raise") for row in self.journal() if row["kind"] == kind]


async def test_a_state_told_again_after_a_kill_is_no_second_cry(tmp_path: Path) -> None:
    async with Sensors(tmp_path) as house:
        house.start()
        await house.ready()
        await house.lines_live("sensors")
        for _ in range(3):
            await house.say("zigbee2mqtt/kitchen", {"smoke": True, "battery": 80}, retain=True)
        await house.sees(lambda: _is(len(house.told("smoke")) == 1), "the alarm is in the journal")
        house.kill()  # the checkpoint of the signs of life is half a minute away

        house.start()
        await house.ready()
        await house.heard("sensors", 1)  # the broker has kept the state, and sends it to whoever subscribes
        await house.say("zigbee2mqtt/kitchen", {"smoke": True, "battery": 80}, retain=True)
        await house.say("zigbee2mqtt/kitchen", {"smoke": False, "battery": 80}, retain=True)
        await house.sees(lambda: _is(len(house.told("smoke")) > 1), "its end is in the journal")
        assert house.told("smoke") == ["raise", "clear"]
        house.kill()

        await house.say("zigbee2mqtt/kitchen", {"smoke": True, "battery": 80}, retain=True)  # on fire while we were down
        house.start()
        await house.ready()
        await house.sees(lambda: _is(len(house.told("smoke")) > 2), "the fire is told")
        house.kill()
        house.start()
        await house.ready()
        await house.heard("sensors", 1)
        assert house.told("smoke") == ["raise", "clear", "raise"]
        assert await house.unbalanced() == {}


async def test_silence_is_an_incident_and_its_end_is_told(tmp_path: Path) -> None:
    async with Sensors(tmp_path, interval_s=1, grace_s=1) as house:
        house.start()
        await house.ready()
        await house.lines_live("wearables")
        await house.say(f"wearables/{house.district.wearable(0)}/event", {"kind": "heartbeat", "ts": 1})

        async def is_overdue() -> bool:
            return await house.metric("gateway_devices", **{"class": "watch", "state": "overdue"}) == 1

        await house.sees(is_overdue, "the device that was heard once is overdue")
        assert await house.metric("gateway_devices", **{"class": "watch", "state": "never"}) == 2
        await house.sees(lambda: _is("offline" in {row["kind"] for row in house.journal()}), "the silence is in the journal")
        await house.say(f"wearables/{house.district.wearable(0)}/event", {"kind": "heartbeat", "ts": 2})
        await house.sees(lambda: _is("online" in {row["kind"] for row in house.journal()}), "so is its end")
        assert await house.unbalanced() == {}


class Street(Sensors):
    """300 wearables behind a street gateway that never speaks itself."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, interval_s=4, grace_s=3)
        self.district = District(wearables=300, rooms=1, buttons=1, callers=1)

    def write_config(self) -> None:
        super().write_config()
        devices = self.folder / "districts" / "chaos" / "devices.csv"
        header, *rows = devices.read_text("utf-8").splitlines()
        rows = [f"{row},gw-1" if row.startswith("w-") else f"{row}," for row in rows]
        devices.write_text("\n".join([f"{header},via", *rows, "gw-1,wearables,,,chaos,,,,a street gateway,"]) + "\n", "utf-8")

    async def all_speak(self) -> None:
        async with Client(self.address.host, self.address.port) as client:
            for number in range(300):
                await client.publish(f"wearables/{self.district.wearable(number)}/event", '{"kind": "heartbeat", "ts": 1}', qos=1)

    def decided(self) -> list[tuple[object, str]]:
        """(incident, what happened to it) of all that silence has led to."""
        entries = (row for row in self.journal() if row["kind"] in ("offline", "online", "merge"))
        return [(row["incident"], f"{row['kind']} {json.loads(str(row['facts'])).get('detail', {}).get('reason', '')}") for row in entries]


async def test_a_dead_street_gateway_is_one_incident_one_list_one_return(tmp_path: Path) -> None:
    async with Street(tmp_path) as house:
        house.start()
        await house.ready()
        await house.lines_live("wearables")
        await house.all_speak()

        async def counted(state: str) -> bool:
            return await house.metric("gateway_devices", **{"class": "watch", "state": state}) == 300

        await house.sees(lambda: counted("alive"), "all were heard")
        await house.sees(lambda: counted("unknown_path"), "all are silent")
        assert house.decided() == [("I100001", "offline path_silent")]
        await house.all_speak()
        await house.sees(lambda: counted("alive"), "all are back")
        assert house.decided() == [("I100001", "offline path_silent"), ("I100001", "online path_back")]
        assert await house.unbalanced() == {}


async def test_that_a_device_spoke_is_saved_seldom_and_what_it_told_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "CHECKPOINT_S", 0.05)
    async with running(tmp_path) as path:
        for battery in (80.0, 80.0, 80.0, 79.0):
            beats = [msgspec.structs.replace(event(Kind.HEARTBEAT, f"w-{n}", Phase.STATE), battery_pct=battery) for n in range(5)]
            wanted = len(path.store.saved) + 5
            is_new = battery == 79.0 or not path.store.saved
            await path.pipeline.receive(beats)
            if is_new:
                await until(lambda wanted=wanted: len(path.store.saved) >= wanted, "what is new is saved")  # type: ignore[misc]
        assert len(path.store.saved) == 10
        await path.pipeline.receive([event(Kind.HEARTBEAT, "w-1", Phase.STATE)])
        monkeypatch.setattr(pipeline_module, "SPOKE_S", 0.0)
        await until(lambda: len(path.store.saved) > 10, "the rest is saved when its time has come")
        await path.pipeline.receive([event(Kind.HEARTBEAT, "w-2", Phase.STATE)])
        monkeypatch.setattr(pipeline_module, "SPOKE_S", 600.0)
    assert path.store.saved.count("wearables|w-2") >= 3  # … or at the end


async def test_an_alarm_does_not_wait_for_the_heartbeats_before_it(tmp_path: Path) -> None:
    async with running(tmp_path) as path:
        done: list[str] = []

        async def emit(kind: Kind, device: str) -> None:
            await path.pipeline.receive([event(kind, device, Phase.RAISE if kind is Kind.SOS else Phase.STATE)])
            done.append(kind.value)

        beats = [asyncio.create_task(emit(Kind.HEARTBEAT, f"w-{n}")) for n in range(1000)]
        await asyncio.sleep(0)
        alarm = asyncio.create_task(emit(Kind.SOS, "w-1"))
        await asyncio.gather(alarm, *beats)
        assert done.index("sos") <= pipeline_module.ROUTINE_BESIDE + pipeline_module.ROUTINE_LIMIT
        assert path.pipeline.metrics.books("wearables").unaccounted == 0


async def test_silence_waits_for_the_store(tmp_path: Path) -> None:
    async with running(tmp_path) as path:
        classes = (DeviceClassConfig(name="watch", interval_s=0.05, grace_s=0.05),)
        path.store.hold = _down
        path.pipeline.working.supervise(classes, {}, SupervisionConfig(), utc_now())
        device = Device(id="w-1", line="wearables", device_class="watch")
        path.pipeline.working.use(Register(devices=[device], responders=list(path.pipeline.working.register.responders.values())), utc_now())
        await until(lambda: path.pipeline.is_store_down, "it could not be written")
        assert not path.pipeline.working.silent
        path.store.hold = lambda _: None
        await until(lambda: path.pipeline.working.silent, "it is written when the store is back")


def _down(_: Batch) -> None:
    raise StoreDown("the test says so")


async def _is(answer: bool) -> bool:
    await asyncio.sleep(0)
    return answer
