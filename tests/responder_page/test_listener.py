"""The door itself: places are counted before TLS, who says nothing is shown out, a renewed certificate is taken up."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from certificates import self_signed
from starlette.responses import Response
from waiting import free_port, wait_until

from gateway.config.responder_page import ResponderPageConfig
from gateway.errors import ConfigError
from gateway.responder_page import listener as door
from gateway.responder_page.listener import Listener, source_of


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await Response(b"hello")(scope, receive, send)


@asynccontextmanager
async def listening(folder: Path, *, tls: bool = True, refused: list[int] | None = None) -> AsyncIterator[tuple[Listener, int]]:
    port = free_port()
    files = {"cert_file": "cert.pem", "key_file": "cert.key"} if tls else {}
    if tls:
        self_signed(folder, "cert")
    page = ResponderPageConfig(listen=f"127.0.0.1:{port}", **files)
    one = Listener(page, folder, hello, lambda: refused.append(1) if refused is not None else None)
    task = asyncio.create_task(one.run())
    await wait_until(lambda: task.done() or is_open(one), "it listens")
    try:
        yield one, port
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert one.connections == 0


def is_open(one: Listener) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", one._port)) == 0


async def test_who_says_nothing_is_shown_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LIFE_S", 0.2)
    for tls in (False, True):
        async with listening(tmp_path, tls=tls) as (one, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HT")  # half a word, for ever
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            await wait_until(lambda: one.connections == 0, "its place is free")


async def test_places_are_counted_before_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "PLACES_OF_ONE", 3)
    refused: list[int] = []
    async with listening(tmp_path, refused=refused) as (one, port):
        await wait_until(lambda: one.connections == 0, "the probe is gone")
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await wait_until(lambda: one.connections == 3, "three wait with their TLS")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        assert refused == [1]
        for _, held_writer in held:
            held_writer.close()
        await wait_until(lambda: one.connections == 0, "places are free again")
        trust = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname="127.0.0.1")
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"hello")
        writer.close()


async def test_a_storm_of_connections_waits_in_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of connections that come and go at once no more are taken than the pace allows, so that their handshakes leave the loop its time."""
    monkeypatch.setattr(door, "ACCEPTS_PER_S", 10.0)
    monkeypatch.setattr(door, "ACCEPTS_AT_ONCE", 5.0)
    refused: list[int] = []
    async with listening(tmp_path, tls=False, refused=refused) as (_, port):
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(12):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"hello")
        writer.close()
        assert loop.time() - began > 0.6  # thirteen, five of them at once (one was the probe), ten a second
        assert refused == []


async def test_one_address_is_turned_away_before_others_are_hurt(tmp_path: Path) -> None:
    port = free_port()
    refused: list[int] = []
    page = ResponderPageConfig(listen=f"127.0.0.1:{port}", per_minute=20)
    assert page.per_minute / 4 == 5
    one = Listener(page, tmp_path, hello, lambda: refused.append(1))
    task = asyncio.create_task(one.run())
    await wait_until(lambda: is_open(one), "it listens")  # takes the first of five
    for _ in range(10):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
    await wait_until(lambda: len(refused) == 6, "six of eleven are turned away")
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_renewed_certificate_is_taken_up_and_a_broken_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LOOK_AGAIN_S", 0.0)

    async def is_trusted(port: int, cert: Path) -> bool:
        trust = ssl.create_default_context(cafile=str(cert))
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname="127.0.0.1")
        except ssl.SSLError:
            return False
        writer.close()
        return True

    async with listening(tmp_path) as (_, port):
        shutil.copy(tmp_path / "cert.pem", tmp_path / "first.pem")
        assert await is_trusted(port, tmp_path / "first.pem")
        (tmp_path / "cert.pem").write_text("nonsense")
        assert await is_trusted(port, tmp_path / "first.pem")
        self_signed(tmp_path, "cert")
        assert await is_trusted(port, tmp_path / "cert.pem")
        assert not await is_trusted(port, tmp_path / "first.pem")


async def test_a_taken_port_is_told_with_its_key(tmp_path: Path) -> None:
    async with listening(tmp_path, tls=False) as (_, port):
        with pytest.raises(ConfigError, match=r"responder_page\.listen: cannot listen on 127\.0\.0\.1"):
            await Listener(ResponderPageConfig(listen=f"127.0.0.1:{port}"), tmp_path, hello).run()


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", "unknown"),
        ("x" * 1000, "unknown"),
    ],
)
def test_whom_a_limit_counts(host: str, source: str) -> None:
    assert source_of(host) == source
