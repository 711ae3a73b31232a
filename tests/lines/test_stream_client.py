"""Stream codecs over connections that we open: dialled again after a loss, held meanwhile, TLS with a certificate of the house."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from certificates import self_signed
from waiting import free_port, wait_until

from drivers import registry
from drivers.contract import STORED
from drivers.lines.stream_client import StreamClientLine, parse_connect
from drivers.registry import check_line
from drivers.supervisor import LineState
from gateway.config import LineConfig
from tests.lines.tiny import STORE_DOWN, House, Link


class Panel:
    """Listens, as a panel's network module does; one link at a time."""

    def __init__(self) -> None:
        self.port = free_port()
        self.links: list[Link] = []
        self._server: asyncio.Server | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(lambda reader, writer: self.links.append(Link(reader, writer)), "127.0.0.1", self.port, ssl=tls)

    async def link(self, number: int = 0) -> Link:
        await wait_until(lambda: len(self.links) > number, f"link {number}")
        return self.links[number]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for link in self.links:
                await link.hang_up()
            await self._server.wait_closed()
            self._server = None


@pytest.fixture
async def panel() -> AsyncIterator[Panel]:
    panel = Panel()
    await panel.start()
    yield panel
    await panel.stop()


@pytest.fixture
def dial(a_house: Callable[..., House], panel: Panel) -> Callable[..., House]:
    return lambda options=None, **config: a_house(options, connect=f"tcp:127.0.0.1:{panel.port}", **config)


async def test_an_alarm_gets_its_receipt_after_the_commit(dial: Callable[..., House], panel: Panel) -> None:
    house = dial()
    link = await panel.link()
    house.store.may_commit.clear()
    link.say("ALARM a 1", "PING")
    await link.hears("PONG")
    house.store.may_commit.set()
    await link.hears("OK 1")
    assert house.store.cries == ["a 1"]


async def test_a_codec_may_speak_first(dial: Callable[..., House], panel: Panel) -> None:
    dial({"greets": True})
    await (await panel.link()).hears("WHO")


async def test_dialled_again_after_a_loss(dial: Callable[..., House], panel: Panel) -> None:
    house = dial()
    link = await panel.link()
    await wait_until(lambda: house.status.is_live)
    link.say("ALARM a")
    await panel.stop()
    await wait_until(lambda: house.status.state is LineState.LOST)
    assert f"tcp:127.0.0.1:{panel.port}: " in house.status.reason
    await panel.start()
    await wait_until(lambda: house.status.is_live)
    await (await panel.link(1)).asks("ALARM a 2", "OK 2")  # the half of the first link is forgotten
    assert house.store.cries == ["a 2"]


async def test_nobody_there_is_a_lost_line(a_house: Callable[..., House]) -> None:
    port = free_port()
    house = a_house(connect=f"tcp:127.0.0.1:{port}")
    await wait_until(lambda: house.status.state is LineState.LOST)
    assert house.status.reason.startswith(f"tcp:127.0.0.1:{port}: Connection was refused")


async def test_what_the_panel_would_not_repeat_is_stored_after_the_next_dialling(
    dial: Callable[..., House], panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.lines.conversing.STORE_S", 0.05)
    house = dial({"repeats": False})
    link = await panel.link()
    house.store.verdict = STORE_DOWN
    link.say("ALARM a 1")
    await wait_until(lambda: house.store.asked)
    await link.hang_up()
    await wait_until(lambda: house.status.state is LineState.LOST)
    assert isinstance(house.line, StreamClientLine)
    assert house.line.held >= 1
    house.store.verdict = STORED
    await panel.link(1)
    await wait_until(lambda: house.store.cries == ["a 1"])
    await wait_until(lambda: house.line.held == 0)


async def test_silence_is_suspect_until_heard(dial: Callable[..., House], panel: Panel) -> None:
    house = dial(silence_s=0.1)
    link = await panel.link()
    await wait_until(lambda: house.status.state is LineState.SUSPECT)
    await link.asks("PING", "PONG")
    await wait_until(lambda: house.status.is_live)


async def test_a_codec_that_wants_to_be_rid_of_its_peer_is_dialled_anew(dial: Callable[..., House], panel: Panel) -> None:
    house = dial()
    link = await panel.link()
    house.store.may_commit.clear()
    link.say("ALARM a 1", "PING", "BYE")
    await link.hears("PONG")
    link.say("ALARM a 2")  # nothing is read any more, but what was read gets its receipt
    house.store.may_commit.set()
    await link.hears("OK 1")
    await link.is_closed()
    await (await panel.link(1)).asks("PING", "PONG")
    assert house.store.cries == ["a 1"]


@pytest.mark.parametrize("is_believed", [True, False])
async def test_over_tls_only_with_a_panel_whose_certificate_we_believe(a_house: Callable[..., House], tmp_path: Path, is_believed: bool) -> None:
    own, key = self_signed(tmp_path, "cert")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, key)
    panel = Panel()
    await panel.start(context)
    house = a_house(connect=f"tls:127.0.0.1:{panel.port}" + (f":caFile={own}" if is_believed else ""))
    if is_believed:
        link = await panel.link()
        await link.asks("ALARM a 1", "OK 1")
        link.say("BYE")
        await link.is_closed()
        await wait_until(lambda: house.status.state is LineState.LOST, "the connection is closed on our side too")
    else:
        await wait_until(lambda: house.status.state is LineState.LOST)
        assert "TLS: certificate verify failed" in house.status.reason
        assert panel.links == []
    await house.stop()
    await panel.stop()


async def test_endpoint_strings(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    assert parse_connect("tcp:panel.lan:2101") == ("tcp:panel.lan:2101", "", "")
    assert parse_connect(f"tls:192.0.2.7:2601:caFile={authority}:serverName=elk") == ("tls:192.0.2.7:2601", str(authority), "elk")
    assert parse_connect(r"tcp:2001\:db8\:\:1:2101").address == r"tcp:2001\:db8\:\:1:2101"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ({"connect": "udp:panel:1"}, "connect: 'udp:panel:1' is nobody to dial; write tcp:HOST:PORT or tls:HOST:PORT"),
        ({"connect": "tcp:panel"}, "connect: 'tcp:panel' is nobody to dial"),
        ({"connect": "tcp:panel:65536"}, "connect: 'tcp:panel:65536' is nobody to dial"),
        ({"connect": "tcp:panel:1:caFile=x"}, "connect: 'caFile' is not known behind tcp:HOST:PORT"),
        ({"connect": "tls:panel:1:caFile=/nowhere/ca.pem"}, "connect: caFile=/nowhere/ca.pem: there is no such file"),
        ({"connect": "tcp:panel:1", "listen": "tcp:1"}, "listen: this line dials its device; remove it, or connect"),
        ({"listen": "udp:x"}, "listen: 'udp:x' is no UDP endpoint; write udp:PORT or udp:PORT:interface=ADDRESS"),
        ({"listen": "http:1"}, "write an endpoint that starts with serial: or tcp: or ssl: or systemd: or udp: or connect = tcp:HOST:PORT"),
    ],
)
async def test_faults_are_found_before_the_start(a_house: Callable[..., House], address: dict[str, str], said: str) -> None:
    [problem] = check_line(LineConfig(name="x", codec="tiny", **address))  # type: ignore[arg-type]
    assert said in problem


async def test_only_codecs_that_say_so_dial_or_hear_datagrams(a_house: Callable[..., House]) -> None:
    row = registry.DRIVERS["tiny"]()
    registry.DRIVERS["shy"] = lambda: replace(row, endpoints=(), connects=False)
    [problem] = check_line(LineConfig(name="x", codec="shy", connect="tcp:x:1"))
    assert "does not connect to anybody" in problem
    [problem] = check_line(LineConfig(name="x", codec="shy", listen="udp:9000"))
    assert "does not fit codec shy" in problem
