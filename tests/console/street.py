"""A street of an invented town: buttons that speak through a street gateway, watches, a sensor that never came, and what befalls them.

python -m tests.console.street --port 12349      serves the console on it, after a night of silence
"""

import argparse
import asyncio
import contextlib
from datetime import timedelta

import msgspec
from prometheus_client import CollectorRegistry

from drivers.mqtt.mapping import ProfileState
from gateway.config import DeviceClassConfig, SupervisionConfig, WatchConfig
from gateway.console.http import make_app, serve
from gateway.core import orders
from gateway.core.absence import Wish
from gateway.core.incident import Incident
from gateway.core.register import Device, Register
from gateway.core.state import Draft
from gateway.event import Kind, Phase
from tests.console.fake_house import STATIC, FakeHouse, Line, invented_register

BUTTONS = 14
GATEWAY = "GW-07"
CLASSES = (
    DeviceClassConfig(name="watch", interval_s=600, grace_s=300, risk=3),
    DeviceClassConfig(name="button", interval_s=600, grace_s=300, risk=2),
    DeviceClassConfig(name="gateway", interval_s=60, grace_s=120, risk=1),
)


ALONE = ("p016", "p017", "p018", "p019")  # watched over
WATCH = WatchConfig(name="alone", within_s=1800, quiet="", grace_s=300, step_s=600)


def street_register() -> Register:
    """As invented_register, and a street gateway with a button for each of the first persons, a watch that is a telephone, a sensor."""
    base = invented_register()
    persons = [msgspec.structs.replace(one, watch="alone" if one.id in ALONE else "") for one in base.persons.values()]
    watches = [msgspec.structs.replace(one, device_class="watch") if one.line == "wearables" else one for one in base.devices]
    buttons = [Device(id=f"b{i:03}", line="street", person=persons[i].id, via=GATEWAY, device_class="button") for i in range(BUTTONS)]
    gateway = Device(id=GATEWAY, line="street", area="haishiwan", place="海石湾镇红古路8号配电箱", model="示例网关 2", device_class="gateway")
    telephone = Device(id="+8617400000077", line="wearables", person=persons[20].id, device_class="watch")
    sensor = Device(id="door-1", line="street", person=persons[21].id, device_class="button")
    return Register(
        district=base.district,
        name=base.name,
        persons=persons,
        devices=[*watches, *buttons, gateway, telephone, sensor],
        responders=base.responders.values(),
        areas=base.areas.values(),
    )


def supervised_house() -> FakeHouse:
    """Everybody but the sensor at the door was heard at this moment."""
    house = FakeHouse(street_register())
    now = house.now()
    house.lines["street"] = Line("generic", True, "live", now)
    house.working_set.supervise(CLASSES, {}, SupervisionConfig(path_least=5, path_share=0.5), now)
    house.working_set.watch_over((WATCH,), None, now)
    return house


async def all_speak(house: FakeHouse, *but: str) -> None:
    """A heartbeat of every device but these and the sensor at the door."""
    names = [(one.line or "", one.id) for one in house.register.devices if one.id not in (*but, "door-1", "lobby-1")]
    await house.receive([house.event(Kind.HEARTBEAT, name, line, phase=Phase.STATE, battery_pct=76.0) for line, name in names])


async def street_gateway_dies(house: FakeHouse) -> Incident:
    """The gateway and all behind it fall silent; everybody else goes on speaking."""
    dead = (GATEWAY, *(f"b{i:03}" for i in range(BUTTONS)))
    await all_speak(house)
    for _ in range(3):
        house.offset += timedelta(minutes=6)
        await all_speak(house, *dead)
        await house.pass_time()
    return next(one for one in house.incidents.values() if one.affected_count)


async def street_gateway_returns(house: FakeHouse) -> None:
    """One button is heard through it again."""
    await house.receive([house.event(Kind.HEARTBEAT, "b003", "street", phase=Phase.STATE)])


async def list_after_outage(house: FakeHouse, silent: int = 8) -> Incident:
    """After street_gateway_dies: it is back, and so many buttons behind it are not heard within their window. The list of them."""
    await street_gateway_returns(house)
    for _ in range(4):
        house.offset += timedelta(minutes=6)
        await all_speak(house, *(f"b{i:03}" for i in range(4, 4 + silent)))
        await house.pass_time()
    return next(one for one in house.incidents.values() if one.affected_count == silent)


async def buttons_speak(house: FakeHouse, *buttons: int) -> None:
    """These are heard again."""
    for number in buttons:
        await house.receive([house.event(Kind.HEARTBEAT, f"b{number:03}", "street", phase=Phase.STATE)])


def tell_devices(house: FakeHouse, *lines: str) -> None:
    """These lines can tell their devices something."""
    house.working_set.tell_lines = frozenset(lines)


async def told(house: FakeHouse, incident: str, reason: str = "") -> None:
    """What became of everything that its devices were to be told."""
    draft = Draft(house.working_set)
    for one in house.incidents[incident].tellings:
        if one.state == "pending":
            orders.told(draft, incident, one.id, reason, house.now())
    house.settle(draft)


def map_profiles(house: FakeHouse) -> None:
    """The wearables line has three mapping profiles: one runs, one is refused, one was shut off."""
    house.mapped["wearables"] = [
        ProfileState("unknown_button", "refused", "mappings/unknown_button.toml:14: rule[0].kind: 'soss' is no kind; write 'sos'"),
        ProfileState("zigbee2mqtt", "running"),
        ProfileState("chirpstack", "shut_off", "rule 3: device is missing"),
    ]


async def give_sign(house: FakeHouse, person: int) -> None:
    """Somebody presses a button at home: nothing but a sign of life."""
    await house.receive([house.event(Kind.BUTTON, f"w{person:03}", phase=Phase.STATE)])


async def miss_check_in(house: FakeHouse, *silent: str) -> None:
    """Time passes, and one of the watched persons gives no sign of life. silent: devices that say nothing, of all others come heartbeats."""
    for _ in range(6):
        house.offset += timedelta(minutes=6)
        await all_speak(house, *silent)
        for person in (16, 18, 19):
            await give_sign(house, person)
        await house.pass_time()


def missed(house: FakeHouse) -> Incident:
    """The incident of the check-in that was missed."""
    return next(one for one in house.incidents.values() if one.kind is Kind.MISSED_CHECKIN)


async def night(house: FakeHouse) -> None:
    """What stands on the page when it is opened: an outage, a lone watch that is silent, a flat battery, strangers, a cry that was answered."""
    map_profiles(house)
    tell_devices(house, "wearables")
    await street_gateway_dies(house)
    await house.receive([house.event(Kind.HEARTBEAT, "w030", phase=Phase.STATE, battery_pct=9.0)])
    for name in ("a4c138f0117e", "862000000000009", "+8617400000099"):
        await house.receive([house.event(Kind.HEARTBEAT, name, phase=Phase.STATE)])
    await house.absence(Wish(person="p018", actor="赵敏", by="family", name="王小红", until=house.now() + timedelta(days=3), note="去女儿家"))
    await give_sign(house, 16)
    await miss_check_in(house, "w031", GATEWAY, *(f"b{i:03}" for i in range(BUTTONS)))
    await house.cries(12, Kind.FALL)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=12349)
    options = parser.parse_args()
    house = supervised_house()
    await night(house)
    print(f"http://127.0.0.1:{options.port}/ (invented people)", flush=True)
    await serve(make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry()), "127.0.0.1", options.port)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
