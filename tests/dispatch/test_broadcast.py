"""A notice to many stations: each by its own channel, counted; one that hangs or breaks keeps nobody else from it."""

import asyncio
import json
from pathlib import Path

import pytest

from gateway.core.register import Responder, ResponderKind
from gateway.dispatch import broadcast
from gateway.dispatch.contract import DeliveryError, Order
from gateway.dispatch.order_words import short_text
from tests.dispatch.text_house import gateway, web


class Channel:
    """Takes what it is given, or does what the test says."""

    def __init__(self, name: str, fault: Exception | None = None, *, hangs: bool = False) -> None:
        self.name = name
        self.orders: list[Order] = []
        self._fault = fault
        self._hangs = hangs

    async def run(self) -> None: ...

    async def deliver(self, order: Order) -> None:
        if self._hangs:
            await asyncio.Event().wait()
        if self._fault is not None:
            raise self._fault
        self.orders.append(order)


def station(name: str, channel: str) -> Responder:
    return Responder(id=name, name=name, kind=ResponderKind.STATION, channel=channel, address=f"at-{name}")


async def test_each_by_its_own_channel_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "WAIT_S", 0.05)
    mqtt, slow = Channel("mqtt"), Channel("sms", hangs=True)
    channels = {
        "mqtt": mqtt,
        "sms": slow,
        "webhook": Channel("webhook", DeliveryError("http_500")),
        "email": Channel("email", RuntimeError("a bug of ours")),
        "phone": Channel("phone"),
    }
    stations = [station(f"{name}-{number}", name) for name in (*channels, "console", "modem") for number in (1, 2)]
    counts = await broadcast.tell(channels, "notice-7", "道路结冰", stations)
    assert counts == {"told": 2, "failed": 6, "silent": 6}, "who would be rung by a machine is not; who has no such channel is counted"
    assert [(order.responder, order.address, order.delivery) for order in mqtt.orders] == [
        ("mqtt-1", "at-mqtt-1", "notice-7-mqtt-1"),
        ("mqtt-2", "at-mqtt-2", "notice-7-mqtt-2"),
    ]
    said = json.loads(mqtt.orders[0].body)
    assert (said["notice"], said["moment"], said["text"]) == ("notice-7", "broadcast", "道路结冰")
    assert short_text(said) == "【12349】道路结冰", "as a text message reads it"


async def test_a_station_of_a_whole_house_hears_it(tmp_path: Path) -> None:
    with web() as server:
        (tmp_path / "secret").write_text("sixteen-bytes-at-least\n")
        settings = '[dispatch.webhook]\nsecret_file = "secret"\n'
        async with gateway(tmp_path, "webhook", settings, station=f"{server.url}/station", centre=f"{server.url}/centre") as house:
            stations = [one for one in house.register.responders.values() if one.id != "desk"]
            assert await house.tell_stations("notice-1", "道路结冰", stations) == {"told": 2, "failed": 0, "silent": 0}
            assert sorted(path for path, _, _ in server.requests) == ["/centre", "/station"]
            assert all(json.loads(body)["text"] == "道路结冰" for _, _, body in server.requests)
