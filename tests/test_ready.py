"""Whoever is started after the gateway (systemd: Type=notify, After=) finds a page that answers and lines that can be dialled."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from servers import START_S, end, free_port, until

from drivers.supervisor import LineState, LineStatus, begun
from gateway.config import Config
from gateway.node import _Node

DISTRICTS = Path(__file__).parents[1] / "config" / "districts"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Systemd's end of the notification socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(START_S)
        yield sock


def wait_ready(manager: socket.socket) -> None:
    while not manager.recv(1024).startswith(b"READY=1"):
        pass


def started(folder: Path, tables: str) -> "subprocess.Popen[bytes]":
    config = folder / "gateway.toml"
    config.write_text(f'[gateway]\ndata = "var"\ndistricts = "{DISTRICTS}"\n{tables}', encoding="utf-8")
    environment = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify")}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-m", "gateway.cli", "run", "--config", str(config)], stdout=log, stderr=log, env=environment)


def test_told_ready_the_page_answers_and_lines_listen_whatever_is_wrong_with_another(manager: socket.socket, tmp_path: Path) -> None:
    page, panel = free_port(), free_port()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        tables = f"""
[console]
listen = "127.0.0.1:{page}"
accounts = false

[[line]]
name = "panel"
codec = "espa444"
listen = "tcp:{panel}:interface=127.0.0.1"

[[line]]
name = "broker-that-says-nothing"
codec = "generic"
broker = "mqtt://127.0.0.1:{silent.getsockname()[1]}"

[[line]]
name = "broker-that-is-away"
codec = "generic"
broker = "mqtt://127.0.0.1:{free_port()}"
options = {{ client_id = "other" }}
"""
        process = started(tmp_path, tables)
        try:
            wait_ready(manager)
            assert httpx.get(f"http://127.0.0.1:{page}/healthz", trust_env=False, timeout=START_S).status_code == 200
            socket.create_connection(("127.0.0.1", panel)).close()
        except TimeoutError:
            pytest.fail((tmp_path / "log").read_text())
        finally:
            assert end(process) == 0


def test_a_page_that_cannot_listen_is_never_ready(manager: socket.socket, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = started(tmp_path, f'[console]\naccounts = false\nlisten = "127.0.0.1:{taken.getsockname()[1]}"\n')
        assert process.wait(START_S) == 2
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        wait_ready(manager)


def is_dialled(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as dialling:
        return dialling.connect_ex((host, int(port))) == 0


async def test_a_part_of_several_machines_is_ready_when_its_page_answers_and_it_has_begun(
    manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    manager.setblocking(False)
    listen = f"127.0.0.1:{free_port()}"
    config = Config()
    config = msgspec.structs.replace(config, bus=msgspec.structs.replace(config.bus, listen=listen))
    has_begun, stops = asyncio.Event(), asyncio.Event()
    told: list[bytes] = []

    async def part(stop: asyncio.Event) -> None:
        await stops.wait()
        stop.set()

    async def reload() -> None: ...

    async def answers(path: str) -> bool:
        return (await client.get(f"http://{listen}{path}")).status_code == 200

    def is_told(what: bytes) -> bool:
        try:
            told.append(manager.recv(1024))
        except BlockingIOError:
            pass
        return any(one.startswith(what) for one in told)

    node = _Node(config, CollectorRegistry(), lambda: True, reload)
    running = asyncio.create_task(node.run(part, drains=True, until=has_begun.wait))
    async with httpx.AsyncClient(trust_env=False, timeout=START_S) as client:
        await until(lambda: is_dialled(listen), "its page listens")
        assert await answers("/healthz")
        assert not is_told(b"READY=1")
        has_begun.set()
        await until(lambda: is_told(b"READY=1"), "it is ready")
        assert await answers("/readyz")
    stops.set()
    await running
    assert is_told(b"STOPPING=1")


async def test_a_line_has_begun_when_it_stands_or_was_lost_and_a_silent_one_is_not_waited_for() -> None:
    stands, lost, again, silent = (LineStatus(name) for name in ("stands", "lost", "again", "silent"))
    slept = 0

    async def sleep(_: float) -> None:
        nonlocal slept
        slept += 1
        if slept == 3:
            stands.state, lost.state, again.restarts = LineState.LIVE, LineState.LOST, 1

    await begun([stands, lost, again], 10.0, sleep)
    assert slept == 3
    await begun([stands, silent], 10.0, sleep)
    assert 400 < slept < 600
