"""The bus at a real NATS server that wants a user and a password: who has none gets nothing, and ours lies in a file."""

import asyncio
import gc
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from servers import START_S, free_port, program, until

from gateway.bus.nats_bus import NatsBus
from gateway.bus.together import end
from gateway.config.bus import BusConfig


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    """The address of one that lets `gateway` in with the word in the file `right`."""
    port = free_port()
    conf = tmp_path / "nats.conf"
    conf.write_text(
        f'listen: 127.0.0.1:{port}\njetstream {{ store_dir: "{tmp_path}/store", max_file: 64M, max_mem: 16M }}\n'
        'authorization { user: gateway, password: "0f8c1d2e3b4a" }\n'
    )
    (tmp_path / "right").write_text("0f8c1d2e3b4a\n")
    (tmp_path / "wrong").write_text("something else\n")
    with (tmp_path / "nats.log").open("wb") as log:
        process = subprocess.Popen([program("nats-server"), "-c", str(conf)], stdout=log, stderr=log)  # noqa: ASYNC220

    def listens() -> bool:
        assert process.poll() is None, (tmp_path / "nats.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    await until(listens, "the server listens")
    yield f"nats://127.0.0.1:{port}"
    process.terminate()
    process.wait(START_S)


def bus(server: str, folder: Path, **more: str) -> NatsBus:
    return NatsBus(BusConfig(servers=(server,), replicas=1, shards=1, max_mib=16, **more), folder, "edge-1")  # type: ignore[arg-type]


async def test_a_server_that_wants_a_password_lets_nobody_in_without(server: str, tmp_path: Path) -> None:
    """Who is refused tries again for ever, as everybody whose server is away; the server says why."""
    log = tmp_path / "nats.log"
    for without in (bus(server, tmp_path), bus(server, tmp_path, user="gateway", password_file="wrong")):
        told = log.read_text().count("authentication error")
        trying = asyncio.create_task(without.connect())
        await until(lambda told=told: log.read_text().count("authentication error") > told + 1, "it is refused, twice")
        assert not without.is_connected
        await end([trying])
    ours = bus(server, tmp_path, user="gateway", password_file="right")
    await ours.connect()
    assert ours.is_connected
    await ours.close()


async def test_whoever_is_called_away_while_it_connects_leaves_nothing_open(tmp_path: Path) -> None:
    """A server that takes the connection and says nothing; what is left open would be told as a warning when it is found."""
    there: list[asyncio.StreamReader] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there.append(reader)
        await asyncio.gather(reader.read(), return_exceptions=True)
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as silent:
        trying = asyncio.create_task(bus(f"nats://127.0.0.1:{silent.sockets[0].getsockname()[1]}", tmp_path).connect())
        await until(lambda: there, "it is connected")
        await end([trying])
        del trying
        gc.collect()
        await until(lambda: there[0].at_eof() or there[0].exception(), "the server is left")
