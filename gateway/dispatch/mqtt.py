"""Orders to stations over MQTT: `stations/<responder>/dispatch`, QoS 1, on a connection that receives nothing else."""

import asyncio
import random
from typing import Any, NoReturn

import structlog

from drivers.lines.mqtt_session import Broker, MqttSession
from gateway.config import MqttChannelConfig
from gateway.dispatch.contract import DeliveryError, Order
from gateway.errors import LineError

# Orders on the way without a receipt; the rest waits here. The broker's own window in config/mosquitto/gateway.conf, and far under the 65,535 ids.
MAX_IN_FLIGHT = 1000
# How long an order waits for the connection before it is handed back: a broker's restart takes about a second, the first legs expire after a minute.
CONNECT_WAIT_S = 5.0
# A broker that is up answers in milliseconds. One that has not answered for this long is given up, and the connection with it.
RECEIPT_WAIT_S = 10.0
FIRST_RECONNECT_S = 0.5
LAST_RECONNECT_S = 30.0

_log = structlog.get_logger()


def broker_of(config: MqttChannelConfig) -> Broker:
    """Whom the channel talks to. Raises ConfigError."""
    return Broker.parse(
        config.broker,
        username=config.username,
        password_file=config.password_file,
        ca_file=config.ca_file,
        certificate_file=config.certificate_file,
        key_file=config.key_file,
    )


class MqttChannel:
    """Publishes orders; `deliver` returns at the broker's PUBACK.

    The receipt of a publish resolves one future by message id: no task and no lock for each order. When the connection goes, every order on the
    way fails with retry, because nobody knows whether the broker has it: it is sent again under the same delivery id.
    """

    name = "mqtt"

    def __init__(self, config: MqttChannelConfig, *, connect_wait_s: float = CONNECT_WAIT_S, receipt_wait_s: float = RECEIPT_WAIT_S) -> None:
        self._broker = broker_of(config)
        self._client_id = config.client_id
        self._connect_wait_s = connect_wait_s
        self._receipt_wait_s = receipt_wait_s
        self._session: MqttSession | None = None
        self._is_connected = asyncio.Event()
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._unconfirmed: dict[int, asyncio.Future[None]] = {}  # by message id, oldest first
        self._stood = False  # did the last try connect?

    @property
    def connected(self) -> bool:
        """Does a connection stand at this moment?"""
        return self._session is not None

    async def run(self) -> None:
        """Keep the connection until cancelled: connect, wait until it is lost, pause, again. The pause doubles until a connection has stood."""
        pause_s, was_told = FIRST_RECONNECT_S, False
        while True:
            try:
                await self._hold_connection()
            except LineError as error:
                if self._stood or not was_told:
                    _log.warning("channel_lost" if self._stood else "channel_unreachable", channel=self.name, reason=str(error))
                was_told = True
                if self._stood:
                    pause_s = FIRST_RECONNECT_S
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(pause_s * 2, LAST_RECONNECT_S)

    async def _hold_connection(self) -> NoReturn:
        """Connect and stay until the connection is lost: LineError."""
        self._stood = False
        session = MqttSession(self._broker, client_id=self._client_id, kept=False, on_published=self._confirm)
        try:
            await session.connect()
            self._stood = True
            self._session = session
            self._is_connected.set()
            _log.info("channel_live", channel=self.name)
            watch = asyncio.create_task(self._watch_receipts(), name="dispatch-mqtt-receipts")
            try:
                ends: list[asyncio.Future[Any]] = [session.lost, watch]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                watch.cancel()
            raise LineError(session.lost.result() if session.lost.done() else "no receipt in time")
        finally:
            self._session = None
            self._is_connected.clear()
            for receipt in self._unconfirmed.values():
                if not receipt.done():
                    receipt.set_exception(DeliveryError("connection_lost"))
            self._unconfirmed.clear()
            await session.close()

    async def _watch_receipts(self) -> None:
        """Return when the oldest order has waited too long for its receipt. (A timer for each order would cost more than the order.)"""
        loop = asyncio.get_running_loop()
        oldest, since = None, 0.0
        while True:
            first = next(iter(self._unconfirmed.values()), None)
            if first is None or first is not oldest:
                oldest, since = first, loop.time()
            elif loop.time() - since > self._receipt_wait_s:
                return
            await asyncio.sleep(self._receipt_wait_s / 10)

    async def deliver(self, order: Order) -> None:
        """Publish and wait for the broker's receipt. Cancelling: the order may or may not be with the broker."""
        if not order.responder or any(letter in order.responder for letter in "+#/\0"):
            raise DeliveryError("bad_responder_id", retry=False)
        async with self._slots:
            session = self._session or await self._wait_for_session()
            try:
                mid = session.publish(f"stations/{order.responder}/dispatch", order.body)
            except LineError as error:
                raise DeliveryError("not_queued") from error
            except ValueError as error:  # a topic or body that MQTT cannot carry
                raise DeliveryError("unpublishable", retry=False) from error
            receipt = self._unconfirmed[mid] = asyncio.get_running_loop().create_future()
            try:
                await receipt
            finally:
                self._unconfirmed.pop(mid, None)

    async def _wait_for_session(self) -> MqttSession:
        try:
            async with asyncio.timeout(self._connect_wait_s):
                while self._session is None:
                    await self._is_connected.wait()
        except TimeoutError:
            raise DeliveryError("not_connected") from None
        return self._session

    def _confirm(self, mid: int) -> None:
        receipt = self._unconfirmed.get(mid)
        if receipt is not None and not receipt.done():
            receipt.set_result(None)
