"""What the servers of the bus say of themselves when somebody looks at them from outside: each one, the streams, and what is told over them."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from nats.js.errors import NotFoundError

from gateway.bus.login import login_of, trouble
from gateway.bus.nats_bus import FAULTS, NatsBus, client_of, is_led
from gateway.config import BusConfig

DIAL_S = 2  # a neighbour on the same network answers in milliseconds
CLOSE_S = 0.2
LISTEN_S = 1.5  # edges tell of their lines at least every second (gateway.edge.NEWS_S)


class Server(msgspec.Struct, frozen=True):
    """One of bus.servers. trouble: "" = it let us in, else a word of gateway.bus.login.trouble; said: in its own words."""

    url: str
    trouble: str = ""
    said: str = ""
    version: str = ""


class Stream(msgspec.Struct, frozen=True):
    """One shard's. fault: "" or missing, away (it has no leader, or JetStream is off); behind: servers whose copy is not current."""

    shard: int
    fault: str = ""
    said: str = ""
    replicas: int = 0
    behind: tuple[str, ...] = ()
    fill: float = 0.0
    last: int = 0


class Examined(msgspec.Struct, frozen=True):
    """news: what edges told of their lines, one message each."""

    servers: tuple[Server, ...]
    streams: tuple[Stream, ...] = ()
    news: tuple[bytes, ...] = ()


async def examine(bus: BusConfig, folder: Path) -> Examined:
    """Look for some seconds at most; changes nothing. Raises ConfigError for a file that cannot be used."""
    login = await asyncio.to_thread(login_of, bus, folder)
    found = await asyncio.gather(*(_server(url, login) for url in bus.servers))
    servers = tuple(server for server, _ in found)
    clients = [client for _, client in found if client is not None]
    try:
        if not clients:
            return Examined(servers)
        news: dict[str, bytes] = {}

        async def heard(message: Any) -> None:
            news[message.subject] = bytes(message.data)

        await clients[0].subscribe(f"{bus.name}.news.*", cb=heard)
        listening = asyncio.create_task(asyncio.sleep(LISTEN_S))
        js = clients[0].jetstream(timeout=DIAL_S)
        streams = await asyncio.gather(*(_stream(js, bus, shard) for shard in range(bus.shards)))
        await listening
        return Examined(servers, tuple(streams), tuple(news.values()))
    finally:
        for client in clients:
            await _close(client)


async def _server(url: str, login: dict[str, Any]) -> tuple[Server, Any]:
    said: list[BaseException] = []

    async def told(error: BaseException) -> None:
        said.append(error)

    client: Any = client_of()
    try:
        async with asyncio.timeout(2 * DIAL_S):
            await client.connect([url], name="doctor", allow_reconnect=False, connect_timeout=DIAL_S, error_cb=told, **login)
    except FAULTS as error:
        await _close(client)
        first = said[0] if said else error
        return Server(url, trouble(first), str(getattr(first, "strerror", None) or first) or type(first).__name__), None
    return Server(url, version=str(client.connected_server_version)), client


async def _close(client: Any) -> None:
    """Also of one who was let in halfway; when this returns the socket is shut, as the loop may end then."""
    writer = getattr(client._transport, "_io_writer", None)
    if client.is_connected:
        with suppress(*FAULTS):
            async with asyncio.timeout(CLOSE_S):
                await client.close()
    if writer is not None:
        writer.transport.abort()
        await asyncio.sleep(0)


async def _stream(js: Any, bus: BusConfig, shard: int) -> Stream:
    try:
        info = await js.stream_info(NatsBus.stream_of(bus, shard))
    except NotFoundError as error:
        return Stream(shard, "missing", str(error))
    except FAULTS as error:
        return Stream(shard, "away", str(error) or type(error).__name__)
    peers = (info.cluster.replicas or []) if info.cluster is not None else []
    if not is_led(info):
        return Stream(shard, "away", "no leader that hears a majority")
    return Stream(
        shard=shard,
        replicas=int(info.config.num_replicas or 1),
        behind=tuple(peer.name for peer in peers if peer.offline or not peer.current),
        fill=info.state.bytes / info.config.max_bytes if info.config.max_bytes and info.config.max_bytes > 0 else 0.0,
        last=int(info.state.last_seq),
    )
