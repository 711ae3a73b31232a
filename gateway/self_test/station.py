"""The last stage: the test order that reaches a test station, marked as a test. At the broker it is seen arriving; a web hook answers itself."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from drivers.lines.mqtt_session import MqttSession
from gateway.config import Config, MqttChannelConfig
from gateway.config.self_test import SelfTestConfig
from gateway.dispatch.contract import Channel, DeliveryError, Order
from gateway.dispatch.mqtt import broker_of
from gateway.errors import GatewayError
from gateway.self_test.wires import FILES

KEPT = 16  # orders heard within one probe; there is one
CLOSE_S = 2.0  # for saying goodbye, once the result stands


def test_order(config: SelfTestConfig, delivery: str, device: str, at: datetime) -> Order:
    """What the test station gets: the fields of an order, nobody's data, and `"test": true`."""
    body = {
        "delivery": delivery,
        "incident": "",
        "kind": "test",
        "severity": "none",
        "device": device,
        "ts": int(at.timestamp() * 1000),
        "repeat": 0,
        "person": None,
        "position": None,
        "travel_min": None,
        "reply_by": None,
        "test": True,
    }
    return Order(delivery=delivery, incident="", responder=config.station, address=config.address, body=msgspec.json.encode(body))


class Ear:
    """Listens at the topic of the test station, on a connection of its own."""

    def __init__(self, config: MqttChannelConfig, folder: Path, station: str, name: str) -> None:
        given = {key: str(folder / value) for key in FILES if (value := getattr(config, key, ""))}
        self._heard: asyncio.Queue[bytes] = asyncio.Queue(KEPT)
        self._station = station
        self._session = MqttSession(
            broker_of(msgspec.structs.replace(config, **given)),
            client_id=f"gateway-self-test-station-{name}",
            kept=False,
            on_arrived=self._take,
        )

    async def open(self) -> None:
        """Raises LineError."""
        await self._session.connect()
        await self._session.subscribe([f"stations/{self._station}/dispatch"])

    def _take(self, arrived: Sequence[Any]) -> None:
        for one in arrived:
            if not self._heard.full():
                self._heard.put_nowait(one.payload)
        self._session.acknowledge([(one.mid, one.qos) for one in arrived])

    async def hear(self, delivery: str) -> None:
        """Wait for ever for this order; whoever asks bounds the time."""
        while delivery.encode() not in await self._heard.get():
            pass

    async def close(self) -> None:
        await self._session.close()

    async def leave(self) -> None:
        """Nothing of it changes the result."""
        with contextlib.suppress(TimeoutError, OSError, GatewayError, ValueError):
            async with asyncio.timeout(CLOSE_S):
                await self.close()


async def listen(config: Config, name: str, within_s: float) -> Ear | None:
    """At the test station, before anything is sent; None: what it gets is not seen at a broker. Raises DeliveryError.

    name: of the point; within_s: of the probe: a station's broker that does not answer leaves half of it for the line.
    """
    test, mqtt = config.self_test, config.dispatch.mqtt
    if not test.station or test.channel != "mqtt" or mqtt is None:
        return None
    ear = Ear(mqtt, config.folder, test.station, name)
    try:
        async with asyncio.timeout(within_s / 2):
            await ear.open()
    except (GatewayError, TimeoutError) as error:
        await ear.leave()
        raise DeliveryError(str(error) or "the broker of the stations does not answer") from error
    return ear


async def reach(channel: Channel, ear: Ear | None, order: Order) -> None:
    """Send the test order and see it arrive. Raises DeliveryError."""
    await channel.deliver(order)
    if ear is not None:
        await ear.hear(order.delivery)
