"""The line that connects, over real TCP and TLS: login, gaps, held events, wishes, wrong passwords, peers that dribble or fall silent."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from certificates import self_signed
from waiting import WAIT_S, free_port, wait_until

from drivers.contract import STORED, Rejected, Verdict
from drivers.lines import client, hold
from drivers.lines.client import ClientLine
from drivers.registry import build_line, check_line
from drivers.supervisor import LineState, LineStatus, keep_running
from drivers.telephone import Dial, Exchange, HangUp, Ring, Told
from gateway import clock
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event, Kind
from tests.pbx.ami_wire import BANNER, actions, channel, message, recording

CALLS = CallsConfig(hotlines=("12349",), area_code="0931", agents={"8001": "Li"})
CALLER = channel("PJSIP/trunk-00000001", "+8617400000001", "1.1")
NEW, GONE = message("Event: Newchannel", **CALLER), message("Event: Hangup", **CALLER, Cause=16)


class Asterisk:
    """An Asterisk as far as a test needs one: logs anybody in who has the secret, answers lists, and says what it is told to say."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.port = free_port()
        self.tls = tls
        self.heard: list[dict[str, str]] = []
        self.channels: list[bytes] = []
        self.is_right = True
        self.is_mute = False  # takes connections and says nothing
        self.uptime = 100_000
        self.connections = 0
        self.writer: asyncio.StreamWriter | None = None
        self.answer: Callable[[dict[str, str]], bytes] | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()

    def reset(self) -> None:
        if self.writer is not None:
            self.writer.transport.abort()
            self.writer = None

    def say(self, data: bytes) -> None:
        assert self.writer is not None
        self.writer.write(data)

    def asked(self, name: str) -> list[dict[str, str]]:
        return [one for one in self.heard if one["Action"] == name]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.connections += 1
        if not self.is_mute:
            writer.write(BANNER)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
            while True:
                [action] = actions(await reader.readuntil(b"\r\n\r\n"))
                self.heard.append(action)
                writer.write(self._reply(action))
                if action["Action"] == "Login" and not self.is_right:
                    break
        writer.close()

    def _reply(self, action: dict[str, str]) -> bytes:
        ours = action.get("ActionID", "")
        match action["Action"]:
            case "Challenge":
                return message("Response: Success", ActionID=ours, Challenge="1234")
            case "Login" if self.is_right:
                return message("Response: Success", ActionID=ours) + message("Event: FullyBooted", Uptime=self.uptime)
            case "Login":
                return message("Response: Error", ActionID=ours, Message="Authentication failed")
            case "CoreShowChannels":
                return (
                    message("Response: Success", ActionID=ours) + b"".join(self.channels) + message("Event: CoreShowChannelsComplete", ActionID=ours)
                )
            case "QueueStatus":
                return message("Response: Success", ActionID=ours) + message("Event: QueueStatusComplete", ActionID=ours)
            case _:
                return self.answer(action) if self.answer is not None else message("Response: Success", ActionID=ours)


class House:
    """One supervised AMI line, and a store that can be down or held."""

    def __init__(self, folder: Path, server: Asterisk, word: str = "tcp", **options: object) -> None:
        secret = folder / "ami.secret"
        secret.write_text("s3cret\n")
        config = LineConfig(
            name="pbx",
            codec="ami",
            connect=f"{word}:127.0.0.1:{server.port}",
            options={"username": "gateway", "secret_file": str(secret), **options},
        )
        assert check_line(config) == []
        line = build_line(config, CALLS)
        assert isinstance(line, ClientLine)
        self.line = line
        self.secret = secret
        self.status = LineStatus("pbx")
        self.kept: list[Event | Rejected] = []
        self.down = False
        self.open = asyncio.Event()
        self.open.set()
        self.pauses: list[float] = []
        self._task = asyncio.create_task(keep_running(line, self.emit, self.status, sleep=self._sleep))

    async def emit(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        await self.open.wait()
        if self.down:
            return [Verdict("refused", "store_down", retry=True)] * len(events)
        self.kept += events
        return [STORED] * len(events)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0.01)

    def kinds(self) -> list[str]:
        return [one.kind.value if isinstance(one, Event) else one.reason for one in self.kept]

    async def live(self) -> None:
        await wait_until(lambda: self.status.is_live, "the line is live")

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def server() -> AsyncIterator[Asterisk]:
    asterisk = Asterisk()
    await asterisk.start()
    yield asterisk
    await asterisk.stop()


@pytest.fixture
async def house(tmp_path: Path, server: Asterisk) -> AsyncIterator[House]:
    house = House(tmp_path, server)
    yield house
    await house.stop()


async def test_a_call_from_the_wire_to_the_store(server: Asterisk, house: House) -> None:
    await house.live()
    for byte in recording("queue_ring_all").removeprefix(BANNER)[:3000]:
        server.say(bytes([byte]))
    server.say(recording("queue_ring_all").removeprefix(BANNER)[3000:])
    await wait_until(lambda: len(house.kept) == 4, "four events")
    assert house.kinds() == ["call_offered", "call_ringing", "call_answered", "call_ended"]
    assert all(one.line == "pbx" for one in house.kept)
    assert house.line.counts["connections"] == 1
    assert house.line.codec.counts["messages"] > 30
    assert isinstance(house.line, Exchange)


async def test_a_reset_in_mid_call_is_a_gap_and_the_list_decides(server: Asterisk, house: House) -> None:
    await house.live()
    other = channel("PJSIP/trunk-00000002", "+8617400000002", "1.2")
    server.say(NEW + message("Event: Newchannel", **other))
    await wait_until(lambda: len(house.kept) == 2, "two calls")
    server.channels = [message("Event: CoreShowChannel", **other, Application="Queue", Duration="00:00:09")]
    server.reset()
    await wait_until(lambda: "gap" in house.kinds() and "call_ended" in house.kinds(), "gap and end")
    assert server.connections == 2
    assert house.status.is_live
    assert house.kinds()[2:3] == ["line_lost"]
    [gap] = [one for one in house.kept if isinstance(one, Event) and one.kind is Kind.GAP]
    assert set(gap.detail) >= {"from", "to", "silent_s"}
    assert str(gap.detail["from"]) < str(gap.detail["to"])
    [ended] = [one for one in house.kept if isinstance(one, Event) and one.kind is Kind.CALL_ENDED]
    assert (ended.device, ended.detail["inferred"], ended.detail["reason"]) == ("+8617400000001", True, "lost_while_disconnected")


async def test_a_wrong_password_is_told_and_not_tried_again_and_again(server: Asterisk, house: House) -> None:
    server.is_right = False
    await wait_until(lambda: house.status.state is LineState.LOST, "lost")
    assert "'gateway'" in house.status.reason
    assert str(house.secret) in house.status.reason
    assert "s3cret" not in house.status.reason
    await wait_until(lambda: house.pauses, "the supervisor tried again")
    assert house.line._not_before - clock.monotonic() > 200, "the line does not, for minutes"
    assert server.connections == 1
    assert house.kinds() == ["line_lost"]


async def test_events_are_held_while_the_store_is_down(server: Asterisk, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "RETRY_S", (0.01, 0.02))
    monkeypatch.setattr(client, "SETTLE_S", 0.05)
    await house.live()
    house.down = True
    server.say(NEW)
    await wait_until(lambda: house.line.held == 1, "held")
    server.reset()
    await wait_until(lambda: server.connections == 2, "connected again")
    assert house.kept == []
    house.down = False
    await wait_until(lambda: house.kinds().count("call_offered") == 1 and "call_ended" in house.kinds(), "both")
    assert house.kinds().index("call_offered") < house.kinds().index("call_ended")


@pytest.mark.parametrize(("name", "room"), [("HOLD_EVENTS", 4_000), ("HOLD_BYTES", 500_000)])
async def test_reading_pauses_while_too_much_is_held(server: Asterisk, house: House, monkeypatch: pytest.MonkeyPatch, name: str, room: int) -> None:
    monkeypatch.setattr(hold, name, room)
    await house.live()
    house.open.clear()
    for number in range(20_000):
        server.say(message("Event: Newchannel", **channel(f"PJSIP/trunk-{number:x}", "+8617400000001", f"7.{number}")))
    await wait_until(lambda: house.line._run is not None and house.line._run._connection.is_paused, "paused")
    assert 0.5 <= house.line._delivery.fullness < 1
    assert house.line.held < 10_000, "the rest waits in the kernel or at the other end"
    connection = house.line._run._connection
    house.line.codec._timers["ping"] = 0.0  # type: ignore[attr-defined]
    house.line.codec._missed = 9  # type: ignore[attr-defined]
    house.open.set()
    await wait_until(lambda: house.kinds().count("call_offered") == 20_000, "everything arrives", 4 * WAIT_S)
    assert house.line.counts["dropped"] == 0
    assert house.line._run is not None
    assert house.line._run._connection is connection, "pings that could not be heard are nobody's fault"


async def test_a_mute_server_is_given_up(server: Asterisk, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from drivers.pbx import ami

    await house.live()
    server.is_mute = True
    monkeypatch.setattr(ami, "LOGIN_S", 0.05)
    server.reset()
    await wait_until(lambda: "no login" in house.status.reason, "given up")


async def test_a_server_that_never_ends_the_handshake_is_left(tmp_path: Path, server: Asterisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.lines.dialling.CONNECT_S", 0.1)
    server.is_mute = True
    house = House(tmp_path, server, "tls")
    await wait_until(lambda: "no connection within" in house.status.reason, "given up")
    assert server.writer is not None
    transport = server.writer.transport
    await wait_until(transport.is_closing, "nobody keeps the connection")
    assert server.heard == []
    await house.stop()


async def test_pings_that_nobody_answers_end_the_connection(tmp_path: Path, server: Asterisk, monkeypatch: pytest.MonkeyPatch) -> None:
    from drivers.pbx import ami

    monkeypatch.setattr(ami, "PING_S", 0.05)
    server.answer = lambda _action: b""
    house = House(tmp_path, server)
    await wait_until(lambda: "pings unanswered" in house.status.reason, "given up")
    assert len(server.asked("Ping")) >= 2
    await house.stop()


async def test_nobody_listens(tmp_path: Path) -> None:
    server = Asterisk()
    house = House(tmp_path, server)
    await wait_until(lambda: house.status.state is LineState.LOST, "lost")
    assert f"tcp:127.0.0.1:{server.port}" in house.status.reason
    await server.start()
    await house.live()
    await house.stop()
    await server.stop()


async def test_a_secret_that_cannot_be_read_and_one_that_was_corrected(server: Asterisk, house: House) -> None:
    await house.live()
    house.secret.unlink()
    server.reset()
    await wait_until(lambda: "ami.secret" in house.status.reason, "told")
    house.secret.write_text("another\n")
    await house.live()
    assert server.asked("Login")[0]["Key"] != server.asked("Login")[-1]["Key"]


async def test_wishes_over_the_wire(server: Asterisk, house: House) -> None:
    assert await house.line.ask(HangUp(call="x")) == Told(outcome="lost", reason="not_connected")
    await house.live()

    def answer(action: dict[str, str]) -> bytes:
        queued = message("Response: Success", ActionID=action["ActionID"], Message="Originate successfully queued")
        taken = message("Event: OriginateResponse", ActionID=action["ActionID"], Response="Success", Reason=4, Uniqueid=action["ChannelId"])
        return queued + taken + message("Event: UserEvent", UserEvent="GatewayRing", Id=action["ChannelId"].removeprefix("gateway-"), Key="1")

    server.answer = answer
    wishes = [Ring(id=f"r{number}", number="017400000001") for number in range(10)]
    assert await asyncio.gather(*map(house.line.ask, wishes)) == [Told(outcome="done", key="1")] * 10
    assert (await house.line.ask(HangUp(call="unheard-of"))).outcome == "unknown_call"


async def test_wishes_under_way_are_lost_with_the_connection_and_bounded(server: Asterisk, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_WISHES", 3)
    await house.live()
    server.answer = lambda action: message("Response: Success", ActionID=action["ActionID"])
    asking = [asyncio.create_task(house.line.ask(Dial(id=f"d{number}", agent="8001", number="017400000001"))) for number in range(4)]
    await wait_until(lambda: len(server.asked("Originate")) == 3, "three dials")
    server.reset()
    outcomes = [told.outcome for told in await asyncio.gather(*asking)]
    assert sorted(outcomes) == ["lost", "lost", "lost", "refused"]
    assert house.line.counts["wishes_refused"] == 1


async def test_a_wish_that_nobody_answers_ends(house: House, server: Asterisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "WISH_S", 0.05)
    await house.live()
    server.answer = lambda _action: b""
    assert await house.line.ask(Ring(id="r", number="1", ring_s=0.01)) == Told(outcome="failed", reason="timeout")


async def test_missing_events_make_the_line_suspect_and_pongs_do_not_mend_it(
    tmp_path: Path, server: Asterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from drivers.pbx import ami, ami_calls

    monkeypatch.setattr(ami, "CHECK_S", 0.05)
    monkeypatch.setattr(ami, "PING_S", 0.05)
    monkeypatch.setattr(ami_calls, "LATE_S", 0.0)
    house = House(tmp_path, server)
    await house.live()
    server.channels = [message("Event: CoreShowChannel", **CALLER, Application="Queue", Duration="00:00:00")]
    await wait_until(lambda: house.status.state is LineState.SUSPECT, "suspect")
    assert "add call to read" in house.status.reason
    seen = len(server.asked("Ping"))
    await wait_until(lambda: len(server.asked("Ping")) > seen + 2, "pongs")
    assert house.status.state is LineState.SUSPECT
    server.say(GONE)
    await house.live()
    await house.stop()


@pytest.mark.parametrize(("name", "server_name"), [("127.0.0.1", ""), ("exchange.example", "exchange.example")])
async def test_over_tls_with_the_certificate_verified(tmp_path: Path, name: str, server_name: str) -> None:
    certificate, key = self_signed(tmp_path, hosts=(name,))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Asterisk(context)
    await server.start()
    house = House(tmp_path, server, "tls", ca_file=str(certificate), server_name=server_name)
    await house.live()
    server.say(NEW)
    await wait_until(lambda: house.kinds() == ["call_offered"], "the call")
    await house.stop()
    await server.stop()


@pytest.mark.parametrize("trusted", [True, False])
async def test_over_tls_nobody_else_is_taken_for_the_exchange(tmp_path: Path, trusted: bool) -> None:
    """A name that is not the host's; and a certificate that nobody we trust has signed."""
    certificate, key = self_signed(tmp_path, hosts=("another.example" if trusted else "127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Asterisk(context)
    await server.start()
    house = House(tmp_path, server, "tls", **({"ca_file": str(certificate)} if trusted else {}))
    await wait_until(lambda: house.status.state is LineState.LOST, "lost")
    assert server.heard == []
    await house.stop()
    await server.stop()


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"connect": "tcp:127.0.0.1"}, "connect"),
        ({"connect": "udp:127.0.0.1:5038"}, "connect"),
        ({"connect": "tcp::5038"}, "connect"),
        ({"connect": "tcp:host:99999"}, "connect"),
        ({"listen": "tcp:5038"}, "listen"),
        ({"options": {"username": "x"}}, "options.secret_file"),
        ({"options": {"secret_file": "/nowhere/x"}}, "options.username"),
        ({"options": {"agent_channel": "PJSIP/8001"}}, "agent_channel"),
    ],
)
def test_faults_of_the_configuration(settings: dict[str, object], names: str) -> None:
    wanted = {"connect": "tcp:127.0.0.1:5038"} if "listen" not in settings else {}
    problems = check_line(LineConfig(name="pbx", codec="ami", **{**wanted, **settings}))  # type: ignore[arg-type]
    assert any(names in problem for problem in problems), problems
    assert all(problem.startswith("line 'pbx': ") for problem in problems)


def test_a_codec_that_listens_does_not_connect() -> None:
    [problem] = check_line(LineConfig(name="hall", codec="hep", connect="tcp:host:1"))
    assert "connect" in problem
