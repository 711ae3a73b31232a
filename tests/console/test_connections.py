"""Connections of the console over real sockets: whoever says nothing, half a request or a slow body gives the socket back; who listens keeps it."""

import asyncio
import gc
import socket
import warnings
from collections.abc import AsyncIterator

import pytest
import websockets
from prometheus_client import CollectorRegistry
from starlette.requests import Request

from gateway.console import connections
from gateway.console.asking import read_body
from gateway.console.http import make_app
from gateway.console.server import serve
from gateway.errors import Refused
from tests.console.fake_house import STATIC, FakeHouse
from tests.waiting import free_port, wait_until

HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture
async def house() -> FakeHouse:
    return FakeHouse()


async def begin(house: FakeHouse, port: int) -> asyncio.Task[None]:
    serving = asyncio.create_task(serve(make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry()), "127.0.0.1", port))

    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.01)
    writer.close()
    await writer.wait_closed()
    return serving


@pytest.fixture
async def port(house: FakeHouse) -> AsyncIterator[int]:
    port = free_port()
    serving = await begin(house, port)
    yield port
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def all_that_comes(port: int, said: bytes) -> bytes:
    """Until the other side ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("said", [b"", b"GET / HT", HEAD, HEAD + b"\r\n" + HEAD], ids=["nothing", "half a line", "half a head", "half a second head"])
async def test_who_says_nothing_has_no_place(port: int, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.05)
    told = await all_that_comes(port, said)
    assert told.endswith(b"ok") is said.startswith(HEAD + b"\r\n")


async def test_there_are_places_for_so_many(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_LIMIT", 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + b"\r\n")
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    assert await all_that_comes(port, HEAD + b"\r\n") == b""
    writer.write(HEAD + b"Connection: close\r\n\r\n")
    assert (await reader.read()).count(b"200 OK") == 1, "who has a place keeps it"
    writer.close()


async def test_who_listens_is_not_given_up(house: FakeHouse, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.01)
    looks = []
    look = connections.Connection._look

    def looked(self: connections.Connection) -> None:
        looks.append(self)
        look(self)

    monkeypatch.setattr(connections.Connection, "_look", looked)
    async with websockets.connect(f"ws://127.0.0.1:{port}/api/v1/feed") as socket:
        await wait_until(lambda: looks)
        assert '"reset":true' in await socket.recv()
        await socket.send('{"view":' + "[" * 30_000)  # no word of ours: the connection stays
        await house.cries(1)
        await asyncio.wait_for(_until(socket, "I100001"), 10)
        assert looks[0] not in looks[1:], "a WebSocket is looked at no more"


async def _until(socket: websockets.ClientConnection, word: str) -> str:
    while word not in (frame := str(await socket.recv())):
        pass
    return frame


async def test_a_body_that_does_not_come_is_given_up() -> None:
    async def never() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    request = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, never)
    with pytest.raises(Refused, match="body_too_slow"):
        await read_body(request, 10, within_s=0.01)


async def test_who_is_accepted_in_the_moment_it_ends_is_closed_too(house: FakeHouse) -> None:
    """asyncio loses a connection whose server is closed between its acceptance and its transport: nobody closes it then."""
    port = free_port()
    serving = await begin(house, port)
    with warnings.catch_warnings(record=True) as left, socket.create_connection(("127.0.0.1", port)):
        warnings.simplefilter("always")
        await asyncio.sleep(0)  # from here on the turn in which it is accepted: after us
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        del serving
        gc.collect()
    assert [str(one.message) for one in left] == []
