"""The MQTT line against a real Mosquitto: what has a receipt is stored, in order, through faults of disk and broker."""

import asyncio
import gc
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from certificates import self_signed
from servers import Mosquitto, Outsider, free_port, mosquitto, outsider, program, until  # noqa: F401
from waiting import WAIT_S

from drivers.contract import DUPLICATE, STORED, Rejected, Verdict
from drivers.lines import broker
from drivers.lines.broker import BrokerLine
from drivers.lines.mqtt_session import Broker, MqttSession
from drivers.mqtt.wire import Arrived
from drivers.registry import build_line
from gateway.config import CallsConfig, LineConfig
from gateway.errors import ConfigError, LineError
from gateway.event import Event

INFLIGHT = 1000  # max_inflight_messages of tests/servers.py: sent without a receipt
ALL = 5 * INFLIGHT

STORE_DOWN = Verdict("refused", "store_down", retry=True)


def cry(sequence: int, **more: object) -> str:
    return json.dumps({"kind": "sos", "ts": int(datetime.now(UTC).timestamp() * 1000), "seq": sequence, **more})


class Pipeline:
    """Stands for the pipeline: stores when the test lets it, and knows a duplicate by its identity as the real store does."""

    def __init__(self) -> None:
        self.groups: list[list[Event | Rejected]] = []
        self.stored: list[Event | Rejected] = []
        self.known: set[str | None] = set()
        self.is_down = False
        self.may_commit = asyncio.Event()
        self.may_commit.set()

    async def emit(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        self.groups.append(list(events))
        await self.may_commit.wait()
        return [STORE_DOWN if self.is_down else self._store(event) for event in events]

    def _store(self, event: Event | Rejected) -> Verdict:
        identity = event.dedup if isinstance(event, Event) else None
        if identity is not None and identity in self.known:
            return DUPLICATE
        self.known.add(identity)
        self.stored.append(event)
        return STORED

    @property
    def sequences(self) -> list[int]:
        return [json.loads(event.raw)["seq"] for event in self.stored if isinstance(event, Event)]


class Told:
    """Stands for the supervisor's report."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def live(self) -> None:
        self.words.append("live")

    def heard(self) -> None:
        self.words.append("heard")

    def suspect(self, reason: str) -> None:
        self.words.append(f"suspect: {reason}")


class Running:
    """A line that runs, and what it says."""

    def __init__(self, url: str, *, silence_s: float | None = None, codec: str = "generic", **options: object) -> None:
        config = LineConfig(name="wearables", codec=codec, broker=url, silence_s=silence_s, options=options)
        self.line = build_line(config, CallsConfig())
        self.told = Told()
        self.task: asyncio.Task[None] | None = None

    async def start(self, pipeline: Pipeline) -> "Running":
        self.told.words.clear()
        self.task = asyncio.create_task(self.line.run(pipeline.emit, self.told))
        await until(lambda: "live" in self.told.words or self.task is None or self.task.done(), "the line is live")
        if self.task.done():
            await self.task
        return self

    async def end(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


Start = Callable[..., "asyncio.Future[Running]"]


@pytest.fixture
async def start(mosquitto: Mosquitto) -> AsyncIterator[Callable]:  # noqa: F811
    """Start lines; they end with the test."""
    running: list[Running] = []

    async def start(pipeline: Pipeline, **settings: object) -> Running:
        running.append(Running(mosquitto.url, **settings))
        return await running[-1].start(pipeline)

    yield start
    for one in running:
        await one.end()


async def test_a_cry_becomes_an_event_and_its_receipt_leaves_after_the_commit(mosquitto, outsider, start) -> None:  # noqa: F811
    pipeline = Pipeline()
    pipeline.may_commit.clear()
    await start(pipeline)
    await outsider.publish("wearables/w-000001/event", cry(1, lat=36.34, lon=102.86, battery=80))
    await until(lambda: pipeline.groups, "the event is emitted")
    await asyncio.sleep(0.1)  # a receipt that was too early would be there by now
    assert mosquitto.said("Received PUBACK from gateway-wearables") == 0
    pipeline.may_commit.set()
    await until(lambda: mosquitto.said("Received PUBACK from gateway-wearables") == 1, "the receipt")
    [event] = pipeline.stored
    assert isinstance(event, Event)
    assert (event.kind, event.device, event.line, event.battery_pct) == ("sos", "w-000001", "wearables", 80)
    assert event.position is not None
    assert (event.position.lat, event.position.lon) == (36.34, 102.86)


async def test_what_was_not_acknowledged_is_delivered_again(outsider, start) -> None:  # noqa: F811
    pipeline = Pipeline()
    pipeline.may_commit.clear()
    first = await start(pipeline)
    await outsider.publish("wearables/w-1/event", cry(1), cry(2), cry(3))
    await until(lambda: pipeline.groups, "emitted")
    await first.end()  # cancelled between emit and receipt
    pipeline.may_commit.set()
    await start(pipeline)
    await until(lambda: len(pipeline.stored) == 3, "delivered again")
    assert pipeline.sequences == [1, 2, 3]


async def test_order_is_kept_and_whatever_has_arrived_is_one_group(mosquitto, outsider, start) -> None:  # noqa: F811
    pipeline = Pipeline()
    pipeline.may_commit.clear()
    await start(pipeline)
    await outsider.publish("wearables/w-1/event", cry(0))
    await until(lambda: pipeline.groups, "the first group")
    await outsider.publish("wearables/w-1/event", *(cry(number) for number in range(1, 301)))
    await until(lambda: mosquitto.said("Sending PUBLISH to gateway-wearables") == 301, "the broker sent all")
    await asyncio.sleep(0.1)
    pipeline.may_commit.set()
    await until(lambda: len(pipeline.stored) == 301, "all stored")
    assert pipeline.sequences == list(range(301))
    assert len(pipeline.groups) == 2
    await until(lambda: mosquitto.said("Received PUBACK from gateway-wearables") == 301, "all receipts")
    mids = [
        line.split("Mid: ")[1].split(",")[0] for line in mosquitto.log.read_text().splitlines() if "Received PUBACK from gateway-wearables" in line
    ]
    assert mids == [str(number) for number in range(1, 302)]


async def test_signs_of_life_wait_for_others_and_an_alarm_takes_them_along(outsider, start, monkeypatch) -> None:  # noqa: F811
    monkeypatch.setattr(broker, "LINGER_S", 3600.0)
    pipeline = Pipeline()
    line = await start(pipeline)
    await outsider.publish("wearables/w-1/event", *(json.dumps({"kind": "heartbeat", "seq": number}) for number in range(3)))
    await until(lambda: line.line._connection._held == 3, "all read")
    assert pipeline.groups == []
    await outsider.publish("wearables/w-2/event", cry(3))
    await until(lambda: len(pipeline.stored) == 4, "all stored")
    assert pipeline.sequences == [0, 1, 2, 3]
    assert len(pipeline.groups) == 1


async def test_a_sign_of_life_alone_is_told_all_the_same(mosquitto, outsider, start) -> None:  # noqa: F811
    pipeline = Pipeline()
    await start(pipeline)
    await outsider.publish("wearables/w-1/event", json.dumps({"kind": "heartbeat", "seq": 1}))
    await until(lambda: pipeline.sequences == [1], "stored")
    await until(lambda: mosquitto.said("Received PUBACK from gateway-wearables") == 1, "its receipt")


async def test_rejected_messages_are_acknowledged_once_the_rejection_is_stored(mosquitto, outsider, start) -> None:  # noqa: F811
    pipeline = Pipeline()
    await start(pipeline)
    await outsider.publish("wearables/w-1/event", "not json", cry(1), '{"kind":"no such kind"}', b"")
    await until(lambda: mosquitto.said("Received PUBACK from gateway-wearables") == 4, "four receipts")
    assert [event.reason if isinstance(event, Rejected) else "event" for event in pipeline.stored] == ["bad_json", "event", "unknown_kind", "empty"]
    assert {event.line for event in pipeline.stored} == {"wearables"}


async def test_while_the_store_is_down_the_group_is_held_and_then_stored_in_order(mosquitto, outsider, start) -> None:  # noqa: F811
    pipeline = Pipeline()
    pipeline.is_down = True
    await start(pipeline)
    await outsider.publish("wearables/w-1/event", cry(1), cry(2))
    await until(lambda: len(pipeline.groups) >= 2, "tried again")
    await outsider.publish("wearables/w-1/event", cry(3))
    assert mosquitto.said("Received PUBACK from gateway-wearables") == 0
    assert pipeline.groups[0] == pipeline.groups[1]
    pipeline.is_down = False
    await until(lambda: mosquitto.said("Received PUBACK from gateway-wearables") == 3, "receipts")
    assert pipeline.sequences == [1, 2, 3]


async def test_only_what_was_refused_for_our_fault_is_emitted_again(outsider, start) -> None:  # noqa: F811
    class FirstIsBusy(Pipeline):
        async def emit(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
            verdicts = list(await super().emit(events))
            if len(self.groups) == 1:
                verdicts[0] = Verdict("refused", "busy", retry=True)
            return verdicts

    pipeline = FirstIsBusy()
    pipeline.may_commit.clear()
    await start(pipeline)
    await outsider.publish("wearables/w-1/event", "rubbish")
    await until(lambda: pipeline.groups, "emitted")
    pipeline.may_commit.set()
    await until(lambda: len(pipeline.groups) == 2, "again")
    assert [len(group) for group in pipeline.groups] == [1, 1]


async def test_broker_away_and_back(mosquitto, outsider, start) -> None:  # noqa: F811
    """Stopped: LineError. Started again: subscribed again, and what was published while we were away arrives."""
    pipeline = Pipeline()
    running = await start(pipeline)
    await outsider.publish("wearables/w-1/event", cry(1))
    await until(lambda: len(pipeline.stored) == 1, "stored")
    await mosquitto.stop()
    with pytest.raises(LineError, match="lost"):
        await asyncio.wait_for(running.task, WAIT_S)
    with pytest.raises(LineError):
        await running.start(pipeline)  # still away

    await mosquitto.start()
    witness = await Outsider(mosquitto.port).ready()
    await witness.publish("wearables/w-1/event", cry(2))
    await running.start(pipeline)
    await witness.publish("wearables/w-1/event", cry(3))
    await until(lambda: len(pipeline.stored) == 3, "the one from before, the one from meanwhile, the one from after")
    assert pipeline.sequences == [1, 2, 3]
    assert mosquitto.said("Received SUBSCRIBE from gateway-wearables") == 2
    witness.close()


async def test_the_broker_that_lost_its_sessions_is_subscribed_again(mosquitto, outsider, start, tmp_path: Path) -> None:  # noqa: F811
    pipeline = Pipeline()
    running = await start(pipeline)
    await mosquitto.stop()
    with pytest.raises(LineError):
        await asyncio.wait_for(running.task, WAIT_S)
    (tmp_path / "mosquitto.db").unlink()
    await mosquitto.start()
    await running.start(pipeline)
    witness = await Outsider(mosquitto.port).ready()
    await witness.publish("wearables/w-1/event", cry(1))
    await until(lambda: pipeline.sequences == [1], "stored")
    witness.close()


async def test_reading_stops_beyond_the_limit_and_keep_alive_goes_on(mosquitto, outsider, start) -> None:  # noqa: F811
    """The store stalls for three keep-alives with four times the limit waiting: the connection stands, and all arrive once it goes on."""
    pipeline = Pipeline()
    pipeline.may_commit.clear()
    running = await start(pipeline, receive_maximum=50, keepalive_s=5)
    await outsider.publish("wearables/w-1/event", *(cry(number) for number in range(200)))
    await until(lambda: pipeline.groups, "the first group")
    # 1.5 keep-alives of silence make the broker hang up; a client that waits for an answer it does not read hangs up after two
    await until(lambda: mosquitto.said("Received PINGREQ from gateway-wearables") >= 3, "three pings")
    assert not running.task.done()
    assert len(pipeline.groups) == 1
    pipeline.may_commit.set()
    await until(lambda: len(pipeline.stored) == 200, "all stored")
    assert pipeline.sequences == list(range(200))
    assert max(len(group) for group in pipeline.groups) <= 50
    assert not running.task.done()
    assert mosquitto.said("as gateway-wearables") == 1  # it connected once
    await until(lambda: mosquitto.said("Received PUBACK from gateway-wearables") == 200, "all receipts")


async def test_more_waiting_at_the_broker_than_we_read_at_once_does_not_shut_us_out(mosquitto, outsider, start) -> None:  # noqa: F811
    """What was kept for us comes before the broker's answer to our subscription: its receipts must flow meanwhile."""
    pipeline = Pipeline()
    line = await start(pipeline, receive_maximum=20)
    await line.end()
    await outsider.publish("wearables/w-1/event", *(cry(number) for number in range(1, 201)))
    await start(pipeline, receive_maximum=20)
    await until(lambda: len(pipeline.stored) == 200, "all that was kept is stored")
    assert pipeline.sequences == list(range(1, 201))


async def test_silence_is_reported_once_and_ends_with_the_next_message(outsider, start) -> None:  # noqa: F811
    pipeline = Pipeline()
    running = await start(pipeline, silence_s=0.2)
    await until(lambda: any(word.startswith("suspect") for word in running.told.words), "suspect")
    await asyncio.sleep(0.5)
    assert sum(word.startswith("suspect") for word in running.told.words) == 1
    await outsider.publish("wearables/w-1/event", cry(1))
    await until(lambda: running.told.words[-1] == "heard", "heard")
    await until(lambda: running.told.words[-1].startswith("suspect"), "silent again")


async def test_a_bug_in_the_pipeline_is_not_taken_for_a_lost_connection(outsider, start) -> None:  # noqa: F811
    class Broken(Pipeline):
        async def emit(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
            raise ZeroDivisionError

    running = await start(Broken())
    await outsider.publish("wearables/w-1/event", cry(1))
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(running.task, WAIT_S)


async def test_replies_of_stations(outsider, start) -> None:  # noqa: F811
    pipeline = Pipeline()
    await start(pipeline, codec="station_reply")
    await outsider.publish("stations/honggu-01/reply", '{"delivery":"d1","answer":"accept","by":"赵师傅"}')
    await until(lambda: pipeline.stored, "stored")
    [event] = pipeline.stored
    assert isinstance(event, Event)
    assert (event.kind, event.device, event.detail) == ("accept", "honggu-01", {"delivery": "d1", "by": "赵师傅"})


async def test_login_with_a_password_from_a_file(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    make = [program("mosquitto_passwd"), "-b", "-c", str(passwords), "gateway", "quite secret"]
    subprocess.run(make, check=True)  # noqa: ASYNC221 it ends at once
    (tmp_path / "secret").write_text("quite secret\n")
    (tmp_path / "wrong").write_text("something else\n")
    server = Mosquitto(tmp_path, extra=f"allow_anonymous false\npassword_file {passwords}")
    await server.start()
    right = Running(server.url, username="gateway", password_file=str(tmp_path / "secret"))
    wrong = Running(server.url, username="gateway", password_file=str(tmp_path / "wrong"))
    try:
        await right.start(Pipeline())
        with pytest.raises(LineError, match=r"(?i)not authori[sz]ed"):
            await wrong.start(Pipeline())
    finally:
        await right.end()
        await server.stop()


@pytest.mark.filterwarnings(
    "ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning"
)  # paho leaves the socket of a refused handshake to the collector
async def test_tls_with_an_authority_of_our_own(tmp_path: Path) -> None:
    """Decrypted bytes that the selector cannot see are read too: small limits make the line pause in the middle of TLS records."""
    certificate, key = self_signed(tmp_path)
    server = Mosquitto(tmp_path)
    tls_port = free_port()
    server.add(f"listener {tls_port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\nallow_anonymous true\n")
    await server.start()
    witness = await Outsider(server.port).ready()
    pipeline = Pipeline()
    trusting = Running(f"mqtts://localhost:{tls_port}", ca_file=str(certificate), receive_maximum=7)
    doubting = Running(f"mqtts://localhost:{tls_port}")
    try:
        await trusting.start(pipeline)
        await witness.publish("wearables/w-1/event", *(cry(number) for number in range(500)))
        await until(lambda: len(pipeline.stored) == 500, "all stored")
        assert pipeline.sequences == list(range(500))
        with pytest.raises(LineError, match="CERTIFICATE_VERIFY_FAILED"):
            await doubting.start(pipeline)
    finally:
        witness.close()
        await trusting.end()
        await server.stop()
        doubting.task = None
        gc.collect()


async def test_no_alarm_waits_for_nagle(mosquitto) -> None:  # noqa: F811
    session = MqttSession(Broker.parse(mosquitto.url), client_id="nagle", kept=False)
    await session.connect()
    connection = session._paho.socket()
    assert isinstance(connection, socket.socket)
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await session.close()


async def test_receipts_of_the_last_moment_arrive(mosquitto) -> None:  # noqa: F811
    """The broker sends on as it takes receipts: a socket that is closed in its face costs those that it has not read yet."""
    street, broker = Outsider(mosquitto.port), Broker.parse(mosquitto.url)
    keeping = MqttSession(broker, client_id="last-moment", kept=True)
    await keeping.connect()
    await keeping.subscribe(["street/#"])
    await keeping.close()
    await street.ready()
    await asyncio.gather(*(street.publish("street/1", str(number)) for number in range(ALL)))
    street.close()
    heard: list[int] = []
    while len(heard) < ALL:
        owed: list[Arrived] = []
        session = MqttSession(broker, client_id="last-moment", kept=True, on_arrived=owed.extend)
        await session.connect()
        wanted = min(INFLIGHT, ALL - len(heard))
        await until(lambda owed=owed, wanted=wanted: len(owed) >= wanted, "as many as the broker sends without receipts")
        session.pause_reading()
        session.acknowledge([(one.mid, one.qos) for one in owed])
        await session.close()
        heard += [int(one.payload) for one in owed]
    assert heard == list(range(ALL)), "each once: what has its receipt does not come again"


async def test_a_broker_that_goes_on_after_the_goodbye_holds_nobody_up(mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """One that hears no DISCONNECT and always has more to say: others get their turns, and it is left when the goodbye's time is over."""
    session = MqttSession(Broker.parse(mosquitto.url), client_id="talkative", kept=False)
    await session.connect()
    monkeypatch.setattr(session, "_receive", lambda size: bytes(size))
    await session.close()  # it hung here: what arrives was read as long as there was any
    assert session._fd < 0


async def test_cancelled_while_subscribing(mosquitto, caplog: pytest.LogCaptureFixture) -> None:  # noqa: F811
    """The answer comes all the same, and nobody's log has a traceback of it."""
    session = MqttSession(Broker.parse(mosquitto.url), client_id="stopped", kept=False)
    await session.connect()
    subscribing = asyncio.create_task(session.subscribe(["a/#"]))
    await asyncio.sleep(0)  # one turn: it has asked
    subscribing.cancel()
    await asyncio.gather(subscribing, return_exceptions=True)
    assert subscribing.cancelled()
    await session.subscribe(["b/#"])  # answered after the first
    await session.close()
    assert "Unexpected message ID" not in caplog.text


async def test_cancelled_while_connecting() -> None:
    """A broker that accepts and never speaks: the line lets go at once, and no socket stays behind (its warning would fail the test)."""
    listener = socket.create_server(("127.0.0.1", 0))
    running = Running(f"mqtt://127.0.0.1:{listener.getsockname()[1]}")
    running.task = asyncio.create_task(running.line.run(Pipeline().emit, running.told))
    await asyncio.sleep(0.05)
    await asyncio.wait_for(running.end(), 2)
    listener.close()
    gc.collect()


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("mqtt://user:secret@host", {}, "holds a password"),
        ("mqtt://host/path", {}, "cannot be used"),
        ("mqtt://host:port", {}, "cannot be used"),
        ("mqtt://host", {"ca_file": "/none"}, "ca_file: is for mqtts"),
        ("mqtts://host", {"ca_file": "/none"}, "/none does not exist"),
        ("mqtt://host", {"password_file": "/none"}, "needs a username"),
        ("mqtt://host", {"topics": ["wearables/#"]}, "exactly one"),
        ("mqtt://host", {"keepalive_s": 1}, "keepalive_s"),
        ("mqtt://host", {"receive_maximum": 0}, "receive_maximum"),
        ("mqtt://host", {"qos": 1}, "qos"),
    ],
)
def test_settings_that_cannot_be_used_are_named(url: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as problem:
        build_line(LineConfig(name="wearables", codec="generic", broker=url, options=options), CallsConfig())
    assert "line 'wearables'" in str(problem.value)
    assert "secret" not in str(problem.value)


def test_a_url_says_host_port_user_and_tls() -> None:
    assert Broker.parse("mqtt://gate%40way@broker.lan") == Broker("broker.lan", 1883, False, "gate@way")
    assert Broker.parse("mqtts://broker.lan:8884", username="gateway") == Broker("broker.lan", 8884, True, "gateway")
    assert isinstance(build_line(LineConfig(name="w", codec="generic", broker="mqtt://h"), CallsConfig()), BrokerLine)
