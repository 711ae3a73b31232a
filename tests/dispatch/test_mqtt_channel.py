"""The MQTT channel against a real Mosquitto: delivered means confirmed by the broker; lost means tell the outbox."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest
from servers import Mosquitto, Outsider, mosquitto, outsider, until  # noqa: F401
from waiting import WAIT_S

from drivers.lines.mqtt_session import MqttSession
from gateway.config import MqttChannelConfig
from gateway.dispatch.contract import DeliveryError, Order
from gateway.dispatch.mqtt import MAX_IN_FLIGHT, MqttChannel


def order(responder: str = "honggu-01", number: int = 0) -> Order:
    return Order(delivery=f"d{number}", incident="i", responder=responder, address="", body=b'{"delivery":"d%d"}' % number)


@pytest.fixture
async def channel_to() -> AsyncIterator[Callable[..., MqttChannel]]:
    """Channels that are kept connected until the test ends."""
    tasks: list[asyncio.Task[None]] = []

    def channel_to(url: str, **waits: float) -> MqttChannel:
        channel = MqttChannel(MqttChannelConfig(broker=url), **waits)
        tasks.append(asyncio.create_task(channel.run()))
        return channel

    yield channel_to
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_order_reaches_its_station(mosquitto, channel_to) -> None:  # noqa: F811
    station = await Outsider(mosquitto.port, "stations/honggu-01/dispatch").ready()
    channel = channel_to(mosquitto.url)
    await channel.deliver(order(number=7))  # waits for the first connection
    assert channel.connected
    await until(lambda: station.received, "the station has it")
    assert station.received == [("stations/honggu-01/dispatch", b'{"delivery":"d7"}')]
    station.close()


async def test_many_orders_at_once_arrive_in_order(mosquitto, channel_to) -> None:  # noqa: F811
    station = await Outsider(mosquitto.port, "stations/+/dispatch").ready()
    channel = channel_to(mosquitto.url)
    count = MAX_IN_FLIGHT * 2 + 1
    await asyncio.gather(*(channel.deliver(order(number=number)) for number in range(count)))
    await until(lambda: len(station.received) == count, "all arrived")
    assert [body for _, body in station.received] == [order(number=number).body for number in range(count)]
    station.close()


async def test_broker_away_and_back(mosquitto, channel_to) -> None:  # noqa: F811
    channel = channel_to(mosquitto.url, connect_wait_s=0.2)
    await channel.deliver(order())
    await mosquitto.stop()
    await until(lambda: not channel.connected, "the loss is noticed")
    with pytest.raises(DeliveryError) as failed:
        await channel.deliver(order())
    assert (failed.value.reason, failed.value.retry) == ("not_connected", True)
    await mosquitto.start()
    await until(lambda: channel.connected, "connected again")
    await channel.deliver(order())


async def test_an_order_that_waits_leaves_when_the_broker_comes(mosquitto, channel_to) -> None:  # noqa: F811
    await mosquitto.stop()
    channel = channel_to(mosquitto.url, connect_wait_s=10)
    delivery = asyncio.create_task(channel.deliver(order()))
    await asyncio.sleep(0)
    await mosquitto.start()
    await asyncio.wait_for(delivery, 10)


class MuteBroker:
    """Says CONNACK (MQTT 3.1.1, 3.2) to whoever comes, and nothing more."""

    def __init__(self) -> None:
        self.connections: list[asyncio.StreamWriter] = []
        self.received = b""

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, family=socket.AF_INET)
        return f"mqtt://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        writer.write(b"\x20\x02\x00\x00")
        while data := await reader.read(65536):
            self.received += data
        writer.close()

    async def stop(self) -> None:
        for connection in self.connections:
            connection.close()
        self._server.close()
        await self._server.wait_closed()


async def test_orders_without_a_receipt_fail_when_the_connection_goes(channel_to) -> None:
    mute = MuteBroker()
    channel = channel_to(await mute.start())
    deliveries = [asyncio.create_task(channel.deliver(order(number=number))) for number in range(3)]
    await until(lambda: b"d2" in mute.received, "published")
    assert not any(delivery.done() for delivery in deliveries)
    mute.connections[0].close()
    results = await asyncio.wait_for(asyncio.gather(*deliveries, return_exceptions=True), 10)
    assert [(type(result), result.reason, result.retry) for result in results] == [(DeliveryError, "connection_lost", True)] * 3
    await mute.stop()


async def test_a_broker_that_never_answers_is_given_up(channel_to) -> None:
    mute = MuteBroker()
    channel = channel_to(await mute.start(), receipt_wait_s=0.2)
    with pytest.raises(DeliveryError) as failed:
        await asyncio.wait_for(channel.deliver(order()), 10)
    assert failed.value.retry
    await until(lambda: len(mute.connections) == 2, "connected anew")
    await mute.stop()


async def test_a_cancelled_delivery_leaves_nothing_behind(channel_to) -> None:
    mute = MuteBroker()
    channel = channel_to(await mute.start())
    delivery = asyncio.create_task(channel.deliver(order()))
    await until(lambda: b"d0" in mute.received, "published")
    delivery.cancel()
    await asyncio.gather(delivery, return_exceptions=True)
    assert channel._unconfirmed == {}
    await mute.stop()


async def test_who_cancels_at_the_moment_of_the_answer_is_heard(mosquitto, monkeypatch) -> None:  # noqa: F811
    """Python 3.11's `wait_for` prefers an answer that is there to the cancellation, and the channel would go on for ever."""
    channel = MqttChannel(MqttChannelConfig(broker=mosquitto.url))
    connect = MqttSession.connect

    async def connect_and_be_cancelled(session: MqttSession) -> None:
        session._client._connected.add_done_callback(lambda _: task.cancel())
        await connect(session)

    monkeypatch.setattr(MqttSession, "connect", connect_and_be_cancelled)
    task = asyncio.create_task(channel.run())
    ended, _ = await asyncio.wait([task], timeout=WAIT_S)
    task.cancel()
    assert ended, "the channel is still running"
    assert task.cancelled()


@pytest.mark.parametrize("responder", ["", "a/b", "+", "#", "a\0b"])
async def test_an_id_that_is_no_topic_level_is_refused(responder: str, mosquitto, channel_to) -> None:  # noqa: F811
    with pytest.raises(DeliveryError) as failed:
        await channel_to(mosquitto.url).deliver(order(responder))
    assert not failed.value.retry
